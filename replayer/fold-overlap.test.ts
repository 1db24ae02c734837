import { describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { decodeParts, FileKind, Kind, type Part } from '../store/frame.ts';
import { danglingReferences } from './invariants.ts';
import { folded, json, type Loose, object, objects, session } from './scenes.ts';
import { Script } from './script.ts';

const table = uapiTable('linux-7.2');

describe('calls that overlap', () => {
  test('a call stored before it returned does its work when it returns', () => {
    const s = session();
    const call = s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, {}, { entered: true });
    expect(json(s).calls).toMatchObject([{ seq: call, pid: 100, fd: 3 }]);
    expect(objects(s)).toEqual([]);
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x1000, length: 0x1000, iova: 0x1000 });
    expect(object(s, 1)).toMatchObject({ origin: 'inferred', createdAt: 4 });
    s.returns(call, 'IOMMU_IOAS_ALLOC', { out_ioas_id: 1 });
    expect(object(s, 1)).toMatchObject({ origin: 'observed', createdAt: 4, call, areas: [{ iova: '0x1000' }] });
    expect(json(s).calls).toEqual([]);
  });

  test('a call under way keeps its file open', () => {
    const s = session();
    const call = s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, {}, { entered: true });
    s.close(3);
    expect(json(s).contexts).toHaveLength(1);
    s.returns(call, 'IOMMU_IOAS_ALLOC', { out_ioas_id: 1 });
    expect(json(s).contexts).toEqual([]);
  });

  test('a destroy that let an id be given again destroys the old object', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    // entered first, but it got the id that the destroy, entered later, has freed
    s.add({ ...frameOf(s, 'IOMMU_IOAS_ALLOC', { out_ioas_id: 1 }), tExit: BigInt(s.now + 9000) });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 1 });
    expect(object(s, 1)).toMatchObject({ createdAt: 4 });
    s.now += 20000;
    s.ioctl(3, 'IOMMU_DESTROY', { id: 1 });
    expect(objects(s)).toEqual([]);
  });

  function frameOf(s: Script, name: string, output: Record<string, number>): Parameters<Script['add']>[0] {
    const scratch = new Script(s.table);
    scratch.knows(3, 1, FileKind.IOMMUFD);
    scratch.ioctl(3, name, {}, output);
    const timeline = scratch.frames[0]!;
    return { kind: Kind.IOCTL, ...s.behind(3), request: s.table.byName(name)!.request, parts: partsOf(timeline) };
  }

  test('the calls of a process end with it', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, {}, { entered: true });
    s.exit();
    expect(json(s)).toMatchObject({ calls: [], contexts: [] });
  });
});

const partsOf = (frame: Buffer): Part[] => decodeParts(frame, 0);

describe('a log that begins late', () => {
  test('descriptor, context and objects are inferred from use', () => {
    const s = new Script(table);
    s.knows(8, 5, FileKind.IOMMUFD);
    s.ioctl(
      8,
      'IOMMU_HW_QUEUE_ALLOC',
      { viommu_id: 6, type: 1, index: 0, nesting_parent_iova: 0x1000, length: 0x1000 },
      { out_hw_queue_id: 9 },
    );
    expect(objects(s)).toMatchObject([
      { id: 6, type: 'VIOMMU', origin: 'inferred' },
      { id: 9, type: 'HW_QUEUE', origin: 'observed', parents: { viommu: 6 } },
    ]);
    const found = danglingReferences(folded(s));
    expect(found.map((f) => f.text)).toEqual(['file 5 was open before the log shows it', 'VIOMMU 6 is used, and no event made it']);
  });

  test('a destroy of something that was never seen leaves nothing', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_DESTROY', { id: 4 });
    expect(json(s).contexts[0]).toMatchObject({ objects: [], ended: [{ id: 4 }] });
  });

  test('an inferred type gives way to what later calls show', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_HWPT_INVALIDATE', { hwpt_id: 4, data_type: 1 });
    expect(object(s, 4).type).toBe('HWPT_NESTED');
    s.ioctl(3, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 4, type: 1, veventq_depth: 2 }, { out_veventq_id: 5, out_veventq_fd: 9 });
    expect(object(s, 4)).toMatchObject({ type: 'VIOMMU', origin: 'inferred' });
  });

  test('a recorder that gives no file numbers: descriptors tell files apart', () => {
    const s = new Script(table);
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 });
    s.ioctl(4, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    expect(json(s).contexts.map((c: Loose) => c.objects.length)).toEqual([2, 1]);
  });
});
