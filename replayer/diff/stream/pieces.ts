/** Threads by their blocks: which blocks are not the same, and those as pieces short enough to be looked at event by event. */
import { align, drained } from '../align/align.ts';
import { Interner } from '../meaning/hash.ts';
import { Block, type ProcessDigest, type TraceDigest } from './digests.ts';
import { GENERATIONS, type LanePlace } from './lanes.ts';
import type { Called } from './piece-align.ts';

/** Events of a piece: from so many on it ends where it can, and at so many it ends. */
const PIECE = 1 << 14;
const MOST_PIECE = 1 << 16;
/** Blocks beside a gap that are read with it. */
const BESIDE = 2;

/** Blocks a0 … a1 of a thread against b0 … b1 of its partner, ends excluded. */
export interface Piece {
  readonly pair: LanePair;
  readonly a0: number;
  readonly a1: number;
  readonly b0: number;
  readonly b1: number;
  readonly events: number;
}
export interface LanePair {
  readonly a: LaneBlocks | undefined;
  readonly b: LaneBlocks | undefined;
  readonly called: Called;
  /** 1: all is read event by event; pieces that were planned before do not count then */
  plan: number;
  /** pieces of it have been compared */
  begun: boolean;
  /** exchanged names of other threads that it knows: so many */
  heard: number;
  /** by block of a that of b which is the same, -1 none; of those that no piece has */
  beside: Int32Array;
}
export interface LaneBlocks {
  readonly place: LanePlace;
  readonly lane: number;
  readonly events: number;
  /** places in TraceDigest.blocks */
  readonly at: readonly number[];
  /** for each of them: how many events of the thread come before it */
  readonly nth: readonly number[];
  readonly blocks: Int32Array;
}

export function lanesOf(trace: TraceDigest): Map<number, LaneBlocks> {
  const { blocks } = trace;
  const lanes = new Map<number, { place: LanePlace; lane: number; events: number; at: number[]; nth: number[]; blocks: Int32Array }>();
  const places = placesOf(trace.processes);
  for (let at = 0; at < blocks.length; at += Block.WORDS) {
    const lane = blocks[at + Block.LANE]!;
    const known = lanes.get(lane) ?? { place: places.get(lane)!, lane, events: 0, at: [], nth: [], blocks };
    known.at.push(at);
    known.nth.push(known.events);
    known.events += blocks[at + Block.EVENTS]!;
    lanes.set(lane, known);
  }
  return lanes;
}

/** Which of a thread's blocks has its so many-th event. */
export function blockWith({ nth }: LaneBlocks, event: number): number {
  let [low, high] = [0, nth.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nth[middle]! <= event) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function placesOf(processes: readonly ProcessDigest[]): Map<number, LanePlace> {
  const places = new Map<number, LanePlace>();
  processes.forEach((p, i) => {
    const parents: number[] = [];
    for (let n = p.parent; n >= 0 && parents.length < GENERATIONS; n = processes[n]!.parent) parents.push(n + 1);
    for (const { lane, ordinal } of p.lanes) places.set(lane, { process: i + 1, parents, ordinal });
  });
  return places;
}

/** The pieces in which two threads are not the same. */
export function planned(pair: LanePair): Piece[] {
  const { a, b } = pair;
  if (a === undefined || b === undefined) return cut(pair, 0, a?.at.length ?? 0, 0, b?.at.length ?? 0);
  const partners = alignBlocks(a, 0, a.at.length, b, 0, b.at.length, true);
  pair.beside = partners;
  const open: { a0: number; a1: number; b0: number; b1: number }[] = [];
  let [a0, b0] = [0, 0];
  for (let i = 0; i <= partners.length; i++) {
    const j = i === partners.length ? b.at.length : partners[i]!;
    if (j < 0) continue;
    if (i > a0 || j > b0) {
      // a block that is the same may be the wrong one of several: those beside a gap are looked at again
      let [x0, y0] = [a0, b0];
      for (let n = 0; n < BESIDE && x0 > 0 && y0 > 0 && partners[x0 - 1] === y0 - 1; n++) [x0, y0] = [x0 - 1, y0 - 1];
      let [x1, y1] = [i, j];
      for (let n = 0; n < BESIDE && x1 < partners.length && partners[x1] === y1; n++) [x1, y1] = [x1 + 1, y1 + 1];
      const before = open.at(-1);
      if (before !== undefined && (x0 <= before.a1 || y0 <= before.b1)) [before.a1, before.b1] = [x1, y1];
      else open.push({ a0: x0, a1: x1, b0: y0, b1: y1 });
    }
    [a0, b0] = [i + 1, j + 1];
  }
  return open.flatMap((o) => cut(pair, o.a0, o.a1, o.b0, o.b1));
}

/** `whole`: by all that they say, else by what is asked alone */
function alignBlocks(a: LaneBlocks, a0: number, a1: number, b: LaneBlocks, b0: number, b1: number, whole: boolean): Int32Array {
  const numbers = new Interner();
  const column = ({ at, blocks }: LaneBlocks, from: number, to: number): Int32Array =>
    Int32Array.from(at.slice(from, to), (p) =>
      numbers.number(
        whole
          ? (blocks[p + Block.LOW]! >>> 0) * 0x20_0000 + (blocks[p + Block.HIGH]! >>> 11)
          : (blocks[p + Block.ASKED]! >>> 0) * 0x800 + blocks[p + Block.EVENTS]!,
      ),
    );
  return drained(align(column(a, a0, a1), column(b, b0, b1)));
}

/** Blocks as pieces that are short enough, cut where both sides ask the same. */
export function cut(pair: LanePair, a0: number, a1: number, b0: number, b1: number): Piece[] {
  const { a, b } = pair;
  const eventsOf = (lane: LaneBlocks | undefined, n: number): number => lane?.blocks[lane.at[n]! + Block.EVENTS] ?? 0;
  let all = 0;
  for (let i = a0; i < a1; i++) all += eventsOf(a, i);
  for (let j = b0; j < b1; j++) all += eventsOf(b, j);
  if (all === 0) return [];
  if (all <= PIECE) return [{ pair, a0, a1, b0, b1, events: all }];
  const partners = a && b && a0 < a1 && b0 < b1 ? alignBlocks(a, a0, a1, b, b0, b1, false) : new Int32Array(a1 - a0).fill(-1);
  const pieces: Piece[] = [];
  let events = 0;
  let [fromA, fromB, j] = [a0, b0, b0];
  const close = (toA: number, toB: number): void => {
    if (toA > fromA || toB > fromB) pieces.push({ pair, a0: fromA, a1: toA, b0: fromB, b1: toB, events });
    [fromA, fromB, events] = [toA, toB, 0];
  };
  for (let i = a0; i < a1; i++) {
    const partner = partners[i - a0]!;
    if (partner >= 0) {
      while (j < b0 + partner) {
        if (events >= MOST_PIECE) close(i, j);
        events += eventsOf(b, j++);
      }
      if (events >= PIECE) close(i, j);
    } else if (events >= MOST_PIECE) close(i, j);
    events += eventsOf(a, i);
  }
  while (j < b1) {
    if (events >= MOST_PIECE) close(a1, j);
    events += eventsOf(b, j++);
  }
  close(a1, b1);
  return pieces;
}
