/** `reduce`: the event that is to stay. */

import type { Program } from '../../replayer/program/program.ts';
import type { Query } from '../../replayer/query.ts';
import { asksState } from '../../replayer/query-state.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
import { disagreementsIn, endOf, lintsIn, type Otherwise, programUpTo, stepOfEvent } from '../../replayer/reduce/choose.ts';
import { differing } from '../../replayer/reduce/judge.ts';
import { type Kept, lasting, readKeep } from '../../replayer/reduce/property.ts';
import { type Subject, subjectOf } from '../../replayer/reduce/subject.ts';
import { UsageError } from './errors.ts';
import { eachEvent, eventsAt, matchingOf, type SelectedEvent, timelineOf } from './events.ts';
import { type Interrupt, read } from './long-work.ts';
import { type Opened, queryOf } from './trace.ts';

export interface Choice {
  /** number of the event */
  readonly seq: number;
  /** what it, and the event in its place in any session, is to meet */
  readonly query: Query;
  readonly kept: Kept | undefined;
  readonly otherwise: Otherwise | undefined;
}

/** The program of the trace, as far as it is needed; undefined where that was stopped. */
export async function programTo(opened: Opened, seq: number, interrupt: Interrupt): Promise<Program | undefined> {
  const last = endOf(opened.reader, seq);
  return read('reading', programUpTo(opened.reader, opened.table, last), last, interrupt);
}

/** Finds the event that `--keep` means: the earliest, or the one that `--at` names. undefined where that was stopped. */
export async function choose(opened: Opened, text: string, at: number | undefined, interrupt: Interrupt): Promise<Choice | undefined> {
  const keep = readKeep(text);
  if (typeof keep === 'string') throw new UsageError(`--keep: ${keep}`);
  const query = queryOf(keep.filter, opened.table, '--keep');
  if (at !== undefined && (at < 1 || at > opened.reader.last))
    throw new UsageError(`--at: there is no event ${at}`, `events are numbered 1 to ${opened.reader.last}`);
  const found = keep.kept === undefined ? undefined : await special(opened, keep.kept, interrupt);
  if (interrupt.stopped) return undefined;
  const event = eventOf(
    opened,
    query,
    found?.map((o) => o.seq),
    at,
  );
  if (event === undefined)
    throw new UsageError(
      `--keep: ${at === undefined ? 'no event of the trace is such' : `event ${at} is not such`}: ${text}`,
      at === undefined ? undefined : 'without --at the earliest is taken',
    );
  const { seq } = event;
  return { seq, query: lasting(query, event, opened.table), kept: keep.kept, otherwise: found?.find((o) => o.seq === seq) };
}

/** Among `seqs`, where they are given, or among all. */
function eventOf(opened: Opened, query: Query, seqs: readonly number[] | undefined, at: number | undefined): SelectedEvent | undefined {
  if (seqs === undefined && at === undefined) {
    for (const event of eachEvent(opened, query)) return event;
    return undefined;
  }
  const among = seqs === undefined ? [at!] : at === undefined ? seqs : seqs.filter((seq) => seq === at);
  const met = matchingOf(opened, query, among);
  const seq = among.find((n) => met.has(n));
  if (seq === undefined) return undefined;
  for (const event of eventsAt(opened, [seq], asksState(query, opened.table) ? timelineOf(opened) : undefined)) return event;
  return undefined;
}

async function special(opened: Opened, kept: Kept, interrupt: Interrupt): Promise<readonly Otherwise[] | undefined> {
  const { reader, table, meta } = opened;
  const machine = machineOf(meta);
  const plain = (seqs: readonly number[]): Otherwise[] => seqs.map((seq) => ({ seq, field: '', rule: '' }));
  if (kept.what === 'lint') return plain(lintsIn(reader, table, kept.rule, machine));
  if (kept.what === 'disagrees') return disagreementsIn(reader, table, machine);
  const program = await programTo(opened, reader.last, interrupt);
  if (program === undefined) return undefined;
  const steps = differing(subjectOf(program, -1, []), kept.dialect, machine);
  return plain(steps.map((i) => program.steps[i]!.seq));
}

/** The program up to the event, with the step that it is. */
export function chosenSubject(program: Program, seq: number): Subject {
  const chosen = seq === 0 ? -1 : stepOfEvent(program, seq);
  return subjectOf(
    program,
    chosen,
    program.steps.map((s) => s.seq),
  );
}
