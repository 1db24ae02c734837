/** Chunks: frames packed together, bit for bit. */
import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { FRAME_AT, FRAME_HEADER } from './frame.ts';

/** Events of a full chunk. */
export const CHUNK_EVENTS = 4096;
/** Bytes of frames after which a chunk is full, unless a single frame is bigger. */
export const CHUNK_BYTES = 2 * 2 ** 20;
/** Bytes of the biggest frame that is stored. */
export const MAX_FRAME = 64 * 2 ** 20;
/** Bytes of frames that a chunk may claim to hold. */
export const MAX_CHUNK_BYTES = CHUNK_BYTES + MAX_FRAME;

/** Frames one after the other: frame i (event first + i) begins at offsets[i], the last ends at offsets[count]. */
export interface FrameBatch {
  /** number of the first event */
  readonly first: number;
  readonly count: number;
  readonly buffer: Buffer;
  /** count + 1 places in `buffer`, in bytes */
  readonly offsets: Uint32Array;
}

/** The data of a chunk. */
export function packFrames(batch: FrameBatch): Buffer {
  const start = batch.offsets[0]!;
  const end = batch.offsets[batch.count]!;
  return deflateRawSync(batch.buffer.subarray(start, end), { level: 1 });
}

/** The frames of a chunk. Throws a plain Error that says what is wrong with the data; it believes no number in it. */
export function unpackFrames(data: Uint8Array, first: number, count: number, bytes: number): FrameBatch {
  const buffer = inflateRawSync(data, { maxOutputLength: Math.max(bytes, 1) });
  if (buffer.length !== bytes) throw new Error(`holds ${buffer.length} bytes of frames, says ${bytes}`);
  const offsets = new Uint32Array(count + 1);
  let at = 0;
  for (let i = 0; i < count; i++) {
    offsets[i] = at;
    const size = at + FRAME_HEADER <= bytes ? buffer.readUInt32LE(at + FRAME_AT.bytes) : 0;
    if (size < FRAME_HEADER || size % 8 !== 0) throw new Error(`event ${first + i} is no frame`);
    at += size;
  }
  offsets[count] = at;
  if (at !== bytes) throw new Error(`holds ${bytes} bytes, its frames ${at}`);
  return { first, count, buffer, offsets };
}

/** Links a chunk to the one before it: SHA-256 over that one's digest, this one's numbers and its data. */
export function chunkDigest(previous: Uint8Array, first: number, count: number, bytes: number, data: Uint8Array): Buffer {
  const numbers = Buffer.alloc(24);
  numbers.writeBigUInt64LE(BigInt(first), 0);
  numbers.writeBigUInt64LE(BigInt(count), 8);
  numbers.writeBigUInt64LE(BigInt(bytes), 16);
  return createHash('sha256').update(previous).update(numbers).update(data).digest();
}

/** The digest before the first chunk. */
export const NO_DIGEST: Buffer = Buffer.alloc(32);
