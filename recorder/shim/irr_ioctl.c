/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One ioctl of type ';'. The direction and size bits of these requests are zero, so the length of the argument comes from
 * the struct itself (its first u32, size or argsz), and what it points to from the generated table irr_uapi.gen.h. A
 * request that the table does not know is recorded all the same: its argument word, and as many bytes as its first u32
 * says, if that is readable.
 */
#define _GNU_SOURCE
#include "irr.h"
#include "irr_backing.h"
#include "irr_ioctl.h"
#include "irr_kvm.h"
#include "irr_queue.h"
#include "irr_uapi.gen.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define UNKNOWN_LIMIT 4096u

/* Where the rows of a request lie in the generated tables, which are sorted by (target, request). */
struct rows {
	uint16_t nested, nested_end;
	uint16_t fd_out, fd_out_end;
	uint16_t fixed; /* index + 1 */
};

static struct rows index_of[3][256]; /* target - 1, number */

static struct rows *rows_of(unsigned target, unsigned long request)
{
	return target >= 1 && target <= 3 && (request & ~0xffUL) == 0x3b00 ? &index_of[target - 1][request & 0xff] : NULL;
}

void irr_ioctl_init(void)
{
	for (unsigned i = 0; i < COUNT(irr_nested_table); i++) {
		struct rows *r = rows_of(irr_nested_table[i].target, irr_nested_table[i].request);
		if (!r)
			continue;
		if (!r->nested_end)
			r->nested = (uint16_t)i;
		r->nested_end = (uint16_t)(i + 1);
	}
	for (unsigned i = 0; i < COUNT(irr_fd_out_table); i++) {
		struct rows *r = rows_of(irr_fd_out_table[i].target, irr_fd_out_table[i].request);
		if (!r)
			continue;
		if (!r->fd_out_end)
			r->fd_out = (uint16_t)i;
		r->fd_out_end = (uint16_t)(i + 1);
	}
	for (unsigned i = 0; i < COUNT(irr_fixed_table); i++) {
		struct rows *r = rows_of(irr_fixed_table[i].target, irr_fixed_table[i].request);
		if (r)
			r->fixed = (uint16_t)(i + 1);
	}
}

/* The table speaks of what the descriptor is; a descriptor of unknown kind is taken for what the number suggests. */
static unsigned target_of(uint32_t kind, unsigned long request)
{
	switch (kind) {
	case IRR_FILE_IOMMUFD:
	case IRR_FILE_VFIO_CONTAINER:
		return 1;
	case IRR_FILE_VFIO_DEVICE:
		return 2;
	case IRR_FILE_VFIO_GROUP:
		return 3;
	default:
		return (request & 0xff) >= 0x80 ? 1 : 2;
	}
}

static uint64_t field(const uint8_t *in, uint32_t bytes, unsigned at, unsigned size)
{
	uint64_t v = 0;
	if (size && size <= 8 && at + size <= bytes)
		memcpy(&v, in + at, size);
	return v;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return b ? a / b + (a % b != 0) : 0;
}

static uint64_t length_of(const struct irr_nested *n, const uint8_t *in, uint32_t bytes)
{
	uint64_t a = field(in, bytes, n->a, n->a_size), b = field(in, bytes, n->b, n->b_size), product;
	switch (n->rule) {
	case IRR_LEN_FIELD:
		return __builtin_mul_overflow(a, (uint64_t)n->k, &product) ? UINT64_MAX : product;
	case IRR_LEN_PRODUCT:
		return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
	case IRR_LEN_FIXED:
		return n->k;
	case IRR_LEN_BITMAP:
		return 8 * divide_up(divide_up(a, b), 64);
	default:
		return 0;
	}
}

static unsigned find_nested(const struct rows *r, const uint8_t *in, uint32_t bytes, struct irr_buffer *out)
{
	unsigned count = 0;
	for (unsigned i = r->nested; i < r->nested_end && count < IRR_NESTED_MAX; i++) {
		const struct irr_nested *n = &irr_nested_table[i];
		if (bytes < n->need || (n->sel_size && (field(in, bytes, n->sel, n->sel_size) & n->sel_mask) != n->sel_value))
			continue;
		uint64_t at = field(in, bytes, n->ptr, n->ptr_size);
		uint64_t wanted = length_of(n, in, bytes);
		if (!at || !wanted)
			continue;
		out[count++] = (struct irr_buffer){ (const void *)(uintptr_t)at, wanted, wanted > IRR_CAPTURE_LIMIT ? IRR_CAPTURE_LIMIT : wanted, n->ptr, n->dir };
	}
	return count;
}

/* Room of a nested buffer in its frame. */
static uint32_t nested_room(const struct irr_buffer *n)
{
	return irr_room(n->take > IRR_INLINE_LIMIT ? 8 : n->take);
}

