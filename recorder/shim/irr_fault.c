/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The signals that trapping needs (SIGSEGV, SIGBUS for accesses that the device refuses, SIGTRAP behind an instruction that
 * the processor makes itself), and the program's own use of them. What the program sets is kept and told back; faults that
 * are not ours are handed on as the kernel would. None of the three is ever really blocked: an access of the program with
 * its signal blocked would end it.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "irr_hooks.h"
#include "irr_mmio.h"

#define OURS 3
static const int ours[OURS] = { SIGSEGV, SIGBUS, SIGTRAP };

/* What the program has set. Written under `writer`, read whenever its number is even and stays. */
static struct sigaction program[OURS];
static _Atomic uint32_t version;
/* Of our signals, those in the sa_mask that the program gave for another. */
static _Atomic uint8_t masked[_NSIG];

static int index_of(int sig)
{
	for (int i = 0; i < OURS; i++)
		if (ours[i] == sig)
			return i;
	return -1;
}

/* ---- masks ---- */

/* Takes ours out of a set; returns which were in it, a bit each. */
static uint32_t take_out(sigset_t *set)
{
	uint32_t bits = 0;
	for (int i = 0; i < OURS; i++)
		if (sigismember(set, ours[i]) == 1) {
			bits |= 1u << i;
			sigdelset(set, ours[i]);
		}
	return bits;
}

static void put_in(sigset_t *set, uint32_t bits)
{
	for (int i = 0; i < OURS; i++)
		if (bits & 1u << i)
			sigaddset(set, ours[i]);
}

static void set_mask(const sigset_t *set)
{
	irr_sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)set, 0, 8, 0, 0);
}

/* ---- actions ---- */

static struct sigaction read_program(int i)
{
	for (;;) {
		uint32_t v = atomic_load_explicit(&version, memory_order_acquire);
		struct sigaction a = program[i];
		atomic_thread_fence(memory_order_acquire);
		if (!(v & 1) && atomic_load_explicit(&version, memory_order_relaxed) == v)
			return a;
	}
}

/* With every signal held back: a handler that came between would wait for ever. */
static void write_program(int i, const struct sigaction *a)
{
	sigset_t all, before;
	sigfillset(&all);
	irr_sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8, 0, 0);
	uint32_t v;
	do
		v = atomic_load_explicit(&version, memory_order_relaxed) & ~1u;
	while (!atomic_compare_exchange_weak(&version, &v, v + 1));
	program[i] = *a;
	atomic_fetch_add_explicit(&version, 1, memory_order_release);
	set_mask(&before);
}

static void on_signal(int sig, siginfo_t *info, void *context);

/* The kernel's action follows the program's in what it can see: which stack, and whether a call is taken up again. */
static bool install(int i)
{
	struct sigaction theirs = read_program(i), mine = { 0 };
	mine.sa_sigaction = on_signal;
	mine.sa_flags = SA_SIGINFO | SA_NODEFER | (theirs.sa_flags & (SA_ONSTACK | SA_RESTART));
	sigfillset(&mine.sa_mask);
	sigdelset(&mine.sa_mask, SIGILL);
	sigdelset(&mine.sa_mask, SIGFPE);
	take_out(&mine.sa_mask);
	return irr_next.sigaction && irr_next.sigaction(ours[i], &mine, NULL) == 0;
}

bool irr_fault_start(void)
{
	struct sigaction was;
	sigset_t mask;
	for (int i = 0; i < OURS; i++) {
		if (!irr_next.sigaction || irr_next.sigaction(ours[i], NULL, &was) != 0)
			return false;
		write_program(i, &was);
		if (!install(i))
			return false;
	}
	irr_sys(SYS_rt_sigprocmask, SIG_SETMASK, 0, (long)&mask, 8, 0, 0);
	irr_mmio_thread.blocked = take_out(&mask);
	set_mask(&mask);
	return true;
}

/* ---- what is not ours ---- */

