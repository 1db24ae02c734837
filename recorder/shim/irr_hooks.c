/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions of libc that the shim stands in for: files, memory, messages. Each makes the program's call with the
 * program's arguments and gives back its result and errno; what it notes around that is nobody else's business.
 *
 * Before the shim has found the next definitions (some other constructor was first), calls go straight to the kernel.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "irr.h"
#include "irr_hooks.h"
#include "irr_ioctl.h"
#include "irr_kvm.h"
#include "irr_mmio.h"
#include "irr_model.h"
#include "irr_queue.h"

struct irr_next irr_next;

void irr_hooks_resolve(void)
{
#define X(name, result, parameters) irr_next.name = (result(*) parameters)dlsym(RTLD_NEXT, #name);
	IRR_NEXT(X)
#undef X
	irr_ioctl_init();
}

/* The next definition, or the system call where there is none yet. */
#define NEXT(name, raw, ...) (irr_likely(irr_next.name != NULL) ? irr_next.name(__VA_ARGS__) : (raw))
#define RAW(nr, a, b, c, d, e, f) irr_sys_errno(SYS_##nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static void simple(enum irr_kind kind, uint32_t request, int fd, uint64_t known, int64_t ret, int error, uint64_t t, const uint64_t *args, unsigned n)
{
	irr_event(kind, request, fd, known, ret, error, t, args, n, NULL, NULL, 0);
}

/* ---- ioctl ---- */

static int raw_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	return (int)RAW(ioctl, fd, request, arg, 0, 0, 0);
}

IRR_HOOK int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	int (*real)(int, unsigned long, ...) = irr_next.ioctl ? irr_next.ioctl : raw_ioctl;
	if (irr_unlikely(irr_mmio))
		real = irr_mmio_ioctl;
	if (irr_likely(((request >> 8) & 0xff) != ';') || !irr_ready())
		return irr_unlikely(irr_kvm) && ((request >> 8) & 0xff) == IRR_KVM_TYPE && irr_ready() ? irr_kvm_ioctl(fd, request, arg, real) : real(fd, request, arg);
	return irr_ioctl(fd, request, arg, irr_unlikely(irr_model != NULL) ? irr_model_ioctl : real);
}

/* ---- open ---- */

static bool ours_by_name(const char *path, size_t n)
{
	static const char *const names[] = { "/dev/iommu", "/dev/vfio/" };
	for (int i = 0; i < 2; i++)
		if (n >= strlen(names[i]) && memcmp(path, names[i], strlen(names[i])) == 0)
			return true;
	return irr_kvm && n == 8 && memcmp(path, "/dev/kvm", 8) == 0;
}

/* A descriptor that was closed behind our back (fclose, a raw system call) and is now something else. */
static void forget_stale(int fd, uint64_t t)
{
	uint64_t stale = irr_fd(fd);
	if (irr_likely(!stale))
		return;
	simple(IRR_KIND_CLOSE, IRR_CLOSE_CLOSE, fd, stale, 0, 0, t, NULL, 0);
	irr_fd_clear(fd);
}

static int opened(enum irr_open how, int dir, const char *path, uint64_t flags, uint64_t mode, int fd, uint64_t t)
{
	int saved = errno;
	int error = fd < 0 ? saved : 0;
	char name[4096];
	if (fd < 0) {
		if (error != EFAULT) {
			size_t n = irr_copy_string(name, sizeof name, path);
			const char *text = name;
			uint64_t args[3] = { (uint64_t)(int64_t)dir, flags, mode };
			if (ours_by_name(name, n))
				irr_event(IRR_KIND_OPEN, how, -1, 0, -1, error, t, args, 3, &text, &n, 1);
		}
	} else {
		forget_stale(fd, t);
		enum irr_file kind = IRR_FILE_UNKNOWN;
		if (!(flags & O_PATH)) {
			if (!atomic_load_explicit(&irr_confined, memory_order_relaxed))
				kind = irr_classify(fd);
			else {
				size_t n = irr_copy_string(name, sizeof name, path);
				kind = ours_by_name(name, n) ? (n == 8 ? IRR_FILE_KVM : n == 10 ? IRR_FILE_IOMMUFD : n > 18 ? IRR_FILE_VFIO_DEVICE : IRR_FILE_VFIO_CONTAINER) : kind;
			}
		}
		if (irr_unlikely(kind != IRR_FILE_UNKNOWN)) {
			size_t n = irr_copy_string(name, sizeof name, path);
			const char *text = name;
			uint64_t args[3] = { (uint64_t)(int64_t)dir, flags, mode };
			uint64_t known = irr_model_file(fd);
			if (!known)
				known = irr_new_file(kind);
			irr_event(IRR_KIND_OPEN, how, fd, known, fd, 0, t, args, 3, &text, &n, 1);
			irr_fd_set(fd, known);
		}
	}
	errno = saved;
	return fd;
}

