/** A comparison that is in memory as a whole, as the search for causes asks for it. Takes one more pass of each trace. */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { FRAME_AT, Kind } from '../../store/frame.ts';
import type { Change } from '../change.ts';
import { Folder } from '../decide.ts';
import { EventBytes } from '../event.ts';
import type { Uid } from '../object-types.ts';
import { planOf } from '../plan.ts';
import { emptyState } from '../state.ts';
import type { TimelineSource } from '../timeline.ts';
import { type CauseOptions, findCauses } from './causes/causes.ts';
import type { Compared, ComparedSide, SideName } from './causes/compared.ts';
import { ended, nameOf } from './causes/difference-words.ts';
import type { Difference, Report } from './causes/report.ts';
import { sortOf } from './causes/sorts.ts';
import { type Comparison, compareTraces, type FieldPair, How, type Side, scaled } from './compare.ts';
import { AREA, type Origin, originOf } from './meaning/links.ts';
import type { Reading } from './reading.ts';

/** Events between two yields. */
const SLICE = 8192;
class KeptSide implements ComparedSide {
  readonly source: TimelineSource;
  readonly table: UapiTable;
  readonly reading: Reading;
  lost = 0;
  /** by event */
  readonly #before: Int32Array;
  readonly #process: Int32Array;
  readonly #changes: Uint8Array;
  readonly #parents: Int32Array;
  readonly #ended = new Map<Origin, number>();
  /** of events that differ, by event */
  readonly #names = new Map<number, string>();
  readonly #errors = new Map<number, number>();
  readonly #kinds = new Map<number, number>();

  constructor(reading: Reading, table: UapiTable) {
    this.reading = reading;
    this.source = reading.source;
    this.table = table;
    const column = (): Int32Array => new Int32Array(reading.last + 1);
    this.#before = column();
    this.#process = column().fill(-1);
    this.#changes = new Uint8Array(reading.last + 1);
    const numbers = new Map(reading.processes.map((p, i) => [p, i]));
    this.#parents = Int32Array.from(reading.processes, (p) => (p.parent === undefined ? -1 : (numbers.get(p.parent) ?? -1)));
    reading.processes.forEach((p, number) => {
      for (const { events } of p.lanes) {
        for (const [i, seq] of events.entries()) {
          this.#before[seq] = events[i - 1] ?? 0;
          this.#process[seq] = number;
        }
      }
    });
  }

  /** Looks through the trace once for what it has lost. */
  *readLosses(): Generator<void> {
    const e = new EventBytes();
    for (const { buffer, offsets, count } of this.source.scan(1, this.source.last)) {
      for (let i = 0; i < count; i++) {
        const at = offsets[i]!;
        if (buffer[at + FRAME_AT.kind] === Kind.GAP && e.read(buffer, at) && e.ret > 0) this.lost += e.ret;
      }
      yield;
    }
  }

  /** Looks through the trace once. */
  *read(differs: (seq: number) => boolean): Generator<void> {
    const state = emptyState();
    const folder = new Folder(planOf(this.table), state);
    const origins = new Map<Uid, Origin>();
    const e = new EventBytes();
    for (const { buffer, offsets, first, count, taken } of this.reading.source.scan(1, this.source.last)) {
      for (let i = 0; i < count; i++) {
        const seq = first + i;
        if (taken !== true && differs(seq) && e.read(buffer, offsets[i]!)) this.#tell(e, seq);
        const changes = folder.fold(buffer, offsets[i]!);
        state.seq = seq;
        if (changes.length > 0) this.#changed(seq, changes, origins);
        if (seq % SLICE === 0) yield;
      }
    }
  }

