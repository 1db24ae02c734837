/** The panes in a real terminal, over recordings of real kernels and over scenarios of the CMDQV, at every kind of layout. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Pane, quoteWord, Tmux, tmuxVersion } from './tmux.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const MAIN = path('../dist/bin/iommufd-rr.js');
const GOLDEN = '../fixtures/golden/screens/panes';
const SCENARIOS = ['error', 'wrap', 'kvm'];

const tmux = new Tmux();
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-panes-'));
  for (const name of SCENARIOS) execFileSync('node', [MAIN, 'simulate', name, '-o', join(folder, `${name}.irr`)]);
});
afterAll(() => {
  tmux.kill();
  rmSync(folder, { recursive: true });
});

const traceOf = (name: string): string => (SCENARIOS.includes(name) ? join(folder, `${name}.irr`) : path(`../fixtures/traces/${name}.irr`));

function open(trace: string, size: string, ...options: readonly string[]): Pane {
  const [columns, rows] = size.split('x').map(Number);
  return tmux.open(columns!, rows!, ['node', MAIN, traceOf(trace), ...options].map(quoteWord).join(' '));
}

/** A screen, and the keys that lead there from the event `at`. */
interface Row {
  readonly name: string;
  readonly trace: string;
  readonly at: number;
  readonly sizes: readonly string[];
  readonly keys?: readonly string[];
}

const NARROW = '60x20';
const USUAL = '80x24';
const WIDE = '140x40';
const BROAD = '210x50';

const ROWS: readonly Row[] = [
  // what the event changed
  { name: 'changed-object', trace: 'selftest-viommu-7.2', at: 117, sizes: [USUAL], keys: ['4'] },
  { name: 'changed-end', trace: 'vmm-6.12', at: 59, sizes: [USUAL], keys: ['4'] },
  { name: 'changed-registers', trace: 'error', at: 84, sizes: [USUAL, WIDE], keys: ['4', 'z'] },
  // why
  { name: 'why-refused', trace: 'smmu-7.2-arm64', at: 61, sizes: [NARROW, USUAL, WIDE], keys: ['2'] },
  { name: 'why-busy', trace: 'vmm-7.2', at: 1, sizes: [USUAL], keys: ['/EBUSY', '<Enter>'] },
  { name: 'why-queue', trace: 'error', at: 84, sizes: [USUAL], keys: ['2', 'z'] },
  // devices
  { name: 'devices', trace: 'vfio-7.2', at: 34, sizes: [NARROW, USUAL, WIDE], keys: ['5'] },
  { name: 'devices', trace: 'pci-6.12', at: 138, sizes: [USUAL], keys: ['5'] },
  // objects with IOVA maps
  { name: 'maps', trace: 'vmm-7.2', at: 40, sizes: [USUAL, WIDE], keys: ['3', 'z'] },
  // the CMDQV
  { name: 'queues-fail', trace: 'error', at: 72, sizes: [NARROW, USUAL, WIDE, BROAD], keys: ['6'] },
  { name: 'queues-whole', trace: 'error', at: 84, sizes: [USUAL], keys: ['6', 'z', '<Space>'] },
  { name: 'queues-wrap', trace: 'wrap', at: 60, sizes: [USUAL], keys: ['6', 'z'] },
  { name: 'guest', trace: 'kvm', at: 45, sizes: [USUAL], keys: ['6', 'z', 'G'] },
  // the list: times and lanes
  { name: 'since-before', trace: 'smmu-7.2-arm64', at: 60, sizes: [NARROW, USUAL], keys: ['t'] },
  { name: 'of-the-day', trace: 'smmu-7.2-arm64', at: 60, sizes: [WIDE], keys: ['t', 't'] },
  { name: 'threads', trace: 'vmm-7.2', at: 30, sizes: [NARROW, WIDE] },
  { name: 'processes', trace: 'selftest-viommu-7.2', at: 80, sizes: [USUAL, WIDE], keys: ['T'] },
  { name: 'contexts', trace: 'selftest-viommu-7.2', at: 80, sizes: [USUAL], keys: ['T', 'T'] },
];

describe.skipIf(tmuxVersion() === undefined).concurrent('panes', () => {
  test.for(ROWS.flatMap((row) => row.sizes.map((size) => [row.name, row.trace, size, row] as const)))(
    '%s of %s at %s',
    async ([name, trace, size, row], { expect: own }) => {
      const pane = open(trace, size, '--at', String(row.at));
      let screen = await pane.settled();
      for (const key of row.keys ?? []) screen = await pane.press(key);
      await own(`${screen}\n`).toMatchFileSnapshot(`${GOLDEN}/${size}/${name}-${trace}.txt`);
      pane.kill();
    },
  );

  test('in ASCII and without colours bars and marks are ASCII too', async ({ expect: own }) => {
    const pane = open('error', USUAL, '--at', '84', '--ascii', '--color', 'never');
    await pane.settled();
    const screen = await pane.press('6', 'z');
    await own(`${screen}\n`).toMatchFileSnapshot(`${GOLDEN}/80x24/queues-ascii.txt`);
    expect(screen).toMatch(/^[\n\x20-\x7e]*$/);
    expect(screen).toContain('[#.......] 2/16');
    expect(pane.rows(true).join('\n')).not.toMatch(/\x1b\[[0-9;]*3[0-7]/);
    pane.kill();
  });

  test('panes that a trace has nothing for are not there', async () => {
    const pane = open('vmm-6.12', USUAL);
    const screen = await pane.settled();
    expect(screen).toContain('[2 Detail] 3 Objects  4 Changed ─');
    expect(await pane.press('6')).toContain('this trace has nothing for CMDQV');
    expect(await pane.press('<BTab>')).toContain('[4 Changed]');
    pane.kill();
  });

  test('there and back again every pane says the same', async () => {
    const pane = open('error', BROAD, '--at', '70');
    const forward = [await pane.settled()];
    for (let i = 0; i < 8; i++) forward.push(await pane.press('j'));
    for (let i = 7; i >= 0; i--) expect(await pane.press('k')).toBe(forward[i]);
    pane.kill();
  });
});
