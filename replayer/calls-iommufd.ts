/** The ioctls of an iommufd: what each does to the state when the kernel has said yes. */
import { FileKind, PartKind } from '../store/frame.ts';
import type { Area } from './areas.ts';
import type { ContextField } from './change.ts';
import type { Span } from './event.ts';
import { createdFd } from './files.ts';
import { addArea, born, byId, endObject, ensure, ensureObject, removeArea, setObject } from './objects.ts';
import type { ContextCall, Plan } from './plan.ts';
import { ioasUnder } from './references.ts';
import type { Context, Ioas, KernelObject, ObjectType, Range, Uid } from './state.ts';
import type { Step } from './step.ts';
import { larger, lastOf, minus, plus, smaller, type U64, U64_MAX } from './u64.ts';

const EMSGSIZE = 90;
const EFAULT = 14;
/** IOMMU_IOAS_COPY on selftest kernels: src_iova is {u32 nth area, u32 offset in it} */
const SYZ_AREA = 0x1_0000;

/** A field after the call; where the recorder has no bytes from after it, from before. */
const outU64 = (s: Step, at: number): U64 => s.e.u64(s.e.out.bytes >= at + 8 ? s.e.out : s.e.in, at);

// ---- IOAS ----

/** MAP and MAP_FILE, and the pieces of COPY, all end here. */
function mappedArea(s: Step, c: Context, ioas: Ioas, start: U64, length: U64, rest: Omit<Area, 'start' | 'last' | 'seq'>): void {
  if (length === 0) return;
  addArea(s, c, ioas, { start, last: lastOf(start, length), ...rest, seq: s.e.seq });
}

const map: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_IOAS_MAP;
  const ioas = ensure(s, c, e.u32(e.in, at.ioas_id), 'IOAS');
  const flags = e.u32(e.in, at.flags);
  if (!ioas || (e.out.bytes < 0 && !(flags & s.plan.k.IOMMU_IOAS_MAP_FIXED_IOVA))) return;
  const length = e.u64(e.in, at.length);
  if (length === 0) return;
  const start = outU64(s, at.iova);
  const source = e.u64(e.in, at.user_va);
  addArea(s, c, ioas, { start, last: lastOf(start, length), flags, kind: 'memory', source, fd: -1, file: 0, seq: e.seq });
};

const mapFile: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_IOAS_MAP_FILE;
  const ioas = ensure(s, c, e.u32(e.in, at.ioas_id), 'IOAS');
  const flags = e.u32(e.in, at.flags);
  if (!ioas || (e.out.bytes < 0 && !(flags & s.plan.k.IOMMU_IOAS_MAP_FIXED_IOVA))) return;
  const fd = e.s32(e.in, at.fd);
  const file = s.state.fds.get(e.pid)?.get(fd) ?? 0;
  const source = e.u64(e.in, at.start);
  mappedArea(s, c, ioas, outU64(s, at.iova), e.u64(e.in, at.length), { flags, kind: 'file', source, fd, file });
};

/** The iova of {u32 nth area, u32 offset}, as selftest kernels count. */
export function nthArea(c: Context, ioas: Uid, packed: U64): U64 {
  let nth = Number(BigInt(packed) & 0xffff_ffffn);
  const offset = Number(BigInt(packed) >> 32n);
  for (const area of c.areas.get(ioas) ?? []) if (nth-- === 0) return plus(area.start, offset);
  return packed;
}

