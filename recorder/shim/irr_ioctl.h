/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef IRR_IOCTL_H
#define IRR_IOCTL_H

#include <stdint.h>

#include "irr_frame.h"

#define IRR_NESTED_MAX 4

/* A buffer that the struct points to. */
struct irr_buffer {
	const void *from;
	uint64_t wanted; /* bytes that the kernel may touch */
	uint64_t take;   /* of those, how many are captured */
	uint16_t slot;   /* offset of the pointer in the struct */
	uint8_t dir;     /* 1 in, 2 out, 3 both */
};

/* What of the program's memory a call is about. */
struct irr_shape {
	uint32_t bytes;  /* of the argument; 0: it is a number, or nothing that can be read */
	uint32_t wanted; /* what its own size says */
	unsigned count;
	struct irr_buffer nested[IRR_NESTED_MAX];
	enum irr_file brings; /* what the descriptor is that the call may bring */
};

void irr_ioctl_init(void);
void irr_ioctl_shape(uint32_t kind, unsigned long request, const void *arg, struct irr_shape *shape);
int irr_ioctl(int fd, unsigned long request, void *arg, int (*real)(int, unsigned long, ...));

#endif
