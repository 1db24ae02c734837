/** The table of keys in the README, out of the keymap. */
import { ACTIONS, type ActionName, keyText } from '../keymap.ts';

/** Rows of the table: actions of one kind are one row, under the text that is given, or the action's own. */
const ROWS: readonly (readonly [actions: readonly ActionName[], text?: string])[] = [
  [['time.step', 'time.reverseStep'], 'next, previous event; everything on the screen follows'],
  [['change.next', 'change.previous'], 'next, previous event that changed the state'],
  [['error.next', 'error.previous'], 'next, previous event that failed'],
  [['search.open', 'search.next', 'search.previous'], 'search as you type; next, previous hit'],
  [['filter.open'], 'only events that match: `errno != 0`, `object == 7`, or any text'],
  [['time.first', 'time.last', 'command.open'], 'first, last event; an event by its number, a time, a percentage'],
  [
    ['object.next', 'object.previous', 'object.birth', 'object.death'],
    'next, previous event of this object; where it was created, where it ends',
  ],
  [['watch.add', 'watch.run', 'watch.back'], 'a condition to watch for; run on to where it is true, run back'],
  [['mark.set', 'mark.goto', 'note.edit', 'history.back'], 'bookmark; go to it; a note, kept with the trace; back to before the jump'],
  [['copy.text', 'copy.why', 'copy.command'], 'copy the event, the why, a command line that leads back here'],
  [['pane.next', 'pane.open', 'pane.zoom'], 'next pane; into the event and back; the pane alone'],
  [['detail.hex'], 'the event as bytes'],
  [['help.open'], 'all keys'],
];

const BEGIN = '<!-- keys: npm run pictures -->\n';
const END = '<!-- end of keys -->';

const keysOf = (name: ActionName): string => {
  const keys = ACTIONS.find((a) => a.name === name)!.keys;
  return `\`${keyText((keys.events ?? keys.main ?? keys.any)![0]!)}\``;
};

function table(): string {
  const rows = ROWS.map(([actions, text]) => [actions.map(keysOf).join(' '), text ?? ACTIONS.find((a) => a.name === actions[0])!.text]);
  const width = (i: number): number => Math.max(...rows.map((r) => r[i]!.length), 4);
  const put = (cells: readonly string[]): string => `| ${cells.map((c, i) => c.padEnd(width(i))).join(' | ')} |\n`;
  return `${put(['keys', 'do'])}| ${[0, 1].map((i) => '-'.repeat(width(i))).join(' | ')} |\n${rows.map(put).join('')}`;
}

/** The README with the table as it is now. Throws where it has no place for it. */
export function keysOfReadme(readme: string): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the README has no ${BEGIN.trim()} … ${END}`);
  return `${readme.slice(0, begin + BEGIN.length)}\n${table()}\n${readme.slice(end)}`;
}
