/**
 * From the spool to the trace. Events go over in the order of their entry; one that does not return soon is stored as
 * entered, and a RETURN event follows when it does. What was taken and how far that is are committed together, so a
 * recorder that is killed loses and doubles nothing.
 */

import type { TraceWriter } from '../store/append.ts';
import { IrrError } from '../store/errors.ts';
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
import type { Spool } from './spool.ts';
import { compactFrame } from './spool-frame.ts';

const SEGMENT = 1 << 20;
const STRIDE = 64;
/** How long a call may take before it is stored as entered, milliseconds. */
const PATIENCE_MS = 20;
/** How long a place may stay unfilled before it is passed over, milliseconds. What comes there later is stored then. */
const HOLE_MS = 200;
/** When what was taken is committed: after so many events, or so long after the first of them, milliseconds. */
const FLUSH_EVENTS = 8192;
const FLUSH_MS = 200;
/** Slots that are kept ready for programs that cannot make room themselves. */
const READY_SLOTS = 6;
/** Events between two looks at them. */
const ROOM_EVENTS = 256;

/** How far the spool is consumed, as it is saved with the events. */
interface Place {
  readonly position: number;
  /** calls stored as entered: position in the spool, seq */
  readonly pending: readonly (readonly [number, number])[];
  readonly lost: number;
  /** reserved and not filled when it was passed over: from, to */
  readonly holes?: readonly (readonly [number, number])[];
}

/** What a trace says about how far it came; the trace may be a stranger's. */
function parsePlace(text: string): Place {
  const number = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
  const pairs = (x: unknown): boolean => Array.isArray(x) && x.every((p) => Array.isArray(p) && p.length === 2 && p.every(number));
  try {
    const p = (text === '' ? { position: 0, pending: [], lost: 0 } : JSON.parse(text)) as Partial<Place> | null;
    if (number(p?.position) && p.position % STRIDE === 0 && pairs(p.pending) && number(p.lost) && pairs(p.holes ?? [])) return p as Place;
  } catch {
    // said below
  }
  throw new IrrError('damaged', 'the trace does not say how far it came', { hint: 'recover the spool alone, into another trace' });
}

export class Drain {
  readonly #spool: Spool;
  readonly #writer: TraceWriter;
  readonly #index: RowIndex;
  readonly #clock: () => bigint;
  readonly #cursor = new FrameCursor();
  readonly #pending: Map<number, number>;
  /** the last of these calls by the thread that made it, as far as this recorder saw it */
  readonly #latest = new Map<number, number>();
  /** places that were passed over because nobody filled them: from, to. Somebody that was stopped may do so yet. */
  readonly #holes: (readonly [number, number])[];
  #position: number;
  #lost: number;
  #waiting = -1;
  #since = 0;
  #unflushed = 0;
  #flushed = 0;
  #looked = 0;
  #room = true;
  #taken = 0;
  /** called with every frame that goes over */
  onFrame: (frame: FrameCursor) => void = () => {};

