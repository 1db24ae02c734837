/** What `rerun` and `reduce` have in common where a kernel is asked. */
import type { Options } from './commands.ts';
import { UsageError } from './errors.ts';

/** Reasons that are told in one line. */
const REASONS = 4;
const MOST_SECONDS = 86_400;

/** `--timeout`, milliseconds; undefined where none was given. */
export function timeoutMs(command: string, given: Options[string]): number | undefined {
  if (given === undefined) return undefined;
  const seconds = Number(given);
  if (!(seconds > 0 && seconds <= MOST_SECONDS))
    throw new UsageError(`${command}: --timeout ${String(given)}`, `seconds, more than 0 and at most ${MOST_SECONDS}`);
  return Math.max(1, Math.round(seconds * 1000));
}

/** Which events are not issued, in one line, of the reasons for each; '' none. */
export function leftText(whys: readonly string[]): string {
  if (whys.length === 0) return '';
  const reasons = new Map<string, number>();
  for (const why of whys) reasons.set(why, (reasons.get(why) ?? 0) + 1);
  const most = [...reasons].sort((a, b) => b[1] - a[1]);
  const told = most.slice(0, REASONS).map(([why, n]) => `${why} (${n})`);
  if (most.length > REASONS) told.push('…');
  return `${whys.length} events are not issued again: ${told.join(', ')}`;
}
