/** Frames of loads and stores, many and all alike: written in place, without an object for each part. */
import { FRAME_AT, FRAME_HEADER, Kind, PART_AT, PART_HEADER, PartKind, State } from '../../store/frame.ts';
import type { Access } from './format.ts';

const WORDS = 5;
/** MmioHow.BOTH has the value that was stored as well. */
const HOW = 15;
const BOTH = 2;
/** Bytes of the longest frame: two texts of a line at most. */
const ROOM = 1 << 18;
const U64 = (1n << 64n) - 1n;

export class AccessFrame {
  /** the frame that was written last begins at its start */
  readonly buffer = Buffer.from(new ArrayBuffer(ROOM));
  readonly #u32 = new Uint32Array(this.buffer.buffer);
  readonly #u64 = new BigUint64Array(this.buffer.buffer);

  write(a: Access, tEnter: bigint, tExit: bigint): Buffer {
    const { buffer } = this;
    const u32 = this.#u32;
    const u64 = this.#u64;
    buffer[FRAME_AT.kind] = Kind.MMIO;
    buffer[FRAME_AT.state] = State.RETURNED;
    u64[FRAME_AT.tEnter >> 3] = tEnter;
    u64[FRAME_AT.tExit >> 3] = tExit;
    u32[FRAME_AT.pid >> 2] = a.pid;
    u32[FRAME_AT.tid >> 2] = a.tid;
    u32[FRAME_AT.fd >> 2] = -1;
    u32[FRAME_AT.request >> 2] = a.request;
    u64[FRAME_AT.ret >> 3] = a.value & U64;
    const words = (a.request & HOW) === BOTH ? WORDS + 1 : WORDS;
    let at = this.#part(FRAME_HEADER, PartKind.ARGS, 0, 8 * words);
    u64[at >> 3] = a.address;
    u64[(at >> 3) + 1] = 0n;
    u64[(at >> 3) + 2] = BigInt(a.width);
    u64[(at >> 3) + 3] = a.ip;
    u64[(at >> 3) + 4] = BigInt(a.flags);
    if (words > WORDS) u64[(at >> 3) + WORDS] = 0n;
    at += 8 * words;
    if (a.by !== '' || a.task !== '') at = this.#text(at, 0, a.by);
    if (a.task !== '') at = this.#text(at, 1, a.task);
    u32[FRAME_AT.bytes >> 2] = at;
    return buffer;
  }

  #text(at: number, slot: number, text: string): number {
    const start = this.#part(at, PartKind.TEXT, slot, text.length);
    const end = start + Math.ceil(text.length / 8) * 8;
    if (end > start) this.#u64[(end >> 3) - 1] = 0n;
    this.buffer.write(text, start, 'latin1');
    return end;
  }

  /** The header of a part; → where its bytes begin. */
  #part(at: number, kind: number, slot: number, bytes: number): number {
    this.#u32[at >> 2] = kind | (slot << 16);
    this.#u32[(at + PART_AT.bytes) >> 2] = bytes;
    this.#u64[(at + PART_AT.wanted) >> 3] = BigInt(bytes);
    this.#u64[(at + PART_AT.address) >> 3] = 0n;
    return at + PART_HEADER;
  }
}
