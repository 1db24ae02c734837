/** What a click or the wheel means in the diff view, where the pointer is. A slice of ui.ts, and pure as that is. */
import { cells } from '../term/text.ts';
import type { Point } from '../ui-mouse.ts';
import { type DiffUi, diffLayout, LOWER_PANES, type LowerPane } from './ui.ts';

/** What the lower panes are called on their edge. */
const NAMES: Readonly<Record<LowerPane, string>> = { detail: 'Both events', state: 'Both states' };

/** `[Both events] Both states `: the one that is shown in brackets. */
export const lowerTitles = (shown: LowerPane): readonly string[] =>
  LOWER_PANES.map((pane) => (pane === shown ? `[${NAMES[pane]}]` : ` ${NAMES[pane]} `));

export type DiffTarget =
  | { readonly kind: 'nothing' }
  /** a list; `line` of its text, from 0; undefined: its frame */
  | { readonly kind: 'list'; readonly line: number | undefined }
  /** the lower pane; `tab` where the name of one stands */
  | { readonly kind: 'lower'; readonly tab: LowerPane | undefined };

export function diffTargetAt(ui: DiffUi, { x, y }: Point): DiffTarget {
  const { lists, lower } = diffLayout(ui);
  const has = (box: { readonly y: number; readonly height: number }): boolean => y >= box.y && y < box.y + box.height;
  if (x < 0 || x >= ui.columns) return { kind: 'nothing' };
  const list = lists.find(has);
  if (list !== undefined) {
    const line = y - list.y - 1;
    return { kind: 'list', line: line >= 0 && line < list.height - 2 ? line : undefined };
  }
  if (lower === undefined || !has(lower)) return { kind: 'nothing' };
  return { kind: 'lower', tab: y === lower.y ? tabAt(ui.lower, x) : undefined };
}

function tabAt(shown: LowerPane, x: number): LowerPane | undefined {
  // a corner and a piece of the edge are in front of the names
  let at = 2;
  for (const [i, title] of lowerTitles(shown).entries()) {
    if (x >= at && x < at + cells(title)) return LOWER_PANES[i];
    at += cells(title);
  }
  return undefined;
}
