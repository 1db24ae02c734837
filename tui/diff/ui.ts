/** What the diff view is about, as one value, and the only way it changes: pure, as ui-state.ts is for one trace. */
import { type ActionName, actionByName, type KeyState, NO_KEYS, type Place, press } from '../keymap.ts';
import { SMALLEST } from '../layout.ts';
import { editPrompt, emptyPrompt, overlong, type Prompt, typeInto } from '../prompt.ts';
import { type Extent, type Scroll, scrolled, TOP } from '../scroll.ts';
import { type Key, keyNamed } from '../term/input.ts';
import { clean } from '../term/text.ts';
import { mouseText, type Point, TURN } from '../ui-mouse.ts';
import { type DiffAction, isDiffAction } from './keys.ts';
import { diffTargetAt } from './mouse.ts';

export type LowerPane = 'detail' | 'state';
/** in the order of their names */
export const LOWER_PANES: readonly LowerPane[] = ['detail', 'state'];

export interface DiffUi {
  readonly columns: number;
  readonly rows: number;
  /** the row under the cursor, from 0 */
  readonly cursor: number;
  /** the line of the list that it stands on */
  readonly cursorRow: number;
  readonly lower: LowerPane;
  /** both: rows above, the lower pane below */
  readonly zoom: 'both' | 'rows' | 'lower';
  readonly scroll: Readonly<Record<LowerPane | 'help', Scroll>>;
  readonly mode: 'main' | 'help' | 'prompt';
  readonly prompt: Prompt | undefined;
  readonly keys: KeyState;
  readonly message: { readonly text: string; readonly error: boolean } | undefined;
  readonly quit: boolean;
  readonly redraws: number;
  readonly suspends: number;
  /** the terminal tells of the mouse */
  readonly mouse: boolean;
  /** where the mouse was when its key came */
  readonly pointer: Point | undefined;
  /** the event of the left trace to begin at; undefined: the first difference */
  readonly start: number | undefined;
}

/** What the reducer must know of the comparison; all of it is empty until that is done. */
export interface DiffFacts {
  /** number of rows */
  readonly rows: number;
  nextRun(row: number, direction: 1 | -1): number;
  rowOf(side: 'a' | 'b', seq: number): number;
  extent(pane: LowerPane | 'help'): Extent;
}

export type DiffEvent =
  | { readonly type: 'key'; readonly key: Key }
  | { readonly type: 'resize'; readonly columns: number; readonly rows: number }
  /** the comparison is there: the first difference comes into view */
  | { readonly type: 'compared' }
  /** an event of the left trace, also before the traces are compared */
  | { readonly type: 'goto'; readonly seq: number }
  /** an option of the command line */
  | { readonly type: 'options'; readonly mouse: boolean };

export const initialDiffUi = (columns: number, rows: number): DiffUi => ({
  columns,
  rows,
  cursor: 0,
  cursorRow: 0,
  lower: 'detail',
  zoom: 'both',
  scroll: { detail: TOP, state: TOP, help: TOP },
  mode: 'main',
  prompt: undefined,
  keys: NO_KEYS,
  message: undefined,
  quit: false,
  redraws: 0,
  suspends: 0,
  mouse: false,
  pointer: undefined,
  start: undefined,
});

/** Where things are, in rows of the screen. */
export interface DiffLayout {
  readonly plan: 'wide' | 'stacked' | 'small';
  /** the list: one box where it is wide, else one for each trace, as high */
  readonly lists: readonly { readonly y: number; readonly height: number }[];
  readonly lower: { readonly y: number; readonly height: number } | undefined;
}

const WIDE = 100;
/** Rows of the body below which there is one pane only. */
const LOW = 14;
/** Lines around the cursor that stay in view. */
const MARGIN = 2;

