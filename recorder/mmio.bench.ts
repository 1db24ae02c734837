/**
 * What an access costs that `record --mmio` traps: processor time of the thread that makes it, for the forms that go different
 * ways through the shim. Nearly all of it is the kernel's: a fault, a signal and the way back.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = [join(import.meta.dirname, '..'), join(import.meta.dirname, '../..')].find((folder) =>
  existsSync(join(folder, 'package.json')),
)!;
const client = join(root, 'dist/clients/mmio');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const FORMS = ['32-bit load', '32-bit store', '128-bit load', 'add to memory (a load and a store)'] as const;
const RUNS = 3;
const COUNT = 100_000;

/** Nanoseconds per form of the least disturbed of some runs; NaN where it does not work here. */
function measure(): number[] {
  const folder = mkdtempSync(join(tmpdir(), 'irr-bench-'));
  const record = ['record', '--mmio', '--on', 'model', '--force', '-o', join(folder, 'x.irr'), '--', client, '-b', String(COUNT)];
  try {
    const runs = Array.from({ length: RUNS }, () => {
      const ran = spawnSync(process.execPath, [cli, ...record], { encoding: 'utf8' });
      return ran.status === 0 ? ran.stdout.trim().split(' ').map(Number) : [];
    });
    return FORMS.map((_, i) => Math.min(...runs.map((run) => run[i] ?? Number.NaN)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function benchMmio(print: (line: string) => void = console.log): void {
  print('an access that is trapped and recorded, processor time in nanoseconds');
  const alone = Array.from({ length: RUNS }, () => Number(spawnSync(client, ['-s', String(COUNT)], { encoding: 'utf8' }).stdout));
  print(`  ${'a fault and its signal alone'.padEnd(36)} ${Math.min(...alone).toFixed(0)}`);
  const best = measure();
  for (const [i, form] of FORMS.entries()) print(`  ${form.padEnd(36)} ${best[i]!.toFixed(0)}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) benchMmio();
