/** The events of a piece of two threads beside each other: which is which, and which agree. */
import { drained } from '../align/align.ts';
import type { MovableLane } from '../align/moved.ts';
import { type Pairable, type Paired, pairUp } from '../align/pairing.ts';
import { Interner } from '../meaning/hash.ts';
import { OTHER } from '../meaning/links.ts';
import { LINK_WORDS, Row } from './records.ts';
import type { Named } from './sums.ts';

/** Names in a that stand for other ones in b. */
export type Called = Map<number, number>;
type Known = Pick<Called, 'get' | 'set'>;

/** What is known, and what may be. */
class Names implements Known {
  readonly #known: ReadonlyMap<number, number>;
  readonly #own = new Map<number, number>();

  constructor(known: ReadonlyMap<number, number>) {
    this.#known = known;
  }
  get(name: number): number | undefined {
    return this.#own.get(name) ?? this.#known.get(name);
  }
  set(name: number, other: number): Map<number, number> {
    return this.#own.set(name, other);
  }
  forget(): void {
    this.#own.clear();
  }
}
/** A name that nothing has. */
const NOTHING: Named = { low: 0x2545_f491, high: 0x4f6c_dd1d };

/** The events of a piece, of one side. */
export interface Events {
  readonly words: Int32Array;
  /** where they begin in `words` */
  readonly places: Int32Array;
}

const nameAt = (w: Int32Array, at: number, which = 0): number => ((w[at]! ^ which) >>> 0) * 0x20_0000 + (w[at + 1]! >>> 11);
/** The name of what an event has made, 0 nothing. */
export const makerOf = (w: Int32Array, at: number): number => (w[at + Row.MAKER] === 0 ? 0 : nameAt(w, at + Row.MAKER));

const keyAs = ({ low, high }: Named, which: number): number => ((low ^ which) >>> 0) * 0x20_0000 + (high >>> 11);

/** What an event of a made is what an event of b made. */
export interface Exchange {
  readonly a: Named;
  readonly b: Named;
}

/** Remembers that. Links tell a name with which of the things it is. */
export function exchange(called: Known, { a, b }: Exchange): void {
  for (let which = 0; which < 8; which++) called.set(keyAs(a, which), keyAs(b, which));
}
const makerAt = (w: Int32Array, at: number): Named => ({ low: w[at + Row.MAKER]!, high: w[at + Row.MAKER + 1]! });

/** Takes what partners say of names; → what was exchanged. */
function learn(called: Known, a: Events, b: Events, partners: Int32Array): Exchange[] {
  const found: Exchange[] = [];
  partners.forEach((j, i) => {
    if (makerOf(a.words, a.places[i]!) === 0) return;
    const two = j < 0 ? undefined : learnTwo(called, a, i, b, j);
    if (two !== undefined) found.push(two);
    // what nobody made on the other side is nothing there
    if (j < 0) exchange(called, { a: makerAt(a.words, a.places[i]!), b: NOTHING });
  });
  return found;
}

function learnTwo(called: Known, a: Events, i: number, b: Events, j: number): Exchange | undefined {
  const [x, y] = [makerOf(a.words, a.places[i]!), makerOf(b.words, b.places[j]!)];
  if (x === 0) return undefined;
  if (x === y) {
    if (called.get(x) !== undefined) exchange(called, { a: makerAt(a.words, a.places[i]!), b: makerAt(b.words, b.places[j]!) });
    return undefined;
  }
  const two = { a: makerAt(a.words, a.places[i]!), b: y === 0 ? NOTHING : makerAt(b.words, b.places[j]!) };
  exchange(called, two);
  return y === 0 ? undefined : two;
}

/** Do two events say the same of the same things? */
export function agree(called: Pick<Known, 'get'>, wa: Int32Array, a: number, wb: Int32Array, b: number): boolean {
  for (let k = Row.ANSWERED; k < Row.CALLED; k++) if (wa[a + k] !== wb[b + k]) return false;
  return wa[a + Row.LINKS] === wb[b + Row.LINKS] && asksSame(called, wa, a, wb, b);
}

/** The same question about the same things. */
function asksSame(called: Pick<Known, 'get'>, wa: Int32Array, a: number, wb: Int32Array, b: number): boolean {
  for (let k = Row.ASKED; k < Row.ANSWERED; k++) if (wa[a + k] !== wb[b + k]) return false;
  // those of the question come first, and there are as many of them
  const links = Math.min(wa[a + Row.LINKS]!, wb[b + Row.LINKS]!);
  for (let n = 0; n < links; n++) {
    const [p, q] = [a + Row.WORDS + n * LINK_WORDS, b + Row.WORDS + n * LINK_WORDS];
    if (wa[p] !== wb[q]) return false;
    const name = nameAt(wa, p + 1);
    if ((called.get(name) ?? name) !== nameAt(wb, q + 1)) return false;
  }
  return true;
}

