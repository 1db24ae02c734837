import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callName } from '../hw/event-words.ts';
import { uapiTable } from '../hw/uapi/table.ts';
import { TraceWriter } from '../store/append.ts';
import { encodeFrame, FileKind, FrameCursor, Kind, makeArgs, makeFrame, makePart, PartKind, State } from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { and, COLUMNS, type Column, type Comparison, parseQuery, type Query } from './query.ts';
import { vocabularyOf } from './query-fields.ts';
import { compileQuery, type QueryEvent } from './query-match.ts';
import { planQuery } from './query-sql.ts';
import { Script, words } from './script.ts';
import { Timeline } from './timeline.ts';

const table = uapiTable('linux-7.2');
const folder = mkdtempSync(join(tmpdir(), 'irr-query-'));
let reader: TraceReader;

const CALLS = ['IOMMU_IOAS_MAP', 'IOMMU_DESTROY', 'VFIO_DEVICE_RESET', 'open', 'read'] as const;

/** 600 events with few values each, so that queries over them are neither empty nor full. */
function randomFrames(): { frame: Buffer; call: string; context: number; object: number }[] {
  let x = 12345;
  const pick = (n: number): number => {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    return (x >>> 8) % n;
  };
  return Array.from({ length: 600 }, (_, i) => {
    const kind = [Kind.IOCTL, Kind.IOCTL, Kind.OPEN, Kind.READ, Kind.GAP][pick(5)]!;
    const error = pick(4) === 0 ? [5, 16, 22][pick(3)]! : 0;
    const entered = pick(12) === 0;
    const tEnter = BigInt(1_000_000 + 1000 * i + pick(900));
    const map = table.byName('IOMMU_IOAS_MAP')!;
    const bytes = Buffer.alloc(map.struct!.size);
    bytes.writeUInt32LE(bytes.length, 0);
    bytes.writeUInt32LE(pick(8), map.struct!.byName.get('flags')!.offset);
    bytes.writeUInt32LE(pick(4), map.struct!.byName.get('ioas_id')!.offset);
    const frame = makeFrame({
      seq: i + 1,
      kind,
      state: entered ? State.ENTERED : State.RETURNED,
      tEnter,
      tExit: entered ? 0n : tEnter + BigInt(pick(2000)),
      pid: 100 + pick(3),
      tid: 100 + pick(5),
      fd: pick(4) - 1,
      file: pick(3),
      fileKind: kind === Kind.IOCTL ? FileKind.IOMMUFD : 0,
      request: kind === Kind.IOCTL ? map.request : 1,
      error: entered ? 0 : error,
      ret: entered ? 0n : error !== 0 ? -1n : BigInt(pick(3)) * 0x4000_0000_0000n,
      parts:
        kind === Kind.IOCTL
          ? [makePart(PartKind.IN, bytes), makePart(PartKind.OUT, bytes)]
          : kind === Kind.OPEN
            ? [makeArgs(0, pick(3), 0), makePart(PartKind.TEXT, Buffer.from(['/dev/iommu', '/dev/null'][pick(2)]!))]
            : [],
    });
    return { frame: encodeFrame(frame), call: CALLS[pick(CALLS.length)]!, context: pick(3), object: pick(4) };
  });
}

beforeAll(() => {
  const path = join(folder, 'random.irr');
  const clock = { realtimeNs: 0n, monotonicNs: 1_000_000n };
  const writer = TraceWriter.create(path, {
    v: 1,
    tool: 'test',
    kernel: '',
    machine: 'x86_64',
    cpu: '',
    command: [],
    cwd: '/',
    dialect: 'linux-7.2',
    clock,
    complete: true,
    dropped: 0,
  });
  for (const { frame, ...row } of randomFrames()) writer.append(frame, 0, row);
  writer.flush();
  writer.finish();
  writer.close();
  reader = TraceReader.open(path);
});
afterAll(() => {
  reader.close();
  rmSync(folder, { recursive: true });
});

