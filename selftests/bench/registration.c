// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a registration costs: ours, and the peers' messages replayed.
 *
 *	registration PAIR POPULATION
 *
 * PAIR of algorithms, beside POPULATION other registrations. For a VM with one
 * CPU whose time is the number of instructions that it has executed, so that
 * nanoseconds are guest instructions; that is checked first. Writes lines "row
 * system value": thousand instructions, or bytes.
 *
 * Replayed is what the peers say to the kernel, with the library that they
 * use. How they find a user, hand out SPIs and decode keys is left out, which
 * is kind to them.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>

#include "imsipsec.h"

#define WARM_UP		16
#define MEASURED	64
#define SAS		4

#define P_ADDR		0xc0000201	/* 192.0.2.1 */
#define PORT_PC		5062
#define PORT_PS		5063
#define PORT_UC		32773
#define PORT_US		6000

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static const struct pair {
	const char *name, *auth, *enc;	/* auth and enc as the peers write them */
	unsigned int auth_bits, enc_bits;
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
} pairs[] = {
	{ "sha1-aes", "sha1", "aes", 160, 128, IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_AES_CBC },
	{ "md5-null", "md5", "cipher_null", 128, 0, IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_NULL },
};

enum spi { SPI_UC, SPI_US, SPI_PC, SPI_PS, SPIS };

struct ue {
	char owner[64], contact[64];
	uint32_t addr, spi[SPIS], id;
};

/*
 * OpenSIPS makes the first four: what has to stand in the kernel's table
 * afterwards, whoever made it. Kamailio makes all, with the third and the
 * fourth the other way round; its last four SAs have the SPIs of its first,
 * and the kernel refuses them, while the policies stay.
 */
static const struct flow {
	bool in;
	uint16_t sport, dport;
	enum spi spi;
} flows[] = {
	{ true,  PORT_UC, PORT_PS, SPI_PS }, { false, PORT_PC, PORT_US, SPI_US },
	{ true,  PORT_US, PORT_PC, SPI_PC }, { false, PORT_PS, PORT_UC, SPI_UC },
	{ true,  PORT_UC, PORT_PC, SPI_PS }, { false, PORT_PC, PORT_UC, SPI_US },
	{ false, PORT_PS, PORT_US, SPI_UC }, { true,  PORT_US, PORT_PS, SPI_PC },
};

static const struct system {
	const char *name;
	size_t policies;	/* a registration */
	unsigned int order[ARRAY_SIZE(flows)];
	uint32_t user;		/* of selectors */
	uint32_t priority;
} systems[] = {
	{ "ours" },
	{ "opensips", 4, { 0, 1, 2, 3 }, 1387164160, 1024 },
	{ "kamailio", 8, { 0, 1, 3, 2, 4, 5, 6, 7 }, __builtin_bswap32(143956232), 2080 },
}, *const ours = &systems[0], *const kamailio = &systems[2];

static const struct system *sys;
static const struct pair *pair;
static struct mnl_socket *look;	/* to see what is there */
static struct imsipsec *handle;
static uint32_t endpoint;
static clockid_t spinner;
static const uint8_t key[20] = { 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* ---- Time ------------------------------------------------------------ */

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t))
		err(2, "clock");
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/*
 * Two loops, as another clock may suit one of them by chance: emulating a
 * division takes far longer than counting down. Of each the quickest of some,
 * since something may still run after booting.
 */
static void check_clock(void)
{
	const uint64_t turns = 1000000;
	double ratio[2] = { 1e9, 1e9 };

	for (int i = 0; i < 20; i++) {
		uint64_t n = turns, one = 1, t = now();

		if (i & 1)
			asm volatile("1: xor %%edx, %%edx\n\tdiv %1\n\tdec %0\n\tjnz 1b"
				     : "+r" (n), "+r" (one) : : "rax", "rdx", "cc");
		else
			asm volatile("1: dec %0\n\tjnz 1b" : "+r" (n) : : "cc");
		n = (i & 1 ? 4 : 2) * turns;
		t = now() - t;
		if (t < ratio[i & 1] * n)
			ratio[i & 1] = (double)t / n;
	}
	fprintf(stderr, "clock: %.3f and %.3f ns an instruction\n", ratio[0], ratio[1]);
	for (int i = 0; i < 2; i++)
		if (ratio[i] < 0.95 || ratio[i] > 1.05)
			errx(2, "the clock does not count instructions: not run with --icount?");
}

