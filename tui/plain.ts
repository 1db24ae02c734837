/**
 * The linear mode: a line in, what it changed as lines out; for a screen reader, a braille line, or a script. Nothing is
 * drawn: no cursor addressing, no colours, no frames. The commands are the keys and names of the screens, for the same
 * controllers answer them; this file types lines as keys and reads out what has changed.
 */
import { createInterface } from 'node:readline';
import { errnoText } from '../hw/errno.ts';
import { Controller, type ControllerHooks } from './controller.ts';
import type { DiffController } from './diff/controller.ts';
import type { Sides } from './diff/picture.ts';
import { differenceLines, markOf } from './diff/rows.ts';
import { actionByName, NO_KEYS, type Place, press } from './keymap.ts';
import { PANE_TITLES, type PaneId } from './layout.ts';
import type { TraceModel } from './model.ts';
import { changeLines } from './present/effects.ts';
import type { ListedEvent } from './present/event.ts';
import { InputParser, type Key } from './term/input.ts';
import { clean, type Line } from './term/text.ts';
import { type Theme, toAscii } from './term/theme.ts';

/** What the loop reads out: one trace, or two. */
export interface PlainReader {
  /** lines to begin with */
  greet(): Promise<readonly string[]>;
  /** undefined: the program ends */
  answer(command: string): Promise<readonly string[] | undefined>;
  /** a signal asks what runs to stop; false: nothing ran */
  interrupt(): boolean;
  close(): void;
}

export interface PlainStreams {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: { write(text: string): unknown; on(event: 'error', listener: (error: Error) => void): unknown };
  readonly theme: Theme;
}

const PROMPT = '> ';

/** Runs until `q` or the end of the input. → exit status */
export async function runPlain(reader: PlainReader, { stdin, stdout, theme }: PlainStreams): Promise<number> {
  const put = (line: string): void => {
    stdout.write(theme.ascii ? toAscii(line) : line);
  };
  const say = (lines: readonly string[]): void => {
    for (const line of lines) put(`${line.trimEnd()}\n`);
  };
  // whoever reads the other end may have had enough
  stdout.on('error', () => process.exit(0));
  const onInterrupt = (): void => {
    if (!reader.interrupt()) process.exit(130);
  };
  process.on('SIGINT', onInterrupt);
  const lines = createInterface({ input: stdin, terminal: false });
  // from now on, for what a script sends at once would be lost while the traces are read
  const commands = lines[Symbol.asyncIterator]();
  try {
    say(await reader.greet());
    put(PROMPT);
    let last = 'j';
    for await (const typed of commands) {
      // a terminal shows what was typed; of a script nobody would see it
      if (stdin.isTTY !== true) put(`${clean(typed)}\n`);
      const command = typed.trim() === '' ? last : typed.trim();
      last = command;
      const said = await reader.answer(command);
      if (said === undefined) return 0;
      say(said);
      put(PROMPT);
    }
    put('\n');
    return 0;
  } finally {
    process.off('SIGINT', onInterrupt);
    lines.close();
    reader.close();
  }
}

// ---- commands ----

/** Keys that have names, as the help writes them. */
const NAMED: Readonly<Record<string, string>> = {
  tab: 'tab',
  'shift-tab': 'shift-tab',
  enter: 'enter',
  esc: 'esc',
  space: 'space',
  up: 'up',
  down: 'down',
  home: 'home',
  end: 'end',
  pgup: 'pageup',
  pgdn: 'pagedown',
};
const typed = (text: string): readonly Key[] => {
  const parser = new InputParser();
  return [...parser.push(text), ...parser.flush()];
};
const named = (action: string): readonly Key[] => typed(`:${action}\r`);

