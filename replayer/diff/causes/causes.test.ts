import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DialectName, uapiTable } from '../../../hw/uapi/table.ts';
import { encodeFrame, type Frame, Kind, makePart, PartKind, Start } from '../../../store/frame.ts';
import { dialectSession } from '../../dialect-sessions.ts';
import { framesSource, longs, Script } from '../../script.ts';
import type { Side } from '../compare.ts';
import { causesText, compared, fixture, framesOf, reportOf } from '../testing.ts';
import { ignoring } from './causes.ts';
import type { Cause, Report } from './report.ts';

const session = (dialect: DialectName): Side => ({ source: dialectSession(dialect).script.source(), table: uapiTable(dialect) });
const edited = (like: Side, frames: readonly Frame[]): Side => ({
  source: framesSource(
    frames.map((f, i) => encodeFrame({ ...f, seq: i + 1 })),
    like.table.dialect,
  ),
  table: like.table,
});
const linksOf = (report: Report): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { link } of report.causes.flatMap((c) => c.consequences)) counts[link.by] = (counts[link.by] ?? 0) + 1;
  return counts;
};

describe('one program on 6.12 and on 7.2', () => {
  const report = (): Report => reportOf(fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr'));

  test('the causes, each with the row that it is', () => {
    const r = report();
    expect(r.causes.map((c) => [c.difference.call, c.known])).toEqual([
      ['IOMMU_VIOMMU_ALLOC', 'ioctls'],
      ['IOMMU_IOAS_CHANGE_PROCESS', 'ioctls'],
      ['IOMMU_IOAS_MAP_FILE', 'ioctls'],
      ['IOMMU_IOAS_MAP_FILE', 'ioctls'],
      ['IOMMU_TEST_CMD MOCK_DOMAIN_FLAGS', 'selftest beside an IOMMU'],
    ]);
    expect(r.causes.length + r.causes.reduce((n, c) => n + c.consequences.length, 0)).toBe(r.differences);
    expect(linksOf(r)).toEqual({ names: 107, path: 17, state: 1 });
    expect(r.limits).toEqual([]);
  });

  test('the first one: why on both sides, and that both kernels did as their rules say', () => {
    const [first] = report().causes;
    expect(first!.a!.why!.rule).toBe('call.unknown');
    expect(first!.b!.why!.rule).toBe('viommu-alloc.flags');
    expect([first!.a!.opinion, first!.b!.opinion]).toEqual([{ kind: 'agrees' }, { kind: 'agrees' }]);
    expect(first!.fields.filter((f) => f.differs)).toEqual([{ name: 'errno', answer: true, a: '25', b: '95', differs: true }]);
  });

  test('a line for each sort of difference and call', () => {
    const r = report();
    const total = (of: 'causes' | 'consequences'): number => r.stat.reduce((n, line) => n + line[of], 0);
    expect(total('causes')).toBe(r.causes.length);
    expect(total('causes') + total('consequences')).toBe(r.differences);
    expect(r.stat[0]).toEqual({ sort: 'errno', call: 'IOMMU_IOAS_MAP_FILE', causes: 2, consequences: 0, ignored: 0 });
  });

  test('what is ignored is counted by its rule, and what follows from it with it', () => {
    const r = report();
    const rest = ignoring(r, (_, known) => known);
    expect(rest.causes).toEqual([]);
    expect(rest.differences).toBe(0);
    expect([...rest.ignored.keys()].sort()).toEqual(['ioctls', 'selftest beside an IOMMU']);
    expect([...rest.ignored.values()].reduce((n, m) => n + m)).toBe(r.differences);
    const calls = ignoring(r, (d) => (d.call === 'IOMMU_IOAS_MAP_FILE' ? 'mine' : undefined));
    expect(calls.causes.length).toBe(3);
    expect(calls.ignored.get('mine')).toBe(r.differences - calls.differences);
    // nothing is lost of a report that nothing is ignored of
    expect(ignoring(r, () => undefined)).toEqual(r);
  });

  test('too long for the rules: what is near the beginning alone, and that is said', () => {
    const near = reportOf(fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr'), { longest: 3 });
    expect(near.limits).toEqual([
      'the rules of the kernels were asked about what differs up to event 3 of the first trace only (--far asks to the end)',
      'the rules of the kernels were asked about what differs up to event 3 of the second trace only (--far asks to the end)',
    ]);
    expect(near.causes[0]!.a!.why!.rule).toBe('call.unknown');
    expect(near.causes[1]!.a!.opinion.kind).toBe('open');
    expect(near.causes[1]!.a!.why).toBeUndefined();
    const none = reportOf(fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr'), { longest: 2 });
    expect(none.limits[0]).toBe(
      'the rules of the kernels were not asked about the first trace: nothing differs up to its event 2 (--far asks all the same)',
    );
    expect(none.causes[0]!.b!.opinion.kind).toBe('open');
  });
});

describe('an answer against the rules, in what follows from something else', () => {
  const [a, b] = [fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr')];
  const frames = framesOf(b.source);
  const followers = reportOf(a, b).causes.flatMap((c) => c.consequences);
  /** Event `seq` of b has failed with an errno that no kernel gives there. */
  const against = (seq: number): Side =>
    edited(
      b,
      frames.map((f) => (f.seq === seq ? { ...f, error: 7, ret: -1n } : f)),
    );

  test('an inference: it is a cause', () => {
    const some = followers.filter((q) => q.link.may && q.difference.a === 0 && frames[q.difference.b - 1]!.error !== 0);
    expect(some.length).toBeGreaterThan(0);
    const { difference } = some[some.length >> 1]!;
    const report = reportOf(a, against(difference.b));
    const cause = report.causes.find((c) => c.difference.b === difference.b);
    expect(cause?.b?.opinion.kind).toBe('disagrees');
    expect(cause?.b?.why?.seq).toBe(difference.b);
    expect(report.causes.length).toBe(6);
  });

  test('the same question about what was made otherwise: it is a cause', () => {
    const table = uapiTable('linux-7.2');
    const session = (length: number, error: number): Side => {
      const s = new Script(table);
      s.start();
      s.open(3);
      s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
      s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 6, ioas_id: 1, user_va: 0x1000, length }, { iova: 0x10_0000 });
      s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x10_0000, length: 0x1000 }, {}, { error });
      return { source: s.source(), table };
    };
    // a part of an area cannot be unmapped
    const [mine, theirs] = [session(0x3000, 2), session(0x5000, 7)];
    expect(causesText(reportOf(mine, theirs, { most: 0 }))).toEqual([
      'question 4/4 IOMMU_IOAS_MAP (?)',
      '  names: errno 5/5 IOMMU_IOAS_UNMAP',
    ]);
    expect(causesText(reportOf(mine, theirs))).toEqual(['question 4/4 IOMMU_IOAS_MAP (?)', 'errno 5/5 IOMMU_IOAS_UNMAP (?)']);
  });

  test('so many are looked at, and it is said when there are more', () => {
    const { limits } = reportOf(a, b, { most: 3 });
    expect(limits.length).toBe(1);
    expect(limits[0]).toMatch(/^\d+ differences may follow from others: the rules .* the first 3 of them only$/);
  });
});

