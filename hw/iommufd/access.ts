/** Access objects: pages of an IOAS that a kernel user pins, reads and writes. drivers/iommu/iommufd/device.c and io_pagetable.c. */
import { PAGE, TOP, touching } from './areas.ts';
import type { Call } from './call.ts';
import type { Access, Area, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

/** The areas under a range that an access wants; undefined where the call was refused. `write`: pages will be written. */
export function reach(c: Call, access: Access, field: string, range: Range, write: boolean): Area[] | undefined {
  const { ioas } = access;
  if (ioas === undefined) {
    c.refuse('ENOENT', 'access.detached', { text: `${nameOf(access)} is attached to no IOAS`, because: [access] });
    return undefined;
  }
  const found: Area[] = [];
  let next = range.start;
  const hole = (): undefined => {
    c.refuse('ENOENT', 'access.hole', { field, text: `nothing is mapped at ${hex(next)} in ${nameOf(ioas)}`, because: [ioas] });
    return undefined;
  };
  for (const area of touching(ioas, range)) {
    if (area.start > next) return hole();
    if (
      write &&
      !area.write &&
      c.refuse('EPERM', 'access.read-only', {
        field,
        text: `${hex(area.start)} to ${hex(area.last)} is mapped without WRITEABLE`,
        because: [ioas],
      })
    )
      return undefined;
    if (
      !write &&
      !area.read &&
      c.refuse('EPERM', 'access.write-only', {
        field,
        text: `${hex(area.start)} to ${hex(area.last)} is mapped without READABLE`,
        because: [ioas],
      })
    )
      return undefined;
    found.push(area);
    next = area.last + 1n;
  }
  if (next <= range.last) return hole();
  return found;
}

/** The range of `length` bytes from `iova`; undefined where the call was refused. */
export function span(c: Call, field: string, iova: bigint, length: bigint): Range | undefined {
  if (length === 0n) {
    c.refuse('EINVAL', 'access.length', { field: field.replace('iova', 'length'), text: 'length is 0' });
    return undefined;
  }
  if (iova + length - 1n > TOP) {
    c.refuse('EOVERFLOW', 'access.overflow', { field, text: `${hex(iova)} + ${hex(length)} goes over the end of the address space` });
    return undefined;
  }
  return { start: iova, last: iova + length - 1n };
}

/** Pinning wants whole pages: the memory's offset in its page must be the address's. */
export function misplaced(area: Area, at: bigint): boolean {
  const memory = area.pages.start + area.offset + (at - area.start);
  return memory % PAGE !== at % PAGE;
}
