/**
 * How a traced program asks the model: the layout of `recorder/shim/irr_model.h`. A call lies in a place of a file that both
 * sides have; messages of 32 bytes go through a FIFO. What a program writes there is not believed: lengths are bounded here.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errnoNumber } from '../../hw/errno.ts';

export const Word = { CALL: 1, DONE: 2, CLOSED: 3, MUNMAP: 4, START: 5, FORK: 6, POLL: 7, TICK: 8, STOP: 9 } as const;
export const Op = { OPEN: 1, IOCTL: 2, READ: 3, WRITE: 4, MMAP: 5, MAPPED: 6, MREMAP: 7, EXIT: 8 } as const;
/** What follows the bytes of a piece. */
const Behind = { FAULT: 1, NOT_ZERO: 2 } as const;
const Do = { PUT: 1, COPY: 2, FAULT_IN: 3, GET: 4, SIGNAL: 5 } as const;

export const LAYOUT = {
  magic: 'IRRMODEL',
  version: 2,
  places: 64,
  files: 0x1000,
  fileMax: 8192,
  place: 0x40000,
  placeBytes: 0x100000,
  data: 1024,
  answer: 0x80000,
  steps: 64,
  stepMax: 256,
  pieces: 6,
  message: 32,
} as const;
export const SIZE = LAYOUT.place + LAYOUT.places * LAYOUT.placeBytes;

const PIECE_AT = 96;
const PIECE = 32;
const STEP = 24;
const DATA_MAX = LAYOUT.answer - LAYOUT.data;
/** In an answer, behind the steps: what they put, or what a read brings. */
const BODY = LAYOUT.steps + LAYOUT.stepMax * STEP;
const BODY_MAX = LAYOUT.placeBytes - LAYOUT.answer - BODY;
/** Bytes of a place that are read at once; most calls have no more. */
const FIRST = 2048;
/** The struct itself, in a piece's `field`. */
export const WHOLE = 0xffff;

export interface Message {
  readonly word: number;
  readonly place: number;
  readonly pid: number;
  readonly file: number;
  readonly a: bigint;
  readonly b: bigint;
}

/** Memory of the program, as it came along. */
export interface Piece {
  readonly field: number;
  readonly address: bigint;
  /** bytes that the call is about */
  readonly wanted: bigint;
  readonly bytes: Uint8Array;
  /** what follows `bytes` cannot be read */
  readonly fault: boolean;
  /** what follows is there, and not all of it zero */
  readonly notZero: boolean;
}

export interface ModelCall {
  readonly place: number;
  readonly serial: bigint;
  readonly op: number;
  readonly pid: number;
  readonly tid: number;
  readonly request: number;
  readonly fd: number;
  /** a descriptor and its file that the call may take; -1 without */
  readonly spareFd: number;
  readonly file: number;
  readonly spareFile: number;
  /** FileKind of `file` */
  readonly kind: number;
  readonly args: readonly bigint[];
  readonly pieces: readonly Piece[];
}

/** Something to be done in the program's memory, by the program. */
export type Step =
  | { readonly what: 'put'; readonly address: bigint; readonly bytes: Uint8Array }
  | { readonly what: 'copy'; readonly to: bigint; readonly from: bigint; readonly bytes: bigint }
  /** an eventfd gets one more; `process` has it as `fd` */
  | { readonly what: 'signal'; readonly process: number; readonly fd: number }
  /** the memory must be there, as if it were pinned */
  | { readonly what: 'fault-in'; readonly address: bigint; readonly bytes: bigint; readonly write: boolean };

export interface Reply {
  readonly ret: bigint;
  /** errno as a number, 0 for success */
  readonly error: number;
  readonly takesSpare?: boolean;
  /** what a read brings */
  readonly body?: Uint8Array;
}

/** A call that fails; 'EIO' for a name that there is not. */
export const FAILED = (name: string): Reply => ({ ret: -1n, error: errnoNumber(name) ?? 5 });
export const PASSED = (ret = 0n): Reply => ({ ret, error: 0 });

