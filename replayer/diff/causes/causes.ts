/**
 * From a comparison to what came of it: differences that follow from no other one on top, each with what follows from it, with
 * what the rules of both kernels say to it, and with the known difference between those kernels that it is.
 */

import { eventsIn } from '../../whole-calls.ts';
import { How, scaled } from '../compare.ts';
import type { Withheld } from '../meaning/withheld.ts';
import type { Compared, SideName } from './compared.ts';
import { Folding, STATE } from './folding.ts';
import { type Judgement, judge } from './judge.ts';
import { knownDifference } from './known.ts';
import type { Cause, Consequence, Difference, Opinion, Report, SideView, StatLine } from './report.ts';

export interface CauseOptions {
  /** what is not compared, for one of the traces has it redacted */
  readonly withheld?: Withheld;
  /** the rules are asked about what differs in so many events from the beginning of a trace: the way there is long. default 1 000 000 */
  readonly longest?: number;
  /** differences that follow from others and that the rules are asked about all the same; the first ones. default 50 000 */
  readonly most?: number;
}

const LONGEST = 1_000_000;
const MOST = 50_000;
const SIDES = ['a', 'b'] as const;
const TOO_LONG: Opinion = { kind: 'open', because: 'the rules were not asked this far into the trace' };
const UNASKED: Judgement = { why: undefined, own: TOO_LONG, other: TOO_LONG };

type BySide<T> = Readonly<Record<SideName, T>>;
type Judgements = BySide<ReadonlyMap<number, Judgement>>;

/** The search for causes: first what follows from what, then, when the rules of both kernels were asked, what that changes. */
export class Search {
  /** events that the rules are to be asked about, ascending, when it has run */
  questions: BySide<Int32Array> = { a: new Int32Array(0), b: new Int32Array(0) };
  readonly #compared: Compared;
  readonly #options: CauseOptions;
  readonly #folding: Folding;
  readonly #limits: string[];
  #doubtful: readonly number[] = [];

  constructor(compared: Compared, options: CauseOptions = {}) {
    this.#compared = compared;
    this.#options = options;
    this.#folding = new Folding(compared);
    this.#limits = SIDES.flatMap((side) => lossOf(side, compared[side].lost));
  }

  /** Yields how far it is, from 0 to 1. */
  *run(): Generator<number> {
    yield* this.#folding.run();
    const { differences, under } = this.#folding;
    this.#doubtful = doubtfulOf(this.#folding, this.#options.most ?? MOST, this.#limits);
    const asked = new Set(this.#doubtful);
    const open = differences.filter((_, place) => under[place]! < 0 || asked.has(place));
    this.questions = { a: this.#questions('a', open), b: this.#questions('b', open) };
  }

  /** The rules have been asked. */
  report(judged: Judgements): Report {
    const folding = this.#folding;
    const { differences, under } = folding;
    for (const place of this.#doubtful) {
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
    const compared = this.#compared;
    const causes = causesOf(compared, folding, judged);
    return {
      eventsA: eventsIn(compared.a.source),
      eventsB: eventsIn(compared.b.source),
      same: compared.same,
      matched: compared.matched,
      differences: differences.length,
      ignored: new Map(),
      redacted: compared.withheld,
      causes,
      stat: statOf(causes, new Map()),
      limits: this.#limits,
    };
  }

  /** The events of one side that are in differences. */
  #questions(name: SideName, differences: readonly Difference[]): Int32Array {
    const longest = this.#options.longest ?? LONGEST;
    const seqs = Int32Array.from(
      differences.filter((d) => d[name] !== 0),
      (d) => d[name],
    ).sort();
    const far = seqs.findIndex((seq) => seq > longest);
    if (far < 0) return seqs;
    this.#limits.push(
      far === 0
        ? `the rules of the kernels were not asked about ${traceOf(name)}: nothing differs up to its event ${longest} (--far asks all the same)`
        : `the rules of the kernels were asked about what differs up to event ${longest} of ${traceOf(name)} only (--far asks to the end)`,
    );
    return seqs.subarray(0, far);
  }
}

/** Finds causes and what follows from them; yields how far it is, from 0 to 1. Throws a StoreError where a trace is damaged. */
export function* findCauses(compared: Compared, options: CauseOptions = {}): Generator<number, Report> {
  const search = new Search(compared, options);
  yield* scaled(search.run(), 0, 0.3);
  const { a, b } = compared;
  return search.report({
    a: yield* scaled(judge(a, b.table.dialect, search.questions.a), 0.3, 0.65),
    b: yield* scaled(judge(b, a.table.dialect, search.questions.b), 0.65, 1),
  });
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
