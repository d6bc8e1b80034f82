# SPDX-License-Identifier: GPL-2.0-or-later
"""The USIM or ISIM of a subscriber: AKA (TS 33.102 clause 6.3) and the digest of it (RFC 3310)."""
import base64
import hashlib
import hmac
import secrets

from .milenage import Milenage, xor


class WrongMac(Exception):
    """AUTN's MAC is not that of this K and OPc."""


class OutOfRange(Exception):
    """SQN has been used before. auts: what tells the network of it, 14 bytes."""

    def __init__(self, auts, got, have):
        super().__init__(f'SQN {got:012x}, where {have:012x} has been taken')
        self.auts = auts


class Challenge:
    """What a phone keeps of a challenge that it has taken."""

    def __init__(self, realm, nonce, qop, algorithm, opaque):
        self.realm, self.nonce, self.qop, self.algorithm, self.opaque = realm, nonce, qop, algorithm, opaque
        self.res, self.count = b'', 0

    def authorization(self, impi, method, uri, auts=None):
        """The value of Authorization. With auts the network is told its SQN is wrong: then there is no password."""
        def md5(*parts):
            return hashlib.md5(b':'.join(parts), usedforsecurity=False).hexdigest().encode()
        first = md5(impi.encode(), self.realm.encode(), b'' if auts else self.res)
        second = md5(method.encode(), uri.encode())
        fields = [('username', impi), ('realm', self.realm), ('nonce', self.nonce), ('uri', uri)]
        more = [f'algorithm={self.algorithm}']
        if self.qop:
            self.count += 1
            cnonce, nc = secrets.token_hex(8), f'{self.count:08x}'
            response = md5(first, self.nonce.encode(), nc.encode(), cnonce.encode(), b'auth', second)
            fields.append(('cnonce', cnonce))
            more += ['qop=auth', f'nc={nc}']
        else:
            response = md5(first, self.nonce.encode(), second)
        fields.append(('response', response.decode()))
        if self.opaque is not None:
            fields.append(('opaque', self.opaque))
        if auts:
            fields.append(('auts', base64.b64encode(auts).decode()))
        return 'Digest ' + ', '.join([f'{name}="{value}"' for name, value in fields] + more)


class Usim:
    """K and OPc, 16 bytes each; sqn: the highest that has been taken, -1 for none: then any is."""

    def __init__(self, k, opc, sqn=-1):
        self.k, self.opc, self.sqn = k, opc, sqn

    def take(self, rand, autn):
        """Check AUTN. Return RES, CK, IK; raise WrongMac or OutOfRange.

        SQN has to be higher than any before (TS 33.102 clause 6.3.3; Annex C leaves the rest to the operator).
        """
        f = Milenage(self.k, self.opc, rand)
        sqn, amf = xor(autn[:6], f.ak), autn[6:8]
        if not hmac.compare_digest(f.macs(sqn, amf)[0], autn[8:]):
            raise WrongMac
        got = int.from_bytes(sqn, 'big')
        if got <= self.sqn:
            have = self.sqn.to_bytes(6, 'big')
            raise OutOfRange(xor(have, f.ak_star()) + f.macs(have, bytes(2))[1], got, self.sqn)
        self.sqn = got
        return f.res, f.ck, f.ik
