#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Program and library may be of different ages.

abi_test.py FOLDER COMPILER...

A newer header is made of imsipsec.h, in which each struct has a member more, and a newer library of
it, which fills the member. abi_prog.c is built with either header and run with either library,
with the address sanitizer.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

USER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT, *COMPILER = sys.argv[1:]
SAN = ['-fsanitize=address', '-O0', '-g', '-Wno-missing-prototypes']
MORE = 4    # bytes
NAMES = {'this': 'this', 'newer': 'a newer'}
# What an IP address is does not change: see imsipsec.h
FINAL = ('addr',)

count = failed = 0


def ok(good, name, detail=''):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - ABI: {name}", flush=True)
    if not good:
        for line in detail.splitlines()[-30:]:
            print('#', line)


def grown(header):
    """Each struct takes its new member from its reserved bytes, or has it at its end."""
    structs = []

    def grow(m):
        name, body = m[1], m[2]
        if name in FINAL:
            return m[0]
        structs.append(name)
        reserved = re.search(r'\tunsigned char reserved\[(\d+)\];\n$', body)
        if reserved:
            body = body[:reserved.start()] + \
                f'\tunsigned char newer[{MORE}];\n\tunsigned char reserved[{int(reserved[1]) - MORE}];\n'
        else:
            body += f'\tunsigned char newer[{MORE}];\n'
        return f'struct imsipsec_{name} {{\n{body}}};'
    text = re.sub(r'^struct imsipsec_(\w+) \{\n(.*?)^\};', grow, header, flags=re.M | re.S)
    return text, structs


def newer_source(text):
    """What the library makes has the new member, and in it a value."""
    value = '.newer = { 1, 2, 3, 4 }'
    text = re.sub(r'(\(struct imsipsec_(?:\w+)\))\{ 0 \}', rf'\1{{ {value} }}', text)
    text = re.sub(r'(= \(struct imsipsec_(?:config|event|found)\)\{)(?! .newer)', rf'\1 {value},', text)
    text = re.sub(r'(no_bundle = \{)', rf'\1 {value},', text)
    text = text.replace('.mech = { .q = 1000 }', f'.mech = {{ .q = 1000, {value} }}')
    return re.sub(r'\(struct imsipsec_pair\)\{ a->alg, a->ealg \}',
                  f'(struct imsipsec_pair){{ .alg = a->alg, .ealg = a->ealg, {value} }}', text)


def build(*argv):
    done = subprocess.run([*COMPILER, *SAN, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(*(f'# {x}' for x in done.stdout.splitlines()[:20]), sep='\n')
        sys.exit(1)


shutil.rmtree(OUT, ignore_errors=True)
for age in ('this', 'newer'):
    shutil.copytree(os.path.join(USER, 'lib'), os.path.join(OUT, age))
with open(os.path.join(USER, 'lib/imsipsec.h'), encoding='utf-8') as f:
    newer, STRUCTS = grown(f.read())
with open(os.path.join(OUT, 'newer/imsipsec.h'), 'w', encoding='utf-8') as f:
    f.write(newer)
for path in glob.glob(OUT + '/newer/*.c'):
    with open(path, encoding='utf-8') as f:
        source = newer_source(f.read())
    with open(path, 'w', encoding='utf-8') as f:
        f.write(source)
for age in ('this', 'newer'):
    folder = os.path.join(OUT, age)
    build(f'-I{folder}', '-fPIC', '-fvisibility=hidden', '-shared', '-Wl,-soname,libimsipsec.so.1',
          f'-Wl,--version-script,{folder}/libimsipsec.map', '-o', f'{folder}/libimsipsec.so.1', *sorted(glob.glob(folder + '/*.c')), '-lmnl')

ok(len(STRUCTS) >= 14, f'{len(STRUCTS)} structs have grown', ' '.join(STRUCTS))

# Their sizes are what both sides have to agree on
with open(OUT + '/sizes.c', 'w', encoding='utf-8') as f:
    f.write('#include <stdio.h>\n#include "imsipsec.h"\nint main(void)\n{\n')
    for x in STRUCTS:
        f.write(f'\tprintf("{x} %zu\\n", sizeof(struct imsipsec_{x}));\n')
    f.write('\treturn 0;\n}\n')
SIZES = []
for age in ('this', 'newer'):
    build(f'-I{OUT}/{age}', '-o', f'{OUT}/{age}/sizes', OUT + '/sizes.c')
    SIZES.append(subprocess.run([f'{OUT}/{age}/sizes'], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines())
wrong = [f'{a}, and in the newer header {b}' for a, b in zip(*SIZES) if a != b]
ok(not wrong and len(SIZES[0]) == len(STRUCTS), 'a struct that has grown has its size as before', '\n'.join(wrong))

for program in ('this', 'newer'):
    for library in ('this', 'newer'):
        binary = f'{OUT}/program-{program}-{library}'
        defs = [*(['-DNEWER'] if program == 'newer' else []), *(['-DNEWER_LIBRARY'] if library == 'newer' else [])]
        build(f'-I{OUT}/{program}', *defs, '-rdynamic', '-o', binary, USER + '/test/abi_prog.c', f'{OUT}/{library}/libimsipsec.so.1', '-lmnl')
        run = subprocess.run([binary], env={**os.environ, 'LD_LIBRARY_PATH': f'{OUT}/{library}', 'ASAN_OPTIONS': 'detect_stack_use_after_return=1'},
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', check=False)
        ok(run.returncode == 0, f'a program of {NAMES[program]} header runs with {NAMES[library]} library', run.stdout)

print(f'1..{count}')
sys.exit(failed != 0)
