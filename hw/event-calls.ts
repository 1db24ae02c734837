/** The calls of a traced program as text: what stands before the result in the line of event-text.ts, kind by kind. */
import { printMmio, printQueue, printRegion } from './event-access.ts';
import { CLOSE_RANGE_FLAGS, flagNames, MAP_FLAGS, MREMAP_FLAGS, OPEN_FLAGS, PROT_FLAGS } from './event-flags.ts';
import type { EventLike, PartLike, TextOptions } from './event-text.ts';
import {
  callName,
  FILE_NAMES,
  FOUND,
  FRAME_NUMBERS,
  GAP,
  isNamedRequest,
  KIND_NAMES,
  type KindName,
  kindName,
  START,
} from './event-words.ts';
import { bytesText, quoteText } from './quote.ts';
import { printRecords } from './uapi/records.ts';
import { targetOfFileKind } from './uapi/table.ts';
import { type CallBytes, type PrintStyle, printCall, printNode } from './uapi/text.ts';
import { viewCall } from './uapi/view.ts';

const { part: PART } = FRAME_NUMBERS;
const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
type FlagWord = Parameters<typeof flagNames>[0];

/** One event while it is printed: it remembers what has been told, so that the remarks can tell the rest. */
export class Printing {
  readonly e: EventLike;
  readonly o: TextOptions;
  /** style full: nothing may be lost */
  readonly whole: boolean;
  readonly kind: string;
  /** u64 words of the ARGS part */
  readonly words: readonly bigint[];
  readonly toldParts = new Set<PartLike>();
  readonly toldWords = new Set<number>();
  toldFd = false;
  toldRequest: boolean;
  toldRet = false;

  constructor(e: EventLike, o: TextOptions) {
    this.e = e;
    this.o = o;
    this.whole = o.style === 'full' || o.style === 'verbose';
    this.kind = kindName(e.kind);
    this.toldRequest = isNamedRequest(e);
    const args = e.parts.find((x) => x.kind === PART.ARGS && x.slot === 0)?.bytes;
    this.words = args === undefined ? [] : wordsOf(args);
  }

  /** Word i through a printer; `?` where the recording has none. */
  word(i: number, print: (w: bigint) => string): string {
    const w = this.words[i];
    this.toldWords.add(i);
    return w === undefined ? '?' : print(w);
  }
  /** The bytes of a part, which counts as told. */
  part(kind: number, slot = 0): Uint8Array | undefined {
    const part = this.e.parts.find((x) => x.kind === kind && x.slot === slot);
    if (part !== undefined) this.toldParts.add(part);
    return part?.bytes;
  }
  /** Text number `slot`, quoted; `?` where the recording has none. */
  text(slot: number): string {
    const bytes = this.part(PART.TEXT, slot);
    return bytes === undefined ? '?' : quoteText(bytes);
  }
  flags(table: FlagWord): (w: bigint) => string {
    return (w) => (this.o.style === 'raw' ? hex(w) : flagNames(table, w, this.o.machine ?? 'x86_64'));
  }
  /** The descriptor; style full says what it is: `8<iommufd#1>`. */
  get fd(): string {
    this.toldFd = true;
    const { fd, file, fileKind } = this.e;
    if (!this.whole || (file === 0 && fileKind === 0)) return String(fd);
    return `${fd}<${FILE_NAMES[fileKind] ?? `file${fileKind}`}${file === 0 ? '' : `#${file}`}>`;
  }
  get name(): string {
    return callName(this.e, this.o.table);
  }
  get ret(): string {
    this.toldRet = true;
    return String(this.e.ret);
  }
  bytes(bytes: Uint8Array): string {
    return bytesText(bytes, this.whole ? Number.POSITIVE_INFINITY : 32);
  }
}

export function wordsOf(args: Uint8Array): bigint[] {
  const view = new DataView(args.buffer, args.byteOffset, args.byteLength);
  return Array.from({ length: args.length >> 3 }, (_, i) => view.getBigUint64(8 * i, true));
}

