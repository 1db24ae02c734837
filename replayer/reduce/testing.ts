/** For tests: reductions of traces by expressions. */

import type { TraceMeta } from '../../store/meta.ts';
import { drained } from '../diff/align/align.ts';
import { tableOf } from '../fold.ts';
import type { Program } from '../program/program.ts';
import { type ProgramSource, programOf } from '../program/program-of.ts';
import { parseQuery, type Query } from '../query.ts';
import { vocabularyOf } from '../query-fields.ts';
import { machineOf } from '../recorded-machine.ts';
import { explanationOf, hintsOf } from './choose.ts';
import type { JudgeOptions, Wish } from './judge.ts';
import { type Found, Reducer } from './reduce.ts';
import { subjectOf } from './subject.ts';

export interface Reduction {
  readonly program: Program;
  readonly found: Found | undefined;
  readonly options: JudgeOptions;
}

function queryIn(text: string, source: ProgramSource): Query {
  const parsed = parseQuery(text, vocabularyOf(tableOf(source.meta)));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.query;
}

/** Reduces a session to what event `seq` needs to meet an expression, by the same rule. */
export function reduction(
  source: ProgramSource & { readonly meta: Partial<TraceMeta> },
  seq: number,
  text: string,
  wish: Partial<Wish> = {},
): Reduction {
  const table = tableOf(source.meta);
  const program = drained(programOf(source, table));
  const chosen = program.steps.findIndex((s) => s.seq === seq);
  const machine = machineOf(source.meta as TraceMeta);
  const because = explanationOf(source, table, seq, machine);
  const options: JudgeOptions = {
    wish: {
      query: queryIn(text, source),
      kept: undefined,
      rule: because?.rule || undefined,
      otherwise: undefined,
      difference: undefined,
      ...wish,
    },
    table,
    machine,
    oracle: undefined,
    most: source.last,
  };
  const subject = subjectOf(
    program,
    chosen,
    program.steps.map((s) => s.seq),
  );
  const found = drained(new Reducer(subject, hintsOf(program, because), options).run());
  return { program, found, options };
}
