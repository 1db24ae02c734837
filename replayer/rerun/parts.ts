/** The parts of a step's frame, and where in it they are. */
import { type Part, PartKind } from '../../store/frame.ts';
import type { Step } from '../program/program.ts';

export interface PlacedPart {
  readonly part: Part;
  /** of its bytes, from the beginning of the frame */
  readonly start: number;
  /** among those that it asks with; -1: it is of the answer */
  readonly index: number;
}

export function partsOf(step: Step): PlacedPart[] {
  const frame = step.buffer.byteOffset + step.offset;
  let asks = 0;
  return step.parts.map((part) => {
    const answer = part.kind === PartKind.OUT || part.kind === PartKind.NESTED_OUT;
    return { part, start: part.bytes.byteOffset - frame, index: answer ? -1 : asks++ };
  });
}

/** The part that a byte of the frame is of. */
export function partAt(parts: readonly PlacedPart[], at: number): PlacedPart | undefined {
  for (const p of parts) if (at >= p.start && at < p.start + p.part.bytes.length) return p;
  return undefined;
}
