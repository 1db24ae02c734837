/** Hashes of what events say, and small numbers in their place. */
import type { U64 } from '../../u64.ts';

const TWO32 = 0x1_0000_0000;

/** Two 32-bit lanes: together 53 bits are kept, so two of a million different values meet with a probability of 1 in 10 000. */
export class Hash {
  #a = 0x243f6a88;
  #b = 0x85a308d3;

  reset(): this {
    this.#a = 0x243f6a88;
    this.#b = 0x85a308d3;
    return this;
  }
  /** the low 32 bits of a number */
  word(n: number): this {
    this.#a = Math.imul(this.#a ^ n, 0x9e3779b1);
    this.#a ^= this.#a >>> 15;
    this.#b = Math.imul((this.#b + n) | 0, 0x85ebca6b) ^ this.#a;
    this.#b ^= this.#b >>> 13;
    return this;
  }
  value(n: U64): this {
    if (typeof n === 'number') return this.word(n | 0).word((n / TWO32) | 0);
    return this.word(Number(n & 0xffff_ffffn) | 0).word(Number((n >> 32n) & 0xffff_ffffn) | 0);
  }
  bytes(b: Uint8Array, start: number, count: number): this {
    const end = start + count;
    let i = start;
    for (; i + 4 <= end; i += 4) this.word(b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24));
    for (; i < end; i++) this.word(b[i]! | 0x100);
    return this.word(count);
  }
  text(t: string): this {
    for (let i = 0; i < t.length; i++) this.word(t.charCodeAt(i));
    return this.word(t.length);
  }
  /** 0 … 2^53 - 1 */
  get key(): number {
    return (this.#a >>> 0) * 0x20_0000 + (this.#b >>> 11);
  }
}

/** Keys as small numbers, 1, 2, … in order of first sight; the same in every sequence that shares it. */
export class Interner {
  readonly #numbers = new Map<number, number>();
  number(key: number): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const made = this.#numbers.size + 1;
    this.#numbers.set(key, made);
    return made;
  }
}
