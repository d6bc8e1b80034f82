// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests and replies, the kernel being played by this program: the linker
 * puts the functions __wrap_* below in the place of those that the library
 * sends and receives with.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/internal.h"
#include "tap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define FAMILY	0x1c
#define GROUP	7

#define LIST	"hmac-sha-1-96=aes-cbc,aes-gmac=null"
#define INTERFACE	"enp129s0f1np123"	/* as long as one may be */

/* ---- The kernel's side ------------------------------------------------ */

struct datagram {
	alignas(8) char data[REPLY_MAX];
	size_t len;
	int err;		/* what recvmsg() fails with instead */
	uint32_t from;
	int flags;
};

static struct {
	alignas(8) char request[REQUEST_MAX];
	struct datagram answers[8];
	size_t n, next;
	unsigned int sent;
	int send_errors;	/* so often sending is interrupted */
} kernel;

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
int __wrap_mnl_socket_get_fd(const struct mnl_socket *nl);

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len)
{
	(void)nl;
	if (kernel.send_errors) {
		kernel.send_errors--;
		errno = EINTR;
		return -1;
	}
	memcpy(kernel.request, buf, len);
	kernel.sent++;
	return len;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct sockaddr_nl *from = msg->msg_name;
	const struct datagram *d;

	(void)fd;
	if (kernel.next == kernel.n) {
		/* The library would wait for ever. */
		if (!(flags & MSG_DONTWAIT))
			abort();
		errno = EAGAIN;
		return -1;
	}
	d = &kernel.answers[kernel.next++];
	if (d->err) {
		errno = d->err;
		return -1;
	}
	memcpy(msg->msg_iov->iov_base, d->data, d->len);
	memset(from, 0, sizeof(*from));
	from->nl_family = AF_NETLINK;
	from->nl_pid = d->from;
	msg->msg_namelen = sizeof(*from);
	msg->msg_flags = d->flags;
	return d->len;
}

int __wrap_mnl_socket_get_fd(const struct mnl_socket *nl)
{
	(void)nl;
	return -1;
}

static struct imsipsec handle;

static struct imsipsec *reset(void)
{
	const bool *opened_here = handle.opened_here;

	memset(&kernel, 0, sizeof(kernel));
	memset(&handle, 0, sizeof(handle));
	handle.opened_here = opened_here;
	if (!opened_here)
		imsipsec_nl_mark_process(&handle);
	handle.family = FAMILY;
	handle.group = GROUP;
	return &handle;
}

static struct datagram *datagram(void)
{
	return &kernel.answers[kernel.n++];
}

static struct nlmsghdr *message(struct datagram *d, uint16_t type, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(d->data + d->len);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	nlh->nlmsg_seq = seq;
	return nlh;
}

static struct nlmsghdr *reply(struct datagram *d, uint16_t flags, uint8_t cmd)
{
	struct nlmsghdr *nlh = message(d, FAMILY, flags, handle.seq + 1);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	genl->cmd = cmd;
	genl->version = 1;
	return nlh;
}

static void finish(struct datagram *d, const struct nlmsghdr *nlh)
{
	d->len += NLMSG_ALIGN(nlh->nlmsg_len);
}

/* An error or an acknowledgement; attributes may follow before finish(). */
static struct nlmsghdr *ack(struct datagram *d, int err, uint16_t flags)
{
	struct nlmsghdr *nlh = message(d, NLMSG_ERROR, flags, handle.seq + 1);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(nlh, sizeof(*e));

	e->error = err;
	e->msg.nlmsg_len = sizeof(e->msg) + 100;
	return nlh;
}

static void put_ack(struct datagram *d)
{
	finish(d, ack(d, 0, NLM_F_CAPPED));
}

static struct nlmsghdr *done_message(struct datagram *d, int err, uint16_t flags)
{
	struct nlmsghdr *nlh = message(d, NLMSG_DONE, flags | NLM_F_MULTI, handle.seq + 1);

	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(err)), &err, sizeof(err));
	return nlh;
}

/* ---- What the kernel's replies look like ------------------------------ */

static void put_config(struct nlmsghdr *nlh)
{
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MIN_SPI, htonl(65536));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_SPI, htonl(262144));
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT, 30000);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_CONFIG_PORT_PC, htons(5062));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_CONFIG_PORT_PC, htons(5064));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_CONFIG_PORT_PS, htons(5063));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS, 16);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_BUNDLES, 100000);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_PENDING, 1000);
	/* Without NUL, as the kernel sends it */
	mnl_attr_put(nlh, IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, strlen(LIST), LIST);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_PREFERRED_ALG, IMS_IPSEC_AUTH_ALG_AES_GMAC);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_PREFERRED_EALG, IMS_IPSEC_ENC_ALG_AES_GCM);
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS, 1);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_SETS, 3);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_CONFIG_OLD_TIMEOUT, 128000);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT, 1ULL << 40);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MARK_MASK, 0xffffff00);
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL, 1);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_CONFIG_NAT_PORT, htons(4500));
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS, 1);
	mnl_attr_put(nlh, IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE, strlen(INTERFACE), INTERFACE);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_HW_OFFLOAD, IMS_IPSEC_OFFLOAD_PACKET);
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED, 1);
}

static void put_fallback(struct nlmsghdr *nlh, uint32_t reason, uint64_t count)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_FALLBACK);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_FALLBACK_REASON, reason);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_FALLBACK_COUNT, count);
	mnl_attr_nest_end(nlh, nest);
}

static void put_endpoint(struct nlmsghdr *nlh, uint32_t id)
{
	static const uint8_t addr[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_ID, id);
	mnl_attr_put(nlh, IMS_IPSEC_A_ENDPOINT_ADDRESS, sizeof(addr), addr);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PS, htons(5063));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PC, htons(5062));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PC, htons(5064));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_BUNDLES, 3);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_IN, 1ULL << 40);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_OUT, 5);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_DROP_FOREIGN_SA, 6);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_GUARD, IMS_IPSEC_GUARD_REJECT);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_DROP_CROSS_PAIR, 7);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_DROP_NO_LIVE_SET, 1ULL << 41);
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL, 1);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_ENDPOINT_NAT_PORT, htons(4501));
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_ENDPOINT_NAT_SHARED, 1);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_DROP_UDP_ONLY, 1ULL << 42);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_ESP_BAD_ICV, 1ULL << 44);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_ESP_UNKNOWN_SPI, 9);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_ENDPOINT_CLEAR_TO_UE, 10);
	/* With NUL, as the kernel may send it, and the name is not too long for that */
	mnl_attr_put_strz(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE, INTERFACE);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD, IMS_IPSEC_OFFLOAD_CRYPTO);
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED, 1);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_BUNDLES, 2);
	put_fallback(nlh, IMS_IPSEC_OFFLOAD_REASON_NO_INTERFACE, 8);
	put_fallback(nlh, IMS_IPSEC_OFFLOAD_REASON_LOST, 1ULL << 43);
	mnl_attr_put_strz(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_TEXT, "no room");
}

static void put_bundle(struct nlmsghdr *nlh, uint32_t id)
{
	static const uint8_t ps[4] = { 192, 0, 2, 1 }, ue[4] = { 10, 0, 0, 5 };
	static const uint8_t nat[4] = { 203, 0, 113, 7 };

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, id);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ENDPOINT, 2);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_OWNER, 5, "alice");
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_CONTACT, 3, "c\0d");
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_STATE, IMS_IPSEC_STATE_ACTIVE);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_ADDRESS, 4, ps);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_PC, htons(5062));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_PS, htons(5063));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_SPI_PC, htonl(65540));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_SPI_PS, htonl(65541));
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, 4, ue);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_UC, htons(6301));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_US, htons(6300));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_SPI_UC, htonl(25656));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_SPI_US, htonl(0xfffffffe));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MODE, IMS_IPSEC_MODE_UDP_ENC_TUN);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_AUTH_ALG, IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ENC_ALG, IMS_IPSEC_ENC_ALG_AES_CBC);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_LIFETIME, 4294967295000ULL);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_RX_PACKETS, 1);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_RX_BYTES, 2);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_TX_PACKETS, 3);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_TX_BYTES, 1ULL << 40);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_REGISTRATION, 0x3fffff);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MARK, 0xfffffe00);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS, 4, nat);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_UE_NAT_PORT, htons(61234));
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UNMARKED, 0, NULL);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UDP_ONLY, 0, NULL);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OFFLOAD, IMS_IPSEC_OFFLOAD_CRYPTO);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OFFLOAD_REASON, IMS_IPSEC_OFFLOAD_REASON_ENCAPSULATION);
	mnl_attr_put_strz(nlh, IMS_IPSEC_A_BUNDLE_OFFLOAD_INTERFACE, "eth0");
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_LAST_RX, 5000);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_LAST_TX, 1ULL << 44);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_RX_BAD_ICV, 1ULL << 45);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_RX_REPLAYED, 1ULL << 46);
}

static void put_stats(struct nlmsghdr *nlh)
{
	uint16_t type;

	for (type = IMS_IPSEC_A_STATS_ENDPOINTS; type <= IMS_IPSEC_A_STATS_SPIS_USED; type++)
		mnl_attr_put_u32(nlh, type, 100 + type);
	for (; type <= IMS_IPSEC_A_STATS_EVENTS; type++)
		mnl_attr_put_u64(nlh, type, (1ULL << 40) + type);
	for (; type <= IMS_IPSEC_A_STATS_MAX_PENDING; type++)
		mnl_attr_put_u32(nlh, type, 100 + type);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_STATS_NEARLY_FULL, 1ULL << 41);
}

static void put_refusal(struct nlmsghdr *nlh)
{
	static const uint8_t ue[4] = { 10, 0, 0, 5 };

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_KIND, IMS_IPSEC_TRACE_KIND_REFUSAL);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_TRACE_AGO, 1ULL << 40);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_COUNT, 3);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_ENDPOINT, 2);
	mnl_attr_put(nlh, IMS_IPSEC_A_TRACE_UE_ADDRESS, 4, ue);
	mnl_attr_put(nlh, IMS_IPSEC_A_TRACE_OWNER, 5, "alice");
	mnl_attr_put(nlh, IMS_IPSEC_A_TRACE_CONTACT, 3, "c\0d");
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_TRACE_PORT_UC, htons(6301));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_TRACE_PORT_US, htons(6300));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_SPI_UC, htonl(25656));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_SPI_US, htonl(0xfffffffe));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_ERROR, EADDRINUSE);
	mnl_attr_put_strz(nlh, IMS_IPSEC_A_TRACE_TEXT, "somebody has it");
}

static void put_drop(struct nlmsghdr *nlh)
{
	static const uint8_t ue[16] = { 0x20, 0x01, [15] = 5 }, p[16] = { 0x20, 0x01, [15] = 1 };

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_KIND, IMS_IPSEC_TRACE_KIND_DROP);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_TRACE_AGO, 9);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_COUNT, UINT32_MAX);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_ENDPOINT, 2);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_DROP, IMS_IPSEC_DROP_CROSS_PAIR);
	mnl_attr_put(nlh, IMS_IPSEC_A_TRACE_SOURCE, 16, ue);
	mnl_attr_put(nlh, IMS_IPSEC_A_TRACE_DESTINATION, 16, p);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_TRACE_SOURCE_PORT, htons(6301));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_TRACE_DESTINATION_PORT, htons(5063));
	mnl_attr_put_u8(nlh, IMS_IPSEC_A_TRACE_PROTOCOL, IPPROTO_TCP);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_SPI, htonl(0x80000001));
}

/* The @n-th of the pairs, as the kernel has it at @rank */
static void put_algorithm(struct nlmsghdr *nlh, unsigned int n, uint32_t rank, const char *driver)
{
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ALGORITHM_AUTH_ALG, imsipsec_pairs[n].alg);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ALGORITHM_ENC_ALG, imsipsec_pairs[n].ealg);
	if (rank)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_ALGORITHM_RANK, rank);
	if (n == 4)
		mnl_attr_put(nlh, IMS_IPSEC_A_ALGORITHM_DEPRECATED, 0, NULL);
	if (driver) {
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_ALGORITHM_NAME, "rfc4106(gcm(aes))");
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_ALGORITHM_DRIVER, driver);
	}
}

/* The @n-th of the pairs, which an interface can do if there is no @reason */
static void put_offload(struct nlmsghdr *nlh, unsigned int n, uint32_t reason, const char *driver)
{
	mnl_attr_put_strz(nlh, IMS_IPSEC_A_OFFLOAD_INTERFACE, INTERFACE);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_OFFLOAD_MODE, IMS_IPSEC_OFFLOAD_PACKET);
	if (driver)
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_OFFLOAD_DRIVER, driver);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_OFFLOAD_AUTH_ALG, imsipsec_pairs[n].alg);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_OFFLOAD_ENC_ALG, imsipsec_pairs[n].ealg);
	if (reason) {
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_OFFLOAD_REASON, reason);
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_OFFLOAD_TEXT, "AES-GCM alone");
	}
}

static bool bundle_ok(const struct imsipsec_bundle *b, uint32_t id)
{
	return b->id == id && b->endpoint == 2 && b->owner_len == 5 &&
	       !memcmp(b->owner, "alice", 5) && b->contact_len == 3 &&
	       !memcmp(b->contact, "c\0d", 3) && b->state == IMSIPSEC_STATE_ACTIVE &&
	       b->address.family == AF_INET && b->address.in.s_addr == htonl(0xc0000201) &&
	       b->port_pc == 5062 && b->port_ps == 5063 && b->spi_pc == 65540 &&
	       b->spi_ps == 65541 && b->ue_address.in.s_addr == htonl(0x0a000005) &&
	       b->port_uc == 6301 && b->port_us == 6300 && b->spi_uc == 25656 &&
	       b->spi_us == 0xfffffffe && b->mode == IMSIPSEC_MODE_UDP_ENC_TUN &&
	       b->alg == IMSIPSEC_ALG_HMAC_SHA_1_96 && b->ealg == IMSIPSEC_EALG_AES_CBC &&
	       b->lifetime == 4294967295000ULL && b->rx_packets == 1 && b->rx_bytes == 2 &&
	       b->tx_packets == 3 && b->tx_bytes == 1ULL << 40 && b->registration == 0x3fffff &&
	       b->mark == 0xfffffe00 && b->ue_nat_address.family == AF_INET &&
	       b->ue_nat_address.in.s_addr == htonl(0xcb007107) && b->ue_nat_port == 61234 &&
	       b->unmarked && b->udp_only && b->offload == IMSIPSEC_OFFLOAD_CRYPTO &&
	       b->offload_reason == IMSIPSEC_OFFLOAD_REASON_ENCAPSULATION &&
	       !strcmp(b->offload_interface, "eth0") && b->last_rx_ms == 5000 &&
	       b->last_tx_ms == 1ULL << 44 && b->rx_bad_icv == 1ULL << 45 &&
	       b->rx_replayed == 1ULL << 46;
}

