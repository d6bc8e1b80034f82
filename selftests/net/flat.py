#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A packet costs the same with 16,000 active UEs as with 100.

Needs a VM that counts instructions (selftests/vm/run --icount --mem 3G), and what
selftests/bench/build makes in the folder BENCH.
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ktap import check, main, say, test  # noqa: E402  pylint: disable=wrong-import-position

WAYS = ('inbound', 'outbound')
UES = int(os.environ.get('UES') or 16000)
COST, STATUS = {}, {}


def setup():
    """All of it in one run, as making so many UEs takes the time."""
    program = os.path.join(os.environ['BENCH'], 'datapath')
    rows = [f'{way}-{ues}' for way in WAYS for ues in (100, UES)]
    done = subprocess.run([program, 'ours', *rows], stdout=subprocess.PIPE, text=True, check=False)
    for row, cost in re.findall(r'^(\S+) ours (\d+)$', done.stdout, re.M):
        COST[row] = int(cost)
        say(f'{row}: {cost} instructions')
    STATUS[program] = done.returncode


@test('FLAT', f'{{}}: {UES:,} active UEs cost a packet at most 1.10 times what 100 do', each=WAYS)
def flat(way):
    check({f'{way}-100', f'{way}-{UES}'} <= set(COST), f'no figures, the program ends with {STATUS}')
    few, many = COST[f'{way}-100'], COST[f'{way}-{UES}']
    check(many <= 1.10 * few, f'{many} instructions, with 100 UEs {few}')


if __name__ == '__main__':
    main(setup)
