/**
 * What is mapped in an address space: IOMMU_IOAS_MAP, MAP_FILE, COPY, UNMAP, CHANGE_PROCESS.
 * drivers/iommu/iommufd/ioas.c, io_pagetable.c and pages.c.
 */
import { BY_INDEX, indexedIova, letGo, spanOf } from './access.ts';
import { addArea, alignmentOf, allocate, covering, dropArea, higher, lower, PAGE, reservedAt, TOP, touching } from './areas.ts';
import type { Call, RefusalDetail, Rule } from './call.ts';
import { reserved, unknownFlags } from './ioas.ts';
import { forgetDirty } from './mock.ts';
import { find, letFileGo, object } from './objects.ts';
import { filePages, noLength, noMemory, overflow, registersIn, userPages } from './pages.ts';
import { DRIVER, MEMORY, PRESSURE, UNSEEN } from './reasons.ts';
import type { Area, Ioas, Pages, Range } from './state.ts';
import { queueTraits } from './traits.ts';
import { hex, listed, nameOf } from './words.ts';

const FIXED = 1;
const WRITE = 2;
const READ = 4;
const KNOWN = FIXED | WRITE | READ;

/** What MAP, MAP_FILE, COPY and the VFIO MAP_DMA have in common: a place for `length` bytes of some memory. */
export interface Mapping {
  readonly ioas: Ioas;
  readonly length: bigint;
  /** undefined: anywhere */
  readonly iova: bigint | undefined;
  /** field that gets the address */
  readonly field: string | undefined;
  readonly read: boolean;
  readonly write: boolean;
  /** pieces in order; together `length` bytes */
  readonly pieces: readonly Piece[];
}

interface Piece {
  readonly pages: Pages;
  /** in `pages` */
  readonly offset: bigint;
  readonly length: bigint;
}

/** The checks of a mapping from its length on, and what changes. iopt_map_pages() */
export function place(c: Call, m: Mapping): void {
  if (badLength(c, m)) return;
  const iova = m.iova === undefined ? placeFor(c, m) : fixed(c, m, m.iova) ? undefined : m.iova;
  if (iova === undefined) return;
  if (m.pieces.some((p) => unfit(c, m, p)) || unpinnable(c, m)) return;
  if (m.field !== undefined) c.set(m.field, iova);
  const areas: Area[] = [];
  let at = iova;
  for (const { pages, offset, length } of m.pieces) {
    areas.push({
      start: at,
      last: at + length - 1n,
      pages,
      offset,
      read: m.read,
      write: m.write,
      pins: [],
      birth: c.request.seq,
    });
    at += length;
  }
  // an answer that cannot be written back undoes no mapping
  c.already(() => {
    for (const area of areas) {
      addArea(m.ioas, area);
      const file = area.pages.file === undefined ? undefined : c.kernel.files.get(area.pages.file);
      if (file !== undefined) file.mapped = true;
    }
  });
}

function badLength(c: Call, m: Mapping): boolean {
  const { ioas, length } = m;
  if (noLength(c, length)) return true;
  const alignment = alignmentOf(ioas);
  return (
    length % alignment !== 0n &&
    c.refuse('EINVAL', 'map.length-alignment', {
      field: 'length',
      text: `length ${hex(length)} is no multiple of the alignment of ${nameOf(ioas)}, ${hex(alignment)}`,
      because: [ioas],
      wanted: `a multiple of ${hex(alignment)}`,
    })
  );
}

/** An address that the kernel chooses; undefined where the call was refused. */
function placeFor(c: Call, m: Mapping): bigint | undefined {
  const { ioas, length } = m;
  const first = m.pieces[0]!;
  const found = allocate(ioas, length, first.pages.start + first.offset);
  const known = c.observed?.errno === '' && m.field !== undefined ? c.observedU64(m.field) : undefined;
  if (typeof found === 'bigint') return known ?? found;
  const words = {
    EOVERFLOW: `a place for ${hex(length)} bytes is never looked for`,
    EINVAL: `the source address asks for an alignment below that of ${nameOf(ioas)}, ${hex(alignmentOf(ioas))}`,
    ENOSPC: `no free place for ${hex(length)} bytes in ${nameOf(ioas)}`,
  };
  c.refuse(found, 'map.no-place', { field: 'length', text: words[found], because: [ioas] });
  return known;
}

