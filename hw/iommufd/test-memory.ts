/**
 * IOMMU_TEST_CMD where it is about memory: accesses and their files, comparing mappings and pins.
 * What a page of memory is, the state does not know: it knows which address of which process an IOVA stands for. So where the
 * kernel compares pages, the same address of the same process is the same page, as far as can be told.
 * drivers/iommu/iommufd/selftest.c.
 */
import {
  addressOf,
  BY_INDEX,
  contiguous,
  copyable,
  indexedIova,
  itemsOf,
  joinRefused,
  moveAccess,
  type Piece,
  type Pinned,
  pin,
  pinnable,
  pinnedFiles,
  pinnedIn,
  type Reach,
  spanOf,
  unpin,
} from './access.ts';
import { overlaps, PAGE, TOP, touching } from './areas.ts';
import type { Call, Move, Place } from './call.ts';
import { find, insert, missing, object } from './objects.ts';
import { MEMORY, PHYSICAL, UNSEEN } from './reasons.ts';
import type { Access, HwptPaging } from './state.ts';
import { hex, nameOf } from './words.ts';

type Op = (c: Call) => void;

/** Most that an access copies or pins, bytes. */
const MOST = 16n << 20n;
const ACCESS_WRITE = 1;
const RW_SLOW_PATH = 4;

function unknownBits(c: Call, field: string, known: number): boolean {
  const flags = c.u32(field);
  if ((flags & ~known) === 0) return false;
  return c.refuse('EOPNOTSUPP', 'test.flags', {
    field,
    text: `flags ${hex(flags)} have unknown bits (${hex((flags & ~known) >>> 0)})`,
    wanted: `only bits of ${hex(known)}`,
  });
}

const addReserved: Op = (c) => {
  const [start, length] = [c.u64('add_reserved.start'), c.u64('add_reserved.length')];
  if (length === 0n && c.refuse('EINVAL', 'test.reserved-length', { field: 'add_reserved.length', text: 'length is 0' })) return;
  const range = { start, last: start + length - 1n };
  const text = `${hex(start)} + ${hex(length)} goes over the end of the address space`;
  if (range.last > TOP && c.refuse('EOVERFLOW', 'test.reserved-overflow', { field: 'add_reserved.start', text })) return;
  const ioas = object(c, 'id', 'IOAS');
  if (ioas === undefined) return;
  const area = touching(ioas, range)[0];
  const clash = area ?? ioas.allowed.find((a) => overlaps(a, range));
  if (
    clash !== undefined &&
    c.refuse('EADDRINUSE', 'test.reserved-used', {
      field: 'add_reserved.start',
      text: `${spanOf(range)} overlaps ${spanOf(clash)} of ${nameOf(ioas)}, which is ${area ? `mapped at event ${area.birth}` : 'allowed'}`,
      wanted: 'a range that is neither mapped nor allowed',
      because: [ioas],
    })
  )
    return;
  c.then(() => ioas.reserved.push({ ...range, owner: undefined }));
};

// ---- accesses ----

const NEEDS_PINS = 1;

const createAccess: Op = (c) => {
  if (unknownBits(c, 'create_access.flags', NEEDS_PINS)) return;
  const pins = (c.u32('create_access.flags') & NEEDS_PINS) !== 0;
  const id = c.newId('');
  const ioas = object(c, 'id', 'IOAS');
  if (ioas === undefined || joinRefused(c, ioas, pins, 'id')) return;
  const access: Access = { type: 'ACCESS', id, context: c.context, birth: c.request.seq, users: 1, ioas, pins, nextItem: 0, owner: 'mock' };
  c.newFile('create_access.out_access_fd', { kind: 'access', context: c.context, object: access });
  c.then(() => {
    insert(access);
    ioas.users++;
    ioas.accesses.push(access);
  });
};

