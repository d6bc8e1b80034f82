// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What becomes of contacts in the user location becomes of sets: a contact that is saved confirms
 * the set that its REGISTER came over; the last one of a registration that is deleted ends it.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "dprint.h"

#include "proto_ims_ipsec.h"

/* What the answer to a REGISTER needs to live longer than it, TS 24.229 clause 5.2.2 */
#define CONFIRM_MORE	30
#define LINGER_LEAST	32		/* seconds, 64*T1: so long an answer may be sent again */

static str key_ck = str_init("ipsec.ck");
static str key_ik = str_init("ipsec.ik");
static str key_alg = str_init("ipsec.alg");
static str key_ealg = str_init("ipsec.ealg");
static str key_impi = str_init("ipsec.impi");
static str key_impu = str_init("ipsec.impu");
static str key_spi_pc = str_init("ipsec.spi_pc");
static str key_spi_ps = str_init("ipsec.spi_ps");
static str key_spi_uc = str_init("ipsec.spi_uc");
static str key_spi_us = str_init("ipsec.spi_us");
static str key_port_pc = str_init("ipsec.port_pc");
static str key_port_uc = str_init("ipsec.port_uc");
static str key_port_us = str_init("ipsec.port_us");
static str key_bundle = str_init("ipsec.bundle");
static str key_registration = str_init("ipsec.registration");
static str key_life = str_init("ipsec.life");

static void put_text(ucontact_t *c, str *key, const char *text)
{
	int_str_t value = { .is_str = 1 };

	value.s = (str) { (char *)text, strlen(text) };
	ul.put_ucontact_key(c, key, &value);
}

static void put_number(ucontact_t *c, str *key, uint32_t number)
{
	int_str_t value = { .is_str = 0 };

	value.i = number;
	ul.put_ucontact_key(c, key, &value);
}

static uint32_t get_number(ucontact_t *c, str *key)
{
	int_str_t *value = ul.get_ucontact_key(c, key);

	return value && !value->is_str ? value->i : 0;
}

static void get_text(ucontact_t *c, str *key, char *text, size_t size)
{
	int_str_t *value = ul.get_ucontact_key(c, key);

	*text = '\0';
	if (value && value->is_str && value->s.len < (int)size) {
		memcpy(text, value->s.s, value->s.len);
		text[value->s.len] = '\0';
	}
}

static void describe(ucontact_t *c, const struct imsipsec_bundle *b, bool another)
{
	static struct record record;

	if (record_get(b->id, &record)) {
		put_text(c, &key_ck, record.ck);
		put_text(c, &key_ik, record.ik);
		put_text(c, &key_impi, record.owner);
		put_text(c, &key_impu, record.public);
	}
	explicit_bzero(&record, sizeof(record));
	put_text(c, &key_alg, imsipsec_alg_name(b->alg));
	put_text(c, &key_ealg, imsipsec_ealg_name(b->ealg));
	put_number(c, &key_spi_pc, b->spi_pc);
	put_number(c, &key_spi_ps, b->spi_ps);
	put_number(c, &key_spi_uc, b->spi_uc);
	put_number(c, &key_spi_us, b->spi_us);
	put_number(c, &key_port_pc, b->port_pc);
	put_number(c, &key_port_uc, b->port_uc);
	put_number(c, &key_port_us, b->port_us);
	put_number(c, &key_bundle, b->id);
	put_number(c, &key_registration, b->registration);
	put_number(c, &key_life, life_number());
	target_put(&c->c, b, another);
}

/*
 * The registration that a contact is counted for; 0: none. Its numbers mean nothing, or another
 * phone's, once the kernel module was loaded anew; and OpenSIPS that has read it from a database has
 * not counted it.
 */
static uint32_t counted_for(ucontact_t *c)
{
	return get_number(c, &key_life) == life_number() ? get_number(c, &key_registration) : 0;
}

static bool is_described(ucontact_t *c, const struct imsipsec_bundle *b)
{
	return b->spi_ps == get_number(c, &key_spi_ps) && b->spi_uc == get_number(c, &key_spi_uc) &&
	       b->spi_us == get_number(c, &key_spi_us) && b->port_uc == get_number(c, &key_port_uc);
}

/* The REGISTER that is handled: its transaction's, of whatever process, or it has none */
static const struct sip_msg *this_register(void)
{
	struct cell *t = tmb.t_gett();

	if (!t || t == T_UNDEFINED || !t->uas.request)
		return script_register();
	return t->uas.request->REQ_METHOD == METHOD_REGISTER ? t->uas.request : NULL;
}

static void confirm(const ucontact_t *c, const struct imsipsec_bundle *b)
{
	time_t left = c->expires - time(NULL);
	bool tried = false;
	int err;

	/* What has no end, or is at its end, is not for a set. */
	if (left < 0)
		left = 0;
	if (!c->expires)
		left = 7 * 24 * 3600;
	if (!kernel())
		return;
	do
		err = imsipsec_bundle_confirm(kernel(), b->id,
					      (uint64_t)(left + CONFIRM_MORE) * 1000, 0, 0);
	while (kernel_again(err, &tried));
	if (err)
		kernel_failed("a set cannot be confirmed", err);
}

