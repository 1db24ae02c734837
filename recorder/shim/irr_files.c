/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which descriptors are ours, and which open file each stands for.
 *
 * A descriptor number says nothing: it is inherited, duplicated, sent over a socket, used again. What counts is the open
 * file description behind it; every one that concerns us gets a number, from one counter for the whole recording. Inside
 * a process the table below remembers it. Between processes (exec, SCM_RIGHTS, pidfd_getfd) the spool's list of holders
 * tells which files there are and who has them, and kcmp(2) decides which of them a strange descriptor is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "irr.h"
#include "irr_kvm.h"
#include "irr_model.h"

#define PAGES 4096u /* 16 Mi descriptors */

_Atomic uint64_t irr_fds[IRR_FD_PAGE];
static _Atomic(_Atomic uint64_t *) pages[PAGES]; /* descriptors of 4096 and up; [0] unused */
static _Atomic unsigned top;                     /* one above the highest descriptor ever ours */

static _Atomic uint64_t *entry(int fd, bool make)
{
	if (fd < 0)
		return NULL;
	if ((unsigned)fd < IRR_FD_PAGE)
		return &irr_fds[fd];
	unsigned page = (unsigned)fd / IRR_FD_PAGE;
	if (page >= PAGES)
		return NULL;
	_Atomic uint64_t *at = atomic_load_explicit(&pages[page], memory_order_acquire);
	if (!at && make && !atomic_load(&irr_confined)) {
		long fresh = irr_sys(SYS_mmap, 0, IRR_FD_PAGE * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if ((unsigned long)fresh > -4096UL)
			return NULL;
		if (atomic_compare_exchange_strong(&pages[page], &at, (_Atomic uint64_t *)fresh))
			at = (_Atomic uint64_t *)fresh;
		else
			irr_sys(SYS_munmap, fresh, IRR_FD_PAGE * 8, 0, 0, 0, 0);
	}
	return at ? &at[(unsigned)fd % IRR_FD_PAGE] : NULL;
}

uint64_t irr_fd_slow(int fd)
{
	_Atomic uint64_t *at = entry(fd, false);
	return at ? atomic_load_explicit(at, memory_order_relaxed) : 0;
}

/* ---- holders ---- */

static struct irr_holder *holders(void) { return (struct irr_holder *)((uint8_t *)irr_spool + IRR_HOLDERS); }

static uint64_t holder_key(uint32_t pid, int fd) { return (uint64_t)pid << 32 | ((uint32_t)fd + 1); }

static uint32_t holder_at(uint64_t key, uint32_t i)
{
	return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 40) + i;
}

#define GIVEN_UP (~UINT64_C(0))

static void holder_set(uint32_t pid, int fd, uint64_t value)
{
	uint64_t key = holder_key(pid, fd);
	struct irr_holder *h = holders();
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < 512; i++) {
			struct irr_holder *e = &h[holder_at(key, i) % IRR_HOLDER_MAX];
			uint64_t k = atomic_load_explicit(&e->key, memory_order_relaxed);
			if (k == key || (pass && (k == 0 || k == GIVEN_UP) && atomic_compare_exchange_strong(&e->key, &k, key))) {
				atomic_store(&e->value, value);
				return;
			}
			if (k == 0)
				break;
		}
	}
}

static void holder_drop(uint32_t pid, int fd)
{
	uint64_t key = holder_key(pid, fd);
	struct irr_holder *h = holders();
	for (uint32_t i = 0; i < 512; i++) {
		struct irr_holder *e = &h[holder_at(key, i) % IRR_HOLDER_MAX];
		uint64_t k = atomic_load_explicit(&e->key, memory_order_relaxed);
		if (k == key)
			atomic_compare_exchange_strong(&e->key, &k, GIVEN_UP);
		if (k == key || k == 0)
			return;
	}
}

static uint64_t holder_get(uint32_t pid, int fd)
{
	uint64_t key = holder_key(pid, fd);
	struct irr_holder *h = holders();
	for (uint32_t i = 0; i < 512; i++) {
		struct irr_holder *e = &h[holder_at(key, i) % IRR_HOLDER_MAX];
		uint64_t k = atomic_load_explicit(&e->key, memory_order_relaxed);
		if (k == key)
			return atomic_load(&e->value);
		if (k == 0)
			break;
	}
	return 0;
}

