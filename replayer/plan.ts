/**
 * A plan: what the fold needs of the uAPI table of one dialect, as plain offsets and dispatch arrays. Made once per table.
 */
import type { Size } from '../hw/cmdqv/state.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import type { Command, Field } from '../hw/uapi/types.ts';
import { FAILED_CALLS, IOAS_CALLS } from './calls-ioas.ts';
import { IOMMUFD_CALLS } from './calls-iommufd.ts';
import { TEST_OPS } from './calls-test.ts';
import { DEVICE_CALLS, GROUP_CALLS } from './calls-vfio.ts';
import type { Context, OpenFile } from './state.ts';
import type { Step } from './step.ts';

/** What a successful call on an iommufd does to the state. */
export type ContextCall = (s: Step, c: Context, f: OpenFile) => void;
/** The same for a VFIO device or group. */
export type FileCall = (s: Step, f: OpenFile) => void;

/** Fields that the fold reads, by command. A field that a dialect does not have gets the offset {@link ABSENT}: reads give 0. */
const FIELDS = {
  IOMMU_DESTROY: ['id'],
  IOMMU_IOAS_ALLOC: ['out_ioas_id'],
  IOMMU_IOAS_ALLOW_IOVAS: ['ioas_id', 'num_iovas', 'allowed_iovas'],
  IOMMU_IOAS_COPY: ['flags', 'dst_ioas_id', 'src_ioas_id', 'length', 'dst_iova', 'src_iova'],
  IOMMU_IOAS_IOVA_RANGES: ['ioas_id', 'num_iovas', 'allowed_iovas', 'out_iova_alignment'],
  IOMMU_IOAS_MAP: ['flags', 'ioas_id', 'user_va', 'length', 'iova'],
  IOMMU_IOAS_MAP_FILE: ['flags', 'ioas_id', 'fd', 'start', 'length', 'iova'],
  IOMMU_IOAS_UNMAP: ['ioas_id', 'iova', 'length'],
  IOMMU_OPTION: ['option_id', 'op', 'object_id', 'val64'],
  IOMMU_VFIO_IOAS: ['ioas_id', 'op'],
  IOMMU_HWPT_ALLOC: ['flags', 'dev_id', 'pt_id', 'out_hwpt_id', 'data_type', 'fault_id'],
  IOMMU_GET_HW_INFO: ['dev_id', 'data_len', 'data_uptr', 'out_data_type', 'out_max_pasid_log2', 'out_capabilities'],
  IOMMU_HWPT_SET_DIRTY_TRACKING: ['flags', 'hwpt_id'],
  IOMMU_HWPT_GET_DIRTY_BITMAP: ['hwpt_id'],
  IOMMU_HWPT_INVALIDATE: ['hwpt_id'],
  IOMMU_FAULT_QUEUE_ALLOC: ['out_fault_id', 'out_fault_fd'],
  IOMMU_VIOMMU_ALLOC: ['type', 'dev_id', 'hwpt_id', 'out_viommu_id', 'data_uptr'],
  IOMMU_VDEVICE_ALLOC: ['viommu_id', 'dev_id', 'out_vdevice_id', 'virt_id'],
  IOMMU_VEVENTQ_ALLOC: ['viommu_id', 'type', 'veventq_depth', 'out_veventq_id', 'out_veventq_fd'],
  VFIO_DEVICE_BIND_IOMMUFD: ['iommufd', 'out_devid'],
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: ['flags', 'pt_id', 'pasid'],
  VFIO_DEVICE_DETACH_IOMMUFD_PT: ['flags', 'pasid'],
  VFIO_DEVICE_GET_REGION_INFO: ['flags', 'index', 'size', 'offset'],
  VFIO_DEVICE_GET_IRQ_INFO: ['flags', 'index', 'count'],
  VFIO_DEVICE_SET_IRQS: ['flags', 'index', 'start', 'count'],
  VFIO_IOMMU_MAP_DMA: ['flags', 'vaddr', 'iova', 'size'],
  VFIO_IOMMU_UNMAP_DMA: ['flags', 'iova', 'size'],
  IOMMU_TEST_CMD: ['op', 'id'],
} as const;

