/** IOMMU_TEST_CMD: the operations of the kernel's selftest. drivers/iommu/iommufd/selftest.c, iommufd_test(). */

import type { UapiTable } from '../uapi/table.ts';
import { attach, attachedTo, detach } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { bitsOf, CACHE_DEFAULT, SELFTEST_VEVENT } from './mock.ts';
import { insert, missing, object } from './objects.ts';
import { MACHINE, PRESSURE } from './reasons.ts';
import type { Device, Hwpt, KObject, Selftest, Veventq } from './state.ts';
import { bufferOps } from './test-buffers.ts';
import { memoryOps } from './test-memory.ts';
import { hex, nameOf } from './words.ts';

type Op = (c: Call) => void;

const mockDomain =
  (arm: string, flagged: boolean): Op =>
  (c) => {
    const flags = flagged ? c.u32(`${arm}.dev_flags`) : 0;
    const known = bitsOf(c, 'anonymous:MOCK_FLAGS_DEVICE_NO_DIRTY');
    if (
      (flags & ~known) !== 0 &&
      c.refuse('EINVAL', 'test.device-flags', {
        field: `${arm}.dev_flags`,
        text: `device flags ${hex(flags)}`,
        wanted: `bits of ${hex(known)}`,
      })
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
    // the new DEVICE can be found already, the SELFTEST not yet
    const target = c.u32('id') === device.id ? device : target0(c, 'id');
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
  c.stayUnanswered();
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
    c.autoField = `${arm}.pt_id`;
    if (again) c.stayUnanswered();
    const hwpt = attach(c, selftest.device, target, pasid, again, c.autoField);
    if (hwpt !== undefined && !c.refused) c.set(c.autoField, hwpt.id);
  };

const pasidDetach: Op = (c) => {
  const selftest = object(c, 'id', 'SELFTEST');
  if (selftest === undefined) return;
  const pasid = c.u32('pasid_detach.pasid');
  c.keepStruct();
  c.then(() => detach(selftest.device, pasid));
};

const pasidCheck: Op = (c) => {
  const selftest = object(c, 'id', 'SELFTEST');
  if (selftest === undefined) return;
  c.keepStruct();
  const field = 'pasid_check.hwpt_id';
  const [pasid, id] = [c.u32('pasid_check.pasid'), c.u32(field)];
  const there = attachedTo(selftest.device, pasid);
  const wanted = there === undefined ? '0' : `${there.id}`;
  const because = there === undefined ? [selftest] : [selftest, there];
  if (id !== 0) {
    const named = c.context.objects.get(id);
    const text = missing(c.context, id, ['HWPT_PAGING', 'HWPT_NESTED']);
    if (named === undefined && c.refuse('ENOENT', 'object.lookup', { field, text, wanted, because })) return;
    if (
      named !== undefined &&
      named.type !== 'HWPT_PAGING' &&
      named.type !== 'HWPT_NESTED' &&
      c.refuse('EINVAL', 'test.pasid-hwpt', { field, text, wanted, because })
    )
      return;
  }
  if ((there?.id ?? 0) === id) return;
  const text = `PASID ${pasid} of ${nameOf(selftest.device)} is ${there ? `attached to ${nameOf(there)}` : 'not attached'}`;
  c.refuse('EINVAL', 'test.pasid-differs', { field, text, wanted, because });
};

/** One of four words of a mock cache has to hold this. */
function checkWord(c: Call, arm: string, field: string, words: readonly number[], owner: KObject): void {
  const [index, want] = [c.u32(`${arm}.id`), c.u32(`${arm}.${field}`)];
  c.keepStruct();
  const because = [owner];
  if (index > 3) {
    c.refuse('EINVAL', 'test.word-index', {
      field: `${arm}.id`,
      text: `${nameOf(owner)} has 4 words, no word ${index}`,
      wanted: '0 to 3',
      because,
    });
    return;
  }
  const holds = words[index] ?? 0;
  if (holds === want) return;
  const text = `word ${index} of ${nameOf(owner)} holds ${hex(holds)}, not ${hex(want)}`;
  c.refuse('EINVAL', 'test.word-differs', { field: `${arm}.${field}`, text, wanted: hex(holds), because });
}

const checkIotlb: Op = (c) => {
  const hwpt = object(c, 'id', 'HWPT_NESTED');
  if (hwpt !== undefined) checkWord(c, 'check_iotlb', 'iotlb', hwpt.iotlb, hwpt);
};

const checkCache: Op = (c) => {
  const device = object(c, 'id', 'DEVICE');
  if (device !== undefined) checkWord(c, 'check_dev_cache', 'cache', device.cache, device);
};

/** Whose fault queue gets the page faults of a device: what is attached with the PASID; a nested HWPT without one takes those of every other. */
function faultHandler(device: Device, pasid: number): { hwpt: Hwpt; pasid: number } | undefined {
  const own = attachedTo(device, pasid);
  if (own !== undefined) return { hwpt: own, pasid };
  const plain = attachedTo(device);
  return plain?.type === 'HWPT_NESTED' ? { hwpt: plain, pasid: 0 } : undefined;
}

const PASID_VALID = 1;
const LAST_PAGE = 2;

const triggerIopf: Op = (c) => {
  const device = object(c, 'trigger_iopf.dev_id', 'DEVICE');
  if (device === undefined) return;
  c.keepStruct();
  const pasid = c.u32('trigger_iopf.pasid');
  const handler = faultHandler(device, pasid);
  const struct = c.table.record('FAULT', 'read');
  if (handler?.hwpt.fault === undefined || struct === undefined) return;
  const record = new Uint8Array(struct.size);
  const view = new DataView(record.buffer);
  const at = (field: string): number => struct.byName.get(field)?.offset ?? 0;
  view.setUint32(at('flags'), LAST_PAGE | (pasid !== 0 ? PASID_VALID : 0), true);
  view.setUint32(at('dev_id'), device.id, true);
  view.setUint32(at('pasid'), pasid, true);
  view.setUint32(at('grpid'), c.u32('trigger_iopf.grpid'), true);
  view.setUint32(at('perm'), c.u32('trigger_iopf.perm'), true);
  view.setBigUint64(at('addr'), c.u64('trigger_iopf.addr'), true);
  const { waiting } = handler.hwpt.fault;
  c.then(() => waiting.push({ device, pasid: handler.pasid, hwpt: handler.hwpt, records: [record] }));
};

const triggerVevent: Op = (c) => {
  const field = 'trigger_vevent.dev_id';
  const device = object(c, field, 'DEVICE');
  if (device === undefined) return;
  c.keepStruct();
  const virtual = device.mockVirtual;
  if (virtual === undefined || virtual.virtId === 0n) {
    const text =
      virtual === undefined ? 'is attached to no HWPT_NESTED of a vIOMMU' : 'has virtual id 0, which the mock driver takes for none';
    const because = virtual === undefined ? [device] : [device, virtual.viommu];
    c.refuse('ENOENT', 'test.vevent-device', { field, text: `${nameOf(device)} ${text}`, wanted: 'a device with a virtual id', because });
    return;
  }
  const { viommu, virtId } = virtual;
  const queue = viommu.veventqs.get(SELFTEST_VEVENT);
  if (queue === undefined) {
    const text = `${nameOf(viommu)} has no vEVENTQ of type ${hex(SELFTEST_VEVENT)}`;
    c.refuse('EOPNOTSUPP', 'test.vevent-queue', { field, text, wanted: 'VEVENTQ_ALLOC before', because: [viommu] });
    return;
  }
  if (c.mayRefuse('ENOMEM', PRESSURE, 'test.vevent')) return;
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, Number(BigInt.asUintN(32, virtId)), true);
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

/** By name without IOMMU_TEST_OP_. */
const OPS: Readonly<Record<string, Op>> = {
  ...memoryOps,
  ...bufferOps,
  MOCK_DOMAIN: mockDomain('mock_domain', false),
  MOCK_DOMAIN_FLAGS: mockDomain('mock_domain_flags', true),
  MOCK_DOMAIN_REPLACE: replace,
  MD_CHECK_IOTLB: checkIotlb,
  DEV_CHECK_CACHE: checkCache,
  TRIGGER_IOPF: triggerIopf,
  TRIGGER_VEVENT: triggerVevent,
  PASID_ATTACH: pasidAttach('pasid_attach', false),
  PASID_REPLACE: pasidAttach('pasid_replace', true),
  PASID_DETACH: pasidDetach,
  PASID_CHECK_HWPT: pasidCheck,
};

/** Rules by op, for each table once: most calls of the selftest come through here. */
const rulesOf = new WeakMap<UapiTable, ReadonlyMap<number, Op>>();

function opsOf(table: UapiTable): ReadonlyMap<number, Op> {
  let ops = rulesOf.get(table);
  if (ops === undefined) {
    ops = new Map(
      table.testOps.flatMap((o) => {
        const op = OPS[o.name.slice('IOMMU_TEST_OP_'.length)];
        return op === undefined ? [] : [[o.value, op] as const];
      }),
    );
    rulesOf.set(table, ops);
  }
  return ops;
}

const test: Rule = (c) => {
  const value = c.u32('op');
  const op = opsOf(c.table).get(value);
  if (op !== undefined) op(c);
  else c.refuse('EOPNOTSUPP', 'test.op', { field: 'op', text: `there is no operation ${value}` });
};

export const rules: Readonly<Record<string, Rule>> = { IOMMU_TEST_CMD: test };
