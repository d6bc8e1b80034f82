// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: what files of the kernel's and of the host say. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"

/* Return: what the file has, to be freed; NULL: it cannot be read. */
char *check_read(const struct check *c, const char *fmt, ...)
{
	char path[1024], *text = NULL;
	size_t len = 0, n;
	va_list args;
	FILE *file;

	n = snprintf(path, sizeof(path), "%s", c->root);
	va_start(args, fmt);
	vsnprintf(path + n, sizeof(path) - n, fmt, args);
	va_end(args);

	file = fopen(path, "re");
	if (!file)
		return NULL;
	/* Those of proc have no size. */
	do {
		text = realloc(text, len + 4096 + 1);
		if (!text)
			die(EXIT_KERNEL, "%s", strerror(ENOMEM));
		n = fread(text + len, 1, 4096, file);
		len += n;
	} while (n);
	text[len] = '\0';
	if (ferror(file)) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

/* A file that begins with a number */
bool check_read_number(const struct check *c, const char *path, uint64_t *value)
{
	char *text = check_read(c, "%s", path);
	bool ok = text && sscanf(text, "%" SCNu64, value) == 1;

	free(text);
	return ok;
}

bool check_exists(const struct check *c, const char *path)
{
	char full[1024];

	snprintf(full, sizeof(full), "%s%s", c->root, path);
	return !access(full, F_OK);
}

/* A line of depmod's begins with the file of a module: kernel/net/ipv4/esp4.ko.xz: ... */
static bool has_file(const char *list, const char *name)
{
	const size_t len = strlen(name);
	const char *p, *line, *end;

	for (p = list; p && (p = strstr(p, name)); p += len) {
		line = p;
		while (line > list && line[-1] != '\n')
			line--;
		end = line + strcspn(line, ":\n");
		if (p < end && p > list && p[-1] == '/' && !strncmp(p + len, ".ko", 3))
			return true;
	}
	return false;
}

/* Is a part of the kernel there, to be loaded or @loaded? @name with underscores */
bool check_has_kernel_module(const struct check *c, const char *name, bool *loaded)
{
	char *release, *modules, *list, line[64], dashed[64];
	bool built_in, there;
	size_t i;

	snprintf(dashed, sizeof(dashed), "%s", name);
	for (i = 0; dashed[i]; i++)
		if (dashed[i] == '_')
			dashed[i] = '-';

	snprintf(line, sizeof(line), "\n%s ", name);
	modules = check_read(c, "/proc/modules");
	*loaded = modules && (strstr(modules, line) ||
			      !strncmp(modules, line + 1, strlen(line + 1)));
	free(modules);

	release = check_read(c, "/proc/sys/kernel/osrelease");
	if (!release)
		return *loaded;
	release[strcspn(release, "\n")] = '\0';
	list = check_read(c, "/lib/modules/%s/modules.builtin", release);
	built_in = has_file(list, name) || has_file(list, dashed);
	free(list);
	list = check_read(c, "/lib/modules/%s/modules.dep", release);
	there = has_file(list, name) || has_file(list, dashed);
	free(list);
	free(release);
	*loaded |= built_in;
	return *loaded || there;
}

/* What to do where ims_ipsec is not loaded: is there one for this kernel? */
void check_module_cure(const struct check *c, char *buf, size_t size)
{
	char *release = check_read(c, "/proc/sys/kernel/osrelease");
	bool loaded;

	if (release)
		release[strcspn(release, "\n")] = '\0';
	if (check_has_kernel_module(c, "ims_ipsec", &loaded))
		snprintf(buf, size, "modprobe ims_ipsec, at boot: systemctl enable ims_ipsec");
	else
		snprintf(buf, size, "install the module for kernel %s: the packages "
			 "ims-ipsec-dkms and linux-headers-%s, or \"make && make install\" "
			 "in the source tree; then modprobe ims_ipsec",
			 release ? release : "of this host", release ? release : "...");
	free(release);
}

/*
 * Is a number among those that stand in a text, alone or in a range: "5060 5062-5064"?
 * @range is what stands between the ends of one.
 */
bool check_list_has(const char *list, char range, uint32_t number)
{
	unsigned long first, last;
	const char *p = list;
	char *end;

	while (*(p += strcspn(p, "0123456789"))) {
		first = last = strtoul(p, &end, 10);
		/* Part of a word or of an address: eth5062, 10.0.0.1, 2001:db8::1 */
		if (p > list && !strchr(" \t\n,{", p[-1])) {
			p = end;
			continue;
		}
		if (*end == range && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		if (number >= first && number <= last)
			return true;
		p = end;
	}
	return false;
}
