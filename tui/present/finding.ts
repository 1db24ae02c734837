/** Searches and filters in words: counts, the title of a filtered list, where in a text the hits are. Pure. */
import { isExact } from '../find/complete.ts';
import type { Finder } from '../find/finder.ts';
import { clean, clip, type Span, span } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';

type Counted = Pick<Finder, 'text' | 'hits' | 'done' | 'progress'>;

const percent = (f: Counted): string => `${Math.floor(100 * f.progress)} %`;

/** `3/17 hits` on a hit, `17 hits` elsewhere; while the search goes on, how far it is. */
export function countText(search: Counted | undefined, cursor: number, glyphs: Pick<Glyphs, 'ellipsis'>): string {
  if (search === undefined) return '';
  const { hits, done } = search;
  const on = done && hits.has(cursor) ? `${hits.rank(cursor)}/` : '';
  const count = `${on}${hits.total} ${hits.total === 1 && on === '' ? 'hit' : 'hits'}`;
  return done ? count : `${count}${glyphs.ellipsis} ${percent(search)}`;
}

/** What a list is filtered by and how many events that leaves, for the title of its pane. */
export function filterTitle(filter: Counted | undefined, room: number, glyphs: Pick<Glyphs, 'ellipsis'>): readonly Span[] {
  if (filter === undefined) return [];
  const { hits, done } = filter;
  const count = done ? `(${hits.total} of ${hits.last})` : `(${hits.total}${glyphs.ellipsis} ${percent(filter)})`;
  return [span(`& ${clip(clean(filter.text), Math.max(4, room - count.length), glyphs.ellipsis)}`, 'job'), span(` ${count} `)];
}

/** Where a text has what was searched for. */
export function rangesOf(wanted: string): (text: string) => readonly (readonly [number, number])[] {
  if (wanted === '') return () => [];
  const exact = isExact(wanted);
  const needle = exact ? wanted : wanted.toLowerCase();
  return (text) => {
    const hay = exact ? text : text.toLowerCase();
    // lower case of some letters is longer: then places would not fit
    if (hay.length !== text.length) return [];
    const found: [number, number][] = [];
    for (let at = hay.indexOf(needle); at >= 0; at = hay.indexOf(needle, at + needle.length)) found.push([at, at + needle.length]);
    return found;
  };
}
