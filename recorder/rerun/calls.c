/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each kind of step: its call with the numbers of this run, and its frame, which is in the spool before the call is made. The
 * frames are those that the capture library writes of such calls.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "irr.h"
#include "irr_ioctl.h"
#include "rerun.h"

#define WORDS 8u
#define MOST_STRUCT_ROOM (UINT64_C(2) << 20)

/* The call under way in this thread. */
struct call {
	const struct irr_plan_step *step;
	uint32_t index;
	int fd;
	uint64_t known;        /* what the descriptor is, as the recorder knows it */
	uint64_t word[WORDS];  /* ARGS, with the numbers of this run */
	unsigned words;
	int64_t ret;
	int error;
};

static __thread const struct irr_plan_step *current;

/* ---- what is asked ---- */

static int descriptor(const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->uses; i++)
		if (plan.uses[s->use + i].in == IRR_IN_FD)
			return (int)use_value(&plan.uses[s->use + i]);
	/* A descriptor that the plan knows nothing of is none here. */
	return s->fd < 0 ? s->fd : -1;
}

/* Puts the numbers of this run into a part's bytes. */
static void relocate(const struct irr_plan_step *s, const struct irr_plan_part *p, uint8_t *bytes)
{
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		if (u->in != IRR_IN_PART || &plan.parts[s->part + u->part] != p)
			continue;
		uint64_t v = use_value(u);
		memcpy(bytes + u->offset, &v, u->width);
	}
}

static void take_words(struct call *c)
{
	const struct irr_plan_part *p = plan_part(c->step, IRR_PART_ARGS, -1);
	if (!p)
		return;
	uint8_t bytes[8 * WORDS + 8] = { 0 };
	c->words = p->bytes / 8 < WORDS ? p->bytes / 8 : WORDS;
	uint8_t *all = p->bytes <= sizeof bytes ? bytes : malloc(p->bytes);
	memcpy(all, plan.data + p->data, p->bytes);
	relocate(c->step, p, all);
	memcpy(c->word, all, 8ul * c->words);
	if (all != bytes)
		free(all);
}

static bool uses_word(const struct irr_plan_step *s, unsigned word)
{
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		if (u->in == IRR_IN_PART && plan.parts[s->part + u->part].kind == IRR_PART_ARGS && u->offset == 8 * word)
			return true;
	}
	return false;
}

/* ---- frames ---- */

static bool frame_begin(struct irr_call *f, const struct call *c, uint32_t more)
{
	if (!irr_begin(f, (enum irr_kind)c->step->kind, (c->words ? irr_room(8 * c->words) : 0) + more, irr_now()))
		return false;
	f->frame->request = c->step->request;
	f->frame->fd = c->fd;
	f->frame->file = irr_file_of(c->known);
	f->frame->flags |= (uint16_t)(irr_kind_of(c->known) << IRR_FLAG_FILE_SHIFT);
	if (c->words)
		memcpy(irr_part(f, IRR_PART_ARGS, 0, 0, 8 * c->words, 8 * c->words, 0), c->word, 8 * c->words);
	return true;
}

static void part(struct irr_call *f, enum irr_part_kind kind, unsigned slot, const void *bytes, uint64_t count, uint64_t wanted)
{
	memcpy(irr_part(f, kind, count < wanted ? IRR_PART_TRUNCATED : 0, (uint16_t)slot, (uint32_t)count, wanted, (uintptr_t)bytes), bytes, count);
}

static void texts(struct irr_call *f, const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		if (p->kind == IRR_PART_TEXT)
			part(f, IRR_PART_TEXT, p->slot, plan.data + p->data, p->bytes, p->bytes);
	}
}

static uint32_t texts_room(const struct irr_plan_step *s)
{
	uint32_t room = 0;
	for (uint32_t i = 0; i < s->parts; i++)
		if (plan.parts[s->part + i].kind == IRR_PART_TEXT)
			room += irr_room(plan.parts[s->part + i].bytes);
	return room;
}

