/**
 * The state of the kernel as far as iommufd's answers depend on it. Plain data: the rules (the other files of this folder)
 * read it and say what would change; `commit` of an answer is the only writer. Addresses and lengths are bigint, bytes.
 */
import type { ObjectType } from '../uapi/types.ts';
import type { Interrupts, PciDevice } from '../vfio/device.ts';

/** What an open file is, as far as it concerns iommufd. */
export type FileKind =
  | 'iommufd'
  /** /dev/vfio/vfio: an iommufd opened by its other name */
  | 'container'
  | 'vfio-device'
  | 'vfio-group'
  | 'fault'
  | 'veventq'
  /** of the mock driver: TEST_OP_CREATE_ACCESS */
  | 'access'
  | 'dmabuf'
  /** regular files, memfd, /dev/null: files that a call may name and that are none of the above */
  | 'other';

/** An open file description: descriptors of any process stand for it until the last of them is closed. */
export interface OpenFile {
  /** unique in a recording, as frames have it */
  readonly file: number;
  kind: FileKind;
  /** the context it is, or belongs to; undefined where it has none (yet) */
  context: Context | undefined;
  /** what it stands for: FAULT, VEVENTQ, ACCESS, DEVICE */
  object: KObject | undefined;
  /** bytes, of a dma-buf that the log shows the making of */
  length?: bigint;
  /** of a dma-buf: its memory is gone */
  revoked?: boolean;
  /** MAP_FILE has mapped it, whatever it is: areas hold it as descriptors do */
  mapped?: boolean;
  /** its last descriptor is closed, and only areas hold it */
  closed?: boolean;
  /** of a VFIO device that is one of the model's own: what it is. A log does not tell that of others. */
  pci?: PciDevice;
  /** what another VFIO device has told of itself */
  told?: Told;
  /** where read(2) and write(2) of a VFIO device are, bytes */
  position?: bigint;
}

/** What a VFIO device's answers told of it. */
export interface Told {
  /** VFIO_DEVICE_GET_INFO */
  regions?: number;
  irqs?: number;
  /** interrupts of an index: VFIO_DEVICE_GET_IRQ_INFO */
  readonly counts: Map<number, number>;
  /** of a device behind vfio-pci: which interrupts are on */
  interrupts?: Interrupts;
}

/** One open of /dev/iommu: the kernel's struct iommufd_ctx. */
export interface Context {
  readonly file: number;
  readonly kernel: Kernel;
  /** by id */
  readonly objects: Map<number, KObject>;
  /** ids that stay taken until the context goes, though their object is gone */
  readonly tombstones: Set<number>;
  /** no id below this one is free */
  lowestFree: number;
  /** files and mappings that keep it: its descriptors' file, bound devices, queues' files, accesses, VMAs */
  holds: number;
  rlimitMode: 0 | 1;
  /** the IOAS that the VFIO calls use */
  compat: Ioas | undefined;
  /** VFIO no-IOMMU mode */
  noIommu: boolean;
  /** regions that mmap of the file finds, by offset ascending */
  readonly regions: Region[];
  /** HW queues, in the order of their making */
  readonly queues: HwQueue[];
}

/** How regions are numbered, called by the first queue rules that do so. */
export type RegionScheme = 'v1' | 'v4' | 'v7' | 'upstream';

/** What an mmap offset stands for. */
export interface Region {
  /** what the kernel handed out */
  readonly offset: bigint;
  readonly length: bigint;
  readonly owner: Viommu;
  /** the owner has ended: posted series forget to give some offsets back */
  ended: boolean;
  /** the offset that each way of numbering would have given; undefined: not registered (any more) */
  readonly at: Record<RegionScheme, bigint | undefined>;
}

interface Base {
  readonly type: ObjectType;
  readonly id: number;
  readonly context: Context;
  /** seq of the event that made it */
  readonly birth: number;
  /** references beside the id itself: DESTROY wants 0 */
  users: number;
  /** no call may look it up: an internal object */
  readonly hidden?: boolean;
}

export interface Range {
  /** inclusive */
  readonly start: bigint;
  readonly last: bigint;
}

/** Where the memory of an area comes from. */
export interface Pages {
  readonly kind: 'user' | 'file' | 'dmabuf';
  /** of the address space whose memory it is */
  process: number;
  /** user address, or offset in the file, of the first byte */
  readonly start: bigint;
  readonly length: bigint;
  /** false: mapped without WRITEABLE, so nobody may add it */
  readonly writable: boolean;
  readonly file: number | undefined;
  /** what that file is, where it is known: only a memfd or the like ('other') has pages to pin */
  readonly fileKind?: FileKind | undefined;
  /** dma-buf: its mappings are gone for good */
  revoked: boolean;
}

