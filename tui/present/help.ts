/** The help: the keys of the pane it was opened from, out of the keymap. Pure. */
import { help, type Place } from '../keymap.ts';
import { cells, type Line, line, pad, span } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';

const MARKS: readonly (readonly [keyof Pick<Glyphs, 'cursor' | 'error' | 'created' | 'destroyed' | 'changed'>, string])[] = [
  ['cursor', 'the event under the cursor; the state is as it was after it'],
  ['error', 'it failed'],
  ['created', 'it created something, or the thing that it created'],
  ['destroyed', 'it ended something, or the thing that ended'],
  ['changed', 'it changed the state otherwise, or the thing that it changed'],
];

export function helpLines(place: Place, glyphs: Glyphs): Line[] {
  const groups = help(place);
  const width = Math.min(
    34,
    groups.reduce((n, g) => g.rows.reduce((m, r) => Math.max(m, cells(r.keys)), n), 0),
  );
  const lines: Line[] = [];
  for (const group of groups) {
    if (lines.length > 0) lines.push(line(''));
    lines.push(line(span(group.title, 'title')));
    for (const row of group.rows) lines.push(line('  ', span(pad(row.keys, width, glyphs.ellipsis), 'key'), `  ${row.text}`));
  }
  lines.push(line(''), line(span('Marks', 'title')));
  for (const [glyph, text] of MARKS) lines.push(line('  ', span(pad(glyphs[glyph], width, glyphs.ellipsis), 'key'), `  ${text}`));
  return lines;
}
