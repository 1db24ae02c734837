/** `show`: the events, decoded. */
import { existsSync } from 'node:fs';
import { type EventLike, eventText, type TextOptions, type TextStyle } from '../../hw/event-text.ts';
import { secondsText, tookText } from '../../hw/time-text.ts';
import { accessPlace } from '../../replayer/access-place.ts';
import { and, type Query } from '../../replayer/query.ts';
import { queueTypeOf } from '../../replayer/query-records.ts';
import { asksState } from '../../replayer/query-state.ts';
import type { SessionState } from '../../replayer/state.ts';
import type { Timeline } from '../../replayer/timeline.ts';
import { Kind } from '../../store/frame.ts';
import { looksLikeCallset, parseCallset } from './callset.ts';
import type { Options, Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { eventJson } from './event-json.ts';
import { eachEvent, queryOption, type SelectedEvent, timelineOf } from './events.ts';
import { hexDump } from './hex.ts';
import { Notes, notedLines } from './notes.ts';
import { type Out, type Piece, Progress, paint } from './output.ts';
import { typeOfId } from './resolve.ts';
import { countOf, newestTrace, type Opened, openTrace } from './trace.ts';

/** `show [TRACE] [CALLSET]`: both may be left out. */
function argumentsOf(args: readonly string[]): { path: string; callset: string | undefined } {
  const [first, second] = args;
  if (first === undefined) return { path: newestTrace(), callset: undefined };
  if (second === undefined && looksLikeCallset(first) && !existsSync(first)) return { path: newestTrace(), callset: first };
  return { path: first, callset: second };
}

function styleOf(options: Options): TextStyle {
  const given = (['full', 'verbose', 'raw'] as const).filter((style) => options[style] === true);
  if (given.length > 1) throw new UsageError(`show: --${given[0]} and --${given[1]} do not go together`);
  return given[0] ?? 'abbrev';
}

/** How the time column is made: since the start, of day, or since the line before. */
function timeColumn(options: Options, opened: Opened, style: TextStyle): TextOptions['time'] {
  if (options.absTime === true && options.relative === true) throw new UsageError('show: --abs-time and --relative do not go together');
  const { realtimeNs, monotonicNs } = opened.meta.clock;
  const digits = style === 'full' || style === 'verbose' ? 9 : 6;
  const took = (e: EventLike): string => (e.tExit === 0n ? '' : `+${tookText(e.tExit - e.tEnter)}`);
  if (options.absTime === true) return (e) => `${timeOfDay(realtimeNs + e.tEnter - monotonicNs, digits)}${took(e)}`;
  if (options.relative !== true) return undefined;
  let previous: bigint | undefined;
  return (e) => {
    const text = secondsText(previous === undefined ? 0n : e.tEnter - previous, digits);
    previous = e.tEnter;
    return `${text}${took(e)}`;
  };
}

const DAY = 86_400_000_000_000n;

/** `14:03:59.123456`, UTC. */
function timeOfDay(ns: bigint, digits: number): string {
  const inDay = ((ns % DAY) + DAY) % DAY;
  const two = (n: bigint): string => n.toString().padStart(2, '0');
  const seconds = inDay / 1_000_000_000n;
  const fraction = secondsText(inDay % 1_000_000_000n, digits).slice(1);
  return `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}${fraction}`;
}

interface Shown {
  readonly opened: Opened;
  readonly out: Out;
  readonly text: TextOptions;
  readonly hex: boolean;
  /** what an event changed, in words; nothing where nobody asks */
  readonly changes: (event: SelectedEvent) => readonly string[];
  /** bookmarks and notes, where somebody asks */
  readonly notes: Notes | undefined;
}

/** How an event of a trace is printed. `before`: the state just before it, where somebody folds. */
export function eventStyle(
  opened: Opened,
  before: () => SessionState | undefined,
  { style, resolve, full }: { readonly style: TextStyle; readonly resolve: boolean; readonly full: boolean },
): TextOptions {
  return {
    table: opened.table,
    style,
    start: opened.meta.clock.monotonicNs,
    machine: opened.meta.machine,
    errorText: true,
    entered: (seq) => opened.reader.frame(seq),
    annotate: resolve ? (e, field, id) => typeOfId(before(), e, field, id, { table: opened.table, full }) : undefined,
    queueType: (e) => queueTypeOf(before(), e.file),
    place: (e) => (e.kind === Kind.MMIO || e.kind === Kind.QUEUE ? accessPlace(before(), e) : undefined),
  };
}

const CALL_NAME = /^(ioctl\([^,]*, )?([A-Za-z_]\w*)/;

/** The line in colours: the call's name, errors, remarks. */
export function eventPieces(event: EventLike, text: TextOptions): Piece[] {
  const t = eventText(event, text);
  const match = CALL_NAME.exec(t.call);
  const head = match?.[1] ?? '';
  const name = match?.[2] ?? '';
  const line: Piece[] = [
    `${t.seq} `,
    paint('dim', t.time),
    ` ${t.who} ${head}`,
    paint('call', name),
    t.call.slice(head.length + name.length),
  ];
  if (t.result !== '') line.push(' ', event.error !== 0 ? paint('error', t.result) : t.result);
  if (t.notes !== '') line.push(' ', paint('dim', t.notes));
  return line;
}

/** First words of what an event changed → how it looks. */
const VERBS: readonly (readonly [RegExp, 'created' | 'destroyed'])[] = [
  [/^(creates|infers|begins|opens|maps|pins)\b/, 'created'],
  [/^(destroys|buries|ends|closes|unmaps|unpins|releases)\b/, 'destroyed'],
];
const MARKS = { created: '+', destroyed: '-', changed: '~' } as const;

function changeLine(text: string): Piece {
  const style = VERBS.find(([verb]) => verb.test(text))?.[1] ?? 'changed';
  return paint(style, `${MARKS[style]} ${text}`);
}

function showText(s: Shown, event: SelectedEvent): void {
  s.out.line(...eventPieces(event.frame, s.text));
  if (s.notes !== undefined) for (const text of notedLines(s.notes.at(event.seq))) s.out.line('    ', paint('changed', text));
  if (s.hex) for (const line of hexDump(event.frame.parts)) s.out.line('    ', paint('dim', line));
  for (const text of s.changes(event)) s.out.line('    ', changeLine(text));
}

/** The events to print, in order; `--last` reads backwards from the end. */
function* chosen(
  opened: Opened,
  query: Query,
  options: Options,
  timeline: Timeline | undefined,
  progress: Progress,
): Generator<SelectedEvent> {
  const last = countOf('--last', options.last as string | undefined, 1);
  const limit = countOf('--limit', options.limit as string | undefined, 0);
  let from: Query = { op: 'all' };
  if (last !== undefined) {
    const first = startOfLast(opened, query, last, timeline);
    from = { op: 'column', column: 'seq', comparison: '>=', value: BigInt(first) };
  }
  let left = limit ?? Number.POSITIVE_INFINITY;
  if (left === 0) return;
  for (const event of eachEvent(opened, and(from, query), { timeline, progress, rows: options.json === true })) {
    yield event;
    if (--left === 0) return;
  }
}

/** Number of the event with which the last `n` matches begin. */
function startOfLast(opened: Opened, query: Query, n: number, timeline: Timeline | undefined): number {
  if (!asksState(query, opened.table)) {
    let [seen, first] = [0, 1];
    for (const event of eachEvent(opened, query, { backward: true })) {
      first = event.seq;
      if (++seen === n) break;
    }
    return first;
  }
  const ring: number[] = [];
  for (const event of eachEvent(opened, query, { timeline })) {
    ring.push(event.seq);
    if (ring.length > 2 * n) ring.splice(0, ring.length - n);
  }
  return ring.at(-n) ?? ring[0] ?? 1;
}

export const run: Run = async (args, options, io) => {
  const { path, callset } = argumentsOf(args);
  if (args[0] === undefined || args[0] === callset) io.note(`showing ${path}`);
  const opened = openTrace(path);
  const style = styleOf(options);
  const json = options.json === true;
  const notes = options.notes === true ? new Notes(opened.reader) : undefined;
  if (notes?.trouble !== undefined) io.note(notes.trouble);
  const asked = and(callset === undefined ? { op: 'all' } : parseCallset(callset), queryOption(options, opened) ?? { op: 'all' });
  const query = and(notes?.query ?? { op: 'all' }, asked);
  const resolve = options.resolve !== false && style !== 'raw';
  const timeline = options.changes === true || resolve || asksState(query, opened.table) ? timelineOf(opened) : undefined;
  const changes = options.changes === true ? await changeWords(timeline) : () => [];
  const out = io.out(options.pager !== false && !json);
  const progress = new Progress('searching');
  let current: SelectedEvent | undefined;
  const before = (): SessionState | undefined => current?.before;
  const text: TextOptions = {
    ...eventStyle(opened, before, { style, resolve, full: options.resolve === true }),
    time: timeColumn(options, opened, style),
  };
  const shown: Shown = { opened, out, text, hex: options.hex === true, changes, notes };
  let lines = 0;
  for (const event of chosen(opened, query, options, timeline, progress)) {
    current = event;
    progress.done();
    if (json)
      out.json({ ...eventJson(event, opened, text, options.changes === true ? changes(event) : undefined), ...notes?.at(event.seq) });
    else showText(shown, event);
    if (++lines % 256 === 0) await out.drain();
  }
  progress.done();
  opened.reader.close();
  return 0;
};

async function changeWords(timeline: Timeline | undefined): Promise<(event: SelectedEvent) => readonly string[]> {
  const { changesText, namesFor } = await import('../../replayer/words.ts');
  return (event) => {
    const { changes } = event;
    return timeline === undefined ? [] : changesText(changes, namesFor(timeline.state, changes));
  };
}