static void put_event_of(struct datagram *d, uint64_t seq, uint32_t type, uint32_t reason,
			 uint32_t new_state)
{
	struct nlmsghdr *nlh = message(d, FAMILY, 0, 0);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	struct nlattr *nest;

	genl->cmd = IMS_IPSEC_CMD_EVENT;
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_EVENT_SEQ, seq);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_TYPE, type);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_REASON, reason);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_OLD_STATE, IMS_IPSEC_STATE_OLD);
	if (new_state)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_NEW_STATE, new_state);
	nest = mnl_attr_nest_start(nlh, IMS_IPSEC_A_EVENT_BUNDLE);
	put_bundle(nlh, 9);
	mnl_attr_nest_end(nlh, nest);
	finish(d, nlh);
}

static void put_event(struct datagram *d, uint64_t seq)
{
	put_event_of(d, seq, IMS_IPSEC_EVENT_TYPE_EXPIRED, IMS_IPSEC_REASON_LIFETIME, 0);
}

/* ---- Requests ---------------------------------------------------------- */

/* The payload of attribute @type of the request; NULL if it is not there @n times, once more. */
static const void *requested(uint16_t type, size_t len, unsigned int n)
{
	const struct nlmsghdr *nlh = (const void *)kernel.request;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, GENL_HDRLEN)
		if (mnl_attr_get_type(attr) == type && !n--)
			return mnl_attr_get_payload_len(attr) == len ? mnl_attr_get_payload(attr)
								     : NULL;
	return NULL;
}

static bool requested_is(uint16_t type, const void *data, size_t len)
{
	const void *payload = requested(type, len, 0);

	return payload && !memcmp(payload, data, len) && !requested(type, len, 1);
}

static bool requested_u16(uint16_t type, uint16_t value)
{
	return requested_is(type, &value, sizeof(value));
}

/* There are two of them */
static bool requested_two_u16(uint16_t type, uint16_t first, uint16_t second)
{
	const uint16_t *a = requested(type, sizeof(*a), 0), *b = requested(type, sizeof(*b), 1);

	return a && *a == first && b && *b == second && !requested(type, sizeof(*a), 2);
}

static bool requested_u32(uint16_t type, uint32_t value)
{
	return requested_is(type, &value, sizeof(value));
}

static bool requested_u64(uint16_t type, uint64_t value)
{
	return requested_is(type, &value, sizeof(value));
}

/* Has it one reply, which ends it? */
static bool is_replied(uint8_t cmd)
{
	switch (cmd) {
	case IMS_IPSEC_CMD_BUNDLE_NEW:
	case IMS_IPSEC_CMD_BUNDLE_FLUSH:
	case IMS_IPSEC_CMD_ENDPOINT_NEW:
	case IMS_IPSEC_CMD_CONFIG_GET:
	case IMS_IPSEC_CMD_STATS_GET:
		return true;
	default:
		return false;
	}
}

static bool request_is(uint8_t cmd, uint16_t flags, unsigned int n_attrs)
{
	const struct nlmsghdr *nlh = (const void *)kernel.request;
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	flags |= is_replied(cmd) ? 0 : NLM_F_ACK;
	mnl_attr_for_each(attr, nlh, GENL_HDRLEN)
		n_attrs--;
	return kernel.sent == 1 && nlh->nlmsg_type == FAMILY && genl->cmd == cmd &&
	       genl->version == IMS_IPSEC_FAMILY_VERSION &&
	       nlh->nlmsg_flags == (NLM_F_REQUEST | flags) && !n_attrs;
}

static void make_params(struct imsipsec_bundle_params *p)
{
	*p = (struct imsipsec_bundle_params){
		.endpoint = 2, .owner = "alice", .owner_len = 5,
		.contact = "c\0d", .contact_len = 3, .alg = IMSIPSEC_ALG_HMAC_SHA_1_96,
		.ealg = IMSIPSEC_EALG_AES_CBC, .port_uc = 6301, .port_us = 6300,
		.spi_uc = 25656, .spi_us = 0xfffffffe,
	};
	imsipsec_addr_parse(&p->ue_address, "10.0.0.5");
	memset(p->ik, 0x11, sizeof(p->ik));
	memset(p->ck, 0x22, sizeof(p->ck));
}

static bool is_zero(const void *data, size_t len)
{
	const char *bytes = data;

	while (len--)
		if (bytes[len])
			return false;
	return true;
}

/* One byte longer than may be */
static const char *long_list(void)
{
	static char list[IMS_IPSEC_ALGORITHMS_MAX + 2];

	memset(list, ' ', sizeof(list) - 1);
	return list;
}

static void test_bundle_new(void)
{
	struct imsipsec *h = reset();
	const struct imsipsec_bundle *b = NULL;
	struct imsipsec_bundle_params p;
	struct datagram *d = datagram();
	struct nlmsghdr *nlh = reply(d, 0, IMS_IPSEC_CMD_BUNDLE_NEW);
	char long_owner[IMSIPSEC_OWNER_MAX + 1] = "";

	put_bundle(nlh, 9);
	finish(d, nlh);
	put_ack(datagram());
	make_params(&p);
	ok(!imsipsec_bundle_new(h, &p, &b) && b && bundle_ok(b, 9), "bundle_new: the reply");
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 12) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_ENDPOINT, 2) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_OWNER, "alice", 5) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_CONTACT, "c\0d", 3) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, "\012\0\0\005", 4) &&
	   requested_u16(IMS_IPSEC_A_BUNDLE_PORT_UC, htons(6301)) &&
	   requested_u16(IMS_IPSEC_A_BUNDLE_PORT_US, htons(6300)) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_SPI_UC, htonl(25656)) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_SPI_US, htonl(0xfffffffe)) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_AUTH_ALG, IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_ENC_ALG, IMS_IPSEC_ENC_ALG_AES_CBC) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_IK, p.ik, 16) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_CK, p.ck, 16), "bundle_new: the request");
	ok(is_zero(h->request, sizeof(h->request)), "bundle_new: the keys are wiped");

	h = reset();
	put_ack(datagram());
	make_params(&p);
	ok(imsipsec_bundle_new(h, &p, &b) == -EBADMSG, "bundle_new: acknowledged without a reply");

	h = reset();
	put_ack(datagram());
	p.mode = IMSIPSEC_MODE_TRANS;
	p.port_pc = 5064;
	imsipsec_bundle_new(h, &p, NULL);
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 14) &&
	   requested_u16(IMS_IPSEC_A_BUNDLE_PORT_PC, htons(5064)) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_MODE, IMS_IPSEC_MODE_TRANS),
	   "bundle_new: what need not be there");

	h = reset();
	put_ack(datagram());
	make_params(&p);
	p.cookie = 1ULL << 63;
	imsipsec_bundle_new(h, &p, NULL);
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 13) &&
	   requested_u64(IMS_IPSEC_A_BUNDLE_COOKIE, 1ULL << 63), "bundle_new: a cookie");

	h = reset();
	put_ack(datagram());
	make_params(&p);
	p.allowed_algorithms = LIST;
	imsipsec_bundle_new(h, &p, NULL);
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 13) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_ALLOWED_ALGORITHMS, LIST, strlen(LIST)),
	   "bundle_new: a list of its own");
	h = reset();
	p.allowed_algorithms = long_list();
	ok(imsipsec_bundle_new(h, &p, NULL) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "allowed-algorithms: longer than 512 bytes") &&
	   is_zero(h->request, sizeof(h->request)), "bundle_new: its list is too long");
	p.allowed_algorithms = "";
	ok(imsipsec_bundle_new(h, &p, NULL) == -EINVAL && !kernel.sent, "bundle_new: no list");
	h = reset();
	put_ack(datagram());
	make_params(&p);
	p.replace = true;
	imsipsec_bundle_new(h, &p, NULL);
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 13) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_REPLACE, "", 0), "C5: bundle_new: replace");

	h = reset();
	put_ack(datagram());
	make_params(&p);
	p.mode = IMSIPSEC_MODE_UDP_ENC_TUN;
	imsipsec_bundle_new(h, &p, NULL);
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 13) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_MODE, IMS_IPSEC_MODE_UDP_ENC_TUN),
	   "G2: bundle_new: UDP-enc-tun, the kernel knows the rest");
	h = reset();
	put_ack(datagram());
	imsipsec_addr_parse(&p.ue_nat_address, "203.0.113.7");
	p.ue_nat_port = 61234;
	p.unmarked = true;
	imsipsec_bundle_new(h, &p, NULL);
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 16) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, "\012\0\0\005", 4) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS, "\313\0\161\007", 4) &&
	   requested_u16(IMS_IPSEC_A_BUNDLE_UE_NAT_PORT, htons(61234)) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UNMARKED, "", 0), "G7: bundle_new: where the NAT is");
	h = reset();
	put_ack(datagram());
	imsipsec_addr_parse(&p.ue_nat_address, "2001:db8::7");
	p.ue_nat_port = 0;
	p.unmarked = false;
	imsipsec_bundle_new(h, &p, NULL);
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_NEW, 0, 14) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS, &p.ue_nat_address.in6, 16),
	   "G7: bundle_new: the NAT's address in IPv6, its port not known");
	h = reset();
	p.ue_nat_address.family = AF_UNIX;
	ok(imsipsec_bundle_new(h, &p, NULL) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "ue-nat-address: neither IPv4 nor IPv6") &&
	   is_zero(h->request, sizeof(h->request)), "bundle_new: no address of a NAT: %s",
	   imsipsec_strerror(h));

	h = reset();
	make_params(&p);
	p.owner = long_owner;
	p.owner_len = sizeof(long_owner);
	ok(imsipsec_bundle_new(h, &p, &b) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "owner: longer than 128 bytes"),
	   "bundle_new: owner too long: %s", imsipsec_strerror(h));
	make_params(&p);
	p.contact = NULL;
	ok(imsipsec_bundle_new(h, &p, &b) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "contact: empty"),
	   "bundle_new: no contact: %s", imsipsec_strerror(h));
	make_params(&p);
	p.ue_address.family = AF_UNIX;
	ok(imsipsec_bundle_new(h, &p, &b) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "ue-address: neither IPv4 nor IPv6"),
	   "bundle_new: no address: %s", imsipsec_strerror(h));
	ok(is_zero(h->request, sizeof(h->request)),
	   "bundle_new: the keys are wiped after an error");
	make_params(&p);
	p.reserved[0] = 1;
	ok(imsipsec_bundle_new(h, &p, &b) == -E2BIG && !kernel.sent &&
	   is_zero(h->request, sizeof(h->request)), "ABI: bundle_new: reserved bytes in use");
}

