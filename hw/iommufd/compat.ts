/**
 * The VFIO type1 calls on an iommufd, and IOMMU_VFIO_IOAS. drivers/iommu/iommufd/vfio_compat.c.
 */
import { addArea, alignmentOf, dropArea, higher, iovaRanges, overlaps, PAGE, TOP, touching } from './areas.ts';
import type { Call, Rule } from './call.ts';
import { reserved } from './ioas.ts';
import { isKnown } from './machine.ts';
import { badUnmap, place, unmapRange } from './map.ts';
import { object } from './objects.ts';
import { setLargePages } from './option.ts';
import { userPages } from './pages.ts';
import { DRIVER, MACHINE, RIGHTS } from './reasons.ts';
import type { Area, Ioas } from './state.ts';
import { hex, nameOf } from './words.ts';

/** VFIO_*_IOMMU: kinds of IOMMU, and things to ask CHECK_EXTENSION for */
const TYPE1 = 1n;
const TYPE1V2 = 3n;
const DMA_CC = 4n;
const NO_IOMMU = 8n;
const UNMAP_ALL = 9n;

/** The IOAS that the VFIO calls use; undefined where the call was refused. */
function compat(c: Call): Ioas | undefined {
  if (c.context.compat === undefined)
    c.refuse('ENODEV', 'compat.ioas', {
      text: 'the VFIO calls have no IOAS to work on',
      wanted: 'IOMMU_VFIO_IOAS with SET, or a VFIO group that joins, first',
    });
  return c.context.compat;
}

function argsz(c: Call, least: number): boolean {
  const size = c.u32('argsz');
  return size < least && c.refuse('EINVAL', 'compat.argsz', { field: 'argsz', text: `argsz is ${size}`, wanted: `${least} at least` });
}

function badFlags(c: Call, known: number, wanted: string): boolean {
  const flags = c.u32('flags');
  return (flags & ~known) !== 0 && c.refuse('EINVAL', 'compat.flags', { field: 'flags', text: `flags ${hex(flags)}`, wanted });
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
  } else if (op === SET) {
    const ioas = object(c, 'ioas_id', 'IOAS');
    if (ioas)
      c.then(() => {
        c.context.compat = ioas;
      });
  } else if (op === CLEAR) {
    c.then(() => {
      c.context.compat = undefined;
    });
  } else c.refuse('EOPNOTSUPP', 'vfio-ioas.op', { field: 'op', text: `there is no operation ${op}`, wanted: 'GET, SET or CLEAR' });
};

const version: Rule = (c) => {
  c.keepStruct();
  c.returns(0n);
};

const checkExtension: Rule = (c) => {
  c.keepStruct();
  const which = c.request.arg;
  if (which === TYPE1 || which === TYPE1V2 || which === UNMAP_ALL) c.returns(c.context.noIommu ? 0n : 1n);
  else if (which === NO_IOMMU)
    // as the kernel was configured
    c.mayReturn(MACHINE);
  else if (which === DMA_CC) {
    const ioas = compat(c);
    if (ioas === undefined) return;
    // the mock driver cannot enforce coherency
    if (ioas.hwpts.some((h) => h.device.driver.name === 'mock')) c.returns(0n);
    else if (ioas.hwpts.every((h) => h.device.driver.name === 'plain' || isKnown(c.kernel))) c.returns(1n);
    else c.mayReturn(DRIVER);
  }
};

const setIommu: Rule = (c) => {
  c.keepStruct();
  const type = c.request.arg;
  const { noIommu } = c.context;
  if (type === NO_IOMMU && noIommu) {
    c.mayRefuse('EPERM', RIGHTS, 'set-iommu.rights');
    return;
  }
  const detail = noIommu
    ? { text: 'a device without IOMMU has joined', wanted: 'VFIO_NOIOMMU_IOMMU' }
    : { text: `there is no IOMMU type ${type}`, wanted: 'VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU' };
  if (((type !== TYPE1 && type !== TYPE1V2) || noIommu) && c.refuse('EINVAL', 'set-iommu.type', detail)) return;
  const ioas = compat(c);
  if (ioas !== undefined && type === TYPE1) setLargePages(c, ioas, false);
};

