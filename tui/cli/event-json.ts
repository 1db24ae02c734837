/** One event as JSON: what `show --json` prints, one object per line. Fields are added, never renamed. */
import { errnoName } from '../../hw/errno.ts';
import { queueContent, registerAccess, registersJson } from '../../hw/event-access.ts';
import { callBytes } from '../../hw/event-calls.ts';
import { argsJson, argsOf, retJson } from '../../hw/event-json.ts';
import type { EventLike, TextOptions } from '../../hw/event-text.ts';
import { kindName } from '../../hw/event-words.ts';
import { recordsJson } from '../../hw/uapi/records.ts';
import { callJson } from '../../hw/uapi/text.ts';
import { bitNames, FileKind, Kind, PartFlag, PartKind, State } from '../../store/frame.ts';
import type { SelectedEvent } from './events.ts';
import type { Opened } from './trace.ts';

const hexBytes = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

/**
 * `{v, seq, t, took, pid, tid, kind, call, fd, file, context, object, ret, errno, args, out, nested, …}`: t and took in
 * nanoseconds, took, ret and errno null while the call has not returned, errno by name and null on success.
 */
export function eventJson(event: SelectedEvent, opened: Opened, text: TextOptions, changes: readonly string[] | undefined): object {
  const { row, frame } = event;
  const entered = frame.state === State.ENTERED;
  return {
    v: 1,
    seq: row.seq,
    t: row.t,
    took: row.took,
    pid: row.pid,
    tid: row.tid,
    kind: kindName(frame.kind),
    call: row.call,
    fd: row.fd,
    file: row.file,
    context: row.context,
    object: row.object,
    ret: entered ? null : retJson(frame),
    errno: frame.error === 0 ? null : errnoName(frame.error),
    ...contentJson(frame, opened, text),
    ...(text.style === 'abbrev' ? {} : { parts: frame.parts.map(partJson) }),
    ...(changes === undefined ? {} : { changes }),
  };
}

function contentJson(frame: EventLike, opened: Opened, text: TextOptions): object {
  const began = frame.kind === Kind.RETURN ? beganBy(frame, text) : frame;
  if (began?.kind === Kind.IOCTL) {
    const { name: _name, nested, nestedOut, ...call } = callJson(opened.table, callBytes(frame, began));
    const json = { ...call, ...nestedJson(nested, nestedOut) };
    return frame.kind === Kind.RETURN ? { ...json, returnOf: began.seq } : json;
  }
  return {
    args: argsJson(frame, opened.meta.machine),
    ...registerJson(frame, text),
    ...(frame.kind === Kind.QUEUE ? queueJson(frame) : transferJson(frame, began ?? frame, opened, text)),
    ...(began === frame || began === undefined ? {} : { returnOf: began.seq }),
  };
}

/** `{register, value, fields}` of an access that lies in one register, else `{registers: […]}`; of a region that has a name `{region, offset}`. */
function registerJson(frame: EventLike, text: TextOptions): object {
  if (frame.kind !== Kind.MMIO) return {};
  const place = text.place?.(frame);
  if (place?.kind === 'named') return { region: place.name, offset: place.offset };
  const access = registerAccess(frame, argsOf(frame), place);
  if (access === undefined) return {};
  const registers = registersJson(access);
  return registers.length === 1 ? registers[0]! : { registers };
}

/** Page 0 by names, commands by their places. */
function queueJson(frame: EventLike): object {
  const { page0, entries } = queueContent(frame, argsOf(frame));
  return { ...(page0 === undefined ? {} : { page0 }), ...(entries === undefined ? {} : { entries }) };
}

/** What pointers point to, by field: `{data_uptr: {in: …, out: …}}`. */
function nestedJson(before: unknown, after: unknown): object {
  const nested: Record<string, { in?: unknown; out?: unknown }> = {};
  for (const [field, value] of Object.entries(before ?? {})) nested[field] = { in: value };
  for (const [field, value] of Object.entries(after ?? {})) nested[field] = { ...nested[field], out: value };
  return Object.keys(nested).length === 0 ? {} : { nested };
}

function beganBy(frame: EventLike, text: TextOptions): EventLike | undefined {
  const words = argsOf(frame);
  return words[0] === undefined ? undefined : text.entered?.(Number(words[0]));
}

/** The bytes of a read (`out`) or a write (`in`), as records where the file has records. */
function transferJson(frame: EventLike, began: EventLike, opened: Opened, text: TextOptions): object {
  const content = (kind: number): object | undefined => {
    const bytes = frame.parts.find((p) => p.kind === kind)?.bytes;
    if (bytes === undefined) return undefined;
    const file = began.fileKind === FileKind.FAULT ? 'FAULT' : began.fileKind === FileKind.VEVENTQ ? 'VEVENTQ' : undefined;
    if (file === undefined) return { bytes: hexBytes(bytes) };
    return recordsJson(opened.table, { file, call: kind === PartKind.IN ? 'write' : 'read', bytes, type: text.queueType?.(began) });
  };
  const [input, output] = [content(PartKind.IN), content(PartKind.OUT)];
  return { ...(input === undefined ? {} : { in: input }), ...(output === undefined ? {} : { out: output }) };
}

function partJson(part: EventLike['parts'][number]): object {
  const flags = bitNames(part.flags, PartFlag);
  return {
    kind: part.kind,
    slot: part.slot,
    wanted: Number(part.wanted),
    address: part.address,
    ...(flags.length === 0 ? {} : { flags }),
    bytes: hexBytes(part.bytes),
  };
}
