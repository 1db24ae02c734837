/** What differs between Linux 6.12, the trees that the series were posted for, and Linux 7.2: row by row. */
import { describe, expect, test } from 'vitest';
import { type DialectName, uapiTable } from '../uapi/table.ts';
import type { Request } from './call.ts';
import { SELFTEST_VIOMMU } from './mock.ts';
import { IOVA, OP, PAGE, Session, u32 } from './mock-testing.ts';
import { Model } from './model.ts';
import { SERIES } from './series-testing.ts';
import type { Values } from './testing.ts';

/** 6.12, a posted series (6.15 and 6.16), 7.2. */
const KERNELS = ['linux-6.12', 'hw-queue-v4', 'linux-7.2'] as const;
type Kernel = (typeof KERNELS)[number];
const row = (...values: readonly string[]): readonly (readonly [Kernel, string])[] => KERNELS.map((k, i) => [k, values[i]!]);

/** IOAS 1, SELFTEST 2, DEVICE 3, HWPT 4 */
function mock(dialect: DialectName): Session {
  const s = new Session(dialect);
  expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
  return s;
}
/** A request by its number, with a struct of zeros. */
function numbered(s: Session, request: number, bytes: number): Request {
  const struct = new Uint8Array(bytes);
  new DataView(struct.buffer).setUint32(0, bytes, true);
  const like = s.p.request(s.fd, 'IOMMU_DESTROY', {}, {});
  return { ...like, request, struct: { bytes: struct, wanted: BigInt(bytes), fault: false } };
}
/** What 6.12 would say about objects that it cannot make itself. */
const askedOld = (s: Session, name: string, values: Values, nested: Readonly<Record<string, Uint8Array>> = {}) =>
  new Model('linux-6.12', s.p.model.kernel).decide(s.p.request(s.fd, name, values, { nested }))?.errno;

describe('ioctls', () => {
  const FIRST_NEW = 0x8f;
  const last = (dialect: DialectName): number =>
    Math.max(
      ...uapiTable(dialect)
        .commands.filter((c) => c.target === 'iommufd' && c.name.startsWith('IOMMU_') && c.name !== 'IOMMU_TEST_CMD')
        .map((c) => c.request & 0xff),
    );
  test.each(row('0x8e', '0x94', '0x94'))('%s: up to %s', (dialect, number) => {
    expect(`0x${last(dialect).toString(16)}`).toBe(number);
  });
  test.each([0x8f, 0x90, 0x91, 0x92, 0x93, 0x94])('0x%x is ENOTTY on 6.12, whatever its struct, and known later', (number) => {
    const request = 0x3b00 + number;
    expect(mock('linux-6.12').p.model.decide(numbered(mock('linux-6.12'), request, 4))?.errno).toBe('ENOTTY');
    for (const dialect of SERIES) {
      const s = mock(dialect);
      expect([dialect, s.p.model.decide(numbered(s, request, 4))?.errno]).toEqual([dialect, 'EINVAL']);
    }
    expect(number).toBeGreaterThanOrEqual(FIRST_NEW);
  });
  test.each(row('ENOTTY', 'ENOTTY', 'ENOTTY'))('%s: 0x95: %s', (dialect, errno) => {
    const s = mock(dialect);
    expect(s.p.model.decide(numbered(s, 0x3b95, 64))?.errno).toBe(errno);
  });
});

describe('GET_HW_INFO', () => {
  test.each(row('EOPNOTSUPP', 'EOPNOTSUPP', ''))('%s, flags 1: "%s"', (dialect, errno) => {
    expect(mock(dialect).call('IOMMU_GET_HW_INFO', { dev_id: 3, flags: 1 })).toBe(errno);
  });
  test.each(row('EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP'))('%s, flags 2: %s', (dialect, errno) => {
    expect(mock(dialect).call('IOMMU_GET_HW_INFO', { dev_id: 3, flags: 2 })).toBe(errno);
  });
});

describe('HWPT_ALLOC', () => {
  test.each(row('EOPNOTSUPP', '', ''))('%s, FAULT_ID_VALID on an IOAS: "%s"', (dialect, errno) => {
    const s = mock(dialect);
    expect(s.call('IOMMU_FAULT_QUEUE_ALLOC')).toBe('');
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 4, dev_id: 3, pt_id: 1, fault_id: 5 })).toBe(errno);
  });
  const onViommu: Values = { dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4 };
  const viommu = (dialect: DialectName): Session => {
    const s = mock(dialect);
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 })).toBe('');
    expect(s.call('IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5 })).toBe('');
    return s;
  };
  test.each(row('', '', '').slice(1))('%s, pt_id of a VIOMMU: "%s"', (dialect, errno) => {
    expect(viommu(dialect).call('IOMMU_HWPT_ALLOC', onViommu, { data_uptr: u32(1) })).toBe(errno);
  });
  test('6.12, pt_id of a VIOMMU: EINVAL', () => {
    expect(askedOld(viommu('linux-7.2'), 'IOMMU_HWPT_ALLOC', onViommu, { data_uptr: u32(1) })).toBe('EINVAL');
  });
  test.each(row('EOPNOTSUPP', '', ''))('%s, PASID: "%s"', (dialect, errno) => {
    expect(mock(dialect).call('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: 3, pt_id: 1 })).toBe(errno);
  });
});

describe('HWPT_INVALIDATE', () => {
  /** nest parent 5, nested 6 */
  const nested = (dialect: DialectName): Session => {
    const s = mock(dialect);
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 })).toBe('');
    expect(s.call('IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 5, data_type: 0xdead, data_len: 4 }, { data_uptr: u32(1) })).toBe('');
    return s;
  };
  const invalidate = (s: Session, values: Values): string =>
    s.call('IOMMU_HWPT_INVALIDATE', { hwpt_id: 6, data_type: 0xdeadbeef, entry_len: 8, entry_num: 1, ...values }, { data_uptr: u32(0, 0) });
  test.each(row('', '', ''))('%s, a nested HWPT: "%s"', (dialect, errno) => {
    expect(invalidate(nested(dialect), {})).toBe(errno);
  });
  test.each(row('ENOENT', 'EINVAL', 'EINVAL'))('%s, an object of another type: %s', (dialect, errno) => {
    for (const id of [1, 3, 5]) expect(invalidate(nested(dialect), { hwpt_id: id })).toBe(errno);
  });
  test.each(row('ENOENT', 'ENOENT', 'ENOENT'))('%s, an object that is not there: %s', (dialect, errno) => {
    expect(invalidate(nested(dialect), { hwpt_id: 99 })).toBe(errno);
  });
  // 6.12 and 7.2 look at the sizes before the object, in between nobody did
  test.each(row('EINVAL', 'ENOENT', 'EINVAL'))('%s, an entry of more than a page, for no object: %s', (dialect, errno) => {
    expect(invalidate(nested(dialect), { hwpt_id: 99, entry_len: 4097 })).toBe(errno);
  });
  test.each(row('EINVAL', 'ENOENT', 'EINVAL'))('%s, more than 2^19 entries, for no object: %s', (dialect, errno) => {
    expect(invalidate(nested(dialect), { hwpt_id: 99, entry_num: 2 ** 19 + 1 })).toBe(errno);
  });
});

