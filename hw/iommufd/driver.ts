/**
 * What an IOMMU driver adds to the core's checks. The mock driver of the kernel's selftest is known through and through
 * (mock.ts); of the others the core's part is predicted and the driver's own is declared as not determined.
 */

import { TOP } from './areas.ts';
import type { Call } from './call.ts';
import { DRIVER, MEMORY } from './reasons.ts';
import type { Device, DomainTraits, Hwpt, HwptPaging, Range, Viommu } from './state.ts';

/** Where the driver data of an allocation lie. */
export interface UserData {
  readonly type: number;
  readonly length: number;
  /** field of the pointer */
  readonly field: string;
}

export interface Driver {
  /** A paging domain; undefined where the call was refused. `flags` without FAULT_ID_VALID. */
  paging(c: Call, device: Device, flags: number, data: UserData): DomainTraits | undefined;
  /** A nested domain: its mock IOTLB; undefined where the call was refused. */
  nested(c: Call, device: Device, flags: number, data: UserData): number[] | undefined;
  /** May the device be attached? true where the call was refused. What it changes in the driver's state, the driver says. */
  attach(c: Call, device: Device, hwpt: Hwpt, pasid: number): boolean;
  /** The device is attached to nothing any more, with this PASID. */
  detached(device: Device, pasid: number): void;
  /** GET_DIRTY_BITMAP, once the core has let the range pass: what is written to the bitmap, and cleared. */
  readDirty(c: Call, hwpt: HwptPaging, range: Range, unit: bigint, clear: boolean): void;
  /** Before anything else of VIOMMU_ALLOC's driver part: is the type supported? */
  viommuType(c: Call, device: Device, type: number): boolean;
  /** Initialises a vIOMMU; what it does to the outputs. true where the call was refused. */
  viommu(c: Call, viommu: Viommu): boolean;
}

/** Bytes that a driver copies from user data: `min` at least, what is beyond `size` must be zero. undefined where the call was refused. */
export function userData(c: Call, data: UserData, min: number, size: number): DataView | undefined {
  const refuse = (errno: string, text: string): undefined => {
    c.refuse(errno, 'driver.data', { field: data.field, text });
    return undefined;
  };
  if (data.length < min) return refuse('EINVAL', `data_len is ${data.length}, and the driver wants ${min} bytes`);
  if (
    data.length > size &&
    c.refuse('EINVAL', 'driver.data', { field: data.field, text: `data_len is ${data.length}, and the driver knows ${size} bytes` })
  )
    return undefined;
  const memory = c.nested(data.field);
  const bytes = new Uint8Array(size);
  if (memory === undefined || memory.bytes.length < Math.min(data.length, size)) {
    if (memory?.fault === true || c.u64(data.field) === 0n) return refuse('EFAULT', 'the data cannot be read');
    c.mayRefuse('EFAULT', MEMORY, 'driver.data');
    if (c.refused) return undefined;
  }
  if (memory !== undefined) {
    bytes.set(memory.bytes.subarray(0, Math.min(size, data.length)));
    if (memory.bytes.subarray(size, data.length).some((b) => b !== 0)) return refuse('E2BIG', `data beyond byte ${size} are not zero`);
  }
  return new DataView(bytes.buffer);
}

/** A driver that is not known: everything may fail, and what it gives is not determined. */
export const unknownDriver: Driver = {
  paging: (c) => (anything(c) ? undefined : { name: 'unknown', pageSize: 4096n, aperture: { start: 0n, last: TOP } }),
  nested: (c) => (anything(c) ? undefined : []),
  attach: (c) => anything(c),
  detached: () => {},
  readDirty: (c) => c.unknownNested('data', DRIVER),
  viommuType: (c) => anything(c),
  viommu: (c) => anything(c),
};

function anything(c: Call): boolean {
  for (const errno of ['EOPNOTSUPP', 'EINVAL', 'ENOENT', 'EBUSY', 'ENOSPC', 'EIO', 'EFAULT', 'ENODEV'])
    if (c.mayRefuse(errno, DRIVER, 'driver')) return true;
  return false;
}
