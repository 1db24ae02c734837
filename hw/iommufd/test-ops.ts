/** IOMMU_TEST_CMD: the operations of the kernel's selftest. drivers/iommu/iommufd/selftest.c, iommufd_test(). */
import { reach, span } from './access.ts';
import { alignmentOf, overlaps, PAGE, TOP, touching } from './areas.ts';
import { attach, attachedTo, detach } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { misaligned } from './ioas.ts';
import { CACHE_DEFAULT, SELFTEST_VEVENT } from './mock.ts';
import { find, insert, leaveAccess, missing, object } from './objects.ts';
import { DRIVER, MACHINE, MEMORY, PHYSICAL, PRESSURE, UNSEEN } from './reasons.ts';
import type { Access, Device, Hwpt, KObject, Selftest, Veventq } from './state.ts';
import { hex, nameOf } from './words.ts';

const LIMIT = 16n << 20n;
const ACCESS_WRITE = 1;
const RW_SLOW_PATH = 4;
/** an address is {index of the area, offset in it} */
const ACCESS_SYZ = 1 << 16;

type Op = (c: Call) => void;

const addReserved: Op = (c) => {
  const [start, length] = [c.u64('add_reserved.start'), c.u64('add_reserved.length')];
  if (length === 0n && c.refuse('EINVAL', 'test.reserved-length', { field: 'add_reserved.length', text: 'length is 0' })) return;
  if (
    start + length - 1n > TOP &&
    c.refuse('EOVERFLOW', 'test.reserved-overflow', { field: 'add_reserved.start', text: `${hex(start)} + ${hex(length)} overflows` })
  )
    return;
  const ioas = object(c, 'id', 'IOAS');
  if (ioas === undefined) return;
  const range = { start, last: start + length - 1n };
  const clash = touching(ioas, range)[0] ?? ioas.allowed.find((a) => overlaps(a, range));
  if (
    clash &&
    c.refuse('EADDRINUSE', 'test.reserved-used', {
      field: 'add_reserved.start',
      text: `${hex(clash.start)} to ${hex(clash.last)} of ${nameOf(ioas)} is in use`,
      because: [ioas],
    })
  )
    return;
  c.then(() => ioas.reserved.push({ ...range, owner: undefined }));
};

const mockDomain =
  (arm: string, flagged: boolean): Op =>
  (c) => {
    const flags = flagged ? c.u32(`${arm}.dev_flags`) : 0;
    const known = c.traits.queueRules === 'none' ? 3 : 7;
    if (
      (flags & ~known) !== 0 &&
      c.refuse('EINVAL', 'test.device-flags', { field: `${arm}.dev_flags`, text: `device flags ${hex(flags)}`, wanted: `bits of ${known}` })
    )
      return;
    if (!c.traits.mockBesideIommu && c.mayRefuse('EINVAL', MACHINE, 'test.mock-refused')) return;
    const [stdev, dev] = [c.newId(`${arm}.out_stdev_id`), c.newId(`${arm}.out_idev_id`)];
    const device: Device = {
      type: 'DEVICE',
      id: dev,
      context: c.context,
      birth: c.request.seq,
      users: 1,
      driver: { name: 'mock' },
      group: { devices: [], attached: new Map() },
      flags,
      selftest: undefined,
      vdevice: undefined,
      cache: Array.from({ length: 4 }, () => CACHE_DEFAULT),
    };
    device.group.devices.push(device);
    const selftest: Selftest = { type: 'SELFTEST', id: stdev, context: c.context, birth: c.request.seq, users: 0, device };
    const target = target0(c, 'id');
    if (target === undefined) return;
    c.autoField = `${arm}.out_hwpt_id`;
    c.then(() => {
      insert(selftest);
      insert(device);
      c.kernel.mockDevices++;
    });
    const hwpt = attach(c, device, target, 0, false, 'id');
    if (hwpt === undefined || c.refused) return;
    c.set(`${arm}.out_hwpt_id`, hwpt.id);
  };

