/* SPDX-License-Identifier: GPL-2.0-only */
/* Steps: processes that begin, fork, execute and end. See calls.c. */
#define _GNU_SOURCE
#include <unistd.h>

#include "calls.h"

/* ---- processes ---- */

/* The program that is played is named as it was. */
bool start_step(struct call *c)
{
	c->word[0] = (uint64_t)getppid();
	c->word[1] = irr_stat_field(22);
	c->words = c->words < 2 ? 2 : c->words > 3 ? 3 : c->words;
	c->fd = -1;
	c->known = 0;
	struct irr_call f;
	if (!frame_begin(&f, c, frame_texts_room(c->step)))
		return true;
	frame_texts(&f, c->step);
	irr_enter(&f);
	frame_leave(&f, c, 0);
	return true;
}

bool fork_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	c->fd = -1;
	c->known = 0;
	if (!frame_begin(&f, c, 0))
		return true;
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
	return true;
}

bool exit_call(struct call *c)
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
	return true;
}

/* The image is this program again: what it is to do next, it knows. */
bool exec_call(struct call *c)
{
	const struct irr_plan_step *s = c->step;
	struct irr_call f;
	c->fd = -1;
	c->known = 0;
	if (!frame_begin(&f, c, frame_texts_room(s)))
		return true;
	frame_texts(&f, s);
	frame_enter(&f, c);
	frame_leave(&f, c, execute(s->process, c->index));
	return true;
}
