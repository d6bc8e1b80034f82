# SPDX-License-Identifier: GPL-2.0-only
"""The literal blocks of a document, so that what it says is what is run."""
import os
import re
import textwrap

from ims import Fail, TOP


def indent(line):
    return len(line) - len(line.lstrip())


class Document:
    """A file of Documentation/."""

    def __init__(self, name):
        self.blocks, self.taken = [], set()
        with open(os.path.join(TOP, 'Documentation', name), encoding='utf-8') as f:
            text = f.read().splitlines() + ['end']
        section, begins = None, None
        for n, line in enumerate(text):
            if begins is not None and line and indent(line) <= indent(text[begins]):
                lines = textwrap.dedent('\n'.join(text[begins + 1:n])).strip('\n').split('\n')
                self.blocks.append((section, lines))
                begins = None
            if begins is None and re.fullmatch(r'=+|-+', text[min(n + 1, len(text) - 1)]) and line[:1].isalnum():
                section = line
            if begins is None and line.endswith('::') and not line.startswith('..'):
                begins = n

    def block(self, section, *words):
        """The lines of the one block of that section that has all the words; it counts as run."""
        hits = [n for n, (where, lines) in enumerate(self.blocks)
                if where == section and all(w in '\n'.join(lines) for w in words)]
        if len(hits) != 1:
            raise Fail(f'{len(hits)} blocks of "{section}" have {words}')
        self.taken.add(hits[0])
        return self.blocks[hits[0]][1]

    def left(self, *sections):
        """The first lines of the blocks of these sections that nobody has taken."""
        return [lines[0] for n, (where, lines) in enumerate(self.blocks) if where in sections and n not in self.taken]

    def sections(self):
        return {where for where, _ in self.blocks}
