import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IrrError } from '../store/errors.ts';
import { FRAME_AT, Kind, makePart, PartKind } from '../store/frame.ts';
import { recover } from './recover.ts';
import { Spool } from './spool.ts';
import { compactFrame } from './spool-frame.ts';
import { LAYOUT, SPOOL_AT, SPOOL_FIELD } from './spool-layout.ts';
import { eventsOf, MARK, SpoolMaker, spilledPart } from './testing.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'irr-spool-'));
});
afterEach(() => rmSync(folder, { recursive: true }));
const path = (name = 'spool'): string => join(folder, name);

/** Whatever is in the file: a trace, or one line that says why not. → events, or the complaint's code */
function outcome(spool: string): number | string {
  const trace = path('x.irr');
  try {
    const { events } = recover(spool, trace, { tool: 'test' });
    expect(eventsOf(trace)).toHaveLength(events);
    return events;
  } catch (error) {
    if (!(error instanceof IrrError)) throw error;
    expect(error.message).not.toContain('\n');
    return error.code;
  } finally {
    rmSync(trace, { force: true });
  }
}

function sample(name = 'spool'): SpoolMaker {
  const maker = new SpoolMaker(path(name));
  for (let n = 0; n < 20; n++)
    maker.call({ kind: Kind.IOCTL, request: 0x3b85, tEnter: BigInt(n), parts: [makePart(PartKind.IN, Buffer.alloc(n * 9, n))] });
  maker.enter({ kind: Kind.READ, parts: [] }, 100);
  maker.reserve(128);
  const big = maker.reserve(64 + 24 + 8);
  maker.spill(big, 0, Buffer.alloc(200_000, 7));
  maker.leave(big, { kind: Kind.IOCTL, parts: [spilledPart(PartKind.IN, 200_000)] });
  return maker;
}

describe('what is no spool', () => {
  test('is refused in one line', () => {
    writeFileSync(path('empty'), '');
    writeFileSync(path('text'), 'IRRSPOOL and no more');
    writeFileSync(path('zeros'), Buffer.alloc(1 << 20));
    execFileSync('mkfifo', [path('fifo')]);
    for (const name of ['empty', 'text', 'zeros', 'fifo']) expect(outcome(path(name)), name).toBe('not-a-spool');
    expect(outcome(folder)).toBe('not-a-spool');
    expect(outcome(path('absent'))).toBe('unreadable');
    expect(outcome('/dev/zero')).toBe('not-a-spool');
  });

  test('nor is one of another version, or with other segments', () => {
    for (const at of [SPOOL_FIELD.version, SPOOL_FIELD.segment, SPOOL_FIELD.magic]) {
      const maker = sample(`v${at}`);
      maker.poke(at, Buffer.of(9));
      maker.close();
      expect(outcome(maker.path)).toBe('not-a-spool');
    }
  });
});