static void test_requests(void)
{
	struct imsipsec *h = reset();
	uint16_t ports[IMSIPSEC_PORT_PC_MAX + 1];
	struct imsipsec_endpoint_params ep = { .port_pc = ports };
	struct imsipsec_config c = { 0 };
	const struct imsipsec_endpoint *e = NULL;
	const struct imsipsec_config *config;
	struct datagram *d = datagram();
	struct nlmsghdr *nlh = reply(d, 0, IMS_IPSEC_CMD_ENDPOINT_NEW);
	const uint16_t *port;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ports); i++)
		ports[i] = 6000 + i;
	put_endpoint(nlh, 4);
	finish(d, nlh);
	put_ack(datagram());
	imsipsec_addr_parse(&ep.address, "2001:db8::1");
	ep.n_port_pc = IMSIPSEC_PORT_PC_MAX;
	ok(!imsipsec_endpoint_add(h, &ep, &e) && e && e->id == 4 && e->address.family == AF_INET6 &&
	   !memcmp(&e->address.in6, &ep.address.in6, 16) && e->port_ps == 5063 &&
	   e->n_port_pc == 2 && e->port_pc[0] == 5062 && e->port_pc[1] == 5064 &&
	   e->bundles == 3 && e->drop_plaintext_in == 1ULL << 40 && e->drop_plaintext_out == 5 &&
	   e->drop_foreign_sa == 6 && e->guard == IMSIPSEC_GUARD_REJECT &&
	   e->drop_cross_pair == 7 && e->drop_no_live_set == 1ULL << 41 && e->nat_traversal &&
	   e->nat_port == 4501 && e->nat_shared && e->drop_udp_only == 1ULL << 42 &&
	   e->esp_bad_icv == 1ULL << 44 && e->esp_unknown_spi == 9 &&
	   e->clear_to_ue == 10,
	   "endpoint_add: the reply");
	ok(!strcmp(e->hw_offload_interface, INTERFACE) &&
	   e->hw_offload == IMSIPSEC_OFFLOAD_CRYPTO && e->hw_offload_required &&
	   e->hw_offload_bundles == 2 && e->fallbacks[IMSIPSEC_OFFLOAD_REASON_NO_INTERFACE] == 8 &&
	   e->fallbacks[IMSIPSEC_OFFLOAD_REASON_LOST] == 1ULL << 43 &&
	   !e->fallbacks[IMSIPSEC_OFFLOAD_REASON_DOWN] && !strcmp(e->hw_offload_text, "no room"),
	   "endpoint_add: the reply: offload");
	port = requested(IMS_IPSEC_A_ENDPOINT_PORT_PC, 2, IMSIPSEC_PORT_PC_MAX - 1);
	ok(request_is(IMS_IPSEC_CMD_ENDPOINT_NEW, 0, 1 + IMSIPSEC_PORT_PC_MAX) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_ADDRESS, &ep.address.in6, 16) &&
	   port && *port == htons(6000 + IMSIPSEC_PORT_PC_MAX - 1),
	   "endpoint_add: the request, with all the ports that it can have");

	h = reset();
	ep.n_port_pc++;
	ok(imsipsec_endpoint_add(h, &ep, &e) == -EINVAL && !kernel.sent,
	   "endpoint_add: a port too many");

	h = reset();
	put_ack(datagram());
	ep.n_port_pc = 1;
	ep.guard = IMSIPSEC_GUARD_BYPASS;
	imsipsec_endpoint_add(h, &ep, NULL);
	ok(request_is(IMS_IPSEC_CMD_ENDPOINT_NEW, 0, 3) &&
	   requested_u32(IMS_IPSEC_A_ENDPOINT_GUARD, IMS_IPSEC_GUARD_BYPASS),
	   "endpoint_add: guard");
	h = reset();
	put_ack(datagram());
	ep.nat_traversal = IMSIPSEC_CHOICE_ON;
	ep.nat_port = 4501;
	ep.nat_shared = true;
	imsipsec_endpoint_add(h, &ep, NULL);
	ok(request_is(IMS_IPSEC_CMD_ENDPOINT_NEW, 0, 6) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL, "\1", 1) &&
	   requested_u16(IMS_IPSEC_A_ENDPOINT_NAT_PORT, htons(4501)) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_NAT_SHARED, "\1", 1),
	   "G2: endpoint_add: NAT traversal");
	h = reset();
	put_ack(datagram());
	ep.nat_traversal = IMSIPSEC_CHOICE_OFF;
	ep.nat_port = 0;
	ep.nat_shared = false;
	imsipsec_endpoint_add(h, &ep, NULL);
	ok(request_is(IMS_IPSEC_CMD_ENDPOINT_NEW, 0, 4) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL, "\0", 1),
	   "endpoint_add: no NAT traversal, whatever the configuration says");
	h = reset();
	ep.nat_traversal = IMSIPSEC_CHOICE_ON + 1;
	ok(imsipsec_endpoint_add(h, &ep, NULL) == -EINVAL && !kernel.sent,
	   "endpoint_add: neither with nor without NAT traversal: %s", imsipsec_strerror(h));
	h = reset();
	put_ack(datagram());
	ep.nat_traversal = IMSIPSEC_CHOICE_CONFIG;
	ep.hw_offload_interface = INTERFACE;
	ep.hw_offload = IMSIPSEC_OFFLOAD_PACKET;
	ep.hw_offload_required = IMSIPSEC_CHOICE_ON;
	imsipsec_endpoint_add(h, &ep, NULL);
	ok(request_is(IMS_IPSEC_CMD_ENDPOINT_NEW, 0, 6) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE, INTERFACE, strlen(INTERFACE)) &&
	   requested_u32(IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD, IMS_IPSEC_OFFLOAD_PACKET) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED, "\1", 1),
	   "endpoint_add: offload");
	h = reset();
	put_ack(datagram());
	ep.hw_offload_interface = "";
	ep.hw_offload = 0;
	ep.hw_offload_required = IMSIPSEC_CHOICE_OFF;
	imsipsec_endpoint_add(h, &ep, NULL);
	ok(request_is(IMS_IPSEC_CMD_ENDPOINT_NEW, 0, 5) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE, "", 1) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED, "\0", 1),
	   "endpoint_add: no interface, whatever the configuration says");
	h = reset();
	ep.hw_offload_interface = INTERFACE "4";
	ok(imsipsec_endpoint_add(h, &ep, NULL) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "hw-offload-interface: longer than 15 bytes"),
	   "endpoint_add: the name of an interface is too long");
	ep.hw_offload_interface = NULL;
	ep.hw_offload_required = IMSIPSEC_CHOICE_ON + 1;
	ok(imsipsec_endpoint_add(h, &ep, NULL) == -EINVAL && !kernel.sent,
	   "endpoint_add: offload is neither required nor not: %s", imsipsec_strerror(h));
	ep.hw_offload_required = IMSIPSEC_CHOICE_DEFAULT;
	ep.reserved[sizeof(ep.reserved) - 1] = 1;
	ok(imsipsec_endpoint_add(h, &ep, NULL) == -E2BIG &&
	   imsipsec_endpoint_replace(h, &ep, true, NULL) == -E2BIG && !kernel.sent,
	   "ABI: endpoint_add and endpoint_replace: reserved bytes in use");
	ep.reserved[sizeof(ep.reserved) - 1] = 0;
	c.reserved[1] = 1;
	ok(imsipsec_config_set(h, &c) == -E2BIG && !kernel.sent,
	   "ABI: config_set: reserved bytes in use");
	c.reserved[1] = 0;

	h = reset();
	put_ack(datagram());
	ok(!imsipsec_endpoint_delete(h, 4, false) && request_is(IMS_IPSEC_CMD_ENDPOINT_DEL, 0, 1) &&
	   requested_u32(IMS_IPSEC_A_ENDPOINT_ID, 4), "endpoint_delete");
	h = reset();
	put_ack(datagram());
	ok(!imsipsec_endpoint_delete(h, 4, true) && request_is(IMS_IPSEC_CMD_ENDPOINT_DEL, 0, 2) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_FORCE, "", 0), "endpoint_delete, with force");

	h = reset();
	put_ack(datagram());
	ok(!imsipsec_bundle_confirm(h, 9, 630000, 0, 0) &&
	   request_is(IMS_IPSEC_CMD_BUNDLE_CONFIRM, 0, 2) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_ID, 9) &&
	   requested_u64(IMS_IPSEC_A_BUNDLE_LIFETIME, 630000), "bundle_confirm");
	h = reset();
	put_ack(datagram());
	ok(!imsipsec_bundle_confirm(h, 9, 1, IMSIPSEC_OLDER_DROP, 8) &&
	   request_is(IMS_IPSEC_CMD_BUNDLE_CONFIRM, 0, 4) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_OLDER, IMS_IPSEC_OLDER_DROP) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_OVER, 8), "bundle_confirm, older and over");
	h = reset();
	put_ack(datagram());
	ok(!imsipsec_bundle_extend(h, 9, 630000) &&
	   request_is(IMS_IPSEC_CMD_BUNDLE_EXTEND, 0, 2) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_ID, 9) &&
	   requested_u64(IMS_IPSEC_A_BUNDLE_LIFETIME, 630000), "bundle_extend");
	h = reset();
	put_ack(datagram());
	ok(!imsipsec_bundle_delete(h, 9, 500) && request_is(IMS_IPSEC_CMD_BUNDLE_DEL, 0, 2) &&
	   requested_u64(IMS_IPSEC_A_BUNDLE_LINGER, 500), "bundle_delete, with linger");
	h = reset();
	put_ack(datagram());
	ok(!imsipsec_bundle_delete(h, 9, 0) && request_is(IMS_IPSEC_CMD_BUNDLE_DEL, 0, 1),
	   "bundle_delete");

	h = reset();
	d = datagram();
	nlh = reply(d, 0, IMS_IPSEC_CMD_CONFIG_GET);
	put_config(nlh);
	finish(d, nlh);
	put_ack(d);
	ok(!imsipsec_config_get(h, &config) && request_is(IMS_IPSEC_CMD_CONFIG_GET, 0, 0) &&
	   config->set == 0x3fffff && config->min_spi == 65536 &&
	   config->max_spi == 262144 && config->temporary_timeout == 30000 &&
	   config->n_port_pc == 2 && config->port_pc[0] == 5062 && config->port_pc[1] == 5064 &&
	   config->port_ps == 5063 && config->max_endpoints == 16 &&
	   config->max_bundles == 100000 && config->max_pending == 1000 &&
	   !strcmp(config->allowed_algorithms, LIST) &&
	   config->preferred_alg == IMSIPSEC_ALG_AES_GMAC &&
	   config->preferred_ealg == IMSIPSEC_EALG_AES_GCM &&
	   config->disable_deprecated_algorithms && config->max_sets == 3 &&
	   config->old_timeout == 128000 && config->idle_timeout == 1ULL << 40 &&
	   config->mark_mask == 0xffffff00 && config->nat_traversal &&
	   config->nat_port == 4500 && config->nat_follow_address &&
	   !strcmp(config->hw_offload_interface, INTERFACE) &&
	   config->hw_offload == IMSIPSEC_OFFLOAD_PACKET && config->hw_offload_required,
	   "config_get, reply and acknowledgement in one datagram");
	c = *config;
	c.allowed_algorithms = LIST;
	h = reset();
	put_ack(datagram());
	ok(!imsipsec_config_set(h, &c) && request_is(IMS_IPSEC_CMD_CONFIG_SET, 0, 23) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_MIN_SPI, htonl(65536)) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_MAX_SPI, htonl(262144)) &&
	   requested_u64(IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT, 30000) &&
	   requested_two_u16(IMS_IPSEC_A_CONFIG_PORT_PC, htons(5062), htons(5064)) &&
	   requested_u16(IMS_IPSEC_A_CONFIG_PORT_PS, htons(5063)) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS, 16) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_MAX_BUNDLES, 100000) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_MAX_PENDING, 1000) &&
	   requested_is(IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, LIST, strlen(LIST)) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_PREFERRED_ALG, IMS_IPSEC_AUTH_ALG_AES_GMAC) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_PREFERRED_EALG, IMS_IPSEC_ENC_ALG_AES_GCM) &&
	   requested_is(IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS, "\1", 1) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_MAX_SETS, 3) &&
	   requested_u64(IMS_IPSEC_A_CONFIG_OLD_TIMEOUT, 128000) &&
	   requested_u64(IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT, 1ULL << 40) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_MARK_MASK, 0xffffff00) &&
	   requested_is(IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL, "\1", 1) &&
	   requested_u16(IMS_IPSEC_A_CONFIG_NAT_PORT, htons(4500)) &&
	   requested_is(IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS, "\1", 1) &&
	   requested_is(IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE, INTERFACE, strlen(INTERFACE)) &&
	   requested_u32(IMS_IPSEC_A_CONFIG_HW_OFFLOAD, IMS_IPSEC_OFFLOAD_PACKET) &&
	   requested_is(IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED, "\1", 1), "config_set");
	h = reset();
	put_ack(datagram());
	c.set = IMSIPSEC_CONFIG_NAT_TRAVERSAL | IMSIPSEC_CONFIG_NAT_FOLLOW_ADDRESS;
	c.nat_traversal = c.nat_follow_address = false;
	ok(!imsipsec_config_set(h, &c) && request_is(IMS_IPSEC_CMD_CONFIG_SET, 0, 2) &&
	   requested_is(IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL, "\0", 1) &&
	   requested_is(IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS, "\0", 1), "config_set: off");
	h = reset();
	put_ack(datagram());
	c.set = IMSIPSEC_CONFIG_ALLOWED_ALGORITHMS;
	c.allowed_algorithms = "";
	ok(!imsipsec_config_set(h, &c) && request_is(IMS_IPSEC_CMD_CONFIG_SET, 0, 1) &&
	   requested_is(IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, "", 1),
	   "config_set: an empty list");
	h = reset();
	c.allowed_algorithms = long_list();
	ok(imsipsec_config_set(h, &c) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "allowed-algorithms: longer than 512 bytes"),
	   "config_set: a list too long");
	h = reset();
	c.allowed_algorithms = NULL;
	ok(imsipsec_config_set(h, &c) == -EINVAL && !kernel.sent, "config_set: no list");
	h = reset();
	put_ack(datagram());
	c.set = IMSIPSEC_CONFIG_HW_OFFLOAD_INTERFACE | IMSIPSEC_CONFIG_HW_OFFLOAD_REQUIRED;
	memset(c.hw_offload_interface, 0, sizeof(c.hw_offload_interface));
	c.hw_offload_required = false;
	ok(!imsipsec_config_set(h, &c) && request_is(IMS_IPSEC_CMD_CONFIG_SET, 0, 2) &&
	   requested_is(IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE, "", 1) &&
	   requested_is(IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED, "\0", 1),
	   "config_set: no interface");
	h = reset();
	memset(c.hw_offload_interface, 'x', sizeof(c.hw_offload_interface));
	ok(imsipsec_config_set(h, &c) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "hw-offload-interface: longer than 15 bytes"),
	   "config_set: the name of an interface does not end");
	h = reset();
	c.set = IMSIPSEC_CONFIG_PORT_PC;
	c.n_port_pc = 0;
	ok(imsipsec_config_set(h, &c) == -EINVAL && !kernel.sent &&
	   !strcmp(imsipsec_strerror(h), "port-pc: not 1 to 64"), "config_set: no client port");
	h = reset();
	c.n_port_pc = IMSIPSEC_PORT_PC_MAX + 1;
	ok(imsipsec_config_set(h, &c) == -EINVAL && !kernel.sent, "config_set: 65 client ports");
	h = reset();
	c.set = 1U << 31;
	ok(imsipsec_config_set(h, &c) == -E2BIG && !kernel.sent, "config_set: unknown member");
}

/* ---- Dumps -------------------------------------------------------------- */

struct seen {
	unsigned int n;
	uint32_t last;
	int ret;
	uint32_t stop_at;
};

static int see_bundle(const struct imsipsec_bundle *b, void *data)
{
	struct seen *seen = data;

	seen->n++;
	seen->last = b->id;
	return b->id == seen->stop_at ? seen->ret : 0;
}

static void put_dump(uint16_t flags)
{
	struct datagram *d = datagram();
	struct nlmsghdr *nlh;
	uint32_t id;

	for (id = 1; id <= 5; id++) {
		if (id == 4)
			d = datagram();
		nlh = reply(d, NLM_F_MULTI | flags, IMS_IPSEC_CMD_BUNDLE_GET);
		put_bundle(nlh, id);
		finish(d, nlh);
	}
}