static mode_t mode_of(int flags, va_list ap)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

#define OPEN_HOOK(name, how, parameters, dir, last, call, raw)                                                         \
	IRR_HOOK int name parameters                                                                                   \
	{                                                                                                              \
		va_list ap;                                                                                            \
		va_start(ap, last);                                                                                    \
		mode_t mode = mode_of(flags, ap);                                                                      \
		va_end(ap);                                                                                            \
		if (!irr_ready())                                                                                      \
			return (int)(irr_next.name ? irr_next.name call : raw);                                        \
		uint64_t t = irr_now();                                                                                \
		int fd;                                                                                                \
		if (!irr_model_opens(path, (unsigned)flags, &fd))                                                      \
			fd = irr_next.name call;                                                                       \
		return opened(how, dir, path, (unsigned)flags, mode, fd, t);                                           \
	}

OPEN_HOOK(open, IRR_OPEN_OPEN, (const char *path, int flags, ...), AT_FDCWD, flags, (path, flags, mode), RAW(openat, AT_FDCWD, path, flags, mode, 0, 0))
OPEN_HOOK(open64, IRR_OPEN_OPEN, (const char *path, int flags, ...), AT_FDCWD, flags, (path, flags, mode), RAW(openat, AT_FDCWD, path, flags, mode, 0, 0))
OPEN_HOOK(openat, IRR_OPEN_OPENAT, (int dir, const char *path, int flags, ...), dir, flags, (dir, path, flags, mode), RAW(openat, dir, path, flags, mode, 0, 0))
OPEN_HOOK(openat64, IRR_OPEN_OPENAT, (int dir, const char *path, int flags, ...), dir, flags, (dir, path, flags, mode), RAW(openat, dir, path, flags, mode, 0, 0))

#define OPEN_HOOK_FIXED(name, how, parameters, dir, flags, mode, call, raw)                                            \
	IRR_HOOK int name parameters                                                                                   \
	{                                                                                                              \
		if (!irr_ready())                                                                                      \
			return (int)(irr_next.name ? irr_next.name call : raw);                                        \
		uint64_t t = irr_now();                                                                                \
		int fd;                                                                                                \
		if (!irr_model_opens(path, (unsigned)(flags), &fd))                                                    \
			fd = irr_next.name call;                                                                       \
		return opened(how, dir, path, (unsigned)(flags), mode, fd, t);                                         \
	}

