/** The rows of the diff view: an event of each trace beside the other, or one for each list; and the fields of both. Pure. */
import { errnoName } from '../../hw/errno.ts';
import { type FieldPair, How } from '../../replayer/diff/compare.ts';
import type { ListedEvent } from '../present/event.ts';
import { cells, clean, clip, type Line, line, pad, padLeft, type Span, span, wrap } from '../term/text.ts';
import { type Glyphs, type Theme, type Token, toAscii } from '../term/theme.ts';

export interface DiffRow {
  readonly how: How;
  readonly a: ListedEvent | undefined;
  readonly b: ListedEvent | undefined;
  readonly here: boolean;
}

const TOKEN: Readonly<Record<How, Token | undefined>> = {
  [How.SAME]: undefined,
  [How.CHANGED]: 'changed',
  [How.ONLY_A]: 'destroyed',
  [How.ONLY_B]: 'created',
};

/** How a row differs, as a glyph: ` ` `~` `-` `+`. */
export function markOf(how: How, glyphs: Glyphs): string {
  const token = TOKEN[how];
  return token === undefined ? ' ' : glyphs[token as 'changed' | 'created' | 'destroyed'];
}

/** Both events of a row in `width` cells. */
export function pairLine(row: DiffRow, width: number, seqs: readonly [number, number], theme: Theme): Line {
  const { glyphs } = theme;
  const half = (width - 5) >> 1;
  const token = row.here ? undefined : TOKEN[row.how];
  const spans = [
    span(row.here ? glyphs.cursor : ' '),
    span(`${markOf(row.how, glyphs)} `, token),
    ...sideSpans(row.a, half, seqs[0], token, theme),
    span(` ${glyphs.light.v} `, row.here ? undefined : 'border'),
    ...sideSpans(row.b, width - 6 - half, seqs[1], token, theme),
  ];
  return { ...line(...spans), ...(row.here ? { fill: 'cursor' as const } : {}) };
}

/** One event of a row: the list of one trace. */
export function sideLine(row: DiffRow, side: 'a' | 'b', width: number, seq: number, theme: Theme): Line {
  const { glyphs } = theme;
  const token = row.here ? undefined : TOKEN[row.how];
  const front = [span(row.here ? glyphs.cursor : ' '), span(`${markOf(row.how, glyphs)} `, token)];
  return { ...line(...front, ...sideSpans(row[side], width - 3, seq, token, theme)), ...(row.here ? { fill: 'cursor' as const } : {}) };
}

const RESULT = 12;

function sideSpans(e: ListedEvent | undefined, width: number, seq: number, token: Token | undefined, theme: Theme): Span[] {
  const { ellipsis } = theme.glyphs;
  if (e === undefined) return [span(' '.repeat(Math.max(0, width)))];
  const ascii = (text: string): string => (theme.ascii ? toAscii(text) : text);
  const result = clip(ascii(e.outcome === 'error' ? `= ${e.result}` : e.result), RESULT, ellipsis);
  const call = Math.min(20, Math.max(8, Math.floor(width * 0.36)));
  const args = Math.max(0, width - seq - call - cells(result) - 3);
  return [
    span(`${padLeft(String(e.seq), seq, ellipsis)} `, token === undefined ? 'dim' : token),
    span(`${pad(ascii(e.call), call, ellipsis)} `, token ?? 'call'),
    span(`${pad(ascii(e.args), args, ellipsis)} `, token),
    span(result, token ?? (e.outcome === 'error' ? 'error' : undefined)),
  ].map((s) => (s.token === undefined ? span(s.text) : s));
}

const SAID: Readonly<Record<How, string>> = {
  [How.SAME]: 'the same on both sides',
  [How.CHANGED]: 'differs',
  [How.ONLY_A]: 'only the left trace has it',
  [How.ONLY_B]: 'only the right trace has it',
};

/** What differs, value by value: `~ errno   ENOTTY → EOPNOTSUPP`. */
export function differenceLines(how: How, fields: readonly FieldPair[], width: number, glyphs: Glyphs): Line[] {
  const head = line(' ', span(`${markOf(how, glyphs)} ${SAID[how]}`, TOKEN[how] ?? 'dim'));
  const differing = fields.filter((f) => f.differs);
  const name = differing.reduce((n, f) => Math.max(n, cells(clean(f.name))), 0);
  const value = (f: FieldPair, text: string | undefined): string =>
    text === undefined ? 'not there' : f.name === 'errno' ? (text === '0' ? 'none' : errnoName(Number(text))) : clean(text);
  const lines = differing.map((f) =>
    line(
      '  ',
      span(`${glyphs.changed} `, 'changed'),
      span(pad(clean(f.name), name, glyphs.ellipsis), 'strong'),
      span(f.answer ? `  ${glyphs.arrow} `.slice(0, 4) : '    ', 'dim'),
      span(value(f, f.a), 'destroyed'),
      span('  |  ', 'dim'),
      span(value(f, f.b), 'created'),
    ),
  );
  return [head, ...lines].flatMap((l) => wrap(l, width, 6));
}

/** Lines of an event, with a mark where a field differs. */
export function marked(lines: readonly Line[], names: ReadonlySet<string>, glyphs: Glyphs): Line[] {
  return lines.map((l) => {
    const [front, name, ...rest] = l.spans;
    if (front === undefined || name === undefined || !names.has(name.text.trim().replace(/^.*\./, ''))) return l;
    return { ...l, spans: [span(`${glyphs.changed} `, 'changed'), { ...name, token: 'changed' as const }, ...rest] };
  });
}

/** Two texts side by side. */
export function beside(
  a: readonly Line[],
  b: readonly Line[],
  width: number,
  theme: Theme,
  place: (l: Line, width: number) => Line,
): Line[] {
  const half = (width - 3) >> 1;
  const bar = span(` ${theme.glyphs.light.v} `, 'border');
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) =>
    line(...place(a[i] ?? line(''), half).spans, bar, ...place(b[i] ?? line(''), width - 3 - half).spans),
  );
}
