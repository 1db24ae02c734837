import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TraceWriter } from './append.ts';
import { StoreError } from './errors.ts';
import { TraceReader } from './read.ts';
import { APPLICATION_ID, FORMAT, SCHEMA } from './schema.ts';
import { appendSynthetic, TEST_META, writeTrace } from './testing.ts';
import { verifyTrace } from './verify.ts';

const dir = mkdtempSync(join(tmpdir(), 'irr-open-'));
afterAll(() => rmSync(dir, { recursive: true }));
const good = join(dir, 'good.irr');
beforeAll(() => {
  writeTrace(good, 9000);
});
let files = 0;
function copy(change: (path: string) => void): string {
  const path = join(dir, `${++files}.irr`);
  copyFileSync(good, path);
  change(path);
  return path;
}
const sql = (text: string) => (path: string) => {
  const db = new Database(path);
  db.unsafeMode();
  db.exec(text);
  db.close();
};

/** Every one has its own code, a message that begins with the path, and no word of SQLite's own. */
const BAD: readonly (readonly [what: string, code: string, make: () => string])[] = [
  ['no file', 'not-found', () => join(dir, 'none.irr')],
  ['a file below a file', 'not-found', () => join(good, 'x.irr')],
  ['a directory', 'directory', () => dir],
  ['an empty file', 'truncated', () => copy((path) => truncateSync(path, 0))],
  ['text', 'not-sqlite', () => copy((path) => writeFileSync(path, 'hello '.repeat(100)))],
  ['a device', 'not-sqlite', () => '/dev/null'],
  ['a header cut short', 'truncated', () => copy((path) => truncateSync(path, 60))],
  ['the end cut off', 'truncated', () => copy((path) => truncateSync(path, 20_480))],
  ['another SQLite database', 'not-trace', () => copy(sql('PRAGMA application_id = 7'))],
  ['a newer format', 'newer-format', () => copy(sql('PRAGMA user_version = 99'))],
  ['one table too many', 'foreign-schema', () => copy(sql('CREATE TABLE more (x)'))],
  ['a trigger of somebody', 'foreign-schema', () => copy(sql('CREATE TRIGGER t AFTER INSERT ON notes BEGIN SELECT 1; END'))],
  [
    'a trigger with a name like an index',
    'foreign-schema',
    () => copy(sql('CREATE TRIGGER sqlitexautoindexx1 AFTER INSERT ON notes BEGIN SELECT 1; END')),
  ],
  ['another view of the name', 'foreign-schema', () => copy(sql('DROP VIEW events; CREATE VIEW events AS SELECT 1 AS seq'))],
  ['no meta', 'meta', () => copy(sql('DELETE FROM meta'))],
  ['meta that is no JSON', 'meta', () => copy(sql("UPDATE meta SET value = '{' WHERE key = 'tool'"))],
  ['meta of a wrong type', 'meta', () => copy(sql("UPDATE meta SET value = '7' WHERE key = 'command'"))],
  ['endless meta', 'meta', () => copy(sql("UPDATE meta SET value = '\"' || hex(zeroblob(2000000)) || '\"' WHERE key = 'tool'"))],
  ['a damaged schema', 'damaged', () => copy((path) => scribble(path, 100, 300))],
];

function scribble(path: string, from: number, to: number): void {
  const bytes = readFileSync(path);
  bytes.fill(0xa5, from, to);
  writeFileSync(path, bytes);
}

test.each(BAD)('%s is %s', (_, code, make) => {
  const path = make();
  const error = caught(() => TraceReader.open(path).close());
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject({ code, path });
  expect((error as StoreError).message.startsWith(`${path}: `)).toBe(true);
  expect((error as StoreError).message).not.toMatch(/\n|SQLITE_/);
});

function caught(act: () => void): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('every code has one clear line', () => {
  expect(new StoreError('no-space', '/x/a.irr').message).toBe('/x/a.irr: no space left');
  expect(new StoreError('newer-format', 'a.irr', { detail: 'format 4' }).hint).toMatch(/use the version/);
});

