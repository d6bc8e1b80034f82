// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the peers say to XFRM, replayed with the library that they use. How they
 * find a user, hand out SPIs and decode keys is left out, which is kind to them.
 * And a look at what XFRM has: a figure counts only if it really happened.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/udp.h>
#include <linux/xfrm.h>

#include "xfrm.h"

const uint8_t key[20] = { 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

const struct pair pairs[3] = {
	{ "sha1-aes", "sha1", "aes", 160, 128, IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_AES_CBC },
	{ "md5-null", "md5", "cipher_null", 128, 0, IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_NULL },
	{ "gcm", NULL, "gcm(aes)", 0, 160, IMSIPSEC_ALG_NULL, IMSIPSEC_EALG_AES_GCM },
};

/*
 * OpenSIPS makes the first four: what has to stand in the kernel's table
 * afterwards, whoever made it. Kamailio makes all, with the third and the
 * fourth the other way round; its last four SAs have the SPIs of its first,
 * and the kernel refuses them, while the policies stay.
 */
const struct flow flows[FLOWS] = {
	{ true,  PORT_UC, PORT_PS, SPI_PS }, { false, PORT_PC, PORT_US, SPI_US },
	{ true,  PORT_US, PORT_PC, SPI_PC }, { false, PORT_PS, PORT_UC, SPI_UC },
	{ true,  PORT_UC, PORT_PC, SPI_PS }, { false, PORT_PC, PORT_UC, SPI_US },
	{ false, PORT_PS, PORT_US, SPI_UC }, { true,  PORT_US, PORT_PS, SPI_PC },
};

/* A permutation, so that no two SPIs have the same (MurmurHash3's last step) */
static uint32_t reqid_scattered(uint32_t spi)
{
	spi = (spi ^ spi >> 16) * 0x85ebca6b;
	spi = (spi ^ spi >> 13) * 0xc2b2ae35;
	return spi ^ spi >> 16;
}

static uint32_t reqid_same(uint32_t spi)
{
	return spi;
}

const struct system ours = { "ours" };
const struct system opensips = {
	"opensips", 4, { 0, 1, 2, 3 }, htonl, 1387164160, 1024, .names_spi = true,
};
const struct system kamailio = {
	"kamailio", 8, { 0, 1, 3, 2, 4, 5, 6, 7 }, reqid_same,
	__builtin_bswap32(143956232), 2080, .pid_is_spi = true,
};
/* As OpenSIPS, had it better reqids: the state table hashes them with the addresses */
const struct system scattered = {
	"scattered", 4, { 0, 1, 2, 3 }, reqid_scattered, 1387164160, 1024, .names_spi = true,
};

static struct mnl_socket *look;

/* ---- Messages -------------------------------------------------------- */

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

static const xfrm_address_t *flow_addr(const struct setup *s, const struct ue *ue, bool p)
{
	return p ? &s->addr : &ue->addr;
}

/* Where ESP comes from and goes to */
static const xfrm_address_t *outer_addr(const struct setup *s, const struct ue *ue, bool p)
{
	return s->encap && !p ? &ue->nat : flow_addr(s, ue, p);
}

static uint16_t outer_port(const struct setup *s, const struct ue *ue, bool p)
{
	return htons(p ? s->encap : ue->nat_port);
}

/* A port of a flow; a UE that has registered again has another client port. */
static uint16_t flow_port(const struct ue *ue, uint16_t port)
{
	return htons(port == PORT_UC ? ue->port_uc : port);
}

static void fill_selector(struct xfrm_selector *sel, const struct setup *s, const struct ue *ue,
			  const struct flow *f)
{
	sel->family = s->family;
	sel->saddr = *flow_addr(s, ue, !f->in);
	sel->daddr = *flow_addr(s, ue, f->in);
	sel->prefixlen_s = s->family == AF_INET ? 32 : 128;
	sel->prefixlen_d = sel->prefixlen_s;
	sel->sport = flow_port(ue, f->sport);
	sel->dport = flow_port(ue, f->dport);
	sel->sport_mask = 0xffff;
	sel->dport_mask = 0xffff;
	sel->user = s->sys->user;
}

static struct nlmsghdr *policy_message(char *buf, uint16_t type, const struct setup *s,
				       const struct ue *ue, const struct flow *f)
{
	struct nlmsghdr *nlh = start_message(buf, type, 0);
	struct xfrm_userpolicy_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));

	id->dir = f->in ? XFRM_POLICY_IN : XFRM_POLICY_OUT;
	fill_selector(&id->sel, s, ue, f);
	return nlh;
}

static struct nlmsghdr *sa_message(char *buf, uint16_t type, const struct setup *s,
				   const struct ue *ue, const struct flow *f)
{
	struct nlmsghdr *nlh = start_message(buf, type, 0);
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));
	const struct xfrm_mark mark = { ue->mark, ~0U };

	id->daddr = *outer_addr(s, ue, f->in);
	id->spi = htonl(ue->spi[f->spi]);
	id->family = s->family;
	id->proto = IPPROTO_ESP;
	if (ue->mark && s->encap && !f->in)
		mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);
	return nlh;
}

