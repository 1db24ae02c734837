/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The plan: a recorded session in a form that can be issued again without knowing what its calls mean.
 *
 *   0   struct irr_plan: what it is, and where its tables lie
 *       tables of records of fixed size, little-endian, each beginning at a multiple of 8
 *       DATA: bytes that parts and nothing else point to
 *
 * A step is one call. What it asks with stands in parts (irr_frame.h: IN, NESTED_IN, ARGS, TEXT) as it was recorded; uses
 * say which numbers in them are to be replaced by what a symbol is now, defines by which number of the answer a symbol
 * becomes known. Steps are in the order in which they are entered. replayer/rerun/plan.ts is the same layout for
 * TypeScript, and replayer/rerun/plan.test.ts holds the two together.
 */
#ifndef IRR_PLAN_H
#define IRR_PLAN_H

#include <stdint.h>

#define IRR_PLAN_MAGIC "IRRPLAN1"
#define IRR_PLAN_VERSION 1u

enum irr_plan_table {
	IRR_PLAN_PROCESSES = 0,
	IRR_PLAN_SYMBOLS = 1,
	IRR_PLAN_REGIONS = 2,
	IRR_PLAN_HOLES = 3,
	IRR_PLAN_STEPS = 4,
	IRR_PLAN_PARTS = 5,
	IRR_PLAN_USES = 6,
	IRR_PLAN_DEFINES = 7,
	IRR_PLAN_OVERLAPS = 8, /* u32: index of a step */
	IRR_PLAN_ENDS = 9,     /* u32: index of a symbol */
	IRR_PLAN_MEMORIES = 10,
	IRR_PLAN_DATA = 11,    /* bytes */
	IRR_PLAN_TABLES = 12,
};

enum irr_plan_flag {
	IRR_PLAN_MMIO = 1, /* it has loads and stores of mapped regions */
	IRR_PLAN_VFIO = 2, /* it opens VFIO devices or groups: real hardware */
};

struct irr_plan_section {
	uint64_t offset; /* bytes from the beginning of the file, a multiple of 8 */
	uint64_t count;  /* records; of DATA bytes */
};

struct irr_plan {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes;
	uint64_t bytes;      /* of the whole file */
	uint32_t checksum;   /* CRC-32 (as zlib has it) of what follows the header */
	uint32_t flags;      /* enum irr_plan_flag */
	uint32_t limit_ms;   /* what a call may take longer than it took in the recording, milliseconds */
	uint32_t reserved;
	char kernel[64];     /* uname -r of the recorded kernel; ends with NUL */
	struct irr_plan_section tables[IRR_PLAN_TABLES];
};

struct irr_plan_process {
	int32_t parent;    /* index; -1: it is started first */
	int32_t fork_step; /* the step that makes it; -1 with parent -1 */
	uint32_t image;    /* processes of one image have the same layout of memory */
	uint32_t threads;
	uint32_t symbol;   /* its pid */
	uint32_t reserved;
};

/* What a number stands for: the sorts of replayer/program/program.ts. */
enum irr_plan_sort {
	IRR_SORT_OBJECT = 1,
	IRR_SORT_FD = 2,
	IRR_SORT_MEMORY = 3,
	IRR_SORT_MAPPING = 4,
	IRR_SORT_IOVA = 5,
	IRR_SORT_OFFSET = 6,
	IRR_SORT_LENGTH = 7,
	IRR_SORT_PROCESS = 8,
	IRR_SORT_COOKIE = 9,
	IRR_SORT_ITEM = 10,
	IRR_SORT_NOTHING = 11,
};

/* What a descriptor is that no step makes: it is made before its process's first step. */
enum irr_plan_file {
	IRR_MADE_BY_STEP = 0,
	IRR_MADE_NOTHING = 1, /* not known: /dev/null stands for it */
	IRR_MADE_MEMORY = 2,  /* memfd of the symbol's bytes */
	IRR_MADE_EVENTFD = 3,
	IRR_MADE_IOMMUFD = 4,
	IRR_MADE_SOCKET = 5,  /* one end of a pair: SENDFD steps send through it what their receipts take */
};

struct irr_plan_symbol {
	uint8_t sort;     /* enum irr_plan_sort */
	uint8_t what;     /* of NOTHING: the sort that it would be, OBJECT, FD or COOKIE. Of FD: enum irr_plan_file */
	uint16_t page_shift; /* of FD: log2 of the bytes of the huge pages that the file is of; 0: others */
	uint32_t context; /* objects and cookies of different contexts are different things with the same numbers */
	uint64_t value;   /* before a step makes it known */
	uint64_t bytes;   /* of FD: how long the file is */
	int32_t region;   /* of MEMORY: index; else -1 */
	int32_t process;  /* of FD that no step makes: whose it is */
};

enum irr_plan_backing { IRR_BACKING_NOTHING = 0, IRR_BACKING_MEMORY = 1 };
enum irr_plan_region_flag { IRR_REGION_MAY_BE_HUGE = 1 };

