import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { capture } from './capture.ts';
import { sampleTrace } from './sample.ts';
import { sampleSession } from './sample-session.ts';

const TRACES = new URL('../../fixtures/traces/', import.meta.url).pathname;
const GOLDEN = '../../fixtures/golden/cli';
const folder = mkdtempSync(join(tmpdir(), 'irr-rerun-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

describe('on the model', () => {
  test('a client: no difference, and what was taken from the recording is told', async () => {
    const { status, out, notes } = await capture('rerun', [`${TRACES}vmm-7.2.irr`], { output: at('vmm.irr') });
    expect(status).toBe(0);
    expect(out).toContain('no difference: 187 pairs of events agree');
    expect(notes).toEqual([
      `reran 187 events on the model of linux-7.2 in ${at('vmm.irr')}`,
      'of 4 of 187 events something is as it was recorded, for the model does not know it: not in the log (2), physical memory (1), the rules have no such calls (1)',
    ]);
    expect((await capture('verify', [at('vmm.irr')])).status).toBe(0);
  });

  test('by the rules of another kernel: every mismatch, and exit status 1', async () => {
    const options = { output: at('older.irr'), dialect: 'linux-6.12' };
    const { status, out } = await capture('rerun', [`${TRACES}vmm-7.2.irr`], options);
    expect(status).toBe(1);
    expect(out).toContain('1. IOMMU_VIOMMU_ALLOC  another errno: EOPNOTSUPP | ENOTTY  known: ioctls');
    expect(out).toContain('15. ');
    expect((await capture('check', [at('older.irr')])).status).toBe(0);
  });

  test('JSON', async () => {
    const { out } = await capture('rerun', [`${TRACES}vfio-7.2.irr`], { output: at('vfio.irr'), json: true });
    const json = JSON.parse(out);
    expect(json).toMatchObject({ v: 1, equal: true, output: at('vfio.irr') });
    expect(json.taken).toContainEqual({ seq: expect.any(Number), what: expect.any(String), reason: 'driver-private' });
  });

  test.each(['boot', 'error', 'two'])('scenario %s: no difference', async (name) => {
    await capture('simulate', [name], { output: at(`${name}.irr`) });
    const { status, out } = await capture('rerun', [at(`${name}.irr`)], { output: at(`${name}-again.irr`) });
    expect(out).toContain('no difference');
    expect(status).toBe(0);
  });
});

describe('nothing is harmed', () => {
  test('an existing file is not replaced', async () => {
    await capture('rerun', [`${TRACES}vfio-7.2.irr`], { output: at('there.irr') });
    await expect(capture('rerun', [`${TRACES}vfio-7.2.irr`], { output: at('there.irr') })).rejects.toThrow(/exists already/);
  });
  test('an unknown dialect', async () => {
    await expect(capture('rerun', [`${TRACES}vfio-7.2.irr`], { output: at('no.irr'), dialect: 'linux-9' })).rejects.toThrow(/no dialect/);
    expect(existsSync(at('no.irr'))).toBe(false);
  });
});

describe('--dry-run', () => {
  test('a session of every kind of event', async () => {
    const { frames, table } = sampleSession();
    const trace = sampleTrace(frames, table);
    const { status, out, notes } = await capture('rerun', [trace], { dryRun: true });
    rmSync(dirname(trace), { recursive: true });
    expect({ status, notes }).toEqual({ status: 0, notes: [] });
    await expect(out).toMatchFileSnapshot(`${GOLDEN}/rerun-dry-run.txt`);
  });
});
