/**
 * Address spaces: IOMMU_IOAS_*, IOMMU_OPTION. drivers/iommu/iommufd/ioas.c and io_pagetable.c.
 */

import { indexedIova, letGo } from './access.ts';
import {
  addArea,
  alignmentOf,
  allocate,
  covering,
  dropArea,
  higher,
  iovaRanges,
  lower,
  overlaps,
  PAGE,
  reservedAt,
  TOP,
  touching,
} from './areas.ts';
import type { Call, Rule } from './call.ts';
import { forgetDirty } from './mock.ts';
import { find, insert, object } from './objects.ts';
import { DRIVER, MEMORY, PRESSURE, RIGHTS, UNSEEN } from './reasons.ts';
import type { Area, Ioas, Pages, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

const FIXED = 1;
const WRITE = 2;
const READ = 4;
/** of the selftest's COPY: src_iova is {area, offset} */
const COPY_SYZ = 1 << 16;
const ALL_ONES = TOP;

export function newIoas(c: Call, id: number): Ioas {
  return {
    type: 'IOAS',
    id,
    context: c.context,
    birth: c.request.seq,
    users: 0,
    areas: [],
    reserved: [],
    allowed: [],
    largePages: true,
    hwpts: [],
    accesses: [],
  };
}

const alloc: Rule = (c) => {
  if (c.u32('flags') !== 0 && c.refuse('EOPNOTSUPP', 'ioas-alloc.flags', unknownFlags(c, 0))) return;
  const ioas = newIoas(c, c.newId('out_ioas_id'));
  c.then(() => insert(ioas));
};

/** Detail of a refusal for flags that the call does not know. */
export function unknownFlags(c: Call, known: number): { field: string; text: string; wanted: string } {
  const flags = c.u32('flags');
  return {
    field: 'flags',
    text: `flags ${hex(flags)} have unknown bits (${hex((flags & ~known) >>> 0)})`,
    wanted: `only bits of ${hex(known)}`,
  };
}

/** A reserved field that must be 0. → true where the call ends */
export function reserved(c: Call, field: string, width: 'u8' | 'u16' | 'u32' = 'u32'): boolean {
  const value = c[width](field);
  return value !== 0 && c.refuse('EOPNOTSUPP', 'reserved', { field, text: `${field} is ${hex(value)}`, wanted: '0' });
}

const ranges: Rule = (c) => {
  if (reserved(c, '__reserved')) return;
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  if (ioas.hwpts.some((h) => h.driver.name === 'unknown')) {
    for (const field of ['num_iovas', 'out_iova_alignment']) c.undetermined(field, DRIVER);
    c.writeNested('allowed_iovas', undefined);
    c.mayRefuse('EMSGSIZE', DRIVER, 'ioas-ranges.driver');
    return;
  }
  const there = iovaRanges(ioas);
  const room = c.u32('num_iovas');
  const bytes = new Uint8Array(16 * Math.min(room, there.length));
  const view = new DataView(bytes.buffer);
  there.slice(0, room).forEach((r, i) => {
    view.setBigUint64(16 * i, r.start, true);
    view.setBigUint64(16 * i + 8, r.last, true);
  });
  if (
    bytes.length > 0 &&
    c.u64('allowed_iovas') === 0n &&
    c.refuse('EFAULT', 'ioas-ranges.array', { field: 'allowed_iovas', text: 'allowed_iovas is NULL' })
  )
    return;
  if (bytes.length > 0 && c.mayRefuse('EFAULT', MEMORY, 'ioas-ranges.array')) return;
  c.set('num_iovas', there.length);
  c.set('out_iova_alignment', alignmentOf(ioas));
  if (bytes.length > 0) c.writeNested('allowed_iovas', bytes);
  c.writeAnyway();
  if (there.length > room)
    c.refuse('EMSGSIZE', 'ioas-ranges.room', {
      field: 'num_iovas',
      text: `${nameOf(ioas)} has ${there.length} ranges, and num_iovas has room for ${room}`,
      wanted: `num_iovas of ${there.length}, which is written back`,
      because: [ioas],
    });
};

const allow: Rule = (c) => {
  if (reserved(c, '__reserved')) return;
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  const count = c.u32('num_iovas');
  const array = c.nested('allowed_iovas');
  const list: Range[] = [];
  for (let i = 0; i < count; i++) {
    if (array === undefined || array.bytes.length < 16 * (i + 1)) {
      if (array?.fault === true || c.u64('allowed_iovas') === 0n) {
        c.refuse('EFAULT', 'ioas-allow.array', { field: 'allowed_iovas', text: `range ${i} of allowed_iovas cannot be read` });
        return;
      }
      if (c.mayRefuse('EFAULT', MEMORY, 'ioas-allow.array')) return;
      break;
    }
    const view = new DataView(array.bytes.buffer, array.bytes.byteOffset);
    const r = { start: view.getBigUint64(16 * i, true), last: view.getBigUint64(16 * i + 8, true) };
    const text = `range ${i}, ${hex(r.start)} to ${hex(r.last)}`;
    if (
      r.start >= r.last &&
      c.refuse('EINVAL', 'ioas-allow.empty', { field: 'allowed_iovas', text: `${text}: its start is not below its last` })
    )
      return;
    const clash = list.find((x) => overlaps(x, r));
    if (
      clash &&
      c.refuse('EINVAL', 'ioas-allow.overlap', {
        field: 'allowed_iovas',
        text: `${text}: overlaps ${hex(clash.start)} to ${hex(clash.last)}`,
      })
    )
      return;
    list.push(r);
  }
  for (const r of list) {
    const clash = reservedAt(ioas, r);
    if (
      clash &&
      c.refuse('EADDRINUSE', 'ioas-allow.reserved', {
        field: 'allowed_iovas',
        text: `${hex(r.start)} to ${hex(r.last)} overlaps the reserved ${hex(clash.start)} to ${hex(clash.last)}`,
        because: [ioas],
      })
    )
      return;
  }
  c.then(() => {
    ioas.allowed = list;
  });
};

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
  readonly pieces: readonly { readonly pages: Pages; readonly offset: bigint; readonly length: bigint }[];
}

