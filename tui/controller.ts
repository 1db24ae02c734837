/**
 * Keys in, pictures out: holds the state of the screen and the trace together, runs jobs in slices beside the keys, and
 * says when there is something new to draw. Knows no terminal and no React.
 */

import { vocabularyOf } from '../replayer/query-fields.ts';
import { Aside } from './find/aside.ts';
import { wordsOf } from './find/complete.ts';
import { UNKNOWN } from './find/hits.ts';
import { wrongFilter } from './find/needle.ts';
import type { FindFacts } from './find/ui-find.ts';
import { boxOf, type PaneId } from './layout.ts';
import { Live } from './live.ts';
import type { TraceModel } from './model.ts';
import type { Screenful } from './picture.ts';
import { Picture, STATE_PANES } from './picture.ts';
import { search } from './search.ts';
import type { Key } from './term/input.ts';
import type { Line } from './term/text.ts';
import type { Theme } from './term/theme.ts';
import { type Arrival, type Trip, trip, tripText } from './trips.ts';
import { type Facts, initialUi, type Job, layoutOf, type ScrollPane, type Ui, type UiEvent } from './ui.ts';
import { reduce } from './ui-state.ts';

export interface ControllerHooks {
  /** there is something new to draw; `asked`: somebody who has pressed a key waits for it */
  changed(asked: boolean): void;
  redraw(): void;
  /** whether the terminal should tell of the mouse */
  mouse?(on: boolean): void;
  suspend(): void;
  quit(): void;
  /** a text for the terminal's clipboard: clean lines */
  copy?(text: string): void;
  /** a mistake, or a damaged trace, while nobody waits for an answer */
  failed(error: unknown): void;
}

/** Milliseconds in which a lone first digit may still become a count. */
export const COUNT_DELAY = 400;
/** Milliseconds of work in one go: while a key waits for its picture, and beside the keys. */
const AT_ONCE = 3;
const SLICE = 5;

export class Controller {
  readonly #model: TraceModel;
  readonly #hooks: ControllerHooks;
  readonly #picture: Picture;
  readonly #facts: Facts;
  readonly #aside: Aside;
  #ui: Ui;
  #running: { readonly id: number; readonly search: Generator<number, number | Arrival | undefined, void> } | undefined;
  #play: NodeJS.Timeout | undefined;
  /** id of the last request that was done */
  #done = 0;
  /** how far the job, or the way to the cursor, is: 0 to 1 */
  #progress = 0;
  #work: NodeJS.Immediate | undefined;
  #expiry: NodeJS.Timeout | undefined;
  readonly #live: Live;
  /** by pane: the event whose marks were brought into view */
  readonly #revealed = new Map<PaneId, number>();
  /** false until the first picture had its chance: nothing is done before it that it does not show */
  #begun = false;
  #keys = 0;