/** May it go to the address that the program says? → true where the call ends. iopt_check_iova() */
function fixed(c: Call, m: Mapping, iova: bigint): boolean {
  const { ioas, length } = m;
  const field = m.field ?? 'iova';
  const range = { start: iova, last: iova + length - 1n };
  const refuse = (errno: string, rule: string, text: string, wanted?: string): boolean =>
    c.refuse(errno, rule, { field, text, wanted, because: [ioas] });
  const alignment = alignmentOf(ioas);
  if (iova % alignment !== 0n) {
    const text = `iova ${hex(iova)} is no multiple of the alignment of ${nameOf(ioas)}, ${hex(alignment)}`;
    if (refuse('EINVAL', 'map.iova-alignment', text, `a multiple of ${hex(alignment)}`)) return true;
  }
  if (range.last > TOP && refuse('EOVERFLOW', 'map.iova-overflow', overflow(iova, length))) return true;
  // what such a driver keeps for its interrupts is not told
  if (ioas.hwpts.some((h) => h.driver.name === 'unknown') && c.mayRefuse('EINVAL', DRIVER, 'map.reserved')) return true;
  const clash = reservedAt(ioas, range);
  if (clash && refuse('EINVAL', 'map.reserved', `${spanOf(range)} overlaps the reserved ${spanOf(clash)} of ${nameOf(ioas)}`)) return true;
  const area = touching(ioas, range)[0];
  return (
    area !== undefined &&
    refuse('EEXIST', 'map.exists', `${spanOf(range)} overlaps ${spanOf(area)} of ${nameOf(ioas)}, mapped at event ${area.birth}`)
  );
}

/** iopt_insert_area(). → true where the call ends */
function unfit(c: Call, m: Mapping, p: Piece): boolean {
  const { ioas } = m;
  if (
    m.write &&
    !p.pages.writable &&
    c.refuse('EPERM', 'map.read-only', {
      field: 'flags',
      text: 'WRITEABLE is asked of memory that was mapped without it',
      wanted: 'READABLE alone',
      because: [ioas],
    })
  )
    return true;
  const alignment = alignmentOf(ioas);
  const skew = (p.pages.start + p.offset) % PAGE;
  return (
    skew % alignment !== 0n &&
    c.refuse('EINVAL', 'map.memory-alignment', {
      field: 'user_va',
      text: `the memory begins at offset ${hex(skew)} of a page, and the alignment of ${nameOf(ioas)} is ${hex(alignment)}`,
      wanted: `an offset that is a multiple of ${hex(alignment)}`,
      because: [ioas],
    })
  );
}

/** Pages are pinned where there is a domain to put them into; what the memory is, the log does not say. A revoked dma-buf has none. → true where the call ends */
function unpinnable(c: Call, m: Mapping): boolean {
  if (m.ioas.hwpts.length > 0) {
    const field = c.command.name === 'IOMMU_IOAS_MAP' ? 'user_va' : undefined;
    if (m.pieces.some((p) => registersIn(c, field, p.pages, p.offset, p.length))) return true;
    if (c.mayRefuse('EFAULT', MEMORY, 'map.pin') || c.mayRefuse('EINVAL', MEMORY, 'map.pin')) return true;
    const kind = m.pieces.find((p) => noMemory(p.pages))?.pages.fileKind;
    const detail = { field: 'fd', text: `the file has no pages of memory (${kind})`, wanted: 'a memfd' };
    if (kind !== undefined && c.refuse('EINVAL', 'map.file', detail)) return true;
    const highest = m.pieces.some((p) => p.pages.kind === 'user' && (p.pages.start + p.offset + p.length + PAGE - 1n) / PAGE > TOP / PAGE);
    if (highest && c.mayRefuse('EOVERFLOW', MEMORY, 'map.pin')) return true;
  }
  return c.mayRefuse('ENOMEM', PRESSURE, 'map.memory');
}

/** Flags and numbers that MAP, MAP_FILE and COPY refuse alike. `numbers`: fields, with what they hold. → true where the call ends */
function badRequest(c: Call, known: number, numbers: readonly (readonly [string, bigint])[]): boolean {
  const flags = c.u32('flags');
  if ((flags & ~known) !== 0 && c.refuse('EOPNOTSUPP', 'map.flags', unknownFlags(c, KNOWN))) return true;
  if (c.command.name === 'IOMMU_IOAS_MAP' && reserved(c, '__reserved')) return true;
  for (const [field, value] of numbers)
    if (value === TOP && c.refuse('EOVERFLOW', 'map.all-ones', { field, text: `all bits of ${field} are set` })) return true;
  return (
    (flags & (READ | WRITE)) === 0 &&
    c.refuse('EINVAL', 'map.no-access', { field: 'flags', text: 'neither READABLE nor WRITEABLE', wanted: 'one of the two at least' })
  );
}

