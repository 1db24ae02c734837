import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { stateJson } from '../replayer/digest.ts';
import { Timeline } from '../replayer/timeline.ts';
import { effectOf } from './present/effects.ts';
import { longSession, testModel } from './testing.ts';

const small = testModel();
const long = testModel(longSession(5000));
const opened = [small, long];
afterAll(() => {
  for (const o of opened) o.dispose();
});

/** The state at an event, by a timeline that has never been anywhere else. */
function freshState(seq: number): unknown {
  const timeline = new Timeline(long.model.reader, { table: long.model.table });
  timeline.seek(seq);
  return stateJson(timeline.state);
}

describe('the state at the cursor', () => {
  test('however it came there, forwards or back, in slices or at once, it is the state of a fresh seek', () => {
    const { model } = long;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: model.last }), fc.boolean()), { minLength: 1, maxLength: 5 }), (stops) => {
        for (const [seq, inSlices] of stops) {
          if (inSlices) while (!model.approach(seq, -Infinity));
          else expect(model.approach(seq, Infinity)).toBe(true);
          expect(model.at).toBe(seq);
        }
        expect(stateJson(model.state)).toEqual(freshState(stops.at(-1)![0]));
      }),
      { numRuns: 8 },
    );
  });

  test('without time it comes nearer all the same, and says that it is not there', () => {
    const far = testModel(longSession(5000));
    opened.push(far);
    const { model } = far;
    expect(model.approach(model.last, -Infinity)).toBe(false);
    expect(model.at).toBeGreaterThan(0);
    expect(model.at).toBeLessThan(model.last);
    // another goal on the way is taken at once
    expect(model.approach(5, -Infinity)).toBe(true);
    expect(model.at).toBe(5);
    expect(model.approach(model.last, Infinity)).toBe(true);
  });

  test('the graph and the changes are those of the event', () => {
    const { model } = small;
    model.approach(8, Infinity);
    expect(model.graph.nodes.map((n) => n.label)).toContain('VIOMMU 6');
    expect(model.changes.map((c) => c.op)).toContain('object.create');
    model.approach(7, Infinity);
    expect(model.graph.nodes.map((n) => n.label)).not.toContain('VIOMMU 6');
    expect(model.summary).toBe('1 process, 1 context, 5 objects');
    model.approach(0, Infinity);
    expect([model.changes, model.graph.nodes]).toEqual([[], []]);
    model.approach(28, Infinity);
    expect(model.summary).toMatch(/12 events lost before here$/);
  });
});

describe('events', () => {
  test('a window is as long as asked for, and ends with the log', () => {
    const { model } = small;
    expect(model.window(5, 3).map((e) => e.seq)).toEqual([5, 6, 7]);
    expect(model.window(31, 9).map((e) => e.seq)).toEqual([31, 32, 33]);
    expect(model.window(-3, 2).map((e) => e.seq)).toEqual([1, 2]);
    expect(model.window(34, 5)).toEqual([]);
    expect(model.listed(7)).toBe(model.listed(7));
    expect(model.timeOf(13)).toBe('0.000013 s');
    expect(model.timeOf(99)).toBe('');
  });

  test('the effect of an event is that of its changes, wherever the state is', () => {
    const { model } = long;
    const fresh = new Timeline(model.reader, { table: model.table });
    for (const at of [0, 4000, 70, model.last]) {
      model.approach(at, Infinity);
      for (const seq of [1, 2, 3, 64, 65, 129, 2000, 4000, 4001]) {
        expect(model.effect(seq), `${seq} from ${at}`).toEqual(effectOf(fresh.changesOf(seq)));
      }
    }
  });

  test('far beyond what was folded no effect is worked out, until the state has been there', () => {
    const far = testModel(longSession(10_000));
    opened.push(far);
    const { model } = far;
    const seq = Array.from({ length: 60 }, (_, i) => model.last - i).find((n) => model.listed(n)?.call === 'IOAS_ALLOC')!;
    expect(model.effect(seq)).toBeUndefined();
    model.approach(model.last, Infinity);
    expect(model.effect(seq)?.mark).toBe('created');
  });
});

describe('what an id stands for', () => {
  const resolve = (seq: number, at: number, id: number, field = {}): string | undefined => {
    small.model.approach(at, Infinity);
    return small.model.resolve(small.model.event(seq)!, field as Parameters<typeof small.model.resolve>[1], id);
  };
  test('an object, its age, its end', () => {
    expect(resolve(10, 10, 6)).toBe('VIOMMU 6, since 8');
    expect(resolve(8, 8, 6)).toBe('VIOMMU 6, new');
    expect(resolve(10, 10, 0)).toBeUndefined();
  });
  test('no object: none where the call failed, unknown where it went well', () => {
    expect(resolve(13, 13, 77)).toBe('no such object');
    expect(resolve(12, 12, 77)).toBe('not known here');
    expect(resolve(12, 12, 77, { creates: 'VDEVICE' })).toBeUndefined();
  });
});

test('a trace without events', () => {
  const empty = testModel({ ...longSession(1), frames: [] });
  opened.push(empty);
  const { model } = empty;
  expect([model.first, model.last, model.window(0, 5), model.event(1), model.effect(1)]).toEqual([0, 0, [], undefined, undefined]);
  expect(model.approach(0, -Infinity)).toBe(true);
});
