/**
 * Dialects: other kernels' uAPI, each as small edits on a neighbour, in the end on linux-7.2. Sources: Linux 6.12.117; the
 * posted patch series v1 … v9 of 2025 (vCMDQ, vQUEUE, HW queue), on which fixtures/abi and comments here rest.
 */
import type { CommandRow, FieldRow, PayloadRow, StructRow } from '../types.ts';

/** One difference. Fields are named `struct`, `field`; a union's arm is removed whole. */
export type Edit =
  | { readonly edit: 'remove-command'; readonly command: string }
  | { readonly edit: 'add-command'; readonly command: string; readonly row: CommandRow }
  | { readonly edit: 'remove-field'; readonly struct: string; readonly field: string }
  /** a field takes the place of another: new name or new meaning, same type */
  | { readonly edit: 'replace-field'; readonly struct: string; readonly field: string; readonly row: FieldRow }
  | { readonly edit: 'remove-arm'; readonly struct: string; readonly arms: readonly string[] }
  | { readonly edit: 'remove-struct'; readonly structs: readonly string[] }
  | { readonly edit: 'add-struct'; readonly struct: string; readonly row: StructRow }
  | { readonly edit: 'add-payload'; readonly row: PayloadRow }
  | { readonly edit: 'remove-enum'; readonly enums: readonly string[] }
  | { readonly edit: 'remove-members'; readonly enum: string; readonly members: readonly string[] }
  | {
      readonly edit: 'add-members';
      readonly enum: string;
      readonly members: Readonly<Record<string, number>>;
      /** of an enum that is new */
      readonly kind?: 'enum' | 'flags';
      readonly prefix?: string;
      readonly selftest?: readonly string[];
    };

export interface DialectRow {
  /** what it is an edit of */
  readonly on: string | null;
  readonly note: string;
  readonly edits: readonly Edit[];
}

