/** A VMM and its guest on the model's machine with a CMDQV: every command goes through page 0 and the guest's memory. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const client = join(root, 'dist/clients/cmdqv');
const built = existsSync(cli) && existsSync(client);
if (!built) console.warn('recorder/model/cmdqv.test.ts: skipped, the program or its clients were not built');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-cmdqv-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 30_000 });
const trace = (): string => join(folder, 'x.irr');
const record = (options: readonly string[], ...args: string[]) =>
  run('record', '--on', 'model', '--machine', 'grace', ...options, '--force', '--spool', folder, '-o', trace(), '--', client, ...args);

interface Checked {
  readonly predicted: number;
  readonly disagreements: readonly { readonly rule: string }[];
  readonly unpredictable: Readonly<Record<string, number>>;
  readonly unknown: Readonly<Record<string, number>>;
}
const checked = (): Checked => JSON.parse(run('check', '--json', trace()).stdout) as Checked;

function expectRight(done: ReturnType<typeof record>): void {
  expect(done.stdout.split('\n').filter((line) => line.includes('mismatch'))).toEqual([]);
  expect(done.stdout).toMatch(/\{"done":true,"steps":\d+,"failures":0\}\n$/);
  expect(done.stderr).toMatch(/^iommufd-rr: recorded \d+ events \(0 dropped\) in \S+\n$/);
  expect(done.status).toBe(0);
  expect(readdirSync(folder)).toEqual(['x.irr']);
}

describe.skipIf(!built)('record --on model --machine grace', () => {
  test.each([
    ['two queues of 16', [], []],
    ['the smallest queue', [], ['--queues', '1', '--log2', '1']],
    ['a page of commands, four threads, a file for memory', [], ['--log2', '8', '--threads', '4', '--map-file']],
    ['every access trapped', ['--mmio'], ['--rounds', '5', '--threads', '2']],
  ] as const)('the queues work: %s', (_, options, args) => {
    expectRight(record(options, ...args));
    const report = checked();
    expect(report).toMatchObject({ disagreements: [], unknown: {} });
    // what a vEVENTQ gives
    expect(Object.keys(report.unpredictable)).toEqual(['driver-private']);
    expect(report.predicted).toBeGreaterThan(50);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])('posted series %i', (n) => {
    const dialect = `${n < 4 ? 'vcmdq' : 'hw-queue'}-v${n}`;
    expectRight(record(['--dialect', dialect], '--series', `${n}`, '--rounds', '3'));
    expect(checked()).toMatchObject({ disagreements: [], unknown: {} });
  });

  test('VMMs that are killed, or that end without a word, leave their VINTF to the next one', () => {
    const script = 'for i in 1 2 3 4 5; do timeout -s KILL 0.$i "$0" --rounds 100000 --threads 2; done >/dev/null 2>&1; exec "$0"';
    const done = run(
      'record',
      '--on',
      'model',
      '--machine',
      'grace',
      '--force',
      '--spool',
      folder,
      '-o',
      trace(),
      '--',
      'bash',
      '-c',
      script,
      client,
    );
    expectRight(done);
    // a log tells of such an end when the recorder sees it: the next program may have the devices by then
    expect(checked().disagreements.filter((d) => d.rule !== 'vfio-bind.in-use')).toEqual([]);
  });

  test('Linux 6.12 has no vIOMMU', () => {
    const done = record(['--dialect', 'linux-6.12']);
    expect(done.stdout).toContain('"call":"IOMMU_VIOMMU_ALLOC","request":"0x3b90"');
    expect(done.stdout).toContain('"absent":true');
    expect(checked()).toMatchObject({ disagreements: [], unknown: {} });
  });

  test('a plain machine has no CMDQV', () => {
    const done = run('record', '--on', 'model', '--force', '--spool', folder, '-o', trace(), '--', client);
    expect(done.stdout).toContain('no vIOMMU with a CMDQV');
    expect(done.status).toBe(77);
    expect(checked().disagreements).toEqual([]);
  });
});
