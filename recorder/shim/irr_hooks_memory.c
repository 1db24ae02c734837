/* SPDX-License-Identifier: GPL-2.0-only */
/* Hooks: mappings. See irr_hooks.h. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/mman.h>

#include "irr_hooks.h"
#include "irr_kvm.h"
#include "irr_mmio.h"
#include "irr_model.h"
#include "irr_queue.h"

static void *raw_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return (void *)RAW(mmap, addr, length, prot, flags, fd, offset);
}

static void *mapped(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *(*real)(void *, size_t, int, int, int, off_t) = irr_next.mmap ? irr_next.mmap : raw_mmap;
	uintptr_t from = (uintptr_t)addr;
	uint64_t known = fd >= 0 && !(flags & MAP_ANONYMOUS) ? irr_fd(fd) : 0;
	if ((flags & MAP_FIXED) && irr_ready())
		irr_distrust(from, from + length);
	bool over = !known && (flags & MAP_FIXED) && irr_map_overlaps(from, from + length);
	if (irr_likely(!known && !over) || !irr_ready())
		return real(addr, length, prot, flags, fd, offset);
	int before = errno;
	struct irr_call c;
	uint64_t args[6] = { from, length, (unsigned)prot, (unsigned)flags, (uint64_t)offset, 0 };
	uint64_t *alias = NULL;
	size_t bytes = 8 * (known && irr_mmio ? 6 : 5);
	bool recorded = irr_begin(&c, IRR_KIND_MMAP, irr_room(bytes), irr_now());
	if (recorded) {
		c.frame->fd = known ? fd : -1;
		c.frame->file = irr_file_of(known);
		c.frame->flags |= (uint16_t)(irr_kind_of(known) << IRR_FLAG_FILE_SHIFT);
		uint8_t *words = irr_part(&c, IRR_PART_ARGS, 0, 0, (uint32_t)bytes, bytes, 0);
		memcpy(words, args, bytes);
		alias = (uint64_t *)words + 5;
		irr_enter(&c);
	}
	if (flags & MAP_FIXED)
		irr_queue_unmapping(from, length);
	errno = before;
	void *ret = known && irr_model_file(fd) ? irr_model_mmap(addr, length, prot, flags, fd, offset) : real(addr, length, prot, flags, fd, offset);
	int saved = errno;
	if (flags & MAP_FIXED)
		irr_page0_gone(from, length, ret != MAP_FAILED);
	if (ret != MAP_FAILED) {
		if (flags & MAP_FIXED) {
			irr_map_remove(from, from + length);
			irr_mmio_unmapped(from, from + length);
			irr_kvm_unmapped(from, from + length);
			if (over)
				irr_model_unmapped(from, length);
		}
		if (known) {
			irr_map_add((uintptr_t)ret, (uintptr_t)ret + length);
			irr_kvm_mapped((uintptr_t)ret, length, prot, (uint64_t)offset, known);
			if (prot & PROT_READ)
				irr_page0_mapped((uintptr_t)ret, length, (uint64_t)offset, known);
		}
		if (known && irr_mmio) {
			uint64_t at = irr_mmio_mapped((uintptr_t)ret, length, prot, flags, fd, (uint64_t)offset, known);
			if (recorded)
				*alias = at;
		}
	}
	if (recorded)
		done(&c, (int64_t)(intptr_t)ret, ret == MAP_FAILED ? saved : 0);
	errno = saved;
	return ret;
}

IRR_HOOK void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return mapped(addr, length, prot, flags, fd, offset);
}

IRR_HOOK void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return mapped(addr, length, prot, flags, fd, offset);
}

IRR_HOOK int munmap(void *addr, size_t length)
{
	uintptr_t from = (uintptr_t)addr;
	bool ours = irr_map_overlaps(from, from + length);
	if (irr_ready())
		irr_distrust(from, from + length);
	if (irr_likely(!ours) || !irr_ready())
		return (int)NEXT(munmap, RAW(munmap, addr, length, 0, 0, 0, 0), addr, length);
	int before = errno;
	struct irr_call c;
	uint64_t args[2] = { from, length };
	bool recorded = irr_begin(&c, IRR_KIND_MUNMAP, irr_room(sizeof args), irr_now());
	if (recorded) {
		memcpy(irr_part(&c, IRR_PART_ARGS, 0, 0, sizeof args, sizeof args, 0), args, sizeof args);
		irr_enter(&c);
	}
	irr_queue_unmapping(from, length);
	errno = before;
	int ret = irr_next.munmap(addr, length), saved = errno;
	irr_page0_gone(from, length, ret == 0);
	if (ret == 0) {
		irr_map_remove(from, from + length);
		irr_mmio_unmapped(from, from + length);
		irr_kvm_unmapped(from, from + length);
		irr_model_unmapped(from, length);
	}
	if (recorded)
		done(&c, ret, ret < 0 ? saved : 0);
	errno = saved;
	return ret;
}

IRR_HOOK void *mremap(void *addr, size_t old_length, size_t length, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	void *to = flags & MREMAP_FIXED ? va_arg(ap, void *) : NULL;
	va_end(ap);
	uintptr_t from = (uintptr_t)addr, target = (uintptr_t)to;
	bool moved = irr_map_overlaps(from, from + (old_length ? old_length : length));
	bool ours = moved || ((flags & MREMAP_FIXED) && irr_map_overlaps(target, target + length));
	if (irr_ready())
		irr_distrust(from, from + old_length);
	if (irr_likely(!ours) || !irr_ready())
		return irr_next.mremap ? irr_next.mremap(addr, old_length, length, flags, to) : (void *)RAW(mremap, addr, old_length, length, flags, to, 0);
	int before = errno;
	struct irr_call c;
	uint64_t args[5] = { from, old_length, length, (unsigned)flags, target };
	bool recorded = irr_begin(&c, IRR_KIND_MREMAP, irr_room(sizeof args), irr_now());
	if (recorded) {
		memcpy(irr_part(&c, IRR_PART_ARGS, 0, 0, sizeof args, sizeof args, 0), args, sizeof args);
		irr_enter(&c);
	}
	irr_queue_unmapping(from, old_length);
	if (flags & MREMAP_FIXED)
		irr_queue_unmapping(target, length);
	errno = before;
	void *ret = irr_next.mremap(addr, old_length, length, flags, to);
	int saved = errno;
	if (flags & MREMAP_FIXED)
		irr_page0_gone(target, length, ret != MAP_FAILED);
	if (ret != MAP_FAILED)
		irr_page0_moved(from, (uintptr_t)ret, length);
	irr_page0_gone(from, old_length, ret != MAP_FAILED && !(flags & MREMAP_DONTUNMAP));
	if (ret != MAP_FAILED) {
		if (flags & MREMAP_FIXED) {
			irr_map_remove(target, target + length);
			irr_mmio_unmapped(target, target + length);
			irr_kvm_unmapped(target, target + length);
		}
		irr_mmio_mremapped(from, old_length, (uintptr_t)ret, length, flags & MREMAP_DONTUNMAP);
		irr_kvm_mremapped(from, old_length, (uintptr_t)ret, length, flags & MREMAP_DONTUNMAP);
		if (old_length && !(flags & MREMAP_DONTUNMAP))
			irr_map_remove(from, from + old_length);
		if (moved)
			irr_map_add((uintptr_t)ret, (uintptr_t)ret + length);
		irr_model_mremapped(from, old_length, (uintptr_t)ret, length, flags & MREMAP_DONTUNMAP);
	}
	if (recorded)
		done(&c, (int64_t)(intptr_t)ret, ret == MAP_FAILED ? saved : 0);
	errno = saved;
	return ret;
}

/* Not recorded; but memory that loses its rights must not be read directly any more, and a region's are its alias's. */
IRR_HOOK int mprotect(void *addr, size_t length, int prot)
{
	int ret;
	if (irr_unlikely(irr_mmio) && irr_ready() && irr_mmio_protected((uintptr_t)addr, length, prot, &ret))
		return ret;
	if (!(prot & PROT_READ) && irr_ready()) {
		irr_distrust((uintptr_t)addr, (uintptr_t)addr + length);
		if (irr_unlikely(irr_map_overlaps((uintptr_t)addr, (uintptr_t)addr + length))) {
			irr_queue_unmapping((uintptr_t)addr, length);
			irr_page0_gone((uintptr_t)addr, length, true);
		}
	}
	ret = (int)NEXT(mprotect, RAW(mprotect, addr, length, prot, 0, 0, 0), addr, length, prot);
	if (irr_unlikely(irr_kvm) && ret == 0)
		irr_kvm_protected((uintptr_t)addr, (uintptr_t)addr + length, prot);
	return ret;
}
