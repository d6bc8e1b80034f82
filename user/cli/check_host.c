// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: the module, the endpoints' addresses, sysctls. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cli.h"

/* In linux/capability.h */
#define CAP_NET_ADMIN_BIT	12

void check_module(struct check *c)
{
	char *version, cure[CHECK_TEXT];

	if (!check_exists(c, "/sys/module/ims_ipsec")) {
		check_found(c, CHECK_FAULT, "the kernel module ims_ipsec is not loaded");
		check_module_cure(c, cure, sizeof(cure));
		check_cure(c, "%s", cure);
		return;
	}
	version = check_read(c, "/sys/module/ims_ipsec/version");
	if (version)
		version[strcspn(version, "\n")] = '\0';
	if (!version || strcmp(version, IMSIPSEC_VERSION)) {
		check_found(c, CHECK_WARNING, "version %s is loaded, this command is of %s",
			    version ? version : "unknown", IMSIPSEC_VERSION);
		check_cure(c, "install both from one source, then rmmod ims_ipsec and modprobe "
			   "ims_ipsec: which ends all bundles and endpoints");
	} else {
		check_found(c, CHECK_OK, "version %s is loaded", version);
	}
	free(version);
	/* A lack of capabilities is another check's. */
	if (c->open_error && c->open_error != -EPERM) {
		check_found(c, CHECK_FAULT, "%s", imsipsec_open_strerror(c->open_error));
		check_cure(c, "dmesg may say why");
	}
}

void check_capability(struct check *c)
{
	char *status = check_read(c, "/proc/self/status"), *line;
	uint64_t caps = 0;

	line = status ? strstr(status, "\nCapEff:") : NULL;
	if (line)
		sscanf(line, "\nCapEff: %" SCNx64, &caps);
	free(status);
	if (caps & 1ULL << CAP_NET_ADMIN_BIT) {
		check_found(c, CHECK_OK, "CAP_NET_ADMIN is there");
		return;
	}
	check_found(c, CHECK_FAULT, "CAP_NET_ADMIN is missing");
	check_cure(c, "be root; a SIP server that is not: AmbientCapabilities=CAP_NET_ADMIN in "
		   "its unit");
}

void check_endpoints(struct check *c)
{
	if (c->n_endpoints) {
		check_found(c, CHECK_OK, "%zu", c->n_endpoints);
		return;
	}
	check_found(c, CHECK_WARNING, "there is none in this network namespace: no port is shut");
	check_cure(c, "imsipsec endpoint add, at boot: in /etc/ims_ipsec.conf");
}

static bool equal_addresses(const struct imsipsec_addr *a, const struct imsipsec_addr *b)
{
	return a->family == b->family &&
	       !memcmp(&a->in, &b->in, a->family == AF_INET ? sizeof(a->in) : sizeof(a->in6));
}

/* The interface that has an endpoint's address, or NULL */
static const char *interface_of(const struct check *c, const struct imsipsec_endpoint *e)
{
	size_t i;

	for (i = 0; i < c->n_addresses; i++)
		if (equal_addresses(&c->addresses[i].address, &e->address))
			return c->addresses[i].interface;
	return NULL;
}

void check_address(struct check *c)
{
	char buf[INET6_ADDRSTRLEN];
	const char *interface;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++) {
		interface = interface_of(c, &c->endpoints[i]);
		imsipsec_addr_format(&c->endpoints[i].address, buf, sizeof(buf));
		if (interface) {
			check_found(c, CHECK_OK, "%s of endpoint %" PRIu32 " is on %s", buf,
				    c->endpoints[i].id, interface);
			continue;
		}
		check_found(c, CHECK_WARNING, "%s of endpoint %" PRIu32
			    " is on no interface that is up", buf, c->endpoints[i].id);
		check_cure(c, "ip address add %s/%d dev INTERFACE, or nothing on a host that stands by",
			   buf, c->endpoints[i].address.family == AF_INET ? 32 : 128);
	}
}

/* A line "  eth1: ..." of /proc/net/dev, which is the namespace's */
static bool has_interface(const char *table, const char *name)
{
	const size_t len = strlen(name);
	const char *line;

	for (line = table; line; line = strchr(line, '\n')) {
		line += strspn(line, " \n");
		if (!strncmp(line, name, len) && line[len] == ':')
			return true;
	}
	return false;
}

