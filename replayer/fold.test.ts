import { describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { decodeParts, FileKind, Fork, Found, Kind, makeArgs, makePart, type Part, PartKind, Start, State } from '../store/frame.ts';
import { digest, stateJson } from './digest.ts';
import { foldInto } from './fold.ts';
import { brokenInvariants, danglingReferences } from './invariants.ts';
import { longs, Script, words } from './script.ts';
import { emptyState, type SessionState } from './state.ts';
import { Timeline } from './timeline.ts';
import { changesText, namesFor } from './words.ts';

const table = uapiTable('linux-7.2');
const SELFTEST_TYPE = 0xdead_beef;
const VEVENT_TYPE = 0xbeef_beef;

function fold(script: Script): SessionState {
  const state = foldInto(emptyState(), script.source(), script.table);
  expect(brokenInvariants(state)).toEqual([]);
  return state;
}

/** What the last event did, in words. */
function lastWords(script: Script): string[] {
  const timeline = new Timeline(script.source(), { table: script.table });
  timeline.seek(script.seq - 1);
  const changes = timeline.step();
  return changesText(changes, namesFor(timeline.state, changes));
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of a state, looked at by tests
type Loose = any;
const json = (script: Script): Loose => stateJson(fold(script));
const objects = (script: Script, context = 0): Loose[] => json(script).contexts[context].objects;
const object = (script: Script, id: number): Loose => objects(script).find((o) => o.id === id);
const users = (script: Script, id: number): number => object(script, id).users;

/** A process with an iommufd at fd 3. */
function session(dialect: Parameters<typeof uapiTable>[0] = 'linux-7.2'): Script {
  const s = new Script(uapiTable(dialect));
  s.start(Start.EXEC);
  s.open(3);
  return s;
}

/** The fixed ids of the kernel's iommufd_viommu fixture: IOAS 1, SELFTEST 2, DEVICE 3, auto HWPT 4, parent 5, VIOMMU 6, nested 7. */
function viommuSession(): Script {
  const s = session();
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.test(3, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_idev_id: 3, out_hwpt_id: 4 });
  s.ioctl(3, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 5 });
  const viommu = { type: SELFTEST_TYPE, dev_id: 3, hwpt_id: 5, data_len: 24, data_uptr: 0x7000 };
  const data = Buffer.concat([words(1, 1), longs(0x1000, 0x2000)]);
  s.ioctl(3, 'IOMMU_VIOMMU_ALLOC', viommu, { out_viommu_id: 6 }, { nestedIn: { data_uptr: data }, nestedOut: { data_uptr: data } });
  s.ioctl(3, 'IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4 }, { out_hwpt_id: 7 });
  return s;
}

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
    expect(danglingReferences(fold(s))).toEqual([]);
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
    const before = digest(fold(s));
    s.ioctl(3, 'IOMMU_DESTROY', { id: 6 }, {}, { error: 16 });
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', { flags: 1 }, { out_ioas_id: 9 }, { error: 95 });
    s.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', { viommu_id: 99, type: 1, index: 1 }, {}, { error: 2 });
    expect(digest(fold(s))).toBe(before);
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

describe('the file is what counts', () => {
  test('closing the last descriptor ends the context, youngest objects first', () => {
    const s = viommuSession();
    s.dup(3, 4);
    s.close(3);
    expect(json(s).contexts[0].fds).toEqual([{ pid: 100, fd: 4 }]);
    s.close(4);
    expect(lastWords(s).slice(0, 3)).toEqual([
      'closes fd 4 of 100',
      'ends HWPT_NESTED 7 (the iommufd is released)',
      'ends VIOMMU 6 (the iommufd is released)',
    ]);
    expect(json(s).contexts).toEqual([]);
  });

  test('a mapping keeps the iommufd open, and every piece of it holds the VIOMMU', () => {
    const s = viommuSession();
    s.mmap(3, 0x7f00_0000, 0x2000, 0x1000);
    expect(users(s, 6)).toBe(3);
    s.close(3);
    expect(json(s).contexts).toHaveLength(1);
    s.munmap(0x7f00_0000, 0x1000);
    expect(users(s, 6)).toBe(3);
    expect(json(s).contexts[0].mmaps).toMatchObject([{ address: '0x7f001000', length: '0x1000', offset: '0x2000', viommu: 6 }]);
    s.munmap(0x7f00_1000, 0x1000);
    expect(json(s).contexts).toEqual([]);
  });

  test('unmapping the middle leaves two pieces; mremap moves one', () => {
    const s = viommuSession();
    s.mmap(3, 0x7f00_0000, 0x3000, 0x1000);
    s.munmap(0x7f00_1000, 0x1000);
    expect(users(s, 6)).toBe(4);
    s.mremap(0x7f00_2000, 0x1000, 0x1000, 0x5000_0000);
    expect(json(s).contexts[0].mmaps.map((m: Loose) => [m.address, m.offset])).toEqual([
      ['0x50000000', '0x3000'],
      ['0x7f000000', '0x1000'],
    ]);
    s.mremap(0x5000_0000, 0, 0x1000, 0x6000_0000);
    expect(users(s, 6)).toBe(5);
  });

  test('fault queue: its file holds it, and it holds the iommufd', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 1, out_fault_fd: 5 });
    expect(users(s, 1)).toBe(2);
    s.found(5, FileKind.FAULT);
    expect(object(s, 1)).toMatchObject({ users: 2, file: 2, open: true });
    s.close(3);
    expect(json(s).contexts).toHaveLength(1);
    s.close(5);
    expect(json(s).contexts).toEqual([]);
  });

  test('a closed fault queue can be destroyed: only its id holds it', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 1, out_fault_fd: 5 });
    s.found(5, FileKind.FAULT);
    s.close(5);
    expect(object(s, 1)).toMatchObject({ users: 1, open: false });
  });

  test('faults: a cookie is outstanding from its read to its answer', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 1, out_fault_fd: 5 });
    s.found(5, FileKind.FAULT);
    const fault = (cookie: number): Buffer => Buffer.concat([words(2, 3, 0, 7, 1, 0), longs(0x1000), words(0, cookie)]);
    s.read(5, Buffer.concat([fault(1), fault(1), fault(2)]));
    expect(object(s, 1)).toMatchObject({ reads: 1, faults: 3, cookies: [{ cookie: 1, device: 3, group: 7, faults: 2 }, { cookie: 2 }] });
    s.write(5, words(1, 0, 2, 0), 8);
    expect(object(s, 1)).toMatchObject({ responses: 1, cookies: [{ cookie: 2 }] });
  });

  test('vEVENTQ: sequence and losses', () => {
    const s = viommuSession();
    s.ioctl(3, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: VEVENT_TYPE, veventq_depth: 2 }, { out_veventq_id: 8, out_veventq_fd: 5 });
    s.found(5, FileKind.VEVENTQ);
    s.read(5, words(0, 0, 0x99, 0, 1, 0x99, 1, 2));
    expect(object(s, 8)).toMatchObject({ depth: 2, events: 2, lost: 1, sequence: 2, users: 2 });
    s.read(5, words(0, 5, 0x99));
    expect(object(s, 8)).toMatchObject({ events: 3, lost: 3, sequence: 5, reads: 2 });
    expect(users(s, 6)).toBe(3);
  });
});

