/**
 * The shortest session that still shows something of a recording: first the steps that it can rest on, found by what calls name and
 * make; then delta debugging on these; then processes, threads and fields. Whether it is still shown, the model of the kernel says, a
 * kernel, or a command of the user's. Deterministic as far as these are.
 */
import { Kind, MMIO_SOURCE_SHIFT, MmioHow } from '../../store/frame.ts';
import type { Step } from '../program/program.ts';
import { get } from '../program/values.ts';
import { type Edited, joined, originOf } from './join.ts';
import { type Attempt, Judge, type JudgeOptions } from './judge.ts';
import { minimise } from './minimise.ts';
import { errorOf } from './property.ts';
import { type Ring, rings } from './rings.ts';
import { plainer, type Site, sitesOf, withFewer, withNumber } from './simplify.ts';
import { type Subject, subjectFrom } from './subject.ts';

/** Sessions with more events keep their numbers. */
const MOST_STEPS = 400;
/** Of the request of an access: load, store or both. */
const HOW = (1 << MMIO_SOURCE_SHIFT) - 1;
/** How often a kernel is asked the same, to see whether it answers alike each time. */
const RUNS = 3;

export type Phase = 'looking for what it rests on' | 'asking once more' | 'leaving out calls' | 'joining processes' | 'simplifying fields';

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
  /** it is something that hardware says: all that was done to it before has stayed */
  readonly keptAll: boolean;
  /** of a kernel: how often it was asked the session in the end, and how often that showed it; undefined where it was stopped before */
  readonly asked: Asked | undefined;
}

/** How often the same session was run, and how often it showed it. */
export interface Asked {
  readonly times: number;
  readonly shown: number;
}

export class Reducer {
  readonly judge: Judge;
  readonly #subject: Subject;
  readonly #hints: readonly number[];
  #best: Attempt | undefined;
  /** numbers of events that stay because hardware may rest on them, of which the model knows nothing */
  readonly #held = new Set<number>();
  #phase: Phase = 'looking for what it rests on';
  #asked: Asked | undefined;

  /** `hints`: steps that are likely to matter */
  constructor(subject: Subject, hints: readonly number[], options: JudgeOptions) {
    this.#subject = subject;
    this.#hints = hints;
    this.judge = new Judge(options);
  }

