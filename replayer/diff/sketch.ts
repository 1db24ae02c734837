/** What a process asks, in few words: how many two sketches share tells how alike two processes are. */
import type { Said } from './short.ts';
import { mixLow } from './sums.ts';

/** Least hashes of what is asked, by their low bits. */
const SLOTS = 16;
/** The same of first events alone, of so many at most: a process that ends early begins as the one that goes on. */
const FIRST = [4, 16, 64] as const;
const EMPTY = 0xffff_ffff;

export const newSketch = (): Uint32Array => new Uint32Array(SLOTS * (1 + FIRST.length)).fill(EMPTY);

/** `count`: which event of the process it is, from 1 */
export function addTo(sketch: Uint32Array, { askedLow, called }: Said, count: number): void {
  put(sketch, 0, askedLow);
  if (count > FIRST[FIRST.length - 1]!) return;
  FIRST.forEach((most, level) => {
    if (count > most) return;
    put(sketch, level + 1, askedLow);
    put(sketch, level + 1, mixLow(1, called, 0));
  });
}

function put(sketch: Uint32Array, level: number, hash: number): void {
  const slot = level * SLOTS + (hash & (SLOTS - 1));
  if (hash >>> 4 < sketch[slot]!) sketch[slot] = hash >>> 4;
}

/** The sketch of both. */
export const both = (a: Uint32Array, b: Uint32Array): Uint32Array => a.map((w, i) => Math.min(w, b[i]!));

/** How much two processes of so many events have in common, 0 … 1: of all events, and of the first, as many as both have. */
export function likenessOf(a: Uint32Array, eventsA: number, b: Uint32Array, eventsB: number): number {
  const least = Math.min(eventsA, eventsB);
  const level =
    1 +
    Math.max(
      0,
      FIRST.findLastIndex((most) => most <= least),
    );
  return share(a, b, 0) / 2 + share(a, b, level) / 2;
}

function share(a: Uint32Array, b: Uint32Array, level: number): number {
  let [common, all] = [0, 0];
  for (let k = level * SLOTS; k < (level + 1) * SLOTS; k++) {
    const [x, y] = [a[k]!, b[k]!];
    if (x !== EMPTY || y !== EMPTY) all++;
    if (x !== EMPTY && x === y) common++;
  }
  return all === 0 ? 1 : common / all;
}
