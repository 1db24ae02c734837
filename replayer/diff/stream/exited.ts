/**
 * Processes that have ended, as they are known at many moments of one session: each is kept once, however many copies of the
 * state there are.
 */
import type { Process } from '../../state.ts';

interface Entry {
  readonly pid: number;
  /** undefined: the pid is that of a new process */
  readonly process: Process | undefined;
  /** the entry before it of the same pid, -1 none */
  readonly before: number;
}

/** What was written, in order; it is never changed, only added to. */
class History {
  readonly entries: Entry[] = [];
  readonly latest = new Map<number, number>();

  push(pid: number, process: Process | undefined): void {
    this.entries.push({ pid, process, before: this.latest.get(pid) ?? -1 });
    this.latest.set(pid, this.entries.length - 1);
  }
}

/** The last process that had a pid and has ended: {@link SessionState.exited}. */
export class Exited extends Map<number, Process> {
  readonly #history: History;
  /** entries of the history that are known here */
  #length: number;
  /** what was written here when the history had gone on without this one */
  readonly #own = new Map<number, Process | undefined>();

  constructor(from?: Exited) {
    super();
    this.#history = from === undefined ? new History() : from.#history;
    this.#length = from === undefined ? 0 : from.#length;
    if (from !== undefined) for (const [pid, process] of from.#own) this.#own.set(pid, process);
  }

  override get(pid: number): Process | undefined {
    if (this.#own.has(pid)) return this.#own.get(pid);
    const { entries, latest } = this.#history;
    let at = latest.get(pid) ?? -1;
    while (at >= this.#length) at = entries[at]!.before;
    return entries[at]?.process;
  }
  override has(pid: number): boolean {
    return this.get(pid) !== undefined;
  }
  override set(pid: number, process: Process): this {
    this.#put(pid, process);
    return this;
  }
  override delete(pid: number): boolean {
    if (!this.has(pid)) return false;
    this.#put(pid, undefined);
    return true;
  }
  #put(pid: number, process: Process | undefined): void {
    const history = this.#history;
    if (this.#own.size > 0 || this.#length < history.entries.length) {
      this.#own.set(pid, process);
      return;
    }
    history.push(pid, process);
    this.#length++;
  }

  override *entries(): MapIterator<[number, Process]> {
    for (const pid of new Set([...this.#history.latest.keys(), ...this.#own.keys()])) {
      const process = this.get(pid);
      if (process !== undefined) yield [pid, process];
    }
    return undefined;
  }
  override [Symbol.iterator](): MapIterator<[number, Process]> {
    return this.entries();
  }
  override get size(): number {
    return [...this.entries()].length;
  }
}
