/** The report of a comparison for a person at a terminal. */

import type { Cause, Consequence, Difference, Report, SideView, StatLine } from '../../replayer/diff/causes/report.ts';
import { How } from '../../replayer/diff/compare.ts';
import type { Timing } from '../../replayer/diff/timing/timing.ts';
import type { EventFacts, SideFacts } from './diff-facts.ts';
import { printTiming } from './diff-timing.ts';
import {
  commandText,
  consequencesText,
  counted,
  hasRules,
  ignoredLines,
  newsText,
  type Ordered,
  opinionText,
  ordered,
  restText,
  SORTS,
  summaryText,
  titleOf,
  toldOf,
  traceText,
  valueText,
  whyLines,
} from './diff-words.ts';
import { type Out, type Piece, paint, type Style } from './output.ts';
import { besidePieces, wrapPieces } from './wrap-pieces.ts';

/** What is printed about. */
export interface Scene {
  readonly a: SideFacts;
  readonly b: SideFacts;
  readonly report: Report;
  readonly timing: Timing | undefined;
}

export interface TextChoice {
  readonly width: number;
  /** causes that are shown; undefined: those that tell something new, and one of each known difference, up to ten */
  readonly limit: number | undefined;
  /** causes in order of place, even where some are known differences */
  readonly inPlace?: true;
  /** what shows the causes that are not shown, where it is not as with diff */
  readonly more?: string;
  /** consequences are spelled out, calls that take no longer are listed */
  readonly all: boolean;
}

/** From so many columns on both sides stand beside each other. */
export const WIDE = 160;
/** Causes that are shown unless one asks for more: a page or two. */
const DEFAULT = 10;
/** Consequences between two waits for the reader. */
const SLICE = 64;
const INDENT = 3;
/** of the sort of difference, in counts */
const SORT = 9;
/** of "state a" */
const LABEL = 8;

export class DiffText {
  readonly #out: Out;
  readonly #scene: Scene;
  readonly #choice: TextChoice;

  constructor(out: Out, scene: Scene, choice: TextChoice) {
    this.#out = out;
    this.#scene = scene;
    this.#choice = choice;
  }

  async print(): Promise<void> {
    const { report, timing } = this.#scene;
    const order = this.#choice.inPlace === true ? { ...ordered(report), causes: report.causes } : ordered(report);
    const shown = Math.min(this.#choice.limit ?? Math.min(DEFAULT, order.telling), order.causes.length);
    this.head();
    for (let i = 0; i < shown; i++) await this.#cause(order.causes[i]!, i + 1, order);
    if (shown < order.causes.length) {
      const rest = restText(order, shown);
      this.#out.line();
      this.#line([
        paint('heading', `… and ${counted(order.causes.length - shown, 'more cause')}`),
        `${rest === '' ? ',' : ` (${rest}),`} each with what follows from it: ${this.#choice.more ?? '--limit N or --all shows them, --stat counts them'}`,
      ]);
    }
    if (timing !== undefined) printTiming(this.#out, timing, this.#choice);
  }

  head(): void {
    const { a, b, report } = this.#scene;
    for (const [name, style, side, events] of [
      ['a', 'destroyed', a, report.eventsA],
      ['b', 'created', b, report.eventsB],
    ] as const) {
      this.#line([paint(style, name), '  ', paint('name', side.opened.path)], INDENT);
      this.#line([`   ${traceText(side.opened, events)}`], INDENT);
    }
    const [mine, theirs] = [commandText(a.opened), commandText(b.opened)];
    if (mine === theirs) this.#line([paint('dim', `   ${mine}`)], INDENT);
    else
      for (const [name, text] of [
        ['a', mine],
        ['b', theirs],
      ] as const)
        this.#line([paint('dim', `   ${name} ran ${text}`)], INDENT);
    this.#line([paint(report.differences === 0 ? 'ok' : 'heading', summaryText(report))]);
    this.#notes(report);
  }

