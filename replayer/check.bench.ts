/**
 * How fast a log is checked against the rules, beside a scan of the same frames: over a trace, or over a recorded session
 * that is gone through again and again.
 *
 *     npx tsc -b && node dist/replayer/check.bench.js [trace]
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FRAME_AT } from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { check } from './check.ts';
import { type FrameSource, tableOf } from './fold.ts';

const RUNS = 5;
const EVENTS = 300_000;

/** A session in memory: what is measured is the check, not the disk. */
function inMemory(reader: TraceReader): FrameSource {
  const batches = [...reader.scan()];
  return { last: reader.last, scan: () => batches };
}

function scan(source: FrameSource): number {
  let sum = 0;
  for (const { buffer, offsets, count } of source.scan())
    for (let i = 0; i < count; i++) sum += buffer.readUInt32LE(offsets[i]! + FRAME_AT.request);
  return sum;
}

/** Events per second of the best run. */
function best(events: number, act: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    act();
    least = Math.min(least, performance.now() - start);
  }
  return (events / least) * 1000;
}

export function benchCheck(path?: string, print: (line: string) => void = console.log): void {
  const fixture = ['..', '../..'].map((up) => join(import.meta.dirname, up, 'fixtures/traces/selftest-viommu-7.2.irr')).at(-1)!;
  const reader = TraceReader.open(path ?? fixture);
  const table = tableOf(reader.meta);
  const source = inMemory(reader);
  const times = Math.max(1, Math.round(EVENTS / reader.last));
  const repeat = (act: () => unknown) => (): void => {
    for (let i = 0; i < times; i++) act();
  };
  const events = reader.last * times;
  const scanned = best(
    events,
    repeat(() => scan(source)),
  );
  const checked = best(
    events,
    repeat(() => check(source, table)),
  );
  print(`check: ${events} events of ${path ?? 'a recorded selftest'}, only scanned (baseline) ${(scanned / 1e6).toFixed(2)} M events/s`);
  print(`check: predicted and compared ${(checked / 1000).toFixed(0)} k events/s   ${(checked / scanned).toFixed(4)} of the baseline`);
  reader.close();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) benchCheck(process.argv[2]);