/** The checks of a mapping from its length on, and what changes. drivers/iommu/iommufd/io_pagetable.c, iopt_map_pages() */
export function place(c: Call, m: Mapping): void {
  const { ioas, length } = m;
  const alignment = alignmentOf(ioas);
  const first = m.pieces[0]!;
  if (
    (length === 0n || length > TOP - PAGE) &&
    c.refuse('EINVAL', 'map.length', { field: 'length', text: `length ${hex(length)} is no length of a mapping`, wanted: 'more than 0' })
  )
    return;
  if (
    length % alignment !== 0n &&
    c.refuse('EINVAL', 'map.length-alignment', {
      field: 'length',
      text: `length ${hex(length)} is no multiple of the alignment of ${nameOf(ioas)}, ${hex(alignment)}`,
      because: [ioas],
      wanted: `a multiple of ${hex(alignment)}`,
    })
  )
    return;
  let iova = m.iova;
  if (iova === undefined) {
    const found = allocate(ioas, length, first.pages.start + first.offset);
    if (typeof found === 'string') {
      c.refuse(found, 'map.no-place', {
        field: 'length',
        text: `no free place for ${hex(length)} bytes in ${nameOf(ioas)}`,
        because: [ioas],
      });
      return;
    }
    iova = c.observed?.out === undefined || m.field === undefined ? found : (c.observedU64(m.field) ?? found);
  } else {
    const range = { start: iova, last: iova + length - 1n };
    if (
      iova % alignment !== 0n &&
      c.refuse('EINVAL', 'map.iova-alignment', {
        field: m.field ?? 'iova',
        text: `iova ${hex(iova)} is no multiple of the alignment of ${nameOf(ioas)}, ${hex(alignment)}`,
        because: [ioas],
        wanted: `a multiple of ${hex(alignment)}`,
      })
    )
      return;
    if (
      range.last > TOP &&
      c.refuse('EOVERFLOW', 'map.iova-overflow', {
        field: m.field ?? 'iova',
        text: `${hex(iova)} + ${hex(length)} goes over the end of the address space`,
      })
    )
      return;
    const clash = reservedAt(ioas, range);
    if (
      clash &&
      c.refuse('EINVAL', 'map.reserved', {
        field: m.field ?? 'iova',
        text: `${hex(range.start)} to ${hex(range.last)} overlaps the reserved ${hex(clash.start)} to ${hex(clash.last)} of ${nameOf(ioas)}`,
        because: [ioas],
      })
    )
      return;
    const area = touching(ioas, range)[0];
    if (
      area &&
      c.refuse('EEXIST', 'map.exists', {
        field: m.field ?? 'iova',
        text: `${hex(range.start)} to ${hex(range.last)} overlaps ${hex(area.start)} to ${hex(area.last)}, mapped at event ${area.birth}`,
        because: [ioas],
      })
    )
      return;
  }
  for (const p of m.pieces) {
    if (
      m.write &&
      !p.pages.writable &&
      c.refuse('EPERM', 'map.read-only', {
        field: 'flags',
        text: 'WRITEABLE is asked of memory that was mapped without it',
        because: [ioas],
      })
    )
      return;
    const skew = (p.pages.start + p.offset) % PAGE;
    if (
      skew % alignment !== 0n &&
      c.refuse('EINVAL', 'map.memory-alignment', {
        field: 'user_va',
        text: `the memory begins at offset ${hex(skew)} of a page, and the alignment of ${nameOf(ioas)} is ${hex(alignment)}`,
        because: [ioas],
      })
    )
      return;
  }
  pinned(c, m);
  if (c.refused) return;
  if (m.field !== undefined) c.set(m.field, iova);
  const areas: Area[] = [];
  let at = iova;
  for (const p of m.pieces) {
    areas.push({
      start: at,
      last: at + p.length - 1n,
      pages: p.pages,
      offset: p.offset,
      read: m.read,
      write: m.write,
      locked: 0,
      pins: [],
      birth: c.request.seq,
    });
    at += p.length;
  }
  // a response that cannot be written undoes no mapping
  c.then(() => {
    for (const area of areas) addArea(ioas, area);
  });
}

