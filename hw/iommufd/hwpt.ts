/** Page tables: HWPT_ALLOC, dirty tracking, invalidation. drivers/iommu/iommufd/hw_pagetable.c. */
import { alignmentOf, TOP } from './areas.ts';
import { driverOf, enter, join, sameIommu } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { reserved, unknownFlags } from './ioas.ts';
import { bitsOf, NO_DIRTY } from './mock.ts';
import { insert, missing, object } from './objects.ts';
import { DRIVER, RELEASE } from './reasons.ts';
import type { Device, Fault, Hwpt, HwptNested, HwptPaging, Ioas, KObject, Viommu } from './state.ts';
import { hex, nameOf } from './words.ts';

export const NEST_PARENT = 1;
export const DIRTY_TRACKING = 2;
export const FAULT_ID_VALID = 4;
export const PASID = 8;

const alloc: Rule = (c) => {
  if (reserved(c, '__reserved')) return;
  const data = { type: c.u32('data_type'), length: c.u32('data_len'), field: 'data_uptr' };
  if (
    (data.type === 0) !== (data.length === 0) &&
    c.refuse('EINVAL', 'hwpt-alloc.data', {
      field: 'data_len',
      text: `data_type ${hex(data.type)} with data_len ${data.length}`,
      wanted: 'data exactly where there is a type',
    })
  )
    return;
  const device = object(c, 'dev_id', 'DEVICE');
  if (device === undefined) return;
  const id = c.u32('pt_id');
  const parent = c.context.objects.get(id);
  if (parent === undefined) {
    c.refuse('EINVAL', 'hwpt-alloc.parent', {
      field: 'pt_id',
      text: missing(c.context, id, ['IOAS', 'HWPT_PAGING', 'VIOMMU']),
      wanted: 'an IOAS, a nest parent or a VIOMMU',
    });
    return;
  }
  const made = make(c, device, parent, data);
  if (made === undefined || c.refused) return;
  if (made.hwpt.fault !== undefined) c.then(() => made.hwpt.fault!.users++);
  c.then(made.publish);
};

interface Data {
  readonly type: number;
  readonly length: number;
  readonly field: string;
}

interface Made {
  readonly hwpt: Hwpt;
  publish(): void;
}

function make(c: Call, device: Device, parent: KObject, data: Data): Made | undefined {
  const flags = c.u32('flags');
  if (parent.type === 'IOAS') return paging(c, device, parent, flags, data);
  if (parent.type === 'HWPT_PAGING') return nested(c, device, parent, undefined, flags, data);
  if (parent.type === 'VIOMMU' && c.traits.viommuParent) return nested(c, device, undefined, parent, flags, data);
  c.refuse('EINVAL', 'hwpt-alloc.parent', {
    field: 'pt_id',
    text: `${nameOf(parent)} is no parent of a HWPT`,
    wanted: 'an IOAS, a nest parent or a VIOMMU',
    because: [parent],
  });
  return undefined;
}

/** The fault queue that the flags ask for; null where the call was refused. */
function faultOf(c: Call, flags: number): Fault | undefined | null {
  if ((flags & FAULT_ID_VALID) === 0) return undefined;
  return object(c, 'fault_id', 'FAULT') ?? null;
}

/** undefined: not known */
function tracksDirty(device: Device): boolean | undefined {
  if (device.driver.name === 'mock') return (device.flags & NO_DIRTY) === 0;
  const told = device.driver.capabilities?.[0];
  // IOMMU_HW_CAP_DIRTY_TRACKING says what the core asks here
  return told === undefined ? undefined : (told & 1n) === 1n;
}