/** The access that the field `id` names as a descriptor; undefined where the call was refused or it is not known. */
function accessOf(c: Call): Access | undefined {
  const fd = c.u32('id') | 0;
  const file = c.request.fileOf(fd);
  if (file !== undefined && file !== 'unknown' && file.object?.type === 'ACCESS' && file.kind === 'access') return file.object;
  if (file === 'unknown') {
    // closed, or of a kind that is not followed, unless it is an access from before the log
    for (const errno of ['ENOENT', 'EINVAL', 'EPERM', 'EFAULT', 'EOPNOTSUPP', 'EOVERFLOW'])
      if (c.mayRefuse(errno, UNSEEN, 'test.access-fd')) return undefined;
    c.mayPass(UNSEEN);
  }
  const text =
    file === undefined
      ? `there is no descriptor ${fd}`
      : `descriptor ${fd} is no access${file === 'unknown' ? ' that the log knows' : ` (${file.kind})`}`;
  c.refuse('EBADFD', 'test.access-fd', { field: 'id', text, wanted: 'a descriptor of CREATE_ACCESS' });
  return undefined;
}

const tooLong = (c: Call, field: string): boolean =>
  c.u64(field) > MOST &&
  c.refuse('ENOMEM', 'test.access-limit', { field, text: `length ${hex(c.u64(field))} is more than 16 MiB`, wanted: '16 MiB at most' });

const accessPages: Op = (c) => {
  if (tooLong(c, 'access_pages.length') || unknownBits(c, 'access_pages.flags', ACCESS_WRITE | BY_INDEX)) return;
  const flags = c.u32('access_pages.flags');
  const access = accessOf(c);
  if (access === undefined) return;
  if (
    !access.pins &&
    c.refuse('EOPNOTSUPP', 'test.access-no-pins', {
      field: 'id',
      text: `${nameOf(access)} was made without NEEDS_PIN_PAGES`,
      because: [access],
    })
  )
    return;
  const given = c.u64('access_pages.iova');
  const r: Reach = {
    access,
    ioas: access.ioas,
    iova: (flags & BY_INDEX) !== 0 ? indexedIova(access, given) : given,
    length: c.u64('access_pages.length'),
    write: (flags & ACCESS_WRITE) !== 0,
    iovaField: 'access_pages.iova',
    lengthField: 'access_pages.length',
  };
  const pieces = pinnable(c, r);
  if (pieces === undefined || otherPages(c, pieces, c.u64('access_pages.uptr'))) return;
  const item = access.nextItem;
  c.set('access_pages.out_access_pages_id', item);
  c.already(() => {
    access.nextItem = item + 1;
  });
  c.then(() => pin(pieces, access, item));
};

/** Are the pinned pages those of the program's address? A NULL address asks for no comparison. → true where the call ends */
function otherPages(c: Call, pieces: readonly Piece[], address: bigint): boolean {
  if (address === 0n) return false;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.access-pages')) return true;
  const differs = differing(c, pieces, address);
  if (differs === undefined) return c.mayRefuse('EBADE', MEMORY, 'test.access-pages');
  c.mayPass(MEMORY);
  return c.refuse('EBADE', 'test.access-differs', { field: 'access_pages.uptr', text: differs });
}

/**
 * Does memory that is mapped begin at an address of the caller? What speaks against it, in words; undefined where nothing
 * does: of files and of other processes' memory it cannot be told.
 */
function differing(c: Call, pieces: readonly Piece[], address: bigint): string | undefined {
  const first = pieces[0]?.start ?? 0n;
  for (const { area, start } of pieces) {
    const { pages } = area;
    if (pages.kind === 'dmabuf') return `${spanOf(area)} is a dma-buf`;
    if (pages.kind === 'file' || pages.process !== c.request.process) continue;
    const [there, here] = [addressOf(area, start), address + (start - first)];
    if (there !== here) return `${hex(start)} stands for address ${hex(there)} of process ${pages.process}, not for ${hex(here)}`;
  }
  return undefined;
}

const destroyPages: Op = (c) => {
  const access = accessOf(c);
  if (access === undefined) return;
  const field = 'destroy_access_pages.access_pages_id';
  const item = c.u32(field);
  if (!itemsOf(access).has(item)) {
    const held = [...itemsOf(access)];
    const wanted = held.length === 0 ? undefined : `one of ${held.join(', ')}`;
    if (c.refuse('ENOENT', 'test.access-item', { field, text: `${nameOf(access)} holds no item ${item}`, wanted, because: [access] }))
      return;
  }
  c.keepStruct();
  c.then(() => unpin(access, new Set([item])));
};

