/** Plainer numbers in what calls ask: 0, a page, one bit, an array with fewer entries. */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { type Field, SCALAR_BYTES } from '../../hw/uapi/types.ts';
import { encodeFrame, FrameCursor, Kind, type Part, PartKind } from '../../store/frame.ts';
import type { How } from '../diff/meaning/forms.ts';
import { EventBytes } from '../event.ts';
import { Fields } from '../program/fields.ts';
import type { Place, Step } from '../program/program.ts';
import { get, put } from '../program/values.ts';
import type { Subject } from './subject.ts';

/** Bytes of a buffer that is looked at word by word. */
const MOST_BYTES = 512;
/** Entries of an array that are left out one by one. */
const MOST_ENTRIES = 64;
const PAGE = 0x1000n;

/** A number that a call asks with: one that stands for nothing else, or an id that it may not look at. */
export interface Site extends Place {
  /** index of the step's frame */
  readonly frame: number;
  /** amount: what it could be instead is smaller. flags: less of them. id: of an object; none instead */
  readonly is: 'amount' | 'flags' | 'id';
  /** flags that stay: whether the program chooses the IOVA, or the kernel, whose choice another kernel need not make */
  readonly fixed: bigint;
}

/** Are the frames of a step as they are in the program: one, in one piece? */
const isPlain = (step: Step): boolean => step.split === undefined && step.role === 'call' && step.kind === Kind.IOCTL;

/** The numbers of a subject that could be others; `fixed`: frames of which none is to change. */
export function sitesOf({ program, chosen }: Subject, table: UapiTable, fixed: ReadonlySet<number>): Site[] {
  const fields = new Fields(table);
  return program.steps.flatMap((step, index) => (isPlain(step) && !fixed.has(step.seq - 1) ? sitesIn(step, index === chosen, fields) : []));
}

function sitesIn(step: Step, isChosen: boolean, fields: Fields): Site[] {
  const found: Site[] = [];
  const e = new EventBytes();
  const frame = Buffer.from(step.frame);
  const command = e.read(frame, 0) ? fields.command(e) : undefined;
  const forms = command === undefined ? undefined : fields.of(command);
  if (forms === undefined || e.in.bytes < 0) return found;
  const add = (place: Place, is: Site['is'], bits = 0n): void => {
    if (get(frame, place) !== 0n) found.push({ ...place, frame: step.seq - 1, is, fixed: bits });
  };
  const lengths = new Set(forms.struct.fields.flatMap(lengthsOf));
  fields.asked(e, forms, {
    field: ({ field, width }, how, at) => {
      if (at < e.in.start || at >= e.in.start + e.in.bytes) return;
      // what has ended, and what the chosen call names, is what it is about
      if (how === 'object' && !isChosen && namesLive(step, at)) add({ at, width }, 'id');
      else if (FREE.has(how) && isAmount(field) && !lengths.has(field.name) && isFree(step, { at, width }))
        add({ at, width }, field.flags === undefined ? 'amount' : 'flags', at === e.in.start + forms.choice ? 1n : 0n);
    },
    pointer: () => {},
  });
  for (const at of wordsOf(frame)) if (isFree(step, { at, width: 4 })) add({ at, width: 4 }, 'amount');
  return found;
}

const namesLive = ({ uses }: Step, at: number): boolean => uses.some((u) => u.at === at && !u.ended);
const isFree = ({ uses }: Step, { at, width }: Place): boolean => !uses.some((u) => u.at < at + width && at < u.at + u.width);

/** A type says what a call is about: another is another call. */
const isAmount = ({ name, enum: type }: Field): boolean => type === undefined && name !== 'op';

/** Fields that say how much is behind a pointer. */
function lengthsOf({ nested }: Field): readonly string[] {
  if (nested === undefined || nested.dir === 'mapped') return [];
  const { length } = nested;
  if (length.rule === 'field') return [length.field];
  return length.rule === 'product' ? [length.a, length.b] : [];
}

const FREE: ReadonlySet<How> = new Set<How>(['value', 'iova', 'log2']);

/** Words of the buffers that a call points to. */
function* wordsOf(frame: Buffer): Generator<number> {
  for (const part of partsOf(frame)) {
    if (part.kind !== PartKind.NESTED_IN || part.bytes.length > MOST_BYTES) continue;
    for (let i = 0; i + 4 <= part.bytes.length; i += 4) yield part.bytes.byteOffset - frame.byteOffset + i;
  }
}

const partsOf = (frame: Buffer): readonly Part[] => new FrameCursor().at(frame, 0).frame().parts;

