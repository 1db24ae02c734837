/* SPDX-License-Identifier: GPL-2.0-only */
/* The steps of a plan: whether they are what may be issued, and all that they refer to is there. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>

#include "irr_frame.h"
#include "plan_check.h"

const struct irr_plan_part *plan_part(const struct irr_plan_step *s, unsigned kind, int slot)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		if (p->kind == kind && (slot < 0 || p->slot == slot))
			return p;
	}
	return NULL;
}

static uint64_t words(const struct irr_plan_step *s)
{
	const struct irr_plan_part *p = plan_part(s, IRR_PART_ARGS, -1);
	return p ? p->bytes / 8 : 0;
}

static uint64_t word(const struct irr_plan_step *s, unsigned i)
{
	uint64_t v;
	memcpy(&v, plan.data + plan_part(s, IRR_PART_ARGS, -1)->data + 8 * i, 8);
	return v;
}

static bool is(const uint8_t *text, uint32_t bytes, const char *what) { return bytes == strlen(what) && memcmp(text, what, bytes) == 0; }

/* What names of devices are made of. */
static const char name_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_.:-";

/* Nothing but iommufd and VFIO is opened, and nothing is made or emptied. */
static bool may_open(const struct irr_plan_step *s)
{
	const struct irr_plan_part *p = plan_part(s, IRR_PART_TEXT, 0);
	if (!p || p->bytes >= 4096)
		return false;
	const uint8_t *path = plan.data + p->data;
	for (uint32_t i = 0; i < p->bytes; i++)
		if (!strchr(name_bytes, path[i]) || path[i] == 0 || (path[i] == '.' && i + 1 < p->bytes && path[i + 1] == '.'))
			return false;
	if (word(s, 1) & (O_CREAT | O_TRUNC | O_TMPFILE))
		return false;
	if (is(path, p->bytes, "/dev/iommu")) {
		if (s->error == 0)
			plan.needs_iommufd = true;
		return true;
	}
	if (!is(path, p->bytes, "/dev/vfio/vfio"))
		plan.does |= IRR_PLAN_VFIO;
	return p->bytes > 10 && memcmp(path, "/dev/vfio/", 10) == 0;
}

/* Of each kind: how many words of ARGS it needs. */
static int words_needed(const struct irr_plan_step *s)
{
	switch (s->kind) {
	case IRR_KIND_OPEN:
		return 3;
	case IRR_KIND_CLOSE:
		return s->request == IRR_CLOSE_CLOSE ? 0 : 3;
	case IRR_KIND_DUP:
	case IRR_KIND_MUNMAP:
	case IRR_KIND_READ:
	case IRR_KIND_WRITE:
		return 2;
	case IRR_KIND_MMAP:
	case IRR_KIND_MREMAP:
		return 5;
	case IRR_KIND_MMIO:
		return (s->request & 0xf) == IRR_MMIO_BOTH ? 6 : 5;
	case IRR_KIND_SENDFD:
		return 1;
	case IRR_KIND_IOCTL:
	case IRR_KIND_FORK:
	case IRR_KIND_START:
	case IRR_KIND_EXIT:
	case IRR_KIND_EXEC:
		return 0;
	case IRR_KIND_FD:
		return s->request == IRR_FOUND_PIDFD ? 4 : 0;
	default:
		return -1;
	}
}

static const char *check_kind(const struct irr_plan_step *s)
{
	int needed = words_needed(s);
	if (needed < 0)
		return "a call that is not issued";
	if (words(s) < (unsigned)needed)
		return "its arguments are not there";
	const struct irr_plan_part *in = plan_part(s, IRR_PART_IN, -1);
	if (in && in->bytes > (s->kind == IRR_KIND_IOCTL ? MOST_STRUCT : MOST_TRANSFER))
		return "more bytes than such a call has";
	switch (s->kind) {
	case IRR_KIND_IOCTL:
		if ((s->request >> 8 & 0xff) != 0x3b)
			return "an ioctl of neither iommufd nor VFIO";
		break;
	case IRR_KIND_OPEN:
		if (!may_open(s))
			return "it opens something other than iommufd and VFIO";
		break;
	case IRR_KIND_READ:
	case IRR_KIND_WRITE:
		if (word(s, 0) > MOST_TRANSFER || s->request < IRR_RW_PLAIN || s->request > IRR_RW_POSITION_VECTOR)
			return "more bytes than such a call has";
		break;
	case IRR_KIND_FORK:
		if (s->peer != -1 && ((uint32_t)s->peer >= plan.n_processes || s->peer < 0))
			return "its child is not there";
		break;
	case IRR_KIND_FD:
		if (s->request != IRR_FOUND_INHERITED && s->request != IRR_FOUND_RECEIVED && s->request != IRR_FOUND_PIDFD)
			return "a call that is not issued";
		if (s->peer != -1 && (s->peer < 0 || (uint32_t)s->peer >= plan.n_steps || plan.steps[s->peer].kind != IRR_KIND_SENDFD))
			return "nobody sends what it receives";
		break;
	case IRR_KIND_MMIO: {
		plan.does |= IRR_PLAN_MMIO;
		uint64_t width = word(s, 2);
		if ((width != 1 && width != 2 && width != 4 && width != 8) || s->request > IRR_MMIO_BOTH)
			return "an access that is not made";
		break;
	}
	}
	return NULL;
}

