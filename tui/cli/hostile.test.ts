import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { oddFrames } from '../../replayer/testing-frames.ts';
import { capture } from './capture.ts';
import { sampleTrace } from './sample.ts';

const table = uapiTable('linux-7.2');
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
  ['rerun', { dryRun: true }],
  ['export', { format: 'jsonl' }],
];

test('a trace of any frames at all is shown by every command, and nothing of it reaches a terminal raw', async () => {
  await fc.assert(
    fc.asyncProperty(oddFrames({ unknown: true }), fc.string({ unit: 'binary', maxLength: 20 }), async (frames, text) => {
      const path = sampleTrace(frames, table, { cwd: text, command: [text], kernel: text, cpu: text });
      try {
        for (const [command, options] of COMMANDS) {
          const { out, notes, status } = await capture(command, [path], options);
          expect({ command, status, notes }).toEqual({ command, status: 0, notes: [] });
          expect(out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u);
        }
      } finally {
        rmSync(dirname(path), { recursive: true });
      }
    }),
    { numRuns: 30 },
  );
});
