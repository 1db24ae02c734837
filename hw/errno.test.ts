import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { errnoName, errnoNumber, errnoText } from './errno.ts';

test('every errno that this system knows has its number', () => {
  const known = Object.entries(constants.errno);
  expect(known.length).toBeGreaterThan(70);
  for (const [name, number] of known) expect([name, errnoNumber(name)]).toEqual([name, number]);
});

test('names agree with libuv where it has them', () => {
  let compared = 0;
  for (const [number, [name]] of getSystemErrorMap()) {
    if (number < -133 || name.startsWith('EAI_')) continue;
    compared++;
    expect([number, errnoNumber(name)]).toEqual([number, -number]);
  }
  expect(compared).toBeGreaterThan(60);
});

test('a number survives its name, known or not', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 99_999 }), (n) => errnoNumber(errnoName(n)) === n));
});

test('the errnos of iommufd', () => {
  expect([5, 95, 75, 105, 84, 99, 77, 52].map(errnoName)).toEqual([
    'EIO',
    'EOPNOTSUPP',
    'EOVERFLOW',
    'ENOBUFS',
    'EILSEQ',
    'EADDRNOTAVAIL',
    'EBADFD',
    'EBADE',
  ]);
  expect(errnoText(5)).toBe('Input/output error');
  expect(errnoName(999)).toBe('E999');
  expect(errnoText(999)).toBe('Unknown error 999');
  expect(errnoNumber('EIOX')).toBeUndefined();
});
