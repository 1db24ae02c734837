/** Every travel key in a real terminal: over a made session, over a recording of a kernel, over a CMDQV scenario. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { Script } from '../replayer/script.ts';
import { Start } from '../store/frame.ts';
import { sampleTrace } from './cli/sample.ts';
import { sampleSession } from './cli/sample-session.ts';
import { MAIN } from './pictures/scenes.ts';
import { golden, quoteWord, Tmux, tmuxVersion } from './tmux.ts';

const RECORDED = fileURLToPath(new URL('../fixtures/traces/vmm-7.2.irr', import.meta.url));
const tmux = new Tmux();
let folder = '';
const inFolder = (name: string): string => join(folder, name);

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'irr-travel-'));
  const simulated = spawnSync('node', [MAIN, 'simulate', 'error', '-o', inFolder('error.irr')], { encoding: 'utf8' });
  expect(simulated.status, simulated.stderr).toBe(0);
});
afterAll(() => {
  tmux.kill();
  rmSync(folder, { recursive: true });
});

let copies = 0;
/** A trace of one's own, as bookmarks are kept in it. */
function traceOf(kind: 'sample' | 'recorded' | 'error'): string {
  const name = inFolder(`${kind}-${++copies}`);
  const { frames, table } = sampleSession();
  mkdirSync(name);
  const path = join(name, `${kind}.irr`);
  if (kind === 'sample') renameSync(sampleTrace(frames, table), path);
  else copyFileSync(kind === 'recorded' ? RECORDED : inFolder('error.irr'), path);
  return path;
}
const program = (path: string, ...options: readonly string[]): string => ['node', MAIN, path, ...options].map(quoteWord).join(' ');
const inTerminal = describe.skipIf(tmuxVersion() === undefined).concurrent;

type Walk = readonly (readonly [name: string, ...keys: readonly string[]])[];

const SAMPLE: Walk = [
  ['next-of-object', '8G', ']o'],
  ['previous-of-object', '[o', '[o'],
  ['next-of-thread', '20G', ']t'],
  ['next-of-process', '20G', '2]p'],
  ['next-of-call', '10G', ']c'],
  ['next-of-register-not', ']r'],
  ['birth', '13G', 'gc'],
  ['death', 'gd'],
  ['back-in-history', 'H', 'H'],
  ['forward-in-history', 'L'],
  ['watch-prompt', 'werrno == EBUZY'],
  ['watch-mistake', '<Enter>'],
  ['watch', '<C-u>', 'errno == EBUSY', '<Enter>'],
  ['run', '1G', 'c'],
  ['run-back', '30G', 'C'],
  ['run-by-state', ':run destroyed(viommu 6)', '<Enter>'],
  ['run-in-vain', ':back errno == ENOMEM', '<Enter>'],
  ['time', ':@0.000012', '<Enter>'],
  ['time-wall', ':2025-06-15 15:06:40.000007', '<Enter>'],
  ['time-beyond', ':@77', '<Enter>'],
  ['bookmark', '13G', 'ma', 'athe parent is still in use', '<Enter>'],
  ['bookmark-from-afar', '1G', "'a"],
  ['places', 'M'],
  ['link', '<Escape>', '12G', ']]'],
  ['link-opened', 'gf'],
  ['continuations', 'y'],
];

inTerminal.each([
  [80, 24],
  [140, 40],
])('at %ix%i', (columns, rows) => {
  const size = `${columns}x${rows}`;
  test('a walk with the travel keys', async ({ expect: own }) => {
    const pane = tmux.open(columns, rows, program(traceOf('sample')));
    await pane.settled();
    for (const [name, ...keys] of SAMPLE) {
      for (const key of keys) await pane.press(key);
      await golden(own, size, `travel-${name}`, await pane.settled());
    }
    pane.kill();
  });

  test('an object chosen in its pane, in a recording of a kernel', async ({ expect: own }) => {
    const pane = tmux.open(columns, rows, program(traceOf('recorded'), '--at', '50%'));
    await pane.settled();
    await pane.press('<Tab>', '<Tab>');
    await golden(own, size, 'travel-object-chosen', await pane.press('j', 'j', 'j'));
    await golden(own, size, 'travel-object-birth', await pane.press('<Enter>'));
    await golden(own, size, 'travel-object-next', await pane.press(']o'));
    pane.kill();
  });

  test('registers and their watches, in a scenario of a CMDQV', async ({ expect: own }) => {
    const pane = tmux.open(columns, rows, program(traceOf('error')));
    await pane.settled();
    await golden(own, size, 'travel-run-register', await pane.press(':run LVCMDQ1.GERROR != 0', '<Enter>'));
    await pane.press(':run kind == mmio && reg == GERROR', '<Enter>');
    // one by one: a key ends what runs
    await golden(own, size, 'travel-next-of-register', await pane.press(']r'));
    await pane.press('[r');
    await golden(own, size, 'travel-previous-of-register', await pane.press('[r'));
    pane.kill();
  });
});

