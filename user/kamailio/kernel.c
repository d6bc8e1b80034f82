// SPDX-License-Identifier: GPL-2.0-or-later
/* What is asked of the kernel. */
#include <errno.h>
#include <string.h>

#include "core/dprint.h"
#include "core/timer.h"
#include "core/usr_avp.h"

#include "ims_ipsec.h"

/* What the answer to a REGISTER needs to live longer than it, TS 24.229 clause 5.2.2 */
#define CONFIRM_MORE	30
#define LINGER_LEAST	32		/* seconds, 64*T1: so long an answer may be sent again */

#define ALGS_SECONDS	10
#define VERIFY_MAX	4		/* mechanisms of Security-Verify that are looked at */

void to_ip(struct ip_addr *ip, const struct imsipsec_addr *addr)
{
	memset(ip, 0, sizeof(*ip));
	ip->af = addr->family;
	ip->len = addr->family == AF_INET6 ? 16 : 4;
	memcpy(ip->u.addr, &addr->in6, ip->len);
}

int kernel_check(void)
{
	const struct imsipsec_stats *stats;
	int err;

	if (!kernel())
		return -1;
	err = imsipsec_stats_get(kernel_handle, &stats);
	return err ? kernel_failed("the kernel module ims_ipsec", err), -1 : 0;
}

/* --- Endpoints */

static int guard_of(const str *text)
{
	for (int g = IMSIPSEC_GUARD_DROP; imsipsec_guard_name(g); g++) {
		if (strlen(imsipsec_guard_name(g)) == (size_t)text->len &&
		    !strncasecmp(imsipsec_guard_name(g), text->s, text->len))
			return g;
	}
	return -1;
}

/*
 * What a process before this one made is found again, with all its sets: a restart is nothing
 * that a phone hears of.
 */
static int have_endpoint(struct gm *gm)
{
	struct imsipsec_endpoint_params params = {
		.address = gm->addr,
		.port_ps = settings.port_ps,
		.port_pc = settings.port_pc,
		.n_port_pc = settings.n_port_pc,
		.nat_traversal = settings.nat ? IMSIPSEC_CHOICE_ON : IMSIPSEC_CHOICE_CONFIG,
	};
	const struct imsipsec_endpoint *made;
	const char *trusted[IMSIPSEC_TRUSTED_MAX];
	int guard, err;

	/* Those of its family. Where none is said, what somebody else has set stays. */
	for (int i = 0; i < settings.n_trusted; i++) {
		if (settings.trusted_nets[i].ip.af == gm->ip.af)
			trusted[params.n_trusted++] = settings.trusted[i];
	}
	if (params.n_trusted)
		params.trusted = trusted;
	guard = settings.guard.len ? guard_of(&settings.guard) : IMSIPSEC_GUARD_DROP;
	if (guard < 0) {
		LM_ERR("guard: \"%.*s\" is none of drop, reject, bypass\n", settings.guard.len,
		       settings.guard.s);
		return -EINVAL;
	}
	params.guard = guard;
	settings.bypass = guard == IMSIPSEC_GUARD_BYPASS;
	err = imsipsec_endpoint_replace(kernel_handle, &params, false, &made);
	if (err < 0) {
		LM_ERR("%.*s: its ports %u and %u to %u cannot be shut\n", gm->text.len, gm->text.s,
		       settings.port_ps, settings.port_pc[0],
		       settings.port_pc[settings.n_port_pc - 1]);
		if (err == -EBUSY)
			LM_ERR("phones use the ports that it had before: imsipsec endpoint del address "
			       "%.*s force ends their registrations\n", gm->text.len, gm->text.s);
		return kernel_failed("the endpoint", err);
	}
	if (!err)
		LM_NOTICE("%.*s: the endpoint is there already, with %u sets\n", gm->text.len,
			  gm->text.s, made->bundles);
	gm->endpoint = made->id;
	return 0;
}

/* The range of SPIs is the network namespace's; unless the parameters name one it stays as it is.
 */
