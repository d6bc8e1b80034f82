/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What differs between OpenSIPS 3.6 and 4.0, told by what their headers have. */
#ifndef IMS_IPSEC_COMPAT_H
#define IMS_IPSEC_COMPAT_H

#include "net/api_proto.h"
#include "net/api_proto_net.h"
#include "socket_info.h"

struct sip_msg;

#ifdef PROTO_NET_SUPPORTS_PROXY
/* 4.0: the message that is sent goes along, and TCP main connects */
#define TCP_MAIN_CONNECTS 1
#define SEND_ARGS \
	const struct socket_info *source, char *buf, unsigned int len, \
	const union sockaddr_union *to, unsigned int id, struct sip_msg *msg
#define send_by(proto, source, buf, len, to, id) \
	(protos[proto].tran.send(source, buf, len, to, id, NULL))
#define make_socket(sid) new_sock_info(sid, NULL)
#else
#define TCP_MAIN_CONNECTS 0
#define SEND_ARGS \
	const struct socket_info *source, char *buf, unsigned int len, \
	const union sockaddr_union *to, unsigned int id
#define send_by(proto, source, buf, len, to, id) \
	(protos[proto].tran.send(source, buf, len, to, id))
#define make_socket(sid) new_sock_info(sid)
#endif

#endif
