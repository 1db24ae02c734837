/* SPDX-License-Identifier: GPL-2.0-only */
/* Virtual machines and their vCPUs, and the exits that are MMIO. See irr_kvm.h. */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/mman.h>

#include "irr.h"
#include "irr_ioctl.h"
#include "irr_kvm.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MACHINES 1024u
#define VCPUS 8192u
#define VIEWS 8192u
#define GONE UINT32_MAX /* where a number was that is free again */

bool irr_kvm;
static uintptr_t page = 4096;

/* ---- the kernel's structs: Documentation/virt/kvm/api.rst, sections 4.116 and 5 ---- */

#define KVM_RUN 0xae80u
#define KVM_REGISTER_COALESCED_MMIO 0x4010ae67u
#define EXIT_MMIO 6u
#define EXIT_ARM_NISV 28u

/* struct kvm_run, as far as it is needed; the same on x86-64 and arm64. */
struct run {
	uint32_t before[2];
	uint32_t exit_reason;
	uint32_t between[5];
	union {
		struct {
			uint64_t address;
			uint8_t data[8];
			uint32_t width;
			uint8_t store;
		} mmio;
		struct {
			uint64_t syndrome; /* bit 6, WnR: a store */
			uint64_t address;
		} nisv;
	};
};
_Static_assert(offsetof(struct run, exit_reason) == 8 && offsetof(struct run, mmio) == 32, "struct kvm_run");

/* struct kvm_coalesced_mmio_ring, of the whole machine: the kernel puts in at `last`, the program takes out at `first`. */
struct ring {
	_Atomic uint32_t first, last;
	struct collected {
		uint64_t address;
		uint32_t width;
		uint32_t pio;
		uint8_t data[8];
	} entry[];
};
_Static_assert(sizeof(struct collected) == 24, "struct kvm_coalesced_mmio");

/* KVM_COALESCED_MMIO_PAGE_OFFSET: where the ring lies in the mapping of a vCPU, in pages. */
#if defined(__x86_64__)
#define RING_PAGE 2
#else
#define RING_PAGE 1
#endif

/* Calls that are recorded, and what they bring. bytes of the struct; 0: the argument is a number. */
static const struct setup {
	uint32_t request;
	uint8_t of; /* enum irr_file that it is for */
	uint8_t bytes;
	uint8_t brings; /* enum irr_file of the descriptor that is the result */
} setups[] = {
	{ 0xae01, IRR_FILE_KVM, 0, IRR_FILE_KVM_VM },          /* KVM_CREATE_VM */
	{ 0xae41, IRR_FILE_KVM_VM, 0, IRR_FILE_KVM_VCPU },     /* KVM_CREATE_VCPU */
	{ 0x4020ae46, IRR_FILE_KVM_VM, 32, 0 },                /* KVM_SET_USER_MEMORY_REGION */
	{ 0x40a0ae49, IRR_FILE_KVM_VM, 160, 0 },               /* KVM_SET_USER_MEMORY_REGION2 */
	{ KVM_REGISTER_COALESCED_MMIO, IRR_FILE_KVM_VM, 16, 0 },
	{ 0x4010ae68, IRR_FILE_KVM_VM, 16, 0 },                /* KVM_UNREGISTER_COALESCED_MMIO */
	{ 0x4040ae79, IRR_FILE_KVM_VM, 64, 0 },                /* KVM_IOEVENTFD: stores that do not come to the program */
};

static const struct setup *setup_of(unsigned long request)
{
	for (unsigned i = 0; i < COUNT(setups); i++)
		if (setups[i].request == (uint32_t)request)
			return &setups[i];
	return NULL;
}

/* Bytes at the argument of a call that is recorded; 0: it is a number. */
uint32_t irr_kvm_argument(unsigned long request)
{
	const struct setup *s = setup_of(request);
	return s ? s->bytes : 0;
}

static bool is_kvm(uint32_t kind) { return kind >= IRR_FILE_KVM && kind <= IRR_FILE_KVM_VCPU; }

/* ---- machines and vCPUs, by the number of their file ---- */

