/** `reduce`: the shortest session that still shows something of a recording. */
import { basename } from 'node:path';
import { checkFree, writeWhole } from '../../recorder/whole-trace.ts';
import { runOnModel } from '../../replayer/program/run.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
import { explanationOf, hintsOf, isRefused } from '../../replayer/reduce/choose.ts';
import { difference, type JudgeOptions, type Wish } from '../../replayer/reduce/judge.ts';
import { readKeep } from '../../replayer/reduce/property.ts';
import { Reducer } from '../../replayer/reduce/reduce.ts';
import type { Subject } from '../../replayer/reduce/subject.ts';
import type { Why } from '../../replayer/why.ts';
import type { Io, Options, Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { freeName } from './free-name.ts';
import { timeoutMs } from './kernel-words.ts';
import { Interrupt, inTurns, Status } from './long-work.ts';
import { type Choice, choose, chosenSubject, programTo } from './reduce-choice.ts';
import { KernelOracle, Stuck } from './reduce-kernel.ts';
import { commandOracle } from './reduce-oracle.ts';
import { metaOf, tell } from './reduce-tell.ts';
import { countOf, type Opened, openTrace } from './trace.ts';

/** Ended by Ctrl-C. */
const INTERRUPTED = 130;
/** A call did not return, and hangs. */
const HUNG = 3;

export const run: Run = async ([path = ''], options, io) => {
  const keep = typeof options.keep === 'string' ? options.keep : undefined;
  const oracle = typeof options.oracle === 'string' ? options.oracle : undefined;
  if (keep === undefined && oracle === undefined)
    throw new UsageError('reduce: what shall stay?', "say it with --keep EXPR (--keep 'errno == EBUSY'), or ask a command with --oracle");
  const at = countOf('--at', options.at as string | undefined, 1);
  checkKernelOptions(options, keep);
  const opened = openTrace(path);
  const interrupt = new Interrupt();
  let kernel: KernelOracle | undefined;
  try {
    const output = typeof options.output === 'string' ? options.output : freeName(`${basename(path, '.irr')}-reduced`);
    checkFree(output);
    const choice = keep === undefined ? NOTHING : await choose(opened, keep, at, interrupt);
    const isModel = oracle === undefined && options.on !== 'kernel';
    const job = choice === undefined ? undefined : await prepared(opened, choice, isModel, interrupt);
    if (job === undefined) return stopped(io);
    kernel = options.on === 'kernel' ? new KernelOracle(options) : undefined;
    return await reduced({ opened, output, keep, oracle, kernel, options, interrupt, ...job }, io);
  } finally {
    kernel?.done();
    interrupt.done();
    opened.reader.close();
  }
};

function checkKernelOptions(options: Options, keep: string | undefined): void {
  const other = (['mmio', 'vfio', 'timeout'] as const).find((word) => options[word] !== undefined);
  if (options.on !== 'kernel' && other !== undefined)
    throw new UsageError(`reduce: --${other} goes with --on kernel`, 'the model touches no hardware');
  timeoutMs('reduce', options.timeout);
  const kept = options.on === 'kernel' && keep !== undefined ? readKeep(keep) : undefined;
  if (typeof kept === 'object' && kept.kept?.what === 'differs')
    throw new UsageError(
      'reduce: differs(…) compares the rules of two kernels, which only the model has',
      "leave --on kernel out, or keep what this kernel answers: --keep 'errno == …'",
    );
}

/** With an oracle alone: nothing has to stay. */
const NOTHING: Choice = { seq: 0, query: { op: 'all' }, kept: undefined, otherwise: undefined };

function stopped(io: Io): number {
  io.note('stopped before anything was found; nothing was written');
  return INTERRUPTED;
}

interface Job {
  readonly choice: Choice;
  readonly subject: Subject;
  readonly hints: readonly number[];
  readonly wish: Wish;
}

async function prepared(opened: Opened, choice: Choice, isModel: boolean, interrupt: Interrupt): Promise<Job | undefined> {
  const { seq, query, kept, otherwise } = choice;
  const program = await programTo(opened, seq === 0 ? opened.reader.last : seq, interrupt);
  if (program === undefined) return undefined;
  const subject = chosenSubject(program, seq);
  const because =
    seq === 0 || !isRefused(program.steps[subject.chosen]!.frame)
      ? undefined
      : explanationOf(opened.reader, opened.table, seq, machineOf(opened.meta));
  if (isModel && kept?.what !== 'disagrees') refuseUnexplained(seq, because, opened);
  const wish: Wish = {
    query,
    kept,
    rule: kept?.what === 'disagrees' || program.steps[subject.chosen]?.split !== undefined ? undefined : ruleOf(because),
    otherwise,
    difference: kept?.what === 'differs' ? differenceAt(opened, subject, kept.dialect) : undefined,
  };
  return { choice, subject, hints: hintsOf(program, because), wish };
}

/** The rule that refused the call, where it did. */
const ruleOf = (because: Why | undefined): string | undefined =>
  because === undefined || because.rule === '' || because.otherwise !== undefined ? undefined : because.rule;

function differenceAt(opened: Opened, subject: Subject, dialect: NonNullable<Parameters<typeof runOnModel>[1]>['dialect']): string {
  const machine = machineOf(opened.meta);
  const [a, b] = [runOnModel(subject.program, { machine }), runOnModel(subject.program, { machine, dialect })];
  return difference(a, b, subject, a.stepOf.lastIndexOf(subject.chosen));
}

function refuseUnexplained(seq: number, because: Why | undefined, { table }: Opened): void {
  if (because?.otherwise === undefined) return;
  throw new UsageError(
    `reduce: the model cannot show event ${seq}: by the rules of ${table.dialect} ${because.call} is answered otherwise (${because.otherwise})`,
    'keep the disagreement itself with --keep disagrees, or ask the kernel of this machine with --on kernel',
  );
}

export interface Task extends Job {
  readonly opened: Opened;
  readonly output: string;
  readonly keep: string | undefined;
  readonly oracle: string | undefined;
  /** who answers; undefined: the model */
  readonly kernel: KernelOracle | undefined;
  readonly options: Options;
  readonly interrupt: Interrupt;
}

/** How the search ended. */
export interface Ending {
  /** it came to its end */
  readonly complete: boolean;
  /** sessions that a command could not tell of */
  readonly unknown: number;
}

async function reduced(task: Task, io: Io): Promise<number> {
  const { opened, subject, hints, wish, oracle, interrupt, output } = task;
  const command = oracle === undefined ? undefined : commandOracle(oracle, metaOf(task, undefined));
  const judge: JudgeOptions = {
    wish,
    table: opened.table,
    machine: machineOf(opened.meta),
    kernel: task.kernel?.runner,
    oracle: command?.ask,
    most: opened.reader.last,
  };
  const reducer = new Reducer(subject, hints, judge);
  const stuck = await searched(reducer, task, io).finally(() => command?.done());
  const found = reducer.best;
  if (found === undefined) {
    if (interrupt.stopped) return stopped(io);
    io.note(`nothing was written: ${failureOf(task)}`);
    return 1;
  }
  writeWhole(output, found.attempt.run.frames, metaOf(task, found));
  await tell(task, found, { complete: !interrupt.stopped && !stuck, unknown: command?.unknown() ?? 0 }, io);
  return interrupt.stopped ? INTERRUPTED : stuck ? HUNG : 0;
}

/** Searches as long as it may. Is the kernel stuck? */
async function searched(reducer: Reducer, { interrupt, kernel }: Task, io: Io): Promise<boolean> {
  const status = new Status();
  const rate = (): string => (kernel === undefined ? '' : `, ${kernel.rate} a second`);
  try {
    await inTurns(reducer.run(), interrupt, (p) =>
      status.say(`${p.phase}: ${p.events === 0 ? 'all' : p.events} events, ${p.trials} trials${rate()}`),
    );
    return false;
  } catch (error) {
    if (!(error instanceof Stuck)) throw error;
    io.note(error.message);
    return true;
  } finally {
    status.done();
  }
}

function failureOf({ oracle, kernel }: Task): string {
  if (oracle !== undefined) return 'by the oracle the whole session does not show it';
  return kernel === undefined ? 'the whole session on the model does not show it' : kernel.failure;
}
