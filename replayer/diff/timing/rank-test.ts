/**
 * Do two samples come from the same distribution? The test of Wilcoxon, Mann and Whitney on ranks, with ties: exact where
 * both are small, by the normal approximation elsewhere; and Holm's correction where many are asked at once. It asks no
 * shape of the distributions: latencies have none that could be relied on.
 */

/** How many times as long something takes. */
export interface Factor {
  /** 1 the same, 2 twice as long */
  readonly ratio: number;
  /** what it may as well be; 0 … ∞ where nothing can be excluded */
  readonly low: number;
  readonly high: number;
}

/** Values in ascending order, each with how often it was seen. */
export interface Tally {
  readonly values: readonly number[];
  readonly counts: readonly number[];
}

export interface RankTest {
  /** U of b: pairs in which the value of b is the greater one, ties as a half */
  readonly u: number;
  /** the chance that one of b is greater than one of a, ties as a half: 0.5 where neither is; U over the number of pairs */
  readonly slower: number;
  /** two-sided, 0 … 1 */
  readonly p: number;
  /** p counts all ways to deal the values out, none is estimated */
  readonly exact: boolean;
}

/** Samples of both sides together up to which p is counted out. */
const EXACT = 40;

const total = (t: Tally): number => t.counts.reduce((sum, n) => sum + n, 0);

/** Both sides must have a value. */
export function rankTest(a: Tally, b: Tally): RankTest {
  const [m, n] = [total(a), total(b)];
  const groups = grouped(a, b);
  let [u, below] = [0, 0];
  for (const { ofA, ofB } of groups) {
    u += ofB * (below + ofA / 2);
    below += ofA;
  }
  const exact = m + n <= EXACT;
  return { u, slower: u / (m * n), p: exact ? counted(groups, m, n, u) : approximated(groups, m, n, u), exact };
}

/** Of a clock that saw no time pass, ns. */
const LEAST_VALUE = 0.5;

/**
 * By what factor is a value of b greater than one of a? The estimate of Hodges and Lehmann on the logarithms: the median of b/a
 * over all pairs; and its interval, those factors by which a would have to be taken for the test not to tell both apart at
 * `level` (normal approximation). Pairs are never listed: how many are above a factor is counted in one pass.
 */
export function factorOf(a: Tally, b: Tally, level: number): Factor {
  const [m, n] = [total(a), total(b)];
  const half = (m * n) / 2;
  const reach = quantileOfNormal(1 - level / 2) * Math.sqrt((m * n * (m + n + 1)) / 12) + 0.5;
  const middle = Math.sqrt(crossing(a, b, half, true) * crossing(a, b, half, false));
  return {
    ratio: middle,
    low: reach >= half ? 0 : crossing(a, b, half + reach, true),
    high: reach >= half ? Number.POSITIVE_INFINITY : crossing(a, b, half - reach, false),
  };
}

/** From which factor on so many pairs are no more above it (`least`), or up to which as many still are. */
function crossing(a: Tally, b: Tally, pairs: number, least: boolean): number {
  const edge = (t: Tally, i: number): number => Math.log(Math.max(LEAST_VALUE, t.values.at(i)!));
  let [low, high] = [edge(b, 0) - edge(a, -1) - 1e-9, edge(b, -1) - edge(a, 0) + 1e-9];
  while (high - low > 1e-6) {
    const at = (low + high) / 2;
    const above = pairsAbove(a, b, Math.exp(at));
    if (least ? above > pairs : above >= pairs) low = at;
    else high = at;
  }
  return Math.exp((low + high) / 2);
}

/** Pairs whose b is more than `factor` times its a, ties as a half. */
function pairsAbove(a: Tally, b: Tally, factor: number): number {
  let [found, below, i] = [0, 0, 0];
  for (const [j, y] of b.values.entries()) {
    const value = Math.max(LEAST_VALUE, y);
    const scaled = (k: number): number => factor * Math.max(LEAST_VALUE, a.values[k]!);
    while (i < a.values.length && scaled(i) < value) below += a.counts[i++]!;
    const ties = i < a.values.length && scaled(i) === value ? a.counts[i]! : 0;
    found += b.counts[j]! * (below + ties / 2);
  }
  return found;
}

