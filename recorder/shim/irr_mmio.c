/* SPDX-License-Identifier: GPL-2.0-only */
/* Mapped regions whose accesses are trapped, each mapped twice, and how an access is noted. See irr_mmio.h. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "irr_hooks.h"
#include "irr_mmio.h"
#include "irr_model.h"
#include "irr_queue.h"

#define PAGE UINT64_C(4096)
#define REGIONS 512u

bool irr_mmio;

/* `version` is odd while a slot is being written. */
static struct slot {
	_Atomic uint32_t version;
	struct irr_region region;
} slots[REGIONS];
static _Atomic unsigned top;        /* slots ever used */
static _Atomic unsigned generation; /* changes made so far, so that nobody takes a region that is being cut for one that is not there */
static _Atomic unsigned changing;

static uintptr_t up(uintptr_t n) { return (n + PAGE - 1) & ~(uintptr_t)(PAGE - 1); }

static void put(struct slot *s, const struct irr_region *region)
{
	/* Whoever came here has claimed the slot: its version is odd. */
	if (region)
		s->region = *region;
	else
		s->region.from = s->region.to = 0;
	atomic_fetch_add_explicit(&s->version, 1, memory_order_release);
}

static bool claim(struct slot *s)
{
	uint32_t v = atomic_load_explicit(&s->version, memory_order_relaxed);
	return !(v & 1) && atomic_compare_exchange_strong(&s->version, &v, v + 1);
}

static bool get(struct slot *s, struct irr_region *out)
{
	for (;;) {
		uint32_t v = atomic_load_explicit(&s->version, memory_order_acquire);
		*out = s->region;
		atomic_thread_fence(memory_order_acquire);
		if (!(v & 1) && atomic_load_explicit(&s->version, memory_order_relaxed) == v)
			return out->from != out->to;
	}
}

static bool add(const struct irr_region *region)
{
	for (unsigned i = 0; i < REGIONS; i++) {
		struct slot *s = &slots[i];
		if (!claim(s))
			continue;
		if (s->region.from != s->region.to) {
			atomic_fetch_add_explicit(&s->version, 1, memory_order_release);
			continue;
		}
		put(s, region);
		unsigned was = atomic_load(&top);
		while (was < i + 1 && !atomic_compare_exchange_weak(&top, &was, i + 1))
			;
		return true;
	}
	return false;
}

static void change(bool begins)
{
	atomic_fetch_add(&changing, begins ? 1u : -1u);
	atomic_fetch_add(&generation, 1);
}

/* The region that an address of the program lies in. */
bool irr_mmio_find(uintptr_t address, struct irr_region *region)
{
	for (;;) {
		unsigned before = atomic_load(&generation), n = atomic_load(&top);
		for (unsigned i = 0; i < n; i++)
			if (get(&slots[i], region) && address >= region->from && address < region->to)
				return true;
		if (!atomic_load(&changing) && atomic_load(&generation) == before)
			return false;
	}
}

/* Where the kernel can reach memory that the program names; the same where no part of it is a region's. */
uintptr_t irr_mmio_alias(uintptr_t from, size_t length)
{
	struct irr_region r;
	if (!atomic_load_explicit(&top, memory_order_relaxed) || !irr_mmio_find(from, &r) || length > r.to - from)
		return from;
	return r.alias + (from - r.from);
}

static uintptr_t second(const struct irr_region *r, int flags, int fd)
{
	long at = irr_model_file(fd) ? irr_sys(SYS_mremap, (long)r->from, 0, (long)(r->to - r->from), MREMAP_MAYMOVE, 0, 0)
				     : irr_sys(SYS_mmap, 0, (long)(r->to - r->from), r->prot, flags & (MAP_TYPE | MAP_SYNC), fd, (long)r->offset);
	return (unsigned long)at > -4096UL ? 0 : (uintptr_t)at;
}

