/**
 * CALLSET: events by number. `4`, `100-200`, `10-`, `-20`, lists with commas, a filter behind a slash (`100-200/errors`),
 * `@file` with one set per line (`#` begins a comment).
 */
import { readFileSync } from 'node:fs';
import type { Query } from '../../replayer/query.ts';
import { UsageError } from './errors.ts';

/** What may stand behind the slash. */
const FILTERS: Readonly<Record<string, Query>> = {
  errors: { op: 'flag', flag: 'error' },
  unfinished: { op: 'flag', flag: 'unfinished' },
  changes: { op: 'change', word: 'changed', subject: { types: [], id: undefined } },
  ioctls: { op: 'column', column: 'kind', comparison: '==', value: 'ioctl' },
};

const ITEM = /^(?:(\d+)|(\d*)-(\d*)|\*)?(?:\/(\w+))?$/;

/** True where a word can be a CALLSET and not a file name. */
export const looksLikeCallset = (word: string): boolean =>
  word.startsWith('@') || (word !== '' && word.split(',').every((item) => ITEM.test(item)));

/**
 * @param read reads a file that `@file` names
 * @throws UsageError naming the piece that is no set of events
 */
export function parseCallset(text: string, read: (path: string) => string = (path) => readFileSync(path, 'utf8')): Query {
  if (text.startsWith('@')) return fromFile(text.slice(1), read);
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
    .map(item);
  if (items.length === 0) throw new UsageError('an empty set of events');
  return balanced(items);
}

const WHY: Readonly<Record<string, string>> = { ENOENT: 'no such file', EACCES: 'permission denied', EISDIR: 'is a directory' };

function fromFile(path: string, read: (path: string) => string): Query {
  let text: string;
  try {
    text = read(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new UsageError(`@${path}: ${WHY[code] ?? (error instanceof Error ? error.message : String(error))}`);
  }
  const lines = text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  if (lines.length === 0) throw new UsageError(`@${path}: names no events`);
  if (lines.some((line) => line.startsWith('@'))) throw new UsageError(`@${path}: a set in a file cannot name another file`);
  return balanced(lines.map((line) => parseCallset(line, read)));
}

/** Meets these events; without any, none. */
export const seqsQuery = (seqs: readonly number[]): Query =>
  balanced((seqs.length === 0 ? [0] : seqs).map((n) => ({ op: 'column', column: 'seq', comparison: '==', value: BigInt(n) })));

/** Alternatives as a tree of little depth: a list in a file may be long. */
function balanced(items: readonly Query[]): Query {
  if (items.length === 1) return items[0]!;
  const half = items.length >> 1;
  return { op: 'or', left: balanced(items.slice(0, half)), right: balanced(items.slice(half)) };
}

function item(text: string): Query {
  const match = ITEM.exec(text);
  const hint = 'events by number: 4, 100-200, 10-, -20, 100-200/errors, @file';
  if (match === null) throw new UsageError(`"${text}" is no set of events`, hint);
  const [, single, from, to, filter] = match;
  const range = seqRange(single ?? from, single ?? to);
  if (filter === undefined) return range;
  const query = FILTERS[filter];
  if (query === undefined) throw new UsageError(`"${filter}" is no filter`, `filters: ${Object.keys(FILTERS).join(', ')}`);
  return range.op === 'all' ? query : { op: 'and', left: range, right: query };
}

function seqRange(from: string | undefined, to: string | undefined): Query {
  const low: Query | undefined = from ? { op: 'column', column: 'seq', comparison: '>=', value: BigInt(from) } : undefined;
  const high: Query | undefined = to ? { op: 'column', column: 'seq', comparison: '<=', value: BigInt(to) } : undefined;
  if (low === undefined) return high ?? { op: 'all' };
  return high === undefined ? low : { op: 'and', left: low, right: high };
}