static struct machine {
	_Atomic uint32_t file;
	_Atomic bool collects;        /* zones of coalesced MMIO were registered */
	_Atomic(void *) holder;       /* the thread that notes what was collected */
	_Atomic uint32_t seen;        /* how far that is, an index of the ring */
	_Atomic uint32_t generation;  /* of the mappings, when `ring` was found */
	_Atomic(struct ring *) ring;
} machines[MACHINES];

static struct vcpu {
	_Atomic uint32_t file;
	uint32_t machine;             /* file of its machine; 0: not known */
	_Atomic uint32_t generation;
	_Atomic(struct run *) run;
	_Atomic(struct irr_frame *) pending; /* an access that the program has not answered yet */
	uint32_t width;               /* of it */
	bool load;
} vcpus[VCPUS];

static _Atomic bool some_machines, some_vcpus; /* ever: a fork need not look otherwise */

/* Where a number is among `count` entries of `size` bytes that begin with it; a place of its own where it is not there yet. */
static void *place_of(void *all, uint32_t count, size_t size, uint32_t file, bool make)
{
	if (!file)
		return NULL;
	for (int pass = 0; pass <= make; pass++)
		for (uint32_t i = 0; i < count; i++) {
			_Atomic uint32_t *at = (_Atomic uint32_t *)((uint8_t *)all + (file + i) % count * size);
			uint32_t there = atomic_load_explicit(at, memory_order_acquire);
			if (there == file)
				return at;
			if (pass && (there == 0 || there == GONE) && atomic_compare_exchange_strong(at, &there, file))
				return at;
			if (there == 0)
				break;
		}
	return NULL;
}

static struct machine *machine_of(uint32_t file, bool make)
{
	return place_of(machines, MACHINES, sizeof machines[0], file, make);
}

static struct vcpu *vcpu_of(uint32_t file, bool make)
{
	struct vcpu *v = place_of(vcpus, VCPUS, sizeof vcpus[0], file, make);
	if (v && make)
		atomic_store_explicit(&some_vcpus, true, memory_order_relaxed);
	return v;
}

static void new_machine(uint32_t file)
{
	struct machine *m = machine_of(file, true);
	if (!m)
		return;
	atomic_store(&some_machines, true);
	atomic_store(&m->collects, false);
	atomic_store(&m->holder, NULL);
	atomic_store(&m->seen, 0);
	atomic_store(&m->generation, 0);
}

static void new_vcpu(uint32_t file, uint32_t machine)
{
	struct vcpu *v = vcpu_of(file, true);
	if (!v)
		return;
	v->machine = machine;
	atomic_store(&v->pending, NULL);
	atomic_store(&v->generation, 0);
}

/* ---- mappings ---- */

static struct view {
	_Atomic uintptr_t from; /* 0 free, 1 being written */
	uintptr_t to;
	uint64_t offset;
	uint32_t vcpu, machine;
	_Atomic bool unreadable;
} views[VIEWS];
static _Atomic uint32_t viewed;         /* entries ever used */
static _Atomic uint32_t generation = 1; /* changes made */

static void add_view(const struct view *what)
{
	for (uint32_t i = 0; i < VIEWS; i++) {
		struct view *w = &views[i];
		uintptr_t none = 0;
		if (!atomic_compare_exchange_strong(&w->from, &none, 1))
			continue;
		w->to = what->to;
		w->offset = what->offset;
		w->vcpu = what->vcpu;
		w->machine = what->machine;
		atomic_store(&w->unreadable, what->unreadable);
		atomic_store(&w->from, what->from);
		uint32_t n = atomic_load(&viewed);
		while (n <= i && !atomic_compare_exchange_weak(&viewed, &n, i + 1))
			;
		atomic_fetch_add(&generation, 1);
		return;
	}
}

/* Where a page of a vCPU's file, or of any vCPU's of a machine, can be read. */
static void *view_of(uint32_t vcpu, uint32_t machine, uint64_t offset)
{
	uint32_t n = atomic_load(&viewed);
	for (uint32_t i = 0; i < n; i++) {
		struct view *w = &views[i];
		uintptr_t from = atomic_load_explicit(&w->from, memory_order_acquire);
		if (from > 1 && (vcpu ? w->vcpu == vcpu : w->machine == machine) && !atomic_load(&w->unreadable) && offset >= w->offset &&
		    offset + page <= w->offset + (w->to - from))
			return (void *)(from + (offset - w->offset));
	}
	return NULL;
}

