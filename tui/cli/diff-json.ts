/** The report of a comparison for scripts. */
import type { Cause, Consequence, Difference, Report, SideView } from '../../replayer/diff/report.ts';
import type { Timing } from '../../replayer/diff/timing.ts';
import { differingOf, titleOf, valueText } from './diff-words.ts';

const seqs = (d: Difference): { seqA: number | null; seqB: number | null } => ({
  seqA: d.a === 0 ? null : d.a,
  seqB: d.b === 0 ? null : d.b,
});

export function reportJson(report: Report, timing: Timing | undefined): Record<string, unknown> {
  const [first] = report.causes;
  return {
    v: 1,
    equal: report.differences === 0,
    eventsA: report.eventsA,
    eventsB: report.eventsB,
    matched: report.matched,
    same: report.same,
    count: report.differences,
    firstDivergence:
      first === undefined
        ? null
        : { ...seqs(first.difference), what: `${first.difference.call}: ${titleOf(first)}`, kind: first.difference.sort },
    differences: report.causes.map(causeJson),
    ignored: Object.fromEntries(report.ignored),
    stat: report.stat.map(({ sort, ...rest }) => ({ kind: sort, ...rest })),
    limits: report.limits,
    ...(timing === undefined ? {} : { timing }),
  };
}

function causeJson(cause: Cause): unknown {
  const { difference, known } = cause;
  const [first] = differingOf(cause);
  return {
    ...seqs(difference),
    kind: difference.sort,
    call: difference.call,
    field: first?.name ?? null,
    a: first?.a === undefined ? null : valueText(first, 'a'),
    b: first?.b === undefined ? null : valueText(first, 'b'),
    known: known ?? null,
    fields: differingOf(cause).map((f) => ({
      name: f.name,
      answer: f.answer,
      a: f.a === undefined ? null : valueText(f, 'a'),
      b: f.b === undefined ? null : valueText(f, 'b'),
    })),
    sideA: viewJson(cause.a),
    sideB: viewJson(cause.b),
    consequences: cause.consequences.map(consequenceJson),
  };
}

const viewJson = (view: SideView | undefined): unknown => (view === undefined ? null : { opinion: view.opinion, why: view.why ?? null });

const consequenceJson = ({ difference, link }: Consequence): unknown => ({
  ...seqs(difference),
  kind: difference.sort,
  call: difference.call,
  by: link.by,
  may: link.may,
});
