/** The built program in a real terminal. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { sampleTrace } from './cli/sample.ts';
import { sampleSession } from './cli/sample-session.ts';
import { MAIN } from './pictures/scenes.ts';
import { longSession } from './testing.ts';
import { golden, type Pane, quoteWord, Tmux, tmuxVersion } from './tmux.ts';

const version = tmuxVersion();
if (version === undefined) console.warn('no tmux here: the screens are not tested in a terminal');

const tmux = new Tmux();
let folder = '';
const inFolder = (name: string): string => join(folder, name);

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'irr-tui-'));
  const { frames, table } = sampleSession();
  renameSync(sampleTrace(frames, table), inFolder('sample.irr'));
  renameSync(sampleTrace(longSession(9000).frames, table), inFolder('long.irr'));
});
afterAll(() => {
  tmux.kill();
  rmSync(folder, { recursive: true });
});

const program = (trace: string, ...options: readonly string[]): string =>
  ['node', MAIN, inFolder(trace), ...options].map(quoteWord).join(' ');
/** Side by side: most of the time a program starts, or waits. */
const inTerminal = describe.skipIf(version === undefined).concurrent;

/** One walk through the screens: a golden screen, and the keys that lead there from the one before. */
const WALK: readonly (readonly [name: string, ...keys: readonly string[]])[] = [
  ['start'],
  ['stepped', 'jjj'],
  ['created', '8G'],
  ['next-error', ']e'],
  ['detail', '<Enter>', 'S', 'S'],
  ['detail-below', '<PageDown>'],
  ['zoomed', 'z'],
  ['hex', 'x'],
  ['back', '<Escape>', 'x', '<Escape>'],
  ['objects', '16G', '<Tab>', '<Tab>'],
  ['objects-right', 'l'],
  ['objects-ended', '1', '<End>', '3'],
  ['previous-change', '1', 'K'],
  ['previous-error', '[e'],
  ['prompt', '/queue'],
  ['found-not', '<Enter>'],
  ['found', 'N'],
  ['goto', ':999', '<Enter>'],
  ['help', '?'],
  ['help-below', '<Space>'],
];

