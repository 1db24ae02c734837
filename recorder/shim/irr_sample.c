/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading a hardware queue: its registers, then the commands in its memory that were not told yet.
 *
 * One thread reads a queue at a time. Whoever comes meanwhile leaves word what it wants, and goes on; who reads sees to it
 * before it goes. So nobody waits in a signal handler, and the frames of a queue lie in the order of its commands.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "irr_mmio.h"
#include "irr_queue.h"

#define ENTRIES 4096u /* in a frame, at most */
#define INDEX_BITS 0xfffffu /* RD and WR */

enum { CONS, PROD, CONFIG };

/* ---- memory ---- */

static size_t from_file(const struct irr_extent *e, uint64_t at, uint8_t *to, size_t bytes)
{
	struct stat st;
	if (atomic_load_explicit(&irr_confined, memory_order_relaxed) || fstat(e->fd, &st) != 0 || st.st_dev != e->device || st.st_ino != e->inode)
		return 0;
	long n = irr_sys(SYS_pread64, e->fd, (long)to, (long)bytes, (long)at, 0, 0);
	return n < 0 ? 0 : (size_t)n;
}

/* With faults in our hands no system call is needed, and what a filter forbids is read all the same. */
static size_t from_memory(uint64_t at, uint8_t *to, size_t bytes)
{
	if (!irr_mmio)
		return irr_copy(to, (const void *)(uintptr_t)at, bytes);
	uintptr_t from = irr_mmio_alias((uintptr_t)at, bytes);
	for (size_t done = 0; done < bytes; done += 8)
		if (!irr_raw_load(8)(from + done, to + done))
			return done & ~(size_t)(IRR_ENTRY - 1);
	return bytes;
}

static size_t from_process(const struct irr_extent *e, uint64_t at, uint8_t *to, size_t bytes)
{
	struct iovec local = { to, bytes }, remote = { (void *)(uintptr_t)at, bytes };
	if (atomic_load_explicit(&irr_confined, memory_order_relaxed))
		return 0;
	long n = irr_sys(SYS_process_vm_readv, e->pid, (long)&local, 1, (long)&remote, 1, 0);
	return n < 0 ? 0 : (size_t)n;
}

/* Bytes of a queue's memory, as many as can be read, front to back. Multiples of an entry, and so of 8. */
static size_t read_memory(const struct irr_hw_queue *q, uint64_t at, uint8_t *to, size_t bytes)
{
	uint32_t self = atomic_load_explicit(&irr_self->pid, memory_order_relaxed);
	size_t done = 0;
	uint64_t begin = 0;
	for (unsigned i = 0; i < q->extents && done < bytes; begin += q->extent[i++].bytes) {
		const struct irr_extent *e = &q->extent[i];
		if (at + done >= begin + e->bytes)
			continue;
		uint64_t skip = at + done - begin;
		size_t piece = e->bytes - skip < bytes - done ? e->bytes - skip : bytes - done, got = 0;
		if (e->fd >= 0)
			got = e->pid == self ? from_file(e, e->address + skip, to + done, piece) : 0;
		else if (e->pid == self)
			got = from_memory(e->address + skip, to + done, piece);
		else if (e->pid)
			got = from_process(e, e->address + skip, to + done, piece);
		done += got;
		if (got < piece)
			break;
	}
	return done & ~(size_t)(IRR_ENTRY - 1);
}

/* Entries from an index on, past the queue's end at its start again. Returns how many could be read. */
static uint32_t read_entries(const struct irr_hw_queue *q, uint32_t first, uint32_t count, uint8_t *to)
{
	uint32_t size = 1u << q->log2, index = first & (size - 1), done = 0;
	while (done < count) {
		uint32_t piece = size - index < count - done ? size - index : count - done;
		uint32_t got = (uint32_t)(read_memory(q, (uint64_t)index * IRR_ENTRY, to + (size_t)done * IRR_ENTRY, (size_t)piece * IRR_ENTRY) / IRR_ENTRY);
		done += got;
		if (got < piece)
			break;
		index = 0;
	}
	return done;
}

/* ---- a frame ---- */

static bool registers_of(const struct irr_hw_queue *q, uint32_t *registers)
{
	uint64_t at = (uint64_t)q->index * IRR_QUEUE_STRIDE;
	return at + IRR_QUEUE_STRIDE <= q->length && irr_page0_read(q->file, q->offset + at, registers);
}

