/* SPDX-License-Identifier: GPL-2.0-only */
/* Hooks: ioctl, and descriptors as they come and go. See irr_hooks.h. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

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
void irr_forget_stale(int fd, uint64_t t)
{
	uint64_t stale = irr_fd(fd);
	if (irr_likely(!stale))
		return;
	simple(IRR_KIND_CLOSE, IRR_CLOSE_CLOSE, fd, stale, 0, 0, t, NULL, 0);
	irr_fd_clear(fd);
}

int irr_opened(enum irr_open how, int dir, const char *path, uint64_t flags, uint64_t mode, int fd, uint64_t t)
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
		irr_forget_stale(fd, t);
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
		return irr_opened(how, dir, path, (unsigned)flags, mode, fd, t);                                           \
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
		return irr_opened(how, dir, path, (unsigned)(flags), mode, fd, t);                                         \
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
