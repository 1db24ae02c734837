/* SPDX-License-Identifier: GPL-2.0-only */
/* The spool, seen from the traced program: mapping it, reserving, growing. Layout: irr_spool.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "irr.h"

#define WAIT_NS 1000000000u /* how long a confined program waits for room, at most */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct irr_spool *irr_spool;
uint8_t *irr_window;
uint32_t irr_window_slots;

static char spool_path[4096];
static dev_t spool_dev;
static ino_t spool_ino;
/* Slots beyond the window, mapped one by one when they are met. Never unmapped: slots are used again and again. */
static _Atomic(uint8_t *) beyond[IRR_SLOTS];

static _Atomic uint8_t *states(void) { return (_Atomic uint8_t *)irr_spool + IRR_STATES; }

static int spool_fd(void)
{
	struct stat st;
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)spool_path, O_RDWR | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return -1;
	/* After a chroot the path may name another file. */
	if (fstat((int)fd, &st) != 0 || (spool_ino && (st.st_ino != spool_ino || st.st_dev != spool_dev))) {
		irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
		return -1;
	}
	spool_dev = st.st_dev;
	spool_ino = st.st_ino;
	return (int)fd;
}

static void *map(int fd, uint64_t offset, uint64_t bytes)
{
	long at = irr_sys(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (long)offset);
	if ((unsigned long)at > -4096UL)
		return NULL;
	irr_sys(SYS_madvise, at, (long)bytes, MADV_DONTDUMP, 0, 0, 0);
	return (void *)at;
}

static void read_text(const char *path, char *to, size_t room, const char *key)
{
	char text[4096];
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	long n = fd < 0 ? -1 : irr_sys(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
	if (fd >= 0)
		irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	if (n <= 0)
		return;
	text[n] = 0;
	const char *from = text;
	if (key) {
		from = strstr(text, key);
		from = from ? strchr(from, ':') : NULL;
		if (!from)
			return;
		from += strspn(from, ": \t");
	}
	size_t length = strcspn(from, "\n");
	if (length >= room)
		length = room - 1;
	memcpy(to, from, length);
	to[length] = 0;
}

/* A spool that nobody made before: a recording without a recorder. Returns with the header in place. */
static bool create(int fd)
{
	struct utsname u;
	struct timespec t;
	if (irr_sys(SYS_fallocate, fd, 0, 0, (long)IRR_DATA, 0, 0) < 0 && irr_sys(SYS_ftruncate, fd, (long)IRR_DATA, 0, 0, 0, 0) < 0)
		return false;
	struct irr_spool *s = map(fd, 0, IRR_DATA);
	if (!s)
		return false;
	s->version = IRR_SPOOL_VERSION;
	s->frame_version = IRR_FRAME_VERSION;
	s->segment_bytes = (uint32_t)IRR_SEGMENT;
	const char *mmio = getenv("IRR_MMIO");
	s->mmio = mmio && *mmio && strcmp(mmio, "0") != 0;
	const char *kvm = getenv("IRR_KVM");
	s->kvm = kvm && *kvm && strcmp(kvm, "0") != 0;
	const char *sample = getenv("IRR_SAMPLE_QUEUES");
	s->sample_ms = sample ? (uint32_t)strtoul(sample, NULL, 10) : 0;
	s->creator = (uint32_t)irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0);
	clock_gettime(CLOCK_REALTIME, &t);
	s->realtime_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	s->monotonic_ns = irr_now();
	uname(&u);
	memcpy(s->sysname, u.sysname, sizeof s->sysname);
	memcpy(s->nodename, u.nodename, sizeof s->nodename);
	memcpy(s->release, u.release, sizeof s->release);
	memcpy(s->kversion, u.version, sizeof s->kversion);
	memcpy(s->machine, u.machine, sizeof s->machine);
	read_text("/proc/sys/kernel/random/boot_id", s->boot_id, sizeof s->boot_id, NULL);
	read_text("/proc/cpuinfo", s->cpu, sizeof s->cpu, "model name");
	atomic_thread_fence(memory_order_release);
	memcpy(s->magic, IRR_SPOOL_MAGIC, 8);
	irr_spool = s;
	return true;
}

