import fc from 'fast-check';
import { expect, test } from 'vitest';
import { joinMoved, type MovableLane } from './moved.ts';

/** Events as a letter, what is said, and digits, the things that it is about; without any its order matters to all. */
const lane = (text: string): MovableLane => {
  const events = text.split(' ').filter((w) => w !== '');
  return {
    keys: Int32Array.from(events, (w) => [...w].reduce((n, c) => n * 256 + c.charCodeAt(0), 0)),
    things: (i) => (events[i]!.length === 1 ? undefined : new Set([...events[i]!.slice(1)].map(Number))),
  };
};
function joined(left: string, right: string, partners: readonly number[]): number[] {
  const [a, b] = [lane(left), lane(right)];
  const found = Int32Array.from(partners);
  const taken: number[] = [];
  const moved = joinMoved(
    a,
    b,
    found,
    (i, j) => a.keys[i] === b.keys[j],
    (i, j) => taken.push(i, j),
  );
  expect(taken).toEqual(moved.flatMap((i) => [i, found[i]!]));
  return [...found];
}

test('two calls about different things', () => {
  expect(joined('x1 y2', 'y2 x1', [-1, 0])).toEqual([1, 0]);
  expect(joined('x1 y2', 'y2 x1', [1, -1])).toEqual([1, 0]);
  expect(joined('p x1 y2 q', 'p y2 x1 q', [0, -1, 1, 3])).toEqual([0, 2, 1, 3]);
});

test('two calls about the same thing keep their order', () => {
  expect(joined('x1 y12', 'y12 x1', [-1, 0])).toEqual([-1, 0]);
  expect(joined('x1 y12', 'y12 x1', [1, -1])).toEqual([1, -1]);
});

test('what is between them counts, and what is not between them does not', () => {
  expect(joined('x1 z1 y2', 'z1 y2 x1', [-1, 0, 1])).toEqual([-1, 0, 1]);
  expect(joined('x1 p y2', 'p y2 x1', [-1, 0, 1])).toEqual([-1, 0, 1]);
  expect(joined('z1 x1 y2 z1', 'z1 y2 x1 z1', [0, -1, 1, 3])).toEqual([0, 2, 1, 3]);
});

test('a row of calls that belong together may move, but in their order', () => {
  expect(joined('x1 v1 y2 w2', 'y2 w2 x1 v1', [-1, -1, 0, 1])).toEqual([2, 3, 0, 1]);
  expect(joined('x1 v1 y2 w2', 'y2 w2 v1 x1', [-1, -1, 0, 1])).toEqual([3, -1, 0, 1]);
});

test('other words are another call', () => {
  expect(joined('x1 y2', 'y2 w1', [-1, 0])).toEqual([-1, 0]);
});

test('what is joined keeps the order of all that have to do with each other', () => {
  const events = fc.array(fc.constantFrom('x1', 'y2', 'z3', 'v12', 'w23', 'p'), { maxLength: 12 });
  fc.assert(
    fc.property(events, events, (left, right) => {
      const [a, b] = [lane(left.join(' ')), lane(right.join(' '))];
      const start = left.map(() => -1);
      // partners in order, as an alignment leaves them
      let from = 0;
      left.forEach((w, i) => {
        const j = i % 3 === 0 ? right.indexOf(w, from) : -1;
        if (j >= 0) [start[i], from] = [j, j + 1];
      });
      const found = joined(left.join(' '), right.join(' '), start);
      const pairs = found.flatMap((j, i) => (j < 0 ? [] : [[i, j] as const]));
      expect(new Set(pairs.map(([, j]) => j)).size).toBe(pairs.length);
      for (const [i, j] of pairs) {
        expect(a.keys[i]).toBe(b.keys[j]);
        for (const [p, q] of pairs) {
          if (p <= i || q > j) continue;
          const [x, y] = [a.things(i), a.things(p)];
          if (p !== i) expect(x !== undefined && y !== undefined && [...x].every((t) => !y.has(t))).toBe(true);
        }
      }
    }),
  );
});

test('two hundred thousand calls that are alike or all in another order: the work is bounded', () => {
  const COUNT = 200_000;
  let asked = 0;
  const lane = (keys: Int32Array): MovableLane => ({
    keys,
    things: (i) => {
      asked++;
      return new Set([i]);
    },
  });
  /** → how many were joined, and how often per event something was asked */
  const joined = (a: Int32Array, b: Int32Array, partners: Int32Array, agree: boolean): { readonly some: number; readonly each: number } => {
    asked = 0;
    const yes = (): boolean => {
      asked++;
      return agree;
    };
    const some = joinMoved(lane(a), lane(b), partners, yes, () => {}).length;
    return { some, each: asked / (2 * COUNT) };
  };
  const nobody = new Int32Array(COUNT).fill(-1);
  const keys = Int32Array.from({ length: COUNT }, (_, i) => i);
  const alike = joined(new Int32Array(COUNT), new Int32Array(COUNT), nobody.slice(), false);
  expect(alike.some).toBe(0);
  const back = joined(keys, keys.toReversed(), nobody.slice(), true);
  expect(back.some).toBeGreaterThan(100);
  const half = Int32Array.from({ length: COUNT }, (_, i) => (i < COUNT / 2 ? -1 : i - COUNT / 2));
  const turned = joined(
    keys,
    keys.map((i) => (i + COUNT / 2) % COUNT),
    half,
    true,
  );
  for (const { each } of [alike, back, turned]) expect(each).toBeLessThan(100);
});