/*
 * While the CPU idles, the clock shows no instructions. So something spins
 * that gives way to anything else, and how long it ran is known.
 */
static pid_t start_spinner(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param) { 0 }))
			err(2, "spinner");
		for (;;)
			asm volatile("");
	}
	if (clock_getcpuclockid(pid, &spinner))
		errx(2, "no clock of the spinner");
	return pid;
}

static uint64_t busy_clock(void)
{
	return now() - read_clock(spinner);
}

static void sleep_ms(unsigned int ms)
{
	nanosleep(&(struct timespec) { .tv_nsec = ms * 1000000L }, NULL);
}

/*
 * Wait until the kernel has freed what was deleted. It does so in the
 * background, with pauses of a few ticks for RCU.
 */
static void settle(void)
{
	for (int quiet = 0; quiet < 10; quiet++) {
		uint64_t busy = busy_clock();

		sleep_ms(4);
		if (busy_clock() - busy > 200000)
			quiet = -1;
	}
}

/* ---- Messages to XFRM ------------------------------------------------ */

static struct nlmsghdr *start_message(char *buf, uint16_t type, uint16_t flags)
{
	static uint32_t seq;
	struct nlmsghdr *nlh;

	memset(buf, 0, MNL_SOCKET_BUFFER_SIZE);	/* as the peers do */
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++seq;
	return nlh;
}

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *nl = mnl_socket_open(NETLINK_XFRM);

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID))
		err(2, "netlink socket");
	return nl;
}

static uint32_t flow_addr(const struct ue *ue, bool p)
{
	return htonl(p ? P_ADDR : ue->addr);
}

static uint32_t flow_reqid(const struct ue *ue, const struct flow *f)
{
	return sys == kamailio ? ue->spi[f->spi] : htonl(ue->spi[f->spi]);
}

static void fill_selector(struct xfrm_selector *sel, const struct ue *ue, const struct flow *f)
{
	sel->family = AF_INET;
	sel->saddr.a4 = flow_addr(ue, !f->in);
	sel->daddr.a4 = flow_addr(ue, f->in);
	sel->prefixlen_s = 32;
	sel->prefixlen_d = 32;
	sel->sport = htons(f->sport);
	sel->dport = htons(f->dport);
	sel->sport_mask = 0xffff;
	sel->dport_mask = 0xffff;
	sel->user = sys->user;
}

static struct nlmsghdr *policy_message(char *buf, uint16_t type, const struct ue *ue,
				       const struct flow *f)
{
	struct nlmsghdr *nlh = start_message(buf, type, 0);
	struct xfrm_userpolicy_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));

	id->dir = f->in ? XFRM_POLICY_IN : XFRM_POLICY_OUT;
	fill_selector(&id->sel, ue, f);
	return nlh;
}

/* ---- What is there: a figure counts only if it really happened ------- */

static int ask(const struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	char buf[32768];
	int n, ret;

	if (mnl_socket_sendto(look, nlh, nlh->nlmsg_len) < 0)
		err(2, "send");
	do {
		n = mnl_socket_recvfrom(look, buf, sizeof(buf));
		if (n < 0)
			err(2, "receive");
		ret = mnl_cb_run(buf, n, nlh->nlmsg_seq, mnl_socket_get_portid(look), cb, data);
	} while (ret > 0);
	return ret;
}

static int count_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(uint32_t)) {
		const struct xfrmu_spdinfo *spd = mnl_attr_get_payload(attr);

		if (nlh->nlmsg_type == XFRM_MSG_NEWSADINFO) {
			if (mnl_attr_get_type(attr) == XFRMA_SAD_CNT)
				*(size_t *)data = mnl_attr_get_u32(attr);
		} else if (mnl_attr_get_type(attr) == XFRMA_SPD_INFO) {
			*(size_t *)data = spd->incnt + spd->outcnt + spd->fwdcnt;
		}
	}
	return MNL_CB_STOP;
}

