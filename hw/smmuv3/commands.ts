/**
 * SMMUv3 commands as rows: 16 bytes, two little-endian 64-bit words, the opcode in the low byte of the first.
 * drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h (CMDQ_OP_*, CMDQ_*_0_*, CMDQ_*_1_*). Decoding, encoding and text derive from the
 * rows; what they do not know is kept beside it.
 */
import { type BitField, bytesOf, field, fits, getField, hexText, type Source, setField, unknownBits, valueText, wordsOf } from '../bits.ts';

export const COMMAND_BYTES = 16;

export interface CommandRow {
  readonly name: string;
  readonly opcode: number;
  /** but for the opcode */
  readonly fields: readonly BitField[];
  readonly note: string;
  /** A queue that a guest owns takes it (tegra241-cmdqv.c, tegra241_guest_vcmdq_supports_cmd(); and CMD_SYNC). */
  readonly guestQueue: boolean;
  /** What IOMMU_HWPT_INVALIDATE makes of it; undefined: EIO (arm-smmu-v3-iommufd.c, arm_vsmmu_convert_user_cmd()). */
  readonly invalidate: 'as TLBI_NH_ALL of the VMID' | 'VMID forced' | 'SID replaced' | undefined;
  readonly source: Source;
}

const OP = field('OP', [7, 0], 'what to do', 'linux', { format: 'hex' });
const one = { word: 1 };
const address = { word: 1, format: 'address' } as const;
const SSV = field('SSV', 11, 'SSID is valid');
const SSID = field('SSID', [31, 12], 'substream (PASID)', 'linux', { format: 'hex' });
const SID = field('SID', [63, 32], 'stream', 'linux', { format: 'hex' });
const VMID = field('VMID', [47, 32], 'virtual machine');
const ASID = field('ASID', [63, 48], 'address space');
const LEAF = field('LEAF', 0, 'last level only', 'linux', one);
const VA = field('VA', [63, 12], 'address', 'linux', address);
const RANGE = [
  field('NUM', [16, 12], 'range: (NUM + 1) · 2^SCALE pages'),
  field('SCALE', [24, 20], 'range: (NUM + 1) · 2^SCALE pages'),
  field('TTL', [9, 8], 'level of the entry, 0 any', 'linux', one),
  field('TG', [11, 10], 'page of the range; none: a single address', 'linux', { word: 1, values: { 1: '4K', 2: '16K', 3: '64K' } }),
];
const response = (values: Readonly<Record<number, string>>, word: 0 | 1): BitField =>
  field('RESP', [13, 12], 'answer', 'linux', { word, values });

interface Row {
  readonly op: number;
  readonly fields: readonly BitField[];
  readonly note: string;
  readonly guest?: true;
  readonly by?: CommandRow['invalidate'];
}

