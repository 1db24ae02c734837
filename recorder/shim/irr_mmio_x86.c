/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86-64: an instruction of the program that met a trapped region.
 *
 * Moves, string instructions, exchanges and whole vector registers are done here. An instruction that needs general registers
 * alone is made in a copy whose memory is elsewhere. Any other the processor does itself, single-stepped, with one register of
 * its address changed for that step, in this thread alone. In both ways the memory is:
 *   - where it makes one access of a known width, a buffer: what it reads is loaded into the buffer before, what it writes
 *     is stored from there after, each once and with its width, so the values are known;
 *   - where it does not (locked logic, gathers, saved states), the alias: noted as stepped.
 * What is left (an address without such a register, or over the edge of the region) is stepped with the page made accessible
 * for that moment; what other threads do with that page meanwhile is not seen.
 */
#define _GNU_SOURCE
#if defined(__x86_64__)
#include <cpuid.h>
#include <dlfcn.h>
#include <limits.h>
#include <sys/mman.h>

#include "irr_x86.h"

#define DIRECTION_FLAG 0x400
#define BATCH 4096u /* elements of a repeated string instruction in one signal */

static irr_decode_fn *decode;
static uint32_t ymm_at; /* offset of the upper halves in an XSAVE area; 0: none */

extern irr_raw_fn irr_raw_xchg1, irr_raw_xchg2, irr_raw_xchg4, irr_raw_xchg8, irr_raw_cmpxchg1,
	irr_raw_cmpxchg2, irr_raw_cmpxchg4, irr_raw_cmpxchg8, irr_raw_movdir64b;
static irr_raw_fn *const xchg[] = { irr_raw_xchg1, irr_raw_xchg2, irr_raw_xchg4, irr_raw_xchg8 };
static irr_raw_fn *const cmpxchg[] = { irr_raw_cmpxchg1, irr_raw_cmpxchg2, irr_raw_cmpxchg4, irr_raw_cmpxchg8 };

/* Loads the decoder that lies beside this library. */
bool irr_insn_start(void)
{
	Dl_info self;
	char path[PATH_MAX];
	uint32_t a, b, c, d;
	if (!dladdr((void *)irr_insn_start, &self) || !self.dli_fname)
		return false;
	const char *slash = strrchr(self.dli_fname, '/');
	size_t folder = slash ? (size_t)(slash - self.dli_fname) + 1 : 0;
	if (folder + sizeof IRR_DECODE_OBJECT > sizeof path)
		return false;
	memcpy(path, self.dli_fname, folder);
	memcpy(path + folder, IRR_DECODE_OBJECT, sizeof IRR_DECODE_OBJECT);
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	decode = object ? (irr_decode_fn *)dlsym(object, IRR_DECODE_SYMBOL) : NULL;
	if (__get_cpuid_count(0xd, 2, &a, &b, &c, &d) && a >= 256)
		ymm_at = b;
	irr_copies_start();
	return decode != NULL;
}

/* ---- decoding, remembered ---- */

#define CACHE 256u
static struct cached {
	_Atomic uint32_t version;
	uint8_t code[IRR_CODE_MAX];
	struct irr_insn in;
} cache[CACHE];

static bool read_code(uintptr_t ip, uint8_t *code, size_t *bytes)
{
	size_t here = PAGE - (ip & (PAGE - 1));
	*bytes = here < IRR_CODE_MAX ? here : IRR_CODE_MAX;
	memset(code, 0, IRR_CODE_MAX);
	memcpy(code, (const void *)ip, *bytes); /* the processor has just read it */
	if (*bytes == IRR_CODE_MAX)
		return true;
	*bytes += irr_copy(code + *bytes, (const void *)(ip + *bytes), IRR_CODE_MAX - *bytes);
	return true;
}

static bool decoded(uintptr_t ip, struct irr_insn *in)
{
	uint8_t code[16] = { 0 };
	size_t bytes;
	struct cached *c = &cache[(ip ^ ip >> 8) % CACHE];
	read_code(ip, code, &bytes);
	uint32_t v = atomic_load_explicit(&c->version, memory_order_acquire);
	if (!(v & 1) && v) {
		bool same = memcmp(c->code, code, IRR_CODE_MAX) == 0;
		*in = c->in;
		atomic_thread_fence(memory_order_acquire);
		if (same && atomic_load_explicit(&c->version, memory_order_relaxed) == v)
			return true;
	}
	if (!decode(code, bytes, in))
		return false;
	if (!(v & 1) && atomic_compare_exchange_strong(&c->version, &v, v + 1)) {
		memcpy(c->code, code, IRR_CODE_MAX);
		c->in = *in;
		atomic_store_explicit(&c->version, v + 2, memory_order_release);
	}
	return true;
}

