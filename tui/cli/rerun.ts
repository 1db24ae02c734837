/** `rerun`: the calls of a recording once more, and where it went otherwise. */
import { basename } from 'node:path';
import { DIALECTS, type DialectName } from '../../hw/uapi/table.ts';
import { checkFree, NOWHERE, writeWhole } from '../../recorder/whole-trace.ts';
import type { Program } from '../../replayer/program/program.ts';
import { programOf } from '../../replayer/program/program-of.ts';
import { type ModelRun, runOnModel } from '../../replayer/program/run.ts';
import { stepText } from '../../replayer/program/text.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
import { memoriesOf } from '../../replayer/rerun/memory.ts';
import { PlanHow } from '../../replayer/rerun/plan.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { type Io, type Options, PROGRAM, type Run } from './commands.ts';
import { SideFacts } from './diff-facts.ts';
import { printJson } from './diff-json.ts';
import { reportOf } from './diff-report.ts';
import { DiffText, type TextChoice } from './diff-text.ts';
import { UsageError } from './errors.ts';
import { freeName } from './free-name.ts';
import { finished } from './long-work.ts';
import { type Out, Progress, paint } from './output.ts';
import { countOf, type Opened, openTrace } from './trace.ts';
import { version } from './version.ts';

/** Columns where there is no terminal to ask. */
const COLUMNS = 80;
/** Exit status: a call did not return. */
const HUNG = 3;
/** Reasons that are told in one line. */
const REASONS = 4;

export const run: Run = async ([path = ''], options, io) => {
  const dialect = dialectOf(options);
  const opened = openTrace(path);
  try {
    if (options.dryRun === true) return await dryRun(opened, io);
    const emits = typeof options.emitPlan === 'string';
    if (emits && options.on !== 'kernel') throw new UsageError('rerun: --emit-plan goes with --on kernel', 'the model needs no plan');
    const output = typeof options.output === 'string' ? options.output : freeName(`${basename(path, '.irr')}-rerun`);
    if (!emits) checkFree(output);
    const program = finished('reading', programOf(opened.reader, opened.table), opened.reader.last);
    if (options.on === 'kernel') {
      const { runOnKernel } = await import('./rerun-kernel.ts');
      const { status, hung, left } = await runOnKernel(opened, program, output, options, io);
      return status ?? Math.max(hung ? HUNG : 0, await compared(opened, output, { left }, options, io));
    }
    const result = runOnModel(program, { dialect, machine: machineOf(opened.meta) });
    writeWhole(output, result.frames, metaOf(opened, dialect ?? program.dialect));
    io.note(`reran ${result.frames.length} events on the model of ${dialect ?? program.dialect} in ${output}`);
    const taken = takenText(result, program);
    if (taken !== '') io.note(taken);
    return await compared(opened, output, { taken: takenJson(result, program) }, options, io);
  } finally {
    opened.reader.close();
  }
};

function dialectOf({ dialect }: Options): DialectName | undefined {
  if (dialect === undefined) return undefined;
  const known = DIALECTS.find((d) => d === dialect);
  if (known === undefined) throw new UsageError(`rerun: there is no dialect ${String(dialect)}`, `one of ${DIALECTS.join(', ')}`);
  return known;
}

/** What the steps are, and what none of them does again. Nothing is issued. */
async function dryRun(opened: Opened, io: Io): Promise<number> {
  const program = finished('reading', programOf(opened.reader, opened.table), opened.reader.last);
  const out = io.out(true);
  const width = String(opened.reader.last).length;
  const several = program.processes.length > 1 || program.processes.some((p) => p.threads.length > 1);
  for (const step of program.steps) {
    const number = paint('dim', `${String(step.seq).padStart(width)} `);
    const who = several ? paint('dim', `${whoOf(program, step.process, step.thread)} `) : '';
    if (step.role === 'fact') out.line(number, who, paint('dim', `# ${stepText(program, step, opened.table)}: ${step.why}`));
    else out.line(number, who, stepText(program, step, opened.table));
    await out.drain();
  }
  for (const remark of program.remarks) {
    const step = program.steps[remark.step];
    out.line(paint('changed', '# '), step === undefined ? remark.text : `${step.seq}: ${remark.text}`);
    await out.drain();
  }
  tellRegions(program, out);
  tellHugePages(program, out);
  return 0;
}

