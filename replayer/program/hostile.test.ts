import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DIALECTS, uapiTable } from '../../hw/uapi/table.ts';
import { dialectSession } from '../dialect-sessions.ts';
import { drained } from '../diff/align/align.ts';
import { compareForCauses } from '../diff/kept.ts';
import { causesText } from '../diff/testing.ts';
import { framesSource } from '../script.ts';
import { plots, session } from '../testing.ts';
import { oddFrames } from '../testing-frames.ts';
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

  test('frames that no recorder writes', () => {
    fc.assert(
      fc.property(oddFrames(), (frames) => holds(frames)),
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
