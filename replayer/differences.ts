/** Where an answer of the rules is another one than that of the log. */
import type { Answer } from '../hw/iommufd/call.ts';
import type { Command } from '../hw/uapi/types.ts';
import type { Asked } from './asked.ts';

export interface Difference {
  /** 'errno', 'ret', a field, or the pointer field of a buffer */
  readonly field: string;
  readonly predicted: string;
  readonly observed: string;
}

/** What an answer says otherwise than the log. */
export function differences(asked: Asked, answer: Answer): Difference[] {
  if (answer.errno !== asked.errno) return [{ field: 'errno', predicted: answer.errno || 'success', observed: asked.errno || 'success' }];
  const found: Difference[] = [];
  if (answer.errno === '' && Number(answer.ret) !== asked.ret && !answer.undeterminedOutputs.has(''))
    found.push({ field: 'ret', predicted: String(answer.ret), observed: String(asked.ret) });
  if (!sameStruct(asked, answer)) structDifferences(asked, answer, found);
  if (answer.nestedOut.size > 0) nestedDifferences(asked, answer, found);
  return found;
}

/** The struct after the call as the rules have it; what is not written back stays as it was. */
const structAfter = (asked: Asked, answer: Answer): Uint8Array => (answer.changed ? answer.out : undefined) ?? asked.struct.bytes;

/** Byte by byte, in the frame itself, which nearly always says that all is as foreseen. false: look closer. */
function sameStruct(asked: Asked, answer: Answer): boolean {
  const { before, after } = asked;
  if (after === undefined) return true;
  const there = after.buffer;
  const at = after.start;
  if (!answer.changed && before !== undefined) {
    const n = Math.min(before.length, after.length);
    const said = before.buffer;
    const from = before.start;
    for (let i = 0; i < n; i++) if (said[from + i] !== there[at + i]) return false;
    return true;
  }
  const said = structAfter(asked, answer);
  const n = Math.min(said.length, after.length);
  for (let i = 0; i < n; i++) if (said[i] !== there[at + i]) return false;
  return true;
}

function structDifferences(asked: Asked, answer: Answer, found: Difference[]): void {
  const there = asked.after?.bytes;
  if (there === undefined) return;
  const said = structAfter(asked, answer);
  const open = answer.changed && answer.out !== undefined ? answer.open : undefined;
  const n = Math.min(said.length, there.length);
  for (let i = 0; i < n; i++) {
    if (said[i] === there[i] || open?.[i] === 1) continue;
    const field = fieldAt(asked.command, i);
    const [from, width] = extent(asked.command, i);
    found.push({ field, predicted: numberOf(said, from, width), observed: numberOf(there, from, width) });
    i = from + width - 1;
  }
}

function nestedDifferences(asked: Asked, answer: Answer, found: Difference[]): void {
  for (const [offset, bytes] of answer.nestedOut) {
    const there = bytes === undefined ? undefined : asked.nestedOut(offset);
    if (bytes === undefined || there === undefined) continue;
    const field = fieldAt(asked.command, offset);
    if (answer.undeterminedOutputs.has(field)) continue;
    const n = Math.min(bytes.length, there.length);
    if (Buffer.compare(bytes.subarray(0, n), there.subarray(0, n)) === 0) continue;
    found.push({ field, predicted: hexOf(bytes.subarray(0, 64)), observed: hexOf(there.subarray(0, 64)) });
  }
}

function extent(command: Command | undefined, at: number): [number, number] {
  for (const f of command?.struct?.byName.values() ?? []) {
    const width = f.type.endsWith('64') ? 8 : f.type.endsWith('32') ? 4 : f.type.endsWith('16') ? 2 : 1;
    if (at >= f.offset && at < f.offset + width) return [f.offset, width];
  }
  return [at, 1];
}

function fieldAt(command: Command | undefined, at: number): string {
  const [from] = extent(command, at);
  for (const [name, f] of command?.struct?.byName ?? []) if (f.offset === from) return name;
  return `byte ${at}`;
}

function numberOf(bytes: Uint8Array, at: number, width: number): string {
  let value = 0n;
  for (let i = Math.min(width, bytes.length - at) - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return `0x${value.toString(16)}`;
}

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
