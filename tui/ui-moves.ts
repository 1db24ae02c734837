/** Moves that all parts of the reducer make: cursor, focus, scrolling, prompts that open and close, jobs that begin. Pure. */

import { distance } from './find/list.ts';
import { filterOf } from './find/ui-find.ts';
import { boxOf, type LowerPane, PANE_TITLES, type PaneId } from './layout.ts';
import { emptyPrompt, type Prompt } from './prompt.ts';
import { revealed, TOP } from './scroll.ts';
import { left } from './travel.ts';
import { type Facts, type Job, layoutOf, listOf, pageOf, type Ui } from './ui.ts';

/** Events above and below the cursor that stay in view. */
export const MARGIN = 2;

/** Detail on the screen, in its place or instead of the focused pane. */
export function detailShown(ui: Ui): Ui {
  const recent: Ui = { ...ui, recent: ['detail', ...ui.recent.filter((p) => p !== 'detail')] };
  return boxOf(layoutOf(recent), 'detail') === undefined ? focusOn(recent, 'detail') : recent;
}

const clamp = (n: number, low: number, high: number): number => Math.max(low, Math.min(high, n));

export function focusOn(ui: Ui, pane: PaneId): Ui {
  if (!ui.panes.includes(pane)) return complain(ui, `this trace has nothing for ${PANE_TITLES[pane]}`);
  if (pane === ui.focus) return ui;
  // a pane that is left shows the beginning of its lines again
  const scroll = ui.focus === 'events' ? ui.scroll : { ...ui.scroll, [ui.focus]: { ...ui.scroll[ui.focus], left: 0 } };
  return { ...ui, focus: pane, recent: [pane, ...ui.recent.filter((p) => p !== pane)], scroll };
}

/** Puts the cursor on an event. A near one moves it on the screen, a far one brings a new page with the event in its middle. */
export function moveTo(ui: Ui, seq: number, facts: Facts): Ui {
  const cursor = clamp(seq, facts.first, facts.last);
  const page = pageOf(ui, 'events').lines;
  const by = distance(listOf(facts), ui.cursor, cursor, page);
  const cursorRow = Math.abs(by) < page ? ui.cursorRow + by : page >> 1;
  const moved =
    cursor === ui.cursor ? ui : { ...ui, scroll: { ...ui.scroll, detail: TOP, changed: TOP }, travel: { ...ui.travel, link: -1 } };
  return settle({ ...moved, cursor, cursorRow, job: undefined, find: { ...ui.find, snap: 0 } }, facts);
}

/** Puts the cursor on the event of the list that is nearest to a place, as soon as that is known. */
export function snapTo(ui: Ui, seq: number, snap: 1 | -1, facts: Facts): Ui {
  const moved = moveTo(ui, seq, facts);
  return filterOf(ui) === '' ? moved : { ...moved, find: { ...moved.find, snap } };
}

/** Keeps the cursor's row inside the list, a margin from its edges, and the list free of blank rows while it has events to show. */
export function settle(ui: Ui, facts: Facts): Ui {
  const page = pageOf(ui, 'events').lines;
  const margin = Math.min(MARGIN, (page - 1) >> 1);
  const list = listOf(facts);
  const above = list.above(ui.cursor, page);
  const below = list.below(ui.cursor, page);
  let row = clamp(ui.cursorRow, margin, page - 1 - margin);
  row = Math.max(row, page - 1 - below);
  row = Math.min(row, above);
  return row === ui.cursorRow ? ui : { ...ui, cursorRow: row };
}

export function startJob(ui: Ui, kind: Job['kind'], direction: 1 | -1, times: number): Ui {
  const id = ui.jobs + 1;
  return { ...ui, jobs: id, job: { id, kind, direction, times, from: ui.cursor, text: kind === 'search' ? ui.find.search : '' } };
}

export function complain(ui: Ui, text: string): Ui {
  return { ...ui, message: { text, error: true } };
}

export function reveal(ui: Ui, pane: LowerPane, at: number, facts: Facts): Ui {
  const now = ui.scroll[pane];
  const to = revealed(now, at, facts.extent(pane), pageOf(ui, pane));
  return to === now ? ui : { ...ui, scroll: { ...ui.scroll, [pane]: to } };
}

/** Opens a prompt with a text in it; default: the filter that there is, which is changed, not begun anew. */
export function openPrompt(ui: Ui, kind: Prompt['kind'], text = kind === 'filter' ? ui.find.filter : ''): Ui {
  const anchor = { cursor: ui.cursor, cursorRow: ui.cursorRow };
  const prompt: Prompt = { ...emptyPrompt(kind), text, cursor: [...text].length };
  return { ...ui, mode: 'prompt', job: undefined, prompt, find: { ...ui.find, anchor, completion: undefined, snap: 0 } };
}

export function closePrompt(ui: Ui): Ui {
  return { ...ui, mode: 'main', job: undefined, prompt: undefined, find: { ...ui.find, anchor: undefined, completion: undefined } };
}

/** Back to where the cursor was when the prompt was opened. */
export function toAnchor(ui: Ui, facts: Facts): Ui {
  const { anchor } = ui.find;
  return anchor === undefined ? ui : settle({ ...moveTo(ui, anchor.cursor, facts), cursorRow: anchor.cursorRow }, facts);
}

/** A jump to an event: the place before it can be come back to. */
export function jump(ui: Ui, seq: number, facts: Facts): Ui {
  const moved = moveTo(ui, seq, facts);
  return moved.cursor === ui.cursor ? moved : { ...moved, travel: left(moved.travel, ui.cursor) };
}
