/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * aarch64: an instruction of the program that met a trapped region. Loads and stores of one or two registers in every
 * addressing mode, exclusive and ordered ones, and the atomic operations that are no comparisons of size are done here. Any
 * other (structures of SIMD registers, SVE, the half of an exclusive pair that stores) the processor makes, in a copy whose base register names the
 * alias, with a breakpoint behind it: noted as stepped.
 */
#define _GNU_SOURCE
#if defined(__aarch64__)
#include <asm/sigcontext.h>
#include <sys/mman.h>

#include "irr_mmio.h"

#define BREAK 0xd4209a00u /* brk #0x4d0 */
#define SLOTS 512u
#define PATIENCE 4u

#define BITS(word, from, count) ((word) >> (from) & ((1u << (count)) - 1))

#define DECLARE(n) extern irr_raw_fn irr_raw_acquire##n, irr_raw_release##n, irr_raw_exchange##n, irr_raw_add##n, irr_raw_clr##n, irr_raw_eor##n, irr_raw_set##n, irr_raw_swap##n;
DECLARE(1) DECLARE(2) DECLARE(4) DECLARE(8)
extern irr_raw_fn irr_raw_exchange16;
#define EACH(name) { irr_raw_##name##1, irr_raw_##name##2, irr_raw_##name##4, irr_raw_##name##8 }
static irr_raw_fn *const acquire[] = EACH(acquire), *const release[] = EACH(release);
static irr_raw_fn *const exchange[] = { irr_raw_exchange1, irr_raw_exchange2, irr_raw_exchange4, irr_raw_exchange8, irr_raw_exchange16 };
static irr_raw_fn *const atomic[5][4] = { EACH(add), EACH(clr), EACH(eor), EACH(set), EACH(swap) };

struct trap {
	struct irr_region region;
	ucontext_t *context;
	siginfo_t *info;
	uint32_t word;
	uintptr_t ip, address;
};

static uint32_t *copies; /* an instruction and a breakpoint each */
static _Atomic uint8_t ready[SLOTS];

