/** Words for what a comparison found: shared by text and HTML. */
import { errnoName } from '../../hw/errno.ts';
import type { FieldPair } from '../../replayer/diff/compare.ts';
import type { Cause, Consequence, Link, Opinion, Report, SideView, Sort } from '../../replayer/diff/report.ts';
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

/** What the rules say of an answer. */
export function opinionText(opinion: Opinion, dialect: string): string {
  const rules = `the rules of ${dialect}`;
  switch (opinion.kind) {
    case 'agrees':
      return `as ${rules} say${opinion.but === undefined ? '' : `, as far as they go: ${opinion.but}`}`;
    case 'disagrees': {
      const what = `${opinion.field === undefined ? '' : `${opinion.field} `}${opinion.expected === '' ? 'success' : opinion.expected}`;
      return `${rules} say ${what}${opinion.rule === '' ? '' : ` (${opinion.rule})`}`;
    }
    case 'open':
      return `${rules} cannot tell: ${opinion.because}`;
  }
}

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

/** How much there is of what. */
export function summaryText(report: Report): string {
  const { causes, differences } = report;
  const agree = `${counted(report.same, 'pair')} of events ${report.same === 1 ? 'agrees' : 'agree'}`;
  const ignored = [...report.ignored.values()].reduce((sum, n) => sum + n, 0);
  const besides = ignored === 0 ? '' : `, ${ignored.toLocaleString('en-US')} ignored`;
  if (differences === 0) return `no difference${ignored === 0 ? '' : ' left'}: ${agree}${besides}`;
  const follow = differences - causes.length;
  const follows =
    follow === 0
      ? ''
      : `, ${follow.toLocaleString('en-US')} ${follow === 1 ? 'follows' : 'follow'} from ${causes.length === 1 ? 'it' : 'them'}`;
  return `${counted(differences, 'difference')}: ${counted(causes.length, 'cause')}${follows}; ${agree}${besides}`;
}

/** What is ignored, a line a rule; what no rule met is said too. */
export const ignoredLines = (report: Report): string[] =>
  [...report.ignored].map(([rule, n]) => `ignored: ${n.toLocaleString('en-US')} by ${rule}${n === 0 ? ' (it meets no difference)' : ''}`);

/** A trace in a line: "Linux 6.12.117, dialect linux-6.12, x86_64, 187 events, incomplete". */
export function traceText({ meta, reader }: Opened): string {
  const parts = [
    meta.kernel === '' ? 'kernel not known' : `Linux ${meta.kernel}`,
    `dialect ${meta.dialect}`,
    meta.machine,
    counted(reader.last, 'event'),
    ...(meta.dropped > 0 ? [`${meta.dropped} dropped`] : []),
    ...(meta.complete ? [] : ['incomplete']),
  ];
  return parts.filter((p) => p !== '').join(', ');
}

/** The command of a trace, as one would type it. */
export const commandText = ({ meta }: Opened): string => (meta.command.length === 0 ? 'not known' : meta.command.join(' '));