const numbers: Record<Column, readonly bigint[]> = {
  seq: [0n, 1n, 100n, 300n, 600n, 601n],
  t: [0n, 1000n, 300_000n, 600_000n],
  took: [0n, 1n, 500n, 1500n],
  pid: [100n, 101n, 99n],
  tid: [100n, 104n],
  fd: [-1n, 0n, 2n],
  file: [0n, 2n],
  context: [0n, 1n, 2n],
  ret: [-1n, 0n, 0x4000_0000_0000n, (1n << 64n) - 1n, -(1n << 63n)],
  errno: [0n, 5n, 16n, 4000n],
  kind: [],
  call: [],
};
const comparison = fc.constantFrom<Comparison>('==', '!=', '<', '<=', '>', '>=');
const leaf: fc.Arbitrary<Query> = fc.oneof(
  fc.constantFrom(...(Object.keys(COLUMNS) as Column[]).filter((c) => c !== 'kind' && c !== 'call')).chain((column) =>
    fc.record({
      op: fc.constant('column' as const),
      column: fc.constant(column),
      comparison,
      value: fc.constantFrom(...numbers[column]),
    }),
  ),
  fc.record({
    op: fc.constant('column' as const),
    column: fc.constant('kind' as const),
    comparison: fc.constantFrom<Comparison>('==', '!='),
    value: fc.constantFrom('ioctl', 'open', 'gap', 'mmap'),
  }),
  fc.record({
    op: fc.constant('column' as const),
    column: fc.constant('call' as const),
    comparison: fc.constantFrom<Comparison>('==', '!='),
    value: fc.constantFrom(...CALLS, 'nothing'),
  }),
  fc.record({
    op: fc.constant('match' as const),
    column: fc.constant('call' as const),
    pattern: fc.constantFrom('IOMMU', 'o', '^read$', 'zzz'),
  }),
  fc.record({ op: fc.constant('flag' as const), flag: fc.constantFrom('error' as const, 'unfinished' as const) }),
  fc.record({ op: fc.constant('object' as const), subject: fc.record({ types: fc.constant([]), id: fc.constantFrom(0, 1, 2, 3) }) }),
  fc.record({
    op: fc.constant('field' as const),
    field: fc.constantFrom('ioas_id', 'flags'),
    comparison: fc.oneof(comparison, fc.constant('&' as const)),
    value: fc.constantFrom({ number: 2n }, { number: 3n }),
  }),
  fc.constant<Query>({ op: 'field', field: 'flags', comparison: '&', value: { word: 'READABLE' } }),
  fc.constant<Query>({ op: 'text', field: 'path', pattern: 'iommu' }),
  fc.constant<Query>({ op: 'all' }),
);
const query: fc.Arbitrary<Query> = fc.letrec<{ query: Query }>((tie) => ({
  query: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.record({ op: fc.constantFrom('and' as const, 'or' as const), left: tie('query'), right: tie('query') }),
    fc.record({ op: fc.constant('not' as const), inner: tie('query') }),
  ),
})).query;

const eventOf = (row: QueryEvent['row']): QueryEvent => ({ row, frame: reader.frame(row.seq)!, changes: [], before: undefined });

describe('a query', () => {
  test('means the same by index and residual as by looking at every event', () => {
    const all = reader.rows({ limit: 1000 }).map(eventOf);
    expect(all).toHaveLength(600);
    const calls = [...new Set(all.map((e) => e.row.call))];
    let [some, rows] = [0, 0];
    fc.assert(
      fc.property(query, fc.boolean(), (q, named) => {
        const naive = all.filter(compileQuery(q, table)).map((e) => e.row.seq);
        const plan = planQuery(q, named ? { calls } : {});
        const window = {
          from: plan.from,
          to: plan.to,
          limit: 1000,
          failed: plan.failed,
          ...(plan.within === undefined ? {} : { within: plan.within }),
        };
        const selected = reader.select(plan.where, plan.params, window);
        const planned = selected.map(eventOf).filter(compileQuery(plan.rest, table));
        expect(planned.map((e) => e.row.seq)).toEqual(naive);
        if (naive.length > 0 && naive.length < 600) some++;
        rows += selected.length;
      }),
      { numRuns: 400 },
    );
    // The test would prove little if most queries had no answer, or if the index never helped.
    expect(some).toBeGreaterThan(100);
    expect(rows).toBeLessThan(400 * 600);
  });

  test('an unlimited list of numbers does not meet a limit of SQLite', () => {
    let q: Query = { op: 'all' };
    const one = (n: number): Query => ({ op: 'column', column: 'pid', comparison: '!=', value: BigInt(n) });
    for (let i = 0; i < 40; i++) q = and(q, one(i));
    expect(reader.select(planQuery(q).where, planQuery(q).params, { limit: 1000 })).toHaveLength(600);
  });
});

