/** Does a kernel's state hang together? For property tests. */
import type { Context, Kernel, KObject } from './state.ts';
import { nameOf } from './words.ts';

/** What is wrong, in words; empty where nothing is. */
export function brokenRules(kernel: Kernel): string[] {
  return [...kernel.contexts.values()].flatMap((context) => [
    ...ids(context),
    ...counts(context),
    ...areas(context),
    ...holds(kernel, context),
  ]);
}

function ids(context: Context): string[] {
  const found: string[] = [];
  for (const [id, o] of context.objects) {
    if (o.id !== id || o.context !== context) found.push(`${nameOf(o)} stands under id ${id}`);
    if (context.tombstones.has(id)) found.push(`${nameOf(o)} took a tombstone's id`);
    for (const other of stands(o))
      if (context.objects.get(other.id) !== other) found.push(`${nameOf(o)} stands on ${nameOf(other)}, which has ended`);
  }
  for (let id = 1; id < context.lowestFree; id++)
    if (!context.objects.has(id) && !context.tombstones.has(id)) found.push(`id ${id} is free and below the lowest`);
  return found;
}

/** What an object counts as a user of. */
function stands(o: KObject): KObject[] {
  const fault = (o.type === 'HWPT_PAGING' || o.type === 'HWPT_NESTED') && o.fault ? [o.fault] : [];
  switch (o.type) {
    case 'HWPT_PAGING':
      return [o.ioas, ...fault];
    case 'HWPT_NESTED':
      return [(o.parent ?? o.viommu)!, ...fault];
    case 'ACCESS':
      return o.ioas ? [o.ioas] : [];
    case 'VIOMMU':
      return [o.parent];
    case 'VDEVICE':
    case 'VEVENTQ':
      return [o.viommu];
    case 'HW_QUEUE': {
      return o.before ? [o.viommu, o.before] : [o.viommu];
    }
    default:
      return [];
  }
}

function counts(context: Context): string[] {
  const users = new Map<KObject, number>();
  const add = (o: KObject): void => void users.set(o, (users.get(o) ?? 0) + 1);
  for (const o of context.objects.values()) {
    for (const other of stands(o)) add(other);
    if (o.type === 'DEVICE') for (const a of o.group.attached.values()) if (a.devices.includes(o)) add(a.hwpt);
    if (o.type === 'DEVICE' || o.type === 'ACCESS') add(o);
  }
  for (const file of context.kernel.files.values())
    if ((file.kind === 'fault' || file.kind === 'veventq') && file.object?.context === context) add(file.object);
  for (const o of context.objects.values()) if (o.type === 'VIOMMU') for (let i = 0; i < (o.leaked ?? 0); i++) add(o);
  return [...context.objects.values()]
    .filter((o) => o.users !== (users.get(o) ?? 0))
    .map((o) => `${nameOf(o)} counts ${o.users} users and has ${users.get(o) ?? 0}`);
}

function areas(context: Context): string[] {
  const found: string[] = [];
  for (const o of context.objects.values()) {
    if (o.type !== 'IOAS') continue;
    o.areas.forEach((a, i) => {
      const next = o.areas[i + 1];
      if (a.start > a.last || (next !== undefined && next.start <= a.last)) found.push(`areas of ${nameOf(o)} are out of order or overlap`);
      if (o.reserved.some((r) => r.start <= a.last && r.last >= a.start)) found.push(`an area of ${nameOf(o)} is in a reserved range`);
    });
    if (o.hwpts.some((h) => context.objects.get(h.id) !== h)) found.push(`${nameOf(o)} lists a HWPT that has ended`);
  }
  return found;
}

function holds(kernel: Kernel, context: Context): string[] {
  const files = [...kernel.files.values(), ...kernel.vmas].filter((f) => f.context === context).length;
  return context.holds === files ? [] : [`context ${context.file} counts ${context.holds} files and mappings, and has ${files}`];
}
