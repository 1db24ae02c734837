/**
 * The text form of one event, as `show` prints it and `import text` reads it:
 *
 *     1204 12.004104+78u 4711 ioctl(8, IOMMU_HW_QUEUE_ALLOC, {viommu_id=4 type=TEGRA241_CMDQV …}) = -1 EIO
 *
 * that is: number, seconds since the start, time inside the call, thread (`pid/tid` where they differ), the call, its
 * result, and behind it, between comment marks, what there is to say about the recording itself. Style `full` loses
 * nothing of a frame's content: all digits of the times, what each descriptor is, addresses, all bytes. The others shorten.
 *
 * Every byte that comes from the traced program is printable in it: strings are quoted and escaped here.
 */
import { errnoName, errnoText } from './errno.ts';
import { CLOSE_RANGE_FLAGS, flagNames, MAP_FLAGS, MREMAP_FLAGS, OPEN_FLAGS, PROT_FLAGS } from './event-flags.ts';
import { callName, FILE_NAMES, FOUND, FRAME_NUMBERS, GAP, KIND_NAMES, type KindName, kindName, START } from './event-words.ts';
import { bytesText, quoteText } from './quote.ts';
import { printRecords } from './uapi/records.ts';
import { targetOfFileKind, type UapiTable } from './uapi/table.ts';
import { type CallBytes, type PrintStyle, printCall, printNode } from './uapi/text.ts';
import { type Meaning, viewCall } from './uapi/view.ts';

