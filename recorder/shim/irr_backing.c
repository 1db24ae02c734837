/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What memory is, that a call maps for DMA: huge pages or not, shared or not. The call gives an address or a descriptor and
 * no more, and whoever issues it again cannot know. It is asked for where it can matter: two megabytes or more, at a multiple
 * of that, beside whose pinning a question costs nothing; and of files always, for they answer at once.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "irr.h"
#include "irr_backing.h"

#define HUGE (UINT64_C(2) << 20)

/* Calls, and where in their structs is what they map. */
static const struct {
	uint32_t request;
	uint16_t source, length; /* offsets, bytes */
	bool file;
} maps[] = {
	{ 0x3b85, 16, 24, false }, /* IOMMU_IOAS_MAP */
	{ 0x3b8f, 12, 24, true },  /* IOMMU_IOAS_MAP_FILE */
	{ 0x3b71, 8, 24, false },  /* VFIO_IOMMU_MAP_DMA */
};

/* The question of Linux 6.11 and later, on /proc/PID/maps: struct procmap_query of linux/fs.h, which older headers do not have. */
struct question {
	uint64_t size, flags, address;
	uint64_t start, end, vma_flags, page_size, offset, inode;
	uint32_t major, minor, name_size, id_size;
	uint64_t name, id;
};
#define QUESTION _IOWR('f', 17, struct question)
#define VMA_SHARED 8u

_Static_assert(sizeof(struct question) == 104, "as the kernel has it");

static bool ask(uint64_t address, struct question *q)
{
	static _Atomic bool vain;
	if (atomic_load_explicit(&vain, memory_order_relaxed))
		return false;
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return false;
	*q = (struct question){ .size = sizeof *q, .address = address };
	long e = irr_sys(SYS_ioctl, fd, QUESTION, (long)q, 0, 0, 0);
	irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	if (e == -ENOTTY)
		atomic_store_explicit(&vain, true, memory_order_relaxed);
	return e == 0;
}

static size_t of_memory(uint64_t address, uint64_t bytes, char *to)
{
	struct question q;
	if (address % HUGE != 0 || bytes < HUGE || !ask(address, &q))
		return 0;
	char *end = stpcpy(irr_put_number(stpcpy(to, "pages="), q.page_size), q.vma_flags & VMA_SHARED ? " shared" : " private");
	return (size_t)(end - to);
}

static size_t of_file(int fd, char *to)
{
	struct statfs fs;
	struct stat st;
	if (irr_sys(SYS_fstatfs, fd, (long)&fs, 0, 0, 0, 0) != 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	uint64_t page = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : 4096;
	return (size_t)(irr_put_number(stpcpy(irr_put_number(stpcpy(to, "pages="), page), " bytes="), (uint64_t)st.st_size) - to);
}

size_t irr_backing(unsigned long request, const void *arg, char *to)
{
	uint8_t in[32];
	uint64_t address, bytes;
	int fd;
	for (unsigned i = 0; i < sizeof maps / sizeof *maps; i++) {
		if (maps[i].request != request || atomic_load_explicit(&irr_confined, memory_order_relaxed) || irr_copy(in, arg, sizeof in) < sizeof in)
			continue;
		memcpy(&address, in + maps[i].source, 8);
		memcpy(&bytes, in + maps[i].length, 8);
		memcpy(&fd, in + maps[i].source, 4);
		return maps[i].file ? of_file(fd, to) : of_memory(address, bytes, to);
	}
	return 0;
}
