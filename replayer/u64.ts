/**
 * Unsigned 64-bit values of the hot path: a `number` where it is exact (up to 2^53 - 1), else a `bigint`. Always in this
 * canonical form, so `===` means equal; `<` and `>` are exact between the two by the language's own rule.
 */
export type U64 = number | bigint;

const TWO32 = 0x1_0000_0000;
/** the largest value: 2^64 - 1 */
export const U64_MAX: U64 = 0xffff_ffff_ffff_ffffn;

const canonical = (x: bigint): U64 => (x <= 0x1f_ffff_ffff_ffffn && x >= 0n ? Number(x) : x);

/** The little-endian u64 at `at`. The caller has checked that 8 bytes are there. */
export function readU64(b: DataView, at: number): U64 {
  const hi = b.getUint32(at + 4, true);
  return hi < 0x20_0000 ? hi * TWO32 + b.getUint32(at, true) : b.getBigUint64(at, true);
}

/** A value from outside; only its low 64 bits count. */
export function u64(x: number | bigint): U64 {
  if (typeof x === 'number' && x >= 0 && x <= Number.MAX_SAFE_INTEGER) return x;
  return canonical(BigInt.asUintN(64, BigInt(x)));
}

/** a + b. May exceed 2^64 - 1; then it is greater than {@link U64_MAX}, so that overflows can be seen. */
export function plus(a: U64, b: U64): U64 {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (sum <= Number.MAX_SAFE_INTEGER) return sum;
  }
  return canonical(BigInt(a) + BigInt(b));
}

/** a - b, where b <= a. */
export function minus(a: U64, b: U64): U64 {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return canonical(BigInt(a) - BigInt(b));
}

/** The last address of a range, at most 2^64 - 1. `length` 0 counts as 1. */
export function lastOf(start: U64, length: U64): U64 {
  const last = length === 0 ? start : minus(plus(start, length), 1);
  return last > U64_MAX ? U64_MAX : last;
}

/** Bytes from `start` to `last`, both included. 2^64 for the whole space. */
export const lengthOf = (start: U64, last: U64): U64 => plus(minus(last, start), 1);

/** "0x1f000" */
export const hex = (x: U64): string => `0x${x.toString(16)}`;

/** The larger of two. (Math.max takes no bigint.) */
export function larger(a: U64, b: U64): U64 {
  if (a < b) return b;
  return a;
}

/** The smaller of two. */
export function smaller(a: U64, b: U64): U64 {
  if (b < a) return b;
  return a;
}