/* ---- registers ---- */

static uint64_t get_reg(const struct trap *t)
{
	uint64_t v = (uint64_t)GPR(t, t->in.reg);
	return t->in.reg_high ? v >> 8 : v;
}

/* As the processor does it: 32 bits clear what is above, 8 and 16 leave it. */
static void set_reg(struct trap *t, unsigned n, unsigned width, bool high, uint64_t v)
{
	uint64_t old = (uint64_t)GPR(t, n);
	if (width == 8)
		old = v;
	else if (width == 4)
		old = (uint32_t)v;
	else if (width == 2)
		old = (old & ~UINT64_C(0xffff)) | (v & 0xffff);
	else if (high)
		old = (old & ~UINT64_C(0xff00)) | (v & 0xff) << 8;
	else
		old = (old & ~UINT64_C(0xff)) | (v & 0xff);
	GPR(t, n) = (greg_t)old;
}

static uint64_t segment_base(unsigned segment)
{
	uint64_t base = 0;
	if (segment)
		irr_sys(SYS_arch_prctl, segment == 1 ? 0x1003 : 0x1004, (long)&base, 0, 0, 0, 0);
	return base;
}

static uintptr_t effective(const struct trap *t)
{
	const struct irr_insn *in = &t->in;
	uint64_t a = (uint64_t)in->disp;
	if (in->base == IRR_REG_IP)
		a += t->ip + in->length;
	else if (in->base < IRR_REG_IP)
		a += (uint64_t)GPR(t, in->base);
	if (in->index < IRR_REG_IP)
		a += (uint64_t)GPR(t, in->index) * in->scale;
	if (in->address_bits == 32)
		a = (uint32_t)a;
	return a + segment_base(in->segment);
}

/* ---- vector registers, as the signal frame has them ---- */

static uint8_t *upper_half(const struct trap *t, unsigned n, uint64_t **present)
{
	uint8_t *area = (uint8_t *)t->context->uc_mcontext.fpregs;
	uint32_t magic;
	memcpy(&magic, area + 464, sizeof magic); /* FP_XSTATE_MAGIC1: what follows the legacy area is there */
	*present = (uint64_t *)(area + 512);
	return ymm_at && magic == 0x46505853 ? area + ymm_at + 16 * n : NULL;
}

static void vector_get(const struct trap *t, unsigned n, unsigned width, uint8_t *to)
{
	uint64_t *present;
	uint8_t *half = upper_half(t, n, &present);
	memset(to, 0, width);
	/* A component that is not present is in its initial state: zero. */
	if (!half || *present & 2)
		memcpy(to, &t->context->uc_mcontext.fpregs->_xmm[n], 16);
	if (width == 32 && half && *present & 4)
		memcpy(to + 16, half, 16);
}

static void vector_set(struct trap *t, unsigned n, unsigned width, const uint8_t *from)
{
	uint64_t *present;
	uint8_t *half = upper_half(t, n, &present);
	if (half && !(*present & 2)) {
		memset(t->context->uc_mcontext.fpregs->_xmm, 0, sizeof t->context->uc_mcontext.fpregs->_xmm);
		*present |= 2;
	}
	memcpy(&t->context->uc_mcontext.fpregs->_xmm[n], from, 16);
	if (!half || !t->in.vex)
		return;
	if (!(*present & 4)) {
		if (width == 16)
			return;
		memset(half - 16 * n, 0, 256);
		*present |= 4;
	}
	if (width == 32)
		memcpy(half, from + 16, 16);
	else
		memset(half, 0, 16);
}

/* A register that the vectors of AVX-512 make longer than what is done here. */
static bool longer_state(const struct trap *t)
{
	uint64_t *present;
	return t->in.vex && upper_half(t, 0, &present) && *present & 0x40;
}

/* ---- accesses ---- */

static uint64_t extended(uint64_t v, const struct irr_insn *in)
{
	unsigned shift = 64 - 8u * in->width;
	return in->sign ? (uint64_t)((int64_t)(v << shift) >> shift) : v;
}

/*
 * Flags of an addition or a comparison, of the instruction's width: carry, zero, sign and overflow from the values moved to
 * the top of a register, parity and adjust from the lowest byte.
 */
