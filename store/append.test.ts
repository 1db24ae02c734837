import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { TraceWriter } from './append.ts';
import { encodeFrame, makeFrame } from './frame.ts';
import { TraceReader } from './read.ts';
import { anyFrameBytes, appendSynthetic, TEST_META, writeTrace } from './testing.ts';
import { verifyTrace } from './verify.ts';

const dir = mkdtempSync(join(tmpdir(), 'irr-append-'));
afterAll(() => rmSync(dir, { recursive: true }));
let files = 0;
const fresh = () => join(dir, `${++files}.irr`);

function allFrames(path: string): Buffer {
  const reader = TraceReader.open(path);
  const got: Buffer[] = [];
  for (const batch of reader.scan()) {
    got.push(Buffer.from(batch.buffer.subarray(batch.offsets[0], batch.offsets[batch.count])));
  }
  reader.close();
  return Buffer.concat(got);
}

const code = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
};

test('frames of every shape come back bit for bit, whenever they were flushed, and the trace verifies', () => {
  const steps = fc.array(fc.tuple(anyFrameBytes, fc.integer({ min: 0, max: 9 })), { maxLength: 60 });
  fc.assert(
    fc.property(steps, fc.boolean(), (list, interrupt) => {
      const path = fresh();
      let writer = TraceWriter.create(path, TEST_META);
      const wanted: Buffer[] = [];
      for (const [bytes, act] of list) {
        const seq = writer.append(bytes, 0, { call: `c${act}`, context: act, object: wanted.length });
        expect(seq).toBe(wanted.length + 1);
        const stored = Buffer.from(bytes);
        stored.writeBigUInt64LE(BigInt(seq), 0);
        wanted.push(stored);
        if (act < 2) writer.flush();
        if (act === 0 && interrupt) {
          writer.close();
          writer = TraceWriter.resume(path);
        }
      }
      writer.finish();
      expect(allFrames(path).equals(Buffer.concat(wanted))).toBe(true);
      expect(verifyTrace(path)).toMatchObject({ ok: true, problems: [], events: wanted.length });
      const reader = TraceReader.open(path);
      expect(reader.rows().map((r) => r.object)).toEqual(wanted.map((_, i) => i));
      reader.close();
      rmSync(path);
    }),
    { numRuns: 40 },
  );
});

test('rows say what the frames say, and the columns that the caller gave', () => {
  const path = fresh();
  const writer = TraceWriter.create(path, TEST_META);
  const base = TEST_META.clock.monotonicNs;
  const frame = { kind: 1, pid: 10, tid: 11, fd: 8, file: 2 };
  const add = (f: object, call: string) => writer.append(encodeFrame(makeFrame({ ...frame, ...f })), 0, { call, context: 2, object: 7 });
  add({ tEnter: base + 500n, tExit: base + 1500n, ret: -1n, error: 5 }, 'IOMMU_HW_QUEUE_ALLOC');
  add({ tEnter: base + 2_000_000_000n, tExit: base + 2_000_000_100n, ret: 0x7f00_1234_5000n, kind: 5, fd: -1 }, 'mmap');
  add({ tEnter: base + 400n, state: 1 }, '');
  add({ tEnter: base, tExit: base, kind: 13, ret: -9n }, 'exit');
  writer.finish();
  const reader = TraceReader.open(path);
  const common = { pid: 10, tid: 11, fd: 8, file: 2, context: 2, object: 7 };
  expect(reader.rows()).toEqual([
    { ...common, seq: 1, t: 500, took: 1000, kind: 'IOCTL', call: 'IOMMU_HW_QUEUE_ALLOC', ret: -1n, errno: 5, error: 'EIO' },
    { ...common, seq: 2, t: 2e9, took: 100, kind: 'MMAP', call: 'mmap', fd: -1, ret: 0x7f00_1234_5000n, errno: 0, error: null },
    { ...common, seq: 3, t: 400, took: null, kind: 'IOCTL', call: '', ret: 0n, errno: 0, error: null },
    { ...common, seq: 4, t: 0, took: 0, kind: 'EXIT', call: 'exit', ret: -9n, errno: 0, error: null },
  ]);
  reader.close();
});

test('a finished trace is one file, and sqlite3 alone answers what failed', () => {
  const path = writeTrace(fresh(), 20_000);
  for (const side of ['-wal', '-shm', '-journal']) expect(existsSync(path + side)).toBe(false);
  const db = new Database(path, { readonly: true });
  expect(db.pragma('journal_mode', { simple: true })).toBe('delete');
  const failed = db.prepare('select seq, call, errno, error from events where errno != 0').all();
  expect(failed.length).toBeGreaterThan(500);
  expect(failed[0]).toEqual({
    seq: expect.any(Number),
    call: expect.stringMatching(/^(IOMMU_|read)/),
    errno: expect.any(Number),
    error: expect.stringMatching(/^E/),
  });
  db.close();
});

