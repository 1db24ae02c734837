/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef IRR_IOCTL_H
#define IRR_IOCTL_H

void irr_ioctl_init(void);
int irr_ioctl(int fd, unsigned long request, void *arg, int (*real)(int, unsigned long, ...));

#endif