/** A line as keys; undefined: it is none. `words`: what this reader calls some actions. */
function keysOf(command: string, words: Readonly<Record<string, readonly string[]>>, place: Place): readonly Key[] | undefined {
  const lower = command.toLowerCase();
  const actions = words[lower];
  if (actions !== undefined) return actions.flatMap(named);
  if (NAMED[lower] !== undefined) return [{ name: NAMED[lower] }];
  const ctrl = /^ctrl-([a-z])$/.exec(lower);
  if (ctrl !== null) return [{ name: lower }];
  if (/^[/:&]/.test(command)) return typed(`${command}\r`);
  if (/^\d+%?$/.test(command) || actionByName(command) !== undefined) return named(command);
  const keys = typed(command);
  let state = NO_KEYS;
  for (const key of keys) {
    const pressed = press(state, key.name, place);
    if (pressed.kind === 'none') return undefined;
    // a digit may be a pane's, and the beginning of a count
    const digit = /^[1-9]$/.test(key.name) && state.count === '';
    state = pressed.kind === 'pending' ? pressed.keys : digit ? { prefix: '', count: key.name } : NO_KEYS;
  }
  return keys;
}

const unknown = (command: string): string[] => [`"${clean(command)}" is no command: ? tells all of them`];

const textOf = (l: Line): string => l.spans.map((s) => s.text).join('');
const wait = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Hooks of a controller that nobody draws. */
function quietHooks(): { readonly hooks: ControllerHooks; readonly failed: () => unknown } {
  let failure: unknown;
  const nothing = (): void => {};
  const hooks: ControllerHooks = {
    changed: nothing,
    redraw: nothing,
    suspend: nothing,
    quit: nothing,
    failed: (error) => {
      failure = error;
    },
  };
  return { hooks, failed: () => failure };
}

/** Long lines are broken here; whoever reads them out or shows them may break them again. */
const COLUMNS = 160;
const ROWS = 50;

/** `failed, EBUSY: Device or resource busy`; `= 0` */
function outcome(model: TraceModel, e: ListedEvent): string {
  if (e.outcome === 'error') return `failed, ${e.result}: ${errnoText(model.event(e.seq)?.error ?? 0)}`;
  return e.outcome === 'open' ? 'had not returned' : e.result;
}

function eventLine(model: TraceModel, seq: number): string {
  const e = model.listed(seq);
  if (e === undefined) return `event ${seq} cannot be read`;
  return [`${seq}`, model.timeOf(seq), `thread ${e.tid}`, e.call, e.args, outcome(model, e)].filter((t) => t !== '').join('  ');
}

// ---- one trace ----

const TRACE_WORDS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(Object.keys(PANE_TITLES).map((pane) => [pane, [`pane.${pane}`]])),
  state: ['pane.objects'],
  why: ['pane.detail', 'detail.why'],
  hex: ['pane.detail', 'detail.hex'],
  help: ['help.open'],
  quit: ['app.quit'],
};

export function traceReader(model: TraceModel, theme: Theme, at: number | undefined): PlainReader {
  const { hooks, failed } = quietHooks();
  const controller = new Controller(model, theme, COLUMNS, ROWS, hooks);
  if (at !== undefined) controller.goto(at);
  const settled = async (): Promise<void> => {
    while (!controller.idle && failed() === undefined) await wait();
    if (failed() !== undefined) throw failed();
  };
  const type = (keys: readonly Key[]): void => {
    for (const key of keys) if (!controller.ui.quit) controller.key(key);
  };
  const here = (): string[] => {
    const { cursor } = controller.ui;
    if (cursor === 0) return ['the trace has no events'];
    const changes = model.at === cursor ? changeLines(model.changes, model.names, theme.glyphs) : [];
    return [eventLine(model, cursor), ...changes.map(textOf)];
  };
  const pane = (id: PaneId): string[] => {
    const lines = id === 'events' ? here() : controller.text(id).map(textOf);
    return id === 'events' ? lines : [`${PANE_TITLES[id]} at event ${controller.ui.cursor}:`, ...lines];
  };
  return {
    greet: async () => {
      await settled();
      return [`${clean(model.name)}: ${model.last} events. ? tells the commands; an empty line repeats the last one.`, ...here()];
    },
    answer: async (command) => {
      const before = controller.ui;
      const keys = keysOf(command, TRACE_WORDS, 'events');
      if (keys === undefined) return unknown(command);
      type(keys);
      await settled();
      const { ui } = controller;
      if (ui.quit) return undefined;
      return traceAnswer(command, before);
    },
    interrupt: () => {
      if (controller.ui.job === undefined) return false;
      type([{ name: 'esc' }]);
      return true;
    },
    close: () => controller.close(),
  };

  async function traceAnswer(command: string, before: Controller['ui']): Promise<readonly string[]> {
    const { ui } = controller;
    if (ui.mode === 'help') {
      const lines = controller.text('help').map(textOf);
      type([{ name: 'esc' }]);
      return [...lines, '', ' Words', `   ${Object.keys(TRACE_WORDS).join(' ')}`];
    }
    if (ui.mode === 'prompt' || ui.keys.prefix !== '' || ui.keys.count !== '') {
      type([{ name: 'esc' }, { name: 'esc' }]);
      await settled();
      return [`"${clean(command)}" is only the beginning of a command: ? tells all of them`];
    }
    const said = ui.message === undefined ? [] : [ui.message.text];
    if (ui.cursor !== before.cursor) said.push(...here());
    if (ui.focus !== 'events') {
      said.push(...pane(ui.focus));
      // hex stays on the screens until the next x; here it was the answer to one question
      if (ui.hex) type(named('detail.hex'));
      type(named('pane.events'));
      await settled();
    } else if (ui.hex !== before.hex) said.push(...pane('detail'));
    return said.length > 0 ? said : here();
  }
}

