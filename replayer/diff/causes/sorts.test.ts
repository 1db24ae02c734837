import { expect, test } from 'vitest';
import { Kind } from '../../../store/frame.ts';
import { How } from '../compare.ts';
import type { Sort } from './report.ts';
import { type Likeness, sortOf } from './sorts.ts';

const SAME: Likeness = { how: How.CHANGED, kind: Kind.IOCTL, asked: true, answered: true, errno: true };

test.each<readonly [Sort, Partial<Likeness>]>([
  ['only-a', { how: How.ONLY_A, asked: false }],
  ['only-b', { how: How.ONLY_B, errno: false }],
  ['question', { asked: false, errno: false, answered: false }],
  ['errno', { errno: false, answered: false }],
  ['output', { answered: false }],
  ['records', { kind: Kind.READ, answered: false }],
  ['errno', { kind: Kind.READ, errno: false, answered: false }],
  ['hardware', { kind: Kind.MMIO, answered: false }],
  ['hardware', { kind: Kind.QUEUE, answered: false }],
  // they refer to other things
  ['question', {}],
])('%s: %o', (sort, likeness) => {
  expect(sortOf({ ...SAME, ...likeness })).toBe(sort);
});