/* `registers`: NULL where nobody has mapped them. */
static void tell(struct irr_hw_queue *q, unsigned why, uint32_t first, uint32_t count, const uint32_t *registers)
{
	struct irr_call c;
	uint32_t mask = (2u << q->log2) - 1, bytes = count * IRR_ENTRY, later[IRR_REGISTERS];
	if (!irr_begin(&c, IRR_KIND_QUEUE, irr_room(32) + irr_room(bytes) + irr_room(4 * IRR_REGISTERS), irr_now()))
		return;
	c.frame->request = why;
	c.frame->file = q->file;
	c.frame->flags |= IRR_FILE_IOMMUFD << IRR_FLAG_FILE_SHIFT;
	uint64_t args[4] = { q->id, q->index, q->log2, first };
	uint8_t *words = irr_part(&c, IRR_PART_ARGS, 0, 0, sizeof args, sizeof args, 0);
	struct irr_part *part = (struct irr_part *)c.at;
	uint8_t *data = irr_part(&c, IRR_PART_OUT, 0, 0, bytes, bytes, q->extents && q->extent[0].fd < 0 ? q->extent[0].address : 0);
	uint32_t got = read_entries(q, first, count, data);
	/* The program may have gone round the queue meanwhile: what it wrote over is not what it was. */
	if (count && registers && registers_of(q, later)) {
		uint32_t ahead = (later[PROD] - first) & mask, size = 1u << q->log2;
		uint32_t over = ((later[PROD] ^ registers[PROD]) & INDEX_BITS & mask) && ahead > size ? ahead - size : 0;
		over = over < got ? over : got;
		memmove(data, data + (size_t)over * IRR_ENTRY, (size_t)(got - over) * IRR_ENTRY);
		args[3] = (first + over) & mask;
		part->wanted -= (uint64_t)over * IRR_ENTRY;
		count -= over;
		got -= over;
	}
	memcpy(words, args, sizeof args);
	part->bytes = got * IRR_ENTRY;
	if (got < count || !q->extents)
		part->flags |= IRR_PART_FAULT;
	c.at = data + part->bytes;
	if (registers)
		memcpy(irr_part(&c, IRR_PART_OUT, 0, 1, 4 * IRR_REGISTERS, 4 * IRR_REGISTERS, 0), registers, 4 * IRR_REGISTERS);
	irr_enter(&c);
	c.frame->t_exit = irr_now();
	irr_leave(&c, 0, 0);
}

/* In frames of ENTRIES; one at least. */
static void tell_all(struct irr_hw_queue *q, unsigned why, uint32_t first, uint32_t count, const uint32_t *registers)
{
	uint32_t mask = (2u << q->log2) - 1;
	do {
		uint32_t piece = count < ENTRIES ? count : ENTRIES;
		tell(q, why, first, piece, registers);
		first = (first + piece) & mask;
		count -= piece;
	} while (count);
}

/* ---- what is new ---- */

static void look(struct irr_hw_queue *q, unsigned why)
{
	uint32_t size = 1u << q->log2, mask = 2 * size - 1, registers[IRR_REGISTERS];
	if (!registers_of(q, registers)) {
		if (why != IRR_QUEUE_PERIODIC && why != IRR_QUEUE_SET)
			tell(q, why, q->seen, 0, NULL);
		return;
	}
	uint32_t cons = registers[CONS] & INDEX_BITS & mask, prod = registers[PROD] & INDEX_BITS & mask;
	uint32_t pending = (prod - cons) & mask, fresh, first;
	bool on = registers[CONFIG] & 1;
	fresh = (prod - q->seen) & mask;
	first = q->seen;
	if (fresh > size) { /* it was set back: what was seen is none of it */
		first = cons;
		fresh = pending <= size ? pending : 0;
	}
	/* Who asks because something is wrong gets what the hardware has before it, told or not. */
	if ((why == IRR_QUEUE_ERROR || why == IRR_QUEUE_DESTROY) && pending <= size && pending > fresh) {
		first = cons;
		fresh = pending;
	}
	/* While it is off the program sets its indexes; when it is turned on the hardware begins at CONS. */
	if (!on || why == IRR_QUEUE_ALLOC) {
		first = cons;
		fresh = 0;
	}
	bool same = q->told && !fresh && memcmp(registers, q->last, sizeof q->last) == 0;
	if (why == IRR_QUEUE_SET ? fresh != 0 : why != IRR_QUEUE_PERIODIC || !same)
		tell_all(q, why == IRR_QUEUE_SET ? IRR_QUEUE_PROD : why, first, fresh, registers);
	memcpy(q->last, registers, sizeof q->last);
	q->told = 1;
	q->seen = on ? prod : cons;
}

