/**
 * What an IOMMU driver adds to the core's checks. The mock driver of the kernel's selftest is known through and through
 * (mock.ts), SMMUv3 as far as the log tells that a device is behind one (smmu.ts); of the others the core's part is predicted
 * and the driver's own is declared as not determined.
 */

import type { Struct } from '../uapi/types.ts';
import { TOP } from './areas.ts';
import type { Call } from './call.ts';
import { learn } from './hardware.ts';
import { DRIVER, MEMORY } from './reasons.ts';
import { allocateRegion } from './regions.ts';
import type { Device, DomainTraits, Hwpt, HwptNested, HwptPaging, Range, Viommu } from './state.ts';

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
  nested(c: Call, device: Device, flags: number, data: UserData, viommu: Viommu | undefined): number[] | undefined;
  /** false: nested HWPTs are made on vIOMMUs alone, never on a HWPT */
  readonly nestsOnHwpt?: boolean;
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
  /** What the driver wants of a virtual id. true where the call was refused. */
  vdevice(c: Call, viommu: Viommu, device: Device, virtId: bigint): boolean;
  /** Does it make HW queues at all? undefined: not known. */
  queues(c: Call, viommu: Viommu): boolean | undefined;
  /** Of this type? true where the call was refused. */
  queueType(c: Call, viommu: Viommu, kind: number): boolean;
  /** Index, length and address of a queue whose pages are pinned. true where the call was refused. */
  queue(c: Call, viommu: Viommu, queue: QueueRequest): boolean;
  /** vcmdq-v1: the queue that the driver's data ask for; undefined where the call was refused. */
  vcmdq(c: Call, viommu: Viommu): { readonly index: number; readonly range: Range } | undefined;
  /** GET_HW_INFO, once the core has found the device. */
  hwInfo(c: Call, device: Device): void;
  /** HWPT_INVALIDATE: entries handled, whether the call fails or not; undefined: not determined. */
  invalidate(c: Call, target: HwptNested | Viommu, count: number, size: number): number | undefined;
}

/** What a HW queue is asked to be. */
export interface QueueRequest {
  readonly index: number;
  /** IOVA */
  readonly base: bigint;
  /** bytes */
  readonly length: bigint;
  /** address of the program's memory, or offset in the file, that the base stands for; its low 12 bits are the physical ones */
  readonly memory: bigint | undefined;
  /** field of `base` */
  readonly baseField: string;
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
  viommu: (c, viommu) => anything(c) || shown(c, viommu),
  vdevice: (c) => ['EOPNOTSUPP', 'EINVAL', 'ENOSPC'].some((errno) => c.mayRefuse(errno, DRIVER, 'vdevice-alloc.driver')),
  queues: () => undefined,
  queueType: (c) => ['EOPNOTSUPP', 'EINVAL', 'EEXIST', 'EIO', 'ENXIO'].some((errno) => c.mayRefuse(errno, DRIVER, 'hw-queue-alloc.driver')),
  queue: () => false,
  vcmdq(c) {
    for (const errno of ['EOPNOTSUPP', 'EINVAL', 'EFAULT']) if (c.mayRefuse(errno, DRIVER, 'vcmdq-alloc.driver')) return undefined;
    return { index: 0, range: { start: 0n, last: -1n } };
  },
  hwInfo(c, device) {
    for (const field of ['data_len', 'out_data_type', 'data_type', 'out_capabilities', 'out_max_pasid_log2'])
      if (c.table.has('IOMMU_GET_HW_INFO', field)) c.undetermined(field, DRIVER);
    c.unknownNested('data_uptr', DRIVER);
    if (c.mayRefuse('EOPNOTSUPP', DRIVER, 'hw-info.type') || c.mayRefuse('EFAULT', MEMORY, 'hw-info.data')) return;
    c.then(() => learn(c, device));
  },
  invalidate(c) {
    c.undetermined('entry_num', DRIVER);
    for (const errno of ['EOPNOTSUPP', 'EINVAL', 'E2BIG', 'EFAULT', 'EIO']) c.mayRefuse(errno, DRIVER, 'invalidate.driver');
    return undefined;
  },
};

/** A vIOMMU of a driver that is not known may show a region: where the log has its place, it is there. */
function shown(c: Call, viommu: Viommu): false {
  if (!c.table.has('IOMMU_VIOMMU_ALLOC', 'data_uptr')) return false;
  const bytes = c.observedBytes('data_uptr');
  const fields = regionFields(c.table.payload(c.command, 'data_uptr', viommu.kind));
  if (c.u32('data_len') > 0) c.unknownNested('data_uptr', DRIVER);
  if (bytes === undefined || fields === undefined) return false;
  const length = c.observedNested('data_uptr', fields[1]);
  if (length !== undefined && length > 0n) allocateRegion(c, viommu, length, 'data_uptr', fields[0]);
  return false;
}

/** Offsets of the two numbers of a vIOMMU's data that say what may be mapped. */
function regionFields(struct: Struct | undefined): readonly [number, number] | undefined {
  const offset = struct?.fields.find((f) => /mmap_offset|pgoff/.test(f.name));
  const length = struct?.fields.find((f) => /mmap_length|pgsz/.test(f.name));
  return offset === undefined || length === undefined ? undefined : [offset.offset, length.offset];
}

function anything(c: Call): boolean {
  for (const errno of ['EOPNOTSUPP', 'EINVAL', 'ENOENT', 'EBUSY', 'ENOSPC', 'EIO', 'EFAULT', 'ENODEV'])
    if (c.mayRefuse(errno, DRIVER, 'driver')) return true;
  return false;
}
