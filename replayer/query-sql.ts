/**
 * What of a query the index can answer. The condition it gives is implied by the query: every event that meets the query
 * meets the condition; where `exact`, the other way round too.
 */
import { and, type Comparison, type Query } from './query.ts';

export type SqlValue = number | bigint | string;

/** A condition over store's wide view `events`. */
export interface SqlCondition {
  readonly where: string;
  readonly params: readonly SqlValue[];
  readonly exact: boolean;
}

export interface SqlOptions {
  /** every name that stands in the column `call` of this trace; without it, patterns are left to the residual */
  readonly calls?: readonly string[];
}

const ALL: SqlCondition = { where: '1', params: [], exact: false };
const SQL_COMPARISON: { readonly [C in Comparison]: string } = { '==': '=', '!=': '<>', '<': '<', '<=': '<=', '>': '>', '>=': '>=' };
/** Columns that may be NULL: a comparison with NULL is false in this language. */
const NULLABLE: ReadonlySet<string> = new Set(['took', 'ret', 'context']);
const INT64_MAX = (1n << 63n) - 1n;

export function toSql(query: Query, options: SqlOptions = {}): SqlCondition {
  switch (query.op) {
    case 'all':
      return { where: '1', params: [], exact: true };
    case 'and':
      return both(toSql(query.left, options), toSql(query.right, options), 'AND');
    case 'or':
      return both(toSql(query.left, options), toSql(query.right, options), 'OR');
    case 'not': {
      const inner = toSql(query.inner, options);
      return inner.exact ? { ...inner, where: `NOT (${inner.where})` } : ALL;
    }
    case 'column':
      // The view spells kinds in capitals.
      return compare(query.column, query.comparison, query.column === 'kind' ? String(query.value).toUpperCase() : query.value);
    case 'match':
      return pattern(query.column, query.pattern, options);
    case 'flag':
      return query.flag === 'error' ? { where: 'errno <> 0', params: [], exact: true } : ALL;
    case 'field':
    case 'text':
    case 'object':
    case 'change':
    case 'register':
      return ALL;
  }
}

function both(a: SqlCondition, b: SqlCondition, word: 'AND' | 'OR'): SqlCondition {
  if (word === 'AND' && a.where === '1') return { ...b, exact: a.exact && b.exact };
  if (word === 'AND' && b.where === '1') return { ...a, exact: a.exact && b.exact };
  return { where: `(${a.where}) ${word} (${b.where})`, params: [...a.params, ...b.params], exact: a.exact && b.exact };
}

function compare(column: string, comparison: Comparison, value: bigint | string): SqlCondition {
  if (typeof value === 'bigint' && (value > INT64_MAX || value < -INT64_MAX - 1n)) {
    // No column can hold it: the answer does not depend on the event (unless the event has no such value).
    const always = comparison === '!=' || (value > 0n ? comparison.startsWith('<') : comparison.startsWith('>'));
    return { where: always ? (NULLABLE.has(column) ? `${column} IS NOT NULL` : '1') : '0', params: [], exact: true };
  }
  const test = `${column} ${SQL_COMPARISON[comparison]} ?`;
  return { where: NULLABLE.has(column) ? `(${column} IS NOT NULL AND ${test})` : test, params: [value], exact: true };
}

function pattern(column: 'call' | 'kind', text: string, options: SqlOptions): SqlCondition {
  if (column !== 'call' || options.calls === undefined) return ALL;
  const test = new RegExp(text, 'iu');
  const names = options.calls.filter((name) => test.test(name));
  if (names.length > 200) return ALL;
  return { where: names.length === 0 ? '0' : `call IN (${names.map(() => '?').join(',')})`, params: names, exact: true };
}

/** SQLite's limit is 32766. */
const MOST_PARAMS = 30_000;

/** How a query is answered: events that meet the condition, of those the ones that meet `rest`. */
export interface QueryPlan {
  readonly where: string;
  readonly params: readonly SqlValue[];
  /** a part of the condition that uses only columns that repeat (pid, call, object …): store passes over chunks by it */
  readonly within: { readonly where: string; readonly params: readonly SqlValue[] } | undefined;
  /** only failed calls can meet the query */
  readonly failed: boolean;
  /** no event before `from` or after `to` can meet it */
  readonly from: number;
  readonly to: number;
  /** what the condition does not answer; `{op: 'all'}` where it answers all */
  readonly rest: Query;
}

export function planQuery(query: Query, options: SqlOptions = {}): QueryPlan {
  const sql = toSql(query, options);
  const few = sql.params.length <= MOST_PARAMS;
  const all = conjuncts(query);
  const origin = all.filter((q) => usesOnlyOrigin(q)).map((q) => toSql(q, options));
  const within = origin
    .filter((c) => c.exact && c.where !== '1')
    .reduce<SqlCondition | undefined>((a, b) => (a === undefined ? b : both(a, b, 'AND')), undefined);
  const [from, to] = seqBounds(all);
  return {
    where: few ? sql.where : '1',
    params: few ? sql.params : [],
    within: within === undefined || within.params.length > MOST_PARAMS ? undefined : { where: within.where, params: within.params },
    failed: all.some(onlyFailed),
    from,
    to,
    rest: few ? residual(query, options) : query,
  };
}

function conjuncts(query: Query): Query[] {
  return query.op === 'and' ? [...conjuncts(query.left), ...conjuncts(query.right)] : [query];
}

/** Columns of store's dictionary of origins. */
const ORIGIN: ReadonlySet<string> = new Set(['pid', 'tid', 'kind', 'call', 'fd', 'file', 'context']);

function usesOnlyOrigin(q: Query): boolean {
  switch (q.op) {
    case 'column':
      return ORIGIN.has(q.column);
    case 'match':
      return true;
    case 'and':
    case 'or':
      return usesOnlyOrigin(q.left) && usesOnlyOrigin(q.right);
    case 'not':
      return usesOnlyOrigin(q.inner);
    default:
      return false;
  }
}

/** Does every event that meets the query have errno != 0? */
function onlyFailed(q: Query): boolean {
  if (q.op === 'flag') return q.flag === 'error';
  if (q.op === 'or') return onlyFailed(q.left) && onlyFailed(q.right);
  if (q.op === 'and') return onlyFailed(q.left) || onlyFailed(q.right);
  if (q.op !== 'column' || q.column !== 'errno' || typeof q.value !== 'bigint') return false;
  return (
    (q.comparison === '!=' && q.value === 0n) ||
    (q.comparison === '==' && q.value !== 0n) ||
    (q.comparison === '>' && q.value >= 0n) ||
    (q.comparison === '>=' && q.value > 0n)
  );
}

const LARGEST = BigInt(Number.MAX_SAFE_INTEGER);

function seqBounds(all: readonly Query[]): [number, number] {
  let from = 1n;
  let to = LARGEST;
  for (const q of all) {
    if (q.op !== 'column' || q.column !== 'seq' || typeof q.value !== 'bigint') continue;
    const least = q.comparison === '==' || q.comparison === '>=' ? q.value : q.comparison === '>' ? q.value + 1n : from;
    const most = q.comparison === '==' || q.comparison === '<=' ? q.value : q.comparison === '<' ? q.value - 1n : to;
    if (least > from) from = least;
    if (most < to) to = most;
  }
  if (from > LARGEST) from = LARGEST;
  return [Number(from), Number(to < 0n ? 0n : to)];
}

function residual(query: Query, options: SqlOptions): Query {
  if (toSql(query, options).exact) return { op: 'all' };
  if (query.op !== 'and') return query;
  return and(residual(query.left, options), residual(query.right, options));
}
