/**
 * What user pointers of iommufd's commands point to, which struct goes with which type, and the records of its event files
 * (include/uapi/linux/iommufd.h, drivers/iommu/iommufd/iommufd_test.h of Linux 7.2). A single struct that is passed by type
 * and length may be longer neither than the kernel's (EINVAL, also where the tail is zero) nor shorter than its first form.
 */
import type { FieldRow, PayloadRow, RecordRow, StructRow } from '../types.ts';

const flags0 = { name: 'flags', type: 'u32', dir: 'out', format: 'hex', note: 'always 0' } as const satisfies FieldRow;
const reg = { type: 'u32', dir: 'out', format: 'hex' } as const;

export const structRows = {
  /** IOMMU_IOAS_IOVA_RANGES (out), IOMMU_IOAS_ALLOW_IOVAS (in) */
  iommu_iova_range: {
    since: '6.2',
    fields: [
      { name: 'start', type: 'u64', dir: 'in' },
      { name: 'last', type: 'u64', dir: 'in', note: 'inclusive' },
    ],
  },

  // ---- IOMMU_HWPT_ALLOC ----
  iommu_hwpt_vtd_s1: {
    since: '6.7',
    note: 'first-stage page table of Intel VT-d; addr_width, SRE and EAFE are checked only at attach',
    fields: [
      { name: 'flags', type: 'u64', dir: 'in', flags: 'iommu_hwpt_vtd_s1_flags' },
      { name: 'pgtbl_addr', type: 'u64', dir: 'in', note: 'guest-physical' },
      { name: 'addr_width', type: 'u32', dir: 'in', note: 'bits' },
      { name: '__reserved', type: 'u32', dir: 'in', pad: true },
    ],
  },
  iommu_hwpt_arm_smmuv3: {
    since: '6.13',
    note: 'first two double words of the guest’s stream table entry; bits outside V, Cfg, S1Fmt, S1ContextPtr, S1CDMax, S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS are EIO',
    fields: [{ name: 'ste', type: 'le64', count: 2, dir: 'in', form: 'smmuv3-ste' }],
  },
  iommu_hwpt_amd_guest: {
    since: '7.0',
    note: 'the guest’s device table entry',
    fields: [{ name: 'dte', type: 'u64', count: 4, dir: 'in' }],
  },
  iommu_hwpt_selftest: {
    header: 'iommufd_test.h',
    since: '6.6',
    min: 'iotlb',
    fields: [
      { name: 'iotlb', type: 'u32', dir: 'in', format: 'hex' },
      { name: 'pagetable_type', type: 'u32', dir: 'in', enum: 'anonymous:MOCK_IOMMUPT_DEFAULT' },
    ],
  },

  // ---- IOMMU_GET_HW_INFO ----
  iommu_hw_info_vtd: {
    since: '6.6',
    fields: [
      { name: 'flags', type: 'u32', dir: 'out', flags: 'iommu_hw_info_vtd_flags' },
      { name: '__reserved', type: 'u32', dir: 'out', pad: true },
      { name: 'cap_reg', type: 'u64', dir: 'out', note: 'VT-d capability register' },
      { name: 'ecap_reg', type: 'u64', dir: 'out', note: 'VT-d extended capability register' },
    ],
  },
  iommu_hw_info_arm_smmuv3: {
    since: '6.13',
    fields: [
      flags0,
      { name: '__reserved', type: 'u32', dir: 'out', pad: true },
      { name: 'idr', ...reg, count: 6, form: 'smmuv3-idr', note: 'SMMU_IDR0 … IDR5' },
      { name: 'iidr', ...reg },
      { name: 'aidr', ...reg },
    ],
  },
  iommu_hw_info_tegra241_cmdqv: {
    since: '6.17',
    fields: [
      flags0,
      { name: 'version', type: 'u8', dir: 'out', note: 'PARAM[3:0]' },
      { name: 'log2vcmdqs', type: 'u8', dir: 'out', note: 'log2 of LVCMDQs per VINTF' },
      { name: 'log2vsids', type: 'u8', dir: 'out', note: 'log2 of SID slots per VINTF' },
      { name: '__reserved', type: 'u8', dir: 'out', pad: true },
    ],
  },
  iommu_hw_info_amd: {
    since: '7.0',
    fields: [
      { name: 'efr', type: 'u64', dir: 'out', note: 'extended feature register' },
      { name: 'efr2', type: 'u64', dir: 'out', note: 'extended feature register 2' },
    ],
  },
  iommu_test_hw_info: {
    header: 'iommufd_test.h',
    since: '6.6',
    fields: [flags0, { name: 'test_reg', ...reg, note: 'always IOMMU_HW_INFO_SELFTEST_REGVAL' }],
  },

  // ---- IOMMU_HWPT_INVALIDATE, one entry ----
  iommu_hwpt_vtd_s1_invalidate: {
    since: '6.8',
    note: 'hwpt_id is a nested HWPT; addr 0 with npages 2^64-1 is everything',
    fields: [
      { name: 'addr', type: 'u64', dir: 'in', note: '4 KiB aligned' },
      { name: 'npages', type: 'u64', dir: 'in', note: '4 KiB pages' },
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommu_hwpt_vtd_s1_invalidate_flags' },
      { name: '__reserved', type: 'u32', dir: 'in', zero: true },
    ],
  },
  iommu_viommu_arm_smmuv3_invalidate: {
    since: '6.13',
    note: 'hwpt_id is a vIOMMU; one SMMU command',
    fields: [{ name: 'cmd', type: 'le64', count: 2, dir: 'in', form: 'smmuv3-command' }],
  },
  iommu_hwpt_invalidate_selftest: {
    header: 'iommufd_test.h',
    since: '6.8',
    note: 'hwpt_id is a nested HWPT',
    fields: [
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommu_test_invalidate_flags' },
      { name: 'iotlb_id', type: 'u32', dir: 'in' },
    ],
  },
  iommu_viommu_invalidate_selftest: {
    header: 'iommufd_test.h',
    since: '6.13',
    note: 'hwpt_id is a vIOMMU',
    fields: [
      { name: 'flags', type: 'u32', dir: 'in', flags: 'iommu_test_invalidate_flags' },
      { name: 'vdev_id', type: 'u32', dir: 'in', note: 'virtual id of the device, no object id' },
      { name: 'cache_id', type: 'u32', dir: 'in' },
    ],
  },

  // ---- IOMMU_VIOMMU_ALLOC ----
  iommu_viommu_tegra241_cmdqv: {
    since: '6.17',
    note: 'where mmap of the iommufd finds page 0 of the VINTF',
    fields: [
      { name: 'out_vintf_mmap_offset', type: 'u64', dir: 'out', note: 'bytes' },
      { name: 'out_vintf_mmap_length', type: 'u64', dir: 'out', note: 'bytes' },
    ],
  },
  iommu_viommu_selftest: {
    header: 'iommufd_test.h',
    since: '6.13',
    min: 'out_data',
    fields: [
      { name: 'in_data', type: 'u32', dir: 'in', format: 'hex' },
      { name: 'out_data', type: 'u32', dir: 'out', format: 'hex', note: 'in_data again' },
      { name: 'out_mmap_offset', type: 'u64', dir: 'out', note: 'bytes' },
      { name: 'out_mmap_length', type: 'u64', dir: 'out', note: 'bytes' },
    ],
  },

  // ---- records of a fault queue ----
  iommu_hwpt_pgfault: {
    since: '6.11',
    fields: [
      { name: 'flags', type: 'u32', dir: 'out', flags: 'iommu_hwpt_pgfault_flags' },
      { name: 'dev_id', type: 'u32', dir: 'out', ref: ['DEVICE'] },
      { name: 'pasid', type: 'u32', dir: 'out', note: 'only with PASID_VALID' },
      { name: 'grpid', type: 'u32', dir: 'out', note: 'page request group' },
      { name: 'perm', type: 'u32', dir: 'out', flags: 'iommu_hwpt_pgfault_perm' },
      { name: '__reserved', type: 'u32', dir: 'out', pad: true },
      { name: 'addr', type: 'u64', dir: 'out' },
      { name: 'length', type: 'u32', dir: 'out', note: 'always 0 in 7.2' },
      { name: 'cookie', type: 'u32', dir: 'out', note: 'the same for all faults of a group' },
    ],
  },
  iommu_hwpt_page_response: {
    since: '6.11',
    fields: [
      { name: 'cookie', type: 'u32', dir: 'in' },
      { name: 'code', type: 'u32', dir: 'in', enum: 'iommufd_page_response_code' },
    ],
  },

  // ---- records of a vEVENTQ: header, then the payload of the queue's type ----
  iommufd_vevent_header: {
    since: '6.15',
    note: 'with LOST_EVENTS there is no payload',
    fields: [
      { name: 'flags', type: 'u32', dir: 'out', flags: 'iommu_veventq_flag' },
      { name: 'sequence', type: 'u32', dir: 'out', note: 'gaps are lost events' },
    ],
  },
  iommu_vevent_arm_smmuv3: {
    since: '6.15',
    note: 'an SMMU event record whose StreamID is the vSID',
    fields: [{ name: 'evt', type: 'le64', count: 4, dir: 'out', form: 'smmuv3-event' }],
  },
  iommu_vevent_tegra241_cmdqv: {
    since: '6.17',
    note: 'bit n of word n/64 = LVCMDQ n has an error',
    fields: [{ name: 'lvcmdq_err_map', type: 'le64', count: 2, dir: 'out', form: 'lvcmdq-map' }],
  },
  iommu_viommu_event_selftest: {
    header: 'iommufd_test.h',
    since: '6.15',
    fields: [{ name: 'virt_id', type: 'u32', dir: 'out', format: 'hex' }],
  },
} as const satisfies Record<string, StructRow>;

