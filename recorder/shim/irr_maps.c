/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of all IOASes in one treap, ordered by IOAS and IOVA, in memory of its own. A map costs a walk down of about
 * 2 log2(n) nodes; nothing is looked up until there is a queue. See irr_maps.h.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/stat.h>

#include "irr.h"
#include "irr_maps.h"

#define CHUNK_SHIFT 12u
#define CHUNK (1u << CHUNK_SHIFT)
#define CHUNKS 1024u /* 4 million maps */
#define SOURCES 1024u

struct node {
	uint64_t space, iova, last;
	uint64_t address;
	uint64_t stamp; /* when it was made; of a free one: the next */
	uint32_t left, right;
	uint32_t priority;
	uint32_t source;
	uint64_t unused; /* a cache line each */
};

_Static_assert(sizeof(struct node) == 64, "a cache line");

static struct node *chunks[CHUNKS];
static uint32_t made = 1, unused; /* nodes that were ever used, from 1; those that can be used again: subtrees, one behind the other */
static uint32_t root;
static uint64_t newest;           /* the latest stamp of all */
static uint32_t random_state = 2463534242u;

/* Where maps come from: memory of a process, or a file. 0: not known. */
static struct irr_extent sources[SOURCES];
static uint32_t source_count = 1;

/* ---- one at a time ---- */

static _Atomic uintptr_t owner;

