/** How fast logs are imported: a log of each format, and one merged with a recording. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Format } from './format.ts';
import { FTRACE } from './ftrace.ts';
import { importLog } from './import.ts';
import { MMIOTRACE } from './mmiotrace.ts';

const COUNT = 300_000;
const time = (i: number): string => `${Math.floor(i / 300_000) + 1}.${String((3 * i) % 1_000_000).padStart(6, '0')}`;
const value = (i: number): string => `0x${(Math.imul(i, 2654435761) >>> 0).toString(16)}`;

const LINES: readonly (readonly [Format, (i: number) => string])[] = [
  [MMIOTRACE, (i) => `${i % 3 === 0 ? 'R' : 'W'} 4 ${time(i)} 1 0x${(0xc000000000 + ((4 * i) & 0x3fff)).toString(16)} ${value(i)} 0x0 0\n`],
  [
    FTRACE,
    (i) => {
      const head = `            vfio-82      [001] d....     ${time(i)}`;
      const address = `addr=0xffff8000${(0x80d95000 + ((4 * i) & 0xfff)).toString(16)}`;
      const line = (name: string, at: string): string =>
        `${head}: ${name}: arm_smmu_cmdq_issue_cmdlist+0x3f8/0x5d0 -> ${at} width=32 val=${value(i)} ${address}\n`;
      return line('rwmmio_write', 'writel_relaxed+0x24/0x7c') + line('rwmmio_post_write', 'writel_relaxed+0x4c/0x7c');
    },
  ],
];

export function benchImport(print: (line: string) => void = console.log): void {
  print(`import of ${COUNT} accesses`);
  const folder = mkdtempSync(join(tmpdir(), 'irr-bench-'));
  try {
    let recording: string | undefined;
    for (const [format, line] of [...LINES, LINES[0]!]) {
      const [input, output] = [join(folder, 'log.txt'), join(folder, `${recording === undefined ? '' : 'with-'}${format.name}.irr`)];
      writeFileSync(input, Array.from({ length: COUNT }, (_, i) => line(i)).join(''));
      const together = format === MMIOTRACE ? recording : undefined;
      const began = performance.now();
      importLog({ format, input, output, force: true, tool: 'bench', regions: [], recording: together, offset: 0n });
      const seconds = (performance.now() - began) / 1000;
      const what = together === undefined ? format.name : `${format.name}, merged with as many`;
      const rates = `${(COUNT / seconds / 1000).toFixed(0)} k accesses/s, ${(statSync(input).size / seconds / 1e6).toFixed(0)} MB/s`;
      print(`  ${what.padEnd(36)} ${rates}, ${(statSync(output).size / COUNT).toFixed(1)} bytes an access`);
      if (format === FTRACE) recording = output;
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) benchImport();
