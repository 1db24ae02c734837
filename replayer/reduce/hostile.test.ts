import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameCursor } from '../../store/frame.ts';
import { framesSource } from '../script.ts';
import { plots, session } from '../testing.ts';
import { oddFrames } from '../testing-frames.ts';
import { reduction } from './testing.ts';

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

test('frames that no recorder writes', () => {
  found = 0;
  fc.assert(
    fc.property(oddFrames(), fc.nat(1000), (frames, pick) => {
      if (holds(frames, pick)) found++;
    }),
    { numRuns: 200 },
  );
  expect(found).toBeGreaterThan(20);
});
