/** Follows a recording that is still running: looks again and again for what has come, and says how fast it comes. */
import { type RecorderState, recorderState, spoolOf } from '../recorder/alive.ts';
import { StoreError } from '../store/errors.ts';
import { shellWord } from './cli/shell-word.ts';
import type { TraceModel } from './model.ts';
import { clean } from './term/text.ts';

/** Milliseconds between two looks. */
const LOOK = 200;
/** Milliseconds over which the speed is measured. */
const SPAN = 2000;

export interface LiveHooks {
  /** is the cursor at the end of the list? Asked before it grows. */
  end(): boolean;
  grew(end: boolean): void;
  /** there is no more to come; `error`: it cannot be looked for */
  ended(text: string, error: boolean): void;
  /** nothing more comes, as nobody records any more; it is looked for all the same */
  gone(text: string): void;
  /** the speed is another one */
  changed(): void;
  /** a mistake */
  failed(error: unknown): void;
}

export class Live {
  readonly #model: TraceModel;
  readonly #hooks: LiveHooks;
  #timer: NodeJS.Timeout | undefined;
  #samples: { readonly at: number; readonly last: number }[] = [];
  #text = '';
  /** when something came last, or when it was asked last who records: milliseconds */
  #quiet = 0;
  #recorder: RecorderState = 'unknown';

  constructor(model: TraceModel, hooks: LiveHooks) {
    this.#model = model;
    this.#hooks = hooks;
  }

  /** `FOLLOWING 1200/s`, `RECORDER GONE`; '' where nothing is followed. */
  get text(): string {
    return this.#text;
  }

  /** Begins, or lets it be. */
  follow(on: boolean): void {
    if (on === (this.#timer !== undefined)) return;
    this.close();
    if (!on) return;
    this.#samples = [{ at: performance.now(), last: this.#model.last }];
    this.#text = 'FOLLOWING';
    this.#quiet = 0;
    this.#recorder = 'unknown';
    this.#timer = setInterval(() => this.#look(), LOOK);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#text = '';
  }

  #look(): void {
    try {
      const end = this.#hooks.end();
      const before = this.#model.last;
      const news = this.#model.refresh();
      if (this.#model.last !== before) this.#hooks.grew(end);
      this.#ask(news);
      this.#measure();
      if (this.#model.meta.complete) this.#end(`the recording has ended: ${this.#model.last} events`, false);
      else if (news) this.#hooks.changed();
    } catch (error) {
      this.#trouble(error);
    }
  }

  /** Where nothing comes for a while: is there still somebody who records? */
  #ask(news: boolean): void {
    const now = performance.now();
    if (news || this.#quiet === 0) {
      this.#quiet = now;
      this.#recorder = 'unknown';
    }
    if (now - this.#quiet < SPAN) return;
    this.#quiet = now;
    const { meta } = this.#model;
    const spool = spoolOf(meta);
    if (meta.complete || spool === undefined) return;
    const before = this.#recorder;
    this.#recorder = recorderState(spool);
    if (this.#recorder === before) return;
    if (this.#recorder === 'gone') this.#hooks.gone(`recorder gone: iommufd-rr recover ${clean(shellWord(spool))}`);
    else if (this.#recorder === 'absent') this.#hooks.gone('nobody records here, and there is no spool to recover from');
  }

  /** A writer that is at it just now is no trouble; the next look will do. */
  #trouble(error: unknown): void {
    if (!(error instanceof StoreError)) this.#hooks.failed(error);
    else if (error.code !== 'busy' && error.code !== 'in-progress') this.#end(`followed no longer: ${error.message}`, true);
  }

  #end(text: string, error: boolean): void {
    this.close();
    this.#hooks.ended(text, error);
    this.#hooks.changed();
  }

  #measure(): void {
    const now = { at: performance.now(), last: this.#model.last };
    this.#samples.push(now);
    while (this.#samples.length > 2 && now.at - this.#samples[0]!.at > SPAN) this.#samples.shift();
    const first = this.#samples[0]!;
    const gone = this.#recorder === 'gone' ? 'RECORDER GONE' : this.#recorder === 'absent' ? 'NO RECORDER' : undefined;
    const text = gone ?? `FOLLOWING ${Math.round((1000 * (now.last - first.last)) / Math.max(1, now.at - first.at))}/s`;
    if (text === this.#text) return;
    this.#text = text;
    this.#hooks.changed();
  }
}
