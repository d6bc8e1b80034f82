// SPDX-License-Identifier: GPL-2.0-only
/*
 * UEs, and Ethernet frames as they come from them: UDP in ESP in transport mode, or
 * from behind a NAT in tunnel mode and in UDP, HMAC-SHA-1-96 and AES-CBC; plain UDP; and
 * what nobody wants.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <nettle/aes.h>
#include <nettle/cbc.h>
#include <nettle/hmac.h>

#include "packet.h"

#define ICV_LEN	12

/*
 * Addresses are sequential, as an operator's pool hands them out, and so are SPIs. Of
 * those behind NATs, UES_A_NAT share an address.
 */
struct ue make_ue(const struct setup *s, uint32_t n)
{
	struct ue ue = {
		.port_uc = PORT_UC,
		.nat.a4 = htonl(0x64400000 + n / UES_A_NAT),
		.nat_port = 1024 + n % UES_A_NAT,
	};

	if (s->inside) {
		ue.nat.a4 = htonl(0x64400000);
		ue.nat_port = 1024 + n;
		ue.addr = ue.nat;
	} else if (s->family == AF_INET) {
		ue.addr.a4 = htonl(0x0a000000 + n);
	} else {	/* a /64 each */
		ue.addr.a6[0] = htonl(0x20010db8);
		ue.addr.a6[1] = htonl(0x01000000 + n);
		ue.addr.a6[3] = htonl(1);
	}
	snprintf(ue.owner, sizeof(ue.owner), "00101%010u@ims.example.org", n);
	snprintf(ue.contact, sizeof(ue.contact), "sip:00101%010u@10.0.0.1:%u", n, PORT_US);
	/*
	 * Phones draw theirs, each by itself, from all there are. In a row they would be
	 * hundreds in a bucket of XFRM's table, with a million phones.
	 */
	ue.spi[SPI_UC] = (n + 1) * 0x85ebca6b;
	ue.spi[SPI_US] = ue.spi[SPI_UC] ^ 1;
	ue.spi[SPI_PC] = 65536 + 2 * n;
	ue.spi[SPI_PS] = ue.spi[SPI_PC] + 1;
	return ue;
}

void make_payload(struct payload *payload, uint32_t ue, uint32_t seq)
{
	memcpy(payload->sip, "INFO", sizeof(payload->sip));
	payload->ue = ue;
	payload->seq = seq;
	for (size_t i = 0; i < sizeof(payload->rest); i++)
		payload->rest[i] = ue + seq + i;
}

static uint32_t sum(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static uint8_t *put_ip4(uint8_t *at, const struct setup *s, const xfrm_address_t *from,
			uint8_t proto, size_t len)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(ip) + len),
		.frag_off = htons(0x4000),	/* don't fragment */
		.ttl = 64,
		.protocol = proto,
		.saddr = from->a4,
		.daddr = s->addr.a4,
	};

	ip.check = fold(sum(0, &ip, sizeof(ip)));
	return mempcpy(at, &ip, sizeof(ip));
}

static uint8_t *put_ip6(uint8_t *at, const struct setup *s, const xfrm_address_t *from,
			uint8_t proto, size_t len)
{
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = htons(len),
		.nexthdr = proto,
		.hop_limit = 64,
	};

	memcpy(&ip.saddr, from, sizeof(ip.saddr));
	memcpy(&ip.daddr, &s->addr, sizeof(ip.daddr));
	return mempcpy(at, &ip, sizeof(ip));
}