/** One mapping of an IOAS. */
export interface Area extends Range {
  readonly pages: Pages;
  /** offset of `start` in `pages` */
  readonly offset: bigint;
  readonly read: boolean;
  readonly write: boolean;
  /** an UNMAP gave up on it with EDEADLK: nobody pins it any more */
  barred?: boolean;
  /** accesses that hold pages of it, each as often as it pinned */
  readonly pins: Pin[];
  readonly birth: number;
}

/** Pages that an access holds. */
export interface Pin extends Range {
  readonly access: Access;
  /** item of the mock driver's access; -1 of a HW queue */
  readonly item: number;
}

export interface Reserved extends Range {
  /** the domain or device that asks for it; undefined: TEST_OP_ADD_RESERVED, until the IOAS goes */
  readonly owner: Hwpt | Device | undefined;
}

export interface Ioas extends Base {
  readonly type: 'IOAS';
  /** ascending, not overlapping */
  readonly areas: Area[];
  readonly reserved: Reserved[];
  allowed: readonly Range[];
  largePages: boolean;
  /** paging HWPTs on it, in the order of their making: automatic ones are tried in this order */
  readonly hwpts: HwptPaging[];
  readonly accesses: Access[];
  /** HW queues whose memory it maps */
  readonly queues: HwQueue[];
}

export interface HwptPaging extends Base {
  readonly type: 'HWPT_PAGING';
  readonly ioas: Ioas;
  readonly device: Device;
  readonly automatic: boolean;
  /** enum iommufd_hwpt_alloc_flags */
  readonly flags: number;
  readonly fault: Fault | undefined;
  dirtyTracking: boolean;
  /** what its driver knows: page size, aperture, page table */
  readonly driver: DomainTraits;
  /** pages (index = iova / driver.pageSize) that the mock driver was told are dirty */
  readonly dirty: Set<bigint>;
}

export interface DomainTraits {
  readonly name: string;
  /** smallest page, bytes */
  readonly pageSize: bigint;
  /** all its page sizes, a bit for each; undefined: not known */
  readonly pageSizes?: bigint;
  readonly aperture: Range;
}

export interface HwptNested extends Base {
  readonly type: 'HWPT_NESTED';
  /** what it was made on; one of the two */
  readonly parent: HwptPaging | undefined;
  readonly viommu: Viommu | undefined;
  readonly device: Device;
  readonly flags: number;
  readonly fault: Fault | undefined;
  /** mock: its IOTLB words; SMMUv3: the configuration of its stream table entry, where the log shows it */
  readonly iotlb: number[];
}

export type Hwpt = HwptPaging | HwptNested;

/** A driver of an IOMMU, as far as answers depend on it, and what the log has told of its hardware. */
export interface DriverTraits {
  readonly name: 'mock' | 'intel' | 'smmuv3' | 'amd' | 'plain' | 'unknown';
  /** SMMUv3: is there a CMDQV? undefined: not told */
  readonly cmdqv?: boolean | undefined;
  /** CMDQV: log2 of queues of a VINTF */
  readonly log2Queues?: number | undefined;
  /** CMDQV: log2 of stream ids of a VINTF */
  readonly log2Sids?: number | undefined;
  /** CMDQV: log2 of VINTFs, the kernel's own one among them */
  readonly log2Vintfs?: number | undefined;
  /** SMMUv3: log2 of entries of a command queue at most (IDR1.CMDQS) */
  readonly log2Commands?: number | undefined;
  /** by type: what GET_HW_INFO has told, from the start on */
  readonly info?: ReadonlyMap<number, Uint8Array>;
  /** out_capabilities and out_max_pasid_log2 of GET_HW_INFO */
  readonly capabilities?: readonly [bigint, number] | undefined;
}

export interface Device extends Base {
  readonly type: 'DEVICE';
  driver: DriverTraits;
  /** devices of one group share their attachments */
  readonly group: Group;
  /** mock: MOCK_FLAGS_DEVICE_* */
  readonly flags: number;
  readonly selftest: Selftest | undefined;
  vdevice: Vdevice | undefined;
  /** mock: its cache words */
  readonly cache: number[];
  /** mock: the vIOMMU of the HWPT_NESTED that it is attached to, and the virtual id that it had there then; vEVENTs carry it */
  mockVirtual?: { readonly viommu: Viommu; readonly virtId: bigint } | undefined;
  /** mock: the next attachment of PASID 1024 fails once */
  mockFails?: boolean;
}

