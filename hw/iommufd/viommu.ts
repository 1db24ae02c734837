/** vIOMMUs and what stands on them. drivers/iommu/iommufd/viommu.c and eventq.c. */

import { type Piece, pin, pinnable as pinnablePages } from './access.ts';
import { alignmentOf, PAGE, TOP, touching } from './areas.ts';
import { driverOf } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { NEST_PARENT } from './hwpt.ts';
import { misaligned, reserved, unknownFlags } from './ioas.ts';
import { SELFTEST_VIOMMU } from './mock.ts';
import { insert, object } from './objects.ts';
import { DRIVER, PHYSICAL } from './reasons.ts';
import type { Access, Fault, HwQueue, Range, Vdevice, Veventq, Viommu } from './state.ts';
import { type QueueTraits, queueTraits } from './traits.ts';
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

/** Fields of the command that makes a queue, whose names differ between the series. */
const BASES = ['nesting_parent_iova', 'base_addr', 'addr'] as const;
const OUTS = ['out_hw_queue_id', 'out_vqueue_id', 'out_vcmdq_id'] as const;

/** The field that holds a queue's address. */
export const baseField = (c: { readonly command: Call['command'] }): string => fieldOf(c, BASES);

const fieldOf = (c: { readonly command: Call['command'] }, names: readonly string[]): string =>
  names.find((name) => c.command.struct?.byName.has(name) === true) ?? names[0]!;

/** IOMMU_HW_QUEUE_ALLOC, and what it was called before: the same checks in the order of each series. */
const allocQueue: Rule = (c) => {
  if (flagsOrType(c, 'hw-queue-alloc')) return;
  const q = queueTraits(c.traits.queueRules);
  const field = baseField(c);
  const [base, length] = [c.u64(field), c.u64('length')];
  if (q.baseZero && base === 0n && c.refuse('EINVAL', 'hw-queue-alloc.base', { field, text: 'the base is 0', wanted: 'another address' }))
    return;
  if (length === 0n && c.refuse('EINVAL', 'hw-queue-alloc.length', { field: 'length', text: 'length is 0', wanted: 'more than 0' })) return;
  if (
    q.overflow &&
    base + length - 1n > TOP &&
    c.refuse('EOVERFLOW', 'hw-queue-alloc.overflow', {
      field,
      text: `${hex(base)} + ${hex(length)} goes over the end of the address space`,
      wanted: 'an end below 2^64',
    })
  )
    return;
  const viommu = object(c, 'viommu_id', 'VIOMMU');
  if (viommu === undefined) return;
  if (q.typeFirst && wrongType(c, viommu)) return;
  const ids = takeIds(c, q);
  const { ioas } = viommu.parent;
  const unaligned =
    q.pins === 'access' || q.pins === 'locked' ? (alignmentOf(ioas) < PAGE ? misaligned(ioas, PAGE) : undefined) : undefined;
  if (
    unaligned &&
    c.refuse('EADDRINUSE', 'hw-queue-alloc.alignment', {
      field,
      text: `${hex(unaligned.start)} to ${hex(unaligned.last)} of ${nameOf(ioas)} is not aligned to pages`,
      because: [ioas],
    })
  )
    return;
  const range = { start: (base / PAGE) * PAGE, last: ((base + length + PAGE - 1n) / PAGE) * PAGE - 1n };
  const pieces = pinnable(c, q, viommu, field, range);
  if (pieces === undefined) return;
  if (!q.typeFirst && wrongType(c, viommu)) return;
  const index = c.u32('index');
  if (wrongIndex(c, q, viommu, index)) return;
  const access: Access | undefined =
    ids.access === 0
      ? undefined
      : {
          type: 'ACCESS',
          id: ids.access,
          context: c.context,
          birth: c.request.seq,
          users: 1,
          ioas,
          pins: true,
          nextItem: 0,
          owner: 'hw-queue',
        };
  const queue: HwQueue = {
    type: 'HW_QUEUE',
    id: ids.queue,
    context: c.context,
    birth: c.request.seq,
    users: 0,
    viommu,
    kind: c.u32('type'),
    index,
    base: range.start,
    length: range.last - range.start + 1n,
    access,
    before: viommu.queues.get(index - 1),
  };
  c.then(() => {
    insert(queue);
    if (access) {
      insert(access);
      ioas.users++;
      ioas.accesses.push(access);
      pin(pieces, access, -1);
    }
    if (q.pins === 'locked') for (const { area } of pieces) area.locked++;
    viommu.users++;
    viommu.queues.set(index, queue);
    if (queue.before) queue.before.users++;
    if (viommu.device.driver.name === 'mock' && !q.forgetsIndex) viommu.mockSlots = (viommu.mockSlots ?? 0) | (1 << index);
  });
};

