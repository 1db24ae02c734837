import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { TraceWriter } from './append.ts';
import { anyFrameBytes } from './arbitrary.ts';
import type { TraceMeta } from './meta.ts';
import { TraceReader } from './read.ts';

const dir = mkdtempSync(join(tmpdir(), 'irr-store-'));
afterAll(() => rmSync(dir, { recursive: true }));
let files = 0;
const fresh = () => join(dir, `${++files}.irr`);

const META: TraceMeta = {
  v: 1,
  tool: 'test',
  kernel: '6.12.0',
  machine: 'x86_64',
  cpu: 'none',
  command: ['a', 'b'],
  cwd: '/',
  dialect: 'linux-6.12',
  clock: { realtimeNs: 1n << 60n, monotonicNs: 1000n },
  complete: false,
  dropped: 0,
};

test('frames of every shape come back bit for bit, whenever they were flushed', () => {
  const steps = fc.array(fc.tuple(anyFrameBytes, fc.integer({ min: 0, max: 9 })), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (list) => {
      const path = fresh();
      const writer = TraceWriter.create(path, META);
      const wanted: Buffer[] = [];
      for (const [bytes, flush] of list) {
        const seq = writer.append(bytes, 0, { call: `c${flush}`, context: flush, object: wanted.length });
        expect(seq).toBe(wanted.length + 1);
        const stored = Buffer.from(bytes);
        stored.writeBigUInt64LE(BigInt(seq), 0);
        wanted.push(stored);
        if (flush === 0) writer.flush();
      }
      writer.finish();
      const reader = TraceReader.open(path);
      const got: Buffer[] = [];
      for (const batch of reader.scan()) {
        for (let i = 0; i < batch.count; i++) got.push(Buffer.from(batch.buffer.subarray(batch.offsets[i], batch.offsets[i + 1])));
      }
      expect(Buffer.concat(got).equals(Buffer.concat(wanted))).toBe(true);
      expect(reader.rows().map((r) => r.object)).toEqual(wanted.map((_, i) => i));
      reader.close();
      rmSync(path);
    }),
    { numRuns: 30 },
  );
});
