import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { encodeFrame, type Frame, Kind, makeArgs, makeFrame, makePart, PartKind, State } from '../store/frame.ts';
import { framesOf, splitCalls } from './diff/testing.ts';
import type { FrameSource } from './fold.ts';
import { framesSource, Script } from './script.ts';
import { eventsIn, wholeCalls } from './whole-calls.ts';

const table = uapiTable('linux-7.2');

function session(): readonly Frame[] {
  const s = new Script(table);
  s.start();
  s.open(3);
  for (let i = 1; i < 20; i++) {
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: i });
    s.ioctl(3, 'IOMMU_DESTROY', { id: i }, {}, { error: i % 3 === 0 ? 16 : 0 });
    s.read(3, Buffer.from([i, 2, 3]));
    s.write(3, Buffer.from([i, 2, 3]));
    s.mmap(3, 0x7000_0000, 0x1000, 0);
  }
  s.exit();
  return framesOf(s.source());
}
const frames = session();
const sourceOf = (some: readonly Buffer[], page?: number): FrameSource => framesSource(some, table.dialect, page);
const entered = (seq: number, parts: Frame['parts'] = []): Buffer =>
  encodeFrame(makeFrame({ kind: Kind.IOCTL, state: State.ENTERED, seq, parts }));
const back = (seq: number, of: number | bigint, ret: number, parts: Frame['parts'] = []): Buffer =>
  encodeFrame(makeFrame({ kind: Kind.RETURN, seq, ret: BigInt(ret), tExit: 5n, parts: [makeArgs(of), ...parts] }));

describe('calls that were stored before they returned', () => {
  test('are what they would have been; wherever one begins to read', () => {
    const laters = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(laters, fc.integer({ min: 1, max: 50 }), fc.nat(200), fc.nat(200), (drawn, page, x, y) => {
        const split = splitCalls(frames, (i) => drawn[i % drawn.length]!);
        const whole = wholeCalls(sourceOf(split.frames, page));
        const [from, to] = [1 + Math.min(x, y), 1 + Math.max(x, y)];
        const found: Frame[] = [];
        let next = from;
        for (const batch of whole.scan(from, to)) {
          expect(batch.first).toBe(next);
          next += batch.count;
          if (batch.taken === true) expect(split.was[batch.first]).toBe(0);
          else for (let i = 0; i < batch.count; i++) found.push(whole.frame(batch.first + i)!);
        }
        expect(next).toBe(Math.max(from, Math.min(to, split.frames.length) + 1));
        const wanted = split.was.slice(from, to + 1).filter((seq) => seq !== 0);
        expect(found.map((f) => ({ ...f, seq: split.was[f.seq] }))).toEqual(wanted.map((seq) => frames[seq - 1]));
        expect(eventsIn(whole)).toBe(frames.length);
        split.was.forEach((was, seq) => {
          if (seq > 0) expect(whole.callOf(seq) === 0).toBe(was !== 0);
          if (whole.callOf(seq) !== 0) expect(whole.returnOf(whole.callOf(seq))).toBe(seq);
        });
      }),
      { numRuns: Number(process.env.FC_RUNS ?? 50) },
    );
  });

  test('the first RETURN is the answer; others, and those of no such call, are events', () => {
    const whole = wholeCalls(
      sourceOf([
        back(1, 2, 0),
        entered(2),
        back(3, 2, 7),
        back(4, 2, 8),
        back(5, 99, 0),
        back(6, 6, 0),
        back(7, 2n ** 64n - 1n, 0),
        back(8, 3, 0),
      ]),
    );
    expect(Array.from({ length: 8 }, (_, i) => whole.callOf(i + 1))).toEqual([0, 0, 2, 0, 0, 0, 0, 0]);
    expect(whole.frame(2)).toMatchObject({ kind: Kind.IOCTL, state: State.RETURNED, ret: 7n, tExit: 5n });
    expect(whole.frame(3)).toBeUndefined();
    expect(whole.frame(4)).toMatchObject({ kind: Kind.RETURN, ret: 8n });
    expect(eventsIn(whole)).toBe(7);
  });

  test('what was torn off when it was stored is there once, as it came back', () => {
    const out = (byte: number) => makePart(PartKind.OUT, Buffer.alloc(8, byte));
    const input = makePart(PartKind.IN, Buffer.alloc(8, 1));
    const whole = wholeCalls(sourceOf([entered(1, [input, out(0)]), back(2, 1, 0, [out(9)])]));
    expect(whole.frame(1)!.parts).toEqual([input, out(9)]);
  });

  test('of a log that grows: an answer that comes later is found', () => {
    const all = [entered(1), entered(2), back(3, 1, 4), back(4, 2, 5)];
    const log = { last: 3, scan: (from = 1, to = 4) => sourceOf(all.slice(0, log.last)).scan(from, to) };
    const whole = wholeCalls(log);
    expect([whole.returnOf(1), whole.returnOf(2)]).toEqual([3, 0]);
    log.last = 4;
    expect([whole.returnOf(1), whole.returnOf(2)]).toEqual([3, 4]);
    expect(wholeCalls(log)).toBe(whole);
    expect(wholeCalls(whole)).toBe(whole);
  });
});
