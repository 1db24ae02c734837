/** The event list: rows of a window of events, in columns that suit the pane's width. Pure. */
import type { Lane } from '../lanes.ts';
import { cells, clip, type Line, line, pad, padLeft, type Span, span } from '../term/text.ts';
import { type Glyphs, type Theme, type Token, toAscii } from '../term/theme.ts';
import type { Effect } from './effects.ts';
import type { ListedEvent } from './event.ts';

export interface ListInput {
  readonly events: readonly ListedEvent[];
  readonly effects: (seq: number) => Effect | undefined;
  /** one cell that stands for the bookmark or the note of an event */
  readonly bookmark?: (seq: number) => string | undefined;
  readonly cursor: number;
  readonly focused: boolean;
  /** highest seq of the log: how wide the numbers are */
  readonly last: number;
  /** the lane of an event; undefined: there is one lane alone */
  readonly lane: ((e: ListedEvent) => Lane | undefined) | undefined;
  readonly time: (e: ListedEvent) => string;
  readonly width: number;
  readonly theme: Theme;
  /** is the event a hit of the search, and which parts of a text are what was searched for */
  readonly hit?: (seq: number) => boolean;
  readonly ranges?: (text: string) => readonly (readonly [from: number, to: number])[];
}

/** Widths in cells; 0: the column is not shown. */
export interface Columns {
  readonly seq: number;
  readonly time: number;
  readonly lane: number;
  /** of the lane's number */
  readonly who: number;
  readonly call: number;
  readonly args: number;
  readonly result: number;
}

/** Marks in front of a row: cursor, error or change, a bookmark or what the hardware tells. */
const GUTTER = 3;

/** The most that names of calls and results get, by the width of the pane. */
const MOST = [
  { below: 48, call: 12, result: 10 },
  { below: 64, call: 16, result: 16 },
  { below: 84, call: 18, result: 22 },
  { below: Infinity, call: 26, result: 24 },
] as const;

/** Columns of a pane; the narrower it is, the fewer. What is left goes to the arguments; those may reach into what the result leaves free. */
export function columnsOf({ width, events, last, lane, time: timeOf }: ListInput): Columns {
  const seq = Math.max(4, String(last).length);
  const longest = (text: (e: ListedEvent) => string): number => events.reduce((n, e) => Math.max(n, cells(text(e))), 0);
  const time = width < 64 ? 0 : longest(timeOf);
  const who = width < 84 || lane === undefined ? 0 : longest((e) => String(lane(e)?.number ?? ''));
  const lanes = lane === undefined ? 0 : 1;
  const most = MOST.find((m) => width < m.below)!;
  const longestCall = longest((e) => e.call);
  const call = Math.min(Math.max(14, longestCall), most.call);
  const { result } = most;
  const fixed = GUTTER + [seq, time, lanes, who, call, result].reduce((n, w) => n + (w === 0 ? 0 : w + 1), 0);
  return { seq, time, lane: lanes, who, call, args: Math.max(0, width - fixed), result };
}

export function eventRows(input: ListInput): Line[] {
  const columns = columnsOf(input);
  return input.events.map((e) => eventRow(input.theme.ascii ? inAscii(e) : e, columns, input));
}

/** Beforehand: an arrow or an ellipsis becomes longer, and the columns must know. */
function inAscii(e: ListedEvent): ListedEvent {
  return { ...e, call: toAscii(e.call), args: toAscii(e.args), result: toAscii(e.result) };
}

function eventRow(e: ListedEvent, columns: Columns, input: ListInput): Line {
  const {
    effects,
    bookmark,
    cursor,
    focused,
    lane: laneOf,
    time,
    theme: { glyphs },
    hit,
    ranges,
  } = input;
  const here = e.seq === cursor;
  const effect = effects(e.seq);
  const cell = (text: string, width: number, token?: Token): Span[] =>
    width === 0 ? [] : [span(pad(text, width, glyphs.ellipsis), here ? undefined : token), span(' ')];
  const result = resultSpan(e, effect, columns.result, here, glyphs);
  // long arguments get what a short result leaves; the result then stands at the right edge
  const args = cells(e.args) <= columns.args ? columns.args : columns.args + columns.result - cells(result.text);
  const number = padLeft(String(e.seq), columns.seq, glyphs.ellipsis);
  const isHit = hit?.(e.seq) ?? false;
  const letter = bookmark?.(e.seq);
  const sign = letter === undefined ? hardwareMark(e, effect, here, glyphs) : span(letter, here ? undefined : 'title');
  const lane = laneOf?.(e);
  const spans: Span[] = [
    span(here ? glyphs.cursor : ' '),
    mark(e, effect, here, glyphs),
    ...(isHit ? marked(sign, number) : [sign, span(`${number} `)]),
    ...cell(padLeft(time(e), columns.time, glyphs.ellipsis), columns.time, 'dim'),
    ...cell(lane?.letter ?? ' ', columns.lane, lane?.token),
    ...cell(String(lane?.number ?? ''), columns.who, 'dim'),
    ...cell(e.call, columns.call, 'call'),
    ...cell(e.args, args),
    result,
  ];
  const shown = isHit && ranges !== undefined ? spans.flatMap((s) => highlighted(s, ranges)) : spans;
  return here ? { ...line(...shown), fill: focused ? 'cursor' : 'cursorPassive' } : line(...shown);
}

/** The number of an event that the search has hit: what was searched for may stand in what the row has no room for. */
function marked(sign: Span, number: string): Span[] {
  const blanks = number.length - number.trimStart().length;
  return [sign, span(' '.repeat(blanks)), span(number.trimStart(), 'hit'), span(' ')];
}

/** A span with what was searched for in another style. */
function highlighted(s: Span, ranges: NonNullable<ListInput['ranges']>): Span[] {
  if (s.token === 'hit') return [s];
  const out: Span[] = [];
  let at = 0;
  for (const [from, to] of ranges(s.text)) {
    if (from > at) out.push({ ...s, text: s.text.slice(at, from) });
    out.push(span(s.text.slice(from, to), 'hit'));
    at = to;
  }
  if (at < s.text.length) out.push({ ...s, text: s.text.slice(at) });
  return out;
}

function mark(e: ListedEvent, effect: Effect | undefined, here: boolean, glyphs: Glyphs): Span {
  if (e.outcome === 'error') return span(glyphs.error, here ? undefined : 'error');
  if (effect === undefined) return span(' ');
  return span(glyphs[effect.mark], here ? undefined : effect.mark);
}

/** Beside the mark of the call: what it has to do with the hardware. */
function hardwareMark(e: ListedEvent, effect: Effect | undefined, here: boolean, glyphs: Glyphs): Span {
  const mark = effect?.fault === true ? 'fault' : e.hardware;
  if (mark === undefined) return span(' ');
  return span(glyphs.signs[mark], here ? undefined : mark === 'fault' ? 'error' : 'hardware');
}

/** A refusal by its name; else what the call did, where that says more than its 0. */
function resultSpan(e: ListedEvent, effect: Effect | undefined, width: number, here: boolean, glyphs: Glyphs): Span {
  if (e.outcome === 'error') return span(clip(`= ${e.result}`, width, glyphs.ellipsis), here ? undefined : 'error');
  const words = effect?.words ?? [];
  const text = words.find((w) => cells(w) <= width) ?? words.at(-1) ?? e.result;
  const token: Token | undefined = words.length === 0 ? undefined : effect?.mark;
  return span(clip(text, width, glyphs.ellipsis), here ? undefined : token);
}
