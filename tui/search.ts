/**
 * Searches through the log that may last: generators that give time back after a few milliseconds of work. A value they
 * yield is how far they are (0 to 1); what they return is the event they were looking for.
 */
import type { SqlValue } from '../store/read.ts';
import type { Finder } from './find/finder.ts';
import { type Nearest, UNKNOWN } from './find/hits.ts';
import type { TraceModel } from './model.ts';
import type { Job } from './ui.ts';

/** How far a search is, from 0 to 1. */
export type Search = Generator<number, number | undefined, void>;

/** Milliseconds of work between two yields. */
const PATIENCE = 4;
/** Steps between two looks at the clock. */
const STEPS = 64;
/** Events of one query, where nothing says in which chunks to look. */
const SPAN = 100_000;

/** Who knows the matches of the search and of the filter. */
export interface MatchSets {
  readonly search: Finder | undefined;
  readonly filter: Finder | undefined;
}

/** Runs a job. `times` is asked again and again: the key may be pressed while the search runs. */
export function search(model: TraceModel, job: Job, times: () => number, sets: MatchSets): Search {
  switch (job.kind) {
    case 'change':
      return findChange(model, job.from, job.direction, times);
    case 'error':
      return findRows(model, job.from, job.direction, times, { where: 'errno <> 0', params: [], failed: true });
    case 'search':
      return findHits(job.from, job.direction, times, job.text, sets);
    default:
      return job.kind satisfies never;
  }
}

/** Deadlines: `over()` is true when it is time to yield. */
function patience(): { over(): boolean; again(): void } {
  let end = performance.now() + PATIENCE;
  let count = 0;
  return {
    over: () => ++count % STEPS === 0 && performance.now() > end,
    again: () => {
      end = performance.now() + PATIENCE;
    },
  };
}

function* findChange(model: TraceModel, from: number, direction: 1 | -1, times: () => number): Search {
  while (!model.approach(from, performance.now() + PATIENCE)) yield model.at / Math.max(1, from);
  const clock = patience();
  const total = Math.max(1, direction === 1 ? model.last - from : from);
  let seen = 0;
  let found: number | undefined;
  while (direction === 1 ? model.at < model.last : model.at > 0) {
    // backwards, the event whose changes are taken back is the one that the state included last
    const at = model.at;
    if (direction === -1 && model.timeline.distance(at) > 0) {
      model.timeline.rewind();
      while (!model.approach(at, performance.now() + PATIENCE)) yield Math.abs(at - from) / total;
    }
    const changes = direction === 1 ? model.step() : model.timeline.reverseStep();
    const seq = direction === 1 ? model.at : at;
    if (changes.length > 0 && seq !== from) {
      found = seq;
      if (++seen >= times()) return found;
    }
    if (clock.over()) {
      yield Math.abs(model.at - from) / total;
      clock.again();
    }
  }
  return found;
}

interface Rows {
  readonly where: string;
  readonly params: readonly SqlValue[];
  readonly failed?: boolean;
}

/** By the index: span after span, so that no query lasts. */
function* findRows(model: TraceModel, from: number, direction: 1 | -1, times: () => number, rows: Rows): Search {
  const last = direction === 1 ? model.last : 1;
  let seen = 0;
  let found: number | undefined;
  for (let at = from + direction; direction === 1 ? at <= last : at >= last; ) {
    const to = direction === 1 ? Math.min(last, at + SPAN - 1) : Math.max(last, at - SPAN + 1);
    const hits = model.reader.select(rows.where, rows.params, {
      from: at,
      to,
      limit: Math.max(1, times() - seen),
      direction: direction === 1 ? 'forward' : 'backward',
      ...(rows.failed === true ? { failed: true } : {}),
    });
    seen += hits.length;
    found = hits.at(-1)?.seq ?? found;
    if (seen >= times()) return found;
    at = hits.length > 0 && times() > seen ? found! + direction : to + direction;
    yield Math.min(1, Math.abs(at - from) / Math.max(1, Math.abs(last - from)));
  }
  return found;
}

/** Among the matches that are known; where that is not enough they are looked for, here first. What a filter hides is no match. */
function* findHits(from: number, direction: 1 | -1, times: () => number, text: string, sets: MatchSets): Search {
  let seen = 0;
  let found: number | undefined;
  for (let at = from; ; ) {
    const { search, filter } = sets;
    if (search === undefined || search.text !== text) return found;
    const next = nextOf(search, filter, at, direction);
    if (next === undefined) return found;
    if (next === UNKNOWN) {
      const started = search.progress;
      search.focus = at + direction;
      if (filter !== undefined && !filter.done) {
        filter.focus = at + direction;
        filter.work(performance.now() + PATIENCE / 2);
      }
      search.work(performance.now() + PATIENCE);
      yield Math.max(started, search.progress);
      continue;
    }
    at = next;
    found = next;
    if (++seen >= times()) return found;
  }
}

function nextOf(search: Finder, filter: Finder | undefined, from: number, direction: 1 | -1): Nearest {
  for (let at = from; ; ) {
    const next = search.hits.next(at, direction);
    if (typeof next !== 'number' || filter === undefined || filter.hits.has(next)) return next;
    if (!filter.hits.isKnown(next)) return UNKNOWN;
    at = next;
  }
}