bool irr_insn_start(void)
{
	long room = irr_sys(SYS_mmap, 0, SLOTS * 8, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if ((unsigned long)room <= -4096UL)
		copies = (uint32_t *)room;
	return true;
}

/* ---- registers ---- */

/* 31 is zero as data, and the stack pointer as a base. */
static uint64_t get(const struct trap *t, unsigned n) { return n == 31 ? 0 : t->context->uc_mcontext.regs[n]; }

static void set(struct trap *t, unsigned n, uint64_t v)
{
	if (n != 31)
		t->context->uc_mcontext.regs[n] = v;
}

static unsigned long long *base_of(ucontext_t *context, unsigned n)
{
	return n == 31 ? &context->uc_mcontext.sp : &context->uc_mcontext.regs[n];
}

/* The part of the signal frame with a magic number. */
static void *frame_part(ucontext_t *context, uint32_t magic, uint32_t *bytes)
{
	uint8_t *at = (uint8_t *)context->uc_mcontext.__reserved, *end = at + sizeof context->uc_mcontext.__reserved;
	while (at + sizeof(struct _aarch64_ctx) <= end) {
		struct _aarch64_ctx head;
		memcpy(&head, at, sizeof head);
		if (head.magic == magic) {
			*bytes = head.size;
			return at;
		}
		if (!head.magic || head.size < sizeof head)
			return NULL;
		at += head.size;
	}
	return NULL;
}

static uint8_t *vector(struct trap *t, unsigned n)
{
	uint32_t bytes;
	struct fpsimd_context *c = frame_part(t->context, FPSIMD_MAGIC, &bytes);
	return c ? (uint8_t *)&c->vregs[n] : NULL;
}

/* 16 bytes; what the register has more in SVE becomes zero. With SVE's registers in the frame, the kernel takes those back. */
static void set_vector(struct trap *t, unsigned n, const uint8_t *from)
{
	uint32_t bytes = 0;
	uint8_t *sve = frame_part(t->context, 0x53564501, &bytes);
	uint16_t length;
	memcpy(vector(t, n), from, 16);
	if (!sve || bytes <= 16)
		return;
	memcpy(&length, sve + 8, sizeof length);
	if (16 + (n + 1u) * length > bytes)
		return;
	memset(sve + 16 + n * length, 0, length);
	memcpy(sve + 16 + n * length, from, 16);
}

/* ---- accesses ---- */

static enum irr_trap refused(struct trap *t)
{
	irr_access_refused(&t->region, t->info);
	return IRR_TRAP_PROGRAM;
}

static enum irr_trap next(struct trap *t)
{
	t->context->uc_mcontext.pc = t->ip + 4;
	return IRR_TRAP_DONE;
}

static bool load_by(struct trap *t, irr_raw_fn *raw, uintptr_t address, unsigned width, void *to, unsigned flags)
{
	return irr_access_make(&t->region, address, width, IRR_MMIO_LOAD, flags, t->ip, raw, to, NULL);
}

static bool store_by(struct trap *t, irr_raw_fn *raw, uintptr_t address, unsigned width, void *from)
{
	return irr_access_make(&t->region, address, width, IRR_MMIO_STORE, 0, t->ip, raw, from, from);
}

/* Is all of it in the region? */
static bool inside(const struct trap *t, unsigned bytes)
{
	return t->address >= t->region.from && t->address < t->region.to && t->region.to - t->address >= bytes;
}

/* ---- what the processor makes in a copy ---- */

static uint32_t *copy_of(uint32_t word)
{
	for (unsigned probe = 0; copies && probe < 16; probe++) {
		unsigned n = ((word ^ word >> 10) + probe) % SLOTS;
		uint8_t state = atomic_load_explicit(&ready[n], memory_order_acquire);
		if (state == 0 && atomic_compare_exchange_strong(&ready[n], &state, 1)) {
			copies[2 * n] = word;
			copies[2 * n + 1] = BREAK;
			__builtin___clear_cache((char *)&copies[2 * n], (char *)&copies[2 * n + 2]);
			atomic_store_explicit(&ready[n], 2, memory_order_release);
			return &copies[2 * n];
		}
		if (state == 2 && copies[2 * n] == word)
			return &copies[2 * n];
	}
	return NULL;
}

static enum irr_trap step(struct trap *t)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	unsigned rn = BITS(t->word, 5, 5);
	uint32_t *copy = rn == 31 ? NULL : copy_of(t->word);
	if (!copy)
		return IRR_TRAP_PROGRAM;
	self->step.ip = t->ip;
	self->step.region = t->region;
	self->step.address = (uintptr_t)t->info->si_addr;
	self->step.swap = (uint8_t)rn;
	self->step.shifted = t->region.alias - t->region.from;
	self->step.mask = t->context->uc_sigmask;
	bool both = (t->word & 0x3b200c00) == 0x38200000, loads = BITS(t->word, 22, 1);
	irr_access_begin(&self->step.access, &t->region, self->step.address, 0, both ? IRR_MMIO_BOTH : loads ? IRR_MMIO_LOAD : IRR_MMIO_STORE,
			 IRR_MMIO_STEPPED, t->ip, NULL);
	t->context->uc_mcontext.regs[rn] += self->step.shifted;
	t->context->uc_mcontext.pc = (uintptr_t)copy;
	static const int open[] = { SIGSEGV, SIGBUS, SIGTRAP, SIGILL, SIGFPE };
	sigfillset(&t->context->uc_sigmask);
	for (unsigned i = 0; i < sizeof open / sizeof open[0]; i++)
		sigdelset(&t->context->uc_sigmask, open[i]);
	self->step.active = true;
	return IRR_TRAP_DONE;
}

/* A base register that counts on has done so. */
static void unstep(ucontext_t *context)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	self->step.active = false;
	context->uc_mcontext.regs[self->step.swap] -= self->step.shifted;
	context->uc_sigmask = self->step.mask;
}

bool irr_insn_stepped(siginfo_t *info, ucontext_t *context, enum irr_trap *how)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	(void)info;
	uint32_t *pc = (uint32_t *)(uintptr_t)context->uc_mcontext.pc;
	if (!self->step.active || pc < copies || pc >= copies + 2 * SLOTS)
		return false;
	unstep(context);
	context->uc_mcontext.pc = self->step.ip + 4;
	irr_access_end(&self->step.access, 0, NULL, false);
	*how = IRR_TRAP_DONE;
	return true;
}

void irr_insn_abort(siginfo_t *info, ucontext_t *context)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	if (!self->step.active)
		return;
	irr_access_own_address(&self->step.region, info);
	unstep(context);
	context->uc_mcontext.pc = self->step.ip;
	irr_access_end(&self->step.access, 0, NULL, true);
}

