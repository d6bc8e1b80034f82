// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec: show and change what the kernel module ims_ipsec holds. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cli.h"

bool json_wanted;
bool force_wanted;
struct json json_out;

/* "bundle add": what messages begin with */
static char command_name[64];
/* Before that, in a file of commands: "FILE:LINE" */
static const char *command_place;

static int vfail(const char *fmt, va_list args)
{
	fflush(stdout);
	fputs("imsipsec:", stderr);
	if (command_place)
		fprintf(stderr, " %s:", command_place);
	fprintf(stderr, "%s%s ", command_name, *command_name ? ":" : "");
	vfprintf(stderr, fmt, args);
	putc('\n', stderr);
	return EXIT_KERNEL;
}

int fail(const char *fmt, ...)
{
	va_list args;
	int status;

	va_start(args, fmt);
	status = vfail(fmt, args);
	va_end(args);
	return status;
}

void die(int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfail(fmt, args);
	va_end(args);
	exit(status);
}

/* @err is of imsipsec_open() or imsipsec_event_open(). */
void die_of_open(int err)
{
	const struct check host = { .root = "" };
	char cure[CHECK_TEXT];

	if (err != -ENOENT)
		die(EXIT_KERNEL, "%s", imsipsec_open_strerror(err));
	check_module_cure(&host, cure, sizeof(cure));
	die(EXIT_KERNEL, "%s; cure: %s", imsipsec_open_strerror(err), cure);
}

struct imsipsec *open_or_die(void)
{
	struct imsipsec *h;
	int err;

	err = imsipsec_open(&h);
	if (err)
		die_of_open(err);
	return h;
}

/* Connect, to show any number of objects up to end_list(). */
struct imsipsec *begin_list(void)
{
	struct imsipsec *h = open_or_die();

	if (json_wanted)
		json_open(&json_out, NULL, '[');
	return h;
}

/* @err is what the library returned. Return: the exit status. */
int end_list(struct imsipsec *h, int err)
{
	if (json_wanted) {
		json_close(&json_out, ']');
		json_end(&json_out);
	}
	if (err)
		fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return err ? EXIT_KERNEL : EXIT_OK;
}

static void usage(FILE *to, const struct command *commands, size_t n)
{
	size_t i;

	fprintf(to, "Usage: imsipsec [ -j [ -p ] ]%s COMMAND\n", command_name);
	if (!*command_name)
		fputs("       imsipsec [ -j [ -p ] ] [ -force ] -batch FILE\n", to);
	putc('\n', to);
	for (i = 0; i < n; i++) {
		fprintf(to, "  %s%s%s\n", commands[i].name, *commands[i].args ? " " : "",
			commands[i].args);
		fprintf(to, "        %s\n", commands[i].help);
	}
}

static void usage_one(const struct command *command)
{
	printf("Usage: imsipsec%s%s%s\n\n%s.\n", command_name, *command->args ? " " : "",
	       command->args, command->help);
}

static bool is_help(const char *word)
{
	return !strcmp(word, "help") || !strcmp(word, "-h") || !strcmp(word, "--help");
}

/* By its name or by a beginning that no other one has. */
static const struct command *find_command(const struct command *commands, size_t n,
					  const char *name)
{
	const struct command *found = NULL;
	size_t i, hits = 0;

	for (i = 0; i < n; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
		if (!strncmp(commands[i].name, name, strlen(name))) {
			found = &commands[i];
			hits++;
		}
	}
	if (!strcmp(name, "delete"))
		return find_command(commands, n, "del");
	if (!strcmp(name, "list"))
		return find_command(commands, n, "show");
	return hits == 1 ? found : NULL;
}

static void __attribute__((noreturn)) die_of_command(const struct command *commands, size_t n,
							const char *name)
{
	char wanted[256] = "";
	size_t i, len = 0;

	for (i = 0; i < n && len < sizeof(wanted); i++)
		len += snprintf(wanted + len, sizeof(wanted) - len, "%s, ", commands[i].name);
	die(EXIT_USAGE, "\"%s\" is unknown; wanted: %shelp", name, wanted);
}

/* Run the command that argv[0] names, @fallback if there is none. */
int run_command(const struct command *commands, size_t n, const char *fallback,
		int argc, char **argv)
{
	const char *name = argc ? argv[0] : fallback;
	const struct command *command;
	size_t len = strlen(command_name);
	bool help = name && is_help(name);

	if (!name) {
		usage(stderr, commands, n);
		return EXIT_USAGE;
	}
	if (help && argc == 1) {
		usage(stdout, commands, n);
		return EXIT_OK;
	}
	/* "help bundle" is "bundle help". */
	if (help) {
		name = argv[1];
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	command = find_command(commands, n, name);
	if (!command)
		die_of_command(commands, n, name);

	snprintf(command_name + len, sizeof(command_name) - len, " %s", command->name);
	if (!help && argc > 1 && is_help(argv[1])) {
		help = true;
		argc--;
		argv++;
	}
	/* A command that has commands of its own takes this further. */
	if (!help || !strncmp(command->args, "COMMAND", 7))
		return help || !argc ? command->run(argc, argv) : command->run(argc - 1, argv + 1);
	if (argc > 1)
		die(EXIT_USAGE, "\"%s\" is unknown; wanted: no more words", argv[1]);
	usage_one(command);
	return EXIT_OK;
}

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

/*
 * Run one command; @place is where it stands, for messages, or NULL. Return: the
 * exit status.
 */
int run_words(const char *place, int argc, char **argv)
{
	int status;

	command_place = place;
	*command_name = '\0';
	status = run_command(commands, ARRAY_SIZE(commands), NULL, argc, argv);
	if (fflush(stdout) || ferror(stdout))
		return fail("standard output: %s", strerror(errno));
	return status;
}

/* Is this command itself one of a file's? */
bool in_batch(void)
{
	return command_place;
}

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