static void set_flags(struct trap *t, bool carry, bool zero, bool sign, bool overflow, uint64_t result, uint64_t mixed)
{
	uint64_t flags = (uint64_t)carry | (uint64_t)zero << 6 | (uint64_t)sign << 7 | (uint64_t)overflow << 11;
	flags |= (__builtin_parity((uint8_t)result) ? 0u : 4u) | (mixed & 0x10);
	t->r[REG_EFL] = (greg_t)(((uint64_t)t->r[REG_EFL] & ~UINT64_C(0x8d5)) | flags);
}

static void compare_flags(struct trap *t, uint64_t a, uint64_t b)
{
	unsigned shift = 64 - 8u * t->in.width;
	bool carry, zero, sign, overflow;
	__asm__("cmpq %5, %4" : "=@ccc"(carry), "=@ccz"(zero), "=@ccs"(sign), "=@cco"(overflow) : "r"(a << shift), "r"(b << shift));
	set_flags(t, carry, zero, sign, overflow, a - b, a ^ b ^ (a - b));
}

static void add_flags(struct trap *t, uint64_t a, uint64_t b)
{
	unsigned shift = 64 - 8u * t->in.width;
	uint64_t x = a << shift;
	bool carry, zero, sign, overflow;
	__asm__("addq %5, %4" : "=@ccc"(carry), "=@ccz"(zero), "=@ccs"(sign), "=@cco"(overflow), "+r"(x) : "r"(b << shift));
	set_flags(t, carry, zero, sign, overflow, a + b, a ^ b ^ (a + b));
}

static enum irr_trap exchange(struct trap *t)
{
	const struct irr_insn *in = &t->in;
	unsigned k = (unsigned)__builtin_ctz(in->width), shift = 64 - 8u * in->width;
	uint64_t mine = get_reg(t) << shift >> shift, data[2] = { mine, 0 };
	if (in->op == IRR_OP_XCHG || in->op == IRR_OP_XADD) {
		struct irr_access a;
		irr_access_begin(&a, &t->region, t->address, in->width, IRR_MMIO_BOTH, 0, t->ip, data);
		bool ok = (in->op == IRR_OP_XCHG ? xchg[k] : irr_raw_xadd(in->width))(alias_of(t, t->address), data);
		uint64_t stored = in->op == IRR_OP_XCHG ? mine : (data[0] + mine) << shift >> shift;
		irr_access_stored(&a, in->width, &stored);
		irr_access_end(&a, in->width, data, !ok);
		if (!ok)
			return refused(t);
		if (in->op == IRR_OP_XADD)
			add_flags(t, data[0], mine);
		set_reg(t, in->reg, in->width, in->reg_high, data[0]);
		return next(t);
	}
	uint64_t expected = (uint64_t)GPR(t, RAX) << shift >> shift;
	data[0] = expected;
	data[1] = mine;
	struct irr_access a;
	irr_access_begin(&a, &t->region, t->address, in->width, IRR_MMIO_BOTH, 0, t->ip, &data[1]);
	bool ok = cmpxchg[k](alias_of(t, t->address), data);
	/* A comparison that failed has stored what it found. */
	if (data[0] != expected)
		irr_access_stored(&a, in->width, &data[0]);
	irr_access_end(&a, in->width, data, !ok);
	if (!ok)
		return refused(t);
	compare_flags(t, expected, data[0]);
	if (data[0] != expected)
		set_reg(t, RAX, in->width, false, data[0]);
	return next(t);
}

/* ---- strings ---- */

/* One side of a string instruction: a region, or other memory of the program. */
static bool element(struct trap *t, uintptr_t address, bool writes, void *data, bool *other)
{
	struct irr_region r;
	unsigned width = t->in.width;
	*other = !irr_mmio_find(address, &r) || r.to - address < width;
	if (*other)
		return (writes ? irr_raw_store(width) : irr_raw_load(width))(address, data);
	t->region = r;
	return writes ? store(t, address, width, data) : load(t, address, width, data);
}

/* What each does: from memory at rsi, from memory at rdi, to memory at rdi. */
static const struct { bool from, other, to; } string_ops[] = {
	[IRR_OP_MOVS] = { true, false, true },
	[IRR_OP_STOS] = { false, false, true },
	[IRR_OP_LODS] = { true, false, false },
	[IRR_OP_CMPS] = { true, true, false },
	[IRR_OP_SCAS] = { false, true, false },
};

