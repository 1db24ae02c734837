/** What the shim follows hardware queues by (`shim/irr_queue.h`), held against the uAPI of every dialect. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DIALECTS, type DialectName, uapiTable } from '../hw/uapi/table.ts';

const text = readFileSync(resolve(import.meta.dirname, 'shim/irr_queue.h'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
const AT = new Map([...text.matchAll(/\bIRR_AT_(\w+) = (\d+)/g)].map((m) => [m[1]!, Number(m[2])]));
const REQUESTS = new Set(
  [.../#define IRR_QUEUE_REQUESTS([\s\S]*?)\n\n/.exec(text)![1]!.matchAll(/IRR_QUEUE_BIT\((0x\w+)\)/g)].map((m) => Number(m[1])),
);

/** Names in the shim: what of which command, or of which struct that a pointer holds. */
const ROWS: Readonly<Record<string, readonly [command: string, fields: Readonly<Record<string, string>>]>> = {
  DESTROY: ['IOMMU_DESTROY', { ID: 'id' }],
  MAP: ['IOMMU_IOAS_MAP', { IOAS: 'ioas_id', VA: 'user_va', LENGTH: 'length', IOVA: 'iova' }],
  MAP_FILE: ['IOMMU_IOAS_MAP_FILE', { IOAS: 'ioas_id', FD: 'fd', START: 'start', LENGTH: 'length', IOVA: 'iova' }],
  UNMAP: ['IOMMU_IOAS_UNMAP', { IOAS: 'ioas_id', IOVA: 'iova', LENGTH: 'length' }],
  COPY: ['IOMMU_IOAS_COPY', { DST: 'dst_ioas_id', SRC: 'src_ioas_id', LENGTH: 'length', DST_IOVA: 'dst_iova', SRC_IOVA: 'src_iova' }],
  VFIO_IOAS: ['IOMMU_VFIO_IOAS', { ID: 'ioas_id', OP: 'op' }],
  HWPT: ['IOMMU_HWPT_ALLOC', { FLAGS: 'flags', PT: 'pt_id', OUT: 'out_hwpt_id' }],
  VIOMMU: ['IOMMU_VIOMMU_ALLOC', { TYPE: 'type', HWPT: 'hwpt_id', OUT: 'out_viommu_id', DATA_LEN: 'data_len', DATA: 'data_uptr' }],
  VEVENTQ: ['IOMMU_VEVENTQ_ALLOC', { VIOMMU: 'viommu_id', TYPE: 'type', OUT: 'out_veventq_id', FD: 'out_veventq_fd' }],
  DMA: ['VFIO_IOMMU_MAP_DMA', { VA: 'vaddr', IOVA: 'iova', SIZE: 'size' }],
  UNDMA: ['VFIO_IOMMU_UNMAP_DMA', { FLAGS: 'flags', IOVA: 'iova', SIZE: 'size' }],
};
const QUEUE: readonly string[] = ['IOMMU_HW_QUEUE_ALLOC', 'IOMMU_VQUEUE_ALLOC', 'IOMMU_VCMDQ_ALLOC'];

const checked = new Set<string>();
function same(name: string, offset: number | undefined): void {
  checked.add(name);
  expect(`${name} ${AT.get(name)}`).toBe(`${name} ${offset}`);
}

describe.each(DIALECTS)('%s', (dialect: DialectName) => {
  const table = uapiTable(dialect);
  test('fields are where the shim looks for them', () => {
    for (const [prefix, [command, fields]] of Object.entries(ROWS)) {
      const struct = table.byName(command)?.struct;
      if (struct !== undefined)
        for (const [name, field] of Object.entries(fields))
          if (struct.byName.has(field)) same(`${prefix}_${name}`, struct.byName.get(field)?.offset);
    }
    const [offset, length] = table.struct('iommu_viommu_tegra241_cmdqv')?.fields ?? [];
    if (offset !== undefined && length !== undefined) {
      same('VIOMMU_DATA_OFFSET', offset.offset);
      same('VIOMMU_DATA_LENGTH', length.offset);
    }
  });

  test('a queue is where the shim looks for it, by the length of the struct', () => {
    const struct = table.commands.find((c) => QUEUE.includes(c.name))?.struct;
    if (struct === undefined) return;
    const at = (i: number): number | undefined => struct.fields[i]?.offset;
    same('QUEUE_VIOMMU', struct.byName.get('viommu_id')?.offset);
    same('QUEUE_TYPE', struct.byName.get('type')?.offset);
    if (dialect !== 'vcmdq-v1') {
      expect(struct.size).toBe(40);
      same('QUEUE_INDEX', struct.byName.get('index')?.offset);
      same('QUEUE_OUT', struct.fields.find((f) => f.creates !== undefined)?.offset);
      same('QUEUE_IOVA', at(6));
      same('QUEUE_LENGTH', struct.byName.get('length')?.offset);
      return;
    }
    expect(struct.size).toBe(32);
    same('VCMDQ_OUT', struct.byName.get('out_vcmdq_id')?.offset);
    same('VCMDQ_DATA_LEN', struct.byName.get('data_len')?.offset);
    same('VCMDQ_DATA', struct.byName.get('data_uptr')?.offset);
    const data = table.struct('iommu_vcmdq_tegra241_cmdqv')!;
    same('VCMDQ_DATA_INDEX', data.byName.get('vcmdq_id')?.offset);
    same('VCMDQ_DATA_LOG2', data.byName.get('vcmdq_log2size')?.offset);
    same('VCMDQ_DATA_BASE', data.byName.get('vcmdq_base')?.offset);
  });

  test('and its commands are those that the shim follows', () => {
    const wanted = [...Object.values(ROWS).map(([command]) => command), ...QUEUE];
    for (const name of wanted) {
      const command = table.byName(name);
      if (command !== undefined) expect([...REQUESTS]).toContain(command.request);
    }
  });
});

test('every offset was compared, and every request is somebody’s', () => {
  expect([...AT.keys()].filter((name) => !checked.has(name))).toEqual([]);
  expect(AT.size).toBeGreaterThan(40);
  const table = uapiTable('linux-7.2');
  const known = [...Object.values(ROWS).map(([command]) => command), QUEUE[0]!].map((name) => table.byName(name)?.request);
  expect([...REQUESTS].sort()).toEqual(known.sort());
});

test('types of a CMDQV are what the shim takes them for', () => {
  const define = (name: string): number => Number(new RegExp(`#define ${name} (\\d+)u`).exec(text)?.[1]);
  for (const dialect of DIALECTS.filter((d) => d !== 'linux-6.12')) {
    const table = uapiTable(dialect);
    expect(table.constant('IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV')).toBe(define('IRR_VIOMMU_CMDQV'));
    expect(table.constant('IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV')).toBe(define('IRR_VEVENTQ_CMDQV'));
    const queue = ['HW_QUEUE', 'VQUEUE', 'VCMDQ'].flatMap((kind) => {
      try {
        return [table.constant(`IOMMU_${kind}_TYPE_TEGRA241_CMDQV`)];
      } catch {
        return [];
      }
    });
    expect(queue).toEqual([define('IRR_QUEUE_CMDQV')]);
  }
});
