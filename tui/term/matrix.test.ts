/**
 * The terminals that people have, and the ways in which programs end: the built program in tmux, or on a pseudo-terminal of
 * its own where the terminal itself has to go away. Beside tui.test.ts, which has the usual ones.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { quoteWord, Tmux, tmuxVersion } from '../tmux.ts';

const MAIN = fileURLToPath(new URL('../../dist/bin/iommufd-rr.js', import.meta.url));
const TRACE = fileURLToPath(new URL('../../fixtures/traces/vmm-7.2.irr', import.meta.url));
const OTHER = fileURLToPath(new URL('../../fixtures/traces/vmm-6.12.irr', import.meta.url));
const program = (...options: readonly string[]): string => ['node', MAIN, 'tui', TRACE, ...options].map(quoteWord).join(' ');

const version = tmuxVersion();
const tmux = new Tmux();
beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
});
afterAll(() => tmux.kill());

/** All SGR parameters on the screen. */
const attributes = (rows: readonly string[]): string[] =>
  [...rows.join('\n').matchAll(/\x1b\[([0-9;]*)m/g)].flatMap((m) => m[1]!.split(';'));

describe.skipIf(version === undefined)('kinds of terminals', () => {
  test.each(['linux', 'vt100', 'xterm', 'screen-256color', 'tmux-256color', 'xterm-256color', 'rxvt'])(
    'TERM=%s has the screens',
    async (TERM) => {
      const pane = tmux.open(80, 24, program(), { TERM });
      await pane.settled();
      expect(await pane.press('jjj')).toContain('event 4/187');
      // the 16 colours and nothing beyond: no 38;5, no 38;2, no bright ones that are numbers of their own
      for (const code of attributes(pane.rows(true))) expect(Number(code)).toBeLessThan(50);
      for (const beyond of ['38', '48']) expect(attributes(pane.rows(true))).not.toContain(beyond);
      pane.kill();
    },
  );

  test.each([
    ['NO_COLOR=1', { NO_COLOR: '1' }, []],
    ['--color=never', {}, ['--color=never']],
  ] as const)('%s: no colour, but still what is bold and reversed', async (_, env, options) => {
    const pane = tmux.open(80, 24, program(...options), env);
    await pane.settled();
    const codes = attributes(pane.rows(true));
    expect(codes.filter((c) => /^[34][0-7]$/.test(c))).toEqual([]);
    expect(codes).toContain('7');
    pane.kill();
  });

  test('NO_COLOR with nothing in it is no wish', async () => {
    const pane = tmux.open(80, 24, program(), { NO_COLOR: '' });
    await pane.settled();
    expect(attributes(pane.rows(true)).some((c) => /^3[0-7]$/.test(c))).toBe(true);
    pane.kill();
  });

  test('without a UTF-8 locale everything is ASCII', async () => {
    const pane = tmux.open(80, 24, program(), { LC_ALL: 'C' });
    const screen = await pane.settled();
    expect(screen).toMatch(/^[\n\x20-\x7e]*$/);
    pane.kill();
  });

  test('from large to one cell and back, again and again, with keys in between', async () => {
    const pane = tmux.open(140, 40, program());
    await pane.settled();
    await pane.press('gg');
    const before = await pane.press('20G');
    for (const [columns, rows] of [
      [1, 1],
      [2, 200],
      [300, 2],
      [39, 10],
      [40, 9],
      [60, 20],
      [119, 30],
      [3, 3],
    ] as const) {
      pane.resize(columns, rows);
      pane.send('j', 'k');
      pane.counted(2);
    }
    pane.resize(140, 40);
    expect(await pane.settled()).toContain('event 20/187');
    await pane.press('gg');
    expect(await pane.press('20G')).toBe(before);
    pane.kill();
  });
});

describe.skipIf(version === undefined)('ways to end', () => {
  const inShell = (...options: readonly string[]): string =>
    `sh -c ${quoteWord(`${program(...options)}; echo status $?; stty -a; read end`)}`;
  const restored = async (pane: ReturnType<Tmux['open']>, status: number): Promise<void> => {
    const text = await pane.text(/ icanon .* echo /s);
    expect(text).toContain(`status ${status}`);
    expect(text).not.toMatch(/-icanon|-echo /);
    expect(pane.ask('#{alternate_on} #{cursor_flag} #{wrap_flag}')).toBe('0 1 1');
  };

  test.each([
    ['one trace', []],
    ['two traces', [OTHER]],
  ] as const)('SIGINT and SIGQUIT from outside: %s', async (_, options) => {
    for (const [signal, status] of [
      ['SIGINT', 130],
      ['SIGQUIT', 131],
      ['SIGTERM', 143],
    ] as const) {
      const pane = tmux.open(120, 40, inShell(...options));
      await pane.settled();
      process.kill(pane.pid(true), signal);
      await restored(pane, status);
      pane.kill();
    }
  });

  test('stopped by SIGSTOP, which nobody can catch, and continued: the screen is drawn again', async () => {
    const pane = tmux.open(80, 24, program());
    const shown = await pane.press('jjj');
    process.kill(pane.pid(), 'SIGSTOP');
    pane.resize(60, 15);
    process.kill(pane.pid(), 'SIGCONT');
    await pane.settled();
    pane.resize(80, 24);
    expect(await pane.settled()).toBe(shown);
    expect(await pane.press('k', 'j')).toBe(shown);
    pane.kill();
  });

  test('a mistake while keys are pressed, in the diff view too', async () => {
    const trap = `data:text/javascript,process.on('SIGUSR2',()=>Promise.reject(new%20Error('planted')))`;
    for (const options of [[], [OTHER]]) {
      const pane = tmux.open(120, 40, inShell(...options), { NODE_OPTIONS: `--import=${trap}` });
      await pane.press('jj');
      process.kill(pane.pid(true), 'SIGUSR2');
      await restored(pane, 2);
      expect(pane.rows().join('\n')).toContain('planted');
      pane.kill();
    }
  });

  test('the terminal goes away while two traces are shown: no process is left', async () => {
    const pane = tmux.open(120, 40, `sh -c ${quoteWord(`exec ${program(OTHER)}`)}`);
    await pane.settled();
    const pid = pane.pid();
    pane.kill();
    await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: 10_000, interval: 10 });
  });
});

test.each(['', 'dumb'])('TERM="%s": one line that says what to do instead, exit 2', (TERM) => {
  // script(1) gives a terminal to what it runs
  const ran = spawnSync('script', ['-qec', program(), '/dev/null'], { encoding: 'utf8', env: { ...process.env, TERM } });
  if (ran.error !== undefined) return;
  expect(ran.status).toBe(2);
  expect(ran.stdout).toMatch(/^iommufd-rr: a terminal with TERM=\S* cannot show the screens; iommufd-rr tui --plain \S+ goes line by line/);
  expect(ran.stdout).not.toContain('\x1b');
});
