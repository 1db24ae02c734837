/**
 * A session in time: the state at any event, step and reverse step. Snapshots are a cache, kept in memory; with or without
 * them the state at an event is the same.
 */
import type { UapiTable } from '../hw/uapi/table.ts';
import type { FrameBatch } from '../store/read.ts';
import { applyAll, type Change, revertAll } from './change.ts';
import { Folder } from './decide.ts';
import { type FrameSource, tableOf } from './fold.ts';
import { planOf } from './plan.ts';
import { copyState, emptyState, type SessionState, sizeOf } from './state.ts';

export interface TimelineOptions {
  /** table of the dialect to read with; default: the trace's own */
  readonly table?: UapiTable;
  /** events between snapshots at first; default 8192. 0: none but the first */
  readonly interval?: number;
  /** snapshots kept at most; beyond that every second one goes and the interval doubles; default 256 */
  readonly snapshots?: number;
  /** map entries of all snapshots together; beyond that as well; default 400 000, some 40 MB */
  readonly entries?: number;
  /** steps whose changes are kept for stepping back; default 8192 */
  readonly undo?: number;
  /** called while a seek folds many events, about every 8192 */
  readonly onProgress?: (seq: number, target: number) => void;
}

/** What a timeline needs of a trace. */
export interface TimelineSource extends FrameSource {
  readonly meta: { readonly dialect: string };
}

interface Step {
  readonly seq: number;
  readonly changes: readonly Change[];
}

const NONE: readonly Change[] = [];
const PROGRESS = 8192;
/** Snapshots that are kept however large they are. */
const FEW = 4;

export class Timeline {
  readonly #source: TimelineSource;
  readonly #options: TimelineOptions;
  readonly #folder: Folder;
  readonly #table: UapiTable;
  readonly #undoLimit: number;
  readonly #snapshotLimit: number;
  readonly #entryLimit: number;
  /** map entries of the snapshots */
  #entries = 0;
  #interval: number;
  /** ascending by seq; the first is the empty state */
  #snapshots: SessionState[] = [emptyState()];
  /** changes of the events before the current one, oldest first, without holes; ends at state.seq */
  #undo: Step[] = [];
  #batch: FrameBatch | undefined;

  constructor(source: TimelineSource, options: TimelineOptions = {}) {
    this.#source = source;
    this.#options = options;
    this.#table = options.table ?? tableOf(source.meta);
    this.#interval = options.interval ?? 8192;
    this.#snapshotLimit = Math.max(2, options.snapshots ?? 256);
    this.#entryLimit = options.entries ?? 400_000;
    this.#undoLimit = Math.max(1, options.undo ?? 8192);
    this.#folder = new Folder(planOf(this.#table), emptyState());
  }

  /** The event that the state includes last; 0 before the first. */
  get seq(): number {
    return this.state.seq;
  }
  /** The state after event `seq`. It changes in place when time moves: copy what is to stay, see copyState. */
  get state(): SessionState {
    return this.#folder.state;
  }
  /** Number of the last event of the trace. */
  get last(): number {
    return this.#source.last;
  }
  get table(): UapiTable {
    return this.#table;
  }

  /**
   * Goes to the state after event `seq`; beyond the ends of the trace to the nearest end. Who seeks in pieces names the
   * `goal` of them all: what was changed long before it is not kept for stepping back, so that it never grows old in memory.
   */
  seek(seq: number, goal = seq): void {
    this.prepare(seq);
    this.#run(this.#inside(seq), this.#inside(goal));
  }

  /**
   * The first part of a seek, which does not last: puts the state at the event from which the rest is folded (a snapshot, or
   * where it is), or at the target where it can be reached by taking steps back. Who seeks in pieces calls it first.
   */
  prepare(seq: number): void {
    const target = this.#inside(seq);
    const oldest = this.#undo[0];
    if (target < this.seq && oldest && target >= oldest.seq - 1) {
      while (this.seq > target) this.reverseStep();
      return;
    }
    const snapshot = this.#snapshots.findLast((s) => s.seq <= target)!;
    if (target < this.seq || snapshot.seq > this.seq) {
      this.#folder.state = copyState(snapshot);
      this.#undo = [];
    }
  }

