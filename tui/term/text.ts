/**
 * Text on its way to a terminal: styled spans, their width in cells, and the one function that makes a foreign string
 * harmless. Strings out of a trace are hostile input; whatever draws them calls {@link clean} first.
 */
import { eastAsianWidth } from 'get-east-asian-width';
import { escapeText } from '../../hw/quote.ts';
import type { Token } from './theme.ts';

/** A piece of a line in one style. `text` is clean: printable, no control characters, no combining marks. */
export interface Span {
  readonly text: string;
  readonly token?: Token;
}

/** One row of a pane. `fill` is the style of the whole row, under the styles of its spans and up to the pane's edge. */
export interface Line {
  readonly spans: readonly Span[];
  readonly fill?: Token;
  /** so many spans at the beginning stay in place when the line is scrolled sideways */
  readonly pinned?: number;
  /** number of an event that the line speaks of: one can go there */
  readonly link?: number;
}

/** A span; without a token it has the terminal's own colours. */
export function span(text: string, token?: Token): Span {
  return token === undefined ? { text } : { text, token };
}

/** A line of spans; bare strings are plain spans. */
export function line(...parts: readonly (Span | string)[]): Line {
  return { spans: parts.map((p) => (typeof p === 'string' ? { text: p } : p)) };
}

const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;
/** Beside what {@link escapeText} takes: characters whose width terminals do not agree on (marks, emoji, odd blanks, conjoining jamo). */
const UNPREDICTABLE = /[\p{M}\p{Emoji_Presentation}\p{Extended_Pictographic}\p{Cn}\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]|(?! )\p{Zs}/gu;

/**
 * A string that cannot harm a terminal and whose width is the sum of its code points' widths: control characters,
 * invisible and combining characters, emoji and broken surrogates become escapes (`\x1b`, `\u{202e}`).
 */
export function clean(text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text;
  return escapeText(text).replace(UNPREDICTABLE, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

/** Width of a clean text in terminal cells. */
export function cells(text: string): number {
  if (PRINTABLE_ASCII.test(text)) return text.length;
  let n = 0;
  for (const c of text) n += eastAsianWidth(c.codePointAt(0)!);
  return n;
}

/** Width of a line in terminal cells. */
export function lineCells(l: Line): number {
  return l.spans.reduce((n, s) => n + cells(s.text), 0);
}

/** The longest beginning of a clean text that fits into `width` cells. */
export function take(text: string, width: number): string {
  if (width <= 0) return '';
  if (PRINTABLE_ASCII.test(text)) return text.slice(0, width);
  let used = 0;
  let out = '';
  for (const c of text) {
    used += eastAsianWidth(c.codePointAt(0)!);
    if (used > width) break;
    out += c;
  }
  return out;
}

/** A clean text cut to `width` cells, the cut shown by `ellipsis` (one cell). */
export function clip(text: string, width: number, ellipsis: string): string {
  if (cells(text) <= width) return text;
  return width <= 0 ? '' : take(text, width - 1) + ellipsis;
}

/** A clean text of exactly `width` cells: cut, or filled with blanks on the right. */
export function pad(text: string, width: number, ellipsis: string): string {
  const cut = clip(text, width, ellipsis);
  return cut + ' '.repeat(Math.max(0, width - cells(cut)));
}

/** As {@link pad}, with the blanks on the left: for numbers. */
export function padLeft(text: string, width: number, ellipsis: string): string {
  const cut = clip(text, width, ellipsis);
  return ' '.repeat(Math.max(0, width - cells(cut))) + cut;
}

/** The spans of a line made exactly `width` cells wide: cut with an ellipsis, or filled with a plain span of blanks. */
export function fitLine(l: Line, width: number, ellipsis: string): readonly Span[] {
  const out: Span[] = [];
  let left = width;
  const total = lineCells(l);
  for (const s of l.spans) {
    if (left <= 0) break;
    const n = cells(s.text);
    const last = n > left || (n === left && total > width);
    const text = last ? take(s.text, left - 1) : s.text;
    if (text.length > 0) out.push({ ...s, text });
    left -= cells(text);
    if (last) {
      out.push({ ...s, text: ellipsis });
      left -= 1;
      break;
    }
  }
  if (left > 0) out.push({ text: ' '.repeat(left) });
  return out;
}

/** A line scrolled sideways: without the first `width` cells behind what is pinned. Of a wide character cut in two a blank is left. */
export function dropCells(l: Line, width: number): Line {
  const pinned = l.pinned ?? 0;
  const spans = l.spans.slice(0, pinned);
  let left = width;
  for (const s of l.spans.slice(pinned)) {
    const dropped = take(s.text, left);
    left -= cells(dropped);
    let rest = s.text.slice(dropped.length);
    if (rest !== '' && left > 0) {
      const first = String.fromCodePoint(rest.codePointAt(0)!);
      rest = ' '.repeat(cells(first) - left) + rest.slice(first.length);
      left = 0;
    }
    if (rest !== '') spans.push({ ...s, text: rest });
  }
  return { ...l, spans };
}

/**
 * Breaks a line into rows of at most `width` cells (2 and more: below, a wide character has no room and the line stays as it is); rows
 * after the first begin with `indent` blanks where these leave more than 8 cells. Breaks at blanks where it can.
 */
export function wrap(l: Line, width: number, indent = 0): readonly Line[] {
  if (lineCells(l) <= width || width < 2) return [l];
  const hang = width > indent + 8 ? indent : 0;
  const rows: Span[][] = [[]];
  let left = width;
  const newRow = (): void => {
    rows.push(hang > 0 ? [{ text: ' '.repeat(hang) }] : []);
    left = width - hang;
  };
  for (const s of l.spans) {
    for (let word of s.text.match(/ +|[^ ]+/g) ?? []) {
      if (cells(word) > left && left < width - hang && cells(word) <= width - hang) {
        newRow();
        if (word.startsWith(' ')) continue;
      }
      while (cells(word) > left) {
        const head = take(word, left);
        if (head !== '') rows.at(-1)!.push({ ...s, text: head });
        word = word.slice(head.length);
        newRow();
      }
      if (word !== '') rows.at(-1)!.push({ ...s, text: word });
      left -= cells(word);
    }
  }
  return rows.map((spans) => ({ ...l, spans }));
}
