/**
 * What the screen is about, as one value: cursor, focus, scroll positions, prompt, keys half typed. `reduce` is the only way it
 * changes and is pure; what needs the log (the next error, a search) is written down as a job, and its result comes back as
 * an event.
 */

import { type DiffAction, isDiffAction } from './diff/keys.ts';
import { distance, type EventList, pageOfList, wholeList } from './find/list.ts';
import { complete, type FindFacts, type Finding, filterOf, NO_FINDING } from './find/ui-find.ts';
import { type ActionName, actionByName, type KeyState, NO_KEYS, type Place, press } from './keymap.ts';
import { ALWAYS, boxOf, innerHeight, type Layout, type LowerPane, layout, PANE_TITLES, PANES, type PaneId } from './layout.ts';
import { editPrompt, emptyPrompt, type Prompt, parseCommand, typeInto } from './prompt.ts';
import { type Extent, revealed, type Scroll, type ScrollAction, scrolled, TOP } from './scroll.ts';
import type { Key } from './term/input.ts';
import { clean } from './term/text.ts';
import { isStep, left, NO_TRAVEL, type Travel, type TravelFacts } from './travel.ts';
import {
  acceptTravel,
  follow,
  isTravel,
  jump,
  moveChoice,
  onArrived,
  type Tools,
  type TravelAction,
  travelAct,
  travelCommand,
} from './travel-state.ts';
import type { Arrival, Trip } from './trips.ts';
import { type Point, targetAt } from './ui-mouse.ts';
import { INITIAL_VIEW, LANE_WORDS, look, TIME_WORDS, type ViewOptions } from './view-options.ts';

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

const listOf = (facts: Facts): EventList => facts.find?.list ?? wholeList(facts.first, facts.last);

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

/** Events above and below the cursor that stay in view. */
const MARGIN = 2;

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

export function reduce(ui: Ui, event: UiEvent, facts: Facts): Ui {
  switch (event.type) {
    case 'key':
      return onKey({ ...ui, message: undefined, pointer: event.key.at }, event.key, facts);
    case 'resize':
      return settle({ ...ui, columns: event.columns, rows: event.rows }, facts);
    case 'expire':
      return expired(ui);
    case 'found':
      return onFound(ui, event.id, event.seq, facts);
    case 'arrived':
      return ui.job?.id === event.id ? onArrived(ui, event.arrival, facts, TOOLS) : ui;
    case 'played':
      return onPlayed(ui, event.seq, event.say, event.ends, facts);
    case 'say':
      return { ...ui, message: { text: event.text, error: event.error } };
    case 'goto':
      return moveTo(ui, event.seq, facts);
    case 'grew':
      return event.end && ui.prompt === undefined ? snapTo(ui, facts.last, -1, facts) : settle(ui, facts);
    case 'ended':
      return { ...ui, following: false, message: { text: event.text, error: event.error } };
    case 'options':
      return { ...ui, mouse: event.mouse, following: event.following };
    case 'snapped':
      return onSnapped(ui, event.seq, facts);
    case 'panes':
      return withPanes(ui, event.panes, facts);
    case 'reveal':
      return reveal(ui, event.pane, event.line, facts);
    default:
      return event satisfies never;
  }
}

const TOOLS: Tools = {
  moveTo: (ui, seq, facts) => moveTo(ui, seq, facts),
  reveal: (ui, pane, line, facts) => reveal(ui, pane, line, facts),
  toDetail: (ui) => focusOn(ui, 'detail'),
  openPrompt: (ui, kind, text) => ({ ...openPrompt(ui, kind), prompt: { kind, text, cursor: [...text].length } }),
};

function onPlayed(ui: Ui, seq: number, say: string | undefined, ends: boolean, facts: Facts): Ui {
  if (!ui.travel.playing) return ui;
  const moved = moveTo(ui, seq, facts);
  const message = say === undefined ? moved.message : { text: say, error: false };
  return { ...moved, message, travel: { ...moved.travel, playing: !ends } };
}

