/**
 * Two traces beside each other, by what their events mean: where they agree and where they do not. Processes are matched by
 * what they do and by order of birth, threads by order of birth, the calls of matched threads by what they ask (see
 * meaning.ts). Numbers that kernel or program happened to choose (ids, descriptors, pids, addresses, IOVAs and mmap offsets
 * that the kernel chose) are compared by who made the thing: renumbering alone is no difference. Times are not compared, and so it
 * is no difference whether a call was stored whole or, because it took long, as entered and with a RETURN of its own (whole-calls.ts).
 *
 * What this does not do: match threads that were born in another order (what each does is then told as a difference, and of things that
 * ask the same in one thread and are used in such others, which is which); align threads that share out the same work differently
 * (calls are aligned thread by thread, not by context across threads). Memory grows with the traces, by some 50 bytes an event. A
 * difference is missed where two hashes of 53 bits meet.
 */

import type { UapiTable } from '../../hw/uapi/table.ts';
import type { TimelineSource } from '../timeline.ts';
import { Dependences } from './align/dependences.ts';
import type { MovableLane } from './align/moved.ts';
import { type Pairable, pairUp } from './align/pairing.ts';
import { matchProcesses } from './align/processes.ts';
import { How, orderRows, type Rows } from './align/rows.ts';
import { eventOf, type Origin, whichOf } from './meaning/links.ts';
import { type FieldPair, fieldsOf, type Teller } from './meaning/telling.ts';
import type { Withheld } from './meaning/withheld.ts';
import { type Lane, newNumbers, type Reading, readTrace } from './reading.ts';

export { How } from './align/rows.ts';
export type { FieldPair } from './meaning/telling.ts';

/** One trace to compare. */
export interface Side {
  readonly source: TimelineSource;
  readonly table: UapiTable;
}

/** Rows between two yields. */
const SLICE = 8192;

/** Compares two traces, but for what is `withheld`, in slices; yields how far it is, from 0 to 1. Throws a StoreError where one is damaged. */
export function* compareTraces(a: Side, b: Side, withheld?: Withheld): Generator<number, Comparison> {
  const numbers = newNumbers();
  const total = Math.max(1, a.source.last + b.source.last);
  const share = (0.8 * a.source.last) / total;
  const readA = yield* scaled(readTrace(a.source, a.table, numbers, withheld), 0, share);
  const readB = yield* scaled(readTrace(b.source, b.table, numbers, withheld), share, 0.8);
  const comparing = new Comparing(readA, readB);
  yield* comparing.run();
  const rows = yield* comparing.rows();
  const comparison = new Comparison(readA, readB, comparing.partners, rows);
  yield* comparison.index();
  return comparison;
}

/** A run as a part of a longer one, `from` … `to` of it. */
export function* scaled<T>(run: Generator<number, T>, from: number, to: number): Generator<number, T> {
  for (;;) {
    const next = run.next();
    if (next.done === true) return next.value;
    yield from + next.value * (to - from);
  }
}

class Comparing {
  /** by event of a: that of b, 0 none */
  readonly partners: Int32Array;
  readonly #a: Reading;
  readonly #b: Reading;
  /** events of b whose partners stand elsewhere in their thread */
  readonly #moved = new Set<number>();
  readonly #on: { readonly a: Dependences; readonly b: Dependences };

  constructor(a: Reading, b: Reading) {
    this.#a = a;
    this.#b = b;
    this.partners = new Int32Array(a.last + 1);
    this.#on = { a: new Dependences(a), b: new Dependences(b) };
  }

