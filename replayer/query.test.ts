import { describe, expect, test } from 'vitest';
import { parseQuery, type Query, someQuery, underline, type Vocabulary } from './query.ts';

const CALLS = ['IOMMU_HW_QUEUE_ALLOC', 'IOMMU_IOAS_MAP', 'mmap'];
const FIELDS = ['index', 'flags', 'path', 'out_ioas_id'];
const words: Vocabulary = {
  calls: CALLS,
  fields: FIELDS,
  call: (word) => CALLS.find((name) => name === word || name === `IOMMU_${word}`),
  field: (word) => FIELDS.includes(word),
  text: (word) => word === 'path',
  constant: (field, word) => field === 'flags' && word === 'NEST_PARENT',
};
const parsed = (text: string): Query => {
  const result = parseQuery(text, words);
  if (!result.ok) throw new Error(`${result.error.message}\n${underline(text, result.error)}`);
  return result.query;
};
const refused = (text: string): string => {
  const result = parseQuery(text, words);
  if (result.ok) throw new Error(`accepted: ${text}`);
  return `${result.error.message}\n${underline(text, result.error)}`;
};

describe('the filter language', () => {
  test('an empty text is met by every event', () => {
    expect(parsed('')).toEqual({ op: 'all' });
    expect(parsed('  ')).toEqual({ op: 'all' });
  });

  test.each([
    ['errno != 0', { op: 'column', column: 'errno', comparison: '!=', value: 0n }],
    ['errno == EIO', { op: 'column', column: 'errno', comparison: '==', value: 5n }],
    ['errno = ebusy', { op: 'column', column: 'errno', comparison: '==', value: 16n }],
    ['fd == -1', { op: 'column', column: 'fd', comparison: '==', value: -1n }],
    ['pid >= 0x10', { op: 'column', column: 'pid', comparison: '>=', value: 16n }],
    ['kind == MMAP', { op: 'column', column: 'kind', comparison: '==', value: 'mmap' }],
    ['call == HW_QUEUE_ALLOC', { op: 'column', column: 'call', comparison: '==', value: 'IOMMU_HW_QUEUE_ALLOC' }],
    ['call == 0x3bff', { op: 'column', column: 'call', comparison: '==', value: '0x3bff' }],
    ['call == "something else"', { op: 'column', column: 'call', comparison: '==', value: 'something else' }],
    ['call ~ HWPT', { op: 'match', column: 'call', pattern: 'HWPT' }],
    ['call !~ HWPT', { op: 'not', inner: { op: 'match', column: 'call', pattern: 'HWPT' } }],
    ['took > 1ms', { op: 'column', column: 'took', comparison: '>', value: 1_000_000n }],
    ['took > 1.5us', { op: 'column', column: 'took', comparison: '>', value: 1500n }],
    ['took > 2', { op: 'column', column: 'took', comparison: '>', value: 2_000_000_000n }],
    ['object == 7', { op: 'object', subject: { types: [], id: 7 } }],
    ['object == viommu 4', { op: 'object', subject: { types: ['VIOMMU'], id: 4 } }],
    ['object == hwpt', { op: 'object', subject: { types: ['HWPT_PAGING', 'HWPT_NESTED'], id: undefined } }],
    ['created(hw_queue)', { op: 'change', word: 'created', subject: { types: ['HW_QUEUE'], id: undefined } }],
    ['destroyed(object 7)', { op: 'change', word: 'destroyed', subject: { types: [], id: 7 } }],
    ['changed()', { op: 'change', word: 'changed', subject: { types: [], id: undefined } }],
    ['index > 0', { op: 'field', field: 'index', comparison: '>', value: { number: 0n } }],
    ['flags & NEST_PARENT', { op: 'field', field: 'flags', comparison: '&', value: { word: 'NEST_PARENT' } }],
    ['path == "/dev/iommu"', { op: 'text', field: 'path', pattern: '^\\/dev\\/iommu$' }],
    ['path ~ vfio', { op: 'text', field: 'path', pattern: 'vfio' }],
    ['error', { op: 'flag', flag: 'error' }],
  ])('%s', (text, tree) => {
    expect(parsed(text)).toEqual(tree);
  });

  test('both ends of a range belong to it, each may be open', () => {
    const at = (comparison: string, value: bigint): object => ({ op: 'column', column: 'seq', comparison, value });
    expect(parsed('seq in 100..200')).toEqual({ op: 'and', left: at('>=', 100n), right: at('<=', 200n) });
    expect(parsed('seq in 100..')).toEqual(at('>=', 100n));
    expect(parsed('seq in ..200')).toEqual(at('<=', 200n));
    expect(parsed('(seq in 100..)')).toEqual(at('>=', 100n));
    expect(parsed('t in 12.0..12.1')).toEqual({
      op: 'and',
      left: { op: 'column', column: 't', comparison: '>=', value: 12_000_000_000n },
      right: { op: 'column', column: 't', comparison: '<=', value: 12_100_000_000n },
    });
  });

  test('a list in parentheses is any of its members', () => {
    const is = (value: bigint): object => ({ op: 'column', column: 'errno', comparison: '==', value });
    expect(parsed('errno in (EIO, EBUSY)')).toEqual({ op: 'or', left: is(5n), right: is(16n) });
  });

  test('&& binds closer than ||, ! closest; words do the same', () => {
    const a = { op: 'flag', flag: 'error' };
    const b = { op: 'flag', flag: 'unfinished' };
    expect(parsed('error || unfinished && !error')).toEqual({
      op: 'or',
      left: a,
      right: { op: 'and', left: b, right: { op: 'not', inner: a } },
    });
    expect(parsed('error or unfinished and not error')).toEqual(parsed('error || unfinished && !error'));
    expect(parsed('(error || unfinished) && error')).toEqual({ op: 'and', left: { op: 'or', left: a, right: b }, right: a });
  });

  test('mistakes name their place', () => {
    const mistakes = [
      'erno != 0',
      'errno != EBUSI',
      'errno !=',
      'errno == 0 call == mmap',
      '(errno == 0',
      'errno == 0)',
      'call == HW_QUEUE_ALOC',
      'call > 3',
      'kind == iocl',
      'took > 1parsec',
      'seq in 5',
      'seq == 1.5',
      'seq == 0x1ffffffffffffffff',
      'created',
      'created(hwque)',
      'flags & NEST_PARNT',
      'call ~ "["',
      'errno == "EIO',
      'errno == 0 && @',
      '&& error',
      'IOMMU_IOAS_MAP',
      `${'!'.repeat(120)}error`,
    ];
    expect(mistakes.map((text) => `${refused(text)}\n`).join('\n')).toMatchInlineSnapshot(`
      "nothing is called "erno", did you mean "errno"?
      erno != 0
      ^^^^

      no errno is called "EBUSI"
      errno != EBUSI
               ^^^^^

      expected a value here
      errno !=
              ^

      expected && or || before this
      errno == 0 call == mmap
                 ^^^^

      expected ")"
      (errno == 0
                 ^

      no "(" for this ")"
      errno == 0)
                ^

      no call is named "HW_QUEUE_ALOC", did you mean "HW_QUEUE_ALLOC"?; quote it to look for it all the same
      call == HW_QUEUE_ALOC
              ^^^^^^^^^^^^^

      expected == != ~ !~
      call > 3
           ^

      no kind of event is called "iocl", did you mean "ioctl"?
      kind == iocl
              ^^^^

      what is "1parsec"?
      took > 1parsec
             ^^^^^^^

      expected "..": in 100..200
      seq in 5
              ^

      expected a whole number
      seq == 1.5
             ^^^

      more than 64 bits
      seq == 0x1ffffffffffffffff
             ^^^^^^^^^^^^^^^^^^^

      expected "(": created(object 7), created(hw_queue)
      created
             ^

      no type of object is called "hwque"
      created(hwque)
              ^^^^^

      no value of "flags" is called "NEST_PARNT"
      flags & NEST_PARNT
              ^^^^^^^^^^

      not a regular expression
      call ~ "["
             ^^^

      a string that does not end
      errno == "EIO
               ^^^^

      what is "@"?
      errno == 0 && @
                    ^

      a condition begins with a name: errno, call, object, a field …
      && error
      ^^

      a call by name is: call == IOMMU_IOAS_MAP
      IOMMU_IOAS_MAP
      ^^^^^^^^^^^^^^

      nested more than 100 deep
      !!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!error
                                                                                                          ^
      "
    `);
  });

  test('a part of a query can be looked for', () => {
    expect(someQuery(parsed('error && !(created(hw_queue) || index == 1)'), (q) => q.op === 'change')).toBe(true);
    expect(someQuery(parsed('error && !(unfinished || index == 1)'), (q) => q.op === 'change')).toBe(false);
  });
});
