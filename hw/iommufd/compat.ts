/** The VFIO type1 calls on an iommufd, and IOMMU_VFIO_IOAS. drivers/iommu/iommufd/vfio_compat.c. */
import { addArea, dropArea, higher, lower, TOP, touching } from './areas.ts';
import type { Call, Rule } from './call.ts';
import { place, reserved, setLargePages, unmapRange } from './ioas.ts';
import { object } from './objects.ts';
import { DRIVER } from './reasons.ts';
import type { Ioas, Pages, Range } from './state.ts';
import { hex } from './words.ts';

const TYPE1 = 1n;
const TYPE1V2 = 3n;

/** The IOAS that the VFIO calls use; undefined where the call was refused. */
function compat(c: Call): Ioas | undefined {
  if (c.context.compat === undefined)
    c.refuse('ENODEV', 'compat.ioas', { text: 'the VFIO calls have no IOAS to work on', wanted: 'IOMMU_VFIO_IOAS with SET first' });
  return c.context.compat;
}

function argsz(c: Call, least: number): boolean {
  const size = c.u32('argsz');
  return size < least && c.refuse('EINVAL', 'compat.argsz', { field: 'argsz', text: `argsz is ${size}`, wanted: `${least} at least` });
}

const GET = 0;
const SET = 1;
const CLEAR = 2;

const vfioIoas: Rule = (c) => {
  if (reserved(c, '__reserved', 'u16')) return;
  const op = c.u16('op');
  if (op === GET) {
    const ioas = compat(c);
    if (ioas) c.set('ioas_id', ioas.id);
    return;
  }
  if (op === SET) {
    const ioas = object(c, 'ioas_id', 'IOAS');
    if (ioas)
      c.then(() => {
        c.context.compat = ioas;
      });
    return;
  }
  if (op === CLEAR) {
    c.then(() => {
      c.context.compat = undefined;
    });
    return;
  }
  c.refuse('EOPNOTSUPP', 'vfio-ioas.op', { field: 'op', text: `there is no operation ${op}`, wanted: 'GET, SET or CLEAR' });
};

const version: Rule = (c) => {
  c.keepStruct();
  c.returns(0n);
};

const checkExtension: Rule = (c) => {
  c.keepStruct();
  const which = c.request.arg;
  // VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL
  if (which === TYPE1 || which === TYPE1V2 || which === 9n) c.returns(1n);
  else if (which === 4n) {
    const ioas = compat(c);
    if (ioas) c.returns(ioas.hwpts.length === 0 ? 1n : 0n);
    if (ioas && ioas.hwpts.length > 0) c.mayReturn(DRIVER);
  }
};

const setIommu: Rule = (c) => {
  c.keepStruct();
  const type = c.request.arg;
  if (
    type !== TYPE1 &&
    type !== TYPE1V2 &&
    c.refuse('EINVAL', 'set-iommu.type', { text: `there is no IOMMU type ${type}`, wanted: 'VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU' })
  )
    return;
  const ioas = compat(c);
  if (ioas === undefined) return;
  if (type === TYPE1) setLargePages(c, ioas, false);
};

const getInfo: Rule = (c) => {
  if (argsz(c, 16)) return;
  const ioas = compat(c);
  if (ioas === undefined) return;
  for (const field of ['argsz', 'flags', 'iova_pgsizes', 'cap_offset']) if (c.has(field)) c.undetermined(field, DRIVER);
};

const READ = 1;
const WRITE = 2;

const mapDma: Rule = (c) => {
  if (argsz(c, 32)) return;
  const flags = c.u32('flags');
  if (
    (flags & ~(READ | WRITE)) !== 0 &&
    c.refuse('EINVAL', 'compat.flags', { field: 'flags', text: `flags ${hex(flags)}`, wanted: 'READ and WRITE alone' })
  )
    return;
  const ioas = compat(c);
  if (ioas === undefined) return;
  c.keepStruct();
  const [va, iova, length] = [c.u64('vaddr'), c.u64('iova'), c.u64('size')];
  if (
    va + length > TOP &&
    c.refuse('EOVERFLOW', 'map.memory-overflow', {
      field: 'vaddr',
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
    iova,
    field: undefined,
    read: (flags & READ) !== 0,
    write: (flags & WRITE) !== 0,
    pieces: [{ pages, offset: 0n, length }],
  });
};

/** Version 1 of type1 cuts areas at the ends of the range. drivers/iommu/iommufd/io_pagetable.c, iopt_cut_iova() */
function unmapCutting(c: Call, ioas: Ioas, range: Range): void {
  let removed = 0n;
  for (const area of touching(ioas, range)) {
    const start = higher(area.start, range.start);
    const last = lower(area.last, range.last);
    const cut = start !== area.start || last !== area.last;
    if (
      cut &&
      area.pins.length > 0 &&
      c.refuse('EINVAL', 'compat.cut-pinned', { field: 'iova', text: 'an area whose pages are held would be cut', because: [ioas] })
    )
      return;
    removed += last - start + 1n;
    c.then(() => {
      dropArea(ioas, area);
      if (area.start < start) addArea(ioas, { ...area, last: start - 1n });
      if (area.last > last) addArea(ioas, { ...area, start: last + 1n, offset: area.offset + (last + 1n - area.start) });
    });
  }
  if (
    removed === 0n &&
    c.traits.compatUnmapEmpty === 'ENOENT' &&
    c.refuse('ENOENT', 'unmap.nothing', { field: 'iova', text: 'nothing is mapped there', because: [ioas] })
  )
    return;
  c.set('size', removed);
}

const UNMAP_ALL = 2;

const unmapDma: Rule = (c) => {
  if (argsz(c, 24)) return;
  const flags = c.u32('flags');
  if (
    (flags & ~UNMAP_ALL) !== 0 &&
    c.refuse('EINVAL', 'compat.flags', { field: 'flags', text: `flags ${hex(flags)}`, wanted: 'ALL alone' })
  )
    return;
  const ioas = compat(c);
  if (ioas === undefined) return;
  const [iova, size] = [c.u64('iova'), c.u64('size')];
  if ((flags & UNMAP_ALL) !== 0) {
    if ((iova !== 0n || size !== 0n) && c.refuse('EINVAL', 'compat.unmap-all', { field: 'size', text: 'ALL with an address or a size' }))
      return;
    c.set('size', unmapRange(c, ioas, { start: 0n, last: TOP }, 'success'));
    return;
  }
  if (
    iova + size - 1n > TOP &&
    c.refuse('EOVERFLOW', 'unmap.overflow', { field: 'iova', text: `${hex(iova)} + ${hex(size)} goes over the end of the address space` })
  )
    return;
  const range = { start: iova, last: iova + size - 1n };
  if (!ioas.largePages) {
    unmapCutting(c, ioas, range);
    return;
  }
  // the size is written back whatever became of it
  c.writeAnyway();
  c.set('size', unmapRange(c, ioas, range, c.traits.compatUnmapEmpty));
};

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_VFIO_IOAS: vfioIoas,
  VFIO_GET_API_VERSION: version,
  VFIO_CHECK_EXTENSION: checkExtension,
  VFIO_SET_IOMMU: setIommu,
  VFIO_IOMMU_GET_INFO: getInfo,
  VFIO_IOMMU_MAP_DMA: mapDma,
  VFIO_IOMMU_UNMAP_DMA: unmapDma,
};
