/** The pictures of the README are what the screens show, and its tour goes as it says. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { Tmux, tmuxVersion } from '../tmux.ts';
import { keysOfReadme } from './readme.ts';
import { inProject, keysPressed, pictureFile, SCENES, take } from './scenes.ts';
import { cellsOf, PLAIN } from './screen.ts';
import { svgOf } from './svg.ts';

const version = tmuxVersion();
if (version === undefined) console.warn('no tmux here: the pictures are not compared with the screens');
const tmux = new Tmux();
afterAll(() => tmux.kill());
const readme = readFileSync(inProject('README.md'), 'utf8');

describe.skipIf(version === undefined).concurrent('the pictures of the README', () => {
  test.for(SCENES)('$name is what the screen shows', async (scene, { expect }) => {
    const { text, svg } = await take(tmux, scene);
    for (const said of scene.shows) expect(text).toContain(said);
    expect(existsSync(pictureFile(scene)), 'npm run pictures makes it').toBe(true);
    expect(svg === readFileSync(pictureFile(scene), 'utf8'), `${scene.name}.svg is stale: npm run pictures makes it anew`).toBe(true);
  });
});

test('the tour of the README takes six keys at most, and each picture is in it', () => {
  const tour = SCENES[0]!;
  expect(keysPressed(tour)).toBeLessThanOrEqual(6);
  for (const scene of SCENES) expect(readme).toContain(`![${scene.title}](fixtures/pictures/${scene.name}.svg)`);
});

test('the keys of the README are those of the keymap', () => {
  expect(keysOfReadme(readme), 'npm run pictures writes them').toBe(readme);
});

describe('a screen', () => {
  test('is cells with attributes, which last beyond the end of a row', () => {
    const [first, second] = cellsOf(['a\x1b[1;31mb', 'c\x1b[0m\x1b[7m \x1b[27;2mé'], 3);
    expect(first).toEqual([
      { text: 'a', look: PLAIN },
      { text: 'b', look: { ...PLAIN, bold: true, fore: 1 } },
      { text: ' ', look: PLAIN },
    ]);
    expect(second).toEqual([
      { text: 'c', look: { ...PLAIN, bold: true, fore: 1 } },
      { text: ' ', look: { ...PLAIN, reverse: true } },
      { text: 'é', look: { ...PLAIN, dim: true } },
    ]);
  });

  test.each(['\x1b[38;5;200mx', 'a\x1b]0;title\x07', 'a\tb', '\x1b[2J', 'abcd'])('%j is refused', (row) => {
    expect(() => cellsOf([row], 3)).toThrow();
  });
});

describe('a picture', () => {
  test('has every cell in its place, in its colours', () => {
    const svg = svgOf(cellsOf(['\x1b[31mab c\x1b[0m', '\x1b[7m│ x\x1b[0m '], 4), 'two rows');
    expect(svg.match(/<text .*>/g)).toEqual([
      '<text x="8" y="21" textLength="16" fill="#ff7b72">ab</text>',
      '<text x="32" y="21" fill="#ff7b72">c</text>',
      '<text x="24" y="38" fill="#1c1f24">x</text>',
    ]);
    // the bar of the second row, three cells wide, and in it the line of the frame
    expect(svg).toContain('<path fill="#d5d8dc" d="M8 25h24v17h-24z"/>');
    expect(svg).toMatch(/<path fill="#1c1f24" d="M11.5 25h1v/);
  });

  test('is harmless: what stands on the screen is text', () => {
    const svg = svgOf(cellsOf(['<script>&"'], 10), '<b>');
    expect(svg).toContain('&lt;script&gt;&amp;&quot;</text>');
    expect(svg).toContain('<title>&lt;b&gt;</title>');
  });
});
