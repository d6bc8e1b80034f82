#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""nft_json.py CHECK_TEST [OUT]: what nft writes of the rulesets that check_test has.

check_test looks at a ruleset as `nft -j -n -s list ruleset` writes it, which is kept in
nft.json, so that the test needs no nft.  To be run, by root, when its rulesets change.
"""
import json
import os
import subprocess
import sys
import tempfile


def listed(ruleset):
    """Of a network namespace of its own"""
    done = subprocess.run(['unshare', '-n', 'sh', '-c', 'ip link set lo up; nft -f - && exec nft -j -n -s list ruleset'],
                          input=ruleset, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f'nft refuses:\n{ruleset}', file=sys.stderr)
        return None
    return [o for o in json.loads(done.stdout)['nftables'] if 'metainfo' not in o]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, 'nft.json')
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run([sys.argv[1], f.name], stdout=subprocess.DEVNULL, check=False)
        texts = [t.decode() for t in f.read().split(b'\0')[:-1]]
    rulesets = {t: listed(t) for t in texts}
    if None in rulesets.values():
        sys.exit(1)
    with open(out, 'w', encoding='utf-8') as f:
        f.write('{\n' + ',\n'.join(f'{json.dumps(t)}: {{"nftables": {json.dumps(o)}}}' for t, o in rulesets.items()) + '\n}\n')


main()
