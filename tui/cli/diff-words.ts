/** Words for what a comparison found: shared by text and HTML. */
import { errnoName } from '../../hw/errno.ts';
import { reasonText } from '../../hw/iommufd/reasons.ts';
import type { Cause, Consequence, Link, Report, SideView, Sort } from '../../replayer/diff/causes/report.ts';
import type { FieldPair } from '../../replayer/diff/compare.ts';
import type { Opened } from './trace.ts';

export const SORTS: { readonly [S in Sort]: string } = {
  errno: 'another errno',
  output: 'another answer',
  records: 'other records',
  hardware: 'other hardware',
  question: 'another question',
  'only-a': 'only in a',
  'only-b': 'only in b',
};

export const counted = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString('en-US')} ${n === 1 ? one : many}`;

/** A value of a field: an errno by its name; - where the event does not say it at all. */
export function valueText(field: FieldPair, side: 'a' | 'b'): string {
  const value = field[side];
  if (value === undefined) return '-';
  if (field.name !== 'errno') return value;
  return value === '0' ? 'success' : errnoName(Number(value));
}

/** What differs; of many values the errno first. */
export function differingOf(cause: Cause): FieldPair[] {
  const differing = cause.fields.filter((f) => f.differs);
  return [...differing.filter((f) => f.name === 'errno'), ...differing.filter((f) => f.name !== 'errno')];
}

/** What is told of that: what a call that failed did not bring says no more than its errno. */
export function toldOf(cause: Cause): FieldPair[] {
  const differing = differingOf(cause);
  return differing[0]?.name === 'errno' ? differing.filter((f) => f.a !== undefined && f.b !== undefined) : differing;
}

/** The heading of a cause: "another errno: ENOTTY | EOPNOTSUPP". */
export function titleOf(cause: Cause): string {
  const { sort } = cause.difference;
  const [first] = differingOf(cause);
  if (first === undefined) return SORTS[sort];
  return `${SORTS[sort]}: ${first.name === 'errno' ? '' : `${first.name} `}${valueText(first, 'a')} | ${valueText(first, 'b')}`;
}

/** Who follows how, the surest first. `made`: what the cause made, '' nothing. */
const LINKS: { readonly [B in Link['by']]: (n: number, made: string) => string } = {
  names: (n, made) =>
    `${name(n)} ${made === '' ? 'what it did not make' : `${made} or what came of ${made.includes(' or ') ? 'them' : 'it'}`}`,
  ended: (n) => `${name(n)} what it ended on one side`,
  state: (n) => `${n} ${n === 1 ? 'meets' : 'meet'} another state`,
  process: (n) => `${n} by a process of its making`,
  path: (n) => `${n} may follow`,
};
const name = (n: number): string => `${n} ${n === 1 ? 'names' : 'name'}`;

/** "70 more follow from it: 66 name VIOMMU 6 or what came of it, 4 may follow". `made`: by the events of the cause, on either side */
export function consequencesText(consequences: readonly Consequence[], made: readonly string[]): string {
  const counts = new Map<Link['by'], number>();
  for (const { link } of consequences) counts.set(link.by, (counts.get(link.by) ?? 0) + 1);
  const things = [...new Set(made)];
  const last = things.pop() ?? '';
  const said = things.length === 0 ? last : `${things.join(', ')} or ${last}`;
  const parts = (Object.keys(LINKS) as Link['by'][]).flatMap((by) => (counts.has(by) ? [LINKS[by](counts.get(by)!, said)] : []));
  const n = consequences.length;
  if (counts.size === 1 && counts.has('path')) return `${n.toLocaleString('en-US')} more may follow from it`;
  return `${n.toLocaleString('en-US')} more ${n === 1 ? 'follows' : 'follow'} from it: ${parts.join(', ')}`;
}

/** What the rules say of an answer. `why` says already what they depend on. */
export function opinionText({ opinion, why }: SideView, dialect: string): string {
  const rules = `the rules of ${dialect}`;
  switch (opinion.kind) {
    case 'agrees':
      return `as ${rules} say${opinion.but === undefined ? '' : `, but for some of the outputs: ${reasonText(opinion.but)}`}`;
    case 'disagrees': {
      const what = `${opinion.field === undefined ? '' : `${opinion.field} `}${opinion.expected === '' ? 'success' : opinion.expected}`;
      return `${rules} say ${what}${opinion.rule === '' ? '' : ` (${opinion.rule})`}`;
    }
    case 'open': {
      const because = reasonText(opinion.because);
      return `${rules} cannot tell${why?.explanation.endsWith(because) === true ? '' : `: ${because}`}`;
    }
  }
}

/** Is there anything to say of rules? An exec or a fork has none. */
export const hasRules = ({ why, opinion }: SideView): boolean => why !== undefined || opinion.kind !== 'open';

/** The rule behind an answer, in lines. */
export function whyLines(view: SideView): string[] {
  const { why } = view;
  if (why === undefined) return ['no rule explains it'];
  const head = why.errno === '' ? 'succeeds' : why.errno;
  const wanted = why.wanted === undefined ? '' : `; ${why.wanted} would pass`;
  const lines = [`${head}${why.explanation === '' ? '' : `: ${why.explanation}`}${wanted}`];
  if (why.because.length > 0) lines.push(`because of ${why.because.map((b) => b.text).join('; ')}`);
  if (why.errno === '' && why.changes.length > 0) lines.push(...why.changes);
  return lines;
}

/** Causes in the order in which a person wants them. */
export interface Ordered {
  readonly causes: readonly Cause[];
  /** how many of them, the first ones, are no known differences */
  readonly fresh: number;
  /** how many tell all that there is to tell: what is new, and one of each sort that is known */
  readonly telling: number;
  /** by the name of what is known: how many causes are that */
  readonly known: ReadonlyMap<string, number>;
}

/** What is new comes first, then the first of each known difference, then the rest; each in order of place. */
export function ordered(report: Report): Ordered {
  const known = new Map<string, number>();
  const groups: [fresh: Cause[], first: Cause[], rest: Cause[]] = [[], [], []];
  for (const cause of report.causes) {
    const seen = cause.known === undefined ? undefined : (known.get(cause.known) ?? 0);
    groups[seen === undefined ? 0 : seen === 0 ? 1 : 2].push(cause);
    if (cause.known !== undefined) known.set(cause.known, seen! + 1);
  }
  const [fresh, first] = groups;
  return { causes: groups.flat(), fresh: fresh.length, telling: fresh.length + first.length, known };
}

/** "all known: 12 ioctls, 3 order by index"; `from`: those that stand from there on */
export function restText({ causes }: Ordered, from: number): string {
  const left = causes.slice(from);
  const names = new Map<string, number>();
  for (const { known } of left) if (known !== undefined) names.set(known, (names.get(known) ?? 0) + 1);
  const fresh = left.length - [...names.values()].reduce((sum, n) => sum + n, 0);
  const said = [...names].map(([name, n]) => `${n} ${name}`).join(', ');
  const [news, olds] = [`${fresh} new`, `${fresh === 0 ? 'all ' : ''}known: ${said}`];
  return [...(fresh > 0 && names.size > 0 ? [news] : []), ...(names.size > 0 ? [olds] : [])].join(', ');
}

/** What a cause is in the light of what is known; '' where nothing can be: one kernel, or nothing that is known. */
export function newsText(cause: Cause, { known, fresh }: Ordered): string {
  if (cause.known === undefined) return known.size > 0 && fresh > 0 ? 'new' : '';
  const n = known.get(cause.known) ?? 1;
  return `known: ${cause.known}${n > 1 ? ` (one of ${n})` : ''}`;
}

/** How much there is of what. */
export function summaryText(report: Report): string {
  const { causes, differences } = report;
  const agree = `${counted(report.same, 'pair')} of events ${report.same === 1 ? 'agrees' : 'agree'}`;
  const ignored = [...report.ignored.values()].reduce((sum, n) => sum + n, 0);
  const besides = ignored === 0 ? '' : `, ${ignored.toLocaleString('en-US')} ignored`;
  if (differences === 0) return `no difference${ignored === 0 ? '' : ' left'}: ${agree}${besides}`;
  const old = causes.filter((c) => c.known !== undefined).length;
  const news = old === 0 ? '' : old === causes.length ? ' (known)' : ` (${causes.length - old} new, ${old} known)`;
  const follow = differences - causes.length;
  const follows =
    follow === 0
      ? ''
      : `, ${follow.toLocaleString('en-US')} ${follow === 1 ? 'follows' : 'follow'} from ${causes.length === 1 ? 'it' : 'them'}`;
  return `${counted(differences, 'difference')}: ${counted(causes.length, 'cause')}${news}${follows}; ${agree}${besides}`;
}

/** What is ignored, a line a rule; what no rule met is said too, and what could not be compared. */
export const ignoredLines = (report: Report): string[] => [
  ...[...report.ignored].map(
    ([rule, n]) => `ignored: ${n.toLocaleString('en-US')} by ${rule}${n === 0 ? ' (it meets no difference)' : ''}`,
  ),
  ...(report.redacted === 0 ? [] : [`not compared: ${counted(report.redacted, 'value')}, redacted`]),
];

/** A trace in a line: "Linux 6.12.117, dialect linux-6.12, x86_64, 187 events, incomplete". `told`: events as the report counts them. */
export function traceText({ meta, reader }: Opened, told = reader.last): string {
  const parts = [
    meta.kernel === '' ? 'kernel not known' : `Linux ${meta.kernel}`,
    `dialect ${meta.dialect}`,
    meta.machine,
    `${counted(reader.last, 'event')}${told < reader.last ? ` (${counted(reader.last - told, 'return')})` : ''}`,
    ...(meta.dropped > 0 ? [`${meta.dropped} dropped`] : []),
    ...(meta.complete ? [] : ['incomplete']),
  ];
  return parts.filter((p) => p !== '').join(', ');
}

/** The command of a trace, as one would type it. */
export const commandText = ({ meta }: Opened): string => (meta.command.length === 0 ? 'not known' : meta.command.join(' '));