describe('processes', () => {
  test('a child holds what its parent held', () => {
    const s = viommuSession();
    s.mmap(3, 0x7f00_0000, 0x2000, 0x1000);
    s.fork(200);
    s.pid = 200;
    s.start(Start.FORK, 100, '');
    expect(json(s).contexts[0].fds).toEqual([
      { pid: 100, fd: 3 },
      { pid: 200, fd: 3 },
    ]);
    expect(users(s, 6)).toBe(4);
    s.pid = 100;
    s.exit();
    expect(json(s).contexts[0].fds).toEqual([{ pid: 200, fd: 3 }]);
    expect(users(s, 6)).toBe(3);
    s.pid = 200;
    s.exit(7);
    expect(json(s).contexts).toEqual([]);
    expect(json(s).processes.map((p: Loose) => [p.pid, p.live, p.status])).toEqual([
      [100, false, 0],
      [200, false, 7],
    ]);
  });

  test('a child whose fork was not seen is told by its START', () => {
    const s = session();
    s.knows(3, 1, FileKind.IOMMUFD, 200);
    s.pid = 200;
    s.start(Start.FORK, 100, '');
    expect(json(s).contexts[0].fds).toHaveLength(2);
  });

  test('exec: only descriptors that are reported stay, and the context lives through it', () => {
    const s = viommuSession();
    s.dup(3, 4);
    s.start(Start.EXEC, 1, '/bin/next');
    expect(json(s).contexts).toHaveLength(1);
    s.found(4, FileKind.IOMMUFD, Found.INHERITED, 1);
    s.knows(4, 1, FileKind.IOMMUFD);
    s.ioctl(4, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 8 });
    expect(json(s).contexts[0].fds).toEqual([{ pid: 100, fd: 4 }]);
    expect(objects(s)).toHaveLength(8);
    expect(danglingReferences(fold(s))).toEqual([]);
  });

  test('exec: close-on-exec descriptors are gone when the image goes on', () => {
    const s = viommuSession();
    s.start(Start.EXEC, 1, '/bin/next');
    s.exit();
    expect(json(s).contexts).toEqual([]);
  });

  test('exec: a START that tells how many descriptors follow settles it at once', () => {
    const s = viommuSession();
    s.dup(3, 4);
    s.start(Start.EXEC, 1, '/bin/next', 1);
    s.found(4, FileKind.IOMMUFD, Found.INHERITED, 1);
    expect(json(s).processes[0]).toMatchObject({ fds: [{ fd: 4, file: 1 }] });
    expect(json(s).processes[0].before).toBeUndefined();
    s.start(Start.EXEC, 1, '/bin/last', 0);
    expect(json(s).contexts).toEqual([]);
  });

  test('a vfork child has descriptors of its own and shares memory', () => {
    const s = viommuSession();
    s.mmap(3, 0x7f00_0000, 0x2000, 0x1000);
    const fork = s.add({ kind: Kind.FORK, request: Fork.VFORK, state: State.ENTERED });
    s.knows(3, 1, FileKind.IOMMUFD, 200);
    s.pid = 200;
    s.vfork(true);
    s.close(3);
    expect(json(s).processes.find((p: Loose) => p.pid === 200)).toMatchObject({ parent: 100, memory: 100, fds: [] });
    s.exit(1);
    s.vfork(false);
    s.pid = 100;
    s.add({ kind: Kind.RETURN, ret: 200n, parts: [makeArgs(fork)] });
    expect(json(s).contexts[0]).toMatchObject({ fds: [{ pid: 100, fd: 3 }], mmaps: [{ pid: 100 }] });
    expect(json(s).calls).toEqual([]);
  });

  test('a descriptor in a message holds its file, whatever is logged first', () => {
    for (const receivedFirst of [false, true]) {
      const s = session();
      s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
      s.fork(200);
      s.pid = 200;
      s.start(Start.FORK, 100, '');
      s.close(3);
      const send = (): void => {
        s.pid = 100;
        s.add({ kind: Kind.SENDFD, ...s.behind(3), ret: 1n, parts: [makeArgs(7, 0)] });
        if (!receivedFirst) s.close(3);
      };
      const receive = (): void => {
        s.pid = 200;
        s.found(9, FileKind.IOMMUFD, Found.RECEIVED, 1);
      };
      if (receivedFirst) receive();
      send();
      if (receivedFirst) s.close(3);
      expect(json(s).contexts).toHaveLength(1);
      if (!receivedFirst) receive();
      expect(json(s).contexts[0].fds).toEqual([{ pid: 200, fd: 9 }]);
      expect(json(s).sent).toEqual([]);
      s.pid = 200;
      s.close(9);
      expect(json(s).contexts).toEqual([]);
    }
  });

  test('close_range and dup2 over a descriptor', () => {
    const s = session();
    s.open(5);
    s.dup(3, 5);
    expect(json(s).contexts.map((c: Loose) => c.context)).toEqual([1]);
    s.add({ kind: Kind.CLOSE, request: 2, parts: [makeArgs(4, 0xffff_ffff, 4)] });
    expect(json(s).contexts[0].fds).toHaveLength(2);
    s.add({ kind: Kind.CLOSE, request: 2, parts: [makeArgs(4, 0xffff_ffff, 0)] });
    expect(json(s).contexts[0].fds).toEqual([{ pid: 100, fd: 3 }]);
  });

  test('EBADF: a descriptor that was closed unseen', () => {
    const s = session();
    s.ioctl(3, 'IOMMU_IOAS_MAP_FILE', { ioas_id: 1, fd: 99 }, {}, { error: 9 });
    expect(json(s).contexts).toHaveLength(1);
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, {}, { error: 9 });
    expect(json(s).contexts).toEqual([]);
  });

  test('what was lost is counted', () => {
    const s = session();
    s.add({ kind: Kind.GAP, request: 1, ret: 12n });
    s.add({ kind: Kind.GAP, request: 1, ret: 3n });
    expect(json(s).dropped).toBe(15);
  });
});

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
    const found = danglingReferences(fold(s));
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
    expect(danglingReferences(fold(s))).toEqual([]);
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
    expect(danglingReferences(fold(s))).toEqual([]);
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
    const before = digest(fold(s));
    s.test(3, 'MD_CHECK_MAP', 4, { iova: 0x100_0000, length: 0x1000, uptr: 0x7000 });
    s.test(3, 'TRIGGER_IOPF', 0, { dev_id: 3 });
    s.test(3, 'DEV_CHECK_CACHE', 3);
    s.test(3, 'SET_TEMP_MEMORY_LIMIT', 0, { limit: 65536 });
    expect(digest(fold(s))).toBe(before);
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
