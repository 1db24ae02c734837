/** Opens: nothing but iommufd and VFIO is opened, whatever a recording says, as plan.c of the issuing program has it. */
import { FileKind, Kind, type Part, PartKind } from '../../store/frame.ts';
import type { Step } from '../program/program.ts';
import type { PlacedPart } from './parts.ts';

/** What stands for a file that was opened by another name, by kind of file. */
const STANDARD: Readonly<Record<number, string>> = { [FileKind.IOMMUFD]: '/dev/iommu', [FileKind.VFIO_CONTAINER]: '/dev/vfio/vfio' };
/** O_CREAT, O_TRUNC and __O_TMPFILE of x86 and arm64 */
const MAKES = 0o20001100;

/** What the files are called that may be opened: /dev/vfio/vfio, /dev/vfio/12, /dev/vfio/devices/vfio0. */
const NAMES = /^\/dev\/(iommu|vfio\/[\w.:/-]+)$/;

/** By their own names, and nothing is made or emptied. */
function mayOpen(step: Step): boolean {
  const path = step.text.toString('latin1');
  return NAMES.test(path) && !path.includes('..') && (wordOf(step, 1) & MAKES) === 0;
}

function wordOf(step: Step, word: number): number {
  const bytes = step.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
  return bytes === undefined || bytes.length < 8 * word + 8 ? 0 : Buffer.from(bytes).readUInt32LE(8 * word);
}

/** Is it of a file that can be opened again, by its own name or another? */
export const canOpen = (step: Step): boolean => mayOpen(step) || STANDARD[step.fileKind] !== undefined;

/** Does it open a VFIO device or group: real hardware? */
export const opensHardware = (step: Step): boolean =>
  step.kind === Kind.OPEN && /^\/dev\/vfio\/(?!vfio$)/.test(step.text.toString('latin1'));

/** What a step asks with: an open the standard name where it was another, and no more flags than how it is accessed. */
export function asksOf(step: Step, parts: readonly PlacedPart[]): readonly Part[] {
  const asks = parts.filter(({ index }) => index >= 0).map(({ part }) => part);
  if (step.kind !== Kind.OPEN || mayOpen(step)) return asks;
  const O_ACCMODE_CLOEXEC = 0o2000003;
  return asks.map((p) => {
    if (p.kind === PartKind.TEXT && p.slot === 0) return { ...p, bytes: Buffer.from(STANDARD[step.fileKind] ?? '') };
    if (p.kind !== PartKind.ARGS) return p;
    const bytes = Buffer.from(p.bytes);
    bytes.writeBigUInt64LE(BigInt(wordOf(step, 1) & O_ACCMODE_CLOEXEC), 8);
    return { ...p, bytes };
  });
}
