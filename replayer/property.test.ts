import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { FileKind, FrameCursor, Kind, makePart, type Part, PartKind } from '../store/frame.ts';
import { AreaTree } from './areas.ts';
import { applyAll } from './change.ts';
import { decide } from './decide.ts';
import { digest, stateJson } from './digest.ts';
import { foldInto } from './fold.ts';
import { graphOf } from './graph.ts';
import { renderDot, renderMermaid, renderText } from './graph-text.ts';
import { brokenInvariants, danglingReferences } from './invariants.ts';
import { framesSource, Script } from './script.ts';
import { copyState, emptyState, type SessionState } from './state.ts';
import { plots, session, TESTED_TABLE as table } from './testing.ts';
import { Timeline } from './timeline.ts';
import { changesText, namesFor } from './words.ts';

/** Everything that is in a state, with maps as sorted lists: what "equal" means here. */
function plain(value: unknown): unknown {
  if (value instanceof AreaTree) return [...value].map(plain);
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (value instanceof Map) {
    const entries = [...value].map(([k, v]) => [k, plain(v)] as const);
    return entries.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}
const all = (s: SessionState): unknown => plain(s);

const runs = { numRuns: 60 };

describe('whatever the log says', () => {
  test('a change taken back leaves what was before, and made again what was after', () => {
    fc.assert(
      fc.property(plots, (plot) => {
        const s = session(plot);
        const timeline = new Timeline(s.source(), { table, interval: 0 });
        const states = [all(timeline.state)];
        for (let i = 1; i <= s.seq; i++) {
          const changes = timeline.step();
          const after = all(timeline.state);
          states.push(after);
          timeline.reverseStep();
          expect(all(timeline.state)).toEqual(states[i - 1]);
          applyAll(timeline.state, changes);
          timeline.state.seq = i;
          expect(all(timeline.state)).toEqual(after);
          timeline.seek(i);
        }
        const back = new Timeline(s.source(), { table, interval: 0 });
        back.seek(s.seq);
        for (let i = s.seq; i > 0; i--) {
          expect(all(back.state)).toEqual(states[i]);
          back.reverseStep();
        }
        expect(all(back.state)).toEqual(states[0]);
      }),
      runs,
    );
  });

  test('decide leaves the state as it is and says what the fold does', () => {
    fc.assert(
      fc.property(plots, (plot) => {
        const s = session(plot);
        const state = emptyState();
        const cursor = new FrameCursor();
        for (const [i, frame] of s.frames.entries()) {
          const before = all(state);
          const changes = decide(state, cursor.at(frame, 0), table);
          expect(all(state)).toEqual(before);
          applyAll(state, changes);
          state.seq = i + 1;
        }
        expect(all(state)).toEqual(all(foldInto(emptyState(), s.source(), table)));
      }),
      runs,
    );
  });

  test('from any snapshot, in pages of any size, by any way: the same state', () => {
    fc.assert(
      fc.property(plots, fc.integer({ min: 1, max: 40 }), fc.array(fc.nat(120), { maxLength: 12 }), (plot, page, seeks) => {
        const s = session(plot);
        const timeline = new Timeline(s.source(page), { table, interval: page, snapshots: 4, undo: 5 });
        const naive = (to: number): SessionState => foldInto(emptyState(), s.source(), table, { to });
        for (const to of seeks) {
          timeline.seek(to);
          const there = Math.min(to, s.seq);
          expect(timeline.seq).toBe(there);
          expect(digest(timeline.state)).toBe(digest(naive(there)));
          const split = copyState(naive(there));
          expect(all(foldInto(split, s.source(page), table))).toEqual(all(naive(s.seq)));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('the changes of an event do not depend on where the timeline is', () => {
    fc.assert(
      fc.property(plots, fc.nat(120), fc.nat(120), (plot, from, of) => {
        const s = session(plot);
        const timeline = new Timeline(s.source(7), { table, interval: 10, undo: 3 });
        timeline.seek(from);
        const here = digest(timeline.state);
        const fresh = new Timeline(s.source(), { table });
        fresh.seek(of - 1);
        const expected = of >= 1 && of <= s.seq ? fresh.step() : [];
        expect(plain(timeline.changesOf(of))).toEqual(plain(expected));
        expect(digest(timeline.state)).toBe(here);
      }),
      { numRuns: 60 },
    );
  });

  test('the state hangs together, and everything prints', () => {
    fc.assert(
      fc.property(plots, (plot) => {
        const s = session(plot);
        const timeline = new Timeline(s.source(), { table });
        while (timeline.seq < s.seq) {
          const changes = timeline.step();
          expect(brokenInvariants(timeline.state)).toEqual([]);
          for (const line of changesText(changes, namesFor(timeline.state, changes))) expect(line).not.toMatch(/undefined|NaN|\[object/);
        }
        danglingReferences(timeline.state);
        expect(JSON.stringify(stateJson(timeline.state))).not.toMatch(/undefined|NaN/);
        const graph = graphOf(timeline.state);
        for (const text of [renderText(graph), renderText(graph, { ascii: true }), renderDot(graph), renderMermaid(graph)]) {
          expect(text).not.toMatch(/undefined|NaN/);
        }
      }),
      runs,
    );
  });

  test('when every process has ended, nothing is left', () => {
    fc.assert(
      fc.property(plots, (plot) => {
        const s = session(plot);
        s.vfork(false);
        const pids = new Set(s.frames.map((f) => f.readUInt32LE(32)));
        for (const pid of [...pids, 100, 101, 102]) {
          s.pid = pid;
          s.exit();
        }
        const state = foldInto(emptyState(), s.source(), table);
        expect(stateJson(state)).toMatchObject({ files: [], contexts: [], calls: [], sent: [] });
      }),
      runs,
    );
  });
});

/** Frames with random fields and parts; some claim more than they have. */
const garbage = fc
  .record({
    kind: fc.nat(20),
    state: fc.nat(3),
    flags: fc.nat(255),
    fileKind: fc.nat(10),
    pid: fc.nat(3),
    fd: fc.integer({ min: -2, max: 6 }),
    file: fc.nat(6),
    request: fc.oneof(fc.integer({ min: 0x3b64, max: 0x3ba0 }), fc.nat(5), fc.nat()),
    error: fc.constantFrom(0, 0, 0, 14, 16, 90),
    ret: fc.oneof(fc.bigInt({ min: -1n, max: 8n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
    parts: fc.array(
      fc.record({ kind: fc.nat(7), slot: fc.constantFrom(0, 16, 24, 32), bytes: fc.uint8Array({ maxLength: 96 }), small: fc.boolean() }),
      { maxLength: 5 },
    ),
    cut: fc.option(fc.nat(200), { freq: 4 }),
    poke: fc.option(fc.tuple(fc.nat(150), fc.nat(255)), { freq: 3 }),
  })
  .map(({ parts, cut, poke, ...f }) => {
    const made: Part[] = parts.map((p) =>
      makePart(p.kind as Part['kind'], p.small ? p.bytes.map((b) => (b < 200 ? 0 : b % 8)) : p.bytes, p.slot),
    );
    const s = new Script(table);
    s.add({ ...f, parts: made });
    const frame = Buffer.from(s.frames[0]!);
    if (poke && poke[0] < frame.length) frame[poke[0]] = poke[1];
    return cut === null ? frame : frame.subarray(0, cut);
  });

test('garbage never throws, and can be taken back', () => {
  fc.assert(
    fc.property(fc.array(garbage, { maxLength: 60, size: 'max' }), (frames) => {
      for (const dialect of ['linux-7.2', 'vcmdq-v1', 'linux-6.12'] as const) {
        const t = uapiTable(dialect);
        const state = foldInto(emptyState(), framesSource(frames, dialect), t);
        expect(brokenInvariants(state)).toEqual([]);
        JSON.stringify(stateJson(state));
        renderText(graphOf(state));
        const timeline = new Timeline(framesSource(frames, dialect), { table: t, interval: 0 });
        timeline.seek(frames.length);
        while (timeline.seq > 0) timeline.reverseStep();
        expect(all(timeline.state)).toEqual(all(emptyState()));
      }
    }),
    { numRuns: 200 },
  );
});

test('a part that claims four gigabytes is cut at the end of its frame', () => {
  const s = new Script(table);
  s.add({
    kind: Kind.IOCTL,
    fd: 3,
    file: 1,
    fileKind: FileKind.IOMMUFD,
    request: 0x3b85,
    parts: [makePart(PartKind.IN, Buffer.alloc(40))],
  });
  for (const claim of [0xffff_ffff, 0xffff_fff8, 0xffff_ffe8, 41]) {
    const frame = Buffer.from(s.frames[0]!);
    frame.writeUInt32LE(claim, 64 + 4);
    expect(brokenInvariants(foldInto(emptyState(), framesSource([frame], 'linux-7.2'), table))).toEqual([]);
  }
});
