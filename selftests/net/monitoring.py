#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What monitoring gets: OpenMetrics, Prometheus' text format, and both by way of Debian's own servers.

A real prometheus-node-exporter reads the file that the timer's service writes, a real Prometheus scrapes that,
has the alerts loaded, and answers each query of the dashboard.  They are where selftests/monitoring/setup has put
them.
"""
import contextlib
import glob
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from document import Document  # noqa: E402  pylint: disable=wrong-import-position
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from machine import Machine  # noqa: E402  pylint: disable=wrong-import-position

IMSIPSEC = os.environ.get('IMSIPSEC') or f'{TOP}/build/user/imsipsec'
MONITORING = f'{TOP}/user/monitoring'
FOLDER = '/var/lib/prometheus/node-exporter'
PROMETHEUS = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'ims_ipsec/prometheus')
BIN = '/usr/local/sbin'
EXPORTER, SERVER = 'http://127.0.0.1:9100', 'http://127.0.0.1:9090'


def stats(*words, ns=None):
    return (ns or World.p).run(IMSIPSEC, 'stats', *words)


def program(name):
    path = f'{PROMETHEUS}/usr/bin/{name}'
    if not os.path.exists(path):
        raise Skip('selftests/monitoring/setup has not been run')
    return path


def samples(families):
    """{(name, labels): value} of what python3-prometheus-client has read."""
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def of(values, name, **labels):
    return values[name, tuple(sorted(labels.items()))]


def clear(b, n=1):
    """In clear to a protected port, and it is dropped."""
    src, dst = b['ue-address'], b['address']
    was = World.nl.do('endpoint-get', id=b['endpoint'])['drop-plaintext-in']
    for _ in range(n):
        World.wire.send(ip(src, dst, UDP, layer4(src, dst, UDP, 5060, b['port-ps'], b'clear')))
    wait(lambda: World.nl.do('endpoint-get', id=b['endpoint'])['drop-plaintext-in'] >= was + n, 'it is dropped')


def something():
    """Two endpoints, a bundle that is confirmed, one that is refused, packets that are dropped."""
    ep, _ = endpoint(), endpoint(P6, guard='reject')
    b = bundle(ep)
    World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
    bundle(ep, ue_address='192.0.2.9')
    expect_error('ENOENT', bundle, 4711)
    clear(b, 3)
    return ep, b


def told_of(values):
    """They are those of the command's JSON."""
    j = json.loads(World.p.run(IMSIPSEC, '-j', 'stats'))
    for resource, used, limit in (('endpoints', 'endpoints', 'max-endpoints'), ('bundles', 'bundles', 'max-bundles'),
                                  ('registrations', 'registrations', 'max-registrations'),
                                  ('pending', 'pending', 'max-pending'), ('spis', 'spis-used', 'spis')):
        equal(of(values, 'ims_ipsec_resource_used', resource=resource), j[used], f'{resource} in use')
        equal(of(values, 'ims_ipsec_resource_limit', resource=resource), j[limit], f'limit of {resource}')
    for event in ('created', 'confirmed', 'activated', 'superseded', 'expired', 'deleted'):
        equal(of(values, 'ims_ipsec_bundle_events_total', event=event), j[event], event)
    for name, key in (('bundles_refused_total', 'refused'), ('nat_mappings_total', 'nat-mappings'), ('nat_bundles', 'nat-bundles'),
                      ('offload_fallbacks_total', 'offload-fallbacks'), ('nearly_full_total', 'nearly-full')):
        equal(of(values, f'ims_ipsec_{name}'), j[key], key)
    for e in json.loads(World.p.run(IMSIPSEC, '-j', 'endpoint', 'show')):
        which = {'address': e['address'], 'port_ps': str(e['port-ps'])}
        equal(of(values, 'ims_ipsec_endpoint_info', guard=e['guard'], **which), 1, 'its guard')
        equal(of(values, 'ims_ipsec_endpoint_bundles', **which), e['bundles'], 'its bundles')
        equal(of(values, 'ims_ipsec_clear_to_ue_packets_total', **which), e['clear-to-ue'], 'in clear to UEs')
        for reason in ('plaintext-in', 'plaintext-out', 'foreign-sa', 'cross-pair', 'no-live-set', 'udp-only', 'bad-icv', 'unknown-spi'):
            key = f'esp-{reason}' if reason in ('bad-icv', 'unknown-spi') else f'drop-{reason}'
            equal(of(values, 'ims_ipsec_dropped_packets_total', reason=reason, **which), e[key], reason)
    equal(of(values, 'ims_ipsec_up'), 1, 'up')
    # Nothing but that is there: up, the module, 10 of resources, 6 events, 5 single ones, 11 of an endpoint
    equal(len(values), 2 + 10 + 6 + 5 + 2 * 11, 'samples')
    equal(of(values, 'ims_ipsec_dropped_packets_total', address=P4, port_ps=str(PORT_PS), reason='plaintext-in'), 3, 'what was dropped')


