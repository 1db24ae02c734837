/**
 * One step of the fold: the event being decided on, the state, and what follows from the rules that every kind of event
 * shares. Rules emit changes, and each is made at once, so that the next rule sees it; `decide` takes them back.
 */
import { apply, type Change } from './change.ts';
import type { EventBytes } from './event.ts';
import type { Plan } from './plan.ts';
import type { SessionState } from './state.ts';

/** Shared, never written. */
export const NONE: Change[] = [];

export class Step {
  readonly plan: Plan;
  readonly e: EventBytes;
  state: SessionState;
  /** of this event so far; NONE until there is one, for most events change nothing */
  changes: Change[] = NONE;
  /** the event that the call was stored as: e.seq, or less where a RETURN brought its results */
  call = 0;
  /** false: the registers of the CMDQV are not followed, which nothing else depends on */
  registers = true;

  constructor(plan: Plan, e: EventBytes, state: SessionState) {
    this.plan = plan;
    this.e = e;
    this.state = state;
  }

  emit(c: Change): void {
    apply(this.state, c);
    // a literal of one is smaller than an empty list that grows
    if (this.changes === NONE) this.changes = [c];
    else this.changes.push(c);
  }
}