static size_t count(uint16_t type)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = start_message(buf, type, 0);
	size_t n = -1;

	mnl_nlmsg_put_extra_header(nlh, sizeof(uint32_t));
	if (ask(nlh, count_cb, &n) || n == (size_t)-1)
		err(2, "no numbers of SAs and policies");
	return n;
}

struct found {
	const struct ue *ue;
	unsigned int flows, others;
};

static int sa_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_usersa_info *sa = mnl_nlmsg_get_payload(nlh);
	struct found *found = data;
	const struct nlattr *attr;
	unsigned int i, algs = 0;

	mnl_attr_for_each(attr, nlh, sizeof(*sa)) {
		const struct xfrm_algo *algo = mnl_attr_get_payload(attr);

		if (mnl_attr_get_type(attr) == XFRMA_ALG_AUTH)
			algs += strstr(algo->alg_name, pair->auth) &&
				algo->alg_key_len == pair->auth_bits;
		else if (mnl_attr_get_type(attr) == XFRMA_ALG_CRYPT)
			algs += strstr(algo->alg_name, pair->enc) &&
				algo->alg_key_len == pair->enc_bits;
	}
	for (i = 0; i < SAS; i++) {
		const struct flow *f = &flows[i];

		if (sa->id.spi == htonl(found->ue->spi[f->spi]) &&
		    sa->id.daddr.a4 == flow_addr(found->ue, f->in) &&
		    sa->saddr.a4 == flow_addr(found->ue, !f->in) &&
		    sa->sel.sport == htons(f->sport) && sa->sel.dport == htons(f->dport))
			break;
	}
	if (i < SAS && algs == 2 && sa->id.proto == IPPROTO_ESP &&
	    sa->mode == XFRM_MODE_TRANSPORT && !(found->flows & 1U << i))
		found->flows |= 1U << i;
	else
		found->others++;
	return MNL_CB_OK;
}

static int policy_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct xfrm_userpolicy_info)) {
		const struct xfrm_user_tmpl *tmpl = mnl_attr_get_payload(attr);

		if (mnl_attr_get_type(attr) == XFRMA_TMPL)
			*(uint32_t *)data = tmpl->reqid;
	}
	return MNL_CB_STOP;
}

/* Is this UE's registration there, and beside it so many SAs and policies? */
static void check(const struct ue *ue, bool there, size_t sas, size_t policies)
{
	size_t s = count(XFRM_MSG_GETSADINFO), p = count(XFRM_MSG_GETSPDINFO);
	struct found found = { .ue = ue };
	char buf[MNL_SOCKET_BUFFER_SIZE];

	if (s != sas + there * SAS || p != policies + there * sys->policies)
		errx(2, "%s: %zu SAs and %zu policies are there", sys->name, s, p);
	for (int in = 0; in < 2; in++) {
		struct nlmsghdr *nlh = start_message(buf, XFRM_MSG_GETSA, NLM_F_DUMP);
		struct xfrm_address_filter filter = { .family = AF_INET, .splen = 32, .dplen = 32 };

		filter.saddr.a4 = flow_addr(ue, !in);
		filter.daddr.a4 = flow_addr(ue, in);
		mnl_attr_put(nlh, XFRMA_ADDRESS_FILTER, sizeof(filter), &filter);
		if (ask(nlh, sa_cb, &found))
			err(2, "dump");
	}
	if (found.flows != (there ? (1U << SAS) - 1 : 0) || found.others)
		errx(2, "%s: SAs %#x and %u others", sys->name, found.flows, found.others);

	for (size_t i = 0; i < sys->policies; i++) {
		uint32_t reqid = 0;
		bool has = !ask(policy_message(buf, XFRM_MSG_GETPOLICY, ue, &flows[i]),
				policy_cb, &reqid);

		if (has != there || (has && reqid != flow_reqid(ue, &flows[i])))
			errx(2, "%s: policy %zu", sys->name, i + 1);
	}
}

