import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { callName } from '../hw/event-words.ts';
import { simulate } from '../recorder/simulate.ts';
import { parseQuery } from '../replayer/query.ts';
import { vocabularyOf } from '../replayer/query-fields.ts';
import { compileQuery } from '../replayer/query-match.ts';
import { Timeline } from '../replayer/timeline.ts';
import { walk, wantedBy } from './journey.ts';
import { TraceModel } from './model.ts';
import { longSession, type TestModel, testModel } from './testing.ts';
import { type Aim, type Along, type Arrival, type Trip, trip } from './trips.ts';

const sample = testModel();
const big = testModel(longSession(3000));
const folder = mkdtempSync(join(tmpdir(), 'irr-journey-'));
const scenario = readFileSync(join(import.meta.dirname, '../fixtures/scenarios/error.scn'), 'utf8');
simulate(scenario, { dialect: 'linux-7.2', output: join(folder, 'error.irr'), name: 'error', tool: 'test' });
const queues = TraceModel.open(join(folder, 'error.irr'));
const recorded = TraceModel.open(join(import.meta.dirname, '../fixtures/traces/vmm-7.2.irr'));
afterAll(() => {
  queues.close();
  recorded.close();
  rmSync(folder, { recursive: true });
  for (const { dispose } of [sample, big] satisfies TestModel[]) dispose();
});

/** Goes a trip to its end. */
function go(model: TraceModel, from: number, aim: Aim, direction: 1 | -1 = 1, times = 1): Arrival {
  const job: Trip = { kind: 'travel', id: 1, direction, times, from, aim };
  const way = trip(model, job, () => times);
  for (;;) {
    const next = way.next();
    if (next.done === true) return next.value;
    expect(next.value).toBeGreaterThanOrEqual(0);
    expect(next.value).toBeLessThanOrEqual(1);
  }
}
const along = (model: TraceModel, from: number, what: Along, direction: 1 | -1 = 1, key?: string): number | undefined =>
  go(model, from, { to: 'along', along: what, key, follow: undefined }, direction).seq;
const run = (model: TraceModel, from: number, text: string, direction: 1 | -1 = 1, times = 1): Arrival =>
  go(model, from, { to: 'watch', watches: [{ id: 2, text }] }, direction, times);

/** Events that meet a condition, each looked at by itself with the state of another timeline. */
function meeting(model: TraceModel, text: string): number[] {
  const parsed = parseQuery(text, vocabularyOf(model.table));
  if (!parsed.ok) throw new Error(parsed.error.message);
  const matches = compileQuery(parsed.query, model.table, { entered: (seq) => model.reader.frame(seq) });
  const timeline = new Timeline(model.reader, { table: model.table });
  const found: number[] = [];
  for (let seq = 1; seq <= model.last; seq++) {
    const row = model.reader.rows({ from: seq, to: seq })[0]!;
    const changes = timeline.changesOf(seq);
    timeline.seek(seq - 1);
    if (matches({ row, frame: model.reader.frame(seq)!, changes, before: timeline.state })) found.push(seq);
  }
  return found;
}
const beyond = (all: readonly number[], from: number, direction: 1 | -1): number[] =>
  direction === 1 ? all.filter((s) => s > from) : all.filter((s) => s < from).reverse();

const CONDITIONS = [
  'errno == EBUSY',
  'errno != 0 && call ~ QUEUE',
  'object == 6',
  'object == ioas 1',
  'created(hw_queue)',
  'destroyed()',
  'changed(ioas 1)',
  'call == IOMMU_DESTROY && destroyed()',
  'viommu_id == 6',
  '!(kind == ioctl)',
  'created(access)',
];

