/**
 * The spool, seen from the recorder: reads what traced processes wrote, in order, and gives slots back. The layout is
 * `recorder/shim/irr_spool.h`. The file is shared memory of running programs, so every read is a copy of a moment: a frame
 * counts only when the state read *before* its bytes said so.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { IrrError } from '../store/errors.ts';
import { FRAME_AT, FRAME_HEADER, Kind, PART_AT, PART_HEADER, State } from '../store/frame.ts';

const SEGMENT = 1 << 20;
const STRIDE = 64;
const SLOTS = 65_536;
const STATES = 0x10000;
const DIR = 0x20000;
const DATA = 0x100000;
const AT = { tail: 8192, files: 8256, lost: 8320, stop: 8384, recorder: 8385 } as const;
const MARK_LOW = 0x4d525249;
const MARK_HIGH = 0x31455246;
const SLOT_FREE = 1;
/** kind of a part: room that was reserved and not needed; the parts end there */
const UNUSED = 0;
/** parts whose data lie in PART frames */
const SPILLED = 8;
const KNOWN_FLAGS = 7;

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

const FIELD = {
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
    b.writeUInt32LE(1, FIELD.version);
    b.writeUInt32LE(SEGMENT, FIELD.segment);
    b.writeBigUInt64LE(header.realtimeNs, FIELD.realtime);
    b.writeBigUInt64LE(header.monotonicNs, FIELD.monotonic);
    b.writeUInt32LE(process.pid, FIELD.creator);
    b.writeUInt32LE(1, FIELD.frameVersion);
    b.write(header.bootId.slice(0, 39), FIELD.bootId);
    b.write(header.kernel.slice(0, UNAME - 1), FIELD.uname + 2 * UNAME);
    b.write(header.machine.slice(0, UNAME - 1), FIELD.uname + 4 * UNAME);
    b.write(header.cpu.slice(0, 127), FIELD.cpu);
    b.write(header.recording.slice(0, 39), FIELD.recording);
    b.write(header.trace.slice(0, 4095), FIELD.trace);
    b[AT.recorder] = 1;
    const zeros = Buffer.alloc(SEGMENT);
    for (let slot = 0; slot < slots; slot++) {
      writeSync(fd, zeros, 0, SEGMENT, DATA + slot * SEGMENT);
      b[STATES + slot] = SLOT_FREE;
    }
    b.write('IRRSPOOL', FIELD.magic, 'latin1');
    writeSync(fd, b, 0, DATA, 0);
  } finally {
    closeSync(fd);
  }
}

export class Spool {
  readonly path: string;
  readonly header: SpoolHeader;
  readonly #fd: number;
  readonly #small = Buffer.alloc(64);
  /** slot by segment, for segments seen */
  readonly #slots = new Map<number, number>();
  #window = Buffer.alloc(SEGMENT);
  #windowSegment = -1;
  /** the frames below this position were whole when the window was read the first time */
  #seen = 0;

