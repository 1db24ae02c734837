/**
 * The spool, seen from the recorder: reads what traced processes wrote, in order, and gives slots back. The layout is
 * `recorder/shim/irr_spool.h`. The file is shared memory of running programs, so every read is a copy of a moment: a frame
 * counts only when the state read *before* its bytes said so.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { IrrError } from '../store/errors.ts';
import { FRAME_AT, FRAME_HEADER, Kind, PART_AT, PART_HEADER, State } from '../store/frame.ts';

const SEGMENT = 1 << 20;
const STRIDE = 64;
const SLOTS = 65_536;
const STATES = 0x10000;
const DIR = 0x20000;
const DATA = 0x100000;
export const SPOOL_AT = { tail: 8192, files: 8256, lost: 8320, stop: 8384, recorder: 8385 } as const;
const MARK_LOW = 0x4d525249;
const MARK_HIGH = 0x31455246;
const SLOT_FREE = 1;
const SLOT_KEPT = 4;
/** Slots that every process has mapped; every other one is made by the recorder, for those that cannot grow the file. */
const WINDOW = 256;
/** kind of a part: room that was reserved and not needed; the parts end there */
const UNUSED = 0;
/** parts whose data lie in PART frames */
const SPILLED = 8;
const KNOWN_FLAGS = 7;
/** PartFlag.TRUNCATED */
const TRUNCATED = 1;
/** Positions from here on are not believed, bytes: 4 PiB. */
const LIMIT = 2 ** 52;
/** Most bytes of one frame that lie in PART frames; the store takes no frame that is much longer. */
const SPILL_LIMIT = 60 << 20;

/** What else a spool looks like, for recorder/frame.test.ts, which holds it and irr_spool.h together. */
export const LAYOUT = {
  version: 1,
  segment: SEGMENT,
  stride: STRIDE,
  slots: SLOTS,
  states: STATES,
  dir: DIR,
  data: DATA,
  mark: [MARK_LOW, MARK_HIGH],
  window: WINDOW,
  slotFree: SLOT_FREE,
  slotKept: SLOT_KEPT,
  partUnused: UNUSED,
  partSpilled: SPILLED,
} as const;

export interface SpoolHeader {
  readonly realtimeNs: bigint;
  readonly monotonicNs: bigint;
  readonly creator: number;
  readonly kernel: string;
  readonly machine: string;
  readonly cpu: string;
  /** id that the trace shares, '' where no recorder made the spool */
  readonly recording: string;
  /** where the recorder writes, '' without one */
  readonly trace: string;
}

/** What stands at a position. */
export type Found =
  | { readonly what: 'frame'; readonly frame: Buffer; readonly returned: boolean; readonly next: number }
  | { readonly what: 'skip'; readonly next: number }
  /** reserved and not entered (yet): a process between two instructions, or killed there */
  | { readonly what: 'hole' }
  | { readonly what: 'end' };

/** Offsets of the header's fields that do not change, bytes. */
export const SPOOL_FIELD = {
  magic: 0,
  version: 8,
  segment: 12,
  realtime: 16,
  monotonic: 24,
  creator: 32,
  frameVersion: 36,
  bootId: 40,
  uname: 80,
  cpu: 405,
  recording: 533,
  trace: 573,
} as const;
const UNAME = 65;

function cString(b: Buffer, at: number, room: number): string {
  const end = b.indexOf(0, at);
  return b.toString('utf8', at, end < 0 || end > at + room ? at + room : end);
}