struct irr_plan_region {
	uint64_t start; /* in the recording, a multiple of 4096 */
	uint64_t bytes; /* a multiple of 4096 */
	uint64_t align; /* a power of two: it lies at start modulo this */
	uint32_t image;
	uint8_t backing; /* enum irr_plan_backing */
	uint8_t flags;   /* enum irr_plan_region_flag */
	uint16_t reserved;
	uint32_t hole, holes; /* pages in it where nothing is mapped */
};

struct irr_plan_hole {
	uint64_t offset, bytes; /* in the region, multiples of 4096 */
};

struct irr_plan_step {
	uint64_t seq;     /* number of the event in the recording */
	uint8_t kind;     /* enum irr_kind */
	uint8_t file;     /* enum irr_file of its descriptor, in the recording */
	uint16_t flags;   /* low byte of the frame's */
	uint32_t request;
	int32_t fd;       /* where no use says another */
	uint32_t process;
	uint32_t thread;  /* index in the process */
	int32_t error;    /* errno that was answered, 0 success; -1: the call never returned */
	int64_t ret;
	uint64_t took;    /* nanoseconds, in the recording */
	uint32_t part, parts;
	uint32_t use, uses;
	uint32_t define, defines;
	uint32_t overlap, overlaps; /* steps of other threads that had been entered and had not returned, ascending */
	uint32_t end, ends;         /* symbols that stand for nothing after it, if it passes */
	uint32_t memory, memories;  /* how memory is to be before the call */
	int32_t peer;     /* FORK: index of the child, receipt: the SENDFD step; -1 none */
	uint32_t reserved;
};

/* What is known of memory at a step, beside what is in its parts. */
enum irr_plan_how {
	IRR_MEMORY_BYTES = 1, /* these are in it: the kernel has read them there */
	IRR_MEMORY_AWAY = 2,  /* it cannot be reached while the call is made; whole pages */
	IRR_MEMORY_FILE = 3,  /* from here on it is a shared mapping of a file; whole pages */
	IRR_MEMORY_IN_FILE = 4, /* these bytes are in a file that no step makes */
	IRR_MEMORY_HUGE = 5,    /* from here on it lies in huge pages; whole ones */
};

struct irr_plan_memory {
	uint32_t symbol; /* of sort MEMORY; IN_FILE: of the descriptor */
	uint32_t how;    /* enum irr_plan_how */
	uint64_t offset; /* in its region, or in the file */
	uint64_t bytes;
	uint64_t data;   /* BYTES, IN_FILE: in DATA. FILE: offset in the file, whole pages. HUGE: bytes of a page */
	uint32_t file;   /* FILE: symbol of the descriptor. HUGE: 1 where it is shared */
	uint32_t reserved;
};

/* What it asks. The fields are those of struct irr_part. */
struct irr_plan_part {
	uint8_t kind; /* enum irr_part_kind: IN, NESTED_IN, ARGS, TEXT */
	uint8_t flags;
	uint16_t slot;
	uint32_t bytes;
	uint64_t data; /* in DATA */
	uint64_t wanted;
	uint64_t address;
};

enum irr_plan_place {
	IRR_IN_FD = 0,   /* the descriptor that the call is made on; of a receipt the one that came */
	IRR_IN_RET = 1,  /* the result */
	IRR_IN_PART = 2, /* a use: bytes of the step's part number `part` */
	IRR_IN_OUT = 3,  /* a define: bytes of the struct after the call, or of what was read */
	IRR_IN_NESTED = 4, /* a define: bytes of the buffer whose pointer is at offset `part` of the struct */
};

enum irr_plan_use_flag { IRR_USE_ENDED = 1 /* the symbol stood for nothing any more */ };

struct irr_plan_use {
	uint32_t symbol;
	uint8_t width; /* 1, 2, 4, 8 bytes */
	uint8_t in;    /* enum irr_plan_place */
	uint16_t part;
	uint32_t offset;
	uint32_t flags;
	uint64_t addend;
};

struct irr_plan_define {
	uint32_t symbol;
	uint8_t width;
	uint8_t in;
	uint16_t part;
	uint32_t offset;
	uint32_t reserved;
};

_Static_assert(sizeof(struct irr_plan) == 296, "plan header");
_Static_assert(sizeof(struct irr_plan_process) == 24, "plan process");
_Static_assert(sizeof(struct irr_plan_symbol) == 32, "plan symbol");
_Static_assert(sizeof(struct irr_plan_region) == 40, "plan region");
_Static_assert(sizeof(struct irr_plan_step) == 104, "plan step");
_Static_assert(sizeof(struct irr_plan_memory) == 40, "plan memory");
_Static_assert(sizeof(struct irr_plan_part) == 32, "plan part");
_Static_assert(sizeof(struct irr_plan_use) == 24, "plan use");
_Static_assert(sizeof(struct irr_plan_define) == 16, "plan define");

#endif
