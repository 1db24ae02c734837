import { describe, expect, test } from 'vitest';
import { FileKind, Fork, Found, Kind, makeArgs, Start, State } from '../store/frame.ts';
import { danglingReferences } from './invariants.ts';
import { folded, json, type Loose, lastWords, object, objects, session, users, VEVENT_TYPE, viommuSession } from './scenes.ts';
import { longs, words } from './script.ts';

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
    expect(danglingReferences(folded(s))).toEqual([]);
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
