/** The parts of an event as fields of its line, and back. */

import { callBytes } from '../../hw/event-calls.ts';
import { argsOf, textFrom, textJson, textName, wordsFrom, wordsJson } from '../../hw/event-json.ts';
import { ARG_WORDS, kindName } from '../../hw/event-words.ts';
import { jsonNumber } from '../../hw/json-text.ts';
import { bufferBytes, commandBytes, fieldNumber, isObject, listBytes, numbersOf, pointerAt } from '../../hw/uapi/call-read.ts';
import { decodeCommand } from '../../hw/uapi/codec.ts';
import { bytesOf, JsonError, numberIn, shown, wordOf } from '../../hw/uapi/json-value.ts';
import { recordsJson } from '../../hw/uapi/records.ts';
import { targetOfFileKind, type UapiTable } from '../../hw/uapi/table.ts';
import { callJson } from '../../hw/uapi/text.ts';
import type { Command } from '../../hw/uapi/types.ts';
import { bitNames, FileKind, type Frame, Kind, makeArgs, type Part, PartFlag, PartKind } from '../../store/frame.ts';

export interface LineContext {
  readonly table: UapiTable;
  /** `uname -m` of the recorded machine */
  readonly machine: string;
  /** CLOCK_MONOTONIC that the times count from, nanoseconds */
  readonly base: bigint;
}

export type LineJson = Readonly<Record<string, unknown>>;

export const hexBytes = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

/** What an event is, before its parts are looked at. */
export interface LineHead {
  readonly kind: number;
  readonly fileKind: number;
  readonly request: number;
}

/** The command of an ioctl, and of the return of one. */
export function commandOf(table: UapiTable, { kind, fileKind, request }: LineHead): Command | undefined {
  if (kind !== Kind.IOCTL && (kind !== Kind.RETURN || request === 0)) return undefined;
  return table.command(targetOfFileKind(fileKind) ?? 'iommufd', request);
}

/** Bytes of the longest part that a line may ask for. */
const MOST_BYTES = 64 * 2 ** 20;

// ---- an event's parts as fields ----

/**
 * How a part is told: by its bytes, for no field tells them; or by fields, and how long it is, for behind what they tell it has
 * zeros. What is not in the map is told by fields alone.
 */
export type Telling = ReadonlyMap<Part, 'bytes' | 'length'>;

/** {request, op, args, out, in, nested, returnOf, parts}, in this order */
export function partFields(frame: Frame, telling: Telling, c: LineContext): Record<string, unknown> {
  const first = new Set(firstParts(frame).filter((p) => telling.get(p) !== 'bytes'));
  const fields = frame.kind === Kind.IOCTL ? callFields(frame, first, c) : eventFields(frame, first, c);
  if (frame.parts.length === 0) return fields;
  fields.parts = frame.parts.map((p) => {
    const isTold = first.has(p) && told(frame, p, fields, c);
    const json = partJson(p, isTold);
    if (isTold && telling.has(p)) json.length = p.bytes.length;
    return json;
  });
  return fields;
}

/** Those that fields can tell: the first of each kind and place. */
function firstParts(frame: Frame): Part[] {
  const seen = new Set<number>();
  return frame.parts.filter((p) => {
    const key = p.kind * 65_536 + p.slot;
    const placed = p.kind === PartKind.NESTED_IN || p.kind === PartKind.NESTED_OUT || p.kind === PartKind.TEXT;
    if (seen.has(key) || (!placed && p.slot !== 0)) return false;
    seen.add(key);
    return true;
  });
}

function partJson(part: Part, isTold: boolean): Record<string, unknown> {
  const { kind, slot, wanted, address } = part;
  const json: Record<string, unknown> = { kind };
  if (slot !== 0) json.slot = slot;
  if (wanted !== BigInt(part.bytes.length)) json.wanted = jsonNumber(wanted);
  if (address !== 0n) json.address = `0x${address.toString(16)}`;
  if (part.flags !== 0) json.flags = flagsJson(part.flags, PartFlag);
  if (!isTold) json.bytes = hexBytes(part.bytes);
  return json;
}

