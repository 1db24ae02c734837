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

/** Numbers in pairs, ascending by the first of each. */
class Pairs {
  readonly keys: number[] = [];
  readonly values: number[] = [];

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

export class WholeCalls implements FrameSource {
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

  get last(): number {
    return this.#source.last;
  }
  /** dialect '': the source does not say it */
  get meta(): { readonly dialect: string } {
    return this.#source.meta ?? { dialect: '' };
  }
  /** RETURNs that are no events of their own */
  get taken(): number {
    this.#look();
    return this.#calls.keys.length;
  }

  /** The RETURN of a call that was stored before it returned; 0: the event is none. */
  returnOf(call: number): number {
    this.#look();
    return this.#returns.of(call);
  }
  /** The call that a RETURN is the answer of; 0: the event is none, or one of its own. */
  callOf(event: number): number {
    this.#look();
    return this.#calls.of(event);
  }

  /** RETURNs that are no events of their own, each with its call; ascending. */
  *pairs(): Generator<readonly [event: number, call: number]> {
    this.#look();
    const { keys, values } = this.#calls;
    for (let i = 0; i < keys.length; i++) yield [keys[i]!, values[i]!];
  }

  /** An event, whole; undefined where there is none. */
  frame(seq: number): Frame | undefined {
    for (const batch of this.scan(seq, seq)) if (batch.taken !== true) return this.#cursor.at(batch.buffer, batch.offsets[0]!).frame();
    return undefined;
  }

  /** Throws what the source throws. */
  *scan(from = 1, to = Number.POSITIVE_INFINITY): Generator<WholeBatch> {
    this.#look();
    for (const batch of this.#source.scan(from, to)) yield* this.#batch(batch);
  }

  *#batch(batch: FrameBatch): Generator<WholeBatch> {
    const end = batch.first + batch.count;
    let [c, r] = [this.#returns.at(batch.first), this.#calls.at(batch.first)];
    let from = batch.first;
    for (;;) {
      const call = this.#returns.keys[c] ?? Number.POSITIVE_INFINITY;
      const back = this.#calls.keys[r] ?? Number.POSITIVE_INFINITY;
      const next = Math.min(call, back);
      if (next >= end) break;
      if (next > from) yield part(batch, from, next);
      if (next === back) {
        r++;
        yield { ...alone(next, nothing(next)), taken: true };
      } else {
        const bytes = bytesAt(batch, next);
        yield alone(next, wholeFrame(bytes, this.#bytes(this.#returns.values[c++]!) ?? bytes));
      }
      from = next + 1;
    }
    if (from < end) yield from === batch.first ? batch : part(batch, from, end);
  }

  #bytes(seq: number): Buffer | undefined {
    for (const batch of this.#source.scan(seq, seq)) return bytesAt(batch, seq);
    return undefined;
  }

  /** Finds the RETURNs that have come since it was asked last. */
  #look(): void {
    const { last } = this;
    if (this.#known >= last) return;
    const found: (readonly [call: number, back: number])[] = [];
    for (const back of this.#returnsFrom(this.#known + 1, last)) {
      const bytes = this.#bytes(back);
      const f = bytes === undefined ? undefined : this.#cursor.at(bytes, 0);
      if (f === undefined || f.kind !== Kind.RETURN) continue;
      const call = Number(f.arg(0));
      if (call >= 1 && call < back && this.#returns.of(call) === 0) found.push([call, back]);
    }
    this.#known = last;
    if (found.length > 0) this.#take(found);
  }

  #take(found: (readonly [call: number, back: number])[]): void {
    const { keys, values } = this.#returns;
    const pairs = keys.map((call, i) => [call, values[i]!] as const);
    let before = 0;
    // of several RETURNs of one call the first is the answer
    for (const pair of found.sort((x, y) => x[0] - y[0] || x[1] - y[1])) {
      if (pair[0] !== before && this.#isEntered(pair[0])) pairs.push(pair);
      before = pair[0];
    }
    const [returns, calls] = [new Pairs(), new Pairs()];
    for (const [call, back] of pairs.sort((x, y) => x[0] - y[0])) {
      returns.keys.push(call);
      returns.values.push(back);
    }
    for (const [call, back] of pairs.sort((x, y) => x[1] - y[1])) {
      calls.keys.push(back);
      calls.values.push(call);
    }
    [this.#returns, this.#calls] = [returns, calls];
  }

  #isEntered(seq: number): boolean {
    const bytes = this.#bytes(seq);
    return bytes !== undefined && bytes[FRAME_AT.state] === State.ENTERED && bytes[FRAME_AT.kind] !== Kind.RETURN;
  }

  *#returnsFrom(first: number, last: number): Generator<number> {
    const source = this.#source;
    if (source.seqs !== undefined) {
      for (let from = first; from <= last; ) {
        const page = source.seqs(RETURNS, [], { from, to: last, limit: PAGE });
        yield* page;
        if (page.length < PAGE) return;
        from = page.at(-1)! + 1;
      }
      return;
    }
    for (const { buffer, offsets, first: start, count } of source.scan(first, last))
      for (let i = 0; i < count; i++) if (buffer[offsets[i]! + FRAME_AT.kind] === Kind.RETURN) yield start + i;
  }
}

/** A copy of an event's bytes. */
function bytesAt({ buffer, offsets, first }: FrameBatch, seq: number): Buffer {
  const at = offsets[seq - first]!;
  const bytes = Buffer.from(buffer.subarray(at, at + Math.max(FRAME_HEADER, buffer.readUInt32LE(at + FRAME_AT.bytes))));
  return bytes;
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