#define CREAT_FLAGS (O_CREAT | O_WRONLY | O_TRUNC)
OPEN_HOOK_FIXED(creat, IRR_OPEN_CREAT, (const char *path, mode_t mode), AT_FDCWD, CREAT_FLAGS, mode, (path, mode), RAW(openat, AT_FDCWD, path, CREAT_FLAGS, mode, 0, 0))
OPEN_HOOK_FIXED(creat64, IRR_OPEN_CREAT, (const char *path, mode_t mode), AT_FDCWD, CREAT_FLAGS, mode, (path, mode), RAW(openat, AT_FDCWD, path, CREAT_FLAGS, mode, 0, 0))
/* What open becomes under _FORTIFY_SOURCE. */
OPEN_HOOK_FIXED(__open_2, IRR_OPEN_OPEN, (const char *path, int flags), AT_FDCWD, flags, 0, (path, flags), RAW(openat, AT_FDCWD, path, flags, 0, 0, 0))
OPEN_HOOK_FIXED(__open64_2, IRR_OPEN_OPEN, (const char *path, int flags), AT_FDCWD, flags, 0, (path, flags), RAW(openat, AT_FDCWD, path, flags, 0, 0, 0))
OPEN_HOOK_FIXED(__openat_2, IRR_OPEN_OPENAT, (int dir, const char *path, int flags), dir, flags, 0, (dir, path, flags), RAW(openat, dir, path, flags, 0, 0, 0))
OPEN_HOOK_FIXED(__openat64_2, IRR_OPEN_OPENAT, (int dir, const char *path, int flags), dir, flags, 0, (dir, path, flags), RAW(openat, dir, path, flags, 0, 0, 0))

/* ---- is it there? ---- */

/* Only the model's files are answered: whoever looks first finds what open would give. */
#define ACCESS_HOOK(name, parameters, call, raw)                                                                       \
	IRR_HOOK int name parameters                                                                                   \
	{                                                                                                              \
		if (irr_ready() && irr_model_has(path))                                                                \
			return 0;                                                                                      \
		return (int)(irr_next.name ? irr_next.name call : raw);                                                \
	}

ACCESS_HOOK(access, (const char *path, int mode), (path, mode), RAW(faccessat, AT_FDCWD, path, mode, 0, 0, 0))
ACCESS_HOOK(eaccess, (const char *path, int mode), (path, mode), RAW(faccessat2, AT_FDCWD, path, mode, AT_EACCESS, 0, 0))
ACCESS_HOOK(euidaccess, (const char *path, int mode), (path, mode), RAW(faccessat2, AT_FDCWD, path, mode, AT_EACCESS, 0, 0))
ACCESS_HOOK(faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags), RAW(faccessat2, dir, path, mode, flags, 0, 0))

/* ---- close ---- */

/* The frame is entered before the call: once the kernel has closed it, the number may be somebody else's. */
static bool closing(struct irr_call *c, enum irr_close how, int fd, const uint64_t *args, unsigned n)
{
	uint64_t known = irr_fd(fd);
	if (!irr_begin(c, IRR_KIND_CLOSE, n ? irr_room(8 * n) : 0, irr_now()))
		return false;
	c->frame->request = how;
	c->frame->fd = fd;
	c->frame->file = irr_file_of(known);
	c->frame->flags |= (uint16_t)(irr_kind_of(known) << IRR_FLAG_FILE_SHIFT);
	if (n)
		memcpy(irr_part(c, IRR_PART_ARGS, 0, 0, 8 * n, 8 * n, 0), args, 8 * n);
	irr_enter(c);
	return true;
}

static void done(struct irr_call *c, int64_t ret, int error)
{
	c->frame->t_exit = irr_now();
	irr_leave(c, ret, error);
}

IRR_HOOK int close(int fd)
{
	if (irr_likely(!irr_fd(fd)) || !irr_ready())
		return (int)NEXT(close, RAW(close, fd, 0, 0, 0, 0, 0), fd);
	struct irr_call c;
	int before = errno;
	uint64_t known = irr_fd(fd);
	bool recorded = closing(&c, IRR_CLOSE_CLOSE, fd, NULL, 0);
	irr_queue_closing((unsigned)fd, (unsigned)fd);
	irr_fd_clear(fd);
	errno = before;
	int ret = irr_next.close(fd), saved = errno;
	irr_model_closed(known);
	if (recorded)
		done(&c, ret, ret < 0 ? saved : 0);
	errno = saved;
	return ret;
}