test('what follows, and how', () => {
  expect(causesText(reportOf(session('vcmdq-v1'), session('vcmdq-v2')))).toEqual([
    'output 5/5 IOMMU_GET_HW_INFO (CMDQV parameters query)',
    'errno 18/18 IOMMU_VCMDQ_ALLOC (order by index)',
    '  names: only-a 19/0 IOMMU_DESTROY',
    'errno 23/22 IOMMU_IOAS_UNMAP (pinning)',
    'errno 24/23 IOMMU_DESTROY (order by index)',
    '  ended: only-b 0/25 IOMMU_DESTROY',
    '  path: only-b 0/26 IOMMU_IOAS_UNMAP',
    'errno 30/31 mmap (mmap wrong offset/length)',
  ]);
});

describe('processes', () => {
  const ALLOC = 0x3b81;
  /** The parent makes an IOAS, and forks where it could; the child asks for another, and exits. */
  function family(error: number): Side {
    const table = uapiTable('linux-7.2');
    const s = new Script(table);
    const alloc = (id: number, errno = 0): number => {
      const parts = [makePart(PartKind.IN, longs(12, 0).subarray(0, 12)), makePart(PartKind.OUT, longs(12, id).subarray(0, 12))];
      return s.add({ kind: Kind.IOCTL, ...s.behind(3), request: ALLOC, error: errno, ret: errno === 0 ? 0n : -1n, parts });
    };
    s.start();
    s.open(3);
    alloc(1, error);
    if (error === 0) {
      s.fork(101);
      s.pid = 101;
      s.start(Start.FORK, 100);
      alloc(2);
      s.exit();
      s.pid = 100;
    }
    s.exit(error === 0 ? 0 : 1);
    return { source: s.source(), table };
  }

  test('a child that one side alone has follows from its fork, and an exit from what came before it', () => {
    expect(causesText(reportOf(family(0), family(95)))).toEqual([
      'errno 3/3 IOMMU_IOAS_ALLOC (?)',
      '  path: only-a 4/0 fork',
      '  process: only-a 5/0 start',
      '  path: only-a 6/0 IOMMU_IOAS_ALLOC',
      '  process: only-a 7/0 exit',
      '  process: question 8/4 exit',
    ]);
  });
});

