/** vIOMMUs and what stands on them. drivers/iommu/iommufd/viommu.c and eventq.c. */
import { alignmentOf, covering, PAGE, TOP } from './areas.ts';
import { driverOf } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { NEST_PARENT } from './hwpt.ts';
import { misaligned, reserved, unknownFlags } from './ioas.ts';
import { SELFTEST_VIOMMU } from './mock.ts';
import { insert, object } from './objects.ts';
import { DRIVER, MEMORY, PHYSICAL } from './reasons.ts';
import type { Access, Fault, HwQueue, Vdevice, Veventq, Viommu } from './state.ts';
import { hex, nameOf } from './words.ts';

/** flags, or type 0 */
function flagsOrType(c: Call, rule: string): boolean {
  if (c.u32('flags') !== 0 && c.refuse('EOPNOTSUPP', `${rule}.flags`, unknownFlags(c, 0))) return true;
  return c.u32('type') === 0 && c.refuse('EOPNOTSUPP', `${rule}.type`, { field: 'type', text: 'type is 0', wanted: 'a type' });
}

const allocViommu: Rule = (c) => {
  if (flagsOrType(c, 'viommu-alloc')) return;
  const device = object(c, 'dev_id', 'DEVICE');
  if (device === undefined) return;
  const kind = c.u32('type');
  if (driverOf(device).viommuType(c, device, kind)) return;
  const parent = object(c, 'hwpt_id', 'HWPT_PAGING');
  if (parent === undefined) return;
  if (
    (parent.flags & NEST_PARENT) === 0 &&
    c.refuse('EINVAL', 'viommu-alloc.parent', {
      field: 'hwpt_id',
      text: `${nameOf(parent)} was not made with NEST_PARENT`,
      wanted: 'a HWPT made with IOMMU_HWPT_ALLOC_NEST_PARENT',
      because: [parent],
    })
  )
    return;
  const viommu: Viommu = {
    type: 'VIOMMU',
    id: c.newId('out_viommu_id'),
    context: c.context,
    birth: c.request.seq,
    users: 0,
    kind,
    parent,
    device,
    vdevices: new Map(),
    veventqs: new Map(),
    queues: new Map(),
    region: undefined,
  };
  if (driverOf(device).viommu(c, viommu)) return;
  c.then(() => {
    insert(viommu);
    parent.users++;
  });
};

const allocVdevice: Rule = (c) => {
  const viommu = object(c, 'viommu_id', 'VIOMMU');
  if (viommu === undefined) return;
  const device = object(c, 'dev_id', 'DEVICE');
  if (device === undefined) return;
  const virtId = c.u64('virt_id');
  if (
    device.driver.name !== viommu.device.driver.name &&
    c.refuse('EINVAL', 'vdevice-alloc.iommu', {
      field: 'dev_id',
      text: `${nameOf(device)} is behind another IOMMU than ${nameOf(viommu)}`,
      because: [device, viommu],
    })
  )
    return;
  if (
    c.traits.oneVdevice &&
    device.vdevice !== undefined &&
    c.refuse('EEXIST', 'vdevice-alloc.device', {
      field: 'dev_id',
      text: `${nameOf(device)} has ${nameOf(device.vdevice)} already`,
      because: [device, device.vdevice],
    })
  )
    return;
  const other = viommu.vdevices.get(virtId);
  if (
    other !== undefined &&
    c.refuse('EEXIST', 'vdevice-alloc.virt-id', {
      field: 'virt_id',
      text: `virtual id ${hex(virtId)} is ${nameOf(other)} on ${nameOf(viommu)}`,
      because: [viommu, other],
    })
  )
    return;
  if (device.driver.name !== 'mock')
    for (const errno of ['EOPNOTSUPP', 'EINVAL', 'ENOSPC']) if (c.mayRefuse(errno, DRIVER, 'vdevice-alloc.driver')) return;
  const vdevice: Vdevice = {
    type: 'VDEVICE',
    id: c.newId('out_vdevice_id'),
    context: c.context,
    birth: c.request.seq,
    users: 0,
    viommu,
    device,
    virtId,
  };
  c.then(() => {
    insert(vdevice);
    viommu.users++;
    viommu.vdevices.set(virtId, vdevice);
    device.vdevice = vdevice;
  });
};

const DEPTH = 2 ** 19;

const allocVeventq: Rule = (c) => {
  if (c.u32('flags') !== 0 && c.refuse('EOPNOTSUPP', 'veventq-alloc.flags', unknownFlags(c, 0))) return;
  if (reserved(c, '__reserved')) return;
  const kind = c.u32('type');
  if (kind === 0 && c.refuse('EOPNOTSUPP', 'veventq-alloc.type', { field: 'type', text: 'type is 0' })) return;
  const depth = c.u32('veventq_depth');
  if (
    (depth === 0 || (c.traits.veventqBounds && depth > DEPTH)) &&
    c.refuse('EINVAL', 'veventq-alloc.depth', { field: 'veventq_depth', text: `depth ${depth}`, wanted: `1 to ${DEPTH}` })
  )
    return;
  const viommu = object(c, 'viommu_id', 'VIOMMU');
  if (viommu === undefined) return;
  const other = viommu.veventqs.get(kind);
  if (
    other !== undefined &&
    c.refuse('EEXIST', 'veventq-alloc.exists', {
      field: 'type',
      text: `${nameOf(viommu)} has ${nameOf(other)} of that type already`,
      because: [viommu, other],
    })
  )
    return;
  const queue: Veventq = {
    type: 'VEVENTQ',
    id: c.newId('out_veventq_id'),
    context: c.context,
    birth: c.request.seq,
    users: 1,
    viommu,
    kind,
    depth,
    sequence: 0,
    waiting: [],
  };
  c.newFile('out_veventq_fd', { kind: 'veventq', context: c.context, object: queue });
  c.then(() => {
    insert(queue);
    viommu.users++;
    viommu.veventqs.set(kind, queue);
  });
};

