/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of the model: what is behind a path, an inode, a descriptor; opening one (irr_model.h). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "irr.h"
#include "irr_talk.h"

static struct irr_model_file *files(void) { return (struct irr_model_file *)((uint8_t *)irr_model + IRR_MODEL_FILES); }

/* What an inode of the folder stands for; 0: nothing of the model's. */
uint64_t irr_model_known(uint64_t dev, uint64_t inode)
{
	if (!irr_model || dev != irr_talk_device)
		return 0;
	for (uint32_t i = 0; i < 64; i++) {
		struct irr_model_file *f = &files()[(inode + i) % IRR_MODEL_FILE_MAX];
		if (atomic_load_explicit(&f->inode, memory_order_acquire) == inode)
			return atomic_load_explicit(&f->known, memory_order_acquire);
	}
	return 0;
}

/* The same of a descriptor; looked up each time, as descriptors are closed and made in ways that nobody sees (fclose). */
uint64_t irr_model_file(int fd)
{
	struct stat st;
	return irr_model && irr_sys(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0) == 0 ? irr_model_known(st.st_dev, st.st_ino) : 0;
}

static void remember(uint64_t inode, uint64_t known)
{
	for (uint32_t i = 0; i < 64; i++) {
		struct irr_model_file *f = &files()[(inode + i) % IRR_MODEL_FILE_MAX];
		uint64_t none = 0;
		if (atomic_compare_exchange_strong(&f->inode, &none, inode) || none == inode) {
			atomic_store_explicit(&f->known, known, memory_order_release);
			return;
		}
	}
}

/* Must come before the last descriptor goes: then the inode may be another file's. */
static void forget(uint64_t inode, uint64_t known)
{
	for (uint32_t i = 0; i < 64; i++) {
		struct irr_model_file *f = &files()[(inode + i) % IRR_MODEL_FILE_MAX];
		if (atomic_load_explicit(&f->inode, memory_order_acquire) != inode || atomic_load_explicit(&f->known, memory_order_acquire) != known)
			continue;
		atomic_store_explicit(&f->known, 0, memory_order_release);
		atomic_store_explicit(&f->inode, 0, memory_order_release);
		return;
	}
}

/* Makes an open file and a descriptor of it; negative: errno. The recorder takes its name away. */
int irr_model_new_file(uint64_t known, int flags)
{
	char path[IRR_TALK_PATH];
	struct stat st;
	irr_talk_path(path, "file", irr_file_of(known));
	long e = irr_sys(SYS_mknodat, AT_FDCWD, (long)path, S_IFIFO | 0600, 0, 0, 0);
	if (e < 0)
		return (int)e;
	int fd = (int)irr_sys(SYS_openat, AT_FDCWD, (long)path, O_RDWR | (flags & (O_CLOEXEC | O_NONBLOCK)), 0, 0, 0);
	if (fd < 0 || fstat(fd, &st) != 0) {
		irr_sys(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
		return fd < 0 ? fd : -EIO;
	}
	remember(st.st_ino, known);
	return fd;
}

void irr_model_drop_file(int fd, uint64_t known)
{
	char path[IRR_TALK_PATH];
	struct stat st;
	irr_talk_path(path, "file", irr_file_of(known));
	irr_sys(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
	if (irr_sys(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0) == 0)
		forget(st.st_ino, known);
	irr_talk_shut(fd);
}


static enum irr_file kind_of_path(const char *path)
{
	if (strcmp(path, "/dev/iommu") == 0)
		return IRR_FILE_IOMMUFD;
	if (strcmp(path, "/dev/vfio/vfio") == 0)
		return IRR_FILE_VFIO_CONTAINER;
	if (strncmp(path, "/dev/vfio/devices/", 18) == 0)
		return IRR_FILE_VFIO_DEVICE;
	return strncmp(path, "/dev/vfio/", 10) == 0 ? IRR_FILE_VFIO_GROUP : IRR_FILE_UNKNOWN;
}

#define NAME_BYTES 64 /* longer ones are none of the model's */

/* /proc/self/fd/N and the like: another open of the file that is there. */
static bool leads_to_descriptor(const char *name)
{
	return memcmp(name, "/proc/", 6) == 0 || memcmp(name, "/dev/fd/", 8) == 0;
}

/* What the model has at a path; `name` gets it, `n` its length. */
static enum irr_file behind_path(const char *path, char *name, size_t *n)
{
	struct stat st;
	/* The first bytes decide, so that every other file costs next to nothing. */
	if (irr_copy(name, path, 6) < 6 || (memcmp(name, "/dev/", 5) != 0 && memcmp(name, "/proc/", 6) != 0))
		return IRR_FILE_UNKNOWN;
	*n = irr_copy_string(name, NAME_BYTES - 1, path);
	name[*n] = 0;
	if (!leads_to_descriptor(name))
		return kind_of_path(name);
	if (*n == NAME_BYTES - 1 || irr_sys(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, 0, 0, 0) != 0 || !S_ISFIFO(st.st_mode))
		return IRR_FILE_UNKNOWN;
	return (enum irr_file)irr_kind_of(irr_model_known(st.st_dev, st.st_ino));
}

/* One of the model's own devices: vfio0 and on. */
static bool is_device(const char *name)
{
	static const char first[] = "/dev/vfio/devices/vfio";
	const char *digit = name + sizeof first - 1;
	return strncmp(name, first, sizeof first - 1) == 0 && *digit >= '0' && (uint32_t)(*digit - '0') < irr_model->devices && !digit[1];
}

/* Would the model open it? */
bool irr_model_has(const char *path)
{
	char name[NAME_BYTES];
	size_t n;
	if (irr_likely(!irr_model))
		return false;
	enum irr_file kind = behind_path(path, name, &n);
	return kind == IRR_FILE_IOMMUFD || kind == IRR_FILE_VFIO_CONTAINER || (kind == IRR_FILE_VFIO_DEVICE && is_device(name));
}

/* Is the path one that the model has? Then `fd` is what open(2) gives, errno set. */
bool irr_model_opens(const char *path, uint64_t flags, int *fd)
{
	char name[NAME_BYTES];
	struct irr_talk t;
	size_t n;
	if (irr_likely(!irr_model) || (flags & O_PATH))
		return false;
	enum irr_file kind = behind_path(path, name, &n);
	if (kind == IRR_FILE_UNKNOWN)
		return false;
	if (kind != kind_of_path(name) && kind != IRR_FILE_IOMMUFD && kind != IRR_FILE_VFIO_CONTAINER) {
		*fd = -1;
		errno = ENXIO; /* a queue's file has no name */
		return true;
	}
	uint64_t known = irr_new_file(kind);
	int saved = errno;
	*fd = irr_model_new_file(known, (int)flags);
	if (*fd < 0) {
		errno = -*fd;
		*fd = -1;
		return true;
	}
	int made = *fd;
	*fd = -1;
	if (irr_talk_begin(&t, IRR_MODEL_OPEN, made, known)) {
		t.place->args[0] = kind;
		irr_talk_bring(&t, 0, name, n);
		if (irr_talk_make(&t)) {
			*fd = made;
			errno = saved;
		}
		irr_talk_end(&t);
	}
	if (*fd < 0) {
		saved = errno;
		irr_model_drop_file(made, known);
		errno = saved;
	}
	return true;
}
