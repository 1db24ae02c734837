/**
 * From the spool to the trace. Events go over in the order of their entry; one that does not return soon is stored as
 * entered, and a RETURN event follows when it does. What was taken and how far that is are committed together, so a
 * recorder that is killed loses and doubles nothing.
 */

import type { TraceWriter } from '../store/append.ts';
import {
  decodeParts,
  encodeFrame,
  FRAME_AT,
  FrameCursor,
  Gap,
  Kind,
  makeArgs,
  makeFrame,
  makePart,
  PartKind,
  State,
} from '../store/frame.ts';
import type { RowIndex } from './index-row.ts';
import { compactFrame, type Spool } from './spool.ts';

const SEGMENT = 1 << 20;
const STRIDE = 64;
/** How long a call may take before it is stored as entered, milliseconds. */
const PATIENCE_MS = 20;
/** When what was taken is committed: after so many events, or so long after the first of them, milliseconds. */
const FLUSH_EVENTS = 8192;
const FLUSH_MS = 200;
/** Slots that are kept ready for programs that cannot make room themselves. */
const READY_SLOTS = 6;

/** How far the spool is consumed, as it is saved with the events. */
interface Place {
  readonly position: number;
  /** calls stored as entered: position in the spool, seq */
  readonly pending: readonly (readonly [number, number])[];
  readonly lost: number;
}

export class Drain {
  readonly #spool: Spool;
  readonly #writer: TraceWriter;
  readonly #index: RowIndex;
  readonly #cursor = new FrameCursor();
  readonly #pending: Map<number, number>;
  #position: number;
  #released: number;
  #lost: number;
  #waiting = -1;
  #since = 0;
  #unflushed = 0;
  #flushed = 0;
  #room = true;
  /** called with every frame that goes over */
  onFrame: (frame: FrameCursor) => void = () => {};

  constructor(spool: Spool, writer: TraceWriter, index: RowIndex) {
    this.#spool = spool;
    this.#writer = writer;
    this.#index = index;
    const place = writer.position === '' ? undefined : (JSON.parse(writer.position) as Place);
    this.#position = place?.position ?? 0;
    this.#pending = new Map(place?.pending ?? []);
    this.#lost = place?.lost ?? 0;
    this.#released = Math.floor(this.#position / SEGMENT);
  }

  /** Events that were seen and could not be taken. */
  get lost(): number {
    return this.#lost;
  }

  append(frame: Buffer): number {
    const cursor = this.#cursor.at(frame, 0);
    const row = this.#index.row(cursor);
    const seq = this.#writer.append(frame, 0, row);
    this.onFrame(cursor);
    if (++this.#unflushed >= FLUSH_EVENTS) this.#flush();
    return seq;
  }

  #flush(): void {
    const place: Place = { position: this.#position, pending: [...this.#pending], lost: this.#lost };
    this.#writer.position = JSON.stringify(place);
    this.#writer.flush();
    this.#unflushed = 0;
    this.#flushed = Date.now();
    let keep = Math.floor(this.#position / SEGMENT);
    for (const position of this.#pending.keys()) keep = Math.min(keep, Math.floor(position / SEGMENT));
    for (; this.#released < keep; this.#released++) this.#spool.release(this.#released);
  }

  /** Takes what is there. `last`: nobody writes any more, so holes are crossed and calls that did not return never will. */
  step(last: boolean): number {
    const before = this.#writer.last;
    this.#take(last);
    this.#returns();
    this.#losses();
    if (last || (this.#unflushed > 0 && Date.now() - this.#flushed >= FLUSH_MS)) this.#flush();
    if (!last) this.#makeRoom();
    return this.#writer.last - before;
  }

  #take(last: boolean): void {
    const tail = this.#spool.tail;
    let segment = -1;
    while (this.#position < tail) {
      if (Math.floor(this.#position / SEGMENT) !== segment) {
        segment = Math.floor(this.#position / SEGMENT);
        this.#spool.refresh(this.#position, tail);
      }
      const found = this.#spool.at(this.#position, tail);
      if (found.what === 'end') return;
      if (found.what === 'skip') {
        this.#position = found.next;
        continue;
      }
      if (found.what === 'hole') {
        if (!last) return;
        this.#cross(tail);
        segment = -1;
        continue;
      }
      if (!found.returned && !last && !this.#patient()) return;
      const at = this.#position;
      const frame = compactFrame(found.frame, (bytes) => this.#spool.pieces(at, bytes, tail));
      this.#position = found.next;
      if (found.returned) this.append(frame);
      else this.#pending.set(at, this.append(frame));
    }
  }

  /** Without room for more, programs still have what they make themselves and what is given back. */
  #makeRoom(): void {
    if (!this.#room) return;
    try {
      this.#spool.keepFree(READY_SLOTS);
    } catch {
      this.#room = false;
    }
  }

  /** Has the call at the position been given its time? */
  #patient(): boolean {
    const now = Date.now();
    if (this.#waiting !== this.#position) {
      this.#waiting = this.#position;
      this.#since = now;
    }
    return now - this.#since >= PATIENCE_MS;
  }

  /** A process died between reserving a place and filling it, or the place was never there because the spool was full. */
  #cross(tail: number): void {
    const next = this.#spool.nextMark(this.#position + STRIDE, tail);
    const segmentless = this.#spool.at(this.#position, tail).what === 'hole' && this.#lost + this.#spool.lost.reduce((a, b) => a + b) > 0;
    if (!segmentless) this.#gap(1, Gap.HOLE, `a process ended while it was recording a call (${next - this.#position} bytes of the spool)`);
    this.#position = next;
  }

  #returns(): void {
    for (const [position, seq] of this.#pending) {
      const frame = this.#spool.returned(position);
      if (!frame) continue;
      const whole = compactFrame(frame, (bytes) => this.#spool.pieces(position, bytes, this.#spool.tail));
      const call = new FrameCursor().at(whole, 0).frame();
      const after = decodeParts(whole, 0).filter((p) => p.kind === PartKind.OUT || p.kind === PartKind.NESTED_OUT);
      this.#pending.delete(position);
      this.append(encodeFrame({ ...call, kind: Kind.RETURN, state: State.RETURNED, parts: [makeArgs(seq), ...after] }));
    }
  }

  #losses(): void {
    const lost = this.#spool.lost;
    const sum = lost.reduce((a, b) => a + b);
    if (sum <= this.#lost) return;
    const text = lost[Gap.CONFINED]! > 0 ? 'the program forbade itself the system calls to make room' : 'no room in the spool';
    const events = sum - this.#lost;
    this.#gap(events, lost[Gap.CONFINED]! > 0 ? Gap.CONFINED : Gap.FULL, text);
    this.#lost = sum;
  }

  #gap(events: number, reason: number, text: string): void {
    const now = process.hrtime.bigint();
    this.append(
      encodeFrame(
        makeFrame({
          kind: Kind.GAP,
          request: reason,
          ret: BigInt(events),
          tEnter: now,
          tExit: now,
          parts: [makePart(PartKind.TEXT, Buffer.from(text))],
        }),
      ),
    );
  }

  /** Nothing more to take now? */
  get empty(): boolean {
    return this.#position >= this.#spool.tail;
  }
}

/** An EXIT that the process did not report itself: it was killed, or ended where nothing could see it. */
export function observedExit(pid: number, request: number, flags: number): Buffer {
  const now = process.hrtime.bigint();
  const frame = encodeFrame(makeFrame({ kind: Kind.EXIT, request, flags, pid, tid: pid, tEnter: now, tExit: now, ret: -1n }));
  frame[FRAME_AT.state] = State.RETURNED;
  return frame;
}
