/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_JOURNAL_H
#define _IMS_JOURNAL_H

#include <linux/ims_ipsec.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "addr.h"

struct ims_bundle_params;
struct ims_net;

/* How many are remembered */
#define IMS_JOURNAL_REFUSALS	64
#define IMS_JOURNAL_DROPS	256
/* Bytes of a name, and of a text with its NUL */
#define IMS_JOURNAL_NAME_MAX	64
#define IMS_JOURNAL_TEXT_MAX	80

/**
 * struct ims_journal_entry - what all entries begin with
 * @when: jiffies of the last time, 0: there is no entry
 * @count: how often, one after the other
 * @endpoint: its id
 */
struct ims_journal_entry {
	u64 when;
	u32 count;
	u32 endpoint;
};

/**
 * struct ims_journal_refusal - a bundle-new that failed
 * @e: when and where
 * @err: the errno, positive
 * @ue_addr: the UE's address, as are what follows the UE's
 * @port_uc: its protected client port
 * @port_us: its protected server port
 * @spi_uc: SPI of its inbound SA at @port_uc
 * @spi_us: SPI of its inbound SA at @port_us
 * @owner_len: bytes of @owner
 * @contact_len: bytes of @contact
 * @owner: the subscriber, its beginning
 * @contact: the contact, its beginning
 * @text: what the answer said, may be empty
 */
struct ims_journal_refusal {
	struct ims_journal_entry e;
	u32 err;
	struct ims_addr ue_addr;
	__be16 port_uc;
	__be16 port_us;
	__be32 spi_uc;
	__be32 spi_us;
	u8 owner_len;
	u8 contact_len;
	u8 owner[IMS_JOURNAL_NAME_MAX];
	u8 contact[IMS_JOURNAL_NAME_MAX];
	char text[IMS_JOURNAL_TEXT_MAX];
};

/**
 * struct ims_journal_drop - a packet that was dropped, or that a UE will drop
 * @e: when and where
 * @t: its addresses, and ports
 * @spi: of the SA that it came over, or would have left over, 0: none
 * @has_ports: they were found
 * @proto: transport protocol
 * @drop: enum ims_ipsec_drop
 */
struct ims_journal_drop {
	struct ims_journal_entry e;
	struct ims_tuple t;
	__be32 spi;
	bool has_ports;
	u8 proto;
	u8 drop;
};

/**
 * union ims_journal_item - an entry of either kind
 * @e: what both begin with
 * @refusal: IMS_IPSEC_TRACE_KIND_REFUSAL
 * @drop: IMS_IPSEC_TRACE_KIND_DROP
 */
union ims_journal_item {
	struct ims_journal_entry e;
	struct ims_journal_refusal refusal;
	struct ims_journal_drop drop;
};

/**
 * struct ims_journal - the last refusals and drops of a namespace
 * @lock: protects all that follows
 * @n_refusals: how many there have been; the next one's place, modulo their number
 * @n_drops: likewise
 * @window: jiffies when drops were last counted anew
 * @in_window: new ones since then
 * @refusals: a ring
 * @drops: a ring
 */
struct ims_journal {
	spinlock_t lock;	/* all that follows */
	u32 n_refusals;
	u32 n_drops;
	unsigned long window;
	u32 in_window;
	struct ims_journal_refusal refusals[IMS_JOURNAL_REFUSALS];
	struct ims_journal_drop drops[IMS_JOURNAL_DROPS];
};

int ims_journal_open(struct ims_net *in);
void ims_journal_close(struct ims_net *in);
void ims_journal_add_refusal(struct ims_net *in, const struct ims_bundle_params *p, u32 endpoint,
			     int err, const char *text);
void ims_journal_add_drop(struct ims_net *in, const struct ims_journal_drop *drop);
u32 ims_journal_first(struct ims_net *in, enum ims_ipsec_trace_kind kind, u32 n);
u32 ims_journal_count(struct ims_net *in, enum ims_ipsec_trace_kind kind);
bool ims_journal_get(struct ims_net *in, enum ims_ipsec_trace_kind kind, u32 n,
		     union ims_journal_item *item);

#endif /* _IMS_JOURNAL_H */
