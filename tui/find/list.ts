/**
 * The events that the list shows, in order: all of them, or those that match a filter and, always, the one under the cursor.
 * Positions are numbers of events; how far one is from another is counted only as far as a page goes.
 */
import { type Hits, type Nearest, UNKNOWN } from './hits.ts';

export interface EventList {
  /** the event so many rows further down (up, where negative); as far as the list is known */
  move(seq: number, by: number): number;
  /** rows above and below an event, at most `most` */
  above(seq: number, most: number): number;
  below(seq: number, most: number): number;
}

export function wholeList(first: number, last: number): EventList {
  return {
    move: (seq, by) => Math.max(first, Math.min(last, seq + by)),
    above: (seq, most) => Math.min(most, seq - first),
    below: (seq, most) => Math.min(most, last - seq),
  };
}

export function filteredList(hits: Hits): EventList {
  const step = (seq: number, direction: 1 | -1): number | undefined => {
    const next: Nearest = hits.next(seq, direction);
    return next === UNKNOWN ? undefined : next;
  };
  const count = (seq: number, direction: 1 | -1, most: number): number => {
    let n = 0;
    for (let at = step(seq, direction); at !== undefined && n < most; at = step(at, direction)) n++;
    return n;
  };
  return {
    move: (seq, by) => {
      let at = seq;
      for (let n = Math.abs(by); n > 0; n--) {
        const next = step(at, by > 0 ? 1 : -1);
        if (next === undefined) break;
        at = next;
      }
      return at;
    },
    above: (seq, most) => count(seq, -1, most),
    below: (seq, most) => count(seq, 1, most),
  };
}

/** Rows from one event of the list to another, negative upwards; `most` or more where they are further apart. */
export function distance(list: EventList, from: number, to: number, most: number): number {
  if (from === to) return 0;
  const direction = to > from ? 1 : -1;
  let at = from;
  for (let n = 1; n < most; n++) {
    const next = list.move(at, direction);
    if (next === at) break;
    at = next;
    if (direction === 1 ? at >= to : at <= to) return n * direction;
  }
  return most * direction;
}

/** The numbers of a page: `rows` events, of which `cursor` is the one in row `row`. */
export function pageOfList(list: EventList, cursor: number, row: number, rows: number): number[] {
  const page = [cursor];
  for (let at = cursor; page.length <= row; ) {
    const next = list.move(at, -1);
    if (next === at) break;
    page.unshift(next);
    at = next;
  }
  for (let at = cursor; page.length < rows; ) {
    const next = list.move(at, 1);
    if (next === at) break;
    page.push(next);
    at = next;
  }
  return page;
}