describe('a hostile spool', () => {
  test('cut anywhere', () => {
    const whole = sample();
    whole.close();
    for (const size of [8399, 8400, LAYOUT.states, LAYOUT.dir + 4, LAYOUT.dir + 8, LAYOUT.data, LAYOUT.data + 5, LAYOUT.data + 3000]) {
      const maker = sample(`cut${size}`);
      maker.close();
      truncateSync(maker.path, size);
      const found = outcome(maker.path);
      expect(size < 8400 ? found === 'not-a-spool' : typeof found === 'number' && found < 30, String(size)).toBe(true);
    }
  });

  test('whose end lies beyond everything', () => {
    const maker = sample();
    for (const tail of [2n ** 40n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      maker.number(SPOOL_AT.tail, tail);
      expect(outcome(maker.path)).toBe(24);
    }
    maker.close();
  });

  test('with segments in one place, or in places that are not there', () => {
    const maker = sample();
    maker.number(LAYOUT.dir + 8, 2n << 16n);
    expect(outcome(maker.path)).toBe('damaged-spool');
    maker.number(LAYOUT.dir + 8, (2n << 16n) | 0xffffn);
    maker.number(SPOOL_AT.tail, BigInt(2 * LAYOUT.segment));
    expect(outcome(maker.path)).toBe(24);
    maker.number(LAYOUT.dir + 16, (0xffff_ffff_ffffn << 16n) | 1n);
    maker.number(LAYOUT.dir + 24, (5n << 16n) | 1n);
    maker.number(SPOOL_AT.tail, 2n ** 60n);
    expect(outcome(maker.path)).toBe(24);
    maker.close();
  });

  test('of marks and nothing else ends in time', () => {
    const maker = new SpoolMaker(path());
    const slots = 4;
    for (let s = 0; s < slots; s++) {
      const b = Buffer.alloc(LAYOUT.segment);
      for (let at = 0; at < b.length; at += LAYOUT.stride) {
        b.writeBigUInt64LE(MARK ^ BigInt(s * LAYOUT.segment + at), at);
        // every second one is a call with a part that lies elsewhere, at the far end or nowhere
        b.writeUInt32LE(at % 128 === 0 ? 2 ** 31 : 64 + (at % 64), at + FRAME_AT.bytes);
        b[at + FRAME_AT.kind] = Kind.IOCTL;
      }
      maker.poke(maker.place(s * LAYOUT.segment), b);
    }
    maker.tail = slots * LAYOUT.segment;
    const began = Date.now();
    expect(outcome(maker.path)).toBeGreaterThan(10_000);
    expect(Date.now() - began).toBeLessThan(5000);
    maker.close();
  });

  test('whose calls all claim pieces that are nowhere ends in time', () => {
    const maker = new SpoolMaker(path());
    const call = { kind: Kind.IOCTL, parts: [spilledPart(PartKind.IN, 2 ** 40)] };
    const room = Math.floor(LAYOUT.segment / 128);
    for (let i = 0; i < room; i++) maker.call(call);
    maker.tail = maker.tail + 30 * LAYOUT.segment;
    for (let s = 1; s < 20; s++) maker.place(s * LAYOUT.segment);
    const began = Date.now();
    expect(outcome(maker.path)).toBeGreaterThanOrEqual(room);
    expect(Date.now() - began).toBeLessThan(8000);
    maker.close();
  });

  test('with noise anywhere in it gives a trace or one line, and ends', () => {
    const noise = fc.array(
      fc.record({
        at: fc.oneof(
          fc.nat(LAYOUT.data + 3 * LAYOUT.segment),
          fc.integer({ min: LAYOUT.data, max: LAYOUT.data + 8192 }),
          fc.integer({ min: LAYOUT.dir, max: LAYOUT.dir + 64 }),
          fc.constantFrom<number>(...Object.values(SPOOL_AT)),
          fc.nat(127).map((n) => LAYOUT.data + 64 * n + FRAME_AT.bytes),
        ),
        bytes: fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 80 }),
          fc.constantFrom(...[0, 1, 64, 2 ** 20, 2 ** 31, 2 ** 32 - 1].map((n) => Uint8Array.of(n, n >> 8, n >> 16, n >>> 24))),
        ),
      }),
      { maxLength: 12 },
    );
    let run = 0;
    fc.assert(
      fc.property(noise, (list) => {
        const maker = sample(`n${++run}`);
        for (const { at, bytes } of list) maker.poke(at, bytes);
        maker.close();
        outcome(maker.path);
        rmSync(maker.path);
      }),
      { numRuns: 40 },
    );
  });
});

test('the parts of any bytes as a frame stay inside it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 400 }), fc.nat(3), (bytes, kind) => {
      const frame = Buffer.from(bytes);
      frame[64] = kind;
      const size = frame.length;
      const whole = compactFrame(frame, () => new Map());
      expect(whole.length).toBeLessThanOrEqual(size + 24);
      expect(whole.readUInt32LE(FRAME_AT.bytes)).toBe(whole.length);
    }),
    { numRuns: 2000 },
  );
});

test('the header says what it was made with; too long texts are cut', () => {
  const maker = new SpoolMaker(path(), { kernel: 'k'.repeat(200), trace: '/t'.repeat(3000), recording: 'r', machine: 'aarch64' });
  const spool = new Spool(path());
  expect(spool.header).toMatchObject({
    kernel: 'k'.repeat(64),
    machine: 'aarch64',
    recording: 'r',
    creator: process.pid,
    realtimeNs: 1n << 60n,
  });
  expect(spool.header.trace).toHaveLength(4095);
  spool.close();
  maker.close();
});
