/** `why`: the rule behind an answer. */
import { errnoNumber, errnoText } from '../../hw/errno.ts';
import { machineOf } from '../../replayer/check.ts';
import { type Why, why } from '../../replayer/why.ts';
import { dialectNamed } from './check.ts';
import type { Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { type Out, paint } from './output.ts';
import { openTrace, pointOf } from './trace.ts';

export const run: Run = async ([path = '', point = ''], options, io) => {
  const opened = openTrace(path);
  const seq = pointOf(point, opened.reader);
  const model = dialectNamed(options.model as string | undefined);
  const found = why(opened.reader, opened.table, seq, {
    ...(model === undefined ? {} : { model }),
    machine: machineOf(opened.reader.meta),
  });
  opened.reader.close();
  if (found === undefined)
    throw new UsageError(`event ${seq} is no call that there are rules for`, `iommufd-rr show ${path} ${seq} says what it is`);
  const out = io.out();
  if (options.json === true) out.line(JSON.stringify({ v: 1, ...found }));
  else print(out, found);
  return 0;
};

function print(out: Out, w: Why): void {
  if (w.errno === '') {
    out.line(paint('call', w.call), ' succeeds');
    if (w.explanation !== '') out.line(`  ${w.explanation}`);
    for (const text of w.changes) out.line(`  ${text}`);
    if (w.changes.length === 0) out.line('  and changes nothing');
  } else {
    const text = errnoText(errnoNumber(w.errno) ?? 0);
    out.line(paint('call', w.call), ' fails with ', paint('error', w.errno), text === undefined ? '' : ` (${text})`);
    out.line(`  ${w.explanation}`);
  }
  // of a success, what these rules have against it
  const otherwise = w.otherwise === undefined ? undefined : paint('error', `  the rules of this model say ${w.otherwise}`);
  if (w.errno === '' && otherwise !== undefined) out.line(otherwise);
  if (w.field !== undefined) out.line(`  field    ${w.field}`);
  if (w.wanted !== undefined) out.line(`  passes   ${w.wanted}`);
  for (const b of w.because) out.line(`  because  ${b.text}`);
  if (w.rule !== '') out.line(paint('dim', `  rule     ${w.rule}`));
  if (w.errno !== '' && otherwise !== undefined) out.line(otherwise);
}