static int range_closed(enum irr_close how, unsigned first, unsigned last, int flags, int (*real)(unsigned, unsigned, int))
{
	struct irr_call c;
	int before = errno;
	uint64_t args[3] = { first, last, (unsigned)flags };
	bool ours = !(flags & CLOSE_RANGE_CLOEXEC) && first <= last && irr_fd_any(first, last);
	bool recorded = ours && closing(&c, how, -1, args, 3);
	errno = before;
	int ret = real(first, last, flags), saved = errno;
	if (ours && ret == 0) {
		irr_queue_closing(first, last);
		irr_fd_clear_range(first, last);
		irr_model_closed(IRR_MODEL_ANY);
	}
	if (recorded)
		done(&c, ret, ret < 0 ? saved : 0);
	errno = saved;
	return ret;
}

static int raw_close_range(unsigned first, unsigned last, int flags)
{
	return (int)RAW(close_range, first, last, flags, 0, 0, 0);
}

IRR_HOOK int close_range(unsigned first, unsigned last, int flags)
{
	if (!irr_ready())
		return raw_close_range(first, last, flags);
	return range_closed(IRR_CLOSE_RANGE, first, last, flags, irr_next.close_range ? irr_next.close_range : raw_close_range);
}

static int next_closefrom(unsigned first, unsigned last, int flags)
{
	(void)last, (void)flags;
	if (irr_next.closefrom)
		irr_next.closefrom((int)first);
	else
		raw_close_range(first, ~0u, 0);
	return 0;
}

