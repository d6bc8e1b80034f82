/* SPDX-License-Identifier: GPL-2.0-only */
/* A network namespace with a way in and a way out. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <linux/netlink.h>

#include "setup.h"

struct tap {
	int fd;			/* a frame a write() */
	uint8_t mac[6];
};

void net_load(const char *module, bool there);
/* As udev does where the CPU has what they need */
void net_load_ciphers(void);
/* A request that makes something, and is answered */
struct nlmsghdr *net_start_message(char *buf, uint16_t type);
void net_request(int protocol, const struct nlmsghdr *nlh, const char *what);
void net_make(const struct setup *s);
void net_add_address(const struct setup *s);
void net_open_tap(struct tap *tap, const char *name, int flags);
void net_forward(const struct setup *s, bool on);
int net_open_udp(const struct setup *s, uint16_t port);
uint64_t net_counter(const struct setup *s, const char *name);
uint64_t net_forwarded(const struct setup *s);

#endif /* BENCH_NET_H */
