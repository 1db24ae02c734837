/**
 * What goes on beside the keys and belongs to no job: the overview, the matches of the search, the matches of the filter.
 * Told what the screen wants, it starts, goes on with and drops work; each call works for some milliseconds.
 */

import type { TraceModel } from '../model.ts';
import { type Strip, stepOf, stripOf } from '../strip.ts';
import { layoutOf, type Ui } from '../ui.ts';
import { Finder } from './finder.ts';
import { UNKNOWN } from './hits.ts';
import { type EventList, filteredList, wholeList } from './list.ts';
import { filterNeedle, isCondition, lackingFilter, textNeedle } from './needle.ts';
import { filterOf, searchOf } from './ui-find.ts';

/** A recording that has grown by so much is surveyed again. */
const GROWN = 1.02;

export class Aside {
  readonly #model: TraceModel;
  #width = 0;
  #surveying: Generator<void, Strip, void> | undefined;
  #strip: Strip | undefined;
  #search: Finder | undefined;
  #filter: Finder | undefined;
  /** the filter that was there when the prompt was opened */
  #accepted: Finder | undefined;
  #wrong: string | undefined;

  constructor(model: TraceModel) {
    this.#model = model;
  }

  get strip(): Strip | undefined {
    return this.#strip;
  }
  /** the matches of `/` */
  get search(): Finder | undefined {
    return this.#search;
  }
  /** the matches of `&`; undefined: no filter */
  get filter(): Finder | undefined {
    return this.#filter;
  }
  /** what is wrong with the filter that is being typed */
  get wrong(): string | undefined {
    return this.#wrong;
  }
  get list(): EventList {
    return this.#filter === undefined ? wholeList(this.#model.first, this.#model.last) : filteredList(this.#filter.hits);
  }

  /** The screen as it is now. */
  want(ui: Ui): void {
    const { strip } = layoutOf(ui);
    this.#survey(strip.height === 0 ? 0 : strip.width);
    const [search, filter] = [searchOf(ui), filterOf(ui)];
    if (search !== (this.#search?.text ?? '')) {
      this.#search = search === '' ? undefined : new Finder(this.#model, search, textNeedle(this.#model, search), ui.cursor);
    }
    const typed = ui.prompt?.kind === 'filter';
    if (filter !== (this.#filter?.text ?? '')) this.#filterBy(filter, typed, ui.cursor);
    else this.#wrong = undefined;
    if (!typed) this.#accepted = this.#filter;
    if (this.#search !== undefined) this.#search.focus = ui.cursor;
    if (this.#filter !== undefined) this.#filter.focus = ui.cursor;
  }

  /** A text that is not yet a condition leaves the list as the last condition made it; a plain text was none. */
  #filterBy(text: string, typed: boolean, cursor: number): void {
    const needle = filterNeedle(this.#model, text);
    this.#wrong = needle.kind === 'wrong' ? needle.message : typed ? lackingFilter(this.#model, text) : undefined;
    if (text === '') this.#filter = undefined;
    else if (needle.kind !== 'wrong' && this.#wrong === undefined) this.#filter = new Finder(this.#model, text, needle, cursor);
    else if (typed && (this.#filter === undefined || !isCondition(this.#model, this.#filter.text))) this.#filter = this.#accepted;
  }

  #survey(width: number): void {
    const { last } = this.#model;
    const same = width === this.#width && (this.#strip === undefined || last <= Math.max(this.#strip.last * GROWN, this.#strip.last + 1));
    if (same) return;
    if (width !== this.#width) this.#strip = undefined;
    else if (this.#surveying !== undefined) return;
    this.#width = width;
    this.#surveying = width === 0 ? undefined : stripOf(this.#model, width);
  }

  /** The log has grown. */
  grow(): void {
    this.#search?.grow();
    this.#filter?.grow();
  }

  /** Works until the deadline (as performance.now()); true when nothing is left to do. */
  work(deadline: number): boolean {
    while (this.#surveying !== undefined) {
      const next = this.#surveying.next();
      if (next.done === true) {
        this.#strip = next.value;
        this.#surveying = undefined;
      }
      if (performance.now() >= deadline) return this.idle;
    }
    // what the list shows comes before what is counted
    for (const finder of [this.#filter, this.#search]) {
      if (finder !== undefined && !finder.done && !finder.work(deadline)) return false;
    }
    return this.idle;
  }

  /** nothing is left to do */
  get idle(): boolean {
    return this.#surveying === undefined && (this.#filter?.done ?? true) && (this.#search?.done ?? true);
  }

  /** The event of the list nearest to one, first in a direction; UNKNOWN while that has not been looked for. */
  nearest(seq: number, direction: 1 | -1): number | undefined | typeof UNKNOWN {
    const hits = this.#filter?.hits;
    if (hits === undefined || hits.has(seq)) return seq;
    if (!hits.isKnown(seq)) return UNKNOWN;
    const ahead = hits.next(seq, direction);
    return ahead === undefined ? hits.next(seq, direction === 1 ? -1 : 1) : ahead;
  }

  stripStep(seq: number, by: number): number | undefined {
    return this.#strip === undefined ? undefined : stepOf(this.#strip.columns, seq, by);
  }
  stripSeq(x: number): number | undefined {
    return this.#strip?.columns[x]?.first;
  }
}
