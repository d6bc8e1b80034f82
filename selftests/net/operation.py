#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What Documentation/operation.rst has an operator type, run as it stands, with a UE that talks; and the kernel's log."""
import contextlib
import os
import re
import select
import signal
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from document import Document  # noqa: E402  pylint: disable=wrong-import-position
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from machine import children  # noqa: E402  pylint: disable=wrong-import-position

DOC = Document('operation.rst')
ENVIRONMENT = {**os.environ, 'PATH': f'{TOP}/build/user:{os.environ["PATH"]}', 'LANG': 'C'}
SIP = 'OPTIONS sip:pcscf SIP/2.0'


class Shell:
    """A shell in P that runs lines of the document; what it says is read as it comes."""

    def __init__(self, lines):
        script = '\n'.join(lines)
        echo('P', script)
        with World.p:
            self.process = subprocess.Popen(['bash', '-ec', script], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.said = ''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def has(self, *patterns):
        """All of these are there by now."""
        while select.select([self.process.stdout], [], [], 0)[0]:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            self.said += data.decode(errors='replace')
            if not data:
                break
        return all(re.search(p, self.said, re.M) for p in patterns)

    def says(self, *patterns):
        try:
            wait(lambda: self.has(*patterns), f'it says {patterns}')
        except Fail as e:
            raise Fail(f'{e}; it said {self.said[-2000:]!r}') from None

    def interrupt(self, name):
        """Ctrl-C to what the shell runs now, of that name."""
        # A shell with nothing else to do becomes what it runs
        os.kill(children(self.process.pid).get(name, self.process.pid), signal.SIGINT)

    def ends(self, *statuses):
        status = self.process.wait(120)
        self.has()
        check(status in (statuses or (0,)), f'it ends with {status}: {self.said[-2000:]}')


def needs(*names):
    for name in names:
        if not shutil.which(name):
            raise Skip(f'there is no {name}')


def needs_nflog():
    """nfnetlink_log, which Debian's kernels have as a module."""
    text = 'table inet ims_probe {\n chain c {\n  log group 5\n }\n}\n'
    World.p.run('nft', '-c', '-f', '-', stdin=text.replace('log group 5', 'accept'))
    with World.p:
        if subprocess.run(['nft', '-f', '-'], input=text, text=True, stderr=subprocess.DEVNULL, check=False).returncode:
            raise Skip('this kernel has no nfnetlink_log')
    World.p.run('nft delete table inet ims_probe')


@contextlib.contextmanager
def registered(fam='IPv4', **more):
    """A UE of which the set is in use."""
    p, u = ADDRESSES[fam]
    ep = endpoint(p, **more)
    b = bundle(ep, ue_address=u)
    with Phone(b) as phone:
        World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
        yield ep, b, phone


def clear(b, n=1):
    """In clear to a protected port, and it is dropped."""
    src, dst = b['ue-address'], b['address']
    was = World.nl.do('endpoint-get', id=b['endpoint'])['drop-plaintext-in']
    for _ in range(n):
        World.wire.send(ip(src, dst, UDP, layer4(src, dst, UDP, 5060, b['port-ps'], b'clear')))
    wait(lambda: World.nl.do('endpoint-get', id=b['endpoint'])['drop-plaintext-in'] >= was + n, 'it is dropped')


def talk(phone):
    """All four ways over UDP, and a TCP connection each way round, both directions: what was said in each."""
    texts = []
    for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
        texts.append(f'{SIP} udp {name}')
        phone.deliver(name, texts[-1].encode())
    for name in ('spi-ps', 'spi-us'):
        ends = phone.connect(name)
        for a, b, way in ((0, 1, 'there'), (1, 0, 'back')):
            texts.append(f'{SIP} tcp {name} {way}')
            ends[a].send(texts[-1].encode())
            equal(receive(ends[b]), texts[-1].encode(), 'bytes over TCP')
    return texts


@test('SEE', 'imsipsec monitor, stats, trace, endpoint and bundle show, xfrm_stat: each line of the document')
def commands():
    lines = DOC.block('Watch it', 'imsipsec monitor')
    monitor, rest = lines[0], lines[1:]
    with Shell([monitor]) as sh:
        # It listens when it is in the table of sockets; a bundle shows it
        ep = endpoint()

        def heard():
            World.nl.do('bundle-del', id=bundle(ep)['id'])
            return sh.has('bundle')
        wait(heard, 'it listens')
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        with registered() as (ep, b, phone):
            phone.deliver('spi-ps')
            clear(b)
            sh.says(rf'bundle {b["id"]}\b.*temporary', rf'bundle {b["id"]}\b.*active')
            out = {}
            for line in rest:
                with Shell([line]) as one:
                    one.ends()
                    out[line.split('#')[0].strip()] = one.said
            say(*(f'{k}:\n{v}' for k, v in out.items()))
            check(U4 in out['imsipsec trace'], 'the UE is in trace')
            check(re.search('unprotected in 1', out['imsipsec endpoint show']), 'the guard has dropped one')
            check(str(b['spi-ps']) in out['imsipsec bundle show'], 'the bundle is shown')
            check(out['imsipsec stats'].strip(), 'totals')
            check(re.search(r'^XfrmInNoPols\s+\d+$', out['cat /proc/net/xfrm_stat'], re.M), 'XFRM counts')


@test('SEE', 'imsipsec check: the line of the document, and of what it says')
def looked_at():
    line, = DOC.block('Is the host fit', 'imsipsec check ues')
    expected = DOC.block('Is the host fit', 'warning  tcp-marks')
    # Their device is eth0
    with registered(), Shell([line]) as sh:
        sh.process.wait(60)
        sh.has()
        for text in expected:
            text = re.sub(r'of endpoint \d+ is on eth0', f'of endpoint {World.nl.dump("endpoint-get")[0]["id"]} is on p0', text)
            check(text in sh.said.splitlines(), f'it does not say {text}: {sh.said}')


@test('SEE', 'a firewall that drops all else, with the rules of the document: SIP passes, check has nothing to say, {}',
      each=ADDRESSES)
def firewall(fam):
    rules = [line.split('#')[0].strip() for line in DOC.block('Sysctls', 'meta l4proto esp accept')]
    with registered(fam, nat_traversal=1) as (_, _, phone):
        try:
            World.p.run('nft', '-f', '-', stdin='table inet f { chain i { type filter hook input priority 0; policy drop; '
                        'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n}\n}\n')
            with Shell(['imsipsec check | grep "^warning *firewall"']) as sh:
                sh.ends()
                sh.says('speaks of ESP', 'speaks of UDP port 4500')
            # Without them nothing comes in
            phone.send('spi-ps', b'dropped')
            for rule in rules:
                World.p.run(f'nft add rule inet f i {rule}')
            talk(phone)
            with Shell(['imsipsec check | grep firewall']) as sh:
                sh.ends()
                sh.says('^ok .*speak of all')
        finally:
            World.p.run('nft flush ruleset')


@test('SEE', 'tcpdump on a device, and on any, shows ESP and nothing else, both ways, {}', each=ADDRESSES)
def encrypted(fam):
    needs('tcpdump')
    World.p.ip('link property add dev p0 altname eth0')
    try:
        for line in DOC.block('SIP in clear', 'tcpdump -n -i eth0'):
            with registered(fam) as (ep, b, phone), Shell([line.replace('tcpdump', 'tcpdump -l', 1)]) as sh:
                sh.says('listening on')
                talk(phone)
                p, u = ADDRESSES[fam]
                sh.says(*(rf' {src} > {dst}: ESP\(spi=0x{spi:08x}' for spi, (src, dst, *_) in table(b).items()))
                sh.interrupt('tcpdump')
                sh.ends()
                lines = [x for x in sh.said.splitlines() if f' {p}' in x or f' {u}' in x]
                equal([x for x in lines if 'ESP(spi=' not in x and 'ICMP6' not in x], [], f'what else {line} shows')
                World.nl.do('endpoint-del', id=ep['id'], force=True)
    finally:
        World.p.ip('link property del dev p0 altname eth0')


@test('SEE', 'as it is shipped, and with GRO, tcpdump shows what comes in clear, what is sent not, and nftables sees no ESP come, {}',
      each=ADDRESSES)
def shipped(fam):
    needs('tcpdump', 'nft')
    clear_form, esp_form = DOC.block('SIP in clear', 'length 15')
    rules = [f'chain {hook} {{\ntype filter hook {hook} priority 0\nmeta l4proto esp counter\nmeta ipsec exists counter\n}}'
             for hook in ('prerouting', 'input')]
    set_gro(World.u, World.p, True)
    World.p.run('nft', '-f', '-', stdin='\n'.join(['table inet seen {', *rules, '}\n']))
    try:
        with registered(fam, hw_offload='software') as (_, b, phone), Shell(['tcpdump -n -l -i p0']) as sh:
            sh.says('listening on')
            phone.deliver('spi-ps', b'15 bytes, as it')
            phone.deliver('spi-uc', b'15 bytes, as it')
            (u, p, uc, ps, _), out = table(b)[b['spi-ps']], f"0x{b['spi-uc']:08x}"
            want = [re.escape(form.split(' ', 1)[1]) for form in (
                clear_form.replace('192.0.2.2.8034', f'{u}.{uc}').replace('192.0.2.1.7777', f'{p}.{ps}'),
                esp_form.replace('192.0.2.1', p).replace('192.0.2.2', u).replace('0x3d4e37a0', out).split(', length')[0])]
            sh.says(*(x.replace('IP\\ ', 'IP6?\\ ') for x in want))
            check(f'{u} > {p}: ESP' not in sh.said, f'ESP that has come is shown: {sh.said[-1000:]}')
            sh.interrupt('tcpdump')
            sh.ends()
        counts = [int(x) for x in re.findall(r'packets (\d+)', World.p.run('nft list table inet seen'))]
        equal(counts, [0, 1, 0, 1], 'ESP, and what has come out of it, at prerouting and input')
    finally:
        World.p.run('nft delete table inet seen')
        set_gro(World.u, World.p, SHIPPED)


@test('SEE', 'tcpdump by nflog, as the document has it, shows decrypted SIP both ways, UDP and TCP, {}', each=ADDRESSES)
def decrypted(fam):
    lines, _ = DOC.block('SIP in clear', 'nflog'), DOC.block('SIP in clear', 'CSeq: 0')
    needs('tcpdump', 'nft')
    needs_nflog()
    with registered(fam) as (_, b, phone), Shell(lines) as sh:
        sh.says('listening on nflog:5')
        texts = talk(phone)
        sh.says(*(re.escape(x) for x in texts))
        # As in what the document shows: who to whom
        sh.says(*(rf'^[0-9:.]+ IP6? {src}.{sport} > {dst}.{dport}: ' for src, dst, sport, dport, _ in table(b).values()))
        equal(World.p.run('nft list tables').strip(), 'table inet sip_in_clear', 'tables meanwhile')
        sh.interrupt('tcpdump')
        sh.ends()
        equal(World.p.run('nft list tables'), '', 'tables afterwards')


FORM = r'^ *\S+-\d+ .* \d+\.\d+: *(ims_\w+): +(.*)$'


def events(said, b):
    """What the tracepoints told of a bundle that was made and used, and of one packet in clear."""
    found = [(name, dict(x.split('=') for x in fields.split())) for name, fields in re.findall(FORM, said, re.M)]
    states = [(x['old_state'], x['new_state']) for name, x in found
              if name == 'ims_bundle_state' and x['bundle'] == str(b['id'])]
    drops = [x for name, x in found if name == 'ims_drop']
    return states, drops


def are_told(said, b):
    states, drops = events(said, b)
    equal((states[0], states[-1][1]), (('0', '1'), '3'), f'states: {said[-1500:]}')
    expected = {'reason': '1', 'proto': '17', 'sport': '5060', 'dport': str(b['port-ps'])}
    check(drops and expected.items() <= drops[0].items(), f'the drop: {drops}')


def recording():
    """What is recorded as long as it runs has begun: it reads from the pipe."""
    with contextlib.suppress(OSError):
        return os.open('/tmp/ims_end', os.O_WRONLY | os.O_NONBLOCK)


@test('SEE', 'the tracepoints by trace-cmd, as the document has it')
def trace_cmd():
    lines = DOC.block('Tracepoints', 'trace-cmd record')
    needs('trace-cmd')
    with contextlib.suppress(FileExistsError):
        os.mkfifo('/tmp/ims_end')
    with Shell([x.replace('sleep 10', 'cat /tmp/ims_end') for x in lines]) as sh:
        end = wait(recording, 'it records')
        with registered() as (_, b, phone):
            phone.deliver('spi-ps')
            clear(b)
        os.close(end)
        sh.ends()
        are_told(sh.said, b)


@test('SEE', 'the tracepoints by the files of tracefs, as the document has it')
def trace_pipe():
    lines = DOC.block('Tracepoints', 'cat trace_pipe')
    if not os.path.isdir('/sys/kernel/tracing/events/ims_ipsec'):
        raise Skip('this kernel has no tracefs')
    # A shell that somebody types into goes on after Ctrl-C
    with Shell(['set +e', *lines]) as sh:
        wait(lambda: read('/sys/kernel/tracing/events/ims_ipsec/enable') == '1', 'they are enabled')
        with registered() as (_, b, phone):
            phone.deliver('spi-ps')
            clear(b)
            sh.says(r'ims_bundle_state: ', r'ims_drop: ')
            wait(lambda: sh.has(r'ims_drop: '), 'a drop')
        sh.interrupt('cat')
        sh.ends()
        are_told(sh.said, b)
        equal(read('/sys/kernel/tracing/events/ims_ipsec/enable'), '0', 'enabled')
    # Of this form is what the document shows
    sample = DOC.block('Tracepoints', 'ims_drop: endpoint')
    check(all(re.match(FORM, x) for x in sample), f'the form of {sample}')


def read(path):
    with open(path, encoding='ascii') as f:
        return f.read().strip()


FAULTS = 1000


@test('SEE KEYS', 'the kernel log: a thousand faults of each kind are few lines, and none has a key')
def log():
    with open('/dev/kmsg', 'rb', buffering=0) as f:
        os.set_blocking(f.fileno(), False)
        os.lseek(f.fileno(), 0, os.SEEK_END)
        with registered() as (ep, b, phone):
            more = [bundle(ep, ue_address=f'198.51.100.{n + 1}', auth_alg=a, enc_alg=e) for n, (a, e) in enumerate(PAIRS)]
            # In clear; over an SA, with what does not authenticate; requests that are refused, with keys
            for _ in range(FAULTS // 100):
                clear(b, 100)
            for n in range(FAULTS):
                World.wire.send(ip(U4, P4, ESP, struct.pack('>II', b['spi-ps'], n + 1) + bytes(80)))
                try:
                    World.nl.do('bundle-new', bundle_attrs(ep, auth_alg='aes-gmac', enc_alg='aes-cbc', ue_address=U4))
                except NlError:
                    pass
            # A stranger's policy in the place of one of ours, put there anew each time
            sel = f'src {P4}/32 dst 0.0.0.0/0 sport {PORT_PS} dir out'
            World.p.ip(*[f'xfrm policy update {sel}'] * FAULTS)
            wait(lambda: 'stands where one of ours was' in ''.join(said_by(f)), 'it is said')
            World.p.ip(f'xfrm policy delete {sel}')
            # SAs that somebody takes away
            for _ in range(FAULTS // 100):
                made = bundle(ep, ue_address='198.51.100.77', owner=b'other')
                World.xfrm.flush_states()
                with contextlib.suppress(NlError):
                    World.nl.do('bundle-del', id=made['id'])
            check(more and phone, 'a UE')
        lines = said_by(f)
    ours = [x for x in lines if 'ims_ipsec' in x]
    say(f'{len(lines)} lines, {len(ours)} of ours; the first: {ours[:1]}')
    check(ours, 'there are lines')
    # The kernel lets a place say ten in five seconds; on a slow machine there are more of these
    times = [int(x.split(',')[2]) for x in ours]
    check(len(ours) <= 25 + 10 * ((max(times) - min(times)) // 5000000), f'{len(ours)} lines, such as {ours[:3]}')
    text = ''.join(lines).lower().replace(' ', '').replace(':', '')
    for key in (IK.hex(), CK.hex(), *AUTH_KEY.values(), *filter(None, ENC_KEY.values()), GCM[1], GMAC[1]):
        for part in (key[:16], bytes.fromhex(key[:16])[::-1].hex()):
            check(part not in text, f'a key in the log: {part}')


SAID = []


def said_by(f):
    """What the kernel has said since the file was opened."""
    while True:
        try:
            SAID.append(os.read(f.fileno(), 8192).decode(errors='replace'))
        except BrokenPipeError:
            raise Fail('so many lines that some are lost') from None
        except BlockingIOError:
            return SAID


@test('SEE', 'every command line of the document has been run, here, in startup.py, capture.py or pcscf.py')
def all_run():
    here = DOC.sections() - {'Start-up', 'Privileges', 'An address that changes hands', 'What a phone says'}
    check(here, 'blocks')
    equal(DOC.left(*here), [], 'literal blocks that no test has run')


if __name__ == '__main__':
    main(setup, before, teardown)
