# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line."""
import argparse
import asyncio
import ipaddress
import itertools
import resource
import signal
import sys

from . import secagree, subscribers
from .air import AirError
from .phone import NAT_PORT, Environment, Phone, local_address
from .report import Progress, Report
from .steps import STEPS, Script
from .xfrm import Xfrm

VERSION = '@VERSION@'
CAP_NET_ADMIN = 12
# A set that is left behind, as by kill -9, ends by itself so many seconds after what is registered
MARGIN = 600


class Usage(Exception):
    """What was asked for cannot be had as it is: a text for the user."""


def pairs_option(text):
    """alg=ealg,…, or a word for all or the usual ones."""
    if text in ('all', 'usual'):
        return secagree.PAIRS if text == 'all' else secagree.USUAL
    out = []
    for word in text.lower().split(','):
        pair = tuple(word.strip().split('='))
        if pair not in secagree.PAIRS:
            raise argparse.ArgumentTypeError(f'"{word}" is none of {", ".join("=".join(x) for x in secagree.PAIRS)}, all, usual')
        out.append(pair)
    return tuple(dict.fromkeys(out))


def modes_option(text):
    out = []
    for word in text.split(','):
        found = [m for m in secagree.MODES if m.lower() == word.strip().lower()]
        if not found:
            raise argparse.ArgumentTypeError(f'"{word}" is none of {", ".join(secagree.MODES)}')
        out += found
    return tuple(dict.fromkeys(out))


def address_option(text):
    """ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; a name is not looked up."""
    host, port = text, 5060
    if text.startswith('[') and ']' in text:
        host, _, rest = text[1:].partition(']')
        port = rest[1:] if rest.startswith(':') else 5060 if not rest else None
    elif text.count(':') == 1:
        host, _, port = text.partition(':')
    try:
        number = int(port)
        if not 1 <= number <= 65535:
            raise ValueError
        return str(ipaddress.ip_address(host)), number
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(f'"{text}" is no address, ADDRESS:PORT or [ADDRESS]:PORT') from None


def number_option(kind, least, what):
    def convert(text):
        try:
            value = kind(text)
            if not least <= value < 1e9:
                raise ValueError
            return value
        except ValueError:
            raise argparse.ArgumentTypeError(f'"{text}" is not {what}') from None
    return convert


def parser():
    seconds = number_option(float, 0, 'a number of seconds')
    some = number_option(float, 0.001, 'a number of seconds above 0')
    p = argparse.ArgumentParser(
        prog='imsipsec-ue', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Phones with IMS access security (ipsec-3gpp), for who sets up a P-CSCF.',
        epilog='Steps are done in the order given, register first; each phone leaves at the end.\n'
               'Exit status: 0 all is well, 1 something failed, 2 it could not begin, 130 interrupted.\nManual: imsipsec-ue(8)')
    p.add_argument('steps', nargs='+', choices=STEPS, metavar='STEP', help=', '.join(STEPS))
    p.add_argument('--pcscf', required=True, type=address_option, metavar='ADDRESS[:PORT]', help='where all is sent to (5060)')
    p.add_argument('--subscribers', required=True, metavar='FILE', help='CSV: impi,impu,k,opc,op,sqn')
    p.add_argument('--count', type=number_option(int, 1, 'a number of phones'), metavar='N',
                   help='phones (all of the file; of a file of one, derived)')
    p.add_argument('--rate', type=number_option(float, 0, 'a rate'), default=50.0, metavar='R',
                   help='phones that begin in a second, 0: all at once (50)')
    p.add_argument('--source', metavar='ADDRESS[/BITS]', help='address of all phones, or a prefix with one for each (this host\'s)')
    p.add_argument('--port', dest='clear_port', type=number_option(int, 1, 'a port'), metavar='PORT',
                   help='of each phone in clear (5060; any, where phones share an address)')
    p.add_argument('--transport', choices=('udp', 'tcp'), default='udp')
    p.add_argument('--algs', dest='pairs', type=pairs_option, default=secagree.USUAL, metavar='LIST', help='alg=ealg,…, all, or usual (usual)')
    p.add_argument('--mod', dest='modes', type=modes_option, default=('trans',), metavar='LIST', help='trans,UDP-enc-tun (trans)')
    p.add_argument('--nat-port', type=number_option(int, 1, 'a port'), default=NAT_PORT, metavar='PORT', help='of ESP in UDP, at both ends (4500)')
    p.add_argument('--realm', metavar='NAME', help='of the home network (what is behind the @ of the IMPI)')
    p.add_argument('--expires', type=number_option(int, 1, 'a number of seconds'), default=600, metavar='SECONDS', help='(600)')
    p.add_argument('--to', metavar='URI', help='whom to call and write to (the next phone)')
    p.add_argument('--talk', type=seconds, default=0.0, metavar='SECONDS', help='length of a call (0)')
    p.add_argument('--hold', type=seconds, default=0.0, metavar='SECONDS', help='stay registered, and answer what comes (0)')
    p.add_argument('--stay', dest='leave', action='store_false', help='do not de-register at the end')
    p.add_argument('--timeout', type=some, default=32.0, metavar='SECONDS', help='for an answer (32)')
    p.add_argument('--t1', type=some, default=2.0, metavar='SECONDS', help='until a request is sent again over UDP (2)')
    p.add_argument('--json', metavar='FILE', help='JSON as well; -: instead of the table')
    p.add_argument('--quiet', action='store_true', help='no progress')
    p.add_argument('--version', action='version', version=f'imsipsec-ue {VERSION if VERSION[0] != "@" else "of the source tree"}')
    return p