/** Each source area in the range gives a piece in the destination; a piece is an area of its own. */
const copy: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_IOAS_COPY;
  const dst = ensure(s, c, e.u32(e.in, at.dst_ioas_id), 'IOAS');
  const src = ensure(s, c, e.u32(e.in, at.src_ioas_id), 'IOAS');
  const flags = e.u32(e.in, at.flags);
  const length = e.u64(e.in, at.length);
  if (!dst || !src || length === 0 || (e.out.bytes < 0 && !(flags & s.plan.k.IOMMU_IOAS_MAP_FIXED_IOVA))) return;
  const given = e.u64(e.in, at.src_iova);
  const from = flags & SYZ_AREA ? nthArea(c, src.uid, given) : given;
  const last = lastOf(from, length);
  const to = outU64(s, at.dst_iova);
  let next = from;
  const piece = (start: U64, end: U64, area: Area | undefined): void => {
    const rest = area
      ? { kind: area.kind, source: plus(area.source, minus(start, area.start)), fd: area.fd, file: area.file }
      : { kind: 'unknown' as const, source: 0, fd: -1, file: 0 };
    mappedArea(s, c, dst, plus(to, minus(start, from)), plus(minus(end, start), 1), { flags, ...rest });
  };
  for (const area of c.areas.get(src.uid)?.within(from, last) ?? []) {
    const start = larger(area.start, from);
    const end = smaller(area.last, last);
    if (start > next) piece(next, minus(start, 1), undefined);
    piece(start, end, area);
    next = plus(end, 1);
  }
  if (next <= last) piece(next, last, undefined);
};

/** Takes all areas away that lie in [start, last]; the kernel has said that they are gone. */
function unmapRange(s: Step, c: Context, ioas: Ioas, start: U64, last: U64): void {
  const tree = c.areas.get(ioas.uid);
  if (!tree) return;
  // mostly it is one area, from its start
  const newest = tree.floor(last);
  if (newest === undefined || newest.last < start) return;
  if (newest.start === start) {
    removeArea(s, c, ioas, newest);
    return;
  }
  for (const area of tree.within(start, last)) removeArea(s, c, ioas, area);
}

const unmap: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_IOAS_UNMAP;
  const ioas = ensure(s, c, e.u32(e.in, at.ioas_id), 'IOAS');
  if (!ioas) return;
  const start = e.u64(e.in, at.iova);
  unmapRange(s, c, ioas, start, lastOf(start, e.u64(e.in, at.length)));
};

/**
 * An UNMAP that failed has removed the areas before the one that stopped it and does not say so; which those are follows
 * from the state: the first area that a HW_QUEUE pins or that is only partly in the range. EFAULT comes after the work.
 */
const unmapFailed: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_IOAS_UNMAP;
  const ioas = byId(c, e.u32(e.in, at.ioas_id));
  if (ioas?.type !== 'IOAS' || e.in.bytes < at.length + 8) return;
  const start = e.u64(e.in, at.iova);
  const length = e.u64(e.in, at.length);
  const all = start === 0 && length === U64_MAX;
  if (length === 0 || (!all && (start === U64_MAX || length === U64_MAX || plus(start, length) > plus(U64_MAX, 1)))) return;
  const last = lastOf(start, length);
  const queues = s.e.error === EFAULT ? [] : pinnedByQueues(c, ioas.uid);
  for (const area of c.areas.get(ioas.uid)?.within(start, last) ?? []) {
    if (queues.some((q) => q.start <= area.last && q.last >= area.start)) return;
    if (area.start < start || area.last > last) return;
    removeArea(s, c, ioas, area);
  }
};

/** Ranges of an IOAS under hardware queues whose kernel locks them. */
function pinnedByQueues(c: Context, ioas: Uid): Range[] {
  const ranges: Range[] = [];
  for (const q of c.objects.values()) {
    if (q.type !== 'HW_QUEUE' || !q.pins || ioasUnder(c, q.viommu) !== ioas) continue;
    ranges.push({ start: q.iova, last: lastOf(q.iova, q.length) });
  }
  return ranges;
}

/** `count` pairs of u64 (start, last) of a nested buffer. */
function rangesIn(s: Step, span: Span | undefined, count: number): Range[] {
  const ranges: Range[] = [];
  if (!span) return ranges;
  for (let i = 0; i < count && 16 * i + 16 <= span.bytes; i++) {
    ranges.push({ start: s.e.u64(span, 16 * i), last: s.e.u64(span, 16 * i + 8) });
  }
  return ranges;
}