/** Pages are pinned where there is a domain to put them into; what the memory is, the log does not say. */
function pinned(c: Call, m: Mapping): void {
  if (
    m.pieces.some((p) => p.pages.revoked) &&
    m.ioas.hwpts.length > 0 &&
    c.refuse('ENODEV', 'map.revoked', { text: 'the dma-buf was revoked' })
  )
    return;
  if (m.ioas.hwpts.length > 0) {
    if (c.mayRefuse('EFAULT', MEMORY, 'map.pin')) return;
    if (c.mayRefuse('EINVAL', MEMORY, 'map.pin')) return;
  }
  c.mayRefuse('ENOMEM', PRESSURE, 'map.memory');
}

const map: Rule = (c) => {
  const flags = c.u32('flags');
  if ((flags & ~(FIXED | WRITE | READ)) !== 0 && c.refuse('EOPNOTSUPP', 'map.flags', unknownFlags(c, 7))) return;
  if (reserved(c, '__reserved')) return;
  const [va, length, iova] = [c.u64('user_va'), c.u64('length'), c.u64('iova')];
  if (
    (iova === ALL_ONES || length === ALL_ONES) &&
    c.refuse('EOVERFLOW', 'map.all-ones', { field: iova === ALL_ONES ? 'iova' : 'length', text: 'all bits are set' })
  )
    return;
  if (
    (flags & (READ | WRITE)) === 0 &&
    c.refuse('EINVAL', 'map.no-access', { field: 'flags', text: 'neither READABLE nor WRITEABLE', wanted: 'one of the two at least' })
  )
    return;
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  if (
    va + length > TOP &&
    c.refuse('EOVERFLOW', 'map.memory-overflow', {
      field: 'user_va',
      text: `${hex(va)} + ${hex(length)} goes over the end of the address space`,
    })
  )
    return;
  const pages: Pages = {
    kind: 'user',
    process: c.request.process,
    start: va,
    length,
    writable: (flags & WRITE) !== 0,
    file: undefined,
    revoked: false,
  };
  place(c, {
    ioas,
    length,
    iova: flags & FIXED ? iova : undefined,
    field: 'iova',
    read: (flags & READ) !== 0,
    write: (flags & WRITE) !== 0,
    pieces: [{ pages, offset: 0n, length }],
  });
};

