/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86-64 instructions, decoded by Zydis. Called in a signal handler: Zydis' decoder keeps no state, allocates nothing and
 * calls nothing.
 */
#include <Zydis/Zydis.h>
#include <string.h>

#include "irr_decode.h"

#define MODE ZYDIS_MACHINE_MODE_LONG_64

/* Number of the general register that a register is part of, IRR_REG_NONE for every other. */
static uint8_t general(ZydisRegister r)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(MODE, r);
	if (whole == ZYDIS_REGISTER_RIP)
		return IRR_REG_IP;
	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15 ? (uint8_t)(whole - ZYDIS_REGISTER_RAX) : (uint8_t)IRR_REG_NONE;
}

static bool is_memory(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY && (o->mem.type == ZYDIS_MEMOP_TYPE_MEM || o->mem.type == ZYDIS_MEMOP_TYPE_VSIB);
}

/* The memory operand that the program wrote; that of a push, the stack, is hidden. */
static const ZydisDecodedOperand *operand(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
	for (int visible = 1; visible >= 0; visible--)
		for (unsigned i = 0; i < in->operand_count; i++)
			if (is_memory(&o[i]) && (o[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) == (visible == 1))
				return &o[i];
	return NULL;
}

static bool data_register(const ZydisDecodedOperand *o, struct irr_insn *out)
{
	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || general(o->reg.value) >= IRR_REG_IP)
		return false;
	out->reg = general(o->reg.value);
	out->reg_width = (uint8_t)(ZydisRegisterGetWidth(MODE, o->reg.value) / 8);
	out->reg_high = o->reg.value >= ZYDIS_REGISTER_AH && o->reg.value <= ZYDIS_REGISTER_BH;
	return true;
}

static bool vector_register(const ZydisDecodedOperand *o, struct irr_insn *out)
{
	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	ZydisRegisterClass c = ZydisRegisterGetClass(o->reg.value);
	if (c != ZYDIS_REGCLASS_XMM && c != ZYDIS_REGCLASS_YMM)
		return false;
	out->reg = (uint8_t)ZydisRegisterGetId(o->reg.value);
	out->reg_width = c == ZYDIS_REGCLASS_XMM ? 16 : 32;
	return out->reg < 16 && out->reg_width == out->width;
}

/* A move between memory and a register or a constant: with it goes the other operand. */
static enum irr_op move(const ZydisDecodedOperand *o, const ZydisDecodedOperand *memory, struct irr_insn *out)
{
	if (memory == &o[1])
		return data_register(&o[0], out) ? IRR_OP_LOAD : IRR_OP_ANY;
	if (o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		out->imm = o[1].imm.is_signed ? (uint64_t)o[1].imm.value.s : o[1].imm.value.u;
		return IRR_OP_STORE_IMM;
	}
	return data_register(&o[1], out) ? IRR_OP_STORE : IRR_OP_ANY;
}

static enum irr_op vector_move(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, const ZydisDecodedOperand *memory, struct irr_insn *out)
{
	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return IRR_OP_ANY;
	out->vex = in->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	if (memory == &o[1])
		return vector_register(&o[0], out) ? IRR_OP_VLOAD : IRR_OP_ANY;
	return vector_register(&o[1], out) ? IRR_OP_VSTORE : IRR_OP_ANY;
}

static enum irr_op classify(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, const ZydisDecodedOperand *memory, struct irr_insn *out)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVDIRI:
		return move(o, memory, out);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		out->sign = 1;
		return move(o, memory, out);
	case ZYDIS_MNEMONIC_XCHG: /* locked with or without the prefix */
		return data_register(memory == &o[0] ? &o[1] : &o[0], out) ? IRR_OP_XCHG : IRR_OP_ANY;
	case ZYDIS_MNEMONIC_XADD:
		return out->locked && data_register(&o[1], out) ? IRR_OP_XADD : IRR_OP_ANY;
	case ZYDIS_MNEMONIC_CMPXCHG:
		return out->locked && data_register(&o[1], out) ? IRR_OP_CMPXCHG : IRR_OP_ANY;
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSQ:
		return IRR_OP_MOVS;
	case ZYDIS_MNEMONIC_MOVSD: /* of strings, or a scalar */
		return in->meta.category == ZYDIS_CATEGORY_STRINGOP ? IRR_OP_MOVS : IRR_OP_ANY;
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		return IRR_OP_STOS;
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		return IRR_OP_LODS;
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSQ:
		return IRR_OP_CMPS;
	case ZYDIS_MNEMONIC_CMPSD:
		return in->meta.category == ZYDIS_CATEGORY_STRINGOP ? IRR_OP_CMPS : IRR_OP_ANY;
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		return IRR_OP_SCAS;
	case ZYDIS_MNEMONIC_MOVDIR64B:
		return data_register(&o[0], out) ? IRR_OP_MOVDIR64B : IRR_OP_ANY;
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_VMOVUPS:
	case ZYDIS_MNEMONIC_VMOVUPD:
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVDQU:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VLDDQU:
		return vector_move(in, o, memory, out);
	default:
		return IRR_OP_ANY;
	}
}

