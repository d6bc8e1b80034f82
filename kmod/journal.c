// SPDX-License-Identifier: GPL-2.0-only
/* What was refused and dropped of late, for whoever asks why a phone does not register. */
#include <linux/jiffies.h>
#include <linux/mm.h>

#include "bundle.h"
#include "journal.h"
#include "netns.h"

/* Drops that are new in a second; others would only push out what was there. */
#define IMS_JOURNAL_PACE	64

/**
 * ims_journal_open() - begin to remember
 * @in: where
 *
 * Context: process, sleeps, @in->lock held.
 * Return: 0 or -ENOMEM.
 */
int ims_journal_open(struct ims_net *in)
{
	lockdep_assert_held(&in->lock);

	if (in->journal)
		return 0;
	in->journal = kvzalloc(sizeof(*in->journal), GFP_KERNEL_ACCOUNT);
	if (!in->journal)
		return -ENOMEM;
	spin_lock_init(&in->journal->lock);
	return 0;
}

/**
 * ims_journal_close() - forget all
 * @in: where; nothing is refused or dropped there any more
 */
void ims_journal_close(struct ims_net *in)
{
	kvfree(in->journal);
}

static u8 ims_journal_copy_name(u8 *name, const u8 *from, u16 len)
{
	len = min_t(u16, len, IMS_JOURNAL_NAME_MAX);
	memcpy(name, from, len);
	return len;
}

/**
 * ims_journal_add_refusal() - remember a bundle-new that failed
 * @in: where
 * @p: what was asked for; keys are not looked at
 * @endpoint: id of the endpoint that it named
 * @err: the errno
 * @text: what the answer says, or NULL
 *
 * Context: process, @in->lock held.
 */
void ims_journal_add_refusal(struct ims_net *in, const struct ims_bundle_params *p, u32 endpoint,
			     int err, const char *text)
{
	struct ims_journal *j = in->journal;
	struct ims_journal_refusal *refusal;

	lockdep_assert_held(&in->lock);

	in->n_refused++;
	/* there has been no endpoint */
	if (!j)
		return;
	spin_lock_bh(&j->lock);
	refusal = &j->refusals[j->n_refusals++ % IMS_JOURNAL_REFUSALS];
	*refusal = (struct ims_journal_refusal) {
		.e = { .when = get_jiffies_64(), .count = 1, .endpoint = endpoint },
		.err = -err,
		.ue_addr = p->ue_addr,
		.port_uc = p->port_uc,
		.port_us = p->port_us,
		.spi_uc = p->spi_uc,
		.spi_us = p->spi_us,
	};
	refusal->owner_len = ims_journal_copy_name(refusal->owner, p->name.owner,
						   p->name.owner_len);
	refusal->contact_len = ims_journal_copy_name(refusal->contact, p->name.contact,
						     p->name.contact_len);
	strscpy(refusal->text, text ?: "", sizeof(refusal->text));
	spin_unlock_bh(&j->lock);
}

static bool ims_journal_same_drop(const struct ims_journal_drop *a,
				  const struct ims_journal_drop *b)
{
	return a->e.count && a->drop == b->drop && a->proto == b->proto && a->spi == b->spi &&
	       a->has_ports == b->has_ports && a->e.endpoint == b->e.endpoint &&
	       (!a->has_ports || (a->t.sport == b->t.sport && a->t.dport == b->t.dport)) &&
	       ims_addr_equal(&a->t.src, &b->t.src) && ims_addr_equal(&a->t.dst, &b->t.dst);
}

static bool ims_journal_is_flooded(struct ims_journal *j)
{
	if (time_after(jiffies, j->window + HZ)) {
		j->window = jiffies;
		j->in_window = 0;
	}
	return j->in_window++ >= IMS_JOURNAL_PACE;
}

/**
 * ims_journal_add_drop() - remember a packet that was dropped
 * @in: where
 * @drop: the packet; its time and count are filled in
 *
 * The like of the last one is counted with that. While there are too many, and where
 * another CPU is at it just now, a packet is not remembered: the endpoint's counters have it.
 *
 * Context: any.
 */
void ims_journal_add_drop(struct ims_net *in, const struct ims_journal_drop *drop)
{
	struct ims_journal *j = in->journal;
	struct ims_journal_drop *last;

	local_bh_disable();
	if (!spin_trylock(&j->lock))
		goto out;
	last = &j->drops[(j->n_drops - 1) % IMS_JOURNAL_DROPS];
	if (!ims_journal_same_drop(last, drop)) {
		if (ims_journal_is_flooded(j))
			goto unlock;
		last = &j->drops[j->n_drops++ % IMS_JOURNAL_DROPS];
		*last = *drop;
		last->e.count = 0;
	}
	last->e.count++;
	last->e.when = get_jiffies_64();
unlock:
	spin_unlock(&j->lock);
out:
	local_bh_enable();
}

/**
 * ims_journal_count() - how many refusals or drops have been remembered
 * @in: where
 * @kind: which
 *
 * Context: process, @in->lock held.
 * Return: their number: the last one's is one less.
 */
u32 ims_journal_count(struct ims_net *in, enum ims_ipsec_trace_kind kind)
{
	struct ims_journal *j = in->journal;
	u32 n;

	lockdep_assert_held(&in->lock);

	if (!j)
		return 0;
	spin_lock_bh(&j->lock);
	n = kind == IMS_IPSEC_TRACE_KIND_REFUSAL ? j->n_refusals : j->n_drops;
	spin_unlock_bh(&j->lock);
	return n;
}

/**
 * ims_journal_first() - pass over what has been forgotten
 * @in: where
 * @kind: which
 * @n: a number of ims_journal_count() or below
 *
 * At once, however many there have been: a ring is all that there is to look at.
 *
 * Context: process, @in->lock held.
 * Return: @n, or the number of the oldest one that is remembered, if @n is not.
 */
u32 ims_journal_first(struct ims_net *in, enum ims_ipsec_trace_kind kind, u32 n)
{
	const u32 size = kind == IMS_IPSEC_TRACE_KIND_REFUSAL ? IMS_JOURNAL_REFUSALS :
								IMS_JOURNAL_DROPS;
	const u32 end = ims_journal_count(in, kind);

	return end - n > size ? end - size : n;
}

/**
 * ims_journal_get() - one of the last refusals or drops
 * @in: where
 * @kind: which
 * @n: its number, below ims_journal_count()
 * @item: gets it
 *
 * Context: process, @in->lock held.
 * Return: false if it has been forgotten.
 */
bool ims_journal_get(struct ims_net *in, enum ims_ipsec_trace_kind kind, u32 n,
		     union ims_journal_item *item)
{
	struct ims_journal *j = in->journal;
	bool is_there;

	lockdep_assert_held(&in->lock);

	spin_lock_bh(&j->lock);
	if (kind == IMS_IPSEC_TRACE_KIND_REFUSAL) {
		is_there = j->n_refusals - n <= IMS_JOURNAL_REFUSALS;
		item->refusal = j->refusals[n % IMS_JOURNAL_REFUSALS];
	} else {
		is_there = j->n_drops - n <= IMS_JOURNAL_DROPS;
		item->drop = j->drops[n % IMS_JOURNAL_DROPS];
	}
	spin_unlock_bh(&j->lock);
	return is_there;
}
