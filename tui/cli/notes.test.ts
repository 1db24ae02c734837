import { rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { TraceSide } from '../../store/side.ts';
import { capture } from './capture.ts';
import { sampleTrace } from './sample.ts';
import { sampleSession } from './sample-session.ts';

const { frames, table } = sampleSession();
const path = sampleTrace(frames, table);
const bare = sampleTrace(frames, table);
const side = TraceSide.open(path);
side.setMark('b', 13);
side.setMark('a', 13);
side.setMark('far', 4000);
side.addNote(13, 'the parent is still in use');
side.addNote(22, '\x1b[2Jevil\nsecond line');
side.close();
afterAll(() => {
  for (const p of [path, bare]) rmSync(dirname(p), { recursive: true });
});

test('show --notes: the events that have some, with these below them', async () => {
  const { out, status } = await capture('show', [path], { notes: true });
  expect(status).toBe(0);
  const lines = out.split('\n');
  expect(lines.filter((l) => /^\d/.test(l)).map((l) => Number.parseInt(l, 10))).toEqual([13, 22]);
  expect(lines.filter((l) => l.startsWith('    '))).toEqual([
    '    bookmark a',
    '    bookmark b',
    '    note: the parent is still in use',
    expect.stringMatching(/^ {4}note: .*evil.*second line$/),
  ]);
  expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
});

test('with a callset and as JSON', async () => {
  const { out } = await capture('show', [path, '1-20'], { notes: true, json: true });
  expect(
    out
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l)),
  ).toMatchObject([{ seq: 13, bookmarks: ['a', 'b'], note: 'the parent is still in use' }]);
  expect(JSON.parse((await capture('show', [path, '13'], { json: true })).out)).not.toHaveProperty('bookmarks');
  expect((await capture('show', [bare], { notes: true })).out).toBe('');
});

test('info counts them', async () => {
  expect((await capture('info', [path])).out).toMatch(/^notes +2 notes, 3 bookmarks/m);
  expect(JSON.parse((await capture('info', [path], { json: true })).out)).toMatchObject({ bookmarks: 3, notes: 2 });
  expect((await capture('info', [bare])).out).not.toMatch(/^notes/m);
});

test('a file beside the trace that is not ours is said', async () => {
  writeFileSync(`${bare}.marks`, 'something else');
  expect((await capture('show', [bare], { notes: true })).notes.join()).toMatch(/damaged, or not a file of marks/);
});
