/** Which event of a recording is to stay, and what is known of it before anything is left out. */
import type { MachineName } from '../../hw/iommufd/machine.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import { FRAME_AT, Kind, State } from '../../store/frame.ts';
import { check } from '../check.ts';
import type { FrameSource } from '../fold.ts';
import type { Program } from '../program/program.ts';
import { type ProgramSource, programOf } from '../program/program-of.ts';
import { wholeCalls } from '../whole-calls.ts';
import { type Why, why } from '../why.ts';

/** A log up to an event. */
export function upTo<S extends ProgramSource>(source: S, last: number): ProgramSource {
  return {
    last: Math.min(last, source.last),
    meta: source.meta,
    scan: (from = 1, to = last) => source.scan(from, Math.min(to, last)),
  };
}

/** The event with which the call of an event ends: its RETURN where it was stored before it had returned. */
export const endOf = (source: FrameSource, seq: number): number => Math.max(seq, wholeCalls(source).returnOf(seq));

/** The program of a log up to an event; yields how far it is, from 0 to 1. */
export const programUpTo = (source: ProgramSource, table: UapiTable, last: number): Generator<number, Program> =>
  programOf(upTo(source, last), table);

/** Index of the step that an event is, or the return of; -1: none. */
export const stepOfEvent = ({ steps }: Program, seq: number): number => steps.findIndex((s) => s.seq === seq || s.split?.seq === seq);

/** The steps that made the objects that an explanation names. */
export const hintsOf = (program: Program, because: Why | undefined): number[] =>
  (because?.because ?? []).map((b) => stepOfEvent(program, b.seq)).filter((i) => i >= 0);

/** Why an event was answered as it was. Of a call that was stored before it returned: at the time when it was entered. */
export const explanationOf = (source: FrameSource, table: UapiTable, seq: number, machine: MachineName | undefined): Why | undefined =>
  why(wholeCalls(source), table, seq, { machine });

/** Events with a lint, ascending. */
export function lintsIn(source: FrameSource, table: UapiTable, rule: string, machine: MachineName | undefined): number[] {
  const { lints } = check(source, table, { machine });
  return [...new Set(lints.filter((l) => l.rule === rule).map((l) => l.seq))].sort((a, b) => a - b);
}

export interface Otherwise {
  readonly seq: number;
  readonly field: string;
  readonly rule: string;
}

/** Events that the rules answer otherwise, ascending. */
export const disagreementsIn = (source: FrameSource, table: UapiTable, machine: MachineName | undefined): Otherwise[] =>
  check(source, table, { machine }).disagreements.map(({ seq, field, rule }) => ({ seq, field, rule }));

/** Has the call of a step an errno that a rule could explain? */
export const isRefused = (frame: Buffer): boolean =>
  frame.readInt32LE(FRAME_AT.error) !== 0 &&
  frame[FRAME_AT.state] !== State.ENTERED &&
  ([Kind.IOCTL, Kind.MMAP, Kind.READ, Kind.WRITE] as number[]).includes(frame[FRAME_AT.kind]!);
