/** What the mock driver adds to vIOMMUs, HW queues, invalidation and GET_HW_INFO. drivers/iommu/iommufd/selftest.c. */
import { PAGE } from './areas.ts';
import type { Call } from './call.ts';
import { type QueueRequest, type UserData, userData } from './driver.ts';
import { askedType, typeIn, typeOut } from './hardware.ts';
import { invalidation } from './invalidate.ts';
import { NO_DIRTY, PASID_DEVICE, SELFTEST_HW_INFO, SELFTEST_INVALIDATION, SELFTEST_VIOMMU } from './mock.ts';
import { MEMORY } from './reasons.ts';
import { allocateRegion } from './regions.ts';
import type { Device, HwptNested, Viommu } from './state.ts';
import { hex, nameOf } from './words.ts';

export function mockViommu(c: Call, viommu: Viommu): boolean {
  const has = c.table.has('IOMMU_VIOMMU_ALLOC', 'data_len');
  const data: UserData = { type: viommu.kind, length: has ? c.u32('data_len') : 0, field: 'data_uptr' };
  if (data.length === 0) return false;
  const size = c.table.struct('iommu_viommu_selftest')?.size ?? 24;
  const view = userData(c, data, 8, size);
  if (view === undefined) return true;
  const region = allocateRegion(c, viommu, BigInt(c.traits.mockRegionPages) * PAGE, 'data_uptr', 8);
  view.setUint32(4, view.getUint32(0, true), true);
  if (size >= 24) {
    view.setBigUint64(8, region.offset, true);
    view.setBigUint64(16, region.length, true);
  }
  c.writeNested('data_uptr', new Uint8Array(view.buffer).slice(0, Math.min(size, data.length)));
  return false;
}

/** → true where the call ends */
export function mockQueueType(c: Call, viommu: Viommu, kind: number): boolean {
  const text = `${nameOf(viommu)} has no queues of type ${hex(kind)}`;
  const wanted = hex(SELFTEST_VIOMMU);
  return (
    kind !== SELFTEST_VIOMMU && c.refuse('EOPNOTSUPP', 'hw-queue-alloc.unsupported', { field: 'type', text, wanted, because: [viommu] })
  );
}

/** Indexes of the mock driver's queues. → true where the call ends */
export function mockQueue(c: Call, viommu: Viommu, { index }: QueueRequest): boolean {
  if (
    index >= 2 &&
    c.refuse('EINVAL', 'mock.queue-index', {
      field: 'index',
      text: `index ${index}; a mock vIOMMU has 2 queues`,
      wanted: '0 or 1',
      because: [viommu],
    })
  )
    return true;
  const slots = viommu.mockSlots ?? 0;
  if ((slots & (1 << index)) !== 0) {
    const there = viommu.queues.get(index);
    const text = there
      ? `index ${index} is ${nameOf(there)}`
      : `index ${index} was a queue that was destroyed: the mock driver then frees index 0 instead`;
    const because = there ? [viommu, there] : [viommu];
    if (c.refuse('EEXIST', 'mock.queue-exists', { field: 'index', text, wanted: 'an index that is free', because })) return true;
  }
  const before = index > 0 && (slots & (1 << (index - 1))) !== 0;
  return (
    index > 0 &&
    !before &&
    c.refuse('EIO', 'mock.queue-order', {
      field: 'index',
      text: `there is no queue ${index - 1} yet`,
      wanted: 'queues made in the order of their indexes',
      because: [viommu],
    })
  );
}

/** How many entries were handled; undefined: not determined. */
export function mockInvalidate(c: Call, target: HwptNested | Viommu, count: number, size: number): number | undefined {
  if (
    c.u32('data_type') !== SELFTEST_INVALIDATION &&
    c.refuse('EINVAL', 'invalidate.data-type', {
      field: 'data_type',
      text: `the mock driver does not know data of type ${hex(c.u32('data_type'))}`,
      because: [target],
    })
  )
    return undefined;
  return target.type === 'VIOMMU' ? ofViommu(c, target, count, size) : ofHwpt(c, target, count, size);
}

