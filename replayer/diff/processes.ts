/**
 * Which process of one trace is which of the other. Those whose calls and answers are all the same are matched first, in order
 * of birth; between them by how many calls they have in common; what is left of those with the same calls at last in any order.
 * Threads of matched processes are matched by order of birth.
 */
import { align } from './align.ts';
import { Hash, Interner } from './hash.ts';
import type { Reading, ReadProcess } from './reading.ts';

/** Products of numbers of processes that are compared each with each. */
const MOST_PAIRS = 400_000;
/** Calls in common, of all: less is no likeness. */
const LEAST = 0.15;

interface Signature {
  /** all that its threads ask and are answered */
  readonly all: number;
  /** how often each call (name alone, and with arguments) is made */
  readonly counts: ReadonlyMap<number, number>;
  readonly total: number;
}

function signature(reading: Reading, process: ReadProcess, hash: Hash): Signature {
  const counts = new Map<number, number>();
  let total = 0;
  hash.reset();
  const count = (key: number): void => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
    total++;
  };
  for (const lane of process.lanes) {
    hash.word(-1);
    for (const seq of lane.events) {
      hash.word(reading.asked[seq]!).word(reading.answered[seq]!);
      count(reading.asked[seq]!);
      // names apart from arguments
      count(-reading.called[seq]!);
    }
  }
  return { all: hash.key, counts, total };
}

function likeness(a: Signature, b: Signature): number {
  if (a.counts.size > b.counts.size) return likeness(b, a);
  let common = 0;
  for (const [key, n] of a.counts) common += Math.min(n, b.counts.get(key) ?? 0);
  return a.total + b.total === 0 ? 1 : (2 * common) / (a.total + b.total);
}

/** → for each process of `a` the index of that of `b`, -1 for none */
export function* matchProcesses(a: Reading, b: Reading): Generator<void, Int32Array> {
  const hash = new Hash();
  const signs: [Signature[], Signature[]] = [[], []];
  for (const [side, reading] of [a, b].entries()) {
    for (const process of reading.processes) {
      signs[side]!.push(signature(reading, process, hash));
      yield;
    }
  }
  const numbers = new Interner();
  const column = (of: readonly Signature[]): Int32Array => Int32Array.from(of, (s) => numbers.number(s.all));
  const [allA, allB] = [column(signs[0]), column(signs[1])];
  const partners = yield* align(allA, allB);
  for (const gap of gaps(partners, b.processes.length)) yield* likest(gap, signs, partners);
  leftOver(partners, allA, allB);
  return partners;
}

interface Gap {
  readonly a0: number;
  readonly a1: number;
  readonly b0: number;
  readonly b1: number;
}

/** What lies between matched elements, where there is something on both sides. */
export function gaps(partners: Int32Array, lengthB: number): Gap[] {
  const found: Gap[] = [];
  let [a0, b0] = [0, 0];
  for (let i = 0; i <= partners.length; i++) {
    const j = i === partners.length ? lengthB : partners[i]!;
    if (j < 0) continue;
    if (i > a0 && j > b0) found.push({ a0, a1: i, b0, b1: j });
    [a0, b0] = [i + 1, j + 1];
  }
  return found;
}

/** The pairs, in order, that have the most in common together. */
function* likest({ a0, a1, b0, b1 }: Gap, [a, b]: readonly [Signature[], Signature[]], partners: Int32Array): Generator<void> {
  const [n, m] = [a1 - a0, b1 - b0];
  if (n === 1 && m === 1) {
    partners[a0] = b0;
    return;
  }
  if (n * m > MOST_PAIRS) {
    // too many to compare each with each: by order of birth
    for (let i = 0; i < Math.min(n, m); i++) partners[a0 + i] = b0 + i;
    return;
  }
  const width = m + 1;
  const best = new Float64Array((n + 1) * width);
  const like = new Float32Array(n * m);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      const l = likeness(a[a0 + i]!, b[b0 + j]!);
      like[i * m + j] = l;
      const pair = l < LEAST ? 0 : l + best[(i + 1) * width + j + 1]!;
      best[i * width + j] = Math.max(pair, best[(i + 1) * width + j]!, best[i * width + j + 1]!);
    }
    yield;
  }
  for (let [i, j] = [0, 0]; i < n && j < m; ) {
    const here = best[i * width + j]!;
    if (here === best[(i + 1) * width + j]) i++;
    else if (here === best[i * width + j + 1]) j++;
    else partners[a0 + i++] = b0 + j++;
  }
}

/** The same calls in another order of birth. */
function leftOver(partners: Int32Array, allA: Int32Array, allB: Int32Array): void {
  const used = new Set(partners);
  const free = new Map<number, number[]>();
  allB.forEach((key, j) => {
    if (!used.has(j)) free.set(key, [...(free.get(key) ?? []), j]);
  });
  allA.forEach((key, i) => {
    const j = partners[i]! < 0 ? free.get(key)?.shift() : undefined;
    if (j !== undefined) partners[i] = j;
  });
}
