/**
 * Chunks: frames packed together, bit for bit.
 *
 * Frames of one layout (size, kind, request, parts) form a group; a group is a table with a column for every word of the frame, most of
 * which never change. Times and the four words that say who made the call are columns over all events, in their order; seq is implied.
 * What is left goes through deflate. Nothing here knows what the words mean, so nothing can be lost for being unknown.
 *
 * After u8 PACKED and u32 the length of the first of two deflate streams, for what repeats and for what is noise, there is in them:
 *
 *     shapes   varint count, of each varint words, then the shape of every event in one or two byte planes, none where there is one shape
 *     who      the same, of each pid, tid, fd, file
 *     columns  t_exit - t_enter (low, high), t_enter (low, high)
 *     groups, in the order of the shapes:
 *       rows only, below four of them or in frames of more than 8 KiB: the words that are not above, row by row
 *       else the words of the first row, varint count of the columns that vary, of each varint word, then the columns
 */
import { endianness } from 'node:os';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { ByteReader, ByteWriter } from './bytes.ts';
import { COLUMN_ROWS, decodeColumn, encodeColumn } from './columns.ts';
import { FRAME_AT, FRAME_HEADER } from './frame.ts';
import {
  BYTES,
  type Codings,
  HEADER_WORDS,
  readGroup,
  SEQ,
  type Shape,
  shapeKey,
  T_ENTER,
  WHO,
  WHO_WORDS,
  workspace,
  writeGroup,
} from './groups.ts';
import { TupleTable } from './origins.ts';

/** Events of a full chunk. */
export const CHUNK_EVENTS = 8192;
/** Bytes of frames after which a chunk is full, unless a single frame is bigger. */
export const CHUNK_BYTES = 2 * 2 ** 20;
/** Bytes of the biggest frame that is stored. */
export const MAX_FRAME = 64 * 2 ** 20;
/** Bytes of frames that a chunk may claim to hold. */
export const MAX_CHUNK_BYTES = CHUNK_BYTES + MAX_FRAME;
/** Events that a chunk may claim to hold. */
export const MAX_CHUNK_EVENTS = COLUMN_ROWS;

/** First byte of the data: frames as they are, or packed. */
const STORED = 0;
const PACKED = 1;
/** Bytes before the streams. */
const HEAD = 5;

// frames are little-endian in the file and in memory alike
if (endianness() !== 'LE') throw new Error('traces can only be read and written on little-endian machines');
/** memLevel: small blocks, so that every column gets its own Huffman code */
const PLAIN = { level: 6, memLevel: 5 };
const NOISE = { level: 1, memLevel: 5, strategy: constants.Z_HUFFMAN_ONLY };
/** Frames one after the other: frame i (event first + i) begins at offsets[i], the last ends at offsets[count]. */
export interface FrameBatch {
  /** number of the first event */
  readonly first: number;
  readonly count: number;
  readonly buffer: Buffer;
  /** count + 1 places in `buffer`, in bytes */
  readonly offsets: Uint32Array;
}

/** The words of a batch, which has to begin on an address that is a multiple of 4. */
function wordsOf(batch: FrameBatch): Uint32Array {
  const { buffer, offsets } = batch;
  const end = offsets[batch.count]!;
  if (buffer.byteOffset % 4 === 0) return new Uint32Array(buffer.buffer, buffer.byteOffset, end >> 2);
  const copy = new Uint8Array(end);
  copy.set(buffer.subarray(0, end));
  return new Uint32Array(copy.buffer);
}

/** Numbers for a sequence of places, written as byte planes. */
function writePlaces(out: ByteWriter, places: Uint32Array, n: number, count: number): void {
  if (count < 2) return;
  for (let shift = 0; shift < (count > 256 ? 16 : 8); shift += 8) {
    const at = out.reserve(n);
    const { bytes } = out;
    for (let i = 0; i < n; i++) bytes[at + i] = places[i]! >>> shift;
  }
}

function readPlaces(input: ByteReader, places: Uint32Array, n: number, count: number): void {
  places.fill(0, 0, n);
  if (count < 2) return;
  for (let shift = 0; shift < (count > 256 ? 16 : 8); shift += 8) {
    const at = input.take(n);
    for (let i = 0; i < n; i++) places[i]! |= input.bytes[at + i]! << shift;
  }
  for (let i = 0; i < n; i++) if (places[i]! >= count) throw new Error('packed data name a group that is not there');
}