static struct run *run_of(struct vcpu *v, uint32_t file)
{
	uint32_t now = atomic_load_explicit(&generation, memory_order_acquire);
	if (irr_unlikely(atomic_load_explicit(&v->generation, memory_order_acquire) != now)) {
		atomic_store(&v->run, view_of(file, 0, 0));
		atomic_store(&v->generation, now);
	}
	return atomic_load_explicit(&v->run, memory_order_relaxed);
}

static struct ring *ring_of(struct machine *m)
{
	uint32_t now = atomic_load_explicit(&generation, memory_order_acquire);
	if (irr_unlikely(atomic_load_explicit(&m->generation, memory_order_acquire) != now)) {
		atomic_store(&m->ring, view_of(0, atomic_load(&m->file), RING_PAGE * page));
		atomic_store(&m->generation, now);
	}
	return atomic_load_explicit(&m->ring, memory_order_relaxed);
}

void irr_kvm_mapped(uintptr_t at, size_t length, int prot, uint64_t offset, uint64_t known)
{
	if (!irr_kvm || irr_kind_of(known) != IRR_FILE_KVM_VCPU)
		return;
	struct vcpu *v = vcpu_of(irr_file_of(known), false);
	struct view w = { .from = at, .to = at + ((length + page - 1) & ~(page - 1)), .offset = offset, .vcpu = irr_file_of(known),
			  .machine = v ? v->machine : 0, .unreadable = prot == PROT_NONE };
	add_view(&w);
}

void irr_kvm_unmapped(uintptr_t from, uintptr_t to)
{
	uint32_t n = atomic_load_explicit(&viewed, memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		struct view *w = &views[i];
		uintptr_t start = atomic_load(&w->from);
		if (start <= 1 || start >= to || w->to <= from || !atomic_compare_exchange_strong(&w->from, &start, 1))
			continue;
		struct view head = { .from = start, .to = from, .offset = w->offset, .vcpu = w->vcpu, .machine = w->machine, .unreadable = w->unreadable };
		struct view tail = head;
		tail.from = (to + page - 1) & ~(page - 1);
		tail.to = w->to;
		tail.offset += tail.from - start;
		atomic_store(&w->from, 0);
		atomic_fetch_add(&generation, 1);
		if (head.from < head.to)
			add_view(&head);
		if (tail.from < tail.to)
			add_view(&tail);
	}
}

void irr_kvm_mremapped(uintptr_t from, size_t old, uintptr_t to, size_t length, bool keeps)
{
	uint32_t n = atomic_load_explicit(&viewed, memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		struct view *w = &views[i];
		uintptr_t start = atomic_load(&w->from);
		if (start <= 1 || from < start || from >= w->to)
			continue;
		struct view moved = { .from = to, .to = to + ((length + page - 1) & ~(page - 1)), .offset = w->offset + (from - start), .vcpu = w->vcpu,
				      .machine = w->machine, .unreadable = w->unreadable };
		if (old && !keeps)
			irr_kvm_unmapped(from, from + old);
		add_view(&moved);
		return;
	}
}

/* Of a mapping that is protected in part, the whole counts. */
void irr_kvm_protected(uintptr_t from, uintptr_t to, int prot)
{
	uint32_t n = atomic_load_explicit(&viewed, memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		uintptr_t start = atomic_load(&views[i].from);
		if (start <= 1 || start >= to || views[i].to <= from)
			continue;
		atomic_store(&views[i].unreadable, prot == PROT_NONE);
		atomic_fetch_add(&generation, 1);
	}
}

/* ---- accesses ---- */

/* The guest goes on. A load has brought what lies in struct kvm_run now; NULL: the guest will never have it. */
static void answered(struct vcpu *v, uint32_t file, const struct run *run)
{
	struct irr_frame *f = atomic_exchange_explicit(&v->pending, NULL, memory_order_acq_rel);
	if (!f || f->file != file)
		return;
	if (v->load && run)
		memcpy(&f->ret, run->mmio.data, v->width);
	if (v->load && !run)
		f->error = ECANCELED;
	f->t_exit = irr_now();
	atomic_store_explicit((_Atomic uint8_t *)&f->state, IRR_STATE_RETURNED, memory_order_release);
}

