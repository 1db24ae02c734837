/** Fewer processes and threads: what one of them does, another does in its place. */
import { Found, FRAME_AT, FrameCursor, Kind, PartKind, Start } from '../../store/frame.ts';
import type { Program, ProgramProcess, Step } from '../program/program.ts';
import { renumbered, type Subject } from './subject.ts';

/** Frames for another try, and of each the step that it comes of. */
export interface Edited {
  readonly frames: readonly Buffer[];
  readonly stepOf: readonly number[];
}

/** Ways to have fewer of them, of a subject whose frames are `frames`: the likeliest first. Each is of the subject as it is. */
export function* joined(subject: Subject, frames: readonly Buffer[]): Generator<Edited> {
  const { program } = subject;
  const origin = originOf(program, frames.length);
  // a child of a child first
  for (const child of program.processes.toReversed()) {
    const parent = program.processes[child.parent];
    if (parent !== undefined) yield intoParent(program, frames, origin, child, parent);
  }
  for (const process of program.processes) {
    if (process.threads.length > 1) yield mapped(frames, origin, (f) => (pidOf(f) === process.pid ? withThread(f, process.pid) : f));
    yield mapped(frames, origin, (f, step) => (isAgain(program.steps[step], process.index, program) ? undefined : f));
  }
  for (const [index, step] of program.steps.entries())
    if (step.split !== undefined && step.split.seq > 0) yield whole(step, index, frames, origin);
}

/** Of each frame the step that it is of; a RETURN is of its call. */
export function originOf(program: Program, count: number): number[] {
  const origin = new Array<number>(count).fill(-1);
  for (const [i, step] of program.steps.entries()) {
    origin[step.seq - 1] = i;
    if (step.split !== undefined && step.split.seq > 0) origin[step.split.seq - 1] = i;
  }
  return origin;
}

type Change = (frame: Buffer, step: number) => Buffer | undefined;

/** Copies of the frames with a change; undefined leaves one out. */
function mapped(frames: readonly Buffer[], origin: readonly number[], change: Change): Edited {
  const kept: Buffer[] = [];
  const stepOf: number[] = [];
  for (const [i, frame] of frames.entries()) {
    const changed = change(frame, origin[i]!);
    if (changed === undefined) continue;
    kept.push(changed);
    stepOf.push(origin[i]!);
  }
  return { frames: renumbered(kept), stepOf };
}

const pidOf = (frame: Buffer): number => frame.readUInt32LE(FRAME_AT.pid);

function withThread(frame: Buffer, pid: number): Buffer {
  const copy = Buffer.from(frame);
  copy.writeUInt32LE(pid, FRAME_AT.pid);
  copy.writeUInt32LE(pid, FRAME_AT.tid);
  return copy;
}

/** What a child does, its parent does; that there was a child is not told any more. */
function intoParent(
  program: Program,
  frames: readonly Buffer[],
  origin: readonly number[],
  child: ProgramProcess,
  parent: ProgramProcess,
): Edited {
  return mapped(frames, origin, (frame, index) => {
    const step = program.steps[index];
    if (index === child.forkStep) return undefined;
    if (step?.process !== child.index) return step?.kind === Kind.START ? withParent(frame, child.pid, parent.pid) : frame;
    if (step.kind === Kind.START || step.kind === Kind.EXIT || step.kind === Kind.EXEC) return undefined;
    if (step.kind === Kind.FD && step.request === Found.INHERITED) return undefined;
    return withThread(frame, parent.pid);
  });
}

/** A START that names its parent. */
function withParent(frame: Buffer, from: number, to: number): Buffer {
  const cursor = new FrameCursor().at(frame, 0);
  if (!cursor.part(PartKind.ARGS) || cursor.partBytes < 8 || frame.readBigUInt64LE(cursor.partStart) !== BigInt(from)) return frame;
  const copy = Buffer.from(frame);
  copy.writeBigUInt64LE(BigInt(to), cursor.partStart);
  return copy;
}

/** Another program that a process executes: its descriptors are those of before. */
const isAgain = (step: Step | undefined, process: number, { steps }: Program): boolean =>
  step?.process === process &&
  (step.kind === Kind.EXEC ||
    (step.kind === Kind.START && step.request === Start.EXEC && steps.find((s) => s.process === process) !== step) ||
    (step.kind === Kind.FD && step.request === Found.INHERITED && steps.find((s) => s.process === process)?.kind === Kind.START));

/** A call that was stored before it had returned: as if nothing had happened meanwhile. */
function whole(step: Step, index: number, frames: readonly Buffer[], origin: readonly number[]): Edited {
  const back = (step.split?.seq ?? 0) - 1;
  const order = frames.map((_, i) => i).filter((i) => i !== step.seq - 1);
  const kept = order.map((i) => (i === back ? Buffer.from(step.frame) : frames[i]!));
  // numbered as its place says, not as it was entered
  const at = order.indexOf(back);
  kept[at]?.writeBigUInt64LE(BigInt(back + 1), FRAME_AT.seq);
  return { frames: renumbered(kept), stepOf: order.map((i) => (i === back ? index : origin[i]!)) };
}