IRR_HOOK void closefrom(int first)
{
	if (irr_ready())
		range_closed(IRR_CLOSE_FROM, first < 0 ? 0 : (unsigned)first, ~0u, 0, next_closefrom);
	else
		next_closefrom(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

/* ---- dup ---- */

static int duplicated(enum irr_dup how, int fd, int ret, uint64_t arg, uint64_t flags, uint64_t t)
{
	int saved = errno;
	uint64_t known = irr_fd(fd), replaced = ret >= 0 && ret != fd ? irr_fd(ret) : 0;
	if (known || replaced) {
		uint64_t args[2] = { arg, flags };
		simple(IRR_KIND_DUP, how, fd, known, ret, ret < 0 ? saved : 0, t, args, 2);
		if (replaced) {
			irr_fd_clear(ret);
			irr_model_closed(replaced);
		}
		if (known && ret >= 0 && ret != fd)
			irr_fd_set(ret, known);
	}
	errno = saved;
	return ret;
}

IRR_HOOK int dup(int fd)
{
	if (!irr_ready())
		return (int)RAW(dup, fd, 0, 0, 0, 0, 0);
	uint64_t t = irr_now();
	return duplicated(IRR_DUP_DUP, fd, irr_next.dup(fd), 0, 0, t);
}

IRR_HOOK int dup2(int fd, int to)
{
	if (!irr_ready())
		return fd == to ? (int)RAW(fcntl, fd, F_GETFD, 0, 0, 0, 0) < 0 ? -1 : to : (int)RAW(dup3, fd, to, 0, 0, 0, 0);
	uint64_t t = irr_now();
	return duplicated(IRR_DUP_DUP2, fd, irr_next.dup2(fd, to), (uint64_t)(int64_t)to, 0, t);
}

IRR_HOOK int dup3(int fd, int to, int flags)
{
	if (!irr_ready())
		return (int)RAW(dup3, fd, to, flags, 0, 0, 0);
	uint64_t t = irr_now();
	return duplicated(IRR_DUP_DUP3, fd, irr_next.dup3(fd, to, flags), (uint64_t)(int64_t)to, (unsigned)flags, t);
}

static int controlled(int fd, int command, void *arg, int (*real)(int, int, ...))
{
	if (irr_likely(command != F_DUPFD && command != F_DUPFD_CLOEXEC) || !irr_ready())
		return real ? real(fd, command, arg) : (int)RAW(fcntl, fd, command, arg, 0, 0, 0);
	uint64_t t = irr_now();
	return duplicated(command == F_DUPFD ? IRR_DUP_F_DUPFD : IRR_DUP_F_DUPFD_CLOEXEC, fd, real(fd, command, arg), (uintptr_t)arg, 0, t);
}

#define FCNTL_HOOK(name)                                                                                               \
	IRR_HOOK int name(int fd, int command, ...)                                                                    \
	{                                                                                                              \
		va_list ap;                                                                                            \
		va_start(ap, command);                                                                                 \
		void *arg = va_arg(ap, void *);                                                                        \
		va_end(ap);                                                                                            \
		return controlled(fd, command, arg, irr_next.name);                                                    \
	}
FCNTL_HOOK(fcntl)
FCNTL_HOOK(fcntl64)

/* ---- memory ---- */

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

/* ---- read and write ---- */

/* Bytes that the program got or gave, gathered from its iovec; the call has succeeded, so the iovec was readable. */
static void transferred(enum irr_kind kind, enum irr_rw how, int fd, const struct iovec *iov, int n, uint64_t wanted, int64_t offset, ssize_t ret, uint64_t t)
{
	int saved = errno;
	/* What was to be written counts whatever became of it; of a read, what it brought. */
	uint64_t known = irr_fd(fd), bytes = ret > 0 ? (uint64_t)ret : kind == IRR_KIND_WRITE && n ? wanted : 0;
	uint64_t take = bytes > IRR_INLINE_LIMIT ? IRR_INLINE_LIMIT : bytes;
	const uint8_t *records = NULL;
	uint32_t taken = 0;
	struct irr_call c;
	uint64_t args[2] = { wanted, (uint64_t)offset };
	if (irr_begin(&c, kind, irr_room(sizeof args) + (bytes ? irr_room(take) : 0), t)) {
		c.frame->request = how;
		c.frame->fd = fd;
		c.frame->file = irr_file_of(known);
		c.frame->flags |= (uint16_t)(irr_kind_of(known) << IRR_FLAG_FILE_SHIFT);
		memcpy(irr_part(&c, IRR_PART_ARGS, 0, 0, sizeof args, sizeof args, 0), args, sizeof args);
		if (bytes) {
			struct irr_part *part = (struct irr_part *)c.at;
			uint8_t *start, *data = start = irr_part(&c, kind == IRR_KIND_READ ? IRR_PART_OUT : IRR_PART_IN, take < bytes ? IRR_PART_TRUNCATED : 0, 0, (uint32_t)take, bytes,
						 (uintptr_t)(n > 0 ? iov[0].iov_base : NULL));
			for (int i = 0; i < n && take; i++) {
				size_t piece = iov[i].iov_len < take ? iov[i].iov_len : (size_t)take;
				size_t got = irr_copy(data, iov[i].iov_base, piece);
				memset(data + got, 0, piece - got);
				if (irr_unlikely(got < piece)) {
					part->flags |= IRR_PART_FAULT;
					part->bytes = (uint32_t)(data + got - start);
					c.at = start + irr_room(part->bytes) - sizeof *part;
					break;
				}
				data += piece;
				take -= piece;
			}
			records = start;
			taken = part->bytes;
		}
		irr_enter(&c);
		done(&c, ret, ret < 0 ? saved : 0);
		if (records && kind == IRR_KIND_READ && irr_unlikely(irr_kind_of(known) == IRR_FILE_VEVENTQ))
			irr_queue_events(known, records, taken);
	}
	errno = saved;
}

static uint64_t iov_bytes(const struct iovec *iov, int n, ssize_t ret)
{
	uint64_t sum = 0;
	if (ret >= 0)
		for (int i = 0; i < n; i++)
			sum += iov[i].iov_len;
	return sum;
}

#define OURS(fd) (irr_unlikely(irr_fd(fd) != 0) && irr_ready())

#define PLAIN_HOOK(name, kind, how, parameters, buffer, count, offset, call, raw)                                      \
	IRR_HOOK ssize_t name parameters                                                                               \
	{                                                                                                              \
		if (irr_unlikely(irr_mmio))                                                                            \
			buffer = (void *)irr_mmio_alias((uintptr_t)buffer, count);                                     \
		if (irr_likely(!OURS(fd)))                                                                             \
			return irr_likely(irr_next.name != NULL) ? irr_next.name call : raw;                           \
		uint64_t t = irr_now();                                                                                \
		struct iovec one = { (void *)(uintptr_t)buffer, count };                                               \
		ssize_t ret = irr_model_file(fd) ? irr_model_transfer(kind == IRR_KIND_WRITE, fd, &one, 1, offset) : irr_next.name call; \
		transferred(kind, how, fd, &one, 1, count, offset, ret, t);                                            \
		return ret;                                                                                            \
	}

PLAIN_HOOK(read, IRR_KIND_READ, IRR_RW_PLAIN, (int fd, void *to, size_t n), to, n, -1, (fd, to, n), RAW(read, fd, to, n, 0, 0, 0))
PLAIN_HOOK(__read_chk, IRR_KIND_READ, IRR_RW_PLAIN, (int fd, void *to, size_t n, size_t room), to, n, -1, (fd, to, n, room), RAW(read, fd, to, n, 0, 0, 0))
PLAIN_HOOK(pread, IRR_KIND_READ, IRR_RW_POSITION, (int fd, void *to, size_t n, off_t at), to, n, at, (fd, to, n, at), RAW(pread64, fd, to, n, at, 0, 0))
PLAIN_HOOK(pread64, IRR_KIND_READ, IRR_RW_POSITION, (int fd, void *to, size_t n, off_t at), to, n, at, (fd, to, n, at), RAW(pread64, fd, to, n, at, 0, 0))
PLAIN_HOOK(__pread_chk, IRR_KIND_READ, IRR_RW_POSITION, (int fd, void *to, size_t n, off_t at, size_t room), to, n, at, (fd, to, n, at, room), RAW(pread64, fd, to, n, at, 0, 0))
PLAIN_HOOK(__pread64_chk, IRR_KIND_READ, IRR_RW_POSITION, (int fd, void *to, size_t n, off_t at, size_t room), to, n, at, (fd, to, n, at, room), RAW(pread64, fd, to, n, at, 0, 0))
PLAIN_HOOK(write, IRR_KIND_WRITE, IRR_RW_PLAIN, (int fd, const void *from, size_t n), from, n, -1, (fd, from, n), RAW(write, fd, from, n, 0, 0, 0))
PLAIN_HOOK(pwrite, IRR_KIND_WRITE, IRR_RW_POSITION, (int fd, const void *from, size_t n, off_t at), from, n, at, (fd, from, n, at), RAW(pwrite64, fd, from, n, at, 0, 0))
PLAIN_HOOK(pwrite64, IRR_KIND_WRITE, IRR_RW_POSITION, (int fd, const void *from, size_t n, off_t at), from, n, at, (fd, from, n, at), RAW(pwrite64, fd, from, n, at, 0, 0))

#define VECTOR_HOOK(name, kind, how, parameters, offset, call, raw)                                                    \
	IRR_HOOK ssize_t name parameters                                                                               \
	{                                                                                                              \
		if (irr_likely(!OURS(fd)))                                                                             \
			return irr_likely(irr_next.name != NULL) ? irr_next.name call : raw;                           \
		uint64_t t = irr_now();                                                                                \
		ssize_t ret = irr_model_file(fd) ? irr_model_transfer(kind == IRR_KIND_WRITE, fd, iov, n, offset) : irr_next.name call; \
		transferred(kind, how, fd, iov, ret > 0 ? n : 0, iov_bytes(iov, n, ret), offset, ret, t);              \
		return ret;                                                                                            \
	}

VECTOR_HOOK(readv, IRR_KIND_READ, IRR_RW_VECTOR, (int fd, const struct iovec *iov, int n), -1, (fd, iov, n), RAW(readv, fd, iov, n, 0, 0, 0))
VECTOR_HOOK(preadv, IRR_KIND_READ, IRR_RW_POSITION_VECTOR, (int fd, const struct iovec *iov, int n, off_t at), at, (fd, iov, n, at), RAW(preadv, fd, iov, n, at, 0, 0))
VECTOR_HOOK(preadv64, IRR_KIND_READ, IRR_RW_POSITION_VECTOR, (int fd, const struct iovec *iov, int n, off_t at), at, (fd, iov, n, at), RAW(preadv, fd, iov, n, at, 0, 0))
VECTOR_HOOK(writev, IRR_KIND_WRITE, IRR_RW_VECTOR, (int fd, const struct iovec *iov, int n), -1, (fd, iov, n), RAW(writev, fd, iov, n, 0, 0, 0))
VECTOR_HOOK(pwritev, IRR_KIND_WRITE, IRR_RW_POSITION_VECTOR, (int fd, const struct iovec *iov, int n, off_t at), at, (fd, iov, n, at), RAW(pwritev, fd, iov, n, at, 0, 0))
VECTOR_HOOK(pwritev64, IRR_KIND_WRITE, IRR_RW_POSITION_VECTOR, (int fd, const struct iovec *iov, int n, off_t at), at, (fd, iov, n, at), RAW(pwritev, fd, iov, n, at, 0, 0))

/* ---- descriptors in messages ---- */

static void each_right(const struct msghdr *m, int socket, bool sent, ssize_t ret, uint64_t t)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(0))
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
			if (!sent) {
				forget_stale(fd, t);
				irr_found(fd, IRR_FOUND_RECEIVED, IRR_FILE_UNKNOWN, socket);
			} else if (irr_fd(fd)) {
				struct stat st = { 0 };
				if (!atomic_load_explicit(&irr_confined, memory_order_relaxed))
					fstat(socket, &st);
				uint64_t args[2] = { (uint64_t)(int64_t)socket, st.st_ino };
				simple(IRR_KIND_SENDFD, 1, fd, irr_fd(fd), ret, 0, t, args, 2);
			}
		}
	}
}