static void check_one_trusted(struct check *c, const struct imsipsec_endpoint *e, const char *text,
			      const char *table)
{
	const char *interface = strchr(text, '%');
	struct imsipsec_addr address;
	unsigned int length, bits, wide;

	if (!interface || !check_get_trusted(text, &address, &length))
		return;
	bits = address.family == AF_INET ? 32 : 128;
	wide = address.family == AF_INET ? 16 : 48;
	if (table && !has_interface(table, interface + 1)) {
		check_found(c, CHECK_WARNING, "endpoint %" PRIu32 " trusts %s, and there is no %s", e->id,
			    text, interface + 1);
		check_cure(c, "imsipsec endpoint replace ... trusted, with the interface that the core is behind");
	} else if (length < wide) {
		check_found(c, CHECK_WARNING, "endpoint %" PRIu32 " trusts %s: 2^%u addresses speak in clear "
			    "with its ports", e->id, text, bits - length);
		check_cure(c, "trust the hosts of the core, /%u each, or their network; not wider than /%u",
			   bits, wide);
	} else {
		check_found(c, CHECK_OK, "endpoint %" PRIu32 " trusts %s: 2^%u addresses", e->id, text,
			    bits - length);
	}
}

void check_trusted(struct check *c)
{
	char *table = check_read(c, "/proc/net/dev");
	const size_t before = c->n_findings;
	size_t i, j;

	for (i = 0; i < c->n_endpoints; i++)
		for (j = 0; j < c->endpoints[i].n_trusted; j++)
			check_one_trusted(c, &c->endpoints[i], c->endpoints[i].trusted[j], table);
	free(table);
	if (c->trusted_ues) {
		check_found(c, CHECK_WARNING, "%zu UEs in tunnels say that they have addresses which their "
			    "endpoint trusts", c->trusted_ues);
		check_cure(c, "trust the hosts of the core alone: what is sent to such a UE without its mark "
			   "leaves in clear for the core");
	}
	if (c->n_findings == before)
		check_found(c, CHECK_OK, "no endpoint trusts anybody");
}

/* Has somebody a UDP socket at that port, of the namespace's tables? */
static bool has_udp_socket(const struct check *c, const char *table, uint16_t port)
{
	char *text = check_read(c, "%s", table), *line, *next;
	unsigned int local;
	bool found = false;

	/* The heading, then "sl: address:port ..." */
	for (line = text; line && !found; line = next) {
		next = strchr(line, '\n');
		if (next)
			next++;
		found = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x", &local) == 1 && local == port;
	}
	free(text);
	return found;
}

void check_nat_port(struct check *c)
{
	const struct imsipsec_endpoint *e;
	bool any = false;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++) {
		e = &c->endpoints[i];
		if (!e->nat_traversal)
			continue;
		any = true;
		if (!e->nat_shared) {
			check_found(c, CHECK_OK, "endpoint %" PRIu32 " has the socket at UDP port %"
				    PRIu16, e->id, e->nat_port);
			continue;
		}
		check_found(c, CHECK_WARNING, "UDP port %" PRIu16 " of endpoint %" PRIu32
			    " is a socket of somebody else, with whom ESP in UDP ends",
			    e->nat_port, e->id);
		check_cure(c, "give the IKE daemon another port (charon.port_nat_t), then "
			   "endpoint replace with nat-shared off and force");
	}
	if (any)
		return;
	if (!c->config.nat_traversal) {
		check_found(c, CHECK_OK, "no endpoint has NAT traversal");
	} else if (has_udp_socket(c, "/proc/net/udp", c->config.nat_port) ||
		   has_udp_socket(c, "/proc/net/udp6", c->config.nat_port)) {
		check_found(c, CHECK_WARNING, "somebody has UDP port %" PRIu16
			    ": an endpoint there may be refused", c->config.nat_port);
		check_cure(c, "ss -ulpn sport = %" PRIu16 " says who: give it another port, or the "
			   "endpoint another nat-port, or nat-shared on", c->config.nat_port);
	} else {
		check_found(c, CHECK_OK, "UDP port %" PRIu16 " is free", c->config.nat_port);
	}
}

static bool has_nat(const struct check *c)
{
	bool nat = c->config.nat_traversal;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++)
		nat |= c->endpoints[i].nat_traversal;
	return nat;
}

