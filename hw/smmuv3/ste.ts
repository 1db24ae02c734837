/**
 * Stream table entries of an SMMUv3 as rows: 64 bytes, of which a guest brings the first 16 (struct iommu_hwpt_arm_smmuv3) and
 * may set the fields marked `guest`. drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h (STRTAB_STE_*), arm-smmu-v3-iommufd.c
 * (arm_smmu_validate_vste()).
 */
import { type BitField, bytesOf, field, fits, getField, hexText, setField, unknownBits, valueText, wordsOf } from '../bits.ts';

export interface SteField extends BitField {
  /** a guest's entry of a nested HWPT may have it */
  readonly guest: boolean;
}

const guest = (f: BitField): SteField => ({ ...f, guest: true });
const host = (f: BitField): SteField => ({ ...f, guest: false });
const cache = { word: 1, values: { 0: 'NC', 1: 'WBRA', 2: 'WT', 3: 'WB' } };
const CONFIGS = { 0: 'ABORT', 4: 'BYPASS', 5: 'S1', 6: 'S2', 7: 'S1+S2' };
const at = (word: number) => ({ word });

export const STE_FIELDS: readonly SteField[] = [
  guest(field('V', 0, 'the entry is valid; if not, transactions are aborted')),
  guest(field('CFG', [3, 1], 'which stages translate', 'linux', { values: CONFIGS })),
  guest(field('S1FMT', [5, 4], 'table of context descriptors', 'linux', { values: { 0: 'LINEAR', 1: '4K_L2', 2: '64K_L2' } })),
  guest(field('S1CTXPTR', [51, 6], 'where the context descriptors are', 'linux', { format: 'address' })),
  guest(field('S1CDMAX', [63, 59], 'log2 of context descriptors')),
  guest(
    field('S1DSS', [1, 0], 'transactions without a substream', 'linux', { word: 1, values: { 0: 'TERMINATE', 1: 'BYPASS', 2: 'SSID0' } }),
  ),
  guest(field('S1CIR', [3, 2], 'inner cacheability of descriptors', 'linux', cache)),
  guest(field('S1COR', [5, 4], 'outer cacheability of descriptors', 'linux', cache)),
  guest(field('S1CSH', [7, 6], 'shareability of descriptors', 'linux', { word: 1, values: { 0: 'NSH', 2: 'OSH', 3: 'ISH' } })),
  host(field('MEV', 19, 'alike events are merged', 'arm', at(1))),
  host(field('S2FWB', 25, 'stage 2 forces write-back', 'arm', at(1))),
  guest(field('S1STALLD', 27, 'faults do not stall', 'linux', at(1))),
  guest(field('EATS', [29, 28], 'ATS', 'linux', { word: 1, values: { 0: 'ABT', 1: 'TRANS', 2: 'S1CHK' } })),
  host(field('STRW', [31, 30], 'exception level', 'linux', { word: 1, values: { 0: 'NSEL1', 2: 'EL2' } })),
  host(field('SHCFG', [45, 44], 'shareability', 'linux', { word: 1, values: { 1: 'INCOMING' } })),
  host(field('S2VMID', [15, 0], 'virtual machine', 'linux', at(2))),
  host(field('VTCR', [50, 32], 'form of stage 2', 'linux', { word: 2, format: 'hex' })),
  host(field('S2AA64', 51, 'AArch64 tables', 'linux', at(2))),
  host(field('S2ENDI', 52, 'big-endian tables', 'linux', at(2))),
  host(field('S2PTW', 54, 'protected table walk', 'linux', at(2))),
  host(field('S2S', 57, 'stage 2 faults stall', 'linux', at(2))),
  host(field('S2R', 58, 'stage 2 faults are recorded', 'linux', at(2))),
  host(field('S2TTB', [51, 4], 'where the tables of stage 2 are', 'linux', { word: 3, format: 'address' })),
];

/** Bytes of a guest's entry. */
export const GUEST_STE_BYTES = 16;

