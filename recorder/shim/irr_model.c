/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls on the model's files: asked of the recorder, which has the rules (irr_model.h). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "irr.h"
#include "irr_ioctl.h"
#include "irr_talk.h"

#define PAGE 4096u

/* ---- ioctl ---- */

/* What lies behind the part of a struct that goes along; all of it must be zero. */
static uint32_t tail_of(const uint8_t *arg, uint32_t from, uint32_t to)
{
	uint8_t piece[256];
	while (from < to) {
		uint32_t take = to - from < sizeof piece ? to - from : (uint32_t)sizeof piece;
		size_t got = irr_copy(piece, arg + from, take);
		for (size_t i = 0; i < got; i++)
			if (piece[i])
				return IRR_MODEL_NOT_ZERO;
		if (got < take)
			return IRR_MODEL_FAULT;
		from += take;
	}
	return 0;
}

int irr_model_ioctl(int fd, unsigned long request, ...)
{
	__builtin_va_list ap;
	__builtin_va_start(ap, request);
	void *arg = __builtin_va_arg(ap, void *);
	__builtin_va_end(ap);
	uint64_t known = irr_model_file(fd);
	if (!known)
		return (int)irr_sys_errno(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0);
	struct irr_talk t;
	int saved = errno, ret = -1;
	if (!irr_talk_begin(&t, IRR_MODEL_IOCTL, fd, known))
		return -1;
	t.place->request = (uint32_t)request;
	t.place->args[0] = (uintptr_t)arg;
	struct irr_shape shape;
	irr_ioctl_shape(irr_kind_of(known), request, arg, &shape);
	if (shape.bytes) {
		uint32_t got = irr_talk_bring(&t, 0xffff, arg, shape.bytes);
		t.place->piece[0].wanted = shape.wanted > shape.bytes ? shape.wanted : shape.bytes;
		if (got < shape.bytes)
			t.place->piece[0].fault = IRR_MODEL_FAULT;
		else if (irr_kind_of(known) == IRR_FILE_IOMMUFD && shape.wanted > shape.bytes)
			t.place->piece[0].fault = tail_of((const uint8_t *)arg, shape.bytes, shape.wanted);
	}
	for (unsigned i = 0; i < shape.count; i++)
		irr_talk_bring(&t, shape.nested[i].slot, shape.nested[i].from, shape.nested[i].wanted);
	uint64_t spare = 0;
	int spare_fd = -1;
	if (shape.brings != IRR_FILE_UNKNOWN) {
		spare = irr_new_file(shape.brings);
		spare_fd = irr_model_new_file(spare, O_CLOEXEC);
		if (spare_fd < 0) {
			irr_talk_end(&t);
			errno = -spare_fd;
			return -1;
		}
		t.place->spare_fd = spare_fd;
		t.place->spare_file = irr_file_of(spare);
	}
	if (irr_talk_make(&t)) {
		ret = (int)irr_talk_answer(&t)->ret;
		errno = saved;
	}
	saved = errno;
	if (spare_fd >= 0 && (ret < 0 || !irr_talk_answer(&t)->takes_spare))
		irr_model_drop_file(spare_fd, spare);
	irr_talk_end(&t);
	errno = saved;
	return ret;
}

/* ---- read and write ---- */

/* Does a range go over the end of what a program can have? The kernel looks at that before anything else. */
static bool beyond(const void *from, size_t bytes)
{
	const uint64_t end = UINT64_C(1) << (sizeof(void *) == 8 ? 63 : 32);
	return (uintptr_t)from > end || bytes > end - (uintptr_t)from;
}

