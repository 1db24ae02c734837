/** The overview of the session: one row, or density above and marks below. Pure. */
import { columnOfSeq, type StripColumn } from '../strip.ts';
import { type Line, type Span, span } from '../term/text.ts';
import type { Theme, Token } from '../term/theme.ts';

export interface StripInput {
  readonly columns: readonly StripColumn[];
  readonly width: number;
  /** 1 or 2 */
  readonly rows: number;
  readonly cursor: number;
  /** letters at events, in order */
  readonly bookmarks: readonly { readonly name: string; readonly seq: number }[];
  /** does a search match in the events first … last? */
  readonly hits: (first: number, last: number) => boolean;
  readonly theme: Theme;
}

const DENSITY = { unicode: '▁▂▃▄▅▆▇█', ascii: '.:-=+*#@' } as const;

interface Cell {
  readonly text: string;
  readonly token?: Token;
}
const BLANK: Cell = { text: ' ' };

export function stripLines(input: StripInput): Line[] {
  const { columns, width, rows } = input;
  if (columns.length === 0) return Array.from({ length: rows }, () => ({ spans: [] }));
  const most = columns.reduce((n, c) => Math.max(n, c.events), 1);
  const density = columns.slice(0, width).map((c) => densityOf(c.events, most, input.theme));
  const marks = marksOf(input);
  if (rows < 2) return [joined(density.map((d, i) => marks[i] ?? d))];
  return [joined(density), joined(density.map((_, i) => marks[i] ?? BLANK))];
}

/** By the logarithm: a lone event is seen beside a burst of a million. */
function densityOf(events: number, most: number, { ascii }: Theme): Cell {
  if (events === 0) return BLANK;
  const steps = ascii ? DENSITY.ascii : DENSITY.unicode;
  const step = most <= 1 ? 0 : Math.round(((steps.length - 1) * Math.log(events)) / Math.log(most));
  return { text: steps[step]!, token: 'dim' };
}

/** What stands out in each column, most important first: the cursor, a bookmark, a failure, a hit of the search, the hardware. */
function marksOf({ columns, cursor, bookmarks, hits, theme }: StripInput): (Cell | undefined)[] {
  const { glyphs } = theme;
  const marked = new Map(bookmarks.map((b) => [columnOfSeq(columns, b.seq), [...b.name][0] ?? '']));
  const here = cursor === 0 ? -1 : columnOfSeq(columns, cursor);
  return columns.map((c, i): Cell | undefined => {
    if (i === here) return { text: glyphs.here, token: 'strong' };
    const bookmark = marked.get(i);
    if (bookmark !== undefined) return { text: bookmark, token: 'key' };
    if (c.events === 0) return undefined;
    if (hits(c.first, c.first + c.events - 1)) return { text: glyphs.hit, token: 'job' };
    if (c.errors) return { text: glyphs.error, token: 'error' };
    return c.hardware ? { text: glyphs.hardware, token: 'object' } : undefined;
  });
}

function joined(row: readonly Cell[]): Line {
  const spans: Span[] = [];
  for (const { text, token } of row) {
    const before = spans.at(-1);
    if (before !== undefined && before.token === token) spans[spans.length - 1] = span(before.text + text, token);
    else spans.push(span(text, token));
  }
  return { spans };
}
