/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that come and go: fork, vfork, exec, posix_spawn, exit. A program that is started with an environment of its
 * own choosing is followed as well: LD_PRELOAD and IRR_SPOOL are put back into it.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "irr.h"
#include "irr_hooks.h"

extern char **environ;

/* ---- fork ---- */

static bool forking(struct irr_call *c, enum irr_fork how)
{
	if (!irr_begin(c, IRR_KIND_FORK, 0, irr_now()))
		return false;
	c->frame->request = how;
	irr_enter(c);
	return true;
}

static void forked(struct irr_call *c, pid_t child, int error)
{
	c->frame->t_exit = irr_now();
	irr_leave(c, child, child < 0 ? error : 0);
}

static pid_t fork_by(pid_t (*real)(void))
{
	struct irr_call c;
	int before = errno;
	bool recorded = irr_ready() && forking(&c, IRR_FORK_FORK);
	errno = before;
	pid_t child = real();
	int saved = errno;
	if (child == 0)
		irr_thread.depth = 0;
	else if (recorded)
		forked(&c, child, saved);
	/* The child reports itself at once, so that the log knows it although it may never make another call of ours. */
	if (child == 0)
		irr_ready();
	errno = saved;
	return child;
}

static pid_t raw_fork(void)
{
	return (pid_t)irr_sys_errno(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);
}

IRR_HOOK pid_t fork(void)
{
	return fork_by(irr_next.fork ? irr_next.fork : raw_fork);
}

IRR_HOOK pid_t _Fork(void)
{
	return fork_by(irr_next._Fork ? irr_next._Fork : raw_fork);
}

/*
 * vfork returns twice on one stack, so no C function can stand around it. The child runs on this thread's memory until it
 * execs or exits; `vfork` in the thread's state tells the other hooks to take the pid from the kernel and to leave the
 * descriptor table alone, which is the parent's.
 */
__attribute__((used, visibility("hidden"))) void irr_vfork_enter(void)
{
	struct irr_call c;
	int before = errno;
	irr_thread.forking = NULL;
	if (irr_ready() && forking(&c, IRR_FORK_VFORK)) {
		irr_thread.forking = c.frame;
		irr_thread.depth--;
	}
	errno = before;
}

__attribute__((used, visibility("hidden"))) pid_t irr_vfork_leave(long child)
{
	struct irr_frame *f = irr_thread.forking;
	irr_thread.vfork = 0;
	irr_thread.forking = NULL;
	if (f) {
		f->t_exit = irr_now();
		f->ret = child < 0 ? -1 : child;
		f->error = child < 0 ? (int)-child : 0;
		atomic_store_explicit((_Atomic uint8_t *)&f->state, IRR_STATE_RETURNED, memory_order_release);
	}
	if (child < 0) {
		errno = (int)-child;
		return -1;
	}
	return (pid_t)child;
}

__attribute__((used, visibility("hidden"))) pid_t irr_vfork_child(void)
{
	irr_thread.vfork = 1;
	return 0;
}

#if defined(__x86_64__)
/* The return address is kept in a register over the system call: the child overwrites it on the stack. */
__asm__(".globl vfork\n"
	".type vfork, @function\n"
	"vfork:\n"
	"	subq $8, %rsp\n"
	"	call irr_vfork_enter\n"
	"	addq $8, %rsp\n"
	"	popq %rdi\n"
	"	movl $58, %eax\n"
	"	syscall\n"
	"	pushq %rdi\n"
	"	testq %rax, %rax\n"
	"	jz 1f\n"
	"	movq %rax, %rdi\n"
	"	jmp irr_vfork_leave\n"
	"1:	jmp irr_vfork_child\n"
	".size vfork, . - vfork\n"
	".globl __vfork\n"
	".set __vfork, vfork\n");
#elif defined(__aarch64__)
/* clone(CLONE_VM | CLONE_VFORK | SIGCHLD); the return address stays in x30, which the kernel keeps for both. */
__asm__(".globl vfork\n"
	".type vfork, %function\n"
	"vfork:\n"
	"	stp x29, x30, [sp, #-16]!\n"
	"	bl irr_vfork_enter\n"
	"	ldp x29, x30, [sp], #16\n"
	"	mov x0, #0x4111\n"
	"	mov x1, sp\n"
	"	mov x2, #0\n"
	"	mov x3, #0\n"
	"	mov x4, #0\n"
	"	mov x8, #220\n"
	"	svc #0\n"
	"	cbz x0, 1f\n"
	"	b irr_vfork_leave\n"
	"1:	b irr_vfork_child\n"
	".size vfork, . - vfork\n"
	".globl __vfork\n"
	".set __vfork, vfork\n");