function onKey(ui: Ui, key: Key, facts: Facts): Ui {
  if (ui.travel.playing && key.name !== '<' && key.name !== '>') {
    const message = { text: `stopped at ${ui.cursor}`, error: false };
    return { ...ui, message, keys: NO_KEYS, travel: { ...ui.travel, playing: false } };
  }
  const place = placeOf(ui);
  if (place === 'prompt' && key.text !== undefined) return prompted(ui, typeInto(ui.prompt!, key.text), facts);
  const p = press(ui.keys, key.name, place);
  if (p.kind === 'pending') {
    // a second digit: it is a count after all, so the focus goes back to where it was
    const back = ui.focusBefore !== undefined && p.keys.count !== ui.keys.count ? focusOn(ui, ui.focusBefore) : ui;
    return { ...back, keys: p.keys, focusBefore: back === ui ? ui.focusBefore : undefined };
  }
  if (p.kind === 'none') {
    const cleared: Ui = { ...ui, keys: NO_KEYS, focusBefore: undefined };
    // Esc and a key, pressed in haste, arrive as one
    if (key.name.startsWith('alt-')) {
      return onKey(onKey(cleared, { name: 'esc' }, facts), keyOf(key.name.slice(4)), facts);
    }
    return cleared;
  }
  const row = actionByName(p.action);
  if (row?.count === undefined) {
    const digit = /^[1-9]$/.test(key.name) && ui.keys.count === '';
    const cleared: Ui = { ...ui, keys: NO_KEYS, focusBefore: undefined };
    // a pane that is not there is not complained about before it is sure that the digit is no count
    const done = digit && absent(ui, key.name) !== undefined ? cleared : act(cleared, p.action, undefined, facts, p.letter);
    return digit ? { ...done, keys: { prefix: '', count: key.name }, focusBefore: ui.focus } : done;
  }
  const focused = ui.focusBefore !== undefined && p.count !== undefined ? focusOn(ui, ui.focusBefore) : ui;
  // with the focus back where it was, the same key may be another action: look it up there
  const again = focused === ui ? p : press(ui.keys, key.name, placeOf(focused));
  const settled: Ui = { ...focused, keys: NO_KEYS, focusBefore: undefined };
  return again.kind === 'action' ? act(settled, again.action, again.count, facts, again.letter) : settled;
}

/** The pane that a digit means, where the trace has nothing for it. */
function absent(ui: Ui, digit: string): PaneId | undefined {
  const pane = PANES[Number(digit) - 1];
  return pane === undefined || ui.panes.includes(pane) ? undefined : pane;
}

/** A digit was no count after all. */
function expired(ui: Ui): Ui {
  if (ui.focusBefore === undefined) return ui;
  const settled: Ui = { ...ui, focusBefore: undefined, keys: NO_KEYS };
  const pane = absent(ui, ui.keys.count);
  return pane === undefined ? settled : focusOn(settled, pane);
}

const keyOf = (name: string): Key => (name.length === 1 ? { name, text: name } : name === 'space' ? { name, text: ' ' } : { name });

/** Does an action, as if its key had been pressed. `letter`: the key behind `m` and its like. */
export function act(ui: Ui, action: ActionName, count: number | undefined, facts: Facts, letter?: string): Ui {
  // `:` takes an action by name: those of the diff view mean nothing here
  if (isDiffAction(action)) return complain(ui, `${action} works where two traces are compared`);
  if (isTravel(action)) return travelAct(ui, action, { count, letter }, facts, TOOLS);
  const done = actInTime(ui, action, count, facts);
  // where a jump began one can come back to
  const jumped = done.cursor !== ui.cursor && !isStep(action) && done.travel.past === ui.travel.past;
  return jumped ? { ...done, travel: left(done.travel, ui.cursor) } : done;
}

function actInTime(ui: Ui, action: Exclude<ActionName, TravelAction | DiffAction>, count: number | undefined, facts: Facts): Ui {
  const times = Math.max(1, count ?? 1);
  const page = pageOf(ui, 'events').lines;
  const move = (by: number): Ui => moveTo(ui, listOf(facts).move(ui.cursor, by), facts);
  switch (action) {
    case 'time.step':
      return move(times);
    case 'time.reverseStep':
      return move(-times);
    case 'time.halfPageDown':
      return move(times * Math.max(1, page >> 1));
    case 'time.halfPageUp':
      return move(-times * Math.max(1, page >> 1));
    case 'time.pageDown':
      return move(times * Math.max(1, page - MARGIN));
    case 'time.pageUp':
      return move(-times * Math.max(1, page - MARGIN));
    case 'time.first':
      return count === undefined ? snapTo(ui, facts.first, 1, facts) : moveTo(ui, count, facts);
    case 'time.last':
      return count === undefined ? snapTo(ui, facts.last, -1, facts) : moveTo(ui, count, facts);
    case 'time.percent':
      return snapTo(ui, facts.first + Math.round(((facts.last - facts.first) * Math.min(100, count ?? 0)) / 100), 1, facts);
    case 'change.next':
    case 'change.previous':
    case 'error.next':
    case 'error.previous':
    case 'search.next':
    case 'search.previous':
      return find(ui, action, times);
    case 'search.open':
      return openPrompt(ui, 'search');
    case 'filter.open':
      return openPrompt(ui, 'filter');
    case 'command.open':
      return openPrompt(ui, 'command');
    default:
      return actOnScreen(ui, action, count, facts);
  }
}

