#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own tests of XFRM, with the module loaded and an endpoint with a bundle.

They are Debian's linux-source's, which `selftests/vm/kernel suites KERNEL` unpacks on the
host.  They take minutes, and so are no part of `make check`: `make suites` runs them.  One that
fails is run again without the module: it is skipped where it fails there too.
"""
import os
import platform
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

SERIES = '.'.join(platform.release().split('.')[:2])
CACHE = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
FOLDER = f'{CACHE}/ims_ipsec/suites-{SERIES}/tools/testing/selftests/net'
SKIPPED = 4
SUITES = ('xfrm_policy.sh', 'xfrm_policy_add_speed.sh', 'ipsec', 'vrf-xfrm-tests.sh', 'l2tp.sh')
# What of a suite says how far it got
RESULT = re.compile(r'^(?:ok|not ok|PASS|FAIL|TEST:|Tests ).*', re.MULTILINE)


def run(suite):
    """Its status, and what it said."""
    done = World.p.run('env', 'KSFT_MACHINE_SLOW=yes', 'timeout', '1500', 'sh', '-c', f'cd {FOLDER} && ./{suite}; echo "status $?"',
                       ok=False)
    return int(re.findall(r'^status (\d+)$', done, re.MULTILINE)[-1]), done


def failures(text):
    return {re.sub(r'^not ok \d+', 'not ok', x) for x in RESULT.findall(text) if re.search(r'not ok|FAIL(?!ed: *0)', x)}


def bundles():
    for addr, ue in ADDRESSES.values():
        ep = endpoint(addr, nat_traversal=1)
        World.nl.do('bundle-confirm', id=bundle(ep, ue_address=ue)['id'], lifetime=4000000)


@test('NEIGHBOUR', "the kernel's own {}", each=SUITES, limit=3600)
def suite_passes(suite):
    if not os.path.isdir(FOLDER):
        raise Skip(f'{FOLDER} is not there: selftests/vm/kernel suites {SERIES}')
    if not os.path.exists(f'{FOLDER}/{suite}'):
        source = os.path.exists(f'{FOLDER}/{suite}.c')
        raise Skip(f'{suite}.c did not build' if source else f"{SERIES}'s suites have no {suite}")
    bundles()
    was = (World.p.ip('xfrm state count'), World.p.ip('xfrm policy'))
    status, text = run(suite)
    lines = RESULT.findall(text)
    say(f'status {status}, {len(lines)} results, {len(failures(text))} of them bad')
    equal((World.p.ip('xfrm state count'), World.p.ip('xfrm policy')), was, 'ours')
    if status == SKIPPED:
        raise Skip(f'by itself: {text.splitlines()[-2:-1]}')
    if not status:
        # One has no word for it but figures
        check(text.replace('status 0', '').strip(), 'it says nothing of what it did')
        return
    World.nl.close()
    World.events.close()
    done = rmmod()
    equal(done.returncode, 0, done.stdout)
    try:
        without, text_without = run(suite)
    finally:
        equal(insmod().returncode, 0, 'insmod')
        with World.p:
            World.nl, World.events = Family(), Events()
    more = failures(text) - failures(text_without)
    check(without and not more, f'with the module alone: {sorted(more)[:10]}\n{text[-2000:]}')
    raise Skip(f'without the module it fails as well: {sorted(failures(text))[:5]}')


if __name__ == '__main__':
    main(setup, before, teardown)
