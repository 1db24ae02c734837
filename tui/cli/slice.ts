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
import { looksLikeCallset } from './callset.ts';
import type { Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { Progress } from './output.ts';
import { type Opened, openTrace } from './trace.ts';

const RANGE = /^(?:(\d{1,15})|(\d{0,15})(?:\.\.|-)(\d{0,15}))$/;

/** `100..200`, `100-200`, `10..`, `..20`, `4`. */
export function rangeOf(text: string, last: number): { readonly from: number; readonly to: number } {
  const match = RANGE.exec(text);
  if (match === null) {
    const what = looksLikeCallset(text) ? 'is no range: a slice is one piece' : 'is no range of events';
    throw new UsageError(`"${text}" ${what}`, 'ranges: 100..200, 100-200, 10.., ..20, 4');
  }
  const [, single, low, high] = match;
  const from = Number(single ?? (low || 1));
  const to = Number(single ?? (high || last));
  if (last === 0) throw new UsageError('the trace is empty');
  if (from < 1 || from > to) throw new UsageError(`"${text}" is no range of events`, 'its first event stands before its last');
  if (to > last) throw new UsageError(`there is no event ${to}`, `events are numbered 1 to ${last}`);
  return { from, to };
}

export const run: Run = async ([path = '', text = ''], options, io) => {
  if (typeof options.output !== 'string') throw new UsageError('slice: where shall the new trace go?', 'say it with --output FILE');
  const force = options.force === true;
  const output = resolve(options.output);
  checkOutput(output, force, [path]);
  const opened = openTrace(path);
  const progress = new Progress('slicing');
  try {
    const { from, to } = rangeOf(text, opened.reader.last);
    const slice = planSlice(opened.reader, opened.table, from, to, { onProgress: (done, total) => progress.update(done, total) });
    write(opened, slice, output + PARTIAL);
    place(output + PARTIAL, output, force);
    progress.done();
    const n = slice.prologue.length;
    const left = from - 1 - n;
    const why =
      slice.how === 'needed' || left === 0 ? '' : '; more of them stayed than seemed to be needed, for the state would have been another';
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
