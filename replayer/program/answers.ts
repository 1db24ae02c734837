/** Frames of a run: what was asked with what was answered here. Where nothing but bytes differs they are written in place. */
import type { Answer } from '../../hw/iommufd/call.ts';
import { encodeFrame, FRAME_AT, FrameCursor, makeArgs, makePart, type Part, PartKind, State } from '../../store/frame.ts';
import type { Asked } from '../asked.ts';
import type { Step } from './program.ts';

/** The call fails; what it would have written stays as it was. */
export function fail(frame: Buffer, error: number): Buffer {
  frame.writeInt32LE(error, FRAME_AT.error);
  frame.writeBigInt64LE(-1n, FRAME_AT.ret);
  return frame;
}

/** The same for a call that did not fail in the recording: without what it wrote there. */
export function refused(frame: Buffer, error: number): Buffer {
  const parts = decoded(frame).flatMap((p) => {
    if (p.kind !== PartKind.OUT && p.kind !== PartKind.NESTED_OUT) return [p];
    const asked = decoded(frame).find((x) => x.kind === (p.kind === PartKind.OUT ? PartKind.IN : PartKind.NESTED_IN) && x.slot === p.slot);
    return asked === undefined ? [] : [{ ...asked, kind: p.kind }];
  });
  return fail(rebuilt(frame, parts), error);
}

const decoded = (frame: Buffer): readonly Part[] => new FrameCursor().at(frame, 0).frame().parts;

function rebuilt(frame: Buffer, parts: readonly Part[]): Buffer {
  return encodeFrame({ ...new FrameCursor().at(frame, 0).frame(), parts });
}

export interface Written {
  /** the struct afterwards; undefined: the recording has none, so it is not told */
  readonly out: Buffer | undefined;
  /** by offset of the pointer; undefined: not determined */
  readonly nested: ReadonlyMap<number, Uint8Array | undefined> | undefined;
  /** the recording's call passed as this one does: what is not determined is as it was there */
  readonly same: boolean;
}

/** The frame with what was written. */
export function placed(frame: Buffer, { out, nested, same }: Written): Buffer {
  const cursor = new FrameCursor().at(frame, 0);
  const fits = out === undefined ? !cursor.part(PartKind.OUT) : cursor.part(PartKind.OUT) && cursor.partBytes === out.length;
  const some = nested !== undefined && nested.size > 0;
  // a call that ends otherwise than it did has left other buffers
  if (fits && same && !some) {
    if (out !== undefined) out.copy(frame, cursor.partStart);
    return frame;
  }
  const before = decoded(frame);
  const parts: Part[] = [];
  for (const p of before) if (p.kind !== PartKind.OUT && p.kind !== PartKind.NESTED_OUT) parts.push(p);
  const old = before.find((p) => p.kind === PartKind.OUT);
  if (out !== undefined) parts.push(old === undefined ? makePart(PartKind.OUT, out) : { ...old, bytes: out, wanted: BigInt(out.length) });
  const slots = new Set<number>();
  for (const p of before) if (p.kind === PartKind.NESTED_OUT) slots.add(p.slot);
  for (const slot of nested?.keys() ?? []) slots.add(slot);
  for (const slot of [...slots].sort((a, b) => a - b)) {
    const part = nestedOut(before, slot, nested, same);
    if (part !== undefined) parts.push(part);
  }
  return rebuilt(frame, parts);
}

/** A buffer afterwards: what was written, over what was there. */
function nestedOut(before: readonly Part[], slot: number, nested: Written['nested'], same: boolean): Part | undefined {
  const asked = before.find((p) => p.kind === PartKind.NESTED_IN && p.slot === slot);
  const told = before.find((p) => p.kind === PartKind.NESTED_OUT && p.slot === slot);
  const written = nested?.get(slot);
  const base = same ? (told ?? asked) : (asked ?? (written === undefined ? undefined : told));
  if (base === undefined) return written === undefined ? undefined : makePart(PartKind.NESTED_OUT, written, slot);
  if (written === undefined) return { ...base, kind: PartKind.NESTED_OUT };
  const bytes = Buffer.from(base.bytes);
  bytes.set(written.subarray(0, bytes.length));
  return { ...base, kind: PartKind.NESTED_OUT, bytes };
}

/** The frame of a read that brought these bytes. */
export function withOut(frame: Buffer, bytes: Buffer): Buffer {
  const cursor = new FrameCursor().at(frame, 0);
  if (cursor.part(PartKind.OUT) && cursor.partBytes === bytes.length) {
    bytes.copy(frame, cursor.partStart);
    return frame;
  }
  const parts = decoded(frame).filter((p) => p.kind !== PartKind.OUT);
  return rebuilt(frame, bytes.length === 0 ? parts : [...parts, makePart(PartKind.OUT, bytes)]);
}

/** The frame of a call that is entered and has not returned. */
export function entering(step: Step, whole: Buffer): Buffer {
  const { entered } = step.split!;
  const frame = Buffer.from(whole.subarray(0, entered.length));
  entered.copy(frame, FRAME_AT.bytes, FRAME_AT.bytes, FRAME_AT.kind + 2);
  entered.copy(frame, FRAME_AT.error, FRAME_AT.error, FRAME_AT.ret + 8);
  return frame;
}

/** The RETURN of a call that frame number `seq` entered. */
export function returning(step: Step, whole: Buffer, seq: number): Buffer {
  const header = new FrameCursor().at(step.split!.back, 0).frame();
  const cursor = new FrameCursor().at(whole, 0);
  const parts = decoded(whole).filter((p) => p.kind === PartKind.OUT || p.kind === PartKind.NESTED_OUT);
  const fd = header.fd < 0 ? header.fd : cursor.fd;
  const file = header.file === 0 ? 0 : cursor.file;
  const { pid, tid, error, ret } = cursor;
  return encodeFrame({ ...header, pid, tid, fd, file, error, ret, state: State.RETURNED, parts: [makeArgs(seq), ...parts] });
}

/** The struct afterwards; what the rules leave open is as in the recording where the call passed there, too. */
export function structAfter(asked: Asked, answer: Answer, same: boolean): Buffer {
  const there = asked.after?.bytes;
  const out = Buffer.from((same ? there : undefined) ?? asked.struct.bytes);
  const said = answer.out;
  if (said === undefined) return answer.errno === '' && there === undefined ? out : Buffer.from(asked.struct.bytes);
  for (let i = 0; i < out.length && i < said.length; i++) {
    if (answer.open?.[i] !== 1) out[i] = said[i]!;
    else if (!same) out[i] = 0;
  }
  return out;
}

/** Buffers that were written; a guess gives way to what the recording has. */
export function nestedOf(asked: Asked, answer: Answer, same: boolean): Answer['nestedOut'] {
  const { nestedOut, undeterminedOutputs } = answer;
  if (!same || nestedOut.size === 0 || undeterminedOutputs.size === 0) return nestedOut;
  const known = new Map(nestedOut);
  for (const field of undeterminedOutputs.keys()) {
    const at = asked.command?.struct?.byName.get(field)?.offset ?? -1;
    if (known.has(at)) known.set(at, undefined);
  }
  return known;
}