/* ---- What is there --------------------------------------------------- */

void xfrm_look(void)
{
	look = open_socket();
}

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

size_t count_sas(void)
{
	return count(XFRM_MSG_GETSADINFO);
}

size_t count_policies(void)
{
	return count(XFRM_MSG_GETSPDINFO);
}

static int packets_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_usersa_info *sa = mnl_nlmsg_get_payload(nlh);

	*(uint64_t *)data = sa->curlft.packets;
	return MNL_CB_STOP;
}

/* How many packets have gone over this flow's SA? */
uint64_t sa_packets(const struct setup *s, const struct ue *ue, const struct flow *f)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	uint64_t packets;

	if (ask(sa_message(buf, XFRM_MSG_GETSA, s, ue, f), packets_cb, &packets))
		err(2, "%s: no SA", s->sys->name);
	return packets;
}

struct found {
	const struct setup *s;
	const struct ue *ue;
	unsigned int flows, others;
};

static bool same_addr(const struct setup *s, const xfrm_address_t *a, const xfrm_address_t *b)
{
	return !memcmp(a, b, s->family == AF_INET ? 4 : 16);
}

static bool is_flow(const struct setup *s, const struct xfrm_usersa_info *sa,
		    const struct ue *ue, const struct flow *f)
{
	return sa->id.spi == htonl(ue->spi[f->spi]) &&
	       same_addr(s, &sa->id.daddr, outer_addr(s, ue, f->in)) &&
	       same_addr(s, &sa->saddr, outer_addr(s, ue, !f->in)) &&
	       sa->sel.sport == flow_port(ue, f->sport) &&
	       sa->sel.dport == flow_port(ue, f->dport);
}

static int sa_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_usersa_info *sa = mnl_nlmsg_get_payload(nlh);
	struct found *found = data;
	const struct pair *pair = found->s->pair;
	const uint8_t mode = found->s->encap ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
	uint16_t encap = 0;
	const struct nlattr *attr;
	unsigned int i, algs = 0;

	/* Another one's behind the same NAT? */
	if (!same_addr(found->s, &sa->sel.saddr, &found->ue->addr) &&
	    !same_addr(found->s, &sa->sel.daddr, &found->ue->addr))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*sa)) {
		const struct xfrm_encap_tmpl *tmpl = mnl_attr_get_payload(attr);
		const struct xfrm_algo *algo = mnl_attr_get_payload(attr);

		if (mnl_attr_get_type(attr) == XFRMA_ALG_AUTH && pair->auth)
			algs += strstr(algo->alg_name, pair->auth) &&
				algo->alg_key_len == pair->auth_bits;
		else if (mnl_attr_get_type(attr) == XFRMA_ALG_CRYPT)
			algs += strstr(algo->alg_name, pair->enc) &&
				algo->alg_key_len == pair->enc_bits;
		else if (mnl_attr_get_type(attr) == XFRMA_ALG_AEAD)
			algs += 2 * (strstr(algo->alg_name, pair->enc) &&
				     algo->alg_key_len == pair->enc_bits);
		else if (mnl_attr_get_type(attr) == XFRMA_ENCAP)
			encap = tmpl->encap_dport;
	}
	for (i = 0; i < SAS; i++)
		if (is_flow(found->s, sa, found->ue, &flows[i]))
			break;
	if (i < SAS && algs == 2 && sa->id.proto == IPPROTO_ESP && sa->mode == mode &&
	    (!found->s->encap || encap == outer_port(found->s, found->ue, flows[i].in)) &&
	    !(found->flows & 1U << i))
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

/* Are exactly the SAs and policies of this registration there, or none of them? */
void check_registered(const struct setup *s, const struct ue *ue, bool there)
{
	const uint8_t prefixlen = s->family == AF_INET ? 32 : 128;
	struct found found = { .s = s, .ue = ue };
	char buf[MNL_SOCKET_BUFFER_SIZE];

	for (int in = 0; in < 2; in++) {
		struct nlmsghdr *nlh = start_message(buf, XFRM_MSG_GETSA, NLM_F_DUMP);
		const struct xfrm_address_filter filter = {
			.family = s->family,
			.saddr = *outer_addr(s, ue, !in),
			.daddr = *outer_addr(s, ue, in),
			.splen = prefixlen,
			.dplen = prefixlen,
		};

		mnl_attr_put(nlh, XFRMA_ADDRESS_FILTER, sizeof(filter), &filter);
		if (ask(nlh, sa_cb, &found))
			err(2, "dump");
	}
	if (found.flows != (there ? (1U << SAS) - 1 : 0) || found.others)
		errx(2, "%s: SAs %#x and %u others", s->sys->name, found.flows, found.others);

	for (size_t i = 0; i < s->sys->policies; i++) {
		uint32_t reqid = 0;
		bool has = !ask(policy_message(buf, XFRM_MSG_GETPOLICY, s, ue, &flows[i]),
				policy_cb, &reqid);

		if (has != there || (has && reqid != s->sys->reqid(ue->spi[flows[i].spi])))
			errx(2, "%s: policy %zu", s->sys->name, i + 1);
	}
}

