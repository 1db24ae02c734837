import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UapiTable } from '../../hw/uapi/table.ts';
import { FrameCursor, Kind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { check } from '../check.ts';
import { foldInto, tableOf } from '../fold.ts';
import type { Lint } from '../lints.ts';
import { framesSource, Script } from '../script.ts';
import { emptyState } from '../state.ts';
import { plots, session, TESTED_TABLE } from '../testing.ts';
import type { TimelineSource } from '../timeline.ts';
import { comparable } from './same-state.ts';
import { numbering, planSlice, type Slice, sliceEvents } from './slice.ts';

/** A slice, after it was held against the session. */
function checked(source: TimelineSource, table: UapiTable, from: number, to: number): Slice {
  const slice = planSlice(source, table, from, to);
  const events = [...sliceEvents(source, slice)];
  const { prologue } = slice;
  expect(events.map((e) => e.was)).toEqual([...prologue, ...Array.from({ length: to - from + 1 }, (_, i) => from + i)]);
  // all of them are events of the session, but for their numbers
  const originals = new Map<number, Buffer>();
  for (const b of source.scan())
    for (let i = 0; i < b.count; i++) originals.set(b.first + i, Buffer.from(b.buffer.subarray(b.offsets[i]!, b.offsets[i + 1]!)));
  const cursor = new FrameCursor();
  for (const { frame, was } of events) {
    const isReturn = cursor.at(frame, 0).kind === Kind.RETURN;
    const original = originals.get(was)!;
    expect(frame.length).toBe(original.length);
    if (!isReturn) expect(frame.subarray(8).equals(original.subarray(8))).toBe(true);
  }
  const again = framesSource(
    events.map((e) => e.frame),
    table.dialect,
  );
  const now = numbering(slice);
  for (const [whole, part] of [
    [from - 1, prologue.length],
    [to, events.length],
  ] as const) {
    const expected = comparable(foldInto(emptyState(), source, table, { to: whole }), now);
    expect(comparable(foldInto(emptyState(), again, table, { to: part }), (seq) => seq)).toEqual(expected);
  }
  return slice;
}

const traces = join(import.meta.dirname, '../../fixtures/traces');
const fixtures = readdirSync(traces).filter((name) => name.endsWith('.irr'));
const RUNS = Number(process.env.FC_RUNS ?? 8);
/** Of queues that are left when the log ends, which is earlier in a slice. */
const AT_THE_END = new Set(['queue-stuck', 'queue-unrecovered']);

describe('a slice', () => {
  test.each(fixtures)('of %s', (name) => {
    const reader = TraceReader.open(join(traces, name));
    const { last } = reader;
    for (const [a, b] of [
      [0.5, 0.8],
      [0.3, 0.31],
      [0.9, 1],
      [0, 0.4],
    ] as const) {
      const from = Math.max(1, Math.floor(a * last));
      const slice = checked(reader, tableOf(reader.meta), from, Math.max(from, Math.floor(b * last)));
      expect(slice.how).toBe('needed');
      if (a === 0.9) expect(slice.prologue.length).toBeLessThan(0.7 * from);
    }
    reader.close();
  });

  test('has the lints of its events, and what they rest on', () => {
    const s = new Script(TESTED_TABLE, 100);
    s.start();
    s.open(3);
    for (let id = 1; id <= 9; id++) s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: id });
    for (let id = 1; id <= 8; id++) s.ioctl(3, 'IOMMU_DESTROY', { id });
    const first = s.ioctl(3, 'IOMMU_DESTROY', { id: 4 }, {}, { error: 2 });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 77 }, {}, { error: 2 });
    const slice = checked(s.source(5), TESTED_TABLE, first, s.seq);
    // made and destroyed: 4, made: 9
    expect([slice.how, slice.prologue.length]).toEqual(['needed', 5]);
    const [event] = [...sliceEvents(s.source(), slice)].slice(-2);
    const frames = [...sliceEvents(s.source(), slice)].map((e) => e.frame);
    const report = check(framesSource(frames, TESTED_TABLE.dialect), TESTED_TABLE);
    expect(report.lints.map((l) => [l.seq, l.rule])).toEqual([[6, 'double-destroy']]);
    expect(event!.was).toBe(first);
  });

  test.each(fixtures)('of %s, anywhere: check finds the same lints in its events', (name) => {
    const reader = TraceReader.open(join(traces, name));
    const table = tableOf(reader.meta);
    const { last } = reader;
    const of = (source: TimelineSource): readonly Lint[] => check(source, table).lints;
    const all = of(reader);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: last }), fc.integer({ min: 1, max: last }), (a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const slice = checked(reader, table, from, to);
        const now = numbering(slice);
        const frames = [...sliceEvents(reader, slice)].map((e) => e.frame);
        const wanted = all.filter((l) => l.seq >= from && l.seq <= to && !AT_THE_END.has(l.rule)).map((l) => `${now(l.seq)} ${l.rule}`);
        const found = of(framesSource(frames, table.dialect));
        const told = found.filter((l) => l.seq > slice.prologue.length && !AT_THE_END.has(l.rule)).map((l) => `${l.seq} ${l.rule}`);
        expect(told).toEqual(wanted);
      }),
      { numRuns: RUNS },
    );
    reader.close();
  });

  test('of any session, anywhere', () => {
    const ways = new Map<string, number>();
    let [left, all] = [0, 0];
    fc.assert(
      fc.property(plots, fc.nat(9999), fc.nat(9999), (plot, a, b) => {
        const s = session(plot);
        fc.pre(s.seq > 0);
        // spread evenly, for small numbers are drawn more often
        const at = (x: number): number => 1 + Math.floor((((x * 7919) % 10_000) / 10_000) * (s.seq - 1));
        const [from, to] = [Math.min(at(a), at(b)), Math.max(at(a), at(b))];
        const slice = checked(s.source(7), TESTED_TABLE, from, to);
        ways.set(slice.how, (ways.get(slice.how) ?? 0) + 1);
        left += from - 1 - slice.prologue.length;
        all += from - 1;
      }),
      { numRuns: 120 },
    );
    expect(ways.get('needed') ?? 0).toBeGreaterThan(80);
    expect(left).toBeGreaterThan(0.1 * all);
  }, 60_000);
});
