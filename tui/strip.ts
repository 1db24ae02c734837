/**
 * The whole session in as many columns as the screen has: how many events each stretch of time holds, and where calls failed
 * or hardware spoke. Read from the index in slices, once for each width; a recording that grows is read again now and then.
 */
import type { Window } from '../store/read.ts';
import type { TraceModel } from './model.ts';

/** One column: a stretch of time. */
export interface StripColumn {
  /** the first event of the stretch; of the next one that has events where this one has none */
  readonly first: number;
  readonly events: number;
  readonly errors: boolean;
  /** accesses of registers, readings of hardware queues */
  readonly hardware: boolean;
}

export interface Strip {
  readonly columns: readonly StripColumn[];
  /** events of the log that the columns speak of */
  readonly last: number;
}

/** Milliseconds of work between two yields. */
const PATIENCE = 3;
/** Events of one query. */
const PIECE = 2048;

const FAILED = { where: 'errno <> 0', failed: true } as const;
const HARDWARE = { where: "kind IN ('MMIO', 'QUEUE')", failed: false } as const;

/** Works the columns out. Yields when it is time to look at the keyboard. */
export function* stripOf(model: Pick<TraceModel, 'reader' | 'last'>, width: number): Generator<void, Strip, void> {
  const { last, reader } = model;
  let end = performance.now() + PATIENCE;
  const tired = (): boolean => {
    const over = performance.now() > end;
    if (over) end = performance.now() + PATIENCE;
    return over;
  };
  const timeOf = (seq: number): number => Number(reader.query('SELECT t FROM events WHERE seq = ?', [seq])[0]?.t ?? 0);
  if (last === 0 || width <= 0) return { columns: [], last };
  const begin = timeOf(1);
  const span = timeOf(last) - begin;
  // bounds[i]: the first event of column i
  const bounds: number[] = [1];
  for (let i = 1; i < width; i++) {
    // all at the same time: by their numbers
    const at = span > 0 ? Math.min(last, reader.seqAt(begin + Math.ceil((span * i) / width))) : 1 + Math.ceil((last * i) / width);
    bounds.push(Math.max(bounds[i - 1]!, at));
    if (tired()) yield;
  }
  bounds.push(last + 1);
  // no query lasts: a stretch is asked for in pieces, but for errors, which have an index
  function* has({ where, failed }: { readonly where: string; readonly failed: boolean }, from: number, to: number) {
    for (let at = from; at <= to; at += failed ? to : PIECE) {
      const window: Window = { from: at, to: failed ? to : Math.min(to, at + PIECE - 1), limit: 1, failed };
      if (reader.seqs(where, [], window).length > 0) return true;
      if (tired()) yield;
    }
    return false;
  }
  const columns: StripColumn[] = [];
  for (let i = 0; i < width; i++) {
    const [from, to] = [bounds[i]!, bounds[i + 1]! - 1];
    const errors = yield* has(FAILED, from, to);
    const hardware = yield* has(HARDWARE, from, to);
    columns.push({ first: Math.min(from, last), events: Math.max(0, to - from + 1), errors, hardware });
    if (tired()) yield;
  }
  return { columns, last };
}

/** The column of an event. */
export function columnOfSeq(columns: readonly StripColumn[], seq: number): number {
  let [low, high] = [0, columns.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (columns[middle]!.first <= seq) low = middle;
    else high = middle - 1;
  }
  // of columns that begin with the same event the one that has it
  while (low > 0 && columns[low]!.events === 0) low--;
  return low;
}

/** The first event of the column that is so many columns with events further on; of the last one, where there are not so many. */
export function stepOf(columns: readonly StripColumn[], seq: number, by: number): number | undefined {
  const firsts = columns.filter((c) => c.events > 0).map((c) => c.first);
  if (firsts.length === 0) return undefined;
  const here = firsts.findLastIndex((first) => first <= seq);
  return firsts[Math.max(0, Math.min(firsts.length - 1, here + by))];
}