function actOnScreen(
  ui: Ui,
  action: Exclude<
    ActionName,
    | TravelAction
    | `time.${string}`
    | `change.${string}`
    | `error.${string}`
    | `search.${string}`
    | `filter.${string}`
    | 'command.open'
    | DiffAction
  >,
  count: number | undefined,
  facts: Facts,
): Ui {
  switch (action) {
    case 'pane.next':
      return focusOn(ui, ui.panes[(ui.panes.indexOf(ui.focus) + 1) % ui.panes.length]!);
    case 'pane.previous':
      return focusOn(ui, ui.panes[(ui.panes.indexOf(ui.focus) + ui.panes.length - 1) % ui.panes.length]!);
    case 'pane.events':
    case 'pane.detail':
    case 'pane.objects':
    case 'pane.changed':
    case 'pane.devices':
    case 'pane.cmdqv':
      return focusOn(ui, action.slice('pane.'.length) as PaneId);
    case 'column.time':
    case 'column.lanes':
    case 'detail.why':
      return looked(ui, action);
    case 'pane.open':
      return follow(ui, facts, TOOLS) ?? focusOn(ui, ui.focus === 'events' ? 'detail' : 'events');
    case 'pane.zoom':
      return settle({ ...ui, zoom: !ui.zoom }, facts);
    case 'detail.hex':
      return detailShown({ ...ui, hex: !ui.hex, scroll: { ...ui.scroll, detail: TOP } });
    case 'scroll.down':
    case 'scroll.up':
    case 'scroll.pageDown':
    case 'scroll.pageUp':
    case 'scroll.top':
    case 'scroll.bottom':
    case 'scroll.left':
    case 'scroll.right':
      return scroll(ui, action, count, facts);
    case 'help.open':
      return { ...ui, mode: 'help', page: 'keys', scroll: { ...ui.scroll, help: TOP } };
    case 'help.close':
      return { ...ui, mode: 'main' };
    case 'app.back':
      return back(ui, facts);
    case 'app.quit':
      return ui.job !== undefined ? stop(ui) : { ...ui, quit: true };
    case 'strip.next':
    case 'strip.previous':
      return alongStrip(ui, (action === 'strip.next' ? 1 : -1) * Math.max(1, count ?? 1), facts);
    case 'mouse.click':
      return click(ui, facts);
    case 'mouse.wheelDown':
    case 'mouse.wheelUp':
      return wheel(ui, action === 'mouse.wheelDown' ? 1 : -1, facts);
    case 'mouse.toggle':
      return { ...ui, mouse: !ui.mouse, message: { text: `the mouse is ${ui.mouse ? 'off: F2 turns it on again' : 'on'}`, error: false } };
    case 'live.follow':
      return { ...snapTo(ui, facts.last, -1, facts), following: true };
    case 'app.redraw':
      return { ...ui, redraws: ui.redraws + 1 };
    case 'app.suspend':
      return { ...ui, suspends: ui.suspends + 1 };
    default:
      return onPrompt(ui, action, facts);
  }
}

/** What the columns of the list are, or whose `why` is asked for. */
function looked(ui: Ui, action: Parameters<typeof look>[1]): Ui {
  const view = look(ui.view, action, ui.cursor);
  const said: Ui = { ...ui, view, message: messageOf(action, view) };
  return action === 'detail.why' ? detailShown({ ...said, hex: false }) : said;
}

/** Detail on the screen, in its place or instead of the focused pane. */
function detailShown(ui: Ui): Ui {
  const recent: Ui = { ...ui, recent: ['detail', ...ui.recent.filter((p) => p !== 'detail')] };
  return boxOf(layoutOf(recent), 'detail') === undefined ? focusOn(recent, 'detail') : recent;
}

