/**
 * What events say as sums of 64 bits: each value that is told adds its mixed bits, with the name and the place mixed in, so that
 * the order of telling does not matter and what never changes in frames of one layout is added up once (see recipes.ts).
 */
import type { U64 } from '../../u64.ts';
import type { Name } from '../meaning/forms.ts';
import { type Origin, whichOf } from '../meaning/links.ts';
import type { Sink } from '../meaning/sink.ts';
import type { About } from './about.ts';

const TWO32 = 0x1_0000_0000;

/** A name and a place as one number. */
export const saltOf = (name: Name, place: number, sort: number): number => {
  let salt = Math.imul(name.hash ^ Math.imul(place + sort * 0x51_7c_c1, 0x9e37_79b1), 0x85eb_ca6b);
  salt ^= salt >>> 15;
  return Math.imul(salt, 0xc2b2_ae35) | 0;
};
/** Sorts of things that are told under one name. */
export const Sort = { VALUE: 0, LINK: 1, CHOSEN: 2, BYTES: 3 } as const;

export function mixLow(salt: number, low: number, high: number): number {
  let h = Math.imul(low ^ salt, 0x9e37_79b1);
  h = Math.imul(h ^ (h >>> 15) ^ high, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}
export function mixHigh(salt: number, low: number, high: number): number {
  let h = Math.imul((low + salt) | 0, 0xcc9e_2d51);
  h = Math.imul((h ^ (h >>> 16)) + high, 0x1b87_3593);
  h = Math.imul(h ^ (h >>> 15), 0x9e37_79b1);
  return h ^ (h >>> 14);
}

/** Changes the place of a link that is told in the answer: which of the two tells it matters, an answer may name what the question names. */
export const ANSWERED = 0x5555_5555;

const types = new Map<string, number>();
/** A number for the type of an object. */
export function typeHash(type: string): number {
  let hash = types.get(type);
  if (hash === undefined) {
    hash = 0x1234_5678;
    for (let i = 0; i < type.length; i++) hash = Math.imul(hash ^ type.charCodeAt(i), 0x0100_0193);
    types.set(type, hash);
  }
  return hash;
}

/** Of things of no type. */
export const NO_TYPE = typeHash('');

/** A number for bytes; where they lie does not matter. */
export function bytesHash(b: Uint8Array, start: number, count: number): number {
  let h = count | 0;
  const end = start + count;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    h = Math.imul(h ^ (b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24)), 0x9e37_79b1);
    h ^= h >>> 15;
  }
  for (; i < end; i++) h = Math.imul(h ^ b[i]!, 0x85eb_ca6b) ^ (h >>> 17);
  return h;
}

/** The same for bytes that begin at word `w` of `words`, which are those of `buffer`. */
export function bytesOfWords(words: Uint32Array, w: number, count: number, buffer: Uint8Array): number {
  let h = count | 0;
  const whole = count >> 2;
  for (let i = 0; i < whole; i++) {
    h = Math.imul(h ^ words[w + i]!, 0x9e37_79b1);
    h ^= h >>> 15;
  }
  for (let i = 4 * (w + whole); i < 4 * w + count; i++) h = Math.imul(h ^ buffer[i]!, 0x85eb_ca6b) ^ (h >>> 17);
  return h;
}

/** What a thing is called, whatever number it got; see lanes.ts. */
export interface Named {
  readonly low: number;
  readonly high: number;
}

/** Adds up what an event says. */
export class Sums implements Sink {
  askedLow = 0;
  askedHigh = 0;
  answeredLow = 0;
  answeredHigh = 0;
  linkedLow = 0;
  linkedHigh = 0;
  readonly #nameOf: (origin: Origin) => Named;
  /** takes the things that are told, four words each */
  links: number[] | undefined;
  readonly #about: About | undefined;
  #answer = false;

  constructor(nameOf: (origin: Origin) => Named, about?: About) {
    this.#nameOf = nameOf;
    this.#about = about;
  }

  begin(): void {
    this.askedLow = this.askedHigh = this.answeredLow = this.answeredHigh = this.linkedLow = this.linkedHigh = 0;
    this.#answer = false;
  }
  answer(): void {
    this.#answer = true;
  }
  #add(salt: number, low: number, high: number): void {
    if (this.#answer) {
      this.answeredLow = (this.answeredLow + mixLow(salt, low, high)) | 0;
      this.answeredHigh = (this.answeredHigh + mixHigh(salt, low, high)) | 0;
    } else {
      this.askedLow = (this.askedLow + mixLow(salt, low, high)) | 0;
      this.askedHigh = (this.askedHigh + mixHigh(salt, low, high)) | 0;
    }
  }
  value(name: Name, value: U64, place = 0): void {
    const salt = saltOf(name, place, Sort.VALUE);
    if (typeof value === 'number') this.#add(salt, value | 0, (value / TWO32) | 0);
    else this.#add(salt, Number(value & 0xffff_ffffn) | 0, Number((value >> 32n) & 0xffff_ffffn) | 0);
  }
  link(name: Name, origin: Origin, type: string, raw: U64, place = 0): void {
    const salt = saltOf(name, place, Sort.LINK);
    this.#about?.add(origin, raw !== 0);
    this.#add(salt, typeHash(type), 0);
    const { low, high } = this.#nameOf(origin);
    const side = this.#answer ? salt ^ ANSWERED : salt;
    this.links?.push(side, low ^ whichOf(origin), high, whichOf(origin));
    this.linkedLow = (this.linkedLow + mixLow(side, low, whichOf(origin))) | 0;
    this.linkedHigh = (this.linkedHigh + mixHigh(side, high, whichOf(origin))) | 0;
  }
  chosen(name: Name, _raw: U64, place = 0): void {
    this.#add(saltOf(name, place, Sort.CHOSEN), 1, 0);
  }
  bytes(name: Name, buffer: Uint8Array, start: number, count: number, place = 0): void {
    this.#add(saltOf(name, place, Sort.BYTES), bytesHash(buffer, start, count), count);
  }
}