/** Steps as they fit into one answer: long ones in pieces. */
export function* batches(steps: readonly Step[]): Generator<Step[]> {
  let batch: Step[] = [];
  let bytes = 0;
  for (const step of steps) {
    const length = step.what === 'put' ? step.bytes.length : 0;
    for (let at = 0; at === 0 || at < length; at += BODY_MAX) {
      const piece =
        length > BODY_MAX && step.what === 'put'
          ? { ...step, address: step.address + BigInt(at), bytes: step.bytes.subarray(at, at + BODY_MAX) }
          : step;
      const more = piece.what === 'put' ? Math.ceil(piece.bytes.length / 8) * 8 : 0;
      if (batch.length === LAYOUT.stepMax || (bytes + more > BODY_MAX && batch.length > 0)) {
        yield batch;
        batch = [];
        bytes = 0;
      }
      batch.push(piece);
      bytes += more;
    }
  }
  yield batch;
}

export class Places {
  readonly #fd: number;
  readonly #answers: number[] = [];
  readonly #buffer = Buffer.alloc(LAYOUT.answer);
  readonly #out = Buffer.alloc(LAYOUT.placeBytes - LAYOUT.answer);

  constructor(folder: string) {
    this.#fd = openSync(join(folder, 'places'), 'r+');
    for (let i = 0; i < LAYOUT.places; i++) this.#answers.push(openSync(join(folder, `answer-${i}`), 'r+'));
  }

