/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an instruction does with memory, as far as making its access in its place needs it.
 *
 * On x86-64 the decoder (irr_decode.c) lies in a shared object of its own, libiommufd-rr-decode.so, which stands on Zydis;
 * the shim loads it only where loads and stores are recorded, and so depends on nothing but libc.
 */
#ifndef IRR_DECODE_H
#define IRR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IRR_DECODE_OBJECT "libiommufd-rr-decode.so"
#define IRR_DECODE_SYMBOL "irr_decode_x86"
#define IRR_CODE_MAX 15u /* bytes of an instruction, at most */

enum irr_op {
	IRR_OP_NONE,      /* no memory operand */
	IRR_OP_LOAD,      /* register = memory, extended to reg_width */
	IRR_OP_STORE,     /* memory = register */
	IRR_OP_STORE_IMM, /* memory = imm */
	IRR_OP_XCHG,      /* one access that does both */
	IRR_OP_XADD,      /* the same, with lock */
	IRR_OP_CMPXCHG,   /* the same */
	IRR_OP_MOVS,
	IRR_OP_STOS,
	IRR_OP_LODS,
	IRR_OP_CMPS,
	IRR_OP_SCAS,
	IRR_OP_MOVDIR64B, /* 64 bytes from memory to the address in `reg` */
	IRR_OP_VLOAD,     /* the whole of a vector register of 16 or 32 bytes = memory */
	IRR_OP_VSTORE,
	IRR_OP_ANY,       /* anything else: `reads`, `writes` and `width` say what it does */
};

#define IRR_REG_NONE 0xffu
#define IRR_REG_IP 16u

/* Registers are numbered as the processor does: 0 rax … 15 r15. */
struct irr_insn {
	uint8_t length;
	uint8_t op;
	uint8_t width;       /* bytes of the access; 0: not one access of a known width */
	uint8_t reads, writes;
	uint8_t locked;
	uint8_t rep;         /* 1 rep, repe; 2 repne */
	uint8_t vex;         /* VLOAD clears what of the register it does not load */
	uint8_t reg;         /* the other operand */
	uint8_t reg_width;
	uint8_t reg_high;    /* ah, ch, dh, bh */
	uint8_t sign;        /* LOAD extends the sign */
	uint8_t base, index, scale;
	uint8_t segment;     /* 0 none that counts, 1 fs, 2 gs */
	uint8_t address_bits;
	uint8_t moved_length; /* 0: `moved` is not there */
	uint8_t moved_reg;
	uint8_t pair;        /* cmpxchg8b, cmpxchg16b */
	uint8_t linear;      /* what it stores is what it read and a number that does not depend on that: add, sub, inc, dec */
	uint8_t moved[IRR_CODE_MAX + 1]; /* the same, not locked where it is linear, with [moved_reg] for memory; it needs general registers alone */
	uint8_t swap;        /* a register of the address that is nothing else in this instruction, or IRR_REG_NONE */
	int64_t disp;
	uint64_t imm;
};

/* false: no instruction, or not all of it. */
typedef bool irr_decode_fn(const uint8_t *code, size_t bytes, struct irr_insn *insn);

#endif
