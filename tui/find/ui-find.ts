/**
 * The part of the screen's state that has to do with finding: what is searched for, what the list is filtered by, the prompt
 * that changes either while it is typed in. Pure, as ui-state.ts is, which it is a slice of.
 */
import type { Prompt } from '../prompt.ts';
import { type Completion, completionAt } from './complete.ts';
import type { EventList } from './list.ts';

export interface Finding {
  /** the text of `/`; '' none */
  readonly search: string;
  /** hits of the search are marked */
  readonly marked: boolean;
  /** the text of `&`; '' none */
  readonly filter: string;
  /** the cursor has been put somewhere and belongs on the nearest event of the list: 1 downwards, -1 upwards; 0 it stays */
  readonly snap: 1 | -1 | 0;
  /** where the cursor was when the prompt was opened */
  readonly anchor: { readonly cursor: number; readonly cursorRow: number } | undefined;
  readonly completion: Completion | undefined;
}

export const NO_FINDING: Finding = { search: '', marked: false, filter: '', snap: 0, anchor: undefined, completion: undefined };

/** What the reducer asks about finding. */
export interface FindFacts {
  readonly list: EventList;
  /** what is wrong with a text for `&` */
  wrong(text: string): string | undefined;
  /** what Tab completes */
  readonly words: readonly string[];
  /** the event at a column of the overview */
  stripSeq(x: number): number | undefined;
  /** the event so many columns with events further on from where an event is */
  stripStep(seq: number, by: number): number | undefined;
}

interface Prompted {
  readonly prompt: Prompt | undefined;
  readonly find: Finding;
}

/** What is searched for now: what is being typed, else what was. */
export function searchOf({ prompt, find }: Prompted): string {
  if (prompt?.kind === 'search' && prompt.text.trim() !== '') return prompt.text.trim();
  return find.marked ? find.search : '';
}

/** What the list is filtered by now. An empty prompt shows the whole list: accepted it takes the filter away. */
export function filterOf({ prompt, find }: Prompted): string {
  return prompt?.kind === 'filter' ? prompt.text.trim() : find.filter;
}

/** Tab: the next word that fits. */
export function complete(prompt: Prompt, find: Finding, words: readonly string[]): Prompted & { readonly prompt: Prompt } {
  const now = find.completion ?? completionAt(prompt.text, prompt.cursor, words);
  if (now === undefined) return { prompt, find };
  const index = (now.index + 1) % now.words.length;
  const word = [...now.words[index]!];
  const text = [...prompt.text];
  const all = [...text.slice(0, now.start), ...word, ...text.slice(prompt.cursor)];
  return {
    prompt: { ...prompt, text: all.join(''), cursor: now.start + word.length },
    find: { ...find, completion: { ...now, index } },
  };
}
