/**
 * From a comparison to what came of it: differences that follow from no other one on top, each with what follows from it, with
 * what the rules of both kernels say to it, and with the known difference between those kernels that it is.
 */

import { eventsIn } from '../whole-calls.ts';
import { How } from './compare.ts';
import type { Compared, SideName } from './compared.ts';
import { Folding, STATE } from './folding.ts';
import { type Judgement, judge } from './judge.ts';
import { knownDifference } from './known.ts';
import type { Cause, Consequence, Difference, Opinion, Report, SideView, StatLine } from './report.ts';

export interface CauseOptions {
  /** events of a trace that the rules are run along for all differences; beyond, they are for the first alone. default 2 000 000 */
  readonly longest?: number;
  /** differences that follow from others and that the rules are asked about all the same; the first ones. default 50 000 */
  readonly most?: number;
}

const LONGEST = 2_000_000;
const MOST = 50_000;
const SIDES = ['a', 'b'] as const;
const TOO_LONG: Opinion = { kind: 'open', because: 'the rules were not asked: the trace is too long' };
const UNASKED: Judgement = { why: undefined, own: TOO_LONG, other: TOO_LONG };

type Judgements = Readonly<Record<SideName, ReadonlyMap<number, Judgement>>>;

/** Finds causes and what follows from them; yields how far it is, from 0 to 1. Throws a StoreError where a trace is damaged. */
export function* findCauses(compared: Compared, options: CauseOptions = {}): Generator<number, Report> {
  const folding = new Folding(compared);
  for (const at of folding.run()) yield at * 0.3;
  const { differences, under } = folding;
  const limits = SIDES.flatMap((side) => lossOf(side, compared[side].lost));
  const doubtful = doubtfulOf(folding, options.most ?? MOST, limits);
  const asked = new Set(doubtful);
  const open = differences.filter((_, place) => under[place]! < 0 || asked.has(place));
  const judged = {
    a: yield* judgedSide(compared, 'a', open, options, limits, 0.3),
    b: yield* judgedSide(compared, 'b', open, options, limits, 0.65),
  };
  for (const place of doubtful) {
    if (!contradicts(differences[place]!, judged)) continue;
    under[place] = -1;
    folding.links[place] = undefined;
  }
  differences.forEach((d, place) => {
    const changed = folding.changed[place]!;
    if (under[place]! >= 0 || changed < 0 || !isOfState(d, judged)) return;
    under[place] = changed;
    folding.links[place] = STATE;
  });
  const causes = causesOf(compared, folding, judged);
  return {
    eventsA: eventsIn(compared.a.source),
    eventsB: eventsIn(compared.b.source),
    same: compared.same,
    matched: compared.matched,
    differences: differences.length,
    ignored: new Map(),
    causes,
    stat: statOf(causes, new Map()),
    limits,
  };
}

/**
 * Places of differences that follow from others, though one side may have answered against its rules: where that they follow is
 * an inference, and where the same question has another errno. At most so many.
 */
function doubtfulOf({ differences, under, links }: Folding, most: number, limits: string[]): number[] {
  const found: number[] = [];
  let count = 0;
  differences.forEach((d, place) => {
    if (under[place]! < 0 || (links[place]?.may !== true && d.sort !== 'errno')) return;
    if (count++ < most) found.push(place);
  });
  if (count > most)
    limits.push(`${count} differences may follow from others: the rules of the kernels were asked about the first ${most} of them only`);
  return found;
}

const disagrees = (d: Difference, judged: Judgements, side: SideName): boolean => judged[side].get(d[side])?.own.kind === 'disagrees';

/** Has one side answered against the rules of its kernel, and the other not? Then that is what differs, whatever it follows from. */
const contradicts = (d: Difference, judged: Judgements): boolean => disagrees(d, judged, 'a') !== disagrees(d, judged, 'b');

const traceOf = (name: SideName): string => `the ${name === 'a' ? 'first' : 'second'} trace`;

const lossOf = (name: SideName, lost: number): string[] =>
  lost === 0 ? [] : [`${traceOf(name)} has lost ${lost} event${lost === 1 ? '' : 's'}: what differs may be what is missing`];

