/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hardware queues of a Tegra241 CMDQV, read beside the program: the commands in their memory, and page 0, which nobody traps
 * without `--mmio`. The shim follows the calls that say where both are, and writes QUEUE frames (irr_frame.h).
 *
 *   irr_maps.c     IOVA to address
 *   irr_mapped.c   where the program has a file of MAP_FILE in its memory
 *   irr_queue.c    vIOMMUs, queues and vEVENTQs, by the calls that make and destroy them
 *   irr_sample.c   the reading
 *   irr_page0.c    where page 0 is mapped, and its registers
 *   irr_sampler.c  the thread of `--sample-queues`
 *
 * What is shared by fork is shared here: queues lie in memory that children have in common, so that a command is told once,
 * whoever rings for it. After an exec nothing is known of queues that were made before.
 */
#ifndef IRR_QUEUE_H
#define IRR_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "irr.h"
#include "irr_maps.h"

/* Requests that tell of maps, vIOMMUs and queues, a bit each from 0x3b71 on. */
#define IRR_QUEUE_FIRST 0x3b71u
#define IRR_QUEUE_BIT(request) (UINT64_C(1) << ((request) - IRR_QUEUE_FIRST))
#define IRR_QUEUE_REQUESTS                                                                                             \
	(IRR_QUEUE_BIT(0x3b71) | IRR_QUEUE_BIT(0x3b72) | IRR_QUEUE_BIT(0x3b80) | IRR_QUEUE_BIT(0x3b83) | IRR_QUEUE_BIT(0x3b85) | \
	 IRR_QUEUE_BIT(0x3b86) | IRR_QUEUE_BIT(0x3b88) | IRR_QUEUE_BIT(0x3b89) | IRR_QUEUE_BIT(0x3b8f) | IRR_QUEUE_BIT(0x3b90) | \
	 IRR_QUEUE_BIT(0x3b93) | IRR_QUEUE_BIT(0x3b94))

/* Structs of these requests: offsets of fields, bytes. recorder/queue-layout.test.ts holds them against hw/uapi. */
enum irr_queue_at {
	IRR_AT_DESTROY_ID = 4,
	IRR_AT_MAP_IOAS = 8, IRR_AT_MAP_VA = 16, IRR_AT_MAP_LENGTH = 24, IRR_AT_MAP_IOVA = 32,
	IRR_AT_MAP_FILE_IOAS = 8, IRR_AT_MAP_FILE_FD = 12, IRR_AT_MAP_FILE_START = 16, IRR_AT_MAP_FILE_LENGTH = 24, IRR_AT_MAP_FILE_IOVA = 32,
	IRR_AT_UNMAP_IOAS = 4, IRR_AT_UNMAP_IOVA = 8, IRR_AT_UNMAP_LENGTH = 16,
	IRR_AT_COPY_DST = 8, IRR_AT_COPY_SRC = 12, IRR_AT_COPY_LENGTH = 16, IRR_AT_COPY_DST_IOVA = 24, IRR_AT_COPY_SRC_IOVA = 32,
	IRR_AT_VFIO_IOAS_ID = 4, IRR_AT_VFIO_IOAS_OP = 8,
	IRR_AT_HWPT_FLAGS = 4, IRR_AT_HWPT_PT = 12, IRR_AT_HWPT_OUT = 16,
	IRR_AT_VIOMMU_TYPE = 8, IRR_AT_VIOMMU_HWPT = 16, IRR_AT_VIOMMU_OUT = 20, IRR_AT_VIOMMU_DATA_LEN = 24, IRR_AT_VIOMMU_DATA = 32,
	IRR_AT_VIOMMU_DATA_OFFSET = 0, IRR_AT_VIOMMU_DATA_LENGTH = 8, /* struct iommu_viommu_tegra241_cmdqv */
	IRR_AT_VEVENTQ_VIOMMU = 8, IRR_AT_VEVENTQ_TYPE = 12, IRR_AT_VEVENTQ_OUT = 20, IRR_AT_VEVENTQ_FD = 24,
	IRR_AT_QUEUE_VIOMMU = 8, IRR_AT_QUEUE_TYPE = 12, IRR_AT_QUEUE_INDEX = 16, IRR_AT_QUEUE_OUT = 20, IRR_AT_QUEUE_IOVA = 24, IRR_AT_QUEUE_LENGTH = 32,
	/* vcmdq-v1, a struct of 32 bytes, and what it points to */
	IRR_AT_VCMDQ_OUT = 16, IRR_AT_VCMDQ_DATA_LEN = 20, IRR_AT_VCMDQ_DATA = 24,
	IRR_AT_VCMDQ_DATA_INDEX = 0, IRR_AT_VCMDQ_DATA_LOG2 = 4, IRR_AT_VCMDQ_DATA_BASE = 8,
	IRR_AT_DMA_VA = 8, IRR_AT_DMA_IOVA = 16, IRR_AT_DMA_SIZE = 24, IRR_AT_UNDMA_FLAGS = 4, IRR_AT_UNDMA_IOVA = 8, IRR_AT_UNDMA_SIZE = 16,
};

