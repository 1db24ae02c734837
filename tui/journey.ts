/**
 * Ways through the log to an event that something is true of: the next of this object, thread or register, the birth and the
 * end of an object, what a watch waits for. Generators that give time back after a few milliseconds, as searches are.
 * Where the index knows, it is asked; where only the state knows, the log is folded, forward in both directions.
 */
import type { EventLike } from '../hw/event-text.ts';
import type { ObjectType } from '../hw/uapi/types.ts';
import { accessIn, queueIn } from '../replayer/access-place.ts';
import type { Change } from '../replayer/change.ts';
import type { Query } from '../replayer/query.ts';
import { MentionReader } from '../replayer/query-fields.ts';
import { compileQuery, type Matcher, type QueryEvent } from '../replayer/query-match.ts';
import { planQuery } from '../replayer/query-sql.ts';
import { asksState } from '../replayer/query-state.ts';
import type { SessionState } from '../replayer/state.ts';
import { Kind } from '../store/frame.ts';
import type { Condition, EventView, SqlValue } from '../store/read.ts';
import { gapFrame } from './damage.ts';
import type { TraceModel } from './model.ts';

/** How far it is, from 0 to 1; what it returns is where it has come to. */
export type Walk = Generator<number, number | undefined, void>;

/** Milliseconds of work between two yields. */
export const PATIENCE = 4;
/** Rows of one query: of the first, for the next hit is often near, and at most. */
const PAGE = { first: 8, most: 256 } as const;
/** Events that one query goes through at most. */
const SPAN = 20_000;
/** Steps that are taken one by one, rather than to seek. */
const NEAR = 64;
/** Events that are folded together on the way back: the first time, and at most. */
const PIECES = { first: 256, most: 65_536 } as const;

/** What is looked for. */
export interface Wanted {
  /** SQL that every wanted event satisfies; '' for any */
  readonly where: string;
  readonly params: readonly SqlValue[];
  readonly within?: Condition | undefined;
  readonly failed?: boolean;
  /** what the SQL does not say */
  readonly matches?: Matcher | undefined;
  /** `matches` asks for the state or the changes */
  readonly folds: boolean;
  /** it lies in these, both inclusive; default: anywhere */
  readonly from?: number;
  readonly to?: number;
}

/** An event to be judged. The state before it and its changes are had by moving the model's own timeline. */
class Candidate implements QueryEvent {
  readonly seq: number;
  readonly #model: TraceModel;
  readonly #folds: boolean;
  #row: EventView | undefined;
  #frame: EventLike | undefined;
  #changes: readonly Change[] | undefined;

  /** `folds`: the state may be asked for; else it is not known, for to go there may last */
  constructor(model: TraceModel, seq: number, folds: boolean, row?: EventView) {
    this.#model = model;
    this.seq = seq;
    this.#folds = folds;
    this.#row = row;
  }
  get row(): EventView {
    this.#row ??= this.#model.reader.rows({ from: this.seq, to: this.seq, limit: 1 })[0]!;
    return this.#row;
  }
  get frame(): EventLike {
    // what cannot be read is an event that was lost
    this.#frame ??= this.#model.event(this.seq) ?? gapFrame(this.seq);
    return this.#frame;
  }
  get before(): SessionState | undefined {
    return this.#folds ? this.#to(this.seq - 1).state : undefined;
  }
  get changes(): readonly Change[] {
    if (!this.#folds) return [];
    this.#changes ??= this.#to(this.seq - 1).step();
    return this.#changes;
  }
  #to(seq: number): TraceModel['timeline'] {
    const { timeline } = this.#model;
    if (timeline.seq === seq + 1) timeline.reverseStep();
    if (timeline.seq !== seq) timeline.seek(seq);
    return timeline;
  }
}

/** Puts the state at an event, in slices. */
export function* goTo(model: TraceModel, seq: number, progress: () => number): Generator<number, void, void> {
  const { timeline } = model;
  for (let n = 0; n < NEAR && timeline.seq < seq; n++) timeline.step();
  while (timeline.seq !== seq && !model.approach(seq, performance.now() + PATIENCE)) yield progress();
}

/** The candidates of a stretch of the log, nearest first; undefined behind the last of them. */
class Pages {
  readonly #model: TraceModel;
  readonly #wanted: Wanted;
  readonly #direction: 1 | -1;
  readonly #end: number;
  #at: number;
  #size: number = PAGE.first;

