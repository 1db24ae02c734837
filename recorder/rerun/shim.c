/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The capture library's own code records what this program does (the spool, ioctls, which descriptor is which file). Of what
 * else belongs to it there is only what that code asks for: here nobody's functions are replaced.
 */
#include "irr.h"
#include "irr_kvm.h"
#include "irr_model.h"
#include "irr_queue.h"

static struct irr_self self;

_Atomic int irr_phase = IRR_READY;
struct irr_self *irr_self = &self;
__thread struct irr_thread irr_thread;
_Atomic bool irr_confined;
bool irr_kvm;
struct irr_model *irr_model;
struct irr_hw_queue *irr_hw_queues;

void irr_start(void) {}
void irr_forked(void) {}

uint32_t irr_kvm_argument(unsigned long request)
{
	(void)request;
	return 0;
}

void irr_kvm_closed(uint64_t known) { (void)known; }

uint64_t irr_model_known(uint64_t device, uint64_t inode)
{
	(void)device, (void)inode;
	return 0;
}

void irr_queue_destroying(uint64_t known, const void *arg) { (void)known, (void)arg; }
void irr_queue_called(unsigned long request, const struct irr_called *call) { (void)request, (void)call; }

/* A numeric field of /proc/self/stat, numbered as proc(5) does. */
uint64_t irr_stat_field(int wanted)
{
	char text[1024];
	long fd = irr_sys(SYS_openat, -100 /* AT_FDCWD */, (long)"/proc/self/stat", 0, 0, 0, 0);
	long n = fd < 0 ? -1 : irr_sys(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
	if (fd >= 0)
		irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	if (n <= 0)
		return 0;
	text[n] = 0;
	const char *p = strrchr(text, ')');
	for (int field = 2; p && field < wanted; field++)
		p = strchr(p + 1, ' ');
	uint64_t v = 0;
	for (p = p ? p + 1 : ""; *p >= '0' && *p <= '9'; p++)
		v = 10 * v + (uint64_t)(*p - '0');
	return v;
}