  /** What is left out, and what the comparison could not do. */
  #notes(report: Report): void {
    for (const text of ignoredLines(report)) this.#line([paint('dim', text)], 2);
    for (const text of report.limits) this.#line([paint('changed', 'note: '), text], 2);
  }

  async #cause(cause: Cause, number: number, order: Ordered): Promise<void> {
    const { a, b } = this.#scene;
    const { difference } = cause;
    this.#out.line();
    const news = newsText(cause, order);
    const known = news === '' ? [] : ['  ', paint(cause.known === undefined ? 'error' : 'ok', news)];
    this.#line([paint('heading', `${number}. ${difference.call}`), '  ', paint('changed', titleOf(cause)), ...known], INDENT);
    const mine = difference.a === 0 ? undefined : a.at(difference.a);
    const theirs = difference.b === 0 ? undefined : b.at(difference.b);
    this.#both('', mine?.line, theirs?.line);
    this.#fields(cause);
    this.#both('state', stateOf(mine), stateOf(theirs));
    const [ofA, ofB] = [cause.a, cause.b].map((view) => (view !== undefined && hasRules(view) ? view : undefined));
    this.#both('why', whyOf(ofA), whyOf(ofB));
    this.#both('rules', rulesOf(ofA, a), rulesOf(ofB, b));
    if (cause.consequences.length === 0) return this.#out.drain();
    this.#line(
      [' '.repeat(INDENT), paint('dim', consequencesText(cause.consequences, [...(mine?.made ?? []), ...(theirs?.made ?? [])]))],
      INDENT,
    );
    for (const [i, c] of (this.#choice.all ? cause.consequences : []).entries()) {
      this.#consequence(c);
      if (i % SLICE === 0) await this.#out.drain();
    }
    await this.#out.drain();
  }

  #fields(cause: Cause): void {
    const differing = toldOf(cause);
    const width = Math.min(28, Math.max(0, ...differing.map((f) => f.name.length)));
    for (const f of differing) {
      const pieces = [
        ' '.repeat(INDENT),
        paint('changed', '~ '),
        f.name.padEnd(width),
        '  ',
        paint('destroyed', valueText(f, 'a')),
        ' | ',
        paint('created', valueText(f, 'b')),
        f.answer ? '' : paint('dim', '  (asked)'),
      ];
      this.#line(pieces, INDENT + 4 + width);
    }
  }

  #consequence({ difference, link }: Consequence): void {
    const { a, b } = this.#scene;
    const mine = difference.a === 0 ? undefined : a.line(difference.a);
    const theirs = difference.b === 0 ? undefined : b.line(difference.b);
    const how = link.may ? 'may follow' : link.by === 'names' || link.by === 'ended' ? 'names it' : link.by;
    this.#line(
      [' '.repeat(INDENT), ...markOf(difference), ' ', difference.call, '  ', SORTS[difference.sort], paint('dim', `  (${how})`)],
      INDENT,
    );
    this.#both('', mine, theirs, INDENT + 2);
  }

  /** What both sides say: beside each other where there is room; once, where it is the same and speaks of neither. */
  #both(label: string, a: readonly Piece[] | undefined, b: readonly Piece[] | undefined, indent = INDENT): void {
    if (a === undefined && b === undefined) return;
    const { width } = this.#choice;
    const front = ' '.repeat(indent);
    if (width >= WIDE) {
      const name = (label === '' ? 'event' : label).padEnd(LABEL);
      const inner = width - indent - name.length;
      const of = (side: 'a' | 'b', pieces: readonly Piece[] | undefined): readonly Piece[] => [
        label === '' ? paint(side === 'a' ? 'destroyed' : 'created', `${side} `) : '',
        ...(pieces ?? [paint('dim', '-')]),
      ];
      for (const [i, pieces] of besidePieces(of('a', a), of('b', b), inner, 2).entries())
        this.#out.line(front, paint('dim', i === 0 ? name : ' '.repeat(name.length)), ...pieces);
      return;
    }
    const same = label !== '' && a !== undefined && b !== undefined && plain(a) === plain(b);
    const sides: readonly (readonly [string, Style, readonly Piece[] | undefined])[] = same
      ? [['both', 'dim', a]]
      : [
          ['a', 'destroyed', a],
          ['b', 'created', b],
        ];
    for (const [i, [name, style, pieces]] of sides.filter(([, , p]) => p !== undefined).entries()) {
      const head = label === '' ? '' : (i === 0 ? label : '').padEnd(6);
      this.#line(
        [front, paint('dim', head), paint(style, same ? name : `${name} `), same ? ' ' : '', ...pieces!],
        indent + head.length + 2,
      );
    }
  }

  #line(pieces: readonly Piece[], indent = 0): void {
    for (const l of wrapPieces(pieces, this.#choice.width, indent)) this.#out.line(...l);
  }

  stat(): void {
    const { report, timing } = this.#scene;
    const lines = [...report.stat].sort((x, y) => y.causes - x.causes || y.consequences - x.consequences || order(x) - order(y));
    const most = Math.max(1, ...lines.map((l) => l.causes + l.consequences + l.ignored), report.differences);
    const digits = Math.max('ignored'.length, String(most).length);
    const widest = Math.max(4, ...lines.map((l) => l.call.length));
    const column = digits + (SORT + widest + 4 * (digits + 2) > this.#choice.width ? 1 : 2);
    const call = Math.min(widest, Math.max(8, this.#choice.width - SORT - 4 * column));
    const row = (style: Style | undefined, sort: string, name: string, numbers: readonly (number | string)[]): void => {
      const text = numbers.map((n) => String(n).padStart(column)).join('');
      // the end of a name says more than its beginning: IOMMU_TEST_CMD …
      const fitting = name.length > call ? `…${name.slice(name.length - call + 1)}` : name.padEnd(call);
      const pieces = sort.padEnd(SORT) + fitting + text;
      this.#out.line(style === undefined ? pieces : paint(style, pieces));
    };
    row('heading', 'sort', 'call', ['causes', 'follow', 'ignored', 'all']);
    const sum = { causes: 0, consequences: 0, ignored: 0 };
    for (const l of lines) {
      row(undefined, l.sort, l.call, [l.causes, l.consequences, l.ignored, l.causes + l.consequences + l.ignored]);
      sum.causes += l.causes;
      sum.consequences += l.consequences;
      sum.ignored += l.ignored;
    }
    row('heading', 'sum', '', [sum.causes, sum.consequences, sum.ignored, sum.causes + sum.consequences + sum.ignored]);
    this.#notes(report);
    if (timing !== undefined) printTiming(this.#out, timing, this.#choice);
  }
}

const MARKS: { readonly [H in How]: Piece } = {
  [How.SAME]: ' ',
  [How.CHANGED]: paint('changed', '~'),
  [How.ONLY_A]: paint('destroyed', '-'),
  [How.ONLY_B]: paint('created', '+'),
};

function markOf(d: Difference): Piece[] {
  const numbers = d.a === 0 ? `b ${d.b}` : d.b === 0 ? `a ${d.a}` : `${d.a} | ${d.b}`;
  return [MARKS[d.how], paint('dim', ` ${numbers} `)];
}

const order = (l: StatLine): number => Object.keys(SORTS).indexOf(l.sort);
const plain = (pieces: readonly Piece[]): string => pieces.map((p) => (typeof p === 'string' ? p : p.text)).join('');
const stateOf = (facts: EventFacts | undefined): Piece[] | undefined =>
  facts === undefined || facts.objects.length === 0 ? undefined : [facts.objects.join('; ')];
const whyOf = (view: SideView | undefined): Piece[] | undefined => (view === undefined ? undefined : [whyLines(view).join('; ')]);
const rulesOf = (view: SideView | undefined, side: SideFacts): Piece[] | undefined =>
  view === undefined
    ? undefined
    : [paint(view.opinion.kind === 'disagrees' ? 'error' : 'dim', opinionText(view, side.opened.table.dialect))];
