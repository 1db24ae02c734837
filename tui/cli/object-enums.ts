/** Names for the numbers of objects: types and flags, by the enums of the dialect. */
import type { UapiTable } from '../../hw/uapi/table.ts';

/** Enums behind the numbers of an object, by type and key. */
const ENUMS: Readonly<Record<string, string>> = {
  'VIOMMU.kind': 'iommu_viommu_type',
  'VEVENTQ.kind': 'iommu_veventq_type',
  'HW_QUEUE.kind': 'iommu_hw_queue_type',
  'HWPT_PAGING.flags': 'iommufd_hwpt_alloc_flags',
  'HWPT_NESTED.flags': 'iommufd_hwpt_alloc_flags',
  'HWPT_PAGING.dataType': 'iommu_hwpt_data_type',
  'HWPT_NESTED.dataType': 'iommu_hwpt_data_type',
};

/** `kind=SELFTEST`, `flags=NEST_PARENT`; undefined where the number has no names, '' for a zero of flags. */
export function enumText(table: UapiTable, type: string, key: string, value: unknown): string | undefined {
  const row = table.enum(ENUMS[`${type}.${key}`] ?? '');
  if (row === undefined || typeof value !== 'number') return undefined;
  const short = (name: string): string => row.short.get(name) ?? name;
  if (row.kind !== 'flags') return row.names.has(value) ? short(row.names.get(value)!) : undefined;
  const set = [...row.members].filter(([, bit]) => bit !== 0 && (value & bit) === bit);
  const rest = set.reduce((n, [, bit]) => n & ~bit, value) >>> 0;
  return [...set.map(([name]) => short(name)), ...(rest === 0 ? [] : [`0x${rest.toString(16)}`])].join('|');
}
