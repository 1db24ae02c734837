/**
 * SMMUv3 event records as rows: 32 bytes, four little-endian 64-bit words, the kind in the low byte of the first. Of the
 * vEVENTs of an SMMUv3 they are the payload, with the guest's stream id in the place of the hardware's.
 * drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h (EVT_ID_*, EVTQ_*); kinds that Linux does not name: the architecture's.
 */
import { type BitField, bytesOf, field, fits, getField, hexText, type Source, setField, unknownBits, valueText, wordsOf } from '../bits.ts';

export const EVENT_BYTES = 32;

export interface EventRow {
  readonly name: string;
  readonly id: number;
  /** the kernel hands it to the vEVENTQ of the device's vIOMMU (arm-smmu-v3.c, arm_smmu_handle_event()) */
  readonly vevent: boolean;
  /** but for the kind and the stream */
  readonly fields: readonly BitField[];
  readonly note: string;
  readonly source: Source;
}

type Words = readonly [bigint, bigint, bigint, bigint];

const ID = field('ID', [7, 0], 'kind', 'linux', { format: 'hex' });
const SSV = field('SSV', 11, 'SSID is valid');
const SSID = field('SSID', [31, 12], 'substream (PASID)', 'linux', { format: 'hex' });
const SID = field('SID', [63, 32], 'stream; in a vEVENT, the virtual one', 'linux', { format: 'hex' });
const STREAM = [SID, SSV, SSID] as const;
const ADDR = field('ADDR', [63, 0], 'input address', 'linux', { word: 2, format: 'address' });
const RNW = field('RnW', 35, 'read', 'linux', { word: 1 });
const REASON = field('REASON', [15, 0], 'made by the hardware', 'arm', { word: 1, format: 'hex' });
const FETCH = field('FETCH', [51, 3], 'address that was fetched', 'linux', { word: 3, format: 'address' });
const ACCESS: readonly BitField[] = [
  field('PnU', 33, 'privileged', 'linux', { word: 1 }),
  field('InD', 34, 'instruction', 'linux', { word: 1 }),
  RNW,
];
const STAGE: readonly BitField[] = [
  field('S2', 39, 'stage 2', 'linux', { word: 1 }),
  field('CLASS', [41, 40], 'what was being translated', 'linux', { word: 1, values: { 0: 'CD', 1: 'TT', 2: 'IN' } }),
];
const STALL: readonly BitField[] = [
  field('STAG', [15, 0], 'of a stalled transaction', 'linux', { word: 1 }),
  field('STALL', 31, 'the transaction waits for RESUME', 'linux', { word: 1 }),
];
/** of F_TRANSLATION and its kin */
const FAULT: readonly BitField[] = [
  ...STALL,
  ...ACCESS,
  ...STAGE,
  field('TT_READ', 44, 'read of the translation table', 'linux', { word: 1 }),
  ADDR,
  field('IPA', [51, 12], 'intermediate address', 'linux', { word: 3, format: 'address' }),
];

type Row = readonly [name: string, id: number, vevent: boolean, fields: readonly BitField[], note: string, source?: Source];

const ROWS: readonly Row[] = [
  ['F_UUT', 0x01, false, [...ACCESS, REASON, ADDR], 'a transaction that is not supported', 'arm'],
  ['C_BAD_STREAMID', 0x02, false, [], 'the stream is out of range'],
  ['F_STE_FETCH', 0x03, false, [REASON, FETCH], 'the stream table entry cannot be read'],
  ['C_BAD_STE', 0x04, true, [], 'the stream table entry is not valid'],
  ['F_BAD_ATS_TREQ', 0x05, false, [...ACCESS, ADDR], 'a translation request that is not allowed', 'arm'],
  ['F_STREAM_DISABLED', 0x06, true, [], 'the entry has no translation for this transaction'],
  ['F_TRANSL_FORBIDDEN', 0x07, false, [RNW, ADDR], 'a translated transaction that is not allowed', 'arm'],
  ['C_BAD_SUBSTREAMID', 0x08, true, [], 'the substream is out of range'],
  ['F_CD_FETCH', 0x09, false, [REASON, FETCH], 'the context descriptor cannot be read'],
  ['C_BAD_CD', 0x0a, true, [], 'the context descriptor is not valid'],
  ['F_WALK_EABT', 0x0b, false, [REASON, ...ACCESS, ...STAGE, ADDR, FETCH], 'the translation table cannot be read', 'arm'],
  ['F_TRANSLATION', 0x10, true, FAULT, 'there is no translation'],
  ['F_ADDR_SIZE', 0x11, true, FAULT, 'an address is too large'],
  ['F_ACCESS', 0x12, true, FAULT, 'the access flag is clear'],
  ['F_PERMISSION', 0x13, true, FAULT, 'the access is not permitted'],
  ['F_TLB_CONFLICT', 0x20, false, [REASON, ...ACCESS, ...STAGE, ADDR], 'translations that contradict each other', 'arm'],
  ['F_CFG_CONFLICT', 0x21, false, [REASON], 'configurations that contradict each other', 'arm'],
  ['E_PAGE_REQUEST', 0x24, false, [], 'a page request that was not taken', 'arm'],
  ['F_VMS_FETCH', 0x25, false, [REASON, FETCH], 'the virtual machine structure cannot be read'],
];

