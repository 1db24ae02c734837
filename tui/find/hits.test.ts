import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BLOCK, Hits, UNKNOWN } from './hits.ts';
import { distance, filteredList, pageOfList, wholeList } from './list.ts';

/** Some matches in a log of three blocks and a bit, all of it looked at. */
const SEQS = fc.uniqueArray(fc.integer({ min: 1, max: 3 * BLOCK + 77 }), { maxLength: 60 });
const LAST = 3 * BLOCK + 77;

function hitsOf(seqs: readonly number[], last = LAST): Hits {
  const hits = new Hits(last);
  for (const seq of seqs) hits.add(seq);
  hits.looked(1, last);
  return hits;
}

test('next, any, rank and total are those of a plain list', () => {
  fc.assert(
    fc.property(SEQS, fc.integer({ min: 0, max: LAST + 1 }), fc.integer({ min: 0, max: LAST + 1 }), (seqs, a, b) => {
      const hits = hitsOf(seqs);
      const sorted = [...seqs].sort((x, y) => x - y);
      expect([hits.total, hits.done]).toEqual([seqs.length, true]);
      expect(hits.next(a, 1)).toBe(sorted.find((s) => s > a));
      expect(hits.next(a, -1)).toBe(sorted.findLast((s) => s < a));
      expect(hits.rank(a)).toBe(sorted.filter((s) => s <= a).length);
      expect(hits.any(Math.min(a, b), Math.max(a, b))).toBe(sorted.some((s) => s >= Math.min(a, b) && s <= Math.max(a, b)));
    }),
  );
});

test('where nobody has looked nothing is known', () => {
  const hits = new Hits(LAST);
  hits.add(5);
  hits.looked(1, 100);
  expect([hits.next(0, 1), hits.next(5, 1), hits.next(100, -1), hits.next(200, -1)]).toEqual([5, UNKNOWN, 5, UNKNOWN]);
  expect([hits.isKnown(100), hits.isKnown(101), hits.known, hits.done]).toEqual([true, false, 100, false]);
  expect(hits.open(0)).toEqual({ from: 101, to: BLOCK });
  hits.looked(101, LAST);
  expect([hits.next(5, 1), hits.done]).toEqual([undefined, true]);
});

test('a log that grows keeps what is known', () => {
  const hits = hitsOf([3, 4000], 4090);
  hits.grow(9000);
  expect([hits.done, hits.next(4000, 1), hits.next(3, 1), hits.known]).toEqual([false, UNKNOWN, 4000, 4090]);
  hits.add(8999);
  hits.looked(4091, 9000);
  expect([hits.done, hits.next(4000, 1), hits.total]).toEqual([true, 8999, 3]);
});

test('a filtered list is the matches, and the event under the cursor', () => {
  fc.assert(
    fc.property(
      SEQS,
      fc.integer({ min: 1, max: LAST }),
      fc.integer({ min: -9, max: 9 }),
      fc.integer({ min: 0, max: 9 }),
      (seqs, at, by, row) => {
        const list = filteredList(hitsOf(seqs));
        const naive = [...new Set([...seqs, at])].sort((x, y) => x - y);
        const here = naive.indexOf(at);
        const there = naive[Math.max(0, Math.min(naive.length - 1, here + by))]!;
        expect(list.move(at, by)).toBe(there);
        expect(list.above(at, 5)).toBe(Math.min(5, here));
        expect(list.below(at, 5)).toBe(Math.min(5, naive.length - 1 - here));
        expect(distance(list, at, there, 50)).toBe(naive.indexOf(there) - here);
        const first = Math.max(0, here - row);
        expect(pageOfList(list, at, row, 10).slice(0, 10)).toEqual(naive.slice(first, Math.max(first + 10, here + 1)).slice(0, 10));
      },
    ),
  );
});

test('without a filter the list is the log', () => {
  const list = wholeList(1, 100);
  expect([list.move(5, 3), list.move(5, -30), list.above(5, 10), list.below(98, 10)]).toEqual([8, 1, 4, 2]);
  expect(pageOfList(list, 99, 2, 5)).toEqual([97, 98, 99, 100]);
  expect([distance(list, 5, 9, 20), distance(list, 9, 5, 20), distance(list, 1, 99, 20)]).toEqual([4, -4, 20]);
});
