// SPDX-License-Identifier: GPL-2.0-or-later
/* What the module is set to, and what it uses of others of Kamailio's. */
#include "ims_ipsec.h"

struct settings settings = {
	.client_port = 5062,
	.server_port = 5063,
	.max_connections = 2,
	.reuse_server_port = 1,
	.spi_range = 1000,
	.linger = 40,
	.check_identity = 1,
};
usrloc_api_t ul;
struct tm_binds tmb;
