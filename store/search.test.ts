import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TraceWriter } from './append.ts';
import { encodeFrame, makeFrame } from './frame.ts';
import { type EventView, TraceReader } from './read.ts';
import { RowSearch, type Window } from './search.ts';
import { appendSynthetic, TEST_META } from './testing.ts';

const dir = mkdtempSync(join(tmpdir(), 'irr-search-'));
let reader: TraceReader;
let all: EventView[];
const EVENTS = 30_001;

/** Some chunks, a tail, and one call that is only in the middle. */
beforeAll(() => {
  const writer = TraceWriter.create(join(dir, 'a.irr'), TEST_META);
  appendSynthetic(writer, 12_000);
  const rare = makeFrame({ kind: 2, pid: 1, tid: 1, tEnter: TEST_META.clock.monotonicNs + 30_000_000n });
  writer.append(encodeFrame(rare), 0, { call: 'open', context: 0, object: 77 });
  appendSynthetic(writer, EVENTS - 12_001, 3);
  writer.flush();
  writer.close();
  reader = TraceReader.open(join(dir, 'a.irr'));
  all = reader.rows({ limit: EVENTS + 1 });
});
afterAll(() => {
  reader.close();
  rmSync(dir, { recursive: true });
});

interface Case {
  readonly where: string;
  readonly params: readonly (string | number)[];
  readonly matches: (event: EventView) => boolean;
  readonly failed?: boolean;
  readonly within?: { where: string; params: readonly string[] };
}

const CASES: readonly Case[] = [
  { where: '', params: [], matches: () => true },
  { where: 'call = ?', params: ['IOMMU_DESTROY'], matches: (e) => e.call === 'IOMMU_DESTROY' },
  { where: 'call = ?', params: ['open'], matches: (e) => e.call === 'open' },
  { where: 'call = ? AND object = ?', params: ['open', 78], matches: () => false },
  { where: "kind = 'OPEN' OR object = ?", params: [12], matches: (e) => e.kind === 'OPEN' || e.object === 12 },
  { where: 'errno != 0', params: [], failed: true, matches: (e) => e.errno !== 0 },
  { where: 'errno = ? AND tid = ?', params: [17, 4714], matches: (e) => e.errno === 17 && e.tid === 4714 },
  {
    where: 'errno = 22 AND object = 5',
    params: [],
    failed: true,
    within: { where: 'object = 5 AND call = ?', params: ['IOMMU_TEST_CMD'] },
    matches: (e) => e.errno === 22 && e.object === 5,
  },
  { where: 'took > ? AND fd = 12', params: [1500], matches: (e) => (e.took ?? 0) > 1500 && e.fd === 12 },
  { where: "error = 'ENOENT'", params: [], matches: (e) => e.error === 'ENOENT' },
  { where: 't >= 20000000 AND t < 20100000', params: [], matches: (e) => e.t >= 20_000_000 && e.t < 20_100_000 },
];

test.each(CASES)(
  '$where $params gives what a walk over all rows gives, from anywhere in both directions',
  ({ where, params, matches, ...hints }) => {
    const wanted = all.filter(matches);
    expect(reader.select(where, params, { ...hints, limit: EVENTS })).toEqual(wanted);
    const place = fc.integer({ min: -3, max: EVENTS + 3 });
    fc.assert(
      fc.property(place, place, fc.integer({ min: 0, max: 60 }), (a, b, limit) => {
        const [from, to] = a < b ? [a, b] : [b, a];
        const inside = wanted.filter((e) => e.seq >= from && e.seq <= to);
        expect(reader.select(where, params, { ...hints, from, to, limit })).toEqual(inside.slice(0, limit));
        const back = reader.select(where, params, { ...hints, from: to, to: from, limit, direction: 'backward' });
        expect(back).toEqual(inside.reverse().slice(0, limit));
      }),
      { numRuns: 12 },
    );
  },
);

test('without bounds a window begins at the first event, backward at the last', () => {
  expect(reader.rows({ limit: 2 }).map((e) => e.seq)).toEqual([1, 2]);
  expect(reader.rows({ limit: 2, direction: 'backward' }).map((e) => e.seq)).toEqual([EVENTS, EVENTS - 1]);
});

test('a rare call in the middle is found without a walk over the rows before it', () => {
  const db = new Database(join(dir, 'a.irr'), { readonly: true });
  let looked = 0;
  db.function('look', () => {
    looked++;
    return 1;
  });
  const search = new RowSearch(db);
  const rowsLookedAt = (window: Window): number => {
    looked = 0;
    expect(search.select("look() AND call || '' = 'open' AND seq > 0", [], { limit: 1, from: 1, ...window })[0]?.seq).toBe(12_001);
    return looked;
  };
  const chunk = db.prepare('SELECT first FROM chunks WHERE first <= 12001 ORDER BY first DESC LIMIT 1').pluck().get() as number;
  expect(chunk).toBeGreaterThan(1);
  expect(rowsLookedAt({})).toBe(12_001);
  // those of its chunk alone
  expect(rowsLookedAt({ within: { where: "call = 'open'", params: [] } })).toBe(12_001 - chunk + 1);
  db.close();
});

test('a time leads to the first event that is not before it', () => {
  let late = 0;
  for (const t of [-1, 0, 5_000_000, 1e15]) {
    const seq = reader.seqAt(t);
    const ordered = all.slice(0, 12_000);
    if (t < 30_000_000) expect(seq).toBe((ordered.find((e) => e.t >= t)?.seq ?? late) as number);
    else late = seq;
  }
  expect(late).toBe(EVENTS + 1);
});

test('any SELECT can be asked, and nothing can be changed', () => {
  expect(reader.query('SELECT count(*) AS n FROM events WHERE object = ?', [77])).toEqual([{ n: 1 }]);
  expect(reader.query('SELECT 9007199254740993 AS n', [], true)).toEqual([{ n: 9007199254740993n }]);
  expect(() => reader.query("INSERT INTO notes VALUES (1, 1, 'x')")).toThrow();
  expect(() => reader.query('DELETE FROM notes RETURNING id')).toThrow();
});

test('what is no SQL is refused in the same way on every path', () => {
  for (const where of ['nonsense = 1', 'call = ']) expect(() => reader.select(where, [], {})).toThrow();
});