static void test_dump(void)
{
	struct imsipsec_bundle_filter filter = {
		.endpoint = 2, .owner = "alice", .owner_len = 5,
		.contact = "c", .contact_len = 1, .state = IMSIPSEC_STATE_OLD,
		.older_than = 77,
	};
	struct imsipsec *h = reset();
	struct seen seen = { 0 };
	struct datagram *d;
	int err;

	put_dump(0);
	d = datagram();
	finish(d, done_message(d, 0, 0));
	imsipsec_addr_parse(&filter.ue_address, "2001:db8::5");
	ok(!imsipsec_bundle_dump(h, &filter, see_bundle, &seen) && seen.n == 5 && seen.last == 5,
	   "dump: five in three datagrams");
	ok(request_is(IMS_IPSEC_CMD_BUNDLE_GET, NLM_F_DUMP, 6) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_OLDER_THAN, 77) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_ENDPOINT, 2) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_OWNER, "alice", 5) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_CONTACT, "c", 1) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_STATE, IMS_IPSEC_STATE_OLD) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, &filter.ue_address.in6, 16),
	   "dump: the filter");

	h = reset();
	put_dump(0);
	d = datagram();
	finish(d, done_message(d, 0, 0));
	seen = (struct seen){ .ret = 77, .stop_at = 2 };
	ok(imsipsec_bundle_dump(h, NULL, see_bundle, &seen) == 77 && seen.n == 2 &&
	   kernel.next == kernel.n, "dump: ended by the callback, the rest is read all the same");

	h = reset();
	put_dump(0);
	d = datagram();
	finish(d, done_message(d, 0, 0));
	seen = (struct seen){ .ret = -EBADMSG, .stop_at = 2 };
	ok(imsipsec_bundle_dump(h, NULL, see_bundle, &seen) == -ECANCELED && seen.n == 2 &&
	   strstr(imsipsec_strerror(h), "callback"),
	   "CALLBACK: dump: a negative value of the callback is no errno of the library: %s",
	   imsipsec_strerror(h));

	h = reset();
	put_dump(NLM_F_DUMP_INTR);
	d = datagram();
	finish(d, done_message(d, 0, 0));
	seen = (struct seen){ 0 };
	ok(imsipsec_bundle_dump(h, NULL, see_bundle, &seen) == -ESTALE && seen.n == 5,
	   "dump: inconsistent: %s", imsipsec_strerror(h));

	h = reset();
	put_dump(0);
	d = datagram();
	finish(d, done_message(d, -ENOMEM, 0));
	ok(imsipsec_bundle_dump(h, NULL, see_bundle, &seen) == -ENOMEM,
	   "dump: broken off by the kernel: %s", imsipsec_strerror(h));
	kernel.next = 0;
	h->seq--;
	seen = (struct seen){ .ret = 77, .stop_at = 2 };
	ok(imsipsec_bundle_dump(h, NULL, see_bundle, &seen) == 77,
	   "dump: ended by the callback, then broken off by the kernel");

	h = reset();
	put_dump(0);
	kernel.answers[1].len = 0;
	d = datagram();
	finish(d, done_message(d, 0, 0));
	seen = (struct seen){ 0 };
	err = imsipsec_bundle_dump(h, NULL, see_bundle, &seen);
	ok(!err && seen.n == 3, "dump: an empty datagram");
}

static void test_claim(void)
{
	struct imsipsec *h = reset();
	struct seen seen = { 0 };
	struct datagram *d;

	put_dump(0);
	d = datagram();
	finish(d, done_message(d, 0, 0));
	ok(!imsipsec_bundle_claim(h, "a\0b", 3, see_bundle, &seen) && seen.n == 5 &&
	   request_is(IMS_IPSEC_CMD_BUNDLE_GET, NLM_F_DUMP, 1) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_OWNER, "a\0b", 3), "claim: a dump by owner");
	h = reset();
	ok(imsipsec_bundle_claim(h, NULL, 3, see_bundle, &seen) == -EINVAL &&
	   imsipsec_bundle_claim(h, "", 0, see_bundle, &seen) == -EINVAL &&
	   imsipsec_bundle_claim(h, long_list(), IMSIPSEC_OWNER_MAX + 1, see_bundle,
				 &seen) == -EINVAL && !kernel.sent,
	   "claim: of nobody: %s", imsipsec_strerror(h));
}

static void put_flushed(uint32_t n)
{
	struct datagram *d = datagram();
	struct nlmsghdr *nlh = reply(d, 0, IMS_IPSEC_CMD_BUNDLE_FLUSH);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_FLUSHED, n);
	finish(d, nlh);
	put_ack(datagram());
}

static void test_flush(void)
{
	struct imsipsec_bundle_filter filter = {
		.endpoint = 2, .owner = "alice", .owner_len = 5,
		.contact = "c", .contact_len = 1, .state = IMSIPSEC_STATE_OLD,
		.older_than = UINT32_MAX,
	};
	struct imsipsec *h = reset();
	uint32_t count = 7;
	struct datagram *d;

	put_flushed(0x12345678);
	imsipsec_addr_parse(&filter.ue_address, "10.0.0.5");
	ok(!imsipsec_bundle_flush(h, &filter, 1ULL << 33, &count) && count == 0x12345678 &&
	   request_is(IMS_IPSEC_CMD_BUNDLE_FLUSH, 0, 7) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_ENDPOINT, 2) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_OWNER, "alice", 5) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_CONTACT, "c", 1) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_STATE, IMS_IPSEC_STATE_OLD) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, "\012\0\0\005", 4) &&
	   requested_u32(IMS_IPSEC_A_BUNDLE_OLDER_THAN, UINT32_MAX) &&
	   requested_u64(IMS_IPSEC_A_BUNDLE_LINGER, 1ULL << 33), "flush: all of the filter");
	h = reset();
	put_flushed(0);
	ok(!imsipsec_bundle_flush(h, NULL, 0, &count) && !count &&
	   request_is(IMS_IPSEC_CMD_BUNDLE_FLUSH, 0, 0), "flush: no filter, none there");
	h = reset();
	put_flushed(5);
	ok(!imsipsec_bundle_flush(h, NULL, 0, NULL), "flush: nobody asks how many");
	h = reset();
	d = datagram();
	finish(d, ack(d, -EPERM, 0));
	count = 7;
	ok(imsipsec_bundle_flush(h, NULL, 0, &count) == -EPERM && count == 7, "flush: refused: %s",
	   imsipsec_strerror(h));
	h = reset();
	filter.reserved[0] = 1;
	ok(imsipsec_bundle_flush(h, &filter, 0, &count) == -E2BIG &&
	   imsipsec_bundle_dump(h, &filter, NULL, NULL) == -E2BIG && !kernel.sent,
	   "ABI: flush and dump: reserved bytes in use");
	filter = (struct imsipsec_bundle_filter){ .owner = "" };
	ok(imsipsec_bundle_flush(h, &filter, 0, &count) == -EINVAL && !kernel.sent,
	   "flush: an empty owner is not any: %s", imsipsec_strerror(h));
}

static int return_given(const void *thing, void *data)
{
	(void)thing;
	return *(int *)data;
}

#define DUMP(name, ...) \
	imsipsec_##name(h, ##__VA_ARGS__, (void *)return_given, &ret)

/* Each thing that can be dumped has one attribute that its parser insists on, or two. */
static int dump_one(int what, int ret)
{
	static const struct {
		uint8_t cmd;
		uint16_t attrs[2];
	} things[] = {
		{ IMS_IPSEC_CMD_ENDPOINT_GET, { IMS_IPSEC_A_ENDPOINT_ID } },
		{ IMS_IPSEC_CMD_BUNDLE_GET, { IMS_IPSEC_A_BUNDLE_ID } },
		{ IMS_IPSEC_CMD_TRACE_GET, { IMS_IPSEC_A_TRACE_KIND } },
		{ IMS_IPSEC_CMD_ALGORITHM_GET,
		  { IMS_IPSEC_A_ALGORITHM_AUTH_ALG, IMS_IPSEC_A_ALGORITHM_ENC_ALG } },
		{ IMS_IPSEC_CMD_OFFLOAD_GET,
		  { IMS_IPSEC_A_OFFLOAD_AUTH_ALG, IMS_IPSEC_A_OFFLOAD_ENC_ALG } },
	};
	struct imsipsec *h = reset();
	struct datagram *d = datagram();
	struct nlmsghdr *nlh = reply(d, NLM_F_MULTI, things[what].cmd);
	size_t i;

	for (i = 0; i < 2 && things[what].attrs[i]; i++)
		mnl_attr_put_u32(nlh, things[what].attrs[i], 1);
	finish(d, nlh);
	d = datagram();
	finish(d, done_message(d, 0, 0));
	switch (things[what].cmd) {
	case IMS_IPSEC_CMD_ENDPOINT_GET:
		return DUMP(endpoint_dump);
	case IMS_IPSEC_CMD_BUNDLE_GET:
		return DUMP(bundle_claim, "a", 1);
	case IMS_IPSEC_CMD_TRACE_GET:
		return DUMP(trace_dump, NULL);
	case IMS_IPSEC_CMD_ALGORITHM_GET:
		return DUMP(pair_dump);
	default:
		return DUMP(offload_dump, "lo", IMSIPSEC_OFFLOAD_DEFAULT);
	}
}

static void test_callbacks(void)
{
	static const char *const names[] = { "endpoint_dump", "bundle_claim", "trace_dump",
					     "pair_dump", "offload_dump" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		ok(!dump_one(i, 0) && dump_one(i, 3) == 3 && dump_one(i, -1) == -ECANCELED &&
		   dump_one(i, -ESTALE) == -ECANCELED, "CALLBACK: %s: 0, positive, negative",
		   names[i]);
}

static void test_stats(void)
{
	struct imsipsec *h = reset();
	const struct imsipsec_stats *s = NULL;
	struct datagram *d = datagram();
	struct nlmsghdr *nlh = reply(d, 0, IMS_IPSEC_CMD_STATS_GET);
	const uint64_t big = 1ULL << 40;

	put_stats(nlh);
	finish(d, nlh);
	put_ack(datagram());
	ok(!imsipsec_stats_get(h, &s) && request_is(IMS_IPSEC_CMD_STATS_GET, 0, 0) &&
	   s->endpoints == 102 && s->registrations == 103 && s->bundles == 104 &&
	   s->pending == 105 && s->nat_bundles == 106 && s->spis == 107 && s->spis_used == 108 &&
	   s->created == big + 9 && s->refused == big + 10 && s->confirmed == big + 11 &&
	   s->activated == big + 12 && s->superseded == big + 13 && s->expired == big + 14 &&
	   s->deleted == big + 15 && s->nat_mappings == big + 16 &&
	   s->offload_fallbacks == big + 17 && s->events == big + 18 &&
	   s->max_endpoints == 119 && s->max_registrations == 120 && s->max_bundles == 121 &&
	   s->max_pending == 122 && s->nearly_full == 2 * big, "stats: every member");
	h = reset();
	put_ack(datagram());
	ok(imsipsec_stats_get(h, &s) == -EBADMSG, "stats: acknowledged without a reply: %s",
	   imsipsec_strerror(h));
}

struct traces {
	struct imsipsec_trace seen[4];
	size_t n;
};

static int see_trace(const struct imsipsec_trace *trace, void *data)
{
	struct traces *traces = data;

	traces->seen[traces->n++] = *trace;
	return 0;
}

static void put_trace_dump(void)
{
	struct datagram *d = datagram();
	struct nlmsghdr *nlh;

	nlh = reply(d, NLM_F_MULTI, IMS_IPSEC_CMD_TRACE_GET);
	put_refusal(nlh);
	finish(d, nlh);
	nlh = reply(d, NLM_F_MULTI, IMS_IPSEC_CMD_TRACE_GET);
	put_drop(nlh);
	finish(d, nlh);
	finish(d, done_message(d, 0, 0));
}

static void test_trace(void)
{
	struct imsipsec *h = reset();
	struct traces got = { .n = 0 };
	const struct imsipsec_trace *t = &got.seen[0];
	struct imsipsec_addr addr;

	put_trace_dump();
	ok(!imsipsec_trace_dump(h, NULL, see_trace, &got) && got.n == 2 &&
	   request_is(IMS_IPSEC_CMD_TRACE_GET, NLM_F_DUMP, 0), "trace_dump: of all");
	ok(t->kind == IMSIPSEC_TRACE_KIND_REFUSAL && t->ago_ms == 1ULL << 40 && t->count == 3 &&
	   t->endpoint == 2 && t->ue_address.family == AF_INET &&
	   t->ue_address.in.s_addr == htonl(0x0a000005) && t->owner_len == 5 &&
	   !memcmp(t->owner, "alice", 5) && t->contact_len == 3 &&
	   !memcmp(t->contact, "c\0d", 3) && t->port_uc == 6301 && t->port_us == 6300 &&
	   t->spi_uc == 25656 && t->spi_us == 0xfffffffe && t->error == EADDRINUSE &&
	   !strcmp(t->text, "somebody has it") && !t->drop && !t->source.family && !t->spi,
	   "trace_dump: a refusal");
	t++;
	ok(t->kind == IMSIPSEC_TRACE_KIND_DROP && t->ago_ms == 9 && t->count == UINT32_MAX &&
	   t->endpoint == 2 && !t->ue_address.family && !t->owner_len && !t->error && !*t->text &&
	   t->drop == IMSIPSEC_DROP_CROSS_PAIR && t->source.family == AF_INET6 &&
	   t->source.in6.s6_addr[15] == 5 && t->destination.family == AF_INET6 &&
	   t->destination.in6.s6_addr[15] == 1 && t->source_port == 6301 &&
	   t->destination_port == 5063 && t->protocol == IPPROTO_TCP && t->spi == 0x80000001,
	   "trace_dump: a drop");

	h = reset();
	put_trace_dump();
	got.n = 0;
	imsipsec_addr_parse(&addr, "2001:db8::5");
	ok(!imsipsec_trace_dump(h, &addr, see_trace, &got) && got.n == 2 &&
	   request_is(IMS_IPSEC_CMD_TRACE_GET, NLM_F_DUMP, 1) &&
	   requested_is(IMS_IPSEC_A_TRACE_UE_ADDRESS, &addr.in6, 16), "trace_dump: of a UE");
	h = reset();
	addr.family = 0;
	ok(imsipsec_trace_dump(h, &addr, see_trace, &got) == -EINVAL && !kernel.sent,
	   "trace_dump: no address: %s", imsipsec_strerror(h));
}

struct pairs {
	struct imsipsec_pair_info seen[8];
	size_t n;
};

static int see_algorithm(const struct imsipsec_pair_info *a, void *data)
{
	struct pairs *pairs = data;

	pairs->seen[pairs->n++] = *a;
	return 0;
}

static void put_algorithm_dump(void)
{
	static const struct {
		unsigned int n;
		uint32_t rank;
		const char *driver;
	} dump[] = { { 3, 1, "x" }, { 0, 2, "rfc4106-gcm-aesni" }, { 2, 3, NULL }, { 4, 0, "y" } };
	struct datagram *d = datagram();
	struct nlmsghdr *nlh;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dump); i++) {
		nlh = reply(d, NLM_F_MULTI, IMS_IPSEC_CMD_ALGORITHM_GET);
		put_algorithm(nlh, dump[i].n, dump[i].rank, dump[i].driver);
		finish(d, nlh);
	}
	finish(d, done_message(d, 0, 0));
}