const mapFile: Rule = (c) => {
  const flags = c.u32('flags');
  if ((flags & ~(FIXED | WRITE | READ)) !== 0 && c.refuse('EOPNOTSUPP', 'map.flags', unknownFlags(c, 7))) return;
  const [start, length, iova] = [c.u64('start'), c.u64('length'), c.u64('iova')];
  if (
    (iova === ALL_ONES || length === ALL_ONES) &&
    c.refuse('EOVERFLOW', 'map.all-ones', { field: iova === ALL_ONES ? 'iova' : 'length', text: 'all bits are set' })
  )
    return;
  if (
    (flags & (READ | WRITE)) === 0 &&
    c.refuse('EINVAL', 'map.no-access', { field: 'flags', text: 'neither READABLE nor WRITEABLE', wanted: 'one of the two at least' })
  )
    return;
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  if (length === 0n && c.refuse('EINVAL', 'map.length', { field: 'length', text: 'length is 0', wanted: 'more than 0' })) return;
  if (
    start + length > TOP &&
    c.refuse('EOVERFLOW', 'map.memory-overflow', { field: 'start', text: `${hex(start)} + ${hex(length)} goes over the end of the file` })
  )
    return;
  const file = c.request.fileOf(c.s32('fd'));
  if (file === undefined && c.refuse('EBADF', 'map-file.fd', { field: 'fd', text: `there is no descriptor ${c.s32('fd')}` })) return;
  if (file === 'unknown') c.mayRefuse('EBADF', UNSEEN, 'map-file.fd');
  if (c.refused) return;
  const known = file === 'unknown' ? undefined : file;
  const dmabuf = known?.kind === 'dmabuf';
  if (
    dmabuf &&
    start + length > (known.length ?? 0n) &&
    known.length !== undefined &&
    c.refuse('EINVAL', 'map-file.size', {
      field: 'length',
      text: `${hex(start)} + ${hex(length)} is beyond the size of the dma-buf, ${hex(known.length)}`,
    })
  )
    return;
  if (dmabuf && known.revoked === true && c.refuse('ENODEV', 'map-file.revoked', { field: 'fd', text: 'the dma-buf was revoked' })) return;
  const pages: Pages = {
    kind: dmabuf ? 'dmabuf' : 'file',
    process: c.request.process,
    start,
    length,
    writable: (flags & WRITE) !== 0,
    file: known?.file,
    revoked: false,
  };
  place(c, {
    ioas,
    length,
    iova: flags & FIXED ? iova : undefined,
    field: 'iova',
    read: (flags & READ) !== 0,
    write: (flags & WRITE) !== 0,
    pieces: [{ pages, offset: 0n, length }],
  });
};

const copy: Rule = (c) => {
  const flags = c.u32('flags');
  const known = FIXED | WRITE | READ | COPY_SYZ;
  if ((flags & ~known) !== 0 && c.refuse('EOPNOTSUPP', 'copy.flags', unknownFlags(c, 7))) return;
  const [length, to] = [c.u64('length'), c.u64('dst_iova')];
  let from = c.u64('src_iova');
  const indexed = (flags & COPY_SYZ) !== 0 ? find(c.context, c.u32('src_ioas_id'), ['IOAS']) : undefined;
  if (indexed !== undefined) from = indexedIova({ ioas: indexed }, from);
  for (const field of ['length', 'src_iova', 'dst_iova'])
    if (
      (field === 'src_iova' ? from : c.u64(field)) === ALL_ONES &&
      c.refuse('EOVERFLOW', 'copy.all-ones', { field, text: 'all bits are set' })
    )
      return;
  if (
    (flags & (READ | WRITE)) === 0 &&
    c.refuse('EINVAL', 'copy.no-access', { field: 'flags', text: 'neither READABLE nor WRITEABLE', wanted: 'one of the two at least' })
  )
    return;
  const source = object(c, 'src_ioas_id', 'IOAS');
  if (source === undefined) return;
  if (indexed !== undefined) {
    // the kernel writes back what it made of them
    c.set('flags', flags & ~COPY_SYZ);
    c.set('src_iova', from);
  }
  if (length === 0n && c.refuse('EINVAL', 'copy.length', { field: 'length', text: 'length is 0', wanted: 'more than 0' })) return;
  if (
    from + length - 1n > TOP &&
    c.refuse('EOVERFLOW', 'copy.source-overflow', {
      field: 'src_iova',
      text: `${hex(from)} + ${hex(length)} goes over the end of the address space`,
    })
  )
    return;
  const range = { start: from, last: from + length - 1n };
  const areas = covering(source, range);
  if (
    areas === undefined &&
    c.refuse('ENOENT', 'copy.hole', {
      field: 'src_iova',
      text: `${hex(range.start)} to ${hex(range.last)} is not mapped throughout in ${nameOf(source)}`,
      because: [source],
    })
  )
    return;
  const ioas = object(c, 'dst_ioas_id', 'IOAS');
  if (ioas === undefined || areas === undefined) return;
  const pieces = areas.map((a) => {
    const start = higher(a.start, range.start);
    const last = lower(a.last, range.last);
    return { pages: a.pages, offset: a.offset + (start - a.start), length: last - start + 1n };
  });
  place(c, {
    ioas,
    length,
    iova: flags & FIXED ? to : undefined,
    field: 'dst_iova',
    read: (flags & READ) !== 0,
    write: (flags & WRITE) !== 0,
    pieces,
  });
};