  /** @param clock CLOCK_MONOTONIC of the machine that is recorded, for events of the recorder's own; nanoseconds */
  constructor(spool: Spool, writer: TraceWriter, index: RowIndex, clock: () => bigint = process.hrtime.bigint) {
    this.#clock = clock;
    this.#spool = spool;
    this.#writer = writer;
    this.#index = index;
    const place = parsePlace(writer.position);
    this.#position = place.position;
    this.#pending = new Map(place.pending);
    this.#lost = place.lost;
    this.#holes = [...(place.holes ?? [])];
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
    const place: Place = { position: this.#position, pending: [...this.#pending], lost: this.#lost, holes: this.#holes };
    this.#writer.position = JSON.stringify(place);
    this.#writer.flush();
    this.#unflushed = 0;
    this.#flushed = Date.now();
    const open = new Set([...this.#pending.keys()].map((position) => Math.floor(position / SEGMENT)));
    this.#spool.release(
      this.#position,
      (segment) => open.has(segment) || this.#holes.some(([from, to]) => to > segment * SEGMENT && from < (segment + 1) * SEGMENT),
    );
  }

  /** Takes what is there. `last`: nobody writes any more, so holes are crossed and calls that did not return never will. */
  step(last: boolean): number {
    const before = this.#writer.last;
    if (last) this.#spool.settle();
    this.#take(last);
    this.#late(last);
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
        if (!last && !this.#patient(HOLE_MS)) return;
        if (!this.#cross(tail, last)) return;
        segment = -1;
        continue;
      }
      if (!found.returned && !last && !this.#patient(PATIENCE_MS)) return;
      if (!last && ++this.#taken % ROOM_EVENTS === 0) this.#makeRoom();
      const at = this.#position;
      if (this.#pending.size > 0) this.#returnsOf(found.frame.readUInt32LE(FRAME_AT.tid));
      const frame = compactFrame(found.frame, (bytes) => this.#spool.pieces(at, bytes, tail));
      this.#position = found.next;
      this.#put(at, frame, found.returned);
    }
  }

  /** What is committed with a frame is to know that it is open, so that is noted first. */
  #put(position: number, frame: Buffer, returned: boolean): void {
    if (!returned) {
      this.#pending.set(position, this.#writer.last + 1);
      this.#latest.set(frame.readUInt32LE(FRAME_AT.tid), position);
    }
    this.append(frame);
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

  /** Has what stands at the position been given its time? */
  #patient(time: number): boolean {
    const now = Date.now();
    if (this.#waiting !== this.#position) {
      this.#waiting = this.#position;
      this.#since = now;
    }
    return now - this.#since >= time;
  }

  /**
   * A process died, or was stopped, between reserving a place and filling it, or the place was never there because the spool
   * was full. false where nothing follows yet.
   */
  #cross(tail: number, last: boolean): boolean {
    const from = this.#position;
    const next = last ? this.#spool.nextMark(from + STRIDE, tail) : this.#spool.late(from, tail);
    if (!last && next >= tail) return false;
    if (next === from) return true; // it has just come
    const there = this.#spool.has(from);
    this.#position = next;
    if (!last) this.#holes.push([from, next]);
    if (there) this.#gap(1, Gap.HOLE, `a process ended while it was recording a call (${next - from} bytes of the spool)`);
    else if (from === 0)
      this.#gap(1, Gap.HOLE, `the first ${next} bytes of the spool were taken out before, by a recording that is not at hand`);
    return true;
  }

  /** What was filled after it had been passed over. */
  #late(last: boolean): void {
    const now = Date.now();
    if (this.#holes.length === 0 || (!last && now - this.#looked < HOLE_MS)) return;
    this.#looked = now;
    for (let i = 0; i < this.#holes.length; ) {
      const [from, to] = this.#holes[i]!;
      const at = this.#spool.late(from, to);
      const found = at < to ? this.#spool.frame(at) : undefined;
      if (!found) {
        i++;
        continue;
      }
      const rest = [[from, at] as const, [at + found.frame.length, to] as const].filter(([a, b]) => a < b);
      this.#holes.splice(i, 1, ...rest);
      const kind = found.frame[FRAME_AT.kind];
      if (kind === Kind.PAD || kind === Kind.PART) continue;
      const tail = this.#spool.tail;
      this.#put(
        at,
        compactFrame(found.frame, (bytes) => this.#spool.pieces(at, bytes, tail)),
        found.returned,
      );
    }
  }

  #returns(): void {
    for (const position of this.#pending.keys()) this.#return(position);
  }

  /** A thread that makes another call has come back from the one before: that is told first. */
  #returnsOf(thread: number): void {
    const position = this.#latest.get(thread);
    if (position === undefined) return;
    this.#return(position);
    if (!this.#pending.has(position)) this.#latest.delete(thread);
  }

  /** Tells that a call has returned, if it has. */
  #return(position: number): void {
    const seq = this.#pending.get(position);
    const found = this.#spool.frame(position);
    if (seq === undefined || !found?.returned) return;
    const whole = compactFrame(found.frame, (bytes) => this.#spool.pieces(position, bytes, this.#spool.tail));
    const call = new FrameCursor().at(whole, 0).frame();
    const after = decodeParts(whole, 0).filter((p) => p.kind === PartKind.OUT || p.kind === PartKind.NESTED_OUT);
    this.#pending.delete(position);
    this.append(encodeFrame({ ...call, kind: Kind.RETURN, state: State.RETURNED, parts: [makeArgs(seq), ...after] }));
  }

  #losses(): void {
    const lost = this.#spool.lost;
    const sum = lost.reduce((a, b) => a + b);
    if (sum <= this.#lost) return;
    const text = lost[Gap.CONFINED]! > 0 ? 'the program forbade itself the system calls to make room' : 'no room in the spool';
    const events = sum - this.#lost;
    this.#lost = sum;
    this.#gap(events, lost[Gap.CONFINED]! > 0 ? Gap.CONFINED : Gap.FULL, text);
  }

  #gap(events: number, reason: number, text: string): void {
    const now = this.#clock();
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

  /** How far the spool was taken, bytes. */
  get position(): number {
    return this.#position;
  }
}

/** An EXIT that the process did not report itself: it was killed, or ended where nothing could see it. */
export function observedExit(pid: number, request: number, flags: number): Buffer {
  const now = process.hrtime.bigint();
  const frame = encodeFrame(makeFrame({ kind: Kind.EXIT, request, flags, pid, tid: pid, tEnter: now, tExit: now, ret: -1n }));
  frame[FRAME_AT.state] = State.RETURNED;
  return frame;
}
