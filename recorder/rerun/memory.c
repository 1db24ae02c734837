/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that calls point to: the regions of the plan, made anew in each image, and room for arguments. */
#define _GNU_SOURCE
#include <linux/mman.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "rerun.h"

#define HUGE (UINT64_C(2) << 20)
#define SCRATCH (UINT64_C(256) << 10)

/* Where they lie in this process; a child has what its parent had. */
static uint64_t *address_of;
static uint8_t *is_made; /* it is memory of ours, which may be changed */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t map_at(uint64_t at, uint64_t bytes, int prot, int more)
{
	void *p = mmap((void *)at, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | more, -1, 0);
	if (p == MAP_FAILED)
		return 0;
	if (at && (uint64_t)p != at) { /* a kernel that does not know MAP_FIXED_NOREPLACE */
		munmap(p, bytes);
		return 0;
	}
	return (uint64_t)p;
}

/* Where it lay in the recording if that is free; else anywhere that is like it modulo its alignment. */
static uint64_t place(const struct irr_plan_region *r, int prot)
{
	uint64_t at = r->start >= 65536 ? map_at(r->start, r->bytes, prot, MAP_FIXED_NOREPLACE) : 0;
	if (at)
		return at;
	uint64_t room = r->bytes + 2 * r->align, from = map_at(0, room, PROT_NONE, 0);
	if (!from)
		return 0;
	at = (from & ~(r->align - 1)) + (r->start & (r->align - 1));
	if (at < from)
		at += r->align;
	munmap((void *)from, room);
	return map_at(at, r->bytes, prot, MAP_FIXED_NOREPLACE);
}

static uint64_t make(const struct irr_plan_region *r)
{
	is_made[r - plan.regions] = 0;
	if (r->bytes == 0)
		return r->start;
	uint64_t at = place(r, r->backing == IRR_BACKING_MEMORY ? PROT_READ | PROT_WRITE : PROT_NONE);
	if (at == 0)
		return r->start;
	is_made[r - plan.regions] = 1;
	/* Transparent huge pages where they were possible. */
	if ((r->flags & IRR_REGION_MAY_BE_HUGE) && r->backing == IRR_BACKING_MEMORY)
		madvise((void *)at, r->bytes, MADV_HUGEPAGE);
	for (uint32_t i = 0; i < r->holes; i++) {
		const struct irr_plan_hole *h = &plan.holes[r->hole + i];
		mprotect((void *)(at + h->offset), h->bytes, PROT_NONE);
	}
	return at;
}

uint64_t region_address(uint32_t region)
{
	pthread_mutex_lock(&lock);
	if (!address_of) {
		is_made = calloc(plan.n_regions, 1);
		address_of = is_made ? calloc(plan.n_regions, sizeof *address_of) : NULL;
	}
	if (address_of && !address_of[region])
		address_of[region] = make(&plan.regions[region]);
	uint64_t at = address_of ? address_of[region] : 0;
	pthread_mutex_unlock(&lock);
	return at;
}

/* Before anything of it runs: so that its children find them where it has them. */
void regions_of_image(uint32_t image)
{
	for (uint32_t i = 0; i < plan.n_regions; i++)
		if (plan.regions[i].image == image)
			region_address(i);
}

/* ---- how it is at a step ---- */

#define FILES 256u
static struct { uint64_t at; uint32_t file; uint64_t data; } file_at[FILES];

/* What is mapped stays where it is: the kernel may have pinned its pages. */
static void map_file(uint64_t at, const struct irr_plan_memory *m)
{
	unsigned i = 0;
	while (i < FILES - 1 && file_at[i].at && file_at[i].at != at)
		i++;
	if (file_at[i].at == at && file_at[i].file == m->file && file_at[i].data == m->data)
		return;
	int fd = (int)atomic_load(&tables.value[m->file]);
	if (mmap((void *)at, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)m->data) == MAP_FAILED)
		return;
	file_at[i].at = at;
	file_at[i].file = m->file;
	file_at[i].data = m->data;
}

/* Before anything else of it is done: nobody has its pages yet. */
static void map_huge(uint64_t at, const struct irr_plan_memory *m)
{
	int flags = MAP_ANONYMOUS | (m->file ? MAP_SHARED : MAP_PRIVATE) | MAP_HUGETLB | __builtin_ctzll(m->data) << MAP_HUGE_SHIFT;
	/* Made elsewhere and moved: what cannot be had leaves what is there. */
	void *p = at % m->data ? MAP_FAILED : mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (p != MAP_FAILED && mremap(p, m->bytes, m->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at) != MAP_FAILED)
		return;
	atomic_fetch_add(&shared->small, 1);
	if (p == MAP_FAILED)
		return;
	munmap(p, m->bytes);
	map_at(at, m->bytes, PROT_READ | PROT_WRITE, MAP_FIXED);
}

