/** The mock driver: drivers/iommu/iommufd/selftest.c. */
import { TOP } from './areas.ts';
import type { Call } from './call.ts';
import { type Driver, type UserData, userData } from './driver.ts';
import type { DomainTraits, Region, Viommu } from './state.ts';
import { hex, nameOf } from './words.ts';

export const NO_DIRTY = 1;
export const PASID_DEVICE = 4;
/** IOMMU_HWPT_DATA_SELFTEST, and the types of its invalidations */
export const SELFTEST_DATA = 0xdead;
export const SELFTEST_INVALIDATION = 0xdeadbeef;
export const SELFTEST_VIOMMU = 0xdeadbeef;
export const SELFTEST_VEVENT = 0xbeefbeef;
export const SELFTEST_HW_INFO = 0xfeedbeef;
/** what the words of a new device's cache hold */
export const CACHE_DEFAULT = 0xbaddad;
const MAX_PASID = 2 ** 20;
const DIRTY = 2;
const NEST_PARENT = 1;
const PASID = 8;
const PAGE_BYTES = 2n ** 12n;

const plain: DomainTraits = { name: 'mock', pageSize: 2048n, aperture: { start: 0x1000000n, last: 0x7fffffffn } };
const huge: DomainTraits = { name: 'mock, huge pages', pageSize: 4096n, aperture: { start: 0n, last: TOP } };

/** The page that a mock IOMMU shows through mmap. */
const REGION = 2n * PAGE_BYTES;

export const mockDriver: Driver = {
  paging(c, device, flags, data) {
    if (
      (flags & ~(DIRTY | NEST_PARENT | PASID)) !== 0 &&
      c.refuse('EOPNOTSUPP', 'mock.paging-flags', { field: 'flags', text: `the mock driver does not know flags ${hex(flags)}` })
    )
      return undefined;
    if (
      (flags & DIRTY) !== 0 &&
      (device.flags & NO_DIRTY) !== 0 &&
      c.refuse('EOPNOTSUPP', 'mock.no-dirty', { field: 'flags', text: `${nameOf(device)} cannot track dirty pages`, because: [device] })
    )
      return undefined;
    if (data.length === 0) return plain;
    if (
      data.type !== SELFTEST_DATA &&
      c.refuse('EOPNOTSUPP', 'mock.data-type', { field: 'data_type', text: `the mock driver does not know data of type ${hex(data.type)}` })
    )
      return undefined;
    const view = userData(c, data, 4, 8);
    if (view === undefined) return undefined;
    const table = view.getUint32(4, true);
    if (
      table > 1 &&
      c.refuse('EOPNOTSUPP', 'mock.page-table', { field: data.field, text: `there is no page table type ${table}`, wanted: '0 or 1' })
    )
      return undefined;
    return table === 1 ? huge : plain;
  },

  nested(c, _device, flags, data) {
    if (
      (flags & ~PASID) !== 0 &&
      c.refuse('EOPNOTSUPP', 'mock.nested-flags', { field: 'flags', text: `flags ${hex(flags)} on a nested domain` })
    )
      return undefined;
    if (
      data.type !== SELFTEST_DATA &&
      c.refuse('EOPNOTSUPP', 'mock.data-type', { field: 'data_type', text: `the mock driver does not know data of type ${hex(data.type)}` })
    )
      return undefined;
    const view = userData(c, data, 4, 8);
    if (view === undefined) return undefined;
    return Array.from({ length: 4 }, () => view.getUint32(0, true));
  },

  attach(c, device, hwpt, pasid) {
    if (hwpt.type === 'HWPT_NESTED' && hwpt.viommu !== undefined) {
      const own = device.vdevice !== undefined && device.vdevice.viommu === hwpt.viommu;
      if (
        !own &&
        c.refuse('ENOENT', 'mock.attach-vdevice', {
          text: `${nameOf(device)} has no vDEVICE on ${nameOf(hwpt.viommu)}`,
          wanted: 'IOMMU_VDEVICE_ALLOC first',
          because: [device, hwpt, hwpt.viommu],
        })
      )
        return true;
    }
    if (
      hwpt.type === 'HWPT_PAGING' &&
      (hwpt.flags & DIRTY) !== 0 &&
      (device.flags & NO_DIRTY) !== 0 &&
      c.refuse('EINVAL', 'mock.attach-dirty', {
        text: `${nameOf(hwpt)} tracks dirty pages, and ${nameOf(device)} cannot`,
        because: [hwpt, device],
      })
    )
      return true;
    if (pasid === 0) return false;
    if (
      (device.flags & PASID_DEVICE) !== 0 &&
      pasid >= MAX_PASID &&
      c.refuse('EINVAL', 'mock.pasid', { text: `PASID ${pasid} is beyond the limit of the device` })
    )
      return true;
    return pasid === 1024 && c.mayRefuse('ENOMEM', 'driver-private', 'mock.pasid-1024');
  },

  viommuType(c, _device, type) {
    return (
      type !== SELFTEST_VIOMMU &&
      c.refuse('EOPNOTSUPP', 'mock.viommu-type', { field: 'type', text: `the mock driver has no vIOMMU of type ${hex(type)}` })
    );
  },

  viommu: mockViommu,
};

function mockViommu(c: Call, viommu: Viommu): boolean {
  const data: UserData = { type: viommu.kind, length: c.u32('data_len'), field: 'data_uptr' };
  if (data.length === 0) return false;
  const view = userData(c, data, 8, 24);
  if (view === undefined) return true;
  const { context } = c;
  let offset = PAGE_BYTES;
  for (const r of context.regions) {
    if (r.offset - offset >= REGION) break;
    offset = r.offset + r.length;
  }
  const region: Region = { offset, length: REGION, owner: viommu };
  view.setUint32(4, view.getUint32(0, true), true);
  view.setBigUint64(8, region.offset, true);
  view.setBigUint64(16, region.length, true);
  c.writeNested('data_uptr', new Uint8Array(view.buffer).slice(0, Math.min(24, data.length)));
  viommu.region = region;
  c.then(() => {
    context.regions.push(region);
    context.regions.sort((a, b) => (a.offset < b.offset ? -1 : 1));
  });
  return false;
}