void check_tcp_marks(struct check *c)
{
	uint64_t value;

	if (!c->config.mark_mask) {
		check_found(c, CHECK_OK, "there are no marks: mark-mask is 0");
		return;
	}
	if (!check_read_number(c, "/proc/sys/net/ipv4/tcp_fwmark_accept", &value)) {
		check_found(c, CHECK_WARNING, "net.ipv4.tcp_fwmark_accept cannot be read");
		check_cure(c, "look at it by hand: it should be 1");
		return;
	}
	if (value) {
		check_found(c, CHECK_OK, "net.ipv4.tcp_fwmark_accept is %" PRIu64, value);
		return;
	}
	if (has_nat(c))
		check_found(c, CHECK_FAULT, "net.ipv4.tcp_fwmark_accept is 0: on TCP connections "
			    "that UEs behind NATs open, answers are dropped");
	else
		check_found(c, CHECK_WARNING, "net.ipv4.tcp_fwmark_accept is 0: TCP connections do "
			    "not tell their registration");
	check_cure(c, "sysctl -w net.ipv4.tcp_fwmark_accept=1, at boot: in /etc/sysctl.d");
}

/*
 * Transport mode takes each decrypted packet over to a worker, by a queue a CPU that
 * has netdev_max_backlog's room (xfrm_trans_queue_net()); what does not fit is dropped,
 * and no counter moves. For so long as the worker does not get the CPU, the queue has
 * to do: say 0.1 s, at worst on one CPU, of all UEs that register within 10 s.
 */
void check_backlog(struct check *c)
{
	const uint32_t want = c->ues / 100 > 1000 ? c->ues / 100 : 1000;
	uint64_t value;

	if (!check_read_number(c, "/proc/sys/net/core/netdev_max_backlog", &value)) {
		check_found(c, CHECK_WARNING, "net.core.netdev_max_backlog, one value for the host, "
			    "cannot be seen from this network namespace");
		check_cure(c, "look at it in the first one: at least %" PRIu32, want);
		return;
	}
	if (value >= want) {
		check_found(c, CHECK_OK, "net.core.netdev_max_backlog is %" PRIu64, value);
		return;
	}
	check_found(c, CHECK_WARNING, "net.core.netdev_max_backlog is %" PRIu64 ", for %" PRIu32
		    " UEs %" PRIu32 " is better: decrypted packets that a CPU has not delivered yet, "
		    "beyond it, are dropped uncounted", value, c->ues, want);
	check_cure(c, "sysctl -w net.core.netdev_max_backlog=%" PRIu32, want);
}

struct port_list {
	char text[CHECK_TEXT / 2];
	size_t len;
};

static void add_port(struct port_list *list, uint16_t port)
{
	if (list->len < sizeof(list->text) - 8 && !check_list_has(list->text, '-', port))
		list->len += sprintf(list->text + list->len, "%s%" PRIu16,
				     list->len ? "," : "", port);
}

void check_local_ports(struct check *c)
{
	char *range = check_read(c, "/proc/sys/net/ipv4/ip_local_port_range");
	char *reserved = check_read(c, "/proc/sys/net/ipv4/ip_local_reserved_ports");
	struct port_list list = { "" };
	unsigned int first, last;
	uint16_t ports[IMSIPSEC_PORT_PC_MAX + 2];
	size_t i, j, n;

	if (!range || !reserved || sscanf(range, "%u %u", &first, &last) != 2) {
		check_found(c, CHECK_WARNING, "net.ipv4.ip_local_port_range cannot be read");
		check_cure(c, "look at it by hand: protected ports should not be in it, or in "
			   "net.ipv4.ip_local_reserved_ports");
		goto out;
	}
	for (i = 0; i < c->n_endpoints; i++) {
		const struct imsipsec_endpoint *e = &c->endpoints[i];

		n = 0;
		ports[n++] = e->port_ps;
		for (j = 0; j < e->n_port_pc; j++)
			ports[n++] = e->port_pc[j];
		if (e->nat_traversal)
			ports[n++] = e->nat_port;
		for (j = 0; j < n; j++)
			if (ports[j] >= first && ports[j] <= last &&
			    !check_list_has(reserved, '-', ports[j]))
				add_port(&list, ports[j]);
	}
	if (!list.len) {
		check_found(c, CHECK_OK, "no protected port is handed out: %u to %u are", first,
			    last);
		goto out;
	}
	check_found(c, CHECK_WARNING, "any program may be handed port %s as its own "
		    "(net.ipv4.ip_local_port_range), before the SIP server binds it", list.text);
	reserved[strcspn(reserved, "\n")] = '\0';
	check_cure(c, "sysctl -w net.ipv4.ip_local_reserved_ports=%s%s%s", reserved,
		   *reserved ? "," : "", list.text);
out:
	free(range);
	free(reserved);
}

