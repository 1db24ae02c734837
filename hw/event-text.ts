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
import { type AccessPlace, accessNote, loadedWords } from './event-access.ts';
import { Printing, printKind } from './event-calls.ts';
import { ARG_WORDS, FRAME_NUMBERS, KIND_NAMES, MMIO_FLAG, MMIO_HOW, MMIO_SOURCES, usualWords } from './event-words.ts';
import { quoteText } from './quote.ts';
import { exactTook, secondsText, tookText } from './time-text.ts';
import type { UapiTable } from './uapi/table.ts';
import type { Meaning } from './uapi/view.ts';

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
  /** what an MMIO or QUEUE event is to; undefined: not known */
  readonly place?: ((event: EventLike) => AccessPlace | undefined) | undefined;
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

/** The event as one line, without a newline. */
export function printEvent(event: EventLike, options: TextOptions): string {
  const t = eventText(event, options);
  return `${t.seq} ${t.time} ${t.who} ${t.call}${t.result === '' ? '' : ` ${t.result}`}${t.notes === '' ? '' : ` ${t.notes}`}`;
}

/** The columns of the line. */
export function eventText(event: EventLike, options: TextOptions): EventText {
  const p = new Printing(event, options);
  return {
    seq: String(event.seq),
    time: (options.time ?? ((e) => timeSinceStart(e, options)))(event),
    who: event.pid === event.tid ? String(event.pid) : `${event.pid}/${event.tid}`,
    call: printKind(p),
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

/** Kinds that are no calls: they have no result. */
const NO_RESULT: ReadonlySet<string> = new Set(['start', 'exit', 'fd', 'gap', 'queue', 'region']);
const RESULT_IS_ADDRESS: ReadonlySet<string> = new Set(['mmap', 'mremap']);

function resultText(p: Printing): string {
  const { e } = p;
  if (NO_RESULT.has(p.kind)) return '';
  if (e.state === STATE.ENTERED) return '= ? <unfinished>';
  if (p.kind === 'mmio') return mmioResult(p);
  const answer = p.kind === 'return' ? answeredAccess(p) : undefined;
  if (answer !== undefined) return answer;
  if (e.error !== 0) {
    const words = p.o.errorText === true ? ` (${errnoText(e.error)})` : '';
    return `= ${p.ret} ${errnoName(e.error)}${words}`;
  }
  // A successful execve never returns: the START that follows tells that it worked.
  if (p.kind === 'exec') return '= ?';
  // Where the descriptor is the result, it is told there what it is.
  if (p.kind === 'open' && e.ret === BigInt(e.fd)) {
    p.toldRet = true;
    return `= ${p.fd}`;
  }
  if (!RESULT_IS_ADDRESS.has(p.kind) || e.ret === -1n) return `= ${p.ret}`;
  p.toldRet = true;
  return `= ${e.ret === 0n ? 'NULL' : `0x${BigInt.asUintN(64, e.ret).toString(16)}`}`;
}

/** What a load has brought; a store brings nothing. */
function mmioResult(p: Printing): string {
  const { e } = p;
  if (e.error !== 0) return `= ? ${errnoName(e.error)}`;
  const how = e.request & 15;
  if (how === MMIO_HOW.STORE) return '';
  if ((p.words[4] ?? 0n) & BigInt(MMIO_FLAG.STEPPED)) return '= ?';
  const registers = loadedWords(p);
  if (registers !== undefined) return `= ${registers}`;
  const wide = p.part(PART.OUT);
  if (wide !== undefined) return `= ${p.bytes(wide)}`;
  p.toldRet = true;
  return `= 0x${BigInt.asUintN(64, e.ret).toString(16)}`;
}

/** What a guest's load that was stored as entered has brought. undefined: the return is of something else. */
function answeredAccess(p: Printing): string | undefined {
  const seq = p.words[0];
  const began = seq === undefined || seq >= BigInt(p.e.seq) ? undefined : p.o.entered?.(Number(seq));
  if (began === undefined || KIND_NAMES[began.kind] !== 'mmio') return undefined;
  if (p.e.error !== 0) return `= ? ${errnoName(p.e.error)}`;
  if ((began.request & 15) === MMIO_HOW.STORE) return '';
  const args = began.parts.find((x) => x.kind === PART.ARGS)?.bytes;
  if (args !== undefined && args.length > 32 && args[32]! & MMIO_FLAG.STEPPED) return '= ?';
  p.toldRet = true;
  return `= 0x${BigInt.asUintN(64, p.e.ret).toString(16)}`;
}

/** How it was seen, and what of it is not known. */
function mmioNotes(p: Printing): string[] {
  const notes = accessNote(p);
  const source = p.e.request >>> 4;
  if (source !== 0) notes.push(MMIO_SOURCES[source] ?? `source ${source}`);
  const flags = p.words[4] ?? 0n;
  if (flags & BigInt(MMIO_FLAG.STEPPED)) notes.push(`${source === 0 ? 'single-stepped: ' : ''}the value is not known`);
  if (flags & BigInt(MMIO_FLAG.EXCLUSIVE)) notes.push('exclusive');
  if (flags & BigInt(MMIO_FLAG.RELEASED)) notes.push('from here on this page is not trapped');
  if (p.part(PART.TEXT, 0) !== undefined) notes.push(`by ${p.text(0)}`);
  if (p.part(PART.TEXT, 1) !== undefined) notes.push(`task ${p.text(1)}`);
  if (flags & BigInt(MMIO_FLAG.COALESCED)) notes.push('coalesced: made before');
  if (flags < 16n) p.toldWords.add(4);
  return notes;
}

/** A region that was mapped while its loads and stores were wanted. */
function aliasNotes(p: Printing): string[] {
  if (p.words[5] === 0n) return p.e.error === 0 ? ['its loads and stores are not trapped'] : [];
  return p.whole ? [`alias at ${p.word(5, (w) => `0x${w.toString(16)}`)}`] : [];
}

const PART_NAMES = ['unused', 'in', 'out', 'nested in', 'nested out', 'args', 'text'] as const;

/** What the recording has to say about itself: how the event was seen, what of it is missing, and what nothing else has told. */
function notesText(p: Printing): string {
  const { e } = p;
  const notes: string[] = [];
  if (e.flags & FLAG.VFORK) notes.push('vfork child');
  if (e.flags & FLAG.OBSERVED) notes.push('observed from outside');
  if (e.flags & FLAG.SIGNAL) notes.push('in a signal handler');
  if (p.kind === 'mmio') notes.push(...mmioNotes(p));
  if (p.kind === 'mmap' && p.words.length > 5) notes.push(...aliasNotes(p));
  if (p.whole) notes.push(...restNotes(p));
  for (const part of e.parts) notes.push(...partNotes(p, part));
  return notes.length === 0 ? '' : `/* ${notes.join('; ')} */`;
}

/** Style full: fields of the header, and words of ARGS, that the call and the result do not tell. */
function restNotes(p: Printing): string[] {
  const { e } = p;
  const notes: string[] = [];
  const known = FLAG.VFORK | FLAG.OBSERVED | FLAG.SIGNAL;
  if (e.flags & ~known) notes.push(`flags 0x${(e.flags & ~known).toString(16)}`);
  const entered = e.state === STATE.ENTERED;
  if (entered ? NO_RESULT.has(p.kind) : e.state !== STATE.RETURNED) notes.push(`state ${e.state}`);
  if (!p.toldFd && (e.fd !== -1 || e.file !== 0 || e.fileKind !== 0 || opensAnother(p))) notes.push(`fd ${p.fd}`);
  if (!p.toldRequest) notes.push(`request ${e.request}`);
  // A found descriptor is its own result, so one that is not has to be told, be it 0.
  if (!p.toldRet && (e.ret !== 0n || p.kind === 'fd')) notes.push(`ret ${e.ret}`);
  if (e.error !== 0 && (entered || NO_RESULT.has(p.kind))) notes.push(`error ${e.error}`);
  notes.push(...wordNotes(p));
  return notes;
}

/** An open that succeeded and does not say that its result is the descriptor: no recorder of ours writes it. */
const opensAnother = (p: Printing): boolean => p.kind === 'open' && p.toldRet && p.e.error === 0;

/** Words that were not told; a zero needs no telling, but that there are more or fewer words than usual does. */
function wordNotes(p: Printing): string[] {
  const usual = ARG_WORDS[p.kind] === undefined ? p.words.length > 0 : usualWords(p.e, p.words.length);
  const notes = p.words.flatMap((w, i) => (w === 0n || p.toldWords.has(i) ? [] : [`args[${i}]=0x${w.toString(16)}`]));
  const some = p.e.parts.some((part) => part.kind === PART.ARGS && part.slot === 0);
  return some && !usual ? [...notes, `${p.words.length} words`] : notes;
}

/** A part of which bytes are missing, or that nothing has told. Addresses of texts and words say nothing about the program. */
function partNotes(p: Printing, part: PartLike): string[] {
  const notes: string[] = [];
  const label = `${PART_NAMES[part.kind] ?? `part${part.kind}`}${part.slot === 0 ? '' : `@${part.slot}`}`;
  const some = `${label}: ${part.bytes.length} of ${part.wanted} bytes`;
  const cut = part.flags & (PART_FLAG.TRUNCATED | PART_FLAG.FAULT);
  if (part.flags & PART_FLAG.TRUNCATED) notes.push(`${some}, over the capture limit`);
  if (part.flags & PART_FLAG.FAULT) notes.push(`${some}, the rest is not readable`);
  if (part.flags & PART_FLAG.LATE) notes.push(`${label}: read only after the call`);
  if (p.whole) {
    const unknown = part.flags & ~(PART_FLAG.TRUNCATED | PART_FLAG.FAULT | PART_FLAG.LATE);
    if (unknown) notes.push(`${label}: flags 0x${unknown.toString(16)}`);
    if (!cut && part.wanted !== BigInt(part.bytes.length)) notes.push(some);
    if (part.address !== 0n && part.kind !== PART.TEXT && part.kind !== PART.ARGS) notes.push(`${label} at 0x${part.address.toString(16)}`);
  }
  const words = part === p.e.parts.find((x) => x.kind === PART.ARGS && x.slot === 0);
  const told = p.toldParts.has(part) || words;
  // what the recorder saw of the memory that the call maps
  if (!told && p.kind === 'ioctl' && part.kind === PART.TEXT && part.slot === 0) notes.push(`memory ${quoteText(part.bytes)}`);
  else if (!told) notes.push(`${label} ${p.bytes(part.bytes)}`);
  if (words && part.bytes.length % 8 !== 0) notes.push(`${label} end in ${p.bytes(part.bytes.subarray(part.bytes.length & ~7))}`);
  return notes;
}