/** Bytes of struct vfio_iommu_type1_info; capabilities follow it. */
const INFO_BYTES = 24;
const INFO_PGSIZES = 1;
const INFO_CAPS = 2;
const CAP_IOVA_RANGE = 1;
const CAP_DMA_AVAIL = 3;
/** a capability's header: id, version, offset of the next */
const CAP_HEADER = 8;
const DMA_AVAIL_BYTES = 12;

/**
 * Page sizes, and a chain of two capabilities, as far as argsz has room: what does not fit is left out piece by piece, and
 * argsz says what would do.
 */
const getInfo: Rule = (c) => {
  if (argsz(c, 16)) return;
  const ioas = compat(c);
  if (ioas === undefined) return;
  const room = c.u32('argsz');
  const there = iovaRanges(ioas);
  const dmaAt = INFO_BYTES;
  const iovaAt = dmaAt + 16;
  const iovaHeader = 16;
  const whole = iovaAt + iovaHeader + 16 * there.length;
  c.extend(Math.min(room, whole));
  const fields: readonly (readonly [string, number | bigint])[] = [
    ['argsz', whole],
    ['flags', INFO_PGSIZES | INFO_CAPS],
    ['cap_offset', room >= whole ? INFO_BYTES : 0],
  ];
  for (const [field, value] of fields) c.set(field, value);
  const sizes = pageSizes(ioas);
  if (sizes === undefined) c.undetermined('iova_pgsizes', DRIVER);
  else c.set('iova_pgsizes', sizes);
  if (ioas.hwpts.some((h) => h.driver.name === 'unknown')) {
    for (const field of ['argsz', 'cap_offset']) if (c.has(field)) c.undetermined(field, DRIVER);
    return;
  }
  if (room >= dmaAt + DMA_AVAIL_BYTES) {
    header(c, dmaAt, CAP_DMA_AVAIL);
    c.setAt(dmaAt + CAP_HEADER, 4, 0xffff_ffff);
  }
  if (room >= iovaAt) c.setAt(dmaAt + 4, 4, iovaAt);
  there.forEach((r, i) => {
    const at = iovaAt + iovaHeader + 16 * i;
    if (room < at + 16) return;
    c.setAt(at, 8, r.start);
    c.setAt(at + 8, 8, r.last);
  });
  if (room < whole) return;
  header(c, iovaAt, CAP_IOVA_RANGE);
  c.setAt(iovaAt + CAP_HEADER, 4, there.length);
  c.setAt(iovaAt + CAP_HEADER + 4, 4, 0);
};

function header(c: Call, at: number, id: number): void {
  c.setAt(at, 2, id);
  c.setAt(at + 2, 2, 1);
  c.setAt(at + 4, 4, 0);
}

/** Page sizes of all domains, those below a page being told as a page; undefined: a driver's that is not known. */
function pageSizes(ioas: Ioas): bigint | undefined {
  let sizes = TOP;
  for (const { driver } of ioas.hwpts) {
    if (driver.pageSizes === undefined) return undefined;
    sizes &= driver.pageSizes;
  }
  if (sizes % PAGE !== 0n) sizes = ((sizes / PAGE) * PAGE) | PAGE;
  const alignment = alignmentOf(ioas);
  return higher(sizes, alignment);
}

const READ = 1;
const WRITE = 2;

const mapDma: Rule = (c) => {
  if (argsz(c, 32) || badFlags(c, READ | WRITE, 'READ and WRITE alone')) return;
  const ioas = compat(c);
  if (ioas === undefined) return;
  c.keepStruct();
  const flags = c.u32('flags');
  const [read, write] = [(flags & READ) !== 0, (flags & WRITE) !== 0];
  const length = c.u64('size');
  const pages = userPages(c, 'vaddr', c.u64('vaddr'), length, write);
  if (pages === undefined) return;
  place(c, { ioas, length, iova: c.u64('iova'), field: undefined, read, write, pieces: [{ pages, offset: 0n, length }] });
};

const FLAG_ALL = 2;

