import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { Script } from '../../replayer/script.ts';
import { FileKind, Kind, makeArgs, makePart, Open, PartKind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { capture } from './capture.ts';
import type { Options } from './commands.ts';
import { sampleTrace } from './sample.ts';

const TRACES = new URL('../../fixtures/traces/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'irr-reduce-kernel-'));
const traces: string[] = [];
afterAll(() => {
  rmSync(folder, { recursive: true });
  for (const path of traces) rmSync(join(path, '..'), { recursive: true });
});
let made = 0;
const reduce = async (trace: string, options: Options) => {
  const output = join(folder, `${++made}.irr`);
  return { output, ...(await capture('reduce', [trace], { output, on: 'kernel', ...options })) };
};

/** Of files in memory, what is left of ours. */
const leftovers = (): string[] => (existsSync('/dev/shm') ? readdirSync('/dev/shm').filter((name) => name.startsWith('iommufd-rr-')) : []);

/** Opens groups that no machine has, in two processes: every kernel says ENOENT, with iommufd or without. */
function strayOpens(): string {
  const s = new Script(uapiTable('linux-7.2'), 100);
  const group = (name: string): number =>
    s.add({
      kind: Kind.OPEN,
      request: Open.OPEN,
      error: 2,
      ret: -1n,
      fileKind: FileKind.VFIO_GROUP,
      parts: [makeArgs(0, 2, 0), makePart(PartKind.TEXT, Buffer.from(`/dev/vfio/${name}`))],
    });
  s.start();
  group('4294967295');
  s.fork(101);
  s.pid = 101;
  s.start(2, 100);
  group('4294967294');
  group('noiommu-4294967295');
  const path = sampleTrace(s.frames, s.table);
  traces.push(path);
  return path;
}

describe('on whatever kernel this is', () => {
  test('the calls are issued, and what is written is what the kernel answered', async () => {
    const { status, out, output, notes } = await reduce(strayOpens(), { keep: 'errno == ENOENT && pid == 101', vfio: true, json: true });
    expect([status, notes[0]]).toEqual([0, expect.stringMatching(/^reduced 6 events to 2 in /)]);
    const json = JSON.parse(out);
    expect(json).toMatchObject({
      seq: 5,
      events: 2,
      of: 6,
      was: [1, 5],
      complete: true,
      kernel: { hung: 0, shown: { times: 3, shown: 3 } },
    });
    expect(json.kernel.asked).toBeGreaterThan(5);
    expect(notes[1]).toMatch(/^issued \d+ sessions on Linux \S+, [\d.]+ a second$/);
    const reader = TraceReader.open(output);
    expect(reader.meta).toMatchObject({ source: 'reduce', kernel: json.kernel.release, reduced: { oracle: 'kernel' } });
    const last = reader.frame(2)!;
    // of a real clock and a real process
    expect([last.error, last.tEnter > 0n, last.pid !== 100]).toEqual([2, true, true]);
    reader.close();
    expect((await capture('verify', [output])).status).toBe(0);
    expect(leftovers()).toEqual([]);
  });

  test.skipIf(existsSync('/dev/iommu'))('a kernel without iommufd: said in one line, and nothing stays', async () => {
    const output = join(folder, 'none.irr');
    const asked = reduce(`${TRACES}vmm-7.2.irr`, { keep: 'errno == EBUSY', output });
    await expect(asked).rejects.toThrow(
      /^nothing was issued: irr-rerun: \/dev\/iommu: No such file or directory: this kernel has no iommufd/,
    );
    expect(existsSync(output)).toBe(false);
    expect(leftovers()).toEqual([]);
  });
});

describe('wrong use', () => {
  const trace = `${TRACES}vmm-7.2.irr`;
  test.each([
    [{ keep: 'differs(linux-6.12)' }, /differs\(…\) compares the rules of two kernels/],
    [{ keep: 'errno == EBUSY', timeout: '0' }, /reduce: --timeout 0/],
    [{ keep: 'errno == EBUSY', on: 'model', mmio: true }, /--mmio goes with --on kernel/],
    [{ keep: 'errno == EBUSY', on: 'model', timeout: '3' }, /--timeout goes with --on kernel/],
  ])('%j', async (options, message) => {
    await expect(reduce(trace, options as Options)).rejects.toThrow(message);
  });
  test('what is not issued cannot be shown', async () => {
    const output = join(folder, `${++made}.irr`);
    await capture('simulate', ['error'], { output });
    await expect(reduce(output, { keep: 'CONS_INDX.ERR == ILLEGAL', vfio: true })).rejects.toThrow(/event \d+ is not issued on a kernel: /);
    expect(leftovers()).toEqual([]);
  });
  test('VFIO devices are not touched unasked', async () => {
    const keep = 'call == VFIO_DEVICE_GET_INFO';
    await expect(reduce(`${TRACES}vfio-7.2.irr`, { keep })).rejects.toThrow(/VFIO devices, real hardware/);
    expect(leftovers()).toEqual([]);
  });
});
