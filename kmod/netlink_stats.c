// SPDX-License-Identifier: GPL-2.0-only
/* Requests about what has happened: statistics, and the last refusals and drops. */
#include <linux/bits.h>
#include <linux/jiffies.h>
#include <net/sock.h>

#include "compat.h"
#include "journal.h"
#include "limit.h"
#include "netlink.h"
#include "netns.h"

static int ims_netlink_put_events(struct sk_buff *skb, const struct ims_net *in)
{
	static const int attrs[] = {
		[IMS_IPSEC_EVENT_TYPE_CREATED] = IMS_IPSEC_A_STATS_CREATED,
		[IMS_IPSEC_EVENT_TYPE_CONFIRMED] = IMS_IPSEC_A_STATS_CONFIRMED,
		[IMS_IPSEC_EVENT_TYPE_EXPIRED] = IMS_IPSEC_A_STATS_EXPIRED,
		[IMS_IPSEC_EVENT_TYPE_DELETED] = IMS_IPSEC_A_STATS_DELETED,
		[IMS_IPSEC_EVENT_TYPE_ACTIVATED] = IMS_IPSEC_A_STATS_ACTIVATED,
		[IMS_IPSEC_EVENT_TYPE_SUPERSEDED] = IMS_IPSEC_A_STATS_SUPERSEDED,
		[IMS_IPSEC_EVENT_TYPE_NAT_MAPPING] = IMS_IPSEC_A_STATS_NAT_MAPPINGS,
		[IMS_IPSEC_EVENT_TYPE_OFFLOAD_FALLBACK] = IMS_IPSEC_A_STATS_OFFLOAD_FALLBACKS,
		[IMS_IPSEC_EVENT_TYPE_NEARLY_FULL] = IMS_IPSEC_A_STATS_NEARLY_FULL,
	};
	int i;

	static_assert(ARRAY_SIZE(attrs) == IMS_EVENT_TYPES);
	for (i = 1; i < IMS_EVENT_TYPES; i++)
		if (nla_put_u64_64bit(skb, attrs[i], in->n_events[i], IMS_IPSEC_A_STATS_PAD))
			return -EMSGSIZE;
	return 0;
}

static int ims_netlink_put_usage(struct sk_buff *skb, const struct ims_net *in)
{
	static const struct {
		int used;
		int limit;
	} attrs[] = {
		[IMS_IPSEC_RESOURCE_ENDPOINTS] = {
			IMS_IPSEC_A_STATS_ENDPOINTS, IMS_IPSEC_A_STATS_MAX_ENDPOINTS,
		},
		[IMS_IPSEC_RESOURCE_REGISTRATIONS] = {
			IMS_IPSEC_A_STATS_REGISTRATIONS, IMS_IPSEC_A_STATS_MAX_REGISTRATIONS,
		},
		[IMS_IPSEC_RESOURCE_BUNDLES] = {
			IMS_IPSEC_A_STATS_BUNDLES, IMS_IPSEC_A_STATS_MAX_BUNDLES,
		},
		[IMS_IPSEC_RESOURCE_PENDING] = {
			IMS_IPSEC_A_STATS_PENDING, IMS_IPSEC_A_STATS_MAX_PENDING,
		},
		[IMS_IPSEC_RESOURCE_SPIS] = {
			IMS_IPSEC_A_STATS_SPIS_USED, IMS_IPSEC_A_STATS_SPIS,
		},
	};
	struct ims_usage u;
	int i;

	static_assert(ARRAY_SIZE(attrs) == IMS_RESOURCES);
	for (i = 1; i < IMS_RESOURCES; i++) {
		u = ims_limit_usage(in, i);
		if (nla_put_u32(skb, attrs[i].used, u.used) ||
		    nla_put_u32(skb, attrs[i].limit, u.limit))
			return -EMSGSIZE;
	}
	return 0;
}