/* A route over such an interface has no transformation, and the guard drops what is to be protected. */
static unsigned int disable_xfrm_of(struct check *c, const char *name)
{
	char path[512], buf[INET6_ADDRSTRLEN];
	const char *own;
	uint64_t value;
	size_t i;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/disable_xfrm", name);
	if (!check_read_number(c, path, &value) || !value)
		return 0;
	if (!strcmp(name, "all")) {
		check_found(c, CHECK_FAULT, "net.ipv4.conf.all.disable_xfrm is 1: nothing is sent "
			    "protected, so that nothing is sent");
	} else {
		for (i = 0; i < c->n_endpoints; i++) {
			own = interface_of(c, &c->endpoints[i]);
			if (c->endpoints[i].address.family == AF_INET && own && !strcmp(own, name))
				break;
		}
		if (i < c->n_endpoints)
			check_found(c, CHECK_FAULT, "net.ipv4.conf.%s.disable_xfrm is 1: what %s "
				    "sends there is dropped", name,
				    imsipsec_addr_format(&c->endpoints[i].address, buf,
							 sizeof(buf)));
		else
			check_found(c, CHECK_WARNING, "net.ipv4.conf.%s.disable_xfrm is 1: UEs that "
				    "are reached by it are sent nothing", name);
	}
	check_cure(c, "sysctl -w net/ipv4/conf/%s/disable_xfrm=0", name);
	return 1;
}

/* lo has it from the start; IPv6 has no such thing. */
void check_disable_xfrm(struct check *c)
{
	unsigned int found = 0;
	struct dirent *entry;
	char path[1024];
	bool ipv4 = false;
	size_t i;
	DIR *dir;

	for (i = 0; i < c->n_endpoints; i++)
		ipv4 |= c->endpoints[i].address.family == AF_INET;
	if (!ipv4)
		return;
	snprintf(path, sizeof(path), "%s/proc/sys/net/ipv4/conf", c->root);
	dir = opendir(path);
	if (!dir) {
		check_found(c, CHECK_WARNING, "net.ipv4.conf cannot be read");
		check_cure(c, "look at net.ipv4.conf.*.disable_xfrm by hand: it should be 0");
		return;
	}
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.' && strcmp(entry->d_name, "lo") &&
		    strcmp(entry->d_name, "default"))
			found += disable_xfrm_of(c, entry->d_name);
	closedir(dir);
	if (!found)
		check_found(c, CHECK_OK, "net.ipv4.conf.*.disable_xfrm is 0, but for lo");
}

void check_default_policy(struct check *c)
{
	if (c->default_in == CHECK_DEFAULT_UNKNOWN) {
		check_found(c, CHECK_WARNING, "XFRM does not tell its default policy");
		check_cure(c, "look at it by hand: ip xfrm policy getdefault");
	} else if (c->default_in == CHECK_DEFAULT_BLOCK ||
		   c->default_out == CHECK_DEFAULT_BLOCK) {
		check_found(c, CHECK_WARNING, "XFRM refuses by default what is %s: without a policy "
			    "of yours %s", c->default_in == CHECK_DEFAULT_BLOCK ? "received" : "sent",
			    c->default_in == CHECK_DEFAULT_BLOCK ?
			    "that lets ESP and the protected ports in, nothing of them arrives" :
			    "ESP in UDP, and what is not protected, does not leave");
		check_cure(c, "ip xfrm policy setdefault %s, or policies that allow it",
			   c->default_in == CHECK_DEFAULT_BLOCK ? "in accept" : "out accept");
	} else {
		check_found(c, CHECK_OK, "XFRM accepts by default");
	}
}

void check_esp(struct check *c)
{
	static const struct {
		const char *name;
		int family;
	} parts[] = {
		{ "esp4", AF_INET }, { "esp6", AF_INET6 },
	};
	bool loaded;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!check_has_family(c, parts[i].family))
			continue;
		if (check_has_kernel_module(c, parts[i].name, &loaded)) {
			check_found(c, CHECK_OK, "%s is %s", parts[i].name,
				    loaded ? "in the kernel" : "loaded when it is needed");
			continue;
		}
		check_found(c, CHECK_FAULT, "the kernel has no %s: there is no ESP over IPv%c",
			    parts[i].name, parts[i].family == AF_INET ? '4' : '6');
		check_cure(c, "install the kernel's package that has it, or build with CONFIG_INET%s_ESP",
			   parts[i].family == AF_INET ? "" : "6");
	}
}