function paging(c: Call, device: Device, ioas: Ioas, flags: number, data: Data): Made | undefined {
  const known = bitsOf(c, 'iommufd_hwpt_alloc_flags');
  if ((flags & ~known) !== 0 && c.refuse('EOPNOTSUPP', 'hwpt-alloc.flags', unknownFlags(c, known))) return undefined;
  if (
    (flags & FAULT_ID_VALID) !== 0 &&
    !c.traits.faultOnPaging &&
    c.refuse('EOPNOTSUPP', 'hwpt-alloc.fault-paging', { field: 'flags', text: 'this kernel takes FAULT_ID_VALID for nested HWPTs alone' })
  )
    return undefined;
  if (
    (flags & DIRTY_TRACKING) !== 0 &&
    tracksDirty(device) === false &&
    c.refuse('EOPNOTSUPP', 'hwpt-alloc.dirty', { field: 'flags', text: `${nameOf(device)} cannot track dirty pages`, because: [device] })
  )
    return undefined;
  if (
    (flags & FAULT_ID_VALID) !== 0 &&
    (flags & NEST_PARENT) !== 0 &&
    c.refuse('EOPNOTSUPP', 'hwpt-alloc.fault-parent', { field: 'flags', text: 'FAULT_ID_VALID and NEST_PARENT do not go together' })
  )
    return undefined;
  const id = c.newId('out_hwpt_id');
  const driver = driverOf(device).paging(c, device, flags & ~FAULT_ID_VALID, data);
  if (driver === undefined) return undefined;
  if (join(c, ioas, driver)) return undefined;
  const fault = faultOf(c, flags);
  if (fault === null) return undefined;
  const hwpt: HwptPaging = {
    type: 'HWPT_PAGING',
    id,
    context: c.context,
    birth: c.request.seq,
    users: 0,
    ioas,
    device,
    automatic: false,
    flags,
    fault,
    dirtyTracking: false,
    driver,
    dirty: new Set(),
  };
  return { hwpt, publish: () => enter(hwpt) };
}

function nested(
  c: Call,
  device: Device,
  parent: HwptPaging | undefined,
  viommu: Viommu | undefined,
  flags: number,
  data: Data,
): Made | undefined {
  const on = (parent ?? viommu)!;
  if (
    ((flags & ~(bitsOf(c, 'iommufd_hwpt_alloc_flags') & (FAULT_ID_VALID | PASID))) !== 0 || data.length === 0) &&
    c.refuse('EOPNOTSUPP', 'hwpt-alloc.nested', {
      field: data.length === 0 ? 'data_len' : 'flags',
      text: data.length === 0 ? 'a nested HWPT wants data' : `flags ${hex(flags)} on a nested HWPT`,
      because: [on],
    })
  )
    return undefined;
  if (parent !== undefined && driverOf(device).nestsOnHwpt === false) {
    const text = 'the driver makes nested HWPTs on a vIOMMU alone';
    if (c.refuse('EOPNOTSUPP', 'hwpt-alloc.nested', { field: 'pt_id', text, wanted: 'a VIOMMU', because: [on] })) return undefined;
  }
  if (parent !== undefined) {
    const bad = parent.automatic
      ? 'was made automatically'
      : (parent.flags & NEST_PARENT) === 0
        ? 'was not made with NEST_PARENT'
        : sameIommu(parent.device, device) === false
          ? 'is of another driver'
          : '';
    if (
      bad !== '' &&
      c.refuse('EINVAL', 'hwpt-alloc.no-parent', {
        field: 'pt_id',
        text: `${nameOf(parent)} ${bad}`,
        wanted: 'a HWPT made with IOMMU_HWPT_ALLOC_NEST_PARENT',
        because: [parent],
      })
    )
      return undefined;
  }
  const id = c.newId('out_hwpt_id');
  const iotlb = driverOf(device).nested(c, device, flags & ~FAULT_ID_VALID, data, viommu);
  if (iotlb === undefined) return undefined;
  const fault = faultOf(c, flags);
  if (fault === null) return undefined;
  const hwpt: HwptNested = {
    type: 'HWPT_NESTED',
    id,
    context: c.context,
    birth: c.request.seq,
    users: 0,
    parent,
    viommu,
    device,
    flags,
    fault,
    iotlb,
  };
  return {
    hwpt,
    publish: () => {
      insert(hwpt);
      on.users++;
    },
  };
}

const setDirty: Rule = (c) => {
  if ((c.u32('flags') & ~1) !== 0 && c.refuse('EOPNOTSUPP', 'set-dirty.flags', unknownFlags(c, 1))) return;
  const hwpt = object(c, 'hwpt_id', 'HWPT_PAGING');
  if (hwpt === undefined || untracked(c, hwpt)) return;
  const on = (c.u32('flags') & 1) !== 0;
  c.then(() => {
    if (on) hwpt.dirty.clear();
    hwpt.dirtyTracking = on;
  });
};

const untracked = (c: Call, hwpt: HwptPaging): boolean =>
  (hwpt.flags & DIRTY_TRACKING) === 0 &&
  c.refuse('EOPNOTSUPP', 'dirty.not-made-for', {
    field: 'hwpt_id',
    text: `${nameOf(hwpt)} was made without DIRTY_TRACKING`,
    wanted: 'a HWPT made with IOMMU_HWPT_ALLOC_DIRTY_TRACKING',
    because: [hwpt],
  });