/* The program has mapped part of a file. Returns the alias, 0 where its accesses will not be trapped. */
uintptr_t irr_mmio_mapped(uintptr_t at, size_t length, int prot, int flags, int fd, uint64_t offset, uint64_t known)
{
	enum irr_file kind = irr_kind_of(known);
	struct irr_region r = { .from = at, .to = at + up(length), .offset = offset, .known = known, .prot = prot };
	/* Code cannot be fetched by way of an alias. */
	if ((kind != IRR_FILE_IOMMUFD && kind != IRR_FILE_VFIO_DEVICE) || (prot & PROT_EXEC) || (flags & MAP_TYPE) == MAP_PRIVATE)
		return 0;
	r.alias = second(&r, flags, fd);
	if (!r.alias)
		return 0;
	if (add(&r)) {
		if (irr_sys(SYS_mprotect, (long)r.from, (long)(r.to - r.from), PROT_NONE, 0, 0, 0) == 0)
			return r.alias;
		irr_mmio_unmapped(r.from, r.to);
		return 0;
	}
	irr_sys(SYS_munmap, (long)r.alias, (long)(r.to - r.from), 0, 0, 0, 0);
	return 0;
}

/*
 * Takes [from, to) out of the regions. `drop`: and out of memory. A region that is cut leaves up to two; the second is there
 * before the first gets shorter, so that an access always finds its own.
 */
static void cut(uintptr_t from, uintptr_t to, bool drop)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	to = up(to);
	for (unsigned i = 0; i < n; i++) {
		struct irr_region r, rest;
		if (!get(&slots[i], &r) || r.from >= to || r.to <= from)
			continue;
		change(true);
		while (!claim(&slots[i]))
			;
		r = slots[i].region;
		if (r.from == r.to || r.from >= to || r.to <= from) {
			atomic_fetch_add_explicit(&slots[i].version, 1, memory_order_release);
			change(false);
			continue;
		}
		uintptr_t lo = r.from > from ? r.from : from, hi = r.to < to ? r.to : to;
		if (r.from < lo && hi < r.to) {
			rest = r;
			rest.offset += hi - r.from;
			rest.alias += hi - r.from;
			rest.from = hi;
			add(&rest);
		}
		struct irr_region left = r;
		if (r.from < lo)
			left.to = lo;
		else {
			left.offset += hi - r.from;
			left.alias += hi - r.from;
			left.from = hi;
		}
		put(&slots[i], left.from < left.to ? &left : NULL);
		change(false);
		if (drop)
			irr_sys(SYS_munmap, (long)(r.alias + (lo - r.from)), (long)(hi - lo), 0, 0, 0, 0);
	}
}

void irr_mmio_unmapped(uintptr_t from, uintptr_t to)
{
	if (irr_mmio)
		cut(from, to, true);
}

/* The program's view has moved, become longer or shorter, or is there twice. */
void irr_mmio_mremapped(uintptr_t from, size_t old, uintptr_t to, size_t length, bool keeps)
{
	struct irr_region r;
	if (!irr_mmio || !irr_mmio_find(from, &r))
		return;
	uintptr_t alias = r.alias + (from - r.from);
	bool twice = keeps || !old;
	old = up(old);
	length = up(length);
	struct irr_region moved = { .from = to, .to = to + length, .alias = alias, .offset = r.offset + (from - r.from), .known = r.known, .prot = r.prot };
	if (twice || length > old) {
		long at = irr_sys(SYS_mremap, (long)alias, twice ? 0 : (long)old, (long)length, MREMAP_MAYMOVE, 0, 0);
		if ((unsigned long)at > -4096UL)
			at = 0;
		moved.alias = (uintptr_t)at;
	} else if (length < old)
		irr_sys(SYS_munmap, (long)(alias + length), (long)(old - length), 0, 0, 0, 0);
	if (!twice)
		cut(from, from + old, false);
	if (!moved.alias || !add(&moved)) /* from here on it is not trapped */
		irr_sys(SYS_mprotect, (long)to, (long)length, r.prot, 0, 0, 0);
}

/* The page of an address is the program's own again; the alias stays, for accesses under way. */
void irr_mmio_release(const struct irr_region *region, uintptr_t address)
{
	uintptr_t page = address & ~(uintptr_t)(PAGE - 1);
	irr_sys(SYS_mprotect, (long)page, PAGE, region->prot, 0, 0, 0);
	cut(page, page + PAGE, false);
}

