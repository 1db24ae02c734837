/**
 * Enums and flags of linux-7.2, by constant name. Two are not here because other rows already say them: IOMMUFD_CMD
 * (numbers of the commands) and IOMMU_TEST_OP (rows of selftest.ts).
 * Sources: include/uapi/linux/iommufd.h, drivers/iommu/iommufd/iommufd_test.h, include/uapi/linux/vfio.h. The `#define`s of
 * vfio.h belong to no enum: those groups are named here after their struct.
 */
import type { EnumRow } from '../types.ts';

/** include/uapi/linux/iommufd.h */
export const iommufdEnums = {
  iommufd_ioas_map_flags: {
    kind: 'flags',
    prefix: 'IOMMU_IOAS_MAP_',
    members: { IOMMU_IOAS_MAP_FIXED_IOVA: 1, IOMMU_IOAS_MAP_WRITEABLE: 2, IOMMU_IOAS_MAP_READABLE: 4 },
  },
  iommufd_option: {
    kind: 'enum',
    prefix: 'IOMMU_OPTION_',
    members: { IOMMU_OPTION_RLIMIT_MODE: 0, IOMMU_OPTION_HUGE_PAGES: 1 },
  },
  iommufd_option_ops: {
    kind: 'enum',
    prefix: 'IOMMU_OPTION_OP_',
    members: { IOMMU_OPTION_OP_SET: 0, IOMMU_OPTION_OP_GET: 1 },
  },
  iommufd_vfio_ioas_op: {
    kind: 'enum',
    prefix: 'IOMMU_VFIO_IOAS_',
    members: { IOMMU_VFIO_IOAS_GET: 0, IOMMU_VFIO_IOAS_SET: 1, IOMMU_VFIO_IOAS_CLEAR: 2 },
  },
  iommufd_hwpt_alloc_flags: {
    kind: 'flags',
    prefix: ['IOMMU_HWPT_ALLOC_', 'IOMMU_HWPT_'],
    members: {
      IOMMU_HWPT_ALLOC_NEST_PARENT: 1,
      IOMMU_HWPT_ALLOC_DIRTY_TRACKING: 2,
      IOMMU_HWPT_FAULT_ID_VALID: 4,
      IOMMU_HWPT_ALLOC_PASID: 8,
    },
    since: { IOMMU_HWPT_FAULT_ID_VALID: '6.11', IOMMU_HWPT_ALLOC_PASID: '6.15' },
  },
  iommu_hwpt_vtd_s1_flags: {
    kind: 'flags',
    prefix: 'IOMMU_VTD_S1_',
    members: { IOMMU_VTD_S1_SRE: 1, IOMMU_VTD_S1_EAFE: 2, IOMMU_VTD_S1_WPE: 4 },
    since: { '': '6.7' },
  },
  iommu_hwpt_data_type: {
    kind: 'enum',
    prefix: 'IOMMU_HWPT_DATA_',
    members: { IOMMU_HWPT_DATA_NONE: 0, IOMMU_HWPT_DATA_VTD_S1: 1, IOMMU_HWPT_DATA_ARM_SMMUV3: 2, IOMMU_HWPT_DATA_AMD_GUEST: 3 },
    selftest: ['IOMMU_HWPT_DATA_SELFTEST'],
    since: { IOMMU_HWPT_DATA_ARM_SMMUV3: '6.13', IOMMU_HWPT_DATA_AMD_GUEST: '7.0' },
  },
  iommu_hw_info_vtd_flags: {
    kind: 'flags',
    prefix: 'IOMMU_HW_INFO_VTD_',
    members: { IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17: 1 },
    since: { '': '6.7' },
  },
  iommu_hw_info_type: {
    kind: 'enum',
    prefix: 'IOMMU_HW_INFO_TYPE_',
    members: {
      IOMMU_HW_INFO_TYPE_NONE: 0,
      IOMMU_HW_INFO_TYPE_DEFAULT: 0,
      IOMMU_HW_INFO_TYPE_INTEL_VTD: 1,
      IOMMU_HW_INFO_TYPE_ARM_SMMUV3: 2,
      IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV: 3,
      IOMMU_HW_INFO_TYPE_AMD: 4,
    },
    selftest: ['IOMMU_HW_INFO_TYPE_SELFTEST'],
    since: {
      IOMMU_HW_INFO_TYPE_DEFAULT: '6.17',
      IOMMU_HW_INFO_TYPE_ARM_SMMUV3: '6.13',
      IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV: '6.17',
      IOMMU_HW_INFO_TYPE_AMD: '7.0',
    },
  },
  iommufd_hw_capabilities: {
    kind: 'flags',
    prefix: 'IOMMU_HW_CAP_',
    members: {
      IOMMU_HW_CAP_DIRTY_TRACKING: 1,
      IOMMU_HW_CAP_PCI_PASID_EXEC: 2,
      IOMMU_HW_CAP_PCI_PASID_PRIV: 4,
      IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED: 8,
    },
    since: { IOMMU_HW_CAP_PCI_PASID_EXEC: '6.15', IOMMU_HW_CAP_PCI_PASID_PRIV: '6.15', IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED: '7.1' },
  },
  iommufd_hw_info_flags: {
    kind: 'flags',
    prefix: 'IOMMU_HW_INFO_FLAG_',
    members: { IOMMU_HW_INFO_FLAG_INPUT_TYPE: 1 },
    since: { '': '6.17' },
  },
  iommufd_hwpt_set_dirty_tracking_flags: {
    kind: 'flags',
    prefix: 'IOMMU_HWPT_DIRTY_TRACKING_',
    members: { IOMMU_HWPT_DIRTY_TRACKING_ENABLE: 1 },
    since: { '': '6.7' },
  },
  iommufd_hwpt_get_dirty_bitmap_flags: {
    kind: 'flags',
    prefix: 'IOMMU_HWPT_GET_DIRTY_BITMAP_',
    members: { IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR: 1 },
    since: { '': '6.7' },
  },
  iommu_hwpt_invalidate_data_type: {
    kind: 'enum',
    prefix: ['IOMMU_HWPT_INVALIDATE_DATA_', 'IOMMU_VIOMMU_INVALIDATE_DATA_'],
    members: { IOMMU_HWPT_INVALIDATE_DATA_VTD_S1: 0, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3: 1 },
    // the same number twice: which struct it means depends on the type of hwpt_id
    selftest: ['IOMMU_HWPT_INVALIDATE_DATA_SELFTEST', 'IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST'],
    since: { IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3: '6.13' },
  },
  iommu_hwpt_vtd_s1_invalidate_flags: {
    kind: 'flags',
    prefix: 'IOMMU_VTD_INV_FLAGS_',
    members: { IOMMU_VTD_INV_FLAGS_LEAF: 1 },
    since: { '': '6.8' },
  },
  iommu_hwpt_pgfault_flags: {
    kind: 'flags',
    prefix: 'IOMMU_PGFAULT_FLAGS_',
    members: { IOMMU_PGFAULT_FLAGS_PASID_VALID: 1, IOMMU_PGFAULT_FLAGS_LAST_PAGE: 2 },
    since: { '': '6.11' },
  },
  iommu_hwpt_pgfault_perm: {
    kind: 'flags',
    prefix: 'IOMMU_PGFAULT_PERM_',
    members: { IOMMU_PGFAULT_PERM_READ: 1, IOMMU_PGFAULT_PERM_WRITE: 2, IOMMU_PGFAULT_PERM_EXEC: 4, IOMMU_PGFAULT_PERM_PRIV: 8 },
    since: { '': '6.11' },
  },
  iommufd_page_response_code: {
    kind: 'enum',
    prefix: 'IOMMUFD_PAGE_RESP_',
    members: { IOMMUFD_PAGE_RESP_SUCCESS: 0, IOMMUFD_PAGE_RESP_INVALID: 1 },
    since: { '': '6.11' },
  },
  iommu_viommu_type: {
    kind: 'enum',
    prefix: 'IOMMU_VIOMMU_TYPE_',
    members: { IOMMU_VIOMMU_TYPE_DEFAULT: 0, IOMMU_VIOMMU_TYPE_ARM_SMMUV3: 1, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV: 2 },
    selftest: ['IOMMU_VIOMMU_TYPE_SELFTEST'],
    since: { '': '6.13', IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV: '6.17' },
  },
  iommu_veventq_flag: {
    kind: 'flags',
    prefix: 'IOMMU_VEVENTQ_FLAG_',
    members: { IOMMU_VEVENTQ_FLAG_LOST_EVENTS: 1 },
    since: { '': '6.15' },
  },
  iommu_veventq_type: {
    kind: 'enum',
    prefix: 'IOMMU_VEVENTQ_TYPE_',
    members: { IOMMU_VEVENTQ_TYPE_DEFAULT: 0, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3: 1, IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV: 2 },
    selftest: ['IOMMU_VEVENTQ_TYPE_SELFTEST'],
    since: { '': '6.15', IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV: '6.17' },
  },
  iommu_hw_queue_type: {
    kind: 'enum',
    prefix: 'IOMMU_HW_QUEUE_TYPE_',
    members: { IOMMU_HW_QUEUE_TYPE_DEFAULT: 0, IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV: 1 },
    selftest: ['IOMMU_HW_QUEUE_TYPE_SELFTEST'],
    since: { '': '6.17' },
  },
} as const satisfies Record<string, EnumRow>;