static bool is_pair(ZydisMnemonic m) { return m == ZYDIS_MNEMONIC_CMPXCHG8B || m == ZYDIS_MNEMONIC_CMPXCHG16B; }

/* Does it touch something else than its operand says: the bit that a register names, which may be far away, or a cache line? */
static bool elsewhere(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return o[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
	case ZYDIS_MNEMONIC_CLDEMOTE:
		return true;
	default:
		return false;
	}
}

/* Is it one access of the operand's width, whatever the registers hold? */
static bool exact(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *memory)
{
	const ZydisOperandActions sometimes = ZYDIS_OPERAND_ACTION_CONDREAD | ZYDIS_OPERAND_ACTION_CONDWRITE;
	unsigned bytes = memory->size / 8;
	bool always = !(memory->actions & sometimes) || in->mnemonic == ZYDIS_MNEMONIC_CMPXCHG || is_pair(in->mnemonic) || in->meta.category == ZYDIS_CATEGORY_STRINGOP;
	bool masked = in->avx.mask.mode > ZYDIS_MASK_MODE_DISABLED;
	return memory->mem.type == ZYDIS_MEMOP_TYPE_MEM && always && !masked && bytes && bytes <= 64 && !(bytes & (bytes - 1)) && memory->size % 8 == 0;
}

static uint8_t swappable(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, const ZydisDecodedOperand *memory, const struct irr_insn *out)
{
	uint32_t used = 1u << 4; /* a signal needs the stack pointer */
	for (unsigned i = 0; i < in->operand_count; i++) {
		ZydisRegister r[2] = { ZYDIS_REGISTER_NONE, ZYDIS_REGISTER_NONE };
		if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			r[0] = o[i].reg.value;
		else if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY && &o[i] != memory) {
			r[0] = o[i].mem.base;
			r[1] = o[i].mem.index;
		}
		for (int k = 0; k < 2; k++)
			if (general(r[k]) < IRR_REG_IP)
				used |= 1u << general(r[k]);
	}
	/* String instructions count the registers of their addresses on. */
	if (out->address_bits != 64 || in->meta.category == ZYDIS_CATEGORY_STRINGOP || memory->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
		return IRR_REG_NONE;
	if (out->base < IRR_REG_IP && !(used >> out->base & 1) && out->base != out->index)
		return out->base;
	if (out->index < IRR_REG_IP && out->scale == 1 && !(used >> out->index & 1) && out->base != out->index)
		return out->index;
	return IRR_REG_NONE;
}

