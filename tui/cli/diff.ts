/** `diff`: where two sessions part, and why. */
import type { CauseOptions } from '../../replayer/diff/causes/causes.ts';
import type { Report } from '../../replayer/diff/causes/report.ts';
import { type LatencyMap, latenciesOf, type Timing, timing } from '../../replayer/diff/timing/timing.ts';
import { StoreError } from '../../store/errors.ts';
import type { Io, Options, Run } from './commands.ts';
import { SideFacts } from './diff-facts.ts';
import { printJson } from './diff-json.ts';
import { reportOf } from './diff-report.ts';
import { applied, type Rules, rulesOf } from './diff-rules.ts';
import { type Judged, judge, judgeable, judgeLike, Verdict } from './diff-since.ts';
import { DiffText, type Scene } from './diff-text.ts';
import { thresholdOf, timingSentence } from './diff-timing.ts';
import { UsageError } from './errors.ts';
import { finished } from './long-work.ts';
import { Progress } from './output.ts';
import { countOf, type Opened, openTrace } from './trace.ts';
import { checkWritable, writeWhole } from './whole-file.ts';

/** Columns where there is no terminal to ask. */
const COLUMNS = 80;
/** Causes that are shown in a browser. */
const IN_PAGE = 200;
/** How a page begins. */
const PAGE = /^<!doctype html/i;

export const run: Run = async ([first = '', second], options, io) => {
  if (typeof options.since === 'string') return since(options.since, first, second, options, io);
  if (options.bad !== undefined) throw new UsageError('diff: --bad goes with --since');
  if (options.same !== undefined && options.timing !== true) throw new UsageError('diff: --same goes with --timing');
  if (options.threshold !== undefined && options.timing !== true) throw new UsageError('diff: --threshold goes with --timing');
  if (second === undefined) throw new UsageError('diff: which two traces?', 'iommufd-rr diff GOOD.irr BAD.irr');
  if (typeof options.html === 'string') checkWritable(options.html, PAGE);
  const [a, b] = [openTrace(first), openTrace(second)];
  const report = await compared(a, b, options);
  const times = options.timing === true ? timed(a, b, options) : undefined;
  await tell({ a: new SideFacts(a), b: new SideFacts(b), report, timing: times }, options, io);
  a.reader.close();
  b.reader.close();
  return report.differences > 0 || times?.rows.some((r) => r.test?.differs === true) === true ? 1 : 0;
};

async function compared(a: Opened, b: Opened, options: Options): Promise<Report> {
  const rules: Rules = rulesOf(options, a, b);
  const causes: CauseOptions = options.far === true ? { longest: Number.POSITIVE_INFINITY } : {};
  const progress = new Progress('comparing');
  const total = a.reader.last + b.reader.last;
  try {
    return applied(await reportOf(a, b, causes, (at) => progress.update(Math.floor(at * total), total)), rules, a, b);
  } finally {
    progress.done();
  }
}

/** `--same`: further recordings of what the first one is of. */
function timed(a: Opened, b: Opened, options: Options): Timing {
  const threshold = thresholdOf(options.threshold);
  const of = (o: Opened): LatencyMap => finished('latencies', latenciesOf(o.reader, o.table), o.reader.last);
  const same = (Array.isArray(options.same) ? (options.same as readonly string[]) : []).map((path) => {
    const opened = openTrace(path);
    const latencies = of(opened);
    opened.reader.close();
    return latencies;
  });
  return timing(of(a), of(b), { same, threshold });
}

async function tell(scene: Scene, options: Options, io: Io): Promise<void> {
  const all = options.all === true;
  const given = countOf('--limit', options.limit as string | undefined, 0);
  const limit = all ? Number.POSITIVE_INFINITY : given;
  const wide = countOf('--width', options.width as string | undefined, 40);
  const json = options.json === true;
  if (typeof options.html === 'string') await writeHtml(options.html, scene, { limit: limit ?? IN_PAGE, all }, io);
  const out = io.out(!json && options.pager !== false);
  if (json) return printJson(out, scene.report, scene.timing);
  const text = new DiffText(out, scene, { width: wide ?? process.stdout.columns ?? COLUMNS, limit, all });
  if (options.stat === true) text.stat();
  else if (typeof options.html === 'string') text.head();
  else await text.print();
}

async function writeHtml(path: string, scene: Scene, choice: { limit: number; all: boolean }, io: Io): Promise<void> {
  const { diffHtml } = await import('./diff-html.ts');
  writeWhole(path, diffHtml(scene, choice));
  io.note(`wrote ${path}`);
}

/** `--since GOOD NEXT`: a verdict for git bisect run. */
async function since(good: string, next: string, extra: string | undefined, options: Options, io: Io): Promise<number> {
  if (extra !== undefined) throw new UsageError('diff: with --since there is one more trace: the one that is good or bad');
  const goodOpened = openTrace(good);
  const badOpened = typeof options.bad === 'string' ? openTrace(options.bad) : undefined;
  // rules are read before the recording is looked at: what is wrong with them ends the bisection
  rulesOf(options, goodOpened, badOpened ?? goodOpened);
  const { verdict, text, scene } = await judged(goodOpened, badOpened, next, options);
  const out = io.out();
  const word = { [Verdict.GOOD]: 'good', [Verdict.BAD]: 'bad', [Verdict.SKIP]: 'cannot tell', [Verdict.STOP]: 'stop' }[verdict];
  if (options.json === true) {
    const said = { verdict: word, because: text };
    if (scene === undefined) out.json({ v: 1, ...said });
    else await printJson(out, scene.report, scene.timing, said);
  } else {
    out.line(`${word}: ${next}: ${text}`);
    if (verdict === Verdict.BAD && scene !== undefined) {
      const width = countOf('--width', options.width as string | undefined, 40) ?? process.stdout.columns ?? COLUMNS;
      await new DiffText(out, scene, {
        width,
        limit: countOf('--limit', options.limit as string | undefined, 0) ?? 1,
        inPlace: true,
        all: false,
      }).print();
    }
  }
  return verdict;
}

/** What is wrong with the recording in question is no reason to stop: nobody can tell, that is all. */
async function judged(good: Opened, bad: Opened | undefined, next: string, options: Options): Promise<Judged & { readonly scene?: Scene }> {
  try {
    return await judgedOpen(good, bad, openTrace(next), options);
  } catch (error) {
    if (error instanceof StoreError && error.path === next) return { verdict: Verdict.SKIP, text: error.message };
    throw error;
  }
}

async function judgedOpen(
  good: Opened,
  bad: Opened | undefined,
  opened: Opened,
  options: Options,
): Promise<Judged & { readonly scene?: Scene }> {
  const early = judgeable(good, opened);
  if (early !== undefined) return early;
  const report = await compared(good, opened, options);
  const times = options.timing === true ? timed(good, opened, options) : undefined;
  const scene: Scene = { a: new SideFacts(good), b: new SideFacts(opened), report, timing: times };
  if (bad !== undefined) return { ...judgeLike(await compared(good, bad, options), report, good, opened), scene };
  const verdict = judge(report, good, opened);
  const slower = times?.rows.find((r) => r.test?.differs === true);
  if (verdict.verdict !== Verdict.GOOD || slower === undefined) return { ...verdict, scene };
  return { verdict: Verdict.BAD, text: timingSentence(slower), scene };
}
