/**
 * A log in which every call stands whole where it was entered. A recorder stores a call that takes long as entered, and what it
 * answered in a RETURN of its own: which calls those are depends on time alone. Here such a call is one event, as if it had returned
 * in time, and nothing is left of its RETURN but the number.
 *
 * A RETURN whose call is not in the log as entered before it, or has another RETURN already, stays an event; so does a call that never
 * returned. Memory: four numbers for each RETURN.
 */
import { encodeFrame, FRAME_AT, FRAME_HEADER, type Frame, FrameCursor, Kind, makeFrame, State } from '../store/frame.ts';
import type { FrameBatch } from '../store/read.ts';
import type { FrameSource } from './fold.ts';
import { wholeFrame } from './whole-frame.ts';

export interface WholeBatch extends FrameBatch {
  /** it is one frame, of which nothing is left: it was the RETURN of a call before it, which has its answer now */
  readonly taken?: true;
}

/** A log that can find its RETURNs without being read: a TraceReader. */
interface Indexed {
  seqs(where: string, params: readonly never[], window: { readonly from: number; readonly to: number; readonly limit: number }): number[];
}
type Source = FrameSource & { readonly meta?: { readonly dialect: string } } & Partial<Indexed>;

const PAGE = 4096;
/** RETURNs between two yields. */
const SLICE = 256;
const RETURNS = "kind = 'RETURN'";

const made = new WeakMap<FrameSource, WholeCalls>();

/** The same log with whole calls; of one source there is one. */
export function wholeCalls(source: FrameSource): WholeCalls {
  if (source instanceof WholeCalls) return source;
  let whole = made.get(source);
  if (whole === undefined) {
    whole = new WholeCalls(source);
    made.set(source, whole);
  }
  return whole;
}

/** Events of a log, each call counted once. */
export const eventsIn = (source: FrameSource): number => source.last - (source instanceof WholeCalls ? source.taken : 0);

type Pair = readonly [key: number, value: number];

/** Numbers in pairs, ascending by the first of each. */
class Pairs {
  readonly keys: number[] = [];
  readonly values: number[] = [];

  static of(pairs: readonly Pair[]): Pairs {
    const made = new Pairs();
    for (const [key, value] of pairs.toSorted((x, y) => x[0] - y[0])) {
      made.keys.push(key);
      made.values.push(value);
    }
    return made;
  }

  each(take: (key: number, value: number) => void): void {
    this.keys.forEach((key, i) => {
      take(key, this.values[i]!);
    });
  }
  /** Where the first key from `n` on is. */
  at(n: number): number {
    let [low, high] = [0, this.keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.keys[middle]! < n) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  /** 0: none */
  of(key: number): number {
    const at = this.at(key);
    return this.keys[at] === key ? this.values[at]! : 0;
  }
}

/** Which RETURNs of a log are the answers of which calls. */
export class Answers {
  readonly #source: Source;
  readonly #cursor = new FrameCursor();
  /** calls by their RETURNs, and the other way round */
  #calls = new Pairs();
  #returns = new Pairs();
  /** the last event that has been looked through for RETURNs */
  #known = 0;

  constructor(source: Source) {
    this.#source = source;
  }

  get calls(): Pairs {
    drain(this.look());
    return this.#calls;
  }
  get returns(): Pairs {
    drain(this.look());
    return this.#returns;
  }