@test('MONITOR', "OpenMetrics: prometheus_client's parser reads it, and each value is that of the command's JSON")
def openmetrics():
    from prometheus_client.openmetrics.parser import text_string_to_metric_families  # pylint: disable=import-outside-toplevel
    something()
    families = list(text_string_to_metric_families(stats('--openmetrics')))
    kinds = {f.name: f.type for f in families}
    equal((kinds['ims_ipsec_bundle_events'], kinds['ims_ipsec_resource_used'], kinds['ims_ipsec_module']),
          ('counter', 'gauge', 'info'), 'types')
    check(all(f.documentation.endswith('.') for f in families), 'each has its help')
    values = samples(families)
    told_of({k: v for k, v in values.items()})
    version = World.p.run(IMSIPSEC, 'version').split()[1]
    equal(of(values, 'ims_ipsec_module_info', version=version), 1, 'the module')
    # That the parser would have found what is wrong
    try:
        list(text_string_to_metric_families(stats('--prometheus')))
    except ValueError:
        pass
    else:
        raise Fail('the parser takes the older format for OpenMetrics')


@test('MONITOR', "Prometheus' text format: the same values, and promtool check metrics has nothing to say")
def prometheus_text():
    from prometheus_client.parser import text_string_to_metric_families  # pylint: disable=import-outside-toplevel
    something()
    text = stats('--prometheus')
    told_of(samples(text_string_to_metric_families(text)))
    equal(World.p.run(program('promtool'), 'check', 'metrics', stdin=text), '', 'what promtool says')
    # Of OpenMetrics it would say that its counters are none
    check(World.p.run(program('promtool'), 'check', 'metrics', stdin=stats('--openmetrics'), ok=False), 'promtool says nothing of OpenMetrics')


@test('MONITOR', 'HELP is the same with endpoints and without, and whatever the label')
def same_help():
    def helps(text):
        return [x for x in text.splitlines() if x.startswith('#')]
    without = helps(stats('--prometheus'))
    something()
    equal(helps(stats('--prometheus')), without, 'with endpoints')
    equal(helps(stats('--prometheus', 'netns', 'a"b\\c\nd')), without, 'with a label')
    check('ims_ipsec_up{netns="a\\"b\\\\c\\nd"} 1\n' in stats('--prometheus', 'netns', 'a"b\\c\nd'), 'what is escaped')


@test('MONITOR', 'the file is there as a whole, for everybody to read, and nothing beside it')
def whole_file():
    something()
    os.makedirs('/tmp/metrics', exist_ok=True)
    path = '/tmp/metrics/ims_ipsec.prom'
    stats('--openmetrics', 'file', path)
    # No signal ends the writer: user-mode Linux 6.12 panics when one that kills meets fork()
    ended = '/tmp/metrics-ended'
    with World.p, subprocess.Popen(['bash', '-c', f'until [ -e {ended} ]; do {IMSIPSEC} stats --openmetrics file {path} || exit; done']):
        seen = set()

        def read_it():
            with open(path, encoding='utf-8') as f:
                seen.add(os.fstat(f.fileno()).st_ino)
                check(f.read().endswith('# EOF\n'), 'half of a file')
            return len(seen) > 20
        try:
            wait(read_it, 'twenty files')
        finally:
            with open(ended, 'w', encoding='utf-8'):
                pass
    os.unlink(ended)
    equal(os.listdir('/tmp/metrics'), ['ims_ipsec.prom'], 'files')
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o644, 'its mode')
    World.p.run(IMSIPSEC, 'stats', '--prometheus', 'file', '/tmp/metrics', ok=False)
    equal(sorted(os.listdir('/tmp/metrics')), ['ims_ipsec.prom'], 'what a failure leaves')


