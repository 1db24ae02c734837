/**
 * Calls of one thread that both sides make, in another order: an event that only a has and one that only b has, which say the
 * same of the same things, are a pair that was moved, where nothing of which it has changed sides depends on it.
 */

/** A thread of one side; events by their index in it. */
export interface MovableLane {
  /** events whose keys differ do not agree */
  readonly keys: Int32Array;
  /** everything that an event is about or has made, directly or through their makers; undefined: its order matters to all */
  things(event: number): ReadonlySet<number> | undefined;
}

/** Likely partners that are looked at for an event. */
const TRIES = 8;
/** Steps for a thread: so many, and so many more for each of its events. */
const WORK = 1 << 16;
const WORK_PER_EVENT = 64;

/**
 * Finds the pairs that were moved and tells each to `take`, by a's order; `partners` (by event of a that of b, -1 none, ascending)
 * gets them. `agree` may ask for what was taken so far. The time is bounded by the length of the threads: what is not found by then
 * stays apart. → the pairs' events of a
 */
export function joinMoved(
  a: MovableLane,
  b: MovableLane,
  partners: Int32Array,
  agree: (i: number, j: number) => boolean,
  take: (i: number, j: number) => void,
): number[] {
  const alone = aloneByKey(b.keys, partners);
  if (alone.size === 0 || !partners.includes(-1)) return [];
  return new Joining(a, b, partners, agree, take).run(alone);
}

/** Events that only b has and that may say the same; those before `next` have found a partner. */
interface Alike {
  readonly events: number[];
  next: number;
}

/** What only b has. */
function aloneByKey(keys: Int32Array, partners: Int32Array): Map<number, Alike> {
  const taken = new Uint8Array(keys.length);
  for (const j of partners) if (j >= 0) taken[j] = 1;
  const alone = new Map<number, Alike>();
  keys.forEach((key, j) => {
    if (taken[j] === 1) return;
    const alike = alone.get(key);
    if (alike === undefined) alone.set(key, { events: [j], next: 0 });
    else alike.events.push(j);
  });
  return alone;
}

class Joining {
  readonly #a: MovableLane;
  readonly #b: MovableLane;
  readonly #partners: Int32Array;
  readonly #agree: (i: number, j: number) => boolean;
  readonly #take: (i: number, j: number) => void;
  /** pairs that were not moved, ascending on both sides */
  readonly #still: readonly number[];
  readonly #moved: number[] = [];
  #work: number;

  constructor(
    a: MovableLane,
    b: MovableLane,
    partners: Int32Array,
    agree: (i: number, j: number) => boolean,
    take: (i: number, j: number) => void,
  ) {
    this.#a = a;
    this.#b = b;
    this.#partners = partners;
    this.#agree = agree;
    this.#take = take;
    const still: number[] = [];
    partners.forEach((j, i) => {
      if (j >= 0) still.push(i);
    });
    this.#still = still;
    this.#work = WORK + WORK_PER_EVENT * (a.keys.length + b.keys.length);
  }

  run(alone: ReadonlyMap<number, Alike>): number[] {
    for (let i = 0; i < this.#partners.length && this.#work > 0; i++) {
      if (this.#partners[i]! >= 0) continue;
      const j = this.#partnerOf(i, alone.get(this.#a.keys[i]!));
      if (j < 0) continue;
      this.#partners[i] = j;
      this.#moved.push(i);
      this.#take(i, j);
    }
    return this.#moved;
  }

  /** The events of a come in order, so do the partners of those that are alike: the first ones are looked at. */
  #partnerOf(i: number, alike: Alike | undefined): number {
    if (alike === undefined) return -1;
    const { events, next } = alike;
    for (let n = next; n < events.length && n < next + TRIES; n++) {
      const j = events[n]!;
      if (!this.#fits(i, j)) continue;
      events.copyWithin(next + 1, next, n);
      alike.next++;
      return j;
    }
    return -1;
  }

  #fits(i: number, j: number): boolean {
    this.#work--;
    return this.#agree(i, j) && this.#passes(i, j);
  }

  /** Does nothing that is before the one and behind the other depend on it? */
  #passes(i: number, j: number): boolean {
    const [x, y] = [this.#a.things(i), this.#b.things(j)];
    if (x === undefined || y === undefined) return false;
    const first = firstBehind(this.#still, i);
    // of the pairs that were not moved it passes those next to it, in one direction
    for (let n = first; n < this.#still.length && this.#partners[this.#still[n]!]! < j; n++) {
      if (!this.#free(x, y, this.#still[n]!)) return false;
    }
    for (let n = first - 1; n >= 0 && this.#partners[this.#still[n]!]! > j; n--) {
      if (!this.#free(x, y, this.#still[n]!)) return false;
    }
    for (const p of this.#moved) {
      if (--this.#work <= 0) return false;
      if (p < i !== this.#partners[p]! < j && !this.#free(x, y, p)) return false;
    }
    return true;
  }

  /** Have they nothing to do with the events of the pair of `p`? */
  #free(x: ReadonlySet<number>, y: ReadonlySet<number>, p: number): boolean {
    const [u, v] = [this.#a.things(p), this.#b.things(this.#partners[p]!)];
    this.#work -= 2 + (u?.size ?? 0) + (v?.size ?? 0);
    return this.#work > 0 && u !== undefined && v !== undefined && apart(x, u) && apart(y, v);
  }
}

/** Where in an ascending list the first number behind `n` is. */
function firstBehind(list: readonly number[], n: number): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]! <= n) low = middle + 1;
    else high = middle;
  }
  return low;
}

function apart(x: ReadonlySet<number>, y: ReadonlySet<number>): boolean {
  for (const thing of y) if (x.has(thing)) return false;
  return true;
}
