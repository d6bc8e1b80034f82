# SPDX-License-Identifier: GPL-2.0-only
"""Declares tests, runs them and prints KTAP.

A test's name begins with the ids of the requirements that it proves, then a
colon.  `-t ID` runs only those that carry the id, `-1` of each id the first only,
`-l` lists them, V=1 in the environment echoes what is run.
"""
import argparse
import os
import signal
import sys
import time
import traceback

VERBOSE = os.environ.get('V', '0') not in ('', '0')
with open('/proc/cpuinfo', encoding='utf-8') as cpuinfo:
    UML = 'User Mode Linux' in cpuinfo.read()
TESTS = []


class Skip(Exception):
    """This kernel has not what the test needs."""


class Fail(AssertionError):
    """What was expected is not so."""


def test(ids, text, each=(None,), limit=300):
    """Decorator: a test, or one for each element of `each`, which it is given.

    text may hold {} where the element's name goes; limit is in seconds.
    """
    def declare(f):
        for e in each:
            name = f'{ids}: ' + (text if e is None else text.format(label(e)))
            if name in (t[0] for t in TESTS):
                raise ValueError(f'two tests are named {name}')
            TESTS.append((name, f, () if e is None else (e,), limit))
        return f
    return declare


def label(e):
    return ' '.join(map(label, e)) if isinstance(e, tuple) else getattr(e, '__name__', str(e))


def say(*words):
    """A diagnostic."""
    for line in ' '.join(map(str, words)).splitlines() or ['']:
        print(f'# {line}', flush=True)


def echo(where, what):
    if VERBOSE:
        say(f'[{where}] {what}')


def check(truth, text):
    if not truth:
        raise Fail(text)


def equal(got, expected, text):
    if got != expected:
        raise Fail(f'{text}: {got!r}, expected {expected!r}')


def wait(condition, text, timeout=60):
    """Wait until condition() is true, and return what it gave."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Fail(f'{text}: not within {timeout} s')
        time.sleep(0.005)


def ids_of(name):
    """Those that a test's name begins with."""
    return set(name.split(':')[0].split())


def first_of_each(tests):
    """Those that carry an id which none before them does."""
    seen, out = set(), []
    for t in tests:
        if ids_of(t[0]) - seen:
            out.append(t)
        seen |= ids_of(t[0])
    return out


def main(setup=None, before=None, teardown=None):
    """Run the tests declared; before() is called ahead of each."""
    p = argparse.ArgumentParser()
    p.add_argument('-l', action='store_true', help='list the tests')
    p.add_argument('-t', metavar='ID', action='append', default=[],
                   help='only those that carry this id; may be repeated')
    p.add_argument('-1', dest='once', action='store_true', help='of each id the first test only')
    p.add_argument('-x', action='store_true', help='stop at the first that fails')
    args = p.parse_args()
    tests = [t for t in TESTS if not args.t or set(args.t) & ids_of(t[0])]
    if args.once:
        tests = first_of_each(tests)
    if args.l:
        print('\n'.join(t[0] for t in tests))
        return
    print(f'TAP version 13\n1..{len(tests)}', flush=True)
    if not tests:
        return

    # So that cleaning up is done for a run that is broken off, too
    for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(s, lambda *_: sys.exit(1))

    def too_long(*_):
        raise Fail('took too long')
    signal.signal(signal.SIGALRM, too_long)

    failed, me = 0, os.getpid()
    try:
        if setup:
            setup()
        for n, (name, f, arguments, limit) in enumerate(tests, 1):
            result, start = 'ok', time.monotonic()
            signal.alarm(limit)
            try:
                if before:
                    before()
                f(*arguments)
                end = ''
            except Skip as e:
                end = f' # SKIP {e}'
            except Exception as e:  # pylint: disable=broad-except
                if os.getpid() != me:
                    raise
                signal.alarm(0)
                frames = [x for x in traceback.extract_tb(e.__traceback__)
                          if not x.filename.endswith('ktap.py')]
                say(f'{type(e).__name__}: {e}')
                for x in frames:
                    say(f'  {os.path.basename(x.filename)}:{x.lineno}: {x.line}')
                result, end = 'not ok', ''
                failed += 1
            signal.alarm(0)
            if VERBOSE:
                say(f'{time.monotonic() - start:.1f} s')
            print(f'{result} {n} {name}{end}', flush=True)
            if failed and args.x:
                print(f'Bail out!  {name}', flush=True)
                break
    finally:
        if os.getpid() == me and teardown:
            teardown()
    sys.exit(1 if failed else 0)
