/** When steps are entered and when they return: the order of the events of a recording. */
import type { Program, Step } from './program.ts';

export interface Turn {
  readonly step: Step;
  readonly index: number;
  /** of a call that was stored before it returned: it returns now */
  readonly returns: boolean;
}

/** Steps in the order of their events; calls that were split have two. */
export function schedule(program: Program, steps: ArrayLike<number> | undefined): Turn[] {
  const turns: (Turn & { readonly seq: number })[] = [];
  let late = false;
  const count = steps?.length ?? program.steps.length;
  for (let i = 0; i < count; i++) {
    const index = steps === undefined ? i : steps[i]!;
    const step = program.steps[index];
    if (step === undefined) continue;
    turns.push({ step, index, returns: false, seq: step.seq });
    if (step.split === undefined || step.split.seq === 0) continue;
    turns.push({ step, index, returns: true, seq: step.split.seq });
    late = true;
  }
  return late ? turns.sort((a, b) => a.seq - b.seq) : turns;
}
