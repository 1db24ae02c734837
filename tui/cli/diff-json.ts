/** The report of a comparison for scripts: in pieces, for what follows from one cause alone may be a million events. */
import { jsonText } from '../../hw/json-text.ts';
import type { Cause, Consequence, Difference, Report, SideView } from '../../replayer/diff/causes/report.ts';
import type { Timing } from '../../replayer/diff/timing/timing.ts';
import { differingOf, titleOf, valueText } from './diff-words.ts';
import type { Out } from './output.ts';

const seqs = (d: Difference): { seqA: number | null; seqB: number | null } => ({
  seqA: d.a === 0 ? null : d.a,
  seqB: d.b === 0 ? null : d.b,
});

/** Consequences between two waits for the reader. */
const SLICE = 512;

/** Prints the report as one line of JSON; `more` are members behind those of the report. */
export async function printJson(out: Out, report: Report, timing: Timing | undefined, more: Record<string, unknown> = {}): Promise<void> {
  let written = 0;
  for (const piece of pieces(report, timing, more)) {
    out.raw(piece);
    if (++written % SLICE === 0) await out.drain();
  }
}

function* pieces(report: Report, timing: Timing | undefined, more: Record<string, unknown>): Generator<string> {
  yield `${openText(headOf(report))},"differences":[`;
  for (const [i, cause] of report.causes.entries()) {
    yield `${i === 0 ? '' : ','}${openText(causeOf(cause))},"consequences":[`;
    for (const [j, consequence] of cause.consequences.entries()) yield `${j === 0 ? '' : ','}${jsonText(consequenceOf(consequence))}`;
    yield ']}';
  }
  yield `],${jsonText({ ...tailOf(report, timing), ...more }).slice(1)}\n`;
}

/** An object that is not closed yet. */
const openText = (value: Record<string, unknown>): string => jsonText(value).slice(0, -1);

function headOf(report: Report): Record<string, unknown> {
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
  };
}

function tailOf(report: Report, timing: Timing | undefined): Record<string, unknown> {
  return {
    ignored: Object.fromEntries(report.ignored),
    redacted: report.redacted,
    stat: report.stat.map(({ sort, ...rest }) => ({ kind: sort, ...rest })),
    limits: report.limits,
    ...(timing === undefined ? {} : { timing }),
  };
}

function causeOf(cause: Cause): Record<string, unknown> {
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
    sideA: viewOf(cause.a),
    sideB: viewOf(cause.b),
  };
}

const viewOf = (view: SideView | undefined): unknown => (view === undefined ? null : { opinion: view.opinion, why: view.why ?? null });

const consequenceOf = ({ difference, link }: Consequence): unknown => ({
  ...seqs(difference),
  kind: difference.sort,
  call: difference.call,
  by: link.by,
  may: link.may,
});
