import { describe, expect, test } from 'vitest';
import { digest } from './digest.ts';
import { danglingReferences } from './invariants.ts';
import { folded, json, type Loose, lastWords, object, objects, SELFTEST_TYPE, session, users, viommuSession } from './scenes.ts';
import { longs, type Script, words } from './script.ts';

describe('objects', () => {
  test('an IOAS with an area', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 6, ioas_id: 1, user_va: 0x7f00_0000_0000, length: 0x2000 }, { iova: 0x100_0000 });
    expect(lastWords(s)).toEqual(['maps IOAS 1 0x1000000+0x2000']);
    expect(object(s, 1)).toMatchObject({
      type: 'IOAS',
      users: 1,
      createdAt: 3,
      areas: [{ iova: '0x1000000', length: '0x2000', flags: 6, kind: 'memory', user_va: '0x7f0000000000', seq: 4 }],
    });
  });

  test('the viommu fixture: parents, users and the automatic HWPT', () => {
    const s = viommuSession();
    const list = objects(s);
    expect(list.map((o) => [o.id, o.type])).toEqual([
      [1, 'IOAS'],
      [2, 'SELFTEST'],
      [3, 'DEVICE'],
      [4, 'HWPT_PAGING'],
      [5, 'HWPT_PAGING'],
      [6, 'VIOMMU'],
      [7, 'HWPT_NESTED'],
    ]);
    expect(list.map((o) => o.users)).toEqual([3, 1, 3, 2, 2, 2, 1]);
    expect(list[3]).toMatchObject({ auto: true, parents: { ioas: 1 } });
    expect(list[6]).toMatchObject({ parents: { parent: 6, device: 3 } });
    expect(list[5]).toMatchObject({ region: { offset: '0x1000', length: '0x2000' }, parents: { hwpt: 5, device: 3 } });
    expect(danglingReferences(folded(s))).toEqual([]);
  });

  test('replacing the automatic HWPT ends it', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 }, { out_vdevice_id: 8 });
    s.test(3, 'MOCK_DOMAIN_REPLACE', 2, { pt_id: 7 }, { pt_id: 7 });
    expect(lastWords(s)).toEqual(['moves DEVICE 3 to HWPT_NESTED 7', 'ends HWPT_PAGING 4 (automatic, last attachment gone)']);
    expect(users(s, 7)).toBe(2);
    expect(users(s, 6)).toBe(3);
    s.test(3, 'MOCK_DOMAIN_REPLACE', 2, { pt_id: 1 }, { pt_id: 4 });
    expect(lastWords(s)).toEqual(['creates HWPT_PAGING 4', 'moves DEVICE 3 to HWPT_PAGING 4']);
    expect(users(s, 7)).toBe(1);
  });

  test('destroying the mock device buries its virtual device', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 }, { out_vdevice_id: 8 });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 2 });
    expect(lastWords(s)).toEqual([
      'detaches DEVICE 3 from HWPT_PAGING 4',
      'ends HWPT_PAGING 4 (automatic, last attachment gone)',
      'buries VDEVICE 8 (its DEVICE went first; the id stays taken)',
      'destroys DEVICE 3',
      'destroys SELFTEST 2',
    ]);
    expect(json(s).contexts[0].tombstones).toEqual([8]);
    expect(users(s, 6)).toBe(2);
  });

  test('an id that is used again is another object', () => {
    const s = session();
    for (let i = 0; i < 3; i++) {
      s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
      if (i < 2) s.ioctl(3, 'IOMMU_DESTROY', { id: 1 });
    }
    expect(object(s, 1).createdAt).toBe(7);
    s.ioctl(3, 'IOMMU_DESTROY', { id: 1 });
    expect(json(s).contexts[0].ended).toEqual([{ id: 1, type: 'IOAS', createdAt: 7, endedAt: 8, how: 'destroy' }]);
  });

  test('a refused call changes nothing', () => {
    const s = viommuSession();
    const before = digest(folded(s));
    s.ioctl(3, 'IOMMU_DESTROY', { id: 6 }, {}, { error: 16 });
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', { flags: 1 }, { out_ioas_id: 9 }, { error: 95 });
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', { viommu_id: 99, type: 1, index: 1 }, {}, { error: 2 });
    expect(digest(folded(s))).toBe(before);
  });

  test('hardware queues: order, and the ACCESS that no call tells of', () => {
    const s = viommuSession();
    const queue = { viommu_id: 6, type: SELFTEST_TYPE, nesting_parent_iova: 0x100_0000, length: 0x1000 };
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', { ...queue, index: 0 }, { out_hw_queue_id: 8 });
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', { ...queue, index: 1 }, { out_hw_queue_id: 10 });
    expect([users(s, 8), users(s, 10), users(s, 6), users(s, 1)]).toEqual([2, 1, 4, 5]);
    expect(object(s, 1).references.filter((r: Loose) => r.by === 'internal ACCESS')).toEqual([
      { by: 'internal ACCESS', queue: 8 },
      { by: 'internal ACCESS', queue: 10 },
    ]);
    s.ioctl(3, 'IOMMU_DESTROY', { id: 10 });
    expect([users(s, 8), users(s, 6), users(s, 1)]).toEqual([1, 3, 4]);
  });

  test('dirty tracking, hardware information and options are kept', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_HWPT_SET_DIRTY_TRACKING', { hwpt_id: 5, flags: 1 });
    s.ioctl(3, 'IOMMU_GET_HW_INFO', { dev_id: 3 }, { out_data_type: 0xfeed_beef, out_capabilities: 9, out_max_pasid_log2: 20 });
    s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 0, object_id: 1, val64: 0 });
    s.ioctl(3, 'IOMMU_OPTION', { option_id: 0, op: 1 }, { val64: 1 });
    s.ioctl(3, 'IOMMU_IOAS_CHANGE_PROCESS');
    expect(object(s, 5).dirtyTracking).toBe(true);
    expect(object(s, 3).hardware).toEqual({ type: 0xfeed_beef, capabilities: '0x9', pasidBits: 20 });
    expect(object(s, 1).hugePages).toBe(false);
    expect(json(s).contexts[0]).toMatchObject({ rlimitMode: 1, accountedTo: 100 });
  });
});

