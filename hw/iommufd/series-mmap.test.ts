/** The difference matrix of the posted series, row by row: what is mapped of an iommufd. */
import { describe, expect, test } from 'vitest';
import { brokenRules } from './invariants.ts';
import { mmap } from './mmap.ts';
import { Grace, type MmapValues, Mock, row, SERIES, type Series, same } from './series-testing.ts';
import { Program } from './testing.ts';

/** A Grace machine with so many vIOMMUs. → offsets and lengths of their regions */
function machine(dialect: Series, count: number): { readonly g: Grace; readonly shown: readonly (readonly [number, number])[] } {
  const g = new Grace(dialect).known();
  const shown = Array.from({ length: count }, () => {
    expect(g.vintf()).toBe('');
    return g.shown();
  });
  return { g, shown };
}
const offsets = (dialect: Series, count: number): number[] => machine(dialect, count).shown.map(([offset]) => offset);

describe('offsets of the 1st, 2nd, 3rd region of 64 KiB', () => {
  const byIndex = [0, 0x8000, 0x1_0000];
  const byLength = [0, 0x1_0000, 0x2_0000];
  const late = [0x1000, 0x1_1000, 0x2_1000];
  test.each(row(byIndex, byIndex, byIndex, byLength, byLength, byLength, byLength, late, late, late))('%s: %j', (dialect, expected) => {
    expect(offsets(dialect, 3)).toEqual(expected);
  });
});

describe('length that a vIOMMU reports', () => {
  test.each(same(0x1_0000))('%s, page 0 of a VINTF: %i', (dialect, length) => {
    expect(machine(dialect, 1).shown[0]?.[1]).toBe(length);
  });
  test.each(row(1, 1, 1, 1, 2, 2, 2, 2, 2, 2))('%s, mock: %i pages', (dialect, pages) => {
    expect(new Mock(dialect).shown()[1]).toBe(pages * 0x1000);
  });
});

