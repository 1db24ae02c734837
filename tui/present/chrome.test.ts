import { describe, expect, test } from 'vitest';
import type { Hint } from '../keymap.ts';
import { ALWAYS, layout, PANES } from '../layout.ts';
import { line, span } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { textOf } from '../testing.ts';
import { headerLine, hintsLine, paneRows, paneTitle, statusLine } from './chrome.ts';

const theme = makeTheme(false, false);
/** What a person reads: without attributes. */
const bare = (row: string): string => row.replace(/\x1b\[[0-9;]*m/g, '');

test('frames: heavy around the focus, with title and footer', () => {
  const content = { title: line(span(' Events ')), lines: [line('one'), line('two, which is too long')], footer: ' 1 of 9 ', stale: false };
  const rows = (focused: boolean, ascii = false): string =>
    paneRows(20, 5, { ...content, focused }, makeTheme(false, ascii))
      .map(bare)
      .join('\n');
  expect(rows(true)).toBe(
    ['┏━ Events ━━━━━━━━━┓', '┃one               ┃', '┃two, which is too…┃', '┃                  ┃', '┗━━━━━━━━━ 1 of 9 ━┛'].join('\n'),
  );
  expect(rows(false).slice(0, 20)).toBe('┌─ Events ─────────┐');
  expect(rows(true, true)).toBe(
    ['#= Events =========#', '#one               #', '#two, which is too>#', '#                  #', '#========= 1 of 9 =#'].join('\n'),
  );
});

test('old content is dim', () => {
  const rows = paneRows(
    10,
    3,
    { title: line(), lines: [line(span('old', 'error'))], footer: '', focused: false, stale: true },
    makeTheme(true, false),
  );
  expect(rows[1]).toContain('\x1b[2mold');
});

test('tabs: the pane that is shown stands in brackets', () => {
  const boxes = (focus: 'events' | 'objects', columns: number, panes = ALWAYS): string[] =>
    layout({ columns, rows: 24, focus, recent: [], zoom: false, panes }).boxes.map((b) => textOf([paneTitle(b)]));
  expect(boxes('events', 80)).toEqual([' 1 Events ', '[2 Detail] 3 Objects  4 Changed ']);
  expect(boxes('objects', 80)).toEqual([' 1 Events ', ' 2 Detail [3 Objects] 4 Changed ']);
  expect(boxes('objects', 50)).toEqual([' 1 Events  2 Detail [3 Objects] 4 Changed ']);
  expect(boxes('objects', 80, PANES)).toEqual([' 1 Events ', ' 2 Detail [3 Objects] 4 Changed  5 Devices  6 CMDQV ']);
  // no room for all the names
  expect(boxes('objects', 50, PANES)).toEqual([' 1  2 [3 Objects] 4  5  6 ']);
});

describe('bars', () => {
  const header = (width: number, warnings: string[] = []): string =>
    bare(headerLine({ file: 'a.irr', facts: ['7.2 x86_64', 'linux-7.2'], warnings, position: 'event 1/9' }, width, theme));
  test('the header leaves out what has no room, warnings last', () => {
    expect(header(60)).toBe(' iommufd-rr  a.irr  7.2 x86_64  linux-7.2         event 1/9 ');
    expect(header(45)).toBe(' iommufd-rr  a.irr  7.2 x86_64     event 1/9 ');
    expect(header(45, ['INCOMPLETE'])).toBe(' iommufd-rr  a.irr  INCOMPLETE     event 1/9 ');
    expect(header(24)).toBe(' iommufd-rr … event 1/9 ');
  });
  test('the right part of the status line stays whole', () => {
    expect(bare(statusLine(line(' a long text that goes on'), ' 12', 20, theme))).toBe(' a long text tha… 12');
    expect(bare(statusLine(line(' x'), '', 5, theme))).toBe(' x   ');
  });
  test('as many hints as fit, and the help in any case', () => {
    const hints: Hint[] = [
      { keys: 'j/k', text: 'step' },
      { keys: 'J/K', text: 'change' },
      { keys: '?', text: 'help' },
      { keys: 'q', text: 'quit' },
    ];
    expect(bare(hintsLine(hints, 60, theme)).trimEnd()).toBe(' j/k step  J/K change  ? help  q quit');
    expect(bare(hintsLine(hints, 24, theme)).trimEnd()).toBe(' j/k step  ? help');
    expect(bare(hintsLine(hints, 9, theme)).trimEnd()).toBe(' ? help');
  });
});