inTerminal('what is kept', () => {
  test('bookmarks and notes are there the next time, and go when they are taken away', async () => {
    const path = traceOf('sample');
    const first = tmux.open(80, 24, program(path));
    await first.settled();
    await first.press('13G', 'mb', 'anot yet', '<Enter>');
    first.kill();
    const again = tmux.open(80, 24, program(path));
    await again.settled();
    expect(await again.press("'b")).toMatch(/!b {2}13 .*DESTROY/);
    expect(await again.settled()).toContain('not yet');
    expect(existsSync(`${path}.marks`)).toBe(false);
    expect(await again.press('m-', 'a', '<C-u>', '<Enter>')).not.toMatch(/!b|not yet/);
    again.kill();
  });
});

inTerminal('copies', () => {
  test('reach the clipboard of the terminal, and nothing else does', async () => {
    const path = traceOf('sample');
    const pane = tmux.open(140, 40, program(path, '--at', '13'));
    await pane.settled();
    tmux.run('set-option', '-s', 'set-clipboard', 'on');
    const copied = async (keys: string): Promise<string> => {
      const shown = await pane.press(keys);
      const bytes = Number(/(\d+) bytes by OSC 52/.exec(shown)?.[1]);
      const text = tmux.run('show-buffer');
      expect(Buffer.byteLength(text)).toBe(bytes);
      return text;
    };
    expect(await copied('yt')).toMatch(/^13 .* IOMMU_DESTROY, \{id=5\}\) = -1 EBUSY/);
    expect(JSON.parse(await copied('yj'))).toMatchObject({ seq: 13, errno: 'EBUSY' });
    expect(await copied('yw')).toMatch(/^event 13: .*EBUSY.*\n {2}why /);
    const command = await copied('yc');
    const ran = spawnSync('bash', ['--norc', '-c', command.replace('iommufd-rr', `node ${quoteWord(MAIN)}`)], { encoding: 'utf8' });
    expect(ran.stdout).toMatch(/^13 [^\n]*EBUSY[^\n]*\n$/);
    // text that a terminal must not obey
    expect(await copied('22Gyt')).toContain('\\x1b[2Jevil');
    pane.kill();
  });
});

/** A session with an hour before each of its events. */
function slowSession() {
  const table = uapiTable('linux-7.2');
  const s = new Script(table, 1);
  s.start(Start.EXEC, 4000, '/usr/bin/vmm');
  for (let i = 0; i < 60; i++) {
    s.now += 3600e9;
    s.open(3 + i);
  }
  return { table, frames: s.frames };
}

inTerminal('play', () => {
  test('goes to the end at the recorded pace', async () => {
    const pane = tmux.open(80, 24, program(traceOf('sample')));
    await pane.settled();
    expect(await pane.press('p')).toMatch(/event 33\/33/);
    pane.kill();
  });

  test('is stopped by any key where it is', async () => {
    const { frames, table } = slowSession();
    const path = sampleTrace(frames, table);
    const pane = tmux.open(80, 24, program(path));
    await pane.settled();
    // even shortened the pauses last two minutes: longer than anything waits for a key
    pane.send('p');
    pane.send('x');
    pane.counted(2);
    const shown = await pane.settled();
    const [, at] = / stopped at (\d+)/.exec(shown) ?? [];
    expect(shown).toContain(`event ${at}/61`);
    expect(Number(at)).toBeLessThan(61);
    pane.kill();
    rmSync(dirname(path), { recursive: true });
  });
});
