/** Processes of two traces by their digests: which is which, as processes.ts says it. */
import { drained } from '../align/align.ts';
import { type Family, likeness, matchFamilies } from '../align/processes.ts';
import { AskCounts } from './asks.ts';
import type { TraceDigest } from './digests.ts';
import { join, likenessOf, type Sketched } from './sketch.ts';
import { mixHigh, mixLow } from './sums.ts';

/** → for each process of `a` the index of that of `b`, -1 for none */
export function matchDigests(a: TraceDigest, b: TraceDigest): Int32Array {
  const [mine, theirs] = [withChildren(a), withChildren(b)];
  // most processes have one that is the same
  let counts: readonly [AskCounts, AskCounts] | undefined;
  const like = (i: number, j: number): number => {
    counts ??= [new AskCounts(a.asks, a.processes), new AskCounts(b.asks, b.processes)];
    const [x, y] = [counts[0].of(i), counts[1].of(j)];
    return x === undefined || y === undefined ? likenessOf(mine, i, theirs, j) : likeness(x, y);
  };
  return drained(matchFamilies(mine, theirs, like));
}

/** Processes with what their children do: a process may be there only to fork another. */
function withChildren({ processes, sketches: own }: TraceDigest): Family & Sketched {
  const parents = processes.map((p) => p.parent);
  const all = processes.map((p) => p.said);
  const sketches = own.slice();
  const events = processes.map((p) => p.events);
  // children come behind their parents, so their own is complete when it is told to the parent
  for (let i = processes.length - 1; i >= 0; i--) {
    const of = parents[i]!;
    if (of < 0 || of >= i) continue;
    const [low, high] = [all[i]! | 0, (all[i]! / 0x1_0000_0000) | 0];
    const [lowOf, highOf] = [all[of]! | 0, (all[of]! / 0x1_0000_0000) | 0];
    all[of] = (mixLow(lowOf, low, high) >>> 0) * 0x20_0000 + (mixHigh(highOf, low, high) >>> 11);
    // what grandchildren do is not told: in a long line of forks all would be told again and again
    join(sketches, of, own, i);
    events[of]! += processes[i]!.events;
  }
  return { parents, born: processes.map((p) => p.born), all, sketches, events };
}