static void frame_enter(struct irr_call *f, const struct call *c)
{
	irr_enter(f);
	before_call(c->step);
}

static void frame_leave(struct irr_call *f, struct call *c, long ret)
{
	f->frame->t_exit = irr_now();
	c->error = ret < 0 && ret >= -4095 ? (int)-ret : 0;
	c->ret = c->error ? -1 : ret;
	irr_leave(f, c->ret, c->error);
}

/* ---- ioctl ---- */

/* The capture library makes the call through this, when it has entered the frame. */
static int real_ioctl(int fd, unsigned long request, ...)
{
	__builtin_va_list ap;
	__builtin_va_start(ap, request);
	void *arg = __builtin_va_arg(ap, void *);
	__builtin_va_end(ap);
	before_call(current);
	return (int)irr_sys_errno(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0);
}

/* Is the number at an offset of the struct an address of memory that the plan has? */
static bool is_pointer(const struct irr_plan_step *s, uint16_t slot)
{
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		unsigned sort = plan.symbols[u->symbol].sort;
		if (u->in == IRR_IN_PART && plan.parts[s->part + u->part].kind == IRR_PART_IN && u->offset == slot && u->width == 8)
			return sort == IRR_SORT_MEMORY || sort == IRR_SORT_MAPPING;
	}
	return false;
}

/* The buffers that the struct points to, as they were before the call. */
static void fill_buffers(const struct irr_plan_step *s, const uint8_t *in, uint32_t bytes)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		uint64_t at;
		if (p->kind != IRR_PART_NESTED_IN || p->bytes == 0 || p->slot + 8u > bytes || !is_pointer(s, p->slot))
			continue;
		memcpy(&at, in + p->slot, 8);
		uint8_t *copy = malloc(p->bytes);
		if (!copy)
			continue;
		memcpy(copy, plan.data + p->data, p->bytes);
		relocate(s, p, copy);
		store(at, copy, p->bytes);
		free(copy);
	}
}

/* Numbers that the kernel wrote behind pointers of the struct. */
static void define_buffers(const struct irr_plan_step *s, const uint8_t *in, uint32_t bytes)
{
	for (uint32_t i = 0; i < s->defines; i++) {
		const struct irr_plan_define *d = &plan.defines[s->define + i];
		uint8_t number[8] = { 0 };
		uint64_t at, v = 0;
		if (d->in != IRR_IN_NESTED || d->part + 8u > bytes)
			continue;
		memcpy(&at, in + d->part, 8);
		if (!load(number, at + d->offset, d->width))
			continue;
		memcpy(&v, number, 8);
		atomic_store(&tables.value[d->symbol], v);
		atomic_store(&tables.live[d->symbol], 1);
	}
}

static void *argument(const struct irr_plan_step *s, uint32_t *bytes)
{
	const struct irr_plan_part *in = plan_part(s, IRR_PART_IN, -1), *args = plan_part(s, IRR_PART_ARGS, -1);
	*bytes = 0;
	if (!in) {
		uint64_t word = 0;
		if (args && args->bytes >= 8) {
			memcpy(&word, plan.data + args->data, 8);
			relocate(s, args, (uint8_t *)&word);
		}
		return (void *)word;
	}
	bool fault = in->flags & IRR_PART_FAULT;
	if (fault && in->bytes == 0 && in->address < PAGE)
		return (void *)in->address;
	uint64_t room = !fault && in->wanted > in->bytes && in->wanted <= MOST_STRUCT_ROOM ? in->wanted : in->bytes;
	uint8_t *at = scratch(0, room, fault);
	memset(at, 0, room);
	memcpy(at, plan.data + in->data, in->bytes);
	relocate(s, in, at);
	*bytes = in->bytes;
	return at;
}

