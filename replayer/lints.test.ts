/** What is legal and a sign of trouble, one session each. */
import { describe, expect, test } from 'vitest';
import { FileKind } from '../store/frame.ts';
import { check } from './check.ts';
import { LINTS, type Lint } from './lints.ts';
import { SELFTEST_TYPE, session, VEVENT_TYPE, viommuSession } from './scenes.ts';
import { longs, type Script, words } from './script.ts';

const found = (s: Script): readonly Lint[] => check(s.source(), s.table, {}).lints;
const said = (s: Script): string[] => found(s).map((l) => `${l.seq} ${l.rule}: ${l.text}`);

const EFAULT = 14;
const EIO = 5;
const EBUSY = 16;
const ENOENT = 2;

describe('lints', () => {
  test('objects and mappings that are left when the context ends', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x10000, length: 0x1000, iova: 0x100000 });
    const end = s.close(3);
    expect(said(s)).toEqual([`${end} leak: the context ends with IOAS 1 with 1 mapping still there`]);
  });

  test('a clean session has none', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 1 });
    s.close(3);
    expect(said(s)).toEqual([]);
  });

  test('an object destroyed twice', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    const first = s.ioctl(3, 'IOMMU_DESTROY', { id: 1 });
    const again = s.ioctl(3, 'IOMMU_DESTROY', { id: 1 }, {}, { error: ENOENT });
    expect(said(s)).toEqual([`${again} double-destroy: IOAS 1 ended at event ${first}, and is destroyed again`]);
  });

  test('HW queues destroyed in the wrong order', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x10000, length: 0x10000, iova: 0x1000000 });
    const queue = { viommu_id: 6, type: SELFTEST_TYPE, nesting_parent_iova: 0x1000000, length: 0x1000 };
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', { ...queue, index: 0 }, { out_hw_queue_id: 8 });
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', { ...queue, index: 1 }, { out_hw_queue_id: 10 });
    const early = s.ioctl(3, 'IOMMU_DESTROY', { id: 8 }, {}, { error: EBUSY });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 10 });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 8 });
    expect(said(s)).toEqual([`${early} destroy-order: HW_QUEUE 8 is destroyed while it is in use`]);
  });

  test('memory unmapped under a HW queue', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x10000, length: 0x10000, iova: 0x1000000 });
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x30000, length: 0x10000, iova: 0x2000000 });
    const queue = { viommu_id: 6, type: SELFTEST_TYPE, nesting_parent_iova: 0x100f000, length: 0x1000 };
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', queue, { out_hw_queue_id: 8 });
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x2000000, length: 0x10000 }, { length: 0x10000 });
    expect(said(s)).toEqual([]);
    const seq = s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x1000000, length: 0x10000 }, { length: 0x10000 });
    expect(said(s)).toEqual([`${seq} queue-unmapped: IOVA 0x1000000 is unmapped under HW_QUEUE 8`]);
  });

  test('memory of a HW queue that does not lie together', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x10000, length: 0x10000, iova: 0x1000000 });
    const queue = { viommu_id: 6, type: SELFTEST_TYPE, nesting_parent_iova: 0x1000000, length: 0x2000 };
    const seq = s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', queue, {}, { error: EFAULT });
    expect(said(s)).toEqual([`${seq} queue-memory: the 8192 bytes of the queue are not one piece of physical memory`]);
  });

  test('commands for an SMMUv3 that count as done, and were not sent', () => {
    const s = viommuSession();
    const send = (type: number, count: number, done: number): number =>
      s.ioctl(
        3,
        'IOMMU_HWPT_INVALIDATE',
        { hwpt_id: 6, data_type: type, entry_len: 16, entry_num: count, data_uptr: 0x1000 },
        { entry_num: done },
        { error: EIO },
      );
    const few = send(1, 10, 3);
    send(1, 70, 63); // a whole batch
    send(1, 1, 0);
    send(7, 10, 3); // what those are, nobody knows
    const many = send(1, 70, 67);
    expect(said(s)).toEqual([
      `${few} commands-dropped: 3 of the 3 commands that count as done were not sent`,
      `${many} commands-dropped: 4 of the 67 commands that count as done were not sent`,
    ]);
  });

  test('vEVENTs that were lost, and numbers missing that nobody told of', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: VEVENT_TYPE, veventq_depth: 2 }, { out_veventq_id: 8, out_veventq_fd: 5 });
    s.found(5, FileKind.VEVENTQ);
    // 0, 1, and one lost; then 5: 3 and 4 are missing
    const lost = s.read(5, words(0, 0, 0x99, 0, 1, 0x99, 1, 2));
    const gap = s.read(5, words(0, 5, 0x99));
    expect(said(s)).toEqual([
      `${lost} events-lost: VEVENTQ 8 has lost 1 event`,
      `${gap} sequence-gap: VEVENTQ 8: 2 numbers missing before 5, and none was told as lost`,
    ]);
  });

  test('page faults that nobody answered', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 1, out_fault_fd: 5 });
    s.found(5, FileKind.FAULT);
    s.read(5, Buffer.concat([words(2, 3, 0, 7, 1, 0), longs(0x1000), words(0, 1)]));
    s.close(5);
    const end = s.ioctl(3, 'IOMMU_DESTROY', { id: 1 });
    expect(said(s)).toEqual([`${end} faults-unanswered: FAULT 1 ends with 1 page fault unanswered`]);
  });

  test('a vDEVICE whose device goes first', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 }, { out_vdevice_id: 8 });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 7 });
    const gone = s.ioctl(3, 'IOMMU_DESTROY', { id: 2 });
    expect(said(s)).toContain(`${gone} tombstone: the device of VDEVICE 8 ends before it; id 8 is never used again`);
  });

  test('a mapping that outlives the descriptors of its context', () => {
    const s = viommuSession();
    s.mmap(3, 0x7f00_0000, 0x2000, 0x1000);
    s.close(3);
    const end = s.munmap(0x7f00_0000, 0x2000);
    expect(found(s).filter((l) => l.seq === end && l.rule === 'mapping-outlives')).toHaveLength(1);
  });

  test('each has its line in the list, and events that nobody read are told at the end', () => {
    expect(Object.keys(LINTS).sort()).toEqual([
      'commands-dropped',
      'destroy-order',
      'double-destroy',
      'events-lost',
      'events-unread',
      'faults-unanswered',
      'leak',
      'mapping-outlives',
      'queue-memory',
      'queue-stuck',
      'queue-unmapped',
      'queue-unrecovered',
      'sequence-gap',
      'tombstone',
    ]);
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: VEVENT_TYPE, veventq_depth: 2 }, { out_veventq_id: 8, out_veventq_fd: 5 });
    s.found(5, FileKind.VEVENTQ);
    s.ioctl(3, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 }, { out_vdevice_id: 9 });
    s.test(3, 'MOCK_DOMAIN_REPLACE', 2, { 'mock_domain_replace.pt_id': 7 });
    s.test(3, 'TRIGGER_VEVENT', 3, { 'trigger_vevent.dev_id': 3 });
    const end = s.close(5);
    expect(
      found(s)
        .filter((l) => l.rule === 'events-unread')
        .map((l) => l.seq),
    ).toEqual([end]);
  });
});
