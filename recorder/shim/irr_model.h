/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The model in the kernel's place: where a program of `record --on model` gets its answers from.
 *
 * The recorder keeps a folder with one file that every traced process maps (its layout is below), a FIFO `ask` that all
 * calls go into, and a FIFO `answer-N` per place. A call takes a place, writes what it wants there, and a message into
 * `ask`; it waits on its own `answer-N`. One call is answered at a time, in the order of the messages.
 *
 * An open file of the model is a FIFO as well: the program has it open for reading and writing, the recorder for reading,
 * so that the kernel itself tells, whatever became of the descriptors (dup, fork, exec, SCM_RIGHTS, SIGKILL), when the last
 * of them is closed; and a byte in it makes poll(2) say that a queue can be read. recorder/model/protocol.ts is the same
 * layout for TypeScript.
 */
#ifndef IRR_MODEL_H
#define IRR_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define IRR_MODEL_MAGIC "IRRMODEL"
#define IRR_MODEL_PLACES 64u
#define IRR_MODEL_FILES UINT64_C(0x1000)        /* struct irr_model_file */
#define IRR_MODEL_FILE_MAX 8192u
#define IRR_MODEL_PLACE UINT64_C(0x40000)       /* where the places begin */
#define IRR_MODEL_PLACE_BYTES UINT64_C(0x100000)
#define IRR_MODEL_DATA 1024u                    /* in a place: what the program's memory holds */
#define IRR_MODEL_ANSWER 0x80000u               /* in a place: the answer */
#define IRR_MODEL_STEPS 64u                     /* in an answer */
#define IRR_MODEL_STEP_MAX 256u
#define IRR_MODEL_PIECES 6u
#define IRR_MODEL_SIZE (IRR_MODEL_PLACE + IRR_MODEL_PLACES * IRR_MODEL_PLACE_BYTES)

/* What goes into `ask`, 32 bytes each. All but a call are answered by nobody. */
enum irr_model_word {
	IRR_MODEL_CALL = 1,    /* a call lies in the place */
	IRR_MODEL_DONE = 2,    /* the steps of the place's answer are done, or one of them failed; `a` the failed one + 1 */
	IRR_MODEL_CLOSED = 3,  /* `file` may have lost its last descriptor */
	IRR_MODEL_MUNMAP = 4,  /* from `a` to `b` nothing is mapped any more */
	IRR_MODEL_START = 5,   /* a new image: nothing is mapped */
	IRR_MODEL_FORK = 6,    /* `pid` is a child of `a` */
	IRR_MODEL_POLL = 7,    /* of the recorder's own: look at page 0 of VINTFs */
	IRR_MODEL_TICK = 8,    /* of the recorder's own: look who has gone */
	IRR_MODEL_STOP = 9,
};

struct irr_model_message {
	uint32_t word;
	uint32_t place;
	uint32_t pid;
	uint32_t file;
	uint64_t a, b;
};

enum irr_model_op {
	IRR_MODEL_OPEN = 1,   /* args: enum irr_file; the path is piece 0 */
	IRR_MODEL_IOCTL = 2,
	IRR_MODEL_READ = 3,   /* args: bytes wanted, offset or -1 */
	IRR_MODEL_WRITE = 4,  /* the same; piece 0 */
	IRR_MODEL_MMAP = 5,   /* args: addr, length, prot, flags, offset; ret: bits 31:0 the region's file, 63:32 the page of it */
	IRR_MODEL_MAPPED = 6, /* args: addr, length, ret of MMAP: it is mapped there */
	IRR_MODEL_MREMAP = 7, /* args: old addr, old length, addr, length, keeps the old one */
	IRR_MODEL_EXIT = 8,   /* the process is about to end */
};

enum irr_model_fault {
	IRR_MODEL_FAULT = 1,    /* cannot be read */
	IRR_MODEL_NOT_ZERO = 2, /* is not zero all through, as the tail of a struct must be */
};

/* Memory of the program. */
struct irr_model_piece {
	uint32_t field;   /* offset of its pointer in the struct, 0xffff the struct itself */
	uint32_t bytes;   /* what could be read, at `at` of the data */
	uint32_t at;
	uint32_t fault;   /* enum irr_model_fault: what follows */
	uint64_t wanted;
	uint64_t address;
};

struct irr_model_place {
	_Atomic uint32_t owner; /* tid of who has it, 0 free */
	uint32_t unused;
	uint64_t serial;        /* of the call; comes back in the answer */
	uint32_t op, pid, tid, request;
	int32_t fd, spare_fd;   /* spare_fd: made beforehand, where the call may bring a descriptor; else -1 */
	uint32_t file, spare_file;
	uint32_t kind, pieces;
	uint64_t args[5];
	struct irr_model_piece piece[IRR_MODEL_PIECES];
};

_Static_assert(offsetof(struct irr_model_place, op) == 16, "the recorder reads this offset");
_Static_assert(offsetof(struct irr_model_place, args) == 56, "the recorder reads this offset");
_Static_assert(offsetof(struct irr_model_place, piece) == 96, "the recorder reads this offset");
_Static_assert(sizeof(struct irr_model_piece) == 32, "the recorder reads pieces of this size");

enum irr_model_step {
	IRR_MODEL_PUT = 1,      /* `bytes` at `b` of the answer go to address `a`; EFAULT */
	IRR_MODEL_COPY = 2,     /* `bytes` from address `b` to address `a`; EFAULT */
	IRR_MODEL_FAULT_IN = 3, /* `b` bytes from address `a` on must be there, `bytes` 1: for writing; EFAULT */
	IRR_MODEL_GET = 4,      /* `bytes` at address `a` go to `b` of the data; EFAULT */
	IRR_MODEL_SIGNAL = 5,   /* the eventfd that process `a` has as descriptor `bytes` gets one more; never fails */
};

struct irr_model_do {
	uint32_t step;
	uint32_t bytes;
	uint64_t a, b;
};

struct irr_model_answer {
	int64_t ret;
	int32_t error;
	uint32_t steps;
	uint32_t more;       /* the answer comes when the steps are done */
	uint32_t takes_spare;
	uint8_t unused[40];
};

_Static_assert(sizeof(struct irr_model_answer) == IRR_MODEL_STEPS, "steps follow the answer");

/* Which inode is which open file; key 0: free. */
struct irr_model_file {
	_Atomic uint64_t inode;
	_Atomic uint64_t known;
};

struct irr_model {
	char magic[8];
	uint32_t version;
	uint32_t recorder; /* pid */
	uint32_t devices;  /* /dev/vfio/devices/vfio0 and on: how many there are */
};

#define IRR_MODEL_ANY UINT64_MAX /* some file or other was closed */

extern struct irr_model *irr_model; /* NULL: the kernel answers */

void irr_model_start(const char *folder);
void irr_model_forked(uint32_t parent);
void irr_model_exit(void);
uint64_t irr_model_known(uint64_t device, uint64_t inode);
uint64_t irr_model_file(int fd);
bool irr_model_has(const char *path);
bool irr_model_opens(const char *path, uint64_t flags, int *fd);
int irr_model_ioctl(int fd, unsigned long request, ...);
ssize_t irr_model_transfer(bool write, int fd, const struct iovec *iov, int n, int64_t offset);
void *irr_model_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void irr_model_mremapped(uintptr_t from, size_t old, uintptr_t to, size_t length, bool keeps);
void irr_model_unmapped(uintptr_t from, size_t length);
void irr_model_closed(uint64_t known);

#endif
