# SPDX-License-Identifier: GPL-2.0-or-later
"""Milenage, 3GPP TS 35.206: f1 to f5, f1* and f5*. All that goes in and comes out is bytes."""
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def encryptor(k):
    """AES-128 of one block with K."""
    aes = Cipher(algorithms.AES(k), modes.ECB())
    return lambda block: aes.encryptor().update(block)


def opc_of(k, op):
    """OPc of a subscriber, of the operator's OP (clause 4.1)."""
    return xor(encryptor(k)(op), op)


class Milenage:
    """All functions of one RAND, by the names of clause 2.3. K, OPc, RAND: 16 bytes each."""

    def __init__(self, k, opc, rand):
        self.encrypt, self.opc = encryptor(k), opc
        self.temp = self.encrypt(xor(rand, opc))
        out2 = self.out(0, 1)
        self.res, self.ak = out2[8:], out2[:6]
        self.ck, self.ik = self.out(4, 2), self.out(8, 4)

    def out(self, rotate, constant):
        """OUT2 to OUT5: rotate is in bytes, constant the last byte of c2 to c5 (clause 4.1)."""
        block = xor(self.temp, self.opc)
        block = bytearray(block[rotate:] + block[:rotate])
        block[15] ^= constant
        return xor(self.encrypt(bytes(block)), self.opc)

    def ak_star(self):
        """f5*, the anonymity key of a resynchronisation, 6 bytes."""
        return self.out(12, 8)[:6]

    def macs(self, sqn, amf):
        """f1 and f1*, MAC-A and MAC-S of SQN (6 bytes) and AMF (2 bytes), 8 bytes each."""
        block = xor((sqn + amf) * 2, self.opc)
        out1 = xor(self.encrypt(xor(self.temp, block[8:] + block[:8])), self.opc)
        return out1[:8], out1[8:]
