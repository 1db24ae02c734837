/** One event without what says whose it is. */
import { kindName, TEXTS } from '../../hw/event-words.ts';
import { decodeStruct, fieldsOf, gapsOf, holesOf, nestedApplies, nestedLength, testOpOf, type Values } from '../../hw/uapi/codec.ts';
import { targetOfFileKind, type UapiTable, uapiTable } from '../../hw/uapi/table.ts';
import type { Command, Field, Struct } from '../../hw/uapi/types.ts';
import { type Frame, Kind, MMIO_SOURCE_SHIFT, MmioSource, type Part, PartKind } from '../../store/frame.ts';
import { NEWEST, VM_MEMORY } from '../diff/meaning/forms.ts';
import { backingOf } from '../rerun/backing.ts';
import { isKernelAddress, isUserAddress } from './addresses.ts';
import { type ClassName, hasKnownContent } from './classes.ts';
import type { Words } from './words.ts';

export interface Redaction {
  readonly table: UapiTable;
  readonly words: Words;
  readonly keeps: ReadonlySet<ClassName>;
  /** where memory of so many bytes at an address is now */
  moved(address: bigint, length: bigint): bigint;
  count(sort: ClassName): void;
}

const at64 = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength);

/** A copy of the frame; its parts are its own. */
export function redactFrame(f: Frame, r: Redaction): Frame {
  const parts = f.parts.map((p) => ({ ...p, bytes: Uint8Array.from(p.bytes), address: address(p.address, BigInt(p.bytes.length), r) }));
  if (f.kind === Kind.IOCTL || (f.kind === Kind.RETURN && f.request !== 0)) ioctl(f, parts, r);
  else if (f.kind !== Kind.RETURN) other(f, parts, r);
  const returns = (f.kind === Kind.MMAP || f.kind === Kind.MREMAP) && f.error === 0;
  const length = wordAt(f, f.kind === Kind.MREMAP ? 2 : 1);
  const ret = returns ? BigInt.asIntN(64, address(BigInt.asUintN(64, f.ret), length, r)) : f.ret;
  return { ...f, ret, parts: parts.map((p) => textPart(f, p, r)) };
}

function address(n: bigint, length: bigint, r: Redaction): bigint {
  if (!isUserAddress(n) || r.keeps.has('pointers')) return n;
  r.count('pointers');
  return r.moved(n, length);
}

function kernelAddress(n: bigint, length: bigint, r: Redaction): bigint {
  if (!isKernelAddress(n) || r.keeps.has('pointers')) return address(n, length, r);
  r.count('pointers');
  return r.moved(n, length);
}

function scramble(part: { bytes: Uint8Array }, r: Redaction, from = 0, to = part.bytes.length): void {
  const bytes = part.bytes.subarray(from, to);
  if (r.keeps.has('data') || bytes.every((b) => b === 0)) return;
  r.count('data');
  bytes.set(r.words.scrambled(bytes));
}

/**
 * What no table knows, and what lies behind a struct or between its fields. Numbers stay: a kernel looks whether there are any.
 * What can be an address or a text does not.
 */
function unknown(part: { bytes: Uint8Array }, r: Redaction, from = 0, to = part.bytes.length): void {
  if (r.keeps.has('data')) return;
  const view = at64(part.bytes);
  for (let at = from; at < to; at += 8) {
    const end = Math.min(at + 8, to);
    const word = part.bytes.subarray(at, end);
    const n = end - at === 8 ? view.getBigUint64(at, true) : 0n;
    const speaks = word.some((_, i) => i + 4 <= word.length && word.subarray(i, i + 4).every((b) => b >= 0x20 && b < 0x7f));
    if (!speaks && (n < LEAST_UNKNOWN || n >= (1n << 64n) - 4096n)) continue;
    r.count('data');
    word.set(r.words.scrambled(word));
  }
}

/** An address of a 64-bit program is not below. */
const LEAST_UNKNOWN = 1n << 32n;

function wordAt(f: Frame, i: number): bigint {
  const bytes = f.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
  return bytes !== undefined && bytes.length >= 8 * i + 8 ? at64(bytes).getBigUint64(8 * i, true) : 0n;
}

// ---- ioctls ----

function ioctl(f: Frame, parts: readonly Part[], r: Redaction): void {
  const command = r.table.command(targetOfFileKind(f.fileKind) ?? 'iommufd', f.request);
  const input = parts.find((p) => p.kind === PartKind.IN)?.bytes;
  const output = parts.find((p) => p.kind === PartKind.OUT)?.bytes;
  // what buffers are is read before the struct itself is changed; of what came back, the kernel may have said the type
  for (const p of parts) {
    if (p.kind === PartKind.NESTED_IN) buffer(r, command, input ?? output, p);
    else if (p.kind === PartKind.NESTED_OUT) buffer(r, command, output ?? input, p);
  }
  for (const p of parts) {
    if (p.kind === PartKind.IN || p.kind === PartKind.OUT) outerStruct(r, command, p);
    else if (p.kind === PartKind.ARGS && command === undefined) pointerWords(p, r);
    else if (p.kind > PartKind.TEXT) scramble(p, r);
  }
}

