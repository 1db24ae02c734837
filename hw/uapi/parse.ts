/**
 * The text form of a call back to its bytes: parseCall(printCall(call, 'full')) gives the bytes of `call`. Text that a person
 * has changed works too: what is not named is zero, in the part after the arrow as it was before.
 */
import { decodeStruct, fieldsOf, nestedLength, type Values } from './codec.ts';
import { parseWord, rangeOf } from './schema.ts';
import type { UapiTable } from './table.ts';
import { type Entry, Reader, TextError, type Tree, type Word } from './text-tree.ts';
import { type Command, type Field, SCALAR_BYTES, type Scalar, type Struct, type Target } from './types.ts';

export interface ParsedCall {
  readonly target: Target;
  readonly request: number;
  readonly in: Uint8Array | undefined;
  readonly out: Uint8Array | undefined;
  readonly arg: bigint | undefined;
  /** what pointers point to, by the offset of the pointer in the struct */
  readonly nestedIn: ReadonlyMap<number, Uint8Array>;
  readonly nestedOut: ReadonlyMap<number, Uint8Array>;
}

export type ParseResult =
  | { readonly ok: true; readonly call: ParsedCall /** characters read */; readonly end: number }
  | { readonly ok: false; readonly error: string /** where, in characters from 0 */; readonly at: number };

/** No struct or buffer of a call is longer. */
const BYTES_MAX = 1 << 24;

/** Reads what stands between the parentheses of `ioctl(fd, …)`, from `from` on; the rest of the text is the caller's. */
export function parseCall(table: UapiTable, target: Target, text: string, from = 0): ParseResult {
  const reader = new Reader(text, from);
  try {
    const name = reader.match(/[A-Za-z_]\w*|0x[0-9a-fA-F]{1,8}/y) ?? reader.fail('the name or number of an ioctl expected');
    return { ok: true, call: parseArgument(table, target, name, reader), end: reader.at };
  } catch (error) {
    if (error instanceof TextError) return { ok: false, error: error.message, at: error.at };
    throw error;
  }
}

function parseArgument(table: UapiTable, target: Target, name: string, reader: Reader): ParsedCall {
  const command = name.startsWith('0x') ? undefined : (table.byName(name) ?? reader.fail(`${table.dialect} has no ${name}`));
  const request = command?.request ?? Number(name);
  const none: ParsedCall = { target, request, in: undefined, out: undefined, arg: undefined, nestedIn: new Map(), nestedOut: new Map() };
  if (!reader.take(', ')) return none;
  if (command === undefined) return parseRaw(reader, none);
  const tree = reader.value();
  if (command.struct === undefined) return parsePlain(table, command, tree, none);
  if (tree.kind === 'unknown') return none;
  const before = new Encoder(table, command).command(command.struct, entriesOf(tree), undefined);
  if (!reader.take(' => ')) return { ...none, in: before.bytes, out: before.bytes.slice(), nestedIn: before.nested };
  const after = reader.value();
  if (after.kind === 'unknown') return { ...none, in: before.bytes, nestedIn: before.nested };
  const written = new Encoder(table, command).command(command.struct, entriesOf(after), before.bytes);
  return { ...none, in: before.bytes, out: written.bytes, nestedIn: before.nested, nestedOut: written.nested };
}

/** Bytes and buffers by offset, as style raw prints them, or a word. */
function parseRaw(reader: Reader, none: ParsedCall): ParsedCall {
  const side = (): readonly [Uint8Array | undefined, Map<number, Uint8Array>] => {
    const nested = new Map<number, Uint8Array>();
    let bytes: Uint8Array | undefined;
    do {
      if (reader.text.startsWith('@', reader.at)) {
        const { name, value } = reader.entry();
        nested.set(Number(name.slice(1)), bytesOf(value));
      } else bytes = bytesOf(reader.value());
    } while (reader.take(' ') && !reader.text.startsWith('=>', reader.at));
    return [bytes, nested];
  };
  if (!reader.text.startsWith('bytes:', reader.at)) {
    const tree = reader.value();
    return tree.kind === 'unknown' ? none : { ...none, arg: numberOf(tree, 'u64') };
  }
  const [before, nestedIn] = side();
  if (!reader.take('=> ') && !reader.take(' => ')) return { ...none, in: before, out: before?.slice(), nestedIn };
  if (reader.take('?')) return { ...none, in: before, nestedIn };
  const [after, nestedOut] = side();
  return { ...none, in: before, out: after ?? before?.slice(), nestedIn, nestedOut };
}

