/** Compares two opened traces and says what came of it. */
import { findCauses } from '../../replayer/diff/causes.ts';
import { compareTraces } from '../../replayer/diff/compare.ts';
import { keptComparison } from '../../replayer/diff/kept.ts';
import type { Report } from '../../replayer/diff/report.ts';
import type { Opened } from './trace.ts';

/** Yields how far it is, from 0 to 1. */
export function* reportOf(a: Opened, b: Opened): Generator<number, Report> {
  const comparison = yield* share(compareTraces({ source: a.reader, table: a.table }, { source: b.reader, table: b.table }), 0, 0.5);
  const compared = yield* share(keptComparison(comparison, { a: a.table, b: b.table }), 0.5, 0.6);
  return yield* share(findCauses(compared), 0.6, 1);
}

function* share<T>(work: Generator<number, T>, from: number, to: number): Generator<number, T> {
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
    yield from + next.value * (to - from);
  }
}