/* ---- The peers ------------------------------------------------------- */

static void peer_send(struct mnl_socket *nl, struct nlmsghdr *nlh, uint32_t spi)
{
	if (sys == kamailio)
		nlh->nlmsg_pid = spi;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		err(2, "send");
}

static void put_algo(struct nlmsghdr *nlh, uint16_t type, const char *name, unsigned int bits)
{
	union {
		struct xfrm_algo algo;
		char room[512];
	} u = { 0 };

	snprintf(u.algo.alg_name, sizeof(u.algo.alg_name), "%s", name);
	u.algo.alg_key_len = bits;
	memcpy(u.algo.alg_key, key, bits / 8);
	/* Both peers take the length in bits for one in bytes. */
	mnl_attr_put(nlh, type, sizeof(u.algo) + bits, &u);
}

static void peer_add(struct mnl_socket *nl, const struct ue *ue, const struct flow *f)
{
	const struct xfrm_lifetime_cfg forever = { XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF };
	struct xfrm_user_tmpl tmpl = { .aalgos = ~0U, .ealgos = ~0U, .calgos = ~0U };
	struct xfrm_userpolicy_info *policy;
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct xfrm_usersa_info *sa;
	struct nlmsghdr *nlh;

	nlh = start_message(buf, XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL);
	sa = mnl_nlmsg_put_extra_header(nlh, sizeof(*sa));
	fill_selector(&sa->sel, ue, f);
	sa->id.daddr = sa->sel.daddr;
	sa->id.spi = htonl(ue->spi[f->spi]);
	sa->id.proto = IPPROTO_ESP;
	sa->saddr = sa->sel.saddr;
	sa->lft = forever;
	sa->reqid = flow_reqid(ue, f);
	sa->family = AF_INET;
	sa->mode = XFRM_MODE_TRANSPORT;
	sa->replay_window = 32;
	put_algo(nlh, XFRMA_ALG_AUTH, pair->auth, pair->auth_bits);
	put_algo(nlh, XFRMA_ALG_CRYPT, pair->enc, pair->enc_bits);
	peer_send(nl, nlh, ue->spi[f->spi]);

	nlh = start_message(buf, XFRM_MSG_NEWPOLICY, NLM_F_CREATE | NLM_F_EXCL);
	policy = mnl_nlmsg_put_extra_header(nlh, sizeof(*policy));
	fill_selector(&policy->sel, ue, f);
	policy->lft = forever;
	policy->priority = sys->priority;
	policy->dir = f->in ? XFRM_POLICY_IN : XFRM_POLICY_OUT;
	policy->action = XFRM_POLICY_ALLOW;
	tmpl.id.daddr = policy->sel.daddr;
	tmpl.id.spi = sys == kamailio ? 0 : htonl(ue->spi[f->spi]);
	tmpl.id.proto = IPPROTO_ESP;
	tmpl.family = AF_INET;
	tmpl.saddr = policy->sel.saddr;
	tmpl.reqid = flow_reqid(ue, f);
	tmpl.mode = XFRM_MODE_TRANSPORT;
	mnl_attr_put(nlh, XFRMA_TMPL, sizeof(tmpl), &tmpl);
	peer_send(nl, nlh, ue->spi[f->spi]);
}

static void peer_remove(struct mnl_socket *nl, const struct ue *ue, const struct flow *f)
{
	const xfrm_address_t saddr = { .a4 = flow_addr(ue, !f->in) };
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = start_message(buf, XFRM_MSG_DELSA, 0);
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));

	id->daddr.a4 = flow_addr(ue, f->in);
	id->spi = htonl(ue->spi[f->spi]);
	id->family = AF_INET;
	id->proto = IPPROTO_ESP;
	mnl_attr_put(nlh, XFRMA_SRCADDR, sizeof(saddr), &saddr);
	peer_send(nl, nlh, ue->spi[f->spi]);
	peer_send(nl, policy_message(buf, XFRM_MSG_DELPOLICY, ue, f), ue->spi[f->spi]);
}

