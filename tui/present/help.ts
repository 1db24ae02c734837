/** The help: the keys of the pane it was opened from, out of the keymap. Pure. */
import { help, type Place } from '../keymap.ts';
import { cells, type Line, line, pad, span, wrap } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';

const MARKS: readonly (readonly [keyof Pick<Glyphs, 'cursor' | 'error' | 'created' | 'destroyed' | 'changed'>, string])[] = [
  ['cursor', 'the event under the cursor; the state is as it was after it'],
  ['error', 'it failed'],
  ['created', 'it created something, or the thing that it created'],
  ['destroyed', 'it ended something, or the thing that ended'],
  ['changed', 'it changed the state otherwise, or the thing that it changed'],
];

export function helpLines(place: Place, width: number, glyphs: Glyphs): Line[] {
  const groups = help(place);
  const longest = groups.reduce((n, g) => g.rows.reduce((m, r) => Math.max(m, cells(r.keys)), n), 0);
  const keys = Math.min(longest, Math.max(12, width >> 1));
  const row = (key: string, text: string): readonly Line[] =>
    wrap(line('   ', span(pad(key, keys, glyphs.ellipsis), 'key'), `  ${text}`), width, keys + 5);
  const section = (title: string, rows: readonly (readonly Line[])[]): Line[] => [line(' ', span(title, 'title')), ...rows.flat()];
  const sections = [
    ...groups.map((g) =>
      section(
        g.title,
        g.rows.map((r) => row(r.keys, r.text)),
      ),
    ),
    section(
      'Marks',
      MARKS.map(([glyph, text]) => row(glyphs[glyph], text)),
    ),
  ];
  return sections.flatMap((lines, i) => (i === 0 ? lines : [line(''), ...lines]));
}
