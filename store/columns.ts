/**
 * Columns of u32 words, coded one by one: each is predicted from the row before or from another column of the same rows, and what the
 * prediction leaves is stored in as few bytes as the largest rest needs, byte plane by byte plane, for deflate to squeeze.
 */
import type { ByteReader, ByteWriter } from './bytes.ts';

/** Where columns go: what repeats, and the bytes that are noise, which are not worth a search for repetition. */
export interface Streams<T> {
  readonly plain: T;
  readonly noise: T;
}

/** How a column is predicted. Numbers are stored in traces. */
const Predict = {
  /** the value itself */
  NONE: 0,
  /** the row before */
  DELTA: 1,
  /** another column, same row */
  OTHER: 2,
  /** the row before plus another column of the row before: one area begins where the last one ended */
  CHAIN: 3,
  /** a list of values, rows are places in it */
  LIST: 4,
} as const;

/** How the rests are stored: 1 … 4 byte planes, or the few that are not 0. */
const SPARSE = 0;
/** Rests that are not 0, of so many rows, at most, for SPARSE. */
const SPARSE_SHARE = 16;
/** A byte plane with more bits of entropy per byte is noise. */
const NOISE_BITS = 4;
/** Bits of the number of planes; above them one bit per plane that is noise. */
const NOISE_SHIFT = 3;
/** Rows that are compared to find a column that another one follows. */
const SAMPLES = 24;
const LIST_LIMIT = 256;

/** Signed rests as small unsigned numbers: 0, -1, 1, -2 … */
const fold = (rest: number): number => ((rest << 1) ^ (rest >> 31)) >>> 0;
const unfold = (code: number): number => (code >>> 1) ^ -(code & 1);

const bytesOf = (code: number): number => (code < 0x100 ? (code === 0 ? 0 : 1) : code < 0x1_0000 ? 2 : code < 0x100_0000 ? 3 : 4);

/** How a column is coded. */
export interface Plan {
  readonly predict: number;
  /** index among the columns that vary, of OTHER and CHAIN */
  readonly other: number;
  /** bytes that the rests need, byte by byte */
  readonly cost: number;
  /** rows that it was made for */
  readonly rows: number;
}

/** The rests of a column under a prediction, into `rests`. */
function rest(plan: Plan, columns: readonly Uint32Array[], column: Uint32Array, n: number, rests: Uint32Array): void {
  const other = columns[plan.other];
  let before = 0;
  switch (plan.predict) {
    case Predict.DELTA:
      for (let i = 0; i < n; i++) {
        rests[i] = fold((column[i]! - before) | 0);
        before = column[i]!;
      }
      rests[0] = 0;
      return;
    case Predict.OTHER:
      for (let i = 0; i < n; i++) rests[i] = fold((column[i]! - other![i]!) | 0);
      return;
    case Predict.CHAIN:
      for (let i = 0; i < n; i++) {
        rests[i] = fold((column[i]! - before) | 0);
        before = (column[i]! + other![i]!) | 0;
      }
      rests[0] = 0;
      return;
    default:
      rests.set(column.subarray(0, n));
  }
}

function cost(rests: Uint32Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += bytesOf(rests[i]!);
  return sum;
}

/** Places and values of a column with few values; undefined where it has many. */
function listOf(column: Uint32Array, n: number, places: Uint32Array): number[] | undefined {
  const values: number[] = [];
  const known = new Map<number, number>();
  for (let i = 0; i < n; i++) {
    const value = column[i]!;
    let place = known.get(value);
    if (place === undefined) {
      place = values.length;
      if (place === LIST_LIMIT || (place + 1) * 8 > n) return undefined;
      known.set(value, place);
      values.push(value);
    }
    places[i] = place;
  }
  return values;
}

const rests = new Uint32Array(65_536);
const best = new Uint32Array(65_536);

/** The most rows that a column may have. */
export const COLUMN_ROWS = rests.length;

/** Bits that sampled rests need together. */
function sampled(n: number, restOf: (row: number) => number): number {
  const stride = Math.max(1, Math.floor(n / SAMPLES));
  let bits = 0;
  for (let i = 1; i < n; i += stride) bits += 32 - Math.clz32(fold(restOf(i) | 0));
  return bits;
}

type Guess = (column: Uint32Array, other: Uint32Array, row: number) => number;
const other: Guess = (column, o, row) => column[row]! - o[row]!;
const chain: Guess = (column, o, row) => column[row]! - column[row - 1]! - o[row - 1]!;