static void test_algorithms(void)
{
	struct imsipsec_pair algs[2];
	struct imsipsec *h = reset();
	struct pairs p = { .n = 0 };
	size_t n = 2;

	put_algorithm_dump();
	ok(!imsipsec_pair_dump(h, see_algorithm, &p) && p.n == 4 &&
	   request_is(IMS_IPSEC_CMD_ALGORITHM_GET, NLM_F_DUMP, 0), "algorithm_dump");
	ok(p.seen[1].alg == IMSIPSEC_ALG_NULL && p.seen[1].ealg == IMSIPSEC_EALG_AES_GCM &&
	   p.seen[1].rank == 2 && !p.seen[1].deprecated &&
	   !strcmp(p.seen[1].name, "rfc4106(gcm(aes))") &&
	   !strcmp(p.seen[1].driver, "rfc4106-gcm-aesni"), "algorithm_dump: every member");
	ok(p.seen[2].rank == 3 && !*p.seen[2].name && !*p.seen[2].driver,
	   "algorithm_dump: one that the kernel has not got");
	ok(!p.seen[3].rank && p.seen[3].deprecated, "algorithm_dump: one that is not allowed");

	h = reset();
	put_algorithm_dump();
	ok(!imsipsec_pairs_get(h, algs, &n) && n == 2 && algs[0].alg == IMSIPSEC_ALG_HMAC_SHA_1_96 &&
	   algs[0].ealg == IMSIPSEC_EALG_AES_CBC && algs[1].alg == IMSIPSEC_ALG_NULL &&
	   algs[1].ealg == IMSIPSEC_EALG_AES_GCM, "E6: algs_get: allowed, and in the kernel");
	h = reset();
	put_algorithm_dump();
	n = 1;
	ok(imsipsec_pairs_get(h, algs, &n) == -ENOSPC && n == 1 && kernel.next == kernel.n,
	   "algs_get: no room: %s", imsipsec_strerror(h));
}

struct offloads {
	struct imsipsec_offload_pair seen[4];
	size_t n;
};

static int see_offload(const struct imsipsec_offload_pair *pair, void *data)
{
	struct offloads *offloads = data;

	offloads->seen[offloads->n++] = *pair;
	return 0;
}

static void put_offload_dump(void)
{
	struct datagram *d = datagram();
	struct nlmsghdr *nlh;

	nlh = reply(d, NLM_F_MULTI, IMS_IPSEC_CMD_OFFLOAD_GET);
	put_offload(nlh, 0, 0, "mlx5_core");
	finish(d, nlh);
	nlh = reply(d, NLM_F_MULTI, IMS_IPSEC_CMD_OFFLOAD_GET);
	put_offload(nlh, 4, IMS_IPSEC_OFFLOAD_REASON_ALGORITHM, NULL);
	finish(d, nlh);
	finish(d, done_message(d, 0, 0));
}

static void test_offload(void)
{
	struct imsipsec *h = reset();
	struct offloads o = { .n = 0 };

	put_offload_dump();
	ok(!imsipsec_offload_dump(h, INTERFACE, IMSIPSEC_OFFLOAD_PACKET, see_offload, &o) &&
	   o.n == 2 && request_is(IMS_IPSEC_CMD_OFFLOAD_GET, NLM_F_DUMP, 2) &&
	   requested_is(IMS_IPSEC_A_OFFLOAD_INTERFACE, INTERFACE, strlen(INTERFACE)) &&
	   requested_u32(IMS_IPSEC_A_OFFLOAD_MODE, IMS_IPSEC_OFFLOAD_PACKET), "offload_dump");
	ok(!strcmp(o.seen[0].interface, INTERFACE) && o.seen[0].mode == IMSIPSEC_OFFLOAD_PACKET &&
	   !strcmp(o.seen[0].driver, "mlx5_core") && o.seen[0].alg == IMSIPSEC_ALG_NULL &&
	   o.seen[0].ealg == IMSIPSEC_EALG_AES_GCM && !o.seen[0].reason && !*o.seen[0].text,
	   "offload_dump: one that it can do");
	ok(!*o.seen[1].driver && o.seen[1].alg == imsipsec_pairs[4].alg &&
	   o.seen[1].ealg == imsipsec_pairs[4].ealg &&
	   o.seen[1].reason == IMSIPSEC_OFFLOAD_REASON_ALGORITHM &&
	   !strcmp(o.seen[1].text, "AES-GCM alone"), "offload_dump: one that it cannot");

	h = reset();
	put_offload_dump();
	o.n = 0;
	ok(!imsipsec_offload_dump(h, "lo", 0, see_offload, &o) &&
	   request_is(IMS_IPSEC_CMD_OFFLOAD_GET, NLM_F_DUMP, 1) &&
	   requested_is(IMS_IPSEC_A_OFFLOAD_INTERFACE, "lo", 2), "offload_dump: no mode");
	h = reset();
	ok(imsipsec_offload_dump(h, INTERFACE "4", 0, see_offload, &o) == -EINVAL &&
	   imsipsec_offload_dump(h, "", 0, see_offload, &o) == -EINVAL &&
	   imsipsec_offload_dump(h, NULL, 0, see_offload, &o) == -EINVAL && !kernel.sent,
	   "offload_dump: no name of an interface: %s", imsipsec_strerror(h));
}

/* ---- Errors -------------------------------------------------------------- */

static void refuse(int err, const char *msg, int offset_of, uint32_t miss)
{
	struct datagram *d = datagram();
	struct nlmsghdr *nlh = ack(d, err, NLM_F_CAPPED | NLM_F_ACK_TLVS);

	if (msg)
		mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, msg);
	if (offset_of >= 0)
		mnl_attr_put_u32(nlh, NLMSGERR_ATTR_OFFS, offset_of);
	if (miss)
		mnl_attr_put_u32(nlh, NLMSGERR_ATTR_MISS_TYPE, miss);
	finish(d, nlh);
}

static void test_errors(void)
{
	static const struct {
		const char *name, *msg;
		int offset;
		uint32_t miss;
		const char *text;
	} cases[] = {
		{ "text and attribute", "Attribute failed policy validation", 28, 0,
		  "Attribute failed policy validation: lifetime" },
		{ "text that has the attribute's name", "lifetime is too long", 28, 0,
		  "lifetime is too long" },
		{ "attribute only", NULL, 20, 0, "Invalid argument: id" },
		{ "nothing", NULL, -1, 0, "Invalid argument" },
		{ "attribute missing", NULL, -1, IMS_IPSEC_A_BUNDLE_OWNER,
		  "Invalid argument: owner is missing" },
		{ "attribute missing, with text", "who is it", -1, IMS_IPSEC_A_BUNDLE_OWNER,
		  "who is it: owner is missing" },
		{ "no such attribute", "no", -1, 1000, "no" },
		{ "offset between attributes", "no", 22, 0, "no" },
		{ "offset before the attributes", "no", 16, 0, "no" },
		{ "offset behind the request", "no", 100000, 0, "no" },
	};
	struct datagram *d;
	struct nlmsghdr *nlh;
	struct imsipsec *h;
	char text[600];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		h = reset();
		refuse(-EINVAL, cases[i].msg, cases[i].offset, cases[i].miss);
		ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EINVAL &&
		   !strcmp(imsipsec_strerror(h), cases[i].text),
		   "error: %s: %s", cases[i].name, imsipsec_strerror(h));
	}

	h = reset();
	refuse(-ENOENT, NULL, -1, 0);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -ENODEV && strstr(imsipsec_strerror(h), "unloaded"),
	   "error: the module was unloaded");
	h = reset();
	refuse(-ENOENT, "there is no bundle 9", -1, 0);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -ENOENT, "error: the bundle is gone");

	h = reset();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	refuse(-EINVAL, text, 28, 0);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EINVAL &&
	   strlen(imsipsec_strerror(h)) == ERROR_MAX - 1, "error: a text that is too long");

	h = reset();
	d = datagram();
	nlh = ack(d, -EPERM, NLM_F_CAPPED | NLM_F_ACK_TLVS);
	mnl_attr_put(nlh, NLMSGERR_ATTR_MSG, 3, "abc");
	finish(d, nlh);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EPERM && !strcmp(imsipsec_strerror(h), "abc"),
	   "error: a text without NUL");

	h = reset();
	d = datagram();
	nlh = ack(d, -EPERM, NLM_F_ACK_TLVS);
	memset(mnl_nlmsg_put_extra_header(nlh, 100), 0xee, 100);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "behind the request");
	finish(d, nlh);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EPERM &&
	   !strcmp(imsipsec_strerror(h), "behind the request"), "error: with the request in it");

	h = reset();
	d = datagram();
	nlh = ack(d, -EPERM, NLM_F_ACK_TLVS);
	finish(d, nlh);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EPERM, "error: the request in it is cut short");

	h = reset();
	d = datagram();
	nlh = ack(d, -EPERM, NLM_F_CAPPED | NLM_F_ACK_TLVS);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "text");
	mnl_attr_put_u16(nlh, NLMSGERR_ATTR_OFFS, 20);
	finish(d, nlh);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EPERM &&
	   !strcmp(imsipsec_strerror(h), "Operation not permitted"),
	   "error: what explains it is malformed");

	h = reset();
	d = datagram();
	finish(d, ack(d, 5, NLM_F_CAPPED));
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EBADMSG, "error: positive");

	h = reset();
	d = datagram();
	nlh = message(d, NLMSG_ERROR, 0, h->seq + 1);
	mnl_nlmsg_put_extra_header(nlh, 8);
	finish(d, nlh);
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EBADMSG, "error: too short to be one");

	h = reset();
	d = datagram();
	put_ack(d);
	d->len -= 4;
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EBADMSG, "datagram cut short");

	h = reset();
	d = datagram();
	put_ack(d);
	((struct nlmsghdr *)d->data)->nlmsg_len = 0x80000010;
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EBADMSG, "message length above 2^31");

	h = reset();
	d = datagram();
	nlh = reply(d, NLM_F_MULTI, IMS_IPSEC_CMD_BUNDLE_GET);
	put_bundle(nlh, 1);
	finish(d, nlh);
	nlh = done_message(d, -ENODEV, NLM_F_ACK_TLVS);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "end of the dump");
	finish(d, nlh);
	ok(imsipsec_bundle_dump(h, NULL, see_bundle, &(struct seen){ 0 }) == -ENODEV &&
	   !strcmp(imsipsec_strerror(h), "end of the dump"), "error: at the end of a dump");
}

static void test_socket(void)
{
	struct imsipsec *h = reset();
	struct datagram *d;

	kernel.send_errors = 3;
	datagram()->err = EINTR;
	put_ack(datagram());
	ok(!imsipsec_bundle_confirm(h, 9, 1, 0, 0) && kernel.sent == 1, "EINTR on sending and receiving");

	h = reset();
	d = datagram();
	finish(d, ack(d, -EIO, NLM_F_CAPPED));
	d->from = 1234;
	put_ack(datagram());
	ok(!imsipsec_bundle_confirm(h, 9, 1, 0, 0), "a datagram of another process is dropped");

	h = reset();
	d = datagram();
	finish(d, ack(d, -EIO, NLM_F_CAPPED));
	((struct nlmsghdr *)d->data)->nlmsg_seq = 1000;
	put_ack(d);
	ok(!imsipsec_bundle_confirm(h, 9, 1, 0, 0), "a stale reply is skipped");

	h = reset();
	put_ack(datagram());
	kernel.answers[0].flags = MSG_TRUNC;
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -EMSGSIZE, "a datagram that does not fit");

	h = reset();
	datagram()->err = ENOBUFS;
	ok(imsipsec_bundle_confirm(h, 9, 1, 0, 0) == -ENOBUFS, "a reply that was lost: %s",
	   imsipsec_strerror(h));
}

/* ---- Success without an answer ------------------------------------------ */

static void test_no_reply(void)
{
	const struct imsipsec_endpoint *e = NULL;
	const struct imsipsec_config *c = NULL;
	const struct imsipsec_bundle *b = NULL;
	const struct imsipsec_stats *s = NULL;
	struct imsipsec *h = reset();
	uint32_t n = 7;

	put_ack(datagram());
	ok(imsipsec_config_get(h, &c) == -EBADMSG && !c, "INPUT: config_get: acknowledged without a reply: %s",
	   imsipsec_strerror(h));
	h = reset();
	put_ack(datagram());
	ok(imsipsec_bundle_get(h, 9, &b) == -EBADMSG && !b, "INPUT: bundle_get: acknowledged without a reply");
	h = reset();
	put_ack(datagram());
	ok(imsipsec_endpoint_get(h, 9, &e) == -EBADMSG && !e, "INPUT: endpoint_get: acknowledged without a reply");
	h = reset();
	put_ack(datagram());
	ok(imsipsec_stats_get(h, &s) == -EBADMSG && !s, "INPUT: stats_get: acknowledged without a reply");
	h = reset();
	put_ack(datagram());
	ok(imsipsec_bundle_flush(h, NULL, 0, &n) == -EBADMSG && n == 7,
	   "INPUT: bundle_flush: acknowledged without a reply");
}

