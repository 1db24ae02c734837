/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads and stores of the program through its mappings of iommufd and VFIO regions (`record --mmio`).
 *
 * Such a region is mapped twice. What the program has, at the address it was given, cannot be accessed; beside it is an
 * alias, with the rights that the program asked for. An access of the program faults, the shim makes it once on the alias,
 * with the instruction's own width, notes it, and lets the program go on behind the instruction.
 *
 *   irr_mmio.c                      the regions, and how an access is noted
 *   irr_raw.c                       the accesses themselves, which may fault
 *   irr_fault.c                     the signals: ours, and the program's own beside them
 *   irr_mmio_x86.c, irr_mmio_arm.c  instructions
 */
#ifndef IRR_MMIO_H
#define IRR_MMIO_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "irr.h"

extern bool irr_mmio; /* the recorder wants them, and this process can */

void irr_mmio_start(void);

/* ---- regions (irr_mmio.c) ---- */

struct irr_region {
	uintptr_t from, to; /* what the program has */
	uintptr_t alias;    /* where `from` can be accessed */
	uint64_t offset;    /* of `from` in the file */
	uint64_t known;     /* enum irr_file << 32 | file */
	int prot;           /* as it was mapped */
};

uintptr_t irr_mmio_mapped(uintptr_t at, size_t length, int prot, int flags, int fd, uint64_t offset, uint64_t known);
void irr_mmio_unmapped(uintptr_t from, uintptr_t to);
void irr_mmio_mremapped(uintptr_t from, size_t old, uintptr_t to, size_t length, bool keeps);
bool irr_mmio_protected(uintptr_t from, size_t length, int prot, int *ret);
bool irr_mmio_find(uintptr_t address, struct irr_region *region);
void irr_mmio_release(const struct irr_region *region, uintptr_t address);
uintptr_t irr_mmio_alias(uintptr_t from, size_t length);
int irr_mmio_ioctl(int fd, unsigned long request, ...);

/* ---- an access, noted ---- */

struct irr_access {
	struct irr_call call;
	uint64_t known, offset; /* of a store: where it goes; known 0 otherwise */
	unsigned width;
};

void irr_access_begin(struct irr_access *a, const struct irr_region *region, uintptr_t address, unsigned width, unsigned how, unsigned flags,
		      uintptr_t ip, const void *stored);
void irr_access_stored(struct irr_access *a, unsigned width, const void *stored);
void irr_access_end(struct irr_access *a, unsigned width, const void *loaded, bool failed);

bool irr_access_make(const struct irr_region *region, uintptr_t address, unsigned width, unsigned how, unsigned flags, uintptr_t ip,
		     unsigned (*raw)(uintptr_t, void *), void *data, const void *stored);
void irr_access_own_address(const struct irr_region *region, siginfo_t *info);
void irr_access_refused(const struct irr_region *region, siginfo_t *info);

/* ---- accesses that may fault (irr_raw.c) ---- */

/* 1 when it was made; 0: it faulted, and irr_mmio_thread says how. `data` has the bytes that go there or come from there. */
typedef unsigned irr_raw_fn(uintptr_t device, void *data);

struct irr_mmio_thread {
	siginfo_t failed; /* the fault of the latest access that faulted */
	struct {          /* an instruction that the processor makes itself, between two of our signals */
		bool active, traced, viewed;
		uint8_t swap;
		uint64_t swapped;
		uintptr_t ip, shifted; /* shifted: by how much its address was */
		sigset_t mask;
		struct irr_region region;
		uintptr_t address;
		uint8_t width, writes, buffered, how;
		struct irr_access access;
	} step;
	uintptr_t exclusive;  /* aarch64: where an exclusive load was made, and how often in a row */
	uint32_t exclusives;
	uint64_t *running; /* registers of an instruction that is made elsewhere */
	uint32_t blocked; /* of our signals, those that the program believes to be blocked */
	_Alignas(64) uint8_t buffer[128];
};

extern __thread struct irr_mmio_thread irr_mmio_thread __attribute__((tls_model("initial-exec")));

irr_raw_fn *irr_raw_load(unsigned width);
irr_raw_fn *irr_raw_store(unsigned width);
bool irr_raw_faulted(const siginfo_t *info, ucontext_t *context);

/* ---- instructions ---- */

enum irr_trap {
	IRR_TRAP_DONE,    /* the program goes on */
	IRR_TRAP_PROGRAM, /* the program's own fault: `info` says which */
};

bool irr_insn_start(void);
bool irr_run_faulted(ucontext_t *context);
enum irr_trap irr_insn_trap(const struct irr_region *region, siginfo_t *info, ucontext_t *context);
bool irr_insn_stepped(siginfo_t *info, ucontext_t *context, enum irr_trap *how);
void irr_insn_abort(siginfo_t *info, ucontext_t *context);

/* ---- signals (irr_fault.c) ---- */

bool irr_fault_start(void);

#endif
