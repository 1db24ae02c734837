/** Parts of a step: the numbers in them, and which of those are symbols. */
import { type Part, PartKind, Rw } from '../../store/frame.ts';
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

/** The i-th word of ARGS, and what it stands for; 0 where there is none. */
export function wordOf(step: Step, i: number): { readonly value: bigint; readonly use: Use | undefined } {
  const args = step.parts.find((p) => p.kind === PartKind.ARGS);
  if (args === undefined || args.bytes.length < 8 * i + 8) return { value: 0n, use: undefined };
  return { value: numberAt(args.bytes, 8 * i, 8), use: usesIn(step, args).get(8 * i) };
}

/** Does a read or write say where in the file? */
export const hasPosition = ({ request }: Step): boolean => request === Rw.POSITION || request === Rw.POSITION_VECTOR;

/** Bytes without zeros at the end. */
export function trimmed(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 1 && bytes[end - 1] === 0) end--;
  return bytes.subarray(0, end);
}
