import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { encodeFrame, FileKind, Kind, makeArgs, makeFrame } from '../store/frame.ts';
import { sampleTrace } from './cli/sample.ts';
import { TraceModel } from './model.ts';
import { columnOfSeq, type Strip, stepOf, stripOf } from './strip.ts';

const table = uapiTable('linux-7.2');

interface Given {
  /** nanoseconds since the event before */
  readonly after: number;
  readonly what: 'call' | 'failed' | 'register';
}

function frameOf({ what }: Given, seq: number, t: number): Buffer {
  const at = { seq, pid: 1, tid: 1, tEnter: BigInt(t), tExit: BigInt(t + 1) };
  if (what === 'register') return encodeFrame(makeFrame({ ...at, kind: Kind.MMIO, parts: [makeArgs(0n, 0n, 4n)] }));
  const failed = what === 'failed' ? { error: 22, ret: -1n } : {};
  return encodeFrame(makeFrame({ ...at, ...failed, kind: Kind.CLOSE, file: 1, fileKind: FileKind.IOMMUFD, parts: [makeArgs(3n)] }));
}

/** The overview of events, worked out to its end. */
function surveyed(events: readonly Given[], width: number): { readonly strip: Strip; readonly times: readonly number[] } {
  let t = 1_000_000;
  const times = events.map((e) => {
    t += e.after;
    return t;
  });
  const path = sampleTrace(
    events.map((e, i) => frameOf(e, i + 1, times[i]!)),
    table,
  );
  const model = TraceModel.open(path);
  try {
    const work = stripOf(model, width);
    for (;;) {
      const next = work.next();
      if (next.done === true) return { strip: next.value, times };
    }
  } finally {
    model.close();
    rmSync(dirname(path), { recursive: true });
  }
}

const given: fc.Arbitrary<readonly Given[]> = fc.array(
  fc.record({
    after: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 9 }), fc.constantFrom(1000, 1_000_000_000)),
    what: fc.constantFrom('call', 'call', 'failed', 'register'),
  }),
  { minLength: 1, maxLength: 40 },
);

test('every event is in one column, which tells of it; times go from the left edge to the right one', () => {
  fc.assert(
    fc.property(given, fc.integer({ min: 1, max: 70 }), (events, width) => {
      const { strip, times } = surveyed(events, width);
      const { columns } = strip;
      expect([columns.length, strip.last]).toEqual([width, events.length]);
      const [begin, span] = [times[0]!, times.at(-1)! - times[0]!];
      let seq = 1;
      for (const [i, c] of columns.entries()) {
        if (c.events > 0) expect(c.first).toBe(seq);
        const own = events.slice(seq - 1, seq - 1 + c.events);
        expect([c.errors, c.hardware]).toEqual([own.some((e) => e.what === 'failed'), own.some((e) => e.what === 'register')]);
        for (let n = 0; n < c.events; n++, seq++) {
          expect(columnOfSeq(columns, seq)).toBe(i);
          const [since, last] = [times[seq - 1]! - begin, i === width - 1];
          // a column has the times from its bound up to the next one, the last column the end as well
          if (span > 0) expect(since * width >= i * span && (last || since * width <= (i + 1) * span)).toBe(true);
          else expect(i).toBe(Math.floor(((seq - 1) * width) / events.length));
        }
      }
      expect(seq).toBe(events.length + 1);
    }),
    { numRuns: 50 },
  );
});

test('a step goes to the next column with events, in the end to the last; back again is where one was', () => {
  fc.assert(
    fc.property(given, fc.integer({ min: 1, max: 70 }), fc.nat(39), fc.integer({ min: -5, max: 5 }), (events, width, at, by) => {
      const { columns } = surveyed(events, width).strip;
      const seq = 1 + (at % events.length);
      const firsts = columns.filter((c) => c.events > 0).map((c) => c.first);
      const here = firsts.findLastIndex((f) => f <= seq);
      const to = stepOf(columns, seq, by)!;
      const moved = firsts.indexOf(to) - here;
      expect(moved).toBe(by >= 0 ? Math.min(by, firsts.length - 1 - here) : Math.max(by, 0 - here));
      expect(stepOf(columns, to, -moved)).toBe(firsts[here]);
    }),
    { numRuns: 40 },
  );
});

test('without events, or without room, there are no columns', () => {
  expect(surveyed([], 20).strip).toEqual({ columns: [], last: 0 });
  expect(surveyed([{ after: 0, what: 'call' }], 0).strip).toEqual({ columns: [], last: 1 });
  expect(stepOf([], 1, 1)).toBeUndefined();
});

test('one event stands at the left edge', () => {
  expect(surveyed([{ after: 5, what: 'failed' }], 3).strip.columns).toMatchObject([
    { first: 1, events: 1, errors: true },
    { first: 1, events: 0, errors: false },
    { first: 1, events: 0, errors: false },
  ]);
});