static void message(const struct msghdr *m, int socket, bool sent, ssize_t ret, uint64_t t)
{
	/* Only after success: then the kernel has read the header and its control part, so it can be read again. */
	if (ret < 0 || !m->msg_control || m->msg_controllen < sizeof(struct cmsghdr))
		return;
	int saved = errno;
	each_right(m, socket, sent, ret, t);
	errno = saved;
}

IRR_HOOK ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (!irr_ready())
		return RAW(sendmsg, fd, m, flags, 0, 0, 0);
	uint64_t t = irr_now();
	ssize_t ret = irr_next.sendmsg(fd, m, flags);
	message(m, fd, true, ret, t);
	return ret;
}

#define RECVMSG_HOOK(name)                                                                                             \
	IRR_HOOK ssize_t name(int fd, struct msghdr *m, int flags)                                                     \
	{                                                                                                              \
		if (!irr_ready())                                                                                      \
			return RAW(recvmsg, fd, m, flags, 0, 0, 0);                                                    \
		uint64_t t = irr_now();                                                                                \
		ssize_t ret = irr_next.name(fd, m, flags);                                                             \
		message(m, fd, false, ret, t);                                                                         \
		return ret;                                                                                            \
	}
RECVMSG_HOOK(recvmsg)
RECVMSG_HOOK(__recvmsg_chk)

