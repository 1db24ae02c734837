/**
 * The order of a log's events by time. Buffers of several processors, read while they are written, come a little mixed; and an
 * access that a log tells in two lines is whole only with the second. So the latest events wait here for a while.
 */
import type { LogEvent } from './format.ts';

/** Events that wait. */
const WINDOW = 16_384;

export class Order {
  readonly #release: (e: LogEvent) => void;
  readonly #window: number;
  #queue: LogEvent[] = [];
  /** events of `#queue` before this one are released */
  #head = 0;
  #latest: bigint | undefined;
  /** events that came too late for their place */
  disorder = 0;

  constructor(release: (e: LogEvent) => void, window = WINDOW) {
    this.#release = release;
    this.#window = window;
  }

  push(e: LogEvent): void {
    const queue = this.#queue;
    if (this.#latest !== undefined && e.time < this.#latest) this.disorder++;
    let at = queue.length;
    queue.push(e);
    for (; at > this.#head && queue[at - 1]!.time > e.time; at--) queue[at] = queue[at - 1]!;
    queue[at] = e;
    if (queue.length - this.#head > this.#window) this.#next();
  }

  end(): void {
    while (this.#head < this.#queue.length) this.#next();
  }

  #next(): void {
    const e = this.#queue[this.#head++]!;
    if (this.#head > this.#window) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    e.gone = true;
    this.#latest = e.time;
    this.#release(e);
  }
}