/* A part with what is readable at `from`. The room was reserved. */
static uint32_t memory_part(struct irr_call *c, enum irr_part_kind kind, unsigned flags, uint16_t slot, const void *from, uint64_t take, uint64_t wanted)
{
	struct irr_part *p = (struct irr_part *)c->at;
	if (take < wanted)
		flags |= IRR_PART_TRUNCATED;
	if (take > IRR_INLINE_LIMIT) {
		bool fault;
		uint64_t spilled = irr_spill(c, from, take, &fault);
		memcpy(irr_part(c, kind, flags | IRR_PART_SPILLED | (fault ? IRR_PART_FAULT : 0), slot, 8, wanted, (uintptr_t)from), &spilled, 8);
		return (uint32_t)spilled;
	}
	uint8_t *data = irr_part(c, kind, flags, slot, (uint32_t)take, wanted, (uintptr_t)from);
	size_t got = irr_copy(data, from, take);
	if (irr_unlikely(got < take)) {
		p->bytes = (uint32_t)got;
		p->flags |= IRR_PART_FAULT;
		size_t padded = (got + 7) & ~(size_t)7;
		memset(data + got, 0, padded - got);
		c->at = data + padded;
	}
	return (uint32_t)got;
}

static void fds_out(const struct rows *r, const uint8_t *out, uint32_t bytes, long ret)
{
	for (unsigned i = r->fd_out; i < r->fd_out_end; i++) {
		const struct irr_fd_out *o = &irr_fd_out_table[i];
		if (o->sel_size && field(out, bytes, o->sel, o->sel_size) != o->sel_value)
			continue;
		int fd = (int)ret;
		if (o->at != 0xffff) {
			if (o->at + 4u > bytes)
				continue;
			memcpy(&fd, out + o->at, 4);
		}
		if (fd >= 0)
			irr_found(fd, IRR_FOUND_CREATED, (enum irr_file)o->file, -1);
	}
}

/* How many bytes lie at the argument. 0: it is not a pointer, or there is nothing to read. */
static uint32_t argument(const struct rows *r, unsigned long request, const void *arg, bool *word, uint32_t *wanted)
{
	const struct irr_fixed *x = r && r->fixed ? &irr_fixed_table[r->fixed - 1] : NULL;
	uint32_t size = 0;
	*word = false;
	*wanted = 0;
	if ((request >> 8 & 0xff) == IRR_KVM_TYPE) {
		*wanted = irr_kvm_argument(request);
		*word = *wanted == 0;
		return *wanted;
	}
	if (x && (x->arg == 2 || x->arg == 3)) {
		*word = true;
		return 0;
	}
	if (x && x->arg == 4) {
		char name[256];
		*wanted = (uint32_t)irr_copy_string(name, sizeof name, arg) + 1;
		return *wanted;
	}
	if (x) {
		*wanted = x->bytes;
		return x->bytes;
	}
	bool known = (request & ~0xffUL) == 0x3b00 && (request & 0xff) >= 0x64 && (request & 0xff) <= 0xa0;
	*word = !known;
	if (irr_copy(&size, arg, 4) < 4) {
		*wanted = 4;
		/* Under a filter the struct may only be read after the call; its length is not known before. */
		return atomic_load_explicit(&irr_confined, memory_order_relaxed) ? 256 : known ? 4 : 0;
	}
	*wanted = size < 4 ? 4 : size;
	uint32_t limit = known ? IRR_STRUCT_LIMIT : UNKNOWN_LIMIT;
	return *wanted > limit ? limit : *wanted;
}

/* What the model is told of a call. */
void irr_ioctl_shape(uint32_t kind, unsigned long request, const void *arg, struct irr_shape *shape)
{
	const struct rows *r = rows_of(target_of(kind, request), request);
	uint8_t in[256];
	bool word;
	*shape = (struct irr_shape){ 0 };
	shape->bytes = argument(r, request, arg, &word, &shape->wanted);
	if (!r || !shape->bytes)
		return;
	uint32_t head = (uint32_t)irr_copy(in, arg, shape->bytes < sizeof in ? shape->bytes : sizeof in);
	shape->count = find_nested(r, in, head, shape->nested);
	for (unsigned i = r->fd_out; i < r->fd_out_end; i++) {
		const struct irr_fd_out *o = &irr_fd_out_table[i];
		if (!o->sel_size || (field(in, head, o->sel, o->sel_size) & o->sel_mask) == o->sel_value)
			shape->brings = (enum irr_file)o->file;
	}
}

