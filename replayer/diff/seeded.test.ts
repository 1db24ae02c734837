/** One difference is put into a session: it is found, at its place, and nothing else is. */
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { targetOfFileKind, uapiTable } from '../../hw/uapi/table.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import { encodeFrame, type Frame, Kind, PartKind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { tableOf } from '../fold.ts';
import { framesSource } from '../script.ts';
import { drained } from './align/align.ts';
import { Dependences } from './align/dependences.ts';
import type { Side } from './compare.ts';
import { newNumbers, readTrace } from './reading.ts';
import { compareStreams } from './stream/differ.ts';
import { NearSide } from './stream/side.ts';
import { framesOf, renumbered, reportOf, SPACES, type SpaceDraw, spacesPlayed } from './testing.ts';

const table = uapiTable('linux-7.2');
const reader = TraceReader.open(fileURLToPath(new URL('../../fixtures/traces/vmm-7.2.irr', import.meta.url)));
afterAll(() => reader.close());
const recorded: Side = { source: reader, table: tableOf(reader.meta) };
const SHIFT = { pid: 4000, fd: 20, file: 50, id: 1000, address: 0x7000_0000n, time: 12_345n };

/** The frames as a session, with numbers of their own. */
function sessionOf(frames: readonly Frame[]): Side {
  const buffers = renumbered(
    frames.map((f, i) => ({ ...f, seq: i + 1 })),
    table,
    SHIFT,
  );
  return { source: framesSource(buffers, table.dialect), table };
}

/** The places of the causes, those of what follows from them, and what the comparison of the streams finds. */
async function found(a: Side, b: Side): Promise<{ causes: string[]; rest: number; streams: string[] }> {
  const report = reportOf(a, b);
  const of = (s: Side): NearSide => new NearSide(s.source, s.table);
  const streams = await compareStreams(of(a), of(b));
  return {
    causes: report.causes.map(({ difference: d }) => `${d.sort} ${d.a}/${d.b}`),
    rest: report.differences - report.causes.length,
    streams: streams.differences.map((d) => `${d.a}/${d.b}`),
  };
}
const swapped = (frames: readonly Frame[], at: number): Frame[] => [
  ...frames.slice(0, at),
  frames[at + 1]!,
  frames[at]!,
  ...frames.slice(at + 2),
];
/** A call that succeeded, as one that the kernel refused: it wrote nothing. */
function failed(f: Frame): Frame {
  const given = (kind: number, slot: number): Uint8Array | undefined => f.parts.find((p) => p.kind === kind && p.slot === slot)?.bytes;
  const parts = f.parts.flatMap((p) => {
    if (p.kind !== PartKind.OUT && p.kind !== PartKind.NESTED_OUT) return [p];
    const bytes = given(p.kind === PartKind.OUT ? PartKind.IN : PartKind.NESTED_IN, p.slot);
    return bytes === undefined ? [] : [{ ...p, bytes }];
  });
  return { ...f, error: 12, ret: -1n, parts };
}
/** A call that takes longer, and all that comes behind it. */
const delayed = (frames: readonly Frame[], at: number, by: bigint): Frame[] =>
  frames.map((f, i) => ({ ...f, tEnter: i > at ? f.tEnter + by : f.tEnter, tExit: i >= at && f.tExit > 0n ? f.tExit + by : f.tExit }));

/** Offsets of the fields that only the kernel fills and that name nothing. */
function outputs(f: Frame): { readonly offset: number; readonly size: number }[] {
  const target = targetOfFileKind(f.fileKind);
  const struct = f.kind === Kind.IOCTL && f.error === 0 && target !== undefined ? table.command(target, f.request)?.struct : undefined;
  const out = f.parts.find((p) => p.kind === PartKind.OUT)?.bytes;
  if (struct === undefined || out === undefined) return [];
  return struct.fields.filter(
    (x) =>
      x.dir === 'out' &&
      x.arm === undefined &&
      x.creates === undefined &&
      x.ref === undefined &&
      x.fd === undefined &&
      x.count === undefined &&
      SCALAR_BYTES[x.type] >= 4 &&
      x.offset + x.size <= out.length,
  );
}
function poked(f: Frame, offset: number): Frame {
  const parts = f.parts.map((p) => {
    if (p.kind !== PartKind.OUT) return p;
    const bytes = Buffer.from(p.bytes);
    bytes[offset] = bytes[offset]! ^ 0x20;
    return { ...p, bytes };
  });
  return { ...f, parts };
}
/** What was given, but a struct that could not be read beyond its length: that says nothing. */
const given = (f: Frame): string[] =>
  f.parts
    .filter((p) => p.kind !== PartKind.OUT && p.kind !== PartKind.NESTED_OUT && p.bytes.length > 4)
    .map((p) => Buffer.from(p.bytes).toString('hex'));