const unmapDma: Rule = (c) => {
  if (argsz(c, 24) || badFlags(c, FLAG_ALL, 'ALL alone')) return;
  const ioas = compat(c);
  if (ioas === undefined) return;
  const [iova, size] = [c.u64('iova'), c.u64('size')];
  const all = (c.u32('flags') & FLAG_ALL) !== 0;
  if (
    all &&
    (iova !== 0n || size !== 0n) &&
    c.refuse('EINVAL', 'compat.unmap-all', {
      field: iova === 0n ? 'size' : 'iova',
      text: `ALL with iova ${hex(iova)} and size ${hex(size)}`,
      wanted: '0 for both',
    })
  )
    return;
  const areas = all || ioas.largePages ? undefined : cut(c, ioas, iova, size);
  if (c.refused) return;
  // from here on the size is written back, whatever becomes of the call
  c.writeAnyway();
  c.set('size', 0);
  const range = all ? { start: 0n, last: TOP } : { start: iova, last: iova + size - 1n };
  if (!all && badUnmap(c, 'size', iova, size)) return;
  const touched = areas?.filter((a) => overlaps(a, range)) ?? touching(ioas, range);
  c.set('size', unmapRange(c, ioas, range, all ? 'success' : c.traits.compatUnmapEmpty, touched));
};

/**
 * Version 1 of type1 cuts areas where the range begins and ends; the halves stay, whatever becomes of the call. → the areas of
 * the IOAS after that. io_pagetable.c, iopt_cut_iova()
 */
function cut(c: Call, ioas: Ioas, iova: bigint, size: bigint): readonly Area[] {
  const areas = [...ioas.areas];
  const cuts = [BigInt.asUintN(64, iova + size - 1n), ...(iova === 0n ? [] : [iova - 1n])];
  for (const at of cuts) {
    const i = areas.findIndex((a) => a.start <= at && a.last >= at);
    const area = areas[i];
    // an area that begins at the last byte before the cut is left alone too
    if (area === undefined || area.start === at || area.last === at) continue;
    if (uncuttable(c, ioas, area, at + 1n)) return areas;
    const halves: [Area, Area] = [
      { ...area, last: at, pins: [] },
      { ...area, start: at + 1n, offset: area.offset + (at + 1n - area.start), pins: [] },
    ];
    areas.splice(i, 1, ...halves);
    c.already(() => {
      dropArea(ioas, area);
      for (const half of halves) addArea(ioas, half);
    });
  }
  return areas;
}

/** iopt_area_split(). → true where the call ends */
function uncuttable(c: Call, ioas: Ioas, area: Area, start: bigint): boolean {
  const refuse = (errno: string, rule: string, text: string): boolean =>
    c.refuse(errno, rule, {
      field: 'iova',
      text: `${hex(area.start)} to ${hex(area.last)} of ${nameOf(ioas)} would be cut at ${hex(start)}, ${text}`,
      wanted: 'whole areas',
      because: [ioas],
    });
  if (area.pages.kind === 'dmabuf' && refuse('EOPNOTSUPP', 'compat.cut-dmabuf', 'and is a dma-buf')) return true;
  const alignment = alignmentOf(ioas);
  const skewed = start % alignment !== 0n || ((area.pages.start % PAGE) + area.offset + (start - area.start)) % alignment !== 0n;
  if (skewed && refuse('EINVAL', 'compat.cut-alignment', `which is not aligned to ${hex(alignment)}`)) return true;
  return area.pins.length > 0 && refuse('EINVAL', 'compat.cut-pinned', 'and its pages are pinned');
}

/** Calls of VFIO that an iommufd does not emulate. */
const absent: Rule = (c) => {
  c.refuse('ENOTTY', 'call.unknown', { text: `an iommufd does not emulate ${c.command.name}` });
};

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_VFIO_IOAS: vfioIoas,
  VFIO_GET_API_VERSION: version,
  VFIO_CHECK_EXTENSION: checkExtension,
  VFIO_SET_IOMMU: setIommu,
  VFIO_IOMMU_GET_INFO: getInfo,
  VFIO_IOMMU_MAP_DMA: mapDma,
  VFIO_IOMMU_UNMAP_DMA: unmapDma,
  VFIO_IOMMU_ENABLE: absent,
  VFIO_IOMMU_DISABLE: absent,
  VFIO_IOMMU_DIRTY_PAGES: absent,
};
