# SPDX-License-Identifier: GPL-2.0-only
"""Processes asleep in a system call, for as long as the test wants.

A call that has the kernel load a module sleeps until modprobe has ended. The kernel is told of a
modprobe that waits, for modules of one name. A page fault would do the same, but not on each kernel.
"""
import os
import shutil
import signal
import tempfile
import threading
import time

from ims import Fail, Family, Namespace, World, bundle, echo, endpoint, wait
from net import libc

MODPROBE = '/proc/sys/kernel/modprobe'
IPPROTO_TCP, TCP_ULP = 6, 31


class Asleep:
    """Within, who asks for a module whose name has `name` in it sleeps."""

    def __init__(self, name):
        self.dir, self.calls = tempfile.mkdtemp(), []
        self.begun, self.fifo, script = (os.path.join(self.dir, x) for x in ('begun', 'fifo', 'modprobe'))
        os.mkfifo(self.fifo)
        with open(MODPROBE, encoding='ascii') as f:
            self.was = f.read().strip()
        with open(script, 'w', encoding='ascii') as f:
            f.write(f'#!/bin/sh\ncase "$*" in\n*\'{name}\'*) : >{self.begun}; read -r _ <{self.fifo} ;;\n'
                    f'*) exec {self.was} "$@" ;;\nesac\n')
        os.chmod(script, 0o755)
        self.set(script)

    @staticmethod
    def set(path):
        echo('-', f'{MODPROBE} = {path}')
        with open(MODPROBE, 'w', encoding='ascii') as f:
            f.write(path)

    def call(self, f, *args):
        """f(*args) is called by a thread, and asleep when this returns."""
        def work():
            try:
                f(*args)
            except OSError:
                pass  # there is no such module
        if os.path.exists(self.begun):
            os.unlink(self.begun)
        thread = threading.Thread(target=work)
        thread.start()
        self.calls.append(thread)
        wait(lambda: os.path.exists(self.begun), 'modprobe is called')

    def hold(self, sock):
        """A thread sleeps in a call on a TCP socket, which nobody else can lock meanwhile."""
        # Not by Python's own function, which lets no other thread run
        self.call(libc.setsockopt, sock.fileno(), IPPROTO_TCP, TCP_ULP, b'ims-asleep', 10)

    def wake(self):
        self.set(self.was)
        # A modprobe may be on its way to the FIFO, or have been started by a second look for the module
        while any(c.is_alive() for c in self.calls):
            try:
                os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                pass
            time.sleep(0.005)
        self.calls.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wake()
        shutil.rmtree(self.dir)


class Working:
    """A process that calls work(); it may be stuck there for as long as somebody sleeps."""

    def __init__(self, work, text):
        self.text = text
        self.pid = os.fork()
        if self.pid:
            return
        status = 1
        try:
            # The alarm is the parent's
            signal.alarm(0)
            work()
            status = 0
        finally:
            os._exit(status)

    def ends(self, timeout=60):
        end = time.monotonic() + timeout
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                if status:
                    raise Fail(f'{self.text}: status {status}')
                return
            if time.monotonic() > end:
                raise Fail(f'{self.text}: not within {timeout} s')
            time.sleep(0.005)


def namespaces_end():
    """Namespaces with endpoints and bundles end, one after the other: the kernel has them queue."""
    for name in ('Q', 'R'):
        ns = Namespace(name)
        with ns:
            nl = Family()
        # Their interfaces go before the module hears of it; the second one's when the first has gone
        ns.ip(f'link add w0 type veth peer name w{name} netns U')
        bundle(endpoint(nl=nl), nl=nl)
        nl.close()
        ns.delete()
        wait(lambda n=name: f'w{n}' not in World.u.ip('-br link'), f"{name}'s interface goes")