/** What to attach to; ENOENT where there is nothing. */
function target0(c: Call, field: string): KObject | undefined {
  const id = c.u32(field);
  const target = c.context.objects.get(id);
  if (target === undefined)
    c.refuse('ENOENT', 'object.lookup', {
      field,
      text: missing(c.context, id, ['IOAS', 'HWPT_PAGING', 'HWPT_NESTED']),
      wanted: 'an IOAS or a HWPT',
    });
  return target;
}

const replace: Op = (c) => {
  const selftest = object(c, 'id', 'SELFTEST');
  if (selftest === undefined) return;
  const target = target0(c, 'mock_domain_replace.pt_id');
  if (target === undefined) return;
  c.autoField = 'mock_domain_replace.pt_id';
  const hwpt = attach(c, selftest.device, target, 0, true, 'mock_domain_replace.pt_id');
  if (hwpt === undefined || c.refused) return;
  c.set('mock_domain_replace.pt_id', hwpt.id);
};

const pasidAttach =
  (arm: string, again: boolean): Op =>
  (c) => {
    const selftest = object(c, 'id', 'SELFTEST');
    if (selftest === undefined) return;
    const target = target0(c, `${arm}.pt_id`);
    if (target === undefined) return;
    const pasid = c.u32(`${arm}.pasid`);
    c.autoField = '';
    attach(c, selftest.device, target, pasid, again, `${arm}.pt_id`);
  };

const pasidDetach: Op = (c) => {
  const selftest = object(c, 'id', 'SELFTEST');
  if (selftest === undefined) return;
  const pasid = c.u32('pasid_detach.pasid');
  c.then(() => detach(selftest.device, pasid));
};

const pasidCheck: Op = (c) => {
  const selftest = object(c, 'id', 'SELFTEST');
  if (selftest === undefined) return;
  const [pasid, id] = [c.u32('pasid_check.pasid'), c.u32('pasid_check.hwpt_id')];
  const there = attachedTo(selftest.device, pasid);
  const wanted: Hwpt | undefined = id === 0 ? undefined : find(c.context, id, ['HWPT_PAGING', 'HWPT_NESTED']);
  if (
    id !== 0 &&
    wanted === undefined &&
    c.refuse('EINVAL', 'test.pasid-hwpt', { field: 'pasid_check.hwpt_id', text: missing(c.context, id, ['HWPT_PAGING', 'HWPT_NESTED']) })
  )
    return;
  if (there !== wanted)
    c.refuse('EINVAL', 'test.pasid-differs', {
      field: 'pasid_check.hwpt_id',
      text: `PASID ${pasid} is ${there ? `attached to ${nameOf(there)}` : 'not attached'}`,
      because: [selftest],
    });
};

const checkMap: Op = (c) => {
  const hwpt = object(c, 'id', 'HWPT_PAGING');
  if (hwpt === undefined) return;
  const [iova, length, va] = [c.u64('check_map.iova'), c.u64('check_map.length'), c.u64('check_map.uptr')];
  const page = hwpt.driver.pageSize;
  if (
    (iova % page !== 0n || length % page !== 0n || va % page !== 0n || va + length > TOP) &&
    c.refuse('EINVAL', 'test.check-alignment', { field: 'check_map.iova', text: 'not aligned to the pages of the domain', because: [hwpt] })
  )
    return;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.check-map')) return;
  c.mayRefuse('EINVAL', PHYSICAL, 'test.check-map');
};

const checkRefs: Op = (c) => {
  const [length, va] = [c.u64('check_refs.length'), c.u64('check_refs.uptr')];
  if (
    (va % PAGE !== 0n || length % PAGE !== 0n) &&
    c.refuse('EINVAL', 'test.refs-alignment', { field: 'check_refs.uptr', text: 'not aligned to pages' })
  )
    return;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.check-refs')) return;
  c.mayRefuse('EIO', PHYSICAL, 'test.check-refs');
};

const NEEDS_PINS = 1;

