/** The diff view of the built program in a real terminal. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, type ExpectStatic, expect, test } from 'vitest';
import { quoteWord, Tmux, tmuxVersion } from '../tmux.ts';

const MAIN = fileURLToPath(new URL('../../dist/bin/iommufd-rr.js', import.meta.url));
const GOLDEN = '../../fixtures/golden/screens';
const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/traces/${name}`, import.meta.url));
const program = (...options: readonly string[]): string =>
  ['node', MAIN, 'tui', fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr'), ...options].map(quoteWord).join(' ');

const version = tmuxVersion();
const tmux = new Tmux();
beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
});
afterAll(() => tmux.kill());

async function golden(own: ExpectStatic, size: string, name: string, screen: string): Promise<void> {
  await own(`${screen}\n`).toMatchFileSnapshot(`${GOLDEN}/${size}/${name}.txt`);
}

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