test('a directory that may not be written gives no trace, and says why', () => {
  expect(caught(() => TraceWriter.create(join(dir, 'none', 'a.irr'), TEST_META))).toMatchObject({ code: 'not-found' });
  mkdirSync(join(dir, 'd.irr'));
  expect(caught(() => TraceWriter.create(join(dir, 'd.irr'), TEST_META))).toMatchObject({ code: 'exists' });
  expect(caught(() => TraceWriter.create('/proc/a.irr', TEST_META))).toMatchObject({
    code: expect.stringMatching(/permission|not-found|read-only/),
  });
});

test('reading a finished trace leaves nothing beside it, in WAL mode or not', () => {
  const alone = join(dir, 'alone');
  mkdirSync(alone);
  const path = join(alone, 'a.irr');
  copyFileSync(good, path);
  const read = () => {
    const reader = TraceReader.open(path);
    expect([reader.count, reader.frame(9000)?.seq, readdirSync(alone)]).toEqual([9000, 9000, ['a.irr']]);
    reader.close();
    expect(readdirSync(alone)).toEqual(['a.irr']);
  };
  read();
  // as the end of a recording leaves it while somebody follows
  const bytes = readFileSync(path);
  bytes[18] = 2;
  bytes[19] = 2;
  writeFileSync(path, bytes);
  chmodSync(alone, 0o555);
  read();
  chmodSync(alone, 0o755);
});

test('a follower sees what is flushed, chunks and tail, and the end', () => {
  const path = join(dir, 'follow.irr');
  const writer = TraceWriter.create(path, TEST_META);
  const reader = TraceReader.open(path);
  expect([reader.count, reader.refresh(), reader.frame(1), [...reader.scan()].length]).toEqual([0, false, undefined, 0]);
  let total = 0;
  for (const events of [3, 5000, 5000, 7000, 1]) {
    appendSynthetic(writer, events);
    expect(reader.refresh()).toBe(false);
    writer.flush();
    total += events;
    expect([reader.refresh(), reader.count]).toEqual([true, total]);
    expect(reader.frame(total)?.seq).toBe(total);
    const seqs: number[] = [];
    for (const batch of reader.scan(2)) for (let i = 0; i < batch.count; i++) seqs.push(batch.buffer.readUInt32LE(batch.offsets[i]));
    expect(seqs.length).toBe(total - 1);
    expect(seqs.every((seq, i) => seq === i + 2)).toBe(true);
    expect(reader.rows({ direction: 'backward', limit: 1 })[0]?.seq).toBe(total);
    expect(reader.meta.complete).toBe(false);
  }
  writer.finish();
  expect(reader.refresh()).toBe(true);
  expect(reader.meta.complete).toBe(true);
  expect(reader.frame(3)?.seq).toBe(3);
  reader.close();
  expect(verifyTrace(path)).toMatchObject({ ok: true, events: total });
});

test('a window into the middle of chunks gives exactly those frames', () => {
  const reader = TraceReader.open(good);
  fc.assert(
    fc.property(fc.integer({ min: -5, max: 9100 }), fc.integer({ min: 0, max: 9100 }), (from, length) => {
      const to = from + length - 1;
      let next = Math.max(1, from);
      for (const batch of reader.scan(from, to)) {
        expect(batch.first).toBe(next);
        expect(batch.offsets.length).toBe(batch.count + 1);
        expect(batch.buffer.readUInt32LE(batch.offsets[0])).toBe(next);
        next += batch.count;
      }
      expect(next).toBe(Math.max(Math.max(1, from), Math.min(to, 9000) + 1));
    }),
    { numRuns: 40 },
  );
  expect([reader.frame(0), reader.frame(9001), reader.frame(1.5)]).toEqual([undefined, undefined, undefined]);
  reader.close();
});

