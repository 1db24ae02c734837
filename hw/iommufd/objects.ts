/**
 * Objects: finding them, destroying them, and the end of a context. drivers/iommu/iommufd/main.c, iommufd_object_remove() and
 * iommufd_fops_release().
 */

import type { ObjectType } from '../uapi/types.ts';
import { disable } from '../vfio/device.ts';
import { unpinAll } from './areas.ts';
import { detachAll } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { dropRegion } from './regions.ts';
import type { Access, Area, Context, HwptPaging, HwQueue, Kernel, KObject, OpenFile } from './state.ts';
import { queueTraits, regionTraits } from './traits.ts';
import { holdersOf, listed, nameOf, otherHolders } from './words.ts';

type OfType<T extends ObjectType> = Extract<KObject, { readonly type: T }>;

/** The object that an id stands for, if it is of one of the types. */
export function find<T extends ObjectType>(context: Context, id: number, types: readonly T[]): OfType<T> | undefined {
  const object = context.objects.get(id);
  return object !== undefined && (types as readonly string[]).includes(object.type) ? (object as OfType<T>) : undefined;
}

/** Why an id stands for nothing that is wanted, in words. */
export function missing(context: Context, id: number, types: readonly string[]): string {
  const there = context.objects.get(id);
  const wanted = types.length === 0 ? 'an object' : listed(types).replace(' and ', ' or ');
  if (there !== undefined) return `${id} is ${nameOf(there)}, not ${wanted}`;
  if (context.tombstones.has(id)) return `id ${id} is a tombstone: its vDEVICE ended with its device`;
  return id === 0 ? 'id 0 never is an object' : `there is no object ${id}`;
}

/** The object that a field names; ENOENT, and undefined, where there is none of these types. */
export function object<T extends ObjectType>(c: Call, field: string, ...types: readonly T[]): OfType<T> | undefined {
  const id = c.u32(field);
  const found = find(c.context, id, types);
  if (found === undefined) {
    const there = c.context.objects.get(id);
    c.refuse('ENOENT', 'object.lookup', {
      field,
      text: missing(c.context, id, types),
      wanted: `the id of ${listed(types).replace(' and ', ' or ')}`,
      because: there === undefined ? [] : [there],
    });
  }
  return found;
}

export function insert(o: KObject): void {
  const { context, id } = o;
  context.objects.set(id, o);
  for (const queue of context.queues) {
    // ids are given from the lowest on: one that was passed over is taken
    if (queue.access !== undefined && id > queue.access.id) queue.access.passed = true;
    if (queue.spare !== undefined && id >= queue.spare) queue.spare = undefined;
  }
  while (context.objects.has(context.lowestFree) || context.tombstones.has(context.lowestFree)) context.lowestFree++;
}

export function forget(o: KObject): void {
  const { context, id } = o;
  if (context.objects.get(id) !== o) return;
  context.objects.delete(id);
  context.lowestFree = Math.min(context.lowestFree, id);
}

function remove<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}

/** Ends an object, whoever held it. Its id is free afterwards. */
export function destroy(o: KObject): void {
  forget(o);
  switch (o.type) {
    case 'IOAS':
      if (o.context.compat === o) o.context.compat = undefined;
      for (const area of o.areas) letFileGo(o.context.kernel, area);
      return;
    case 'HWPT_PAGING':
      leaveIoas(o);
      if (o.fault) o.fault.users--;
      return;
    case 'HWPT_NESTED':
      if (o.parent) o.parent.users--;
      if (o.viommu) o.viommu.users--;
      if (o.fault) o.fault.users--;
      return;
    case 'VIOMMU':
      o.parent.users--;
      if (o.region) dropRegion(o.region);
      return;
    case 'VDEVICE':
      o.viommu.users--;
      o.viommu.vdevices.delete(o.virtId);
      if (o.device.vdevice === o) o.device.vdevice = undefined;
      return;
    case 'VEVENTQ':
      o.viommu.users--;
      o.viommu.veventqs.delete(o.kind);
      return;
    case 'HW_QUEUE':
      destroyQueue(o);
      return;
    case 'SELFTEST':
      detachAll(o.device);
      unbind(o.device);
      return;
    case 'ACCESS':
      leaveAccess(o);
      return;
    default:
      return;
  }
}

function leaveIoas(o: HwptPaging): void {
  const { ioas } = o;
  ioas.users--;
  remove(ioas.hwpts, o);
  for (const r of ioas.reserved.filter((x) => x.owner === o)) remove(ioas.reserved, r);
}

/** An access lets go of its pages and its IOAS. */
export function leaveAccess(access: Access): void {
  const { ioas } = access;
  if (ioas === undefined) return;
  unpinAll(ioas, access);
  ioas.users--;
  remove(ioas.accesses, access);
  access.ioas = undefined;
}

