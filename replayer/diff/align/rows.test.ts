import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../../hw/uapi/table.ts';
import { encodeFrame, Start } from '../../../store/frame.ts';
import { framesSource, Script } from '../../script.ts';
import { type Comparison, How, type Side } from '../compare.ts';
import { compared, framesOf } from '../testing.ts';

const table = uapiTable('linux-7.2');
const sideOf = (s: Script): Side => ({ source: s.source(), table });
const onlyB = (c: Comparison): number[] => [...c.how.keys()].filter((row) => c.how[row] === How.ONLY_B);

/** A harness and its children, one after the other; each makes so many calls. */
function serial(calls: readonly number[], first: number): Script {
  const s = new Script(table, first);
  s.start();
  calls.forEach((count, i) => {
    s.pid = first;
    s.fork(first + 2 * i + 1);
    s.pid = first + 2 * i + 1;
    s.start(Start.FORK, first);
    s.fork(first + 2 * i + 2);
    s.pid = first + 2 * i + 2;
    s.start(Start.FORK, first + 2 * i + 1);
    s.open(3);
    for (let n = 0; n < count; n++) s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, val64: 100 * count + n });
    s.exit();
    s.pid = first + 2 * i + 1;
    s.exit();
  });
  s.pid = first;
  s.exit();
  return s;
}

describe('where rows stand that only b has', () => {
  test('a process and its child are together, in the order of b', () => {
    const c = compared(sideOf(serial([3, 5, 4], 100)), sideOf(serial([3, 5, 7, 4], 500)));
    const rows = onlyB(c);
    // two forks, START and EXIT of both, open and seven calls
    expect(rows.length).toBe(2 + 4 + 1 + 7);
    expect(rows).toEqual(rows.map((_, i) => rows[0]! + i));
    expect(rows.map((row) => c.b[row]! - c.b[rows[0]!]!)).toEqual(rows.map((_, i) => i));
    // behind the exit of the process before it, which is the sixteenth event of the second child
    expect([c.a[rows[0]! - 1], c.b[rows[0]! - 1]]).toEqual([c.b[rows[0]!]! - 1, c.b[rows[0]!]! - 1]);
  });

  test('a process whose child goes on ends behind it', () => {
    const c = compared(sideOf(serial([0, 0, 0], 100)), sideOf(serial([3, 5, 4], 500)));
    const seqs = onlyB(c).map((row) => c.b[row]!);
    expect(seqs.length).toBe(3 + 5 + 4);
    expect(seqs).toEqual([...seqs].sort((x, y) => x - y));
    for (let row = 1; row < c.rows; row++) expect(c.placeB[row]! >= c.placeB[row - 1]!).toBe(true);
  });

  /** Three threads that take turns; each draw is a call of one of them. */
  const played = (draws: readonly number[], pid: number): Side => {
    const s = new Script(table, pid);
    s.start();
    s.open(3);
    for (const d of draws) s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, val64: d % 20 });
    const frames = framesOf(s.source()).map((f) => encodeFrame({ ...f, tid: f.seq < 3 ? pid : pid + (draws[f.seq - 3]! % 3) }));
    return { source: framesSource(frames, table.dialect), table };
  };

  test("every thread's events are in their order on both sides, and every event is in one row", () => {
    const draws = fc.array(fc.nat(59), { maxLength: 60 });
    fc.assert(
      fc.property(draws, draws, (one, two) => {
        const c = compared(played(one, 100), played(two, 700));
        for (const [column, of, n] of [
          [c.a, one, one.length + 2],
          [c.b, two, two.length + 2],
        ] as const) {
          const last = [0, 0, 0];
          for (const seq of column) {
            if (seq < 3) continue;
            const tid = of[seq - 3]! % 3;
            expect(seq).toBeGreaterThan(last[tid]!);
            last[tid] = seq;
          }
          expect(column.filter((seq) => seq > 0).sort()).toEqual(Int32Array.from({ length: n }, (_, i) => i + 1));
        }
      }),
      { numRuns: 200 },
    );
  });
});