  /** Throws an IrrError where the file is no spool. */
  constructor(path: string, writable = true) {
    this.path = path;
    this.#fd = openSync(path, writable ? 'r+' : 'r');
    const b = Buffer.alloc(DATA);
    const n = readSync(this.#fd, b, 0, DATA, 0);
    if (
      n < 8400 ||
      b.toString('latin1', 0, 8) !== 'IRRSPOOL' ||
      b.readUInt32LE(FIELD.version) !== 1 ||
      b.readUInt32LE(FIELD.segment) !== SEGMENT
    ) {
      closeSync(this.#fd);
      throw new IrrError('not-a-spool', `${path}: not a spool of iommufd-rr`, {
        hint: 'give the file that IRR_SPOOL named, or that record left behind',
      });
    }
    this.header = {
      realtimeNs: b.readBigUInt64LE(FIELD.realtime),
      monotonicNs: b.readBigUInt64LE(FIELD.monotonic),
      creator: b.readUInt32LE(FIELD.creator),
      kernel: cString(b, FIELD.uname + 2 * UNAME, UNAME),
      machine: cString(b, FIELD.uname + 4 * UNAME, UNAME),
      cpu: cString(b, FIELD.cpu, 128),
      recording: cString(b, FIELD.recording, 40),
      trace: cString(b, FIELD.trace, 4096),
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
    return this.#number(AT.tail);
  }

  /** Events that found no room, by Gap. */
  get lost(): number[] {
    return [0, 1, 2, 3].map((i) => this.#number(AT.lost + 8 * i));
  }

  /** Tells the traced processes to record nothing more. */
  stop(): void {
    writeSync(this.#fd, Buffer.of(1, 0), 0, 2, AT.stop);
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

  /** Bytes of a position's segment as they are now; undefined where it has no slot. */
  #load(position: number, fresh: boolean): Buffer | undefined {
    const segment = Math.floor(position / SEGMENT);
    if (segment === this.#windowSegment && !fresh) return this.#window;
    const slot = this.#slotOf(segment);
    if (slot < 0) return undefined;
    const n = readSync(this.#fd, this.#window, 0, SEGMENT, DATA + slot * SEGMENT);
    if (n < SEGMENT) this.#window.fill(0, n);
    if (segment !== this.#windowSegment) this.#seen = segment * SEGMENT;
    this.#windowSegment = segment;
    return this.#window;
  }

  #marked(b: Buffer, position: number): boolean {
    const at = position % SEGMENT;
    const low = (position % 0x1_0000_0000) >>> 0;
    const high = Math.floor(position / 0x1_0000_0000);
    return b.readUInt32LE(at) === (MARK_LOW ^ low) >>> 0 && b.readUInt32LE(at + 4) === (MARK_HIGH ^ high) >>> 0;
  }

  /**
   * Looks at everything that is there now. Two reads: the first finds which frames are whole, the second fetches bytes
   * that are at least as new, so no frame is taken half-written.
   */
  refresh(position: number): void {
    const b = this.#load(position, true);
    if (!b) return;
    const end = (Math.floor(position / SEGMENT) + 1) * SEGMENT;
    let at = position;
    while (at < end && this.#marked(b, at)) {
      const bytes = b.readUInt32LE((at % SEGMENT) + FRAME_AT.bytes);
      if (bytes < STRIDE || at + bytes > end || bytes % STRIDE !== 0) break;
      at += bytes;
    }
    this.#seen = at;
    this.#load(position, true);
  }

  /** What stands at a position, of what the last refresh saw. */
  at(position: number, tail: number): Found {
    if (position >= tail) return { what: 'end' };
    const b = this.#load(position, false);
    if (!b) return { what: 'hole' };
    const segment = Math.floor(position / SEGMENT);
    if (position >= this.#seen || !this.#marked(b, position)) return { what: 'hole' };
    const at = position % SEGMENT;
    const room = b.readUInt32LE(at + FRAME_AT.bytes);
    const kind = b[at + FRAME_AT.kind]!;
    const next = position + room;
    if (kind === Kind.PAD || kind === Kind.PART || next > (segment + 1) * SEGMENT) return { what: 'skip', next };
    return { what: 'frame', frame: b.subarray(at, at + room), returned: b[at + FRAME_AT.state] === State.RETURNED, next };
  }

  /** The next position with a mark, from `position` on; `tail` where there is none. For crossing holes at the end. */
  nextMark(position: number, tail: number): number {
    for (let p = position; p < tail; ) {
      if (p >= this.#seen || Math.floor(p / SEGMENT) !== this.#windowSegment) this.#load(p, false);
      const b = Math.floor(p / SEGMENT) === this.#windowSegment ? this.#window : undefined;
      if (!b) {
        p = (Math.floor(p / SEGMENT) + 1) * SEGMENT;
        continue;
      }
      if (this.#marked(b, p)) return p;
      p += STRIDE;
    }
    return tail;
  }

  /** Is the frame at this position, of an earlier segment perhaps, whole by now? A copy, or undefined. */
  returned(position: number): Buffer | undefined {
    const slot = this.#slotOf(Math.floor(position / SEGMENT));
    if (slot < 0) return undefined;
    const offset = DATA + slot * SEGMENT + (position % SEGMENT);
    const head = Buffer.alloc(FRAME_HEADER);
    readSync(this.#fd, head, 0, FRAME_HEADER, offset);
    if (head[FRAME_AT.state] !== State.RETURNED) return undefined;
    const frame = Buffer.alloc(Math.min(SEGMENT, head.readUInt32LE(FRAME_AT.bytes)));
    readSync(this.#fd, frame, 0, frame.length, offset);
    return frame;
  }

  /** Gives the slot of a segment back: everything in it is in the trace. */
  release(segment: number): void {
    const slot = this.#slotOf(segment);
    this.#slots.delete(segment);
    if (slot < 0) return;
    writeSync(this.#fd, Buffer.alloc(8), 0, 8, DIR + (segment % SLOTS) * 8);
    writeSync(this.#fd, Buffer.of(SLOT_FREE), 0, 1, STATES + slot);
  }

  /** How many slots are free. The recorder keeps some ready, for programs that may not grow the file themselves. */
  get free(): number {
    const states = Buffer.alloc(SLOTS);
    readSync(this.#fd, states, 0, SLOTS, STATES);
    let n = 0;
    for (let i = 0; i < SLOTS && states[i] !== 0; i++) if (states[i] === SLOT_FREE) n++;
    return n;
  }

  /** The pieces of spilled parts of the frame at `position`: by part index, the bytes in order. */
  pieces(position: number, from: number, tail: number): Map<number, Buffer[]> {
    const found = new Map<number, Buffer[]>();
    const saved = { window: this.#window, segment: this.#windowSegment, seen: this.#seen };
    this.#window = Buffer.alloc(SEGMENT);
    this.#windowSegment = -1;
    for (let p = from; p < tail; ) {
      p = this.nextMark(p, tail);
      if (p >= tail) break;
      const at = p % SEGMENT;
      const b = this.#window;
      const room = b.readUInt32LE(at + FRAME_AT.bytes);
      const args = at + FRAME_HEADER + PART_HEADER;
      if (b[at + FRAME_AT.kind] === Kind.PART && b.readBigUInt64LE(args) === BigInt(position)) {
        const index = Number(b.readBigUInt64LE(args + 8));
        const part = args + 24;
        const bytes = b.readUInt32LE(part + PART_AT.bytes);
        const list = found.get(index) ?? [];
        list.push(Buffer.from(b.subarray(part + PART_HEADER, part + PART_HEADER + bytes)));
        found.set(index, list);
      }
      p += Math.max(STRIDE, room);
    }
    this.#window = saved.window;
    this.#windowSegment = saved.segment;
    this.#seen = saved.seen;
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

/**
 * A frame of a spool as it stands in a trace: without the room that was not needed, spilled parts put together. `pieces`
 * is asked only where a part was spilled. The seq is left to the store.
 */
export function compactFrame(frame: Buffer, pieces: () => Map<number, Buffer[]>): Buffer {
  const out: Buffer[] = [];
  let size = FRAME_HEADER;
  let spilled: Map<number, Buffer[]> | undefined;
  let index = 0;
  for (let p = FRAME_HEADER; p + PART_HEADER <= frame.length && frame[p] !== UNUSED; index++) {
    const bytes = frame.readUInt32LE(p + PART_AT.bytes);
    const padded = Math.ceil(bytes / 8) * 8;
    if (p + PART_HEADER + padded > frame.length) break;
    if ((frame[p + PART_AT.flags]! & SPILLED) === 0) {
      out.push(frame.subarray(p, p + PART_HEADER + padded));
      size += PART_HEADER + padded;
    } else {
      spilled ??= pieces();
      const data = Buffer.concat(spilled.get(index) ?? []);
      const part = Buffer.alloc(PART_HEADER + Math.ceil(data.length / 8) * 8);
      frame.copy(part, 0, p, p + PART_HEADER);
      part[PART_AT.flags] = part[PART_AT.flags]! & KNOWN_FLAGS;
      part.writeUInt32LE(data.length, PART_AT.bytes);
      data.copy(part, PART_HEADER);
      out.push(part);
      size += part.length;
    }
    p += PART_HEADER + padded;
  }
  const whole = Buffer.allocUnsafe(size);
  frame.copy(whole, 0, 0, FRAME_HEADER);
  whole.writeUInt32LE(size, FRAME_AT.bytes);
  let at = FRAME_HEADER;
  for (const part of out) at += part.copy(whole, at);
  return whole;
}