/** Fields of the arms of IOMMU_TEST_CMD, by operation. */
const TEST_FIELDS = {
  ADD_RESERVED: ['start', 'length'],
  MOCK_DOMAIN: ['out_stdev_id', 'out_hwpt_id', 'out_idev_id'],
  MOCK_DOMAIN_FLAGS: ['out_stdev_id', 'out_hwpt_id', 'out_idev_id', 'dev_flags'],
  MOCK_DOMAIN_REPLACE: ['pt_id'],
  CREATE_ACCESS: ['out_access_fd', 'flags'],
  DESTROY_ACCESS_PAGES: ['access_pages_id'],
  ACCESS_PAGES: ['flags', 'out_access_pages_id', 'iova', 'length'],
  ACCESS_REPLACE_IOAS: ['ioas_id'],
  TRIGGER_IOPF: ['dev_id'],
  TRIGGER_VEVENT: ['dev_id'],
  PASID_ATTACH: ['pasid', 'pt_id'],
  PASID_REPLACE: ['pasid', 'pt_id'],
  PASID_DETACH: ['pasid'],
  PASID_CHECK_HWPT: ['hwpt_id'],
  DMABUF_REVOKE: ['dmabuf_fd', 'revoked'],
} as const;

type Offsets<T extends Record<string, readonly string[]>> = { readonly [C in keyof T]: { readonly [F in T[C][number]]: number } };

/** Beyond every struct: the reads of event.ts give 0 there. */
const ABSENT = 0x7fff_0000;

/** Other dialects' names for the same field. */
const ALSO: Readonly<Record<string, string>> = { out_data_type: 'data_type' };

/** A field's offset by its name, or by its name in an arm of a union. */
function offsetIn(fields: readonly Field[], name: string): number {
  const named = (n: string | undefined): Field | undefined =>
    fields.find((f) => f.name === n) ?? fields.find((f) => f.name.endsWith(`.${n}`));
  const field = named(name) ?? named(ALSO[name]);
  return field?.offset ?? ABSENT;
}

function offsets<T extends Record<string, readonly string[]>>(rows: T, fieldsOf: (key: string) => readonly Field[]): Offsets<T> {
  const entries = Object.entries(rows).map(([key, names]) => {
    const fields = fieldsOf(key);
    return [key, Object.fromEntries(names.map((name) => [name, offsetIn(fields, name)]))];
  });
  return Object.fromEntries(entries) as Offsets<T>;
}

/** IOMMU_HW_QUEUE_ALLOC and its out-of-tree forerunners: one number, other names and places (facts differ by dialect). */
export interface QueuePlan {
  readonly viommu: number;
  readonly type: number;
  readonly index: number;
  readonly id: number;
  readonly iova: number;
  readonly length: number;
  /** slot of the nested struct {u32 index, u32 log2size, u64 base} of vcmdq-v1, else ABSENT */
  readonly nested: number;
  readonly nestedIndex: number;
  readonly nestedLog2: number;
  readonly nestedBase: number;
  /** the kernel makes an ACCESS for it (hw-queue-v6 and later) */
  readonly pins: boolean;
  /** a queue holds the one below it (vcmdq-v2 and later) */
  readonly ordered: boolean;
}

/** enum iommu_hw_info_type */
const HW_INFO = { smmuv3: 2, cmdqv: 3 } as const;

const QUEUE_REQUEST = 0x3b94;
/** Dialects before the queue got an ACCESS of its own. */
const NO_ACCESS: ReadonlySet<string> = new Set(['vcmdq-v1', 'vcmdq-v2', 'vcmdq-v3', 'hw-queue-v4', 'hw-queue-v5']);
/** Dialects in which a mapping of its region does not hold a VIOMMU. */
const FREE_MAPPINGS: ReadonlySet<string> = new Set(['vcmdq-v1', 'vcmdq-v2']);
/** Dialects in which a region has 8 pages of offsets, whatever its length is. */
const EIGHT_PAGES: ReadonlySet<string> = new Set(['vcmdq-v1', 'vcmdq-v2', 'vcmdq-v3']);

function queuePlan(table: UapiTable): QueuePlan {
  const command = table.command('iommufd', QUEUE_REQUEST);
  const fields = command?.struct?.fields ?? [];
  const first = (...names: string[]): number => names.map((n) => offsetIn(fields, n)).find((at) => at !== ABSENT) ?? ABSENT;
  const pointer = fields.find((f) => f.nested && f.name === 'data_uptr');
  const data = pointer && command ? nestedFields(table, command, pointer) : [];
  return {
    viommu: first('viommu_id'),
    type: first('type'),
    index: first('index'),
    id: fields.find((f) => f.creates)?.offset ?? ABSENT,
    iova: first('nesting_parent_iova', 'base_addr', 'addr'),
    length: first('length'),
    nested: pointer?.offset ?? ABSENT,
    nestedIndex: data[0]?.offset ?? ABSENT,
    nestedLog2: data[1]?.offset ?? ABSENT,
    nestedBase: data[2]?.offset ?? ABSENT,
    pins: !NO_ACCESS.has(table.dialect),
    ordered: table.dialect !== 'vcmdq-v1',
  };
}

