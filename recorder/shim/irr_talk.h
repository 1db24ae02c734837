/* SPDX-License-Identifier: GPL-2.0-only */
/* The conversation with the model, for the parts of the shim that have something to ask (irr_talk.c). */
#ifndef IRR_TALK_H
#define IRR_TALK_H

#include "irr.h"
#include "irr_model.h"

extern size_t irr_talk_folder_bytes; /* of the folder's path */
extern uint64_t irr_talk_device;     /* st_dev of the folder */

/* Most bytes of the program's memory that go along with a call. */
#define IRR_TALK_DATA_MAX (IRR_MODEL_ANSWER - IRR_MODEL_DATA)

/* Bytes of a path in the folder. Its users have it on the stack, of which a signal handler may have very little. */
#define IRR_TALK_PATH (irr_talk_folder_bytes + 40)

/* A call, from begin to end. */
struct irr_talk {
	struct irr_model_place *place;
	uint32_t number;
	int ask, answer;
	uint32_t bytes; /* of the data that are used */
};

static inline uint8_t *irr_talk_data(struct irr_talk *t) { return (uint8_t *)t->place + IRR_MODEL_DATA; }
static inline struct irr_model_answer *irr_talk_answer(struct irr_talk *t) { return (struct irr_model_answer *)((uint8_t *)t->place + IRR_MODEL_ANSWER); }

/* Under a filter of the program's own only what it wants of the model itself is asked: the rest the recorder finds out by looking. */
static inline bool irr_talk_confined(void) { return atomic_load_explicit(&irr_confined, memory_order_relaxed); }

void irr_talk_path(char *to, const char *name, int64_t number);
int irr_talk_open(const char *name, int64_t number, int flags);
void irr_talk_shut(int fd);
void irr_talk_tell(enum irr_model_word word, uint32_t file, uint64_t a, uint64_t b);
bool irr_talk_begin(struct irr_talk *t, enum irr_model_op op, int fd, uint64_t known);
uint32_t irr_talk_bring(struct irr_talk *t, uint32_t field, const void *from, uint64_t wanted);
bool irr_talk_put(void *to, const void *from, size_t bytes);
bool irr_talk_make(struct irr_talk *t);
void irr_talk_end(struct irr_talk *t);

/* Of irr_model_files.c: an open file that a call may bring, and one that it did not. */
int irr_model_new_file(uint64_t known, int flags);
void irr_model_drop_file(int fd, uint64_t known);

#endif