static int ims_netlink_put_stats(struct sk_buff *skb, const struct ims_net *in)
{
	if (ims_netlink_put_usage(skb, in) ||
	    nla_put_u32(skb, IMS_IPSEC_A_STATS_NAT_BUNDLES, in->n_nat) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_STATS_REFUSED, in->n_refused,
			      IMS_IPSEC_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_STATS_EVENTS, in->event_seq,
			      IMS_IPSEC_A_STATS_PAD))
		return -EMSGSIZE;
	return ims_netlink_put_events(skb, in);
}

int ims_ipsec_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct sk_buff *reply;
	void *hdr;
	int err;

	reply = ims_netlink_reply_new(info, NLMSG_DEFAULT_SIZE, &hdr);
	if (!reply)
		return -ENOMEM;
	mutex_lock(&in->lock);
	err = ims_netlink_put_stats(reply, in);
	mutex_unlock(&in->lock);
	return ims_netlink_reply(reply, hdr, info, err);
}

static int ims_netlink_put_entry(struct sk_buff *skb, const struct ims_journal_entry *e, u32 kind)
{
	const u64 ago = jiffies64_to_msecs(get_jiffies_64() - e->when);

	if (nla_put_u32(skb, IMS_IPSEC_A_TRACE_KIND, kind) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_TRACE_AGO, ago, IMS_IPSEC_A_TRACE_PAD) ||
	    nla_put_u32(skb, IMS_IPSEC_A_TRACE_COUNT, e->count) ||
	    (e->endpoint && nla_put_u32(skb, IMS_IPSEC_A_TRACE_ENDPOINT, e->endpoint)))
		return -EMSGSIZE;
	return 0;
}

static int ims_netlink_put_refusal(struct sk_buff *skb, const struct ims_journal_refusal *r)
{
	if (ims_netlink_put_entry(skb, &r->e, IMS_IPSEC_TRACE_KIND_REFUSAL) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_TRACE_UE_ADDRESS, &r->ue_addr) ||
	    nla_put(skb, IMS_IPSEC_A_TRACE_OWNER, r->owner_len, r->owner) ||
	    nla_put(skb, IMS_IPSEC_A_TRACE_CONTACT, r->contact_len, r->contact) ||
	    nla_put_be16(skb, IMS_IPSEC_A_TRACE_PORT_UC, r->port_uc) ||
	    nla_put_be16(skb, IMS_IPSEC_A_TRACE_PORT_US, r->port_us) ||
	    nla_put_be32(skb, IMS_IPSEC_A_TRACE_SPI_UC, r->spi_uc) ||
	    nla_put_be32(skb, IMS_IPSEC_A_TRACE_SPI_US, r->spi_us) ||
	    nla_put_u32(skb, IMS_IPSEC_A_TRACE_ERROR, r->err) ||
	    (*r->text && nla_put_string(skb, IMS_IPSEC_A_TRACE_TEXT, r->text)))
		return -EMSGSIZE;
	return 0;
}

static int ims_netlink_put_drop(struct sk_buff *skb, const struct ims_journal_drop *d)
{
	if (ims_netlink_put_entry(skb, &d->e, IMS_IPSEC_TRACE_KIND_DROP) ||
	    nla_put_u32(skb, IMS_IPSEC_A_TRACE_DROP, d->drop) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_TRACE_SOURCE, &d->t.src) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_TRACE_DESTINATION, &d->t.dst) ||
	    (d->has_ports &&
	     (nla_put_be16(skb, IMS_IPSEC_A_TRACE_SOURCE_PORT, d->t.sport) ||
	      nla_put_be16(skb, IMS_IPSEC_A_TRACE_DESTINATION_PORT, d->t.dport))) ||
	    nla_put_u8(skb, IMS_IPSEC_A_TRACE_PROTOCOL, d->proto) ||
	    (d->spi && nla_put_be32(skb, IMS_IPSEC_A_TRACE_SPI, d->spi)))
		return -EMSGSIZE;
	return 0;
}

