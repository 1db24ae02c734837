import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { TraceWriter } from './append.ts';
import { TraceReader } from './read.ts';
import { TraceSide } from './side.ts';
import { appendSynthetic, TEST_META, writeTrace } from './testing.ts';

const dir = mkdtempSync(join(tmpdir(), 'irr-side-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('marks, notes and snapshots are kept, changed and thrown away, and leave the digest alone', () => {
  const path = writeTrace(join(dir, 'a.irr'), 30);
  const reader = TraceReader.open(path);
  const { digest } = reader;
  const side = TraceSide.open(path);
  side.setMark('b', 20);
  side.setMark('a', 25);
  side.setMark('a', 5);
  const id = side.addNote(7, 'here it begins');
  side.addNote(3, 'ü');
  side.putSnapshot(10, 'v1', Buffer.of(1));
  side.putSnapshot(20, 'v1', Buffer.of(2));
  side.close();

  const again = TraceSide.open(path, { readonly: true });
  expect(again.marks()).toEqual([
    { name: 'a', seq: 5 },
    { name: 'b', seq: 20 },
  ]);
  expect(again.notes().map((n) => n.text)).toEqual(['ü', 'here it begins']);
  expect(again.snapshotBefore(19, 'v1')).toEqual({ seq: 10, data: Buffer.of(1) });
  expect(again.snapshotBefore(20, 'v1')?.seq).toBe(20);
  expect([again.snapshotBefore(9, 'v1'), again.snapshotBefore(30, 'v2')]).toEqual([undefined, undefined]);
  expect(() => again.setMark('c', 1)).toThrow();
  again.close();

  const last = TraceSide.open(path);
  last.removeMark('a');
  last.removeNote(id);
  last.clearSnapshots();
  expect([last.marks().length, last.notes().length, last.snapshotBefore(30, 'v1')]).toEqual([1, 1, undefined]);
  last.close();
  expect(reader.digest).toBe(digest);
  reader.close();
});

test('a mark can be set while the recording goes on', () => {
  const writer = TraceWriter.create(join(dir, 'live.irr'), TEST_META);
  appendSynthetic(writer, 10);
  writer.flush();
  const side = TraceSide.open(writer.path);
  side.setMark('x', 4);
  side.close();
  appendSynthetic(writer, 10);
  writer.finish();
  const reader = TraceSide.open(writer.path, { readonly: true });
  expect(reader.marks()).toEqual([{ name: 'x', seq: 4 }]);
  reader.close();
});

test.skipIf(process.getuid?.() === 0)('a trace that may not be written says so', () => {
  const path = join(dir, 'ro.irr');
  copyFileSync(writeTrace(join(dir, 'b.irr'), 3), path);
  chmodSync(path, 0o444);
  const before = readFileSync(path);
  expect(() => TraceSide.open(path)).toThrow(expect.objectContaining({ code: 'permission' }));
  expect(readFileSync(path).equals(before)).toBe(true);
});
