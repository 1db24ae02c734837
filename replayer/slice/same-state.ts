/**
 * Whether two states are the same but for what numbers events and contexts happen to have, and for what is history: objects and
 * processes that have ended, other than tombstones.
 */
import { type Json, stateBody } from '../json.ts';
import type { SessionState } from '../state.ts';

/** What number of the other session an event has; undefined: it is not there. */
export type Numbering = (seq: number) => number | undefined;

/** Keys whose numbers are events. */
const EVENTS = new Set(['birth', 'createdAt', 'seq', 'call', 'end', 'sampled', 'since']);
/** Keys whose numbers are contexts, and files that the recorder did not number. */
const ORDERED = new Set(['context', 'file', 'holds']);
/** Of what has ended. */
const HISTORY = new Set(['ended']);

/** A state without history, its events by `numbers`, contexts and unnumbered files by their order. */
export function comparable(state: SessionState, numbers: Numbering): Json {
  const body = stateBody(state);
  const contexts = rank([...state.contexts.keys()].sort((a, b) => a - b));
  const files = rank([...state.files.keys()].filter((n) => n < 0).sort((a, b) => b - a));
  const walk = (value: Json, key: string): Json => {
    if (typeof value === 'number') {
      if (EVENTS.has(key)) return value === 0 ? 0 : (numbers(value) ?? -1);
      // an address space that its process has left is called by the event
      if ((key === 'memory' || key === 'pid') && value < 0) return -(numbers(-value) ?? 0);
      if (key === 'context') return contexts.get(value) ?? 0;
      return ORDERED.has(key) && value < 0 ? -(files.get(value) ?? 0) : value;
    }
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) return (value as readonly Json[]).filter((one) => !isOver(one)).map((one) => walk(one, key));
    const entries = Object.entries(value as { readonly [key: string]: Json }).filter(([name]) => !HISTORY.has(name));
    return Object.fromEntries(entries.map(([name, one]) => [name, walk(one, name)]));
  };
  return walk(body, '');
}

const isOver = (value: Json): boolean => typeof value === 'object' && value !== null && (value as { readonly live?: Json }).live === false;

const rank = (numbers: readonly number[]): Map<number, number> => new Map(numbers.map((n, i) => [n, i + 1]));

/** `numbers`: of events of the first in the second. */
export function sameState(a: SessionState, b: SessionState, numbers: Numbering): boolean {
  return JSON.stringify(comparable(a, numbers)) === JSON.stringify(comparable(b, (seq) => seq));
}
