/**
 * A call as a tree: what text, JSON and screens show. Whatever the bytes are, they are somewhere in the tree, and nothing
 * throws.
 */
import { decodeStruct, fieldsOf, testOpOf, type Value } from './codec.ts';
import type { UapiTable } from './table.ts';
import type { Command, Field, Struct, Target } from './types.ts';
import {
  bytesItem,
  bytesNode,
  type Context,
  fieldItem,
  filledLevel,
  type Item,
  isZero,
  type Level,
  type Node,
  nothing,
  numberNode,
  restItems,
  same,
  scalars,
} from './view-struct.ts';

export type { Item, Level, Meaning, Node } from './view-struct.ts';

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

const equal = (a: Value | undefined, b: Value): boolean =>
  typeof a === 'object' && typeof b === 'object' ? a.length === b.length && a.every((v, i) => v === b[i]) : a === b;

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
  const items: Item[] = [];
  for (const f of fieldsOf(struct, arm)) {
    const value = values[f.name];
    if (value !== undefined) items.push(fieldItem(f, value, context, inLevel(f, value, struct, bytes.length)));
  }
  const head = struct.fields[0];
  const said = head !== undefined && isLength(head) ? Number(values[head.name] ?? -1) : struct.size;
  if (said !== bytes.length) items.push(bytesItem(bytes.length));
  items.push(...restItems(decoded, bytes, context));
  return { kind: 'struct', items };
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
  const context: Context = {
    table,
    command,
    values,
    asked: old,
    base: 0,
    before,
    nested: (slot) => call.nestedOut(slot),
    nestedBefore: (slot) => call.nestedIn(slot),
  };
  const items: Item[] = [];
  for (const f of fieldsOf(struct, arm)) {
    const value = values[f.name];
    if (value === undefined || overwritten(f, struct)) continue;
    const differs = !equal(old[f.name], value);
    const filled = f.nested === undefined ? undefined : filledLevel(f, f.offset, context.nested, context.nestedBefore ?? nothing, written);
    const output = f.dir === 'out' && done && f.pad !== true && !(f.flags !== undefined && isZero(value));
    if (filled !== undefined) items.push(fieldItem(f, value, context, filled));
    else if (differs || output) items.push(fieldItem(f, value, f.nested === undefined ? context : { ...context, nested: nothing }, 0));
  }
  if (after.length !== before.length) items.push(bytesItem(after.length));
  items.push(...restItems(decoded, after, context));
  return items.length === 0 ? undefined : { kind: 'struct', items };
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
  return { command, request: call.request, op, arg, out };
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
