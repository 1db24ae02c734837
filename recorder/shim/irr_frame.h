/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frame: how one event looks from the traced process to the trace file.
 *
 * A frame is a 64-byte header and sized parts, little-endian, 8-byte aligned. The shim writes frames into the spool, the
 * recorder copies them into the store, the replayer reads them; none of them has another form. store/frame.ts is the same
 * layout for TypeScript, and recorder/frame.test.ts holds the two together.
 */
#ifndef IRR_FRAME_H
#define IRR_FRAME_H

#include <stdint.h>

#define IRR_FRAME_VERSION 1u

/* What happened. Numbers are stored in traces: add, never renumber. */
enum irr_kind {
	IRR_KIND_PAD = 0,     /* spool only: unused room up to the end of a segment */
	IRR_KIND_IOCTL = 1,   /* request = ioctl number; parts IN, OUT, NESTED_IN, NESTED_OUT; TEXT of a call that maps memory for DMA: what that is (irr_backing.h), absent where it is not known */
	IRR_KIND_OPEN = 2,    /* ret = new fd; request = enum irr_open; ARGS dirfd, flags, mode; TEXT path */
	IRR_KIND_CLOSE = 3,   /* request = enum irr_close; ARGS first, last, flags for close_range */
	IRR_KIND_DUP = 4,     /* fd -> ret; request = enum irr_dup; ARGS new fd or minimum, flags */
	IRR_KIND_MMAP = 5,    /* ret = address or -1; ARGS addr, length, prot, flags, offset; where loads and stores are recorded, of a region: the address of its alias, 0 where its accesses are not trapped */
	IRR_KIND_MUNMAP = 6,  /* ARGS addr, length */
	IRR_KIND_MREMAP = 7,  /* ret = address or -1; ARGS old addr, old length, new length, flags, new addr */
	IRR_KIND_READ = 8,    /* ret = bytes; request = enum irr_rw; ARGS count, offset; part OUT = the bytes */
	IRR_KIND_WRITE = 9,   /* ret = bytes; request = enum irr_rw; ARGS count, offset; part IN = the bytes */
	IRR_KIND_FORK = 10,   /* ret = pid of the child; request = enum irr_fork */
	IRR_KIND_EXEC = 11,   /* error = 0 while unknown: success is the START that follows; TEXT path, argv */
	IRR_KIND_START = 12,  /* request = enum irr_start; ARGS parent pid, start time (clock ticks since boot), after an exec the number of FD frames with IRR_FOUND_INHERITED that follow (absent: not known); TEXT exe, argv, comm, cwd */
	IRR_KIND_EXIT = 13,   /* ret = status; request = enum irr_exit */
	IRR_KIND_FD = 14,     /* a descriptor was found; request = enum irr_found; ARGS rdev, inode, peer pid, peer fd; TEXT link */
	IRR_KIND_SENDFD = 15, /* SCM_RIGHTS: fd = descriptor sent; ret = sendmsg's; ARGS socket fd, socket inode */
	IRR_KIND_RETURN = 16, /* made by the recorder: a call that was stored as entered has returned; ARGS its seq */
	IRR_KIND_GAP = 17,    /* ret = events lost; request = enum irr_gap; TEXT in words */
	IRR_KIND_PART = 18,   /* spool only: more of a big part; ARGS position of its frame, part index, offset in the part */
	/*
	 * One load or store of a mapped region. request = enum irr_mmio_how | enum irr_mmio_source << IRR_MMIO_SOURCE_SHIFT; fd = -1;
	 * ret = the value, zero-extended, for both at once what was there before; error = EFAULT where the access itself faulted,
	 * ECANCELED where a guest's load was never answered. A store has its value from its entry on.
	 * ARGS address as the accessor used it, offset in the mapping's file, width in bytes (0: not known), instruction pointer
	 * (0: not known), enum irr_mmio_flag, and for both at once the value that was stored. Wider than 8 bytes: ret = 0, and
	 * part OUT has the bytes loaded, IN those stored. Of an access that a log told (mmiotrace, rwmmio): TEXT the code that made it
	 * (`writel+0x24/0x7c`), and what its task is called; absent where the log does not say. Width 0 there: not even the direction is
	 * known, how is both.
	 */
	IRR_KIND_MMIO = 19,
	/*
	 * A hardware queue, read beside the program: its registers and the commands in its memory. request = enum irr_queue;
	 * file = the iommufd; fd = -1. ARGS id of the HW_QUEUE object, its index in the vIOMMU, log2 of its entries, first entry
	 * read (an index, wrap bit and all). OUT slot 0: the entries from there on, in the order in which the hardware takes
	 * them, so those behind the end of the queue are those at its start; slot 1: page 0 of the queue from CONS_INDX on.
	 * Without slot 1 the process has not mapped the registers; slot 0 with IRR_PART_FAULT: the memory is not known, or not
	 * readable. Entries are those up to PROD that no frame before had, at most 4096, else in several frames; DESTROY and ERROR
	 * have those from CONS on once more. None are read at ALLOC, and while the queue is off.
	 */
	IRR_KIND_QUEUE = 20,
	/*
	 * Made by an importer: a range of addresses is a device's. request = enum irr_region_kind; ARGS physical address (0: not
	 * known), length, the kernel's virtual address of it (0: not known, or not mapped any more); TEXT what it is called.
	 */
	IRR_KIND_REGION = 21,
};

