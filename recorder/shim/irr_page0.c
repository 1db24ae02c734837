/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the program has mapped page 0 of a VINTF, and its registers, read there. The shim has no mapping of its own: one
 * more would keep the vIOMMU from being destroyed. With `--mmio` what is read is the alias, which lives as long.
 *
 * A mapping is left alone from before the program takes it away; who does that waits for a read that is under way.
 */
#define _GNU_SOURCE
#include "irr_mmio.h"
#include "irr_queue.h"

#define WINDOWS 128u
#define PAGE UINT64_C(4096)

enum { FREE, MAKING, LIVE, GOING };

static struct window {
	_Atomic uint32_t state;
	_Atomic uint32_t readers;
	uint32_t file;
	uintptr_t from, to;
	uint64_t offset; /* of `from` in the file */
} windows[WINDOWS];
static _Atomic unsigned top;

static void add(uintptr_t from, uintptr_t to, uint64_t offset, uint32_t file)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		struct window *w = &windows[i];
		uint32_t none = FREE;
		if (!atomic_compare_exchange_strong(&w->state, &none, MAKING))
			continue;
		w->from = from;
		w->to = to;
		w->offset = offset;
		w->file = file;
		atomic_store(&w->state, LIVE);
		unsigned was = atomic_load(&top);
		while (was < i + 1 && !atomic_compare_exchange_weak(&top, &was, i + 1))
			;
		return;
	}
}

static uintptr_t up(uintptr_t n) { return (n + PAGE - 1) & ~(uintptr_t)(PAGE - 1); }

void irr_page0_mapped(uintptr_t from, size_t length, uint64_t offset, uint64_t known)
{
	if (irr_kind_of(known) == IRR_FILE_IOMMUFD)
		add(from, from + up(length), offset, irr_file_of(known));
}

/* Does memory hold a mapping of a part of a file? */
bool irr_page0_lies(uintptr_t from, size_t length, uint32_t file, uint64_t offset, uint64_t bytes)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned i = 0; i < n; i++) {
		struct window *w = &windows[i];
		if (atomic_load(&w->state) == LIVE && w->from < from + up(length) && w->to > from && w->file == file && w->offset < offset + bytes &&
		    w->offset + (w->to - w->from) > offset)
			return true;
	}
	return false;
}

/* Nobody begins to read there any more, and nobody does. */
void irr_page0_going(uintptr_t from, size_t length)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned i = 0; i < n; i++) {
		struct window *w = &windows[i];
		uint32_t live = LIVE;
		if (w->from >= from + up(length) || w->to <= from || !atomic_compare_exchange_strong(&w->state, &live, GOING))
			continue;
		while (atomic_load(&w->readers))
			if (!atomic_load_explicit(&irr_confined, memory_order_relaxed))
				irr_sys(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	}
}

/* `really`: it is not mapped any more, but for what lies outside. */
void irr_page0_gone(uintptr_t from, size_t length, bool really)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	uintptr_t to = from + up(length);
	for (unsigned i = 0; i < n; i++) {
		struct window *w = &windows[i];
		if (atomic_load(&w->state) != GOING || w->from >= to || w->to <= from)
			continue;
		struct window was = *w;
		atomic_store(&w->state, really ? FREE : LIVE);
		if (really && was.from < from)
			add(was.from, from, was.offset, was.file);
		if (really && was.to > to)
			add(to, was.to, was.offset + (to - was.from), was.file);
	}
}

/* Before irr_page0_gone of where it was: what was there is now at `to`, or there as well. */
void irr_page0_moved(uintptr_t from, uintptr_t to, size_t length)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned i = 0; i < n; i++) {
		struct window *w = &windows[i];
		uint32_t state = atomic_load(&w->state);
		if ((state == GOING || state == LIVE) && w->from <= from && from < w->to) {
			add(to, to + up(length), w->offset + (from - w->from), w->file);
			return;
		}
	}
}

/* The vIOMMU is gone. A mapping of it that is left (series before v3) shows nobody's registers. */
void irr_page0_forget(uint32_t file, uint64_t offset, uint64_t length)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned i = 0; i < n; i++) {
		struct window *w = &windows[i];
		uint32_t live = LIVE;
		if (w->file == file && w->offset >= offset && w->offset - offset < length)
			atomic_compare_exchange_strong(&w->state, &live, FREE);
	}
}

/* A window that was being read or taken away by another thread when this child was forked. */
void irr_page0_forked(void)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned i = 0; i < n; i++) {
		struct window *w = &windows[i];
		uint32_t going = GOING;
		atomic_store(&w->readers, 0);
		atomic_compare_exchange_strong(&w->state, &going, LIVE);
	}
}

/* Eight loads of 32 bits each, as the hardware wants them, CONS before PROD. */
static bool load(uintptr_t at, uint32_t *registers)
{
	struct irr_region region;
	if (!irr_mmio) {
		for (unsigned i = 0; i < IRR_REGISTERS; i++)
			registers[i] = ((volatile const uint32_t *)at)[i];
		return true;
	}
	if (irr_mmio_find(at, &region))
		at = region.alias + (at - region.from);
	for (unsigned i = 0; i < IRR_REGISTERS; i++)
		if (!irr_raw_load(4)(at + 4 * i, &registers[i]))
			return false;
	return true;
}

/* The registers at an offset of an iommufd's file. false: this process has not mapped them. */
bool irr_page0_read(uint32_t file, uint64_t offset, uint32_t *registers)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned i = 0; i < n; i++) {
		struct window *w = &windows[i];
		bool done = false;
		if (atomic_load(&w->state) != LIVE)
			continue;
		atomic_fetch_add(&w->readers, 1);
		if (atomic_load(&w->state) == LIVE && w->file == file && offset >= w->offset && offset - w->offset + 4 * IRR_REGISTERS <= w->to - w->from)
			done = load(w->from + (offset - w->offset), registers);
		atomic_fetch_sub(&w->readers, 1);
		if (done)
			return true;
	}
	return false;
}
