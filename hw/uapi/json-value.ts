/** Values of JSON that somebody may have written by hand: checked, and refused in words that say what to write. */

import { jsonText } from '../json-text.ts';

/** What a line says that cannot be; `message` says what, and what to do. */
export class JsonError extends Error {}

const HEX = /^0x[0-9a-f]{1,16}$/i;

/** An unsigned word of `bits` bits: a number, `"0x…"`, or a negative number in two's complement. Throws a JsonError. */
export function wordOf(json: unknown, what: string, bits = 64): bigint {
  const isNumber = typeof json === 'number' && Number.isSafeInteger(json);
  const isHex = typeof json === 'string' && HEX.test(json);
  // most are, and all of them fit
  if (bits === 64 && (isHex || (isNumber && json >= 0))) return BigInt(json);
  const value = isNumber || isHex ? BigInt(json) : typeof json === 'bigint' ? json : undefined;
  if (value === undefined || value >= 1n << BigInt(bits) || value < -(1n << BigInt(bits - 1)))
    throw new JsonError(`${what}: ${shown(json)} is no number of ${bits} bits; write it as a number, or as "0x…"`);
  return BigInt.asUintN(bits, value);
}

/** A number between two. */
export function numberIn(json: unknown, what: string, least: number, most: number): number {
  if (typeof json === 'number' && Number.isInteger(json) && json >= least && json <= most) return json;
  throw new JsonError(`${what}: ${shown(json)} is no whole number from ${least} to ${most}`);
}

/** Bytes in hex digits. */
export function bytesOf(json: unknown, what: string): Uint8Array {
  if (typeof json !== 'string' || json.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(json))
    throw new JsonError(`${what}: ${shown(json)} is no row of bytes; write two hexadecimal digits for each`);
  const bytes = new Uint8Array(json.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = digit(json.charCodeAt(2 * i)) * 16 + digit(json.charCodeAt(2 * i + 1));
  return bytes;
}

/** Of a character that is a hexadecimal digit. */
const digit = (code: number): number => (code & 15) + (code > 0x39 ? 9 : 0);

/** A value of a line in a message: short, and nothing in it that a line of text cannot hold, or that a terminal obeys. */
export function shown(json: unknown): string {
  const text = json === undefined ? 'nothing' : jsonText(json);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
