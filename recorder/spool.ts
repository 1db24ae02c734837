/**
 * The spool, seen from the recorder: reads what traced processes wrote, in order, and gives slots back. The layout is
 * `recorder/shim/irr_spool.h`. The file is shared memory of running programs, so every read is a copy of a moment: a frame
 * counts only when the state read *before* its bytes said so.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { IrrError } from '../store/errors.ts';
import { FRAME_AT, FRAME_HEADER, Kind, State } from '../store/frame.ts';
import { pieceOf } from './spool-frame.ts';
import { LAYOUT, SPOOL_AT, SPOOL_FIELD, type SpoolHeader, UNAME } from './spool-layout.ts';

const { segment: SEGMENT, stride: STRIDE, slots: SLOTS, states: STATES, dir: DIR, data: DATA, window: WINDOW } = LAYOUT;
const { slotFree: SLOT_FREE, slotKept: SLOT_KEPT } = LAYOUT;
const [MARK_LOW, MARK_HIGH] = LAYOUT.mark;

/** Positions from here on are not believed, bytes: 4 PiB. */
const LIMIT = 2 ** 52;
/** Most bytes of one frame that lie in PART frames; the store takes no frame that is much longer. */
const SPILL_LIMIT = 60 << 20;

/** What stands at a position. */
export type Found =
  | { readonly what: 'frame'; readonly frame: Buffer; readonly returned: boolean; readonly next: number }
  | { readonly what: 'skip'; readonly next: number }
  /** reserved and not entered (yet): a process between two instructions, or killed there */
  | { readonly what: 'hole' }
  | { readonly what: 'end' };

function cString(b: Buffer, at: number, room: number): string {
  const end = b.indexOf(0, at);
  return b.toString('utf8', at, end < 0 || end > at + room ? at + room : end);
}

const notSpool = (path: string): IrrError =>
  new IrrError('not-a-spool', `${path}: not a spool of iommufd-rr`, {
    hint: 'give the file that IRR_SPOOL named, or that record left behind',
  });

export class Spool {
  readonly path: string;
  readonly header: SpoolHeader;
  readonly #fd: number;
  readonly #small = Buffer.alloc(64);
  /** slot by segment, for segments seen */
  readonly #slots = new Map<number, number>();
  /** a segment's bytes, of which those from #loaded to #loadedEnd were read */
  #window = Buffer.alloc(SEGMENT);
  #loaded = 0;
  #loadedEnd = 0;
  /** what the last refresh saw ends here; of that, the calls that had not returned */
  #whole = 0;
  readonly #open = new Set<number>();
  /** nobody writes any more: what was read once need not be read again */
  #still = false;
  /** bytes that may still be read in search of pieces, once nobody writes */
  #patience = Number.POSITIVE_INFINITY;

