/**
 * Known differences between two kernels, as data. Those of the posted series are the rows of the matrix VCMDQ v1 … HW_QUEUE v9,
 * those of mainline the rows of the matrix 6.12 … 7.2; rows that are marked `measured` stand in neither: they were found by
 * running the same programs (the kernel's selftest of iommufd, a client) on 6.12.117 and on 7.2.12.
 */

import { errnoName } from '../../../hw/errno.ts';
import { DIALECTS, type DialectName } from '../../../hw/uapi/table.ts';
import type { FieldPair } from '../compare.ts';
import type { Judgement } from './judge.ts';
import type { Difference } from './report.ts';

/** A cause, and what the rules of both kernels say to it; undefined: the side has no event. */
export interface Evidence {
  readonly difference: Difference;
  readonly fields: readonly FieldPair[];
  readonly a: Judgement | undefined;
  readonly b: Judgement | undefined;
}

export interface KnownRow {
  /** stable: for rules that ignore it, and for JSON */
  readonly name: string;
  /** the kernels that answer alike, oldest first; the row is between two of different columns */
  readonly columns: readonly (readonly DialectName[])[];
  /** names of calls, and beginnings of names that end in a space; default: any */
  readonly calls?: readonly string[];
  /** one of these is among the rules that explain it; default: any, or none */
  readonly rules?: readonly string[];
  /** what the older and the newer kernel answer; undefined: anything */
  readonly errno?: readonly [older: string | undefined, newer: string | undefined];
  /** a success of both kernels with other outputs: at most these */
  readonly outputs?: readonly string[];
  /** the refusal rests on an object of such a type */
  readonly because?: string;
  /** this is 0 in what was asked, or is not */
  readonly zero?: readonly [field: string, is: boolean];
  /** a program on the newer kernel makes a call that the older one would refuse so, and the other program does not */
  readonly alone?: true;
  readonly measured?: true;
}

const SERIES: readonly DialectName[] = DIALECTS.toReversed().filter((dialect) => dialect !== 'linux-6.12');

/** The series, cut before each of these. */
function cut(...firsts: readonly DialectName[]): readonly (readonly DialectName[])[] {
  const at = [0, ...firsts.map((first) => SERIES.indexOf(first)), SERIES.length];
  return at.slice(1).map((end, i) => SERIES.slice(at[i]!, end));
}

/** 6.12, and all that came after it. */
const SINCE_612: KnownRow['columns'] = [['linux-6.12'], SERIES];
/** What stable releases of 6.12 took over, and the trees that the series were posted for did not have. */
const BACKPORTED: KnownRow['columns'] = [SERIES.slice(0, -1), ['linux-6.12', 'linux-7.2']];
const MAINLINE: KnownRow['columns'] = [['linux-6.12'], ['linux-7.2']];

const QUEUE_ALLOC = ['IOMMU_VCMDQ_ALLOC', 'IOMMU_VQUEUE_ALLOC', 'IOMMU_HW_QUEUE_ALLOC'];
/** The name that all of them have here. */
const BASE = 'nesting_parent_iova';
const INFO = ['IOMMU_GET_HW_INFO'];
const TEST = ['IOMMU_TEST_CMD '];

