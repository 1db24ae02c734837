/**
 * Two sequences of numbers, laid beside each other: which element of one is which of the other. First by what is there once
 * in both (patience), between those by Myers' O(ND) algorithm in linear space. Past a limit of work Myers' search takes the
 * furthest point that it has come to, so two long sequences that have little in common are aligned roughly rather than
 * never; what is matched is always equal and in order, but then not always the most that could be.
 */

/** Work between two yields, in steps of the innermost loop. */
const SLICE = 20_000;
/** Edits that Myers' search looks for in one range before it takes what it has. */
const MOST_EDITS = 1_024;

/** A range of both sequences, ends excluded. */
interface Range {
  readonly a0: number;
  readonly a1: number;
  readonly b0: number;
  readonly b1: number;
}

export interface AlignOptions {
  /** see {@link MOST_EDITS} */
  readonly edits?: number;
  /** false: Myers alone, so that the alignment is a longest one where `edits` allows it */
  readonly patience?: boolean;
}

/** Yields now and then, so that the caller can do something else. → for each element of `a` its index in `b`, -1 for none */
export function* align(a: Int32Array, b: Int32Array, options: AlignOptions = {}): Generator<void, Int32Array> {
  // what the other side does not have can only be in the way
  const [keptA, keptB] = [inCommon(a, b), inCommon(b, a)];
  yield;
  const aligner = new Aligner(pick(a, keptA), pick(b, keptB), options);
  yield* aligner.run();
  const partners = new Int32Array(a.length).fill(-1);
  aligner.partners.forEach((j, i) => {
    if (j >= 0) partners[keptA[i]!] = keptB[j]!;
  });
  return partners;
}

/** Where a sequence has what the other one has too. */
function inCommon(of: Int32Array, other: Int32Array): Int32Array {
  const there = new Set(other);
  const places = new Int32Array(of.length);
  let count = 0;
  for (let i = 0; i < of.length; i++) if (there.has(of[i]!)) places[count++] = i;
  return places.subarray(0, count);
}

const pick = (of: Int32Array, places: Int32Array): Int32Array => Int32Array.from(places, (i) => of[i]!);

class Aligner {
  readonly partners: Int32Array;
  readonly #a: Int32Array;
  readonly #b: Int32Array;
  readonly #edits: number;
  readonly #patience: boolean;
  /** furthest x on each diagonal, from the beginning and from the end; the middle element is diagonal 0 */
  #forward = new Int32Array(0);
  #backward = new Int32Array(0);
  #work = 0;

  constructor(a: Int32Array, b: Int32Array, { edits = MOST_EDITS, patience = true }: AlignOptions) {
    this.#a = a;
    this.#b = b;
    this.#edits = edits;
    this.#patience = patience;
    this.partners = new Int32Array(a.length).fill(-1);
  }

