/**
 * Is a recording good or bad, measured against one that is known to be good? The answer is an exit status for `git bisect run`:
 * 0 good, 1 bad, 125 cannot tell, 128 for what must end the bisection (git stops at 128 and more, and would take 2 for bad).
 */

import type { Cause, Difference, Report } from '../../replayer/diff/causes/report.ts';
import { How } from '../../replayer/diff/compare.ts';
import { FrameCursor, Kind } from '../../store/frame.ts';
import { differingOf, titleOf, valueText } from './diff-words.ts';
import type { Opened } from './trace.ts';

export const Verdict = { GOOD: 0, BAD: 1, SKIP: 125, STOP: 128 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export interface Judged {
  readonly verdict: Verdict;
  /** why, in a sentence */
  readonly text: string;
}

/** The first event that the recording does not have: behind it, what is missing says nothing. */
export function endOfKnown({ reader, meta }: Opened): number {
  const cursor = new FrameCursor();
  if (meta.dropped > 0 || !meta.complete) {
    for (const batch of reader.scan(1)) {
      for (let i = 0; i < batch.count; i++) {
        if (cursor.at(batch.buffer, batch.offsets[i]!).kind === Kind.GAP) return batch.first + i;
      }
    }
    // nobody knows where something is missing, or only at the end
    if (meta.dropped > 0) return 1;
  }
  return meta.complete ? Number.POSITIVE_INFINITY : reader.last + 1;
}

/** Before anything is compared: what can be told of none of the two. */
export function judgeable(good: Opened, next: Opened): Judged | undefined {
  const skip = (text: string): Judged => ({ verdict: Verdict.SKIP, text });
  if (next.reader.last === 0) return skip('nothing was recorded');
  const [x, y] = [programOf(good), programOf(next)];
  if (x !== undefined && y !== undefined && x !== y) return skip(`it is another program: ${y}, not ${x}`);
  return undefined;
}

/** The program and its arguments, wherever it lies. */
function programOf({ meta }: Opened): string | undefined {
  const [program, ...args] = meta.command;
  return program === undefined ? undefined : [program.replace(/^.*\//, ''), ...args].join(' ');
}

interface Ends {
  readonly a: number;
  readonly b: number;
}

/** A difference that nothing missing in a recording can have made: both answered, and before anything is missing. */
function isSure(d: Difference, ends: Ends): boolean {
  return isWhole(ends) || (d.how === How.CHANGED && d.sort !== 'question' && d.a < ends.a && d.b < ends.b);
}

/** Any difference is bad. */
export function judge(report: Report, good: Opened, next: Opened): Judged {
  const early = judgeable(good, next);
  if (early !== undefined) return early;
  const ends = { a: endOfKnown(good), b: endOfKnown(next) };
  if (report.differences === 0) {
    const { same } = report;
    if (isWhole(ends)) return { verdict: Verdict.GOOD, text: `it does the same: ${same} pairs of events agree` };
    return { verdict: Verdict.SKIP, text: `it agrees as far as it goes, but ${missing(ends)} is not whole` };
  }
  const sure = report.causes.find((c) => isSure(c.difference, ends));
  if (sure !== undefined) return { verdict: Verdict.BAD, text: said(sure) };
  return { verdict: Verdict.SKIP, text: `it differs, but ${missing(ends)} is not whole, and what is missing may be the reason` };
}

const isWhole = (ends: Ends): boolean => ends.a === Number.POSITIVE_INFINITY && ends.b === Number.POSITIVE_INFINITY;
const missing = (ends: Ends): string => (ends.b === Number.POSITIVE_INFINITY ? 'the good recording' : 'the recording');

function said(cause: Cause): string {
  const { a, b, call } = cause.difference;
  return `${call}: ${titleOf(cause)} (event ${b === 0 ? `${a} of the good one` : b})`;
}

/** Only the first divergence of a bad recording counts: does the next one part from the good one there, and in the same way? */
export function judgeLike(bad: Report, next: Report, goodOpened: Opened, nextOpened: Opened): Judged {
  const early = judgeable(goodOpened, nextOpened);
  if (early !== undefined) return early;
  const [wanted] = bad.causes;
  if (wanted === undefined)
    return { verdict: Verdict.STOP, text: 'the bad recording does not differ from the good one: there is nothing to look for' };
  const ends = { a: endOfKnown(goodOpened), b: endOfKnown(nextOpened) };
  const what = said(wanted);
  const skip = (text: string): Judged => ({ verdict: Verdict.SKIP, text });
  const { difference: d } = wanted;
  if (d.how === How.ONLY_B) {
    if (allOf(next).some((x) => x.how === How.ONLY_B && x.call === d.call)) return { verdict: Verdict.BAD, text: what };
    return isWhole(ends)
      ? { verdict: Verdict.GOOD, text: `it does not have this: ${what}` }
      : skip(`it is not whole, and does not have this: ${what}`);
  }
  const there = allOf(next).find((x) => x.a === d.a);
  if (there === undefined)
    return { verdict: Verdict.GOOD, text: `it agrees with the good one at event ${d.a}, where the bad one does not: ${what}` };
  if (there.how === d.how && d.how === How.ONLY_A) {
    return isWhole(ends) ? { verdict: Verdict.BAD, text: what } : skip('it is not whole, and did not come to the first divergence');
  }
  if (there.how === How.ONLY_A) return skip(`it did not come to the first divergence: ${what}`);
  const own = next.causes.find((c) => c.difference.a === d.a);
  if (own === undefined) return skip('it parts from the good one before the first divergence, and there differs as a consequence');
  if (answersOf(own) === answersOf(wanted)) return { verdict: Verdict.BAD, text: what };
  return skip(`it answers as neither of the two does: ${said(own)}`);
}

function allOf(report: Report): Difference[] {
  return report.causes.flatMap((c) => [c.difference, ...c.consequences.map((x) => x.difference)]);
}

/** What b answers, where it differs: of an errno nothing else matters. */
function answersOf(cause: Cause): string {
  const differing = differingOf(cause);
  return (differing[0]?.name === 'errno' ? differing.slice(0, 1) : differing).map((f) => `${f.name}=${valueText(f, 'b')}`).join(' ');
}