  constructor(model: TraceModel, wanted: Wanted, from: number, end: number, direction: 1 | -1) {
    [this.#model, this.#wanted, this.#at, this.#end, this.#direction] = [model, wanted, from, end, direction];
  }
  get at(): number {
    return this.#at;
  }
  next(): Candidate[] | undefined {
    const direction = this.#direction;
    const ahead = (a: number, b: number): number => (direction === 1 ? Math.min(a, b) : Math.max(a, b));
    if (direction * (this.#end - this.#at) < 0) return undefined;
    const { where, params, within, failed, folds } = this.#wanted;
    const from = this.#at;
    const size = this.#size;
    this.#size = Math.min(PAGE.most, 2 * size);
    if (where === '') {
      const to = ahead(this.#end, from + direction * (size - 1));
      this.#at = to + direction;
      return Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => new Candidate(this.#model, from + i * direction, folds));
    }
    const to = ahead(this.#end, from + direction * (SPAN - 1));
    const hints = { ...(within === undefined ? {} : { within }), ...(failed === true ? { failed } : {}) };
    const way = direction === 1 ? ('forward' as const) : ('backward' as const);
    const rows = this.#model.reader.select(where, params, { ...hints, from, to, limit: size, direction: way });
    this.#at = (rows.length < size ? to : rows.at(-1)!.seq) + direction;
    return rows.map((row) => new Candidate(this.#model, row.seq, folds, row));
  }
}

/** The event that is the `times`-th beside `from`; with fewer than that the last of them, with none undefined. */
export function* walk(model: TraceModel, wanted: Wanted, from: number, direction: 1 | -1, times: () => number): Walk {
  const low = Math.max(1, wanted.from ?? 1);
  const high = Math.min(model.last, wanted.to ?? model.last);
  const first = direction === 1 ? Math.max(low, from + 1) : Math.min(high, from - 1);
  const end = direction === 1 ? high : low;
  return yield* (direction === -1 && wanted.folds ? backward : straight)(model, wanted, first, end, direction, times);
}

type Way = (model: TraceModel, wanted: Wanted, first: number, end: number, direction: 1 | -1, times: () => number) => Walk;

const straight: Way = function* (model, wanted, first, end, direction, times) {
  const total = Math.max(1, Math.abs(end - first));
  const pages = new Pages(model, wanted, first, end, direction);
  let until = performance.now() + PATIENCE;
  let [seen, found]: [number, number | undefined] = [0, undefined];
  for (let page = pages.next(); page !== undefined; page = pages.next()) {
    for (const candidate of page) {
      const progress = (): number => Math.min(1, Math.abs(candidate.seq - first) / total);
      if (wanted.folds) yield* goTo(model, candidate.seq - 1, progress);
      if (wanted.matches === undefined || wanted.matches(candidate)) {
        found = candidate.seq;
        if (++seen >= times()) return found;
      }
      if (performance.now() > until) {
        yield progress();
        until = performance.now() + PATIENCE;
      }
    }
    if (performance.now() > until) {
      yield Math.min(1, Math.abs(pages.at - first) / total);
      until = performance.now() + PATIENCE;
    }
  }
  return found;
};

/** Folds piece after piece, each forward, and takes the last hits of each: so that every event is folded about once. */
const backward: Way = function* (model, wanted, first, end, _direction, times) {
  const total = Math.max(1, first - end);
  let [seen, found, size]: [number, number | undefined, number] = [0, undefined, PIECES.first];
  for (let high = first; high >= end; size = Math.min(PIECES.most, 2 * size)) {
    const low = Math.max(end, high - size + 1);
    const hits: number[] = [];
    for (let at = low; ; ) {
      const inner = straight(model, wanted, at, high, 1, () => 1);
      let next = inner.next();
      while (next.done !== true) {
        yield (first - high + next.value * (high - low)) / total;
        next = inner.next();
      }
      if (next.value === undefined) break;
      hits.push(next.value);
      at = next.value + 1;
      if (at > high) break;
    }
    const left = Math.max(1, times()) - seen;
    if (hits.length >= left) return hits[hits.length - left];
    seen += hits.length;
    found = hits[0] ?? found;
    high = low - 1;
  }
  return found;
};

/** A condition in the filter language. */
export function wantedBy(model: TraceModel, query: Query): Wanted {
  const plan = planQuery(query, { calls: model.reader.calls() });
  const matches = plan.rest.op === 'all' ? undefined : compileQuery(plan.rest, model.table, { entered: (seq) => model.event(seq) });
  return {
    where: plan.where === '1' ? '' : plan.where,
    params: plan.params,
    within: plan.within,
    failed: plan.failed,
    matches,
    folds: plan.rest.op !== 'all' && asksState(plan.rest, model.table),
    from: plan.from,
    to: plan.to,
  };
}

/** Is a condition true of one event? Moves the state. */
export function holds(model: TraceModel, query: Query, seq: number): boolean {
  return compileQuery(query, model.table, { entered: (n) => model.event(n) })(new Candidate(model, seq, true));
}

/** An object as the log names it: its id, in the context as the index numbers it, in its life. */
export interface ObjectSubject {
  /** "VIOMMU 6" */
  readonly name: string;
  readonly type: ObjectType;
  readonly id: number;
  /** the index's own number, 0 unknown */
  readonly context: number;
  /** seq that made it; where `inferred`, that first spoke of it */
  readonly birth: number;
  readonly inferred: boolean;
  /** seq that ended it, where that is known already */
  readonly end: number | undefined;
}

/**
 * Events that name an object. Of calls that name one object at most the index knows it; the frames of the others are looked at.
 * What has its id before or after its life is not about it. `here`: an event of its life, from which the way begins.
 */
export function wantedOf(model: TraceModel, o: ObjectSubject, here: number): Wanted {
  const reader = new MentionReader(model.table);
  const entered = (seq: number): EventLike | undefined => model.event(seq);
  const names = compileQuery({ op: 'object', subject: { types: [], id: o.id } }, model.table, { entered });
  const several = model.table.commands.filter(namesSeveral).map((c) => c.name);
  const list = several.map(() => '?').join(', ');
  const context = o.context === 0 ? '' : 'context = ? AND ';
  let [low, high] = [o.inferred ? 1 : o.birth, o.end ?? Number.POSITIVE_INFINITY];
  const matches: Matcher = (e) => {
    const { seq, call, errno } = e.row;
    if (seq < low || seq > high || !names(e)) return false;
    const made = seq !== o.birth && reader.mentions(e.frame).some((m) => m.created && m.id === o.id);
    if (made && seq > here) high = seq - 1;
    if (made && seq < here) low = seq + 1;
    if (call === 'IOMMU_DESTROY' && errno === 0 && seq >= here) high = Math.min(high, seq);
    return !made;
  };
  // an importer may have said nothing of objects
  if (!o.inferred && rowAt(model, o.birth)?.object !== o.id) return { where: '', params: [], matches, folds: false, from: low, to: high };
  return {
    where: `${context}(object = ? OR call IN (${list}) OR kind IN ('QUEUE', 'RETURN'))`,
    params: [...(o.context === 0 ? [] : [o.context]), o.id, ...several],
    matches,
    folds: false,
    from: low,
    to: high,
  };
}

type Command = TraceModel['table']['commands'][number];
const SEVERAL = new WeakMap<Command, boolean>();

/** May a call name more objects than the one that the index has of it? */
function namesSeveral(command: Command): boolean {
  let several = SEVERAL.get(command);
  if (several === undefined) {
    const fields = command.struct?.fields ?? [];
    const ids = fields.filter((f) => f.ref !== undefined || f.creates !== undefined || f.destroys === true);
    several = ids.length > 1 || ids.some((f) => f.arm !== undefined) || fields.some((f) => f.nested !== undefined);
    SEVERAL.set(command, several);
  }
  return several;
}

/** The register that an access is to, or the queue that a reading is of, by the state before it; undefined where it is neither. */
export function registerOf(model: TraceModel, seq: number): string | undefined {
  const event = model.event(seq);
  if (event === undefined) return undefined;
  const { before } = new Candidate(model, seq, true);
  if (before === undefined) return undefined;
  const queue = event.kind === Kind.QUEUE ? queueIn(before, event) : undefined;
  if (queue !== undefined) return `VINTF${queue.at.vintf.index}.LVCMDQ${queue.at.queue.lvcmdq}`;
  return accessIn(before, event)?.pieces.find((p) => p.place.register !== undefined)?.place.name;
}

/** An event as the index has it. */
export const rowAt = (model: TraceModel, seq: number): EventView | undefined =>
  seq < 1 ? undefined : model.reader.rows({ from: seq, to: seq, limit: 1 })[0];

/** Id of the object that an event is about: that it made, else that it names first; 0 none. */
export function idAt(model: TraceModel, seq: number): number {
  const known = rowAt(model, seq)?.object ?? 0;
  const frame = model.event(seq);
  if (known !== 0 || frame === undefined) return known;
  const named = new MentionReader(model.table).mentions(frame);
  return (named.find((m) => m.created) ?? named[0])?.id ?? 0;
}