// ---- two traces ----

const DIFF_WORDS: Readonly<Record<string, readonly string[]>> = {
  next: ['diff.next'],
  previous: ['diff.previous'],
  help: ['diff.help'],
  quit: ['diff.quit'],
};

/** `from`: an event of the left trace to begin at; else the first difference. */
export function diffReader(sides: Sides, theme: Theme, make: typeof DiffController, from?: number): PlainReader {
  const { hooks, failed } = quietHooks();
  // so narrow that what is on both sides is read one after the other
  const controller = new make(sides, theme, 99, ROWS, hooks);
  if (from !== undefined) controller.goto(from);
  const settled = async (): Promise<void> => {
    while (!controller.idle && failed() === undefined) await wait();
    if (failed() !== undefined) throw failed();
  };
  const here = (): string[] => {
    const { row, comparison } = controller;
    if (row === undefined || comparison === undefined) return ['both traces have no events'];
    const { cursor } = controller.ui;
    const run = row.how === 0 ? '' : `, difference ${comparison.runOf(cursor)} of ${comparison.runs.length}`;
    const side = (name: string, model: TraceModel, e: ListedEvent | undefined): string =>
      `  ${name}  ${e === undefined ? 'nothing' : eventLine(model, e.seq)}`;
    return [
      `${markOf(row.how, theme.glyphs)} row ${cursor + 1} of ${comparison.rows}${run}`,
      side('left ', sides.a, row.a),
      side('right', sides.b, row.b),
      ...differenceLines(row.how, comparison.fields(cursor), COLUMNS, theme.glyphs).map(textOf),
    ];
  };
  return {
    greet: async () => {
      await settled();
      const { summaryOf } = await import('./diff/picture.ts');
      const { comparison } = controller;
      const names = `left ${clean(sides.a.name)}, right ${clean(sides.b.name)}. ? tells the commands.`;
      return [names, ...(comparison === undefined ? [] : [summaryOf(comparison)]), ...here()];
    },
    answer: async (command) => {
      const before = controller.ui;
      const pane = { state: 'state', detail: 'detail', events: 'detail' }[command] as 'state' | 'detail' | undefined;
      if (pane !== undefined) return controller.text(pane).map(textOf);
      const keys = keysOf(command, DIFF_WORDS, 'diff');
      if (keys === undefined) return unknown(command);
      for (const key of keys) if (!controller.ui.quit) controller.key(key);
      await settled();
      const { ui } = controller;
      if (ui.quit) return undefined;
      if (ui.mode === 'help') {
        const lines = controller.text('help').map(textOf);
        controller.key({ name: 'esc' });
        return [...lines, '', ' Words', `   ${['state', 'detail', ...Object.keys(DIFF_WORDS)].join(' ')}`];
      }
      if (ui.lower !== before.lower) return controller.text(ui.lower).map(textOf);
      return ui.message === undefined || ui.cursor !== before.cursor ? here() : [ui.message.text];
    },
    interrupt: () => false,
    close: () => controller.close(),
  };
}
