/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading a plan. It may come from anybody: whatever is in it is looked at here, before anything is issued, so that the
 * rest of the program need not.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "irr_frame.h"
#include "plan_check.h"

struct plan plan;

static char why[256];

const char *bad(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(why, sizeof why, format, ap);
	va_end(ap);
	return why;
}

static uint32_t crc32(const uint8_t *bytes, uint64_t count)
{
	static uint32_t table[256];
	for (uint32_t n = 0; n < 256; n++) {
		uint32_t c = n;
		for (int i = 0; i < 8; i++)
			c = c & 1 ? UINT32_C(0xedb88320) ^ (c >> 1) : c >> 1;
		table[n] = c;
	}
	uint32_t c = ~0u;
	for (uint64_t i = 0; i < count; i++)
		c = table[(c ^ bytes[i]) & 0xff] ^ (c >> 8);
	return ~c;
}

static const struct {
	const char *name;
	uint32_t bytes;
} records[IRR_PLAN_TABLES] = {
	[IRR_PLAN_PROCESSES] = { "processes", sizeof(struct irr_plan_process) },
	[IRR_PLAN_SYMBOLS] = { "symbols", sizeof(struct irr_plan_symbol) },
	[IRR_PLAN_REGIONS] = { "regions", sizeof(struct irr_plan_region) },
	[IRR_PLAN_HOLES] = { "holes", sizeof(struct irr_plan_hole) },
	[IRR_PLAN_STEPS] = { "steps", sizeof(struct irr_plan_step) },
	[IRR_PLAN_PARTS] = { "parts", sizeof(struct irr_plan_part) },
	[IRR_PLAN_USES] = { "uses", sizeof(struct irr_plan_use) },
	[IRR_PLAN_DEFINES] = { "defines", sizeof(struct irr_plan_define) },
	[IRR_PLAN_OVERLAPS] = { "overlaps", sizeof(uint32_t) },
	[IRR_PLAN_ENDS] = { "ends", sizeof(uint32_t) },
	[IRR_PLAN_MEMORIES] = { "memories", sizeof(struct irr_plan_memory) },
	[IRR_PLAN_DATA] = { "data", 1 },
};

static const char *check_tables(const uint8_t *base, uint64_t bytes)
{
	const struct irr_plan *h = plan.head;
	for (unsigned t = 0; t < IRR_PLAN_TABLES; t++) {
		const struct irr_plan_section *s = &h->tables[t];
		if (s->offset < sizeof *h || s->offset % 8 || s->offset > bytes || s->count > (bytes - s->offset) / records[t].bytes)
			return bad("its table of %s does not lie in it", records[t].name);
		if (t != IRR_PLAN_DATA && s->count > MOST_RECORDS)
			return bad("too many %s", records[t].name);
	}
	plan.processes = (const void *)(base + h->tables[IRR_PLAN_PROCESSES].offset);
	plan.symbols = (const void *)(base + h->tables[IRR_PLAN_SYMBOLS].offset);
	plan.regions = (const void *)(base + h->tables[IRR_PLAN_REGIONS].offset);
	plan.holes = (const void *)(base + h->tables[IRR_PLAN_HOLES].offset);
	plan.steps = (const void *)(base + h->tables[IRR_PLAN_STEPS].offset);
	plan.parts = (const void *)(base + h->tables[IRR_PLAN_PARTS].offset);
	plan.uses = (const void *)(base + h->tables[IRR_PLAN_USES].offset);
	plan.defines = (const void *)(base + h->tables[IRR_PLAN_DEFINES].offset);
	plan.overlaps = (const void *)(base + h->tables[IRR_PLAN_OVERLAPS].offset);
	plan.ends = (const void *)(base + h->tables[IRR_PLAN_ENDS].offset);
	plan.memories = (const void *)(base + h->tables[IRR_PLAN_MEMORIES].offset);
	plan.data = base + h->tables[IRR_PLAN_DATA].offset;
	plan.n_processes = (uint32_t)count_of(IRR_PLAN_PROCESSES);
	plan.n_symbols = (uint32_t)count_of(IRR_PLAN_SYMBOLS);
	plan.n_regions = (uint32_t)count_of(IRR_PLAN_REGIONS);
	plan.n_steps = (uint32_t)count_of(IRR_PLAN_STEPS);
	return NULL;
}

static const char *check_processes(void)
{
	if (plan.n_processes > MOST_PROCESSES)
		return bad("too many processes");
	for (uint32_t i = 0; i < plan.n_processes; i++) {
		const struct irr_plan_process *p = &plan.processes[i];
		if (p->symbol >= plan.n_symbols)
			return bad("process %u: its pid is no symbol", i);
		if (p->threads > MOST_THREADS)
			return bad("process %u: too many threads", i);
		if (p->parent == -1 && p->fork_step == -1)
			continue;
		if (p->parent < 0 || (uint32_t)p->parent >= plan.n_processes || p->fork_step < 0 || (uint32_t)p->fork_step >= plan.n_steps)
			return bad("process %u: its parent is not there", i);
		const struct irr_plan_step *f = &plan.steps[p->fork_step];
		if (f->kind != IRR_KIND_FORK || f->process != (uint32_t)p->parent || f->peer != (int32_t)i)
			return bad("process %u: step %d is not its fork", i, p->fork_step);
	}
	return NULL;
}

