// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec batch: a file of commands, as ip -batch reads one.
 *
 * A command a line. A # where a word would begin starts a comment, a \ at the end of
 * a line goes on with the next, a word that begins with ' or " ends with it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#define BATCH_WORDS_MAX	128

bool force_wanted;

struct batch {
	const char *name;
	FILE *file;
	char *line;			/* the command, with all of its lines */
	size_t room;
	unsigned int number;		/* of the line that was read last */
	unsigned int start;		/* of the command's first one */
};

/* One line at the end of what is there. Return: false at the end of the file. */
static bool append_line(struct batch *b, char **text, size_t *len)
{
	ssize_t n;

	n = getline(&b->line, &b->room, b->file);
	if (n < 0)
		return false;
	b->number++;
	if (strlen(b->line) != (size_t)n)
		die(EXIT_USAGE, "%s:%u: there is a NUL", b->name, b->number);
	if (n && b->line[n - 1] == '\n')
		n--;
	*text = realloc(*text, *len + n + 1);
	if (!*text)
		die(EXIT_KERNEL, "%s", strerror(ENOMEM));
	memcpy(*text + *len, b->line, n);
	*len += n;
	(*text)[*len] = '\0';
	return true;
}

/* Return: the next command, to be freed; NULL: there is none. */
static char *read_command(struct batch *b)
{
	char *text = NULL;
	size_t len = 0;

	b->start = b->number + 1;
	while (append_line(b, &text, &len)) {
		if (!len || text[len - 1] != '\\')
			return text;
		text[--len] = '\0';
	}
	if (ferror(b->file))
		die(EXIT_KERNEL, "%s: %s", b->name, strerror(errno));
	return text;
}

/* Return: how many words there are, in @words; -1 if they cannot be told apart. */
static int split(char *p, char *words[BATCH_WORDS_MAX + 1])
{
	static const char blanks[] = " \t\r";
	char quote[2] = "";
	int n = 0;

	for (;;) {
		p += strspn(p, blanks);
		if (!*p || *p == '#')
			break;
		if (n == BATCH_WORDS_MAX)
			return -1;
		*quote = *p == '\'' || *p == '"' ? *p++ : '\0';
		words[n++] = p;
		p += strcspn(p, *quote ? quote : blanks);
		if (*quote && !*p)
			return -1;
		if (*p)
			*p++ = '\0';
	}
	words[n] = NULL;
	return n;
}

/* In a process of its own: a command that is wrong ends it. Return: its exit status. */
static int run_apart(const struct batch *b, const char *place, int argc, char **argv)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return fail("fork: %s", strerror(errno));
	if (!pid) {
		/* Else exit() would set the file back to where we have read up to. */
		__fpurge(b->file);
		exit(run_words(place, argc, argv));
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail("wait: %s", strerror(errno));
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return fail("%s: killed by signal %d", place, WTERMSIG(status));
}

static int run_line(const struct batch *b, char *text)
{
	char *words[BATCH_WORDS_MAX + 1];
	char place[512];
	int n;

	snprintf(place, sizeof(place), "%s:%u", b->name, b->start);
	n = split(text, words);
	if (n < 0) {
		fail("%s: a quote is not closed, or there are more than %d words", place,
		     BATCH_WORDS_MAX);
		return EXIT_USAGE;
	}
	return n ? run_apart(b, place, n, words) : EXIT_OK;
}

int cmd_batch(int argc, char **argv)
{
	struct batch b = { .file = stdin, .name = "-" };
	int status = EXIT_OK, this;
	char *text;

	if (argc != 1)
		die(EXIT_USAGE, argc ? "there is more than one file"
				     : "the name of a file is missing, - is standard input");
	if (in_batch())
		die(EXIT_USAGE, "a file cannot have others");
	if (strcmp(argv[0], "-")) {
		b.name = argv[0];
		b.file = fopen(b.name, "re");
	}
	if (!b.file)
		die(EXIT_USAGE, "%s: %s", b.name, strerror(errno));

	while ((!status || force_wanted) && (text = read_command(&b))) {
		this = run_line(&b, text);
		if (!status)
			status = this;
		free(text);
	}
	if (b.file != stdin)
		fclose(b.file);
	free(b.line);
	return status;
}