/** Which struct a `payload` or `entries` pointer holds. */
export const payloadRows: readonly PayloadRow[] = [
  ...(
    [
      ['IOMMU_HWPT_DATA_VTD_S1', 'iommu_hwpt_vtd_s1'],
      ['IOMMU_HWPT_DATA_ARM_SMMUV3', 'iommu_hwpt_arm_smmuv3'],
      ['IOMMU_HWPT_DATA_AMD_GUEST', 'iommu_hwpt_amd_guest'],
      ['IOMMU_HWPT_DATA_SELFTEST', 'iommu_hwpt_selftest'],
    ] as const
  ).map(([equals, struct]) => ({ command: 'IOMMU_HWPT_ALLOC', field: 'data_uptr', by: 'data_type', equals, struct, dir: 'in' }) as const),
  ...(
    [
      ['IOMMU_HW_INFO_TYPE_INTEL_VTD', 'iommu_hw_info_vtd'],
      ['IOMMU_HW_INFO_TYPE_ARM_SMMUV3', 'iommu_hw_info_arm_smmuv3'],
      ['IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV', 'iommu_hw_info_tegra241_cmdqv'],
      ['IOMMU_HW_INFO_TYPE_AMD', 'iommu_hw_info_amd'],
      ['IOMMU_HW_INFO_TYPE_SELFTEST', 'iommu_test_hw_info'],
    ] as const
  ).map(
    ([equals, struct]) => ({ command: 'IOMMU_GET_HW_INFO', field: 'data_uptr', by: 'out_data_type', equals, struct, dir: 'out' }) as const,
  ),
  ...(
    [
      ['IOMMU_HWPT_INVALIDATE_DATA_VTD_S1', 'iommu_hwpt_vtd_s1_invalidate', 'HWPT_NESTED'],
      ['IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3', 'iommu_viommu_arm_smmuv3_invalidate', 'VIOMMU'],
      ['IOMMU_HWPT_INVALIDATE_DATA_SELFTEST', 'iommu_hwpt_invalidate_selftest', 'HWPT_NESTED'],
      ['IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST', 'iommu_viommu_invalidate_selftest', 'VIOMMU'],
    ] as const
  ).map(
    ([equals, struct, object]) =>
      ({ command: 'IOMMU_HWPT_INVALIDATE', field: 'data_uptr', by: 'data_type', equals, struct, dir: 'in', object }) as const,
  ),
  ...(
    [
      ['IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV', 'iommu_viommu_tegra241_cmdqv'],
      ['IOMMU_VIOMMU_TYPE_SELFTEST', 'iommu_viommu_selftest'],
    ] as const
  ).map(([equals, struct]) => ({ command: 'IOMMU_VIOMMU_ALLOC', field: 'data_uptr', by: 'type', equals, struct, dir: 'inout' }) as const),
];

export const recordRows: readonly RecordRow[] = [
  { file: 'FAULT', call: 'read', struct: 'iommu_hwpt_pgfault' },
  { file: 'FAULT', call: 'write', struct: 'iommu_hwpt_page_response' },
  { file: 'VEVENTQ', call: 'read', struct: 'iommufd_vevent_header' },
];

/** What follows the header in a vEVENTQ's stream, by the queue's type (enum iommu_veventq_type). */
export const veventRows: Readonly<Record<string, string>> = {
  IOMMU_VEVENTQ_TYPE_ARM_SMMUV3: 'iommu_vevent_arm_smmuv3',
  IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV: 'iommu_vevent_tegra241_cmdqv',
  IOMMU_VEVENTQ_TYPE_SELFTEST: 'iommu_viommu_event_selftest',
};
