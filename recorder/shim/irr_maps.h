/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which memory of the program lies behind the addresses of a device: the maps of every IOAS that this process has made, so
 * that a hardware queue, whose place the program tells as an IOVA, can be read.
 *
 * The kernel vouches for a queue's range when it makes the queue: every page of it is mapped, and from HW_QUEUE_ALLOC v8 on
 * stays so while the queue lives. So the latest map that covers an address is the right one, and one that was taken away
 * unseen does no harm; taking maps out keeps the table small, no more.
 */
#ifndef IRR_MAPS_H
#define IRR_MAPS_H

#include <stdbool.h>
#include <stdint.h>

/* An IOAS: number of the iommufd's open file, and id. Id 0: the one that VFIO's older calls use. */
static inline uint64_t irr_space(uint32_t file, uint32_t ioas)
{
	return (uint64_t)file << 32 | ioas;
}

/* What lies behind a piece of a range. */
struct irr_extent {
	uint64_t bytes;
	uint64_t address;     /* in the process, or offset in the file */
	uint32_t pid;         /* whose memory, or descriptor; 0: not known */
	int32_t fd;           /* MAP_FILE: what it was mapped by; else -1 */
	uint64_t device, inode; /* of that file */
};

/* Times are those of irr_now(): of a map, when the call had returned; of what removes it, when the call was entered. */
void irr_maps_add(uint64_t space, uint64_t iova, uint64_t bytes, uint64_t address, int fd, uint64_t returned);
void irr_maps_copy(uint64_t to, uint64_t to_iova, uint64_t from, uint64_t from_iova, uint64_t bytes, uint64_t returned);
void irr_maps_remove(uint64_t space, uint64_t iova, uint64_t last, uint64_t entered);
void irr_maps_remove_file(uint32_t file);
unsigned irr_maps_find(uint64_t space, uint64_t other, uint64_t iova, uint64_t bytes, struct irr_extent *to, unsigned room);
void irr_maps_forked(void);

#endif
