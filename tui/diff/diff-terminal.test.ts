/** The diff view of the built program in a real terminal. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAIN } from '../pictures/scenes.ts';
import { golden, quoteWord, Tmux, tmuxVersion } from '../tmux.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/traces/${name}`, import.meta.url));
const program = (...options: readonly string[]): string =>
  ['node', MAIN, 'tui', fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr'), ...options].map(quoteWord).join(' ');

const version = tmuxVersion();
const tmux = new Tmux();
beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
});
afterAll(() => tmux.kill());

const WALK: readonly (readonly [name: string, ...keys: readonly string[]])[] = [
  ['diff-start'],
  ['diff-next', 'n'],
  ['diff-only-right', 'n'],
  ['diff-states', '<Tab>'],
  ['diff-back', '<Tab>', 'N', 'N'],
  ['diff-alone', 'z', 'jj'],
];

describe.skipIf(version === undefined)('two traces in a terminal', () => {
  test.each([
    [80, 24],
    [140, 40],
  ])('a walk at %ix%i', async (columns, rows) => {
    const pane = tmux.open(columns, rows, program());
    for (const [name, ...keys] of WALK) {
      for (const key of keys) await pane.press(key);
      await golden(expect, `${columns}x${rows}`, name, await pane.settled());
    }
    expect(await pane.press('?')).toMatch(/Differences\n?[\s\S]*next difference/);
    pane.kill();
  });

  test.each([
    [80, 24],
    [140, 40],
  ])('the mouse at %ix%i', async (columns, rows) => {
    const pane = tmux.open(columns, rows, program());
    const shown = (await pane.settled()).split('\n');
    expect(pane.ask('#{mouse_standard_flag} #{mouse_sgr_flag}')).toBe('1 1');
    const mouse = async (button: number, x: number, y: number): Promise<string> => {
      pane.bytes(`\x1b[<${button};${x + 1};${y + 1}M`);
      pane.counted(1);
      return await pane.settled();
    };
    const rowAt = (screen: string): number => Number(/ row (\d+) of 187 /.exec(screen)?.[1]);
    // the row of the OPTION call, in the last list: that of the right trace where there are two
    const y = shown.findLastIndex((row) => / 4 OPTION /.test(row));
    expect(rowAt(await mouse(0, columns - 5, y))).toBe(4);
    expect(rowAt(await mouse(65, 5, 3))).toBe(7);
    expect(rowAt(await mouse(64, 5, 3))).toBe(4);
    // the lower pane: the name of the other one, and the wheel
    const edge = (screen: string): number => screen.split('\n').findIndex((row) => row.includes('Both states'));
    const at = edge(shown.join('\n'));
    const states = await mouse(0, shown[at]!.indexOf('Both states') + 2, at);
    expect(states).toContain('[Both states]');
    const inView = (screen: string): number => Number(/ (\d+)-\d+ of \d+ /.exec(screen)?.[1] ?? 0);
    await mouse(0, shown[at]!.indexOf('Both events') + 2, at);
    const below = await mouse(65, 20, rows - 5);
    expect(rowAt(below)).toBe(4);
    if (columns === 80) expect(inView(below)).toBe(4);
    expect(await pane.press('<Escape>', '<F2>')).toContain('the mouse is off');
    expect(pane.ask('#{mouse_standard_flag}')).toBe('0');
    pane.kill();
  });

  test.each([
    [80, 24],
    [140, 40],
  ])('the help at %ix%i has the keys of this view and no others', async (columns, rows) => {
    const pane = tmux.open(columns, rows, program());
    let all = await pane.press('?');
    for (let page = 0; page < 6; page++) all += await pane.press('<Space>');
    for (const text of ['next difference', 'Click', 'WheelDown', 'mouse off', 'only the right trace has it', 'erase a word'])
      expect(all).toContain(text);
    for (const text of ['step', 'filter', 'bookmark', 'complete a word', 'last search']) expect(all).not.toContain(text);
    pane.kill();
  });

  test('--at begins at that event of the left trace', async () => {
    const pane = tmux.open(140, 40, program('--at', '20'));
    expect(await pane.settled()).toMatch(/► +20 .* │ +20 /);
    pane.kill();
  });

  test.each([
    ['--follow', '--follow takes one trace: two are compared as they are now'],
    ['--follow --plain', '--follow takes one trace: two are compared as they are now'],
  ])('%s is refused: one line, exit 2, no screen', async (options, said) => {
    const pane = tmux.open(100, 24, `sh -c ${quoteWord(`${program(...options.split(' '))}; echo status $?; read end`)}`);
    expect((await pane.text('status')).trim()).toBe(`iommufd-rr: ${said}\nstatus 2`);
    pane.kill();
  });

  test('at 60 columns, and after a resize down to nothing and back', async () => {
    const pane = tmux.open(60, 20, program('--ascii'), { NO_COLOR: '1' });
    const shown = await pane.settled();
    await golden(expect, '60x20', 'diff-ascii', shown);
    expect(shown).toMatch(/^[\n\x20-\x7e]*$/);
    expect(pane.rows(true).join('\n')).not.toMatch(/\x1b\[[0-9;]*3[0-7]/);
    pane.resize(12, 3);
    await pane.text(/^iommufd-rr/);
    pane.resize(60, 20);
    expect(await pane.settled()).toBe(shown);
    pane.kill();
  });

  test('q gives the terminal back', async () => {
    const pane = tmux.open(80, 24, `sh -c ${quoteWord(`${program()}; echo status $?; read end`)}`);
    await pane.text('difference 1 of 3');
    pane.send('q');
    await pane.text('status 0');
    expect(pane.ask('#{alternate_on} #{cursor_flag} #{wrap_flag}')).toBe('0 1 1');
    pane.kill();
  });

  test('a trace that cannot be read: one line, exit 2, no screen', async () => {
    const pane = tmux.open(
      100,
      24,
      `sh -c ${quoteWord(`node ${MAIN} tui ${fixture('vmm-7.2.irr')} /no/such.irr; echo status $?; read end`)}`,
    );
    const screen = (await pane.text('status')).trim();
    expect(screen).toMatch(/^iommufd-rr: \/no\/such\.irr: [^\n]*\n(?: [^\n]*\n)?status 2/);
    pane.kill();
  });
});
