/** `recover`: a trace out of what a killed or foreign recording left behind. */
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoName } from '../hw/errno.ts';
import { dialectForKernel, uapiTable } from '../hw/uapi/table.ts';
import { TraceWriter } from '../store/append.ts';
import { IrrError } from '../store/errors.ts';
import { FrameCursor } from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { Drain } from './drain.ts';
import { RowIndex } from './index-row.ts';
import { Spool } from './spool.ts';

export interface RecoverOptions {
  readonly force?: boolean;
  readonly tool: string;
}

export interface RecoverResult {
  readonly events: number;
  readonly dropped: number;
  /** events that the recorder had stored before it was killed */
  readonly resumed: number;
}

/** The unfinished trace that took from this spool, where there is one. */
function unfinished(spool: Spool): string | undefined {
  const path = spool.header.trace;
  if (path === '' || !existsSync(path)) return undefined;
  try {
    const reader = TraceReader.open(path);
    try {
      return reader.meta['recording'] === spool.header.recording && !reader.meta.complete ? path : undefined;
    } finally {
      reader.close();
    }
  } catch {
    return undefined;
  }
}

/**
 * Writes `output` from a spool. What the killed recorder had stored already is taken over from its unfinished trace; the
 * two are joined where it stopped. With `output` undefined that trace itself is completed. The spool is left alone.
 */
export function recover(spoolPath: string, output: string | undefined, options: RecoverOptions): RecoverResult {
  let spool: Spool;
  try {
    spool = new Spool(spoolPath, false);
  } catch (error) {
    if (error instanceof IrrError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new IrrError('unreadable', `${spoolPath}: cannot be read (${code})`, {
      hint: 'give the file that IRR_SPOOL named, or that record left behind',
    });
  }
  try {
    const partial = unfinished(spool);
    const target = output === undefined ? partial : resolve(output);
    if (target === undefined)
      throw new IrrError('usage', `${spoolPath}: no unfinished trace belongs to it`, {
        hint: 'say where the trace shall go with --output',
      });
    if (target !== partial && existsSync(target) && !options.force)
      throw new IrrError('exists', `${target}: exists already`, { hint: 'choose another name, or replace it with --force' });
    const writer = partial === undefined ? created(spool, target, options) : resumed(partial, target);
    const before = writer.last;
    return { ...drained(spool, writer, target, target !== partial), resumed: before };
  } finally {
    spool.close();
  }
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
    },
    { force: options.force === true, errorName: errnoName },
  );
}

function resumed(partial: string, target: string): TraceWriter {
  if (target !== partial) {
    for (const side of ['', '-wal']) if (existsSync(partial + side)) copyFileSync(partial + side, target + side);
  }
  return TraceWriter.resume(target, { errorName: errnoName });
}

function drained(spool: Spool, writer: TraceWriter, target: string, own: boolean): Omit<RecoverResult, 'resumed'> {
  try {
    const index = new RowIndex(uapiTable(dialectForKernel(spool.header.kernel)));
    if (writer.last > 0) learn(writer, index);
    const drain = new Drain(new ReadOnly(spool.path), writer, index);
    drain.step(true);
    const events = writer.last;
    const dropped = drain.lost;
    writer.setMeta({ complete: true, dropped, recovered: true });
    writer.finish();
    return { events, dropped };
  } catch (error) {
    writer.close();
    if (own) for (const side of ['', '-wal', '-shm', '-journal']) rmSync(target + side, { force: true });
    throw error;
  }
}

/** The index has a memory (which file is which context): shows it what is stored already. */
function learn(writer: TraceWriter, index: RowIndex): void {
  const reader = TraceReader.open(writer.livePath);
  const cursor = new FrameCursor();
  try {
    for (const batch of reader.scan()) for (let i = 0; i < batch.count; i++) index.row(cursor.at(batch.buffer, batch.offsets[i]!));
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
