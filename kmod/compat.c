// SPDX-License-Identifier: GPL-2.0-only
#include <linux/ims_ipsec.h>
#include <linux/init.h>

#include "compat.h"

#ifdef IMS_COMPAT_ERR_MSG

#include <linux/kernel.h>
#include <linux/string.h>

/*
 * Where there is room for a text. It is kept in the ack's cookie, which has a length of 0 and so
 * is not sent; one that nobody has lent room to is all zeroes.
 */
struct ims_compat_room {
	char *text;
	size_t size;
};

/**
 * ims_compat_lend_text() - lend an extended ack room for a text
 * @extack: the ack
 * @text: the room, of this caller alone; to stay until nobody reads the ack's text any more
 * @size: bytes of that
 *
 * Context: any.
 */
void ims_compat_lend_text(struct netlink_ext_ack *extack, char *text, size_t size)
{
	const struct ims_compat_room room = { text, size };

	static_assert(sizeof(room) <= sizeof(extack->cookie));
	if (extack)
		memcpy(extack->cookie, &room, sizeof(room));
}

/**
 * ims_compat_set_err_msg() - NL_SET_ERR_MSG_FMT() where there is none
 * @extack: may be NULL
 * @fmt: as printf()
 *
 * Context: any.
 */
void ims_compat_set_err_msg(struct netlink_ext_ack *extack, const char *fmt, ...)
{
	struct ims_compat_room room;
	va_list args;

	if (!extack)
		return;
	memcpy(&room, extack->cookie, sizeof(room));
	if (!room.text) {
		NL_SET_ERR_MSG(extack, "refused, and there is no room for the reason");
		return;
	}
	va_start(args, fmt);
	vsnprintf(room.text, room.size, fmt, args);
	va_end(args);
	extack->_msg = room.text;
}

/**
 * ims_compat_pre_doit() - serve a request, and answer it
 * @ops: the request's operation
 * @skb: the request
 * @info: the request
 *
 * The kernel reads the text of an answer after the operation, without a lock: whoever lends room
 * for one has to have the answer sent before it takes the room back.
 *
 * Context: process, sleeps; as a genl_family's pre_doit.
 * Return: -EINTR, by which neither the operation nor an answer follows.
 */
int ims_compat_pre_doit(const struct genl_ops *ops, struct sk_buff *skb, struct genl_info *info)
{
	char text[IMS_COMPAT_TEXT_MAX];
	int err;

	ims_compat_lend_text(info->extack, text, sizeof(text));
	err = ops->doit(skb, info);
	if (err || info->nlhdr->nlmsg_flags & NLM_F_ACK)
		netlink_ack(skb, info->nlhdr, err, info->extack);
	return -EINTR;
}

#endif /* IMS_COMPAT_ERR_MSG */

#ifdef IMS_HAVE_GENL_SPLIT_OPS

/* Where an operation has no policy, the core takes any attribute, and does not look at it. */
static const struct nla_policy ims_compat_reject[] = {
	{ .type = NLA_REJECT },
	{ .type = NLA_REJECT },
};

static struct genl_split_ops ims_compat_ops[2 * IMS_IPSEC_CMD_MAX] __ro_after_init;

/**
 * ims_compat_set_ops() - give a family its operations
 * @family: the family, not registered yet
 * @ops: its operations, both ways of one side by side
 * @n_ops: how many entries
 *
 * Return: 0, or -EINVAL for what this is not made for.
 */
int __init ims_compat_set_ops(struct genl_family *family, const struct genl_split_ops *ops,
			      unsigned int n_ops)
{
	unsigned int i;

	if (n_ops > ARRAY_SIZE(ims_compat_ops))
		return -EINVAL;
	for (i = 0; i < n_ops; i++) {
		ims_compat_ops[i] = ops[i];
		if (ops[i].policy)
			continue;
		ims_compat_ops[i].policy = ims_compat_reject;
		ims_compat_ops[i].maxattr = ARRAY_SIZE(ims_compat_reject) - 1;
	}
	family->split_ops = ims_compat_ops;
	family->n_split_ops = n_ops;
	return 0;
}

#else

static struct genl_ops ims_compat_ops[IMS_IPSEC_CMD_MAX] __ro_after_init;
/* Of the one operation that takes attributes both ways, bundle-get: what either takes */
static struct nla_policy ims_compat_policy[IMS_IPSEC_A_BUNDLE_MAX + 1] __ro_after_init;
static bool ims_compat_has_joined __initdata;

static int __init ims_compat_join_policies(struct genl_ops *op, const struct genl_split_ops *other)
{
	unsigned int i;

	if (!other->policy)
		return 0;
	if (!op->policy) {
		op->policy = other->policy;
		op->maxattr = other->maxattr;
		return 0;
	}
	if (ims_compat_has_joined || max(op->maxattr, other->maxattr) > IMS_IPSEC_A_BUNDLE_MAX)
		return -EINVAL;
	for (i = 0; i <= op->maxattr; i++)
		memcpy(&ims_compat_policy[i], &op->policy[i], sizeof(*op->policy));
	for (i = 0; i <= other->maxattr; i++)
		if (other->policy[i].type != NLA_UNSPEC)
			memcpy(&ims_compat_policy[i], &other->policy[i], sizeof(*op->policy));
	ims_compat_has_joined = true;
	op->policy = ims_compat_policy;
	op->maxattr = max(op->maxattr, other->maxattr);
	return 0;
}

/* The same, for a table that has one entry an operation. */
int __init ims_compat_set_ops(struct genl_family *family, const struct genl_split_ops *ops,
			      unsigned int n_ops)
{
	struct genl_ops *op = NULL;
	unsigned int i, n = 0;
	int err;

	for (i = 0; i < n_ops; i++) {
		if (!op || op->cmd != ops[i].cmd) {
			if (n == ARRAY_SIZE(ims_compat_ops))
				return -EINVAL;
			op = &ims_compat_ops[n++];
			op->cmd = ops[i].cmd;
			op->flags = ops[i].flags & ~(GENL_CMD_CAP_DO | GENL_CMD_CAP_DUMP);
		}
		if (ops[i].doit)
			op->doit = ops[i].doit;
		if (ops[i].dumpit)
			op->dumpit = ops[i].dumpit;
		err = ims_compat_join_policies(op, &ops[i]);
		if (err)
			return err;
	}
	family->ops = ims_compat_ops;
	family->n_ops = n;
	return 0;
}

#endif /* IMS_HAVE_GENL_SPLIT_OPS */