/** A mapping as the flags of the call say. */
function mapping(c: Call, ioas: Ioas, field: 'iova' | 'dst_iova', length: bigint, pieces: readonly Piece[]): Mapping {
  const flags = c.u32('flags');
  return {
    ioas,
    length,
    iova: flags & FIXED ? c.u64(field) : undefined,
    field,
    read: (flags & READ) !== 0,
    write: (flags & WRITE) !== 0,
    pieces,
  };
}

const map: Rule = (c) => {
  const [va, length, iova] = [c.u64('user_va'), c.u64('length'), c.u64('iova')];
  const numbers = [['iova', iova] as const, ['length', length] as const];
  if (badRequest(c, KNOWN, numbers)) return;
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  const pages = userPages(c, 'user_va', va, length, (c.u32('flags') & WRITE) !== 0);
  if (pages !== undefined) place(c, mapping(c, ioas, 'iova', length, [{ pages, offset: 0n, length }]));
};

const mapFile: Rule = (c) => {
  const [length, iova] = [c.u64('length'), c.u64('iova')];
  const numbers = [['iova', iova] as const, ['length', length] as const];
  if (badRequest(c, KNOWN, numbers)) return;
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  const pages = filePages(c, c.u64('start'), length, (c.u32('flags') & WRITE) !== 0);
  if (pages !== undefined) place(c, mapping(c, ioas, 'iova', length, [{ pages, offset: 0n, length }]));
};

const copy: Rule = (c) => {
  const flags = c.u32('flags');
  const length = c.u64('length');
  // a kernel with the selftest turns an index of an area into an address before it looks at anything else
  const indexed = (flags & BY_INDEX) !== 0 ? find(c.context, c.u32('src_ioas_id'), ['IOAS']) : undefined;
  const from = indexed === undefined ? c.u64('src_iova') : indexedIova({ ioas: indexed }, c.u64('src_iova'));
  const numbers = [['length', length] as const, ['src_iova', from] as const, ['dst_iova', c.u64('dst_iova')] as const];
  if (badRequest(c, KNOWN | BY_INDEX, numbers)) return;
  const source = object(c, 'src_ioas_id', 'IOAS');
  if (source === undefined) return;
  if (indexed !== undefined) {
    // the kernel writes back what it made of them
    c.set('flags', flags & ~BY_INDEX);
    c.set('src_iova', from);
  }
  const pieces = sourcePieces(c, source, from, length);
  if (pieces === undefined) return;
  const ioas = object(c, 'dst_ioas_id', 'IOAS');
  if (ioas !== undefined) place(c, mapping(c, ioas, 'dst_iova', length, pieces));
};

/** What a COPY takes of its source; undefined where the call was refused. iopt_get_pages() */
function sourcePieces(c: Call, source: Ioas, from: bigint, length: bigint): Piece[] | undefined {
  if (length === 0n && c.refuse('EINVAL', 'copy.length', { field: 'length', text: 'length is 0', wanted: 'more than 0' })) return undefined;
  const range = { start: from, last: from + length - 1n };
  if (range.last > TOP && c.refuse('EOVERFLOW', 'copy.source-overflow', { field: 'src_iova', text: overflow(from, length) }))
    return undefined;
  const areas = covering(source, range);
  if (areas === undefined) {
    c.refuse('ENOENT', 'copy.hole', {
      field: 'src_iova',
      text: `${spanOf(range)} is not mapped throughout in ${nameOf(source)}`,
      wanted: 'a range without holes',
      because: [source],
    });
    return undefined;
  }
  return areas.map((a) => {
    const start = higher(a.start, range.start);
    return { pages: a.pages, offset: a.offset + (start - a.start), length: lower(a.last, range.last) - start + 1n };
  });
}

/**
 * Removes the areas within a range, one after the other: what is removed before a failure stays so. → bytes removed, whether
 * the call failed or not. `areas`: those that touch the range. iopt_unmap_iova_range()
 */
export function unmapRange(
  c: Call,
  ioas: Ioas,
  range: Range,
  emptyIs: 'ENOENT' | 'success',
  areas: readonly Area[] = touching(ioas, range),
): bigint {
  let removed = 0n;
  for (const area of areas) {
    if (kept(c, ioas, range, area)) return removed;
    removed += area.last - area.start + 1n;
    c.already(() => {
      letGo(ioas, area);
      forgetDirty(ioas, area);
      dropArea(ioas, area);
      letFileGo(c.kernel, area);
    });
  }
  if (removed === 0n && emptyIs === 'ENOENT')
    c.refuse('ENOENT', 'unmap.nothing', {
      field: 'iova',
      text: `nothing is mapped in ${spanOf(range)} of ${nameOf(ioas)}`,
      because: [ioas],
    });
  return removed;
}

