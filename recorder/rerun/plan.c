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
#include "rerun.h"

#define MOST_PROCESSES 65536u
#define MOST_THREADS 4096u
#define MOST_RECORDS (1u << 28)
#define MOST_REGION (UINT64_C(1) << 40) /* of one region, bytes: they cost nothing before they are used */
#define MOST_ADDRESS (UINT64_C(1) << 52)
#define MOST_ALIGN (UINT64_C(1) << 30)
#define MOST_STRUCT (UINT64_C(1) << 20)
#define MOST_TRANSFER (UINT64_C(16) << 20)

struct plan plan;

static char why[256];

__attribute__((format(printf, 1, 2))) static const char *bad(const char *format, ...)
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

static uint64_t count_of(unsigned table) { return plan.head->tables[table].count; }

static bool inside(uint64_t first, uint64_t count, uint64_t all) { return first <= all && count <= all - first; }

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
		    (s->what > IRR_MADE_SOCKET || s->process < 0 || (uint32_t)s->process >= plan.n_processes || s->bytes > MOST_REGION))
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

const struct irr_plan_part *plan_part(const struct irr_plan_step *s, unsigned kind, int slot)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		if (p->kind == kind && (slot < 0 || p->slot == slot))
			return p;
	}
	return NULL;
}

static uint64_t words(const struct irr_plan_step *s)
{
	const struct irr_plan_part *p = plan_part(s, IRR_PART_ARGS, -1);
	return p ? p->bytes / 8 : 0;
}

static uint64_t word(const struct irr_plan_step *s, unsigned i)
{
	uint64_t v;
	memcpy(&v, plan.data + plan_part(s, IRR_PART_ARGS, -1)->data + 8 * i, 8);
	return v;
}

static bool is(const uint8_t *text, uint32_t bytes, const char *what) { return bytes == strlen(what) && memcmp(text, what, bytes) == 0; }

/* What names of devices are made of. */
static const char name_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_.:-";

/* Nothing but iommufd and VFIO is opened, and nothing is made or emptied. */
static bool may_open(const struct irr_plan_step *s)
{
	const struct irr_plan_part *p = plan_part(s, IRR_PART_TEXT, 0);
	if (!p || p->bytes >= 4096)
		return false;
	const uint8_t *path = plan.data + p->data;
	for (uint32_t i = 0; i < p->bytes; i++)
		if (!strchr(name_bytes, path[i]) || path[i] == 0 || (path[i] == '.' && i + 1 < p->bytes && path[i + 1] == '.'))
			return false;
	if (word(s, 1) & (O_CREAT | O_TRUNC | O_TMPFILE))
		return false;
	if (is(path, p->bytes, "/dev/iommu")) {
		if (s->error == 0)
			plan.needs_iommufd = true;
		return true;
	}
	if (!is(path, p->bytes, "/dev/vfio/vfio"))
		plan.does |= IRR_PLAN_VFIO;
	return p->bytes > 10 && memcmp(path, "/dev/vfio/", 10) == 0;
}

/* Of each kind: how many words of ARGS it needs. */
static int words_needed(const struct irr_plan_step *s)
{
	switch (s->kind) {
	case IRR_KIND_OPEN:
		return 3;
	case IRR_KIND_CLOSE:
		return s->request == IRR_CLOSE_CLOSE ? 0 : 3;
	case IRR_KIND_DUP:
	case IRR_KIND_MUNMAP:
	case IRR_KIND_READ:
	case IRR_KIND_WRITE:
		return 2;
	case IRR_KIND_MMAP:
	case IRR_KIND_MREMAP:
		return 5;
	case IRR_KIND_MMIO:
		return (s->request & 0xf) == IRR_MMIO_BOTH ? 6 : 5;
	case IRR_KIND_SENDFD:
		return 1;
	case IRR_KIND_IOCTL:
	case IRR_KIND_FORK:
	case IRR_KIND_START:
	case IRR_KIND_EXIT:
	case IRR_KIND_EXEC:
		return 0;
	case IRR_KIND_FD:
		return s->request == IRR_FOUND_PIDFD ? 4 : 0;
	default:
		return -1;
	}
}

static const char *check_kind(const struct irr_plan_step *s)
{
	int needed = words_needed(s);
	if (needed < 0)
		return "a call that is not issued";
	if (words(s) < (unsigned)needed)
		return "its arguments are not there";
	const struct irr_plan_part *in = plan_part(s, IRR_PART_IN, -1);
	if (in && in->bytes > (s->kind == IRR_KIND_IOCTL ? MOST_STRUCT : MOST_TRANSFER))
		return "more bytes than such a call has";
	switch (s->kind) {
	case IRR_KIND_IOCTL:
		if ((s->request >> 8 & 0xff) != 0x3b)
			return "an ioctl of neither iommufd nor VFIO";
		break;
	case IRR_KIND_OPEN:
		if (!may_open(s))
			return "it opens something other than iommufd and VFIO";
		break;
	case IRR_KIND_READ:
	case IRR_KIND_WRITE:
		if (word(s, 0) > MOST_TRANSFER || s->request < IRR_RW_PLAIN || s->request > IRR_RW_POSITION_VECTOR)
			return "more bytes than such a call has";
		break;
	case IRR_KIND_FORK:
		if (s->peer != -1 && ((uint32_t)s->peer >= plan.n_processes || s->peer < 0))
			return "its child is not there";
		break;
	case IRR_KIND_FD:
		if (s->request != IRR_FOUND_INHERITED && s->request != IRR_FOUND_RECEIVED && s->request != IRR_FOUND_PIDFD)
			return "a call that is not issued";
		if (s->peer != -1 && (s->peer < 0 || (uint32_t)s->peer >= plan.n_steps || plan.steps[s->peer].kind != IRR_KIND_SENDFD))
			return "nobody sends what it receives";
		break;
	case IRR_KIND_MMIO: {
		plan.does |= IRR_PLAN_MMIO;
		uint64_t width = word(s, 2);
		if ((width != 1 && width != 2 && width != 4 && width != 8) || s->request > IRR_MMIO_BOTH)
			return "an access that is not made";
		break;
	}
	}
	return NULL;
}

