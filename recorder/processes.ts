/** The processes of a recording. */
import { readFileSync } from 'node:fs';
import { type FrameCursor, Kind } from '../store/frame.ts';

/** Start time of a process that lives, clock ticks since boot; undefined where it does not. A zombie does not live. */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Processes of the recording, watched from outside: a killed one cannot report its end. */
export class Processes {
  readonly #live = new Map<number, string>();
  /** those that have gone, and where the spool ended then */
  readonly #gone = new Map<number, number>();
  /** those that reported their own end */
  readonly #said = new Set<number>();

  /** the program itself, which cannot be another process of that number: it is waited for */
  program = 0;

  see(f: FrameCursor): void {
    if (f.kind === Kind.EXIT) this.#said.add(f.pid);
    if (f.kind === Kind.START) {
      this.#said.delete(f.pid);
      const started = String(f.arg(1));
      if (f.pid === this.program || startTime(f.pid) === started) this.#live.set(f.pid, started);
    } else if (f.kind === Kind.FORK && f.ret32 > 0 && !this.#live.has(f.ret32)) {
      const started = startTime(f.ret32);
      if (started !== undefined) this.#live.set(f.ret32, started);
    }
  }

  /** Looks who has gone. What they did lies before `tail` in the spool. */
  look(tail: number): void {
    for (const [pid, started] of this.#live)
      if (startTime(pid) !== started) {
        this.#live.delete(pid);
        this.#gone.set(pid, tail);
      }
  }

  /** Those that have gone without a word, now that everything before `position` was heard. */
  silent(position: number): number[] {
    const silent: number[] = [];
    for (const [pid, tail] of this.#gone)
      if (position >= tail) {
        this.#gone.delete(pid);
        if (!this.#said.delete(pid)) silent.push(pid);
      }
    return silent;
  }

  get pids(): number[] {
    return [...this.#live.keys()];
  }
}
