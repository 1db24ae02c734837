/**
 * Which steps an answer may rest on, the likeliest first: what the call names and who made that, what is said to be in its way, who
 * else has to do with those things, all that was done in its context, and all.
 */
import type { Subject } from './subject.ts';

/** How often who has to do with things has things of its own. */
const TURNS = 3;
/** Of the rings that are asked first: what everything of a context or a process has to do with is not followed. */
const NEAR: ReadonlySet<string> = new Set(['object', 'mapping', 'iova', 'offset', 'length', 'cookie', 'item']);
/** The same buffer is behind very different calls: memory is never followed. */
const WIDE: ReadonlySet<string> = new Set([...NEAR, 'fd']);

export interface Ring {
  readonly steps: readonly number[];
  /** all of a context, or of the session */
  readonly isWide: boolean;
}

/** Sets of steps up to `last`, each a session that could have been, each with all of the one before it. `hints`: steps that are likely to matter. */
export function* rings({ program, needs }: Subject, chosen: number, hints: readonly number[]): Generator<Ring> {
  let ring = needs.closure([chosen]);
  yield { steps: ring, isWide: false };
  const wider = (steps: Iterable<number>): readonly number[] | undefined => {
    const next = needs.closure([...ring, ...steps]).filter((i) => i <= chosen);
    if (next.length === ring.length) return undefined;
    ring = next;
    return ring;
  };
  const hinted = wider(hints.filter((i) => i < chosen));
  if (hinted !== undefined) yield { steps: hinted, isWide: false };
  for (const sorts of [NEAR, WIDE]) {
    for (let turn = 0; turn < TURNS; turn++) {
      const next = wider(neighbours(ring, sorts));
      if (next === undefined) break;
      yield { steps: next, isWide: sorts === WIDE };
    }
  }
  const all = program.steps.map((_, i) => i).slice(0, chosen + 1);
  if (all.length > ring.length) yield { steps: all, isWide: true };

  function* neighbours(steps: readonly number[], sorts: ReadonlySet<string>): Generator<number> {
    const seen = new Set<number>();
    for (const i of steps) {
      const step = program.steps[i]!;
      for (const list of [step.uses, step.defines, step.echoes]) {
        for (const { symbol } of list) {
          const s = program.symbols[symbol];
          if (s === undefined || seen.has(symbol) || !sorts.has(s.sort)) continue;
          seen.add(symbol);
          yield* needs.touching(symbol, chosen);
        }
      }
    }
  }
}
