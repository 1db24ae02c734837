/** The difference matrix of the posted series, row by row: the same calls under each dialect. */
import { describe, expect, test } from 'vitest';
import type { DialectName } from '../uapi/table.ts';
import { SELFTEST_VIOMMU } from './mock.ts';
import { Program } from './testing.ts';

type Series = Exclude<DialectName, 'linux-6.12'>;

/** Name of the command and of its fields in a dialect. */
function names(dialect: Series): { readonly call: string; readonly base: string; readonly out: string } {
  if (dialect === 'vcmdq-v2') return { call: 'IOMMU_VCMDQ_ALLOC', base: 'addr', out: 'out_vcmdq_id' };
  if (dialect === 'vcmdq-v3') return { call: 'IOMMU_VQUEUE_ALLOC', base: 'addr', out: 'out_vqueue_id' };
  return { call: 'IOMMU_HW_QUEUE_ALLOC', base: dialect === 'hw-queue-v4' ? 'base_addr' : 'nesting_parent_iova', out: 'out_hw_queue_id' };
}

/** IOAS 1, SELFTEST 2, DEVICE 3, HWPT 4, nest parent 5, VIOMMU 6; 0x2000000 + 0x10000 and 0x0 + 0 mapped. */
function guest(dialect: Series): {
  p: Program;
  fd: number;
  queue: (values: { index?: number; base?: number | bigint; length?: number; type?: number; viommu?: number }) => string;
  id: () => number;
} {
  const p = new Program(dialect);
  const fd = p.open();
  const { call, base, out } = names(dialect);
  for (const [name, values] of [
    ['IOMMU_IOAS_ALLOC', {}],
    ['IOMMU_TEST_CMD', { op: 2, id: 1 }],
    ['IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }],
    ['IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5 }],
    ['IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x10000, length: 0x10000, iova: 0x2000000 }],
  ] as const)
    expect(p.call(fd, name, values)).toBe('');
  const queue: ReturnType<typeof guest>['queue'] = (v) =>
    p.call(fd, call, {
      viommu_id: v.viommu ?? 6,
      type: v.type ?? SELFTEST_VIOMMU,
      index: v.index ?? 0,
      [base]: v.base ?? 0x2000000,
      length: v.length ?? 0x1000,
    });
  return { p, fd, queue, id: () => p.u32(call, out) };
}

const all: readonly Series[] = [
  'vcmdq-v2',
  'vcmdq-v3',
  'hw-queue-v4',
  'hw-queue-v5',
  'hw-queue-v6',
  'hw-queue-v7',
  'hw-queue-v8',
  'hw-queue-v9',
  'linux-7.2',
];
/** What each has, in the order of `all`. */
const rows = (...values: readonly string[]): readonly (readonly [Series, string])[] => all.map((d, i) => [d, values[i]!]);

describe('base 0, mapped or not', () => {
  // allowed since v6: the aperture of the mock driver begins higher, so there it is a hole
  test.each(rows('EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT'))('%s: %s', (dialect, errno) => {
    expect(guest(dialect).queue({ base: 0 })).toBe(errno);
  });
});

test.each(all)('length 0, %s: EINVAL', (dialect) => {
  expect(guest(dialect).queue({ length: 0 })).toBe('EINVAL');
});

test.each(all)('overflow, %s: EOVERFLOW', (dialect) => {
  expect(guest(dialect).queue({ base: 2n ** 64n - 1n })).toBe('EOVERFLOW');
});

test.each(all)('overflow stands before a vIOMMU that is not there, %s', (dialect) => {
  expect(guest(dialect).queue({ base: 2n ** 64n - 1n, viommu: 99 })).toBe('EOVERFLOW');
  expect(guest(dialect).queue({ viommu: 99 })).toBe('ENOENT');
});

describe('unmapped base', () => {
  test.each(rows('ENXIO', 'ENXIO', 'ENXIO', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT'))('%s: %s', (dialect, errno) => {
    expect(guest(dialect).queue({ base: 0x7000000 })).toBe(errno);
  });
});

describe('ids of the first queue, and of an IOAS after it', () => {
  test.each(rows('7 8', '7 8', '7 8', '7 8', '8 9', '7 9', '7 9', '7 9', '7 9'))('%s: %s', (dialect, ids) => {
    const { p, fd, queue, id } = guest(dialect);
    expect(queue({})).toBe('');
    const first = id();
    expect(p.call(fd, 'IOMMU_IOAS_ALLOC')).toBe('');
    expect(`${first} ${p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id')}`).toBe(ids);
  });
});

describe('the same index twice', () => {
  test.each(rows('EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST'))('%s: %s', (dialect, errno) => {
    const { queue } = guest(dialect);
    expect(queue({})).toBe('');
    expect(queue({ base: 0x2001000 })).toBe(errno);
  });
});

describe('index 1 before and after index 0', () => {
  test.each(all)('%s: EIO, then success', (dialect) => {
    const { queue } = guest(dialect);
    expect(queue({ index: 1 })).toBe('EIO');
    expect(queue({})).toBe('');
    expect(queue({ index: 1, base: 0x2001000 })).toBe('');
  });
});

describe('destroying queue 0 before queue 1', () => {
  test.each(all)('%s: EBUSY', (dialect) => {
    const { p, fd, queue, id } = guest(dialect);
    expect(queue({})).toBe('');
    const first = id();
    expect(queue({ index: 1, base: 0x2001000 })).toBe('');
    const second = id();
    expect(p.call(fd, 'IOMMU_DESTROY', { id: first })).toBe('EBUSY');
    expect(p.call(fd, 'IOMMU_DESTROY', { id: second })).toBe('');
    expect(p.call(fd, 'IOMMU_DESTROY', { id: first })).toBe('');
    expect(p.call(fd, 'IOMMU_DESTROY', { id: 6 })).toBe('');
  });
});

describe('GET_HW_INFO with an input type', () => {
  test.each(rows('EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP', '', '', '', '', '', ''))('%s: %s', (dialect, errno) => {
    const { p, fd } = guest(dialect);
    expect(p.call(fd, 'IOMMU_GET_HW_INFO', { dev_id: 3, flags: 1 })).toBe(errno);
  });
});

test('vcmdq-v1: parameters lie in data, and the mock driver has no queues', () => {
  const p = new Program('vcmdq-v1');
  const fd = p.open();
  for (const [name, values] of [
    ['IOMMU_IOAS_ALLOC', {}],
    ['IOMMU_TEST_CMD', { op: 2, id: 1 }],
    ['IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }],
    ['IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5 }],
  ] as const)
    expect(p.call(fd, name, values)).toBe('');
  expect(p.call(fd, 'IOMMU_VCMDQ_ALLOC', { viommu_id: 6, type: 0 })).toBe('EOPNOTSUPP');
  expect(p.call(fd, 'IOMMU_VCMDQ_ALLOC', { viommu_id: 6, type: 1 })).toBe('EINVAL');
  expect(p.call(fd, 'IOMMU_VCMDQ_ALLOC', { viommu_id: 9, type: 1, data_len: 16 })).toBe('ENOENT');
  expect(p.call(fd, 'IOMMU_VCMDQ_ALLOC', { viommu_id: 6, type: 1, data_len: 16 })).toBe('EOPNOTSUPP');
});
