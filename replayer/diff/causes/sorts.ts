/** What sort of difference it is, by what of two events differs. */
import { Kind } from '../../../store/frame.ts';
import { How } from '../compare.ts';
import type { Sort } from './report.ts';

export interface Likeness {
  readonly how: How;
  /** one of {@link Kind} */
  readonly kind: number;
  /** they ask the same, what they refer to left aside */
  readonly asked: boolean;
  /** they are answered the same, what that refers to left aside */
  readonly answered: boolean;
  /** they have the same errno */
  readonly errno: boolean;
}

export function sortOf(x: Likeness): Sort {
  if (x.how === How.ONLY_A) return 'only-a';
  if (x.how === How.ONLY_B) return 'only-b';
  if (x.kind === Kind.MMIO || x.kind === Kind.QUEUE) return 'hardware';
  if (!x.asked) return 'question';
  if (!x.errno) return 'errno';
  if (x.kind === Kind.READ) return 'records';
  // what is left is what they refer to, and that is a part of the question
  return x.answered ? 'question' : 'output';
}