static int set_spis(void)
{
	struct imsipsec_config config = {
		.set = IMSIPSEC_CONFIG_MIN_SPI | IMSIPSEC_CONFIG_MAX_SPI,
	};
	int err;

	if (!settings.spi_start)
		return 0;
	if (settings.spi_start < 256) {
		LM_WARN("ipsec_spi_id_start %d: 256 is the first that may be (RFC 4303), and is "
			"taken\n",
			settings.spi_start);
		settings.spi_start = 256;
	}
	config.min_spi = settings.spi_start;
	/* As many sets as it stands for there, where each of the ports has the range of its own */
	config.max_spi = settings.spi_start + settings.spi_range * settings.max_connections;
	err = imsipsec_config_set(kernel_handle, &config);
	return err ? kernel_failed("ipsec_spi_id_start and ipsec_spi_id_range", err) : 0;
}

int kernel_prepare(void)
{
	if (!kernel() || set_spis())
		return -1;
	for (int i = 0; i < settings.n_gm; i++) {
		if (have_endpoint(&settings.gm[i]))
			return -1;
	}
	return 0;
}

/* --- Algorithms */

static enum imsipsec_alg alg_of(const str *name)
{
	for (int alg = 1; imsipsec_alg_name(alg); alg++) {
		if (strlen(imsipsec_alg_name(alg)) == (size_t)name->len &&
		    !strncasecmp(imsipsec_alg_name(alg), name->s, name->len))
			return alg;
	}
	return 0;
}

static enum imsipsec_ealg ealg_of(const str *name)
{
	for (int ealg = 1; imsipsec_ealg_name(ealg); ealg++) {
		if (strlen(imsipsec_ealg_name(ealg)) == (size_t)name->len &&
		    !strncasecmp(imsipsec_ealg_name(ealg), name->s, name->len))
			return ealg;
	}
	return 0;
}

/* Those that the kernel has change with its modules, and are asked for again after a while. */
static int all_algs(const struct imsipsec_pair **algs, size_t *n)
{
	static struct imsipsec_pair all[16];
	static unsigned int asked;
	static size_t known;
	bool tried = false;
	int err;

	if (!known || get_ticks() - asked >= ALGS_SECONDS) {
		if (!kernel())
			return -EIO;
		do {
			known = sizeof(all) / sizeof(all[0]);
			err = imsipsec_pairs_get(kernel_handle, all, &known);
		} while (kernel_again(err, &tried));
		if (err) {
			known = 0;
			return kernel_failed("the algorithms", err);
		}
		asked = get_ticks();
	}
	*algs = all;
	*n = known;
	return 0;
}

int kernel_algs(struct imsipsec_pair *algs, size_t room)
{
	enum imsipsec_alg alg = alg_of(&settings.preferred_alg);
	enum imsipsec_ealg ealg = ealg_of(&settings.preferred_ealg);
	const struct imsipsec_pair *all = NULL;
	size_t n = 0, out = 0;

	if (all_algs(&all, &n))
		return -1;
	/* Both are as wished, then one of the two, then neither; within that the kernel's order */
	for (int wishes = 2; wishes >= 0; wishes--) {
		for (size_t i = 0; i < n && out < room; i++) {
			if ((alg && all[i].alg == alg) + (ealg && all[i].ealg == ealg) == wishes)
				algs[out++] = all[i];
		}
	}
	return out;
}

/* --- Sets */

/* What a call for a set has given, copied for its caller; that there is none is nothing to be said
 */
static int got(int err, const struct imsipsec_bundle *found, struct imsipsec_bundle *b)
{
	if (!err)
		*b = *found;
	else if (err != -ENOENT)
		kernel_failed("which set it is", err);
	return err;
}

static int find_spi(uint32_t spi, struct imsipsec_bundle *b)
{
	const struct imsipsec_bundle *found;
	bool tried = false;
	int err;

	if (!kernel())
		return -EIO;
	do
		err = imsipsec_bundle_find_spi(kernel_handle, spi, &found);
	while (kernel_again(err, &tried));
	return got(err, found, b);
}

static int find_tuple(const struct imsipsec_addr *local, uint16_t local_port,
		      const struct imsipsec_addr *remote, uint16_t remote_port,
		      struct imsipsec_bundle *b)
{
	const struct imsipsec_bundle *found;
	bool tried = false;
	int err;

