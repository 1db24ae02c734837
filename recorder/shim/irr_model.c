/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls on the model's files: asked of the recorder, which has the rules (irr_model.h). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "irr.h"
#include "irr_ioctl.h"
#include "irr_model.h"

#define PAGE 4096u
#define WAIT_MS 1000
#define DATA_MAX (IRR_MODEL_ANSWER - IRR_MODEL_DATA)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

struct irr_model *irr_model;
static char folder[PATH_MAX];
static size_t folder_bytes;
static uint64_t device; /* st_dev of the folder */

/* Bytes of a path in the folder. Its users have it on the stack, of which a signal handler may have very little. */
#define PATH_BYTES (folder_bytes + 40)

/* FOLDER/name, or FOLDER/name-number. */
static void path_of(char *to, const char *name, int64_t number)
{
	char digits[20];
	unsigned n = 0;
	memcpy(to, folder, folder_bytes);
	to += folder_bytes;
	*to++ = '/';
	size_t length = strlen(name);
	memcpy(to, name, length);
	to += length;
	if (number >= 0) {
		*to++ = '-';
		do
			digits[n++] = (char)('0' + number % 10);
		while (number /= 10);
		while (n)
			*to++ = digits[--n];
	}
	*to = 0;
}

static int open_in(const char *name, int64_t number, int flags)
{
	char path[PATH_BYTES];
	path_of(path, name, number);
	return (int)irr_sys(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0, 0, 0);
}

static void shut(int fd)
{
	if (fd >= 0)
		irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
}

static uint32_t own_pid(void) { return (uint32_t)irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0); }

/* Does the recorder live? A call that nobody will answer must not wait for ever. */
static bool answered(void) { return irr_sys(SYS_kill, irr_model->recorder, 0, 0, 0, 0, 0) != -ESRCH; }

/* ---- messages ---- */

/* Puts a message into the FIFO, whole. false: nobody will read it. */
static bool tell(int ask, const struct irr_model_message *m)
{
	for (;;) {
		long n = irr_sys(SYS_write, ask, (long)m, sizeof *m, 0, 0, 0);
		if (n == (long)sizeof *m)
			return true;
		if (n == -EAGAIN) { /* full */
			struct pollfd p = { ask, POLLOUT, 0 };
			irr_sys(SYS_ppoll, (long)&p, 1, (long)&(struct timespec){ 1, 0 }, 0, 0, 0);
		} else if (n != -EINTR)
			return false;
		if (!answered())
			return false;
	}
}

static int open_ask(void) { return answered() ? open_in("ask", -1, O_RDWR | O_NONBLOCK) : -ENODEV; }

/* Under a filter of the program's own only what it wants of the model itself is asked: the rest the recorder finds out by looking. */
static bool confined(void) { return atomic_load_explicit(&irr_confined, memory_order_relaxed); }

static void tell_once(enum irr_model_word word, uint32_t file, uint64_t a, uint64_t b)
{
	int ask = confined() && (word != IRR_MODEL_CLOSED || !file) ? -EPERM : open_ask();
	if (ask < 0)
		return;
	tell(ask, &(struct irr_model_message){ .word = word, .pid = own_pid(), .file = file, .a = a, .b = b });
	shut(ask);
}

/* ---- a call ---- */

struct talk {
	struct irr_model_place *place;
	uint32_t number;
	int ask, answer;
	uint32_t bytes; /* of the data that are used */
};

static uint8_t *data_of(struct talk *t) { return (uint8_t *)t->place + IRR_MODEL_DATA; }
static struct irr_model_answer *answer_of(struct talk *t) { return (struct irr_model_answer *)((uint8_t *)t->place + IRR_MODEL_ANSWER); }

static struct irr_model_place *place_at(uint32_t i)
{
	return (struct irr_model_place *)((uint8_t *)irr_model + IRR_MODEL_PLACE + i * IRR_MODEL_PLACE_BYTES);
}