/* ---- The peers ------------------------------------------------------- */

static void peer_send(const struct setup *s, struct mnl_socket *nl, struct nlmsghdr *nlh,
		      uint32_t spi)
{
	if (s->sys->pid_is_spi)
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

static void peer_add(const struct setup *s, struct mnl_socket *nl, const struct ue *ue,
		     const struct flow *f)
{
	const struct xfrm_lifetime_cfg forever = { XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF };
	const uint8_t mode = s->encap ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
	struct xfrm_user_tmpl tmpl = { .aalgos = ~0U, .ealgos = ~0U, .calgos = ~0U };
	const struct xfrm_encap_tmpl encap = {
		.encap_type = UDP_ENCAP_ESPINUDP,
		.encap_sport = outer_port(s, ue, !f->in),
		.encap_dport = outer_port(s, ue, f->in),
	};
	struct xfrm_userpolicy_info *policy;
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct xfrm_usersa_info *sa;
	struct nlmsghdr *nlh;

	nlh = start_message(buf, XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL);
	sa = mnl_nlmsg_put_extra_header(nlh, sizeof(*sa));
	fill_selector(&sa->sel, s, ue, f);
	sa->id.daddr = *outer_addr(s, ue, f->in);
	sa->id.spi = htonl(ue->spi[f->spi]);
	sa->id.proto = IPPROTO_ESP;
	sa->saddr = *outer_addr(s, ue, !f->in);
	sa->lft = forever;
	sa->reqid = s->sys->reqid(ue->spi[f->spi]);
	sa->family = s->family;
	sa->mode = mode;
	sa->replay_window = 32;
	put_algo(nlh, XFRMA_ALG_AUTH, s->pair->auth, s->pair->auth_bits);
	put_algo(nlh, XFRMA_ALG_CRYPT, s->pair->enc, s->pair->enc_bits);
	if (s->encap)
		mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	peer_send(s, nl, nlh, ue->spi[f->spi]);

	nlh = start_message(buf, XFRM_MSG_NEWPOLICY, NLM_F_CREATE | NLM_F_EXCL);
	policy = mnl_nlmsg_put_extra_header(nlh, sizeof(*policy));
	fill_selector(&policy->sel, s, ue, f);
	policy->lft = forever;
	policy->priority = s->sys->priority;
	policy->dir = f->in ? XFRM_POLICY_IN : XFRM_POLICY_OUT;
	policy->action = XFRM_POLICY_ALLOW;
	tmpl.id.daddr = *outer_addr(s, ue, f->in);
	tmpl.id.spi = s->sys->names_spi ? htonl(ue->spi[f->spi]) : 0;
	tmpl.id.proto = IPPROTO_ESP;
	tmpl.family = s->family;
	tmpl.saddr = *outer_addr(s, ue, !f->in);
	tmpl.reqid = s->sys->reqid(ue->spi[f->spi]);
	tmpl.mode = mode;
	mnl_attr_put(nlh, XFRMA_TMPL, sizeof(tmpl), &tmpl);
	peer_send(s, nl, nlh, ue->spi[f->spi]);
}

static void peer_remove(const struct setup *s, struct mnl_socket *nl, const struct ue *ue,
			const struct flow *f)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = sa_message(buf, XFRM_MSG_DELSA, s, ue, f);

	mnl_attr_put(nlh, XFRMA_SRCADDR, sizeof(xfrm_address_t), flow_addr(s, ue, !f->in));
	peer_send(s, nl, nlh, ue->spi[f->spi]);
	peer_send(s, nl, policy_message(buf, XFRM_MSG_DELPOLICY, s, ue, f), ue->spi[f->spi]);
}

/* A socket each time, and what the kernel answers is not read: as they do. */
static void peer_request(const struct setup *s, const struct ue *ue,
			 void (*request)(const struct setup *s, struct mnl_socket *nl,
					 const struct ue *ue, const struct flow *f))
{
	struct mnl_socket *nl = open_socket();

	for (size_t i = 0; i < s->sys->policies; i++)
		request(s, nl, ue, &flows[s->sys->order[i]]);
	mnl_socket_close(nl);
}

void peer_create(const struct setup *s, const struct ue *ue)
{
	peer_request(s, ue, peer_add);
}

void peer_delete(const struct setup *s, const struct ue *ue)
{
	peer_request(s, ue, peer_remove);
}
