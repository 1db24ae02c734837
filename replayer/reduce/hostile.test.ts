import fc from 'fast-check';
import { expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, type Frame, FrameCursor, makeFrame, type Part, type PartKind } from '../../store/frame.ts';
import { framesSource } from '../script.ts';
import { plots, session } from '../testing.ts';
import { reduction } from './testing.ts';

const table = uapiTable('linux-7.2');
const source = (frames: readonly Buffer[]) => ({ ...framesSource(frames, 'linux-7.2'), meta: { dialect: 'linux-7.2', source: 'preload' } });

/** Whatever is asked of it, it ends, and what it gives meets what was asked and is not longer. */
function holds(frames: readonly Buffer[], pick: number): boolean {
  const seq = 1 + (pick % frames.length);
  const { error } = new FrameCursor().at(frames[seq - 1]!, 0).frame();
  const { found } = reduction(source(frames), seq, error === 0 ? 'errno == 0' : `errno == ${Math.max(0, error)}`);
  if (found === undefined) return false;
  const run = found.attempt.run;
  expect(run.frames.length).toBeLessThanOrEqual(frames.length);
  if (error >= 0) expect(new FrameCursor().at(run.frames[found.attempt.at]!, 0).error).toBe(error);
  return true;
}

let found = 0;
test('calls that no kernel would have let pass', () => {
  fc.assert(
    fc.property(plots, fc.nat(1000), (plot, pick) => {
      const { frames } = session(plot);
      if (frames.length > 0 && holds(frames, pick)) found++;
    }),
    { numRuns: 100 },
  );
  expect(found).toBeGreaterThan(20);
});

const u64 = fc.oneof(fc.constantFrom(0n, 1n, 8n, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.array(fc.nat(9), { minLength: 4, maxLength: 18 }).map((a) => new Uint8Array(new Uint32Array(a).buffer)),
);
const part: fc.Arbitrary<Part> = fc.record({
  kind: fc.integer({ min: 0, max: 8 }) as fc.Arbitrary<PartKind>,
  flags: fc.nat(255),
  slot: fc.constantFrom(0, 1, 16, 24, 32),
  wanted: u64,
  address: u64,
  bytes,
});
const frame: fc.Arbitrary<Frame> = fc
  .record({
    kind: fc.oneof(fc.integer({ min: 1, max: 22 }), fc.constant(1)),
    state: fc.constantFrom(1, 2),
    flags: fc.nat(7),
    fileKind: fc.oneof(fc.nat(12), fc.constant(1)),
    tEnter: u64,
    tExit: u64,
    pid: fc.nat(3),
    tid: fc.nat(3),
    fd: fc.integer({ min: -1, max: 9 }),
    file: fc.nat(4),
    request: fc.oneof(fc.constantFrom(...table.commands.map((c) => c.request)), fc.nat(6), fc.nat(0xffff_ffff)),
    error: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 200 })),
    ret: fc.oneof(fc.constantFrom(0n, -1n, 3n), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
    parts: fc.array(part, { maxLength: 4 }),
  })
  .map((f) => makeFrame(f));

test('frames that no recorder writes', () => {
  found = 0;
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 30 }), fc.nat(1000), (frames, pick) => {
      const numbered = frames.map((f, i) => encodeFrame({ ...f, seq: i + 1 }));
      if (holds(numbered, pick)) found++;
    }),
    { numRuns: 200 },
  );
  expect(found).toBeGreaterThan(20);
});
