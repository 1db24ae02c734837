/** Who holds what: the references behind an object's user count, by the kernel's rules (drivers/iommu/iommufd). Derived, never stored. */
import type { KernelObject, Uid } from './object-types.ts';
import type { Context, Mapping, SessionState } from './state.ts';

/** What holds an object. */
export type Holder =
  /** an object of the same context, by its being or by what it stands on */
  | { readonly kind: 'object'; readonly uid: Uid }
  /** a device (or one of its PASIDs) attached to it; or, seen from the device, that it is attached */
  | { readonly kind: 'attachment'; readonly device: Uid; readonly pasid: number; readonly hwpt: Uid }
  /** its own open file */
  | { readonly kind: 'file'; readonly file: number }
  /** a part of an address space that shows its region */
  | { readonly kind: 'mapping'; readonly mapping: Mapping }
  /** the ACCESS that the kernel made for a HW_QUEUE; its id is told to nobody */
  | { readonly kind: 'access'; readonly queue: Uid }
  /** the driver that bound a DEVICE or made an ACCESS */
  | { readonly kind: 'driver' };

/** Holders of each object of a context, also of objects that are not there any more. */
export type References = ReadonlyMap<Uid, readonly Holder[]>;

export function referencesOf(state: SessionState, c: Context): References {
  const all = new Map<Uid, Holder[]>();
  const add = (uid: Uid, holder: Holder): void => {
    if (uid === 0) return;
    const list = all.get(uid);
    if (list) list.push(holder);
    else all.set(uid, [holder]);
  };
  const objects = [...c.objects.values()].sort((a, b) => a.uid - b.uid);
  for (const o of objects) addOf(state, c, o, add);
  const pinning: Mapping[] = [];
  for (const maps of state.mappings.values()) for (const m of maps.values()) if (m.context === c.context && m.pins) pinning.push(m);
  // a map keeps the order in which things came, and that is another one after steps back
  pinning.sort((a, b) => a.memory - b.memory || (a.address < b.address ? -1 : 1));
  for (const mapping of pinning) add(mapping.viommu, { kind: 'mapping', mapping });
  return all;
}

/** The user count of the kernel: 1 for the id, and every holder. */
export const usersOf = (references: References, uid: Uid): number => 1 + (references.get(uid)?.length ?? 0);

type Add = (uid: Uid, holder: Holder) => void;

/** The references that one object takes, and those that its own file or driver takes on it. */
function addOf(state: SessionState, c: Context, o: KernelObject, add: Add): void {
  const self = { kind: 'object', uid: o.uid } as const;
  switch (o.type) {
    case 'DEVICE':
      add(o.uid, { kind: 'driver' });
      for (const { pasid, hwpt } of o.attachments) {
        const holder = { kind: 'attachment', device: o.uid, pasid, hwpt } as const;
        add(o.uid, holder);
        add(hwpt, holder);
      }
      return;
    case 'HWPT_PAGING':
      add(o.ioas, self);
      add(o.fault, self);
      return;
    case 'HWPT_NESTED':
      add(o.parent, self);
      add(o.fault, self);
      return;
    case 'ACCESS':
      add(o.uid, { kind: 'driver' });
      add(o.ioas, self);
      return;
    case 'FAULT':
      if (state.files.has(o.file)) add(o.uid, { kind: 'file', file: o.file });
      return;
    case 'VIOMMU':
      add(o.hwpt, self);
      return;
    case 'VDEVICE':
      add(o.viommu, self);
      return;
    case 'VEVENTQ':
      if (state.files.has(o.file)) add(o.uid, { kind: 'file', file: o.file });
      add(o.viommu, self);
      return;
    case 'HW_QUEUE':
      add(o.viommu, self);
      if (o.pins) add(ioasUnder(c, o.viommu), { kind: 'access', queue: o.uid });
      if (o.ordered) add(queueBelow(c, o), self);
      return;
    case 'IOAS':
    case 'SELFTEST':
      return;
    default:
      o satisfies never;
  }
}

/** The IOAS of a VIOMMU's nesting parent, 0 not known. */
export function ioasUnder(c: Context, viommu: Uid): Uid {
  const v = c.objects.get(viommu);
  const hwpt = v?.type === 'VIOMMU' ? c.objects.get(v.hwpt) : undefined;
  return hwpt?.type === 'HWPT_PAGING' ? hwpt.ioas : 0;
}

function queueBelow(c: Context, q: KernelObject & { readonly type: 'HW_QUEUE' }): Uid {
  for (const o of c.objects.values()) {
    if (o.type === 'HW_QUEUE' && o.viommu === q.viommu && o.kind === q.kind && o.index === q.index - 1) return o.uid;
  }
  return 0;
}
