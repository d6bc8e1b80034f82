// SPDX-License-Identifier: LGPL-2.1-or-later
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

struct options opt = {
	.port = 5060,
	.port_ps = 5063,
	/*
	 * Two, so that a set that a UE re-registers with has another one than the set
	 * before: the answer leaves over the new one.
	 */
	.port_pc = { 5062, 5064 },
	.n_port_pc = 2,
	.realm = "ims.example",
	.n_algs = sizeof(opt.algs) / sizeof(opt.algs[0]),
	.linger = 32000,
	.single = true,
};

struct net_local locals[NET_LOCAL_MAX];
size_t n_locals;

void say(bool always, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!always && !opt.verbose)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* It has what others sent in it. */
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	fprintf(stderr, "pcscf: %s\n", line);
}

void step(const char *name)
{
	if (opt.die_at && !strcmp(opt.die_at, name) && !--opt.die_turn)
		kill(getpid(), SIGKILL);
}

static void usage(void)
{
	fputs("usage: pcscf -l ADDRESS [-l ADDRESS]... --vectors FILE [OPTION]...\n"
	      "  -l, --listen ADDRESS   IPv4 or IPv6, up to 8 of them\n"
	      "      --both-families    IPv4 by sockets of IPv6, as ::ffff:192.0.2.1\n"
	      "      --port PORT        for what is not protected (5060)\n"
	      "      --port-ps PORT     protected server port (5063)\n"
	      "      --port-pc LIST     protected client ports, up to 4 (5062,5064)\n"
	      "      --vectors FILE     lines IMPI RAND AUTN XRES CK IK, in hex\n"
	      "      --realm REALM      of the challenge (ims.example)\n"
	      "      --algs LIST        alg=ealg,... in order of preference (what the kernel\n"
	      "                         is configured to allow, see imsipsec algorithms)\n"
	      "      --security-server list|single\n"
	      "                         all of these, the chosen pair first, or that one\n"
	      "                         only, which all UEs understand (single)\n"
	      "      --reauthenticate   challenge a UE that registers again, over its set\n"
	      "      --send-options     ask each UE that has registered for its OPTIONS\n"
	      "      --nat              UEs may be behind NATs: mod=UDP-enc-tun for these\n"
	      "      --nat-inner private|public\n"
	      "                         their address within the tunnel: their own, as in Via,\n"
	      "                         or that of the NAT (private)\n"
	      "      --force-udp-encap  as --nat, and mod=UDP-enc-tun also where there is no NAT\n"
	      "      --linger MS        how long SAs stay after de-registration (32000)\n"
	      "      --delete-endpoint  delete endpoints and bundles at the end; without it\n"
	      "                         they stay, the ports remain shut, and the next pcscf\n"
	      "                         takes them over\n"
	      "      --die-at STEP[:N]  for tests: be killed, as by kill -9, at the N-th (first)\n"
	      "                         challenge|made|challenged|confirm|confirmed|registered|\n"
	      "                         leave|flushed|left\n"
	      "  -v, --verbose          a line for each event, on standard error\n", stderr);
	exit(2);
}

static uint16_t port_option(const char *text)
{
	char *rest;
	unsigned long port = strtoul(text, &rest, 10);

	if (*rest || port < 1 || port > 65535)
		usage();
	return (uint16_t)port;
}

static void ports_option(char *text)
{
	opt.n_port_pc = 0;
	for (char *port = strtok(text, ","); port; port = strtok(NULL, ",")) {
		if (opt.n_port_pc == NET_PC_MAX)
			usage();
		opt.port_pc[opt.n_port_pc++] = port_option(port);
	}
	if (!opt.n_port_pc)
		usage();
}

void options(int argc, char **argv)
{
	enum { BOTH_FAMILIES = 256, PORT, PORT_PS, PORT_PC, VECTORS, REALM, ALGS, SERVER, REAUTHENTICATE,
	       SEND_OPTIONS, NAT, NAT_INNER, FORCE_UDP_ENCAP, LINGER, DELETE, DIE_AT };
	static const struct option known[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "both-families", no_argument, NULL, BOTH_FAMILIES },
		{ "port", required_argument, NULL, PORT },
		{ "port-ps", required_argument, NULL, PORT_PS },
		{ "port-pc", required_argument, NULL, PORT_PC },
		{ "vectors", required_argument, NULL, VECTORS },
		{ "realm", required_argument, NULL, REALM },
		{ "algs", required_argument, NULL, ALGS },
		{ "security-server", required_argument, NULL, SERVER },
		{ "reauthenticate", no_argument, NULL, REAUTHENTICATE },
		{ "send-options", no_argument, NULL, SEND_OPTIONS },
		{ "nat", no_argument, NULL, NAT },
		{ "nat-inner", required_argument, NULL, NAT_INNER },
		{ "force-udp-encap", no_argument, NULL, FORCE_UDP_ENCAP },
		{ "linger", required_argument, NULL, LINGER },
		{ "delete-endpoint", no_argument, NULL, DELETE },
		{ "die-at", required_argument, NULL, DIE_AT },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	char *rest;
	int c;

	while ((c = getopt_long(argc, argv, "l:v", known, NULL)) != -1) {
		switch (c) {
		case 'l':
			if (n_locals == NET_LOCAL_MAX ||
			    imsipsec_addr_parse(&locals[n_locals].address, optarg))
				usage();
			memset(locals[n_locals].fd, 0xff, sizeof(locals[n_locals].fd));
			n_locals++;
			break;
		case BOTH_FAMILIES:
			net_both_families = true;
			break;
		case PORT:	opt.port = port_option(optarg); break;
		case PORT_PS:	opt.port_ps = port_option(optarg); break;
		case PORT_PC:	ports_option(optarg); break;
		case VECTORS:	opt.vectors = optarg; break;
		case REALM:	opt.realm = optarg; break;
		case ALGS:	opt.algs_text = optarg; break;
		case SERVER:
			opt.single = !strcmp(optarg, "single");
			if (!opt.single && strcmp(optarg, "list"))
				usage();
			break;
		case REAUTHENTICATE:
			opt.reauthenticate = true;
			break;
		case SEND_OPTIONS:
			opt.send_options = true;
			break;
		case NAT:	opt.nat = true; break;
		case NAT_INNER:
			opt.nat_inner_public = !strcmp(optarg, "public");
			if (!opt.nat_inner_public && strcmp(optarg, "private"))
				usage();
			break;
		case FORCE_UDP_ENCAP:
			opt.nat = opt.force_udp_encap = true;
			break;
		case LINGER:
			opt.linger = strtoull(optarg, &rest, 10);
			if (*rest)
				usage();
			break;
		case DELETE:	opt.delete_endpoint = true; break;
		case DIE_AT:
			opt.die_at = strtok(optarg, ":");
			rest = strtok(NULL, "");
			opt.die_turn = rest ? (unsigned int)strtoul(rest, NULL, 10) : 1;
			break;
		case 'v':	opt.verbose = true; break;
		default:	usage();
		}
	}
	if (optind != argc || !n_locals || !opt.vectors)
		usage();
	if (opt.algs_text &&
	    (imsipsec_pairs_parse(opt.algs_text, opt.algs, &opt.n_algs) || !opt.n_algs))
		usage();
}