/** Queue commands of the series before HW_QUEUE: same number, and from v2 on the same layout. */
const queueFields = (out: string, types: string, address: string) =>
  [
    { name: 'size', type: 'u32', dir: 'in' },
    { name: 'flags', type: 'u32', dir: 'in', zero: true, format: 'hex' },
    { name: 'viommu_id', type: 'u32', dir: 'in', ref: ['VIOMMU'] },
    { name: 'type', type: 'u32', dir: 'in', enum: types },
    { name: 'index', type: 'u32', dir: 'in' },
    { name: out, type: 'u32', dir: 'out', creates: ['HW_QUEUE'] },
    { name: address, type: 'u64', dir: 'in' },
    { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
  ] as const satisfies readonly FieldRow[];

export const dialectRows = {
  'linux-7.2': { on: null, note: 'mainline 6.17 … 7.2', edits: [] },

  'linux-6.12': {
    on: 'linux-7.2',
    note: 'the stable kernel 6.12.117, which has out_max_pasid_log2 by backport (mainline 6.12 had a reserved u32 there)',
    edits: [
      ...[
        'IOMMU_IOAS_MAP_FILE',
        'IOMMU_VIOMMU_ALLOC',
        'IOMMU_VDEVICE_ALLOC',
        'IOMMU_IOAS_CHANGE_PROCESS',
        'IOMMU_VEVENTQ_ALLOC',
        'IOMMU_HW_QUEUE_ALLOC',
      ].map((command) => ({ edit: 'remove-command', command }) as const),
      { edit: 'remove-field', struct: 'iommu_hw_info', field: 'in_data_type' },
      {
        edit: 'replace-field',
        struct: 'iommu_hw_info',
        field: 'out_data_type',
        row: { name: 'out_data_type', type: 'u32', dir: 'out', enum: 'iommu_hw_info_type' },
      },
      // HWPT_ALLOC.pt_id keeps VIOMMU among its types, as fixtures/abi has it; 6.12 has none to give
      {
        edit: 'remove-arm',
        struct: 'iommu_test_cmd',
        arms: [
          'check_dev_cache',
          'trigger_vevent',
          'pasid_attach',
          'pasid_replace',
          'pasid_detach',
          'pasid_check',
          'dmabuf_get',
          'dmabuf_revoke',
        ],
      },
      { edit: 'remove-field', struct: 'vfio_device_bind_iommufd', field: 'token_uuid_ptr' },
      { edit: 'remove-field', struct: 'vfio_device_attach_iommufd_pt', field: 'pasid' },
      { edit: 'remove-field', struct: 'vfio_device_detach_iommufd_pt', field: 'pasid' },
      { edit: 'remove-field', struct: 'iommu_hwpt_selftest', field: 'pagetable_type' },
      {
        edit: 'remove-struct',
        structs: [
          'iommu_hwpt_arm_smmuv3',
          'iommu_hwpt_amd_guest',
          'iommu_hw_info_arm_smmuv3',
          'iommu_hw_info_tegra241_cmdqv',
          'iommu_hw_info_amd',
          'iommu_viommu_arm_smmuv3_invalidate',
          'iommu_viommu_tegra241_cmdqv',
          'iommufd_vevent_header',
          'iommu_vevent_arm_smmuv3',
          'iommu_vevent_tegra241_cmdqv',
          'iommu_viommu_selftest',
          'iommu_viommu_invalidate_selftest',
          'iommu_viommu_event_selftest',
        ],
      },
      { edit: 'remove-members', enum: 'iommufd_hwpt_alloc_flags', members: ['IOMMU_HWPT_ALLOC_PASID'] },
      { edit: 'remove-members', enum: 'iommu_hwpt_data_type', members: ['IOMMU_HWPT_DATA_ARM_SMMUV3', 'IOMMU_HWPT_DATA_AMD_GUEST'] },
      {
        edit: 'remove-members',
        enum: 'iommu_hw_info_type',
        members: [
          'IOMMU_HW_INFO_TYPE_DEFAULT',
          'IOMMU_HW_INFO_TYPE_ARM_SMMUV3',
          'IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV',
          'IOMMU_HW_INFO_TYPE_AMD',
        ],
      },
      { edit: 'remove-members', enum: 'iommufd_hw_capabilities', members: ['IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED'] },
      { edit: 'remove-members', enum: 'iommu_hwpt_invalidate_data_type', members: ['IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3'] },
      {
        edit: 'remove-enum',
        enums: [
          'iommufd_hw_info_flags',
          'iommu_viommu_type',
          'iommu_veventq_flag',
          'iommu_veventq_type',
          'iommu_hw_queue_type',
          'vfio_device_bind_flags',
          'vfio_device_attach_flags',
          'vfio_device_detach_flags',
          'anonymous:MOCK_IOMMUPT_DEFAULT',
          'anonymous:MOCK_DEV_CACHE_ID_MAX',
        ],
      },
      { edit: 'remove-members', enum: 'anonymous:MOCK_APERTURE_START', members: ['MOCK_PAGE_SIZE', 'MOCK_HUGE_PAGE_SIZE'] },
      { edit: 'remove-members', enum: 'anonymous:MOCK_FLAGS_DEVICE_NO_DIRTY', members: ['MOCK_FLAGS_DEVICE_PASID'] },
      { edit: 'add-members', enum: 'anonymous:MOCK_FLAGS_DEVICE_NO_DIRTY', members: { MOCK_FLAGS_DEVICE_HUGE_IOVA: 2 } },
      {
        edit: 'remove-members',
        enum: 'selftest_constants',
        members: [
          'IOMMU_TEST_PASID_RESERVED',
          'MOCK_PASID_WIDTH',
          'IOMMU_TEST_DEV_CACHE_DEFAULT',
          'IOMMU_VIOMMU_TYPE_SELFTEST',
          'IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST',
          'IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID',
          'IOMMU_VEVENTQ_TYPE_SELFTEST',
          'IOMMU_HW_QUEUE_TYPE_SELFTEST',
          'IOMMU_TEST_HW_QUEUE_MAX',
        ],
      },
    ],
  },

  'hw-queue-v9': {
    on: 'linux-7.2',
    note: 'merged for 6.17; later additions of mainline taken away again',
    edits: [
      { edit: 'remove-arm', struct: 'iommu_test_cmd', arms: ['dmabuf_get', 'dmabuf_revoke'] },
      { edit: 'remove-field', struct: 'vfio_device_bind_iommufd', field: 'token_uuid_ptr' },
      { edit: 'remove-enum', enums: ['vfio_device_bind_flags', 'anonymous:MOCK_IOMMUPT_DEFAULT'] },
      { edit: 'remove-struct', structs: ['iommu_hwpt_amd_guest', 'iommu_hw_info_amd'] },
      { edit: 'remove-field', struct: 'iommu_hwpt_selftest', field: 'pagetable_type' },
      { edit: 'remove-members', enum: 'iommu_hwpt_data_type', members: ['IOMMU_HWPT_DATA_AMD_GUEST'] },
      { edit: 'remove-members', enum: 'iommu_hw_info_type', members: ['IOMMU_HW_INFO_TYPE_AMD'] },
      { edit: 'remove-members', enum: 'iommufd_hw_capabilities', members: ['IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED'] },
      { edit: 'remove-members', enum: 'anonymous:MOCK_APERTURE_START', members: ['MOCK_PAGE_SIZE', 'MOCK_HUGE_PAGE_SIZE'] },
      { edit: 'add-members', enum: 'anonymous:MOCK_FLAGS_DEVICE_NO_DIRTY', members: { MOCK_FLAGS_DEVICE_HUGE_IOVA: 2 } },
    ],
  },
  'hw-queue-v8': { on: 'hw-queue-v9', note: 'same layout', edits: [] },
  'hw-queue-v7': { on: 'hw-queue-v8', note: 'same layout', edits: [] },
  'hw-queue-v6': { on: 'hw-queue-v7', note: 'same layout; pins through an internal ACCESS from here on', edits: [] },
  'hw-queue-v5': {
    on: 'hw-queue-v6',
    note: 'one data_type field in both directions in GET_HW_INFO',
    edits: [
      { edit: 'remove-field', struct: 'iommu_hw_info', field: 'in_data_type' },
      {
        edit: 'replace-field',
        struct: 'iommu_hw_info',
        field: 'out_data_type',
        row: { name: 'data_type', type: 'u32', dir: 'inout', enum: 'iommu_hw_info_type' },
      },
    ],
  },
  'hw-queue-v4': {
    on: 'hw-queue-v5',
    note: 'base_addr instead of nesting_parent_iova; CMDQV parameters in iommu_hw_info_arm_smmuv3.impl',
    edits: [
      {
        edit: 'replace-field',
        struct: 'iommu_hw_info',
        field: 'data_type',
        row: { name: 'out_data_type', type: 'u32', dir: 'out', enum: 'iommu_hw_info_type' },
      },
      {
        edit: 'replace-field',
        struct: 'iommu_hw_queue_alloc',
        field: 'nesting_parent_iova',
        row: { name: 'base_addr', type: 'u64', dir: 'in' },
      },
      {
        edit: 'replace-field',
        struct: 'iommu_hw_info_arm_smmuv3',
        field: 'flags',
        row: { name: 'flags', type: 'u32', dir: 'out', flags: 'iommu_hw_info_arm_smmuv3_flags' },
      },
      {
        edit: 'replace-field',
        struct: 'iommu_hw_info_arm_smmuv3',
        field: '__reserved',
        row: {
          name: 'impl',
          type: 'u32',
          dir: 'out',
          format: 'hex',
          form: 'cmdqv-param',
          note: 'with HAS_TEGRA241_CMDQV: 15:12 log2 SIDs, 11:8 log2 VINTFs (0), 7:4 log2 VCMDQs, 3:0 version',
        },
      },
      { edit: 'remove-struct', structs: ['iommu_hw_info_tegra241_cmdqv'] },
      { edit: 'remove-members', enum: 'iommu_hw_info_type', members: ['IOMMU_HW_INFO_TYPE_DEFAULT', 'IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV'] },
      { edit: 'remove-enum', enums: ['iommufd_hw_info_flags'] },
      {
        edit: 'add-members',
        enum: 'iommu_hw_info_arm_smmuv3_flags',
        kind: 'flags',
        prefix: 'IOMMU_HW_INFO_ARM_SMMUV3_',
        members: { IOMMU_HW_INFO_ARM_SMMUV3_HAS_TEGRA241_CMDQV: 1 },
      },
    ],
  },
  'vcmdq-v3': {
    on: 'hw-queue-v4',
    note: 'the object is called vQUEUE; mmap fields are named page offset and size, but are bytes',
    edits: [
      { edit: 'remove-command', command: 'IOMMU_HW_QUEUE_ALLOC' },
      {
        edit: 'add-command',
        command: 'IOMMU_VQUEUE_ALLOC',
        row: {
          nr: 0x94,
          target: 'iommufd',
          since: 'vcmdq-v3',
          struct: 'iommu_vqueue_alloc',
          min: 'length',
          note: 'gives a queue in guest memory to the hardware',
          fields: queueFields('out_vqueue_id', 'iommu_vqueue_type', 'addr'),
        },
      },
      ...(
        [
          ['iommu_viommu_tegra241_cmdqv', 'out_vintf_mmap_offset', 'out_vintf_page0_pgoff'],
          ['iommu_viommu_tegra241_cmdqv', 'out_vintf_mmap_length', 'out_vintf_page0_pgsz'],
          ['iommu_viommu_selftest', 'out_mmap_offset', 'out_mmap_pgoff'],
          ['iommu_viommu_selftest', 'out_mmap_length', 'out_mmap_pgsz'],
        ] as const
      ).map(
        ([struct, field, name]) =>
          ({ edit: 'replace-field', struct, field, row: { name, type: 'u64', dir: 'out', note: 'bytes' } }) as const,
      ),
      { edit: 'remove-enum', enums: ['iommu_hw_queue_type'] },
      { edit: 'remove-members', enum: 'selftest_constants', members: ['IOMMU_HW_QUEUE_TYPE_SELFTEST', 'IOMMU_TEST_HW_QUEUE_MAX'] },
      {
        edit: 'add-members',
        enum: 'iommu_vqueue_type',
        kind: 'enum',
        prefix: 'IOMMU_VQUEUE_TYPE_',
        members: { IOMMU_VQUEUE_TYPE_DEFAULT: 0, IOMMU_VQUEUE_TYPE_TEGRA241_CMDQV: 1 },
        selftest: ['IOMMU_VQUEUE_TYPE_SELFTEST'],
      },
      {
        edit: 'add-members',
        enum: 'selftest_constants',
        members: { IOMMU_VQUEUE_TYPE_SELFTEST: 0xdead_beef, IOMMU_TEST_VQUEUE_MAX: 2 },
      },
    ],
  },
  'vcmdq-v2': {
    on: 'vcmdq-v3',
    note: 'the object is called vCMDQ',
    edits: [
      { edit: 'remove-command', command: 'IOMMU_VQUEUE_ALLOC' },
      {
        edit: 'add-command',
        command: 'IOMMU_VCMDQ_ALLOC',
        row: {
          nr: 0x94,
          target: 'iommufd',
          since: 'vcmdq-v2',
          struct: 'iommu_vcmdq_alloc',
          min: 'length',
          note: 'gives a queue in guest memory to the hardware',
          fields: queueFields('out_vcmdq_id', 'iommu_vcmdq_type', 'addr'),
        },
      },
      { edit: 'remove-enum', enums: ['iommu_vqueue_type'] },
      { edit: 'remove-members', enum: 'selftest_constants', members: ['IOMMU_VQUEUE_TYPE_SELFTEST', 'IOMMU_TEST_VQUEUE_MAX'] },
      {
        edit: 'add-members',
        enum: 'iommu_vcmdq_type',
        kind: 'enum',
        prefix: 'IOMMU_VCMDQ_TYPE_',
        members: { IOMMU_VCMDQ_TYPE_DEFAULT: 0, IOMMU_VCMDQ_TYPE_TEGRA241_CMDQV: 1 },
        selftest: ['IOMMU_VCMDQ_TYPE_SELFTEST'],
      },
      {
        edit: 'add-members',
        enum: 'selftest_constants',
        members: { IOMMU_VCMDQ_TYPE_SELFTEST: 0xdead_beef, IOMMU_TEST_VCMDQ_MAX: 2 },
      },
    ],
  },
  'vcmdq-v1': {
    on: 'vcmdq-v2',
    note: 'queue parameters in a struct of their own; no way to ask for CMDQV parameters; nothing of queues in the selftest',
    edits: [
      { edit: 'remove-command', command: 'IOMMU_VCMDQ_ALLOC' },
      {
        edit: 'add-command',
        command: 'IOMMU_VCMDQ_ALLOC',
        row: {
          nr: 0x94,
          target: 'iommufd',
          since: 'vcmdq-v1',
          struct: 'iommu_vcmdq_alloc',
          min: 'data_uptr',
          note: 'gives a queue in guest memory to the hardware',
          fields: [
            ...queueFields('', 'iommu_vcmdq_data_type', '').slice(0, 4),
            { name: 'out_vcmdq_id', type: 'u32', dir: 'out', creates: ['HW_QUEUE'] },
            { name: 'data_len', type: 'u32', dir: 'in', note: 'bytes' },
            {
              name: 'data_uptr',
              type: 'u64',
              dir: 'in',
              nested: { dir: 'in', of: 'payload', length: { rule: 'field', field: 'data_len', times: 1 } },
            },
          ],
        },
      },
      {
        edit: 'add-struct',
        struct: 'iommu_vcmdq_tegra241_cmdqv',
        row: {
          fields: [
            { name: 'vcmdq_id', type: 'u32', dir: 'in', note: 'LVCMDQ number' },
            { name: 'vcmdq_log2size', type: 'u32', dir: 'in', note: 'log2 of entries' },
            { name: 'vcmdq_base', type: 'u64', dir: 'in', note: 'guest-physical address' },
          ],
        },
      },
      {
        edit: 'add-payload',
        row: {
          command: 'IOMMU_VCMDQ_ALLOC',
          field: 'data_uptr',
          by: 'type',
          equals: 'IOMMU_VCMDQ_TYPE_TEGRA241_CMDQV',
          struct: 'iommu_vcmdq_tegra241_cmdqv',
          dir: 'in',
        },
      },
      {
        edit: 'replace-field',
        struct: 'iommu_hw_info_arm_smmuv3',
        field: 'impl',
        row: { name: '__reserved', type: 'u32', dir: 'out', pad: true },
      },
      {
        edit: 'replace-field',
        struct: 'iommu_hw_info_arm_smmuv3',
        field: 'flags',
        row: { name: 'flags', type: 'u32', dir: 'out', format: 'hex', note: 'always 0' },
      },
      { edit: 'remove-enum', enums: ['iommu_hw_info_arm_smmuv3_flags', 'iommu_vcmdq_type'] },
      { edit: 'remove-members', enum: 'selftest_constants', members: ['IOMMU_VCMDQ_TYPE_SELFTEST', 'IOMMU_TEST_VCMDQ_MAX'] },
      {
        edit: 'add-members',
        enum: 'iommu_vcmdq_data_type',
        kind: 'enum',
        prefix: 'IOMMU_VCMDQ_TYPE_',
        members: { IOMMU_VCMDQ_TYPE_DEFAULT: 0, IOMMU_VCMDQ_TYPE_TEGRA241_CMDQV: 1 },
      },
    ],
  },
} as const satisfies Record<string, DialectRow>;
