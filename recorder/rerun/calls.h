/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kinds of steps share. */
#ifndef IRR_CALLS_H
#define IRR_CALLS_H

#include "irr.h"
#include "rerun.h"

#define WORDS 8u

/* The call under way in this thread. */
struct call {
	const struct irr_plan_step *step;
	uint32_t index;
	int fd;
	uint64_t known;        /* what the descriptor is, as the recorder knows it */
	uint64_t word[WORDS];  /* ARGS, with the numbers of this run */
	unsigned words;
	int64_t ret;
	int error;
};

/* ---- what is asked (calls.c) ---- */

/* Puts the numbers of this run into a part's bytes. */
void relocate(const struct irr_plan_step *s, const struct irr_plan_part *p, uint8_t *bytes);
/* Is a word of ARGS a symbol's? */
bool uses_word(const struct irr_plan_step *s, unsigned word);

/* ---- frames (calls.c) ---- */

bool frame_begin(struct irr_call *f, const struct call *c, uint32_t more);
void frame_part(struct irr_call *f, enum irr_part_kind kind, unsigned slot, const void *bytes, uint64_t count, uint64_t wanted);
void frame_texts(struct irr_call *f, const struct irr_plan_step *s);
uint32_t frame_texts_room(const struct irr_plan_step *s);
void frame_enter(struct irr_call *f, const struct call *c);
void frame_leave(struct irr_call *f, struct call *c, long ret);

/* ---- the kinds; false: it could not be issued ---- */

bool ioctl_call(struct call *c);
bool open_call(struct call *c);
bool close_call(struct call *c);
bool dup_call(struct call *c);
bool mmap_call(struct call *c);
bool munmap_call(struct call *c);
bool mremap_call(struct call *c);
bool read_call(struct call *c);
bool write_call(struct call *c);
bool send_call(struct call *c);
bool found_step(struct call *c);
bool start_step(struct call *c);
bool fork_call(struct call *c);
bool exit_call(struct call *c);
bool exec_call(struct call *c);
bool mmio_step(struct call *c);

#endif
