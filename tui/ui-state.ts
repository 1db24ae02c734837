/**
 * How the state of the screen changes: `reduce` is the only way, and pure; what needs the log (the next error, a search) is
 * written down as a job, and its result comes back as an event.
 */

import { type DiffAction, isDiffAction } from './diff/keys.ts';
import { type ActionName, actionByName, NO_KEYS, press } from './keymap.ts';
import { PANES, type PaneId } from './layout.ts';
import { overlong, typeInto } from './prompt.ts';
import { type ScrollAction, scrolled, TOP } from './scroll.ts';
import { type Key, keyNamed } from './term/input.ts';
import { clean } from './term/text.ts';
import { isStep, left } from './travel.ts';
import { follow, isTravel, moveChoice, onArrived, type TravelAction, travelAct } from './travel-state.ts';
import { type Facts, listOf, pageOf, placeOf, type ScrollPane, type Ui, type UiEvent } from './ui.ts';
import { alongStrip, click, mouseText, wheel } from './ui-mouse.ts';
import {
  complain,
  detailShown,
  focusOn,
  jump,
  MARGIN,
  moveTo,
  openPrompt,
  reveal,
  settle,
  snapTo,
  startJob,
  toAnchor,
} from './ui-moves.ts';
import { onPrompt, prompted } from './ui-prompt.ts';
import { LANE_WORDS, look, TIME_WORDS, type ViewOptions } from './view-options.ts';

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
      return ui.job?.id === event.id ? onArrived(ui, event.arrival, facts) : ui;
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
  if (place === 'prompt' && key.text !== undefined) {
    const { prompt } = ui;
    return prompted({ ...ui, message: overlong(prompt!, key.text) }, typeInto(prompt!, key.text), facts);
  }
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
      return onKey(onKey(cleared, { name: 'esc' }, facts), keyNamed(key.name.slice(4)), facts);
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

/** Does an action, as if its key had been pressed. `letter`: the key behind `m` and its like. */
export function act(ui: Ui, action: ActionName, count: number | undefined, facts: Facts, letter?: string): Ui {
  // `:` takes an action by name: those of the diff view mean nothing here
  if (isDiffAction(action)) return complain(ui, `${action} works where two traces are compared`);
  if (isTravel(action)) return travelAct(ui, action, { count, letter }, facts);
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
      return follow(ui, facts) ?? focusOn(ui, ui.focus === 'events' ? 'detail' : 'events');
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
      return { ...ui, mouse: !ui.mouse, message: { text: mouseText(!ui.mouse), error: false } };
    case 'live.follow':
      return { ...snapTo(ui, facts.last, -1, facts), following: true };
    case 'app.redraw':
      return { ...ui, redraws: ui.redraws + 1 };
    case 'app.suspend':
      return { ...ui, suspends: ui.suspends + 1 };
    default:
      return onPrompt(ui, action, facts, act);
  }
}

/** What the columns of the list are, or whose `why` is asked for. */
function looked(ui: Ui, action: Parameters<typeof look>[1]): Ui {
  const view = look(ui.view, action, ui.cursor);
  const said: Ui = { ...ui, view, message: messageOf(action, view) };
  return action === 'detail.why' ? detailShown({ ...said, hex: false }) : said;
}

function messageOf(action: Parameters<typeof look>[1], view: ViewOptions): Ui['message'] {
  if (action === 'detail.why') return undefined;
  return { text: action === 'column.time' ? TIME_WORDS[view.time] : LANE_WORDS[view.lanes], error: false };
}

function withPanes(ui: Ui, panes: readonly PaneId[], facts: Facts): Ui {
  const all = PANES.filter((p) => ui.panes.includes(p) || panes.includes(p));
  return all.length === ui.panes.length ? ui : settle({ ...ui, panes: all }, facts);
}

function onSnapped(ui: Ui, seq: number | undefined, facts: Facts): Ui {
  if (ui.find.snap === 0) return ui;
  if (seq !== undefined) return moveTo(ui, seq, facts);
  const still = { ...ui, find: { ...ui.find, snap: 0 as const } };
  return ui.prompt === undefined ? complain(still, 'no event matches the filter') : still;
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

const NOT_FOUND = { change: 'event that changed the state', error: 'event that failed', search: 'event that matches' } as const;

function onFound(ui: Ui, id: number, seq: number | undefined, facts: Facts): Ui {
  const { job } = ui;
  if (job?.id !== id || job.kind === 'travel') return ui;
  // while it is typed the cursor only looks ahead
  if (seq !== undefined) return (ui.prompt === undefined ? jump : moveTo)({ ...ui, job: undefined }, seq, facts);
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
    const chosen = moveChoice(ui, lines * Math.max(1, count ?? 1), facts);
    if (chosen !== undefined) return chosen;
  }
  const pane: ScrollPane = ui.mode === 'help' ? 'help' : ui.focus === 'events' ? 'detail' : ui.focus;
  const to = scrolled(ui.scroll[pane], action, Math.max(1, count ?? 1), facts.extent(pane), pageOf(ui, pane));
  return { ...ui, scroll: { ...ui.scroll, [pane]: to } };
}