export interface Group {
  readonly devices: Device[];
  /** by pasid (0: none): what is attached, and which devices are */
  readonly attached: Map<number, { hwpt: Hwpt; readonly devices: Device[] }>;
}

export interface Access extends Base {
  readonly type: 'ACCESS';
  ioas: Ioas | undefined;
  /** asks for pages: raises the alignment of the IOAS */
  readonly pins: boolean;
  nextItem: number;
  readonly owner: 'mock' | 'hw-queue' | 'vfio';
  /** of a HW queue: the log shows that its id is taken */
  passed?: boolean;
}

export interface Fault extends Base {
  readonly type: 'FAULT';
  /** groups that nobody has read yet, oldest first */
  readonly waiting: FaultGroup[];
  /** by cookie: read and not answered */
  readonly answered: Map<number, FaultGroup>;
}

export interface FaultGroup {
  readonly device: Device;
  readonly pasid: number;
  readonly hwpt: Hwpt;
  /** bytes of the records, cookies not yet filled in */
  readonly records: readonly Uint8Array[];
}

export interface Viommu extends Base {
  readonly type: 'VIOMMU';
  /** enum iommu_viommu_type */
  readonly kind: number;
  readonly parent: HwptPaging;
  readonly device: Device;
  readonly vdevices: Map<bigint, Vdevice>;
  readonly veventqs: Map<number, Veventq>;
  readonly queues: Map<number, HwQueue>;
  /** mock: bit i is set where the driver holds index i for taken */
  mockSlots?: number;
  /** references that a driver took and never gives back */
  leaked?: number;
  region: Region | undefined;
  /** mappings of its region; kernels differ in whether they count as users */
  maps: number;
}

export interface Vdevice extends Base {
  readonly type: 'VDEVICE';
  readonly viommu: Viommu;
  readonly device: Device;
  readonly virtId: bigint;
}

export interface Veventq extends Base {
  readonly type: 'VEVENTQ';
  readonly viommu: Viommu;
  /** enum iommu_veventq_type */
  readonly kind: number;
  readonly depth: number;
  /** sequence of the next event, 0 … 2^31 − 1 */
  sequence: number;
  /** events that wait, oldest first; `lost` stands at the end alone */
  readonly waiting: { readonly sequence: number; readonly data: Uint8Array | undefined }[];
}

export interface HwQueue extends Base {
  readonly type: 'HW_QUEUE';
  readonly viommu: Viommu;
  /** the queue of the index before, which this one holds */
  readonly before: HwQueue | undefined;
  readonly kind: number;
  readonly index: number;
  readonly base: bigint;
  readonly length: bigint;
  readonly access: Access | undefined;
  /** the id that a second object would have had, were there one; while no other object got it */
  spare?: number | undefined;
}

export interface Selftest extends Base {
  readonly type: 'SELFTEST';
  readonly device: Device;
}

export type KObject = Ioas | Hwpt | Device | Access | Fault | Viommu | Vdevice | Veventq | HwQueue | Selftest;

/** Everything. */
export interface Kernel {
  /** open files by number */
  readonly files: Map<number, OpenFile>;
  /** iommufd contexts by the number of their file */
  readonly contexts: Map<number, Context>;
  /** mock devices ever made: the n of iommufd_mock<n> */
  mockDevices: number;
  /** TEST_OP_SET_TEMP_MEMORY_LIMIT */
  memoryLimit: number;
  /** mappings of iommufd regions */
  readonly vmas: Vma[];
  /** a vDEVICE ends with its device, and leaves a tombstone */
  readonly tombstones: boolean;
  /** the model's own devices behind vfio-pci, by path */
  devices?: ReadonlyMap<string, PciDevice>;
  /** the IOMMU that those are behind; undefined: a plain one (plain.ts) */
  iommu?: DriverTraits | undefined;
}

/** A mapping of a region of an iommufd file by some process. It holds the file. */
export interface Vma {
  /** tells it apart from others */
  readonly key: string;
  readonly context: Context;
  /** the vIOMMU whose region it is, as far as the log shows */
  readonly owner: Viommu | undefined;
}
