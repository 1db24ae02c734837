/** Sessions that differ by one thing, on two kernels each: the row of the matrix that it is. */
import { describe, expect, test } from 'vitest';
import type { CallOptions, Values } from '../../../hw/iommufd/testing.ts';
import { type DialectName, uapiTable } from '../../../hw/uapi/table.ts';
import { dialectSession } from '../../dialect-sessions.ts';
import type { Side } from '../compare.ts';
import { reportOf } from '../testing.ts';
import { KNOWN } from './known.ts';
import { ModelSession } from './model-session.ts';

const MOCK_DOMAIN = 2;
const DOMAIN_FLAGS = 12;
const PAGE = 4096;
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const VIOMMU_SELFTEST = 0xdeadbeef;

/** IOAS 1, SELFTEST 2, DEVICE 3, HWPT 4 */
function mock(dialect: DialectName): ModelSession {
  const s = new ModelSession(dialect);
  expect(s.call('IOMMU_IOAS_ALLOC')).toBe('');
  expect(s.call('IOMMU_TEST_CMD', { op: MOCK_DOMAIN, id: 1 })).toBe('');
  return s;
}
type Step = readonly [name: string, values?: Values, options?: CallOptions];

/** Rows that a test has met. */
const met = new Set<string>();

/** Known rows of the causes between a session of one call more. */
function known(a: DialectName, b: DialectName, steps: readonly Step[]): (string | undefined)[] {
  const side = (dialect: DialectName): Side => {
    const s = mock(dialect);
    for (const step of steps) s.call(...step);
    return s.side;
  };
  return reportOf(side(a), side(b)).causes.map((c) => c.known);
}