/* A socket each time, and what the kernel answers is not read: as they do. */
static void peer_request(const struct ue *ue, void (*request)(struct mnl_socket *nl,
							      const struct ue *ue,
							      const struct flow *f))
{
	struct mnl_socket *nl = open_socket();

	for (size_t i = 0; i < sys->policies; i++)
		request(nl, ue, &flows[sys->order[i]]);
	mnl_socket_close(nl);
}

/* ---- A registration -------------------------------------------------- */

static void open_ours(void)
{
	static const uint16_t port_pc[] = { PORT_PC };
	const struct imsipsec_endpoint_params params = {
		.size = sizeof(params),
		.address = { .family = AF_INET, .in.s_addr = htonl(P_ADDR) },
		.port_ps = PORT_PS,
		.port_pc = port_pc,
		.n_port_pc = ARRAY_SIZE(port_pc),
	};
	const struct imsipsec_endpoint *ep;
	int ret = imsipsec_open(&handle);

	if (ret)
		errx(2, "%s", imsipsec_open_strerror(ret));
	if (imsipsec_endpoint_add(handle, &params, &ep))
		errx(2, "%s", imsipsec_strerror(handle));
	endpoint = ep->id;
}

static void create(struct ue *ue)
{
	struct imsipsec_bundle_params params = {
		.size = sizeof(params),
		.endpoint = endpoint,
		.owner = ue->owner,
		.owner_len = strlen(ue->owner),
		.contact = ue->contact,
		.contact_len = strlen(ue->contact),
		.alg = pair->alg,
		.ealg = pair->ealg,
		.ue_address = { .family = AF_INET, .in.s_addr = htonl(ue->addr) },
		.port_uc = PORT_UC,
		.port_us = PORT_US,
		.spi_uc = ue->spi[SPI_UC],
		.spi_us = ue->spi[SPI_US],
	};
	const struct imsipsec_bundle *b;

	if (sys != ours) {
		peer_request(ue, peer_add);
		return;
	}
	memcpy(params.ik, key, sizeof(params.ik));
	memcpy(params.ck, key, sizeof(params.ck));
	if (imsipsec_bundle_new(handle, &params, &b))
		errx(2, "%s", imsipsec_strerror(handle));
	ue->id = b->id;
	ue->spi[SPI_PC] = b->spi_pc;
	ue->spi[SPI_PS] = b->spi_ps;
}

/* At the 200 OK; the peers have nothing to say to the kernel then. */
static void confirm(const struct ue *ue)
{
	if (sys == ours && imsipsec_bundle_confirm(handle, ue->id, 3600000))
		errx(2, "%s", imsipsec_strerror(handle));
}

static void delete(const struct ue *ue)
{
	if (sys != ours)
		peer_request(ue, peer_remove);
	else if (imsipsec_bundle_delete(handle, ue->id, 0))
		errx(2, "%s", imsipsec_strerror(handle));
}

/*
 * Addresses are scattered, the same for all: sequential ones would meet
 * Kamailio's sequential reqids in the same buckets of the kernel's hash. SPIs
 * are as each hands them out: OpenSIPS shuffles its range, Kamailio counts.
 */
static struct ue make_ue(uint32_t n)
{
	struct ue ue = { .addr = 0x0a000000 | (n * 0x9e3779b1 & 0xffffff) };

	snprintf(ue.owner, sizeof(ue.owner), "00101%010u@ims.example.org", n);
	snprintf(ue.contact, sizeof(ue.contact), "sip:00101%010u@10.0.0.1:%u", n, PORT_US);
	ue.spi[SPI_UC] = 0x10000000 | (n * 0x85ebca6b & 0xfffffff);
	ue.spi[SPI_US] = ue.spi[SPI_UC] ^ 1;
	ue.spi[SPI_PC] = sys == kamailio ? 100 + 2 * n : 65536 + (2 * n * 0xc2b2ae35 & 0x1ffff);
	ue.spi[SPI_PS] = sys == kamailio ? ue.spi[SPI_PC] + 1 :
					   65536 + ((2 * n + 1) * 0xc2b2ae35 & 0x1ffff);
	return ue;
}