/* The default action: the instruction faults again without us, or the signal is sent again. */
static void die(int sig, siginfo_t *info)
{
	struct sigaction none = { .sa_handler = SIG_DFL };
	irr_next.sigaction(sig, &none, NULL);
	if (sig == SIGTRAP || info->si_code <= 0)
		irr_sys(SYS_rt_tgsigqueueinfo, irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0), irr_sys(SYS_gettid, 0, 0, 0, 0, 0, 0), sig, (long)info, 0, 0);
}

static void hand_on(int sig, siginfo_t *info, ucontext_t *context)
{
	int i = index_of(sig);
	struct sigaction theirs = read_program(i);
	if (theirs.sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	if (theirs.sa_handler == SIG_DFL || theirs.sa_handler == SIG_IGN) {
		die(sig, info);
		return;
	}
	if (theirs.sa_flags & (int)SA_RESETHAND) {
		struct sigaction none = { .sa_handler = SIG_DFL };
		write_program(i, &none);
	}
	sigset_t mask = context->uc_sigmask;
	for (int s = 1; s < _NSIG; s++)
		if (sigismember(&theirs.sa_mask, s) == 1)
			sigaddset(&mask, s);
	take_out(&mask);
	set_mask(&mask);
	if (theirs.sa_flags & SA_SIGINFO)
		theirs.sa_sigaction(sig, info, context);
	else
		theirs.sa_handler(sig);
}

static void on_signal(int sig, siginfo_t *info, void *raw)
{
	ucontext_t *context = raw;
	struct irr_region region;
	siginfo_t theirs = *info;
	enum irr_trap how = IRR_TRAP_PROGRAM;
	int saved = errno;
	if (irr_raw_faulted(info, context))
		return;
	if (sig == SIGTRAP) {
		if (irr_insn_stepped(&theirs, context, &how) && how == IRR_TRAP_DONE) {
			errno = saved;
			return;
		}
	} else {
		irr_insn_abort(&theirs, context);
		if (sig == SIGSEGV && info->si_code == SEGV_ACCERR && irr_mmio_find((uintptr_t)info->si_addr, &region)) {
			if (irr_unlikely(irr_spool->stop)) { /* nobody records any more: the program gets its page back */
				irr_mmio_release(&region, (uintptr_t)info->si_addr);
				how = IRR_TRAP_DONE;
			} else
				how = irr_insn_trap(&region, &theirs, context);
		}
		if (how == IRR_TRAP_DONE) {
			errno = saved;
			return;
		}
	}
	errno = saved;
	hand_on(theirs.si_signo, &theirs, context);
	errno = saved;
}

/* ---- the program's calls ---- */

static int action(int sig, const struct sigaction *act, struct sigaction *old, int (*real)(int, const struct sigaction *, struct sigaction *))
{
	int i = index_of(sig);
	if (i >= 0) {
		struct sigaction was = read_program(i);
		/* A vfork child has the kernel's actions for itself, but our memory is its parent's. */
		if (act && irr_unlikely(irr_thread.vfork)) {
			int ret = real(sig, act, NULL);
			if (ret == 0 && old)
				*old = was;
			return ret;
		}
		if (act) {
			struct sigaction fresh = *act;
			write_program(i, &fresh);
			install(i);
		}
		if (old)
			*old = was;
		return 0;
	}
	if (sig <= 0 || sig >= _NSIG || irr_unlikely(irr_thread.vfork))
		return real(sig, act, old);
	uint8_t was = atomic_load(&masked[sig]), bits = was;
	struct sigaction fresh;
	if (act) {
		fresh = *act;
		bits = (uint8_t)take_out(&fresh.sa_mask);
	}
	int ret = real(sig, act ? &fresh : NULL, old);
	if (ret == 0) {
		if (act)
			atomic_store(&masked[sig], bits);
		if (old)
			put_in(&old->sa_mask, was);
	}
	return ret;
}

/* Before the shim has found libc's own. */
#define RESOLVED(name) (irr_likely(irr_next.name != NULL) || (irr_hooks_resolve(), irr_next.name != NULL))
#define ON() (irr_ready() && irr_mmio)

#define ACTION_HOOK(name)                                                                                              \
	IRR_HOOK int name(int sig, const struct sigaction *act, struct sigaction *old)                                 \
	{                                                                                                              \
		if (!RESOLVED(name)) {                                                                                 \
			errno = ENOSYS;                                                                                \
			return -1;                                                                                     \
		}                                                                                                      \
		return ON() ? action(sig, act, old, irr_next.name) : irr_next.name(sig, act, old);                     \
	}
ACTION_HOOK(sigaction)
ACTION_HOOK(__sigaction)

/* The older functions, by what they are made of. */
#define SIGNAL_HOOK(name, flags)                                                                                       \
	IRR_HOOK __sighandler_t name(int sig, __sighandler_t handler)                                                  \
	{                                                                                                              \
		if (!RESOLVED(name)) {                                                                                 \
			errno = ENOSYS;                                                                                \
			return SIG_ERR;                                                                                \
		}                                                                                                      \
		if (!ON() || index_of(sig) < 0 || handler == SIG_ERR)                                                  \
			return irr_next.name(sig, handler);                                                            \
		struct sigaction act = { .sa_handler = handler, .sa_flags = (int)(flags) }, old;                       \
		action(sig, &act, &old, irr_next.sigaction);                                                                         \
		return old.sa_handler;                                                                                 \
	}
SIGNAL_HOOK(signal, SA_RESTART)
SIGNAL_HOOK(bsd_signal, SA_RESTART)
SIGNAL_HOOK(ssignal, SA_RESTART)
SIGNAL_HOOK(sysv_signal, SA_RESETHAND | SA_NODEFER)
SIGNAL_HOOK(__sysv_signal, SA_RESETHAND | SA_NODEFER)

static int mask(int how, const sigset_t *set, sigset_t *old, int (*real)(int, const sigset_t *, sigset_t *))
{
	struct irr_mmio_thread *t = &irr_mmio_thread;
	uint32_t before = t->blocked, bits = 0;
	sigset_t rest;
	if (irr_unlikely(irr_thread.vfork))
		return real(how, set, old);
	if (set) {
		rest = *set;
		bits = take_out(&rest);
	}
	int ret = real(how, set ? &rest : NULL, old);
	if (ret == 0) {
		if (set)
			t->blocked = how == SIG_BLOCK ? before | bits : how == SIG_UNBLOCK ? before & ~bits : bits;
		if (old)
			put_in(old, before);
	}
	return ret;
}

#define MASK_HOOK(name)                                                                                                \
	IRR_HOOK int name(int how, const sigset_t *set, sigset_t *old)                                                 \
	{                                                                                                              \
		if (!RESOLVED(name))                                                                                   \
			return (int)irr_sys_errno(SYS_rt_sigprocmask, how, (long)set, (long)old, 8, 0, 0);             \
		return ON() ? mask(how, set, old, irr_next.name) : irr_next.name(how, set, old);                       \
	}
MASK_HOOK(sigprocmask)
MASK_HOOK(pthread_sigmask)

static __attribute__((noinline)) const sigset_t *without(const sigset_t *set, sigset_t *rest)
{
	if (!set || !ON())
		return set;
	*rest = *set;
	take_out(rest);
	return rest;
}

/* Waits with a mask for as long: a handler that runs meanwhile has it too. */
#define WITH_MASK(name, set, call)                                                                                     \
	{                                                                                                              \
		if (!RESOLVED(name)) {                                                                                 \
			errno = ENOSYS;                                                                                \
			return -1;                                                                                     \
		}                                                                                                      \
		sigset_t rest;                                                                                         \
		set = without(set, &rest);                                                                             \
		return irr_next.name call;                                                                             \
	}
IRR_HOOK int sigsuspend(const sigset_t *set)
WITH_MASK(sigsuspend, set, (set))
IRR_HOOK int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *set)
WITH_MASK(ppoll, set, (fds, n, timeout, set))
IRR_HOOK int pselect(int n, fd_set *in, fd_set *out, fd_set *other, const struct timespec *timeout, const sigset_t *set)
WITH_MASK(pselect, set, (n, in, out, other, timeout, set))
IRR_HOOK int epoll_pwait(int fd, struct epoll_event *events, int n, int timeout, const sigset_t *set)
WITH_MASK(epoll_pwait, set, (fd, events, n, timeout, set))
