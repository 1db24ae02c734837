/**
 * A window of a session that is a session itself: before the events of the window come, as they were, those earlier events
 * without which the state at its beginning would be another.
 */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { FRAME_AT, FrameCursor, Kind, PartKind } from '../../store/frame.ts';
import { Folder } from '../decide.ts';
import type { FrameSource } from '../fold.ts';
import { destroyedBy, type Lint, Linter } from '../lints.ts';
import { planOf } from '../plan.ts';
import { emptyState, type SessionState } from '../state.ts';
import { Needs } from './needs.ts';
import { sameState } from './same-state.ts';

/** What is done with the earlier events: those that are needed, those that changed anything, or all. */
export type Prologue = 'needed' | 'changes' | 'all';

export interface Slice {
  readonly from: number;
  readonly to: number;
  /** earlier events that stay, ascending */
  readonly prologue: Uint32Array;
  readonly how: Prologue;
}

export interface SliceOptions {
  readonly onProgress?: (done: number, total: number) => void;
}

/** Which events a slice is made of. `from` … `to`: numbers of events that there are. Throws a StoreError where the trace is damaged. */
export function planSlice(source: FrameSource, table: UapiTable, from: number, to: number, options: SliceOptions = {}): Slice {
  const folder = new Folder(planOf(table), emptyState());
  const needs = new Needs(table);
  const cursor = new FrameCursor();
  for (const batch of source.scan(1, from - 1)) {
    for (let i = 0; i < batch.count; i++) {
      const offset = batch.offsets[i]!;
      needs.before(batch.buffer, offset, folder.state);
      const changes = folder.fold(batch.buffer, offset);
      folder.state.seq = batch.first + i;
      needs.after(cursor.at(batch.buffer, offset).pid, changes, folder.state);
    }
    options.onProgress?.(batch.first, from + to);
  }
  needs.want(folder.state);
  for (const batch of source.scan(from, to)) {
    for (let i = 0; i < batch.count; i++) {
      needs.recall(batch.buffer, batch.offsets[i]!, folder.state);
      folder.fold(batch.buffer, batch.offsets[i]!);
      folder.state.seq = batch.first + i;
    }
  }
  const before = Array.from({ length: from - 1 }, (_, i) => i + 1);
  const ways: readonly (readonly [Prologue, () => number[]])[] = [
    ['needed', () => needs.needed()],
    ['changes', () => before.filter((seq) => needs.changed(seq))],
  ];
  for (const [how, make] of ways) {
    const slice: Slice = { from, to, prologue: Uint32Array.from(make()), how };
    if (rebuilds(source, table, slice)) return slice;
  }
  return { from, to, prologue: Uint32Array.from(before), how: 'all' };
}

/** An event of a slice: a copy of its frame that has its new number, and the number that it had. */
export interface SlicedEvent {
  readonly frame: Buffer;
  readonly was: number;
}

/** The events of a slice, in order. */
export function* sliceEvents(source: FrameSource, slice: Slice): Generator<SlicedEvent> {
  const cursor = new FrameCursor();
  const now = numbering(slice);
  let k = 0;
  for (const batch of source.scan(1, slice.to)) {
    const end = batch.first + batch.count;
    if (end <= slice.from && (slice.prologue[k] ?? end) >= end) continue;
    for (let i = 0; i < batch.count; i++) {
      const was = batch.first + i;
      if (was < slice.from) {
        if (slice.prologue[k] !== was) continue;
        k++;
      }
      const frame = Buffer.from(batch.buffer.subarray(batch.offsets[i]!, batch.offsets[i + 1]!));
      frame.writeBigUInt64LE(BigInt(now(was) ?? 0), FRAME_AT.seq);
      const began = cursor.at(frame, 0).kind === Kind.RETURN ? Number(cursor.arg(0)) : 0;
      if (began > 0 && cursor.part(PartKind.ARGS)) frame.writeBigUInt64LE(BigInt(now(began) ?? NOBODY), cursor.partStart);
      yield { frame, was };
    }
  }
}

/** In the place of a call that is not in the slice. */
const NOBODY = 0;

/** What number an event has in a slice; undefined where it is not in it. */
export function numbering(slice: Slice): (seq: number) => number | undefined {
  const { prologue, from, to } = slice;
  return (seq) => {
    if (seq >= from) return seq <= to ? prologue.length + seq - from + 1 : undefined;
    let [low, high] = [0, prologue.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (prologue[middle]! < seq) low = middle + 1;
      else high = middle;
    }
    return prologue[low] === seq ? low + 1 : undefined;
  };
}

/** Whether the slice has the states of the session at its beginning and at its end, and the lints of the events in it. */
function rebuilds(source: FrameSource, table: UapiTable, slice: Slice): boolean {
  const [whole, part] = [new Way(table), new Way(table)];
  const now = numbering(slice);
  const events = sliceEvents(source, slice);
  const upTo = (last: number): void => {
    for (let done = part.state.seq; done < last; done++) {
      const next = events.next();
      if (next.done === true) return;
      part.step(next.value.frame, 0, done + 1);
    }
  };
  upTo(slice.prologue.length);
  whole.along(source, 1, slice.from - 1);
  if (!sameState(whole.state, part.state, now)) return false;
  upTo(Number.POSITIVE_INFINITY);
  whole.along(source, slice.from, slice.to);
  if (!sameState(whole.state, part.state, now)) return false;
  const told = part.lints(slice.prologue.length + 1).map(({ seq, rule }) => `${seq} ${rule}`);
  const wanted = whole.lints(slice.from).map(({ seq, rule }) => `${now(seq)} ${rule}`);
  return told.join() === wanted.join();
}

/** A session that is gone along. */
class Way {
  readonly #folder: Folder;
  readonly #linter = new Linter();
  readonly #cursor = new FrameCursor();

  constructor(table: UapiTable) {
    this.#folder = new Folder(planOf(table), emptyState());
  }
  get state(): SessionState {
    return this.#folder.state;
  }
  step(buffer: Buffer, offset: number, seq: number): void {
    const changes = this.#folder.fold(buffer, offset);
    this.state.seq = seq;
    const f = this.#cursor.at(buffer, offset);
    this.#linter.take(f, seq, changes, this.state, destroyedBy(f));
  }
  along(source: FrameSource, from: number, to: number): void {
    for (const batch of source.scan(from, to)) {
      for (let i = 0; i < batch.count; i++) this.step(batch.buffer, batch.offsets[i]!, batch.first + i);
    }
  }
  /** Those of the events from one on. */
  lints(from: number): readonly Lint[] {
    return this.#linter.found.filter(({ seq }) => seq >= from);
  }
}
