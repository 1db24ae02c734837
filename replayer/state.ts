/**
 * The state of a session at one event: processes, open files, iommufd contexts and their objects, as the log shows them.
 * What is here was observed (the kernel's answers) or, where the log begins late or has holes, inferred from use; the
 * `origin` says which. Only `apply` and `revert` in change.ts write it. Records are immutable and replaced as a whole, so a
 * snapshot shares them; maps, counters and area trees are changed in place.
 */
import type { AreaTree } from './areas.ts';
import { type Cmdqv, copyCmdqv, emptyCmdqv, sizeOfCmdqv } from './cmdqv.ts';
import type { EndedObject, KernelObject, Origin, Uid } from './object-types.ts';
import type { U64 } from './u64.ts';

/** Pages that a mock access holds: IOMMU_TEST_OP_ACCESS_PAGES. */
export interface Pin {
  readonly access: Uid;
  readonly item: number;
  readonly iova: U64;
  readonly length: U64;
  readonly seq: number;
}

/** What the kernel calls an iommufd_ctx; also a VFIO container, which iommufd may serve. */
export interface Context {
  /** 1, 2, … in order of birth */
  readonly context: number;
  /** number of the open file */
  readonly file: number;
  readonly birth: number;
  readonly origin: Origin;
  /** the IOAS that the VFIO type1 calls mean, 0 none */
  compat: Uid;
  /** IOMMU_OPTION_RLIMIT_MODE: 0 per user, 1 per mm; -1 not known */
  rlimitMode: number;
  /** pid of the last IOMMU_IOAS_CHANGE_PROCESS, 0 none */
  accountedTo: number;
  readonly objects: Map<Uid, KernelObject>;
  readonly ids: Map<number, Uid>;
  /** one tree for each IOAS */
  readonly areas: Map<Uid, AreaTree>;
  /** key: pinKey() */
  readonly pins: Map<string, Pin>;
  /** by id */
  readonly ended: Map<number, EndedObject>;
}

/** Names for the numbers of store/frame.ts FileKind. */
export const FILE_KINDS = [
  'UNKNOWN',
  'IOMMUFD',
  'VFIO_DEVICE',
  'VFIO_GROUP',
  'VFIO_CONTAINER',
  'FAULT',
  'VEVENTQ',
  'ACCESS',
  'DMABUF',
  'KVM',
  'KVM_VM',
  'KVM_VCPU',
] as const;

export interface Region {
  readonly index: number;
  readonly flags: number;
  readonly size: U64;
  readonly offset: U64;
}
export interface Irq {
  readonly index: number;
  readonly flags: number;
  readonly count: number;
}
/** An eventfd that VFIO_DEVICE_SET_IRQS tied to an interrupt. */
export interface Trigger {
  readonly index: number;
  readonly sub: number;
  /** VFIO_IRQ_SET_ACTION_*: MASK 8, UNMASK 16, TRIGGER 32 */
  readonly action: number;
  readonly fd: number;
  readonly pid: number;
}

/** An open file description that the recorder follows. */
export interface OpenFile {
  /** the recorder's number; negative: not numbered yet, or never */
  readonly file: number;
  /** store/frame.ts FileKind */
  readonly kind: number;
  readonly birth: number;
  readonly origin: Origin;
  /** what it is called, where the log says so */
  readonly path: string;
  /** the context that it is (iommufd, container) or belongs to, 0 not known */
  readonly context: number;
  /** FAULT, VEVENTQ, ACCESS: its object; bound VFIO device: its DEVICE or ACCESS; else 0 */
  readonly object: Uid;
  /** open files that it keeps open */
  readonly holds: readonly number[];
  /** dma-buf: taken back by IOMMU_TEST_OP_DMABUF_REVOKE */
  readonly revoked: boolean;
  /** VFIO device: what VFIO_DEVICE_GET_INFO and its kin said */
  readonly regions: readonly Region[];
  readonly irqs: readonly Irq[];
  readonly triggers: readonly Trigger[];
}

export interface Process {
  readonly pid: number;
  /** 0 not known */
  readonly parent: number;
  readonly exe: string;
  /** clock ticks since boot, 0 not known: tells a reused pid */
  readonly startTime: U64;
  readonly live: boolean;
  readonly birth: number;
  /** when its first event was entered, ns of CLOCK_MONOTONIC */
  readonly began: number;
  /** the event of its exit, 0 while it lives */
  readonly end: number;
  readonly status: number;
  readonly origin: Origin;
  /** pid whose address space it lives in: another one's for a vfork child until it execs */
  readonly memory: number;
  /** descriptors that its image still has to report as inherited, -1 where START did not say how many */
  readonly inherits: number;
}

