/** Clicks, the wheel and the overview, on the state of the screen. Pure, as ui-state.ts is, which it is a slice of. */

import { pageOfList } from './find/list.ts';
import type { Layout, PaneBox, PaneId, Rect } from './layout.ts';
import { tabAt } from './present/chrome.ts';
import { type ScrollAction, scrolled } from './scroll.ts';
import { type Facts, layoutOf, listOf, pageOf, type ScrollPane, type Ui } from './ui.ts';
import { focusOn, moveTo, snapTo } from './ui-moves.ts';

/** Rows that one turn of the wheel moves. */
export const TURN = 3;

/** What F2 says. */
export const mouseText = (on: boolean): string => `the mouse is ${on ? 'on' : 'off: F2 turns it on again'}`;

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

export function click(ui: Ui, facts: Facts): Ui {
  if (ui.pointer === undefined) return ui;
  const target = targetAt(layoutOf(ui), ui.pointer);
  switch (target.kind) {
    case 'nothing':
      return ui;
    case 'strip': {
      const seq = facts.find?.stripSeq(target.x);
      return seq === undefined ? ui : snapTo(ui, seq, 1, facts);
    }
    case 'pane':
      return focusOn(ui, target.tab ?? target.pane);
    case 'row': {
      const seq = target.pane === 'events' ? pageOfList(listOf(facts), ui.cursor, ui.cursorRow, target.row + 1)[target.row] : undefined;
      return focusOn(seq === undefined ? ui : moveTo(ui, seq, facts), target.pane);
    }
    default:
      return target satisfies never;
  }
}

export function wheel(ui: Ui, direction: 1 | -1, facts: Facts): Ui {
  const target = ui.mode === 'help' || ui.pointer === undefined ? undefined : targetAt(layoutOf(ui), ui.pointer);
  const pane = target?.kind === 'row' || target?.kind === 'pane' ? target.pane : undefined;
  if (pane === 'events') return moveTo(ui, listOf(facts).move(ui.cursor, TURN * direction), facts);
  if (pane === undefined && ui.mode !== 'help') return ui;
  const scrolling: ScrollPane = pane ?? 'help';
  const action: ScrollAction = direction === 1 ? 'scroll.down' : 'scroll.up';
  const to = scrolled(ui.scroll[scrolling], action, TURN, facts.extent(scrolling), pageOf(ui, scrolling));
  return { ...ui, scroll: { ...ui.scroll, [scrolling]: to } };
}

export function alongStrip(ui: Ui, by: number, facts: Facts): Ui {
  const seq = facts.find?.stripStep(ui.cursor, by);
  return seq === undefined ? ui : snapTo(ui, seq, 1, facts);
}