IRR_HOOK int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	if (!irr_ready())
		return (int)RAW(sendmmsg, fd, m, n, flags, 0, 0);
	uint64_t t = irr_now();
	int ret = irr_next.sendmmsg(fd, m, n, flags);
	for (int i = 0; i < ret; i++)
		message(&m[i].msg_hdr, fd, true, m[i].msg_len, t);
	return ret;
}

IRR_HOOK int recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout)
{
	if (!irr_ready())
		return (int)RAW(recvmmsg, fd, m, n, flags, timeout, 0);
	uint64_t t = irr_now();
	int ret = irr_next.recvmmsg(fd, m, n, flags, timeout);
	for (int i = 0; i < ret; i++)
		message(&m[i].msg_hdr, fd, false, m[i].msg_len, t);
	return ret;
}

/* ---- a filter of the program's own ---- */

/* One that has no filter is a question whether the kernel could, as libseccomp asks; it fails with EFAULT. */
static void confine(bool filter, const void *program)
{
	if (filter && !program)
		return;
	irr_sampler_stop();
	atomic_store(&irr_confined, true);
}

IRR_HOOK int prctl(int option, ...)
{
	va_list ap;
	va_start(ap, option);
	unsigned long a = va_arg(ap, unsigned long), b = va_arg(ap, unsigned long), c = va_arg(ap, unsigned long), d = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_SECCOMP && irr_ready())
		confine(a == SECCOMP_MODE_FILTER, (const void *)b);
	return (int)NEXT(prctl, RAW(prctl, option, a, b, c, d, 0), option, a, b, c, d);
}

