/**
 * The plan: a recorded session in a form that can be issued again without knowing what its calls mean, for the program of
 * recorder/rerun. The same layout for C is recorder/rerun/irr_plan.h, which says what the fields are; plan.test.ts holds the two together.
 */

import zlib from 'node:zlib';
import { type Fields, type Row, Rows } from './rows.ts';

export const PLAN_MAGIC = 'IRRPLAN1';
export const PLAN_VERSION = 1;

/** Tables of a plan, in the order in which they lie in it. Numbers are stored in plans. */
export const PlanTable = {
  PROCESSES: 0,
  SYMBOLS: 1,
  REGIONS: 2,
  HOLES: 3,
  STEPS: 4,
  PARTS: 5,
  USES: 6,
  DEFINES: 7,
  OVERLAPS: 8,
  ENDS: 9,
  MEMORIES: 10,
  DATA: 11,
} as const;
export const PLAN_TABLES = 12;

export const PlanFlag = { MMIO: 1, VFIO: 2 } as const;
/** By the names of SymbolSort in ../program/program.ts. */
export const PlanSort = {
  object: 1,
  fd: 2,
  memory: 3,
  mapping: 4,
  iova: 5,
  offset: 6,
  length: 7,
  process: 8,
  cookie: 9,
  item: 10,
  nothing: 11,
} as const;
/** What a descriptor is that no step makes. */
export const PlanFile = { BY_STEP: 0, NOTHING: 1, MEMORY: 2, EVENTFD: 3, IOMMUFD: 4, SOCKET: 5 } as const;
export const PlanBacking = { NOTHING: 0, MEMORY: 1 } as const;
export const PlanRegionFlag = { MAY_BE_HUGE: 1 } as const;
export const PlanPlace = { FD: 0, RET: 1, PART: 2, OUT: 3, NESTED: 4 } as const;
export const PlanHow = { BYTES: 1, AWAY: 2, FILE: 3, IN_FILE: 4, HUGE: 5 } as const;
export const PlanUseFlag = { ENDED: 1 } as const;

/** Fields of the records, in order; none has room before it that is not named. */
export const PLAN_RECORDS = {
  process: { parent: 'i32', forkStep: 'i32', image: 'u32', threads: 'u32', symbol: 'u32', reserved: 'u32' },
  symbol: {
    sort: 'u8',
    what: 'u8',
    pageShift: 'u16',
    context: 'u32',
    value: 'u64',
    bytes: 'u64',
    region: 'i32',
    process: 'i32',
  },
  region: {
    start: 'u64',
    bytes: 'u64',
    align: 'u64',
    image: 'u32',
    backing: 'u8',
    flags: 'u8',
    reserved: 'u16',
    hole: 'u32',
    holes: 'u32',
  },
  hole: { offset: 'u64', bytes: 'u64' },
  step: {
    seq: 'u64',
    kind: 'u8',
    file: 'u8',
    flags: 'u16',
    request: 'u32',
    fd: 'i32',
    process: 'u32',
    thread: 'u32',
    error: 'i32',
    ret: 'i64',
    took: 'u64',
    part: 'u32',
    parts: 'u32',
    use: 'u32',
    uses: 'u32',
    define: 'u32',
    defines: 'u32',
    overlap: 'u32',
    overlaps: 'u32',
    end: 'u32',
    ends: 'u32',
    memory: 'u32',
    memories: 'u32',
    peer: 'i32',
    reserved: 'u32',
  },
  part: { kind: 'u8', flags: 'u8', slot: 'u16', bytes: 'u32', data: 'u64', wanted: 'u64', address: 'u64' },
  use: { symbol: 'u32', width: 'u8', in: 'u8', part: 'u16', offset: 'u32', flags: 'u32', addend: 'u64' },
  define: { symbol: 'u32', width: 'u8', in: 'u8', part: 'u16', offset: 'u32', reserved: 'u32' },
  memory: { symbol: 'u32', how: 'u32', offset: 'u64', bytes: 'u64', data: 'u64', file: 'u32', reserved: 'u32' },
} as const satisfies Readonly<Record<string, Fields>>;

export type PlanRecordName = keyof typeof PLAN_RECORDS;
export type PlanRecord<N extends PlanRecordName> = Row<(typeof PLAN_RECORDS)[N]>;
export type PlanRows<N extends PlanRecordName> = Rows<(typeof PLAN_RECORDS)[N]>;

