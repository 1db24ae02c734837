/** Objects and numbers in the words of a refusal. */
import type { Context, KObject } from './state.ts';

/** "HWPT_PAGING 5" */
export const nameOf = (o: KObject): string => `${o.type} ${o.id}`;

export const hex = (n: bigint | number): string => `0x${n.toString(16)}`;

/** "VIOMMU 6, HWPT_NESTED 7 and 2 attachments" */
export function listed(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

/** Objects of the context that stand on this one or hold it. */
export function holdersOf(object: KObject): KObject[] {
  const held = (o: KObject): boolean => {
    switch (o.type) {
      case 'HWPT_PAGING':
        return o.ioas === object || o.fault === object;
      case 'HWPT_NESTED':
        return o.parent === object || o.viommu === object || o.fault === object;
      case 'ACCESS':
        return o.ioas === object;
      case 'VIOMMU':
        return o.parent === object;
      case 'VDEVICE':
        return o.viommu === object;
      case 'VEVENTQ':
        return o.viommu === object;
      case 'HW_QUEUE':
        return o.viommu === object || o.before === object;
      case 'SELFTEST':
        return o.device === object;
      case 'DEVICE':
        return [...o.group.attached.values()].some((a) => a.hwpt === object && a.devices.includes(o));
      default:
        return false;
    }
  };
  return [...object.context.objects.values()].filter(held);
}

/** What else holds it, beside objects. `maps`: mappings that count. */
export function otherHolders(object: KObject, maps: number): string[] {
  const context: Context = object.context;
  const file =
    object.type === 'FAULT' || object.type === 'VEVENTQ' ? [...context.kernel.files.values()].find((f) => f.object === object) : undefined;
  return [
    ...(maps > 0 ? [maps === 1 ? 'a mapping of its region' : `${maps} mappings of its region`] : []),
    ...(file === undefined ? [] : [file.closed === true ? 'a mapping of its file' : 'its open descriptor']),
    ...(object.type === 'VIOMMU' && object.leaked ? ['a reference that its driver never gives back'] : []),
  ];
}
