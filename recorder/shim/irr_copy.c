/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the program's memory without ever faulting in it.
 *
 * A pointer that the program hands to the kernel may be anything; the kernel answers EFAULT and so must we stay alive.
 * Memory that is certainly there is copied directly: the part of the running thread's stack that was once probed, the
 * program's own data segments, and the brk heap. All else is read with process_vm_readv(2), which copes with anything.
 * Under a seccomp filter of the program's own, which might kill for it, such memory is left alone (see irr_confined).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <sys/uio.h>

#include "irr.h"

#define PAGE UINT64_C(4096)
#define PROBE_PAGES 64u

extern void *__curbrk __attribute__((weak));    /* libc's notion of the program break */
extern void *__libc_stack_end __attribute__((weak));

static uintptr_t data_lo, data_hi; /* writable segments of the program itself */
static uintptr_t brk_lo;
static _Atomic bool distrusted;    /* the program changed the protection of such memory */

static int find_data(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size, (void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_W))
			continue;
		uintptr_t from = info->dlpi_addr + p->p_vaddr, to = from + p->p_memsz;
		if (!data_hi || from < data_lo)
			data_lo = from;
		if (to > data_hi)
			data_hi = to;
	}
	return 1; /* the first object is the program */
}

void irr_copy_init(void)
{
	dl_iterate_phdr(find_data, NULL);
	brk_lo = irr_stat_field(47); /* start_brk; 0 where it is not told */
	if (!brk_lo)
		brk_lo = (uintptr_t)irr_sys(SYS_brk, 0, 0, 0, 0, 0, 0);
}

/* The program takes rights away from some memory, or unmaps it. */
void irr_distrust(uintptr_t from, uintptr_t to)
{
	uintptr_t brk_hi = &__curbrk ? (uintptr_t)__curbrk : 0;
	if ((from < data_hi && to > data_lo) || (from < brk_hi && to > brk_lo))
		atomic_store_explicit(&distrusted, true, memory_order_relaxed);
	struct irr_thread *t = &irr_thread;
	if (from < t->hi && to > t->lo)
		t->lo = t->hi = 0;
}

static bool trusted(uintptr_t a, uintptr_t e)
{
	if (e < a || atomic_load_explicit(&distrusted, memory_order_relaxed))
		return false;
	if (a >= data_lo && e <= data_hi)
		return true;
	return &__curbrk && a >= brk_lo && e <= (uintptr_t)__curbrk;
}

/*
 * Reads from our own memory. A kernel without CONFIG_CROSS_MEMORY_ATTACH, and QEMU's emulation of programs, have no
 * process_vm_readv(2); there it goes by way of a file.
 */
static long read_own(void *to, uintptr_t from, size_t bytes)
{
	static _Atomic bool by_file;
	struct iovec local = { to, bytes }, remote = { (void *)from, bytes };
	if (!atomic_load_explicit(&by_file, memory_order_relaxed)) {
		long n = irr_sys(SYS_process_vm_readv, irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&local, 1, (long)&remote, 1, 0);
		if (irr_likely(n != -ENOSYS))
			return n;
		atomic_store_explicit(&by_file, true, memory_order_relaxed);
	}
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)"/proc/self/mem", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return fd;
	long n = irr_sys(SYS_pread64, fd, (long)to, (long)bytes, (long)from, 0, 0);
	irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	return n;
}

/* How many of the pages from `page` on are readable, at most PROBE_PAGES. */
static unsigned readable_pages(uintptr_t page, unsigned pages)
{
	struct iovec remote[PROBE_PAGES];
	char bytes[PROBE_PAGES];
	struct iovec local = { bytes, pages };
	for (unsigned i = 0; i < pages; i++)
		remote[i] = (struct iovec){ (void *)(page + i * PAGE), 1 };
	long n = irr_sys(SYS_process_vm_readv, irr_sys(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&local, 1, (long)remote, pages, 0);
	if (irr_unlikely(n == -ENOSYS))
		for (n = 0; n < (long)pages && read_own(bytes, page + (uintptr_t)n * PAGE, 1) == 1;)
			n++;
	return n < 0 ? 0 : (unsigned)n;
}

/*
 * Learns how far the stack that runs now is readable, upwards. A thread's control block lies at the top of the stack that
 * libc gave it, the main thread's stack ends at __libc_stack_end; of any other stack (a coroutine's, a signal's) only the
 * next few pages are believed, since what lies above it is not part of it.
 */
static void probe_stack(uintptr_t sp)
{
	struct irr_thread *t = &irr_thread;
	uintptr_t page = sp & ~(PAGE - 1), tp = (uintptr_t)__builtin_thread_pointer();
	uintptr_t end = &__libc_stack_end ? (uintptr_t)__libc_stack_end : 0;
	uintptr_t hi = page + 4 * PAGE;
	if (sp < end && end - sp < PROBE_PAGES * PAGE)
		hi = end;
	else if (sp < tp && tp - sp < PROBE_PAGES * PAGE)
		hi = tp;
	else if ((sp < end && end - sp < (UINT64_C(8) << 20)) || (sp < tp && tp - sp < (UINT64_C(8) << 20)))
		hi = page + PROBE_PAGES * PAGE;
	unsigned pages = (unsigned)((hi - page + PAGE - 1) / PAGE);
	unsigned got = readable_pages(page, pages > PROBE_PAGES ? PROBE_PAGES : pages);
	t->lo = page;
	t->hi = got < pages ? page + got * PAGE : hi;
}

size_t irr_copy_slow(void *to, const void *from, size_t bytes)
{
	uintptr_t a = (uintptr_t)from, e = a + bytes, sp = (uintptr_t)__builtin_frame_address(0);
	struct irr_thread *t = &irr_thread;
	if (!bytes)
		return 0;
	if (trusted(a, e)) {
		memcpy(to, from, bytes);
		return bytes;
	}
	if (atomic_load_explicit(&irr_confined, memory_order_relaxed)) {
		/* The page that we stand on is there. */
		if (a < sp || e > ((sp | (PAGE - 1)) + 1))
			return 0;
		memcpy(to, from, bytes);
		return bytes;
	}
	if ((sp < t->lo || sp >= t->hi) && a >= sp && a - sp < PROBE_PAGES * PAGE) {
		probe_stack(sp);
		if (a >= t->lo && e <= t->hi && e >= a) {
			memcpy(to, from, bytes);
			return bytes;
		}
	}
	/* A read that crosses into unreadable memory may return nothing at all, so it goes page by page after a failure. */
	if (read_own(to, a, bytes) == (long)bytes)
		return bytes;
	size_t done = 0;
	while (done < bytes) {
		size_t piece = PAGE - ((a + done) & (PAGE - 1));
		if (piece > bytes - done)
			piece = bytes - done;
		if (read_own((uint8_t *)to + done, a + done, piece) != (long)piece)
			break;
		done += piece;
	}
	return done;
}

/* A C string, without its NUL; as much as is readable and fits. */
size_t irr_copy_string(char *to, size_t room, const char *from)
{
	size_t done = 0;
	if (!from)
		return 0;
	while (done < room) {
		size_t piece = PAGE - (((uintptr_t)from + done) & (PAGE - 1));
		if (piece > room - done)
			piece = room - done;
		if (piece > 256)
			piece = 256;
		size_t got = irr_copy(to + done, from + done, piece);
		const char *nul = memchr(to + done, 0, got);
		if (nul)
			return (size_t)(nul - to);
		done += got;
		if (got < piece)
			break;
	}
	return done;
}