static bool overlap(uintptr_t from, uintptr_t to, struct irr_region *first)
{
	unsigned n = atomic_load_explicit(&top, memory_order_relaxed);
	struct irr_region r;
	bool some = false;
	for (unsigned i = 0; i < n; i++)
		if (get(&slots[i], &r) && r.from < to && r.to > from && (!some || r.from < first->from)) {
			*first = r;
			some = true;
		}
	return some;
}

/* mprotect of memory that holds regions: theirs goes to the alias. false: none of it is a region's. */
bool irr_mmio_protected(uintptr_t from, size_t length, int prot, int *ret)
{
	struct irr_region r;
	uintptr_t to = from + up(length);
	if (!irr_mmio || from % PAGE || !length || to <= from || !overlap(from, to, &r))
		return false;
	long e = 0;
	while (from < to && e == 0) {
		uintptr_t hi = to;
		if (!overlap(from, to, &r))
			e = irr_sys(SYS_mprotect, (long)from, (long)(hi - from), prot, 0, 0, 0);
		else if (r.from > from) {
			hi = r.from;
			e = irr_sys(SYS_mprotect, (long)from, (long)(hi - from), prot, 0, 0, 0);
		} else {
			hi = r.to < to ? r.to : to;
			e = irr_sys(SYS_mprotect, (long)(r.alias + (from - r.from)), (long)(hi - from), prot, 0, 0, 0);
		}
		from = hi;
	}
	*ret = e < 0 ? -1 : 0;
	if (e < 0)
		errno = (int)-e;
	return true;
}

/* ---- addresses that the kernel uses ---- */

/* Structs with an address of the program that may be a region's: a BAR as guest memory, or for DMA between devices. */
static const struct handed {
	uint32_t request;
	uint8_t kinds; /* of files, a bit each; 0: any */
	uint8_t bytes, address, length; /* of the struct, and where in it */
} handed[] = {
	{ 0x4020ae46, 0, 32, 24, 16 },                                                 /* KVM_SET_USER_MEMORY_REGION */
	{ 0x40a0ae49, 0, 160, 24, 16 },                                                /* KVM_SET_USER_MEMORY_REGION2 */
	{ 0x3b85, 1 << IRR_FILE_IOMMUFD, 40, 16, 24 },                                 /* IOMMU_IOAS_MAP */
	{ 0x3b71, 1 << IRR_FILE_IOMMUFD | 1 << IRR_FILE_VFIO_CONTAINER, 32, 8, 24 },   /* VFIO_IOMMU_MAP_DMA */
};

static const struct handed *handed_over(int fd, unsigned long request)
{
	for (unsigned i = 0; i < sizeof handed / sizeof handed[0]; i++)
		if (handed[i].request == (uint32_t)request && (!handed[i].kinds || handed[i].kinds >> irr_kind_of(irr_fd(fd)) & 1))
			return &handed[i];
	return NULL;
}

/* ioctl(2), with the alias in place of a region: the kernel cannot use what the program has. */
int irr_mmio_ioctl(int fd, unsigned long request, ...)
{
	__builtin_va_list ap;
	__builtin_va_start(ap, request);
	void *arg = __builtin_va_arg(ap, void *);
	__builtin_va_end(ap);
	const struct handed *h = atomic_load_explicit(&top, memory_order_relaxed) ? handed_over(fd, request) : NULL;
	uint64_t address, length;
	uint8_t copy[160];
	if (!h || irr_copy(copy, arg, h->bytes) < h->bytes)
		return irr_next.ioctl(fd, request, arg);
	memcpy(&address, copy + h->address, sizeof address);
	memcpy(&length, copy + h->length, sizeof length);
	uint64_t alias = irr_mmio_alias(address, length);
	if (alias == address)
		return irr_next.ioctl(fd, request, arg);
	memcpy(copy + h->address, &alias, sizeof alias);
	int ret = irr_next.ioctl(fd, request, copy);
	/* What the kernel has written is behind the address or before it. */
	memcpy(copy + h->address, &address, sizeof address);
	if (h->kinds)
		memcpy(arg, copy, h->bytes);
	return ret;
}