/* ---- Other families than the module's, for the command --------------------- */

static int count_rule(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)h;
	*(unsigned int *)data += nlh->nlmsg_type == RTM_NEWRULE;
	return 0;
}

/* Two rules, then the end, which has @err; what it gives, and how many it has seen */
static int ask(int err, uint16_t flags, unsigned int *n)
{
	alignas(8) char buf[64];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
	struct datagram *d;

	reset();
	d = datagram();
	finish(d, message(d, RTM_NEWRULE, NLM_F_MULTI, 1));
	finish(d, message(d, RTM_NEWROUTE, NLM_F_MULTI, 1));
	finish(d, message(d, RTM_NEWRULE, NLM_F_MULTI | flags, 1));
	d = datagram();
	finish(d, done_message(d, err, flags));
	request->nlmsg_type = RTM_GETRULE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	*n = 0;
	return imsipsec_nl_ask(NETLINK_ROUTE, request, RTM_NEWRULE, count_rule, n);
}

static void test_ask(void)
{
	alignas(8) char buf[64];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
	struct datagram *d;
	unsigned int n;

	ok(!ask(0, 0, &n) && n == 2 && kernel.sent == 1 &&
	   ((struct nlmsghdr *)kernel.request)->nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP),
	   "CHECK: dump of another family");
	ok(ask(-EIO, 0, &n) == -EIO && n == 2, "CHECK: dump of another family: it ends with an error");
	ok(ask(-ENOENT, 0, &n) == -ENOENT, "CHECK: dump of another family: what is not there is not the module");
	ok(ask(0, NLM_F_DUMP_INTR, &n) == -ESTALE, "CHECK: dump of another family: it is not consistent");
	reset();
	d = datagram();
	finish(d, message(d, RTM_NEWRULE, NLM_F_MULTI, 1));
	d = datagram();
	d->err = ENOBUFS;
	request->nlmsg_type = RTM_GETRULE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ok(imsipsec_nl_ask(NETLINK_ROUTE, request, RTM_NEWRULE, count_rule, &n) == -ENOBUFS,
	   "CHECK: dump of another family: a part of it got lost");
}

/* ---- What goes in is the handle's own ------------------------------------ */

/* What an earlier call has given out is good for the next. */
static void test_own_pointers(void)
{
	struct imsipsec_bundle_filter f = { 0 };
	struct imsipsec_endpoint_params ep = { 0 };
	struct imsipsec_bundle_params p;
	const struct imsipsec_endpoint *e;
	const struct imsipsec_config *c;
	const struct imsipsec_bundle *b;
	struct imsipsec *h = reset();
	struct datagram *d = datagram();
	struct nlmsghdr *nlh = reply(d, 0, IMS_IPSEC_CMD_BUNDLE_GET);
	struct nlattr *attr;

	put_bundle(nlh, 9);
	finish(d, nlh);
	put_ack(d);
	imsipsec_bundle_get(h, 9, &b);
	make_params(&p);
	p.owner = b->owner;
	p.owner_len = b->owner_len;
	p.contact = b->contact;
	p.contact_len = b->contact_len;
	kernel.n = kernel.next = kernel.sent = 0;
	d->len = 0;
	d = datagram();
	nlh = reply(d, 0, IMS_IPSEC_CMD_BUNDLE_NEW);
	put_bundle(nlh, 10);
	finish(d, nlh);
	put_ack(d);
	ok(!imsipsec_bundle_new(h, &p, &b) && b->id == 10 &&
	   requested_is(IMS_IPSEC_A_BUNDLE_OWNER, "alice", 5) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_CONTACT, "c\0d", 3),
	   "INPUT: own pointers: bundle_new with what bundle_get gave");
	f.owner = b->owner;
	f.owner_len = b->owner_len;
	f.contact = b->contact;
	f.contact_len = b->contact_len;
	f.ue_address = b->ue_address;
	kernel.n = kernel.next = kernel.sent = 0;
	d->len = 0;
	d = datagram();
	finish(d, done_message(d, 0, 0));
	ok(!imsipsec_bundle_dump(h, &f, NULL, NULL) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_OWNER, "alice", 5) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_CONTACT, "c\0d", 3) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, "\12\0\0\5", 4),
	   "INPUT: own pointers: bundle_dump with what bundle_new gave");

	h = reset();
	d = datagram();
	nlh = reply(d, 0, IMS_IPSEC_CMD_ENDPOINT_GET);
	put_endpoint(nlh, 4);
	finish(d, nlh);
	put_ack(d);
	imsipsec_endpoint_get(h, 4, &e);
	ep.address = e->address;
	ep.port_pc = e->port_pc;
	ep.n_port_pc = e->n_port_pc;
	ep.hw_offload_interface = e->hw_offload_interface;
	kernel.n = kernel.next = kernel.sent = 0;
	d->len = 0;
	d = datagram();
	nlh = reply(d, 0, IMS_IPSEC_CMD_ENDPOINT_NEW);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_ID, 5);
	finish(d, nlh);
	put_ack(d);
	ok(!imsipsec_endpoint_add(h, &ep, &e) && e->id == 5 && !e->n_port_pc &&
	   requested(IMS_IPSEC_A_ENDPOINT_PORT_PC, 2, 1) &&
	   requested_is(IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE, INTERFACE, strlen(INTERFACE)),
	   "INPUT: own pointers: endpoint_add with what endpoint_get gave");

	h = reset();
	d = datagram();
	nlh = reply(d, 0, IMS_IPSEC_CMD_CONFIG_GET);
	put_config(nlh);
	finish(d, nlh);
	put_ack(d);
	imsipsec_config_get(h, &c);
	kernel.n = kernel.next = kernel.sent = 0;
	d->len = 0;
	put_ack(datagram());
	ok(!imsipsec_config_set(h, c) && request_is(IMS_IPSEC_CMD_CONFIG_SET, 0, 23) &&
	   requested_is(IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, LIST, strlen(LIST)),
	   "INPUT: own pointers: config_set with what config_get gave");
	attr = mnl_nlmsg_get_payload_offset((void *)kernel.request, GENL_HDRLEN);
	ok(mnl_attr_ok(attr, 8), "INPUT: own pointers: the request is whole");
}

/* ---- IPv4 addresses of a socket of both families --------------------------- */

static struct imsipsec_addr mapped(const char *text)
{
	struct imsipsec_addr a = { .family = AF_INET6 };

	if (inet_pton(AF_INET6, text, &a.in6) != 1)
		abort();
	return a;
}

static void test_mapped(void)
{
	static const uint8_t ue[] = { 10, 0, 0, 5 }, own[] = { 192, 0, 2, 1 }, nat[] = { 203, 0, 113, 7 };
	struct imsipsec_endpoint_params ep = { .address = mapped("::ffff:192.0.2.1") };
	struct imsipsec_bundle_filter f = { .ue_address = mapped("::ffff:10.0.0.5") };
	const struct imsipsec_addr a = mapped("::ffff:10.0.0.5"), other = mapped("::fffe:10.0.0.5");
	struct imsipsec_bundle_params p;
	char text[INET6_ADDRSTRLEN];
	struct imsipsec_addr parsed;
	struct imsipsec *h = reset();

	ok(!imsipsec_addr_parse(&parsed, "::ffff:10.0.0.5") && parsed.family == AF_INET &&
	   !memcmp(&parsed.in, ue, 4) && !imsipsec_addr_parse(&parsed, "[::FFFF:a00:5]") &&
	   parsed.family == AF_INET && !memcmp(&parsed.in, ue, 4), "INPUT: mapped: addr_parse");
	ok(!imsipsec_addr_parse(&parsed, "::fffe:10.0.0.5") && parsed.family == AF_INET6 &&
	   !imsipsec_addr_parse(&parsed, "::10.0.0.5") && parsed.family == AF_INET6,
	   "INPUT: mapped: addr_parse, what is like it");
	ok(!strcmp(imsipsec_addr_format(&a, text, sizeof(text)), "10.0.0.5") &&
	   strchr(imsipsec_addr_format(&other, text, sizeof(text)), ':'), "INPUT: mapped: addr_format");
	put_ack(datagram());
	imsipsec_endpoint_add(h, &ep, NULL);
	ok(requested_is(IMS_IPSEC_A_ENDPOINT_ADDRESS, own, 4), "INPUT: mapped: endpoint_add");
	h = reset();
	put_ack(datagram());
	make_params(&p);
	p.ue_address = a;
	p.mode = IMSIPSEC_MODE_UDP_ENC_TUN;
	p.ue_nat_address = mapped("::ffff:203.0.113.7");
	imsipsec_bundle_new(h, &p, NULL);
	/* The request is wiped, but for the copy that was sent. */
	ok(requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, ue, 4) &&
	   requested_is(IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS, nat, 4), "INPUT: mapped: bundle_new");
	h = reset();
	finish(datagram(), done_message(&kernel.answers[0], 0, 0));
	imsipsec_bundle_dump(h, &f, NULL, NULL);
	ok(requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, ue, 4), "INPUT: mapped: bundle_dump");
	h = reset();
	put_ack(datagram());
	imsipsec_bundle_flush(h, &f, 0, NULL);
	ok(requested_is(IMS_IPSEC_A_BUNDLE_UE_ADDRESS, ue, 4), "INPUT: mapped: bundle_flush");
	h = reset();
	finish(datagram(), done_message(&kernel.answers[0], 0, 0));
	imsipsec_trace_dump(h, &a, NULL, NULL);
	ok(requested_is(IMS_IPSEC_A_TRACE_UE_ADDRESS, ue, 4), "INPUT: mapped: trace_dump");
	h = reset();
	finish(datagram(), done_message(&kernel.answers[0], 0, 0));
	imsipsec_trace_dump(h, &other, NULL, NULL);
	ok(requested_is(IMS_IPSEC_A_TRACE_UE_ADDRESS, &other.in6, 16), "INPUT: mapped: what is like it is IPv6");
}

/* ---- After fork() ---------------------------------------------------------- */

static int see_no_event(const struct imsipsec_event *event, void *data)
{
	(void)event;
	(void)data;
	return 77;
}

/* Bits of the calls that do not give ECHILD, or send something, with another process's handle */
static int calls_of_child(void)
{
	struct imsipsec_endpoint_params ep = { 0 };
	struct imsipsec_config set = { 0 };
	struct imsipsec_pair algs[9];
	const struct imsipsec_endpoint *e;
	const struct imsipsec_config *c;
	const struct imsipsec_bundle *b;
	const struct imsipsec_stats *s;
	struct imsipsec_bundle_params p;
	struct imsipsec *h = &handle;
	struct imsipsec_events ev = { .h = h };
	size_t n = 9, i;
	int errs[29];

	make_params(&p);
	imsipsec_addr_parse(&ep.address, "192.0.2.1");
	i = 0;
	errs[i++] = imsipsec_config_get(h, &c);
	errs[i++] = imsipsec_config_set(h, &set);
	errs[i++] = imsipsec_pair_dump(h, NULL, NULL);
	errs[i++] = imsipsec_pairs_get(h, algs, &n);
	errs[i++] = imsipsec_offload_dump(h, "eth0", 0, NULL, NULL);
	errs[i++] = imsipsec_endpoint_add(h, &ep, NULL);
	errs[i++] = imsipsec_endpoint_delete(h, 1, true);
	errs[i++] = imsipsec_endpoint_get(h, 1, &e);
	errs[i++] = imsipsec_endpoint_dump(h, NULL, NULL);
	errs[i++] = imsipsec_bundle_new(h, &p, NULL);
	errs[i++] = imsipsec_bundle_confirm(h, 1, 1, 0, 0);
	errs[i++] = imsipsec_bundle_extend(h, 1, 1);
	errs[i++] = imsipsec_bundle_delete(h, 1, 0);
	errs[i++] = imsipsec_bundle_get(h, 1, &b);
	errs[i++] = imsipsec_bundle_dump(h, NULL, NULL, NULL);
	errs[i++] = imsipsec_bundle_claim(h, "alice", 5, NULL, NULL);
	errs[i++] = imsipsec_bundle_flush(h, NULL, 0, NULL);
	errs[i++] = imsipsec_bundle_find_tuple(h, &ep.address, 1, &ep.address, 2, &b);
	errs[i++] = imsipsec_bundle_find_spi(h, 1, &b);
	errs[i++] = imsipsec_bundle_find_mark(h, 1, &b);
	errs[i++] = imsipsec_bundle_tx(h, 1, &b);
	errs[i++] = imsipsec_bundle_tx_name(h, "o", 1, "c", 1, &b);
	errs[i++] = imsipsec_set_timeout(h, 1);
	errs[i++] = imsipsec_endpoint_set_ports(h, 1, NULL, 0, &e);
	errs[i++] = imsipsec_endpoint_replace(h, &ep, false, &e);
	errs[i++] = imsipsec_bundle_tx_port(h, NULL, &ep.address, 1, &b);
	errs[i++] = imsipsec_stats_get(h, &s);
	errs[i++] = imsipsec_trace_dump(h, NULL, NULL, NULL);
	errs[i++] = imsipsec_event_dispatch(&ev, see_no_event, NULL);
	while (i--)
		if (errs[i] != -ECHILD || kernel.sent || kernel.next)
			return 1 + i;
	return strstr(imsipsec_strerror(h), "fork()") ? 0 : 99;
}

static void test_fork(void)
{
	struct imsipsec *h = reset();
	int status = -1;
	pid_t child;

	put_ack(datagram());
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(calls_of_child());
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "INPUT: fork: every call with another process's handle: ECHILD (%d)",
	   WEXITSTATUS(status));
	ok(!imsipsec_bundle_confirm(h, 9, 1, 0, 0), "INPUT: fork: the process that opened it goes on");
}

/* ---- Why there is no handle -------------------------------------------------- */