	if (!kernel())
		return -EIO;
	do
		err = imsipsec_bundle_find_tuple(kernel_handle, local, local_port, remote,
						 remote_port, &found);
	while (kernel_again(err, &tried));
	return got(err, found, b);
}

static bool has_tuple(const struct imsipsec_bundle *b, uint16_t local_port, uint16_t remote_port)
{
	return (b->port_ps == local_port && b->port_uc == remote_port) ||
	       (b->port_pc == local_port && b->port_us == remote_port);
}

/*
 * Whoever is at an address can have a set made there in somebody else's name, with the ports of
 * his own; but nothing comes over it without the keys.
 */
static bool may_have_come(const struct imsipsec_bundle *b)
{
	return b->state != IMSIPSEC_STATE_TEMPORARY || b->rx_packets;
}

/*
 * What was found is kept with the message, as an AVP: it goes with the transaction, to the process
 * that handles the answer. What a request came over stays so, whatever becomes of the set meanwhile.
 */
#define OVER_AVP	0x696d7369

struct over {
	unsigned int id;		/* the message's */
	int pid;
	struct imsipsec_bundle b;
};

static void keep_over(const struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	const int_str name = { .n = OVER_AVP };
	struct over over = { msg->id, msg->pid, *b };
	int_str value;

	value.s.s = (char *)&over;
	value.s.len = sizeof(over);
	/* Without memory it is asked for again. */
	add_avp(AVP_VAL_STR, name, value);
}

int kernel_over_known(const struct sip_msg *msg, struct imsipsec_bundle *b)
{
	const int_str name = { .n = OVER_AVP };
	struct search_state state;
	struct over over;
	int_str value;

	if (!is_protected(&msg->rcv.dst_ip, msg->rcv.dst_port))
		return -ENOENT;
	for (avp_t *avp = search_first_avp(0, name, &value, &state); avp;
	     avp = search_next_avp(&state, &value)) {
		if (!is_avp_str_val(avp) || value.s.len != sizeof(over))
			continue;
		memcpy(&over, value.s.s, sizeof(over));
		if (over.id == msg->id && over.pid == msg->pid) {
			*b = over.b;
			return 0;
		}
	}
	return -EAGAIN;
}

/* What this process has confirmed last, for which REGISTER */
static struct over confirmed;

bool kernel_has_confirmed(const struct sip_msg *req, const struct imsipsec_bundle *b)
{
	return confirmed.id == req->id && confirmed.pid == req->pid && confirmed.b.id == b->id;
}

static int ask_over(struct sip_msg *msg, struct imsipsec_bundle *b)
{
	struct imsipsec_addr local, remote;
	struct imsipsec_secagree *verify;
	const struct imsipsec_mech *mech;
	bool found = false;
	int err = 0;

	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return -EINVAL;
	to_addr(&local, &msg->rcv.dst_ip);
	to_addr(&remote, &msg->rcv.src_ip);
	/*
	 * What it says counts as far as the message may have come from there. It repeats
	 * Security-Server, which has one mechanism.
	 */
	verify = secagree_of(msg, "Security-Verify");
	for (size_t i = 0; !found && i < VERIFY_MAX && (mech = imsipsec_secagree_get(verify, i));
	     i++) {
		err = find_spi(mech->spi_s, b);
		if (err && err != -ENOENT)
			break;
		found = !err && b->spi_pc == mech->spi_c && addr_equal(&b->address, &local) &&
			addr_equal(&b->ue_address, &remote) &&
			has_tuple(b, msg->rcv.dst_port, msg->rcv.src_port) && may_have_come(b);
	}
	imsipsec_secagree_free(verify);
	if (found)
		return 0;
	if (err && err != -ENOENT)
		return err;
	err = find_tuple(&local, msg->rcv.dst_port, &remote, msg->rcv.src_port, b);
	/*
	 * Behind NATs several phones may have the ports. Who sent a datagram only marks tell, which
	 * Kamailio does not see.
	 */
	if (!err && b->tcp_only && msg->rcv.proto == PROTO_UDP)
		return -ENOTUNIQ;
	return err;
}