/** Do two frames ask the same in the same words? Then either may be said to be the one that is missing. */
const alike = (f: Frame, g: Frame): boolean =>
  [f.kind, f.request, f.fd, f.error, ...given(f)].join() === [g.kind, g.request, g.fd, g.error, ...given(g)].join();

// sessions: calls about some address spaces, each of which has to do with no other

function played(draws: readonly SpaceDraw[]): Frame[] {
  const maps = Array.from({ length: SPACES }, () => 0);
  return spacesPlayed(table, draws, (_, space) => 0x10_0000 * ++maps[space]!);
}
const FIRST = 2 + SPACES;
const draws = fc.array(fc.tuple(fc.nat(SPACES - 1), fc.nat(4), fc.nat(6)), { minLength: 2, maxLength: 40 });
const RUNS = { numRuns: 60 };
const sideOf = (frames: readonly Frame[]): Side => ({ source: framesSource(frames.map(encodeFrame), table.dialect), table });

describe('a recorded session', () => {
  const frames = framesOf(recorded.source);
  const every = <T>(list: readonly T[], n: number): T[] => list.filter((_, i) => i % n === 0);

  test('another errno', async () => {
    for (const f of every(
      frames.filter((o) => o.kind === Kind.IOCTL && o.error !== 0),
      3,
    )) {
      const b = sessionOf(frames.map((o) => (o === f ? { ...o, error: o.error === 5 ? 12 : 5 } : o)));
      expect(await found(recorded, b)).toEqual({ causes: [`errno ${f.seq}/${f.seq}`], rest: 0, streams: [`${f.seq}/${f.seq}`] });
    }
  });

  test('another output', async () => {
    const some = frames.flatMap((f) => outputs(f).map(({ offset }) => ({ f, offset })));
    expect(some.length).toBeGreaterThanOrEqual(5);
    for (const { f, offset } of some) {
      const b = sessionOf(frames.map((o) => (o === f ? poked(o, offset) : o)));
      expect(await found(recorded, b)).toEqual({ causes: [`output ${f.seq}/${f.seq}`], rest: 0, streams: [`${f.seq}/${f.seq}`] });
    }
  });

  test('a call less', async () => {
    for (const f of frames.filter((o) => o.kind === Kind.IOCTL)) {
      const { causes, streams } = await found(recorded, sessionOf(frames.filter((o) => o !== f)));
      const place = Number(/ (\d+)\/\d+$/.exec(causes[0]!)?.[1]);
      expect([f.seq, alike(frames[place - 1]!, f)]).toEqual([f.seq, true]);
      expect(streams[0]!.startsWith(`${place}/`)).toBe(true);
      expect([f.seq, causes]).toEqual([f.seq, [`only-a ${place}/0`]]);
    }
  });

  test('a call that fails', async () => {
    const made = frames.filter((f) => f.kind === Kind.IOCTL && f.error === 0);
    expect(made.length).toBeGreaterThan(50);
    for (const f of made) {
      const b = sessionOf(frames.map((o) => (o === f ? failed(o) : o)));
      const { causes, streams } = await found(recorded, b);
      expect([f.seq, causes]).toEqual([f.seq, [`errno ${f.seq}/${f.seq}`]]);
      expect([f.seq, streams[0]]).toEqual([f.seq, `${f.seq}/${f.seq}`]);
    }
  });

  test('two calls that have nothing to do with each other', () => {
    const on = new Dependences(drained(readTrace(recorded.source, recorded.table, newNumbers())));
    let count = 0;
    frames.slice(0, -1).forEach((f, at) => {
      const [x, y] = [on.of(f.seq), on.of(f.seq + 1)];
      if (f.tid !== frames[at + 1]!.tid || x === undefined || y === undefined || [...x].some((thing) => y.has(thing))) return;
      count++;
      const { causes } = reportOf(recorded, sessionOf(swapped(frames, at)));
      expect([f.seq, causes.map((c) => `${c.difference.a}/${c.difference.b} ${c.difference.call}`)]).toEqual([f.seq, []]);
    });
    expect(count).toBeGreaterThan(3);
  });

  test('a call that takes longer', async () => {
    for (const f of every(frames, 20)) {
      expect(await found(recorded, sessionOf(delayed(frames, f.seq - 1, 3_000_000n)))).toEqual({ causes: [], rest: 0, streams: [] });
    }
  });
});