/** An ioctl, in the words of `show --json`. */
function callFields(frame: Frame, first: ReadonlySet<Part>, c: LineContext): Record<string, unknown> {
  const { op, nested, nestedOut, args, out, request } = callJson(c.table, callBytes(frame), false);
  const has = (kind: number): boolean => frame.parts.some((p) => p.kind === kind && first.has(p));
  const buffers: Record<string, Record<string, unknown>> = {};
  const command = commandOf(c.table, frame);
  const input = frame.parts.find((p) => p.kind === PartKind.IN)?.bytes;
  for (const part of first) {
    if (part.kind !== PartKind.NESTED_IN && part.kind !== PartKind.NESTED_OUT) continue;
    const label = command === undefined || input === undefined ? undefined : pointerAt(c.table, command, input, part.slot);
    const side = part.kind === PartKind.NESTED_IN ? 'in' : 'out';
    const value = label === undefined ? undefined : ((side === 'in' ? nested : nestedOut) as LineJson | undefined)?.[label];
    if (label === undefined || value === undefined) continue;
    buffers[label] ??= {};
    buffers[label][side] = value;
  }
  const fields: Record<string, unknown> = { request };
  if (op !== undefined) fields.op = op;
  if (has(PartKind.IN) || has(PartKind.ARGS)) fields.args = args;
  if (has(PartKind.OUT) && out !== undefined) fields.out = out;
  if (Object.keys(buffers).length > 0) fields.nested = buffers;
  return fields;
}

/** Any other event. */
function eventFields(frame: Frame, first: ReadonlySet<Part>, c: LineContext): Record<string, unknown> {
  const kind = kindName(frame.kind);
  const args: Record<string, unknown> = {};
  const fields: Record<string, unknown> = {};
  for (const part of first) {
    if (part.kind === PartKind.TEXT) args[textName(kind, part.slot)] = textJson(kind, part.slot, part.bytes);
    if (part.kind === PartKind.ARGS && frame.kind === Kind.RETURN) fields.returnOf = argsOf(frame)[0];
    else if (part.kind === PartKind.ARGS) wordsJson(kind, argsOf(frame), c.machine, args);
    if (part.kind === PartKind.IN || part.kind === PartKind.OUT)
      fields[part.kind === PartKind.IN ? 'in' : 'out'] = transferJson(frame, part, c);
  }
  if (typeof fields.returnOf === 'bigint') fields.returnOf = jsonNumber(fields.returnOf);
  return { ...(frame.kind === Kind.RETURN && frame.request !== 0 ? { request: `0x${frame.request.toString(16)}` } : {}), args, ...fields };
}

/** The bytes of a read or write, as records where the file has records of one size; what a call brought back, by its fields. */
function transferJson(frame: Frame, part: Part, c: LineContext): unknown {
  const command = part.kind === PartKind.OUT ? commandOf(c.table, frame) : undefined;
  if (command?.struct !== undefined) {
    const call = { ...callBytes(frame), in: part.bytes, nestedIn: () => undefined, nestedOut: () => undefined };
    return callJson(c.table, call, false).args;
  }
  if (frame.fileKind === FileKind.FAULT && (frame.kind === Kind.READ || frame.kind === Kind.WRITE))
    return recordsJson(c.table, { file: 'FAULT', call: part.kind === PartKind.IN ? 'write' : 'read', bytes: part.bytes });
  return { bytes: hexBytes(part.bytes) };
}

/** Whether the fields hold what the part is made of again. */
function told(frame: Frame, part: Part, fields: LineJson, c: LineContext): boolean {
  if (part.kind !== PartKind.NESTED_IN && part.kind !== PartKind.NESTED_OUT) return part.kind >= PartKind.IN && part.kind <= PartKind.TEXT;
  const side = part.kind === PartKind.NESTED_IN ? 'in' : 'out';
  const command = commandOf(c.table, frame);
  const input = frame.parts.find((p) => p.kind === PartKind.IN)?.bytes;
  const label = command === undefined || input === undefined ? undefined : pointerAt(c.table, command, input, part.slot);
  if (label === undefined) return false;
  if ((fields.nested as Record<string, LineJson> | undefined)?.[label]?.[side] !== undefined) return true;
  const before = side === 'in' ? undefined : frame.parts.find((p) => p.kind === PartKind.NESTED_IN && p.slot === part.slot);
  return before !== undefined && Buffer.compare(before.bytes, part.bytes) === 0;
}