static bool take_place(struct talk *t, uint32_t tid)
{
	for (uint32_t tries = 0;; tries++) {
		for (uint32_t k = 0; k < IRR_MODEL_PLACES; k++) {
			uint32_t i = (tid + k) % IRR_MODEL_PLACES;
			struct irr_model_place *p = place_at(i);
			uint32_t owner = atomic_load_explicit(&p->owner, memory_order_relaxed);
			/* One whose owner was killed is taken over, once it is full. */
			if (owner && (tries == 0 || irr_sys(SYS_tkill, owner, 0, 0, 0, 0, 0) != -ESRCH))
				continue;
			if (atomic_compare_exchange_strong(&p->owner, &owner, tid)) {
				t->place = p;
				t->number = i;
				return true;
			}
		}
		if (tries > 100000 || !answered())
			return false;
		irr_sys(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	}
}

/* Takes a place for a call. false, with errno: the recorder is gone, or there is no descriptor left. */
static bool begin(struct talk *t, enum irr_model_op op, int fd, uint64_t known)
{
	uint32_t tid = (uint32_t)irr_sys(SYS_gettid, 0, 0, 0, 0, 0, 0);
	t->bytes = 0;
	t->ask = open_ask();
	if (t->ask < 0 || !take_place(t, tid)) {
		errno = t->ask < 0 ? -t->ask : ENODEV;
		shut(t->ask);
		return false;
	}
	t->answer = open_in("answer", t->number, O_RDONLY | O_NONBLOCK);
	if (t->answer < 0) {
		errno = -t->answer;
		shut(t->ask);
		atomic_store_explicit(&t->place->owner, 0, memory_order_release);
		return false;
	}
	struct irr_model_place *p = t->place;
	p->serial++;
	p->op = op;
	p->pid = own_pid();
	p->tid = tid;
	p->request = 0;
	p->fd = fd;
	p->spare_fd = -1;
	p->file = irr_file_of(known);
	p->kind = irr_kind_of(known);
	p->spare_file = 0;
	p->pieces = 0;
	memset(p->args, 0, sizeof p->args);
	return true;
}

static void end(struct talk *t)
{
	shut(t->answer);
	shut(t->ask);
	atomic_store_explicit(&t->place->owner, 0, memory_order_release);
}

/* Memory of the program goes along; as much as there is room for. */
static uint32_t bring(struct talk *t, uint32_t field, const void *from, uint64_t wanted)
{
	struct irr_model_place *p = t->place;
	if (p->pieces == IRR_MODEL_PIECES)
		return 0;
	uint32_t room = DATA_MAX - t->bytes, take = wanted > room ? room : (uint32_t)wanted;
	size_t got = irr_copy(data_of(t) + t->bytes, from, take);
	p->piece[p->pieces++] = (struct irr_model_piece){ .field = field, .bytes = (uint32_t)got, .at = t->bytes, .fault = got < take, .wanted = wanted, .address = (uintptr_t)from };
	t->bytes += ((uint32_t)got + 7) & ~7u;
	return (uint32_t)got;
}

/* Writes to the program's memory; never faults. */
static bool put(void *to, const void *from, size_t bytes)
{
	struct iovec local = { (void *)(uintptr_t)from, bytes }, remote = { to, bytes };
	return !bytes || irr_sys(SYS_process_vm_writev, own_pid(), (long)&local, 1, (long)&remote, 1, 0) == (long)bytes;
}

static bool copy_within(uint64_t to, uint64_t from, uint64_t bytes)
{
	uint8_t piece[512];
	for (uint64_t done = 0; done < bytes;) {
		size_t n = bytes - done > sizeof piece ? sizeof piece : (size_t)(bytes - done);
		if (irr_copy(piece, (const void *)(uintptr_t)(from + done), n) < n || !put((void *)(uintptr_t)(to + done), piece, n))
			return false;
		done += n;
	}
	return true;
}

/* As the kernel does it when it pins the memory. A kernel before 5.14 cannot; then nothing is checked. */
static bool fault_in(uint64_t from, uint64_t bytes, bool write)
{
	uint64_t start = from & ~(uint64_t)(PAGE - 1), to = (from + bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	long e;
	do
		e = irr_sys(SYS_madvise, (long)start, (long)(to - start), write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ, 0, 0, 0);
	while (e == -EINTR || e == -EAGAIN);
	return e != -EFAULT && e != -ENOMEM;
}

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#define SYS_pidfd_getfd 438
#endif

/* One more for an eventfd, as the kernel does it: it never waits. The descriptor may be another process's. */
static void one_more(uint32_t pid, int fd)
{
	uint64_t one = 1;
	int pidfd = -1, own = fd;
	if (pid != own_pid()) {
		pidfd = (int)irr_sys(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
		own = pidfd < 0 ? -1 : (int)irr_sys(SYS_pidfd_getfd, pidfd, fd, 0, 0, 0, 0);
	}
	struct pollfd p = { own, POLLOUT, 0 };
	if (own >= 0 && irr_sys(SYS_ppoll, (long)&p, 1, (long)&(struct timespec){ 0 }, 0, 0, 0) > 0 && (p.revents & POLLOUT))
		irr_sys(SYS_write, own, (long)&one, sizeof one, 0, 0, 0);
	if (pidfd >= 0)
		shut(own);
	shut(pidfd);
}

/* Does the steps of an answer. Returns the failed one + 1, 0 where all were done. */
static uint32_t act(struct talk *t)
{
	struct irr_model_answer *a = answer_of(t);
	const struct irr_model_do *d = (const struct irr_model_do *)((uint8_t *)a + IRR_MODEL_STEPS);
	for (uint32_t i = 0; i < a->steps && i < IRR_MODEL_STEP_MAX; i++, d++) {
		bool ok = true;
		if (d->step == IRR_MODEL_PUT)
			ok = put((void *)(uintptr_t)d->a, (uint8_t *)a + d->b, d->bytes);
		else if (d->step == IRR_MODEL_COPY)
			ok = copy_within(d->a, d->b, d->bytes);
		else if (d->step == IRR_MODEL_FAULT_IN)
			ok = fault_in(d->a, d->b, d->bytes != 0);
		else if (d->step == IRR_MODEL_GET)
			ok = irr_copy(data_of(t) + d->b, (const void *)(uintptr_t)d->a, d->bytes) == d->bytes;
		else if (d->step == IRR_MODEL_SIGNAL)
			one_more((uint32_t)d->a, (int)d->bytes);
		if (!ok)
			return i + 1;
	}
	return 0;
}

/* Waits for the answer to this call. false: it will not come. */
static bool hear(struct talk *t)
{
	for (;;) {
		uint64_t serial = 0;
		long n = irr_sys(SYS_read, t->answer, (long)&serial, sizeof serial, 0, 0, 0);
		if (n == (long)sizeof serial && serial == t->place->serial)
			return true;
		if (n > 0 || n == -EINTR)
			continue; /* an answer to somebody who was killed */
		if (n != -EAGAIN && n != 0)
			return false;
		struct pollfd p = { t->answer, POLLIN, 0 };
		long ready = irr_sys(SYS_ppoll, (long)&p, 1, (long)&(struct timespec){ WAIT_MS / 1000, 0 }, 0, 0, 0);
		if (ready > 0 && (p.revents & POLLIN))
			continue;
		if (!answered())
			return false;
	}
}

/* The call, made. false, with errno, where it failed; the result is in the answer. */
static bool make(struct talk *t)
{
	struct irr_model_message m = { .word = IRR_MODEL_CALL, .place = t->number, .pid = t->place->pid, .file = t->place->file };
	bool ok = tell(t->ask, &m);
	for (;;) {
		if (!ok || !hear(t)) {
			errno = ENODEV;
			return false;
		}
		struct irr_model_answer *a = answer_of(t);
		if (!a->more) {
			if (a->error)
				errno = a->error;
			return !a->error;
		}
		m.word = IRR_MODEL_DONE;
		m.a = act(t);
		ok = tell(t->ask, &m);
	}
}

/* ---- files ---- */

static struct irr_model_file *files(void) { return (struct irr_model_file *)((uint8_t *)irr_model + IRR_MODEL_FILES); }

/* What an inode of the folder stands for; 0: nothing of the model's. */
uint64_t irr_model_known(uint64_t dev, uint64_t inode)
{
	if (!irr_model || dev != device)
		return 0;
	for (uint32_t i = 0; i < 64; i++) {
		struct irr_model_file *f = &files()[(inode + i) % IRR_MODEL_FILE_MAX];
		if (atomic_load_explicit(&f->inode, memory_order_acquire) == inode)
			return atomic_load_explicit(&f->known, memory_order_acquire);
	}
	return 0;
}

/* The same of a descriptor; looked up each time, as descriptors are closed and made in ways that nobody sees (fclose). */
uint64_t irr_model_file(int fd)
{
	struct stat st;
	return irr_model && irr_sys(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0) == 0 ? irr_model_known(st.st_dev, st.st_ino) : 0;
}

static void remember(uint64_t inode, uint64_t known)
{
	for (uint32_t i = 0; i < 64; i++) {
		struct irr_model_file *f = &files()[(inode + i) % IRR_MODEL_FILE_MAX];
		uint64_t none = 0;
		if (atomic_compare_exchange_strong(&f->inode, &none, inode) || none == inode) {
			atomic_store_explicit(&f->known, known, memory_order_release);
			return;
		}
	}
}

/* Makes an open file and a descriptor of it; negative: errno. The recorder takes its name away. */
static int new_file(uint64_t known, int flags)
{
	char path[PATH_BYTES];
	struct stat st;
	path_of(path, "file", irr_file_of(known));
	long e = irr_sys(SYS_mknodat, AT_FDCWD, (long)path, S_IFIFO | 0600, 0, 0, 0);
	if (e < 0)
		return (int)e;
	int fd = (int)irr_sys(SYS_openat, AT_FDCWD, (long)path, O_RDWR | (flags & (O_CLOEXEC | O_NONBLOCK)), 0, 0, 0);
	if (fd < 0 || fstat(fd, &st) != 0) {
		irr_sys(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
		return fd < 0 ? fd : -EIO;
	}
	remember(st.st_ino, known);
	return fd;
}

static void drop_file(int fd, uint64_t known)
{
	char path[PATH_BYTES];
	path_of(path, "file", irr_file_of(known));
	irr_sys(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
	shut(fd);
}


static enum irr_file kind_of_path(const char *path)
{
	if (strcmp(path, "/dev/iommu") == 0)
		return IRR_FILE_IOMMUFD;
	if (strcmp(path, "/dev/vfio/vfio") == 0)
		return IRR_FILE_VFIO_CONTAINER;
	if (strncmp(path, "/dev/vfio/devices/", 18) == 0)
		return IRR_FILE_VFIO_DEVICE;
	return strncmp(path, "/dev/vfio/", 10) == 0 ? IRR_FILE_VFIO_GROUP : IRR_FILE_UNKNOWN;
}

#define NAME_BYTES 64 /* longer ones are none of the model's */

/* /proc/self/fd/N and the like: another open of the file that is there. */
static bool leads_to_descriptor(const char *name)
{
	return memcmp(name, "/proc/", 6) == 0 || memcmp(name, "/dev/fd/", 8) == 0;
}

/* What the model has at a path; `name` gets it, `n` its length. */
static enum irr_file behind_path(const char *path, char *name, size_t *n)
{
	struct stat st;
	/* The first bytes decide, so that every other file costs next to nothing. */
	if (irr_copy(name, path, 6) < 6 || (memcmp(name, "/dev/", 5) != 0 && memcmp(name, "/proc/", 6) != 0))
		return IRR_FILE_UNKNOWN;
	*n = irr_copy_string(name, NAME_BYTES - 1, path);
	name[*n] = 0;
	if (!leads_to_descriptor(name))
		return kind_of_path(name);
	if (*n == NAME_BYTES - 1 || irr_sys(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, 0, 0, 0) != 0 || !S_ISFIFO(st.st_mode))
		return IRR_FILE_UNKNOWN;
	return (enum irr_file)irr_kind_of(irr_model_known(st.st_dev, st.st_ino));
}

/* One of the model's own devices: vfio0 and on. */
static bool is_device(const char *name)
{
	static const char first[] = "/dev/vfio/devices/vfio";
	const char *digit = name + sizeof first - 1;
	return strncmp(name, first, sizeof first - 1) == 0 && *digit >= '0' && (uint32_t)(*digit - '0') < irr_model->devices && !digit[1];
}

/* Would the model open it? */
bool irr_model_has(const char *path)
{
	char name[NAME_BYTES];
	size_t n;
	if (irr_likely(!irr_model))
		return false;
	enum irr_file kind = behind_path(path, name, &n);
	return kind == IRR_FILE_IOMMUFD || kind == IRR_FILE_VFIO_CONTAINER || (kind == IRR_FILE_VFIO_DEVICE && is_device(name));
}

/* Is the path one that the model has? Then `fd` is what open(2) gives, errno set. */
bool irr_model_opens(const char *path, uint64_t flags, int *fd)
{
	char name[NAME_BYTES];
	struct talk t;
	size_t n;
	if (irr_likely(!irr_model) || (flags & O_PATH))
		return false;
	enum irr_file kind = behind_path(path, name, &n);
	if (kind == IRR_FILE_UNKNOWN)
		return false;
	if (kind != kind_of_path(name) && kind != IRR_FILE_IOMMUFD && kind != IRR_FILE_VFIO_CONTAINER) {
		*fd = -1;
		errno = ENXIO; /* a queue's file has no name */
		return true;
	}
	uint64_t known = irr_new_file(kind);
	int saved = errno;
	*fd = new_file(known, (int)flags);
	if (*fd < 0) {
		errno = -*fd;
		*fd = -1;
		return true;
	}
	int made = *fd;
	*fd = -1;
	if (begin(&t, IRR_MODEL_OPEN, made, known)) {
		t.place->args[0] = kind;
		bring(&t, 0, name, n);
		if (make(&t)) {
			*fd = made;
			errno = saved;
		}
		end(&t);
	}
	if (*fd < 0) {
		saved = errno;
		drop_file(made, known);
		errno = saved;
	}
	return true;
}

/* ---- ioctl ---- */

/* What lies behind the part of a struct that goes along; all of it must be zero. */
static uint32_t tail_of(const uint8_t *arg, uint32_t from, uint32_t to)
{
	uint8_t piece[256];
	while (from < to) {
		uint32_t take = to - from < sizeof piece ? to - from : (uint32_t)sizeof piece;
		size_t got = irr_copy(piece, arg + from, take);
		for (size_t i = 0; i < got; i++)
			if (piece[i])
				return IRR_MODEL_NOT_ZERO;
		if (got < take)
			return IRR_MODEL_FAULT;
		from += take;
	}
	return 0;
}

int irr_model_ioctl(int fd, unsigned long request, ...)
{
	__builtin_va_list ap;
	__builtin_va_start(ap, request);
	void *arg = __builtin_va_arg(ap, void *);
	__builtin_va_end(ap);
	uint64_t known = irr_model_file(fd);
	if (!known)
		return (int)irr_sys_errno(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0);
	struct talk t;
	int saved = errno, ret = -1;
	if (!begin(&t, IRR_MODEL_IOCTL, fd, known))
		return -1;
	t.place->request = (uint32_t)request;
	t.place->args[0] = (uintptr_t)arg;
	struct irr_shape shape;
	irr_ioctl_shape(irr_kind_of(known), request, arg, &shape);
	if (shape.bytes) {
		uint32_t got = bring(&t, 0xffff, arg, shape.bytes);
		t.place->piece[0].wanted = shape.wanted > shape.bytes ? shape.wanted : shape.bytes;
		if (got < shape.bytes)
			t.place->piece[0].fault = IRR_MODEL_FAULT;
		else if (irr_kind_of(known) == IRR_FILE_IOMMUFD && shape.wanted > shape.bytes)
			t.place->piece[0].fault = tail_of((const uint8_t *)arg, shape.bytes, shape.wanted);
	}
	for (unsigned i = 0; i < shape.count; i++)
		bring(&t, shape.nested[i].slot, shape.nested[i].from, shape.nested[i].wanted);
	uint64_t spare = 0;
	int spare_fd = -1;
	if (shape.brings != IRR_FILE_UNKNOWN) {
		spare = irr_new_file(shape.brings);
		spare_fd = new_file(spare, O_CLOEXEC);
		if (spare_fd < 0) {
			end(&t);
			errno = -spare_fd;
			return -1;
		}
		t.place->spare_fd = spare_fd;
		t.place->spare_file = irr_file_of(spare);
	}
	if (make(&t)) {
		ret = (int)answer_of(&t)->ret;
		errno = saved;
	}
	saved = errno;
	if (spare_fd >= 0 && (ret < 0 || !answer_of(&t)->takes_spare))
		drop_file(spare_fd, spare);
	end(&t);
	errno = saved;
	return ret;
}

/* ---- read and write ---- */

/* Does a range go over the end of what a program can have? The kernel looks at that before anything else. */
static bool beyond(const void *from, size_t bytes)
{
	const uint64_t end = UINT64_C(1) << (sizeof(void *) == 8 ? 63 : 32);
	return (uintptr_t)from > end || bytes > end - (uintptr_t)from;
}

ssize_t irr_model_transfer(bool write, int fd, const struct iovec *iov, int n, int64_t offset)
{
	struct talk t;
	struct iovec v;
	uint64_t wanted = 0;
	ssize_t ret = -1;
	int saved = errno;
	if (!begin(&t, write ? IRR_MODEL_WRITE : IRR_MODEL_READ, fd, irr_model_file(fd)))
		return -1;
	struct irr_model_piece *p = t.place->piece;
	p[0].fault = 0;
	for (int i = 0; i < n; i++) {
		if (irr_copy(&v, &iov[i], sizeof v) < sizeof v || beyond(v.iov_base, v.iov_len)) {
			end(&t);
			errno = EFAULT;
			return -1;
		}
		/* What is written goes over as one piece, so that a record may lie in two vectors. */
		if (write) {
			size_t room = DATA_MAX - t.bytes, take = v.iov_len < room ? v.iov_len : room;
			size_t got = p[0].fault && i ? 0 : irr_copy(data_of(&t) + t.bytes, v.iov_base, take);
			t.bytes += (uint32_t)got;
			p[0].fault = (i && p[0].fault) || got < take;
		}
		wanted += v.iov_len;
	}
	p[0] = (struct irr_model_piece){ .bytes = t.bytes, .fault = n && p[0].fault, .wanted = wanted };
	t.place->pieces = write ? 1 : 0;
	t.place->args[0] = wanted;
	t.place->args[1] = (uint64_t)offset;
	t.place->args[2] = n == 1 && irr_copy(&v, iov, sizeof v) == sizeof v ? (uintptr_t)v.iov_base : 0;
	if (make(&t)) {
		ret = (ssize_t)answer_of(&t)->ret;
		/* What was read lies behind the steps: it goes where the vectors say. */
		const uint8_t *from = (const uint8_t *)answer_of(&t) + IRR_MODEL_STEPS + IRR_MODEL_STEP_MAX * sizeof(struct irr_model_do);
		size_t left = write || ret < 0 ? 0 : (size_t)ret;
		for (int i = 0; i < n && left; i++) {
			if (irr_copy(&v, &iov[i], sizeof v) < sizeof v)
				break;
			size_t take = v.iov_len < left ? v.iov_len : left;
			if (!put(v.iov_base, from, take)) {
				ret = -1;
				errno = EFAULT;
				break;
			}
			from += take;
			left -= take;
		}
		if (ret >= 0)
			errno = saved;
	}
	saved = errno;
	end(&t);
	errno = saved;
	return ret;
}

/* ---- mappings ---- */

void *irr_model_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct talk t;
	int saved = errno;
	if (!begin(&t, IRR_MODEL_MMAP, fd, irr_model_file(fd)))
		return MAP_FAILED;
	uint64_t args[5] = { (uintptr_t)addr, length, (unsigned)prot, (unsigned)flags, (uint64_t)offset };
	memcpy(t.place->args, args, sizeof args);
	if (!make(&t)) {
		saved = errno;
		end(&t);
		errno = saved;
		return MAP_FAILED;
	}
	uint64_t region = (uint64_t)answer_of(&t)->ret;
	end(&t);
	int memory = open_in("region", (int64_t)(region & 0xffffffff), O_RDWR);
	long at = memory < 0 ? memory : irr_sys(SYS_mmap, (long)addr, (long)length, prot, flags, memory, (long)(region >> 32) * PAGE);
	shut(memory);
	if ((unsigned long)at > -4096UL) {
		errno = (int)-at;
		return MAP_FAILED;
	}
	if (begin(&t, IRR_MODEL_MAPPED, fd, irr_model_file(fd))) {
		t.place->args[0] = (uint64_t)at;
		t.place->args[1] = length;
		t.place->args[2] = region;
		make(&t);
		end(&t);
	}
	errno = saved;
	return (void *)at;
}

void irr_model_mremapped(uintptr_t from, size_t old, uintptr_t to, size_t length, bool keeps)
{
	struct talk t;
	int saved = errno;
	if (irr_model && !confined() && begin(&t, IRR_MODEL_MREMAP, -1, 0)) {
		uint64_t args[5] = { from, old, to, length, keeps };
		memcpy(t.place->args, args, sizeof args);
		make(&t);
		end(&t);
	}
	errno = saved;
}

void irr_model_unmapped(uintptr_t from, size_t length)
{
	if (irr_model)
		tell_once(IRR_MODEL_MUNMAP, 0, from, from + length);
}

/* ---- what the recorder must know ---- */

void irr_model_closed(uint64_t known)
{
	int saved = errno;
	if (irr_model && (known == IRR_MODEL_ANY || irr_kind_of(known) != IRR_FILE_UNKNOWN))
		tell_once(IRR_MODEL_CLOSED, known == IRR_MODEL_ANY ? 0 : irr_file_of(known), 0, 0);
	errno = saved;
}

void irr_model_forked(uint32_t parent)
{
	if (irr_model)
		tell_once(IRR_MODEL_FORK, 0, parent, 0);
}

void irr_model_exit(void)
{
	struct talk t;
	int saved = errno;
	if (irr_model && !confined() && begin(&t, IRR_MODEL_EXIT, -1, 0)) {
		make(&t);
		end(&t);
	}
	errno = saved;
}

/* Is there a model beside the spool? */
void irr_model_start(const char *spool)
{
	struct stat st;
	if ((size_t)snprintf(folder, sizeof folder, "%s.model", spool) >= sizeof folder)
		return;
	folder_bytes = strlen(folder);
	int fd = open_in("places", -1, O_RDWR);
	if (fd < 0)
		return;
	long at = fstat(fd, &st) == 0 && (uint64_t)st.st_size >= IRR_MODEL_SIZE ? irr_sys(SYS_mmap, 0, (long)IRR_MODEL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : -EINVAL;
	shut(fd);
	if ((unsigned long)at > -4096UL)
		return;
	irr_sys(SYS_madvise, at, (long)IRR_MODEL_SIZE, MADV_DONTDUMP, 0, 0, 0);
	struct irr_model *m = (struct irr_model *)at;
	if (memcmp(m->magic, IRR_MODEL_MAGIC, 8) != 0 || m->version != 2)
		return;
	device = st.st_dev;
	irr_model = m;
	tell_once(IRR_MODEL_START, 0, 0, 0);
}