function wrongType(c: Call, viommu: Viommu): boolean {
  const kind = c.u32('type');
  if (viommu.device.driver.name === 'mock')
    return (
      kind !== SELFTEST_VIOMMU &&
      c.refuse('EOPNOTSUPP', 'hw-queue-alloc.unsupported', {
        field: 'type',
        text: `${nameOf(viommu)} has no queues of type ${hex(kind)}`,
        because: [viommu],
      })
    );
  for (const errno of ['EOPNOTSUPP', 'EINVAL', 'EEXIST', 'EIO']) if (c.mayRefuse(errno, DRIVER, 'hw-queue-alloc.driver')) return true;
  return false;
}

function takeIds(c: Call, q: QueueTraits): { readonly queue: number; readonly access: number } {
  const out = fieldOf(c, OUTS);
  if (q.ids === 'queue') return { queue: c.newId(out), access: 0 };
  if (q.ids === 'queue, access') {
    const queue = c.newId(out);
    return { queue, access: c.newId('') };
  }
  const access = c.newId('');
  return { queue: c.newId(out), access };
}

/** What is pinned under the queue; undefined where the call was refused. */
function pinnable(c: Call, q: QueueTraits, viommu: Viommu, field: string, range: Range): readonly Piece[] | undefined {
  const { ioas } = viommu.parent;
  // the series that looked the base up first said so otherwise where the base itself is not mapped
  if (q.unmapped !== 'ENOENT' && touching(ioas, { start: range.start, last: range.start }).length === 0) {
    const text = `${hex(range.start)} is not mapped in ${nameOf(ioas)}`;
    if (c.refuse(q.unmapped, 'hw-queue-alloc.hole', { field, text, wanted: 'memory that is mapped', because: [ioas] })) return undefined;
  }
  const length = range.last - range.start + 1n;
  const pieces = pinnablePages(c, { ioas, iova: range.start, length, write: false, iovaField: field, lengthField: 'length' });
  if (pieces === undefined) return undefined;
  return length > PAGE && c.mayRefuse('EFAULT', PHYSICAL, 'hw-queue-alloc.pages') ? undefined : pieces;
}

/** Indexes of the mock driver's queues; other drivers are not known so well. → true where the call ends */
function wrongIndex(c: Call, q: QueueTraits, viommu: Viommu, index: number): boolean {
  if (viommu.device.driver.name !== 'mock') return false;
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
  const slots = q.forgetsIndex ? 0 : (viommu.mockSlots ?? 0);
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

/** IOMMU_VCMDQ_ALLOC as the first series had it: everything about the queue lies in data for the driver. */
const allocVcmdq: Rule = (c) => {
  if (flagsOrType(c, 'hw-queue-alloc')) return;
  if (
    c.u32('data_len') === 0 &&
    c.refuse('EINVAL', 'vcmdq-alloc.data', { field: 'data_len', text: 'data_len is 0', wanted: 'the parameters of the queue' })
  )
    return;
  const viommu = object(c, 'viommu_id', 'VIOMMU');
  if (viommu === undefined) return;
  const mock = viommu.device.driver.name === 'mock';
  if (
    mock &&
    c.refuse('EOPNOTSUPP', 'vcmdq-alloc.unsupported', {
      field: 'viommu_id',
      text: `${nameOf(viommu)} has no queues: the mock driver of this series makes none`,
      because: [viommu],
    })
  )
    return;
  for (const errno of ['EOPNOTSUPP', 'EINVAL', 'EFAULT']) if (c.mayRefuse(errno, DRIVER, 'vcmdq-alloc.driver')) return;
  const queue: HwQueue = {
    type: 'HW_QUEUE',
    id: c.newId('out_vcmdq_id'),
    context: c.context,
    birth: c.request.seq,
    users: 0,
    viommu,
    kind: c.u32('type'),
    index: 0,
    base: 0n,
    length: 0n,
    access: undefined,
    before: undefined,
  };
  c.then(() => {
    insert(queue);
    viommu.users++;
  });
};

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_VIOMMU_ALLOC: allocViommu,
  IOMMU_VDEVICE_ALLOC: allocVdevice,
  IOMMU_VEVENTQ_ALLOC: allocVeventq,
  IOMMU_FAULT_QUEUE_ALLOC: allocFault,
  IOMMU_HW_QUEUE_ALLOC: allocQueue,
  IOMMU_VQUEUE_ALLOC: allocQueue,
  IOMMU_VCMDQ_ALLOC: (c) => (c.traits.queueRules === 'v1' ? allocVcmdq(c) : allocQueue(c)),
};