/* What is known of a set from its contact alone, as after a restart */
static void remember(ucontact_t *c, const struct imsipsec_bundle *b)
{
	static struct record record;

	if (!record_get(b->id, &record)) {
		memset(&record, 0, sizeof(record));
		get_text(c, &key_ik, record.ik, sizeof(record.ik));
		get_text(c, &key_ck, record.ck, sizeof(record.ck));
		get_text(c, &key_impi, record.owner, sizeof(record.owner));
		get_text(c, &key_impu, record.public, sizeof(record.public));
		record_put(b->id, &record);
	}
	explicit_bzero(&record, sizeof(record));
}

/* From another node: the set is found by its SPIs, if the kernel has it. */
static bool found_again(ucontact_t *c, struct imsipsec_bundle *b)
{
	if (!get_number(c, &key_spi_ps) || kernel_find_spi(get_number(c, &key_spi_ps), b) ||
	    !is_described(c, b))
		return false;
	remember(c, b);
	return true;
}

static void saved(ucontact_t *c)
{
	const struct sip_msg *req = this_register();
	uint32_t was = counted_for(c);
	struct imsipsec_bundle b;

	if (req ? kernel_over(&req->rcv, &b) : was || !found_again(c, &b))
		return;
	/* A contact may go over to another registration of its phone. */
	if (was != b.registration) {
		if (was) {
			target_del(&c->c, was);
			contacts_less(was);
		}
		contacts_more(b.registration);
	}
	if (!was && is_described(c, &b))
		remember(c, &b);
	if (req)
		confirm(c, &b);
	describe(c, &b, was != b.registration);
}

static void inserted(ucontact_t *c)
{
	struct imsipsec_bundle b;

	/* Its numbers are those of a life before. */
	if (!this_register() && get_number(c, &key_registration)) {
		if (!found_again(c, &b)) {
			put_number(c, &key_life, 0);
			return;
		}
		contacts_more(b.registration);
		describe(c, &b, true);
		return;
	}
	saved(c);
}

/* Does the REGISTER that is handled keep the registration */
static bool is_kept(uint32_t registration)
{
	const struct sip_msg *req = this_register();
	struct imsipsec_bundle over;
	struct copy copy;
	bool ends;

	if (!req || kernel_over(&req->rcv, &over) || over.registration != registration ||
	    copy_begin(&copy, req))
		return false;
	ends = is_deregister(&copy.msg);
	copy_end(&copy);
	return !ends;
}

/*
 * A challenge that is under way is of the registration that comes next, and its set stays: but for
 * that of the de-registration itself, which may have been challenged.
 */
static int end_sets(const struct imsipsec_bundle *b, const struct imsipsec_bundle *over,
		    uint64_t linger)
{
	/* In the order that a set comes to them, for none to slip through */
	static const enum imsipsec_state states[] = {
		IMSIPSEC_STATE_ESTABLISHED, IMSIPSEC_STATE_ACTIVE, IMSIPSEC_STATE_OLD,
	};
	struct imsipsec_bundle_filter filter = {
		.owner = b->owner,
		.owner_len = b->owner_len,
		.contact = b->contact,
		.contact_len = b->contact_len,
	};
	int err = over ? imsipsec_bundle_delete(kernel(), over->id, linger) : 0;

	if (err == -ENOENT)
		err = 0;
	for (size_t i = 0; !err && i < sizeof(states) / sizeof(states[0]); i++) {
		filter.state = states[i];
		err = imsipsec_bundle_flush(kernel(), &filter, linger, NULL);
	}
	return err;
}

static void end(const struct imsipsec_bundle *b)
{
	int seconds = settings.linger < LINGER_LEAST ? LINGER_LEAST : settings.linger;
	const struct sip_msg *req = this_register();
	struct imsipsec_bundle over;
	bool tried = false, has;
	int err;

	has = req && !kernel_over(&req->rcv, &over) && over.registration == b->registration;
	if (!kernel())
		return;
	do
		err = end_sets(b, has ? &over : NULL, (uint64_t)seconds * 1000);
	while (kernel_again(err, &tried));
	if (err)
		kernel_failed("a registration cannot be ended", err);
}

/* Of the set that the contact describes, or the one that took its place */
static bool still(ucontact_t *c, uint32_t registration, struct imsipsec_bundle *b)
{
	const struct sip_msg *req = this_register();

	return (!kernel_get(get_number(c, &key_bundle), b) && b->registration == registration &&
		is_described(c, b)) ||
	       (req && !kernel_over(&req->rcv, b) && b->registration == registration);
}

static void deleted(ucontact_t *c, bool expired)
{
	uint32_t registration = get_number(c, &key_registration);
	struct imsipsec_bundle b;
	bool others;

	if (!registration)
		return;
	if (counted_for(c)) {
		target_del(&c->c, registration);
		others = contacts_less(registration);
	} else {
		others = contacts_of(registration);
	}
	/* The time of a set runs in the kernel. */
	if (others || expired || is_kept(registration) ||
	    !still(c, registration, &b))
		return;
	end(&b);
}

static void changed(void *binding, ul_cb_type type, ul_cb_extra *extra)
{
	if (type == UL_CONTACT_INSERT)
		inserted(binding);
	else if (type == UL_CONTACT_UPDATE)
		saved(binding);
	else
		deleted(binding, type == UL_CONTACT_EXPIRE);
}

int contacts_init(void)
{
	if (ul.register_ulcb(UL_CONTACT_INSERT | UL_CONTACT_UPDATE | UL_CONTACT_DELETE |
			     UL_CONTACT_EXPIRE, changed) < 0) {
		LM_ERR("usrloc does not take the callback\n");
		return -1;
	}
	return 0;
}
