/* SPDX-License-Identifier: GPL-2.0-only */
/* Who we are: the start of an image, a fork noticed, the end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "irr.h"
#include "irr_kvm.h"
#include "irr_mmio.h"
#include "irr_model.h"
#include "irr_queue.h"

_Atomic int irr_phase;
struct irr_self *irr_self;
__thread struct irr_thread irr_thread;
_Atomic bool irr_confined;

static size_t read_file(const char *path, char *to, size_t room)
{
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	size_t done = 0;
	while (fd >= 0 && done < room) {
		long n = irr_sys(SYS_read, fd, (long)(to + done), (long)(room - done), 0, 0, 0);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (fd >= 0)
		irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	return done;
}

/* `inherited`: how many FD frames follow that tell of inherited descriptors; -1 not known. */
static void start_frame(enum irr_start how, int inherited)
{
	static char argv[16384];
	char exe[4096], comm[64], cwd[4096];
	uint64_t args[3] = {
		(uint64_t)irr_sys(SYS_getppid, 0, 0, 0, 0, 0, 0),
		irr_stat_field(22), /* start time, clock ticks since boot: with the pid, an identity */
		(uint64_t)(int64_t)inherited,
	};
	long n = irr_sys(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)exe, sizeof exe, 0, 0);
	size_t comm_bytes = read_file("/proc/self/comm", comm, sizeof comm);
	if (comm_bytes && comm[comm_bytes - 1] == '\n')
		comm_bytes--;
	long w = irr_sys(SYS_getcwd, (long)cwd, sizeof cwd, 0, 0, 0, 0);
	const char *texts[4] = { exe, argv, comm, cwd };
	size_t lengths[4] = { n > 0 ? (size_t)n : 0, 0, comm_bytes, w > 0 ? (size_t)w - 1 : 0 };
	/* A forked child has the same arguments as its parent; they are told once, by the image. */
	if (how == IRR_START_EXEC) {
		lengths[1] = read_file("/proc/self/cmdline", argv, sizeof argv);
		if (lengths[1] && argv[lengths[1] - 1] == 0)
			lengths[1]--;
	}
	irr_event(IRR_KIND_START, how, -1, 0, 0, 0, irr_now(), args, inherited < 0 ? 2 : 3, texts, lengths, 4);
}

/*
 * The end of an image that ends by exit(3). Registered before libc registers the destructors of libraries, so it runs after
 * them, and what they still do is in the log.
 */
static void image_ends(int status, void *arg)
{
	(void)arg;
	int saved = errno;
	if (irr_ready())
		irr_exit_frame(IRR_EXIT_EXIT, status & 0xff);
	errno = saved;
}

/* First thing in the image, or at the first call of somebody else's constructor. */
void irr_start(void)
{
	int unborn = IRR_UNBORN;
	if (!atomic_compare_exchange_strong(&irr_phase, &unborn, IRR_STARTING))
		return;
	int saved = errno;
	irr_hooks_resolve();
	const char *path = getenv("IRR_SPOOL");
	long page = irr_sys(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!path || (unsigned long)page > -4096UL || irr_sys(SYS_madvise, page, 4096, MADV_WIPEONFORK, 0, 0, 0) < 0 || !irr_spool_open(path)) {
		atomic_store(&irr_phase, IRR_INERT);
		errno = saved;
		return;
	}
	irr_self = (struct irr_self *)page;
	atomic_store(&irr_self->pid, (uint32_t)irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0));
	irr_copy_init();
	irr_model_start(path);
	irr_mmio_start();
	irr_kvm_start();
	atomic_store_explicit(&irr_phase, IRR_READY, memory_order_release);
	start_frame(IRR_START_EXEC, irr_files_look());
	irr_files_start();
	on_exit(image_ends, NULL);
	errno = saved;
}

/* The first call in a child that was forked, by whatever means. */
void irr_forked(void)
{
	uint32_t none = 0;
	int saved = errno;
	if (!atomic_compare_exchange_strong(&irr_self->pid, &none, (uint32_t)irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0)))
		return;
	irr_thread.vfork = 0;
	irr_thread.forking = NULL;
	irr_queue_forked();
	start_frame(IRR_START_FORK, -1);
	irr_files_forked();
	irr_kvm_forked();
	irr_model_forked((uint32_t)irr_sys(SYS_getppid, 0, 0, 0, 0, 0, 0));
	errno = saved;
}

/* The process (or the vfork child) is about to end by itself. */
void irr_exit_frame(enum irr_exit how, int status)
{
	irr_queue_exit();
	if (!irr_thread.vfork)
		irr_files_exit();
	irr_event(IRR_KIND_EXIT, how, -1, 0, status, 0, irr_now(), NULL, 0, NULL, NULL, 0);
	irr_model_exit();
}

__attribute__((constructor(101))) static void image_starts(void)
{
	irr_start();
}
