/** The keys of the diff view: rows of the keymap, see keymap.ts. */
import type { ActionRow } from '../keymap.ts';

export const DIFF_ROWS = [
  {
    name: 'diff.next',
    group: 'Differences',
    text: 'next difference',
    keys: { diff: ['n', 'J', '] c', '] d'] },
    count: 'times',
    hint: 'difference',
  },
  {
    name: 'diff.previous',
    group: 'Differences',
    text: 'previous difference',
    keys: { diff: ['N', 'K', '[ c', '[ d'] },
    count: 'times',
    hint: 'difference',
  },
  {
    name: 'diff.down',
    group: 'Differences',
    text: 'next row',
    keys: { diff: ['j', 'down', 'ctrl-n', 'ctrl-j'] },
    count: 'times',
    hint: 'row',
  },
  { name: 'diff.up', group: 'Differences', text: 'previous row', keys: { diff: ['k', 'up', 'ctrl-p'] }, count: 'times', hint: 'row' },
  { name: 'diff.pageDown', group: 'Differences', text: 'a page down', keys: { diff: ['pagedown', 'space', 'ctrl-f'] }, count: 'times' },
  { name: 'diff.pageUp', group: 'Differences', text: 'a page up', keys: { diff: ['pageup', 'b', 'ctrl-b'] }, count: 'times' },
  { name: 'diff.halfDown', group: 'Differences', text: 'half a page down', keys: { diff: ['ctrl-d'] }, count: 'times' },
  { name: 'diff.halfUp', group: 'Differences', text: 'half a page up', keys: { diff: ['ctrl-u'] }, count: 'times' },
  {
    name: 'diff.top',
    group: 'Differences',
    text: 'first row; with a count that event of the left trace',
    keys: { diff: ['g g', 'home'] },
    count: 'target',
  },
  {
    name: 'diff.bottom',
    group: 'Differences',
    text: 'last row; with a count that event of the left trace: 1204G',
    keys: { diff: ['G', 'end'] },
    count: 'target',
  },
  { name: 'diff.percent', group: 'Differences', text: 'so far into the rows: 50%', keys: { diff: ['%'] }, count: 'percent' },
  {
    name: 'diff.command',
    group: 'Differences',
    text: 'command: 1204 (left), b 1190 (right), 50%, or an action by name',
    keys: { diff: [':'] },
    hint: 'goto',
  },
  {
    name: 'diff.pane',
    group: 'Differences',
    text: 'below: the events, or both states',
    keys: { diff: ['tab', 's', 'enter'] },
    hint: 'state',
  },
  {
    name: 'diff.scrollDown',
    group: 'Differences',
    text: 'the lower pane a line down',
    keys: { diff: ['d'] },
    count: 'times',
    hint: 'scroll',
  },
  { name: 'diff.scrollUp', group: 'Differences', text: 'the lower pane a line up', keys: { diff: ['u'] }, count: 'times', hint: 'scroll' },
  { name: 'diff.zoom', group: 'Differences', text: 'the rows alone, the lower pane alone, and both', keys: { diff: ['z'] }, hint: 'zoom' },
  { name: 'diff.back', group: 'Differences', text: 'rows and lower pane both again, and the events in that', keys: { diff: ['esc'] } },
  {
    name: 'diff.click',
    group: 'Differences',
    text: 'a row, or the name of a lower pane (Shift selects text)',
    keys: { diff: ['click'] },
  },
  { name: 'diff.wheelDown', group: 'Differences', text: 'what is under the pointer down', keys: { diff: ['wheeldown'] } },
  { name: 'diff.wheelUp', group: 'Differences', text: 'what is under the pointer up', keys: { diff: ['wheelup'] } },
  { name: 'diff.help', group: 'Program', text: 'these keys', keys: { diff: ['?', 'f1'] }, hint: 'help' },
  { name: 'diff.quit', group: 'Program', text: 'quit', keys: { diff: ['q', 'ctrl-c'] }, hint: 'quit' },
] as const satisfies readonly ActionRow[];

export type DiffAction = (typeof DIFF_ROWS)[number]['name'];

export const isDiffAction = (name: string): name is DiffAction => name.startsWith('diff.');