  *run(): Generator<void> {
    const todo: Range[] = [{ a0: 0, a1: this.#a.length, b0: 0, b1: this.#b.length }];
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const range = this.#trim(next);
      if (range.a0 === range.a1 || range.b0 === range.b1) continue;
      const parts = (this.#patience ? this.#anchors(range) : undefined) ?? (yield* this.#split(range));
      todo.push(...parts);
      this.#work += range.a1 - range.a0 + range.b1 - range.b0;
      if (this.#due()) yield;
    }
  }

  #due(): boolean {
    if (this.#work < SLICE) return false;
    this.#work = 0;
    return true;
  }

  /** Matches what is equal at both ends. → the rest */
  #trim({ a0, a1, b0, b1 }: Range): Range {
    while (a0 < a1 && b0 < b1 && this.#a[a0] === this.#b[b0]) this.partners[a0++] = b0++;
    while (a0 < a1 && b0 < b1 && this.#a[a1 - 1] === this.#b[b1 - 1]) this.partners[--a1] = --b1;
    return { a0, a1, b0, b1 };
  }

  /** Matches what is there once in both, as far as it is in order. → the ranges between; undefined where there is nothing such */
  #anchors({ a0, a1, b0, b1 }: Range): Range[] | undefined {
    const TWICE = -1;
    const inA = new Map<number, number>();
    const inB = new Map<number, number>();
    for (let i = a0; i < a1; i++) inA.set(this.#a[i]!, inA.has(this.#a[i]!) ? TWICE : i);
    for (let j = b0; j < b1; j++) inB.set(this.#b[j]!, inB.has(this.#b[j]!) ? TWICE : j);
    const pairs: { readonly a: number; readonly b: number }[] = [];
    for (const [key, a] of inA) {
      const b = inB.get(key) ?? TWICE;
      if (a !== TWICE && b !== TWICE) pairs.push({ a, b });
    }
    if (pairs.length === 0) return undefined;
    const ranges: Range[] = [];
    let [a, b] = [a0, b0];
    for (const anchor of rising(pairs.sort((x, y) => x.a - y.a))) {
      this.partners[anchor.a] = anchor.b;
      if (anchor.a > a && anchor.b > b) ranges.push({ a0: a, a1: anchor.a, b0: b, b1: anchor.b });
      [a, b] = [anchor.a + 1, anchor.b + 1];
    }
    if (a < a1 && b < b1) ranges.push({ a0: a, a1, b0: b, b1 });
    return ranges;
  }

  /** Splits a range where a shortest edit script goes through its middle. */
  *#split(range: Range): Generator<void, Range[]> {
    const { a0, a1, b0, b1 } = range;
    // with one element on a side there is nothing to search for
    if (a1 - a0 === 1 || b1 - b0 === 1) {
      this.#single(range);
      return [];
    }
    const { x, y } = yield* this.#middle(range);
    // a point at a corner would split nothing
    if ((x === a0 && y === b0) || (x === a1 && y === b1)) return [];
    return [
      { a0, a1: x, b0, b1: y },
      { a0: x, a1, b0: y, b1 },
    ];
  }

  #single({ a0, a1, b0, b1 }: Range): void {
    for (let i = a0; i < a1; i++) {
      for (let j = b0; j < b1; j++) {
        if (this.#a[i] !== this.#b[j]) continue;
        this.partners[i] = j;
        return;
      }
    }
  }

  /** A point on a shortest edit script: Myers' middle snake. Past the limit the furthest point from the beginning. */
  *#middle({ a0, a1, b0, b1 }: Range): Generator<void, { readonly x: number; readonly y: number }> {
    const n = a1 - a0;
    const m = b1 - b0;
    const delta = n - m;
    const most = Math.min(this.#edits, (n + m + 1) >> 1);
    const zero = most + 1;
    const size = 2 * most + 3;
    if (this.#forward.length < size) {
      this.#forward = new Int32Array(size);
      this.#backward = new Int32Array(size);
    }
    const forward = this.#forward.fill(-1, 0, size);
    const backward = this.#backward.fill(-1, 0, size);
    forward[zero + 1] = 0;
    backward[zero + 1] = 0;
    const odd = (delta & 1) !== 0;
    for (let d = 0; d <= most; d++) {
      for (let k = -d; k <= d; k += 2) {
        const x = this.#furthest(forward, zero, k, d, n, m, (i, j) => this.#a[a0 + i] === this.#b[b0 + j]);
        const other = delta - k;
        if (odd && Math.abs(other) <= d - 1 && x >= 0 && backward[zero + other]! >= 0 && x + backward[zero + other]! >= n)
          return { x: a0 + x, y: b0 + x - k };
      }
      for (let k = -d; k <= d; k += 2) {
        const x = this.#furthest(backward, zero, k, d, n, m, (i, j) => this.#a[a1 - 1 - i] === this.#b[b1 - 1 - j]);
        const other = delta - k;
        if (!odd && Math.abs(other) <= d && x >= 0 && forward[zero + other]! >= 0 && x + forward[zero + other]! >= n)
          return { x: a1 - x, y: b1 - (x - k) };
      }
      this.#work += 4 * d + 2;
      if (this.#due()) yield;
    }
    return this.#best(forward, zero, most, { a0, a1, b0, b1 });
  }

  /** One more edit on diagonal k, and then along what is equal. → x, -1 where the diagonal leaves the range */
  #furthest(v: Int32Array, zero: number, k: number, d: number, n: number, m: number, equal: (i: number, j: number) => boolean): number {
    const down = k === -d || (k !== d && v[zero + k - 1]! < v[zero + k + 1]!);
    const from = down ? v[zero + k + 1]! : v[zero + k - 1]!;
    let x = down ? from : from + 1;
    let y = x - k;
    if (from < 0 || x > n || y > m || y < 0) {
      v[zero + k] = -1;
      return -1;
    }
    const begin = x;
    while (x < n && y < m && equal(x, y)) {
      x++;
      y++;
    }
    this.#work += x - begin;
    v[zero + k] = x;
    return x;
  }

  /** Of the points that were reached from the beginning the one that is furthest. */
  #best(v: Int32Array, zero: number, d: number, { a0, a1, b0, b1 }: Range): { readonly x: number; readonly y: number } {
    let best = { x: a0, y: b0 };
    for (let k = -d; k <= d; k++) {
      const x = v[zero + k]!;
      if (x < 0 || x - k < 0 || x > a1 - a0 || x - k > b1 - b0) continue;
      if (2 * x - k > best.x - a0 + (best.y - b0)) best = { x: a0 + x, y: b0 + x - k };
    }
    return best;
  }
}

/** The longest run of pairs, ascending by `a`, that ascends by `b` too. */
function rising<P extends { readonly b: number }>(pairs: readonly P[]): P[] {
  const tails: number[] = [];
  const before = new Int32Array(pairs.length).fill(-1);
  pairs.forEach((pair, i) => {
    let [low, high] = [0, tails.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[tails[middle]!]!.b < pair.b) low = middle + 1;
      else high = middle;
    }
    before[i] = low === 0 ? -1 : tails[low - 1]!;
    tails[low] = i;
  });
  const run: P[] = [];
  for (let i = tails.at(-1) ?? -1; i >= 0; i = before[i]!) run.push(pairs[i]!);
  return run.reverse();
}

/** Elements that a gap is moved by, at most. */
const FAR = 1000;

/**
 * Where elements that are alike stand in a row, it is open which of them has no partner. Moves such gaps in `a` to where `b` has
 * a gap too, so that the two can be seen as one element that has changed.
 */
export function slide(a: Int32Array, partners: Int32Array, lengthB: number): void {
  for (let s = 0; s < a.length; s++) {
    if (partners[s]! >= 0) continue;
    let e = s;
    while (e < a.length && partners[e]! < 0) e++;
    if (!gapAt(partners, s, e, lengthB)) slideRun(a, partners, s, e, lengthB);
    s = e;
  }
}

/** Has `b` a gap where a[s … e) would stand? */
const gapAt = (partners: Int32Array, s: number, e: number, lengthB: number): boolean =>
  (e < partners.length ? partners[e]! : lengthB) - (s > 0 ? partners[s - 1]! : -1) > 1;

function slideRun(a: Int32Array, partners: Int32Array, s: number, e: number, lengthB: number): void {
  const n = e - s;
  for (let k = 1; k <= FAR && s - k >= 0 && partners[s - k]! >= 0 && a[s - k] === a[e - k]; k++) {
    const before = s - k > 0 ? partners[s - k - 1]! : -1;
    if (s - k > 0 && before < 0) break;
    if (partners[s - k]! - before <= 1) continue;
    for (let i = s - 1; i >= s - k; i--) [partners[i + n], partners[i]] = [partners[i]!, -1];
    return;
  }
  for (let k = 1; k <= FAR && e + k <= a.length && partners[e + k - 1]! >= 0 && a[s + k - 1] === a[e + k - 1]; k++) {
    const after = e + k < a.length ? partners[e + k]! : lengthB;
    if (after < 0) break;
    if (after - partners[e + k - 1]! <= 1) continue;
    for (let i = e; i < e + k; i++) [partners[i - n], partners[i]] = [partners[i]!, -1];
    return;
  }
}

/** Steps that a gap is tried at without any gain. */
const PATIENCE = 64;

/**
 * Of elements that are alike in a row, any may be the one without a partner. Moves each gap in `a` to where most pairs agree: there
 * the others mean the same things. → whether something was moved
 */
export function settle(a: Int32Array, partners: Int32Array, agree: (i: number, j: number) => boolean): boolean {
  let moved = false;
  for (let s = 0; s < a.length; s++) {
    if (partners[s]! >= 0) continue;
    let e = s;
    while (e < a.length && partners[e]! < 0) e++;
    const by = bestShift(a, partners, s, e, agree);
    if (by !== 0) shift(partners, s, e, by);
    moved ||= by !== 0;
    s = Math.max(e, e + by);
  }
  return moved;
}

/** By how much the gap a[s … e) is moved, negative to the front. */
function bestShift(a: Int32Array, partners: Int32Array, s: number, e: number, agree: (i: number, j: number) => boolean): number {
  const n = e - s;
  let [best, most] = [0, 0];
  for (const way of [-1, 1] as const) {
    let gain = 0;
    for (let k = 1, idle = 0; idle < PATIENCE; k++, idle++) {
      // the element that gives its partner away, and the one that takes it
      const from = way < 0 ? s - k : e + k - 1;
      const to = from - way * n;
      const partner = partners[from] ?? -1;
      if (partner < 0 || a[from] !== a[to]) break;
      gain += Number(agree(to, partner)) - Number(agree(from, partner));
      if (gain > most) [best, most, idle] = [way * k, gain, 0];
    }
  }
  return best;
}

function shift(partners: Int32Array, s: number, e: number, by: number): void {
  const n = e - s;
  for (let i = s - 1; i >= s + by; i--) [partners[i + n], partners[i]] = [partners[i]!, -1];
  for (let i = e; i < e + by; i++) [partners[i - n], partners[i]] = [partners[i]!, -1];
}

/**
 * Elements that ask the same by chance, of other things, may stand beside each other in the way of those that are the same step.
 * Between pairs that are `firm` pairs are found anew by `a` and `b`, where these give more of them. → whether there are any such
 */
export function* rematch(
  a: Int32Array,
  b: Int32Array,
  partners: Int32Array,
  firm: (i: number, j: number) => boolean,
): Generator<void, boolean> {
  let found = false;
  const between = function* (a0: number, a1: number, b0: number, b1: number): Generator<void> {
    const matched = partners.subarray(a0, a1).reduce((n, j) => n + Number(j >= 0), 0);
    // each pair more needs an element of either side that has none
    if (matched === 0 || matched === a1 - a0 || matched === b1 - b0) return;
    const better = yield* align(a.subarray(a0, a1), b.subarray(b0, b1));
    if (better.reduce((n, j) => n + Number(j >= 0), 0) <= matched) return;
    partners.set(
      better.map((j) => (j < 0 ? j : b0 + j)),
      a0,
    );
    found = true;
  };
  let [a0, b0] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const j = partners[i]!;
    if (j < 0 || !firm(i, j)) continue;
    yield* between(a0, i, b0, j);
    [a0, b0] = [i + 1, j + 1];
  }
  yield* between(a0, a.length, b0, b.length);
  return found;
}

/** Of partners by index: those of the other side. */
export function inverse(partners: Int32Array, length: number): Int32Array {
  const back = new Int32Array(length).fill(-1);
  partners.forEach((j, i) => {
    if (j >= 0) back[j] = i;
  });
  return back;
}

/** Runs to the end at once. */
export function drained<T>(run: Generator<unknown, T>): T {
  for (;;) {
    const next = run.next();
    if (next.done === true) return next.value;
  }
}