def has_net_admin():
    with open('/proc/self/status', encoding='ascii') as f:
        effective = next(int(x.split()[1], 16) for x in f if x.startswith('CapEff:'))
    return effective >> CAP_NET_ADMIN & 1


def addresses(options, count):
    """An address for each phone, and whether they share it."""
    pcscf = ipaddress.ip_address(options.pcscf)
    try:
        own = local_address(options.pcscf)
    except OSError as e:
        raise Usage(f'there is no way to {options.pcscf}: {e.strerror}') from e
    if own == options.pcscf:
        raise Usage(f'{options.pcscf} is an address of this host: the SAs of both ends would be in one table. '
                    'Run imsipsec-ue on another host, or in a network namespace')
    if not options.source:
        return [own] * count
    try:
        if '/' not in options.source:
            source = ipaddress.ip_address(options.source)
            found = [source] * count
        else:
            source = ipaddress.ip_network(options.source, strict=False)
            found = list(itertools.islice(source.hosts(), count))
    except ValueError:
        raise Usage(f'--source {options.source} is no address and no prefix') from None
    if source.version != pcscf.version:
        raise Usage(f'--source {options.source} and --pcscf {options.pcscf} are of two families')
    if len(found) < count:
        raise Usage(f'--source {options.source} has {len(found)} addresses for {count} phones')
    return [str(x) for x in found]


def raise_files(count):
    """Each phone has a handful of sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 64 + 12 * count
    if soft < wanted:
        if hard < wanted and hard != resource.RLIM_INFINITY:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
                return
            except (ValueError, OSError):
                raise Usage(f'{count} phones need {wanted} open files, and the limit is {hard} (ulimit -n)') from None
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def run(options, people, places, xfrm, report):
    """All phones. Return: the signal that has ended it, or 0."""
    loop, env = asyncio.get_running_loop(), Environment(options, xfrm)
    progress, shared, scripts, interrupted = Progress(report, options.quiet), len({*places}) < len(places), [], []
    clear = options.clear_port or (0 if shared else 5060)
    if shared and options.clear_port:
        raise Usage('--port: phones that share an address cannot share a port')

    async def one(script, after):
        await asyncio.sleep(after)
        report.started += 1
        try:
            await script.run(options.steps)
        finally:
            report.ended += 1

    async def tell():
        while True:
            progress.show()
            await asyncio.sleep(1)
    try:
        for person, place in zip(people, places):
            scripts.append(Script(Phone(env, person, place, clear), report))
        tasks = [loop.create_task(one(x, n / options.rate if options.rate else 0)) for n, x in enumerate(scripts)]
        everything = asyncio.gather(*tasks)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda n=number: (interrupted.append(n), everything.cancel()))
        telling = loop.create_task(tell())
        try:
            await everything
        except asyncio.CancelledError:
            if not interrupted:
                raise
        finally:
            telling.cancel()
            for x in tasks:
                x.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            progress.show(end=True)
    finally:
        # Sockets first: what they have left to say is still protected
        for x in scripts:
            x.phone.close()
        env.close()
    return interrupted[0] if interrupted else 0


def begin(options):
    """What is needed: subscribers, addresses, and the kernel."""
    options.pcscf, options.port = options.pcscf
    options.tcp = options.transport == 'tcp'
    options.life = options.expires + MARGIN
    if options.hold >= options.expires:
        raise Usage('--hold is as long as --expires or longer: nothing is refreshed meanwhile')
    if options.steps[0] != 'register':
        options.steps.insert(0, 'register')
    try:
        people = subscribers.read(options.subscribers, options.count)
    except OSError as e:
        raise Usage(f'{options.subscribers}: {e.strerror}') from e
    except (subscribers.Wrong, UnicodeDecodeError) as e:
        raise Usage(str(e)) from e
    if not has_net_admin():
        raise Usage('CAP_NET_ADMIN is needed, for the phones\' SAs: run it as root, or by setpriv or in a namespace of your own')
    places = addresses(options, len(people))
    raise_files(len(people))
    try:
        xfrm = Xfrm()
    except OSError as e:
        raise Usage(f'the kernel has no XFRM: {e.strerror}') from e
    return people, places, xfrm


def write_json(path, text):
    if path == '-':
        print(text)
        return
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text + '\n')


def main(argv=None):
    """Return: the exit status."""
    options = parser().parse_args(argv)
    xfrm = None
    try:
        if options.json and options.json != '-':
            # Now, and not when all is done
            with open(options.json, 'a', encoding='utf-8'):
                pass
        people, places, xfrm = begin(options)
        report = Report(x.impu for x in people)
        number = asyncio.run(run(options, people, places, xfrm, report))
    except (Usage, AirError) as e:
        print(f'imsipsec-ue: {e}', file=sys.stderr)
        return 2
    except OSError as e:
        print(f'imsipsec-ue: {e.filename or ""} {e.strerror}', file=sys.stderr)
        return 2
    finally:
        if xfrm:
            xfrm.remove_all()
    if options.json != '-':
        six = 'IPv6' if ':' in options.pcscf else 'IPv4'
        print(f'{len(people)} UEs, P-CSCF {options.pcscf} port {options.port}, {options.transport.upper()}, {six}: {report.seconds():.1f} s')
        print(report.table())
    if options.json:
        write_json(options.json, report.as_json({'pcscf': options.pcscf, 'port': options.port, 'transport': options.transport, 'ues': len(people),
                                                 'interrupted': bool(number)}))
    if number:
        return 128 + number
    return 1 if report.failed() or not report.results else 0