/** A plan, decoded. */
export interface Plan {
  /** PlanFlag bits */
  readonly flags: number;
  /** what a call may take longer than it took in the recording, milliseconds, 1 to 2^32 - 1 */
  readonly limitMs: number;
  /** `uname -r` of the recorded kernel, at most 63 bytes */
  readonly kernel: string;
  readonly processes: PlanRows<'process'>;
  readonly symbols: PlanRows<'symbol'>;
  readonly regions: PlanRows<'region'>;
  readonly holes: PlanRows<'hole'>;
  readonly steps: PlanRows<'step'>;
  readonly parts: PlanRows<'part'>;
  readonly uses: PlanRows<'use'>;
  readonly defines: PlanRows<'define'>;
  readonly overlaps: readonly number[];
  readonly ends: readonly number[];
  readonly memories: PlanRows<'memory'>;
  readonly data: Buffer;
}

/** Offsets in the header, bytes. */
export const PLAN_AT = {
  magic: 0,
  version: 8,
  header_bytes: 12,
  bytes: 16,
  checksum: 24,
  flags: 28,
  limit_ms: 32,
  reserved: 36,
  kernel: 40,
  tables: 104,
} as const;
const KERNEL_BYTES = PLAN_AT.tables - PLAN_AT.kernel;
const SECTION_BYTES = 16;
export const PLAN_HEADER = PLAN_AT.tables + SECTION_BYTES * PLAN_TABLES;

/** In the order of PlanTable; without a record: numbers of 4 bytes. */
const ORDER = [
  ['processes', 'process'],
  ['symbols', 'symbol'],
  ['regions', 'region'],
  ['holes', 'hole'],
  ['steps', 'step'],
  ['parts', 'part'],
  ['uses', 'use'],
  ['defines', 'define'],
  ['overlaps', undefined],
  ['ends', undefined],
  ['memories', 'memory'],
] as const satisfies readonly (readonly [keyof Plan, PlanRecordName | undefined])[];

const align8 = (n: number): number => Math.ceil(n / 8) * 8;

/** The bytes of a plan. */
export function encodePlan(plan: Plan): Buffer {
  const sections = [...ORDER.map(([table]) => sectionOf(plan[table])), { bytes: plan.data, count: plan.data.length }];
  const total = sections.reduce((sum, { bytes }) => sum + align8(bytes.length), PLAN_HEADER);
  const b = Buffer.alloc(total);
  b.write(PLAN_MAGIC, PLAN_AT.magic, 'latin1');
  b.writeUInt32LE(PLAN_VERSION, PLAN_AT.version);
  b.writeUInt32LE(PLAN_HEADER, PLAN_AT.header_bytes);
  b.writeBigUInt64LE(BigInt(total), PLAN_AT.bytes);
  b.writeUInt32LE(plan.flags, PLAN_AT.flags);
  b.writeUInt32LE(plan.limitMs, PLAN_AT.limit_ms);
  Buffer.from(plan.kernel).copy(b, PLAN_AT.kernel, 0, KERNEL_BYTES - 1);
  let at = PLAN_HEADER;
  for (const [table, { bytes, count }] of sections.entries()) {
    b.writeBigUInt64LE(BigInt(at), PLAN_AT.tables + SECTION_BYTES * table);
    b.writeBigUInt64LE(BigInt(count), PLAN_AT.tables + SECTION_BYTES * table + 8);
    b.set(bytes, at);
    at += align8(bytes.length);
  }
  b.writeUInt32LE(crc32(b.subarray(PLAN_HEADER)), PLAN_AT.checksum);
  return b;
}

interface Section {
  readonly bytes: Uint8Array;
  readonly count: number;
}

function sectionOf(table: Rows<Fields> | readonly number[]): Section {
  if (table instanceof Rows) return { bytes: table.bytes, count: table.length };
  const bytes = Buffer.alloc(4 * table.length);
  for (const [n, value] of table.entries()) bytes.writeUInt32LE(value, 4 * n);
  return { bytes, count: table.length };
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let i = 0; i < 8; i++) c = (c & 1) !== 0 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** As zlib's crc32(), which the first releases of Node 20 do not have. */
export function ownCrc32(bytes: Uint8Array): number {
  let c = 0xffff_ffff;
  for (let i = 0; i < bytes.length; i++) c = CRC_TABLE[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return (c ^ 0xffff_ffff) >>> 0;
}

export const crc32: (bytes: Uint8Array) => number = (zlib as Partial<typeof zlib>).crc32 ?? ownCrc32;
