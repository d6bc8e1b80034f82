// SPDX-License-Identifier: GPL-2.0-only
/*
 * A network namespace with a way in and a way out: packets come from TAP
 * devices, as from an Ethernet card, and go to a dummy device, which drops them,
 * by a gateway, so that one neighbour serves all UEs.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "net.h"

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(2, "%s", path);
	close(fd);
}

/* A kernel module is to be there, or not */
void net_load(const char *module, bool there)
{
	char command[64], name[64];
	bool found = false;
	FILE *f;

	snprintf(command, sizeof(command), "modprobe %s%s", there ? "" : "-r ", module);
	if (system(command))
		errx(2, "%s", command);
	f = fopen("/proc/modules", "r");
	while (f && fscanf(f, "%63s%*[^\n]", name) == 1)
		found |= !strcmp(name, module);
	if (!f || found != there)
		errx(2, "%s is%s loaded", module, there ? " not" : "");
	fclose(f);
}

void net_load_ciphers(void)
{
	net_load("aesni_intel", true);
	/* newer kernels have that of SHA-1 built in */
	if (!system("modinfo sha1_ssse3 >/dev/null 2>&1"))
		net_load("sha1_ssse3", true);
}

/* ---- Messages -------------------------------------------------------- */

struct nlmsghdr *net_start_message(char *buf, uint16_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	return nlh;
}

void net_request(int protocol, const struct nlmsghdr *nlh, const char *what)
{
	struct mnl_socket *nl = mnl_socket_open(protocol);
	char buf[MNL_SOCKET_BUFFER_SIZE];
	int n;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		err(2, "netlink socket");
	n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (n < 0 || mnl_cb_run(buf, n, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0)
		err(2, "%s", what);
	mnl_socket_close(nl);
}

static void add_dummy(const char *name)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = net_start_message(buf, RTM_NEWLINK);
	struct nlattr *info;

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "dummy");
	mnl_attr_nest_end(nlh, info);
	net_request(NETLINK_ROUTE, nlh, name);
}

static size_t parse(const struct setup *s, const char *text, uint8_t *addr)
{
	if (inet_pton(s->family, text, addr) != 1)
		errx(2, "%s", text);
	return s->family == AF_INET ? 4 : 16;
}

static void add_address(const struct setup *s, const char *dev, const char *text, int prefixlen)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = net_start_message(buf, RTM_NEWADDR);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	uint8_t addr[16];
	size_t len = parse(s, text, addr);

	ifa->ifa_family = s->family;
	ifa->ifa_prefixlen = prefixlen;
	ifa->ifa_flags = IFA_F_NODAD;
	ifa->ifa_index = if_nametoindex(dev);
	mnl_attr_put(nlh, IFA_LOCAL, len, addr);
	mnl_attr_put(nlh, IFA_ADDRESS, len, addr);
	net_request(NETLINK_ROUTE, nlh, text);
}

static void add_default_route(const struct setup *s, const char *dev, const char *gateway)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = net_start_message(buf, RTM_NEWROUTE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	uint8_t addr[16];
	size_t len = parse(s, gateway, addr);

	rtm->rtm_family = s->family;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put(nlh, RTA_GATEWAY, len, addr);
	mnl_attr_put_u32(nlh, RTA_OIF, if_nametoindex(dev));
	net_request(NETLINK_ROUTE, nlh, gateway);
}

/* ---- Devices --------------------------------------------------------- */

static void set_up(const char *dev)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", dev);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr))
		err(2, "%s", dev);
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		err(2, "%s", dev);
	close(fd);
}

/*
 * With IFF_NAPI its packets pass GRO, without it they do not; with
 * IFF_MULTI_QUEUE it may be opened several times.
 */
void net_open_tap(struct tap *tap, const char *name, int flags)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | flags };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tap->fd < 0 || ioctl(tap->fd, TUNSETIFF, &ifr) || ioctl(tap->fd, SIOCGIFHWADDR, &ifr))
		err(2, "%s", name);
	memcpy(tap->mac, ifr.ifr_hwaddr.sa_data, sizeof(tap->mac));
	set_up(name);
}

/* The P-CSCF's */
void net_add_address(const struct setup *s)
{
	char addr[INET6_ADDRSTRLEN];

	inet_ntop(s->family, &s->addr, addr, sizeof(addr));
	add_address(s, "out", addr, s->family == AF_INET ? 32 : 128);
}

/* The caller gets a namespace of its own, in which nothing happens by itself. */
void net_make(const struct setup *s)
{
	const bool v4 = s->family == AF_INET;

	if (unshare(CLONE_NEWNET))
		err(2, "unshare");
	net_load("tun", true);	/* nothing else makes its device file */
	/* No link-local addresses, so nobody to look for neighbours and routers */
	write_file("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1");
	set_up("lo");
	add_dummy("out");
	set_up("out");
	net_add_address(s);
	add_address(s, "out", v4 ? "198.51.100.2" : "2001:db8:ffff::2", v4 ? 24 : 64);
	add_default_route(s, "out", v4 ? "198.51.100.1" : "2001:db8:ffff::1");
}

/* Is what is for somebody else passed on? */
void net_forward(const struct setup *s, bool on)
{
	write_file(s->family == AF_INET ? "/proc/sys/net/ipv4/ip_forward"
					: "/proc/sys/net/ipv6/conf/all/forwarding", on ? "1" : "0");
}

/* ---- Sockets and counters -------------------------------------------- */

int net_open_udp(const struct setup *s, uint16_t port)
{
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr sa;
	} local = { 0 };
	const int size = 16 << 20;
	int fd = socket(s->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	local.sa.sa_family = s->family;
	if (s->family == AF_INET) {
		local.in.sin_port = htons(port);
		local.in.sin_addr.s_addr = s->addr.a4;
	} else {
		local.in6.sin6_port = htons(port);
		memcpy(&local.in6.sin6_addr, &s->addr, sizeof(local.in6.sin6_addr));
	}
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, &local.sa, s->family == AF_INET ? sizeof(local.in) : sizeof(local.in6)))
		err(2, "UDP socket, port %u", port);
	return fd;
}

/*
 * A counter of IP in this namespace. /proc/net/snmp has a line of names and one
 * of values, /proc/net/snmp6 a line each.
 */
uint64_t net_counter(const struct setup *s, const char *name)
{
	const bool v4 = s->family == AF_INET;
	char names[1024], values[1024];
	unsigned long long value;
	FILE *f = fopen(v4 ? "/proc/self/net/snmp" : "/proc/self/net/snmp6", "r");

	if (!f)
		err(2, "snmp");
	while (fgets(names, sizeof(names), f)) {
		char *n, *v, *at_name, *at_value;

		if (!v4) {
			if (sscanf(names, "Ip6%s %llu", values, &value) == 2 &&
			    !strcmp(values, name))
				goto found;
			continue;
		}
		if (!fgets(values, sizeof(values), f))
			break;
		if (strncmp(names, "Ip:", 3))
			continue;
		n = strtok_r(names, " \n", &at_name);
		v = strtok_r(values, " \n", &at_value);
		while (n && v) {
			if (!strcmp(n, name) && sscanf(v, "%llu", &value) == 1)
				goto found;
			n = strtok_r(NULL, " \n", &at_name);
			v = strtok_r(NULL, " \n", &at_value);
		}
	}
	errx(2, "no counter %s", name);
found:
	fclose(f);
	return value;
}

/* The packets that have been passed on */
uint64_t net_forwarded(const struct setup *s)
{
	return net_counter(s, s->family == AF_INET ? "ForwDatagrams" : "OutForwDatagrams");
}