static void accessed(struct vcpu *v, uint64_t known, uint64_t t, uint64_t address, uint32_t width, bool store, unsigned flags, const uint8_t *data)
{
	struct irr_call c;
	uint64_t args[5] = { address, 0, width, 0, flags };
	if (!irr_begin(&c, IRR_KIND_MMIO, irr_room(sizeof args), t))
		return;
	c.frame->request = (store ? IRR_MMIO_STORE : IRR_MMIO_LOAD) | IRR_MMIO_KVM << IRR_MMIO_SOURCE_SHIFT;
	c.frame->file = irr_file_of(known);
	c.frame->flags |= (uint16_t)(irr_kind_of(known) << IRR_FLAG_FILE_SHIFT);
	if (store)
		memcpy(&c.frame->ret, data, width);
	memcpy(irr_part(&c, IRR_PART_ARGS, 0, 0, sizeof args, sizeof args, 0), args, sizeof args);
	v->width = width;
	v->load = !store;
	irr_enter(&c);
	irr_thread.depth--; /* what the program does until then is not inside it */
	atomic_store_explicit(&v->pending, c.frame, memory_order_release);
}

/* The one who notes what was collected. A thread that waits in vain goes on: the other one is at it, or was killed there. */
static bool hold(struct machine *m)
{
	for (int i = 0; i < 1 << 16; i++) {
		void *none = NULL;
		if (atomic_compare_exchange_strong(&m->holder, &none, &irr_thread))
			return true;
		if (none == &irr_thread)
			return false; /* a signal came between */
	}
	return false;
}

/* Stores that the kernel has collected since this was last looked at, whether or not the program has taken them out. */
static void collect(struct machine *m)
{
	struct ring *ring = ring_of(m);
	uint32_t room = (uint32_t)((page - sizeof *ring) / sizeof ring->entry[0]);
	if (!ring || atomic_load_explicit(&ring->last, memory_order_acquire) == atomic_load_explicit(&m->seen, memory_order_relaxed) || !hold(m))
		return;
	uint32_t last = atomic_load_explicit(&ring->last, memory_order_acquire), at = atomic_load(&m->seen);
	uint64_t known = (uint64_t)IRR_FILE_KVM_VM << 32 | atomic_load(&m->file), t = irr_now();
	for (; last < room && at != last; at = (at + 1) % room) {
		struct collected e = ring->entry[at];
		uint64_t args[5] = { e.address, 0, e.width, 0, IRR_MMIO_COALESCED };
		int64_t value = 0;
		memcpy(&value, e.data, e.width < 8 ? e.width : 8);
		if (!e.pio)
			irr_event(IRR_KIND_MMIO, IRR_MMIO_STORE | IRR_MMIO_KVM << IRR_MMIO_SOURCE_SHIFT, -1, known, value, 0, t, args, 5, NULL, NULL, 0);
	}
	atomic_store(&m->seen, at);
	atomic_store_explicit(&m->holder, NULL, memory_order_release);
}

static void look(uint32_t machine)
{
	struct machine *m = machine ? machine_of(machine, false) : NULL;
	if (m && irr_unlikely(atomic_load_explicit(&m->collects, memory_order_relaxed)))
		collect(m);
}

/* KVM_RUN. It fails where the guest was interrupted; then struct kvm_run says nothing new. */
static int run_vcpu(int fd, unsigned long request, void *arg, uint64_t known, int (*real)(int, unsigned long, ...))
{
	uint32_t file = irr_file_of(known);
	struct vcpu *v = vcpu_of(file, true);
	if (!v)
		return real(fd, request, arg);
	if (atomic_load_explicit(&v->pending, memory_order_relaxed))
		answered(v, file, run_of(v, file));
	int ret = real(fd, request, arg), saved = errno;
	look(v->machine);
	const struct run *run = run_of(v, file);
	if (ret == 0 && run && atomic_load_explicit(&v->file, memory_order_relaxed) == file) {
		if (run->exit_reason == EXIT_MMIO)
			accessed(v, known, irr_now(), run->mmio.address, run->mmio.width < 8 ? run->mmio.width : 8, run->mmio.store, 0, run->mmio.data);
		else if (run->exit_reason == EXIT_ARM_NISV)
			accessed(v, known, irr_now(), run->nisv.address, 0, run->nisv.syndrome >> 6 & 1, IRR_MMIO_STEPPED, run->mmio.data);
	}
	errno = saved;
	return ret;
}

