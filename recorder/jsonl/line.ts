/**
 * One event as one line of JSON, and back, without loss: the words of `show --json` where it has some, beside them what only
 * the frame says. What fields tell is told once, so a field may be edited; what they do not tell exactly stands as bytes.
 */
import { errnoName, errnoNumber } from '../../hw/errno.ts';
import { howFrom, retJson, saysHow } from '../../hw/event-json.ts';
import { callName, FILE_NAMES, FOUND, GAP, KIND_NAMES, kindName, QUEUE, REGION, START } from '../../hw/event-words.ts';
import { isObject } from '../../hw/uapi/call-read.ts';
import { bytesOf, JsonError, numberIn, shown, wordOf } from '../../hw/uapi/json-value.ts';
import type { EventRow } from '../../store/append.ts';
import { encodeFrame, FRAME_AT, FRAME_HEADER, type Frame, FrameFlag, Kind, type Part, State } from '../../store/frame.ts';
import { flagsFrom, hexBytes, type LineContext, type LineJson, partFields, partsFrom, type Telling } from './line-parts.ts';

const HOW: Readonly<Record<number, readonly string[]>> = {
  [Kind.FD]: FOUND,
  [Kind.GAP]: GAP,
  [Kind.START]: START,
  [Kind.QUEUE]: QUEUE,
  [Kind.REGION]: REGION,
};

const U32 = 0xffff_ffff;

/** Keys that a line may have. */
const KEYS = new Set(
  'v seq t took pid tid kind call fd file context object ret errno state flags fileKind request op args out in nested returnOf parts row chunk frame'.split(
    ' ',
  ),
);