const createAccess: Op = (c) => {
  const flags = c.u32('create_access.flags');
  if (
    (flags & ~NEEDS_PINS) !== 0 &&
    c.refuse('EOPNOTSUPP', 'test.access-flags', { field: 'create_access.flags', text: `flags ${hex(flags)}` })
  )
    return;
  const pins = (flags & NEEDS_PINS) !== 0;
  const id = c.newId('');
  const ioas = object(c, 'id', 'IOAS');
  if (ioas === undefined) return;
  const area = pins && alignmentOf(ioas) < PAGE ? misaligned(ioas, PAGE) : undefined;
  if (
    area &&
    c.refuse('EADDRINUSE', 'test.access-alignment', {
      field: 'id',
      text: `${hex(area.start)} to ${hex(area.last)} of ${nameOf(ioas)} is not aligned to pages`,
      because: [ioas],
    })
  )
    return;
  const access: Access = { type: 'ACCESS', id, context: c.context, birth: c.request.seq, users: 1, ioas, pins, nextItem: 0, owner: 'mock' };
  c.newFile('create_access.out_access_fd', { kind: 'access', context: c.context, object: access });
  c.then(() => {
    insert(access);
    ioas.users++;
    ioas.accesses.push(access);
  });
};

/** The access that the field `id` names as a descriptor; undefined where the call was refused or it is not known. */
function accessOf(c: Call): Access | undefined {
  const fd = c.u32('id') | 0;
  const file = c.request.fileOf(fd);
  if (file !== undefined && file !== 'unknown' && file.kind === 'access' && file.object?.type === 'ACCESS') return file.object;
  if (file === 'unknown') {
    for (const errno of ['EBADFD', 'ENOENT', 'EINVAL', 'EPERM', 'EFAULT'])
      if (c.mayRefuse(errno, UNSEEN, 'test.access-fd')) return undefined;
    return undefined;
  }
  c.refuse('EBADFD', 'test.access-fd', { field: 'id', text: `descriptor ${fd} is no access`, wanted: 'a descriptor of CREATE_ACCESS' });
  return undefined;
}

const tooLong = (c: Call, field: string): boolean =>
  c.u64(field) > LIMIT && c.refuse('ENOMEM', 'test.access-limit', { field, text: `length ${hex(c.u64(field))} is more than 16 MiB` });

const accessPages: Op = (c) => {
  if (tooLong(c, 'access_pages.length')) return;
  const flags = c.u32('access_pages.flags');
  if (
    (flags & ~(ACCESS_WRITE | ACCESS_SYZ)) !== 0 &&
    c.refuse('EOPNOTSUPP', 'test.access-pages-flags', { field: 'access_pages.flags', text: `flags ${hex(flags)}` })
  )
    return;
  const access = accessOf(c);
  if (access === undefined) return;
  if (
    !access.pins &&
    c.refuse('EOPNOTSUPP', 'test.access-no-pins', {
      field: 'id',
      text: `${nameOf(access)} was made without NEEDS_PIN_PAGES`,
      because: [access],
    })
  )
    return;
  let iova = c.u64('access_pages.iova');
  if (flags & ACCESS_SYZ) {
    const area = access.ioas?.areas[Number(iova & 0xffffffffn)];
    iova = (area?.start ?? 0n) + (iova >> 32n);
  }
  const length = c.u64('access_pages.length');
  const start = (iova / PAGE) * PAGE;
  const end = ((iova + length + PAGE - 1n) / PAGE) * PAGE;
  const range = span(c, 'access_pages.iova', start, length === 0n ? 0n : end - start);
  if (range === undefined) return;
  const areas = reach(c, access, 'access_pages.iova', range, (flags & ACCESS_WRITE) !== 0);
  if (areas === undefined) return;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.access-pages') || c.mayRefuse('EINVAL', MEMORY, 'test.access-pages')) return;
  if (c.mayRefuse('EBADE', MEMORY, 'test.access-pages')) return;
  const item = access.nextItem;
  c.set('access_pages.out_access_pages_id', item);
  c.then(() => {
    access.nextItem = item + 1;
    for (const a of areas) a.pins.push({ ...range, access, item });
  });
};