function ofHwpt(c: Call, hwpt: HwptNested, count: number, size: number): number {
  if (count > 0 && size > 8 && c.refuse('EINVAL', 'invalidate.entry-len', { field: 'entry_len', text: `entry_len ${size} is above 8` }))
    return 0;
  for (let i = 0; i < count; i++) {
    const view = invalidation(c, i, size, 8, 8);
    if (view === undefined) return i;
    const [flags, id] = [view.getUint32(0, true), view.getUint32(4, true)];
    if (
      (flags & ~1) !== 0 &&
      c.refuse('EOPNOTSUPP', 'mock.invalidate-flags', { field: 'data_uptr', text: `entry ${i} has flags ${hex(flags)}` })
    )
      return i;
    if (id > 3 && c.refuse('EINVAL', 'mock.invalidate-iotlb', { field: 'data_uptr', text: `entry ${i} names IOTLB ${id} of 4` })) return i;
    c.already(() => {
      if (flags & 1) hwpt.iotlb.fill(0);
      else hwpt.iotlb[id] = 0;
    });
  }
  return count;
}

/** All entries are copied before the first is looked at; short ones count as zeros. */
function ofViommu(c: Call, viommu: Viommu, count: number, size: number): number {
  const entries: DataView[] = [];
  for (let i = 0; i < count; i++) {
    const view = invalidation(c, i, size, 0, 12);
    if (view === undefined) return 0;
    entries.push(view);
  }
  const wrong = (errno: string, rule: string, text: string, wanted: string): boolean =>
    c.refuse(errno, rule, { field: 'data_uptr', text, wanted, because: [viommu] });
  for (const [i, view] of entries.entries()) {
    const [flags, vdev, cache] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)];
    if ((flags & ~1) !== 0 && wrong('EOPNOTSUPP', 'mock.invalidate-flags', `entry ${i} has flags ${hex(flags)}`, 'bits of 0x1')) return i;
    if (cache > 3 && wrong('EINVAL', 'mock.invalidate-cache', `entry ${i} names cache ${cache} of 4`, '0 to 3')) return i;
    const device = viommu.vdevices.get(BigInt(vdev))?.device;
    if (device === undefined) {
      const text = `entry ${i}: ${nameOf(viommu)} has no vDEVICE with virtual id ${hex(vdev)}`;
      if (wrong('EINVAL', 'mock.invalidate-vdevice', text, 'the virt_id of a vDEVICE')) return i;
      continue;
    }
    c.already(() => {
      if (flags & 1) device.cache.fill(0);
      else device.cache[cache] = 0;
    });
  }
  return count;
}

/** GET_HW_INFO */
export function mockHwInfo(c: Call, device: Device): void {
  const asked = askedType(c);
  if (
    asked !== 0 &&
    asked !== SELFTEST_HW_INFO &&
    c.refuse('EOPNOTSUPP', 'hw-info.type', {
      field: typeIn(c),
      text: `the mock driver has no information of type ${hex(asked)}`,
      because: [device],
    })
  )
    return;
  const room = c.u32('data_len');
  if (room > 0) {
    if (c.u64('data_uptr') === 0n && c.refuse('EFAULT', 'hw-info.data', { field: 'data_uptr', text: 'data_uptr is NULL' })) return;
    if (c.mayRefuse('EFAULT', MEMORY, 'hw-info.data')) return;
    const bytes = new Uint8Array(Math.min(room, 65536));
    const info = new Uint8Array(8);
    new DataView(info.buffer).setUint32(4, 0xdeadbeef, true);
    bytes.set(info.subarray(0, bytes.length));
    c.writeNested('data_uptr', bytes);
  }
  c.set('data_len', 8);
  c.set(typeOut(c), SELFTEST_HW_INFO);
  const pasid = (device.flags & PASID_DEVICE) !== 0;
  let capabilities = (device.flags & NO_DIRTY) === 0 ? 1 : 0;
  capabilities |= c.table.enum('iommufd_hw_capabilities')?.members.get('IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED') ?? 0;
  if (c.table.has('IOMMU_GET_HW_INFO', 'out_max_pasid_log2')) c.set('out_max_pasid_log2', pasid ? 20 : 0);
  c.set('out_capabilities', capabilities);
}
