/** A comparison of two streams, as the search for causes asks for it: of the events only those that differ are kept. */
import type { UapiTable } from '../../../hw/uapi/table.ts';
import type { TimelineSource } from '../../timeline.ts';
import { type WholeCalls, wholeCalls } from '../../whole-calls.ts';
import { How } from '../align/rows.ts';
import { type CauseOptions, Search } from '../causes/causes.ts';
import type { Compared, ComparedSide, SideName } from '../causes/compared.ts';
import type { Difference, Report } from '../causes/report.ts';
import { sortOf } from '../causes/sorts.ts';
import type { FieldPair } from '../compare.ts';
import { eventOf, type Origin, whichOf } from '../meaning/links.ts';
import { Meaning } from '../meaning/meaning.ts';
import { fieldsOf, type Teller } from '../meaning/telling.ts';
import type { Withheld } from '../meaning/withheld.ts';
import type { Beside, Place } from './beside.ts';
import type { Details } from './details.ts';
import { compareStreams, type Detailed, type DiffSide, type StreamComparison, type StreamDifference } from './differ.ts';
import { Block, type ProcessDigest, type TraceDigest } from './digests.ts';

/** One of the two traces: it is read as a stream by `side`, which withholds the same as is said to the search, and event by event from `source`. */
export interface StreamedTrace {
  readonly side: DiffSide;
  readonly source: TimelineSource;
  readonly table: UapiTable;
}

const NOTHING = new Int32Array(0);
const HOW = { changed: How.CHANGED, 'only-a': How.ONLY_A, 'only-b': How.ONLY_B } as const;

class StreamedSide implements ComparedSide, Teller {
  readonly source: WholeCalls;
  readonly table: UapiTable;
  readonly meaning: Meaning;
  readonly lost: number;
  readonly types: readonly string[];
  readonly #details: Details;
  readonly #processes: readonly ProcessDigest[];
  readonly #first: Int32Array;
  /** by event that differs: its index in the details */
  readonly #at = new Map<number, number>();
  readonly #ended = new Map<Origin, number>();
  /** events that have made what is referred to */
  readonly #places = new Map<number, Place>();
  readonly #seqs = new Map<number, Map<number, number>>();

  constructor({ source, table }: StreamedTrace, digest: TraceDigest, { seqs, details }: Detailed, withheld: Withheld | undefined) {
    this.source = wholeCalls(source);
    this.table = table;
    this.meaning = new Meaning(table, withheld);
    this.lost = digest.lost;
    this.types = details.types;
    this.#details = details;
    this.#processes = digest.processes;
    this.#first = firstEvents(digest);
    seqs.forEach((seq, at) => {
      this.#at.set(seq, at);
    });
    const { ended, makers } = details;
    for (let i = 0; i < ended.length; i += 2) this.#ended.set(ended[i]!, ended[i + 1]!);
    for (let i = 0; i < makers.length; i += 3) {
      const [seq, lane, nth] = [makers[i]!, makers[i + 1]!, makers[i + 2]!];
      // of what is not known it is not known where it stands
      if (lane === 0) continue;
      this.#places.set(seq, { lane, nth });
      const inLane = this.#seqs.get(lane);
      if (inLane === undefined) this.#seqs.set(lane, new Map([[nth, seq]]));
      else inLane.set(nth, seq);
    }
  }

  /** Where an event stands that has made something which is referred to. */
  placeOf(seq: number): Place | undefined {
    return this.#places.get(seq);
  }
  /** Which of those events stands there; 0: none. */
  seqAt({ lane, nth }: Place): number {
    return this.#seqs.get(lane)?.get(nth) ?? 0;
  }

  #index(seq: number): number {
    return this.#at.get(seq) ?? -1;
  }
  call(seq: number): string {
    return this.#details.names[this.#details.calls[this.#index(seq)] ?? -1] ?? '';
  }
  error(seq: number): number {
    return this.#details.errors[this.#index(seq)] ?? 0;
  }
  kind(seq: number): number {
    return this.#details.kinds[this.#index(seq)] ?? 0;
  }
  changes(seq: number): boolean {
    return this.#details.changes[this.#index(seq)] === 1;
  }
  before(seq: number): number {
    return this.#details.before[this.#index(seq)] ?? 0;
  }
  process(seq: number): number {
    return this.#details.processes[this.#index(seq)] ?? -1;
  }
  parent(process: number): number {
    return this.#processes[process]?.parent ?? -1;
  }
  fork(process: number): number {
    const of = this.#processes[process];
    return of === undefined || of.parent < 0 ? 0 : of.born;
  }
  first(process: number): number {
    return this.#first[process] ?? 0;
  }
  linksOf(seq: number): Int32Array {
    const at = this.#index(seq);
    return at < 0 ? NOTHING : this.#details.links.subarray(this.#details.linkAt[at], this.#details.linkAt[at + 1]);
  }
  names(seq: number): readonly Origin[] {
    return [...this.linksOf(seq)].filter((thing) => thing > 0);
  }
  endedBy(thing: Origin): number {
    return this.#ended.get(thing) ?? 0;
  }
}

