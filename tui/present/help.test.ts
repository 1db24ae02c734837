import { expect, test } from 'vitest';
import { ACTIONS } from '../keymap.ts';
import { lineCells } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { textOf } from '../testing.ts';
import { helpLines } from './help.ts';

const { glyphs } = makeTheme(true, false);

test('the keys of a pane, in groups, and the marks', () => {
  const text = textOf(helpLines('text', 78, glyphs));
  expect(text.split('\n').filter((l) => /^ \S/.test(l))).toEqual([
    ' Time',
    ' Travel',
    ' Bookmarks',
    ' Copy',
    ' Find',
    ' Panes',
    ' Program',
    ' In a prompt',
    ' Marks',
  ]);
  expect(text).toContain('\n   j Down                    a line down\n');
  expect(text).toContain('\n   s                         next event; the state follows\n');
  expect(text).not.toContain('half a page of events');
  expect(textOf(helpLines('events', 78, glyphs))).toMatch(/\n {3}j Down Ctrl-n Ctrl-j s {2,}next event/);
});

test('a narrow screen breaks lines and cuts none', () => {
  const lines = helpLines('events', 58, glyphs);
  for (const l of lines) expect(lineCells(l)).toBeLessThanOrEqual(58);
  const words = (text: string): string => text.replace(/\s+/g, ' ');
  expect(words(textOf(lines))).toBe(words(textOf(helpLines('events', 100, glyphs))));
});

test('a wide screen has room for the names that the command line takes', () => {
  const text = textOf(helpLines('events', 138, glyphs));
  for (const { name, keys } of ACTIONS) {
    if ((['events', 'main', 'any', 'prompt'] as const).some((where) => where in keys)) expect(text).toMatch(new RegExp(`  ${name}$`, 'm'));
  }
});
