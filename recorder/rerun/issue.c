/* SPDX-License-Identifier: GPL-2.0-only */
/* A step whose turn it is: which kind of call it is, and what came of it. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "calls.h"

static int descriptor(const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->uses; i++)
		if (plan.uses[s->use + i].in == IRR_IN_FD)
			return (int)use_value(&plan.uses[s->use + i]);
	/* A descriptor that the plan knows nothing of is none here. */
	return s->fd < 0 ? s->fd : -1;
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

static bool (*const call_of[])(struct call *c) = {
	[IRR_KIND_IOCTL] = ioctl_call,
	[IRR_KIND_OPEN] = open_call,
	[IRR_KIND_CLOSE] = close_call,
	[IRR_KIND_DUP] = dup_call,
	[IRR_KIND_MMAP] = mmap_call,
	[IRR_KIND_MUNMAP] = munmap_call,
	[IRR_KIND_MREMAP] = mremap_call,
	[IRR_KIND_READ] = read_call,
	[IRR_KIND_WRITE] = write_call,
	[IRR_KIND_SENDFD] = send_call,
	[IRR_KIND_FD] = found_step,
	[IRR_KIND_START] = start_step,
	[IRR_KIND_FORK] = fork_call,
	[IRR_KIND_EXIT] = exit_call,
	[IRR_KIND_EXEC] = exec_call,
	[IRR_KIND_MMIO] = mmio_step,
};

static bool made(struct call *c)
{
	unsigned kind = c->step->kind;
	return kind < sizeof call_of / sizeof *call_of && call_of[kind] && call_of[kind](c);
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
