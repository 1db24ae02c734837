/** `reduce`: the shortest session that still shows something of a recording. */
import { basename } from 'node:path';
import { checkFree, NOWHERE, writeWhole } from '../../recorder/whole-trace.ts';
import { runOnModel } from '../../replayer/program/run.ts';
import { stepText } from '../../replayer/program/text.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
import { explanationOf, hintsOf, isRefused } from '../../replayer/reduce/choose.ts';
import { difference, type JudgeOptions, type Wish } from '../../replayer/reduce/judge.ts';
import { type Found, Reducer } from '../../replayer/reduce/reduce.ts';
import type { Subject } from '../../replayer/reduce/subject.ts';
import type { Why } from '../../replayer/why.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { type Io, type Options, PROGRAM, type Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { freeName } from './free-name.ts';
import { Interrupt, inTurns, Status } from './long-work.ts';
import { paint } from './output.ts';
import { type Choice, choose, chosenSubject, programTo } from './reduce-choice.ts';
import { commandOracle } from './reduce-oracle.ts';
import { countOf, type Opened, openTrace } from './trace.ts';
import { version } from './version.ts';

/** Ended by Ctrl-C. */
const INTERRUPTED = 130;
/** Events whose numbers in the recording are kept in the new trace. */
const MOST_NUMBERS = 10_000;

export const run: Run = async ([path = ''], options, io) => {
  const keep = typeof options.keep === 'string' ? options.keep : undefined;
  const oracle = typeof options.oracle === 'string' ? options.oracle : undefined;
  if (keep === undefined && oracle === undefined)
    throw new UsageError('reduce: what shall stay?', "say it with --keep EXPR (--keep 'errno == EBUSY'), or ask a command with --oracle");
  const at = countOf('--at', options.at as string | undefined, 1);
  const opened = openTrace(path);
  const interrupt = new Interrupt();
  try {
    const output = typeof options.output === 'string' ? options.output : freeName(`${basename(path, '.irr')}-reduced`);
    checkFree(output);
    const choice = keep === undefined ? NOTHING : await choose(opened, keep, at, interrupt);
    const job = choice === undefined ? undefined : await prepared(opened, choice, oracle !== undefined, interrupt);
    if (job === undefined) return stopped(io);
    return await reduced({ opened, output, keep, oracle, options, interrupt, ...job }, io);
  } finally {
    interrupt.done();
    opened.reader.close();
  }
};

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

async function prepared(opened: Opened, choice: Choice, asksCommand: boolean, interrupt: Interrupt): Promise<Job | undefined> {
  const { seq, query, kept, otherwise } = choice;
  const program = await programTo(opened, seq === 0 ? opened.reader.last : seq, interrupt);
  if (program === undefined) return undefined;
  const subject = chosenSubject(program, seq);
  const because =
    seq === 0 || !isRefused(program.steps[subject.chosen]!.frame)
      ? undefined
      : explanationOf(opened.reader, opened.table, seq, machineOf(opened.meta));
  if (!asksCommand && kept?.what !== 'disagrees') refuseUnexplained(seq, because, opened);
  const rule = program.steps[subject.chosen]?.split === undefined && because?.rule !== '' ? because?.rule : undefined;
  const wish: Wish = {
    query,
    kept,
    rule: kept?.what === 'disagrees' ? undefined : rule,
    otherwise,
    difference: kept?.what === 'differs' ? differenceAt(opened, subject, kept.dialect) : undefined,
  };
  return { choice, subject, hints: hintsOf(program, because), wish };
}

function differenceAt(opened: Opened, subject: Subject, dialect: NonNullable<Parameters<typeof runOnModel>[1]>['dialect']): string {
  const machine = machineOf(opened.meta);
  const [a, b] = [runOnModel(subject.program, { machine }), runOnModel(subject.program, { machine, dialect })];
  return difference(a, b, subject, a.stepOf.lastIndexOf(subject.chosen));
}

function refuseUnexplained(seq: number, because: Why | undefined, { table }: Opened): void {
  if (because?.otherwise === undefined) return;
  throw new UsageError(
    `reduce: the model cannot show event ${seq}: by the rules of ${table.dialect} ${because.call} is answered otherwise (${because.otherwise})`,
    'keep the disagreement itself with --keep disagrees, or ask a kernel with --oracle',
  );
}

