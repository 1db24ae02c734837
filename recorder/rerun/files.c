/* SPDX-License-Identifier: GPL-2.0-only */
/* Steps: descriptors, what is read and written, messages. See calls.c. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "calls.h"

/* ---- descriptors ---- */

bool open_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	const struct irr_plan_part *text = plan_part(s, IRR_PART_TEXT, 0);
	char path[4096];
	memcpy(path, plan.data + text->data, text->bytes);
	path[text->bytes] = 0;
	struct irr_call f;
	c->fd = -1;
	if (!frame_begin(&f, c, frame_texts_room(s)))
		return true;
	frame_texts(&f, s);
	frame_enter(&f, c);
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)path, (long)c->word[1], 0, 0, 0);
	if (fd >= 0) {
		uint64_t known = irr_new_file(irr_classify((int)fd));
		f.frame->fd = (int)fd;
		f.frame->file = irr_file_of(known);
		f.frame->flags |= (uint16_t)(irr_kind_of(known) << IRR_FLAG_FILE_SHIFT);
		irr_fd_set((int)fd, known);
	}
	frame_leave(&f, c, fd);
	if (!c->error) {
		define(s, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
		define(s, IRR_IN_FD, 0, &c->ret, sizeof c->ret);
	}
	return true;
}

bool close_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	if (s->request != IRR_CLOSE_CLOSE)
		c->fd = -1;
	if (!frame_begin(&f, c, 0))
		return true;
	frame_enter(&f, c);
	long ret;
	if (s->request == IRR_CLOSE_CLOSE) {
		irr_fd_clear(c->fd);
		ret = irr_sys(SYS_close, c->fd, 0, 0, 0, 0, 0);
	} else {
		ret = irr_sys(SYS_close_range, (long)c->word[0], (long)c->word[1], (long)c->word[2], 0, 0, 0);
		if (ret == 0)
			irr_fd_clear_range((unsigned)c->word[0], (unsigned)c->word[1]);
	}
	frame_leave(&f, c, ret);
	return true;
}

bool dup_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	if (!frame_begin(&f, c, 0))
		return true;
	frame_enter(&f, c);
	long ret;
	int to = (int)c->word[0];
	switch (s->request) {
	case IRR_DUP_DUP:
		ret = irr_sys(SYS_dup, c->fd, 0, 0, 0, 0, 0);
		break;
	case IRR_DUP_DUP2:
		ret = c->fd == to ? (irr_sys(SYS_fcntl, to, F_GETFD, 0, 0, 0, 0) < 0 ? -EBADF : to) : irr_sys(SYS_dup3, c->fd, to, 0, 0, 0, 0);
		break;
	case IRR_DUP_DUP3:
		ret = irr_sys(SYS_dup3, c->fd, to, (long)c->word[1], 0, 0, 0);
		break;
	default:
		ret = irr_sys(SYS_fcntl, c->fd, s->request == IRR_DUP_F_DUPFD ? F_DUPFD : F_DUPFD_CLOEXEC, to, 0, 0, 0);
	}
	if (ret >= 0 && ret != c->fd) {
		if (irr_fd((int)ret))
			irr_fd_clear((int)ret);
		if (c->known)
			irr_fd_set((int)ret, c->known);
	}
	frame_leave(&f, c, ret);
	if (!c->error)
		define(s, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
	return true;
}

/* ---- read and write ---- */

/* What came in the recording may take a moment to come here. */
static void await_events(const struct call *c)
{
	const struct irr_plan_step *s = c->step;
	uint32_t kind = irr_kind_of(c->known);
	if (s->ret <= 0 || (kind != IRR_FILE_FAULT && kind != IRR_FILE_VEVENTQ))
		return;
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct timespec t = { .tv_sec = plan.head->limit_ms / 2000, .tv_nsec = (long)(plan.head->limit_ms / 2 % 1000) * 1000000 };
	irr_sys(SYS_ppoll, (long)&p, 1, (long)&t, 0, 8, 0);
}

static long transfer(const struct call *c, void *at, uint64_t count)
{
	struct iovec one = { at, count };
	bool in = c->step->kind == IRR_KIND_READ;
	long offset = (long)c->word[1];
	switch (c->step->request) {
	case IRR_RW_PLAIN:
		return irr_sys(in ? SYS_read : SYS_write, c->fd, (long)at, (long)count, 0, 0, 0);
	case IRR_RW_POSITION:
		return irr_sys(in ? SYS_pread64 : SYS_pwrite64, c->fd, (long)at, (long)count, offset, 0, 0);
	case IRR_RW_VECTOR:
		return irr_sys(in ? SYS_readv : SYS_writev, c->fd, (long)&one, 1, 0, 0, 0);
	default:
		return irr_sys(in ? SYS_preadv : SYS_pwritev, c->fd, (long)&one, 1, offset, 0, 0);
	}
}