describe('UNMAP of nothing', () => {
  test.each(row('ENOENT', 'ENOENT', 'ENOENT'))('%s, IOAS_UNMAP: %s', (dialect, errno) => {
    expect(mock(dialect).call('IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: IOVA, length: PAGE })).toBe(errno);
  });
  // success since 6.18, which stable releases of 6.12 took over
  test.each(row('', 'ENOENT', ''))('%s, VFIO_IOMMU_UNMAP_DMA: "%s", with size 0', (dialect, errno) => {
    const s = mock(dialect);
    expect(s.call('IOMMU_VFIO_IOAS', { ioas_id: 1, op: 1 })).toBe('');
    expect(s.call('VFIO_IOMMU_UNMAP_DMA', { iova: IOVA, size: PAGE })).toBe(errno);
    if (errno === '') expect(s.p.u64('VFIO_IOMMU_UNMAP_DMA', 'size')).toBe(0n);
  });
});

describe('GET_DIRTY_BITMAP of length 0', () => {
  const dirty = (dialect: DialectName, iova: bigint) => {
    const s = mock(dialect);
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 2, dev_id: 3, pt_id: 1 })).toBe('');
    return s.p.ask(s.fd, 'IOMMU_HWPT_GET_DIRTY_BITMAP', { hwpt_id: 5, iova, length: 0, page_size: PAGE, data: 0x1000 });
  };
  test.each(row('EINVAL', 'EOVERFLOW', 'EOVERFLOW'))('%s: %s', (dialect, errno) => {
    expect(dirty(dialect, IOVA)?.errno).toBe(errno);
  });
  test.each(row('EINVAL', '', ''))('%s, at iova 0: "%s"', (dialect, errno) => {
    expect(dirty(dialect, 0n)?.errno).toBe(errno);
  });
  test('6.12: earlier releases did not look', () => {
    expect(dirty('linux-6.12', IOVA)?.mayBe('EOVERFLOW')).toBe('stable release');
    expect(dirty('linux-6.12', 0n)?.mayBe('')).toBe('stable release');
  });
});

describe('a place for a mapping of half the address space', () => {
  test.each(row('EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW'))('%s: %s', (dialect, errno) => {
    const s = new Session(dialect);
    expect(s.call('IOMMU_IOAS_MAP', { flags: 6, ioas_id: 1, user_va: PAGE, length: 2n ** 63n - 1n })).toBe(errno);
  });
});

describe('the end of a device that has a vDEVICE', () => {
  /** vDEVICE 7; its device ends. → DESTROY of it, and the next id */
  const ended = (dialect: DialectName): readonly [string, number] => {
    const s = mock(dialect);
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 })).toBe('');
    expect(s.call('IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5 })).toBe('');
    expect(s.call('IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 1 })).toBe('');
    expect(s.call('IOMMU_DESTROY', { id: 2 })).toBe('');
    const errno = s.call('IOMMU_DESTROY', { id: 7 });
    for (let i = 0; i < 4; i++) expect(s.call('IOMMU_IOAS_ALLOC')).toBe('');
    return [errno, s.p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id')];
  };
  test('7.2: a tombstone, whose id nobody gets', () => {
    expect(ended('linux-7.2')).toEqual(['ENOENT', 8]);
  });
  test('before 6.17: it stays, and can be destroyed', () => {
    expect(ended('hw-queue-v9')).toEqual(['', 7]);
  });
});

describe('VFIO_DEVICE_DETACH with a PASID', () => {
  test.each(row('EINVAL', '', ''))('%s: "%s"', (dialect, errno) => {
    const s = new Session(dialect);
    const vfio = s.p.open('vfio-device');
    expect(s.p.call(vfio, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: s.fd })).toBe('');
    // a struct of 6.12 has no room for it
    const size = Math.max(12, s.p.model.table.byName('VFIO_DEVICE_DETACH_IOMMUFD_PT')?.struct?.size ?? 0);
    expect(s.p.ask(vfio, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 1 }, { size })?.errno).toBe(errno);
    expect(s.p.ask(vfio, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 2 }, { size })?.errno).toBe('EINVAL');
  });
});
