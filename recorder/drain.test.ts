import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Gap, Kind, makeArgs, makePart, PartFlag, PartKind, State } from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { LAYOUT } from './spool-layout.ts';
import { type Call, eventsOf, openDrain, SpoolMaker, spilledPart } from './testing.ts';

let folder = '';
let maker: SpoolMaker;
beforeEach(() => {
  folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'irr-drain-'));
  maker = new SpoolMaker(join(folder, 'spool'));
});
afterEach(() => {
  maker.close();
  rmSync(folder, { recursive: true });
});
const trace = (name = 'x.irr'): string => join(folder, name);
const open = (name = 'x.irr') => openDrain(maker.path, trace(name));
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const input = (n: number, bytes = 16): Buffer => Buffer.alloc(bytes, n);
const ioctl = (n: number, more: Partial<Call> = {}): Call => ({
  kind: Kind.IOCTL,
  request: 0x3b80 + (n % 16),
  pid: 7,
  tid: 7,
  fd: 3,
  tEnter: BigInt(100 + n),
  tExit: BigInt(200 + n),
  parts: [makePart(PartKind.IN, input(n)), makePart(PartKind.OUT, input(n))],
  ...more,
});

/** Takes everything and gives the events. */
function all(name = 'x.irr'): ReturnType<typeof eventsOf> {
  const { spool, writer, drain } = open(name);
  drain.step(true);
  writer.finish();
  spool.close();
  return eventsOf(trace(name));
}

describe('frames that are whole', () => {
  test('go over in order, as they were', () => {
    const calls = Array.from({ length: 50 }, (_, n) => ioctl(n, { parts: [makePart(PartKind.IN, input(n, n * 3))] }));
    for (const c of calls) maker.call(c);
    const events = all();
    expect(events.map((e) => e.seq)).toEqual(calls.map((_, i) => i + 1));
    expect(events.map((e) => [e.request, e.tEnter, e.tExit, e.state])).toEqual(
      calls.map((c) => [c.request, c.tEnter, c.tExit, State.RETURNED]),
    );
    events.forEach((e, n) => {
      expect(Buffer.from(e.parts[0]!.bytes)).toEqual(input(n, n * 3));
      expect(e.parts).toHaveLength(1);
    });
  });

  test('over the ends of segments, through slots that are given back and used again', () => {
    const { spool, writer, drain } = open();
    const size = 18_000;
    let n = 0;
    const slots = new Set<number>();
    // the recorder keeps up
    while (maker.tail < 24 * LAYOUT.segment) {
      for (let i = 0; i < 40; i++, n++) slots.add(maker.place(maker.call(ioctl(n, { parts: [makePart(PartKind.IN, input(n, size))] }))));
      drain.step(false);
      drain.step(true); // commits, and gives back
    }
    writer.finish();
    expect(spool.size).toBeLessThanOrEqual(LAYOUT.data + 20 * LAYOUT.segment);
    spool.close();
    const events = eventsOf(trace());
    expect(events.map((e) => e.tEnter)).toEqual(Array.from({ length: n }, (_, i) => BigInt(100 + i)));
    expect(events.every((e, i) => Buffer.from(e.parts[0]!.bytes).equals(input(i, size)))).toBe(true);
  });

  test('nothing that a slot held before is taken for a frame', () => {
    const { spool, writer, drain } = open();
    while (maker.tail < LAYOUT.segment + 4096) maker.call(ioctl(1));
    drain.step(true);
    const before = writer.last;
    // the slot of segment 0 comes again, full of its old frames
    maker.tail = 4 * LAYOUT.segment;
    maker.call(ioctl(2));
    maker.reserve(LAYOUT.segment - 4096);
    drain.step(true);
    writer.finish();
    spool.close();
    const events = eventsOf(trace()).slice(before);
    expect(events.filter((e) => e.kind === Kind.IOCTL).map((e) => e.tEnter)).toEqual([102n]);
  });
});

