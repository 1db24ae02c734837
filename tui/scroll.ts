/** Where a page stands in a text that is longer or wider than it. Pure. */

/** A size in cells. */
export interface Extent {
  readonly lines: number;
  readonly cells: number;
}

/** First line and first cell in view, from 0. */
export interface Scroll {
  readonly top: number;
  readonly left: number;
}
export const TOP: Scroll = { top: 0, left: 0 };

export type ScrollAction = 'scroll.down' | 'scroll.up' | 'scroll.pageDown' | 'scroll.pageUp' | 'scroll.top' | 'scroll.bottom' | SideAction;
type SideAction = 'scroll.left' | 'scroll.right';

/** Cells that one step to the side moves. */
const SIDE = 8;

const clamp = (n: number, high: number): number => Math.max(0, Math.min(n, high));

/** The nearest place from which the page is inside the text. */
export function inside(at: Scroll, text: Extent, page: Extent): Scroll {
  return { top: clamp(at.top, text.lines - page.lines), left: clamp(at.left, text.cells - page.cells) };
}

/** The place after so many steps. */
export function scrolled(at: Scroll, action: ScrollAction, times: number, text: Extent, page: Extent): Scroll {
  const whole = Math.max(1, page.lines - 1);
  const down: Readonly<Record<Exclude<ScrollAction, SideAction>, number>> = {
    'scroll.down': times,
    'scroll.up': -times,
    'scroll.pageDown': times * whole,
    'scroll.pageUp': -times * whole,
    'scroll.top': -Infinity,
    'scroll.bottom': Infinity,
  };
  const { top, left } = inside(at, text, page);
  if (action === 'scroll.left' || action === 'scroll.right') {
    return inside({ top, left: left + (action === 'scroll.left' ? -SIDE : SIDE) * times }, text, page);
  }
  return inside({ top: top + down[action], left }, text, page);
}

/** The place from which a line is in view: the same where it is already, else with the line in the middle. */
export function revealed(at: Scroll, line: number, text: Extent, page: Extent): Scroll {
  const now = inside(at, text, page);
  if (line >= now.top && line < now.top + page.lines) return at;
  return inside({ top: line - (page.lines >> 1), left: now.left }, text, page);
}
