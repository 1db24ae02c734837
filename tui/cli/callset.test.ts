import { describe, expect, test } from 'vitest';
import type { Query } from '../../replayer/query.ts';
import { looksLikeCallset, parseCallset } from './callset.ts';

const at = (comparison: '>=' | '<=', value: number): Query => ({ op: 'column', column: 'seq', comparison, value: BigInt(value) });
const both = (left: Query, right: Query): Query => ({ op: 'and', left, right });
const either = (left: Query, right: Query): Query => ({ op: 'or', left, right });
const errors: Query = { op: 'flag', flag: 'error' };

describe('a CALLSET', () => {
  test.each<[string, Query]>([
    ['4', both(at('>=', 4), at('<=', 4))],
    ['100-200', both(at('>=', 100), at('<=', 200))],
    ['10-', at('>=', 10)],
    ['-20', at('<=', 20)],
    ['*', { op: 'all' }],
    ['10-20/errors', both(both(at('>=', 10), at('<=', 20)), errors)],
    ['/errors', errors],
    ['10-,/errors', either(at('>=', 10), errors)],
    [' 1- , -2 ', either(at('>=', 1), at('<=', 2))],
  ])('%s', (text, query) => {
    expect(parseCallset(text)).toEqual(query);
  });

  test('in a file: one set in a line, # begins a comment', () => {
    const files: Record<string, string> = { a: '# first\n10-  # from ten\n\n/errors\n', none: '# nothing\n', loop: '@loop\n' };
    const read = (path: string): string => files[path]!;
    expect(parseCallset('@a', read)).toEqual(either(at('>=', 10), errors));
    expect(() => parseCallset('@none', read)).toThrow('@none: names no events');
    expect(() => parseCallset('@loop', read)).toThrow('cannot name another file');
    expect(() => parseCallset('@/no/such/file')).toThrow('@/no/such/file: no such file');
    expect(() => parseCallset('@/')).toThrow('@/: is a directory');
  });

  test.each(['', ',', '4-5-6', 'x', '4/nothing', '4..5', '1.5'])('"%s" is none', (text) => {
    expect(() => parseCallset(text)).toThrow();
  });

  test('of many lines is a tree of little depth', () => {
    const query = parseCallset('@f', () => Array.from({ length: 5000 }, (_, i) => `${2 * i}`).join('\n'));
    const depth = (q: Query): number => (q.op === 'or' ? 1 + Math.max(depth(q.left), depth(q.right)) : 0);
    expect(depth(query)).toBe(13);
  });

  test('is told from a file name', () => {
    for (const text of ['4', '1-2', '10-', '-20/errors', '4,5', '@set', '/errors']) expect(looksLikeCallset(text)).toBe(true);
    for (const text of ['bug.irr', './4.irr', 'a-b', '', '4.irr']) expect(looksLikeCallset(text)).toBe(false);
  });
});