/** A part of an address space that shows a file; munmap may cut it. */
export interface Mapping {
  /** pid that owns the address space */
  readonly memory: number;
  readonly address: U64;
  readonly length: U64;
  readonly file: number;
  /** offset in the file of `address` */
  readonly offset: U64;
  readonly prot: number;
  /** iommufd: the VIOMMU whose region it shows, 0 not known */
  readonly viommu: Uid;
  /** the log has the loads and stores that a process makes through it */
  readonly trapped: boolean;
  /** it holds that VIOMMU: all kernels but those of the first series */
  readonly pins: boolean;
  readonly context: number;
  /** VFIO device: index of the region, -1 not known or not one */
  readonly region: number;
  readonly seq: number;
}

/** A call that was stored before it returned. */
export interface PendingCall {
  readonly seq: number;
  readonly pid: number;
  readonly tid: number;
  readonly kind: number;
  readonly fd: number;
  /** 0 where it is none that the recorder follows */
  readonly file: number;
  readonly request: number;
  /** the frame as it was stored */
  readonly bytes: Buffer;
}

export interface SessionState {
  /** the last event that is in the state; 0 before the first */
  seq: number;
  /** events that the recorder could not take, so far */
  dropped: number;
  nextContext: number;
  nextUid: Uid;
  /** numbers of files that the recorder has not numbered: -1, -2, … */
  nextUnnumbered: number;
  /** those that live */
  readonly processes: Map<number, Process>;
  /** the last one that had a pid and has ended */
  readonly exited: Map<number, Process>;
  /** by pid: descriptor → file number */
  readonly fds: Map<number, Map<number, number>>;
  /** by pid, from START(EXEC) until the inherited descriptors have been told: descriptors of the old image */
  readonly before: Map<number, Map<number, number>>;
  readonly files: Map<number, OpenFile>;
  /** holders of each file: descriptors, mappings, other files, calls in flight, messages on their way */
  readonly holders: Map<number, number>;
  readonly contexts: Map<number, Context>;
  /** by address space, by address */
  readonly mappings: Map<number, Map<U64, Mapping>>;
  readonly calls: Map<number, PendingCall>;
  /** SCM_RIGHTS: files sent and not received yet, how often; negative where a receipt was logged before its sending */
  readonly sent: Map<number, number>;
  /** the CMDQV of a Tegra241 */
  readonly cmdqv: Cmdqv;
}

export function emptyState(): SessionState {
  return {
    seq: 0,
    dropped: 0,
    nextContext: 1,
    nextUid: 1,
    nextUnnumbered: -1,
    processes: new Map(),
    exited: new Map(),
    fds: new Map(),
    before: new Map(),
    files: new Map(),
    holders: new Map(),
    contexts: new Map(),
    mappings: new Map(),
    calls: new Map(),
    sent: new Map(),
    cmdqv: emptyCmdqv(),
  };
}

const copyInner = <K, L, V>(outer: Map<K, Map<L, V>>): Map<K, Map<L, V>> => new Map([...outer].map(([k, v]) => [k, new Map(v)]));

/** A context of its own that shares the immutable records. */
export function copyContext(c: Context): Context {
  return {
    ...c,
    objects: new Map(c.objects),
    ids: new Map(c.ids),
    areas: new Map([...c.areas].map(([uid, tree]) => [uid, tree.clone()])),
    pins: new Map(c.pins),
    ended: new Map(c.ended),
  };
}

/** A state of its own that shares the immutable records. Costs the number of live things, not of areas. */
export function copyState(s: SessionState): SessionState {
  return {
    ...s,
    processes: new Map(s.processes),
    exited: new Map(s.exited),
    fds: copyInner(s.fds),
    before: copyInner(s.before),
    files: new Map(s.files),
    holders: new Map(s.holders),
    contexts: new Map([...s.contexts].map(([n, c]) => [n, copyContext(c)])),
    mappings: copyInner(s.mappings),
    calls: new Map(s.calls),
    sent: new Map(s.sent),
    cmdqv: copyCmdqv(s.cmdqv),
  };
}

/** How much `copyState` copies, in map entries. */
export function sizeOf(s: SessionState): number {
  let size = s.processes.size + s.exited.size + s.files.size * 2 + s.calls.size + sizeOfCmdqv(s.cmdqv);
  for (const fds of s.fds.values()) size += fds.size + 1;
  for (const maps of s.mappings.values()) size += maps.size + 1;
  for (const c of s.contexts.values()) size += c.objects.size * 2 + c.pins.size + c.ended.size + 4;
  return size;
}

export const pinKey = (access: Uid, item: number): string => `${access}/${item}`;

/** The object that has an id in a context now. */
export function objectById(c: Context, id: number): KernelObject | undefined {
  const uid = c.ids.get(id);
  return uid === undefined ? undefined : c.objects.get(uid);
}

/** The context of an open file: its own, or the one that it belongs to. */
export function contextOfFile(s: SessionState, file: number): Context | undefined {
  const f = s.files.get(file);
  return f && f.context > 0 ? s.contexts.get(f.context) : undefined;
}
