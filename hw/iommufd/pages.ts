/** Memory that a call maps: of the program, or of a file. drivers/iommu/iommufd/pages.c and io_pagetable.c. */
import { PAGE, TOP } from './areas.ts';
import type { Call } from './call.ts';
import { UNSEEN } from './reasons.ts';
import type { Pages } from './state.ts';
import { hex, nameOf } from './words.ts';

/** Is it a file that is known to have no pages? MAP_FILE takes any, and pinning takes a memfd alone. */
export const noMemory = (pages: Pages): boolean => pages.kind === 'file' && pages.fileKind !== undefined && pages.fileKind !== 'other';

/** Are there registers in what is to be pinned of the caller's memory? They have no pages. → true where the call ends */
export function registersIn(c: Call, field: string | undefined, pages: Pages, offset: bigint, length: bigint): boolean {
  if (pages.kind !== 'user' || pages.process !== c.request.process) return false;
  const found = c.request.registersAt?.(pages.start + offset, length);
  if (found === undefined) return false;
  const whose = found.object === undefined ? 'a device' : nameOf(found.object);
  const since = found.seq > 0 ? `, by the mmap of event ${found.seq}` : '';
  return c.refuse('EFAULT', 'map.registers', {
    ...(field === undefined ? {} : { field }),
    text: `${hex(found.address)} is mapped from ${whose}${since}: registers, which have no pages of memory to pin`,
    wanted: 'memory of the program, or IOMMU_IOAS_MAP_FILE of a dma-buf',
    because: found.object === undefined ? [] : [found.object],
  });
}

/** A length that no mapping has. → true where the call ends */
export const noLength = (c: Call, length: bigint): boolean =>
  (length === 0n || length > TOP - PAGE) &&
  c.refuse('EINVAL', 'map.length', { field: 'length', text: `length ${hex(length)} is no length of a mapping`, wanted: 'more than 0' });

export const overflow = (start: bigint, length: bigint, of = 'address space'): string =>
  `${hex(start)} + ${hex(length)} goes over the end of the ${of}`;

/** Memory of the program, not yet mapped. → undefined where the call was refused. iopt_alloc_pages() */
export function userPages(c: Call, field: string, va: bigint, length: bigint, writable: boolean): Pages | undefined {
  if (c.traits.lengthBeforeSum && noLength(c, length)) return undefined;
  if (va + length > TOP && c.refuse('EOVERFLOW', 'map.memory-overflow', { field, text: overflow(va, length) })) return undefined;
  return { kind: 'user', process: c.request.process, start: va, length, writable, file: undefined, revoked: false };
}

/** Memory of a file; undefined where the call was refused. iopt_map_file_pages() */
export function filePages(c: Call, start: bigint, length: bigint, writable: boolean): Pages | undefined {
  const end = start + length;
  if (length === 0n && c.refuse('EINVAL', 'map.length', { field: 'length', text: 'length is 0', wanted: 'more than 0' })) return undefined;
  if (end - 1n > TOP && c.refuse('EOVERFLOW', 'map.memory-overflow', { field: 'start', text: overflow(start, length, 'file') }))
    return undefined;
  const fd = c.s32('fd');
  const found = c.request.fileOf(fd);
  if (
    found === undefined &&
    c.refuse('EBADF', 'map-file.fd', { field: 'fd', text: `there is no descriptor ${fd}`, wanted: 'an open file' })
  )
    return undefined;
  if (found === 'unknown' && c.mayRefuse('EBADF', UNSEEN, 'map-file.fd')) return undefined;
  const file = found === 'unknown' ? undefined : found;
  const dmabuf = file?.kind === 'dmabuf';
  if (dmabuf && file.length !== undefined && end > file.length) {
    const text = `${hex(start)} + ${hex(length)} is beyond the size of the dma-buf, ${hex(file.length)}`;
    if (c.refuse('EINVAL', 'map-file.size', { field: 'length', text, wanted: `${hex(file.length)} at most` })) return undefined;
  }
  if (dmabuf && file.revoked === true && c.refuse('ENODEV', 'map-file.revoked', { field: 'fd', text: 'the dma-buf was revoked' }))
    return undefined;
  return {
    kind: dmabuf ? 'dmabuf' : 'file',
    process: c.request.process,
    start,
    length,
    writable,
    file: file?.file,
    fileKind: file?.kind,
    revoked: false,
  };
}
