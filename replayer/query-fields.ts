/**
 * Fields of events by name, for queries: what the uAPI table says of ioctls (structs, unions, nested buffers), and the few
 * arguments of the other calls. A name is a field's own or its last part: `index`, `pasid_attach.pasid`, `pasid`.
 */
import type { EventLike } from '../hw/event-text.ts';
import { ARG_WORDS, KIND_NAMES, kindName, syscallNames, TEXTS } from '../hw/event-words.ts';
import { targetOfFileKind, type UapiTable } from '../hw/uapi/table.ts';
import { type Command, type Field, SCALAR_BYTES, type Struct, type TestOp } from '../hw/uapi/types.ts';
import { PartKind } from '../store/frame.ts';
import type { Vocabulary } from './query.ts';
import { recordFields } from './query-records.ts';

export type FieldValue = number | bigint;

/** A value of a field in an event; `field` says which constants it may be compared with. */
export interface FieldHit {
  readonly value: FieldValue;
  readonly field: Field | undefined;
}

/** Most elements of a nested array that are looked at. */
const MOST_ELEMENTS = 65_536;

const bare = (name: string): string => name.slice(name.lastIndexOf('.') + 1);
const isNamed = (field: Field, name: string): boolean => field.name === name || bare(field.name) === name;

/** A place where a field can stand: a part of the frame and the struct in it. */
interface Place {
  readonly field: Field;
  /** PartKind of the input and the output bytes */
  readonly parts: readonly [number, number];
  readonly slot: number;
  /** bytes from one element to the next, or the field that tells; 0 where there is one element */
  readonly stride: number | Field;
  /** the place is there only when this holds on the struct before the call */
  readonly when: ((input: Uint8Array, view: DataView) => boolean) | undefined;
}

const TOP = [PartKind.IN, PartKind.OUT] as const;
const NESTED = [PartKind.NESTED_IN, PartKind.NESTED_OUT] as const;

/** Every struct that a command's arguments consist of, with its place. */
function places(table: UapiTable, command: Command): Place[] {
  const { struct } = command;
  if (struct === undefined) return [];
  const found: Place[] = [];
  const op = struct.byName.get('op');
  for (const field of struct.fields) {
    const arm = field.arm;
    if (arm !== undefined && op !== undefined && command.name === 'IOMMU_TEST_CMD') {
      found.push({ field, parts: TOP, slot: 0, stride: 0, when: (input, view) => armOf(table, op, input, view) === arm });
    } else found.push({ field, parts: TOP, slot: 0, stride: 0, when: undefined });
    if (field.nested !== undefined) found.push(...nestedPlaces(table, command, struct, field));
  }
  return found;
}

function armOf(table: UapiTable, op: Field, input: Uint8Array, view: DataView): string | undefined {
  return op.offset + 4 > input.length ? undefined : table.testOp(view.getUint32(op.offset, true))?.arm;
}

function nestedPlaces(table: UapiTable, command: Command, struct: Struct, pointer: Field): Place[] {
  const nested = pointer.nested!;
  const slot = pointer.offset;
  const all = (inner: Struct | undefined, stride: Place['stride'], when: Place['when']): Place[] =>
    (inner?.fields ?? []).map((field) => ({ field, parts: NESTED, slot, stride, when }));
  if (nested.of === 'struct' && nested.struct !== undefined) {
    const inner = table.struct(nested.struct);
    return all(inner, inner?.size ?? 0, undefined);
  }
  if (nested.of !== 'payload' && nested.of !== 'entries') return [];
  const entry = nested.of === 'entries' && nested.entry !== undefined ? struct.byName.get(nested.entry) : undefined;
  return table.payloads(command.name, pointer.name).flatMap((payload) => {
    const by = struct.byName.get(payload.by);
    if (by === undefined) return [];
    const when = (input: Uint8Array, view: DataView): boolean => {
      const value = scalarAt(by, input, view, by.offset);
      const bytes = entry === undefined ? undefined : scalarAt(entry, input, view, entry.offset);
      return (
        value !== undefined &&
        table.payload(command, pointer.name, Number(value), bytes === undefined ? undefined : Number(bytes)) === payload.struct
      );
    };
    return all(payload.struct, entry ?? 0, when);
  });
}