const accessRw: Op = (c) => {
  if (tooLong(c, 'access_rw.length') || unknownBits(c, 'access_rw.flags', ACCESS_WRITE | RW_SLOW_PATH | BY_INDEX)) return;
  const flags = c.u32('access_rw.flags');
  const access = accessOf(c);
  if (access === undefined) return;
  const write = (flags & ACCESS_WRITE) !== 0;
  if (write && c.mayRefuse('EFAULT', MEMORY, 'test.access-rw')) return;
  const given = c.u64('access_rw.iova');
  const iova = (flags & BY_INDEX) !== 0 ? indexedIova(access, given) : given;
  const address = c.u64('access_rw.uptr');
  const length = c.u64('access_rw.length');
  const r: Reach = { access, ioas: access.ioas, iova, length, write, iovaField: 'access_rw.iova', lengthField: 'access_rw.length' };
  const done: Piece[] = [];
  const moves = (): Move[] => done.map((p) => moveOf(c, p, address + (p.start - iova), write));
  // what is written stays written, whatever becomes of the rest
  if (write) c.copies(moves);
  if (!copyable(c, r, done)) return;
  c.keepStruct();
  if (write || c.mayRefuse('EFAULT', MEMORY, 'test.access-rw')) return;
  c.copies(moves);
};

/** What goes between a piece of mapped memory and an address of the caller. */
function moveOf(c: Call, piece: Piece, address: bigint, write: boolean): Move {
  const [own, mapped] = [programPlace(c, address), placeOf(piece)];
  return { from: write ? own : mapped, to: write ? mapped : own, length: piece.last - piece.start + 1n };
}

const programPlace = (c: Call, address: bigint): Place => ({ process: c.request.process, file: undefined, address });

function placeOf({ area, start }: Piece): Place {
  const { kind, process, file } = area.pages;
  return { process: kind === 'user' ? process : undefined, file, address: addressOf(area, start) };
}

const replaceIoas: Op = (c) => {
  const access = accessOf(c);
  if (access === undefined) return;
  if (access.ioas === undefined) {
    c.refuse('ENOENT', 'access.detached', { field: 'id', text: `${nameOf(access)} is attached to no IOAS`, because: [access] });
    return;
  }
  // the id is one of the context that the access was made in, which need not be the caller's
  const field = 'access_replace_ioas.ioas_id';
  const ioas = find(access.context, c.u32(field), ['IOAS']);
  if (ioas === undefined) {
    c.refuse('ENOENT', 'object.lookup', { field, text: missing(access.context, c.u32(field), ['IOAS']), wanted: 'the id of IOAS' });
    return;
  }
  if (ioas !== access.ioas && joinRefused(c, ioas, access.pins, field)) return;
  c.keepStruct();
  c.then(() => moveAccess(access, ioas));
};

// ---- comparisons ----

const checkMap: Op = (c) => {
  const [iova, length, address] = [c.u64('check_map.iova'), c.u64('check_map.length'), c.u64('check_map.uptr')];
  const odd = (page: bigint, because: readonly HwptPaging[]): boolean => {
    const field = [
      iova % page !== 0n ? 'check_map.iova' : '',
      length % page !== 0n ? 'check_map.length' : '',
      address % page !== 0n || address + length > TOP ? 'check_map.uptr' : '',
    ].find((f) => f !== '');
    if (field === undefined) return false;
    const text = `${field.slice(10)} ${hex(c.u64(field))} is not aligned to the mock page of ${hex(page)}, or goes over the end`;
    return c.refuse('EINVAL', 'test.check-alignment', { field, text, wanted: `multiples of ${hex(page)}`, because });
  };
  const early = c.traits.mockTables === 'array';
  if (early && odd(PAGE / 2n, [])) return;
  const hwpt = object(c, 'id', 'HWPT_PAGING');
  if (hwpt === undefined || (!early && odd(hwpt.driver.pageSize, [hwpt]))) return;
  c.keepStruct();
  if (length === 0n) return;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.check-map')) return;
  const { pieces, hole } = contiguous(hwpt.ioas, { start: iova, last: iova + length - 1n });
  const gone = pieces.find((p) => p.area.pages.revoked);
  const differs = gone !== undefined ? `${spanOf(gone.area)} is a dma-buf that was revoked` : differing(c, pieces, address);
  if (differs !== undefined) {
    c.mayPass(MEMORY);
    if (c.refuse('EINVAL', 'test.map-differs', { field: 'check_map.uptr', text: differs, because: [hwpt, hwpt.ioas] })) return;
  }
  if (hole !== undefined) {
    const text = `nothing is mapped at ${hex(hole)} in ${nameOf(hwpt.ioas)}`;
    if (c.refuse('EINVAL', 'test.map-hole', { field: 'check_map.iova', text, because: [hwpt, hwpt.ioas] })) return;
  }
  c.mayRefuse('EINVAL', MEMORY, 'test.check-map');
};

