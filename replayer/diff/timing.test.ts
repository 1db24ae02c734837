import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, type Frame, Kind, PartKind, State } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import type { FrameSource } from '../fold.ts';
import { framesOf } from './testing.ts';
import { type LatencyMap, latenciesOf, type Timing, timing } from './timing.ts';

const TABLE = uapiTable('linux-7.2');
const recorded = framesOf(TraceReader.open(fileURLToPath(new URL('../../fixtures/traces/vmm-7.2.irr', import.meta.url))));
const ALLOC = recorded.find((f) => f.kind === Kind.IOCTL && f.request === 0x3b81 && f.error === 0)!;
const OPEN = recorded.find((f) => f.kind === Kind.OPEN)!;

/** A log of these frames, numbered anew. */
function sourceOf(frames: readonly Frame[]): FrameSource {
  const buffers = frames.map((f, i) => encodeFrame({ ...f, seq: i + 1 }));
  const buffer = Buffer.concat(buffers);
  const offsets = new Uint32Array(buffers.length + 1);
  buffers.forEach((b, i) => {
    offsets[i + 1] = offsets[i]! + b.length;
  });
  return { last: frames.length, scan: () => [{ first: 1, count: frames.length, buffer, offsets }] as never };
}

function latencies(frames: readonly Frame[]): LatencyMap {
  const run = latenciesOf(sourceOf(frames), TABLE);
  for (;;) {
    const next = run.next();
    if (next.done === true) return next.value;
  }
}

const took = (f: Frame, ns: number, error = 0): Frame => ({ ...f, error, tExit: f.tEnter + BigInt(ns) });
const calls = (count: number, ns: (i: number) => number, f = ALLOC, error = 0): Frame[] =>
  Array.from({ length: count }, (_, i) => took(f, ns(i), error));
const rowOf = (t: Timing, call: string, errno = ''): Timing['rows'][number] => t.rows.find((r) => r.call === call && r.errno === errno)!;

describe('latencies of a log', () => {
  test('by call and answer', () => {
    const found = latencies([...calls(3, (i) => 100 + i), ...calls(2, () => 7, ALLOC, 5), ...calls(1, () => 9, OPEN)]);
    expect([...found].map(([key, l]) => [key, l.count, l.quantile(0.5)])).toEqual([
      ['IOMMU_IOAS_ALLOC\0', 3, 101],
      ['IOMMU_IOAS_ALLOC\0EIO', 2, 7],
      ['open\0', 1, 9],
    ]);
  });

  test('a call that was stored before it returned has that of its return; one that never did has none', () => {
    const entered: Frame = { ...ALLOC, state: State.ENTERED, tExit: 0n };
    const words = Buffer.alloc(8);
    words.writeBigUInt64LE(1n);
    const back: Frame = {
      ...took(ALLOC, 5000),
      kind: Kind.RETURN,
      parts: [{ kind: PartKind.ARGS, flags: 0, slot: 0, wanted: 8n, address: 0n, bytes: words }],
    };
    expect([...latencies([entered, entered, back])].map(([key, l]) => [key, l.count, l.quantile(0.5)])).toEqual([
      ['IOMMU_IOAS_ALLOC\0', 1, 5000],
    ]);
  });
});

describe('two logs', () => {
  test('the call that became slower, and not the other one', () => {
    const noise = (i: number): number => 1000 + ((i * 7919) % 401);
    const a = latencies([...calls(300, noise), ...calls(300, noise, OPEN)]);
    const b = latencies([...calls(300, (i) => Math.round(1.1 * noise(i + 3))), ...calls(300, (i) => noise(i + 5), OPEN)]);
    const found = timing(a, b);
    expect(found.tested).toBe(2);
    expect(rowOf(found, 'IOMMU_IOAS_ALLOC').test).toMatchObject({ differs: true, exact: false, noise: undefined });
    expect(rowOf(found, 'IOMMU_IOAS_ALLOC').test!.slower).toBeGreaterThan(0.6);
    expect(rowOf(found, 'open').test).toMatchObject({ differs: false });
    expect(found.rows[0]!.call).toBe('IOMMU_IOAS_ALLOC');
  });

  test('an answer is held against the same answer alone', () => {
    const found = timing(latencies(calls(50, () => 90_000)), latencies(calls(50, () => 900, ALLOC, 5)));
    expect(found.tested).toBe(0);
    expect(found.rows.map((r) => [r.errno, r.a.count, r.b.count, r.test])).toEqual([
      ['', 50, 0, undefined],
      ['EIO', 0, 50, undefined],
    ]);
  });

  test('too few to tell are not tested, and do not weaken the others', () => {
    const found = timing(
      latencies([...calls(4, () => 1), ...calls(5, (i) => i, OPEN)]),
      latencies([...calls(4, () => 9), ...calls(5, (i) => 10 + i, OPEN)]),
    );
    expect(rowOf(found, 'IOMMU_IOAS_ALLOC').test).toBeUndefined();
    expect(found.tested).toBe(1);
    expect(rowOf(found, 'open').test).toMatchObject({ corrected: 2 / 252, exact: true, differs: true });
  });

  test('many that are asked together must each be surer', () => {
    const opens = (shift: number): Frame[] => calls(5, (i) => i + shift, OPEN);
    const alone = timing(latencies(opens(0)), latencies(opens(10)));
    const together = timing(latencies([...opens(0), ...calls(300, (i) => i)]), latencies([...opens(10), ...calls(300, (i) => i)]));
    expect(rowOf(alone, 'open').test!.differs).toBe(true);
    expect(rowOf(together, 'open').test).toMatchObject({ corrected: 4 / 252, differs: false });
  });

  test('what differs as much from run to run is no difference', () => {
    const [a, again, b, far] = [1000, 1050, 1040, 1300].map((base) => latencies(calls(300, (i) => base + ((i * 31) % 97))));
    expect(timing(a!, b!).rows[0]!.test!.differs).toBe(true);
    const found = timing(a!, b!, [again!]);
    expect(found.recordings).toBe(2);
    expect(found.rows[0]!.test).toMatchObject({ differs: false });
    expect(found.rows[0]!.test!.noise).toBeGreaterThan(0.2);
    expect(timing(a!, far!, [again!]).rows[0]!.test!.differs).toBe(true);
  });
});