const address = (w: bigint): string => (w === 0n ? 'NULL' : hex(w));
const count = (w: bigint): string => w.toString();
/** A descriptor or another int; a word that is no int as it is. */
const int = (w: bigint): string => (BigInt.asIntN(32, w) === BigInt.asIntN(64, w) ? BigInt.asIntN(32, w).toString() : hex(w));
const dirfd = (w: bigint): string => (BigInt.asIntN(64, w) === -100n ? 'AT_FDCWD' : int(w));
const lastFd = (w: bigint): string => (w === 0xffff_ffffn ? '~0U' : w.toString());
const mode = (w: bigint): string => (w === 0n ? '0' : `0${w.toString(8)}`);

/** Strings with a NUL between each two: an argument vector. */
function vector(p: Printing, slot: number): string {
  const bytes = p.part(PART.TEXT, slot);
  if (bytes === undefined) return '?';
  const items: string[] = [];
  for (let from = 0; bytes.length > 0 && from <= bytes.length; ) {
    const nul = bytes.indexOf(0, from);
    const to = nul < 0 ? bytes.length : nul;
    items.push(quoteText(bytes.subarray(from, to)));
    from = to + 1;
  }
  const most = p.whole ? items.length : 8;
  return `[${items.slice(0, most).join(', ')}${items.length > most ? `, … ${items.length - most} more` : ''}]`;
}

/** Kind by kind, the call as the program wrote it. */
const PRINT: Partial<Record<KindName, (p: Printing) => string>> = {
  ioctl: printIoctl,
  open: printOpen,
  close: printClose,
  dup: printDup,
  mmap: (p) => {
    const place = `${p.word(0, address)}, ${p.word(1, hex)}, ${p.word(2, p.flags(PROT_FLAGS))}, ${p.word(3, p.flags(MAP_FLAGS))}`;
    return `mmap(${place}, ${p.fd}, ${p.word(4, hex)})`;
  },
  munmap: (p) => `munmap(${p.word(0, address)}, ${p.word(1, hex)})`,
  mremap: (p) => {
    const fixed = ((p.words[3] ?? 0n) & 2n) === 0n ? '' : `, ${p.word(4, address)}`;
    return `mremap(${p.word(0, address)}, ${p.word(1, hex)}, ${p.word(2, hex)}, ${p.word(3, p.flags(MREMAP_FLAGS))}${fixed})`;
  },
  read: (p) => printTransfer(p, PART.OUT),
  write: (p) => printTransfer(p, PART.IN),
  fork: (p) => `${p.name}()`,
  exec: (p) => `${p.name}(${p.text(0)}, ${vector(p, 1)})`,
  start: printStart,
  exit: (p) => `${p.name}(${p.ret})`,
  fd: printFound,
  sendfd: (p) =>
    `${p.name}(${p.word(0, int)}, {SCM_RIGHTS [${p.fd}]}${p.whole && p.words.length > 1 ? `, inode=${p.word(1, count)}` : ''})`,
  return: printReturn,
  mmio: printMmio,
  queue: printQueue,
  region: printRegion,
  gap: (p) =>
    `gap(${GAP[p.e.request] ?? p.e.request}, ${p.ret} events lost${p.e.parts.some((x) => x.kind === PART.TEXT) ? `, ${p.text(0)}` : ''})`,
};

/** Everything before the result. */
export function printKind(p: Printing): string {
  return (PRINT[p.kind as KindName] ?? printUnknown)(p);
}

/** A kind this program does not know: everything there is, in numbers. */
function printUnknown(p: Printing): string {
  p.toldRequest = true;
  const words = p.words.map((_, i) => p.word(i, hex));
  return `${p.kind}(fd=${p.fd}, request=${hex(p.e.request)}${words.length === 0 ? '' : `, args=[${words.join(', ')}]`})`;
}

/** hw/uapi tells the struct before the call and what is changed after it; without the struct, what came back is told as a remark. */
function printIoctl(p: Printing): string {
  const call = printCall(p.o.table, callBytes(p.e, p.e, p.toldParts), callStyle(p, p.e));
  const input = p.e.parts.some((x) => x.kind === PART.IN && x.slot === 0);
  const target = targetOfFileKind(p.e.fileKind);
  const command = p.o.table.command(target ?? 'iommufd', p.e.request);
  if (!input) for (const part of p.e.parts) if (part.kind === PART.OUT) p.toldParts.delete(part);
  if (!input && (command === undefined || command.arg === 'int')) p.toldWords.add(0);
  return `ioctl(${p.fd}, ${call})`;
}

