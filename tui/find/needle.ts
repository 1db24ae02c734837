/**
 * What a person types to find events: a condition of the filter language, or a plain text. It becomes a plan: a condition for
 * the index, what is left to look at in each event, and whether that needs the state.
 */
import { type EventLike, eventText } from '../../hw/event-text.ts';
import { parseQuery, type Query } from '../../replayer/query.ts';
import { vocabularyOf } from '../../replayer/query-fields.ts';
import { compileQuery, type Matcher } from '../../replayer/query-match.ts';
import { planQuery } from '../../replayer/query-sql.ts';
import { asksState } from '../../replayer/query-state.ts';
import type { SqlValue, Window } from '../../store/read.ts';
import type { TraceModel } from '../model.ts';
import { type EventContext, textOptions } from '../present/event.ts';
import { CONDITION_WORDS, isExact } from './complete.ts';

/** A condition for the index. */
export interface Rows {
  readonly where: string;
  readonly params: readonly SqlValue[];
  readonly hints: Pick<Window, 'within' | 'failed'>;
  /** no event outside can match */
  readonly from: number;
  readonly to: number;
}

/** How matches are told; `rows` is what the index answers, and all that can match is among them. */
export type Needle =
  | { readonly kind: 'rows'; readonly rows: Rows; readonly also: Matcher | undefined }
  /** the events as `show` prints them */
  | { readonly kind: 'printed'; readonly test: (seq: number) => boolean }
  /** speaks of what only the fold knows: event after event, with the state */
  | { readonly kind: 'folded'; readonly test: Matcher }
  | { readonly kind: 'wrong'; readonly message: string };

export function contains(text: string): (hay: string) => boolean {
  if (isExact(text)) return (hay) => hay.includes(text);
  const wanted = text.toLowerCase();
  return (hay) => hay.toLowerCase().includes(wanted);
}

/** Characters that a plain text has no use for. */
const OPERATORS = /[=<>~&|!()]/;

/** A text for `&`: a condition where it is one; what only looks like one is a mistake; anything else is a plain text. */
export function filterNeedle(model: TraceModel, text: string): Needle {
  const parsed = parseQuery(text, vocabularyOf(model.table));
  if (parsed.ok) return queryNeedle(model, parsed.query);
  if (OPERATORS.test(text)) return { kind: 'wrong', message: parsed.error.message };
  return textNeedle(model, text);
}

/**
 * What a text for `&` still lacks while it is typed: a word of the filter language that no call and no error has in its name
 * is the beginning of a condition. Accepted, it is a plain text as any other. undefined: it can be evaluated, or is a mistake.
 */
export function lackingFilter(model: TraceModel, text: string): string | undefined {
  if (text === '' || isCondition(model, text) || indexNames(model, contains(text)).some((names) => names.length > 0)) return undefined;
  const word = CONDITION_WORDS.find((w) => w.startsWith(text.toLowerCase()));
  return word === undefined ? undefined : `"${word}" begins a condition; Enter looks for the text`;
}

export const isCondition = (model: TraceModel, text: string): boolean => parseQuery(text, vocabularyOf(model.table)).ok;

/** What is wrong with a text for `&`; undefined where nothing is. */
export function wrongFilter(model: TraceModel, text: string): string | undefined {
  const parsed = parseQuery(text, vocabularyOf(model.table));
  return parsed.ok || !OPERATORS.test(text) ? undefined : parsed.error.message;
}

function queryNeedle(model: TraceModel, query: Query): Needle {
  const { table, reader } = model;
  const options = { entered: (seq: number) => model.event(seq) };
  if (asksState(query, table)) return { kind: 'folded', test: compileQuery(query, table, options) };
  const plan = planQuery(query, { calls: reader.calls() });
  const rows: Rows = {
    where: plan.where,
    params: plan.params,
    hints: { failed: plan.failed, ...(plan.within === undefined ? {} : { within: plan.within }) },
    from: plan.from,
    to: plan.to,
  };
  return { kind: 'rows', rows, also: plan.rest.op === 'all' ? undefined : compileQuery(plan.rest, table, options) };
}

/**
 * A text in names of calls or errors is looked for by the index. Any other is looked for in the events as `show` prints
 * them, one by one.
 */
export function textNeedle(model: TraceModel, text: string): Needle {
  const test = contains(text);
  const [names, errors] = indexNames(model, test);
  if (names.length === 0 && errors.length === 0) {
    return model.hasToldByState ? { kind: 'folded', test: foldedTest(model, test) } : { kind: 'printed', test: printedTest(model, test) };
  }
  const list = (column: string, values: readonly string[]): string[] =>
    values.length === 0 ? [] : [`${column} IN (${values.map(() => '?').join(', ')})`];
  const where = [...list('call', names), ...list('error', errors)].join(' OR ');
  const hints = names.length === 0 ? { failed: true } : {};
  return {
    kind: 'rows',
    rows: { where, params: [...names, ...errors], hints, from: 1, to: Number.MAX_SAFE_INTEGER },
    also: undefined,
  };
}

function printedTest(model: TraceModel, test: (hay: string) => boolean): (seq: number) => boolean {
  return (seq) => {
    const event = model.event(seq);
    return event !== undefined && test(printed(event, model.context));
  };
}

/** As printed, where the state has a part in what is printed. */
function foldedTest(model: TraceModel, test: (hay: string) => boolean): Matcher {
  return ({ frame, before }) => test(printed(frame, before === undefined ? model.context : model.contextBy(before)));
}

function printed(event: EventLike, context: EventContext): string {
  const { call, result } = eventText(event, textOptions(context));
  return `${call} ${result}`;
}

/** Names of calls and of errors that pass the test. */
const indexNames = (model: TraceModel, test: (hay: string) => boolean): readonly [calls: string[], errors: string[]] => [
  namesWith(model, 'SELECT DISTINCT call AS name FROM origins LIMIT 5000', test),
  namesWith(model, 'SELECT name FROM errors LIMIT 5000', test),
];

function namesWith(model: TraceModel, sql: string, test: (hay: string) => boolean): string[] {
  return model.reader
    .query(sql)
    .map((row) => String(row.name))
    .filter((name) => name !== '' && test(name));
}
