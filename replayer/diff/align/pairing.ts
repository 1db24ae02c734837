/** Two threads, or parts of them: which event of one is which of the other. */
import { align, inverse, rematch, settle, slide } from './align.ts';
import { joinMoved, type MovableLane } from './moved.ts';
import { gaps } from './processes.ts';

/** What is asked of two threads; events by their indices. Partners are by event of a that of b, -1 none. */
export interface Pairable {
  readonly a: MovableLane;
  readonly b: MovableLane;
  /**
   * Numbers of each side's events: by one sort of key first, then between what that matches by the next one, and at last by the names
   * of the calls. There are so many ways to choose the keys; the best that has been found so far was taken last.
   */
  readonly ways: number;
  keys(way: number): Iterable<readonly [Int32Array, Int32Array]>;
  /** of the names of the calls alone */
  called(): readonly [Int32Array, Int32Array];
  /** do they ask the same about the same things, by what was taken */
  asksSame(i: number, j: number): boolean;
  /** and is that answered the same */
  agree(i: number, j: number): boolean;
  /** do they ask and answer the same, of whatever things */
  alike(i: number, j: number): boolean;
  /** these are the partners now */
  take(partners: Int32Array): void;
  /** and these two */
  takeTwo(i: number, j: number): void;
}

export interface Paired {
  readonly partners: Int32Array;
  /** events of a whose partners stand elsewhere in their thread */
  readonly moved: readonly number[];
}

/**
 * What becomes of the things that a call is about tells calls apart that ask the same, but where one of those things has another
 * fate it misleads: all ways are gone, and the one that leaves the fewest differences is what is taken at last.
 */
export function* pairUp(of: Pairable): Generator<void, Paired> {
  let best: Paired | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (let way = 0; way < of.ways; way++) {
    if (best !== undefined) of.take(best.partners);
    const partners = yield* aligned(of, way);
    of.take(partners);
    if (settled(of, partners)) of.take(partners);
    // pairs that ask the same of other things give way to more pairs of the same calls
    if (yield* rematch(...of.called(), partners, (i, j) => of.asksSame(i, j))) of.take(partners);
    const moved = joined(of, partners);
    const left = leftOver(of, partners);
    if (left < least) [best, least] = [{ partners, moved }, left];
    if (least === 0) break;
    yield;
  }
  of.take(best!.partners);
  return best!;
}

function* aligned(of: Pairable, way: number): Generator<void, Int32Array> {
  let partners: Int32Array | undefined;
  for (const [a, b] of [...of.keys(way), of.called()]) {
    if (partners === undefined) {
      partners = yield* align(a, b);
      slide(a, partners, b.length);
      continue;
    }
    for (const { a0, a1, b0, b1 } of gaps(partners, b.length)) {
      const inner = yield* align(a.subarray(a0, a1), b.subarray(b0, b1));
      for (const [i, j] of inner.entries()) if (j >= 0) partners[a0 + i] = b0 + j;
    }
  }
  return partners!;
}

/** Moves what has no partner, on either side, among its like to where the pairs agree. */
function settled(of: Pairable, partners: Int32Array): boolean {
  const forward = partners.includes(-1) && settle(of.a.keys, partners, (i, j) => of.agree(i, j));
  if (forward) of.take(partners);
  const back = inverse(partners, of.b.keys.length);
  const backward = back.includes(-1) && settle(of.b.keys, back, (j, i) => of.agree(i, j));
  if (backward) partners.set(inverse(back, partners.length));
  return forward || backward;
}

/** Pairs that were merely moved within the thread: their events of a. `partners` and what is taken have them then. */
function joined(of: Pairable, partners: Int32Array): readonly number[] {
  const join = (among: Int32Array): readonly number[] =>
    joinMoved(
      of.a,
      of.b,
      among,
      (i, j) => of.agree(i, j),
      (i, j) => of.takeTwo(i, j),
    );
  const loose = partners.map((j, i) => (j >= 0 && of.alike(i, j) && !of.agree(i, j) ? -1 : j));
  const plain = partners.slice();
  const moved = join(plain);
  const left = leftOver(of, plain);
  // what stands beside another call that asks the same may have changed places with it
  if (left > 0 && partners.some((j, i) => j !== loose[i])) {
    of.take(loose);
    const exchanged = join(loose);
    // nothing that stood beside another may be alone now: what has moved has not been held against that pair
    const lost = partners.some((j, i) => j >= 0 && loose[i] === -1);
    if (!lost && leftOver(of, loose) < left) {
      partners.set(loose);
      return exchanged;
    }
  }
  partners.set(plain);
  of.take(partners);
  return moved;
}

/** How many rows differ. */
function leftOver(of: Pairable, partners: Int32Array): number {
  let matched = 0;
  let agreeing = 0;
  partners.forEach((j, i) => {
    if (j < 0) return;
    matched++;
    if (of.agree(i, j)) agreeing++;
  });
  return of.a.keys.length + of.b.keys.length - matched - agreeing;
}
