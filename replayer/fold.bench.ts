/**
 * How fast the fold is, beside a scan that only looks at the headers of the same frames.
 *
 *     npx tsc -b && node dist/replayer/fold.bench.js [events]
 */
import { pathToFileURL } from 'node:url';
import { uapiTable } from '../hw/uapi/table.ts';
import { FRAME_AT } from '../store/frame.ts';
import type { FrameBatch } from '../store/read.ts';
import { foldInto } from './fold.ts';
import { Script } from './script.ts';
import { emptyState } from './state.ts';
import { Timeline, type TimelineSource } from './timeline.ts';

export interface FoldBenchOptions {
  /** events of each made-up session; default 400 000 */
  readonly events?: number;
  readonly print?: (line: string) => void;
}

interface Row {
  readonly what: string;
  readonly events: number;
  readonly perSecond: number;
  /** time of the baseline by time of this: 1 is as fast */
  readonly ratio: number;
}

const AREAS = 4096;
const SIZE = 0x1000;

type Mix = 'map and unmap' | 'checks' | 'mixed';

/** A session that fills an IOAS with some thousand areas and then goes on as the mix says. */
function sessionOf(mix: Mix, events: number): Script {
  const s = new Script(uapiTable('linux-7.2'));
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.test(3, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_idev_id: 3, out_hwpt_id: 4 });
  const map = (i: number): number =>
    s.ioctl(3, 'IOMMU_IOAS_MAP', {
      flags: 7,
      ioas_id: 1,
      user_va: 0x7f00_0000_0000 + i * SIZE,
      length: SIZE,
      iova: 0x100_0000 + i * 2 * SIZE,
    });
  const unmap = (i: number): number => s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x100_0000 + i * 2 * SIZE, length: SIZE });
  const check = (i: number): number => s.test(3, 'MD_CHECK_MAP', 4, { iova: 0x100_0000 + i * 2 * SIZE, length: SIZE, uptr: 8 });
  for (let i = 0; i < AREAS; i++) map((i * 2654435761) % AREAS);
  for (let i = 0; s.seq < events; i++) {
    const at = (i * 40503) % AREAS;
    if (mix === 'checks') check(at);
    else {
      unmap(at);
      map(at);
      if (mix === 'mixed') {
        check(at);
        s.ioctl(3, 'IOMMU_DESTROY', { id: 1 }, {}, { error: 16 });
      }
    }
  }
  return s;
}

/** The frames in batches, built once: reading and unpacking is the store's bench. */
function inMemory(source: TimelineSource): TimelineSource {
  const batches = [...source.scan()];
  return {
    last: source.last,
    meta: source.meta,
    *scan(from = 1, to = source.last): Generator<FrameBatch> {
      for (const b of batches) {
        if (b.first + b.count <= from || b.first > to) continue;
        const skip = Math.max(0, from - b.first);
        const count = Math.min(b.count - skip, to - b.first - skip + 1);
        yield { ...b, first: b.first + skip, count, offsets: b.offsets.subarray(skip) };
      }
    },
  };
}

function scanOnly(source: TimelineSource): number {
  let sum = 0;
  for (const { buffer, offsets, count } of source.scan()) {
    for (let i = 0; i < count; i++) {
      const at = offsets[i]!;
      sum += buffer[at + FRAME_AT.kind]! + buffer.readUInt32LE(at + FRAME_AT.request) + buffer.readInt32LE(at + FRAME_AT.error);
    }
  }
  return sum;
}

/** Seconds of the fastest of `times` runs. */
function fastest(times: number, run: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const t = process.hrtime.bigint();
    run();
    best = Math.min(best, Number(process.hrtime.bigint() - t) / 1e9);
  }
  return best;
}

/** Prints, for each mix: the scan, the fold, the fold with snapshots and undo. */
export function benchFold(options: FoldBenchOptions = {}): void {
  const print = options.print ?? console.log;
  for (const mix of ['map and unmap', 'checks', 'mixed'] as const) {
    for (const row of rowsOf(mix, options.events ?? 400_000)) print(lineOf(row));
  }
}

function rowsOf(mix: Mix, events: number): Row[] {
  const rows: Row[] = [];
  const table = uapiTable('linux-7.2');
  const source = inMemory(sessionOf(mix, events).source());
  const n = source.last;
  const base = fastest(5, () => scanOnly(source));
  const row = (what: string, seconds: number): void => {
    rows.push({ what: `fold: ${mix}, ${what}`, events: n, perSecond: n / seconds, ratio: base / seconds });
  };
  row('only scanned (baseline)', base);
  row(
    'folded',
    fastest(5, () => foldInto(emptyState(), source, table)),
  );
  row(
    'folded by a timeline',
    fastest(3, () => new Timeline(source, { table }).seek(n)),
  );
  return rows;
}

const lineOf = (r: Row): string =>
  `${r.what.padEnd(48)} ${(r.perSecond / 1e6).toFixed(2).padStart(7)} M events/s   ${r.ratio.toFixed(3)} of the baseline`;

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  benchFold(process.argv[2] === undefined ? {} : { events: Number(process.argv[2]) });
}