enum irr_mmio_how { IRR_MMIO_LOAD = 0, IRR_MMIO_STORE = 1, IRR_MMIO_BOTH = 2 };
enum irr_mmio_source {
	IRR_MMIO_TRAPPED = 0,   /* the program's, through its mapping */
	/*
	 * A guest's, which left it to the program (KVM_EXIT_MMIO): address is the guest's physical one, file the vCPU's. It is
	 * entered when KVM_RUN returns with it and returns when KVM_RUN is called again; what the program does meanwhile is not inside it.
	 */
	IRR_MMIO_KVM = 1,
	IRR_MMIO_MMIOTRACE = 2, /* the kernel's: address is physical */
	IRR_MMIO_RWMMIO = 3,    /* the kernel's: address is its virtual one */
};
#define IRR_MMIO_SOURCE_SHIFT 4

enum irr_mmio_flag {
	IRR_MMIO_STEPPED = 1,   /* its value is not known: the processor made the access itself, single-stepped (KVM: the processor did not say) */
	IRR_MMIO_EXCLUSIVE = 2, /* half of an exclusive pair (ldxr, stxr) */
	IRR_MMIO_RELEASED = 4,  /* from here on this page is not trapped any more */
	IRR_MMIO_COALESCED = 8, /* KVM: made some time before, in this order; the kernel had collected it (coalesced MMIO) and does not say which vCPU's it is: file is the VM's */
};

/* When a queue was read. */
enum irr_queue {
	IRR_QUEUE_ALLOC = 1,   /* it has been made */
	IRR_QUEUE_DESTROY = 2, /* it is about to be destroyed, or the process that made it to end */
	IRR_QUEUE_PROD = 3,    /* a store to PROD_INDX was trapped and has been made, or one that turned the queue on with commands in it */
	IRR_QUEUE_ERROR = 4,   /* a vEVENT told of an error */
	IRR_QUEUE_PERIODIC = 5, /* every so often, and before page 0 is unmapped; only where something is not as it was */
};

enum irr_region_kind { IRR_REGION_OTHER = 1, IRR_REGION_CMDQV = 2 };

enum irr_state {
	IRR_STATE_ENTERED = 1,  /* the call has begun; t_exit, ret, error and the parts after the call are not there yet */
	IRR_STATE_RETURNED = 2,
};

/* Flags of a frame, low byte; the high byte is the enum irr_file of the descriptor. */
enum irr_flag {
	IRR_FLAG_VFORK = 1,     /* made by a vfork child: same memory, own pid */
	IRR_FLAG_OBSERVED = 2,  /* not reported by the process itself: the recorder saw it from outside */
	IRR_FLAG_SIGNAL = 4,    /* made while the thread was inside another recorded call (a signal handler) */
};
#define IRR_FLAG_FILE_SHIFT 8

/* What an open file is. */
enum irr_file {
	IRR_FILE_UNKNOWN = 0,
	IRR_FILE_IOMMUFD = 1,        /* /dev/iommu */
	IRR_FILE_VFIO_DEVICE = 2,    /* /dev/vfio/devices/vfioN, or a device fd from a group */
	IRR_FILE_VFIO_GROUP = 3,     /* /dev/vfio/N */
	IRR_FILE_VFIO_CONTAINER = 4, /* /dev/vfio/vfio: type1, or iommufd's emulation of it */
	IRR_FILE_FAULT = 5,          /* IOMMU_FAULT_QUEUE_ALLOC.out_fault_fd */
	IRR_FILE_VEVENTQ = 6,        /* IOMMU_VEVENTQ_ALLOC.out_veventq_fd */
	IRR_FILE_ACCESS = 7,         /* IOMMU_TEST_OP_CREATE_ACCESS.out_access_fd */
	IRR_FILE_DMABUF = 8,         /* IOMMU_TEST_OP_DMABUF_GET, VFIO_DEVICE_FEATURE_DMA_BUF */
	IRR_FILE_KVM = 9,            /* /dev/kvm */
	IRR_FILE_KVM_VM = 10,        /* KVM_CREATE_VM */
	IRR_FILE_KVM_VCPU = 11,      /* KVM_CREATE_VCPU */
};

