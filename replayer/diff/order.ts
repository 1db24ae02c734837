/**
 * In which order the differences of two streams stand: a's events in theirs, and what only b has behind the partner of what came
 * before it in b, as in rows.ts; but of threads that are the same only the ends of blocks are known.
 */

/** An event that only b has. */
export interface Alone {
  readonly b: number;
  readonly lane: number;
  /** the event of a that it cannot stand before, and the last one that it can stand behind: of what has a partner in its thread */
  readonly least: number;
  readonly most: number;
}

/** What is known of a thread of b: who forked its process, and when. */
export type BornOf = (lane: number) => number;

/** Matched events between two that are kept. */
const APART = 64;

export class Order {
  /** pairs of matched events: that of b, that of a */
  #anchors = new Float64Array(1 << 8);
  #count = 0;
  readonly #alone: Alone[] = [];

  anchor(b: number, a: number): void {
    if (2 * this.#count + 2 > this.#anchors.length) {
      const larger = new Float64Array(2 * this.#anchors.length);
      larger.set(this.#anchors);
      this.#anchors = larger;
    }
    this.#anchors[2 * this.#count] = b;
    this.#anchors[2 * this.#count + 1] = a;
    this.#count++;
  }

  /**
   * The events of a piece: numbers of b's, and for each that of its partner in a, 0 none. `least`: where a's thread was before the
   * piece; `most`: before where it goes on.
   */
  piece(lane: number, seqs: Int32Array, partners: Int32Array, least: number, most: number): void {
    const next = new Float64Array(seqs.length + 1).fill(most);
    for (let j = seqs.length - 1; j >= 0; j--) next[j] = partners[j] === 0 ? next[j + 1]! : partners[j]! - 1;
    let before = least;
    seqs.forEach((b, j) => {
      const a = partners[j]!;
      if (a === 0) {
        this.#alone.push({ b, lane, least: before, most: next[j]! });
        return;
      }
      before = a;
      if (j % APART === 0 || partners[j + 1] === 0) this.anchor(b, a);
    });
  }

  /** By event that only b has: the event of a behind which it stands. */
  places(born: BornOf): Map<number, number> {
    const pairs = Array.from({ length: this.#count }, (_, i) => i).sort((x, y) => this.#anchors[2 * x]! - this.#anchors[2 * y]!);
    const places = new Map<number, number>();
    const lanes = new Map<number, number>();
    let [at, place] = [0, 0];
    for (const { b, lane, least, most } of this.#alone.sort((x, y) => x.b - y.b)) {
      while (at < pairs.length && this.#anchors[2 * pairs[at]!]! < b) place = this.#anchors[2 * pairs[at++]! + 1]!;
      const before = lanes.get(lane) ?? places.get(born(lane)) ?? 0;
      const here = Math.min(most, Math.max(place, least, before));
      places.set(b, here);
      lanes.set(lane, here);
    }
    return places;
  }
}
