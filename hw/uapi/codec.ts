/**
 * Bytes to values and back, for any struct of the table and any length: the bytes come from strangers. Nothing is lost:
 * what lies beyond the struct, between its fields, or in a field that the length cuts, is kept, so that encoding what was
 * decoded gives the same bytes.
 */
import type { UapiTable } from './table.ts';
import { type Command, type Field, type Nested, SCALAR_BYTES, type Struct, type TestOp } from './types.ts';

/** u64, s64 and le64 are bigint, everything shorter is number; arrays are arrays of those. */
export type Value = number | bigint | readonly (number | bigint)[];
export type Values = Readonly<Record<string, Value>>;

/** Bytes that belong to no decoded field and are not all zero. */
export interface Gap {
  /** from the start of the struct */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Decoded {
  readonly struct: Struct;
  /** by field name, in memory order; only fields that are there whole */
  readonly values: Values;
  /** bytes beyond the struct: a newer kernel's fields, or its trailing array */
  readonly tail: Uint8Array;
  /** fields that the length does not reach (or cuts); the kernel reads them as zero */
  readonly missing: readonly string[];
  /** padding, and a union's bytes outside the arm in use, where they are not zero */
  readonly gaps: readonly Gap[];
  /** bytes that were given */
  readonly length: number;
  /** of the struct's union */
  readonly arm: string | undefined;
}

const EMPTY = new Uint8Array(0);
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function readScalar(view: DataView, type: Field['type'], at: number): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 's32':
      return view.getInt32(at, true);
    case 'u64':
    case 'le64':
      return view.getBigUint64(at, true);
    case 's64':
      return view.getBigInt64(at, true);
  }
}

function writeScalar(view: DataView, type: Field['type'], at: number, value: number | bigint): void {
  switch (SCALAR_BYTES[type]) {
    case 1:
      view.setUint8(at, Number(BigInt.asUintN(8, BigInt(value))));
      break;
    case 2:
      view.setUint16(at, Number(BigInt.asUintN(16, BigInt(value))), true);
      break;
    case 4:
      view.setUint32(at, Number(BigInt.asUintN(32, BigInt(value))), true);
      break;
    case 8:
      view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
      break;
  }
}

/** One field's value; the bytes must reach it. */
export const readField = (field: Field, bytes: Uint8Array): Value => fieldIn(viewOf(bytes), field);

function fieldIn(view: DataView, field: Field): Value {
  if (field.count === undefined) return readScalar(view, field.type, field.offset);
  const step = SCALAR_BYTES[field.type];
  return Array.from({ length: field.count }, (_, i) => readScalar(view, field.type, field.offset + i * step));
}

const fieldsKnown = new WeakMap<Struct, Map<string | undefined, readonly Field[]>>();

/** Fields that count for an arm of the struct's union; without one, those outside it. */
export function fieldsOf(struct: Struct, arm?: string): readonly Field[] {
  let arms = fieldsKnown.get(struct);
  if (arms === undefined) {
    arms = new Map();
    fieldsKnown.set(struct, arms);
  }
  let fields = arms.get(arm);
  if (fields === undefined) {
    fields = struct.fields.filter((f) => f.arm === undefined || f.arm === arm);
    arms.set(arm, fields);
  }
  return fields;
}

const holesWhole = new WeakMap<Struct, Map<string | undefined, readonly number[]>>();

/**
 * Offsets of the bytes of a struct that belong to no field which `length` bytes hold whole: padding, a union's bytes outside
 * the arm in use, a field that the length cuts.
 */
export function holesOf(struct: Struct, arm: string | undefined, length: number): readonly number[] {
  const whole = length >= struct.size;
  const known = whole ? holesWhole.get(struct)?.get(arm) : undefined;
  if (known !== undefined) return known;
  const end = Math.min(length, struct.size);
  const used = new Uint8Array(end);
  for (const f of fieldsOf(struct, arm)) if (f.offset + f.size <= end) used.fill(1, f.offset, f.offset + f.size);
  const holes = Array.from(used.keys()).filter((at) => used[at] === 0);
  if (whole) {
    const arms = holesWhole.get(struct) ?? new Map<string | undefined, readonly number[]>();
    holesWhole.set(struct, arms.set(arm, holes));
  }
  return holes;
}

/** Runs of those bytes that differ from what they are taken for where nothing is said: `before`, or zero. */
export function gapsOf(bytes: Uint8Array, holes: readonly number[], before?: Uint8Array): Gap[] {
  const gaps: Gap[] = [];
  const said = (at: number): boolean => bytes[at] !== (before?.[at] ?? 0);
  for (let i = 0; i < holes.length; i++) {
    const from = holes[i]!;
    if (!said(from)) continue;
    let to = from + 1;
    while (holes[i + 1] === to && said(to)) {
      i++;
      to++;
    }
    gaps.push({ offset: from, bytes: bytes.slice(from, to) });
  }
  return gaps;
}

/**
 * Decodes as much as is there; never throws.
 * @param arm which arm of the struct's union is in use (IOMMU_TEST_CMD); without it the union's bytes are gaps
 */
export function decodeStruct(struct: Struct, bytes: Uint8Array, arm?: string): Decoded {
  const values: Record<string, Value> = {};
  const missing: string[] = [];
  const view = viewOf(bytes);
  for (const field of fieldsOf(struct, arm)) {
    if (field.offset + field.size > bytes.length) missing.push(field.name);
    else values[field.name] = fieldIn(view, field);
  }
  return {
    struct,
    values,
    missing,
    gaps: gapsOf(bytes, holesOf(struct, arm, bytes.length)),
    arm,
    tail: bytes.length > struct.size ? bytes.slice(struct.size) : EMPTY,
    length: bytes.length,
  };
}

