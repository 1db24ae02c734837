/** Which calls can be made again at all: those that belong to iommufd and VFIO, by whatever makes them. */
import { FileKind, Kind } from '../../store/frame.ts';
import type { Step } from './program.ts';

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

/** Why a call cannot be made again, whoever makes it; '' it can. */
export function whyNever(step: Step): string {
  if (!CALLS.has(step.kind)) return 'a call of a kind that is not made again';
  if (KVM_FILES.has(step.fileKind)) return 'calls on KVM are not made again';
  if (step.kind === Kind.IOCTL && ((step.request >>> 8) & 0xff) !== TYPE) return 'an ioctl of another subsystem';
  if (step.kind === Kind.FORK && step.error !== 0) return 'a fork that failed';
  return '';
}
