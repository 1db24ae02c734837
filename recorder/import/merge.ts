/**
 * A recording and what a log adds to it, in one order: by CLOCK_MONOTONIC. The events of the recording keep their order; one of the
 * log comes before the first of them that was entered after it. All are numbered anew. Numbers of events stand in one more place of a
 * frame: the first word of ARGS of a RETURN is the call that returned.
 */
import { FRAME_AT, FrameCursor, FrameFlag, Kind, PartKind, State } from '../../store/frame.ts';
import type { FrameBatch, TraceReader } from '../../store/read.ts';

/** Takes a frame, gives it its number. */
export type Put = (buffer: Buffer, offset: number) => number;

const NEVER = (1n << 64n) - 1n;
/** No event has this number. */
const NONE = 0n;

export class Merging {
  readonly #batches: Generator<FrameBatch>;
  readonly #put: Put;
  readonly #total: number;
  readonly #cursor = new FrameCursor();
  #batch: FrameBatch | undefined;
  /** for each event of the batch, before which time of the log it stands */
  #keys: BigUint64Array = new BigUint64Array(0);
  #at = 0;
  #taken = 0;
  /** old numbers of calls that have not returned, and their new ones */
  readonly #entered = new Map<number, number>();
  /** numbers that somebody else wants to have renumbered, ascending; those already passed are found in `renumbered` */
  readonly #wanted: readonly number[];
  readonly renumbered = new Map<number, number>();
  #nextWanted = 0;

  constructor(reader: TraceReader, wanted: Iterable<number>, put: Put) {
    this.#batches = reader.scan();
    this.#total = reader.last;
    this.#put = put;
    this.#wanted = [...new Set(wanted)].sort((a, b) => a - b);
  }

  /** How much of the recording is taken, 0 to 1. */
  get part(): number {
    return this.#total === 0 ? 1 : this.#taken / this.#total;
  }

  /**
   * Takes what stands before an event of the log that took place from `from` to `to`, its time being cut: calls that were entered
   * until `to`, since it may be one of them that caused it, and returns until `from`.
   */
  upTo(from: bigint, to: bigint): void {
    while (this.#more() && this.#keys[this.#at]! <= (this.#isReturn() ? from : to)) this.#take();
  }

  rest(): void {
    this.upTo(NEVER, NEVER);
  }

  #isReturn(): boolean {
    const batch = this.#batch!;
    return batch.buffer[batch.offsets[this.#at]! + FRAME_AT.kind] === Kind.RETURN;
  }

  #more(): boolean {
    while (this.#batch === undefined || this.#at >= this.#batch.count) {
      const next = this.#batches.next();
      if (next.done === true) return false;
      this.#batch = next.value;
      this.#keys = keysOf(next.value, this.#cursor);
      this.#at = 0;
    }
    return true;
  }

  #take(): void {
    const batch = this.#batch!;
    const i = this.#at++;
    this.#taken++;
    const [from, to] = [batch.offsets[i]!, batch.offsets[i + 1]!];
    const old = batch.first + i;
    const kind = batch.buffer[from + FRAME_AT.kind];
    let seq: number;
    if (kind === Kind.RETURN) seq = this.#put(this.#returned(Buffer.from(batch.buffer.subarray(from, to))), 0);
    else seq = this.#put(batch.buffer, from);
    if (batch.buffer[from + FRAME_AT.state] === State.ENTERED) this.#entered.set(old, seq);
    for (; this.#wanted[this.#nextWanted]! <= old; this.#nextWanted++) this.renumbered.set(this.#wanted[this.#nextWanted]!, seq);
  }

  #returned(frame: Buffer): Buffer {
    const c = this.#cursor.at(frame, 0);
    const old = Number(c.arg(0));
    if (c.part(PartKind.ARGS) && c.partBytes >= 8) {
      const call = this.#entered.get(old);
      frame.writeBigUInt64LE(call === undefined ? NONE : BigInt(call), c.partStart);
    }
    this.#entered.delete(old);
    return frame;
  }
}

/**
 * When each event of a batch happened, for the order. An event that the recorder made is stored when the recorder gets there: its
 * time may lie after those of events that follow it, and it must not hold them up.
 */
function keysOf(batch: FrameBatch, c: FrameCursor): BigUint64Array {
  const keys = new BigUint64Array(batch.count);
  let next = NEVER;
  for (let i = batch.count - 1; i >= 0; i--) {
    c.at(batch.buffer, batch.offsets[i]!);
    const { kind } = c;
    const own = kind === Kind.RETURN ? c.tExit : c.tEnter;
    const late = kind === Kind.RETURN || kind === Kind.GAP || (c.flags & FrameFlag.OBSERVED) !== 0;
    if (late) keys[i] = own < next ? own : next;
    else {
      keys[i] = own;
      next = own;
    }
  }
  return keys;
}