/* Everything up to the transport header: to this MAC address, if it is one of ours */
static uint8_t *put_headers(struct frame *frame, const struct setup *s, const uint8_t *mac,
			    const struct ue *ue, uint8_t proto, size_t len)
{
	struct ethhdr *eth = (void *)frame->data;
	uint8_t *end = (void *)(eth + 1);

	memcpy(eth->h_dest, mac, ETH_ALEN);
	memcpy(eth->h_source, "\x02\0\0\0\0\x02", ETH_ALEN);
	eth->h_proto = htons(s->family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	if (s->family == AF_INET)
		end = put_ip4(end, s, s->encap ? &ue->nat : &ue->addr, proto, len);
	else
		end = put_ip6(end, s, &ue->addr, proto, len);
	frame->len = end - frame->data + len;
	return end;
}

static size_t put_udp(uint8_t *at, const struct setup *s, const struct ue *ue, uint16_t dport,
		      const struct payload *payload)
{
	const size_t addr_len = s->family == AF_INET ? 4 : 16;
	struct udphdr udp = {
		.source = htons(ue->port_uc),
		.dest = htons(dport),
		.len = htons(sizeof(udp) + sizeof(*payload)),
	};
	uint32_t check = IPPROTO_UDP + sizeof(udp) + sizeof(*payload);

	check = sum(check, &ue->addr, addr_len);
	check = sum(check, &s->addr, addr_len);
	check = sum(check, &udp, sizeof(udp));
	check = sum(check, payload, sizeof(*payload));
	udp.check = fold(check) ?: 0xffff;
	mempcpy(mempcpy(at, &udp, sizeof(udp)), payload, sizeof(*payload));
	return sizeof(udp) + sizeof(*payload);
}

/* What ESP has inside, and what that is: a datagram, or a packet of its own */
static size_t put_plain(uint8_t *at, const struct setup *s, const struct ue *ue,
			const struct payload *payload, uint8_t *proto)
{
	size_t head = s->encap ? sizeof(struct iphdr) : 0;
	size_t len = put_udp(at + head, s, ue, PORT_PS, payload);

	if (s->encap)
		put_ip4(at, s, &ue->addr, IPPROTO_UDP, len);
	*proto = s->encap ? IPPROTO_IPIP : IPPROTO_UDP;
	return head + len;
}

/* RFC 4303, RFC 2404, RFC 3602; RFC 3948 for ESP in UDP */
void make_esp(struct frame *frame, const struct setup *s, const uint8_t mac[6],
	      const struct ue *ue, uint32_t seq, const struct payload *payload)
{
	const uint32_t head[2] = { htonl(ue->spi[SPI_PS]), htonl(seq) };
	uint8_t plain[FRAME_MAX], iv[AES_BLOCK_SIZE] = { 0 }, proto, *at, *esp;
	size_t len = put_plain(plain, s, ue, payload, &proto);
	size_t pad = -(len + 2) % AES_BLOCK_SIZE, esp_len;
	struct aes128_ctx aes;
	struct hmac_sha1_ctx hmac;

	for (size_t i = 1; i <= pad; i++)
		plain[len++] = i;
	plain[len++] = pad;
	plain[len++] = proto;
	esp_len = sizeof(head) + sizeof(iv) + len + ICV_LEN;

	if (s->encap) {
		const struct udphdr udp = {
			.source = htons(ue->nat_port),
			.dest = htons(s->encap),
			.len = htons(sizeof(udp) + esp_len),
		};

		at = put_headers(frame, s, mac, ue, IPPROTO_UDP, sizeof(udp) + esp_len);
		at = mempcpy(at, &udp, sizeof(udp));
	} else {
		at = put_headers(frame, s, mac, ue, IPPROTO_ESP, esp_len);
	}
	esp = at;
	at = mempcpy(at, head, sizeof(head));
	memcpy(iv, &head[1], sizeof(head[1]));	/* unpredictable it need not be here */
	at = mempcpy(at, iv, sizeof(iv));
	aes128_set_encrypt_key(&aes, key);
	cbc_encrypt(&aes, (nettle_cipher_func *)aes128_encrypt, AES_BLOCK_SIZE, iv, len, at, plain);
	at += len;
	hmac_sha1_set_key(&hmac, sizeof(key), key);
	hmac_sha1_update(&hmac, at - esp, esp);
	hmac_sha1_digest(&hmac, ICV_LEN, at);
}

void make_udp(struct frame *frame, const struct setup *s, const uint8_t mac[6],
	      const struct ue *ue, uint16_t dport, const struct payload *payload)
{
	put_udp(put_headers(frame, s, mac, ue, IPPROTO_UDP,
			    sizeof(struct udphdr) + sizeof(*payload)),
		s, ue, dport, payload);
}

/* To another MAC address, so that IP drops it at once; and GRO lets it pass. */
void make_stray(struct frame *frame, const struct setup *s, const struct ue *ue, size_t len)
{
	const size_t head = sizeof(struct ethhdr) +
		(s->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	memset(frame, 0, sizeof(*frame));
	put_headers(frame, s, (const uint8_t *)"\x02\0\0\0\0\x01", ue, IPPROTO_NOBODY, len - head);
}
