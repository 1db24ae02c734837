import { FRAME_AT, FRAME_HEADER, PART_AT, PART_HEADER, PartKind } from '../store/frame.ts';
import { readU64, type U64 } from './u64.ts';

/** A stretch of bytes of the event's buffer: where a part lies. `bytes` -1: the frame has no such part. */
export interface Span {
  start: number;
  bytes: number;
}

const viewOf = (b: Buffer): DataView => new DataView(b.buffer, b.byteOffset, b.length);

const align8 = (n: number): number => Math.ceil(n / 8) * 8;

/**
 * One event, as the fold reads it: header fields and the places of the parts, found in one pass over the frame, nothing
 * copied or allocated. Reads beyond a part give 0; lengths that a frame claims and does not have are cut.
 */
export class EventBytes {
  buffer: Buffer = Buffer.alloc(FRAME_HEADER);
  /** of `buffer`; its reads cost half of Buffer's own */
  view = viewOf(this.buffer);
  offset = 0;
  #end = 0;
  seq = 0;
  kind = 0;
  state = 0;
  flags = 0;
  fileKind = 0;
  pid = 0;
  fd = -1;
  file = 0;
  request = 0;
  error = 0;
  /** low 32 bits of the return value, signed */
  ret = 0;
  readonly in: Span = { start: 0, bytes: -1 };
  readonly out: Span = { start: 0, bytes: -1 };
  readonly args: Span = { start: 0, bytes: -1 };

  /** Reads the frame at `offset`. false where the buffer does not hold one. */
  read(buffer: Buffer, offset: number): boolean {
    if (buffer !== this.buffer) {
      this.buffer = buffer;
      this.view = viewOf(buffer);
    }
    const { view } = this;
    this.offset = offset;
    if (offset < 0 || offset + FRAME_HEADER > buffer.length) return false;
    const bytes = view.getUint32(offset + FRAME_AT.bytes, true);
    if (bytes < FRAME_HEADER) return false;
    this.#end = Math.min(offset + bytes, buffer.length);
    this.seq = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
    this.kind = view.getUint8(offset + FRAME_AT.kind);
    this.state = view.getUint8(offset + FRAME_AT.state);
    this.flags = view.getUint8(offset + FRAME_AT.flags);
    this.fileKind = view.getUint8(offset + FRAME_AT.flags + 1);
    this.pid = view.getUint32(offset + FRAME_AT.pid, true);
    this.fd = view.getInt32(offset + FRAME_AT.fd, true);
    this.file = view.getUint32(offset + FRAME_AT.file, true);
    this.request = view.getUint32(offset + FRAME_AT.request, true);
    this.error = view.getInt32(offset + FRAME_AT.error, true);
    this.ret = view.getInt32(offset + FRAME_AT.ret, true);
    this.#parts();
    return true;
  }

  #parts(): void {
    const b = this.view;
    const end = this.#end;
    this.in.bytes = -1;
    this.out.bytes = -1;
    this.args.bytes = -1;
    for (let p = this.offset + FRAME_HEADER; p + PART_HEADER <= end; ) {
      const bytes = b.getUint32(p + PART_AT.bytes, true);
      const kind = b.getUint8(p);
      const span = kind === PartKind.IN ? this.in : kind === PartKind.OUT ? this.out : kind === PartKind.ARGS ? this.args : undefined;
      if (span && span.bytes < 0) {
        span.start = p + PART_HEADER;
        span.bytes = Math.min(bytes, end - span.start);
      }
      p += PART_HEADER + align8(bytes);
    }
  }

  get tid(): number {
    return this.view.getUint32(this.offset + FRAME_AT.tid, true);
  }
  /** nanoseconds of CLOCK_MONOTONIC; exact below 2^53 (104 days of uptime), else the nearest */
  get tEnter(): number {
    return Number(readU64(this.view, this.offset + FRAME_AT.tEnter));
  }
  get tExit(): number {
    return Number(readU64(this.view, this.offset + FRAME_AT.tExit));
  }
  /** the whole return value, as unsigned */
  get ret64(): U64 {
    return readU64(this.view, this.offset + FRAME_AT.ret);
  }

  /** A u32 of a part, 0 where it is not there. */
  u32(span: Span, at: number): number {
    return at + 4 <= span.bytes ? this.view.getUint32(span.start + at, true) : 0;
  }
  s32(span: Span, at: number): number {
    return at + 4 <= span.bytes ? this.view.getInt32(span.start + at, true) : 0;
  }
  u8(span: Span, at: number): number {
    return at < span.bytes ? this.view.getUint8(span.start + at) : 0;
  }
  u16(span: Span, at: number): number {
    return at + 2 <= span.bytes ? this.view.getUint16(span.start + at, true) : 0;
  }
  u64(span: Span, at: number): U64 {
    return at + 8 <= span.bytes ? readU64(this.view, span.start + at) : 0;
  }
  /** A number of so many bytes; 0 where the part ends before it. */
  number(span: Span, at: number, width: 1 | 2 | 4 | 8): U64 {
    switch (width) {
      case 1:
        return this.u8(span, at);
      case 2:
        return this.u16(span, at);
      case 4:
        return this.u32(span, at);
      default:
        return this.u64(span, at);
    }
  }
  /** The i-th word of the ARGS part. */
  arg(i: number): U64 {
    return this.u64(this.args, 8 * i);
  }
  /** The i-th word of the ARGS part as a signed 32-bit number: descriptors, pids. */
  arg32(i: number): number {
    return this.s32(this.args, 8 * i);
  }

  /** A part by kind and slot, undefined where there is none. For parts that are rare on the hot path. */
  part(kind: number, slot: number): Span | undefined {
    const b = this.view;
    for (let p = this.offset + FRAME_HEADER; p + PART_HEADER <= this.#end; ) {
      const bytes = b.getUint32(p + PART_AT.bytes, true);
      const start = p + PART_HEADER;
      if (b.getUint8(p) === kind && b.getUint16(p + PART_AT.slot, true) === slot)
        return { start, bytes: Math.min(bytes, this.#end - start) };
      p += PART_HEADER + align8(bytes);
    }
    return undefined;
  }

  /** A TEXT part, as UTF-8. Raw: escape it before it meets a terminal. */
  text(slot: number): string {
    const span = this.part(PartKind.TEXT, slot);
    return span ? this.buffer.toString('utf8', span.start, span.start + span.bytes) : '';
  }

  /** A copy of the frame's bytes. */
  copy(): Buffer {
    return Buffer.from(this.buffer.subarray(this.offset, this.#end));
  }
}
