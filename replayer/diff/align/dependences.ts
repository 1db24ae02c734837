/** What a call depends on and what depends on it, as far as the order of calls in one thread matters. */
import { eventOf, type Origin, OTHER, whichOf } from '../meaning/links.ts';

/** What is known of the events of a trace, as reading.ts has it. */
export interface Linked {
  readonly linkAt: Uint32Array;
  readonly links: Int32Array;
  /** 1: an event has to do with the things that it names or makes alone */
  readonly movable: Uint8Array;
}

/** Things that are looked at for an event: one about more keeps its place. */
export const MOST = 64;
const MOST_KEPT = 1 << 14;

/**
 * The objects and areas that events are about: those that they name, those that they make, and what all these were made from. A table
 * is made from the address space that it maps, so it has to do with every map there.
 */
export class Dependences {
  readonly #trace: Linked;
  readonly #kept = new Map<number, ReadonlySet<Origin> | undefined>();

  constructor(trace: Linked) {
    this.#trace = trace;
  }

  /** undefined: the order of the event matters to all others */
  of(seq: number): ReadonlySet<Origin> | undefined {
    if (this.#trace.movable[seq] !== 1) return undefined;
    if (this.#kept.has(seq)) return this.#kept.get(seq);
    if (this.#kept.size >= MOST_KEPT) this.#kept.clear();
    const found = this.#find(seq);
    this.#kept.set(seq, found);
    return found;
  }

  #find(seq: number): ReadonlySet<Origin> | undefined {
    const { links, linkAt } = this.#trace;
    const found = new Set<Origin>();
    for (let which = 0; which < OTHER; which++) found.add(seq * 8 + which);
    const events = new Set([seq]);
    for (const at of events) {
      for (let k = linkAt[at]!; k < linkAt[at + 1]!; k++) {
        const thing = links[k]!;
        if (thing <= 0 || whichOf(thing) === OTHER) continue;
        found.add(thing);
        events.add(eventOf(thing));
        if (found.size > MOST) return undefined;
      }
    }
    return found;
  }
}
