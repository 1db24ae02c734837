/** `rerun --on kernel`: the plan of a recording, issued on this machine, or written for another one. */
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { rerun } from '../../recorder/rerun.ts';
import { checkFree } from '../../recorder/whole-trace.ts';
import type { Program } from '../../replayer/program/program.ts';
import { compilePlan } from '../../replayer/rerun/compile.ts';
import { encodePlan } from '../../replayer/rerun/plan.ts';
import { type Io, type Options, PROGRAM } from './commands.ts';
import { leftText, timeoutMs } from './kernel-words.ts';
import type { Opened } from './trace.ts';
import { version } from './version.ts';

export interface KernelOutcome {
  /** exit status; undefined: the trace in the output is to be compared */
  readonly status: number | undefined;
  /** a call did not return */
  readonly hung: boolean;
  readonly left: readonly { readonly seq: number; readonly why: string }[];
}

/** Issues the program, or writes its plan. `output` is made. Throws a StoreError or IrrError. */
export async function runOnKernel(a: Opened, program: Program, output: string, options: Options, io: Io): Promise<KernelOutcome> {
  const limitMs = timeoutMs('rerun', options.timeout);
  const compiled = compilePlan(program, { mmio: options.mmio === true, ...(limitMs === undefined ? {} : { limitMs }) });
  const bytes = encodePlan(compiled.plan);
  const left = compiled.left.map(({ step, why }) => ({ seq: program.steps[step]?.seq ?? 0, why }));
  const text = leftText(compiled.left.map(({ why }) => why));
  if (text !== '') io.note(text);
  if (typeof options.emitPlan === 'string') {
    checkFree(options.emitPlan);
    writeFileSync(options.emitPlan, bytes, { flag: 'wx' });
    io.note(
      `wrote the plan of ${compiled.plan.steps.length} steps to ${options.emitPlan}: irr-rerun issues it, ${PROGRAM} recover makes a trace of what that records`,
    );
    return { status: 0, hung: false, left };
  }
  const words = (['mmio', 'vfio', 'durable', 'verbose'] as const).filter((word) => options[word] === true).map((word) => `--${word}`);
  const spool = options.durable === true ? `${output}.spool` : undefined;
  const origin = { on: 'kernel', of: basename(a.path), digest: a.reader.digest };
  const meta = { command: ['rerun', basename(a.path)], source: 'rerun', rerun: origin } as const;
  const result = await rerun({ plan: bytes, output, spool, words, tool: `${PROGRAM} ${version()}`, meta });
  io.note(`reran ${result.events} events (${result.dropped} dropped) in ${output}`);
  return { status: undefined, hung: result.ended === 'hung', left };
}
