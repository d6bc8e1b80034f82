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


def cells(text):
    """Of a table: its heads, and {(case, head): cell}."""
    lines = text.splitlines()
    spans = [m.span() for m in re.finditer('=+', lines[0])]
    heads, *rows = [[line[a:b].strip() for a, b in spans] for line in (lines[1], *lines[3:-1])]
    return heads[1:], {(row[0], head): cell for row in rows for head, cell in zip(heads[1:], row[1:])}


def write(path, names, heads, columns):
    """In the place of the document's table that begins with "case". What has not been run now stays as it is there."""
    with open(path, encoding='utf-8') as f:
        document = f.read()
    found = re.search(r'^=+(?:  =+)*\ncase\b.*\n=[= ]*\n(?:.+\n)*?=[= ]*$', document, flags=re.M)
    if not found:
        sys.exit(f'{path}: no table of cases')
    old_heads, was = cells(found[0])
    outcomes = {word: outcome for outcome, word in WORDS.items()}
    now = dict(zip(heads, columns))
    heads = old_heads + [head for head in heads if head not in old_heads]
    columns = [{name: now.get(head, {}).get(name) or outcomes.get(was.get((name.partition(': ')[2], head))) for name in names}
               for head in heads]
    with open(path, 'w', encoding='utf-8') as f:
        f.write(document.replace(found[0], table(names, heads, columns)))
