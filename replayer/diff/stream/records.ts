/** Events of some stretches of a trace, one by one. */
import type { Said } from './short.ts';
import type { Listener } from './stream.ts';

/** Events first … last of a thread. */
export interface Stretch {
  readonly lane: number;
  readonly first: number;
  readonly last: number;
}

/**
 * Words of an event in {@link Records.words}, and behind them four for each thing that it is about, and then as many things as ON says
 * that it depends on. ON -1: its order matters to all others.
 */
export const Row = { SEQ: 0, ASKED: 1, ANSWERED: 3, CALLED: 5, MAKER: 6, LINKS: 8, ON: 9, WORDS: 10 } as const;
export const LINK_WORDS = 4;

/** What the stretches hold, in their order. */
export interface Recorded {
  readonly words: Int32Array;
  /** where the events begin in `words`, for each stretch */
  readonly places: readonly Int32Array[];
}

export class Records implements Listener {
  readonly #stretches: readonly Stretch[];
  readonly #byLane = new Map<number, number[]>();
  readonly #places: number[][];
  #words = new Int32Array(1 << 14);
  #used = 0;

  constructor(stretches: readonly Stretch[]) {
    this.#stretches = stretches;
    this.#places = stretches.map(() => []);
    stretches.forEach((s, i) => {
      const list = this.#byLane.get(s.lane) ?? [];
      list.push(i);
      this.#byLane.set(s.lane, list);
    });
  }

  begin(): void {}
  forked(): void {}
  exe(): void {}
  end(): void {}

  event(s: Said): void {
    const list = this.#byLane.get(s.lane.lane);
    if (list === undefined) return;
    while (list.length > 0 && this.#stretches[list[0]!]!.last < s.seq) list.shift();
    const at = list[0];
    if (at === undefined || this.#stretches[at]!.first > s.seq) return;
    this.#places[at]!.push(this.#used);
    this.#put(s);
  }

  #put(s: Said): void {
    const { links } = s;
    const on = s.about.movable ? s.about.things : undefined;
    const need = this.#used + Row.WORDS + links.length + (on?.size ?? 0);
    if (need > this.#words.length) {
      const larger = new Int32Array(Math.max(need, this.#words.length * 2));
      larger.set(this.#words);
      this.#words = larger;
    }
    const w = this.#words;
    const at = this.#used;
    w[at + Row.SEQ] = s.seq;
    w[at + Row.ASKED] = s.askedLow;
    w[at + Row.ASKED + 1] = s.askedHigh;
    w[at + Row.ANSWERED] = s.answeredLow;
    w[at + Row.ANSWERED + 1] = s.answeredHigh;
    w[at + Row.CALLED] = s.called;
    w[at + Row.MAKER] = s.maker?.low ?? 0;
    w[at + Row.MAKER + 1] = s.maker?.high ?? 0;
    w[at + Row.LINKS] = links.length / LINK_WORDS;
    w[at + Row.ON] = on?.size ?? -1;
    for (let i = 0; i < links.length; i++) w[at + Row.WORDS + i] = links[i]!;
    let next = at + Row.WORDS + links.length;
    for (const thing of on ?? []) w[next++] = thing;
    this.#used = need;
  }

  result(): Recorded {
    return { words: this.#words.slice(0, this.#used), places: this.#places.map((p) => Int32Array.from(p)) };
  }
}
