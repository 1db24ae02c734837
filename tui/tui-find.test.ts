/** Searches, filters, the overview, the mouse and a recording that goes on, in a real terminal. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { RowIndex } from '../recorder/index-row.ts';
import { createSpool } from '../recorder/spool-layout.ts';
import { TraceWriter } from '../store/append.ts';
import { FrameCursor } from '../store/frame.ts';
import { sampleTrace } from './cli/sample.ts';
import { sampleSession } from './cli/sample-session.ts';
import { MAIN } from './pictures/scenes.ts';
import { longSession } from './testing.ts';
import { golden, type Pane, quoteWord, Tmux, tmuxVersion } from './tmux.ts';

const tmux = new Tmux();
let folder = '';
const inFolder = (name: string): string => join(folder, name);

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'irr-find-'));
  const { frames, table } = sampleSession();
  renameSync(sampleTrace(frames, table), inFolder('sample.irr'));
  renameSync(sampleTrace(longSession(9000).frames, table), inFolder('long.irr'));
});
afterAll(() => {
  tmux.kill();
  rmSync(folder, { recursive: true });
});

const program = (trace: string, ...options: readonly string[]): string =>
  ['node', MAIN, ...(options.includes('--follow') ? ['tui'] : []), inFolder(trace), ...options].map(quoteWord).join(' ');
const inTerminal = describe.skipIf(tmuxVersion() === undefined).concurrent;

/** A golden screen, and the keys that lead there from the one before. */
const WALK: readonly (readonly [name: string, ...keys: readonly string[]])[] = [
  ['filter-prompt', '&errno != 0 && call'],
  ['filter-completed', ' ~ ALLO', '<Tab>'],
  ['filter', '<C-u>', 'errno != 0', '<Enter>'],
  ['filter-next', 'jj'],
  ['filter-last', 'G'],
  ['filter-none', '&', '<C-u>', 'created(vdevice) && errno != 0', '<Enter>'],
  ['filter-text', '&', '<C-u>', 'queue', '<Enter>'],
  ['filter-away', '<Escape>'],
  ['search-hits', 'gg', '/alloc', '<Enter>', 'n'],
];

inTerminal.each([
  [80, 24],
  [140, 40],
])('at %ix%i', (columns, rows) => {
  test('filters and searches', async ({ expect: own }) => {
    const pane = tmux.open(columns, rows, program('sample.irr'));
    await pane.settled();
    for (const [name, ...keys] of WALK) {
      for (const key of keys) await pane.press(key);
      await golden(own, `${columns}x${rows}`, name, await pane.settled());
    }
    pane.kill();
  });
});

inTerminal('finding', () => {
  test('a search moves the cursor while it is typed, and Esc brings it back', async () => {
    const pane = tmux.open(80, 24, program('sample.irr'));
    const before = await pane.settled();
    expect(await pane.press('/viommu_a')).toMatch(/►\+ {4}8 .*VIOMMU_ALLOC/);
    expect(await pane.press('<BSpace>', 'zzz')).toMatch(/0 hits/);
    expect(await pane.press('<Escape>')).toBe(before);
    pane.kill();
  });

  test('hits and filters of a long log, in 16 colours', async ({ expect: own }) => {
    const pane = tmux.open(80, 24, program('long.irr', '--at', '5000'));
    await pane.settled();
    await pane.press('/999', '<Enter>');
    await golden(own, '80x24', 'colours-hits', pane.rows(true).join('\n').replace(/\d+·/, ''));
    const filtered = await pane.press('&call == DESTROY && errno == 0', '<Enter>');
    expect(filtered).toContain('& call == DESTROY && errno == 0 (69 of 9015)');
    expect(await pane.press('G')).toMatch(/►- \d+ .*DESTROY/);
    // what travel finds is shown though the filter hides it
    expect(await pane.press('[e')).toMatch(/►! \d+ .*DESTROY.*ENOENT/);
    pane.kill();
  });
});

/** What a terminal sends for the mouse, cells from 1. */
async function mouse(pane: Pane, button: number, x: number, y: number): Promise<string> {
  pane.bytes(`\x1b[<${button};${x};${y}M`);
  pane.counted(1);
  return await pane.settled();
}

