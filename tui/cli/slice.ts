/** `slice`: a window of a trace that is a trace itself. */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoName } from '../../hw/errno.ts';
import { RowIndex } from '../../recorder/index-row.ts';
import { checkOutput, place } from '../../recorder/output-file.ts';
import { numbering, planSlice, type Slice, sliceEvents } from '../../replayer/slice/slice.ts';
import { TraceWriter } from '../../store/append.ts';
import { FrameCursor } from '../../store/frame.ts';
import { Marks } from '../../store/marks.ts';
import { PARTIAL, SIDE_FILES } from '../../store/open.ts';
import { TraceSide } from '../../store/side.ts';
import { parseWhen, sinceStart } from '../when.ts';
import { looksLikeCallset } from './callset.ts';
import type { Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { Progress } from './output.ts';
import { type Opened, openTrace } from './trace.ts';

/** What bounds are looked up in. */
export interface Bounds {
  readonly last: number;
  /** when the recording began, ns since 1970 */
  readonly began: bigint;
  /** the first event at a time (ns since the start) or later */
  seqAt(ns: number): number;
}

const HINT = 'ranges: 100..200, 100-200, 10.., ..20, 4, @12.5..@13 (seconds since the start), @14:03:59.., 25%..50%';
const DASHED = /^(\d{0,15})-(\d{0,15})$/;
/** As filters say it. */
const FILTER = /^(seq|t)\s+in\s+(\S+)$/;

/** `100..200`, `100-200`, `10..`, `..20`, `4`; bounds may be times, `@12.5..@13`, or shares, `25%..50%`. */
export function rangeOf(text: string, bounds: Bounds): { readonly from: number; readonly to: number } {
  const { last } = bounds;
  if (last === 0) throw new UsageError('the trace is empty');
  const [low, high, isOne] = boundsOf(text);
  const from = low === '' ? 1 : boundOf(low, isOne ? 'last' : 'first', text, bounds);
  const to = isOne ? from : high === '' ? last : boundOf(high, 'last', text, bounds);
  if (from >= 1 && from <= to && to <= last) return { from, to };
  if (/^\d+$/.test(high) && to > last) throw new UsageError(`there is no event ${to}`, `events are numbered 1 to ${last}`);
  if (/\D/.test(low + high)) throw new UsageError(`"${text}": there is no event in it`, `info says how long the recording is`);
  throw new UsageError(`"${text}" is no range of events`, 'its first event stands before its last');
}

function boundsOf(text: string): readonly [low: string, high: string, isOne: boolean] {
  const said = FILTER.exec(text);
  const range = said?.[2] ?? text.trim();
  const time = (bound: string): string => (said?.[1] === 't' && bound !== '' && !bound.startsWith('@') ? `@${bound}` : bound);
  const dashed = DASHED.exec(range);
  const [low, high, more] = dashed === null ? range.split('..') : [dashed[1]!, dashed[2]!];
  if (more !== undefined || low === undefined || range === '') throw noRange(text);
  return [time(low.trim()), time((high ?? low).trim()), high === undefined];
}

function boundOf(bound: string, which: 'first' | 'last', text: string, { last, began, seqAt }: Bounds): number {
  if (/^\d{1,15}$/.test(bound)) return Number(bound);
  const percent = /^(\d{1,3}(?:\.\d{1,9})?)%$/.exec(bound);
  if (percent !== null) return Math.max(1, Math.round((last * Number(percent[1])) / 100));
  const when = parseWhen(bound);
  if (when === undefined || when.from === 'here') throw noRange(text);
  const ns = Number(sinceStart(when, began, 0n));
  return which === 'first' ? seqAt(ns) : seqAt(ns + 1) - 1;
}

function noRange(text: string): UsageError {
  return new UsageError(
    `"${text}" ${looksLikeCallset(text) && !text.startsWith('@') ? 'is no range: a slice is one piece' : 'is no range of events'}`,
    HINT,
  );
}

export const run: Run = async ([path = '', text = ''], options, io) => {
  if (typeof options.output !== 'string') throw new UsageError('slice: where shall the new trace go?', 'say it with --output FILE');
  const force = options.force === true;
  const output = resolve(options.output);
  checkOutput(output, force, [path]);
  const opened = openTrace(path);
  const progress = new Progress('slicing');
  try {
    const { reader } = opened;
    const began = opened.meta.clock.realtimeNs;
    const { from, to } = rangeOf(text, { last: reader.last, began, seqAt: (ns) => reader.seqAt(ns) });
    const slice = planSlice(opened.reader, opened.table, from, to, { onProgress: (done, total) => progress.update(done, total) });
    write(opened, slice, output + PARTIAL);
    place(output + PARTIAL, output, force);
    progress.done();
    const n = slice.prologue.length;
    const left = from - 1 - n;
    const why =
      slice.how === 'needed' || left === 0
        ? ''
        : '; more of them stayed than seemed to be needed, for the state or a lint would have been lost';
    if (options.json === true) io.out().json({ v: 1, output: options.output, from, to, prologue: n, left, how: slice.how });
    io.note(
      `sliced events ${from} to ${to} into ${options.output}: ${to - from + 1} events, before them ${n} of the ${from - 1} earlier ones${why}`,
    );
  } finally {
    opened.reader.close();
  }
  return 0;
};

function write(opened: Opened, slice: Slice, partial: string): void {
  const { reader, table, meta } = opened;
  const { from, to, prologue } = slice;
  const about = { from, to, prologue: prologue.length, of: reader.last, digest: reader.digest };
  const writer = TraceWriter.create(partial, { ...meta, complete: false, slice: about }, { errorName: errnoName });
  try {
    const rows = new RowIndex(table);
    const cursor = new FrameCursor();
    for (const { frame } of sliceEvents(reader, slice)) writer.append(frame, 0, rows.row(cursor.at(frame, 0)));
    writer.finish(meta.complete);
    keepSide(new Marks(reader), slice, partial);
  } catch (error) {
    writer.close();
    for (const side of ['', ...SIDE_FILES]) rmSync(partial + side, { force: true });
    throw error;
  }
}

/** Bookmarks and notes of the events that are there. */
function keepSide(marks: Marks, slice: Slice, path: string): void {
  const now = numbering(slice);
  const moved = <T extends { readonly seq: number }>(list: readonly T[]): T[] =>
    list.flatMap((one) => (now(one.seq) === undefined ? [] : [{ ...one, seq: now(one.seq)! }]));
  const [bookmarks, notes] = [moved(marks.all), moved(marks.notes)];
  if (bookmarks.length + notes.length === 0) return;
  const side = TraceSide.open(path);
  try {
    side.putAll(bookmarks, notes);
  } finally {
    side.close();
  }
}
