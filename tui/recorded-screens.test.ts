/** A person's ways through recorded sessions of both kernels and through the CMDQV, in a real terminal: looking, searching, filtering. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { inProject, MAIN } from './pictures/scenes.ts';
import { quoteWord, Tmux, tmuxVersion } from './tmux.ts';

const SIZES = [
  [80, 24],
  [140, 40],
] as const;

/** Keys, and the name of the screen that they lead to from the one before. */
type Walk = readonly (readonly [name: string, ...keys: readonly string[]])[];

/** What the program is started with: recorded sessions by name, `simulate NAME` as `NAME.scn`. */
const WALKS: readonly (readonly [name: string, trace: string, walk: Walk])[] = [
  [
    'vmm-7.2',
    'vmm-7.2.irr',
    [
      ['start'],
      ['why', '72G'],
      ['created', '75G', '4'],
      ['set', '92G'],
      ['objects', '105G', '3'],
      ['hex', '1', 'x'],
      ['typed', 'gg', 'x', '/vev'],
      ['completed', '<Tab>'],
      ['searched', '<Enter>'],
      ['searched-back', 'n', 'n', 'N'],
      ['filter-mistake', '<Escape>', '&errno == EBUS', '<Enter>'],
      ['filter-typed', 'Y'],
      ['filtered', '<Enter>'],
      ['filtered-last', 'G'],
      ['filtered-error-before', '[e'],
      ['nothing-left', '&', '<C-u>', 'object == 4711', '<Enter>'],
      ['all-again', '<Escape>'],
    ],
  ],
  [
    'vmm-6.12',
    'vmm-6.12.irr',
    [['start'], ['found-not', '/busy', '<Enter>'], ['last-error', '<Escape>', 'G', '[e'], ['ended', 'K', '3'], ['objects', '50%']],
  ],
  [
    'smmu-7.2',
    'smmu-7.2-arm64.irr',
    [
      ['start'],
      ['devices', '40%', '5'],
      ['event-of-hardware', '2', '144G'],
      ['event-of-hardware-below', 'z', '<PageDown>'],
      ['objects', '<Escape>', '70%', '3'],
      ['invalidated', '1', '/invalidate', '<Enter>', '<Enter>'],
    ],
  ],
  [
    'error',
    'error.scn',
    [['start'], ['stopped', '72G'], ['queues', '6'], ['recovered', 's', 's', 's', 's', 's', 's', 's', 's', 's', 's'], ['changed', '4']],
  ],
  [
    'stuck',
    'stuck.scn',
    [
      ['why', '95G'],
      ['queues', '6', 'z'],
      ['end', 'G'],
    ],
  ],
];

const version = tmuxVersion();
if (version === undefined) console.warn('no tmux here: recorded sessions are not tested in a terminal');
const tmux = new Tmux();
let folder = '';

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'irr-recorded-'));
});
afterAll(() => {
  tmux.kill();
  rmSync(folder, { recursive: true });
});

/** A trace's path; a scenario is simulated the first time. */
function pathOf(trace: string): string {
  if (!trace.endsWith('.scn')) return inProject(`fixtures/traces/${trace}`);
  const name = trace.slice(0, -'.scn'.length);
  const path = join(folder, `${name}.irr`);
  if (!existsSync(path)) spawnSync('node', [MAIN, 'simulate', name, '-o', path]);
  return path;
}

describe.skipIf(version === undefined).each(SIZES)('at %ix%i', (columns, rows) => {
  test.concurrent.for(WALKS)('%s', async ([name, trace, walk], { expect }) => {
    const pane = tmux.open(columns, rows, ['node', MAIN, pathOf(trace)].map(quoteWord).join(' '));
    await pane.settled();
    for (const [screen, ...keys] of walk) {
      // one by one: Esc and a key in one piece are another key
      for (const key of keys) await pane.press(key);
      const file = inProject(`fixtures/golden/screens/${columns}x${rows}/${name}/${screen}.txt`);
      await expect(`${await pane.settled()}\n`).toMatchFileSnapshot(file);
    }
    pane.kill();
  });
});
