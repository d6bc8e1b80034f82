// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec: show and change what the kernel module ims_ipsec holds. */
#include <getopt.h>
#include <stdio.h>

#include "cli.h"

static const struct command commands[] = {
	{ "endpoint", cmd_endpoint, "COMMAND ...", "Local addresses with their protected ports" },
	{ "bundle", cmd_bundle, "COMMAND ...", "Sets of four SAs, one or more a registration" },
	{ "config", cmd_config, "COMMAND ...", "Configuration of the network namespace" },
	{ "algorithms", cmd_algorithms, "", "Show the algorithms, in order of preference" },
	{ "offload", cmd_offload, "COMMAND ...", "What network interfaces can do" },
	{ "stats", cmd_stats, "[ { --openmetrics | --prometheus } [ netns NAME ] [ file FILE ] ]",
	  "Show how much there is, and has been done; or write that for a monitoring system" },
	{ "trace", cmd_trace, "[ ue ADDRESS ]",
	  "Show what was refused or dropped last: why is this UE not registered" },
	{ "monitor", cmd_monitor, "", "Show events until interrupted" },
	{ "capture", cmd_capture, "ue ADDRESS -w FILE [ interface NAME ]",
	  "Write a UE's packets to FILE, and its KEYS to FILE.esp_sa, for Wireshark; root only" },
	{ "check", cmd_check, "[ ues N ] [ processes N ]",
	  "Show what on this host stands in the way of N UEs, 64000 if not given, and the cure" },
	{ "batch", cmd_batch, "FILE",
	  "Run the commands in FILE, - for standard input, one a line" },
	{ "version", cmd_version, "", "Show the version of this command" },
};

int main(int argc, char **argv)
{
	/* Long ones may have one dash, as those of iproute2. */
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "pretty", no_argument, NULL, 'p' },
		{ "batch", required_argument, NULL, 'b' },
		{ "force", no_argument, NULL, 'f' },
		{ "Version", no_argument, NULL, 'V' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char *batch[] = { "batch", NULL };
	int c;

	json_out.file = stdout;
	set_commands(commands, ARRAY_SIZE(commands));
	while ((c = getopt_long_only(argc, argv, "+jpb:fVh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json_wanted = true;
			break;
		case 'p':
			json_out.pretty = true;
			break;
		case 'b':
			batch[1] = optarg;
			break;
		case 'f':
			force_wanted = true;
			break;
		case 'V':
			return cmd_version(0, NULL);
		case 'h':
			usage(stdout, commands, ARRAY_SIZE(commands));
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}

	if (!batch[1])
		return run_words(NULL, argc - optind, argv + optind);
	if (optind != argc)
		die(EXIT_USAGE, "either -batch or a command");
	return run_words(NULL, ARRAY_SIZE(batch), batch);
}