/** "1" or, of another thread than the first, "1.2": process and thread by order. */
const whoOf = (program: Program, process: number, thread: number): string => {
  const name = program.symbols[program.processes[process]?.symbol ?? -1]?.name ?? '?';
  return thread === 0 ? name : `${name}.${thread + 1}`;
};

function tellRegions(program: Program, out: Out): void {
  for (const r of program.regions) {
    const name = program.symbols[r.symbol]?.name ?? '?';
    const holes = r.holes.map((h) => ` but 0x${h.offset.toString(16)}+0x${h.bytes.toString(16)}`).join('');
    const what = r.backing === 'nothing' ? 'where nothing is mapped' : `${r.pinned ? 'memory that is mapped for DMA' : 'memory'}${holes}`;
    out.line(paint('dim', `# ${name}: 0x${r.bytes.toString(16)} bytes, at 0x${r.start.toString(16)} in the recording: ${what}`));
  }
}

/** On a kernel. Where too few are free there, irr-rerun says so and takes others. */
function tellHugePages(program: Program, out: Out): void {
  const { at, filePages, fileBytes } = memoriesOf(program);
  const tell = (symbol: number, where: string, page: bigint): void =>
    out.line(paint('dim', `# ${program.symbols[symbol]?.name ?? '?'}: ${where} in huge pages of ${page / 1024n} KiB`));
  for (const m of at)
    if (m.how === PlanHow.HUGE)
      tell(
        m.symbol,
        `0x${m.bytes.toString(16)} bytes from 0x${m.offset.toString(16)} on, ${m.file === 0 ? 'private' : 'shared'},`,
        m.fileOffset,
      );
  for (const [symbol, page] of filePages) tell(symbol, `a file of 0x${(fileBytes.get(symbol) ?? 0n).toString(16)} bytes`, page);
}

function metaOf({ path, meta, reader }: Opened, dialect: DialectName): TraceMeta {
  const machine = machineOf(meta);
  const model = machine === undefined ? { source: 'rerun' } : { source: 'model', modelMachine: machine };
  return {
    ...NOWHERE,
    ...model,
    tool: `${PROGRAM} ${version()}`,
    machine: meta.machine,
    command: ['rerun', basename(path)],
    dialect,
    rerun: { on: 'model', of: basename(path), digest: reader.digest },
  };
}

/** What the model did not know, in one line; '' where there was nothing. */
function takenText({ taken }: ModelRun, program: Program): string {
  if (taken.length === 0) return '';
  const reasons = new Map<string, number>();
  for (const t of taken) reasons.set(t.reason, (reasons.get(t.reason) ?? 0) + 1);
  const most = [...reasons].sort((a, b) => b[1] - a[1]);
  const told = most.slice(0, REASONS).map(([reason, n]) => `${reason} (${n})`);
  if (most.length > REASONS) told.push('…');
  const calls = new Set(taken.map((t) => t.step)).size;
  return `of ${calls} of ${program.steps.length} events something is as it was recorded, for the model does not know it: ${told.join(', ')}`;
}

/** `more`: what the JSON has beside the differences. */
async function compared(a: Opened, output: string, more: object, options: Options, io: Io): Promise<number> {
  const b = openTrace(output);
  const progress = new Progress('comparing');
  const total = a.reader.last + b.reader.last;
  const report = await reportOf(a, b, {}, (at) => progress.update(Math.floor(at * total), total)).finally(() => progress.done());
  const all = options.all === true;
  const given = countOf('--limit', options.limit as string | undefined, 0);
  const out = io.out(options.json !== true);
  if (options.json === true) await printJson(out, report, undefined, { output, ...more });
  else {
    const choice: TextChoice = {
      width: process.stdout.columns ?? COLUMNS,
      limit: given ?? Number.POSITIVE_INFINITY,
      inPlace: true,
      all,
      more: 'without --limit they are shown',
    };
    await new DiffText(out, { a: new SideFacts(a), b: new SideFacts(b), report, timing: undefined }, choice).print();
  }
  b.reader.close();
  return report.differences > 0 ? 1 : 0;
}

const takenJson = ({ taken }: ModelRun, { steps }: Program): object[] =>
  taken.map(({ step, what, reason }) => ({ seq: steps[step]?.seq ?? null, what, reason }));