const allowIovas: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_IOAS_ALLOW_IOVAS;
  const ioas = ensure(s, c, e.u32(e.in, at.ioas_id), 'IOAS');
  if (!ioas) return;
  const allowed = rangesIn(s, e.part(PartKind.NESTED_IN, at.allowed_iovas), e.u32(e.in, at.num_iovas));
  if (allowed.length > 0 || ioas.allowed.length > 0) setObject(s, c, ioas, { allowed });
};

const iovaRanges: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_IOAS_IOVA_RANGES;
  const ioas = ensure(s, c, e.u32(e.in, at.ioas_id), 'IOAS');
  if (!ioas || e.out.bytes < 0) return;
  const total = e.u32(e.out, at.num_iovas);
  const given = Math.min(total, e.u32(e.in, at.num_iovas));
  const ranges = rangesIn(s, e.part(PartKind.NESTED_OUT, at.allowed_iovas), given);
  setObject(s, c, ioas, { usable: { ranges, total, alignment: e.u64(e.out, at.out_iova_alignment), seq: e.seq } });
};

/** EMSGSIZE: there are more ranges than room; what fits has been written. */
const iovaRangesFailed: ContextCall = (s, c, f) => {
  if (s.e.error === EMSGSIZE) iovaRanges(s, c, f);
};

const option: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_OPTION;
  const value = Number(outU64(s, at.val64));
  switch (e.u32(e.in, at.option_id)) {
    case s.plan.k.IOMMU_OPTION_RLIMIT_MODE:
      setContext(s, c, 'rlimitMode', value);
      break;
    case s.plan.k.IOMMU_OPTION_HUGE_PAGES: {
      const ioas = ensure(s, c, e.u32(e.in, at.object_id), 'IOAS');
      if (ioas && ioas.hugePages !== (value !== 0)) setObject(s, c, ioas, { hugePages: value !== 0 });
      break;
    }
  }
};

export function setContext(s: Step, c: Context, field: ContextField, to: number): void {
  if (c[field] !== to) s.emit({ op: 'context.set', context: c.context, field, from: c[field], to });
}

const vfioIoas: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VFIO_IOAS;
  switch (e.u16(e.in, at.op)) {
    case s.plan.k.IOMMU_VFIO_IOAS_GET: {
      const id = e.u32(e.out, at.ioas_id);
      const compat = c.objects.get(c.compat);
      // the kernel made it when a group was attached, and tells its id only now
      if (compat && compat.id === 0 && id !== 0 && !c.ids.has(id)) setObject(s, c, compat, { id });
      else setContext(s, c, 'compat', ensure(s, c, id, 'IOAS')?.uid ?? c.compat);
      break;
    }
    case s.plan.k.IOMMU_VFIO_IOAS_SET:
      setContext(s, c, 'compat', ensure(s, c, e.u32(e.in, at.ioas_id), 'IOAS')?.uid ?? 0);
      break;
    case s.plan.k.IOMMU_VFIO_IOAS_CLEAR:
      setContext(s, c, 'compat', 0);
      break;
  }
};

const changeProcess: ContextCall = (s, c) => setContext(s, c, 'accountedTo', s.e.pid);

// ---- objects ----

const destroy: ContextCall = (s, c) => {
  const { e } = s;
  const object = ensureObject(s, c, e.u32(e.in, s.plan.at.IOMMU_DESTROY.id), []);
  if (!object) return;
  // its id was taken from another object by a call that was under way: this call destroyed that one
  if (object.overlap !== 0 && object.overlap > e.tEnter) setObject(s, c, object, { overlap: 0 });
  else endObject(s, c, object, 'destroy');
};

const ioasAlloc: ContextCall = (s, c) => {
  born(s, c, 'IOAS', s.e.u32(s.e.out, s.plan.at.IOMMU_IOAS_ALLOC.out_ioas_id), {});
};