bool irr_run_faulted(ucontext_t *context)
{
	(void)context;
	return false;
}

/* ---- one register, or two ---- */

static uint64_t extended(uint64_t v, unsigned width, bool sign, bool to64)
{
	unsigned shift = 64 - 8 * width;
	if (sign)
		v = (uint64_t)((int64_t)(v << shift) >> shift);
	return sign && !to64 ? (uint32_t)v : v;
}

/* What a load or store of registers is, whatever its address. */
struct form {
	unsigned width;
	bool vector, loads, sign, to64, back; /* back: the base register gets `base` */
	uint64_t base;
};

static bool one_register(struct trap *t, const struct form *f, unsigned rt, uintptr_t address)
{
	uint8_t data[16] = { 0 };
	uint64_t v;
	if (!f->loads) {
		v = get(t, rt);
		memcpy(data, f->vector ? (void *)vector(t, rt) : (void *)&v, f->vector ? f->width : 8);
		return store_by(t, irr_raw_store(f->width), address, f->width, data);
	}
	if (!load_by(t, irr_raw_load(f->width), address, f->width, data, 0))
		return false;
	memcpy(&v, data, 8);
	if (f->vector)
		set_vector(t, rt, data);
	else
		set(t, rt, extended(v, f->width, f->sign, f->to64));
	return true;
}

static enum irr_trap registers(struct trap *t, const struct form *f, unsigned count)
{
	if (!inside(t, f->width * count) || (f->vector && !vector(t, 0)))
		return step(t);
	if (!one_register(t, f, BITS(t->word, 0, 5), t->address) || (count == 2 && !one_register(t, f, BITS(t->word, 10, 5), t->address + f->width)))
		return refused(t);
	if (f->back)
		*base_of(t->context, BITS(t->word, 5, 5)) = f->base;
	return next(t);
}

/* Bits 10 and 11 of an indexed form: 1 after the access, 3 before it. */
static void indexed(struct trap *t, struct form *f, unsigned how, int64_t offset)
{
	uint64_t base = *base_of(t->context, BITS(t->word, 5, 5));
	t->address = (how == 1 ? base : base + (uint64_t)offset) & ~(UINT64_C(0xff) << 56);
	f->back = how == 1 || how == 3;
	f->base = base + (uint64_t)offset;
}

static int64_t signed_bits(uint32_t word, unsigned from, unsigned count)
{
	return (int64_t)((uint64_t)BITS(word, from, count) << (64 - count)) >> (64 - count);
}

static enum irr_trap pair(struct trap *t)
{
	uint32_t w = t->word;
	unsigned opc = BITS(w, 30, 2), how = BITS(w, 23, 2);
	struct form f = { .vector = BITS(w, 26, 1), .loads = BITS(w, 22, 1), .to64 = true };
	if (opc == 3 || (!f.vector && opc == 1 && !f.loads))
		return step(t);
	f.width = f.vector ? 4u << opc : opc == 2 ? 8 : 4;
	f.sign = !f.vector && opc == 1;
	indexed(t, &f, how == 0 ? 2 : how, signed_bits(w, 15, 7) * (int64_t)f.width);
	return registers(t, &f, 2);
}

static uint64_t index_register(struct trap *t, unsigned scale)
{
	uint64_t v = get(t, BITS(t->word, 16, 5));
	switch (BITS(t->word, 13, 3)) {
	case 2:
		v = (uint32_t)v;
		break;
	case 6:
		v = (uint64_t)(int64_t)(int32_t)v;
		break;
	}
	return BITS(t->word, 12, 1) ? v << scale : v;
}

/* ---- atomic operations ---- */

