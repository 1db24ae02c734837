/* SPDX-License-Identifier: GPL-2.0-only */
/* What memory is, that a call maps for DMA. See irr_backing.c. */
#ifndef IRR_BACKING_H
#define IRR_BACKING_H

#include <stddef.h>

#define IRR_BACKING_ROOM 64u

/*
 * "pages=2097152 private", "pages=4096 shared"; of a file "pages=2097152 bytes=4194304". Returns the length, 0: not known,
 * or the call maps nothing. Leaves errno as it finds it or not: the caller saves it.
 */
size_t irr_backing(unsigned long request, const void *arg, char *to);

#endif
