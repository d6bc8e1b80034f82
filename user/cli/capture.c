// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec capture: what a UE sends and is sent, and the keys with which Wireshark reads it.
 *
 * Two files: packets (pcap), and SAs in the form of Wireshark's table "esp_sa". Of that UE alone:
 * packets from and to its address, and ESP, in UDP or not, with an SPI of one of its sets; its keys
 * and nobody else's. The family never tells a key: they come from XFRM, which shows those of any SA
 * to whoever has CAP_NET_ADMIN.
 */
#define _GNU_SOURCE		/* asprintf(), ppoll() */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/if_packet.h>
#include <linux/xfrm.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"

/*
 * Between two looks at the events: a set is known long before its UE, which has to hear of it
 * first, uses it.
 */
#define PACKETS_AT_ONCE	64
#define PACKET_MAX	(1 << 18)
#define PCAP_NANOSECONDS 0xa1b23c4d
#define LINKTYPE_RAW	101		/* IP, IPv4 or IPv6, and nothing before */

struct set {
	uint32_t id;
	uint32_t spi[4];
};

struct capture {
	struct imsipsec_addr ue;
	const char *interface;
	struct imsipsec *h;
	FILE *packets;
	int keys;
	struct set *sets;
	size_t n_sets;
	uint64_t n_packets;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = true;
}

static bool equal_addresses(const struct imsipsec_addr *a, const struct imsipsec_addr *b)
{
	return a->family == b->family &&
	       !memcmp(&a->in, &b->in, a->family == AF_INET ? sizeof(a->in) : sizeof(a->in6));
}

/* ---- Keys -------------------------------------------------------------- */

/* One SA's line of the table; it is wiped by whoever has it. */
struct line {
	char text[512];
	bool complete;			/* XFRM had the SA */
	bool no_key;			/* and did not show its keys */
	const struct imsipsec_bundle *b;
	bool out;
};

static bool append_hex(struct line *line, const void *key, unsigned int bits)
{
	const uint8_t *bytes = key;
	size_t len = strlen(line->text);
	bool any = false;
	unsigned int i;

	for (i = 0; i < bits / 8 && len + 3 < sizeof(line->text); i++, len += 2) {
		sprintf(line->text + len, "%02x", bytes[i]);
		any |= bytes[i];
	}
	return any;
}

static void append(struct line *line, const char *text)
{
	const size_t len = strlen(line->text);

	snprintf(line->text + len, sizeof(line->text) - len, "%s", text);
}

/* As Wireshark names them */
static const char *const enc_names[] = {
	[IMSIPSEC_EALG_NULL] = "NULL",
	[IMSIPSEC_EALG_AES_CBC] = "AES-CBC [RFC3602]",
	[IMSIPSEC_EALG_DES_EDE3_CBC] = "TripleDES-CBC [RFC2451]",
	[IMSIPSEC_EALG_AES_GCM] = "AES-GCM with 16 octet ICV [RFC4106]",
};

static const char *const auth_names[] = {
	[IMSIPSEC_ALG_HMAC_MD5_96] = "HMAC-MD5-96 [RFC2403]",
	[IMSIPSEC_ALG_HMAC_SHA_1_96] = "HMAC-SHA-1-96 [RFC2404]",
};

/* "IPv4","192.0.2.7","192.0.2.1","0x00010000","NULL","","HMAC-MD5-96 [RFC2403]","0x.." */
static int write_line(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_usersa_info *info = mnl_nlmsg_get_payload(nlh);
	const struct xfrm_algo_auth *auth = NULL;
	const struct xfrm_algo_aead *aead = NULL;
	const struct xfrm_algo *enc = NULL;
	char ue[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN];
	const struct nlattr *attr;
	struct line *line = data;
	const struct imsipsec_bundle *b = line->b;

	(void)h;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*info))
		return -EBADMSG;
	mnl_attr_for_each(attr, nlh, sizeof(*info)) {
		if (mnl_attr_get_type(attr) == XFRMA_ALG_AUTH_TRUNC)
			auth = mnl_attr_get_payload(attr);
		else if (mnl_attr_get_type(attr) == XFRMA_ALG_CRYPT)
			enc = mnl_attr_get_payload(attr);
		else if (mnl_attr_get_type(attr) == XFRMA_ALG_AEAD)
			aead = mnl_attr_get_payload(attr);
	}
	if (!aead && !(auth && enc))
		return -EBADMSG;

	/* A NAT may change its address: which it is now does not matter, for the SPI tells. */
	imsipsec_addr_format(&b->address, local, sizeof(local));
	if (b->ue_nat_address.family)
		strcpy(ue, "*");
	else
		imsipsec_addr_format(&b->ue_address, ue, sizeof(ue));
	snprintf(line->text, sizeof(line->text),
		 "\"%s\",\"%s\",\"%s\",\"0x%08" PRIx32 "\",\"%s\",\"",
		 b->address.family == AF_INET ? "IPv4" : "IPv6", line->out ? local : ue,
		 line->out ? ue : local, ntohl(info->id.spi), enc_names[b->ealg]);
	line->no_key = true;
	if (aead || enc->alg_key_len) {
		append(line, "0x");
		line->no_key = !append_hex(line, aead ? aead->alg_key : enc->alg_key,
					   aead ? aead->alg_key_len : enc->alg_key_len);
	}
	if (aead) {
		/* The ICV is the cipher's */
		append(line, "\",\"NULL\",\"\"\n");
	} else {
		append(line, "\",\"");
		append(line, auth_names[b->alg]);
		append(line, "\",\"0x");
		line->no_key = !append_hex(line, auth->alg_key, auth->alg_key_len);
		append(line, "\"\n");
	}
	line->complete = true;
	return 0;
}