describe('a run to a condition', () => {
  test.each(CONDITIONS)('%s: where a look at every event finds it, from everywhere and both ways', (text) => {
    const { model } = sample;
    const all = meeting(model, text);
    for (let from = 1; from <= model.last; from++) {
      for (const direction of [1, -1] as const)
        expect(run(model, from, text, direction).seq, `${from} ${direction}`).toBe(beyond(all, from, direction)[0]);
    }
  });

  test('in a longer log, so many times', () => {
    const { model } = big;
    const text = 'destroyed(ioas)';
    const all = meeting(model, text);
    expect(all.length).toBeGreaterThan(10);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: model.last }),
        fc.constantFrom(1 as const, -1 as const),
        fc.integer({ min: 1, max: 30 }),
        (from, direction, times) => {
          const hits = beyond(all, from, direction);
          expect(run(model, from, text, direction, times).seq).toBe(hits[Math.min(times, hits.length) - 1]);
        },
      ),
      { numRuns: 40 },
    );
  });

  test.each(['LVCMDQ1.GERROR != 0', 'CONS_INDX.ERR != 0', 'reg == PROD_INDX'])('%s: over the registers of a CMDQV', (text) => {
    const all = meeting(queues, text);
    expect(all.length).toBeGreaterThan(2);
    for (let from = 1; from <= queues.last; from += 3) {
      for (const direction of [1, -1] as const)
        expect(run(queues, from, text, direction).seq, `${from} ${direction}`).toBe(beyond(all, from, direction)[0]);
    }
  });

  test('gives time back, and says how far it is', () => {
    const parsed = parseQuery('created(vdevice)', vocabularyOf(big.model.table));
    if (!parsed.ok) throw new Error('no query');
    for (const [from, direction] of [
      [1, 1],
      [big.model.last, -1],
    ] as const) {
      const now = performance.now;
      // every look at the clock is past the time of a slice
      let time = 0;
      performance.now = () => (time += 10);
      try {
        const way = walk(big.model, wantedBy(big.model, parsed.query), from, direction, () => 1);
        const said: number[] = [];
        for (let next = way.next(); ; next = way.next()) {
          if (next.done === true) {
            expect(next.value).toBeUndefined();
            break;
          }
          said.push(next.value);
        }
        expect(said.length).toBeGreaterThan(20);
        expect(Math.max(...said)).toBeGreaterThan(0.8);
        expect(said.every((p) => p >= 0 && p <= 1)).toBe(true);
      } finally {
        performance.now = now;
      }
    }
  });

  test('says which watch has stopped it, and where; or that none does', () => {
    const watches = [
      { id: 1, text: 'errno == ENOENT' },
      { id: 3, text: 'created(hw_queue)' },
    ];
    expect(go(sample.model, 1, { to: 'watch', watches })).toEqual({
      seq: 11,
      say: 'stopped at 11 by watch 3: created(hw_queue)',
      error: false,
    });
    expect(run(sample.model, 1, 'errno == ENOMEM').say).toBe('watch 2: errno == ENOMEM: never again after event 1');
    expect(run(sample.model, 9, 'errno == EIO', -1)).toMatchObject({ say: 'watch 2: errno == EIO: never before event 9', error: true });
  });

  test('a mistake is one line, with its place', () => {
    expect(run(sample.model, 1, 'errno == EBUZY').say).toBe('errno == EBUZY at "EBUZY" (column 10): no errno is called "EBUZY"');
    expect(run(sample.model, 1, 'errno == ').say).toContain('at its end: ');
    expect(run(sample.model, 1, '\x1b[31m == 1').say).not.toMatch(/[\x00-\x1f]/);
  });
});

