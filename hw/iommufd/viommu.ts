/** vIOMMUs and what stands on them. drivers/iommu/iommufd/viommu.c and eventq.c. */

import { driverOf, sameIommu } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { NEST_PARENT } from './hwpt.ts';
import { reserved, unknownFlags } from './ioas.ts';
import { insert, object } from './objects.ts';
import { MACHINE } from './reasons.ts';
import type { Fault, Vdevice, Veventq, Viommu } from './state.ts';
import { hex, nameOf } from './words.ts';

/** flags, or type 0 */
export function flagsOrType(c: Call, rule: string): boolean {
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
    maps: 0,
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
  const same = sameIommu(device, viommu.device);
  if (same === undefined && c.mayRefuse('EINVAL', MACHINE, 'vdevice-alloc.iommu')) return;
  if (
    same === false &&
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
  if (driverOf(viommu.device).vdevice(c, viommu, device, virtId)) return;
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

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_VIOMMU_ALLOC: allocViommu,
  IOMMU_VDEVICE_ALLOC: allocVdevice,
  IOMMU_VEVENTQ_ALLOC: allocVeventq,
  IOMMU_FAULT_QUEUE_ALLOC: allocFault,
};