test('the log is append-only', () => {
  const path = writeTrace(fresh(), 50);
  const db = new Database(path);
  for (const table of ['log', 'chunks', 'origins', 'clock', 'places']) {
    expect(() => db.exec(`DELETE FROM ${table}`), table).toThrow(/append-only/);
  }
  expect(() => db.exec('UPDATE log SET took = 0')).toThrow(/append-only/);
  expect(() => db.exec('UPDATE chunks SET failures = 0')).toThrow(/append-only/);
  db.close();
});

test('an existing file is not overwritten, and replaced only by a complete trace', () => {
  const path = fresh();
  writeFileSync(path, 'precious');
  expect(code(() => TraceWriter.create(path, TEST_META))).toBe('exists');
  const writer = TraceWriter.create(path, TEST_META, { force: true });
  expect(writer.livePath).not.toBe(path);
  appendSynthetic(writer, 10);
  writer.flush();
  expect(readFileSync(path, 'utf8')).toBe('precious');
  const follower = TraceReader.open(writer.livePath);
  expect(follower.count).toBe(10);
  follower.close();
  writer.finish();
  expect(existsSync(writer.livePath)).toBe(false);
  const reader = TraceReader.open(path);
  expect([reader.count, reader.meta.complete]).toEqual([10, true]);
  reader.close();
});

test('a second recording over the same file does not disturb the first', () => {
  const path = writeTrace(fresh(), 5);
  const writer = TraceWriter.create(path, TEST_META, { force: true });
  const second = () => TraceWriter.create(path, TEST_META, { force: true });
  expect(second).toThrow(expect.objectContaining({ code: 'exists', hint: expect.stringMatching(/another recording/) }));
  appendSynthetic(writer, 20);
  writer.finish();
  expect(verifyTrace(path)).toMatchObject({ ok: true, events: 20 });
});

test('what is no file is never replaced', () => {
  expect(code(() => TraceWriter.create(dir, TEST_META, { force: true }))).toBe('directory');
  expect(code(() => TraceWriter.create('/dev/null', TEST_META, { force: true }))).toBe('exists');
  expect(existsSync('/dev/null.partial')).toBe(false);
});

test('side files of a deleted trace are not taken for those of a new one', () => {
  const path = fresh();
  const old = TraceWriter.create(path, TEST_META);
  appendSynthetic(old, 100);
  old.flush();
  const wal = readFileSync(`${path}-wal`);
  old.close();
  rmSync(path);
  writeFileSync(`${path}-wal`, wal);
  writeTrace(path, 3);
  expect(verifyTrace(path)).toMatchObject({ ok: true, events: 3 });
});

test('events and position are stored together: what was not flushed is neither', () => {
  const path = fresh();
  const writer = TraceWriter.create(path, TEST_META);
  appendSynthetic(writer, 10_000);
  writer.position = 'spool 10000';
  writer.flush();
  appendSynthetic(writer, 9_000, 2); // fills a chunk, so rows are written, but not committed
  writer.position = 'spool 19000';
  writer.close();
  const again = TraceWriter.resume(path);
  expect([again.last, again.position]).toEqual([10_000, 'spool 10000']);
  appendSynthetic(again, 9_000, 2);
  again.position = 'spool 19000';
  again.setMeta({ dropped: 3 });
  again.finish();
  expect(verifyTrace(path)).toMatchObject({ ok: true, events: 19_000 });
  const whole = fresh();
  const once = TraceWriter.create(whole, TEST_META);
  appendSynthetic(once, 10_000);
  appendSynthetic(once, 9_000, 2);
  once.finish();
  expect(allFrames(path).equals(allFrames(whole))).toBe(true);
  const reader = TraceReader.open(path);
  expect(reader.meta.dropped).toBe(3);
  reader.close();
});

test('a finished trace cannot be continued', () => {
  const path = writeTrace(fresh(), 5);
  expect(code(() => TraceWriter.resume(path))).toBe('finished');
});

/** What a process that is killed now leaves: the files as they are. */
function killed(path: string): string {
  const left = fresh();
  for (const side of ['', '-wal', '-journal']) if (existsSync(path + side)) copyFileSync(path + side, left + side);
  return left;
}

