/** `recover`: a trace out of what a killed or foreign recording left behind. */
import { constants, copyFileSync, existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { errnoName } from '../hw/errno.ts';
import { dialectForKernel, uapiTable } from '../hw/uapi/table.ts';
import { TraceWriter } from '../store/append.ts';
import { IrrError, StoreError, storeError } from '../store/errors.ts';
import { FrameCursor, Kind, PartKind } from '../store/frame.ts';
import type { TraceMeta } from '../store/meta.ts';
import { PARTIAL, SIDE_FILES } from '../store/open.ts';
import { TraceReader } from '../store/read.ts';
import { Drain } from './drain.ts';
import { RowIndex } from './index-row.ts';
import { Spool } from './spool.ts';

export interface RecoverOptions {
  readonly force?: boolean;
  /** what a new trace says of itself beside what the spool has */
  readonly meta?: Partial<TraceMeta>;
  readonly tool: string;
}

export interface RecoverResult {
  readonly events: number;
  readonly dropped: number;
  /** events that the recorder had stored before it was killed */
  readonly resumed: number;
}

/** Processes other than this one of which `holds` says that they use a file. Of those that may not be looked into, nothing is known. */
function processesThat(holds: (pid: string) => boolean): number[] {
  let names: string[];
  try {
    names = readdirSync('/proc');
  } catch {
    return [];
  }
  return names
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((pid) => {
      try {
        return holds(pid);
      } catch {
        return false; // gone, or somebody else's
      }
    })
    .map(Number);
}

/**
 * Who has the spool open: its recorder. What a killed recorder had open the kernel has closed, so nothing that was left
 * behind, and no number that was used again, can be mistaken for one that lives.
 */
function recordersOf(path: string): number[] {
  const { dev, ino } = statSync(path);
  const name = basename(realpathSync(path));
  return processesThat((pid) =>
    readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const link = `/proc/${pid}/fd/${fd}`;
      if (basename(readlinkSync(link)) !== name) return false;
      const there = statSync(link);
      return there.dev === dev && there.ino === ino;
    }),
  );
}

/** Who has the spool mapped: programs that still write into it. */
function programsOf(path: string): number[] {
  const mapping = ` ${statSync(path).ino} `;
  const name = `/${basename(realpathSync(path))}`;
  return processesThat((pid) =>
    readFileSync(`/proc/${pid}/maps`, 'latin1')
      .split('\n')
      .some((line) => line.endsWith(name) && line.includes(mapping)),
  );
}

function refuseRecorder(path: string): void {
  const [recorder] = recordersOf(path);
  if (recorder !== undefined)
    throw new IrrError('live', `${path}: its recording still runs (process ${recorder})`, {
      hint: 'wait until it has ended; a running recording can be read from its trace',
    });
}

/** A trace is not completed while there is more to come. */
function refuseProgram(path: string): void {
  const [program] = programsOf(path);
  if (program !== undefined)
    throw new IrrError('live', `${path}: a program still writes into it (process ${program})`, {
      hint: 'wait until it has ended, or make another trace of what there is so far with --output',
    });
}

const ofAnother: ReadonlySet<string> = new Set(['not-sqlite', 'not-trace', 'newer-format', 'foreign-schema', 'truncated']);

/** The unfinished trace that took from this spool, where there is one. Throws an IrrError where that trace is complete. */
function unfinished(spool: Spool): string | undefined {
  const { trace, recording } = spool.header;
  if (trace === '' || recording === '') return undefined;
  for (const path of trace.endsWith(PARTIAL) ? [trace, trace.slice(0, -PARTIAL.length)] : [trace]) {
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) continue;
    try {
      const reader = TraceReader.open(path);
      const { meta } = reader;
      reader.close();
      if (meta.recording !== recording) continue;
      if (!meta.complete) return path;
      throw new IrrError('complete', `${spool.path}: nothing to recover, its trace ${path} is complete`, {
        hint: 'the spool is not needed any more and may be deleted',
      });
    } catch (error) {
      if (error instanceof StoreError && ofAnother.has(error.code)) continue;
      // cannot be read where it is, for want of room perhaps: what is in it shows when it is resumed
      if (error instanceof StoreError && path === trace) return path;
      throw error;
    }
  }
  return undefined;
}

