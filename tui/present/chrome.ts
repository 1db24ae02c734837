/** What stands around the panes: frames with titles, the header, the status line and the hints. Pure. */
import type { Hint } from '../keymap.ts';
import { PANE_TITLES, PANES, type PaneBox, type PaneId, SMALLEST } from '../layout.ts';
import { PROMPT_SIGNS, type Prompt } from '../prompt.ts';
import { cells, clean, clip, type Line, line, lineCells, type Span, span, take, wrap } from '../term/text.ts';
import { paintLine, type Theme } from '../term/theme.ts';

export interface PaneContent {
  readonly title: Line;
  /** rows inside the frame, already scrolled; missing ones are blank */
  readonly lines: readonly Line[];
  readonly footer: string;
  readonly focused: boolean;
  /** old content, shown until the new is there */
  readonly stale: boolean;
}

const numberOf = (pane: PaneId): string => String(PANES.indexOf(pane) + 1);
const nameOf = (pane: PaneId): string => `${numberOf(pane)} ${PANE_TITLES[pane]}`;

/** ` 1 Events `, or `[2 Detail] 3 Objects ` where panes share a box; where there is no room, the others by their numbers. */
export function paneTitle(box: PaneBox): Line {
  if (box.tabs.length === 1) return line(span(` ${nameOf(box.pane)} `, 'title'));
  const tabs = (other: (pane: PaneId) => string): Line =>
    line(...box.tabs.map((pane): Span => (pane === box.pane ? span(`[${nameOf(pane)}]`, 'title') : span(` ${other(pane)} `, 'dim'))));
  const whole = tabs(nameOf);
  return lineCells(whole) <= box.width - 4 ? whole : tabs(numberOf);
}

/** The pane whose name stands at a cell of a box's upper edge. */
export function tabAt(box: PaneBox, x: number): PaneId | undefined {
  // a corner and a piece of the edge are in front of the names
  let at = 2;
  const names = paneTitle(box).spans;
  for (const [i, pane] of box.tabs.entries()) {
    const width = cells(names[i]?.text ?? '');
    if (x >= at && x < at + width) return pane;
    at += width;
  }
  return undefined;
}

/** A framed pane as rows for the terminal. The focused one has a heavy frame. */
export function paneRows(width: number, height: number, content: PaneContent, theme: Theme): string[] {
  const { glyphs } = theme;
  const g = content.focused ? glyphs.heavy : glyphs.light;
  const token = content.focused ? 'focus' : 'border';
  const inner = width - 2;
  const edge = (left: string, head: Line, tail: string, right: string): string => {
    const fill = Math.max(0, inner - 1 - lineCells(head) - cells(tail) - (tail === '' ? 0 : 1));
    const end = tail === '' ? '' : `${tail}${g.h}`;
    return paintLine(line(span(left + g.h, token), ...head.spans, span(g.h.repeat(fill) + end + right, token)), width, theme);
  };
  const rows = [edge(g.tl, content.title, '', g.tr)];
  const side = paintLine(line(span(g.v, token)), 1, theme);
  for (let i = 0; i < height - 2; i++) {
    const own = content.lines[i] ?? line('');
    const shown: Line = content.stale ? { spans: own.spans.map((s) => ({ text: s.text, token: 'dim' as const })) } : own;
    rows.push(side + paintLine(shown, inner, theme) + side);
  }
  rows.push(edge(g.bl, line(), clip(content.footer, inner - 2, glyphs.ellipsis), g.br));
  return rows;
}

export interface HeaderInput {
  readonly file: string;
  /** more about the trace, most telling first; left out where there is no room */
  readonly facts: readonly string[];
  /** what is wrong with it: shown before the facts */
  readonly warnings: readonly string[];
  readonly position: string;
}

/** One line of reverse video: the trace on the left, where the cursor is on the right. */
export function headerLine({ file, facts, warnings, position }: HeaderInput, width: number, theme: Theme): string {
  const right = `${position} `;
  const room = width - cells(right) - 1;
  let left = ` iommufd-rr  ${file}`;
  for (const more of [...warnings, ...facts]) {
    // two blanks on either side
    if (cells(left) + cells(more) + 3 > room) break;
    left += `  ${more}`;
  }
  left = clip(left, room, theme.glyphs.ellipsis);
  const gap = ' '.repeat(Math.max(1, width - cells(left) - cells(right)));
  return paintLine({ ...line(left + gap + right), fill: 'bar' }, width, theme);
}

/** Left text, right text; the right one stays whole. */
export function statusLine(left: Line, right: string, width: number, theme: Theme): string {
  if (right === '') return paintLine(left, width, theme);
  const room = Math.max(0, width - cells(right));
  return paintLine(left, room, theme) + paintLine(line(right), width - room, theme);
}

/** As many hints as there is room for; the help on `?` is always one of them. */
export function hintsLine(all: readonly Hint[], width: number, theme: Theme): string {
  const size = (h: Hint): number => cells(h.keys) + cells(h.text) + 3;
  const isHelp = (h: Hint): boolean => h.text === 'help';
  let left = width - 1 - all.filter(isHelp).reduce((n, h) => n + size(h), 0);
  const shown = all.filter((h) => {
    if (isHelp(h)) return true;
    left -= size(h);
    return left >= 0;
  });
  return paintLine(line(' ', ...shown.flatMap((h) => [span(h.keys, 'key'), span(` ${h.text}  `)])), width, theme);
}

/** A screen too small for anything: says so, in as many rows as that takes. */
export function smallRows(columns: number, rows: number, theme: Theme): string[] {
  const text = `iommufd-rr needs ${SMALLEST.columns}x${SMALLEST.rows}, this is ${columns}x${rows}`;
  const lines = wrap(line(text), columns);
  return Array.from({ length: rows }, (_, i) => paintLine(lines[i] ?? line(''), columns, theme));
}

/** Cells of the status line that a prompt leaves to what stands at its right. */
export const PROMPT_MARGIN = 12;

/** The prompt as far as there is room, with its cursor in view; `x` is the cursor's cell. */
export function promptText(prompt: Prompt, room: number): { readonly text: string; readonly x: number } {
  const sign = PROMPT_SIGNS[prompt.kind];
  const left = room + 1 - sign.length;
  const before = clean([...prompt.text].slice(0, prompt.cursor).join(''));
  const after = clean([...prompt.text].slice(prompt.cursor).join(''));
  const points = [...before];
  let [first, used] = [points.length, 0];
  for (; first > 0 && used + cells(points[first - 1]!) <= left; first--) used += cells(points[first - 1]!);
  return { text: sign + points.slice(first).join('') + take(after, Math.max(0, left - used)), x: sign.length + used };
}
