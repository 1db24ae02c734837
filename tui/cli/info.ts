/** `info`: what is in a trace. */
import { statSync } from 'node:fs';
import { quoteText } from '../../hw/quote.ts';
import { secondsText } from '../../hw/time-text.ts';
import { recorderState, spoolOf } from '../../recorder/alive.ts';
import { FileKind, FrameCursor, Kind, PartKind } from '../../store/frame.ts';
import type { TraceMeta } from '../../store/meta.ts';
import type { Run } from './commands.ts';
import { Notes } from './notes.ts';
import { type Out, type Piece, Progress, paint } from './output.ts';
import { shellWord } from './shell-word.ts';
import { dialectOf, type Opened, openTrace } from './trace.ts';

interface ProcessInfo {
  readonly pid: number;
  /** program of its last image, quoted; '' where the trace does not say */
  exe: string;
  /** it did not live the whole recording through: an exit was seen */
  ended: boolean;
  events: number;
}

interface Counts {
  ioctls: number;
  errors: number;
  gaps: number;
  /** nanoseconds from the start to the end of the last call */
  duration: bigint;
  readonly iommufds: Set<number>;
  readonly processes: Map<number, ProcessInfo>;
}

/** One pass over the headers of all frames. */
function countEvents({ reader, meta }: Opened): Counts {
  const counts: Counts = { ioctls: 0, errors: 0, gaps: 0, duration: 0n, iommufds: new Set(), processes: new Map() };
  const cursor = new FrameCursor();
  const progress = new Progress('reading');
  for (const batch of reader.scan()) {
    for (let i = 0; i < batch.count; i++) countEvent(cursor.at(batch.buffer, batch.offsets[i]!), counts, meta.clock.monotonicNs);
    progress.update(batch.first + batch.count, reader.last);
  }
  progress.done();
  return counts;
}

function countEvent(c: FrameCursor, counts: Counts, start: bigint): void {
  const { kind } = c;
  if (kind === Kind.IOCTL) counts.ioctls++;
  if (kind === Kind.GAP) counts.gaps++;
  if (c.error !== 0) counts.errors++;
  if (c.fileKind === FileKind.IOMMUFD && c.file !== 0) counts.iommufds.add(c.file);
  const end = (c.tExit === 0n ? c.tEnter : c.tExit) - start;
  if (end > counts.duration) counts.duration = end;
  let process = counts.processes.get(c.pid);
  if (process === undefined) {
    process = { pid: c.pid, exe: '', ended: false, events: 0 };
    counts.processes.set(c.pid, process);
  }
  process.events++;
  if (kind === Kind.START && c.part(PartKind.TEXT, 0)) process.exe = quoteText(c.buffer.subarray(c.partStart, c.partStart + c.partBytes));
  if (kind === Kind.EXIT) process.ended = true;
}

/** How the program ended, in words. */
function exitText(exit: Opened['meta']['exit']): string {
  if (exit === undefined) return 'not known';
  if (exit.signal !== undefined) return `killed by ${exit.signal}`;
  return exit.status === undefined ? 'not known' : `status ${exit.status}`;
}

function infoJson(opened: Opened, counts: Counts, notes: Notes): object {
  const { meta, reader } = opened;
  return {
    v: 1,
    events: reader.count,
    dropped: meta.dropped,
    duration: Number(counts.duration),
    kernel: meta.kernel,
    dialect: dialectOf(meta),
    processes: counts.processes.size,
    complete: meta.complete,
    ioctls: counts.ioctls,
    errors: counts.errors,
    gaps: counts.gaps,
    iommufds: counts.iommufds.size,
    machine: meta.machine,
    cpu: meta.cpu,
    command: meta.command,
    cwd: meta.cwd,
    started: meta.clock.realtimeNs === 0n ? null : startedText(meta.clock.realtimeNs),
    exit: meta.exit ?? null,
    tool: meta.tool,
    source: meta.source ?? null,
    imports: importsOf(meta),
    digest: reader.digest,
    bookmarks: notes.bookmarks,
    notes: notes.notes,
    ...(sliceOf(opened.meta) === undefined ? {} : { slice: sliceOf(opened.meta) }),
    ...(reducedOf(opened.meta) === undefined ? {} : { reduced: reducedOf(opened.meta) }),
    ...(redactedOf(opened.meta).length === 0 ? {} : { redacted: redactedOf(opened.meta) }),
    processList: [...counts.processes.values()].map((p) => ({
      pid: p.pid,
      exe: p.exe === '' ? null : p.exe.slice(1, -1),
      events: p.events,
    })),
  };
}

