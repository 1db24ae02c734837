/** Work that takes long and is done bit by bit: it can be seen, and be stopped. */
import { isatty } from 'node:tty';
import { Progress } from './output.ts';

/** Ctrl-C while something is done: the first one asks it to stop, the second one ends the program as ever. */
export class Interrupt {
  #stopped = false;
  readonly #listener = (): void => {
    this.#stopped = true;
  };

  constructor() {
    process.once('SIGINT', this.#listener);
  }
  get stopped(): boolean {
    return this.#stopped;
  }
  done(): void {
    process.off('SIGINT', this.#listener);
  }
}

/** One line on standard error that changes; only on a terminal, and gone when the work is done. */
export class Status {
  #shown = Number.NEGATIVE_INFINITY;
  readonly #isShown = isatty(2);

  say(text: string): void {
    const now = performance.now();
    if (!this.#isShown || now - this.#shown < 100) return;
    this.#shown = now;
    process.stderr.write(`\r${text}\x1b[K`);
  }
  done(): void {
    if (this.#isShown && this.#shown > 0) process.stderr.write('\r\x1b[K');
  }
}

/** So long at a time, milliseconds: a signal waits no longer. */
const TURN = 50;

/** Does the work; undefined where it was stopped. `each` is told what the work yields. */
export async function inTurns<P, T>(work: Generator<P, T>, interrupt: Interrupt, each: (progress: P) => void): Promise<T | undefined> {
  let began = performance.now();
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
    each(next.value);
    if (performance.now() - began < TURN) continue;
    await new Promise((resolve) => setImmediate(resolve));
    if (interrupt.stopped) return undefined;
    began = performance.now();
  }
}

/** Work that says how far it is, from 0 to 1; undefined where it was stopped. */
export async function read<T>(what: string, work: Generator<number, T>, total: number, interrupt: Interrupt): Promise<T | undefined> {
  const progress = new Progress(what);
  const result = await inTurns(work, interrupt, (at) => progress.update(Math.floor(at * total), total));
  progress.done();
  return result;
}

/** Work that tells how far it is, 0 to 1, done to its end. `total`: what it is counted in. */
export function finished<T>(what: string, work: Generator<number, T>, total: number): T {
  const progress = new Progress(what);
  for (;;) {
    const next = work.next();
    if (next.done === true) {
      progress.done();
      return next.value;
    }
    progress.update(Math.floor(next.value * total), total);
  }
}
