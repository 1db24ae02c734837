/** Address spaces: which parts show an iommufd's or a VFIO device's memory. Every piece of a mapping holds the file. */
import { FileKind } from '../store/frame.ts';
import { reached } from './cmdqv-fold.ts';
import { contextOf, dropped } from './files.ts';
import type { Mapping, OpenFile } from './state.ts';
import type { Step } from './step.ts';
import { lastOf, minus, plus, type U64 } from './u64.ts';

/** The smallest page: mmap and munmap round a length up to whole pages. */
const PAGE = 4096;
const MREMAP_DONTUNMAP = 4;

const rounded = (length: U64): U64 => {
  const rest = Number(BigInt(length) % BigInt(PAGE));
  return rest === 0 ? length : plus(length, PAGE - rest);
};

const endOf = (m: Mapping): U64 => plus(m.address, m.length);

export function mappingsOf(s: Step, memory: number): Mapping[] {
  const all = s.state.mappings.get(memory);
  return all ? [...all.values()].sort((a, b) => (a.address < b.address ? -1 : 1)) : [];
}

const add = (s: Step, mapping: Mapping): void => s.emit({ op: 'mapping.add', mapping });

function remove(s: Step, mapping: Mapping): void {
  s.emit({ op: 'mapping.remove', mapping });
  dropped(s, mapping.file);
}

/** The part of a mapping from `from` to `to`, as a mapping. */
function piece(m: Mapping, from: U64, to: U64): Mapping {
  return { ...m, address: from, length: minus(to, from), offset: plus(m.offset, minus(from, m.address)) };
}

/** Takes a range out of an address space; mappings that are cut leave their rest. */
export function unmapRange(s: Step, memory: number, address: U64, length: U64): void {
  const end = plus(address, rounded(length));
  for (const m of mappingsOf(s, memory)) {
    if (endOf(m) <= address || m.address >= end) continue;
    // the rest first, so that the file is held all the time
    const rest: Mapping[] = [];
    if (m.address < address) rest.push(piece(m, m.address, address));
    if (endOf(m) > end) rest.push(piece(m, end, endOf(m)));
    replace(s, m, rest);
  }
}

/** Replaces a mapping by pieces. A piece that begins where the mapping began must come after its removal. */
function replace(s: Step, m: Mapping, rest: readonly Mapping[]): void {
  s.emit({ op: 'mapping.remove', mapping: m });
  for (const r of rest) add(s, r);
  if (rest.length === 0) dropped(s, m.file);
}

/** MMAP, returned: of a file that is followed, or over a mapping of one. */
export function mapped(s: Step, file: OpenFile | undefined, memory: number): void {
  const { e } = s;
  const address = e.ret64;
  const length = e.arg(1);
  if (length === 0) return;
  unmapRange(s, memory, address, length);
  if (!file) return;
  const offset = e.arg(4);
  const c = contextOf(s, file);
  let viommu = 0;
  if (c && file.kind !== FileKind.VFIO_DEVICE) {
    let from: U64 = 0;
    for (const o of c.objects.values()) {
      if (o.type !== 'VIOMMU' || !o.region) continue;
      const last = lastOf(o.region.offset, s.plan.regionStride || o.region.length);
      // regions may overlap: that which begins last has the offset
      if (offset < o.region.offset || offset > last || (viommu !== 0 && o.region.offset < from)) continue;
      viommu = o.uid;
      from = o.region.offset;
    }
  }
  const region = file.regions.find((r) => offset >= r.offset && offset <= lastOf(r.offset, r.size) && r.size !== 0);
  const mapping: Mapping = {
    memory,
    address,
    length: rounded(length),
    file: file.file,
    offset,
    prot: e.arg32(2),
    viommu,
    trapped: e.arg(5) !== 0,
    pins: s.plan.mappingsHold,
    context: c?.context ?? 0,
    region: region?.index ?? -1,
    seq: e.seq,
  };
  add(s, mapping);
  reached(s, mapping);
}

/** MREMAP, returned: shrinks, moves or (old length 0) doubles a mapping. */
export function remapped(s: Step, memory: number): void {
  const { e } = s;
  const from = e.arg(0);
  const oldLength = rounded(e.arg(1));
  const length = rounded(e.arg(2));
  const flags = e.arg32(3);
  const to = e.ret64;
  if (length === 0) return;
  const m = mappingsOf(s, memory).find((x) => x.address <= from && endOf(x) > from);
  const moved = m && { ...piece(m, from, endOf(m)), address: to, length, seq: e.seq };
  if (oldLength !== 0 && to === from) {
    if (length < oldLength) unmapRange(s, memory, plus(from, length), minus(oldLength, length));
    else if (m && length > oldLength) grow(s, m, plus(minus(from, m.address), length));
    return;
  }
  // the new place first where it is free, so that the file is held all the time
  unmapRange(s, memory, to, length);
  if (moved && s.state.files.has(moved.file)) add(s, moved);
  if (oldLength !== 0 && !(flags & MREMAP_DONTUNMAP)) unmapRange(s, memory, from, oldLength);
}

function grow(s: Step, m: Mapping, length: U64): void {
  if (length <= m.length) return;
  s.emit({ op: 'mapping.remove', mapping: m });
  add(s, { ...m, length });
}

/** A fork copies the mappings of an address space. */
export function copyMappings(s: Step, from: number, to: number): void {
  for (const m of mappingsOf(s, from)) add(s, { ...m, memory: to, seq: s.e.seq });
}

/** An address space goes. */
export function dropMappings(s: Step, memory: number): void {
  for (const m of mappingsOf(s, memory)) remove(s, m);
}
