/** Symbols to numbers: the frames of a program with other values than it was recorded with. */
import { FRAME_AT, FRAME_HEADER, FrameCursor, Kind, PART_AT, PART_HEADER, PartKind } from '../../store/frame.ts';
import { NONE, type Place, type Program, type ProgramSymbol, type Step, type Use } from './program.ts';

/** The value of each symbol, by index; two's complement of the widths that it stands in. */
export type Values = BigUint64Array;

/** The numbers that were recorded. */
export function recordedValues(program: Pick<Program, 'symbols'>): Values {
  const values = new BigUint64Array(program.symbols.length);
  for (const s of program.symbols) values[s.index] = BigInt.asUintN(64, s.recorded);
  return values;
}

/** Writes a number at a place of a frame. Nothing is written where the frame ends before it. */
export function put(frame: Buffer, place: Place, value: bigint): void {
  if (place.at + place.width > frame.length) return;
  switch (place.width) {
    case 8:
      frame.writeBigUInt64LE(BigInt.asUintN(64, value), place.at);
      return;
    case 4:
      frame.writeUInt32LE(Number(BigInt.asUintN(32, value)), place.at);
      return;
    case 2:
      frame.writeUInt16LE(Number(BigInt.asUintN(16, value)), place.at);
      return;
    default:
      frame[place.at] = Number(BigInt.asUintN(8, value));
  }
}

/** The number at a place of a frame. */
export function get(frame: Buffer, place: Place): bigint {
  if (place.at + place.width > frame.length) return 0n;
  if (place.width === 8) return frame.readBigUInt64LE(place.at);
  return BigInt(frame.readUIntLE(place.at, place.width));
}

/**
 * A step's frame with these values, a copy. Of a call that was split it is the whole one, as {@link Step.frame} is. `made` false:
 * the numbers by which symbols become known stay as they were recorded.
 */
export function instantiate(program: Program, step: Step, values: Values, made = true): Buffer {
  const frame = Buffer.from(step.frame);
  for (const { use, at } of repeats(step)) put(frame, { at, width: use.width }, values[use.symbol]! + use.addend);
  for (const u of step.uses) put(frame, u, values[u.symbol]! + u.addend);
  for (const u of step.echoes) put(frame, u, values[u.symbol]! + u.addend);
  if (made) for (const d of step.defines) put(frame, d, values[d.symbol]!);
  putProcess(program, step, frame, values);
  return frame;
}

/** What the struct says again after an ioctl: uses of part IN whose bytes part OUT has, unchanged, and where. */
export function repeats(step: Step): { readonly use: Use; readonly at: number }[] {
  if (step.kind !== Kind.IOCTL || step.uses.length === 0) return NONE as never[];
  const cursor = new FrameCursor().at(step.buffer, step.offset);
  if (!cursor.part(PartKind.IN)) return [];
  const [from, inBytes] = [cursor.partStart - step.offset, cursor.partBytes];
  if (!cursor.part(PartKind.OUT)) return [];
  const [to, outBytes] = [cursor.partStart - step.offset, cursor.partBytes];
  const found: { readonly use: Use; readonly at: number }[] = [];
  for (const use of step.uses) {
    const offset = use.at - from;
    if (offset < 0 || offset + use.width > inBytes || offset + use.width > outBytes) continue;
    const at = to + offset;
    let same = true;
    for (let i = 0; i < use.width; i++) same &&= step.buffer[step.offset + use.at + i] === step.buffer[step.offset + at + i];
    if (same) found.push({ use, at });
  }
  return found;
}

/** Main threads have their process's number; the others keep their distance from it. */
function putProcess(program: Program, step: Step, frame: Buffer, values: Values): void {
  const process = program.processes[step.process];
  const thread = process?.threads[step.thread];
  if (process === undefined || thread === undefined) return;
  const pid = Number(values[process.symbol]!);
  frame.writeUInt32LE(pid >>> 0, FRAME_AT.pid);
  frame.writeUInt32LE((pid + thread.tid - process.pid) >>> 0, FRAME_AT.tid);
}

/** All frames as a recording would have them, calls that were split in two again, in the order of their numbers. */
export function framesOf(program: Program, values: Values = recordedValues(program)): Buffer[] {
  const frames: { readonly seq: number; readonly frame: Buffer }[] = [];
  for (const step of program.steps) {
    const frame = instantiate(program, step, values);
    if (step.split === undefined) frames.push({ seq: step.seq, frame });
    else frames.push(...apart(step, frame));
  }
  return frames.sort((a, b) => a.seq - b.seq).map((f) => f.frame);
}

/** The two frames of a call that was stored before it returned. */
function apart(step: Step, whole: Buffer): { readonly seq: number; readonly frame: Buffer }[] {
  const { seq, entered, back } = step.split!;
  const begin = Buffer.from(whole.subarray(0, entered.length));
  // what is known of the return only
  entered.copy(begin, FRAME_AT.bytes, FRAME_AT.bytes, FRAME_AT.kind + 2);
  entered.copy(begin, FRAME_AT.tExit, FRAME_AT.tExit, FRAME_AT.tExit + 8);
  entered.copy(begin, FRAME_AT.error, FRAME_AT.error, FRAME_HEADER);
  if (seq === 0) return [{ seq: step.seq, frame: begin }];
  const end = Buffer.from(back);
  // a return is told by the thread that made the call, on the same descriptor; where a log says otherwise it keeps its numbers
  if (back.readBigUInt64LE(FRAME_AT.pid) === entered.readBigUInt64LE(FRAME_AT.pid))
    whole.copy(end, FRAME_AT.pid, FRAME_AT.pid, FRAME_AT.fd);
  if (back.readInt32LE(FRAME_AT.fd) === entered.readInt32LE(FRAME_AT.fd)) whole.copy(end, FRAME_AT.fd, FRAME_AT.fd, FRAME_AT.file);
  whole.copy(end, FRAME_AT.ret, FRAME_AT.ret, FRAME_HEADER);
  let at = entered.length;
  for (let p = FRAME_HEADER; p + PART_HEADER <= end.length; ) {
    const bytes = PART_HEADER + Math.ceil(end.readUInt32LE(p + PART_AT.bytes) / 8) * 8;
    if (end[p] !== PartKind.ARGS) {
      whole.copy(end, p, at, Math.min(at + bytes, whole.length));
      at += bytes;
    }
    p += bytes;
  }
  return [
    { seq: step.seq, frame: begin },
    { seq, frame: end },
  ];
}

/**
 * For a symbol of sort `nothing`: a number that stands for nothing, given those that stand for something where it is used (ids of
 * the context, descriptors of the process, cookies of the queue). It is the recorded one where that is free; else one that programs do not get:
 * counted down from 2^30 - 1 for ids and cookies, from 2^16 - 1 for descriptors. A rerun asks for it each time it issues such a step.
 */
export function free(symbol: ProgramSymbol, taken: (value: bigint) => boolean): bigint {
  if (!taken(symbol.recorded)) return symbol.recorded;
  let value = symbol.type === 'fd' ? 0xffffn : 0x3fff_ffffn;
  while (taken(value)) value--;
  return value;
}
