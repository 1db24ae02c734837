/** Numbers, flags and bytes as text and as JSON: the leaves of text.ts. */
import type { UapiTable } from './table.ts';
import { type Enum, SCALAR_BYTES } from './types.ts';
import type { Meaning } from './view-struct.ts';

/** Elements of an array, bytes of a buffer and ranges of a bitmap that `abbrev` shows. */
export const CUT = { items: 8, bytes: 32, ranges: 16 } as const;

const HEX = Array.from({ length: 256 }, (_, b) => b.toString(16).padStart(2, '0'));

/** Bytes as hex digits. */
export function hexOf(bytes: Uint8Array): string {
  let text = '';
  for (const b of bytes) text += HEX[b]!;
  return text;
}

/** A string from a stranger, in double quotes, as C would write it; a NUL at the end is left out. */
export function quote(bytes: Uint8Array): string {
  const end = bytes.at(-1) === 0 ? bytes.length - 1 : bytes.length;
  let text = '"';
  for (const b of bytes.subarray(0, end)) {
    if (b === 0x22 || b === 0x5c) text += `\\${String.fromCharCode(b)}`;
    else if (b >= 0x20 && b < 0x7f) text += String.fromCharCode(b);
    else text += `\\x${b.toString(16).padStart(2, '0')}`;
  }
  return `${text}"${end === bytes.length ? '…' : ''}`;
}

/** Set bits as ranges: bits:0-3,17/128 */
export function bitsText(bytes: Uint8Array, cut: boolean): string {
  const ranges: string[] = [];
  const total = bytes.length * 8;
  const bit = (n: number): boolean => n < total && (bytes[n >> 3]! & (1 << (n & 7))) !== 0;
  for (let n = 0; n < total; n++) {
    if ((n & 7) === 0 && bytes[n >> 3] === 0) {
      n += 7;
      continue;
    }
    if (!bit(n)) continue;
    const from = n;
    while (bit(n + 1)) n++;
    if (cut && ranges.length === CUT.ranges) {
      ranges.push('…');
      break;
    }
    ranges.push(from === n ? `${n}` : `${from}-${n}`);
  }
  return `bits:${ranges.join(',')}/${total}`;
}

export function bytesText(bytes: Uint8Array, cut: boolean): string {
  if (!cut || bytes.length <= CUT.bytes) return `bytes:${hexOf(bytes)}`;
  return `bytes:${hexOf(bytes.subarray(0, CUT.bytes))}…+${bytes.length - CUT.bytes}`;
}

export const plainNumber = (value: bigint, hex: boolean): string => (hex && value > 0n ? `0x${value.toString(16)}` : value.toString());

/** Names of the bits that have one, then the rest as one number. */
export function flagNames(flags: Enum, value: bigint, names: 'short' | 'long'): string[] {
  const parts: string[] = [];
  let rest = value;
  for (const [name, member] of flags.members) {
    const bits = BigInt(member);
    if (bits !== 0n && (rest & bits) === bits) {
      parts.push(names === 'long' ? name : (flags.short.get(name) ?? name));
      rest &= ~bits;
    }
  }
  if (rest !== 0n) parts.push(`0x${rest.toString(16)}`);
  return parts;
}

function enumText(e: Enum, value: bigint, names: 'short' | 'long'): string | undefined {
  const name = e.names.get(Number(value));
  return name === undefined ? undefined : names === 'long' ? name : e.short.get(name);
}

/** By its field: constants by name, flags bit by bit, addresses in hex, ids and counts in decimal. */
export function numberText(table: UapiTable, value: number | bigint, field: Meaning, names: 'short' | 'long' = 'short'): string {
  if (typeof value === 'number' && field.enum === undefined && field.flags === undefined) {
    return field.format === 'hex' && value > 0 ? `0x${value.toString(16)}` : String(value);
  }
  const v = BigInt(value);
  const named = field.enum === undefined ? undefined : table.enum(field.enum);
  const flags = field.flags === undefined ? undefined : table.enum(field.flags);
  const mask = field.enumMask === undefined ? undefined : BigInt(field.enumMask);
  if (named !== undefined && mask !== undefined && flags !== undefined) {
    const kind = enumText(named, v & mask, names) ?? plainNumber(v & mask, false);
    return [kind, ...flagNames(flags, v & ~mask, names)].join('|');
  }
  if (named !== undefined) return enumText(named, v, names) ?? plainNumber(v, v > 0xffffn);
  if (flags !== undefined) return v === 0n ? '0' : flagNames(flags, v, names).join('|');
  return plainNumber(v, field.format === undefined ? SCALAR_BYTES[field.type] === 8 || field.flags !== undefined : field.format === 'hex');
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Constants by full name, flags as a list, u64 as 0x…, the rest as numbers. */
export function numberJson(table: UapiTable, value: number | bigint, field: Meaning): Json {
  const v = BigInt(value);
  const named = field.enum === undefined ? undefined : table.enum(field.enum);
  const flags = field.flags === undefined ? undefined : table.enum(field.flags);
  if (named !== undefined && field.enumMask !== undefined && flags !== undefined) {
    const mask = BigInt(field.enumMask);
    return [named.names.get(Number(v & mask)) ?? Number(v & mask), ...flagNames(flags, v & ~mask, 'long')];
  }
  if (named !== undefined) return named.names.get(Number(v)) ?? Number(v);
  if (flags !== undefined) return flagNames(flags, v, 'long');
  return SCALAR_BYTES[field.type] === 8 ? `0x${BigInt.asUintN(64, v).toString(16)}` : Number(v);
}
