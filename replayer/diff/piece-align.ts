/** The events of a piece of two threads beside each other: which is which, and which agree. */
import { align, drained, inverse, rematch, settle, slide } from './align.ts';
import { Interner } from './hash.ts';
import { OTHER } from './links.ts';
import { gaps } from './processes.ts';
import { LINK_WORDS, Row } from './records.ts';
import type { Named } from './sums.ts';

/** Names in a that stand for other ones in b. */
export type Called = Map<number, number>;

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
export function exchange(called: Called, { a, b }: Exchange): void {
  for (let which = 0; which < 8; which++) called.set(keyAs(a, which), keyAs(b, which));
}
const makerAt = (w: Int32Array, at: number): Named => ({ low: w[at + Row.MAKER]!, high: w[at + Row.MAKER + 1]! });

/** Takes what partners say of names; → what was exchanged. */
export function learn(called: Called, a: Events, b: Events, partners: Int32Array): Exchange[] {
  const found: Exchange[] = [];
  partners.forEach((j, i) => {
    if (j < 0) return;
    const [x, y] = [makerOf(a.words, a.places[i]!), makerOf(b.words, b.places[j]!)];
    if (x === y || x === 0 || y === 0) return;
    found.push({ a: makerAt(a.words, a.places[i]!), b: makerAt(b.words, b.places[j]!) });
    exchange(called, found.at(-1)!);
  });
  return found;
}

/** Do two events say the same of the same things? */
export function agree(called: ReadonlyMap<number, number>, wa: Int32Array, a: number, wb: Int32Array, b: number): boolean {
  for (let k = Row.ANSWERED; k < Row.CALLED; k++) if (wa[a + k] !== wb[b + k]) return false;
  return wa[a + Row.LINKS] === wb[b + Row.LINKS] && asksSame(called, wa, a, wb, b);
}

/** The same question about the same things. */
function asksSame(called: ReadonlyMap<number, number>, wa: Int32Array, a: number, wb: Int32Array, b: number): boolean {
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

/**
 * Events of a piece and, for each, what becomes of the things that it is about and has made, as far as the piece goes: what is asked
 * of them and, with `answers`, how that went.
 */
function livesOf({ words: w, places }: Events, answers: boolean): Int32Array {
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
      const said = w[at + Row.ASKED]! ^ (answers ? w[at + Row.ANSWERED + 1]! : 0);
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

/** What tells apart events that say the same. */
type Tells = readonly [a: Int32Array, b: Int32Array];

/** What events are about, by name; `names`: those of a that stand for others in b. */
function namedOf({ words: w, places }: Events, names?: Called): Int32Array {
  return places.map((at) => {
    let all = 0;
    for (let n = 0; n < w[at + Row.LINKS]!; n++) {
      const p = at + Row.WORDS + n * LINK_WORDS;
      const name = nameAt(w, p + 1);
      const known = names?.get(name) ?? name;
      const one = Math.imul(w[p]! ^ (known % 0x1_0000_0000), 0x85eb_ca6b) ^ Math.floor(known / 0x1_0000_0000);
      all = Math.imul(all ^ one, 0xc2b2_ae35);
    }
    return all ^ (all >>> 13);
  });
}

/**
 * What becomes of the things that a call is about tells calls apart that ask the same, but where one of those things has another
 * fate it misleads; what they are about does, but not before it is known which thing is which. All ways are gone, and the one that
 * leaves the fewest differences is taken. `known`: names from before the piece.
 */
export function alignPiece(a: Events, b: Events, known: Called): Int32Array {
  if (a.places.length === 0 || b.places.length === 0) return new Int32Array(a.places.length).fill(-1);
  let best: Int32Array | undefined;
  let least = Number.POSITIVE_INFINITY;
  const byNames = (): Tells => {
    const names = new Map(known);
    learn(names, a, b, best!);
    return [namedOf(a, names), namedOf(b)];
  };
  const byLives = (answers: boolean) => (): Tells => [livesOf(a, answers), livesOf(b, answers)];
  for (const tells of [byLives(true), byLives(false), () => undefined, byNames]) {
    const partners = alignBy(a, b, tells());
    settleBoth(a, b, partners, known);
    rematched(a, b, partners, known);
    const left = differing(a, b, partners, known);
    if (left < least) [best, least] = [partners, left];
    if (least === 0) break;
  }
  return best!;
}

/** Moves what has no partner, on either side, among its like to where the pairs agree. */
function settleBoth(a: Events, b: Events, partners: Int32Array, known: Called): void {
  const numbers = new Interner();
  const names = new Map(known);
  learn(names, a, b, partners);
  const same = (i: number, j: number): boolean => agree(names, a.words, a.places[i]!, b.words, b.places[j]!);
  const asked = (side: Events): Int32Array => side.places.map((at) => keyOf(numbers, side.words, at, Row.ASKED, Row.ANSWERED));
  if (partners.includes(-1) && settle(asked(a), partners, same)) learn(names, a, b, partners);
  const back = inverse(partners, b.places.length);
  if (back.includes(-1) && settle(asked(b), back, (j, i) => same(i, j))) partners.set(inverse(back, partners.length));
}

/** Pairs that ask the same of other things give way to more pairs of the same calls. */
function rematched(a: Events, b: Events, partners: Int32Array, known: Called): void {
  const numbers = new Interner();
  const names = new Map(known);
  learn(names, a, b, partners);
  const keys = (side: Events): Int32Array => side.places.map((at) => keyOf(numbers, side.words, at, Row.CALLED, Row.MAKER));
  const firm = (i: number, j: number): boolean => asksSame(names, a.words, a.places[i]!, b.words, b.places[j]!);
  drained(rematch(keys(a), keys(b), partners, firm));
}

/** How many rows differ; which names stand for each other follows from the partners. */
function differing(a: Events, b: Events, partners: Int32Array, known: Called): number {
  const names = new Map(known);
  learn(names, a, b, partners);
  let [matched, agreeing] = [0, 0];
  partners.forEach((j, i) => {
    if (j < 0) return;
    matched++;
    if (agree(names, a.words, a.places[i]!, b.words, b.places[j]!)) agreeing++;
  });
  return a.places.length + b.places.length - matched - agreeing;
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

/** By all that is said first, between what that matches by what is asked, and at last by the name of the call. */
function alignBy(a: Events, b: Events, tells: Tells | undefined): Int32Array {
  const numbers = new Interner();
  const lengthB = b.places.length;
  const column = ({ words, places }: Events, from: number, to: number): Int32Array =>
    places.map((at) => keyOf(numbers, words, at, from, to));
  const whole = (side: Events, told: Int32Array | undefined): Int32Array =>
    column(side, Row.ASKED, Row.CALLED).map((key, i) => numbers.number(key * 0x1_0000_0000 + ((told?.[i] ?? 0) >>> 0)));
  const [wholeA, wholeB] = [whole(a, tells?.[0]), whole(b, tells?.[1])];
  const partners = drained(align(wholeA, wholeB));
  slide(wholeA, partners, lengthB);
  for (const [from, to] of [
    [Row.ASKED, Row.ANSWERED],
    [Row.CALLED, Row.MAKER],
  ] as const) {
    const open = gaps(partners, lengthB);
    if (open.length === 0) break;
    const [keysA, keysB] = [column(a, from, to), column(b, from, to)];
    for (const { a0, a1, b0, b1 } of open) {
      const inner = drained(align(keysA.subarray(a0, a1), keysB.subarray(b0, b1)));
      inner.forEach((j, i) => {
        if (j >= 0) partners[a0 + i] = b0 + j;
      });
    }
  }
  return partners;
}
