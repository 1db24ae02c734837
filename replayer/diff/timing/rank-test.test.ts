import { describe, expect, test } from 'vitest';
import { Latencies } from './latencies.ts';
import { complementOfError, holm, leastP, rankTest, type Tally } from './rank-test.ts';

const tally = (...values: number[]): Tally => {
  const sorted = [...values].sort((x, y) => x - y);
  return { values: sorted, counts: sorted.map(() => 1) };
};
/** Equal values in one place, as callers give them. */
function folded(values: readonly number[]): Tally {
  const counts = new Map<number, number>();
  for (const v of [...values].sort((x, y) => x - y)) counts.set(v, (counts.get(v) ?? 0) + 1);
  return { values: [...counts.keys()], counts: [...counts.values()] };
}

describe('by hand', () => {
  test('three below three: 2 of the 20 ways are as far out', () => {
    expect(rankTest(tally(1, 2, 3), tally(4, 5, 6))).toEqual({ u: 9, slower: 1, p: 0.1, exact: true });
    expect(rankTest(tally(4, 5, 6), tally(1, 2, 3))).toEqual({ u: 0, slower: 0, p: 0.1, exact: true });
  });

  test('a few in between', () => {
    // ranks of b: 2, 4 of 5 values; rank sums of the 10 pairs are 3 4 5 6 5 6 7 7 8 9, mean 6: all of them are as far as 6
    expect(rankTest(tally(1, 3, 5), tally(2, 4))).toEqual({ u: 3, slower: 0.5, p: 1, exact: true });
    // b has ranks 4 and 5, sum 9: 3 and 9 are as far from 6
    expect(rankTest(tally(1, 2, 3), tally(8, 9)).p).toBeCloseTo(0.2, 12);
  });

  test('ties have the middle of their ranks', () => {
    // values 1 1 1 2: of b two of them, 1 and 2. Ranks 2 2 2 4; sums of pairs: 4 three times, 6 three times; mean 5: all as far
    expect(rankTest(folded([1, 1]), folded([1, 2]))).toEqual({ u: 3, slower: 0.75, p: 1, exact: true });
    // 1 1 2 2: b 2 2. Ranks 1.5 1.5 3.5 3.5: 7 in one of 6 ways, 3 in one of 6
    expect(rankTest(folded([1, 1]), folded([2, 2])).p).toBeCloseTo(2 / 6, 12);
    expect(rankTest(folded([7, 7, 7]), folded([7, 7])).p).toBe(1);
  });

  test('the normal approximation, with ties', () => {
    // 30 times 1 and 10 times 2 against 20 and 20: pairs won by b: 20 * 30 + ties (30 * 20 + 10 * 20) / 2 = 1000 of 1600
    const [a, b]: Tally[] = [
      { values: [1, 2], counts: [30, 10] },
      { values: [1, 2], counts: [20, 20] },
    ];
    const found = rankTest(a!, b!);
    expect(found.u).toBe(1000);
    expect(found.slower).toBe(0.625);
    expect(found.exact).toBe(false);
    // variance 1600 / 12 * (81 - (124950 + 26970) / 6320) = 7594.94; z = 199.5 / 87.149 = 2.2892; p from tables of the normal
    expect(found.p).toBeCloseTo(0.02207, 4);
  });

  test('where both ways can be gone they agree', () => {
    const a = Array.from({ length: 20 }, (_, i) => 10 + 3 * i);
    const b = Array.from({ length: 20 }, (_, i) => 21 + 3 * i);
    const exact = rankTest(tally(...a), tally(...b));
    const more = rankTest(tally(...a, 5), tally(...b));
    expect(exact.exact).toBe(true);
    expect(more.exact).toBe(false);
    expect(Math.abs(Math.log(exact.p / rankTest(tally(...a), tally(...b, 83)).p))).toBeLessThan(0.5);
  });

  test('erfc, against tables', () => {
    const known = [
      [0, 1],
      [0.5, 0.4795001221869535],
      [1, 0.15729920705028513],
      [1.999, 0.004699],
      [2.001, 0.004657],
      [3, 2.209049699858544e-5],
      [5, 1.5374597944280349e-12],
      [10, 2.0884875837625446e-45],
    ] as const;
    for (const [x, y] of known) expect(Math.abs(complementOfError(x) / y - 1)).toBeLessThan(x % 1 === 0 || x === 0.5 ? 1e-10 : 1e-3);
  });

  test('Holm', () => {
    expect(holm([0.01, 0.04, 0.03, 0.005])).toEqual([0.03, 0.06, 0.06, 0.02]);
    expect(holm([0.5, 0.9])).toEqual([1, 1]);
    expect(holm([])).toEqual([]);
  });

  test('what too few can show', () => {
    expect(leastP(3, 3)).toBeCloseTo(0.1, 12);
    expect(leastP(5, 5)).toBeCloseTo(2 / 252, 12);
    expect(leastP(1, 19)).toBeCloseTo(0.1, 12);
    expect(leastP(0, 9)).toBe(1);
  });
});

