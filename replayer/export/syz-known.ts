import type { FileRole, ObjectType } from '../../hw/uapi/types.ts';

/**
 * Calls that syzkaller describes itself (sys/linux/dev_iommu.txt, as of 2026): by the command or IOMMU_TEST_CMD's operation, with
 * what must hold for a call to be one of that kind. Where nothing holds, the descriptions of syz-descriptions.ts are needed.
 */
export interface KnownCall {
  readonly name: string;
  /** command, or operation of IOMMU_TEST_CMD */
  readonly of: string;
  /** fields and the number that each has */
  readonly when?: Readonly<Record<string, number>>;
  /** type of the object whose id the call names */
  readonly object?: readonly ObjectType[];
  /** bytes of the struct there, where it is shorter than the newest */
  readonly size?: number;
  /** memory that the call names is whole pages */
  readonly pages?: true;
}

export const KNOWN: readonly KnownCall[] = [
  { name: 'ioctl$IOMMU_DESTROY$ioas', of: 'IOMMU_DESTROY', object: ['IOAS'] },
  { name: 'ioctl$IOMMU_DESTROY$hwpt', of: 'IOMMU_DESTROY', object: ['HWPT_PAGING', 'HWPT_NESTED'] },
  { name: 'ioctl$IOMMU_DESTROY$stdev', of: 'IOMMU_DESTROY', object: ['SELFTEST'] },
  { name: 'ioctl$IOMMU_IOAS_ALLOC', of: 'IOMMU_IOAS_ALLOC' },
  { name: 'ioctl$IOMMU_IOAS_IOVA_RANGES', of: 'IOMMU_IOAS_IOVA_RANGES' },
  { name: 'ioctl$IOMMU_IOAS_ALLOW_IOVAS', of: 'IOMMU_IOAS_ALLOW_IOVAS' },
  { name: 'ioctl$IOMMU_IOAS_MAP$PAGES', of: 'IOMMU_IOAS_MAP', pages: true },
  { name: 'ioctl$IOMMU_IOAS_COPY', of: 'IOMMU_IOAS_COPY' },
  { name: 'ioctl$IOMMU_IOAS_UNMAP', of: 'IOMMU_IOAS_UNMAP' },
  { name: 'ioctl$IOMMU_OPTION$IOMMU_OPTION_RLIMIT_MODE', of: 'IOMMU_OPTION', when: { option_id: 0, object_id: 0 } },
  { name: 'ioctl$IOMMU_OPTION$IOMMU_OPTION_HUGE_PAGES', of: 'IOMMU_OPTION', when: { option_id: 1 } },
  { name: 'ioctl$IOMMU_VFIO_IOAS$GET', of: 'IOMMU_VFIO_IOAS', when: { op: 0, ioas_id: 0 } },
  { name: 'ioctl$IOMMU_VFIO_IOAS$SET', of: 'IOMMU_VFIO_IOAS', when: { op: 1 } },
  { name: 'ioctl$IOMMU_VFIO_IOAS$CLEAR', of: 'IOMMU_VFIO_IOAS', when: { op: 2, ioas_id: 0 } },
  { name: 'ioctl$IOMMU_HWPT_ALLOC$NONE', of: 'IOMMU_HWPT_ALLOC', when: { data_type: 0, data_len: 0, data_uptr: 0 }, size: 40 },
  { name: 'ioctl$IOMMU_HWPT_SET_DIRTY_TRACKING', of: 'IOMMU_HWPT_SET_DIRTY_TRACKING' },
  { name: 'ioctl$IOMMU_TEST_OP_ADD_RESERVED', of: 'IOMMU_TEST_OP_ADD_RESERVED' },
  { name: 'ioctl$IOMMU_TEST_OP_MOCK_DOMAIN', of: 'IOMMU_TEST_OP_MOCK_DOMAIN' },
  { name: 'ioctl$IOMMU_TEST_OP_CREATE_ACCESS', of: 'IOMMU_TEST_OP_CREATE_ACCESS' },
  { name: 'ioctl$IOMMU_TEST_OP_DESTROY_ACCESS_PAGES', of: 'IOMMU_TEST_OP_DESTROY_ACCESS_PAGES' },
  { name: 'ioctl$IOMMU_TEST_OP_ACCESS_REPLACE_IOAS', of: 'IOMMU_TEST_OP_ACCESS_REPLACE_IOAS' },
  { name: 'ioctl$IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT', of: 'IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT', when: { id: 0 } },
];

/** What syzkaller calls ids and descriptors, by type of object or role of file. */
export const OBJECT_RESOURCES: Readonly<Partial<Record<ObjectType, string>>> = {
  IOAS: 'ioas_handle',
  HWPT_PAGING: 'hwpt_handle',
  HWPT_NESTED: 'hwpt_handle',
  DEVICE: 'device_handle',
  SELFTEST: 'selftest_device_handle',
};
export const FILE_RESOURCES: Readonly<Partial<Record<FileRole, string>>> = { IOMMUFD: 'fd_iommufd', ACCESS: 'fd_access' };
