/** Folding a log: scan, decide, apply. */
import { DIALECTS, type DialectName, type UapiTable, uapiTable } from '../hw/uapi/table.ts';
import type { FrameBatch } from '../store/read.ts';
import type { Change } from './change.ts';
import { Folder } from './decide.ts';
import { planOf } from './plan.ts';
import type { SessionState } from './state.ts';

/** What the fold reads: a TraceReader, or anything that gives frames in order. */
export interface FrameSource {
  scan(from?: number, to?: number): Iterable<FrameBatch>;
  /** number of the last event, 0 where there is none */
  readonly last: number;
}

export interface FoldOptions {
  /** the last event to fold; default: all */
  readonly to?: number;
  /** called with each event that changed something; the state is the one after it */
  readonly onChanges?: (seq: number, changes: readonly Change[]) => void;
  /** called after each batch of frames with the number of the last event folded */
  readonly onProgress?: (seq: number) => void;
}

/** The table to read a trace with: its dialect's, or that of mainline where it names one that this program does not know. */
export function tableOf(meta: { readonly dialect: string }): UapiTable {
  return uapiTable(DIALECTS.includes(meta.dialect as DialectName) ? (meta.dialect as DialectName) : 'linux-7.2');
}

/** Folds the events after `state.seq` into the state. */
export function foldInto(state: SessionState, source: FrameSource, table: UapiTable, options: FoldOptions = {}): SessionState {
  const folder = new Folder(planOf(table), state);
  const to = Math.min(options.to ?? Number.POSITIVE_INFINITY, source.last);
  if (state.seq >= to) return state;
  for (const batch of source.scan(state.seq + 1, to)) {
    foldBatch(folder, batch, options.onChanges);
    options.onProgress?.(state.seq);
  }
  return state;
}

/** Folds the frames of a batch. */
export function foldBatch(folder: Folder, batch: FrameBatch, onChanges?: FoldOptions['onChanges']): void {
  const { buffer, offsets, first, count } = batch;
  const { state } = folder;
  for (let i = 0; i < count; i++) {
    const changes = folder.fold(buffer, offsets[i]!);
    state.seq = first + i;
    if (onChanges !== undefined && changes.length > 0) onChanges(first + i, changes);
  }
}