/** Columns before one that are compared with it, whatever they hold; others only where they seem to be the same. */
const REACH = 48;

/** May column k help to predict column `at`? With thousands of columns not all pairs can be tried. */
function plausible(columns: readonly Uint32Array[], k: number, at: number, n: number): boolean {
  if (Math.abs(at - k) <= REACH) return true;
  const [a, b] = [columns[at]!, columns[k]!];
  return a[0] === b[0] && a[n - 1] === b[n - 1] && a[n >> 1] === b[n >> 1];
}

/** The column, of the first `known`, that a guess leaves the least with of column `at`. */
function nearest(columns: readonly Uint32Array[], known: number, at: number, n: number, guess: Guess): { at: number; bits: number } {
  let best = { at: -1, bits: Number.POSITIVE_INFINITY };
  const column = columns[at]!;
  for (let k = 0; k < known; k++) {
    if (k === at || !plausible(columns, k, at, n)) continue;
    const candidate = columns[k]!;
    const bits = sampled(n, (row) => guess(column, candidate, row));
    if (bits < best.bits) best = { at: k, bits };
  }
  return best;
}

/** Is what a plan leaves still about as little as when it was made? */
const holds = (plan: Plan, cost: number, n: number): boolean => cost * plan.rows * 4 <= plan.cost * n * 5 + plan.rows * n;

/**
 * Codes columns[index], which may lean on the columns before it. `last`: how it was coded in an earlier chunk, which saves
 * the search for the best way where that still does. Gives the way it was coded.
 */
export function encodeColumn(streams: Streams<ByteWriter>, columns: readonly Uint32Array[], index: number, n: number, last?: Plan): Plan {
  const column = columns[index]!;
  let plan = last === undefined ? undefined : again(last, columns, column, n);
  plan ??= search(columns, index, n);
  const out = streams.plain;
  out.byte(plan.predict);
  if (plan.predict === Predict.LIST) {
    const values = listOf(column, n, best)!;
    out.varint(values.length);
    for (const value of values) out.u32(value);
  }
  if (plan.predict === Predict.OTHER || plan.predict === Predict.CHAIN) out.varint(plan.other);
  if (plan.predict === Predict.DELTA || plan.predict === Predict.CHAIN) out.u32(column[0]!);
  writeRests(streams, best, n);
  return plan;
}

/** The plan for these rows, its rests in `best`; undefined where it does not suit them. */
function again(last: Plan, columns: readonly Uint32Array[], column: Uint32Array, n: number): Plan | undefined {
  if (last.predict === Predict.LIST) return listOf(column, n, best) === undefined ? undefined : last;
  rest(last, columns, column, n, best);
  return holds(last, cost(best, n), n) ? last : undefined;
}

/** The best plan for a column, its rests in `best`. */
function search(columns: readonly Uint32Array[], index: number, n: number): Plan {
  const column = columns[index]!;
  let plan: Plan = { predict: Predict.NONE, other: -1, cost: Number.POSITIVE_INFINITY, rows: n };
  const consider = (predict: number, other: number): void => {
    const next = { predict, other, cost: 0, rows: n };
    rest(next, columns, column, n, rests);
    next.cost = cost(rests, n);
    if (next.cost >= plan.cost) return;
    plan = next;
    best.set(rests.subarray(0, n));
  };
  const twin = nearest(columns, index, index, n, other);
  if (twin.at >= 0) consider(Predict.OTHER, twin.at);
  if (plan.cost > 0) {
    consider(Predict.NONE, -1);
    consider(Predict.DELTA, -1);
    const link = nearest(columns, index, index, n, chain);
    if (link.at >= 0) consider(Predict.CHAIN, link.at);
  }
  if (plan.cost > n + (n >> 2) && listOf(column, n, rests) !== undefined) return { ...plan, predict: Predict.LIST };
  return plan;
}

const histogram = new Uint32Array(256);

/** Bits per byte of a plane (bits shift … shift + 7 of the values), by the frequency of its bytes. */
function entropy(values: Uint32Array, n: number, shift: number): number {
  histogram.fill(0);
  for (let i = 0; i < n; i++) histogram[(values[i]! >>> shift) & 0xff]!++;
  let bits = 0;
  for (let k = 0; k < 256; k++) {
    const count = histogram[k]!;
    if (count > 0) bits -= count * Math.log2(count / n);
  }
  return bits / n;
}

