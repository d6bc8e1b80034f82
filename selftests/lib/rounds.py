# SPDX-License-Identifier: GPL-2.0-only
"""Traffic that goes on while something else is done."""
import mmap
import os
import select
import signal
import struct

from ktap import Fail, wait


class Rounds:
    """A process that does a thing again and again; what goes wrong there fails the test here."""

    def __init__(self, work, close=()):
        self.work, self.close, self.shared = work, close, mmap.mmap(-1, 8)
        self.pid = self.errors = None

    def done(self):
        return struct.unpack('Q', self.shared[:8])[0]

    def __enter__(self):
        self.errors, w = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            stop = []
            try:
                for fd in self.close:
                    os.close(fd)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
                os.sched_setaffinity(0, {1 % os.cpu_count()})
                while not stop:
                    self.work()
                    self.shared[:8] = struct.pack('Q', self.done() + 1)
            except BaseException as e:  # pylint: disable=broad-except
                os.write(w, f'{type(e).__name__}: {e}'.encode())
            finally:
                os._exit(0)
        os.close(w)
        self.more(1)
        return self

    def more(self, n=2):
        """So many whole rounds from now on: one that was begun before does not count."""
        want = self.done() + n + 1
        wait(lambda: self.done() >= want or select.select([self.errors], [], [], 0)[0], f'{n} rounds', 60)
        if self.done() < want:
            self.stop()

    def __exit__(self, kind, *_):
        self.stop(kind)

    def stop(self, kind=None):
        """The last round is finished; where nothing else went wrong, what did there is raised here."""
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGTERM)
        with os.fdopen(self.errors, 'rb') as f:
            text = f.read().decode()
        os.waitpid(self.pid, 0)
        self.pid = None
        if text and not kind:
            raise Fail(f'in round {self.done() + 1}: {text}')
