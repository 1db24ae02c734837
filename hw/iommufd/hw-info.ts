/** GET_HW_INFO: drivers/iommu/iommufd/device.c, iommufd_get_hw_info(). What the hardware tells is its driver's. */
import { driverOf } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { unknownFlags } from './ioas.ts';
import { object } from './objects.ts';

/** The bytes of __reserved, whose number differs between kernels. */
function reservedBytes(c: Call): boolean {
  const from = c.at('__reserved');
  const to = c.at('out_capabilities');
  const bytes = c.request.struct.bytes.subarray(from, to);
  return (
    bytes.some((b) => b !== 0) && c.refuse('EOPNOTSUPP', 'reserved', { field: '__reserved', text: '__reserved is not 0', wanted: '0' })
  );
}

const hwInfo: Rule = (c) => {
  const flags = c.u32('flags');
  const known = c.traits.hwInfoInputType ? 1 : 0;
  if ((flags & ~known) !== 0 && c.refuse('EOPNOTSUPP', 'hw-info.flags', unknownFlags(c, known))) return;
  if (c.table.has('IOMMU_GET_HW_INFO', '__reserved') && reservedBytes(c)) return;
  const device = object(c, 'dev_id', 'DEVICE');
  if (device !== undefined) driverOf(device).hwInfo(c, device);
};

export const rules: Readonly<Record<string, Rule>> = { IOMMU_GET_HW_INFO: hwInfo };
