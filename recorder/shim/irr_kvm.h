/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What guests of KVM leave to the program (`record --kvm`): loads and stores that end KVM_RUN with KVM_EXIT_MMIO, stores that
 * the kernel collects (coalesced MMIO), and the calls that say what a guest's physical addresses are.
 *
 * An access is entered when KVM_RUN returns with it, and returns when KVM_RUN is called again for that vCPU, by whatever
 * thread: what the program has put into struct kvm_run by then is what the guest loads. All else that KVM_RUN does is not
 * recorded. struct kvm_run is read where the program has mapped it; without such a mapping the program sees no exit either.
 */
#ifndef IRR_KVM_H
#define IRR_KVM_H

#include <stdbool.h>
#include <stdint.h>

#define IRR_KVM_TYPE 0xaeu /* of ioctl requests */

extern bool irr_kvm; /* the recorder wants them */

void irr_kvm_start(void);
void irr_kvm_forked(void);

int irr_kvm_ioctl(int fd, unsigned long request, void *arg, int (*real)(int, unsigned long, ...));
uint32_t irr_kvm_argument(unsigned long request);

/* What the program does with mappings of vCPUs, after it was done. */
void irr_kvm_mapped(uintptr_t at, size_t length, int prot, uint64_t offset, uint64_t known);
void irr_kvm_unmapped(uintptr_t from, uintptr_t to);
void irr_kvm_mremapped(uintptr_t from, size_t old, uintptr_t to, size_t length, bool keeps);
void irr_kvm_protected(uintptr_t from, uintptr_t to, int prot);

/* A descriptor of it was closed. */
void irr_kvm_closed(uint64_t known);

#endif
