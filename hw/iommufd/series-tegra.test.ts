/** The difference matrix of the posted series, row by row: HW queues of a CMDQV. */
import { describe, expect, test } from 'vitest';
import { Grace, HARDWARE, type Hardware, MEMORY, row, type Series, same, u32, u64 } from './series-testing.ts';

const PAGE = 0x1000;

/** A machine whose log has told of its hardware, with VIOMMU 4. */
function machine(dialect: Series, hardware: Hardware = HARDWARE): Grace {
  const g = new Grace(dialect).known(hardware);
  expect(g.vintf()).toBe('');
  expect(g.vintfId()).toBe(4);
  return g;
}
const v1 = (dialect: Series): boolean => dialect === 'vcmdq-v1';

describe('index', () => {
  // v1 tells nowhere how many there are
  test.each(row('', ...new Array<string>(9).fill('EINVAL')))('%s: beyond those of a VINTF: "%s"', (dialect, errno) => {
    const asked = machine(dialect).askQueue({ index: 2 });
    expect(asked).toMatchObject({ errno, rule: errno === '' ? '' : 'tegra.queue-index' });
    expect(asked.mayBe('EINVAL')).toBe(errno === '' ? 'driver-private' : undefined);
    if (v1(dialect)) return;
    expect(machine(dialect, { ...HARDWARE, log2Queues: 0 }).queue({ index: 1 })).toBe(errno);
  });
  test.each(row('', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO'))('%s: 1 before 0: "%s"', (dialect, errno) => {
    expect(machine(dialect).queue({ index: 1 })).toBe(errno);
  });
  test.each(row('', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST'))(
    '%s: twice: "%s"',
    (dialect, errno) => {
      const g = machine(dialect);
      expect(g.queue()).toBe('');
      expect(g.queue({ base: MEMORY + PAGE })).toBe(errno);
    },
  );
  test('v1: twice gives the same queue again, and a reference that nobody gives back', () => {
    const g = machine('vcmdq-v1');
    expect(g.queue()).toBe('');
    const first = g.queueId();
    expect(g.queue({ base: MEMORY + PAGE })).toBe('');
    expect(g.queueId()).toBe(first);
    expect(g.destroy(first)).toBe('');
    const ask = g.p.ask(g.fd, 'IOMMU_DESTROY', { id: 4 });
    expect(ask).toMatchObject({ errno: 'EBUSY', refusal: { text: 'VIOMMU 4 is held by a reference that its driver never gives back' } });
  });
  test.each(row(...[''], ...new Array<string>(9).fill('EBUSY')))('%s: DESTROY of 0 before 1: "%s"', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.queue()).toBe('');
    const first = g.queueId();
    expect(g.queue({ index: 1, base: MEMORY + PAGE })).toBe('');
    const second = g.queueId();
    expect(g.destroy(4)).toBe('EBUSY');
    expect(g.destroy(first)).toBe(errno);
    expect(g.destroy(second)).toBe('');
    expect(g.destroy(first)).toBe(errno === '' ? 'ENOENT' : '');
    expect(g.destroy(4)).toBe('');
  });
});

describe('ids of a queue, and of an IOAS after it', () => {
  test.each(row('5 6', '5 6', '5 6', '5 6', '5 6', '6 7', '5 7', '5 7', '5 7', '5 7'))('%s: %s', (dialect, ids) => {
    const g = machine(dialect);
    expect(g.queue()).toBe('');
    const queue = g.queueId();
    g.must('IOMMU_IOAS_ALLOC');
    expect(`${queue} ${g.p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id')}`).toBe(ids);
  });
});

describe('length', () => {
  const lengths: readonly (readonly [number, string])[] = [
    [16, 'EINVAL'],
    [32, ''],
    [0x1000, ''],
    [0x2000, ''],
    [0x4000, 'EINVAL'],
    [0x1800, 'EINVAL'],
    [48, 'EINVAL'],
  ];
  test.each(same('').slice(1))('%s: a power of two, 32 to 16 times the entries of IDR1.CMDQS', (dialect) => {
    for (const [length, errno] of lengths) expect([length, machine(dialect).queue({ length })]).toEqual([length, errno]);
  });
  test('v1: log2 of entries, 1 to 31', () => {
    const g = machine('vcmdq-v1');
    const queue = (log2: number): string => {
      const nested = { data_uptr: new Uint8Array([...u32(0, log2), ...u64(BigInt(MEMORY))]) };
      return g.p.call(g.fd, 'IOMMU_VCMDQ_ALLOC', { viommu_id: 4, type: 1, data_len: 16 }, { nested });
    };
    expect([0, 1, 31, 32].map(queue)).toEqual(['EINVAL', '', '', 'EINVAL']);
  });
});

