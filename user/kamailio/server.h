/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user/sip/ needs of Kamailio. */
#ifndef SERVER_H
#define SERVER_H

#include "core/dprint.h"
#include "core/ip_addr.h"
#include "core/parser/msg_parser.h"
#include "core/pt.h"
#include "core/str.h"
#include "core/timer.h"

/* What to do for phones behind NATs */
#define SERVER_NAT	"modparam(\"ims_ipsec\", \"nat\", 1)"
#define SERVER_NAME	"Kamailio"
/* Without a system call */
#define server_process	my_pid

#endif
