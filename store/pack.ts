/**
 * Chunks: frames packed together, bit for bit.
 *
 * Frames of one layout (size, kind, request, parts) form a group; a group is a table with a column for every word of the frame, most of
 * which never change. Times and the four words that say who made the call are columns over all events, in their order; seq is implied.
 * What is left goes through deflate. Nothing here knows what the words mean, so nothing can be lost for being unknown.
 *
 * After u8 PACKED and u32 the length of the first of two deflate streams, for what repeats and for what is noise, there is in them:
 *
 *     shapes   varint count, then of each varint words
 *     who      varint count, then of each pid, tid, fd, file
 *     shape of every event, one or two byte planes, absent where there is one shape; the same for who
 *     columns  t_enter low, t_enter high
 *     groups, in the order of the shapes:
 *       rows only, below four of them or in frames of more than 8 KiB: the words that are not above, row by row
 *       else the words of the first row, varint count of the columns that vary, of each varint word, then the columns
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { ByteReader, ByteWriter } from './bytes.ts';
import { COLUMN_ROWS, codingOrder, decodeColumn, encodeColumn, type Streams } from './columns.ts';
import { FRAME_AT, FRAME_HEADER, PART_HEADER } from './frame.ts';

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
/** memLevel: small blocks, so that every column gets its own Huffman code */
const PLAIN = { level: 6, memLevel: 5 };
const NOISE = { level: 1, memLevel: 5, strategy: constants.Z_HUFFMAN_ONLY };
/** Groups with fewer rows, or with longer frames (words), are stored row by row. */
const MIN_ROWS = 4;
const MAX_COLUMNS = 2048;
/** Parts whose layout tells groups apart. */
const SHAPE_PARTS = 8;

const SEQ = FRAME_AT.seq >> 2;
const BYTES = FRAME_AT.bytes >> 2;
const T_ENTER = FRAME_AT.tEnter >> 2;
const WHO = FRAME_AT.pid >> 2;
const WHO_WORDS = 4;
const HEADER_WORDS = FRAME_HEADER >> 2;
const PART_WORDS = PART_HEADER >> 2;

/** Whether word c of a frame is written with its group; the others are columns over all events, or implied. */
const inGroup = (c: number): boolean =>
  c >= HEADER_WORDS || !(c === SEQ || c === SEQ + 1 || c === BYTES || (c >= T_ENTER && c < WHO + WHO_WORDS));

/** Frames one after the other: frame i (event first + i) begins at offsets[i], the last ends at offsets[count]. */
export interface FrameBatch {
  /** number of the first event */
  readonly first: number;
  readonly count: number;
  readonly buffer: Buffer;
  /** count + 1 places in `buffer`, in bytes */
  readonly offsets: Uint32Array;
}

interface Shape {
  readonly words: number;
  readonly key: number;
  /** where its rows begin, in words */
  readonly rows: number[];
}

/** Columns to work in, kept from chunk to chunk. */
class Workspace {
  readonly #columns: Uint32Array[] = [];

  /** Column k with room for n rows. */
  column(k: number, n: number): Uint32Array {
    let column = this.#columns[k];
    if (column === undefined || column.length < n) {
      column = new Uint32Array(Math.max(n, CHUNK_EVENTS));
      this.#columns[k] = column;
    }
    return column;
  }
}

const workspace = new Workspace();
const varies = new Uint8Array(MAX_COLUMNS);

/** The words of a batch, which has to begin on an address that is a multiple of 4. */
function wordsOf(batch: FrameBatch): Uint32Array {
  const { buffer, offsets } = batch;
  const end = offsets[batch.count]!;
  if (buffer.byteOffset % 4 === 0) return new Uint32Array(buffer.buffer, buffer.byteOffset, end >> 2);
  const copy = new Uint8Array(end);
  copy.set(buffer.subarray(0, end));
  return new Uint32Array(copy.buffer);
}

