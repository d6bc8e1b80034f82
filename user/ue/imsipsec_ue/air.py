# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets of phones, and over which set each message came.

Over UDP the mark of a datagram tells, which its SA has given it. A stream has no marks: there the SAs' counters of bytes
tell, which have grown by as many as the connection has had, without headers, if all of these were in ESP.
"""
import asyncio
import errno
import os
import socket
import struct

from .sip import Bad, Message, split
from .xfrm import family

SO_MARK, SO_RCVMARK = 36, 75
IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE = 11, 25, 0x2000
UDP_ENCAP, UDP_NO_CHECK6_RX, UDP_ENCAP_ESPINUDP = 100, 102, 2
KEEP_ALIVE = 20
TCPI_OPT_TIMESTAMPS = 1


class AirError(Exception):
    """A socket cannot be had."""

    def __init__(self, text, number=0):
        super().__init__(text)
        self.errno = number


class Came:
    """How a message came: over which set (None: in clear), at which port of the phone, from which, over TCP or UDP."""

    def __init__(self, over, port, source, conn=None):
        self.over, self.port, self.source, self.conn = over, port, source, conn


def bound(kind, address, port):
    """A socket there, which does not block; port 0: any."""
    s = None
    try:
        s = socket.socket(family(address), kind)
        if kind == socket.SOCK_STREAM:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setblocking(False)
        s.bind((address, port))
    except OSError as e:
        if s:
            s.close()
        why = f'{address} port {port}: {e.strerror}'
        if e.errno == errno.EADDRNOTAVAIL:
            why += ' (it is no address of this host: a whole prefix is by "ip route add local PREFIX dev lo")'
        raise AirError(why, e.errno) from e
    return s


def watch(sock, ready):
    """By its number: a loop that is given a socket asks the kernel for its addresses, to name it."""
    asyncio.get_running_loop().add_reader(sock.fileno(), ready)


class Udp:
    """A UDP socket. got(data, source port, mark) and trouble(errno) are called for what comes."""

    def __init__(self, address, port, got, trouble):
        self.sock, self.got, self.trouble = bound(socket.SOCK_DGRAM, address, port), got, trouble
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        except OSError as e:
            self.sock.close()
            raise AirError(f'marks of datagrams (SO_RCVMARK, Linux 5.19): {e.strerror}') from e
        six = ':' in address
        self.sock.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, IPV6_RECVERR if six else IP_RECVERR, 1)
        self.port = self.sock.getsockname()[1]
        watch(self.sock, self.ready)

    def ready(self):
        while True:
            try:
                data, more, _, source = self.sock.recvmsg(1 << 16, 64)
            except BlockingIOError:
                return
            except OSError as e:
                # An ICMP error, which stays until it has been read
                try:
                    self.sock.recvmsg(1, 512, MSG_ERRQUEUE)
                except OSError:
                    pass
                self.trouble(e.errno)
                continue
            marks = [struct.unpack('=I', d)[0] for level, kind, d in more if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
            self.got(data, source[1], marks[0] if marks else 0)

    def send(self, data, to):
        """Send it; what the kernel says against it is trouble, and as good as lost."""
        try:
            self.sock.sendto(data, to)
        except OSError as e:
            self.trouble(e.errno)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.sock.close()


class Stream:
    """A TCP connection. got(messages, self) and lost(self, errno) are called for what comes."""

    def __init__(self, sock, got, lost):
        self.sock, self.got, self.lost = sock, got, lost
        self.data, self.unsent, self.closed = b'', b'', False
        # Over an SA there must not be a FIN that is sent again when the SA has gone
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('=ii', 1, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port, self.source = sock.getsockname()[1], sock.getpeername()[1]
        # How many bytes had come when last looked at, and over which set they were
        self.received, self.over = 0, None
        watch(sock, self.ready)

    def ready(self):
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as e:
            self.end(e.errno)
            return
        if not data:
            self.end(0)
            return
        try:
            messages, self.data = split(self.data + data)
        except Bad:
            self.end(errno.EBADMSG)
            return
        if messages:
            self.got(messages, self)

    def received_now(self):
        """How many bytes have come, and how long the TCP header of each segment is."""
        # struct tcp_info: tcpi_bytes_received, tcpi_options
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        return struct.unpack_from('=Q', info, 128)[0], 32 if info[5] & TCPI_OPT_TIMESTAMPS else 20

    def send(self, data):
        self.unsent += data
        self.flush()

    def flush(self):
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent):]
        except BlockingIOError:
            pass
        except OSError as e:
            self.end(e.errno)
            return
        if self.unsent:
            loop.add_writer(self.sock.fileno(), self.flush)
        else:
            loop.remove_writer(self.sock.fileno())

    def end(self, number):
        if not self.closed:
            self.close()
            self.lost(self, number)

    def close(self):
        if not self.closed:
            self.closed = True
            loop = asyncio.get_running_loop()
            loop.remove_reader(self.sock.fileno())
            loop.remove_writer(self.sock.fileno())
            self.sock.close()


class Listener:
    """A TCP socket at port_us; accepted(sock) is called with each connection."""

    def __init__(self, address, port, accepted):
        self.sock, self.accepted = bound(socket.SOCK_STREAM, address, port), accepted
        self.sock.listen()
        watch(self.sock, self.ready)

    def ready(self):
        try:
            sock, _ = self.sock.accept()
        except OSError:
            return
        sock.setblocking(False)
        self.accepted(sock)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.sock.close()


async def connect(address, port, to, timeout):
    """A connection from there; OSError if there is none."""
    s = bound(socket.SOCK_STREAM, address, port)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(s, to), timeout)
    except asyncio.TimeoutError:
        s.close()
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    except BaseException:
        s.close()
        raise
    return s


class Encapsulation:
    """The socket at port 4500 by which the kernel takes ESP in UDP (RFC 3948), and its keep-alives, of an address."""

    def __init__(self, address, to, port):
        try:
            self.sock = bound(socket.SOCK_DGRAM, address, port)
        except AirError as e:
            raise AirError(f'ESP in UDP: {e} (an IKE daemon has that port, perhaps)') from e
        if ':' in address:
            self.sock.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
        self.sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        self.to = to, port
        self.keep_alive()

    def keep_alive(self):
        try:
            self.sock.sendto(b'\xff', self.to)
        except OSError:
            pass
        self.timer = asyncio.get_running_loop().call_later(KEEP_ALIVE, self.keep_alive)

    def close(self):
        self.timer.cancel()
        self.sock.close()


def parsed(data):
    """The message in a datagram, None if it is none (a keep-alive)."""
    try:
        return Message(data.lstrip(b'\r\n'))
    except Bad:
        return None
