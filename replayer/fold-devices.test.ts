import { describe, expect, test } from 'vitest';
import { FileKind, Kind, makePart, type Part, PartKind } from '../store/frame.ts';
import { digest } from './digest.ts';
import { danglingReferences } from './invariants.ts';
import { folded, json, type Loose, lastWords, object, objects, session, users, viommuSession } from './scenes.ts';
import { type Script, words } from './script.ts';

describe('VFIO', () => {
  function bound(): Script {
    const s = session();
    s.open(6, FileKind.VFIO_DEVICE, '/dev/vfio/devices/vfio0');
    s.ioctl(6, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 3 }, { out_devid: 1 });
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 });
    return s;
  }

  test('bind, attach, replace, detach', () => {
    const s = bound();
    s.ioctl(6, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 2 }, { pt_id: 3 });
    expect(object(s, 3)).toMatchObject({ type: 'HWPT_PAGING', auto: true, users: 2, parents: { ioas: 2 } });
    expect(users(s, 1)).toBe(3);
    s.ioctl(3, 'IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: 2, flags: 8 }, { out_hwpt_id: 4 });
    s.ioctl(6, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 4 }, { pt_id: 4 });
    expect(object(s, 3)).toBeUndefined();
    s.ioctl(6, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: 1, pt_id: 4, pasid: 9 }, { pt_id: 4 });
    expect(object(s, 1).attachments).toMatchObject([
      { pasid: 0, hwpt: 4 },
      { pasid: 9, hwpt: 4 },
    ]);
    expect(users(s, 4)).toBe(3);
    s.ioctl(6, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 1, pasid: 9 });
    s.ioctl(6, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', {});
    expect(users(s, 4)).toBe(1);
    expect(danglingReferences(folded(s))).toEqual([]);
  });

  test('the device keeps the iommufd open; closing it unbinds', () => {
    const s = bound();
    s.ioctl(6, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 2 }, { pt_id: 3 });
    s.dup(3, 4);
    s.close(3);
    s.close(6);
    expect(objects(s).map((o) => o.id)).toEqual([2]);
    expect(lastWords(s)).toContain('ends DEVICE 1 (its file is closed)');
  });

  test('an emulated device is an ACCESS, as its attach shows', () => {
    const s = bound();
    s.ioctl(6, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 2 }, { pt_id: 2 });
    expect(object(s, 1)).toMatchObject({ type: 'ACCESS', users: 2, parents: { ioas: 2 } });
    expect(users(s, 2)).toBe(2);
    s.close(3);
    s.close(6);
    expect(json(s).contexts).toEqual([]);
  });

  test('regions, interrupts and eventfds', () => {
    const s = bound();
    s.ioctl(6, 'VFIO_DEVICE_GET_REGION_INFO', { index: 0 }, { flags: 7, size: 0x4000, offset: 0 });
    s.ioctl(6, 'VFIO_DEVICE_GET_REGION_INFO', { index: 2 }, { flags: 7, size: 0x1000, offset: 0x200_0000_0000 });
    s.ioctl(6, 'VFIO_DEVICE_GET_IRQ_INFO', { index: 2 }, { flags: 9, count: 3 });
    s.ioctl(6, 'VFIO_DEVICE_SET_IRQS', { flags: 0x24, index: 2, start: 0, count: 3 }, {}, { tail: words(20, 21, -1) });
    s.mmap(6, 0x7000_0000, 0x1000, 0x200_0000_0000);
    const file = json(s).files.find((f: Loose) => f.kind === 'VFIO_DEVICE');
    expect(file).toMatchObject({
      regions: [
        { index: 0, size: '0x4000' },
        { index: 2, offset: '0x20000000000' },
      ],
      irqs: [{ index: 2, count: 3 }],
      triggers: [
        { index: 2, sub: 0, fd: 20 },
        { index: 2, sub: 1, fd: 21 },
      ],
    });
    expect(json(s).contexts[0].mmaps).toMatchObject([{ region: 2 }]);
    s.ioctl(6, 'VFIO_DEVICE_SET_IRQS', { flags: 0x24, index: 2, start: 0, count: 1 }, {}, { tail: words(-1) });
    expect(json(s).files.find((f: Loose) => f.kind === 'VFIO_DEVICE').triggers).toMatchObject([{ sub: 1 }]);
    s.ioctl(6, 'VFIO_DEVICE_SET_IRQS', { flags: 0x21, index: 2, start: 0, count: 0 });
    expect(json(s).files.find((f: Loose) => f.kind === 'VFIO_DEVICE').triggers).toBeUndefined();
  });

  test('devices of a group that moved with another one are not left on a HWPT that is gone', () => {
    const s = bound();
    s.open(7, FileKind.VFIO_DEVICE, '/dev/vfio/devices/vfio1');
    s.ioctl(7, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 3 }, { out_devid: 3 });
    s.ioctl(3, 'IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: 2 }, { out_hwpt_id: 4 });
    s.ioctl(3, 'IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: 2 }, { out_hwpt_id: 5 });
    for (const fd of [6, 7]) s.ioctl(fd, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 4 }, { pt_id: 4 });
    s.ioctl(6, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 5 }, { pt_id: 5 });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 4 });
    expect(danglingReferences(folded(s))).toEqual([]);
  });

  test('type1: the IOAS behind it is hidden until it is asked for', () => {
    const s = session();
    s.open(8, FileKind.VFIO_GROUP, '/dev/vfio/1');
    s.ioctl(8, 'VFIO_GROUP_SET_CONTAINER', {}, {});
    const fd = words(3);
    s.frames.pop();
    s.add({ kind: Kind.IOCTL, ...s.behind(8), request: s.table.byName('VFIO_GROUP_SET_CONTAINER')!.request, parts: [{ ...inPart(fd) }] });
    expect(objects(s)).toMatchObject([{ id: null, type: 'IOAS', compat: true }]);
    s.ioctl(3, 'VFIO_IOMMU_MAP_DMA', { flags: 3, vaddr: 0x7000, iova: 0x1000, size: 0x4000 });
    s.ioctl(3, 'IOMMU_VFIO_IOAS', { op: 0 }, { ioas_id: 1 });
    expect(object(s, 1)).toMatchObject({ compat: true, areas: [{ iova: '0x1000', length: '0x4000', flags: 7 }] });
    s.ioctl(3, 'VFIO_IOMMU_UNMAP_DMA', { iova: 0x2000, size: 0x1000 }, { size: 0x1000 });
    expect(object(s, 1).areas).toMatchObject([
      { iova: '0x1000', length: '0x1000', user_va: '0x7000' },
      { iova: '0x3000', length: '0x2000', user_va: '0x9000' },
    ]);
    s.add({ kind: Kind.IOCTL, ...s.behind(8), request: s.table.byName('VFIO_GROUP_GET_DEVICE_FD')!.request, ret: 9n });
    expect(objects(s).map((o) => [o.id, o.type, o.users])).toEqual([
      [1, 'IOAS', 2],
      [null, 'DEVICE', 3],
      [null, 'HWPT_PAGING', 2],
    ]);
    s.found(9, FileKind.VFIO_DEVICE);
    s.close(3);
    s.close(8);
    expect(json(s).contexts).toHaveLength(1);
    s.close(9);
    expect(json(s)).toMatchObject({ contexts: [], files: [] });
  });
});