  constructor(model: TraceModel, theme: Theme, columns: number, rows: number, hooks: ControllerHooks) {
    this.#model = model;
    this.#hooks = hooks;
    this.#picture = new Picture(model, theme);
    this.#picture.now = () => ({ ui: this.#ui, ready: this.#ready });
    this.#aside = new Aside(model);
    this.#facts = this.#makeFacts();
    this.#live = new Live(model, {
      end: () => this.#aside.list.below(this.#ui.cursor, 1) === 0,
      grew: (end) => {
        this.#aside.grow();
        this.#happened({ type: 'grew', end });
      },
      ended: (text, error) => this.#happened({ type: 'ended', text, error }),
      gone: (text) => this.#happened({ type: 'say', text, error: true }),
      changed: () => hooks.changed(false),
      failed: (error) => hooks.failed(error),
    });
    this.#ui = reduce(initialUi(columns, rows, model.first), { type: 'panes', panes: model.panes }, this.#facts);
    this.#aside.want(this.#ui);
    this.#advance(AT_ONCE);
  }

  #makeFacts(): Facts {
    const [model, aside] = [this.#model, this.#aside];
    let words: readonly string[] | undefined;
    const find: FindFacts = {
      get list() {
        return aside.list;
      },
      wrong: (text) => wrongFilter(model, text),
      get words() {
        words ??= wordsOf(vocabularyOf(model.table));
        return words;
      },
      stripSeq: (x) => aside.stripSeq(x),
      stripStep: (seq, by) => aside.stripStep(seq, by),
    };
    return {
      get first() {
        return model.first;
      },
      get last() {
        return model.last;
      },
      extent: (pane) => this.#picture.extent(this.#ui, pane, this.#ready),
      find,
      travel: this.#picture.traveller.facts,
    };
  }

  get ui(): Ui {
    return this.#ui;
  }
  /** Keys that have been taken so far. */
  get keys(): number {
    return this.#keys;
  }
  /** true while nothing is under way that would change the screen by itself */
  get idle(): boolean {
    return this.#work === undefined && this.#expiry === undefined && this.#play === undefined;
  }

  get typing(): boolean {
    return this.#ui.prompt !== undefined;
  }

  key(key: Key, keys = 1): void {
    this.#keys += keys;
    this.#begun = true;
    this.#dispatch({ type: 'key', key });
  }

  resize(columns: number, rows: number): void {
    this.#dispatch({ type: 'resize', columns, rows });
  }

  goto(seq: number): void {
    this.#dispatch({ type: 'goto', seq });
  }

  /** Options of the command line. */
  options(mouse: boolean, following: boolean): void {
    this.#hooks.mouse?.(mouse);
    this.#happened({ type: 'options', mouse, following });
  }

  /** The screen as it is now. `test` adds the mark that says that nothing is under way, and how many keys were taken. */
  screenful(test: boolean): Screenful {
    this.#reveal();
    const drawn = this.#drawn(test);
    if (!this.#model.waits || this.#work !== undefined || !this.#begun) return drawn;
    this.#later();
    return test ? this.#drawn(test) : drawn;
  }

  #drawn(test: boolean): Screenful {
    const { ui } = this;
    const { job } = ui;
    const under =
      this.#running === undefined ? (this.#ready ? undefined : 'reading') : job?.kind === 'travel' ? tripText(job) : 'searching';
    return this.#picture.draw(ui, {
      job: under === undefined ? undefined : { what: under, progress: this.#progress },
      ready: this.#ready,
      aside: this.#aside,
      live: this.#live.text,
      mark: test ? `${this.#keys}${this.idle ? this.#picture.theme.glyphs.idle : ''}` : '',
    });
  }

  /** The whole text of a pane. */
  text(pane: ScrollPane): readonly Line[] {
    return this.#picture.text(this.#ui, pane, this.#ready);
  }

  /** Ends all work; nothing is called back afterwards. */
  close(): void {
    this.#rest();
    clearTimeout(this.#expiry);
    clearTimeout(this.#play);
    this.#expiry = undefined;
    this.#play = undefined;
    this.#running = undefined;
    this.#live.close();
  }

  get #ready(): boolean {
    return this.#model.at === this.#ui.cursor;
  }

  #dispatch(event: UiEvent): void {
    // the picture stands in the queue before the work: what takes longer than AT_ONCE follows it
    this.#rest();
    this.#hooks.changed(true);
    this.#happened(event);
  }

  #happened(event: UiEvent): void {
    const before = this.#ui;
    this.#ui = reduce(before, event, this.#facts);
    const { ui } = this;
    if (ui.mouse !== before.mouse) this.#hooks.mouse?.(ui.mouse);
    if (ui.redraws !== before.redraws) this.#hooks.redraw();
    if (ui.suspends !== before.suspends) this.#hooks.suspend();
    if (ui.quit) {
      this.close();
      this.#hooks.quit();
      return;
    }
    this.#aside.want(ui);
    this.#snap();
    this.#watchCount();
    this.#carryOut();
    this.#watchPlay(before.travel.playing);
    this.#live.follow(ui.following);
    if (ui.job?.id !== this.#running?.id) this.#start(ui.job);
    this.#advance(AT_ONCE);
  }

  #watchCount(): void {
    clearTimeout(this.#expiry);
    this.#expiry = undefined;
    if (this.#ui.focusBefore === undefined) return;
    this.#expiry = setTimeout(() => {
      this.#expiry = undefined;
      this.#dispatch({ type: 'expire' });
    }, COUNT_DELAY);
  }

  /** What the reducer has asked to be done outside of the screen. */
  #carryOut(): void {
    const asked = this.#ui.travel.request;
    if (asked === undefined || asked.id === this.#done) return;
    this.#done = asked.id;
    if (asked.request.kind === 'copy') {
      this.#hooks.copy?.(asked.request.text);
      return;
    }
    const said = this.#picture.traveller.carryOut(asked.request);
    if (said !== undefined) this.#ui = reduce(this.#ui, { type: 'say', ...said }, this.#facts);
  }

  #watchPlay(before: boolean): void {
    const { playing } = this.#ui.travel;
    if (playing === before) return;
    clearTimeout(this.#play);
    this.#play = undefined;
    if (!playing) return;
    this.#picture.traveller.startPlay(this.#ui.cursor, performance.now());
    this.#playOn(0);
  }

  #playOn(wait: number): void {
    this.#play = setTimeout(() => {
      this.#play = undefined;
      try {
        this.#playNow();
      } catch (error) {
        this.#hooks.failed(error);
      }
    }, wait);
  }

  #playNow(): void {
    const { cursor, travel } = this.#ui;
    if (!travel.playing) return;
    const { seq, say, wait } = this.#picture.traveller.play(cursor, travel.speed, performance.now());
    this.#ui = reduce(this.#ui, { type: 'played', seq, say, ends: wait === undefined }, this.#facts);
    if (wait !== undefined) this.#playOn(wait);
    if (!this.#ready) this.#advance(AT_ONCE);
    this.#hooks.changed(false);
  }

  #start(job: Job | Trip | undefined): void {
    this.#running = undefined;
    this.#progress = 0;
    if (job === undefined) return;
    const times = (): number => this.#ui.job?.times ?? 1;
    this.#running = {
      id: job.id,
      search: job.kind === 'travel' ? trip(this.#model, job, times) : search(this.#model, job, times, this.#aside),
    };
  }

  /** Works for so many milliseconds, what the picture shows first; goes on later where that was not enough. */
  #advance(milliseconds: number): void {
    const deadline = performance.now() + milliseconds;
    if (!this.#begun) {
      this.#follow(deadline);
      this.#later();
      return;
    }
    const there =
      this.#search(deadline) &&
      this.#follow(deadline) &&
      this.#model.tell(deadline) &&
      this.#explain(deadline) &&
      this.#aside.work(deadline);
    this.#snap();
    if (!there || !this.#ready) this.#later();
    else this.#rest();
  }

  /** The job; true when there is none any more. */
  #search(deadline: number): boolean {
    while (this.#running !== undefined) {
      const { id } = this.#running;
      const next = this.#running.search.next();
      if (next.done === true) {
        this.#running = undefined;
        const { value } = next;
        const found: UiEvent =
          typeof value === 'object' ? { type: 'arrived', id, arrival: value } : { type: 'found', id, seq: value ?? undefined };
        this.#ui = reduce(this.#ui, found, this.#facts);
        this.#carryOut();
      } else {
        this.#progress = next.value;
        if (performance.now() >= deadline) return false;
      }
    }
    return true;
  }

  /** The cursor to the nearest event of the list, once that is known. */
  #snap(): void {
    const { snap } = this.#ui.find;
    if (snap === 0) return;
    const seq = this.#aside.nearest(this.#ui.cursor, snap);
    if (seq === UNKNOWN) return;
    this.#ui = reduce(this.#ui, { type: 'snapped', seq }, this.#facts);
    this.#aside.want(this.#ui);
  }

  /** The state towards the cursor; true when it is there. */
  #follow(deadline: number): boolean {
    if (this.#ready) return true;
    const there = this.#model.approach(this.#ui.cursor, deadline);
    this.#progress = this.#model.at / Math.max(1, this.#ui.cursor);
    if (there) this.#ui = reduce(this.#ui, { type: 'panes', panes: this.#model.panes }, this.#facts);
    return there;
  }

  /** Detail is on the screen, and the `why` of its event is to be worked out. */
  get #unexplained(): boolean {
    const { cursor, view, hex } = this.#ui;
    if (hex || this.#running !== undefined || !this.#ready || boxOf(layoutOf(this.#ui), 'detail')?.pane !== 'detail') return false;
    return this.#model.why.state(cursor, view.why === cursor).kind === 'running';
  }

  /** A part of the way to the `why`; true when there is no more to do for it. */
  #explain(deadline: number): boolean {
    const { cursor, view } = this.#ui;
    return !this.#unexplained || this.#model.why.work(cursor, view.why === cursor, deadline);
  }

  /** There is no more to do. */
  #rest(): void {
    clearImmediate(this.#work);
    this.#work = undefined;
  }

  /** Keys come first: the rest of the work waits until they have been read. */
  #later(): void {
    if (this.#work !== undefined) return;
    this.#work = setImmediate(() => {
      this.#work = undefined;
      this.#begun = true;
      try {
        this.#advance(SLICE);
        this.#hooks.changed(false);
      } catch (error) {
        this.#hooks.failed(error);
      }
    });
  }

  /**
   * What the event touched is brought into view, once for each pane that shows it. Only a picture asks for it: of a burst of
   * keys nobody sees the trees in between.
   */
  #reveal(): void {
    const { cursor } = this.#ui;
    if (!this.#ready) return;
    for (const pane of STATE_PANES) {
      if (this.#revealed.get(pane) === cursor || boxOf(layoutOf(this.#ui), pane) === undefined) continue;
      this.#revealed.set(pane, cursor);
      const line = this.#picture.marked(this.#ui, pane);
      if (line >= 0) this.#ui = reduce(this.#ui, { type: 'reveal', pane, line }, this.#facts);
    }
  }
}