/* A file in huge pages cannot be written, but mapped. */
static void fill_file(const struct irr_plan_memory *m)
{
	int fd = (int)atomic_load(&tables.value[m->symbol]);
	unsigned shift = plan.symbols[m->symbol].page_shift;
	/* One of another length, or that is gone, is not filled. */
	if (pwrite(fd, plan.data + m->data, m->bytes, (off_t)m->offset) >= 0 || !shift)
		return;
	uint64_t page = UINT64_C(1) << shift, from = m->offset & ~(page - 1), bytes = (m->offset + m->bytes - from + page - 1) & ~(page - 1);
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)from);
	if (p == MAP_FAILED)
		return;
	store((uint64_t)(p + (m->offset - from)), plan.data + m->data, m->bytes);
	munmap(p, bytes);
}

void memory_before(const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->memories; i++) {
		const struct irr_plan_memory *m = &plan.memories[s->memory + i];
		if (m->how == IRR_MEMORY_IN_FILE) {
			fill_file(m);
			continue;
		}
		uint32_t region = (uint32_t)plan.symbols[m->symbol].region;
		uint64_t at = region_address(region) + m->offset;
		if (!address_of || !is_made[region])
			continue;
		if (m->how == IRR_MEMORY_BYTES)
			store(at, plan.data + m->data, m->bytes);
		else if (m->how == IRR_MEMORY_AWAY)
			mprotect((void *)at, m->bytes, PROT_NONE);
		else if (m->how == IRR_MEMORY_HUGE)
			map_huge(at, m);
		else
			map_file(at, m);
	}
}

void memory_after(const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->memories; i++) {
		const struct irr_plan_memory *m = &plan.memories[s->memory + i];
		uint32_t region = m->how == IRR_MEMORY_AWAY ? (uint32_t)plan.symbols[m->symbol].region : 0;
		if (m->how == IRR_MEMORY_AWAY && is_made && is_made[region])
			mprotect((void *)(region_address(region) + m->offset), m->bytes, PROT_READ | PROT_WRITE);
	}
}

/* ---- mappings of files, which calls may unmap ---- */

#define MAPPED 4096u
static struct { uint64_t from, to, known; } mapped[MAPPED];

void mapped_add(uint64_t from, uint64_t bytes, uint64_t known)
{
	for (unsigned i = 0; i < MAPPED; i++)
		if (mapped[i].to == 0) {
			mapped[i].from = from;
			mapped[i].to = from + ((bytes + PAGE - 1) & ~(PAGE - 1));
			mapped[i].known = known;
			return;
		}
}

bool mapped_has(uint64_t from, uint64_t bytes)
{
	for (unsigned i = 0; i < MAPPED; i++)
		if (mapped[i].to && from >= mapped[i].from && from <= mapped[i].to && bytes <= mapped[i].to - from)
			return true;
	return false;
}

/* Which file is mapped there; 0 none. */
uint64_t mapped_known(uint64_t from, uint64_t bytes)
{
	for (unsigned i = 0; i < MAPPED; i++)
		if (mapped[i].to && from >= mapped[i].from && from <= mapped[i].to && bytes <= mapped[i].to - from)
			return mapped[i].known;
	return 0;
}

void mapped_remove(uint64_t from, uint64_t bytes)
{
	uint64_t to = from + ((bytes + PAGE - 1) & ~(PAGE - 1));
	for (unsigned i = 0; i < MAPPED; i++) {
		uint64_t a = mapped[i].from, b = mapped[i].to, known = mapped[i].known;
		if (b == 0 || to <= a || from >= b)
			continue;
		mapped[i].to = 0;
		if (from > a)
			mapped_add(a, from - a, known);
		if (to < b)
			mapped_add(to, b - to, known);
	}
}

/* ---- arguments ---- */

#define KINDS 2u
static __thread struct { uint8_t *at; uint64_t bytes; } room[KINDS];

/* The page behind it is never there. */
uint8_t *scratch(unsigned which, uint64_t bytes, bool fault)
{
	uint64_t wanted = bytes > SCRATCH ? (bytes + PAGE - 1) & ~(PAGE - 1) : SCRATCH;
	if (room[which].bytes < wanted) {
		uint8_t *p = mmap(NULL, wanted + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			abort();
		mprotect(p + wanted, PAGE, PROT_NONE);
		room[which].at = p;
		room[which].bytes = wanted;
	}
	return fault ? room[which].at + room[which].bytes - bytes : room[which].at;
}

size_t store(uint64_t to, const void *from, size_t bytes)
{
	struct iovec here = { (void *)from, bytes }, there = { (void *)to, bytes };
	ssize_t n = bytes ? process_vm_writev(getpid(), &here, 1, &there, 1, 0) : 0;
	return n > 0 ? (size_t)n : 0;
}

bool load(void *to, uint64_t from, size_t bytes)
{
	struct iovec here = { to, bytes }, there = { (void *)from, bytes };
	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)bytes;
}
