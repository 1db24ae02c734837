/** The difference matrix of the posted series, row by row: the same calls under each dialect. */
import { describe, expect, test } from 'vitest';
import { SELFTEST_VIOMMU } from './mock.ts';
import { MEMORY, Mock, row, SERIES, type Series } from './series-testing.ts';
import { Program } from './testing.ts';

/** Series whose mock driver makes queues. */
const all = SERIES.filter((d) => d !== 'vcmdq-v1');
/** What each has, in the order of `all`. */
const rows = (...values: readonly string[]) => row('', ...values).slice(1);
const guest = (dialect: Series): Mock => new Mock(dialect);

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
    const g = guest(dialect);
    const { p, fd } = g;
    expect(g.queue()).toBe('');
    const first = g.queueId();
    expect(p.call(fd, 'IOMMU_IOAS_ALLOC')).toBe('');
    expect(`${first} ${p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id')}`).toBe(ids);
  });
});

describe('the same index twice', () => {
  test.each(rows('EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST'))('%s: %s', (dialect, errno) => {
    const g = guest(dialect);
    expect(g.queue()).toBe('');
    expect(g.queue({ base: MEMORY + 0x1000 })).toBe(errno);
  });
});

describe('index 1 before and after index 0', () => {
  test.each(all)('%s: EIO, then success', (dialect) => {
    const g = guest(dialect);
    expect(g.queue({ index: 1 })).toBe('EIO');
    expect(g.queue()).toBe('');
    expect(g.queue({ index: 1, base: MEMORY + 0x1000 })).toBe('');
  });
});

describe('destroying queue 0 before queue 1', () => {
  test.each(all)('%s: EBUSY', (dialect) => {
    const g = guest(dialect);
    expect(g.queue()).toBe('');
    const first = g.queueId();
    expect(g.queue({ index: 1, base: MEMORY + 0x1000 })).toBe('');
    const second = g.queueId();
    expect([first, second, first, 6].map((id) => g.destroy(id))).toEqual(['EBUSY', '', '', '']);
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

describe('a length that would need an array of pages that no kernel makes', () => {
  const length = 2n ** 41n;
  test.each(rows('ENOMEM', 'ENOMEM', 'ENOMEM', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT'))(
    '%s, of a vIOMMU that is not there: %s',
    (dialect, errno) => {
      expect(guest(dialect).queue({ length, viommu: 99 })).toBe(errno);
    },
  );
  test.each(all)('%s, of one that is there: ENOMEM', (dialect) => {
    expect(guest(dialect).queue({ length })).toBe('ENOMEM');
  });
});

describe('a type that there is not, over a hole', () => {
  // the core asks for the type, or the driver does when the pages are pinned
  test.each(rows('ENXIO', 'ENXIO', 'ENXIO', 'ENOENT', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP'))(
    '%s: %s',
    (dialect, errno) => {
      expect(guest(dialect).queue({ type: 7, base: 0x7000000 })).toBe(errno);
      expect(guest(dialect).queue({ type: 7 })).toBe('EOPNOTSUPP');
    },
  );
});

describe('a queue that begins inside a page', () => {
  test.each(rows('EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', '', ''))('%s: "%s"', (dialect, errno) => {
    expect(guest(dialect).queue({ base: MEMORY + 0x800, length: 0x800 })).toBe(errno);
  });
});

describe('pages that may lie apart in physical memory', () => {
  const maybe = 'physical memory';
  test.each(rows(maybe, maybe, '', maybe, maybe, maybe, maybe, maybe, maybe))('%s: EFAULT for "%s"', (dialect, reason) => {
    const asked = guest(dialect).askQueue({ length: 0x2000 });
    expect([asked.errno, asked.mayBe('EFAULT') ?? '']).toEqual(['', reason === '' ? 'program memory' : reason]);
    expect(guest(dialect).askQueue({ length: 0x1000 }).mayBe('EFAULT')).toBe('program memory');
  });
});

describe('an area of half a page in the IOAS of a queue', () => {
  // an internal access wants whole pages
  test.each(rows('', '', '', '', 'EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE'))('%s: "%s"', (dialect, errno) => {
    const g = guest(dialect);
    const map = { flags: 7, ioas_id: 1, user_va: 0x4000_0000, length: 0x800, iova: 0x300_0000 };
    expect(g.p.call(g.fd, 'IOMMU_IOAS_MAP', map)).toBe('');
    expect(g.queue()).toBe(errno);
  });
});

describe('vEVENTQs and invalidations, which mainline has bounded since', () => {
  test.each(rows('', '', '', '', '', '', '', '', 'EINVAL'))('%s: a depth of 2^20: "%s"', (dialect, errno) => {
    const g = guest(dialect);
    expect(g.p.call(g.fd, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: 1, veventq_depth: 2 ** 20 })).toBe(errno);
  });
  test.each(rows('E2BIG', 'E2BIG', 'E2BIG', 'E2BIG', 'E2BIG', 'E2BIG', 'E2BIG', 'E2BIG', 'EINVAL'))(
    '%s: an entry of two pages: %s',
    (dialect, errno) => {
      const g = guest(dialect);
      const values = { hwpt_id: 6, data_type: 0xdeadbeef, entry_len: 0x2000, entry_num: 1 };
      expect(g.p.call(g.fd, 'IOMMU_HWPT_INVALIDATE', values, { nested: { data_uptr: new Uint8Array(0x2000).fill(1) } })).toBe(errno);
    },
  );
});

describe('a second vDEVICE of a device, and the end of a device that has one', () => {
  const vdevice = (g: Mock, viommu: number, virtId: number): string =>
    g.p.call(g.fd, 'IOMMU_VDEVICE_ALLOC', { viommu_id: viommu, dev_id: 3, virt_id: virtId });
  test.each(rows('', '', '', '', '', '', '', '', 'EEXIST'))('%s: "%s"', (dialect, errno) => {
    const g = guest(dialect);
    expect(vdevice(g, 6, 1)).toBe('');
    expect(vdevice(g, 6, 2)).toBe(errno);
    expect(vdevice(g, 6, 1)).toBe('EEXIST');
  });
  test.each(rows('', '', '', '', '', '', '', '', 'ENOENT'))('%s: DESTROY of the vDEVICE after its device: "%s"', (dialect, errno) => {
    const g = guest(dialect);
    expect(vdevice(g, 6, 1)).toBe('');
    const id = g.p.u32('IOMMU_VDEVICE_ALLOC', 'out_vdevice_id');
    expect(g.destroy(2)).toBe('');
    expect(g.destroy(id)).toBe(errno);
  });
});
