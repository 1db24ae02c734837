/** Does a part of a session still show what it is to show? */
import type { MachineName } from '../../hw/iommufd/machine.ts';
import { type DialectName, type UapiTable, uapiTable } from '../../hw/uapi/table.ts';
import { FrameCursor, Kind, PartKind } from '../../store/frame.ts';
import { type ModelRunOptions, runOnModel } from '../program/run.ts';
import { repeats } from '../program/values.ts';
import type { Query } from '../query.ts';
import { framesSource } from '../script.ts';
import { wholeCalls } from '../whole-calls.ts';
import { why } from '../why.ts';
import type { KernelRunner, SessionRun } from './on-kernel.ts';
import { errorOf, type Kept, meets } from './property.ts';
import { type Subject, subjectOfRun } from './subject.ts';

/** What is kept, as the recording has it. */
export interface Wish {
  /** what the chosen event is to meet */
  readonly query: Query;
  readonly kept: Kept | undefined;
  /** the rule that refused the call: another that gives the same errno is another thing. undefined: any */
  readonly rule: string | undefined;
  /** with `disagrees`: field and rule of what the rules say otherwise */
  readonly otherwise: { readonly field: string; readonly rule: string } | undefined;
  /** with `differs`: what the other kernel answers, as errnos; see {@link difference} */
  readonly difference: string | undefined;
}

/** Part of a subject that shows it. */
export interface Attempt {
  readonly subject: Subject;
  /** indexes of the steps, ascending */
  readonly steps: readonly number[];
  readonly run: SessionRun;
  /** index of the frame that the chosen step ends with; -1: none has to be there */
  readonly at: number;
  /** the same as a subject of its own: all its steps are what `steps` are */
  readonly result: Subject;
  /** why the model does not know the answer of the chosen step, which is the recording's then; '' it knows */
  readonly unsure: string;
}

/** A command of the user's that is asked. undefined: it cannot tell */
export type Oracle = (frames: readonly Buffer[]) => boolean | undefined;

export interface JudgeOptions {
  readonly wish: Wish;
  readonly table: UapiTable;
  readonly machine: MachineName | undefined;
  /** answers instead of the model */
  readonly kernel?: KernelRunner | undefined;
  /** asked instead of the wish */
  readonly oracle: Oracle | undefined;
  /** most events that a result may have */
  readonly most: number;
}

export class Judge {
  readonly #options: JudgeOptions;
  /** parts that were run */
  trials = 0;
  /** answers that are the recording's are as good as the model's, which has none of its own */
  allowsUnsure = false;
  /** how often a part is run until it shows it: more than once where a kernel answers otherwise from run to run */
  tries = 1;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  get table(): UapiTable {
    return this.#options.table;
  }

  /** The answer of the chosen step is the recording's, to what was asked there. */
  get isOfRecording(): boolean {
    return this.#options.wish.kept?.what === 'disagrees' && !this.asksKernel;
  }

  get asksKernel(): boolean {
    return this.#options.kernel !== undefined;
  }

