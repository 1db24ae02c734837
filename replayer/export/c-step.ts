/** What the C of every step is made of: its numbers as they are written, the check of what it answers. */
import { errnoName } from '../../hw/errno.ts';
import { PartFlag, PartKind } from '../../store/frame.ts';
import { fdUse, type Step, whereIs } from '../program/program.ts';
import { type Numbers, plain } from './c-numbers.ts';
import { wordOf } from './parts.ts';

/** How a program says what it expects: plain C, or the kernel's test harness. */
export interface Style {
  /** statements: the call answers as it did. `error` '0': it succeeds, and its value goes `to` a variable where there is one */
  expect(error: string, seq: number, call: string, to: string | undefined): readonly string[];
  /** a statement: a number of the answer is as it was */
  same(seq: number, value: string, recorded: string): string;
}

/** C of one step, without indentation. */
export interface Statement {
  readonly declare: readonly string[];
  readonly lines: readonly string[];
  /** said behind the number of the event */
  readonly notes: readonly string[];
}

export const note = (text: string): Statement => ({ declare: [], lines: [], notes: text === '' ? [] : [text] });

export interface Surroundings {
  readonly style: Style;
  readonly numbers: Numbers;
  /** symbols that steps ask with, so that their values are to be kept */
  readonly wanted: ReadonlySet<number>;
  /** the process that a fork begins as a C function's call; undefined: nothing is known of it */
  child(step: number): string | undefined;
  /** for a descriptor that came in a message: the variable of the socket that it comes from */
  socketOf(step: number): string | undefined;
}

/** Errors beyond these the C library has no names of. */
const LAST_NAMED = 133;
export function errorText(error: number): string {
  const name = errnoName(error);
  return error > 0 && error <= LAST_NAMED && !/^E\d+$/.test(name) ? name : String(error);
}

export class StepText {
  readonly around: Surroundings;
  readonly numbers: Numbers;

  constructor(around: Surroundings) {
    this.around = around;
    this.numbers = around.numbers;
  }

  /** A word of ARGS that the call takes as an int. */
  int(step: Step, i: number): bigint {
    return BigInt.asUintN(32, wordOf(step, i).value);
  }

  /** A word of ARGS in C. */
  number(step: Step, i: number, hex = true): string {
    const { value, use } = wordOf(step, i);
    return use === undefined ? plain(value, hex) : this.numbers.symbol(use);
  }

  fd(step: Step): string {
    return this.numbers.descriptor(step, fdUse(step));
  }

  /** The variable that a step's result becomes. */
  result(step: Step): string | undefined {
    const made = step.defines.find((d) => {
      const where = whereIs(step, d.at);
      return where !== undefined && where.in !== 'part' && this.around.wanted.has(d.symbol);
    });
    return made === undefined ? undefined : this.numbers.variable(made.symbol);
  }

  /** The call, checked. A call that never returned is made, and nothing is expected of it. */
  checked(step: Step, call: string, to = this.result(step)): string[] {
    if (!step.returned) return [`${to === undefined ? '' : `${to} = `}${call};`];
    return [...this.around.style.expect(errorText(step.error), step.seq, call, to)];
  }

  notes(step: Step): string[] {
    const notes: string[] = [];
    if (!step.returned) notes.push('had not returned when the recording ended');
    for (const p of step.parts)
      if ((p.flags & PartFlag.TRUNCATED) !== 0 && (p.kind === PartKind.IN || p.kind === PartKind.NESTED_IN))
        notes.push('the recording has not all bytes that were given');
    return notes;
  }
}
