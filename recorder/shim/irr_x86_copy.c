/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86-64: an instruction that uses general registers alone is made here: a copy of it whose memory is a register's, with the
 * program's registers and flags. The copies lie in memory that can be executed; where the system refuses that, such
 * instructions are single-stepped.
 */
#define _GNU_SOURCE
#if defined(__x86_64__)
#include <sys/mman.h>

#include "irr_x86.h"

#define ARENA 512u /* copies of instructions */
#define SLOT 32u   /* bytes that each may take */
#define ARITHMETIC 0x8d5u

static uint8_t *arena;
static _Atomic uint8_t ready[ARENA]; /* 0 free, 1 being written, 2 there */

void irr_copies_start(void)
{
	long room = irr_sys(SYS_mmap, 0, ARENA * SLOT, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if ((unsigned long)room <= -4096UL)
		arena = (uint8_t *)room;
}

/* The copy of an instruction, made where there is none yet. NULL: there cannot be one. */
const uint8_t *irr_copy_of(const struct irr_insn *in)
{
	uint32_t hash = 2166136261u;
	for (unsigned i = 0; i < in->moved_length; i++)
		hash = (hash ^ in->moved[i]) * 16777619u;
	for (unsigned probe = 0; arena && in->moved_length && probe < 16; probe++) {
		unsigned n = (hash + probe) % ARENA;
		uint8_t *code = arena + n * SLOT, state = atomic_load_explicit(&ready[n], memory_order_acquire);
		if (state == 0 && atomic_compare_exchange_strong(&ready[n], &state, 1)) {
			memcpy(code, in->moved, in->moved_length);
			code[in->moved_length] = 0xc3; /* ret */
			code[SLOT - 1] = in->moved_length;
			atomic_store_explicit(&ready[n], 2, memory_order_release);
			return code;
		}
		if (state == 2 && code[SLOT - 1] == in->moved_length && memcmp(code, in->moved, in->moved_length) == 0)
			return code;
	}
	return NULL;
}

/* Registers 0 to 15, of which 4 is the stack pointer's and kept here, and the flags. 0: it faulted. */
unsigned irr_run(uint64_t *registers, const uint8_t *code);
extern const char irr_run_failed[];
__asm__(".text\n.hidden irr_run, irr_run_failed\n.type irr_run, @function\nirr_run:\n"
	"	pushq %rbx\n	pushq %rbp\n	pushq %r12\n	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	pushq %rdi\n	pushq %rsi\n	movq %rsp, 32(%rdi)\n"
	"	pushq 128(%rdi)\n	popfq\n"
	"	movq 0(%rdi), %rax\n	movq 8(%rdi), %rcx\n	movq 16(%rdi), %rdx\n	movq 24(%rdi), %rbx\n	movq 40(%rdi), %rbp\n"
	"	movq 48(%rdi), %rsi\n	movq 64(%rdi), %r8\n	movq 72(%rdi), %r9\n	movq 80(%rdi), %r10\n	movq 88(%rdi), %r11\n"
	"	movq 96(%rdi), %r12\n	movq 104(%rdi), %r13\n	movq 112(%rdi), %r14\n	movq 120(%rdi), %r15\n	movq 56(%rdi), %rdi\n"
	"	call *(%rsp)\n"
	"	pushq %rdi\n	movq 16(%rsp), %rdi\n"
	"	pushfq\n	popq 128(%rdi)\n"
	"	movq %rax, 0(%rdi)\n	movq %rcx, 8(%rdi)\n	movq %rdx, 16(%rdi)\n	movq %rbx, 24(%rdi)\n	movq %rbp, 40(%rdi)\n"
	"	movq %rsi, 48(%rdi)\n	movq %r8, 64(%rdi)\n	movq %r9, 72(%rdi)\n	movq %r10, 80(%rdi)\n	movq %r11, 88(%rdi)\n"
	"	movq %r12, 96(%rdi)\n	movq %r13, 104(%rdi)\n	movq %r14, 112(%rdi)\n	movq %r15, 120(%rdi)\n"
	"	popq %rax\n	movq %rax, 56(%rdi)\n	movl $1, %eax\n"
	"1:	cld\n	addq $16, %rsp\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n	popq %r12\n	popq %rbp\n	popq %rbx\n	ret\n"
	"irr_run_failed:\n	xorl %eax, %eax\n	jmp 1b\n");

/* A fault of the copy: irr_run returns 0. */
bool irr_run_faulted(ucontext_t *context)
{
	greg_t *r = context->uc_mcontext.gregs;
	if (!arena || (uintptr_t)r[REG_RIP] - (uintptr_t)arena >= ARENA * SLOT || !irr_mmio_thread.running)
		return false;
	r[REG_RSP] = (greg_t)irr_mmio_thread.running[4];
	r[REG_RIP] = (greg_t)(uintptr_t)irr_run_failed;
	return true;
}

static bool run(struct trap *t, const uint8_t *code, uint64_t *registers, uintptr_t memory)
{
	for (unsigned n = 0; n < 16; n++)
		registers[n] = (uint64_t)GPR(t, n);
	registers[t->in.moved_reg] = memory;
	registers[16] = ((uint64_t)t->r[REG_EFL] & ARITHMETIC) | 0x202;
	irr_mmio_thread.running = registers;
	bool ok = irr_run(registers, code);
	irr_mmio_thread.running = NULL;
	return ok;
}

static enum irr_trap taken(struct trap *t, const uint64_t *registers)
{
	for (unsigned n = 0; n < 16; n++)
		if (n != 4 && n != t->in.moved_reg)
			GPR(t, n) = (greg_t)registers[n];
	t->r[REG_EFL] = (greg_t)(((uint64_t)t->r[REG_EFL] & ~(uint64_t)ARITHMETIC) | (registers[16] & ARITHMETIC));
	return next(t);
}

/* Locked addition and its kin: one exchange that adds, and what it found tells the rest. */
static enum irr_trap locked_add(struct trap *t, const uint8_t *code, uint64_t *registers)
{
	const struct irr_insn *in = &t->in;
	unsigned shift = 64 - 8u * in->width;
	uint64_t *cell = (uint64_t *)irr_mmio_thread.buffer, data, added;
	struct irr_access a;
	*cell = 0;
	run(t, code, registers, (uintptr_t)cell);
	data = added = *cell << shift >> shift;
	irr_access_begin(&a, &t->region, t->address, in->width, IRR_MMIO_BOTH, 0, t->ip, &added);
	bool ok = irr_raw_xadd(in->width)(alias_of(t, t->address), &data);
	added = (data + added) << shift >> shift;
	irr_access_stored(&a, in->width, &added);
	irr_access_end(&a, in->width, &data, !ok);
	if (!ok)
		return refused(t);
	*cell = data;
	run(t, code, registers, (uintptr_t)cell);
	return taken(t, registers);
}

/* Locked cmpxchg8b and cmpxchg16b: what was there comes back in registers. */
static enum irr_trap locked_pair(struct trap *t, const uint8_t *code, uint64_t *registers)
{
	const unsigned half = t->in.width / 2;
	uint8_t found[16], stored[16];
	struct irr_access a;
	memcpy(stored, &GPR(t, RBX), half);
	memcpy(stored + half, &GPR(t, RCX), half);
	irr_access_begin(&a, &t->region, t->address, 2 * half, IRR_MMIO_BOTH, 0, t->ip, stored);
	bool ok = run(t, code, registers, alias_of(t, t->address)), same = ok && registers[16] & 0x40;
	/* A comparison that held leaves the registers as they were: what was there is what they expected. */
	memcpy(found, &registers[RAX], half);
	memcpy(found + half, &registers[RDX], half);
	if (ok && !same)
		irr_access_stored(&a, 2 * half, found);
	irr_access_end(&a, 2 * half, found, !ok);
	return ok ? taken(t, registers) : refused(t);
}

enum irr_trap irr_made_in_copy(struct trap *t, const uint8_t *code)
{
	const struct irr_insn *in = &t->in;
	uint64_t registers[17];
	uint8_t *buffer = irr_mmio_thread.buffer;
	struct irr_access a;
	if (in->linear && in->width <= 8)
		return locked_add(t, code, registers);
	if (in->pair)
		return locked_pair(t, code, registers);
	if (in->locked) {
		irr_access_begin(&a, &t->region, t->address, in->width, IRR_MMIO_BOTH, IRR_MMIO_STEPPED, t->ip, NULL);
		bool ok = run(t, code, registers, alias_of(t, t->address));
		irr_access_end(&a, in->width, NULL, !ok);
		return ok ? taken(t, registers) : refused(t);
	}
	if (in->reads && !load(t, t->address, in->width, buffer))
		return refused(t);
	run(t, code, registers, (uintptr_t)buffer);
	if (in->writes && !store(t, t->address, in->width, buffer))
		return refused(t);
	return taken(t, registers);
}
#endif
