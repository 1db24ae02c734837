/** IOMMU_TEST_CMD: pages that the mock driver is told are dirty, and dma-bufs. drivers/iommu/iommufd/selftest.c. */
import { PAGE } from './areas.ts';
import type { Call } from './call.ts';
import { forgetDirty, markDirty } from './mock.ts';
import { object } from './objects.ts';
import { MEMORY, UNSEEN } from './reasons.ts';
import type { OpenFile } from './state.ts';
import { hex, nameOf } from './words.ts';

type Op = (c: Call) => void;

/** Most bits of a bitmap. */
const MOST_BITS = 2n ** 27n;

const dirty: Op = (c) => {
  const [iova, length, page] = [c.u64('dirty.iova'), c.u64('dirty.length'), c.u64('dirty.page_size')];
  const wrong =
    page === 0n || length === 0n
      ? 'page_size or length is 0'
      : iova % page !== 0n || length % page !== 0n
        ? `${hex(iova)} or ${hex(length)} is no multiple of page_size ${hex(page)}`
        : c.u64('dirty.uptr') === 0n
          ? 'the bitmap is NULL'
          : '';
  if (wrong !== '' && c.refuse('EINVAL', 'test.dirty', { field: 'dirty.page_size', text: wrong })) return;
  const bits = page === 0n ? 0n : length / page;
  if (
    bits > MOST_BITS &&
    c.refuse('EOVERFLOW', 'test.dirty-bits', { field: 'dirty.length', text: `${bits} pages`, wanted: `${MOST_BITS} at most` })
  )
    return;
  const hwpt = object(c, 'id', 'HWPT_PAGING');
  if (hwpt === undefined) return;
  if (
    !hwpt.dirtyTracking &&
    c.refuse('EINVAL', 'test.dirty-off', {
      field: 'id',
      text: `${nameOf(hwpt)} does not track dirty pages`,
      wanted: 'SET_DIRTY_TRACKING before',
      because: [hwpt],
    })
  )
    return;
  const bitmap = c.nested('dirty.uptr');
  const bytes = Number((bits + 7n) / 8n);
  if (bitmap === undefined || bitmap.bytes.length < bytes) {
    if (c.mayRefuse('EFAULT', MEMORY, 'test.dirty')) return;
    c.undetermined('dirty.out_nr_dirty', bitmap === undefined ? UNSEEN : MEMORY);
    return;
  }
  const set: bigint[] = [];
  for (let i = 0; i < Number(bits); i++) if ((bitmap.bytes[i >> 3]! & (1 << (i & 7))) !== 0) set.push(iova + BigInt(i) * page);
  c.set('dirty.out_nr_dirty', markDirty(c, hwpt, set, page));
};

// ---- dma-bufs ----

const dmabufGet: Op = (c) => {
  const length = BigInt(c.u32('dmabuf_get.length'));
  const whole = ((length + PAGE - 1n) / PAGE) * PAGE;
  if (
    (length === 0n || whole > 512n * PAGE) &&
    c.refuse('EINVAL', 'test.dmabuf-length', { field: 'dmabuf_get.length', text: `length ${hex(length)}`, wanted: '1 byte to 512 pages' })
  )
    return;
  c.keepStruct();
  c.returnsFile({ kind: 'dmabuf', context: undefined, object: undefined, length: whole, revoked: false });
};

const dmabufRevoke: Op = (c) => {
  const fd = c.s32('dmabuf_revoke.dmabuf_fd');
  const file = c.request.fileOf(fd);
  c.keepStruct();
  if (file === 'unknown') {
    for (const errno of ['EBADF', 'EINVAL', 'EOPNOTSUPP']) if (c.mayRefuse(errno, UNSEEN, 'test.dmabuf-fd')) return;
    return;
  }
  if (file?.kind !== 'dmabuf') {
    const text = file === undefined ? `there is no descriptor ${fd}` : `descriptor ${fd} is no dma-buf`;
    c.refuse(file === undefined ? 'EBADF' : 'EINVAL', 'test.dmabuf-fd', { field: 'dmabuf_revoke.dmabuf_fd', text });
    return;
  }
  const revoked = c.u32('dmabuf_revoke.revoked') !== 0;
  c.then(() => revoke(c, file, revoked));
};

/** Mappings of the dma-buf end for good, even where it is told that it is valid (again); new ones come as it says. */
function revoke(c: Call, file: OpenFile, revoked: boolean): void {
  file.revoked = revoked;
  for (const context of c.kernel.contexts.values()) {
    for (const o of context.objects.values()) {
      if (o.type !== 'IOAS') continue;
      for (const area of o.areas) {
        if (area.pages.kind !== 'dmabuf' || area.pages.file !== file.file) continue;
        area.pages.revoked = true;
        forgetDirty(o, area);
      }
    }
  }
}

/** By name without IOMMU_TEST_OP_. */
export const bufferOps: Readonly<Record<string, Op>> = {
  DIRTY: dirty,
  DMABUF_GET: dmabufGet,
  DMABUF_REVOKE: dmabufRevoke,
};