const destroyPages: Op = (c) => {
  const access = accessOf(c);
  if (access === undefined) return;
  const item = c.u32('destroy_access_pages.access_pages_id');
  const there = access.ioas?.areas.some((a) => a.pins.some((p) => p.access === access && p.item === item)) === true;
  if (
    !there &&
    c.refuse('ENOENT', 'test.access-item', {
      field: 'destroy_access_pages.access_pages_id',
      text: `${nameOf(access)} holds no item ${item}`,
      because: [access],
    })
  )
    return;
  c.then(() => {
    for (const a of access.ioas?.areas ?? []) {
      for (let i = a.pins.length - 1; i >= 0; i--) if (a.pins[i]!.access === access && a.pins[i]!.item === item) a.pins.splice(i, 1);
    }
  });
};

const accessRw: Op = (c) => {
  if (tooLong(c, 'access_rw.length')) return;
  const flags = c.u32('access_rw.flags');
  if (
    (flags & ~(ACCESS_WRITE | RW_SLOW_PATH | ACCESS_SYZ)) !== 0 &&
    c.refuse('EOPNOTSUPP', 'test.access-rw-flags', { field: 'access_rw.flags', text: `flags ${hex(flags)}` })
  )
    return;
  const access = accessOf(c);
  if (access === undefined) return;
  const write = (flags & ACCESS_WRITE) !== 0;
  if (write && c.mayRefuse('EFAULT', MEMORY, 'test.access-rw')) return;
  let iova = c.u64('access_rw.iova');
  if (flags & ACCESS_SYZ) {
    const area = access.ioas?.areas[Number(iova & 0xffffffffn)];
    iova = (area?.start ?? 0n) + (iova >> 32n);
  }
  const range = span(c, 'access_rw.iova', iova, c.u64('access_rw.length'));
  if (range === undefined) return;
  if (reach(c, access, 'access_rw.iova', range, write) === undefined) return;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.access-rw')) return;
  if (!write) c.writeNested('access_rw.uptr', undefined);
};

const replaceIoas: Op = (c) => {
  const access = accessOf(c);
  if (access === undefined) return;
  if (
    access.ioas === undefined &&
    c.refuse('ENOENT', 'access.detached', { field: 'id', text: `${nameOf(access)} is attached to no IOAS`, because: [access] })
  )
    return;
  const ioas = object(c, 'access_replace_ioas.ioas_id', 'IOAS');
  if (ioas === undefined) return;
  c.then(() => {
    leaveAccess(access);
    access.ioas = ioas;
    ioas.users++;
    ioas.accesses.push(access);
  });
};

const memoryLimit: Op = (c) => {
  const limit = c.u32('memory_limit.limit');
  if (limit < 12 && c.refuse('EINVAL', 'test.memory-limit', { field: 'memory_limit.limit', text: `limit ${limit}`, wanted: '12 at least' }))
    return;
  c.then(() => {
    c.kernel.memoryLimit = limit;
  });
};

const dirty: Op = (c) => {
  const [iova, length, page] = [c.u64('dirty.iova'), c.u64('dirty.length'), c.u64('dirty.page_size')];
  const wrong = page === 0n || length === 0n || iova % page !== 0n || length % page !== 0n || c.u64('dirty.uptr') === 0n;
  if (
    wrong &&
    c.refuse('EINVAL', 'test.dirty', { field: 'dirty.page_size', text: 'page_size or length is 0, not aligned, or the bitmap is NULL' })
  )
    return;
  const hwpt = object(c, 'id', 'HWPT_PAGING');
  if (hwpt === undefined) return;
  if (
    !hwpt.dirtyTracking &&
    c.refuse('EINVAL', 'test.dirty-off', { field: 'id', text: `${nameOf(hwpt)} does not track dirty pages`, because: [hwpt] })
  )
    return;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.dirty')) return;
  c.undetermined('dirty.out_nr_dirty', DRIVER);
};

