import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { composed, filled, samePlaces, standIn } from './frame.ts';
import type { Block } from './picture.ts';

/** Blocks that do not cover each other, with holes between them; each row of a block is its own text. */
const screens = fc
  .array(
    fc.record({
      height: fc.integer({ min: 1, max: 3 }),
      parts: fc.array(fc.record({ gap: fc.nat(3), width: fc.integer({ min: 1, max: 9 }), painted: fc.boolean(), short: fc.boolean() }), {
        maxLength: 4,
      }),
    }),
    { maxLength: 5 },
  )
  .chain((bands) => {
    let y = 0;
    const blocks: Block[] = [];
    bands.forEach(({ height, parts }, band) => {
      let x = 0;
      parts.forEach(({ gap, width, painted, short }, i) => {
        x += gap;
        const row = (n: number): string => {
          const text = String.fromCharCode(97 + ((band * 7 + i * 3 + n) % 26)).repeat(width);
          return painted ? `\x1b[1m${text}\x1b[0m` : text;
        };
        // a block may have fewer rows than it is high
        const rows = Array.from({ length: short ? height - 1 : height }, (_, n) => row(n));
        blocks.push({ key: `${band} ${i}`, x, y, width, height, rows });
        x += width;
      });
      y += height;
    });
    const columns = Math.max(1, ...blocks.map((b) => b.x + b.width));
    // in whatever order they come
    return fc.tuple(fc.shuffledSubarray(blocks, { minLength: blocks.length }), fc.nat(4), fc.nat(2)).map(([mixed, wider, longer]) => ({
      blocks: mixed,
      columns: columns + wider,
      rows: Math.max(1, y) + longer,
    }));
  });

const bare = (row: string): string => row.replace(/\x1b\[[0-9;]*m/g, '');

describe('a frame', () => {
  test('has each block where it stands and blanks elsewhere', () => {
    fc.assert(
      fc.property(screens, ({ blocks, columns, rows }) => {
        const grid = Array.from({ length: rows }, () => Array.from({ length: columns }, () => ' '));
        for (const b of blocks) {
          for (const [n, row] of b.rows.entries()) grid[b.y + n]!.splice(b.x, b.width, ...bare(row));
        }
        const shown = composed(blocks, columns, rows).split('\n');
        expect(shown.map((row) => bare(row).padEnd(columns))).toEqual(grid.map((row) => row.join('')));
        // a row is whole or there is nothing in it
        for (const row of shown) expect([0, columns]).toContain(bare(row).length);
      }),
    );
  });

  test('is the same out of a layout of stand-ins', () => {
    fc.assert(
      fc.property(screens, fc.boolean(), ({ blocks, columns, rows }, trimmed) => {
        const grid = Array.from({ length: rows }, () => Array.from({ length: columns }, () => ' '));
        blocks.forEach((b, i) => {
          for (let n = 0; n < b.height; n++) grid[b.y + n]![b.x] = standIn(i);
        });
        const layout = grid.map((row) => (trimmed ? row.join('').trimEnd() : row.join(''))).join('\n');
        expect(filled(layout, blocks, columns)).toBe(composed(blocks, columns, rows));
      }),
    );
  });

  test('stand-ins are one cell each, and all different', () => {
    const all = Array.from({ length: 6400 }, (_, i) => standIn(i));
    expect(new Set(all).size).toBe(6400);
    for (const c of all) expect(c).toMatch(/^\p{Co}$/u);
  });
});

test('the same places: whatever is in them, and no others', () => {
  fc.assert(
    fc.property(screens, fc.nat(), fc.constantFrom('x', 'y', 'width', 'height', 'key', 'gone', 'order'), ({ blocks }, n, what) => {
      expect(
        samePlaces(
          blocks,
          blocks.map((b) => ({ ...b, rows: [] })),
        ),
      ).toBe(true);
      if (blocks.length < 2) return;
      const at = n % blocks.length;
      const b = blocks[at]!;
      const other = blocks.map((own): Block => own);
      if (what === 'gone') other.splice(at, 1);
      else if (what === 'order') other.reverse();
      else other[at] = { ...b, [what]: what === 'key' ? `${b.key}!` : (b[what] as number) + 1 };
      expect([samePlaces(blocks, other), samePlaces(other, blocks)]).toEqual([false, false]);
    }),
  );
});