// ---- and back ----

/** The parts that a line tells. Throws a JsonError. */
export function partsFrom(line: LineJson, head: LineHead, c: LineContext, callOf: (seq: bigint) => bigint): Part[] {
  const { parts = [] } = line;
  if (!Array.isArray(parts)) throw new JsonError(`parts: ${shown(parts)} is no list`);
  const reading = new PartReading(line, head, c, parts, callOf);
  const made = parts.map((_, i) => reading.part(i));
  reading.check();
  return made;
}

class PartReading {
  readonly #line: LineJson;
  readonly #head: LineHead;
  readonly #c: LineContext;
  readonly #list: readonly unknown[];
  readonly #callOf: (seq: bigint) => bigint;
  readonly #command: Command | undefined;
  readonly #made: (Uint8Array | undefined)[] = [];
  /** fields that a part was made of */
  readonly #used = new Set<string>();

  constructor(line: LineJson, head: LineHead, c: LineContext, list: readonly unknown[], callOf: (seq: bigint) => bigint) {
    this.#line = line;
    this.#head = head;
    this.#c = c;
    this.#list = list;
    this.#callOf = callOf;
    this.#command = commandOf(c.table, head);
  }

  part(i: number): Part {
    const json = this.#entry(i);
    const where = `parts[${i}]`;
    const extra = Object.keys(json).find((key) => !PART_KEYS.has(key));
    if (extra !== undefined) throw new JsonError(`${where}: a part has no ${shown(extra)}`);
    const bytes = this.#bytes(i);
    return {
      kind: this.#kind(i) as PartKind,
      flags: flagsFrom(json.flags, PartFlag, `${where}.flags`),
      slot: this.#slot(i),
      wanted: json.wanted === undefined ? BigInt(bytes.length) : wordOf(json.wanted, `${where}.wanted`),
      address: json.address === undefined ? 0n : wordOf(json.address, `${where}.address`),
      bytes,
    };
  }

  /** A field that no part is made of would be lost without a word. */
  check(): void {
    const { args, nested, ...rest } = this.#line;
    const said = TELLING.filter((key) => rest[key] !== undefined);
    if (isObject(nested))
      for (const [label, sides] of Object.entries(nested)) said.push(...Object.keys(sides ?? {}).map((side) => `nested.${label}.${side}`));
    else if (nested !== undefined) throw new JsonError(`nested: ${shown(nested)} is no {…}`);
    if (this.#head.kind === Kind.IOCTL)
      said.push(...(args === undefined || (isObject(args) && Object.keys(args).length === 0) ? [] : ['args']));
    else if (isObject(args))
      said.push(
        ...Object.keys(args)
          .filter((key) => key !== 'how')
          .map((key) => `args.${key}`),
      );
    const lost = said.find((key) => !this.#used.has(key));
    if (lost !== undefined)
      throw new JsonError(`${shown(lost)}: no part of the event is made of it; take it away, or add its part to "parts"`);
  }

  #entry(i: number): LineJson {
    const json = this.#list[i];
    if (!isObject(json)) throw new JsonError(`parts[${i}]: ${shown(json)} is no part; {"kind": 1} is one`);
    return json;
  }
  #kind(i: number): number {
    return numberIn(this.#entry(i).kind, `parts[${i}].kind`, 0, 255);
  }
  #slot(i: number): number {
    return numberIn(this.#entry(i).slot ?? 0, `parts[${i}].slot`, 0, 65_535);
  }

  #bytes(i: number): Uint8Array {
    this.#made[i] ??= this.#make(i);
    return this.#made[i];
  }

