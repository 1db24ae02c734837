/** What a click or the wheel means where the pointer is. A slice of ui-state.ts, and pure as that is: it says what, the reducer does it. */

import type { Layout, PaneBox, PaneId, Rect } from './layout.ts';
import { tabAt } from './present/chrome.ts';

export interface Point {
  /** cells from the left, rows from the top, from 0 */
  readonly x: number;
  readonly y: number;
}

/** What is under the pointer. */
export type Target =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'strip'; readonly x: number }
  /** the frame or the title of a pane; `tab` where that is the name of a pane */
  | { readonly kind: 'pane'; readonly pane: PaneId; readonly tab: PaneId | undefined }
  /** a row inside a pane, from 0 */
  | { readonly kind: 'row'; readonly pane: PaneId; readonly row: number };

const inside = (r: Rect, { x, y }: Point): boolean => x >= r.x && x < r.x + r.width && y >= r.y && y < r.y + r.height;

export function targetAt(l: Layout, at: Point): Target {
  if (inside(l.strip, at)) return { kind: 'strip', x: at.x - l.strip.x };
  const box: PaneBox | undefined = l.boxes.find((b) => inside(b, at));
  if (box === undefined) return { kind: 'nothing' };
  const row = at.y - box.y - 1;
  if (row < 0) return { kind: 'pane', pane: box.pane, tab: tabAt(box, at.x - box.x) };
  if (row >= box.height - 2) return { kind: 'pane', pane: box.pane, tab: undefined };
  return { kind: 'row', pane: box.pane, row };
}