/* What XFRM drops before the guard sees it, and SIP has no way to find out */
void check_dropped(struct check *c)
{
	const struct imsipsec_endpoint *e;
	bool any = false;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++) {
		e = &c->endpoints[i];
		if (e->clear_to_ue) {
			check_found(c, CHECK_WARNING, "endpoint %" PRIu32 ": %" PRIu64 " packets left in clear "
				    "for protected ports of UEs, which drop them", e->id, e->clear_to_ue);
			check_cure(c, "have the SIP server send from port-ps or port-pc, and Via say port-ps: "
				   "imsipsec trace says to which UEs");
		}
		any |= e->clear_to_ue;
		if (!e->esp_bad_icv && !e->esp_unknown_spi)
			continue;
		any = true;
		check_found(c, CHECK_WARNING, "endpoint %" PRIu32 ": of the ESP that came, %" PRIu64
			    " packets had another key, algorithm or mode than their bundle, %" PRIu64
			    " an SPI that no SA has", e->id, e->esp_bad_icv, e->esp_unknown_spi);
		check_cure(c, "imsipsec trace says of which UEs: they have other keys, or sets that are gone");
	}
	if (!any)
		check_found(c, CHECK_OK, "all the ESP that came had an SA, and its key, and nothing went to "
			    "UEs' protected ports in clear");
}

static const char *offload_module(const struct imsipsec_endpoint *e)
{
	return e->address.family == AF_INET ? "esp4_offload" : "esp6_offload";
}

/* Who asks for GRO and GSO of ESP, or for a device that does it? */
static bool wants_offload(const struct imsipsec_endpoint *e)
{
	return e->hw_offload == IMSIPSEC_OFFLOAD_SOFTWARE ||
	       (e->hw_offload != IMSIPSEC_OFFLOAD_OFF && *e->hw_offload_interface);
}

void check_offload(struct check *c)
{
	const struct imsipsec_endpoint *e;
	const char *name;
	bool loaded;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++) {
		e = &c->endpoints[i];
		if (!wants_offload(e))
			continue;
		name = offload_module(e);
		if (check_has_kernel_module(c, name, &loaded)) {
			check_found(c, CHECK_OK, "%s, which endpoint %" PRIu32 " wants, is %s", name,
				    e->id, loaded ? "in the kernel" : "loaded when it is needed");
			continue;
		}
		check_found(c, e->hw_offload_required ? CHECK_FAULT : CHECK_WARNING,
			    "the kernel has no %s, which endpoint %" PRIu32 " wants", name, e->id);
		check_cure(c, "install the kernel's package that has it, or hw-offload off");
	}
}

/* An interface that its address is on; what comes by another one is not looked at. */
static void check_gro_of(struct check *c, const struct imsipsec_endpoint *e)
{
	size_t i;

	for (i = 0; i < c->n_addresses; i++) {
		if (!imsipsec_addr_equal(&c->addresses[i].address, &e->address))
			continue;
		if (!c->addresses[i].no_gro) {
			check_found(c, CHECK_OK, "endpoint %" PRIu32 ": ESP is taken by GRO on %s", e->id,
				    c->addresses[i].interface);
			continue;
		}
		check_found(c, CHECK_WARNING, "endpoint %" PRIu32 ": %s has no GRO, so that a packet costs a "
			    "third more to receive than it need", e->id, c->addresses[i].interface);
		check_cure(c, "ethtool -K %s gro on", c->addresses[i].interface);
	}
}

/* A packet at a time costs more, and is nobody's fault */
void check_gro(struct check *c)
{
	const struct imsipsec_endpoint *e;
	bool loaded;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++) {
		e = &c->endpoints[i];
		if (!check_has_kernel_module(c, offload_module(e), &loaded))
			continue;	/* check_offload() says so to who wants it */
		if (wants_offload(e))
			check_gro_of(c, e);
		else if (loaded)
			check_found(c, CHECK_OK, "endpoint %" PRIu32 ": ESP is taken by GRO where an interface "
				    "has it, for %s is loaded", e->id, offload_module(e));
		else
			check_found(c, CHECK_OK, "endpoint %" PRIu32 ": ESP is taken a packet at a time; with "
				    "hw-offload software a packet would cost a quarter less to receive", e->id);
	}
}
