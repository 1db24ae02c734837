/** `check`: the kernel's rules against a log. */
import { DIALECTS, type DialectName } from '../../hw/uapi/table.ts';
import { type CheckReport, check } from '../../replayer/check.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
import type { Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { type Out, Progress, paint } from './output.ts';
import { openTrace } from './trace.ts';

/** A dialect by its name. */
export function dialectNamed(name: string | undefined): DialectName | undefined {
  if (name === undefined) return undefined;
  const found = DIALECTS.find((d) => d === name);
  if (found === undefined) throw new UsageError(`--model: there are no rules called "${name}"`, `rules: ${DIALECTS.join(', ')}`);
  return found;
}

const object = (counts: ReadonlyMap<string, number>): Record<string, number> => Object.fromEntries([...counts].sort((a, b) => b[1] - a[1]));

export const run: Run = async ([path = ''], options, io) => {
  const opened = openTrace(path);
  const model = dialectNamed(options.model as string | undefined);
  const progress = new Progress('checking');
  const report = check(opened.reader, opened.table, {
    ...(model === undefined ? {} : { model }),
    machine: machineOf(opened.reader.meta),
    onProgress: (seq) => progress.update(seq, opened.reader.last),
  });
  progress.done();
  opened.reader.close();
  const out = io.out();
  if (options.json === true) out.line(JSON.stringify(json(report)));
  else print(out, report);
  return report.disagreements.length > 0 ? 1 : 0;
};

function json(r: CheckReport): unknown {
  return {
    v: 1,
    model: r.model,
    events: r.events,
    predicted: r.predicted,
    agree: r.agree,
    unpredictable: object(r.unpredictable),
    unknown: object(r.unknown),
    undetermined: object(r.undetermined),
    disagreements: r.disagreements,
    lints: r.lints,
  };
}

const counted = (n: number, one: string): string => `${n.toLocaleString('en-US')} ${one}${n === 1 ? '' : 's'}`;

function print(out: Out, r: CheckReport): void {
  const rest = [...r.unpredictable.values(), ...r.unknown.values()].reduce((a, b) => a + b, 0);
  const share = r.predicted + rest === 0 ? 100 : (100 * r.predicted) / (r.predicted + rest);
  out.line(
    `${counted(r.events, 'event')} against the rules of ${r.model}: ${counted(r.predicted, 'call')} predicted (${share.toFixed(2)} %), ${r.agree.toLocaleString('en-US')} agree`,
  );
  const table = (title: string, counts: ReadonlyMap<string, number>): void => {
    if (counts.size === 0) return;
    out.line(title);
    for (const [what, n] of [...counts].sort((a, b) => b[1] - a[1])) out.line(`  ${String(n).padStart(9)}  ${what}`);
  };
  table('not predicted, because it rests on:', r.unpredictable);
  table('not predicted, because there are no rules for it:', r.unknown);
  table('outputs of predicted calls that rest on:', r.undetermined);
  for (const d of r.disagreements) {
    out.line(
      paint('error', `${d.seq} ${d.call} ${d.field}:`),
      ` the rules say ${d.predicted}, the log ${d.observed}`,
      d.reason === '' ? '' : `  (${d.rule}: ${d.reason})`,
    );
  }
  for (const l of r.lints) out.line(paint('changed', `${l.seq} ${l.rule}:`), ` ${l.text}`);
}
