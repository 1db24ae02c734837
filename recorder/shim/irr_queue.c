/* SPDX-License-Identifier: GPL-2.0-only */
/* vIOMMUs, hardware queues and vEVENTQs, by the calls that make and destroy them. See irr_queue.h. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "irr_queue.h"

#define OBJECTS 1024u
#define NEST_PARENT 1u
#define LOG2_MOST 19u
#define UNDMA_ALL 2u /* VFIO_DMA_UNMAP_FLAG_ALL */

enum what { HWPT = 1, VIOMMU, VEVENTQ, COMPAT };

/* What a call made that is asked for later. */
struct object {
	_Atomic uint32_t state; /* enum irr_slot_state */
	uint32_t what;
	uint32_t file, id;
	uint64_t born;
	union {
		struct { uint32_t ioas; } hwpt, compat; /* a nesting parent; the IOAS that VFIO's calls go to */
		struct { uint32_t type, ioas; uint64_t offset, length; } viommu;
		struct { uint32_t viommu, reader; } veventq; /* reader: number of its own open file */
	};
};

/* Children have it in common; made by the first nesting parent. */
static struct common {
	_Atomic uint32_t object_top, queue_top; /* places ever used */
	struct object objects[OBJECTS];
	struct irr_hw_queue queues[IRR_HW_QUEUES];
} *common;
struct irr_hw_queue *irr_hw_queues;

static unsigned objects(void) { return common ? atomic_load_explicit(&common->object_top, memory_order_acquire) : 0; }
unsigned irr_hw_queues_used(void) { return common ? atomic_load_explicit(&common->queue_top, memory_order_acquire) : 0; }

static void used(_Atomic uint32_t *top, unsigned i)
{
	uint32_t was = atomic_load(top);
	while (was <= i && !atomic_compare_exchange_weak(top, &was, i + 1))
		;
}

