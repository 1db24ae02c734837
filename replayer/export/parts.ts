/** Parts of a step: the numbers in them, and which of those are symbols. */
import type { Part } from '../../store/frame.ts';
import type { Step, Use } from '../program/program.ts';

export type Uses = ReadonlyMap<number, Use>;

/** Symbols in a part, by offset in it. */
export function usesIn(step: Step, part: Part): Uses {
  const start = part.bytes.byteOffset - step.frame.byteOffset;
  return new Map(step.uses.filter((u) => u.at >= start && u.at < start + part.bytes.length).map((u) => [u.at - start, u]));
}

export function numberAt(bytes: Uint8Array, at: number, width: number): bigint {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

/** Bytes without zeros at the end. */
export function trimmed(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 1 && bytes[end - 1] === 0) end--;
  return bytes.subarray(0, end);
}