export const EVENTS: readonly EventRow[] = ROWS.map(([name, id, vevent, own, note, source = 'linux']) => ({
  name,
  id,
  vevent,
  fields: [...STREAM, ...own],
  note,
  source,
}));

const BY_ID: ReadonlyMap<number, EventRow> = new Map(EVENTS.map((e) => [e.id, e]));
const BY_NAME: ReadonlyMap<string, EventRow> = new Map(EVENTS.map((e) => [e.name, e]));

export const eventByName = (name: string): EventRow | undefined => BY_NAME.get(name);

export interface Event {
  /** undefined: the kind is not in the table */
  readonly row: EventRow | undefined;
  readonly id: number;
  /** as they are; what is missing of a cut record is 0 */
  readonly words: Words;
  readonly values: Readonly<Record<string, bigint>>;
  /** bits that the row has no field for */
  readonly unknown: Words;
  /** of a record that is cut or followed by something: the bytes that are none */
  readonly rest: Uint8Array;
}

/** Never throws: fewer than 32 bytes give an event without a row and all of them as `rest`. */
export function decodeEvent(bytes: Uint8Array): Event {
  const whole = bytes.length >= EVENT_BYTES;
  const words = (whole ? wordsOf(bytes.subarray(0, EVENT_BYTES)) : [0n, 0n, 0n, 0n]) as unknown as Words;
  const id = Number(words[0] & 0xffn);
  const row = whole ? BY_ID.get(id) : undefined;
  // the stream lies in the same place in records of any kind
  const fields = row?.fields ?? STREAM;
  return {
    row,
    id,
    words,
    values: Object.fromEntries(fields.map((f) => [f.name, getField(words, f)])),
    unknown: unknownBits(words, [ID, ...fields]) as unknown as Words,
    rest: whole ? bytes.subarray(EVENT_BYTES) : bytes,
  };
}

/** The 32 bytes of a record; fields that are not given are 0. Throws for a name, field or value that there is not. */
export function encodeEvent(name: string, values: Readonly<Record<string, number | bigint>> = {}): Uint8Array {
  const row = BY_NAME.get(name);
  if (row === undefined) throw new Error(`no event ${name}`);
  const words = [BigInt(row.id), 0n, 0n, 0n];
  for (const [key, given] of Object.entries(values)) {
    const f = row.fields.find((x) => x.name === key);
    if (f === undefined) throw new Error(`${name} has no field ${key}`);
    const value = BigInt(given);
    if (!fits(f, value)) throw new Error(`${name}: ${key} ${hexText(value)} does not fit`);
    words[f.word] = setField(words[f.word]!, f, value);
  }
  return bytesOf(words);
}

/** Fields that are said when they are 0 as well. */
const ALWAYS: ReadonlySet<string> = new Set(['SID', 'ADDR', 'CLASS']);

/** `F_TRANSLATION sid 0x8 ssid 0x1 RnW class IN addr 0x1000`; of a kind that is not known the words. */
export function eventText(e: Event): string {
  const bytes = [...e.rest].map((b) => b.toString(16).padStart(2, '0')).join('');
  if (e.row === undefined)
    return e.rest.length > 0 && e.words[0] === 0n ? `bytes:${bytes}` : `?${hexText(BigInt(e.id))} ${e.words.map(hexText).join(' ')}`;
  const parts = e.row.fields.flatMap((f) => {
    const v = e.values[f.name]!;
    const name = /[a-z]/.test(f.name) ? f.name : f.name.toLowerCase();
    if (f.name === 'SSV') return [];
    if (f.name === 'SSID') return e.values.SSV === 1n ? [`ssid ${valueText(f, v)}`] : v === 0n ? [] : [`(ssid ${valueText(f, v)})`];
    if (f.bits[0] === f.bits[1]) return v === 0n ? [] : [name];
    return v === 0n && !ALWAYS.has(f.name) ? [] : [`${name} ${valueText(f, v)}`];
  });
  e.unknown.forEach((bits, i) => {
    if (bits !== 0n) parts.push(`?word${i} ${hexText(bits)}`);
  });
  if (e.rest.length > 0) parts.push(`bytes:${bytes}`);
  return [e.row.name, ...parts].join(' ');
}