static const char *check_numbers(const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		if (!inside(p->data, p->bytes, count_of(IRR_PLAN_DATA)))
			return "bytes that are not there";
		if (p->kind != IRR_PART_IN && p->kind != IRR_PART_NESTED_IN && p->kind != IRR_PART_ARGS && p->kind != IRR_PART_TEXT)
			return "a part that is no question";
	}
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		if (u->symbol >= plan.n_symbols || (u->width != 1 && u->width != 2 && u->width != 4 && u->width != 8) || u->in > IRR_IN_PART)
			return "a number that stands for nothing";
		if (u->in == IRR_IN_PART && (u->part >= s->parts || !inside(u->offset, u->width, plan.parts[s->part + u->part].bytes)))
			return "a number that is not in it";
	}
	for (uint32_t i = 0; i < s->defines; i++) {
		const struct irr_plan_define *d = &plan.defines[s->define + i];
		if (d->symbol >= plan.n_symbols || (d->width != 1 && d->width != 2 && d->width != 4 && d->width != 8) || d->in > IRR_IN_NESTED ||
		    d->in == IRR_IN_PART)
			return "an answer that is no number";
	}
	for (uint32_t i = 0; i < s->ends; i++)
		if (plan.ends[s->end + i] >= plan.n_symbols)
			return "it ends what is not there";
	return NULL;
}

static const char *check_memory(const struct irr_plan_memory *m)
{
	if (m->symbol < plan.n_symbols && m->how == IRR_MEMORY_IN_FILE) {
		const struct irr_plan_symbol *f = &plan.symbols[m->symbol];
		if (f->sort != IRR_SORT_FD || f->what != IRR_MADE_MEMORY || !inside(m->offset, m->bytes, f->bytes))
			return "memory of a file that is not there";
		return inside(m->data, m->bytes, count_of(IRR_PLAN_DATA)) ? NULL : "bytes that are not there";
	}
	if (m->symbol >= plan.n_symbols || plan.symbols[m->symbol].sort != IRR_SORT_MEMORY)
		return "memory that is not there";
	if (!inside(m->offset, m->bytes, plan.regions[plan.symbols[m->symbol].region].bytes))
		return "memory that is not there";
	if (m->how == IRR_MEMORY_BYTES)
		return inside(m->data, m->bytes, count_of(IRR_PLAN_DATA)) ? NULL : "bytes that are not there";
	if (m->how == IRR_MEMORY_HUGE) {
		bool page = m->data > PAGE && m->data <= UINT64_C(1) << MOST_SHIFT && (m->data & (m->data - 1)) == 0;
		return page && m->offset % PAGE == 0 && m->bytes % m->data == 0 && m->bytes ? NULL : "memory that cannot be of huge pages";
	}
	if ((m->how != IRR_MEMORY_AWAY && m->how != IRR_MEMORY_FILE) || m->offset % PAGE || m->bytes % PAGE || m->bytes == 0)
		return "memory that cannot be like that";
	if (m->how == IRR_MEMORY_FILE &&
	    (m->data % PAGE || m->data > MOST_REGION || m->file >= plan.n_symbols || plan.symbols[m->file].sort != IRR_SORT_FD))
		return "memory of a file that is not there";
	return NULL;
}

const char *check_steps(void)
{
	for (uint32_t i = 0; i < plan.n_steps; i++) {
		const struct irr_plan_step *s = &plan.steps[i];
		if (s->process >= plan.n_processes || s->thread >= plan.processes[s->process].threads)
			return bad("step %u: nobody makes it", i);
		if (plan.processes[s->process].fork_step >= (int64_t)i)
			return bad("step %u: its process is not there yet", i);
		if (!inside(s->part, s->parts, count_of(IRR_PLAN_PARTS)) || !inside(s->use, s->uses, count_of(IRR_PLAN_USES)) ||
		    !inside(s->define, s->defines, count_of(IRR_PLAN_DEFINES)) || !inside(s->overlap, s->overlaps, count_of(IRR_PLAN_OVERLAPS)) ||
		    !inside(s->end, s->ends, count_of(IRR_PLAN_ENDS)) || !inside(s->memory, s->memories, count_of(IRR_PLAN_MEMORIES)))
			return bad("step %u: what it refers to is not there", i);
		for (uint32_t k = 0; k < s->overlaps; k++)
			if (plan.overlaps[s->overlap + k] >= i)
				return bad("step %u: it overlaps one that is not there yet", i);
		const char *wrong = check_numbers(s);
		for (uint32_t k = 0; k < s->memories && !wrong; k++)
			wrong = check_memory(&plan.memories[s->memory + k]);
		if (!wrong)
			wrong = check_kind(s);
		if (wrong)
			return bad("step %u (event %llu, %s): %s", i, (unsigned long long)s->seq, kind_name(s->kind), wrong);
	}
	return NULL;
}