/* ---- an access ---- */

/* `stored`: the bytes that go out, NULL for a load; of both at once they go behind the arguments. */
void irr_access_begin(struct irr_access *a, const struct irr_region *region, uintptr_t address, unsigned width, unsigned how, unsigned flags,
		      uintptr_t ip, const void *stored)
{
	struct irr_call *c = &a->call;
	unsigned words = how == IRR_MMIO_BOTH ? 6 : 5;
	bool wide = width > 8;
	a->known = how == IRR_MMIO_LOAD ? 0 : region->known;
	a->offset = region->offset + (address - region->from);
	a->width = width;
	uint64_t args[6] = { address, region->offset + (address - region->from), width, ip, flags, 0 };
	if (!irr_ready() || !irr_begin(c, IRR_KIND_MMIO, irr_room(8 * words) + (wide ? irr_room(width) * (how == IRR_MMIO_BOTH ? 2 : 1) : 0), irr_now())) {
		c->frame = NULL;
		return;
	}
	c->frame->request = how | IRR_MMIO_TRAPPED << IRR_MMIO_SOURCE_SHIFT;
	c->frame->file = irr_file_of(region->known);
	c->frame->flags |= (uint16_t)(irr_kind_of(region->known) << IRR_FLAG_FILE_SHIFT);
	if (stored && !wide)
		memcpy(how == IRR_MMIO_BOTH ? (void *)&args[5] : (void *)&c->frame->ret, stored, width);
	memcpy(irr_part(c, IRR_PART_ARGS, 0, 0, 8 * words, 8 * words, 0), args, 8 * words);
	if (stored && wide)
		memcpy(irr_part(c, IRR_PART_IN, 0, 0, width, width, address), stored, width);
	irr_enter(c);
}

/* Of both at once: what was stored, where it is only known afterwards. */
void irr_access_stored(struct irr_access *a, unsigned width, const void *stored)
{
	if (a->call.frame)
		memcpy((uint8_t *)(a->call.frame + 1) + sizeof(struct irr_part) + (width > 8 ? 48 + sizeof(struct irr_part) : 40), stored, width);
}

void irr_access_end(struct irr_access *a, unsigned width, const void *loaded, bool failed)
{
	struct irr_call *c = &a->call;
	if (!c->frame)
		return;
	int64_t ret = c->frame->ret;
	if (loaded && !failed) {
		if (width <= 8) {
			ret = 0;
			memcpy(&ret, loaded, width);
		} else
			memcpy(irr_part(c, IRR_PART_OUT, 0, 0, width, width, 0), loaded, width);
	}
	c->frame->t_exit = irr_now();
	irr_leave(c, ret, failed ? EFAULT : 0);
	if (irr_unlikely(irr_hw_queues != NULL) && a->known && !failed)
		irr_queue_stored(a->known, a->offset, a->width ? a->width : 1);
}

/* Makes an access by `raw` on the alias, and notes it. false: it faulted. */
bool irr_access_make(const struct irr_region *region, uintptr_t address, unsigned width, unsigned how, unsigned flags, uintptr_t ip,
		     unsigned (*raw)(uintptr_t, void *), void *data, const void *stored)
{
	struct irr_access a;
	irr_access_begin(&a, region, address, width, how, flags, ip, stored);
	bool ok = raw(region->alias + (address - region->from), data);
	irr_access_end(&a, width, how == IRR_MMIO_STORE ? NULL : data, !ok);
	return ok;
}

/* A fault on the alias is one at the program's own address. */
void irr_access_own_address(const struct irr_region *region, siginfo_t *info)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	if (at - region->alias < region->to - region->from)
		info->si_addr = (void *)(region->from + (at - region->alias));
}

/* The access faulted: the program gets what it would have got. */
void irr_access_refused(const struct irr_region *region, siginfo_t *info)
{
	*info = irr_mmio_thread.failed;
	irr_access_own_address(region, info);
}

/* ---- start ---- */

void irr_mmio_start(void)
{
	if (irr_spool->mmio && irr_insn_start() && irr_fault_start())
		irr_mmio = true;
}