static void test_key(void)
{
	static const char *const bad[] = {
		"", "\"\"", "e1763cf28cc2e584588800193137ec9", "e1763cf28cc2e584588800193137ec922",
		"0xe1763cf28cc2e584588800193137ec92", "\"e1763cf28cc2e584588800193137ec92",
		"e1763cf28cc2e584588800193137ec92\"", "e1763cf28cc2e58458880019313 ec92",
		"e1763cf28cc2e584588800193137ecg2", " e1763cf28cc2e584588800193137ec9",
	};
	static const uint8_t want[IMSIPSEC_KEY_LEN] = {
		0xe1, 0x76, 0x3c, 0xf2, 0x8c, 0xc2, 0xe5, 0x84, 0x58, 0x88, 0x00, 0x19, 0x31, 0x37,
		0xec, 0x92,
	};
	uint8_t key[IMSIPSEC_KEY_LEN], was[IMSIPSEC_KEY_LEN];
	unsigned int wrong = 0;
	size_t i;

	memset(key, 0, sizeof(key));
	ok(!imsipsec_key_parse(key, "e1763CF28cc2e584588800193137ec92, ck", 32) &&
	   !memcmp(key, want, sizeof(key)), "INPUT: key_parse: digits, of either case, without NUL");
	memset(key, 0, sizeof(key));
	ok(!imsipsec_key_parse(key, "\"e1763cf28cc2e584588800193137ec92\"", 34) &&
	   !memcmp(key, want, sizeof(key)), "INPUT: key_parse: with the quotes of SIP");
	memset(key, 0x55, sizeof(key));
	memcpy(was, key, sizeof(was));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		wrong += imsipsec_key_parse(key, bad[i], strlen(bad[i])) != -EINVAL ||
			 memcmp(key, was, sizeof(was));
	ok(!wrong, "INPUT: key_parse: what is no key leaves it as it was (%u)", wrong);
}

static void test_open_strerror(void)
{
	static const int errs[] = {
		-ENOENT, -ENODEV, -EPERM, -ENOMEM, -EMFILE, -ENFILE, -ENOSPC, -ESTALE, -EBADMSG,
		-EPROTONOSUPPORT, -ENOPROTOOPT,
	};
	struct rlimit old, none = { 0, 0 };
	unsigned int same = 0;
	struct imsipsec *h;
	size_t i, j;
	int err;

	for (i = 0; i < ARRAY_SIZE(errs); i++)
		for (j = 0; j <= i; j++)
			same += !strcmp(imsipsec_open_strerror(errs[i]),
					imsipsec_open_strerror(j < i ? errs[j] : -12345));
	ok(!same, "INPUT: open_strerror: each has a text of its own");
	getrlimit(RLIMIT_NOFILE, &old);
	none.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none);
	err = imsipsec_open(&h);
	setrlimit(RLIMIT_NOFILE, &old);
	ok(err == -EMFILE && !h && strstr(imsipsec_open_strerror(err), "open files"),
	   "INPUT: open_strerror: no file to be had: %s", imsipsec_open_strerror(err));
}

/* ---- Malformed replies ------------------------------------------------- */

typedef void (*put_fn)(struct nlmsghdr *nlh);

static void put_an_endpoint(struct nlmsghdr *nlh)
{
	put_endpoint(nlh, 4);
}

static void put_a_bundle(struct nlmsghdr *nlh)
{
	put_bundle(nlh, 9);
}

static void put_an_algorithm(struct nlmsghdr *nlh)
{
	put_algorithm(nlh, 4, 5, "x");
}

static void put_an_offload(struct nlmsghdr *nlh)
{
	put_offload(nlh, 4, IMS_IPSEC_OFFLOAD_REASON_ALGORITHM, "x");
}

/* Every attribute that one can have */
static void put_a_trace(struct nlmsghdr *nlh)
{
	put_refusal(nlh);
	put_drop(nlh);
}

static int parse_any(const struct nlmsghdr *nlh, put_fn put)
{
	struct imsipsec_stats s;
	struct imsipsec_trace t;
	struct imsipsec_offload_pair o;
	struct imsipsec_pair_info a;
	struct imsipsec_endpoint e;
	struct imsipsec_bundle b;

	if (put == put_config)
		return imsipsec_config_parse(&handle, nlh);
	if (put == put_an_algorithm)
		return imsipsec_pair_info_parse(nlh, &a);
	if (put == put_an_offload)
		return imsipsec_offload_parse(nlh, &o);
	if (put == put_an_endpoint)
		return imsipsec_endpoint_parse(nlh, &e);
	if (put == put_stats)
		return imsipsec_stats_parse(nlh, &s);
	if (put == put_a_trace)
		return imsipsec_trace_parse(nlh, &t);
	return imsipsec_bundle_parse(nlh, &b);
}

/* Is there an attribute of @type with @len in what the kernel sends rightly? */
static bool is_right(const struct nlmsghdr *nlh, uint16_t type, uint16_t len)
{
	const struct nlattr *attr;
	bool known = false;

	mnl_attr_for_each(attr, nlh, GENL_HDRLEN) {
		if (mnl_attr_get_type(attr) != type)
			continue;
		known = true;
		if (mnl_attr_get_payload_len(attr) == len)
			return true;
	}
	return !known;
}

/* Opaque bytes, text, and flags, of which it counts only that they are there */
static bool any_length(put_fn put, uint16_t type)
{
	if (put == put_a_bundle)
		return type == IMS_IPSEC_A_BUNDLE_OWNER || type == IMS_IPSEC_A_BUNDLE_CONTACT ||
		       type == IMS_IPSEC_A_BUNDLE_UNMARKED || type == IMS_IPSEC_A_BUNDLE_UDP_ONLY;
	if (put == put_config)
		return type == IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS;
	if (put == put_an_endpoint)
		return type == IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_TEXT;
	if (put == put_an_offload)
		return type == IMS_IPSEC_A_OFFLOAD_DRIVER || type == IMS_IPSEC_A_OFFLOAD_TEXT;
	if (put == put_a_trace)
		return type == IMS_IPSEC_A_TRACE_OWNER || type == IMS_IPSEC_A_TRACE_CONTACT ||
		       type == IMS_IPSEC_A_TRACE_TEXT;
	return put == put_an_algorithm && (type == IMS_IPSEC_A_ALGORITHM_DEPRECATED ||
					   type == IMS_IPSEC_A_ALGORITHM_NAME ||
					   type == IMS_IPSEC_A_ALGORITHM_DRIVER);
}

static bool is_interface(put_fn put, uint16_t type)
{
	return (put == put_config && type == IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE) ||
	       (put == put_an_endpoint && type == IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE) ||
	       (put == put_a_bundle && type == IMS_IPSEC_A_BUNDLE_OFFLOAD_INTERFACE) ||
	       (put == put_an_offload && type == IMS_IPSEC_A_OFFLOAD_INTERFACE);
}

/* Whether @put may hold an attribute of @type with @len bytes, none of which is NUL */
static bool may_have(const struct nlmsghdr *nlh, put_fn put, uint16_t type, uint16_t len)
{
	if (is_interface(put, type))
		return len <= IMSIPSEC_INTERFACE_MAX;
	return is_right(nlh, type, len) || any_length(put, type);
}

static void test_lengths(const char *name, put_fn put, uint16_t max_type)
{
	struct datagram *right = &kernel.answers[0], *wrong = &kernel.answers[1];
	static const uint8_t zeroes[IMSIPSEC_CONTACT_MAX + 1];
	unsigned int taken = 0, cut = 0;
	struct nlmsghdr *nlh, *exact;
	uint16_t type, len;
	size_t n;

	reset();
	nlh = reply(right, 0, 1);
	put(nlh);
	ok(!parse_any(nlh, put), "%s: parsed", name);

	for (type = 0; type <= max_type; type++) {
		for (len = 0; len <= 17; len++) {
			/* Addresses may have 4 or 16. */
			bool is_addr = (put == put_a_bundle &&
					(type == IMS_IPSEC_A_BUNDLE_ADDRESS ||
					 type == IMS_IPSEC_A_BUNDLE_UE_ADDRESS ||
					 type == IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS)) ||
				       (put == put_a_trace &&
					(type == IMS_IPSEC_A_TRACE_UE_ADDRESS ||
					 type == IMS_IPSEC_A_TRACE_SOURCE ||
					 type == IMS_IPSEC_A_TRACE_DESTINATION)) ||
				       (put == put_an_endpoint &&
					type == IMS_IPSEC_A_ENDPOINT_ADDRESS);
			int want = may_have(nlh, put, type, len) ||
				   (is_addr && (len == 4 || len == 16)) ? 0 : -EBADMSG;
			struct nlmsghdr *w;

			wrong->len = 0;
			w = reply(wrong, 0, 1);
			put(w);
			mnl_attr_put(w, type, len, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1");
			if (parse_any(w, put) != want)
				taken++;
		}
	}
	ok(!taken, "%s: every attribute with every length from 0 to 17", name);

	if (put == put_a_bundle) {
		wrong->len = 0;
		exact = reply(wrong, 0, 1);
		put(exact);
		mnl_attr_put(exact, IMS_IPSEC_A_BUNDLE_CONTACT, sizeof(zeroes), zeroes);
		ok(parse_any(exact, put) == -EBADMSG, "%s: contact too long", name);
	}

	/* On the heap, cut short at every byte, for AddressSanitizer. */
	for (n = sizeof(*nlh); n < nlh->nlmsg_len; n++) {
		exact = malloc(n);
		if (!exact)
			abort();
		memcpy(exact, nlh, n);
		exact->nlmsg_len = n;
		parse_any(exact, put);
		if (n < sizeof(*nlh) + GENL_HDRLEN)
			cut += parse_any(exact, put) != -EBADMSG;
		free(exact);
	}
	ok(!cut, "%s: cut short at every byte", name);
}

static void test_objects(void)
{
	struct imsipsec_endpoint e;
	struct imsipsec_bundle b;
	struct nlmsghdr *nlh;
	int i;

	test_lengths("config", put_config, IMS_IPSEC_A_CONFIG_MAX + 2);
	test_lengths("endpoint", put_an_endpoint, IMS_IPSEC_A_ENDPOINT_MAX + 2);
	test_lengths("bundle", put_a_bundle, IMS_IPSEC_A_BUNDLE_MAX + 2);
	test_lengths("algorithm", put_an_algorithm, IMS_IPSEC_A_ALGORITHM_MAX + 2);
	test_lengths("offload", put_an_offload, IMS_IPSEC_A_OFFLOAD_MAX + 2);
	test_lengths("stats", put_stats, IMS_IPSEC_A_STATS_MAX + 2);
	test_lengths("trace", put_a_trace, IMS_IPSEC_A_TRACE_MAX + 2);

	reset();
	nlh = reply(&kernel.answers[0], 0, 1);
	mnl_attr_put(nlh, IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, IMS_IPSEC_ALGORITHMS_MAX,
		     long_list());
	ok(!imsipsec_config_parse(&handle, nlh) &&
	   strlen(handle.config.allowed_algorithms) == IMS_IPSEC_ALGORITHMS_MAX,
	   "config: the longest list");
	mnl_attr_put(nlh, IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, IMS_IPSEC_ALGORITHMS_MAX + 1,
		     long_list());
	ok(imsipsec_config_parse(&handle, nlh) == -EBADMSG, "config: a list too long");

	reset();
	nlh = reply(&kernel.answers[0], 0, 1);
	put_endpoint(nlh, 4);
	for (i = 2; i < IMSIPSEC_PORT_PC_MAX; i++)
		mnl_attr_put_u16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PC, htons(6000 + i));
	ok(!imsipsec_endpoint_parse(nlh, &e) && e.n_port_pc == IMSIPSEC_PORT_PC_MAX &&
	   e.port_pc[IMSIPSEC_PORT_PC_MAX - 1] == 6000 + IMSIPSEC_PORT_PC_MAX - 1,
	   "endpoint: 64 ports");
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PC, htons(7000));
	ok(imsipsec_endpoint_parse(nlh, &e) == -EBADMSG, "endpoint: 65 ports");

	reset();
	nlh = reply(&kernel.answers[0], 0, 1);
	ok(imsipsec_endpoint_parse(nlh, &e) == -EBADMSG && imsipsec_bundle_parse(nlh,
	   &b) == -EBADMSG,
	   "objects without id");

	put_endpoint(nlh, 4);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_GUARD, 4242);
	ok(!imsipsec_endpoint_parse(nlh, &e) && (unsigned int)e.guard == 4242,
	   "endpoint: a guard that the library does not know is handed on");

	reset();
	nlh = reply(&kernel.answers[0], 0, 1);
	put_endpoint(nlh, 4);
	put_fallback(nlh, IMSIPSEC_OFFLOAD_REASONS - 1, 9);
	put_fallback(nlh, IMSIPSEC_OFFLOAD_REASONS, 10);
	put_fallback(nlh, UINT32_MAX, 11);
	mnl_attr_put(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_TEXT, IMS_IPSEC_ALGORITHMS_MAX,
		     long_list());
	ok(!imsipsec_endpoint_parse(nlh, &e) && e.fallbacks[IMSIPSEC_OFFLOAD_REASONS - 1] == 9 &&
	   strlen(e.hw_offload_text) == sizeof(e.hw_offload_text) - 1,
	   "endpoint: reasons that there is no room for are passed over, a long text is cut");
	put_fallback(nlh, 0, 1);
	ok(imsipsec_endpoint_parse(nlh, &e) == -EBADMSG, "endpoint: a fallback for no reason");

	reset();
	nlh = reply(&kernel.answers[0], 0, 1);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, 9);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MODE, IMS_IPSEC_MODE_TRANS);
	memset(&b, 0xff, sizeof(b));
	ok(!imsipsec_bundle_parse(nlh, &b) && b.mode == IMSIPSEC_MODE_TRANS &&
	   !b.ue_nat_address.family && !b.ue_nat_port && !b.unmarked && !b.udp_only &&
	   !b.offload_reason && !*b.offload_interface,
	   "bundle: one that is behind no NAT, and at no interface");
	ok(b.last_rx_ms == IMSIPSEC_NEVER && b.last_tx_ms == IMSIPSEC_NEVER && !b.rx_bad_icv &&
	   !b.rx_replayed, "bundle: one over which nothing has come or gone");

	reset();
	nlh = reply(&kernel.answers[0], 0, 1);
	put_bundle(nlh, 9);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_STATE, 4242);
	ok(!imsipsec_bundle_parse(nlh, &b) && (unsigned int)b.state == 4242,
	   "bundle: a state that the library does not know is handed on");
}

