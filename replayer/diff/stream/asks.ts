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

/** How often processes ask what, and make which calls; counted when it is asked. */
export class AskCounts {
  readonly #asks: Int32Array;
  readonly #processes: readonly Asker[];
  /** events of a process: from here to the next one's in `#order`, by their places in what was written down */
  readonly #starts: Int32Array;
  readonly #order: Int32Array;
  readonly #children = new Map<number, number[]>();
  readonly #known = new Map<number, Counts | undefined>();

  constructor(asks: Int32Array, processes: readonly Asker[]) {
    this.#asks = asks;
    this.#processes = processes;
    this.#starts = new Int32Array(processes.length + 1);
    for (let at = 0; at < asks.length; at += WORDS) this.#starts[asks[at]! + 1]!++;
    for (let i = 0; i < processes.length; i++) this.#starts[i + 1]! += this.#starts[i]!;
    const next = this.#starts.slice();
    this.#order = new Int32Array(asks.length / WORDS);
    for (let at = 0; at < asks.length; at += WORDS) this.#order[next[asks[at]!]!++] = at;
    processes.forEach(({ parent }, i) => {
      if (parent < 0 || parent >= i) return;
      const list = this.#children.get(parent);
      if (list === undefined) this.#children.set(parent, [i]);
      else list.push(i);
    });
  }

  /**
   * Of a process and its children. undefined: not all of that is written down. What grandchildren do is not told: in a long line of
   * forks all would be told again and again.
   */
  of(process: number): Counts | undefined {
    if (!this.#known.has(process)) this.#known.set(process, this.#count(process));
    return this.#known.get(process);
  }

  #count(process: number): Counts | undefined {
    const found: Counted = { counts: new Map(), total: 0 };
    for (const i of [process, ...(this.#children.get(process) ?? [])]) {
      const [from, to] = [this.#starts[i]!, this.#starts[i + 1]!];
      if (to - from < this.#processes[i]!.events) return undefined;
      found.total += 2 * (to - from);
      for (let k = from; k < to; k++) {
        const at = this.#order[k]!;
        bump(found.counts, this.#asks[at + 1]! >>> 0);
        // names apart from arguments
        bump(found.counts, -1 - (this.#asks[at + 2]! >>> 0));
      }
    }
    return found;
  }
}

function bump(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
