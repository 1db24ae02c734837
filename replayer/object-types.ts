/** The records of iommufd objects: what each type is known by. Immutable; a change replaces a record by another. */
import type { ObjectType } from '../hw/uapi/types.ts';
import type { U64 } from './u64.ts';

/** observed: an event made it; inferred: an event used it that nothing in the log made */
export type Origin = 'observed' | 'inferred';

/** Number of an object, unique in a recording, in order of birth: the kernel reuses ids, this never. */
export type Uid = number;

export interface Range {
  readonly start: U64;
  /** included */
  readonly last: U64;
}

interface ObjectBase {
  readonly uid: Uid;
  /** the kernel's id; 0 where the kernel told it to nobody */
  readonly id: number;
  readonly origin: Origin;
  /** the event from which on it is there */
  readonly birth: number;
  /** the call that made it; other than `birth` only where the call was stored before it returned; 0 inferred */
  readonly call: number;
  /** this id stood for another object when the call was entered: destroy calls that overlap mean that one (ns, else 0) */
  readonly overlap: number;
}

export interface Ioas extends ObjectBase {
  readonly type: 'IOAS';
  /** as last given to IOMMU_IOAS_ALLOW_IOVAS; empty: everything */
  readonly allowed: readonly Range[];
  /** learnt from IOMMU_TEST_OP_ADD_RESERVED */
  readonly reserved: readonly Range[];
  /** the last answer of IOMMU_IOAS_IOVA_RANGES */
  readonly usable: { readonly ranges: readonly Range[]; readonly total: number; readonly alignment: U64; readonly seq: number } | undefined;
  /** IOMMU_OPTION_HUGE_PAGES; the kernel begins with true */
  readonly hugePages: boolean;
}

export interface Attachment {
  readonly pasid: number;
  readonly hwpt: Uid;
  readonly seq: number;
}

export interface Device extends ObjectBase {
  readonly type: 'DEVICE';
  /** number of the VFIO device file that bound it, 0 for mock devices */
  readonly file: number;
  /** the SELFTEST object of a mock device, else 0 */
  readonly selftest: Uid;
  /** by PASID; 0 is the plain attachment */
  readonly attachments: readonly Attachment[];
  /** the last answer of IOMMU_GET_HW_INFO */
  readonly hardware: { readonly type: number; readonly capabilities: U64; readonly pasidBits: number } | undefined;
}

export interface HwptPaging extends ObjectBase {
  readonly type: 'HWPT_PAGING';
  readonly ioas: Uid;
  /** the device it was allocated for; no reference */
  readonly device: Uid;
  readonly fault: Uid;
  /** enum iommufd_hwpt_alloc_flags */
  readonly flags: number;
  readonly dataType: number;
  /** made by attaching a device to the IOAS: goes with its last attachment */
  readonly auto: boolean;
  readonly dirtyTracking: boolean;
}

export interface HwptNested extends ObjectBase {
  readonly type: 'HWPT_NESTED';
  /** HWPT_PAGING or VIOMMU */
  readonly parent: Uid;
  readonly device: Uid;
  readonly fault: Uid;
  readonly flags: number;
  readonly dataType: number;
}

export interface Access extends ObjectBase {
  readonly type: 'ACCESS';
  /** the mock access file or the emulated VFIO device that owns it */
  readonly file: number;
  readonly ioas: Uid;
  readonly flags: number;
}

export interface Cookie {
  readonly cookie: number;
  readonly device: number;
  readonly pasid: number;
  readonly group: number;
  readonly faults: number;
  readonly seq: number;
}

export interface Fault extends ObjectBase {
  readonly type: 'FAULT';
  readonly file: number;
  readonly reads: number;
  readonly faults: number;
  readonly responses: number;
  /** groups that were read and not answered yet */
  readonly cookies: readonly Cookie[];
}

export interface Viommu extends ObjectBase {
  readonly type: 'VIOMMU';
  readonly hwpt: Uid;
  readonly device: Uid;
  /** enum iommu_viommu_type */
  readonly kind: number;
  /** what mmap() of the iommufd takes */
  readonly region: { readonly offset: U64; readonly length: U64 } | undefined;
}

export interface Vdevice extends ObjectBase {
  readonly type: 'VDEVICE';
  readonly viommu: Uid;
  readonly device: Uid;
  readonly virtId: U64;
}

export interface Veventq extends ObjectBase {
  readonly type: 'VEVENTQ';
  readonly viommu: Uid;
  readonly file: number;
  /** enum iommu_veventq_type */
  readonly kind: number;
  readonly depth: number;
  readonly reads: number;
  readonly events: number;
  /** events that never reached the reader, from the gaps of the sequence; counted from the first event seen when inferred */
  readonly lost: number;
  /** of those, how many were missing without a LOST_EVENTS record that told so */
  readonly untold: number;
  /** of the newest record read; -1 before the first */
  readonly sequence: number;
}

export interface HwQueue extends ObjectBase {
  readonly type: 'HW_QUEUE';
  readonly viommu: Uid;
  /** enum iommu_hw_queue_type */
  readonly kind: number;
  readonly index: number;
  /** guest physical: IOVA of the nesting parent */
  readonly iova: U64;
  readonly length: U64;
  /** holds an ACCESS of its own on the parent's IOAS, whose id no call tells */
  readonly pins: boolean;
  /** holds the queue with the next lower index */
  readonly ordered: boolean;
}

export interface Selftest extends ObjectBase {
  readonly type: 'SELFTEST';
  readonly device: Uid;
}

export type KernelObject = Ioas | Device | HwptPaging | HwptNested | Access | Fault | Viommu | Vdevice | Veventq | HwQueue | Selftest;

/** How an object ended. tombstone: a VDEVICE whose DEVICE went first, its id stays taken. displaced: its id was given again. */
export type EndHow = 'destroy' | 'close' | 'release' | 'auto' | 'tombstone' | 'displaced';

/** The last object that had an id and is no more. */
export interface EndedObject {
  readonly id: number;
  readonly uid: Uid;
  readonly type: ObjectType;
  readonly birth: number;
  readonly seq: number;
  readonly how: EndHow;
}