static bool attach(int fd)
{
	struct stat st;
	/* Whoever is making the file right now needs a moment. */
	for (int i = 0; i < 2000; i++) {
		if (fstat(fd, &st) != 0)
			return false;
		if ((uint64_t)st.st_size >= IRR_DATA)
			break;
		struct timespec ms = { .tv_nsec = 1000000 };
		irr_sys(SYS_nanosleep, (long)&ms, 0, 0, 0, 0, 0);
	}
	if ((uint64_t)st.st_size < IRR_DATA)
		return false;
	struct irr_spool *s = map(fd, 0, IRR_DATA);
	if (!s)
		return false;
	for (int i = 0; i < 2000 && s->magic[0] == 0; i++) {
		struct timespec ms = { .tv_nsec = 1000000 };
		irr_sys(SYS_nanosleep, (long)&ms, 0, 0, 0, 0, 0);
	}
	atomic_thread_fence(memory_order_acquire);
	if (memcmp(s->magic, IRR_SPOOL_MAGIC, 8) != 0 || s->version != IRR_SPOOL_VERSION || s->segment_bytes != IRR_SEGMENT) {
		irr_sys(SYS_munmap, (long)s, (long)IRR_DATA, 0, 0, 0, 0);
		return false;
	}
	irr_spool = s;
	return true;
}

/* Maps the spool at `path`, making it where it does not exist. false: nothing will be recorded. */
bool irr_spool_open(const char *path)
{
	size_t length = strlen(path);
	if (length >= sizeof spool_path || path[0] != '/')
		return false;
	memcpy(spool_path, path, length + 1);
	bool ok;
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600, 0, 0);
	if (fd >= 0) {
		struct stat st;
		ok = fstat((int)fd, &st) == 0 && create((int)fd);
		spool_dev = st.st_dev;
		spool_ino = st.st_ino;
	} else {
		fd = spool_fd();
		ok = fd >= 0 && attach((int)fd);
	}
	for (uint32_t slots = IRR_WINDOW; ok && slots >= 1; slots /= 4) {
		irr_window = map((int)fd, IRR_DATA, slots * IRR_SEGMENT);
		if (irr_window) {
			irr_window_slots = slots;
			break;
		}
	}
	if (fd >= 0)
		irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	return ok;
}

static uint8_t *slot_address(uint32_t slot)
{
	if (slot < irr_window_slots)
		return irr_window + (uint64_t)slot * IRR_SEGMENT;
	uint8_t *at = atomic_load_explicit(&beyond[slot], memory_order_acquire);
	if (at || atomic_load_explicit(&irr_confined, memory_order_relaxed))
		return at;
	int fd = spool_fd();
	if (fd < 0)
		return NULL;
	uint8_t *mapped = map(fd, IRR_DATA + (uint64_t)slot * IRR_SEGMENT, IRR_SEGMENT);
	irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	if (!mapped)
		return NULL;
	if (!atomic_compare_exchange_strong(&beyond[slot], &at, mapped)) {
		irr_sys(SYS_munmap, (long)mapped, (long)IRR_SEGMENT, 0, 0, 0, 0);
		return at;
	}
	return mapped;
}

static long take_free(void)
{
	_Atomic uint8_t *state = states();
	/* Low slots first: they are mapped, and hot in the caches. Behind the window the file ends at the first absent slot. */
	for (uint32_t i = 0; i < IRR_SLOTS; i++) {
		uint8_t s = atomic_load_explicit(&state[i], memory_order_relaxed);
		if (s == IRR_SLOT_ABSENT && i >= IRR_WINDOW)
			break;
		if (s == IRR_SLOT_FREE && atomic_compare_exchange_strong(&state[i], &s, IRR_SLOT_USED))
			return i;
	}
	return -1;
}

/* May the file have that size, without a SIGXFSZ for the program? */
static bool size_allowed(uint64_t bytes)
{
	struct { uint64_t soft, hard; } limit;
	return irr_sys(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0) == 0 && bytes <= limit.soft;
}

/* Makes one slot more at the end of the file. The room is allocated, so that touching it can not fail later. */
static long grow(void)
{
	_Atomic uint8_t *state = states();
	if (atomic_load_explicit(&irr_confined, memory_order_relaxed))
		return -1;
	for (uint32_t i = 0; i < IRR_SLOTS; i++) {
		uint8_t s = IRR_SLOT_ABSENT;
		if (atomic_load_explicit(&state[i], memory_order_relaxed) != s || !atomic_compare_exchange_strong(&state[i], &s, IRR_SLOT_GROWING))
			continue;
		int fd = size_allowed(IRR_DATA + (i + 1) * IRR_SEGMENT) ? spool_fd() : -1;
		long e = fd < 0 ? -1 : irr_sys(SYS_fallocate, fd, 0, (long)(IRR_DATA + i * IRR_SEGMENT), (long)IRR_SEGMENT, 0, 0);
		if (fd >= 0)
			irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
		if (e < 0) {
			atomic_store(&state[i], IRR_SLOT_ABSENT);
			return -1;
		}
		atomic_store(&state[i], IRR_SLOT_USED);
		return i;
	}
	return -1;
}

/* A slot that this process can reach, or -1, the slot given back. */
static long reachable(long slot)
{
	if (slot >= 0 && slot_address((uint32_t)slot))
		return slot;
	if (slot >= 0)
		atomic_store(&states()[slot], IRR_SLOT_FREE);
	return -1;
}