/** What a HWPT stands on, where the state does not know the id: what its data and flags allow. */
function parentTypes({ k }: Plan, dataType: number, flags: number): readonly ObjectType[] {
  if (dataType === k.IOMMU_HWPT_DATA_NONE) return ['IOAS', 'HWPT_PAGING', 'VIOMMU'];
  if (dataType === k.IOMMU_HWPT_DATA_VTD_S1) return ['HWPT_PAGING', 'VIOMMU', 'IOAS'];
  if (dataType === k.IOMMU_HWPT_DATA_SELFTEST)
    return flags & k.IOMMU_HWPT_ALLOC_NEST_PARENT ? ['IOAS', 'HWPT_PAGING', 'VIOMMU'] : ['HWPT_PAGING', 'VIOMMU', 'IOAS'];
  return ['VIOMMU', 'HWPT_PAGING', 'IOAS'];
}

const hwptAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_HWPT_ALLOC;
  const flags = e.u32(e.in, at.flags);
  const dataType = e.u32(e.in, at.data_type);
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE')?.uid ?? 0;
  const parent = ensureObject(s, c, e.u32(e.in, at.pt_id), parentTypes(s.plan, dataType, flags));
  const fault = flags & s.plan.k.IOMMU_HWPT_FAULT_ID_VALID ? (ensure(s, c, e.u32(e.in, at.fault_id), 'FAULT')?.uid ?? 0) : 0;
  const id = e.u32(e.out, at.out_hwpt_id);
  const common = { device, fault, flags, dataType };
  if (parent?.type === 'HWPT_PAGING' || parent?.type === 'VIOMMU') born(s, c, 'HWPT_NESTED', id, { ...common, parent: parent.uid });
  else born(s, c, 'HWPT_PAGING', id, { ...common, ioas: parent?.uid ?? 0 });
};

const hwInfo: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_GET_HW_INFO;
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE');
  if (!device || e.out.bytes < 0) return;
  const type = e.u32(e.out, at.out_data_type);
  const capabilities = e.u64(e.out, at.out_capabilities);
  const pasidBits = e.u8(e.out, at.out_max_pasid_log2);
  const h = device.hardware;
  if (h && h.type === type && h.capabilities === capabilities && h.pasidBits === pasidBits) return;
  setObject(s, c, device, { hardware: { type, capabilities, pasidBits } });
};

const setDirtyTracking: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_HWPT_SET_DIRTY_TRACKING;
  const hwpt = ensure(s, c, e.u32(e.in, at.hwpt_id), 'HWPT_PAGING');
  const dirtyTracking = (e.u32(e.in, at.flags) & s.plan.k.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0;
  if (hwpt && hwpt.dirtyTracking !== dirtyTracking) setObject(s, c, hwpt, { dirtyTracking });
};

const getDirtyBitmap: ContextCall = (s, c) => {
  ensure(s, c, s.e.u32(s.e.in, s.plan.at.IOMMU_HWPT_GET_DIRTY_BITMAP.hwpt_id), 'HWPT_PAGING');
};

const invalidate: ContextCall = (s, c) => {
  ensureObject(s, c, s.e.u32(s.e.in, s.plan.at.IOMMU_HWPT_INVALIDATE.hwpt_id), ['HWPT_NESTED', 'VIOMMU']);
};

/** An object with a file of its own: the file has no number yet, and keeps the iommufd open. */
export function withFile(s: Step, c: Context, fd: number, kind: number, make: (file: number) => KernelObject): void {
  const file = fd >= 0 ? s.state.nextUnnumbered : 0;
  const object = make(file);
  if (file !== 0) createdFd(s, fd, kind, { context: c.context, object: object.uid, holds: [c.file] });
}

/** A descriptor that the call wrote, -1 where the recorder has no bytes of it. */
const fdOut = (s: Step, at: number): number => (s.e.out.bytes >= at + 4 ? s.e.s32(s.e.out, at) : -1);

const faultQueueAlloc: ContextCall = (s, c) => {
  const at = s.plan.at.IOMMU_FAULT_QUEUE_ALLOC;
  const id = s.e.u32(s.e.out, at.out_fault_id);
  withFile(s, c, fdOut(s, at.out_fault_fd), FileKind.FAULT, (file) => born(s, c, 'FAULT', id, { file }));
};

const viommuAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VIOMMU_ALLOC;
  const kind = e.u32(e.in, at.type);
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE')?.uid ?? 0;
  const hwpt = ensure(s, c, e.u32(e.in, at.hwpt_id), 'HWPT_PAGING')?.uid ?? 0;
  const data = e.part(PartKind.NESTED_OUT, at.data_uptr);
  const where = s.plan.regionOf(kind);
  const region = data && where && data.bytes >= where[1] + 8 ? { offset: e.u64(data, where[0]), length: e.u64(data, where[1]) } : undefined;
  born(s, c, 'VIOMMU', e.u32(e.out, at.out_viommu_id), { kind, device, hwpt, region: region?.length === 0 ? undefined : region });
};

const vdeviceAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VDEVICE_ALLOC;
  const viommu = ensure(s, c, e.u32(e.in, at.viommu_id), 'VIOMMU')?.uid ?? 0;
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE')?.uid ?? 0;
  born(s, c, 'VDEVICE', e.u32(e.out, at.out_vdevice_id), { viommu, device, virtId: e.u64(e.in, at.virt_id) });
};

const veventqAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VEVENTQ_ALLOC;
  const viommu = ensure(s, c, e.u32(e.in, at.viommu_id), 'VIOMMU')?.uid ?? 0;
  const id = e.u32(e.out, at.out_veventq_id);
  const known = { viommu, kind: e.u32(e.in, at.type), depth: e.u32(e.in, at.veventq_depth) };
  withFile(s, c, fdOut(s, at.out_veventq_fd), FileKind.VEVENTQ, (file) => born(s, c, 'VEVENTQ', id, { ...known, file }));
};

/** IOMMU_HW_QUEUE_ALLOC, and what its number meant before it was that. */
const hwQueueAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const q = s.plan.queue;
  const viommu = ensure(s, c, e.u32(e.in, q.viommu), 'VIOMMU')?.uid ?? 0;
  const data = e.part(PartKind.NESTED_IN, q.nested);
  const known = data
    ? { index: e.u32(data, q.nestedIndex), iova: e.u64(data, q.nestedBase), length: 16 * 2 ** (e.u32(data, q.nestedLog2) & 31) }
    : { index: e.u32(e.in, q.index), iova: e.u64(e.in, q.iova), length: e.u64(e.in, q.length) };
  const { pins, ordered } = q;
  born(s, c, 'HW_QUEUE', e.u32(e.out, q.id), { viommu, kind: e.u32(e.in, q.type), ...known, pins, ordered });
};

const testCommand: ContextCall = (s, c, f) => {
  s.plan.ops[s.e.u32(s.e.in, s.plan.at.IOMMU_TEST_CMD.op)]?.(s, c, f);
};

// ---- VFIO type1 on an iommufd or a container ----

/** The IOAS of the type1 calls; one that the log does not show being made is inferred, its id unknown. */
export function compatIoas(s: Step, c: Context): Ioas {
  const known = c.objects.get(c.compat);
  if (known?.type === 'IOAS') return known;
  const ioas = born(s, c, 'IOAS', 0, {});
  setContext(s, c, 'compat', ioas.uid);
  return ioas;
}

const mapDma: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.VFIO_IOMMU_MAP_DMA;
  const dma = e.u32(e.in, at.flags);
  const { k } = s.plan;
  // the rights in the words of IOMMU_IOAS_MAP; type1 addresses are always fixed
  const flags =
    k.IOMMU_IOAS_MAP_FIXED_IOVA |
    (dma & k.VFIO_DMA_MAP_FLAG_READ ? k.IOMMU_IOAS_MAP_READABLE : 0) |
    (dma & k.VFIO_DMA_MAP_FLAG_WRITE ? k.IOMMU_IOAS_MAP_WRITEABLE : 0);
  const rest = { flags, kind: 'memory' as const, source: e.u64(e.in, at.vaddr), fd: -1, file: 0 };
  mappedArea(s, c, compatIoas(s, c), e.u64(e.in, at.iova), e.u64(e.in, at.size), rest);
};