test('many short scans of one place unpack their chunk once', () => {
  const reader = TraceReader.open(good);
  const buffers = new Set<Buffer>();
  for (let seq = 100; seq < 300; seq++) for (const batch of reader.scan(seq, seq)) buffers.add(batch.buffer);
  buffers.add(reader.batch(50)!.buffer);
  expect(buffers.size).toBe(1);
  // another two chunks' worth of walking does not leave more than two behind
  expect(reader.frame(8300)?.seq).toBe(8300);
  expect(reader.batch(1)!.buffer).toBe([...buffers][0]);
  reader.close();
});

test('a damaged chunk is named, the others can be read, and the rows too', () => {
  const path = copy(sql('DROP TRIGGER chunks_no_update; UPDATE chunks SET data = zeroblob(100) WHERE first = 1'));
  // the trigger has to be there again, or the file is refused at once
  sql("CREATE TRIGGER chunks_no_update BEFORE UPDATE ON chunks BEGIN SELECT RAISE(ABORT, 'a trace is append-only'); END")(path);
  const reader = TraceReader.open(path);
  expect(caught(() => reader.frame(5))).toMatchObject({ code: 'damaged', message: expect.stringContaining('events 1 to 8192') });
  expect(reader.frame(8500)?.seq).toBe(8500);
  expect(reader.rows({ from: 5, limit: 1 })[0]?.seq).toBe(5);
  reader.close();
});

test('whatever bytes are changed in a file, reading it ends in an answer or a StoreError', () => {
  const small = writeTrace(join(dir, 'small.irr'), 300);
  const original = readFileSync(small);
  const path = join(dir, 'fuzz.irr');
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 }), (changes) => {
      const bytes = Buffer.from(original);
      for (const [at, value] of changes) bytes[at] = value;
      writeFileSync(path, bytes);
      for (const act of [readAll, (p: string) => void verifyTrace(p)]) {
        const error = caught(() => act(path));
        if (error !== undefined) expect(error).toBeInstanceOf(StoreError);
      }
      expect(existsSync(`${path}-journal`)).toBe(false);
    }),
    { numRuns: 150 },
  );
});

function readAll(path: string): void {
  const reader = TraceReader.open(path);
  try {
    for (const batch of reader.scan()) void batch.count;
    reader.rows();
    reader.select("call = 'IOMMU_IOAS_MAP'", [], { failed: true });
    void reader.digest;
  } finally {
    reader.close();
  }
}

test('the number in the header says what the file is', () => {
  expect(readFileSync(good).readInt32BE(68)).toBe(APPLICATION_ID);
});

test('the schema of format 1 is what it was: a change needs a new format', () => {
  expect(FORMAT).toBe(1);
  expect(createHash('sha256').update(SCHEMA).digest('hex').slice(0, 16)).toBe('a79bd01dd19d9b5f');
});

test('a trace of every released format can be read: store/formats, made by writeTrace(path, 200)', () => {
  const path = join(import.meta.dirname, 'formats', '1.irr');
  expect(verifyTrace(path)).toEqual({ ok: true, events: 200, digest: expect.any(String), complete: true, problems: [] });
  const reader = TraceReader.open(path);
  const frames = createHash('sha256');
  for (const batch of reader.scan()) frames.update(batch.buffer.subarray(batch.offsets[0], batch.offsets[batch.count]));
  expect(frames.digest('hex').slice(0, 16)).toBe('73fd86e7e56b34e5');
  expect(reader.rows({ from: 57, limit: 1 })).toMatchInlineSnapshot(`
    [
      {
        "call": "IOMMU_TEST_CMD",
        "context": 2,
        "errno": 22,
        "error": "EINVAL",
        "fd": 9,
        "file": 2,
        "kind": "IOCTL",
        "object": 5,
        "pid": 4711,
        "ret": -1n,
        "seq": 57,
        "t": 142870,
        "tid": 4715,
        "took": 1082,
      },
    ]
  `);
  reader.close();
});