inTerminal('the mouse', () => {
  test('wheel, rows, tabs, panes and the overview', async () => {
    const pane = tmux.open(80, 24, program('sample.irr'));
    await pane.settled();
    expect(pane.ask('#{mouse_standard_flag} #{mouse_sgr_flag}')).toBe('1 1');
    expect(await mouse(pane, 65, 10, 5)).toContain('event 4/33');
    expect(await mouse(pane, 64, 10, 5)).toContain('event 1/33');
    expect(await mouse(pane, 0, 10, 8)).toContain('event 6/33');
    // the name of the other tab, and a row of that pane
    expect(await mouse(pane, 0, 15, 12)).toContain('[3 Objects]');
    expect(await mouse(pane, 0, 5, 5)).toContain('event 3/33');
    expect(await mouse(pane, 0, 80, 22)).toContain('event 33/33');
    expect(await mouse(pane, 0, 1, 22)).toContain('event 1/33');
    expect(await pane.press('}}')).toContain('event 3/33');
    expect(await pane.press('<F2>')).toContain('the mouse is off');
    expect(pane.ask('#{mouse_standard_flag} #{mouse_sgr_flag}')).toBe('0 0');
    pane.kill();
  });

  test('it is the terminal’s again when the program ends, and with --no-mouse all the time', async () => {
    const pane = tmux.open(80, 24, `sh -c ${quoteWord(`${program('sample.irr')}; echo over; sleep 60`)}`);
    await pane.settled();
    expect(pane.ask('#{mouse_any_flag}')).toBe('1');
    pane.send('q');
    await pane.text('over');
    expect(pane.ask('#{mouse_any_flag}')).toBe('0');
    pane.kill();
    const without = tmux.open(80, 24, program('sample.irr', '--no-mouse'));
    await without.settled();
    expect(without.ask('#{mouse_any_flag}')).toBe('0');
    without.kill();
  });
});

inTerminal('a recording that goes on', () => {
  test.each([true, false])('is followed to its end (WAL: %s)', async (wal) => {
    const path = inFolder(`live-${wal}.irr`);
    const { frames } = longSession(400);
    const rows = new RowIndex(uapiTable('linux-7.2'));
    const cursor = new FrameCursor();
    const writer = TraceWriter.create(path, META, { wal });
    let written = 0;
    const write = (to: number): void => {
      for (; written < to; written++) writer.append(frames[written]!, 0, rows.row(cursor.at(frames[written]!, 0)));
      writer.flush();
    };
    write(5);
    const pane = tmux.open(80, 24, program(`live-${wal}.irr`, '--follow'));
    expect(await pane.settled()).toContain('event 5/5');
    write(40);
    await pane.text('event 40/40');
    expect((await pane.text(/FOLLOWING \d+\/s/)).split('\n')[0]).not.toContain('INCOMPLETE');
    // away from the end the cursor stays
    expect(await pane.press('k')).toContain('event 39/40');
    write(60);
    await pane.text('event 39/60');
    expect(await pane.press('G')).toContain('event 60/60');
    await pane.press('&errno != 0', '<Enter>');
    write(300);
    await pane.text(/& errno != 0 \(\d+ of 300\)/);
    writer.finish();
    writer.close();
    const ended = await pane.text('the recording has ended: 300 events');
    expect(ended).not.toContain('FOLLOWING');
    // what is found in the finished file is what was found while it grew
    await pane.press('<Escape>');
    expect(await pane.press('300G')).toContain('event 300/300');
    pane.kill();
  });

  test('whose recorder was killed is told, with what there is to do', async () => {
    const path = inFolder('killed.irr');
    const spool = inFolder('killed.spool');
    const none = { kernel: '', machine: '', cpu: '', recording: '', trace: path, bootId: '' };
    createSpool(spool, { realtimeNs: 0n, monotonicNs: 0n, ...none }, 1);
    const held = openSync(spool, 'r+');
    const { frames } = longSession(20);
    const rows = new RowIndex(uapiTable('linux-7.2'));
    const cursor = new FrameCursor();
    const writer = TraceWriter.create(path, { ...META, spool });
    for (const frame of frames) writer.append(frame, 0, rows.row(cursor.at(frame, 0)));
    writer.flush();
    const pane = tmux.open(100, 24, program('killed.irr', '--follow'));
    await pane.text('FOLLOWING 0/s');
    closeSync(held);
    const shown = await pane.text('RECORDER GONE');
    expect(shown).toContain(`recorder gone: iommufd-rr recover ${spool}`);
    pane.kill();
    writer.close();
    expect(spawnSync('node', [MAIN, 'info', path], { encoding: 'utf8' }).stdout).toContain(`iommufd-rr recover ${spool}`);
  });
});

const META = {
  v: 1,
  tool: 'test',
  source: 'capture',
  kernel: '7.2.12',
  machine: 'x86_64',
  cpu: '',
  command: ['vmm'],
  cwd: '/',
  dialect: 'linux-7.2',
  clock: { realtimeNs: 0n, monotonicNs: 0n },
  complete: false,
  dropped: 0,
  exit: { status: 0 },
} as const;
