/** `verify`: is a trace what was recorded? */
import { verifyTrace } from '../../store/verify.ts';
import type { Run } from './commands.ts';
import { Progress, paint } from './output.ts';

/** Longest list of problems that is printed as text. */
const MOST_PROBLEMS = 50;

export const run: Run = async ([path = ''], options, io) => {
  const progress = new Progress('verifying');
  const result = verifyTrace(path, (done: number, total: number) => progress.update(done, total));
  progress.done();
  const out = io.out();
  if (options.json === true)
    out.json({ v: 1, ok: result.ok, events: result.events, complete: result.complete, digest: result.digest, problems: result.problems });
  else {
    for (const p of result.problems.slice(0, MOST_PROBLEMS)) {
      const where = p.seq !== undefined ? `event ${p.seq}: ` : p.chunk !== undefined ? `chunk ${p.chunk}: ` : '';
      out.line(paint('error', 'damaged '), where, p.text);
    }
    const more = result.problems.length - MOST_PROBLEMS;
    if (more > 0) out.line(`… and ${more} more`);
    if (result.ok)
      out.line(
        paint('ok', 'OK'),
        ` ${path}: ${result.events} events, every one as it was recorded${result.complete ? '' : '; the recording did not come to its end'}`,
      );
    else out.line(`${path}: ${result.problems.length} ${result.problems.length === 1 ? 'problem' : 'problems'} in ${result.events} events`);
  }
  return result.ok ? 0 : 1;
};