enum irr_open { IRR_OPEN_OPEN = 1, IRR_OPEN_OPENAT = 2, IRR_OPEN_CREAT = 3, IRR_OPEN_OPENAT2 = 4 };
enum irr_close { IRR_CLOSE_CLOSE = 1, IRR_CLOSE_RANGE = 2, IRR_CLOSE_FROM = 3 };
enum irr_dup { IRR_DUP_DUP = 1, IRR_DUP_DUP2 = 2, IRR_DUP_DUP3 = 3, IRR_DUP_F_DUPFD = 4, IRR_DUP_F_DUPFD_CLOEXEC = 5 };
enum irr_rw { IRR_RW_PLAIN = 1, IRR_RW_POSITION = 2, IRR_RW_VECTOR = 3, IRR_RW_POSITION_VECTOR = 4 };
enum irr_fork { IRR_FORK_FORK = 1, IRR_FORK_VFORK = 2, IRR_FORK_SPAWN = 3 };
enum irr_start { IRR_START_EXEC = 1, IRR_START_FORK = 2 };
enum irr_exit { IRR_EXIT_EXIT = 1, IRR_EXIT_IMMEDIATE = 2, IRR_EXIT_OBSERVED = 3 };
enum irr_found {
	IRR_FOUND_INHERITED = 1, /* open when the image started */
	IRR_FOUND_RECEIVED = 2,  /* SCM_RIGHTS */
	IRR_FOUND_CREATED = 3,   /* an ioctl returned it */
	IRR_FOUND_IN_USE = 4,    /* first seen when it was used */
	IRR_FOUND_PIDFD = 5,     /* pidfd_getfd */
};
enum irr_gap { IRR_GAP_FULL = 1, IRR_GAP_HOLE = 2, IRR_GAP_CONFINED = 3 };

/*
 * mark      spool: IRR_MARK ^ position, stored last of all header fields at entry (a frame without it does not exist yet);
 *           trace: seq, the number of the event, from 1
 * bytes     the whole frame, a multiple of 8; the next frame in a spool begins at the next multiple of IRR_STRIDE
 * t_enter   CLOCK_MONOTONIC, nanoseconds, when the call was entered; t_exit when it returned, 0 while it has not
 * fd        the descriptor the call was made on, -1 where there is none
 * file      the number of the open file description that fd stood for, from 1, unique in a recording; 0 unknown. It
 *           survives dup, fork, exec and SCM_RIGHTS; for an iommufd it names the kernel's iommufd_ctx
 * request   ioctl: the request; else the enum named beside the kind
 * error     errno, 0 on success
 */
struct irr_frame {
	uint64_t mark;
	uint32_t bytes;
	uint8_t kind;
	uint8_t state;
	uint16_t flags;
	uint64_t t_enter;
	uint64_t t_exit;
	uint32_t pid;
	uint32_t tid;
	int32_t fd;
	uint32_t file;
	uint32_t request;
	int32_t error;
	int64_t ret;
};

#define IRR_MARK UINT64_C(0x314552464d525249) /* "IRRMFRE1" */

enum irr_part_kind {
	IRR_PART_UNUSED = 0,     /* spool only: room that was reserved and not needed */
	IRR_PART_IN = 1,         /* the struct (or the written bytes) before the call */
	IRR_PART_OUT = 2,        /* the same memory after it */
	IRR_PART_NESTED_IN = 3,  /* a buffer that the struct points to, before; slot = offset of the pointer field */
	IRR_PART_NESTED_OUT = 4, /* the same after */
	IRR_PART_ARGS = 5,       /* u64 words, see the kinds */
	IRR_PART_TEXT = 6,       /* bytes of text, no NUL at the end; slot 0, 1, 2 … in the order named beside the kind */
};

enum irr_part_flag {
	IRR_PART_TRUNCATED = 1, /* fewer bytes were taken than wanted: over the capture limit */
	IRR_PART_FAULT = 2,     /* fewer bytes were taken than wanted: the memory is not readable */
	IRR_PART_LATE = 4,      /* an IN part that could only be read after the call */
	IRR_PART_SPILLED = 8,   /* spool only: the data is a u64, how many bytes lie in PART frames */
};

/* wanted: bytes that there were to take; address: where in the program's memory (0 where it is not memory). */
struct irr_part {
	uint8_t kind;
	uint8_t flags;
	uint16_t slot;
	uint32_t bytes;
	uint64_t wanted;
	uint64_t address;
	/* bytes of data follow, padded with zeros to a multiple of 8 */
};

_Static_assert(sizeof(struct irr_frame) == 64, "frame header");
_Static_assert(sizeof(struct irr_part) == 24, "part header");

#endif
