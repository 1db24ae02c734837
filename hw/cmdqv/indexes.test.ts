import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addressOf, advance, entryOf, isEmpty, isFull, log2Of, usedOf, wrapOf } from './indexes.ts';

test('a queue of 8', () => {
  expect([0, 7, 8, 15, 16].map((p) => [entryOf(p, 3), wrapOf(p, 3)])).toEqual([
    [0, 0],
    [7, 0],
    [0, 1],
    [7, 1],
    [0, 0],
  ]);
  expect([isEmpty(8, 8, 3), isFull(8, 0, 3), isEmpty(8, 0, 3), isFull(0, 8, 3)]).toEqual([true, true, false, true]);
  expect(advance(15, 1, 3)).toBe(0);
  expect(addressOf(0x1000n, 9, 3)).toBe(0x1010n);
});

test('bytes of a queue', () =>
  expect([16n, 32n, 0x1000n, 0x80_0000n, 24n, 0n, -16n].map(log2Of)).toEqual([0, 1, 8, 19, undefined, undefined, undefined]));

test('what is written and not read yet is what lies between the pointers', () => {
  const log2 = fc.integer({ min: 0, max: 19 });
  fc.assert(
    fc.property(log2, fc.nat(2 ** 20), fc.nat(2 ** 20), (n, start, count) => {
      const cons = start % 2 ** (n + 1);
      const used = count % (2 ** n + 1);
      const prod = advance(cons, used, n);
      expect(usedOf(prod, cons, n)).toBe(used);
      expect([isEmpty(prod, cons, n), isFull(prod, cons, n)]).toEqual([used === 0, used === 2 ** n]);
      // the rule of the driver: the same entry, told apart by the wrap bit
      expect(isFull(prod, cons, n)).toBe(entryOf(prod, n) === entryOf(cons, n) && wrapOf(prod, n) !== wrapOf(cons, n));
      expect(advance(prod, -used, n)).toBe(cons);
    }),
  );
});
