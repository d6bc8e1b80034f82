// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: each finding both ways, on a host that is a folder of files and a
 * struct. All is well in it; a case breaks one thing.
 */
#define _XOPEN_SOURCE 700	/* nftw() */
#include <errno.h>
#include <ftw.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../cli/check_rules.h"
#include "../cli/cli.h"
#include "tap.h"

/* Of the command's output.c and batch.c */
bool json_wanted, force_wanted;
struct json json_out;

void die(int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	exit(status);
}

/* What check says of a new endpoint goes there: the tests in the VM look at that. */
int fail(const char *fmt, ...)
{
	(void)fmt;
	return EXIT_KERNEL;
}

/* What nft writes of the rulesets below, by their text: nft_json.py makes it. */
static struct json_object *rulesets;
static FILE *texts;		/* to write them to, for nft_json.py */

static char root[] = "/tmp/check_test.XXXXXX";
static struct check c;

static void write_file(const char *path, const char *text)
{
	char full[512], *slash;
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (slash = full + strlen(root); (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	file = fopen(full, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		die(1, "%s: %s\n", full, strerror(errno));
}

static void remove_file(const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	if (remove(full))
		die(1, "%s: %s\n", full, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_all(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define DEP(file)	"kernel/" file ".ko.xz: kernel/lib/crypto/x.ko.xz\n"

static const struct {
	const char *path, *text;
} files[] = {
	{ "/sys/module/ims_ipsec/version", IMSIPSEC_VERSION "\n" },
	{ "/proc/self/status", "Name:\timsipsec\nCapPrm:\t0000000000000000\n"
	  "CapEff:\t0000000000001000\nCapBnd:\t0000000000000000\n" },
	{ "/proc/modules", "ims_ipsec 1 0 - Live 0x0\naesni_intel 1 0 - Live 0x0\n"
	  "sha1_ssse3 1 0 - Live 0x0\nesp4 1 0 - Live 0x0\n" },
	{ "/proc/sys/kernel/osrelease", "6.12.0-test\n" },
	{ "/lib/modules/6.12.0-test/modules.dep", DEP("net/ipv4/esp4") DEP("net/ipv6/esp6")
	  DEP("net/ipv4/esp4_offload") DEP("arch/x86/crypto/aesni-intel")
	  DEP("arch/x86/crypto/sha1-ssse3") DEP("arch/x86/crypto/ghash-clmulni-intel") },
	{ "/lib/modules/6.12.0-test/modules.builtin", "kernel/net/ipv6/esp6_offload.ko\n" },
	{ "/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu lm ssse3 aes xsaveopt\nbugs\t\t: pclmulqdq\n" },
	{ "/proc/meminfo", "MemTotal:       16000000 kB\nMemFree:          100000 kB\n"
	  "MemAvailable:    8000000 kB\n" },
	{ "/proc/sys/net/ipv4/tcp_fwmark_accept", "1\n" },
	{ "/proc/sys/net/core/netdev_max_backlog", "1000\n" },
	{ "/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n" },
	{ "/proc/sys/net/ipv4/ip_local_reserved_ports", "\n" },
	{ "/proc/sys/net/ipv4/conf/all/disable_xfrm", "0\n" },
	{ "/proc/sys/net/ipv4/conf/default/disable_xfrm", "1\n" },
	{ "/proc/sys/net/ipv4/conf/lo/disable_xfrm", "1\n" },
	{ "/proc/sys/net/ipv4/conf/eth0/disable_xfrm", "0\n" },
	{ "/proc/sys/net/ipv4/conf/eth1.5/disable_xfrm", "0\n" },
	{ "/proc/net/udp", "   sl  local_address rem_address   st\n"
	  "  12: 0100007F:0035 00000000:0000 07\n" },
};

static void add_endpoint(const char *address)
{
	struct imsipsec_endpoint *e;

	c.endpoints = check_grow(c.endpoints, &c.n_endpoints, sizeof(*e));
	e = &c.endpoints[c.n_endpoints - 1];
	e->id = c.n_endpoints;
	imsipsec_addr_parse(&e->address, address);
	e->port_ps = 5063;
	e->port_pc[0] = 5062;
	e->port_pc[1] = 5064;
	e->n_port_pc = 2;
	e->guard = IMSIPSEC_GUARD_DROP;
	e->nat_port = 4500;
	e->hw_offload = IMSIPSEC_OFFLOAD_CRYPTO;
}

static void add_algorithm(enum imsipsec_alg alg, enum imsipsec_ealg ealg, const char *driver)
{
	struct imsipsec_pair_info *a;

	c.algorithms = check_grow(c.algorithms, &c.n_algorithms, sizeof(*a));
	a = &c.algorithms[c.n_algorithms - 1];
	a->alg = alg;
	a->ealg = ealg;
	a->rank = c.n_algorithms;
	snprintf(a->driver, sizeof(a->driver), "%s", driver);
}

static void add_address(const char *text, const char *interface)
{
	struct check_address *a;

	c.addresses = check_grow(c.addresses, &c.n_addresses, sizeof(*a));
	a = &c.addresses[c.n_addresses - 1];
	imsipsec_addr_parse(&a->address, text);
	snprintf(a->interface, sizeof(a->interface), "%s", interface);
}

/* A host on which all is well */
static void begin(void)
{
	size_t i;

	check_free(&c);
	remove_all();
	for (i = 0; i < ARRAY_SIZE(files); i++)
		write_file(files[i].path, files[i].text);
	c = (struct check) {
		.root = root,
		.ues = 64000,
		.module = true,
		.config = {
			.min_spi = 65536, .max_spi = 600000, .max_bundles = 262144,
			.max_sets = 3, .mark_mask = 0xffffff, .nat_port = 4500,
		},
		.default_in = CHECK_DEFAULT_ACCEPT,
		.default_out = CHECK_DEFAULT_ACCEPT,
	};
	add_endpoint("192.0.2.1");
	add_address("192.0.2.1", "eth0");
	add_algorithm(IMSIPSEC_ALG_NULL, IMSIPSEC_EALG_AES_GCM, "ims_seqiv(rfc4106-gcm-aesni)");
	add_algorithm(IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_AES_CBC,
		      "ims_echainiv(authenc(hmac(sha1-avx2),cbc-aes-aesni))");
	c.nft = json_object_new_array();
}

/* How many there are of a level */
static unsigned int count(enum check_level level)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < c.n_findings; i++)
		n += c.findings[i].level == level;
	return n;
}

static void say(void)
{
	size_t i;

	for (i = 0; i < c.n_findings; i++)
		printf("# %d %s: %s; cure: %s\n", c.findings[i].level, c.findings[i].check,
		       c.findings[i].text, c.findings[i].cure);
}

/* Is there one of that check, with these texts, and a cure just where one is needed? */
static bool has(enum check_level level, const char *check, const char *text, const char *cure)
{
	const struct check_finding *f;
	size_t i;

	for (i = 0; i < c.n_findings; i++) {
		f = &c.findings[i];
		if (f->level == level && !strcmp(f->check, check) && strstr(f->text, text) &&
		    strstr(f->cure, cure) && !*f->cure == (level == CHECK_OK))
			return true;
	}
	return false;
}

/* All is well but for this */
static void only(enum check_level level, const char *check, const char *text, const char *cure)
{
	bool good;

	check_run(&c);
	good = has(level, check, text, cure) && count(level) == 1 &&
	       !count(level == CHECK_FAULT ? CHECK_WARNING : CHECK_FAULT);
	if (!good)
		say();
	ok(good, "CHECK: %s: %s: %s", level == CHECK_FAULT ? "fault" : "warning", check, text);
}

/* Nothing but good */
static void well(const char *check, const char *text)
{
	bool good;

	check_run(&c);
	good = has(CHECK_OK, check, text, "") && !count(CHECK_WARNING) && !count(CHECK_FAULT);
	if (!good)
		say();
	ok(good, "CHECK: ok: %s: %s", check, text);
}

static void test_module(void)
{
	begin();
	well("module", "version " IMSIPSEC_VERSION " is loaded");
	begin();
	write_file("/sys/module/ims_ipsec/version", "0.0.1\n");
	only(CHECK_WARNING, "module", "version 0.0.1 is loaded", "rmmod");
	begin();
	c.open_error = -ENOMEM;
	only(CHECK_FAULT, "module", imsipsec_open_strerror(-ENOMEM), "dmesg");

	begin();
	remove_file("/sys/module/ims_ipsec/version");
	only(CHECK_WARNING, "module", "version unknown", "rmmod");

	/* Not loaded: what needs its answers is not claimed, and said to be left out */
	begin();
	remove_all();
	write_file("/proc/self/status", files[1].text);
	write_file("/proc/meminfo", "x\nMemAvailable: 8000000 kB\n");
	write_file("/proc/sys/net/core/netdev_max_backlog", "1000\n");
	write_file("/proc/sys/kernel/osrelease", "6.12.0-test\n");
	c.module = false;
	c.open_error = -ENOENT;
	check_run(&c);
	ok(has(CHECK_FAULT, "module", "not loaded", "install the module for kernel 6.12.0-test: the packages "
	       "ims-ipsec-dkms and linux-headers-6.12.0-test"), "CHECK: not loaded, and not installed for this kernel");
	ok(has(CHECK_WARNING, "left-out", "endpoints, address, trusted, nat-port, tcp-marks, local-ports, disable-xfrm, "
	       "policies, firewall, mark-rules, sockets, algorithms, esp, dropped, offload, gro, spis, bundles, marks",
	       "imsipsec check once more") && count(CHECK_WARNING) == 1 && count(CHECK_FAULT) == 1,
	   "CHECK: not loaded: what was not looked at is said");
	ok(c.n_findings == 6, "without the module: %zu findings", c.n_findings);
	begin();
	write_file("/lib/modules/6.12.0-test/modules.dep", "updates/dkms/ims_ipsec.ko.xz: updates/dkms/ims_ipsec_iv.ko.xz\n");
	remove_file("/sys/module/ims_ipsec/version");
	remove_file("/sys/module/ims_ipsec");
	c.module = false;
	c.open_error = -ENOENT;
	check_run(&c);
	ok(has(CHECK_FAULT, "module", "not loaded", "modprobe ims_ipsec, at boot: systemctl enable ims_ipsec"),
	   "CHECK: not loaded, and installed");
}

static void test_capability(void)
{
	begin();
	well("capability", "CAP_NET_ADMIN is there");
	begin();
	write_file("/proc/self/status", "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffefff\n");
	c.open_error = -EPERM;
	only(CHECK_FAULT, "capability", "CAP_NET_ADMIN is missing", "AmbientCapabilities=");
}

static void test_endpoints(void)
{
	begin();
	well("endpoints", "1");
	begin();
	c.n_endpoints = 0;
	only(CHECK_WARNING, "endpoints", "no port is shut", "imsipsec endpoint add");

	begin();
	well("address", "192.0.2.1 of endpoint 1 is on eth0");
	begin();
	c.n_addresses = 0;
	only(CHECK_WARNING, "address", "192.0.2.1 of endpoint 1 is on no interface",
	     "ip address add 192.0.2.1/32");
	begin();
	add_endpoint("2001:db8::1");
	add_address("2001:db8::2", "eth0");
	only(CHECK_WARNING, "address", "2001:db8::1 of endpoint 2", "2001:db8::1/128");
}

static void test_nat_port(void)
{
	begin();
	well("nat-port", "no endpoint has NAT traversal");
	begin();
	c.endpoints[0].nat_traversal = true;
	well("nat-port", "endpoint 1 has the socket at UDP port 4500");
	begin();
	c.endpoints[0].nat_traversal = true;
	c.endpoints[0].nat_shared = true;
	only(CHECK_WARNING, "nat-port", "a socket of somebody else", "nat-shared off");
	begin();
	c.config.nat_traversal = true;
	well("nat-port", "UDP port 4500 is free");
	begin();
	c.config.nat_traversal = true;
	write_file("/proc/net/udp6", "  sl  local_address remote_address\n"
		   "   1: 00000000000000000000000000000000:1194 0:0 07\n");
	only(CHECK_WARNING, "nat-port", "somebody has UDP port 4500", "ss -ulpn sport = 4500");
}

static void test_sysctls(void)
{
	begin();
	well("tcp-marks", "net.ipv4.tcp_fwmark_accept is 1");
	begin();
	write_file("/proc/sys/net/ipv4/tcp_fwmark_accept", "0\n");
	only(CHECK_WARNING, "tcp-marks", "do not tell", "sysctl -w net.ipv4.tcp_fwmark_accept=1");
	begin();
	write_file("/proc/sys/net/ipv4/tcp_fwmark_accept", "0\n");
	c.endpoints[0].nat_traversal = true;
	only(CHECK_FAULT, "tcp-marks", "answers are dropped", "tcp_fwmark_accept=1");
	begin();
	write_file("/proc/sys/net/ipv4/tcp_fwmark_accept", "0\n");
	c.config.mark_mask = 0;
	well("tcp-marks", "there are no marks");
	begin();
	remove_file("/proc/sys/net/ipv4/tcp_fwmark_accept");
	only(CHECK_WARNING, "tcp-marks", "cannot be read", "by hand");

	begin();
	well("backlog", "netdev_max_backlog is 1000");
	begin();
	write_file("/proc/sys/net/core/netdev_max_backlog", "300\n");
	only(CHECK_WARNING, "backlog", "is 300, for 64000 UEs 1000", "netdev_max_backlog=1000");
	begin();
	c.ues = 128000;
	c.config.max_bundles = 400000;
	c.config.max_spi = 2000000;
	only(CHECK_WARNING, "backlog", "is 1000, for 128000 UEs 1280", "netdev_max_backlog=1280");
	begin();
	remove_file("/proc/sys/net/core/netdev_max_backlog");
	only(CHECK_WARNING, "backlog", "cannot be seen", "at least 1000");

	begin();
	well("local-ports", "32768 to 60999");
	begin();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n");
	only(CHECK_WARNING, "local-ports", "port 5063,5062,5064 ",
	     "ip_local_reserved_ports=5063,5062,5064");
	begin();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n");
	write_file("/proc/sys/net/ipv4/ip_local_reserved_ports", "5060-5063\n");
	c.endpoints[0].nat_traversal = true;
	only(CHECK_WARNING, "local-ports", "port 5064,4500 ",
	     "ip_local_reserved_ports=5060-5063,5064,4500");
	begin();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "5063 5063\n");
	only(CHECK_WARNING, "local-ports", "port 5063 ", "=5063");
	begin();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n");
	write_file("/proc/sys/net/ipv4/ip_local_reserved_ports", "80,5060-5064,9000\n");
	well("local-ports", "1024 to 65535");

	begin();
	well("disable-xfrm", "is 0, but for lo");
	begin();
	write_file("/proc/sys/net/ipv4/conf/all/disable_xfrm", "1\n");
	only(CHECK_FAULT, "disable-xfrm", "conf.all.", "net/ipv4/conf/all/disable_xfrm=0");
	begin();
	write_file("/proc/sys/net/ipv4/conf/eth0/disable_xfrm", "1\n");
	only(CHECK_FAULT, "disable-xfrm", "what 192.0.2.1 sends", "conf/eth0/disable_xfrm=0");
	begin();
	write_file("/proc/sys/net/ipv4/conf/eth1.5/disable_xfrm", "1\n");
	only(CHECK_WARNING, "disable-xfrm", "conf.eth1.5.", "conf/eth1.5/disable_xfrm=0");

	begin();
	well("default-policy", "accepts");
	begin();
	c.default_in = CHECK_DEFAULT_BLOCK;
	only(CHECK_WARNING, "default-policy", "nothing of them arrives", "in accept");
	begin();
	c.default_out = CHECK_DEFAULT_BLOCK;
	only(CHECK_WARNING, "default-policy", "does not leave", "out accept");
	begin();
	c.default_in = CHECK_DEFAULT_UNKNOWN;
	only(CHECK_WARNING, "default-policy", "does not tell", "getdefault");
}

/* One of XFRM's, from the address of endpoint 1 to all others */
static struct check_policy *add_policy(int dir, uint16_t port, uint32_t priority)
{
	struct check_policy *p;

	c.policies = check_grow(c.policies, &c.n_policies, sizeof(*p));
	p = &c.policies[c.n_policies - 1];
	*p = (struct check_policy) {
		.dir = dir, .family = AF_INET, .index = 8 * c.n_policies + dir, .priority = priority,
		.esp_transport = true, .local_prefix = 32, .port = port, .port_mask = port ? 0xffff : 0,
	};
	imsipsec_addr_parse(&p->local, "192.0.2.1");
	imsipsec_addr_parse(&p->remote, "0.0.0.0");
	return p;
}

#define IN	XFRM_POLICY_IN
#define OUT	XFRM_POLICY_OUT

static void test_policies(void)
{
	struct check_policy *p;
	unsigned int i;

	begin();
	well("policies", "no XFRM policy of somebody else's");
	begin();
	c.policies_error = true;
	only(CHECK_WARNING, "policies", "does not tell", "ip xfrm policy");
	/* The endpoint's own, and of a UE behind a NAT */
	begin();
	add_policy(OUT, 5063, 4)->templates = true;
	p = add_policy(OUT, 5063, 2);
	p->templates = p->remote_port = true;
	p->esp_transport = false;
	p->remote_prefix = 32;
	c.endpoints[0].nat_traversal = true;
	well("policies", "no XFRM policy of somebody else's");
	/* After ours; not at our ports, address or family */
	begin();
	add_policy(OUT, 5063, 5)->blocks = true;
	add_policy(OUT, 5065, 0)->blocks = true;
	add_policy(IN, 5065, 0)->blocks = true;
	add_policy(IN, 0, 0)->proto = IPPROTO_ICMP;
	c.policies[3].blocks = true;
	imsipsec_addr_parse(&add_policy(IN, 0, 0)->local, "192.0.2.2");
	c.policies[4].blocks = true;
	p = add_policy(IN, 0, 0);
	p->family = AF_INET6;
	p->blocks = true;
	add_policy(IN, 0, 0);
	well("policies", "no XFRM policy of somebody else's");

	begin();
	add_policy(OUT, 0, 0);
	only(CHECK_FAULT, "policies", "dir out, local 192.0.2.1/32, remote 0.0.0.0/0, priority 0, has other SAs, or none, for "
	     "what leaves port 5063 of endpoint 1", "ip xfrm policy delete dir out index 9, or give it a priority above 4");
	begin();
	p = add_policy(OUT, 5062, 2);
	p->blocks = true;
	imsipsec_addr_parse(&p->remote, "198.51.100.0");
	p->remote_prefix = 24;
	only(CHECK_WARNING, "policies", "remote 198.51.100.0/24, priority 2, drops what leaves port 5062", "index 9");
	begin();
	add_policy(OUT, 5063, 3);
	only(CHECK_FAULT, "policies", "what leaves port 5063", "index 9");
	begin();
	p = add_policy(IN, 0, 9999);
	p->blocks = true;
	imsipsec_addr_parse(&p->local, "192.0.3.0");
	p->local_prefix = 23;
	only(CHECK_FAULT, "policies", "dir in, local 192.0.3.0/23, remote 0.0.0.0/0, priority 9999, drops what comes to port 5063",
	     "ip xfrm policy delete dir in index 8, or one ahead");
	begin();
	p = add_policy(IN, 0, 9999);
	p->blocks = true;
	add_policy(IN, 0, 9998);
	well("policies", "no XFRM policy of somebody else's");
	begin();
	p = add_policy(IN, 5064, 1);
	p->templates = true;
	p->esp_transport = false;
	p->proto = IPPROTO_UDP;
	only(CHECK_WARNING, "policies", "not all of it, priority 1, asks for other SAs of what comes to port 5064", "dir in index 8");
	begin();
	p = add_policy(IN, 5064, 1);
	p->blocks = p->marked = true;
	only(CHECK_WARNING, "policies", "some marks", "index 8");
	begin();
	add_policy(IN, 4500, 1)->blocks = true;
	well("policies", "no XFRM policy of somebody else's");
	begin();
	add_policy(IN, 4500, 1)->blocks = true;
	c.endpoints[0].nat_traversal = true;
	only(CHECK_FAULT, "policies", "what comes to UDP port 4500", "index 8");

	/* As other P-CSCFs make them, in and out: one finding for all of them */
	begin();
	for (i = 0; i < 6; i++) {
		p = add_policy(i % 2 ? OUT : IN, i < 4 ? 5063 : 5062, 2080);
		p->templates = p->one_ue = p->remote_port = true;
		p->esp_transport = i % 2;
		imsipsec_addr_parse(&p->remote, "198.51.100.7");
		p->remote_prefix = 32;
	}
	only(CHECK_WARNING, "policies", "protected ports of endpoint 1 belong to 6 XFRM policies of somebody else's, each for one "
	     "UE, the first at 192.0.2.1 port 5063", "load ims_ipsec.so (Kamailio) or proto_ims_ipsec.so (OpenSIPS)");
	/* Not at our ports */
	begin();
	p = add_policy(IN, 5065, 2080);
	p->templates = p->one_ue = p->remote_port = true;
	p->esp_transport = false;
	well("policies", "no XFRM policy of somebody else's");

	/* Sub-policies are asked besides, whatever their priority. */
	begin();
	p = add_policy(OUT, 0, 5000);
	p->blocks = p->sub = true;
	only(CHECK_FAULT, "policies", "an XFRM sub-policy of somebody else's, dir out, local 192.0.2.1/32, remote 0.0.0.0/0, "
	     "priority 5000, drops what leaves port 5063", "ip xfrm policy delete dir out index 9 ptype sub");
	begin();
	p = add_policy(OUT, 5062, 5000);
	p->templates = p->sub = true;
	only(CHECK_FAULT, "policies", "has other SAs, or none, for what leaves port 5062", "ptype sub");
	begin();
	add_policy(OUT, 0, 0)->sub = true;
	well("policies", "no XFRM policy of somebody else's");
	begin();
	p = add_policy(OUT, 5063, 3);
	p->templates = p->sub = true;
	only(CHECK_FAULT, "policies", "what leaves port 5063", "ptype sub");
	/* One that lets all in excepts from those of its own kind alone. */
	begin();
	p = add_policy(IN, 0, 9999);
	p->blocks = p->sub = true;
	add_policy(IN, 0, 1);
	only(CHECK_FAULT, "policies", "drops what comes to port 5063", "delete dir in index 8 ptype sub");
	begin();
	add_policy(IN, 0, 9999)->blocks = true;
	add_policy(IN, 0, 1)->sub = true;
	only(CHECK_FAULT, "policies", "drops what comes to port 5063", "delete dir in index 8, or one ahead");
	begin();
	p = add_policy(IN, 0, 9999);
	p->blocks = p->sub = true;
	add_policy(IN, 0, 1)->sub = true;
	well("policies", "no XFRM policy of somebody else's");
}

static void test_algorithms(void)
{
	begin();
	well("algorithms", "one cipher");
	begin();
	strcpy(c.algorithms[0].driver, "seqiv(rfc4106-gcm-aesni)");
	only(CHECK_WARNING, "algorithms", "1 of the pairs that are allowed have the kernel's IV", "own=0");
	begin();
	*c.algorithms[0].driver = '\0';
	only(CHECK_WARNING, "algorithms", "alg null ealg aes-gcm is allowed, and not in this kernel",
	     "allowed-algorithms");
	begin();
	*c.algorithms[0].driver = '\0';
	c.algorithms[0].rank = 0;
	well("algorithms", "1 of the pairs");
	begin();
	c.algorithms[0].rank = c.algorithms[1].rank = 0;
	only(CHECK_FAULT, "algorithms", "none of the algorithms", "allowed-algorithms all");

	begin();
	write_file("/proc/modules", "esp4 1 0 - Live 0x0\n");
	strcpy(c.algorithms[1].driver, "ims_echainiv(authenc(hmac(sha1-avx2),cbc(aes-generic)))");
	only(CHECK_WARNING, "algorithms", "cbc(aes-generic)))", "modprobe aesni_intel");
	begin();
	write_file("/proc/modules", "esp4 1 0 - Live 0x0\n");
	strcpy(c.algorithms[1].driver, "ims_echainiv(authenc(hmac(sha1-generic),cbc-aes-aesni))");
	only(CHECK_WARNING, "algorithms", "sha1-generic", "modprobe sha1_ssse3");
	/* The processor cannot, the module is not there, or it is loaded */
	begin();
	strcpy(c.algorithms[0].driver, "ims_seqiv(rfc4106(gcm_base(ctr-aes-aesni,ghash-generic)))");
	well("algorithms", "2 of the pairs");
	begin();
	write_file("/proc/modules", "esp4 1 0 - Live 0x0\n");
	write_file("/lib/modules/6.12.0-test/modules.dep", DEP("net/ipv4/esp4"));
	strcpy(c.algorithms[1].driver, "ims_echainiv(authenc(hmac(sha1-generic),cbc(aes-generic)))");
	well("algorithms", "2 of the pairs");
	begin();
	strcpy(c.algorithms[1].driver, "ims_echainiv(authenc(hmac(sha1-generic),cbc(aes-generic)))");
	well("algorithms", "2 of the pairs");
}

static void test_modules(void)
{
	begin();
	well("esp", "esp4 is in the kernel");
	begin();
	write_file("/proc/modules", "aesni_intel 1 0 - Live 0x0\n");
	well("esp", "esp4 is loaded when it is needed");
	begin();
	write_file("/proc/modules", "aesni_intel 1 0 - Live 0x0\nesp4_other 1 0 - Live 0x0\n");
	write_file("/lib/modules/6.12.0-test/modules.dep",
		   "kernel/x.ko: kernel/net/ipv4/esp4.ko\n" DEP("net/ipv6/esp6"));
	only(CHECK_FAULT, "esp", "the kernel has no esp4", "CONFIG_INET_ESP");
	begin();
	write_file("/lib/modules/6.12.0-test/modules.dep", DEP("net/ipv4/esp4"));
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
	only(CHECK_FAULT, "esp", "the kernel has no esp6", "CONFIG_INET6_ESP");

	begin();
	well("dropped", "all the ESP that came had an SA");
	begin();
	c.endpoints[0].esp_bad_icv = 3;
	only(CHECK_WARNING, "dropped", "3 packets had another key", "imsipsec trace");
	begin();
	c.endpoints[0].esp_unknown_spi = 4;
	only(CHECK_WARNING, "dropped", "4 an SPI that no SA has", "imsipsec trace");
	begin();
	c.endpoints[0].clear_to_ue = 5;
	only(CHECK_WARNING, "dropped", "5 packets left in clear", "port-ps");

	begin();
	c.endpoints[0].hw_offload = IMSIPSEC_OFFLOAD_SOFTWARE;
	well("offload", "esp4_offload, which endpoint 1 wants, is loaded when");
	begin();
	write_file("/proc/modules", "esp4 1 0 - Live 0x0\nesp4_offload 1 0 - Live 0x0\n");
	strcpy(c.endpoints[0].hw_offload_interface, "eth0");
	well("offload", "esp4_offload, which endpoint 1 wants, is in");
	begin();
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
	c.endpoints[1].hw_offload = IMSIPSEC_OFFLOAD_SOFTWARE;
	well("offload", "esp6_offload, which endpoint 2 wants, is in");
	begin();
	write_file("/lib/modules/6.12.0-test/modules.dep", DEP("net/ipv4/esp4"));
	c.endpoints[0].hw_offload = IMSIPSEC_OFFLOAD_SOFTWARE;
	only(CHECK_WARNING, "offload", "has no esp4_offload", "hw-offload off");
	begin();
	write_file("/lib/modules/6.12.0-test/modules.dep", DEP("net/ipv4/esp4"));
	c.endpoints[0].hw_offload = IMSIPSEC_OFFLOAD_SOFTWARE;
	c.endpoints[0].hw_offload_required = true;
	only(CHECK_FAULT, "offload", "has no esp4_offload", "hw-offload off");

	begin();
	well("gro", "endpoint 1: ESP is taken a packet at a time; with hw-offload software");
	begin();
	c.endpoints[0].hw_offload = IMSIPSEC_OFFLOAD_SOFTWARE;
	well("gro", "endpoint 1: ESP is taken by GRO on eth0");
	begin();
	write_file("/proc/modules", "esp4 1 0 - Live 0x0\nesp4_offload 1 0 - Live 0x0\n");
	well("gro", "endpoint 1: ESP is taken by GRO where an interface has it, for esp4_offload is loaded");
	begin();
	c.addresses[0].no_gro = true;
	well("gro", "endpoint 1: ESP is taken a packet at a time");
	begin();
	c.endpoints[0].hw_offload = IMSIPSEC_OFFLOAD_SOFTWARE;
	c.addresses[0].no_gro = true;
	only(CHECK_WARNING, "gro", "endpoint 1: eth0 has no GRO", "ethtool -K eth0 gro on");
}

static void test_limits(void)
{
	begin();
	well("spis", "534465 SPIs are enough for 192000 bundles");
	begin();
	c.config.max_spi = 262144;
	only(CHECK_WARNING, "spis", "there are 196609 SPIs: enough for 64000 UEs, not",
	     "max-spi 449535");
	begin();
	c.config.max_spi = c.config.min_spi + 384000 - 1;
	well("spis", "384000 SPIs are enough");
	begin();
	c.config.max_spi = 65536 + 128000 - 2;
	only(CHECK_FAULT, "spis", "127999 SPIs, 64000 UEs", "max-spi 449535");
	begin();
	c.config.min_spi = 4294967290;
	c.config.max_spi = 4294967294;
	only(CHECK_FAULT, "spis", "there are 5 SPIs", "min-spi 65536 max-spi 449535");

	begin();
	well("bundles", "max-bundles is 262144");
	begin();
	c.config.max_bundles = 63999;
	only(CHECK_FAULT, "bundles", "max-bundles is 63999, less than 64000", "max-bundles 192000");
	begin();
	c.config.max_bundles = 191999;
	only(CHECK_WARNING, "bundles", "not for all of them", "max-bundles 192000");
	begin();
	c.config.max_bundles = 192000;
	well("bundles", "max-bundles is 192000");

	begin();
	well("marks", "0x00ffffff tells 4194303 registrations apart");
	begin();
	c.config.mark_mask = 0x3ffff << 4;
	well("marks", "0x003ffff0 tells 65535 registrations");
	begin();
	c.config.mark_mask = 0xffff;
	only(CHECK_FAULT, "marks", "tells 16383 registrations apart, not 64000",
	     "mark-mask 0x00ffffff");
	begin();
	c.config.mark_mask = 0;
	well("marks", "there are no marks");

	begin();
	well("memory", "8192 MB are available; 64000 UEs take 433 MB more with one bundle each, 1300 with 3");
	begin();
	c.processes = 1;
	well("memory", "take 449 MB more with one bundle each, 1348 with 3, caches of 1 process included");
	begin();
	c.processes = 8;
	well("memory", "take 561 MB more with one bundle each, 1684 with 3, caches of 8 processes included");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\nMemAvailable: 1500000 kB\n");
	c.processes = 8;
	only(CHECK_WARNING, "memory", "caches of 8 processes included", "more memory");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\nMemAvailable: 1000000 kB\n");
	only(CHECK_WARNING, "memory", "1024 MB are available", "more memory");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\nMemAvailable: 400000 kB\n");
	only(CHECK_FAULT, "memory", "409 MB are available", "more memory");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\nMemAvailable: 700000 kB\n");
	c.endpoints[0].bundles = 191000;
	well("memory", "64000 UEs take 0 MB more with one bundle each, 6 with 3");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\n");
	only(CHECK_WARNING, "memory", "does not tell", "433 MB");
}

static void with_nft(const char *text)
{
	struct json_object *o;

	begin();
	if (texts) {
		fwrite(text, 1, strlen(text) + 1, texts);
		return;
	}
	if (!json_object_object_get_ex(rulesets, text, &o))
		die(1, "nft.json has not got this, see nft_json.py:\n%s", text);
	json_object_put(c.nft);
	c.nft = json_object_get(check_nft_get(o, "nftables"));
}

/* The objects as nft would write them, where it does not take them as text */
static void with_objects(const char *text)
{
	char all[4096];

	begin();
	json_object_put(c.nft);
	snprintf(all, sizeof(all), "{\"nftables\": [%s]}", text);
	c.nft = check_nft_parse(all);
	if (!c.nft)
		die(1, "no JSON:\n%s", all);
}

#define TABLE(rules)							\
	"table inet filter {\n"						\
	"\tset sip {\n\t\ttype inet_service\n\t\telements = { 5062, 5064 }\n\t}\n\n" \
	"\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n" rules "\t\tth dport @sip accept\n\t}\n\n" \
	"\tchain other {\n\t\tudp dport 4500 drop\n\t}\n}\n"

static void test_nft(void)
{
	begin();
	well("firewall", "no input or output chain of nftables drops");
	with_nft("table inet filter {\n\tchain in {\n"
		 "\t\ttype filter hook input priority filter; policy accept;\n"
		 "\t\tct state established accept\n\t}\n}\n");
	well("firewall", "no input or output chain of nftables drops");
	with_nft(TABLE("\t\tmeta l4proto esp accept\n\t\tudp dport 5063 accept\n"));
	well("firewall", "rules speak of all that is needed");
	with_nft(TABLE("\t\tmeta l4proto { icmp, esp } accept\n\t\tmeta ipsec exists accept\n"));
	well("firewall", "rules speak of all that is needed");
	with_nft(TABLE("\t\tip protocol 50 accept\n\t\tudp dport { 4000-5061, 5063 } accept\n"));
	well("firewall", "rules speak of all that is needed");

	with_nft(TABLE("\t\tudp dport 5063 accept\n"));
	only(CHECK_WARNING, "firewall", "nftables' chain inet filter in drops what no rule takes, "
	     "and none of that table speaks of ESP", "meta l4proto esp accept");
	with_nft(TABLE("\t\tmeta l4proto esp drop\n\t\tudp dport 5063 accept\n"));
	only(CHECK_WARNING, "firewall", "has a rule that refuses ESP: \"meta l4proto 50 drop\"", "accepts");
	with_nft(TABLE("\t\tmeta l4proto esp accept\n\t\tudp dport 15063 accept\n"
		       "\t\tip saddr 10.0.0.0 tcp dport 506 accept\n"
		       "\t\ttcp dport 506 ip6 saddr 2001:db8::5063 accept\n"));
	only(CHECK_WARNING, "firewall", "port 5063 of endpoint 1", "meta ipsec exists accept");
	with_nft(TABLE("\t\tmeta l4proto esp accept\n\t\tudp dport 5063 accept\n"));
	c.endpoints[0].nat_traversal = true;
	only(CHECK_WARNING, "firewall", "UDP port 4500, for ESP", "udp dport 4500 accept");
	with_nft(TABLE("\t\tmeta l4proto esp accept\n\t\tudp dport { 4500, 5063 } accept\n"));
	c.endpoints[0].nat_traversal = true;
	well("firewall", "rules speak of all that is needed");

	/* Dropped by the last rule; sent; of the other family; at another hook */
	with_nft("table ip f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy accept;\n"
		 "\t\tmeta ipsec exists accept\n\t\treject\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain ip f in drops", "esp accept");
	with_nft("table ip f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy accept;\n"
		 "\t\treject\n\t\taccept\n\t}\n}\n");
	well("firewall", "no input or output chain");
	with_nft("table ip f {\n\tchain o {\n\t\ttype filter hook output priority 0; policy drop;\n"
		 "\t\tip protocol esp accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain ip f o drops", "rt ipsec exists accept");
	with_nft("table ip6 f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy drop;\n"
		 "\t}\n}\n");
	well("firewall", "rules speak of all");
	with_nft("table ip f {\n\tchain in {\n\t\ttype filter hook forward priority 0; policy drop;\n"
		 "\t}\n}\n");
	well("firewall", "no input or output chain");
	/* A rule of another table does not help */
	with_nft("table ip f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy drop;\n"
		 "\t\tudp dport 5062-5064 accept\n\t}\n}\ntable ip g {\n\tchain x {\n\t\tmeta l4proto esp accept\n"
		 "\t}\n}\n");
	only(CHECK_WARNING, "firewall", "speaks of ESP", "esp accept");

	/* What could not be looked at is said */
	begin();
	json_object_put(c.nft);
	c.nft = NULL;
	c.nft_error = "is not installed";
	well("firewall", "there are no tables");
	begin();
	json_object_put(c.nft);
	c.nft = NULL;
	c.nft_error = "is not installed";
	write_file("/proc/modules", "nf_tables 1 0 - Live 0x0\nesp4 1 0 - Live 0x0\n");
	only(CHECK_WARNING, "firewall", "nft is not installed: its rules were not looked at",
	     "install nftables");
	begin();
	c.iptables_error[1] = "failed";
	only(CHECK_WARNING, "firewall", "ip6tables-save failed", "install iptables");
}

/* Objects of the table "f" */
#define FILTER(family, name, policy)					\
	"{\"table\": {\"family\": \"" family "\", \"name\": \"f\"}}, {\"chain\": {\"family\": \"" family "\", \"table\": \"f\", " \
	"\"name\": \"" name "\", \"type\": \"filter\", \"hook\": \"input\", \"prio\": 0, \"policy\": \"" policy "\"}}"
#define RULE(family, chain, expr)					\
	"{\"rule\": {\"family\": \"" family "\", \"table\": \"f\", \"chain\": \"" chain "\", \"expr\": [" expr "]}}"
#define XT(type, name)	"{\"xt\": {\"type\": \"" type "\", \"name\": \"" name "\"}}"
#define IS_ESP	"{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"l4proto\"}}, \"right\": 50}}"

#define CHAIN(family, rules)						\
	"table " family " f {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n" \
	rules "\t}\n}\n"

static void with_nft6(const char *text)
{
	with_nft(text);
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
}

/* What others have made */
static const char docker[] =
	"table ip nat {\n\tchain DOCKER {\n\t\tiifname \"docker0\" counter packets 0 bytes 0 return\n\t}\n\n"
	"\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
	"\t\tfib daddr type local counter jump DOCKER\n\t}\n}\n"
	"table ip filter {\n\tchain DOCKER {\n\t\tmeta l4proto esp drop\n\t\tudp dport 5063 drop\n\t}\n\n"
	"\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n"
	"\t\tcounter jump DOCKER\n\t\tcounter drop\n\t}\n\n"
	"\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
	"table ip raw {\n\tchain PREROUTING {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"
	"\t\tip daddr 172.17.0.2 iifname != \"docker0\" counter drop\n\t}\n}\n";

/* firewalld: the zone's services are behind jumps. */
#define FIREWALLD(services)						\
	"table inet firewalld {\n\tchain filter_PREROUTING {\n"		\
	"\t\ttype filter hook prerouting priority filter + 10; policy accept;\n" \
	"\t\ticmpv6 type { nd-router-advert, nd-neighbor-solicit } accept\n" \
	"\t\tmeta nfproto ipv6 fib saddr . mark . iif oif missing drop\n\t}\n\n" \
	"\tchain filter_INPUT {\n\t\ttype filter hook input priority filter + 10; policy accept;\n" \
	"\t\tct state { established, related } accept\n\t\tct status dnat accept\n" \
	"\t\tiifname \"lo\" accept\n\t\tct state invalid drop\n\t\tjump filter_INPUT_ZONES\n" \
	"\t\treject with icmpx admin-prohibited\n\t}\n\n"			\
	"\tchain filter_OUTPUT {\n\t\ttype filter hook output priority filter + 10; policy accept;\n" \
	"\t\tct state { established, related } accept\n\t\toifname \"lo\" accept\n\t}\n\n" \
	"\tchain filter_FORWARD {\n\t\ttype filter hook forward priority filter + 10; policy accept;\n" \
	"\t\tjump unused\n\t\treject with icmpx admin-prohibited\n\t}\n\n" \
	"\tchain unused {\n\t\tmeta l4proto esp accept\n\t\tmeta ipsec exists accept\n\t}\n\n" \
	"\tchain filter_INPUT_ZONES {\n\t\tiifname \"eth0\" goto filter_IN_public\n\t\tgoto filter_IN_public\n\t}\n\n" \
	"\tchain filter_IN_public {\n\t\tjump filter_IN_public_allow\n"	\
	"\t\tmeta l4proto { icmp, ipv6-icmp } accept\n\t}\n\n"		\
	"\tchain filter_IN_public_allow {\n\t\ttcp dport 22 accept\n" services "\t}\n}\n"

static void test_nft_rules(void)
{
	with_nft(docker);
	well("firewall", "no input or output chain of nftables drops");
	with_nft6(FIREWALLD("\t\tmeta l4proto esp accept\n\t\tmeta ipsec exists accept\n"));
	well("firewall", "rules speak of all that is needed");
	with_nft(FIREWALLD("\t\tmeta ipsec exists accept\n"));
	only(CHECK_WARNING, "firewall", "firewalld filter_INPUT drops what no rule takes, and none of that table speaks of ESP",
	     "meta l4proto esp accept");
	/* By way of iptables, which does not tell more itself */
	with_objects(FILTER("ip", "INPUT", "drop")
		     ", {\"chain\": {\"family\": \"ip\", \"table\": \"f\", \"name\": \"ufw-before-input\"}}, "
		     RULE("ip", "INPUT", "{\"counter\": null}, {\"jump\": {\"target\": \"ufw-before-input\"}}") ", "
		     RULE("ip", "ufw-before-input", IS_ESP ", {\"counter\": null}, {\"accept\": null}") ", "
		     RULE("ip", "ufw-before-input", XT("match", "policy") ", {\"counter\": null}, {\"accept\": null}"));
	well("firewall", "rules speak of all that is needed");
	with_objects(FILTER("ip", "INPUT", "drop") ", "
		     RULE("ip", "INPUT", IS_ESP ", {\"accept\": null}") ", "
		     RULE("ip", "INPUT", XT("match", "multiport") ", {\"counter\": null}, {\"accept\": null}"));
	only(CHECK_WARNING, "firewall", "cannot tell whether \"xt match multiport counter accept\" takes port 5063", "if not");
	with_objects(FILTER("ip", "INPUT", "accept") ", "
		     RULE("ip", "INPUT", IS_ESP ", " XT("match", "comment") ", {\"counter\": null}, " XT("target", "REJECT")));
	only(CHECK_WARNING, "firewall", "refuses ESP: \"meta l4proto 50 xt match comment counter xt target REJECT\"", "nft delete rule");
	/* Which it does, as a rule */
	with_objects(FILTER("ip", "INPUT", "drop") ", " RULE("ip", "INPUT", XT("match", "multiport") ", {\"accept\": null}"));
	c.iptables_nft[0] = strdup("*f\n:INPUT DROP [0:0]\n-A INPUT -p esp -j ACCEPT\n"
				   "-A INPUT -p udp -m multiport --dports 5062,5063:5064 -j ACCEPT\nCOMMIT\n");
	well("firewall", "of nftables, iptables drop what no rule takes, rules speak");
	/* At the end of what a chain leads to */
	with_nft("table inet f {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n"
		 "\t\ttcp dport 22 accept\n\t\tmeta ipsec exists accept\n\t\tjump rest\n\t}\n\n\tchain rest {\n"
		 "\t\tcounter drop\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain inet f in drops what no rule takes, and none of that table speaks of ESP", "esp");

	/* Refused by name, in either family, wherever it passes */
	with_nft(CHAIN("ip6", "\t\tip6 nexthdr esp drop\n"));
	well("firewall", "no input or output chain");
	with_nft6(CHAIN("ip6", "\t\tip6 nexthdr esp drop\n"));
	only(CHECK_WARNING, "firewall", "chain ip6 f in has a rule that refuses ESP: \"ip6 nexthdr 50 drop\"", "nft delete rule");
	with_nft6(CHAIN("inet", "\t\tip6 saddr 2001:db8::/32 meta l4proto { esp, ah } counter packets 0 bytes 0 drop\n"));
	only(CHECK_WARNING, "firewall", "refuses ESP", "nft delete rule");
	with_nft6(CHAIN("ip6", "\t\tudp dport 4500 drop\n"));
	well("firewall", "no input or output chain");
	with_nft6(CHAIN("ip6", "\t\tudp dport 4500 drop\n"));
	c.endpoints[1].nat_traversal = true;
	only(CHECK_WARNING, "firewall", "refuses UDP port 4500, for ESP: \"udp dport 4500 drop\"", "nft delete rule");
	with_nft6(CHAIN("ip6", "\t\ttcp dport 4500 drop\n"));
	c.endpoints[1].nat_traversal = true;
	well("firewall", "no input or output chain");
	with_nft(CHAIN("inet", "\t\tudp dport { 5060, 5063 } reject\n"));
	only(CHECK_WARNING, "firewall", "refuses port 5063 of endpoint 1", "nft delete rule");
	with_nft(CHAIN("inet", "\t\tmeta ipsec missing udp dport { 5060, 5063 } drop\n"));
	well("firewall", "no input or output chain");
	with_nft(CHAIN("inet", "\t\tmeta l4proto ah drop\n\t\tmeta l4proto vmap { ah : drop, esp : accept }\n"));
	well("firewall", "no input or output chain");
	with_nft(CHAIN("inet", "\t\tmeta l4proto vmap { ah : accept, esp : drop }\n"));
	only(CHECK_WARNING, "firewall", "refuses ESP", "nft delete rule");
	with_objects("{\"table\": {\"family\": \"inet\", \"name\": \"f\"}}, {\"chain\": {\"family\": \"inet\", \"table\": \"f\", "
		     "\"name\": \"pre\", \"type\": \"filter\", \"hook\": \"prerouting\", \"prio\": -300, \"policy\": \"accept\"}}, "
		     "{\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"more\"}}, "
		     "{\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"more2\"}}, "
		     RULE("inet", "pre", "{\"goto\": {\"target\": \"more\"}}") ", "
		     RULE("inet", "more", "{\"jump\": {\"target\": \"more2\"}}") ", "
		     RULE("inet", "more2", "{\"jump\": {\"target\": \"more\"}}") ", "
		     RULE("inet", "more2", IS_ESP ", {\"drop\": null}"));
	only(CHECK_WARNING, "firewall", "chain inet f pre has a rule that refuses ESP", "nft delete rule");

	/* Of one family only */
	with_nft6("table inet f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy drop;\n"
		  "\t\tip protocol esp accept\n\t\tmeta ipsec exists accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "none of that table speaks of ESP over IPv6", "meta l4proto esp accept");
	with_nft6("table inet f {\n\tset s {\n\t\ttype inet_proto\n\t\telements = { esp,\n\t\t\t     ah }\n\t}\n\n"
		  "\tchain in {\n\t\ttype filter hook input priority 0; policy drop;\n"
		  "\t\tmeta l4proto @s accept\n\t\tmeta ipsec exists accept\n\t}\n}\n");
	well("firewall", "rules speak of all");

	/* What cannot be told is said */
	with_nft("table inet f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy drop;\n"
		 "\t\tiifname \"lo\" accept\n\t\tct state established,related accept\n\t\tip saddr 10.0.0.0/8 accept\n"
		 "\t\tmeta ipsec exists accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "cannot tell whether \"ip saddr 10.0.0.0/8 accept\" takes ESP",
	     "if not, a rule such as: meta l4proto esp accept");
	with_nft("table netdev f {\n\tchain in {\n\t\ttype filter hook ingress device \"lo\" priority 0; policy drop;\n"
		 "\t\tmeta l4proto esp accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain netdev f in drops what no rule takes: cannot tell", "nft list chain netdev f in");
}

/* What the words of others are, and what a rule is for */
static void test_nft_meaning(void)
{
	/* The comment of a chain comes ahead of its type. */
	with_nft("table inet f {\n\tcomment \"esp\"\n\n\tchain in {\n\t\tcomment \"meta l4proto esp accept\"\n"
		 "\t\ttype filter hook input priority filter; policy drop;\n\t\tmeta ipsec exists accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain inet f in drops what no rule takes, and none of that table speaks of ESP", "esp");
	with_nft(CHAIN("inet", "\t\ttcp dport 22 accept comment \"udp dport 5063 drop\"\n"
			      "\t\tlog prefix \"meta l4proto esp drop \" counter\n"));
	well("firewall", "no input or output chain");
	with_nft("table inet f {\n\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n"
		 "\t\ttcp dport 22 accept comment \"meta l4proto esp accept\"\n\t\tmeta ipsec exists accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "none of that table speaks of ESP", "esp");

	/* Only what a rule uses is one */
	with_nft("table inet f {\n\tset s {\n\t\ttype inet_proto\n\t\telements = { esp }\n\t}\n\n\tchain in {\n"
		 "\t\ttype filter hook input priority filter; policy drop;\n\t\tmeta ipsec exists accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "none of that table speaks of ESP", "esp");
	with_nft("table inet f {\n\tmap m {\n\t\ttype inet_proto : verdict\n\t\telements = { esp : drop, ah : accept }\n\t}\n\n"
		 "\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\tmeta l4proto vmap @m\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "refuses ESP: \"meta l4proto vmap @m\"", "nft delete rule");

	/* All but some */
	with_nft(CHAIN("inet", "\t\tmeta l4proto != { tcp, udp, icmp } drop\n"));
	only(CHECK_WARNING, "firewall", "refuses ESP", "nft delete rule");
	with_nft(CHAIN("inet", "\t\tmeta l4proto != esp accept\n\t\tudp dport != 5062-5064 drop\n"));
	well("firewall", "no input or output chain");
	with_nft(CHAIN("inet", "\t\tudp dport >= 5064 drop\n"));
	only(CHECK_WARNING, "firewall", "refuses port 5064 of endpoint 1: \"udp dport >= 5064 drop\"", "nft delete rule");
	with_nft(CHAIN("inet", "\t\tmeta l4proto . th dport { tcp . 5063, udp . 22, sctp . 5062 } drop\n"));
	only(CHECK_WARNING, "firewall", "refuses port 5063 of endpoint 1", "nft delete rule");
	with_nft(CHAIN("inet", "\t\tmeta l4proto udp drop\n"));
	check_run(&c);
	ok(count(CHECK_WARNING) == 3 && has(CHECK_WARNING, "firewall", "refuses port 5064", "nft delete rule"),
	   "CHECK: warning: firewall: a protocol of all ports");
	with_nft(CHAIN("inet", "\t\ttcp flags & (fin | syn) == fin | syn drop\n\t\tsctp dport 5063 drop\n"
			      "\t\tudp sport 5063 drop\n"));
	well("firewall", "no input or output chain");
	with_nft(CHAIN("inet", "\t\tmeta nfproto ipv6 meta l4proto esp drop\n"));
	well("firewall", "no input or output chain");

	/* The cure is one: a rule ahead that accepts */
	with_nft(CHAIN("inet", "\t\tmeta l4proto esp accept\n\t\tmeta ipsec exists accept\n\t\tmeta l4proto { esp, ah } drop\n"
			      "\t\tudp dport 5063 drop\n"));
	well("firewall", "no input or output chain");
	with_nft(CHAIN("inet", "\t\tip saddr 10.0.0.1 meta l4proto esp accept\n\t\tmeta l4proto { esp, ah } drop\n"));
	only(CHECK_WARNING, "firewall", "refuses ESP", "nft delete rule");
	with_objects("{\"table\": {\"family\": \"inet\", \"name\": \"f\", \"flags\": [\"dormant\"]}}, {\"chain\": {\"family\": \"inet\", "
		     "\"table\": \"f\", \"name\": \"in\", \"type\": \"filter\", \"hook\": \"input\", \"prio\": 0, \"policy\": \"drop\"}}");
	well("firewall", "no input or output chain");

	/* What cannot be read is said */
	begin();
	json_object_put(c.nft);
	c.nft = NULL;
	c.nft_error = "writes no JSON that is understood";
	write_file("/proc/modules", "nf_tables 1 0 - Live 0x0\nesp4 1 0 - Live 0x0\n");
	only(CHECK_WARNING, "firewall", "nft writes no JSON that is understood: its rules were not looked at", "install nftables");
	ok(!check_nft_parse("") && !check_nft_parse("[]") && !check_nft_parse("{\"nftables\": 1}") && !check_nft_parse("{\"nftables\": ["),
	   "CHECK: what is no JSON of nft's");
}

static void with_iptables(const char *text)
{
	begin();
	c.iptables[0] = strdup(text);
}

static void test_iptables(void)
{
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		      "-A INPUT -p tcp -m tcp --dport 22 -j DROP\nCOMMIT\n");
	well("firewall", "no input or output chain of nftables, iptables drops");
	with_iptables("*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		      "-A INPUT -p esp -j ACCEPT\n"
		      "-A INPUT -p udp -m multiport --dports 5060:5070 -j ACCEPT\nCOMMIT\n");
	well("firewall", "of nftables, iptables drop what no rule takes, rules speak");
	with_iptables("*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		      "-A INPUT -m policy --dir in --pol ipsec -j ACCEPT\nCOMMIT\n");
	only(CHECK_WARNING, "firewall", "iptables's chain filter INPUT drops", "-p esp -j ACCEPT");
	with_iptables("*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		      "-A INPUT -p esp -j ACCEPT\n-A INPUT -p udp --dport 5062 -j ACCEPT\nCOMMIT\n");
	only(CHECK_WARNING, "firewall", "port 5063 of endpoint 1", "--dir in --pol ipsec");
	with_iptables("*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -p esp -j ACCEPT\nCOMMIT\n"
		      "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		      "-A INPUT -p udp --dport 5062:5064 -j ACCEPT\n"
		      "-A INPUT -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n");
	only(CHECK_WARNING, "firewall", "filter INPUT drops what no rule takes, and none of that "
	     "table speaks of ESP", "-p esp -j ACCEPT");
}

/* So many chains, one leading to the next, of ten rules each; with so much of the processor's time */
static bool in_time(size_t chains)
{
	const struct rlimit limit = { 10, 10 };
	char *text = malloc(chains * 600 + 200), *p = text;
	size_t i, j;

	if (!text || setrlimit(RLIMIT_CPU, &limit))
		return false;
	p += sprintf(p, "*filter\n:INPUT DROP [0:0]\n");
	for (i = 0; i < chains; i++)
		p += sprintf(p, ":c%zu - [0:0]\n", i);
	p += sprintf(p, "-A INPUT -j c0\n");
	for (i = 0; i < chains; i++)
		for (j = 0; j < 10; j++)
			p += sprintf(p, "-A c%zu -s 10.0.0.%zu/32 -j c%zu\n", i, j, i + 1 < chains ? i + 1 : i);
	sprintf(p, "-A c%zu -p esp -j ACCEPT\n-A c%zu -m policy --dir in --pol ipsec -j ACCEPT\nCOMMIT\n", chains - 1, chains - 1);
	begin();
	c.iptables[0] = text;
	check_run(&c);
	return !count(CHECK_WARNING) && !count(CHECK_FAULT);
}

static void test_iptables_meaning(void)
{
	int status = -1;
	pid_t child;

	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -m comment --comment \"-p esp of 5063\" -j DROP\n"
		      "-A INPUT -p tcp -m comment --comment esp -m tcp --dport 23 -j DROP\nCOMMIT\n");
	well("firewall", "no input or output chain");
	with_iptables("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m comment --comment \"-p esp --pol ipsec -j DROP\" -j ACCEPT\nCOMMIT\n");
	check_run(&c);
	ok(has(CHECK_WARNING, "firewall", "speaks of ESP", "-p esp") && !has(CHECK_WARNING, "firewall", "refuses", "") &&
	   !has(CHECK_WARNING, "firewall", "speaks of port", ""), "CHECK: a comment of iptables is no rule");
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT ! -p tcp -j DROP\nCOMMIT\n");
	check_run(&c);
	ok(has(CHECK_WARNING, "firewall", "refuses ESP: \"-A INPUT ! -p tcp -j DROP\"", "-D") && count(CHECK_WARNING) == 4,
	   "CHECK: warning: iptables: all protocols but one");
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp -m multiport ! --dports 22,5000:6000 -j DROP\n"
		      "-A INPUT -p sctp --dport 5063 -j DROP\n-A INPUT -p udp --sport 5063 -j DROP\nCOMMIT\n");
	well("firewall", "no input or output chain");
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p esp -j ACCEPT\n-A INPUT -p esp -j DROP\nCOMMIT\n");
	well("firewall", "no input or output chain");
	/* What ends where nothing is expected to */
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT");
	well("firewall", "no input or output chain");
	with_iptables("*filter\n:INPUT DROP");
	check_run(&c);
	ok(has(CHECK_WARNING, "firewall", "INPUT drops", "-p esp"), "CHECK: warning: iptables: cut short");
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n-A\n-A \n:\n-A INPUT -j\n-A INPUT -p");
	well("firewall", "no input or output chain");

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(!in_time(4000));
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "CHECK: iptables: 4,000 chains of ten rules, in time that is in proportion");
}

/* iptables' own tables, of IPv6, and by way of other chains */
static void test_ip6tables(void)
{
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p esp -j DROP\nCOMMIT\n");
	only(CHECK_WARNING, "firewall", "iptables's chain filter INPUT has a rule that refuses ESP: \"-A INPUT -p esp -j DROP\"", "-D");
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:D - [0:0]\n-A FORWARD -j D\n-A D -p esp -j DROP\nCOMMIT\n");
	well("firewall", "no input or output chain");
	with_iptables("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:D - [0:0]\n-A INPUT -i eth0 -j D\n-A D -p esp -j DROP\nCOMMIT\n");
	only(CHECK_WARNING, "firewall", "refuses ESP", "-D");
	with_iptables("*filter\n:INPUT DROP [0:0]\n:U - [0:0]\n-A INPUT -j U\n-A U -p esp -j ACCEPT\n"
		      "-A U -m policy --dir in --pol ipsec -j ACCEPT\nCOMMIT\n");
	well("firewall", "rules speak of all");
	begin();
	c.iptables[1] = strdup("*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
	well("firewall", "rules speak of all");
	begin();
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
	c.iptables[1] = strdup("*filter\n:INPUT DROP [0:0]\n-A INPUT -m policy --dir in --pol ipsec -j ACCEPT\nCOMMIT\n");
	only(CHECK_WARNING, "firewall", "ip6tables's chain filter INPUT drops", "-p esp -j ACCEPT");
	begin();
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
	c.iptables[1] = strdup("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -m udp --dport 5062:5064 -j DROP\nCOMMIT\n");
	check_run(&c);
	ok(has(CHECK_WARNING, "firewall", "raw PREROUTING has a rule that refuses port 5063 of endpoint 2", "-D") &&
	   count(CHECK_WARNING) == 3, "warning: ip6tables, each port");
}

/* A rule of nftables, and the bits of the mask that it uses; 0: it is no finding. */
static void nft_rule(uint32_t bits, const char *rule)
{
	char text[1024];

	snprintf(text, sizeof(text), "table inet t {\n\tset s {\n\t\ttype mark\n\t\telements = { 0x00000001 }\n\t}\n\n"
		 "\tchain c {\n\t\ttype filter hook prerouting priority filter; policy accept;\n\t\t%s\n\t}\n}\n", rule);
	with_nft(text);
	if (!bits) {
		well("mark-rules", "no rule that was looked at uses bits of mark-mask 0x00ffffff");
		return;
	}
	snprintf(text, sizeof(text), "nftables' table inet t uses bits 0x%08x of mark-mask 0x00ffffff: \"c: ",
		 (unsigned int)bits);
	only(CHECK_WARNING, "mark-rules", text, "give the rule other bits");
}

#define MARK	"{\"meta\": {\"key\": \"mark\"}}"

static void nft_objects(uint32_t bits, const char *expr, const char *rule)
{
	char text[1024];

	snprintf(text, sizeof(text), FILTER("inet", "c", "accept") ", " RULE("inet", "c", "%s"), expr);
	with_objects(text);
	if (!bits) {
		well("mark-rules", "no rule that was looked at uses bits of mark-mask 0x00ffffff");
		return;
	}
	snprintf(text, sizeof(text), "nftables' table inet f uses bits 0x%08x of mark-mask 0x00ffffff: \"c: %s\"",
		 (unsigned int)bits, rule);
	only(CHECK_WARNING, "mark-rules", text, "give the rule other bits");
}

/* A rule, as people are told of it */
static void nft_text(const char *rule)
{
	struct json_object *o;
	char text[512];
	size_t i;

	snprintf(text, sizeof(text), "table inet t {\n\tchain c {\n\t\ttype filter hook prerouting priority filter; policy accept;\n"
		 "\t\t%s\n\t}\n}\n", rule);
	with_nft(text);
	for (i = 0; i < check_nft_length(c.nft); i++) {
		o = check_nft_get(check_nft_at(c.nft, i), "rule");
		if (o)
			check_nft_text(check_nft_get(o, "expr"), text, sizeof(text));
	}
	ok(!strcmp(text, rule), "CHECK: as text: %s%s%s", rule, strcmp(text, rule) ? ", not " : "",
	   strcmp(text, rule) ? text : "");
}

static void test_nft_text(void)
{
	nft_text("meta mark & 0x00004000 == 0x00004000 meta mark set meta mark | 0x00008000 accept");
	nft_text("meta mark 0x00010000/16 counter drop");
	nft_text("meta mark != { 0x00000001, 0x00000002 } reject");
	nft_text("ip saddr . meta mark { 10.0.0.1 . 0x00000001 } accept");
	nft_text("udp dport { 4000-5061, 5063 } accept");
	nft_text("tcp dport vmap { 22 : accept, 5063 : drop }");
	nft_text("ip saddr 10.0.0.0/8 udp dport != 5063 accept");
	nft_text("iifname \"eth0\" ct mark set meta mark & 0x000000f0");
	nft_text("log prefix \"a, b\"");
	nft_text("ip6 nexthdr 17 udp sport 4500-4510 return");
}

static void test_nft_marks(void)
{
	nft_rule(0xffffff, "meta mark 0x00000001 accept");
	nft_rule(0xffffff, "meta mark != 0x00000007 accept");
	nft_rule(0xffffff, "meta mark { 0x00000001, 0x00000002 } accept");
	nft_rule(0xffffff, "meta mark @s accept");
	nft_rule(0xffffff, "meta mark 0x00000001-0x00000005 accept");
	nft_rule(0xffffff, "meta mark vmap { 0x00000001 : accept, 0x00000002 : drop }");
	nft_rule(0xffffff, "ip saddr . meta mark { 10.0.0.1 . 0x00000001 } accept");
	nft_rule(0x4000, "meta mark & 0x00004000 == 0x00004000 accept");
	nft_rule(0xff00, "meta mark & 0x0000ff00 != 0x00000000 accept");
	nft_rule(0xff0000, "meta mark 0x00010000/16 accept");
	nft_rule(0xff0000, "meta mark != 0x00010000/16 accept");
	nft_rule(0, "meta mark != 0x00000000/8 accept");
	nft_rule(0, "meta mark & 0x01000000 == 0x01000000 accept");

	nft_rule(0xffffff, "meta mark set 0x00000000");
	nft_rule(0xffffff, "meta mark set 0x01000000");
	nft_rule(0xffffff, "meta mark set ct mark");
	nft_rule(0xffffff, "meta mark set ct mark & 0xff000000");
	nft_rule(0xffffff, "meta mark set jhash ip saddr mod 4");
	nft_rule(0xffffff, "meta mark set ip saddr map { 10.0.0.1 : 0x00000001, 10.0.0.2 : 0x00000002 }");
	nft_rule(0xffffff, "meta mark set socket mark");
	nft_rule(0xffffff, "meta mark set meta mark << 8");
	nft_rule(0x4000, "meta mark set meta mark | 0x00004000");
	nft_rule(0x4000, "meta mark set meta mark ^ 0x01004000");
	nft_rule(0xff00, "meta mark set meta mark & 0xffff00ff");
	nft_rule(0xff00, "meta mark set meta mark & 0xffff12ff | 0x00001200");
	nft_rule(0xff4000, "meta mark set (meta mark | 0x00004000) & 0xff00ffff");
	nft_rule(0, "meta mark set meta mark & 0x00ffffff | 0x01000000");
	nft_rule(0, "meta mark set meta mark | 0x40000000 accept");
	nft_rule(0xc000, "meta mark & 0x00004000 == 0x00004000 meta mark set meta mark | 0x00008000 accept");
	/* iptables', not translated */
	nft_objects(0xffffff, "{\"counter\": null}, " XT("target", "MARK"), "counter xt target MARK");
	nft_objects(0xffffff, XT("target", "TPROXY"), "xt target TPROXY");
	nft_objects(0xffffff, XT("match", "mark") ", {\"accept\": null}", "xt match mark accept");
	nft_objects(0xffffff, XT("target", "CONNMARK"), "xt target CONNMARK");
	nft_objects(0, XT("target", "MASQUERADE"), NULL);
	/* What newer ones take: two that are no constants; operators of more than two */
	nft_objects(0xff, "{\"mangle\": {\"key\": " MARK ", \"value\": {\"|\": [{\"&\": [" MARK ", 4294967040]}, "
		    "{\"&\": [{\"ct\": {\"key\": \"mark\"}}, 255]}]}}}",
		    "meta mark set meta mark & 0xffffff00 | ct mark & 0x000000ff");
	nft_objects(0xffffff, "{\"mangle\": {\"key\": " MARK ", \"value\": {\"|\": [{\"&\": [" MARK ", 4294967040]}, "
		    "{\"ct\": {\"key\": \"mark\"}}]}}}", "meta mark set meta mark & 0xffffff00 | ct mark");
	nft_objects(0, "{\"mangle\": {\"key\": " MARK ", \"value\": {\"|\": [{\"&\": [" MARK ", 16777215]}, "
		    "{\"&\": [{\"ct\": {\"key\": \"mark\"}}, 4278190080]}]}}}", NULL);
	nft_objects(0xff05, "{\"mangle\": {\"key\": {\"meta\": {\"key\": \"mark\"}}, \"value\": {\"|\": [{\"&\": [{\"meta\": "
		    "{\"key\": \"mark\"}}, 4294902015]}, 4, 1]}}}",
		    "meta mark set meta mark & 0xffff00ff | 0x00000004 | 0x00000001");

	/* The connection's mark, a socket's, and where a route is looked up are others. */
	nft_rule(0, "ct mark 0x00000005 accept");
	nft_rule(0, "ct mark set 0x00000005");
	nft_rule(0, "ct mark set ct mark | 0x00000004");
	nft_rule(0, "socket mark 0x00000005 accept");
	nft_rule(0, "fib saddr . mark . iif oif missing drop");
	nft_rule(0xffffff, "ct mark set meta mark");
	nft_rule(0xf0, "ct mark set meta mark & 0x000000f0");
	/* Words that are somebody's */
	nft_rule(0, "accept comment \"meta mark set 0x5\"");
	nft_rule(0, "log prefix \"the meta mark 5 meta mark set 1\" accept");
	nft_objects(0, "{\"jump\": {\"target\": \"mark\"}}", NULL);
	nft_rule(0, "iifname \"mark\" accept");
	nft_rule(0, "meta priority set 0:1");
}

static void iptables_rule(uint32_t bits, const char *rule)
{
	char text[1024];

	snprintf(text, sizeof(text), "# Generated\n*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING %s\nCOMMIT\n", rule);
	with_iptables(text);
	if (!bits) {
		well("mark-rules", "no rule that was looked at uses bits of mark-mask 0x00ffffff");
		return;
	}
	snprintf(text, sizeof(text), "iptables's table mangle uses bits 0x%08x of mark-mask 0x00ffffff: \"-A PREROUTING %s\"",
		 (unsigned int)bits, rule);
	only(CHECK_WARNING, "mark-rules", text, "give the rule other bits");
}

static void test_iptables_marks(void)
{
	iptables_rule(0xffffff, "-m mark --mark 0x5 -j ACCEPT");
	iptables_rule(0xff, "-p udp -m udp -m mark ! --mark 0x5/0xff -j ACCEPT");
	iptables_rule(0, "-m mark --mark 0x1000000/0x1000000 -j ACCEPT");
	iptables_rule(0x4000, "-j MARK --set-xmark 0x4000/0x4000");
	iptables_rule(0x4000, "-j MARK --set-xmark 0x4000/0x0");
	iptables_rule(0xffffff, "-j MARK --set-xmark 0x1/0xffffffff");
	iptables_rule(0xffff00, "-j MARK --set-xmark 0x0/0xffffff00");
	iptables_rule(0, "-j MARK --set-xmark 0x0/0xff000000");
	/* As older ones write it */
	iptables_rule(0xffffff, "-j MARK --set-mark 0x1000000");
	iptables_rule(0xff, "-j MARK --set-mark 0x1/0xff");
	iptables_rule(0x80, "-j MARK --or-mark 0x80");
	iptables_rule(0x80, "-j MARK --xor-mark 0x80");
	iptables_rule(0xff, "-j MARK --and-mark 0xffffff00");
	iptables_rule(0, "-j MARK --and-mark 0xffffff");
	iptables_rule(0xffffff, "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff");
	iptables_rule(0xf0000, "-j CONNMARK --restore-mark --nfmask 0xf0000 --ctmask 0xf0000");
	iptables_rule(0xff, "-j CONNMARK --restore-mark --mask 0xff");
	iptables_rule(0xffffff, "-j CONNMARK --restore-mark --nfmask 0x0 --ctmask 0xff --left-shift-mark 24");
	iptables_rule(0, "-j CONNMARK --restore-mark --nfmask 0xff000000 --ctmask 0xff000000");
	iptables_rule(0xf0000, "-j CONNMARK --save-mark --nfmask 0xf0000 --ctmask 0xffffffff");
	iptables_rule(0, "-j CONNMARK --save-mark --nfmask 0xff000000 --ctmask 0xff000000");
	iptables_rule(0xf00, "-p udp -j TPROXY --on-port 99 --on-ip 0.0.0.0 --tproxy-mark 0x200/0xf00");
	iptables_rule(0, "-p udp -j TPROXY --on-port 99 --on-ip 0.0.0.0 --tproxy-mark 0x0/0x0");
	iptables_rule(0xffffff, "-m socket --transparent --restore-skmark -j ACCEPT");
	iptables_rule(0xffffff, "-j SET --map-set s src --map-mark");
	iptables_rule(0x10, "-m connmark --mark 0x1/0x1 -m mark --mark 0x10/0x10 -j CONNMARK --set-xmark 0x1/0x1");

	iptables_rule(0, "-m connmark --mark 0x1/0x1 -j ACCEPT");
	iptables_rule(0, "-j CONNMARK --set-xmark 0x1/0x1");
	iptables_rule(0, "-m comment --comment \"-m mark --mark 0x1 -j MARK --set-xmark 0x1/0x1\" -j ACCEPT");
	iptables_rule(0, "-m mark --mark 0x1000000/0x1000000 -m comment --comment --mark -j ACCEPT");
	iptables_rule(0x1, "-m comment --comment -m -j MARK --set-xmark 0x1/0x1");
	iptables_rule(0, "-m comment --comment \"a \\\" -j MARK --set-mark 1\" -j ACCEPT");

	/* One finding for those of a table with the same bits; the cure lets all of them be */
	with_iptables("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m mark --mark 0x1/0x1 -j ACCEPT\n"
		      "-A PREROUTING -m mark --mark 0x1/0x1 -j RETURN\n-A PREROUTING -j MARK --set-xmark 0x1/0x1\nCOMMIT\n");
	only(CHECK_WARNING, "mark-rules", "-m mark --mark 0x1/0x1 -j ACCEPT\", and 2 more",
	     "imsipsec config set mark-mask 0xfffffffe, or ");
	with_iptables("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m mark --mark 0x8000/0x8000 -j ACCEPT\nCOMMIT\n");
	c.ues = 16383;
	only(CHECK_WARNING, "mark-rules", "0x00008000", "config set mark-mask 0xffff0000, or give the rule other bits; that mask "
	     "tells 16383 registrations apart");
	with_iptables("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m mark --mark 0x8000/0x8000 -j ACCEPT\nCOMMIT\n");
	c.ues = 16384;
	only(CHECK_WARNING, "mark-rules", "0x00008000", "give the rule other bits, by a mask, or imsipsec config set mark-mask 0xffff0000, "
	     "which tells 16383");
	with_iptables("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m mark --mark 0x8000 -j ACCEPT\nCOMMIT\n");
	only(CHECK_WARNING, "mark-rules", "0x00ffffff", "no three side by side are left");
	with_iptables("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m mark --mark 0x8000 -j ACCEPT\nCOMMIT\n");
	c.config.mark_mask = 0;
	well("mark-rules", "there are no marks");

	/* Of the other family */
	begin();
	c.iptables[1] = strdup("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m mark --mark 0x1 -j ACCEPT\nCOMMIT\n");
	well("mark-rules", "no rule that was looked at");
	begin();
	c.iptables[1] = strdup("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m mark --mark 0x1 -j ACCEPT\nCOMMIT\n");
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
	only(CHECK_WARNING, "mark-rules", "ip6tables's table nat", "other bits");
	with_nft("table ip6 t {\n\tchain c {\n\t\tmeta mark 0x00000001 accept\n\t}\n}\n");
	well("mark-rules", "no rule that was looked at");

	/* By way of nftables: iptables-save knows better, of its own tables */
	with_nft("table ip mangle {\n\tchain OUTPUT {\n\t\tcounter meta mark set ct mark & 0xff000000\n\t}\n}\n"
		 "table ip own {\n\tchain c {\n\t\tmeta mark & 0x00000001 == 0x00000001 accept\n\t}\n}\n");
	c.iptables_nft[0] = strdup("# Generated\n*mangle\n:OUTPUT ACCEPT [0:0]\n"
				   "-A OUTPUT -j CONNMARK --restore-mark --nfmask 0xff000000 --ctmask 0xff000000\nCOMMIT\n");
	only(CHECK_WARNING, "mark-rules", "table ip own uses bits 0x00000001", "0x00fffffe");
	with_objects("{\"table\": {\"family\": \"ip\", \"name\": \"mangle\"}}, "
		     "{\"rule\": {\"family\": \"ip\", \"table\": \"mangle\", \"chain\": \"OUTPUT\", \"expr\": [" XT("target", "TPROXY") "]}}");
	c.iptables_nft[0] = strdup("*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -j TPROXY --on-port 99 --on-ip 0.0.0.0 "
				   "--tproxy-mark 0x200/0xf00\nCOMMIT\n");
	only(CHECK_WARNING, "mark-rules", "iptables's table mangle uses bits 0x00000f00", "0xfffff000");
	with_nft("table ip mangle {\n\tchain OUTPUT {\n\t\tmeta mark 0x00000001 accept\n\t}\n}\n");
	c.iptables_nft[0] = strdup("# Table `mangle' is incompatible, use 'nft' tool.\n*nat\nCOMMIT\n");
	only(CHECK_WARNING, "mark-rules", "nftables' table ip mangle", "other bits");
}

static void add_fwmark(int family, uint32_t mark, uint32_t mask)
{
	c.fwmarks = check_grow(c.fwmarks, &c.n_fwmarks, sizeof(*c.fwmarks));
	c.fwmarks[c.n_fwmarks - 1] = (struct check_fwmark) {
		.family = family, .priority = 100, .mark = mark, .mask = mask,
	};
}

static void test_fwmarks(void)
{
	begin();
	add_fwmark(AF_INET, 0x80000, 0xff0000);
	only(CHECK_WARNING, "mark-rules", "ip rule uses bits 0x00ff0000 of mark-mask 0x00ffffff: \"priority 100 fwmark 0x80000/0xff0000\"",
	     "give the rule other bits");
	begin();
	add_fwmark(AF_INET, 1, 0xffffffff);
	only(CHECK_WARNING, "mark-rules", "ip rule uses bits 0x00ffffff", "other bits");
	begin();
	add_fwmark(AF_INET, 0x1000000, 0xff000000);
	add_fwmark(AF_INET6, 1, 0xffffffff);
	well("mark-rules", "no rule that was looked at");
	begin();
	add_fwmark(AF_INET6, 0x200, 0xf00);
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
	only(CHECK_WARNING, "mark-rules", "ip -6 rule uses bits 0x00000f00", "mark-mask 0xfffff000");
	begin();
	c.fwmarks_error = true;
	only(CHECK_WARNING, "mark-rules", "does not tell its rules of policy routing", "ip -6 rule");
}

/* kube-proxy's, as iptables-save shows them: the bit for what is to be masqueraded */
static const char kube_proxy[] =
	"*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-POSTROUTING - [0:0]\n"
	"-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
	"-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n"
	"-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n"
	"-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
	"-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n"
	"-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully\n"
	"-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m comment --comment \"default/kubernetes:https cluster IP\" "
	"-m tcp --dport 443 -j KUBE-MARK-MASQ\nCOMMIT\n"
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:KUBE-FORWARD - [0:0]\n"
	"-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n"
	"-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 -j ACCEPT\nCOMMIT\n";

/* The same, of its nftables mode */
static const char kube_proxy_nft[] =
	"table ip kube-proxy {\n\tcomment \"rules for kube-proxy\"\n\n\tchain mark-for-masquerade {\n"
	"\t\tmeta mark set meta mark | 0x00004000\n\t}\n\n\tchain masquerading {\n"
	"\t\tmeta mark & 0x00004000 == 0x00000000 return\n\t\tmeta mark set meta mark ^ 0x00004000\n"
	"\t\tmasquerade fully-random\n\t}\n\n\tchain nat-postrouting {\n"
	"\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t\tjump masquerading\n\t}\n}\n";

/* Calico's: bits of iptablesMarkMask, 0xffff0000 */
static const char calico[] =
	"*mangle\n:PREROUTING ACCEPT [0:0]\n:cali-PREROUTING - [0:0]\n"
	"-A PREROUTING -m comment --comment \"cali:xyz-5\" -j cali-PREROUTING\n"
	"-A cali-PREROUTING -m comment --comment \"cali:abc_1\" -m mark --mark 0x10000/0x10000 -j ACCEPT\nCOMMIT\n"
	"*filter\n:INPUT ACCEPT [0:0]\n:cali-INPUT - [0:0]\n-A INPUT -m comment --comment \"cali:k\" -j cali-INPUT\n"
	"-A cali-INPUT -m comment --comment \"cali:m\" -j MARK --set-xmark 0x0/0xf0000\n"
	"-A cali-INPUT -m comment --comment \"Host endpoint policy accepted packet.\" -m mark --mark 0x10000/0x10000 -j ACCEPT\n"
	"COMMIT\n";

/* Cilium's: which of its programs a packet comes from, and of what identity */
static const char cilium[] =
	"*filter\n:OUTPUT ACCEPT [0:0]\n:CILIUM_OUTPUT - [0:0]\n"
	"-A OUTPUT -m comment --comment \"cilium-feeder: CILIUM_OUTPUT\" -j CILIUM_OUTPUT\n"
	"-A CILIUM_OUTPUT -m mark ! --mark 0xe00/0xf00 -m mark ! --mark 0xa00/0xe00 -m comment --comment "
	"\"cilium: host->any mark as from host\" -j MARK --set-xmark 0xc00/0xf00\nCOMMIT\n"
	"*mangle\n:PREROUTING ACCEPT [0:0]\n:CILIUM_PRE_mangle - [0:0]\n"
	"-A CILIUM_PRE_mangle -m socket --transparent -m mark ! --mark 0xe00/0xf00 -j MARK --set-xmark 0x200/0xffffffff\nCOMMIT\n";

/* Published ports of Docker, and --bridge-accept-fwmark=0x2/0x3 */
static const char docker_fwmark[] =
	"*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n:DOCKER-FORWARD - [0:0]\n-A FORWARD -j DOCKER-FORWARD\n"
	"-A DOCKER-FORWARD -m mark --mark 0x2/0x3 -j ACCEPT\n-A DOCKER ! -i docker0 -o docker0 -j DROP\nCOMMIT\n";

/* So many findings of the check, and of no other, with that mask */
static void among(const char *what, uint32_t mask, unsigned int n)
{
	unsigned int found = 0;
	bool good;
	size_t i;

	c.config.mark_mask = mask;
	c.ues = 4095;
	check_run(&c);
	for (i = 0; i < c.n_findings; i++)
		found += c.findings[i].level != CHECK_OK && !strcmp(c.findings[i].check, "mark-rules");
	good = found == n && count(CHECK_WARNING) + count(CHECK_FAULT) == n;
	if (!good)
		say();
	ok(good, "CHECK: mark-rules: %u findings beside %s, mark-mask 0x%08x", n, what, (unsigned int)mask);
}

static void test_neighbours(void)
{
	with_iptables(kube_proxy);
	among("kube-proxy", 0xffffff, 2);
	with_iptables(kube_proxy);
	among("kube-proxy", 0xffff0000, 0);
	with_iptables(kube_proxy);
	among("kube-proxy", 0xffff8000, 0);
	with_iptables(kube_proxy);
	among("kube-proxy", 0x3fff, 0);
	with_nft(kube_proxy_nft);
	among("kube-proxy in nftables", 0xffffff, 1);
	with_nft(kube_proxy_nft);
	among("kube-proxy in nftables", 0xffff0000, 0);
	with_iptables(calico);
	among("Calico", 0xffffff, 3);
	with_iptables(calico);
	among("Calico", 0xffff, 0);
	with_iptables(calico);
	among("Calico", 0x3fff, 0);
	with_iptables(cilium);
	among("Cilium", 0xffffff, 2);
	with_iptables(docker_fwmark);
	among("Docker", 0xffffff, 1);
	with_iptables(docker_fwmark);
	among("Docker", 0xfffffc, 0);
	with_nft(docker);
	among("Docker without marks", 0xffffffff, 0);
	with_nft(FIREWALLD("\t\tmeta l4proto esp accept\n\t\tmeta ipsec exists accept\n"));
	among("firewalld", 0xffffffff, 0);
}

static void add_socket(uint8_t proto, const char *address, uint16_t port)
{
	struct check_socket *s;

	c.sockets = check_grow(c.sockets, &c.n_sockets, sizeof(*s));
	s = &c.sockets[c.n_sockets - 1];
	s->proto = proto;
	s->port = port;
	imsipsec_addr_parse(&s->address, address);
}

static void add_trusted(const char *text)
{
	struct imsipsec_endpoint *e = &c.endpoints[0];

	strcpy(e->trusted[e->n_trusted++], text);
}

static void add_trusted_policy(const char *address)
{
	struct check_policy *p = add_policy(OUT, 5063, 3);

	imsipsec_addr_parse(&p->remote, address);
	p->remote_prefix = 16;
}

static void test_trusted(void)
{
	static const char dev[] = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth1: 0 0\n";

	begin();
	well("trusted", "no endpoint trusts anybody");
	begin();
	write_file("/proc/net/dev", dev);
	add_trusted("10.1.2.0/24%eth1");
	add_trusted("10.2.0.0/16%eth1");
	add_trusted_policy("10.2.0.0");
	well("trusted", "endpoint 1 trusts 10.1.2.0/24%eth1: 2^8 addresses");
	begin();
	add_trusted("10.1.0.0/16%lo");
	add_trusted_policy("10.2.0.0");
	only(CHECK_WARNING, "policies", "remote 10.2.0.0/16, priority 3", "ip xfrm policy delete");
	begin();
	add_trusted("10.2.0.0/15%eth1");
	only(CHECK_WARNING, "trusted", "10.2.0.0/15%eth1: 2^17 addresses", "not wider than /16");
	begin();
	add_trusted("2001:db8::/47%eth1");
	only(CHECK_WARNING, "trusted", "2001:db8::/47%eth1: 2^81 addresses", "not wider than /48");
	begin();
	add_trusted("2001:db8::/48%eth1");
	well("trusted", "2^80 addresses");
	begin();
	write_file("/proc/net/dev", dev);
	add_trusted("10.1.2.0/24%eth");
	only(CHECK_WARNING, "trusted", "trusts 10.1.2.0/24%eth, and there is no eth", "trusted");
	begin();
	c.trusted_ues = 3;
	only(CHECK_WARNING, "trusted", "3 UEs in tunnels", "the hosts of the core alone");
}

static void test_sockets(void)
{
	begin();
	add_socket(IPPROTO_UDP, "192.0.2.1", 5063);
	add_socket(IPPROTO_UDP, "127.0.0.1", 5062);
	add_socket(IPPROTO_TCP, "192.0.2.9", 5064);
	add_socket(IPPROTO_UDP, "0.0.0.0", 5060);
	add_socket(IPPROTO_TCP, "::", 22);
	add_socket(IPPROTO_TCP, "2001:db8::1", 5062);
	well("sockets", "no socket at a protected port is bound to all addresses");
	begin();
	add_socket(IPPROTO_UDP, "0.0.0.0", 5063);
	only(CHECK_FAULT, "sockets", "UDP 0.0.0.0 port 5063, which endpoint 1 guards at its own address only",
	     "bind it to 192.0.2.1; ss -ulpn sport = 5063");
	begin();
	add_socket(IPPROTO_TCP, "0.0.0.0", 5064);
	strcpy(c.sockets[0].interface, "eth0");
	only(CHECK_FAULT, "sockets", "TCP 0.0.0.0%eth0 port 5064", "ss -tlpn sport = 5064");
	/* With IPv4 as well, or not */
	begin();
	add_socket(IPPROTO_UDP, "::", 5062);
	only(CHECK_FAULT, "sockets", "UDP :: port 5062", "bind it to 192.0.2.1");
	begin();
	add_socket(IPPROTO_UDP, "::", 5062);
	c.sockets[0].v6only = true;
	well("sockets", "no socket");
	begin();
	add_socket(IPPROTO_UDP, "::", 5062);
	c.sockets[0].v6only = true;
	add_endpoint("2001:db8::1");
	add_address("2001:db8::1", "eth0");
	only(CHECK_FAULT, "sockets", "UDP :: port 5062, which endpoint 2 guards", "bind it to 2001:db8::1");
	begin();
	imsipsec_addr_parse(&c.endpoints[0].address, "2001:db8::1");
	add_address("2001:db8::1", "eth0");
	add_socket(IPPROTO_UDP, "0.0.0.0", 5063);
	well("sockets", "no socket");
	begin();
	c.endpoints[0].guard = IMSIPSEC_GUARD_BYPASS;
	add_socket(IPPROTO_UDP, "0.0.0.0", 5063);
	well("sockets", "no socket");
	begin();
	c.sockets_error = true;
	only(CHECK_WARNING, "sockets", "does not tell its sockets", "ss -tuln");
}

/* What numbers of the command line are not */
static void test_numbers(void)
{
	static const char *const bad[] = {
		"", "x", "0x", "0x0x10", "0X0x10", "0x 10", "0x+1", "0x-1", " 1", "+1", "-1", "a0", "1a", "0xg",
		"4294967296", "18446744073709551617",
	};
	uint32_t value;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ok(!parse_u32(bad[i], &value), "INPUT: not a number: \"%s\"", bad[i]);
	ok(parse_u32("0x10", &value) && value == 16 && parse_u32("010", &value) && value == 10 &&
	   parse_u32("0XfF", &value) && value == 255 && parse_u32("4294967295", &value) && value == UINT32_MAX,
	   "INPUT: numbers");
}

int main(int argc, char **argv)
{
	rulesets = json_object_from_file(NFT_JSON);
	if (argc > 1)
		texts = fopen(argv[1], "w");
	if (!rulesets && !texts)
		die(1, "%s: %s\n", NFT_JSON, strerror(errno));
	if (!mkdtemp(root))
		die(1, "%s: %s\n", root, strerror(errno));
	test_module();
	test_capability();
	test_endpoints();
	test_nat_port();
	test_sysctls();
	test_policies();
	test_algorithms();
	test_modules();
	test_limits();
	test_nft();
	test_nft_rules();
	test_nft_meaning();
	test_iptables();
	test_iptables_meaning();
	test_ip6tables();
	test_nft_text();
	test_nft_marks();
	test_iptables_marks();
	test_fwmarks();
	test_neighbours();
	test_trusted();
	test_sockets();
	test_numbers();
	json_object_put(rulesets);
	if (texts)
		fclose(texts);
	check_free(&c);
	remove_all();
	return done();
}
