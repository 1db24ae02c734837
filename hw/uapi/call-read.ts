/**
 * A call's JSON (text.ts callJson) back to bytes. What is not named is zero, in `out` as it was before the call. Lengths are
 * those that the fields say; `@bytes`, `@20` and `tail` say what no field does.
 */
import { decodeStruct, fieldsOf, nestedLength, readField, type Values } from './codec.ts';
import { bytesOf, JsonError, numberIn, shown, wordOf } from './json-value.ts';
import type { UapiTable } from './table.ts';
import { type Command, type Field, SCALAR_BYTES, type Scalar, type Struct } from './types.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** Bytes of the longest struct or buffer that a line may ask for. */
const MOST_BYTES = 64 * 2 ** 20;

export const isObject = (json: unknown): json is JsonObject => typeof json === 'object' && json !== null && !Array.isArray(json);

/** Where a struct is written: what names its fields go by, and what it is beside them. */
interface Writing {
  readonly table: UapiTable;
  readonly struct: Struct;
  readonly command: Command | undefined;
  /** as messages call it: `args`, `nested.data_uptr.in[3]` */
  readonly where: string;
  readonly bytes: Uint8Array;
}

const labelsKnown = new WeakMap<Struct, Map<string | undefined, ReadonlyMap<string, Field>>>();

/** Fields by the names that JSON has for them. */
function labelsOf(struct: Struct, arm: string | undefined): ReadonlyMap<string, Field> {
  const arms = labelsKnown.get(struct) ?? new Map<string | undefined, ReadonlyMap<string, Field>>();
  labelsKnown.set(struct, arms);
  let labels = arms.get(arm);
  if (labels === undefined) {
    labels = new Map(fieldsOf(struct, arm).map((f) => [f.label, f]));
    arms.set(arm, labels);
  }
  return labels;
}

// ---- numbers ----

/** A number as scalar-text.ts numberJson tells it: constants by name, flags as a list. */
export function fieldNumber(table: UapiTable, json: unknown, field: Pick<Field, 'type' | 'enum' | 'flags'>, where: string): bigint {
  const bits = 8 * SCALAR_BYTES[field.type];
  if (typeof json === 'string' && !/^0x/i.test(json)) return constantOf(table, json, [field.enum, field.flags], where);
  if (!Array.isArray(json)) return wordOf(json, where, bits);
  const value = json.reduce((all: bigint, one: unknown) => all | fieldNumber(table, one, field, where), 0n);
  return wordOf(value, where, bits);
}

function constantOf(table: UapiTable, name: string, enums: readonly (string | undefined)[], where: string): bigint {
  for (const e of enums) {
    const value = e === undefined ? undefined : table.enum(e)?.members.get(name);
    if (value !== undefined) return BigInt(value);
  }
  const known = enums.find((e) => e !== undefined);
  throw new JsonError(
    known === undefined
      ? `${where}: ${shown(name)} is no number; write it as a number, or as "0x…"`
      : `${where}: ${known} of ${table.dialect} has no ${shown(name)}; write one of its constants, or a number`,
  );
}

/** A number as it is written most: whole, and of 32 bits. → false: another one */
function putPlain(bytes: Uint8Array, type: Scalar, at: number, json: unknown): boolean {
  const size = SCALAR_BYTES[type];
  const value = typeof json === 'number' ? json : typeof json === 'string' && PLAIN_HEX.test(json) ? Number(json) : -1;
  if (!Number.isInteger(value) || value < 0 || value > (size >= 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff)) return false;
  for (let i = 0; i < size; i++) bytes[at + i] = i < 4 ? (value >>> (8 * i)) & 0xff : 0;
  return true;
}
const PLAIN_HEX = /^0x[0-9a-f]{1,8}$/;