bool read_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	uint64_t count = c->word[0], most = count < IRR_INLINE_LIMIT ? count : IRR_INLINE_LIMIT;
	uint8_t *at = scratch(0, s->error == EFAULT ? 0 : count, s->error == EFAULT);
	struct irr_call f;
	if (!frame_begin(&f, c, irr_room(most)))
		return true;
	frame_enter(&f, c);
	await_events(c);
	long ret = transfer(c, at, count);
	if (ret > 0)
		frame_part(&f, IRR_PART_OUT, 0, at, (uint64_t)ret < most ? (uint64_t)ret : most, (uint64_t)ret);
	frame_leave(&f, c, ret);
	if (ret > 0)
		define(s, IRR_IN_OUT, 0, at, (uint64_t)ret);
	return true;
}

bool write_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	const struct irr_plan_part *in = plan_part(s, IRR_PART_IN, -1);
	uint64_t count = c->word[0], taken = in ? in->bytes : 0, most;
	uint8_t *at = scratch(0, s->error == EFAULT && !in ? 0 : count > taken ? count : taken, s->error == EFAULT && !in);
	/* What is not known of a write that failed is to fail again: no cookie and no code is like this. */
	if (s->error != EFAULT || in)
		memset(at, s->error ? 0xff : 0, count > taken ? count : taken);
	if (in) {
		memcpy(at, plan.data + in->data, in->bytes);
		relocate(s, in, at);
	}
	most = in ? (taken < IRR_INLINE_LIMIT ? taken : IRR_INLINE_LIMIT) : 0;
	struct irr_call f;
	if (!frame_begin(&f, c, irr_room(most)))
		return true;
	if (in)
		frame_part(&f, IRR_PART_IN, 0, at, most, in->wanted);
	frame_enter(&f, c);
	frame_leave(&f, c, transfer(c, at, count));
	return true;
}

/* ---- descriptors in messages ---- */

bool send_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	int socket = (int)c->word[0];
	struct stat st = { 0 };
	fstat(socket, &st);
	c->word[1] = st.st_ino;
	c->words = 2;
	struct irr_call f;
	if (!frame_begin(&f, c, 0))
		return true;
	frame_enter(&f, c);
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec one = { &byte, 1 };
	struct msghdr m = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &c->fd, sizeof(int));
	long ret = irr_sys(SYS_sendmsg, socket, (long)&m, MSG_DONTWAIT, 0, 0, 0);
	/* how many bytes went with it is not the plan's business */
	frame_leave(&f, c, ret < 0 ? ret : s->ret);
	return true;
}

/* The descriptor that the peer's step has sent. */
static bool receive(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	if (s->peer < 0)
		return false;
	const struct irr_plan_step *from = &plan.steps[s->peer];
	int socket = -1;
	for (uint32_t i = 0; i < from->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[from->use + i];
		if (u->in == IRR_IN_PART && u->offset == 0)
			socket = tables.receiver[u->symbol];
	}
	char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec one = { &byte, 1 };
	struct msghdr m = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	if (socket < 0 || irr_sys(SYS_recvmsg, socket, (long)&m, MSG_DONTWAIT, 0, 0, 0) < 0)
		return false;
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_type != SCM_RIGHTS)
		return false;
	int fd;
	memcpy(&fd, CMSG_DATA(h), sizeof fd);
	irr_found(fd, IRR_FOUND_RECEIVED, IRR_FILE_UNKNOWN, socket);
	c->ret = fd;
	define(s, IRR_IN_FD, 0, &c->ret, sizeof c->ret);
	define(s, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
	return true;
}

/* A descriptor of another process, by its number there. */
static bool take(struct call *c)
{
	long process = irr_sys(SYS_pidfd_open, (long)c->word[2], 0, 0, 0, 0, 0);
	long fd = process < 0 ? process : irr_sys(SYS_pidfd_getfd, process, (long)c->word[3], 0, 0, 0, 0);
	if (fd >= 0)
		irr_found((int)fd, IRR_FOUND_PIDFD, IRR_FILE_UNKNOWN, (int)process);
	if (process >= 0)
		irr_sys(SYS_close, process, 0, 0, 0, 0, 0);
	c->ret = fd;
	if (fd < 0)
		return false;
	define(c->step, IRR_IN_FD, 0, &c->ret, sizeof c->ret);
	define(c->step, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
	return true;
}

bool found_step(struct call *c)
{
	if (c->step->request == IRR_FOUND_PIDFD)
		return take(c);
	if (c->step->request == IRR_FOUND_RECEIVED)
		return receive(c);
	return c->fd >= 0 && irr_found(c->fd, IRR_FOUND_INHERITED, IRR_FILE_UNKNOWN, -1) != 0;
}
