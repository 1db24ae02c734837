/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The libc functions that the shim stands in for: one row each, name, result, parameters. The row makes the pointer to
 * the next definition (another preloaded library's, or libc's), found once at start. Each makes the program's call with the
 * program's arguments and gives back its result and errno; what it notes around that is nobody else's business. Before the
 * shim has found the next definitions (some other constructor was first), calls go straight to the kernel.
 *
 *   irr_hooks.c           ioctl, descriptors
 *   irr_hooks_memory.c    mmap and its kin
 *   irr_hooks_transfer.c  read, write, messages
 *   irr_hooks_syscall.c   system calls by number, seccomp
 *   irr_exec.c            processes        irr_fault.c  signals
 */
#ifndef IRR_HOOKS_H
#define IRR_HOOKS_H

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "irr.h"

#define IRR_NEXT(X)                                                                                                    \
	X(ioctl, int, (int, unsigned long, ...))                                                                       \
	X(open, int, (const char *, int, ...))                                                                         \
	X(open64, int, (const char *, int, ...))                                                                       \
	X(openat, int, (int, const char *, int, ...))                                                                  \
	X(openat64, int, (int, const char *, int, ...))                                                                \
	X(creat, int, (const char *, mode_t))                                                                          \
	X(creat64, int, (const char *, mode_t))                                                                        \
	X(__open_2, int, (const char *, int))                                                                          \
	X(__open64_2, int, (const char *, int))                                                                        \
	X(__openat_2, int, (int, const char *, int))                                                                   \
	X(__openat64_2, int, (int, const char *, int))                                                                 \
	X(access, int, (const char *, int))                                                                            \
	X(eaccess, int, (const char *, int))                                                                           \
	X(euidaccess, int, (const char *, int))                                                                        \
	X(faccessat, int, (int, const char *, int, int))                                                               \
	X(close, int, (int))                                                                                           \
	X(close_range, int, (unsigned, unsigned, int))                                                                 \
	X(closefrom, void, (int))                                                                                      \
	X(dup, int, (int))                                                                                             \
	X(dup2, int, (int, int))                                                                                       \
	X(dup3, int, (int, int, int))                                                                                  \
	X(fcntl, int, (int, int, ...))                                                                                 \
	X(fcntl64, int, (int, int, ...))                                                                               \
	X(mmap, void *, (void *, size_t, int, int, int, off_t))                                                        \
	X(mmap64, void *, (void *, size_t, int, int, int, off_t))                                                      \
	X(munmap, int, (void *, size_t))                                                                               \
	X(mremap, void *, (void *, size_t, size_t, int, ...))                                                          \
	X(mprotect, int, (void *, size_t, int))                                                                        \
	X(read, ssize_t, (int, void *, size_t))                                                                        \
	X(__read_chk, ssize_t, (int, void *, size_t, size_t))                                                          \
	X(readv, ssize_t, (int, const struct iovec *, int))                                                            \
	X(pread, ssize_t, (int, void *, size_t, off_t))                                                                \
	X(pread64, ssize_t, (int, void *, size_t, off_t))                                                              \
	X(__pread_chk, ssize_t, (int, void *, size_t, off_t, size_t))                                                  \
	X(__pread64_chk, ssize_t, (int, void *, size_t, off_t, size_t))                                                \
	X(preadv, ssize_t, (int, const struct iovec *, int, off_t))                                                    \
	X(preadv64, ssize_t, (int, const struct iovec *, int, off_t))                                                  \
	X(write, ssize_t, (int, const void *, size_t))                                                                 \
	X(writev, ssize_t, (int, const struct iovec *, int))                                                           \
	X(pwrite, ssize_t, (int, const void *, size_t, off_t))                                                         \
	X(pwrite64, ssize_t, (int, const void *, size_t, off_t))                                                       \
	X(pwritev, ssize_t, (int, const struct iovec *, int, off_t))                                                   \
	X(pwritev64, ssize_t, (int, const struct iovec *, int, off_t))                                                 \
	X(fork, pid_t, (void))                                                                                         \
	X(_Fork, pid_t, (void))                                                                                        \
	X(execve, int, (const char *, char *const[], char *const[]))                                                   \
	X(execvpe, int, (const char *, char *const[], char *const[]))                                                  \
	X(fexecve, int, (int, char *const[], char *const[]))                                                           \
	X(execveat, int, (int, const char *, char *const[], char *const[], int))                                       \
	X(posix_spawn, int, (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[]))  \
	X(posix_spawnp, int, (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[])) \
	X(_exit, void, (int))                                                                                          \
	X(sendmsg, ssize_t, (int, const struct msghdr *, int))                                                         \
	X(recvmsg, ssize_t, (int, struct msghdr *, int))                                                               \
	X(sendmmsg, int, (int, struct mmsghdr *, unsigned, int))                                                       \
	X(recvmmsg, int, (int, struct mmsghdr *, unsigned, int, struct timespec *))                                    \
	X(__recvmsg_chk, ssize_t, (int, struct msghdr *, int))                                                         \
	X(sigaction, int, (int, const struct sigaction *, struct sigaction *))                                         \
	X(__sigaction, int, (int, const struct sigaction *, struct sigaction *))                                       \
	X(signal, __sighandler_t, (int, __sighandler_t))                                                               \
	X(bsd_signal, __sighandler_t, (int, __sighandler_t))                                                           \
	X(ssignal, __sighandler_t, (int, __sighandler_t))                                                              \
	X(sysv_signal, __sighandler_t, (int, __sighandler_t))                                                          \
	X(__sysv_signal, __sighandler_t, (int, __sighandler_t))                                                        \
	X(sigprocmask, int, (int, const sigset_t *, sigset_t *))                                                       \
	X(pthread_sigmask, int, (int, const sigset_t *, sigset_t *))                                                   \
	X(sigsuspend, int, (const sigset_t *))                                                                         \
	X(ppoll, int, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))                            \
	X(pselect, int, (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))                \
	X(epoll_pwait, int, (int, struct epoll_event *, int, int, const sigset_t *))                                   \
	X(prctl, int, (int, ...))                                                                                      \
	X(syscall, long, (long, ...))

struct irr_next {
#define X(name, result, parameters) result(*name) parameters;
	IRR_NEXT(X)
#undef X
};

extern struct irr_next irr_next;

/* The next definition, or the system call where there is none yet. */
#define NEXT(name, raw, ...) (irr_likely(irr_next.name != NULL) ? irr_next.name(__VA_ARGS__) : (raw))
#define RAW(nr, a, b, c, d, e, f) irr_sys_errno(SYS_##nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline void simple(enum irr_kind kind, uint32_t request, int fd, uint64_t known, int64_t ret, int error, uint64_t t, const uint64_t *args, unsigned n)
{
	irr_event(kind, request, fd, known, ret, error, t, args, n, NULL, NULL, 0);
}

static inline void done(struct irr_call *c, int64_t ret, int error)
{
	c->frame->t_exit = irr_now();
	irr_leave(c, ret, error);
}

int irr_opened(enum irr_open how, int dir, const char *path, uint64_t flags, uint64_t mode, int fd, uint64_t t);
void irr_forget_stale(int fd, uint64_t t);

#endif