  *run(): Generator<number> {
    const processes = yield* steady(matchProcesses(this.#a, this.#b), 0.82);
    let done = 0;
    for (const [i, j] of processes.entries()) {
      const mine = this.#a.processes[i]!.lanes;
      const theirs = j < 0 ? [] : this.#b.processes[j]!.lanes;
      for (const [n, lane] of mine.entries()) {
        const other = theirs[n];
        if (other !== undefined) yield* steady(this.#lane(lane, other), 0.82 + (0.18 * done) / Math.max(1, this.#a.last));
        done += lane.events.length;
      }
    }
  }

  *#lane(a: Lane, b: Lane): Generator<void> {
    const { partners, moved } = yield* pairUp(this.#pairable(a, b));
    for (const i of moved) this.#moved.add(b.events[partners[i]!]!);
  }

  #pairable(a: Lane, b: Lane): Pairable {
    const column = (lane: Lane, of: Int32Array): Int32Array => Int32Array.from(lane.events, (seq) => of[seq]!);
    const [x, y] = [this.#a, this.#b];
    const movable = (of: Reading, lane: Lane, on: Dependences): MovableLane => ({
      keys: column(lane, of.asked),
      things: (i) => on.of(lane.events[i]!),
    });
    return {
      a: movable(x, a, this.#on.a),
      b: movable(y, b, this.#on.b),
      ways: 2,
      // by what becomes of the things that a call is about, or by what is asked alone
      keys: function* (way) {
        for (const key of [way === 0 ? 'whole' : 'asked', 'asked'] as const) yield [column(a, x[key]), column(b, y[key])];
      },
      called: () => [column(a, x.called), column(b, y.called)],
      agree: (i, j) => this.#agree(a.events[i]!, b.events[j]!),
      asksSame: (i, j) => this.#asksSame(a.events[i]!, b.events[j]!),
      alike: (i, j) => x.asked[a.events[i]!] === y.asked[b.events[j]!] && x.answered[a.events[i]!] === y.answered[b.events[j]!],
      take: (partners) => {
        partners.forEach((j, i) => {
          this.partners[a.events[i]!] = j < 0 ? 0 : b.events[j]!;
        });
      },
      takeTwo: (i, j) => {
        this.partners[a.events[i]!] = b.events[j]!;
      },
    };
  }

  /** All rows, in order. */
  rows(): Generator<number, Rows> {
    return orderRows(this.#a, this.#b, this.partners, this.#moved, (i, j) => this.#agree(i, j));
  }

  #agree(i: number, j: number): boolean {
    return (
      this.#a.answered[i] === this.#b.answered[j] && this.#linkCount(this.#a, i) === this.#linkCount(this.#b, j) && this.#asksSame(i, j)
    );
  }

  /** The same question about the same things. */
  #asksSame(i: number, j: number): boolean {
    if (this.#a.asked[i] !== this.#b.asked[j]) return false;
    const [fromA, fromB] = [this.#a.linkAt[i]!, this.#b.linkAt[j]!];
    // those of the question come first, and there are as many of them
    const count = Math.min(this.#linkCount(this.#a, i), this.#linkCount(this.#b, j));
    for (let k = 0; k < count; k++) {
      const [x, y] = [this.#a.links[fromA + k]!, this.#b.links[fromB + k]!];
      if (!corresponds(x, y, this.partners)) return false;
    }
    return true;
  }

  #linkCount({ linkAt }: Reading, seq: number): number {
    return linkAt[seq + 1]! - linkAt[seq]!;
  }
}

/** Two origins: the same thing of events that are partners. What stands beside them (types, distances) is negative and must be equal. */
function corresponds(x: Origin, y: Origin, partners: Int32Array): boolean {
  if (x <= 0 || y <= 0) return x === y;
  return whichOf(x) === whichOf(y) && partners[eventOf(x)] === eventOf(y);
}

function* steady<T>(run: Generator<void, T>, at: number): Generator<number, T> {
  for (;;) {
    const next = run.next();
    if (next.done === true) return next.value;
    yield at;
  }
}

/** What came of it. */
export class Comparison {
  /** rows in order; numbers of the events, 0 where the side has none */
  readonly a: Int32Array;
  readonly b: Int32Array;
  /** one of {@link How} for each row */
  readonly how: Uint8Array;
  /** rows where a run of differences begins, ascending */
  runs = new Int32Array(0);
  /** the last event of each side at or above a row, 0 none: where its state is */
  readonly placeA: Int32Array;
  readonly placeB: Int32Array;
  /** how many rows differ */
  differences = 0;
  readonly #a: Reading;
  readonly #b: Reading;
  readonly #partners: Int32Array;
  readonly #rowOfA: Int32Array;
  readonly #rowOfB: Int32Array;

  constructor(a: Reading, b: Reading, partners: Int32Array, rows: Rows) {
    this.#a = a;
    this.#b = b;
    this.#partners = partners;
    this.a = rows.a;
    this.b = rows.b;
    this.how = rows.how;
    this.placeA = new Int32Array(rows.how.length);
    this.placeB = new Int32Array(rows.how.length);
    this.#rowOfA = new Int32Array(a.last + 1).fill(-1);
    this.#rowOfB = new Int32Array(b.last + 1).fill(-1);
  }

  /** Looks through the rows once: before that, runs and places are not known. */
  *index(): Generator<number> {
    const { a, b, how } = this;
    const runs: number[] = [];
    let [placeA, placeB] = [0, 0];
    for (let row = 0; row < how.length; row++) {
      if (row % SLICE === 0) yield 1;
      if (a[row] !== 0) this.#rowOfA[a[row]!] = row;
      if (b[row] !== 0) this.#rowOfB[b[row]!] = row;
      if (a[row] !== 0) placeA = a[row]!;
      if (b[row] !== 0) placeB = b[row]!;
      this.placeA[row] = placeA;
      this.placeB[row] = placeB;
      if (how[row] === How.SAME) continue;
      this.differences++;
      if (row === 0 || how[row - 1] === How.SAME) runs.push(row);
    }
    this.runs = Int32Array.from(runs);
    for (const [reading, rowOf] of [
      [this.#a, this.#rowOfA],
      [this.#b, this.#rowOfB],
    ] as const)
      reading.source.answers.calls.each((event, call) => {
        rowOf[event] = rowOf[call]!;
      });
  }

  get rows(): number {
    return this.how.length;
  }
  get equal(): boolean {
    return this.differences === 0;
  }

  /** The row of an event, of a RETURN that of its call; -1 where there is no such event. */
  rowOf(side: 'a' | 'b', seq: number): number {
    return (side === 'a' ? this.#rowOfA : this.#rowOfB)[seq] ?? -1;
  }

  /** Where the next (1) or previous (-1) run of differences begins, seen from a row; -1: there is none. */
  nextRun(row: number, direction: 1 | -1): number {
    let [low, high] = [0, this.runs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.runs[middle]! < row + (direction === 1 ? 1 : 0)) low = middle + 1;
      else high = middle;
    }
    return this.runs[direction === 1 ? low : low - 1] ?? -1;
  }

  /** Which run of differences a row is in or behind, from 1; 0: it is before the first. */
  runOf(row: number): number {
    let count = 0;
    for (let [low, high] = [0, this.runs.length]; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.runs[middle]! <= row) {
        low = middle + 1;
        count = low;
      } else high = middle;
    }
    return count;
  }

  /** What both events of a row say, value by value. Empty where one side has none. */
  fields(row: number): FieldPair[] {
    const [i, j] = [this.a[row] ?? 0, this.b[row] ?? 0];
    if (i === 0 || j === 0) return [];
    return fieldsOf(tellerOf(this.#a), i, tellerOf(this.#b), j, (x, y) => corresponds(x, y, this.#partners));
  }

  /** What was read of each side. */
  get readings(): { readonly a: Reading; readonly b: Reading } {
    return { a: this.#a, b: this.#b };
  }

  /** The event of the other side that an event stands beside; 0: none. */
  partner(side: 'a' | 'b', seq: number): number {
    const row = this.rowOf(side, seq);
    return row < 0 ? 0 : (side === 'a' ? this.b : this.a)[row]!;
  }
}

const tellerOf = ({ source, meaning, links, linkAt }: Reading): Teller => ({
  source,
  meaning,
  linksOf: (seq) => links.subarray(linkAt[seq]!, linkAt[seq + 1]!),
});