function destroyQueue(o: HwQueue): void {
  remove(o.viommu.parent.ioas.queues, o);
  remove(o.context.queues, o);
  if (o.access) {
    leaveAccess(o.access);
    forget(o.access);
  }
  o.viommu.users--;
  if (o.viommu.queues.get(o.index) === o) o.viommu.queues.delete(o.index);
  if (o.before) o.before.users--;
  // the mock driver never notes a queue's index, so it takes it for 0 when the queue ends
  if (o.viommu.mockSlots !== undefined) o.viommu.mockSlots &= ~1;
}

/** The driver lets go of its device: the DEVICE ends, a vDEVICE of it leaves a tombstone. */
export function unbind(device: Extract<KObject, { type: 'DEVICE' }>): void {
  const { vdevice, context } = device;
  if (vdevice !== undefined && context.kernel.tombstones) {
    destroy(vdevice);
    context.tombstones.add(vdevice.id);
    while (context.objects.has(context.lowestFree) || context.tombstones.has(context.lowestFree)) context.lowestFree++;
  }
  remove(device.group.devices, device);
  forget(device);
}

/** A file, or a mapping, lets go of the context; with the last the context ends. */
export function release(context: Context): void {
  context.holds--;
  if (context.holds > 0) return;
  for (let again = true; again; ) {
    again = false;
    for (const id of [...context.objects.keys()].sort((a, b) => a - b)) {
      const o = context.objects.get(id);
      if (o === undefined || o.users > 0) continue;
      destroy(o);
      again = true;
    }
  }
  context.kernel.contexts.delete(context.file);
}

const isMapped = (kernel: Kernel, file: number): boolean =>
  [...kernel.contexts.values()].some((context) =>
    [...context.objects.values()].some((o) => o.type === 'IOAS' && o.areas.some((a) => a.pages.file === file)),
  );

/** An area is gone: a file of MAP_FILE ends with the last area of it, where its descriptors are closed already. */
export function letFileGo(kernel: Kernel, area: Area): void {
  const file = area.pages.file === undefined ? undefined : kernel.files.get(area.pages.file);
  if (file?.closed === true) closeFile(kernel, file);
}

/** What ends with the last descriptor of a file, and the last area that maps it. */
export function closeFile(kernel: Kernel, file: OpenFile): void {
  if (file.mapped === true && isMapped(kernel, file.file)) {
    file.closed = true;
    return;
  }
  kernel.files.delete(file.file);
  const { context, object: o } = file;
  if (o !== undefined) {
    if (file.kind === 'fault' || file.kind === 'veventq') o.users--;
    else if (file.kind === 'access' || o.type === 'ACCESS') destroy(o);
    else if (file.kind === 'vfio-device' && o.type === 'DEVICE') {
      if (file.pci !== undefined) disable(file.pci, file);
      detachAll(o);
      unbind(o);
    }
  }
  if (context !== undefined && holdsContext(file.kind)) release(context);
}

/** Does such a file keep the context that it belongs to? */
export const holdsContext = (kind: OpenFile['kind']): boolean => kind !== 'dmabuf' && kind !== 'other' && kind !== 'vfio-group';

const destroyRule: Rule = (c) => {
  const id = c.u32('id');
  const o = c.context.objects.get(id);
  if (o === undefined) {
    c.refuse('ENOENT', 'destroy.lookup', { field: 'id', text: missing(c.context, id, []), wanted: 'the id of an object' });
    return;
  }
  const maps = o.type === 'VIOMMU' && regionTraits(c.traits.queueRules).holds ? o.maps : 0;
  const users = o.type === 'HW_QUEUE' ? followers(c, o).length : o.users + maps;
  if (users > 0 && c.refuse('EBUSY', 'destroy.in-use', inUse(c, o, maps))) return;
  c.then(() => destroy(o));
};

/** The queue of the next index holds this one, where queues have an order. */
function followers(c: Call, o: HwQueue): HwQueue[] {
  const next = queueTraits(c.traits.queueRules).ordered ? o.viommu.queues.get(o.index + 1) : undefined;
  return next === undefined ? [] : [next];
}

function inUse(c: Call, o: KObject, maps: number): { field: string; text: string; wanted: string; because: KObject[] } {
  const holders = o.type === 'HW_QUEUE' ? followers(c, o) : holdersOf(o);
  const words = [...holders.map(nameOf), ...otherHolders(o, maps)];
  if (o.type === 'DEVICE') words.unshift('the driver that bound it');
  if (o.type === 'ACCESS') words.unshift('its owner');
  const text = `${nameOf(o)} is held by ${words.length === 0 ? 'something that the log does not show' : listed(words)}`;
  return { field: 'id', text, wanted: 'an object that nothing holds', because: [o, ...holders] };
}

export const rules: Readonly<Record<string, Rule>> = { IOMMU_DESTROY: destroyRule };