/** TYPE1 (v1) may cut areas; what is left of them stays mapped. */
const unmapDma: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.VFIO_IOMMU_UNMAP_DMA;
  const ioas = compatIoas(s, c);
  const all = (e.u32(e.in, at.flags) & s.plan.k.VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  const start = all ? 0 : e.u64(e.in, at.iova);
  const size = e.u64(e.in, at.size);
  if (!all && size === 0) return;
  const last = all ? U64_MAX : lastOf(start, size);
  for (const area of c.areas.get(ioas.uid)?.within(start, last) ?? []) {
    removeArea(s, c, ioas, area);
    if (area.start < start) addArea(s, c, ioas, { ...area, last: minus(start, 1) });
    if (area.last > last) {
      addArea(s, c, ioas, { ...area, start: plus(last, 1), source: plus(area.source, minus(plus(last, 1), area.start)) });
    }
  }
};

/** The kernel says how many bytes it removed before it failed: from the start of the range, whole areas. */
const unmapDmaFailed: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.VFIO_IOMMU_UNMAP_DMA;
  const ioas = c.objects.get(c.compat);
  const tree = c.areas.get(c.compat);
  if (ioas?.type !== 'IOAS' || !tree || e.out.bytes < at.size + 8 || e.u64(e.out, at.size) === e.u64(e.in, at.size)) return;
  let left = e.u64(e.out, at.size);
  const start = e.u64(e.in, at.iova);
  for (const area of tree.within(start, lastOf(start, e.u64(e.in, at.size)))) {
    const bytes = plus(minus(area.last, area.start), 1);
    if (area.start < start || bytes > left) return;
    removeArea(s, c, ioas, area);
    left = minus(left, bytes);
  }
};

const setIommu: ContextCall = (s, c) => {
  compatIoas(s, c);
};

/** By the command's name; names that a dialect does not have are left out. */
export const IOMMUFD_CALLS: Readonly<Record<string, ContextCall>> = {
  IOMMU_DESTROY: destroy,
  IOMMU_IOAS_ALLOC: ioasAlloc,
  IOMMU_IOAS_ALLOW_IOVAS: allowIovas,
  IOMMU_IOAS_COPY: copy,
  IOMMU_IOAS_IOVA_RANGES: iovaRanges,
  IOMMU_IOAS_MAP: map,
  IOMMU_IOAS_MAP_FILE: mapFile,
  IOMMU_IOAS_UNMAP: unmap,
  IOMMU_OPTION: option,
  IOMMU_VFIO_IOAS: vfioIoas,
  IOMMU_HWPT_ALLOC: hwptAlloc,
  IOMMU_GET_HW_INFO: hwInfo,
  IOMMU_HWPT_SET_DIRTY_TRACKING: setDirtyTracking,
  IOMMU_HWPT_GET_DIRTY_BITMAP: getDirtyBitmap,
  IOMMU_HWPT_INVALIDATE: invalidate,
  IOMMU_FAULT_QUEUE_ALLOC: faultQueueAlloc,
  IOMMU_VIOMMU_ALLOC: viommuAlloc,
  IOMMU_VDEVICE_ALLOC: vdeviceAlloc,
  IOMMU_IOAS_CHANGE_PROCESS: changeProcess,
  IOMMU_VEVENTQ_ALLOC: veventqAlloc,
  IOMMU_HW_QUEUE_ALLOC: hwQueueAlloc,
  IOMMU_VQUEUE_ALLOC: hwQueueAlloc,
  IOMMU_VCMDQ_ALLOC: hwQueueAlloc,
  IOMMU_TEST_CMD: testCommand,
  VFIO_SET_IOMMU: setIommu,
  VFIO_IOMMU_MAP_DMA: mapDma,
  VFIO_IOMMU_UNMAP_DMA: unmapDma,
};

export const FAILED_CALLS: Readonly<Record<string, ContextCall>> = {
  IOMMU_IOAS_UNMAP: unmapFailed,
  IOMMU_IOAS_IOVA_RANGES: iovaRangesFailed,
  VFIO_IOMMU_UNMAP_DMA: unmapDmaFailed,
};
