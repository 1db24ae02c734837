/**
 * What processes ask, event by event, where that is not much: processes that are not the same are told apart by what they have in
 * common. Written down with each event and counted only when somebody wants to know.
 */

import type { Counts } from '../align/processes.ts';
import type { Said } from './short.ts';

/** Events of a process that are written down, and of a trace. */
const MOST_EVENTS = 1 << 12;
const MOST = 1 << 20;
/** Words of an event: the index of its process, what it asks, and what it is called. */
const WORDS = 3;

export class Asks {
  #words = new Int32Array(WORDS << 10);
  #used = 0;

  /** `events`: of the process so far, with this one */
  add(process: number, { askedLow, called }: Said, events: number): void {
    if (events > MOST_EVENTS || this.#used === WORDS * MOST) return;
    if (this.#used === this.#words.length) {
      const larger = new Int32Array(2 * this.#used);
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#words[this.#used] = process;
    this.#words[this.#used + 1] = askedLow;
    this.#words[this.#used + 2] = called;
    this.#used += WORDS;
  }

  result(): Int32Array {
    return this.#words.slice(0, this.#used);
  }
}

/** A process: the index of the one that forked it, -1 not known, and all its events. */
interface Asker {
  readonly parent: number;
  readonly events: number;
}

interface Counted extends Counts {
  readonly counts: Map<number, number>;
  total: number;
}

/**
 * How often each process and its children ask what, and make which calls. undefined: not all of that is written down. What
 * grandchildren do is not told: in a long line of forks all would be told again and again.
 */
export function countsOf(asks: Int32Array, processes: readonly Asker[]): readonly (Counts | undefined)[] {
  const own = processes.map((): Counted => ({ counts: new Map(), total: 0 }));
  for (let at = 0; at < asks.length; at += WORDS) {
    const of = own[asks[at]!]!;
    of.total += 2;
    bump(of.counts, asks[at + 1]! >>> 0, 1);
    // names apart from arguments
    bump(of.counts, -1 - (asks[at + 2]! >>> 0), 1);
  }
  const whole = processes.map((p, i) =>
    own[i]!.total === 2 * p.events ? { counts: new Map(own[i]!.counts), total: own[i]!.total } : undefined,
  );
  processes.forEach(({ parent, events }, i) => {
    const of = whole[parent];
    if (of === undefined || parent >= i) return;
    if (own[i]!.total < 2 * events) whole[parent] = undefined;
    else {
      for (const [key, n] of own[i]!.counts) bump(of.counts, key, n);
      of.total += 2 * events;
    }
  });
  return whole;
}

function bump(counts: Map<number, number>, key: number, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}