  #tell(e: EventBytes, seq: number): void {
    this.#names.set(seq, nameOf(e, this.reading.meaning.forms.table));
    this.#kinds.set(seq, e.kind);
    if (e.error !== 0) this.#errors.set(seq, e.error);
  }

  /** What came into being, numbered as links.ts does, and what ended. */
  #changed(seq: number, changes: readonly Change[], origins: Map<Uid, Origin>): void {
    this.#changes[seq] = 1;
    let made = 0;
    for (const c of changes) {
      if (c.op === 'dropped') this.lost = c.to;
      else if (c.op === 'object.create') origins.set(c.object.uid, originOf(seq, Math.min(made++, AREA - 1)));
    }
    for (const thing of ended(changes, (uid) => origins.get(uid))) this.#ended.set(thing, seq);
    for (const c of changes) if (c.op === 'object.end') origins.delete(c.object.uid);
  }

  call(seq: number): string {
    return this.#names.get(seq) ?? '';
  }
  error(seq: number): number {
    return this.#errors.get(seq) ?? 0;
  }
  kind(seq: number): number {
    return this.#kinds.get(seq) ?? 0;
  }
  before(seq: number): number {
    return this.#before[seq] ?? 0;
  }
  process(seq: number): number {
    return this.#process[seq] ?? -1;
  }
  parent(process: number): number {
    return this.#parents[process] ?? -1;
  }
  fork(process: number): number {
    const of = this.reading.processes[process];
    return of?.parent === undefined ? 0 : of.born;
  }
  first(process: number): number {
    return this.reading.processes[process]?.lanes[0]?.events[0] ?? 0;
  }
  names(seq: number): readonly Origin[] {
    const { links, linkAt } = this.reading;
    const found: Origin[] = [];
    for (let k = linkAt[seq]!; k < linkAt[seq + 1]!; k++) if (links[k]! > 0) found.push(links[k]!);
    return found;
  }
  endedBy(thing: Origin): number {
    return this.#ended.get(thing) ?? 0;
  }
  changes(seq: number): boolean {
    return this.#changes[seq] === 1;
  }
}

class Kept implements Compared {
  readonly a: KeptSide;
  readonly b: KeptSide;
  readonly same: number;
  readonly matched: number;
  readonly withheld: number;
  readonly #comparison: Comparison;
  /** rows that differ, ascending */
  readonly #rows: Int32Array;

  constructor(comparison: Comparison, a: KeptSide, b: KeptSide) {
    this.a = a;
    this.b = b;
    this.#comparison = comparison;
    const { how } = comparison;
    const rows: number[] = [];
    let [same, matched] = [0, 0];
    how.forEach((h, row) => {
      if (h === How.SAME) same++;
      else rows.push(row);
      if (h === How.SAME || h === How.CHANGED) matched++;
    });
    this.same = same;
    this.matched = matched;
    this.withheld = Math.max(comparison.readings.a.withheld, comparison.readings.b.withheld);
    this.#rows = Int32Array.from(rows);
  }

  *differences(): Iterable<Difference> {
    for (const row of this.#rows) yield this.#difference(row);
  }

  #difference(row: number): Difference {
    const c = this.#comparison;
    const [a, b, how] = [c.a[row]!, c.b[row]!, c.how[row] as How];
    const { readings } = c;
    const kind = a === 0 ? this.b.kind(b) : this.a.kind(a);
    const sort = sortOf({
      how,
      kind,
      asked: readings.a.asked[a] === readings.b.asked[b],
      errno: this.a.error(a) === this.b.error(b),
      answered: readings.a.answered[a] === readings.b.answered[b],
    });
    // of a step that has two names: that of b
    return { how, a, b, sort, call: b === 0 ? this.a.call(a) : this.b.call(b) };
  }

  fields({ a, b }: Difference): readonly FieldPair[] {
    return a === 0 || b === 0 ? [] : this.#comparison.fields(this.#comparison.rowOf('a', a));
  }

  partner(side: SideName, seq: number): number {
    return this.#comparison.partner(side, seq);
  }
}

/** → what the search for causes asks; yields how far it is, from 0 to 1. Throws a StoreError where a trace is damaged. */
export function* keptComparison(
  comparison: Comparison,
  tables: { readonly a: UapiTable; readonly b: UapiTable },
): Generator<number, Compared> {
  const { readings } = comparison;
  const [a, b] = [new KeptSide(readings.a, tables.a), new KeptSide(readings.b, tables.b)];
  for (const [name, side, at] of [
    ['a', a, 0],
    ['b', b, 0.5],
  ] as const) {
    const differs = (seq: number): boolean => comparison.how[comparison.rowOf(name, seq)] !== How.SAME;
    for (const _ of comparison.differences > 0 ? side.read(differs) : side.readLosses()) yield at;
  }
  return new Kept(comparison, a, b);
}

export interface Compares {
  readonly comparison: Comparison;
  readonly report: Report;
}

/** Compares two traces and finds the causes; yields how far it is, from 0 to 1. Throws a StoreError where one is damaged. */
export function* compareForCauses(a: Side, b: Side, options: CauseOptions = {}): Generator<number, Compares> {
  const comparison = yield* scaled(compareTraces(a, b, options.withheld), 0, 0.5);
  const kept = yield* scaled(keptComparison(comparison, { a: a.table, b: b.table }), 0.5, 0.6);
  return { comparison, report: yield* scaled(findCauses(kept, options), 0.6, 1) };
}
