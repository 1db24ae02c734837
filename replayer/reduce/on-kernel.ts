/** Parts of a session, issued on a real kernel: what is asked comes from the session, every answer from the kernel. */
import { type DialectName, uapiTable } from '../../hw/uapi/table.ts';
import { IrrError } from '../../store/errors.ts';
import { FRAME_AT, Kind } from '../../store/frame.ts';
import { type CheckReport, check } from '../check.ts';
import { align, drained } from '../diff/align/align.ts';
import type { Taken } from '../program/run.ts';
import { type Compiled, compilePlan } from '../rerun/compile.ts';
import type { Plan } from '../rerun/plan.ts';
import { framesSource } from '../script.ts';
import { renumbered, type Subject, subjectFrom } from './subject.ts';

/** What came of a part of a session, on the model or a kernel. */
export interface SessionRun {
  /** numbered from 1 */
  readonly frames: readonly Buffer[];
  /** of each frame the index of its step; -1: the session has none of it */
  readonly stepOf: readonly number[];
  /** answers that are the recording's */
  readonly taken: readonly Taken[];
  /** what the rules say to it */
  readonly report: CheckReport;
}

/** Issues a plan. The frames that it records, in order of entry; undefined: it cannot be told what comes of it. */
export type Issue = (plan: Plan) => readonly Buffer[] | undefined;

export interface KernelOptions {
  readonly issue: Issue;
  /** rules that what comes of it is held against: those of that kernel */
  readonly dialect: DialectName;
  /** also loads and stores of mapped regions */
  readonly mmio: boolean;
  /** what a call may take longer than in the recording, milliseconds */
  readonly limitMs: number;
}

export class KernelRunner {
  readonly #options: KernelOptions;
  /** events of the recording that were not issued, and why */
  readonly left = new Map<number, string>();

  constructor(options: KernelOptions) {
    this.#options = options;
  }

  get dialect(): DialectName {
    return this.#options.dialect;
  }

  /** undefined: that is no session that could have been, or it cannot be told. Throws an IrrError where the chosen step is not issued. */
  run(subject: Subject, steps: readonly number[]): SessionRun | undefined {
    const { mmio, limitMs, issue, dialect } = this.#options;
    const asked = framesOf(subject, steps);
    const part = subjectFrom(asked.frames, asked.stepOf, subject, uapiTable(subject.program.dialect));
    if (part === undefined) return undefined;
    const compiled = compilePlan(part.program, { mmio, limitMs });
    for (const { step, why } of compiled.left) this.left.set(part.was[step]!, why);
    refuseUnissued(part, compiled);
    const frames = issue(compiled.plan);
    if (frames === undefined) return undefined;
    const stepOf = partnersOf(part, frames).map((i) => (i < 0 ? -1 : asked.stepOf[part.program.steps[i]!.seq - 1]!));
    return new KernelRun(renumbered(frames), stepOf, dialect);
  }
}

/** What is not done again can never be shown. Descriptors that a call makes are told of by themselves. */
function refuseUnissued({ program, chosen, was }: Subject, { stepOf, left }: Compiled): void {
  if (chosen < 0 || stepOf.includes(chosen) || program.steps[chosen]!.kind === Kind.FD) return;
  const why = left.find(({ step }) => step === chosen)?.why ?? 'it is no call';
  throw new IrrError('not-issued', `event ${was[chosen]} is not issued on a kernel: ${why}`, {
    hint: 'the model can show it: leave --on kernel out',
  });
}

class KernelRun implements SessionRun {
  readonly frames: readonly Buffer[];
  readonly stepOf: readonly number[];
  readonly taken: readonly Taken[] = [];
  readonly #dialect: DialectName;
  #report: CheckReport | undefined;

  constructor(frames: readonly Buffer[], stepOf: readonly number[], dialect: DialectName) {
    this.frames = frames;
    this.stepOf = stepOf;
    this.#dialect = dialect;
  }

  get report(): CheckReport {
    this.#report ??= check(framesSource(this.frames, this.#dialect), uapiTable(this.#dialect));
    return this.#report;
  }
}

/** The frames of some steps as they are in the session, in their order; `stepOf`: of each its step. */
function framesOf(
  { program }: Subject,
  steps: readonly number[],
): { readonly frames: readonly Buffer[]; readonly stepOf: readonly number[] } {
  const all = steps.flatMap((index) => {
    const { seq, frame, split } = program.steps[index]!;
    if (split === undefined) return [{ seq, frame, index }];
    const entered = { seq, frame: split.entered, index };
    return split.seq === 0 ? [entered] : [entered, { seq: split.seq, frame: split.back, index }];
  });
  all.sort((a, b) => a.seq - b.seq);
  return { frames: renumbered(all.map((f) => f.frame)), stepOf: all.map((f) => f.index) };
}

/** Of each frame that was recorded the step that it is, by order and by what it asks; -1: of none. */
function partnersOf({ program }: Subject, frames: readonly Buffer[]): number[] {
  const numbers = new Map<string, number>();
  const numberOf = (kind: number, request: number): number => {
    const key = `${kind} ${request}`;
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  };
  const asked = program.steps.map((s) => numberOf(s.kind, s.request));
  const there = frames.map((f) => numberOf(f[FRAME_AT.kind]!, f.readUInt32LE(FRAME_AT.request)));
  const partners = drained(align(Int32Array.from(asked), Int32Array.from(there), { patience: false }));
  const stepOf = new Array<number>(frames.length).fill(-1);
  for (const [step, frame] of partners.entries()) if (frame >= 0) stepOf[frame] = step;
  return stepOf;
}
