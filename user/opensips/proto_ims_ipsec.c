// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What OpenSIPS sees of the module: functions, parameters and when they are run. They are those of
 * proto_ipsec, whose place it takes; both at once are not to be loaded.
 */
#include <errno.h>
#include <string.h>

#include "dprint.h"
#include "mem/mem.h"
#include "net/net_tcp.h"
#include "net/trans.h"
#include "pt.h"
#include "script_cb.h"
#include "sr_module.h"
#include "sr_module_deps.h"

#include "proto_ims_ipsec.h"

/* --- Transport */

/* The hidden sockets of UDP and TCP do it all. */
static int init_nothing(struct socket_info *si)
{
	return 0;
}

/* Also under `opensips -C`: nothing is asked of the kernel here. */
static int proto_init(struct proto_info *pi)
{
	pi->id = PROTO_IPSEC;
	pi->name = "ipsec";
	pi->default_port = settings.port;
	pi->tran.init_listener = init_nothing;
	pi->tran.bind_listener = init_nothing;
	pi->tran.dst_attr = tcp_conn_fcntl;
	pi->tran.send = send_protected;
	pi->net.flags = 0;
	return sockets_hide();
}

/* --- The script's ipsec_create */

static int call_create(struct sip_msg *msg, int *server, int *client, str *list)
{
	struct span text = { list ? list->s : NULL, list ? list->len : 0 };

	return ipsec_create(msg, server, client, list ? &text : NULL);
}

/* A port that stands in the script is known before the endpoints are made. */
static int note_server(void **param)
{
	int port = *(int *)*param;

	if (port <= 0 || port > 65535)
		return 0;
	for (int i = 0; i < settings.n_script_server; i++) {
		if (settings.script_server[i] == port)
			return 0;
	}
	if (settings.n_script_server < ADDRESSES_MAX)
		settings.script_server[settings.n_script_server++] = port;
	return 0;
}

static int check_list(void **param)
{
	str *list = *param;
	struct imsipsec_pair algs[ALGS_MAX];
	char text[512];
	size_t n;

	if (list->len < (int)sizeof(text)) {
		memcpy(text, list->s, list->len);
		text[list->len] = '\0';
		if (!choice_algs(text, false, algs, &n))
			return 0;
	}
	LM_ERR("ipsec_create: \"%.*s\" is no list of algorithms\n", list->len, list->s);
	return -1;
}

static const cmd_export_t commands[] = {
	{ "ipsec_create",
	  (cmd_function)call_create,
	  { { CMD_PARAM_INT | CMD_PARAM_OPT, note_server, NULL },
	    { CMD_PARAM_INT | CMD_PARAM_OPT, NULL, NULL },
	    { CMD_PARAM_STR | CMD_PARAM_OPT, check_list, NULL },
	    { 0, NULL, NULL } },
	  ONREPLY_ROUTE },
	{ "proto_init", (cmd_function)proto_init, { { 0, NULL, NULL } }, 0 },
	{ 0 },
};

/* --- Parameters */

static const param_export_t parameters[] = {
	{ "port", INT_PARAM, &settings.port },
	{ "min_spi", INT_PARAM, &settings.min_spi },
	{ "max_spi", INT_PARAM, &settings.max_spi },
	{ "temporary_timeout", INT_PARAM, &settings.temporary_timeout },
	{ "default_client_port", INT_PARAM, &settings.default_client_port },
	{ "default_server_port", INT_PARAM, &settings.default_server_port },
	{ "allowed_algorithms", STR_PARAM, &settings.allowed_algorithms },
	{ "disable_deprecated_algorithms", INT_PARAM, &settings.disable_deprecated_algorithms },
	{ "nat_traversal", INT_PARAM, &settings.nat_traversal },
	{ "nat_port", INT_PARAM, &settings.nat_port },
	{ "hw_offload_interface", STR_PARAM, &settings.hw_offload_interface },
	{ "linger", INT_PARAM, &settings.linger },
	{ "guard", STR_PARAM, &settings.guard },
	{ "security_server", STR_PARAM, &settings.security_server },
	{ "mark_mask", INT_PARAM, &settings.mark_mask },
	{ 0 },
};

