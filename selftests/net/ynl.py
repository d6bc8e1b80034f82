#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The family, driven by clients that others make of its spec: the kernel's generated C, and its Python.

selftests/ynl/generate has made both of the kernel's source, below build/ynl.  What the kernel tells of its
policies is compared with the spec as well.
"""
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nl import GENL_ID_CTRL, NETLINK_GENERIC, NLM_F_DUMP, Netlink, Spec, nla, parse  # noqa: E402  pylint: disable=wrong-import-position

BUILT = os.path.join(TOP, 'build/ynl')
PYNL = os.path.join(BUILT, 'tools/net/ynl')
SPEC_FILE = os.path.join(BUILT, 'Documentation/netlink/specs/ims_ipsec.yaml')
SPEC = Spec()
PACKED = {a: b''.join(bytes([int(x)]) for x in a.split('.')) for a in (P4, U4)}
OWNER, CONTACT = b'001010123456789@ims.example', b'urn:uuid:2'


class Ynl:
    """The kernel's Python client, read once: that takes long where a CPU is emulated."""
    family = events = lib = None


def build():
    subprocess.run([TOP + '/selftests/ynl/generate', '--client'], check=True)


def lay():
    before()
    build()
    World.nl.do('config-set', DEFAULTS)


def client(part):
    done = subprocess.run([BUILT + '/client', part, P4, U4], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120, check=False, preexec_fn=World.p.enter)
    check(not done.returncode, done.stdout)


def family():
    """The family in the P-CSCF's namespace."""
    if not Ynl.family:
        sys.dont_write_bytecode = True
        sys.path.insert(0, PYNL)
        import lib  # pylint: disable=import-outside-toplevel,import-error
        Ynl.lib = lib
        with World.p:
            # Its schema is looked at by cli.py
            Ynl.family = lib.YnlFamily(SPEC_FILE, '', process_unknown=True)
    return Ynl.family


def subscribe():
    """Events have a socket of their own: 6.12's client takes none between a request and its answer."""
    with World.p:
        Ynl.events = Ynl.lib.YnlFamily(SPEC_FILE, '', process_unknown=True)
        Ynl.events.ntf_subscribe('events')


def refused(name, text, ask, *args):
    try:
        ask(*args)
    except Ynl.lib.NlError as e:
        equal(os.strerror(e.error), os.strerror(getattr(__import__('errno'), name)), f'{args}')
        said = f'{e.nl_msg.extack}'
        check(text in said, f'{args}: {said}, "{text}" was expected')
        return
    raise Fail(f'{args} is not refused')


def defined(attrs):
    """Without what a kernel that pads its numbers puts between them."""
    return {k: v for k, v in attrs.items() if not k.startswith('UnknownAttr')}


@test('YNL', 'the C client that is generated from the spec: {}', each=('config', 'endpoint', 'bundle'))
def c_client(part):
    client(part)


@test('YNL', "the kernel's Python client reads and sets the configuration, text as well")
def python_config():
    y = family()
    c = y.do('config-get', {})
    equal((c['allowed-algorithms'], c['hw-offload-interface'], c['hw-offload']), ('', '', 'crypto'), 'the defaults')
    equal(c['min-spi'], DEFAULTS['min-spi'], 'min-spi')
    text = {'allowed-algorithms': 'aes-gmac=null,hmac-sha-1-96=aes-cbc', 'hw-offload-interface': 'fifteen-letters',
            'hw-offload': 'software'}
    y.do('config-set', dict(text, **{'max-sets': 2, 'port-pc': [7807, 7808]}))
    c = y.do('config-get', {})
    equal({k: c[k] for k in text}, text, 'what was set')
    equal((c['max-sets'], c['port-pc']), (2, [7807, 7808]), 'numbers that were set')
    y.do('config-set', {'allowed-algorithms': 'aes-gcm' + ' ' * 505})
    y.do('config-set', {'allowed-algorithms': '', 'hw-offload-interface': '', 'hw-offload': 'crypto'})
    c = y.do('config-get', {})
    equal((c['allowed-algorithms'], c['hw-offload-interface']), ('', ''), 'what was emptied')
    refused('ERANGE', '.max-sets', y.do, 'config-set', {'max-sets': 5})
    refused('ERANGE', '.allowed-algorithms', y.do, 'config-set', {'allowed-algorithms': 'aes-gcm' + ' ' * 506})
    refused('EINVAL', 'is no algorithm', y.do, 'config-set', {'allowed-algorithms': 'aes'})
    refused('EINVAL', 'no interface can have this name', y.do, 'config-set', {'hw-offload-interface': 'a/b'})


def python_endpoint(**more):
    attrs = {'address': PACKED[P4], 'port-ps': PORT_PS, 'port-pc': list(PORT_PC), **more}
    return defined(Ynl.family.do('endpoint-new', attrs))


