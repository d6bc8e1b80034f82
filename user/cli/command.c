// SPDX-License-Identifier: GPL-2.0-only
/* A command is found by its words, and run. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* main.c's */
static const struct command *all_commands;
static size_t n_commands;

/* What run_words() knows; @commands stay. */
void set_commands(const struct command *commands, size_t n)
{
	all_commands = commands;
	n_commands = n;
}

void usage(FILE *to, const struct command *commands, size_t n)
{
	size_t i;

	fprintf(to, "Usage: imsipsec [ -j [ -p ] ]%s COMMAND\n", command_name);
	if (!*command_name)
		fputs("       imsipsec [ -j [ -p ] ] [ -force ] -batch FILE\n"
		      "       imsipsec help [ COMMAND ... ]\n", to);
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

/*
 * Run one command; @place is where it stands, for messages, or NULL. Return: the
 * exit status.
 */
int run_words(const char *place, int argc, char **argv)
{
	int status;

	command_place = place;
	*command_name = '\0';
	status = run_command(all_commands, n_commands, NULL, argc, argv);
	if (fflush(stdout) || ferror(stdout))
		return fail("standard output: %s", strerror(errno));
	return status;
}

/* Is this command itself one of a file's? */
bool in_batch(void)
{
	return command_place;
}