/* ---- Measuring ------------------------------------------------------- */

static long read_slab(void)
{
	char text[4096] = "";
	const char *found;
	long kb;
	int fd;

	/* Reading this folds the CPU's part into what the next file shows. */
	fd = open("/proc/sys/vm/stat_refresh", O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		err(2, "stat_refresh");
	close(fd);
	fd = open("/proc/meminfo", O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		err(2, "meminfo");
	close(fd);
	found = strstr(text, "SUnreclaim:");
	if (!found || sscanf(found, "SUnreclaim: %ld kB", &kb) != 1)
		errx(2, "no SUnreclaim");
	return kb * 1024;
}

static void report(const char *what, unsigned int population, double value)
{
	printf("%s-%s-%u %s %.1f\n", what, pair->name, population, sys->name, value);
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void report_median(const char *what, unsigned int population, uint64_t *values)
{
	qsort(values, MEASURED, sizeof(*values), compare);
	report(what, population, (values[MEASURED / 2 - 1] + values[MEASURED / 2]) / 2000.0);
}

static void measure(unsigned int population)
{
	const struct sched_param first = { .sched_priority = 1 };
	uint64_t created[MEASURED], confirmed[MEASURED], deleted[MEASURED], busy = 0, t[6];
	size_t sas = population * SAS, policies = population * sys->policies;
	struct ue ue;
	long slab;

	if (unshare(CLONE_NEWNET))
		err(2, "unshare");
	look = open_socket();
	if (sys == ours)
		open_ours();
	policies += count(XFRM_MSG_GETSPDINFO);	/* the endpoint's */

	settle();
	slab = read_slab();
	for (unsigned int i = 1; i <= population; i++) {
		ue = make_ue(i);
		create(&ue);
		confirm(&ue);
	}
	settle();
	if (population)
		report("memory", population, (read_slab() - slab) / (double)population);

	/*
	 * Before kernel threads, so that what is left to them is not taken for
	 * the request's own, and does not run while we look.
	 */
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		err(2, "sched_setscheduler");
	for (int i = -WARM_UP; i < MEASURED; i++) {
		if (!i) {
			settle();
			busy = -busy_clock();
		}
		ue = make_ue(population + WARM_UP + 1 + i);
		t[0] = now();
		create(&ue);
		t[1] = now();
		check(&ue, true, sas, policies);
		t[2] = now();
		confirm(&ue);
		t[3] = now();
		delete(&ue);
		t[4] = now();
		check(&ue, false, sas, policies);
		t[5] = now();
		if (i >= 0) {
			created[i] = t[1] - t[0];
			confirmed[i] = t[3] - t[2];
			deleted[i] = t[4] - t[3];
			busy -= (t[2] - t[1]) + (t[5] - t[4]);
		}
		sleep_ms(1);
	}
	settle();
	busy += busy_clock();

	report_median("create", population, created);
	if (sys == ours)
		report_median("confirm", population, confirmed);
	report_median("delete", population, deleted);
	/* All that the CPU did but spinning and our own looking */
	report("registration", population, busy / 1000.0 / MEASURED);
}

int main(int argc, char **argv)
{
	int status, population = argc == 3 ? atoi(argv[2]) : -1;
	pid_t pid, spinning;

	for (size_t i = 0; argc == 3 && i < ARRAY_SIZE(pairs); i++)
		if (!strcmp(argv[1], pairs[i].name))
			pair = &pairs[i];
	if (!pair || population < 0)
		errx(2, "usage: registration sha1-aes|md5-null POPULATION");
	check_clock();
	spinning = start_spinner();
	for (sys = systems; sys < systems + ARRAY_SIZE(systems); sys++) {
		fprintf(stderr, "%s, %s, %d registered\n", sys->name, pair->name, population);
		/* With the process goes its network namespace. */
		pid = fork();
		if (pid < 0)
			err(2, "fork");
		if (!pid) {
			measure(population);
			return 0;
		}
		if (waitpid(pid, &status, 0) != pid || status)
			return 2;
		settle();
	}
	kill(spinning, SIGKILL);
	return 0;
}