#endif

/* ---- environment ---- */

static const char *value_of(char *const env[], const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; env && env[i]; i++)
		if (strncmp(env[i], name, n) == 0 && env[i][n] == '=')
			return env[i] + n + 1;
	return NULL;
}

static char own_path[PATH_MAX]; /* of this library */
static char own_spool[PATH_MAX + 16];

static void find_own(void)
{
	Dl_info info;
	const char *spool = getenv("IRR_SPOOL");
	if (own_path[0] || !dladdr((void *)find_own, &info) || !info.dli_fname || !spool)
		return;
	if (strlen(info.dli_fname) < sizeof own_path && strlen(spool) < PATH_MAX) {
		strcpy(own_spool, "IRR_SPOOL=");
		strcat(own_spool, spool);
		strcpy(own_path, info.dli_fname);
	}
}

__attribute__((constructor(102))) static void remember_own(void)
{
	find_own();
}

static bool lists_own(const char *preload)
{
	return preload && own_path[0] && strstr(preload, own_path);
}

static size_t count_env(char *const env[])
{
	size_t n = 0;
	while (env && env[n])
		n++;
	return n;
}

/* Bytes on the stack that follow_env needs; 0: the environment will do as it is. */
static size_t follow_room(char *const env[])
{
	if (!own_path[0])
		return 0;
	const char *preload = value_of(env, "LD_PRELOAD");
	if (lists_own(preload) && value_of(env, "IRR_SPOOL"))
		return 0;
	return (count_env(env) + 3) * sizeof(char *) + 32 + strlen(own_path) + (preload ? strlen(preload) : 0);
}

static char **follow_env(char *const env[], void *room)
{
	char **to = room;
	size_t n = 0;
	const char *preload = value_of(env, "LD_PRELOAD");
	for (size_t i = 0; env && env[i]; i++)
		if (strncmp(env[i], "LD_PRELOAD=", 11) != 0 && strncmp(env[i], "IRR_SPOOL=", 10) != 0)
			to[n++] = env[i];
	char *text = (char *)(to + count_env(env) + 3);
	to[n++] = text;
	to[n++] = own_spool;
	to[n] = NULL;
	strcpy(text, "LD_PRELOAD=");
	strcat(text, own_path);
	if (preload && *preload && !lists_own(preload)) {
		strcat(text, ":");
		strcat(text, preload);
	}
	return to;
}

#define FOLLOW(env)                                                                                                    \
	({                                                                                                             \
		size_t room_ = irr_ready() ? follow_room(env) : 0;                                                     \
		room_ ? follow_env(env, alloca(room_)) : (char **)(uintptr_t)(env);                                    \
	})

/* ---- exec ---- */

/* Records the attempt; success shows in the START of the new image. */
static bool executing(struct irr_call *c, const char *path, char *const argv[])
{
	char name[4096], args[8192];
	size_t n = irr_copy_string(name, sizeof name, path), used = 0;
	for (size_t i = 0; argv && used < sizeof args - 1; i++) {
		char *one;
		if (irr_copy(&one, &argv[i], sizeof one) < sizeof one || !one)
			break;
		used += irr_copy_string(args + used, sizeof args - 1 - used, one);
		args[used++] = 0;
	}
	if (used)
		used--;
	if (!irr_begin(c, IRR_KIND_EXEC, irr_room(n) + irr_room(used), irr_now()))
		return false;
	memcpy(irr_part(c, IRR_PART_TEXT, 0, 0, (uint32_t)n, n, (uintptr_t)path), name, n);
	memcpy(irr_part(c, IRR_PART_TEXT, 0, 1, (uint32_t)used, used, 0), args, used);
	irr_enter(c);
	return true;
}

