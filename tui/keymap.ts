/**
 * The only file that binds a key. An action is a row: a dotted name (which `:` takes too), what it does, and its keys by
 * the place where they work. The hints at the foot of the screen and the help on `?` are made of these rows.
 */

import { DIFF_ROWS } from './diff/keys.ts';

/**
 * Where a key works: `main` with every pane, `events` and `text` (detail, objects) with that pane focused, `diff` in the diff view, `help` and
 * `prompt` while those are open, `find` in prompts of one trace, `any` everywhere.
 */
export type Where = 'main' | 'events' | 'text' | 'diff' | 'help' | 'prompt' | 'find' | 'any';

/** What a count in front of the key means: so many times, an event's number, or a percentage of the log. */
export type Count = 'times' | 'target' | 'percent';

export interface ActionRow {
  readonly name: string;
  readonly group: 'Time' | 'Travel' | 'Bookmarks' | 'Copy' | 'Differences' | 'Find' | 'Panes' | 'Program' | 'In a prompt';
  /** what it does, for the help */
  readonly text: string;
  readonly keys: Partial<Readonly<Record<Where, readonly string[]>>>;
  readonly count?: Count;
  /** one word for the row of hints; rows without one are left to the help */
  readonly hint?: string;
}

/** Keys that belong together in the hints are shown as one entry under this action's hint. */
const ROWS = [
  ...DIFF_ROWS,
  {
    name: 'time.step',
    group: 'Time',
    text: 'next event; the state follows',
    keys: { events: ['j', 'down', 'ctrl-n', 'ctrl-j'], main: ['s'] },
    count: 'times',
    hint: 'step',
  },
  {
    name: 'time.reverseStep',
    group: 'Time',
    text: 'previous event; the state goes back',
    keys: { events: ['k', 'up', 'ctrl-p'], main: ['S'] },
    count: 'times',
    hint: 'step',
  },
  { name: 'change.next', group: 'Time', text: 'next event that changed the state', keys: { main: ['J'] }, count: 'times', hint: 'change' },
  {
    name: 'change.previous',
    group: 'Time',
    text: 'previous event that changed the state',
    keys: { main: ['K'] },
    count: 'times',
    hint: 'change',
  },
  { name: 'error.next', group: 'Time', text: 'next event that failed', keys: { main: ['] e'] }, count: 'times', hint: 'error' },
  { name: 'error.previous', group: 'Time', text: 'previous event that failed', keys: { main: ['[ e'] }, count: 'times', hint: 'error' },
  { name: 'time.halfPageDown', group: 'Time', text: 'half a page of events down', keys: { events: ['ctrl-d'] }, count: 'times' },
  { name: 'time.halfPageUp', group: 'Time', text: 'half a page of events up', keys: { events: ['ctrl-u'] }, count: 'times' },
  {
    name: 'time.pageDown',
    group: 'Time',
    text: 'a page of events down',
    keys: { events: ['pagedown', 'space', 'ctrl-f'] },
    count: 'times',
  },
  { name: 'time.pageUp', group: 'Time', text: 'a page of events up', keys: { events: ['pageup', 'b', 'ctrl-b'] }, count: 'times' },
  { name: 'time.first', group: 'Time', text: 'first event; with a count that event', keys: { events: ['g g', 'home'] }, count: 'target' },
  { name: 'time.last', group: 'Time', text: 'last event; with a count that event: 1204G', keys: { events: ['G', 'end'] }, count: 'target' },
  { name: 'time.percent', group: 'Time', text: 'so far into the log: 50%', keys: { main: ['%'] }, count: 'percent' },
  {
    name: 'object.next',
    group: 'Travel',
    text: 'next event of this object: of the one chosen in Objects, or that the event is about',
    keys: { main: ['] o'] },
    count: 'times',
  },
  { name: 'object.previous', group: 'Travel', text: 'previous event of this object', keys: { main: ['[ o'] }, count: 'times' },
  { name: 'object.birth', group: 'Travel', text: 'where this object was created', keys: { main: ['g c'] } },
  { name: 'object.death', group: 'Travel', text: 'where this object ends', keys: { main: ['g d'] } },
  { name: 'thread.next', group: 'Travel', text: 'next event of this thread', keys: { main: ['] t'] }, count: 'times' },
  { name: 'thread.previous', group: 'Travel', text: 'previous event of this thread', keys: { main: ['[ t'] }, count: 'times' },
  { name: 'process.next', group: 'Travel', text: 'next event of this process', keys: { main: ['] p'] }, count: 'times' },
  { name: 'process.previous', group: 'Travel', text: 'previous event of this process', keys: { main: ['[ p'] }, count: 'times' },
  { name: 'call.next', group: 'Travel', text: 'next event of this call', keys: { main: ['] c'] }, count: 'times' },
  { name: 'call.previous', group: 'Travel', text: 'previous event of this call', keys: { main: ['[ c'] }, count: 'times' },
  { name: 'register.next', group: 'Travel', text: 'next access of this register', keys: { main: ['] r'] }, count: 'times' },
  { name: 'register.previous', group: 'Travel', text: 'previous access of this register', keys: { main: ['[ r'] }, count: 'times' },
  { name: 'watch.add', group: 'Travel', text: 'watch: a condition to stop at, errno == EBUSY', keys: { main: ['w'] } },
  { name: 'watch.clear', group: 'Travel', text: 'forget all watches; :delete 2 one of them', keys: { main: ['W'] } },
  {
    name: 'watch.run',
    group: 'Travel',
    text: 'run to the next event that a watch is true of; :run CONDITION',
    keys: { main: ['c'] },
    count: 'times',
  },
  {
    name: 'watch.back',
    group: 'Travel',
    text: 'run back to the one before; :back CONDITION',
    keys: { main: ['C'] },
    count: 'times',
  },
  { name: 'play.toggle', group: 'Travel', text: 'play at recorded pace, long pauses shortened; any key stops', keys: { main: ['p'] } },
  { name: 'play.faster', group: 'Travel', text: 'play faster', keys: { main: ['>'] }, count: 'times' },
  { name: 'play.slower', group: 'Travel', text: 'play slower', keys: { main: ['<'] }, count: 'times' },
  { name: 'link.next', group: 'Travel', text: 'next event that Detail names', keys: { main: ['] ]'] }, count: 'times' },
  { name: 'link.previous', group: 'Travel', text: 'previous event that Detail names', keys: { main: ['[ ['] }, count: 'times' },
  { name: 'link.open', group: 'Travel', text: 'go to the event that Detail names', keys: { main: ['g f'] } },
  {
    name: 'history.back',
    group: 'Travel',
    text: 'back to where you were before the jump',
    keys: { main: ['H', 'ctrl-o', 'alt-left'] },
    count: 'times',
  },
  { name: 'history.forward', group: 'Travel', text: 'forward again', keys: { main: ['L', 'alt-right'] }, count: 'times' },
  { name: 'mark.set', group: 'Bookmarks', text: 'bookmark this event by a letter; it is kept with the trace', keys: { main: ['m *'] } },
  { name: 'mark.goto', group: 'Bookmarks', text: 'go to a bookmark', keys: { main: ["' *"] } },
  { name: 'mark.last', group: 'Bookmarks', text: 'to the place before the last jump, and back', keys: { main: ["' '"] } },
  { name: 'mark.remove', group: 'Bookmarks', text: 'take the bookmarks of this event away', keys: { main: ['m -'] } },
  { name: 'mark.list', group: 'Bookmarks', text: 'all bookmarks, notes, watches', keys: { main: ['M'] } },
  { name: 'note.edit', group: 'Bookmarks', text: 'write a note on this event; an empty one goes', keys: { main: ['a'] } },
  { name: 'copy.text', group: 'Copy', text: 'copy the event as text; tmux must allow it: set-clipboard on', keys: { main: ['y t'] } },
  { name: 'copy.json', group: 'Copy', text: 'copy the event as JSON', keys: { main: ['y j'] } },
  { name: 'copy.why', group: 'Copy', text: 'copy why the call ended so', keys: { main: ['y w'] } },
  { name: 'copy.command', group: 'Copy', text: 'copy a command line that shows the event', keys: { main: ['y c'] } },
  {
    name: 'search.open',
    group: 'Find',
    text: 'search as you type: names of calls and errors, or any text of an event',
    keys: { main: ['/'] },
    hint: 'search',
  },
  { name: 'search.next', group: 'Find', text: 'next event that matches', keys: { main: ['n'] }, count: 'times' },
  { name: 'search.previous', group: 'Find', text: 'previous event that matches', keys: { main: ['N'] }, count: 'times' },
  {
    name: 'filter.open',
    group: 'Find',
    text: 'show only events that match: errno != 0, call ~ MAP, object == 7, or a text; empty shows all',
    keys: { main: ['&'] },
    hint: 'filter',
  },
  {
    name: 'command.open',
    group: 'Find',
    text: 'command: 1204, 50%, @12.5 (seconds), +1.5s, 14:03:59, run errno != 0, or an action by name (time.step)',
    keys: { main: [':'] },
    hint: 'goto',
  },
  { name: 'pane.next', group: 'Panes', text: 'next pane', keys: { main: ['tab'] }, hint: 'pane' },
  { name: 'pane.previous', group: 'Panes', text: 'previous pane', keys: { main: ['shift-tab'] } },
  { name: 'pane.events', group: 'Panes', text: 'Events', keys: { main: ['1'] } },
  { name: 'pane.detail', group: 'Panes', text: 'Detail', keys: { main: ['2'] } },
  { name: 'pane.objects', group: 'Panes', text: 'Objects', keys: { main: ['3'] } },
  { name: 'pane.changed', group: 'Panes', text: 'Changed: what the event changed, before and after', keys: { main: ['4'] } },
  { name: 'pane.devices', group: 'Panes', text: 'Devices: VFIO devices, where the trace has some', keys: { main: ['5'] } },
  { name: 'pane.cmdqv', group: 'Panes', text: 'CMDQV: its queues, where the trace has one', keys: { main: ['6'] } },
  {
    name: 'pane.open',
    group: 'Panes',
    text: 'look at the event in Detail; from there to the event chosen in it, or back; in Objects to where the object was created',
    keys: { main: ['enter'] },
  },
  { name: 'pane.zoom', group: 'Panes', text: 'the focused pane alone, and back', keys: { main: ['z'] }, hint: 'zoom' },
  { name: 'detail.hex', group: 'Panes', text: 'the event as fields, or as bytes', keys: { main: ['x'] }, hint: 'hex' },
  {
    name: 'detail.why',
    group: 'Panes',
    text: 'why the call ended so, also where the rules have to be run for long',
    keys: { main: ['e'] },
  },
  {
    name: 'column.time',
    group: 'Panes',
    text: 'times since the start, since the event before, of the day',
    keys: { main: ['t'] },
  },
  { name: 'column.lanes', group: 'Panes', text: 'lanes: threads, processes, contexts', keys: { main: ['T'] } },
  {
    name: 'scroll.down',
    group: 'Panes',
    text: 'a line down',
    keys: { text: ['j', 'down'], help: ['j', 'down', 'enter'] },
    count: 'times',
    hint: 'scroll',
  },
  { name: 'scroll.up', group: 'Panes', text: 'a line up', keys: { text: ['k', 'up'], help: ['k', 'up'] }, count: 'times', hint: 'scroll' },
  {
    name: 'scroll.pageDown',
    group: 'Panes',
    text: 'a page down',
    keys: { text: ['pagedown', 'space', 'ctrl-d', 'ctrl-f'], help: ['pagedown', 'space', 'ctrl-d'] },
    count: 'times',
  },
  {
    name: 'scroll.pageUp',
    group: 'Panes',
    text: 'a page up',
    keys: { text: ['pageup', 'b', 'ctrl-u', 'ctrl-b'], help: ['pageup', 'b', 'ctrl-u'] },
    count: 'times',
  },
  { name: 'scroll.top', group: 'Panes', text: 'to the top', keys: { text: ['g g', 'home'], help: ['g g', 'home'] }, count: 'target' },
  { name: 'scroll.bottom', group: 'Panes', text: 'to the end', keys: { text: ['G', 'end'], help: ['G', 'end'] }, count: 'target' },
  { name: 'scroll.left', group: 'Panes', text: 'to the left', keys: { text: ['left', 'h'] }, count: 'times' },
  { name: 'scroll.right', group: 'Panes', text: 'to the right, where lines are longer', keys: { text: ['right', 'l'] }, count: 'times' },
  { name: 'strip.next', group: 'Find', text: 'to the next place of the overview at the foot', keys: { main: ['}'] }, count: 'times' },
  { name: 'strip.previous', group: 'Find', text: 'to the place of the overview before', keys: { main: ['{'] }, count: 'times' },
  {
    name: 'mouse.click',
    group: 'Panes',
    text: 'an event, a pane, a tab, a place in the overview (Shift selects text)',
    keys: { main: ['click'] },
  },
  { name: 'mouse.wheelDown', group: 'Panes', text: 'what is under the pointer down', keys: { main: ['wheeldown'], help: ['wheeldown'] } },
  { name: 'mouse.wheelUp', group: 'Panes', text: 'what is under the pointer up', keys: { main: ['wheelup'], help: ['wheelup'] } },
  { name: 'mouse.toggle', group: 'Program', text: 'mouse off, so that the terminal has it; and on again', keys: { any: ['f2'] } },
  { name: 'live.follow', group: 'Time', text: 'to the end of a recording that goes on, and stay there', keys: { main: ['F'] } },
  {
    name: 'app.back',
    group: 'Program',
    text: 'stop what runs, leave the zoom, back to Events, unmark the hits, take the filter away',
    keys: { main: ['esc'] },
  },
  { name: 'help.open', group: 'Program', text: 'these keys', keys: { main: ['?', 'f1'] }, hint: 'help' },
  { name: 'help.close', group: 'Program', text: 'close the help', keys: { help: ['?', 'f1', 'q', 'esc', 'ctrl-c'] }, hint: 'close' },
  { name: 'app.redraw', group: 'Program', text: 'draw the screen again', keys: { any: ['ctrl-l'] } },
  { name: 'app.suspend', group: 'Program', text: 'suspend; fg brings it back', keys: { any: ['ctrl-z'] } },
  { name: 'app.quit', group: 'Program', text: 'quit; the first time stops what runs', keys: { main: ['q', 'ctrl-c'] }, hint: 'quit' },
  { name: 'prompt.accept', group: 'In a prompt', text: 'go', keys: { prompt: ['enter', 'ctrl-j'] }, hint: 'go' },
  { name: 'prompt.cancel', group: 'In a prompt', text: 'leave it', keys: { prompt: ['esc', 'ctrl-c'] }, hint: 'leave' },
  {
    name: 'prompt.complete',
    group: 'In a prompt',
    text: 'complete a word: calls, errors, fields, registers; again: the next one',
    keys: { find: ['tab'] },
    hint: 'complete',
  },
  { name: 'prompt.erase', group: 'In a prompt', text: 'erase a character; the empty prompt closes', keys: { prompt: ['backspace'] } },
  { name: 'prompt.eraseWord', group: 'In a prompt', text: 'erase a word', keys: { prompt: ['ctrl-w'] } },
  { name: 'prompt.clear', group: 'In a prompt', text: 'erase all', keys: { prompt: ['ctrl-u'] } },
  { name: 'prompt.left', group: 'In a prompt', text: 'cursor left', keys: { prompt: ['left', 'ctrl-b'] } },
  { name: 'prompt.right', group: 'In a prompt', text: 'cursor right', keys: { prompt: ['right', 'ctrl-f'] } },
  { name: 'prompt.home', group: 'In a prompt', text: 'cursor to the beginning', keys: { prompt: ['home', 'ctrl-a'] } },
  { name: 'prompt.end', group: 'In a prompt', text: 'cursor to the end', keys: { prompt: ['end', 'ctrl-e'] } },
  { name: 'prompt.recall', group: 'In a prompt', text: 'the last search again', keys: { find: ['up'] } },
] as const satisfies readonly ActionRow[];

