/** What a report of a comparison says about latencies: words for text and HTML, the table of the text, the option. */
import { tookText } from '../../hw/time-text.ts';
import type { Factor } from '../../replayer/diff/timing/rank-test.ts';
import { THRESHOLD, type Timing, type TimingRow } from '../../replayer/diff/timing/timing.ts';
import { counted } from './diff-words.ts';
import { UsageError } from './errors.ts';
import { type Out, type Piece, paint, type Style } from './output.ts';
import { wrapPieces } from './wrap-pieces.ts';

/** Factors that `--threshold` takes. */
const MOST = 1000;

/** `--threshold`: a factor, or how many percent longer. */
export function thresholdOf(text: unknown): number {
  if (typeof text !== 'string') return THRESHOLD;
  const [, number, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text.trim()) ?? [];
  const factor = percent === '%' ? 1 + Number(number) / 100 : Number(number);
  if (number === undefined || factor < 1 || factor > MOST)
    throw new UsageError(
      `--threshold: "${text}" is neither a factor from 1 to ${MOST} nor a percentage`,
      '--threshold 1.5, --threshold 50%',
    );
  return factor;
}

/** A test that is sure of a difference which does not count. */
const isSmall = (timing: Timing, { test }: TimingRow): boolean => test !== undefined && test.corrected < timing.level && !test.differs;

/** "2 of 38 calls take longer or shorter, by a factor of 1.25 at least" */
export function timingTitle(timing: Timing): string {
  const differing = timing.rows.filter((r) => r.test?.differs === true).length;
  const by = timing.threshold > 1 ? `, by a factor of ${timing.threshold} at least` : '';
  if (timing.tested === 0) return 'no call was made often enough to tell whether it takes longer or shorter';
  if (differing === 0) return `no call takes longer or shorter${by}`;
  return `${counted(differing, 'call')} ${differing === 1 ? 'takes' : 'take'} longer or shorter${by}`;
}

/** How that was found, and what it says nothing of. */
export function timingNotes(timing: Timing): string[] {
  const both = timing.rows.filter((r) => r.a.count > 0 && r.b.count > 0).length;
  const [few, alone, small] = [both - timing.tested, timing.rows.length - both, timing.rows.filter((r) => isSmall(timing, r)).length];
  const rest = [
    ...(small === 0 ? [] : [`${small} ${small === 1 ? 'differs' : 'differ'}, but by less`]),
    ...(few === 0 ? [] : [`${few} made too rarely to tell`]),
    ...(alone === 0 ? [] : [`${alone} made, or answered so, on one side only`]),
  ];
  const how = `${timing.tested} tested, p < ${timing.level} (Mann-Whitney, corrected by Holm)`;
  return [[how, ...rest].join('; '), noiseText(timing)];
}

/** What the test cannot know of one recording. */
const noiseText = (timing: Timing): string =>
  timing.recordings === 1
    ? 'one recording a side: what differs from run to run on one kernel is in here too; --same TRACE, another recording like a, takes it out'
    : `what differs no more than ${timing.recordings} recordings of the same do among each other is left out`;

export const answeredCall = (r: TimingRow): string => `${r.call}${r.errno === '' ? '' : ` = ${r.errno}`}`;

/** p in a few letters. */
const probability = (p: number): string => (p < 1e-99 ? '<1e-99' : p < 0.001 ? p.toExponential(1) : p.toFixed(3));
/** A factor in three digits. */
const factor = (x: number): string => x.toFixed(x >= 100 ? 0 : x >= 10 ? 1 : 2);
const interval = ({ low, high }: Factor): string => (high === Number.POSITIVE_INFINITY ? 'any' : `${factor(low)}-${factor(high)}`);

interface Column {
  readonly head: string;
  readonly text: (r: TimingRow) => string;
  /** in colours by what came out */
  readonly verdict?: true;
}

const took = (side: TimingRow['a'], ns: number): string => (side.count === 0 ? '-' : tookText(ns));