/*
 * A program that can not make room itself (a seccomp filter, a limit of its own, a full file system) waits a little for the
 * recorder, which empties slots and makes new ones; and not again before a slot has come by: a recorder that hangs must
 * cost the program a moment, not a moment at every call.
 */
static long wait_free(void)
{
	static _Atomic bool vain;
	uint64_t until = irr_now() + WAIT_NS;
	do {
		long slot = reachable(take_free());
		if (slot >= 0) {
			atomic_store_explicit(&vain, false, memory_order_relaxed);
			return slot;
		}
		for (int i = 0; i < 1000; i++)
			__asm__ volatile("" ::: "memory");
	} while (atomic_load(&irr_spool->recorder) && !atomic_load_explicit(&vain, memory_order_relaxed) && irr_now() < until);
	atomic_store_explicit(&vain, true, memory_order_relaxed);
	return -1;
}

/*
 * Maps all pages of a slot at once, which costs a tenth of the faults one by one: for processes that have filled a segment
 * already, since one that makes a few calls only would pay for pages that it never touches.
 */
static void populate(uint32_t slot, uint8_t *at)
{
	static _Atomic uint32_t heavy;   /* pid of the process that the bits are of */
	static _Atomic uint8_t done[IRR_SLOTS / 8];
	uint32_t pid = atomic_load_explicit(&irr_self->pid, memory_order_relaxed);
	if (atomic_load_explicit(&irr_confined, memory_order_relaxed))
		return;
	if (atomic_exchange(&heavy, pid) != pid) {
		for (uint32_t i = 0; i < IRR_SLOTS / 8; i++)
			if (done[i])
				done[i] = 0;
		return;
	}
	if (!(atomic_fetch_or(&done[slot / 8], (uint8_t)(1u << slot % 8)) & 1u << slot % 8))
		irr_sys(SYS_madvise, (long)at, (long)IRR_SEGMENT, MADV_POPULATE_WRITE, 0, 0, 0);
}

/* The address of a segment that is not in the window or not in a slot yet. */
uint8_t *irr_segment_slow(uint64_t segment)
{
	_Atomic uint64_t *dir = (_Atomic uint64_t *)((uint8_t *)irr_spool + IRR_DIR);
	_Atomic uint64_t *entry = &dir[segment % IRR_SLOTS];
	uint64_t e = atomic_load_explicit(entry, memory_order_acquire);
	if ((e >> 16) == segment + 1)
		return slot_address(e & 0xffff);
	if (e != 0)
		return NULL; /* the segment that was here before has not been taken out: the spool is full */
	long slot = reachable(take_free());
	if (slot < 0)
		slot = reachable(grow());
	if (slot < 0)
		slot = wait_free();
	if (slot < 0)
		return NULL;
	uint64_t mine = (segment + 1) << 16 | (uint64_t)slot;
	if (!atomic_compare_exchange_strong(entry, &e, mine)) {
		atomic_store(&states()[slot], IRR_SLOT_FREE);
		return (e >> 16) == segment + 1 ? slot_address(e & 0xffff) : NULL;
	}
	uint8_t *at = slot_address((uint32_t)slot);
	populate((uint32_t)slot, at);
	return at;
}

static void pad(uint64_t position, uint32_t room)
{
	uint8_t *base = irr_segment(position >> IRR_SEGMENT_SHIFT);
	if (!base)
		return;
	struct irr_frame *f = (struct irr_frame *)(base + (position & (IRR_SEGMENT - 1)));
	f->bytes = room;
	f->kind = IRR_KIND_PAD;
	f->state = IRR_STATE_RETURNED;
	atomic_store_explicit((_Atomic uint64_t *)&f->mark, IRR_MARK ^ position, memory_order_release);
}

/* What irr_reserve leaves: a reservation over the end of a segment, and no slot to be had. */
void *irr_reserve_slow(uint64_t position, uint32_t room, uint64_t *where)
{
	for (int tries = 0; tries < 64; tries++) {
		uint64_t rest = IRR_SEGMENT - (position & (IRR_SEGMENT - 1));
		if (rest >= room) {
			uint8_t *base = irr_segment(position >> IRR_SEGMENT_SHIFT);
			if (!base)
				break;
			*where = position;
			return base + (position & (IRR_SEGMENT - 1));
		}
		pad(position, (uint32_t)rest);
		pad(position + rest, (uint32_t)(room - rest));
		position = atomic_fetch_add_explicit(&irr_spool->tail, room, memory_order_relaxed);
	}
	enum irr_gap why = atomic_load(&irr_confined) ? IRR_GAP_CONFINED : IRR_GAP_FULL;
	atomic_fetch_add_explicit(&irr_spool->lost[why], 1, memory_order_relaxed);
	return NULL;
}

