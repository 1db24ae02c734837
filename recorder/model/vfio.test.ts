/** Programs that drive a VFIO device under `record --on model`: the device is the model's own. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const client = (name: string): string => join(root, 'dist/clients', name);
const built = existsSync(cli) && existsSync(client('vfio'));
if (!built) console.warn('recorder/model/vfio.test.ts: skipped, the program or its clients were not built');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-vfio-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 60_000 });
const trace = (): string => join(folder, 'x.irr');
const record = (dialect: string, ...command: string[]) =>
  run('record', '--on', 'model', '--dialect', dialect, '--force', '--spool', folder, '-o', trace(), '--', ...command);

interface Checked {
  readonly predicted: number;
  readonly disagreements: readonly unknown[];
  readonly unpredictable: Readonly<Record<string, number>>;
  readonly unknown: Readonly<Record<string, number>>;
}
const checked = (): Checked => JSON.parse(run('check', '--json', trace()).stdout) as Checked;

describe.skipIf(!built)('a VFIO device of the model', () => {
  test.each(['linux-7.2', 'linux-6.12', 'hw-queue-v9', 'vcmdq-v1'])('a driver in user space finds what %s would answer', (dialect) => {
    const done = record(dialect, client('vfio'));
    expect(done.stderr).toMatch(/^iommufd-rr: recorded \d+ events \(0 dropped\) in \S+\n$/);
    expect(done.stdout.split('\n').filter((line) => line.includes('mismatch'))).toEqual([]);
    expect(done.stdout).toMatch(/\{"done":true,"steps":\d+,"failures":0\}\n$/);
    expect(done.status).toBe(0);
    const report = checked();
    expect(report.disagreements).toEqual([]);
    expect(report.unknown).toEqual({});
    expect(report.predicted).toBeGreaterThan(35);
    expect(readdirSync(folder)).toEqual(['x.irr']);
  });

  test.each([
    ['linux-7.2', ['alone', 'pasid']],
    ['linux-6.12', ['alone']],
  ] as const)('vfio-pci call by call, %s: interrupts, registers, resets', (dialect, more) => {
    const done = record(dialect, client('vfio_pci'), '/dev/vfio/devices/vfio0', ...more);
    expect(done.stdout.split('\n').filter((line) => line.includes('mismatch'))).toEqual([]);
    expect(done.stdout).toMatch(/\{"done":true,"steps":\d+,"failures":0\}\n$/);
    expect(done.stderr).toMatch(/^iommufd-rr: recorded \d+ events \(0 dropped\) in \S+\n$/);
    const report = checked();
    expect(report).toMatchObject({ disagreements: [], unknown: {} });
    // which descriptors are eventfds is not told
    expect(report.unpredictable).toEqual({ 'not in the log': 3 });
    expect(report.predicted).toBeGreaterThan(180);
    expect(readdirSync(folder)).toEqual(['x.irr']);
  });

  test('whoever looks whether it is there finds it', () => {
    const look = (n: number): string => `test -w /dev/vfio/devices/vfio${n} && echo vfio${n}`;
    expect(record('linux-7.2', 'sh', '-c', [0, 1, 2].map(look).join('; ')).stdout).toBe('vfio0\nvfio1\n');
  });

  test('other devices are not there', () => {
    const done = record('linux-7.2', client('vfio'), '/dev/vfio/devices/vfio7');
    expect(done.stdout).toContain('"path":"/dev/vfio/devices/vfio7","ret":-1,"errno":"ENOENT"');
    expect(done.status).toBe(77);
  });
});
