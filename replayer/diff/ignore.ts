/** Rules by which differences do not count. What is ignored is counted by rule: it is never silently gone. */
import type { Cause, Difference, Report, StatLine } from './report.ts';

export interface IgnoreRule {
  /** as people call it: the expression, its name in a file of rules, or that of a preset */
  readonly name: string;
  /** is it this difference? `known`: of a cause, the row of known differences that it is */
  ignores(difference: Difference, known: string | undefined): boolean;
}

/** Counts of one sort and call. */
interface Counts {
  causes: number;
  consequences: number;
  ignored: number;
}

class Statistics {
  readonly #lines = new Map<string, Counts & Pick<StatLine, 'sort' | 'call'>>();

  count(d: Pick<Difference, 'sort' | 'call'>, what: keyof Counts, n = 1): void {
    const key = `${d.sort} ${d.call}`;
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = { sort: d.sort, call: d.call, causes: 0, consequences: 0, ignored: 0 };
      this.#lines.set(key, line);
    }
    line[what] += n;
  }
  get lines(): StatLine[] {
    return [...this.#lines.values()];
  }
}

/**
 * The report without what the rules ignore. With a cause goes what follows from it, whatever the rules say of that; a
 * consequence goes alone.
 */
export function ignoring(report: Report, rules: readonly IgnoreRule[]): Report {
  if (rules.length === 0) return report;
  const ignored = new Map(report.ignored);
  for (const rule of rules) if (!ignored.has(rule.name)) ignored.set(rule.name, 0);
  const statistics = new Statistics();
  for (const line of report.stat) if (line.ignored > 0) statistics.count(line, 'ignored', line.ignored);
  const drop = (d: Difference, rule: string): void => {
    ignored.set(rule, (ignored.get(rule) ?? 0) + 1);
    statistics.count(d, 'ignored');
  };
  const causes: Cause[] = [];
  let differences = 0;
  for (const cause of report.causes) {
    const rule = rules.find((r) => r.ignores(cause.difference, cause.known));
    if (rule !== undefined) {
      drop(cause.difference, rule.name);
      for (const c of cause.consequences) drop(c.difference, rule.name);
      continue;
    }
    const consequences = cause.consequences.filter((c) => {
      const own = rules.find((r) => r.ignores(c.difference, undefined));
      if (own !== undefined) drop(c.difference, own.name);
      return own === undefined;
    });
    statistics.count(cause.difference, 'causes');
    for (const c of consequences) statistics.count(c.difference, 'consequences');
    differences += 1 + consequences.length;
    causes.push(consequences.length === cause.consequences.length ? cause : { ...cause, consequences });
  }
  return { ...report, causes, differences, ignored, stat: statistics.lines };
}