const allocFault: Rule = (c) => {
  if (c.u32('flags') !== 0 && c.refuse('EOPNOTSUPP', 'fault-alloc.flags', unknownFlags(c, 0))) return;
  const fault: Fault = {
    type: 'FAULT',
    id: c.newId('out_fault_id'),
    context: c.context,
    birth: c.request.seq,
    users: 1,
    waiting: [],
    answered: new Map(),
  };
  c.newFile('out_fault_fd', { kind: 'fault', context: c.context, object: fault });
  c.then(() => insert(fault));
};

const allocQueue: Rule = (c) => {
  if (flagsOrType(c, 'hw-queue-alloc')) return;
  const [base, length] = [c.u64('nesting_parent_iova'), c.u64('length')];
  if (length === 0n && c.refuse('EINVAL', 'hw-queue-alloc.length', { field: 'length', text: 'length is 0' })) return;
  if (
    base + length - 1n > TOP &&
    c.refuse('EOVERFLOW', 'hw-queue-alloc.overflow', {
      field: 'nesting_parent_iova',
      text: `${hex(base)} + ${hex(length)} goes over the end of the address space`,
    })
  )
    return;
  const viommu = object(c, 'viommu_id', 'VIOMMU');
  if (viommu === undefined) return;
  const [kind, index] = [c.u32('type'), c.u32('index')];
  const mock = viommu.device.driver.name === 'mock';
  if (
    mock &&
    kind !== SELFTEST_VIOMMU &&
    c.refuse('EOPNOTSUPP', 'hw-queue-alloc.unsupported', {
      field: 'type',
      text: `${nameOf(viommu)} has no queues of type ${hex(kind)}`,
      because: [viommu],
    })
  )
    return;
  if (!mock) for (const errno of ['EOPNOTSUPP', 'EINVAL', 'EEXIST', 'EIO']) if (c.mayRefuse(errno, DRIVER, 'hw-queue-alloc.driver')) return;
  const { ioas } = viommu.parent;
  const id = c.newId('out_hw_queue_id');
  const access: Access = {
    type: 'ACCESS',
    id: c.newId(''),
    context: c.context,
    birth: c.request.seq,
    users: 1,
    ioas,
    pins: true,
    nextItem: 0,
    owner: 'hw-queue',
  };
  const unaligned = alignmentOf(ioas) < PAGE ? misaligned(ioas, PAGE) : undefined;
  if (
    unaligned &&
    c.refuse('EADDRINUSE', 'hw-queue-alloc.alignment', {
      field: 'nesting_parent_iova',
      text: `${hex(unaligned.start)} to ${hex(unaligned.last)} of ${nameOf(ioas)} is not aligned to pages`,
      because: [ioas],
    })
  )
    return;
  const range = { start: (base / PAGE) * PAGE, last: ((base + length + PAGE - 1n) / PAGE) * PAGE - 1n };
  const areas = covering(ioas, range);
  if (
    areas === undefined &&
    c.refuse('ENOENT', 'hw-queue-alloc.hole', {
      field: 'nesting_parent_iova',
      text: `${hex(range.start)} to ${hex(range.last)} is not mapped throughout in ${nameOf(ioas)}`,
      because: [ioas],
    })
  )
    return;
  if (areas === undefined) return;
  if (
    areas.some((a) => !a.read) &&
    c.refuse('EPERM', 'hw-queue-alloc.no-read', {
      field: 'nesting_parent_iova',
      text: 'the queue is mapped without READABLE',
      because: [ioas],
    })
  )
    return;
  if (c.mayRefuse('EFAULT', range.last - range.start + 1n > PAGE ? PHYSICAL : MEMORY, 'hw-queue-alloc.pages')) return;
  if (mock) {
    if (
      index >= 2 &&
      c.refuse('EINVAL', 'mock.queue-index', { field: 'index', text: `index ${index}; a mock vIOMMU has 2 queues`, because: [viommu] })
    )
      return;
    const there = viommu.queues.get(index);
    if (
      there !== undefined &&
      c.refuse('EEXIST', 'mock.queue-exists', { field: 'index', text: `index ${index} is ${nameOf(there)}`, because: [viommu, there] })
    )
      return;
    if (
      index > 0 &&
      !viommu.queues.has(index - 1) &&
      c.refuse('EIO', 'mock.queue-order', {
        field: 'index',
        text: `there is no queue ${index - 1} yet`,
        wanted: 'queues made in the order of their indexes',
        because: [viommu],
      })
    )
      return;
  }
  const queue: HwQueue = {
    type: 'HW_QUEUE',
    id,
    context: c.context,
    birth: c.request.seq,
    users: 0,
    viommu,
    kind,
    index,
    base: range.start,
    length: range.last - range.start + 1n,
    access,
  };
  c.then(() => {
    insert(queue);
    insert(access);
    ioas.users++;
    ioas.accesses.push(access);
    for (const a of areas) a.locked++;
    viommu.users++;
    viommu.queues.set(index, queue);
    const before = viommu.queues.get(index - 1);
    if (before) before.users++;
  });
};

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_VIOMMU_ALLOC: allocViommu,
  IOMMU_VDEVICE_ALLOC: allocVdevice,
  IOMMU_VEVENTQ_ALLOC: allocVeventq,
  IOMMU_FAULT_QUEUE_ALLOC: allocFault,
  IOMMU_HW_QUEUE_ALLOC: allocQueue,
};
