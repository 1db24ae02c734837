/**
 * The shortest session that still shows something of a recording: first the steps that it can rest on, found by what calls name and
 * make; then delta debugging on these; then processes, threads and fields. Whether it is still shown, the model of the kernel says,
 * or a command of the user's. Deterministic.
 */
import { type Attempt, Judge, type JudgeOptions } from './judge.ts';
import { minimise } from './minimise.ts';
import { rings } from './rings.ts';
import type { Subject } from './subject.ts';

export type Phase = 'looking for what it rests on' | 'leaving out calls' | 'joining processes' | 'simplifying fields';

export interface Progress {
  readonly phase: Phase;
  /** events of the shortest session so far; 0: none has been found */
  readonly events: number;
  /** parts that were run so far */
  readonly trials: number;
}

export interface Found {
  /** the last attempt that showed it */
  readonly attempt: Attempt;
  readonly trials: number;
}

export class Reducer {
  readonly judge: Judge;
  readonly #subject: Subject;
  readonly #hints: readonly number[];
  #best: Attempt | undefined;
  #phase: Phase = 'looking for what it rests on';

  /** `hints`: steps that are likely to matter */
  constructor(subject: Subject, hints: readonly number[], options: JudgeOptions) {
    this.#subject = subject;
    this.#hints = hints;
    this.judge = new Judge(options);
  }

  /** The shortest session so far. */
  get best(): Found | undefined {
    return this.#best === undefined ? undefined : { attempt: this.#best, trials: this.judge.trials };
  }

  /** Makes it shorter and shorter; yields after each trial. Nothing is found where the whole session does not show it either. */
  *run(): Generator<Progress, Found | undefined> {
    yield* this.#first();
    if (this.#best === undefined) return undefined;
    this.#phase = 'leaving out calls';
    yield* this.#fewer();
    return this.best;
  }

  #now(): Progress {
    return { phase: this.#phase, events: this.#best?.run.frames.length ?? 0, trials: this.judge.trials };
  }

  /** The first ring that shows it. Of answers that the model does not know, those that it allows count where no other is found. */
  *#first(): Generator<Progress> {
    const { chosen, program } = this.#subject;
    const last = chosen < 0 ? program.steps.length - 1 : chosen;
    let unsure: Attempt | undefined;
    this.judge.allowsUnsure = true;
    for (const steps of chosen < 0 ? [program.steps.map((_, i) => i)] : rings(this.#subject, last, this.#hints)) {
      // the model would not know it of all of them either
      if (unsure !== undefined && steps.length === last + 1) break;
      const found = this.judge.attempt(this.#subject, steps);
      if (found !== undefined && found.unsure === '') {
        this.judge.allowsUnsure = false;
        this.#best = found;
        return;
      }
      unsure ??= found;
      yield this.#now();
    }
    this.#best = unsure;
  }

  /** Leaves out steps until none can be left out; what is left may have less to it as a session of its own than as a part of one. */
  *#fewer(): Generator<Progress> {
    for (;;) {
      const { subject, steps } = this.#settled();
      const work = minimise(steps, subject.chosen, subject.needs, (some) => this.#try(subject, some));
      let next = work.next();
      for (; next.done !== true; next = work.next()) yield this.#now();
      if (next.value.length === steps.length) return;
    }
  }

  /** The shortest session as a subject of its own, where it shows the same by itself. */
  #settled(): Pick<Attempt, 'subject' | 'steps'> {
    const best = this.#best!;
    const all = best.result.program.steps.map((_, i) => i);
    const again = this.judge.attempt(best.result, all);
    if (again !== undefined) this.#best = again;
    return again ?? best;
  }

  #try(subject: Subject, steps: readonly number[]): boolean {
    const found = this.judge.attempt(subject, steps);
    if (found === undefined) return false;
    this.#best = found;
    return true;
  }
}