inTerminal.each([
  [80, 24],
  [140, 40],
])('at %ix%i', (columns, rows) => {
  const size = `${columns}x${rows}`;
  test('a walk through all panes', async ({ expect: own }) => {
    const pane = tmux.open(columns, rows, program('sample.irr'));
    for (const [name, ...keys] of WALK) {
      // one by one: Esc and a key in one piece are another key
      for (const key of keys) await pane.press(key);
      await golden(own, size, name, await pane.settled());
    }
    pane.kill();
  });

  test('in ASCII, without colours: no byte above 127, no colour', async ({ expect: own }) => {
    const pane = tmux.open(columns, rows, program('sample.irr', '--ascii', '--at', '13'), { NO_COLOR: '1' });
    const screen = await pane.settled();
    await golden(own, size, 'ascii', screen);
    expect(screen).toMatch(/^[\n\x20-\x7e]*$/);
    expect(pane.rows(true).join('\n')).not.toMatch(/\x1b\[[0-9;]*3[0-7]/);
    pane.kill();
  });
});

/** A long trace whose last chunk cannot be unpacked. */
function damagedTrace(): string {
  const path = inFolder('damaged.irr');
  renameSync(sampleTrace(longSession(9000).frames, sampleSession().table), path);
  const db = new Database(path);
  db.unsafeMode(true);
  db.exec('DROP TRIGGER chunks_no_update');
  db.exec('UPDATE chunks SET data = zeroblob(length(data)) WHERE first = (SELECT max(first) FROM chunks)');
  const original = new Database(inFolder('long.irr'), { readonly: true });
  db.exec(original.prepare("SELECT sql FROM sqlite_schema WHERE name = 'chunks_no_update'").pluck().get() as string);
  original.close();
  db.close();
  return 'damaged.irr';
}

inTerminal('a session', () => {
  test('a damaged chunk: its rows say so, the rest can be used', async ({ expect: own }) => {
    const pane = tmux.open(80, 24, program(damagedTrace()));
    await pane.press('G');
    await golden(own, '80x24', 'damaged', await pane.settled());
    // the state there counts what is lost; what can be read is as ever
    const first = await pane.press('gg');
    expect(first).not.toContain('damaged  ');
    expect(await pane.press(']e')).toContain('= ENOENT');
    pane.kill();
  });

  test('colours are those of the theme', async ({ expect: own }) => {
    const pane = tmux.open(80, 24, program('sample.irr', '--at', '10'));
    await pane.settled();
    await golden(own, '80x24', 'colours', pane.rows(true).join('\n').replace(/0·/, ''));
    pane.kill();
  });

  test('time goes both ways: there and back again is the same screen', async () => {
    const pane = tmux.open(140, 40, program('sample.irr'));
    const forward = [await pane.settled()];
    for (let i = 0; i < 8; i++) forward.push(await pane.press('j'));
    const backward = [forward.at(-1)!];
    for (let i = 0; i < 8; i++) backward.unshift(await pane.press('k'));
    expect(backward).toEqual(forward);
    expect(await pane.press('J', 'J', 'K')).toBe(forward[1]);
    pane.kill();
  });

  test('CI=1 changes nothing', async ({ expect: own }) => {
    const pane = tmux.open(80, 24, program('sample.irr'), { CI: '1' });
    await golden(own, '80x24', 'start', await pane.settled());
    await golden(own, '80x24', 'stepped', await pane.press('jjj'));
    pane.kill();
  });

  test('a trace without events has a screen, and keys that do nothing', async ({ expect: own }) => {
    renameSync(sampleTrace([], sampleSession().table), inFolder('empty.irr'));
    const pane = tmux.open(80, 24, program('empty.irr'));
    await pane.settled();
    await golden(own, '80x24', 'empty', await pane.press('jkGgg', 'J', ']e', '3', 'x', '50%', '1'));
    pane.kill();
  });

  test('a resize draws everything anew, at any size', async ({ expect: own }) => {
    const pane = tmux.open(140, 40, program('sample.irr', '--at', '16'));
    await pane.settled();
    pane.resize(60, 15);
    await golden(own, '60x15', 'events', await pane.settled());
    await golden(own, '60x15', 'objects', await pane.press('<BTab>'));
    pane.resize(30, 8);
    expect(await pane.text('iommufd-rr needs')).toBe(`iommufd-rr needs 40x10, this\nis 30x8${'\n'.repeat(6)}`);
    pane.resize(80, 24);
    await pane.settled();
    await golden(own, '80x24', 'resized', await pane.press('1', '<Escape>'));
    pane.resize(200, 60);
    await golden(own, '200x60', 'resized', await pane.settled());
    pane.kill();
  });

  test('at the end of a long trace every key is taken, and the way there is told', async () => {
    const pane = tmux.open(80, 24, program('long.irr'));
    await pane.settled();
    const end = await pane.press('G');
    expect(end).toMatch(/event (\d+)\/\1 .* 100 %/);
    expect(await pane.press('gg', 'G')).toBe(end);
    expect(await pane.press('/ioas_alloc', '<Enter>')).toContain('no later event that matches "ioas_alloc"');
    expect(await pane.press('N')).toMatch(/[►].*IOAS_ALLOC .*creates IOAS/);
    pane.kill();
  });
});

/** What may stand in the program's output: modes, attributes, positions, erasing. */
const OURS = /\x1b\[(?:\?[0-9]+[hl]|[0-9;]*m|[0-9]+;[0-9]+H|2J|K)/g;

inTerminal('a hostile trace', () => {
  test('its strings never act on the terminal', async () => {
    const evil = 'a\x1b]0;owned\x07\x1b[2J\x1bPq#\x1b\\\x9b31m\x0e\u202eb\u0301\u{1f600}\x7f';
    const { frames, table } = sampleSession();
    const meta = { kernel: evil, machine: evil, command: [evil, evil], cwd: evil };
    renameSync(sampleTrace(frames, table, meta), inFolder('evil\x1b[31m.irr'));
    const pane = tmux.open(140, 40, `sh -c ${quoteWord(`read go; exec ${program('evil\x1b[31m.irr')}`)}`);
    pane.record(inFolder('output'));
    pane.send('<Enter>');
    await pane.settled();
    for (const keys of ['22G', 'x', 'z', '<Tab>', '1', '?', 'q', '28G', 'x', '/no such \u202e', '<Enter>']) await pane.press(keys);
    const output = readFileSync(inFolder('output'), 'utf8');
    expect(output.length).toBeGreaterThan(5000);
    expect(output.replace(OURS, '').match(/[^\x20-\x7e┌┐└┘│─┏┓┗┛┃━├►…·→◆◦◇✗▕▏░▌▁▂▃▄▅▆▇█▲•\r\n]/gu)).toBeNull();
    expect(pane.ask('#{pane_title}')).not.toContain('owned');
    pane.kill();
  });
});

inTerminal('the terminal is given back', () => {
  const PROMPT = 'ready> ';
  /** A shell that has run a command; what its screen shows is there again when the program is over. */
  async function shell(): Promise<{ pane: Pane; before: string[] }> {
    const pane = tmux.open(80, 24, 'sh -i', { PS1: PROMPT, ENV: undefined });
    await prompt(pane);
    pane.send('echo kept', '<Enter>');
    await pane.text(/^kept$/m);
    return { pane, before: await prompt(pane) };
  }
  const lastRow = (rows: readonly string[]): string => rows.findLast((row) => row !== '') ?? '';
  const prompt = (pane: Pane): Promise<string[]> => pane.until((rows) => `${lastRow(rows)} ` === PROMPT, 'the prompt');

  async function givenBack(pane: Pane, before: readonly string[]): Promise<string> {
    const after = await prompt(pane);
    const kept = before.filter((row) => row !== '').slice(0, -1);
    expect(after.slice(0, kept.length)).toEqual(kept);
    expect(pane.ask('#{alternate_on} #{cursor_flag} #{wrap_flag}')).toBe('0 1 1');
    pane.send('stty -a', '<Enter>');
    expect(await pane.text(/ icanon .* echo /s)).not.toMatch(/-icanon|-echo /);
    return after.join('\n');
  }

  test('on q', async () => {
    const { pane, before } = await shell();
    pane.send(`${program('sample.irr')}; echo status $?`, '<Enter>');
    await pane.settled();
    expect(pane.ask('#{alternate_on} #{cursor_flag} #{wrap_flag}')).toBe('1 0 0');
    pane.send('q');
    expect(await givenBack(pane, before)).toContain('status 0');
    pane.kill();
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('on %s', async (signal, status) => {
    const { pane, before } = await shell();
    pane.send(`${program('sample.irr')}; echo status $?`, '<Enter>');
    await pane.settled();
    process.kill(pane.pid(true), signal);
    expect(await givenBack(pane, before)).toContain(`status ${status}`);
    pane.kill();
  });

  test('on a mistake that nobody catches', async () => {
    const { pane, before } = await shell();
    writeFileSync(inFolder('trap.mjs'), "process.on('SIGUSR2', () => { throw new Error('planted'); });");
    pane.send(`NODE_OPTIONS=--import=${quoteWord(inFolder('trap.mjs'))} ${program('sample.irr')}; echo status $?`, '<Enter>');
    await pane.settled();
    process.kill(pane.pid(true), 'SIGUSR2');
    const after = await givenBack(pane, before);
    expect(after).toContain('this is a mistake of the program: planted');
    expect(after).toContain('status 2');
    pane.kill();
  });

  test('on Ctrl-Z, and taken again on fg', async () => {
    const { pane, before } = await shell();
    pane.send(program('sample.irr'), '<Enter>');
    const shown = await pane.press('jjj');
    pane.send('<C-z>');
    await givenBack(pane, before);
    pane.send('fg', '<Enter>');
    await pane.text('1 Events');
    // Ctrl-z was a key, too
    pane.counted(1);
    expect(await pane.settled()).toBe(shown);
    expect(await pane.press('k', 'j')).toBe(shown);
    pane.send('q');
    await prompt(pane);
    pane.kill();
  });
});

inTerminal('a terminal that goes away', () => {
  test('ends the program', async () => {
    const pane = tmux.open(80, 24, `sh -c ${quoteWord(`exec ${program('long.irr')} 2>${quoteWord(inFolder('complaints'))}`)}`);
    await pane.settled();
    const pid = pane.pid();
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    pane.kill();
    await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: 10_000, interval: 10 });
    expect(readFileSync(inFolder('complaints'), 'utf8')).toBe('');
  });
});

describe('without a terminal for it', () => {
  const REFUSED =
    /^iommufd-rr: [^\n]*; iommufd-rr tui --plain \S+sample\.irr goes line by line, iommufd-rr show \S+sample\.irr prints the events instead\n$/;
  test('not a TTY: one line, exit 2', () => {
    const ran = spawnSync('node', [MAIN, inFolder('sample.irr')], { encoding: 'utf8' });
    expect(ran).toMatchObject({ status: 2, stdout: '', stderr: expect.stringMatching(REFUSED) });
    expect(ran.stderr).toContain('need a terminal');
  });
  test.skipIf(version === undefined)('TERM=dumb: one line, exit 2', async () => {
    const pane = tmux.open(140, 24, `sh -c ${quoteWord(`${program('sample.irr')}; echo status $?; read end`)}`, { TERM: 'dumb' });
    const screen = (await pane.text('status')).trim();
    expect(screen).toMatch(/^iommufd-rr: a terminal with TERM=dumb cannot show the screens; /);
    expect(screen).toMatch(/\nstatus 2/);
    pane.kill();
  });
});