/* Which known file is this descriptor? Asks the kernel to compare it with what others hold. */
static uint64_t same_file(uint32_t pid, int fd, enum irr_file kind, uint64_t peer[2])
{
	struct irr_holder *h = holders();
	for (uint32_t i = 0; i < IRR_HOLDER_MAX; i++) {
		uint64_t key = atomic_load_explicit(&h[i].key, memory_order_relaxed);
		if (key == 0 || key == GIVEN_UP)
			continue;
		uint64_t value = atomic_load(&h[i].value);
		if (kind != IRR_FILE_UNKNOWN && irr_kind_of(value) != kind)
			continue;
		uint32_t other = (uint32_t)(key >> 32);
		int other_fd = (int)(uint32_t)key - 1;
		if (other == pid && other_fd == fd)
			continue;
		long order = irr_sys(SYS_kcmp, pid, other, KCMP_FILE, fd, other_fd, 0);
		if (order == 0) {
			peer[0] = other;
			peer[1] = (uint64_t)other_fd;
			return value;
		}
		if (order == -ESRCH || order == -EBADF)
			atomic_compare_exchange_strong(&h[i].key, &key, GIVEN_UP);
	}
	return 0;
}

/* ---- the table ---- */

static uint32_t my_pid(void)
{
	return irr_thread.vfork ? (uint32_t)irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0) : atomic_load_explicit(&irr_self->pid, memory_order_relaxed);
}

/* A vfork child has descriptors of its own but shares this table with its parent, so it must leave it alone. */
void irr_fd_set(int fd, uint64_t known)
{
	holder_set(my_pid(), fd, known);
	if (irr_thread.vfork)
		return;
	_Atomic uint64_t *at = entry(fd, true);
	if (!at)
		return;
	atomic_store_explicit(at, known, memory_order_relaxed);
	unsigned seen = atomic_load_explicit(&top, memory_order_relaxed);
	while ((unsigned)fd >= seen && !atomic_compare_exchange_weak(&top, &seen, (unsigned)fd + 1))
		;
}

void irr_fd_clear(int fd)
{
	uint64_t known = irr_fd(fd);
	if (!known)
		return;
	holder_drop(my_pid(), fd);
	if (irr_thread.vfork)
		return;
	_Atomic uint64_t *at = entry(fd, false);
	if (at)
		atomic_store_explicit(at, 0, memory_order_relaxed);
	irr_kvm_closed(known);
}

/* Does any descriptor of this process stand for it? */
bool irr_fd_held(uint64_t known)
{
	unsigned end = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned fd = 0; fd < end; fd++)
		if (irr_fd((int)fd) == known)
			return true;
	return false;
}

bool irr_fd_any(unsigned first, unsigned last)
{
	unsigned end = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned fd = first; fd < end && fd <= last; fd++)
		if (irr_fd((int)fd))
			return true;
	return false;
}

void irr_fd_clear_range(unsigned first, unsigned last)
{
	unsigned end = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned fd = first; fd < end && fd <= last; fd++)
		irr_fd_clear((int)fd);
}

uint64_t irr_new_file(enum irr_file kind)
{
	return (uint64_t)kind << 32 | (atomic_fetch_add(&irr_spool->files, 1) + 1);
}

/* ---- what is it? ---- */

static bool ends(const char *text, size_t n, const char *with)
{
	size_t m = strlen(with);
	return n >= m && memcmp(text + n - m, with, m) == 0;
}

static bool starts(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

static enum irr_file by_path(const char *p, size_t n)
{
	if (ends(p, n, "/misc/iommu") || strcmp(p, "/dev/iommu") == 0)
		return IRR_FILE_IOMMUFD;
	if (irr_kvm && (ends(p, n, "/misc/kvm") || strcmp(p, "/dev/kvm") == 0))
		return IRR_FILE_KVM;
	if (ends(p, n, "/misc/vfio") || strcmp(p, "/dev/vfio/vfio") == 0)
		return IRR_FILE_VFIO_CONTAINER;
	if (strstr(p, "/vfio-dev/") || starts(p, "/dev/vfio/devices/"))
		return IRR_FILE_VFIO_DEVICE;
	if (strstr(p, "/vfio/") || starts(p, "/dev/vfio/"))
		return IRR_FILE_VFIO_GROUP;
	return IRR_FILE_UNKNOWN;
}

static enum irr_file by_anon_name(const char *p)
{
	static const struct {
		const char *name;
		enum irr_file kind;
	} names[] = {
		/* anon_inode_getfile() names: drivers/iommu/iommufd/eventq.c (6.12: fault.c), selftest.c, drivers/vfio/vfio_main.c */
		{ "anon_inode:[iommufd-pgfault]", IRR_FILE_FAULT },
		{ "anon_inode:[iommufd-viommu-event]", IRR_FILE_VEVENTQ },
		{ "anon_inode:[iommufd_test_staccess]", IRR_FILE_ACCESS },
		{ "anon_inode:[vfio-device]", IRR_FILE_VFIO_DEVICE },
	};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(p, names[i].name) == 0)
			return names[i].kind;
	/* virt/kvm/kvm_main.c; the number of a vCPU follows */
	if (irr_kvm && strcmp(p, "anon_inode:kvm-vm") == 0)
		return IRR_FILE_KVM_VM;
	if (irr_kvm && starts(p, "anon_inode:kvm-vcpu"))
		return IRR_FILE_KVM_VCPU;
	return IRR_FILE_UNKNOWN;
}

