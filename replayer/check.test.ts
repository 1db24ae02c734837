/** The rules against what real kernels answered: the recorded sessions of fixtures/traces. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errnoName } from '../hw/errno.ts';
import { brokenRules } from '../hw/iommufd/invariants.ts';
import { FileKind, FRAME_AT, FrameCursor, Kind, makeArgs, Rw } from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { Checker, check } from './check.ts';
import { tableOf } from './fold.ts';
import { session } from './scenes.ts';
import { words } from './script.ts';
import { why } from './why.ts';

const folder = join(import.meta.dirname, '../fixtures/traces');
const names = readdirSync(folder).filter((name) => /^(vmm|vfio|selftest)-.*\.irr$/.test(name));

function withTrace<T>(name: string, act: (reader: TraceReader) => T): T {
  const reader = TraceReader.open(join(folder, name));
  try {
    return act(reader);
  } finally {
    reader.close();
  }
}

describe.each(names)('%s', (name) => {
  test('every answer is as the rules say', () => {
    const report = withTrace(name, (reader) => check(reader, tableOf(reader.meta)));
    expect(report.disagreements).toEqual([]);
    // what a device itself answers is its driver's
    expect([...report.unknown.keys()].filter((call) => !call.startsWith('VFIO_DEVICE_'))).toEqual([]);
    const open = [...report.unpredictable.values()].reduce((a, b) => a + b, 0);
    expect(report.predicted).toBeGreaterThan(20);
    expect(open).toBeLessThanOrEqual(2);
  });

  test("the state of the rules' kernel hangs together after every call", () => {
    withTrace(name, (reader) => {
      const checker = new Checker(tableOf(reader.meta), reader.last);
      const cursor = new FrameCursor();
      for (const batch of reader.scan()) {
        for (let i = 0; i < batch.count; i++) {
          checker.take(cursor.at(batch.buffer, batch.offsets[i]!), batch.first + i);
          if (!checker.awaited) expect(brokenRules(checker.model.kernel)).toEqual([]);
        }
      }
      expect(checker.model.kernel.contexts.size).toBe(0);
    });
  });

  test('every kind of failure is explained by a rule', () => {
    withTrace(name, (reader) => {
      const table = tableOf(reader.meta);
      const seen = new Set<string>();
      const cursor = new FrameCursor();
      for (const batch of reader.scan()) {
        for (let i = 0; i < batch.count; i++) {
          const f = cursor.at(batch.buffer, batch.offsets[i]!);
          // a bad descriptor never reaches iommufd
          if (f.kind !== Kind.IOCTL || f.error === 0 || f.file === 0 || (f.fileKind !== 1 && f.fileKind !== 2)) continue;
          const key = `${f.request} ${f.error}`;
          if (seen.has(key)) continue;
          seen.add(key);
          const found = why(reader, table, batch.first + i);
          if (name === 'vmm-6.12.irr' && found?.rule === 'test.mock-refused') continue;
          // a device's own call
          if (found === undefined && name.startsWith('vfio-')) continue;
          expect(found).toMatchObject({ errno: errnoName(f.error), otherwise: undefined });
          expect(found?.rule).not.toBe('');
          expect(found?.explanation).not.toMatch(/no rule explains/);
        }
      }
      expect(seen.size).toBeGreaterThan(2);
    });
  });
});

test.each(['vfio-7.2.irr', 'vfio-6.12.irr'])(
  '%s: registers of a BAR cannot be pinned, and why names the mapping and its device',
  (name) => {
    const EFAULT = 14;
    withTrace(name, (reader) => {
      const cursor = new FrameCursor();
      const failed: number[] = [];
      for (const batch of reader.scan())
        for (let i = 0; i < batch.count; i++) if (cursor.at(batch.buffer, batch.offsets[i]!).error === EFAULT) failed.push(batch.first + i);
      expect(failed).toHaveLength(1);
      expect(why(reader, tableOf(reader.meta), failed[0]!)).toMatchObject({
        call: 'IOMMU_IOAS_MAP',
        errno: 'EFAULT',
        rule: 'map.registers',
        field: 'user_va',
        explanation: expect.stringMatching(/^0x\w+ is mapped from DEVICE 1, by the mmap of event \d+: registers/),
        because: [{ type: 'DEVICE', object: 1 }],
        otherwise: undefined,
      });
    });
  },
);

test('what waits in the queues of real hardware is not foreseen; what is asked amiss is', () => {
  const s = session();
  s.open(6, FileKind.VFIO_DEVICE, '/dev/vfio/devices/vfio0');
  s.ioctl(6, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 3 }, { out_devid: 1 });
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 });
  s.ioctl(3, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 2 }, { out_hwpt_id: 3 });
  s.ioctl(3, 'IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: 1, hwpt_id: 3 }, { out_viommu_id: 4 });
  s.ioctl(3, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 4, type: 1, veventq_depth: 8 }, { out_veventq_id: 5, out_veventq_fd: 7 });
  s.found(7, FileKind.VEVENTQ);
  s.ioctl(3, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 6, out_fault_fd: 8 });
  s.found(8, FileKind.FAULT);
  const nested = { flags: 4, fault_id: 6, dev_id: 1, pt_id: 4, data_type: 2, data_len: 16, data_uptr: 0x7000 };
  s.ioctl(3, 'IOMMU_HWPT_ALLOC', nested, { out_hwpt_id: 7 }, { nestedIn: { data_uptr: new Uint8Array(16) } });
  const before = check(s.source(), s.table);
  s.read(7, Buffer.alloc(40));
  s.read(8, Buffer.alloc(40));
  s.write(8, words(1, 0), 8);
  const after = check(s.source(), s.table);
  expect(after.disagreements).toEqual([]);
  expect(after.predicted).toBe(before.predicted);
  expect(after.unpredictable.get('driver-private')).toBe((before.unpredictable.get('driver-private') ?? 0) + 3);
  // 7 bytes are no whole answer, whoever waits
  s.write(8, new Uint8Array(7), 7);
  expect(check(s.source(), s.table).disagreements).toMatchObject([{ call: 'write', predicted: 'ESPIPE', rule: 'fault-write.count' }]);
});

test('another kernel says otherwise exactly where the two differ', () => {
  const report = withTrace('vmm-7.2.irr', (reader) => check(reader, tableOf(reader.meta), { model: 'linux-6.12' }));
  // commands, operations and queues that 6.12 does not have, and what rests on them
  const young = /^IOMMU_(VIOMMU_ALLOC|VDEVICE_ALLOC|VEVENTQ_ALLOC|HW_QUEUE_ALLOC|IOAS_CHANGE_PROCESS|IOAS_MAP_FILE)$|^read$/;
  const rest = report.disagreements.filter((d) => !young.test(d.call));
  expect(report.disagreements.length - rest.length).toBeGreaterThan(20);
  expect([...new Set(rest.map((d) => d.rule || d.field))].sort()).toEqual([
    // UNMAP under a queue, which would not be there
    'errno',
    'hwpt-alloc.flags',
    'hwpt-alloc.parent',
    'mmap.none',
    'object.lookup',
    'out_capabilities',
    'test.device-flags',
    'test.op',
  ]);
});

test('a seeded difference is found at its place, and nowhere else', () => {
  withTrace('vmm-7.2.irr', (reader) => {
    const failures: number[] = [];
    const look = new FrameCursor();
    for (const batch of reader.scan()) {
      for (let i = 0; i < batch.count; i++) {
        const f = look.at(batch.buffer, batch.offsets[i]!);
        if (f.kind === Kind.IOCTL && f.error === 16 && f.fileKind === 1) failures.push(batch.first + i);
      }
    }
    expect(failures.length).toBeGreaterThan(5);
    for (const target of failures) {
      const checker = new Checker(tableOf(reader.meta), reader.last);
      const cursor = new FrameCursor();
      for (const batch of reader.scan()) {
        const buffer = Buffer.from(batch.buffer);
        for (let i = 0; i < batch.count; i++) {
          if (batch.first + i === target) buffer.writeInt32LE(5, batch.offsets[i]! + FRAME_AT.error);
          checker.take(cursor.at(buffer, batch.offsets[i]!), batch.first + i);
        }
      }
      expect(checker.report.disagreements.map((d) => [d.seq, d.field, d.predicted, d.observed])).toEqual([
        [target, 'errno', 'EBUSY', 'EIO'],
      ]);
    }
  });
});

test('lints: what is legal and still a sign of trouble', () => {
  const report = withTrace('vmm-7.2.irr', (reader) => check(reader, tableOf(reader.meta)));
  const texts = (rule: string): string[] => report.lints.filter((l) => l.rule === rule).map((l) => `${l.seq} ${l.text}`);
  expect(texts('events-lost')).toEqual(['92 VEVENTQ 11 has lost 1 event']);
  expect(texts('double-destroy')).toEqual(['184 IOAS 1 ended at event 183, and is destroyed again']);
  expect(texts('faults-unanswered')).toEqual(['178 FAULT 7 ends with 1 page fault unanswered']);
  expect(texts('destroy-order')).toContain('109 HW_QUEUE 12 is destroyed while it is in use');
  expect(texts('leak')).toEqual([]);
  const selftest = withTrace('selftest-viommu-7.2.irr', (reader) => check(reader, tableOf(reader.meta)));
  expect(selftest.lints.filter((l) => l.rule === 'tombstone')).toHaveLength(1);
  expect(selftest.lints.filter((l) => l.rule === 'leak').length).toBeGreaterThan(4);
});

test('a write that failed is only foreseen by its length: what it said is not in the log', () => {
  const s = session();
  s.ioctl(3, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 1, out_fault_fd: 5 });
  s.found(5, FileKind.FAULT);
  const failed = (bytes: number, error: number): number =>
    s.add({ kind: Kind.WRITE, request: Rw.PLAIN, ...s.behind(5), ret: -1n, error, parts: [makeArgs(bytes, -1)] });
  failed(8, 22);
  failed(12, 29);
  const wrong = failed(12, 22);
  const report = check(s.source(), s.table);
  expect([...report.unpredictable]).toEqual([['not in the log', 1]]);
  expect(report.disagreements.map((d) => [d.seq, d.rule])).toEqual([[wrong, 'fault-write.count']]);
});