static bool ims_netlink_is_of_ue(enum ims_ipsec_trace_kind kind, const union ims_journal_item *item,
				 const struct ims_addr *ue)
{
	if (kind == IMS_IPSEC_TRACE_KIND_REFUSAL)
		return ims_addr_equal(ue, &item->refusal.ue_addr);
	return ims_addr_equal(ue, &item->drop.t.src) || ims_addr_equal(ue, &item->drop.t.dst);
}

/* Where a dump is among those of a kind */
static long *ims_netlink_trace_pos(struct netlink_callback *cb, enum ims_ipsec_trace_kind kind)
{
	return &cb->args[kind - IMS_IPSEC_TRACE_KIND_REFUSAL];
}

/* The next of a kind that is not forgotten and of that UE; @ue: NULL: any */
static bool ims_netlink_next_trace(struct ims_net *in, enum ims_ipsec_trace_kind kind,
				   union ims_journal_item *item, struct netlink_callback *cb,
				   const struct ims_addr *ue)
{
	const u32 end = ims_journal_count(in, kind);
	long *n = ims_netlink_trace_pos(cb, kind);

	*n = ims_journal_first(in, kind, *n);
	for (; (u32)*n != end; ++*n)
		if (ims_journal_get(in, kind, *n, item) &&
		    (!ue || ims_netlink_is_of_ue(kind, item, ue)))
			return true;
	return false;
}

/* The next of each kind: the two rings are merged by time. */
struct ims_netlink_traces {
	union ims_journal_item refusal;
	union ims_journal_item drop;
};

static int ims_netlink_put_traces(struct sk_buff *skb, struct netlink_callback *cb,
				  struct ims_net *in, struct ims_netlink_traces *t,
				  const struct ims_addr *ue)
{
	enum ims_ipsec_trace_kind kind;
	bool has_refusal, has_drop;
	void *hdr;
	int err;

	for (;;) {
		has_refusal = ims_netlink_next_trace(in, IMS_IPSEC_TRACE_KIND_REFUSAL, &t->refusal,
						     cb, ue);
		has_drop = ims_netlink_next_trace(in, IMS_IPSEC_TRACE_KIND_DROP, &t->drop, cb, ue);
		if (!has_refusal && !has_drop)
			return 0;
		kind = IMS_IPSEC_TRACE_KIND_DROP;
		if (has_refusal && (!has_drop || t->refusal.e.when <= t->drop.e.when))
			kind = IMS_IPSEC_TRACE_KIND_REFUSAL;
		hdr = ims_netlink_put_dump_header(skb, cb, IMS_IPSEC_CMD_TRACE_GET);
		if (!hdr)
			return -EMSGSIZE;
		err = kind == IMS_IPSEC_TRACE_KIND_REFUSAL ?
			      ims_netlink_put_refusal(skb, &t->refusal.refusal) :
			      ims_netlink_put_drop(skb, &t->drop.drop);
		if (err) {
			genlmsg_cancel(skb, hdr);
			return err;
		}
		genlmsg_end(skb, hdr);
		++*ims_netlink_trace_pos(cb, kind);
	}
}

int ims_ipsec_nl_trace_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct nlattr *nla = ims_compat_dump_attrs(cb)[IMS_IPSEC_A_TRACE_UE_ADDRESS];
	struct ims_net *in = ims_net(sock_net(skb->sk));
	struct ims_netlink_traces *t;
	struct ims_addr ue;
	int err;

	err = ims_netlink_check_dump(cb, BIT(IMS_IPSEC_A_TRACE_UE_ADDRESS));
	if (!err && nla)
		err = ims_netlink_get_addr(&ue, nla, cb->extack);
	if (err)
		return err;
	t = kmalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	mutex_lock(&in->lock);
	ims_netlink_put_traces(skb, cb, in, t, nla ? &ue : NULL);
	mutex_unlock(&in->lock);
	kfree(t);
	return skb->len;
}
