/**
 * A struct as a tree: fields, padding, trailing arrays, capabilities, and what pointers point to. Items stand in memory
 * order and know how much they matter, so that a printer leaves out what says nothing.
 */
import {
  type Decoded,
  decodeChain,
  decodeStruct,
  type Gap,
  gapsOf,
  holesOf,
  nestedApplies,
  nestedLength,
  readField,
  splitEntries,
  type Value,
  type Values,
} from './codec.ts';
import { formText } from './forms.ts';
import type { UapiTable } from './table.ts';
import { type Command, type Field, type FileRole, type Payload, SCALAR_BYTES, type Scalar, type Struct } from './types.ts';

export type Node =
  /** `field` says how to read the number: enum, flags, id, fd, hex */
  | { readonly kind: 'number'; readonly value: number | bigint; readonly field: Meaning; readonly text?: string | undefined }
  /** `text`: what the numbers are, together, in the hardware's words (forms.ts); of a number as well */
  | { readonly kind: 'array'; readonly items: readonly Node[]; readonly text?: string | undefined }
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

/** Where a struct's bytes come from, and what its lengths and types are read from. */
export interface Context {
  readonly table: UapiTable;
  readonly command: Command | undefined;
  /** what one of the struct's pointers points to, by offset in the command's struct */
  readonly nested: (slot: number) => Uint8Array | undefined;
  /** added to a field's offset to get its slot */
  readonly base: number;
  readonly values: Values;
  /** the values before the call, that the lengths of buffers were asked by; absent: `values` */
  readonly asked?: Values;
  /** as `nested`, but before the call */
  readonly nestedBefore?: (slot: number) => Uint8Array | undefined;
  /** the bytes that the kernel found here; absent: zeros are what needs no saying */
  readonly before?: Uint8Array;
}

/** Item with the capabilities that are in the tail. */
export const CAPABILITIES = 'caps';

export const nothing = (): undefined => undefined;
export const numberNode = (value: number | bigint, field: Meaning): Node => ({ kind: 'number', value, field });
export const bytesNode = (bytes: Uint8Array): Node => ({ kind: 'bytes', bytes });
export const isZero = (value: Value): boolean => (typeof value === 'object' ? value.every((v) => BigInt(v) === 0n) : BigInt(value) === 0n);
export function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function valueNode(value: Value, field: Field): Node {
  if (field.form !== undefined) {
    const text = formText(field.form, typeof value === 'object' ? value : [value]);
    return typeof value === 'object'
      ? { kind: 'array', items: value.map((v) => numberNode(v, field)), text }
      : { kind: 'number', value, field, text };
  }
  return typeof value === 'object' ? { kind: 'array', items: value.map((v) => numberNode(v, field)) } : numberNode(value, field);
}

const gapItems = (gaps: readonly Gap[]): Item[] =>
  gaps.map((g) => ({ name: `@${g.offset}`, node: bytesNode(g.bytes), level: 0, offset: g.offset }));

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
export function restItems(decoded: Decoded, bytes: Uint8Array, context: Context): Item[] {
  const { struct, tail, values } = decoded;
  const { before } = context;
  // without bytes to compare with, decoding has found them
  const found = before === undefined ? decoded.gaps : gapsOf(bytes, holesOf(struct, decoded.arm, bytes.length), before);
  const gaps = gapItems(found);
  if (tail.length === 0) return gaps;
  if (before !== undefined && same(tail, before.subarray(struct.size)) && !payloadFilled(struct, context)) return gaps;
  if (struct.trailing !== undefined) return [...gaps, ...trailingItems(struct, bytes, context)];
  const whole: Item = { name: 'tail', node: bytesNode(tail), level: 0, offset: struct.size };
  if (before === undefined && tail.every((b) => b === 0)) return gaps;
  const chain = struct.fields.find((f) => f.chain !== undefined);
  const start = chain === undefined ? 0 : Number(values[chain.name] ?? 0);
  if (chain?.chain === undefined || start < struct.size || start >= bytes.length) return [...gaps, whole];
  return [...gaps, chainItem(chain.chain, start, bytes, context), { ...whole, level: 1 }];
}

/** The payload rows of a struct's trailing array that these values select. */
function trailingPayload(struct: Struct, context: Context): Payload | undefined {
  const rows = struct.trailing?.payload === true ? context.table.payloads(context.command?.name ?? '', struct.trailing.name) : [];
  return rows.find((p) => (Number(context.values[p.by] ?? 0) & p.mask) >>> 0 === p.value);
}

/** Whether the kernel filled a buffer that the trailing array points to. */
function payloadFilled(struct: Struct, context: Context): boolean {
  const at = context.base + (struct.trailing?.offset ?? 0);
  const fields = trailingPayload(struct, context)?.struct?.fields ?? [];
  return fields.some(
    (f) => f.nested !== undefined && filledLevel(f, at + f.offset, context.nested, context.nestedBefore ?? nothing, true) !== undefined,
  );
}

function trailingItems(struct: Struct, bytes: Uint8Array, context: Context): Item[] {
  const { trailing } = struct;
  if (trailing === undefined) return [];
  const [node, used] = trailingNode(struct, bytes.subarray(trailing.offset), context);
  const items: Item[] = node === undefined ? [] : [{ name: trailing.name, node, level: 0, offset: trailing.offset }];
  const rest = Array.from({ length: Math.max(0, bytes.length - trailing.offset - used) }, (_, i) => trailing.offset + used + i);
  return [...items, ...gapItems(gapsOf(bytes, rest, context.before))];
}

/** As many numbers of one type as there are bytes for, at most `count`; and how many bytes that took. */
export function scalars(bytes: Uint8Array, type: Scalar, count: number, fd?: FileRole): [Node, number] {
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
    const row = trailingPayload(struct, context);
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
  return { name: CAPABILITIES, node: { kind: 'array', items }, level: 0, offset: start };
}

/** A capability's header: its id by the name that it has in this chain, `header.` left out. */
function capItem(item: Item, chain: string): Item {
  const name = item.name.replace(/^header\./, '');
  if (name !== 'id' || item.node.kind !== 'number') return { ...item, name };
  return { ...item, name, node: { ...item.node, field: { ...item.node.field, enum: chain } } };
}

export function fieldItem(field: Field, value: Value, context: Context, level: Level): Item {
  const { label: name, offset } = field;
  if (field.nested === undefined || typeof value === 'object') return { name, node: valueNode(value, field), level, field, offset };
  const to = pointedTo(field, context);
  return { name, node: { kind: 'pointer', address: BigInt(value), to }, level: to === undefined || level === 1 ? level : 0, field, offset };
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
export const bytesItem = (n: number): Item => ({ name: '@bytes', node: numberNode(n, { type: 'u32' }), level: 0, offset: n });

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

/** Whether a buffer is one that the kernel wrote, and how sure that is. */
export function filledLevel(
  f: Field,
  slot: number,
  after: Context['nested'],
  before: Context['nested'],
  written: boolean,
): Level | undefined {
  const dir = f.nested?.dir;
  const bytes = after(slot);
  if (bytes === undefined || dir === 'in' || dir === 'mapped') return undefined;
  const earlier = before(slot);
  if (earlier !== undefined && same(bytes, earlier)) return undefined;
  return written || earlier !== undefined ? 0 : 1;
}

/** The tree of a struct alone, without what its pointers point to. */
export function viewStruct(table: UapiTable, struct: Struct, bytes: Uint8Array): Node {
  return structNode(struct, bytes, { table, command: undefined, nested: nothing, base: 0, values: {} });
}
