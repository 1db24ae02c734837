import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, Fork, type Frame, Kind, makeArgs, makeFrame, Start, State } from '../../store/frame.ts';
import { dialectSession } from '../dialect-sessions.ts';
import { framesSource, Script } from '../script.ts';
import { How, type Side } from './compare.ts';
import { compareStreams } from './stream/differ.ts';
import { NearSide } from './stream/side.ts';
import { causesText, compared, differencesOf, fixture, framesOf, reportOf, type Split, splitCalls } from './testing.ts';

const newest = uapiTable('linux-7.2');
const scripted = (s: Script): Side => ({ source: s.source(), table: newest });

/** Three threads that take turns. */
function threads(): Side {
  const s = new Script(newest);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  for (let i = 0; i < 40; i++) {
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 + i });
    s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 6, ioas_id: 2 + (i >> 1), user_va: 4096, length: 0x4000 }, { iova: 0x1_0000 * (i + 1) });
    s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: 1 + i, val64: i });
    if (i % 5 === 4) s.ioctl(3, 'IOMMU_DESTROY', { id: 1 + i }, {}, { error: i % 2 === 0 ? 0 : 16 });
  }
  s.exit();
  const frames = framesOf(s.source()).map((f) => ({ ...f, tid: f.seq < 3 ? f.pid : f.pid + (f.seq % 3) }));
  return { source: framesSource(frames.map(encodeFrame), newest.dialect), table: newest };
}

/** A harness that forks, children that fork and exec, pages and queues of their own. */
function processes(): Side {
  const s = new Script(newest, 100);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  for (let i = 0; i < 6; i++) {
    const child = 200 + i;
    s.fork(child, i % 2 === 0 ? Fork.FORK : Fork.VFORK);
    s.pid = child;
    s.start(Start.FORK, 100);
    s.open(7);
    s.ioctl(7, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    s.mmap(7, 0x7000_0000 + 0x1_0000 * i, 0x1000, 0);
    s.munmap(0x7000_0000 + 0x1_0000 * i, 0x1000);
    s.ioctl(7, 'IOMMU_DESTROY', { id: 1 });
    s.exit();
    s.pid = 100;
    s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: 1, val64: i });
  }
  s.exit();
  return scripted(s);
}

const SESSIONS: readonly (readonly [string, () => Side])[] = [
  ...['vmm-7.2.irr', 'vfio-7.2.irr', 'pci-7.2.irr', 'smmu-7.2-arm64.irr', 'selftest-viommu-7.2.irr'].map(
    (name) => [name, () => fixture(name)] as const,
  ),
  ['hw-queue-v9', () => ({ source: dialectSession('hw-queue-v9').script.source(), table: uapiTable('hw-queue-v9') })],
  ['threads', threads],
  ['processes', processes],
];

/** For the event with an index: how much later it returned. */
const laters = fc
  .array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 80 }) }), {
    minLength: 1,
    maxLength: 97,
  })
  .map(
    (drawn) =>
      (i: number): number =>
        drawn[i % drawn.length]!,
  );
const sideOf = ({ frames }: Pick<Split, 'frames'>, { table }: Side): Side => ({ source: framesSource(frames, table.dialect), table });
const near = (s: Side): NearSide => new NearSide(s.source, s.table, { sizes: { about: 8, least: 4, most: 16 }, interval: 64 });
const RUNS = { numRuns: Number(process.env.FC_RUNS ?? 3) };

/** What differs, `~ 7/8`, by both engines. */
async function different(a: Side, b: Side): Promise<{ whole: string[]; streamed: string[] }> {
  const streamed = (await compareStreams(near(a), near(b))).differences;
  const c = compared(a, b);
  const rows = [...c.how.keys()].filter((row) => c.how[row] !== How.SAME);
  return {
    whole: rows.map((row) => `${c.a[row]}/${c.b[row]}`),
    streamed: streamed.map((d) => `${d.a}/${d.b}`),
  };
}
/** The same with the numbers that the events of a had before they were split. */
const formerly = (rows: readonly string[], { was }: Split): string[] =>
  rows.map((row) => {
    const [a, b] = row.split('/');
    return `${was[Number(a)]}/${b}`;
  });

describe.each(SESSIONS)('%s', (_, session) => {
  const side = session();
  const frames = framesOf(side.source);
  // a call that was recorded in two events has them in one row
  const calls = frames.length - frames.filter((f) => f.kind === Kind.RETURN).length;

  test('whatever was stored in two events, it is the same session', async () => {
    await fc.assert(
      fc.asyncProperty(laters, laters, async (one, two) => {
        const [x, y] = [sideOf(splitCalls(frames, one), side), sideOf(splitCalls(frames, two), side)];
        expect(await different(side, x)).toEqual({ whole: [], streamed: [] });
        expect(await different(x, y)).toEqual({ whole: [], streamed: [] });
        const { eventsA, eventsB, same } = reportOf(x, y);
        expect([eventsA, eventsB, same]).toEqual([calls, calls, calls]);
      }),
      RUNS,
    );
  });

  test('what differs is the same, too', async () => {
    const failed = frames.filter((f) => f.error !== 0);
    const ioctls = frames.filter((f) => f.kind === Kind.IOCTL && f.state === State.RETURNED);
    const missing = new Set([1, 2, 3].map((n) => ioctls[Math.floor((ioctls.length * n) / 4)]));
    const edited = frames
      .filter((f) => !missing.has(f))
      .map((f) => (f === failed[failed.length >> 1] ? { ...f, error: f.error === 95 ? 22 : 95 } : f));
    const b = sideOf(
      splitCalls(edited, () => 0),
      side,
    );
    const expected = await different(side, b);
    expect(expected.whole.length).toBeGreaterThan(1);
    const report = causesText(reportOf(side, b)).map((line) => line.replace(/ \d+\/\d+ /, ' '));
    await fc.assert(
      fc.asyncProperty(laters, async (one) => {
        const x = splitCalls(frames, one);
        const found = await different(sideOf(x, side), b);
        expect({ whole: formerly(found.whole, x), streamed: formerly(found.streamed, x) }).toEqual(expected);
        expect(causesText(reportOf(sideOf(x, side), b)).map((line) => line.replace(/ \d+\/\d+ /, ' '))).toEqual(report);
      }),
      RUNS,
    );
  });
});

