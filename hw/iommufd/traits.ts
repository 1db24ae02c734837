/**
 * What differs between the kernels and patch series whose rules are known, as data. A rule asks its row here; only what is a
 * different course of checks has a function of its own.
 */
import type { DialectName } from '../uapi/table.ts';

/** How a hardware queue is made: which of the posted series, or upstream. */
export type QueueRules = 'none' | 'v1' | 'v2' | 'v3' | 'v4' | 'v5' | 'v6' | 'v7' | 'v8' | 'v9' | 'upstream';

/** How the posted series differ where a queue is made. semantics of each row: the difference matrix of the series. */
export interface QueueTraits {
  /** base 0 is refused by the core */
  readonly baseZero: boolean;
  /** base + length - 1 is checked */
  readonly overflow: boolean;
  /** the array of pages is made before the vIOMMU is looked up, so an absurd length is ENOMEM even without one */
  readonly arrayFirst: boolean;
  /** the type is checked before the pages are pinned: in the core, not in the driver */
  readonly typeFirst: boolean;
  /** what an unmapped base is */
  readonly unmapped: 'ENXIO' | 'ENOENT';
  /** what holds the pages: nothing, a pin, an internal access */
  readonly pins: 'none' | 'pages' | 'access';
  /** what is pinned are whole pages; before, a queue had to begin with one */
  readonly rounds: boolean;
  /** the pages have to lie together in physical memory */
  readonly contiguous: boolean;
  /** UNMAP of memory under a queue; 'partly' where a range that cuts the area is seen first */
  readonly unmap: 'success' | 'EDEADLK' | 'EBUSY, partly' | 'EBUSY';
  /** ids that a queue takes, in this order */
  readonly ids: 'queue' | 'access, queue' | 'queue, access';
  /** a queue wants the one of the index before, and holds it */
  readonly ordered: boolean;
  /** a CMDQV looks at this address for the alignment of a queue */
  readonly aligns: 'iova' | 'physical';
}

const upstreamQueues: QueueTraits = {
  baseZero: false,
  overflow: true,
  arrayFirst: false,
  typeFirst: true,
  unmapped: 'ENOENT',
  pins: 'access',
  rounds: true,
  contiguous: true,
  unmap: 'EBUSY',
  ids: 'queue, access',
  ordered: true,
  aligns: 'physical',
};

const early: Partial<QueueTraits> = {
  baseZero: true,
  arrayFirst: true,
  typeFirst: false,
  unmapped: 'ENXIO',
  pins: 'pages',
  rounds: false,
  unmap: 'EDEADLK',
  ids: 'queue',
  aligns: 'iova',
};

const queueDifferences: Readonly<Record<QueueRules, Partial<QueueTraits>>> = {
  none: { pins: 'none', unmap: 'success' },
  v1: { ...early, overflow: false, pins: 'none', contiguous: false, unmap: 'success', ordered: false },
  v2: early,
  v3: early,
  // contiguity only where a driver asks for it, and none does
  v4: { ...early, contiguous: false },
  v5: { ...early, arrayFirst: false, unmapped: 'ENOENT', unmap: 'EBUSY' },
  v6: { ids: 'access, queue', unmap: 'EBUSY, partly', rounds: false },
  v7: { unmap: 'EBUSY, partly', rounds: false },
  v8: { rounds: false },
  v9: {},
  upstream: {},
};

const made = <T>(base: T, differences: Readonly<Record<QueueRules, Partial<T>>>): ReadonlyMap<string, T> =>
  new Map(Object.entries(differences).map(([rules, d]) => [rules, { ...base, ...d }]));

const allQueues = made(upstreamQueues, queueDifferences);

/** How queues are made by these rules. */
export const queueTraits = (rules: QueueRules): QueueTraits => allQueues.get(rules)!;

/** How regions of vIOMMUs are numbered, and what mmap of them wants. */
export interface RegionTraits {
  /** no offset is below this one, bytes */
  readonly from: bigint;
  /** bytes of offsets that a region takes whatever its length is; 0: its length */
  readonly stride: bigint;
  /** every offset that is the region's own stands for its start, or the first alone */
  readonly anyOffset: boolean;
  /** a mapping may be shorter than the region */
  readonly shorter: boolean;
  readonly wrong: 'EINVAL' | 'ENXIO';
  /** a mapping holds the vIOMMU */
  readonly holds: boolean;
  /** what the end of a vIOMMU takes out: its region; that unless it is at offset 0; what is at the page number of its offset */
  readonly drops: 'own' | 'unless 0' | 'shifted';
}

const PAGE = 4096n;
const upstreamRegions: RegionTraits = {
  from: PAGE,
  stride: 0n,
  anyOffset: false,
  shorter: false,
  wrong: 'ENXIO',
  holds: true,
  drops: 'own',
};

const strides: Partial<RegionTraits> = { from: 0n, stride: 8n * PAGE, anyOffset: true, shorter: true, drops: 'unless 0' };

const regionDifferences: Readonly<Record<QueueRules, Partial<RegionTraits>>> = {
  none: {},
  v1: { ...strides, wrong: 'EINVAL', holds: false },
  v2: { ...strides, holds: false },
  v3: strides,
  v4: { from: 0n, anyOffset: true, drops: 'unless 0' },
  v5: { from: 0n, drops: 'unless 0' },
  v6: { from: 0n, drops: 'unless 0' },
  v7: { from: 0n, drops: 'shifted' },
  v8: {},
  v9: {},
  upstream: {},
};

