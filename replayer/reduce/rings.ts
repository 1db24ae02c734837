/**
 * Which steps an answer may rest on, the likeliest first: what the call names and who made that, what is said to be in its way, who
 * else has to do with those things, all that was done in its context, and all.
 */
import type { Subject } from './subject.ts';

/** How often who has to do with things has things of its own. */
const TURNS = 3;
/** Kinds of symbols that everything of a context or a process has to do with. */
const COMMON: ReadonlySet<string> = new Set(['fd', 'process', 'memory']);

/** Sets of steps up to `last`, each a session that could have been, each with all of the one before it. `hints`: steps that are likely to matter. */
export function* rings({ program, needs }: Subject, chosen: number, hints: readonly number[]): Generator<readonly number[]> {
  let ring = needs.closure([chosen]);
  yield ring;
  const wider = (steps: Iterable<number>): readonly number[] | undefined => {
    const next = needs.closure([...ring, ...steps]).filter((i) => i <= chosen);
    if (next.length === ring.length) return undefined;
    ring = next;
    return ring;
  };
  const hinted = wider(hints.filter((i) => i < chosen));
  if (hinted !== undefined) yield hinted;
  for (const common of [false, true]) {
    for (let turn = 0; turn < TURNS; turn++) {
      const next = wider(neighbours(ring, common));
      if (next === undefined) break;
      yield next;
    }
  }
  const all = program.steps.map((_, i) => i).slice(0, chosen + 1);
  if (all.length > ring.length) yield all;

  function* neighbours(steps: readonly number[], common: boolean): Generator<number> {
    const seen = new Set<number>();
    for (const i of steps) {
      const step = program.steps[i]!;
      for (const list of [step.uses, step.defines, step.echoes]) {
        for (const { symbol } of list) {
          const s = program.symbols[symbol];
          if (s === undefined || seen.has(symbol) || s.sort === 'process' || (!common && COMMON.has(s.sort))) continue;
          seen.add(symbol);
          yield* needs.touching(symbol, chosen);
        }
      }
    }
  }
}