/* @value: a mark that the SA is found with. Return: 0; -ESRCH if there is none; negative. */
static int ask_for_sa(const struct imsipsec_addr *to, uint32_t spi, uint32_t value,
		      struct line *line)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct xfrm_usersa_id)) + 64];
	const struct xfrm_mark mark = { .v = value, .m = UINT32_MAX };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct xfrm_usersa_id *id;
	int err;

	nlh->nlmsg_type = XFRM_MSG_GETSA;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));
	id->family = to->family;
	id->proto = IPPROTO_ESP;
	id->spi = htonl(spi);
	memcpy(&id->daddr, &to->in6, to->family == AF_INET ? sizeof(to->in) : sizeof(to->in6));
	mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);

	err = imsipsec_nl_ask(NETLINK_XFRM, nlh, XFRM_MSG_NEWSA, write_line, line);
	return !err && !line->complete ? -ESRCH : err;
}

/* XFRM is asked for one SA, and the file has it. Return: 0, or negative. */
static int add_key(const struct capture *c, const struct imsipsec_bundle *b, uint32_t spi, bool out)
{
	const bool natted = b->ue_nat_address.family;
	const struct imsipsec_addr *far = natted ? &b->ue_nat_address : &b->ue_address;
	const struct imsipsec_addr *to = out ? far : &b->address;
	struct line line = { .b = b, .out = out };
	int err;

	/* What leaves for a UE behind a NAT has a mark, and so has what is not to be used yet */
	err = ask_for_sa(to, spi, b->mark, &line);
	if (err == -ESRCH)
		err = ask_for_sa(to, spi, 0, &line);
	if (!err && line.no_key)
		err = -EKEYREJECTED;
	if (!err && write(c->keys, line.text, strlen(line.text)) != (ssize_t)strlen(line.text))
		die(EXIT_KERNEL, "keys: %s", strerror(errno));
	explicit_bzero(&line, sizeof(line));
	return err;
}

/* Of AES-GMAC alone Wireshark knows nothing; it is not encrypted. */
static bool is_readable(const struct imsipsec_bundle *b)
{
	if ((size_t)b->ealg >= ARRAY_SIZE(enc_names) || !enc_names[b->ealg])
		return false;
	return b->ealg == IMSIPSEC_EALG_AES_GCM ||
	       ((size_t)b->alg < ARRAY_SIZE(auth_names) && auth_names[b->alg]);
}

static void add_keys(const struct capture *c, const struct imsipsec_bundle *b)
{
	const struct {
		uint32_t spi;
		bool out;
	} sas[] = {
		{ b->spi_ps, false }, { b->spi_uc, true }, { b->spi_us, true },
		{ b->spi_pc, false },
	};
	size_t i;
	int err = 0;

	if (!is_readable(b)) {
		fprintf(stderr, "set %" PRIu32 ": Wireshark cannot read %s with %s: no keys\n",
			b->id, name_or_unknown(imsipsec_alg_name(b->alg)),
			name_or_unknown(imsipsec_ealg_name(b->ealg)));
		return;
	}
	for (i = 0; i < ARRAY_SIZE(sas) && !err; i++)
		err = add_key(c, b, sas[i].spi, sas[i].out);
	if (err == -EKEYREJECTED)
		fprintf(stderr, "set %" PRIu32 ": the kernel shows no keys "
			"(lockdown=confidentiality): only packets are captured\n", b->id);
	else if (err)
		fprintf(stderr, "set %" PRIu32 ": no keys: %s\n", b->id,
			err == -ESRCH ? "it has gone already" : strerror(-err));
	else
		fprintf(stderr, "set %" PRIu32 ": %s, %s, %s: KEYS are written\n", b->id,
			name_or_unknown(imsipsec_state_name(b->state)), imsipsec_alg_name(b->alg),
			imsipsec_ealg_name(b->ealg));
}

