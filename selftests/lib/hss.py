# SPDX-License-Identifier: GPL-2.0-only
"""The home network's half of a resynchronisation, for tests: what AUTS says, by TS 33.102 clause 6.3.5.

It shares nothing with imsipsec-ue, whose Milenage is to be tested.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from sip_phone import usim  # noqa: E402


def aes(key, block):
    # It takes a while to import, and few tests need it
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # pylint: disable=import-outside-toplevel
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def sqn_of(k, op, rand, auts):
    """The SQN that the USIM has, None if AUTS is not this subscriber's: f5* and f1* of TS 35.206 clause 4.1."""
    xor = usim['xor']
    opc = xor(aes(k, op), op)
    temp = aes(k, xor(rand, opc))
    # r5 = 96, c5 = 8
    turned = xor(temp, opc)[12:] + xor(temp, opc)[:12]
    ak = xor(aes(k, turned[:15] + bytes([turned[15] ^ 8])), opc)[:6]
    sqn = xor(auts[:6], ak)
    # r1 = 64, c1 = 0; AMF is 0 in a resynchronisation
    once = xor((sqn + bytes(2)) * 2, opc)
    mac_s = xor(aes(k, xor(temp, once[8:] + once[:8])), opc)[8:]
    return int.from_bytes(sqn, 'big') if mac_s == auts[6:] else None
