/**
 * Access objects: what the kernel itself uses to reach memory through an IOAS, without DMA. They have no call of their own;
 * they show through the mock driver's access files, HW queues and emulated VFIO devices.
 * drivers/iommu/iommufd/device.c, iommufd_access_pin_pages() and iommufd_access_rw(); pages.c.
 */
import { alignmentOf, firstAt, lower, PAGE, TOP, unpinAll } from './areas.ts';
import type { Call } from './call.ts';
import { misaligned } from './ioas.ts';
import { noMemory } from './pages.ts';
import { MEMORY, RIGHTS } from './reasons.ts';
import type { Access, Area, Context, Ioas, Pages, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

/** What of an area a range covers. */
export interface Piece extends Range {
  readonly area: Area;
}

/** Address of the program (kind 'user'), or offset in the file, of the byte that an IOVA of an area stands for. */
export const addressOf = (area: Area, iova: bigint): bigint => area.pages.start + area.offset + (iova - area.start);

/** "0x1000 to 0x1fff" */
export const spanOf = (range: Range): string => `${hex(range.start)} to ${hex(range.last)}`;

/** Areas that follow each other without a hole, from the start of the range on; `hole` is the first IOVA that none of them has. */
export function contiguous(ioas: Ioas, range: Range): { readonly pieces: readonly Piece[]; readonly hole: bigint | undefined } {
  const { areas } = ioas;
  const pieces: Piece[] = [];
  let next = range.start;
  for (let i = firstAt(ioas, next); i < areas.length; i++) {
    const area = areas[i]!;
    if (area.start > next) break;
    const last = lower(area.last, range.last);
    pieces.push({ area, start: next, last });
    if (last === range.last) return { pieces, hole: undefined };
    next = last + 1n;
  }
  return { pieces, hole: next };
}

/** MOCK_FLAGS_ACCESS_SYZ and the like: the flag of a call whose address is an index (drivers/iommu/iommufd/iommufd_test.h). */
export const BY_INDEX = 1 << 16;

/** The address of a syzkaller call: low half an index of an area, high half an offset in it. */
export function indexedIova(access: Pick<Access, 'ioas'>, iova: bigint): bigint {
  const area = access.ioas?.areas[Number(iova & 0xffff_ffffn)];
  return area === undefined ? 0n : area.start + (iova >> 32n);
}

/** What pinning, reading and writing through an access have to know. */
export interface Reach {
  /** the access; where it is not there yet, the IOAS alone */
  readonly access?: Access;
  readonly ioas: Ioas | undefined;
  readonly iova: bigint;
  readonly length: bigint;
  readonly write: boolean;
  /** fields of the struct */
  readonly iovaField: string;
  readonly lengthField: string;
}

/** Length, overflow, attachment: what the kernel looks at before any area. undefined where the call was refused. */
function reached(c: Call, r: Reach): { ioas: Ioas; range: Range } | undefined {
  if (r.length === 0n) {
    c.refuse('EINVAL', 'access.length', { field: r.lengthField, text: 'length is 0', wanted: '1 at least' });
    return undefined;
  }
  const last = r.iova + r.length - 1n;
  if (last > TOP) {
    const text = `${hex(r.iova)} + ${hex(r.length)} goes over the end of the address space`;
    c.refuse('EOVERFLOW', 'access.overflow', { field: r.iovaField, text });
    return undefined;
  }
  const { access, ioas } = r;
  if (ioas === undefined) {
    const text = `${access ? nameOf(access) : 'the access'} is attached to no IOAS`;
    c.refuse('ENOENT', 'access.detached', { text, because: access ? [access] : [] });
    return undefined;
  }
  return { ioas, range: { start: r.iova, last } };
}

/**
 * The checks of a pin, area after area: what is to be pinned, or undefined where the call was refused. EINVAL, EOVERFLOW, EPERM,
 * ENOENT (not attached, a hole); EFAULT and ENOMEM as the program's memory and rights have it.
 */
export function pinnable(c: Call, r: Reach): readonly Piece[] | undefined {
  const to = reached(c, r);
  if (to === undefined) return undefined;
  const { pieces, hole } = contiguous(to.ioas, to.range);
  for (const piece of pieces) {
    if (skewed(c, r, to.ioas, piece, to.range.last) || forbidden(c, r, to.ioas, piece.area)) return undefined;
    if (noPages(c, r, to.ioas, piece.area)) return undefined;
    if (held(to.ioas, piece)) continue;
    if (c.mayRefuse('EFAULT', MEMORY, 'access.memory') || c.mayRefuse('ENOMEM', RIGHTS, 'access.locked-memory')) return undefined;
  }
  return hole !== undefined && missing(c, r, to.ioas, hole) ? undefined : pieces;
}

/** Pages are pinned whole, so a piece begins and, where another follows, ends where a page of memory does. → true where the call ends */
function skewed(c: Call, r: Reach, ioas: Ioas, piece: Piece, last: bigint): boolean {
  const { area } = piece;
  const detail = (text: string, wanted?: string) => ({ field: r.iovaField, text, wanted, because: [ioas] });
  if (area.barred === true) {
    const text = `${spanOf(area)} is given up since an UNMAP of it ended with EDEADLK`;
    if (c.refuse('EINVAL', 'access.barred', detail(text, 'another area'))) return true;
  }
  const begin = addressOf(area, piece.start) % PAGE;
  if (begin !== 0n) {
    const text = `${hex(piece.start)} is byte ${hex(begin)} of a page of memory`;
    if (c.refuse('EINVAL', 'access.page-offset', detail(text, 'an address that stands for the start of a page'))) return true;
  }
  if (area.last < last && addressOf(area, area.last) % PAGE !== PAGE - 1n) {
    const text = `${spanOf(area)} does not end where a page of memory does, and the range goes on`;
    if (c.refuse('EINVAL', 'access.page-offset', detail(text))) return true;
  }
  return false;
}

function noPages(c: Call, r: Reach, ioas: Ioas, area: Area): boolean {
  if (noMemory(area.pages)) {
    const text = `${spanOf(area)} is a file without pages of memory (${area.pages.fileKind})`;
    return c.refuse('EINVAL', 'access.file', { field: r.iovaField, text, wanted: 'a memfd', because: [ioas] });
  }
  if (area.pages.kind === 'file') return c.mayRefuse('EINVAL', MEMORY, 'access.file');
  if (area.pages.kind !== 'dmabuf') return false;
  const text = `${spanOf(area)} is a dma-buf, which has no pages of memory`;
  return c.refuse('EINVAL', 'access.dmabuf', { field: r.iovaField, text, because: [ioas] });
}

/** The checks of a read or write by the CPU. What is copied goes into `copied`, before a failure too. → false where the call was refused */
export function copyable(c: Call, r: Reach, copied: Piece[]): boolean {
  const to = reached(c, r);
  if (to === undefined) return false;
  const { pieces, hole } = contiguous(to.ioas, to.range);
  for (const piece of pieces) {
    const { area } = piece;
    if (forbidden(c, r, to.ioas, area) || noPages(c, r, to.ioas, area)) return false;
    if (c.mayRefuse('EFAULT', MEMORY, 'access.memory')) return false;
    copied.push(piece);
  }
  return hole === undefined || !missing(c, r, to.ioas, hole);
}

function forbidden(c: Call, r: Reach, ioas: Ioas, area: Area): boolean {
  if (r.write ? area.write && area.pages.writable : area.read) return false;
  const right = r.write ? 'WRITEABLE' : 'READABLE';
  return c.refuse('EPERM', 'access.rights', {
    field: r.iovaField,
    text: `${spanOf(area)}, mapped at event ${area.birth}, is mapped without ${right}`,
    wanted: `memory that is mapped ${right}`,
    because: [ioas],
  });
}

function missing(c: Call, r: Reach, ioas: Ioas, hole: bigint): boolean {
  const text = `nothing is mapped at ${hex(hole)} in ${nameOf(ioas)}`;
  return c.refuse('ENOENT', 'access.hole', { field: r.iovaField, text, wanted: 'a range without holes', because: [ioas] });
}

/** Pages that are pinned already can be pinned again without a fault. */
const held = (ioas: Ioas, piece: Piece): boolean =>
  ioas.hwpts.length > 0 || piece.area.pins.some((p) => p.start <= piece.start && p.last >= piece.last);

/** Pins. `item` tells the pins of one access apart. */
export function pin(pieces: readonly Piece[], access: Access, item: number): void {
  for (const { area, start, last } of pieces) area.pins.push({ access, item, start, last });
}

/** Lets items of an access go, in every area that they reach into. */
export function unpin(access: Access, items: ReadonlySet<number>): void {
  for (const { pins } of access.ioas?.areas ?? []) {
    for (let i = pins.length - 1; i >= 0; i--) if (pins[i]!.access === access && items.has(pins[i]!.item)) pins.splice(i, 1);
  }
}

/** Items of an access, those that touch a range if one is given. */
export function itemsOf(access: Access, range?: Range): ReadonlySet<number> {
  const items = new Set<number>();
  for (const { pins } of access.ioas?.areas ?? []) {
    for (const p of pins)
      if (p.access === access && (range === undefined || (p.start <= range.last && p.last >= range.start))) items.add(p.item);
  }
  return items;
}

/**
 * An area is about to be unmapped: the owners of accesses are asked to let it go. The mock driver's accesses do, item by item;
 * a HW queue never does. → false where pins are left: the kernel asks a hundred times, then gives up with EDEADLK.
 */
export function letGo(ioas: Ioas, area: Area): boolean {
  for (const access of ioas.accesses) if (access.owner === 'mock') unpin(access, itemsOf(access, area));
  return area.pins.length === 0;
}

/** May an access that pins join the IOAS? Every area has to be whole pages: EADDRINUSE. → true where the call ends */
export function joinRefused(c: Call, ioas: Ioas, pins: boolean, field: string): boolean {
  if (!pins || alignmentOf(ioas) >= PAGE) return false;
  const area = misaligned(ioas, PAGE);
  if (area === undefined) return false;
  return c.refuse('EADDRINUSE', 'access.alignment', {
    field,
    text: `${spanOf(area)} of ${nameOf(ioas)}, mapped at event ${area.birth}, is not aligned to pages, which an access that pins needs`,
    wanted: 'an IOAS whose areas are whole pages',
    because: [ioas],
  });
}

/** Moves an access: the new IOAS is joined before the pins go and the old one is left. */
export function moveAccess(access: Access, ioas: Ioas): void {
  const old = access.ioas;
  if (old === ioas) return;
  ioas.accesses.push(access);
  ioas.users++;
  if (old !== undefined) {
    unpinAll(old, access);
    old.accesses.splice(old.accesses.indexOf(access), 1);
    old.users--;
  }
  access.ioas = ioas;
}

/** A stretch of a process's memory that is pinned. */
export interface Pinned extends Range {
  readonly pages: Pages;
}

/** How many Pages of files are pinned. Which addresses of a program a file is mapped at, the state does not show. */
export function pinnedFiles(contexts: Iterable<Context>): number {
  const found = new Set<Pages>();
  for (const context of contexts) {
    for (const o of context.objects.values()) {
      if (o.type !== 'IOAS') continue;
      for (const { pages, pins } of o.areas) if (pages.kind === 'file' && (o.hwpts.length > 0 || pins.length > 0)) found.add(pages);
    }
  }
  return found.size;
}

/**
 * What is pinned of a range of a process's addresses. A Pages pins each page of memory once, however many areas, HWPTs and
 * accesses use it, so count different `pages`.
 */
export function pinnedIn(contexts: Iterable<Context>, process: number, range: Range): readonly Pinned[] {
  const found: Pinned[] = [];
  const add = (area: Area, part: Range): void => {
    const start = (addressOf(area, part.start) / PAGE) * PAGE;
    const last = (addressOf(area, part.last) / PAGE + 1n) * PAGE - 1n;
    if (start <= range.last && last >= range.start) found.push({ pages: area.pages, start, last });
  };
  for (const context of contexts) {
    for (const o of context.objects.values()) {
      if (o.type !== 'IOAS') continue;
      for (const area of o.areas) {
        if (area.pages.kind !== 'user' || area.pages.process !== process) continue;
        if (o.hwpts.length > 0) add(area, area);
        else for (const p of area.pins) add(area, p);
      }
    }
  }
  return found;
}
