/* SPDX-License-Identifier: GPL-2.0-only */
/* The process that the others are started by: it waits, gives up on what hangs, and says how it ended. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "irr.h"
#include "rerun.h"

#define WATCH_NS 5000000L
#define DYING_NS UINT64_C(2000000000) /* how long those that were killed are waited for */

const char *step_name(uint32_t index)
{
	static __thread char text[96];
	const struct irr_plan_step *s = &plan.steps[index];
	int n = snprintf(text, sizeof text, "event %llu: %s", (unsigned long long)s->seq, kind_name(s->kind));
	if (s->kind == IRR_KIND_IOCTL)
		snprintf(text + n, sizeof text - (size_t)n, " 0x%x", s->request);
	return text;
}

static const char *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "no error";
	return name ? name : "an unknown error";
}

void kill_all(void)
{
	atomic_store(&shared->given_up, 1);
	for (uint32_t i = 0; i < plan.n_processes; i++) {
		uint32_t pid = atomic_load(&tables.pid[i]);
		if (pid && !process_gone(pid))
			kill((pid_t)pid, SIGKILL);
	}
	/* One that hangs inside the kernel does not die: it is left alone. */
	for (uint64_t until = now_ns() + DYING_NS; now_ns() < until;) {
		struct timespec t = { .tv_nsec = WATCH_NS };
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0)
			return;
		if (pid == 0)
			nanosleep(&t, NULL);
	}
}

static uint64_t limit_of(uint32_t step) { return plan.head->limit_ms * UINT64_C(1000000) + plan.steps[step].took; }

/* A call that does not return. -1 none */
static int64_t hanging(void)
{
	for (unsigned i = 0; i < FLIGHTS; i++) {
		struct flight *f = &shared->flight[i];
		uint32_t step = atomic_load(&f->step);
		if (step && now_ns() - atomic_load(&f->since) > limit_of(step - 1) && atomic_load(&f->step) == step)
			return step - 1;
	}
	return -1;
}

int watch(void)
{
	uint64_t progress = now_ns();
	uint32_t last = 0;
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (turns_done())
			return DONE;
		int64_t step = hanging();
		if (step >= 0) {
			fprintf(stderr, PROGRAM ": %s did not return within %.1f seconds; given up\n", step_name((uint32_t)step), (double)limit_of((uint32_t)step) / 1e9);
			return HUNG;
		}
		uint32_t turn = atomic_load(&shared->turn);
		if (turn != last)
			progress = now_ns();
		last = turn;
		if (turn < plan.n_steps) {
			uint32_t pid = atomic_load(&tables.pid[plan.steps[turn].process]);
			if (pid && process_gone(pid) && atomic_load(&shared->turn) == turn) {
				fprintf(stderr, PROGRAM ": the process of %s is gone; given up\n", step_name(turn));
				return HUNG;
			}
			if (now_ns() - progress > 2 * limit_of(turn)) {
				fprintf(stderr, PROGRAM ": %s is not reached; given up\n", step_name(turn));
				return HUNG;
			}
		}
		if (!options.durable)
			nanosleep(&(struct timespec){ .tv_nsec = WATCH_NS }, NULL);
		else if (!durable_serve(WATCH_NS))
			return HUNG;
	}
}

int told(int status)
{
	if (options.durable && !durable_finish() && status == DONE)
		status = HUNG;
	uint32_t differ = atomic_load(&shared->differ), skipped = atomic_load(&shared->skipped), first = atomic_load(&shared->first_differ);
	fprintf(stderr, PROGRAM ": issued %u of %u steps", atomic_load(&shared->issued), plan.n_steps);
	if (skipped)
		fprintf(stderr, ", %u could not be issued", skipped);
	if (differ && first) {
		int recorded = plan.steps[first - 1].error;
		fprintf(stderr, "; %u ended otherwise than in the recording, first %s: %s instead of ", differ, step_name(first - 1), error_name(atomic_load(&shared->first_error)));
		fprintf(stderr, "%s", error_name(recorded));
	}
	fputc('\n', stderr);
	uint32_t small = atomic_load(&shared->small);
	if (small)
		fprintf(stderr, PROGRAM ": %u ranges of memory or files were of huge pages and are not here: too few are free, see /proc/sys/vm/nr_hugepages\n", small);
	uint64_t lost = 0;
	for (unsigned i = 0; i < 4; i++)
		lost += atomic_load(&irr_spool->lost[i]);
	if (lost)
		fprintf(stderr, PROGRAM ": %llu calls were not issued, for there was no room to record them\n", (unsigned long long)lost);
	return status == DONE && (differ || skipped || lost) ? DIFFERS : status;
}