/** Removes the areas within a range, one after the other. drivers/iommu/iommufd/io_pagetable.c, iopt_unmap_iova_range() */
export function unmapRange(c: Call, ioas: Ioas, range: Range, emptyIs: 'ENOENT' | 'success'): bigint {
  let removed = 0n;
  for (const area of touching(ioas, range)) {
    const text = `${hex(area.start)} to ${hex(area.last)}, mapped at event ${area.birth}`;
    if (
      area.locked > 0 &&
      c.refuse('EBUSY', 'unmap.locked', { field: 'iova', text: `${text}: the base of a HW_QUEUE`, because: queuesOn(ioas, area) })
    )
      return removed;
    if (
      (area.start < range.start || area.last > range.last) &&
      c.refuse('ENOENT', 'unmap.partial', {
        field: 'iova',
        text: `${text}, is only partly inside ${hex(range.start)} to ${hex(range.last)}`,
        wanted: 'whole areas',
        because: [ioas],
      })
    )
      return removed;
    const stuck = area.pins.find((p) => p.access.owner === 'vfio');
    if (stuck && c.mayRefuse('EDEADLOCK', UNSEEN, 'unmap.pinned')) return removed;
    removed += area.last - area.start + 1n;
    c.already(() => {
      letGo(ioas, area);
      forgetDirty(ioas, area);
      dropArea(ioas, area);
    });
  }
  if (removed === 0n && emptyIs === 'ENOENT')
    c.refuse('ENOENT', 'unmap.nothing', {
      field: 'iova',
      text: `nothing is mapped in ${hex(range.start)} to ${hex(range.last)} of ${nameOf(ioas)}`,
      because: [ioas],
    });
  return removed;
}

function queuesOn(ioas: Ioas, area: Range): Ioas['accesses'][number]['context']['objects'] extends Map<number, infer O> ? O[] : never {
  return [...ioas.context.objects.values()].filter(
    (o) => o.type === 'HW_QUEUE' && o.base <= area.last && o.base + o.length - 1n >= area.start,
  );
}

const unmap: Rule = (c) => {
  const ioas = object(c, 'ioas_id', 'IOAS');
  if (ioas === undefined) return;
  const [iova, length] = [c.u64('iova'), c.u64('length')];
  if (iova === 0n && length === ALL_ONES) {
    c.set('length', unmapRange(c, ioas, { start: 0n, last: TOP }, 'success'));
    return;
  }
  if (
    (iova === ALL_ONES || length === ALL_ONES) &&
    c.refuse('EOVERFLOW', 'unmap.all-ones', { field: iova === ALL_ONES ? 'iova' : 'length', text: 'all bits are set' })
  )
    return;
  if (length === 0n && c.refuse('EINVAL', 'unmap.length', { field: 'length', text: 'length is 0', wanted: 'more than 0' })) return;
  if (
    iova + length - 1n > TOP &&
    c.refuse('EOVERFLOW', 'unmap.overflow', { field: 'iova', text: `${hex(iova)} + ${hex(length)} goes over the end of the address space` })
  )
    return;
  c.set('length', unmapRange(c, ioas, { start: iova, last: iova + length - 1n }, 'ENOENT'));
};

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

const RLIMIT_MODE = 0;
const HUGE_PAGES = 1;
const SET = 0;
const GET = 1;

