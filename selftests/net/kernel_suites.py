#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own tests of XFRM, with the module loaded and endpoints up.

They are Debian's linux-source's, as they are, which `selftests/vm/kernel suites KERNEL` unpacks on
the host.  Each begins in a namespace that has endpoints and bundles, of IPv4, of IPv6 and behind a
NAT, and finds the same in every namespace that it adds.  What fails in one each time that it is
run is a failure, unless it is so without the module, too: then it is skipped.  User-mode Linux
runs most of them; where a kernel is emulated, only those are run that take less than a minute.
With FULL in the environment all are.

Of what has to do with XFRM these are left out:
  net/fcnal-test.sh             its nettest could use XFRM, and does not
  bpf/prog_tests/xfrm_info.c    takes clang and the kernel's BTF, and tests what BPF sees
"""
import collections
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

SERIES = '.'.join(platform.release().split('.')[:2])
CACHE = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
FOLDER = f'{CACHE}/ims_ipsec/suites-{SERIES}/tools/testing/selftests'
IMSIPSEC = TOP + '/build/user/imsipsec'
# Where to see what the one that runs has said so far
SAID = f'{TOP}/build/suites/{"uml" if UML else SERIES}'
FULL = 'FULL' in os.environ
SKIPPED, LATE = 4, 124
# Seconds for a suite, which is run again where it fails
LIMIT, ATTEMPTS = 1500, 3
# The results in what a suite says; one has no words for them but figures
RESULT = re.compile(r'^(?:.*\[ *(?:OK|FAIL|SKIP) *\]|(?:ok|not ok|PASS|FAIL|ERROR|WARNING|SKIP|Inserted)\b.*)', re.MULTILINE)
BAD = re.compile(r'not ok|FAIL|ERROR|WARNING|.*\[ *FAIL *\]')
GOOD = re.compile(r'ok|PASS|Inserted|.*\[ *OK *\]')
# What differs from run to run: the numbers of results, times, sizes, names of namespaces
VARYING = re.compile(r'(?<=not ok )\d+|\d{3,}|(?<=-)\w{6,8}\b')

# argv, env; bare: it begins in a namespace without endpoints; counts: only results that match are about XFRM;
# adds: namespaces, by `ip netns`; batched: policies; where: it is run without FULL
NOWHERE, IN_UML, EVERYWHERE = range(3)
Suite = collections.namedtuple('Suite', 'argv env bare counts adds batched where',
                               defaults=({}, False, '', True, False, IN_UML))
VTI = ('vti4_udp_exception', 'vti6_udp_exception', 'vti6_exception', 'vti6_udp_routed_exception', 'vti4_udp_routed_exception',
       'vti4_default_mtu', 'vti6_default_mtu', 'vti4_link_add_mtu', 'vti6_link_add_mtu', 'vti6_link_change_mtu')
OLD = SERIES == '6.1'
SUITES = {
    'vrf-xfrm-tests.sh': Suite(['net/vrf-xfrm-tests.sh'], where=EVERYWHERE),
    'l2tp.sh': Suite(['net/l2tp.sh'], where=EVERYWHERE),
    'pmtu.sh, pmtu_vti4_exception': Suite(['net/pmtu.sh', 'pmtu_vti4_exception'], where=EVERYWHERE),
    # It insists that there are no other SAs in its namespace; 6.1's cannot be run without the rest
    'rtnetlink.sh, kci_test_ipsec': Suite(['net/rtnetlink.sh', *([] if OLD else ['-t', 'kci_test_ipsec'])],
                                          bare=True, counts=': ipsec$', adds=False, where=IN_UML if OLD else EVERYWHERE),
    # One test of XFRM among others; it sends with ping alone
    'ip6_forward_instats_vrf.sh, ipv6_in_discard': Suite(
        ['net/forwarding/ip6_forward_instats_vrf.sh', 'veth0', 'veth1', 'veth2', 'veth3'],
        {'TESTS': 'ipv6_in_discard', 'PING6': 'ping', 'TROUTE6': '/bin/true', 'REQUIRE_MZ': 'no'}, adds=False,
        where=EVERYWHERE),
    'xfrm_policy_add_speed.sh': Suite(['net/xfrm_policy_add_speed.sh'], {'KSFT_MACHINE_SLOW': 'yes'}, where=NOWHERE),
    'pmtu.sh, the others of VTI': Suite(['net/pmtu.sh', *('pmtu_' + x for x in VTI)], where=NOWHERE),
    # Each of its 105 tests sends for ten seconds: so many of them at a time
    'ipsec.c': Suite(['net/ipsec', '16'], adds=False),
    'nft_flowtable.sh': Suite(['netfilter/nft_flowtable.sh'] if OLD else ['net/netfilter/nft_flowtable.sh', '-s', '1000000']),
    'xfrm_policy.sh': Suite(['net/xfrm_policy.sh'], batched=True),
}
if UML:
    # The others have no netdevsim
    SUITES['rtnetlink.sh, kci_test_ipsec_offload'] = Suite(
        ['net/rtnetlink.sh', '-t', 'kci_test_ipsec_offload'], bare=True, counts=': ipsec_offload', adds=False)

# What a namespace has; the encapsulated is not at 4500, which suites use themselves
KEYS = f'ik {IK.hex()} ck {CK.hex()}'
BUNDLE = f'owner o alg hmac-sha-1-96 ealg aes-cbc port-uc {PORT_UC} port-us {PORT_US} {KEYS}'
FURNITURE = f'''
endpoint add address {P4} port-ps {PORT_PS} port-pc 7807,7808 nat-traversal on nat-port 4501
endpoint add address {P6} port-ps {PORT_PS} port-pc 7807,7808 nat-traversal on nat-port 4501
bundle add endpoint 1 contact 4 ue {U4} spi-uc 1001 spi-us 1002 {BUNDLE}
bundle add endpoint 2 contact 6 ue {U6} spi-uc 1001 spi-us 1002 {BUNDLE}
bundle add endpoint 1 contact n ue 10.9.9.9 spi-uc 1003 spi-us 1004 {BUNDLE} mode udp-enc-tun nat 203.0.113.77 nat-port 1024
bundle confirm id 1 lifetime 4000000s
bundle confirm id 2 lifetime 4000000s
bundle confirm id 3 lifetime 4000000s
'''
# A suite's `ip`. It is a function of the shell, which costs nothing where no namespace is added.
# User-mode Linux has no BPF, by which `ip vrf exec` binds sockets; ping can bind its own.
# Where thousands of policies are added one by one, one process a namespace does it, asked and heard
# by FIFOs; "." is no object, and what ip says of it is the end of what it says of the line before.
IP = r'''() {
 case "$IMS_UML $1 $2 $4 $5 $6" in
 "True netns exec ip vrf exec") command ip netns exec "$3" "$8" -I "$7" "${@:9}"; return ;;
 "True vrf exec "*) "$4" -I "$3" "${@:5}"; return ;;
 esac
 local ask=$IMS_FOLDER/$2.ask told=$IMS_FOLDER/$2.told ns line failed=0
 case "$IMS_BATCHED $1 $3 $4 $5" in
 "True -batch"*) while read -r _ _ ns _ line; do ip -net "$ns" $line; done; return ;;
 "True -net xfrm policy "[agfu]*)
  [ -p "$told" ] || {
   mkfifo "$ask" "$told"
   command ip -net "$2" -force -batch - <>"$ask" >/dev/null 2<>"$told" &
  }
  printf '%s\n' "${*:3}" . >"$ask"
  while read -r -t 60 line; do
   case $line in
   'Object "." is unknown'*) read -r line; return "$failed" ;;
   'Command failed'*) failed=1 ;;
   *) printf '%s\n' "$line" >&2 ;;
   esac
  done <>"$told"
  return 1 ;;
 esac
 command ip "$@" || return
 [ "$IMS_FURNISHED" = True ] || return 0
 [ "$1 $2" = "netns add" ] || return 0
 command ip netns exec "$3" "$IMS_IMSIPSEC" -batch "$IMS_FOLDER/furniture" >"$IMS_FOLDER/out" 2>&1 &&
  echo "$3" >>"$IMS_FOLDER/furnished" && return
 cat "$IMS_FOLDER/out" >>"$IMS_FOLDER/errors"
}'''


def furnish(ns):
    """Endpoints and bundles, as FURNITURE has them."""
    with ns:
        done = subprocess.run([IMSIPSEC, '-batch', '-'], input=FURNITURE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
    equal(done.returncode, 0, done.stdout)


def ours(ns):
    """What is there of ours: bundles but for times, SAs and policies."""
    return ([(b['id'], b['state']) for b in json.loads(ns.run(IMSIPSEC, '-j', 'bundle', 'show'))],
            ns.ip('xfrm state count'), ns.ip('xfrm policy count'))


def lines(folder, name):
    """Of a file that the suite's `ip` has written, if it has."""
    if not os.path.exists(f'{folder}/{name}'):
        return []
    with open(f'{folder}/{name}', encoding='utf-8') as f:
        return f.read().splitlines()


