#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A packet costs the same with 16,000 active UEs as with 100, and an interface that goes down with 4,000.

Needs a VM that counts instructions (selftests/vm/run --icount --mem 3G), and what
selftests/bench/build makes in the folder BENCH.
"""
import fcntl
import os
import re
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
import ims  # noqa: E402  pylint: disable=wrong-import-position
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


def set_down(s, name):
    """What it costs to take an interface down: this thread's time, not the grace periods that it waits for."""
    costs = []
    for _ in range(5):
        for flags in (1, 0):  # IFF_UP
            start = time.thread_time_ns()
            fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', name, flags))  # SIOCSIFFLAGS
        costs.append(time.thread_time_ns() - start)
    return min(costs)


@test('FLAT', 'an interface that does nobody\'s ESP goes down: 4,000 bundles cost at most 1.2 times what 100 do', limit=900)
def interface():
    ims.setup()
    try:
        ims.World.events.close()
        ims.World.nl.do('config-set', max_bundles=5000, max_pending=5000, temporary_timeout=600000)
        ims.World.p.ip('link add idle0 type dummy')
        # There is one that does, and is another
        ep, costs = ims.endpoint(hw_offload_interface='p0'), []
        with ims.World.p.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for first, last in ((0, 100), (100, 4000)):
                for n in range(first, last):
                    ims.bundle(ep, ue_address=f'198.18.{n >> 8}.{n & 255}', auth_alg='hmac-md5-96', enc_alg='null')
                costs.append(set_down(s, b'idle0'))
                say(f'{last} bundles: {costs[-1]} instructions')
    finally:
        ims.teardown()
    check(costs[1] <= 1.2 * costs[0], f'{costs[1]} instructions, with 100 bundles {costs[0]}')


if __name__ == '__main__':
    main(setup)
