/** Address spaces: IOMMU_IOAS_ALLOC, IOVA_RANGES, ALLOW_IOVAS. drivers/iommu/iommufd/ioas.c and io_pagetable.c. */
import { alignmentOf, iovaRanges, overlaps, PAGE, reservedAt } from './areas.ts';
import type { Call, Rule } from './call.ts';
import { insert, object } from './objects.ts';
import { DRIVER, MEMORY } from './reasons.ts';
import type { Area, Ioas, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

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
    queues: [],
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

/** An area that an alignment does not allow. */
export const misaligned = (ioas: Ioas, alignment: bigint): Area | undefined =>
  ioas.areas.find(
    (a) => a.start % alignment !== 0n || (a.last + 1n) % alignment !== 0n || ((a.pages.start + a.offset) % PAGE) % alignment !== 0n,
  );

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_IOAS_ALLOC: alloc,
  IOMMU_IOAS_IOVA_RANGES: ranges,
  IOMMU_IOAS_ALLOW_IOVAS: allow,
};