function printOpen(p: Printing): string {
  const path = p.text(0);
  const how = p.word(1, p.flags(OPEN_FLAGS));
  const asks = ((p.words[1] ?? 0n) & 0o20000100n) !== 0n;
  switch (p.name) {
    case 'creat':
      p.toldWords.delete(1);
      return `creat(${path}, ${p.word(2, mode)})`;
    case 'openat':
      return `openat(${p.word(0, dirfd)}, ${path}, ${how}${asks ? `, ${p.word(2, mode)}` : ''})`;
    case 'openat2':
      return `openat2(${p.word(0, dirfd)}, ${path}, {flags=${how}${asks ? `, mode=${p.word(2, mode)}` : ''}})`;
    default:
      return `${p.name}(${path}, ${how}${asks ? `, ${p.word(2, mode)}` : ''})`;
  }
}

function printClose(p: Printing): string {
  if (p.name === 'close_range') return `close_range(${p.word(0, count)}, ${p.word(1, lastFd)}, ${p.word(2, p.flags(CLOSE_RANGE_FLAGS))})`;
  return p.name === 'closefrom' ? `closefrom(${p.word(0, int)})` : `${p.name}(${p.fd})`;
}

const FCNTL: Readonly<Record<number, string>> = { 4: 'F_DUPFD', 5: 'F_DUPFD_CLOEXEC' };

function printDup(p: Printing): string {
  const { fd, name } = p;
  if (name === 'dup') return `dup(${fd})`;
  if (name === 'fcntl') {
    p.toldRequest = true;
    return `fcntl(${fd}, ${FCNTL[p.e.request]}, ${p.word(0, int)})`;
  }
  const accepted = (w: bigint): string =>
    p
      .flags(OPEN_FLAGS)(w)
      .replace(/^O_RDONLY\|?/, '') || '0';
  return `${name}(${fd}, ${p.word(0, int)}${name === 'dup3' ? `, ${p.word(1, accepted)}` : ''})`;
}

function printStart(p: Printing): string {
  const { whole } = p;
  if (!whole) for (const slot of [2, 3]) p.part(PART.TEXT, slot);
  const inherited = p.words.length > 2 ? `, inherited=${p.word(2, count)}` : '';
  const extra = whole ? `, comm=${p.text(2)}, cwd=${p.text(3)}, started=${p.word(1, count)}${inherited}` : '';
  return `start(${START[p.e.request] ?? p.e.request}, ppid=${p.word(0, count)}, exe=${p.text(0)}, argv=${vector(p, 1)}${extra})`;
}