export interface EncodeOptions {
  /** bytes wanted, where the struct is to be shorter than it is; fields beyond are left out */
  readonly length?: number;
  readonly gaps?: readonly Gap[];
}

/**
 * Encodes values; what is not named is zero, what is too big is cut to the field's width. `encodeStruct(d.struct, d.values,
 * d.tail, d)` gives the bytes that `d` was decoded from.
 */
export function encodeStruct(struct: Struct, values: Values, tail: Uint8Array = EMPTY, options: EncodeOptions = {}): Uint8Array {
  const length = Math.min(options.length ?? struct.size, struct.size);
  const bytes = new Uint8Array(tail.length > 0 ? struct.size + tail.length : length);
  const view = viewOf(bytes);
  for (const field of struct.fields) {
    const value = values[field.name];
    if (value === undefined || field.offset + field.size > bytes.length) continue;
    const list = typeof value === 'object' ? value : [value];
    const step = SCALAR_BYTES[field.type];
    for (let i = 0; i < Math.min(list.length, field.count ?? 1); i++) writeScalar(view, field.type, field.offset + i * step, list[i]!);
  }
  for (const gap of options.gaps ?? [])
    bytes.set(gap.bytes.subarray(0, Math.max(0, bytes.length - gap.offset)), Math.min(gap.offset, bytes.length));
  bytes.set(tail, bytes.length - tail.length);
  return bytes;
}

/** IOMMU_TEST_CMD's operation, from its bytes; undefined for other commands, a short struct, an unknown op. */
export function testOpOf(table: UapiTable, command: Command, bytes: Uint8Array): TestOp | undefined {
  const op = command.struct?.byName.get('op');
  if (op?.enum !== 'IOMMU_TEST_OP' || bytes.length < op.offset + op.size) return undefined;
  return table.testOp(Number(readField(op, bytes)));
}

/** A command's struct, with the arm of the union that its op selects. */
export function decodeCommand(table: UapiTable, command: Command, bytes: Uint8Array): Decoded | undefined {
  return command.struct === undefined ? undefined : decodeStruct(command.struct, bytes, testOpOf(table, command, bytes)?.arm);
}

/**
 * A command's struct from values, its length field (`size`, `argsz`) set to the length unless it is given.
 * @returns empty for a command without a struct
 */
export function encodeCommand(command: Command, values: Values, tail?: Uint8Array, options: EncodeOptions = {}): Uint8Array {
  const { struct } = command;
  if (struct === undefined) return EMPTY;
  const bytes = encodeStruct(struct, values, tail, options);
  const head = struct.fields[0];
  if (head !== undefined && values[head.name] === undefined && bytes.length >= 4) viewOf(bytes).setUint32(0, bytes.length, true);
  return bytes;
}

const asBig = (value: Value | undefined): bigint => (typeof value === 'object' || value === undefined ? 0n : BigInt(value));

/** Bytes that a pointer points to, as its row's rule says; not bounded, so a caller's nonsense gives a huge number. */
export function nestedLength(nested: Nested, values: Values): bigint {
  const { length } = nested;
  switch (length.rule) {
    case 'field':
      return asBig(values[length.field]) * BigInt(length.times);
    case 'product':
      return asBig(values[length.a]) * asBig(values[length.b]);
    case 'fixed':
      return BigInt(length.bytes);
    case 'bitmap': {
      const page = asBig(values[length.page]);
      if (page === 0n) return 0n;
      const bits = (asBig(values[length.length]) + page - 1n) / page;
      return ((bits + 63n) / 64n) * 8n;
    }
  }
}

/** Whether a pointer means anything in this call: its condition holds. */
export function nestedApplies(nested: Nested, values: Values): boolean {
  const { when } = nested;
  if (when === undefined) return true;
  return (Number(asBig(values[when.field])) & when.mask) >>> 0 === when.equals;
}

/** A buffer of many structs of one size: the entries, and what is left when the last one is not whole. */
export function splitEntries(bytes: Uint8Array, each: number): { readonly entries: readonly Uint8Array[]; readonly rest: Uint8Array } {
  if (!Number.isSafeInteger(each) || each <= 0) return { entries: [], rest: bytes };
  const entries: Uint8Array[] = [];
  let at = 0;
  for (; at + each <= bytes.length; at += each) entries.push(bytes.subarray(at, at + each));
  return { entries, rest: bytes.subarray(at) };
}

/** One capability of a chain. */
export interface Capability {
  /** from the start of the whole answer */
  readonly offset: number;
  readonly id: number;
  readonly version: number;
  /** undefined for an id that is not known; the bytes are there all the same */
  readonly struct: Struct | undefined;
  /** from its header up to the next capability that follows it in memory, or the end */
  readonly bytes: Uint8Array;
}

/** More than any driver has; a chain that is longer is a lie. */
const CHAIN_MAX = 64;

/**
 * Walks a chain of VFIO capabilities. `offset` and every `next` count from the start of the answer. A chain that leaves the
 * answer or comes back to itself ends there.
 */
export function decodeChain(table: UapiTable, chain: string, answer: Uint8Array, offset: number): readonly Capability[] {
  const view = viewOf(answer);
  const starts: number[] = [];
  for (
    let at = offset;
    at !== 0 && at + 8 <= answer.length && starts.length < CHAIN_MAX && !starts.includes(at);
    at = view.getUint32(at + 4, true)
  ) {
    starts.push(at);
  }
  const sorted = [...starts].sort((a, b) => a - b);
  return starts.map((at) => {
    const id = view.getUint16(at, true);
    const end = sorted[sorted.indexOf(at) + 1] ?? answer.length;
    return { offset: at, id, version: view.getUint16(at + 2, true), struct: table.capability(chain, id), bytes: answer.subarray(at, end) };
  });
}