static enum irr_trap operation(struct trap *t)
{
	uint32_t w = t->word;
	unsigned size = BITS(w, 30, 2), opc = BITS(w, 12, 3), width = 1u << size, rs = BITS(w, 16, 5);
	bool other = BITS(w, 15, 1);
	uint64_t data = 0, operand = get(t, rs), stored;
	t->address = *base_of(t->context, BITS(w, 5, 5)) & ~(UINT64_C(0xff) << 56);
	if (!inside(t, width))
		return step(t);
	if (other && opc == 4) { /* ldapr */
		if (!load_by(t, acquire[size], t->address, width, &data, 0))
			return refused(t);
		set(t, BITS(w, 0, 5), data);
		return next(t);
	}
	if (BITS(w, 26, 1) || (other ? opc != 0 : opc > 3))
		return step(t);
	unsigned shift = 64 - 8 * width;
	struct irr_access a;
	data = operand = operand << shift >> shift;
	irr_access_begin(&a, &t->region, t->address, width, IRR_MMIO_BOTH, 0, t->ip, &operand);
	bool ok = atomic[other ? 4 : opc][size](t->region.alias + (t->address - t->region.from), &data);
	stored = other ? operand : opc == 0 ? data + operand : opc == 1 ? data & ~operand : opc == 2 ? data ^ operand : data | operand;
	irr_access_stored(&a, width, &stored);
	irr_access_end(&a, width, &data, !ok);
	if (!ok)
		return refused(t);
	set(t, BITS(w, 0, 5), data);
	return next(t);
}

/* Compares and exchanges; `data` has what is expected and what is new, and gets what was there. */
static bool exchanged(struct trap *t, unsigned width, uint64_t *data)
{
	struct irr_access a;
	uint8_t expected[16], stored[16];
	unsigned words = width == 16 ? 2 : 1;
	memcpy(expected, data, width);
	memcpy(stored, data + words, width);
	irr_access_begin(&a, &t->region, t->address, width, IRR_MMIO_BOTH, 0, t->ip, stored);
	bool ok = exchange[__builtin_ctz(width)](t->region.alias + (t->address - t->region.from), data);
	if (ok && memcmp(expected, data, width) != 0)
		irr_access_stored(&a, width, data);
	irr_access_end(&a, width, data, !ok);
	return ok;
}

/* Two registers as one access of memory: little-endian, the first one first. */
static void gather(struct trap *t, unsigned width, unsigned a, unsigned b, uint64_t *to)
{
	if (width == 16) {
		to[0] = get(t, a);
		to[1] = get(t, b);
	} else
		to[0] = (uint32_t)get(t, a) | get(t, b) << 32;
}

static void scatter(struct trap *t, unsigned width, unsigned a, unsigned b, const uint64_t *from)
{
	set(t, a, width == 16 ? from[0] : (uint32_t)from[0]);
	set(t, b, width == 16 ? from[1] : from[0] >> 32);
}

static enum irr_trap compare_and_swap(struct trap *t, unsigned width, bool two)
{
	unsigned rs = BITS(t->word, 16, 5), rt = BITS(t->word, 0, 5), shift = width < 8 ? 64 - 8 * width : 0;
	uint64_t data[4] = { 0 };
	if (two) {
		gather(t, width, rs, rs + 1, data);
		gather(t, width, rt, rt + 1, data + width / 8);
	} else {
		data[0] = get(t, rs) << shift >> shift;
		data[1] = get(t, rt) << shift >> shift;
	}
	if (!exchanged(t, width, data))
		return refused(t);
	if (two)
		scatter(t, width, rs, rs + 1, data);
	else
		set(t, rs, data[0]);
	return next(t);
}

/*
 * A signal clears the processor's exclusive monitor, so that the store that belongs to this load fails, in most processors
 * without a fault. A thread that comes back again and again is let through: its page is not trapped any more, and the last
 * access that is noted says so.
 */
static enum irr_trap exclusive_load(struct trap *t, unsigned width, bool two, bool ordered)
{
	struct irr_mmio_thread *self = &irr_mmio_thread;
	unsigned each = width == 16 ? 8 : width, flags = IRR_MMIO_EXCLUSIVE;
	uint64_t data[2] = { 0, 0 };
	irr_raw_fn *raw = ordered ? acquire[__builtin_ctz(each)] : irr_raw_load(each);
	self->exclusives = self->exclusive == t->ip ? self->exclusives + 1 : 1;
	self->exclusive = t->ip;
	if (self->exclusives == PATIENCE)
		flags |= IRR_MMIO_RELEASED;
	if (!load_by(t, raw, t->address, each, &data[0], flags) || (width == 16 && !load_by(t, raw, t->address + 8, 8, &data[1], flags)))
		return refused(t);
	if (self->exclusives == PATIENCE) {
		self->exclusive = 0;
		irr_mmio_release(&t->region, t->address);
		return IRR_TRAP_DONE; /* it is made again, by the program itself */
	}
	if (two)
		scatter(t, width, BITS(t->word, 0, 5), BITS(t->word, 10, 5), data);
	else
		set(t, BITS(t->word, 0, 5), data[0]);
	return next(t);
}