/** A dev_t as the kernel gives it to user space: `10:127` (glibc's makedev). */
function device(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

function printFound(p: Printing): string {
  const [rdev = 0n, , peer = 0n, , via = 0n] = p.words;
  const items = [p.fd, FOUND[p.e.request] ?? String(p.e.request), p.text(0)];
  if (rdev !== 0n) items.push(`rdev=${p.word(0, device)}`);
  if (p.whole) items.push(`inode=${p.word(1, count)}`);
  if (peer !== 0n) items.push(`peer=${p.word(2, count)}:${p.word(3, int)}`);
  if (p.words.length > 4 && BigInt.asIntN(64, via) >= 0n) items.push(`via=${p.word(4, int)}`);
  p.toldRet = p.e.ret === BigInt(p.e.fd);
  return `fd(${items.join(', ')})`;
}

/** A read without an offset is recorded with offset -1; anything else is told in style full. */
function noOffset(p: Printing): string {
  if (p.words[1] === undefined || !p.whole) return '';
  const offset = p.word(1, hex);
  return p.words[1] === 0xffff_ffff_ffff_ffffn ? '' : `, offset=${offset}`;
}

function printTransfer(p: Printing, kind: number): string {
  const bytes = p.part(kind);
  // A read that brings nothing has no bytes; what a write was given would be there, had it been recorded.
  const nothing = kind === PART.OUT && (p.e.error !== 0 || p.e.ret === 0n) ? 'none' : '?';
  const offset = /^p/.test(p.name) ? `, ${p.word(1, hex)}` : noOffset(p);
  return `${p.name}(${p.fd}, ${bytes === undefined ? nothing : recordsOrBytes(p, bytes)}, ${p.word(0, count)}${offset})`;
}

/** Kinds of file whose bytes are records; numbers of FileKind. */
const RECORD_FILES: Readonly<Record<number, 'FAULT' | 'VEVENTQ'>> = { 5: 'FAULT', 6: 'VEVENTQ' };

/** What was read or written: page faults, answers, vIOMMU events; else bytes. `event` is where the descriptor is known. */
function recordsOrBytes(p: Printing, bytes: Uint8Array, event: EventLike = p.e): string {
  const file = RECORD_FILES[event.fileKind];
  if (file === undefined || p.o.style === 'raw') return p.bytes(bytes);
  const call = event.kind === KIND_NAMES.indexOf('write') ? 'write' : 'read';
  return printRecords(p.o.table, { file, call, bytes, type: p.o.queueType?.(event) }, callStyle(p, event));
}

function callStyle(p: Printing, event: EventLike): PrintStyle {
  const { annotate, style } = p.o;
  return annotate === undefined ? { style } : { style, annotate: (field, value) => annotate(event, field, value) };
}

/**
 * What hw/uapi needs to print or decode an ioctl. `began` is the event with the input, where the call was stored as entered
 * and `event` is its return.
 */
export function callBytes(event: EventLike, began: EventLike = event, used?: Set<PartLike>): CallBytes {
  const find = (e: EventLike, kind: number, slot = 0): Uint8Array | undefined => {
    const part = e.parts.find((x) => x.kind === kind && x.slot === slot);
    if (part !== undefined) used?.add(part);
    return part?.bytes;
  };
  const input = find(began, PART.IN);
  const output = find(event, PART.OUT);
  const word = find(began, PART.ARGS);
  return {
    target: targetOfFileKind(began.fileKind) ?? 'iommufd',
    request: began.request,
    ret: event.ret,
    error: event.error,
    ...(input === undefined ? {} : { in: input }),
    ...(output === undefined ? {} : { out: output }),
    ...(word === undefined || word.length < 8 ? {} : { arg: new DataView(word.buffer, word.byteOffset, 8).getBigUint64(0, true) }),
    nestedIn: (slot) => find(began, PART.NESTED_IN, slot),
    nestedOut: (slot) => find(event, PART.NESTED_OUT, slot),
  };
}

/** `<… IOMMU_IOAS_UNMAP resumed, seq 20> {length=0x1000}`: what a call that was stored as entered brought back. */
function printReturn(p: Printing): string {
  const seq = p.words[0];
  const began = seq === undefined || seq >= BigInt(p.e.seq) ? undefined : p.o.entered?.(Number(seq));
  const name = began === undefined ? p.name : callName(began, p.o.table);
  const output = began === undefined ? rawOutput(p) : writtenBy(p, began);
  return `<… ${name} resumed, seq ${p.word(0, count)}>${output}`;
}

function writtenBy(p: Printing, began: EventLike): string {
  if (began.kind !== KIND_NAMES.indexOf('ioctl')) {
    const bytes = p.part(PART.OUT);
    return bytes === undefined ? '' : ` ${recordsOrBytes(p, bytes, began)}`;
  }
  const { out } = viewCall(p.o.table, callBytes(p.e, began, p.toldParts));
  const written = out === undefined ? '{}' : printNode(p.o.table, out, callStyle(p, began));
  return written === '{}' ? '' : ` ${written}`;
}

/** The beginning is not at hand: the bytes alone. */
function rawOutput(p: Printing): string {
  const bytes = p.part(PART.OUT);
  return bytes === undefined ? '' : ` ${p.bytes(bytes)}`;
}
