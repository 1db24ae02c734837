/** For tests of the store: random frames, everything that the layout allows, also what no kernel would do; small traces. */
import fc from 'fast-check';
import { TraceWriter, type WriterOptions } from './append.ts';
import { encodeFrame, type Frame, type Part, type PartKind } from './frame.ts';
import type { TraceMeta } from './meta.ts';
import { synthetic } from './synthetic.ts';

const u64 = fc.oneof(fc.bigInt(0n, 3n), fc.bigInt(0n, (1n << 64n) - 1n));
const u32 = fc.oneof(fc.nat(3), fc.nat({ max: 2 ** 32 - 1 }));
const i32 = fc.oneof(fc.integer({ min: -1, max: 40 }), fc.integer());

const part: fc.Arbitrary<Part> = fc.record({
  kind: fc.integer({ min: 0, max: 7 }) as fc.Arbitrary<PartKind>,
  flags: fc.nat(7),
  slot: fc.oneof(fc.nat(3), fc.nat(65535)),
  wanted: u64,
  address: u64,
  bytes: fc.oneof(
    fc.uint8Array({ maxLength: 72 }),
    fc.nat(5000).map((n) => new Uint8Array(n).fill(n)),
  ),
});

/** Any frame; its seq is 0. */
export const anyFrame: fc.Arbitrary<Frame> = fc.record({
  seq: fc.constant(0),
  kind: fc.oneof(fc.nat(17), fc.nat(255)),
  state: fc.oneof(fc.constantFrom(1, 2), fc.nat(255)),
  flags: fc.nat(255),
  fileKind: fc.nat(255),
  tEnter: u64,
  tExit: u64,
  pid: u32,
  tid: u32,
  fd: i32,
  file: u32,
  request: u32,
  error: fc.oneof(fc.constant(0), fc.nat(40), fc.integer()),
  ret: fc.oneof(fc.constantFrom(0n, -1n, 7n), fc.bigInt(-(1n << 63n), (1n << 63n) - 1n)),
  parts: fc.oneof(fc.constant([]), fc.array(part, { maxLength: 4 })),
});

/** Bytes of frames: as encoded, or with anything after the header (parts that no decoder understands). */
export const anyFrameBytes: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 4, arbitrary: anyFrame.map(encodeFrame) },
  {
    weight: 1,
    arbitrary: fc.tuple(anyFrame, fc.uint8Array({ maxLength: 64 })).map(([frame, noise]) => {
      const bytes = encodeFrame(frame);
      bytes.set(noise.subarray(0, bytes.length - 64), 64);
      return bytes;
    }),
  },
);

/** A meta with something in every field that has to be there. */
export const TEST_META: TraceMeta = {
  v: 1,
  tool: 'test',
  kernel: '6.12.0',
  machine: 'x86_64',
  cpu: 'none',
  command: ['a', 'b'],
  cwd: '/',
  dialect: 'linux-6.12',
  clock: { realtimeNs: 1n << 60n, monotonicNs: 5_000_000_000n },
  complete: false,
  dropped: 0,
};

/** Appends `count` events of a made-up session. */
export function appendSynthetic(writer: TraceWriter, count: number, seed = 1): void {
  for (const { frame, row } of synthetic(count, seed)) writer.append(encodeFrame(frame), 0, row);
}

/** A finished trace of a made-up session; gives its path back. */
export function writeTrace(path: string, count: number, options: WriterOptions = {}): string {
  const writer = TraceWriter.create(path, TEST_META, options);
  appendSynthetic(writer, count);
  writer.finish();
  return path;
}