export function diffLayout(ui: Pick<DiffUi, 'columns' | 'rows' | 'zoom'>): DiffLayout {
  if (ui.columns < SMALLEST.columns || ui.rows < SMALLEST.rows) return { plan: 'small', lists: [], lower: undefined };
  const body = ui.rows - 3;
  const plan = ui.columns >= WIDE ? 'wide' : 'stacked';
  const zoom = ui.zoom === 'both' && body < LOW ? 'rows' : ui.zoom;
  if (zoom === 'lower') return { plan, lists: [], lower: { y: 1, height: body } };
  const lower = zoom === 'rows' ? 0 : Math.max(7, Math.floor(body * 0.4));
  const list = body - lower;
  const above = list >> 1;
  const lists =
    plan === 'wide'
      ? [{ y: 1, height: list }]
      : [
          { y: 1, height: above },
          { y: 1 + above, height: list - above },
        ];
  return { plan, lists, lower: lower === 0 ? undefined : { y: 1 + list, height: lower } };
}

/** Lines of text that a pane shows. */
export function pageOf(ui: DiffUi, pane: 'rows' | LowerPane | 'help'): Extent {
  const l = diffLayout(ui);
  const box = pane === 'help' ? undefined : pane === 'rows' ? l.lists[0] : l.lower;
  return { lines: Math.max(1, (box?.height ?? ui.rows - 3) - 2), cells: Math.max(1, ui.columns - 2) };
}

const MODE_PLACES = { main: 'diff', help: 'help', prompt: 'diffPrompt' } as const satisfies Record<DiffUi['mode'], Place>;

export const placeOf = (ui: DiffUi): Place => MODE_PLACES[ui.mode];

export function reduceDiff(ui: DiffUi, event: DiffEvent, facts: DiffFacts): DiffUi {
  switch (event.type) {
    case 'key':
      return onKey({ ...ui, message: undefined, pointer: event.key.at }, event.key, facts);
    case 'resize':
      return settle({ ...ui, columns: event.columns, rows: event.rows }, facts);
    case 'compared':
      return ui.start === undefined ? moveTo(ui, Math.max(0, facts.nextRun(-1, 1)), facts) : toEvent(ui, 'a', ui.start, facts);
    case 'goto':
      return facts.rows === 0 ? { ...ui, start: event.seq } : toEvent(ui, 'a', event.seq, facts);
    case 'options':
      return { ...ui, mouse: event.mouse };
    default:
      return event satisfies never;
  }
}

function onKey(ui: DiffUi, key: Key, facts: DiffFacts): DiffUi {
  const place = placeOf(ui);
  if (place === 'diffPrompt' && key.text !== undefined && ui.prompt !== undefined) {
    return { ...ui, message: overlong(ui.prompt, key.text), prompt: typeInto(ui.prompt, key.text) };
  }
  const p = press(ui.keys, key.name, place);
  if (p.kind === 'pending') return { ...ui, keys: p.keys };
  const next: DiffUi = { ...ui, keys: NO_KEYS };
  if (p.kind === 'action') return act(next, p.action, p.count, facts);
  if (!key.name.startsWith('alt-')) return next;
  // Esc and a key, pressed in haste, arrive as one
  return onKey(onKey(next, { name: 'esc' }, facts), keyNamed(key.name.slice(4)), facts);
}

