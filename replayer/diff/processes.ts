/**
 * Which process of one trace is which of the other: first those that nobody in the trace forked, then the children of each pair.
 * Among siblings those whose calls and answers are all the same (and their children's) are matched first, in the order in which
 * they were forked, then those in another order; the rest by how many calls they have in common, in order. Threads of matched
 * processes are matched by order of birth.
 */
import { align } from './align.ts';
import { Hash, Interner } from './hash.ts';
import type { Reading, ReadProcess } from './reading.ts';

/** Products of numbers of processes that are compared each with each. */
const MOST_PAIRS = 400_000;
/** Calls in common, of all: less is no likeness. */
const LEAST = 0.15;

interface Signature {
  /** all that its threads, and its children's, ask and are answered */
  readonly all: number;
  /** how often each call (name alone, and with arguments) is made */
  readonly counts: ReadonlyMap<number, number>;
  readonly total: number;
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
function likeness(a: Signature, b: Signature): number {
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
    for (const { a0, a1, b0, b1 } of gaps(found, b.length)) {
      yield* this.#likest(
        a.slice(a0, a1).filter((_, i) => !taken.pairs.has(a0 + i)),
        b.slice(b0, b1).filter((_, j) => !taken.b.has(b0 + j)),
      );
    }
    found.forEach((j, i) => {
      if (j >= 0) this.partners[a[i]!] = b[j]!;
    });
    for (const [i, j] of taken.pairs) this.partners[a[i]!] = b[j]!;
  }

  /** The pairs, in order, that have the most in common together. */
  *#likest(a: readonly number[], b: readonly number[]): Generator<void> {
    const [n, m] = [a.length, b.length];
    if ((n === 1 && m === 1) || n * m > MOST_PAIRS) {
      // one each, or too many to compare each with each: by order of birth
      for (let i = 0; i < Math.min(n, m); i++) this.partners[a[i]!] = b[i]!;
      return;
    }
    const width = m + 1;
    const best = new Float64Array((n + 1) * width);
    for (let i = n - 1; i >= 0; i--) {
      for (let j = m - 1; j >= 0; j--) {
        const l = this.#like(a[i]!, b[j]!);
        const pair = l < LEAST ? 0 : l + best[(i + 1) * width + j + 1]!;
        best[i * width + j] = Math.max(pair, best[(i + 1) * width + j]!, best[i * width + j + 1]!);
      }
      yield;
    }
    for (let [i, j] = [0, 0]; i < n && j < m; ) {
      const here = best[i * width + j]!;
      if (here === best[(i + 1) * width + j]) i++;
      else if (here === best[i * width + j + 1]) j++;
      else this.partners[a[i++]!] = b[j++]!;
    }
  }
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
