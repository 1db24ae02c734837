/**
 * Which process of one trace is which of the other: first those that nobody in the trace forked, then the children of each pair.
 * Among siblings those whose calls and answers are all the same (and their children's) are matched first, in the order in which
 * they were forked, then those in another order; the rest by how many calls they have in common, in order, or where that gives
 * clearly more, in whatever order. Threads of matched processes are matched by order of birth.
 */

import { Hash, Interner } from '../meaning/hash.ts';
import type { Reading, ReadProcess } from '../reading.ts';
import { align } from './align.ts';

/** Products of numbers of processes that are compared each with each. */
const MOST_PAIRS = 400_000;
/** Calls in common, of all: less is no likeness. */
const LEAST = 0.15;
/** Siblings have changed places where that gives so many times more in common. */
const MORE = 1.1;

/** What a process does. */
export interface Counts {
  /** how often each call (name alone, and with arguments) is made */
  readonly counts: ReadonlyMap<number, number>;
  readonly total: number;
}
interface Signature extends Counts {
  /** all that its threads, and its children's, ask and are answered */
  readonly all: number;
}

/** Of every process, with what its children do: a process may be there only to fork another. */
function* signatures(reading: Reading): Generator<void, Signature[]> {
  const hash = new Hash();
  const own: Signature[] = [];
  for (const process of reading.processes) {
    own.push(signature(reading, process, hash));
    yield;
  }
  const index = new Map(reading.processes.map((p, i) => [p, i]));
  const whole = own.map((s) => ({ all: s.all, counts: new Map(s.counts), total: s.total }));
  // children come behind their parents, so their own is complete when it is told to the parent
  for (let i = own.length - 1; i >= 0; i--) {
    const parent = reading.processes[i]!.parent;
    const of = parent === undefined ? undefined : index.get(parent);
    if (of === undefined || of >= i) continue;
    const to = whole[of]!;
    to.all = hash.reset().value(to.all).value(whole[i]!.all).key;
    // what grandchildren do is not told: in a long line of forks all would be told again and again
    for (const [key, n] of own[i]!.counts) to.counts.set(key, (to.counts.get(key) ?? 0) + n);
    to.total += own[i]!.total;
  }
  return whole;
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

/**
 * How much two processes have in common, 0 … 1: of all that both do, and of all that the one does that does less. A process that
 * ends early, because a call failed, is like the one that went on.
 */
export function likeness(a: Counts, b: Counts): number {
  if (a.counts.size > b.counts.size) return likeness(b, a);
  if (a.total === 0 || b.total === 0) return a.total === b.total ? 1 : 0;
  let common = 0;
  for (const [key, n] of a.counts) common += Math.min(n, b.counts.get(key) ?? 0);
  return common / (a.total + b.total) + common / (2 * Math.min(a.total, b.total));
}

/** The processes of a trace: who forked whom, and which are the same. */
export interface Family {
  /** by process: the index of its parent, which is less than its own; -1 not known */
  readonly parents: readonly number[];
  /** when it was forked */
  readonly born: readonly number[];
  /** those that do all the same, and their children, have equal numbers, in both traces */
  readonly all: readonly number[];
}
/** How much process i of a and process j of b have in common, 0 … 1. */
export type Likeness = (i: number, j: number) => number;

/** → for each process of `a` the index of that of `b`, -1 for none */
export function* matchProcesses(a: Reading, b: Reading): Generator<void, Int32Array> {
  const [mine, theirs] = [yield* signatures(a), yield* signatures(b)];
  return yield* matchFamilies(familyOf(a, mine), familyOf(b, theirs), (i, j) => likeness(mine[i]!, theirs[j]!));
}

function familyOf({ processes }: Reading, signs: readonly Signature[]): Family {
  const index = new Map(processes.map((p, i) => [p, i]));
  return {
    parents: processes.map((p) => (p.parent === undefined ? -1 : (index.get(p.parent) ?? -1))),
    born: processes.map((p) => p.born),
    all: signs.map((s) => s.all),
  };
}

/** The same for processes of which that is known. */
export function* matchFamilies(a: Family, b: Family, like: Likeness): Generator<void, Int32Array> {
  const matching = new Matching(a, b, like);
  const families = [siblingsOf(a), siblingsOf(b)] as const;
  const { partners } = matching;
  yield* matching.siblings(families[0].get(-1) ?? [], families[1].get(-1) ?? []);
  // parents come before their children
  for (let i = 0; i < partners.length; i++) {
    const [mine, theirs] = [families[0].get(i), families[1].get(partners[i]!)];
    if (partners[i]! >= 0 && mine !== undefined && theirs !== undefined) yield* matching.siblings(mine, theirs);
  }
  const used = new Set(partners);
  const free = (of: Family, taken: (i: number) => boolean): number[] => [...of.all.keys()].filter((i) => !taken(i));
  yield* matching.siblings(
    free(a, (i) => partners[i]! >= 0),
    free(b, (j) => used.has(j)),
  );
  return partners;
}

/** Children by the index of their parent, in the order in which it forked them; -1: of nobody known. */
function siblingsOf({ parents, born }: Family): Map<number, number[]> {
  const families = new Map<number, number[]>();
  parents.forEach((parent, i) => {
    const key = parent < i ? parent : -1;
    const siblings = families.get(key);
    if (siblings === undefined) families.set(key, [i]);
    else siblings.push(i);
  });
  for (const siblings of families.values()) siblings.sort((x, y) => born[x]! - born[y]!);
  return families;
}

class Matching {
  readonly partners: Int32Array;
  readonly #a: Family;
  readonly #b: Family;
  readonly #like: Likeness;

  constructor(a: Family, b: Family, like: Likeness) {
    this.partners = new Int32Array(a.all.length).fill(-1);
    this.#a = a;
    this.#b = b;
    this.#like = like;
  }

  /** Two lists of processes: those that do all the same in order, then those out of order, then the likest of the rest. */
  *siblings(a: readonly number[], b: readonly number[]): Generator<void> {
    const numbers = new Interner();
    const column = (of: readonly number[], { all }: Family): Int32Array => Int32Array.from(of, (i) => numbers.number(all[i]!));
    const [allA, allB] = [column(a, this.#a), column(b, this.#b)];
    const found = yield* align(allA, allB);
    const taken = leftOver(found, allA, allB);
    const kept: Pair[] = [];
    for (const { a0, a1, b0, b1 } of gaps(found, b.length)) {
      const mine = a.slice(a0, a1).filter((_, i) => !taken.pairs.has(a0 + i));
      const theirs = b.slice(b0, b1).filter((_, j) => !taken.b.has(b0 + j));
      kept.push(...(yield* this.#inOrder(mine, theirs)));
    }
    found.forEach((j, i) => {
      if (j >= 0) this.partners[a[i]!] = b[j]!;
    });
    for (const [i, j] of taken.pairs) this.partners[a[i]!] = b[j]!;
    const used = new Set([...found, ...taken.b]);
    const changed = yield* this.#inAnyOrder(
      a.filter((_, i) => found[i]! < 0 && !taken.pairs.has(i)),
      b.filter((_, j) => !used.has(j)),
    );
    for (const { i, j } of sumOf(changed) > MORE * sumOf(kept) ? changed : kept) this.partners[i] = j;
  }

  /** The pairs, in order, that have the most in common together. */
  *#inOrder(a: readonly number[], b: readonly number[]): Generator<void, Pair[]> {
    const [n, m] = [a.length, b.length];
    const pair = (x: number, y: number): Pair => ({ i: a[x]!, j: b[y]!, like: this.#like(a[x]!, b[y]!) });
    if ((n === 1 && m === 1) || n * m > MOST_PAIRS) {
      // one each, or too many to compare each with each: by order of birth
      return Array.from({ length: Math.min(n, m) }, (_, x) => pair(x, x));
    }
    const pairs: Pair[] = [];
    const width = m + 1;
    const best = new Float64Array((n + 1) * width);
    for (let x = n - 1; x >= 0; x--) {
      for (let y = m - 1; y >= 0; y--) {
        const l = this.#like(a[x]!, b[y]!);
        const both = l < LEAST ? 0 : l + best[(x + 1) * width + y + 1]!;
        best[x * width + y] = Math.max(both, best[(x + 1) * width + y]!, best[x * width + y + 1]!);
      }
      yield;
    }
    for (let [x, y] = [0, 0]; x < n && y < m; ) {
      const here = best[x * width + y]!;
      if (here === best[(x + 1) * width + y]) x++;
      else if (here === best[x * width + y + 1]) y++;
      else pairs.push(pair(x++, y++));
    }
    return pairs;
  }

  /** The likest pairs first, those of like places among their siblings before others; none where there are too many. */
  *#inAnyOrder(a: readonly number[], b: readonly number[]): Generator<void, Pair[]> {
    if (a.length * b.length > MOST_PAIRS) return [];
    const likely: (Pair & { readonly far: number })[] = [];
    for (const [x, i] of a.entries()) {
      b.forEach((j, y) => {
        const like = this.#like(i, j);
        if (like >= LEAST) likely.push({ i, j, like, far: Math.abs(x - y) });
      });
      yield;
    }
    likely.sort((p, q) => q.like - p.like || p.far - q.far);
    const [mine, theirs] = [new Set<number>(), new Set<number>()];
    return likely.filter(({ i, j }) => {
      if (mine.has(i) || theirs.has(j)) return false;
      mine.add(i);
      theirs.add(j);
      return true;
    });
  }
}

/** Two processes, and how much they have in common. */
interface Pair {
  readonly i: number;
  readonly j: number;
  readonly like: number;
}

const sumOf = (pairs: readonly Pair[]): number => pairs.reduce((sum, p) => sum + p.like, 0);

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

/** Of two lists of siblings those that are matched already, though out of order. */
interface Taken {
  readonly pairs: ReadonlyMap<number, number>;
  readonly b: ReadonlySet<number>;
}

/** The same calls in another order of birth. */
function leftOver(found: Int32Array, allA: Int32Array, allB: Int32Array): Taken {
  const used = new Set(found);
  const free = new Map<number, number[]>();
  for (let j = allB.length - 1; j >= 0; j--) {
    if (used.has(j)) continue;
    const known = free.get(allB[j]!);
    if (known === undefined) free.set(allB[j]!, [j]);
    else known.push(j);
  }
  const pairs = new Map<number, number>();
  allA.forEach((key, i) => {
    const j = found[i]! < 0 ? free.get(key)?.pop() : undefined;
    if (j !== undefined) pairs.set(i, j);
  });
  return { pairs, b: new Set(pairs.values()) };
}
