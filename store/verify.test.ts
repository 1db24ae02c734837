import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TraceWriter } from './append.ts';
import { appendSynthetic, TEST_META, writeTrace } from './testing.ts';
import { verifyTrace } from './verify.ts';

const dir = mkdtempSync(join(tmpdir(), 'irr-verify-'));
afterAll(() => rmSync(dir, { recursive: true }));
const good = join(dir, 'good.irr');
beforeAll(() => {
  writeTrace(good, 20_000);
});

/** Changes a trace as somebody would who knows how: the triggers are there again afterwards. */
function forged(change: string): string {
  const path = join(dir, 'forged.irr');
  copyFileSync(good, path);
  const db = new Database(path);
  const triggers = db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").all() as { name: string; sql: string }[];
  for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`);
  db.exec(change);
  for (const { sql } of triggers) db.exec(sql);
  db.close();
  return path;
}

test('a whole trace is whole, and progress is told', () => {
  const told: number[][] = [];
  const verdict = verifyTrace(good, (done, total) => told.push([done, total]));
  expect(verdict).toEqual({ ok: true, events: 20_000, digest: expect.stringMatching(/^[0-9a-f]{64}$/), complete: true, problems: [] });
  expect(told.at(-1)).toEqual([20_000, 20_000]);
  expect(told.length).toBeGreaterThan(2);
});

test('a recording that goes on or was interrupted is whole as far as it goes', () => {
  const writer = TraceWriter.create(join(dir, 'live.irr'), TEST_META);
  appendSynthetic(writer, 9000);
  writer.flush();
  appendSynthetic(writer, 100);
  writer.flush();
  expect(verifyTrace(writer.path)).toMatchObject({ ok: true, events: 9100, complete: false });
  writer.close();
});

const FORGERIES: readonly (readonly [what: string, sql: string, problem: object])[] = [
  [
    'an answer',
    'UPDATE log SET result = 0 WHERE rowid = (SELECT min(seq) FROM events WHERE errno = 22)',
    { text: expect.stringMatching(/^(ret|errno) is/) },
  ],
  ['a time', 'UPDATE log SET dt = dt + 1 WHERE rowid = 9000', { seq: 9000, text: expect.stringMatching(/^t is/) }],
  ['a clock', 'UPDATE clock SET t = t + 1 WHERE seq > 1', { text: expect.stringMatching(/^t is/) }],
  ['how long it took', 'UPDATE log SET took = NULL WHERE rowid = 7', { seq: 7, text: expect.stringMatching(/^took is null/) }],
  ['a thread', 'UPDATE origins SET tid = tid + 1 WHERE id = 1', { text: expect.stringMatching(/^tid is/) }],
  [
    'a name',
    "UPDATE origins SET call = 'IOMMU_DESTROY' WHERE id = 1",
    { chunk: 1, text: expect.stringMatching(/^calls, contexts or objects/) },
  ],
  ['an object', 'UPDATE origins SET object = 99 WHERE id = 1', { chunk: 1, text: expect.stringMatching(/^calls, contexts or objects/) }],
  ['an origin taken away', 'DELETE FROM origins WHERE id = 1', { text: expect.stringMatching(/no row, or its origin/) }],
  ['a row taken away', 'DELETE FROM log WHERE rowid = 5', { seq: 5, text: expect.stringMatching(/a frame and no row/) }],
  ['the last row taken away', 'DELETE FROM log WHERE rowid = 20000', { seq: 20000, text: expect.stringMatching(/a frame and no row/) }],
  ['a row too many', 'INSERT INTO log VALUES (1, 0, 0, 0)', { text: '20001 rows, frames for 20000 events' }],
  [
    'the first chunk taken away',
    'DELETE FROM chunks WHERE first = 1',
    { chunk: 8193, text: expect.stringMatching(/frames from 1 to 8192 are missing/) },
  ],
  [
    'a chunk in the middle taken away',
    'DELETE FROM chunks WHERE first = 8193',
    { chunk: 16385, text: expect.stringMatching(/does not have its digest/) },
  ],
  ['the last chunk taken away', 'DELETE FROM chunks WHERE first = 16385', { text: '20000 rows, frames for 16384 events' }],
  [
    'frames',
    "UPDATE chunks SET data = CAST(substr(data, 1, 100) || x'00' || substr(data, 102) AS BLOB) WHERE first = 1",
    { chunk: 1, text: expect.stringMatching(/does not have its digest/) },
  ],
  [
    'the number of failures',
    'UPDATE chunks SET failures = 0 WHERE first = 8193',
    { chunk: 8193, text: expect.stringMatching(/does not have its digest/) },
  ],
  [
    'the index',
    'DELETE FROM places WHERE chunk = 8193 AND origin = (SELECT min(origin) FROM places WHERE chunk = 8193)',
    { chunk: 8193, text: expect.stringMatching(/index of its origins/) },
  ],
  [
    'a tail',
    'INSERT INTO tail SELECT first + 20000, events, failures, bytes, labels, digest, data FROM chunks LIMIT 1',
    { text: expect.stringMatching(/digest/) },
  ],
];

test.each(FORGERIES)('%s that was changed is found', (_, sql, problem) => {
  const verdict = verifyTrace(forged(sql));
  expect(verdict.ok).toBe(false);
  expect(verdict.problems).toContainEqual(expect.objectContaining(problem));
  expect(verdict.problems.length).toBeLessThan(103);
});

test('a mark, a note or a snapshot changes nothing of the log', () => {
  const path = forged(
    "INSERT INTO marks VALUES ('a', 5); INSERT INTO notes VALUES (1, 2, 'x'); INSERT INTO snapshots VALUES (5, 'v', x'00')",
  );
  expect(verifyTrace(path).digest).toBe(verifyTrace(good).digest);
});
