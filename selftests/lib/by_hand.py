# SPDX-License-Identifier: GPL-2.0-only
"""A P-CSCF in P of sockets and `ip xfrm`, with nothing of ours, which does what is wrong as a test says."""
import os
import re
import select
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import P4, U4, World, accepted  # noqa: E402
from scscf import Core  # noqa: E402
from sip_phone import Message, usim  # noqa: E402

PS, PC = 5063, (5062, 5064)


class InPlace(Core):
    """The S-CSCF in the P-CSCF's place: nothing of IPsec, and its keys are for everybody to read."""

    def __init__(self, **more):
        World.core = World.p
        super().__init__(P4, **more)


class ByHand(InPlace):
    """SAs of hmac-md5-96 and null for one phone in U. `wrong` is what it does wrong:

    in clear: answers over a set; esp: it sends no SIP; old: an answer goes over the set before; port: to port_uc; res: RES is never right;
    dialog, unrecorded: Record-Route has port_pc, or is not there.
    """

    def __init__(self, *wrong):
        self.wrong, self.sets = {*wrong}, []
        self.prot = {port: World.p.udp(P4, port) for port in (PS, *PC)}
        self.protected = World.p.tcp(P4, PS, True)
        super().__init__()
        self.keys_of = lambda ck, ik: (b'', b'')

    def __exit__(self, *why):
        super().__exit__(*why)
        for s in (*self.prot.values(), self.protected):
            s.close()
        World.xfrm.flush_states()
        World.xfrm.flush_policies()

    def run(self):
        while True:
            ready = select.select([self.quit, self.udp, self.listener, self.protected, *self.prot.values(), *self.conns], [], [])[0]
            if self.quit in ready:
                return
            for s in ready:
                if s in (self.listener, self.protected):
                    conn = accepted(s)
                    self.conns += [conn] if conn else []
                elif s in self.conns:
                    try:
                        data = s.recv(1 << 16)
                    except ConnectionResetError:
                        data = b''
                    if data:
                        self.take(data, s.getpeername(), lambda x, s=s: self.over_conn(s, x))
                    else:
                        self.conns.remove(s)
                        s.close()
                else:
                    data, source = s.recvfrom(1 << 16)
                    self.take(data, source, lambda x, s=s, a=source: self.udp.sendto(x, a) if s is self.udp else self.over_esp(x, a[1]))

    def demand(self, m, impi):
        text = super().demand(m, impi)
        return self.agree(m, text) if m else text

    def agree(self, m, text):
        """The SAs, and Security-Server."""
        offered = next(x for x in map(usim['mechanism'], m['Security-Client'].split(',')) if x['alg'] == 'hmac-md5-96' and x['ealg'] == 'null')
        n = len(self.sets)
        # It has them already
        if int(offered['port-c']) in (x[0] for x in self.sets):
            return text
        mine = {'spi-c': 3000 + 2 * n, 'spi-s': 3001 + 2 * n, 'port-c': PC[n % 2], 'port-s': PS}
        nonce = re.search('nonce="([^"]*)"', text)[1]
        ik, commands = self.vectors[nonce][2], []
        for out, sport, dport, spi in ((False, offered['port-c'], PS, mine['spi-s']), (True, PS, offered['port-c'], offered['spi-c']),
                                       (True, mine['port-c'], offered['port-s'], offered['spi-s']),
                                       (False, offered['port-s'], mine['port-c'], mine['spi-c'])):
            src, dst = (P4, U4) if out else (U4, P4)
            sel = f'src {src}/32 dst {dst}/32 sport {sport} dport {dport}'
            commands.append(f'xfrm state add src {src} dst {dst} proto esp spi {spi} reqid {spi} mode transport replay-window 32 '
                            f'auth-trunc hmac(md5) 0x{ik.hex()} 96 enc ecb(cipher_null) "" sel {sel}')
            if out:
                commands.append(f'xfrm policy update {sel} dir out tmpl src {src} dst {dst} proto esp reqid {spi} mode transport')
        World.p.ip(*commands)
        self.sets.append((int(offered['port-c']), int(offered['port-s']), mine['port-c']))
        said = ';'.join(f'{k}={v}' for k, v in mine.items())
        text = re.sub(', ck="[^"]*", ik="[^"]*"', '', text)
        return text.replace('\r\nContent-Length', f'\r\nSecurity-Server: ipsec-3gpp;alg=hmac-md5-96;ealg=null;{said}\r\nContent-Length')

    def expected(self, m, impi, auth, vector):
        return '' if 'res' in self.wrong else Core.expected(m, impi, auth, vector)

    def forget(self):
        """What is sent from now on is in clear."""
        World.xfrm.flush_policies()
        World.xfrm.flush_states()

    def over_conn(self, conn, data):
        if 'in clear' in self.wrong and conn.getsockname()[1] == PS:
            self.forget()
        conn.send(data)

    def over_esp(self, data, port):
        """What goes to the phone over UDP: an answer to what came from this port, over the set that has it, or the one before."""
        n = next(n for n, x in enumerate(self.sets) if x[0] == port)
        uc, us, pc = self.sets[n - ('old' in self.wrong)]
        if 'in clear' in self.wrong:
            self.forget()
        if 'esp' in self.wrong:
            data = b'\r\n\r\n'
        if 'port' in self.wrong:
            self.prot[PS].sendto(data, (U4, uc))
        else:
            self.prot[pc].sendto(data, (U4, us))

    def answer(self, m):
        text = super().answer(m)
        if m.method == 'INVITE' and 'unrecorded' not in self.wrong:
            port = PC[0] if 'dialog' in self.wrong else PS
            text = text.replace('\r\nContent-Length', f'\r\nRecord-Route: <sip:{P4}:{port};lr>\r\nContent-Length')
        return text

    def ask(self, method, port_uc=False):
        """A request to the phone, and its answer as the P-CSCF has it."""
        uc, us, pc = self.sets[-1]
        source = PS if port_uc else pc
        text = '\r\n'.join((f'{method} sip:ue1@{U4}:{us} SIP/2.0', f'Via: SIP/2.0/UDP {P4}:{source};branch=z9hG4bKask-{method}',
                            'From: <sip:core@ims.example>;tag=core', 'To: <sip:ue1@ims.example>', 'Call-ID: ask', f'CSeq: 1 {method}',
                            'Content-Length: 0', '', ''))
        self.prot[source].sendto(text.encode(), (U4, uc if port_uc else us))
        return self.next(lambda m: isinstance(m, Message) and m.status and m['Call-ID'] == 'ask')
