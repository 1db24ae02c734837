import { afterAll, describe, expect, test } from 'vitest';
import { eventText } from '../../hw/event-text.ts';
import { parseQuery } from '../../replayer/query.ts';
import { vocabularyOf } from '../../replayer/query-fields.ts';
import { compileQuery } from '../../replayer/query-match.ts';
import { Timeline } from '../../replayer/timeline.ts';
import { textOptions } from '../present/event.ts';
import { longSession, testModel } from '../testing.ts';
import { Finder } from './finder.ts';
import { contains, filterNeedle, type Needle, textNeedle, wrongFilter } from './needle.ts';

const small = testModel();
const big = testModel(longSession(9000));
afterAll(() => {
  small.dispose();
  big.dispose();
});

type Model = typeof small.model;

const matchesOf = (finder: Finder): number[] => {
  const found: number[] = [];
  for (let at = finder.hits.next(0, 1); typeof at === 'number'; at = finder.hits.next(at, 1)) found.push(at);
  return found;
};

function run(model: Model, text: string, needle: Needle, at: number): number[] {
  const finder = new Finder(model, text, needle, at);
  // a deadline that is over: the smallest slices there are
  while (!finder.work(0));
  expect(finder.progress).toBe(1);
  return matchesOf(finder);
}

/** Event by event, with a timeline that walks along. */
function naive(model: Model, text: string): number[] {
  const parsed = parseQuery(text, vocabularyOf(model.table));
  if (!parsed.ok) throw new Error(parsed.error.message);
  const test = compileQuery(parsed.query, model.table, { entered: (seq) => model.event(seq) });
  const before = new Timeline(model.reader, { table: model.table });
  const after = new Timeline(model.reader, { table: model.table });
  return Array.from({ length: model.last }, (_, i) => i + 1).filter((seq) => {
    before.seek(seq - 1);
    const changes = after.step();
    return test({ row: model.row(seq), frame: model.event(seq)!, changes, before: before.state });
  });
}

const QUERIES = [
  'errno != 0',
  'call ~ MAP && errno == 0',
  'object == 7',
  'object == ioas 3',
  'created(ioas) || destroyed()',
  'took > 1ns && !(call == IOAS_MAP)',
  'iova >= 0x3000 && iova < 0x5000',
  'seq in 100..4200 && call == IOAS_UNMAP',
  'error',
  'changed(ioas 2)',
  'seq > 99999999',
];

describe('a filter shows what a look at every event shows', () => {
  test.each(QUERIES)(
    '%s',
    (text) => {
      for (const { model } of [small, big]) {
        const wanted = naive(model, text);
        for (const at of [1, Math.ceil(model.last / 2), model.last]) {
          model.timeline.seek(at);
          expect(run(model, text, filterNeedle(model, text), at)).toEqual(wanted);
        }
      }
    },
    60_000,
  );
});

test('a plain text: by the index where it names calls or errors, else as the events are printed', () => {
  const { model } = small;
  const options = textOptions(model.context);
  model.timeline.seek(model.last);
  for (const text of ['0x1000000', 'viommu_id=6', '4712', 'no such text']) {
    const wanted = Array.from({ length: model.last }, (_, i) => i + 1).filter((seq) => {
      const { call, result } = eventText(model.event(seq)!, options);
      return `${call} ${result}`.includes(text);
    });
    expect(run(model, text, textNeedle(model, text), 9)).toEqual(wanted);
  }
  expect(run(model, 'queue', filterNeedle(model, 'queue'), 1)).toEqual([10, 11]);
  expect(run(model, 'EBUSY', filterNeedle(model, 'EBUSY'), 1)).toEqual([13, 23]);
  expect(run(model, 'Queue', filterNeedle(model, 'Queue'), 1)).toEqual([]);
});

test('what is around the cursor is known first', () => {
  const finder = new Finder(big.model, 'errno != 0', filterNeedle(big.model, 'errno != 0'), 8500);
  finder.work(0);
  expect([finder.hits.isKnown(8500), finder.hits.isKnown(1), finder.done]).toEqual([true, false, false]);
});

test('a capital letter makes case count', () => {
  expect([contains('map')('IOAS_MAP'), contains('MAP')('ioas_map'), contains('MAP')('IOAS_MAP')]).toEqual([true, false, true]);
});

test('what looks like a condition and is none is told, what does not is a text', () => {
  const { model } = small;
  expect(wrongFilter(model, 'errno ==')).toMatch(/expected a value/);
  expect(filterNeedle(model, 'errno ==').kind).toBe('wrong');
  expect([wrongFilter(model, 'errno'), wrongFilter(model, 'errno != 0'), wrongFilter(model, 'some text')]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(filterNeedle(model, 'created(ioas)').kind).toBe('folded');
});