export type ActionName = (typeof ROWS)[number]['name'];
export const ACTIONS: readonly (ActionRow & { readonly name: ActionName })[] = ROWS;

/** Places that are active together, most particular first. A key may mean one thing only in each of these. */
export const PLACES = {
  events: ['events', 'main', 'any'],
  text: ['text', 'main', 'any'],
  diff: ['diff', 'any'],
  help: ['help', 'any'],
  prompt: ['prompt', 'find', 'any'],
  diffPrompt: ['prompt', 'any'],
} as const satisfies Record<string, readonly Where[]>;
export type Place = keyof typeof PLACES;

const TABLES = new Map<Place, ReadonlyMap<string, ActionRow & { readonly name: ActionName }>>(
  (Object.keys(PLACES) as Place[]).map((place) => [
    place,
    new Map(ACTIONS.flatMap((row) => keysIn(row, place).map((keys) => [keys, row] as const))),
  ]),
);

function keysIn(row: ActionRow, place: Place): readonly string[] {
  return PLACES[place].flatMap((where) => row.keys[where] ?? []);
}

export function actionByName(name: string): (ActionRow & { readonly name: ActionName }) | undefined {
  return ACTIONS.find((a) => a.name === name);
}

/** Keys pressed that are not an action yet. */
export interface KeyState {
  /** keys of an unfinished sequence: `g`, `]` */
  readonly prefix: string;
  /** digits of a count */
  readonly count: string;
}
export const NO_KEYS: KeyState = { prefix: '', count: '' };

