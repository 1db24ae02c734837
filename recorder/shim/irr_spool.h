/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The spool: one sparse file that every traced process maps, and the recorder reads.
 *
 *   0            struct irr_spool: who made it, clocks, counters
 *   IRR_STATES   one byte per slot, enum irr_slot
 *   IRR_DIR      u64 per live segment: (segment + 1) << 16 | slot
 *   IRR_HOLDERS  who holds which open file (struct irr_holder)
 *   IRR_DATA     slots of IRR_SEGMENT bytes
 *
 * Frames lie in an endless sequence of bytes, cut into segments; a position in it gives the one global order of all
 * threads and processes. Writing is lock-free: one fetch-add on `tail` reserves a place. A segment lives in a slot of the
 * file while somebody may still read or write it; the recorder gives slots back as it empties them, so that a recording
 * that keeps up runs in a few slots, already mapped, without a system call in the traced program. Where no slot is free
 * the program makes a new one at the end of the file. Nothing is ever overwritten that has not been taken out.
 *
 * A frame begins with IRR_MARK ^ position. The mark is stored last, so a frame without it was never entered; because it
 * contains the position, whatever a recycled slot held before can not be mistaken for a frame. A process killed between
 * reserving and marking leaves a hole, which a reader crosses by looking for the next mark, in steps of IRR_STRIDE.
 */
#ifndef IRR_SPOOL_H
#define IRR_SPOOL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define IRR_SPOOL_MAGIC "IRRSPOOL"
#define IRR_SPOOL_VERSION 1u

#define IRR_STRIDE 64u                     /* frames begin at multiples of this, in bytes */
#define IRR_SEGMENT_SHIFT 20
#define IRR_SEGMENT (UINT64_C(1) << IRR_SEGMENT_SHIFT)
#define IRR_SLOTS 65536u                   /* slots at most: 64 GiB not yet taken out */

#define IRR_WINDOW 256u                    /* slots that every process maps as one */

#define IRR_STATES UINT64_C(0x10000)
#define IRR_DIR UINT64_C(0x20000)          /* IRR_SLOTS entries of 8 bytes */
#define IRR_HOLDERS UINT64_C(0xa0000)      /* IRR_HOLDER_MAX entries of 16 bytes */
#define IRR_HOLDER_MAX 8192u
#define IRR_DATA UINT64_C(0x100000)

enum irr_slot {
	IRR_SLOT_ABSENT = 0,  /* the file does not reach there yet */
	IRR_SLOT_FREE = 1,
	IRR_SLOT_USED = 2,
	IRR_SLOT_GROWING = 3, /* a process is extending the file */
	IRR_SLOT_KEPT = 4,    /* not there yet either: the recorder makes it, for processes that can not */
};

struct irr_spool {
	char magic[8];
	uint32_t version;
	uint32_t segment_bytes;
	uint64_t realtime_ns;   /* CLOCK_REALTIME and CLOCK_MONOTONIC when the spool was made */
	uint64_t monotonic_ns;
	uint32_t creator;       /* pid of the process that made the spool */
	uint32_t frame_version;
	char boot_id[40];       /* /proc/sys/kernel/random/boot_id */
	char sysname[65], nodename[65], release[65], kversion[65], machine[65]; /* uname(2) */
	char cpu[128];          /* "model name" of /proc/cpuinfo */
	char recording[40];     /* the recording's id: the trace that takes from this spool has the same */
	char trace[4096];       /* where the recorder writes, empty without a recorder */

	/* What processes write, each on cache lines of its own. Byte offsets are fixed: the recorder reads them. */
	_Alignas(4096) _Atomic uint64_t tail;  /* next position to reserve, in bytes */
	_Alignas(64) _Atomic uint32_t files;   /* numbers of open files handed out */
	_Alignas(64) _Atomic uint64_t lost[4]; /* events not taken, by enum irr_gap */
	_Alignas(64) _Atomic uint8_t stop;     /* the recorder wants no more events */
	_Atomic uint8_t recorder;              /* 1 while a recorder takes events out */
	uint8_t mmio;                          /* 1: loads and stores of mapped regions are wanted as well */
	uint8_t kvm;                           /* 1: MMIO of KVM guests as well */
	uint32_t sample_ms;                    /* how often hardware queues are read, milliseconds; 0: not every so often */
};

_Static_assert(offsetof(struct irr_spool, tail) == 8192, "the recorder reads this offset");
_Static_assert(offsetof(struct irr_spool, files) == 8256, "the recorder reads this offset");
_Static_assert(offsetof(struct irr_spool, lost) == 8320, "the recorder reads this offset");
_Static_assert(offsetof(struct irr_spool, stop) == 8384, "the recorder writes this offset");
_Static_assert(offsetof(struct irr_spool, mmio) == 8386, "the recorder writes this offset");
_Static_assert(offsetof(struct irr_spool, kvm) == 8387, "the recorder writes this offset");
_Static_assert(offsetof(struct irr_spool, sample_ms) == 8388, "the recorder writes this offset");
_Static_assert(sizeof(struct irr_spool) <= IRR_STATES, "the header has room");

/* key: pid << 32 | fd + 1; 0 never used, ~0 given up. value: kind << 32 | file. */
struct irr_holder {
	_Atomic uint64_t key;
	_Atomic uint64_t value;
};

_Static_assert(IRR_HOLDERS + IRR_HOLDER_MAX * sizeof(struct irr_holder) <= IRR_DATA, "holders fit");
_Static_assert(IRR_DIR + IRR_SLOTS * 8 <= IRR_HOLDERS, "directory fits");

#endif
