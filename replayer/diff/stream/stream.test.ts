import { describe, expect, test } from 'vitest';
import { DIALECTS, uapiTable } from '../../../hw/uapi/table.ts';
import { FileKind, Kind, MMIO_SOURCE_SHIFT, MmioHow, MmioSource, makeArgs } from '../../../store/frame.ts';
import { dialectSession } from '../../dialect-sessions.ts';
import { longs, Script, words } from '../../script.ts';
import { wholeCalls } from '../../whole-calls.ts';
import type { Side } from '../compare.ts';
import { newNumbers, readTrace } from '../reading.ts';
import { fixture } from '../testing.ts';
import type { Said } from './short.ts';
import { EventStream, type StreamOptions } from './stream.ts';

const newest = uapiTable('linux-7.2');
const IOMMUFD = 3;
const SPACE = 0x7000_0000;

/** An access at an address of the program, through the iommufd's region or not. */
const access = (s: Script, address: number, offset: number, how: number = MmioHow.LOAD, fd = IOMMUFD): number =>
  s.add({
    kind: Kind.MMIO,
    request: how | (MmioSource.TRAPPED << MMIO_SOURCE_SHIFT),
    ...s.behind(fd),
    ret: 5n,
    parts: [makeArgs(address, offset, 4, 0, 0, 0)],
  });

/** What kernels read and do not, regions, accesses in and beside them. `at`: where the kernel placed the region; `beside` takes the accesses that are in none. */
function told(at: number, beside: number[] = []): Side {
  const s = new Script(newest);
  s.start();
  s.open(IOMMUFD);
  s.open(4, FileKind.VFIO_DEVICE, '/dev/vfio/devices/vfio0');
  beside.push(access(s, SPACE, at));
  s.ioctl(IOMMUFD, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.test(IOMMUFD, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_hwpt_id: 4, out_idev_id: 3 });
  s.ioctl(IOMMUFD, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 5 });
  const nestedOut = { data_uptr: Buffer.concat([words(0, 0), longs(at, 0x4000)]) };
  const asked = { type: 0xdeadbeef, dev_id: 3, hwpt_id: 5, data_len: 24, data_uptr: 0x5000 };
  s.ioctl(IOMMUFD, 'IOMMU_VIOMMU_ALLOC', asked, { out_viommu_id: 6 }, { nestedOut });
  s.mmap(IOMMUFD, SPACE, 0x2000, at);
  s.mmap(IOMMUFD, SPACE + 0x8000, 0x2000, at + 0x1000);
  for (const [address, offset] of [
    [0, 0],
    [0x10, 0x10],
    [0x8010, 0x1010],
    [0x9010, 0x2010],
    // in no mapping
    [0x2_0000, 0x10],
  ] as const) {
    for (const how of [MmioHow.LOAD, MmioHow.LOAD, MmioHow.STORE]) {
      const seq = access(s, SPACE + address, at + offset, how);
      if (address === 0x2_0000) beside.push(seq);
    }
  }
  // the offset of a device's register is its own
  for (const offset of [0, 0x10]) access(s, SPACE + 0x4_0000, offset, MmioHow.LOAD, 4);
  s.munmap(SPACE, 0x2000);
  beside.push(access(s, SPACE + 0x10, at + 0x10));
  access(s, SPACE + 0x8010, at + 0x1010);
  for (const [flags, before, after] of [
    [0, 1, 7],
    [0, 2, 7],
    [0, 2, 8],
    [1, 1, 7],
    [1, 2, 7],
    [2, 1, 7],
  ] as const) {
    for (const error of [0, 14]) {
      const nested = { nestedIn: { uptr: words(before) }, nestedOut: { uptr: words(after) }, ...(error === 0 ? {} : { error }) };
      s.test(IOMMUFD, 'ACCESS_RW', 9, { iova: 0x1000, length: 4, uptr: 0x5000, flags }, {}, nested);
      s.test(IOMMUFD, 'ACCESS_RW', 9, { iova: 0x1000, length: 4, uptr: 0x5000, flags }, {}, { nestedIn: nested.nestedIn });
    }
  }
  const invalidate = (done: number, rest: object, ...ids: number[]): void => {
    const entries = { hwpt_id: 5, data_uptr: 0x5000, data_type: 0xdeadbeef, entry_len: 8, entry_num: ids.length };
    const nestedIn = { data_uptr: words(...ids.flatMap((id) => [0, id])) };
    s.ioctl(IOMMUFD, 'IOMMU_HWPT_INVALIDATE', entries, { entry_num: done }, { nestedIn, ...rest });
  };
  for (const last of [4, 5]) {
    invalidate(4, {}, 1, 2, 99, last);
    invalidate(2, { error: 22 }, 1, 2, 99, last);
  }
  invalidate(2, { error: 22 }, 1, 2, 98, 4);
  s.exit();
  return { source: s.source(), table: newest };
}

