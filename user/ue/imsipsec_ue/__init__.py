# SPDX-License-Identifier: GPL-2.0-or-later
"""A phone, or many, for who sets up a P-CSCF: imsipsec-ue(8).

cli.py       the command line, and what is made of it
subscribers  who they are: a file
milenage     TS 35.206
usim         AKA: AUTN is checked, SQN resynchronised, RFC 3310's digest
secagree     RFC 3329's headers, and the keys of ESP (TS 33.203 Annexes H and I)
sip          messages
xfrm         SAs and policies of this host's kernel, by netlink
air          sockets, and over which set each message came
phone        one UE: its sets, and requests with their answers
steps        register, reregister, call, message, deregister: what is done, and what is wrong with it
report       progress, the table, JSON

Nothing here is of the P-CSCF's side: neither libimsipsec nor the kernel module.
"""