/** Makes an empty spool with `slots` segments ready, so that the traced program need not grow the file itself. */
export function createSpool(path: string, header: Omit<SpoolHeader, 'creator'> & { readonly bootId: string }, slots = 4): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    const b = Buffer.alloc(DATA);
    b.writeUInt32LE(1, SPOOL_FIELD.version);
    b.writeUInt32LE(SEGMENT, SPOOL_FIELD.segment);
    b.writeBigUInt64LE(header.realtimeNs, SPOOL_FIELD.realtime);
    b.writeBigUInt64LE(header.monotonicNs, SPOOL_FIELD.monotonic);
    b.writeUInt32LE(process.pid, SPOOL_FIELD.creator);
    b.writeUInt32LE(1, SPOOL_FIELD.frameVersion);
    b.write(header.bootId.slice(0, 39), SPOOL_FIELD.bootId);
    b.write(header.kernel.slice(0, UNAME - 1), SPOOL_FIELD.uname + 2 * UNAME);
    b.write(header.machine.slice(0, UNAME - 1), SPOOL_FIELD.uname + 4 * UNAME);
    b.write(header.cpu.slice(0, 127), SPOOL_FIELD.cpu);
    b.write(header.recording.slice(0, 39), SPOOL_FIELD.recording);
    b.write(header.trace.slice(0, 4095), SPOOL_FIELD.trace);
    b[SPOOL_AT.recorder] = 1;
    const zeros = Buffer.alloc(SEGMENT);
    for (let slot = 0; slot < slots; slot++) {
      writeSync(fd, zeros, 0, SEGMENT, DATA + slot * SEGMENT);
      b[STATES + slot] = SLOT_FREE;
    }
    for (let slot = slots; slot < WINDOW; slot += 2) b[STATES + slot] = SLOT_KEPT;
    b.write('IRRSPOOL', SPOOL_FIELD.magic, 'latin1');
    writeSync(fd, b, 0, DATA, 0);
  } finally {
    closeSync(fd);
  }
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

/** What a PART frame brings for the frame at `position`; undefined where it belongs to another one. */
function pieceOf(frame: Buffer, position: number): { readonly part: number; readonly data: Buffer } | undefined {
  const args = FRAME_HEADER + PART_HEADER;
  const head = args + 24;
  if (head + PART_HEADER > frame.length || frame.readBigUInt64LE(args) !== BigInt(position)) return undefined;
  const start = head + PART_HEADER;
  return {
    part: Number(frame.readBigUInt64LE(args + 8)),
    data: Buffer.from(frame.subarray(start, start + frame.readUInt32LE(head + PART_AT.bytes))),
  };
}

/** Where the parts of a frame of a spool end, and how many bytes of them lie elsewhere: undefined where none was spilled. */
function partsOf(frame: Buffer): { readonly end: number; readonly spilled: number | undefined } {
  let spilled: number | undefined;
  let p = FRAME_HEADER;
  while (p + PART_HEADER <= frame.length && frame[p] !== UNUSED) {
    const bytes = frame.readUInt32LE(p + PART_AT.bytes);
    const next = p + PART_HEADER + Math.ceil(bytes / 8) * 8;
    if (next > frame.length) break;
    if ((frame[p + PART_AT.flags]! & SPILLED) !== 0 && bytes === 8)
      spilled = (spilled ?? 0) + Number(frame.readBigUInt64LE(p + PART_HEADER));
    p = next;
  }
  return { end: p, spilled };
}

/**
 * A frame of a spool as it stands in a trace: without the room that was not needed, spilled parts put together. `pieces`
 * is asked only where a part was spilled. Uses the frame's own bytes where it can. The seq is left to the store.
 */
export function compactFrame(frame: Buffer, pieces: (bytes: number) => Map<number, Buffer[]>): Buffer {
  const { end, spilled } = partsOf(frame);
  if (spilled !== undefined) return withSpilled(frame, end, pieces(spilled));
  frame.writeUInt32LE(end, FRAME_AT.bytes);
  return frame.subarray(0, end);
}

function withSpilled(frame: Buffer, end: number, spilled: Map<number, Buffer[]>): Buffer {
  const out: Buffer[] = [frame.subarray(0, FRAME_HEADER)];
  for (let p = FRAME_HEADER, index = 0; p < end; index++) {
    const next = p + PART_HEADER + Math.ceil(frame.readUInt32LE(p + PART_AT.bytes) / 8) * 8;
    const elsewhere = (frame[p + PART_AT.flags]! & SPILLED) !== 0 && frame.readUInt32LE(p + PART_AT.bytes) === 8;
    if (!elsewhere) out.push(frame.subarray(p, next));
    else {
      const data = Buffer.concat(spilled.get(index) ?? []);
      const part = Buffer.alloc(PART_HEADER + Math.ceil(data.length / 8) * 8);
      frame.copy(part, 0, p, p + PART_HEADER);
      const whole = data.length === Number(frame.readBigUInt64LE(p + PART_HEADER));
      part[PART_AT.flags] = (part[PART_AT.flags]! & KNOWN_FLAGS) | (whole ? 0 : TRUNCATED);
      part.writeUInt32LE(data.length, PART_AT.bytes);
      data.copy(part, PART_HEADER);
      out.push(part);
    }
    p = next;
  }
  const whole = Buffer.concat(out);
  whole.writeUInt32LE(whole.length, FRAME_AT.bytes);
  return whole;
}