  /** Throws an IrrError where the file is no spool. */
  constructor(path: string, writable = true) {
    this.path = path;
    if (!statSync(path).isFile()) throw notSpool(path);
    this.#fd = openSync(path, writable ? 'r+' : 'r');
    const b = Buffer.alloc(DATA);
    const n = readSync(this.#fd, b, 0, DATA, 0);
    if (
      n < 8400 ||
      b.toString('latin1', 0, 8) !== 'IRRSPOOL' ||
      b.readUInt32LE(SPOOL_FIELD.version) !== 1 ||
      b.readUInt32LE(SPOOL_FIELD.segment) !== SEGMENT
    ) {
      closeSync(this.#fd);
      throw notSpool(path);
    }
    this.header = {
      realtimeNs: b.readBigUInt64LE(SPOOL_FIELD.realtime),
      monotonicNs: b.readBigUInt64LE(SPOOL_FIELD.monotonic),
      creator: b.readUInt32LE(SPOOL_FIELD.creator),
      kernel: cString(b, SPOOL_FIELD.uname + 2 * UNAME, UNAME),
      machine: cString(b, SPOOL_FIELD.uname + 4 * UNAME, UNAME),
      cpu: cString(b, SPOOL_FIELD.cpu, 128),
      recording: cString(b, SPOOL_FIELD.recording, 40),
      trace: cString(b, SPOOL_FIELD.trace, 4096),
    };
  }

  close(): void {
    closeSync(this.#fd);
  }

  #number(at: number): number {
    if (readSync(this.#fd, this.#small, 0, 8, at) < 8) return 0;
    return this.#small.readUInt32LE(0) + this.#small.readUInt32LE(4) * 0x1_0000_0000;
  }

  /** The position behind the last reservation. */
  get tail(): number {
    return Math.min(LIMIT, this.#number(SPOOL_AT.tail));
  }

  /**
   * From now on nobody writes: what was read is not read again, and the work is bounded by the size of the file, whatever is
   * in it. Throws an IrrError where two segments claim the same place.
   */
  settle(): void {
    const slots = this.#directory().map(([, slot]) => slot);
    if (new Set(slots).size !== slots.length)
      throw new IrrError('damaged-spool', `${this.path}: damaged, two of its segments claim the same place`, {
        hint: 'copy it again from where it came',
      });
    if (!this.#still) this.#patience = 16 * this.size + 2 ** 28;
    this.#still = true;
    this.#loaded = this.#loadedEnd = 0;
  }

  /** Segments that have a slot, and which, in order. */
  #directory(): (readonly [segment: number, slot: number])[] {
    const b = Buffer.alloc(SLOTS * 8);
    readSync(this.#fd, b, 0, b.length, DIR);
    const found: (readonly [number, number])[] = [];
    for (let i = 0; i < SLOTS; i++) {
      if (b.readUInt32LE(8 * i) === 0 && b.readUInt32LE(8 * i + 4) === 0) continue;
      const segment = b.readUIntLE(8 * i + 2, 6) - 1;
      if (segment >= 0 && segment % SLOTS === i && segment < LIMIT / SEGMENT) found.push([segment, b.readUInt16LE(8 * i)]);
    }
    return found.sort((a, c) => a[0] - c[0]);
  }

  /** Has the segment of this position a slot? Else nothing was ever written there, or it was given back. */
  has(position: number): boolean {
    return this.#slotOf(Math.floor(position / SEGMENT)) >= 0;
  }

  /** Events that found no room, by Gap. */
  get lost(): number[] {
    return [0, 1, 2, 3].map((i) => Math.min(LIMIT / 8, this.#number(SPOOL_AT.lost + 8 * i)));
  }

  /** Tells the traced processes to record nothing more. */
  stop(): void {
    writeSync(this.#fd, Buffer.of(1, 0), 0, 2, SPOOL_AT.stop);
  }

  #slotOf(segment: number): number {
    const known = this.#slots.get(segment);
    if (known !== undefined) return known;
    if (readSync(this.#fd, this.#small, 0, 8, DIR + (segment % SLOTS) * 8) < 8) return -1;
    const entry = this.#small.readBigUInt64LE(0);
    if (entry >> 16n !== BigInt(segment + 1)) return -1;
    const slot = Number(entry & 0xffffn);
    this.#slots.set(segment, slot);
    return slot;
  }

  /** Reads from a position up to `end`, or to the end of the segment, into the window. false where the segment has no slot. */
  #load(position: number, end: number): boolean {
    const segment = Math.floor(position / SEGMENT);
    const slot = this.#slotOf(segment);
    if (slot < 0) return false;
    const from = position % SEGMENT;
    const bytes = Math.min(end - segment * SEGMENT, SEGMENT) - from;
    const n = readSync(this.#fd, this.#window, from, bytes, DATA + slot * SEGMENT + from);
    if (n < bytes) this.#window.fill(0, from + n, from + bytes);
    this.#loaded = position;
    this.#loadedEnd = position + bytes;
    return true;
  }

  #marked(b: Buffer, position: number): boolean {
    return isMark(b, position % SEGMENT, position);
  }

  /**
   * Looks at what is there now from a position to the tail, or to the end of the segment. Two reads: the first finds which
   * frames are whole, the second fetches bytes that are at least as new, so no frame is taken half-written.
   */
  refresh(position: number, tail: number): void {
    this.#whole = position;
    this.#open.clear();
    const enough = Math.min(tail, (Math.floor(position / SEGMENT) + 1) * SEGMENT);
    const stays = this.#still && position >= this.#loaded && enough <= this.#loadedEnd;
    if (!stays && !this.#load(position, tail)) return;
    let p = position;
    for (let room = this.#room(p); room > 0; room = this.#room(p)) {
      if (this.#window[(p % SEGMENT) + FRAME_AT.state] !== State.RETURNED) this.#open.add(p);
      p += room;
    }
    if (p > position && !this.#still) this.#load(position, p);
    this.#whole = p;
  }

  /** Bytes that the frame at a position takes, of what is loaded; 0 where none was entered, or none that can be. */
  #room(position: number): number {
    if (position < this.#loaded || position >= this.#loadedEnd || !this.#marked(this.#window, position)) return 0;
    const at = position % SEGMENT;
    const bytes = this.#window.readUInt32LE(at + FRAME_AT.bytes);
    return bytes < STRIDE || at + bytes > SEGMENT || bytes % STRIDE !== 0 ? 0 : bytes;
  }

  /** What stands at a position, of what the last refresh saw. */
  at(position: number, tail: number): Found {
    if (position >= tail) return { what: 'end' };
    const room = position < this.#whole ? this.#room(position) : 0;
    if (room === 0) return { what: 'hole' };
    const b = this.#window;
    const at = position % SEGMENT;
    const kind = b[at + FRAME_AT.kind]!;
    const next = position + room;
    if (kind === Kind.PAD || kind === Kind.PART) return { what: 'skip', next };
    return { what: 'frame', frame: b.subarray(at, at + room), returned: !this.#open.has(position), next };
  }

  /** The next position with a frame, from `position` on; `tail` where there is none. */
  nextMark(position: number, tail: number): number {
    let live: (readonly [number, number])[] | undefined;
    for (let p = position; p < tail; ) {
      if ((p < this.#loaded || p >= this.#loadedEnd) && !this.#load(p, tail)) {
        live ??= this.#directory();
        const segment = Math.floor(p / SEGMENT);
        p = (live.find(([s]) => s > segment)?.[0] ?? Number.POSITIVE_INFINITY) * SEGMENT;
        continue;
      }
      if (this.#room(p) > 0) return p;
      p += STRIDE;
    }
    return tail;
  }

  /** Looks again, not at what was seen before, for a frame from `position` up to `end`; `end` where there is none. */
  late(position: number, end: number): number {
    this.#loaded = this.#loadedEnd = this.#whole = 0;
    return this.nextMark(position, end);
  }

  /** The frame at a position, of an earlier segment perhaps: a copy. undefined where there is none. */
  frame(position: number): { readonly frame: Buffer; readonly returned: boolean } | undefined {
    const slot = this.#slotOf(Math.floor(position / SEGMENT));
    if (slot < 0) return undefined;
    const offset = DATA + slot * SEGMENT + (position % SEGMENT);
    const head = Buffer.alloc(FRAME_HEADER);
    if (readSync(this.#fd, head, 0, FRAME_HEADER, offset) < FRAME_HEADER || !isMark(head, 0, position)) return undefined;
    const bytes = head.readUInt32LE(FRAME_AT.bytes);
    if (bytes < STRIDE || (position % SEGMENT) + bytes > SEGMENT || bytes % STRIDE !== 0) return undefined;
    const frame = Buffer.alloc(bytes);
    readSync(this.#fd, frame, 0, bytes, offset);
    return { frame, returned: head[FRAME_AT.state] === State.RETURNED };
  }

  /** Gives slots back: of all segments before this position but those that are still wanted. Everything in them is in the trace. */
  release(position: number, wanted: (segment: number) => boolean): void {
    const end = Math.floor(position / SEGMENT);
    for (const [segment, slot] of this.#slots) {
      if (segment >= end || wanted(segment)) continue;
      this.#slots.delete(segment);
      writeSync(this.#fd, Buffer.alloc(8), 0, 8, DIR + (segment % SLOTS) * 8);
      writeSync(this.#fd, Buffer.of(SLOT_FREE), 0, 1, STATES + slot);
    }
  }

  /**
   * Sees to it that `count` slots are free, as far as slots are kept for that: some programs may not grow the file
   * themselves. Throws where there is no room.
   */
  keepFree(count: number): void {
    const reach = Buffer.alloc(WINDOW);
    readSync(this.#fd, reach, 0, WINDOW, STATES);
    let free = 0;
    for (const s of reach) if (s === SLOT_FREE) free++;
    for (let slot = reach.indexOf(SLOT_KEPT); slot >= 0 && free < count; slot = reach.indexOf(SLOT_KEPT, slot + 1), free++) {
      if (writeSync(this.#fd, Buffer.alloc(SEGMENT), 0, SEGMENT, DATA + slot * SEGMENT) < SEGMENT) return;
      writeSync(this.#fd, Buffer.of(SLOT_FREE), 0, 1, STATES + slot);
    }
  }

  /** The pieces of the spilled parts of the frame at `position`, `bytes` together: by part index, in order. */
  pieces(position: number, bytes: number, tail: number): Map<number, Buffer[]> {
    const found = new Map<number, Buffer[]>();
    const saved = { window: this.#window, loaded: this.#loaded, end: this.#loadedEnd };
    this.#window = Buffer.alloc(SEGMENT);
    this.#loaded = this.#loadedEnd = 0;
    const stop = Math.min(tail, position + this.#patience);
    let p = this.nextMark(position + STRIDE, stop);
    for (let left = Math.min(bytes, SPILL_LIMIT); p < stop && left > 0; p = this.nextMark(p, stop)) {
      const at = p % SEGMENT;
      const b = this.#window;
      const room = this.#room(p);
      const piece = b[at + FRAME_AT.kind] === Kind.PART ? pieceOf(b.subarray(at, at + room), position) : undefined;
      if (piece) {
        const data = piece.data.subarray(0, left);
        left -= data.length;
        const list = found.get(piece.part);
        if (list) list.push(data);
        else found.set(piece.part, [data]);
      }
      p += room;
    }
    this.#patience -= Math.min(p, stop) - position;
    this.#window = saved.window;
    this.#loaded = saved.loaded;
    this.#loadedEnd = saved.end;
    return found;
  }

  /** Size of the file, bytes. */
  get size(): number {
    return fstatSync(this.#fd).size;
  }

  /** Empties the file, after everything was taken out. */
  empty(): void {
    ftruncateSync(this.#fd, 0);
  }
}

/** Do the bytes at `at` say that a frame begins at this position of the spool? */
function isMark(b: Buffer, at: number, position: number): boolean {
  const low = (position % 0x1_0000_0000) >>> 0;
  const high = Math.floor(position / 0x1_0000_0000);
  return b.readUInt32LE(at) === (MARK_LOW ^ low) >>> 0 && b.readUInt32LE(at + 4) === (MARK_HIGH ^ high) >>> 0;
}
