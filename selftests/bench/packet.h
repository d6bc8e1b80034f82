/* SPDX-License-Identifier: GPL-2.0-only */
/* UEs, and Ethernet frames as they come from them. */
#ifndef BENCH_PACKET_H
#define BENCH_PACKET_H

#include "setup.h"

#define PAYLOAD		100
#define FRAME_MAX	256
#define UES_A_NAT	64

/* An upper-layer protocol that nothing handles (RFC 3692) */
#define IPPROTO_NOBODY	253

struct frame {
	size_t len;
	uint8_t data[FRAME_MAX];
};

struct payload {
	char sip[4];	/* how a SIP message may begin, which a keep-alive does not */
	uint32_t ue, seq;
	uint8_t rest[PAYLOAD - 12];
};

struct ue make_ue(const struct setup *s, uint32_t n);
void make_payload(struct payload *payload, uint32_t ue, uint32_t seq);
void make_esp(struct frame *frame, const struct setup *s, const uint8_t mac[6],
	      const struct ue *ue, uint32_t seq, const struct payload *payload);
void make_udp(struct frame *frame, const struct setup *s, const uint8_t mac[6],
	      const struct ue *ue, uint16_t dport, const struct payload *payload);
void make_stray(struct frame *frame, const struct setup *s, const struct ue *ue, size_t len);

#endif /* BENCH_PACKET_H */
