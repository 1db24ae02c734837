import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesText, escapeText, quoteText } from './quote.ts';

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;

/** What quoteText did, taken back. */
function unquote(text: string): Uint8Array {
  expect(text.startsWith('"') && text.endsWith('"')).toBe(true);
  const out: number[] = [];
  for (const [piece] of text.slice(1, -1).matchAll(/\\x[0-9a-f]{2}|\\.|[^\\]/gsu)) {
    if (piece.startsWith('\\x')) out.push(Number.parseInt(piece.slice(2), 16));
    else if (piece.startsWith('\\')) out.push(({ n: 10, t: 9, r: 13 } as Record<string, number>)[piece[1]!] ?? piece.charCodeAt(1));
    else out.push(...new TextEncoder().encode(piece));
  }
  return new Uint8Array(out);
}

/** Bytes as traces have them: any, and text with what terminals obey. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }).map((s) => new TextEncoder().encode(s)),
  fc
    .array(fc.constantFrom('\x1b[31m', '\u202e', '"', '\\', '\\x41', '\u0085', '\r\n', 'é', '漢', '\u200b', '\ud83d\ude00'), {
      maxLength: 8,
    })
    .map((a) => new TextEncoder().encode(a.join(''))),
);

describe('text of a traced program', () => {
  test('is printable when quoted, and no byte is lost', () => {
    fc.assert(
      fc.property(bytes, (b) => {
        const text = quoteText(b);
        expect(text).not.toMatch(UNSAFE);
        expect(unquote(text)).toEqual(new Uint8Array(b));
      }),
    );
  });

  test('stays readable where it is harmless', () => {
    expect(quoteText(new TextEncoder().encode('/dev/vfio/é漢'))).toBe('"/dev/vfio/é漢"');
    expect(quoteText(new TextEncoder().encode('a"b\\c\n'))).toBe('"a\\"b\\\\c\\n"');
    expect(quoteText(new Uint8Array([0x61, 0xff, 0x1b]))).toBe('"a\\xff\\x1b"');
  });

  test('escaped text has nothing that a terminal obeys', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (s) => {
        expect(escapeText(s)).not.toMatch(UNSAFE);
      }),
    );
    expect(escapeText('a\x1b]0;x\x07\u202eb')).toBe('a\\x1b]0;x\\x07\\u{202e}b');
  });

  test('bytes are cut with a count of what is missing', () => {
    expect(bytesText(new Uint8Array([1, 2, 255]), 10)).toBe('bytes:0102ff');
    expect(bytesText(new Uint8Array([1, 2, 255]), 2)).toBe('bytes:0102…+1');
    expect(bytesText(new Uint8Array(), 2)).toBe('bytes:');
  });
});
