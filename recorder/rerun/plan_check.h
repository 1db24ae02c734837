/* SPDX-License-Identifier: GPL-2.0-only */
/* What the checks of a plan share (plan.c, plan_steps.c). */
#ifndef IRR_PLAN_CHECK_H
#define IRR_PLAN_CHECK_H

#include "rerun.h"

#define MOST_SHIFT 34u /* huge pages are of 16 GiB at most */
#define MOST_PROCESSES 65536u
#define MOST_THREADS 4096u
#define MOST_RECORDS (1u << 28)
#define MOST_REGION (UINT64_C(1) << 40) /* of one region, bytes: they cost nothing before they are used */
#define MOST_ADDRESS (UINT64_C(1) << 52)
#define MOST_ALIGN (UINT64_C(1) << 30)
#define MOST_STRUCT (UINT64_C(1) << 20)
#define MOST_TRANSFER (UINT64_C(16) << 20)

/* What is wrong with it, in words. */
__attribute__((format(printf, 1, 2))) const char *bad(const char *format, ...);
/* NULL: nothing is wrong with any step. */
const char *check_steps(void);

static inline uint64_t count_of(unsigned table) { return plan.head->tables[table].count; }

static inline bool inside(uint64_t first, uint64_t count, uint64_t all) { return first <= all && count <= all - first; }

#endif