int kernel_over(struct sip_msg *msg, struct imsipsec_bundle *b)
{
	int err;

	err = kernel_over_known(msg, b);
	if (err != -EAGAIN)
		return err;
	err = ask_over(msg, b);
	if (!err)
		keep_over(msg, b);
	return err;
}

/*
 * The set that stands in the contact. It may be what a phone has written into Security-Verify: it
 * has to be the phone's.
 */
static int described(const struct place *place, struct imsipsec_bundle *b)
{
	int err;

	if (!place->spi_ps)
		return -ENOENT;
	err = find_spi(place->spi_ps, b);
	if (!err && (b->spi_ps != place->spi_ps || b->port_uc != place->port_uc ||
		     !addr_equal(&b->ue_address, &place->ue)))
		return -ENOENT;
	return err;
}

int kernel_of_contact(const struct place *place, struct imsipsec_bundle *b)
{
	int err = described(place, b);

	/*
	 * A contact from a database has none. Where the set of another one has gone, one with its
	 * ports may be anybody's.
	 */
	for (int i = 0; err == -ENOENT && !place->spi_ps && i < settings.n_gm; i++) {
		if (settings.gm[i].addr.family == place->ue.family)
			err = find_tuple(&settings.gm[i].addr, settings.port_ps, &place->ue,
					 place->received_port, b);
	}
	return err;
}

int kernel_tx(const struct place *place, struct imsipsec_bundle *b)
{
	const uint16_t ports[] = { place->received_port, place->contact_port };
	const struct imsipsec_bundle *found;
	int err = described(place, b);
	bool tried = false;

	if (!err) {
		err = imsipsec_bundle_tx(kernel_handle, b->id, &found);
		if (err != -ENOENT)
			return got(err, found, b);
	}
	for (int i = 0; err == -ENOENT && !place->spi_ps && i < 2; i++) {
		if (!kernel())
			return -EIO;
		if (!ports[i])
			continue;
		do
			err = imsipsec_bundle_tx_port(kernel_handle, NULL, &place->ue, ports[i],
						      &found);
		while (kernel_again(err, &tried));
		got(err, found, b);
	}
	return err;
}

int kernel_still(struct imsipsec_bundle *b)
{
	const struct imsipsec_bundle *found;
	struct imsipsec_bundle now;
	int err = find_spi(b->spi_pc, &now);
	bool tried = false;

	if (!err && now.id == b->id)
		return 0;
	if (err && err != -ENOENT)
		return err;
	if (!kernel())
		return -EIO;
	do
		err = imsipsec_bundle_tx_name(kernel_handle, b->owner, b->owner_len, b->contact,
					      b->contact_len, &found);
	while (kernel_again(err, &tried));
	return got(err, found, b);
}

static int is_there(const struct imsipsec_bundle *b, void *data)
{
	return 1;
}

bool kernel_has_sets(const struct imsipsec_addr *ue)
{
	const struct imsipsec_bundle_filter filter = { .ue_address = *ue };
	bool tried = false;
	int err;

	if (!kernel())
		return true;
	do
		err = imsipsec_bundle_dump(kernel_handle, &filter, is_there, NULL);
	while (kernel_again(err, &tried));
	if (err < 0)
		kernel_failed("whether a phone is there", err);
	return err;
}

int kernel_confirm(const struct sip_msg *req, const struct imsipsec_bundle *b, long expires)
{
	int err;

	if (!kernel())
		return -EIO;
	if (expires < 0)
		expires = 0;
	/* How the challenge began, ipsec_create() has told the kernel. */
	err = imsipsec_bundle_confirm(kernel_handle, b->id, (expires + CONFIRM_MORE) * 1000ULL, 0,
				      0);
	if (err)
		return kernel_failed("the set cannot be confirmed", err);
	confirmed = (struct over) { req->id, req->pid, *b };
	return 0;
}

int kernel_end(const struct imsipsec_bundle *b)
{
	int err;

	if (!kernel())
		return -EIO;
	if (settings.linger < LINGER_LEAST)
		settings.linger = LINGER_LEAST;
	err = imsipsec_bundle_delete(kernel_handle, b->id, settings.linger * 1000ULL);
	return err && err != -ENOENT ? kernel_failed("the set cannot be ended", err) : err;
}
