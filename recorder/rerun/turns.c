/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose turn it is. Steps are entered in the order of the plan, whatever process and thread they are of; and one is entered
 * only when all before it have returned that had returned in the recording. All of it lies in memory that every process shares.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "irr_frame.h"
#include "rerun.h"

#define ASLEEP_NS 20000000u /* how long a call is waited for that is to be under way already, at most */

struct shared *shared;
struct tables tables;

uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Where the tables behind it lie, by the plan. */
static bool map_shared(int fd)
{
	size_t bytes = sizeof *shared + plan.n_processes * 8ull + plan.n_symbols * (8ull + 8 + 8) + 64;
	if (ftruncate(fd, (off_t)bytes) != 0)
		return false;
	uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return false;
	shared = (struct shared *)at;
	at += (sizeof *shared + 7) & ~(size_t)7;
	tables.value = (void *)at;
	at += plan.n_symbols * 8ull;
	tables.pid = (void *)at;
	at += (plan.n_processes * 4ull + 7) & ~7ull;
	tables.receiver = (void *)at;
	at += (plan.n_symbols * 4ull + 7) & ~7ull;
	tables.live = (void *)at;
	return true;
}

bool shared_attach(uint32_t watcher, int of)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%u/fd/%d", watcher, of);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool ok = fd >= 0 && map_shared(fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

bool shared_make(void)
{
	int fd = memfd_create(PROGRAM, MFD_CLOEXEC), high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (high >= 0)
		close(fd);
	if (high < 0 || !map_shared(high))
		return false;
	shared->watcher = (uint32_t)getpid();
	shared->fd = high;
	for (uint32_t i = 0; i < plan.n_symbols; i++) {
		tables.value[i] = plan.symbols[i].value;
		tables.receiver[i] = -1;
	}
	return true;
}

/* Whom to wake: there may be hundreds of threads, and one has the turn. */
#define AT_END (1u << 31)
static __thread uint32_t mine_bit;

static uint32_t bit_of(const struct irr_plan_step *s) { return 1u << ((s->process * 7 + s->thread) % 31); }

static void changed(void)
{
	uint32_t turn = atomic_load(&shared->turn), whom = turn < plan.n_steps ? bit_of(&plan.steps[turn]) : ~0u;
	atomic_fetch_add(&shared->changes, 1);
	if (atomic_load(&shared->waiters))
		syscall(SYS_futex, &shared->changes, FUTEX_WAKE_BITSET, 1 << 30, NULL, NULL, whom);
}

/* Until something has changed since `seen` that concerns us, or a moment has gone by. */
static void await_change(uint32_t seen, long ns)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ns;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	if (atomic_load(&shared->given_up))
		for (;;)
			pause(); /* whoever watches ends us */
	atomic_fetch_add(&shared->waiters, 1);
	syscall(SYS_futex, &shared->changes, FUTEX_WAIT_BITSET, seen, &t, NULL, mine_bit);
	atomic_fetch_sub(&shared->waiters, 1);
}

/* The letter of a task's state, from its stat file; 0: there is none. */
static char task_state(uint32_t tid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%u/stat", tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *p = strrchr(text, ')');
	return p && p[1] == ' ' ? p[2] : 0;
}

/* Its files are closed and its memory is given back. */
bool process_gone(uint32_t pid)
{
	char state = task_state(pid);
	return state == 0 || state == 'Z' || state == 'X';
}

/* A call of a process's end does not return: it has when the process is gone. */
static bool has_ended(struct flight *f, uint32_t step)
{
	if (plan.steps[step].kind != IRR_KIND_EXIT || !process_gone(atomic_load(&f->pid)))
		return false;
	uint32_t mine = step + 1;
	if (atomic_compare_exchange_strong(&f->step, &mine, 0))
		changed();
	return true;
}

static bool overlaps(const struct irr_plan_step *s, uint32_t other)
{
	for (uint32_t i = 0; i < s->overlaps; i++)
		if (plan.overlaps[s->overlap + i] == other)
			return true;
	return false;
}

/* A call that is to be inside the kernel by now: as far as one can see from outside. */
static void await_inside(struct flight *f, uint32_t step)
{
	uint64_t until = now_ns() + ASLEEP_NS;
	while (atomic_load(&f->step) == step + 1 && now_ns() < until) {
		char state = task_state(atomic_load(&f->tid));
		if (state == 'S' || state == 'D' || state == 0)
			return;
		struct timespec t = { .tv_nsec = 200000 };
		nanosleep(&t, NULL);
	}
}

struct flight *turn_enter(uint32_t step)
{
	const struct irr_plan_step *s = &plan.steps[step];
	mine_bit = bit_of(s);
	for (;;) {
		uint32_t seen = atomic_load(&shared->changes);
		if (atomic_load(&shared->turn) == step)
			break;
		await_change(seen, 900000000);
	}
	struct flight *mine = NULL;
	for (unsigned i = 0; i < FLIGHTS; i++) {
		struct flight *f = &shared->flight[i];
		for (;;) {
			uint32_t seen = atomic_load(&shared->changes), other = atomic_load(&f->step);
			if (other == 0) {
				if (!mine)
					mine = f;
				break;
			}
			if (overlaps(s, other - 1)) {
				await_inside(f, other - 1);
				break;
			}
			if (!has_ended(f, other - 1))
				await_change(seen, plan.steps[other - 1].kind == IRR_KIND_EXIT ? 200000 : 100000000);
		}
	}
	/* A plan may say that more overlap than there are places; then the first place is shared, and its call is not watched. */
	if (!mine)
		mine = &shared->flight[0];
	atomic_store(&mine->pid, (uint32_t)getpid());
	atomic_store(&mine->tid, (uint32_t)gettid());
	atomic_store(&mine->since, now_ns());
	atomic_store(&mine->step, step + 1);
	atomic_store(&shared->turn, step + 1);
	changed();
	return mine;
}

void turn_leave(struct flight *f)
{
	atomic_store(&f->step, 0);
	changed();
}

/* The call that made this image has returned. */
void turn_executed(void)
{
	for (unsigned i = 0; i < FLIGHTS; i++)
		if (atomic_load(&shared->flight[i].step) && atomic_load(&shared->flight[i].pid) == (uint32_t)getpid())
			turn_leave(&shared->flight[i]);
}

bool turns_done(void)
{
	if (atomic_load(&shared->turn) < plan.n_steps)
		return false;
	for (unsigned i = 0; i < FLIGHTS; i++) {
		uint32_t step = atomic_load(&shared->flight[i].step);
		if (step && !has_ended(&shared->flight[i], step - 1))
			return false;
	}
	return true;
}

/* A process that nobody ended lives as long as the others. */
void wait_for_end(void)
{
	mine_bit = AT_END;
	for (;;) {
		uint32_t seen = atomic_load(&shared->changes);
		if (turns_done())
			return;
		await_change(seen, 200000000);
	}
}
