/** For tests: frames that no recorder writes. A trace of a stranger may have them. */
import fc from 'fast-check';
import { uapiTable } from '../hw/uapi/table.ts';
import { encodeFrame, type Frame, makeFrame, type Part, type PartKind } from '../store/frame.ts';

const REQUESTS = uapiTable('linux-7.2').commands.map((c) => c.request);
const MOST = 40;

const u64 = fc.oneof(
  fc.constantFrom(0n, 1n, 8n, 4096n, 0xffff_ffffn, 0x7f12_3456_7000n, 0xffff_ffff_ffff_ffffn),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);
const texts = fc.constantFrom('/dev/iommu', '\x1b]0;evil\x07\u202e', 'a\0b').map((t) => new TextEncoder().encode(t));

const partOf = (bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Part> =>
  fc.record({
    kind: fc.integer({ min: 0, max: 8 }) as fc.Arbitrary<PartKind>,
    flags: fc.nat(255),
    slot: fc.constantFrom(0, 1, 16, 24, 32),
    wanted: u64,
    address: u64,
    bytes: fc.oneof(
      bytes,
      fc.uint8Array({ maxLength: 80 }),
      fc.array(fc.nat(9), { minLength: 4, maxLength: 18 }).map((a) => new Uint8Array(new Uint32Array(a).buffer)),
      fc.array(u64, { minLength: 1, maxLength: 6 }).map((a) => new Uint8Array(new BigUint64Array(a).buffer)),
    ),
  });

/** What frames are to have beside the usual. */
export interface OddFrames {
  /** bytes of parts: texts that are to break out of where they are put */
  readonly bytes?: fc.Arbitrary<Uint8Array>;
  /** kinds of events and files, and states, that there are none of */
  readonly unknown?: boolean;
}

/** Some frames, encoded and numbered from 1: few processes and descriptors, calls of the uAPI and others, parts of any content. */
export function oddFrames({ bytes = texts, unknown = false }: OddFrames = {}): fc.Arbitrary<Buffer[]> {
  const any = unknown ? [fc.nat(255)] : [];
  const frame: fc.Arbitrary<Frame> = fc
    .record({
      kind: fc.oneof(fc.integer({ min: 1, max: 22 }), fc.constant(1), ...any),
      state: fc.oneof(fc.constantFrom(1, 2), ...any),
      flags: fc.nat(7),
      fileKind: fc.oneof(fc.nat(12), fc.constant(1), ...any),
      tEnter: u64,
      tExit: u64,
      pid: fc.nat(3),
      tid: fc.nat(3),
      fd: fc.integer({ min: -1, max: 9 }),
      file: fc.nat(4),
      request: fc.oneof(fc.constantFrom(...REQUESTS), fc.nat(6), fc.nat(0xffff_ffff)),
      error: fc.oneof(fc.constant(0), fc.integer({ min: -5, max: 200 })),
      ret: fc.oneof(fc.constantFrom(0n, -1n, 3n), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
      parts: fc.array(partOf(bytes), { maxLength: 4 }),
    })
    .map((f) => makeFrame(f));
  return fc.array(frame, { minLength: 1, maxLength: MOST }).map((frames) => frames.map((f, i) => encodeFrame({ ...f, seq: i + 1 })));
}
