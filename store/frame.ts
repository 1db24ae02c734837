/**
 * The frame: how one event looks from the traced process to the trace file. A 64-byte header and sized parts,
 * little-endian, 8-byte aligned. The same layout for C is `recorder/shim/irr_frame.h`; `recorder/frame.test.ts` holds
 * the two together.
 */

/** Bytes of the fixed header. */
export const FRAME_HEADER = 64;
/** Bytes of the header of a part. */
export const PART_HEADER = 24;

/** Offsets of the header's fields, in bytes. */
export const FRAME_AT = {
  /** u64: in a trace the event's number, from 1; in a spool a mark (see irr_frame.h) */
  seq: 0,
  bytes: 8,
  kind: 12,
  state: 13,
  flags: 14,
  tEnter: 16,
  tExit: 24,
  pid: 32,
  tid: 36,
  fd: 40,
  file: 44,
  request: 48,
  error: 52,
  ret: 56,
} as const;

/** Offsets of a part's fields, from the start of the part, in bytes. */
export const PART_AT = { kind: 0, flags: 1, slot: 2, bytes: 4, wanted: 8, address: 16, data: PART_HEADER } as const;

/** What happened. Numbers are stored in traces. */
export const Kind = {
  PAD: 0,
  IOCTL: 1,
  OPEN: 2,
  CLOSE: 3,
  DUP: 4,
  MMAP: 5,
  MUNMAP: 6,
  MREMAP: 7,
  READ: 8,
  WRITE: 9,
  FORK: 10,
  EXEC: 11,
  START: 12,
  EXIT: 13,
  FD: 14,
  SENDFD: 15,
  RETURN: 16,
  GAP: 17,
  PART: 18,
  MMIO: 19,
  QUEUE: 20,
  REGION: 21,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export const State = { ENTERED: 1, RETURNED: 2 } as const;
export const FrameFlag = { VFORK: 1, OBSERVED: 2, SIGNAL: 4 } as const;

/** What an open file is: high byte of a frame's flags. */
export const FileKind = {
  UNKNOWN: 0,
  IOMMUFD: 1,
  VFIO_DEVICE: 2,
  VFIO_GROUP: 3,
  VFIO_CONTAINER: 4,
  FAULT: 5,
  VEVENTQ: 6,
  ACCESS: 7,
  DMABUF: 8,
  KVM: 9,
  KVM_VM: 10,
  KVM_VCPU: 11,
} as const;
export type FileKind = (typeof FileKind)[keyof typeof FileKind];

/** Values of a frame's `request` by kind; for an ioctl it is the request itself. */
export const Open = { OPEN: 1, OPENAT: 2, CREAT: 3, OPENAT2: 4 } as const;
export const Close = { CLOSE: 1, RANGE: 2, FROM: 3 } as const;
export const Dup = { DUP: 1, DUP2: 2, DUP3: 3, F_DUPFD: 4, F_DUPFD_CLOEXEC: 5 } as const;
export const Rw = { PLAIN: 1, POSITION: 2, VECTOR: 3, POSITION_VECTOR: 4 } as const;
export const Fork = { FORK: 1, VFORK: 2, SPAWN: 3 } as const;
export const Start = { EXEC: 1, FORK: 2 } as const;
export const Exit = { EXIT: 1, IMMEDIATE: 2, OBSERVED: 3 } as const;
export const Found = { INHERITED: 1, RECEIVED: 2, CREATED: 3, IN_USE: 4, PIDFD: 5 } as const;
export const Gap = { FULL: 1, HOLE: 2, CONFINED: 3 } as const;

/** A load or store of a mapped region (Kind.MMIO): low bits of `request`; the source stands from bit 4 on. */
export const MmioHow = { LOAD: 0, STORE: 1, BOTH: 2 } as const;
export const MmioSource = { TRAPPED: 0, KVM: 1, MMIOTRACE: 2, RWMMIO: 3 } as const;
export const MMIO_SOURCE_SHIFT = 4;
/**
 * STEPPED: the value is not known; EXCLUSIVE: half of an exclusive pair (ldxr, stxr); RELEASED: its page is not trapped any more;
 * COALESCED: a guest's store that the kernel had collected, made some time before.
 */
export const MmioFlag = { STEPPED: 1, EXCLUSIVE: 2, RELEASED: 4, COALESCED: 8 } as const;

/**
 * When a hardware queue was read beside the program (Kind.QUEUE). PERIODIC, which is also before page 0 is unmapped, is told
 * only where something is not as it was.
 */
export const QueueWhy = { ALLOC: 1, DESTROY: 2, PROD: 3, ERROR: 4, PERIODIC: 5 } as const;
/** Whose a range of physical addresses is (Kind.REGION). */
export const RegionKind = { OTHER: 1, CMDQV: 2 } as const;

export const PartKind = { IN: 1, OUT: 2, NESTED_IN: 3, NESTED_OUT: 4, ARGS: 5, TEXT: 6 } as const;
export type PartKind = (typeof PartKind)[keyof typeof PartKind];
export const PartFlag = { TRUNCATED: 1, FAULT: 2, LATE: 4 } as const;

/** Names of the bits that are set, in lower case. Bits that have none are left out. */
export const bitNames = (flags: number, names: Readonly<Record<string, number>>): string[] =>
  Object.entries(names).flatMap(([name, bit]) => ((flags & bit) !== 0 ? [name.toLowerCase()] : []));

/** One part, decoded: `bytes` is a view into the frame's buffer, not a copy. */
export interface Part {
  readonly kind: PartKind;
  readonly flags: number;
  /** NESTED_*: offset of the pointer field in the struct; TEXT: which text; else 0 */
  readonly slot: number;
  /** bytes that there were to take; more than `bytes.length` where flags say TRUNCATED or FAULT */
  readonly wanted: bigint;
  /** where in the program's memory, 0 where it is not memory */
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** One event, decoded: what an edge of the program (show, import, JSON) works with. Hot paths use {@link FrameCursor}. */
export interface Frame {
  readonly seq: number;
  readonly kind: number;
  readonly state: number;
  /** low byte FrameFlag bits */
  readonly flags: number;
  readonly fileKind: number;
  /** nanoseconds of CLOCK_MONOTONIC */
  readonly tEnter: bigint;
  /** 0n while the call has not returned */
  readonly tExit: bigint;
  readonly pid: number;
  readonly tid: number;
  /** -1 where there is none */
  readonly fd: number;
  /** number of the open file description, 0 unknown */
  readonly file: number;
  readonly request: number;
  /** errno, 0 on success */
  readonly error: number;
  readonly ret: bigint;
  readonly parts: readonly Part[];
}

/** Not by bit operations: a hostile length near 2^32 would come out negative, and a reader would walk backwards. */
const align8 = (n: number): number => Math.ceil(n / 8) * 8;

/**
 * A frame in a buffer, without copying or allocating. `at` moves it; the getters read the header there; `part` finds a
 * part and leaves its place in `partStart`, `partBytes` and `partFlags`.
 */
export class FrameCursor {
  buffer: Buffer = Buffer.alloc(0);
  /** where the frame begins in `buffer` */
  offset = 0;
  /** first data byte of the part that `part` found, in `buffer` */
  partStart = 0;
  /** data bytes of the part that `part` found */
  partBytes = 0;
  partFlags = 0;

  at(buffer: Buffer, offset: number): this {
    this.buffer = buffer;
    this.offset = offset;
    return this;
  }
  /** the event's number; exact below 2^53 */
  get seq(): number {
    return this.buffer.readUInt32LE(this.offset) + this.buffer.readUInt32LE(this.offset + 4) * 0x1_0000_0000;
  }
  get bytes(): number {
    return this.buffer.readUInt32LE(this.offset + FRAME_AT.bytes);
  }
  get kind(): number {
    return this.buffer[this.offset + FRAME_AT.kind]!;
  }
  get state(): number {
    return this.buffer[this.offset + FRAME_AT.state]!;
  }
  get flags(): number {
    return this.buffer[this.offset + FRAME_AT.flags]!;
  }
  get fileKind(): number {
    return this.buffer[this.offset + FRAME_AT.flags + 1]!;
  }
  get tEnter(): bigint {
    return this.buffer.readBigUInt64LE(this.offset + FRAME_AT.tEnter);
  }
  get tExit(): bigint {
    return this.buffer.readBigUInt64LE(this.offset + FRAME_AT.tExit);
  }
  get pid(): number {
    return this.buffer.readUInt32LE(this.offset + FRAME_AT.pid);
  }
  get tid(): number {
    return this.buffer.readUInt32LE(this.offset + FRAME_AT.tid);
  }
  get fd(): number {
    return this.buffer.readInt32LE(this.offset + FRAME_AT.fd);
  }
  get file(): number {
    return this.buffer.readUInt32LE(this.offset + FRAME_AT.file);
  }
  get request(): number {
    return this.buffer.readUInt32LE(this.offset + FRAME_AT.request);
  }
  get error(): number {
    return this.buffer.readInt32LE(this.offset + FRAME_AT.error);
  }
  get ret(): bigint {
    return this.buffer.readBigInt64LE(this.offset + FRAME_AT.ret);
  }
  /** low 32 bits of the return value, signed: an fd, a pid, 0 or -1 */
  get ret32(): number {
    return this.buffer.readInt32LE(this.offset + FRAME_AT.ret);
  }

  /** Finds the first part of a kind (and slot, where given). false where the frame has none. */
  part(kind: number, slot = -1): boolean {
    const b = this.buffer;
    const end = this.offset + this.bytes;
    for (let p = this.offset + FRAME_HEADER; p + PART_HEADER <= end; ) {
      const bytes = b.readUInt32LE(p + PART_AT.bytes);
      if (b[p] === kind && (slot < 0 || b.readUInt16LE(p + PART_AT.slot) === slot)) {
        this.partStart = p + PART_HEADER;
        this.partBytes = Math.min(bytes, end - this.partStart);
        this.partFlags = b[p + PART_AT.flags]!;
        return true;
      }
      p += PART_HEADER + align8(bytes);
    }
    return false;
  }

  /** The i-th u64 word of the ARGS part; 0n where there is none. */
  arg(i: number): bigint {
    return this.part(PartKind.ARGS) && this.partBytes >= 8 * i + 8 ? this.buffer.readBigUInt64LE(this.partStart + 8 * i) : 0n;
  }

  /** The frame as an object; parts are views into the buffer. */
  frame(): Frame {
    return {
      seq: this.seq,
      kind: this.kind,
      state: this.state,
      flags: this.flags,
      fileKind: this.fileKind,
      tEnter: this.tEnter,
      tExit: this.tExit,
      pid: this.pid,
      tid: this.tid,
      fd: this.fd,
      file: this.file,
      request: this.request,
      error: this.error,
      ret: this.ret,
      parts: decodeParts(this.buffer, this.offset),
    };
  }
}

/** The parts of the frame at `offset`. A part that claims more than the frame holds is cut at the frame's end. */
export function decodeParts(buffer: Buffer, offset: number): Part[] {
  const end = offset + buffer.readUInt32LE(offset + FRAME_AT.bytes);
  const parts: Part[] = [];
  for (let p = offset + FRAME_HEADER; p + PART_HEADER <= end; ) {
    const bytes = buffer.readUInt32LE(p + PART_AT.bytes);
    parts.push({
      kind: buffer[p]! as PartKind,
      flags: buffer[p + PART_AT.flags]!,
      slot: buffer.readUInt16LE(p + PART_AT.slot),
      wanted: buffer.readBigUInt64LE(p + PART_AT.wanted),
      address: buffer.readBigUInt64LE(p + PART_AT.address),
      bytes: buffer.subarray(p + PART_HEADER, Math.min(p + PART_HEADER + bytes, end)),
    });
    p += PART_HEADER + align8(bytes);
  }
  return parts;
}

/** The bytes of one frame. `seq` goes where a spool has its mark. */
export function encodeFrame(f: Frame): Buffer {
  let size = FRAME_HEADER;
  for (const p of f.parts) size += PART_HEADER + align8(p.bytes.length);
  const b = Buffer.alloc(size);
  b.writeBigUInt64LE(BigInt(f.seq), FRAME_AT.seq);
  b.writeUInt32LE(size, FRAME_AT.bytes);
  b[FRAME_AT.kind] = f.kind;
  b[FRAME_AT.state] = f.state;
  b[FRAME_AT.flags] = f.flags;
  b[FRAME_AT.flags + 1] = f.fileKind;
  b.writeBigUInt64LE(f.tEnter, FRAME_AT.tEnter);
  b.writeBigUInt64LE(f.tExit, FRAME_AT.tExit);
  b.writeUInt32LE(f.pid, FRAME_AT.pid);
  b.writeUInt32LE(f.tid, FRAME_AT.tid);
  b.writeInt32LE(f.fd, FRAME_AT.fd);
  b.writeUInt32LE(f.file, FRAME_AT.file);
  b.writeUInt32LE(f.request, FRAME_AT.request);
  b.writeInt32LE(f.error, FRAME_AT.error);
  b.writeBigInt64LE(f.ret, FRAME_AT.ret);
  let at = FRAME_HEADER;
  for (const p of f.parts) {
    b[at] = p.kind;
    b[at + PART_AT.flags] = p.flags;
    b.writeUInt16LE(p.slot, at + PART_AT.slot);
    b.writeUInt32LE(p.bytes.length, at + PART_AT.bytes);
    b.writeBigUInt64LE(p.wanted, at + PART_AT.wanted);
    b.writeBigUInt64LE(p.address, at + PART_AT.address);
    b.set(p.bytes, at + PART_AT.data);
    at += PART_HEADER + align8(p.bytes.length);
  }
  return b;
}

/** A frame with defaults for what the caller does not name: for tests, importers and frames that the recorder makes. */
export function makeFrame(f: Partial<Frame> & { readonly kind: number }): Frame {
  return {
    seq: 0,
    state: State.RETURNED,
    flags: 0,
    fileKind: FileKind.UNKNOWN,
    tEnter: 0n,
    tExit: 0n,
    pid: 0,
    tid: 0,
    fd: -1,
    file: 0,
    request: 0,
    error: 0,
    ret: 0n,
    parts: [],
    ...f,
  };
}

/** A part that is all there. */
export function makePart(kind: PartKind, bytes: Uint8Array, slot = 0, address = 0n, flags = 0): Part {
  return { kind, flags, slot, wanted: BigInt(bytes.length), address, bytes };
}

/** An ARGS part of u64 words; negative words are stored in two's complement. */
export function makeArgs(...words: readonly (bigint | number)[]): Part {
  const b = Buffer.alloc(8 * words.length);
  words.forEach((w, i) => {
    b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(w)), 8 * i);
  });
  return makePart(PartKind.ARGS, b);
}
