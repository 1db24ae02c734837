/**
 * How things look: semantic tokens → terminal attributes, and the glyphs. Only the 16 colours of the terminal are used, so
 * that the user's palette is the theme; colour never carries a meaning alone, a glyph or a word always does too.
 */
import { fitLine, type Line, type Span } from './text.ts';

export type Token =
  | 'dim'
  | 'strong'
  | 'title'
  | 'call'
  | 'object'
  | 'error'
  | 'created'
  | 'changed'
  | 'destroyed'
  | 'border'
  | 'focus'
  | 'cursor'
  | 'cursorPassive'
  | 'key'
  | 'job'
  | 'bar'
  | 'hit'
  | 'hardware'
  | LaneToken;

export const LANE_TOKENS = ['lane1', 'lane2', 'lane3', 'lane4', 'lane5', 'lane6'] as const;
type LaneToken = (typeof LANE_TOKENS)[number];

/** A token with colour and without: SGR parameters. Without colour, bold, dim and reverse are still there. */
const TOKENS: Readonly<Record<Token, { readonly colour: string; readonly mono: string }>> = {
  dim: { colour: '2', mono: '2' },
  strong: { colour: '1', mono: '1' },
  title: { colour: '1', mono: '1' },
  call: { colour: '36', mono: '' },
  object: { colour: '34', mono: '' },
  error: { colour: '31', mono: '1' },
  created: { colour: '32', mono: '' },
  changed: { colour: '33', mono: '' },
  destroyed: { colour: '31', mono: '' },
  border: { colour: '2', mono: '2' },
  focus: { colour: '32', mono: '1' },
  cursor: { colour: '7', mono: '7' },
  cursorPassive: { colour: '1;4', mono: '1;4' },
  key: { colour: '36', mono: '1' },
  job: { colour: '33', mono: '1' },
  bar: { colour: '7', mono: '7' },
  hit: { colour: '30;43', mono: '1;4' },
  hardware: { colour: '35', mono: '1' },
  lane1: { colour: '36', mono: '' },
  lane2: { colour: '33', mono: '' },
  lane3: { colour: '35', mono: '' },
  lane4: { colour: '32', mono: '' },
  lane5: { colour: '34', mono: '' },
  lane6: { colour: '1', mono: '' },
};

/** The characters the screens are drawn with. Each is one cell, but for the arrow in ASCII. */
export interface Glyphs {
  readonly cursor: string;
  readonly error: string;
  readonly arrow: string;
  readonly created: string;
  readonly changed: string;
  readonly destroyed: string;
  readonly ellipsis: string;
  readonly idle: string;
  /** in the overview: the cursor, a hit of the search, the hardware */
  readonly here: string;
  readonly hit: string;
  readonly hardware: string;
  /** what the hardware tells: events and faults that were read, registers loaded and stored, queues that were sampled, errors of a queue */
  readonly signs: Readonly<Record<HardwareMark, string>>;
  /** a bar of blocks: its ends, and its cells from empty to full */
  readonly bar: { readonly left: string; readonly right: string; readonly cells: readonly string[] };
  /** an event that somebody wrote a note on */
  readonly note: string;
  readonly tree: { readonly branch: string; readonly last: string; readonly pipe: string; readonly blank: string };
  readonly light: Box;
  readonly heavy: Box;
}

/** What an event has to do with the hardware. */
export type HardwareMark = 'event' | 'access' | 'sample' | 'fault';

export interface Box {
  readonly tl: string;
  readonly tr: string;
  readonly bl: string;
  readonly br: string;
  readonly h: string;
  readonly v: string;
}