/** z with P(Z < z) = p, 0.5 ≤ p < 1. */
function quantileOfNormal(p: number): number {
  let [low, high] = [0, 40];
  while (high - low > 1e-9) {
    const at = (low + high) / 2;
    if (complementOfError(at / Math.SQRT2) / 2 > 1 - p) low = at;
    else high = at;
  }
  return low;
}

interface Group {
  readonly ofA: number;
  readonly ofB: number;
}

/** How many of each side have each value, ascending. */
function grouped(a: Tally, b: Tally): Group[] {
  const groups: Group[] = [];
  for (let [i, j] = [0, 0]; i < a.values.length || j < b.values.length; ) {
    const [x, y] = [a.values[i] ?? Number.POSITIVE_INFINITY, b.values[j] ?? Number.POSITIVE_INFINITY];
    groups.push({ ofA: x <= y ? a.counts[i++]! : 0, ofB: y <= x ? b.counts[j++]! : 0 });
  }
  return groups;
}

/** Variance without ties mn(m+n+1)/12, less what ties take of it; half a step for that U has steps. */
function approximated(groups: readonly Group[], m: number, n: number, u: number): number {
  const all = m + n;
  const ties = groups.reduce((sum, { ofA, ofB }) => sum + (ofA + ofB) ** 3 - (ofA + ofB), 0);
  const variance = ((m * n) / 12) * (all + 1 - ties / (all * (all - 1)));
  if (variance <= 0) return 1;
  const distance = Math.max(0, Math.abs(u - (m * n) / 2) - 0.5);
  return Math.min(1, complementOfError(distance / Math.sqrt(2 * variance)));
}

/**
 * In how many of the ways to deal the values out again is the rank sum of b as far from its mean: ways[k][s] counts those that
 * give b k values with twice their rank sum s (twice, because ties have half ranks).
 */
function counted(groups: readonly Group[], m: number, n: number, u: number): number {
  const all = m + n;
  const most = all * (all + 1);
  const ways = Array.from({ length: n + 1 }, () => new Float64Array(most + 1));
  ways[0]![0] = 1;
  let dealt = 0;
  for (const { ofA, ofB } of groups) {
    const size = ofA + ofB;
    const rank = 2 * dealt + size + 1;
    for (let k = Math.min(n, dealt + size); k > 0; k--) {
      for (let taken = 1; taken <= Math.min(size, k); taken++) {
        const times = choose(size, taken);
        const from = ways[k - taken]!;
        for (let s = most - taken * rank; s >= 0; s--) ways[k]![s + taken * rank]! += times * from[s]!;
      }
    }
    dealt += size;
  }
  const mean = n * (all + 1);
  const far = Math.abs(2 * u + n * (n + 1) - mean);
  let found = 0;
  ways[n]!.forEach((count, s) => {
    if (Math.abs(s - mean) >= far - 1e-9) found += count;
  });
  return Math.min(1, found / choose(all, n));
}

function choose(n: number, k: number): number {
  let result = 1;
  for (let i = 1; i <= k; i++) result = (result * (n - k + i)) / i;
  return Math.round(result);
}

/** The least p that samples of such sizes can give, if no two values are equal. */
export const leastP = (m: number, n: number): number => (m + n > EXACT ? 0 : Math.min(1, 2 / choose(m + n, Math.min(m, n))));

/** erfc(x), x ≥ 0, to some 12 digits: the series of erf near 0, its continued fraction elsewhere. */
export function complementOfError(x: number): number {
  if (x < 2) {
    let [term, sum] = [x, x];
    for (let k = 1; term > sum * 1e-17; k++) {
      term *= (2 * x * x) / (2 * k + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let rest = x;
  for (let k = 120; k >= 1; k--) rest = x + k / 2 / rest;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * rest);
}

/**
 * Holm's correction: each p as it counts where all of them are asked together, so that the chance of even one false finding
 * stays what one asks for. In the order that they came in.
 */
export function holm(p: readonly number[]): number[] {
  const order = p.map((_, i) => i).sort((i, j) => p[i]! - p[j]!);
  const corrected = new Array<number>(p.length).fill(1);
  let least = 0;
  order.forEach((i, rank) => {
    least = Math.max(least, Math.min(1, p[i]! * (p.length - rank)));
    corrected[i] = least;
  });
  return corrected;
}
