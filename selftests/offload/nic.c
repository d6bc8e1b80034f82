// SPDX-License-Identifier: GPL-2.0-only
/*
 * A network interface that does not exist, with crypto offload of ESP, and packet offload.
 *
 * What it is given to send goes nowhere, and is counted: with the SA of its own
 * that it came over, which it would encrypt, else as ESP or as anything else.
 * What is written to debugfs, ims_nic/receive, is ESP that it has decrypted, and
 * found authentic. ims_nic/tables says what it has. It warns of whatever is done
 * to it that should not be.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/platform_device.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <net/gro_cells.h>
#include <net/xfrm.h>

#define NIC_FEATURES	(NETIF_F_HW_ESP | NETIF_F_HW_ESP_TX_CSUM | NETIF_F_GSO_ESP)

/* The device became an argument in 6.16: Kbuild looks for it, as it does for the module */
#ifdef IMS_HAVE_STATE_DELETE_DEV
#define NIC_DEV		struct net_device *nic_dev,
#else
#define NIC_DEV
#endif

static unsigned int sas = 1000;
module_param(sas, uint, 0644);
MODULE_PARM_DESC(sas, "It has room for so many SAs");

static int error = ENOSPC;
module_param(error, int, 0644);
MODULE_PARM_DESC(error, "Error where it has none");

static char text[64] = "the table is full";
module_param_string(text, text, sizeof(text), 0644);
MODULE_PARM_DESC(text, "What it says of that; nothing if empty");

static unsigned int wait_add;
module_param(wait_add, uint, 0644);
MODULE_PARM_DESC(wait_add, "The so-manieth SA that it gets from now on waits until waiting is N");

static unsigned int wait_free;
module_param(wait_free, uint, 0644);
MODULE_PARM_DESC(wait_free, "The so-manieth SA that it frees from now on, likewise");

static bool waiting;
module_param(waiting, bool, 0644);
MODULE_PARM_DESC(waiting, "An SA waits");

static unsigned int clash;
module_param(clash, uint, 0644);
MODULE_PARM_DESC(clash, "Somebody else adds the like of the so-manieth SA that it gets from now on");

static unsigned int delete_ms;
module_param(delete_ms, uint, 0644);
MODULE_PARM_DESC(delete_ms, "So long does it take to delete an SA, during which a lock is held");

static bool hardware;
module_param(hardware, bool, 0444);
MODULE_PARM_DESC(hardware, "There is a device behind it, as there is behind a NIC");

static struct platform_device *nic_device;

struct nic_sa {
	struct list_head list;
	struct xfrm_state *x;
	u64 packets;
	bool deleted;
};

static struct net_device *nic;
static struct dentry *nic_dir;
static struct gro_cells nic_cells;
static LIST_HEAD(nic_sas);
static DEFINE_SPINLOCK(nic_lock);
static u64 nic_esp, nic_others;

static int nic_no_room(struct netlink_ext_ack *extack)
{
	int len = strcspn(text, "\n");

	if (len)
		NL_SET_ERR_MSG_FMT(extack, "%.*s", len, text);
	return -error;
}

static bool nic_is_turn(unsigned int *nth)
{
	return *nth && !--*nth;
}

/* As long as it takes who tests what may happen meanwhile */
static void nic_wait(unsigned int *nth)
{
	const unsigned long end = jiffies + 60 * HZ;

	if (!nic_is_turn(nth))
		return;
	WRITE_ONCE(waiting, true);
	while (READ_ONCE(waiting) && !WARN_ON(time_after(jiffies, end)))
		schedule_timeout_uninterruptible(1);
}

/* Nothing goes over it: it is in the way. */
static void nic_add_clash(struct xfrm_state *x)
{
	struct xfrm_state *other = xfrm_state_alloc(xs_net(x));

	if (!other)
		return;
	other->id = x->id;
	other->mark = x->mark;
	other->props.family = x->props.family;
	other->props.saddr = x->props.saddr;
	other->props.mode = x->props.mode;
	other->sel.family = x->sel.family;
	other->km.state = XFRM_STATE_VALID;
	if (!WARN_ON(xfrm_state_add(other)))
		return;
	other->km.state = XFRM_STATE_DEAD;
	xfrm_state_put(other);
}