function messageOf(action: Parameters<typeof look>[1], view: ViewOptions): Ui['message'] {
  if (action === 'detail.why') return undefined;
  return { text: action === 'column.time' ? TIME_WORDS[view.time] : LANE_WORDS[view.lanes], error: false };
}

const clamp = (n: number, low: number, high: number): number => Math.max(low, Math.min(high, n));

function focusOn(ui: Ui, pane: PaneId): Ui {
  if (!ui.panes.includes(pane)) return complain(ui, `this trace has nothing for ${PANE_TITLES[pane]}`);
  if (pane === ui.focus) return ui;
  // a pane that is left shows the beginning of its lines again
  const scroll = ui.focus === 'events' ? ui.scroll : { ...ui.scroll, [ui.focus]: { ...ui.scroll[ui.focus], left: 0 } };
  return { ...ui, focus: pane, recent: [pane, ...ui.recent.filter((p) => p !== pane)], scroll };
}

function withPanes(ui: Ui, panes: readonly PaneId[], facts: Facts): Ui {
  const all = PANES.filter((p) => ui.panes.includes(p) || panes.includes(p));
  return all.length === ui.panes.length ? ui : settle({ ...ui, panes: all }, facts);
}

/** Puts the cursor on an event. A near one moves it on the screen, a far one brings a new page with the event in its middle. */
function moveTo(ui: Ui, seq: number, facts: Facts): Ui {
  const cursor = clamp(seq, facts.first, facts.last);
  const page = pageOf(ui, 'events').lines;
  const by = distance(listOf(facts), ui.cursor, cursor, page);
  const cursorRow = Math.abs(by) < page ? ui.cursorRow + by : page >> 1;
  const moved =
    cursor === ui.cursor ? ui : { ...ui, scroll: { ...ui.scroll, detail: TOP, changed: TOP }, travel: { ...ui.travel, link: -1 } };
  return settle({ ...moved, cursor, cursorRow, job: undefined, find: { ...ui.find, snap: 0 } }, facts);
}

/** Puts the cursor on the event of the list that is nearest to a place, as soon as that is known. */
function snapTo(ui: Ui, seq: number, snap: 1 | -1, facts: Facts): Ui {
  const moved = moveTo(ui, seq, facts);
  return filterOf(ui) === '' ? moved : { ...moved, find: { ...moved.find, snap } };
}

function onSnapped(ui: Ui, seq: number | undefined, facts: Facts): Ui {
  if (ui.find.snap === 0) return ui;
  if (seq !== undefined) return moveTo(ui, seq, facts);
  const still = { ...ui, find: { ...ui.find, snap: 0 as const } };
  return ui.prompt === undefined ? complain(still, 'no event matches the filter') : still;
}

