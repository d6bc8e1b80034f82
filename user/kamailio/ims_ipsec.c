// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What Kamailio sees of the module: functions, parameters and when they are run. They are those
 * of ims_ipsec_pcscf, whose place it takes; both at once are not to be loaded.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/cfg/cfg_struct.h"
#include "core/dprint.h"
#include "core/kemi.h"
#include "core/mod_fix.h"
#include "core/pt.h"
#include "core/resolve.h"
#include "core/script_cb.h"
#include "core/sr_module.h"
#include "core/ut.h"
#include "modules/sl/sl.h"

#include "ims_ipsec.h"

MODULE_VERSION

static sl_api_t sl;
static bool initialised;
static str not_yours = str_init("Forbidden");

/* --- What the registrar takes */

struct api {
	void (*ipsec_on_expire)(pcontact_t *c, int type, void *param);
	int (*ipsec_reconfig)(void);
};

/* Sets outlive contacts, and Kamailio. */
static int reconfig(void)
{
	return 0;
}

static int bind_ipsec(struct api *api)
{
	if (!api || !initialised) {
		LM_ERR("loaded too late: ims_ipsec comes before ims_registrar_pcscf\n");
		return -1;
	}
	api->ipsec_on_expire = on_expire;
	api->ipsec_reconfig = reconfig;
	return 0;
}

/* --- Parameters */

static int add_address(char *text, int family)
{
	struct gm *gm = &settings.gm[settings.n_gm];
	struct ip_addr *ip;
	str s = { text, strlen(text) };

	if (!s.len)
		return 0;
	if (settings.n_gm == ADDRESSES_MAX) {
		LM_ERR("%d addresses are the most\n", ADDRESSES_MAX);
		return -1;
	}
	ip = family == AF_INET ? str2ip(&s) : str2ip6(&s);
	if (!ip) {
		LM_ERR("%s: \"%s\" is no address of IPv%d\n",
		       family == AF_INET ? "ipsec_listen_addr" : "ipsec_listen_addr6", text,
		       family == AF_INET ? 4 : 6);
		return -1;
	}
	gm->text = s;
	gm->ip = *ip;
	to_addr(&gm->addr, ip);
	settings.n_gm++;
	return 0;
}

static int listen_addr(modparam_t type, void *value)
{
	return add_address(value, AF_INET);
}

static int listen_addr6(modparam_t type, void *value)
{
	return add_address(value, AF_INET6);
}

/* What the kernel reads is the whole; that the core comes from there is the guard's to see. */
static int add_trusted(modparam_t type, void *value)
{
	str s = { value, strcspn(value, "%") };
	struct net *net = &settings.trusted_nets[settings.n_trusted];

	if (settings.n_trusted == IMSIPSEC_TRUSTED_MAX) {
		LM_ERR("trusted: %d prefixes are the most\n", IMSIPSEC_TRUSTED_MAX);
		return -1;
	}
	if (!s.s[s.len] || mk_net_str(net, &s) < 0) {
		LM_ERR("trusted: \"%s\" is no prefix with its interface: 192.0.2.0/24%%eth1\n",
		       s.s);
		return -1;
	}
	settings.trusted[settings.n_trusted++] = s.s;
	return 0;
}

static int choose_ports(void)
{
	int wanted = settings.max_connections;

	if (settings.client_port <= 0 || settings.client_port > 65535 ||
	    settings.server_port <= 0 || settings.server_port > 65535) {
		LM_ERR("ipsec_client_port and ipsec_server_port are ports\n");
		return -1;
	}
	if (wanted > IMSIPSEC_PORT_PC_MAX) {
		LM_NOTICE("ipsec_max_connections %d: %d ports are the most, and are enough, for "
			  "any number of phones can share them\n",
			  wanted, IMSIPSEC_PORT_PC_MAX);
		wanted = IMSIPSEC_PORT_PC_MAX;
	}
	settings.port_ps = settings.server_port;
	/* A set and the one that follows it differ in the port: the least is two. */
	for (int port = settings.client_port;
	     port <= 65535 && settings.n_port_pc < IMSIPSEC_PORT_PC_MAX; port++) {
		if (port - settings.client_port >= wanted && settings.n_port_pc >= 2)
			break;
		/* The ranges overlap by default, and one port is not both. */
		if (port != settings.port_ps)
			settings.port_pc[settings.n_port_pc++] = port;
	}
	if (settings.n_port_pc < 2) {
		LM_ERR("ipsec_client_port %d: two ports from there are the least\n",
		       settings.client_port);
		return -1;
	}
	return 0;
}

/* --- Its beginning */

