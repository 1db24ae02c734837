import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FrameCursor, Kind } from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { sampleTrace } from './cli/sample.ts';
import { gapFrame, Tolerant } from './damage.ts';
import { longSession } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'irr-damage-'));
const whole = join(folder, 'whole.irr');
let intact: TraceReader;
/** the chunks of the trace: first and last event */
let chunks: readonly (readonly [first: number, last: number])[] = [];

beforeAll(() => {
  const { frames, table } = longSession(20_000);
  renameSync(sampleTrace(frames, table), whole);
  intact = TraceReader.open(whole);
  const rows = intact.query('SELECT first, events FROM chunks UNION ALL SELECT first, events FROM tail ORDER BY 1');
  chunks = rows.map((r) => [Number(r.first), Number(r.first) + Number(r.events) - 1]);
});
afterAll(() => {
  intact.close();
  rmSync(folder, { recursive: true });
});

let copies = 0;
/** A copy with these chunks blank, or gone from the table. */
function damaged(blank: readonly number[], gone: readonly number[] = []): Tolerant {
  const path = join(folder, `damaged-${++copies}.irr`);
  copyFileSync(whole, path);
  const db = new Database(path);
  const triggers = db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").all() as { name: string; sql: string }[];
  for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`);
  for (const table of ['chunks', 'tail']) {
    for (const i of blank) db.prepare(`UPDATE ${table} SET data = zeroblob(length(data)) WHERE first = ?`).run(chunks[i]![0]);
    for (const i of gone) db.prepare(`DELETE FROM ${table} WHERE first = ?`).run(chunks[i]![0]);
  }
  for (const { sql } of triggers) db.exec(sql);
  db.close();
  return new Tolerant(TraceReader.open(path));
}

const original = new Map<number, string>();
function originals(): ReadonlyMap<number, string> {
  if (original.size > 0) return original;
  for (const batch of intact.scan()) {
    for (let i = 0; i < batch.count; i++) original.set(batch.first + i, hexOf(batch.buffer, batch.offsets[i]!, batch.offsets[i + 1]!));
  }
  return original;
}
const hexOf = (b: Uint8Array, from: number, to: number): string => Buffer.from(b.subarray(from, to)).toString('hex');

test('the session has several chunks', () => {
  expect(chunks.length).toBeGreaterThan(2);
  expect(originals().size).toBe(intact.last);
});

test('a walk over any stretch tells of every event once, in order: as it was, or as a gap', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(fc.nat(21_000), fc.nat(21_000)), { minLength: 1, maxLength: 3 }),
      fc.array(fc.nat(21_000), { maxLength: 4 }),
      (picked, stretches, looks) => {
        const blank = [...new Set(picked.map((n) => n % chunks.length))];
        const source = damaged(blank);
        const isLost = (seq: number): boolean => blank.some((i) => seq >= chunks[i]![0] && seq <= chunks[i]![1]);
        // frames that were asked for before make no difference
        for (const n of looks) {
          const seq = 1 + (n % source.last);
          expect(source.frame(seq)?.seq).toBe(isLost(seq) ? undefined : seq);
          expect(source.damage(seq) !== undefined).toBe(isLost(seq));
        }
        for (const [a, b] of stretches) {
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          let seq = Math.max(1, from);
          const cursor = new FrameCursor();
          for (const batch of source.scan(from, to)) {
            expect(batch.first).toBe(seq);
            for (let i = 0; i < batch.count; i++, seq++) {
              const [start, end] = [batch.offsets[i]!, batch.offsets[i + 1]!];
              if (isLost(seq)) {
                cursor.at(batch.buffer, start);
                if (cursor.kind !== Kind.GAP || cursor.seq !== seq) throw new Error(`event ${seq} is no gap`);
              } else if (hexOf(batch.buffer, start, end) !== originals().get(seq)) throw new Error(`event ${seq} is another one`);
            }
          }
          expect(seq).toBe(Math.max(1, from, Math.min(to, source.last) + 1));
        }
        for (const _ of source.scan());
        expect(source.lost).toBe(blank.reduce((n, i) => n + chunks[i]![1] - chunks[i]![0] + 1, 0));
        for (const i of blank) {
          expect(source.damage(chunks[i]![0])).toBe(source.damage(chunks[i]![1]));
          // without the path: the header of the screen has the name
          expect(source.damage(chunks[i]![0])).not.toContain(folder);
        }
      },
    ),
    { numRuns: 10 },
  );
});

test('a chunk that is missing: it is lost, and the next one, which nobody can vouch for without it; the others are there', () => {
  for (const i of chunks.keys()) {
    // without its end the log is shorter, and nothing in it is missing
    if (i === chunks.length - 1) continue;
    const source = damaged([], [i]);
    const isLost = (chunk: number): boolean => chunk === i || chunk === i + 1;
    expect([...source.scan()].reduce((n, b) => n + b.count, 0)).toBe(source.last);
    for (const [chunk, [first, last]] of chunks.entries()) {
      for (const seq of [first, last]) expect(source.frame(seq)?.seq).toBe(isLost(chunk) ? undefined : seq);
    }
    expect(source.lost).toBe(chunks[i + 1]![1] - chunks[i]![0] + 1);
  }
});

test('what is no damage is not taken for one', () => {
  const source = new Tolerant({
    last: 9,
    frame: () => {
      throw new TypeError('a mistake');
    },
  } as unknown as TraceReader);
  expect(() => source.frame(3)).toThrow('a mistake');
  expect(source.lost).toBe(0);
});

test('a gap is one lost event', () => {
  expect(gapFrame(7)).toMatchObject({ kind: Kind.GAP, ret: 1n, seq: 7 });
});