interface Task extends Job {
  readonly opened: Opened;
  readonly output: string;
  readonly keep: string | undefined;
  readonly oracle: string | undefined;
  readonly options: Options;
  readonly interrupt: Interrupt;
}

async function reduced(task: Task, io: Io): Promise<number> {
  const { opened, subject, hints, wish, oracle, interrupt, output } = task;
  const command = oracle === undefined ? undefined : commandOracle(oracle, metaOf(task, undefined));
  const judge: JudgeOptions = {
    wish,
    table: opened.table,
    machine: machineOf(opened.meta),
    oracle: command?.ask,
    most: opened.reader.last,
  };
  const reducer = new Reducer(subject, hints, judge);
  const status = new Status();
  try {
    await inTurns(reducer.run(), interrupt, (p) =>
      status.say(`${p.phase}: ${p.events === 0 ? 'all' : p.events} events, ${p.trials} trials`),
    );
  } finally {
    status.done();
    command?.done();
  }
  const found = reducer.best;
  if (found === undefined) {
    if (interrupt.stopped) return stopped(io);
    io.note(
      `nothing was written: ${oracle === undefined ? 'the whole session on the model does not show it' : 'by the oracle the whole session does not show it'}`,
    );
    return 1;
  }
  writeWhole(output, found.attempt.run.frames, metaOf(task, found));
  await tell(task, found, command?.unknown() ?? 0, io);
  return interrupt.stopped ? INTERRUPTED : 0;
}

/** Numbers that the events have in the recording; 0: it has none. */
const numbersOf = ({ attempt: { subject, run } }: Found): number[] => run.stepOf.map((i) => subject.was[i] ?? 0);

function metaOf({ opened, choice, keep, oracle }: Task, found: Found | undefined): TraceMeta {
  const { meta, path, reader, table } = opened;
  const machine = machineOf(meta);
  const was = found === undefined ? [] : numbersOf(found);
  return {
    ...NOWHERE,
    ...(machine === undefined ? { source: 'reduce' } : { source: 'model', modelMachine: machine }),
    tool: `${PROGRAM} ${version()}`,
    machine: meta.machine,
    command: ['reduce', basename(path)],
    dialect: table.dialect,
    reduced: {
      of: basename(path),
      digest: reader.digest,
      events: reader.last,
      keep: keep ?? null,
      seq: choice.seq === 0 ? null : choice.seq,
      oracle: oracle === undefined ? 'model' : 'command',
      trials: found?.trials ?? 0,
      was: was.length <= MOST_NUMBERS ? was : null,
    },
  };
}

async function tell(
  { opened, output, options, choice, wish, interrupt, keep }: Task,
  found: Found,
  unknown: number,
  io: Io,
): Promise<void> {
  const { attempt, trials } = found;
  const { frames } = attempt.run;
  const was = numbersOf(found);
  const { program } = attempt.result;
  const out = io.out(options.json !== true);
  const complete = !interrupt.stopped;
  if (options.json === true)
    out.json({
      v: 1,
      output,
      keep: keep ?? null,
      seq: choice.seq === 0 ? null : choice.seq,
      rule: wish.rule ?? null,
      events: frames.length,
      of: opened.reader.last,
      was,
      trials,
      unknown,
      unsure: attempt.unsure === '' ? null : attempt.unsure,
      complete,
    });
  else {
    const width = String(opened.reader.last).length;
    for (const step of program.steps) {
      const number = was[step.seq - 1] ?? 0;
      out.line(paint('dim', `${String(number === 0 ? '-' : number).padStart(width)} `), stepText(program, step, opened.table));
      await out.drain();
    }
  }
  io.note(
    `reduced ${opened.reader.last} events to ${frames.length} in ${output}${complete ? '' : ': stopped, so it may not be the shortest'}`,
  );
  if (attempt.unsure !== '')
    io.note(
      `the answer of event ${choice.seq} is as it was recorded, for the model does not know it (${attempt.unsure}): ${found.keptAll ? 'all that was done to the hardware before it stays' : 'what it rests on may be missing'}`,
    );
  if (unknown > 0) io.note(`the oracle could not tell of ${unknown} sessions`);
}
