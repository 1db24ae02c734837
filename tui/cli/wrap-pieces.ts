/** Coloured text in lines of a given width: whole words where they fit, and two columns beside each other. */
import { cells, clean, take } from '../term/text.ts';
import { type Piece, paint, type Style } from './output.ts';

interface Word {
  readonly text: string;
  readonly style: Style | undefined;
  /** spaces in front of it */
  readonly space: number;
}

function wordsOf(pieces: readonly Piece[]): Word[] {
  const words: Word[] = [];
  for (const piece of pieces) {
    const text = clean(typeof piece === 'string' ? piece : piece.text);
    const style = typeof piece === 'string' ? undefined : piece.style;
    for (const [, space = '', word = ''] of text.matchAll(/( *)([^ ]*)/g)) {
      if (space !== '' || word !== '') words.push({ text: word, style, space: space.length });
    }
  }
  return words;
}

const pieceOf = (text: string, style: Style | undefined): Piece => (style === undefined ? text : paint(style, text));

/** Pieces in lines of at most `width` cells; all but the first begin with `indent` spaces. What is foreign in them is escaped. */
export function wrapPieces(pieces: readonly Piece[], width: number, indent = 0): Piece[][] {
  const lines: Piece[][] = [[]];
  let column = 0;
  /** spaces that are printed if a word follows them on the line */
  let gap = 0;
  const turn = (): void => {
    lines.push([' '.repeat(indent)]);
    column = indent;
    gap = 0;
  };
  for (const word of wordsOf(pieces)) {
    gap += word.space;
    let { text } = word;
    if (text !== '' && column + gap + cells(text) > width && column > indent) turn();
    while (text !== '') {
      const fitting = take(text, width - column - gap);
      // a character that is wider than the line goes over its edge rather than lost
      const part = fitting === '' && column <= indent ? String.fromCodePoint(text.codePointAt(0)!) : fitting;
      if (part !== '') lines.at(-1)!.push(pieceOf(' '.repeat(gap) + part, word.style));
      column += gap + cells(part);
      gap = 0;
      text = text.slice(part.length);
      if (text !== '') turn();
    }
  }
  return lines;
}

export const piecesWidth = (pieces: readonly Piece[]): number =>
  pieces.reduce((n, p) => n + cells(clean(typeof p === 'string' ? p : p.text)), 0);

/** Two texts beside each other, in `width` cells. */
export function besidePieces(a: readonly Piece[], b: readonly Piece[], width: number, indent = 0): Piece[][] {
  const half = (width - 3) >> 1;
  const [left, right] = [wrapPieces(a, half, indent), wrapPieces(b, half, indent)];
  return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => {
    const front = left[i] ?? [];
    const gap = ' '.repeat(Math.max(0, half - piecesWidth(front)));
    return [...front, gap, paint('dim', right[i] === undefined ? ' │' : ' │ '), ...(right[i] ?? [])];
  });
}
