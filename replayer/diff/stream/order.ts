/**
 * In which order the differences of two streams stand, as rows.ts has it: a's events in theirs, and what only b has behind the partner
 * of what came before it in b.
 */
import type { Place } from './beside.ts';

/** An event that only b has, or that stands elsewhere in a. */
interface Loose {
  readonly b: number;
  readonly lane: number;
  /** the event of a that it cannot stand before, and the last one that it can stand behind: of what has a partner in its thread */
  readonly least: number;
  readonly most: number;
}

/** An event's number, and where it is. */
export interface Before extends Place {
  readonly seq: number;
}
/** The event before an event, of any thread. */
export type BeforeOf = (b: number) => Before;
/** What is known of a thread of b: who forked its process, and when. */
export type BornOf = (lane: number) => number;

export class Order {
  #loose: Loose[] = [];
  #seqs = new Set<number>();

  /**
   * The events of a piece: numbers of b's, and for each that of its partner in a, 0 none. `least`: where a's thread was before the
   * piece; `most`: before where it goes on.
   */
  piece(lane: number, seqs: Int32Array, partners: Int32Array, least: number, most: number): void {
    if (!partners.includes(0)) return;
    const next = new Float64Array(seqs.length + 1).fill(most);
    for (let j = seqs.length - 1; j >= 0; j--) next[j] = partners[j] === 0 ? next[j + 1]! : partners[j]! - 1;
    let before = least;
    seqs.forEach((b, j) => {
      if (partners[j] === 0) this.#loose.push({ b, lane, least: before, most: next[j]! });
      else before = partners[j]!;
    });
  }

  /** Events whose place is looked for, ascending. */
  get events(): Int32Array {
    this.#loose.sort((x, y) => x.b - y.b);
    this.#seqs = new Set(this.#loose.map((l) => l.b));
    return Int32Array.from(this.#loose, (l) => l.b);
  }

  /** Events of b with partners, of which has to be known which those are: what is before another thread's events. */
  anchors(before: BeforeOf): Before[] {
    const found: Before[] = [];
    for (const { b, lane } of this.#loose) {
      const at = before(b);
      if (at.seq !== 0 && at.lane !== lane && !this.#seqs.has(at.seq)) found.push(at);
    }
    return found;
  }

  /** By event whose place is looked for: the event of a behind which it stands. `partner`: of anchors. */
  places(before: BeforeOf, partner: (anchor: Before) => number, born: BornOf): Map<number, number> {
    const places = new Map<number, number>();
    const lanes = new Map<number, number>();
    let place = 0;
    for (const { b, lane, least, most } of this.#loose) {
      const at = before(b);
      // behind one whose place is looked for itself the last partner is what it was
      if (!this.#seqs.has(at.seq)) place = at.lane === lane ? least : partner(at);
      const here = Math.min(most, Math.max(place, least, lanes.get(lane) ?? places.get(born(lane)) ?? 0));
      places.set(b, here);
      lanes.set(lane, here);
    }
    return places;
  }
}