const getDirty: Rule = (c) => {
  if ((c.u32('flags') & ~1) !== 0 && c.refuse('EOPNOTSUPP', 'get-dirty.flags', unknownFlags(c, 1))) return;
  if (reserved(c, '__reserved')) return;
  const hwpt = object(c, 'hwpt_id', 'HWPT_PAGING');
  if (hwpt === undefined) return;
  const [iova, length, page] = [c.u64('iova'), c.u64('length'), c.u64('page_size')];
  if (length === 0n && c.traits.dirtyLengthZero === 'EINVAL') {
    // 6.12.95 did not look yet, 6.12.117 does
    if (iova === 0n) c.mayPass(RELEASE);
    else if (c.mayRefuse('EOVERFLOW', RELEASE, 'get-dirty.overflow')) return;
    if (c.refuse('EINVAL', 'get-dirty.length', { field: 'length', text: 'length is 0', wanted: '1 at least' })) return;
  }
  const last = iova + length - 1n;
  if (
    (last > TOP || (length === 0n && iova > 0n)) &&
    c.refuse('EOVERFLOW', 'get-dirty.overflow', { field: 'iova', text: `${hex(iova)} + ${hex(length)} - 1 overflows` })
  )
    return;
  const alignment = alignmentOf(hwpt.ioas);
  const end = BigInt.asUintN(64, last + 1n);
  if (
    (iova % alignment !== 0n || end % alignment !== 0n) &&
    c.refuse('EINVAL', 'get-dirty.alignment', {
      field: 'iova',
      text: `${hex(iova)} to ${hex(end)} is not aligned to ${hex(alignment)}`,
      because: [hwpt.ioas],
    })
  )
    return;
  if (page === 0n && c.refuse('EINVAL', 'get-dirty.page-size', { field: 'page_size', text: 'page_size is 0' })) return;
  if (
    page !== 0n &&
    ((iova | end) & (page - 1n)) !== 0n &&
    c.refuse('EINVAL', 'get-dirty.page-alignment', {
      field: 'iova',
      text: `${hex(iova)} to ${hex(end)} is not aligned to page_size ${hex(page)}`,
    })
  )
    return;
  if (untracked(c, hwpt)) return;
  // a log may say that the kernel took what it refuses
  if (length === 0n || page === 0n || last > TOP) {
    c.unknownNested('data', DRIVER);
    return;
  }
  driverOf(hwpt.device).readDirty(c, hwpt, { start: iova, last }, page, (c.u32('flags') & 1) === 0);
};

const invalidate: Rule = (c) => {
  const [count, size] = [c.u32('entry_num'), c.u32('entry_len')];
  c.set('entry_num', 0);
  c.writeAnyway();
  if (reserved(c, '__reserved')) return;
  const none = (field: string, text: string): boolean => c.refuse('EINVAL', 'invalidate.array', { field, text });
  if (count > 0 && c.u64('data_uptr') === 0n && none('data_uptr', 'data_uptr is NULL')) return;
  if (count > 0 && size === 0 && none('entry_len', 'entry_len is 0')) return;
  if (c.traits.invalidateBounds && count > 0 && size > 4096 && none('entry_len', `entry_len ${size} is more than a page`)) return;
  if (c.traits.invalidateBounds && count > 2 ** 19 && none('entry_num', `entry_num ${count} is more than ${2 ** 19}`)) return;
  const id = c.u32('hwpt_id');
  const target = c.context.objects.get(id);
  if (target === undefined || (c.traits.invalidateWrongType === 'ENOENT' && target.type !== 'HWPT_NESTED')) {
    c.refuse('ENOENT', 'object.lookup', {
      field: 'hwpt_id',
      text: missing(c.context, id, ['HWPT_NESTED', 'VIOMMU']),
      because: target ? [target] : [],
    });
    return;
  }
  if (target.type !== 'HWPT_NESTED' && target.type !== 'VIOMMU') {
    c.refuse('EINVAL', 'invalidate.type', {
      field: 'hwpt_id',
      text: `${nameOf(target)} has no cache of its own`,
      wanted: 'a HWPT_NESTED or a VIOMMU',
      because: [target],
    });
    return;
  }
  const done = driverOf(target.device).invalidate(c, target, count, size);
  if (done !== undefined) c.set('entry_num', done);
};

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_HWPT_ALLOC: alloc,
  IOMMU_HWPT_SET_DIRTY_TRACKING: setDirty,
  IOMMU_HWPT_GET_DIRTY_BITMAP: getDirty,
  IOMMU_HWPT_INVALIDATE: invalidate,
};
