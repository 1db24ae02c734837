/** The session that a VMM makes on each dialect beside that on the next one: what differs is what the difference matrix says, and no more. */
import { describe, expect, test } from 'vitest';
import { type DialectName, uapiTable } from '../../hw/uapi/table.ts';
import { type DialectSession, dialectSession } from '../dialect-sessions.ts';
import { type Comparison, How } from './compare.ts';
import { compared } from './testing.ts';

const sessions = new Map<DialectName, DialectSession>();
function session(dialect: DialectName): DialectSession {
  const known = sessions.get(dialect) ?? dialectSession(dialect);
  sessions.set(dialect, known);
  return known;
}
const compare = (a: DialectName, b: DialectName): Comparison =>
  compared({ source: session(a).script.source(), table: uapiTable(a) }, { source: session(b).script.source(), table: uapiTable(b) });

/** Steps whose question is the same and whose answer is not: name and fields. */
function answers(a: DialectName, b: DialectName): string[] {
  const c = compare(a, b);
  const stepOf = new Map([...session(a).steps].map(([step, seq]) => [seq, step]));
  const found: string[] = [];
  c.how.forEach((how, row) => {
    const fields = how === How.CHANGED ? c.fields(row).filter((f) => f.differs) : [];
    if (fields.some((f) => !f.answer) || fields.length === 0) return;
    const errno = fields.find((f) => f.name === 'errno');
    const what = errno === undefined ? fields.map((f) => f.name).join(' ') : `${errno.a} → ${errno.b}`;
    found.push(`${stepOf.get(c.a[row]!)}: ${what}`);
  });
  return found;
}

const [EIO, ENXIO, EBUSY, EEXIST, EINVAL, EDEADLOCK, EOPNOTSUPP] = [5, 6, 16, 17, 22, 35, 95];

test.each<readonly [DialectName, DialectName, readonly string[]]>([
  [
    'vcmdq-v1',
    'vcmdq-v2',
    [
      // CMDQV parameters query; order by index; pinning; mmap wrong offset
      'information: flags impl',
      `queue 1 first: 0 → ${EIO}`,
      `UNMAP under queues: 0 → ${EDEADLOCK}`,
      `queue 0 before 1: 0 → ${EBUSY}`,
      `page 8: ${EINVAL} → ${ENXIO}`,
    ],
  ],
  // VMA blocks DESTROY of vIOMMU
  ['vcmdq-v2', 'vcmdq-v3', [`end of a mapped one: 0 → ${EBUSY}`]],
  // mmap length; offsets of the 2nd region
  ['vcmdq-v3', 'hw-queue-v4', [`half of it: 0 → ${ENXIO}`, `page 8: ${ENXIO} → 0`]],
  [
    'hw-queue-v4',
    'hw-queue-v5',
    [
      // CMDQV parameters query; pinning; mmap offset
      'information: flags impl',
      `information, type 3: ${EOPNOTSUPP} → 0`,
      `UNMAP under queues: ${EDEADLOCK} → ${EBUSY}`,
      `page 7: 0 → ${ENXIO}`,
      `page 8: 0 → ${ENXIO}`,
    ],
  ],
  ['hw-queue-v5', 'hw-queue-v6', []],
  ['hw-queue-v6', 'hw-queue-v7', []],
  ['hw-queue-v7', 'hw-queue-v8', []],
  ['hw-queue-v8', 'hw-queue-v9', []],
  // vSID limit; one vDEVICE per device
  ['hw-queue-v9', 'linux-7.2', [`vDEVICE of 21 bits: 0 → ${EINVAL}`, `second vDEVICE: 0 → ${EEXIST}`]],
])('%s, %s', (a, b, rows) => {
  expect(answers(a, b)).toEqual(rows);
  // what is left are steps that the program took because of these
  if (rows.length === 0) expect(compare(a, b).equal).toBe(true);
});

test('of two steps that ask the same the one is missing that means what the other side does not have', () => {
  const c = compare('hw-queue-v9', 'linux-7.2');
  const [a, b] = [session('hw-queue-v9').steps, session('linux-7.2').steps];
  // the first vDEVICE's end; the second one was never made
  const first = c.rowOf('a', a.get('end of vDEVICE 0')!);
  expect([c.b[first], c.how[first]]).toEqual([b.get('end of vDEVICE 0'), How.SAME]);
  expect(c.how[c.rowOf('a', a.get('end of vDEVICE 1')!)]).toBe(How.ONLY_A);
});

describe('the same step in other words', () => {
  test.each(['vcmdq-v1', 'vcmdq-v2', 'vcmdq-v3', 'hw-queue-v4'] as const)('a queue of %s is a queue of the newest', (dialect) => {
    const c = compare(dialect, 'linux-7.2');
    for (const step of ['queue 0', 'queue 1']) {
      const row = c.rowOf('a', session(dialect).steps.get(step)!);
      expect(c.b[row]).toBe(session('linux-7.2').steps.get(step));
      expect(c.how[row]).toBe(How.SAME);
      expect(c.fields(row).map((f) => f.name)).toEqual(
        expect.arrayContaining(['viommu_id', 'nesting_parent_iova', 'length', 'out_hw_queue_id']),
      );
    }
  });
});