test('a kernel that answers against its rules is told', () => {
  const a = fixture('vmm-7.2.irr');
  const frames = framesOf(a.source);
  const at = frames.findIndex((f) => f.kind === Kind.IOCTL && f.error === 0 && f.request === 0x3b81);
  const b = edited(
    a,
    frames.map((f, i) => (i === at ? { ...f, error: 95, ret: -1n } : f)),
  );
  const [cause] = reportOf(a, b).causes;
  expect(cause!.difference).toMatchObject({ sort: 'errno', call: 'IOMMU_IOAS_ALLOC' });
  expect(cause!.a!.opinion).toEqual({ kind: 'agrees' });
  expect(cause!.b!.opinion).toEqual({ kind: 'disagrees', expected: '', rule: '' });
  expect(cause!.known).toBeUndefined();
});

test('a trace that has lost events says so, also where nothing differs', () => {
  const trace = (lost: bigint, ...calls: readonly number[]): Side => {
    const table = uapiTable('linux-7.2');
    const s = new Script(table);
    s.start();
    s.add({ kind: Kind.GAP, request: 1, ret: lost });
    for (const fd of calls) s.open(fd);
    return { source: s.source(), table };
  };
  const said = (n: string): string[] =>
    ['first', 'second'].map((which) => `the ${which} trace has lost ${n}: what differs may be what is missing`);
  expect(reportOf(trace(12n), trace(12n)).limits).toEqual(said('12 events'));
  expect(reportOf(trace(1n, 3), trace(1n)).limits).toEqual(said('1 event'));
  expect(reportOf(trace(0n, 3), trace(0n)).limits).toEqual([]);
});

/** Sessions with faults: calls that failed, and calls that are missing. */
const NAMES = ['vmm-7.2.irr', 'selftest-viommu-7.2.irr', 'selftest-pasid-7.2.irr'] as const;
const loaded = new Map<string, readonly [Side, readonly Frame[]]>();
function whole(name: string): readonly [Side, readonly Frame[]] {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const side = fixture(name);
  loaded.set(name, [side, framesOf(side.source)]);
  return loaded.get(name)!;
}

test('each difference is once in a report, and behind its cause', () => {
  const faults = fc.array(
    fc.record({ at: fc.double({ min: 0, max: 0.999, noNaN: true }), drop: fc.boolean(), errno: fc.constantFrom(12, 22, 95) }),
    {
      minLength: 1,
      maxLength: 6,
    },
  );
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), faults, (name, list) => {
      const [a, frames] = whole(name);
      const ioctls = frames.flatMap((f, i) => (f.kind === Kind.IOCTL ? [i] : []));
      const chosen = new Map(list.map((f) => [ioctls[Math.floor(f.at * ioctls.length)]!, f]));
      const changed = frames.flatMap((f, i) => {
        const fault = chosen.get(i);
        return fault === undefined ? [f] : fault.drop ? [] : [{ ...f, error: fault.errno, ret: -1n }];
      });
      const b = edited(a, changed);
      const report = reportOf(a, b);
      expect(report.differences).toBe(compared(a, b).differences);
      expectWhole(report);
    }),
    { numRuns: 25, seed: 6 },
  );
});

function expectWhole(report: Report): void {
  const seen = new Set<string>();
  const key = ({ a, b }: Cause['difference']): string => `${a}/${b}`;
  for (const cause of report.causes) {
    const { difference } = cause;
    for (const d of [difference, ...cause.consequences.map((c) => c.difference)]) {
      expect(seen.has(key(d))).toBe(false);
      seen.add(key(d));
      // not before its cause, wherever one can tell
      if (d.a !== 0 && difference.a !== 0) expect(d.a).toBeGreaterThanOrEqual(difference.a);
    }
  }
  expect(seen.size).toBe(report.differences);
  expect(report.differences > 0).toBe(report.causes.length > 0);
}

test('whatever a trace says, there is a report', () => {
  const good = dialectSession('hw-queue-v4').script.frames;
  const table = uapiTable('hw-queue-v4');
  const damage = fc.array(fc.record({ frame: fc.nat(good.length - 1), at: fc.integer({ min: 12, max: 300 }), byte: fc.nat(255) }), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(damage, damage, (x, y) => {
      const damaged = (list: typeof x): Side => {
        const frames = good.map((f) => Buffer.from(f));
        for (const { frame, at, byte } of list) {
          const f = frames[frame]!;
          // lengths of frames are the store's, which looks at them before
          if (at < f.length) f[at] = byte;
        }
        return { source: framesSource(frames, table.dialect), table };
      };
      expectWhole(reportOf(damaged(x), damaged(y)));
    }),
    { numRuns: 60 },
  );
});
