/**
 * A call as a tree: what text, JSON and screens show. Items stand in memory order and know how much they matter, so that
 * a printer leaves out what says nothing. Whatever the bytes are, they are somewhere in the tree, and nothing throws.
 */
import {
  type Decoded,
  decodeChain,
  decodeStruct,
  fieldsOf,
  nestedApplies,
  nestedLength,
  readField,
  splitEntries,
  testOpOf,
  type Value,
  type Values,
} from './codec.ts';
import type { UapiTable } from './table.ts';
import { type Command, type Field, type FileRole, SCALAR_BYTES, type Scalar, type Struct, type Target } from './types.ts';

/** One ioctl, as bytes. `in` and `out` are the struct before and after; nested buffers go by the pointer field's offset. */
export interface CallBytes {
  readonly target: Target;
  readonly request: number;
  readonly ret: bigint;
  /** errno, 0 on success */
  readonly error: number;
  readonly in?: Uint8Array | undefined;
  readonly out?: Uint8Array | undefined;
  /** the raw argument word, for calls whose argument is no struct */
  readonly arg?: bigint | undefined;
  nestedIn(slot: number): Uint8Array | undefined;
  nestedOut(slot: number): Uint8Array | undefined;
}

export type Node =
  /** `field` says how to read the number: enum, flags, id, fd, hex */
  | { readonly kind: 'number'; readonly value: number | bigint; readonly field: Meaning }
  | { readonly kind: 'array'; readonly items: readonly Node[] }
  | { readonly kind: 'struct'; readonly items: readonly Item[] }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** a bitmap of u64 words */
  | { readonly kind: 'bits'; readonly bytes: Uint8Array }
  | { readonly kind: 'string'; readonly bytes: Uint8Array }
  /** `to` is what the pointer points to, where that was recorded */
  | { readonly kind: 'pointer'; readonly address: bigint; readonly to: Node | undefined }
  | { readonly kind: 'unknown' };

/** What a printer needs of a field. */
export type Meaning = Pick<Field, 'type' | 'enum' | 'flags' | 'enumMask' | 'ref' | 'creates' | 'fd' | 'format' | 'note'>;

/** 0: always shown; 1: hidden where things are abbreviated; 2: implied by the rest (a zero that must be zero, a size that is the struct's). */
export type Level = 0 | 1 | 2;

export interface Item {
  /** the field's label; `tail`; `caps`; `@20` for bytes at offset 20 that belong to no field */
  readonly name: string;
  readonly node: Node;
  readonly level: Level;
  readonly field?: Field;
  /** from the start of its struct, in bytes */
  readonly offset: number;
}

export interface CallView {
  /** undefined: not in the table */
  readonly command: Command | undefined;
  readonly request: number;
  /** the operation of IOMMU_TEST_CMD */
  readonly op: string | undefined;
  /** undefined: there is no argument */
  readonly arg: Node | undefined;
  /** what the kernel wrote; undefined: nothing that differs. 'unknown': not recorded */
  readonly out: Node | undefined;
}

/** Where a struct's bytes come from, and what its lengths and types are read from. */
interface Context {
  readonly table: UapiTable;
  readonly command: Command | undefined;
  /** what one of the struct's pointers points to, by offset in the command's struct */
  readonly nested: (slot: number) => Uint8Array | undefined;
  /** added to a field's offset to get its slot */
  readonly base: number;
  readonly values: Values;
  /** the values before the call, that the lengths of buffers were asked by; absent: `values` */
  readonly asked?: Values;
  /** the bytes that the kernel found here; absent: zeros are what needs no saying */
  readonly before?: Uint8Array;
}

const nothing = (): undefined => undefined;
const numberNode = (value: number | bigint, field: Meaning): Node => ({ kind: 'number', value, field });
const bytesNode = (bytes: Uint8Array): Node => ({ kind: 'bytes', bytes });
const isZero = (value: Value): boolean => (typeof value === 'object' ? value.every((v) => BigInt(v) === 0n) : BigInt(value) === 0n);
const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((v, i) => v === b[i]);
const equal = (a: Value | undefined, b: Value): boolean =>
  typeof a === 'object' && typeof b === 'object' ? a.length === b.length && a.every((v, i) => v === b[i]) : a === b;