/** What a key made of the keys before it. */
export type Pressed =
  | { readonly kind: 'action'; readonly action: ActionName; readonly count: number | undefined; readonly letter?: string }
  | { readonly kind: 'pending'; readonly keys: KeyState }
  | { readonly kind: 'none' };

/**
 * One key, after the keys that wait. A digit that is bound itself (`1`…`3`) is reported as its action; the caller keeps it
 * as the first digit of a count as well.
 */
export function press(keys: KeyState, key: string, place: Place): Pressed {
  const table = TABLES.get(place)!;
  const sequence = keys.prefix === '' ? key : `${keys.prefix} ${key}`;
  const digit = /^[0-9]$/.test(key) && keys.prefix === '' && (place === 'events' || place === 'text' || place === 'diff');
  if (digit && (keys.count !== '' || (key !== '0' && !table.has(key)))) {
    return { kind: 'pending', keys: { prefix: '', count: (keys.count + key).slice(0, 15) } };
  }
  const letter = /^[A-Za-z]$/.test(key) && keys.prefix !== '' ? table.get(`${keys.prefix} *`) : undefined;
  const row = table.get(sequence) ?? letter;
  if (row !== undefined) {
    const count = row.count === undefined || keys.count === '' ? undefined : Number(keys.count);
    return { kind: 'action', action: row.name, count, ...(row === letter ? { letter: key } : {}) };
  }
  for (const bound of table.keys()) {
    if (bound.startsWith(`${sequence} `)) return { kind: 'pending', keys: { ...keys, prefix: sequence } };
  }
  return { kind: 'none' };
}