  #make(i: number): Uint8Array {
    const json = this.#entry(i);
    if (json.bytes !== undefined) {
      // shorter than the checked way, for parts may be megabytes
      const bytes = typeof json.bytes === 'string' ? Buffer.from(json.bytes, 'hex') : Buffer.alloc(0);
      return typeof json.bytes === 'string' && bytes.length * 2 === json.bytes.length ? bytes : bytesOf(json.bytes, `parts[${i}].bytes`);
    }
    const made = this.#head.kind === Kind.IOCTL ? this.#ofCall(i) : this.#ofEvent(i);
    if (made === undefined) throw new JsonError(`parts[${i}]: no field says what is in it; write its "bytes"`);
    if (json.length === undefined) return made;
    const longer = new Uint8Array(numberIn(json.length, `parts[${i}].length`, 0, MOST_BYTES));
    longer.set(made.subarray(0, longer.length));
    return longer;
  }

  /** The bytes of the first part of a kind. */
  #first(kind: number): Uint8Array | undefined {
    return this.#firstAt(kind, 0);
  }
  #firstAt(kind: number, slot: number): Uint8Array | undefined {
    const at = this.#list.findIndex((_, i) => this.#kind(i) === kind && this.#slot(i) === slot);
    return at < 0 ? undefined : this.#bytes(at);
  }

  #ofCall(i: number): Uint8Array | undefined {
    const { args, out } = this.#line;
    const sort = this.#kind(i);
    if (sort === PartKind.IN || sort === PartKind.ARGS) this.#used.add('args');
    if (sort === PartKind.OUT) this.#used.add('out');
    const command = this.#command;
    const { table } = this.#c;
    switch (this.#kind(i)) {
      case PartKind.IN:
        return args === undefined ? undefined : this.#input(args);
      case PartKind.OUT: {
        const before = this.#first(PartKind.IN);
        if (before === undefined) return undefined;
        if (out === undefined) return before;
        if (command?.struct !== undefined) return commandBytes(table, command, out, 'out', before);
        return isObject(out) ? bytesOf(out.bytes, 'out.bytes') : undefined;
      }
      case PartKind.ARGS:
        if (args === undefined || isObject(args)) return args === undefined || Object.keys(args).length > 0 ? undefined : makeArgs(0).bytes;
        return makeArgs(
          fieldNumber(table, args, { type: 'u64', ...(command?.argEnum === undefined ? {} : { enum: command.argEnum }) }, 'args'),
        ).bytes;
      case PartKind.NESTED_IN:
        return this.#nested(i, 'in');
      case PartKind.NESTED_OUT:
        return this.#nested(i, 'out');
      default:
        return undefined;
    }
  }

  #input(args: unknown): Uint8Array | undefined {
    const { table } = this.#c;
    const command = this.#command;
    if (command?.struct !== undefined) return commandBytes(table, command, args, 'args');
    if (isObject(args)) return bytesOf(args.bytes, 'args.bytes');
    if (command?.arg === 'fd-pointer' || command?.arg === 'u32-pointer')
      return numbersOf(table, args, command.arg === 'fd-pointer' ? 's32' : 'u32', 'args');
    return undefined;
  }

  #nested(i: number, side: 'in' | 'out'): Uint8Array | undefined {
    const { table } = this.#c;
    const command = this.#command;
    const input = this.#first(PartKind.IN);
    const struct = command?.struct;
    if (command === undefined || struct === undefined || input === undefined) return undefined;
    const label = pointerAt(table, command, input, this.#slot(i));
    const json = label === undefined ? undefined : this.#buffer(label, side);
    this.#used.add(`nested.${label}.${side}`);
    const field = struct.fields.find((f) => f.label === label && f.offset === this.#slot(i));
    // what the kernel left as it was is not told again
    if (json === undefined && side === 'out') return this.#firstAt(PartKind.NESTED_IN, this.#slot(i));
    if (json === undefined || field === undefined) return undefined;
    const asked = decodeCommand(table, command, input)!.values;
    const after = side === 'out' ? this.#first(PartKind.OUT) : undefined;
    const values = after === undefined ? asked : decodeCommand(table, command, after)!.values;
    return bufferBytes(table, command, field, json, values, asked, `nested.${label}.${side}`);
  }

  #buffer(label: string, side: 'in' | 'out'): unknown {
    const { nested } = this.#line;
    const both = isObject(nested) && Object.hasOwn(nested, label) ? nested[label] : undefined;
    return isObject(both) ? both[side] : undefined;
  }

  #ofEvent(i: number): Uint8Array | undefined {
    const { args = {}, returnOf } = this.#line;
    const { kind } = this.#head;
    if (!isObject(args)) throw new JsonError(`args: ${shown(args)} is no {…}`);
    const name = kindName(kind);
    switch (this.#kind(i)) {
      case PartKind.ARGS:
        for (const word of ARG_WORDS[name] ?? []) this.#used.add(`args.${word.name}`);
        this.#used.add('args.rest').add('returnOf');
        if (kind === Kind.RETURN) return returnOf === undefined ? undefined : makeArgs(this.#callOf(wordOf(returnOf, 'returnOf'))).bytes;
        return makeArgs(...wordsFrom(name, args, this.#c.machine)).bytes;
      case PartKind.TEXT: {
        const text = textName(name, this.#slot(i));
        this.#used.add(`args.${text}`);
        return Object.hasOwn(args, text) ? textFrom(args[text], `args.${text}`) : undefined;
      }
      case PartKind.IN:
        return this.#transfer('in');
      case PartKind.OUT:
        return this.#transfer('out');
      default:
        return undefined;
    }
  }

  #transfer(side: 'in' | 'out'): Uint8Array | undefined {
    const json = this.#line[side];
    this.#used.add(side);
    if (json === undefined) return undefined;
    const { table } = this.#c;
    if (side === 'out' && this.#command?.struct !== undefined && this.#head.kind === Kind.RETURN)
      return commandBytes(table, this.#command, json, 'out');
    if (!isObject(json)) throw new JsonError(`${side}: ${shown(json)} is no {"bytes": "…"}`);
    if (json.records === undefined) return bytesOf(json.bytes, `${side}.bytes`);
    const struct = table.record('FAULT', side === 'in' ? 'write' : 'read');
    if (struct === undefined || this.#head.fileKind !== FileKind.FAULT)
      throw new JsonError(`${side}: this file has no records; write {"bytes": "…"}`);
    const records = listBytes(table, struct, struct.size, json.records, `${side}.records`);
    const rest =
      json.rest === undefined ? Buffer.alloc(0) : bytesOf(isObject(json.rest) ? json.rest.bytes : json.rest, `${side}.rest.bytes`);
    return Buffer.concat([records, rest]);
  }
}

/** Fields beside `args` and `nested` that parts are made of. */
const TELLING = ['out', 'in', 'returnOf'];

const PART_KEYS = new Set(['kind', 'slot', 'wanted', 'address', 'flags', 'bytes', 'length']);

/** Bits by their names; as a number where one has none. */
export function flagsJson(flags: number, names: Readonly<Record<string, number>>): readonly string[] | number {
  const known = Object.values(names).reduce((all, bit) => all | bit, 0);
  return (flags & ~known) === 0 ? bitNames(flags, names) : flags;
}

/** And back. */
export function flagsFrom(json: unknown, names: Readonly<Record<string, number>>, where: string): number {
  if (json === undefined) return 0;
  if (!Array.isArray(json)) return numberIn(json, where, 0, 255);
  let flags = 0;
  for (const name of json as unknown[]) {
    const bit = typeof name === 'string' ? names[name.toUpperCase()] : undefined;
    if (bit === undefined || !Object.hasOwn(names, String(name).toUpperCase()))
      throw new JsonError(`${where}: ${shown(name)} is none of ${Object.keys(names).join(', ').toLowerCase()}`);
    flags |= bit;
  }
  return flags;
}