function writeRests(streams: Streams<ByteWriter>, values: Uint32Array, n: number): void {
  const out = streams.plain;
  let any = 0;
  let count = 0;
  for (let i = 0; i < n; i++) {
    const value = values[i]!;
    any |= value;
    if (value !== 0) count++;
  }
  if (count * SPARSE_SHARE <= n) {
    out.byte(SPARSE);
    out.varint(count);
    for (let i = 0, last = 0; i < n; i++) {
      if (values[i] === 0) continue;
      out.varint(i - last);
      out.varint(values[i]!);
      last = i;
    }
    return;
  }
  const planes = bytesOf(any >>> 0);
  let noisy = 0;
  for (let plane = 0; plane < planes; plane++) if (entropy(values, n, 8 * plane) > NOISE_BITS) noisy |= 1 << plane;
  out.byte(planes | (noisy << NOISE_SHIFT));
  for (let plane = 0; plane < planes; plane++) {
    const shift = 8 * plane;
    const to = (noisy >>> plane) & 1 ? streams.noise : out;
    const start = to.reserve(n);
    const { bytes } = to;
    for (let i = 0; i < n; i++) bytes[start + i] = values[i]! >>> shift;
  }
}

/** Decodes columns[index] from the columns before it. Throws a plain Error where the data are not ours. */
export function decodeColumn(streams: Streams<ByteReader>, columns: readonly Uint32Array[], index: number, n: number): void {
  const input = streams.plain;
  const column = columns[index]!;
  const predict = input.byte();
  let other: Uint32Array | undefined;
  let list: number[] | undefined;
  if (predict === Predict.OTHER || predict === Predict.CHAIN) {
    const from = input.varint();
    if (from >= index) throw new Error('a packed column leans on a later one');
    other = columns[from]!;
  } else if (predict === Predict.LIST) {
    const count = input.varint();
    if (count > LIST_LIMIT) throw new Error('a packed list is too long');
    list = Array.from({ length: count }, () => input.u32());
  } else if (predict > Predict.LIST) throw new Error('a packed column is of an unknown kind');
  const start = predict === Predict.DELTA || predict === Predict.CHAIN ? input.u32() : 0;
  readRests(streams, column, n);
  if (list !== undefined) for (let i = 0; i < n; i++) column[i] = list[column[i]!] ?? 0;
  else if (predict !== Predict.NONE) restore(predict, column, other, start, n);
}

function restore(predict: number, column: Uint32Array, other: Uint32Array | undefined, start: number, n: number): void {
  if (predict === Predict.OTHER) {
    for (let i = 0; i < n; i++) column[i] = other![i]! + unfold(column[i]!);
    return;
  }
  let before = start | 0;
  if (predict === Predict.DELTA) {
    for (let i = 0; i < n; i++) {
      before = (before + unfold(column[i]!)) | 0;
      column[i] = before;
    }
    return;
  }
  for (let i = 0; i < n; i++) {
    const value = (before + unfold(column[i]!)) | 0;
    column[i] = value;
    before = (value + other![i]!) | 0;
  }
}

function readRests(streams: Streams<ByteReader>, column: Uint32Array, n: number): void {
  const input = streams.plain;
  const kinds = input.byte();
  const planes = kinds & ((1 << NOISE_SHIFT) - 1);
  if (planes > 4) throw new Error('a packed column has too many planes');
  if (planes === SPARSE) {
    column.fill(0, 0, n);
    let row = 0;
    for (let count = input.varint(); count > 0; count--) {
      row += input.varint();
      if (row >= n) throw new Error('a packed column is too long');
      column[row] = input.varint();
    }
    return;
  }
  for (let plane = 0; plane < planes; plane++) {
    const from = (kinds >>> (NOISE_SHIFT + plane)) & 1 ? streams.noise : input;
    const at = from.take(n);
    const { bytes } = from;
    const shift = 8 * plane;
    if (plane === 0) for (let i = 0; i < n; i++) column[i] = bytes[at + i]!;
    else for (let i = 0; i < n; i++) column[i]! |= bytes[at + i]! << shift;
  }
}

/**
 * The order to code columns in, so that one that continues another (an address that goes on by a length) comes after it, wherever
 * the struct has it.
 */
export function codingOrder(columns: readonly Uint32Array[], n: number): number[] {
  const first: number[] = [];
  const later: number[] = [];
  columns.forEach((column, index) => {
    const alone = sampled(n, (row) => column[row]! - column[row - 1]!);
    const linked = nearest(columns, columns.length, index, n, chain);
    (linked.bits * 2 < alone ? later : first).push(index);
  });
  return [...first, ...later];
}