const KEY_NAMES: Readonly<Record<string, string>> = {
  up: 'Up',
  down: 'Down',
  left: 'Left',
  right: 'Right',
  home: 'Home',
  end: 'End',
  pageup: 'PgUp',
  pagedown: 'PgDn',
  tab: 'Tab',
  enter: 'Enter',
  esc: 'Esc',
  space: 'Space',
  backspace: 'Backspace',
  'shift-tab': 'Shift-Tab',
  f1: 'F1',
  '*': '{a-z}',
  f2: 'F2',
  click: 'Click',
  wheelup: 'WheelUp',
  wheeldown: 'WheelDown',
};

/** A key sequence as people write it: `] e` → `]e`, `ctrl-d` → `Ctrl-d`. */
export function keyText(keys: string): string {
  return keys
    .split(' ')
    .map((k) => KEY_NAMES[k] ?? (k.startsWith('ctrl-') ? `Ctrl-${k.slice(5)}` : k.startsWith('alt-') ? `Alt-${keyText(k.slice(4))}` : k))
    .join('');
}

export interface Hint {
  readonly keys: string;
  readonly text: string;
}

/** What may follow the keys that were pressed: `t text` behind `y`. */
export function continuations(place: Place, prefix: string): readonly Hint[] {
  return [...TABLES.get(place)!].flatMap(([keys, row]) =>
    keys.startsWith(`${prefix} `)
      ? [{ keys: keyText(keys.slice(prefix.length + 1)), text: row.name.replace(/\.(next|previous)$/, '').replace('.', ' ') }]
      : [],
  );
}

