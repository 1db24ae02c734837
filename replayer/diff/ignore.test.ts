import { expect, test } from 'vitest';
import { How } from './compare.ts';
import { type IgnoreRule, ignoring } from './ignore.ts';
import type { Cause, Difference, Report } from './report.ts';

const difference = (a: number, call: string): Difference => ({ how: How.CHANGED, a, b: a, sort: 'errno', call });
const cause = (a: number, call: string, known: string | undefined, ...follow: Difference[]): Cause => ({
  difference: difference(a, call),
  fields: [],
  consequences: follow.map((d) => ({ difference: d, link: { by: 'names', may: false } })),
  a: undefined,
  b: undefined,
  known,
});
const report = (...causes: Cause[]): Report => ({
  eventsA: 10,
  eventsB: 10,
  same: 2,
  matched: 8,
  differences: causes.reduce((n, c) => n + 1 + c.consequences.length, 0),
  ignored: new Map(),
  causes,
  stat: [],
  limits: [],
});
const byCall = (name: string, call: string): IgnoreRule => ({ name, ignores: (d) => d.call === call });

test('without rules nothing is touched', () => {
  const r = report(cause(1, 'MAP', undefined));
  expect(ignoring(r, [])).toBe(r);
});

test('with a cause goes what follows from it; both are counted under its rule', () => {
  const r = report(cause(1, 'MAP', undefined, difference(2, 'COPY'), difference(3, 'COPY')), cause(5, 'COPY', undefined));
  const left = ignoring(r, [byCall('maps', 'MAP'), byCall('never', 'X')]);
  expect(left.causes.map((c) => c.difference.a)).toEqual([5]);
  expect(left.differences).toBe(1);
  expect([...left.ignored]).toEqual([
    ['maps', 3],
    ['never', 0],
  ]);
  expect(left.stat).toEqual([
    { sort: 'errno', call: 'MAP', causes: 0, consequences: 0, ignored: 1 },
    { sort: 'errno', call: 'COPY', causes: 1, consequences: 0, ignored: 2 },
  ]);
});

test('a consequence goes alone', () => {
  const left = ignoring(report(cause(1, 'MAP', undefined, difference(2, 'COPY'), difference(3, 'UNMAP'))), [byCall('copies', 'COPY')]);
  expect(left.causes[0]!.consequences.map((c) => c.difference.a)).toEqual([3]);
  expect(left.differences).toBe(2);
  expect(left.ignored.get('copies')).toBe(1);
});

test('a preset sees what a cause is known as, and the first rule that fits counts', () => {
  const preset: IgnoreRule = { name: 'p', ignores: (_, known) => known === 'ioctls' };
  const left = ignoring(report(cause(1, 'MAP', 'ioctls', difference(2, 'MAP')), cause(4, 'MAP', undefined)), [preset, byCall('m', 'MAP')]);
  expect(left.causes).toEqual([]);
  expect([...left.ignored]).toEqual([
    ['p', 2],
    ['m', 1],
  ]);
});