/**
 * drivers/iommu/iommufd/iommufd_test.h. Its anonymous enums are named after their first member, its macros are in
 * `selftest_constants`, both as in fixtures/abi.
 */
export const testEnums = {
  'anonymous:MOCK_IOMMUPT_DEFAULT': {
    kind: 'enum',
    prefix: 'MOCK_IOMMUPT_',
    members: { MOCK_IOMMUPT_DEFAULT: 0, MOCK_IOMMUPT_HUGE: 1 },
  },
  'anonymous:MOCK_APERTURE_START': {
    kind: 'constants',
    prefix: 'MOCK_',
    members: {
      MOCK_APERTURE_START: 0x0100_0000,
      MOCK_APERTURE_LAST: 0x7fff_ffff,
      MOCK_PAGE_SIZE: 2048,
      MOCK_HUGE_PAGE_SIZE: 0x10_0000,
    },
  },
  'anonymous:MOCK_FLAGS_ACCESS_WRITE': {
    kind: 'flags',
    prefix: 'MOCK_FLAGS_ACCESS_',
    members: { MOCK_FLAGS_ACCESS_WRITE: 1, MOCK_FLAGS_ACCESS_SYZ: 0x1_0000 },
  },
  'anonymous:MOCK_ACCESS_RW_WRITE': {
    kind: 'flags',
    prefix: 'MOCK_ACCESS_RW_',
    members: { MOCK_ACCESS_RW_WRITE: 1, MOCK_ACCESS_RW_SLOW_PATH: 4 },
  },
  'anonymous:MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES': {
    kind: 'flags',
    prefix: 'MOCK_FLAGS_ACCESS_CREATE_',
    members: { MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES: 1 },
  },
  'anonymous:MOCK_FLAGS_DEVICE_NO_DIRTY': {
    kind: 'flags',
    prefix: 'MOCK_FLAGS_DEVICE_',
    members: { MOCK_FLAGS_DEVICE_NO_DIRTY: 1, MOCK_FLAGS_DEVICE_PASID: 4 },
  },
  'anonymous:MOCK_NESTED_DOMAIN_IOTLB_ID_MAX': {
    kind: 'constants',
    prefix: 'MOCK_NESTED_DOMAIN_IOTLB_',
    members: { MOCK_NESTED_DOMAIN_IOTLB_ID_MAX: 3, MOCK_NESTED_DOMAIN_IOTLB_NUM: 4 },
  },
  'anonymous:MOCK_DEV_CACHE_ID_MAX': {
    kind: 'constants',
    prefix: 'MOCK_DEV_CACHE_',
    members: { MOCK_DEV_CACHE_ID_MAX: 3, MOCK_DEV_CACHE_NUM: 4 },
  },
  selftest_constants: {
    kind: 'constants',
    prefix: [],
    members: {
      IOMMU_TEST_PASID_RESERVED: 1024,
      MOCK_PASID_WIDTH: 20,
      IOMMU_HW_INFO_TYPE_SELFTEST: 0xfeed_beef,
      IOMMU_HW_INFO_SELFTEST_REGVAL: 0xdead_beef,
      IOMMU_HWPT_DATA_SELFTEST: 0xdead,
      IOMMU_TEST_IOTLB_DEFAULT: 0xbad_beef,
      IOMMU_TEST_DEV_CACHE_DEFAULT: 0xba_ddad,
      IOMMU_HWPT_INVALIDATE_DATA_SELFTEST: 0xdead_beef,
      IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID: 0xdad_beef,
      IOMMU_TEST_INVALIDATE_FLAG_ALL: 1,
      IOMMU_VIOMMU_TYPE_SELFTEST: 0xdead_beef,
      IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST: 0xdead_beef,
      IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID: 0xdad_beef,
      IOMMU_VEVENTQ_TYPE_SELFTEST: 0xbeef_beef,
      IOMMU_HW_QUEUE_TYPE_SELFTEST: 0xdead_beef,
      IOMMU_TEST_HW_QUEUE_MAX: 2,
    },
  },
  /** a name of ours for the one flag of both selftest invalidation entries */
  iommu_test_invalidate_flags: {
    kind: 'flags',
    ours: true,
    prefix: 'IOMMU_TEST_INVALIDATE_FLAG_',
    members: {},
    selftest: ['IOMMU_TEST_INVALIDATE_FLAG_ALL'],
  },
} as const satisfies Record<string, EnumRow>;

