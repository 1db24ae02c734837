/**
 * One event as one line of JSON, and back, without loss: the words of `show --json` where it has some, beside them what only
 * the frame says. What fields tell is told once, so a field may be edited; what they do not tell exactly stands as bytes.
 */
import { errnoName, errnoNumber } from '../../hw/errno.ts';
import { howFrom, retJson, saysHow } from '../../hw/event-json.ts';
import { callName, FILE_NAMES, FOUND, GAP, KIND_NAMES, kindName, QUEUE, REGION, START } from '../../hw/event-words.ts';
import { jsonNumber, jsonText } from '../../hw/json-text.ts';
import { isObject } from '../../hw/uapi/call-read.ts';
import { bytesOf, JsonError, numberIn, shown, wordOf } from '../../hw/uapi/json-value.ts';
import type { EventRow } from '../../store/append.ts';
import {
  encodeFrame,
  FRAME_AT,
  FRAME_HEADER,
  type Frame,
  FrameFlag,
  Kind,
  PART_AT,
  PART_HEADER,
  type Part,
  State,
} from '../../store/frame.ts';
import { flagsFrom, flagsJson, hexBytes, type LineContext, type LineJson, partFields, partsFrom, type Telling } from './line-parts.ts';

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
const ALONE: Telling = new Map();

/** What lines of frames with the same header have in common, but for numbers that stand as they are. */
interface Head {
  /** kind and call */
  readonly front: string;
  /** errno and all behind it */
  readonly back: string;
  /** it comes back from the line */
  readonly isExact: boolean;
}
/** Headers that are remembered; a hostile log may have millions. */
const MOST_HEADS = 4096;

/** Writes the lines of a trace. */
export class LineWriter {
  readonly #c: LineContext;
  readonly #heads = new Map<string, Head>();

  constructor(c: LineContext) {
    this.#c = c;
  }

