/**
 * The few calls of KVM that a recording has: they say which VM a vCPU is of, and what a guest's physical addresses are
 * (include/uapi/linux/kvm.h). Their requests carry direction and size, so each is written whole; shims copy them by a table of
 * their own (recorder/shim/irr_kvm.c).
 */
import type { EnumRow, KvmCommandRow } from '../types.ts';

const memory = [
  { name: 'slot', type: 'u32', dir: 'in', note: 'bits 31:16 the address space' },
  { name: 'flags', type: 'u32', dir: 'in', flags: 'kvm_mem_flags' },
  { name: 'guest_phys_addr', type: 'u64', dir: 'in' },
  { name: 'memory_size', type: 'u64', dir: 'in', note: 'bytes; 0 removes the slot' },
  { name: 'userspace_addr', type: 'u64', dir: 'in' },
] as const;

const zone = [
  { name: 'addr', type: 'u64', dir: 'in', note: 'of the guest' },
  { name: 'size', type: 'u32', dir: 'in', note: 'bytes' },
  { name: 'pio', type: 'u32', dir: 'in', pad: true },
] as const;

export const kvmCommands: Readonly<Record<string, KvmCommandRow>> = {
  KVM_GET_VCPU_MMAP_SIZE: { request: 0xae04, target: 'kvm', arg: 'none', note: 'how much of a vCPU is mapped' },
  KVM_CREATE_VM: { request: 0xae01, target: 'kvm', arg: 'int', note: 'type of the machine; a descriptor of the VM comes back' },
  KVM_CREATE_VCPU: { request: 0xae41, target: 'kvm-vm', arg: 'int', note: 'its number; a descriptor of the vCPU comes back' },
  KVM_SET_USER_MEMORY_REGION: {
    request: 0x4020ae46,
    target: 'kvm-vm',
    struct: 'kvm_userspace_memory_region',
    note: 'what a guest has at some physical addresses',
    fields: memory,
  },
  KVM_SET_USER_MEMORY_REGION2: {
    request: 0x40a0ae49,
    target: 'kvm-vm',
    struct: 'kvm_userspace_memory_region2',
    note: 'the same, with private memory',
    fields: [
      ...memory,
      { name: 'guest_memfd_offset', type: 'u64', dir: 'in', note: 'bytes' },
      { name: 'guest_memfd', type: 'u32', dir: 'in' },
      { name: 'pad1', type: 'u32', dir: 'in', pad: true },
      { name: 'pad2', type: 'u64', count: 14, dir: 'in', pad: true },
    ],
  },
  KVM_REGISTER_COALESCED_MMIO: {
    request: 0x4010ae67,
    target: 'kvm-vm',
    struct: 'kvm_coalesced_mmio_zone',
    note: 'stores there do not come to the program one by one',
    fields: zone,
  },
  KVM_UNREGISTER_COALESCED_MMIO: {
    request: 0x4010ae68,
    target: 'kvm-vm',
    struct: 'kvm_coalesced_mmio_zone',
    note: 'stores there come one by one again',
    fields: zone,
  },
  KVM_IOEVENTFD: {
    request: 0x4040ae79,
    target: 'kvm-vm',
    struct: 'kvm_ioeventfd',
    note: 'stores there raise an eventfd instead of coming to the program',
    fields: [
      { name: 'datamatch', type: 'u64', dir: 'in' },
      { name: 'addr', type: 'u64', dir: 'in', note: 'of the guest' },
      { name: 'len', type: 'u32', dir: 'in', note: 'bytes; 0 any' },
      { name: 'fd', type: 's32', dir: 'in', fd: 'EVENTFD' },
      { name: 'flags', type: 'u32', dir: 'in', flags: 'kvm_ioeventfd_flags' },
      { name: 'pad', type: 'u8', count: 36, dir: 'in', pad: true },
    ],
  },
};

export const kvmEnums: Readonly<Record<string, EnumRow>> = {
  kvm_mem_flags: {
    kind: 'flags',
    prefix: 'KVM_MEM_',
    members: { KVM_MEM_LOG_DIRTY_PAGES: 1, KVM_MEM_READONLY: 2, KVM_MEM_GUEST_MEMFD: 4 },
  },
  kvm_ioeventfd_flags: {
    kind: 'flags',
    prefix: 'KVM_IOEVENTFD_FLAG_',
    members: {
      KVM_IOEVENTFD_FLAG_DATAMATCH: 1,
      KVM_IOEVENTFD_FLAG_PIO: 2,
      KVM_IOEVENTFD_FLAG_DEASSIGN: 4,
      KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY: 8,
    },
  },
};