/* A script has no set made for such a phone, and nothing else would say why it has none. */
static void say_without_ipsec(struct sip_msg *msg)
{
	char text[IP_ADDR_MAX_STR_SIZE + 1] = "";

	if (msg->first_line.u.request.method_value != METHOD_REGISTER || !gm_of(&msg->rcv.dst_ip) ||
	    parse_headers(msg, HDR_EOH_F, 0) < 0 || next_header(msg, "Security-Client", NULL))
		return;
	ip_addr2sbuf(&msg->rcv.src_ip, text, sizeof(text) - 1);
	LIMITED(LM_NOTICE,
		"%s: no Security-Client in its REGISTER: the phone has no IPsec, or it is "
		"switched off there (IMS settings, carrier profile)\n",
		text);
}

/*
 * What came to a protected port is what its phone may say, and goes on to the core from a port that
 * is not protected. The script may choose another one.
 */
static int before_request(struct sip_msg *msg, unsigned int flags, void *param)
{
	struct imsipsec_bundle over;
	struct socket_info *si;
	int err;

	if (!is_protected(&msg->rcv.dst_ip, msg->rcv.dst_port)) {
		say_without_ipsec(msg);
		if (!settings.check_identity || identity_in_clear(msg))
			return 1;
		sl.freply(msg, 403, &not_yours);
		return 0;
	}
	/*
	 * The guard lets nothing through that came in clear; but there is none while the kernel
	 * module is not loaded.
	 */
	err = kernel_over(msg, &over);
	if (err && is_trusted(&msg->rcv.src_ip))
		return 1;
	if (err && !settings.bypass) {
		LIMITED(LM_INFO,
			"a request to port %u %s: it is dropped\n", msg->rcv.dst_port,
			err == -ENOENT	 ? "came in clear, or over a set that has ended" :
			err == -ENOTUNIQ ? "may be of several phones behind one NAT" :
			err == -EINVAL	 ? "has a header that cannot be read" :
					   "came, and the kernel could not be asked of its set");
		return 0;
	}
	/* Whoever has not answered the challenge is nobody yet, TS 33.203 clause 7.4. */
	if (!err && over.state == IMSIPSEC_STATE_TEMPORARY &&
	    msg->first_line.u.request.method_value != METHOD_REGISTER) {
		LIMITED(LM_WARN, "%.*s of %.*s before its registration: dropped\n",
			msg->first_line.u.request.method.len, msg->first_line.u.request.method.s,
			(int)over.owner_len, (const char *)over.owner);
		return 0;
	}
	/*
	 * An answer that Kamailio makes itself leaves from the port that the request came to; only
	 * to the port that it came from is there an SA from there.
	 */
	if (msg->rcv.proto == PROTO_UDP)
		msg->msg_flags |= FL_FORCE_RPORT;
	if (settings.check_identity && !err && !identity_holds(msg, &over)) {
		if (msg->first_line.u.request.method_value != METHOD_ACK)
			sl.freply(msg, 403, &not_yours);
		return 0;
	}
	si = core_socket_for(&msg->rcv.dst_ip, msg->rcv.proto);
	if (si)
		msg->force_send_socket = si;
	return 1;
}

static int mod_init(void)
{
	bind_usrloc_t bind_usrloc = (bind_usrloc_t)find_export("ul_bind_ims_usrloc_pcscf", 1, 0);

	if (find_module_by_name("ims_ipsec_pcscf")) {
		LM_ERR("ims_ipsec_pcscf is loaded as well: this module takes its place\n");
		return -1;
	}
	if (!bind_usrloc || bind_usrloc(&ul) < 0) {
		LM_ERR("ims_usrloc_pcscf is to be loaded before\n");
		return -1;
	}
	if (load_tm_api(&tmb)) {
		LM_ERR("tm is to be loaded before\n");
		return -1;
	}
	if (sl_load_api(&sl)) {
		LM_ERR("sl is to be loaded before\n");
		return -1;
	}
	if (!settings.n_gm) {
		LM_ERR("ipsec_listen_addr or ipsec_listen_addr6 is to say where phones come to\n");
		return -1;
	}
	/* Shut before anybody listens there */
	if (choose_ports() || kernel_prepare() || sockets_listen() || core_socket_find() ||
	    contact_init() || identity_init() || dialog_init())
		return -1;
	for (int i = 0; i < settings.n_gm; i++) {
		if (!core_socket_for(&settings.gm[i].ip, PROTO_UDP) &&
		    !core_socket_for(&settings.gm[i].ip, PROTO_TCP)) {
			LM_ERR("Kamailio listens at protected ports alone: it needs another one "
			       "for the core, listen=\n");
			return -1;
		}
	}
	if (register_script_cb(before_request, REQUEST_CB | PRE_SCRIPT_CB, NULL) < 0) {
		LM_ERR("no memory\n");
		return -1;
	}
	register_procs(1);
	cfg_register_child(1);
	initialised = true;
	LM_INFO("port_ps %u, %d ports port_pc from %u, at %d addresses\n", settings.port_ps,
		settings.n_port_pc, settings.port_pc[0], settings.n_gm);
	return 0;
}

