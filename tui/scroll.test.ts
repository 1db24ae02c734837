import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inside, revealed, type ScrollAction, scrolled, TOP } from './scroll.ts';

const text = { lines: 100, cells: 120 };
const page = { lines: 10, cells: 50 };

describe('scrolling', () => {
  test('lines, pages, ends, sides', () => {
    const go = (actions: readonly ScrollAction[]) => actions.reduce((at, a) => scrolled(at, a, 1, text, page), TOP);
    expect(go(['scroll.down', 'scroll.down', 'scroll.up'])).toEqual({ top: 1, left: 0 });
    expect(go(['scroll.pageDown', 'scroll.pageDown', 'scroll.pageUp'])).toEqual({ top: 9, left: 0 });
    expect(go(['scroll.bottom', 'scroll.down'])).toEqual({ top: 90, left: 0 });
    expect(go(['scroll.bottom', 'scroll.right', 'scroll.top'])).toEqual({ top: 0, left: 8 });
    expect(scrolled(TOP, 'scroll.right', 99, text, page)).toEqual({ top: 0, left: 70 });
    expect(scrolled(TOP, 'scroll.left', 1, text, page)).toEqual(TOP);
  });

  test('the page never leaves a text that is longer, and a shorter one never moves', () => {
    const n = fc.nat(200);
    fc.assert(
      fc.property(n, n, n, n, (top, left, lines, cells) => {
        const at = inside({ top, left }, { lines, cells }, page);
        expect(at.top).toBe(Math.min(top, Math.max(0, lines - page.lines)));
        expect(at.left).toBe(Math.min(left, Math.max(0, cells - page.cells)));
      }),
    );
  });

  test('a line is brought into the middle, unless it is in view', () => {
    const at = { top: 20, left: 3 };
    expect(revealed(at, 20, text, page)).toBe(at);
    expect(revealed(at, 29, text, page)).toBe(at);
    expect(revealed(at, 30, text, page)).toEqual({ top: 25, left: 3 });
    expect(revealed(at, 2, text, page)).toEqual({ top: 0, left: 3 });
    expect(revealed(at, 99, text, page)).toEqual({ top: 90, left: 3 });
  });
});