const checkRefs: Op = (c) => {
  const [length, address, refs] = [c.u64('check_refs.length'), c.u64('check_refs.uptr'), c.u32('check_refs.refs')];
  const text = `${hex(address)} + ${hex(length)} is not whole pages, or goes over the end`;
  if (
    (address % PAGE !== 0n || length % PAGE !== 0n || address + length > TOP) &&
    c.refuse('EINVAL', 'test.refs-alignment', { field: 'check_refs.uptr', text, wanted: 'whole pages' })
  )
    return;
  c.keepStruct();
  if (length === 0n) return;
  if (c.mayRefuse('EFAULT', MEMORY, 'test.check-refs')) return;
  const range = { start: address, last: address + length - 1n };
  const pinned = pinnedIn(c.kernel.contexts.values(), c.request.process, range);
  const wrong = wronglyPinned(pinned, range, refs);
  if (wrong === undefined || (wrong.count < refs && pinnedFiles(c.kernel.contexts.values()) >= refs - wrong.count)) {
    c.mayRefuse('EIO', MEMORY, 'test.check-refs');
    return;
  }
  // huge pages are passed over, and so is what other processes pin of memory that they share
  c.mayPass(PHYSICAL);
  const said = `the page at ${hex(wrong.address)} is pinned ${wrong.count} times, not ${refs}`;
  c.refuse('EIO', 'test.refs-differ', { field: 'check_refs.refs', text: said, wanted: `${wrong.count}` });
};

/** The first page of a range that is not pinned so often. */
function wronglyPinned(
  pinned: readonly Pinned[],
  range: { start: bigint; last: bigint },
  refs: number,
): { address: bigint; count: number } | undefined {
  // the count changes where a stretch begins or ends, so only there has it to be taken
  const edges = [range.start, ...pinned.flatMap((p) => [p.start, p.last + 1n])]
    .filter((a) => a >= range.start && a <= range.last)
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  for (const address of edges) {
    const count = new Set(pinned.filter((p) => p.start <= address && p.last >= address).map((p) => p.pages)).size;
    if (count !== refs) return { address, count };
  }
  return undefined;
}

const memoryLimit: Op = (c) => {
  const limit = c.u32('memory_limit.limit');
  if (limit < 12 && c.refuse('EINVAL', 'test.memory-limit', { field: 'memory_limit.limit', text: `limit ${limit}`, wanted: '12 at least' }))
    return;
  c.keepStruct();
  c.then(() => {
    c.kernel.memoryLimit = limit;
  });
};

/** By name without IOMMU_TEST_OP_. */
export const memoryOps: Readonly<Record<string, Op>> = {
  ADD_RESERVED: addReserved,
  MD_CHECK_MAP: checkMap,
  MD_CHECK_REFS: checkRefs,
  CREATE_ACCESS: createAccess,
  DESTROY_ACCESS_PAGES: destroyPages,
  ACCESS_PAGES: accessPages,
  ACCESS_RW: accessRw,
  ACCESS_REPLACE_IOAS: replaceIoas,
  SET_TEMP_MEMORY_LIMIT: memoryLimit,
};
