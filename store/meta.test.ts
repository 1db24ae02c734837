import { expect, test } from 'vitest';
import { metaRows, parseMeta, type TraceMeta } from './meta.ts';
import { TEST_META } from './testing.ts';

test('a meta comes back from its rows; u64 are text in them', () => {
  const meta: TraceMeta = {
    ...TEST_META,
    source: 'preload',
    config: { CONFIG_IOMMUFD: 'y' },
    exit: { signal: 'SIGKILL' },
    clock: { realtimeNs: (1n << 64n) - 1n, monotonicNs: 0n },
    later: { a: [1, null] },
  };
  const rows = metaRows(meta);
  expect(new Map(rows).get('clock')).toBe('{"realtimeNs":"0xffffffffffffffff","monotonicNs":"0x0"}');
  expect(parseMeta([...rows, ['position', '"somewhere"']])).toEqual(meta);
});

test('a part of a meta gives the rows of that part', () => {
  expect(metaRows({ dropped: 4 })).toEqual([['dropped', '4']]);
  expect(metaRows({ exit: undefined })).toEqual([]);
});

test.each([
  [['v', '2'], /^v: /],
  [['dropped', '-1'], /^dropped: /],
  [['clock', '{"realtimeNs":"12","monotonicNs":"0x0"}'], /^clock\.realtimeNs: /],
  [['command', '"a b"'], /^command: /],
  [['complete', '{'], /JSON/],
  [['__proto__', '{"polluted":1}'], undefined],
] as const)('a row %j is understood or named', ([key, json], problem) => {
  const rows = [...metaRows(TEST_META).filter(([k]) => k !== key), [key, json] as const];
  if (problem === undefined) expect(Object.keys(parseMeta(rows))).not.toContain('polluted');
  else expect(() => parseMeta(rows)).toThrow(problem);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
});