  /** Finds the RETURNs that have come since it was asked last, in slices; what is above does it in one go. Throws what the source throws. */
  *look(): Generator<void> {
    const { last } = this.#source;
    if (this.#known >= last) return;
    const found: Pair[] = [];
    for (const back of this.#returnsFrom(this.#known + 1, last)) {
      const bytes = frameOf(this.#source, back);
      const f = bytes === undefined ? undefined : this.#cursor.at(bytes, 0);
      if (f === undefined || f.kind !== Kind.RETURN) continue;
      const call = Number(f.arg(0));
      if (call >= 1 && call < back && this.#returns.of(call) === 0) found.push([call, back]);
      if (found.length % SLICE === 0) yield;
    }
    if (found.length > 0) yield* this.#take(found);
    this.#known = last;
  }

  *#take(found: readonly Pair[]): Generator<void> {
    const { keys, values } = this.#returns;
    const pairs: Pair[] = keys.map((call, i) => [call, values[i]!]);
    let before = 0;
    // of several RETURNs of one call the first is the answer
    for (const [i, pair] of found.toSorted((x, y) => x[0] - y[0] || x[1] - y[1]).entries()) {
      if (pair[0] !== before && this.#isEntered(pair[0])) pairs.push(pair);
      before = pair[0];
      if (i % SLICE === 0) yield;
    }
    this.#returns = Pairs.of(pairs);
    this.#calls = Pairs.of(pairs.map(([call, back]) => [back, call]));
  }

  #isEntered(seq: number): boolean {
    const bytes = frameOf(this.#source, seq);
    return bytes !== undefined && bytes[FRAME_AT.state] === State.ENTERED && bytes[FRAME_AT.kind] !== Kind.RETURN;
  }

  *#returnsFrom(first: number, last: number): Generator<number> {
    const source = this.#source;
    if (source.seqs === undefined) {
      for (const { buffer, offsets, first: start, count } of source.scan(first, last))
        for (let i = 0; i < count; i++) if (buffer[offsets[i]! + FRAME_AT.kind] === Kind.RETURN) yield start + i;
      return;
    }
    for (let from = first; from <= last; ) {
      const page = source.seqs(RETURNS, [], { from, to: last, limit: PAGE });
      yield* page;
      if (page.length < PAGE) return;
      from = page.at(-1)! + 1;
    }
  }
}

function drain(run: Generator<void>): void {
  while (run.next().done !== true);
}

export class WholeCalls implements FrameSource {
  readonly answers: Answers;
  readonly #source: Source;
  readonly #cursor = new FrameCursor();

  /** `answers`: of the same log, by a source that reads it otherwise */
  constructor(source: Source, answers = new Answers(source)) {
    this.#source = source;
    this.answers = answers;
  }

  get last(): number {
    return this.#source.last;
  }
  /** dialect '': the source does not say it */
  get meta(): { readonly dialect: string } {
    return this.#source.meta ?? { dialect: '' };
  }
  /** RETURNs that are no events of their own */
  get taken(): number {
    return this.answers.calls.keys.length;
  }

  /** The RETURN of a call that was stored before it returned; 0: the event is none. */
  returnOf(call: number): number {
    return this.answers.returns.of(call);
  }
  /** The call that a RETURN is the answer of; 0: the event is none, or one of its own. */
  callOf(event: number): number {
    return this.answers.calls.of(event);
  }

  /** An event, whole; undefined where there is none. */
  frame(seq: number): Frame | undefined {
    for (const batch of this.scan(seq, seq)) if (batch.taken !== true) return this.#cursor.at(batch.buffer, batch.offsets[0]!).frame();
    return undefined;
  }

  /** Throws what the source throws. */
  *scan(from = 1, to = Number.POSITIVE_INFINITY): Generator<WholeBatch> {
    for (const batch of this.#source.scan(from, to)) yield* this.#batch(batch);
  }

  *#batch(batch: FrameBatch): Generator<WholeBatch> {
    const { calls, returns } = this.answers;
    const end = batch.first + batch.count;
    let [c, r] = [returns.at(batch.first), calls.at(batch.first)];
    let from = batch.first;
    for (;;) {
      const call = returns.keys[c] ?? Number.POSITIVE_INFINITY;
      const back = calls.keys[r] ?? Number.POSITIVE_INFINITY;
      const next = Math.min(call, back);
      if (next >= end) break;
      if (next > from) yield part(batch, from, next);
      if (next === back) {
        r++;
        yield { ...alone(next, nothing(next)), taken: true };
      } else yield alone(next, this.#whole(bytesAt(batch, next), returns.values[c++]!));
      from = next + 1;
    }
    if (from < end) yield from === batch.first ? batch : part(batch, from, end);
  }

  #whole(call: Buffer, seq: number): Buffer {
    const back = frameOf(this.#source, seq);
    return back === undefined || back[FRAME_AT.kind] !== Kind.RETURN ? call : wholeFrame(call, back);
  }
}

function frameOf(source: FrameSource, seq: number): Buffer | undefined {
  for (const batch of source.scan(seq, seq)) return bytesAt(batch, seq);
  return undefined;
}

/** A copy of an event's bytes. */
function bytesAt({ buffer, offsets, first }: FrameBatch, seq: number): Buffer {
  const at = offsets[seq - first]!;
  return Buffer.from(buffer.subarray(at, at + Math.max(FRAME_HEADER, buffer.readUInt32LE(at + FRAME_AT.bytes))));
}

/** Events from … to of a batch, the end excluded. */
const part = ({ buffer, offsets, first }: FrameBatch, from: number, to: number): FrameBatch => ({
  first: from,
  count: to - from,
  buffer,
  offsets: offsets.subarray(from - first, to - first + 1),
});
const alone = (seq: number, buffer: Buffer): FrameBatch => ({
  first: seq,
  count: 1,
  buffer,
  offsets: Uint32Array.of(0, buffer.length),
});

/** Stands for a RETURN of which nothing is left: who folds a log passes such a frame over. */
const nothing = (seq: number): Buffer => encodeFrame(makeFrame({ kind: Kind.PAD, seq }));
