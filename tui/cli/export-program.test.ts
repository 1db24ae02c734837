import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, Kind, makeFrame, PartKind } from '../../store/frame.ts';
import { capture } from './capture.ts';
import { sampleTrace } from './sample.ts';

const VFIO = new URL('../../fixtures/traces/vfio-7.2.irr', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'irr-program-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A trace that opens /dev/iommu so often. */
function opens(n: number): string {
  const bytes = new TextEncoder().encode('/dev/iommu');
  const words = new Uint8Array(new BigUint64Array([0n, 2n, 0n]).buffer);
  const part = { flags: 0, slot: 0, wanted: 0n, address: 0n };
  const parts = [
    { ...part, kind: PartKind.ARGS, bytes: words },
    { ...part, kind: PartKind.TEXT, bytes },
  ];
  const frames = Array.from({ length: n }, (_, i) =>
    encodeFrame(makeFrame({ seq: i + 1, kind: Kind.OPEN, pid: 5, tid: 5, fileKind: 1, fd: i + 3, file: i + 1, ret: BigInt(i + 3), parts })),
  );
  return sampleTrace(frames, uapiTable('linux-7.2'));
}

test.each([
  ['c', 'int main(void)'],
  ['kselftest', 'TEST_HARNESS_MAIN'],
  ['syz', 'r0 = '],
])('%s: to standard output, to a file, and not over one that is there', async (format, has) => {
  const output = join(folder, format);
  const { out, status } = await capture('export', [VFIO], { format });
  expect(status).toBe(0);
  expect(out).toContain(has);
  expect((await capture('export', [VFIO], { format, output })).notes).toEqual([`exported 53 events to ${output}`]);
  expect(readFileSync(output, 'utf8')).toBe(out);
  await expect(capture('export', [VFIO], { format, output })).rejects.toThrow(/exists already/);
});

test('a long trace is to be made short first', async () => {
  const trace = opens(1001);
  await expect(capture('export', [trace], { format: 'c' })).rejects.toThrow(/sample\.irr has 1001 calls: too many/);
  const { out } = await capture('export', [trace], { format: 'c', force: true });
  expect(out.match(/\bopen\(/g)).toHaveLength(1001);
  rmSync(dirname(trace), { recursive: true });
});

test('descriptions are of syz', async () => {
  await expect(capture('export', [VFIO], { format: 'c', descriptions: true })).rejects.toThrow(/goes with --format syz/);
  expect((await capture('export', [VFIO], { format: 'syz', descriptions: true })).out).toMatch(/^ioctl\$rr_VFIO_DEVICE_BIND_IOMMUFD_16\(/m);
});

test('a trace without calls', async () => {
  const trace = sampleTrace([encodeFrame(makeFrame({ seq: 1, kind: Kind.GAP, ret: 3n }))], uapiTable('linux-7.2'));
  await expect(capture('export', [trace], { format: 'c' })).rejects.toThrow(/no call that could be made again/);
  rmSync(dirname(trace), { recursive: true });
});
