/** `why`: the rule behind an answer. */
import { errnoNumber, errnoText } from '../../hw/errno.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
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
    out.line(paint('call', w.call), w.rule === '' && w.queues.length > 0 && /^(mmio|queue)/.test(w.call) ? '' : ' succeeds');
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
  for (const q of w.queues) printQueue(out, q);
}

/** A hardware queue: what is in its way, and the events that put it so. */
function printQueue(out: Out, q: Why['queues'][number]): void {
  const name = `${q.name}${q.object === 0 ? '' : ` (HW_QUEUE ${q.object})`}`;
  if (q.troubles.length === 0) {
    out.line(`  ${name}: nothing is in its way, as far as the log tells`);
    return;
  }
  for (const t of q.troubles) {
    out.line('  ', paint(t.kind === 'error' || t.kind === 'enable' ? 'error' : 'changed', t.text.replace(q.name, name)));
    for (const b of t.because) out.line(`    because  ${b.text}`);
  }
}
