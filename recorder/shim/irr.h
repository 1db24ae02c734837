/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the shim share. The shim lives inside the traced program, so every function here is
 * async-signal-safe, takes no lock, allocates nothing on the path of a call, and leaves errno to its caller's care
 * (hooks save and restore it).
 */
#ifndef IRR_H
#define IRR_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

#include "irr_frame.h"
#include "irr_spool.h"

#define IRR_HOOK __attribute__((visibility("default")))
#define irr_unlikely(x) __builtin_expect(!!(x), 0)
#define irr_likely(x) __builtin_expect(!!(x), 1)

#define IRR_STRUCT_LIMIT 65536u          /* bytes of a struct that are captured */
#define IRR_INLINE_LIMIT 65536u          /* bytes of a nested buffer that lie in the frame itself; more is spilled */
#define IRR_SPILL_PIECE 131072u
#define IRR_CAPTURE_LIMIT (UINT64_C(16) << 20) /* bytes of one buffer that are captured */

/* A system call without errno and without the libc function of that name, which the shim itself replaces. */
static inline long irr_sys(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "the shim knows x86-64 and aarch64"
#endif
}

/* The same with errno, as libc's functions have it. */
static inline long irr_sys_errno(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret = irr_sys(nr, a, b, c, d, e, f);
	if (irr_unlikely((unsigned long)ret > -4096UL)) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

/* ---- process and thread (irr_process.c) ---- */

enum irr_phase { IRR_UNBORN, IRR_STARTING, IRR_READY, IRR_INERT };

/* Lies in a page that the kernel wipes in a forked child: pid 0 means "not this process". */
struct irr_self {
	_Atomic uint32_t pid;
};

struct irr_thread {
	uint32_t pid, tid;
	uint32_t depth;           /* recorded calls that this thread is inside of */
	uint32_t vfork;           /* set while a vfork child runs on this thread's memory */
	uintptr_t lo, hi;         /* the part of the stack known to be readable */
	struct irr_frame *forking; /* FORK frame of a vfork under way */
};

extern _Atomic int irr_phase;
extern struct irr_self *irr_self;
extern __thread struct irr_thread irr_thread __attribute__((tls_model("initial-exec")));
extern _Atomic bool irr_confined;         /* a seccomp filter was installed: no system call of our own any more */

void irr_start(void);
void irr_forked(void);
uint64_t irr_stat_field(int wanted);

/* printf(3) takes locks and memory where it likes. Writes decimal digits, at most 20, and no end. Returns what is behind them. */
static inline char *irr_put_number(char *to, uint64_t number)
{
	char digits[20];
	unsigned n = 0;
	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		*to++ = digits[--n];
	return to;
}

/* Is this call to be recorded? Also notices that the process is a new one. */
static inline bool irr_ready(void)
{
	int phase = atomic_load_explicit(&irr_phase, memory_order_acquire);
	if (irr_unlikely(phase != IRR_READY)) {
		if (phase != IRR_UNBORN)
			return false;
		irr_start();
		if (atomic_load_explicit(&irr_phase, memory_order_acquire) != IRR_READY)
			return false;
	}
	if (irr_unlikely(atomic_load_explicit(&irr_self->pid, memory_order_relaxed) == 0))
		irr_forked();
	return true;
}

static inline uint64_t irr_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- memory of the program (irr_copy.c) ---- */

void irr_copy_init(void);
bool irr_trusted_slow(uintptr_t from, uintptr_t to);
size_t irr_copy_slow(void *to, const void *from, size_t bytes);
size_t irr_copy_string(char *to, size_t room, const char *from);
void irr_distrust(uintptr_t from, uintptr_t to);

/* Copies what is readable, front to back. Returns the bytes copied; never faults. */
static inline size_t irr_copy(void *to, const void *from, size_t bytes)
{
	uintptr_t a = (uintptr_t)from, e = a + bytes, sp = (uintptr_t)__builtin_frame_address(0);
	const struct irr_thread *t = &irr_thread;
	if (irr_likely(a >= t->lo && e <= t->hi && e >= a && sp >= t->lo && sp < t->hi)) {
		memcpy(to, from, bytes);
		return bytes;
	}
	return irr_copy_slow(to, from, bytes);
}

/* ---- spool (irr_spool.c) ---- */

extern struct irr_spool *irr_spool;
extern uint8_t *irr_window;
extern uint32_t irr_window_slots;

bool irr_spool_open(const char *path);
uint8_t *irr_segment_slow(uint64_t segment);
void *irr_reserve_slow(uint64_t position, uint32_t room, uint64_t *where);

static inline uint8_t *irr_segment(uint64_t segment)
{
	const _Atomic uint64_t *dir = (_Atomic uint64_t *)((uint8_t *)irr_spool + IRR_DIR);
	uint64_t entry = atomic_load_explicit(&dir[segment % IRR_SLOTS], memory_order_acquire);
	uint32_t slot = entry & 0xffff;
	if (irr_likely((entry >> 16) == segment + 1 && slot < irr_window_slots))
		return irr_window + (uint64_t)slot * IRR_SEGMENT;
	return irr_segment_slow(segment);
}

/* A place for `bytes`; NULL where there is none (counted as lost). `where` gets the position. */
static inline void *irr_reserve(uint32_t bytes, uint64_t *where)
{
	uint32_t room = (bytes + IRR_STRIDE - 1) & ~(IRR_STRIDE - 1);
	uint64_t position = atomic_fetch_add_explicit(&irr_spool->tail, room, memory_order_relaxed);
	if (irr_likely((position & (IRR_SEGMENT - 1)) + room <= IRR_SEGMENT)) {
		uint8_t *base = irr_segment(position >> IRR_SEGMENT_SHIFT);
		if (irr_likely(base != NULL)) {
			*where = position;
			return base + (position & (IRR_SEGMENT - 1));
		}
	}
	return irr_reserve_slow(position, room, where);
}

/* A frame under construction. */
struct irr_call {
	struct irr_frame *frame; /* NULL: not recorded */
	uint8_t *at;             /* where the next part goes */
	uint8_t *end;
	uint64_t position;
	uint32_t parts;
};

/* Room that a part of n bytes takes. */
static inline uint32_t irr_room(uint64_t n)
{
	return (uint32_t)(sizeof(struct irr_part) + ((n + 7) & ~UINT64_C(7)));
}

bool irr_begin(struct irr_call *c, enum irr_kind kind, uint32_t room, uint64_t t_enter);
uint64_t irr_spill(struct irr_call *c, const void *from, uint64_t bytes, bool *fault);

/* Ends the list of parts where it is now. */
static inline void irr_close_parts(struct irr_call *c)
{
	if (c->at < c->end)
		*(uint64_t *)c->at = 0;
}

/* A part's header; returns where its data goes. The caller has seen to the room. */
static inline uint8_t *irr_part(struct irr_call *c, enum irr_part_kind kind, unsigned flags, uint16_t slot, uint32_t bytes, uint64_t wanted, uint64_t address)
{
	struct irr_part *p = (struct irr_part *)c->at;
	uint8_t *data = c->at + sizeof *p;
	uint32_t padded = (bytes + 7u) & ~7u;
	if (padded)
		*(uint64_t *)(data + padded - 8) = 0;
	*p = (struct irr_part){ .kind = (uint8_t)kind, .flags = (uint8_t)flags, .slot = slot, .bytes = bytes, .wanted = wanted, .address = address };
	c->at = data + padded;
	c->parts++;
	return data;
}

/* From here on the call is visible as entered. */
static inline void irr_enter(struct irr_call *c)
{
	irr_close_parts(c);
	atomic_store_explicit((_Atomic uint64_t *)&c->frame->mark, IRR_MARK ^ c->position, memory_order_release);
	irr_thread.depth++;
}

/* The call has returned. Parts after the call are there already. */
static inline void irr_leave(struct irr_call *c, int64_t ret, int error)
{
	irr_thread.depth--;
	irr_close_parts(c);
	c->frame->ret = ret;
	c->frame->error = error;
	atomic_store_explicit((_Atomic uint8_t *)&c->frame->state, IRR_STATE_RETURNED, memory_order_release);
}

/* A whole frame at once: for calls that are recorded after they returned. */
void irr_event(enum irr_kind kind, uint32_t request, int fd, uint64_t file, int64_t ret, int error, uint64_t t_enter,
	       const uint64_t *args, unsigned nargs, const char *const *texts, const size_t *lengths, unsigned ntexts);

/* ---- files (irr_files.c) ---- */

/* What a descriptor stands for: kind << 32 | file; 0 = not one of ours. */
#define IRR_FD_PAGE 4096u
extern _Atomic uint64_t irr_fds[IRR_FD_PAGE];
uint64_t irr_fd_slow(int fd);

static inline uint64_t irr_fd(int fd)
{
	if (irr_likely((unsigned)fd < IRR_FD_PAGE))
		return atomic_load_explicit(&irr_fds[fd], memory_order_relaxed);
	return fd < 0 ? 0 : irr_fd_slow(fd);
}

static inline uint32_t irr_file_of(uint64_t known) { return (uint32_t)known; }
static inline uint32_t irr_kind_of(uint64_t known) { return (uint32_t)(known >> 32); }

void irr_fd_set(int fd, uint64_t known);
void irr_fd_clear(int fd);
bool irr_fd_any(unsigned first, unsigned last);
bool irr_fd_held(uint64_t known);
void irr_fd_clear_range(unsigned first, unsigned last);
uint64_t irr_new_file(enum irr_file kind);
uint64_t irr_found(int fd, enum irr_found how, enum irr_file hint, int via);
enum irr_file irr_classify(int fd);
int irr_files_look(void);
void irr_files_start(void);
void irr_files_forked(void);
void irr_files_exit(void);

/* Mappings of files that are ours. */
void irr_map_add(uintptr_t from, uintptr_t to);
bool irr_map_overlaps(uintptr_t from, uintptr_t to);
void irr_map_remove(uintptr_t from, uintptr_t to);

/* ---- hooks ---- */
void irr_hooks_resolve(void);
void irr_exit_frame(enum irr_exit how, int status);

#endif
