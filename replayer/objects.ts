/**
 * Objects of a context: how they are born, found by id, attached and ended. The kernel's answers are taken as facts: an id
 * that it hands out is free, an id that it accepts is there and of the right type; where the state says otherwise, the
 * state is corrected and the object marked inferred.
 */
import type { ObjectType } from '../hw/uapi/types.ts';
import type { Area } from './areas.ts';
import { born as cmdqvBorn, ended as cmdqvEnded } from './cmdqv-fold.ts';
import type { Attachment, Device, EndHow, HwptNested, HwptPaging, Ioas, KernelObject, Origin, Uid } from './object-types.ts';
import { type Context, objectById } from './state.ts';
import type { Step } from './step.ts';
import { lastOf } from './u64.ts';

type Base = Pick<KernelObject, 'uid' | 'id' | 'origin' | 'birth' | 'call' | 'overlap'>;
type Of<T extends ObjectType> = Extract<KernelObject, { type: T }>;

/** An object of each type of which nothing is known but that it is there. */
const BLANK: { readonly [T in ObjectType]: (b: Base) => Of<T> } = {
  IOAS: (b) => ({ ...b, type: 'IOAS', allowed: [], reserved: [], usable: undefined, hugePages: true }),
  DEVICE: (b) => ({ ...b, type: 'DEVICE', file: 0, selftest: 0, attachments: [], hardware: undefined }),
  HWPT_PAGING: (b) => ({
    ...b,
    type: 'HWPT_PAGING',
    ioas: 0,
    device: 0,
    fault: 0,
    flags: 0,
    dataType: 0,
    auto: false,
    dirtyTracking: false,
  }),
  HWPT_NESTED: (b) => ({ ...b, type: 'HWPT_NESTED', parent: 0, device: 0, fault: 0, flags: 0, dataType: 0 }),
  ACCESS: (b) => ({ ...b, type: 'ACCESS', file: 0, ioas: 0, flags: 0 }),
  FAULT: (b) => ({ ...b, type: 'FAULT', file: 0, reads: 0, faults: 0, responses: 0, cookies: [] }),
  VIOMMU: (b) => ({ ...b, type: 'VIOMMU', hwpt: 0, device: 0, kind: 0, region: undefined }),
  VDEVICE: (b) => ({ ...b, type: 'VDEVICE', viommu: 0, device: 0, virtId: 0 }),
  VEVENTQ: (b) => ({ ...b, type: 'VEVENTQ', viommu: 0, file: 0, kind: 0, depth: 0, reads: 0, events: 0, lost: 0, untold: 0, sequence: -1 }),
  HW_QUEUE: (b) => ({ ...b, type: 'HW_QUEUE', viommu: 0, kind: 0, index: 0, iova: 0, length: 0, pins: false, ordered: false }),
  SELFTEST: (b) => ({ ...b, type: 'SELFTEST', device: 0 }),
};

function blank<T extends ObjectType>(s: Step, type: T, id: number, origin: Origin, overlap: number): Of<T> {
  const call = origin === 'observed' ? s.call : 0;
  return BLANK[type]({ uid: s.state.nextUid, id, origin, birth: s.e.seq, call, overlap });
}

/** What is known of a new object beside its identity. */
type Known<T extends ObjectType> = Partial<Omit<Of<T>, keyof Base | 'type'>>;

/**
 * A call made an object. `id` 0: the kernel told the id to nobody. If an event has used the id since the call was entered,
 * the object is there already, as inferred; if the id stood for something else, that has ended in between.
 */
export function born<T extends ObjectType>(s: Step, c: Context, type: T, id: number, known: Known<T>): Of<T> {
  const old = id === 0 ? undefined : objectById(c, id);
  if (old && old.origin === 'inferred' && old.birth > s.call && (old.type === type || old.type !== 'IOAS')) {
    const to = { ...BLANK[type](old), ...known, origin: 'observed', call: s.call } as Of<T>;
    s.emit({ op: 'object.set', context: c.context, from: old, to });
    if (old.type !== type) cmdqvEnded(s, old);
    cmdqvBorn(s, c, to);
    return to;
  }
  if (old) endObject(s, c, old, 'displaced');
  const object = { ...blank(s, type, id, 'observed', old ? s.e.tExit : 0), ...known };
  s.emit({ op: 'object.create', context: c.context, object });
  cmdqvBorn(s, c, object);
  return object;
}