/** What the rules say to the events of one side that are in differences. */
function* judgedSide(
  compared: Compared,
  name: SideName,
  differences: readonly Difference[],
  options: CauseOptions,
  limits: string[],
  at: number,
): Generator<number, ReadonlyMap<number, Judgement>> {
  const side = compared[name];
  const longest = options.longest ?? LONGEST;
  let seqs = differences.map((d) => d[name]).filter((seq) => seq !== 0);
  seqs.sort((x, y) => x - y);
  const within = seqs.findIndex((seq) => seq > longest);
  if (within >= 0) {
    const first = differences[0]![name];
    seqs = within === 0 ? [first] : seqs.slice(0, within);
    const which = within === 0 ? 'the first difference' : `what differs before event ${longest}`;
    limits.push(`${traceOf(name)} has ${side.source.last} events: the rules of the kernels were asked about ${which} only`);
  }
  const run = judge(
    side,
    (name === 'a' ? compared.b : compared.a).table.dialect,
    seqs.filter((seq) => seq > 0),
  );
  for (;;) {
    const next = run.next();
    if (next.done === true) return next.value;
    yield at + next.value * 0.35;
  }
}

const settled = (opinion: Opinion): boolean => opinion.kind === 'agrees';

/** The same question, and all four opinions find the answers right: then it is the state that differs. */
function isOfState(d: Difference, judged: Judgements): boolean {
  if (d.how !== How.CHANGED) return false;
  return SIDES.every((side) => {
    const found = judged[side].get(d[side]);
    if (found === undefined || !settled(found.own) || !settled(found.other)) return false;
    // an output that the rules leave open may be what differs
    return d.sort === 'errno' || (!isOpen(found.own) && !isOpen(found.other));
  });
}

const isOpen = (opinion: Opinion): boolean => opinion.kind === 'agrees' && opinion.but !== undefined;

function causesOf(compared: Compared, folding: Folding, judged: Judgements): Cause[] {
  const { differences, links } = folding;
  const consequences = new Map<number, Consequence[]>();
  const causeOf = folding.causes();
  causeOf.forEach((cause, place) => {
    if (cause === place) consequences.set(place, []);
    else consequences.get(cause)!.push({ difference: differences[place]!, link: links[place]! });
  });
  return [...consequences].map(([place, follow]) => causeFor(compared, differences[place]!, follow, judged));
}

function causeFor(compared: Compared, difference: Difference, consequences: readonly Consequence[], judged: Judgements): Cause {
  const fields = compared.fields(difference);
  const of = (side: SideName): Judgement | undefined =>
    difference[side] === 0 ? undefined : (judged[side].get(difference[side]) ?? UNASKED);
  const [a, b] = [of('a'), of('b')];
  return {
    difference,
    fields,
    consequences,
    a: viewOf(a),
    b: viewOf(b),
    known: knownDifference({ difference, fields, a, b }, compared.a.table.dialect, compared.b.table.dialect),
  };
}

const viewOf = (judgement: Judgement | undefined): SideView | undefined =>
  judgement === undefined ? undefined : { why: judgement.why, opinion: judgement.own };

function statOf(causes: readonly Cause[], ignored: ReadonlyMap<Difference, string>): StatLine[] {
  const lines = new Map<string, { sort: Difference['sort']; call: string; causes: number; consequences: number; ignored: number }>();
  const line = ({ sort, call }: Difference) => {
    const key = `${sort} ${call}`;
    const known = lines.get(key) ?? { sort, call, causes: 0, consequences: 0, ignored: 0 };
    lines.set(key, known);
    return known;
  };
  for (const cause of causes) {
    line(cause.difference).causes++;
    for (const { difference } of cause.consequences) line(difference).consequences++;
  }
  for (const difference of ignored.keys()) line(difference).ignored++;
  return [...lines.values()].sort((x, y) => y.causes - x.causes || y.consequences - x.consequences || x.call.localeCompare(y.call));
}

/** The name of the rule that ignores a difference; undefined: none does. `known`: of a cause, the row that it is. */
export type Ignores = (difference: Difference, known: string | undefined) => string | undefined;

/** A report without what is ignored. What follows from a cause that is ignored is ignored with it, by the same rule. */
export function ignoring(report: Report, ignores: Ignores): Report {
  const gone = new Map<Difference, string>();
  const causes: Cause[] = [];
  for (const cause of report.causes) {
    const rule = ignores(cause.difference, cause.known);
    if (rule !== undefined) {
      for (const d of [cause.difference, ...cause.consequences.map((c) => c.difference)]) gone.set(d, rule);
      continue;
    }
    const consequences = cause.consequences.filter(({ difference }) => {
      const its = ignores(difference, undefined);
      if (its !== undefined) gone.set(difference, its);
      return its === undefined;
    });
    causes.push({ ...cause, consequences });
  }
  const ignored = new Map(report.ignored);
  for (const rule of gone.values()) ignored.set(rule, (ignored.get(rule) ?? 0) + 1);
  return { ...report, causes, ignored, differences: report.differences - gone.size, stat: statOf(causes, gone) };
}