static int check_parameters(void)
{
	const struct {
		const char *name;
		int port;
	} ports[] = {
		{ "port", settings.port },
		{ "default_client_port", settings.default_client_port },
		{ "default_server_port", settings.default_server_port },
		{ "nat_port", settings.nat_port },
	};
	struct imsipsec_pair algs[ALGS_MAX];
	size_t n;

	if (settings.temporary_timeout <= 0) {
		LM_ERR("temporary_timeout %d: it is a number of seconds above 0\n",
		       settings.temporary_timeout);
		return -1;
	}
	if (settings.default_client_port &&
	    settings.default_client_port == settings.default_server_port) {
		LM_ERR("default_client_port and default_server_port are both %d: they have to "
		       "differ\n",
		       settings.default_client_port);
		return -1;
	}
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (ports[i].port < 0 || ports[i].port > 65535) {
			LM_ERR("%s %d is no port\n", ports[i].name, ports[i].port);
			return -1;
		}
	}
	if (choice_algs(settings.allowed_algorithms, settings.disable_deprecated_algorithms, algs,
			&n)) {
		LM_ERR("allowed_algorithms \"%s\"%s: no pair is left, or an entry names none\n",
		       settings.allowed_algorithms ?: "",
		       settings.disable_deprecated_algorithms ? " without those that are deprecated"
							      : "");
		return -1;
	}
	if (settings.security_server && !strcmp(settings.security_server, "list")) {
		settings.whole_list = true;
	} else if (settings.security_server && strcmp(settings.security_server, "single")) {
		LM_ERR("security_server: \"%s\" is neither single nor list\n",
		       settings.security_server);
		return -1;
	}
	return 0;
}

/* --- OpenSIPS */

static int init(void)
{
	if (!protos[PROTO_IPSEC].listeners) {
		LM_ERR("there is no socket=ipsec:\n");
		return -1;
	}
	if (check_parameters() || sockets_gather())
		return -1;
	if (load_tm_api(&tmb)) {
		LM_ERR("tm is to be loaded before\n");
		return -1;
	}
	if (load_ul_api(&ul)) {
		LM_ERR("usrloc is to be loaded before\n");
		return -1;
	}
	if (kernel_init() || records_init() || contacts_init() || script_init() || events_init())
		return -1;
	sockets_hook();
	tcp_hook();
	return 0;
}

static const dep_export_t dependencies = {
	{
		{ MOD_TYPE_DEFAULT, "tm", DEP_ABORT },
		{ MOD_TYPE_DEFAULT, "usrloc", DEP_ABORT },
		{ MOD_TYPE_DEFAULT, "proto_udp", DEP_ABORT },
		{ MOD_TYPE_DEFAULT, "proto_tcp", DEP_ABORT },
		{ MOD_TYPE_NULL, NULL, 0 },
	},
	{
		{ NULL, NULL },
	},
};

static const pv_export_t variables[] = {
	{ str_const_init("ipsec"), 2001, var_get, NULL, var_parse, NULL, NULL, 0 },
	{ str_const_init("ipsec_ue"), 2002, var_get_ue, NULL, var_parse, NULL, NULL, 1 },
	{ { 0, 0 }, 0, 0, 0, 0, 0, 0, 0 },
};

static const proc_export_t processes[] = {
	{ "IPsec events", NULL, NULL, events_run, 1, PROC_FLAG_INITCHILD | PROC_FLAG_HAS_IPC },
	{ NULL, NULL, NULL, NULL, 0, 0 },
};

extern const struct module_exports exports;
const struct module_exports exports = {
	.name = PROTO_PREFIX "ims_ipsec",
	.type = MOD_TYPE_DEFAULT,
	.ver_info = MODULE_VERSION,
	.dlflags = DEFAULT_DLFLAGS,
	.deps = &dependencies,
	.cmds = commands,
	.params = parameters,
	.stats = statistics,
	.mi_cmds = mi_commands,
	.items = variables,
	.procs = processes,
	.init_f = init,
};
