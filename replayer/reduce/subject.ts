/** A session that is being made shorter: its program, the step that is to stay, and what each step was in the recording. */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { FRAME_AT, FrameCursor, Kind, PartKind } from '../../store/frame.ts';
import type { Program, Step } from '../program/program.ts';
import { programOf } from '../program/program-of.ts';
import type { ModelRun } from '../program/run.ts';
import { framesSource } from '../script.ts';
import { Dependencies } from './dependencies.ts';

export interface Subject {
  readonly program: Program;
  /** index of the step that is to stay; -1: none has to */
  readonly chosen: number;
  /** of each step: number of its event in the recording; 0: the recording has none */
  readonly was: readonly number[];
  readonly needs: Dependencies;
  /** of each step: how many numbers in it stand for nothing, or for what nobody in the program has made */
  readonly strays: readonly number[];
}

export function subjectOf(program: Program, chosen: number, was: readonly number[]): Subject {
  return { program, chosen, was, needs: new Dependencies(program), strays: program.steps.map((s) => straysIn(program, s)) };
}

function straysIn({ symbols }: Program, step: Step): number {
  let found = 0;
  for (const { symbol, ended } of step.uses) {
    const s = symbols[symbol];
    if (ended || s === undefined || s.sort === 'nothing' || ((s.sort === 'object' || s.sort === 'fd') && s.step < 0)) found++;
  }
  return found;
}

/** The program of frames that are numbered from 1. */
function programFrom(frames: readonly Buffer[], { dialect, kernel }: Program, table: UapiTable): Program {
  const source = { ...framesSource(frames, dialect), meta: { dialect, kernel } };
  const work = programOf(source, table);
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
  }
}

/**
 * Frames that were made of a subject's, as another subject. `stepOf`: of each frame the step that it comes of, -1 none. undefined where
 * a step names what nobody has made and did not do so before, or where the chosen one is gone: that is no session that could have been.
 */
export function subjectFrom(frames: readonly Buffer[], stepOf: readonly number[], of: Subject, table: UapiTable): Subject | undefined {
  const program = programFrom(frames, of.program, table);
  const from = program.steps.map((s) => stepOf[s.seq - 1] ?? -1);
  const chosen = of.chosen < 0 ? -1 : from.indexOf(of.chosen);
  if (of.chosen >= 0 && chosen < 0) return undefined;
  const subject = subjectOf(
    program,
    chosen,
    from.map((i) => of.was[i] ?? 0),
  );
  return subject.strays.some((n, i) => n > (of.strays[from[i]!] ?? 0)) ? undefined : subject;
}

/** What came of a run, as a subject. */
export const subjectOfRun = (run: Pick<ModelRun, 'frames' | 'stepOf'>, of: Subject, table: UapiTable): Subject | undefined =>
  subjectFrom(run.frames, run.stepOf, of, table);

/** Copies of frames, numbered from 1; RETURNs name their calls by the new numbers. */
export function renumbered(frames: readonly Buffer[]): Buffer[] {
  const now = new Map<bigint, bigint>();
  return frames.map((frame, i) => {
    const copy = Buffer.from(frame);
    now.set(frame.readBigUInt64LE(FRAME_AT.seq), BigInt(i + 1));
    copy.writeBigUInt64LE(BigInt(i + 1), FRAME_AT.seq);
    const cursor = new FrameCursor().at(copy, 0);
    if (cursor.kind === Kind.RETURN && cursor.part(PartKind.ARGS) && cursor.partBytes >= 8)
      copy.writeBigUInt64LE(now.get(copy.readBigUInt64LE(cursor.partStart)) ?? 0n, cursor.partStart);
    return copy;
  });
}
