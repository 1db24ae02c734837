/** What a recording does not say, and what no step does again as it was. */
import { quoteText } from '../../hw/quote.ts';
import { FrameCursor, Kind, PART_AT, PART_HEADER, PartFlag, PartKind } from '../../store/frame.ts';
import type { Program, Remark, Step } from './program.ts';

export function remarksOf(program: Omit<Program, 'remarks'>): Remark[] {
  const remarks: Remark[] = [];
  for (const [index, step] of program.steps.entries()) ofStep(index, step, remarks);
  ofSymbols(program, remarks);
  ofRegions(program, remarks);
  return remarks;
}

const PART_NAMES: Readonly<Record<number, string>> = {
  [PartKind.IN]: 'its struct',
  [PartKind.NESTED_IN]: 'a buffer that it points to',
};

function ofStep(index: number, step: Step, remarks: Remark[]): void {
  const say = (text: string): void => void remarks.push({ step: index, text });
  if (step.kind === Kind.GAP) say(`${step.ret} events were lost here: what they did is not done again`);
  if (step.role === 'fact') return;
  if (!step.returned) say('the call had not returned when the recording ended');
  const { frame } = step;
  let words = false;
  for (let p = 64; p + PART_HEADER <= frame.length; ) {
    const kind = frame[p]!;
    const name = PART_NAMES[kind];
    if (kind === PartKind.IN || kind === PartKind.ARGS) words = true;
    if (name !== undefined && ((frame[p + PART_AT.flags] ?? 0) & PartFlag.TRUNCATED) !== 0)
      say(`the recording has not all bytes of ${name}`);
    if (name !== undefined && ((frame[p + PART_AT.flags] ?? 0) & PartFlag.LATE) !== 0) say(`${name} was read only after the call`);
    p += PART_HEADER + Math.ceil(frame.readUInt32LE(p + PART_AT.bytes) / 8) * 8;
  }
  if (step.kind === Kind.IOCTL && !words) say('the recording has no argument of this call');
  if (step.kind === Kind.WRITE && step.error !== 0 && !step.parts.some((p) => p.kind === PartKind.IN))
    say('the recording has not the bytes that were to be written');
}

function ofSymbols({ symbols }: Omit<Program, 'remarks'>, remarks: Remark[]): void {
  for (const s of symbols) {
    if (s.sort === 'object' && s.step < 0)
      remarks.push({ step: -1, text: `${s.name} (${s.type} ${s.recorded}) was there before the recording` });
    if (s.sort !== 'fd' || s.step >= 0) continue;
    const what = s.type === '' ? 'is a descriptor of a file that is not known' : `is a descriptor (${quoteType(s.type)})`;
    remarks.push({ step: -1, text: `${s.name} ${what} that no recorded call has made` });
  }
}

const quoteType = (type: string): string => (/^[A-Z_]+$/.test(type) ? type : quoteText(Buffer.from(type)));

/** Memory of which the recorder has said what it is (recorder/shim/irr_backing.h), by symbol. */
function toldOf({ steps }: Omit<Program, 'remarks'>): Set<number> {
  const told = new Set<number>();
  const cursor = new FrameCursor();
  for (const { kind, uses, buffer, offset } of steps)
    if (kind === Kind.IOCTL && uses.length > 1 && cursor.at(buffer, offset).part(PartKind.TEXT))
      for (const { symbol } of uses) told.add(symbol);
  return told;
}

function ofRegions(program: Omit<Program, 'remarks'>, remarks: Remark[]): void {
  const { regions, symbols } = program;
  const pinned = regions.filter((r) => r.backing === 'memory' && r.pinned);
  const told = pinned.length === 0 ? new Set<number>() : toldOf(program);
  const some = pinned.filter((r) => !told.has(r.symbol));
  if (some.length > 0)
    remarks.push({
      step: -1,
      text: `the recording does not say of memory whether it was private or shared, and of huge pages or not; nor what was in it: ${some
        .slice(0, 8)
        .map((r) => symbols[r.symbol]!.name + (r.mayBeHuge ? ' (as large as huge pages are)' : ''))
        .join(', ')}${some.length > 8 ? ` and ${some.length - 8} more` : ''}`,
    });
}