  /** The line of a frame, `bytes` of which begin at an event's header. `row`: what the trace has; `derived`: what follows from the frame. */
  line(frame: Frame, bytes: Buffer, row: EventRow, derived: EventRow, chunk: boolean): string {
    const odd = row.call !== derived.call || row.context !== derived.context || row.object !== derived.object;
    const more = `${odd ? `,"row":${jsonText(row)}` : ''}${chunk ? ',"chunk":true' : ''}}\n`;
    const head = this.#head(frame, row.call, odd);
    const fields = head.isExact && isWhole(bytes, frame.parts) ? exactFields(frame, this.#c) : undefined;
    if (fields === undefined) return `{"v":1,"seq":${frame.seq},"frame":"${hexBytes(bytes)}"${more}`;
    const { seq, pid, tid, fd, file, tEnter, tExit } = frame;
    const t = jsonText(jsonNumber(BigInt.asIntN(64, tEnter - this.#c.base)));
    const took = tExit === 0n ? null : jsonText(jsonNumber(BigInt.asIntN(64, tExit - tEnter)));
    const ret = frame.state === State.ENTERED && frame.ret === 0n ? null : jsonText(retJson(frame));
    const who = `"v":1,"seq":${seq},"t":${t},"took":${took},"pid":${pid},"tid":${tid}`;
    const what = `"fd":${fd},"file":${file},"context":${row.context},"object":${row.object},"ret":${ret}`;
    const told = jsonText(fields).slice(1, -1);
    return `{${who},${head.front},${what},${head.back}${told === '' ? '' : `,${told}`}${more}`;
  }

  #head(frame: Frame, call: string, odd: boolean): Head {
    const key = `${frame.kind} ${frame.fileKind} ${frame.request} ${frame.state} ${frame.flags} ${frame.error} ${odd} ${call}`;
    let head = this.#heads.get(key);
    if (head === undefined) {
      if (this.#heads.size >= MOST_HEADS) this.#heads.clear();
      head = headOf(frame, call, odd, this.#c);
      this.#heads.set(key, head);
    }
    return head;
  }
}

function headOf(frame: Frame, call: string, odd: boolean, c: LineContext): Head {
  const { fileKind, flags, state, error } = frame;
  const front = { kind: kindName(frame.kind), call };
  const back = {
    errno: error === 0 ? null : errnoNumber(errnoName(error)) === error ? errnoName(error) : error,
    ...(state === State.RETURNED ? {} : { state: state === State.ENTERED ? 'entered' : state }),
    ...(flags === 0 ? {} : { flags: flagsJson(flags, FrameFlag) }),
    ...(fileKind === 0 ? {} : { fileKind: FILE_NAMES[fileKind] ?? fileKind }),
  };
  return {
    front: jsonText(front).slice(1, -1),
    back: jsonText(back).slice(1, -1),
    isExact: isHeadExact(frame, { ...front, ...back, pid: frame.pid, ...asksOf(frame) }, odd, c),
  };
}

/** Whether the header comes back from what a line says. The numbers that stand there as they are need no look. */
function isHeadExact(frame: Frame, line: LineJson, odd: boolean, c: LineContext): boolean {
  try {
    const made = frameFrom(line, c, odd ? { call: '', context: 0, object: 0 } : undefined, itself);
    return (['kind', 'fileKind', 'request', 'state', 'flags', 'error'] as const).every((key) => made[key] === frame[key]);
  } catch (error) {
    if (error instanceof JsonError) return false;
    throw error;
  }
}

/** Whether a frame is its header and its parts, and nothing that they do not tell. */
function isWhole(bytes: Buffer, parts: readonly Part[]): boolean {
  let at = FRAME_HEADER;
  for (const part of parts) {
    // of a part that does not fit in what was stored there is less than it says
    if (bytes.readUInt32LE(at + PART_AT.bytes) !== part.bytes.length) return false;
    at += PART_HEADER + part.bytes.length;
    for (; at % 8 !== 0; at++) if (bytes[at] !== 0) return false;
  }
  return at === bytes.length && bytes.readUInt32LE(FRAME_AT.bytes) === at;
}

/** What is told of the parts, so that they come back; undefined: that cannot be. */
function exactFields(frame: Frame, c: LineContext): LineJson | undefined {
  const fields = fieldsOf(frame, ALONE, c);
  if (arePartsExact(fields, frame, c)) return fields;
  const telling = new Map<Part, 'bytes' | 'length'>();
  for (const part of frame.parts) {
    const how = tellingOf(frame, part, c);
    if (how !== undefined) telling.set(part, how);
  }
  const inexact = fieldsOf(frame, telling, c);
  return arePartsExact(inexact, frame, c) ? inexact : undefined;
}

function arePartsExact(fields: LineJson, frame: Frame, c: LineContext): boolean {
  for (const key in fields) if (!KEYS.has(key)) return false;
  try {
    const parts = partsFrom(fields, frame, c, itself);
    return parts.length === frame.parts.length && parts.every((part, i) => isSamePart(part, frame.parts[i]!));
  } catch (error) {
    if (error instanceof JsonError) return false;
    throw error;
  }
}

const isSamePart = (x: Part, y: Part): boolean =>
  x.kind === y.kind &&
  x.flags === y.flags &&
  x.slot === y.slot &&
  x.wanted === y.wanted &&
  x.address === y.address &&
  same(x.bytes, y.bytes);

/** Which call of its kind it is, where the arguments do not begin with that. */
function asksOf({ kind, request }: Frame): { readonly request?: unknown; readonly args?: { readonly how: unknown } } {
  const how = HOW[kind];
  if (how !== undefined) return { args: { how: how[request] ?? request } };
  if (kind === Kind.IOCTL || kind === Kind.RETURN)
    return kind === Kind.RETURN && request === 0 ? {} : { request: `0x${request.toString(16)}` };
  return request === 0 ? {} : { request };
}

function fieldsOf(frame: Frame, telling: Telling, c: LineContext): Record<string, unknown> {
  const fields = partFields(frame, telling, c);
  if (frame.kind === Kind.IOCTL) return fields;
  const { args: how, ...asks } = asksOf(frame);
  const { args, request: _, ...rest } = fields as { args?: object; request?: unknown };
  return { ...asks, ...(frame.kind === Kind.RETURN ? {} : { args: { ...args, ...how } }), ...rest };
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
    kind,
    fileKind,
    request,
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