/** Events of a piece and, for each, what becomes of the things that it is about and has made, as far as the piece goes. */
function livesOf({ words: w, places }: Events): Int32Array {
  const lives = new Map<number, number>();
  // files, mappings and calls are about too much to tell anything apart
  const named = (at: number, n: number): number => {
    const p = at + Row.WORDS + n * LINK_WORDS;
    return w[p + 3] === OTHER ? 0 : nameAt(w, p + 1);
  };
  for (const at of places) {
    for (let n = 0; n < w[at + Row.LINKS]!; n++) {
      const name = named(at, n);
      if (name === 0) continue;
      const said = w[at + Row.ASKED]! ^ w[at + Row.ANSWERED + 1]!;
      const life = Math.imul((lives.get(name) ?? 0x9e37) ^ said, 0x85eb_ca6b);
      lives.set(name, life ^ (life >>> 15));
    }
  }
  return places.map((at) => {
    let life = 0;
    for (let n = 0; n < w[at + Row.LINKS]!; n++) life = Math.imul(life ^ (lives.get(named(at, n)) ?? 0), 0xc2b2_ae35);
    if (w[at + Row.MAKER] !== 0) {
      for (let which = 0; which < OTHER; which++) {
        life = Math.imul(life ^ (lives.get(nameAt(w, at + Row.MAKER, which)) ?? which), 0x9e37_79b1);
      }
    }
    return life ^ (life >>> 13);
  });
}

/** Some words of an event as a number. */
function keyOf(numbers: Interner, w: Int32Array, at: number, from: number, to: number): number {
  let [low, high] = [0x9e37, 0x79b1];
  for (let k = from; k < to; k++) {
    low = Math.imul(low ^ w[at + k]!, 0x9e37_79b1);
    low ^= low >>> 15;
    high = Math.imul((high + w[at + k]!) | 0, 0x85eb_ca6b) ^ (high >>> 13);
  }
  return numbers.number((low >>> 0) * 0x20_0000 + (high >>> 11));
}

/** `known`: names from before the piece; it learns those of the piece. */
export function alignPiece(a: Events, b: Events, known: Called): Aligned {
  if (a.places.length === 0 || b.places.length === 0) {
    const partners = new Int32Array(a.places.length).fill(-1);
    return { partners, moved: [], exchanged: learn(known, a, b, partners) };
  }
  const piece = new PieceOf(a, b, known);
  const { partners, moved } = drained(pairUp(piece));
  return { partners, moved, exchanged: learn(known, a, b, partners) };
}

export interface Aligned extends Paired {
  readonly exchanged: readonly Exchange[];
}

class PieceOf implements Pairable {
  readonly a: MovableLane;
  readonly b: MovableLane;
  readonly #x: Events;
  readonly #y: Events;
  readonly #names: Names;
  readonly #numbers = new Interner();
  readonly ways = 2;

  constructor(a: Events, b: Events, known: Called) {
    this.#x = a;
    this.#y = b;
    this.#names = new Names(known);
    const movable = (events: Events): MovableLane => ({
      keys: this.#column(events, Row.ASKED, Row.ANSWERED),
      things: (i) => dependsOn(events.words, events.places[i]!),
    });
    [this.a, this.b] = [movable(a), movable(b)];
  }

  #column({ words, places }: Events, from: number, to: number): Int32Array {
    return places.map((at) => keyOf(this.#numbers, words, at, from, to));
  }

  /** By what becomes of the things that a call is about, or by what is asked alone. */
  *keys(way: number): Iterable<readonly [Int32Array, Int32Array]> {
    if (way === 0) yield [this.#whole(this.#x), this.#whole(this.#y)];
    else yield [this.a.keys, this.b.keys];
    yield [this.a.keys, this.b.keys];
  }

  called(): readonly [Int32Array, Int32Array] {
    return [this.#column(this.#x, Row.CALLED, Row.MAKER), this.#column(this.#y, Row.CALLED, Row.MAKER)];
  }

  #whole(events: Events): Int32Array {
    const lives = livesOf(events);
    return this.#column(events, Row.ASKED, Row.CALLED).map((key, i) => this.#numbers.number(key * 0x1_0000_0000 + (lives[i]! >>> 0)));
  }

  agree(i: number, j: number): boolean {
    return agree(this.#names, this.#x.words, this.#x.places[i]!, this.#y.words, this.#y.places[j]!);
  }
  asksSame(i: number, j: number): boolean {
    return asksSame(this.#names, this.#x.words, this.#x.places[i]!, this.#y.words, this.#y.places[j]!);
  }
  alike(i: number, j: number): boolean {
    const [p, q] = [this.#x.places[i]!, this.#y.places[j]!];
    for (let k = Row.ASKED; k < Row.CALLED; k++) if (this.#x.words[p + k] !== this.#y.words[q + k]) return false;
    return true;
  }
  take(partners: Int32Array): void {
    this.#names.forget();
    learn(this.#names, this.#x, this.#y, partners);
  }
  takeTwo(i: number, j: number): void {
    learnTwo(this.#names, this.#x, i, this.#y, j);
  }
}

/** What an event has to do with; undefined: its order matters to all others. */
function dependsOn(w: Int32Array, at: number): ReadonlySet<number> | undefined {
  const count = w[at + Row.ON]!;
  if (count < 0) return undefined;
  const things = new Set<number>();
  for (let which = 0; which < OTHER; which++) things.add((w[at + Row.SEQ]! * 8 + which) | 0);
  const from = at + Row.WORDS + w[at + Row.LINKS]! * LINK_WORDS;
  for (let n = 0; n < count; n++) things.add(w[from + n]!);
  return things;
}
