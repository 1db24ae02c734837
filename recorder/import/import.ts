/** `import`: another tool's log as a trace, alone or in one timeline with a recording. */
import { rmSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { errnoName } from '../../hw/errno.ts';
import { DIALECTS, dialectForKernel, uapiTable } from '../../hw/uapi/table.ts';
import { TraceWriter } from '../../store/append.ts';
import { IrrError, storeError } from '../../store/errors.ts';
import { encodeFrame, FrameCursor, Gap, Kind, makeFrame, makePart, PartKind, State } from '../../store/frame.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { PARTIAL, SIDE_FILES } from '../../store/open.ts';
import { TraceReader } from '../../store/read.ts';
import { TraceSide } from '../../store/side.ts';
import { RowIndex } from '../index-row.ts';
import { checkOutput, place } from '../output-file.ts';
import { AccessFrame } from './access-frame.ts';
import { type Format, type LogEvent, type Region, type Sink, textBytes } from './format.ts';
import { FORMATS } from './formats.ts';
import { readLines } from './lines.ts';
import { Merging } from './merge.ts';
import { Order } from './order.ts';
import { regionEvent } from './regions.ts';

export interface ImportOptions {
  readonly format: Format;
  /** the log; `-` for standard input */
  readonly input: string;
  readonly output: string;
  readonly force: boolean;
  readonly tool: string;
  /** a recording that the log is merged with; it stays as it is */
  readonly recording?: string | undefined;
  /** what is to be added to the times of the log to have CLOCK_MONOTONIC, nanoseconds; undefined: they are taken for it */
  readonly offset?: bigint | undefined;
  readonly regions: readonly Region[];
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

export interface ImportResult {
  /** events of the trace */
  readonly events: number;
  /** of those, what the log brought */
  readonly imported: number;
  readonly accesses: number;
  readonly regions: number;
  /** events that the log says were lost, as far as it says how many */
  readonly lost: number;
  /** words in the log that became notes; `marksLeft`: those for which there was no room */
  readonly marks: number;
  readonly marksLeft: number;
  /** lines that were left out, by sort */
  readonly foreign: ReadonlyMap<string, number>;
  /** events that were further out of order than could be put right */
  readonly disorder: number;
  /** events of the log between the first and the last of the recording */
  readonly inside: number;
  /** CLOCK_MONOTONIC (or what was taken for it) of the first and the last event of the log, nanoseconds */
  readonly first: bigint;
  readonly last: bigint;
}

const MOST_NOTES = 2000;
/** Characters of a note. */
const NOTE_LENGTH = 1000;
const MOST_SORTS = 500;
/** First lines of a log that tell what it is. */
const MOST_SNIFFED = 64;
/** Events between two commits. */
const COMMIT = 1 << 17;
/** Latest time that a log may have, and that an event may: SQLite's integers are signed. */
const LATEST = 1n << 62n;
const MOST = (1n << 63n) - 1n;

/** Writes the trace. Throws an IrrError that says what is wrong; then there is no output. */
export function importLog(options: ImportOptions): ImportResult {
  const output = resolve(options.output);
  checkOutput(output, options.force, [options.recording, options.input]);
  const reader = options.recording === undefined ? undefined : openRecording(options.recording);
  const work = new Import(options, output + PARTIAL, reader);
  try {
    const result = work.run();
    place(output + PARTIAL, output, options.force);
    return result;
  } catch (error) {
    work.discard();
    throw storeError(error, output);
  } finally {
    reader?.close();
  }
}

function openRecording(path: string): TraceReader {
  const reader = TraceReader.open(path);
  if (reader.meta.complete) return reader;
  reader.close();
  throw new IrrError('incomplete', `${path}: the recording still runs, or was interrupted`, {
    hint: 'wait for its end, or recover it first',
  });
}

class Import implements Sink {
  readonly #o: ImportOptions;
  readonly #path: string;
  readonly #reader: TraceReader | undefined;
  readonly #order = new Order((e) => this.#write(e));
  readonly #cursor = new FrameCursor();
  readonly #frame = new AccessFrame();
  readonly #foreign = new Map<string, number>();
  readonly #notes: { seq: number; text: string }[] = [];
  /** what came before the first time */
  readonly #early: { events: number; words: string }[] = [];
  #writer: TraceWriter | undefined;
  #rows: RowIndex | undefined;
  #merging: Merging | undefined;
  #side: { marks: { name: string; seq: number }[]; notes: { seq: number; text: string }[] } = { marks: [], notes: [] };
  #sniffed = 0;
  /** another format that the first lines look like */
  #meant: Format | undefined;
  #now: bigint | undefined;
  #imported = 0;
  #accesses = 0;
  #regions = 0;
  #lost = 0;
  #marksLeft = 0;
  #inside = 0;
  #first: bigint | undefined;
  #last = 0n;
  #end = 0n;

  constructor(options: ImportOptions, path: string, reader: TraceReader | undefined) {
    this.#o = options;
    this.#path = path;
    this.#reader = reader;
  }

  run(): ImportResult {
    const { format, input, regions, progress } = this.#o;
    if (this.#reader !== undefined) this.#end = endOf(this.#reader);
    const parser = format.parser(this, { processOf: this.#processOf(), regions });
    readLines(input, format.lineLimit, {
      line: (text, whole) => {
        if (this.#sniffed < MOST_SNIFFED) this.#sniff(text);
        parser.line(text, whole);
      },
      tooLong: () => this.foreign('longer than any line of such a log'),
      progress: (done, total) => {
        if (total > 0) progress?.(done, total);
      },
    });
    parser.end();
    this.#order.end();
    if (this.#writer === undefined || this.#imported <= this.#o.regions.length) throw this.#nothing();
    this.#checkClock();
    this.#merging?.rest();
    this.#finish(this.#writer);
    return this.#result(this.#writer.last);
  }

  #sniff(line: string): void {
    this.#sniffed++;
    this.#meant ??= FORMATS.find((f) => f !== this.#o.format && f.sniff(line));
  }

  discard(): void {
    if (this.#writer === undefined) return;
    this.#writer.close();
    for (const side of ['', ...SIDE_FILES]) rmSync(this.#path + side, { force: true });
  }

  // what the parser says

  event(e: LogEvent): void {
    if (e.time > LATEST) {
      this.foreign('a time that no clock has');
      return;
    }
    if (this.#now === undefined) {
      this.#now = e.time;
      for (const region of this.#o.regions) this.#order.push(regionEvent(region, e.time, e.grain));
      for (const { events, words } of this.#early) this.lost(events, words);
    }
    this.#now = e.time;
    this.#order.push(e);
  }

  foreign(what: string): void {
    const known = this.#foreign.get(what);
    const sort = known === undefined && this.#foreign.size >= MOST_SORTS ? 'others' : what;
    this.#foreign.set(sort, (this.#foreign.get(sort) ?? 0) + 1);
  }

  lost(events: number, words: string, time = this.#now): void {
    if (time === undefined) {
      if (this.#early.length < MOST_SORTS) this.#early.push({ events, words });
      return;
    }
    const said = `${this.#o.format.name}: ${events === 0 ? 'an unknown number of events, ' : ''}${words}`;
    const parts = [makePart(PartKind.TEXT, textBytes(said))];
    this.#lost += events;
    this.#order.push({ time, grain: 1n, exit: time, frame: { kind: Kind.GAP, request: Gap.FULL, ret: BigInt(events), parts } });
  }

  // what is made of it

  #write(e: LogEvent): void {
    const tEnter = e.time + (this.#o.offset ?? 0n);
    const tExit = e.exit < e.time || e.exit > LATEST ? tEnter : e.exit + (this.#o.offset ?? 0n);
    if (tEnter < 0n || tEnter > MOST || tExit > MOST)
      throw new IrrError('usage', `${this.#o.input}: with its offset, a time of the log is no time of CLOCK_MONOTONIC`, {
        hint: '--clock-offset is what is to be added to the times of the log, in seconds',
      });
    const writer = this.#writer ?? this.#create(tEnter);
    this.#merging?.upTo(tEnter, tEnter + e.grain - 1n);
    if (e.note !== undefined) {
      this.#note(writer.last, e.note);
      return;
    }
    this.#first ??= tEnter;
    this.#last = tEnter;
    this.#imported++;
    if (this.#reader !== undefined && tEnter >= this.#reader.meta.clock.monotonicNs && tEnter <= this.#end) this.#inside++;
    if (e.access !== undefined) {
      this.#accesses++;
      this.#put(this.#frame.write(e.access, tEnter, tExit), 0);
    } else if (e.frame !== undefined) {
      if (e.frame.kind === Kind.REGION) this.#regions++;
      this.#put(encodeFrame(makeFrame({ state: State.RETURNED, ...e.frame, tEnter, tExit })), 0);
    }
  }

  #put(buffer: Buffer, offset: number): number {
    const seq = this.#writer!.append(buffer, offset, this.#rows!.row(this.#cursor.at(buffer, offset)));
    if (seq % COMMIT === 0) this.#writer!.flush();
    return seq;
  }

  #note(last: number, text: string): void {
    if (this.#notes.length >= MOST_NOTES) this.#marksLeft++;
    else this.#notes.push({ seq: Math.max(1, last), text: textBytes(text).toString('utf8').slice(0, NOTE_LENGTH) });
  }

  #create(start: bigint): TraceWriter {
    const meta = this.#meta(start);
    const writer = TraceWriter.create(this.#path, meta, { errorName: errnoName });
    this.#writer = writer;
    this.#rows = new RowIndex(uapiTable(DIALECTS.find((d) => d === meta.dialect) ?? dialectForKernel(meta.kernel)));
    if (this.#reader !== undefined) {
      const side = TraceSide.open(this.#reader.path, { readonly: true });
      this.#side = { marks: side.marks(), notes: side.notes() };
      side.close();
      const wanted = [...this.#side.marks, ...this.#side.notes].map((x) => x.seq);
      this.#merging = new Merging(this.#reader, wanted, (buffer, offset) => this.#put(buffer, offset));
    }
    return writer;
  }

  #meta(start: bigint): TraceMeta {
    const { tool, format, input } = this.#o;
    const source = `import ${format.name}`;
    const of = this.#reader?.meta;
    if (of !== undefined) return { ...of, tool, source: `${of.source ?? 'unknown'} + ${source}`, complete: false };
    return {
      v: 1,
      tool,
      source,
      kernel: '',
      machine: '',
      cpu: '',
      command: ['import', format.name, input],
      cwd: '',
      dialect: dialectForKernel(''),
      clock: { realtimeNs: 0n, monotonicNs: start },
      complete: false,
      dropped: 0,
    };
  }

  /** What is known of the import itself, for people and for `info`. */
  #finish(writer: TraceWriter): void {
    const { format, input, offset } = this.#o;
    const entry = {
      format: format.name,
      file: input === '-' ? '-' : basename(input),
      events: this.#imported,
      lost: this.#lost,
      foreign: [...this.#foreign.values()].reduce((a, b) => a + b, 0),
      offset: offset === undefined ? null : String(offset),
    };
    const before = Array.isArray(writer.meta.imports) ? (writer.meta.imports as unknown[]) : [];
    writer.setMeta({ imports: [...before, entry], dropped: writer.meta.dropped + this.#lost });
    writer.finish();
    const renumbered = this.#merging?.renumbered;
    const kept = this.#side.notes.flatMap((n) => (renumbered?.has(n.seq) ? [{ ...n, seq: renumbered.get(n.seq)! }] : []));
    if (this.#notes.length + kept.length + this.#side.marks.length === 0) return;
    const side = TraceSide.open(this.#path);
    try {
      for (const mark of this.#side.marks) if (renumbered?.has(mark.seq)) side.setMark(mark.name, renumbered.get(mark.seq)!);
      for (const note of [...kept, ...this.#notes]) side.addNote(note.seq, note.text);
    } finally {
      side.close();
    }
  }

  /** Where nobody said what clock the log has: it cannot be that of the recording if they have no time in common. */
  #checkClock(): void {
    if (this.#reader === undefined || this.#o.offset !== undefined || this.#inside > 0) return;
    const { monotonicNs } = this.#reader.meta.clock;
    const span = (a: bigint, b: bigint): string => `${seconds(a)} to ${seconds(b)} s`;
    throw new IrrError(
      'clock',
      `${this.#o.input}: its times (${span(this.#first ?? 0n, this.#last)}) are not those of the recording (${span(monotonicNs, this.#end)}, CLOCK_MONOTONIC)`,
      { hint: 'take the log with: echo mono > /sys/kernel/tracing/trace_clock; or say what to add to its times with --clock-offset' },
    );
  }

  #nothing(): IrrError {
    const [most] = [...this.#foreign].sort((a, b) => b[1] - a[1]);
    const what = most === undefined ? 'the file has no lines' : `its lines are: ${most[0]}`;
    return new IrrError('format', `${this.#o.input}: no event of ${this.#o.format.name} is in it (${what})`, {
      hint:
        this.#meant === undefined
          ? `formats: ${FORMATS.map((f) => `${f.name} (${f.summary})`).join('; ')}`
          : `it looks like ${this.#meant.name}: import ${this.#meant.name}`,
    });
  }

  #processOf(): (tid: number) => number | undefined {
    const processes = new Map<number, number | undefined>();
    for (const { tid, pid } of this.#reader?.query('SELECT DISTINCT tid, pid FROM events LIMIT 1000000') ?? [])
      processes.set(Number(tid), processes.has(Number(tid)) ? undefined : Number(pid));
    return (tid) => processes.get(tid);
  }

  #result(events: number): ImportResult {
    return {
      events,
      imported: this.#imported,
      accesses: this.#accesses,
      regions: this.#regions,
      lost: this.#lost,
      marks: this.#notes.length,
      marksLeft: this.#marksLeft,
      foreign: this.#foreign,
      disorder: this.#order.disorder,
      inside: this.#inside,
      first: this.#first ?? 0n,
      last: this.#last,
    };
  }
}

const seconds = (ns: bigint): string =>
  `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n)
    .padStart(9, '0')
    .slice(0, 6)}`;

/** CLOCK_MONOTONIC of the last thing that a recording saw. */
function endOf(reader: TraceReader): bigint {
  const [row] = reader.query('SELECT max(t + coalesce(took, 0)) AS "end" FROM events', [], true);
  const end = row?.end;
  return reader.meta.clock.monotonicNs + (typeof end === 'bigint' ? end : 0n);
}
