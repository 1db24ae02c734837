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