#define IRR_VIOMMU_CMDQV 2u  /* IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV */
#define IRR_QUEUE_CMDQV 1u   /* IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV; vQUEUE's and vCMDQ's is the same */
#define IRR_VEVENTQ_CMDQV 2u /* IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV */

#define IRR_REGISTERS 8u     /* of a queue in page 0: CONS_INDX, PROD_INDX, CONFIG, STATUS, GERROR, GERRORN, and two that are reserved */
#define IRR_QUEUE_STRIDE 0x80u
#define IRR_ENTRY 16u        /* bytes of a command */
#define IRR_EXTENTS 48u

/* ---- queues (irr_queue.c) ---- */

enum irr_slot_state { IRR_NONE, IRR_MAKING, IRR_LIVE, IRR_GIVEN_UP };

struct irr_hw_queue {
	_Atomic uint32_t state;    /* enum irr_slot_state */
	_Atomic uint32_t wanted;   /* samples asked for, 1 << enum irr_queue */
	_Atomic uint64_t sampling; /* who reads it: pid << 32 | tid */
	uint32_t file, id, viommu, index, log2;
	uint32_t pid;              /* who made it */
	uint64_t born;
	uint64_t offset, length;   /* of page 0 in the iommufd's file; length 0: not known */
	/* of whoever samples it */
	uint32_t seen;             /* PROD as far as commands were told */
	uint8_t told;              /* `last` is there */
	uint32_t last[IRR_REGISTERS];
	uint32_t extents;
	struct irr_extent extent[IRR_EXTENTS];
};

#define IRR_HW_QUEUES 256u

extern struct irr_hw_queue *irr_hw_queues; /* NULL: never a vIOMMU here */
unsigned irr_hw_queues_used(void);         /* of them; those behind were never used */

/* Is a request one that irr_queue_called wants to know of? */
static inline bool irr_queue_wants(unsigned long request)
{
	unsigned long bit = request - IRR_QUEUE_FIRST;
	return bit < 64 && (IRR_QUEUE_REQUESTS >> bit & 1);
}

struct irr_called {
	uint64_t known;    /* of the descriptor */
	const uint8_t *in; /* the struct before, as far as it was read, and after */
	const uint8_t *out;
	uint32_t in_bytes, out_bytes;
	uint64_t entered, returned;
};

void irr_queue_destroying(uint64_t known, const void *arg);
void irr_queue_called(unsigned long request, const struct irr_called *call);
void irr_queue_events(uint64_t known, const uint8_t *records, size_t bytes);
void irr_queue_closing(unsigned first, unsigned last);
void irr_queue_forked(void);

/* ---- reading (irr_sample.c) ---- */

/* Beside enum irr_queue: another register than PROD was stored to. Tells what it makes the hardware take, if anything. */
#define IRR_QUEUE_SET (IRR_QUEUE_PERIODIC + 1u)

void irr_queue_sample(struct irr_hw_queue *q, unsigned why, bool now);
void irr_queue_release(struct irr_hw_queue *q);
void irr_queue_read(struct irr_hw_queue *q, enum irr_queue why);
void irr_queue_stored(uint64_t known, uint64_t offset, unsigned width);
void irr_queue_unmapping(uintptr_t from, size_t length);
void irr_queue_exit(void);

/* ---- files that are memory as well (irr_mapped.c) ---- */

unsigned irr_mapped_files(struct irr_extent *extent, unsigned count, unsigned room);

/* ---- page 0 (irr_page0.c) ---- */

void irr_page0_mapped(uintptr_t from, size_t length, uint64_t offset, uint64_t known);
bool irr_page0_lies(uintptr_t from, size_t length, uint32_t file, uint64_t offset, uint64_t bytes);
void irr_page0_going(uintptr_t from, size_t length);
void irr_page0_gone(uintptr_t from, size_t length, bool really);
void irr_page0_moved(uintptr_t from, uintptr_t to, size_t length);
void irr_page0_forget(uint32_t file, uint64_t offset, uint64_t length);
bool irr_page0_read(uint32_t file, uint64_t offset, uint32_t *registers);
void irr_page0_forked(void);

/* ---- every so often (irr_sampler.c) ---- */

void irr_sampler_start(void);
void irr_sampler_stop(void);
void irr_sampler_forked(void);

#endif
