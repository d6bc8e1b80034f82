/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What lists of algorithms mean: alg_lists.txt, whose path ALG_LISTS is. */
#ifndef ALG_LISTS_H
#define ALG_LISTS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

/* @holds: does @list mean @want, or is it an error, @want being NULL */
static inline void test_alg_lists(const char *who,
				  bool (*holds)(const char *list, const char *want))
{
	FILE *file = fopen(ALG_LISTS, "re");
	char line[2048], *want;

	if (!file)
		abort();
	while (fgets(line, sizeof(line), file)) {
		if (*line == '#')
			continue;
		line[strcspn(line, "\n")] = '\0';
		want = strrchr(line, '\t');
		*want++ = '\0';
		ok(holds(line, strcmp(want, "error") ? want : NULL), "list of %s: \"%.50s\"%s",
		   who, line, strlen(line) > 50 ? "..." : "");
	}
	fclose(file);
}

#endif /* ALG_LISTS_H */
