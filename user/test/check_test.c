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
#include <sys/stat.h>
#include <unistd.h>

#include "../cli/check.h"
#include "../cli/cli.h"
#include "tap.h"

/* Of the command's main.c */
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
	if (unlink(full))
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
	struct imsipsec_algorithm *a;

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
	add_algorithm(IMSIPSEC_ALG_NULL, IMSIPSEC_EALG_AES_GCM, "seqiv(rfc4106-gcm-aesni)");
	add_algorithm(IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_AES_CBC,
		      "echainiv(authenc(hmac(sha1-avx2),cbc-aes-aesni))");
	c.nft = strdup("");
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
	ok(good, "%s: %s: %s", level == CHECK_FAULT ? "fault" : "warning", check, text);
}

/* Nothing but good */
static void well(const char *check, const char *text)
{
	bool good;

	check_run(&c);
	good = has(CHECK_OK, check, text, "") && !count(CHECK_WARNING) && !count(CHECK_FAULT);
	if (!good)
		say();
	ok(good, "ok: %s: %s", check, text);
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

	/* Not loaded: what needs its answers is not claimed */
	begin();
	remove_all();
	write_file("/proc/self/status", files[1].text);
	write_file("/proc/meminfo", "x\nMemAvailable: 8000000 kB\n");
	write_file("/proc/sys/net/core/netdev_max_backlog", "1000\n");
	c.module = false;
	c.open_error = -ENOENT;
	only(CHECK_FAULT, "module", "not loaded", "modprobe ims_ipsec");
	ok(c.n_findings == 5, "without the module: %zu findings", c.n_findings);
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

	begin();
	well("policies", "no XFRM policy of somebody else's");
	begin();
	c.policies_error = true;
	only(CHECK_WARNING, "policies", "does not tell", "ip xfrm policy");
	/* The endpoint's own, and of a UE behind a NAT */
	begin();
	add_policy(OUT, 5063, 3)->templates = true;
	p = add_policy(OUT, 5063, 2);
	p->templates = p->remote_port = true;
	p->esp_transport = false;
	p->remote_prefix = 32;
	c.endpoints[0].nat_traversal = true;
	well("policies", "no XFRM policy of somebody else's");
	/* After ours; not at our ports, address or family */
	begin();
	add_policy(OUT, 5063, 4)->blocks = true;
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
	     "what leaves port 5063 of endpoint 1", "ip xfrm policy delete dir out index 9, or give it a priority above 3");
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
}

static void test_algorithms(void)
{
	begin();
	well("algorithms", "2 of the pairs");
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
	strcpy(c.algorithms[1].driver, "echainiv(authenc(hmac(sha1-avx2),cbc(aes-generic)))");
	only(CHECK_WARNING, "algorithms", "cbc(aes-generic)))", "modprobe aesni_intel");
	begin();
	write_file("/proc/modules", "esp4 1 0 - Live 0x0\n");
	strcpy(c.algorithms[1].driver, "echainiv(authenc(hmac(sha1-generic),cbc-aes-aesni))");
	only(CHECK_WARNING, "algorithms", "sha1-generic", "modprobe sha1_ssse3");
	/* The processor cannot, the module is not there, or it is loaded */
	begin();
	strcpy(c.algorithms[0].driver, "seqiv(rfc4106(gcm_base(ctr-aes-aesni,ghash-generic)))");
	well("algorithms", "2 of the pairs");
	begin();
	write_file("/proc/modules", "esp4 1 0 - Live 0x0\n");
	write_file("/lib/modules/6.12.0-test/modules.dep", DEP("net/ipv4/esp4"));
	strcpy(c.algorithms[1].driver, "echainiv(authenc(hmac(sha1-generic),cbc(aes-generic)))");
	well("algorithms", "2 of the pairs");
	begin();
	strcpy(c.algorithms[1].driver, "echainiv(authenc(hmac(sha1-generic),cbc(aes-generic)))");
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
	well("memory", "8192 MB are available; 64000 UEs take 742 MB more with one bundle each, 2228 with 3");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\nMemAvailable: 2000000 kB\n");
	only(CHECK_WARNING, "memory", "2048 MB are available", "more memory");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\nMemAvailable: 700000 kB\n");
	only(CHECK_FAULT, "memory", "716 MB are available", "more memory");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\nMemAvailable: 700000 kB\n");
	c.endpoints[0].bundles = 191000;
	well("memory", "64000 UEs take 0 MB more with one bundle each, 11 with 3");
	begin();
	write_file("/proc/meminfo", "MemTotal: 1\n");
	only(CHECK_WARNING, "memory", "does not tell", "742 MB");
}