const FIXTURES = [
  'vmm-7.2.irr',
  'vmm-6.12.irr',
  'vfio-7.2.irr',
  'pci-7.2.irr',
  'smmu-7.2-arm64.irr',
  'selftest-basic-7.2.irr',
  'selftest-viommu-7.2.irr',
  'selftest-pasid-7.2.irr',
];
const SESSIONS: readonly (readonly [name: string, side: () => Side])[] = [
  ...FIXTURES.map((name) => [name, () => fixture(name)] as const),
  ...DIALECTS.map((d) => [`a VMM on ${d}`, () => ({ source: dialectSession(d).script.source(), table: uapiTable(d) })] as const),
  ['regions, accesses and buffers', () => told(0x1000)],
  ['the same, elsewhere', () => told(0x1_5000)],
];

/** What the stream says of each event. */
function sums({ source, table }: Side, options: StreamOptions = {}): { readonly said: number[][]; readonly short: number } {
  const said: number[][] = [];
  const event = (s: Said): void => {
    const { askedLow, askedHigh, answeredLow, answeredHigh, linkedLow, linkedHigh } = s;
    const maker = s.maker?.low ?? 0;
    said.push([s.seq, askedLow, askedHigh, answeredLow, answeredHigh, linkedLow, linkedHigh, maker, s.called, s.lane.lane, ...s.links]);
  };
  const none = (): void => {};
  const stream = new EventStream(table, { event, begin: none, forked: none, exe: none, end: none }, { ...options, links: true });
  for (const batch of wholeCalls(source).scan(1, source.last)) stream.batch(batch);
  return { said, short: stream.short };
}

test.each(SESSIONS)('%s: the short way says what the long one says', (_, side) => {
  const short = sums(side());
  const long = sums(side(), { recipes: false });
  expect(short.short).toBeGreaterThan(2);
  expect(long.short).toBe(0);
  expect(short.said).toEqual(long.said);
});

test('accesses and buffers that are read by a flag go the short way', () => {
  const { said, short } = sums(told(0x1000));
  // what goes the long way: processes, files, what makes objects and mappings, entries and what comes back
  expect(said.length - short).toBeLessThan(36);
});

describe('in all sessions together', () => {
  /** of a column of sums and of a reading's numbers: which events are equal by the one and not by the other */
  test.each([
    ['asked', 1],
    ['answered', 3],
  ] as const)('two events have the same sums just where they mean the same: what is %s', (what, from) => {
    const numbers = newNumbers();
    const sumOf = new Map<number, string>();
    const numberOf = new Map<string, number>();
    const wrong: string[] = [];
    for (const [name, side] of SESSIONS) {
      const { source, table } = side();
      const run = readTrace(source, table, numbers);
      let next = run.next();
      while (next.done !== true) next = run.next();
      const reading = next.value;
      for (const line of sums(side()).said) {
        const sum = `${line[from]} ${line[from + 1]}`;
        const number = reading[what][line[0]!]!;
        if ((sumOf.get(number) ?? sum) !== sum || (numberOf.get(sum) ?? number) !== number) wrong.push(`${name}: ${line[0]}`);
        sumOf.set(number, sum);
        numberOf.set(sum, number);
      }
    }
    expect(wrong).toEqual([]);
    expect(sumOf.size).toBeGreaterThan(100);
  });

  test('where the kernel placed a region makes no difference, but for accesses that are in none', () => {
    const beside: number[] = [];
    const [a, b] = [sums(told(0x1000, beside)).said, sums(told(0x1_5000)).said];
    const differing = a.filter((line, i) => line.join() !== b[i]!.join()).map(([seq]) => seq);
    expect(differing).toEqual(beside);
  });
});
