/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accesses of one exact width that may fault. They lie between two labels, keep nothing on the stack, and return 1; where one
 * faults, the signal handler lets it return 0 (irr_raw_faulted).
 *
 * unsigned NAME(uintptr_t device, void *data)
 */
#define _GNU_SOURCE
#include "irr_mmio.h"

extern const char irr_raw_from[], irr_raw_to[];

__thread struct irr_mmio_thread irr_mmio_thread;

#define RAW_BEGIN ".text\n.globl irr_raw_from\n.hidden irr_raw_from\nirr_raw_from:\n"
#define RAW_END ".globl irr_raw_to\n.hidden irr_raw_to\nirr_raw_to:\n"
#if defined(__x86_64__)
#define FUNCTION(name, body)                                                                                           \
	".globl irr_raw_" name "\n.hidden irr_raw_" name "\n.type irr_raw_" name ", @function\nirr_raw_" name ":\n" body "\n\tmovl $1, %eax\n\tret\n"
#define MOVES(n, move, reg) FUNCTION("load" #n, "\t" move " (%rdi), " reg "\n\t" move " " reg ", (%rsi)") FUNCTION("store" #n, "\t" move " (%rsi), " reg "\n\t" move " " reg ", (%rdi)")
/* xchg and xadd: data in, what was there out; cmpxchg: data[0] expected and found, data[1] new */
#define BOTH(n, suffix, a, c)                                                                                          \
	FUNCTION("xchg" #n, "\tmov" suffix " (%rsi), " c "\n\txchg" suffix " " c ", (%rdi)\n\tmov" suffix " " c ", (%rsi)")             \
	FUNCTION("xadd" #n, "\tmov" suffix " (%rsi), " c "\n\tlock; xadd" suffix " " c ", (%rdi)\n\tmov" suffix " " c ", (%rsi)")       \
	FUNCTION("cmpxchg" #n, "\tmov" suffix " (%rsi), " a "\n\tmov" suffix " 8(%rsi), " c "\n\tlock; cmpxchg" suffix " " c ", (%rdi)\n\tmov" suffix " " a ", (%rsi)")
__asm__(RAW_BEGIN
	MOVES(1, "movb", "%al") MOVES(2, "movw", "%ax") MOVES(4, "movl", "%eax") MOVES(8, "movq", "%rax")
	MOVES(16, "movups", "%xmm0") MOVES(32, "vmovups", "%ymm0") MOVES(64, "vmovups", "%zmm0")
	BOTH(1, "b", "%al", "%cl") BOTH(2, "w", "%ax", "%cx") BOTH(4, "l", "%eax", "%ecx") BOTH(8, "q", "%rax", "%rcx")
	FUNCTION("movdir64b", "\t.byte 0x66, 0x0f, 0x38, 0xf8, 0x3e") /* movdir64b (%rsi), %rdi */
	RAW_END);
#elif defined(__aarch64__)
#define FUNCTION(name, body)                                                                                           \
	".globl irr_raw_" name "\n.hidden irr_raw_" name "\n.type irr_raw_" name ", %function\nirr_raw_" name ":\n" body "\n\tmov w0, #1\n\tret\n"
#define MOVES(n, suffix, reg) FUNCTION("load" #n, "\tldr" suffix " " reg "2, [x0]\n\tstr" suffix " " reg "2, [x1]") FUNCTION("store" #n, "\tldr" suffix " " reg "2, [x1]\n\tstr" suffix " " reg "2, [x0]")
#define ORDERED(n, suffix, reg) FUNCTION("acquire" #n, "\tldar" suffix " " reg "2, [x0]\n\tstr" suffix " " reg "2, [x1]") FUNCTION("release" #n, "\tldr" suffix " " reg "2, [x1]\n\tstlr" suffix " " reg "2, [x0]")
/* data[0] expected and found, data[1] new (16 bytes: two of each); an exchange that did not come about has made no store */
#define EXCHANGE(n, suffix, reg)                                                                               \
	FUNCTION("exchange" #n, "\tldr" suffix " " reg "3, [x1]\n\tldr" suffix " " reg "4, [x1, #8]\n1:\tldaxr" suffix " " reg "2, [x0]\n\tcmp " reg "2, " reg "3\n\tb.ne 2f\n" \
		"\tstlxr" suffix " w5, " reg "4, [x0]\n\tcbnz w5, 1b\n2:\tclrex\n\tstr" suffix " " reg "2, [x1]")
/* data[0] operand in, what was there out; `how` makes 4 from 2, what was there, and 3, the operand */
#define ATOMIC(name, n, suffix, reg, how)                                                                              \
	FUNCTION(name #n, "\tldr" suffix " " reg "3, [x1]\n1:\tldaxr" suffix " " reg "2, [x0]\n\t" how "\n\tstlxr" suffix " w5, " reg "4, [x0]\n\tcbnz w5, 1b\n\tstr" suffix " " reg "2, [x1]")
#define ATOMICS(n, suffix, reg)                                                                                        \
	ATOMIC("add", n, suffix, reg, "add " reg "4, " reg "2, " reg "3") ATOMIC("clr", n, suffix, reg, "bic " reg "4, " reg "2, " reg "3")           \
	ATOMIC("eor", n, suffix, reg, "eor " reg "4, " reg "2, " reg "3") ATOMIC("set", n, suffix, reg, "orr " reg "4, " reg "2, " reg "3")           \
	ATOMIC("swap", n, suffix, reg, "mov " reg "4, " reg "3")
__asm__(RAW_BEGIN
	MOVES(1, "b", "w") MOVES(2, "h", "w") MOVES(4, "", "w") MOVES(8, "", "x") MOVES(16, "", "q")
	ORDERED(1, "b", "w") ORDERED(2, "h", "w") ORDERED(4, "", "w") ORDERED(8, "", "x")
	EXCHANGE(1, "b", "w") EXCHANGE(2, "h", "w") EXCHANGE(4, "", "w") EXCHANGE(8, "", "x")
	FUNCTION("exchange16", "\tldp x3, x4, [x1]\n\tldp x6, x7, [x1, #16]\n1:\tldaxp x2, x8, [x0]\n\tcmp x2, x3\n\tccmp x8, x4, #0, eq\n\tb.ne 2f\n"
		"\tstlxp w5, x6, x7, [x0]\n\tcbnz w5, 1b\n2:\tclrex\n\tstp x2, x8, [x1]")
	ATOMICS(1, "b", "w") ATOMICS(2, "h", "w") ATOMICS(4, "", "w") ATOMICS(8, "", "x")
	RAW_END);
#endif

#define DECLARE(n) extern irr_raw_fn irr_raw_load##n, irr_raw_store##n;
DECLARE(1) DECLARE(2) DECLARE(4) DECLARE(8) DECLARE(16)
#if defined(__x86_64__)
DECLARE(32) DECLARE(64)
#define WIDE irr_raw_load32, irr_raw_load64
#define WIDE_STORE irr_raw_store32, irr_raw_store64
#else
#define WIDE NULL, NULL
#define WIDE_STORE NULL, NULL
#endif

/* NULL where the processor has no such access. `width` is a power of two. */
irr_raw_fn *irr_raw_load(unsigned width)
{
	static irr_raw_fn *const loads[] = { irr_raw_load1, irr_raw_load2, irr_raw_load4, irr_raw_load8, irr_raw_load16, WIDE };
	return loads[__builtin_ctz(width)];
}

irr_raw_fn *irr_raw_store(unsigned width)
{
	static irr_raw_fn *const stores[] = { irr_raw_store1, irr_raw_store2, irr_raw_store4, irr_raw_store8, irr_raw_store16, WIDE_STORE };
	return stores[__builtin_ctz(width)];
}

/* A fault inside one of these: it returns 0. */
bool irr_raw_faulted(const siginfo_t *info, ucontext_t *context)
{
	if (info->si_code <= 0) /* somebody has sent it */
		return false;
#if defined(__x86_64__)
	greg_t *r = context->uc_mcontext.gregs;
	uintptr_t at = (uintptr_t)r[REG_RIP];
	if (irr_run_faulted(context)) {
		irr_mmio_thread.failed = *info;
		return true;
	}
	if (at < (uintptr_t)irr_raw_from || at >= (uintptr_t)irr_raw_to)
		return false;
	r[REG_RIP] = *(greg_t *)r[REG_RSP];
	r[REG_RSP] += 8;
	r[REG_RAX] = 0;
#else
	uintptr_t at = context->uc_mcontext.pc;
	if (at < (uintptr_t)irr_raw_from || at >= (uintptr_t)irr_raw_to)
		return false;
	context->uc_mcontext.pc = context->uc_mcontext.regs[30];
	context->uc_mcontext.regs[0] = 0;
#endif
	irr_mmio_thread.failed = *info;
	return true;
}