const NESTED: readonly Step[] = [
  ['IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }],
  ['IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 5, data_type: 0xdead, data_len: 4 }, { nested: { data_uptr: u32(1) } }],
];
const invalidate = (values: Values): Step => [
  'IOMMU_HWPT_INVALIDATE',
  { hwpt_id: 6, data_type: 0xdeadbeef, entry_len: 8, entry_num: 1, ...values },
  { nested: { data_uptr: u32(0, 0) } },
];
const dirty = (iova: number): readonly Step[] => [
  ['IOMMU_HWPT_ALLOC', { flags: 2, dev_id: 3, pt_id: 1 }],
  ['IOMMU_HWPT_GET_DIRTY_BITMAP', { hwpt_id: 5, iova, length: 0, page_size: PAGE, data: 0x1000 }],
];
const UNMAP_EMPTY: readonly Step[] = [
  ['IOMMU_VFIO_IOAS', { ioas_id: 1, op: 1 }],
  ['VFIO_IOMMU_UNMAP_DMA', { iova: 0x100_0000, size: PAGE }],
];
const VIOMMU: readonly Step[] = [
  ['IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }],
  ['IOMMU_VIOMMU_ALLOC', { type: VIOMMU_SELFTEST, dev_id: 3, hwpt_id: 5 }],
];

describe('mainline', () => {
  test.each<readonly [string, DialectName, DialectName, readonly Step[]]>([
    ['ioctls', 'linux-6.12', 'linux-7.2', [['IOMMU_IOAS_CHANGE_PROCESS']]],
    ['ioctls', 'linux-6.12', 'vcmdq-v1', [['IOMMU_IOAS_CHANGE_PROCESS']]],
    ['GET_HW_INFO flags', 'linux-6.12', 'linux-7.2', [['IOMMU_GET_HW_INFO', { dev_id: 3, flags: 1 }]]],
    ['GET_HW_INFO flags', 'linux-6.12', 'hw-queue-v5', [['IOMMU_GET_HW_INFO', { dev_id: 3, flags: 1 }]]],
    [
      'FAULT_ID_VALID on an IOAS parent',
      'linux-6.12',
      'linux-7.2',
      [['IOMMU_FAULT_QUEUE_ALLOC'], ['IOMMU_HWPT_ALLOC', { flags: 4, dev_id: 3, pt_id: 1, fault_id: 5 }]],
    ],
    ['HWPT_INVALIDATE on wrong type', 'linux-6.12', 'linux-7.2', [...NESTED, invalidate({ hwpt_id: 3 })]],
    ['INVALIDATE bounds', 'linux-6.12', 'vcmdq-v2', [...NESTED, invalidate({ hwpt_id: 99, entry_len: 4097 })]],
    ['INVALIDATE bounds', 'hw-queue-v9', 'linux-7.2', [...NESTED, invalidate({ hwpt_id: 99, entry_len: 4097 })]],
    ['dirty bitmap length 0', 'linux-6.12', 'linux-7.2', dirty(0x100_0000)],
    ['dirty bitmap length 0', 'linux-6.12', 'linux-7.2', dirty(0)],
    ['UNMAP of an empty range', 'hw-queue-v9', 'linux-7.2', UNMAP_EMPTY],
    ['UNMAP of an empty range', 'linux-6.12', 'vcmdq-v1', UNMAP_EMPTY],
    ['GET_HW_INFO capabilities', 'linux-6.12', 'linux-7.2', [['IOMMU_GET_HW_INFO', { dev_id: 3 }]]],
    ['HWPT_ALLOC flags', 'linux-6.12', 'linux-7.2', [['IOMMU_HWPT_ALLOC', { flags: 8, dev_id: 3, pt_id: 1 }]]],
    ['selftest operations', 'linux-6.12', 'linux-7.2', [['IOMMU_TEST_CMD', { op: 16 }]]],
    [
      'selftest device flags',
      'linux-6.12',
      'linux-7.2',
      [['IOMMU_TEST_CMD', { op: DOMAIN_FLAGS, id: 1, 'mock_domain_flags.dev_flags': 4 }]],
    ],
    [
      'data of a mock HWPT_PAGING',
      'linux-6.12',
      'linux-7.2',
      [['IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 1, data_type: 0xdead, data_len: 4 }, { nested: { data_uptr: u32(1) } }]],
    ],
    [
      'page sizes of the mock driver',
      'linux-6.12',
      'linux-7.2',
      [
        ['IOMMU_VFIO_IOAS', { ioas_id: 1, op: 1 }],
        ['VFIO_IOMMU_GET_INFO', {}],
      ],
    ],
    [
      'one vDEVICE per device',
      'hw-queue-v9',
      'linux-7.2',
      [
        ...VIOMMU,
        ['IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 1 }],
        ['IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 2 }],
      ],
    ],
  ])('%s: %s, %s', (name, a, b, steps) => {
    met.add(name);
    expect(known(a, b, steps)).toEqual([name]);
    // whichever of them is the first trace; and no kernel differs from itself
    expect(known(b, a, steps)).toEqual([name]);
    expect(known(b, b, steps)).toEqual([]);
  });
});

test('selftest beside an IOMMU: the mock driver of 6.12 takes no device there', () => {
  const session = (dialect: DialectName, errno?: string): Side => {
    const s = new ModelSession(dialect);
    s.call('IOMMU_IOAS_ALLOC');
    s.call('IOMMU_TEST_CMD', { op: MOCK_DOMAIN, id: 1 }, errno === undefined ? {} : { told: { errno } });
    return s.side;
  };
  const row = 'selftest beside an IOMMU';
  met.add(row);
  expect(reportOf(session('linux-6.12', 'EINVAL'), session('linux-7.2')).causes.map((c) => c.known)).toEqual([row]);
  // another errno is another difference
  expect(reportOf(session('linux-6.12', 'ENOMEM'), session('linux-7.2')).causes.map((c) => c.known)).toEqual([undefined]);
});

describe('a VMM on each series', () => {
  const QUERY = 'CMDQV parameters query';
  test.each<readonly [DialectName, DialectName, readonly string[]]>([
    ['vcmdq-v1', 'vcmdq-v2', [QUERY, 'order by index', 'pinning', 'order by index', 'mmap wrong offset/length']],
    ['vcmdq-v2', 'vcmdq-v3', ['VMA blocks DESTROY of vIOMMU']],
    ['vcmdq-v3', 'hw-queue-v4', ['mmap length', 'offsets of regions']],
    ['hw-queue-v4', 'hw-queue-v5', [QUERY, QUERY, 'pinning', 'mmap offset', 'mmap offset']],
    ['hw-queue-v5', 'hw-queue-v9', []],
    ['hw-queue-v9', 'linux-7.2', ['vSID limit', 'one vDEVICE per device']],
  ])('%s, %s', (a, b, rows) => {
    const side = (dialect: DialectName): Side => ({ source: dialectSession(dialect).script.source(), table: uapiTable(dialect) });
    for (const row of rows) met.add(row);
    expect(reportOf(side(a), side(b)).causes.map((c) => c.known)).toEqual(rows);
    expect(reportOf(side(b), side(a)).causes.map((c) => c.known)).toEqual(rows);
  });
});

describe('no row', () => {
  const QUESTION: Step = ['IOMMU_GET_HW_INFO', { dev_id: 3, flags: 1 }];
  const asked = (dialect: DialectName, ...steps: readonly Step[]): Side => {
    const s = mock(dialect);
    for (const step of steps) s.call(...step);
    return s.side;
  };
  const rowsOf = (a: Side, b: Side): (string | undefined)[] => reportOf(a, b).causes.map((c) => c.known);

  test('where a kernel answers against its own rules', () => {
    // 7.2 may not say what 6.12 says
    expect(
      rowsOf(
        asked('vcmdq-v2', ['IOMMU_IOAS_CHANGE_PROCESS']),
        asked('linux-7.2', ['IOMMU_IOAS_CHANGE_PROCESS', {}, { told: { errno: 'ENOTTY' } }]),
      ),
    ).toEqual([undefined]);
  });
  test('where the program asks something else', () => {
    expect(
      rowsOf(
        asked('linux-6.12', ['IOMMU_GET_HW_INFO', { dev_id: 3, flags: 1 }]),
        asked('linux-7.2', ['IOMMU_GET_HW_INFO', { dev_id: 3, flags: 2 }]),
      ),
    ).toEqual([undefined]);
  });
  test('where a call that both kernels know is made on the newer alone; but for one that the older does not know', () => {
    expect(rowsOf(asked('linux-6.12'), asked('linux-7.2', ['IOMMU_IOAS_ALLOC']))).toEqual([undefined]);
    expect(rowsOf(asked('linux-6.12'), asked('linux-7.2', ['IOMMU_IOAS_CHANGE_PROCESS']))).toEqual(['ioctls']);
    expect(rowsOf(asked('linux-6.12'), asked('linux-7.2', QUESTION))).toEqual(['GET_HW_INFO flags']);
    // on the older one it is the program's own idea
    expect(rowsOf(asked('linux-6.12', ['IOMMU_IOAS_CHANGE_PROCESS']), asked('linux-7.2'))).toEqual([undefined]);
  });
});

test('every row has a test', () => {
  // fixtures/diff-known.test.ts: what takes a guest on a CMDQV
  const there = ['base 0', 'base unmapped', 'object lookup vs page-array ENOMEM', 'same index twice', 'length limits', 'alignment'];
  expect([...new Set(KNOWN.map((row) => row.name))].filter((name) => !met.has(name))).toEqual(there);
});
