// SPDX-License-Identifier: GPL-2.0-only
/* Requests of a SIP server for each message: which bundle it came over, and which to send over. */
#include "bundle.h"
#include "compat.h"
#include "find.h"
#include "netlink.h"
#include "netns.h"

/*
 * Anybody can have a bundle made in another one's name. Whether a packet was authenticated by it is
 * what a SIP server asks next, so that the answer has it.
 */
static int ims_netlink_put_proof(struct sk_buff *skb, const struct ims_bundle *b)
{
	struct ims_bundle_counters c;

	if (b->state != IMS_IPSEC_STATE_TEMPORARY)
		return 0;
	ims_bundle_count(b, &c);
	return nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_RX_PACKETS, c.rx_packets,
				 IMS_IPSEC_A_BUNDLE_PAD);
}

/*
 * The answer, under struct ims_net.lock, so that it is made as large as it will be: netlink copies
 * what fills less than half of its room.
 */
static int ims_netlink_answer_brief(struct genl_info *info, const struct ims_bundle *b,
				    bool tcp_only)
{
	struct sk_buff *reply;
	void *hdr;
	int err;

	reply = ims_netlink_reply_new(info, ims_netlink_bundle_brief_size(b) +
				      nla_total_size_64bit(sizeof(u64)), &hdr);
	if (!reply)
		return -ENOMEM;
	err = ims_netlink_put_bundle_brief(reply, b) ?: ims_netlink_put_proof(reply, b);
	if (!err && tcp_only)
		err = nla_put_flag(reply, IMS_IPSEC_A_BUNDLE_TCP_ONLY);
	return ims_netlink_reply(reply, hdr, info, err);
}

/* What is asked for is one of several things: the others must not be there. */
static int ims_netlink_check_alone(struct genl_info *info, int attr)
{
	return ims_netlink_check_attrs(info->nlhdr, BIT_ULL(attr), 0, info->extack);
}

static struct ims_bundle *ims_netlink_find_rx(struct ims_net *in, struct genl_info *info,
					      const struct ims_tuple *t, bool *tcp_only)
{
	struct nlattr **a = info->attrs;
	struct ims_bundle *b = NULL;

	if (a[IMS_IPSEC_A_BUNDLE_SPI]) {
		b = ims_find_spi(in, nla_get_be32(a[IMS_IPSEC_A_BUNDLE_SPI]));
		if (!b)
			NL_SET_ERR_MSG(info->extack, "no bundle has this SPI");
	} else if (a[IMS_IPSEC_A_BUNDLE_MARK]) {
		b = ims_find_mark(in, nla_get_u32(a[IMS_IPSEC_A_BUNDLE_MARK]));
		if (!b)
			NL_SET_ERR_MSG(info->extack, "no bundle has this mark");
	} else {
		return ims_find_tuple(in, t, tcp_only, info->extack);
	}
	return b ?: ERR_PTR(-ENOENT);
}

static int ims_netlink_get_tuple(struct ims_tuple *t, struct genl_info *info)
{
	struct nlattr **a = info->attrs;
	int err;

	err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ADDRESS, IMS_IPSEC_A_BUNDLE_LOCAL_PORT,
			  IMS_IPSEC_A_BUNDLE_UE_ADDRESS, IMS_IPSEC_A_BUNDLE_UE_PORT);
	if (!err)
		err = ims_netlink_get_addr(&t->src, a[IMS_IPSEC_A_BUNDLE_ADDRESS], info->extack);
	if (!err)
		err = ims_netlink_get_addr(&t->dst, a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS],
					   info->extack);
	if (err)
		return err;
	t->sport = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_LOCAL_PORT]);
	t->dport = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_UE_PORT]);
	return 0;
}

