import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Area, AreaTree } from './areas.ts';
import { u64 } from './u64.ts';

const area = (slot: number, high: boolean): Area => {
  const start = u64((high ? 0xffff_ffff_0000_0000n : 0n) + BigInt(slot * 16));
  return { start, last: u64(BigInt(start) + 7n), flags: 0, kind: 'memory', source: 0, fd: -1, file: 0, seq: slot };
};

type Op = { readonly slot: number; readonly high: boolean; readonly op: 'insert' | 'remove' | 'clone' | 'look' };
const ops = fc.array(
  fc.record({
    slot: fc.nat(900),
    high: fc.boolean(),
    op: fc.constantFrom<Op['op']>('insert', 'insert', 'insert', 'remove', 'remove', 'clone', 'look'),
  }),
  { maxLength: 1500, size: 'max' },
);

test('a tree answers as a sorted list does, and a clone keeps what it had', () => {
  fc.assert(
    fc.property(ops, (list) => {
      const tree = new AreaTree();
      const model = new Map<string, Area>();
      const kept: { readonly tree: AreaTree; readonly was: Area[] }[] = [];
      const sorted = (): Area[] => [...model.values()].sort((a, b) => (a.start < b.start ? -1 : 1));
      for (const { slot, high, op } of list) {
        const a = area(slot, high);
        const key = String(a.start);
        if (op === 'insert' && !model.has(key)) {
          tree.insert(a);
          model.set(key, a);
        } else if (op === 'remove') expect(tree.remove(a.start)).toBe(model.delete(key));
        else if (op === 'clone' && kept.length < 20) kept.push({ tree: tree.clone(), was: sorted() });
        else if (op === 'look') {
          const at = u64(BigInt(a.start) + BigInt(slot % 16));
          expect(tree.from(at)).toBe(sorted().find((x) => x.last >= at));
          const last = u64(BigInt(at) + 64n);
          expect(tree.within(at, last)).toEqual(sorted().filter((x) => x.last >= at && x.start <= last));
        }
      }
      expect([...tree]).toEqual(sorted());
      expect(tree.count).toBe(model.size);
      for (const k of kept) expect([...k.tree]).toEqual(k.was);
    }),
    { numRuns: 60 },
  );
});

test('many areas in any order', () => {
  for (const step of [1, 7919, -1]) {
    const tree = new AreaTree();
    const n = 20_000;
    for (let i = 0; i < n; i++) tree.insert(area((((i * step) % n) + n) % n, false));
    expect(tree.count).toBe(n);
    let next = 0;
    for (const a of tree) expect(a.start).toBe(16 * next++);
    for (let i = 0; i < n; i += 2) expect(tree.remove(16 * i)).toBe(true);
    expect(tree.from(0)?.start).toBe(16);
    expect(tree.within(0, 16 * n)).toHaveLength(n / 2);
    for (let i = 1; i < n; i += 2) expect(tree.remove(16 * i)).toBe(true);
    expect([...tree]).toEqual([]);
    expect(tree.from(0)).toBeUndefined();
  }
});