static bool ready(void)
{
	static _Atomic uint32_t making;
	if (common)
		return true;
	if (atomic_load_explicit(&irr_confined, memory_order_relaxed) || atomic_exchange(&making, 1))
		return false;
	long at = irr_sys(SYS_mmap, 0, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if ((unsigned long)at <= -4096UL) {
		irr_hw_queues = ((struct common *)at)->queues;
		__atomic_store_n(&common, (struct common *)at, __ATOMIC_RELEASE);
	}
	atomic_store(&making, 0);
	return common != NULL;
}

static uint64_t get(const uint8_t *from, uint32_t bytes, unsigned at, unsigned size)
{
	uint64_t v = 0;
	if (at + size <= bytes)
		memcpy(&v, from + at, size);
	return v;
}

#define IN(at, size) get(c->in, c->in_bytes, at, size)
#define OUT(at, size) get(c->out, c->out_bytes, at, size)

/* ---- objects ---- */

static struct object *find(enum what what, uint32_t file, uint32_t id)
{
	for (unsigned i = 0; i < objects(); i++) {
		struct object *o = &common->objects[i];
		if (atomic_load_explicit(&o->state, memory_order_acquire) == IRR_LIVE && o->what == what && o->file == file && o->id == id)
			return o;
	}
	return NULL;
}

static bool open_here(uint32_t file)
{
	for (int fd = 0; fd < (int)IRR_FD_PAGE; fd++)
		if (irr_file_of(irr_fd(fd)) == file)
			return true;
	return false;
}

static void make(const struct object *like)
{
	/* Where there is no place left, in that of a file that was closed. */
	for (unsigned i = 0; ready() && i < 2 * OBJECTS; i++) {
		struct object *o = &common->objects[i % OBJECTS];
		uint32_t was = i < OBJECTS || open_here(o->file) ? IRR_NONE : IRR_LIVE;
		if (!atomic_compare_exchange_strong(&o->state, &was, IRR_MAKING))
			continue;
		o->what = like->what;
		o->file = like->file;
		o->id = like->id;
		o->born = like->born;
		o->viommu = like->viommu; /* the largest */
		used(&common->object_top, i % OBJECTS);
		atomic_store_explicit(&o->state, IRR_LIVE, memory_order_release);
		return;
	}
}

static struct irr_hw_queue *queue_of(uint32_t file, uint32_t id)
{
	for (unsigned i = 0; i < irr_hw_queues_used(); i++) {
		struct irr_hw_queue *q = &common->queues[i];
		if (atomic_load_explicit(&q->state, memory_order_acquire) == IRR_LIVE && q->file == file && q->id == id)
			return q;
	}
	return NULL;
}

/* ---- what makes a queue be read ---- */

/* Before DESTROY is made. */
void irr_queue_destroying(uint64_t known, const void *arg)
{
	uint32_t words[2];
	if (!common || irr_copy(words, arg, sizeof words) < sizeof words)
		return;
	struct irr_hw_queue *q = queue_of(irr_file_of(known), words[1]);
	if (q)
		irr_queue_read(q, IRR_QUEUE_DESTROY);
}

/* What a vEVENTQ brought: struct iommufd_vevent_header, and of a normal event two u64 with a bit for each queue in error. */
void irr_queue_events(uint64_t known, const uint8_t *records, size_t bytes)
{
	struct object *o = NULL;
	for (unsigned i = 0; i < objects() && !o; i++)
		if (atomic_load(&common->objects[i].state) == IRR_LIVE && common->objects[i].what == VEVENTQ &&
		    common->objects[i].veventq.reader == irr_file_of(known))
			o = &common->objects[i];
	if (!o)
		return;
	uint64_t failed[2] = { 0, 0 };
	for (size_t at = 0; at + 8 <= bytes;) {
		bool lost = records[at] & 1;
		at += 8;
		if (lost)
			continue;
		if (at + 16 > bytes)
			break;
		failed[0] |= get(records, (uint32_t)bytes, (unsigned)at, 8);
		failed[1] |= get(records, (uint32_t)bytes, (unsigned)at + 8, 8);
		at += 16;
	}
	for (unsigned i = 0; i < irr_hw_queues_used(); i++) {
		struct irr_hw_queue *q = &common->queues[i];
		if (atomic_load(&q->state) == IRR_LIVE && q->file == o->file && q->viommu == o->veventq.viommu && q->index < 128 &&
		    (failed[q->index / 64] >> (q->index % 64) & 1))
			irr_queue_read(q, IRR_QUEUE_ERROR);
	}
}

/* ---- calls ---- */

static void mapped(unsigned long request, const struct irr_called *c, uint32_t file)
{
	switch (request) {
	case 0x3b85: /* IOMMU_IOAS_MAP */
		irr_maps_add(irr_space(file, (uint32_t)OUT(IRR_AT_MAP_IOAS, 4)), OUT(IRR_AT_MAP_IOVA, 8), OUT(IRR_AT_MAP_LENGTH, 8),
			     OUT(IRR_AT_MAP_VA, 8), -1, c->returned);
		break;
	case 0x3b8f: /* IOMMU_IOAS_MAP_FILE */
		irr_maps_add(irr_space(file, (uint32_t)OUT(IRR_AT_MAP_FILE_IOAS, 4)), OUT(IRR_AT_MAP_FILE_IOVA, 8), OUT(IRR_AT_MAP_FILE_LENGTH, 8),
			     OUT(IRR_AT_MAP_FILE_START, 8), (int)OUT(IRR_AT_MAP_FILE_FD, 4), c->returned);
		break;
	case 0x3b83: /* IOMMU_IOAS_COPY */
		irr_maps_copy(irr_space(file, (uint32_t)OUT(IRR_AT_COPY_DST, 4)), OUT(IRR_AT_COPY_DST_IOVA, 8),
			      irr_space(file, (uint32_t)OUT(IRR_AT_COPY_SRC, 4)), OUT(IRR_AT_COPY_SRC_IOVA, 8), OUT(IRR_AT_COPY_LENGTH, 8), c->returned);
		break;
	case 0x3b71: /* VFIO_IOMMU_MAP_DMA */
		irr_maps_add(irr_space(file, 0), OUT(IRR_AT_DMA_IOVA, 8), OUT(IRR_AT_DMA_SIZE, 8), OUT(IRR_AT_DMA_VA, 8), -1, c->returned);
		break;
	}
}

/* How much was asked for: the kernel says how much there was. */
static void unmapped(unsigned long request, const struct irr_called *c, uint32_t file)
{
	bool vfio = request == 0x3b72;
	bool all = vfio && (IN(IRR_AT_UNDMA_FLAGS, 4) & UNDMA_ALL);
	uint64_t iova = IN(vfio ? IRR_AT_UNDMA_IOVA : IRR_AT_UNMAP_IOVA, 8), length = IN(vfio ? IRR_AT_UNDMA_SIZE : IRR_AT_UNMAP_LENGTH, 8);
	uint64_t last = all || iova + length < iova ? UINT64_MAX : iova + length - 1;
	if (all || length)
		irr_maps_remove(irr_space(file, vfio ? 0 : (uint32_t)IN(IRR_AT_UNMAP_IOAS, 4)), iova, last, c->entered);
}

static void made_viommu(const struct irr_called *c, uint32_t file)
{
	struct object o = { .what = VIOMMU, .file = file, .id = (uint32_t)OUT(IRR_AT_VIOMMU_OUT, 4), .born = c->returned };
	const struct object *parent = find(HWPT, file, (uint32_t)OUT(IRR_AT_VIOMMU_HWPT, 4));
	uint64_t data[2] = { 0, 0 };
	o.viommu.type = (uint32_t)OUT(IRR_AT_VIOMMU_TYPE, 4);
	o.viommu.ioas = parent ? parent->hwpt.ioas : 0;
	if (o.viommu.type == IRR_VIOMMU_CMDQV && OUT(IRR_AT_VIOMMU_DATA_LEN, 4) >= sizeof data &&
	    irr_copy(data, (const void *)(uintptr_t)OUT(IRR_AT_VIOMMU_DATA, 8), sizeof data) == sizeof data) {
		o.viommu.offset = data[IRR_AT_VIOMMU_DATA_OFFSET / 8];
		o.viommu.length = data[IRR_AT_VIOMMU_DATA_LENGTH / 8];
	}
	make(&o);
}

static void made_queue(const struct irr_called *c, uint32_t file)
{
	uint32_t viommu = (uint32_t)OUT(IRR_AT_QUEUE_VIOMMU, 4), index, log2, id;
	uint64_t iova, length;
	const struct object *v = find(VIOMMU, file, viommu);
	/* What a queue of another kind has in its memory, and which registers, is not known. */
	if (OUT(IRR_AT_QUEUE_TYPE, 4) != IRR_QUEUE_CMDQV || (v && v->viommu.type != IRR_VIOMMU_CMDQV) || !ready())
		return;
	if (OUT(0, 4) < 40) { /* vcmdq-v1 */
		uint8_t data[16];
		if (OUT(IRR_AT_VCMDQ_DATA_LEN, 4) < sizeof data || irr_copy(data, (const void *)(uintptr_t)OUT(IRR_AT_VCMDQ_DATA, 8), sizeof data) < sizeof data)
			return;
		id = (uint32_t)OUT(IRR_AT_VCMDQ_OUT, 4);
		index = (uint32_t)get(data, sizeof data, IRR_AT_VCMDQ_DATA_INDEX, 4);
		log2 = (uint32_t)get(data, sizeof data, IRR_AT_VCMDQ_DATA_LOG2, 4);
		iova = get(data, sizeof data, IRR_AT_VCMDQ_DATA_BASE, 8);
		length = log2 <= LOG2_MOST ? (uint64_t)IRR_ENTRY << log2 : 0;
	} else {
		id = (uint32_t)OUT(IRR_AT_QUEUE_OUT, 4);
		index = (uint32_t)OUT(IRR_AT_QUEUE_INDEX, 4);
		iova = OUT(IRR_AT_QUEUE_IOVA, 8);
		length = OUT(IRR_AT_QUEUE_LENGTH, 8);
		log2 = length < IRR_ENTRY ? LOG2_MOST + 1 : 63 - (uint32_t)__builtin_clzll(length) - 4;
	}
	if (log2 > LOG2_MOST || length != (uint64_t)IRR_ENTRY << log2)
		return;
	for (unsigned i = 0; i < 2 * IRR_HW_QUEUES; i++) {
		struct irr_hw_queue *q = &common->queues[i % IRR_HW_QUEUES];
		uint32_t none = IRR_NONE;
		if (i >= IRR_HW_QUEUES && atomic_load(&q->state) == IRR_LIVE && !open_here(q->file))
			irr_queue_release(q);
		if (!atomic_compare_exchange_strong(&q->state, &none, IRR_MAKING))
			continue;
		q->file = file;
		q->id = id;
		q->viommu = viommu;
		q->index = index;
		q->log2 = log2;
		q->pid = atomic_load_explicit(&irr_self->pid, memory_order_relaxed);
		q->born = c->returned;
		q->offset = v ? v->viommu.offset : 0;
		q->length = v ? v->viommu.length : 0;
		q->seen = q->told = 0;
		q->extents = 0;
		if (v && v->viommu.ioas) {
			const struct object *compat = find(COMPAT, file, 0);
			uint64_t space = irr_space(file, v->viommu.ioas);
			uint64_t other = compat && compat->compat.ioas == v->viommu.ioas ? irr_space(file, 0) : space;
			q->extents = irr_maps_find(space, other, iova, length, q->extent, IRR_EXTENTS);
			q->extents = irr_mapped_files(q->extent, q->extents, IRR_EXTENTS);
		}
		used(&common->queue_top, i % IRR_HW_QUEUES);
		atomic_store_explicit(&q->state, IRR_LIVE, memory_order_release);
		irr_queue_read(q, IRR_QUEUE_ALLOC);
		irr_sampler_start();
		return;
	}
}

static void destroyed(const struct irr_called *c, uint32_t file)
{
	uint32_t id = (uint32_t)OUT(IRR_AT_DESTROY_ID, 4);
	irr_maps_remove(irr_space(file, id), 0, UINT64_MAX, c->entered);
	struct irr_hw_queue *q = queue_of(file, id);
	if (q && q->born <= c->entered)
		irr_queue_release(q);
	for (unsigned i = 0; i < objects(); i++) {
		struct object *o = &common->objects[i];
		if (atomic_load(&o->state) != IRR_LIVE || o->file != file || o->id != id || o->what == COMPAT || o->born > c->entered)
			continue;
		if (o->what == VIOMMU && o->viommu.length)
			irr_page0_forget(file, o->viommu.offset, o->viommu.length);
		atomic_store(&o->state, IRR_NONE);
	}
}

/* A call of IRR_QUEUE_REQUESTS has succeeded. */
void irr_queue_called(unsigned long request, const struct irr_called *c)
{
	uint32_t file = irr_file_of(c->known), kind = irr_kind_of(c->known);
	if (!file || (kind != IRR_FILE_IOMMUFD && kind != IRR_FILE_VFIO_CONTAINER))
		return;
	struct object o = { .file = file, .born = c->returned };
	if (irr_unlikely(irr_hw_queues != NULL)) /* in a child: threads are not forked */
		irr_sampler_start();
	switch (request) {
	case 0x3b71:
	case 0x3b83:
	case 0x3b85:
	case 0x3b8f:
		mapped(request, c, file);
		break;
	case 0x3b72:
	case 0x3b86:
		unmapped(request, c, file);
		break;
	case 0x3b80:
		destroyed(c, file);
		break;
	case 0x3b88: { /* IOMMU_VFIO_IOAS: GET, SET */
		struct object *there = find(COMPAT, file, 0);
		o.what = COMPAT;
		o.compat.ioas = (uint32_t)OUT(IRR_AT_VFIO_IOAS_ID, 4);
		if (OUT(IRR_AT_VFIO_IOAS_OP, 2) > 1)
			break;
		if (there)
			there->compat.ioas = o.compat.ioas;
		else
			make(&o);
		break;
	}
	case 0x3b89: /* IOMMU_HWPT_ALLOC */
		o.what = HWPT;
		o.id = (uint32_t)OUT(IRR_AT_HWPT_OUT, 4);
		o.hwpt.ioas = (uint32_t)OUT(IRR_AT_HWPT_PT, 4);
		if (OUT(IRR_AT_HWPT_FLAGS, 4) & NEST_PARENT)
			make(&o);
		break;
	case 0x3b90:
		made_viommu(c, file);
		break;
	case 0x3b93: /* IOMMU_VEVENTQ_ALLOC */
		o.what = VEVENTQ;
		o.id = (uint32_t)OUT(IRR_AT_VEVENTQ_OUT, 4);
		o.veventq.viommu = (uint32_t)OUT(IRR_AT_VEVENTQ_VIOMMU, 4);
		o.veventq.reader = irr_file_of(irr_fd((int)OUT(IRR_AT_VEVENTQ_FD, 4)));
		if (OUT(IRR_AT_VEVENTQ_TYPE, 4) == IRR_VEVENTQ_CMDQV && o.veventq.reader)
			make(&o);
		break;
	case 0x3b94:
		made_queue(c, file);
		break;
	}
}

/* ---- the end ---- */

/* Descriptors are about to be closed: of a file that has none left here, the maps are not asked for again. */
void irr_queue_closing(unsigned first, unsigned last)
{
	for (unsigned fd = first; fd <= last && fd < IRR_FD_PAGE; fd++) {
		uint64_t known = irr_fd((int)fd);
		unsigned other = 0;
		if (irr_likely(irr_kind_of(known) != IRR_FILE_IOMMUFD && irr_kind_of(known) != IRR_FILE_VFIO_CONTAINER))
			continue;
		while (other < IRR_FD_PAGE && ((other >= first && other <= last) || irr_fd((int)other) != known))
			other++;
		if (other == IRR_FD_PAGE && !irr_thread.vfork)
			irr_maps_remove_file(irr_file_of(known));
	}
}

void irr_queue_forked(void)
{
	irr_maps_forked();
	irr_page0_forked();
	irr_sampler_forked();
}