@test('YNL', "the kernel's Python client makes endpoints, gets, dumps and deletes them")
def python_endpoints():
    y = family()
    ep = python_endpoint(guard='reject')
    equal((ep['address'], ep['port-pc'], ep['guard'], ep['bundles']), (PACKED[P4], list(PORT_PC), 'reject', 0), 'the endpoint')
    equal(defined(y.do('endpoint-get', {'id': ep['id']})), ep, 'the endpoint, by its id')
    equal([defined(x) for x in y.dump('endpoint-get', {})], [ep], 'all endpoints')
    refused('EINVAL', 'address is neither 4 nor 16 bytes', y.do, 'endpoint-new', {'address': b'abc'})
    refused('EINVAL', "'miss-type': 'address'", y.do, 'endpoint-new', {'port-ps': 5070})
    refused('ENOENT', 'no endpoint has id', y.do, 'endpoint-del', {'id': ep['id'] + 1, 'force': True})
    y.do('endpoint-del', {'id': ep['id']})
    equal(y.dump('endpoint-get', {}), [], 'all endpoints')


def next_event(kind, bundle_id):
    y = Ynl.events

    def there():
        y.check_ntf()
        return y.async_msg_queue
    wait(there, f'event {kind}')
    event = y.async_msg_queue.pop(0)
    equal((event['name'], event['msg']['type'], event['msg']['bundle']['id']), ('event', kind, bundle_id), 'the event')
    return event['msg']


def python_bundle(ep):
    return {'endpoint': ep['id'], 'owner': OWNER, 'contact': CONTACT, 'ue-address': PACKED[U4], 'port-uc': PORT_UC,
            'port-us': PORT_US, 'spi-uc': SPI_UC, 'spi-us': SPI_US, 'mode': 'trans', 'auth-alg': 'hmac-sha-1-96',
            'enc-alg': 'aes-cbc', 'ik': IK, 'ck': CK, 'allowed-algorithms': 'aes-cbc'}


@test('YNL', "the kernel's Python client makes bundles, dumps, confirms and deletes them, and hears of it")
def python_bundles():
    y = family()
    subscribe()
    ep = python_endpoint()
    attrs = python_bundle(ep)
    b = defined(y.do('bundle-new', attrs))
    equal({k: b[k] for k in attrs if k not in ('ik', 'ck', 'allowed-algorithms')},
          {k: v for k, v in attrs.items() if k not in ('ik', 'ck', 'allowed-algorithms')}, 'the bundle')
    event = next_event('created', b['id'])
    equal((event['new-state'], event['bundle']['owner']), ('temporary', OWNER), 'of the event')
    y.do('bundle-confirm', {'id': b['id'], 'lifetime': 600000, 'older': 'keep'})
    next_event('confirmed', b['id'])
    equal(y.do('bundle-get', {'id': b['id']})['state'], 'established', 'its state')
    for some, n in (({}, 1), ({'owner': OWNER, 'ue-address': PACKED[U4]}, 1), ({'state': 'established'}, 1),
                    ({'contact': b'another'}, 0)):
        equal([x['id'] for x in y.dump('bundle-get', some)], [b['id']] * n, f'those with {some}')
    y.do('bundle-extend', {'id': b['id'], 'lifetime': 700000})
    check(y.do('bundle-get', {'id': b['id']})['lifetime'] > 600000, 'it is not extended')
    tuple_ = {'address': PACKED[P4], 'local-port': PORT_PS, 'ue-address': PACKED[U4], 'ue-port': PORT_UC}
    for some in (tuple_, {'spi': b['spi-pc']}, {'mark': b['mark']}):
        equal(y.do('bundle-find', some)['id'], b['id'], f'the one with {some}')
    for some in ({'id': b['id']}, {'owner': OWNER, 'contact': CONTACT}, {'ue-address': PACKED[U4], 'ue-port': PORT_US}):
        equal(y.do('bundle-tx', some)['id'], b['id'], f'the one to send over, by {some}')
    python_errors(ep, attrs)
    equal([x['interface'] for x in y.dump('offload-get', {'interface': 'lo'})][:1], ['lo'], 'what lo can do')
    check(all('auth-alg' in x for x in y.dump('algorithm-get', {})), 'algorithms')
    equal(y.do('stats-get', {})['bundles'], 1, 'bundles, by the statistics')
    y.do('bundle-del', {'id': b['id']})
    equal(next_event('deleted', b['id'])['reason'], 'request', 'why')
    equal(y.dump('bundle-get', {}), [], 'all bundles')
    b = y.do('bundle-new', attrs)
    equal(y.do('bundle-flush', {'owner': OWNER})['flushed'], 1, 'how many are flushed')
    next_event('created', b['id'])
    next_event('deleted', b['id'])