/** The object that a successful call named by id, which can only be of one of `types`. undefined for id 0. */
export function ensureObject(s: Step, c: Context, id: number, types: readonly ObjectType[]): KernelObject | undefined {
  if (id === 0) return undefined;
  const old = objectById(c, id);
  if (old && (types.length === 0 || types.includes(old.type))) return old;
  const type = types[0] ?? 'IOAS';
  if (old && old.origin === 'inferred' && old.type !== 'IOAS') {
    const to: KernelObject = BLANK[type](old);
    s.emit({ op: 'object.set', context: c.context, from: old, to });
    // it is no vIOMMU after all
    cmdqvEnded(s, old);
    return to;
  }
  if (old) endObject(s, c, old, 'displaced');
  const object = blank(s, type, id, 'inferred', 0);
  s.emit({ op: 'object.create', context: c.context, object });
  return object;
}

/** `ensureObject` for a field that takes one type. */
export function ensure<T extends ObjectType>(s: Step, c: Context, id: number, type: T): Of<T> | undefined {
  const uid = c.ids.get(id);
  const old = uid === undefined ? undefined : c.objects.get(uid);
  if (old !== undefined && old.type === type) return old as Of<T>;
  return ensureObject(s, c, id, [type]) as Of<T> | undefined;
}

/** Says something more of an object; one that has ended meanwhile stays so. */
export function setObject<O extends KernelObject>(s: Step, c: Context, object: O, set: Partial<O>): O {
  const from = c.objects.get(object.uid);
  if (from?.type !== object.type) return object;
  const to = { ...(from as O), ...set };
  s.emit({ op: 'object.set', context: c.context, from, to });
  return to;
}

// ---- attachments ----

function attachmentsOf(c: Context): Device[] {
  const devices: Device[] = [];
  for (const o of c.objects.values()) if (o.type === 'DEVICE' && o.attachments.length > 0) devices.push(o);
  return devices.sort((a, b) => a.uid - b.uid);
}

/** Attaches a device (or its PASID) to a HWPT, in place of what it was attached to; 0 detaches. */
export function attach(s: Step, c: Context, deviceUid: Uid, pasid: number, hwpt: Uid): void {
  const device = c.objects.get(deviceUid);
  if (device?.type !== 'DEVICE') return;
  const old = device.attachments.find((a) => a.pasid === pasid);
  if ((old?.hwpt ?? 0) === hwpt) return;
  const attachments: Attachment[] = device.attachments.filter((a) => a !== old);
  if (hwpt !== 0) attachments.push({ pasid, hwpt, seq: s.e.seq });
  attachments.sort((a, b) => a.pasid - b.pasid);
  setObject(s, c, device, { attachments });
  if (old) reap(s, c, old.hwpt);
}

/** An automatic HWPT goes with its last attachment. */
function reap(s: Step, c: Context, uid: Uid): void {
  const hwpt = c.objects.get(uid);
  if (hwpt?.type !== 'HWPT_PAGING' || !hwpt.auto) return;
  if (attachmentsOf(c).some((d) => d.attachments.some((a) => a.hwpt === uid))) return;
  endObject(s, c, hwpt, 'auto');
}

/**
 * The HWPT that an attach to `given` ended at, as the call's `pt_id` says on return (`told`; 0 where it is not known).
 * Attaching an IOAS gives one of its automatic HWPTs, a new one if need be.
 */
export function hwptOfAttach(s: Step, c: Context, given: number, told: number): HwptPaging | HwptNested | Ioas | undefined {
  const target = objectById(c, given);
  if (target?.type !== 'IOAS' && (told === 0 || told === given)) {
    return ensureObject(s, c, given, ['HWPT_PAGING', 'HWPT_NESTED', 'IOAS']) as HwptPaging | HwptNested | Ioas | undefined;
  }
  const ioas = ensure(s, c, given, 'IOAS');
  // an emulated device is attached to the IOAS itself, and its id comes back unchanged
  if (!ioas || told === given) return ioas;
  const there = objectById(c, told);
  if (there?.type === 'HWPT_PAGING' && there.auto && there.ioas === ioas.uid) return there;
  if (there?.type === 'HWPT_PAGING' && there.origin === 'inferred') return setObject(s, c, there, { auto: true, ioas: ioas.uid });
  return born(s, c, 'HWPT_PAGING', told, { auto: true, ioas: ioas.uid });
}

// ---- areas ----