static const char *check_numbers(const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->parts; i++) {
		const struct irr_plan_part *p = &plan.parts[s->part + i];
		if (!inside(p->data, p->bytes, count_of(IRR_PLAN_DATA)))
			return "bytes that are not there";
		if (p->kind != IRR_PART_IN && p->kind != IRR_PART_NESTED_IN && p->kind != IRR_PART_ARGS && p->kind != IRR_PART_TEXT)
			return "a part that is no question";
	}
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct irr_plan_use *u = &plan.uses[s->use + i];
		if (u->symbol >= plan.n_symbols || (u->width != 1 && u->width != 2 && u->width != 4 && u->width != 8) || u->in > IRR_IN_PART)
			return "a number that stands for nothing";
		if (u->in == IRR_IN_PART && (u->part >= s->parts || !inside(u->offset, u->width, plan.parts[s->part + u->part].bytes)))
			return "a number that is not in it";
	}
	for (uint32_t i = 0; i < s->defines; i++) {
		const struct irr_plan_define *d = &plan.defines[s->define + i];
		if (d->symbol >= plan.n_symbols || (d->width != 1 && d->width != 2 && d->width != 4 && d->width != 8) || d->in > IRR_IN_NESTED ||
		    d->in == IRR_IN_PART)
			return "an answer that is no number";
	}
	for (uint32_t i = 0; i < s->ends; i++)
		if (plan.ends[s->end + i] >= plan.n_symbols)
			return "it ends what is not there";
	return NULL;
}

static const char *check_memory(const struct irr_plan_memory *m)
{
	if (m->symbol < plan.n_symbols && m->how == IRR_MEMORY_IN_FILE) {
		const struct irr_plan_symbol *f = &plan.symbols[m->symbol];
		if (f->sort != IRR_SORT_FD || f->what != IRR_MADE_MEMORY || !inside(m->offset, m->bytes, f->bytes))
			return "memory of a file that is not there";
		return inside(m->data, m->bytes, count_of(IRR_PLAN_DATA)) ? NULL : "bytes that are not there";
	}
	if (m->symbol >= plan.n_symbols || plan.symbols[m->symbol].sort != IRR_SORT_MEMORY)
		return "memory that is not there";
	if (!inside(m->offset, m->bytes, plan.regions[plan.symbols[m->symbol].region].bytes))
		return "memory that is not there";
	if (m->how == IRR_MEMORY_BYTES)
		return inside(m->data, m->bytes, count_of(IRR_PLAN_DATA)) ? NULL : "bytes that are not there";
	if ((m->how != IRR_MEMORY_AWAY && m->how != IRR_MEMORY_FILE) || m->offset % PAGE || m->bytes % PAGE || m->bytes == 0)
		return "memory that cannot be like that";
	if (m->how == IRR_MEMORY_FILE &&
	    (m->data % PAGE || m->data > MOST_REGION || m->file >= plan.n_symbols || plan.symbols[m->file].sort != IRR_SORT_FD))
		return "memory of a file that is not there";
	return NULL;
}

static const char *check_steps(void)
{
	for (uint32_t i = 0; i < plan.n_steps; i++) {
		const struct irr_plan_step *s = &plan.steps[i];
		if (s->process >= plan.n_processes || s->thread >= plan.processes[s->process].threads)
			return bad("step %u: nobody makes it", i);
		if (plan.processes[s->process].fork_step >= (int64_t)i)
			return bad("step %u: its process is not there yet", i);
		if (!inside(s->part, s->parts, count_of(IRR_PLAN_PARTS)) || !inside(s->use, s->uses, count_of(IRR_PLAN_USES)) ||
		    !inside(s->define, s->defines, count_of(IRR_PLAN_DEFINES)) || !inside(s->overlap, s->overlaps, count_of(IRR_PLAN_OVERLAPS)) ||
		    !inside(s->end, s->ends, count_of(IRR_PLAN_ENDS)) || !inside(s->memory, s->memories, count_of(IRR_PLAN_MEMORIES)))
			return bad("step %u: what it refers to is not there", i);
		for (uint32_t k = 0; k < s->overlaps; k++)
			if (plan.overlaps[s->overlap + k] >= i)
				return bad("step %u: it overlaps one that is not there yet", i);
		const char *wrong = check_numbers(s);
		for (uint32_t k = 0; k < s->memories && !wrong; k++)
			wrong = check_memory(&plan.memories[s->memory + k]);
		if (!wrong)
			wrong = check_kind(s);
		if (wrong)
			return bad("step %u (event %llu, %s): %s", i, (unsigned long long)s->seq, kind_name(s->kind), wrong);
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
