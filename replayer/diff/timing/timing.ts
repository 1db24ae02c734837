/**
 * How long the calls of two traces took, call by call, and where the difference is more than chance. Only calls with the same
 * answer are held against each other: a call that fails early is no faster call.
 */
import { errnoName } from '../../../hw/errno.ts';
import { callName } from '../../../hw/event-words.ts';
import { targetOfFileKind, type UapiTable } from '../../../hw/uapi/table.ts';
import { FrameCursor, Kind, PartKind, State } from '../../../store/frame.ts';
import type { FrameSource } from '../../fold.ts';
import { Latencies } from './latencies.ts';
import { type Factor, factorOf, holm, leastP, type RankTest, rankTest } from './rank-test.ts';

/** The chance of a false finding, over all calls together. */
export const LEVEL = 0.01;
/** By what factor a call must be slower or faster to count, unless one asks for another. With many calls a test finds what nobody feels. */
export const THRESHOLD = 1.25;

export interface TimingSide {
  readonly count: number;
  /** ns; 0 where there is none */
  readonly median: number;
  readonly p99: number;
}

/** `ratio`: how many times as long b takes, with the interval that has it in 1 - level of all cases. */
export interface TimingTest extends RankTest, Factor {
  /** p as it counts among all that are tested */
  readonly corrected: number;
  /** the greatest factor, 1 and more, between two recordings that should not differ; undefined: there was no second one */
  readonly noise: number | undefined;
  /** below the level, by the threshold at least, and by more than the noise */
  readonly differs: boolean;
}

/** One call with one answer. */
export interface TimingRow {
  /** "IOMMU_IOAS_MAP"; of IOMMU_TEST_CMD with its operation */
  readonly call: string;
  /** '' success */
  readonly errno: string;
  readonly a: TimingSide;
  readonly b: TimingSide;
  /** undefined: too few on a side to tell anything */
  readonly test: TimingTest | undefined;
}

export interface Timing {
  readonly level: number;
  /** see {@link THRESHOLD} */
  readonly threshold: number;
  /** how many rows were tested together */
  readonly tested: number;
  /** of what a is of */
  readonly recordings: number;
  /** most certain first, then by name */
  readonly rows: readonly TimingRow[];
}

/** Latencies by call and answer. */
export type LatencyMap = ReadonlyMap<string, Latencies>;

const NO_CALL: ReadonlySet<number> = new Set([Kind.START, Kind.EXIT, Kind.FD, Kind.GAP, Kind.QUEUE, Kind.REGION, Kind.MMIO]);
const TEST_OP = /^IOMMU_TEST_OP_/;
/** between the call and its answer in a key */
const BETWEEN = '\0';

/** Latencies of all calls of a trace that have returned; yields how far it is, from 0 to 1. */
export function* latenciesOf(source: FrameSource, table: UapiTable): Generator<number, LatencyMap> {
  const found = new Map<string, Latencies>();
  const names = new Names(table);
  const entered = new Map<number, string>();
  const cursor = new FrameCursor();
  for (const batch of source.scan(1)) {
    for (let i = 0; i < batch.count; i++) {
      const f = cursor.at(batch.buffer, batch.offsets[i]!);
      if (NO_CALL.has(f.kind)) continue;
      let name: string | undefined;
      if (f.kind === Kind.RETURN) {
        name = entered.get(Number(f.arg(0)));
        entered.delete(Number(f.arg(0)));
      } else {
        name = names.of(f);
        if (f.state === State.ENTERED) entered.set(batch.first + i, name);
      }
      if (name === undefined || f.state === State.ENTERED || f.tExit === 0n) continue;
      const key = `${name}${BETWEEN}${f.error === 0 ? '' : errnoName(f.error)}`;
      let latencies = found.get(key);
      if (latencies === undefined) {
        latencies = new Latencies();
        found.set(key, latencies);
      }
      latencies.add(Math.max(0, Number(f.tExit - f.tEnter)));
    }
    yield (batch.first + batch.count) / Math.max(1, source.last);
  }
  return found;
}

/** Names of calls, each of which costs a look into the table only once. */
class Names {
  readonly #known = new Map<number, string>();
  readonly #ops = new Map<number, string>();
  readonly #table: UapiTable;
  readonly #test: number | undefined;
  readonly #op: number;

