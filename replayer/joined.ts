/** A call that was stored before it returned: its two frames as one. */
import { FRAME_AT, FRAME_HEADER, PART_AT, PART_HEADER, PartKind, State } from '../store/frame.ts';
import type { EventBytes } from './event.ts';

/** The frame that the call would have been stored as, had it returned in time; numbered as the RETURN. */
export function joined(began: Buffer, e: EventBytes): Buffer {
  const parts: Buffer[] = [began];
  const back = e.copy();
  for (let p = FRAME_HEADER; p + PART_HEADER <= back.length; ) {
    const bytes = PART_HEADER + Math.ceil(back.readUInt32LE(p + PART_AT.bytes) / 8) * 8;
    if (back[p] !== PartKind.ARGS) parts.push(back.subarray(p, p + bytes));
    p += bytes;
  }
  const frame = Buffer.concat(parts);
  frame.writeUInt32LE(frame.length, FRAME_AT.bytes);
  frame[FRAME_AT.state] = State.RETURNED;
  back.copy(frame, FRAME_AT.seq, FRAME_AT.seq, FRAME_AT.seq + 8);
  back.copy(frame, FRAME_AT.tExit, FRAME_AT.tExit, FRAME_AT.tExit + 8);
  back.copy(frame, FRAME_AT.error, FRAME_AT.error, FRAME_HEADER);
  return frame;
}