describe('sessions of any calls', () => {
  test('another errno', async () => {
    await fc.assert(
      fc.asyncProperty(draws, fc.nat(), async (d, where) => {
        const frames = played(d);
        const failed = frames.filter((f) => f.error !== 0);
        const f = failed[where % failed.length];
        fc.pre(f !== undefined);
        const b = sessionOf(frames.map((o) => (o === f ? { ...o, error: 5 } : o)));
        expect(await found(sideOf(frames), b)).toEqual({
          causes: [`errno ${f!.seq}/${f!.seq}`],
          rest: 0,
          streams: [`${f!.seq}/${f!.seq}`],
        });
      }),
      RUNS,
    );
  });

  test('another output', async () => {
    await fc.assert(
      fc.asyncProperty(draws, fc.nat(), async (d, where) => {
        const frames = played(d);
        const some = frames.flatMap((f) => outputs(f).map(({ offset }) => ({ f, offset })));
        fc.pre(some.length > 0);
        const { f, offset } = some[where % some.length]!;
        const b = sessionOf(frames.map((o) => (o === f ? poked(o, offset) : o)));
        expect(await found(sideOf(frames), b)).toEqual({ causes: [`output ${f.seq}/${f.seq}`], rest: 0, streams: [`${f.seq}/${f.seq}`] });
      }),
      RUNS,
    );
  });

  test('a call less', async () => {
    await fc.assert(
      fc.asyncProperty(draws, fc.nat(), async (d, where) => {
        const frames = played(d);
        const f = frames[FIRST + (where % d.length)]!;
        const { causes, rest } = await found(sideOf(frames), sessionOf(frames.filter((o) => o !== f)));
        const place = Number(/^only-a (\d+)\/0$/.exec(causes[0]!)?.[1]);
        expect([causes.length, rest, alike(frames[place - 1]!, f)]).toEqual([1, 0, true]);
      }),
      RUNS,
    );
  });

  test('two calls about different spaces', () => {
    fc.assert(
      fc.property(draws, fc.nat(), (d, where) => {
        const frames = played(d);
        const at = where % (d.length - 1);
        fc.pre(d[at]![0] !== d[at + 1]![0]);
        expect(reportOf(sideOf(frames), sessionOf(swapped(frames, FIRST + at))).causes).toEqual([]);
      }),
      RUNS,
    );
  });

  test('two calls about one space that are not alike are told', () => {
    fc.assert(
      fc.property(draws, fc.nat(), (d, where) => {
        const frames = played(d);
        const at = where % (d.length - 1);
        const [x, y] = [d[at]!, d[at + 1]!];
        fc.pre(x[0] === y[0] && x[1] !== y[1]);
        expect(reportOf(sideOf(frames), sessionOf(swapped(frames, FIRST + at))).differences).toBeGreaterThan(0);
      }),
      RUNS,
    );
  });

  test('a call that takes longer', async () => {
    await fc.assert(
      fc.asyncProperty(draws, fc.nat(), async (d, where) => {
        const frames = played(d);
        const b = sessionOf(delayed(frames, where % frames.length, 3_000_000n));
        expect(await found(sideOf(frames), b)).toEqual({ causes: [], rest: 0, streams: [] });
      }),
      RUNS,
    );
  });
});
