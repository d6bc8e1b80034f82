# SPDX-License-Identifier: GPL-2.0-or-later
"""Security-Client, -Server and -Verify (RFC 3329), and of an agreement the keys of ESP (TS 33.203 Annexes H and I)."""
import hashlib
import hmac
import re

# alg, ealg: in the order in which they are best
PAIRS = (('null', 'aes-gcm'), ('aes-gmac', 'aes-gcm'), ('aes-gmac', 'null'),
         *((a, e) for a in ('hmac-sha-1-96', 'hmac-md5-96') for e in ('aes-cbc', 'des-ede3-cbc', 'null')))
# What phones offer. AES-GCM is spelt in one way, and 3DES left out: a REGISTER stays within two fragments
USUAL = tuple(x for x in PAIRS if x[1] != 'des-ede3-cbc' and x != ('aes-gmac', 'aes-gcm'))
# As TS 33.203 writes them
MODES = ('trans', 'UDP-enc-tun')
NAMES = {'hmac-md5-96': 'hmac(md5)', 'hmac-sha-1-96': 'hmac(sha1)', 'null': 'ecb(cipher_null)', 'aes-cbc': 'cbc(aes)',
         'des-ede3-cbc': 'cbc(des3_ede)'}


class Mechanism:
    """One entry of a list: `name`, and its parameters by their names in small letters."""

    def __init__(self, text):
        name, *parameters = [x.strip() for x in text.split(';')]
        self.text, self.name = text, name.lower()
        self.parameters = {}
        for parameter in parameters:
            key, _, value = (x.strip() for x in parameter.partition('='))
            self.parameters.setdefault(key.lower(), value.strip('"'))

    @property
    def pair(self):
        """(alg, ealg), in small letters; an ealg that is not there is null (RFC 3329 clause 2.2)."""
        return self.parameters.get('alg', '').lower(), self.parameters.get('ealg', 'null').lower()

    @property
    def mode(self):
        """As MODES has it, or as it is written."""
        said = self.parameters.get('mod', 'trans')
        return next((m for m in MODES if m.lower() == said.lower()), said)

    def number(self, key):
        """A decimal parameter, None where there is none."""
        value = self.parameters.get(key, '')
        return int(value) if re.fullmatch(r'[0-9]{1,10}', value) else None

    def reserved(self):
        """SPIs that are there and should not be, as texts: those up to 255 are IANA's (RFC 4303 clause 2.1)."""
        return [f'{key}={self.number(key)}' for key in ('spi-c', 'spi-s') if (self.number(key) or 0) in range(1, 256)]

    def faults(self):
        """What a phone cannot live with, as texts."""
        out = []
        for key in ('spi-c', 'spi-s'):
            if not 1 <= (self.number(key) or 0) < 1 << 32:
                out.append(f'{key}={self.parameters.get(key, "(missing)")} is no SPI')
        for key in ('port-c', 'port-s'):
            if not 1 <= (self.number(key) or 0) <= 65535:
                out.append(f'{key}={self.parameters.get(key, "(missing)")} is no port')
            elif self.number(key) in (5060, 5061):
                out.append(f'{key}={self.number(key)} is no protected port')
        if not out and self.number('spi-c') == self.number('spi-s'):
            out.append('spi-c and spi-s are the same')
        if not out and self.number('port-c') == self.number('port-s'):
            out.append('port-c and port-s are the same')
        return out


def parse(values):
    """The mechanisms of all headers of a name, in their order. No value of ipsec-3gpp is quoted with a comma in it."""
    return [Mechanism(x.strip()) for value in values for x in value.split(',') if x.strip()]


def client(pairs, modes, spi_c, spi_s, port_c, port_s):
    """The value of Security-Client."""
    return ', '.join(f'ipsec-3gpp; alg={alg}; ealg={ealg}; prot=esp; mod={mode}; spi-c={spi_c}; spi-s={spi_s}; port-c={port_c}; '
                     f'port-s={port_s}' for mode in modes for alg, ealg in pairs)


def choose(mechanisms, pairs, modes):
    """The mechanism of the P-CSCF's list that the phone takes: of those that it offered the one with the highest q, the first of them."""
    def q(m):
        try:
            return float(m.parameters.get('q', 1))
        except ValueError:
            return 0.0
    ours = [m for m in mechanisms if m.name == 'ipsec-3gpp' and m.pair in pairs and m.mode in modes
            and m.parameters.get('prot', 'esp').lower() == 'esp']
    return max(ours, key=q, default=None)


def odd_parity(key):
    return bytes(b & 0xfe | (bin(b >> 1).count('1') + 1) % 2 for b in key)


def salt(ck, ik, what):
    """The last 32 bits of KDF(CK || IK, S) (TS 33.220 Annex B)."""
    name = b'AES_GMAC_SALT' if what == 'aes-gmac' else b'AES_GCM_SALT'
    fc = b'\x58' if what == 'aes-gmac' else b'\x59'
    return hmac.digest(ck + ik, fc + name + len(name).to_bytes(2, 'big'), hashlib.sha256)[-4:]


def expand(pair, ck, ik):
    """What an SA of Linux has: ('aead', name, key, bits of ICV), or ('both', (name, key, bits), (name, key)). CK, IK: 16 bytes."""
    alg, ealg = pair
    if ealg == 'aes-gcm':
        return 'aead', 'rfc4106(gcm(aes))', ck + salt(ck, ik, ealg), 128
    if alg == 'aes-gmac':
        return 'aead', 'rfc4543(gcm(aes))', ik + salt(ck, ik, alg), 128
    auth = ik + bytes(4) if alg == 'hmac-sha-1-96' else ik
    enc = {'null': b'', 'aes-cbc': ck, 'des-ede3-cbc': odd_parity(ck + ck[:8])}[ealg]
    return 'both', (NAMES[alg], auth, 96), (NAMES[ealg], enc)
