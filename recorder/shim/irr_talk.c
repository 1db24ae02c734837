/* SPDX-License-Identifier: GPL-2.0-only */
/* How a program asks the model: a place in the file that both sides have, a message, an answer with steps (irr_model.h). */
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
#include "irr_talk.h"

#define PAGE 4096u
#define WAIT_MS 1000

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

struct irr_model *irr_model;
size_t irr_talk_folder_bytes;
uint64_t irr_talk_device;
static char folder[PATH_MAX];

/* FOLDER/name, or FOLDER/name-number. */
void irr_talk_path(char *to, const char *name, int64_t number)
{
	memcpy(to, folder, irr_talk_folder_bytes);
	to += irr_talk_folder_bytes;
	*to++ = '/';
	size_t length = strlen(name);
	memcpy(to, name, length);
	to += length;
	if (number >= 0) {
		*to++ = '-';
		to = irr_put_number(to, (uint64_t)number);
	}
	*to = 0;
}

int irr_talk_open(const char *name, int64_t number, int flags)
{
	char path[IRR_TALK_PATH];
	irr_talk_path(path, name, number);
	return (int)irr_sys(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0, 0, 0);
}

void irr_talk_shut(int fd)
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

static int open_ask(void) { return answered() ? irr_talk_open("ask", -1, O_RDWR | O_NONBLOCK) : -ENODEV; }

void irr_talk_tell(enum irr_model_word word, uint32_t file, uint64_t a, uint64_t b)
{
	int ask = irr_talk_confined() && (word != IRR_MODEL_CLOSED || !file) ? -EPERM : open_ask();
	if (ask < 0)
		return;
	tell(ask, &(struct irr_model_message){ .word = word, .pid = own_pid(), .file = file, .a = a, .b = b });
	irr_talk_shut(ask);
}

/* ---- a call ---- */

static struct irr_model_place *place_at(uint32_t i)
{
	return (struct irr_model_place *)((uint8_t *)irr_model + IRR_MODEL_PLACE + i * IRR_MODEL_PLACE_BYTES);
}

