/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of x86-64's emulation share.
 *
 *   irr_mmio_x86.c  moves, exchanges, strings, vector registers
 *   irr_x86_copy.c  instructions that are made in a copy
 *   irr_x86_step.c  instructions that are single-stepped
 */
#ifndef IRR_X86_H
#define IRR_X86_H

#include "irr_decode.h"
#include "irr_mmio.h"

#define PAGE 4096u
enum { RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSI = 6, RDI = 7 };

/* One instruction that met a region. */
struct trap {
	struct irr_region region;
	struct irr_insn in;
	ucontext_t *context;
	greg_t *r;
	uintptr_t ip, address;
	siginfo_t *info;
};

/* Where the signal frame has the register that the processor gives a number. */
static const __attribute__((unused)) uint8_t irr_places[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
#define GPR(t, n) ((t)->r[irr_places[n]])

static inline enum irr_trap refused(struct trap *t)
{
	irr_access_refused(&t->region, t->info);
	return IRR_TRAP_PROGRAM;
}

static inline uintptr_t alias_of(const struct trap *t, uintptr_t address) { return t->region.alias + (address - t->region.from); }

static inline bool make(struct trap *t, irr_raw_fn *raw, uintptr_t address, unsigned width, unsigned how, void *data, const void *stored)
{
	return irr_access_make(&t->region, address, width, how, 0, t->ip, raw, data, stored);
}

static inline bool load(struct trap *t, uintptr_t address, unsigned width, void *to)
{
	return make(t, irr_raw_load(width), address, width, IRR_MMIO_LOAD, to, NULL);
}

static inline bool store(struct trap *t, uintptr_t address, unsigned width, void *from)
{
	return make(t, irr_raw_store(width), address, width, IRR_MMIO_STORE, from, from);
}

static inline enum irr_trap next(struct trap *t)
{
	t->r[REG_RIP] = (greg_t)(t->ip + t->in.length);
	return IRR_TRAP_DONE;
}

extern irr_raw_fn irr_raw_xadd1, irr_raw_xadd2, irr_raw_xadd4, irr_raw_xadd8;

static inline irr_raw_fn *irr_raw_xadd(unsigned width)
{
	return width == 1 ? irr_raw_xadd1 : width == 2 ? irr_raw_xadd2 : width == 4 ? irr_raw_xadd4 : irr_raw_xadd8;
}

void irr_copies_start(void);
const uint8_t *irr_copy_of(const struct irr_insn *insn);
enum irr_trap irr_made_in_copy(struct trap *t, const uint8_t *code);
enum irr_trap irr_step(struct trap *t);

#endif
