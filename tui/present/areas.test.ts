import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Area, AreaTree } from '../../replayer/areas.ts';
import { u64 } from '../../replayer/u64.ts';
import { areaLines, areaText } from './areas.ts';

const area = (start: number | bigint, length: number | bigint, more: Partial<Area> = {}): Area => ({
  start: u64(start),
  last: u64(BigInt(start) + BigInt(length) - 1n),
  flags: 7,
  kind: 'memory',
  source: 0x1000,
  fd: -1,
  file: 0,
  seq: 9,
  ...more,
});
function treeOf(...areas: readonly Area[]): AreaTree {
  const tree = new AreaTree();
  for (const a of areas) tree.insert(a);
  return tree;
}
const texts = (tree: AreaTree, touched: readonly number[] = []): string[] =>
  areaLines(tree, new Set(touched), '…').map((l) => `${l.marked ? '+' : ' '} ${l.text}`);

describe('the IOVA map of an IOAS', () => {
  test('one area: where, how much, rights, what is behind it, since when', () => {
    expect(areaText(area(0x1000, 0x2000))).toBe('0x1000+0x2000  8 KiB  RWF  memory 0x1000, event 9');
    expect(areaText(area(0, 3, { flags: 4, kind: 'unknown' }))).toBe('0x0+0x3  R--  source ?, event 9');
    expect(areaText(area(0, 1024, { kind: 'file', fd: 5, file: 3 }))).toContain('file 3 0x1000');
    expect(areaText(area(0, 1n << 64n))).toContain('0x0+0x10000000000000000  16 EiB');
  });

  test('what follows each other with the same rights is one line; what the event made stands alone', () => {
    const tree = treeOf(area(0, 16), area(16, 16), area(32, 16, { flags: 4 }), area(64, 16, { flags: 4 }), area(80, 16, { flags: 4 }));
    expect(texts(tree)).toEqual(['  0x0+0x20  RWF  2 areas', '  0x20+0x10  R--  memory 0x1000, event 9', '  0x40+0x20  R--  2 areas']);
    expect(texts(tree, [16])).toEqual([
      '  0x0+0x10  RWF  memory 0x1000, event 9',
      '+ 0x10+0x10  RWF  memory 0x1000, event 9',
      '  0x20+0x10  R--  memory 0x1000, event 9',
      '  0x40+0x20  R--  2 areas',
    ]);
  });

  test('of many some are shown, those of the event among them, and the others are counted', () => {
    const many = treeOf(...Array.from({ length: 3000 }, (_, i) => area(0x1000 * i, 16)));
    expect(texts(many).at(-1)).toBe('  … 2992 areas more');
    const touched = texts(many, [0x1000 * 500]);
    expect([touched[0], touched.at(-1)]).toEqual(['  … 496 areas before', '  … 2496 areas more']);
    // beyond what is looked at
    expect(texts(many, [0x1000 * 2500])).toContain('+ 0x9c4000+0x10  RWF  memory 0x1000, event 9');
  });

  test('no area is forgotten, whatever the tree', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.constantFrom(4, 7)), { maxLength: 60 }), fc.nat(59), (gaps, at) => {
        let start = 0;
        const areas = gaps.map(([gap, flags]) => {
          const made = area(start + 16 * gap, 16, { flags });
          start += 16 * gap + 16;
          return made;
        });
        const lines = areaLines(treeOf(...areas), new Set(areas[at] === undefined ? [] : [areas[at].start]), '…');
        const counted = lines.reduce((n, l) => n + Number(/(\d+) areas?\b/.exec(l.text)?.[1] ?? 1), 0);
        expect(counted).toBe(areas.length);
        expect(lines.length).toBeLessThanOrEqual(10);
        expect(lines.filter((l) => l.marked)).toHaveLength(areas[at] === undefined ? 0 : 1);
      }),
      { numRuns: 200 },
    );
  });
});