/** A command whose argument is no struct. */
function parsePlain(table: UapiTable, command: Command, tree: Tree, none: ParsedCall): ParsedCall {
  if (tree.kind === 'unknown') return none;
  if (tree.kind === 'bytes') return { ...none, in: tree.bytes };
  if (tree.kind === 'array') return { ...none, in: scalarBytes(tree.items, command.arg === 'fd-pointer' ? 's32' : 'u32') };
  const field = command.argEnum === undefined ? {} : { enum: command.argEnum };
  return { ...none, arg: wordValue(table, { ...field, type: 'u64', name: 'argument' }, tree) };
}

function entriesOf(tree: Tree): readonly Entry[] {
  if (tree.kind !== 'struct') throw new TextError('a struct {…} expected', tree.at);
  return tree.items;
}

function bytesOf(tree: Tree): Uint8Array {
  if (tree.kind !== 'bytes') throw new TextError('bytes:… expected', tree.at);
  return tree.bytes;
}

function numberOf(tree: Tree, type: Scalar): bigint {
  if (tree.kind !== 'word' || !/^-?(?:0x[0-9a-fA-F]{1,16}|\d{1,20})$/.test(tree.text)) throw new TextError('a number expected', tree.at);
  const value = tree.text.startsWith('-') ? -BigInt(tree.text.slice(1)) : BigInt(tree.text);
  return inRange(value, type, tree);
}

function inRange(value: bigint, type: Scalar, tree: Tree): bigint {
  const [min, max] = rangeOf({ type });
  if (value < min || value > max) throw new TextError(`out of range (${min} … ${max})`, tree.at);
  return value;
}

function wordValue(table: UapiTable, field: Pick<Field, 'type' | 'enum' | 'flags' | 'name'>, tree: Tree): bigint {
  if (tree.kind !== 'word') throw new TextError(`${field.name}: a number or a constant expected`, tree.at);
  const value = parseWord(table, field, (tree satisfies Word).text);
  if (value === undefined) throw new TextError(`${field.name}: ${tree.text} is no number and no constant of this field`, tree.at);
  return inRange(value, field.type, tree);
}

function put(bytes: Uint8Array, at: number, type: Scalar, value: bigint): void {
  const step = SCALAR_BYTES[type];
  let left = BigInt.asUintN(step * 8, value);
  for (let i = 0; i < step && at + i < bytes.length; i++) {
    bytes[at + i] = Number(left & 0xffn);
    left >>= 8n;
  }
}

