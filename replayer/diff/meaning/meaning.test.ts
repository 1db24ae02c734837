import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../../hw/uapi/table.ts';
import { longs, Script, words } from '../../script.ts';
import { compared, differencesOf } from '../testing.ts';

const table = uapiTable('linux-7.2');
const IOMMUFD = 3;

const differences = (left: (s: Script) => void, right: (s: Script) => void): string[] => {
  const sides = [left, right].map((play) => {
    const s = new Script(table);
    s.start();
    s.open(IOMMUFD);
    play(s);
    s.exit();
    return { source: s.source(), table };
  });
  return differencesOf(compared(sides[0]!, sides[1]!));
};

describe('what the kernel does not read', () => {
  const access = (flags: number, before: number, after: number) => (s: Script) => {
    const nested = { nestedIn: { uptr: words(before) }, nestedOut: { uptr: words(after) } };
    s.test(IOMMUFD, 'ACCESS_RW', 9, { iova: 0x1000, length: 4, uptr: 0x5000, flags }, {}, nested);
  };

  test('a buffer that a call fills is there before as the program had left it', () => {
    expect(differences(access(0, 1, 7), access(0, 2, 7))).toEqual([]);
    expect(differences(access(0, 1, 7), access(0, 1, 8))).toEqual(['~ 3/3 uptr']);
  });

  test('a buffer that it reads counts', () => {
    expect(differences(access(1, 1, 7), access(1, 2, 7))).toEqual(['~ 3/3 uptr[1]']);
  });

  /** IOMMU_HWPT_INVALIDATE of a mock HWPT: 8 bytes an entry, flags and iotlb_id; `done` of them are handled. */
  const invalidate = (ids: readonly number[], done: number, error?: number) => (s: Script) => {
    const asked = { hwpt_id: 5, data_uptr: 0x5000, data_type: 0xdeadbeef, entry_len: 8, entry_num: ids.length };
    const nestedIn = { data_uptr: words(...ids.flatMap((id) => [0, id])) };
    s.ioctl(IOMMUFD, 'IOMMU_HWPT_INVALIDATE', asked, { entry_num: done }, error === undefined ? { nestedIn } : { nestedIn, error });
  };

  test('entries behind the one at which a call failed', () => {
    expect(differences(invalidate([1, 2, 99, 4], 2, 22), invalidate([1, 2, 99, 5], 2, 22))).toEqual([]);
    expect(differences(invalidate([1, 2, 99, 4], 2, 22), invalidate([1, 2, 98, 4], 2, 22))).toEqual(['~ 3/3 iotlb_id[2]']);
    expect(differences(invalidate([1, 2, 3, 4], 4), invalidate([1, 2, 3, 5], 4))).toEqual(['~ 3/3 iotlb_id[3]']);
  });

  const long = (tail: number, error?: number) => (s: Script) => {
    const asked = { hwpt_id: 5, data_uptr: 0x5000, data_type: 0xdeadbeef, entry_len: 16, entry_num: 1 };
    const nestedIn = { data_uptr: words(0, 1, 0, tail) };
    const output = { entry_num: error === undefined ? 1 : 0 };
    s.ioctl(IOMMUFD, 'IOMMU_HWPT_INVALIDATE', asked, output, error === undefined ? { nestedIn } : { nestedIn, error });
  };

  test('what lies behind an entry that is refused: that it is not zero counts', () => {
    expect(differences(long(1, 7), long(2, 7))).toEqual([]);
    expect(differences(long(0, 7), long(2, 7))).toEqual(['~ 3/3 more bytes']);
    expect(differences(long(1), long(2))).toEqual(['~ 3/3 more bytes']);
  });
});

describe('the region of a vIOMMU', () => {
  /** A vIOMMU whose region begins at `start`; the program maps at `offset`. */
  const mapped = (start: number, offset: number) => (s: Script) => {
    s.ioctl(IOMMUFD, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.test(IOMMUFD, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_hwpt_id: 4, out_idev_id: 3 });
    s.ioctl(IOMMUFD, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 5 });
    const nestedOut = { data_uptr: Buffer.concat([words(0, 0), longs(start, 0x2000)]) };
    const asked = { type: 0xdeadbeef, dev_id: 3, hwpt_id: 5, data_len: 24, data_uptr: 0x5000 };
    s.ioctl(IOMMUFD, 'IOMMU_VIOMMU_ALLOC', asked, { out_viommu_id: 6 }, { nestedOut });
    s.mmap(IOMMUFD, 0x7000_0000, 0x2000, offset);
  };

  test('is where the kernel chose; 0 is a choice too', () => {
    expect(differences(mapped(0x1000, 0x1000), mapped(0x5000, 0x5000))).toEqual([]);
    expect(differences(mapped(0, 0), mapped(0x1000, 0x1000))).toEqual([]);
  });

  test('where in it a mapping begins is the program’s choice', () => {
    expect(differences(mapped(0x1000, 0x1000), mapped(0x1000, 0x2000))).toEqual(['~ 7/7 offset']);
    expect(differences(mapped(0x1000, 0x2000), mapped(0x5000, 0x6000))).toEqual([]);
  });
});