const valuesOf = (table: UapiTable, command: Command, struct: Struct, bytes: Uint8Array): Values =>
  decodeStruct(struct, bytes, testOpOf(table, command, bytes)?.arm).values;

function outerStruct(r: Redaction, command: Command | undefined, p: Part): void {
  if (command?.arg === 'string') {
    const text = Buffer.from(p.bytes).toString('latin1');
    if (!r.keeps.has('bdfs')) p.bytes.set(Buffer.from(r.words.bdfs(text), 'latin1').subarray(0, p.bytes.length));
    return;
  }
  if (command === undefined) unknown(p, r);
  if (command?.struct === undefined) return;
  struct(r, command, command.struct, p.bytes, testOpOf(r.table, command, p.bytes)?.arm);
}

/** How many bytes of the program's memory a field points to; undefined: it is no pointer. */
function memoryAt(field: Field, values: Values): bigint | undefined {
  if (field.nested !== undefined) return nestedApplies(field.nested, values) ? nestedLength(field.nested, values) : 1n;
  return field.name === VM_MEMORY.pointer ? BigInt(Number(values[VM_MEMORY.length] ?? 1)) : undefined;
}

/** A struct in place: its pointers, its padding, what lies beyond it. */
function struct(r: Redaction, command: Command | undefined, s: Struct, bytes: Uint8Array, arm: string | undefined): void {
  const { values } = decodeStruct(s, bytes, arm);
  const gaps = gapsOf(bytes, holesOf(s, arm, bytes.length));
  const view = at64(bytes);
  for (const field of fieldsOf(s, arm)) {
    if (field.size !== 8 || field.offset + 8 > bytes.length) continue;
    const length = memoryAt(field, values);
    if (length === undefined) continue;
    view.setBigUint64(field.offset, address(view.getBigUint64(field.offset, true), length, r), true);
  }
  for (const gap of gaps) unknown({ bytes }, r, gap.offset, gap.offset + gap.bytes.length);
  trailing(r, command, s, bytes, values);
}

function trailing(r: Redaction, command: Command | undefined, s: Struct, bytes: Uint8Array, values: Values): void {
  if (bytes.length <= s.size) return;
  const tail = bytes.subarray(s.size);
  const { trailing: array } = s;
  // capabilities and lists of numbers are the kernel's
  if (array === undefined) {
    if (!s.fields.some((f) => f.chain !== undefined)) unknown({ bytes: tail }, r);
    return;
  }
  if (array.struct === 'vfio_pci_dependent_device') dependents(r, bytes.subarray(array.offset), array.stride);
  if (array.payload !== true) return;
  const row = r.table.payloads(command?.name ?? '', array.name).find((p) => (Number(values[p.by] ?? 0) & p.mask) >>> 0 === p.value);
  const payload = bytes.subarray(array.offset);
  if (row?.struct !== undefined) struct(r, command, row.struct, payload, undefined);
  else if (row?.scalar === undefined) unknown({ bytes: payload }, r);
}

/** Devices that a reset of their bus would hit: group, segment, bus, devfn. */
function dependents(r: Redaction, bytes: Uint8Array, stride: number): void {
  if (r.keeps.has('bdfs')) return;
  const s = r.table.struct('vfio_pci_dependent_device');
  const [segment, bus, devfn] = ['segment', 'bus', 'devfn'].map((name) => s?.byName.get(name)?.offset ?? -1);
  if (segment === undefined || segment < 0 || bus === undefined || bus < 0 || devfn === undefined || devfn < 0) return;
  const view = at64(bytes);
  for (let at = 0; at + stride <= bytes.length; at += stride) {
    const fn = view.getUint8(at + devfn);
    const [d, b, slot, f] = r.words.bdf(view.getUint16(at + segment, true), view.getUint8(at + bus), fn >> 3, fn & 7);
    view.setUint16(at + segment, d, true);
    view.setUint8(at + bus, b);
    view.setUint8(at + devfn, (slot << 3) | f);
  }
}

/** What a pointer of the call points to. */
function buffer(r: Redaction, command: Command | undefined, outer: Uint8Array | undefined, p: Part): void {
  const values = command?.struct === undefined || outer === undefined ? {} : valuesOf(r.table, command, command.struct, outer);
  const arm = command === undefined || outer === undefined ? undefined : testOpOf(r.table, command, outer)?.arm;
  const field =
    command?.struct === undefined ? undefined : fieldsOf(command.struct, arm).find((f) => f.offset === p.slot && f.nested !== undefined);
  const nested = field?.nested;
  if (nested?.of === 'bitmap') return;
  if (command === undefined || field === undefined || nested === undefined) {
    scramble(p, r);
    return;
  }
  const each = nested.entry === undefined ? undefined : Number(values[nested.entry] ?? 0);
  const type = Number(values[r.table.payloads(command.name, field.name)[0]?.by ?? ''] ?? 0);
  const known =
    nested.of === 'struct'
      ? r.table.struct(nested.struct ?? '')
      : nested.of === 'payload' || nested.of === 'entries'
        ? (r.table.payload(command, field.name, type, each) ?? uapiTable(NEWEST).payload(command, field.name, type, each))
        : undefined;
  if (known === undefined) {
    // a struct that no table knows is no memory of the program's
    if (nested.of === 'payload' || nested.of === 'entries') unknown(p, r);
    else scramble(p, r);
    return;
  }
  const stride = nested.of === 'payload' ? p.bytes.length : Math.max(1, each ?? known.size);
  for (let at = 0; at < p.bytes.length; at += stride) struct(r, command, known, p.bytes.subarray(at, at + stride), undefined);
}