static int child_init(int rank)
{
	int pid;

	if (rank == PROC_MAIN) {
		pid = fork_process(PROC_NOCHLDINIT, "ims_ipsec events", 1);
		if (pid < 0)
			return -1;
		if (!pid) {
			if (cfg_child_init())
				return -1;
			events_run();
		}
		return 0;
	}
	/* Kamailio may have given up what it needs; better now than at the first phone. */
	if (rank == 1)
		return kernel_check();
	return 0;
}

/* --- Functions of the script */

static int domain_fixup(void **param)
{
	udomain_t *d;

	if (ul.register_udomain(*param, &d) < 0) {
		LM_ERR("%s: no such domain of the user location\n", (char *)*param);
		return E_UNSPEC;
	}
	identity_domain(d);
	*param = d;
	return 0;
}

static int domain_flags_fixup(void **param, int n)
{
	unsigned int flags;
	str text;

	if (n == 1)
		return domain_fixup(param);
	text.s = *param;
	text.len = strlen(text.s);
	if (str2int(&text, &flags)) {
		LM_ERR("flags: \"%s\" is no number\n", text.s);
		return E_UNSPEC;
	}
	*param = (void *)(long)flags;
	return 0;
}

static int domain_text_fixup(void **param, int n)
{
	return n == 1 ? domain_fixup(param) : fixup_spve_all(param, n);
}

static int domain_text_free(void **param, int n)
{
	return n == 1 ? 0 : fixup_free_spve_all(param, n);
}

static int w_create(struct sip_msg *msg, char *d, char *flags)
{
	return ipsec_create(msg, (udomain_t *)d, (long)flags);
}

static int w_forward(struct sip_msg *msg, char *d, char *flags)
{
	return ipsec_forward(msg, (udomain_t *)d, (long)flags);
}

static int w_destroy(struct sip_msg *msg, char *d, char *uri)
{
	str text = { NULL, 0 };

	if (uri && fixup_get_svalue(msg, (gparam_t *)uri, &text) < 0) {
		LM_ERR("ipsec_destroy: no value in its second argument\n");
		return FAILED;
	}
	return ipsec_destroy(msg, (udomain_t *)d, &text);
}

static int w_destroy_by_contact(struct sip_msg *msg, char *d, char *uri, char *host, char *port)
{
	str texts[3];
	unsigned int n;

	if (fixup_get_svalue(msg, (gparam_t *)uri, &texts[0]) < 0 ||
	    fixup_get_svalue(msg, (gparam_t *)host, &texts[1]) < 0 ||
	    fixup_get_svalue(msg, (gparam_t *)port, &texts[2]) < 0 || str2int(&texts[2], &n)) {
		LM_ERR("ipsec_destroy_by_contact: no value in an argument, or no number in the "
		       "last\n");
		return FAILED;
	}
	return ipsec_destroy_by_contact((udomain_t *)d, &texts[0], &texts[1], n);
}

static cmd_export_t functions[] = {
	{ "ipsec_create", (cmd_function)w_create, 1, domain_flags_fixup, 0, ONREPLY_ROUTE },
	{ "ipsec_create", (cmd_function)w_create, 2, domain_flags_fixup, 0, ONREPLY_ROUTE },
	{ "ipsec_forward", (cmd_function)w_forward, 1, domain_flags_fixup, 0,
	  REQUEST_ROUTE | ONREPLY_ROUTE },
	{ "ipsec_forward", (cmd_function)w_forward, 2, domain_flags_fixup, 0,
	  REQUEST_ROUTE | ONREPLY_ROUTE },
	{ "ipsec_destroy", (cmd_function)w_destroy, 1, domain_text_fixup, domain_text_free,
	  REQUEST_ROUTE | ONREPLY_ROUTE },
	{ "ipsec_destroy", (cmd_function)w_destroy, 2, domain_text_fixup, domain_text_free,
	  ANY_ROUTE },
	{ "ipsec_destroy_by_contact", (cmd_function)w_destroy_by_contact, 4, domain_text_fixup,
	  domain_text_free, ANY_ROUTE },
	{ "bind_ims_ipsec_pcscf", (cmd_function)bind_ipsec, 1, 0, 0, 0 },
	{ 0 }
};

