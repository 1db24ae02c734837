/** The ioctls that fill and empty an IOAS: MAP, COPY, UNMAP and their kin, and the VFIO type1 calls that do the same. */
import { PartKind } from '../store/frame.ts';
import type { Area } from './areas.ts';
import type { ContextField } from './change.ts';
import type { Span } from './event.ts';
import type { Ioas, Range, Uid } from './object-types.ts';
import { addArea, born, ensure, removeArea, setObject } from './objects.ts';
import type { ContextCall } from './plan.ts';
import { ioasUnder } from './references.ts';
import { type Context, objectById } from './state.ts';
import type { Step } from './step.ts';
import { larger, lastOf, minus, plus, smaller, type U64, U64_MAX } from './u64.ts';

const EMSGSIZE = 90;
const EFAULT = 14;
/** IOMMU_IOAS_COPY on selftest kernels: src_iova is {u32 nth area, u32 offset in it} */
const SYZ_AREA = 0x1_0000;

/** A field after the call; where the recorder has no bytes from after it, from before. */
export const outU64 = (s: Step, at: number): U64 => s.e.u64(s.e.out.bytes >= at + 8 ? s.e.out : s.e.in, at);

export function setContext(s: Step, c: Context, field: ContextField, to: number): void {
  if (c[field] !== to) s.emit({ op: 'context.set', context: c.context, field, from: c[field], to });
}

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
  const ioas = objectById(c, e.u32(e.in, at.ioas_id));
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
export const IOAS_CALLS: Readonly<Record<string, ContextCall>> = {
  IOMMU_IOAS_ALLOW_IOVAS: allowIovas,
  IOMMU_IOAS_COPY: copy,
  IOMMU_IOAS_IOVA_RANGES: iovaRanges,
  IOMMU_IOAS_MAP: map,
  IOMMU_IOAS_MAP_FILE: mapFile,
  IOMMU_IOAS_UNMAP: unmap,
  VFIO_SET_IOMMU: setIommu,
  VFIO_IOMMU_MAP_DMA: mapDma,
  VFIO_IOMMU_UNMAP_DMA: unmapDma,
};

/** What a call that failed has done all the same. */
export const FAILED_CALLS: Readonly<Record<string, ContextCall>> = {
  IOMMU_IOAS_UNMAP: unmapFailed,
  IOMMU_IOAS_IOVA_RANGES: iovaRangesFailed,
  VFIO_IOMMU_UNMAP_DMA: unmapDmaFailed,
};