int ims_ipsec_nl_bundle_find_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct nlattr **a = info->attrs;
	bool tcp_only = false;
	struct ims_tuple t;
	struct ims_bundle *b;
	int err;

	if (a[IMS_IPSEC_A_BUNDLE_SPI])
		err = ims_netlink_check_alone(info, IMS_IPSEC_A_BUNDLE_SPI);
	else if (a[IMS_IPSEC_A_BUNDLE_MARK])
		err = ims_netlink_check_alone(info, IMS_IPSEC_A_BUNDLE_MARK);
	else
		err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, 0, info->extack) ?:
		      ims_netlink_get_tuple(&t, info);
	if (err)
		return err;

	mutex_lock(&in->lock);
	b = ims_netlink_find_rx(in, info, &t, &tcp_only);
	err = IS_ERR(b) ? PTR_ERR(b) : ims_netlink_answer_brief(info, b, tcp_only);
	mutex_unlock(&in->lock);
	return err;
}

/* Of which registration? In a request there is one of three things. */
static int ims_netlink_get_tx(struct ims_tuple *t, struct genl_info *info)
{
	const u64 name = BIT_ULL(IMS_IPSEC_A_BUNDLE_OWNER) | BIT_ULL(IMS_IPSEC_A_BUNDLE_CONTACT);
	struct nlattr **a = info->attrs;
	int err;

	if (a[IMS_IPSEC_A_BUNDLE_ID])
		return ims_netlink_check_alone(info, IMS_IPSEC_A_BUNDLE_ID);
	if (a[IMS_IPSEC_A_BUNDLE_OWNER]) {
		err = ims_netlink_check_attrs(info->nlhdr, name, 0, info->extack);
		if (!err)
			err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_CONTACT);
		return err ?: ims_netlink_check_names(a, info->extack);
	}
	err = ims_netlink_check_attrs(info->nlhdr, ~name, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_UE_ADDRESS,
				  IMS_IPSEC_A_BUNDLE_UE_PORT);
	if (!err)
		err = ims_netlink_get_addr(&t->dst, a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS],
					   info->extack);
	if (!err && a[IMS_IPSEC_A_BUNDLE_ADDRESS])
		err = ims_netlink_get_addr(&t->src, a[IMS_IPSEC_A_BUNDLE_ADDRESS], info->extack);
	if (!err)
		t->dport = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_UE_PORT]);
	return err;
}

static struct ims_bundle *ims_netlink_find_tx(struct ims_net *in, struct genl_info *info)
{
	const struct ims_registration *reg;
	struct nlattr **a = info->attrs;
	struct ims_bundle *b;

	if (a[IMS_IPSEC_A_BUNDLE_ID]) {
		b = ims_netlink_find_bundle(in, a[IMS_IPSEC_A_BUNDLE_ID], info->extack);
		if (!b)
			return NULL;
		reg = b->reg;
	} else {
		const struct ims_name name = {
			.owner = nla_data(a[IMS_IPSEC_A_BUNDLE_OWNER]),
			.owner_len = nla_len(a[IMS_IPSEC_A_BUNDLE_OWNER]),
			.contact = nla_data(a[IMS_IPSEC_A_BUNDLE_CONTACT]),
			.contact_len = nla_len(a[IMS_IPSEC_A_BUNDLE_CONTACT]),
		};

		reg = ims_registration_find(in, &name);
	}
	b = reg ? ims_registration_sent_over(reg, NULL) : NULL;
	if (!b)
		NL_SET_ERR_MSG(info->extack, "the registration has no confirmed bundle");
	return b;
}

int ims_ipsec_nl_bundle_tx_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_tuple t = {};
	struct ims_bundle *b;
	int err;

	err = ims_netlink_get_tx(&t, info);
	if (err)
		return err;

	mutex_lock(&in->lock);
	if (t.dport)
		b = ims_find_tx_at(in, &t.src, &t.dst, t.dport, info->extack);
	else
		b = ims_netlink_find_tx(in, info) ?: ERR_PTR(-ENOENT);
	err = IS_ERR(b) ? PTR_ERR(b) : ims_netlink_answer_brief(info, b, false);
	mutex_unlock(&in->lock);
	return err;
}
