/** Numbers for what repeats: finds the id of a tuple of integers without making an object or a string for it. */
export class TupleTable {
  /** tuples known */
  count = 0;
  readonly #width: number;
  #tuples: Int32Array;
  #slots: Int32Array;

  constructor(width: number) {
    this.#width = width;
    this.#tuples = new Int32Array(width * 64);
    this.#slots = new Int32Array(128);
  }

  /** The id of the tuple in `key`, from 1; a new tuple gets the next id, so `count` tells whether it was new. */
  intern(key: Int32Array): number {
    const width = this.#width;
    let hash = 0;
    for (let k = 0; k < width; k++) hash = Math.imul(hash ^ key[k]!, 0x9e3779b1) ^ (hash >>> 15);
    const mask = this.#slots.length - 1;
    let slot = (hash ^ (hash >>> 16)) & mask;
    for (;;) {
      const id = this.#slots[slot]!;
      if (id === 0) break;
      const at = (id - 1) * width;
      let k = 0;
      while (k < width && this.#tuples[at + k] === key[k]) k++;
      if (k === width) return id;
      slot = (slot + 1) & mask;
    }
    return this.#add(key, slot);
  }

  /** The tuple of an id that `intern` gave; a view that is good until the next call. */
  tuple(id: number): Int32Array {
    return this.#tuples.subarray((id - 1) * this.#width, id * this.#width);
  }

  #add(key: Int32Array, slot: number): number {
    const at = this.count * this.#width;
    if (at === this.#tuples.length) {
      const wider = new Int32Array(this.#tuples.length * 2);
      wider.set(this.#tuples);
      this.#tuples = wider;
    }
    this.#tuples.set(key, at);
    const id = ++this.count;
    this.#slots[slot] = id;
    if (id * 2 > this.#slots.length) this.#grow();
    return id;
  }

  #grow(): void {
    const known = this.count;
    this.#slots = new Int32Array(this.#slots.length * 2);
    this.count = 0;
    const tuples = this.#tuples;
    this.#tuples = new Int32Array(tuples.length);
    for (let id = 0; id < known; id++) this.intern(tuples.subarray(id * this.#width, (id + 1) * this.#width));
  }
}