@contextlib.contextmanager
def running(*argv, log):
    with open(log, 'wb') as f, World.p:
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
    try:
        yield p
    except Exception:
        with open(log, encoding='utf-8', errors='replace') as f:
            say(f.read()[-3000:])
        raise
    finally:
        p.kill()
        p.wait()


def get(url):
    """What is there, by HTTP; None if nobody is there yet."""
    with World.p:
        try:
            with urllib.request.urlopen(url, timeout=30) as f:
                return f.read().decode()
        except OSError:
            return None


def query(path, **words):
    text = get(f'{SERVER}/api/v1/{path}?{urllib.parse.urlencode(words)}')
    answer = json.loads(text) if text else {}
    return answer.get('data') if answer.get('status') == 'success' else None


@contextlib.contextmanager
def exporter():
    """node-exporter with its folder of text files, as Debian's package sets it."""
    path = program('prometheus-node-exporter')
    os.makedirs(FOLDER, exist_ok=True)
    for x in glob.glob(FOLDER + '/*'):
        os.unlink(x)
    with running(path, '--web.listen-address=127.0.0.1:9100', '--collector.disable-defaults', '--collector.textfile',
                 f'--collector.textfile.directory={FOLDER}', log='/tmp/exporter.log'):
        wait(lambda: get(EXPORTER + '/metrics'), 'the exporter listens', 120)
        yield


@contextlib.contextmanager
def server():
    with open('/tmp/prometheus.yml', 'w', encoding='utf-8') as f:
        f.write(f'global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{MONITORING}/ims_ipsec.rules.yml]\n'
                'scrape_configs:\n- job_name: node\n  static_configs: [{targets: ["127.0.0.1:9100"]}]\n')
    with running(program('prometheus'), '--config.file=/tmp/prometheus.yml', '--storage.tsdb.path=/tmp/prometheus',
                 '--web.listen-address=127.0.0.1:9090', log='/tmp/prometheus.log'):
        wait(lambda: query('query', query='1'), 'Prometheus answers', 240)
        yield


def value(expr):
    """Of the one sample that there is."""
    found = (query('query', query=expr) or {}).get('result', [])
    return float(found[0]['value'][1]) if len(found) == 1 else None


def queries():
    """Each query of the dashboard, with Grafana's variables in place."""
    with open(f'{MONITORING}/ims_ipsec.dashboard.json', encoding='utf-8') as f:
        for panel in json.load(f)['panels']:
            for t in panel['targets']:
                yield panel['title'], t['expr'].replace('$instance', '.*').replace('$__rate_interval', '1m')


@test('MONITOR', "node-exporter and Prometheus: what was counted is there, the alerts are loaded, and each query of the dashboard is answered",
      limit=900)
def scraped():
    path = f'{FOLDER}/ims_ipsec.prom'
    with exporter():
        ep, b = something()
        stats('--prometheus', 'file', path)
        shown = get(EXPORTER + '/metrics')
        check('# TYPE ims_ipsec_bundle_events_total counter\n' in shown, 'a counter is one')
        check('\nnode_textfile_scrape_error 0\n' in shown, f'the exporter has no error: {shown[-2000:]}')
        with server():
            count = f'ims_ipsec_dropped_packets_total{{reason="plaintext-in",address="{P4}"}}'
            wait(lambda: value(count) == 3, 'Prometheus has scraped it', 120)
            clear(b, 4)
            stats('--prometheus', 'file', path)
            wait(lambda: value(count) == 7, 'and what was counted later', 120)
            equal(value('ims_ipsec_resource_used{resource="bundles"}'), 2, 'bundles')
            equal(value('sum(ims_ipsec_endpoint_bundles)'), 2, 'bundles of endpoints')
            for title, expr in queries():
                check('$' not in expr, f'a variable that is not known: {expr}')
                wait(lambda e=expr: (query('query', query=e) or {}).get('result'), f'an answer to the query of "{title}": {expr}')
            rules = [r for g in query('rules')['groups'] for r in g['rules']]
            wait(lambda: all(r['health'] == 'ok' for g in query('rules')['groups'] for r in g['rules']), 'each alert is evaluated', 60)
            say(f'{len(rules)} alerts, {len(list(queries()))} queries')
            # One that has a reason
            for name in glob.glob(FOLDER + '/*'):
                os.utime(name, (1, 1))
            wait(lambda: value('ALERTS{alertname="ImsIpsecStale",alertstate="firing"}') == 1, 'an alert fires', 120)
        World.nl.do('endpoint-del', id=ep['id'], force=True)