function scalarBytes(items: readonly Tree[], type: Scalar): Uint8Array {
  const step = SCALAR_BYTES[type];
  const bytes = new Uint8Array(items.length * step);
  for (const [i, item] of items.entries()) put(bytes, i * step, type, numberOf(item, type));
  return bytes;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Turns the trees of one struct, and of what it points to, into bytes. */
class Encoder {
  private readonly table: UapiTable;
  private readonly owner: Command;
  /** buffers by slot */
  private readonly nested = new Map<number, Uint8Array>();
  /** the struct as it was before the call, where this is the one after it */
  private before: Values | undefined;
  constructor(table: UapiTable, owner: Command) {
    this.table = table;
    this.owner = owner;
  }

  /** A command's own struct; `base` its bytes before the call, when these are those after it. */
  command(struct: Struct, items: readonly Entry[], base: Uint8Array | undefined): { bytes: Uint8Array; nested: Map<number, Uint8Array> } {
    const arm = this.armOf(struct, items, base);
    const head = struct.fields[0];
    const counted = head !== undefined && (head.name === 'size' || head.name === 'argsz');
    const size = items.find((i) => counted && i.name === head.label);
    const recorded = items.find((i) => i.name === '@bytes');
    const length = Number(
      recorded !== undefined
        ? numberOf(recorded.value, 'u32')
        : base !== undefined
          ? base.length
          : size === undefined
            ? struct.size
            : numberOf(size.value, 'u32'),
    );
    if (length > BYTES_MAX) throw new TextError(`a struct of ${length} bytes is not believed`, (recorded ?? size)?.at ?? 0);
    const bytes = new Uint8Array(length);
    if (base !== undefined) bytes.set(base.subarray(0, length));
    else if (counted && size === undefined && length >= 4) put(bytes, 0, 'u32', BigInt(struct.size));
    if (base !== undefined) this.before = decodeStruct(struct, base, arm).values;
    this.fill(struct, items, bytes, arm, 0);
    return { bytes, nested: this.nested };
  }

  private armOf(struct: Struct, items: readonly Entry[], base: Uint8Array | undefined): string | undefined {
    const op = struct.byName.get('op');
    if (op?.enum !== 'IOMMU_TEST_OP') return undefined;
    const said = items.find((i) => i.name === 'op');
    const value =
      base === undefined
        ? said === undefined
          ? 0n
          : wordValue(this.table, op, said.value)
        : BigInt(Number(decodeStruct(struct, base).values.op ?? 0));
    return this.table.testOp(Number(value))?.arm;
  }

  /** Fields first, then what their values decide: the trailing array and buffers. */
  private fill(struct: Struct, items: readonly Entry[], bytes: Uint8Array, arm: string | undefined, slot: number): void {
    const fields = new Map(fieldsOf(struct, arm).map((f) => [f.label, f]));
    const later: (readonly [Field, Tree])[] = [];
    for (const { name, value, at } of items) {
      const field = fields.get(name) ?? fields.get(`header.${name}`);
      if (field !== undefined) {
        const to = this.field(field, value, bytes);
        if (to !== undefined) later.push([field, to]);
      } else if (name === 'tail')
        bytes.set(bytesOf(value).subarray(0, Math.max(0, bytes.length - struct.size)), Math.min(struct.size, bytes.length));
      else if (/^@\d{1,8}$/.test(name)) {
        const offset = Math.min(Number(name.slice(1)), bytes.length);
        bytes.set(bytesOf(value).subarray(0, bytes.length - offset), offset);
      } else if (name === 'caps' && !items.some((i) => i.name === 'tail')) throw new TextError('caps without tail: print it in full', at);
      else if (name !== '@bytes' && name !== 'caps' && name !== struct.trailing?.name)
        throw new TextError(`${struct.name} has no field ${name}`, at);
    }
    const { values } = decodeStruct(struct, bytes, arm);
    const trailing = struct.trailing === undefined ? undefined : items.find((i) => i.name === struct.trailing?.name);
    if (trailing !== undefined) this.trailing(struct, trailing.value, bytes, values, slot);
    for (const [field, to] of later) this.nested.set(slot + field.offset, this.buffer(field, to, values));
  }

  /** Writes a field; gives what it points to. */
  private field(field: Field, tree: Tree, bytes: Uint8Array): Tree | undefined {
    if (field.count !== undefined) {
      const items = tree.kind === 'array' ? tree.items : [];
      if (items.length !== field.count) throw new TextError(`${field.name}: ${field.count} numbers expected`, tree.at);
      const step = SCALAR_BYTES[field.type];
      for (const [i, item] of items.entries()) put(bytes, field.offset + i * step, field.type, wordValue(this.table, field, item));
      return undefined;
    }
    if (tree.kind === 'word') put(bytes, field.offset, field.type, wordValue(this.table, field, tree));
    else if (field.nested === undefined) throw new TextError(`${field.name}: a number or a constant expected`, tree.at);
    else if (tree.kind === 'pointer') {
      put(bytes, field.offset, field.type, wordValue(this.table, field, tree.address));
      return tree.to;
    } else return tree;
    return undefined;
  }

  /** A struct of its own, not a command's. */
  private inner(struct: Struct, items: readonly Entry[], length: number, slot: number): Uint8Array {
    const recorded = items.find((i) => i.name === '@bytes');
    const bytes = new Uint8Array(
      this.believed(recorded === undefined ? BigInt(length) : numberOf(recorded.value, 'u32'), recorded?.at ?? 0),
    );
    this.fill(struct, items, bytes, undefined, slot);
    return bytes;
  }

  private believed(length: bigint, at: number): number {
    if (length > BigInt(BYTES_MAX)) throw new TextError(`a buffer of ${length} bytes is not believed`, at);
    return Number(length);
  }

  private trailing(struct: Struct, tree: Tree, bytes: Uint8Array, values: Values, slot: number): void {
    const { trailing } = struct;
    if (trailing === undefined) return;
    const at = Math.min(trailing.offset, bytes.length);
    const room = bytes.length - at;
    const set = (part: Uint8Array): void => bytes.set(part.subarray(0, room), at);
    const rows = trailing.payload === true ? this.table.payloads(this.owner.name, trailing.name) : [];
    const row = rows.find((p) => (Number(values[p.by] ?? 0) & p.mask) >>> 0 === p.value);
    const element = trailing.struct === undefined ? undefined : this.table.struct(trailing.struct);
    if (tree.kind === 'bytes') set(tree.bytes);
    else if (row?.struct !== undefined) {
      const length = row.struct.trailing === undefined ? Math.min(room, row.struct.size) : room;
      set(this.inner(row.struct, entriesOf(tree), length, slot + trailing.offset));
    } else if (tree.kind !== 'array') throw new TextError(`${trailing.name}: a list expected`, tree.at);
    else if (element !== undefined) set(this.list(tree.items, element, trailing.stride));
    else set(scalarBytes(tree.items, row?.scalar ?? trailing.type ?? 'u8'));
  }

  private list(items: readonly Tree[], struct: Struct, each: number): Uint8Array {
    return join(items.map((i) => (i.kind === 'bytes' ? i.bytes : this.inner(struct, entriesOf(i), each, 0))));
  }

  private buffer(field: Field, tree: Tree, values: Values): Uint8Array {
    const { nested } = field;
    if (nested === undefined) return bytesOf(tree);
    const asked = nestedLength(nested, this.before ?? values);
    // the kernel filled less than there was room for: zeros beyond
    const filled = (bytes: Uint8Array): Uint8Array => {
      if (nested.dir !== 'out' || BigInt(bytes.length) !== nestedLength(nested, values) || asked <= BigInt(bytes.length)) return bytes;
      const whole = new Uint8Array(this.believed(asked, tree.at));
      whole.set(bytes);
      return whole;
    };
    if (tree.kind === 'bytes') return filled(bytesOf(tree));
    const by = Number(values[this.table.payloads(this.owner.name, field.name)[0]?.by ?? ''] ?? 0);
    const each = nested.entry === undefined ? undefined : Number((this.before ?? values)[nested.entry] ?? 0);
    const struct = nested.of === 'struct' ? this.table.struct(nested.struct ?? '') : this.table.payload(this.owner, field.name, by, each);
    if (struct === undefined) throw new TextError(`${field.name}: bytes:… expected`, tree.at);
    if (tree.kind === 'struct')
      return this.inner(struct, tree.items, this.believed(tree.items.some((i) => i.name === '@bytes') ? 0n : asked, tree.at), 0);
    if (tree.kind !== 'array') throw new TextError(`${field.name}: a list expected`, tree.at);
    return filled(this.list(tree.items, struct, each ?? struct.size));
  }
}
