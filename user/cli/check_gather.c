// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: what the module, the interfaces, XFRM and other commands say. */
#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_rules.h"
#include "cli.h"

static int gather_endpoint(const struct imsipsec_endpoint *e, void *data)
{
	struct check *c = data;

	c->endpoints = check_grow(c->endpoints, &c->n_endpoints, sizeof(*c->endpoints));
	c->endpoints[c->n_endpoints - 1] = *e;
	return 0;
}

static int gather_algorithm(const struct imsipsec_pair_info *a, void *data)
{
	struct check *c = data;

	c->algorithms = check_grow(c->algorithms, &c->n_algorithms, sizeof(*c->algorithms));
	c->algorithms[c->n_algorithms - 1] = *a;
	return 0;
}

static bool is_in(const struct imsipsec_addr *prefix, unsigned int length,
		  const struct imsipsec_addr *address)
{
	const uint8_t *a = (const uint8_t *)&prefix->in6, *b = (const uint8_t *)&address->in6;
	const unsigned int bytes = length / 8, rest = length % 8;

	return prefix->family == address->family && !memcmp(a, b, bytes) &&
	       (!rest || !((a[bytes] ^ b[bytes]) >> (8 - rest)));
}

static int gather_trusted(const struct imsipsec_bundle *b, void *data)
{
	const struct imsipsec_endpoint *e;
	struct imsipsec_addr prefix;
	struct check *c = data;
	unsigned int length;
	size_t i, j;

	for (i = 0; i < c->n_endpoints; i++) {
		e = &c->endpoints[i];
		for (j = 0; j < e->n_trusted; j++) {
			if (e->id != b->endpoint ||
			    !check_get_trusted(e->trusted[j], &prefix, &length) ||
			    !is_in(&prefix, length, &b->ue_address))
				continue;
			c->trusted_ues++;
			return 0;
		}
	}
	return 0;
}

/* Bundles are asked for where somebody trusts: there may be many. */
static int gather_ues(struct imsipsec *h, struct check *c)
{
	size_t i;

	for (i = 0; i < c->n_endpoints; i++)
		if (c->endpoints[i].n_trusted)
			return imsipsec_bundle_dump(h, NULL, gather_trusted, c);
	return 0;
}

/* Not if it is not loaded: asking would load it. */
static void gather_module(struct check *c)
{
	const struct imsipsec_config *config;
	struct imsipsec *h;

	if (!check_exists(c, "/sys/module/ims_ipsec")) {
		c->open_error = -ENOENT;
		return;
	}
	c->open_error = imsipsec_open(&h);
	if (c->open_error)
		return;
	if (imsipsec_config_get(h, &config))
		die(EXIT_KERNEL, "%s", imsipsec_strerror(h));
	c->config = *config;
	c->config.allowed_algorithms = NULL;
	if (imsipsec_endpoint_dump(h, gather_endpoint, c) ||
	    imsipsec_pair_dump(h, gather_algorithm, c) || gather_ues(h, c))
		die(EXIT_KERNEL, "%s", imsipsec_strerror(h));
	c->module = true;
	imsipsec_close(h);
}

/* What cannot be asked for it is taken to have it. */
static bool has_no_gro(int fd, const char *interface)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GGRO };
	struct ifreq ifr = { .ifr_data = (void *)&value };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	return fd >= 0 && !ioctl(fd, SIOCETHTOOL, &ifr) && !value.data;
}

static void gather_addresses(struct check *c)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifaddrs *list, *i;
	struct check_address *a;

	if (getifaddrs(&list))
		die(EXIT_KERNEL, "addresses: %s", strerror(errno));
	for (i = list; i; i = i->ifa_next) {
		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		c->addresses = check_grow(c->addresses, &c->n_addresses,
					  sizeof(*c->addresses));
		a = &c->addresses[c->n_addresses - 1];
		a->address.family = i->ifa_addr->sa_family;
		if (a->address.family == AF_INET)
			a->address.in = ((struct sockaddr_in *)i->ifa_addr)->sin_addr;
		else
			a->address.in6 = ((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
		snprintf(a->interface, sizeof(a->interface), "%s", i->ifa_name);
		a->no_gro = has_no_gro(fd, a->interface);
	}
	freeifaddrs(list);
	if (fd >= 0)
		close(fd);
}

static enum check_default default_of(uint8_t value)
{
	return value == XFRM_USERPOLICY_BLOCK ? CHECK_DEFAULT_BLOCK : CHECK_DEFAULT_ACCEPT;
}

static int gather_default(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_userpolicy_default *d = mnl_nlmsg_get_payload(nlh);
	struct check *c = data;

	(void)h;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*d))
		return -EBADMSG;
	c->default_in = default_of(d->in);
	c->default_out = default_of(d->out);
	return 0;
}