describe('areas', () => {
  function mapped(...at: number[]): Script {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    for (const iova of at) s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: iova, length: 0x1000, iova });
    return s;
  }
  const areas = (s: Script, id = 1): string[] => object(s, id).areas.map((a: Loose) => `${a.iova}+${a.length}`);

  test('unmap takes away what lies in the range', () => {
    const s = mapped(0x1000, 0x3000, 0x2000, 0x9000);
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x1000, length: 0x3000 }, { length: 0x3000 });
    expect(areas(s)).toEqual(['0x9000+0x1000']);
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0, length: 0xffff_ffff_ffff_ffffn }, { length: 0x1000 });
    expect(areas(s)).toEqual([]);
  });

  test('an unmap that fails has removed the areas before the one that stopped it', () => {
    const s = mapped(0x1000, 0x2000, 0x3000);
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x1000, length: 0x2800 }, {}, { error: 2 });
    expect(areas(s)).toEqual(['0x3000+0x1000']);
  });

  test('a hardware queue stops an unmap', () => {
    const s = viommuSession();
    for (const iova of [0x100_0000, 0x100_1000, 0x100_2000]) {
      s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: iova, length: 0x1000, iova });
    }
    const queue = { viommu_id: 6, type: SELFTEST_TYPE, nesting_parent_iova: 0x100_1000, length: 0x800 };
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', queue, { out_hw_queue_id: 8 });
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x100_0000, length: 0x3000 }, {}, { error: 16 });
    expect(areas(s)).toEqual(['0x1001000+0x1000', '0x1002000+0x1000']);
  });

  test('an unmap whose answer could not be written has been done', () => {
    const s = mapped(0x1000);
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x1000, length: 0x1000 }, {}, { error: 14 });
    expect(areas(s)).toEqual([]);
  });

  test('copies are cut into pieces that remember their source', () => {
    const s = mapped(0x1000, 0x2000);
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 });
    s.ioctl(3, 'IOMMU_IOAS_COPY', { flags: 6, dst_ioas_id: 2, src_ioas_id: 1, length: 0x1800, src_iova: 0x1800 }, { dst_iova: 0x8000 });
    expect(object(s, 2).areas).toMatchObject([
      { iova: '0x8000', length: '0x800', user_va: '0x1800', flags: 6 },
      { iova: '0x8800', length: '0x1000', user_va: '0x2000', flags: 6 },
    ]);
    s.ioctl(
      3,
      'IOMMU_IOAS_COPY',
      { flags: 0x1_0006, dst_ioas_id: 2, src_ioas_id: 1, length: 0x800, src_iova: 0x800_0000_0001n },
      { dst_iova: 0x2_0000 },
    );
    expect(object(s, 2).areas[2]).toMatchObject({ iova: '0x20000', user_va: '0x2800' });
  });

  test('files keep their descriptor and offset, addresses their 64 bits', () => {
    const s = mapped();
    s.ioctl(3, 'IOMMU_IOAS_MAP_FILE', { flags: 7, ioas_id: 1, fd: 9, start: 0x4000, length: 0x1000, iova: 0xffff_ffff_ffff_0000n });
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x1000, length: 0x1000, iova: 0x1000 });
    expect(object(s, 1).areas).toMatchObject([
      { iova: '0x1000', kind: 'memory' },
      { iova: '0xffffffffffff0000', kind: 'file', fd: 9, offset: '0x4000' },
    ]);
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0xffff_ffff_ffff_0000n, length: 0x1000 });
    expect(areas(s)).toEqual(['0x1000+0x1000']);
  });

  test('ranges: allowed, reserved, usable', () => {
    const s = mapped();
    s.ioctl(
      3,
      'IOMMU_IOAS_ALLOW_IOVAS',
      { ioas_id: 1, num_iovas: 1, allowed_iovas: 0x7000 },
      {},
      { nestedIn: { allowed_iovas: longs(0x1000, 0x1fff) } },
    );
    s.test(3, 'ADD_RESERVED', 1, { start: 0x9000, length: 0x1000 });
    const given = { ioas_id: 1, num_iovas: 1, allowed_iovas: 0x7000 };
    s.ioctl(
      3,
      'IOMMU_IOAS_IOVA_RANGES',
      given,
      { num_iovas: 2, out_iova_alignment: 4096 },
      { error: 90, nestedOut: { allowed_iovas: longs(0, 0x8fff) } },
    );
    expect(object(s, 1)).toMatchObject({
      allowed: [{ start: '0x1000', last: '0x1fff' }],
      reserved: [{ start: '0x9000', last: '0x9fff' }],
      usable: { ranges: [{ start: '0x0', last: '0x8fff' }], total: 2, alignment: '0x1000' },
    });
    s.ioctl(3, 'IOMMU_IOAS_ALLOW_IOVAS', { ioas_id: 1, num_iovas: 0 });
    expect(object(s, 1).allowed).toEqual([]);
  });

  test('a map where the state has an area puts the kernel in the right', () => {
    const s = mapped(0x1000, 0x2000);
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0, length: 0x1000, iova: 0x1800 });
    expect(lastWords(s)).toEqual(['unmaps IOAS 1 0x1000+0x1000', 'unmaps IOAS 1 0x2000+0x1000', 'maps IOAS 1 0x1800+0x1000']);
  });
});