const allRegions = made(upstreamRegions, regionDifferences);

/** What is mapped of an iommufd by these rules. */
export const regionTraits = (rules: QueueRules): RegionTraits => allRegions.get(rules)!;

export interface Traits {
  readonly dialect: DialectName;
  /** first command number of IOMMU_DESTROY … that does not exist; with the selftest compiled in the table reaches to 0xa0 */
  readonly commandEnd: number;
  readonly queueRules: QueueRules;
  /** GET_HW_INFO takes IOMMU_HW_INFO_FLAG_INPUT_TYPE */
  readonly hwInfoInputType: boolean;
  /** HWPT_ALLOC: FAULT_ID_VALID on an IOAS */
  readonly faultOnPaging: boolean;
  /** HWPT_ALLOC takes a VIOMMU as pt_id */
  readonly viommuParent: boolean;
  /** HWPT_INVALIDATE of an object of another type: 6.12 looks for a HWPT_NESTED alone */
  readonly invalidateWrongType: 'ENOENT' | 'EINVAL';
  /** HWPT_INVALIDATE checks entry_len and entry_num against bounds */
  readonly invalidateBounds: boolean;
  /** a device has one vDEVICE at most; a vDEVICE whose device goes leaves a tombstone */
  readonly oneVdevice: boolean;
  /** bits of a virtual stream id that a CMDQV matches */
  readonly vsidBits: 20 | 32;
  /** VDEVICE_ALLOC of a device with several streams behind an SMMUv3; the series only warned */
  readonly oneStream: boolean;
  /** a nested HWPT of an SMMUv3 wants the device to have a vDEVICE: whatever it translates, or only where the guest's tables are used */
  readonly nestedVdevice: 'always' | 'stage 1';
  /** GET_DIRTY_BITMAP with length 0 */
  readonly dirtyLengthZero: 'EINVAL' | 'overflow';
  /** MAP: is the length looked at before the sum of address and length */
  readonly lengthBeforeSum: boolean;
  /** UNMAP_DMA of an empty range. Success since 6.18, and in later releases of 6.12 */
  readonly compatUnmapEmpty: 'ENOENT' | 'success';
  /** the mock driver takes devices on a machine that has a real IOMMU */
  readonly mockBesideIommu: boolean;
  /** page tables of the mock driver: an array with an entry for each page of 2 KiB, or real tables of AMD's format (6.19) */
  readonly mockTables: 'array' | 'generic';
  /** pages that a mock vIOMMU shows through mmap */
  readonly mockRegionPages: 1 | 2;
  /** vEVENTQ depth has an upper limit, and read a least count */
  readonly veventqBounds: boolean;
}

const upstream: Traits = {
  dialect: 'linux-7.2',
  commandEnd: 0x95,
  queueRules: 'upstream',
  hwInfoInputType: true,
  faultOnPaging: true,
  viommuParent: true,
  invalidateWrongType: 'EINVAL',
  invalidateBounds: true,
  oneVdevice: true,
  vsidBits: 20,
  oneStream: true,
  nestedVdevice: 'stage 1',
  dirtyLengthZero: 'overflow',
  lengthBeforeSum: false,
  compatUnmapEmpty: 'success',
  mockBesideIommu: true,
  mockTables: 'generic',
  mockRegionPages: 2,
  veventqBounds: true,
};

/** The trees that the series were posted for, Linux 6.15 and 6.16. */
const posted: Partial<Traits> = {
  compatUnmapEmpty: 'ENOENT',
  mockTables: 'array',
  invalidateBounds: false,
  oneVdevice: false,
  vsidBits: 32,
  oneStream: false,
  nestedVdevice: 'always',
  veventqBounds: false,
};

const differences: Readonly<Record<DialectName, Partial<Traits>>> = {
  'linux-7.2': {},
  'linux-6.12': {
    commandEnd: 0x8f,
    queueRules: 'none',
    hwInfoInputType: false,
    faultOnPaging: false,
    viommuParent: false,
    invalidateWrongType: 'ENOENT',
    oneVdevice: false,
    dirtyLengthZero: 'EINVAL',
    lengthBeforeSum: true,
    mockBesideIommu: false,
    mockTables: 'array',
    veventqBounds: false,
  },
  'vcmdq-v1': { ...posted, mockRegionPages: 1, queueRules: 'v1', hwInfoInputType: false },
  'vcmdq-v2': { ...posted, mockRegionPages: 1, queueRules: 'v2', hwInfoInputType: false },
  'vcmdq-v3': { ...posted, mockRegionPages: 1, queueRules: 'v3', hwInfoInputType: false },
  'hw-queue-v4': { ...posted, mockRegionPages: 1, queueRules: 'v4', hwInfoInputType: false },
  'hw-queue-v5': { ...posted, queueRules: 'v5' },
  'hw-queue-v6': { ...posted, queueRules: 'v6' },
  'hw-queue-v7': { ...posted, queueRules: 'v7' },
  'hw-queue-v8': { ...posted, queueRules: 'v8' },
  'hw-queue-v9': { ...posted, queueRules: 'v9' },
};

/** The rules of a dialect. */
export function traitsOf(dialect: DialectName): Traits {
  return { ...upstream, ...differences[dialect], dialect };
}