function act(ui: DiffUi, action: ActionName, count: number | undefined, facts: DiffFacts): DiffUi {
  if (isDiffAction(action)) return actOnRows(ui, action, count, facts);
  switch (action) {
    case 'app.redraw':
      return { ...ui, redraws: ui.redraws + 1 };
    case 'app.suspend':
      return { ...ui, suspends: ui.suspends + 1 };
    case 'help.close':
      return { ...ui, mode: 'main' };
    case 'mouse.toggle':
      return { ...ui, mouse: !ui.mouse, message: { text: mouseText(!ui.mouse), error: false } };
    case 'mouse.wheelDown':
      return scroll(ui, 'help', 'scroll.down', TURN, facts);
    case 'mouse.wheelUp':
      return scroll(ui, 'help', 'scroll.up', TURN, facts);
    case 'scroll.down':
    case 'scroll.up':
    case 'scroll.pageDown':
    case 'scroll.pageUp':
    case 'scroll.top':
    case 'scroll.bottom':
      return scroll(ui, 'help', action, count, facts);
    case 'prompt.cancel':
      return { ...ui, mode: 'main', prompt: undefined };
    case 'prompt.accept':
      return accept({ ...ui, mode: 'main', prompt: undefined }, ui.prompt?.text ?? '', facts);
    case 'prompt.erase':
    case 'prompt.eraseWord':
    case 'prompt.clear':
    case 'prompt.left':
    case 'prompt.right':
    case 'prompt.home':
    case 'prompt.end':
    case 'prompt.recall': {
      const prompt = ui.prompt === undefined ? undefined : editPrompt(ui.prompt, action, '');
      return { ...ui, prompt, mode: prompt === undefined ? 'main' : 'prompt' };
    }
    default:
      return ui;
  }
}

function actOnRows(ui: DiffUi, action: DiffAction, count: number | undefined, facts: DiffFacts): DiffUi {
  const times = Math.max(1, count ?? 1);
  const page = pageOf(ui, 'rows').lines;
  const move = (by: number): DiffUi => moveTo(ui, ui.cursor + by, facts);
  switch (action) {
    case 'diff.next':
      return jump(ui, 1, times, facts);
    case 'diff.previous':
      return jump(ui, -1, times, facts);
    case 'diff.down':
      return move(times);
    case 'diff.up':
      return move(-times);
    case 'diff.pageDown':
      return move(times * Math.max(1, page - MARGIN));
    case 'diff.pageUp':
      return move(-times * Math.max(1, page - MARGIN));
    case 'diff.halfDown':
      return move(times * Math.max(1, page >> 1));
    case 'diff.halfUp':
      return move(-times * Math.max(1, page >> 1));
    case 'diff.top':
      return count === undefined ? moveTo(ui, 0, facts) : toEvent(ui, 'a', count, facts);
    case 'diff.bottom':
      return count === undefined ? moveTo(ui, facts.rows - 1, facts) : toEvent(ui, 'a', count, facts);
    case 'diff.percent':
      return moveTo(ui, Math.round(((facts.rows - 1) * Math.min(100, count ?? 0)) / 100), facts);
    case 'diff.command':
      return { ...ui, mode: 'prompt', prompt: emptyPrompt('command') };
    case 'diff.pane':
      return { ...ui, lower: ui.lower === 'detail' ? 'state' : 'detail' };
    case 'diff.scrollDown':
      return scroll(ui, ui.lower, 'scroll.down', count, facts);
    case 'diff.scrollUp':
      return scroll(ui, ui.lower, 'scroll.up', count, facts);
    case 'diff.zoom':
      return settle({ ...ui, zoom: ui.zoom === 'both' ? 'rows' : ui.zoom === 'rows' ? 'lower' : 'both' }, facts);
    case 'diff.back':
      return settle({ ...ui, zoom: 'both', lower: 'detail' }, facts);
    case 'diff.click':
      return click(ui, facts);
    case 'diff.wheelDown':
      return wheel(ui, 1, facts);
    case 'diff.wheelUp':
      return wheel(ui, -1, facts);
    case 'diff.help':
      return { ...ui, mode: 'help', scroll: { ...ui.scroll, help: TOP } };
    case 'diff.quit':
      return { ...ui, quit: true };
    default:
      return action satisfies never;
  }
}

function click(ui: DiffUi, facts: DiffFacts): DiffUi {
  const target = ui.pointer === undefined ? undefined : diffTargetAt(ui, ui.pointer);
  if (target?.kind === 'lower') return { ...ui, lower: target.tab ?? ui.lower };
  if (target?.kind !== 'list' || target.line === undefined) return ui;
  const row = ui.cursor - ui.cursorRow + target.line;
  // the lower one of two lists may be a line higher than both show
  return row < facts.rows && target.line < pageOf(ui, 'rows').lines ? moveTo(ui, row, facts) : ui;
}