describe('along', () => {
  const SIDES = [1, -1] as const;
  const each = (what: Along, same: (a: number, b: number) => boolean): void => {
    const { model } = sample;
    const all = Array.from({ length: model.last }, (_, i) => i + 1);
    for (const from of all)
      for (const side of SIDES)
        expect(along(model, from, what, side)).toBe(
          beyond(
            all.filter((s) => same(s, from)),
            from,
            side,
          )[0],
        );
  };
  const event = (seq: number) => sample.model.event(seq)!;
  test('a thread, a process, a call', () => {
    each('thread', (a, b) => event(a).tid === event(b).tid);
    each('process', (a, b) => event(a).pid === event(b).pid);
    each('call', (a, b) => callName(event(a), sample.model.table) === callName(event(b), sample.model.table));
  });

  /** Goes along an object to both ends of its life. */
  function life(model: TraceModel, from: number, key?: string): number[] {
    const seen = [from];
    for (const side of SIDES) {
      let follow: Arrival['follow'];
      for (let at = from; ; ) {
        const next = go(model, at, { to: 'along', along: 'object', key: follow === undefined ? key : undefined, follow }, side);
        if (next.seq === undefined) break;
        seen.push(next.seq);
        [at, follow] = [next.seq, next.follow];
      }
    }
    return seen.sort((a, b) => a - b);
  }
  test('an object: all that names it, from wherever one begins', () => {
    const { model } = sample;
    const viommu = meeting(model, 'object == 6');
    expect(viommu).toEqual([8, 10, 11, 12, 14]);
    expect(life(model, 8)).toEqual(viommu);
    model.approach(20, Number.POSITIVE_INFINITY);
    const uid = model.graph.nodes.find((n) => n.label === 'VIOMMU 6')!.key;
    // chosen in the pane at another event
    expect(life(model, 20, uid)).toEqual([...viommu, 20].sort((a, b) => a - b));
  });

  test('an object ends with its destruction, and begins with its creation', () => {
    const { model } = big;
    const destroyed = meeting(model, 'destroyed(ioas 2)')[0]!;
    const created = meeting(model, 'created(ioas 2)')[0]!;
    const own = life(model, created + 3);
    expect([own[0], own.at(-1)]).toEqual([created, destroyed]);
    expect(own).toEqual(meeting(model, 'object == 2'));
    const after = go(model, destroyed, { to: 'along', along: 'object', key: undefined, follow: undefined });
    expect(after).toMatchObject({ say: `no later event of IOAS 2: it ended at ${destroyed}`, error: true });
  });

  test('a register: its accesses and readings, both ways', () => {
    const error = meeting(queues, 'kind == mmio && reg == LVCMDQ1.GERROR')[0]!;
    const all = meeting(queues, 'reg == VINTF1.LVCMDQ1.GERROR && kind != ioctl');
    expect(all).toContain(error);
    for (const side of SIDES) expect(along(queues, error, 'register', side)).toBe(beyond(all, error, side)[0]);
    // of a reading: whatever is of the same queue
    const reading = meeting(queues, 'kind == queue && reg == LVCMDQ1.GERROR')[0]!;
    expect(along(queues, reading, 'register')).toBe(beyond(meeting(queues, 'reg == VINTF1.LVCMDQ1 && kind != ioctl'), reading, 1)[0]);
  });

  test('an object in a recording, whose index names objects: as the look at every event has it', () => {
    recorded.approach(94, Number.POSITIVE_INFINITY);
    const viommu = recorded.graph.nodes.find((n) => n.label === 'VIOMMU 5')!;
    const own = meeting(recorded, 'object == 5');
    const [born, end] = [meeting(recorded, 'created(viommu 5)')[0]!, meeting(recorded, 'destroyed(viommu 5)')[0]!];
    const inLife = own.filter((s) => s >= born && s <= end);
    expect(life(recorded, 94, viommu.key).filter((s) => s !== 94)).toEqual(inLife.filter((s) => s !== 94));
    expect(go(recorded, 94, { to: 'death', key: viommu.key }).seq).toBe(end);
    expect(go(recorded, 94, { to: 'birth', key: viommu.key }).seq).toBe(born);
  });

  test('what there is nothing of is said', () => {
    expect(go(sample.model, 3, { to: 'along', along: 'register', key: undefined, follow: undefined }).say).toBe(
      'event 3 is no access of a register that is known',
    );
    expect(go(sample.model, 1, { to: 'along', along: 'object', key: undefined, follow: undefined }).say).toContain('choose one in Objects');
    expect(go(sample.model, 3, { to: 'along', along: 'object', key: 'p4711', follow: undefined }).say).toContain('no object');
  });
});

describe('the ends of an object', () => {
  test('its creation and its destruction', () => {
    const { model } = big;
    const destroyed = meeting(model, 'destroyed(ioas 5)')[0]!;
    const created = meeting(model, 'created(ioas 5)')[0]!;
    for (const from of [created, created + 5, destroyed]) {
      expect(go(model, from, { to: 'birth', key: undefined })).toEqual({ seq: created, say: `IOAS 5 begins at ${created}`, error: false });
      expect(go(model, from, { to: 'death', key: undefined })).toEqual({
        seq: destroyed,
        say: `IOAS 5 ends at ${destroyed}`,
        error: false,
      });
    }
  });

  test('what no call destroys ends with its context; what stays is said to', () => {
    const { model } = sample;
    const end = meeting(model, 'destroyed(viommu 6)')[0]!;
    expect(go(model, 8, { to: 'death', key: undefined })).toMatchObject({ seq: end });
    const seq = meeting(big.model, 'created(ioas 1)')[0]!;
    expect(go(big.model, seq, { to: 'death', key: undefined })).toMatchObject({
      say: 'IOAS 1 is still there at the end of the log',
      error: true,
    });
  });
});