static void ioctl_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	uint32_t bytes;
	uint8_t *arg = argument(s, &bytes);
	uint8_t *before = NULL;
	if (bytes) {
		before = scratch(1, bytes, false);
		memcpy(before, arg, bytes);
		fill_buffers(s, before, bytes);
	}
	current = s;
	errno = 0;
	int ret = irr_ioctl(c->fd, s->request, arg, real_ioctl);
	c->error = ret < 0 ? errno : 0;
	c->ret = ret;
	if (c->error)
		return;
	define(s, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
	if (bytes) {
		define(s, IRR_IN_OUT, 0, arg, bytes);
		define_buffers(s, before, bytes);
	}
}

/* ---- descriptors ---- */

static void open_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	const struct irr_plan_part *text = plan_part(s, IRR_PART_TEXT, 0);
	char path[4096];
	memcpy(path, plan.data + text->data, text->bytes);
	path[text->bytes] = 0;
	struct irr_call f;
	c->fd = -1;
	if (!frame_begin(&f, c, texts_room(s)))
		return;
	texts(&f, s);
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
}

static void close_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	if (s->request != IRR_CLOSE_CLOSE)
		c->fd = -1;
	if (!frame_begin(&f, c, 0))
		return;
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
}

static void dup_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	if (!frame_begin(&f, c, 0))
		return;
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
}

/* ---- mappings ---- */

static bool mmap_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	/* An address is the kernel's to choose, unless it is one of a mapping that is known. */
	if (!uses_word(s, 0)) {
		if (c->word[3] & MAP_FIXED)
			return false;
		c->word[0] = 0;
	} else if ((c->word[3] & MAP_FIXED) && !mapped_has(c->word[0], c->word[1]))
		return false;
	struct irr_call f;
	c->words = c->words > 5 ? 5 : c->words;
	if (!frame_begin(&f, c, 0))
		return true;
	frame_enter(&f, c);
	long ret = irr_sys(SYS_mmap, (long)c->word[0], (long)c->word[1], (long)c->word[2], (long)c->word[3], c->fd, (long)c->word[4]);
	frame_leave(&f, c, ret);
	if (!c->error) {
		mapped_remove((uint64_t)ret, c->word[1]);
		mapped_add((uint64_t)ret, c->word[1], c->known);
		define(s, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
	}
	return true;
}

static bool munmap_call(struct call *c)
{
	if (!mapped_has(c->word[0], c->word[1]))
		return false;
	struct irr_call f;
	if (!frame_begin(&f, c, 0))
		return true;
	frame_enter(&f, c);
	long ret = irr_sys(SYS_munmap, (long)c->word[0], (long)c->word[1], 0, 0, 0, 0);
	frame_leave(&f, c, ret);
	if (!c->error)
		mapped_remove(c->word[0], c->word[1]);
	return true;
}

static bool mremap_call(struct call *c)
{
	if (!mapped_has(c->word[0], c->word[1]) || ((c->word[3] & MREMAP_FIXED) && !mapped_has(c->word[4], c->word[2])))
		return false;
	uint64_t known = mapped_known(c->word[0], c->word[1]);
	struct irr_call f;
	if (!frame_begin(&f, c, 0))
		return true;
	frame_enter(&f, c);
	long ret = irr_sys(SYS_mremap, (long)c->word[0], (long)c->word[1], (long)c->word[2], (long)c->word[3], (long)c->word[4], 0);
	frame_leave(&f, c, ret);
	if (!c->error) {
		if (!(c->word[3] & MREMAP_DONTUNMAP))
			mapped_remove(c->word[0], c->word[1]);
		mapped_remove((uint64_t)ret, c->word[2]);
		mapped_add((uint64_t)ret, c->word[2], known);
		define(c->step, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
	}
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

static void read_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	uint64_t count = c->word[0], most = count < IRR_INLINE_LIMIT ? count : IRR_INLINE_LIMIT;
	uint8_t *at = scratch(0, s->error == EFAULT ? 0 : count, s->error == EFAULT);
	struct irr_call f;
	if (!frame_begin(&f, c, irr_room(most)))
		return;
	frame_enter(&f, c);
	await_events(c);
	long ret = transfer(c, at, count);
	if (ret > 0)
		part(&f, IRR_PART_OUT, 0, at, (uint64_t)ret < most ? (uint64_t)ret : most, (uint64_t)ret);
	frame_leave(&f, c, ret);
	if (ret > 0)
		define(s, IRR_IN_OUT, 0, at, (uint64_t)ret);
}

static void write_call(struct call *c)
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
		return;
	if (in)
		part(&f, IRR_PART_IN, 0, at, most, in->wanted);
	frame_enter(&f, c);
	frame_leave(&f, c, transfer(c, at, count));
}