/** Fields of the struct that a pointer of vcmdq-v1's VCMDQ_ALLOC points to; the only type there was is 1. */
function nestedFields(table: UapiTable, command: Command, pointer: Field): readonly Field[] {
  return table.payload(command, pointer.name, 1)?.fields ?? [];
}

/** Constants that the fold looks at; 0 (no bit) for a flag that a dialect does not have. */
const CONSTANTS = [
  'IOMMU_IOAS_MAP_FIXED_IOVA',
  'IOMMU_IOAS_MAP_WRITEABLE',
  'IOMMU_IOAS_MAP_READABLE',
  'IOMMU_OPTION_RLIMIT_MODE',
  'IOMMU_OPTION_HUGE_PAGES',
  'IOMMU_VFIO_IOAS_GET',
  'IOMMU_VFIO_IOAS_SET',
  'IOMMU_VFIO_IOAS_CLEAR',
  'IOMMU_HWPT_ALLOC_NEST_PARENT',
  'IOMMU_HWPT_FAULT_ID_VALID',
  'IOMMU_HWPT_DATA_NONE',
  'IOMMU_HWPT_DATA_VTD_S1',
  'IOMMU_HWPT_DATA_SELFTEST',
  'IOMMU_HWPT_DIRTY_TRACKING_ENABLE',
  'IOMMU_VEVENTQ_FLAG_LOST_EVENTS',
  'MOCK_FLAGS_ACCESS_SYZ',
  'VFIO_DMA_MAP_FLAG_READ',
  'VFIO_DMA_MAP_FLAG_WRITE',
  'VFIO_DMA_UNMAP_FLAG_ALL',
  'VFIO_DEVICE_ATTACH_PASID',
  'VFIO_DEVICE_DETACH_PASID',
  'VFIO_IRQ_SET_DATA_NONE',
  'VFIO_IRQ_SET_DATA_EVENTFD',
  'VFIO_IRQ_SET_ACTION_MASK',
  'VFIO_IRQ_SET_ACTION_UNMASK',
  'VFIO_IRQ_SET_ACTION_TRIGGER',
] as const;
type Constants = Readonly<Record<(typeof CONSTANTS)[number], number>>;

function constantsOf(table: UapiTable): Constants {
  const all = new Map<string, number>();
  for (const e of table.enums.values()) for (const [name, value] of e.members) all.set(name, value);
  return Object.fromEntries(CONSTANTS.map((name) => [name, all.get(name) ?? 0])) as Constants;
}

/** Structs that are read from and written to fault queues and vEVENTQs. */
const RECORDS = {
  iommu_hwpt_pgfault: ['dev_id', 'pasid', 'grpid', 'cookie'],
  iommu_hwpt_page_response: ['cookie'],
  iommufd_vevent_header: ['flags', 'sequence'],
} as const;

export class Plan {
  readonly dialect: string;
  readonly at: Offsets<typeof FIELDS>;
  readonly test: Offsets<typeof TEST_FIELDS>;
  readonly records: Offsets<typeof RECORDS>;
  readonly k: Constants;
  readonly queue: QueuePlan;
  /** mapping a VIOMMU's region holds the VIOMMU */
  readonly mappingsHold: boolean;
  /** bytes of offsets that stand for a VIOMMU's region; 0: as many as it has */
  readonly regionStride: number;
  /** by low byte of the request */
  readonly iommufd: readonly (ContextCall | undefined)[];
  /** what a failed call did all the same */
  readonly failed: readonly (ContextCall | undefined)[];
  readonly device: readonly (FileCall | undefined)[];
  readonly group: readonly (FileCall | undefined)[];
  /** by operation of IOMMU_TEST_CMD */
  readonly ops: readonly (ContextCall | undefined)[];
  /** requests that name another descriptor in their struct: EBADF may mean that one */
  readonly takesFd: ReadonlySet<number>;
  readonly #regions = new Map<number, readonly [number, number]>();
  readonly #table: UapiTable;

