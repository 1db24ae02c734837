/** Compares two opened traces and says what came of it. */
import type { CauseOptions } from '../../replayer/diff/causes/causes.ts';
import type { Report } from '../../replayer/diff/causes/report.ts';
import { withheldFrom } from '../../replayer/diff/meaning/withheld.ts';
import { FarSide, NearSide } from '../../replayer/diff/stream/side.ts';
import { type StreamedTrace, streamForCauses } from '../../replayer/diff/stream/streamed.ts';
import type { Opened } from './trace.ts';

/** Events of a trace from which on it is worth while to read it in a thread of its own, which takes a while to begin. */
const LONG = 100_000;
/** How far the first reading goes, of all. */
const READING = 0.5;
/** From where on the rules are asked. */
const JUDGING = 0.7;

/** `progress` is told how far it is, from 0 to 1. Rejects with a StoreError where a trace is damaged. */
export async function reportOf(a: Opened, b: Opened, options: CauseOptions, progress: (at: number) => void): Promise<Report> {
  const withheld = withheldFrom(a.meta, b.meta);
  const far = b.reader.last >= LONG ? new FarSide({ path: b.path, last: b.reader.last, withheld }) : undefined;
  const near = (o: Opened, from: number, to: number): NearSide =>
    new NearSide(o.reader, o.table, {
      withheld,
      progress: (at) => progress(READING * (from + (to - from) * at)),
      judging: (at) => progress(JUDGING + (1 - JUDGING) * (from + (to - from) * at)),
    });
  const half = far === undefined ? 0.5 : 1;
  const traced = ({ reader, table }: Opened, side: StreamedTrace['side']): StreamedTrace => ({ side, source: reader, table });
  try {
    return await streamForCauses(traced(a, near(a, 0, half)), traced(b, far ?? near(b, half, 1)), { ...options, withheld }, progress);
  } finally {
    await far?.close();
  }
}
