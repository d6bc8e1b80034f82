/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user/sip/ needs of OpenSIPS. */
#ifndef SERVER_H
#define SERVER_H

#include <unistd.h>

#include "dprint.h"
#include "ip_addr.h"
#include "parser/msg_parser.h"
#include "str.h"
#include "timer.h"

/* What to do for phones behind NATs */
#define SERVER_NAT	"modparam(\"proto_ims_ipsec\", \"nat_traversal\", 1)"
#define SERVER_NAME	"OpenSIPS"
#define server_process	getpid

#endif
