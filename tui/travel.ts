/**
 * The part of the screen's state that is about going from place to place: where one has been, what is chosen and followed, the
 * watches, the speed of play. Pure, as is the rest of ui-state.ts; what must be written somewhere is put down as a request.
 */

import type { CopyWhat } from './copy.ts';
import type { ActionName } from './keymap.ts';
import type { Prompt } from './prompt.ts';
import type { Aim, Along, Arrival, Subject, Trip, Watch } from './trips.ts';
import type { When } from './when.ts';

/** What the program does outside of the screen's state, once for each id. */
export type Request =
  | { readonly kind: 'mark'; readonly name: string; readonly seq: number }
  | { readonly kind: 'unmark'; readonly names: readonly string[] }
  | { readonly kind: 'note'; readonly seq: number; readonly text: string }
  | { readonly kind: 'copy'; readonly text: string };

export interface Travel {
  /** places that were left by a jump, oldest first; and those that were left by going back, nearest last */
  readonly past: readonly number[];
  readonly future: readonly number[];
  /** key of the line of Objects that is chosen */
  readonly object: string | undefined;
  /** which of the references in Detail is chosen, from 0; -1 none */
  readonly link: number;
  /** what was followed to the event `at` */
  readonly follow: { readonly subject: Subject; readonly at: number } | undefined;
  readonly watches: readonly Watch[];
  /** id of the last watch */
  readonly watchIds: number;
  readonly playing: boolean;
  /** place in SPEEDS */
  readonly speed: number;
  readonly request: { readonly id: number; readonly request: Request } | undefined;
}

/** What travelling must know of the world. */
export interface TravelFacts {
  mark(name: string): number | undefined;
  /** names of the bookmarks of an event */
  marksAt(seq: number): readonly string[];
  note(seq: number): string | undefined;
  /** what is wrong with a condition, in one line */
  mistake(condition: string): string | undefined;
  /** the event of a time; a text says why there is none */
  when(when: When, cursor: number): number | string;
  /** keys of the lines of Objects; undefined for a line that is no node */
  objects(): readonly (string | undefined)[];
  /** events that Detail refers to, with their lines */
  links(): readonly { readonly seq: number; readonly line: number }[];
}

/** How often the recorded time passes in ours. */
export const SPEEDS = [0.01, 0.1, 0.5, 1, 2, 10, 100, 1000] as const;
const NORMAL = SPEEDS.indexOf(1);
/** Places that are remembered. */
const PLACES = 200;
const WATCHES = 9;

export const NO_TRAVEL: Travel = {
  past: [],
  future: [],
  object: undefined,
  link: -1,
  follow: undefined,
  watches: [],
  watchIds: 0,
  playing: false,
  speed: NORMAL,
  request: undefined,
};

export const speedText = (t: Travel): string => `×${SPEEDS[t.speed] === 0.5 ? '½' : SPEEDS[t.speed]}`;

/** A jump was made from `from`: what lay ahead is forgotten. */
export function left(t: Travel, from: number): Travel {
  const past = t.past.at(-1) === from ? t.past : [...t.past, from].slice(-PLACES);
  return { ...t, past, future: [] };
}

/** So many places back (-1) or forward (1) in what was visited; undefined where there is none. */
export function revisit(
  t: Travel,
  here: number,
  direction: 1 | -1,
  times: number,
): { readonly to: number; readonly travel: Travel } | undefined {
  let [past, future, at] = [t.past, t.future, here];
  for (let n = 0; n < times; n++) {
    const source = direction === -1 ? past : future;
    const to = source.at(-1);
    if (to === undefined) break;
    if (direction === -1) [past, future] = [past.slice(0, -1), [...future, at]];
    else [past, future] = [[...past, at], future.slice(0, -1)];
    at = to;
  }
  return past === t.past && future === t.future ? undefined : { to: at, travel: { ...t, past, future } };
}

export function ask(t: Travel, request: Request): Travel {
  return { ...t, request: { id: (t.request?.id ?? 0) + 1, request } };
}

/** Adds a watch; the oldest goes where there are too many. */
export function watching(t: Travel, text: string): Travel {
  const id = t.watchIds + 1;
  return { ...t, watchIds: id, watches: [...t.watches.filter((w) => w.text !== text), { id, text }].slice(-WATCHES) };
}

/** Actions that leave no place to come back to: they go through the log step by step, or back to a place. */
export const isStep = (action: ActionName): boolean =>
  action === 'time.step' || action === 'time.reverseStep' || /^time\..*Page/.test(action) || action.startsWith('history.');

const ALONG: readonly Along[] = ['object', 'thread', 'process', 'register', 'call'];

/** The trip that an action asks for: undefined for actions that ask for none. */
export function aimOf(
  action: ActionName,
  t: Travel,
  cursor: number,
  inObjects: boolean,
): { readonly aim: Aim; readonly direction: 1 | -1 } | undefined {
  const key = inObjects ? t.object : undefined;
  const [about, what = ''] = action.split('.') as [string, string];
  const along = ALONG.find((a) => a === about);
  if (along !== undefined && (what === 'next' || what === 'previous')) {
    const goesOn = t.follow !== undefined && t.follow.at === cursor && t.follow.subject.along === along && key === undefined;
    const follow = goesOn ? t.follow?.subject : undefined;
    return { aim: { to: 'along', along, key: along === 'object' ? key : undefined, follow }, direction: what === 'next' ? 1 : -1 };
  }
  if (action === 'object.birth' || action === 'object.death') {
    return { aim: { to: what === 'birth' ? 'birth' : 'death', key }, direction: what === 'birth' ? -1 : 1 };
  }
  if (about === 'copy') return { aim: { to: 'copy', what: what as CopyWhat }, direction: 1 };
  return undefined;
}

/** Is it the same trip, to be gone once more? */
export function sameTrip(job: { readonly kind: string } | undefined, aim: Aim, direction: 1 | -1): job is Trip {
  if (job?.kind !== 'travel') return false;
  const other = job as Trip;
  if (other.direction !== direction || other.aim.to !== aim.to) return false;
  if (aim.to === 'along' && other.aim.to === 'along') return aim.along === other.aim.along && aim.key === other.aim.key;
  return aim.to === 'watch';
}

/** What a trip brought beside the place. */
export function arrived(t: Travel, arrival: Arrival, cursor: number): Travel {
  const followed = arrival.follow === undefined ? t : { ...t, follow: { subject: arrival.follow, at: cursor } };
  return arrival.copy === undefined ? followed : ask(followed, { kind: 'copy', text: arrival.copy });
}

/** The line of Objects that is chosen when one goes so many lines from the one that is; undefined where there are none. */
export function choose(
  keys: readonly (string | undefined)[],
  now: string | undefined,
  top: number,
  by: number,
): { readonly key: string; readonly line: number } | undefined {
  const nodes = keys.flatMap((key, line) => (key === undefined ? [] : [{ key, line }]));
  const at = nodes.findIndex((n) => n.key === now);
  if (at >= 0) return nodes[Math.max(0, Math.min(nodes.length - 1, at + by))];
  return nodes.find((n) => n.line >= top) ?? nodes.at(-1);
}

/** Prompts that travelling opens. */
export type TravelPrompt = Extract<Prompt['kind'], 'watch' | 'note'>;