/** include/uapi/linux/vfio.h: mostly macros, grouped here under names of ours. */
export const vfioEnums = {
  vfio_extension: {
    kind: 'enum',
    prefix: 'VFIO_',
    members: {
      VFIO_TYPE1_IOMMU: 1,
      VFIO_SPAPR_TCE_IOMMU: 2,
      VFIO_TYPE1v2_IOMMU: 3,
      VFIO_DMA_CC_IOMMU: 4,
      VFIO_EEH: 5,
      __VFIO_RESERVED_TYPE1_NESTING_IOMMU: 6,
      VFIO_SPAPR_TCE_v2_IOMMU: 7,
      VFIO_NOIOMMU_IOMMU: 8,
      VFIO_UNMAP_ALL: 9,
      VFIO_UPDATE_VADDR: 10,
    },
    since: { __VFIO_RESERVED_TYPE1_NESTING_IOMMU: '7.2' },
  },
  vfio_group_status_flags: {
    kind: 'flags',
    prefix: 'VFIO_GROUP_FLAGS_',
    members: { VFIO_GROUP_FLAGS_VIABLE: 1, VFIO_GROUP_FLAGS_CONTAINER_SET: 2 },
  },
  vfio_device_info_flags: {
    kind: 'flags',
    prefix: 'VFIO_DEVICE_FLAGS_',
    members: {
      VFIO_DEVICE_FLAGS_RESET: 1,
      VFIO_DEVICE_FLAGS_PCI: 2,
      VFIO_DEVICE_FLAGS_PLATFORM: 4,
      VFIO_DEVICE_FLAGS_AMBA: 8,
      VFIO_DEVICE_FLAGS_CCW: 16,
      VFIO_DEVICE_FLAGS_AP: 32,
      VFIO_DEVICE_FLAGS_FSL_MC: 64,
      VFIO_DEVICE_FLAGS_CAPS: 128,
      VFIO_DEVICE_FLAGS_CDX: 256,
    },
    since: { VFIO_DEVICE_FLAGS_CDX: '6.4' },
  },
  vfio_region_info_flags: {
    kind: 'flags',
    prefix: 'VFIO_REGION_INFO_FLAG_',
    members: {
      VFIO_REGION_INFO_FLAG_READ: 1,
      VFIO_REGION_INFO_FLAG_WRITE: 2,
      VFIO_REGION_INFO_FLAG_MMAP: 4,
      VFIO_REGION_INFO_FLAG_CAPS: 8,
    },
  },
  vfio_irq_info_flags: {
    kind: 'flags',
    prefix: 'VFIO_IRQ_INFO_',
    members: { VFIO_IRQ_INFO_EVENTFD: 1, VFIO_IRQ_INFO_MASKABLE: 2, VFIO_IRQ_INFO_AUTOMASKED: 4, VFIO_IRQ_INFO_NORESIZE: 8 },
  },
  vfio_irq_set_flags: {
    kind: 'flags',
    prefix: 'VFIO_IRQ_SET_',
    members: {
      VFIO_IRQ_SET_DATA_NONE: 1,
      VFIO_IRQ_SET_DATA_BOOL: 2,
      VFIO_IRQ_SET_DATA_EVENTFD: 4,
      VFIO_IRQ_SET_ACTION_MASK: 8,
      VFIO_IRQ_SET_ACTION_UNMASK: 16,
      VFIO_IRQ_SET_ACTION_TRIGGER: 32,
    },
  },
  vfio_pci_hot_reset_info_flags: {
    kind: 'flags',
    prefix: 'VFIO_PCI_HOT_RESET_FLAG_',
    members: { VFIO_PCI_HOT_RESET_FLAG_DEV_ID: 1, VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED: 2 },
    since: { '': '6.6' },
  },
  vfio_gfx_plane_flags: {
    kind: 'flags',
    prefix: 'VFIO_GFX_PLANE_TYPE_',
    members: { VFIO_GFX_PLANE_TYPE_PROBE: 1, VFIO_GFX_PLANE_TYPE_DMABUF: 2, VFIO_GFX_PLANE_TYPE_REGION: 4 },
  },
  vfio_ioeventfd_flags: {
    kind: 'flags',
    prefix: 'VFIO_DEVICE_',
    members: { VFIO_DEVICE_IOEVENTFD_8: 1, VFIO_DEVICE_IOEVENTFD_16: 2, VFIO_DEVICE_IOEVENTFD_32: 4, VFIO_DEVICE_IOEVENTFD_64: 8 },
  },
  /** low 16 bits of vfio_device_feature.flags */
  vfio_device_feature: {
    kind: 'enum',
    prefix: 'VFIO_DEVICE_FEATURE_',
    members: {
      VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: 0,
      VFIO_DEVICE_FEATURE_MIGRATION: 1,
      VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: 2,
      VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: 3,
      VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: 4,
      VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: 5,
      VFIO_DEVICE_FEATURE_DMA_LOGGING_START: 6,
      VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP: 7,
      VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: 8,
      VFIO_DEVICE_FEATURE_MIG_DATA_SIZE: 9,
      VFIO_DEVICE_FEATURE_BUS_MASTER: 10,
      VFIO_DEVICE_FEATURE_DMA_BUF: 11,
      VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2: 12,
    },
    since: {
      VFIO_DEVICE_FEATURE_MIG_DATA_SIZE: '6.2',
      VFIO_DEVICE_FEATURE_BUS_MASTER: '6.7',
      VFIO_DEVICE_FEATURE_DMA_BUF: '6.19',
      VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2: '7.1',
    },
  },
  /** the other bits of vfio_device_feature.flags */
  vfio_device_feature_flags: {
    kind: 'flags',
    prefix: 'VFIO_DEVICE_FEATURE_',
    members: { VFIO_DEVICE_FEATURE_GET: 0x1_0000, VFIO_DEVICE_FEATURE_SET: 0x2_0000, VFIO_DEVICE_FEATURE_PROBE: 0x4_0000 },
  },
  vfio_device_bind_flags: {
    kind: 'flags',
    prefix: 'VFIO_DEVICE_BIND_FLAG_',
    members: { VFIO_DEVICE_BIND_FLAG_TOKEN: 1 },
    since: { '': '6.18' },
  },
  vfio_device_attach_flags: {
    kind: 'flags',
    prefix: 'VFIO_DEVICE_ATTACH_',
    members: { VFIO_DEVICE_ATTACH_PASID: 1 },
    since: { '': '6.15' },
  },
  vfio_device_detach_flags: {
    kind: 'flags',
    prefix: 'VFIO_DEVICE_DETACH_',
    members: { VFIO_DEVICE_DETACH_PASID: 1 },
    since: { '': '6.15' },
  },
  vfio_migration_flags: {
    kind: 'flags',
    prefix: 'VFIO_MIGRATION_',
    members: { VFIO_MIGRATION_STOP_COPY: 1, VFIO_MIGRATION_P2P: 2, VFIO_MIGRATION_PRE_COPY: 4 },
    since: { VFIO_MIGRATION_PRE_COPY: '6.2' },
  },
  vfio_device_mig_state: {
    kind: 'enum',
    prefix: 'VFIO_DEVICE_STATE_',
    members: {
      VFIO_DEVICE_STATE_ERROR: 0,
      VFIO_DEVICE_STATE_STOP: 1,
      VFIO_DEVICE_STATE_RUNNING: 2,
      VFIO_DEVICE_STATE_STOP_COPY: 3,
      VFIO_DEVICE_STATE_RESUMING: 4,
      VFIO_DEVICE_STATE_RUNNING_P2P: 5,
      VFIO_DEVICE_STATE_PRE_COPY: 6,
      VFIO_DEVICE_STATE_PRE_COPY_P2P: 7,
    },
    since: { VFIO_DEVICE_STATE_PRE_COPY: '6.2', VFIO_DEVICE_STATE_PRE_COPY_P2P: '6.2' },
  },
  vfio_bus_master_op: {
    kind: 'enum',
    prefix: 'VFIO_DEVICE_FEATURE_',
    members: { VFIO_DEVICE_FEATURE_CLEAR_MASTER: 0, VFIO_DEVICE_FEATURE_SET_MASTER: 1 },
    since: { '': '6.7' },
  },
  vfio_pci_atomic_comp: {
    kind: 'flags',
    prefix: 'VFIO_PCI_',
    members: { VFIO_PCI_ATOMIC_COMP32: 1, VFIO_PCI_ATOMIC_COMP64: 2, VFIO_PCI_ATOMIC_COMP128: 4 },
    since: { '': '6.6' },
  },
  vfio_iommu_info_flags: {
    kind: 'flags',
    prefix: 'VFIO_IOMMU_INFO_',
    members: { VFIO_IOMMU_INFO_PGSIZES: 1, VFIO_IOMMU_INFO_CAPS: 2 },
  },
  vfio_dma_map_flags: {
    kind: 'flags',
    prefix: 'VFIO_DMA_MAP_FLAG_',
    members: { VFIO_DMA_MAP_FLAG_READ: 1, VFIO_DMA_MAP_FLAG_WRITE: 2, VFIO_DMA_MAP_FLAG_VADDR: 4 },
  },
  vfio_dma_unmap_flags: {
    kind: 'flags',
    prefix: 'VFIO_DMA_UNMAP_FLAG_',
    members: { VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP: 1, VFIO_DMA_UNMAP_FLAG_ALL: 2, VFIO_DMA_UNMAP_FLAG_VADDR: 4 },
  },
  vfio_dirty_pages_flags: {
    kind: 'flags',
    prefix: 'VFIO_IOMMU_DIRTY_PAGES_FLAG_',
    members: {
      VFIO_IOMMU_DIRTY_PAGES_FLAG_START: 1,
      VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP: 2,
      VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP: 4,
    },
  },
  vfio_device_info_cap: {
    kind: 'enum',
    prefix: 'VFIO_DEVICE_INFO_CAP_',
    members: {
      VFIO_DEVICE_INFO_CAP_ZPCI_BASE: 1,
      VFIO_DEVICE_INFO_CAP_ZPCI_GROUP: 2,
      VFIO_DEVICE_INFO_CAP_ZPCI_UTIL: 3,
      VFIO_DEVICE_INFO_CAP_ZPCI_PFIP: 4,
      VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP: 5,
    },
    since: { VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP: '6.6' },
  },
  vfio_region_info_cap: {
    kind: 'enum',
    prefix: 'VFIO_REGION_INFO_CAP_',
    members: {
      VFIO_REGION_INFO_CAP_SPARSE_MMAP: 1,
      VFIO_REGION_INFO_CAP_TYPE: 2,
      VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: 3,
      VFIO_REGION_INFO_CAP_NVLINK2_SSATGT: 4,
      VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD: 5,
    },
  },
  vfio_iommu_type1_info_cap: {
    kind: 'enum',
    prefix: ['VFIO_IOMMU_TYPE1_INFO_CAP_', 'VFIO_IOMMU_TYPE1_INFO_'],
    members: {
      VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: 1,
      VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: 2,
      VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: 3,
    },
  },
} as const satisfies Record<string, EnumRow>;

/** Which struct a capability of a chain holds, by the chain's name and the capability's constant. All begin with vfio_info_cap_header. */
export const chainRows = {
  vfio_device_info_cap: { VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP: 'vfio_device_info_cap_pci_atomic_comp' },
  vfio_region_info_cap: {
    VFIO_REGION_INFO_CAP_SPARSE_MMAP: 'vfio_region_info_cap_sparse_mmap',
    VFIO_REGION_INFO_CAP_TYPE: 'vfio_region_info_cap_type',
    VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: 'vfio_info_cap_header',
    VFIO_REGION_INFO_CAP_NVLINK2_SSATGT: 'vfio_region_info_cap_nvlink2_ssatgt',
    VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD: 'vfio_region_info_cap_nvlink2_lnkspd',
  },
  vfio_iommu_type1_info_cap: {
    VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: 'vfio_iommu_type1_info_cap_iova_range',
    VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: 'vfio_iommu_type1_info_cap_migration',
    VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: 'vfio_iommu_type1_info_dma_avail',
  },
} as const satisfies Record<string, Readonly<Record<string, string>>>;
