/** The mock driver: drivers/iommu/iommufd/selftest.c. */
import { addressOf, contiguous } from './access.ts';
import { firstAt, higher, lower } from './areas.ts';
import type { Call } from './call.ts';
import { type Driver, type UserData, userData } from './driver.ts';
import { mockHwInfo, mockInvalidate, mockQueue, mockQueueType, mockViommu } from './mock-viommu.ts';
import { PHYSICAL, UNSEEN } from './reasons.ts';
import type { Device, DomainTraits, Hwpt, HwptPaging, Ioas, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

export const NO_DIRTY = 1;
/** before page table types there was this device flag */
const HUGE_IOVA = 2;
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
/** the PASID whose second attachment fails, and so on in turns */
const RIGGED_PASID = 1024;
const DIRTY = 2;
const NEST_PARENT = 1;
const PASID = 8;
const PAGE_BYTES = 4096n;
const HUGE_PAGE = 1n << 20n;

const plain: DomainTraits = { name: 'mock', pageSize: 2048n, aperture: { start: 0x1000000n, last: 0x7fffffffn } };
const huge: DomainTraits = {
  name: 'mock, huge pages',
  pageSize: 4096n,
  pageSizes: 0x1000n | HUGE_PAGE,
  aperture: { start: 0n, last: 0x3f_ffff_ffffn },
};

/** Bits that an enum of flags of this dialect has. */
export function bitsOf(c: Call, name: string): number {
  let bits = 0;
  for (const value of c.table.enum(name)?.members.values() ?? []) bits |= value;
  return bits;
}

/** iommu_hwpt_selftest: 4 bytes before it had pagetable_type, 8 since. */
const configOf = (c: Call, data: UserData): DataView | undefined => userData(c, data, 4, c.table.struct('iommu_hwpt_selftest')?.size ?? 4);

function wrongType(c: Call, data: UserData): boolean {
  if (data.type === SELFTEST_DATA) return false;
  const text = `the mock driver does not know data of type ${hex(data.type)}`;
  return c.refuse('EOPNOTSUPP', 'mock.data-type', { field: 'data_type', text, wanted: hex(SELFTEST_DATA) });
}

export const mockDriver: Driver = {
  paging(c, device, flags, data) {
    const known = DIRTY | NEST_PARENT | (c.traits.queueRules === 'none' ? 0 : PASID);
    if ((flags & ~known) !== 0) {
      const text = `the mock driver does not know flags ${hex((flags & ~known) >>> 0)}`;
      if (c.refuse('EOPNOTSUPP', 'mock.paging-flags', { field: 'flags', text, wanted: `bits of ${hex(known)}` })) return undefined;
    }
    const generic = c.traits.mockTables === 'generic';
    if (
      data.length > 0 &&
      !generic &&
      c.refuse('EOPNOTSUPP', 'mock.paging-data', {
        field: 'data_len',
        text: 'this mock driver takes no data for a paging HWPT',
        wanted: '0',
      })
    )
      return undefined;
    if (
      (flags & DIRTY) !== 0 &&
      (device.flags & NO_DIRTY) !== 0 &&
      c.refuse('EOPNOTSUPP', 'mock.no-dirty', { field: 'flags', text: `${nameOf(device)} cannot track dirty pages`, because: [device] })
    )
      return undefined;
    const sizes = generic ? 0x1f_ffff_f800n : (device.flags & HUGE_IOVA) === 0 ? 0x800n : 0x800n | HUGE_PAGE;
    if (data.length === 0 || !generic) return { ...plain, pageSizes: sizes };
    if (wrongType(c, data)) return undefined;
    const view = configOf(c, data);
    if (view === undefined) return undefined;
    const table = view.byteLength < 8 ? 0 : view.getUint32(4, true);
    if (
      table > 1 &&
      c.refuse('EOPNOTSUPP', 'mock.page-table', { field: data.field, text: `there is no page table type ${table}`, wanted: '0 or 1' })
    )
      return undefined;
    return table === 1 ? huge : { ...plain, pageSizes: sizes };
  },

  nested(c, _device, flags, data) {
    const known = c.traits.queueRules === 'none' ? 0 : PASID;
    if (
      (flags & ~known) !== 0 &&
      c.refuse('EOPNOTSUPP', 'mock.nested-flags', {
        field: 'flags',
        text: `flags ${hex(flags)} on a nested domain`,
        wanted: `bits of ${hex(known)}`,
      })
    )
      return undefined;
    if (wrongType(c, data)) return undefined;
    const view = configOf(c, data);
    if (view === undefined) return undefined;
    return Array.from({ length: 4 }, () => view.getUint32(0, true));
  },

  attach: (c, device, hwpt, pasid) => (pasid === 0 ? attachPlain(c, device, hwpt) : attachPasid(c, device, pasid)),

  detached(device, pasid) {
    if (pasid === 0) device.mockVirtual = undefined;
    else if (pasid === RIGGED_PASID) device.mockFails = false;
  },

  readDirty,

  viommuType(c, _device, type) {
    const text = `the mock driver has no vIOMMU of type ${hex(type)}`;
    return type !== SELFTEST_VIOMMU && c.refuse('EOPNOTSUPP', 'mock.viommu-type', { field: 'type', text, wanted: hex(SELFTEST_VIOMMU) });
  },

  viommu: mockViommu,
  vdevice: () => false,
  queues: (c) => c.traits.queueRules !== 'v1',
  queueType: mockQueueType,
  queue: mockQueue,
  vcmdq: () => undefined,
  hwInfo: mockHwInfo,
  invalidate: mockInvalidate,
};

/** Without a PASID: the device learns its virtual id. */
function attachPlain(c: Call, device: Device, hwpt: Hwpt): boolean {
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
  const viommu = hwpt.type === 'HWPT_NESTED' ? hwpt.viommu : undefined;
  const vdevice = viommu === undefined ? undefined : [...viommu.vdevices.values()].find((v) => v.device === device);
  if (
    viommu !== undefined &&
    vdevice === undefined &&
    c.refuse('ENOENT', 'mock.attach-vdevice', {
      text: `${nameOf(device)} has no vDEVICE on ${nameOf(viommu)}`,
      wanted: 'IOMMU_VDEVICE_ALLOC first',
      because: [device, hwpt, viommu],
    })
  )
    return true;
  c.then(() => {
    // an id that was given since to the same vIOMMU is not looked at
    if (device.mockVirtual?.viommu === viommu) return;
    device.mockVirtual = viommu === undefined || vdevice === undefined ? undefined : { viommu, virtId: vdevice.virtId };
  });
  return false;
}

/** With a PASID: neither dirty tracking nor a vDEVICE is looked at. */
function attachPasid(c: Call, device: Device, pasid: number): boolean {
  const limit = (device.flags & PASID_DEVICE) !== 0 ? MAX_PASID : 0;
  if (pasid >= limit) {
    const text = limit === 0 ? `${nameOf(device)} has no PASIDs` : `PASID ${pasid} is beyond the limit of ${nameOf(device)}`;
    if (c.refuse('EINVAL', 'mock.pasid', { text, wanted: limit === 0 ? 'a device with PASIDs' : `below ${limit}`, because: [device] }))
      return true;
  }
  if (pasid !== RIGGED_PASID) return false;
  const fails = device.mockFails === true;
  c.already(() => {
    device.mockFails = !fails;
  });
  if (!fails) return false;
  const text = `the mock driver fails every second attachment of PASID ${RIGGED_PASID}`;
  return c.refuse('ENOMEM', 'mock.pasid-rigged', { text, because: [device] });
}

// ---- dirty pages: HwptPaging.dirty has the index of each, in pages of the domain ----
//
// The array keeps them page by page. Real tables (6.19) keep a bit for each entry, and an entry is as big as memory that
// lies together allows, which nobody sees: there only a bitmap without dirty pages near is determined, and others are
// what comes of entries of one page of memory.

/** The driver is told that pages are dirty; gives how many it says there were. `unit`: bytes that an address stands for. */
export function markDirty(c: Call, hwpt: HwptPaging, addresses: readonly bigint[], unit: bigint): number {
  const { pageSize } = hwpt.driver;
  const array = c.traits.mockTables === 'array';
  // the array is indexed by the unit of the call, though its entries are pages of 2 KiB
  const pages = addresses.map((a) => (array ? a / unit : a / pageSize));
  const there = pages.filter((p) => isMapped(hwpt.ioas, p * pageSize));
  c.then(() => {
    for (const page of there) hwpt.dirty.add(page);
  });
  return array ? there.length : addresses.length;
}

function isMapped(ioas: Ioas, iova: bigint): boolean {
  const area = ioas.areas[firstAt(ioas, iova)];
  return area !== undefined && area.start <= iova && !area.pages.revoked;
}

/** What was dirty of a range is forgotten: its mapping ends. */
export function forgetDirty(ioas: Ioas, range: Range): void {
  for (const { dirty, driver } of ioas.hwpts) {
    if (dirty.size === 0) continue;
    for (const page of dirty) if (page * driver.pageSize <= range.last && (page + 1n) * driver.pageSize > range.start) dirty.delete(page);
  }
}

/**
 * GET_DIRTY_BITMAP: bits are added to those that the bitmap has. The walk ends at the first hole; what comes behind it is
 * neither told nor cleared. A bit stands for the lowest set bit of page_size, bytes.
 */
function readDirty(c: Call, hwpt: HwptPaging, range: Range, unit: bigint, clear: boolean): void {
  const size = hwpt.driver.pageSize;
  const array = c.traits.mockTables === 'array';
  // bounds of the walk and of the areas under it, as numbers of pages
  const pieces = contiguous(hwpt.ioas, range).pieces.map((p) => ({
    first: p.start / size,
    last: p.last / size,
    begin: p.area.start / size,
    end: p.area.last / size,
  }));
  const found: bigint[] = [];
  let near = array && (hwpt.device.flags & HUGE_IOVA) !== 0 && hwpt.dirty.size > 0;
  const huge = array ? undefined : hugeEntries(c, hwpt);
  for (const page of array && !hwpt.dirtyTracking ? [] : hwpt.dirty) {
    const entry = huge?.(page);
    const from = entry === undefined ? page : entry.start / size;
    const to = entry === undefined ? page : entry.last / size;
    for (const p of pieces) {
      if (from > p.end || to < p.begin) continue;
      near ||= !array && c.request.together === undefined;
      if (from <= p.last && to >= p.first) found.push(page);
      break;
    }
  }
  c.then(() => {
    if (!clear) return;
    for (const page of found) {
      hwpt.dirty.delete(page);
      // the other half of the entry
      if (!array && size < PAGE_BYTES) hwpt.dirty.delete(page ^ 1n);
    }
  });
  const before = c.nested('data');
  const shift = unit & -unit;
  const bytes = Number(((range.last - range.start) / shift + 64n) / 64n) * 8;
  if (before === undefined || before.bytes.length < bytes) {
    if (found.length > 0) c.unknownNested('data', UNSEEN);
    return;
  }
  const bitmap = before.bytes.slice();
  const set = (from: bigint, to: bigint): void => {
    const last = Number((lower(to, range.last) - range.start) / shift);
    for (let bit = Number((higher(from, range.start) - range.start) / shift); bit <= last; bit++) bitmap[bit >> 3]! |= 1 << (bit & 7);
  };
  for (const page of found) {
    const told = array ? { start: page * size, last: (page + 1n) * size - 1n } : (huge?.(page) ?? entryOf(hwpt, page));
    if (told.start <= told.last) set(told.start, told.last);
  }
  if (near) c.guessNested('data', bitmap, PHYSICAL);
  else c.writeNested('data', bitmap);
}

/** Entries of memory that lies together, where that is known: page → the entry of 1 MiB that it is part of. */
function hugeEntries(c: Call, hwpt: HwptPaging): ((page: bigint) => Range | undefined) | undefined {
  const { together } = c.request;
  const { pageSize, pageSizes } = hwpt.driver;
  if (together === undefined || pageSizes === undefined || (pageSizes & HUGE_PAGE) === 0n) return undefined;
  const known = new Map<bigint, Range | undefined>();
  return (page) => {
    const start = (page * pageSize) & -HUGE_PAGE;
    if (known.has(start)) return known.get(start);
    const area = hwpt.ioas.areas[firstAt(hwpt.ioas, start)];
    const last = start + HUGE_PAGE - 1n;
    const inside = area !== undefined && area.start <= start && area.last >= last;
    const entry = inside && together(area.pages, area.offset + (start - area.start), HUGE_PAGE) ? { start, last } : undefined;
    known.set(start, entry);
    return entry;
  };
}

/** What a table tells of a dirty page whose memory lies apart: of an entry of several items (2 KiB) all but the last one. */
function entryOf(hwpt: HwptPaging, page: bigint): Range {
  const { pageSize } = hwpt.driver;
  const at = page * pageSize;
  const whole = at - (at % PAGE_BYTES);
  const area = hwpt.ioas.areas[firstAt(hwpt.ioas, at)];
  const together =
    area !== undefined && area.start <= whole && area.last >= whole + PAGE_BYTES - 1n && addressOf(area, whole) % PAGE_BYTES === 0n;
  if (!together) return { start: at, last: at + pageSize - 1n };
  return { start: whole, last: whole + PAGE_BYTES - 2049n };
}
