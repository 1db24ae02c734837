/* SPDX-License-Identifier: GPL-2.0-only */
/* Steps: mappings of files, loads and stores in them. See calls.c. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "calls.h"

/* ---- mappings ---- */

bool mmap_call(struct call *c)
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

bool munmap_call(struct call *c)
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

bool mremap_call(struct call *c)
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

bool mmio_step(struct call *c)
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
