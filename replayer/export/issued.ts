/** Which steps of a program a reproducer makes again, and why not the others. */
import { Found, Kind, MmioHow } from '../../store/frame.ts';
import { whyNever } from '../program/issuable.ts';
import type { Program, Step } from '../program/program.ts';

/** What a recorder follows; a trace may say of other files, which a reproducer does not open. */
const PATHS = /^\/dev\/(?:iommu|vfio\/[\w-]+(?:\/[\w-]+)?)$/;

/** A step that is not made again; `seq` is its event's. */
export interface Left {
  readonly seq: number;
  readonly why: string;
}

/** '' it is made again; undefined: it comes of itself. */
function whyLeft(step: Step): string | undefined {
  if (step.role === 'fact') return step.kind === Kind.GAP ? step.why : undefined;
  if (step.role === 'receipt') return step.request === Found.RECEIVED ? '' : 'a descriptor taken out of another process by pidfd_getfd(2)';
  if (step.role === 'access') return (step.request & 0xf) === MmioHow.BOTH ? 'a load and store at once' : '';
  const never = whyNever(step);
  if (never !== '') return never;
  if (step.kind === Kind.OPEN && !PATHS.test(step.text.toString('latin1'))) return 'only devices of iommufd and VFIO are opened again';
  return '';
}

export interface Issued {
  /** indexes in the program, ascending */
  readonly steps: readonly number[];
  readonly left: readonly Left[];
}

export function issuedOf(program: Program): Issued {
  const steps: number[] = [];
  const left: Left[] = [];
  for (const [index, step] of program.steps.entries()) {
    const why = whyLeft(step);
    if (why === '') steps.push(index);
    else if (why !== undefined) left.push({ seq: step.seq, why });
  }
  return { steps, left };
}

/** How many calls a reproducer would have. */
export const callsOf = (program: Program): number =>
  program.steps.reduce((n, step) => n + (step.role !== 'fact' && step.kind !== Kind.EXIT && whyLeft(step) === '' ? 1 : 0), 0);

/** Descriptors that an image loses when it is replaced: those that were close-on-exec. */
export const closedByExec = (program: Program, step: Step): number[] =>
  step.kind === Kind.START ? step.ends.filter((s) => program.symbols[s]?.sort === 'fd') : [];