/**
 * The data of a chunk. At most MAX_CHUNK_EVENTS frames, each a multiple of 8 bytes long as its header says. `codings`: how the earlier
 * chunks of the trace were packed, which saves a search.
 */
export function packFrames(batch: FrameBatch, codings: Codings = new Map()): Buffer {
  const words = wordsOf(batch);
  const streams = { plain: new ByteWriter(), noise: new ByteWriter() };
  const out = streams.plain;
  const shapes = writeShapes(out, words, batch);
  writeWho(out, words, batch);
  const times = [0, 1, 2, 3].map((k) => workspace.column(k, batch.count));
  const [tookLow, tookHigh, low, high] = times as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  for (let i = 0; i < batch.count; i++) {
    const at = (batch.offsets[i]! >> 2) + T_ENTER;
    tookLow[i] = words[at + 2]! - words[at]!;
    tookHigh[i] = words[at + 3]! - words[at + 1]!;
    low[i] = words[at]!;
    high[i] = words[at + 1]!;
  }
  for (let k = 0; k < 4; k++) encodeColumn(streams, times, k, batch.count);
  for (const shape of shapes) writeGroup(streams, words, shape, shape.key, codings);
  const plain = deflateRawSync(out.written(), PLAIN);
  const noise = deflateRawSync(streams.noise.written(), NOISE);
  const data = Buffer.alloc(HEAD + plain.length + noise.length);
  data[0] = PACKED;
  data.writeUInt32LE(plain.length, 1);
  plain.copy(data, HEAD);
  noise.copy(data, HEAD + plain.length);
  return data;
}

interface KeyedShape extends Shape {
  /** of shapeKey */
  readonly key: number;
}

/** Sorts the frames into shapes; writes these and the shape of every frame. */
function writeShapes(out: ByteWriter, words: Uint32Array, batch: FrameBatch): KeyedShape[] {
  const { count, offsets } = batch;
  const byKey = new Map<number, number>();
  const shapes: KeyedShape[] = [];
  const shapeOf = workspace.column(0, count);
  for (let i = 0; i < count; i++) {
    const at = offsets[i]! >> 2;
    const size = (offsets[i + 1]! >> 2) - at;
    let key = shapeKey(words, at, size);
    let place = byKey.get(key);
    while (place !== undefined && shapes[place]!.words !== size) place = byKey.get(++key);
    if (place === undefined) {
      place = shapes.push({ words: size, key, rows: [] }) - 1;
      byKey.set(key, place);
    }
    shapes[place]!.rows.push(at);
    shapeOf[i] = place;
  }
  out.varint(shapes.length);
  for (const shape of shapes) out.varint(shape.words);
  writePlaces(out, shapeOf, count, shapes.length);
  return shapes;
}

/** Writes the different (pid, tid, fd, file), and which of them every frame has. */
function writeWho(out: ByteWriter, words: Uint32Array, batch: FrameBatch): void {
  const { count, offsets } = batch;
  const who = new TupleTable(WHO_WORDS);
  const key = new Int32Array(WHO_WORDS);
  const whoOf = workspace.column(0, count);
  for (let i = 0; i < count; i++) {
    const at = (offsets[i]! >> 2) + WHO;
    for (let k = 0; k < WHO_WORDS; k++) key[k] = words[at + k]!;
    whoOf[i] = who.intern(key) - 1;
  }
  out.varint(who.count);
  for (let id = 1; id <= who.count; id++) for (const word of who.tuple(id)) out.u32(word);
  writePlaces(out, whoOf, count, who.count);
}

/** The frames of a chunk. Throws a plain Error that says what is wrong with the data; it believes no number in it. */
export function unpackFrames(data: Uint8Array, first: number, count: number, bytes: number): FrameBatch {
  if (data[0] === STORED) return restoreFrames(data, first, count, bytes);
  if (data[0] !== PACKED || data.length < HEAD) throw new Error('packed by a newer version');
  // at worst, with four rows of noise, a column takes not quite twice the room of its words
  const limit = { maxOutputLength: bytes * 3 + 1024 };
  const split = HEAD + new DataView(data.buffer, data.byteOffset).getUint32(1, true);
  const streams = {
    plain: new ByteReader(inflateRawSync(data.subarray(HEAD, split), limit)),
    noise: new ByteReader(inflateRawSync(data.subarray(split), limit)),
  };
  const input = streams.plain;
  const shapes = readShapes(input, count, bytes);
  const shapeOf = workspace.column(0, count);
  readPlaces(input, shapeOf, count, shapes.length);
  const whoOf = workspace.column(1, count);
  const whoCount = input.varint();
  if (whoCount > count) throw new Error('packed data have more threads than events');
  const who = Uint32Array.from({ length: whoCount * WHO_WORDS }, () => input.u32());
  readPlaces(input, whoOf, count, whoCount);
  const times = [2, 3, 4, 5].map((k) => workspace.column(k, count));
  for (let k = 0; k < times.length; k++) decodeColumn(streams, times, k, count);
  const offsets = layOut(shapes, shapeOf, count);
  if (offsets[count] !== bytes) throw new Error(`holds ${offsets[count]} bytes of frames, says ${bytes}`);
  const words = new Uint32Array(bytes >> 2);
  const batch = { first, count, buffer: Buffer.from(words.buffer), offsets };
  fillHeads(words, batch, times);
  fillWho(words, batch, who, whoOf);
  for (const shape of shapes) readGroup(streams, words, shape);
  return batch;
}