const checkIotlb: Op = (c) => {
  const hwpt = object(c, 'id', 'HWPT_NESTED');
  if (hwpt === undefined) return;
  const [id, want] = [c.u32('check_iotlb.id'), c.u32('check_iotlb.iotlb')];
  if (id > 3 && c.refuse('EINVAL', 'test.iotlb-index', { field: 'check_iotlb.id', text: `IOTLB ${id} of 4` })) return;
  if (hwpt.iotlb[id] !== want)
    c.refuse('EINVAL', 'test.iotlb-differs', {
      field: 'check_iotlb.iotlb',
      text: `IOTLB ${id} holds ${hex(hwpt.iotlb[id] ?? 0)}`,
      because: [hwpt],
    });
};

const checkCache: Op = (c) => {
  const device = object(c, 'id', 'DEVICE');
  if (device === undefined) return;
  const [id, want] = [c.u32('check_dev_cache.id'), c.u32('check_dev_cache.cache')];
  if (id > 3 && c.refuse('EINVAL', 'test.cache-index', { field: 'check_dev_cache.id', text: `cache ${id} of 4` })) return;
  if (device.cache[id] !== want)
    c.refuse('EINVAL', 'test.cache-differs', {
      field: 'check_dev_cache.cache',
      text: `cache ${id} holds ${hex(device.cache[id] ?? 0)}`,
      because: [device],
    });
};

const triggerIopf: Op = (c) => {
  const device = object(c, 'trigger_iopf.dev_id', 'DEVICE');
  if (device === undefined) return;
  const pasid = c.u32('trigger_iopf.pasid');
  const hwpt = attachedTo(device, pasid) ?? attachedTo(device);
  if (hwpt?.fault === undefined) return;
  const { fault } = hwpt;
  const record = new Uint8Array(40);
  const view = new DataView(record.buffer);
  view.setUint32(0, 2 | (pasid !== 0 ? 1 : 0), true);
  view.setUint32(4, device.id, true);
  view.setUint32(8, pasid, true);
  view.setUint32(12, c.u32('trigger_iopf.grpid'), true);
  view.setUint32(16, c.u32('trigger_iopf.perm'), true);
  view.setBigUint64(24, c.u64('trigger_iopf.addr'), true);
  c.then(() => fault.waiting.push({ device, pasid, hwpt, records: [record] }));
};

const triggerVevent: Op = (c) => {
  const device = object(c, 'trigger_vevent.dev_id', 'DEVICE');
  if (device === undefined) return;
  const hwpt = attachedTo(device);
  const viommu = hwpt?.type === 'HWPT_NESTED' ? hwpt.viommu : undefined;
  const vdevice = device.vdevice;
  if (
    (viommu === undefined || vdevice === undefined || vdevice.virtId === 0n) &&
    c.refuse('ENOENT', 'test.vevent-device', {
      field: 'trigger_vevent.dev_id',
      text: `${nameOf(device)} has no virtual id on the vIOMMU of what it is attached to`,
      because: [device],
    })
  )
    return;
  if (viommu === undefined || vdevice === undefined) return;
  const queue = viommu.veventqs.get(SELFTEST_VEVENT);
  if (queue === undefined) {
    c.refuse('EOPNOTSUPP', 'test.vevent-queue', { text: `${nameOf(viommu)} has no vEVENTQ of the mock driver's type`, because: [viommu] });
    return;
  }
  if (c.mayRefuse('ENOMEM', PRESSURE, 'test.vevent')) return;
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, Number(vdevice.virtId & 0xffffffffn), true);
  c.then(() => report(queue, data));
};