/** What a number could be instead, the plainest first: 0, 1, a page, a power of two, whole pages; of flags one less; of an id none. */
export function plainer(value: bigint, { is, fixed }: Pick<Site, 'is' | 'fixed'>): bigint[] {
  const found = new Set<bigint>([0n]);
  if (is === 'id') return value === 0n ? [] : [0n];
  if (is === 'flags') {
    for (let bit = 1n; bit <= value; bit <<= 1n) if ((value & bit) !== 0n) found.add(value & ~bit);
  } else if (value < PAGE) found.add(1n);
  else for (const n of [PAGE, highestBit(value), value & ~(PAGE - 1n)]) found.add(n);
  return [...found].filter((n) => n < value && (n & fixed) === (value & fixed));
}

const highestBit = (value: bigint): bigint => 1n << BigInt(value.toString(2).length - 1);

/** The frames with a number in the place of others; where an answer repeats what was asked, there, too. */
export function withNumber(frames: readonly Buffer[], sites: readonly Site[], value: bigint): Buffer[] {
  const changed = [...frames];
  for (const { frame: index, ...place } of sites) {
    const frame = Buffer.from(changed[index]!);
    const mirror = mirrorOf(frame, place);
    if (mirror !== undefined && get(frame, mirror) === get(frame, place)) put(frame, mirror, value);
    put(frame, place, value);
    changed[index] = frame;
  }
  return changed;
}

const AFTER: Readonly<Record<number, number>> = { [PartKind.IN]: PartKind.OUT, [PartKind.NESTED_IN]: PartKind.NESTED_OUT };

/** The same place in the same memory after the call. */
function mirrorOf(frame: Buffer, { at, width }: Place): Place | undefined {
  const parts = partsOf(frame);
  const start = (p: Part): number => p.bytes.byteOffset - frame.byteOffset;
  const part = parts.find((p) => start(p) <= at && at + width <= start(p) + p.bytes.length);
  const after = part && parts.find((p) => p.kind === AFTER[part.kind] && p.slot === part.slot);
  return part === undefined || after === undefined || at - start(part) + width > after.bytes.length
    ? undefined
    : { at: at - start(part) + start(after), width };
}

/** Frames of a step with fewer entries in an array that it points to: with one alone, or without one. */
export function* withFewer(step: Step, table: UapiTable): Generator<Buffer> {
  const fields = new Fields(table);
  const e = new EventBytes();
  const command = isPlain(step) && e.read(Buffer.from(step.frame), 0) ? fields.command(e) : undefined;
  const struct = command?.struct;
  for (const field of struct?.fields ?? []) {
    const length = field.nested?.of === 'struct' || field.nested?.of === 'entries' ? field.nested.length : undefined;
    if (length?.rule !== 'field' && length?.rule !== 'product') continue;
    const names = length.rule === 'field' ? [length.field] : [length.a, length.b];
    for (const name of names) {
      const count = struct?.byName.get(name);
      if (count === undefined || name === field.nested?.entry || SCALAR_BYTES[count.type] !== 4) continue;
      yield* fewer(step.frame, field.offset, count.offset);
    }
  }
}

function* fewer(frame: Buffer, slot: number, countAt: number): Generator<Buffer> {
  const cursor = new FrameCursor().at(frame, 0);
  if (!cursor.part(PartKind.IN) || cursor.partBytes < countAt + 4) return;
  const count = frame.readUInt32LE(cursor.partStart + countAt);
  const array = partsOf(frame).find((p) => p.kind === PartKind.NESTED_IN && p.slot === slot);
  if (array === undefined || count < 2 || count > MOST_ENTRIES || array.bytes.length % count !== 0) return;
  const all = Array.from({ length: count }, (_, i) => i);
  for (const i of all) yield withEntries(frame, slot, countAt, count, [i]);
  if (count > 2)
    for (const i of all)
      yield withEntries(
        frame,
        slot,
        countAt,
        count,
        all.filter((x) => x !== i),
      );
}

function withEntries(frame: Buffer, slot: number, countAt: number, count: number, keep: readonly number[]): Buffer {
  const whole = new FrameCursor().at(frame, 0).frame();
  const parts = whole.parts.map((p) => {
    const bytes = Buffer.from(p.bytes);
    if ((p.kind === PartKind.NESTED_IN || p.kind === PartKind.NESTED_OUT) && p.slot === slot && bytes.length % count === 0) {
      const one = bytes.length / count;
      const kept = Buffer.concat(keep.map((i) => bytes.subarray(i * one, (i + 1) * one)));
      return { ...p, bytes: kept, wanted: BigInt(kept.length) };
    }
    if ((p.kind === PartKind.IN || p.kind === PartKind.OUT) && bytes.length >= countAt + 4 && bytes.readUInt32LE(countAt) === count)
      bytes.writeUInt32LE(keep.length, countAt);
    return { ...p, bytes };
  });
  return encodeFrame({ ...whole, parts });
}
