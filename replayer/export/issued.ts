/** Which steps of a program a reproducer makes again, and why not the others. */
import { FileKind, Found, Kind, MmioHow } from '../../store/frame.ts';
import type { Program, Step } from '../program/program.ts';

/** ioctls of iommufd and VFIO */
const TYPE = 0x3b;
const CALLS: ReadonlySet<number> = new Set([
  Kind.IOCTL,
  Kind.OPEN,
  Kind.CLOSE,
  Kind.DUP,
  Kind.MMAP,
  Kind.MUNMAP,
  Kind.MREMAP,
  Kind.READ,
  Kind.WRITE,
  Kind.FORK,
  Kind.EXEC,
  Kind.EXIT,
  Kind.SENDFD,
]);
const KVM_FILES: ReadonlySet<number> = new Set([FileKind.KVM, FileKind.KVM_VM, FileKind.KVM_VCPU]);
/** What a recorder follows; a trace may say of other files, which a reproducer does not open. */
const PATHS = /^\/dev\/(?:iommu|vfio\/[\w-]+(?:\/[\w-]+)?)$/;

/** A step that is not made again; `seq` is its event's. */
export interface Left {
  readonly seq: number;
  readonly why: string;
}

export const textOf = (step: Step): Buffer => Buffer.from(step.parts.find((p) => p.kind === 6 && p.slot === 0)?.bytes ?? new Uint8Array());

/** '' it is made again; undefined: it comes of itself. */
function whyLeft(step: Step): string | undefined {
  if (step.role === 'fact') return step.kind === Kind.GAP ? step.why : undefined;
  if (step.role === 'receipt') return step.request === Found.RECEIVED ? '' : 'a descriptor taken out of another process by pidfd_getfd(2)';
  if (step.role === 'access') return (step.request & 0xf) === MmioHow.BOTH ? 'a load and store at once' : '';
  if (!CALLS.has(step.kind)) return 'a call of a kind that is not made again';
  if (KVM_FILES.has(step.fileKind)) return 'calls on KVM are not made again';
  if (step.kind === Kind.IOCTL && ((step.request >>> 8) & 0xff) !== TYPE) return 'an ioctl of another subsystem';
  if (step.kind === Kind.OPEN && !PATHS.test(textOf(step).toString('latin1'))) return 'only devices of iommufd and VFIO are opened again';
  if (step.kind === Kind.FORK && step.error !== 0) return 'a fork that failed';
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
