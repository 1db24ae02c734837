/* SPDX-License-Identifier: GPL-2.0-only */
/* x86-64: an instruction that the processor makes, single-stepped between two of our signals. See irr_mmio_x86.c. */
#define _GNU_SOURCE
#if defined(__x86_64__)
#include <sys/mman.h>

#include "irr_x86.h"

#define TRAP_FLAG 0x100

static void step_mask(struct trap *t)
{
	sigset_t *mask = &t->context->uc_sigmask;
	irr_mmio_thread.step.mask = *mask;
	sigfillset(mask);
	static const int open[] = { SIGSEGV, SIGBUS, SIGTRAP, SIGILL, SIGFPE };
	for (unsigned i = 0; i < sizeof open / sizeof open[0]; i++)
		sigdelset(mask, open[i]);
}

static void view(const struct irr_region *r, uintptr_t address, int prot)
{
	uintptr_t page = address & ~(uintptr_t)(PAGE - 1), end = r->to - page < 2 * PAGE ? r->to : page + 2 * PAGE;
	irr_sys(SYS_mprotect, (long)page, (long)(end - page), prot, 0, 0, 0);
}

static void note_step(struct irr_mmio_thread *self)
{
	irr_access_begin(&self->step.access, &self->step.region, self->step.address, self->step.width, self->step.how, IRR_MMIO_STEPPED, self->step.ip, NULL);
}

enum irr_trap irr_step(struct trap *t)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	const struct irr_insn *in = &t->in;
	bool inside = t->address >= t->region.from && t->address + in->width <= t->region.to;
	self->step.buffered = in->width && !in->locked && in->swap != IRR_REG_NONE && inside;
	if (self->step.buffered && in->reads && !load(t, t->address, in->width, self->buffer))
		return refused(t);
	self->step.viewed = in->swap == IRR_REG_NONE || t->address < t->region.from;
	self->step.swap = in->swap;
	self->step.ip = t->ip;
	self->step.region = t->region;
	self->step.address = self->step.viewed ? (uintptr_t)t->info->si_addr : t->address;
	self->step.width = in->width;
	self->step.writes = in->writes;
	self->step.how = in->reads && in->writes ? IRR_MMIO_BOTH : in->writes ? IRR_MMIO_STORE : IRR_MMIO_LOAD;
	self->step.traced = (t->r[REG_EFL] & TRAP_FLAG) != 0;
	/* With the page open, another thread may close it before the step is made, and all begins again: noted when it is done. */
	if (self->step.viewed)
		view(&t->region, self->step.address, t->region.prot);
	else {
		if (!self->step.buffered)
			note_step(self);
		self->step.swapped = (uint64_t)GPR(t, in->swap);
		self->step.shifted = self->step.buffered ? (uintptr_t)self->buffer - t->address : t->region.alias - t->region.from;
		GPR(t, in->swap) += (greg_t)self->step.shifted;
	}
	step_mask(t);
	t->r[REG_EFL] |= TRAP_FLAG;
	self->step.active = true;
	return IRR_TRAP_DONE;
}

/* Undoes what step() did to the thread. */
static void unstep(ucontext_t *context)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	greg_t *r = context->uc_mcontext.gregs;
	self->step.active = false;
	if (self->step.viewed)
		view(&self->step.region, self->step.address, PROT_NONE);
	else
		r[irr_places[self->step.swap]] = (greg_t)self->step.swapped;
	if (!self->step.traced)
		r[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	context->uc_sigmask = self->step.mask;
}

/* SIGTRAP. false: it is not for us. */
bool irr_insn_stepped(siginfo_t *info, ucontext_t *context, enum irr_trap *how)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	if (!self->step.active)
		return false;
	greg_t *r = context->uc_mcontext.gregs;
	struct trap t = { .region = self->step.region, .context = context, .r = r, .ip = self->step.ip, .address = self->step.address, .info = info };
	bool repeats = (uintptr_t)r[REG_RIP] == self->step.ip; /* a step of a repeated string instruction: it will meet us again */
	unstep(context);
	*how = IRR_TRAP_DONE;
	if (self->step.viewed)
		note_step(self);
	if (!self->step.buffered)
		irr_access_end(&self->step.access, 0, NULL, false);
	else if (self->step.writes && !store(&t, t.address, self->step.width, self->buffer)) {
		r[REG_RIP] = (greg_t)t.ip;
		*how = refused(&t);
	}
	if (self->step.traced && *how == IRR_TRAP_DONE && !repeats)
		*how = IRR_TRAP_PROGRAM; /* the program, or its debugger, steps too */
	return true;
}

/* A fault while an instruction was stepped: it was not made, and the fault is at the program's own address. */
void irr_insn_abort(siginfo_t *info, ucontext_t *context)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	if (!self->step.active)
		return;
	irr_access_own_address(&self->step.region, info);
	unstep(context);
	if (!self->step.buffered && !self->step.viewed)
		irr_access_end(&self->step.access, 0, NULL, true);
}
#endif
