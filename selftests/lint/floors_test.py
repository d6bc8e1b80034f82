#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Does floors find what it is for, and nothing else? On sources that are made up, and on those of this tree."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, TOP + '/selftests/lib')
from ktap import check, equal, main, test  # noqa: E402  pylint: disable=wrong-import-position

FLOORS = '[src]\nroof: roof.c\nrooms: hall.c bath.c\ncellar: cellar.c\n'
FILES = {
    'roof.h': 'int roof_open(void);\nextern const struct roof_ops roof_ops;\n',
    'roof.c': '#include "roof.h"\n\nint roof_open(void)\n{\n\treturn hall_open();\n}\n',
    'hall.c': 'int hall_open(void)\n{\n\treturn cellar_open() || bath_open();\n}\n',
    'bath.c': 'int bath_open(void)\n{\n\treturn cellar_open();\n}\n',
    'cellar.c': 'int cellar_open(void)\n{\n\treturn 0;\n}\n',
}


def floors(top):
    """What floors says of a tree, line by line; its status is that of what it says."""
    done = subprocess.run([HERE + '/floors', '--top', top], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    lines = done.stdout.splitlines()
    equal(done.returncode, 1 if lines else 0, f'the exit status, {lines}')
    return lines


def findings(text=FLOORS, **files):
    """What floors says of FILES, where these are otherwise: a name has __ for its dot; None: there is none."""
    with tempfile.TemporaryDirectory() as top:
        os.makedirs(top + '/src')
        os.makedirs(top + '/selftests/lint')
        with open(top + '/selftests/lint/floors.txt', 'w', encoding='utf-8') as f:
            f.write(text)
        for name, what in {**FILES, **{n.replace('__', '.'): x for n, x in files.items()}}.items():
            if what is not None:
                with open(f'{top}/src/{name}', 'w', encoding='utf-8') as f:
                    f.write(what)
        return [x.replace(top + '/', '') for x in floors(top)]


def up(name, of, line, upper, file='cellar.c', lower='cellar'):
    return [f'src/{file}:{line}: {name} of {of} is called from below: {file} is of the floor "{lower}", {of} of "{upper}"']


@test('LINT', 'a tree without a call up has no finding')
def clean():
    equal(findings(), [], 'findings')


@test('LINT', 'a call up is named with file, line and both floors')
def call():
    equal(findings(cellar__c='int cellar_open(void)\n{\n\tif (1)\n\t\treturn roof_open();\n\treturn 0;\n}\n'),
          up('roof_open', 'roof.c', 4, 'roof'), 'findings')


@test('LINT', 'a call of the floor between is a call up as well')
def between():
    equal(findings(cellar__c='int cellar_open(void)\n{\n\treturn bath_open();\n}\n'), up('bath_open', 'bath.c', 3, 'rooms'), 'findings')


@test('LINT', 'an entry of a table is a call')
def entry():
    equal(findings(cellar__c='static const struct row {\n\tint (*run)(void);\n} rows[] = {\n\t{ cellar_open },\n\t{ .run = roof_open },\n};\n\n'
                             + FILES['cellar.c']), up('roof_open', 'roof.c', 5, 'roof'), 'findings')


@test('LINT', 'a table of an upper floor is not called from below')
def table():
    equal(findings(roof__c='const struct roof_ops roof_ops = {\n\t.open = roof_open,\n};\n\n' + FILES['roof.c'],
                   cellar__c='int cellar_open(void)\n{\n\treturn roof_ops.open();\n}\n'), up('roof_ops', 'roof.c', 3, 'roof'), 'findings')


@test('LINT', 'an inline function of a header calls from the floor of the header')
def inline_calls():
    equal(findings(cellar__h='static inline int cellar_peep(void)\n{\n\treturn roof_open();\n}\n'),
          up('roof_open', 'roof.c', 3, 'roof', file='cellar.h'), 'findings')


@test('LINT', 'an inline function of a header is called on the floor of the header, its own where it is listed')
def inline_called():
    sources = {'roof__h': 'static inline int roof_peep(void)\n{\n\treturn 0;\n}\n', 'cellar__c': 'int cellar_open(void)\n{\n\treturn roof_peep();\n}\n'}
    equal(findings(**sources), up('roof_peep', 'roof.h', 3, 'roof'), 'findings')
    equal(findings(FLOORS + '    roof.h\n', **sources), [], 'findings where the header is listed below')


@test('LINT', 'what a macro of a header names is called where the macro is used')
def macro():
    equal(findings(hall__h='#define DO_OPEN()\t\\\n\troof_open()\n#define DO(x)\tDO_OPEN()\n', cellar__c='int cellar_open(void)\n{\n\treturn DO(1);\n}\n'),
          up('roof_open', 'roof.c', 3, 'roof'), 'findings')


@test('LINT', 'a function that a macro makes is known')
def made():
    equal(findings(roof__c='#define DEFINE_OPEN(what)\t\\\nint roof_##what(void)\t\\\n{\t\t\t\\\n\treturn hall_##what();\t\\\n}\n\nDEFINE_OPEN(open)\n',
                   cellar__c='int cellar_open(void)\n{\n\treturn roof_open();\n}\n'), up('roof_open', 'roof.c', 3, 'roof'), 'findings')


@test('LINT', 'a function whose start is there twice does not hide what comes behind')
def conditional():
    equal(findings(cellar__c='#ifdef A\nint cellar_a(int a)\n{\n#else\nint cellar_a(long a)\n{\n#endif\n\treturn a;\n}\n\n'
                             'int cellar_open(void)\n{\n\treturn roof_open();\n}\n'), up('roof_open', 'roof.c', 13, 'roof'), 'findings')


@test('LINT', 'members, variables, labels, types, static functions, comments and strings of the name are no calls')
def names():
    equal(findings(cellar__c='/* roof_open() */\nstruct roof_open {\n\tint hall_open;\n};\n\nstatic int bath_open(void)\n{\n\treturn 0;\n}\n\n'
                             'int cellar_open(struct roof_open *x)\n{\n\tint roof_open = x->hall_open;\n\n\tgoto hall_open;\nhall_open:\n'
                             '\tputs("roof_open()");\n\treturn roof_open + bath_open() + \'"\';\n}\n'), [], 'findings')


@test('LINT', 'a circle on one floor is named with the calls that make it')
def circle():
    equal(findings(bath__c='int bath_open(void)\n{\n\treturn hall_open();\n}\n'),
          ['src/bath.c:1: bath.c hall.c of the floor "rooms" call each other in a circle: bath.c:3 hall_open, hall.c:3 bath_open'], 'findings')


@test('LINT', 'each file is on a floor, but for tests, and for headers without a function')
def listed():
    equal(findings(attic__c='int attic;\n', attic_test__c='int attic_test;\n', only__h='struct only {\n\tint a;\n};\nint only_one(void);\n'),
          ['src/attic.c:1: no floor lists this file'], 'findings')
    equal(findings(only__h='static inline int only_one(void)\n{\n\treturn 0;\n}\n'), ['src/only.h:1: no floor lists this file'], 'findings')
    equal(findings(FLOORS.replace('bath.c', 'bath.c gone.c')), ['src/gone.c:1: floors.txt lists this file, which is not there'], 'findings')


@test('LINT', 'a file has at most 700 lines, or as many as floors.txt says')
def lines():
    fill = '\n' * (700 - FILES['bath.c'].count('\n'))
    equal(findings(bath__c=FILES['bath.c'] + fill), [], 'findings of 700 lines')
    equal(findings(bath__c=FILES['bath.c'] + fill + '\n'), ['src/bath.c:701: the file has 701 lines, at most 700 are allowed'], 'findings')
    equal(findings(FLOORS + 'long bath.c 710\n', bath__c=FILES['bath.c'] + fill + '\n'), [], 'findings where 710 are allowed')
    equal(findings(FLOORS + 'long bath.c 710\n', bath__c=FILES['bath.c'] + fill),
          ['src/bath.c:1: the file has 700 lines, and needs no "long" in floors.txt'], 'findings')


@test('LINT', 'a module of Python calls those that it imports')
def python():
    text = '[src]\nroof: roof.py\ncellar: cellar.py\n    shed.py\n'
    c = {name.replace('.', '__'): None for name in FILES}
    for line in ('from .roof import open_', 'from . import roof', 'import roof'):
        equal(findings(text, **c, roof__py='from .cellar import x\n', shed__py='import os\n', cellar__py='import os\n' + line + '\n'),
              up('roof', 'roof.py', 2, 'roof', file='cellar.py'), line)


@test('LINT', 'a floors.txt that cannot be understood is refused, with the line')
def malformed():
    for text, n in (('roof: roof.c\n', 1), ('[src]\n  roof.c\n', 2), (FLOORS + 'cellar cellar.c\n', 5), ('# nothing\n[src\n', 2)):
        found = findings(text)
        check(len(found) == 1 and f'floors.txt:{n}: neither' in found[0], f'{text!r}: {found}')
    equal(findings('# nothing\n'), ['floors.txt lists no folder'], 'an empty one')
    check('bath.c is listed twice' in findings(FLOORS.replace('hall.c', 'hall.c bath.c'))[0], 'twice')


@test('LINT', 'in each folder of this tree a call up from its lowest floor is found')
def planted():
    sys.dont_write_bytecode = True
    from importlib.machinery import SourceFileLoader  # pylint: disable=import-outside-toplevel
    from importlib.util import module_from_spec, spec_from_loader  # pylint: disable=import-outside-toplevel
    loader = SourceFileLoader('floors', HERE + '/floors')
    module = module_from_spec(spec_from_loader('floors', loader))
    loader.exec_module(module)
    for part in module.read_floors(HERE + '/floors.txt'):
        with tempfile.TemporaryDirectory() as top:
            folder = f'{top}/{part.folder}'
            shutil.copytree(f'{TOP}/{part.folder}', folder)
            os.makedirs(top + '/selftests/lint')
            with open(HERE + '/floors.txt', encoding='utf-8') as f, open(top + '/selftests/lint/floors.txt', 'w', encoding='utf-8') as g:
                g.write(f'[{part.folder}]\n' + f.read().split(f'[{part.folder}]\n')[1].split('\n[')[0] + '\n')
            equal(floors(top), [], f'{part.folder}: findings before')
            lowest = [n for n, floor in part.lists.items() if floor == len(part.names) - 1][0]
            sources, _ = module.read_folder(folder)
            highest, name = min(((n, min(sources[n].defines - {'main'})) for n, floor in part.lists.items()
                                 if floor < len(part.names) - 1 and sources[n].defines - {'main'}), key=lambda x: part.lists[x[0]])
            with open(f'{folder}/{lowest}', 'r+', encoding='utf-8') as f:
                line = f.read().count('\n') + 1
                f.write(f'import {name}\n' if lowest.endswith('.py') else f'int planted(void) {{ return {name}(); }}\n')
            equal(floors(top), [f'{part.folder}/{lowest}:{line}: {name} of {highest} is called from below: {lowest} is of the floor '
                                f'"{part.names[-1]}", {highest} of "{part.names[part.lists[highest]]}"'], f'{part.folder}: findings')


if __name__ == "__main__":
    main()
