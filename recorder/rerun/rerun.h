/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the program that issues a plan share. */
#ifndef IRR_RERUN_H
#define IRR_RERUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "irr_plan.h"

#define PROGRAM "irr-rerun"
#define PAGE UINT64_C(4096)
#define HIGH_FD 900 /* from here on lie descriptors of our own, out of the way of the plan's */

/* ---- the plan (plan.c) ---- */

/* Its tables, all of whose numbers have been checked. */
struct plan {
	const struct irr_plan *head;
	const struct irr_plan_process *processes;
	const struct irr_plan_symbol *symbols;
	const struct irr_plan_region *regions;
	const struct irr_plan_hole *holes;
	const struct irr_plan_step *steps;
	const struct irr_plan_part *parts;
	const struct irr_plan_use *uses;
	const struct irr_plan_define *defines;
	const uint32_t *overlaps;
	const uint32_t *ends;
	const struct irr_plan_memory *memories;
	const uint8_t *data;
	unsigned does; /* enum irr_plan_flag, by what its steps are and not by what it says of itself */
	bool needs_iommufd; /* it opens /dev/iommu, which passed in the recording */
	uint32_t n_processes, n_symbols, n_regions, n_steps;
};

extern struct plan plan;

/* Maps and checks it. NULL, or what is wrong with it in words. */
const char *plan_load(const char *path);
const struct irr_plan_part *plan_part(const struct irr_plan_step *s, unsigned kind, int slot);
const char *kind_name(unsigned kind);
/* Another limit than the plan says, milliseconds. */
void plan_limit(uint32_t ms);

/* ---- what all processes share (turns.c) ---- */

#define FLIGHTS 64u

/* A call that has been entered and has not returned. */
struct flight {
	_Atomic uint32_t step; /* index + 1; 0 free */
	_Atomic uint32_t pid, tid;
	_Atomic uint64_t since; /* CLOCK_MONOTONIC, nanoseconds */
};

struct shared {
	uint32_t watcher; /* the process whose descriptor `fd` this memory is */
	int32_t fd;
	_Atomic uint32_t turn;    /* the step that may be entered next */
	_Atomic uint32_t changes; /* what threads wait on */
	_Atomic uint32_t waiters;
	_Atomic uint32_t given_up;
	_Atomic uint32_t log_asked, log_done; /* calls that are to be in the log, and that are */
	_Atomic uint32_t issued, skipped, differ, first_differ; /* first_differ: index + 1 */
	_Atomic uint32_t small; /* ranges and files that were of huge pages and are not here */
	_Atomic int32_t first_error;
	struct flight flight[FLIGHTS];
};

extern struct shared *shared;

/* What lies behind it. */
struct tables {
	_Atomic uint32_t *pid;   /* by process; 0 not there yet */
	_Atomic uint64_t *value; /* by symbol */
	_Atomic uint8_t *live;   /* by symbol: a step has made it and none has ended it */
	int32_t *receiver;       /* by symbol of a socket: the other end; -1 none */
};

extern struct tables tables;

bool shared_make(void);
/* The same memory, in an image that a process of it has executed. */
bool shared_attach(uint32_t watcher, int fd);
void turn_executed(void);
struct flight *turn_enter(uint32_t step);
void turn_leave(struct flight *f);
bool turns_done(void);
bool process_gone(uint32_t pid);
void wait_for_end(void);
uint64_t now_ns(void);

/* ---- memory (memory.c) ---- */

uint64_t region_address(uint32_t region);
void regions_of_image(uint32_t image);
/* Makes memory as it is to be before a call; and reachable again after it. */
void memory_before(const struct irr_plan_step *s);
void memory_after(const struct irr_plan_step *s);
void mapped_add(uint64_t from, uint64_t bytes, uint64_t known);
uint64_t mapped_known(uint64_t from, uint64_t bytes);
void mapped_remove(uint64_t from, uint64_t bytes);
bool mapped_has(uint64_t from, uint64_t bytes);
/* Memory for an argument: `bytes` and then, where `fault`, nothing at all. Good until the thread asks again for the same `which`. */
uint8_t *scratch(unsigned which, uint64_t bytes, bool fault);
/* Stores that can not fault. Returns the bytes stored. */
size_t store(uint64_t to, const void *from, size_t bytes);
bool load(void *to, uint64_t from, size_t bytes);

/* ---- symbols (values.c) ---- */

uint64_t use_value(const struct irr_plan_use *u);
bool define(const struct irr_plan_step *s, unsigned in, unsigned part, const void *bytes, uint64_t count);
void ended(const struct irr_plan_step *s);
void foreign_files(uint32_t process, bool sockets);

/* ---- a log that survives the machine (durable.c) ---- */

/* Makes the log, which must not be there yet, and the spool. NULL, or what is wrong with it in words. */
const char *durable_make(const char *path);
/* Returns when the call that has been entered is in the log. */
void durable_before_call(void);
/* The watcher writes what was asked for; where nothing was it waits so long. false: the log cannot be written, as was said. */
bool durable_serve(long ns);
/* All that there is. */
bool durable_finish(void);

/* ---- watching (watch.c) ---- */

/* "event 63: ioctl 0x3b90" */
const char *step_name(uint32_t index);
/* Waits for the end. Returns the exit status. */
int watch(void);
void kill_all(void);
/* Says how it ended. Returns the exit status. */
int told(int status);

/* ---- issuing (main.c, calls.c) ---- */

struct options {
	bool durable, verbose, mmio;
	const char *spool, *plan;
	const char *log; /* of the watcher: what the spool is copied to */
};
extern struct options options;

enum { DONE = 0, DIFFERS = 1, WRONG = 2, HUNG = 3 };

void process_run(uint32_t process);
/* Becomes another image of this program, which goes on behind a step. Returns an errno, negative. */
long execute(uint32_t process, uint32_t step);
/* The call is about to be made: what is to survive it is written. */
void before_call(const struct irr_plan_step *s);
void issue(uint32_t index, struct flight *f);

#endif
