import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DIALECTS, uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, type Frame, makeFrame, type Part, type PartKind } from '../../store/frame.ts';
import { dialectSession } from '../dialect-sessions.ts';
import { drained } from '../diff/align/align.ts';
import { compareForCauses } from '../diff/kept.ts';
import { causesText } from '../diff/testing.ts';
import { framesSource } from '../script.ts';
import { plots, session } from '../testing.ts';
import { programOf } from './program-of.ts';
import { runOnModel } from './run.ts';
import { stepText } from './text.ts';
import { framesOf } from './values.ts';

const table = uapiTable('linux-7.2');
/** Its program gives the frames back, runs whole and in part, and can be printed. */
function holds(frames: readonly Buffer[]): void {
  const program = drained(programOf(framesSource(frames, 'linux-7.2'), table));
  expect(framesOf(program).map((f) => f.toString('hex'))).toEqual(frames.map((f) => f.toString('hex')));
  for (const step of program.steps) expect(stepText(program, step, table)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u);
  for (const u of program.steps.flatMap((s) => [...s.uses, ...s.echoes])) expect(program.symbols[u.symbol]?.index).toBe(u.symbol);
  runOnModel(program);
  runOnModel(program, { steps: program.steps.flatMap((_, i) => (i % 3 === 0 ? [] : [i])) });
}

describe('whatever the log says', () => {
  test('calls that no kernel would have let pass', () => {
    fc.assert(
      fc.property(plots, (plot) => holds(session(plot).frames)),
      { numRuns: 60 },
    );
  });

  const u64 = fc.oneof(fc.constantFrom(0n, 1n, 8n, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.array(fc.nat(9), { minLength: 4, maxLength: 18 }).map((a) => new Uint8Array(new Uint32Array(a).buffer)),
    fc.constantFrom('/dev/iommu', '\x1b]0;evil\x07\u202e').map((t) => new TextEncoder().encode(t)),
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
      error: fc.oneof(fc.constant(0), fc.integer({ min: -5, max: 200 })),
      ret: fc.oneof(fc.constantFrom(0n, -1n, 3n), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
      parts: fc.array(part, { maxLength: 4 }),
    })
    .map((f) => makeFrame(f));

  test('frames that no recorder writes', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 40 }), (frames) =>
        holds(frames.map((f, i) => encodeFrame({ ...f, seq: i + 1 }))),
      ),
      { numRuns: 300 },
    );
  });
});

test.each(DIALECTS)('the session of %s: run again, it is the same', (dialect) => {
  const source = dialectSession(dialect).script.source();
  const own = uapiTable(dialect);
  const { frames } = runOnModel(drained(programOf(source, own)));
  const sides = [
    { source, table: own },
    { source: framesSource(frames, dialect), table: own },
  ] as const;
  expect(causesText(drained(compareForCauses(...sides)).report)).toEqual([]);
});
