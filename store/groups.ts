/**
 * Groups of frames with one layout: a table with a column for every word, most of which never change.
 */
import type { ByteReader, ByteWriter } from './bytes.ts';
import { codingOrder, decodeColumn, encodeColumn, type Plan, type Streams } from './columns.ts';
import { FRAME_AT, FRAME_HEADER, PART_HEADER } from './frame.ts';

/** Groups with fewer rows, or with longer frames (words), are stored row by row. */
const MIN_ROWS = 4;
const MAX_COLUMNS = 2048;
/** Parts whose layout tells groups apart. */
const SHAPE_PARTS = 8;

export const SEQ = FRAME_AT.seq >> 2;
export const BYTES = FRAME_AT.bytes >> 2;
export const T_ENTER = FRAME_AT.tEnter >> 2;
export const WHO = FRAME_AT.pid >> 2;
export const WHO_WORDS = 4;
export const HEADER_WORDS = FRAME_HEADER >> 2;
const PART_WORDS = PART_HEADER >> 2;

/** Whether word c of a frame is written with its group; the others are columns over all events, or implied. */
const inGroup = (c: number): boolean =>
  c >= HEADER_WORDS || !(c === SEQ || c === SEQ + 1 || c === BYTES || (c >= T_ENTER && c < WHO + WHO_WORDS));

export interface Shape {
  readonly words: number;
  /** where its rows begin, in words */
  readonly rows: number[];
}

/** Rows that every column has room for. */
const ROOM = 8192;

/** Columns to work in, kept from chunk to chunk. */
export class Workspace {
  readonly #columns: Uint32Array[] = [];

  /** Column k with room for n rows. */
  column(k: number, n: number): Uint32Array {
    let column = this.#columns[k];
    if (column === undefined || column.length < n) {
      column = new Uint32Array(Math.max(n, ROOM));
      this.#columns[k] = column;
    }
    return column;
  }
}

export const workspace = new Workspace();
const varies = new Uint8Array(MAX_COLUMNS);

/** What tells the layout of a frame: size, kind, state, flags, request, and the heads of its parts. */
export function shapeKey(words: Uint32Array, at: number, size: number): number {
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

/** How the columns of a group were coded the last time. */
export interface Coding {
  readonly places: readonly number[];
  readonly order: readonly number[];
  readonly plans: readonly Plan[];
  /** chunks since the search for it */
  age: number;
}

/** Chunks after which the search is made again. */
const CODING_AGE = 16;
const CODINGS = 1024;
/**
 * By shape. A frame of the same layout comes again and again, and its columns behave alike. One for each trace: how a chunk is packed
 * follows from the trace alone, so the same events in the same chunks have the same digest.
 */
export type Codings = Map<number, Coding>;

function codingOf(codings: Codings, key: number, places: readonly number[]): Coding | undefined {
  const known = codings.get(key);
  if (known === undefined || ++known.age > CODING_AGE) return undefined;
  return known.places.length === places.length && known.places.every((place, k) => place === places[k]) ? known : undefined;
}

/** `key`: of shapeKey. */
export function writeGroup(streams: Streams<ByteWriter>, words: Uint32Array, shape: Shape, key: number, codings: Codings): void {
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
  const known = codingOf(codings, key, places);
  const order = known?.order ?? codingOrder(columns, n);
  const ordered = order.map((k) => columns[k]!);
  out.varint(order.length);
  for (const k of order) out.varint(places[k]!);
  const plans = ordered.map((_, k) => encodeColumn(streams, ordered, k, n, known?.plans[k]));
  if (codings.size > CODINGS) codings.clear();
  codings.set(key, { places, order, plans, age: known?.age ?? 0 });
}

/** Word c of every row. */
function gather(words: Uint32Array, rows: readonly number[], c: number, column: Uint32Array): Uint32Array {
  for (let r = 0; r < rows.length; r++) column[r] = words[rows[r]! + c]!;
  return column;
}

export function readGroup(streams: Streams<ByteReader>, words: Uint32Array, shape: Shape): void {
  const input = streams.plain;
  const { rows, words: size } = shape;
  const n = rows.length;
  if (n < MIN_ROWS || size > MAX_COLUMNS) {
    for (const at of rows) for (let c = 0; c < size; c++) if (inGroup(c)) words[at + c] = input.u32();
    return;
  }
  const template = new Uint32Array(size);
  for (let c = 0; c < size; c++) if (inGroup(c)) template[c] = input.u32();
  const varying = input.varint();
  if (varying > size) throw new Error('packed data have more columns than words');
  const places = Array.from({ length: varying }, () => input.varint());
  const columns = places.map((_, k) => workspace.column(k, n));
  places.forEach((c, k) => {
    if (c >= size || !inGroup(c)) throw new Error('packed data have a column outside of the frame');
    decodeColumn(streams, columns, k, n);
    scatter(words, rows, c, columns[k]!);
    template[c] = 0;
  });
  fillConstants(words, rows, template);
}

/** Words that are the same in all rows; the others are 0 in the template, as they are in fresh memory. */
function fillConstants(words: Uint32Array, rows: readonly number[], template: Uint32Array): void {
  const places: number[] = [];
  template.forEach((value, c) => {
    if (value !== 0) places.push(c);
  });
  const at = Uint32Array.from(places);
  const values = at.map((c) => template[c]!);
  for (let r = 0; r < rows.length; r++) {
    const row = rows[r]!;
    for (let k = 0; k < at.length; k++) words[row + at[k]!] = values[k]!;
  }
}

function scatter(words: Uint32Array, rows: readonly number[], c: number, column: Uint32Array): void {
  for (let r = 0; r < rows.length; r++) words[rows[r]! + c] = column[r]!;
}
