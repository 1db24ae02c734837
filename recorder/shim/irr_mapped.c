/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the program itself has mapped a file that it gave to IOAS_MAP_FILE: there its memory can be read like any other, long
 * after the descriptor was closed. Asked for once, when a queue is made.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "irr_queue.h"

/* A line of /proc/self/maps, as far as it is needed. */
struct line {
	uint64_t from, to, offset, major, minor, inode;
	bool shared, readable;
};

static const char *number(const char *at, int base, uint64_t *value)
{
	*value = 0;
	for (;; at++) {
		unsigned digit = *at >= '0' && *at <= '9' ? (unsigned)(*at - '0') : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10 : 99;
		if (digit >= (unsigned)base)
			return at;
		*value = *value * (unsigned)base + digit;
	}
}

/* 7f0000000000-7f0000001000 rw-s 00001000 00:01 1234   /memfd:ram */
static void parse(const char *at, struct line *l)
{
	at = number(at, 16, &l->from);
	at = number(at + (*at == '-'), 16, &l->to);
	l->readable = at[0] == ' ' && at[1] == 'r';
	for (; *at == ' '; at++)
		;
	const char *rights = at;
	for (; *at && *at != ' '; at++)
		;
	l->shared = at - rights == 4 && rights[3] == 's';
	at = number(at + (*at == ' '), 16, &l->offset);
	at = number(at + (*at == ' '), 16, &l->major);
	at = number(at + (*at == ':'), 16, &l->minor);
	number(at + (*at == ' '), 10, &l->inode);
}

struct search {
	const struct irr_extent *of;
	uint64_t address, bytes; /* what was found: where, and how much of it */
};

static bool fits(const struct line *l, struct search *s)
{
	if (!l->shared || !l->readable || l->inode != s->of->inode || l->major != major(s->of->device) || l->minor != minor(s->of->device) ||
	    s->of->address < l->offset || s->of->address - l->offset >= l->to - l->from)
		return false;
	s->address = l->from + (s->of->address - l->offset);
	s->bytes = l->to - s->address;
	return true;
}

/* The front of an extent of a file. false: the program has not mapped it. */
static bool mapped(struct search *s)
{
	char text[4096];
	size_t have = 0;
	bool found = false, skip = false;
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	while (fd >= 0 && !found) {
		long n = irr_sys(SYS_read, fd, (long)(text + have), (long)(sizeof text - 1 - have), 0, 0, 0);
		if (n <= 0)
			break;
		have += (size_t)n;
		text[have] = 0;
		char *at = text;
		for (char *end; !found && (end = memchr(at, '\n', have - (size_t)(at - text))); at = end + 1) {
			struct line l;
			*end = 0;
			if (!skip) {
				parse(at, &l);
				found = fits(&l, s);
			}
			skip = false;
		}
		have -= (size_t)(at - text);
		memmove(text, at, have);
		if (have == sizeof text - 1) { /* a long name */
			struct line l;
			if (!skip) {
				parse(text, &l);
				found = fits(&l, s);
			}
			skip = true;
			have = 0;
		}
	}
	if (fd >= 0)
		irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	return found;
}

/* Puts memory in the place of files, where the program has them mapped. Returns the pieces. */
unsigned irr_mapped_files(struct irr_extent *extent, unsigned count, unsigned room)
{
	uint32_t self = atomic_load_explicit(&irr_self->pid, memory_order_relaxed);
	for (unsigned i = 0; i < count; i++) {
		struct irr_extent *e = &extent[i];
		struct search s = { .of = e };
		if (e->fd < 0 || e->pid != self || atomic_load_explicit(&irr_confined, memory_order_relaxed) || !mapped(&s))
			continue;
		if (s.bytes < e->bytes) {
			if (count == room)
				return count;
			memmove(e + 1, e, (count - i) * sizeof *e);
			e[1].address += s.bytes;
			e[1].bytes -= s.bytes;
			e->bytes = s.bytes;
			count++;
		}
		e->address = s.address;
		e->fd = -1;
	}
	return count;
}