/* ---- system calls by number ---- */

IRR_HOOK long syscall(long nr, ...)
{
	va_list ap;
	va_start(ap, nr);
	long a = va_arg(ap, long), b = va_arg(ap, long), c = va_arg(ap, long), d = va_arg(ap, long), e = va_arg(ap, long), f = va_arg(ap, long);
	va_end(ap);
	if (!irr_ready())
		return irr_sys_errno(nr, a, b, c, d, e, f);
	switch (nr) {
	case SYS_ioctl:
		return ioctl((int)a, (unsigned long)b, (void *)c);
	case SYS_close:
		return close((int)a);
	case SYS_close_range:
		return close_range((unsigned)a, (unsigned)b, (int)c);
	case SYS_dup:
		return dup((int)a);
	case SYS_dup3:
		return dup3((int)a, (int)b, (int)c);
#ifdef SYS_dup2
	case SYS_dup2:
		return dup2((int)a, (int)b);
#endif
#ifdef SYS_open
	case SYS_open:
		return open((const char *)a, (int)b, (mode_t)c);
#endif
	case SYS_openat:
		return openat((int)a, (const char *)b, (int)c, (mode_t)d);
	case SYS_openat2: {
		uint64_t t = irr_now();
		struct open_how how = { 0 };
		irr_copy(&how, (void *)c, sizeof how);
		int made;
		long fd = irr_model_opens((const char *)b, how.flags, &made) ? made : irr_sys_errno(nr, a, b, c, d, e, f);
		return opened(IRR_OPEN_OPENAT2, (int)a, (const char *)b, how.flags, how.mode, (int)fd, t);
	}
	case SYS_mmap:
		return (long)mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, f);
	case SYS_munmap:
		return munmap((void *)a, (size_t)b);
	case SYS_read:
		return read((int)a, (void *)b, (size_t)c);
	case SYS_write:
		return write((int)a, (const void *)b, (size_t)c);
	case SYS_pidfd_getfd: {
		long fd = irr_sys_errno(nr, a, b, c, d, e, f);
		int saved = errno;
		if (fd >= 0)
			irr_found((int)fd, IRR_FOUND_PIDFD, IRR_FILE_UNKNOWN, (int)a);
		errno = saved;
		return fd;
	}
	case SYS_rt_sigprocmask:
		if (irr_unlikely(irr_mmio) && d == 8) {
			sigset_t set, old;
			sigemptyset(&set);
			if (b)
				memcpy(&set, (void *)b, 8);
			int ret = sigprocmask((int)a, b ? &set : NULL, &old);
			if (ret == 0 && c)
				memcpy((void *)c, &old, 8);
			return ret;
		}
		break;
	case SYS_seccomp:
		if (a == SECCOMP_SET_MODE_STRICT || a == SECCOMP_SET_MODE_FILTER)
			confine(a == SECCOMP_SET_MODE_FILTER, (const void *)c);
		break;
	case SYS_exit_group:
		irr_exit_frame(IRR_EXIT_IMMEDIATE, (int)a & 0xff);
		break;
	}
	return irr_next.syscall ? irr_next.syscall(nr, a, b, c, d, e, f) : irr_sys_errno(nr, a, b, c, d, e, f);
}

/* A function of glibc 2.36 and newer. */
IRR_HOOK int pidfd_getfd(int pidfd, int target, unsigned flags)
{
	return (int)syscall(SYS_pidfd_getfd, pidfd, target, flags);
}
