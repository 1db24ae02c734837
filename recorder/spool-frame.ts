/** A frame of a spool, put together as it stands in a trace. */
import { FRAME_AT, FRAME_HEADER, PART_AT, PART_HEADER } from '../store/frame.ts';
import { LAYOUT } from './spool-layout.ts';

const { partUnused: UNUSED, partSpilled: SPILLED } = LAYOUT;
const KNOWN_FLAGS = 7;
/** PartFlag.TRUNCATED */
const TRUNCATED = 1;

/** What a PART frame brings for the frame at `position`; undefined where it belongs to another one. */
export function pieceOf(frame: Buffer, position: number): { readonly part: number; readonly data: Buffer } | undefined {
  const args = FRAME_HEADER + PART_HEADER;
  const head = args + 24;
  if (head + PART_HEADER > frame.length || frame.readBigUInt64LE(args) !== BigInt(position)) return undefined;
  const start = head + PART_HEADER;
  return {
    part: Number(frame.readBigUInt64LE(args + 8)),
    data: Buffer.from(frame.subarray(start, start + frame.readUInt32LE(head + PART_AT.bytes))),
  };
}

/** Where the parts of a frame of a spool end, and how many bytes of them lie elsewhere: undefined where none was spilled. */
function partsOf(frame: Buffer): { readonly end: number; readonly spilled: number | undefined } {
  let spilled: number | undefined;
  let p = FRAME_HEADER;
  while (p + PART_HEADER <= frame.length && frame[p] !== UNUSED) {
    const bytes = frame.readUInt32LE(p + PART_AT.bytes);
    const next = p + PART_HEADER + Math.ceil(bytes / 8) * 8;
    if (next > frame.length) break;
    if ((frame[p + PART_AT.flags]! & SPILLED) !== 0 && bytes === 8)
      spilled = (spilled ?? 0) + Number(frame.readBigUInt64LE(p + PART_HEADER));
    p = next;
  }
  return { end: p, spilled };
}

/**
 * A frame of a spool as it stands in a trace: without the room that was not needed, spilled parts put together. `pieces`
 * is asked only where a part was spilled. Uses the frame's own bytes where it can. The seq is left to the store.
 */
export function compactFrame(frame: Buffer, pieces: (bytes: number) => Map<number, Buffer[]>): Buffer {
  const { end, spilled } = partsOf(frame);
  if (spilled !== undefined) return withSpilled(frame, end, pieces(spilled));
  frame.writeUInt32LE(end, FRAME_AT.bytes);
  return frame.subarray(0, end);
}

function withSpilled(frame: Buffer, end: number, spilled: Map<number, Buffer[]>): Buffer {
  const out: Buffer[] = [frame.subarray(0, FRAME_HEADER)];
  for (let p = FRAME_HEADER, index = 0; p < end; index++) {
    const next = p + PART_HEADER + Math.ceil(frame.readUInt32LE(p + PART_AT.bytes) / 8) * 8;
    const elsewhere = (frame[p + PART_AT.flags]! & SPILLED) !== 0 && frame.readUInt32LE(p + PART_AT.bytes) === 8;
    if (!elsewhere) out.push(frame.subarray(p, next));
    else {
      const data = Buffer.concat(spilled.get(index) ?? []);
      const part = Buffer.alloc(PART_HEADER + Math.ceil(data.length / 8) * 8);
      frame.copy(part, 0, p, p + PART_HEADER);
      const whole = data.length === Number(frame.readBigUInt64LE(p + PART_HEADER));
      part[PART_AT.flags] = (part[PART_AT.flags]! & KNOWN_FLAGS) | (whole ? 0 : TRUNCATED);
      part.writeUInt32LE(data.length, PART_AT.bytes);
      data.copy(part, PART_HEADER);
      out.push(part);
    }
    p = next;
  }
  const whole = Buffer.concat(out);
  whole.writeUInt32LE(whole.length, FRAME_AT.bytes);
  return whole;
}