/** Words of which nobody knows what they are. */
function pointerWords(p: Part, r: Redaction): void {
  const view = at64(p.bytes);
  for (let at = 0; at + 8 <= p.bytes.length; at += 8) view.setBigUint64(at, kernelAddress(view.getBigUint64(at, true), 1n, r), true);
}

// ---- other events ----

/** Words of ARGS that are addresses, and which word is the length behind each. */
const ADDRESSES: Partial<Readonly<Record<number, readonly (readonly [word: number, length: number])[]>>> = {
  [Kind.MMAP]: [
    [0, 1],
    [5, 1],
  ],
  [Kind.MUNMAP]: [[0, 1]],
  [Kind.MREMAP]: [
    [0, 1],
    [4, 2],
  ],
  [Kind.MMIO]: [
    [0, 2],
    [3, -1],
  ],
  [Kind.REGION]: [[2, 1]],
};
/** Kinds with words of which none is an address. */
const PLAIN = new Set<number>([
  Kind.OPEN,
  Kind.CLOSE,
  Kind.DUP,
  Kind.READ,
  Kind.WRITE,
  Kind.START,
  Kind.FD,
  Kind.SENDFD,
  Kind.QUEUE,
  Kind.RETURN,
]);

function other(f: Frame, parts: readonly Part[], r: Redaction): void {
  const args = parts.find((p) => p.kind === PartKind.ARGS);
  if (args !== undefined) addressWords(f, args, r);
  const known = hasKnownContent(f);
  for (const p of parts) {
    const isContent = p.kind === PartKind.IN || p.kind === PartKind.OUT;
    if (p.kind === PartKind.TEXT || p.kind === PartKind.ARGS || (isContent && known)) continue;
    scramble(p, r);
  }
}

function addressWords(f: Frame, p: Part, r: Redaction): void {
  const rows = ADDRESSES[f.kind];
  if (rows === undefined) {
    if (!PLAIN.has(f.kind)) pointerWords(p, r);
    return;
  }
  const view = at64(p.bytes);
  const word = (i: number): bigint => (i >= 0 && p.bytes.length >= 8 * i + 8 ? view.getBigUint64(8 * i, true) : 1n);
  // all lengths are read before an address is changed
  const lengths = rows.map(([, length]) => word(length));
  const source = f.request >>> MMIO_SOURCE_SHIFT;
  rows.forEach(([i], k) => {
    if (p.bytes.length < 8 * i + 8) return;
    // a guest's address, or a physical one
    if (f.kind === Kind.MMIO && i === 0 && source !== MmioSource.TRAPPED && !isKernelAddress(word(0))) return;
    view.setBigUint64(8 * i, kernelAddress(word(i), lengths[k]!, r), true);
  });
}

// ---- texts ----

function textPart(f: Frame, p: Part, r: Redaction): Part {
  if (p.kind !== PartKind.TEXT) return p;
  const text = Buffer.from(p.bytes).toString('utf8');
  // huge pages or not says nothing of anybody
  if (f.kind === Kind.IOCTL && backingOf(text) !== undefined) return p;
  const now = textOf(TEXTS[kindName(f.kind)]?.[p.slot] ?? '', text, r);
  if (now === text) return p;
  const bytes = Buffer.from(now);
  return { ...p, bytes, wanted: BigInt(bytes.length) };
}

/** A function of the kernel, as ftrace tells it. */
const SYMBOL = /^[\w.]+(\+0x[0-9a-f]{1,6}(\/0x[0-9a-f]{1,6})?)?( \[\w+\])?$/;

function textOf(name: string, text: string, r: Redaction): string {
  switch (name) {
    case 'path':
    case 'exe':
    case 'cwd':
      return r.keeps.has('paths') ? text : r.words.path(text);
    case 'argv':
      return r.keeps.has('arguments')
        ? text
        : text
            .split('\0')
            .map((word) => argument(word, r))
            .join('\0');
    case 'comm':
    case 'task':
      return r.keeps.has('arguments') ? text : argument(text, r);
    case 'name':
      return text === 'cmdqv' || r.keeps.has('notes') ? text : argument(text, r);
    case 'by':
      return SYMBOL.test(text) && !/^(0x)?f{4}/.test(text) ? text : argument(text, r);
    default:
      return r.keeps.has('notes') ? text : note(text, r);
  }
}

export function argument(word: string, r: Redaction): string {
  if (word === '') return word;
  r.count('arguments');
  return word.startsWith('/') ? r.words.path(word) : r.words.token('word', word);
}

function note(text: string, r: Redaction): string {
  if (text === '') return text;
  r.count('notes');
  return r.words.token('note', text);
}