describe('calls that take long', () => {
  test('are stored as entered, and their return when it comes, in one order', async () => {
    const { spool, writer, drain } = open();
    const at = maker.enter(ioctl(1, { parts: [makePart(PartKind.IN, input(1))] }), 64);
    maker.call(ioctl(2));
    drain.step(false);
    expect(writer.last).toBe(0);
    await sleep(40);
    drain.step(false);
    expect(writer.last).toBe(2);
    maker.leave(at, ioctl(1), 0);
    drain.step(false);
    drain.step(true);
    writer.finish();
    spool.close();
    const events = eventsOf(trace());
    expect(events.map((e) => [e.kind, e.state, e.tEnter])).toEqual([
      [Kind.IOCTL, State.ENTERED, 101n],
      [Kind.IOCTL, State.RETURNED, 102n],
      [Kind.RETURN, State.RETURNED, 101n],
    ]);
    expect(events[2]!.parts.map((p) => p.kind)).toEqual([PartKind.ARGS, PartKind.OUT]);
    expect(Buffer.from(events[2]!.parts[0]!.bytes).readBigUInt64LE()).toBe(1n);
    expect(events[2]!.tExit).toBe(201n);
  });

  test('have returned before their thread makes another call', async () => {
    const { spool, writer, drain } = open();
    const at = maker.enter(ioctl(1, { tid: 7 }), 64);
    drain.step(false);
    await sleep(40);
    drain.step(false);
    expect(writer.last).toBe(1);
    maker.leave(at, ioctl(1, { tid: 7 }), 0);
    maker.call(ioctl(2, { tid: 7 }));
    drain.step(false);
    drain.step(true);
    writer.finish();
    spool.close();
    expect(eventsOf(trace()).map((e) => [e.kind, e.tEnter])).toEqual([
      [Kind.IOCTL, 101n],
      [Kind.RETURN, 101n],
      [Kind.IOCTL, 102n],
    ]);
  });

  test('never returned: entered is all there is', () => {
    maker.enter(ioctl(1));
    maker.call(ioctl(2));
    expect(all().map((e) => e.state)).toEqual([State.ENTERED, State.RETURNED]);
  });

  test('hold their own segment, not those behind it', async () => {
    const { spool, writer, drain } = open();
    maker.enter(ioctl(0));
    for (let round = 0; round < 20; round++) {
      for (const until = maker.tail + LAYOUT.segment; maker.tail < until; )
        maker.call(ioctl(1, { parts: [makePart(PartKind.IN, input(1, 30_000))] }));
      if (round === 0) await sleep(40);
      drain.step(false);
      drain.step(true);
    }
    writer.close();
    expect(spool.size).toBeLessThanOrEqual(LAYOUT.data + 20 * LAYOUT.segment);
    spool.close();
  });
});

describe('spilled parts', () => {
  const data = (n: number): Buffer => Buffer.from(Array.from({ length: n }, (_, i) => (i * 7 + (i >> 8)) & 0xff));

  test('are put together, over segments, between the events of others', () => {
    const big = data(1_500_000);
    const frame: Call = ioctl(1, { parts: [makePart(PartKind.IN, input(1)), spilledPart(PartKind.NESTED_IN, big.length)] });
    const at = maker.reserve(64 + 2 * 24 + 16 + 8);
    maker.spill(at, 1, big.subarray(0, 700_000));
    maker.call(ioctl(2));
    maker.spill(at, 1, big.subarray(700_000));
    maker.leave(at, frame);
    const events = all();
    expect(events.map((e) => e.tEnter)).toEqual([101n, 102n]);
    expect(Buffer.from(events[0]!.parts[1]!.bytes).equals(big)).toBe(true);
    expect(events[0]!.parts[1]).toMatchObject({ kind: PartKind.NESTED_IN, flags: 0, wanted: BigInt(big.length) });
  });

  test('of which pieces are missing say so', () => {
    const at = maker.reserve(64 + 24 + 8);
    maker.spill(at, 0, data(1000));
    maker.leave(at, ioctl(1, { parts: [spilledPart(PartKind.OUT, 5000)] }));
    const [part] = all()[0]!.parts;
    expect(part).toMatchObject({ kind: PartKind.OUT, flags: PartFlag.TRUNCATED, wanted: 5000n });
    expect(part!.bytes).toHaveLength(1000);
  });

  test('that claim more than any frame may have do not stop the recording', () => {
    const at = maker.reserve(64 + 24 + 8);
    maker.spill(at, 0, Buffer.alloc(66 << 20));
    maker.leave(at, ioctl(1, { parts: [spilledPart(PartKind.OUT, Number.MAX_SAFE_INTEGER)] }));
    maker.call(ioctl(2));
    const events = all();
    expect(events.map((e) => e.tEnter)).toEqual([101n, 102n]);
    expect(events[0]!.parts[0]!.flags).toBe(PartFlag.TRUNCATED);
  });
});