function openSpool(path: string): Spool {
  try {
    return new ReadOnly(path);
  } catch (error) {
    if (error instanceof IrrError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new IrrError('unreadable', `${path}: cannot be read (${code})`, {
      hint: 'give the file that IRR_SPOOL named, or that record left behind',
    });
  }
}

/**
 * Writes `output` from a spool. What the killed recorder had stored already is taken over from its unfinished trace; the
 * two are joined where it stopped. With `output` undefined that trace itself is completed. The spool is left alone.
 * Throws an IrrError where the recording still runs, is complete, or where one of the files cannot be used.
 */
export function recover(spoolPath: string, output: string | undefined, options: RecoverOptions): RecoverResult {
  const spool = openSpool(spoolPath);
  try {
    refuseRecorder(spoolPath);
    const partial = unfinished(spool);
    const target = output === undefined ? partial : resolve(output);
    if (target === undefined)
      throw new IrrError('usage', `${spoolPath}: no unfinished trace belongs to it`, {
        hint: 'say where the trace shall go with --output',
      });
    if (same(target, partial)) return completed(spool, target);
    if (existsSync(target) && !options.force)
      throw new IrrError('exists', `${target}: exists already`, { hint: 'choose another name, or replace it with --force' });
    const live = existsSync(target) ? target + PARTIAL : target;
    if (same(live, partial)) return completed(spool, live);
    return drained(spool, partial === undefined ? created(spool, target, options) : resumed(partial, live), true);
  } finally {
    spool.close();
  }
}

function completed(spool: Spool, partial: string): RecoverResult {
  refuseProgram(spool.path);
  return drained(spool, TraceWriter.resume(partial, { errorName: errnoName }), false);
}

function same(a: string, b: string | undefined): boolean {
  return b !== undefined && existsSync(a) && existsSync(b) && realpathSync(a) === realpathSync(b);
}

function created(spool: Spool, target: string, options: RecoverOptions): TraceWriter {
  const h = spool.header;
  return TraceWriter.create(
    target,
    {
      v: 1,
      tool: options.tool,
      source: 'preload',
      kernel: h.kernel,
      machine: h.machine,
      cpu: h.cpu,
      command: [],
      cwd: '',
      dialect: dialectForKernel(h.kernel),
      clock: { realtimeNs: h.realtimeNs, monotonicNs: h.monotonicNs },
      complete: false,
      dropped: 0,
      recording: h.recording,
      ...options.meta,
    },
    { force: options.force === true, errorName: errnoName },
  );
}

/** A copy of the unfinished trace, to go on with. */
function resumed(partial: string, live: string): TraceWriter {
  try {
    copyFileSync(partial, live, constants.COPYFILE_EXCL);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') rmSync(live, { force: true });
    throw storeError(error, live);
  }
  try {
    for (const side of ['-wal', '-journal']) if (existsSync(partial + side)) copyFileSync(partial + side, live + side);
    return TraceWriter.resume(live, { errorName: errnoName });
  } catch (error) {
    discard(live);
    throw storeError(error, live);
  }
}

function discard(path: string): void {
  for (const side of ['', ...SIDE_FILES]) rmSync(path + side, { force: true });
}

/** `own`: the trace is a new one, which is not left behind unfinished. */
function drained(spool: Spool, writer: TraceWriter, own: boolean): RecoverResult {
  const resumed = writer.last;
  try {
    if (writer.meta.recording !== spool.header.recording)
      throw new IrrError('other', `${spool.path}: the trace ${spool.header.trace} is of another recording`, { hint: 'move it away' });
    const index = new RowIndex(uapiTable(dialectForKernel(spool.header.kernel)));
    // the time of what the recorder finds out by itself is that of the machine which was recorded
    let time = spool.header.monotonicNs;
    const seen = (f: FrameCursor): void => {
      if (f.tEnter > time) time = f.tEnter;
    };
    if (resumed > 0) learn(writer, index, seen);
    const drain = new Drain(spool, writer, index, () => time);
    let started = writer.meta.command.length > 0;
    drain.onFrame = (f) => {
      seen(f);
      if (started || f.kind !== Kind.START) return;
      started = true;
      writer.setMeta(startedAs(f));
    };
    drain.step(true);
    const events = writer.last;
    const dropped = drain.lost;
    writer.setMeta({ complete: true, dropped, recovered: true });
    writer.finish();
    return { events, dropped, resumed };
  } catch (error) {
    writer.close();
    if (own) discard(writer.livePath);
    throw error;
  }
}

/** The command of a recording that nobody made a trace of, as the first process of it says. */
function startedAs(f: FrameCursor): { command: string[]; cwd: string } {
  const text = (slot: number): string =>
    f.part(PartKind.TEXT, slot) ? f.buffer.toString('utf8', f.partStart, f.partStart + Math.min(f.partBytes, 16_384)) : '';
  return { command: text(1).split('\0'), cwd: text(3) };
}

/** The index has a memory (which file is which context): shows it what is stored already. */
function learn(writer: TraceWriter, index: RowIndex, seen: (f: FrameCursor) => void): void {
  const reader = TraceReader.open(writer.livePath);
  const cursor = new FrameCursor();
  try {
    for (const batch of reader.scan())
      for (let i = 0; i < batch.count; i++) {
        index.row(cursor.at(batch.buffer, batch.offsets[i]!));
        seen(cursor);
      }
  } finally {
    reader.close();
  }
}

/** A spool that gives nothing back: it can be read again. */
class ReadOnly extends Spool {
  constructor(path: string) {
    super(path, false);
  }
  override release(): void {}
}
