/** A call that was stored before it returned, put together with its RETURN. */
import { FRAME_AT, FRAME_HEADER, PART_AT, PART_HEADER, PartKind, State } from '../store/frame.ts';

/**
 * The frame that a call would have been stored as, had it returned in time: `call` as it was entered, with what `back`, its RETURN,
 * says. Numbered as the call.
 */
export function wholeFrame(call: Buffer, back: Buffer): Buffer {
  const after = partsOf(back).filter((part) => part[PART_AT.kind] !== PartKind.ARGS);
  const brought = new Set(after.map(keyOf));
  // a call that was stored just as it returned may have the beginning of what it brings
  const before = partsOf(call).filter((part) => !brought.has(keyOf(part)));
  const frame = Buffer.concat([call.subarray(0, FRAME_HEADER), ...before, ...after]);
  frame.writeUInt32LE(frame.length, FRAME_AT.bytes);
  frame[FRAME_AT.state] = State.RETURNED;
  back.copy(frame, FRAME_AT.tExit, FRAME_AT.tExit, FRAME_AT.tExit + 8);
  back.copy(frame, FRAME_AT.error, FRAME_AT.error, FRAME_HEADER);
  return frame;
}

/** The same, numbered as the RETURN: it is then that it does its work. */
export function returnedFrame(call: Buffer, back: Buffer): Buffer {
  const frame = wholeFrame(call, back);
  back.copy(frame, FRAME_AT.seq, FRAME_AT.seq, FRAME_AT.seq + 8);
  return frame;
}

const keyOf = (part: Buffer): number => part[PART_AT.kind]! * 0x1_0000 + part.readUInt16LE(PART_AT.slot);

/** The parts of a frame with their headers, the last one cut where the frame ends. */
function partsOf(frame: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let p = FRAME_HEADER; p + PART_HEADER <= frame.length; ) {
    const bytes = PART_HEADER + Math.ceil(frame.readUInt32LE(p + PART_AT.bytes) / 8) * 8;
    parts.push(frame.subarray(p, p + bytes));
    p += bytes;
  }
  return parts;
}