/** Does something keep an area from being unmapped? → true where the call ends */
function kept(c: Call, ioas: Ioas, range: Range, area: Area): boolean {
  const refuse = (errno: string, rule: string, text: string, detail: RefusalDetail = {}): boolean =>
    c.refuse(errno, rule, { field: 'iova', because: [ioas], ...detail, text: `${spanOf(area)}, mapped at event ${area.birth}, ${text}` });
  const queues = ioas.queues.filter((q) => q.base <= area.last && q.base + q.length - 1n >= area.start);
  const how = ioas.queues.length === 0 ? 'success' : queueTraits(c.traits.queueRules).unmap;
  const wanted = 'the queue destroyed first';
  if (how === 'EBUSY' && queues.length > 0) {
    const text = `holds the base of ${listed(queues.map(nameOf))}`;
    if (refuse('EBUSY', 'unmap.locked', text, { wanted, because: queues })) return true;
  }
  if ((area.start < range.start || area.last > range.last) && refuse('ENOENT', 'unmap.partial', partly(range), { wanted: 'whole areas' }))
    return true;
  if (area.pins.some((p) => p.access.owner === 'vfio') && c.mayRefuse('EDEADLK', UNSEEN, 'unmap.pinned')) return true;
  if (how === 'EBUSY, partly' && (queues.length > 0 || area.pins.length > 0)) {
    // any queue of the IOAS keeps anything that is pinned in it
    const because = queues.length > 0 ? queues : ioas.queues;
    const text = `is pinned, and ${listed(because.map(nameOf))} of ${nameOf(ioas)} never let${because.length === 1 ? 's' : ''} go`;
    return refuse('EBUSY', 'unmap.pinned', text, { wanted, because });
  }
  if (how !== 'EDEADLK' || queues.length === 0) return false;
  // nobody answers the request to let go
  const text = `is pinned by ${listed(queues.map(nameOf))}, which never lets go`;
  if (!refuse('EDEADLK', 'unmap.pinned', text, { wanted, because: queues })) return false;
  c.already(() => {
    area.barred = true;
  });
  return true;
}

const partly = (range: Range): string => `is only partly inside ${spanOf(range)}`;

const unmap: Rule = (c) => {
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  const [iova, length] = [c.u64('iova'), c.u64('length')];
  if (iova === 0n && length === TOP) {
    c.set('length', unmapRange(c, ioas, { start: 0n, last: TOP }, 'success'));
    return;
  }
  if (
    (iova === TOP || length === TOP) &&
    c.refuse('EOVERFLOW', 'unmap.all-ones', {
      field: iova === TOP ? 'iova' : 'length',
      text: 'all bits are set',
      wanted: 'iova 0 with length 2^64 - 1, for everything',
    })
  )
    return;
  if (badUnmap(c, 'length', iova, length)) return;
  c.set('length', unmapRange(c, ioas, { start: iova, last: iova + length - 1n }, 'ENOENT'));
};

/** iopt_unmap_iova(). → true where the call ends */
export function badUnmap(c: Call, field: 'length' | 'size', iova: bigint, length: bigint): boolean {
  if (length === 0n && c.refuse('EINVAL', 'unmap.length', { field, text: `${field} is 0`, wanted: 'more than 0' })) return true;
  return iova + length - 1n > TOP && c.refuse('EOVERFLOW', 'unmap.overflow', { field: 'iova', text: overflow(iova, length) });
}

const changeProcess: Rule = (c) => {
  if (reserved(c, '__reserved')) return;
  const spaces = [...c.context.objects.values()].filter((o): o is Ioas => o.type === 'IOAS');
  const other = spaces.find((s) => s.areas.some((a) => a.pages.kind !== 'file'));
  if (
    other &&
    c.refuse('EINVAL', 'change-process.memory', {
      text: `${nameOf(other)} maps memory that is no file's`,
      because: [other],
      wanted: 'only areas of MAP_FILE',
    })
  )
    return;
  if (c.mayRefuse('ENOMEM', PRESSURE, 'change-process.charge')) return;
  c.then(() => {
    for (const s of spaces) for (const a of s.areas) a.pages.process = c.request.process;
  });
};

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_IOAS_MAP: map,
  IOMMU_IOAS_MAP_FILE: mapFile,
  IOMMU_IOAS_COPY: copy,
  IOMMU_IOAS_UNMAP: unmap,
  IOMMU_IOAS_CHANGE_PROCESS: changeProcess,
};
