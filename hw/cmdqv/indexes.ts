/**
 * The arithmetic of a command queue's indexes: n bits of index, the wrap bit above them. PROD is where the next entry is
 * written, CONS where the next one is read. `log2`: log2 of the entries. arm-smmu-v3.c, queue_*().
 */
import { COMMAND_BYTES } from '../smmuv3/commands.ts';

/** log2 of the entries at most: index and wrap bit fit the 20 bits of PROD_INDX.WR and CONS_INDX.RD */
export const LOG2_MOST = 19;

const ring = (log2: number): number => 2 ** (log2 + 1);
const modulo = (value: number, by: number): number => ((value % by) + by) % by;

/** Which entry a pointer is at. */
export const entryOf = (pointer: number, log2: number): number => modulo(pointer, 2 ** log2);
/** Its wrap bit, 0 or 1. */
export const wrapOf = (pointer: number, log2: number): number => Math.floor(modulo(pointer, ring(log2)) / 2 ** log2);

export const isEmpty = (prod: number, cons: number, log2: number): boolean => usedOf(prod, cons, log2) === 0;
export const isFull = (prod: number, cons: number, log2: number): boolean => usedOf(prod, cons, log2) === 2 ** log2;

/** Entries between CONS and PROD; more than the queue has: the pointers contradict each other. */
export const usedOf = (prod: number, cons: number, log2: number): number => modulo(prod - cons, ring(log2));

/** A pointer `by` entries on. */
export const advance = (pointer: number, by: number, log2: number): number => modulo(pointer + by, ring(log2));

/** Address of the entry that a pointer is at. */
export const addressOf = (base: bigint, pointer: number, log2: number): bigint => base + BigInt(COMMAND_BYTES * entryOf(pointer, log2));

/** log2 of the entries of so many bytes; undefined for a length that no queue has. */
export function log2Of(bytes: bigint): number | undefined {
  for (let log2 = 0; log2 <= 63; log2++) if (BigInt(COMMAND_BYTES) << BigInt(log2) === bytes) return log2;
  return undefined;
}