/** The first event of each process. */
function firstEvents({ processes, blocks }: TraceDigest): Int32Array {
  const lanes = new Map(processes.map((p, i) => [p.lanes[0]?.lane ?? 0, i]));
  const first = new Int32Array(processes.length);
  for (let at = 0; at < blocks.length; at += Block.WORDS) {
    const process = lanes.get(blocks[at + Block.LANE]!);
    if (process !== undefined && first[process] === 0) first[process] = blocks[at + Block.FIRST]!;
  }
  return first;
}

class Streamed implements Compared {
  readonly a: StreamedSide;
  readonly b: StreamedSide;
  readonly same: number;
  readonly matched: number;
  readonly withheld: number;
  readonly #found: readonly StreamDifference[];
  readonly #beside: Beside;

  constructor({ matched, differences, beside, digests }: StreamComparison, a: StreamedSide, b: StreamedSide) {
    this.a = a;
    this.b = b;
    this.matched = matched;
    this.withheld = Math.max(digests.a.withheld, digests.b.withheld);
    this.same = matched - differences.reduce((n, d) => n + Number(d.kind === 'changed'), 0);
    this.#found = differences;
    this.#beside = beside;
  }

  *differences(): Iterable<Difference> {
    for (const { kind, a, b, asked, answered } of this.#found) {
      const how = HOW[kind];
      const likeness = {
        how,
        kind: a === 0 ? this.b.kind(b) : this.a.kind(a),
        asked,
        answered,
        errno: this.a.error(a) === this.b.error(b),
      };
      // of a step that has two names: that of b
      yield { how, a, b, sort: sortOf(likeness), call: b === 0 ? this.a.call(a) : this.b.call(b) };
    }
  }

  fields({ a, b }: Difference): readonly FieldPair[] {
    const corresponds = (x: Origin, y: Origin): boolean =>
      x <= 0 || y <= 0 ? x === y : whichOf(x) === whichOf(y) && this.partner('a', eventOf(x)) === eventOf(y);
    return a === 0 || b === 0 ? [] : fieldsOf(this.a, a, this.b, b, corresponds);
  }

  /** Known of events that have made what differences refer to, on both sides. */
  partner(side: SideName, seq: number): number {
    const [here, there] = side === 'a' ? [this.a, this.b] : [this.b, this.a];
    const place = here.placeOf(seq);
    const partner = place === undefined ? undefined : this.#beside.of(side, place);
    return partner === undefined ? 0 : there.seqAt(partner);
  }
}

/** → what the search for causes asks. Rejects with a StoreError where a trace is damaged. */
async function streamedComparison(a: StreamedTrace, b: StreamedTrace, withheld: Withheld | undefined): Promise<Compared> {
  const found = await compareStreams(a.side, b.side);
  const { digests, details } = found;
  return new Streamed(found, new StreamedSide(a, digests.a, details.a, withheld), new StreamedSide(b, digests.b, details.b, withheld));
}

/** Compares two traces and finds the causes; `progress` is told how far it is, from 0 to 1. Rejects with a StoreError where one is damaged. */
export async function streamForCauses(
  a: StreamedTrace,
  b: StreamedTrace,
  options: CauseOptions = {},
  progress: (at: number) => void = () => {},
): Promise<Report> {
  const search = new Search(await streamedComparison(a, b, options.withheld), options);
  for (const at of search.run()) progress(0.6 + 0.1 * at);
  // the farther side first: it has a thread of its own, or waits
  const { questions } = search;
  const farther = b.side.judge(a.table.dialect, questions.b);
  const [nearer, there] = await Promise.all([a.side.judge(b.table.dialect, questions.a), farther]);
  progress(1);
  return search.report({ a: nearer, b: there });
}
