/** Random frames for property tests: everything that the layout allows, also what no kernel would do. */
import fc from 'fast-check';
import { encodeFrame, type Frame, type Part, type PartKind } from './frame.ts';

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
