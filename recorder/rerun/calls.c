/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each kind of step: its call with the numbers of this run, and its frame, which is in the spool before the call is made. The
 * frames are those that the capture library writes of such calls. Here: what all share, ioctls. The others: files.c, maps.c,
 * processes.c; issue.c says which is which.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "calls.h"
#include "irr_ioctl.h"

#define MOST_STRUCT_ROOM (UINT64_C(2) << 20)

static __thread const struct irr_plan_step *current;

/* ---- what is asked ---- */

/* Puts the numbers of this run into a part's bytes. */
void relocate(const struct irr_plan_step *s, const struct irr_plan_part *p, uint8_t *bytes)
{
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		if (u->in != IRR_IN_PART || &plan.parts[s->part + u->part] != p)
			continue;
		uint64_t v = use_value(u);
		memcpy(bytes + u->offset, &v, u->width);
	}
}

bool uses_word(const struct irr_plan_step *s, unsigned word)
{
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		if (u->in == IRR_IN_PART && plan.parts[s->part + u->part].kind == IRR_PART_ARGS && u->offset == 8 * word)
			return true;
	}
	return false;
}

/* ---- frames ---- */

bool frame_begin(struct irr_call *f, const struct call *c, uint32_t more)
{
	if (!irr_begin(f, (enum irr_kind)c->step->kind, (c->words ? irr_room(8 * c->words) : 0) + more, irr_now()))
		return false;
	f->frame->request = c->step->request;
	f->frame->fd = c->fd;
	f->frame->file = irr_file_of(c->known);
	f->frame->flags |= (uint16_t)(irr_kind_of(c->known) << IRR_FLAG_FILE_SHIFT);
	if (c->words)
		memcpy(irr_part(f, IRR_PART_ARGS, 0, 0, 8 * c->words, 8 * c->words, 0), c->word, 8 * c->words);
	return true;
}

void frame_part(struct irr_call *f, enum irr_part_kind kind, unsigned slot, const void *bytes, uint64_t count, uint64_t wanted)
{
	memcpy(irr_part(f, kind, count < wanted ? IRR_PART_TRUNCATED : 0, (uint16_t)slot, (uint32_t)count, wanted, (uintptr_t)bytes), bytes, count);
}

void frame_texts(struct irr_call *f, const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		if (p->kind == IRR_PART_TEXT)
			frame_part(f, IRR_PART_TEXT, p->slot, plan.data + p->data, p->bytes, p->bytes);
	}
}

uint32_t frame_texts_room(const struct irr_plan_step *s)
{
	uint32_t room = 0;
	for (uint32_t i = 0; i < s->parts; i++)
		if (plan.parts[s->part + i].kind == IRR_PART_TEXT)
			room += irr_room(plan.parts[s->part + i].bytes);
	return room;
}

void frame_enter(struct irr_call *f, const struct call *c)
{
	irr_enter(f);
	before_call(c->step);
}

void frame_leave(struct irr_call *f, struct call *c, long ret)
{
	f->frame->t_exit = irr_now();
	c->error = ret < 0 && ret >= -4095 ? (int)-ret : 0;
	c->ret = c->error ? -1 : ret;
	irr_leave(f, c->ret, c->error);
}

/* ---- ioctl ---- */

/* The capture library makes the call through this, when it has entered the frame. */
static int real_ioctl(int fd, unsigned long request, ...)
{
	__builtin_va_list ap;
	__builtin_va_start(ap, request);
	void *arg = __builtin_va_arg(ap, void *);
	__builtin_va_end(ap);
	before_call(current);
	return (int)irr_sys_errno(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0);
}

/* Is the number at an offset of the struct an address of memory that the plan has? */
static bool is_pointer(const struct irr_plan_step *s, uint16_t slot)
{
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		unsigned sort = plan.symbols[u->symbol].sort;
		if (u->in == IRR_IN_PART && plan.parts[s->part + u->part].kind == IRR_PART_IN && u->offset == slot && u->width == 8)
			return sort == IRR_SORT_MEMORY || sort == IRR_SORT_MAPPING;
	}
	return false;
}

/* The buffers that the struct points to, as they were before the call. */
static void fill_buffers(const struct irr_plan_step *s, const uint8_t *in, uint32_t bytes)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		uint64_t at;
		if (p->kind != IRR_PART_NESTED_IN || p->bytes == 0 || p->slot + 8u > bytes || !is_pointer(s, p->slot))
			continue;
		memcpy(&at, in + p->slot, 8);
		uint8_t *copy = malloc(p->bytes);
		if (!copy)
			continue;
		memcpy(copy, plan.data + p->data, p->bytes);
		relocate(s, p, copy);
		store(at, copy, p->bytes);
		free(copy);
	}
}

/* Numbers that the kernel wrote behind pointers of the struct. */
static void define_buffers(const struct irr_plan_step *s, const uint8_t *in, uint32_t bytes)
{
	for (uint32_t i = 0; i < s->defines; i++) {
		const struct irr_plan_define *d = &plan.defines[s->define + i];
		uint8_t number[8] = { 0 };
		uint64_t at, v = 0;
		if (d->in != IRR_IN_NESTED || d->part + 8u > bytes)
			continue;
		memcpy(&at, in + d->part, 8);
		if (!load(number, at + d->offset, d->width))
			continue;
		memcpy(&v, number, 8);
		atomic_store(&tables.value[d->symbol], v);
		atomic_store(&tables.live[d->symbol], 1);
	}
}

static void *argument(const struct irr_plan_step *s, uint32_t *bytes)
{
	const struct irr_plan_part *in = plan_part(s, IRR_PART_IN, -1), *args = plan_part(s, IRR_PART_ARGS, -1);
	*bytes = 0;
	if (!in) {
		uint64_t word = 0;
		if (args && args->bytes >= 8) {
			memcpy(&word, plan.data + args->data, 8);
			relocate(s, args, (uint8_t *)&word);
		}
		return (void *)word;
	}
	bool fault = in->flags & IRR_PART_FAULT;
	if (fault && in->bytes == 0 && in->address < PAGE)
		return (void *)in->address;
	uint64_t room = !fault && in->wanted > in->bytes && in->wanted <= MOST_STRUCT_ROOM ? in->wanted : in->bytes;
	uint8_t *at = scratch(0, room, fault);
	memset(at, 0, room);
	memcpy(at, plan.data + in->data, in->bytes);
	relocate(s, in, at);
	*bytes = in->bytes;
	return at;
}

bool ioctl_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	uint32_t bytes;
	uint8_t *arg = argument(s, &bytes);
	uint8_t *before = NULL;
	if (bytes) {
		before = scratch(1, bytes, false);
		memcpy(before, arg, bytes);
		fill_buffers(s, before, bytes);
	}
	current = s;
	errno = 0;
	int ret = irr_ioctl(c->fd, s->request, arg, real_ioctl);
	c->error = ret < 0 ? errno : 0;
	c->ret = ret;
	if (c->error)
		return true;
	define(s, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
	if (bytes) {
		define(s, IRR_IN_OUT, 0, arg, bytes);
		define_buffers(s, before, bytes);
	}
	return true;
}