static param_export_t parameters[] = {
	{ "ipsec_listen_addr", PARAM_STRING | PARAM_USE_FUNC, (void *)listen_addr },
	{ "ipsec_listen_addr6", PARAM_STRING | PARAM_USE_FUNC, (void *)listen_addr6 },
	{ "ipsec_client_port", PARAM_INT, &settings.client_port },
	{ "ipsec_server_port", PARAM_INT, &settings.server_port },
	{ "ipsec_max_connections", PARAM_INT, &settings.max_connections },
	{ "ipsec_reuse_server_port", PARAM_INT, &settings.reuse_server_port },
	{ "ipsec_spi_id_start", PARAM_INT, &settings.spi_start },
	{ "ipsec_spi_id_range", PARAM_INT, &settings.spi_range },
	{ "ipsec_preferred_alg", PARAM_STR, &settings.preferred_alg },
	{ "ipsec_preferred_ealg", PARAM_STR, &settings.preferred_ealg },
	{ "ipsec_listen_name", PARAM_STR, &settings.listen_name },
	{ "ipsec_listen_agname", PARAM_STR, &settings.listen_group },
	{ "core_socket", PARAM_STR, &settings.core_socket },
	{ "guard", PARAM_STR, &settings.guard },
	{ "trusted", PARAM_STRING | PARAM_USE_FUNC, (void *)add_trusted },
	{ "linger", PARAM_INT, &settings.linger },
	{ "nat", PARAM_INT, &settings.nat },
	{ "check_identity", PARAM_INT, &settings.check_identity },
	{ 0 }
};

/* --- The same for scripts in other languages, as KSR.ims_ipsec */

/* The user location has those that the configuration names; one of a worker's own helps nobody. */
static udomain_t *domain_of(const str *name)
{
	char text[64];
	udomain_t *d;

	if (name->len <= 0 || name->len >= (int)sizeof(text))
		return NULL;
	memcpy(text, name->s, name->len);
	text[name->len] = '\0';
	if (!ul.get_udomain(text, &d)) {
		identity_domain(d);
		return d;
	}
	LIMITED(LM_ERR, "%s: no such domain of the user location\n", text);
	return NULL;
}

static int ki_create(sip_msg_t *msg, str *domain, int flags)
{
	udomain_t *d = domain_of(domain);

	return d ? ipsec_create(msg, d, flags) : FAILED;
}

static int ki_forward(sip_msg_t *msg, str *domain, int flags)
{
	udomain_t *d = domain_of(domain);

	return d ? ipsec_forward(msg, d, flags) : FAILED;
}

static int ki_destroy(sip_msg_t *msg, str *domain, str *uri)
{
	udomain_t *d = domain_of(domain);

	return d ? ipsec_destroy(msg, d, uri) : FAILED;
}

static int ki_destroy_by_contact(sip_msg_t *msg, str *domain, str *uri, str *host, int port)
{
	udomain_t *d = domain_of(domain);

	return d ? ipsec_destroy_by_contact(d, uri, host, port) : FAILED;
}

#define KEMI(name, function, ...)                                                                  \
	{                                                                                          \
		str_init("ims_ipsec"), str_init(name), SR_KEMIP_INT, function, { __VA_ARGS__ }     \
	}

static sr_kemi_t kemi[] = {
	KEMI("ipsec_create", ki_create, SR_KEMIP_STR, SR_KEMIP_INT),
	KEMI("ipsec_forward", ki_forward, SR_KEMIP_STR, SR_KEMIP_INT),
	KEMI("ipsec_destroy", ki_destroy, SR_KEMIP_STR, SR_KEMIP_STR),
	KEMI("ipsec_destroy_by_contact", ki_destroy_by_contact, SR_KEMIP_STR, SR_KEMIP_STR,
	     SR_KEMIP_STR, SR_KEMIP_INT),
	{ { NULL, 0 }, { NULL, 0 }, 0, NULL, { 0 } }
};

/* Kamailio calls it by its name. */
int mod_register(char *path, int *dlflags, void *p1, void *p2);

int mod_register(char *path, int *dlflags, void *p1, void *p2)
{
	sr_kemi_modules_add(kemi);
	return 0;
}

static pv_export_t variables[] = {
	{ { "ipsec", sizeof("ipsec") - 1 }, PVT_OTHER, var_get, 0, var_parse, 0, 0, 0 },
	{ { 0 } }
};

struct module_exports exports = {
	"ims_ipsec", DEFAULT_DLFLAGS, functions,  parameters, rpc_commands, variables,
	late_answer, mod_init,	      child_init, 0,
};
