/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `--sample-queues`: queues are read every so often, by a thread of the shim.
 *
 * Page 0 is device memory, which only a thread with the program's own memory can read: not the recorder, by whatever call. A
 * timer's signal would break off system calls of the program, and samples taken along with its calls end where the calls
 * do, which is what a hardware queue is for. So there is a thread; it is there only with this option, from the first queue
 * to the last one, and not once the program has a seccomp filter. libc knows nothing of it: it is not counted by
 * pthread_exit, has every signal blocked, and ends with the program and with an exec.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "irr_mmio.h"
#include "irr_queue.h"

#define STACK UINT64_C(0x20000)
#define HALF UINT64_C(0x10000) /* of the thread's own variables: as much below the thread pointer as above */

static _Atomic uint32_t running, stopping;
static _Atomic uint32_t alive; /* its tid; the kernel makes it 0 when it has ended */
static uintptr_t memory;       /* its stack, and behind it its variables */

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return irr_sys(SYS_futex, (long)word, op, value, (long)timeout, 0, 0);
}

static bool any(void)
{
	for (unsigned i = 0; i < irr_hw_queues_used(); i++)
		if (atomic_load_explicit(&irr_hw_queues[i].state, memory_order_acquire) == IRR_LIVE)
			return true;
	return false;
}

static int sampler(void *arg)
{
	uint32_t ms = irr_spool->sample_ms;
	struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };
	(void)arg;
	irr_sys(SYS_prctl, PR_SET_NAME, (long)"irr-queues", 0, 0, 0, 0);
	for (;;) {
		futex(&stopping, FUTEX_WAIT_PRIVATE, 0, &pause);
		if (atomic_load(&stopping) || irr_spool->stop)
			return 0;
		if (!any()) {
			atomic_store(&running, 0);
			uint32_t none = 0;
			if (!any() || !atomic_compare_exchange_strong(&running, &none, 1))
				return 0;
		}
		for (unsigned i = 0; i < irr_hw_queues_used(); i++)
			if (atomic_load_explicit(&irr_hw_queues[i].state, memory_order_acquire) == IRR_LIVE)
				irr_queue_sample(&irr_hw_queues[i], IRR_QUEUE_PERIODIC, false);
	}
}

/* Variables of a thread that libc has not made: what the shim has there, and what a compiler expects. NULL: they lie too far. */
static void *variables(uintptr_t at)
{
	uintptr_t here = (uintptr_t)__builtin_thread_pointer(), mine[] = { (uintptr_t)&irr_thread, (uintptr_t)&irr_mmio_thread };
	size_t bytes[] = { sizeof irr_thread, sizeof irr_mmio_thread };
	uintptr_t pointer = at + HALF + here % 4096;
	for (unsigned i = 0; i < 2; i++)
		if (mine[i] + HALF < here + 4096 || mine[i] + bytes[i] + 8192 > here + HALF)
			return NULL;
	memset((void *)at, 0, 2 * HALF + 4096);
#if defined(__x86_64__)
	memcpy((void *)pointer, (void *)here, 64); /* what stacks are guarded by */
	((uintptr_t *)pointer)[0] = ((uintptr_t *)pointer)[2] = pointer;
#endif
	return (void *)pointer;
}

/* There is a queue, and a thread that reads it. */
void irr_sampler_start(void)
{
	uint32_t none = 0;
	sigset_t all, before;
	if (irr_likely(irr_spool->sample_ms == 0) || atomic_load(&irr_confined) || irr_thread.vfork || atomic_load(&running) || !any() ||
	    !atomic_compare_exchange_strong(&running, &none, 1))
		return;
	/* One that has just made up its mind to end still stands on it. */
	for (uint32_t tid; (tid = atomic_load(&alive)) != 0;)
		futex(&alive, FUTEX_WAIT, tid, NULL);
	if (!memory) {
		long at = irr_sys(SYS_mmap, 0, STACK + 2 * HALF + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		memory = (unsigned long)at > -4096UL ? 0 : (uintptr_t)at;
	}
	void *tls = memory ? variables(memory + STACK) : NULL;
	if (!tls) {
		atomic_store(&running, 0);
		return;
	}
	sigfillset(&all);
	if (irr_mmio) {
		sigdelset(&all, SIGSEGV);
		sigdelset(&all, SIGBUS);
		sigdelset(&all, SIGTRAP);
	}
	irr_sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8, 0, 0);
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	if (clone(sampler, (void *)(memory + STACK), flags, NULL, &alive, tls, &alive) < 0)
		atomic_store(&running, 0);
	irr_sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8, 0, 0);
}

/* And does not come again. */
void irr_sampler_stop(void)
{
	atomic_store(&stopping, 1);
	futex(&stopping, FUTEX_WAKE_PRIVATE, 1, NULL);
	for (uint32_t tid; (tid = atomic_load(&alive)) != 0;)
		futex(&alive, FUTEX_WAIT, tid, NULL);
}

/* Threads are not forked. */
void irr_sampler_forked(void)
{
	atomic_store(&running, 0);
	atomic_store(&alive, 0);
}