int irr_kvm_ioctl(int fd, unsigned long request, void *arg, int (*real)(int, unsigned long, ...))
{
	const struct setup *s = setup_of(request);
	int saved = errno;
	uint64_t known = irr_fd(fd);
	bool run = (uint32_t)request == KVM_RUN;
	if (irr_unlikely(!known) && fd >= 0 && (run || s)) {
		/* Under a filter it is taken for what the call is for. */
		bool confined = atomic_load_explicit(&irr_confined, memory_order_relaxed);
		enum irr_file kind = !confined ? irr_classify(fd) : run ? IRR_FILE_KVM_VCPU : (enum irr_file)s->of;
		if (is_kvm(kind))
			known = irr_found(fd, IRR_FOUND_IN_USE, kind, -1);
	}
	uint32_t kind = irr_kind_of(known);
	errno = saved;
	if (run && kind == IRR_FILE_KVM_VCPU)
		return run_vcpu(fd, request, arg, known, real);
	if (kind == IRR_FILE_KVM_VM) {
		look(irr_file_of(known)); /* before the program does something about it */
		errno = saved;
	}
	if (!s || !is_kvm(kind))
		return real(fd, request, arg);
	int ret = irr_ioctl(fd, request, arg, real);
	saved = errno;
	if (ret >= 0 && s->brings) {
		irr_fd_clear(ret); /* one that was closed behind our back */
		uint64_t made = irr_found(ret, IRR_FOUND_CREATED, (enum irr_file)s->brings, -1);
		if (s->brings == IRR_FILE_KVM_VM)
			new_machine(irr_file_of(made));
		else
			new_vcpu(irr_file_of(made), irr_file_of(known));
	}
	if (ret >= 0 && request == KVM_REGISTER_COALESCED_MMIO) {
		struct machine *m = machine_of(irr_file_of(known), false);
		if (m)
			atomic_store(&m->collects, true);
	}
	errno = saved;
	return ret;
}

/* ---- the end ---- */

static void free_machine(uint32_t file)
{
	struct machine *m = machine_of(file, false);
	if (!m || irr_fd_held((uint64_t)IRR_FILE_KVM_VM << 32 | file))
		return;
	for (uint32_t i = 0; i < VCPUS; i++) {
		uint32_t v = atomic_load_explicit(&vcpus[i].file, memory_order_relaxed);
		if (v && v != GONE && vcpus[i].machine == file)
			return;
	}
	atomic_store(&m->collects, false);
	atomic_store(&m->file, GONE);
}

void irr_kvm_closed(uint64_t known)
{
	if (!irr_kvm || !is_kvm(irr_kind_of(known)) || irr_fd_held(known))
		return;
	uint32_t file = irr_file_of(known);
	if (irr_kind_of(known) == IRR_FILE_KVM_VM) {
		free_machine(file);
		return;
	}
	struct vcpu *v = irr_kind_of(known) == IRR_FILE_KVM_VCPU ? vcpu_of(file, false) : NULL;
	if (!v)
		return;
	uint32_t machine = v->machine;
	answered(v, file, NULL);
	v->machine = 0;
	atomic_store(&v->generation, 0);
	atomic_store(&v->file, GONE);
	if (machine)
		free_machine(machine);
}

/* What was pending is the parent's, and so is who was noting what. A child can not run its parent's guests. */
void irr_kvm_forked(void)
{
	if (!irr_kvm)
		return;
	for (uint32_t i = 0; i < VCPUS && atomic_load(&some_vcpus); i++)
		if (atomic_load_explicit(&vcpus[i].pending, memory_order_relaxed))
			atomic_store(&vcpus[i].pending, NULL);
	for (uint32_t i = 0; i < MACHINES && atomic_load(&some_machines); i++)
		if (atomic_load_explicit(&machines[i].holder, memory_order_relaxed))
			atomic_store(&machines[i].holder, NULL);
}

void irr_kvm_start(void)
{
	page = getauxval(AT_PAGESZ) ? getauxval(AT_PAGESZ) : page;
	irr_kvm = irr_spool->kvm;
}