def run(name, begin, furnished=True):
    """A suite's status, what it said, and how many namespaces of its own were furnished; nothing stays of it."""
    suite, there = SUITES[name], set(os.listdir('/run/netns'))
    os.makedirs(SAID, exist_ok=True)
    path, *arguments = suite.argv
    with (tempfile.TemporaryDirectory() as folder,
          open(f'{SAID}/{name}', 'w+', encoding='utf-8', errors='replace') as said):
        with open(f'{folder}/furniture', 'w', encoding='utf-8') as f:
            f.write(FURNITURE)
        env = {**os.environ, **suite.env,
               'BASH_FUNC_ip%%': IP, 'IMS_FOLDER': folder, 'IMS_IMSIPSEC': IMSIPSEC, 'IMS_UML': str(UML),
               'IMS_FURNISHED': str(furnished), 'IMS_BATCHED': str(suite.batched)}
        # Another shell would not have our `ip`
        argv = [*(['bash'] if path.endswith('.sh') else []), f'./{os.path.basename(path)}', *arguments]
        with subprocess.Popen(['ip', 'netns', 'exec', begin.name, *argv], env=env, cwd=os.path.dirname(f'{FOLDER}/{path}'),
                              stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True) as p:
            try:
                status = p.wait(LIMIT)
            except subprocess.TimeoutExpired:
                status = LATE
            finally:
                # And all that it has left running
                subprocess.run(['pkill', '-KILL', '-s', str(p.pid)], check=False)
        for ns in set(os.listdir('/run/netns')) - there:
            subprocess.run(['ip', 'netns', 'del', ns], stderr=subprocess.DEVNULL, check=False)
        said.seek(0)
        equal(lines(folder, 'errors'), [], 'a namespace of its own has not got our endpoints')
        return status, said.read(), len(lines(folder, 'furnished'))