static size_t link_of(int fd, char *to, size_t room)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	long n = irr_sys(SYS_readlinkat, AT_FDCWD, (long)path, (long)to, (long)room - 1, 0, 0);
	if (n < 0)
		n = 0;
	to[n] = 0;
	return (size_t)n;
}

/* Device numbers met before: rdev << 8 | kind, so that /dev/null costs one look-up in a lifetime. */
static _Atomic uint64_t met[32];

static enum irr_file by_device(int fd, dev_t rdev)
{
	char path[64], link[512];
	for (unsigned i = 0; i < 32; i++) {
		uint64_t m = atomic_load_explicit(&met[i], memory_order_relaxed);
		if (m && (m >> 8) == (uint64_t)rdev)
			return (enum irr_file)(m & 0xff);
	}
	snprintf(path, sizeof path, "/sys/dev/char/%u:%u", major(rdev), minor(rdev));
	long n = irr_sys(SYS_readlinkat, AT_FDCWD, (long)path, (long)link, sizeof link - 1, 0, 0);
	if (n <= 0)
		n = (long)link_of(fd, link, sizeof link); /* no sysfs here: go by the name */
	link[n] = 0;
	enum irr_file kind = by_path(link, (size_t)n);
	for (unsigned i = 0; i < 32; i++) {
		uint64_t none = 0;
		if (atomic_compare_exchange_strong(&met[i], &none, (uint64_t)rdev << 8 | kind))
			break;
	}
	return kind;
}

enum irr_file irr_classify(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return IRR_FILE_UNKNOWN;
	if (S_ISCHR(st.st_mode))
		return by_device(fd, st.st_rdev);
	if (S_ISFIFO(st.st_mode))
		return (enum irr_file)irr_kind_of(irr_model_known(st.st_dev, st.st_ino));
	if ((st.st_mode & S_IFMT) == 0) {
		char link[256];
		link_of(fd, link, sizeof link);
		return by_anon_name(link);
	}
	return IRR_FILE_UNKNOWN;
}

/*
 * A descriptor that came from somewhere else than open or dup: notes it and tells the log. `hint` is what the caller
 * knows it to be; `via` the socket or pidfd it came through. Returns what it is, 0 where it is none of ours (and no ioctl
 * of ours was made on it).
 */
uint64_t irr_found(int fd, enum irr_found how, enum irr_file hint, int via)
{
	struct stat st = { 0 };
	char link[512];
	const char *text = link;
	bool confined = atomic_load_explicit(&irr_confined, memory_order_relaxed);
	enum irr_file kind = hint;
	size_t n = 0;
	if (!confined) {
		if (fstat(fd, &st) != 0)
			return 0;
		if (kind == IRR_FILE_UNKNOWN)
			kind = irr_classify(fd);
		if (kind == IRR_FILE_UNKNOWN && how != IRR_FOUND_IN_USE)
			return 0;
		n = link_of(fd, link, sizeof link);
	}
	uint32_t pid = my_pid();
	uint64_t peer[2] = { 0, 0 }, known = 0;
	if (how == IRR_FOUND_INHERITED)
		known = holder_get(pid, fd);
	if (known && irr_kind_of(known) != kind)
		known = 0;
	if (!known)
		known = irr_model_known(st.st_dev, st.st_ino);
	if (!known && how != IRR_FOUND_CREATED && !confined)
		known = same_file(pid, fd, kind, peer);
	if (!known)
		known = irr_new_file(kind);
	uint64_t args[5] = { st.st_rdev, st.st_ino, peer[0], peer[1], (uint64_t)(int64_t)via };
	irr_event(IRR_KIND_FD, how, fd, known, fd, 0, irr_now(), args, 5, &text, &n, 1);
	irr_fd_set(fd, known);
	return known;
}

static int inherited[1024];
static unsigned inherited_count;