const ROWS: Readonly<Record<string, Row>> = {
  PREFETCH_CFG: {
    op: 0x01,
    fields: [SSV, SID, SSID, field('SIZE', [4, 0], 'log2 of pages', 'linux', one), field('ADDR', [63, 12], 'address', 'linux', address)],
    note: 'fetch the configuration of a stream',
  },
  CFGI_STE: { op: 0x03, fields: [SID, LEAF], note: 'forget the stream table entry' },
  CFGI_ALL: { op: 0x04, fields: [field('RANGE', [4, 0], 'log2 of streams − 1; 31: all', 'linux', one)], note: 'forget all configuration' },
  CFGI_CD: { op: 0x05, fields: [SID, SSID, LEAF], note: 'forget a context descriptor', by: 'SID replaced' },
  CFGI_CD_ALL: { op: 0x06, fields: [SID], note: 'forget all context descriptors of a stream', by: 'SID replaced' },
  TLBI_NH_ALL: { op: 0x10, fields: [VMID], note: 'forget all translations of a VMID', by: 'VMID forced' },
  TLBI_NH_ASID: { op: 0x11, fields: [VMID, ASID], note: 'forget translations of an ASID', guest: true, by: 'VMID forced' },
  TLBI_NH_VA: {
    op: 0x12,
    fields: [VMID, ASID, VA, ...RANGE, LEAF],
    note: 'forget translations of addresses',
    guest: true,
    by: 'VMID forced',
  },
  TLBI_NH_VAA: { op: 0x13, fields: [VMID, VA, ...RANGE, LEAF], note: 'forget translations of addresses, all ASIDs', by: 'VMID forced' },
  TLBI_EL2_ALL: { op: 0x20, fields: [], note: 'EL2: forget all translations' },
  TLBI_EL2_ASID: { op: 0x21, fields: [ASID], note: 'EL2: forget translations of an ASID' },
  TLBI_EL2_VA: { op: 0x22, fields: [ASID, VA, ...RANGE, LEAF], note: 'EL2: forget translations of addresses' },
  TLBI_S12_VMALL: { op: 0x28, fields: [VMID], note: 'forget translations of both stages' },
  TLBI_S2_IPA: {
    op: 0x2a,
    fields: [VMID, field('IPA', [51, 12], 'intermediate address', 'linux', address), ...RANGE, LEAF],
    note: 'forget stage 2 of addresses',
  },
  TLBI_NSNH_ALL: { op: 0x30, fields: [], note: 'forget all translations but those of EL2', by: 'as TLBI_NH_ALL of the VMID' },
  ATC_INV: {
    op: 0x40,
    fields: [
      SSV,
      SID,
      SSID,
      field('GLOBAL', 9, 'of all substreams'),
      field('ADDR', [63, 12], 'address', 'linux', address),
      field('SIZE', [5, 0], 'log2 of pages; 52: all', 'linux', one),
    ],
    note: 'have a device forget translations',
    guest: true,
    by: 'SID replaced',
  },
  PRI_RESP: {
    op: 0x41,
    fields: [
      SSV,
      SID,
      SSID,
      field('GRPID', [8, 0], 'page request group', 'linux', one),
      response({ 0: 'DENY', 1: 'FAIL', 2: 'SUCCESS' }, 1),
    ],
    note: 'answer a page request',
  },
  RESUME: {
    op: 0x44,
    fields: [SID, response({ 0: 'TERMINATE', 1: 'RETRY', 2: 'ABORT' }, 0), field('STAG', [15, 0], 'stalled transaction', 'linux', one)],
    note: 'answer a stalled transaction',
  },
  CMD_SYNC: {
    op: 0x46,
    fields: [
      field('CS', [13, 12], 'how its end is told', 'linux', { values: { 0: 'NONE', 1: 'IRQ', 2: 'SEV' } }),
      field('MSH', [23, 22], 'shareability of the message', 'linux', { values: { 0: 'NSH', 2: 'OSH', 3: 'ISH' } }),
      field('MSIATTR', [27, 24], 'memory type of the message', 'linux', { format: 'hex' }),
      field('MSIDATA', [63, 32], 'what is written', 'linux', { format: 'hex' }),
      field('MSIADDR', [51, 2], 'where it is written', 'linux', address),
    ],
    note: 'wait for the commands before it',
    guest: true,
  },
};

export const COMMANDS: readonly CommandRow[] = Object.entries(ROWS).map(([name, r]) => ({
  name,
  opcode: r.op,
  fields: r.fields,
  note: r.note,
  guestQueue: r.guest === true,
  invalidate: r.by,
  source: 'linux',
}));

const BY_OPCODE: ReadonlyMap<number, CommandRow> = new Map(COMMANDS.map((c) => [c.opcode, c]));
const BY_NAME: ReadonlyMap<string, CommandRow> = new Map(COMMANDS.map((c) => [c.name, c]));

export const commandByOpcode = (opcode: number): CommandRow | undefined => BY_OPCODE.get(opcode);
export const commandByName = (name: string): CommandRow | undefined => BY_NAME.get(name);

export interface Command {
  /** undefined: the opcode is not in the table */
  readonly row: CommandRow | undefined;
  readonly opcode: number;
  /** the two words as they are; what is missing of a cut one is 0 */
  readonly words: readonly [bigint, bigint];
  /** by name of the field */
  readonly values: Readonly<Record<string, bigint>>;
  /** bits that the row has no field for */
  readonly unknown: readonly [bigint, bigint];
  /** a command that is cut, or followed by something: the bytes that are not one */
  readonly rest: Uint8Array;
}

/** Never throws: fewer than 16 bytes give a command without a row and all of them as `rest`. */
export function decodeCommand(bytes: Uint8Array): Command {
  const whole = bytes.length >= COMMAND_BYTES;
  const [w0, w1] = whole ? (wordsOf(bytes.subarray(0, COMMAND_BYTES)) as [bigint, bigint]) : ([0n, 0n] as const);
  const rest = whole ? bytes.subarray(COMMAND_BYTES) : bytes;
  return { ...decodeWords(w0, w1), ...(whole ? {} : { row: undefined }), rest };
}