  /** A state of the caller's own: the nearest at or before event `seq` that is kept. */
  fork(seq: number): SessionState {
    const snapshot = this.#snapshots.findLast((s) => s.seq <= Math.max(0, seq))!;
    return copyState(this.seq <= seq && this.seq > snapshot.seq ? this.state : snapshot);
  }

  #inside(seq: number): number {
    return Math.min(Math.max(0, Math.trunc(seq) || 0), this.last);
  }

  /** One event forward; its changes. Empty where it changed nothing, or at the end. */
  step(): readonly Change[] {
    const next = this.seq + 1;
    if (next > this.last) return NONE;
    const batch = this.#at(next);
    if (!batch) return NONE;
    const changes = this.#folder.fold(batch.buffer, batch.offsets[next - batch.first]!);
    this.state.seq = next;
    this.#remember(next, changes);
    this.#snapshot();
    return changes;
  }

  /** One event back; the changes that were taken back. */
  reverseStep(): readonly Change[] {
    if (this.seq === 0) return NONE;
    const newest = this.#undo.pop();
    if (newest?.seq === this.seq) {
      revertAll(this.state, newest.changes);
      this.state.seq = newest.seq - 1;
      return newest.changes;
    }
    // nothing to undo: come from the snapshot before, and keep the changes on the way
    const from = this.seq;
    this.rewind();
    this.#run(from);
    return this.reverseStep();
  }

  /** Goes to the snapshot before the current event: the first part of a reverse step where nothing is kept to undo. */
  rewind(): void {
    const { seq } = this;
    if (seq === 0) return;
    this.#folder.state = copyState(this.#snapshots.findLast((s) => s.seq < seq)!);
    this.#undo = [];
  }

  /** Events that must be folded to know what event `seq` changed; 0 where that is kept. */
  distance(seq: number): number {
    if (this.#keeps(seq)) return 0;
    const snapshot = this.#snapshots.findLast((s) => s.seq < seq)!;
    return seq - (this.seq < seq && this.seq > snapshot.seq ? this.seq : snapshot.seq);
  }

  /** What event `seq` changed. The timeline stays where it is. */
  changesOf(seq: number): readonly Change[] {
    return this.changesIn(seq, seq)[0] ?? NONE;
  }

  /** What each event from … to (both inclusive, as far as they are in the trace) changed. The timeline stays where it is. */
  changesIn(from: number, to: number): (readonly Change[])[] {
    const first = Math.max(1, Math.trunc(from));
    const last = Math.min(Math.trunc(to), this.last);
    if (!(first <= last)) return [];
    const kept = first - (this.#undo[0]?.seq ?? first + 1);
    if (kept >= 0 && last <= this.seq) return this.#undo.slice(kept, kept + last - first + 1).map((step) => step.changes);
    const snapshot = this.#snapshots.findLast((s) => s.seq < first)!;
    const folder = new Folder(planOf(this.#table), copyState(this.seq < first && this.seq > snapshot.seq ? this.state : snapshot));
    const found: (readonly Change[])[] = [];
    for (const batch of this.#source.scan(folder.state.seq + 1, last)) {
      for (let i = 0; i < batch.count; i++) {
        const changes = folder.fold(batch.buffer, batch.offsets[i]!);
        if (batch.first + i >= first) found.push(changes);
      }
    }
    return found;
  }

  /** The changes of an event and of all from there to the current one are kept. */
  #keeps(seq: number): boolean {
    const oldest = this.#undo[0];
    return oldest !== undefined && seq >= oldest.seq && seq <= this.seq;
  }

  /** Events that must be folded or taken back to see the states before events from … to. */
  reach(from: number, to: number): number {
    return this.#keeps(from) ? Math.max(this.seq - from + 1, to - this.seq) : this.distance(from) + to - from;
  }

  /**
   * Shows the state before each event from … to (both inclusive, as far as they are in the trace), in no order. The timeline
   * stays where it is. What is shown must not be kept.
   */
  before(from: number, to: number, see: (state: SessionState, seq: number) => void): void {
    const last = Math.min(to, this.last);
    let first = Math.max(1, from);
    if (this.#keeps(first)) {
      this.#behind(first, last, see);
      first = this.seq + 1;
    }
    if (first > last) return;
    // a copy: what ends ahead would come back in another order than it was in
    const folder = new Folder(planOf(this.#table), this.fork(first - 1));
    for (const batch of this.#source.scan(folder.state.seq + 1, last)) {
      for (let i = 0; i < batch.count; i++) {
        const seq = batch.first + i;
        if (seq >= first) see(folder.state, seq);
        folder.fold(batch.buffer, batch.offsets[i]!);
        folder.state.seq = seq;
      }
    }
  }

  /** Takes the steps back, and makes them again. */
  #behind(first: number, last: number, see: (state: SessionState, seq: number) => void): void {
    const steps = this.#undo.slice(first - (this.#undo[0]?.seq ?? first));
    const { state } = this;
    const here = state.seq;
    let left = steps.length;
    try {
      while (left > 0) {
        const { seq, changes } = steps[--left]!;
        revertAll(state, changes);
        state.seq = seq - 1;
        if (seq <= last) see(state, seq);
      }
    } finally {
      for (const { changes } of steps.slice(left)) applyAll(state, changes);
      state.seq = here;
    }
  }

  /** Folds forward to `target`, with snapshots on the way. */
  #run(target: number, goal = target): void {
    const from = this.seq;
    if (target <= from) return;
    const keepUndo = Math.max(target, goal) - this.#undoLimit;
    if (from < keepUndo) this.#undo = [];
    for (const batch of this.#source.scan(from + 1, target)) {
      for (let i = 0; i < batch.count; i++) {
        const seq = batch.first + i;
        const changes = this.#folder.fold(batch.buffer, batch.offsets[i]!);
        this.state.seq = seq;
        if (seq > keepUndo) this.#remember(seq, changes);
        this.#snapshot();
        if (seq % PROGRESS === 0) this.#options.onProgress?.(seq, target);
      }
    }
  }

  #remember(seq: number, changes: readonly Change[]): void {
    const newest = this.#undo[this.#undo.length - 1];
    if (newest && newest.seq !== seq - 1) this.#undo = [];
    this.#undo.push({ seq, changes });
    if (this.#undo.length > 2 * this.#undoLimit) this.#undo = this.#undo.slice(-this.#undoLimit);
  }

  /** Takes a snapshot when it is time: after the interval, and not more work than the folding was. */
  #snapshot(): void {
    const newest = this.#snapshots[this.#snapshots.length - 1]!;
    const since = this.seq - newest.seq;
    if (this.#interval <= 0 || since < this.#interval || since < sizeOf(this.state)) return;
    this.#snapshots.push(copyState(this.state));
    this.#entries += sizeOf(this.state);
    if (this.#snapshots.length <= this.#snapshotLimit && (this.#entries <= this.#entryLimit || this.#snapshots.length <= FEW)) return;
    this.#snapshots = this.#snapshots.filter((_, i) => i % 2 === 0);
    this.#entries = this.#snapshots.reduce((sum, s) => sum + sizeOf(s), 0);
    this.#interval *= 2;
  }

  /** The batch that holds event `seq`. */
  #at(seq: number): FrameBatch | undefined {
    const b = this.#batch;
    if (b && seq >= b.first && seq < b.first + b.count) return b;
    for (const batch of this.#source.scan(seq, Math.min(seq + PROGRESS, this.last))) {
      this.#batch = batch;
      return batch;
    }
    return undefined;
  }
}
