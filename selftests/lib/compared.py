# SPDX-License-Identifier: GPL-2.0-only
"""Cases that were run with several modules, as a table, which a document has."""
import re
import subprocess
import sys

WORDS = {'ok': 'yes', 'not ok': 'NO', 'gone': 'GONE', 'skip': '–', None: '·'}
RESULT = re.compile(r'(ok|not ok) \d+ ([^#\n]*?)(?: # SKIP (.*))?$')


def run_in_vm(argv, path, more, what, first=''):
    """A program's cases; its output goes into a file, behind what is there where there is more to come."""
    with open(path, 'a' if more else 'w', encoding='utf-8') as log, \
            subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace') as p:
        log.write(first)
        for line in p.stdout:
            log.write(line)
            log.flush()
            if RESULT.match(line):
                print(f'# {what}: {line.rstrip()}', file=sys.stderr, flush=True)
    # 1: a case has failed; more: the VM
    if p.returncode > 1:
        sys.exit(f'{what}: the VM has ended with {p.returncode}: {path}')


def table(names, heads, columns):
    # Without the ids
    texts = [name.partition(': ')[2] for name in names]
    width = max(map(len, texts))
    rule = '  '.join(['=' * width, *('=' * len(h) for h in heads)])
    rows = ['  '.join([text.ljust(width), *(WORDS[c.get(name)].ljust(len(h)) for c, h in zip(columns, heads))]).rstrip()
            for name, text in zip(names, texts)]
    return '\n'.join([rule, '  '.join(['case'.ljust(width), *heads]), rule, *rows, rule])


def write(path, text):
    """In the place of the document's table that begins with "case"."""
    with open(path, encoding='utf-8') as f:
        old = f.read()
    new, n = re.subn(r'^=+(?:  =+)*\ncase\b.*\n=[= ]*\n(?:.+\n)*?=[= ]*$', lambda _: text, old, flags=re.M)
    if n != 1:
        sys.exit(f'{path}: no table of cases')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(new)