static int nic_state_add(NIC_DEV struct xfrm_state *x, struct netlink_ext_ack *extack)
{
	struct nic_sa *sa;
	struct nic_sa *other;
	unsigned int n = 0;
	int err = 0;

	/* as drivers of NICs do, which write the IVs themselves */
	if (x->geniv && strcmp(x->geniv, "seqiv") && strcmp(x->geniv, "echainiv"))
		return -EINVAL;
	sa = kzalloc(sizeof(*sa), GFP_KERNEL);
	nic_wait(&wait_add);
	if (nic_is_turn(&clash))
		nic_add_clash(x);
	if (!sa)
		return -ENOMEM;
	sa->x = x;
	spin_lock_bh(&nic_lock);
	list_for_each_entry(other, &nic_sas, list) {
		WARN_ON(other->x == x && !other->deleted);
		n += !other->deleted;
	}
	if (n < sas)
		list_add_tail(&sa->list, &nic_sas);
	else
		err = nic_no_room(extack);
	spin_unlock_bh(&nic_lock);
	if (err) {
		kfree(sa);
		return err;
	}
	x->xso.offload_handle = (unsigned long)sa;
	return 0;
}

/* Under x->lock */
static void nic_state_delete(NIC_DEV struct xfrm_state *x)
{
	struct nic_sa *sa = (struct nic_sa *)x->xso.offload_handle;

	mdelay(delete_ms);
	spin_lock_bh(&nic_lock);
	if (!WARN_ON(!sa)) {
		WARN_ON(sa->x != x || sa->deleted);
		sa->deleted = true;
	}
	spin_unlock_bh(&nic_lock);
}

static void nic_state_free(NIC_DEV struct xfrm_state *x)
{
	struct nic_sa *sa = (struct nic_sa *)x->xso.offload_handle;

	if (WARN_ON(!sa))
		return;
	nic_wait(&wait_free);
	spin_lock_bh(&nic_lock);
	/* @x need not be the SA itself, which has no more to do with it */
	WARN_ON(!sa->deleted);
	list_del(&sa->list);
	spin_unlock_bh(&nic_lock);
	x->xso.offload_handle = 0;
	kfree(sa);
}

static bool nic_offload_ok(struct sk_buff *skb, struct xfrm_state *x)
{
	return true;
}

/* Packet offload, which is only to show what XFRM makes of it */
static int nic_policy_add(struct xfrm_policy *pol, struct netlink_ext_ack *extack)
{
	return 0;
}

static const struct xfrmdev_ops nic_xfrmdev_ops = {
	.xdo_dev_state_add = nic_state_add,
	.xdo_dev_state_delete = nic_state_delete,
	.xdo_dev_state_free = nic_state_free,
	.xdo_dev_offload_ok = nic_offload_ok,
	.xdo_dev_policy_add = nic_policy_add,
};

static bool nic_is_esp(const struct sk_buff *skb)
{
	return skb->protocol == htons(ETH_P_IPV6) ? ipv6_hdr(skb)->nexthdr == IPPROTO_ESP :
						    ip_hdr(skb)->protocol == IPPROTO_ESP;
}

/* The SA that XFRM has left a packet's encryption to */
static struct nic_sa *nic_find_sa(const struct sk_buff *skb, const struct net_device *dev)
{
	const struct sec_path *sp = skb_sec_path(skb);
	const struct xfrm_state *x = sp && sp->len ? sp->xvec[sp->len - 1] : NULL;
	struct nic_sa *sa;

	if (!x || x->xso.dev != dev)
		return NULL;
	sa = (struct nic_sa *)x->xso.offload_handle;
	return sa && !WARN_ON(sa->x != x) && !sa->deleted ? sa : NULL;
}

