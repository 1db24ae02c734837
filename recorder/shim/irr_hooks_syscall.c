/* SPDX-License-Identifier: GPL-2.0-only */
/* Hooks: system calls by number, and filters that the program sets for itself. See irr_hooks.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "irr_hooks.h"
#include "irr_mmio.h"
#include "irr_model.h"
#include "irr_queue.h"

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
		return irr_opened(IRR_OPEN_OPENAT2, (int)a, (const char *)b, how.flags, how.mode, (int)fd, t);
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