  constructor(table: UapiTable) {
    this.#table = table;
    this.dialect = table.dialect;
    this.at = offsets(FIELDS, (name) => table.byName(name)?.struct?.fields ?? []);
    const ops = new Map(table.testOps.map((op) => [op.name.replace('IOMMU_TEST_OP_', ''), op]));
    this.test = offsets(TEST_FIELDS, (name) => ops.get(name)?.fields ?? []);
    this.records = offsets(RECORDS, (name) => table.struct(name)?.fields ?? []);
    this.k = constantsOf(table);
    this.queue = queuePlan(table);
    this.mappingsHold = !FREE_MAPPINGS.has(table.dialect);
    this.regionStride = EIGHT_PAGES.has(table.dialect) ? 0x8000 : 0;
    this.iommufd = dispatch(table, { ...IOMMUFD_CALLS, ...IOAS_CALLS });
    this.failed = dispatch(table, FAILED_CALLS);
    this.device = dispatch(table, DEVICE_CALLS);
    this.group = dispatch(table, GROUP_CALLS);
    this.takesFd = new Set(
      table.commands
        .filter((c) => c.name === 'IOMMU_TEST_CMD' || c.arg === 'fd-pointer' || c.struct?.fields.some((f) => f.fd) || c.struct?.trailing)
        .map((c) => c.request),
    );
    const byOp: (ContextCall | undefined)[] = [];
    for (const [name, call] of Object.entries(TEST_OPS)) {
      const op = ops.get(name);
      if (op) byOp[op.value] = call;
    }
    this.ops = byOp;
  }

  /** Bytes of a record of a fault queue or vEVENTQ. */
  bytesOf(record: keyof typeof RECORDS): number {
    return this.#table.struct(record)?.size ?? 0;
  }
  /** Bytes that follow the header in a vEVENTQ of this type; undefined where that is not known. */
  payloadOf(type: number): number | undefined {
    return this.#table.vevent(type)?.size;
  }

  /** What the data of GET_HW_INFO tell of a CMDQV's size; undefined: of this type nothing. */
  sizeIn(type: number, data: DataView): Size | undefined {
    const u8 = (at: number): number | undefined => (at < data.byteLength ? data.getUint8(at) : undefined);
    const u32 = (at: number): number | undefined => (at + 4 <= data.byteLength ? data.getUint32(at, true) : undefined);
    if (type === HW_INFO.cmdqv) {
      const at = (name: string): number => this.#table.struct('iommu_hw_info_tegra241_cmdqv')?.byName.get(name)?.offset ?? ABSENT;
      return { log2Queues: u8(at('log2vcmdqs')), log2Sids: u8(at('log2vsids')) };
    }
    if (type !== HW_INFO.smmuv3) return undefined;
    const at = (name: string): number => this.#table.struct('iommu_hw_info_arm_smmuv3')?.byName.get(name)?.offset ?? ABSENT;
    const idr1 = u32(at('idr') + 4);
    const commands: Size = idr1 === undefined ? {} : { log2Commands: (idr1 >>> 21) & 31 };
    const impl = u32(at('impl'));
    // some of the series tell of the CMDQV here
    if (impl === undefined || ((u32(at('flags')) ?? 0) & 1) === 0) return commands;
    return { ...commands, log2Queues: (impl >>> 4) & 15, log2Sids: (impl >>> 12) & 15 };
  }

  /** Where a vIOMMU of this type says what may be mapped: offsets of the two u64 in its data; undefined where it does not. */
  regionOf(type: number): readonly [number, number] | undefined {
    const known = this.#regions.get(type);
    if (known) return known;
    const command = this.#table.byName('IOMMU_VIOMMU_ALLOC');
    const struct = command && this.#table.payload(command, 'data_uptr', type);
    const offset = struct?.fields.find((f) => /mmap_offset|pgoff/.test(f.name));
    const length = struct?.fields.find((f) => /mmap_length|pgsz/.test(f.name));
    if (!offset || !length) return undefined;
    const found = [offset.offset, length.offset] as const;
    this.#regions.set(type, found);
    return found;
  }
}

function dispatch<T>(table: UapiTable, calls: Readonly<Record<string, T>>): (T | undefined)[] {
  const byNumber: (T | undefined)[] = new Array(256).fill(undefined);
  for (const [name, call] of Object.entries(calls)) {
    const command = table.byName(name);
    if (command) byNumber[command.request & 0xff] = call;
  }
  return byNumber;
}

const plans = new WeakMap<UapiTable, Plan>();

export function planOf(table: UapiTable): Plan {
  let plan = plans.get(table);
  if (!plan) {
    plan = new Plan(table);
    plans.set(table, plan);
  }
  return plan;
}
