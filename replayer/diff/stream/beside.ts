/** Which events of two traces stand beside each other: threads by runs of events, so that what agrees costs next to nothing. */

/** Events of two threads that stand beside each other: from so many-th of a's and b's on, so many. */
interface Run {
  readonly a: number;
  readonly b: number;
  count: number;
}
interface Pair {
  readonly a: number;
  readonly b: number;
  readonly runs: Run[];
}
export interface Place {
  readonly lane: number;
  /** which of the thread's events, from 0 */
  readonly nth: number;
}

export class Beside {
  readonly #a = new Map<number, Pair>();
  readonly #b = new Map<number, Pair>();
  /** the same runs by b's order, where that is another one */
  readonly #byB = new Map<Pair, readonly Run[]>();

  /** Thread `a` stands beside thread `b`, and is beside no other. */
  add(a: Place, b: Place, count: number): void {
    let pair = this.#a.get(a.lane);
    if (pair === undefined) {
      pair = { a: a.lane, b: b.lane, runs: [] };
      this.#a.set(a.lane, pair);
      this.#b.set(b.lane, pair);
    }
    const last = pair.runs.at(-1);
    if (last !== undefined && last.a + last.count === a.nth && last.b + last.count === b.nth) last.count += count;
    else pair.runs.push({ a: a.nth, b: b.nth, count });
  }

  /** All have been added. */
  finish(): void {
    for (const pair of this.#a.values()) {
      pair.runs.sort((p, q) => p.a - q.a);
      this.#byB.set(
        pair,
        [...pair.runs].sort((p, q) => p.b - q.b),
      );
    }
  }

  /** The event of the other trace beside one. */
  of(side: 'a' | 'b', { lane, nth }: Place): Place | undefined {
    const pair = (side === 'a' ? this.#a : this.#b).get(lane);
    if (pair === undefined) return undefined;
    const runs = side === 'a' ? pair.runs : this.#byB.get(pair)!;
    let [low, high] = [0, runs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (runs[middle]![side] <= nth) low = middle + 1;
      else high = middle;
    }
    const run = runs[low - 1];
    const there = side === 'a' ? 'b' : 'a';
    if (run === undefined || nth >= run[side] + run.count) return undefined;
    return { lane: pair[there], nth: run[there] + nth - run[side] };
  }
}