/* Which descriptors that concern us were open when this image started? Returns how many, -1 where they are too many to tell. */
int irr_files_look(void)
{
	struct {
		uint64_t ino;
		int64_t off;
		unsigned short reclen;
		unsigned char type;
		char name[];
	} *d;
	static char buffer[16384];
	long dir = irr_sys(SYS_openat, AT_FDCWD, (long)"/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0);
	bool all = true;
	if (dir < 0)
		return -1;
	for (;;) {
		long n = irr_sys(SYS_getdents64, dir, (long)buffer, sizeof buffer, 0, 0, 0);
		if (n <= 0)
			break;
		for (long at = 0; at < n; at += d->reclen) {
			d = (void *)(buffer + at);
			int fd = 0;
			const char *p = d->name;
			if (*p < '0' || *p > '9')
				continue;
			for (; *p; p++)
				fd = fd * 10 + (*p - '0');
			if (fd == dir || irr_classify(fd) == IRR_FILE_UNKNOWN)
				continue;
			all &= inherited_count < sizeof inherited / sizeof inherited[0];
			if (all)
				inherited[inherited_count++] = fd;
		}
	}
	irr_sys(SYS_close, dir, 0, 0, 0, 0, 0);
	return all ? (int)inherited_count : -1;
}

/* Tells the log of them. One beyond the list is noticed when it is used. */
void irr_files_start(void)
{
	for (unsigned i = 0; i < inherited_count; i++)
		irr_found(inherited[i], IRR_FOUND_INHERITED, IRR_FILE_UNKNOWN, -1);
}

/* The child holds what its parent held. */
void irr_files_forked(void)
{
	uint32_t pid = my_pid();
	unsigned end = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned fd = 0; fd < end; fd++)
		if (irr_fd((int)fd))
			holder_set(pid, (int)fd, irr_fd((int)fd));
}

void irr_files_exit(void)
{
	uint32_t pid = my_pid();
	unsigned end = atomic_load_explicit(&top, memory_order_relaxed);
	for (unsigned fd = 0; fd < end; fd++)
		if (irr_fd((int)fd))
			holder_drop(pid, (int)fd);
}

/* ---- mappings ---- */

#define BLOCK 255

struct block {
	struct range {
		_Atomic uintptr_t from, to; /* from 0 = free, 1 = being written */
	} range[BLOCK];
	_Atomic(struct block *) next;
};

static struct block first;
static _Atomic unsigned mappings; /* ranges ever added: munmap of a program without any costs one load */

void irr_map_add(uintptr_t from, uintptr_t to)
{
	for (struct block *b = &first; b;) {
		for (unsigned i = 0; i < BLOCK; i++) {
			uintptr_t none = 0;
			if (atomic_compare_exchange_strong(&b->range[i].from, &none, 1)) {
				atomic_store(&b->range[i].to, to);
				atomic_store(&b->range[i].from, from);
				atomic_fetch_add(&mappings, 1);
				return;
			}
		}
		struct block *next = atomic_load(&b->next);
		if (!next) {
			long fresh = irr_sys(SYS_mmap, 0, sizeof *b, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if ((unsigned long)fresh > -4096UL)
				return;
			if (atomic_compare_exchange_strong(&b->next, &next, (struct block *)fresh))
				next = (struct block *)fresh;
			else
				irr_sys(SYS_munmap, fresh, sizeof *b, 0, 0, 0, 0);
		}
		b = next;
	}
}

bool irr_map_overlaps(uintptr_t from, uintptr_t to)
{
	if (irr_likely(atomic_load_explicit(&mappings, memory_order_relaxed) == 0))
		return false;
	for (struct block *b = &first; b; b = atomic_load(&b->next))
		for (unsigned i = 0; i < BLOCK; i++) {
			uintptr_t start = atomic_load_explicit(&b->range[i].from, memory_order_acquire);
			if (start > 1 && from < atomic_load_explicit(&b->range[i].to, memory_order_relaxed) && to > start)
				return true;
		}
	return false;
}

/* Forgets what lies wholly inside; a range cut in part stays, which at worst records an munmap too many. */
void irr_map_remove(uintptr_t from, uintptr_t to)
{
	for (struct block *b = &first; b; b = atomic_load(&b->next))
		for (unsigned i = 0; i < BLOCK; i++) {
			uintptr_t start = atomic_load(&b->range[i].from);
			if (start > 1 && start >= from && atomic_load(&b->range[i].to) <= to)
				atomic_compare_exchange_strong(&b->range[i].from, &start, 0);
		}
}
