/** What a process asks, in few words: how many two sketches share tells how alike two processes are. All of a trace are in one array. */
import type { Said } from './short.ts';
import { mixLow } from './sums.ts';

/** Least hashes of what is asked, by their low bits. */
const SLOTS = 16;
/** The same of first events alone, of so many at most: a process that ends early begins as the one that goes on. */
const FIRST = [4, 16, 64] as const;
const EMPTY = 0xffff_ffff;

/** Words of a sketch. */
export const SKETCH = SLOTS * (1 + FIRST.length);

export const newSketches = (processes: number): Uint32Array => new Uint32Array(SKETCH * processes).fill(EMPTY);

/** `at`: where the sketch begins; `count`: which event of the process it is, from 1 */
export function addTo(sketches: Uint32Array, at: number, { askedLow, called }: Said, count: number): void {
  put(sketches, at, askedLow);
  if (count > FIRST[FIRST.length - 1]!) return;
  FIRST.forEach((most, level) => {
    if (count > most) return;
    const from = at + (level + 1) * SLOTS;
    put(sketches, from, askedLow);
    put(sketches, from, mixLow(1, called, 0));
  });
}

function put(sketches: Uint32Array, from: number, hash: number): void {
  const slot = from + (hash & (SLOTS - 1));
  if (hash >>> 4 < sketches[slot]!) sketches[slot] = hash >>> 4;
}

/** Makes sketch `i` of one array that of itself and of sketch `j` of another. */
export function join(to: Uint32Array, i: number, from: Uint32Array, j: number): void {
  for (let k = 0; k < SKETCH; k++) to[i * SKETCH + k] = Math.min(to[i * SKETCH + k]!, from[j * SKETCH + k]!);
}

/** A process by its sketch, and of how many events that is. */
export interface Sketched {
  readonly sketches: Uint32Array;
  readonly events: readonly number[];
}

/** How much two processes of so many events have in common, 0 … 1: of all events, and of the first, as many as both have. */
export function likenessOf(a: Sketched, i: number, b: Sketched, j: number): number {
  const least = Math.min(a.events[i]!, b.events[j]!);
  const level =
    1 +
    Math.max(
      0,
      FIRST.findLastIndex((most) => most <= least),
    );
  const [x, y] = [a.sketches.subarray(i * SKETCH, (i + 1) * SKETCH), b.sketches.subarray(j * SKETCH, (j + 1) * SKETCH)];
  return share(x, y, 0) / 2 + share(x, y, level) / 2;
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