def results(suite, text):
    return [x for x in RESULT.findall(text) if re.search(suite.counts, x)]


def failures(suite, status, text):
    """Those of its results that are bad, without what differs from run to run."""
    bad = {VARYING.sub('…', ' '.join(x.split())) for x in results(suite, text) if BAD.match(x)}
    if status == LATE:
        bad.add(f'no end within {LIMIT} s')
    elif status and not suite.counts and not bad:
        bad.add(f'it ends with {status}')
    return bad


def without_module(name):
    """How it fails where nothing of ours is."""
    wait(lambda: not rmmod().returncode, 'rmmod', 60)
    begin = Namespace('S')
    try:
        return failures(SUITES[name], *run(name, begin, False)[:2])
    finally:
        begin.delete()
        done = insmod()
        equal(done.returncode, 0, done.stdout)


def here(name):
    """Skip what cannot be run."""
    suite = SUITES[name]
    path = f'{FOLDER}/{suite.argv[0]}'
    if not os.path.isdir(FOLDER):
        raise Skip(f'{FOLDER} is not there: selftests/vm/kernel suites {SERIES}')
    if not os.path.exists(path):
        raise Skip(f'{name} did not build' if os.path.exists(path + '.c') else f'{SERIES} has no such one')
    if not FULL and suite.where < (IN_UML if UML else EVERYWHERE):
        raise Skip('with FULL' if suite.where == NOWHERE else 'with FULL, or on user-mode Linux')


def attempt(name):
    """One run, with the module: what is bad, and all that it said."""
    suite, beside, begin = SUITES[name], Namespace('P'), Namespace('S')
    try:
        furnish(beside)
        if not suite.bare:
            furnish(begin)
        was, start = [ours(ns) for ns in (beside, begin)], time.monotonic()
        status, text, added = run(name, begin)
        bad, said = failures(suite, status, text), results(suite, text)
        good = sum(bool(GOOD.match(x)) for x in said)
        say(f'{name}: {time.monotonic() - start:.0f} s, status {status}, {good} good, {len(bad)} bad, {added} namespaces')
        equal([ours(ns) for ns in (beside, begin)], was, 'ours')
    finally:
        for ns in (begin, beside):
            ns.delete()
    if status == SKIPPED and not suite.counts or said and all('SKIP' in x for x in said):
        raise Skip(f'by itself: {(said or text.splitlines() or ["no word"])[-1]}')
    if not bad:
        check(good, f'it says nothing of what it did:\n{text[-2000:]}')
        check(added or not suite.adds, 'none of its namespaces has got our endpoints')
    return bad, text


@test('SUITES', "the kernel's own {}", each=tuple(SUITES), limit=(ATTEMPTS + 1) * LIMIT + 300)
def suite_passes(name):
    here(name)
    bad, text = attempt(name)
    # Some wait for a second, which may be too short here: what counts is what fails each time
    for _ in range(1, ATTEMPTS):
        if not bad:
            return
        say(f'bad: {"; ".join(sorted(bad)[:10])}')
        again, text = attempt(name)
        bad &= again
    if not bad:
        return
    also = without_module(name)
    check(bad <= also, f'with the module alone: {sorted(bad - also)[:10]}\n{text[-2000:]}')
    raise Skip(f'without the module it fails as well: {"; ".join(sorted(bad)[:5])}')


if __name__ == '__main__':
    main()