/** What tells the layout of a frame: size, kind, state, flags, request, and the heads of its parts. */
function shapeKey(words: Uint32Array, at: number, size: number): number {
  let key = Math.imul(size ^ 0x5bd1e995, 0x9e3779b1);
  key = Math.imul(key ^ words[at + 3]!, 0x85ebca6b) ^ (key >>> 13);
  key = Math.imul(key ^ words[at + 12]!, 0xc2b2ae35) ^ (key >>> 13);
  const end = at + size - PART_WORDS;
  for (let p = at + HEADER_WORDS, n = 0; p <= end && n < SHAPE_PARTS; n++) {
    const bytes = words[p + 1]!;
    key = Math.imul(key ^ words[p]!, 0x85ebca6b) ^ (key >>> 13);
    key = Math.imul(key ^ bytes, 0xc2b2ae35) ^ (key >>> 13);
    if (bytes > size * 4) break;
    p += PART_WORDS + ((bytes + 7) >>> 3) * 2;
  }
  return key;
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

/** The data of a chunk. At most MAX_CHUNK_EVENTS frames, each a multiple of 8 bytes long as its header says. */
export function packFrames(batch: FrameBatch): Buffer {
  const words = wordsOf(batch);
  const streams = { plain: new ByteWriter(), noise: new ByteWriter() };
  const out = streams.plain;
  const shapes = writeShapes(out, words, batch);
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
  for (const shape of shapes) writeGroup(streams, words, shape);
  const plain = deflateRawSync(out.written(), PLAIN);
  const noise = deflateRawSync(streams.noise.written(), NOISE);
  const data = Buffer.alloc(HEAD + plain.length + noise.length);
  data[0] = PACKED;
  data.writeUInt32LE(plain.length, 1);
  plain.copy(data, HEAD);
  noise.copy(data, HEAD + plain.length);
  return data;
}

function writeShapes(out: ByteWriter, words: Uint32Array, batch: FrameBatch): Shape[] {
  const { count, offsets } = batch;
  const byKey = new Map<number, number>();
  const shapes: Shape[] = [];
  const whoKeys = new Map<string, number>();
  const shapeOf = workspace.column(0, count);
  const whoOf = workspace.column(1, count);
  const who: number[] = [];
  let [pid, tid, fd, file, last] = [-1, -1, -1, -1, 0];
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
    if (words[at + WHO] !== pid || words[at + WHO + 1] !== tid || words[at + WHO + 2] !== fd || words[at + WHO + 3] !== file) {
      pid = words[at + WHO]!;
      tid = words[at + WHO + 1]!;
      fd = words[at + WHO + 2]!;
      file = words[at + WHO + 3]!;
      const name = `${pid} ${tid} ${fd} ${file}`;
      last = whoKeys.get(name) ?? whoKeys.size;
      if (last === whoKeys.size) {
        whoKeys.set(name, last);
        who.push(pid, tid, fd, file);
      }
    }
    whoOf[i] = last;
  }
  out.varint(shapes.length);
  for (const shape of shapes) out.varint(shape.words);
  out.varint(whoKeys.size);
  for (const word of who) out.u32(word);
  writePlaces(out, shapeOf, count, shapes.length);
  writePlaces(out, whoOf, count, whoKeys.size);
  return shapes;
}

function writeGroup(streams: Streams<ByteWriter>, words: Uint32Array, shape: Shape): void {
  const out = streams.plain;
  const { rows, words: size } = shape;
  const n = rows.length;
  if (n < MIN_ROWS || size > MAX_COLUMNS) {
    for (const at of rows) for (let c = 0; c < size; c++) if (inGroup(c)) out.u32(words[at + c]!);
    return;
  }
  varies.fill(0, 0, size);
  const top = rows[0]!;
  for (let r = 1; r < n; r++) {
    const at = rows[r]!;
    for (let c = 3; c < size; c++) if (words[at + c] !== words[top + c]) varies[c] = 1;
  }
  const places: number[] = [];
  for (let c = 0; c < size; c++) {
    if (!inGroup(c)) continue;
    out.u32(words[top + c]!);
    if (varies[c] === 1) places.push(c);
  }
  const columns = places.map((c, k) => gather(words, rows, c, workspace.column(k, n)));
  const order = codingOrder(columns, n);
  const ordered = order.map((k) => columns[k]!);
  out.varint(order.length);
  for (const k of order) out.varint(places[k]!);
  ordered.forEach((_, k) => {
    encodeColumn(streams, ordered, k, n);
  });
}

/** Word c of every row. */
function gather(words: Uint32Array, rows: readonly number[], c: number, column: Uint32Array): Uint32Array {
  for (let r = 0; r < rows.length; r++) column[r] = words[rows[r]! + c]!;
  return column;
}