function scalarAt(field: Field, bytes: Uint8Array, view: DataView, at: number): FieldValue | undefined {
  const width = SCALAR_BYTES[field.type];
  if (at + width > bytes.length) return undefined;
  switch (field.type) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 's32':
      return view.getInt32(at, true);
    case 's64':
      return view.getBigInt64(at, true);
    case 'u64':
    case 'le64':
      return view.getBigUint64(at, true);
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function hitsOf(place: Place, event: EventLike, began: EventLike, hits: FieldHit[]): void {
  const input = began.parts.find((p) => p.kind === PartKind.IN)?.bytes;
  if (place.when !== undefined && (input === undefined || !place.when(input, viewOf(input)))) return;
  const [before, after] = place.parts;
  const { dir } = place.field;
  let { stride } = place;
  if (typeof stride !== 'number') stride = input === undefined ? 0 : Number(scalarAt(stride, input, viewOf(input), stride.offset) ?? 0);
  // A call that fails writes no outputs; what it may write all the same are fields that go both ways.
  if (dir !== 'out') partHits(place, stride, began, before, hits);
  if (dir === 'inout' || (dir === 'out' && event.error === 0)) partHits(place, stride, event, after, hits);
}

function partHits(place: Place, stride: number, event: EventLike, kind: number, hits: FieldHit[]): void {
  const part = event.parts.find((p) => p.kind === kind && p.slot === place.slot);
  if (part === undefined) return;
  const view = viewOf(part.bytes);
  const { field } = place;
  const width = SCALAR_BYTES[field.type];
  const elements = stride <= 0 ? 1 : Math.min(MOST_ELEMENTS, Math.ceil(part.bytes.length / stride));
  for (let e = 0; e < elements; e++) {
    for (let i = 0; i < (field.count ?? 1); i++) {
      const value = scalarAt(field, part.bytes, view, e * stride + field.offset + i * width);
      if (value !== undefined) hits.push({ value, field });
    }
  }
}

/** Reads one field of events; remembers where it stands in each command. */
export class FieldReader {
  private readonly table: UapiTable;
  private readonly wanted: (field: Field) => boolean;
  private readonly name: string;
  private readonly known = new Map<string, readonly Place[]>();

  /** @param wanted which fields of ioctls; `name` finds arguments of the other calls */
  constructor(table: UapiTable, name: string, wanted: (field: Field) => boolean = (field) => isNamed(field, name)) {
    this.table = table;
    this.name = name;
    this.wanted = wanted;
  }

  /** Every value that the field has in the event: none where it has no such field, two where a call changes it. */
  hits(event: EventLike, began: EventLike = event): readonly FieldHit[] {
    const hits: FieldHit[] = [];
    const kind = kindName(began.kind);
    if (kind === 'ioctl') for (const place of this.placesIn(began)) hitsOf(place, event, began, hits);
    const index = ARG_WORDS[kind]?.findIndex((word) => word.name === this.name) ?? -1;
    if (index < 0) return hits;
    const args = began.parts.find((p) => p.kind === PartKind.ARGS);
    if (args === undefined || 8 * index + 8 > args.bytes.length) return hits;
    const word = viewOf(args.bytes).getBigUint64(8 * index, true);
    hits.push({ value: ARG_WORDS[kind]?.[index]?.form === 'fd' ? BigInt.asIntN(32, word) : word, field: undefined });
    return hits;
  }

  private placesIn(event: EventLike): readonly Place[] {
    const key = `${event.fileKind} ${event.request}`;
    let found = this.known.get(key);
    if (found === undefined) {
      const target = targetOfFileKind(event.fileKind);
      const command = target === undefined ? undefined : this.table.command(target, event.request);
      found = command === undefined ? [] : places(this.table, command).filter((p) => this.wanted(p.field));
      this.known.set(key, found);
    }
    return found;
  }
}

const isObjectId = (field: Field): boolean => field.ref !== undefined || field.creates !== undefined || field.destroys === true;

/** An id of an object that an event names, and the types that its place allows (empty = any). */
export interface ObjectMention {
  readonly id: number;
  readonly types: readonly string[];
  /** the event made it: before, the id stood for nothing or for another object */
  readonly created: boolean;
}

/** Which objects do events name? */
export class MentionReader {
  private readonly reader: FieldReader;
  private readonly table: UapiTable;
  private readonly op: FieldReader;

  constructor(table: UapiTable) {
    this.table = table;
    this.reader = new FieldReader(table, '', isObjectId);
    this.op = new FieldReader(table, 'op');
  }
  mentions(event: EventLike, began: EventLike = event): ObjectMention[] {
    const found: ObjectMention[] = [];
    for (const { value, field } of this.reader.hits(event, began)) {
      const types = this.typesOf(field!, event, began);
      if (types !== undefined && value !== 0) found.push({ id: Number(value), types, created: field!.creates !== undefined });
    }
    return found;
  }
  /** undefined where the number is no object after all: `id` of a test operation may be a descriptor. */
  private typesOf(field: Field, event: EventLike, began: EventLike): readonly string[] | undefined {
    const types = field.creates ?? field.ref ?? [];
    if (types.includes('ANY' as never)) return [];
    if (!types.includes('OP' as never)) return types;
    const op: TestOp | undefined = this.op.hits(event, began).map((h) => this.table.testOp(Number(h.value)))[0];
    return op === undefined || typeof op.id === 'string' ? undefined : op.id;
  }
}

/** The text fields of an event by name, decoded as UTF-8. */
export function textOf(event: EventLike, name: string): string | undefined {
  const slot = TEXTS[kindName(event.kind)]?.indexOf(name) ?? -1;
  const part = slot < 0 ? undefined : event.parts.find((p) => p.kind === PartKind.TEXT && p.slot === slot);
  return part === undefined ? undefined : new TextDecoder().decode(part.bytes).replaceAll('\0', ' ');
}

/** The number of a constant of this field: its whole name, its short name, or the end of it. */
export function constantOf(table: UapiTable, field: Field, word: string): number | undefined {
  const upper = word.toUpperCase();
  const row = table.enum(field.enum ?? field.flags ?? '');
  if (row === undefined) return undefined;
  for (const [name, value] of row.members) if (name === upper || name.endsWith(`_${upper}`)) return value;
  return undefined;
}

const vocabularies = new WeakMap<UapiTable, Vocabulary>();

/** The names that a query may use with this table. */
export function vocabularyOf(table: UapiTable): Vocabulary {
  let words = vocabularies.get(table);
  if (words === undefined) {
    words = makeVocabulary(table);
    vocabularies.set(table, words);
  }
  return words;
}

function makeVocabulary(table: UapiTable): Vocabulary {
  const fields = new Map<string, Field[]>();
  for (const command of [...table.commands, ...table.kvm]) {
    for (const { field } of places(table, command)) {
      for (const name of new Set([field.name, bare(field.name)])) fields.set(name, [...(fields.get(name) ?? []), field]);
    }
  }
  for (const field of recordFields(table)) fields.set(field.name, [...(fields.get(field.name) ?? []), field]);
  for (const { name } of Object.values(ARG_WORDS).flat()) if (!fields.has(name)) fields.set(name, []);
  const texts = new Set(Object.values(TEXTS).flat());
  const calls = [...new Set([...table.commands.map((c) => c.name), ...table.kvm.map((c) => c.name), ...syscallNames(), ...KIND_NAMES])];
  const byUpper = new Map(calls.map((name) => [name.toUpperCase(), name]));
  return {
    calls,
    fields: [...fields.keys(), ...texts],
    call: (word) => {
      const upper = word.toUpperCase();
      return ['', 'IOMMU_', 'VFIO_'].map((prefix) => byUpper.get(prefix + upper)).find((name) => name !== undefined);
    },
    field: (word) => fields.has(word),
    text: (word) => texts.has(word),
    constant: (name, word) => (fields.get(name) ?? []).some((field) => constantOf(table, field, word) !== undefined),
  };
}