static void identify(struct irr_frame *f)
{
	struct irr_thread *t = &irr_thread;
	uint32_t pid = atomic_load_explicit(&irr_self->pid, memory_order_relaxed);
	if (irr_unlikely(t->vfork)) {
		f->pid = (uint32_t)irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0);
		f->tid = (uint32_t)irr_sys(SYS_gettid, 0, 0, 0, 0, 0, 0);
		f->flags |= IRR_FLAG_VFORK;
		return;
	}
	if (irr_unlikely(t->pid != pid)) {
		t->pid = pid;
		t->tid = (uint32_t)irr_sys(SYS_gettid, 0, 0, 0, 0, 0, 0);
		t->depth = 0;
	}
	f->pid = pid;
	f->tid = t->tid;
	if (t->depth)
		f->flags |= IRR_FLAG_SIGNAL;
}

/* Reserves a frame with `room` bytes for parts and fills its header but for the mark. false: nothing to record into. */
bool irr_begin(struct irr_call *c, enum irr_kind kind, uint32_t room, uint64_t t_enter)
{
	c->frame = NULL;
	if (irr_unlikely(atomic_load_explicit(&irr_spool->stop, memory_order_relaxed)))
		return false;
	uint32_t bytes = (uint32_t)sizeof(struct irr_frame) + room;
	struct irr_frame *f = irr_reserve(bytes, &c->position);
	if (irr_unlikely(!f))
		return false;
	bytes = (bytes + IRR_STRIDE - 1) & ~(IRR_STRIDE - 1);
	f->bytes = bytes;
	f->kind = (uint8_t)kind;
	f->state = IRR_STATE_ENTERED;
	f->flags = 0;
	f->t_enter = t_enter;
	f->t_exit = 0;
	f->fd = -1;
	f->file = 0;
	f->request = 0;
	f->error = 0;
	f->ret = 0;
	identify(f);
	c->frame = f;
	c->at = (uint8_t *)(f + 1);
	c->end = (uint8_t *)f + bytes;
	c->parts = 0;
	return true;
}

void irr_event(enum irr_kind kind, uint32_t request, int fd, uint64_t file, int64_t ret, int error, uint64_t t_enter,
	       const uint64_t *args, unsigned nargs, const char *const *texts, const size_t *lengths, unsigned ntexts)
{
	struct irr_call c;
	uint32_t room = nargs ? irr_room(nargs * 8) : 0;
	for (unsigned i = 0; i < ntexts; i++)
		room += irr_room(lengths[i]);
	if (!irr_begin(&c, kind, room, t_enter))
		return;
	c.frame->request = request;
	c.frame->fd = fd;
	c.frame->file = irr_file_of(file);
	c.frame->flags |= (uint16_t)(irr_kind_of(file) << IRR_FLAG_FILE_SHIFT);
	if (nargs)
		memcpy(irr_part(&c, IRR_PART_ARGS, 0, 0, nargs * 8, nargs * 8, 0), args, nargs * 8);
	for (unsigned i = 0; i < ntexts; i++)
		memcpy(irr_part(&c, IRR_PART_TEXT, 0, (uint16_t)i, (uint32_t)lengths[i], lengths[i], (uintptr_t)texts[i]), texts[i], lengths[i]);
	irr_enter(&c);
	c.frame->t_exit = irr_now();
	irr_leave(&c, ret, error);
}

/*
 * Copies a buffer too big for its frame into PART frames. Returns the bytes copied, fewer than asked for where memory is
 * not readable (`fault`) or the spool is full.
 */
uint64_t irr_spill(struct irr_call *c, const void *from, uint64_t bytes, bool *fault)
{
	uint64_t done = 0;
	*fault = false;
	while (done < bytes) {
		uint32_t piece = bytes - done > IRR_SPILL_PIECE ? IRR_SPILL_PIECE : (uint32_t)(bytes - done);
		struct irr_call p;
		if (!irr_begin(&p, IRR_KIND_PART, irr_room(24) + irr_room(piece), c->frame->t_enter))
			break;
		uint64_t args[3] = { c->position, c->parts, done };
		memcpy(irr_part(&p, IRR_PART_ARGS, 0, 0, sizeof args, sizeof args, 0), args, sizeof args);
		struct irr_part *part = (struct irr_part *)p.at;
		uint8_t *data = irr_part(&p, IRR_PART_IN, 0, 0, piece, piece, (uintptr_t)from + done);
		size_t got = irr_copy(data, (const uint8_t *)from + done, piece);
		part->bytes = (uint32_t)got;
		p.at = data + ((got + 7) & ~(size_t)7);
		irr_enter(&p);
		irr_leave(&p, 0, 0);
		done += got;
		if (got < piece) {
			*fault = true;
			break;
		}
	}
	return done;
}
