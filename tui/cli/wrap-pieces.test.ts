import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cells, clean } from '../term/text.ts';
import { type Piece, paint, render } from './output.ts';
import { besidePieces, wrapPieces } from './wrap-pieces.ts';

const text = (pieces: readonly Piece[]): string => pieces.map((p) => render(p, false)).join('');

test('words where they fit, a long one cut', () => {
  expect(wrapPieces(['one two ', paint('call', 'three'), ' four'], 9, 2).map(text)).toEqual(['one two', '  three', '  four']);
  expect(wrapPieces(['abcdefghij klm'], 4).map(text)).toEqual(['abcd', 'efgh', 'ij', 'klm']);
  expect(wrapPieces(['a  b'], 10).map(text)).toEqual(['a  b']);
  expect(wrapPieces([], 10).map(text)).toEqual(['']);
  expect(wrapPieces(['字字字'], 3).map(text)).toEqual(['字', '字', '字']);
});

test('of two columns both are there', () => {
  expect(besidePieces(['left side'], ['right'], 13).map(text)).toEqual(['left  │ right', 'side  │']);
  expect(besidePieces(['a'], ['the right side'], 13).map(text)).toEqual(['a     │ the', '      │ right', '      │ side']);
});

test('no line is too long, nothing is lost, nothing acts on a terminal', () => {
  const piece = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(' ', 'word ', '\x1b[31m', '字', '  two'));
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.integer({ min: 8, max: 40 }),
      fc.integer({ min: 0, max: 4 }),
      (pieces, width, indent) => {
        const lines = wrapPieces(pieces, width, indent).map(text);
        const bare = (s: string): string => s.replaceAll(' ', '');
        expect(bare(lines.join(''))).toBe(bare(pieces.map(clean).join('')));
        for (const line of lines) {
          expect(cells(line)).toBeLessThanOrEqual(width);
          expect(line).not.toMatch(/\p{Cc}/u);
        }
      },
    ),
    { seed: 6, numRuns: 500 },
  );
});