interface ImportInfo {
  readonly format: string;
  readonly file: string;
  readonly events: number;
  readonly lost: number;
  readonly foreign: number;
}

/** The logs that were imported, as far as the trace says it well. */
function importsOf(meta: Opened['meta']): ImportInfo[] {
  const list: unknown[] = Array.isArray(meta.imports) ? meta.imports : [];
  return list.slice(0, MOST_PROCESSES).map((entry) => {
    const e = (typeof entry === 'object' && entry !== null ? entry : {}) as Readonly<Record<string, unknown>>;
    const count = (key: string): number => (typeof e[key] === 'number' ? e[key] : 0);
    const { format, file } = e;
    return { format: String(format), file: String(file), events: count('events'), lost: count('lost'), foreign: count('foreign') };
  });
}

/** Of which window of another trace this one is, as far as it says so well. */
function sliceOf(
  meta: Opened['meta'],
): { readonly from: number; readonly to: number; readonly prologue: number; readonly of: number } | undefined {
  const { slice } = meta;
  if (typeof slice !== 'object' || slice === null) return undefined;
  const { from, to, prologue, of } = slice as Readonly<Record<string, unknown>>;
  return [from, to, prologue, of].every((n) => typeof n === 'number')
    ? { from: from as number, to: to as number, prologue: prologue as number, of: of as number }
    : undefined;
}

/** Of which trace this one is the shortest that still shows something, as far as it says so well. */
function reducedOf(
  meta: Opened['meta'],
): { readonly of: string; readonly events: number; readonly seq: number | null; readonly keep: string | null } | undefined {
  const { reduced } = meta;
  if (typeof reduced !== 'object' || reduced === null) return undefined;
  const { of, events, seq, keep } = reduced as Readonly<Record<string, unknown>>;
  if (typeof of !== 'string' || typeof events !== 'number') return undefined;
  return { of, events, seq: typeof seq === 'number' ? seq : null, keep: typeof keep === 'string' ? keep : null };
}

/** Sorts of things that were taken out of the trace. */
const redactedOf = (meta: Opened['meta']): string[] =>
  Array.isArray(meta.redacted) ? meta.redacted.filter((name): name is string => typeof name === 'string').slice(0, MOST_PROCESSES) : [];

const startedText = (ns: bigint): string => {
  const ms = Number(ns / 1_000_000n);
  return ms <= 8.64e15 ? new Date(ms).toISOString() : `${ns} ns`;
};

const counted = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

function sizeText(path: string, events: number): string {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const each = events === 0 ? '' : `, ${(size / events).toFixed(1)} bytes per event`;
  return `${counted(size, 'byte')}${each}`;
}

/** Longest list of processes that is printed. */
const MOST_PROCESSES = 12;

/** What answered the calls. */
function kernelText({ source, dialect, kernel, modelMachine = 'plain' }: TraceMeta): string {
  if (source !== 'model') return kernel;
  const machine = modelMachine === 'plain' ? '' : `, as a machine called ${quoteText(Buffer.from(modelMachine))},`;
  return `none: the model of ${dialect} answered${machine === '' ? ',' : machine} on`;
}

function incompleteText(meta: TraceMeta): string {
  const spool = spoolOf(meta);
  const recorder = spool === undefined ? 'unknown' : recorderState(spool);
  if (recorder === 'runs') return 'the recording still runs';
  if (recorder === 'gone') return `its recorder has gone; iommufd-rr recover ${shellWord(spool ?? '')} completes it`;
  return 'the recording still runs, or was interrupted';
}

