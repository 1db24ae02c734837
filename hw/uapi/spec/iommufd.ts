/**
 * The ioctls of an iommufd, as in Linux 7.2 (include/uapi/linux/iommufd.h). One row per command, one per field in memory
 * order. Every struct begins with `size`, the length that the caller knows: shorter than `min` is EINVAL, longer than the
 * kernel's struct must end in zeros (else E2BIG), and what lies between reads as zero. On success the kernel writes the
 * whole struct back, inputs too.
 */
import type { CommandRow, FieldRow } from '../types.ts';

/** `size`: bytes of the struct that the caller fills. */
const size = { name: 'size', type: 'u32', dir: 'in' } as const satisfies FieldRow;
const reserved = { name: '__reserved', type: 'u32', dir: 'in', zero: true } as const satisfies FieldRow;
/** `flags` of a command that has none yet. */
const noFlags = { name: 'flags', type: 'u32', dir: 'in', zero: true, format: 'hex' } as const satisfies FieldRow;

export const iommufdCommands = {
  IOMMU_DESTROY: {
    nr: 0x80,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_destroy',
    min: 'id',
    note: 'destroys one object',
    fields: [size, { name: 'id', type: 'u32', dir: 'in', ref: ['ANY'], destroys: true }],
  },

  IOMMU_IOAS_ALLOC: {
    nr: 0x81,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_ioas_alloc',
    min: 'out_ioas_id',
    note: 'makes an address space: a set of IOVA areas that page tables can be filled from',
    fields: [size, noFlags, { name: 'out_ioas_id', type: 'u32', dir: 'out', creates: ['IOAS'] }],
  },

  IOMMU_IOAS_ALLOW_IOVAS: {
    nr: 0x82,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_ioas_allow_iovas',
    min: 'allowed_iovas',
    note: 'restricts where the kernel may choose IOVAs; 0 ranges lift the restriction',
    fields: [
      size,
      { name: 'ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'] },
      { name: 'num_iovas', type: 'u32', dir: 'in' },
      reserved,
      {
        name: 'allowed_iovas',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'in', of: 'struct', struct: 'iommu_iova_range', length: { rule: 'field', field: 'num_iovas', times: 16 } },
      },
    ],
  },

  IOMMU_IOAS_COPY: {
    nr: 0x83,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_ioas_copy',
    min: 'src_iova',
    note: 'maps a range of one IOAS into another, same pages',
    fields: [
      size,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommufd_ioas_map_flags' },
      { name: 'dst_ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'] },
      { name: 'src_ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'] },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
      { name: 'dst_iova', type: 'u64', dir: 'inout', note: 'input when FIXED_IOVA, always written on success' },
      { name: 'src_iova', type: 'u64', dir: 'in' },
    ],
  },

  IOMMU_IOAS_IOVA_RANGES: {
    nr: 0x84,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_ioas_iova_ranges',
    min: 'out_iova_alignment',
    note: 'which IOVAs can be used; EMSGSIZE when there are more ranges than room, and then num_iovas says how many',
    fields: [
      size,
      { name: 'ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'] },
      { name: 'num_iovas', type: 'u32', dir: 'inout', note: 'in: room, out: number of ranges, also with EMSGSIZE' },
      reserved,
      {
        name: 'allowed_iovas',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'out', of: 'struct', struct: 'iommu_iova_range', length: { rule: 'field', field: 'num_iovas', times: 16 } },
      },
      { name: 'out_iova_alignment', type: 'u64', dir: 'out', note: 'bytes' },
    ],
  },

  IOMMU_IOAS_MAP: {
    nr: 0x85,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_ioas_map',
    min: 'iova',
    note: 'maps user memory, at the IOVA given (FIXED_IOVA) or at one the kernel chooses',
    fields: [
      size,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommufd_ioas_map_flags' },
      { name: 'ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'] },
      reserved,
      {
        name: 'user_va',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'mapped', of: 'memory', length: { rule: 'field', field: 'length', times: 1 } },
      },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
      { name: 'iova', type: 'u64', dir: 'inout', note: 'input when FIXED_IOVA, always written on success' },
    ],
  },

  IOMMU_IOAS_UNMAP: {
    nr: 0x86,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_ioas_unmap',
    min: 'length',
    note: 'unmaps whole areas in a range; iova 0 with length 2^64-1 unmaps everything',
    fields: [
      size,
      { name: 'ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'] },
      { name: 'iova', type: 'u64', dir: 'in' },
      { name: 'length', type: 'u64', dir: 'inout', note: 'out: bytes unmapped, only on success' },
    ],
  },

  IOMMU_OPTION: {
    nr: 0x87,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_option',
    min: 'val64',
    note: 'reads or sets one option of an object or of the whole context',
    fields: [
      size,
      { name: 'option_id', type: 'u32', dir: 'in', enum: 'iommufd_option' },
      { name: 'op', type: 'u16', dir: 'in', enum: 'iommufd_option_ops' },
      { name: '__reserved', type: 'u16', dir: 'in', zero: true },
      { name: 'object_id', type: 'u32', dir: 'in', ref: ['IOAS'], note: '0 for RLIMIT_MODE' },
      { name: 'val64', type: 'u64', dir: 'inout', format: 'dec', note: 'written back on success for GET and SET' },
    ],
  },

  IOMMU_VFIO_IOAS: {
    nr: 0x88,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_vfio_ioas',
    min: '__reserved',
    note: 'the IOAS that the emulation of VFIO containers works on',
    fields: [
      size,
      { name: 'ioas_id', type: 'u32', dir: 'inout', ref: ['IOAS'], note: 'in for SET, out for GET' },
      { name: 'op', type: 'u16', dir: 'in', enum: 'iommufd_vfio_ioas_op' },
      { name: '__reserved', type: 'u16', dir: 'in', zero: true },
    ],
  },

  IOMMU_HWPT_ALLOC: {
    nr: 0x89,
    target: 'iommufd',
    since: '6.6',
    struct: 'iommu_hwpt_alloc',
    min: '__reserved',
    note: 'makes a hardware page table: paging on an IOAS; nested on a nesting parent or a vIOMMU',
    fields: [
      size,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommufd_hwpt_alloc_flags' },
      { name: 'dev_id', type: 'u32', dir: 'in', ref: ['DEVICE'] },
      { name: 'pt_id', type: 'u32', dir: 'in', ref: ['IOAS', 'HWPT_PAGING', 'VIOMMU'] },
      { name: 'out_hwpt_id', type: 'u32', dir: 'out', creates: ['HWPT_PAGING', 'HWPT_NESTED'] },
      reserved,
      { name: 'data_type', type: 'u32', dir: 'in', enum: 'iommu_hwpt_data_type', since: '6.7' },
      { name: 'data_len', type: 'u32', dir: 'in', since: '6.7', note: 'bytes' },
      {
        name: 'data_uptr',
        type: 'u64',
        dir: 'in',
        since: '6.7',
        nested: { dir: 'in', of: 'payload', length: { rule: 'field', field: 'data_len', times: 1 } },
      },
      { name: 'fault_id', type: 'u32', dir: 'in', ref: ['FAULT'], since: '6.11', note: 'only with FAULT_ID_VALID' },
      { name: '__reserved2', type: 'u32', dir: 'in', pad: true, since: '6.11', note: 'documented 0; kernel does not check' },
    ],
  },

  IOMMU_GET_HW_INFO: {
    nr: 0x8a,
    target: 'iommufd',
    since: '6.6',
    struct: 'iommu_hw_info',
    min: '__reserved',
    note: 'what the IOMMU of a device can do; the kernel zeroes the rest of a longer buffer',
    fields: [
      size,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommufd_hw_info_flags' },
      { name: 'dev_id', type: 'u32', dir: 'in', ref: ['DEVICE'] },
      { name: 'data_len', type: 'u32', dir: 'inout', note: 'bytes; in: room, out: what the kernel has, may be more' },
      {
        name: 'data_uptr',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'out', of: 'payload', length: { rule: 'field', field: 'data_len', times: 1 } },
      },
      {
        name: 'in_data_type',
        type: 'u32',
        dir: 'in',
        enum: 'iommu_hw_info_type',
        union: 'u0',
        since: '6.17',
        note: 'only with INPUT_TYPE flag',
      },
      { name: 'out_data_type', type: 'u32', dir: 'out', enum: 'iommu_hw_info_type', union: 'u0' },
      { name: 'out_max_pasid_log2', type: 'u8', dir: 'out', since: '6.15 (also stable backports)', note: 'PASID bits, 0 = none' },
      { name: '__reserved', type: 'u8', count: 3, dir: 'in', zero: true },
      { name: 'out_capabilities', type: 'u64', dir: 'out', flags: 'iommufd_hw_capabilities', since: '6.7' },
    ],
  },

  IOMMU_HWPT_SET_DIRTY_TRACKING: {
    nr: 0x8b,
    target: 'iommufd',
    since: '6.7',
    struct: 'iommu_hwpt_set_dirty_tracking',
    min: '__reserved',
    note: 'starts (ENABLE) or stops dirty tracking',
    fields: [
      size,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommufd_hwpt_set_dirty_tracking_flags' },
      { name: 'hwpt_id', type: 'u32', dir: 'in', ref: ['HWPT_PAGING'] },
      { name: '__reserved', type: 'u32', dir: 'in', pad: true, note: 'documented 0; kernel does not check' },
    ],
  },

  IOMMU_HWPT_GET_DIRTY_BITMAP: {
    nr: 0x8c,
    target: 'iommufd',
    since: '6.7',
    struct: 'iommu_hwpt_get_dirty_bitmap',
    min: 'data',
    note: 'ORs the dirty bits of a range into a bitmap, bit i = page i from iova, and clears them in the page table',
    fields: [
      size,
      { name: 'hwpt_id', type: 'u32', dir: 'in', ref: ['HWPT_PAGING'] },
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommufd_hwpt_get_dirty_bitmap_flags' },
      reserved,
      { name: 'iova', type: 'u64', dir: 'in' },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
      { name: 'page_size', type: 'u64', dir: 'in', note: 'bytes per bit' },
      {
        name: 'data',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'inout', of: 'bitmap', length: { rule: 'bitmap', length: 'length', page: 'page_size' } },
      },
    ],
  },

  IOMMU_HWPT_INVALIDATE: {
    nr: 0x8d,
    target: 'iommufd',
    since: '6.8',
    struct: 'iommu_hwpt_invalidate',
    min: '__reserved',
    note: 'invalidates caches of a nested page table or a vIOMMU, entry by entry',
    fields: [
      size,
      { name: 'hwpt_id', type: 'u32', dir: 'in', ref: ['HWPT_NESTED', 'VIOMMU'] },
      {
        name: 'data_uptr',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'in', of: 'entries', entry: 'entry_len', length: { rule: 'product', a: 'entry_len', b: 'entry_num' } },
      },
      { name: 'data_type', type: 'u32', dir: 'in', enum: 'iommu_hwpt_invalidate_data_type', note: 'there is no "none": 0 is VTD_S1' },
      { name: 'entry_len', type: 'u32', dir: 'in', note: 'bytes' },
      { name: 'entry_num', type: 'u32', dir: 'inout', note: 'out: entries handled, written even on failure' },
      reserved,
    ],
  },

  IOMMU_FAULT_QUEUE_ALLOC: {
    nr: 0x8e,
    target: 'iommufd',
    since: '6.11',
    struct: 'iommu_fault_alloc',
    min: 'out_fault_fd',
    note: 'makes a queue of I/O page faults and a file to read them from and answer them on',
    fields: [
      size,
      noFlags,
      { name: 'out_fault_id', type: 'u32', dir: 'out', creates: ['FAULT'] },
      { name: 'out_fault_fd', type: 'u32', dir: 'out', fd: 'FAULT' },
    ],
  },

  IOMMU_IOAS_MAP_FILE: {
    nr: 0x8f,
    target: 'iommufd',
    since: '6.13',
    struct: 'iommu_ioas_map_file',
    min: 'iova',
    note: 'maps part of a memfd or a dma-buf',
    fields: [
      size,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommufd_ioas_map_flags' },
      { name: 'ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'] },
      { name: 'fd', type: 's32', dir: 'in', fd: 'FILE', note: 'memfd or VFIO dma-buf' },
      { name: 'start', type: 'u64', dir: 'in', note: 'byte offset in the file' },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
      { name: 'iova', type: 'u64', dir: 'inout', note: 'input when FIXED_IOVA, always written on success' },
    ],
  },

  IOMMU_VIOMMU_ALLOC: {
    nr: 0x90,
    target: 'iommufd',
    since: '6.13',
    struct: 'iommu_viommu_alloc',
    min: 'out_viommu_id',
    note: 'makes a virtual IOMMU: a slice of the physical one, on a nesting parent',
    fields: [
      size,
      noFlags,
      { name: 'type', type: 'u32', dir: 'in', enum: 'iommu_viommu_type' },
      { name: 'dev_id', type: 'u32', dir: 'in', ref: ['DEVICE'] },
      { name: 'hwpt_id', type: 'u32', dir: 'in', ref: ['HWPT_PAGING'], note: 'a nesting parent' },
      { name: 'out_viommu_id', type: 'u32', dir: 'out', creates: ['VIOMMU'] },
      { name: 'data_len', type: 'u32', dir: 'in', since: '6.17', note: 'bytes' },
      { name: '__reserved', type: 'u32', dir: 'in', pad: true, since: '6.17', note: 'documented 0; kernel does not check' },
      {
        name: 'data_uptr',
        type: 'u64',
        dir: 'in',
        since: '6.17',
        nested: { dir: 'inout', of: 'payload', length: { rule: 'field', field: 'data_len', times: 1 } },
      },
    ],
  },

  IOMMU_VDEVICE_ALLOC: {
    nr: 0x91,
    target: 'iommufd',
    since: '6.13',
    struct: 'iommu_vdevice_alloc',
    min: 'virt_id',
    note: 'gives a device its identity in the guest',
    fields: [
      size,
      { name: 'viommu_id', type: 'u32', dir: 'in', ref: ['VIOMMU'] },
      { name: 'dev_id', type: 'u32', dir: 'in', ref: ['DEVICE'] },
      { name: 'out_vdevice_id', type: 'u32', dir: 'out', creates: ['VDEVICE'] },
      { name: 'virt_id', type: 'u64', dir: 'in', note: 'vSID (SMMUv3), vDeviceID (AMD), vRID (VT-d)' },
    ],
  },

  IOMMU_IOAS_CHANGE_PROCESS: {
    nr: 0x92,
    target: 'iommufd',
    since: '6.13',
    struct: 'iommu_ioas_change_process',
    min: '__reserved',
    note: "moves the accounting of MAP_FILE'd memory to the calling process",
    fields: [size, reserved],
  },

  IOMMU_VEVENTQ_ALLOC: {
    nr: 0x93,
    target: 'iommufd',
    since: '6.15',
    struct: 'iommu_veventq_alloc',
    min: 'out_veventq_fd',
    note: 'makes a queue of events of a vIOMMU and a file to read them from',
    fields: [
      size,
      noFlags,
      { name: 'viommu_id', type: 'u32', dir: 'in', ref: ['VIOMMU'] },
      { name: 'type', type: 'u32', dir: 'in', enum: 'iommu_veventq_type' },
      { name: 'veventq_depth', type: 'u32', dir: 'in', note: 'events' },
      { name: 'out_veventq_id', type: 'u32', dir: 'out', creates: ['VEVENTQ'] },
      { name: 'out_veventq_fd', type: 'u32', dir: 'out', fd: 'VEVENTQ' },
      reserved,
    ],
  },

  IOMMU_HW_QUEUE_ALLOC: {
    nr: 0x94,
    target: 'iommufd',
    since: '6.17',
    struct: 'iommu_hw_queue_alloc',
    min: 'length',
    note: 'gives a queue in guest memory to the hardware',
    fields: [
      size,
      noFlags,
      { name: 'viommu_id', type: 'u32', dir: 'in', ref: ['VIOMMU'] },
      { name: 'type', type: 'u32', dir: 'in', enum: 'iommu_hw_queue_type' },
      { name: 'index', type: 'u32', dir: 'in', note: 'LVCMDQ number' },
      { name: 'out_hw_queue_id', type: 'u32', dir: 'out', creates: ['HW_QUEUE'] },
      { name: 'nesting_parent_iova', type: 'u64', dir: 'in', note: 'guest-physical address of the queue' },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
    ],
  },
} as const satisfies Record<string, CommandRow>;
