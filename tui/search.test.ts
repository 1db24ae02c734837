import fc from 'fast-check';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { eventText } from '../hw/event-text.ts';
import { Timeline } from '../replayer/timeline.ts';
import { Finder } from './find/finder.ts';
import { textNeedle } from './find/needle.ts';
import { textOptions } from './present/event.ts';
import { search } from './search.ts';
import { longSession, testModel } from './testing.ts';
import type { Job } from './ui.ts';

const { model, dispose } = testModel();
const big = testModel(longSession(3000));
afterAll(() => {
  dispose();
  big.dispose();
});

const job = (kind: Job['kind'], direction: 1 | -1, from: number, text = ''): Job => ({ id: 1, kind, direction, times: 1, from, text });

const sets = (m: typeof model, j: Job) => ({
  search: j.text === '' ? undefined : new Finder(m, j.text, textNeedle(m, j.text), j.from),
  filter: undefined,
});

/** Runs a search to its end. */
function find(j: Job, times = 1): number | undefined {
  const s = search(model, j, () => times, sets(model, j));
  for (;;) {
    const next = s.next();
    if (next.done === true) return next.value ?? undefined;
    expect(next.value).toBeGreaterThanOrEqual(0);
    expect(next.value).toBeLessThanOrEqual(1);
  }
}

const ALL = Array.from({ length: model.last }, (_, i) => i + 1);
/** As `show` prints it: by the state before it. */
const printed = (seq: number): string => {
  const timeline = new Timeline(model.reader, { table: model.table });
  timeline.seek(seq - 1);
  const { call, result } = eventText(model.event(seq)!, textOptions(model.contextBy(timeline.state)));
  return `${call} ${result}`.toLowerCase();
};
/** What each kind of search looks for, event by event. */
const MATCHES: Record<Job['kind'], (seq: number, text: string) => boolean> = {
  change: (seq) => model.timeline.changesOf(seq).length > 0,
  error: (seq) => model.event(seq)!.error !== 0,
  search: (seq, text) => printed(seq).includes(text.toLowerCase()),
};

describe('searches', () => {
  test('the next and the previous change, error, text', () => {
    expect([find(job('change', 1, 12)), find(job('change', -1, 14))]).toEqual([14, 12]);
    expect([find(job('error', 1, 1)), find(job('error', -1, 33)), find(job('error', 1, 10))]).toEqual([10, 26, 13]);
    expect([find(job('search', 1, 1, 'queue')), find(job('search', -1, 33, 'vdevice'))]).toEqual([10, 12]);
    expect(find(job('search', 1, 1, 'ebusy'))).toBe(13);
    expect(find(job('search', 1, 1, '/dev/iommu'))).toBe(2);
    expect(find(job('search', 1, 1, '\\x1b[2jevil'))).toBe(22);
  });

  test('nothing there is undefined', () => {
    expect(find(job('error', -1, 10))).toBeUndefined();
    expect(find(job('change', 1, 33))).toBeUndefined();
    expect(find(job('search', 1, 1, 'no such text'))).toBeUndefined();
    expect(find(job('search', 1, 33, 'open'))).toBeUndefined();
  });

  test('equal to a look at every event, from anywhere, in both directions, any number of times', () => {
    const what = fc.oneof(
      fc.record({ kind: fc.constantFrom('change' as const, 'error' as const), text: fc.constant('') }),
      fc.record({ kind: fc.constant('search' as const), text: fc.constantFrom('0x1000000', 'flags', 'viommu_id=6', '4712', 'zzz') }),
    );
    fc.assert(
      fc.property(
        what,
        fc.constantFrom(1 as const, -1 as const),
        fc.integer({ min: 1, max: 33 }),
        fc.integer({ min: 1, max: 4 }),
        (w, direction, from, times) => {
          const beyond = ALL.filter((seq) => (direction === 1 ? seq > from : seq < from) && MATCHES[w.kind](seq, w.text));
          const inOrder = direction === 1 ? beyond : beyond.reverse();
          // with fewer than asked for, the last one counts
          expect(find(job(w.kind, direction, from, w.text), times)).toBe(inOrder[Math.min(times, inOrder.length) - 1]);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('a search that finds nothing gives time back on its way', () => {
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 100));
    try {
      const j = job('search', 1, 1, 'no such text');
      const steps = [...search(big.model, j, () => 1, sets(big.model, j))];
      expect(steps.length).toBeGreaterThan(10);
      expect(steps).toEqual([...steps].sort((a, b) => a - b));
    } finally {
      clock.mockRestore();
    }
  });

  test('pressed once more after a query was made, it goes on behind what that found', () => {
    let asked = 0;
    const s = search(model, job('error', 1, 1), () => (++asked === 1 ? 1 : 3), sets(model, job('error', 1, 1)));
    expect([...stepsOf(s)].at(-1)).toBe(22);
  });

  test('pressed once more while it runs, it goes further', () => {
    let times = 1;
    const s = search(model, job('error', 1, 1), () => times, sets(model, job('error', 1, 1)));
    times = 3;
    expect([...stepsOf(s)].at(-1)).toBe(22);
  });
});

function* stepsOf(s: Generator<number, number | undefined, void>): Generator<number | undefined> {
  yield yield* s;
}
