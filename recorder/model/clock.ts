/**
 * What wakes the model while its hardware has something to look at: a thread that sleeps, and puts a message among those of
 * the programs. While nobody has a queue it sleeps for good, and one that was not heard yet is not repeated.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { LAYOUT, message, Word } from './protocol.ts';

/** How often page 0 is looked at, milliseconds, while there are queues: */
export const POLL_MS = 0.5;
/** and once so many looks have shown nothing new. */
export const QUIET_MS = 2;
export const QUIET_LOOKS = 200;

const MODE = 0;
const ASKED = 1;
const Mode = { IDLE: 0, RUNS: 1, RESTS: 2, ENDS: 3 } as const;

/** The side of who is woken, and of who makes the clock; `memory` is shared with the thread. */
export class Clock {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  #quiet = 0;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }
  run(on: boolean): void {
    this.#quiet = 0;
    this.#set(on ? Mode.RUNS : Mode.IDLE);
  }
  /** A look has shown something, or nothing, while there are queues. */
  looked(news: boolean): void {
    this.#quiet = news ? 0 : this.#quiet + 1;
    if (this.#quiet === 0 || this.#quiet === QUIET_LOOKS) this.#set(news ? Mode.RUNS : Mode.RESTS);
  }
  /** The thread ends. */
  end(): void {
    this.#set(Mode.ENDS);
  }
  /** Its message was heard. */
  heard(): void {
    Atomics.store(this.#words, ASKED, 0);
  }
  #set(mode: number): void {
    if (Atomics.load(this.#words, MODE) === Mode.ENDS || Atomics.exchange(this.#words, MODE, mode) === mode) return;
    Atomics.notify(this.#words, MODE);
  }
}

/** The thread. */
export function tick(folder: string, memory: SharedArrayBuffer): void {
  const words = new Int32Array(memory);
  const ask = openSync(join(folder, 'ask'), constants.O_RDWR | constants.O_NONBLOCK);
  const poll = message(Word.POLL);
  for (let mode: number = Mode.IDLE; mode !== Mode.ENDS; mode = Atomics.load(words, MODE)) {
    if (mode === Mode.IDLE) Atomics.wait(words, MODE, mode);
    else if (
      Atomics.wait(words, MODE, mode, mode === Mode.RESTS ? QUIET_MS : POLL_MS) === 'timed-out' &&
      Atomics.exchange(words, ASKED, 1) === 0
    )
      try {
        writeSync(ask, poll, 0, LAYOUT.message);
      } catch {
        // full: each call that waits there brings a look with it
        Atomics.store(words, ASKED, 0);
      }
  }
  closeSync(ask);
}
