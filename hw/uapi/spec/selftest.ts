/**
 * IOMMU_TEST_CMD, which only a kernel with CONFIG_IOMMUFD_TEST has (drivers/iommu/iommufd/iommufd_test.h of Linux 7.2).
 * One ioctl, 23 operations: `op` selects the arm of the union and what `id` means.
 */
import type { CommandRow, FieldRow, TestOpRow } from '../types.ts';

const memory = (field: string) => ({ dir: 'mapped', of: 'memory', length: { rule: 'field', field, times: 1 } }) as const;
const ptId = { name: 'pt_id', type: 'u32', dir: 'inout', ref: ['IOAS', 'HWPT_PAGING', 'HWPT_NESTED'] } as const satisfies FieldRow;
const pasid = { name: 'pasid', type: 'u32', dir: 'in' } as const satisfies FieldRow;
const mockDomain = [
  { name: 'out_stdev_id', type: 'u32', dir: 'out', creates: ['SELFTEST'] },
  { name: 'out_hwpt_id', type: 'u32', dir: 'out', ref: ['HWPT_PAGING', 'HWPT_NESTED'] },
  { name: 'out_idev_id', type: 'u32', dir: 'out', creates: ['DEVICE'] },
] as const satisfies readonly FieldRow[];

/** The arms of the union at offset 16, 48 bytes. */
export const testArms = {
  add_reserved: [
    { name: 'start', type: 'u64', dir: 'in' },
    { name: 'length', type: 'u64', dir: 'in' },
  ],
  mock_domain: mockDomain,
  mock_domain_flags: [...mockDomain, { name: 'dev_flags', type: 'u32', dir: 'in', flags: 'anonymous:MOCK_FLAGS_DEVICE_NO_DIRTY' }],
  mock_domain_replace: [ptId],
  check_map: [
    { name: 'iova', type: 'u64', dir: 'in' },
    { name: 'length', type: 'u64', dir: 'in' },
    { name: 'uptr', type: 'u64', dir: 'in', nested: memory('check_map.length') },
  ],
  check_refs: [
    { name: 'length', type: 'u64', dir: 'in' },
    { name: 'uptr', type: 'u64', dir: 'in', nested: memory('check_refs.length') },
    { name: 'refs', type: 'u32', dir: 'in' },
  ],
  create_access: [
    { name: 'out_access_fd', type: 'u32', dir: 'out', fd: 'ACCESS', creates: ['ACCESS'], note: 'an fd; the id of the ACCESS is not told' },
    { name: 'flags', type: 'u32', dir: 'in', flags: 'anonymous:MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES' },
  ],
  destroy_access_pages: [{ name: 'access_pages_id', type: 'u32', dir: 'in' }],
  access_pages: [
    { name: 'flags', type: 'u32', dir: 'in', flags: 'anonymous:MOCK_FLAGS_ACCESS_WRITE' },
    { name: 'out_access_pages_id', type: 'u32', dir: 'out', note: 'number of the pin, per access from 0' },
    { name: 'iova', type: 'u64', dir: 'in' },
    { name: 'length', type: 'u64', dir: 'in' },
    { name: 'uptr', type: 'u64', dir: 'in', nested: memory('access_pages.length') },
  ],
  access_rw: [
    { name: 'iova', type: 'u64', dir: 'in' },
    { name: 'length', type: 'u64', dir: 'in' },
    {
      name: 'uptr',
      type: 'u64',
      dir: 'in',
      nested: { dir: 'inout', of: 'bytes', length: { rule: 'field', field: 'access_rw.length', times: 1 } },
      note: 'in with WRITE (memory to IOVA), else out',
    },
    { name: 'flags', type: 'u32', dir: 'in', flags: 'anonymous:MOCK_ACCESS_RW_WRITE' },
  ],
  memory_limit: [{ name: 'limit', type: 'u32', dir: 'in', note: 'bytes, of the whole kernel' }],
  access_replace_ioas: [{ name: 'ioas_id', type: 'u32', dir: 'in', ref: ['IOAS'], note: '0 = detach' }],
  dirty: [
    { name: 'flags', type: 'u32', dir: 'in', format: 'hex' },
    { name: 'iova', type: 'u64', dir: 'in' },
    { name: 'length', type: 'u64', dir: 'in' },
    { name: 'page_size', type: 'u64', dir: 'in' },
    {
      name: 'uptr',
      type: 'u64',
      dir: 'in',
      nested: { dir: 'in', of: 'bitmap', length: { rule: 'bitmap', length: 'dirty.length', page: 'dirty.page_size' } },
    },
    { name: 'out_nr_dirty', type: 'u64', dir: 'out', format: 'dec' },
  ],
  check_iotlb: [
    { name: 'id', type: 'u32', dir: 'in', note: 'index 0 … 3' },
    { name: 'iotlb', type: 'u32', dir: 'in', format: 'hex' },
  ],
  trigger_iopf: [
    { name: 'dev_id', type: 'u32', dir: 'in', ref: ['DEVICE'] },
    pasid,
    { name: 'grpid', type: 'u32', dir: 'in' },
    { name: 'perm', type: 'u32', dir: 'in', flags: 'iommu_hwpt_pgfault_perm' },
    { name: 'addr', type: 'u64', dir: 'in' },
  ],
  check_dev_cache: [
    { name: 'id', type: 'u32', dir: 'in', note: 'index 0 … 3' },
    { name: 'cache', type: 'u32', dir: 'in', format: 'hex' },
  ],
  trigger_vevent: [{ name: 'dev_id', type: 'u32', dir: 'in', ref: ['DEVICE'] }],
  pasid_attach: [pasid, ptId],
  pasid_replace: [pasid, ptId],
  pasid_detach: [pasid],
  pasid_check: [pasid, { name: 'hwpt_id', type: 'u32', dir: 'in', ref: ['HWPT_PAGING', 'HWPT_NESTED'], note: '0 = expect detached' }],
  dmabuf_get: [
    { name: 'length', type: 'u32', dir: 'in', note: 'bytes' },
    { name: 'open_flags', type: 'u32', dir: 'in', format: 'hex' },
  ],
  dmabuf_revoke: [
    { name: 'dmabuf_fd', type: 's32', dir: 'in', fd: 'DMABUF' },
    { name: 'revoked', type: 'u32', dir: 'in' },
  ],
} as const satisfies Record<string, readonly FieldRow[]>;

