import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AlignOptions, align, settle } from './align.ts';

function aligned(a: readonly number[], b: readonly number[], options?: AlignOptions): number[] {
  const run = align(Int32Array.from(a), Int32Array.from(b), options);
  for (;;) {
    const next = run.next();
    if (next.done === true) return [...next.value];
  }
}

/** The length of a longest common subsequence, by the book. */
function longest(a: readonly number[], b: readonly number[]): number {
  let above = new Array<number>(b.length + 1).fill(0);
  for (const x of a) {
    const row = [0];
    b.forEach((y, j) => {
      row.push(x === y ? above[j]! + 1 : Math.max(above[j + 1]!, row[j]!));
    });
    above = row;
  }
  return above[b.length]!;
}

const matched = (partners: readonly number[]): number => partners.filter((p) => p >= 0).length;
const sequence = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 40 });

function expectSound(a: readonly number[], b: readonly number[], partners: readonly number[]): void {
  expect(partners.length).toBe(a.length);
  const used = partners.filter((p) => p >= 0);
  expect(used).toEqual([...new Set(used)].sort((x, y) => x - y));
  partners.forEach((p, i) => {
    if (p >= 0) expect(b[p]).toBe(a[i]);
  });
}

describe('align', () => {
  test('Myers alone finds a longest alignment', () => {
    fc.assert(
      fc.property(sequence, sequence, (a, b) => {
        const partners = aligned(a, b, { patience: false, edits: 1000 });
        expectSound(a, b, partners);
        expect(matched(partners)).toBe(longest(a, b));
      }),
      { numRuns: 2000 },
    );
  });

  test('with anchors or a limit, what is matched is equal and in order', () => {
    fc.assert(
      fc.property(sequence, sequence, fc.integer({ min: 1, max: 6 }), fc.boolean(), (a, b, edits, patience) => {
        expectSound(a, b, aligned(a, b, { patience, edits }));
      }),
      { numRuns: 2000 },
    );
  });

  test('a sequence is aligned with itself, element by element', () => {
    fc.assert(
      fc.property(sequence, (a) => {
        expect(aligned(a, a)).toEqual(a.map((_, i) => i));
      }),
    );
  });

  test('deletions of different elements are found exactly', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(10_000), { maxLength: 60 }), fc.func(fc.boolean()), (a, keep) => {
        const b = a.filter((x) => keep(x));
        expect(aligned(a, b)).toEqual(a.map((x) => b.indexOf(x)));
      }),
    );
  });

  test('two long sequences that run against each other come to an end, in slices', () => {
    const a = Int32Array.from({ length: 100_000 }, (_, i) => i % 7);
    const b = Int32Array.from({ length: 100_000 }, (_, i) => 6 - (i % 7));
    let slices = 0;
    const run = align(a, b);
    for (let next = run.next(); ; next = run.next(), slices++) {
      if (next.done !== true) continue;
      expectSound([...a], [...b], [...next.value]);
      break;
    }
    expect(slices).toBeGreaterThan(10);
  });
});

test('a gap goes to where the pairs agree, and nothing else changes', () => {
  // which of the sevens is missing is open: their second values say it
  const a = [5, 7, 7, 7, 6].map((key, i) => ({ key, value: i }));
  const b = [a[0]!, a[2]!, a[3]!, a[4]!];
  const partners = Int32Array.from([0, 1, 2, -1, 3]);
  expect(
    settle(
      Int32Array.from(a, (x) => x.key),
      partners,
      (i, j) => a[i]!.value === b[j]!.value,
    ),
  ).toBe(true);
  expect([...partners]).toEqual([0, -1, 1, 2, 3]);

  const list = fc.array(fc.nat(2), { maxLength: 30 });
  fc.assert(
    fc.property(list, list, fc.nat(7), (x, y, salt) => {
      const before = aligned(x, y);
      const after = Int32Array.from(before);
      const agree = (i: number, j: number): boolean => (i * 5 + j * 3 + salt) % 4 === 0;
      const agreeing = (all: readonly number[]): number => all.filter((j, i) => j >= 0 && agree(i, j)).length;
      settle(Int32Array.from(x), after, agree);
      expect(after.filter((j) => j >= 0)).toEqual(Int32Array.from(before.filter((j) => j >= 0)));
      after.forEach((j, i) => {
        if (j >= 0) expect(x[i]).toBe(y[j]);
      });
      expect(agreeing([...after])).toBeGreaterThanOrEqual(agreeing(before));
    }),
    { numRuns: 300 },
  );
});
