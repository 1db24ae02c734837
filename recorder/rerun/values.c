/* SPDX-License-Identifier: GPL-2.0-only */
/* What the symbols of a plan are in this run. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "irr_frame.h"
#include "rerun.h"

/* Has somebody that number, where it is used? */
static bool is_taken(const struct irr_plan_symbol *s, unsigned sort, uint64_t value)
{
	if (sort == IRR_SORT_FD)
		return fcntl((int)value, F_GETFD) >= 0;
	for (uint32_t i = 0; i < plan.n_symbols; i++) {
		const struct irr_plan_symbol *o = &plan.symbols[i];
		if (o->sort == sort && o->context == s->context && atomic_load(&tables.live[i]) && atomic_load(&tables.value[i]) == value)
			return true;
	}
	return false;
}

/* A number that stands for nothing: `wanted` where that is free, else one that programs do not get. */
static uint64_t free_number(const struct irr_plan_symbol *s, unsigned sort, uint64_t wanted)
{
	if (!is_taken(s, sort, wanted))
		return wanted;
	uint64_t v = sort == IRR_SORT_FD ? 0xffff : 0x3fffffff;
	while (is_taken(s, sort, v))
		v--;
	return v;
}

uint64_t use_value(const struct irr_plan_use *u)
{
	const struct irr_plan_symbol *s = &plan.symbols[u->symbol];
	uint64_t v = atomic_load(&tables.value[u->symbol]);
	if (s->sort == IRR_SORT_MEMORY)
		v = region_address((uint32_t)s->region);
	else if (s->sort == IRR_SORT_NOTHING)
		v = free_number(s, s->what, v);
	else if ((u->flags & IRR_USE_ENDED) && (s->sort == IRR_SORT_OBJECT || s->sort == IRR_SORT_FD || s->sort == IRR_SORT_COOKIE))
		v = free_number(s, s->sort, v);
	return v + u->addend;
}

/* Takes the numbers by which symbols become known. false: one of them is not there. */
bool define(const struct irr_plan_step *s, unsigned in, unsigned part, const void *bytes, uint64_t count)
{
	bool all = true;
	for (uint32_t i = 0; i < s->defines; i++) {
		const struct irr_plan_define *d = &plan.defines[s->define + i];
		uint64_t v = 0;
		if (d->in != in || (in == IRR_IN_NESTED && d->part != part))
			continue;
		if (d->offset > count || d->width > count - d->offset) {
			all = false;
			continue;
		}
		memcpy(&v, (const uint8_t *)bytes + d->offset, d->width);
		atomic_store(&tables.value[d->symbol], v);
		atomic_store(&tables.live[d->symbol], 1);
	}
	return all;
}

void ended(const struct irr_plan_step *s)
{
	for (uint32_t i = 0; i < s->ends; i++)
		atomic_store(&tables.live[plan.ends[s->end + i]], 0);
}

/* ---- descriptors that no step makes ---- */

static int out_of_the_way(int fd)
{
	int high = fcntl(fd, F_DUPFD, HIGH_FD);
	if (high >= 0)
		close(fd);
	return high >= 0 ? high : fd;
}

/* One end stands for the socket; what is sent through it comes out of the other. All processes have both. */
static int socket_pair(uint32_t symbol)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0)
		return -1;
	tables.receiver[symbol] = out_of_the_way(fds[1]);
	return out_of_the_way(fds[0]);
}

/* Its pages are taken at once: a call that finds none would fail otherwise than it did. */
static int huge_file(const struct irr_plan_symbol *s)
{
	int fd = memfd_create("iommufd-rr", MFD_HUGETLB | (unsigned)s->page_shift << MFD_HUGE_SHIFT);
	if (fd >= 0 && ftruncate(fd, (off_t)s->bytes) == 0 && fallocate(fd, 0, 0, (off_t)s->bytes) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	atomic_fetch_add(&shared->small, 1);
	return -1;
}

static int made(uint32_t symbol)
{
	const struct irr_plan_symbol *s = &plan.symbols[symbol];
	int fd;
	switch (s->what) {
	case IRR_MADE_MEMORY:
		fd = s->page_shift ? huge_file(s) : -1;
		if (fd >= 0)
			return fd;
		fd = memfd_create("iommufd-rr", 0);
		if (fd >= 0 && ftruncate(fd, (off_t)s->bytes) != 0)
			return -1;
		return fd;
	case IRR_MADE_EVENTFD:
		return eventfd(0, EFD_NONBLOCK);
	case IRR_MADE_IOMMUFD:
		return open("/dev/iommu", O_RDWR);
	default:
		return open("/dev/null", O_RDWR);
	}
}

/* At its recorded number where that is free: a struct that nobody knows may have it in it. */
static int file_made(uint32_t symbol)
{
	int fd = made(symbol), wanted = (int)plan.symbols[symbol].value;
	if (fd < 0 || fd == wanted || wanted < 0 || wanted >= HIGH_FD)
		return fd;
	int there = fcntl(fd, F_DUPFD, wanted);
	if (there < 0)
		return fd;
	close(fd);
	return there;
}

/* Makes those of a process; before there is any, `sockets` alone, which all have. */
void foreign_files(uint32_t process, bool sockets)
{
	for (uint32_t i = 0; i < plan.n_symbols; i++) {
		const struct irr_plan_symbol *s = &plan.symbols[i];
		if (s->sort != IRR_SORT_FD || s->what == IRR_MADE_BY_STEP)
			continue;
		if (sockets != (s->what == IRR_MADE_SOCKET) || (!sockets && (uint32_t)s->process != process))
			continue;
		int fd = sockets ? socket_pair(i) : file_made(i);
		if (fd < 0)
			continue;
		atomic_store(&tables.value[i], (uint64_t)fd);
		atomic_store(&tables.live[i], 1);
	}
}