describe('queries over what the fold knows', () => {
  const s = new Script(table, 100);
  s.open(8);
  s.ioctl(8, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.ioctl(8, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x7f0000000000n, length: 0x2000, iova: 0x1000000 });
  s.test(8, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_idev_id: 3, out_hwpt_id: 4 });
  s.ioctl(8, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 5 });
  s.ioctl(8, 'IOMMU_VIOMMU_ALLOC', { type: 0xdeadbeef, dev_id: 3, hwpt_id: 5 }, { out_viommu_id: 6 });
  s.ioctl(8, 'IOMMU_DESTROY', { id: 6 });
  s.ioctl(8, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 6 });
  s.ioctl(8, 'IOMMU_DESTROY', { id: 6 });
  s.ioctl(8, 'IOMMU_DESTROY', { id: 99 }, {}, { error: 2 });

  s.ioctl(8, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 6 });
  s.ioctl(8, 'IOMMU_VIOMMU_ALLOC', { type: 0xdeadbeef, dev_id: 3, hwpt_id: 6 }, { out_viommu_id: 7 });
  s.ioctl(8, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 7, type: 0xbeefbeef, veventq_depth: 2 }, { out_veventq_id: 8, out_veventq_fd: 9 });
  s.found(9, FileKind.VEVENTQ);
  s.read(9, words(0, 0, 0x99, 0, 1, 0x9a));
  s.ioctl(8, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 9, out_fault_fd: 10 });
  s.found(10, FileKind.FAULT);
  s.read(10, words(2, 3, 0, 7, 1, 0, 0x41000, 0, 0, 5));
  s.write(10, words(5, 1));

  /** Events that meet the query, all asked one by one. */
  function matches(text: string): number[] {
    const parsed = parseQuery(text, vocabularyOf(table));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const test = compileQuery(parsed.query, table);
    const timeline = new Timeline(s.source(), { table });
    return s.frames.flatMap((bytes, i) => {
      const cursor = new FrameCursor().at(bytes, 0);
      const frame = cursor.frame();
      const row = {
        seq: i + 1,
        t: 0,
        took: 500,
        pid: 100,
        tid: 100,
        kind: 'IOCTL',
        call: callName(cursor, table),
        fd: 8,
        file: 1,
        context: 1,
        object: 0,
        ret: frame.ret,
        errno: frame.error,
        error: null,
      };
      const event: QueryEvent = {
        row,
        frame,
        get changes() {
          return timeline.changesOf(i + 1);
        },
        get before() {
          timeline.seek(i);
          return timeline.state;
        },
      };
      return test(event) ? [i + 1] : [];
    });
  }

  test.each([
    ['created(viommu)', [6, 12]],
    ['created(object 6)', [6, 8, 11]],
    ['created(hwpt)', [4, 5, 8, 11]],
    ['destroyed(viommu 6)', [7]],
    ['destroyed(object 6)', [7, 9]],
    ['object == 6', [6, 7, 8, 9, 11, 12]],
    ['object == viommu 6', [6, 7]],
    ['object == hwpt 6', [8, 9, 11, 12]],
    ['object == viommu', [6, 7, 12, 13]],
    ['object == ioas 1', [2, 3, 4, 5, 8, 11]],
    ['object == 99', [10]],
    ['changed(ioas 1)', [2, 3]],
    ['errno == ENOENT', [10]],
    ['flags & NEST_PARENT', [5, 8, 11]],
    ['flags & FIXED_IOVA && length == 0x2000', [3]],
    ['type == SELFTEST', [6, 12, 13]],
    ['op == MOCK_DOMAIN', [4]],
    ['out_hwpt_id == 4', [4]],
    ['mock_domain.out_hwpt_id == 4', [4]],
    ['out_viommu_id != 0', [6, 12]],
    ['path ~ iommu', [1]],
    ['virt_id == 0x9a', [15]],
    ['sequence == 1', [15]],
    ['addr == 0x41000', [18]],
    ['perm & READ', [18]],
    ['cookie == 5', [18, 19]],
    ['code == INVALID', [19]],
    ['call == DESTROY && !error', [7, 9]],
  ])('%s', (text, seqs) => {
    expect(matches(text)).toEqual(seqs);
  });
});