test.each([true, false])('a recorder that is killed leaves what it flushed (WAL: %s)', (wal) => {
  const writer = TraceWriter.create(fresh(), TEST_META, { wal });
  expect(writer.journal).toBe(wal ? 'wal' : 'truncate');
  for (const events of [10, 700, 9000, 30]) {
    appendSynthetic(writer, events);
    writer.position = `after ${writer.last}`;
    writer.flush();
    const flushed = writer.last;
    appendSynthetic(writer, 8500); // seals a chunk inside of a transaction that is never committed
    writer.position = 'too far';
    const left = killed(writer.path);
    const reader = TraceReader.open(left);
    expect([reader.count, reader.meta.complete]).toEqual([flushed, false]);
    reader.close();
    const again = TraceWriter.resume(left);
    expect([again.last, again.position]).toEqual([flushed, `after ${flushed}`]);
    again.finish();
    expect(verifyTrace(left)).toMatchObject({ ok: true, events: flushed, complete: true });
    writer.flush();
  }
  writer.finish();
});

test('a rollback journal that a killed recorder left is rolled back by resume, and named by a reader', () => {
  const writer = TraceWriter.create(fresh(), TEST_META, { wal: false });
  appendSynthetic(writer, 10);
  writer.flush();
  writer.close();
  const db = new Database(writer.path);
  db.pragma('cache_size = 1');
  db.exec('BEGIN');
  const insert = db.prepare('INSERT INTO notes (seq, text) VALUES (1, ?)');
  for (let n = 0; n < 200; n++) insert.run('x'.repeat(4000));
  const left = killed(writer.path);
  db.close();
  expect(code(() => TraceReader.open(left))).toBe('interrupted');
  const again = TraceWriter.resume(left);
  expect(again.last).toBe(10);
  again.finish();
  expect(verifyTrace(left)).toMatchObject({ ok: true, events: 10 });
});

test('where SQLite cannot map memory, a rollback journal is used', () => {
  const writer = TraceWriter.create(fresh(), TEST_META);
  appendSynthetic(writer, 10);
  writer.flush();
  const left = killed(writer.path);
  writer.close();
  mkdirSync(`${left}-shm`); // the file for the shared memory cannot be made
  const again = TraceWriter.resume(left);
  expect([again.journal, again.last]).toEqual(['truncate', 10]);
  appendSynthetic(again, 10);
  again.flush();
  const follower = TraceReader.open(left);
  expect(follower.count).toBe(20);
  appendSynthetic(again, 10);
  again.flush();
  expect([follower.refresh(), follower.count]).toEqual([true, 30]);
  follower.close();
  again.finish();
  expect(verifyTrace(left)).toMatchObject({ ok: true, events: 30 });
});

test('frames of impossible sizes are refused', () => {
  const writer = TraceWriter.create(fresh(), TEST_META);
  const frame = encodeFrame(makeFrame({ kind: 1 }));
  for (const bytes of [0, 8, 63, 65, 72, 1 << 30]) {
    frame.writeUInt32LE(bytes, 8);
    expect(code(() => writer.append(frame, 0, { call: '', context: 0, object: 0 }))).toBe('frame');
  }
  expect(code(() => writer.append(frame, 32, { call: '', context: 0, object: 0 }))).toBe('frame');
  expect(writer.last).toBe(0);
  writer.close();
});

const tmpfs = join(dir, 'small');
mkdirSync(tmpfs);
const mounted = process.getuid?.() === 0 && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', tmpfs]).status === 0;
afterAll(() => {
  if (mounted) spawnSync('umount', [tmpfs]);
});

test.skipIf(!mounted)('a full disk is a clear error, and what was flushed before stays', () => {
  const path = join(tmpfs, 'full.irr');
  const writer = TraceWriter.create(path, TEST_META);
  let flushed = 0;
  const fill = () => {
    for (let n = 1; n < 100; n++) {
      appendSynthetic(writer, 1000, n);
      writer.flush();
      flushed = writer.last;
    }
  };
  expect(code(fill)).toBe('no-space');
  expect(flushed).toBeGreaterThan(0);
  expect(code(() => writer.flush())).toBe('no-space');
  expect(code(() => writer.append(encodeFrame(makeFrame({ kind: 1 })), 0, { call: '', context: 0, object: 0 }))).toBe('no-space');
  const left = killed(path);
  writer.close();
  const again = TraceWriter.resume(left);
  expect(again.last).toBe(flushed);
  again.finish();
  expect(verifyTrace(left)).toMatchObject({ ok: true, events: flushed });
});