static enum irr_trap exclusive_or_ordered(struct trap *t)
{
	uint32_t w = t->word;
	unsigned size = BITS(w, 30, 2), width = 1u << size;
	bool o2 = BITS(w, 23, 1), loads = BITS(w, 22, 1), o1 = BITS(w, 21, 1), o0 = BITS(w, 15, 1), two = !o2 && o1;
	uint64_t v = 0;
	t->address = *base_of(t->context, BITS(w, 5, 5)) & ~(UINT64_C(0xff) << 56);
	if (two) /* stxp, ldxp, casp */
		width = size & 1 ? 16 : 8;
	if (!inside(t, width))
		return step(t);
	if (o2 && o1)
		return compare_and_swap(t, width, false);
	if (two && size < 2)
		return compare_and_swap(t, width, true);
	if (!o2)
		return loads ? exclusive_load(t, width, two, o0) : step(t);
	if (loads) {
		if (!load_by(t, acquire[size], t->address, width, &v, 0))
			return refused(t);
		set(t, BITS(w, 0, 5), v);
		return next(t);
	}
	v = get(t, BITS(w, 0, 5));
	return store_by(t, release[size], t->address, width, &v) ? next(t) : refused(t);
}

/* ldapur, stlur */
static enum irr_trap ordered_at(struct trap *t)
{
	uint32_t w = t->word;
	unsigned size = BITS(w, 30, 2), opc = BITS(w, 22, 2), width = 1u << size;
	struct form f = { 0 };
	uint64_t v = get(t, BITS(w, 0, 5));
	indexed(t, &f, 0, signed_bits(w, 12, 9));
	if (!inside(t, width))
		return step(t);
	if (opc == 0)
		return store_by(t, release[size], t->address, width, &v) ? next(t) : refused(t);
	v = 0;
	if (!load_by(t, acquire[size], t->address, width, &v, 0))
		return refused(t);
	set(t, BITS(w, 0, 5), extended(v, width, opc >= 2, opc == 2));
	return next(t);
}

/* ---- */

static enum irr_trap single(struct trap *t)
{
	uint32_t w = t->word;
	unsigned size = BITS(w, 30, 2), opc = BITS(w, 22, 2);
	struct form f = { .vector = BITS(w, 26, 1), .width = 1u << size, .loads = opc != 0, .sign = opc >= 2, .to64 = opc != 3 };
	unsigned scale = size;
	if ((w & 0x01200c00) == 0x00200000)
		return operation(t);
	if (f.vector) {
		f.loads = opc & 1;
		f.sign = false;
		if (opc & 2) {
			f.width = 16;
			scale = 4;
			if (size)
				return step(t);
		}
	} else if (f.sign && (size == 3 || (opc == 3 && size == 2)))
		return step(t);
	if (BITS(w, 24, 1))
		indexed(t, &f, 0, (int64_t)BITS(w, 10, 12) << scale);
	else if (!BITS(w, 21, 1))
		indexed(t, &f, BITS(w, 10, 2), signed_bits(w, 12, 9));
	else if (BITS(w, 10, 2) == 2)
		indexed(t, &f, 0, (int64_t)index_register(t, scale));
	else
		return step(t);
	return registers(t, &f, 1);
}

enum irr_trap irr_insn_trap(const struct irr_region *region, siginfo_t *info, ucontext_t *context)
{
	struct trap t = { .region = *region, .context = context, .info = info, .ip = context->uc_mcontext.pc };
	memcpy(&t.word, (const void *)t.ip, 4);
	uint32_t w = t.word;
	if ((w & 0x3f000000) == 0x08000000)
		return exclusive_or_ordered(&t);
	if ((w & 0x3f200c00) == 0x19000000)
		return ordered_at(&t);
	if ((w & 0x3a000000) == 0x28000000)
		return pair(&t);
	if ((w & 0x3a000000) == 0x38000000)
		return single(&t);
	bool simd = (w & 0xbe000000) == 0x0c000000, sve = BITS(w, 25, 4) == 2 && w >> 31;
	return simd || sve ? step(&t) : IRR_TRAP_PROGRAM;
}
#endif
