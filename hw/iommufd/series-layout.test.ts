/** The difference matrix of the posted series, row by row: names and places of fields, constants. */
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../uapi/table.ts';
import { row, type Series, same } from './series-testing.ts';

const REQUEST = 0x3b94;
const queue = (dialect: Series) => uapiTable(dialect).command('iommufd', REQUEST)!;
/** "name" of what begins at an offset, '–' where nothing does */
const fieldAt = (dialect: Series, offset: number): string => queue(dialect).struct?.fields.find((f) => f.offset === offset)?.name ?? '–';
const dataFields = (dialect: Series, type: number): string[] => {
  const table = uapiTable(dialect);
  const command = table.byName('IOMMU_VIOMMU_ALLOC')!;
  return table
    .payload(command, 'data_uptr', type)!
    .fields.filter((f) => /mmap|pgoff|pgsz/.test(f.name))
    .map((f) => `${f.name} ${f.offset}`);
};
const constant = (dialect: Series, name: string): number | undefined => {
  for (const e of uapiTable(dialect).enums.values()) if (e.members.has(name)) return e.members.get(name);
  return undefined;
};

describe('the command of number 0x94', () => {
  const hwQueue = new Array<string>(6).fill('IOMMU_HW_QUEUE_ALLOC');
  test.each(row('IOMMU_VCMDQ_ALLOC', 'IOMMU_VCMDQ_ALLOC', 'IOMMU_VQUEUE_ALLOC', 'IOMMU_HW_QUEUE_ALLOC', ...hwQueue))(
    '%s: %s',
    (dialect, name) => {
      expect(queue(dialect).name).toBe(name);
    },
  );
  test.each(row(32, ...new Array<number>(9).fill(40)))('%s: %i bytes', (dialect, bytes) => {
    expect(queue(dialect).struct?.size).toBe(bytes);
  });
  const late = new Array<string>(7).fill('index out_hw_queue_id');
  test.each(row('out_vcmdq_id data_len', 'index out_vcmdq_id', 'index out_vqueue_id', ...late))(
    '%s, offsets 16 and 20: %s',
    (dialect, names) => {
      expect(`${fieldAt(dialect, 16)} ${fieldAt(dialect, 20)}`).toBe(names);
    },
  );
  const iova = new Array<string>(6).fill('nesting_parent_iova length');
  test.each(row('data_uptr –', 'addr length', 'addr length', 'base_addr length', ...iova))(
    '%s, offsets 24 and 32: %s',
    (dialect, names) => {
      expect(`${fieldAt(dialect, 24)} ${fieldAt(dialect, 32)}`).toBe(names);
    },
  );
  test('v1: the parameters lie in a struct of their own', () => {
    const struct = uapiTable('vcmdq-v1').payload(queue('vcmdq-v1'), 'data_uptr', 1);
    expect(struct?.fields.map((f) => `${f.name} ${f.type}`)).toEqual(['vcmdq_id u32', 'vcmdq_log2size u32', 'vcmdq_base u64']);
  });
});

describe('data of a vIOMMU', () => {
  const early = 'out_vintf_page0_pgoff 0, out_vintf_page0_pgsz 8';
  const late = new Array<string>(7).fill('out_vintf_mmap_offset 0, out_vintf_mmap_length 8');
  test.each(row(early, early, early, ...late))('%s, of a VINTF: %s', (dialect, fields) => {
    expect(dataFields(dialect, 2).join(', ')).toBe(fields);
  });
  const mockEarly = 'out_mmap_pgoff 8, out_mmap_pgsz 16';
  const mockLate = new Array<string>(7).fill('out_mmap_offset 8, out_mmap_length 16');
  test.each(row(mockEarly, mockEarly, mockEarly, ...mockLate))('%s, of the mock driver: %s', (dialect, fields) => {
    expect(dataFields(dialect, 0xdeadbeef).join(', ')).toBe(fields);
  });
  test.each(same('data_len 24, __reserved 28, data_uptr 32'))('%s: where it lies: %s', (dialect, fields) => {
    const struct = uapiTable(dialect).byName('IOMMU_VIOMMU_ALLOC')?.struct;
    expect(
      struct?.fields
        .slice(-3)
        .map((f) => `${f.name} ${f.offset}`)
        .join(', '),
    ).toBe(fields);
    expect(struct?.min).toBe(24);
  });
});

describe('constants', () => {
  const found = (dialect: Series, names: readonly string[]): number | undefined =>
    names.map((n) => constant(dialect, n)).find((v) => v !== undefined);
  const kinds = ['VCMDQ', 'VQUEUE', 'HW_QUEUE'];
  test.each(row(undefined, ...new Array<number>(9).fill(0xdeadbeef)))('%s: the queue type of the mock driver: %s', (dialect, value) => {
    expect(
      found(
        dialect,
        kinds.map((k) => `IOMMU_${k}_TYPE_SELFTEST`),
      ),
    ).toBe(value);
  });
  test.each(row(undefined, ...new Array<number>(9).fill(2)))('%s: how many it has: %s', (dialect, value) => {
    expect(
      found(
        dialect,
        kinds.map((k) => `IOMMU_TEST_${k}_MAX`),
      ),
    ).toBe(value);
  });
  test.each(same(1))('%s: the queue type of a CMDQV: %i', (dialect, value) => {
    expect(
      found(
        dialect,
        kinds.map((k) => `IOMMU_${k}_TYPE_TEGRA241_CMDQV`),
      ),
    ).toBe(value);
  });
  test.each(same(2))('%s: its types of a vIOMMU and of a vEVENTQ: %i', (dialect, value) => {
    expect(constant(dialect, 'IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV')).toBe(value);
    expect(constant(dialect, 'IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV')).toBe(value);
  });
});

describe('parameters of a CMDQV', () => {
  const impl = 'flag and impl';
  const own = new Array<string>(6).fill('information of type 3');
  const how = (dialect: Series): string => {
    const table = uapiTable(dialect);
    if (table.struct('iommu_hw_info_tegra241_cmdqv') !== undefined) return own[0]!;
    return table.struct('iommu_hw_info_arm_smmuv3')?.byName.has('impl') === true ? impl : 'nowhere';
  };
  test.each(row('nowhere', impl, impl, impl, ...own))('%s: %s', (dialect, where) => {
    expect(how(dialect)).toBe(where);
  });
  const union = new Array<string>(5).fill('in_data_type');
  const none = 'no field';
  test.each(row(none, none, none, none, 'data_type', ...union))('%s: asked for in %s', (dialect, field) => {
    const table = uapiTable(dialect);
    expect(['in_data_type', 'data_type'].find((f) => table.has('IOMMU_GET_HW_INFO', f)) ?? none).toBe(field);
  });
});
