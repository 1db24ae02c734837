/** What the screen is about, as one value, and what changes it: cursor, focus, scroll positions, prompt, keys half typed. */

import { type EventList, wholeList } from './find/list.ts';
import { type FindFacts, type Finding, NO_FINDING } from './find/ui-find.ts';
import { type KeyState, NO_KEYS, type Place } from './keymap.ts';
import { ALWAYS, boxOf, innerHeight, type Layout, type LowerPane, layout, type PaneId } from './layout.ts';
import type { Prompt } from './prompt.ts';
import { type Extent, type Scroll, TOP } from './scroll.ts';
import type { Key } from './term/input.ts';
import { NO_TRAVEL, type Travel, type TravelFacts } from './travel.ts';
import type { Arrival, Trip } from './trips.ts';
import type { Point } from './ui-mouse.ts';
import { INITIAL_VIEW, type ViewOptions } from './view-options.ts';

export type ScrollPane = LowerPane | 'help';

/** A search through the log that the program runs beside the keys. The same `id` with another `times` goes on. */
export interface Job {
  readonly id: number;
  readonly kind: 'change' | 'error' | 'search';
  readonly direction: 1 | -1;
  readonly times: number;
  /** the search begins beside this event */
  readonly from: number;
  /** kind search: what to find */
  readonly text: string;
}

export interface Ui {
  readonly columns: number;
  readonly rows: number;
  /** seq of the event under the cursor; 0 where the log is empty */
  readonly cursor: number;
  /** the row of the list that the cursor stands on */
  readonly cursorRow: number;
  readonly focus: PaneId;
  /** panes that were looked at, the last one first: of those that share a box, it is on top */
  readonly recent: readonly PaneId[];
  /** those that there are; they become more, not fewer */
  readonly panes: readonly PaneId[];
  readonly zoom: boolean;
  readonly hex: boolean;
  /** what the columns of the list are, and whose `why` was asked for */
  readonly view: ViewOptions;
  readonly scroll: Readonly<Record<ScrollPane, Scroll>>;
  readonly mode: 'main' | 'help' | 'prompt';
  readonly prompt: Prompt | undefined;
  readonly keys: KeyState;
  /** set while a lone first digit has moved the focus and may still become a count */
  readonly focusBefore: PaneId | undefined;
  readonly find: Finding;
  readonly job: Job | Trip | undefined;
  /** id of the last job */
  readonly jobs: number;
  readonly travel: Travel;
  /** what the help shows: the keys, or bookmarks, notes and watches */
  readonly page: 'keys' | 'places';
  readonly message: { readonly text: string; readonly error: boolean } | undefined;
  readonly quit: boolean;
  /** the terminal tells of the mouse */
  readonly mouse: boolean;
  /** where the mouse was when its key came */
  readonly pointer: Point | undefined;
  /** the log is looked at again and again for what a recording has added */
  readonly following: boolean;
  /** counts requests: a number that has grown asks the program to redraw, to suspend */
  readonly redraws: number;
  readonly suspends: number;
}

/** What the reducer must know of the world: the log's ends and how large the texts of the scrolling panes are. */
export interface Facts {
  /** lowest and highest seq; both 0 where the log is empty */
  readonly first: number;
  readonly last: number;
  extent(pane: ScrollPane): Extent;
  /** the list and what is looked for; without it the list is the whole log */
  readonly find?: FindFacts;
  readonly travel?: TravelFacts;
}

export const listOf = (facts: Facts): EventList => facts.find?.list ?? wholeList(facts.first, facts.last);

export type UiEvent =
  | { readonly type: 'key'; readonly key: Key }
  | { readonly type: 'resize'; readonly columns: number; readonly rows: number }
  /** the time in which a digit may become a count is over */
  | { readonly type: 'expire' }
  | { readonly type: 'found'; readonly id: number; readonly seq: number | undefined }
  | { readonly type: 'arrived'; readonly id: number; readonly arrival: Arrival }
  /** play has come to an event; `say` what there is to say of it, `ends` it stops there */
  | { readonly type: 'played'; readonly seq: number; readonly say: string | undefined; readonly ends: boolean }
  | { readonly type: 'say'; readonly text: string; readonly error: boolean }
  | { readonly type: 'goto'; readonly seq: number }
  /** the event of the list nearest to where the cursor was put; undefined: the list is empty */
  | { readonly type: 'snapped'; readonly seq: number | undefined }
  /** panes that there are beside those that every trace has */
  | { readonly type: 'panes'; readonly panes: readonly PaneId[] }
  /** the log has grown; `end`: the cursor was at the end of the list */
  | { readonly type: 'grew'; readonly end: boolean }
  /** the recording has come to its end, or cannot be followed: why */
  | { readonly type: 'ended'; readonly text: string; readonly error: boolean }
  /** options of the command line */
  | { readonly type: 'options'; readonly mouse: boolean; readonly following: boolean }
  /** a line of a pane that should be seen */
  | { readonly type: 'reveal'; readonly pane: LowerPane; readonly line: number };

export function initialUi(columns: number, rows: number, cursor: number): Ui {
  return {
    columns,
    rows,
    cursor,
    cursorRow: 0,
    focus: 'events',
    recent: [],
    panes: ALWAYS,
    zoom: false,
    hex: false,
    scroll: { detail: TOP, objects: TOP, changed: TOP, devices: TOP, cmdqv: TOP, help: TOP },
    view: INITIAL_VIEW,
    mode: 'main',
    prompt: undefined,
    keys: NO_KEYS,
    focusBefore: undefined,
    find: NO_FINDING,
    job: undefined,
    jobs: 0,
    travel: NO_TRAVEL,
    page: 'keys',
    message: undefined,
    quit: false,
    mouse: true,
    pointer: undefined,
    following: false,
    redraws: 0,
    suspends: 0,
  };
}

export function layoutOf(ui: Ui): Layout {
  return layout({ columns: ui.columns, rows: ui.rows, focus: ui.focus, recent: ui.recent, zoom: ui.zoom, panes: ui.panes });
}

export function placeOf(ui: Ui): Place {
  if (ui.mode !== 'main') return ui.mode;
  return ui.focus === 'events' ? 'events' : 'text';
}

/** Rows and columns that a pane shows now; for a pane that is not on the screen, what the body has. */
export function pageOf(ui: Ui, pane: PaneId | 'help'): Extent {
  const l = layoutOf(ui);
  const box = pane === 'help' ? undefined : (boxOf(l, pane) ?? l.boxes[0]);
  return { lines: Math.max(1, box === undefined ? ui.rows - 5 : innerHeight(box)), cells: Math.max(1, (box?.width ?? ui.columns) - 2) };
}
