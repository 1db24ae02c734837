/**
 * Events whose text the state has a part in: whose registers an access is to, of which type a queue is. They are told by the
 * state before them and by no other, wherever the cursor is: near the cursor at once, farther away beside the keys.
 */
import type { EventLike } from '../hw/event-text.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import { Folder } from '../replayer/decide.ts';
import { planOf } from '../replayer/plan.ts';
import type { SessionState } from '../replayer/state.ts';
import type { Timeline } from '../replayer/timeline.ts';
import { FileKind, Kind } from '../store/frame.ts';
import type { Tolerant } from './damage.ts';
import { Memory } from './memory.ts';
import type { ListedEvent } from './present/event.ts';

/** Events that are told together. */
const BLOCK = 64;
/** Events that are folded or taken back at once to tell a block. */
const NEAR = 512;
/** Events that are folded beside the keys to tell one; beyond that it stays told without a state. */
const FAR = 1 << 17;
/** Events that are folded between two looks at the clock. */
const STEPS = 256;

const BY_STATE: ReadonlySet<number> = new Set([Kind.MMIO, Kind.QUEUE]);

/** Does the state have a part in the text of this event? A RETURN may be that of a read of a queue. */
export const isToldByState = (e: EventLike): boolean => BY_STATE.has(e.kind) || e.fileKind === FileKind.VEVENTQ || e.kind === Kind.RETURN;

export interface ToldBy {
  readonly table: UapiTable;
  readonly source: Pick<Tolerant, 'last' | 'scan' | 'frame'>;
  readonly timeline: Timeline;
  /** the event as the list shows it, by the state before it */
  readonly tell: (event: EventLike, state: SessionState) => ListedEvent;
}

interface Job {
  readonly block: number;
  readonly folder: Folder;
}

export class Told {
  readonly #by: ToldBy;
  readonly #known = new Memory<ListedEvent>();
  /** blocks of which somebody has asked, and that are too far away to be told at once */
  readonly #wanted = new Set<number>();
  #job: Job | undefined;

  constructor(by: ToldBy) {
    this.#by = by;
  }

  /** Something is asked for that is not told yet. */
  get waits(): boolean {
    return this.#wanted.size > 0;
  }

  /** Nobody waits any more for what was asked before. */
  forget(): void {
    this.#wanted.clear();
  }

  /** undefined: not told yet; what waits says whether it will be. */
  event(seq: number): ListedEvent | undefined {
    const known = this.#known.get(seq);
    if (known !== undefined) return known;
    const { timeline } = this.#by;
    const first = seq - ((seq - 1) % BLOCK);
    const last = first + BLOCK - 1;
    if (timeline.reach(first, last) <= NEAR) {
      timeline.before(first, last, (state, at) => this.#tell(state, at));
      return this.#known.get(seq);
    }
    if (timeline.distance(first) <= FAR) this.#wanted.add(first);
    return undefined;
  }

  /** Works until the deadline (as performance.now()); true when nobody waits. */
  work(deadline: number): boolean {
    for (const block of this.#wanted) {
      if (!this.#workAt(block, deadline)) return false;
      this.#wanted.delete(block);
      this.#job = undefined;
    }
    return true;
  }

  #workAt(block: number, deadline: number): boolean {
    const { table, source, timeline } = this.#by;
    if (this.#job?.block !== block) this.#job = { block, folder: new Folder(planOf(table), timeline.fork(block - 1)) };
    const { folder } = this.#job;
    const last = Math.min(block + BLOCK - 1, source.last);
    for (const batch of source.scan(folder.state.seq + 1, last)) {
      for (let i = 0; i < batch.count; i++) {
        const seq = batch.first + i;
        if (seq >= block) this.#tell(folder.state, seq);
        folder.fold(batch.buffer, batch.offsets[i]!);
        folder.state.seq = seq;
        if (seq % STEPS === 0 && performance.now() >= deadline) return false;
      }
    }
    return true;
  }

  #tell(state: SessionState, seq: number): void {
    if (this.#known.get(seq) !== undefined) return;
    const event = this.#by.source.frame(seq);
    if (event !== undefined && isToldByState(event)) this.#known.set(seq, this.#by.tell(event, state));
  }
}
