import { describe, expect, test } from 'vitest';
import type { Program, Region } from '../program/program.ts';
import { backingOf, HugeRanges } from './backing.ts';
import type { MemoryAt } from './memory-at.ts';
import { PlanHow } from './plan.ts';

test.each<[string, ReturnType<typeof backingOf>]>([
  ['pages=4096 private', { page: 4096n, shared: false, fileBytes: undefined }],
  ['pages=2097152 shared', { page: 0x20_0000n, shared: true, fileBytes: undefined }],
  ['pages=2097152 bytes=4194304', { page: 0x20_0000n, shared: false, fileBytes: 0x40_0000n }],
  ['pages=5000 private', undefined],
  ['pages=2048 private', undefined],
  ['pages=99999999999 private', undefined],
  ['pages=2097152', undefined],
  ['pages=2097152 shared\n', undefined],
  ['', undefined],
])('%j', (text, backing) => {
  expect(backingOf(text)).toEqual(backing);
});

describe('ranges', () => {
  const MIB = 0x10_0000n;
  const start = 0x7f00_0000_0000n;
  const huge = { page: 2n * MIB, shared: true, fileBytes: undefined };
  const region = { index: 0, symbol: 5, image: 0, start, bytes: 16n * MIB, align: 2n * MIB, holes: [] } as unknown as Region;
  const program = { steps: [{ process: 0 }, { process: 1 }, { process: 1 }] } as unknown as Program;
  const made = (ranges: HugeRanges, others: readonly MemoryAt[] = []): string[] =>
    ranges.finish(program, others).map((m) => `${m.step}: ${m.offset / MIB}+${m.bytes / MIB} of ${m.fileOffset / MIB}, ${m.file}`);
  const other = (how: number, step: number, offset: bigint): MemoryAt[] => [
    { step, how, symbol: 5, offset, bytes: 4096n, data: new Uint8Array(), file: 0, fileOffset: 0n },
  ];

  test('whole pages of a region, joined, before the first step of the process', () => {
    const ranges = new HugeRanges();
    ranges.tell(1, region, start + 4n * MIB, 3n * MIB, huge);
    ranges.tell(1, region, start + 2n * MIB, 2n * MIB, huge);
    ranges.tell(1, region, start + 14n * MIB, 64n * MIB, huge);
    expect(made(ranges)).toEqual(['1: 2+4 of 2, 1', '1: 14+2 of 2, 1']);
  });

  test('processes have their own', () => {
    const ranges = new HugeRanges();
    ranges.tell(0, region, start, 2n * MIB, huge);
    ranges.tell(1, region, start, 4n * MIB, { ...huge, shared: false });
    expect(made(ranges)).toEqual(['0: 0+2 of 2, 1', '1: 0+4 of 2, 0']);
  });

  test('not small pages, nor where the region lies askew, nor less than one', () => {
    const ranges = new HugeRanges();
    ranges.tell(1, region, start, 4n * MIB, { ...huge, page: 4096n });
    ranges.tell(1, { ...region, align: MIB }, start, 4n * MIB, huge);
    ranges.tell(1, region, start, MIB, huge);
    ranges.tell(1, region, start, 4n * MIB, { ...huge, page: 1024n * MIB });
    expect(made(ranges)).toEqual([]);
  });

  test('not where a page of it is a file or away, in that process', () => {
    const ranges = new HugeRanges();
    ranges.tell(1, region, start, 4n * MIB, huge);
    expect(made(ranges, other(PlanHow.FILE, 2, 2n * MIB))).toEqual([]);
    expect(made(ranges, other(PlanHow.AWAY, 2, 0n))).toEqual([]);
    expect(made(ranges, other(PlanHow.AWAY, 2, 4n * MIB))).toHaveLength(1);
    expect(made(ranges, other(PlanHow.AWAY, 0, 0n))).toHaveLength(1);
    expect(made(ranges, other(PlanHow.BYTES, 2, 0n))).toHaveLength(1);
  });
});
