# SPDX-License-Identifier: GPL-2.0-only
"""The literal blocks of a document, so that what it says is what is run."""
import os
import re
import textwrap

from ktap import Fail

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..'))


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


class Readme(Document):
    """README.md: blocks are indented, sections begin with ##."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.blocks, self.taken = [], set()
        with open(os.path.join(TOP, 'README.md'), encoding='utf-8') as f:
            text = f.read().splitlines()
        section, lines = None, []
        for line in [*text, '']:
            if line.startswith('    '):
                lines.append(line[4:])
                continue
            if lines:
                self.blocks.append((section, lines))
                lines = []
            if line.startswith('## '):
                section = line[3:]

    def line(self, *words, section='From packages to a protected REGISTER'):
        """The one line there that has all the words, without its comment."""
        hits = [x for where, lines in self.blocks if where == section for x in lines if all(w in x for w in words)]
        if len(hits) != 1:
            raise Fail(f'{len(hits)} lines of "{section}" have {words}')
        return re.sub(r'\s+# .*', '', hits[0])
