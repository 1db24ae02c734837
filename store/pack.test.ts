import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeFrame, makeFrame, makePart, PartKind } from './frame.ts';
import { CHUNK_EVENTS, type FrameBatch, packFrames, storeFrames, unpackFrames } from './pack.ts';
import { synthetic } from './synthetic.ts';
import { anyFrame, anyFrameBytes } from './testing.ts';

function batchOf(frames: readonly Buffer[], first = 1): FrameBatch {
  const offsets = new Uint32Array(frames.length + 1);
  frames.forEach((frame, i) => {
    frame.writeBigUInt64LE(BigInt(first + i), 0);
    offsets[i + 1] = offsets[i]! + frame.length;
  });
  return { first, count: frames.length, buffer: Buffer.concat(frames), offsets };
}

function expectSame(batch: FrameBatch): Buffer {
  const bytes = batch.offsets[batch.count]!;
  const data = packFrames(batch);
  for (const form of [data, storeFrames(batch)]) {
    const got = unpackFrames(form, batch.first, batch.count, bytes);
    expect(got.buffer.equals(batch.buffer)).toBe(true);
    expect(got.offsets).toEqual(batch.offsets);
  }
  return data;
}

/** Frames of few layouts, each many times with some bytes changed: what groups are made of. */
const families = fc
  .array(fc.tuple(anyFrame, fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { minLength: 1, maxLength: 40 })), { minLength: 1, maxLength: 4 })
  .map((list) =>
    list.flatMap(([frame, changes]) =>
      changes.map(([at, value]) => {
        const bytes = encodeFrame(frame);
        // anything but the size
        if (at >= 16 && at < bytes.length) bytes[at] = value;
        return bytes;
      }),
    ),
  );

test('any frames come back bit for bit', () => {
  fc.assert(
    fc.property(fc.oneof(families, fc.array(anyFrameBytes, { minLength: 1, maxLength: 30 })), fc.nat(2 ** 40), (frames, first) => {
      expectSame(batchOf(frames, first + 1));
    }),
    { numRuns: 300 },
  );
});

test('a busy session comes back bit for bit and fits in ten bytes an event', () => {
  const frames = [...synthetic(CHUNK_EVENTS)].map((event) => encodeFrame(event.frame));
  expect(expectSame(batchOf(frames)).length / CHUNK_EVENTS).toBeLessThan(10);
});

test('frames with huge parts come back, alone and many', () => {
  const big = (size: number) => encodeFrame(makeFrame({ kind: 9, parts: [makePart(PartKind.IN, new Uint8Array(size).fill(7))] }));
  expectSame(batchOf([big(3_000_001)]));
  expectSame(batchOf([1, 2, 3, 4, 5].map(() => big(70_000))));
});

test('more than 256 layouts and more than 256 threads come back', () => {
  const frames = Array.from({ length: 600 }, (_, i) => encodeFrame(makeFrame({ kind: 1, pid: i, request: i, tEnter: BigInt(i) << 33n })));
  expectSame(batchOf(frames));
});

test('damaged data are refused with an Error or give frames of the right sizes, never anything else', () => {
  const batch = batchOf([...synthetic(300)].map((event) => encodeFrame(event.frame)));
  const bytes = batch.offsets[batch.count]!;
  const data = packFrames(batch);
  fc.assert(
    fc.property(fc.nat(data.length - 1), fc.nat(255), fc.nat(data.length), fc.boolean(), (at, value, cut, shorten) => {
      const bad = Buffer.from(data);
      bad[at] = value;
      try {
        const got = unpackFrames(shorten ? bad.subarray(0, cut) : bad, 1, batch.count, bytes);
        expect(got.offsets[got.count]).toBe(bytes);
        expect(got.buffer.length).toBe(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        expect(error).not.toBeInstanceOf(TypeError);
      }
    }),
    { numRuns: 500 },
  );
});

test('a chunk that would unpack to more than it says is refused before it does', () => {
  const bomb = deflateRawSync(Buffer.alloc(50_000_000), { level: 9 });
  const head = Buffer.alloc(5);
  head[0] = 1;
  head.writeUInt32LE(bomb.length, 1);
  const before = process.memoryUsage().arrayBuffers;
  expect(() => unpackFrames(Buffer.concat([head, bomb, bomb]), 1, 10, 640)).toThrow();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
});