function infoText(out: Out, opened: Opened, counts: Counts, notes: Notes): void {
  const { meta, reader, path } = opened;
  const row = (label: string, ...pieces: Piece[]): void => out.line(paint('heading', label.padEnd(10)), ...pieces);
  const whole = meta.complete ? paint('ok', 'complete') : paint('error', `not complete: ${incompleteText(meta)}`);
  row('trace', path, ', ', sizeText(path, reader.count), ', ', whole);
  row('command', meta.command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : quoteText(Buffer.from(word)))).join(' '));
  if (meta.cwd !== '') row('in', meta.cwd);
  row(
    'started',
    meta.clock.realtimeNs === 0n ? 'nobody knows when' : startedText(meta.clock.realtimeNs),
    ', lasted ',
    secondsText(counts.duration, 3),
    ' s, ended: ',
    exitText(meta.exit),
  );
  const kernel = kernelText(meta);
  row('kernel', kernel === '' ? 'not known' : kernel, ` ${meta.machine}${meta.cpu === '' ? '' : `, ${meta.cpu}`}`);
  row(
    'dialect',
    dialectOf(meta),
    dialectOf(meta) === meta.dialect ? '' : ` (the trace says "${meta.dialect}", which this program does not know)`,
  );
  row('recorded', 'by ', meta.tool, meta.source === undefined ? '' : `, ${meta.source}`);
  for (const i of importsOf(meta))
    row('imported', `${i.file} (${i.format}): `, counted(i.events, 'event'), `, ${counted(i.foreign, 'line')} left out`);
  const slice = sliceOf(meta);
  if (slice !== undefined)
    row(
      'slice',
      `events ${slice.from} to ${slice.to} of ${slice.of}; the first ${slice.prologue} here are the earlier ones that they stand on`,
    );
  const reduced = reducedOf(meta);
  if (reduced !== undefined)
    row(
      'reduced',
      `from the ${counted(reduced.events, 'event')} of ${reduced.of}`,
      reduced.seq === null ? '' : `, to what event ${reduced.seq} needs`,
      reduced.keep === null ? '' : ` (${reduced.keep})`,
    );
  if (redactedOf(meta).length > 0) row('redacted', redactedOf(meta).join(', '));
  const gaps = counts.gaps === 0 ? '' : `, ${counted(counts.gaps, 'gap')} in the log`;
  const dropped =
    meta.dropped === 0 && counts.gaps === 0
      ? paint('ok', 'none dropped')
      : paint('error', `${meta.dropped.toLocaleString('en')} dropped${gaps}`);
  row('events', counted(reader.count, 'event'), ` (${counted(counts.ioctls, 'ioctl')}, ${counted(counts.errors, 'failure')}), `, dropped);
  if (notes.bookmarks + notes.notes > 0)
    row('notes', `${counted(notes.notes, 'note')}, ${counted(notes.bookmarks, 'bookmark')} (show --notes prints them)`);
  row('iommufds', counts.iommufds.size.toLocaleString('en'));
  const processes = [...counts.processes.values()].sort((a, b) => b.events - a.events || a.pid - b.pid);
  row('processes', processes.length.toLocaleString('en'));
  for (const p of processes.slice(0, MOST_PROCESSES))
    out.line(`  ${String(p.pid).padStart(8)}  ${String(p.events).padStart(9)}  ${p.exe === '' ? '?' : p.exe}`);
  if (processes.length > MOST_PROCESSES) out.line(`  … and ${processes.length - MOST_PROCESSES} more`);
}

export const run: Run = async ([path = ''], options, io) => {
  const opened = openTrace(path);
  const counts = countEvents(opened);
  const notes = new Notes(opened.reader);
  if (notes.trouble !== undefined) io.note(notes.trouble);
  const out = io.out();
  if (options.json === true) out.json(infoJson(opened, counts, notes));
  else infoText(out, opened, counts, notes);
  opened.reader.close();
  return 0;
};
