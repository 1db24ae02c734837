/**
 * Events that meet a query, in order: the index answers what it can, the rest is decided on the frame and, where the query
 * speaks of types of objects or of changes, on the state that the fold builds up along the way.
 */
import type { Change } from '../../replayer/change.ts';
import { and, type Query } from '../../replayer/query.ts';
import { compileQuery } from '../../replayer/query-match.ts';
import { planQuery } from '../../replayer/query-sql.ts';
import { asksState } from '../../replayer/query-state.ts';
import type { SessionState } from '../../replayer/state.ts';
import { Timeline } from '../../replayer/timeline.ts';
import { type WholeCalls, wholeCalls } from '../../replayer/whole-calls.ts';
import type { Frame } from '../../store/frame.ts';
import type { EventView, Window } from '../../store/read.ts';
import type { Options } from './commands.ts';
import type { Progress } from './output.ts';
import { type Opened, queryOf } from './trace.ts';

/** An event that was asked for. Frame, changes and state are made when they are looked at, and only until the next event. */
export interface SelectedEvent {
  readonly seq: number;
  readonly row: EventView;
  readonly frame: Frame;
  /** what it changed; empty without a timeline */
  readonly changes: readonly Change[];
  /** the state just before it; undefined without a timeline */
  readonly before: SessionState | undefined;
}

export interface SelectOptions {
  /** walks along with the events: for `changes` and `before` */
  readonly timeline?: Timeline | undefined;
  readonly progress?: Progress;
  /** newest first; not with a timeline */
  readonly backward?: boolean;
  /** false: rows are not looked at, so do not fetch them where the query needs none */
  readonly rows?: boolean;
}

const PAGE = 1024;
/** Events that a timeline goes through one by one to the next one that is asked for, rather than to seek. */
const NEAR = 4096;

class Selected implements SelectedEvent {
  readonly seq: number;
  private readonly opened: Opened;
  private readonly timeline: Timeline | undefined;
  private readonly whole: WholeCalls | undefined;
  private knownRow: EventView | undefined;
  private known: Frame | undefined;
  private done: readonly Change[] | undefined;

  constructor(opened: Opened, seq: number, row: EventView | undefined, timeline: Timeline | undefined, whole?: WholeCalls) {
    this.opened = opened;
    this.seq = seq;
    this.knownRow = row;
    this.timeline = timeline;
    this.whole = whole;
  }
  get row(): EventView {
    this.knownRow ??= this.rowOf(this.seq);
    return this.knownRow;
  }
  get frame(): Frame {
    this.known ??= (this.whole ?? this.opened.reader).frame(this.seq)!;
    return this.known;
  }
  get before(): SessionState | undefined {
    return this.timeline === undefined ? undefined : this.walk(this.timeline, this.seq - 1).state;
  }
  get changes(): readonly Change[] {
    if (this.timeline === undefined) return [];
    this.done ??= this.walk(this.timeline, this.seq - 1).step();
    return this.done;
  }
  private rowOf(seq: number): EventView {
    const row = this.opened.reader.rows({ from: seq, to: seq, limit: 1 })[0]!;
    const back = this.whole?.returnOf(seq) ?? 0;
    if (back === 0) return row;
    const { ret, errno, error, took, object } = this.rowOf(back);
    return { ...row, ret, errno, error, took, object: row.object === 0 ? object : row.object };
  }
  private walk(timeline: Timeline, to: number): Timeline {
    if (timeline.seq === to + 1) timeline.reverseStep();
    if (timeline.seq > to || timeline.seq < to - NEAR) timeline.seek(to);
    while (timeline.seq < to) timeline.step();
    return timeline;
  }
}

/** A timeline at the start of the trace. */
export const timelineOf = (opened: Opened): Timeline => new Timeline(opened.reader, { table: opened.table });