/* What cannot be had stays unknown. */
static void gather_defaults(struct check *c)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct xfrm_userpolicy_default))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = XFRM_MSG_GETDEFAULT;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct xfrm_userpolicy_default));
	imsipsec_nl_ask(NETLINK_XFRM, nlh, XFRM_MSG_GETDEFAULT, gather_default, c);
}

/* What a command writes, to be freed; NULL, and *@error if it did not work. */
static char *output_of(const char *command, const char **error)
{
	char line[128], *text = NULL;
	size_t len = 0, n;
	FILE *pipe;
	int status;

	/* The shell's 127: there is no such command */
	snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin:/sbin exec %s 2>/dev/null", command);
	fflush(stdout);
	pipe = popen(line, "re");
	if (!pipe)
		die(EXIT_KERNEL, "%s: %s", command, strerror(errno));
	do {
		text = realloc(text, len + 4096 + 1);
		if (!text)
			die(EXIT_KERNEL, "%s", strerror(ENOMEM));
		n = fread(text + len, 1, 4096, pipe);
		len += n;
	} while (n);
	text[len] = '\0';
	status = pclose(pipe);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return text;
	*error = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "is not installed" : "failed";
	free(text);
	return NULL;
}

/* Those of the kernel's old tables, which nft does not show. */
static void gather_iptables(struct check *c, unsigned int i, const char *names,
			    const char *legacy, const char *plain)
{
	char *tables = check_read(c, "%s", names);

	/* No file: no such tables in this kernel. Empty: none are used in this namespace. */
	if (tables && *tables) {
		c->iptables[i] = output_of(legacy, &c->iptables_error[i]);
		if (!c->iptables[i] && !strcmp(c->iptables_error[i], "is not installed")) {
			c->iptables_error[i] = NULL;
			c->iptables[i] = output_of(plain, &c->iptables_error[i]);
		}
	}
	free(tables);
}

/* Those of nftables that iptables made: nft lacks the masks of some, and shows none of others. */
static void gather_iptables_nft(struct check *c, unsigned int i, const char *family,
				const char *command)
{
	const char *error;

	if (!check_nft_has_table(c, family))
		return;
	c->iptables_nft[i] = output_of(command, &error);
	if (c->iptables_nft[i] && strstr(c->iptables_nft[i], "unsupported")) {
		free(c->iptables_nft[i]);
		c->iptables_nft[i] = NULL;
	}
}

/* Of packet filters, by their commands */
void check_gather_rules(struct check *c)
{
	char *nft = output_of("nft -j -n -s list ruleset", &c->nft_error);

	if (nft) {
		c->nft_error = "writes no JSON that is understood";
		c->nft = check_nft_parse(nft);
		free(nft);
	}
	gather_iptables(c, 0, "/proc/net/ip_tables_names", "iptables-legacy-save",
			"iptables-save");
	gather_iptables(c, 1, "/proc/net/ip6_tables_names", "ip6tables-legacy-save",
			"ip6tables-save");
	if (c->nft) {
		gather_iptables_nft(c, 0, "ip", "iptables-nft-save");
		gather_iptables_nft(c, 1, "ip6", "ip6tables-nft-save");
	}
}

/*
 * Ask the kernel for all of a kind. @nlh: the request, with its type and its header; @each
 * gets what it answers, which has @type. Return: 0, or negative: it is not all.
 */
int check_dump(int bus, struct nlmsghdr *nlh, uint16_t type, imsipsec_reply_fn each, void *data)
{
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	return imsipsec_nl_ask(bus, nlh, type, each, data);
}

void check_gather_host(struct check *c)
{
	gather_module(c);
	gather_addresses(c);
	gather_defaults(c);
}
