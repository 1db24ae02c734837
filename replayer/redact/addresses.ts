/**
 * Addresses of memory as others: in the same order, with the same place in their page, what lay together still together. Where
 * a region goes follows from a key that nobody keeps.
 */

/** Bytes that are moved as one: no page of a kernel is larger but huge ones. */
const GRANULE_BITS = 16n;
/** Of an address that is one: below is NULL, and numbers that a test takes for pointers. */
const LEAST = 1n << GRANULE_BITS;
const USER_END = 1n << 63n;
/** A region is followed no further than this; a length may be anything. */
const LONGEST = 1n << 40n;
/** Where regions are put, in granules. */
const USER_BASE = 0x1000_0000;
const KERNEL_BASE = 0xffff_9000_0000;
const KERNEL_FIRST = 0x8000_0000_0000;
/** Regions after which nearly nothing is left between two. */
const MANY = 100_000;
const GAP = 4096;
const COMPACT = 1 << 20;

export class AddressMap {
  #from: number[] = [];
  #to: number[] = [];
  #placed: number[] = [];

  /** Takes note of memory at an address. */
  add(address: bigint, length: bigint): void {
    const bytes = length < 1n ? 1n : length > LONGEST ? 1n : length;
    const from = Number(address >> GRANULE_BITS);
    const to = Number((address + bytes - 1n) >> GRANULE_BITS);
    const last = this.#to.length - 1;
    if (last >= 0 && from >= this.#from[last]! && to <= this.#to[last]!) return;
    this.#from.push(from);
    this.#to.push(to);
    if (this.#from.length > COMPACT && this.#from.length > 2 * this.#compacted) this.#compact();
  }
  #compacted = 0;

  /** Regions, ascending, none beside another. */
  #compact(): void {
    const order = [...this.#from.keys()].sort((a, b) => this.#from[a]! - this.#from[b]!);
    const from: number[] = [];
    const to: number[] = [];
    for (const i of order) {
      const top = to.length - 1;
      if (top >= 0 && this.#from[i]! <= to[top]! + 1) to[top] = Math.max(to[top]!, this.#to[i]!);
      else {
        from.push(this.#from[i]!);
        to.push(this.#to[i]!);
      }
    }
    this.#from = from;
    this.#to = to;
    this.#compacted = from.length;
  }

  /** Puts the regions to their places. `random`: numbers from 0 to 1, without 1. */
  place(random: () => number): number {
    this.#compact();
    const count = this.#from.length;
    const gap = count > MANY ? 1 : GAP;
    let [user, kernel] = [USER_BASE + Math.floor(random() * USER_BASE), KERNEL_BASE + Math.floor(random() * GAP)];
    this.#placed = this.#from.map((from, i) => {
      const inKernel = from >= KERNEL_FIRST;
      const at = (inKernel ? kernel : user) + 1 + Math.floor(random() * gap);
      const end = at + this.#to[i]! - from + 1;
      if (inKernel) kernel = end;
      else user = end;
      return at;
    });
    return count;
  }

  /** Where an address is now; itself where it is in no region. */
  moved(address: bigint): bigint {
    const granule = Number(address >> GRANULE_BITS);
    let [low, high] = [0, this.#from.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#from[middle]! <= granule) low = middle + 1;
      else high = middle;
    }
    const i = low - 1;
    if (i < 0 || granule > this.#to[i]!) return address;
    return (BigInt(this.#placed[i]! + granule - this.#from[i]!) << GRANULE_BITS) | (address & (LEAST - 1n));
  }
}

/** Whether a number where a program's address belongs is one. */
export const isUserAddress = (n: bigint): boolean => n >= LEAST && n < USER_END;
/** Whether it is one of the kernel's memory, and no small negative number. */
export const isKernelAddress = (n: bigint): boolean => n >= USER_END && n < (1n << 64n) - 4096n;
