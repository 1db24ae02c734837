/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel says of this process. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "irr.h"

/* A numeric field of /proc/self/stat, numbered as proc(5) does. */
uint64_t irr_stat_field(int wanted)
{
	char text[1024];
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)"/proc/self/stat", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return 0;
	long n = irr_sys(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
	irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	if (n <= 0)
		return 0;
	text[n] = 0;
	/* The name in field 2 may hold anything, so count from its closing parenthesis. */
	const char *p = strrchr(text, ')');
	for (int field = 2; p && field < wanted; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}