describe('base', () => {
  test.each(row('EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', '', '', '', '', ''))('%s: 0, mapped: "%s"', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.memory(0, 0x800_0000)).toBe('');
    expect(g.queue({ base: 0 })).toBe(errno);
  });
  test.each(row('EINVAL', 'ENXIO', 'ENXIO', 'ENXIO', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT'))(
    '%s: not mapped: %s',
    (dialect, errno) => {
      expect(machine(dialect).queue({ base: 0x700_0000 })).toBe(errno);
    },
  );
  test.each(row('', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT'))(
    '%s: mapped, with a hole behind: "%s"',
    (dialect, errno) => {
      expect(machine(dialect).queue({ base: MEMORY + 0xf000, length: 0x2000 })).toBe(errno);
    },
  );
  test.each(
    row('', 'EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW', 'EOVERFLOW').slice(1),
  )('%s: with a length that goes over 2^64: %s', (dialect, errno) => {
    expect(machine(dialect).queue({ base: 2n ** 64n - 0x1000n, length: 0x2000 })).toBe(errno);
  });

  describe('that is no multiple of the length, whose memory is one', () => {
    // 0x1000 after a multiple of 0x2000 in IOVA, and in the program's memory one of 0x2000
    const answer = (dialect: Series): ReturnType<Grace['askQueue']> => {
      const g = machine(dialect);
      expect(g.memory(0x400_1000, 0x800_0000)).toBe('');
      return g.askQueue({ base: 0x400_1000, length: 0x2000 });
    };
    test.each(row('', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', '', '', '', '', ''))('%s: "%s"', (dialect, errno) => {
      expect(answer(dialect).errno).toBe(errno);
    });
    // two pages may lie anywhere
    test.each(row('', ...new Array<string>(9).fill('physical memory')).slice(5))('%s: EINVAL for "%s"', (dialect, reason) => {
      expect(answer(dialect).mayBe('EINVAL')).toBe(reason);
    });
  });
  describe('inside a page', () => {
    const answer = (dialect: Series, offset: number): string => {
      const g = machine(dialect);
      expect(g.p.call(g.fd, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 2, user_va: 0x800_0000, length: 0x1_0000, iova: 0x500_0000 })).toBe('');
      return g.queue({ base: 0x500_0000 + offset, length: 0x100 });
    };
    test.each(row('', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', '', ''))(
      '%s, a multiple of the length: "%s"',
      (dialect, errno) => {
        expect(answer(dialect, 0x100)).toBe(errno);
      },
    );
    // v1 looks at bits 5 to 47 alone
    test.each(row('', ...new Array<string>(9).fill('EINVAL')))('%s, no multiple of it: "%s"', (dialect, errno) => {
      expect(answer(dialect, 0x80)).toBe(errno);
    });
  });
});

describe('pages that lie apart in physical memory', () => {
  const maybe = 'physical memory';
  const never = 'program memory';
  test.each(row(never, maybe, maybe, never, maybe, maybe, maybe, maybe, maybe, maybe))('%s: EFAULT for "%s"', (dialect, reason) => {
    expect(machine(dialect).askQueue({ length: 0x2000 }).mayBe('EFAULT')).toBe(reason);
  });
});

describe('type', () => {
  test.each(row('EINVAL', ...new Array<string>(9).fill('EOPNOTSUPP')))('%s: another one: %s', (dialect, errno) => {
    expect(machine(dialect).queue({ type: 2 })).toBe(errno);
  });
  test.each(same('EOPNOTSUPP'))('%s: 0: %s', (dialect, errno) => {
    expect(machine(dialect).queue({ type: 0 })).toBe(errno);
  });
  test.each(same('EOPNOTSUPP'))('%s: any, on a vIOMMU of the SMMUv3 alone: %s', (dialect, errno) => {
    const g = new Grace(dialect).known();
    g.must('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: 1, hwpt_id: 3 });
    expect(g.queue()).toBe(errno);
  });
});

describe('v1: the order of its checks', () => {
  const ask = (values: Record<string, number>, data: readonly number[], g = machine('vcmdq-v1')): string => {
    const nested = { data_uptr: u32(...data) };
    return g.p.call(g.fd, 'IOMMU_VCMDQ_ALLOC', { viommu_id: 4, type: 1, data_len: 16, ...values }, { nested });
  };
  test.each([
    ['flags', { flags: 1, data_len: 0 }, [], 'EOPNOTSUPP'],
    ['no data', { data_len: 0, viommu_id: 9 }, [], 'EINVAL'],
    ['no vIOMMU', { viommu_id: 9 }, [0, 1, 0, 0], 'ENOENT'],
    ['data of another length', { data_len: 12 }, [0, 1, 0], 'EINVAL'],
    ['longer data', { data_len: 20 }, [0, 1, MEMORY, 0, 0], 'EINVAL'],
    ['base 0', {}, [0, 1, 0, 0], 'EINVAL'],
    ['a base of bits below 5', {}, [0, 1, MEMORY + 16, 0], 'EINVAL'],
    ['a base of bits above 47', {}, [0, 1, MEMORY, 0x1_0000], 'EINVAL'],
    ['a fine one', {}, [0, 1, MEMORY, 0], ''],
  ] as const)('%s', (_, values, data, errno) => {
    expect(ask(values, data)).toBe(errno);
  });
});

describe('sizes of the struct', () => {
  test.each(row(32, 40, 40, 40, 40, 40, 40, 40, 40, 40))('%s: %i bytes at least', (dialect, size) => {
    const g = machine(dialect);
    const [name, values, options] = g.queueRequest({});
    expect(g.p.model.table.byName(name)?.struct?.min).toBe(size);
    expect(g.p.call(g.fd, name, values, { ...options, size: size - 8 })).toBe('EINVAL');
    expect(g.p.call(g.fd, name, values, { ...options, size: size + 8 })).toBe('');
    expect(v1(dialect)).toBe(size === 32);
  });
});
