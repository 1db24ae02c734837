/** For tests of the recorder: a spool made by hand, as the shim makes it in a traced process (shim/irr_spool.c). */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { uapiTable } from '../hw/uapi/table.ts';
import { TraceWriter } from '../store/append.ts';
import {
  encodeFrame,
  FRAME_AT,
  type Frame,
  Kind,
  makeArgs,
  makeFrame,
  makePart,
  type Part,
  PartFlag,
  PartKind,
  State,
} from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { TEST_META } from '../store/testing.ts';
import { Drain } from './drain.ts';
import { RowIndex } from './index-row.ts';
import { Spool } from './spool.ts';
import { createSpool, LAYOUT, SPOOL_AT } from './spool-layout.ts';

const { segment: SEGMENT, stride: STRIDE, states: STATES, dir: DIR, data: DATA } = LAYOUT;
const SLOT_USED = 2;
export const MARK = (BigInt(LAYOUT.mark[1]) << 32n) | BigInt(LAYOUT.mark[0]);

export type Call = Partial<Frame> & { readonly kind: number };
const up = (n: number, to: number): number => Math.ceil(n / to) * to;

/** A part whose data lie in PART frames; `bytes` of them. */
export function spilledPart(kind: number, bytes: number, flags = 0): Part {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(bytes));
  return { ...makePart(kind as PartKind, size), flags: flags | LAYOUT.partSpilled, wanted: BigInt(bytes) };
}

export class SpoolMaker {
  readonly path: string;
  readonly #fd: number;
  #tail = 0;

  constructor(path: string, header: Partial<Parameters<typeof createSpool>[1]> = {}, slots = 4) {
    this.path = path;
    createSpool(
      path,
      {
        realtimeNs: 1n << 60n,
        monotonicNs: 5n,
        kernel: '6.12.0',
        machine: 'x86_64',
        cpu: 'none',
        recording: '',
        trace: '',
        bootId: '',
        ...header,
      },
      slots,
    );
    this.#fd = openSync(path, 'r+');
  }

  get tail(): number {
    return this.#tail;
  }
  set tail(value: number) {
    this.#tail = value;
    this.number(SPOOL_AT.tail, BigInt(value));
  }