/** Keeps the cursor's row inside the list, a margin from its edges, and the list free of blank rows while it has events to show. */
function settle(ui: Ui, facts: Facts): Ui {
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

const FINDS = {
  'change.next': ['change', 1],
  'change.previous': ['change', -1],
  'error.next': ['error', 1],
  'error.previous': ['error', -1],
  'search.next': ['search', 1],
  'search.previous': ['search', -1],
} as const;

function find(ui: Ui, action: keyof typeof FINDS, times: number): Ui {
  const [kind, direction] = FINDS[action];
  if (kind === 'search' && ui.find.search === '') return complain(ui, 'nothing to search for yet: / asks for a text');
  const { job } = ui;
  const same = job !== undefined && job.kind === kind && job.direction === direction;
  if (same) return { ...ui, job: { ...job, times: job.times + times } };
  const marked = kind === 'search' ? { ...ui, find: { ...ui.find, marked: true } } : ui;
  return startJob(marked, kind, direction, times);
}

function startJob(ui: Ui, kind: Job['kind'], direction: 1 | -1, times: number): Ui {
  const id = ui.jobs + 1;
  return { ...ui, jobs: id, job: { id, kind, direction, times, from: ui.cursor, text: kind === 'search' ? ui.find.search : '' } };
}

function complain(ui: Ui, text: string): Ui {
  return { ...ui, message: { text, error: true } };
}

const NOT_FOUND = { change: 'event that changed the state', error: 'event that failed', search: 'event that matches' } as const;

function onFound(ui: Ui, id: number, seq: number | undefined, facts: Facts): Ui {
  const { job } = ui;
  if (job?.id !== id || job.kind === 'travel') return ui;
  // while it is typed the cursor only looks ahead
  if (seq !== undefined) return (ui.prompt === undefined ? jump : moveTo)({ ...ui, job: undefined }, seq, facts, TOOLS);
  // while it is typed, what is not there is said by the count of hits
  if (ui.prompt !== undefined) return toAnchor({ ...ui, job: undefined }, facts);
  const side = job.direction === 1 ? 'later' : 'earlier';
  const what = job.kind === 'search' ? ` "${clean(job.text)}"` : '';
  return complain({ ...ui, job: undefined }, `no ${side} ${NOT_FOUND[job.kind]}${what}`);
}

function stop(ui: Ui): Ui {
  return { ...ui, job: undefined, message: { text: 'stopped', error: false } };
}

function back(ui: Ui, facts: Facts): Ui {
  if (ui.job !== undefined) return stop(ui);
  if (ui.zoom) return settle({ ...ui, zoom: false }, facts);
  if (ui.focus !== 'events') return focusOn(ui, 'events');
  if (ui.find.marked) return { ...ui, find: { ...ui.find, marked: false } };
  return { ...ui, find: { ...ui.find, filter: '', snap: 0 } };
}

function scroll(ui: Ui, action: ScrollAction, count: number | undefined, facts: Facts): Ui {
  // a count in front of G names an event, with whatever pane
  if (ui.mode === 'main' && count !== undefined && (action === 'scroll.top' || action === 'scroll.bottom')) return moveTo(ui, count, facts);
  const lines = action === 'scroll.down' ? 1 : action === 'scroll.up' ? -1 : 0;
  if (ui.mode === 'main' && ui.focus === 'objects' && lines !== 0) {
    const chosen = moveChoice(ui, lines * Math.max(1, count ?? 1), facts, TOOLS);
    if (chosen !== undefined) return chosen;
  }
  const pane: ScrollPane = ui.mode === 'help' ? 'help' : ui.focus === 'events' ? 'detail' : ui.focus;
  const to = scrolled(ui.scroll[pane], action, Math.max(1, count ?? 1), facts.extent(pane), pageOf(ui, pane));
  return { ...ui, scroll: { ...ui.scroll, [pane]: to } };
}

function reveal(ui: Ui, pane: LowerPane, at: number, facts: Facts): Ui {
  const now = ui.scroll[pane];
  const to = revealed(now, at, facts.extent(pane), pageOf(ui, pane));
  return to === now ? ui : { ...ui, scroll: { ...ui.scroll, [pane]: to } };
}

// the mouse, and the overview

/** Rows that one turn of the wheel moves. */
const TURN = 3;

function click(ui: Ui, facts: Facts): Ui {
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

function wheel(ui: Ui, direction: 1 | -1, facts: Facts): Ui {
  const target = ui.mode === 'help' || ui.pointer === undefined ? undefined : targetAt(layoutOf(ui), ui.pointer);
  const pane = target?.kind === 'row' || target?.kind === 'pane' ? target.pane : undefined;
  if (pane === 'events') return moveTo(ui, listOf(facts).move(ui.cursor, TURN * direction), facts);
  if (pane === undefined && ui.mode !== 'help') return ui;
  const scrolling: ScrollPane = pane ?? 'help';
  const action: ScrollAction = direction === 1 ? 'scroll.down' : 'scroll.up';
  const to = scrolled(ui.scroll[scrolling], action, TURN, facts.extent(scrolling), pageOf(ui, scrolling));
  return { ...ui, scroll: { ...ui.scroll, [scrolling]: to } };
}

function alongStrip(ui: Ui, by: number, facts: Facts): Ui {
  const seq = facts.find?.stripStep(ui.cursor, by);
  return seq === undefined ? ui : snapTo(ui, seq, 1, facts);
}

// the prompt

function openPrompt(ui: Ui, kind: Prompt['kind']): Ui {
  const anchor = { cursor: ui.cursor, cursorRow: ui.cursorRow };
  const prompt = emptyPrompt(kind);
  const { filter } = ui.find;
  // the filter that is there is changed, not begun anew
  const filled = kind === 'filter' ? { ...prompt, text: filter, cursor: [...filter].length } : prompt;
  return { ...ui, mode: 'prompt', job: undefined, prompt: filled, find: { ...ui.find, anchor, completion: undefined, snap: 0 } };
}

function closePrompt(ui: Ui): Ui {
  return { ...ui, mode: 'main', job: undefined, prompt: undefined, find: { ...ui.find, anchor: undefined, completion: undefined } };
}

/** Back to where the cursor was when the prompt was opened. */
function toAnchor(ui: Ui, facts: Facts): Ui {
  const { anchor } = ui.find;
  return anchor === undefined ? ui : settle({ ...moveTo(ui, anchor.cursor, facts), cursorRow: anchor.cursorRow }, facts);
}

/** The text of the prompt has changed: what is typed is looked for at once. */
function prompted(ui: Ui, prompt: Prompt, facts: Facts): Ui {
  const typed: Ui = { ...ui, prompt, job: undefined, find: { ...ui.find, completion: undefined } };
  return prompt.text === ui.prompt?.text ? typed : sought(typed, facts);
}

function sought(ui: Ui, facts: Facts): Ui {
  const { prompt, find: finding } = ui;
  if (prompt?.kind === 'filter') return { ...ui, find: { ...finding, snap: 1 } };
  if (prompt?.kind !== 'search') return ui;
  const back = toAnchor(ui, facts);
  const text = prompt.text.trim();
  if (text === '') return back;
  const id = ui.jobs + 1;
  return { ...back, jobs: id, job: { id, kind: 'search', direction: 1, times: 1, from: back.cursor, text } };
}

function onPrompt(ui: Ui, action: Extract<ActionName, `prompt.${string}`>, facts: Facts): Ui {
  const { prompt } = ui;
  if (prompt === undefined) return closePrompt(ui);
  if (action === 'prompt.cancel') return closePrompt(toAnchor(ui, facts));
  if (action === 'prompt.accept') return accept(ui, prompt, facts);
  if (action === 'prompt.complete') {
    const done = complete(prompt, ui.find, facts.find?.words ?? []);
    return sought({ ...ui, prompt: done.prompt, find: done.find }, facts);
  }
  const edited = editPrompt(prompt, action, ui.find.search);
  return edited === undefined ? closePrompt(toAnchor(ui, facts)) : prompted(ui, edited, facts);
}

function accept(ui: Ui, prompt: Prompt, facts: Facts): Ui {
  if (prompt.kind === 'search') return acceptSearch(closePrompt(toAnchor(ui, facts)), prompt);
  if (prompt.kind === 'filter') return acceptFilter(ui, prompt, facts);
  if (prompt.kind !== 'command') return acceptTravel(closePrompt(ui), prompt.kind, prompt.text, facts, TOOLS);
  return acceptCommand(closePrompt(ui), prompt, facts);
}

function acceptSearch(ui: Ui, prompt: Prompt): Ui {
  const search = prompt.text.trim() === '' ? ui.find.search : prompt.text.trim();
  return search === '' ? ui : startJob({ ...ui, find: { ...ui.find, search, marked: true } }, 'search', 1, 1);
}

function acceptFilter(ui: Ui, prompt: Prompt, facts: Facts): Ui {
  const filter = prompt.text.trim();
  const wrong = filter === '' ? undefined : facts.find?.wrong(filter);
  if (wrong !== undefined) return complain(ui, wrong);
  return closePrompt({ ...ui, find: { ...ui.find, filter, snap: filter === '' ? 0 : 1 } });
}

function acceptCommand(ui: Ui, prompt: Prompt, facts: Facts): Ui {
  const command = parseCommand(prompt.text);
  switch (command.kind) {
    case 'none':
      return ui;
    case 'goto':
      return gotoSeq(ui, command.seq, facts);
    case 'travel':
      return travelCommand(ui, command.command, facts, TOOLS);
    case 'action':
      // prompt.* and help.close make no sense here and do no harm
      return act(ui, command.action, command.count, facts);
    case 'unknown':
      return complain(ui, `"${clean(command.text)}" is no event's number, percentage (50%), time (@12.5) or action (time.step)`);
    default:
      return command satisfies never;
  }
}

function gotoSeq(ui: Ui, seq: number, facts: Facts): Ui {
  const moved = jump(ui, seq, facts, TOOLS);
  return moved.cursor === seq ? moved : complain(moved, `there is no event ${seq}: the log has ${facts.first} to ${facts.last}`);
}