/* ---- descriptors in messages ---- */

static void send_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	int socket = (int)c->word[0];
	struct stat st = { 0 };
	fstat(socket, &st);
	c->word[1] = st.st_ino;
	c->words = 2;
	struct irr_call f;
	if (!frame_begin(&f, c, 0))
		return;
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

static bool found_step(struct call *c)
{
	if (c->step->request == IRR_FOUND_PIDFD)
		return take(c);
	if (c->step->request == IRR_FOUND_RECEIVED)
		return receive(c);
	return c->fd >= 0 && irr_found(c->fd, IRR_FOUND_INHERITED, IRR_FILE_UNKNOWN, -1) != 0;
}

/* ---- processes ---- */

/* The program that is played is named as it was. */
static void start_step(struct call *c)
{
	c->word[0] = (uint64_t)getppid();
	c->word[1] = irr_stat_field(22);
	c->words = c->words < 2 ? 2 : c->words > 3 ? 3 : c->words;
	c->fd = -1;
	c->known = 0;
	struct irr_call f;
	if (!frame_begin(&f, c, texts_room(c->step)))
		return;
	texts(&f, c->step);
	irr_enter(&f);
	frame_leave(&f, c, 0);
}

static void fork_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	c->fd = -1;
	c->known = 0;
	if (!frame_begin(&f, c, 0))
		return;
	frame_enter(&f, c);
	pid_t child = fork();
	if (child == 0) {
		irr_thread.depth = 0;
		atomic_store(&irr_self->pid, (uint32_t)getpid());
		irr_files_forked();
		if (s->peer >= 0)
			process_run((uint32_t)s->peer);
		irr_sys(SYS_exit_group, 0, 0, 0, 0, 0, 0);
	}
	if (child > 0 && s->peer >= 0)
		atomic_store(&tables.pid[s->peer], (uint32_t)child);
	frame_leave(&f, c, child < 0 ? -errno : child);
	if (!c->error)
		define(s, IRR_IN_RET, 0, &c->ret, sizeof c->ret);
}

static void exit_call(struct call *c)
{
	struct irr_call f;
	c->fd = -1;
	c->known = 0;
	c->words = 0;
	irr_files_exit();
	if (frame_begin(&f, c, 0)) {
		f.frame->flags |= c->step->flags & IRR_FLAG_OBSERVED;
		irr_enter(&f);
		before_call(c->step);
		frame_leave(&f, c, c->step->ret);
	}
	atomic_fetch_add(&shared->issued, 1);
	irr_sys(SYS_exit_group, (long)c->step->ret & 0xff, 0, 0, 0, 0, 0);
}

/* The image is this program again: what it is to do next, it knows. */
static void exec_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	c->fd = -1;
	c->known = 0;
	if (!frame_begin(&f, c, texts_room(s)))
		return;
	texts(&f, s);
	frame_enter(&f, c);
	frame_leave(&f, c, execute(s->process, c->index));
}

/* ---- loads and stores ---- */

static __thread sigjmp_buf refused;

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(refused, 1);
}

static uint64_t loaded(uint64_t at, uint64_t width)
{
	switch (width) {
	case 1:
		return *(volatile uint8_t *)at;
	case 2:
		return *(volatile uint16_t *)at;
	case 4:
		return *(volatile uint32_t *)at;
	default:
		return *(volatile uint64_t *)at;
	}
}