/** An event comes to a queue. drivers/iommu/iommufd/eventq.c, iommufd_viommu_report_event() */
export function report(queue: Veventq, data: Uint8Array): void {
  const { sequence, waiting } = queue;
  queue.sequence = (sequence + 1) % 2 ** 31;
  const stored = waiting.filter((e) => e.data !== undefined).length;
  const last = waiting.at(-1);
  if (last !== undefined && last.data === undefined) waiting.pop();
  waiting.push({ sequence, data: stored < queue.depth ? data : undefined });
}

const dmabufGet: Op = (c) => {
  const length = BigInt(c.u32('dmabuf_get.length'));
  const rounded = ((length + PAGE - 1n) / PAGE) * PAGE;
  if (
    (length === 0n || rounded / PAGE > 512n) &&
    c.refuse('EINVAL', 'test.dmabuf-length', { field: 'dmabuf_get.length', text: `length ${hex(length)}`, wanted: '1 to 512 pages' })
  )
    return;
  c.keepStruct();
  c.returnsFile({ kind: 'dmabuf', context: undefined, object: undefined, length: rounded, revoked: false });
};

const dmabufRevoke: Op = (c) => {
  const fd = c.s32('dmabuf_revoke.dmabuf_fd');
  const file = c.request.fileOf(fd);
  if (file === 'unknown') {
    for (const errno of ['EBADF', 'EINVAL', 'EOPNOTSUPP']) if (c.mayRefuse(errno, UNSEEN, 'test.dmabuf-fd')) return;
    return;
  }
  if (file?.kind !== 'dmabuf') {
    c.refuse(file === undefined ? 'EBADF' : 'EINVAL', 'test.dmabuf-fd', {
      field: 'dmabuf_revoke.dmabuf_fd',
      text: `descriptor ${fd} is no dma-buf`,
    });
    return;
  }
  const revoked = c.u32('dmabuf_revoke.revoked') !== 0;
  c.then(() => {
    file.revoked = revoked;
  });
};

const OPS: Readonly<Record<string, Op>> = {
  IOMMU_TEST_OP_ADD_RESERVED: addReserved,
  IOMMU_TEST_OP_MOCK_DOMAIN: mockDomain('mock_domain', false),
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS: mockDomain('mock_domain_flags', true),
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE: replace,
  IOMMU_TEST_OP_MD_CHECK_MAP: checkMap,
  IOMMU_TEST_OP_MD_CHECK_REFS: checkRefs,
  IOMMU_TEST_OP_CREATE_ACCESS: createAccess,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES: destroyPages,
  IOMMU_TEST_OP_ACCESS_PAGES: accessPages,
  IOMMU_TEST_OP_ACCESS_RW: accessRw,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS: replaceIoas,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT: memoryLimit,
  IOMMU_TEST_OP_DIRTY: dirty,
  IOMMU_TEST_OP_MD_CHECK_IOTLB: checkIotlb,
  IOMMU_TEST_OP_DEV_CHECK_CACHE: checkCache,
  IOMMU_TEST_OP_TRIGGER_IOPF: triggerIopf,
  IOMMU_TEST_OP_TRIGGER_VEVENT: triggerVevent,
  IOMMU_TEST_OP_PASID_ATTACH: pasidAttach('pasid_attach', false),
  IOMMU_TEST_OP_PASID_REPLACE: pasidAttach('pasid_replace', true),
  IOMMU_TEST_OP_PASID_DETACH: pasidDetach,
  IOMMU_TEST_OP_PASID_CHECK_HWPT: pasidCheck,
  IOMMU_TEST_OP_DMABUF_GET: dmabufGet,
  IOMMU_TEST_OP_DMABUF_REVOKE: dmabufRevoke,
};

const test: Rule = (c) => {
  const value = c.u32('op');
  const op = c.table.testOp(value);
  const rule = op === undefined ? undefined : OPS[op.name];
  if (rule === undefined) {
    c.refuse('EOPNOTSUPP', 'test.op', { field: 'op', text: `there is no operation ${value}` });
    return;
  }
  rule(c);
};

export const rules: Readonly<Record<string, Rule>> = { IOMMU_TEST_CMD: test };
