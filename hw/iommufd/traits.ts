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
  /** the type is checked before the pages are pinned: in the core, not in the driver */
  readonly typeFirst: boolean;
  /** what an unmapped base is */
  readonly unmapped: 'ENXIO' | 'ENOENT';
  /** who holds the pages: nobody, a pin without protection, an internal access, an access that also locks the area */
  readonly pins: 'none' | 'pages' | 'access' | 'locked';
  /** ids that a queue takes, in this order */
  readonly ids: 'queue' | 'access, queue' | 'queue, access';
  /** index 0 may be made again (a slip of that posting: the driver does not note the queue) */
  readonly forgetsIndex: boolean;
}

const upstreamQueues: QueueTraits = {
  baseZero: false,
  overflow: true,
  typeFirst: true,
  unmapped: 'ENOENT',
  pins: 'locked',
  ids: 'queue, access',
  forgetsIndex: false,
};

const early: Partial<QueueTraits> = { baseZero: true, typeFirst: false, unmapped: 'ENXIO', pins: 'pages', ids: 'queue' };

const queueDifferences: Readonly<Record<QueueRules, Partial<QueueTraits>>> = {
  none: {},
  v1: { ...early, overflow: false, pins: 'none' },
  v2: early,
  v3: early,
  v4: early,
  v5: { baseZero: true, unmapped: 'ENXIO', pins: 'pages', ids: 'queue', forgetsIndex: true },
  v6: { pins: 'access', ids: 'access, queue' },
  v7: { pins: 'access' },
  v8: {},
  v9: {},
  upstream: {},
};

/** How queues are made by these rules. */
export const queueTraits = (rules: QueueRules): QueueTraits => ({ ...upstreamQueues, ...queueDifferences[rules] });

export interface Traits {
  readonly dialect: DialectName;
  /** first command number of IOMMU_DESTROY … that does not exist; with the selftest compiled in the table reaches to 0xa0 */
  readonly commandEnd: number;
  readonly queueRules: QueueRules;
  /** mmap of the iommufd file */
  readonly mmap: 'none' | 'v1' | 'v2' | 'v3' | 'exact';
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
  mmap: 'exact',
  hwInfoInputType: true,
  faultOnPaging: true,
  viommuParent: true,
  invalidateWrongType: 'EINVAL',
  invalidateBounds: true,
  oneVdevice: true,
  dirtyLengthZero: 'overflow',
  lengthBeforeSum: false,
  compatUnmapEmpty: 'success',
  mockBesideIommu: true,
  mockTables: 'generic',
  mockRegionPages: 2,
  veventqBounds: true,
};

const differences: Readonly<Record<DialectName, Partial<Traits>>> = {
  'linux-7.2': {},
  'linux-6.12': {
    commandEnd: 0x8f,
    queueRules: 'none',
    mmap: 'none',
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
  'vcmdq-v1': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', mockRegionPages: 1, queueRules: 'v1', mmap: 'v1', hwInfoInputType: false },
  'vcmdq-v2': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', mockRegionPages: 1, queueRules: 'v2', mmap: 'v2', hwInfoInputType: false },
  'vcmdq-v3': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', mockRegionPages: 1, queueRules: 'v3', mmap: 'v3', hwInfoInputType: false },
  'hw-queue-v4': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', mockRegionPages: 1, queueRules: 'v4', hwInfoInputType: false },
  'hw-queue-v5': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', queueRules: 'v5' },
  'hw-queue-v6': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', queueRules: 'v6' },
  'hw-queue-v7': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', queueRules: 'v7' },
  'hw-queue-v8': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', queueRules: 'v8' },
  'hw-queue-v9': { compatUnmapEmpty: 'ENOENT', mockTables: 'array', queueRules: 'v9' },
};

/** The rules of a dialect. */
export function traitsOf(dialect: DialectName): Traits {
  return { ...upstream, ...differences[dialect], dialect };
}