  close(): void {
    closeSync(this.#fd);
    for (const fd of this.#answers) closeSync(fd);
  }

  /** The call that lies in a place. */
  read(place: number): ModelCall {
    const b = this.#buffer;
    const at = LAYOUT.place + place * LAYOUT.placeBytes;
    const n = readSync(this.#fd, b, 0, FIRST, at);
    b.fill(0, n, FIRST);
    const count = Math.min(b.readUInt32LE(52), LAYOUT.pieces);
    let end = 0;
    for (let i = 0; i < count; i++) {
      const p = PIECE_AT + i * PIECE;
      end = Math.max(end, Math.min(b.readUInt32LE(p + 8), DATA_MAX) + Math.min(b.readUInt32LE(p + 4), DATA_MAX));
    }
    const more = LAYOUT.data + Math.min(end, DATA_MAX) - FIRST;
    if (more > 0) readSync(this.#fd, b, FIRST, more, at + FIRST);
    const pieces = Array.from({ length: count }, (_, i): Piece => {
      const p = PIECE_AT + i * PIECE;
      const from = LAYOUT.data + Math.min(b.readUInt32LE(p + 8), DATA_MAX);
      const to = Math.min(from + b.readUInt32LE(p + 4), LAYOUT.answer);
      return {
        field: b.readUInt32LE(p),
        bytes: new Uint8Array(b.subarray(from, to)),
        fault: b.readUInt32LE(p + 12) === Behind.FAULT,
        notZero: b.readUInt32LE(p + 12) === Behind.NOT_ZERO,
        wanted: b.readBigUInt64LE(p + 16),
        address: b.readBigUInt64LE(p + 24),
      };
    });
    return {
      place,
      serial: b.readBigUInt64LE(8),
      op: b.readUInt32LE(16),
      pid: b.readUInt32LE(20),
      tid: b.readUInt32LE(24),
      request: b.readUInt32LE(28),
      fd: b.readInt32LE(32),
      spareFd: b.readInt32LE(36),
      file: b.readUInt32LE(40),
      spareFile: b.readUInt32LE(44),
      kind: b.readUInt32LE(48),
      args: Array.from({ length: 5 }, (_, i) => b.readBigUInt64LE(56 + 8 * i)),
      pieces,
    };
  }

  /** Sends an answer. With steps it is not the last one: the program does them, tells, and waits. */
  answer(call: ModelCall, reply: Reply, steps: readonly Step[] = []): void {
    const b = this.#out;
    b.fill(0, 0, LAYOUT.steps);
    b.writeBigInt64LE(BigInt.asIntN(64, reply.ret), 0);
    b.writeInt32LE(reply.error, 8);
    b.writeUInt32LE(steps.length, 12);
    b.writeUInt32LE(steps.length > 0 ? 1 : 0, 16);
    b.writeUInt32LE(reply.takesSpare === true ? 1 : 0, 20);
    let body = BODY;
    steps.forEach((step, i) => {
      const at = LAYOUT.steps + i * STEP;
      if (step.what === 'put') {
        writeStep(b, at, Do.PUT, step.bytes.length, step.address, BigInt(body));
        b.set(step.bytes, body);
        body += Math.ceil(step.bytes.length / 8) * 8;
      } else if (step.what === 'copy') writeStep(b, at, Do.COPY, Number(step.bytes), step.to, step.from);
      else if (step.what === 'signal') writeStep(b, at, Do.SIGNAL, step.fd, BigInt(step.process), 0n);
      else writeStep(b, at, Do.FAULT_IN, step.write ? 1 : 0, step.address, step.bytes);
    });
    if (reply.body !== undefined) {
      b.set(reply.body.subarray(0, BODY_MAX), BODY);
      body = Math.max(body, BODY + Math.min(reply.body.length, BODY_MAX));
    }
    const end = body > BODY ? body : LAYOUT.steps + steps.length * STEP;
    writeSync(this.#fd, b, 0, end, LAYOUT.place + call.place * LAYOUT.placeBytes + LAYOUT.answer);
    const serial = Buffer.alloc(8);
    serial.writeBigUInt64LE(call.serial);
    writeSync(this.#answers[call.place]!, serial, 0, 8);
  }

  /** An inode stands for a file no more. */
  forget(inode: bigint): void {
    const b = Buffer.alloc(16);
    for (let i = 0n; i < 64n; i++) {
      const at = LAYOUT.files + Number((inode + i) % BigInt(LAYOUT.fileMax)) * 16;
      readSync(this.#fd, b, 0, 8, at);
      if (b.readBigUInt64LE(0) !== inode) continue;
      writeSync(this.#fd, Buffer.alloc(16), 0, 16, at);
      return;
    }
  }
}

function writeStep(b: Buffer, at: number, step: number, bytes: number, a: bigint, rest: bigint): void {
  b.writeUInt32LE(step, at);
  b.writeUInt32LE(bytes >>> 0, at + 4);
  b.writeBigUInt64LE(BigInt.asUintN(64, a), at + 8);
  b.writeBigUInt64LE(BigInt.asUintN(64, rest), at + 16);
}

/** The FIFO that all messages come in by. Reading waits. */
export class Inbox {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(LAYOUT.message * 64);
  readonly #waiting: Message[] = [];

  constructor(folder: string) {
    this.#fd = openSync(join(folder, 'ask'), 'r+');
  }
  close(): void {
    closeSync(this.#fd);
  }

  next(): Message {
    return this.#waiting.shift() ?? this.#receive();
  }
  /** The next message that is wanted; the others wait. */
  await(wanted: (m: Message) => boolean): Message {
    const at = this.#waiting.findIndex(wanted);
    if (at >= 0) return this.#waiting.splice(at, 1)[0]!;
    for (;;) {
      const m = this.#receive();
      if (wanted(m)) return m;
      this.#waiting.push(m);
    }
  }

  #receive(): Message {
    const b = this.#buffer;
    let have = 0;
    // writes of that size are whole, and so is what is read of them, up to the buffer's end
    while (have === 0 || have % LAYOUT.message !== 0) have += readSync(this.#fd, b, have, b.length - have, null);
    const messages = Array.from({ length: have / LAYOUT.message }, (_, i) => parse(b, i * LAYOUT.message));
    const first = messages.shift()!;
    this.#waiting.push(...messages);
    return first;
  }
}

function parse(b: Buffer, at: number): Message {
  return {
    word: b.readUInt32LE(at),
    place: b.readUInt32LE(at + 4) % LAYOUT.places,
    pid: b.readUInt32LE(at + 8),
    file: b.readUInt32LE(at + 12),
    a: b.readBigUInt64LE(at + 16),
    b: b.readBigUInt64LE(at + 24),
  };
}

/** A message of the recorder's own. */
export function message(word: number): Buffer {
  const b = Buffer.alloc(LAYOUT.message);
  b.writeUInt32LE(word, 0);
  return b;
}