/** The kernel made an area; areas that lie in its place are gone without the log having shown it. */
export function addArea(s: Step, c: Context, ioas: Ioas, area: Area): void {
  const tree = c.areas.get(ioas.uid);
  if (!tree) return;
  const before = tree.floor(area.last);
  if (before !== undefined && before.last >= area.start) {
    for (const old of tree.within(area.start, area.last)) removeArea(s, c, ioas, old);
  }
  s.emit({ op: 'area.add', context: c.context, ioas: ioas.uid, id: ioas.id, area });
}

/** Takes an area away; mock accesses give up the pages of it that they hold. */
export function removeArea(s: Step, c: Context, ioas: Ioas, area: Area): void {
  s.emit({ op: 'area.remove', context: c.context, ioas: ioas.uid, id: ioas.id, area });
  if (c.pins.size === 0) return;
  for (const pin of [...c.pins.values()].sort((a, b) => a.access - b.access || a.item - b.item)) {
    const access = c.objects.get(pin.access);
    if (access?.type !== 'ACCESS' || access.ioas !== ioas.uid) continue;
    if (pin.iova <= area.last && lastOf(pin.iova, pin.length) >= area.start) s.emit({ op: 'pin.remove', context: c.context, pin });
  }
}

export function dropPins(s: Step, c: Context, access: Uid): void {
  if (c.pins.size === 0) return;
  for (const pin of [...c.pins.values()].sort((a, b) => a.item - b.item)) {
    if (pin.access === access) s.emit({ op: 'pin.remove', context: c.context, pin });
  }
}

// ---- ends ----

/** Ends an object and what cannot be without it. */
export function endObject(s: Step, c: Context, object: KernelObject, how: EndHow): void {
  switch (object.type) {
    case 'SELFTEST': {
      const device = c.objects.get(object.device);
      if (device) endObject(s, c, device, how);
      break;
    }
    case 'DEVICE':
      unbind(s, c, object, how);
      return;
    case 'ACCESS':
      dropPins(s, c, object.uid);
      break;
    case 'HWPT_PAGING':
    case 'HWPT_NESTED':
      if (how !== 'release') movedAway(s, c, object.uid);
      break;
    case 'IOAS':
      if (c.compat === object.uid) s.emit({ op: 'context.set', context: c.context, field: 'compat', from: object.uid, to: 0 });
      break;
    default:
      break;
  }
  emitEnd(s, c, object, how);
}

function emitEnd(s: Step, c: Context, object: KernelObject, how: EndHow): void {
  const { id, uid, type, birth } = object;
  const now = c.objects.get(uid);
  if (!now) return;
  s.emit({
    op: 'object.end',
    context: c.context,
    object: now,
    how,
    areas: c.areas.get(uid)?.clone(),
    ended: { id, uid, type, birth, seq: s.e.seq, how },
    previous: c.ended.get(id),
  });
  cmdqvEnded(s, now);
}

/** A device goes: it is detached everywhere, and its virtual device becomes a tombstone. */
function unbind(s: Step, c: Context, device: Device, how: EndHow): void {
  for (const a of device.attachments) attach(s, c, device.uid, a.pasid, 0);
  for (const o of [...c.objects.values()]) {
    if (o.type === 'VDEVICE' && o.device === device.uid) emitEnd(s, c, o, 'tombstone');
  }
  emitEnd(s, c, device, how);
}

/**
 * The kernel ended a HWPT, so no device is attached to it any more. Where the state still says so for VFIO devices, they
 * went with their IOMMU group: a replace moves all devices of a group, and groups are not seen here.
 */
function movedAway(s: Step, c: Context, hwpt: Uid): void {
  for (const device of attachmentsOf(c)) {
    if (device.file === 0 && device.origin === 'observed') continue;
    for (const a of device.attachments) if (a.hwpt === hwpt) detachOnly(s, c, device.uid, a.pasid);
  }
}

function detachOnly(s: Step, c: Context, uid: Uid, pasid: number): void {
  const device = c.objects.get(uid);
  if (device?.type === 'DEVICE') setObject(s, c, device, { attachments: device.attachments.filter((a) => a.pasid !== pasid) });
}

/** The last holder of the iommufd is gone: the kernel destroys everything, users before what they use. */
export function endAll(s: Step, c: Context): void {
  for (const pin of [...c.pins.values()].sort((a, b) => a.access - b.access || a.item - b.item)) {
    s.emit({ op: 'pin.remove', context: c.context, pin });
  }
  for (const object of [...c.objects.values()].sort((a, b) => b.uid - a.uid)) emitEnd(s, c, object, 'release');
  s.emit({ op: 'context.end', context: c });
}
