/** Delta debugging: the fewest steps that are enough, by leaving out ever smaller parts. */
import type { Dependencies } from './dependencies.ts';

/**
 * Leaves out of `steps` (ascending) what can be left out. `enough` says whether some of them still are; it has said so of `steps`. What
 * stands on a step goes with it; what `stays` names does. In the end no single step can be left out. Yields after each trial.
 */
export function* minimise(
  steps: readonly number[],
  stays: ReadonlySet<number>,
  needs: Dependencies,
  enough: (steps: readonly number[]) => boolean,
): Generator<void, readonly number[]> {
  let best = steps;
  for (let size = Math.max(1, best.length >> 1); ; size = Math.max(1, size >> 1)) {
    const before = best.length;
    // what comes late stands on what comes early, and seldom the other way round
    for (let end = best.length; end > 0; end = Math.min(end - size, best.length)) {
      const fewer = smaller(best, best.slice(Math.max(0, end - size), end), stays, needs);
      if (fewer === undefined) continue;
      if (enough(fewer)) best = fewer;
      yield;
    }
    if (size === 1 && best.length === before) return best;
  }
}

/** undefined: nothing would go, or what is to stay. */
function smaller(steps: readonly number[], some: readonly number[], stays: ReadonlySet<number>, needs: Dependencies): number[] | undefined {
  const gone = new Set(some.filter((i) => !stays.has(i) && !needs.tells(i)));
  if (gone.size === 0) return undefined;
  const fewer = needs.without(steps, gone);
  if (fewer.length === steps.length) return undefined;
  const left = new Set(fewer);
  return [...stays].every((i) => left.has(i)) ? fewer : undefined;
}