function wheel(ui: DiffUi, direction: 1 | -1, facts: DiffFacts): DiffUi {
  const target = ui.pointer === undefined ? undefined : diffTargetAt(ui, ui.pointer);
  if (target?.kind === 'list') return moveTo(ui, ui.cursor + TURN * direction, facts);
  return target?.kind === 'lower' ? scroll(ui, ui.lower, direction === 1 ? 'scroll.down' : 'scroll.up', TURN, facts) : ui;
}

const clamp = (n: number, low: number, high: number): number => Math.max(low, Math.min(high, n));

function moveTo(ui: DiffUi, row: number, facts: DiffFacts): DiffUi {
  const cursor = clamp(row, 0, Math.max(0, facts.rows - 1));
  const page = pageOf(ui, 'rows').lines;
  const by = cursor - ui.cursor;
  const cursorRow = Math.abs(by) < page ? ui.cursorRow + by : page >> 1;
  const scroll = by === 0 ? ui.scroll : { ...ui.scroll, detail: TOP, state: TOP };
  return settle({ ...ui, cursor, cursorRow, scroll }, facts);
}

/** Keeps the cursor's line inside the list, a margin from its edges, and the list full while it has rows to show. */
function settle(ui: DiffUi, facts: DiffFacts): DiffUi {
  const page = pageOf(ui, 'rows').lines;
  const margin = Math.min(MARGIN, (page - 1) >> 1);
  let row = clamp(ui.cursorRow, margin, page - 1 - margin);
  row = Math.max(row, page - 1 - (facts.rows - 1 - ui.cursor));
  return { ...ui, cursorRow: Math.min(row, ui.cursor) };
}

function jump(ui: DiffUi, direction: 1 | -1, times: number, facts: DiffFacts): DiffUi {
  let row = ui.cursor;
  for (let n = 0; n < times; n++) {
    const next = facts.nextRun(row, direction);
    if (next < 0) break;
    row = next;
  }
  if (row !== ui.cursor) return moveTo(ui, row, facts);
  return { ...ui, message: { text: `no ${direction === 1 ? 'later' : 'earlier'} difference`, error: true } };
}

function toEvent(ui: DiffUi, side: 'a' | 'b', seq: number, facts: DiffFacts): DiffUi {
  const row = facts.rowOf(side, seq);
  if (row >= 0) return moveTo(ui, row, facts);
  return { ...ui, message: { text: `the ${side === 'a' ? 'left' : 'right'} trace has no event ${seq}`, error: true } };
}

function scroll(
  ui: DiffUi,
  pane: LowerPane | 'help',
  action: Parameters<typeof scrolled>[1],
  count: number | undefined,
  facts: DiffFacts,
): DiffUi {
  const to = scrolled(ui.scroll[pane], action, Math.max(1, count ?? 1), facts.extent(pane), pageOf(ui, pane));
  return { ...ui, scroll: { ...ui.scroll, [pane]: to } };
}

function accept(ui: DiffUi, typed: string, facts: DiffFacts): DiffUi {
  const text = typed.trim();
  if (text === '') return ui;
  const event = /^(?:([ab]) ?)?(\d{1,15})$/.exec(text);
  if (event !== null) return toEvent(ui, event[1] === 'b' ? 'b' : 'a', Number(event[2]), facts);
  const percent = /^(\d{1,3}) ?%$/.exec(text);
  if (percent !== null) return actOnRows(ui, 'diff.percent', Number(percent[1]), facts);
  const short = { q: 'diff.quit', quit: 'diff.quit', end: 'diff.bottom', h: 'diff.help', help: 'diff.help' }[text];
  const action = actionByName(short ?? text)?.name;
  if (action !== undefined && isDiffAction(action)) return actOnRows(ui, action, undefined, facts);
  return { ...ui, message: { text: `"${clean(text)}" is no event (1204, b 1204), percentage (50%) or action (diff.next)`, error: true } };
}