export const KNOWN: readonly KnownRow[] = [
  // posted series and upstream
  {
    name: 'base 0',
    columns: cut('hw-queue-v6'),
    calls: QUEUE_ALLOC,
    rules: ['hw-queue-alloc.base', 'tegra.queue-base'],
    zero: [BASE, true],
  },
  {
    name: 'base unmapped',
    columns: cut('vcmdq-v2', 'hw-queue-v5'),
    calls: QUEUE_ALLOC,
    rules: ['hw-queue-alloc.hole', 'tegra.queue-hole'],
  },
  {
    name: 'object lookup vs page-array ENOMEM',
    columns: cut('vcmdq-v2', 'hw-queue-v5'),
    calls: QUEUE_ALLOC,
    rules: ['hw-queue-alloc.array'],
  },
  { name: 'pinning', columns: cut('vcmdq-v2', 'hw-queue-v5'), calls: ['IOMMU_IOAS_UNMAP'], rules: ['unmap.pinned', 'unmap.locked'] },
  { name: 'same index twice', columns: cut('vcmdq-v2'), calls: QUEUE_ALLOC, rules: ['tegra.queue-exists'] },
  { name: 'order by index', columns: cut('vcmdq-v2'), calls: QUEUE_ALLOC, rules: ['tegra.queue-order'] },
  { name: 'order by index', columns: cut('vcmdq-v2'), calls: ['IOMMU_DESTROY'], rules: ['destroy.in-use'], because: 'HW_QUEUE' },
  { name: 'length limits', columns: cut('vcmdq-v2'), calls: QUEUE_ALLOC, rules: ['tegra.queue-length', 'hw-queue-alloc.length'] },
  // the matrix says which address is looked at; that a queue begins with a page is what pinning asks, until v9 rounds
  {
    name: 'alignment',
    columns: cut('vcmdq-v2', 'hw-queue-v9'),
    calls: QUEUE_ALLOC,
    rules: ['access.page-offset', 'tegra.queue-base'],
    zero: [BASE, false],
  },
  { name: 'vSID limit', columns: cut('linux-7.2'), calls: ['IOMMU_VDEVICE_ALLOC'], rules: ['tegra.vsid'] },
  { name: 'one vDEVICE per device', columns: cut('linux-7.2'), calls: ['IOMMU_VDEVICE_ALLOC'], rules: ['vdevice-alloc.device'] },
  { name: 'CMDQV parameters query', columns: cut('vcmdq-v2', 'hw-queue-v5'), calls: INFO, outputs: ['flags', 'impl'] },
  {
    name: 'CMDQV parameters query',
    columns: cut('hw-queue-v5'),
    calls: INFO,
    rules: ['hw-info.flags'],
    errno: ['EOPNOTSUPP', undefined],
    alone: true,
  },
  { name: 'mmap length', columns: cut('hw-queue-v4'), calls: ['mmap'], rules: ['mmap.length'], errno: ['', 'ENXIO'] },
  { name: 'mmap offset', columns: cut('hw-queue-v4', 'hw-queue-v5'), calls: ['mmap'], rules: ['mmap.offset'] },
  {
    name: 'offsets of regions',
    columns: cut('hw-queue-v4', 'hw-queue-v8'),
    calls: ['mmap'],
    rules: ['mmap.no-region'],
    errno: [undefined, ''],
  },
  {
    name: 'offsets of regions',
    columns: cut('hw-queue-v4', 'hw-queue-v8'),
    calls: ['mmap'],
    rules: ['mmap.no-region'],
    errno: ['', 'ENXIO'],
  },
  { name: 'mmap wrong offset/length', columns: cut('vcmdq-v2'), calls: ['mmap'], errno: ['EINVAL', 'ENXIO'] },
  {
    name: 'VMA blocks DESTROY of vIOMMU',
    columns: cut('vcmdq-v3'),
    calls: ['IOMMU_DESTROY'],
    rules: ['destroy.in-use'],
    because: 'MAPPING',
  },
  // mainline
  { name: 'ioctls', columns: SINCE_612, rules: ['call.unknown'], errno: ['ENOTTY', undefined], alone: true },
  {
    name: 'GET_HW_INFO flags',
    columns: [['linux-6.12'], cut('hw-queue-v5')[1]!],
    calls: INFO,
    rules: ['hw-info.flags'],
    errno: ['EOPNOTSUPP', undefined],
    alone: true,
  },
  { name: 'FAULT_ID_VALID on an IOAS parent', columns: SINCE_612, calls: ['IOMMU_HWPT_ALLOC'], rules: ['hwpt-alloc.fault-paging'] },
  { name: 'HWPT_INVALIDATE on wrong type', columns: SINCE_612, calls: ['IOMMU_HWPT_INVALIDATE'], rules: ['invalidate.type'] },
  { name: 'INVALIDATE bounds', columns: BACKPORTED, calls: ['IOMMU_HWPT_INVALIDATE'], rules: ['invalidate.array'] },
  {
    name: 'UNMAP of an empty range',
    columns: BACKPORTED,
    calls: ['VFIO_IOMMU_UNMAP_DMA'],
    rules: ['unmap.nothing'],
    errno: ['ENOENT', ''],
  },
  {
    name: 'dirty bitmap length 0',
    columns: SINCE_612,
    calls: ['IOMMU_HWPT_GET_DIRTY_BITMAP'],
    rules: ['get-dirty.length', 'get-dirty.overflow'],
    errno: ['EINVAL', undefined],
  },
  {
    name: 'HWPT_ALLOC flags',
    columns: MAINLINE,
    calls: ['IOMMU_HWPT_ALLOC'],
    rules: ['hwpt-alloc.flags'],
    errno: ['EOPNOTSUPP', undefined],
    measured: true,
  },
  { name: 'GET_HW_INFO capabilities', columns: MAINLINE, calls: INFO, outputs: ['out_capabilities'], measured: true },
  { name: 'selftest operations', columns: MAINLINE, calls: TEST, rules: ['test.op'], errno: ['EOPNOTSUPP', undefined], measured: true },
  {
    name: 'selftest device flags',
    columns: MAINLINE,
    calls: TEST,
    rules: ['test.device-flags'],
    errno: ['EINVAL', undefined],
    measured: true,
  },
  {
    name: 'selftest beside an IOMMU',
    columns: MAINLINE,
    calls: TEST,
    rules: ['test.mock-refused'],
    errno: ['EINVAL', undefined],
    measured: true,
  },
  {
    name: 'data of a mock HWPT_PAGING',
    columns: MAINLINE,
    calls: ['IOMMU_HWPT_ALLOC'],
    rules: ['mock.paging-data'],
    errno: ['EOPNOTSUPP', ''],
    measured: true,
  },
  { name: 'page sizes of the mock driver', columns: MAINLINE, calls: ['VFIO_IOMMU_GET_INFO'], outputs: ['iova_pgsizes'], measured: true },
];

