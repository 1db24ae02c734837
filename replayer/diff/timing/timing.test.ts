import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../../hw/uapi/table.ts';
import { encodeFrame, type Frame, Kind, PartKind, State } from '../../../store/frame.ts';
import { TraceReader } from '../../../store/read.ts';
import type { FrameSource } from '../../fold.ts';
import { framesOf } from '../testing.ts';
import { Latencies } from './latencies.ts';
import { type LatencyMap, latenciesOf, type Timing, timing } from './timing.ts';

const TABLE = uapiTable('linux-7.2');
const recorded = framesOf(TraceReader.open(fileURLToPath(new URL('../../../fixtures/traces/vmm-7.2.irr', import.meta.url))));
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
    const b = latencies([...calls(300, (i) => Math.round(1.5 * noise(i + 3))), ...calls(300, (i) => noise(i + 5), OPEN)]);
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

  test('what differs for sure, but by little, is no difference', () => {
    const [a, b] = [1000, 1100].map((base) => latencies(calls(300, (i) => base + ((i * 31) % 97))));
    expect(timing(a!, b!).rows[0]!.test).toMatchObject({ differs: false, corrected: expect.closeTo(0, 6) });
    const found = timing(a!, b!, { threshold: 1.05 }).rows[0]!.test!;
    expect(found.differs).toBe(true);
    // every value of b is 100 more than one of a, of 1000 to 1096
    expect(found.ratio).toBeGreaterThan(1.08);
    expect(found.ratio).toBeLessThan(1.11);
    expect(found.low).toBeLessThan(found.ratio);
    expect(found.high).toBeGreaterThan(found.ratio);
    expect(timing(b!, a!, { threshold: 1.05 }).rows[0]!.test!.ratio).toBeCloseTo(1 / found.ratio, 4);
  });

  test('what differs as much from run to run is no difference', () => {
    const [a, again, b, far] = [1000, 1500, 1400, 2500].map((base) => latencies(calls(300, (i) => base + ((i * 31) % 97))));
    expect(timing(a!, b!).rows[0]!.test!.differs).toBe(true);
    const found = timing(a!, b!, { same: [again!] });
    expect(found.recordings).toBe(2);
    expect(found.rows[0]!.test).toMatchObject({ differs: false });
    expect(found.rows[0]!.test!.noise).toBeGreaterThan(1.4);
    expect(timing(a!, far!, { same: [again!] }).rows[0]!.test!.differs).toBe(true);
  });
});

/** Log-normal latencies in ns from a seed of ours. */
function normals(seed: number): () => number {
  let state = seed;
  const next = (): number => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  return () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}
function logNormal(normal: () => number, count: number, median: number, sigma: number): Latencies {
  const found = new Latencies();
  for (let i = 0; i < count; i++) found.add(Math.max(1, Math.round(median * Math.exp(sigma * normal()))));
  return found;
}

describe('by simulation', () => {
  const SIZES = [6, 12, 40, 200];
  const recording = (normal: () => number, factor = 1): LatencyMap =>
    new Map(SIZES.map((size, i) => [`call ${i}\0`, logNormal(normal, size, 2000 * (i + 1) * (size === 200 ? factor : 1), 0.6)]));

  test('two recordings of the same raise no more false alarms than the level says', () => {
    const normal = normals(20261121);
    const runs = 1000;
    const alarms = { 1: 0, 1.25: 0 };
    for (let i = 0; i < runs; i++) {
      const [a, b] = [recording(normal), recording(normal)];
      for (const threshold of [1, 1.25] as const)
        if (timing(a, b, { threshold }).rows.some((r) => r.test?.differs === true)) alarms[threshold]++;
    }
    // within four standard deviations of the share that is asked for, over all calls of a comparison together
    const most = runs * (0.01 + 4 * Math.sqrt((0.01 * 0.99) / runs));
    expect(alarms[1]).toBeGreaterThan(0);
    expect(alarms[1]).toBeLessThan(most);
    expect(alarms[1.25]).toBeLessThanOrEqual(alarms[1]);
  });

  test('a call that takes half as long again is found among 200, and no other one', () => {
    const normal = normals(7);
    for (let i = 0; i < 100; i++) {
      const found = timing(recording(normal), recording(normal, 1.5)).rows.filter((r) => r.test?.differs === true);
      expect(found.map((r) => r.call)).toContain('call 3');
    }
  });

  test('the interval has the true factor in 99 of 100 cases', () => {
    const normal = normals(11);
    for (const [size, factor] of [
      [12, 1],
      [60, 1.5],
      [60, 0.4],
    ] as const) {
      let within = 0;
      for (let i = 0; i < 500; i++) {
        const map = (median: number): LatencyMap => new Map([['x\0', logNormal(normal, size, median, 0.5)]]);
        const { low, high, ratio } = timing(map(100_000), map(100_000 * factor)).rows[0]!.test!;
        expect(low).toBeLessThanOrEqual(ratio);
        expect(high).toBeGreaterThanOrEqual(ratio);
        if (low <= factor && factor <= high) within++;
      }
      expect(within / 500).toBeGreaterThan(0.99 - 4 * Math.sqrt((0.01 * 0.99) / 500));
    }
  });

  test('calls that took no time at all', () => {
    const zeros = new Map([['x\0', logNormal(() => -40, 50, 1, 1)]]);
    const none = new Latencies();
    for (let i = 0; i < 50; i++) none.add(0);
    const { ratio, differs } = timing(new Map([['x\0', none]]), zeros).rows[0]!.test!;
    expect(Number.isFinite(ratio) && differs).toBe(true);
  });
});
