/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A log that survives the machine. The spool is shared memory, which dies with the kernel, and a mapping of a file on a disk is
 * written there when the kernel likes; some file systems (9p, network ones) cannot map one at all. So the spool lies in memory,
 * and before each call all that is new in it is written to the log, at the same offsets, and synced: the call is on the disk,
 * entered and not returned, when it is made.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "irr.h"
#include "rerun.h"

#define ASK_NS 100000000L

static int log_fd = -1;

static bool write_new(void);

/* Does a file there die with the kernel? */
static bool in_memory(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* A spool that has no name: processes of the plan reach it by the watcher's descriptor. NULL: nowhere can one be made. */
static const char *spool_in_memory(void)
{
	static const char *const folders[] = { "/dev/shm", "/run", "/tmp", "/var/tmp" };
	static char reached[64];
	for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++) {
		char folder[64], path[80];
		snprintf(folder, sizeof folder, "%s/" PROGRAM ".XXXXXX", folders[i]);
		if (!mkdtemp(folder))
			continue;
		snprintf(path, sizeof path, "%s/spool", folder);
		int fd = irr_spool_open(path) ? open(path, O_RDWR | O_CLOEXEC) : -1, high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
		if (fd >= 0)
			close(fd);
		unlink(path);
		rmdir(folder);
		snprintf(reached, sizeof reached, "/proc/%d/fd/%d", (int)getpid(), high);
		if (high >= 0 && irr_spool_open(reached))
			return reached;
	}
	return NULL;
}

static const char *failed(const char *what)
{
	static char text[96];
	snprintf(text, sizeof text, "cannot be %s: %m", what);
	return text;
}

const char *durable_make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	log_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (log_fd < 0)
		return failed("made");
	close(fd);
	bool memory = in_memory(log_fd);
	options.spool = memory ? NULL : spool_in_memory();
	if (!options.spool) {
		unlink(path);
		return memory ? "lies in memory, which no panic leaves: --durable needs a disk" : "no memory for the spool";
	}
	options.log = path;
	/* Its name is to survive as well. */
	char folder[PATH_MAX];
	snprintf(folder, sizeof folder, "%s", path);
	*(strrchr(folder, '/') + 1) = 0;
	int within = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (within >= 0) {
		fsync(within);
		close(within);
	}
	return write_new() ? NULL : failed("written");
}

static bool put(const void *from, uint64_t bytes, uint64_t at)
{
	while (bytes) {
		long n = irr_sys_errno(SYS_pwrite64, log_fd, (long)from, (long)bytes, (long)at, 0, 0);
		if (n <= 0)
			return false;
		from = (const uint8_t *)from + n;
		at += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return true;
}

/* The first position from one on whose frame may still change. */
static uint64_t settled(uint64_t from, uint64_t tail)
{
	while (from < tail) {
		const uint8_t *segment = irr_segment(from >> IRR_SEGMENT_SHIFT);
		const struct irr_frame *f = segment ? (const void *)(segment + (from & (IRR_SEGMENT - 1))) : NULL;
		if (!f || atomic_load_explicit((_Atomic uint64_t *)&f->mark, memory_order_acquire) != (IRR_MARK ^ from) ||
		    atomic_load_explicit((_Atomic uint8_t *)&f->state, memory_order_acquire) != IRR_STATE_RETURNED)
			break;
		from += f->bytes;
	}
	return from;
}

static bool put_frames(uint64_t from, uint64_t tail)
{
	_Atomic uint64_t *dir = (_Atomic uint64_t *)((uint8_t *)irr_spool + IRR_DIR);
	while (from < tail) {
		uint64_t segment = from >> IRR_SEGMENT_SHIFT, end = (segment + 1) << IRR_SEGMENT_SHIFT, i = segment % IRR_SLOTS;
		const uint8_t *at = irr_segment(segment);
		uint64_t entry = atomic_load(&dir[i]), within = from & (IRR_SEGMENT - 1);
		if (end > tail)
			end = tail;
		if (at && (!put(at + within, end - from, IRR_DATA + (entry & 0xffff) * IRR_SEGMENT + within) ||
			   !put(&dir[i], sizeof *dir, IRR_DIR + i * sizeof *dir)))
			return false;
		from = end;
	}
	return true;
}

/* Position in the spool up to which the log is as it stays. */
static uint64_t written;

/* Whoever reads the log asks its header how far it goes: that is written behind what it speaks of. */
static bool write_new(void)
{
	uint64_t tail = atomic_load(&irr_spool->tail), to = settled(written, tail);
	if (!put_frames(written, tail) || !put(irr_spool, sizeof *irr_spool, 0) || fdatasync(log_fd) != 0)
		return false;
	written = to;
	return true;
}

/* ---- who asks, and who writes ---- */

static void await(_Atomic uint32_t *word, uint32_t seen, long ns)
{
	struct timespec t = { .tv_nsec = ns };
	irr_sys(SYS_futex, (long)word, FUTEX_WAIT, seen, (long)&t, 0, 0);
}

/* Only the watcher has the log open: a descriptor of it could be in the way of the plan's. */
void durable_before_call(void)
{
	uint32_t mine = atomic_fetch_add(&shared->log_asked, 1) + 1, done;
	irr_sys(SYS_futex, (long)&shared->log_asked, FUTEX_WAKE, 1, 0, 0, 0);
	while ((int32_t)((done = atomic_load(&shared->log_done)) - mine) < 0)
		await(&shared->log_done, done, ASK_NS);
}

bool durable_serve(long ns)
{
	uint32_t asked = atomic_load(&shared->log_asked);
	if (asked == atomic_load(&shared->log_done)) {
		await(&shared->log_asked, asked, ns);
		/* The last call has returned, and none follows yet: that is worth knowing, too. */
		bool returned = settled(written, atomic_load(&irr_spool->tail)) != written;
		return asked != atomic_load(&shared->log_asked) || !returned || durable_finish();
	}
	/* What is not in the log is not made: those who wait for it wait on. */
	if (!durable_finish())
		return false;
	atomic_store(&shared->log_done, asked);
	irr_sys(SYS_futex, (long)&shared->log_done, FUTEX_WAKE, INT_MAX, 0, 0, 0);
	return true;
}

bool durable_finish(void)
{
	bool ok = write_new();
	if (!ok)
		fprintf(stderr, PROGRAM ": %s: %m\n", options.log);
	return ok;
}