const guestMask = (word: number): bigint => STE_FIELDS.reduce((mask, f) => (f.guest && f.word === word ? mask | f.mask : mask), 0n);
/** Bits of its two words that a guest may set. */
export const GUEST_STE_MASKS: readonly [bigint, bigint] = [guestMask(0), guestMask(1)];

export interface Ste {
  readonly words: readonly bigint[];
  /** of fields whose words are there */
  readonly values: Readonly<Record<string, bigint>>;
  readonly unknown: readonly bigint[];
  /** what is left of bytes that are no whole words */
  readonly rest: Uint8Array;
}

/** An entry of any length. Never throws. */
export function decodeSte(bytes: Uint8Array): Ste {
  const words = wordsOf(bytes);
  const fields = STE_FIELDS.filter((f) => f.word < words.length);
  return {
    words,
    values: Object.fromEntries(fields.map((f) => [f.name, getField(words, f)])),
    unknown: unknownBits(words, fields),
    rest: bytes.subarray(8 * words.length),
  };
}

/** An entry of `bytes` bytes (a multiple of 8). Throws for a field or value that there is not. */
export function encodeSte(values: Readonly<Record<string, number | bigint>>, bytes: number = GUEST_STE_BYTES): Uint8Array {
  const words = new Array<bigint>(bytes >> 3).fill(0n);
  for (const [name, given] of Object.entries(values)) {
    const f = STE_FIELDS.find((x) => x.name === name && x.word < words.length);
    if (f === undefined) throw new Error(`an entry of ${bytes} bytes has no field ${name}`);
    const value = BigInt(given);
    if (!fits(f, value)) throw new Error(`${name} ${hexText(value)} does not fit`);
    words[f.word] = setField(words[f.word]!, f, value);
  }
  return bytesOf(words);
}

/** `V cfg S1 s1ctxptr 0x80000000 s1cdmax 1 …`; fields of 0 are left out but for `cfg`. */
export function steText(e: Ste): string {
  const parts = STE_FIELDS.flatMap((f) => {
    const v = e.values[f.name];
    if (v === undefined || (v === 0n && f.name !== 'CFG')) return [];
    if (f.bits[0] === f.bits[1]) return [f.name === 'V' ? 'V' : f.name.toLowerCase()];
    return [`${f.name.toLowerCase()} ${valueText(f, v)}`];
  });
  e.unknown.forEach((bits, i) => {
    if (bits !== 0n) parts.push(`?word${i} ${hexText(bits)}`);
  });
  if (e.rest.length > 0) parts.push(`bytes:${[...e.rest].map((b) => b.toString(16).padStart(2, '0')).join('')}`);
  return parts.join(' ');
}

/** What the kernel makes of a guest's entry. */
export type NestedConfig =
  | { readonly config: 'abort' | 'bypass'; readonly ats: false }
  /** with stage 2 of the parent under it */
  | { readonly config: 'stage1'; readonly ats: boolean }
  /** IOMMU_HWPT_ALLOC gives EIO */
  | { readonly refused: string };

/** What a nested HWPT with this entry does; the kernel's checks in their order. Needs 16 bytes. */
export function nestedConfig(e: Ste): NestedConfig {
  const { values, words } = e;
  if (words.length < GUEST_STE_BYTES / 8) return { refused: `${8 * words.length + e.rest.length} bytes are no entry` };
  // without V the rest is not looked at
  if (values.V === 0n) return { config: 'abort', ats: false };
  for (const [i, mask] of GUEST_STE_MASKS.entries()) {
    const beyond = words[i]! & ~mask;
    if (beyond !== 0n) return { refused: `word ${i} has bits ${hexText(beyond)}` };
  }
  const config = ({ 0: 'abort', 4: 'bypass', 5: 'stage1' } as const)[Number(values.CFG)];
  if (config === undefined) return { refused: `CFG ${valueText(STE_FIELDS[1]!, values.CFG!)}` };
  if (values.EATS! > 1n) return { refused: `EATS ${valueText(STE_FIELDS.find((f) => f.name === 'EATS')!, values.EATS!)}` };
  return config === 'stage1' ? { config, ats: values.EATS === 1n } : { config, ats: false };
}