static const char *check_symbols(void)
{
	for (uint32_t i = 0; i < plan.n_symbols; i++) {
		const struct irr_plan_symbol *s = &plan.symbols[i];
		if (s->sort < IRR_SORT_OBJECT || s->sort > IRR_SORT_NOTHING)
			return bad("symbol %u: unknown sort %u", i, s->sort);
		if (s->sort == IRR_SORT_MEMORY && (s->region < 0 || (uint32_t)s->region >= plan.n_regions))
			return bad("symbol %u: its region is not there", i);
		if (s->sort == IRR_SORT_NOTHING && s->what != IRR_SORT_OBJECT && s->what != IRR_SORT_FD && s->what != IRR_SORT_COOKIE)
			return bad("symbol %u: unknown sort %u", i, s->what);
		if (s->sort == IRR_SORT_FD && s->what != IRR_MADE_BY_STEP &&
		    (s->what > IRR_MADE_SOCKET || s->process < 0 || (uint32_t)s->process >= plan.n_processes || s->bytes > MOST_REGION || s->page_shift > MOST_SHIFT))
			return bad("symbol %u: a file that cannot be made", i);
		if (s->sort == IRR_SORT_FD && s->what == IRR_MADE_IOMMUFD)
			plan.needs_iommufd = true;
	}
	return NULL;
}

static const char *check_regions(void)
{
	for (uint32_t i = 0; i < plan.n_regions; i++) {
		const struct irr_plan_region *r = &plan.regions[i];
		if (r->start % PAGE || r->bytes % PAGE || r->bytes > MOST_REGION || r->start > MOST_ADDRESS || r->align < PAGE || r->align > MOST_ALIGN ||
		    (r->align & (r->align - 1)) || r->backing > IRR_BACKING_MEMORY || !inside(r->hole, r->holes, count_of(IRR_PLAN_HOLES)))
			return bad("region %u: no memory can be like that", i);
		for (uint32_t k = 0; k < r->holes; k++) {
			const struct irr_plan_hole *h = &plan.holes[r->hole + k];
			if (h->offset % PAGE || h->bytes % PAGE || !inside(h->offset, h->bytes, r->bytes))
				return bad("region %u: a hole that is not in it", i);
		}
	}
	return NULL;
}

const char *plan_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0)
		return bad("cannot be read: %m");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(struct irr_plan)) {
		close(fd);
		return bad("is no plan");
	}
	uint8_t *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (base == MAP_FAILED)
		return bad("cannot be read: %m");
	plan.head = (const struct irr_plan *)base;
	const struct irr_plan *h = plan.head;
	if (memcmp(h->magic, IRR_PLAN_MAGIC, sizeof h->magic) != 0)
		return bad("is no plan");
	if (h->version != IRR_PLAN_VERSION || h->header_bytes != sizeof *h)
		return bad("is a plan of version %u; this program knows %u", h->version, IRR_PLAN_VERSION);
	if (h->bytes != (uint64_t)st.st_size)
		return bad("has %llu bytes and ought to have %llu", (unsigned long long)st.st_size, (unsigned long long)h->bytes);
	if (crc32(base + sizeof *h, h->bytes - sizeof *h) != h->checksum)
		return bad("is damaged: its checksum is another");
	if (h->limit_ms == 0 || memchr(h->kernel, 0, sizeof h->kernel) == NULL)
		return bad("is damaged: its header is not well-formed");
	const char *wrong = check_tables(base, h->bytes);
	if (!wrong)
		wrong = check_processes();
	if (!wrong)
		wrong = check_symbols();
	if (!wrong)
		wrong = check_regions();
	return wrong ? wrong : check_steps();
}

const char *kind_name(unsigned kind)
{
	static const char *const names[] = {
		[IRR_KIND_IOCTL] = "ioctl", [IRR_KIND_OPEN] = "open", [IRR_KIND_CLOSE] = "close",   [IRR_KIND_DUP] = "dup",
		[IRR_KIND_MMAP] = "mmap",   [IRR_KIND_MUNMAP] = "munmap", [IRR_KIND_MREMAP] = "mremap", [IRR_KIND_READ] = "read",
		[IRR_KIND_WRITE] = "write", [IRR_KIND_FORK] = "fork", [IRR_KIND_EXIT] = "exit",     [IRR_KIND_START] = "start",
		[IRR_KIND_FD] = "receive",  [IRR_KIND_SENDFD] = "send", [IRR_KIND_MMIO] = "access", [IRR_KIND_EXEC] = "exec",
	};
	return kind < sizeof names / sizeof names[0] && names[kind] ? names[kind] : "call";
}

void plan_limit(uint32_t ms)
{
	static struct irr_plan head;
	head = *plan.head;
	head.limit_ms = ms;
	plan.head = &head;
}
