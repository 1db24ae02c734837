/**
 * What recording costs the program: the time of an ioctl bare, recorded, and under strace, in the same run. In bursts with
 * pauses, as drivers and VMMs make their calls, the spool stays in a few slots that are in the caches; flat out the program
 * outruns the recorder and every event goes to memory that nobody has touched.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = [join(import.meta.dirname, '..'), join(import.meta.dirname, '../..')].find((folder) =>
  existsSync(join(folder, 'package.json')),
)!;
const pace = join(root, 'dist/clients/pace');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const RUNS = 3;

interface Way {
  readonly name: string;
  readonly before: readonly string[];
  /** fewer bursts where each takes long */
  readonly bursts?: number;
}

/** Median nanoseconds per call of the least disturbed of some runs. NaN where the way does not work here. */
function measure(ways: readonly Way[], args: readonly string[], bursts: number): number[] {
  const best = ways.map(() => Number.NaN);
  for (let run = 0; run < RUNS; run++)
    ways.forEach((way, i) => {
      const [program = '', ...words] = [...way.before, pace, ...args, '-n', String(way.bursts ?? bursts)];
      const ran = spawnSync(program, words, { encoding: 'utf8' });
      const ns = ran.status === 0 ? Number(ran.stdout.split(' ')[0]) : Number.NaN;
      if (!(best[i]! <= ns)) best[i] = ns;
    });
  return best;
}

export function benchIoctl(print: (line: string) => void = console.log): void {
  const folder = mkdtempSync(join(tmpdir(), 'irr-bench-'));
  const record = [process.execPath, cli, 'record', '--force', '-o', join(folder, 'x.irr'), '--'];
  const ways: readonly Way[] = [
    { name: 'bare', before: [] },
    { name: 'recorded', before: record },
    { name: 'strace', before: ['strace', '-f', '-o', '/dev/null'], bursts: 10 },
  ];
  try {
    print('ioctl on /dev/null, 64 bytes in and out, median nanoseconds per call');
    const rows: readonly (readonly [string, readonly string[], number])[] = [
      ['in bursts of 4000', ['-b', '4000', '-p', '25'], 40],
      ['flat out', ['-b', '20000', '-p', '0'], 40],
    ];
    for (const [name, args, bursts] of rows) {
      const [bare, recorded, strace] = measure(ways, args, bursts) as [number, number, number];
      const added = recorded - bare;
      const times = Number.isNaN(strace)
        ? 'no strace here'
        : `strace adds ${(strace - bare).toFixed(0)} (${((strace - bare) / added).toFixed(0)} times as much)`;
      print(`  ${name.padEnd(18)} bare ${bare.toFixed(0)}, recorded adds ${added.toFixed(0)}, ${times}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) benchIoctl();