function valueNode(value: Value, field: Meaning): Node {
  return typeof value === 'object' ? { kind: 'array', items: value.map((v) => numberNode(v, field)) } : numberNode(value, field);
}

/** Runs of bytes that need saying: not what they were before the call (without one: not zero), and not covered. */
function runs(bytes: Uint8Array, from: number, covered: (at: number) => boolean, before: Uint8Array | undefined): Item[] {
  const items: Item[] = [];
  const dull = (at: number): boolean => covered(at) || bytes[at] === (before?.[at] ?? 0);
  for (let at = from; at < bytes.length; at++) {
    if (dull(at)) continue;
    let to = at + 1;
    while (to < bytes.length && !dull(to)) to++;
    items.push({ name: `@${at}`, node: bytesNode(bytes.slice(at, to)), level: 0, offset: at });
    at = to;
  }
  return items;
}

/** A struct that is not a command's own. */
function structNode(struct: Struct, bytes: Uint8Array, context: Context): Node {
  const decoded = decodeStruct(struct, bytes);
  const inner: Context = { ...context, values: decoded.values };
  const items = struct.fields.flatMap((f): Item[] => {
    const value = decoded.values[f.name];
    if (value === undefined || (f.union !== undefined && struct.fields.find((o) => o.union === f.union) !== f)) return [];
    return [fieldItem(f, value, inner, f.pad === true && isZero(value) ? 2 : 0)];
  });
  return { kind: 'struct', items: [...items, ...restItems(decoded, bytes, inner)] };
}

/** Bytes outside fields: padding, the trailing array or capabilities, the tail. */
function restItems(decoded: Decoded, bytes: Uint8Array, context: Context): Item[] {
  const { struct, tail, values } = decoded;
  const own = new Uint8Array(struct.size);
  for (const f of struct.fields) if (values[f.name] !== undefined) own.fill(1, f.offset, f.offset + f.size);
  const { before } = context;
  const gaps = runs(bytes.subarray(0, struct.size), 0, (at) => own[at] === 1, before);
  if (tail.length === 0) return gaps;
  if (before !== undefined && same(tail, before.subarray(struct.size))) return gaps;
  if (struct.trailing !== undefined) return [...gaps, ...trailingItems(struct, bytes, context)];
  const whole: Item = { name: 'tail', node: bytesNode(tail), level: 0, offset: struct.size };
  if (before === undefined && tail.every((b) => b === 0)) return gaps;
  const chain = struct.fields.find((f) => f.chain !== undefined);
  const start = chain === undefined ? 0 : Number(values[chain.name] ?? 0);
  if (chain?.chain === undefined || start < struct.size || start >= bytes.length) return [...gaps, whole];
  return [...gaps, chainItem(chain.chain, start, bytes, context), { ...whole, level: 1 }];
}

function trailingItems(struct: Struct, bytes: Uint8Array, context: Context): Item[] {
  const { trailing } = struct;
  if (trailing === undefined) return [];
  const [node, used] = trailingNode(struct, bytes.subarray(trailing.offset), context);
  const items: Item[] = node === undefined ? [] : [{ name: trailing.name, node, level: 0, offset: trailing.offset }];
  return [...items, ...runs(bytes, trailing.offset + used, () => false, context.before)];
}

/** As many numbers of one type as there are bytes for, at most `count`; and how many bytes that took. */
function scalars(bytes: Uint8Array, type: Scalar, count: number, fd?: FileRole): [Node, number] {
  const step = SCALAR_BYTES[type];
  const n = Math.max(0, Math.min(count, Math.floor(bytes.length / step)));
  const field: Field = { name: '', label: '', type, count: n, offset: 0, size: n * step, dir: 'in', ...(fd === undefined ? {} : { fd }) };
  return [valueNode(readField(field, bytes), field), n * step];
}