static enum irr_trap strings(struct trap *t)
{
	const struct irr_insn *in = &t->in;
	const unsigned op = in->op, shift = 64 - 8u * in->width;
	int64_t by = t->r[REG_EFL] & DIRECTION_FLAG ? -(int64_t)in->width : (int64_t)in->width;
	uint64_t segment = string_ops[op].from ? segment_base(in->segment) : 0;
	bool outside;
	for (unsigned done = 0; !in->rep || GPR(t, RCX); done++) {
		uint64_t data = (uint64_t)GPR(t, RAX), with = 0;
		if (done == BATCH)
			return IRR_TRAP_DONE; /* it goes on where it stands */
		if (string_ops[op].from && !element(t, (uintptr_t)GPR(t, RSI) + segment, false, &data, &outside))
			return refused(t);
		if (string_ops[op].other && !element(t, (uintptr_t)GPR(t, RDI), false, &with, &outside))
			return refused(t);
		if (string_ops[op].to && !element(t, (uintptr_t)GPR(t, RDI), true, &data, &outside))
			return refused(t);
		if (op == IRR_OP_LODS)
			set_reg(t, RAX, in->width, false, data);
		if (string_ops[op].from)
			GPR(t, RSI) += by;
		if (string_ops[op].other || string_ops[op].to)
			GPR(t, RDI) += by;
		if (string_ops[op].other)
			compare_flags(t, data << shift >> shift, with << shift >> shift);
		if (!in->rep)
			break;
		GPR(t, RCX)--;
		if (string_ops[op].other && ((t->r[REG_EFL] & 0x40) != 0) != (in->rep == 1))
			break;
	}
	return next(t);
}

static enum irr_trap movdir64b(struct trap *t)
{
	uint8_t *data = irr_mmio_thread.buffer;
	uintptr_t to = (uintptr_t)GPR(t, t->in.reg);
	struct irr_region r;
	if (irr_mmio_find(t->address, &r)) { /* the source is a region's */
		t->region = r;
		if (!load(t, t->address, 64, data))
			return refused(t);
	} else if (!irr_raw_load(64)(t->address, data))
		return refused(t);
	bool trapped = irr_mmio_find(to, &r);
	if (trapped)
		t->region = r;
	if (!(trapped ? make(t, irr_raw_movdir64b, to, 64, IRR_MMIO_STORE, data, data) : irr_raw_movdir64b(to, data)))
		return refused(t);
	return next(t);
}

/* ---- */

static enum irr_trap one(struct trap *t)
{
	const struct irr_insn *in = &t->in;
	struct irr_mmio_thread *self = &irr_mmio_thread;
	uint64_t value = 0;
	if (in->address_bits == 32 && in->op >= IRR_OP_MOVS && in->op <= IRR_OP_MOVDIR64B)
		return irr_step(t);
	switch ((enum irr_op)in->op) {
	case IRR_OP_MOVS:
	case IRR_OP_STOS:
	case IRR_OP_LODS:
	case IRR_OP_CMPS:
	case IRR_OP_SCAS:
		return strings(t);
	case IRR_OP_MOVDIR64B:
		return movdir64b(t);
	default:
		break;
	}
	/* Over the edge of the region, or not an address of it at all. */
	if (t->address < t->region.from || t->address >= t->region.to || t->region.to - t->address < in->width || !in->width)
		return irr_step(t);
	switch ((enum irr_op)in->op) {
	case IRR_OP_LOAD:
		if (!load(t, t->address, in->width, &value))
			return refused(t);
		set_reg(t, in->reg, in->reg_width, in->reg_high, extended(value, in));
		return next(t);
	case IRR_OP_STORE:
	case IRR_OP_STORE_IMM:
		value = in->op == IRR_OP_STORE ? get_reg(t) : in->imm;
		return store(t, t->address, in->width, &value) ? next(t) : refused(t);
	case IRR_OP_XCHG:
	case IRR_OP_XADD:
	case IRR_OP_CMPXCHG:
		return exchange(t);
	case IRR_OP_VLOAD:
		if (longer_state(t))
			return irr_step(t);
		if (!load(t, t->address, in->width, self->buffer))
			return refused(t);
		vector_set(t, in->reg, in->width, self->buffer);
		return next(t);
	case IRR_OP_VSTORE:
		vector_get(t, in->reg, in->width, self->buffer);
		return store(t, t->address, in->width, self->buffer) ? next(t) : refused(t);
	default: {
		const uint8_t *code = irr_copy_of(in);
		return code ? irr_made_in_copy(t, code) : irr_step(t);
	}
	}
}

enum irr_trap irr_insn_trap(const struct irr_region *region, siginfo_t *info, ucontext_t *context)
{
	struct trap t = { .region = *region, .context = context, .r = context->uc_mcontext.gregs, .info = info };
	t.ip = (uintptr_t)t.r[REG_RIP];
	if (!decoded(t.ip, &t.in) || t.in.op == IRR_OP_NONE)
		return IRR_TRAP_PROGRAM;
	t.address = effective(&t);
	return one(&t);
}
#endif
