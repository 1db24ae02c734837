/* SPDX-License-Identifier: GPL-2.0-only */
/* Hooks: what is read and written, and descriptors in messages. See irr_hooks.h. */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/stat.h>

#include "irr_hooks.h"
#include "irr_mmio.h"
#include "irr_model.h"
#include "irr_queue.h"

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
				irr_forget_stale(fd, t);
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