/* false: a signal has come while this thread was here; what its handler does is not noted. */
static bool lock(void)
{
	uintptr_t self = (uintptr_t)&irr_thread, was = 0;
	for (unsigned i = 1; !atomic_compare_exchange_weak_explicit(&owner, &was, self, memory_order_acquire, memory_order_relaxed); i++) {
		if (was == self)
			return false;
		was = 0;
		if (i % 64 == 0 && !atomic_load_explicit(&irr_confined, memory_order_relaxed))
			irr_sys(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	}
	return true;
}

static void unlock(void)
{
	atomic_store_explicit(&owner, 0, memory_order_release);
}

/* A child that was forked while another thread was here has half a change: it knows nothing then. */
void irr_maps_forked(void)
{
	if (!atomic_load(&owner))
		return;
	root = unused = 0;
	made = 1;
	atomic_store(&owner, 0);
}

/* ---- nodes ---- */

static struct node *node(uint32_t i) { return &chunks[i >> CHUNK_SHIFT][i & (CHUNK - 1)]; }

static void release(uint32_t subtree)
{
	if (!subtree)
		return;
	node(subtree)->stamp = unused;
	unused = subtree;
}

/* 0: there is no memory for it. */
static uint32_t take(void)
{
	uint32_t i = unused;
	if (i) {
		struct node *n = node(i);
		unused = (uint32_t)n->stamp;
		release(n->left);
		release(n->right);
		return i;
	}
	i = made;
	if (i >> CHUNK_SHIFT >= CHUNKS)
		return 0;
	if (!chunks[i >> CHUNK_SHIFT]) {
		if (atomic_load_explicit(&irr_confined, memory_order_relaxed))
			return 0;
		long at = irr_sys(SYS_mmap, 0, CHUNK * sizeof(struct node), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if ((unsigned long)at > -4096UL)
			return 0;
		chunks[i >> CHUNK_SHIFT] = (struct node *)at;
	}
	made++;
	return i;
}

static uint32_t draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	return random_state ^= random_state << 5;
}

static bool before(const struct node *n, uint64_t space, uint64_t iova)
{
	return n->space < space || (n->space == space && n->iova < iova);
}

static void split(uint32_t t, uint64_t space, uint64_t iova, uint32_t *l, uint32_t *r)
{
	while (t) {
		struct node *n = node(t);
		if (before(n, space, iova)) {
			*l = t;
			l = &n->right;
			t = *l;
		} else {
			*r = t;
			r = &n->left;
			t = *r;
		}
	}
	*l = *r = 0;
}

static uint32_t merge(uint32_t a, uint32_t b)
{
	uint32_t top, *at = &top;
	while (a && b) {
		if (node(a)->priority >= node(b)->priority) {
			*at = a;
			at = &node(a)->right;
			a = *at;
		} else {
			*at = b;
			at = &node(b)->left;
			b = *at;
		}
	}
	*at = a ? a : b;
	return top;
}

static void split_behind(uint32_t t, uint64_t space, uint64_t last, uint32_t *l, uint32_t *r)
{
	split(t, last == UINT64_MAX ? space + 1 : space, last == UINT64_MAX ? 0 : last + 1, l, r);
}

static uint32_t rightmost(uint32_t t)
{
	while (t && node(t)->right)
		t = node(t)->right;
	return t;
}

/* The last node of an IOAS that has something of [iova, last]; 0: none. */
static uint32_t within(uint64_t space, uint64_t iova, uint64_t last)
{
	uint32_t t = root, found = 0;
	while (t) {
		struct node *n = node(t);
		if (n->space < space || (n->space == space && n->iova <= last)) {
			found = t;
			t = n->right;
		} else
			t = n->left;
	}
	return found && node(found)->space == space && node(found)->last >= iova ? found : 0;
}

static uint32_t covering(uint64_t space, uint64_t iova)
{
	return within(space, iova, iova);
}

static void insert(const struct node *like)
{
	uint32_t i = take(), *at = &root;
	if (!i)
		return;
	struct node *n = node(i);
	*n = *like;
	n->priority = draw();
	if (like->stamp > newest)
		newest = like->stamp;
	while (*at && node(*at)->priority >= n->priority)
		at = before(node(*at), like->space, like->iova) ? &node(*at)->right : &node(*at)->left;
	split(*at, like->space, like->iova, &n->left, &n->right);
	*at = i;
}

/* ---- changes ---- */

/* Of a node that reaches over the end of what is removed, what lies behind. */
static void keep_rest(const struct node *n, uint64_t last)
{
	if (n->last <= last)
		return;
	struct node rest = *n;
	rest.address += last + 1 - n->iova;
	rest.iova = last + 1;
	insert(&rest);
}

/* Takes [iova, last] out; but not what is newer than `stamp`. */
static void cut(uint64_t space, uint64_t iova, uint64_t last, uint64_t stamp)
{
	uint32_t l, m, r;
	if (!within(space, iova, last))
		return;
	uint32_t first = iova ? covering(space, iova - 1) : 0;
	if (first && node(first)->last >= iova && node(first)->stamp <= stamp) {
		struct node n = *node(first);
		node(first)->last = iova - 1;
		keep_rest(&n, last);
	}
	split(root, space, iova, &l, &m);
	split_behind(m, space, last, &m, &r);
	if (stamp >= newest) {
		uint32_t end = rightmost(m);
		struct node n = end ? *node(end) : (struct node){ 0 };
		root = merge(l, r);
		release(m);
		if (end)
			keep_rest(&n, last);
		return;
	}
	/* Somebody has mapped something meanwhile, perhaps here. */
	uint32_t kept = 0;
	struct node over = { 0 };
	while (m) {
		uint32_t one = m, rest;
		while (node(one)->left)
			one = node(one)->left;
		split_behind(m, space, node(one)->iova, &one, &rest);
		m = rest;
		if (node(one)->stamp > stamp) {
			kept = merge(kept, one);
			continue;
		}
		if (node(one)->last > last)
			over = *node(one);
		release(one);
	}
	root = merge(merge(l, kept), r);
	if (over.last > last)
		keep_rest(&over, last);
}

/* The number of a source; a descriptor counts by the file that it stands for. */
static uint32_t source_of(int fd)
{
	struct irr_extent s = { .pid = atomic_load_explicit(&irr_self->pid, memory_order_relaxed), .fd = fd };
	if (fd >= 0) {
		struct stat st;
		if (atomic_load_explicit(&irr_confined, memory_order_relaxed) || fstat(fd, &st) != 0)
			return 0;
		s.device = st.st_dev;
		s.inode = st.st_ino;
	}
	for (uint32_t i = 1; i < source_count; i++)
		if (sources[i].pid == s.pid && sources[i].fd == fd && sources[i].device == s.device && sources[i].inode == s.inode)
			return i;
	if (source_count == SOURCES)
		return 0;
	sources[source_count] = s;
	return source_count++;
}

void irr_maps_add(uint64_t space, uint64_t iova, uint64_t bytes, uint64_t address, int fd, uint64_t returned)
{
	if (!bytes || iova + bytes - 1 < iova || !lock())
		return;
	struct node n = { .space = space, .iova = iova, .last = iova + bytes - 1, .address = address, .stamp = returned, .source = source_of(fd) };
	cut(space, iova, n.last, returned);
	insert(&n);
	unlock();
}

void irr_maps_copy(uint64_t to, uint64_t to_iova, uint64_t from, uint64_t from_iova, uint64_t bytes, uint64_t returned)
{
	if (!bytes || from_iova + bytes - 1 < from_iova || to_iova + bytes - 1 < to_iova || !lock())
		return;
	cut(to, to_iova, to_iova + bytes - 1, returned);
	for (uint64_t done = 0; done < bytes;) {
		uint32_t found = covering(from, from_iova + done);
		if (!found)
			break;
		struct node n = *node(found);
		uint64_t skip = from_iova + done - n.iova, length = n.last - n.iova - skip + 1;
		if (length > bytes - done || !length)
			length = bytes - done;
		n.space = to;
		n.iova = to_iova + done;
		n.last = n.iova + length - 1;
		n.address += skip;
		n.stamp = returned;
		insert(&n);
		done += length;
	}
	unlock();
}

void irr_maps_remove(uint64_t space, uint64_t iova, uint64_t last, uint64_t entered)
{
	if (!root || last < iova || !lock())
		return;
	cut(space, iova, last, entered);
	unlock();
}

void irr_maps_remove_file(uint32_t file)
{
	uint32_t l, m, r;
	if (!root || !lock())
		return;
	split(root, irr_space(file, 0), 0, &l, &m);
	split(m, irr_space(file + 1, 0), 0, &m, &r);
	release(m);
	root = merge(l, r);
	unlock();
}

/*
 * What lies behind a range, `room` pieces at most; what is not known is a piece of pid 0. `other`: an IOAS that is the same
 * one under another name. Returns the pieces.
 */
unsigned irr_maps_find(uint64_t space, uint64_t other, uint64_t iova, uint64_t bytes, struct irr_extent *to, unsigned room)
{
	unsigned count = 0;
	uint64_t done = 0;
	if (!lock())
		return 0;
	while (done < bytes && count < room) {
		uint32_t a = covering(space, iova + done), b = other == space ? 0 : covering(other, iova + done);
		if (!a || (b && node(b)->stamp > node(a)->stamp))
			a = b;
		if (!a)
			break;
		const struct node *n = node(a);
		struct irr_extent e = sources[n->source];
		uint64_t skip = iova + done - n->iova;
		e.address = n->address + skip;
		e.bytes = n->last - n->iova - skip + 1;
		if (e.bytes > bytes - done || !e.bytes)
			e.bytes = bytes - done;
		done += e.bytes;
		struct irr_extent *p = count ? &to[count - 1] : NULL;
		if (p && p->pid == e.pid && p->fd == e.fd && p->inode == e.inode && p->device == e.device && p->address + p->bytes == e.address)
			p->bytes += e.bytes;
		else
			to[count++] = e;
	}
	unlock();
	return count;
}
