import { afterAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { Script } from '../replayer/script.ts';
import { FRAME_AT, FrameCursor, Start } from '../store/frame.ts';
import { testModel } from './testing.ts';
import { SPEEDS } from './travel.ts';
import { LONGEST_PAUSE, linksIn, Traveller } from './traveller.ts';
import { parseWhen } from './when.ts';

/** Events at these milliseconds since the start. */
const TIMES = [1, 2, 3, 500, 501, 9000, 9010, 9020];
const MS = 1_000_000n;
function timed() {
  const table = uapiTable('linux-7.2');
  const s = new Script(table, 7);
  s.start(Start.EXEC, 1, '/bin/x');
  while (s.frames.length < TIMES.length) s.open(3 + s.frames.length);
  const cursor = new FrameCursor();
  const first = cursor.at(s.frames[0]!, 0).frame().tEnter;
  const start = first - (first % MS);
  s.frames.forEach((frame, i) => {
    const at = start + BigInt(TIMES[i]!) * MS;
    frame.writeBigUInt64LE(at, FRAME_AT.tEnter);
    frame.writeBigUInt64LE(at + 1n, FRAME_AT.tExit);
  });
  return { table, frames: s.frames };
}
const { model, dispose } = testModel(timed());
afterAll(dispose);
const traveller = new Traveller(model, { objects: () => [], detail: () => [] });
const t = (seq: number): number => model.reader.rows({ from: seq, to: seq })[0]!.t;
const when = (text: string, cursor = 1): number | string => traveller.facts.when(parseWhen(text)!, cursor);

describe('times', () => {
  test('the frames have the times that the test says', () => {
    const zero = t(1) - TIMES[0]! * 1e6;
    expect(TIMES.map((_, i) => (t(i + 1) - zero) / 1e6)).toEqual(TIMES);
  });
  test('lead to the last event that had been entered by then; forward from here to the first that is as far', () => {
    const zero = t(1) - TIMES[0]! * 1e6;
    const since = (ms: number): string => `@${zero + ms * 1e6}ns`;
    expect([when(since(3)), when(since(499)), when(since(500)), when(since(8999)), when(since(9020))]).toEqual([3, 3, 4, 5, 8]);
    expect([when('+2ms', 1), when('+3ms', 1), when('+100s', 1), when('-1ms', 3), when('-100s', 3)]).toEqual([3, 4, 8, 2, 1]);
    expect(when(since(9021))).toMatch(/^the log ends at /);
    expect(when('1970-01-01 00:00')).toMatch(/^the log begins at \d{4}-/);
  });
});

describe('play', () => {
  test('is where the recorded time is; a long pause is shortened and said; it ends at the end', () => {
    const normal = SPEEDS.indexOf(1);
    traveller.startPlay(1, 0);
    expect(traveller.play(1, normal, 0)).toMatchObject({ seq: 1, say: undefined });
    expect(traveller.play(1, normal, 2)).toMatchObject({ seq: 3, say: undefined });
    expect(traveller.play(3, normal, 498).seq).toBe(3);
    const pause = traveller.play(3, normal, 500);
    expect(pause).toEqual({ seq: 5, say: 'a pause of 8.50s before 6 is shortened to 2 s', wait: LONGEST_PAUSE });
    expect(traveller.play(5, normal, 500 + LONGEST_PAUSE)).toMatchObject({ seq: 6, say: undefined });
    expect(traveller.play(6, normal, 600 + LONGEST_PAUSE)).toEqual({ seq: 8, say: undefined, wait: undefined });
  });
  test('twice as fast is there in half the time, and at a thousand no pause is long', () => {
    traveller.startPlay(1, 0);
    expect(traveller.play(1, SPEEDS.indexOf(2), 1).seq).toBe(3);
    traveller.startPlay(5, 0);
    expect(traveller.play(5, SPEEDS.indexOf(1000), 0)).toMatchObject({ seq: 5, say: undefined });
    expect(traveller.play(5, SPEEDS.indexOf(1000), 9).seq).toBe(8);
  });
});

test('references of a text: a line that is broken over several is one', () => {
  const at = (link?: number) => ({ spans: [], ...(link === undefined ? {} : { link }) });
  expect(linksIn([at(), at(5), at(5), at(), at(7), at(9)])).toEqual([
    { seq: 5, line: 1 },
    { seq: 7, line: 4 },
    { seq: 9, line: 5 },
  ]);
});