/* ---- Events -------------------------------------------------------------- */

struct events {
	unsigned int n;
	uint64_t seqs[16];
	enum imsipsec_event_type types[16];
	unsigned int stop_at;
	int ret;		/* there; 0: 77 */
};

static int see_event(const struct imsipsec_event *event, void *data)
{
	struct events *e = data;

	if (e->n < ARRAY_SIZE(e->seqs)) {
		e->seqs[e->n] = event->seq;
		e->types[e->n] = event->type;
	}
	if (++e->n != e->stop_at)
		return 0;
	return e->ret ? e->ret : 77;
}

static int see_whole_event(const struct imsipsec_event *event, void *data)
{
	*(bool *)data = event->seq == 41 && event->type == IMSIPSEC_EVENT_EXPIRED &&
			event->reason == IMSIPSEC_REASON_LIFETIME &&
			event->old_state == IMSIPSEC_STATE_OLD && !event->new_state &&
			bundle_ok(&event->bundle, 9);
	return 0;
}

static int see_nat_event(const struct imsipsec_event *event, void *data)
{
	*(bool *)data = event->type == IMSIPSEC_EVENT_NAT_MAPPING &&
			event->reason == IMSIPSEC_REASON_NAT &&
			event->old_state == IMSIPSEC_STATE_OLD &&
			event->new_state == IMSIPSEC_STATE_OLD && bundle_ok(&event->bundle, 9);
	return 0;
}

static int see_fallback_event(const struct imsipsec_event *event, void *data)
{
	*(bool *)data = event->type == IMSIPSEC_EVENT_OFFLOAD_FALLBACK &&
			event->reason == IMSIPSEC_REASON_INTERFACE &&
			event->new_state == IMSIPSEC_STATE_OLD && bundle_ok(&event->bundle, 9);
	return 0;
}

static int see_nearly_full_event(const struct imsipsec_event *event, void *data)
{
	*(bool *)data = event->seq == 41 && event->type == IMSIPSEC_EVENT_NEARLY_FULL &&
			event->resource == IMSIPSEC_RESOURCE_PENDING && event->used == 90 &&
			event->limit == UINT32_MAX && !event->bundle.id;
	return 0;
}

/* @lost: a bit for each that tells of a loss */
static bool events_are(const struct events *e, unsigned int n, const uint64_t *seqs,
		       unsigned int lost)
{
	unsigned int i;

	if (e->n != n)
		return false;
	for (i = 0; i < n; i++)
		if (e->seqs[i] != seqs[i] ||
		    (e->types[i] == IMSIPSEC_EVENT_LOST) != !!(lost & 1U << i))
			return false;
	return true;
}

static struct imsipsec_events reset_events(void)
{
	return (struct imsipsec_events){ .h = reset() };
}

static void put_unload(struct datagram *d, uint16_t family)
{
	struct nlmsghdr *nlh = message(d, GENL_ID_CTRL, 0, 0);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	genl->cmd = CTRL_CMD_DELFAMILY;
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, "x");
	mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, family);
	finish(d, nlh);
}

static void test_events(void)
{
	struct imsipsec_events ev = reset_events();
	struct events e = { 0 };
	struct datagram *d;
	struct nlmsghdr *nlh;
	struct imsipsec_event event;
	bool whole = false;
	int err;

	ok(!imsipsec_event_dispatch(&ev, see_event, &e) && !e.n, "events: none");

	put_event(datagram(), 41);
	ok(!imsipsec_event_dispatch(&ev, see_whole_event, &whole) && whole, "events: every member");
	ev = reset_events();
	put_event_of(datagram(), 41, IMS_IPSEC_EVENT_TYPE_NAT_MAPPING, IMS_IPSEC_REASON_NAT,
		     IMS_IPSEC_STATE_OLD);
	whole = false;
	ok(!imsipsec_event_dispatch(&ev, see_nat_event, &whole) && whole, "G9: events: NAT mapping");
	ev = reset_events();
	put_event_of(datagram(), 41, IMS_IPSEC_EVENT_TYPE_OFFLOAD_FALLBACK,
		     IMS_IPSEC_REASON_INTERFACE, IMS_IPSEC_STATE_OLD);
	whole = false;
	ok(!imsipsec_event_dispatch(&ev, see_fallback_event, &whole) && whole,
	   "events: offload fallback");
	ev = reset_events();
	d = datagram();
	nlh = reply(d, 0, IMS_IPSEC_CMD_EVENT);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_EVENT_SEQ, 41);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_TYPE, IMS_IPSEC_EVENT_TYPE_NEARLY_FULL);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_RESOURCE, IMS_IPSEC_RESOURCE_PENDING);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_USED, 90);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_LIMIT, UINT32_MAX);
	finish(d, nlh);
	whole = false;
	ok(!imsipsec_event_dispatch(&ev, see_nearly_full_event, &whole) && whole,
	   "events: nearly full, which is of no bundle");

	ev = reset_events();
	put_event(datagram(), 41);
	put_event(datagram(), 42);
	d = datagram();
	put_event(d, 43);
	put_event(d, 44);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 4, (uint64_t[]){ 41, 42, 43, 44 }, 0),
	   "events: in order, the first is any");

	e = (struct events){ 0 };
	put_event(datagram(), 47);
	put_event(datagram(), 48);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 3, (uint64_t[]){ 47, 47, 48 }, 1), "events: a gap is told, once");

	/* 5 had been when it was opened, 4 and 5 were in the buffer by then */
	ev = reset_events();
	ev.next = 6;
	ev.first = true;
	e = (struct events){ 0 };
	put_event(datagram(), 4);
	put_event(datagram(), 5);
	put_event(datagram(), 6);
	put_event(datagram(), 8);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 5, (uint64_t[]){ 4, 5, 6, 8, 8 }, 8),
	   "EVENT: events: the first ones may be earlier than was thought");
	ev = reset_events();
	ev.next = 6;
	ev.first = true;
	e = (struct events){ 0 };
	put_event(datagram(), 7);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 2, (uint64_t[]){ 7, 7 }, 1), "EVENT: events: the very first is lost");

	ev = reset_events();
	e = (struct events){ .stop_at = 2 };
	d = datagram();
	put_event(d, 1);
	put_event(d, 2);
	put_event(d, 3);
	err = imsipsec_event_dispatch(&ev, see_event, &e);
	ok(err == 77 && e.n == 2 && !imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 3, (uint64_t[]){ 1, 2, 3 }, 0),
	   "events: ended by the callback, gone on with");

	ev = reset_events();
	e = (struct events){ .stop_at = 1, .ret = -ENODEV };
	d = datagram();
	put_event(d, 1);
	put_event(d, 2);
	err = imsipsec_event_dispatch(&ev, see_event, &e);
	ok(err == -ECANCELED && !imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 2, (uint64_t[]){ 1, 2 }, 0),
	   "CALLBACK: events: a negative value of the callback is no errno of the library");
	ev = reset_events();
	ev.next = 1;
	e = (struct events){ .stop_at = 1, .ret = -ENODEV };
	put_event(datagram(), 5);
	ok(imsipsec_event_dispatch(&ev, see_event, &e) == -ECANCELED,
	   "CALLBACK: events: nor is it of one that tells of a loss");

	ev = reset_events();
	e = (struct events){ .stop_at = 2 };
	d = datagram();
	put_event(d, 1);
	put_event(d, 5);
	err = imsipsec_event_dispatch(&ev, see_event, &e);
	ok(err == 77 && !imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 3, (uint64_t[]){ 1, 5, 5 }, 2),
	   "events: ended at the loss, the event behind it comes all the same");

	ev = reset_events();
	e = (struct events){ 0 };
	put_event(datagram(), 1);
	datagram()->err = ENOBUFS;
	put_event(datagram(), 2);
	put_event(datagram(), 9);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 5, (uint64_t[]){ 1, 2, 9, 9, 0 }, 4 | 16),
	   "events: buffer full, told where the gap is, and at the end");

	/* 2 to 8 do not fit; there is room again, until 10 does not fit */
	ev = reset_events();
	e = (struct events){ 0 };
	put_event(datagram(), 1);
	datagram()->err = ENOBUFS;
	put_event(datagram(), 9);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 4, (uint64_t[]){ 1, 9, 9, 0 }, 2 | 8),
	   "EVENT: events: buffer full twice, the last ones lost");

	ev = reset_events();
	e = (struct events){ 0 };
	put_event(datagram(), 1);
	datagram()->err = ENOBUFS;
	put_event(datagram(), 2);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 3, (uint64_t[]){ 1, 2, 0 }, 4),
	   "events: buffer full, the last ones lost");
	e = (struct events){ 0 };
	put_event(datagram(), 9);
	ok(!imsipsec_event_dispatch(&ev, see_event, &e) && events_are(&e, 1, (uint64_t[]){ 9 }, 0),
	   "events: a loss that was told is not told again");

	ev = reset_events();
	e = (struct events){ 0 };
	put_event(datagram(), 1);
	put_unload(datagram(), FAMILY + 1);
	put_event(datagram(), 2);
	put_unload(datagram(), FAMILY);
	ok(imsipsec_event_dispatch(&ev, see_event, &e) == -ENODEV &&
	   events_are(&e, 2, (uint64_t[]){ 1, 2 }, 0), "events: the module was unloaded");

	ev = reset_events();
	e = (struct events){ 0 };
	put_event(datagram(), 1);
	d = datagram();
	put_event(d, 2);
	((struct nlmsghdr *)d->data)->nlmsg_len -= 200;
	d->len -= 200;
	put_event(datagram(), 3);
	err = imsipsec_event_dispatch(&ev, see_event, &e);
	ok(err == -EBADMSG && !imsipsec_event_dispatch(&ev, see_event, &e) &&
	   events_are(&e, 3, (uint64_t[]){ 1, 3, 3 }, 2), "events: a malformed one counts as lost");

	ev = reset_events();
	e = (struct events){ 0 };
	d = datagram();
	nlh = message(d, FAMILY, 0, 0);
	finish(d, nlh);
	d = datagram();
	memcpy(d->data, "abc", 3);
	d->len = 3;
	ok(imsipsec_event_dispatch(&ev, see_event, &e) == -EBADMSG && !e.n,
	   "events: messages without contents");

	reset();
	d = datagram();
	nlh = reply(d, 0, IMS_IPSEC_CMD_EVENT);
	ok(imsipsec_event_parse(nlh, &event) == -EBADMSG, "events: an empty one");
}

/* ---- Random changes ------------------------------------------------------ */

static uint64_t random_state = 0x3329;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 2685821657736338717u) >> 32) % n;
}

static int parse_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	if (imsipsec_config_parse(h, nlh))
		return -EBADMSG;
	return imsipsec_endpoint_parse(nlh, &h->endpoint) |
	       imsipsec_bundle_parse(nlh, &h->bundle) |
	       imsipsec_pair_info_parse(nlh, &h->pair) |
	       imsipsec_stats_parse(nlh, &h->stats) | imsipsec_trace_parse(nlh, &h->trace) |
	       imsipsec_offload_parse(nlh, &h->offload_pair);
}

/* No rule but that nothing is read out of place, which the sanitizers see to. */
static void test_mutations(void)
{
	enum { MUTATIONS = 10000 };
	struct imsipsec_events ev = reset_events();
	struct imsipsec *h = ev.h;
	struct imsipsec_exchange x = { .h = h, .reply = parse_reply };
	struct datagram *d = &kernel.answers[0];
	struct nlmsghdr *nlh;
	struct events e;
	size_t len;
	char *exact;
	int i, j;

	h->seq = 4;
	x.request = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_GET, 0);
	mnl_attr_put_u32((void *)x.request, IMS_IPSEC_A_BUNDLE_ID, 9);
	for (i = 0; i < MUTATIONS; i++) {
		d->len = 0;
		h->seq = 4;
		nlh = reply(d, 0, IMS_IPSEC_CMD_BUNDLE_GET);
		switch (i % 4) {
		case 0:
			put_bundle(nlh, 9);
			break;
		case 1:
			put_endpoint(nlh, 4);
			break;
		case 2:
			put_refusal(nlh);
			break;
		default:
			put_drop(nlh);
		}
		finish(d, nlh);
		put_event(d, i);
		nlh = ack(d, -EINVAL, NLM_F_CAPPED | NLM_F_ACK_TLVS);
		mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "text");
		mnl_attr_put_u32(nlh, NLMSGERR_ATTR_OFFS, 20);
		finish(d, nlh);

		len = random_below(4) ? d->len : random_below(d->len + 1);
		exact = malloc(len ? len : 1);
		if (!exact)
			abort();
		memcpy(exact, d->data, len);
		for (j = random_below(6); len && j < 6; j++)
			exact[random_below(len)] = random_below(3) ? random_below(256) : 0;

		x.err = 0;
		x.interrupted = false;
		imsipsec_nl_input(&x, exact, len);
		e = (struct events){ 0 };
		ev.nlh = (const void *)exact;
		ev.left = len;
		while (imsipsec_event_input(&ev, see_event, &e))
			;
		free(exact);
	}
	ok(true, "%d mutations of replies and events", MUTATIONS);
}

int main(void)
{
	test_bundle_new();
	test_requests();
	test_dump();
	test_claim();
	test_flush();
	test_callbacks();
	test_stats();
	test_trace();
	test_algorithms();
	test_offload();
	test_errors();
	test_socket();
	test_no_reply();
	test_ask();
	test_own_pointers();
	test_mapped();
	test_fork();
	test_key();
	test_open_strerror();
	test_objects();
	test_events();
	test_mutations();
	return done();
}
