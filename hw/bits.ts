/**
 * Fields inside of words: of registers (one word) and of records of several 64-bit words (SMMUv3 commands, events, stream
 * table entries). A row says where a field lies and what it means; reading, writing and text derive from it. Words are
 * bigint, 0 to 2^64 − 1.
 */

/** Where a fact was seen: Linux's driver, QEMU's device, the architecture's book (not checked against the former two). */
export type Source = 'linux' | 'qemu' | 'arm';

export interface BitField {
  readonly name: string;
  /** highest and lowest bit of its word */
  readonly bits: readonly [number, number];
  /** which word of several */
  readonly word: number;
  /** the same, in place; and the lowest one */
  readonly mask: bigint;
  readonly shift: bigint;
  readonly note: string;
  readonly source: Source;
  /** names of values, by value; a hole has none */
  readonly values?: Readonly<Record<number, string>>;
  /**
   * How its value reads. `address`: the bits stay where they are, and those below are zeros. `set`: every bit stands for the
   * thing of its number. Without: decimal.
   */
  readonly format?: 'hex' | 'address' | 'set';
}

type More = Partial<Pick<BitField, 'values' | 'format' | 'word'>>;

const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

/** A row. `bits`: one bit, or the highest and the lowest. */
export function field(
  name: string,
  bits: number | readonly [number, number],
  note: string,
  source: Source = 'linux',
  more: More = {},
): BitField {
  const [high, low] = typeof bits === 'number' ? [bits, bits] : bits;
  const shift = BigInt(low);
  return { name, bits: [high, low], mask: ones(high - low + 1) << shift, shift, note, source, word: 0, ...more };
}

const WORD = 64n;

/** Greatest value; of an address the greatest one that fits. */
export const greatest = (f: BitField): bigint => (f.format === 'address' ? f.mask : f.mask >> f.shift);

/** What is in a field. Words that are not there count as 0. */
export function getField(words: readonly bigint[], f: BitField): bigint {
  const bits = (words[f.word] ?? 0n) & f.mask;
  return f.format === 'address' ? bits : bits >> f.shift;
}

/** The word of a field with this value in it. Bits of the value that have no place are left out. */
export function setField(word: bigint, f: BitField, value: bigint): bigint {
  const placed = f.format === 'address' ? value : value << f.shift;
  return (word & ~f.mask) | (placed & f.mask);
}

/** Does the value fit without loss? */
export const fits = (f: BitField, value: bigint): boolean =>
  value >= 0n && (f.format === 'address' ? (value & ~f.mask) === 0n : value <= f.mask >> f.shift);

/** Bits that no field of the rows takes, word by word. */
export function unknownBits(words: readonly bigint[], fields: readonly BitField[]): bigint[] {
  const rest = [...words];
  for (const f of fields) if (f.word < rest.length) rest[f.word] = rest[f.word]! & ~f.mask;
  return rest;
}

export const hexText = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);

/** Numbers of the bits that are set, lowest first. */
export function setBits(value: bigint): number[] {
  const found: number[] = [];
  for (let n = 0, rest = BigInt.asUintN(128, value); rest !== 0n; n++, rest >>= 1n) if ((rest & 1n) !== 0n) found.push(n);
  return found;
}

/** A value in words: by name where it has one, else as its format says. */
export function valueText(f: BitField, value: bigint): string {
  const named = value <= 0xffffn ? f.values?.[Number(value)] : undefined;
  if (named !== undefined) return named;
  if (f.format === 'set') return value === 0n ? 'none' : setBits(value).join(',');
  return f.format === undefined ? value.toString() : value === 0n ? '0' : hexText(value);
}

/** 64-bit words out of little-endian bytes; a last part of less than 8 bytes is left out. */
export function wordsOf(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length >> 3 }, (_, i) => view.getBigUint64(8 * i, true));
}

export function bytesOf(words: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(8 * words.length);
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setBigUint64(8 * i, BigInt.asUintN(Number(WORD), word), true);
  });
  return bytes;
}