/** A part of an event; store's Part fits. */
export interface PartLike {
  readonly kind: number;
  readonly flags: number;
  readonly slot: number;
  readonly wanted: bigint;
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** An event; store's Frame fits. Times in nanoseconds of CLOCK_MONOTONIC. */
export interface EventLike {
  readonly seq: number;
  readonly kind: number;
  readonly state: number;
  readonly flags: number;
  readonly fileKind: number;
  readonly tEnter: bigint;
  readonly tExit: bigint;
  readonly pid: number;
  readonly tid: number;
  readonly fd: number;
  readonly file: number;
  readonly request: number;
  readonly error: number;
  readonly ret: bigint;
  readonly parts: readonly PartLike[];
}

/** abbrev: long arrays and bytes cut; full: all of it, nothing lost; verbose: full, with whole constant names; raw: numbers only. */
export type TextStyle = 'abbrev' | 'full' | 'verbose' | 'raw';

export interface TextOptions {
  readonly table: UapiTable;
  readonly style: TextStyle;
  /** CLOCK_MONOTONIC at the start of the recording, nanoseconds */
  readonly start: bigint;
  /** `uname -m` of the recorded machine; x86_64 where it is not given */
  readonly machine?: string | undefined;
  /** say `EIO (Input/output error)`, not `EIO` */
  readonly errorText?: boolean | undefined;
  /** the time column, where it is not seconds since the start */
  readonly time?: ((event: EventLike) => string) | undefined;
  /** what an id or descriptor in an ioctl stands for, printed behind it: `pt_id=5<HWPT_PAGING>`; undefined = the number alone */
  readonly annotate?: ((event: EventLike, field: Meaning, value: number) => string | undefined) | undefined;
  /** the type of the vEVENTQ that a descriptor reads from */
  readonly queueType?: ((event: EventLike) => number | undefined) | undefined;
  /** the event with a number: a RETURN event needs the call that it ends */
  readonly entered?: ((seq: number) => EventLike | undefined) | undefined;
}

/** The columns of the line; `result` and `notes` may be empty. */
export interface EventText {
  readonly seq: string;
  readonly time: string;
  readonly who: string;
  readonly call: string;
  readonly result: string;
  readonly notes: string;
}

const { state: STATE, flag: FLAG, part: PART, partFlag: PART_FLAG } = FRAME_NUMBERS;

/** One event while it is printed: the frame, the options, and which parts have been printed. */
interface Printing {
  readonly e: EventLike;
  readonly o: TextOptions;
  readonly used: Set<PartLike>;
}

/** The event as one line, without a newline. */
export function printEvent(event: EventLike, options: TextOptions): string {
  const t = eventText(event, options);
  return `${t.seq} ${t.time} ${t.who} ${t.call}${t.result === '' ? '' : ` ${t.result}`}${t.notes === '' ? '' : ` ${t.notes}`}`;
}

/** The columns of the line. */
export function eventText(event: EventLike, options: TextOptions): EventText {
  const p: Printing = { e: event, o: options, used: new Set() };
  const print = PRINT[kindName(event.kind) as KindName] ?? printUnknown;
  const call = print(p);
  return {
    seq: String(event.seq),
    time: (options.time ?? ((e) => timeSinceStart(e, options)))(event),
    who: event.pid === event.tid ? String(event.pid) : `${event.pid}/${event.tid}`,
    call,
    result: resultText(p),
    notes: notesText(p),
  };
}

/** `12.004104+78u`: seconds since the start, and the time inside the call where it has returned. */
export function timeSinceStart(e: EventLike, o: Pick<TextOptions, 'start' | 'style'>): string {
  const exact = o.style === 'full' || o.style === 'verbose';
  const took = e.tExit === 0n ? '' : `+${exact ? exactTook(e.tExit - e.tEnter) : tookText(e.tExit - e.tEnter)}`;
  return secondsText(e.tEnter - o.start, exact ? 9 : 6) + took;
}

/** Nanoseconds as seconds with a fixed number of digits (cut, not rounded, so that the order of lines is the order of times). */
export function secondsText(ns: bigint, digits: number): string {
  const sign = ns < 0n ? '-' : '';
  const abs = ns < 0n ? -ns : ns;
  const fraction = (abs % 1_000_000_000n).toString().padStart(9, '0').slice(0, digits);
  return `${sign}${abs / 1_000_000_000n}.${fraction}`;
}

const TOOK_UNITS = [
  ['n', 1],
  ['u', 1e3],
  ['m', 1e6],
  ['s', 1e9],
] as const;

/** A duration in three digits: `850n`, `78u`, `12.3m`, `1.20s` (nano-, micro-, milliseconds, seconds). */
export function tookText(ns: bigint | number): string {
  const n = Number(ns);
  const [suffix, unit] = TOOK_UNITS.findLast(([, u]) => Math.abs(n) >= u) ?? TOOK_UNITS[0];
  const value = n / unit;
  const digits = Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toFixed(digits)}${suffix}`;
}

/** A duration without loss, in the greatest unit that divides it. */
function exactTook(ns: bigint): string {
  const unit = TOOK_UNITS.findLast(([, u]) => ns !== 0n && ns % BigInt(u) === 0n) ?? TOOK_UNITS[0];
  return `${ns / BigInt(unit[1])}${unit[0]}`;
}

const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const signed32 = (word: bigint): number => Number(BigInt.asIntN(32, word));

function args(p: Printing): readonly bigint[] {
  const part = p.e.parts.find((x) => x.kind === PART.ARGS);
  if (part === undefined) return [];
  p.used.add(part);
  const view = new DataView(part.bytes.buffer, part.bytes.byteOffset, part.bytes.byteLength);
  return Array.from({ length: part.bytes.length >> 3 }, (_, i) => view.getBigUint64(8 * i, true));
}

/** A word of ARGS through a printer; `?` where the recording has none. */
function word(words: readonly bigint[], i: number, print: (w: bigint) => string): string {
  const w = words[i];
  return w === undefined ? '?' : print(w);
}

function bytesOf(p: Printing, kind: number, slot?: number): Uint8Array | undefined {
  const part = p.e.parts.find((x) => x.kind === kind && (slot === undefined || x.slot === slot));
  if (part !== undefined) p.used.add(part);
  return part?.bytes;
}

/** Text number `slot`, quoted; `?` where the recording has none. */
function text(p: Printing, slot: number): string {
  const bytes = bytesOf(p, PART.TEXT, slot);
  return bytes === undefined ? '?' : quoteText(bytes);
}

/** Strings with a NUL between each two: an argument vector. */
function vector(p: Printing, slot: number): string {
  const bytes = bytesOf(p, PART.TEXT, slot);
  if (bytes === undefined) return '?';
  const items: string[] = [];
  for (let from = 0; bytes.length > 0 && from <= bytes.length; ) {
    const nul = bytes.indexOf(0, from);
    const to = nul < 0 ? bytes.length : nul;
    items.push(quoteText(bytes.subarray(from, to)));
    from = to + 1;
  }
  const most = whole(p) ? items.length : 8;
  return `[${items.slice(0, most).join(', ')}${items.length > most ? `, … ${items.length - most} more` : ''}]`;
}

const whole = (p: Printing): boolean => p.o.style === 'full' || p.o.style === 'verbose';
const flags = (p: Printing, table: Parameters<typeof flagNames>[0], w: bigint): string =>
  p.o.style === 'raw' ? hex(w) : flagNames(table, w, p.o.machine ?? 'x86_64');
/** A descriptor; style full says what it is: `8<iommufd#1>`. */
function fd(p: Printing): string {
  if (!whole(p) || (p.e.file === 0 && p.e.fileKind === 0)) return String(p.e.fd);
  const kind = FILE_NAMES[p.e.fileKind] ?? `file${p.e.fileKind}`;
  return `${p.e.fd}<${kind}${p.e.file === 0 ? '' : `#${p.e.file}`}>`;
}
const name = (p: Printing): string => callName(p.e, p.o.table);
const address = (w: bigint): string => (w === 0n ? 'NULL' : hex(w));
const count = (w: bigint): string => w.toString();
const dirfd = (w: bigint): string => (signed32(w) === -100 ? 'AT_FDCWD' : String(signed32(w)));
const number32 = (w: bigint): string => String(signed32(w));

const PRINT: Partial<Record<KindName, (p: Printing) => string>> = {
  ioctl: (p) => `ioctl(${fd(p)}, ${callArguments(p)})`,
  open: printOpen,
  close: (p) => {
    const w = args(p);
    if (p.e.request === 2)
      return `close_range(${word(w, 0, count)}, ${word(w, 1, lastFd)}, ${word(w, 2, (x) => flags(p, CLOSE_RANGE_FLAGS, x))})`;
    return p.e.request === 3 ? `closefrom(${word(w, 0, number32)})` : `${name(p)}(${fd(p)})`;
  },
  dup: (p) => {
    const w = args(p);
    const second = word(w, 0, number32);
    const forms = [
      fd(p),
      fd(p),
      `${fd(p)}, ${second}`,
      `${fd(p)}, ${second}, ${word(w, 1, (x) => flags(p, OPEN_FLAGS, x).replace(/^O_RDONLY\|?/, '') || '0')}`,
      `${fd(p)}, F_DUPFD, ${second}`,
      `${fd(p)}, F_DUPFD_CLOEXEC, ${second}`,
    ];
    return `${name(p)}(${forms[p.e.request] ?? `${fd(p)}, ${second}`})`;
  },
  mmap: (p) => {
    const w = args(p);
    const prot = word(w, 2, (x) => flags(p, PROT_FLAGS, x));
    return `mmap(${word(w, 0, address)}, ${word(w, 1, hex)}, ${prot}, ${word(w, 3, (x) => flags(p, MAP_FLAGS, x))}, ${fd(p)}, ${word(w, 4, hex)})`;
  },
  munmap: (p) => {
    const w = args(p);
    return `munmap(${word(w, 0, address)}, ${word(w, 1, hex)})`;
  },
  mremap: (p) => {
    const w = args(p);
    const fixed = w[3] !== undefined && (w[3] & 2n) !== 0n ? `, ${word(w, 4, address)}` : '';
    return `mremap(${word(w, 0, address)}, ${word(w, 1, hex)}, ${word(w, 2, hex)}, ${word(w, 3, (x) => flags(p, MREMAP_FLAGS, x))}${fixed})`;
  },
  read: (p) => printTransfer(p, PART.OUT),
  write: (p) => printTransfer(p, PART.IN),
  fork: (p) => `${name(p)}()`,
  exec: (p) => `execve(${text(p, 0)}, ${vector(p, 1)})`,
  start: (p) => {
    const w = args(p);
    const how = START[p.e.request] ?? `start${p.e.request}`;
    const extra = whole(p) ? `, comm=${text(p, 2)}, cwd=${text(p, 3)}, started=${word(w, 1, count)}` : '';
    if (!whole(p)) for (const slot of [2, 3]) bytesOf(p, PART.TEXT, slot);
    return `start(${how}, ppid=${word(w, 0, count)}, exe=${text(p, 0)}, argv=${vector(p, 1)}${extra})`;
  },
  exit: (p) => `${name(p)}(${p.e.ret})`,
  fd: (p) => {
    const w = args(p);
    const rdev = w[0] === undefined || w[0] === 0n ? '' : `, rdev=${device(w[0])}`;
    const inode = w[1] === undefined || !whole(p) ? '' : `, inode=${w[1]}`;
    const peer = w[2] === undefined || w[2] === 0n ? '' : `, peer=${w[2]}:${word(w, 3, number32)}`;
    const via = w[4] === undefined || signed32(w[4]) < 0 ? '' : `, via=${number32(w[4])}`;
    return `fd(${fd(p)}, ${FOUND[p.e.request] ?? `found${p.e.request}`}, ${text(p, 0)}${rdev}${inode}${peer}${via})`;
  },
  sendfd: (p) => {
    const w = args(p);
    const inode = whole(p) && w[1] !== undefined ? `, inode=${w[1]}` : '';
    return `sendmsg(${word(w, 0, number32)}, {SCM_RIGHTS [${fd(p)}]}${inode})`;
  },
  return: (p) => {
    const call = Number(args(p)[0] ?? 0n);
    return `<… ${resumedName(p, call)} resumed, seq ${call}>${resumedOutput(p, call)}`;
  },
  gap: (p) =>
    `gap(${GAP[p.e.request] ?? `gap${p.e.request}`}, ${p.e.ret} events lost${p.e.parts.some((x) => x.kind === PART.TEXT) ? `, ${text(p, 0)}` : ''})`,
};

const lastFd = (w: bigint): string => (BigInt.asUintN(32, w) === 0xffffffffn ? '~0U' : BigInt.asUintN(32, w).toString());

/** A dev_t as the kernel gives it to user space: `10:127` (glibc's makedev). */
function device(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

function printOpen(p: Printing): string {
  const w = args(p);
  const path = text(p, 0);
  const mode = word(w, 2, (x) => (x === 0n ? '0' : `0${x.toString(8)}`));
  const asks = w[1] !== undefined && (w[1] & 0o20000100n) !== 0n;
  const how = word(w, 1, (x) => flags(p, OPEN_FLAGS, x));
  switch (p.e.request) {
    case 3:
      return `creat(${path}, ${mode})`;
    case 2:
      return `openat(${word(w, 0, dirfd)}, ${path}, ${how}${asks ? `, ${mode}` : ''})`;
    case 4:
      return `openat2(${word(w, 0, dirfd)}, ${path}, {flags=${how}${asks ? `, mode=${mode}` : ''}})`;
    default:
      return `open(${path}, ${how}${asks ? `, ${mode}` : ''})`;
  }
}

function printTransfer(p: Printing, kind: number): string {
  const w = args(p);
  const bytes = bytesOf(p, kind);
  const offset = p.e.request === 2 || p.e.request === 4 ? `, ${word(w, 1, hex)}` : '';
  return `${name(p)}(${fd(p)}, ${bytes === undefined ? '?' : recordsOrBytes(p, bytes)}, ${word(w, 0, count)}${offset})`;
}

/** Kinds of file whose bytes are records; numbers of FileKind. */
const RECORD_FILES: Readonly<Record<number, 'FAULT' | 'VEVENTQ'>> = { 5: 'FAULT', 6: 'VEVENTQ' };

/** What was read or written: page faults, answers, vIOMMU events; else bytes. `event` is where the descriptor is known. */
function recordsOrBytes(p: Printing, bytes: Uint8Array, event: EventLike = p.e): string {
  const file = RECORD_FILES[event.fileKind];
  if (file === undefined || p.o.style === 'raw') return bytesText(bytes, whole(p) ? Number.POSITIVE_INFINITY : 32);
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
  const find = (e: EventLike, kind: number, slot?: number): Uint8Array | undefined => {
    const part = e.parts.find((x) => x.kind === kind && (slot === undefined || x.slot === slot));
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

function callArguments(p: Printing): string {
  return printCall(p.o.table, callBytes(p.e, p.e, p.used), callStyle(p, p.e));
}

function resumedName(p: Printing, call: number): string {
  const began = p.o.entered?.(call);
  return began === undefined ? name(p) : callName(began, p.o.table);
}

/** What a call that was stored as entered brought back: the ioctl's text with the input of its beginning, the bytes of a read. */
function resumedOutput(p: Printing, call: number): string {
  const began = p.o.entered?.(call);
  if (began?.kind === KIND_NAMES.indexOf('ioctl') && p.e.parts.some((x) => x.kind === PART.OUT || x.kind === PART.NESTED_OUT)) {
    const { out } = viewCall(p.o.table, callBytes(p.e, began, p.used));
    const written = out === undefined ? '{}' : printNode(p.o.table, out, callStyle(p, began));
    return written === '{}' ? '' : ` ${written}`;
  }
  const bytes = bytesOf(p, PART.OUT);
  return bytes === undefined ? '' : ` ${recordsOrBytes(p, bytes, began)}`;
}

/** A kind this program does not know: everything there is, in numbers. */
function printUnknown(p: Printing): string {
  const words = args(p).map(hex);
  return `${kindName(p.e.kind)}(fd=${fd(p)}, request=${hex(p.e.request)}${words.length === 0 ? '' : `, args=[${words.join(', ')}]`})`;
}

/** Kinds that are no calls: they have no result. */
const NO_RESULT: ReadonlySet<string> = new Set(['start', 'exit', 'fd', 'gap']);
const RESULT_IS_ADDRESS: ReadonlySet<string> = new Set(['mmap', 'mremap']);

function resultText(p: Printing): string {
  const { e } = p;
  const kind = kindName(e.kind);
  if (NO_RESULT.has(kind)) return '';
  if (e.state === STATE.ENTERED) return '= ? <unfinished>';
  if (e.error !== 0) {
    const words = p.o.errorText === true ? ` (${errnoText(e.error)})` : '';
    return `= ${e.ret} ${errnoName(e.error)}${words}`;
  }
  // A successful execve never returns: the START that follows tells that it worked.
  if (kind === 'exec') return '= ?';
  return `= ${RESULT_IS_ADDRESS.has(kind) && e.ret !== -1n ? address(BigInt.asUintN(64, e.ret)) : e.ret}`;
}

const PART_NAMES = ['part0', 'in', 'out', 'nested in', 'nested out', 'args', 'text'] as const;

/** What the recording has to say about itself: how the event was seen, what of it is missing, parts that nothing else printed. */
function notesText(p: Printing): string {
  const { e } = p;
  const notes: string[] = [];
  if (e.flags & FLAG.VFORK) notes.push('vfork child');
  if (e.flags & FLAG.OBSERVED) notes.push('observed from outside');
  if (e.flags & FLAG.SIGNAL) notes.push('in a signal handler');
  for (const part of e.parts) notes.push(...partNotes(p, part));
  return notes.length === 0 ? '' : `/* ${notes.join('; ')} */`;
}

function partNotes(p: Printing, part: PartLike): string[] {
  const notes: string[] = [];
  const label = `${PART_NAMES[part.kind] ?? `part${part.kind}`}${part.slot === 0 ? '' : `@${part.slot}`}`;
  const some = `${label}: ${part.bytes.length} of ${part.wanted} bytes`;
  if (part.flags & PART_FLAG.TRUNCATED) notes.push(`${some}, over the capture limit`);
  if (part.flags & PART_FLAG.FAULT) notes.push(`${some}, the rest is not readable`);
  if (part.flags & PART_FLAG.LATE) notes.push(`${label}: read only after the call`);
  if (whole(p) && part.address !== 0n) notes.push(`${label} at ${hex(part.address)}`);
  if (!p.used.has(part)) notes.push(`${label} ${bytesText(part.bytes, whole(p) ? Number.POSITIVE_INFINITY : 32)}`);
  return notes;
}