static bool take_place(struct irr_talk *t, uint32_t tid)
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
bool irr_talk_begin(struct irr_talk *t, enum irr_model_op op, int fd, uint64_t known)
{
	uint32_t tid = (uint32_t)irr_sys(SYS_gettid, 0, 0, 0, 0, 0, 0);
	t->bytes = 0;
	t->ask = open_ask();
	if (t->ask < 0 || !take_place(t, tid)) {
		errno = t->ask < 0 ? -t->ask : ENODEV;
		irr_talk_shut(t->ask);
		return false;
	}
	t->answer = irr_talk_open("answer", t->number, O_RDONLY | O_NONBLOCK);
	if (t->answer < 0) {
		errno = -t->answer;
		irr_talk_shut(t->ask);
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

void irr_talk_end(struct irr_talk *t)
{
	irr_talk_shut(t->answer);
	irr_talk_shut(t->ask);
	atomic_store_explicit(&t->place->owner, 0, memory_order_release);
}

/* Memory of the program goes along; as much as there is room for. */
uint32_t irr_talk_bring(struct irr_talk *t, uint32_t field, const void *from, uint64_t wanted)
{
	struct irr_model_place *p = t->place;
	if (p->pieces == IRR_MODEL_PIECES)
		return 0;
	uint32_t room = IRR_TALK_DATA_MAX - t->bytes, take = wanted > room ? room : (uint32_t)wanted;
	size_t got = irr_copy(irr_talk_data(t) + t->bytes, from, take);
	p->piece[p->pieces++] = (struct irr_model_piece){ .field = field, .bytes = (uint32_t)got, .at = t->bytes, .fault = got < take, .wanted = wanted, .address = (uintptr_t)from };
	t->bytes += ((uint32_t)got + 7) & ~7u;
	return (uint32_t)got;
}

/* Writes to the program's memory; never faults. */
bool irr_talk_put(void *to, const void *from, size_t bytes)
{
	struct iovec local = { (void *)(uintptr_t)from, bytes }, remote = { to, bytes };
	return !bytes || irr_sys(SYS_process_vm_writev, own_pid(), (long)&local, 1, (long)&remote, 1, 0) == (long)bytes;
}

static bool copy_within(uint64_t to, uint64_t from, uint64_t bytes)
{
	uint8_t piece[512];
	for (uint64_t done = 0; done < bytes;) {
		size_t n = bytes - done > sizeof piece ? sizeof piece : (size_t)(bytes - done);
		if (irr_copy(piece, (const void *)(uintptr_t)(from + done), n) < n || !irr_talk_put((void *)(uintptr_t)(to + done), piece, n))
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
		irr_talk_shut(own);
	irr_talk_shut(pidfd);
}

/* Does the steps of an answer. Returns the failed one + 1, 0 where all were done. */
static uint32_t act(struct irr_talk *t)
{
	struct irr_model_answer *a = irr_talk_answer(t);
	const struct irr_model_do *d = (const struct irr_model_do *)((uint8_t *)a + IRR_MODEL_STEPS);
	for (uint32_t i = 0; i < a->steps && i < IRR_MODEL_STEP_MAX; i++, d++) {
		bool ok = true;
		if (d->step == IRR_MODEL_PUT)
			ok = irr_talk_put((void *)(uintptr_t)d->a, (uint8_t *)a + d->b, d->bytes);
		else if (d->step == IRR_MODEL_COPY)
			ok = copy_within(d->a, d->b, d->bytes);
		else if (d->step == IRR_MODEL_FAULT_IN)
			ok = fault_in(d->a, d->b, d->bytes != 0);
		else if (d->step == IRR_MODEL_GET)
			ok = irr_copy(irr_talk_data(t) + d->b, (const void *)(uintptr_t)d->a, d->bytes) == d->bytes;
		else if (d->step == IRR_MODEL_SIGNAL)
			one_more((uint32_t)d->a, (int)d->bytes);
		if (!ok)
			return i + 1;
	}
	return 0;
}

/* Waits for the answer to this call. false: it will not come. */
static bool hear(struct irr_talk *t)
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
bool irr_talk_make(struct irr_talk *t)
{
	struct irr_model_message m = { .word = IRR_MODEL_CALL, .place = t->number, .pid = t->place->pid, .file = t->place->file };
	bool ok = tell(t->ask, &m);
	for (;;) {
		if (!ok || !hear(t)) {
			errno = ENODEV;
			return false;
		}
		struct irr_model_answer *a = irr_talk_answer(t);
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

/* ---- start ---- */

/* Is there a model beside the spool? */
void irr_model_start(const char *spool)
{
	struct stat st;
	if ((size_t)snprintf(folder, sizeof folder, "%s.model", spool) >= sizeof folder)
		return;
	irr_talk_folder_bytes = strlen(folder);
	int fd = irr_talk_open("places", -1, O_RDWR);
	if (fd < 0)
		return;
	long at = fstat(fd, &st) == 0 && (uint64_t)st.st_size >= IRR_MODEL_SIZE ? irr_sys(SYS_mmap, 0, (long)IRR_MODEL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : -EINVAL;
	irr_talk_shut(fd);
	if ((unsigned long)at > -4096UL)
		return;
	irr_sys(SYS_madvise, at, (long)IRR_MODEL_SIZE, MADV_DONTDUMP, 0, 0, 0);
	struct irr_model *m = (struct irr_model *)at;
	if (memcmp(m->magic, IRR_MODEL_MAGIC, 8) != 0 || m->version != 2)
		return;
	irr_talk_device = st.st_dev;
	irr_model = m;
	irr_talk_tell(IRR_MODEL_START, 0, 0, 0);
}