/** What a line says of an event. */
export interface LineEvent {
  /** number that the event has in the file; those that others name */
  readonly seq: number;
  readonly frame: Buffer;
  /** name, context and object that the trace has for it, where they are not those that follow from the frame */
  readonly row: EventRow | undefined;
  /** a chunk begins with it */
  readonly chunk: boolean;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const itself = (seq: bigint): bigint => seq;

/** The line of a frame, `bytes` of which begin at an event's header. `row`: what the trace has; `derived`: what follows from the frame. */
export function lineOf(
  frame: Frame,
  bytes: Buffer,
  row: EventRow,
  derived: EventRow,
  chunk: boolean,
  c: LineContext,
): Record<string, unknown> {
  const odd = row.call !== derived.call || row.context !== derived.context || row.object !== derived.object;
  const more = { ...(odd ? { row } : {}), ...(chunk ? { chunk } : {}) };
  const made = (telling: Telling): Record<string, unknown> => ({ ...headFields(frame, row, c), ...fieldsOf(frame, telling, c), ...more });
  const line = made(new Map());
  if (isExact(line, bytes, c)) return line;
  const telling = new Map<Part, 'bytes' | 'length'>();
  for (const part of frame.parts) {
    const how = tellingOf(frame, part, c);
    if (how !== undefined) telling.set(part, how);
  }
  const inexact = made(telling);
  return isExact(inexact, bytes, c) ? inexact : { v: 1, seq: frame.seq, frame: hexBytes(bytes), ...more };
}

function fieldsOf(frame: Frame, telling: Telling, c: LineContext): Record<string, unknown> {
  const { args, ...fields } = partFields(frame, telling, c) as { args?: unknown };
  if (frame.kind === Kind.IOCTL) return args === undefined ? fields : { ...splitRequest(fields, args) };
  const how = HOW[frame.kind];
  const all = how === undefined ? args : { ...(args as object), how: how[frame.request] ?? frame.request };
  const asks = saysHow(kindName(frame.kind)) || frame.kind === Kind.RETURN || frame.request === 0 ? {} : { request: frame.request };
  return { ...asks, ...(frame.kind === Kind.RETURN ? {} : { args: all }), ...fields };
}

/** `request` and `op` stand before the arguments. */
function splitRequest({ request, op, ...rest }: Record<string, unknown>, args: unknown): Record<string, unknown> {
  return { request, ...(op === undefined ? {} : { op }), args, ...rest };
}

/** How a part has to be told so that it comes back; undefined where its fields alone tell it. */
function tellingOf(frame: Frame, part: Part, c: LineContext): 'bytes' | 'length' | undefined {
  const others = new Map(frame.parts.filter((p) => p !== part).map((p) => [p, 'bytes' as const]));
  try {
    const { bytes } = partsFrom(fieldsOf(frame, others, c), frame, c, itself)[frame.parts.indexOf(part)]!;
    if (same(bytes, part.bytes)) return undefined;
    const { length } = bytes;
    return length < part.bytes.length && same(bytes, part.bytes.subarray(0, length)) && part.bytes.subarray(length).every((b) => b === 0)
      ? 'length'
      : 'bytes';
  } catch (error) {
    if (error instanceof JsonError) return 'bytes';
    throw error;
  }
}

function isExact(line: LineJson, bytes: Buffer, c: LineContext): boolean {
  try {
    const { frame } = eventOf(line, c, 0, itself);
    return same(frame.subarray(8), bytes.subarray(8));
  } catch (error) {
    if (error instanceof JsonError) return false;
    throw error;
  }
}

const safe = (n: bigint): number | bigint => (Number.isSafeInteger(Number(n)) ? Number(n) : n);

function headFields(f: Frame, row: EventRow, c: LineContext): Record<string, unknown> {
  const { seq, pid, tid, fd, file, fileKind, flags, state, error } = f;
  const names = Object.entries(FrameFlag).flatMap(([name, bit]) => ((flags & bit) !== 0 ? [name.toLowerCase()] : []));
  const named = flagsFrom(names, FrameFlag, 'flags') === flags;
  const entered = state === State.ENTERED;
  const errno = error === 0 ? null : errnoNumber(errnoName(error)) === error ? errnoName(error) : error;
  return {
    v: 1,
    seq,
    t: safe(BigInt.asIntN(64, f.tEnter - c.base)),
    took: f.tExit === 0n ? null : safe(BigInt.asIntN(64, f.tExit - f.tEnter)),
    pid,
    tid,
    kind: kindName(f.kind),
    call: row.call,
    fd,
    file,
    context: row.context,
    object: row.object,
    ret: entered && f.ret === 0n ? null : retJson(f),
    errno,
    ...(state === State.RETURNED ? {} : { state: entered ? 'entered' : state }),
    ...(flags === 0 ? {} : { flags: named ? names : flags }),
    ...(fileKind === 0 ? {} : { fileKind: FILE_NAMES[fileKind] ?? fileKind }),
  };
}

// ---- and back ----

/**
 * The event of a line. `after`: number in the file of the event before it; `callOf`: number that an event of the file has now. Throws
 * a JsonError.
 */
export function eventOf(line: LineJson, c: LineContext, after: number, callOf: (seq: bigint) => bigint): LineEvent {
  for (const key in line) if (!KEYS.has(key)) throw new JsonError(`an event has no ${shown(key)}`);
  if (line.v !== undefined && line.v !== 1) throw new JsonError(`v: ${shown(line.v)} is no version that this program knows; it knows 1`);
  const seq = numberIn(line.seq ?? after + 1, 'seq', after + 1, Number.MAX_SAFE_INTEGER);
  const row = line.row === undefined ? undefined : rowFrom(line.row);
  if (line.chunk !== undefined && typeof line.chunk !== 'boolean')
    throw new JsonError(`chunk: ${shown(line.chunk)} is neither true nor false`);
  const frame = line.frame === undefined ? encodeFrame(frameFrom(line, c, row, callOf)) : rawFrame(line);
  return { seq, frame, row, chunk: line.chunk === true };
}

function rowFrom(json: unknown): EventRow {
  if (!isObject(json) || typeof json.call !== 'string')
    throw new JsonError(`row: ${shown(json)} is no {"call": "…", "context": n, "object": n}`);
  return { call: json.call, context: numberIn(json.context, 'row.context', 0, U32), object: numberIn(json.object, 'row.object', 0, U32) };
}

const RAW_KEYS = new Set(['v', 'seq', 'frame', 'row', 'chunk']);

function rawFrame(line: LineJson): Buffer {
  const extra = Object.keys(line).find((key) => !RAW_KEYS.has(key));
  if (extra !== undefined) throw new JsonError(`an event is told by its "frame" or by its fields; take ${shown(extra)} or "frame" away`);
  const bytes = Buffer.from(bytesOf(line.frame, 'frame'));
  if (bytes.length < FRAME_HEADER || bytes.length % 8 !== 0 || bytes.readUInt32LE(FRAME_AT.bytes) !== bytes.length)
    throw new JsonError(`frame: ${bytes.length} bytes are no frame, or its header says another length`);
  return bytes;
}

function frameFrom(line: LineJson, c: LineContext, row: EventRow | undefined, callOf: (seq: bigint) => bigint): Frame {
  const kind = kindFrom(line.kind);
  const fileKind = fileKindFrom(line.fileKind);
  const request = requestFrom(line, kind);
  const head = { kind, fileKind, request };
  const call = callName(head, c.table);
  if (row === undefined && line.call !== undefined && line.call !== call)
    throw new JsonError(
      `call: ${shown(line.call)} is not what the line is of, ${shown(call)} (request, kind and fileKind say so); change these, too`,
    );
  const tEnter = BigInt.asUintN(64, c.base + wordOf(line.t ?? 0, 't'));
  return {
    ...head,
    seq: 0,
    state: line.state === undefined ? State.RETURNED : line.state === 'entered' ? State.ENTERED : numberIn(line.state, 'state', 0, 255),
    flags: flagsFrom(line.flags, FrameFlag, 'flags'),
    tEnter,
    tExit: line.took === null ? 0n : BigInt.asUintN(64, tEnter + wordOf(line.took ?? 0, 'took')),
    pid: numberIn(line.pid, 'pid', 0, U32),
    tid: numberIn(line.tid ?? line.pid, 'tid', 0, U32),
    fd: numberIn(line.fd ?? -1, 'fd', -0x8000_0000, 0x7fff_ffff),
    file: numberIn(line.file ?? 0, 'file', 0, U32),
    error: errorFrom(line.errno),
    ret: line.ret === null || line.ret === undefined ? 0n : BigInt.asIntN(64, wordOf(line.ret, 'ret')),
    parts: partsFrom(line, head, c, callOf),
  };
}

function kindFrom(json: unknown): number {
  const known = typeof json === 'string' ? (KIND_NAMES as readonly string[]).indexOf(json) : -1;
  if (known >= 0) return known;
  const other = typeof json === 'string' ? /^kind_(\d{1,3})$/.exec(json)?.[1] : undefined;
  if (other === undefined || Number(other) > 255) throw new JsonError(`kind: ${shown(json)} is no kind of event; one is "ioctl"`);
  return Number(other);
}

function fileKindFrom(json: unknown): number {
  if (json === undefined) return 0;
  const known = typeof json === 'string' ? (FILE_NAMES as readonly string[]).indexOf(json) : -1;
  return known >= 0 ? known : numberIn(json, `fileKind (none of ${FILE_NAMES.join(' ').trim()})`, 0, 255);
}

function requestFrom(line: LineJson, kind: number): number {
  const name = kindName(kind);
  if (!saysHow(name)) return line.request === undefined ? 0 : Number(wordOf(line.request, 'request', 32));
  return isObject(line.args) && line.args.how !== undefined ? howFrom(name, line.args.how) : 0;
}

function errorFrom(json: unknown): number {
  if (json === null || json === undefined) return 0;
  if (typeof json === 'number') return numberIn(json, 'errno', -0x8000_0000, 0x7fff_ffff);
  const known = typeof json === 'string' ? errnoNumber(json) : undefined;
  if (known === undefined) throw new JsonError(`errno: ${shown(json)} is the name of no error; write EINVAL or the like, or null`);
  return known;
}