#define EXEC(path, argv, call)                                                                                         \
	({                                                                                                             \
		struct irr_call c_;                                                                                    \
		int before_ = errno;                                                                                   \
		bool recorded_ = irr_ready() && executing(&c_, path, argv);                                            \
		errno = before_;                                                                                       \
		int ret_ = call, saved_ = errno;                                                                       \
		if (recorded_) {                                                                                       \
			c_.frame->t_exit = irr_now();                                                                  \
			irr_leave(&c_, ret_, saved_);                                                                  \
		}                                                                                                      \
		errno = saved_;                                                                                        \
		ret_;                                                                                                  \
	})

IRR_HOOK int execve(const char *path, char *const argv[], char *const env[])
{
	char **followed = FOLLOW(env);
	return EXEC(path, argv, irr_next.execve ? irr_next.execve(path, argv, followed) : (int)irr_sys_errno(SYS_execve, (long)path, (long)argv, (long)followed, 0, 0, 0));
}

IRR_HOOK int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

IRR_HOOK int execvpe(const char *file, char *const argv[], char *const env[])
{
	char **followed = FOLLOW(env);
	return EXEC(file, argv, irr_next.execvpe(file, argv, followed));
}

IRR_HOOK int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

IRR_HOOK int fexecve(int fd, char *const argv[], char *const env[])
{
	char **followed = FOLLOW(env);
	return EXEC("(descriptor)", argv, irr_next.fexecve(fd, argv, followed));
}

IRR_HOOK int execveat(int dir, const char *path, char *const argv[], char *const env[], int flags)
{
	char **followed = FOLLOW(env);
	return EXEC(path, argv, (int)irr_sys_errno(SYS_execveat, dir, (long)path, (long)argv, (long)followed, flags, 0));
}

/* execl and its kin: the arguments up to NULL, as an array on the stack. */
static size_t count_list(va_list ap)
{
	size_t n = 1;
	while (va_arg(ap, char *))
		n++;
	return n;
}

#define GATHER(argv, first)                                                                                            \
	va_list ap;                                                                                                    \
	va_start(ap, first);                                                                                           \
	size_t n_ = count_list(ap) + 1;                                                                                \
	va_end(ap);                                                                                                    \
	char **argv = alloca(n_ * sizeof *argv);                                                                       \
	va_start(ap, first);                                                                                           \
	argv[0] = (char *)(uintptr_t)first;                                                                            \
	for (size_t i_ = 1; i_ < n_; i_++)                                                                             \
		argv[i_] = va_arg(ap, char *)

IRR_HOOK int execl(const char *path, const char *arg, ...)
{
	GATHER(argv, arg);
	va_end(ap);
	return execve(path, argv, environ);
}

IRR_HOOK int execlp(const char *file, const char *arg, ...)
{
	GATHER(argv, arg);
	va_end(ap);
	return execvpe(file, argv, environ);
}

IRR_HOOK int execle(const char *path, const char *arg, ...)
{
	GATHER(argv, arg);
	char **env = va_arg(ap, char **);
	va_end(ap);
	return execve(path, argv, env);
}

/* ---- posix_spawn ---- */

#define SPAWN_HOOK(name)                                                                                               \
	IRR_HOOK int name(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const argv[], char *const env[]) \
	{                                                                                                              \
		char **followed = FOLLOW(env);                                                                         \
		struct irr_call c;                                                                                     \
		int before = errno;                                                                                    \
		pid_t child = 0;                                                                                       \
		bool recorded = irr_ready() && forking(&c, IRR_FORK_SPAWN);                                            \
		errno = before;                                                                                        \
		int error = irr_next.name(&child, path, actions, attr, argv, followed), saved = errno;                 \
		if (!error && pid)                                                                                     \
			*pid = child;                                                                                  \
		if (recorded)                                                                                          \
			forked(&c, error ? -1 : child, error);                                                         \
		errno = saved;                                                                                         \
		return error;                                                                                          \
	}
SPAWN_HOOK(posix_spawn)
SPAWN_HOOK(posix_spawnp)

/* ---- exit ---- */

__attribute__((noreturn)) static void leave(int status)
{
	if (irr_ready())
		irr_exit_frame(IRR_EXIT_IMMEDIATE, status & 0xff);
	if (irr_next._exit)
		irr_next._exit(status);
	for (;;)
		irr_sys(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

IRR_HOOK __attribute__((noreturn)) void _exit(int status)
{
	leave(status);
}

IRR_HOOK __attribute__((noreturn)) void _Exit(int status)
{
	leave(status);
}
