import { afterAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { Script } from '../replayer/script.ts';
import { Start } from '../store/frame.ts';
import { timeText } from './present/time-column.ts';
import { type TestModel, testModel } from './testing.ts';

const opened: TestModel[] = [];
afterAll(() => {
  for (const o of opened) o.dispose();
});

describe('lanes', () => {
  test('letters go by first appearance, colours with them, and nobody has none', () => {
    const small = testModel();
    opened.push(small);
    const { lanes } = small.model;
    expect((['thread', 'process', 'context'] as const).map((kind) => lanes.count(kind))).toEqual([2, 2, 1]);
    expect(lanes.lane('process', 4711)).toEqual({ letter: 'A', token: 'lane1', number: 4711 });
    expect(lanes.lane('process', 4712)).toEqual({ letter: 'B', token: 'lane2', number: 4712 });
    expect(lanes.lane('context', 0)).toBeUndefined();
    // one that the beginning does not tell of has a letter all the same, always the same
    expect(lanes.lane('thread', 99)).toEqual(lanes.lane('thread', 99));
    expect([...small.model.lanes.contexts([1, 3, 20])]).toEqual([
      [1, 0],
      [3, 1],
      [20, 1],
    ]);
  });

  test('of more lanes than letters the letters come again', () => {
    const s = new Script(uapiTable('linux-7.2'), 1);
    for (let pid = 1; pid <= 60; pid++) {
      s.pid = pid;
      s.start(Start.EXEC, 1, '/bin/x');
    }
    const many = testModel({ table: s.table, frames: s.frames });
    opened.push(many);
    const letters = Array.from({ length: 60 }, (_, i) => many.model.lanes.lane('process', i + 1)!.letter).join('');
    expect(letters).toBe('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzABCDEFGH');
  });
});

test('times: since the start, since the event before, of the day', () => {
  const clock = { monotonicNs: 5_000_000_000n, realtimeNs: 1_700_000_000_000_000_000n };
  expect(timeText('start', 6_000_001_999n, undefined, clock)).toBe('1.000001');
  expect(timeText('previous', 6_000_001_999n, 6_000_000_000n, clock)).toBe('+0.000001');
  expect(timeText('previous', 6_000_000_000n, 6_000_001_999n, clock)).toBe('-0.000001');
  expect(timeText('previous', 6_000_000_000n, undefined, clock)).toBe('');
  const day = new Date(1_700_000_001_000);
  const [h, m, s] = [day.getHours(), day.getMinutes(), day.getSeconds()].map((n) => String(n).padStart(2, '0'));
  expect(timeText('day', 6_000_001_999n, undefined, clock)).toBe(`${h}:${m}:${s}.000001`);
  expect(timeText('day', 0n, undefined, { monotonicNs: 0n, realtimeNs: 1n << 63n })).toMatch(/^\d\d:\d\d:\d\d\.\d{6}$|^\?$/);
  expect(timeText('start', undefined, undefined, clock)).toBe('');
});
