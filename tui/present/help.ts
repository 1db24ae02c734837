/** The help: the keys of the pane it was opened from, out of the keymap. Pure. */
import { type HelpGroup, help, type Place } from '../keymap.ts';
import { cells, type Line, line, pad, span, wrap } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';

type Marks = readonly (readonly [keyof Pick<Glyphs, 'cursor' | 'error' | 'created' | 'destroyed' | 'changed'>, string])[];
const MARKS: Marks = [
  ['cursor', 'the event under the cursor; the state is as it was after it'],
  ['error', 'it failed'],
  ['created', 'it created something, or the thing that it created'],
  ['destroyed', 'it ended something, or the thing that ended'],
  ['changed', 'it changed the state otherwise, or the thing that it changed'],
];

/** In the rows of two traces. */
const DIFF_MARKS: Marks = [
  ['cursor', 'the row under the cursor; both states are as they were after it'],
  ['changed', 'both traces have it, with other values or another result'],
  ['destroyed', 'only the left trace has it'],
  ['created', 'only the right trace has it'],
];

/** From this width on the help says what an action is called after `:`, too. */
const WITH_NAMES = 110;

export function helpLines(place: Place, width: number, glyphs: Glyphs): Line[] {
  const groups = help(place);
  const longest = (of: (row: HelpGroup['rows'][number]) => string): number =>
    groups.reduce((n, g) => g.rows.reduce((m, r) => Math.max(m, cells(of(r))), n), 0);
  const keys = Math.min(
    longest((r) => r.keys),
    Math.max(12, width >> 1),
  );
  const texts = longest((r) => r.text);
  const row = (key: string, text: string, name = ''): readonly Line[] => {
    const front = ['   ', span(pad(key, keys, glyphs.ellipsis), 'key'), '  '];
    if (width >= WITH_NAMES) return [line(...front, pad(text, texts, glyphs.ellipsis), span(`  ${name}`, 'dim'))];
    return wrap(line(...front, text), width, keys + 5);
  };
  const sections = [
    ...groups.map((g) => [line(' ', span(g.title, 'title')), ...g.rows.flatMap((r) => row(r.keys, r.text, r.name))]),
    [line(' ', span('Marks', 'title')), ...(place === 'diff' ? DIFF_MARKS : MARKS).flatMap(([glyph, text]) => row(glyphs[glyph], text))],
  ];
  return sections.flatMap((lines, i) => (i === 0 ? lines : [line(''), ...lines]));
}
