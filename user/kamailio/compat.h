/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What differs between Kamailio 5.6 and 6.0. */
#ifndef IMS_IPSEC_COMPAT_H
#define IMS_IPSEC_COMPAT_H

#include "core/socket_info.h"
#include "core/str.h"

#if VERSIONVAL >= 6000000
/* A socket may belong to a group of processes for asynchronous work. */
static inline int compat_listen(str *address, unsigned short port, int proto, char *name,
				str *group)
{
	socket_attrs_t attrs = {
		.bindaddr = *address, .bindproto = proto, .bindport = port, .bindportend = port,
		.agname = *group,
	};

	if (name) {
		attrs.sockname.s = name;
		attrs.sockname.len = strlen(name);
	}
	return add_listen_socket(&attrs);
}
#else
static inline int compat_listen(str *address, unsigned short port, int proto, char *name,
				str *group)
{
	if (group->len)
		LM_WARN("ipsec_listen_agname: this Kamailio has no groups of processes for a "
			"socket; it is passed over\n");
	return add_listen_iface_name(address->s, NULL, port, proto, name, 0);
}
#endif

#endif