ssize_t irr_model_transfer(bool write, int fd, const struct iovec *iov, int n, int64_t offset)
{
	struct irr_talk t;
	struct iovec v;
	uint64_t wanted = 0;
	ssize_t ret = -1;
	int saved = errno;
	if (!irr_talk_begin(&t, write ? IRR_MODEL_WRITE : IRR_MODEL_READ, fd, irr_model_file(fd)))
		return -1;
	struct irr_model_piece *p = t.place->piece;
	p[0].fault = 0;
	for (int i = 0; i < n; i++) {
		if (irr_copy(&v, &iov[i], sizeof v) < sizeof v || beyond(v.iov_base, v.iov_len)) {
			irr_talk_end(&t);
			errno = EFAULT;
			return -1;
		}
		/* What is written goes over as one piece, so that a record may lie in two vectors. */
		if (write) {
			size_t room = IRR_TALK_DATA_MAX - t.bytes, take = v.iov_len < room ? v.iov_len : room;
			size_t got = p[0].fault && i ? 0 : irr_copy(irr_talk_data(&t) + t.bytes, v.iov_base, take);
			t.bytes += (uint32_t)got;
			p[0].fault = (i && p[0].fault) || got < take;
		}
		wanted += v.iov_len;
	}
	p[0] = (struct irr_model_piece){ .bytes = t.bytes, .fault = n && p[0].fault, .wanted = wanted };
	t.place->pieces = write ? 1 : 0;
	t.place->args[0] = wanted;
	t.place->args[1] = (uint64_t)offset;
	t.place->args[2] = n == 1 && irr_copy(&v, iov, sizeof v) == sizeof v ? (uintptr_t)v.iov_base : 0;
	if (irr_talk_make(&t)) {
		ret = (ssize_t)irr_talk_answer(&t)->ret;
		/* What was read lies behind the steps: it goes where the vectors say. */
		const uint8_t *from = (const uint8_t *)irr_talk_answer(&t) + IRR_MODEL_STEPS + IRR_MODEL_STEP_MAX * sizeof(struct irr_model_do);
		size_t left = write || ret < 0 ? 0 : (size_t)ret;
		for (int i = 0; i < n && left; i++) {
			if (irr_copy(&v, &iov[i], sizeof v) < sizeof v)
				break;
			size_t take = v.iov_len < left ? v.iov_len : left;
			if (!irr_talk_put(v.iov_base, from, take)) {
				ret = -1;
				errno = EFAULT;
				break;
			}
			from += take;
			left -= take;
		}
		if (ret >= 0)
			errno = saved;
	}
	saved = errno;
	irr_talk_end(&t);
	errno = saved;
	return ret;
}

/* ---- mappings ---- */

void *irr_model_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct irr_talk t;
	int saved = errno;
	if (!irr_talk_begin(&t, IRR_MODEL_MMAP, fd, irr_model_file(fd)))
		return MAP_FAILED;
	uint64_t args[5] = { (uintptr_t)addr, length, (unsigned)prot, (unsigned)flags, (uint64_t)offset };
	memcpy(t.place->args, args, sizeof args);
	if (!irr_talk_make(&t)) {
		saved = errno;
		irr_talk_end(&t);
		errno = saved;
		return MAP_FAILED;
	}
	uint64_t region = (uint64_t)irr_talk_answer(&t)->ret;
	irr_talk_end(&t);
	int memory = irr_talk_open("region", (int64_t)(region & 0xffffffff), O_RDWR);
	long at = memory < 0 ? memory : irr_sys(SYS_mmap, (long)addr, (long)length, prot, flags, memory, (long)(region >> 32) * PAGE);
	irr_talk_shut(memory);
	if ((unsigned long)at > -4096UL) {
		errno = (int)-at;
		return MAP_FAILED;
	}
	if (irr_talk_begin(&t, IRR_MODEL_MAPPED, fd, irr_model_file(fd))) {
		t.place->args[0] = (uint64_t)at;
		t.place->args[1] = length;
		t.place->args[2] = region;
		irr_talk_make(&t);
		irr_talk_end(&t);
	}
	errno = saved;
	return (void *)at;
}

void irr_model_mremapped(uintptr_t from, size_t old, uintptr_t to, size_t length, bool keeps)
{
	struct irr_talk t;
	int saved = errno;
	if (irr_model && !irr_talk_confined() && irr_talk_begin(&t, IRR_MODEL_MREMAP, -1, 0)) {
		uint64_t args[5] = { from, old, to, length, keeps };
		memcpy(t.place->args, args, sizeof args);
		irr_talk_make(&t);
		irr_talk_end(&t);
	}
	errno = saved;
}

void irr_model_unmapped(uintptr_t from, size_t length)
{
	if (irr_model)
		irr_talk_tell(IRR_MODEL_MUNMAP, 0, from, from + length);
}

/* ---- what the recorder must know ---- */

void irr_model_closed(uint64_t known)
{
	int saved = errno;
	if (irr_model && (known == IRR_MODEL_ANY || irr_kind_of(known) != IRR_FILE_UNKNOWN))
		irr_talk_tell(IRR_MODEL_CLOSED, known == IRR_MODEL_ANY ? 0 : irr_file_of(known), 0, 0);
	errno = saved;
}

void irr_model_forked(uint32_t parent)
{
	if (irr_model)
		irr_talk_tell(IRR_MODEL_FORK, 0, parent, 0);
}

void irr_model_exit(void)
{
	struct irr_talk t;
	int saved = errno;
	if (irr_model && !irr_talk_confined() && irr_talk_begin(&t, IRR_MODEL_EXIT, -1, 0)) {
		irr_talk_make(&t);
		irr_talk_end(&t);
	}
	errno = saved;
}
