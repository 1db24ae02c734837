/** A program as a plan: which steps are issued again, and why others are not. */
import { Found, Kind, Start } from '../../store/frame.ts';
import { whyNever } from '../program/issuable.ts';
import type { Program, Step } from '../program/program.ts';
import { memoriesOf } from './memory.ts';
import { canOpen } from './opens.ts';
import type { Plan } from './plan.ts';
import { Writer } from './writer.ts';

export interface CompileOptions {
  /** also loads and stores of mapped regions */
  readonly mmio?: boolean;
  /** what a call may take longer than in the recording, milliseconds; default 10,000 */
  readonly limitMs?: number;
}

/** A step that is not issued again. */
export interface Left {
  /** index in the program */
  readonly step: number;
  readonly why: string;
}

export interface Compiled {
  readonly plan: Plan;
  /** by index of a step in the plan: its index in the program */
  readonly stepOf: readonly number[];
  readonly left: readonly Left[];
}

const LIMIT_MS = 10_000;
/** Why a step is not issued; '' it is; undefined: it comes of itself. */
function whyNot(step: Step, mmio: boolean): string | undefined {
  if (step.role === 'fact') {
    if (step.kind === Kind.START) return '';
    if (step.kind === Kind.FD && step.request === Found.INHERITED) return '';
    if (step.kind === Kind.FD || step.kind === Kind.RETURN) return undefined;
    return step.why;
  }
  if (step.role === 'receipt') return '';
  if (step.role === 'access') return mmio ? '' : 'loads and stores are made with --mmio only';
  if (step.kind === Kind.OPEN && !canOpen(step)) return 'it opens something other than iommufd and VFIO';
  return whyNever(step);
}

/** Does another image of its process begin behind an EXEC, before anything else of it? One that failed has none. */
function executed({ steps }: Program, index: number): boolean {
  const { process } = steps[index]!;
  for (let i = index + 1; i < steps.length; i++)
    if (steps[i]!.process === process) return steps[i]!.kind === Kind.START && steps[i]!.request === Start.EXEC;
  return false;
}

/** Makes the plan of a program. */
export function compilePlan(program: Program, options: CompileOptions = {}): Compiled {
  const left: Left[] = [];
  const stepOf: number[] = [];
  for (const [index, step] of program.steps.entries()) {
    const why =
      step.kind === Kind.EXEC && !executed(program, index) ? 'a program that was not recorded' : whyNot(step, options.mmio === true);
    if (why === '') stepOf.push(index);
    else if (why !== undefined) left.push({ step: index, why });
  }
  const writer = new Writer(program, stepOf, memoriesOf(program));
  for (const index of stepOf) writer.step(index);
  return { plan: writer.finish(options.limitMs ?? LIMIT_MS), stepOf, left };
}