describe('holes', () => {
  const holeGaps = (events: ReturnType<typeof eventsOf>) => events.filter((e) => e.kind === Kind.GAP && e.request === Gap.HOLE);

  test('at the end of a recording are told and crossed', () => {
    maker.call(ioctl(1));
    maker.reserve(200);
    maker.call(ioctl(2));
    maker.reserve(64);
    const events = all();
    expect(events.map((e) => e.kind)).toEqual([Kind.IOCTL, Kind.GAP, Kind.IOCTL, Kind.GAP]);
    expect(holeGaps(events)).toHaveLength(2);
  });

  test('do not hold a recording up; what comes late is not lost', async () => {
    const { spool, writer, drain } = open();
    maker.call(ioctl(1));
    const late = maker.reserve(192);
    maker.call(ioctl(2));
    const dead = maker.reserve(64);
    maker.call(ioctl(3));
    drain.step(false);
    expect(writer.last).toBe(1);
    await sleep(230);
    drain.step(false);
    await sleep(230);
    drain.step(false);
    expect(writer.last).toBe(5); // 1, hole, 2, hole, 3
    maker.leave(late, ioctl(9));
    maker.call(ioctl(4));
    await sleep(230);
    drain.step(false);
    drain.step(true);
    writer.finish();
    spool.close();
    const events = eventsOf(trace());
    expect(dead).toBeGreaterThan(late);
    expect(
      events
        .filter((e) => e.kind !== Kind.GAP)
        .map((e) => e.tEnter)
        .sort(),
    ).toEqual([101n, 102n, 103n, 104n, 109n]);
    expect(holeGaps(events)).toHaveLength(2);
  });

  test('a place that the spool had no room for is counted once, and is no hole', () => {
    maker.call(ioctl(1));
    maker.pad(maker.tail, LAYOUT.segment - maker.tail);
    maker.tail = 3 * LAYOUT.segment; // segments 1 and 2 never got a slot
    maker.lose(Gap.FULL, 12);
    maker.call(ioctl(2));
    const events = all();
    expect(events.map((e) => e.kind)).toEqual([Kind.IOCTL, Kind.IOCTL, Kind.GAP]);
    expect(events[2]).toMatchObject({ request: Gap.FULL, ret: 12n });
  });

  test('losses are told as they grow', () => {
    const { spool, writer, drain } = open();
    maker.lose(Gap.FULL, 2);
    drain.step(false);
    drain.step(false);
    maker.lose(Gap.CONFINED, 3);
    drain.step(true);
    expect(drain.lost).toBe(5);
    writer.finish();
    spool.close();
    expect(eventsOf(trace()).map((e) => [e.request, e.ret])).toEqual([
      [Gap.FULL, 2n],
      [Gap.CONFINED, 3n],
    ]);
  });
});

/** What a program does with the spool while the recorder looks now and then, or dies and is followed by another. */
type Act = { readonly what: 'call' | 'enter' | 'leave' | 'look' | 'commit' | 'again'; readonly n: number };
const acts = fc.array(
  fc.record({ what: fc.constantFrom<Act['what']>('call', 'call', 'enter', 'leave', 'look', 'commit', 'again'), n: fc.nat(40_000) }),
  {
    maxLength: 60,
  },
);

test('whatever is interleaved with the recorder, and however often it is killed: every event once, in order', () => {
  let run = 0;
  fc.assert(
    fc.property(acts, (list) => {
      const mine = new SpoolMaker(join(folder, `s${++run}`));
      const path = trace(`t${run}.irr`);
      let { spool, writer, drain } = openDrain(mine.path, path);
      const open: [number, Call][] = [];
      const entered: bigint[] = [];
      const returned: bigint[] = [];
      let n = 0;
      for (const act of list) {
        const call = ioctl(0, { tEnter: BigInt(++n), tExit: BigInt(n + 1), parts: [makePart(PartKind.IN, input(n, act.n))] });
        if (act.what === 'call') {
          mine.call(call);
          entered.push(BigInt(n));
          returned.push(BigInt(n));
        } else if (act.what === 'enter') {
          open.push([mine.enter(call), call]);
          entered.push(BigInt(n));
        } else if (act.what === 'leave' && open.length > 0) {
          const [at, begun] = open.splice(act.n % open.length, 1)[0]!;
          mine.leave(at, begun);
          returned.push(begun.tEnter!);
        } else if (act.what === 'look') drain.step(false);
        else if (act.what === 'commit') drain.step(true);
        else if (act.what === 'again') {
          spool.close();
          writer.close();
          ({ spool, writer, drain } = openDrain(mine.path, path, true));
        }
      }
      drain.step(true);
      writer.finish();
      spool.close();
      mine.close();
      const events = eventsOf(path);
      const calls = events.filter((e) => e.kind === Kind.IOCTL);
      expect(calls.map((e) => e.tEnter)).toEqual(entered);
      const whole = [...calls.filter((e) => e.state === State.RETURNED), ...events.filter((e) => e.kind === Kind.RETURN)].map(
        (e) => e.tEnter,
      );
      expect(whole.sort()).toEqual(returned.sort());
      expect(events).toHaveLength(calls.length + events.filter((e) => e.kind === Kind.RETURN).length);
      for (const e of events.filter((x) => x.kind === Kind.RETURN))
        expect(calls.find((c) => c.tEnter === e.tEnter)!.seq).toBe(Number(Buffer.from(e.parts[0]!.bytes).readBigUInt64LE()));
      const reader = TraceReader.open(path);
      expect(reader.query('SELECT count(*) AS n FROM events')[0]!.n).toBe(events.length);
      reader.close();
      rmSync(mine.path);
      rmSync(path);
    }),
    { numRuns: 40 },
  );
});

test('a trace that does not say how far it came is refused', () => {
  const { spool, writer } = open();
  for (const position of [
    '{',
    'null',
    '{"position":-1}',
    '{"position":64,"pending":[[1]],"lost":0}',
    '{"position":1e300,"pending":[],"lost":0}',
  ]) {
    writer.position = position;
    writer.flush();
    writer.close();
    break;
  }
  spool.close();
  expect(() => openDrain(maker.path, trace(), true)).toThrow(/does not say how far it came/);
});

test('an argument word of a frame is no part of another', () => {
  maker.call(ioctl(1, { parts: [makeArgs(5n)] }));
  expect(all()[0]!.parts).toHaveLength(1);
});
