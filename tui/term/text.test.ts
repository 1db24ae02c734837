import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cells, clean, clip, dropCells, fitLine, type Line, line, lineCells, pad, padLeft, span, take, wrap } from './text.ts';
import { makeTheme, paintLine, toAscii, wantsAscii, wantsColour } from './theme.ts';

const plain = (spans: readonly { text: string }[]): string => spans.map((s) => s.text).join('');

describe('clean', () => {
  test('control characters, invisible ones, emoji and broken surrogates become escapes', () => {
    expect(clean('/dev/iommu')).toBe('/dev/iommu');
    expect(clean('a\x1b[2Jb\r\n\t\0\x07\x7f')).toBe('a\\x1b[2Jb\\x0d\\x0a\\x09\\x00\\x07\\x7f');
    expect(clean('\x9b31m')).toBe('\\x9b31m');
    expect(clean('a\u202eb\u200bc\u0301')).toBe('a\\u{202e}b\\u{200b}c\\u{301}');
    expect(clean('é漢字')).toBe('é漢字');
    expect(clean('😀\ud800')).toBe('\\u{1f600}\\u{d800}');
  });

  test('nothing that a terminal acts on is left, of any string', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 50 }), (s) => {
        const c = clean(s);
        expect(c).not.toMatch(/[\p{C}\p{M}\p{Zl}\p{Zp}]/u);
        expect(clean(c)).toBe(c);
      }),
      { numRuns: 400 },
    );
  });
});

describe('widths', () => {
  const text = fc.string({ unit: fc.constantFrom(...'ab é漢►…'), maxLength: 30 });
  test('what is cut, filled or fitted has the width that was asked for', () => {
    fc.assert(
      fc.property(text, fc.nat(20), (s, width) => {
        expect(cells(take(s, width))).toBeLessThanOrEqual(width);
        expect(cells(clip(s, width, '…'))).toBeLessThanOrEqual(width);
        expect(cells(pad(s, width, '…'))).toBe(width);
        expect(cells(padLeft(s, width, '…'))).toBe(width);
      }),
    );
    fc.assert(
      fc.property(fc.array(text, { maxLength: 5 }), fc.nat(40), (parts, width) => {
        expect(cells(plain(fitLine(line(...parts), width, '…')))).toBe(width);
      }),
    );
  });

  test('a cut shows that it is one', () => {
    expect(plain(fitLine(line('abcdef'), 4, '…'))).toBe('abc…');
    expect(plain(fitLine(line('abc', span('def', 'error')), 3, '…'))).toBe('ab…');
    expect(plain(fitLine(line('abc'), 3, '…'))).toBe('abc');
  });

  test('wrapped rows fit, and no text is lost', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 2, max: 30 }), fc.nat(4), (s, width, indent) => {
        const rows = wrap(line(s), width, indent);
        for (const row of rows) expect(lineCells(row)).toBeLessThanOrEqual(width);
        const strip = (t: string): string => t.replaceAll(' ', '');
        expect(strip(rows.map((r) => plain(r.spans)).join(''))).toBe(strip(s));
      }),
      { examples: [['漢aa漢aaaaa漢', 12, 4]] },
    );
    expect(wrap(line('one two three four five'), 14, 2).map((r) => plain(r.spans))).toEqual(['one two three ', '  four five']);
  });
});

describe('theme', () => {
  test('without colour there are attributes but no colours', () => {
    const l = { ...line(span('x', 'error'), span('y', 'created')), fill: 'cursor' as const };
    expect(paintLine(l, 2, makeTheme(true, false))).toContain('31');
    expect(paintLine(l, 2, makeTheme(false, false))).not.toMatch(/\x1b\[[0-9;]*[349][0-9]/);
  });

  test('ASCII is ASCII', () => {
    expect(toAscii('→ … é')).toBe('-> ... \\u{e9}');
    expect(paintLine(line('漢 → ►'), 30, makeTheme(false, true))).toMatch(/^[\x20-\x7e\x1b]*$/);
  });

  test('options win over the environment', () => {
    expect(wantsColour('auto', {})).toBe(true);
    expect(wantsColour('auto', { NO_COLOR: '1' })).toBe(false);
    expect(wantsColour('auto', { NO_COLOR: '' })).toBe(true);
    expect(wantsColour('always', { NO_COLOR: '1' })).toBe(true);
    expect(wantsColour('never', {})).toBe(false);
    expect(wantsAscii(undefined, { LANG: 'C.UTF-8' })).toBe(false);
    expect(wantsAscii(undefined, { LC_ALL: 'POSIX', LANG: 'C.UTF-8' })).toBe(true);
    expect(wantsAscii(false, {})).toBe(false);
  });
});

test('a line scrolled sideways: what is pinned stays, wide characters are not split', () => {
  const l: Line = { ...line('+ ', span('ab', 'call'), '漢字x'), pinned: 1 };
  const texts = (n: number): string[] => dropCells(l, n).spans.map((s) => s.text);
  expect(texts(0)).toEqual(['+ ', 'ab', '漢字x']);
  expect(texts(1)).toEqual(['+ ', 'b', '漢字x']);
  expect(texts(3)).toEqual(['+ ', ' 字x']);
  expect(texts(6)).toEqual(['+ ', 'x']);
  expect(texts(99)).toEqual(['+ ']);
  expect(dropCells(l, 1).spans[1]!.token).toBe('call');
});