const option: Rule = (c) => {
  if (reserved(c, '__reserved', 'u16')) return;
  const id = c.u32('option_id');
  if (id === RLIMIT_MODE) rlimitMode(c);
  else if (id === HUGE_PAGES) hugePages(c);
  else c.refuse('EOPNOTSUPP', 'option.id', { field: 'option_id', text: `there is no option ${id}`, wanted: 'RLIMIT_MODE or HUGE_PAGES' });
};

function rlimitMode(c: Call): void {
  const { context } = c;
  if (
    c.u32('object_id') !== 0 &&
    c.refuse('EOPNOTSUPP', 'option.object', { field: 'object_id', text: 'RLIMIT_MODE is of the whole context', wanted: '0' })
  )
    return;
  const op = c.u16('op');
  if (op === GET) {
    c.set('val64', context.rlimitMode);
    return;
  }
  if (op !== SET) {
    unknownOp(c, op);
    return;
  }
  if (c.mayRefuse('EPERM', RIGHTS, 'option.rights')) return;
  const value = c.u64('val64');
  if (
    context.objects.size + context.tombstones.size > 0 &&
    c.refuse('EBUSY', 'option.rlimit-late', {
      field: 'option_id',
      text: 'the context has objects already',
      wanted: 'before the first object',
      because: [...context.objects.values()],
    })
  )
    return;
  if (value > 1n && c.refuse('EINVAL', 'option.value', { field: 'val64', text: `${value} is no mode`, wanted: '0 or 1' })) return;
  c.then(() => {
    context.rlimitMode = value === 0n ? 0 : 1;
  });
}

function unknownOp(c: Call, op: number): void {
  c.refuse('EOPNOTSUPP', 'option.op', { field: 'op', text: `there is no operation ${op}`, wanted: 'SET or GET' });
}

function hugePages(c: Call): void {
  const ioas = object(c, 'object_id', 'IOAS');
  if (ioas === undefined) return;
  const op = c.u16('op');
  if (op === GET) {
    c.set('val64', ioas.largePages ? 1 : 0);
    return;
  }
  if (op !== SET) {
    unknownOp(c, op);
    return;
  }
  const value = c.u64('val64');
  if (value > 1n && c.refuse('EINVAL', 'option.value', { field: 'val64', text: `${value} is neither on nor off`, wanted: '0 or 1' }))
    return;
  setLargePages(c, ioas, value === 1n);
}

/** Turns large pages on or off. drivers/iommu/iommufd/io_pagetable.c, iopt_disable_large_pages() */
export function setLargePages(c: Call, ioas: Ioas, on: boolean): void {
  if (!on && ioas.largePages) {
    if (
      ioas.hwpts.length > 0 &&
      ioas.areas.length > 0 &&
      c.refuse('EINVAL', 'option.large-pages-used', {
        field: 'val64',
        text: `${nameOf(ioas)} has HWPTs and mappings already`,
        because: [ioas, ...ioas.hwpts],
      })
    )
      return;
    const area = misaligned(ioas, PAGE);
    if (
      area &&
      c.refuse('EADDRINUSE', 'option.large-pages-area', {
        field: 'val64',
        text: `${hex(area.start)} to ${hex(area.last)} is not aligned to pages`,
        because: [ioas],
      })
    )
      return;
  }
  c.then(() => {
    ioas.largePages = on;
  });
}

/** An area that an alignment does not allow. */
export const misaligned = (ioas: Ioas, alignment: bigint): Area | undefined =>
  ioas.areas.find(
    (a) => a.start % alignment !== 0n || (a.last + 1n) % alignment !== 0n || ((a.pages.start + a.offset) % PAGE) % alignment !== 0n,
  );

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_IOAS_ALLOC: alloc,
  IOMMU_IOAS_IOVA_RANGES: ranges,
  IOMMU_IOAS_ALLOW_IOVAS: allow,
  IOMMU_IOAS_MAP: map,
  IOMMU_IOAS_MAP_FILE: mapFile,
  IOMMU_IOAS_COPY: copy,
  IOMMU_IOAS_UNMAP: unmap,
  IOMMU_IOAS_CHANGE_PROCESS: changeProcess,
  IOMMU_OPTION: option,
};
