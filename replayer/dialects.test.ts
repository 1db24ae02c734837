/**
 * The session of every dialect against the rules of every other one: they disagree exactly where the difference matrix has
 * another entry for the two.
 */
import { describe, expect, test } from 'vitest';
import { SERIES } from '../hw/iommufd/series-testing.ts';
import { type DialectName, uapiTable } from '../hw/uapi/table.ts';
import { check } from './check.ts';
import { type DialectSession, dialectSession } from './dialect-sessions.ts';
import { folded } from './scenes.ts';

const DIALECTS: readonly DialectName[] = ['linux-6.12', ...SERIES];
type Column<T> = Readonly<Record<DialectName, T>>;
const column = <T>(...values: readonly T[]): Column<T> => {
  if (values.length !== DIALECTS.length) throw new Error(`a row of ${values.length}`);
  return Object.fromEntries(DIALECTS.map((d, i) => [d, values[i]])) as Column<T>;
};
const at = (d: DialectName): number => DIALECTS.indexOf(d);
const OLD: DialectName = 'linux-6.12';
const V1: DialectName = 'vcmdq-v1';

interface Row {
  /** the row of the matrix */
  readonly row: string;
  readonly step: string;
  /** what the step is answered: errno, '' for success */
  readonly errno?: Column<string>;
  /** what a success brings in a field: numbers, of which the difference counts where they are ids; undefined: takes over what was recorded */
  readonly output?: { readonly field: string | ((recorded: DialectName) => string); readonly values: Column<number | undefined> };
  /** the rules of `model` cannot say it of a session of `recorded` */
  readonly open?: (recorded: DialectName, model: DialectName) => boolean;
  /** the answer is another one because of what was recorded */
  readonly because?: (recorded: DialectName, model: DialectName) => string | undefined;
}

const [NO, TTY, BUSY, EINVAL, NXIO, NODEV] = ['EOPNOTSUPP', 'ENOTTY', 'EBUSY', 'EINVAL', 'ENXIO', 'ENODEV'] as const;
const OK = '';
const late = (first: string, rest: string): Column<string> => column(first, ...new Array<string>(10).fill(rest));

/** A call of v1 is 8 bytes shorter than all others know it, and theirs has 8 more that v1 does not know. */
const sizes = (recorded: DialectName, model: DialectName): string | undefined => {
  if (model === OLD || recorded === model) return undefined;
  if (recorded === V1) return EINVAL;
  return model === V1 ? 'E2BIG' : undefined;
};
const queueId = {
  field: (recorded: DialectName): string =>
    recorded === 'vcmdq-v3' ? 'out_vqueue_id' : at(recorded) < at('vcmdq-v3') ? 'out_vcmdq_id' : 'out_hw_queue_id',
  values: column<number | undefined>(0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0),
};
/** 6.12 tells nothing of an SMMUv3 and so did v1 of its CMDQV */
const untold = (recorded: DialectName): boolean => recorded === OLD || recorded === V1;

