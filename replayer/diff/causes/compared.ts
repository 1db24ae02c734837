/** What the search for causes asks of a comparison, however it was made and whatever of it is kept in memory. */
import type { UapiTable } from '../../../hw/uapi/table.ts';
import type { Kind } from '../../../store/frame.ts';
import type { TimelineSource } from '../../timeline.ts';
import type { FieldPair } from '../compare.ts';
import type { Origin } from '../meaning/links.ts';
import type { Difference } from './report.ts';

export type SideName = 'a' | 'b';

/** One trace. Events by their numbers, 0 for none; processes by numbers from 0, -1 for none. Asked of differences and what is near them. */
export interface ComparedSide {
  readonly source: TimelineSource;
  readonly table: UapiTable;
  /** events that the trace says it has lost */
  readonly lost: number;
  /** the event before in the same thread */
  before(seq: number): number;
  process(seq: number): number;
  /** who forked it */
  parent(process: number): number;
  /** the event that made it, where that is in the trace */
  fork(process: number): number;
  first(process: number): number;
  /** what an event refers to, by who made it; nothing twice is no promise */
  names(seq: number): readonly Origin[];
  /** the event that ended a thing */
  endedBy(thing: Origin): number;
  /** one of {@link Kind}, of an event that differs */
  kind(seq: number): number;
  /** has the event changed the state of the session */
  changes(seq: number): boolean;
}

export interface Compared {
  readonly a: ComparedSide;
  readonly b: ComparedSide;
  /** pairs of events that agree */
  readonly same: number;
  /** pairs that stand beside each other */
  readonly matched: number;
  /** values that were not compared: those of the side with more of them */
  readonly withheld: number;
  /**
   * In an order in which what comes earlier in a process, on either side, is earlier: a's events in theirs, and what only b has
   * where it fits. The place of a difference is its index here.
   */
  differences(): Iterable<Difference>;
  /** value by value; empty where one side has no event */
  fields(difference: Difference): readonly FieldPair[];
  /** the event of the other side that stands beside one */
  partner(side: SideName, seq: number): number;
}
