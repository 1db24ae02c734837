/**
 * The IOVA space of an IOAS: areas, reserved and allowed ranges, alignment, and the search for a free place.
 * drivers/iommu/iommufd/io_pagetable.c. All ranges are inclusive.
 */
import type { Access, Area, Ioas, Range } from './state.ts';

export const PAGE = 4096n;
export const TOP = 2n ** 64n - 1n;
const HUGE = 2n ** 21n;

/** Math.max and Math.min know no bigint. */
export const higher = (a: bigint, b: bigint): bigint => (a > b ? a : b);
export const lower = (a: bigint, b: bigint): bigint => (a < b ? a : b);

export const overlaps = (a: Range, b: Range): boolean => a.start <= b.last && b.start <= a.last;

/** Index of the first area that ends at or behind an address. */
export function firstAt(ioas: Ioas, at: bigint): number {
  let low = 0;
  let high = ioas.areas.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ioas.areas[middle]!.last < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Areas that touch a range, ascending. */
export function touching(ioas: Ioas, range: Range): Area[] {
  const found: Area[] = [];
  for (let i = firstAt(ioas, range.start); i < ioas.areas.length && ioas.areas[i]!.start <= range.last; i++) found.push(ioas.areas[i]!);
  return found;
}

export function addArea(ioas: Ioas, area: Area): void {
  ioas.areas.splice(firstAt(ioas, area.start), 0, area);
}

export function dropArea(ioas: Ioas, area: Area): void {
  const at = firstAt(ioas, area.start);
  if (ioas.areas[at] === area) ioas.areas.splice(at, 1);
}

/** Areas that cover a range without a hole; undefined where there is one. */
export function covering(ioas: Ioas, range: Range): Area[] | undefined {
  const found = touching(ioas, range);
  let next = range.start;
  for (const area of found) {
    if (area.start > next) return undefined;
    next = area.last + 1n;
  }
  return found.length > 0 && next > range.last ? found : undefined;
}

/** Addresses and lengths of the IOAS are multiples of this, bytes. */
export function alignmentOf(ioas: Ioas): bigint {
  let alignment = ioas.largePages ? 1n : PAGE;
  for (const h of ioas.hwpts) if (h.driver.pageSize > alignment) alignment = h.driver.pageSize;
  for (const a of ioas.accesses) if (a.pins && alignment < PAGE) alignment = PAGE;
  return alignment;
}

export const reservedAt = (ioas: Ioas, range: Range): Range | undefined => ioas.reserved.find((r) => overlaps(r, range));

/** Ranges in order, put together where they overlap or adjoin. */
function merged(ranges: readonly Range[]): Range[] {
  const out: { start: bigint; last: bigint }[] = [];
  for (const r of [...ranges].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))) {
    const end = out.at(-1);
    if (end !== undefined && r.start <= end.last + 1n) {
      if (r.last > end.last) end.last = r.last;
    } else out.push({ start: r.start, last: r.last });
  }
  return out;
}

/** What is between some ranges, within `within`. */
function gaps(taken: readonly Range[], within: Range): Range[] {
  const out: Range[] = [];
  let next = within.start;
  for (const r of merged(taken)) {
    if (r.start > within.last) break;
    if (r.last < next) continue;
    if (r.start > next) out.push({ start: next, last: r.start - 1n });
    next = r.last + 1n;
  }
  if (next <= within.last) out.push({ start: next, last: within.last });
  return out;
}

/** IOVA_RANGES: everything that is not reserved. */
export const iovaRanges = (ioas: Ioas): Range[] => gaps(ioas.reserved, { start: 0n, last: TOP });

/** The smallest power of two that is not below n; n > 0. */
function powerAbove(n: bigint): bigint {
  let p = 1n;
  while (p < n) p <<= 1n;
  return p;
}

/** Where the kernel puts a mapping that says no address, or the errno. `source`: address or offset of its memory. */
export function allocate(ioas: Ioas, length: bigint, source: bigint): bigint | 'EOVERFLOW' | 'EINVAL' | 'ENOSPC' {
  if (length >= 2n ** 63n - 1n) return 'EOVERFLOW';
  let alignment = powerAbove(length);
  if (source !== 0n) {
    const low = source & -source;
    if (low < alignment) alignment = low;
  }
  if (alignment > HUGE) alignment = HUGE;
  if (alignment < alignmentOf(ioas)) return 'EINVAL';
  const window: Range = { start: PAGE, last: TOP - PAGE };
  const windows = ioas.allowed.length === 0 ? [window] : merged(ioas.allowed);
  const offset = source % PAGE;
  const fitting = (room: Range): bigint | undefined => {
    const start = (((room.start + alignment - 1n) / alignment) * alignment) | offset;
    return start < room.start || start >= room.last || room.last - start < length - 1n ? undefined : start;
  };
  for (const w of windows) {
    const within: Range = { start: higher(w.start, window.start), last: lower(w.last, window.last) };
    // holes are looked for from the first place that would fit if all of it were free
    const start = fitting(within);
    if (start === undefined) continue;
    const behind: Range = { start, last: within.last };
    for (const hole of gaps([...ioas.reserved, ...touching(ioas, behind)], behind)) {
      const found = fitting(hole);
      if (found !== undefined) return found;
    }
  }
  return 'ENOSPC';
}

/** An access lets go of all pages. */
export function unpinAll(ioas: Ioas, access: Access): void {
  for (const area of ioas.areas) {
    for (let i = area.pins.length - 1; i >= 0; i--) if (area.pins[i]!.access === access) area.pins.splice(i, 1);
  }
}
