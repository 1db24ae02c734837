/** Compares two opened traces and says what came of it. */
import { compareForCauses } from '../../replayer/diff/kept.ts';
import type { Report } from '../../replayer/diff/report.ts';
import type { Opened } from './trace.ts';

/** Yields how far it is, from 0 to 1. */
export function* reportOf(a: Opened, b: Opened): Generator<number, Report> {
  const { report } = yield* compareForCauses({ source: a.reader, table: a.table }, { source: b.reader, table: b.table });
  return report;
}
