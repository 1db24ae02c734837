import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, type Frame, makeFrame, type Part, type PartKind } from '../../store/frame.ts';
import { capture } from './capture.ts';
import { sampleTrace } from './sample.ts';

const table = uapiTable('linux-7.2');
const requests = table.commands.map((c) => c.request);
const u64 = fc.oneof(fc.constantFrom(0n, 1n, 8n, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.array(fc.nat(9), { minLength: 4, maxLength: 18 }).map((a) => new Uint8Array(new Uint32Array(a).buffer)),
  fc.constantFrom('/dev/iommu', '\x1b]0;evil\x07\u202e', 'a\0b').map((t) => new TextEncoder().encode(t)),
);
const part: fc.Arbitrary<Part> = fc.record({
  kind: fc.integer({ min: 0, max: 8 }) as fc.Arbitrary<PartKind>,
  flags: fc.nat(255),
  slot: fc.constantFrom(0, 1, 16, 24, 32),
  wanted: u64,
  address: u64,
  bytes,
});
const frame: fc.Arbitrary<Frame> = fc
  .record({
    kind: fc.oneof(fc.nat(18), fc.constant(1), fc.constant(1), fc.nat(255)),
    state: fc.oneof(fc.constantFrom(1, 2), fc.nat(255)),
    flags: fc.nat(7),
    fileKind: fc.oneof(fc.nat(8), fc.constant(1), fc.nat(255)),
    tEnter: u64,
    tExit: u64,
    pid: fc.nat(3),
    tid: fc.nat(3),
    fd: fc.integer({ min: -1, max: 9 }),
    file: fc.nat(4),
    request: fc.oneof(fc.constantFrom(...requests), fc.nat(6), fc.nat(0xffffffff)),
    error: fc.oneof(fc.constant(0), fc.integer({ min: -5, max: 200 })),
    ret: fc.oneof(fc.constantFrom(0n, -1n, 3n), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
    parts: fc.array(part, { maxLength: 4 }),
  })
  .map((f) => makeFrame(f));

const COMMANDS: readonly (readonly [string, Readonly<Record<string, string | boolean>>])[] = [
  ['info', {}],
  ['info', { json: true }],
  ['show', { changes: true, resolve: true, hex: true }],
  ['show', { json: true, full: true, changes: true }],
  ['show', { where: 'object == viommu || created(ioas) || index > 0 && path ~ iommu', absTime: true }],
  ['stats', {}],
  ['stats', { json: true, where: 'errno != 0 || took > 1ms' }],
  ['state', {}],
  ['state', { json: true, at: '50%' }],
  ['graph', { format: 'text' }],
  ['graph', { format: 'dot' }],
  ['graph', { format: 'mermaid' }],
  ['graph', { format: 'svg' }],
  ['verify', {}],
];

test('a trace of any frames at all is shown by every command, and nothing of it reaches a terminal raw', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { minLength: 1, maxLength: 40 }),
      fc.string({ unit: 'binary', maxLength: 20 }),
      async (frames, text) => {
        const path = sampleTrace(
          frames.map((f, i) => encodeFrame({ ...f, seq: i + 1 })),
          table,
          { cwd: text, command: [text], kernel: text, cpu: text },
        );
        try {
          for (const [command, options] of COMMANDS) {
            const { out, notes, status } = await capture(command, [path], options);
            expect({ command, status, notes }).toEqual({ command, status: 0, notes: [] });
            expect(out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u);
          }
        } finally {
          rmSync(dirname(path), { recursive: true });
        }
      },
    ),
    { numRuns: 30 },
  );
});