  /** The shortest session so far. */
  get best(): Found | undefined {
    if (this.#best === undefined) return undefined;
    return { attempt: this.#best, trials: this.judge.trials, keptAll: this.#held.size > 0, asked: this.#asked };
  }

  /** Makes it shorter and shorter; yields after each trial. Nothing is found where the whole session does not show it either. */
  *run(): Generator<Progress, Found | undefined> {
    yield* this.#first();
    if (this.#best === undefined) return undefined;
    if (this.judge.asksKernel && (yield* this.#again(this.#best)).shown < RUNS) this.judge.tries = RUNS;
    this.#phase = 'leaving out calls';
    yield* this.#fewer();
    for (let events = 0; events !== this.#best.run.frames.length; ) {
      events = this.#best.run.frames.length;
      this.#phase = 'joining processes';
      yield* this.#join();
      this.#phase = 'simplifying fields';
      yield* this.#simplify();
      // plainer calls may need less
      this.#phase = 'leaving out calls';
      yield* this.#fewer();
    }
    if (this.judge.asksKernel) this.#asked = yield* this.#again(this.#best);
    return this.best;
  }

  /** Runs the same some more times. */
  *#again({ subject, steps }: Attempt): Generator<Progress, Asked> {
    this.#phase = 'asking once more';
    let shown = 0;
    for (let i = 0; i < RUNS; i++) {
      if (this.judge.once(subject, steps) !== undefined) shown++;
      yield this.#now();
    }
    return { times: RUNS, shown };
  }

  #now(): Progress {
    return { phase: this.#phase, events: this.#best?.run.frames.length ?? 0, trials: this.judge.trials };
  }

  /** The first ring that shows it. Of answers that the model does not know, those that it allows count where no other is found. */
  *#first(): Generator<Progress> {
    const { chosen, program } = this.#subject;
    const step = program.steps[chosen];
    // what guests and the kernel did with hardware names no mapping
    const told = step !== undefined && isOfHardware(step) ? program.steps.flatMap((s, i) => (isToldAccess(s) ? [i] : [])) : [];
    let unsure: Attempt | undefined;
    this.judge.allowsUnsure = true;
    const all: Ring = { steps: program.steps.map((_, i) => i), isWide: true };
    for (const { steps, isWide } of step === undefined ? [all] : rings(this.#subject, chosen, [...this.#hints, ...told])) {
      // what the model does not know of some it does not know of many either
      if (unsure !== undefined && isWide) break;
      const found = this.judge.attempt(this.#subject, steps);
      if (found !== undefined && found.unsure === '') {
        this.judge.allowsUnsure = false;
        this.#best = found;
        return;
      }
      if (step !== undefined && isOfHardware(step)) unsure = found ?? unsure;
      else unsure ??= found;
      yield this.#now();
    }
    this.#best = unsure;
    if (unsure === undefined || step === undefined || !isOfHardware(step)) return;
    for (const i of unsure.steps) if (!isLook(program.steps[i]!)) this.#held.add(this.#subject.was[i]!);
  }

  #stays({ chosen, was }: Subject): ReadonlySet<number> {
    const stays = new Set(chosen < 0 ? [] : [chosen]);
    if (this.#held.size > 0) for (const [i, seq] of was.entries()) if (this.#held.has(seq)) stays.add(i);
    return stays;
  }

  /** Leaves out steps until none can be left out; what is left may have less to it as a session of its own than as a part of one. */
  *#fewer(): Generator<Progress> {
    for (;;) {
      const { subject, steps } = this.#settled();
      const work = minimise(steps, this.#stays(subject), subject.needs, (some) => this.#try(subject, some));
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

  /** Takes frames that were made of those of the shortest session in the place of it, where they show the same. */
  #edit({ frames, stepOf }: Edited, accepts: (found: Attempt) => boolean = () => true): boolean {
    const best = this.#best!;
    const subject = subjectFrom(frames, stepOf, best.result, this.judge.table);
    const found =
      subject &&
      this.judge.attempt(
        subject,
        subject.program.steps.map((_, i) => i),
      );
    if (found === undefined || !accepts(found)) return false;
    this.#best = found;
    return true;
  }

  /** Leaves as few processes and threads as can be. */
  *#join(): Generator<Progress> {
    for (let again = true; again; ) {
      again = false;
      const { result, run } = this.#best!;
      for (const edited of joined(result, run.frames)) {
        again = edited.frames.length > 0 && isOther(edited, run.frames) && this.#edit(edited);
        yield this.#now();
        if (again) break;
      }
    }
  }

  /** Makes numbers plainer, as long as every call is answered with the errno that it was answered with. */
  *#simplify(): Generator<Progress> {
    const { result, unsure } = this.#best!;
    const { steps } = result.program;
    if (steps.length > MOST_STEPS || unsure !== '' || this.judge.isOfRecording) return;
    for (const i of steps.map((step) => step.seq - 1)) {
      const step = this.#best!.result.program.steps.find((s) => s.seq - 1 === i)!;
      for (const frame of withFewer(step, this.judge.table)) {
        const { frames } = this.#best!.run;
        if (frame.length < frames[i]!.length) this.#plainer(frames.map((f, k) => (k === i ? frame : f)));
        yield this.#now();
      }
    }
    for (const sites of alike(this.#sites(), this.#best!.run.frames)) yield* this.#number(sites);
  }

  /** As plain as it can be: flags go one after another. */
  *#number(sites: readonly Site[]): Generator<Progress> {
    for (let again = true; again; ) {
      again = false;
      for (const value of plainer(this.#value(sites[0]!), sites[0]!)) {
        again = this.#plainer(withNumber(this.#best!.run.frames, sites, value));
        yield this.#now();
        if (again) break;
      }
    }
  }

  /** Places of the numbers, but for calls whose answers are the recording's. */
  #sites(): Site[] {
    const { result, run } = this.#best!;
    const taken = new Set(run.taken.map((t) => run.stepOf.indexOf(t.step)));
    return sitesOf(result, this.judge.table, taken);
  }

  #value({ frame, at, width }: Site): bigint {
    return get(this.#best!.run.frames[frame]!, { at, width });
  }

  #plainer(frames: readonly Buffer[]): boolean {
    const before = this.#best!.run;
    const stepOf = originOf(this.#best!.result.program, frames.length);
    return this.#edit(
      { frames, stepOf },
      ({ run }) =>
        run.frames.length === before.frames.length &&
        run.taken.length <= before.taken.length &&
        run.frames.every((f, i) => errorOf(f) === errorOf(before.frames[i]!)),
    );
  }
}

/** What hardware says: registers and queues that are read, events that it brings. */
const isOfHardware = ({ kind }: Step): boolean => kind === Kind.MMIO || kind === Kind.QUEUE || kind === Kind.READ;

const isToldAccess = ({ kind, role }: Step): boolean => role === 'fact' && (kind === Kind.MMIO || kind === Kind.REGION);

/** Does it only look? */
const isLook = (step: Step): boolean =>
  step.kind === Kind.QUEUE || step.kind === Kind.READ || (step.kind === Kind.MMIO && (step.request & HOW) === MmioHow.LOAD);

/** Is anything other than it was? */
const isOther = ({ frames }: Edited, before: readonly Buffer[]): boolean =>
  frames.length !== before.length || frames.some((f, i) => !f.equals(before[i]!));

/** Numbers one by one, but before that all together that are the same and no small ones: addresses and lengths that belong together. */
function* alike(sites: readonly Site[], frames: readonly Buffer[]): Generator<readonly Site[]> {
  const same = new Map<bigint, Site[]>();
  for (const site of sites) {
    const value = get(frames[site.frame]!, site);
    if (site.width !== 8 || value < 0x1000n) continue;
    same.set(value, [...(same.get(value) ?? []), site]);
  }
  for (const group of same.values()) if (group.length > 1) yield group;
  for (const site of sites) yield [site];
}
