/** In which order the events of two traces stand beside each other. */
import { eventsIn } from '../../whole-calls.ts';
import type { Reading } from '../reading.ts';

/** How two events that stand beside each other compare; `onlyA`, `onlyB`: there is one only. */
export const How = { SAME: 0, CHANGED: 1, ONLY_A: 2, ONLY_B: 3 } as const;
export type How = (typeof How)[keyof typeof How];

export interface Rows {
  /** numbers of the events of a row, 0 none */
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly how: Uint8Array;
}

/** Rows between two yields. */
const SLICE = 8192;

/** All rows: the events of a in their order, and what only b has behind what it follows there. `partners`: by event of a, that of b; `moved`: events of b whose partners say nothing of the order. */
export function* orderRows(
  a: Reading,
  b: Reading,
  partners: Int32Array,
  moved: ReadonlySet<number>,
  agree: (i: number, j: number) => boolean,
): Generator<number, Rows> {
  const back = new Int32Array(b.last + 1);
  for (let i = 1; i <= a.last; i++) if (partners[i] !== 0) back[partners[i]!] = i;
  const behind = yield* placesOf(b, back, moved, a.last);
  const isRow = ({ source }: Reading, seq: number): boolean => source.callOf(seq) === 0;
  /** by event of a: how many stand behind it that only b has; then, where the next of them comes in */
  const next = new Int32Array(a.last + 1);
  let count = eventsIn(a.source);
  for (let j = 1; j <= b.last; j++) {
    if (back[j] !== 0 || !isRow(b, j)) continue;
    next[behind[j]!]!++;
    count++;
  }
  const rows = { a: new Int32Array(count), b: new Int32Array(count), how: new Uint8Array(count) };
  let row = 0;
  for (let i = 0; i <= a.last; i++) {
    if (i % SLICE === SLICE - 1) yield 0.99;
    if (i > 0 && isRow(a, i)) {
      const j = partners[i]!;
      rows.a[row] = i;
      rows.b[row] = j;
      rows.how[row++] = j === 0 ? How.ONLY_A : agree(i, j) ? How.SAME : How.CHANGED;
    }
    const alone = next[i]!;
    next[i] = row;
    row += alone;
  }
  for (let j = 1; j <= b.last; j++) {
    if (back[j] !== 0 || !isRow(b, j)) continue;
    const at = next[behind[j]!]!++;
    rows.b[at] = j;
    rows.how[at] = How.ONLY_B;
  }
  return rows;
}

/**
 * By event of b that has no partner: the event of a behind which it stands. That is the partner of the last one before it in b
 * that has one; but never before what came earlier in its own thread (nor before the fork of its process), nor behind what
 * comes later there.
 */
function* placesOf(b: Reading, back: Int32Array, moved: ReadonlySet<number>, lastA: number): Generator<number, Int32Array> {
  const behind = new Int32Array(b.last + 1);
  /** the event before it in its thread, 0 none */
  const previous = new Int32Array(b.last + 1);
  const latest = new Int32Array(b.last + 1).fill(lastA);
  for (const { lanes, born } of b.processes) {
    for (const { events } of lanes) {
      let before = born < events[0]! ? born : 0;
      for (const seq of events) {
        previous[seq] = before;
        before = seq;
      }
      let next = lastA;
      for (let n = events.length - 1; n >= 0; n--) {
        latest[events[n]!] = next;
        if (back[events[n]!] !== 0 && !moved.has(events[n]!)) next = back[events[n]!]! - 1;
      }
    }
    yield 0.99;
  }
  let place = 0;
  for (let j = 1; j <= b.last; j++) {
    if (j % SLICE === 0) yield 0.99;
    const still = back[j] !== 0 && !moved.has(j);
    if (still) place = back[j]!;
    behind[j] = still ? place : Math.min(latest[j]!, Math.max(place, behind[previous[j]!]!));
  }
  return behind;
}