/** The columns, b/a being the typical factor; with how sure that is. */
export const TIMING_COLUMNS: readonly Column[] = [
  { head: 'n a', text: (r) => String(r.a.count) },
  { head: 'n b', text: (r) => String(r.b.count) },
  { head: 'p50 a', text: (r) => took(r.a, r.a.median) },
  { head: 'p50 b', text: (r) => took(r.b, r.b.median) },
  { head: 'p99 a', text: (r) => took(r.a, r.a.p99) },
  { head: 'p99 b', text: (r) => took(r.b, r.b.p99) },
  { head: 'b/a', text: ({ test }) => (test === undefined ? '-' : factor(test.ratio)), verdict: true },
  { head: '99 % of it', text: ({ test }) => (test === undefined ? '-' : interval(test)), verdict: true },
  { head: 'p', text: ({ test }) => (test === undefined ? 'too few' : probability(test.corrected)), verdict: true },
];
/** Left out one after the other where there is no room. */
const DISPENSABLE = ['p99 a', 'p99 b', 'n a', 'n b', 'p'];
/** From so many columns on the call stands on the line of its numbers. */
const BESIDE = 120;
const GAP = 2;

export const timingStyle = ({ test }: TimingRow): Style => (test?.differs !== true ? 'dim' : test.ratio > 1 ? 'error' : 'ok');

/** `all`: calls that take no longer, too */
export function printTiming(out: Out, timing: Timing, { width, all }: { readonly width: number; readonly all: boolean }): void {
  const differs = timing.rows.some((r) => r.test?.differs === true);
  const line = (piece: Piece): void => {
    for (const l of wrapPieces([piece], width, 0)) out.line(...l);
  };
  out.line();
  line(paint(differs ? 'heading' : 'ok', timingTitle(timing)));
  for (const note of timingNotes(timing)) line(paint('dim', note));
  const rows = timing.rows.filter((r) => r.test?.differs === true || (all && r.a.count > 0 && r.b.count > 0));
  if (rows.length > 0) printTable(out, rows, width);
}

function printTable(out: Out, rows: readonly TimingRow[], width: number): void {
  const beside = width >= BESIDE;
  const name = beside ? Math.max(4, ...rows.map((r) => answeredCall(r).length)) : 0;
  const wide = new Map(TIMING_COLUMNS.map((c) => [c, Math.max(c.head.length, ...rows.map((r) => c.text(r).length))]));
  const gone = new Set<string>();
  const columns = (): Column[] => TIMING_COLUMNS.filter((c) => !gone.has(c.head));
  const size = (): number => columns().reduce((sum, c) => sum + wide.get(c)! + GAP, name);
  for (const head of DISPENSABLE) if (size() > width) gone.add(head);
  const cells = (of: (c: Column) => string, verdict: boolean): string =>
    columns()
      .filter((c) => (c.verdict === true) === verdict)
      .map((c) => of(c).padStart(wide.get(c)! + GAP))
      .join('');
  const head = cells((c) => c.head, false) + cells((c) => c.head, true);
  out.line(paint('heading', `${beside ? 'call'.padEnd(name) : ''}${head}`));
  for (const r of rows) {
    if (!beside) for (const l of wrapPieces([paint('call', answeredCall(r))], width, GAP)) out.line(...l);
    const numbers = [
      cells((c) => c.text(r), false),
      paint(
        timingStyle(r),
        cells((c) => c.text(r), true),
      ),
    ];
    out.line(...(beside ? [paint('call', answeredCall(r).padEnd(name))] : []), ...numbers);
  }
}

/** A row in a sentence: "IOMMU_IOAS_MAP takes 1.52 times as long (1.43-1.61 in 99 of 100 cases, p 1.2e-9)". */
export const timingSentence = (r: TimingRow): string =>
  r.test === undefined
    ? ''
    : `${answeredCall(r)} takes ${factor(r.test.ratio)} times as long (99 %: ${interval(r.test)}; p ${probability(r.test.corrected)})`;