export const testOps = {
  IOMMU_TEST_OP_ADD_RESERVED: { value: 1, arm: 'add_reserved', id: ['IOAS'], note: 'reserves a range of IOVAs' },
  IOMMU_TEST_OP_MOCK_DOMAIN: {
    value: 2,
    arm: 'mock_domain',
    id: ['IOAS', 'HWPT_PAGING', 'HWPT_NESTED'],
    note: 'makes a mock device, binds and attaches it',
  },
  IOMMU_TEST_OP_MD_CHECK_MAP: { value: 3, arm: 'check_map', id: ['HWPT_PAGING'], note: 'compares a mapping with memory' },
  IOMMU_TEST_OP_MD_CHECK_REFS: { value: 4, arm: 'check_refs', id: 'unused', note: 'compares pin counts' },
  IOMMU_TEST_OP_CREATE_ACCESS: { value: 5, arm: 'create_access', id: ['IOAS'], note: 'makes an access and its file' },
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES: { value: 6, arm: 'destroy_access_pages', id: 'access-fd', note: 'unpins' },
  IOMMU_TEST_OP_ACCESS_PAGES: { value: 7, arm: 'access_pages', id: 'access-fd', note: 'pins and compares with memory' },
  IOMMU_TEST_OP_ACCESS_RW: { value: 8, arm: 'access_rw', id: 'access-fd', note: 'reads or writes through an access' },
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT: { value: 9, arm: 'memory_limit', id: 'unused', note: 'kernel-wide batch size' },
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE: { value: 10, arm: 'mock_domain_replace', id: ['SELFTEST'], note: 'attaches something else' },
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS: { value: 11, arm: 'access_replace_ioas', id: 'access-fd', note: 'moves an access' },
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS: {
    value: 12,
    arm: 'mock_domain_flags',
    id: ['IOAS', 'HWPT_PAGING', 'HWPT_NESTED'],
    note: 'MOCK_DOMAIN with device flags',
  },
  IOMMU_TEST_OP_DIRTY: { value: 13, arm: 'dirty', id: ['HWPT_PAGING'], note: 'marks pages dirty' },
  IOMMU_TEST_OP_MD_CHECK_IOTLB: { value: 14, arm: 'check_iotlb', id: ['HWPT_NESTED'], note: 'compares a mock IOTLB entry' },
  IOMMU_TEST_OP_TRIGGER_IOPF: { value: 15, arm: 'trigger_iopf', id: 'unused', note: 'raises an I/O page fault' },
  IOMMU_TEST_OP_DEV_CHECK_CACHE: { value: 16, arm: 'check_dev_cache', id: ['DEVICE'], note: 'compares a mock device cache entry' },
  IOMMU_TEST_OP_TRIGGER_VEVENT: { value: 17, arm: 'trigger_vevent', id: 'unused', note: 'raises a vIOMMU event' },
  IOMMU_TEST_OP_PASID_ATTACH: { value: 18, arm: 'pasid_attach', id: ['SELFTEST'], note: 'attaches a PASID' },
  IOMMU_TEST_OP_PASID_REPLACE: { value: 19, arm: 'pasid_replace', id: ['SELFTEST'], note: 'replaces an attachment' },
  IOMMU_TEST_OP_PASID_DETACH: { value: 20, arm: 'pasid_detach', id: ['SELFTEST'], note: 'detaches a PASID' },
  IOMMU_TEST_OP_PASID_CHECK_HWPT: { value: 21, arm: 'pasid_check', id: ['SELFTEST'], note: 'compares what is attached' },
  IOMMU_TEST_OP_DMABUF_GET: { value: 22, arm: 'dmabuf_get', id: 'unused', note: 'the fd is the return value', returns: { fd: 'DMABUF' } },
  IOMMU_TEST_OP_DMABUF_REVOKE: { value: 23, arm: 'dmabuf_revoke', id: 'unused', note: 'takes the pages of a dma-buf away' },
} as const satisfies Record<string, TestOpRow>;

export const testCommands = {
  IOMMU_TEST_CMD: {
    nr: 0xa0,
    target: 'iommufd',
    since: '6.2',
    struct: 'iommu_test_cmd',
    min: 'last',
    note: 'the kernel’s own test hook; its arms are testArms, its operations testOps',
    fields: [
      { name: 'size', type: 'u32', dir: 'in' },
      { name: 'op', type: 'u32', dir: 'in', enum: 'IOMMU_TEST_OP' },
      { name: 'id', type: 'u32', dir: 'in', ref: ['OP'] },
      { name: '__reserved', type: 'u32', dir: 'in', pad: true, note: 'not checked' },
      { name: 'last', type: 'u32', dir: 'in', pad: true, note: 'must be there, its value does not matter' },
    ],
    arms: { union: 'u0', before: 'last', rows: testArms },
  },
} as const satisfies Record<string, CommandRow>;
