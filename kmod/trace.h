/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ims_ipsec

#if !defined(_IMS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _IMS_TRACE_H

#include <linux/tracepoint.h>

/* A bundle's state, enum ims_ipsec_state, becomes another; 0: it is not there. */
TRACE_EVENT(ims_bundle_state,
	    TP_PROTO(u32 id, u8 old_state, u8 new_state, u8 reason),
	    TP_ARGS(id, old_state, new_state, reason),
	    TP_STRUCT__entry(__field(u32, id)
			     __field(u8, old_state)
			     __field(u8, new_state)
			     __field(u8, reason)),
	    TP_fast_assign(__entry->id = id;
			   __entry->old_state = old_state;
			   __entry->new_state = new_state;
			   __entry->reason = reason;),
	    TP_printk("bundle=%u old_state=%u new_state=%u reason=%u",
		      __entry->id, __entry->old_state, __entry->new_state, __entry->reason)
);

/* The guard has dropped a packet: enum ims_ipsec_drop; ports 0 if they were not found. */
TRACE_EVENT(ims_drop,
	    TP_PROTO(u32 endpoint, u8 reason, u8 proto, u16 sport, u16 dport, u32 spi),
	    TP_ARGS(endpoint, reason, proto, sport, dport, spi),
	    TP_STRUCT__entry(__field(u32, endpoint)
			     __field(u32, spi)
			     __field(u16, sport)
			     __field(u16, dport)
			     __field(u8, reason)
			     __field(u8, proto)),
	    TP_fast_assign(__entry->endpoint = endpoint;
			   __entry->spi = spi;
			   __entry->sport = sport;
			   __entry->dport = dport;
			   __entry->reason = reason;
			   __entry->proto = proto;),
	    TP_printk("endpoint=%u reason=%u proto=%u sport=%u dport=%u spi=%#x",
		      __entry->endpoint, __entry->reason, __entry->proto, __entry->sport,
		      __entry->dport, __entry->spi)
);

#endif /* _IMS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