/** Numbers that are the same in every run: the generator of Lehmer with the multiplier of Park and Miller. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** Latencies as calls have them: log-normal, here and there ten times as long. */
function latency(next: () => number, median: number): number {
  const normal = Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
  return Math.round(median * Math.exp(0.25 * normal) * (next() < 0.02 ? 10 : 1));
}

function filled(next: () => number, count: number, median: number): Latencies {
  const latencies = new Latencies();
  for (let i = 0; i < count; i++) latencies.add(latency(next, median));
  return latencies;
}

function pOf(a: Latencies, b: Latencies): number {
  const binned = a.binned || b.binned;
  return rankTest(a.tally(binned), b.tally(binned)).p;
}

describe('by simulation', () => {
  test('of samples that do not differ as many are found as the level says', () => {
    const next = random(20261121);
    for (const size of [12, 60]) {
      let [at5, at1] = [0, 0];
      const runs = 2000;
      for (let i = 0; i < runs; i++) {
        const p = pOf(filled(next, size, 900), filled(next, size, 900));
        if (p < 0.05) at5++;
        if (p < 0.01) at1++;
      }
      // within four standard deviations of the share that is asked for
      expect(Math.abs(at5 / runs - 0.05)).toBeLessThan(4 * Math.sqrt((0.05 * 0.95) / runs));
      expect(Math.abs(at1 / runs - 0.01)).toBeLessThan(4 * Math.sqrt((0.01 * 0.99) / runs));
    }
  });

  test('a shift of 10 % is found, the more surely the more calls there are', () => {
    const next = random(7);
    const power = (size: number): number => {
      let found = 0;
      for (let i = 0; i < 200; i++) if (pOf(filled(next, size, 1000), filled(next, size, 1100)) < 0.01) found++;
      return found / 200;
    };
    expect(power(20)).toBeLessThan(0.4);
    expect(power(500)).toBeGreaterThan(0.99);
  });

  test('in histograms too, where the values themselves are gone', () => {
    const next = random(11);
    const [a, b, c] = [filled(next, 20_000, 1000), filled(next, 20_000, 1000), filled(next, 9000, 1100)];
    expect(a.binned && b.binned && c.binned).toBe(true);
    expect(pOf(a, b)).toBeGreaterThan(0.01);
    expect(pOf(a, c)).toBeLessThan(1e-100);
    // P(b slower) of two log-normals with σ 0.25 and medians 10 % apart is Φ(ln 1.1 / (0.25 √2)) = 0.606, outliers aside
    expect(Math.abs(rankTest(a.tally(true), c.tally(true)).slower - 0.606)).toBeLessThan(0.01);
  });

  test('one side in a histogram, the other one not', () => {
    const next = random(5);
    expect(pOf(filled(next, 20_000, 1000), filled(next, 300, 1000))).toBeGreaterThan(0.01);
  });
});

describe('latencies', () => {
  test('a histogram is off by less than 1 %', () => {
    for (let power = 0; power < 50; power += 0.37) {
      const value = Math.round(2 ** power);
      const latencies = new Latencies();
      for (let i = 0; i < 8192; i++) latencies.add(value);
      expect(latencies.binned).toBe(true);
      expect(Math.abs(latencies.quantile(0.5) / value - 1)).toBeLessThan(0.008);
    }
  });

  test('quantiles by nearest rank, before and after', () => {
    const few = new Latencies();
    for (const ns of [5, 1, 4, 2, 3]) few.add(ns);
    expect([few.quantile(0), few.quantile(0.5), few.quantile(0.99), few.count]).toEqual([1, 3, 5, 5]);
    expect(new Latencies().quantile(0.5)).toBe(0);
    const many = new Latencies();
    for (let i = 1; i <= 100_000; i++) many.add(i * 10);
    expect(Math.abs(many.quantile(0.99) / 990_000 - 1)).toBeLessThan(0.008);
    expect(Math.abs(many.quantile(0.5) / 500_000 - 1)).toBeLessThan(0.008);
  });
});