  number(at: number, value: bigint): void {
    const b = Buffer.alloc(8);
    b.writeBigUInt64LE(BigInt.asUintN(64, value));
    this.poke(at, b);
  }
  poke(at: number, bytes: Uint8Array): void {
    writeSync(this.#fd, bytes, 0, bytes.length, at);
  }
  #entry(segment: number): bigint {
    const b = Buffer.alloc(8);
    readSync(this.#fd, b, 0, 8, DIR + 8 * (segment % LAYOUT.slots));
    return b.readBigUInt64LE();
  }

  /** Where a position lies in the file; takes a free slot for its segment, or makes one. */
  place(position: number): number {
    const segment = Math.floor(position / SEGMENT);
    let entry = this.#entry(segment);
    if (entry >> 16n !== BigInt(segment + 1)) {
      const slots = Math.floor((fstatSync(this.#fd).size - DATA) / SEGMENT);
      let slot = 0;
      const states = Buffer.alloc(slots);
      readSync(this.#fd, states, 0, slots, STATES);
      while (slot < slots && states[slot] !== LAYOUT.slotFree) slot++;
      if (slot === slots) this.poke(DATA + slot * SEGMENT, Buffer.alloc(SEGMENT));
      this.poke(STATES + slot, Buffer.of(SLOT_USED));
      entry = (BigInt(segment + 1) << 16n) | BigInt(slot);
      this.number(DIR + 8 * (segment % LAYOUT.slots), entry);
    }
    return DATA + Number(entry & 0xffffn) * SEGMENT + (position % SEGMENT);
  }

  /** Reserves room, and nothing more: where a process that is killed now leaves a hole. */
  reserve(bytes: number): number {
    const room = up(bytes, STRIDE);
    for (;;) {
      const position = this.#tail;
      this.tail += room;
      const rest = SEGMENT - (position % SEGMENT);
      if (rest >= room) return position;
      this.pad(position, rest);
      this.pad(position + rest, room - rest);
    }
  }
  pad(position: number, room: number): void {
    this.write(position, encodeFrame(makeFrame({ kind: Kind.PAD })), room);
  }

  /** Fills reserved room; the mark comes last. */
  write(position: number, frame: Buffer, room = up(frame.length, STRIDE)): void {
    const b = Buffer.alloc(Math.max(room === up(frame.length, STRIDE) ? room : 0, frame.length));
    frame.copy(b);
    b.writeUInt32LE(room, FRAME_AT.bytes);
    b.writeBigUInt64LE(MARK ^ BigInt(position), 0);
    this.poke(this.place(position), b);
  }

  /** A call that has begun. `room`: bytes kept for what comes after it. */
  enter(call: Call, room = 0): number {
    const frame = encodeFrame(makeFrame({ ...call, state: State.ENTERED, tExit: 0n }));
    const position = this.reserve(frame.length + room);
    this.write(position, Buffer.concat([frame, Buffer.alloc(up(frame.length + room, STRIDE) - frame.length)]));
    return position;
  }
  /** … has returned. */
  leave(position: number, call: Call, room = 0): void {
    const frame = encodeFrame(makeFrame({ ...call, state: State.RETURNED }));
    this.write(position, Buffer.concat([frame, Buffer.alloc(Math.max(0, up(frame.length + room, STRIDE) - frame.length))]));
  }
  /** A call, entered and returned. */
  call(call: Call): number {
    const frame = encodeFrame(makeFrame({ state: State.RETURNED, ...call }));
    const position = this.reserve(frame.length);
    this.write(position, frame);
    return position;
  }

  /** Bytes of a spilled part of the frame at `position`. */
  spill(position: number, part: number, data: Uint8Array, piece = 131_072): void {
    for (let at = 0; at < data.length; at += piece) {
      const bytes = data.subarray(at, at + piece);
      this.call({ kind: Kind.PART, parts: [makeArgs(position, part, at), makePart(PartKind.IN, bytes)] });
    }
  }

  lose(reason: number, events: number): void {
    this.number(SPOOL_AT.lost + 8 * reason, BigInt(events));
  }
  close(): void {
    closeSync(this.#fd);
  }
}

/** A recorder at work on a spool, without a program. `resume`: it goes on where another one was killed. */
export function openDrain(
  spoolPath: string,
  tracePath: string,
  resume = false,
  recording = '',
): { spool: Spool; writer: TraceWriter; drain: Drain } {
  const spool = new Spool(spoolPath);
  const writer = resume ? TraceWriter.resume(tracePath) : TraceWriter.create(tracePath, { ...TEST_META, recording });
  return { spool, writer, drain: new Drain(spool, writer, new RowIndex(uapiTable('linux-6.12'))) };
}

/** All events of a trace. */
export function eventsOf(path: string): Frame[] {
  const reader = TraceReader.open(path);
  try {
    return Array.from({ length: reader.count }, (_, i) => reader.frame(i + 1)!);
  } finally {
    reader.close();
  }
}

/** A QUEUE frame. */
export interface Sample {
  readonly why: number;
  readonly seq: number;
  readonly id: number;
  readonly index: number;
  readonly log2: number;
  readonly first: number;
  /** two words each */
  readonly commands: readonly (readonly [bigint, bigint])[];
  readonly fault: boolean;
  /** undefined: nobody has mapped them */
  readonly registers: readonly number[] | undefined;
}

function sampleOf(f: Frame): Sample {
  const args = f.parts.find((p) => p.kind === PartKind.ARGS)!.bytes;
  const word = (i: number): number => Number(Buffer.from(args).readBigUInt64LE(8 * i));
  const entries = f.parts.find((p) => p.kind === PartKind.OUT && p.slot === 0)!;
  const page0 = f.parts.find((p) => p.kind === PartKind.OUT && p.slot === 1);
  const bytes = Buffer.from(entries.bytes);
  const commands = Array.from(
    { length: bytes.length / 16 },
    (_, i) => [bytes.readBigUInt64LE(16 * i), bytes.readBigUInt64LE(16 * i + 8)] as const,
  );
  return {
    why: f.request,
    seq: f.seq,
    id: word(0),
    index: word(1),
    log2: word(2),
    first: word(3),
    commands,
    fault: (entries.flags & PartFlag.FAULT) !== 0,
    registers: page0 && Array.from({ length: page0.bytes.length / 4 }, (_, i) => Buffer.from(page0.bytes).readUInt32LE(4 * i)),
  };
}
/** Every time that a hardware queue was read. */
export const samplesOf = (events: readonly Frame[]): Sample[] => events.filter((f) => f.kind === Kind.QUEUE).map(sampleOf);