describe('dialects', () => {
  test('vcmdq-v1: parameters in a nested struct, nothing pinned, no order', () => {
    const s = session('vcmdq-v1');
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.ioctl(
      3,
      'IOMMU_VIOMMU_ALLOC',
      { type: 2, dev_id: 2, hwpt_id: 3, data_len: 16, data_uptr: 8 },
      { out_viommu_id: 4 },
      { nestedOut: { data_uptr: longs(0, 0x1_0000) } },
    );
    const data = Buffer.concat([words(1, 8), longs(0x8001_0000)]);
    s.ioctl(
      3,
      'IOMMU_VCMDQ_ALLOC',
      { viommu_id: 4, type: 1, data_len: 16, data_uptr: 8 },
      { out_vcmdq_id: 5 },
      { nestedIn: { data_uptr: data } },
    );
    expect(object(s, 5)).toMatchObject({ type: 'HW_QUEUE', index: 1, iova: '0x80010000', length: '0x1000', parents: { viommu: 4 } });
    s.mmap(3, 0x7f00_0000, 0x1_0000, 0);
    expect([users(s, 4), users(s, 1)]).toEqual([2, 1]);
  });

  test('vcmdq-v3 and hw-queue-v5: inline parameters, mappings hold, no ACCESS', () => {
    for (const [dialect, name, out, address] of [
      ['vcmdq-v3', 'IOMMU_VQUEUE_ALLOC', 'out_vqueue_id', 'addr'],
      ['hw-queue-v5', 'IOMMU_HW_QUEUE_ALLOC', 'out_hw_queue_id', 'nesting_parent_iova'],
    ] as const) {
      const s = session(dialect);
      s.ioctl(3, name, { viommu_id: 4, type: 1, index: 1, [address]: 0x9000, length: 0x1000 }, { [out]: 5 });
      expect(object(s, 5)).toMatchObject({ type: 'HW_QUEUE', index: 1, iova: '0x9000', length: '0x1000' });
      s.ioctl(3, 'IOMMU_DESTROY', { id: 5 });
      expect(objects(s).map((o) => o.id)).toEqual([4]);
    }
  });
});