/* ---- Sets -------------------------------------------------------------- */

static int add_set(const struct imsipsec_bundle *b, void *data)
{
	struct capture *c = data;
	struct set *s;
	size_t i;

	if (!equal_addresses(&b->ue_address, &c->ue))
		return 0;
	for (i = 0; i < c->n_sets; i++)
		if (c->sets[i].id == b->id)
			return 0;
	c->sets = check_grow(c->sets, &c->n_sets, sizeof(*c->sets));
	s = &c->sets[c->n_sets - 1];
	*s = (struct set){
		.id = b->id, .spi = { b->spi_ps, b->spi_uc, b->spi_us, b->spi_pc },
	};
	add_keys(c, b);
	return 0;
}

static void add_all_sets(struct capture *c)
{
	const struct imsipsec_bundle_filter filter = { .ue_address = c->ue };

	if (imsipsec_bundle_dump(c->h, &filter, add_set, c))
		die(EXIT_KERNEL, "%s", imsipsec_strerror(c->h));
}

static int on_event(const struct imsipsec_event *e, void *data)
{
	if (e->type == IMSIPSEC_EVENT_LOST)
		add_all_sets(data);
	else if (e->type == IMSIPSEC_EVENT_CREATED)
		add_set(&e->bundle, data);
	return 0;
}

/* ---- Packets ----------------------------------------------------------- */

static bool is_known_spi(const struct capture *c, const uint8_t *at)
{
	const uint32_t spi = (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
	size_t i, j;

	for (i = 0; i < c->n_sets; i++)
		for (j = 0; j < ARRAY_SIZE(c->sets[i].spi); j++)
			if (c->sets[i].spi[j] == spi)
				return true;
	return false;
}

/*
 * From or to the UE's address, or of one of its SAs. Later fragments of what a NAT sends tell no
 * SPI.
 */
static bool is_wanted(const struct capture *c, const uint8_t *p, size_t len)
{
	const size_t address = c->ue.family == AF_INET ? 4 : 16;
	size_t at, source;
	uint8_t proto;

	if (len >= 20 && p[0] >> 4 == 4) {
		proto = p[9];
		source = 12;
		at = (p[0] & 15) * 4;
		/* A later fragment */
		if ((p[6] & 0x1f) | p[7])
			proto = 0;
	} else if (len >= 40 && p[0] >> 4 == 6) {
		proto = p[6];
		source = 8;
		at = 40;
		if (proto == IPPROTO_FRAGMENT && len >= 48) {
			proto = (p[42] << 8 | p[43]) & 0xfff8 ? 0 : p[40];
			at = 48;
		}
	} else {
		return false;
	}
	if ((p[0] >> 4 == 4) == (c->ue.family == AF_INET) &&
	    (!memcmp(p + source, &c->ue.in6, address) ||
	     !memcmp(p + source + address, &c->ue.in6, address)))
		return true;
	if (proto == IPPROTO_UDP)
		at += 8;
	else if (proto != IPPROTO_ESP)
		return false;
	return len >= at + 4 && is_known_spi(c, p + at);
}

static void write_packet(struct capture *c, const struct timespec *when, const void *data,
			 size_t len, size_t whole)
{
	const uint32_t head[4] = { when->tv_sec, when->tv_nsec, len, whole };

	if (fwrite(head, sizeof(head), 1, c->packets) != 1 ||
	    fwrite(data, len, 1, c->packets) != 1)
		die(EXIT_KERNEL, "packets: %s", strerror(errno));
	c->n_packets++;
}

/* Return: false if nothing is left. */
static bool read_packet(struct capture *c, int fd)
{
	static uint8_t data[PACKET_MAX];
	char control[CMSG_SPACE(sizeof(struct timespec)) + 64];
	struct sockaddr_ll from;
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct timespec when;
	struct cmsghdr *cmsg;
	ssize_t n;

	n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_TRUNC);
	/* An interface that goes down is none of our business */
	if (n < 0)
		return errno == ENETDOWN || errno == EINTR;
	if (from.sll_protocol != htons(ETH_P_IP) && from.sll_protocol != htons(ETH_P_IPV6))
		return true;
	if (!is_wanted(c, data, n > PACKET_MAX ? PACKET_MAX : n))
		return true;
	clock_gettime(CLOCK_REALTIME, &when);
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&when, CMSG_DATA(cmsg), sizeof(when));
	write_packet(c, &when, data, n > PACKET_MAX ? PACKET_MAX : n, n);
	return true;
}