/* Does it need general registers and flags alone? `used` gets the registers. */
static bool general_alone(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, const ZydisDecodedOperand *memory, uint32_t *used)
{
	if (in->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || in->meta.category == ZYDIS_CATEGORY_STRINGOP || in->mnemonic == ZYDIS_MNEMONIC_DIV ||
	    in->mnemonic == ZYDIS_MNEMONIC_IDIV)
		return false;
	*used = 0;
	for (unsigned i = 0; i < in->operand_count; i++) {
		if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY && &o[i] != memory)
			return false;
		if (o[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		uint8_t n = general(o[i].reg.value);
		if (ZydisRegisterGetClass(o[i].reg.value) == ZYDIS_REGCLASS_FLAGS)
			continue;
		if (n >= IRR_REG_IP || n == 4)
			return false;
		*used |= 1u << n;
	}
	return true;
}

/* What it stores is what it read and another number. */
static bool is_linear(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_ADD || m == ZYDIS_MNEMONIC_SUB || m == ZYDIS_MNEMONIC_INC || m == ZYDIS_MNEMONIC_DEC || m == ZYDIS_MNEMONIC_ADC ||
	       m == ZYDIS_MNEMONIC_SBB;
}

/* The same instruction with its memory at a register that it does not use. It is decoded again, so that nothing else is made. */
static void move_away(const ZydisDecoder *decoder, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, const ZydisDecodedOperand *memory,
		      struct irr_insn *out)
{
	static const ZydisRegister candidates[] = { ZYDIS_REGISTER_RDI, ZYDIS_REGISTER_RSI, ZYDIS_REGISTER_RBX };
	ZydisEncoderRequest request;
	ZydisDecodedInstruction again;
	ZydisDecodedOperand p[ZYDIS_MAX_OPERAND_COUNT];
	ZyanUSize bytes = IRR_CODE_MAX;
	unsigned k = (unsigned)(memory - o), pick = 0;
	uint32_t used;
	if (!general_alone(in, o, memory, &used) || memory->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT ||
	    !ZYAN_SUCCESS(ZydisEncoderDecodedInstructionToEncoderRequest(in, o, in->operand_count_visible, &request)) || k >= request.operand_count)
		return;
	while (pick < 3 && used >> general(candidates[pick]) & 1)
		pick++;
	if (pick == 3)
		return;
	out->pair = out->locked && is_pair(in->mnemonic);
	out->linear = out->locked && is_linear(in->mnemonic);
	request.prefixes &= ~(ZydisInstructionAttributes)(ZYDIS_ATTRIB_HAS_SEGMENT | (out->linear ? ZYDIS_ATTRIB_HAS_LOCK : 0));
	request.address_size_hint = ZYDIS_ADDRESS_SIZE_HINT_64;
	request.operands[k].mem.base = candidates[pick];
	request.operands[k].mem.index = ZYDIS_REGISTER_NONE;
	request.operands[k].mem.scale = 0;
	request.operands[k].mem.displacement = 0;
	if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&request, out->moved, &bytes)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, out->moved, bytes, &again, p)) || again.mnemonic != in->mnemonic || again.length != bytes ||
	    again.operand_width != in->operand_width || p[k].type != ZYDIS_OPERAND_TYPE_MEMORY || p[k].size != memory->size ||
	    p[k].mem.base != candidates[pick] || p[k].mem.index != ZYDIS_REGISTER_NONE || p[k].mem.disp.value != 0)
		return;
	for (unsigned i = 0; i < in->operand_count_visible; i++)
		if (i != k && (p[i].type != o[i].type || p[i].size != o[i].size || (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER && p[i].reg.value != o[i].reg.value)))
			return;
	out->moved_reg = general(candidates[pick]);
	out->moved_length = (uint8_t)bytes;
}

__attribute__((visibility("default"))) bool irr_decode_x86(const uint8_t *code, size_t bytes, struct irr_insn *out)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	memset(out, 0, sizeof *out);
	out->reg = out->base = out->index = out->swap = IRR_REG_NONE;
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, MODE, ZYDIS_STACK_WIDTH_64)) || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, bytes, &in, o)))
		return false;
	out->length = in.length;
	const ZydisDecodedOperand *memory = operand(&in, o);
	if (!memory)
		return true;
	out->locked = (in.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0;
	out->rep = in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? 1 : in.attributes & ZYDIS_ATTRIB_HAS_REPNE ? 2 : 0;
	out->reads = (memory->actions & (ZYDIS_OPERAND_ACTION_READ | ZYDIS_OPERAND_ACTION_CONDREAD)) != 0;
	out->writes = (memory->actions & (ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE)) != 0;
	out->address_bits = in.address_width;
	out->base = general(memory->mem.base);
	out->index = memory->mem.type == ZYDIS_MEMOP_TYPE_VSIB ? (uint8_t)IRR_REG_NONE : general(memory->mem.index);
	out->scale = memory->mem.scale;
	out->disp = memory->mem.disp.has_displacement ? memory->mem.disp.value : 0;
	out->segment = memory->mem.segment == ZYDIS_REGISTER_FS ? 1 : memory->mem.segment == ZYDIS_REGISTER_GS ? 2 : 0;
	out->width = exact(&in, memory) && !elsewhere(&in, o) ? (uint8_t)(memory->size / 8) : 0;
	out->op = (uint8_t)classify(&in, o, memory, out);
	out->swap = swappable(&in, o, memory, out);
	if (out->op == IRR_OP_ANY && out->width)
		move_away(&decoder, &in, o, memory, out);
	return true;
}