static netdev_tx_t nic_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct nic_sa *sa;

	spin_lock_bh(&nic_lock);
	sa = nic_find_sa(skb, dev);
	if (sa)
		sa->packets++;
	else if (nic_is_esp(skb))
		nic_esp++;
	else
		nic_others++;
	spin_unlock_bh(&nic_lock);
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops nic_netdev_ops = {
	.ndo_start_xmit = nic_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static int nic_tables_show(struct seq_file *m, void *v)
{
	unsigned int leaving = 0;
	struct nic_sa *sa;

	spin_lock_bh(&nic_lock);
	list_for_each_entry(sa, &nic_sas, list) {
		leaving += sa->deleted;
		if (!sa->deleted)
			seq_printf(m, "sa %u %s %llu\n", ntohl(sa->x->id.spi),
				   sa->x->xso.dir == XFRM_DEV_OFFLOAD_IN ? "in" : "out",
				   sa->packets);
	}
	seq_printf(m, "leaving %u\nesp %llu\nothers %llu\n", leaving, nic_esp, nic_others);
	spin_unlock_bh(&nic_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(nic_tables);

/* The SA that an ESP packet is for, if it is one of its own; without, software sees to it */
static bool nic_add_sa(struct sk_buff *skb, __be32 spi)
{
	struct sec_path *sp = secpath_set(skb);
	struct nic_sa *sa, *found = NULL;

	if (!sp)
		return false;
	spin_lock_bh(&nic_lock);
	list_for_each_entry(sa, &nic_sas, list)
		if (!sa->deleted && sa->x->xso.dir == XFRM_DEV_OFFLOAD_IN && sa->x->id.spi == spi)
			found = sa;
	if (found) {
		found->packets++;
		xfrm_state_hold(found->x);
		sp->xvec[sp->len++] = found->x;
		sp->ovec[sp->olen].flags = CRYPTO_DONE;
		sp->ovec[sp->olen++].status = CRYPTO_SUCCESS;
	}
	spin_unlock_bh(&nic_lock);
	return found;
}

static ssize_t nic_receive_write(struct file *file, const char __user *buf, size_t count,
				 loff_t *ppos)
{
	const unsigned int ip_at = sizeof(struct ethhdr);
	struct sk_buff *skb;
	__be32 spi;
	bool six;
	int at;

	if (count < sizeof(struct iphdr) || count > 1500)
		return -EINVAL;
	skb = netdev_alloc_skb(nic, ip_at + count);
	if (!skb)
		return -ENOMEM;
	skb_put_zero(skb, ip_at);
	if (copy_from_user(skb_put(skb, count), buf, count))
		goto invalid;
	six = skb->data[ip_at] >> 4 == 6;
	ether_addr_copy(skb->data, nic->dev_addr);
	put_unaligned_be16(six ? ETH_P_IPV6 : ETH_P_IP, skb->data + 2 * ETH_ALEN);
	at = ip_at + (six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	if (skb_copy_bits(skb, at, &spi, sizeof(spi)) || !nic_add_sa(skb, spi))
		goto invalid;
	skb->protocol = eth_type_trans(skb, nic);
	local_bh_disable();
	gro_cells_receive(&nic_cells, skb);
	local_bh_enable();
	return count;

invalid:
	kfree_skb(skb);
	return -EINVAL;
}

static const struct file_operations nic_receive_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = nic_receive_write,
};

static int __init nic_init(void)
{
	int err;

	nic = alloc_etherdev(0);
	if (!nic)
		return -ENOMEM;
	strscpy(nic->name, "nic%d", IFNAMSIZ);
	eth_hw_addr_random(nic);
	nic->netdev_ops = &nic_netdev_ops;
	nic->xfrmdev_ops = &nic_xfrmdev_ops;
	nic->flags |= IFF_NOARP;
	nic->priv_flags |= IFF_NO_QUEUE;
	nic->features |= NIC_FEATURES;
	nic->hw_features |= NIC_FEATURES | NETIF_F_RXALL;
	nic->hw_enc_features |= NIC_FEATURES;
	dev_net_set(nic, current->nsproxy->net_ns);
	if (hardware) {
		nic_device = platform_device_register_simple("ims_nic", PLATFORM_DEVID_NONE,
							     NULL, 0);
		if (IS_ERR(nic_device)) {
			err = PTR_ERR(nic_device);
			nic_device = NULL;
			goto free;
		}
		SET_NETDEV_DEV(nic, &nic_device->dev);
	}
	err = gro_cells_init(&nic_cells, nic);
	if (err)
		goto free;
	err = register_netdev(nic);
	if (err)
		goto cells;
	nic_dir = debugfs_create_dir("ims_nic", NULL);
	debugfs_create_file("tables", 0400, nic_dir, NULL, &nic_tables_fops);
	debugfs_create_file("receive", 0200, nic_dir, NULL, &nic_receive_fops);
	return 0;

cells:
	gro_cells_destroy(&nic_cells);
free:
	free_netdev(nic);
	platform_device_unregister(nic_device);
	return err;
}

static void __exit nic_exit(void)
{
	debugfs_remove_recursive(nic_dir);
	unregister_netdev(nic);
	/* Who holds one has held the device, too, and it would still be waited for */
	WARN_ON(!list_empty(&nic_sas));
	gro_cells_destroy(&nic_cells);
	free_netdev(nic);
	platform_device_unregister(nic_device);
}

module_init(nic_init);
module_exit(nic_exit);
MODULE_DESCRIPTION("Network interface with ESP offload that does not exist, for tests");
MODULE_LICENSE("GPL");