  /** Whose rules what comes of a run is held against. */
  get #rules(): UapiTable {
    const { kernel, table } = this.#options;
    return kernel === undefined ? table : uapiTable(kernel.dialect);
  }

  /** Runs some steps; undefined where what comes of it does not show it, or is no session that could have been. */
  attempt(subject: Subject, steps: readonly number[]): Attempt | undefined {
    for (let i = 0; i < this.tries; i++) {
      const found = this.once(subject, steps);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The same, run once. */
  once(subject: Subject, steps: readonly number[]): Attempt | undefined {
    this.trials++;
    const { wish, oracle, most, table, kernel } = this.#options;
    const run = kernel === undefined ? this.#onModel(subject, steps) : kernel.run(subject, steps);
    if (run === undefined) return undefined;
    const at = run.stepOf.lastIndexOf(subject.chosen < 0 ? Number.NaN : subject.chosen);
    if (run.frames.length > most || (subject.chosen >= 0 && at < 0)) return undefined;
    const unsure = wish.kept === undefined && kernel === undefined ? unsureOf(run, subject) : '';
    if (oracle === undefined && (!this.#shows(subject, steps, run, at) || (unsure !== '' && !this.allowsUnsure))) return undefined;
    const result = subjectOfRun(run, subject, table);
    if (result === undefined) return undefined;
    const ok = oracle === undefined ? this.#isByRule(run, subject.chosen) : oracle(run.frames) === true;
    return ok ? { subject, steps, run, at, result, unsure } : undefined;
  }

  #onModel(subject: Subject, steps: readonly number[], dialect?: DialectName): SessionRun {
    const options: ModelRunOptions = { steps, machine: this.#options.machine, dialect };
    return runOnModel(subject.program, this.isOfRecording ? { ...options, recorded: subject.chosen } : options);
  }

  #shows(subject: Subject, steps: readonly number[], run: SessionRun, at: number): boolean {
    const { wish } = this.#options;
    const frames = framesOf(run, subject.chosen);
    if (!frames.some((i) => meets(wish.query, run, i, this.#rules.dialect))) return false;
    const { kept } = wish;
    switch (kept?.what) {
      case undefined:
        return true;
      case 'lint':
        return run.report.lints.some((l) => l.rule === kept.rule && frames.includes(l.seq - 1));
      case 'disagrees':
        return run.report.disagreements.some(
          (d) => frames.includes(d.seq - 1) && d.field === wish.otherwise?.field && d.rule === wish.otherwise.rule,
        );
      case 'differs':
        return difference(run, this.#onModel(subject, steps, kept.dialect), subject, at) === wish.difference;
    }
  }

  /** Is it the same rule that refuses the call? */
  #isByRule(run: SessionRun, chosen: number): boolean {
    const { wish, machine } = this.#options;
    if (wish.rule === undefined) return true;
    const rules = this.#rules;
    const source = wholeCalls(framesSource(run.frames, rules.dialect));
    const [at = 0] = framesOf(run, chosen);
    return why(source, rules, at + 1, { machine })?.rule === wish.rule;
  }
}

/** The frames of a step: two of a call that was stored before it returned. */
function framesOf(run: SessionRun, step: number): number[] {
  const first = run.stepOf.indexOf(step);
  const last = run.stepOf.lastIndexOf(step);
  return first < 0 ? [] : first === last ? [last] : [first, last];
}

/** Why the chosen step is as it was recorded, whatever was before it. */
function unsureOf(run: SessionRun, { program, chosen }: Subject): string {
  if (program.steps[chosen]?.kind === Kind.QUEUE) return 'registers of hardware';
  return run.taken.find((t) => t.step === chosen && t.what === 'answer')?.reason ?? '';
}

/** How two kernels answer a step: '' alike. `at`: index of its frame in `a`. */
export function difference(a: SessionRun, b: SessionRun, subject: Subject, at: number): string {
  return differenceOf(a.frames[at], b.frames[b.stepOf.lastIndexOf(subject.chosen)], subject);
}

function differenceOf(frame: Buffer | undefined, other: Buffer | undefined, subject: Subject): string {
  if (frame === undefined || other === undefined) return '';
  const [x, y] = [errorOf(frame), errorOf(other)];
  if (x !== y) return `errno ${x} ${y}`;
  const fields = differingBytes(frame, other, subject);
  return fields.length === 0 ? '' : `bytes ${fields[0]}`;
}

/** Offsets in part OUT of what differs and is no number that a kernel gives as it likes. */
function differingBytes(a: Buffer, b: Buffer, { program, chosen }: Subject): number[] {
  const [x, y] = [a, b].map((frame) => {
    const cursor = new FrameCursor().at(frame, 0);
    return cursor.kind === Kind.IOCTL && cursor.part(PartKind.OUT)
      ? { start: cursor.partStart, bytes: frame.subarray(cursor.partStart, cursor.partStart + cursor.partBytes) }
      : undefined;
  });
  if (x === undefined || y === undefined) return [];
  const step = program.steps[chosen]!;
  const given = [...step.defines, ...step.echoes, ...repeats(step).map(({ at, use }) => ({ at, width: use.width }))];
  const found: number[] = [];
  for (let i = 0; i < Math.min(x.bytes.length, y.bytes.length); i++) {
    const at = x.start + i;
    if (x.bytes[i] !== y.bytes[i] && !given.some((g) => g.at <= at && at < g.at + g.width)) found.push(i);
  }
  return found;
}

/** The steps, by index, that the rules of another kernel answer otherwise, ascending; all of a subject is run twice. */
export function differing(subject: Subject, dialect: DialectName, machine: MachineName | undefined): number[] {
  const [a, b] = [runOnModel(subject.program, { machine }), runOnModel(subject.program, { machine, dialect })];
  const last = new Map(b.stepOf.map((step, i) => [step, b.frames[i]]));
  const found: number[] = [];
  for (const [at, step] of a.stepOf.entries())
    if (step >= 0 && differenceOf(a.frames[at], last.get(step), { ...subject, chosen: step }) !== '') found.push(step);
  return found;
}