@test('MONITOR', 'the files of two network namespaces: with a label for each the exporter shows both, without only one of each series')
def two_files():
    with exporter():
        endpoint()
        with World.u:
            nl = Family()
        nl.do('endpoint-new', {'address': U4, 'port-ps': PORT_PS, 'port-pc': PORT_PC})
        try:
            for ns, name in ((World.p, 'one'), (World.u, 'two')):
                stats('--prometheus', 'netns', name, 'file', f'{FOLDER}/ims_ipsec-{name}.prom', ns=ns)
            shown = get(EXPORTER + '/metrics')
            for name, address in (('one', P4), ('two', U4)):
                check(f'ims_ipsec_endpoint_info{{address="{address}",guard="drop",netns="{name}",port_ps="{PORT_PS}"}} 1' in shown,
                      f'the endpoint of {name}')
            check('\nnode_textfile_scrape_error 0\n' in shown, 'the exporter has no error')
            for ns, name in ((World.p, 'one'), (World.u, 'two')):
                stats('--prometheus', 'file', f'{FOLDER}/ims_ipsec-{name}.prom', ns=ns)
            shown = get(EXPORTER + '/metrics')
            equal(len(re.findall('^ims_ipsec_up', shown, re.M)), 1, 'how often "up" is there, without labels')
            check('\nnode_textfile_scrape_error 0\n' in shown, 'and no error, so that nobody would know')
        finally:
            nl.do('endpoint-del', id=nl.dump('endpoint-get')[0]['id'])
            nl.close()


@test('MONITOR', 'the timer writes the file again and again, for node-exporter', limit=600)
def timer():
    os.makedirs(FOLDER, exist_ok=True)
    path = f'{FOLDER}/ims_ipsec.prom'
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    something()
    # The service does not see /home and /root, where the tree may be
    shutil.copy(IMSIPSEC, f'{BIN}/imsipsec')
    host = Machine()
    for name in ('ims_ipsec-metrics.service.in', 'ims_ipsec-metrics.timer'):
        with open(f'{TOP}/user/systemd/{name}', encoding='utf-8') as f:
            host.unit(name.removesuffix('.in'), f.read().replace('@BINDIR@', BIN))
    # Once more, as often as a test can wait for
    host.unit('ims_ipsec-metrics.timer.d/often.conf', '[Timer]\nOnUnitActiveSec=1s\nAccuracySec=10ms\n')
    lines = Document('monitoring.rst').block('Prometheus and node-exporter', 'systemctl enable')
    with host:
        host.run('\n'.join(x for x in lines if x.startswith('systemctl')))
        seen = set()

        def written():
            with contextlib.suppress(FileNotFoundError):
                seen.add(os.stat(path).st_ino)
            return len(seen) > 2
        try:
            wait(written, 'the file is written three times', 120)
        except Fail:
            say(host.run('systemctl status ims_ipsec-metrics.timer ims_ipsec-metrics.service; journalctl -o cat -u ims_ipsec-metrics', ok=False)[1])
            raise
        equal(host.show('ims_ipsec-metrics.service', 'Result'), ['success'], 'how the service ended')
        with open(path, encoding='utf-8') as f:
            check(re.search(rf'^ims_ipsec_endpoint_bundles{{address="{P4}",port_ps="{PORT_PS}"}} 2$', f.read(), re.M), 'what is in it')


if __name__ == '__main__':
    main(setup, before, teardown)