/** The events that meet the query; where it speaks of what only the fold knows, there is a timeline without being asked for. */
export function* eachEvent(opened: Opened, query: Query, options: SelectOptions = {}): Generator<SelectedEvent> {
  const { reader, table } = opened;
  const timeline = options.timeline ?? (asksState(query, table) ? timelineOf(opened) : undefined);
  const plan = planQuery(query, { calls: reader.calls() });
  const matches = plan.rest.op === 'all' ? undefined : compileQuery(plan.rest, table, { entered: (seq) => reader.frame(seq) });
  const backward = options.backward === true;
  const low = Math.max(1, plan.from);
  const high = Math.min(reader.last, plan.to);
  if (options.rows === false && matches === undefined && plan.where === '1' && !backward) {
    for (let seq = low; seq <= high; seq++) yield new Selected(opened, seq, undefined, timeline);
    return;
  }
  const hints: Window = { limit: PAGE, failed: plan.failed, ...(plan.within === undefined ? {} : { within: plan.within }) };
  for (let [from, to] = backward ? [high, low] : [low, high]; backward ? from >= to : from <= to; ) {
    const rows = reader.select(plan.where, plan.params, { ...hints, from, to, direction: backward ? 'backward' : 'forward' });
    for (const row of rows) {
      const event = new Selected(opened, row.seq, row, timeline);
      if (matches === undefined || matches(event)) yield event;
      options.progress?.update(backward ? high - row.seq : row.seq - low, high - low + 1);
    }
    if (rows.length < PAGE) return;
    from = rows[rows.length - 1]!.seq + (backward ? -1 : 1);
  }
}

/**
 * Events by their numbers, ascending is quick; each is valid until the next one is asked for. `whole`: calls that were stored before
 * they returned have their answers; the timeline is then to be one of these.
 */
export function* eventsAt(opened: Opened, seqs: Iterable<number>, timeline?: Timeline, whole?: WholeCalls): Generator<SelectedEvent> {
  for (const seq of seqs) yield new Selected(opened, seq, undefined, timeline, whole);
}

/** Events that are asked for one by one, where they are no more than such a share of those among which they lie. */
const RARE = 1 / 16;

/** Which of the events, by their numbers in ascending order, meet the query. Calls that were stored before they returned are asked whole. */
export function matchingOf(opened: Opened, query: Query, seqs: readonly number[]): Set<number> {
  const whole = wholeCalls(opened.reader);
  const split = seqs.filter((seq) => whole.returnOf(seq) !== 0);
  const found = matchingStored(opened, query, split.length === 0 ? seqs : seqs.filter((seq) => whole.returnOf(seq) === 0));
  for (const seq of matchingOneByOne(opened, query, split)) found.add(seq);
  return found;
}

function matchingStored(opened: Opened, query: Query, seqs: readonly number[]): Set<number> {
  const [first, last] = [seqs[0], seqs.at(-1)];
  const found = new Set<number>();
  if (first === undefined || last === undefined) return found;
  if (seqs.length <= (last - first) * RARE) return new Set(matchingOneByOne(opened, query, seqs));
  const wanted = new Set(seqs);
  const within: Query = and(
    { op: 'column', column: 'seq', comparison: '>=', value: BigInt(first) },
    { op: 'column', column: 'seq', comparison: '<=', value: BigInt(last) },
  );
  for (const { seq } of eachEvent(opened, and(within, query))) if (wanted.has(seq)) found.add(seq);
  return found;
}

function* matchingOneByOne(opened: Opened, query: Query, seqs: readonly number[]): Generator<number> {
  if (seqs.length === 0) return;
  const { reader, table } = opened;
  const whole = wholeCalls(reader);
  const matches = compileQuery(query, table, { entered: (seq) => reader.frame(seq) });
  const timeline = asksState(query, table) ? new Timeline(whole, { table }) : undefined;
  for (const event of eventsAt(opened, seqs, timeline, whole)) if (matches(event)) yield event.seq;
}

/** The query of `--where` and `--errors`; undefined where none was given. */
export function queryOption(options: Options, opened: Opened): Query | undefined {
  const where = typeof options.where === 'string' ? queryOf(options.where, opened.table) : undefined;
  const errors: Query | undefined = options.errors === true ? { op: 'flag', flag: 'error' } : undefined;
  return where === undefined ? errors : errors === undefined ? where : and(where, errors);
}