function putNumber(bytes: Uint8Array, type: Scalar, at: number, value: bigint): void {
  let rest = value;
  for (let i = 0; i < SCALAR_BYTES[type]; i++) {
    bytes[at + i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

function fieldBytes(w: Writing, field: Field, json: unknown): Uint8Array {
  const bytes = new Uint8Array(field.size);
  if (field.count === undefined && putPlain(bytes, field.type, 0, json)) return bytes;
  const where = `${w.where}.${field.label}`;
  const step = SCALAR_BYTES[field.type];
  const list = field.count === undefined ? [json] : json;
  if (!Array.isArray(list) || list.length > (field.count ?? 1))
    throw new JsonError(`${where}: ${shown(json)} is no list of ${field.count} numbers`);
  list.forEach((one: unknown, i) => {
    if (!putPlain(bytes, field.type, i * step, one)) putNumber(bytes, field.type, i * step, fieldNumber(w.table, one, field, where));
  });
  return bytes;
}

// ---- structs ----

const sharing = new WeakMap<Struct, boolean>();
/** Whether there are bytes that have two names. */
function sharesBytes(struct: Struct): boolean {
  let shares = sharing.get(struct);
  if (shares === undefined) {
    shares = struct.fields.some((f) => f.union !== undefined);
    sharing.set(struct, shares);
  }
  return shares;
}

/** Puts what the items say into `w.bytes`. */
function fill(w: Writing, json: JsonObject, arm: string | undefined): void {
  const labels = labelsOf(w.struct, arm);
  const owners = sharesBytes(w.struct) ? new Map<number, string>() : undefined;
  for (const name of Object.keys(json)) {
    const value = json[name];
    const field = labels.get(name);
    if (field !== undefined) put(w, owners, name, field.offset, fieldBytes(w, field, value));
    else if (name === 'tail') put(w, owners, name, w.struct.size, rawOf(value, `${w.where}.tail`));
    else if (name === w.struct.trailing?.name) put(w, owners, name, w.struct.trailing.offset, trailingBytes(w, value));
    else if (/^@\d{1,9}$/.test(name)) put(w, owners, name, Number(name.slice(1)), rawOf(value, `${w.where}.${name}`));
    else if (name !== '@bytes') throw new JsonError(`${w.where}: ${w.struct.name} has no field ${shown(name)}`);
  }
}

const rawOf = (json: unknown, where: string): Uint8Array => (isObject(json) ? bytesOf(json.bytes, where) : bytesOf(undefined, where));

/** Two names of the same bytes may not say two things. */
function put(w: Writing, owners: Map<number, string> | undefined, name: string, at: number, bytes: Uint8Array): void {
  if (at + bytes.length > w.bytes.length) {
    if (bytes.some((b, i) => b !== 0 && at + i >= w.bytes.length))
      throw new JsonError(
        `${w.where}.${name}: lies behind the end of the ${w.bytes.length} bytes that there are; make ${sizeName(w.struct)} larger`,
      );
  }
  for (let i = 0; i < bytes.length && at + i < w.bytes.length; i++) {
    const owner = owners?.get(at + i);
    if (owner !== undefined && w.bytes[at + i] !== bytes[i])
      throw new JsonError(`${w.where}: ${owner} and ${name} are the same bytes and differ; change both`);
    owners?.set(at + i, name);
    w.bytes[at + i] = bytes[i]!;
  }
}

const isLength = (field: Field | undefined): boolean => field?.offset === 0 && (field.name === 'size' || field.name === 'argsz');
const sizeName = (struct: Struct): string => (isLength(struct.fields[0]) ? struct.fields[0]!.label : '@bytes');

/** `least`: what there has to be where nothing says how many bytes. */
function lengthOf(json: JsonObject, struct: Struct, where: string, least: number): number {
  const said = json['@bytes'];
  if (said !== undefined) return numberIn(said, `${where}.@bytes`, 0, MOST_BYTES);
  const head = struct.fields[0];
  const size = head !== undefined && isLength(head) && least === struct.size ? json[head.label] : undefined;
  return size === undefined ? least : numberIn(size, `${where}.${head!.label}`, 0, MOST_BYTES);
}

function trailingBytes(w: Writing, json: unknown): Uint8Array {
  const { trailing } = w.struct;
  const where = `${w.where}.${trailing!.name}`;
  if (trailing!.payload === true) {
    const values = decodeStruct(w.struct, w.bytes).values;
    const row = w.table.payloads(w.command?.name ?? '', trailing!.name).find((p) => (Number(values[p.by] ?? 0) & p.mask) >>> 0 === p.value);
    if (row?.struct !== undefined && isObject(json)) return structBytes(w.table, row.struct, json, where);
    return numbersOf(w.table, json, row?.scalar ?? 'u8', where);
  }
  const element = trailing!.struct === undefined ? undefined : w.table.struct(trailing!.struct);
  if (element === undefined) return numbersOf(w.table, json, trailing!.type ?? 'u8', where);
  return listBytes(w.table, element, trailing!.stride, json, where);
}

/** Numbers of one type, one after the other. */
export function numbersOf(table: UapiTable, json: unknown, type: Scalar, where: string): Uint8Array {
  if (!Array.isArray(json)) throw new JsonError(`${where}: ${shown(json)} is no list of numbers`);
  const bytes = new Uint8Array(json.length * SCALAR_BYTES[type]);
  json.forEach((one: unknown, i) => {
    putNumber(bytes, type, i * SCALAR_BYTES[type], fieldNumber(table, one, { type }, where));
  });
  return bytes;
}

/** A struct that is no command's own. */
export function structBytes(table: UapiTable, struct: Struct, json: unknown, where: string, length?: number): Uint8Array {
  if (!isObject(json)) throw new JsonError(`${where}: ${shown(json)} is no ${struct.name}`);
  const trailing = struct.trailing === undefined ? undefined : json[struct.trailing.name];
  const more = Array.isArray(trailing) ? trailing.length * struct.trailing!.stride : 0;
  const bytes = new Uint8Array(lengthOf(json, struct, where, length ?? struct.size + more));
  fill({ table, struct, command: undefined, where, bytes }, json, undefined);
  return bytes;
}

/** Structs of `each` bytes, one after the other; at the end `{bytes}` that are no whole one. */
export function listBytes(table: UapiTable, struct: Struct, each: number, json: unknown, where: string): Uint8Array {
  if (!Array.isArray(json)) throw new JsonError(`${where}: ${shown(json)} is no list of ${struct.name}`);
  const pieces = json.map((one: unknown, i) =>
    isObject(one) && Object.hasOwn(one, 'bytes') && !struct.byName.has('bytes')
      ? rawOf(one, `${where}[${i}]`)
      : structBytes(table, struct, one, `${where}[${i}]`, each),
  );
  const bytes = new Uint8Array(pieces.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

// ---- calls ----

function armOf(table: UapiTable, struct: Struct, json: JsonObject, before: Uint8Array | undefined): string | undefined {
  const op = struct.byName.get('op');
  if (op?.enum !== 'IOMMU_TEST_OP') return undefined;
  const said = json[op.label];
  if (said === undefined && (before === undefined || before.length < op.offset + op.size)) return undefined;
  const value = said === undefined ? readField(op, before!) : fieldNumber(table, said, op, 'args.op');
  return table.testOp(Number(value))?.arm;
}

/** A command's struct from `args`; from `out` with `before`, the struct as the kernel found it. Throws a JsonError. */
export function commandBytes(table: UapiTable, command: Command, json: unknown, where: string, before?: Uint8Array): Uint8Array {
  const { struct } = command;
  if (struct === undefined || !isObject(json))
    throw new JsonError(`${where}: ${shown(json)} is no ${struct?.name ?? `argument of ${command.name}`}`);
  const length =
    before === undefined
      ? lengthOf(json, struct, where, struct.size)
      : numberIn(json['@bytes'] ?? before.length, `${where}.@bytes`, 0, MOST_BYTES);
  const bytes = new Uint8Array(length);
  const head = struct.fields[0];
  if (before !== undefined) bytes.set(before.subarray(0, length));
  else if (head !== undefined && isLength(head) && json[head.label] === undefined && length >= head.size)
    putNumber(bytes, head.type, 0, BigInt(length));
  fill({ table, struct, command, where, bytes }, json, armOf(table, struct, json, before));
  return bytes;
}

/** The pointer that a nested buffer's JSON is named after; undefined where the struct has none of this name. */
export function pointerNamed(table: UapiTable, command: Command, before: Uint8Array, label: string): Field | undefined {
  const { struct } = command;
  const field = struct === undefined ? undefined : labelsOf(struct, armOf(table, struct, {}, before)).get(label);
  return field?.nested === undefined ? undefined : field;
}
/** The other way round: what the pointer at an offset is called. */
export function pointerAt(table: UapiTable, command: Command, before: Uint8Array, slot: number): string | undefined {
  const { struct } = command;
  if (struct === undefined) return undefined;
  for (const [label, f] of labelsOf(struct, armOf(table, struct, {}, before)))
    if (f.offset === slot && f.nested !== undefined) return label;
  return undefined;
}

/**
 * What a pointer points to. `values`: the fields of the struct at that time; `asked`: those before the call. Throws a JsonError.
 */
export function bufferBytes(
  table: UapiTable,
  command: Command,
  field: Field,
  json: unknown,
  values: Values,
  asked: Values,
  where: string,
): Uint8Array {
  if (isObject(json) && typeof json.bits === 'string') return bytesOf(json.bits, where);
  if (isObject(json) && typeof json.bytes === 'string') return bytesOf(json.bytes, where);
  const { nested } = field;
  const length = (): number => Number(BigInt.asUintN(53, nestedLength(nested!, asked)));
  if (nested?.of === 'struct')
    return listBytes(table, structOf(table.struct(nested.struct ?? ''), where), table.struct(nested.struct!)!.size, json, where);
  if (nested?.of !== 'payload' && nested?.of !== 'entries') throw new JsonError(`${where}: ${shown(json)} is no {"bytes": "…"}`);
  const each = nested.entry === undefined ? undefined : Number(values[nested.entry] ?? 0);
  const type = Number(values[table.payloads(command.name, field.name)[0]?.by ?? ''] ?? 0);
  const struct = structOf(table.payload(command, field.name, type, each), where);
  if (each !== undefined) return listBytes(table, struct, numberIn(each, `${where}: length of an entry`, 1, MOST_BYTES), json, where);
  const bytes = isObject(json) && json['@bytes'] !== undefined ? undefined : numberIn(length(), `${where}: its length`, 0, MOST_BYTES);
  return structBytes(table, struct, json, where, bytes ?? numberIn((json as JsonObject)['@bytes'], `${where}.@bytes`, 0, MOST_BYTES));
}

function structOf(struct: Struct | undefined, where: string): Struct {
  if (struct === undefined) throw new JsonError(`${where}: what the call points to has no fields in this dialect; write {"bytes": "…"}`);
  return struct;
}