const inPart = (bytes: Uint8Array): Part => makePart(PartKind.IN, bytes);

describe('the selftest', () => {
  test('a mock access: file, pins, and what unmapping does to them', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 });
    for (const iova of [0x1000, 0x2000]) s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: iova, length: 0x1000, iova });
    s.test(3, 'CREATE_ACCESS', 1, { flags: 1 }, { out_access_fd: 5 });
    s.found(5, FileKind.ACCESS);
    expect(users(s, 1)).toBe(2);
    s.test(3, 'ACCESS_PAGES', 5, { iova: 0x1000, length: 0x800 }, { out_access_pages_id: 0 });
    s.test(3, 'ACCESS_PAGES', 5, { iova: 0x2000, length: 0x800 }, { out_access_pages_id: 1 });
    const access = (): Loose => objects(s).find((o) => o.type === 'ACCESS');
    expect(access()).toMatchObject({ id: null, users: 2, pins: [{ item: 0 }, { item: 1 }] });
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x1000, length: 0x1000 });
    expect(access().pins).toMatchObject([{ item: 1, iova: '0x2000' }]);
    s.test(3, 'DESTROY_ACCESS_PAGES', 5, { access_pages_id: 1 });
    expect(access().pins).toEqual([]);
    s.test(3, 'ACCESS_REPLACE_IOAS', 5, { ioas_id: 2 });
    expect([users(s, 1), users(s, 2)]).toEqual([1, 2]);
    s.close(5);
    expect(objects(s).map((o) => o.type)).toEqual(['IOAS', 'IOAS']);
  });

  test('an access keeps the iommufd open', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.test(3, 'CREATE_ACCESS', 1, { flags: 1 }, { out_access_fd: 5 });
    s.found(5, FileKind.ACCESS);
    s.close(3);
    expect(json(s).contexts).toHaveLength(1);
    s.close(5);
    expect(json(s).contexts).toEqual([]);
  });

  test('PASIDs of a mock device', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 1, flags: 8 }, { out_hwpt_id: 8 });
    s.test(3, 'PASID_ATTACH', 2, { pasid: 100, pt_id: 8 }, { pt_id: 8 });
    expect([users(s, 8), users(s, 3)]).toEqual([2, 4]);
    s.test(3, 'PASID_REPLACE', 2, { pasid: 100, pt_id: 7 }, { pt_id: 7 });
    expect([users(s, 8), users(s, 7)]).toEqual([1, 2]);
    s.test(3, 'PASID_DETACH', 2, { pasid: 100 });
    s.test(3, 'PASID_DETACH', 2, { pasid: 100 });
    expect([users(s, 7), users(s, 3)]).toEqual([1, 3]);
  });

  test('dma-bufs', () => {
    const s = session();
    s.test(3, 'DMABUF_GET', 0, { length: 4096 }, {}, { ret: 7 });
    s.found(7, FileKind.DMABUF);
    s.test(3, 'DMABUF_REVOKE', 0, { dmabuf_fd: 7, revoked: 1 });
    expect(json(s).files.find((f: Loose) => f.kind === 'DMABUF')).toMatchObject({ file: 2, revoked: true, holders: 1 });
    s.close(7);
    expect(json(s).files).toHaveLength(1);
  });

  test('operations that change nothing change nothing', () => {
    const s = viommuSession();
    const before = digest(folded(s));
    s.test(3, 'MD_CHECK_MAP', 4, { iova: 0x100_0000, length: 0x1000, uptr: 0x7000 });
    s.test(3, 'TRIGGER_IOPF', 0, { dev_id: 3 });
    s.test(3, 'DEV_CHECK_CACHE', 3);
    s.test(3, 'SET_TEMP_MEMORY_LIMIT', 0, { limit: 65536 });
    expect(digest(folded(s))).toBe(before);
  });
});
