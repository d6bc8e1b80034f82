/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Header values that real phones and servers sent, and a list of all pairs. */
#ifndef HEADERS_H
#define HEADERS_H

#define PHONE_MD5_NULL \
	"ipsec-3gpp;prot=esp;mod=trans;spi-c=25656;spi-s=25657;port-c=6301;port-s=6300;" \
	"alg=hmac-md5-96;ealg=null"
#define PHONE_TWO \
	"ipsec-3gpp; alg=hmac-md5-96; ealg=des-ede3-cbc; spi-c=1028536224; spi-s=455113919; " \
	"port-c=8034; port-s=8904,ipsec-3gpp; alg=hmac-md5-96; ealg=aes-cbc; " \
	"spi-c=1028536224; spi-s=455113919; port-c=8034; port-s=8904"
#define PHONE_VERIFY \
	"ipsec-3gpp;q=0.5;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=null;spi-c=52340051;" \
	"spi-s=3859;port-c=7807;port-s=7777"
#define SERVER_LARGE_SPI \
	"ipsec-3gpp;q=0.5;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=aes-cbc;" \
	"spi-c=3759706211;spi-s=2594505554;port-c=7807;port-s=7777"
#define PHONE_BLANKS \
	"ipsec-3gpp; alg=hmac-sha-1-96; ealg=aes-cbc; prot=esp; mod=trans; spi-c=1546543; " \
	"spi-s=1546542; port-c=32773; port-s=6000"

/* What a phone offers that may find itself behind a NAT: each pair twice */
#define MECH_BOTH(alg, ealg) \
	"ipsec-3gpp;alg=" alg ";ealg=" ealg ";mod=trans;spi-c=7001;spi-s=7002;port-c=8034;" \
	"port-s=8904," \
	"ipsec-3gpp;alg=" alg ";ealg=" ealg ";mod=UDP-enc-tun;spi-c=7001;spi-s=7002;" \
	"port-c=8034;port-s=8904"
#define PHONE_BOTH MECH_BOTH("hmac-sha-1-96", "aes-cbc") ", " MECH_BOTH("hmac-md5-96", "null")

/* A mechanism of the list, by the first digit behind the point of its q */
#define SERVER_MECH_MODE(q, alg, ealg, mode) \
	"ipsec-3gpp;q=0." #q ";alg=" alg ";prot=esp;mod=" mode ";ealg=" ealg \
	";spi-c=3759706211;spi-s=2594505554;port-c=7807;port-s=7777"
#define SERVER_MECH(q, alg, ealg)	SERVER_MECH_MODE(q, alg, ealg, "trans")
#define SERVER_LIST \
	SERVER_MECH(9, "null", "aes-gcm") ", " \
	SERVER_MECH(8, "aes-gmac", "aes-gcm") ", " \
	SERVER_MECH(7, "aes-gmac", "null") ", " \
	SERVER_MECH(6, "hmac-sha-1-96", "aes-cbc") ", " \
	SERVER_MECH(5, "hmac-sha-1-96", "des-ede3-cbc") ", " \
	SERVER_MECH(4, "hmac-sha-1-96", "null") ", " \
	SERVER_MECH(3, "hmac-md5-96", "aes-cbc") ", " \
	SERVER_MECH(2, "hmac-md5-96", "des-ede3-cbc") ", " \
	SERVER_MECH(1, "hmac-md5-96", "null")

#endif /* HEADERS_H */
