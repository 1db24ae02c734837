import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { why } from '../replayer/why.ts';
import { whyLines } from './present/why.ts';
import { makeTheme } from './term/theme.ts';
import { longSession, type TestModel, testModel, textOf } from './testing.ts';
import { loadRules, WhyRun } from './why-run.ts';

const opened: TestModel[] = [];
const open = (made: TestModel): TestModel => {
  opened.push(made);
  return made;
};
const small = open(testModel());
const long = open(testModel(longSession(30_000)));
beforeAll(() => loadRules());
afterAll(() => {
  for (const o of opened) o.dispose();
});
const runOf = ({ model }: TestModel): WhyRun => new WhyRun(model.source, model.table, undefined);

describe('the why of events', () => {
  test('is that of a run of its own, whichever way one goes', () => {
    const { model } = small;
    const run = runOf(small);
    for (const seq of [10, 33, 13, 22, 1, 25, 26, 3, 2, 33]) {
      expect(run.work(seq, false, Infinity)).toBe(true);
      const expected = why(model.reader, model.table, seq);
      expect(run.state(seq, false)).toEqual(expected === undefined ? { kind: 'none' } : { kind: 'known', why: expected });
    }
  });

  test('comes in slices; another event is another way, and what was passed is known', () => {
    const run = runOf(long);
    expect(run.work(8_000, false, -Infinity)).toBe(false);
    const state = run.state(8_000, false);
    expect(state.kind).toBe('running');
    let slices = 1;
    while (!run.work(8_000, false, -Infinity)) slices++;
    expect(slices).toBeGreaterThan(100);
    for (let seq = 7_990; seq < 8_000; seq++) expect(run.state(seq, false).kind).toMatch(/known|none/);
    // a failure long before
    const failed = Array.from({ length: 100 }, (_, i) => i + 1).find((seq) => long.model.event(seq)?.error === 2);
    expect(run.state(failed!, false)).toMatchObject({ kind: 'known', why: { errno: 'ENOENT' } });
  });

  test('of a far one is not begun before it is asked for', () => {
    const run = runOf(long);
    expect(run.state(25_000, false)).toEqual({ kind: 'far', events: 25_000 });
    expect(run.work(25_000, false, -Infinity)).toBe(true);
    expect(run.state(25_000, true)).toEqual({ kind: 'running', done: 0 });
    expect(run.work(25_000, true, -Infinity)).toBe(false);
    expect(run.state(25_000, true)).toMatchObject({ kind: 'running' });
    // a nearer one is taken up at once, and the way there is not lost
    expect(run.work(20, false, Infinity)).toBe(true);
  });
});

test('in words', () => {
  const { glyphs } = makeTheme(false, false);
  const text = (state: Parameters<typeof whyLines>[0]): string => textOf(whyLines(state, [], glyphs));
  expect(text({ kind: 'none' })).toBe('');
  expect(text({ kind: 'running', done: 0.349 })).toBe('  why      … the rules are run along the log: 34 %');
  expect(text({ kind: 'far', events: 5_000_000 })).toBe('  why      e works it out: the rules have to be run over 5000000 events');
  const run = runOf(small);
  run.work(10, false, Infinity);
  expect(text(run.state(10, false))).toMatchInlineSnapshot(`
    "  why      there is no queue 0 yet
      field    index
      passes   queues made in the order of their indexes
      because  VIOMMU 6, made at event 8
      rule     mock.queue-order"
  `);
});