/** What a trailing array holds, and how many of its bytes that explains. */
function trailingNode(struct: Struct, tail: Uint8Array, context: Context): [Node | undefined, number] {
  const { trailing } = struct;
  if (trailing === undefined) return [undefined, 0];
  const { table, values } = context;
  if (trailing.payload === true) {
    const rows = table.payloads(context.command?.name ?? '', trailing.name);
    const row = rows.find((p) => (Number(values[p.by] ?? 0) & p.mask) >>> 0 === p.value);
    if (row?.scalar !== undefined) return scalars(tail, row.scalar, Number(values.count ?? 0), row.fd);
    if (row?.struct === undefined) return [undefined, 0];
    const part = row.struct.trailing === undefined ? tail.subarray(0, row.struct.size) : tail;
    const { before: _, ...rest } = context;
    return [structNode(row.struct, part, { ...rest, base: context.base + trailing.offset }), part.length];
  }
  const count = trailing.count === undefined ? Math.floor(tail.length / trailing.stride) : Number(values[trailing.count] ?? 0);
  if (trailing.struct === undefined) return scalars(tail, trailing.type ?? 'u8', count, trailing.fd);
  const element = table.struct(trailing.struct);
  if (element === undefined) return [undefined, 0];
  const used = Math.min(count, Math.floor(tail.length / trailing.stride)) * trailing.stride;
  return [entriesNode(tail.subarray(0, used), trailing.stride, element, context), used];
}

/** VFIO capabilities: said a second time, the bytes are in `tail`. */
function chainItem(chain: string, start: number, bytes: Uint8Array, context: Context): Item {
  const { before: _, ...rest } = context;
  const header = context.table.struct('vfio_info_cap_header');
  const items = decodeChain(context.table, chain, bytes, start).map((cap): Node => {
    const struct = cap.struct ?? header;
    const at: Item = { name: 'offset', node: numberNode(cap.offset, { type: 'u32', format: 'hex' }), level: 0, offset: cap.offset };
    const inner = struct === undefined ? bytesNode(cap.bytes) : structNode(struct, cap.bytes, rest);
    return { kind: 'struct', items: inner.kind === 'struct' ? [at, ...inner.items.map((i) => capItem(i, chain))] : [at] };
  });
  return { name: 'caps', node: { kind: 'array', items }, level: 0, offset: start };
}

/** A capability's header: its id by the name that it has in this chain, `header.` left out. */
function capItem(item: Item, chain: string): Item {
  const name = item.name.replace(/^header\./, '');
  if (name !== 'id' || item.node.kind !== 'number') return { ...item, name };
  return { ...item, name, node: { ...item.node, field: { ...item.node.field, enum: chain } } };
}

function fieldItem(field: Field, value: Value, context: Context, level: Level): Item {
  const base = { name: field.label, field, level, offset: field.offset };
  if (field.nested === undefined || typeof value === 'object') return { ...base, node: valueNode(value, field) };
  return { ...base, node: { kind: 'pointer', address: BigInt(value), to: pointedTo(field, context) } };
}

/** The buffer that a pointer points to, decoded; undefined where it was not recorded. */
function pointedTo(field: Field, context: Context): Node | undefined {
  const { nested } = field;
  if (nested === undefined || nested.dir === 'mapped' || !nestedApplies(nested, context.values)) return undefined;
  const bytes = context.nested(context.base + field.offset);
  if (bytes === undefined) return undefined;
  const { before: _, ...rest } = context;
  const plain: Context = { ...rest, nested: nothing };
  // the kernel may have filled less than there was room for; what is beyond is said where it is not zero
  const valid = nested.dir === 'out' ? nestedLength(nested, context.values) : BigInt(bytes.length);
  const used = bytes.subarray(0, valid < BigInt(bytes.length) ? Number(valid) : bytes.length);
  const beyond = bytes.subarray(used.length);
  const node = bufferNode(field, beyond.every((b) => b === 0) ? used : bytes, plain);
  const asked = nestedLength(nested, context.asked ?? context.values);
  if (node.kind !== 'struct' || asked === BigInt(bytes.length)) return node;
  return { kind: 'struct', items: [...node.items, bytesItem(bytes.length)] };
}

/** How many bytes were recorded, where the length says otherwise. */
const bytesItem = (n: number): Item => ({ name: '@bytes', node: numberNode(n, { type: 'u32' }), level: 0, offset: n });

