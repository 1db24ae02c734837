/**
 * The IOMMU of the model's own VFIO devices: a plain one. Pages of 4 KiB, 2 MiB and 1 GiB, 48 bits of IOVA, DMA coherent with
 * the caches, PASIDs of 20 bits, dirty tracking (nothing ever is dirty: the devices do no DMA), and the window of x86 for
 * message signalled interrupts, which no mapping may touch. It has no nested domains and no vIOMMU, and says of itself nothing
 * but IOMMU_HW_INFO_TYPE_NONE: it is no real machine's.
 */
import { overlaps } from './areas.ts';
import type { Call } from './call.ts';
import type { Driver } from './driver.ts';
import type { Device, Hwpt, Ioas, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

const DIRTY_TRACKING = 2;
const PASID = 8;
const PAGE_SIZES = 0x4020_1000n;
const APERTURE: Range = { start: 0n, last: 2n ** 48n - 1n };
const INTERRUPTS: Range = { start: 0xfee0_0000n, last: 0xfeef_ffffn };
const PASID_BITS = 20;
/** IOMMU_HW_CAP_DIRTY_TRACKING, _PCI_PASID_EXEC, _PCI_PASID_PRIV */
const CAPABILITIES = 0b111;

const unsupported = (c: Call, field: string, text: string): boolean => c.refuse('EOPNOTSUPP', 'plain.none', { field, text });

export const plainDriver: Driver = {
  paging(c, _device, flags, data) {
    const known = DIRTY_TRACKING | (c.table.has('VFIO_DEVICE_ATTACH_IOMMUFD_PT', 'pasid') ? PASID : 0);
    if ((flags & ~known) !== 0 && unsupported(c, 'flags', `the IOMMU of the device does not know flags ${hex(flags & ~known)}`))
      return undefined;
    if (data.length > 0 && unsupported(c, 'data_len', 'the IOMMU of the device takes no data')) return undefined;
    return { name: 'plain', pageSize: 4096n, pageSizes: PAGE_SIZES, aperture: APERTURE };
  },
  nested(c) {
    return unsupported(c, 'data_type', 'the IOMMU of the device has no nested domains') ? undefined : [];
  },
  attach(c, device, hwpt, pasid) {
    if (
      pasid >= 2 ** PASID_BITS &&
      c.refuse('EINVAL', 'plain.pasid', { field: 'pasid', text: `PASID ${pasid}`, wanted: `one below ${2 ** PASID_BITS}` })
    )
      return true;
    // with a PASID the window stays that of the attachment without
    return pasid === 0 && reserveWindow(c, device, hwpt, INTERRUPTS);
  },
  detached(device, pasid) {
    if (pasid === 0) closeWindow(device);
  },
  readDirty: () => {},
  viommuType: (c) => unsupported(c, 'type', 'the IOMMU of the device has no vIOMMU'),
  // without vIOMMUs nobody asks for what follows
  viommu: () => false,
  vdevice: () => false,
  queues: () => false,
  queueType: () => false,
  queue: () => false,
  vcmdq: () => undefined,
  hwInfo: plainHwInfo,
  invalidate: () => undefined,
};

/** The IOAS must leave the window of interrupts free, from now on. → true where the call ends */
export function reserveWindow(c: Call, device: Device, hwpt: Hwpt, interrupts: Range): boolean {
  const ioas = hwpt.type === 'HWPT_PAGING' ? hwpt.ioas : (hwpt.parent ?? hwpt.viommu?.parent)?.ioas;
  if (ioas === undefined) return false;
  if (!ioas.reserved.some((r) => r.owner === device)) {
    const clash = ioas.areas.find((a) => overlaps(a, interrupts)) ?? ioas.allowed.find((a) => overlaps(a, interrupts));
    const text = `${hex(clash?.start ?? 0)} to ${hex(clash?.last ?? 0)} of ${nameOf(ioas)} lies in the window of interrupts, ${hex(interrupts.start)} to ${hex(interrupts.last)}`;
    if (clash !== undefined && c.refuse('EADDRINUSE', 'attach.window', { text, because: [ioas, device] })) return true;
  }
  c.then(() => {
    closeWindow(device);
    ioas.reserved.push({ ...interrupts, owner: device });
  });
  return false;
}

export function closeWindow(device: Device): void {
  const windows = (ioas: Ioas): void => {
    const at = ioas.reserved.findIndex((r) => r.owner === device);
    if (at >= 0) ioas.reserved.splice(at, 1);
  };
  for (const o of device.context.objects.values()) if (o.type === 'IOAS') windows(o);
}

/** IOMMU_GET_HW_INFO of such a device: drivers/iommu/iommufd/device.c, iommufd_get_hw_info(), without the driver's part. */
function plainHwInfo(c: Call): void {
  const room = c.u32('data_len');
  if (room > 0) c.writeNested('data_uptr', new Uint8Array(Math.min(room, 65536)));
  c.set('data_len', 0);
  c.set(c.table.has('IOMMU_GET_HW_INFO', 'out_data_type') ? 'out_data_type' : 'data_type', 0);
  const pasids = c.table.has('IOMMU_GET_HW_INFO', 'out_max_pasid_log2');
  if (pasids) c.set('out_max_pasid_log2', PASID_BITS);
  const noAts = c.table.enum('iommufd_hw_capabilities')?.members.get('IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED') ?? 0;
  c.set('out_capabilities', (pasids ? CAPABILITIES : 1) | noAts);
}
