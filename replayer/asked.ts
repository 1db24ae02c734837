/** A recorded call as it is asked of the rules. */
import { errnoName } from '../hw/errno.ts';
import type { Memory, Observed, Registers, Request } from '../hw/iommufd/call.ts';
import type { OpenFile } from '../hw/iommufd/state.ts';
import type { Command, Target } from '../hw/uapi/types.ts';
import { type FrameCursor, PartFlag, PartKind } from '../store/frame.ts';

/** Memory that a part of a frame has. Nothing is taken out of the frame before somebody looks. */
class FrameMemory implements Memory {
  readonly buffer: Buffer;
  /** where the data begin in `buffer` */
  readonly start: number;
  readonly length: number;
  readonly fault: boolean;
  #bytes: Uint8Array | undefined;

  constructor(f: FrameCursor) {
    this.buffer = f.buffer;
    this.start = f.partStart;
    this.length = f.partBytes;
    this.fault = (f.partFlags & PartFlag.FAULT) !== 0;
  }
  get bytes(): Uint8Array {
    this.#bytes ??= new Uint8Array(this.buffer.buffer, this.buffer.byteOffset + this.start, this.length);
    return this.#bytes;
  }
  get wanted(): bigint {
    return this.buffer.readBigUInt64LE(this.start - 16);
  }
}

function memoryOf(f: FrameCursor, kind: number, slot: number): FrameMemory | undefined {
  return f.part(kind, slot) ? new FrameMemory(f) : undefined;
}

const UNREADABLE: Memory = { bytes: new Uint8Array(0), wanted: 4n, fault: true };

/** Whom a call asks what its descriptors stand for. */
export interface Descriptors {
  fileOf(pid: number, fd: number): OpenFile | undefined | 'unknown';
  registersAt(pid: number, address: bigint, length: bigint): Registers | undefined;
}

/** A call, with what the log says of it. Reads the frame where it lies: valid until the next one. */
export class Asked implements Request {
  readonly target: Target;
  readonly file: OpenFile;
  readonly command: Command | undefined;
  readonly request: number;
  readonly seq: number;
  readonly process: number;
  readonly struct: Memory;
  /** what the log says: '' for success */
  readonly errno: string;
  /** the struct before and after the call, as far as the log has them */
  readonly before: FrameMemory | undefined;
  readonly after: FrameMemory | undefined;
  readonly #descriptors: Descriptors;
  readonly #frame: FrameCursor;
  readonly #back: FrameCursor;
  #observed: Observed | undefined;

  /** `back`: the frame that tells of the return; the same one, or of a RETURN event. */
  constructor(
    descriptors: Descriptors,
    target: Target,
    file: OpenFile,
    command: Command | undefined,
    f: FrameCursor,
    seq: number,
    back: FrameCursor,
  ) {
    this.target = target;
    this.file = file;
    this.command = command;
    this.request = f.request;
    this.seq = seq;
    this.process = f.pid;
    this.before = memoryOf(f, PartKind.IN, 0);
    this.after = memoryOf(back, PartKind.OUT, -1);
    this.struct = this.before ?? UNREADABLE;
    const { error } = back;
    this.errno = error === 0 ? '' : errnoName(error);
    this.#descriptors = descriptors;
    this.#frame = f;
    this.#back = back;
  }

  get name(): string {
    return this.command?.name ?? `0x${this.request.toString(16)}`;
  }
  get arg(): bigint {
    const f = this.#frame;
    return f.part(PartKind.ARGS) && f.partBytes >= 8 ? f.buffer.readBigUInt64LE(f.partStart) : 0n;
  }
  /** an ioctl returns an int */
  get ret(): number {
    return this.#back.ret32;
  }
  get observed(): Observed {
    this.#observed ??= { errno: this.errno, ret: this.#back.ret, out: this.after?.bytes, nested: (offset) => this.nestedOut(offset) };
    return this.#observed;
  }
  nested(offset: number): Memory | undefined {
    return memoryOf(this.#frame, PartKind.NESTED_IN, offset);
  }
  nestedOut(offset: number): Uint8Array | undefined {
    return memoryOf(this.#back, PartKind.NESTED_OUT, offset)?.bytes;
  }
  fileOf(fd: number): OpenFile | undefined | 'unknown' {
    return this.#descriptors.fileOf(this.process, fd);
  }
  registersAt(address: bigint, length: bigint): Registers | undefined {
    return this.#descriptors.registersAt(this.process, address, length);
  }
}
