/** One event as a line, and back: real ones with bytes changed, too, which is what somebody's editor, or somebody's malice, makes. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { FRAME_HEADER, FrameCursor } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { anyFrameBytes } from '../../store/testing.ts';
import { eventOf, LineWriter } from './line.ts';

const RUNS = Number(process.env.FC_RUNS ?? 300);
const traces = join(import.meta.dirname, '../../fixtures/traces');

/** Every frame of the fixtures, each content once. */
const frames: Buffer[] = readdirSync(traces)
  .filter((name) => name.endsWith('.irr'))
  .flatMap((name) => {
    const reader = TraceReader.open(join(traces, name));
    const all = [...reader.scan()].flatMap((b) =>
      Array.from({ length: b.count }, (_, i) => Buffer.from(b.buffer.subarray(b.offsets[i], b.offsets[i + 1]))),
    );
    reader.close();
    return all;
  });

const changed = fc
  .tuple(
    fc.nat(frames.length - 1),
    fc.array(fc.tuple(fc.nat(4000), fc.oneof(fc.constantFrom(0, 1, 0xff), fc.nat(255))), { minLength: 1, maxLength: 6 }),
    fc.boolean(),
  )
  .map(([which, edits, anywhere]) => {
    const bytes = Buffer.from(frames[which]!);
    for (const [at, to] of edits) {
      // the length of the frame is the store's business
      const place = anywhere ? 12 + (at % (bytes.length - 12)) : FRAME_HEADER + (at % Math.max(1, bytes.length - FRAME_HEADER));
      if (place < bytes.length) bytes[place] = to;
    }
    return bytes;
  });

test('any frame comes back, byte for byte, whatever was written before it', () => {
  const writers = (['linux-6.12', 'linux-7.2', 'vcmdq-v2'] as const).map((dialect) => {
    const c = { table: uapiTable(dialect), machine: 'x86_64', base: 5_000_000_000n };
    return { c, writer: new LineWriter(c) };
  });
  fc.assert(
    fc.property(fc.oneof({ weight: 3, arbitrary: changed }, anyFrameBytes), fc.nat(2), fc.boolean(), (bytes, which, odd) => {
      const { c, writer } = writers[which]!;
      const row = { call: 'x', context: 0, object: 0 };
      const frame = { ...new FrameCursor().at(bytes, 0).frame(), seq: 1 };
      const line = writer.line(frame, bytes, row, odd ? { ...row, context: 1 } : row, false);
      const back = eventOf(JSON.parse(line) as Record<string, unknown>, c, 0, (seq) => seq);
      expect(back.frame.subarray(8).equals(bytes.subarray(8)), line).toBe(true);
      expect(back.row).toEqual(odd ? row : undefined);
    }),
    { numRuns: RUNS },
  );
}, 600_000);