describe('a row of a call that was stored in two events', () => {
  const s = new Script(newest);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 6, ioas_id: 1, user_va: 4096, length: 0x4000 }, { iova: 0x1_0000 });
  s.ioctl(3, 'IOMMU_DESTROY', { id: 1 }, {}, { error: 16 });
  s.exit();
  const frames = framesOf(s.source());
  const whole = scripted(s);
  const split = splitCalls(frames, (i) => (i === 2 ? 2 : 0));

  test('has the values of both halves; its number is that of the call, and the RETURN has no other', () => {
    const c = compared(sideOf(split, whole), whole);
    expect([...c.a]).toEqual([1, 2, 3, 4, 6, 7]);
    expect([...c.b]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([c.rowOf('a', 3), c.rowOf('a', 5)]).toEqual([2, 2]);
    const fields = c.fields(2);
    expect(fields.filter((f) => f.answer).map((f) => [f.name, f.a, f.differs])).toEqual([
      ['errno', '0', false],
      ['ret', '0', false],
      ['out_ioas_id', '1', false],
    ]);
  });

  test('an answer that is another one is the difference', async () => {
    const failed = frames.map((f, i) => (i === 2 ? { ...f, error: 12, ret: -1n } : f));
    const b = sideOf(
      splitCalls(failed, (i) => (i === 2 ? 3 : 0)),
      whole,
    );
    const c = compared(sideOf(split, whole), b);
    expect(differencesOf(c)[0]).toMatch(/^~ 3\/3 errno/);
    expect((await different(sideOf(split, whole), b)).streamed).toContain('3/3');
    const [cause] = reportOf(sideOf(split, whole), b).causes;
    expect([cause?.difference.sort, cause?.difference.call]).toEqual(['errno', 'IOMMU_IOAS_ALLOC']);
    expect(cause?.a?.opinion).toEqual({ kind: 'agrees' });
  });

  test('a call that never returned has another answer than any', async () => {
    const killed = sideOf({ frames: split.frames.slice(0, 4).concat(split.frames.slice(5)) }, whole);
    const c = compared(killed, whole);
    expect(differencesOf(c)[0]).toMatch(/^~ 3\/3 .*not returned/);
    expect((await different(killed, whole)).streamed).toContain('3/3');
    expect(await different(killed, killed)).toEqual({ whole: [], streamed: [] });
  });

  test('a RETURN whose call is not there is an event of its own', async () => {
    const late = (from: Split['frames']): Side => sideOf({ frames: [from[0]!, from[1]!, ...from.slice(3)] }, whole);
    const [a, b] = [late(split.frames), late(frames.map(encodeFrame))];
    expect(compared(a, b).rows).toBe(6);
    expect((await different(a, b)).streamed).toContain('4/0');
  });
});

/** RETURNs of whatever a stranger's file says, once and again. */
test('hostile RETURNs: every other event is in one row, and nothing throws', async () => {
  const side = threads();
  const frames = framesOf(side.source).slice(0, 40);
  const hostile = fc.array(
    fc.record({ at: fc.nat(frames.length), of: fc.oneof(fc.integer({ min: -2, max: 60 }), fc.bigInt(0n, 2n ** 64n - 1n)), tid: fc.nat(5) }),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(hostile, fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), async (returns, entered) => {
      const put: Frame[] = frames.flatMap((f, i) => [
        { ...f, state: entered[i] ? State.ENTERED : f.state },
        ...returns
          .filter((r) => r.at === i)
          .map((r) => makeFrame({ kind: Kind.RETURN, pid: f.pid, tid: f.pid + r.tid, parts: [makeArgs(r.of)] })),
      ]);
      const a = sideOf({ frames: put.map((f, i) => encodeFrame({ ...f, seq: i + 1 })) }, side);
      const c = compared(a, a);
      expect(differencesOf(c)).toEqual([]);
      const shown = new Set(c.a);
      expect(shown.size).toBe(c.rows);
      for (const [i, f] of put.entries()) {
        expect(c.rowOf('a', i + 1)).toBeGreaterThanOrEqual(0);
        if (f.kind !== Kind.RETURN) expect(shown.has(i + 1)).toBe(true);
      }
      expect((await different(a, a)).streamed).toEqual([]);
      expect((await different(a, side)).streamed.length).toBeGreaterThanOrEqual(0);
      expect(reportOf(a, side).causes.length).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: Number(process.env.FC_RUNS ?? 40) },
  );
});
