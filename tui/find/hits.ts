/**
 * Which events of a log match, as far as has been looked: a bit for each event, and for each block of events how many match
 * and which part of it is known. 10 million events take a little over a megabyte. Pure bookkeeping: who looks is finder.ts.
 */

/** Events of a block. Event 1 is the first of block 0. */
export const BLOCK = 4096;

const WORDS = BLOCK / 32;

/** What is asked for lies where nobody has looked yet. */
export const UNKNOWN = Symbol('unknown');

/** An event; undefined where there is none; UNKNOWN where one may lie in what has not been looked at. */
export type Nearest = number | undefined | typeof UNKNOWN;

export class Hits {
  #last: number;
  #bits: Uint32Array;
  /** matches of each block */
  #counts: Uint16Array;
  /** how many events of each block are known, from its first on */
  #high: Uint16Array;
  #total = 0;
  #known = 0;

  /** `last`: events of the log. */
  constructor(last: number) {
    this.#last = last;
    const blocks = Math.ceil(last / BLOCK);
    this.#bits = new Uint32Array(blocks * WORDS);
    this.#counts = new Uint16Array(blocks);
    this.#high = new Uint16Array(blocks);
  }

  get last(): number {
    return this.#last;
  }
  get blocks(): number {
    return this.#counts.length;
  }
  /** matches that are known */
  get total(): number {
    return this.#total;
  }
  /** events that have been looked at */
  get known(): number {
    return this.#known;
  }
  get done(): boolean {
    return this.#known === this.#last;
  }

  /** The log has grown. */
  grow(last: number): void {
    if (last <= this.#last) return;
    this.#last = last;
    const blocks = Math.ceil(last / BLOCK);
    if (blocks === this.blocks) return;
    // some room ahead would spare copies; there are few blocks
    const bits = new Uint32Array(blocks * WORDS);
    bits.set(this.#bits);
    const wider = (old: Uint16Array): Uint16Array => {
      const made = new Uint16Array(blocks);
      made.set(old);
      return made;
    };
    [this.#bits, this.#counts, this.#high] = [bits, wider(this.#counts), wider(this.#high)];
  }

  blockOf(seq: number): number {
    return Math.floor((seq - 1) / BLOCK);
  }
  #size(block: number): number {
    return Math.min(BLOCK, this.#last - block * BLOCK);
  }
  blockDone(block: number): boolean {
    return this.#high[block] === this.#size(block);
  }
  /** The part of a block that nobody has looked at. */
  open(block: number): { readonly from: number; readonly to: number } {
    const base = block * BLOCK;
    return { from: base + this.#high[block]! + 1, to: base + this.#size(block) };
  }

  has(seq: number): boolean {
    if (seq < 1 || seq > this.#last) return false;
    const i = seq - 1;
    return ((this.#bits[i >>> 5]! >>> (i & 31)) & 1) === 1;
  }

  add(seq: number): void {
    if (this.has(seq) || seq < 1 || seq > this.#last) return;
    const i = seq - 1;
    this.#bits[i >>> 5]! |= 1 << (i & 31);
    this.#counts[this.blockOf(seq)]!++;
    this.#total++;
  }

  /** Events from … to (inclusive) have been looked at; they follow on what is known of their first block. */
  looked(from: number, to: number): void {
    for (let at = from; at <= to; ) {
      const block = this.blockOf(at);
      const base = block * BLOCK;
      const end = Math.min(to, base + this.#size(block));
      const high = end - base;
      if (at - 1 - base <= this.#high[block]! && high > this.#high[block]!) {
        this.#known += high - this.#high[block]!;
        this.#high[block] = high;
      }
      at = end + 1;
    }
  }

  isKnown(seq: number): boolean {
    if (seq < 1 || seq > this.#last) return true;
    const block = this.blockOf(seq);
    return seq - 1 - block * BLOCK < this.#high[block]!;
  }

  /** The nearest match behind (direction 1) or in front of an event. */
  next(seq: number, direction: 1 | -1): Nearest {
    let at = seq + direction;
    while (at >= 1 && at <= this.#last) {
      const block = this.blockOf(at);
      const base = block * BLOCK;
      if (!this.isKnown(at)) return UNKNOWN;
      const edge = direction === 1 ? base + this.#high[block]! : base + 1;
      const found = this.#counts[block] === 0 ? undefined : this.#within(at, edge, direction);
      if (found !== undefined) return found;
      at = edge + direction;
    }
    return undefined;
  }

  /** The first match on the way from `at` to `edge`, both inclusive. */
  #within(at: number, edge: number, direction: 1 | -1): number | undefined {
    for (let i = at - 1; direction === 1 ? i < edge : i >= edge - 1; ) {
      const word = this.#bits[i >>> 5]!;
      const shift = i & 31;
      const rest = direction === 1 ? word >>> shift : (word << (31 - shift)) >>> 0;
      if (rest !== 0) {
        const found = direction === 1 ? i + (31 - Math.clz32(rest & -rest)) : i - Math.clz32(rest);
        return (direction === 1 ? found < edge : found >= edge - 1) ? found + 1 : undefined;
      }
      i = direction === 1 ? (i | 31) + 1 : i - shift - 1;
    }
    return undefined;
  }

  /** Is there a known match in first … last? */
  any(first: number, last: number): boolean {
    const end = Math.min(last, this.#last);
    for (let at = Math.max(1, first); at <= end; ) {
      const block = this.blockOf(at);
      const edge = Math.min(end, block * BLOCK + BLOCK);
      if (this.#counts[block]! > 0 && (edge - at === BLOCK - 1 || this.#within(at, edge, 1) !== undefined)) return true;
      at = edge + 1;
    }
    return false;
  }

  /** How many known matches there are up to and with an event. */
  rank(seq: number): number {
    const end = Math.min(seq, this.#last);
    const block = Math.max(0, this.blockOf(Math.max(1, end)));
    let n = 0;
    for (let b = 0; b < block; b++) n += this.#counts[b]!;
    for (let at = block * BLOCK + 1; at <= end; at++) if (this.has(at)) n++;
    return n;
  }
}