/* Has who is reading it died there? Queues are shared with children. */
static bool gone(uint64_t who)
{
	uint32_t pid = (uint32_t)(who >> 32);
	return pid != atomic_load_explicit(&irr_self->pid, memory_order_relaxed) && !atomic_load_explicit(&irr_confined, memory_order_relaxed) &&
	       irr_sys(SYS_kill, pid, 0, 0, 0, 0, 0) == -ESRCH;
}

static void give_way(unsigned tries)
{
	if (tries > 100 && !atomic_load_explicit(&irr_confined, memory_order_relaxed))
		irr_sys(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* Lets go of a queue that was destroyed, once nobody reads it; where somebody does not end, its place is given up. */
void irr_queue_release(struct irr_hw_queue *q)
{
	uint64_t none = 0;
	for (unsigned tries = 0; !atomic_compare_exchange_strong(&q->sampling, &none, UINT64_MAX); none = 0) {
		if (++tries > 100000) {
			atomic_store(&q->state, IRR_GIVEN_UP);
			return;
		}
		give_way(tries);
	}
	atomic_store(&q->wanted, 0);
	atomic_store(&q->state, IRR_NONE);
	atomic_store(&q->sampling, 0);
}

/* `now`: it is read when this returns, if that can be. */
void irr_queue_sample(struct irr_hw_queue *q, unsigned why, bool now)
{
	uint64_t self = (uint64_t)atomic_load_explicit(&irr_self->pid, memory_order_relaxed) << 32 | (uint32_t)(uintptr_t)&irr_thread;
	atomic_fetch_or(&q->wanted, 1u << why);
	for (unsigned tries = 0; atomic_load(&q->wanted);) {
		uint64_t who = 0;
		if (!atomic_compare_exchange_strong(&q->sampling, &who, self)) {
			if (who == self || (!gone(who) && (!now || ++tries > 10000)))
				return;
			if (gone(who))
				atomic_compare_exchange_strong(&q->sampling, &who, 0);
			give_way(tries);
			continue;
		}
		uint32_t wanted = atomic_exchange(&q->wanted, 0);
		if (atomic_load(&q->state) == IRR_LIVE)
			for (unsigned w = IRR_QUEUE_ALLOC; w <= IRR_QUEUE_SET; w++)
				if (wanted & 1u << w)
					look(q, w);
		atomic_store(&q->sampling, 0);
	}
}

/* ---- now ---- */

/* A handler of the program's would find a mapping half read. Faults stay ours. */
static void hold(sigset_t *before)
{
	sigset_t all;
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGTRAP);
	irr_sys(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)before, 8, 0, 0);
}

void irr_queue_read(struct irr_hw_queue *q, enum irr_queue why)
{
	bool confined = atomic_load_explicit(&irr_confined, memory_order_relaxed);
	sigset_t before;
	if (!confined)
		hold(&before);
	irr_queue_sample(q, why, true);
	if (!confined)
		irr_sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8, 0, 0);
}

/* A store through a mapping was trapped, and has been made. */
void irr_queue_stored(uint64_t known, uint64_t offset, unsigned width)
{
	for (unsigned i = 0; i < irr_hw_queues_used(); i++) {
		struct irr_hw_queue *q = &irr_hw_queues[i];
		if (atomic_load_explicit(&q->state, memory_order_acquire) != IRR_LIVE || q->file != irr_file_of(known))
			continue;
		uint64_t at = offset - (q->offset + (uint64_t)q->index * IRR_QUEUE_STRIDE); /* of the store, in the queue's registers */
		if (!q->length || (at >= 12 && -at >= width))
			continue;
		bool prod = at < 8 ? at + width > 4 : at >= 12;
		irr_queue_sample(q, prod ? IRR_QUEUE_PROD : IRR_QUEUE_SET, false);
	}
}

/* Before the process ends, and with it what it made. A child that ends leaves its parent's queues. */
void irr_queue_exit(void)
{
	for (unsigned i = 0; !irr_thread.vfork && i < irr_hw_queues_used(); i++) {
		struct irr_hw_queue *q = &irr_hw_queues[i];
		if (atomic_load(&q->state) == IRR_LIVE && q->pid == atomic_load(&irr_self->pid))
			irr_queue_read(q, IRR_QUEUE_DESTROY);
	}
}

/* Before memory is taken away: registers that lie there are read for the last time. */
void irr_queue_unmapping(uintptr_t from, size_t length)
{
	for (unsigned i = 0; i < irr_hw_queues_used(); i++) {
		struct irr_hw_queue *q = &irr_hw_queues[i];
		if (atomic_load(&q->state) == IRR_LIVE && irr_page0_lies(from, length, q->file, q->offset, q->length))
			irr_queue_read(q, IRR_QUEUE_PERIODIC);
	}
	irr_page0_going(from, length);
}
