/** `reduce`: what is said of what was found, and what the new trace says of itself. */
import { basename } from 'node:path';
import { NOWHERE } from '../../recorder/whole-trace.ts';
import { stepText } from '../../replayer/program/text.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
import type { Found } from '../../replayer/reduce/reduce.ts';
import { FRAME_AT } from '../../store/frame.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { type Io, PROGRAM } from './commands.ts';
import { type Out, paint } from './output.ts';
import type { Ending, Task } from './reduce.ts';
import { version } from './version.ts';

/** Events whose numbers in the recording are kept in the new trace. */
const MOST_NUMBERS = 10_000;

/** Numbers that the events have in the recording; 0: it has none. */
const numbersOf = ({ attempt: { subject, run } }: Found): number[] => run.stepOf.map((i) => subject.was[i] ?? 0);

/** What a trace says of itself. `found`: of the last one; the others are only for a command to look at. */
export function metaOf(task: Task, found: Found | undefined): TraceMeta {
  const { opened, choice, keep, oracle } = task;
  const { meta, path, reader, table } = opened;
  const was = found === undefined ? [] : numbersOf(found);
  return {
    ...NOWHERE,
    tool: `${PROGRAM} ${version()}`,
    machine: meta.machine,
    command: ['reduce', basename(path)],
    dialect: table.dialect,
    ...whereabouts(task, found),
    reduced: {
      of: basename(path),
      digest: reader.digest,
      events: reader.last,
      keep: keep ?? null,
      seq: choice.seq === 0 ? null : choice.seq,
      oracle: oracle !== undefined ? 'command' : task.kernel === undefined ? 'model' : 'kernel',
      trials: found?.trials ?? 0,
      was: was.length <= MOST_NUMBERS ? was : null,
    },
  };
}

/** Who answered: the model, or a machine, whose times begin with the first event. */
function whereabouts({ opened, kernel }: Task, found: Found | undefined): Partial<TraceMeta> {
  if (kernel === undefined) {
    const machine = machineOf(opened.meta);
    return machine === undefined ? { source: 'reduce' } : { source: 'model', modelMachine: machine };
  }
  const { dialect } = kernel.runner;
  const there = kernel.machine;
  if (there === undefined) return { source: 'reduce', dialect };
  const { realtimeNs, monotonicNs } = there.clock;
  const first = found?.attempt.run.frames[0]?.readBigUInt64LE(FRAME_AT.tEnter) ?? monotonicNs;
  const clock = { realtimeNs: realtimeNs + (first - monotonicNs), monotonicNs: first };
  return { ...there, clock, dialect, source: 'reduce' };
}

/** Prints the session, or the JSON, and what there is to be noted. */
export async function tell(task: Task, found: Found, ending: Ending, io: Io): Promise<void> {
  const { opened, output, options, kernel } = task;
  const { unknown, complete } = ending;
  const out = io.out(options.json !== true);
  if (options.json === true) out.json(jsonOf(task, found, ending));
  else await tellSteps(task, found, out);
  const { last } = opened.reader;
  const short = complete ? '' : ': stopped, so it may not be the shortest';
  io.note(`reduced ${last} events to ${found.attempt.run.frames.length} in ${output}${short}`);
  tellUnsure(task, found, io);
  if (unknown > 0) io.note(`the oracle could not tell of ${unknown} sessions`);
  for (const line of kernel?.lines() ?? []) io.note(line);
}

function jsonOf({ output, keep, choice, wish, opened, kernel }: Task, found: Found, { unknown, complete }: Ending): object {
  const { attempt, trials, asked } = found;
  return {
    v: 1,
    output,
    keep: keep ?? null,
    seq: choice.seq === 0 ? null : choice.seq,
    rule: wish.rule ?? null,
    events: attempt.run.frames.length,
    of: opened.reader.last,
    was: numbersOf(found),
    trials,
    unknown,
    unsure: attempt.unsure === '' ? null : attempt.unsure,
    kernel: kernel === undefined ? null : { ...kernel.json, shown: asked ?? null },
    complete,
  };
}

async function tellSteps({ opened }: Task, found: Found, out: Out): Promise<void> {
  const { program } = found.attempt.result;
  const was = numbersOf(found);
  const width = String(opened.reader.last).length;
  for (const step of program.steps) {
    const number = was[step.seq - 1] ?? 0;
    out.line(paint('dim', `${String(number === 0 ? '-' : number).padStart(width)} `), stepText(program, step, opened.table));
    await out.drain();
  }
}

/** What is not sure about it. */
function tellUnsure({ choice }: Task, { attempt, keptAll, asked }: Found, io: Io): void {
  if (attempt.unsure !== '')
    io.note(
      `the answer of event ${choice.seq} is as it was recorded, for the model does not know it (${attempt.unsure}): ${keptAll ? 'all that was done to the hardware before it stays' : 'what it rests on may be missing'}`,
    );
  if (asked !== undefined && asked.shown < asked.times)
    io.note(`the kernel does not answer alike each time: of the last ${asked.times} runs of this session ${asked.shown} showed it`);
}