/** A command out of its two words. */
export function decodeWords(w0: bigint, w1: bigint): Command {
  const words = [w0, w1] as const;
  const opcode = Number(w0 & 0xffn);
  const row = BY_OPCODE.get(opcode);
  const fields = row?.fields ?? [];
  const values = Object.fromEntries(fields.map((f) => [f.name, getField(words, f)]));
  const [u0, u1] = unknownBits(words, [OP, ...fields]);
  return { row, opcode, words, values, unknown: [u0 ?? 0n, u1 ?? 0n], rest: new Uint8Array(0) };
}

/** A queue's memory as commands; the last one may be cut. */
export function decodeCommands(bytes: Uint8Array): Command[] {
  const commands: Command[] = [];
  for (let at = 0; at < bytes.length; at += COMMAND_BYTES) commands.push(decodeCommand(bytes.subarray(at, at + COMMAND_BYTES)));
  return commands;
}

/** The words of a command; fields that are not given are 0. Throws for a name, field or value that there is not. */
export function encodeCommand(name: string, values: Readonly<Record<string, number | bigint>> = {}): [bigint, bigint] {
  const row = BY_NAME.get(name);
  if (row === undefined) throw new Error(`no command ${name}`);
  const words: [bigint, bigint] = [BigInt(row.opcode), 0n];
  for (const [key, given] of Object.entries(values)) {
    const f = row.fields.find((x) => x.name === key);
    if (f === undefined) throw new Error(`${name} has no field ${key}`);
    const value = BigInt(given);
    if (!fits(f, value)) throw new Error(`${name}: ${key} ${hexText(value)} does not fit`);
    words[f.word as 0 | 1] = setField(words[f.word as 0 | 1], f, value);
  }
  return words;
}

/** 16 bytes of a command. */
export const commandBytes = (name: string, values: Readonly<Record<string, number | bigint>> = {}): Uint8Array =>
  bytesOf(encodeCommand(name, values));

/** Fields that are said when they are 0 as well: a command reads oddly without them. */
const ALWAYS: ReadonlySet<string> = new Set(['ASID', 'VA', 'IPA', 'SID', 'STAG', 'GRPID', 'RESP']);

/** `TLBI_NH_VA asid 3 va 0x7f0000000000 leaf`; `?0x77 0x… 0x…` of an opcode that is not known; bits without a field at the end. */
export function commandText(c: Command): string {
  if (c.row === undefined) {
    const bytes = [...c.rest].map((b) => b.toString(16).padStart(2, '0')).join('');
    return c.rest.length > 0 ? `bytes:${bytes}` : `?${hexText(BigInt(c.opcode))} ${c.words.map(hexText).join(' ')}`;
  }
  const parts = c.row.fields.flatMap((f) => {
    const v = c.values[f.name]!;
    const name = f.name.toLowerCase();
    if (f.bits[0] === f.bits[1]) return v === 0n ? [] : [name];
    if (v === 0n && !ALWAYS.has(f.name)) return [];
    return [`${name} ${valueText(f, v)}`];
  });
  c.unknown.forEach((bits, i) => {
    if (bits !== 0n) parts.push(`?word${i} ${hexText(bits)}`);
  });
  if (c.rest.length > 0) parts.push(`bytes:${[...c.rest].map((b) => b.toString(16).padStart(2, '0')).join('')}`);
  return [c.row.name, ...parts].join(' ');
}

/** The words of what commandText gives, of one command; undefined for anything else. */
export function parseCommand(text: string): [bigint, bigint] | undefined {
  const [head = '', ...tokens] = text.trim().split(/\s+/);
  if (head.startsWith('?')) {
    const words = tokens.map(number);
    return words.length === 2 && words.every((w) => w !== undefined && w < 1n << 64n) ? [words[0]!, words[1]!] : undefined;
  }
  const row = BY_NAME.get(head);
  if (row === undefined) return undefined;
  const words: [bigint, bigint] = [BigInt(row.opcode), 0n];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const raw = /^\?word([01])$/.exec(token);
    const f = row.fields.find((x) => x.name.toLowerCase() === token);
    const flag = f !== undefined && f.bits[0] === f.bits[1];
    const value = flag ? 1n : wordOf(f, tokens[++i] ?? '');
    if (value === undefined) return undefined;
    const word = Number(raw?.[1] ?? f?.word ?? 0) as 0 | 1;
    if (raw !== null) words[word] |= BigInt.asUintN(64, value);
    else if (f !== undefined && fits(f, value)) words[word] = setField(words[word], f, value);
    else return undefined;
  }
  return words;
}

const number = (text: string): bigint | undefined => (/^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) ? BigInt(text) : undefined);

function wordOf(f: BitField | undefined, text: string): bigint | undefined {
  const name = Object.entries(f?.values ?? {}).find(([, n]) => n === text);
  return name === undefined ? number(text) : BigInt(name[0]);
}