describe('mmap', () => {
  /** of the first region of two; `offset` from its start */
  const answer = (dialect: Series, values: MmapValues, second = false): string => {
    const { g, shown } = machine(dialect, 2);
    const at = shown[second ? 1 : 0]![0];
    return g.mmap({ length: 0x1_0000, ...values, offset: at + (values.offset ?? 0) }).errno;
  };

  test.each(same(''))('%s: the offset and length that were handed out: "%s"', (dialect, errno) => {
    expect(answer(dialect, {})).toBe(errno);
    expect(answer(dialect, {}, true)).toBe(errno);
  });
  test.each(same('EINVAL'))('%s: MAP_PRIVATE: %s', (dialect, errno) => {
    expect(answer(dialect, { flags: 2 })).toBe(errno);
  });
  test.each(same(''))('%s: MAP_SHARED_VALIDATE: "%s"', (dialect, errno) => {
    expect(answer(dialect, { flags: 3 })).toBe(errno);
  });
  test.each(same('EPERM'))('%s: PROT_EXEC: %s', (dialect, errno) => {
    expect(answer(dialect, { prot: 5 })).toBe(errno);
  });
  test.each(same('EINVAL'))('%s: MAP_PRIVATE stands before PROT_EXEC: %s', (dialect, errno) => {
    expect(answer(dialect, { prot: 5, flags: 2 })).toBe(errno);
  });

  const wrong = row('EINVAL', ...new Array<string>(9).fill('ENXIO'));
  test.each(wrong)('%s: an offset where nothing is: %s', (dialect, errno) => {
    expect(answer(dialect, { offset: 0x80_0000 })).toBe(errno);
  });
  test.each(wrong)('%s: more than the region: %s', (dialect, errno) => {
    expect(answer(dialect, { length: 0x1_1000 })).toBe(errno);
  });

  describe('a length below that of the region', () => {
    test.each(row('', '', '', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO'))('%s: "%s"', (dialect, errno) => {
      expect(answer(dialect, { length: 0x8000 })).toBe(errno);
    });
    test.each(same(''))('%s: but not rounded up to pages: "%s"', (dialect, errno) => {
      expect(answer(dialect, { length: 0xf001 })).toBe(errno);
    });
  });

  describe('an offset inside the region, its whole length', () => {
    // a row of 8 page indexes stands for the start, whatever the region's length is
    test.each(row('', '', '', '', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO'))('%s, page 7: "%s"', (dialect, errno) => {
      expect(answer(dialect, { offset: 0x7000 }, true)).toBe(errno);
    });
    test.each(row('EINVAL', 'ENXIO', 'ENXIO', '', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO'))(
      '%s, page 8: "%s"',
      (dialect, errno) => {
        expect(answer(dialect, { offset: 0x8000 }, true)).toBe(errno);
      },
    );
    test('page 8 of the first is the second, where a region takes 8 pages of offsets', () => {
      const { g } = machine('vcmdq-v2', 2);
      expect(g.mmap({ offset: 0x8000 }).because?.map((o) => o.id)).toEqual([5]);
      expect(g.mmap({ offset: 0x7000 }).because?.map((o) => o.id)).toEqual([4]);
      expect(g.mmap({ offset: 0x7000 }).allowed).toContain('offset 0x7000 stands for its start, 0x0, as well');
    });
  });

  test('an iommufd of Linux 6.12 has nothing to map', () => {
    const p = new Program('linux-6.12');
    const { context } = p.fds.get(p.open())!;
    const request = { length: 0x1000n, prot: 3, flags: 1, offset: 0n };
    expect(mmap(context!, p.model.traits, request).errno).toBe('ENODEV');
    expect(mmap(context!, new Program('linux-7.2').model.traits, request).errno).toBe('ENXIO');
  });
});

describe('a mapping and DESTROY of its vIOMMU', () => {
  test.each(row('', '', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY'))('%s: "%s"', (dialect, errno) => {
    const { g, shown } = machine(dialect, 1);
    const { key } = g.mmap({ offset: shown[0]![0], length: 0x1_0000 });
    expect(g.destroy(4)).toBe(errno);
    g.p.model.unmapped(key);
    expect(g.destroy(4)).toBe(errno === '' ? 'ENOENT' : '');
    expect(brokenRules(g.p.model.kernel)).toEqual([]);
  });
  test.each(same(2))('%s: each of several mappings counts', (dialect, count) => {
    const { g, shown } = machine(dialect, 1);
    const keys = Array.from({ length: count }, () => g.mmap({ offset: shown[0]![0], length: 0x1_0000 }).key);
    const holds = dialect !== 'vcmdq-v1' && dialect !== 'vcmdq-v2';
    g.p.model.unmapped(keys[0]!);
    expect(g.destroy(4)).toBe(holds ? 'EBUSY' : '');
  });
  test.each(same(1))('%s: a mapping keeps the file', (dialect, contexts) => {
    const { g, shown } = machine(dialect, 1);
    const { key } = g.mmap({ offset: shown[0]![0], length: 0x1_0000 });
    g.p.close(g.vfio);
    g.p.close(g.fd);
    expect(g.p.model.kernel.contexts.size).toBe(contexts);
    g.p.model.unmapped(key);
    expect(g.p.model.kernel.contexts.size).toBe(0);
  });
});

describe('the region of a vIOMMU that has ended', () => {
  /** Two vIOMMUs; one ends. → is its offset given again? */
  const next = (dialect: Series, gone: number): number => {
    const { g } = machine(dialect, 2);
    expect(g.destroy(gone)).toBe('');
    expect(g.vintf()).toBe('');
    return g.shown()[0];
  };
  describe('the first: its offset is given again, or never where it is 0', () => {
    test.each(row(0x1_0000, 0x1_0000, 0x1_0000, 0x2_0000, 0x2_0000, 0x2_0000, 0x2_0000, 0x1000, 0x1000, 0x1000))(
      '%s: 0x%x',
      (dialect, offset) => {
        expect(next(dialect, 4)).toBe(offset);
      },
    );
  });
  describe('the second: its offset is given again', () => {
    // v7 takes out what is at the page number of the offset, 0x10: the first region, whose place is free then
    test.each(row(0x8000, 0x8000, 0x8000, 0x1_0000, 0x1_0000, 0x1_0000, 0, 0x1_1000, 0x1_1000, 0x1_1000))('%s: 0x%x', (dialect, offset) => {
      expect(next(dialect, 5)).toBe(offset);
    });
  });
  test('v7: the region of the living one is lost to the one that ended', () => {
    const { g } = machine('hw-queue-v7', 2);
    expect(g.mmap({ offset: 0, length: 0x1_0000 }).errno).toBe('');
    expect(g.destroy(5)).toBe('');
    expect(g.mmap({ offset: 0, length: 0x1_0000 })).toMatchObject({ errno: 'ENXIO', refusal: { rule: 'mmap.no-region' } });
    expect(g.mmap({ offset: 0x1_0000, length: 0x1_0000 }).unsure).toBe('memory of an ended object');
  });

  test('of a driver that nothing is known of, a vIOMMU may show what the log does not tell', () => {
    const g = new Grace('linux-7.2');
    g.must('IOMMU_VIOMMU_ALLOC', { type: 9, dev_id: 1, hwpt_id: 3 });
    expect(g.mmap({ offset: 0x1000 }).unsure).toBe('not in the log');
    const told = { nested: { data_uptr: new Uint8Array(new BigUint64Array([0x9000n, 0x1_0000n]).buffer) } };
    g.must('IOMMU_DESTROY', { id: 4 });
    g.must('IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 3, data_len: 16, data_uptr: 0x1000 }, { told });
    expect(g.mmap({ offset: 0x9000, length: 0x1_0000 }).because?.map((o) => o.id)).toEqual([4]);
    expect(g.mmap({ offset: 0x1000 }).errno).toBe('ENXIO');
  });

  const stays = row('', '', 'unsure', 'unsure', 'unsure', 'unsure', 'unsure', 'ENXIO', 'ENXIO', 'ENXIO');
  test.each(stays)('%s: mmap of the first one after its end: "%s"', (dialect, expected) => {
    const { g, shown } = machine(dialect, 1);
    expect(g.destroy(4)).toBe('');
    const reply = g.mmap({ offset: shown[0]![0], length: 0x1_0000 });
    // where a mapping counts, the kernel counts in memory that it has given back: anything may come of it
    expect(reply.unsure === undefined ? reply.errno : 'unsure').toBe(expected);
  });
  test.each(SERIES)('%s: what mmap refuses says where the regions are', (dialect) => {
    const { g, shown } = machine(dialect, 1);
    const { refusal } = g.mmap({ offset: 0x80_0000 });
    expect(refusal).toMatchObject({ rule: 'mmap.no-region', field: 'offset' });
    expect(refusal?.text).toContain(`there are 0x${shown[0]![0].toString(16)}+0x10000 of VIOMMU 4`);
  });
});
