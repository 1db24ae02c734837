/** What each step of a program stands on: without which steps it would name what nobody has made. */
import { Found, Kind } from '../../store/frame.ts';
import { NONE, type Program, type Step } from '../program/program.ts';

export class Dependencies {
  readonly #needs: (readonly number[])[] = [];
  /** events that tell of what a call before them has made: they come and go with it */
  readonly #tells: boolean[] = [];
  /** by symbol: the steps that name or make it, ascending */
  readonly #touch: number[][] = [];
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
    const found = new Finder(program);
    for (const [index, step] of program.steps.entries()) {
      this.#needs.push(found.needs(step, index));
      this.#tells.push(step.kind === Kind.FD && step.request === Found.CREATED && this.#needs[index]!.length > 0);
      for (const list of [step.uses, step.echoes, step.defines]) for (const { symbol } of list) this.#touched(symbol, index);
    }
  }

  #touched(symbol: number, step: number): void {
    const list = this.#touch[symbol];
    if (list === undefined) this.#touch[symbol] = [step];
    else if (list.at(-1) !== step) list.push(step);
  }

  /** Steps that a step cannot do without; all are before it. */
  of(index: number): readonly number[] {
    return this.#needs[index] ?? NONE;
  }

  /** Is it an event that a call brings by itself? */
  tells(index: number): boolean {
    return this.#tells[index] === true;
  }

  /** Steps up to `last` that name a symbol or make it known. */
  touching(symbol: number, last: number): readonly number[] {
    const list = this.#touch[symbol] ?? NONE;
    return (list.at(-1) ?? 0) <= last ? list : list.filter((i) => i <= last);
  }

  /** The steps and all that they stand on, with what comes of itself; ascending. */
  closure(steps: Iterable<number>): number[] {
    const found = new Set<number>();
    const open = [...steps];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      open.push(...this.of(next));
    }
    const made = new Set(found);
    for (const step of made) for (const d of this.#program.steps[step]!.defines) this.#tellers(d.symbol, made, found);
    return [...found].sort((a, b) => a - b);
  }

  #tellers(symbol: number, made: ReadonlySet<number>, found: Set<number>): void {
    for (const i of this.#touch[symbol] ?? NONE) if (this.tells(i) && this.of(i).every((n) => made.has(n))) found.add(i);
  }

  /** Of the steps `steps` (ascending) those that can stay when `gone` are left out. */
  without(steps: readonly number[], gone: ReadonlySet<number>): number[] {
    const all = new Set(steps);
    const kept = new Set<number>();
    for (const i of steps) if (!gone.has(i) && this.of(i).every((n) => kept.has(n) || !all.has(n))) kept.add(i);
    return [...kept];
  }
}

/** Goes along the steps. */
class Finder {
  readonly #program: Program;
  /** by process: the event that began its image */
  readonly #began = new Map<number, number>();
  /** by process and symbol: the event that told that the process has the descriptor */
  readonly #told = new Map<string, number>();
  /** by open file: the message that it was last sent in */
  readonly #sent = new Map<number, number>();

  constructor(program: Program) {
    this.#program = program;
  }

  needs(step: Step, index: number): readonly number[] {
    const { symbols, processes } = this.#program;
    const needs = new Set<number>();
    const add = (n: number | undefined): void => {
      if (n !== undefined && n >= 0 && n < index) needs.add(n);
    };
    add(this.#began.get(step.process) ?? processes[step.process]?.forkStep);
    for (const list of [step.uses, step.echoes]) {
      for (const { symbol, ended } of list) {
        add(symbols[symbol]?.step);
        // what names a thing that has ended is to name one that has been
        if (ended) add(symbols[symbol]?.ended);
        if (symbols[symbol]?.sort === 'fd') add(this.#told.get(`${step.process} ${symbol}`));
      }
    }
    if (step.kind === Kind.START) {
      add(processes[step.process]?.forkStep);
      this.#began.set(step.process, index);
    } else if (step.kind === Kind.SENDFD) this.#sent.set(step.file, index);
    else if (step.kind === Kind.FD && step.request !== Found.CREATED) this.#found(step, index, add);
    return needs.size === 0 ? NONE : [...needs];
  }

  #found(step: Step, index: number, add: (n: number | undefined) => void): void {
    if (step.request === Found.RECEIVED) add(this.#sent.get(step.file));
    for (const list of [step.uses, step.echoes, step.defines])
      for (const { symbol } of list) this.#told.set(`${step.process} ${symbol}`, index);
  }
}