static void stored(uint64_t at, uint64_t width, uint64_t v)
{
	switch (width) {
	case 1:
		*(volatile uint8_t *)at = (uint8_t)v;
		break;
	case 2:
		*(volatile uint16_t *)at = (uint16_t)v;
		break;
	case 4:
		*(volatile uint32_t *)at = (uint32_t)v;
		break;
	default:
		*(volatile uint64_t *)at = v;
	}
}

static bool mmio_step(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	uint64_t at = c->word[0], width = c->word[2];
	bool unknown = (c->word[4] & IRR_MMIO_STEPPED) && s->request != IRR_MMIO_LOAD;
	if (unknown || at % width || !mapped_has(at, width))
		return false;
	c->fd = -1;
	c->known = mapped_known(at, width);
	c->word[3] = 0;
	struct sigaction act = { .sa_handler = on_fault, .sa_flags = SA_NODEFER }, bus, segv;
	struct irr_call f;
	if (!frame_begin(&f, c, 0))
		return true;
	f.frame->ret = s->request == IRR_MMIO_STORE ? s->ret : 0;
	frame_enter(&f, c);
	sigaction(SIGBUS, &act, &bus);
	sigaction(SIGSEGV, &act, &segv);
	volatile int64_t value = s->ret;
	volatile int error = 0;
	if (sigsetjmp(refused, 0) == 0) {
		if (s->request != IRR_MMIO_STORE)
			value = (int64_t)loaded(at, width);
		if (s->request != IRR_MMIO_LOAD)
			stored(at, width, s->request == IRR_MMIO_BOTH ? c->word[5] : (uint64_t)s->ret);
	} else
		error = EFAULT;
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	f.frame->t_exit = irr_now();
	c->error = error;
	c->ret = value;
	irr_leave(&f, value, error);
	return true;
}

/* ---- all of them ---- */

static bool made(struct call *c)
{
	switch (c->step->kind) {
	case IRR_KIND_IOCTL:
		ioctl_call(c);
		return true;
	case IRR_KIND_OPEN:
		open_call(c);
		return true;
	case IRR_KIND_CLOSE:
		close_call(c);
		return true;
	case IRR_KIND_DUP:
		dup_call(c);
		return true;
	case IRR_KIND_MMAP:
		return mmap_call(c);
	case IRR_KIND_MUNMAP:
		return munmap_call(c);
	case IRR_KIND_MREMAP:
		return mremap_call(c);
	case IRR_KIND_READ:
		read_call(c);
		return true;
	case IRR_KIND_WRITE:
		write_call(c);
		return true;
	case IRR_KIND_SENDFD:
		send_call(c);
		return true;
	case IRR_KIND_FD:
		return found_step(c);
	case IRR_KIND_START:
		start_step(c);
		return true;
	case IRR_KIND_FORK:
		fork_call(c);
		return true;
	case IRR_KIND_EXIT:
		exit_call(c);
		return true;
	case IRR_KIND_EXEC:
		exec_call(c);
		return true;
	case IRR_KIND_MMIO:
		return mmio_step(c);
	default:
		return false;
	}
}

/* Makes the call of a step, whose turn it is. */
void issue(uint32_t index, struct flight *flight)
{
	const struct irr_plan_step *s = &plan.steps[index];
	struct call c = { .step = s, .index = index, .ret = s->ret };
	c.fd = s->kind == IRR_KIND_OPEN || s->kind == IRR_KIND_START ? -1 : descriptor(s);
	c.known = c.fd >= 0 ? irr_fd(c.fd) : 0;
	take_words(&c);
	memory_before(s);
	bool issued = made(&c);
	memory_after(s);
	if (!issued) {
		atomic_fetch_add(&shared->skipped, 1);
		turn_leave(flight);
		return;
	}
	if (c.error == 0)
		ended(s);
	atomic_fetch_add(&shared->issued, 1);
	if (s->error != -1 && c.error != s->error) {
		uint32_t none = 0;
		if (atomic_fetch_add(&shared->differ, 1) == 0 && atomic_compare_exchange_strong(&shared->first_differ, &none, index + 1))
			atomic_store(&shared->first_error, c.error);
	}
	turn_leave(flight);
}