/** What can be pressed here, shortest form, what works only here first: rows with the same hint are one entry, each with its first key. */
export function hints(place: Place): readonly Hint[] {
  const out = new Map<string, string[]>();
  const own = PLACES[place][0];
  const ranked = [...ACTIONS.filter((row) => row.keys[own] !== undefined), ...ACTIONS.filter((row) => row.keys[own] === undefined)];
  for (const row of ranked) {
    const first = keysIn(row, place)[0];
    if (row.hint === undefined || first === undefined) continue;
    const keys = out.get(row.hint) ?? [];
    out.set(row.hint, [...keys, keyText(first)]);
  }
  return [...out].map(([text, keys]) => ({ keys: keys.join('/'), text }));
}

export interface HelpGroup {
  readonly title: string;
  readonly rows: readonly { readonly keys: string; readonly text: string; readonly name: string }[];
}

/** All keys of a place (and of prompts), grouped: the help. */
export function help(place: Place): readonly HelpGroup[] {
  const groups = new Map<string, { keys: string; text: string; name: string }[]>();
  const prompt = place === 'diff' ? 'diffPrompt' : 'prompt';
  for (const row of ACTIONS) {
    const keys = keysIn(row, row.group === 'In a prompt' ? prompt : place);
    if (keys.length === 0) continue;
    const rows = groups.get(row.group) ?? [];
    rows.push({ keys: keys.map(keyText).join(' '), text: row.text, name: row.name });
    groups.set(row.group, rows);
  }
  return [...groups].map(([title, rows]) => ({ title, rows }));
}