/** Where every frame begins, in bytes; its shape learns it, too. */
function layOut(shapes: readonly Shape[], shapeOf: Uint32Array, count: number): Uint32Array {
  const offsets = new Uint32Array(count + 1);
  let end = 0;
  for (let i = 0; i < count; i++) {
    const shape = shapes[shapeOf[i]!]!;
    offsets[i] = end;
    shape.rows.push(end >> 2);
    end += shape.words * 4;
  }
  offsets[count] = end;
  return offsets;
}

function fillHeads(words: Uint32Array, batch: FrameBatch, times: readonly Uint32Array[]): void {
  const [tookLow, tookHigh, low, high] = times as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  const { count, first, offsets } = batch;
  for (let i = 0; i < count; i++) {
    const at = offsets[i]! >> 2;
    const seq = first + i;
    words[at + SEQ] = seq;
    words[at + SEQ + 1] = seq / 2 ** 32;
    words[at + BYTES] = offsets[i + 1]! - offsets[i]!;
    words[at + T_ENTER] = low[i]!;
    words[at + T_ENTER + 1] = high[i]!;
    words[at + T_ENTER + 2] = low[i]! + tookLow[i]!;
    words[at + T_ENTER + 3] = high[i]! + tookHigh[i]!;
  }
}

function fillWho(words: Uint32Array, batch: FrameBatch, who: Uint32Array, whoOf: Uint32Array): void {
  const { count, offsets } = batch;
  for (let i = 0; i < count; i++) {
    const at = (offsets[i]! >> 2) + WHO;
    const w = whoOf[i]! * WHO_WORDS;
    words[at] = who[w]!;
    words[at + 1] = who[w + 1]!;
    words[at + 2] = who[w + 2]!;
    words[at + 3] = who[w + 3]!;
  }
}

/** The data of a chunk that will not last: the frames as they are. */
export function storeFrames(batch: FrameBatch): Buffer {
  return Buffer.concat([Buffer.of(STORED), batch.buffer.subarray(batch.offsets[0], batch.offsets[batch.count])]);
}

function restoreFrames(data: Uint8Array, first: number, count: number, bytes: number): FrameBatch {
  if (data.length !== bytes + 1) throw new Error(`holds ${data.length - 1} bytes of frames, says ${bytes}`);
  const buffer = Buffer.from(new ArrayBuffer(bytes));
  buffer.set(data.subarray(1));
  const offsets = new Uint32Array(count + 1);
  let at = 0;
  for (let i = 0; i < count; i++) {
    offsets[i] = at;
    const size = at + FRAME_HEADER <= bytes ? buffer.readUInt32LE(at + FRAME_AT.bytes) : 0;
    if (size < FRAME_HEADER || size % 8 !== 0) throw new Error(`event ${first + i} is no frame`);
    buffer.writeBigUInt64LE(BigInt(first + i), at + FRAME_AT.seq);
    at += size;
  }
  offsets[count] = at;
  if (at !== bytes) throw new Error(`holds ${bytes} bytes, its frames ${at}`);
  return { first, count, buffer, offsets };
}

function readShapes(input: ByteReader, count: number, bytes: number): Shape[] {
  const shapes = input.varint();
  if (shapes < 1 || shapes > count) throw new Error('packed data have more groups than events');
  return Array.from({ length: shapes }, () => {
    const words = input.varint();
    if (words < HEADER_WORDS || words % 2 !== 0 || words * 4 > bytes) throw new Error('packed data have a frame of impossible size');
    return { words, rows: [] };
  });
}