def python_errors(ep, attrs):
    y = Ynl.family
    for name, value, error, text in (
            ('spi-us', 255, 'ERANGE', 'SPIs below 256 are reserved'), ('owner', b'', 'ERANGE', 'owner has 0 bytes'),
            ('contact', b'c' * 257, 'ERANGE', 'contact has 257 bytes, out of 1 to 256'), ('ck', CK[:15], 'ERANGE', '.ck'),
            ('port-uc', 0, 'ERANGE', '.port-uc'), ('endpoint', ep['id'] + 1, 'ENOENT', 'no endpoint has id')):
        refused(error, text, y.do, 'bundle-new', {**attrs, name: value})
    refused('EINVAL', "'miss-type': 'ik'", y.do, 'bundle-new', {k: v for k, v in attrs.items() if k != 'ik'})
    refused('ENOENT', 'no bundle has id 4294967295', y.do, 'bundle-confirm', {'id': 0xffffffff, 'lifetime': 1})
    refused('ERANGE', 'owner has 0 bytes', y.dump, 'bundle-get', {'owner': b''})
    last = y.dump('trace-get', {'ue-address': PACKED[U4]})[-1]
    equal((last['kind'], last['error'], last['text'][:18]), ('refusal', 2, 'no endpoint has id'), 'the last that is remembered')


@test('YNL', "the kernel's cli.py, which looks at its schema, gets the configuration", limit=600)
def command():
    done = subprocess.run([sys.executable, '-B', PYNL + '/cli.py', '--spec', SPEC_FILE, '--do', 'config-get', '--output-json',
                           '--process-unknown'],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, preexec_fn=World.p.enter)
    check(not done.returncode, done.stderr)
    equal(json.loads(done.stdout)['max-spi'], DEFAULTS['max-spi'], 'max-spi')


# ---- What the kernel tells of its policies ----

CTRL_CMD_GETPOLICY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_POLICY, CTRL_ATTR_OP_POLICY = 10, 1, 8, 9
# enum netlink_attribute_type
KINDS = {1: 'flag', 2: 'u8', 3: 'u16', 4: 'u32', 5: 'u64', 10: 'binary', 11: 'string', 12: 'string that ends in NUL'}
# enum netlink_policy_type_attr
TYPE, MIN_U, MAX_U, MIN_LENGTH, MAX_LENGTH = 1, 4, 5, 6, 7


def told():
    """{(command, 'do' or 'dump'): {attribute: (kind, least, most)}}"""
    nl = Netlink(NETLINK_GENERIC)
    message = struct.pack('=BBH', CTRL_CMD_GETPOLICY, 2, 0) + nla(CTRL_ATTR_FAMILY_ID, struct.pack('=H', World.nl.id))
    policies, ops = {}, {}
    for payload in nl.request(GENL_ID_CTRL, message, NLM_F_DUMP):
        attrs = dict(parse(payload[4:]))
        for index, table in parse(attrs.get(CTRL_ATTR_POLICY, b'')):
            for number, facts in parse(table):
                facts = {t: int.from_bytes(v, sys.byteorder) for t, v in parse(facts)}
                kind = KINDS.get(facts[TYPE])
                least, most = ((facts.get(x) for x in ((MIN_LENGTH, MAX_LENGTH) if kind in ('binary', 'string')
                                                       else (MIN_U, MAX_U))))
                policies.setdefault(index, {})[number] = (kind, least, most)
        for command_, modes in parse(attrs.get(CTRL_ATTR_OP_POLICY, b'')):
            for mode, index in parse(modes):
                ops[command_, {1: 'do', 2: 'dump'}[mode]] = int.from_bytes(index, sys.byteorder)
    nl.close()
    return {key: policies.get(index, {}) for key, index in ops.items()}


def meant(a):
    """What the spec says of an attribute, as the kernel tells."""
    least, most = a.checks.get('min'), a.checks.get('max')
    if a.size:
        if a.enum:
            least, most = max(least or 0, min(a.enum.values())), max(a.enum.values())
        return a.kind, least or 0, (1 << 8 * a.size) - 1 if most is None else most
    exact = a.checks.get('exact-len')
    return a.kind, exact, exact or a.checks.get('max-len')


@test('YNL', 'the policies that the kernel tells of are those of the spec')
def policies_told():
    got = told()
    n = 0
    for name, op in SPEC.ops.items():
        modes = [m for m in ('do', 'dump') if m in op]
        # Before 6.2 an operation has one policy for both
        both = len({id(got[op['value'], m]) for m in modes}) == 1 or all(got[op['value'], m] == got[op['value'], modes[0]]
                                                                         for m in modes)
        for mode in modes:
            listed = {a.number: a for m in (modes if both else [mode]) for a in SPEC.attrs(name, m)}
            policy = {k: v for k, v in got[op['value'], mode].items() if v[0]}
            equal(policy, {k: meant(a) for k, a in listed.items()}, f'{name} {mode}')
            n += len(policy)
    check(n > 60, f'only {n} attributes have been compared')


@test('YNL', 'an operation that has no attributes takes none: {}',
      each=tuple((o, m) for o, op in SPEC.ops.items() for m in ('do', 'dump') if m in op and not SPEC.attrs(o, m)))
def takes_none(case):
    op, mode = case
    World.nl.raw(op, b'', mode == 'dump')
    for number in (1, 2, 63, 64, 127):
        e = expect_error('EINVAL', World.nl.raw, op, nla(number, b'\1\0\0\0'), mode == 'dump')
        check(e.text, f'attribute {number}: no text')


if __name__ == '__main__':
    main(setup, lay, teardown)
