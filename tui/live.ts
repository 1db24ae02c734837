/** Follows a recording that is still running: looks again and again for what has come, and says how fast it comes. */
import { StoreError } from '../store/errors.ts';
import type { TraceModel } from './model.ts';

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

  constructor(model: TraceModel, hooks: LiveHooks) {
    this.#model = model;
    this.#hooks = hooks;
  }

  /** `FOLLOWING 1200/s`; '' where nothing is followed. */
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
      this.#measure();
      if (this.#model.meta.complete) this.#end(`the recording has ended: ${this.#model.last} events`, false);
      else if (news) this.#hooks.changed();
    } catch (error) {
      this.#trouble(error);
    }
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
    const text = `FOLLOWING ${Math.round((1000 * (now.last - first.last)) / Math.max(1, now.at - first.at))}/s`;
    if (text === this.#text) return;
    this.#text = text;
    this.#hooks.changed();
  }
}