  constructor(table: UapiTable) {
    this.#table = table;
    this.#test = table.byName('IOMMU_TEST_CMD')?.request;
    this.#op = table.offsetOf('IOMMU_TEST_CMD', 'op');
  }
  of(f: FrameCursor): string {
    const key = (f.fileKind * 32 + f.kind) * 2 ** 32 + f.request;
    let name = this.#known.get(key);
    if (name === undefined) {
      name = callName(f, this.#table);
      this.#known.set(key, name);
    }
    if (f.kind !== Kind.IOCTL || f.request !== this.#test || targetOfFileKind(f.fileKind) !== 'iommufd') return name;
    if (!f.part(PartKind.IN) || f.partBytes < this.#op + 4) return name;
    const op = f.buffer.readUInt32LE(f.partStart + this.#op);
    let full = this.#ops.get(op);
    if (full === undefined) {
      full = `${name} ${this.#table.testOp(op)?.name.replace(TEST_OP, '') ?? op}`;
      this.#ops.set(op, full);
    }
    return full;
  }
}

const sideOf = (l: Latencies | undefined): TimingSide => ({
  count: l?.count ?? 0,
  median: l?.quantile(0.5) ?? 0,
  p99: l?.quantile(0.99) ?? 0,
});

export interface TimingOptions {
  /** further recordings of what a is of */
  readonly same?: readonly LatencyMap[];
  readonly level?: number;
  /** 1 … */
  readonly threshold?: number;
}

/**
 * Both against each other, and which calls differ. The test takes the calls of a recording for independent, which they are not
 * from one recording to the next: another boot, another placement, another load move all of them. What differs no more than
 * recordings of the same do among each other is no difference.
 */
export function timing(a: LatencyMap, b: LatencyMap, options: TimingOptions = {}): Timing {
  const { same = [], level = LEVEL, threshold = THRESHOLD } = options;
  const keys = [...new Set([...a.keys(), ...b.keys()])].sort();
  const tests = keys.map((key) => testOf(a.get(key), b.get(key), level));
  const corrected = holm(tests.flatMap((t) => (t === undefined ? [] : [t.p])));
  let next = 0;
  const rows = keys.map((key, i): TimingRow => {
    const [call = '', errno = ''] = key.split(BETWEEN);
    const sides = { call, errno, a: sideOf(a.get(key)), b: sideOf(b.get(key)) };
    const test = tests[i];
    if (test === undefined) return { ...sides, test };
    const p = corrected[next++]!;
    const noise = noiseOf([a, ...same].map((l) => l.get(key)));
    const differs = p < level && distance(test.ratio) >= threshold && distance(test.ratio) > (noise ?? 0);
    return { ...sides, test: { ...test, corrected: p, noise, differs } };
  });
  const certainty = (r: TimingRow): number => (r.test === undefined ? 2 : r.test.differs ? r.test.corrected - 1 : r.test.corrected);
  return { level, threshold, tested: next, recordings: 1 + same.length, rows: rows.sort((x, y) => certainty(x) - certainty(y)) };
}

/** A factor as one of 1 and more: half as long is as far as twice as long. */
const distance = (ratio: number): number => Math.max(ratio, 1 / ratio);

/** The farthest of all pairs. */
function noiseOf(recordings: readonly (Latencies | undefined)[]): number | undefined {
  let farthest: number | undefined;
  for (const [i, x] of recordings.entries()) {
    for (const y of recordings.slice(i + 1)) {
      if (x === undefined || y === undefined) continue;
      const binned = x.binned || y.binned;
      farthest = Math.max(farthest ?? 1, distance(factorOf(x.tally(binned), y.tally(binned), LEVEL).ratio));
    }
  }
  return farthest;
}

/** Samples that could not be told apart however different they are take no part: they would only weaken the others. */
function testOf(a: Latencies | undefined, b: Latencies | undefined, level: number): (RankTest & Factor) | undefined {
  if (a === undefined || b === undefined || leastP(a.count, b.count) >= level) return undefined;
  const binned = a.binned || b.binned;
  const [x, y] = [a.tally(binned), b.tally(binned)];
  return { ...rankTest(x, y), ...factorOf(x, y, level) };
}