static void with_nft(const char *text)
{
	begin();
	free(c.nft);
	c.nft = strdup(text);
}

#define TABLE(rules)							\
	"table inet filter {\n"						\
	"\tset sip {\n\t\ttype inet_service\n\t\telements = { 5062, 5064 }\n\t}\n\n" \
	"\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n" rules "\t}\n\n" \
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
	with_nft(TABLE("\t\tmeta l4proto esp counter accept\n\t\txt match \"policy\" counter accept\n"));
	well("firewall", "rules speak of all that is needed");
	with_nft(TABLE("\t\tip protocol 50 accept\n\t\tudp dport { 4000-5061, 5063 } accept\n"));
	well("firewall", "rules speak of all that is needed");

	with_nft(TABLE("\t\tudp dport 5063 accept\n"));
	only(CHECK_WARNING, "firewall", "nftables' chain inet filter in drops what no rule takes, "
	     "and none of that table speaks of ESP", "meta l4proto esp accept");
	with_nft(TABLE("\t\tmeta l4proto esp drop\n\t\tudp dport 5063 accept\n"));
	only(CHECK_WARNING, "firewall", "has a rule that refuses ESP: \"meta l4proto esp drop\"", "accepts");
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
		 "\t\tmeta ipsec exists accept\n\t\treject with icmpx admin-prohibited\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain ip f in drops", "esp accept");
	with_nft("table ip f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy accept;\n"
		 "\t\treject with icmpx admin-prohibited\n\t\taccept\n\t}\n}\n");
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
	free(c.nft);
	c.nft = NULL;
	c.nft_error = "is not installed";
	well("firewall", "there are no tables");
	begin();
	free(c.nft);
	c.nft = NULL;
	c.nft_error = "is not installed";
	write_file("/proc/modules", "nf_tables 1 0 - Live 0x0\nesp4 1 0 - Live 0x0\n");
	only(CHECK_WARNING, "firewall", "nft is not installed: its rules were not looked at",
	     "install nftables");
	begin();
	c.iptables_error[1] = "failed";
	only(CHECK_WARNING, "firewall", "ip6tables-save failed", "install iptables");
}

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
	/* By way of iptables */
	with_nft("table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n"
		 "\t\tcounter packets 1 bytes 2 jump ufw-before-input\n\t}\n\n\tchain ufw-before-input {\n"
		 "\t\tmeta l4proto esp counter packets 0 bytes 0 accept\n"
		 "\t\txt match \"policy\" counter packets 0 bytes 0 accept\n\t}\n}\n");
	well("firewall", "rules speak of all that is needed");
	/* At the end of what a chain leads to */
	with_nft("table inet f {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n"
		 "\t\ttcp dport 22 accept\n\t\tmeta ipsec exists accept\n\t\tjump rest\n\t}\n\n\tchain rest {\n"
		 "\t\tcounter drop\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain inet f in drops what no rule takes, and none of that table speaks of ESP", "esp");

	/* Refused by name, in either family, wherever it passes */
	with_nft(CHAIN("ip6", "\t\tip6 nexthdr esp drop\n"));
	well("firewall", "no input or output chain");
	with_nft6(CHAIN("ip6", "\t\tip6 nexthdr esp drop\n"));
	only(CHECK_WARNING, "firewall", "chain ip6 f in has a rule that refuses ESP: \"ip6 nexthdr esp drop\"", "nft delete rule");
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
	with_nft("table inet f {\n\tchain pre {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"
		 "\t\tgoto more\n\t}\n\n\tchain more {\n\t\tjump more2\n\t}\n\n\tchain more2 {\n\t\tjump more\n"
		 "\t\tip protocol esp drop\n\t}\n}\n");
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
	with_nft("table netdev f {\n\tchain in {\n\t\ttype filter hook ingress device \"eth0\" priority 0; policy drop;\n"
		 "\t\tmeta l4proto esp accept\n\t}\n}\n");
	only(CHECK_WARNING, "firewall", "chain netdev f in drops what no rule takes: cannot tell", "nft list chain netdev f in");
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

int main(void)
{
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
	test_iptables();
	test_ip6tables();
	check_free(&c);
	remove_all();
	return done();
}
