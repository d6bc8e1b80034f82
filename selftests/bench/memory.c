// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel has in its slabs. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

long read_slab(void)
{
	char text[4096] = "";
	const char *found;
	long kb;
	int fd;

	/* Reading this folds the CPU's part into what the next file shows. */
	fd = open("/proc/sys/vm/stat_refresh", O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		err(2, "stat_refresh");
	close(fd);
	fd = open("/proc/meminfo", O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		err(2, "meminfo");
	close(fd);
	found = strstr(text, "SUnreclaim:");
	if (!found || sscanf(found, "SUnreclaim: %ld kB", &kb) != 1)
		errx(2, "no SUnreclaim");
	return kb * 1024;
}