/** The frames of a chunk. Throws a plain Error that says what is wrong with the data; it believes no number in it. */
export function unpackFrames(data: Uint8Array, first: number, count: number, bytes: number): FrameBatch {
  if (data[0] === STORED) return restoreFrames(data, first, count, bytes);
  if (data[0] !== PACKED || data.length < HEAD) throw new Error('packed by a newer version');
  // what is told of shapes, threads and columns is less than the headers that it stands for
  const limit = { maxOutputLength: bytes * 2 + 1024 };
  const split = HEAD + new DataView(data.buffer, data.byteOffset).getUint32(1, true);
  const streams = {
    plain: new ByteReader(inflateRawSync(data.subarray(HEAD, split), limit)),
    noise: new ByteReader(inflateRawSync(data.subarray(split), limit)),
  };
  const input = streams.plain;
  const shapes = readShapes(input, count, bytes);
  const shapeOf = workspace.column(0, count);
  const whoOf = workspace.column(1, count);
  const whoCount = input.varint();
  if (whoCount > count) throw new Error('packed data have more threads than events');
  const who = Uint32Array.from({ length: whoCount * WHO_WORDS }, () => input.u32());
  readPlaces(input, shapeOf, count, shapes.length);
  readPlaces(input, whoOf, count, whoCount);
  const times = [2, 3, 4, 5].map((k) => workspace.column(k, count));
  const [tookLow, tookHigh, low, high] = times as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  for (let k = 0; k < 4; k++) decodeColumn(streams, times, k, count);
  const offsets = new Uint32Array(count + 1);
  let end = 0;
  for (let i = 0; i < count; i++) {
    const shape = shapes[shapeOf[i]!]!;
    offsets[i] = end;
    shape.rows.push(end >> 2);
    end += shape.words * 4;
  }
  offsets[count] = end;
  if (end !== bytes) throw new Error(`holds ${end} bytes of frames, says ${bytes}`);
  const words = new Uint32Array(bytes >> 2);
  for (let i = 0; i < count; i++) {
    const at = offsets[i]! >> 2;
    const seq = first + i;
    words[at] = seq;
    words[at + 1] = seq / 2 ** 32;
    words[at + BYTES] = offsets[i + 1]! - offsets[i]!;
    words[at + T_ENTER] = low[i]!;
    words[at + T_ENTER + 1] = high[i]!;
    words[at + T_ENTER + 2] = low[i]! + tookLow[i]!;
    words[at + T_ENTER + 3] = high[i]! + tookHigh[i]!;
    const w = whoOf[i]! * WHO_WORDS;
    words[at + WHO] = who[w]!;
    words[at + WHO + 1] = who[w + 1]!;
    words[at + WHO + 2] = who[w + 2]!;
    words[at + WHO + 3] = who[w + 3]!;
  }
  for (const shape of shapes) readGroup(streams, words, shape);
  return { first, count, buffer: Buffer.from(words.buffer), offsets };
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
  if (shapes > count) throw new Error('packed data have more groups than events');
  return Array.from({ length: shapes }, () => {
    const words = input.varint();
    if (words < HEADER_WORDS || words % 2 !== 0 || words * 4 > bytes) throw new Error('packed data have a frame of impossible size');
    return { words, key: 0, rows: [] };
  });
}

function readGroup(streams: Streams<ByteReader>, words: Uint32Array, shape: Shape): void {
  const input = streams.plain;
  const { rows, words: size } = shape;
  const n = rows.length;
  if (n < MIN_ROWS || size > MAX_COLUMNS) {
    for (const at of rows) for (let c = 0; c < size; c++) if (inGroup(c)) words[at + c] = input.u32();
    return;
  }
  const template = new Uint32Array(size);
  for (let c = 0; c < size; c++) if (inGroup(c)) template[c] = input.u32();
  for (let r = 0; r < n; r++) {
    const at = rows[r]!;
    words[at + 3] = template[3]!;
    words[at + 12] = template[12]!;
    words[at + 13] = template[13]!;
    words[at + 14] = template[14]!;
    words[at + 15] = template[15]!;
    for (let c = HEADER_WORDS; c < size; c++) words[at + c] = template[c]!;
  }
  const varying = input.varint();
  if (varying > size) throw new Error('packed data have more columns than words');
  const places = Array.from({ length: varying }, () => input.varint());
  const columns = places.map((_, k) => workspace.column(k, n));
  places.forEach((c, k) => {
    if (c >= size || !inGroup(c)) throw new Error('packed data have a column outside of the frame');
    decodeColumn(streams, columns, k, n);
    scatter(words, rows, c, columns[k]!);
  });
}

function scatter(words: Uint32Array, rows: readonly number[], c: number, column: Uint32Array): void {
  for (let r = 0; r < rows.length; r++) words[rows[r]! + c] = column[r]!;
}
