/**
 * A terminal's screen as SVG. Every cell has its place: runs of text are as long as their cells whatever the font, frames and
 * bars are drawn as shapes. The same screen gives the same bytes.
 */
import type { Cell, Look } from './screen.ts';

const WIDTH = 8;
const HEIGHT = 17;
const BASELINE = 13;
const MARGIN = 8;
const FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace';

/** The terminal's own colours and its 16. */
const BACK = '#1c1f24';
const FORE = '#d5d8dc';
const PALETTE = [
  '#16181c',
  '#ff7b72',
  '#7ee787',
  '#e3b341',
  '#79a8ff',
  '#d2a8ff',
  '#56d4dd',
  '#d5d8dc',
  '#6e7681',
  '#ffa198',
  '#a5f0ac',
  '#f2cc60',
  '#a5c8ff',
  '#e2c5ff',
  '#8ae6ec',
  '#ffffff',
] as const;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** Half way from one colour to another. */
function between(a: string, b: string): string {
  const part = (c: string, i: number): number => Number.parseInt(c.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => Math.round(part(a, i) * 0.55 + part(b, i) * 0.45));
  return `#${mixed.map((n) => n.toString(16).padStart(2, '0')).join('')}`;
}

interface Colours {
  readonly ink: string;
  readonly paper: string;
}

function coloursOf(look: Look): Colours {
  const fore = look.fore === undefined ? FORE : PALETTE[look.fore]!;
  const back = look.back === undefined ? BACK : PALETTE[look.back]!;
  const ink = look.dim ? between(fore, back) : fore;
  return look.reverse ? { ink: back, paper: ink } : { ink, paper: back };
}

/** Arms of a frame's character from the middle of its cell: left, right, up, down; their thickness. */
const FRAMES: Readonly<Record<string, readonly [arms: string, thick: number]>> = {
  '─': ['lr', 1],
  '│': ['ud', 1],
  '┌': ['rd', 1],
  '┐': ['ld', 1],
  '└': ['ru', 1],
  '┘': ['lu', 1],
  '├': ['rud', 1],
  '━': ['lr', 2],
  '┃': ['ud', 2],
  '┏': ['rd', 2],
  '┓': ['ld', 2],
  '┗': ['ru', 2],
  '┛': ['lu', 2],
};
/** Parts of a cell that are filled: x, y, width, height, in eighths. */
const BLOCKS: Readonly<Record<string, readonly [number, number, number, number]>> = {
  ...Object.fromEntries([...'▁▂▃▄▅▆▇█'].map((c, i) => [c, [0, 7 - i, 8, i + 1]])),
  '▌': [0, 0, 4, 8],
  '▕': [7, 0, 1, 8],
  '▏': [0, 0, 1, 8],
};
/** How much of the cell shows through. */
const SHADE: Readonly<Record<string, number>> = { '░': 0.25, '▒': 0.5, '▓': 0.75 };

const number = (n: number): string => String(Math.round(n * 100) / 100);
const rectangle = (x: number, y: number, width: number, height: number): string =>
  `M${number(x)} ${number(y)}h${number(width)}v${number(height)}h${number(-width)}z`;

/** The shape that a character is, at a cell's corner; undefined: it is text. */
function shape(text: string, x: number, y: number): string | undefined {
  const block = BLOCKS[text];
  if (block !== undefined) {
    const [bx, by, width, height] = block;
    return rectangle(x + (bx * WIDTH) / 8, y + (by * HEIGHT) / 8, (width * WIDTH) / 8, (height * HEIGHT) / 8);
  }
  if (text in SHADE) return rectangle(x, y + 2, WIDTH, HEIGHT - 4);
  const frame = FRAMES[text];
  if (frame === undefined) return undefined;
  const [arms, thick] = frame;
  const [cx, cy] = [x + WIDTH / 2 - thick / 2, y + (HEIGHT - 1) / 2 - thick / 2];
  const arm: Readonly<Record<string, string>> = {
    l: rectangle(x, cy, cx - x + thick, thick),
    r: rectangle(cx, cy, x + WIDTH - cx, thick),
    u: rectangle(cx, y, thick, cy - y + thick),
    d: rectangle(cx, cy, thick, y + HEIGHT - cy),
  };
  return [...arms].map((a) => arm[a]!).join('');
}

/** Neighbours that belong together. */
function* runs<T>(cells: readonly Cell[], key: (cell: Cell) => T | undefined): Generator<{ at: number; cells: readonly Cell[]; key: T }> {
  for (let at = 0; at < cells.length; ) {
    const first = key(cells[at]!);
    let end = at + 1;
    while (end < cells.length && key(cells[end]!) === first) end++;
    if (first !== undefined) yield { at, cells: cells.slice(at, end), key: first };
    at = end;
  }
}

/** Characters that any monospaced font has in one width. */
const ASCII = /^[\x20-\x7e]$/;

/** Attributes of text; undefined for what is no text, or not of a run. */
function textKey({ text, look }: Cell): string | undefined {
  if (!ASCII.test(text) || (text === ' ' && !look.underline)) return undefined;
  return `fill="${coloursOf(look).ink}"${look.bold ? ' font-weight="bold"' : ''}${look.underline ? ' text-decoration="underline"' : ''}`;
}

function textOf(column: number, y: number, text: string, cells: number, key: string): string {
  const length = cells === 1 ? '' : ` textLength="${cells * WIDTH}"`;
  return `<text x="${MARGIN + column * WIDTH}" y="${y + BASELINE}"${length} ${key}>${escaped(text)}</text>`;
}

/** `title` is what a screen reader says. */
export function svgOf(screen: readonly (readonly Cell[])[], title: string): string {
  const columns = screen[0]?.length ?? 0;
  const [width, height] = [columns * WIDTH + 2 * MARGIN, screen.length * HEIGHT + 2 * MARGIN];
  const papers: string[] = [];
  const texts: string[] = [];
  /** by colour and opacity */
  const shapes = new Map<string, string>();
  for (const [i, row] of screen.entries()) {
    const y = MARGIN + i * HEIGHT;
    for (const run of runs(row, (c) => (coloursOf(c.look).paper === BACK ? undefined : coloursOf(c.look).paper)))
      papers.push(`<path fill="${run.key}" d="${rectangle(MARGIN + run.at * WIDTH, y, run.cells.length * WIDTH, HEIGHT)}"/>`);
    for (const run of runs(row, textKey)) texts.push(textOf(run.at, y, run.cells.map((c) => c.text).join(''), run.cells.length, run.key));
    for (const [column, cell] of row.entries()) {
      const drawn = shape(cell.text, MARGIN + column * WIDTH, y);
      if (drawn === undefined) {
        if (!ASCII.test(cell.text)) texts.push(textOf(column, y, cell.text, 1, `fill="${coloursOf(cell.look).ink}"`));
        continue;
      }
      const opacity = SHADE[cell.text];
      const key = `fill="${coloursOf(cell.look).ink}"${opacity === undefined ? '' : ` fill-opacity="${opacity}"`}`;
      shapes.set(key, (shapes.get(key) ?? '') + drawn);
    }
  }
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" rx="6" fill="${BACK}"/>`,
    ...papers,
    ...[...shapes].map(([key, d]) => `<path ${key} d="${d}"/>`),
    `<g font-family="${escaped(FONT)}" font-size="13" xml:space="preserve">`,
    ...texts,
    '</g>',
    '</svg>',
  ].join('\n')}\n`;
}