/** What the rows ask of a cause. */
interface Facts {
  readonly difference: Difference;
  /** names of the values that differ */
  readonly differing: readonly string[];
  /** names of the values that were asked with; a zero is not among them */
  readonly asked: ReadonlySet<string>;
  /** rules that the model names for either side, by the one kernel or the other */
  readonly rules: ReadonlySet<string>;
  /** types of the objects on which a refusal of either side rests; 'MAPPING' for a mapping */
  readonly because: ReadonlySet<string>;
  /** '' for success; undefined: the side has no event */
  readonly older: string | undefined;
  readonly newer: string | undefined;
  /** what the rules say to the event of the newer kernel, where it stands alone */
  readonly alone: Judgement | undefined;
}

/** The name of the row that a cause is, between the kernels of both sides; undefined: it is none. */
export function knownDifference(e: Evidence, a: DialectName, b: DialectName): string | undefined {
  if (a === b || !isOfKernels(e)) return undefined;
  const [forward, backward] = [factsOf(e, e.a, e.b, 'a', 'b'), factsOf(e, e.b, e.a, 'b', 'a')];
  return KNOWN.find((row) => {
    const [x, y] = [columnOf(row, a), columnOf(row, b)];
    return x >= 0 && y >= 0 && x !== y && fits(row, x < y ? forward : backward);
  })?.name;
}

const columnOf = (row: KnownRow, dialect: DialectName): number => row.columns.findIndex((column) => column.includes(dialect));

/** Both did as their own rules say, as far as these tell; and not where both would have done so by the other's rules too. */
function isOfKernels({ difference, a, b }: Evidence): boolean {
  if (a?.own.kind === 'disagrees' || b?.own.kind === 'disagrees') return false;
  return difference.sort !== 'errno' || a?.other.kind !== 'agrees' || b?.other.kind !== 'agrees';
}

function factsOf(
  { difference, fields, a, b }: Evidence,
  old: Judgement | undefined,
  young: Judgement | undefined,
  older: 'a' | 'b',
  newer: 'a' | 'b',
): Facts {
  const errno = fields.find((f) => f.answer && f.name === 'errno');
  const rules = [a, b].flatMap((j) => [j?.why?.rule, j?.other.kind === 'disagrees' ? j.other.rule : undefined]);
  return {
    difference,
    differing: fields.filter((f) => f.differs).map((f) => f.name),
    asked: new Set(fields.filter((f) => !f.answer).map((f) => f.name)),
    rules: new Set(rules.filter((rule) => rule !== undefined && rule !== '').map(String)),
    because: new Set([a, b].flatMap((j) => (j?.why?.because ?? []).map((o) => o.type))),
    older: nameOfErrno(errno?.[older]),
    newer: nameOfErrno(errno?.[newer]),
    alone: old === undefined ? young : undefined,
  };
}

/** The errno of a field; '' for success, undefined where there is none. */
function nameOfErrno(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  return Number(text) === 0 ? '' : errnoName(Number(text));
}

function fits(row: KnownRow, f: Facts): boolean {
  const { call, sort } = f.difference;
  if (row.calls?.some((c) => c === call || (c.endsWith(' ') && call.startsWith(c))) === false) return false;
  if (sort === 'only-a' || sort === 'only-b') return row.alone === true && isRefusedBefore(row, f);
  if (row.rules?.some((rule) => f.rules.has(rule)) === false) return false;
  if (row.because !== undefined && !f.because.has(row.because)) return false;
  if (row.zero !== undefined && f.asked.has(row.zero[0]) === row.zero[1]) return false;
  if (row.outputs !== undefined)
    return sort === 'output' && f.older === f.newer && f.differing.every((name) => row.outputs!.includes(name));
  const [first, second] = row.errno ?? [undefined, undefined];
  // another question is no answer of a kernel
  return sort === 'errno' && (first === undefined || first === f.older) && (second === undefined || second === f.newer);
}

function isRefusedBefore(row: KnownRow, { alone }: Facts): boolean {
  const there = alone?.other;
  return there?.kind === 'disagrees' && there.expected === row.errno?.[0] && row.rules?.includes(there.rule) === true;
}