const UNICODE: Glyphs = {
  cursor: '►',
  error: '!',
  arrow: '→',
  created: '+',
  changed: '~',
  destroyed: '-',
  ellipsis: '…',
  idle: '·',
  here: '▲',
  hit: '/',
  hardware: '•',
  signs: { event: '◆', access: '◦', sample: '◇', fault: '✗' },
  bar: { left: '▕', right: '▏', cells: ['░', '▌', '█'] },
  note: '"',
  tree: { branch: '├─ ', last: '└─ ', pipe: '│  ', blank: '   ' },
  light: { tl: '┌', tr: '┐', bl: '└', br: '┘', h: '─', v: '│' },
  heavy: { tl: '┏', tr: '┓', bl: '┗', br: '┛', h: '━', v: '┃' },
};

const ASCII: Glyphs = {
  cursor: '>',
  error: '!',
  arrow: '->',
  created: '+',
  changed: '~',
  destroyed: '-',
  ellipsis: '>',
  idle: '.',
  here: '^',
  hit: '/',
  hardware: 'h',
  signs: { event: '^', access: ':', sample: '?', fault: 'x' },
  bar: { left: '[', right: ']', cells: ['.', '-', '#'] },
  note: '"',
  tree: { branch: '|- ', last: '`- ', pipe: '|  ', blank: '   ' },
  light: { tl: '+', tr: '+', bl: '+', br: '+', h: '-', v: '|' },
  heavy: { tl: '#', tr: '#', bl: '#', br: '#', h: '=', v: '#' },
};

/** What the other parts of the program draw with, in ASCII. */
const TO_ASCII: Readonly<Record<string, string>> = {
  '→': '->',
  '←': '<-',
  '…': '...',
  '–': '-',
  '—': '-',
  '·': '.',
  '•': '*',
  '×': 'x',
  '✗': 'x',
  '±': '+-',
  '≥': '>=',
  '≤': '<=',
  '≠': '!=',
  µ: 'u',
  μ: 'u',
  '½': '1/2',
};

export interface Theme {
  readonly colour: boolean;
  readonly ascii: boolean;
  readonly glyphs: Glyphs;
}

export function makeTheme(colour: boolean, ascii: boolean): Theme {
  return { colour, ascii, glyphs: ascii ? ASCII : UNICODE };
}

export type ColorChoice = 'auto' | 'always' | 'never';

/** Colour or not, on a terminal: the option, else NO_COLOR, else yes. */
export function wantsColour(choice: ColorChoice, env: Readonly<Record<string, string | undefined>>): boolean {
  if (choice !== 'auto') return choice === 'always';
  return (env.NO_COLOR ?? '') === '';
}

/** ASCII only: asked for, or the locale says that the terminal does not take UTF-8. */
export function wantsAscii(choice: boolean | undefined, env: Readonly<Record<string, string | undefined>>): boolean {
  if (choice !== undefined) return choice;
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return !/utf-?8/i.test(locale);
}

/** A clean text with ASCII characters only; what has no equivalent becomes `\u{…}`. */
export function toAscii(text: string): string {
  let out = '';
  for (const c of text) {
    const code = c.codePointAt(0)!;
    out += code < 0x7f ? c : (TO_ASCII[c] ?? `\\u{${code.toString(16)}}`);
  }
  return out;
}

function sgr(token: Token | undefined, theme: Theme): string {
  return token === undefined ? '' : TOKENS[token][theme.colour ? 'colour' : 'mono'];
}

/** A line as bytes for the terminal, exactly `width` cells wide. Ends with all attributes off. */
export function paintLine(l: Line, width: number, theme: Theme): string {
  const source: Line = theme.ascii ? { ...l, spans: l.spans.map((s) => ({ ...s, text: toAscii(s.text) })) } : l;
  const fill = sgr(l.fill, theme);
  let out = '';
  for (const s of fitLine(source, width, theme.glyphs.ellipsis)) out += paintSpan(s, fill, theme);
  return out;
}

function paintSpan(s: Span, fill: string, theme: Theme): string {
  const own = sgr(s.token, theme);
  const codes = own !== '' && fill !== '' ? `${fill};${own}` : own + fill;
  return codes === '' ? s.text : `\x1b[${codes}m${s.text}\x1b[0m`;
}