function bufferNode(field: Field, bytes: Uint8Array, context: Context): Node {
  const { table, command, values } = context;
  switch (field.nested?.of) {
    case 'struct': {
      const struct = table.struct(field.nested.struct ?? '');
      return struct === undefined ? bytesNode(bytes) : entriesNode(bytes, struct.size, struct, context);
    }
    case 'payload':
    case 'entries': {
      if (command === undefined) return bytesNode(bytes);
      const { entry } = field.nested;
      const each = entry === undefined ? undefined : Number(values[entry] ?? 0);
      const type = Number(values[table.payloads(command.name, field.name)[0]?.by ?? ''] ?? 0);
      const struct = table.payload(command, field.name, type, each);
      if (struct === undefined) return bytesNode(bytes);
      return each === undefined ? structNode(struct, bytes, context) : entriesNode(bytes, each, struct, context);
    }
    case 'bitmap':
      return bytes.length % 8 === 0 ? { kind: 'bits', bytes } : bytesNode(bytes);
    default:
      return bytesNode(bytes);
  }
}

function entriesNode(bytes: Uint8Array, each: number, struct: Struct, context: Context): Node {
  const { before: _, ...plain } = context;
  const { entries, rest } = splitEntries(bytes, each);
  const items = entries.map((e) => structNode(struct, e, plain));
  return { kind: 'array', items: rest.length === 0 ? items : [...items, bytesNode(rest)] };
}

const isLength = (field: Field): boolean => field.offset === 0 && (field.name === 'size' || field.name === 'argsz');

/** Whether another field, that the caller writes, has the same bytes. */
const shadowed = (field: Field, struct: Struct): boolean =>
  field.union !== undefined && field.arm === undefined && struct.fields.some((f) => f.union === field.union && f.dir !== 'out');
/** Whether another field, that the kernel writes, has the same bytes. */
const overwritten = (field: Field, struct: Struct): boolean =>
  field.union !== undefined &&
  field.arm === undefined &&
  field.dir === 'in' &&
  struct.fields.some((f) => f.union === field.union && f.dir !== 'in');

/** How much a field of the struct before the call matters: a reader takes what is not said for zero. */
function inLevel(field: Field, value: Value, struct: Struct, length: number): Level {
  if (isLength(field)) return Number(value) === struct.size && length === struct.size ? 2 : 0;
  if (field.dir === 'out') return isZero(value) || shadowed(field, struct) ? 2 : 1;
  if (!isZero(value)) return 0;
  const optional = field.zero === true || field.pad === true || field.since !== undefined;
  return optional || (field.flags !== undefined && field.enum === undefined) ? 2 : 0;
}

function inNode(table: UapiTable, command: Command, call: CallBytes, struct: Struct, bytes: Uint8Array): Node {
  const arm = testOpOf(table, command, bytes)?.arm;
  const decoded = decodeStruct(struct, bytes, arm);
  const { values } = decoded;
  const context: Context = { table, command, values, base: 0, nested: (slot) => call.nestedIn(slot) };
  const items = fieldsOf(struct, arm).flatMap((f): Item[] => {
    const value = values[f.name];
    return value === undefined ? [] : [fieldItem(f, value, context, inLevel(f, value, struct, bytes.length))];
  });
  const head = struct.fields[0];
  const said = head !== undefined && isLength(head) ? Number(values[head.name] ?? -1) : struct.size;
  if (said !== bytes.length) items.push(bytesItem(bytes.length));
  return { kind: 'struct', items: [...items, ...restItems(decoded, bytes, context)] };
}

