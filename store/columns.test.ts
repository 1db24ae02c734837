import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteReader, ByteWriter } from './bytes.ts';
import { codingOrder, decodeColumn, encodeColumn } from './columns.ts';

const u32 = fc.oneof(fc.nat(3), fc.nat(300), fc.nat({ max: 2 ** 32 - 1 }));

/** Columns that follow each other in the ways that are predicted, and in none. */
const columns = fc.integer({ min: 1, max: 300 }).chain((n) =>
  fc
    .array(
      fc.oneof(
        fc.array(u32, { minLength: n, maxLength: n }),
        fc.tuple(u32, u32).map(([start, step]) => Array.from({ length: n }, (_, i) => start + i * step)),
        fc
          .tuple(fc.array(u32, { minLength: 1, maxLength: 12 }), u32)
          .map(([list, k]) => Array.from({ length: n }, (_, i) => list[(i * k) % list.length]!)),
        fc.constant('same' as const),
        fc.constant('chain' as const),
      ),
      { minLength: 1, maxLength: 6 },
    )
    .map((list) => {
      const made: Uint32Array[] = [];
      for (const item of list) {
        const before = made.at(-1) ?? new Uint32Array(n);
        const column = typeof item === 'string' ? Uint32Array.from(before) : Uint32Array.from(item);
        if (item === 'chain') for (let i = 1; i < n; i++) column[i] = column[i - 1]! + before[i - 1]!;
        made.push(column);
      }
      return made;
    }),
);

function encode(list: readonly Uint32Array[], n: number): { plain: Uint8Array; noise: Uint8Array } {
  const streams = { plain: new ByteWriter(), noise: new ByteWriter() };
  list.forEach((_, k) => {
    encodeColumn(streams, list, k, n);
  });
  return { plain: streams.plain.written(), noise: streams.noise.written() };
}

test('columns come back as they were', () => {
  fc.assert(
    fc.property(columns, (list) => {
      const n = list[0]!.length;
      const order = codingOrder(list, n);
      expect([...order].sort((a, b) => a - b)).toEqual(list.map((_, k) => k));
      const ordered = order.map((k) => list[k]!);
      const { plain, noise } = encode(ordered, n);
      const input = { plain: new ByteReader(plain), noise: new ByteReader(noise) };
      const got = ordered.map(() => new Uint32Array(n));
      got.forEach((_, k) => {
        decodeColumn(input, got, k, n);
      });
      expect(got).toEqual(ordered);
      expect([input.plain.at, input.noise.at]).toEqual([plain.length, noise.length]);
    }),
    { numRuns: 300 },
  );
});

test('an address that goes on by a length costs next to nothing, wherever the length stands', () => {
  const n = 1000;
  const length = Uint32Array.from({ length: n }, (_, i) => [0x1000, 0x10000, 0x200000][(i * i) % 3]!);
  const address = new Uint32Array(n);
  for (let i = 1; i < n; i++) address[i] = address[i - 1]! + length[i - 1]!;
  const list = [address, length];
  const order = codingOrder(list, n);
  expect(order).toEqual([1, 0]);
  const ordered = order.map((k) => list[k]!);
  const both = encode(ordered, n);
  const alone = encode([length], n);
  expect(both.plain.length - alone.plain.length).toBeLessThan(16);
  expect(both.noise.length).toBe(alone.noise.length);
});

test('a column that leans on a later one is refused', () => {
  const input = { plain: new ByteReader(Uint8Array.of(2, 0, 0, 0)), noise: new ByteReader(new Uint8Array()) };
  expect(() => decodeColumn(input, [new Uint32Array(4)], 0, 4)).toThrow(/leans/);
});