const ROWS: readonly Row[] = [
  {
    row: 'CMDQV parameters query: an input type of GET_HW_INFO',
    step: 'information, type 3',
    errno: column(NO, NO, NO, NO, NO, OK, OK, OK, OK, OK, OK),
    open: (recorded, model) => untold(recorded) && at(model) >= at('hw-queue-v5'),
  },
  { row: 'nesting on an SMMUv3 (6.13)', step: 'nest parent', errno: late(NO, OK), open: (recorded) => recorded === OLD },
  {
    row: 'first offset handed out',
    step: 'vIOMMU a',
    errno: late(TTY, OK),
    output: { field: 'data_uptr', values: column<number | undefined>(0, 0, 0, 0, 0, 0, 0, 0, 0x1000, 0x1000, 0x1000) },
    // there is no HWPT to make one on
    because: (recorded, model) => (recorded === OLD && model !== OLD ? 'ENOENT' : undefined),
  },
  {
    row: 'offset of the 2nd region of 64 KiB',
    step: 'vIOMMU b',
    errno: late(TTY, OK),
    output: {
      field: 'data_uptr',
      values: column<number | undefined>(0, 0x8000, 0x8000, 0x8000, 0x1_0000, 0x1_0000, 0x1_0000, 0x1_0000, 0x1_1000, 0x1_1000, 0x1_1000),
    },
  },
  { row: 'vSID limit', step: 'vDEVICE of 21 bits', errno: column(TTY, OK, OK, OK, OK, OK, OK, OK, OK, OK, EINVAL) },
  { row: 'ioctls: VDEVICE_ALLOC', step: 'vDEVICE', errno: late(TTY, OK) },
  { row: 'one vDEVICE per device', step: 'second vDEVICE', errno: column(TTY, OK, OK, OK, OK, OK, OK, OK, OK, OK, 'EEXIST') },
  {
    row: 'order by index: ascending alloc',
    step: 'queue 1 first',
    errno: column(TTY, OK, 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO', 'EIO'),
    because: sizes,
  },
  { row: 'struct bytes; ids consumed: its own', step: 'queue 0', errno: late(TTY, OK), output: queueId, because: sizes },
  {
    row: 'ids consumed: the next one',
    step: 'IOAS after a queue',
    output: { field: 'out_ioas_id', values: column<number | undefined>(undefined, 0, 0, 0, 0, 0, undefined, 1, 1, 1, 1) },
  },
  { row: 'struct bytes; ids consumed: its own', step: 'queue 1', errno: late(TTY, OK), output: queueId, because: sizes },
  {
    row: 'pinning: UNMAP under a queue',
    step: 'UNMAP under queues',
    errno: column(OK, OK, 'EDEADLK', 'EDEADLK', 'EDEADLK', BUSY, BUSY, BUSY, BUSY, BUSY, BUSY),
    because: (recorded) => (recorded === OLD ? OK : undefined),
  },
  {
    row: 'order by index: descending destroy',
    step: 'queue 0 before 1',
    errno: column(BUSY, OK, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY),
  },
  { row: 'mmap length', step: 'half of it', errno: column(NODEV, OK, OK, OK, NXIO, NXIO, NXIO, NXIO, NXIO, NXIO, NXIO) },
  {
    row: 'mmap offset: pages that stand for the start',
    step: 'page 7',
    errno: column(NODEV, OK, OK, OK, OK, NXIO, NXIO, NXIO, NXIO, NXIO, NXIO),
  },
  {
    row: 'mmap offset: any page inside; mmap wrong offset',
    step: 'page 8',
    errno: column(NODEV, EINVAL, NXIO, NXIO, OK, NXIO, NXIO, NXIO, NXIO, NXIO, NXIO),
  },
  {
    row: 'mmap wrong offset',
    step: 'all of it',
    errno: late(NODEV, OK),
    because: (recorded, model) => (recorded !== OLD || model === OLD ? undefined : model === V1 ? EINVAL : NXIO),
  },
  {
    row: 'VMA blocks DESTROY of vIOMMU',
    step: 'end of a mapped one',
    errno: column(BUSY, OK, OK, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY),
  },
  {
    row: 'region unregistered on vIOMMU destroy',
    step: 'vIOMMU c',
    errno: late(TTY, OK),
    output: {
      field: 'data_uptr',
      values: column<number | undefined>(0, 0x1_0000, 0x1_0000, 0x1_0000, 0x2_0000, 0x2_0000, 0x2_0000, 0x2_0000, 0x1000, 0x1000, 0x1000),
    },
  },
];

/** "step field: what the rules say, what was recorded" */
type Finding = string;

const region = (offset: number): string => Buffer.from(new BigUint64Array([BigInt(offset), 0x1_0000n]).buffer).toString('hex');

/** What the matrix says that two dialects disagree about; `seen`: what the log has in a field of a step. */
function expected(
  recorded: DialectName,
  model: DialectName,
  steps: DialectSession['steps'],
  seen: (step: string, field: string) => string,
): Finding[] {
  return ROWS.filter((r) => steps.has(r.step) && r.open?.(recorded, model) !== true).flatMap((r) => {
    const errno = r.because?.(recorded, model) ?? r.errno?.[model] ?? OK;
    const was = r.because?.(recorded, recorded) ?? r.errno?.[recorded] ?? OK;
    if (errno !== was) return [`${r.step} errno: ${errno || 'success'}, ${was || 'success'}`];
    if (errno !== OK || r.output === undefined) return [];
    const field = typeof r.output.field === 'string' ? r.output.field : r.output.field(recorded);
    const [a, b] = [r.output.values[model], r.output.values[recorded]];
    if (a === undefined || b === undefined || a === b) return [];
    if (field === 'data_uptr') return [`${r.step} ${field}: ${region(a)}, ${region(b)}`];
    const id = Number(seen(r.step, field));
    return [`${r.step} ${field}: 0x${(id + a - b).toString(16)}, 0x${id.toString(16)}`];
  });
}

describe.each(DIALECTS)('a session of %s', (recorded) => {
  const { script, steps } = dialectSession(recorded);
  const named = new Map([...steps].map(([name, seq]) => [seq, name]));
  const ask = (model: DialectName) => check(script.source(), uapiTable(recorded), { model });

  test('makes every step of the matrix that the kernel has', () => {
    const missing = ROWS.map((r) => r.step).filter((step) => !steps.has(step));
    if (recorded !== OLD) expect(missing).toEqual([]);
    else expect(missing).not.toContain('vIOMMU a');
  });
  test.each(DIALECTS)('against %s: exactly the rows of the matrix', (model) => {
    const report = ask(model);
    const found = report.disagreements.map((d) => `${named.get(d.seq)} ${d.field}: ${d.predicted}, ${d.observed}`);
    const seen = (step: string, field: string): string =>
      report.disagreements.find((d) => d.seq === steps.get(step) && d.field === field)?.observed ?? '';
    expect(found).toEqual(expected(recorded, model, steps, seen));
  });
  test('leads to a state that hangs together', () => {
    expect(folded(script).contexts.size).toBe(0);
  });
  test('against itself: everything is predicted, and as it was', () => {
    const report = ask(recorded);
    expect(report.disagreements).toEqual([]);
    expect([...report.unpredictable.keys()]).toEqual(recorded === OLD ? ['driver-private'] : []);
    expect(report.agree).toBe(report.predicted);
    expect(report.predicted).toBeGreaterThan(recorded === OLD ? 7 : 25);
  });
});

test('any two dialects disagree, but for those that the matrix cannot tell apart', () => {
  const alike: string[] = [];
  for (const recorded of DIALECTS) {
    const { script } = dialectSession(recorded);
    for (const model of DIALECTS)
      if (at(model) > at(recorded) && check(script.source(), uapiTable(recorded), { model }).disagreements.length === 0)
        alike.push(`${recorded} ${model}`);
  }
  expect(alike).toEqual(['hw-queue-v8 hw-queue-v9']);
});