/** What the kernel wrote: fields that are outputs or differ from before, and buffers that it filled. */
function outNode(
  table: UapiTable,
  command: Command,
  call: CallBytes,
  struct: Struct,
  before: Uint8Array,
  after: Uint8Array,
): Node | undefined {
  const arm = testOpOf(table, command, before)?.arm;
  const old = decodeStruct(struct, before, arm).values;
  const decoded = decodeStruct(struct, after, arm);
  const done = call.error === 0;
  const written = done || !same(before, after);
  const { values } = decoded;
  const context: Context = { table, command, values, asked: old, base: 0, before, nested: (slot) => call.nestedOut(slot) };
  const items: Item[] = [];
  for (const f of fieldsOf(struct, arm)) {
    const value = values[f.name];
    if (value === undefined || overwritten(f, struct)) continue;
    const differs = !equal(old[f.name], value);
    const filled = f.nested === undefined ? undefined : filledLevel(f, call, written);
    const output = f.dir === 'out' && done && f.pad !== true && !(f.flags !== undefined && isZero(value));
    if (filled !== undefined) items.push(fieldItem(f, value, context, filled));
    else if (differs || output) items.push(fieldItem(f, value, { ...context, nested: nothing }, 0));
  }
  if (after.length !== before.length) items.push(bytesItem(after.length));
  items.push(...restItems(decoded, after, context));
  return items.length === 0 ? undefined : { kind: 'struct', items };
}

/** Whether a buffer is one that the kernel wrote, and how sure that is. */
function filledLevel(f: Field, call: CallBytes, written: boolean): Level | undefined {
  const dir = f.nested?.dir;
  const bytes = call.nestedOut(f.offset);
  if (bytes === undefined || dir === 'in' || dir === 'mapped') return undefined;
  const earlier = call.nestedIn(f.offset);
  if (earlier !== undefined && same(bytes, earlier)) return undefined;
  return written || earlier !== undefined ? 0 : 1;
}

/** The tree of a struct alone, without what its pointers point to. */
export function viewStruct(table: UapiTable, struct: Struct, bytes: Uint8Array): Node {
  return structNode(struct, bytes, { table, command: undefined, nested: nothing, base: 0, values: {} });
}

/** The tree of a call. Never throws, whatever the bytes. */
export function viewCall(table: UapiTable, call: CallBytes): CallView {
  const command = table.command(call.target, call.request);
  const base = { command, request: call.request, op: undefined };
  if (command === undefined) return { ...base, ...rawParts(call) };
  const { struct } = command;
  if (struct === undefined) return { ...base, arg: plainArg(command, call), out: undefined };
  if (call.in === undefined) return { ...base, arg: { kind: 'unknown' }, out: undefined };
  const op = testOpOf(table, command, call.in)?.name;
  const arg = inNode(table, command, call, struct, call.in);
  const out: Node | undefined = call.out === undefined ? { kind: 'unknown' } : outNode(table, command, call, struct, call.in, call.out);
  return { ...base, op, arg, out };
}

/** A request that is not in the table. */
function rawParts(call: CallBytes): { arg: Node | undefined; out: Node | undefined } {
  if (call.in === undefined)
    return { arg: call.arg === undefined ? undefined : numberNode(call.arg, { type: 'u64', format: 'hex' }), out: undefined };
  const out: Node | undefined = call.out === undefined ? { kind: 'unknown' } : same(call.in, call.out) ? undefined : bytesNode(call.out);
  return { arg: bytesNode(call.in), out };
}

/** An argument that is no struct. */
function plainArg(command: Command, call: CallBytes): Node | undefined {
  const word = call.arg;
  switch (command.arg) {
    case 'int':
      if (word === undefined) return { kind: 'unknown' };
      return numberNode(word, { type: 'u64', format: 'dec', ...(command.argEnum === undefined ? {} : { enum: command.argEnum }) });
    case 'string':
      return call.in === undefined ? { kind: 'unknown' } : { kind: 'string', bytes: call.in };
    case 'fd-pointer':
      return call.in === undefined
        ? { kind: 'unknown' }
        : call.in.length === 4
          ? scalars(call.in, 's32', 1, 'VFIO_CONTAINER')[0]
          : bytesNode(call.in);
    case 'u32-pointer':
      return call.in === undefined ? { kind: 'unknown' } : call.in.length === 4 ? scalars(call.in, 'u32', 1)[0] : bytesNode(call.in);
    default:
      // none: but a caller can pass anything, and a word that is not 0 is worth seeing
      return word === undefined || word === 0n ? undefined : numberNode(word, { type: 'u64', format: 'hex' });
  }
}