static int open_socket(const struct capture *c)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	const int on = 1, room = 32 << 20;
	int fd;

	if (c->interface) {
		to.sll_ifindex = if_nametoindex(c->interface);
		if (!to.sll_ifindex)
			die(EXIT_KERNEL, "%s: %s", c->interface, strerror(errno));
	}
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		die(EXIT_KERNEL, "packets: %s", strerror(errno));
	/* What cannot be had is done without */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)))
		die(EXIT_KERNEL, "packets: %s", strerror(errno));
	return fd;
}

static uint32_t lost_packets(int fd)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	return stats.tp_drops;
}

/* ---- Files ------------------------------------------------------------- */

/* Never one that is there, nor by a link: it would have another's mode. */
static int create_file(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		die(EXIT_KERNEL, "%s: %s%s", path, strerror(errno),
		    errno == EEXIST ? ", and is not overwritten: name another one" : "");
	return fd;
}

static void open_files(struct capture *c, const char *path, const char *keys)
{
	const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, longest, linktype;
	} head = { PCAP_NANOSECONDS, 2, 4, 0, 0, PACKET_MAX, LINKTYPE_RAW };

	c->packets = fdopen(create_file(path), "w");
	if (!c->packets || fwrite(&head, sizeof(head), 1, c->packets) != 1 || fflush(c->packets))
		die(EXIT_KERNEL, "%s: %s", path, strerror(errno));
	c->keys = create_file(keys);
}

/* Until a signal, which nothing but the wait lets in */
static void run(struct capture *c, struct imsipsec_events *ev, int fd, const sigset_t *mask)
{
	struct pollfd fds[] = {
		{ .fd = imsipsec_event_fd(ev), .events = POLLIN }, { .fd = fd, .events = POLLIN },
	};
	int err, n;

	while (!ended) {
		if (ppoll(fds, ARRAY_SIZE(fds), NULL, mask) < 0 && errno != EINTR)
			die(EXIT_KERNEL, "poll: %s", strerror(errno));
		err = imsipsec_event_dispatch(ev, on_event, c);
		if (err)
			die(EXIT_KERNEL, "%s", imsipsec_open_strerror(err));
		for (n = 0; n < PACKETS_AT_ONCE && read_packet(c, fd); n++)
			;
		/* The next packet may be far away, and somebody reads along. */
		if (n < PACKETS_AT_ONCE && fflush(c->packets))
			die(EXIT_KERNEL, "packets: %s", strerror(errno));
	}
	while (read_packet(c, fd))
		;
}

int cmd_capture(int argc, char **argv)
{
	const char *path = NULL, *interface = NULL;
	struct capture c = { .n_sets = 0 };
	struct arg args[] = {
		{ "ue", parse_addr, &c.ue, .required = true },
		{ "-w", parse_string, &path, .required = true },
		{ "interface", parse_interface, &interface },
	};
	const struct sigaction action = { .sa_handler = on_signal };
	sigset_t ends, before;
	struct imsipsec_events *ev;
	uint32_t lost;
	char *keys;
	int err, fd;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	c.interface = interface && *interface ? interface : NULL;
	if (geteuid())
		die(EXIT_KERNEL, "it shows a subscriber's keys and messages: it is for root alone");
	if (asprintf(&keys, "%s.esp_sa", path) < 0)
		die(EXIT_KERNEL, "%s", strerror(ENOMEM));
	c.h = open_or_die();
	err = imsipsec_event_open(&ev);
	if (err)
		die_of_open(err);
	fd = open_socket(&c);
	open_files(&c, path, keys);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, &before);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);

	fprintf(stderr, "WARNING: the KEYS of this UE are written to %s, and its packets to %s.\n"
		"Whoever has both reads what it says. Delete both when they have served.\n",
		keys, path);
	add_all_sets(&c);
	fprintf(stderr, "capturing, until Ctrl-C\n");
	run(&c, ev, fd, &before);

	lost = lost_packets(fd);
	fprintf(stderr, "%" PRIu64 " packets of %zu sets\n", c.n_packets, c.n_sets);
	if (lost)
		fprintf(stderr, "WARNING: %" PRIu32 " packets, of all UEs, came too fast and were "
			"not looked at\n", lost);
	if (fclose(c.packets) || close(c.keys))
		die(EXIT_KERNEL, "%s: %s", path, strerror(errno));
	close(fd);
	imsipsec_event_close(ev);
	imsipsec_close(c.h);
	free(c.sets);
	free(keys);
	return EXIT_OK;
}