/* What a call that cannot be recorded makes is followed all the same. */
static int unrecorded(int fd, unsigned long request, void *arg, int (*real)(int, unsigned long, ...), uint64_t t_enter, uint64_t known)
{
	uint8_t in[48], out[48];
	bool wanted = irr_queue_wants(request);
	int saved = errno;
	struct irr_called called = { .known = known, .in = in, .out = out, .entered = t_enter };
	if (wanted)
		called.in_bytes = (uint32_t)irr_copy(in, arg, sizeof in);
	errno = saved;
	int ret = real(fd, request, arg);
	saved = errno;
	if (wanted && ret >= 0) {
		called.out_bytes = (uint32_t)irr_copy(out, arg, sizeof out);
		called.returned = irr_now();
		irr_queue_called(request, &called);
	}
	errno = saved;
	return ret;
}

/* Records the call and makes it. Returns and sets errno as the kernel did. */
int irr_ioctl(int fd, unsigned long request, void *arg, int (*real)(int, unsigned long, ...))
{
	int saved = errno;
	if (irr_unlikely(request == 0x3b80 && irr_hw_queues != NULL))
		irr_queue_destroying(irr_fd(fd), arg);
	char backing[IRR_BACKING_ROOM];
	size_t backing_bytes = irr_backing(request, arg, backing);
	uint64_t t_enter = irr_now();
	uint64_t known = irr_fd(fd);
	if (irr_unlikely(!known) && fd >= 0)
		known = irr_found(fd, IRR_FOUND_IN_USE, IRR_FILE_UNKNOWN, -1);
	const struct rows *r = rows_of(target_of(irr_kind_of(known), request), request);
	bool word;
	uint32_t wanted, bytes = argument(r, request, arg, &word, &wanted);
	/* The struct is needed before there is a place for it, to know how much room its buffers take. */
	struct irr_buffer nested[IRR_NESTED_MAX];
	unsigned count = 0;
	if (r && r->nested_end && bytes) {
		uint8_t in[256];
		uint32_t head = bytes < sizeof in ? bytes : sizeof in;
		head = (uint32_t)irr_copy(in, arg, head);
		count = find_nested(r, in, head, nested);
	}
	uint32_t room = (word ? irr_room(8) : 0) + (bytes ? 2 * irr_room(bytes) : 0) + (backing_bytes ? irr_room(backing_bytes) : 0);
	for (unsigned i = 0; i < count; i++)
		room += (nested[i].dir == 3 ? 2 : 1) * nested_room(&nested[i]);

	struct irr_call c;
	if (irr_unlikely(!irr_begin(&c, IRR_KIND_IOCTL, room, t_enter))) {
		errno = saved;
		return unrecorded(fd, request, arg, real, t_enter, known);
	}
	c.frame->fd = fd;
	c.frame->file = irr_file_of(known);
	c.frame->flags |= (uint16_t)(irr_kind_of(known) << IRR_FLAG_FILE_SHIFT);
	c.frame->request = (uint32_t)request;
	if (word) {
		uint64_t v = (uintptr_t)arg;
		memcpy(irr_part(&c, IRR_PART_ARGS, 0, 0, 8, 8, 0), &v, 8);
	}
	uint32_t got = 0;
	const uint8_t *in = c.at + sizeof(struct irr_part);
	if (bytes) {
		struct irr_part *p = (struct irr_part *)c.at;
		got = memory_part(&c, IRR_PART_IN, 0, 0, arg, bytes, wanted > bytes ? wanted : bytes);
		if (wanted < bytes)
			p->wanted = wanted;
	}
	for (unsigned i = 0; i < count; i++)
		if (nested[i].dir & 1)
			memory_part(&c, IRR_PART_NESTED_IN, 0, nested[i].slot, nested[i].from, nested[i].take, nested[i].wanted);
	if (backing_bytes)
		memcpy(irr_part(&c, IRR_PART_TEXT, 0, 0, (uint32_t)backing_bytes, backing_bytes, 0), backing, backing_bytes);
	irr_enter(&c);

	errno = saved;
	int ret = real(fd, request, arg);
	int error = ret < 0 ? errno : 0;
	saved = errno;
	c.frame->t_exit = irr_now();

	const uint8_t *out = c.at + sizeof(struct irr_part);
	uint32_t out_bytes = 0;
	if (bytes && (got || error != EFAULT))
		out_bytes = memory_part(&c, IRR_PART_OUT, got ? 0 : IRR_PART_LATE, 0, arg, bytes, wanted > bytes ? wanted : bytes);
	for (unsigned i = 0; i < count; i++)
		if (nested[i].dir & 2)
			memory_part(&c, IRR_PART_NESTED_OUT, 0, nested[i].slot, nested[i].from, nested[i].take, nested[i].wanted);
	irr_leave(&c, ret, error);
	if (r && r->fd_out_end && !error)
		fds_out(r, out, out_bytes, ret);
	if (irr_unlikely(irr_queue_wants(request)) && !error) {
		struct irr_called called = { known, in, out, got, out_bytes, t_enter, c.frame->t_exit };
		irr_queue_called(request, &called);
	}
	errno = saved;
	return ret;
}
