/**
 * Holds the terminal while a full-screen program runs and gives it back however the program ends: by itself, by an
 * exception, by a signal, when it is suspended and when the terminal is gone.
 */
import type { Screen } from './screen.ts';

/** What the guard needs of standard input. */
export interface KeyboardInput {
  readonly isTTY?: boolean;
  setRawMode?(on: boolean): unknown;
  resume(): unknown;
  pause(): unknown;
  ref?(): unknown;
  unref?(): unknown;
  on(event: 'data', listener: (bytes: Uint8Array) => void): unknown;
  on(event: 'end' | 'close' | 'error', listener: () => void): unknown;
  off(event: 'data', listener: (bytes: Uint8Array) => void): unknown;
  off(event: 'end' | 'close' | 'error', listener: () => void): unknown;
}

export interface GuardHooks {
  /** bytes from the keyboard */
  input(bytes: Uint8Array): void;
  /** the program is back in the foreground: draw */
  resumed(): void;
  /** a signal ends the program now: let go of everything else */
  ending(): void;
  /** a mistake that nobody caught; the terminal is given back already */
  crashed(error: unknown): void;
}

/** Signals that end the program: the terminal is given back first, then the signal does its work. */
const FATAL = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const;

export class TerminalGuard {
  readonly #screen: Screen;
  readonly #stdin: KeyboardInput;
  readonly #hooks: GuardHooks;
  readonly #handlers = new Map<NodeJS.Signals, () => void>();
  #held = false;
  #started = false;

  constructor(screen: Screen, stdin: KeyboardInput, hooks: GuardHooks) {
    this.#screen = screen;
    this.#stdin = stdin;
    this.#hooks = hooks;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    for (const signal of FATAL) this.#handle(signal, () => this.#die(signal));
    this.#handle('SIGTSTP', () => this.#stop());
    this.#handle('SIGCONT', () => this.#continue());
    process.on('exit', this.#restore);
    process.on('uncaughtException', this.#crash);
    process.on('unhandledRejection', this.#crash);
    this.#stdin.on('data', this.#input);
    this.#stdin.on('end', this.#gone);
    this.#stdin.on('close', this.#gone);
    this.#stdin.on('error', this.#gone);
    this.#take();
  }

  /** Gives the terminal back for good. */
  end(): void {
    this.#restore();
    if (!this.#started) return;
    this.#started = false;
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
    this.#handlers.clear();
    process.off('exit', this.#restore);
    process.off('uncaughtException', this.#crash);
    process.off('unhandledRejection', this.#crash);
    this.#stdin.off('data', this.#input);
    this.#stdin.off('end', this.#gone);
    this.#stdin.off('close', this.#gone);
    // the listener for errors stays: a terminal that is gone may complain late
    this.#stdin.pause();
    this.#stdin.unref?.();
  }

  /** Ctrl-Z: what the terminal's driver would do, to the whole job. */
  suspend(): void {
    process.kill(0, 'SIGTSTP');
  }

  /** The terminal is gone: ends as the signal says that comes then. (Left by an exit, Node would abort over a terminal that it cannot reset.) */
  hangUp(): void {
    this.#die('SIGHUP');
  }

  #handle(signal: NodeJS.Signals, handler: () => void): void {
    this.#handlers.set(signal, handler);
    process.on(signal, handler);
  }

  #take(): void {
    if (this.#held) return;
    this.#held = true;
    this.#stdin.setRawMode?.(true);
    this.#stdin.ref?.();
    this.#stdin.resume();
    this.#screen.enter();
  }

  readonly #restore = (): void => {
    if (!this.#held) return;
    this.#held = false;
    try {
      this.#screen.leave();
      this.#stdin.setRawMode?.(false);
    } catch {
      // the terminal is gone: there is nothing to give back
    }
  };

  #die(signal: NodeJS.Signals): void {
    this.end();
    this.#hooks.ending();
    process.kill(process.pid, signal);
  }

  #stop(): void {
    this.#restore();
    process.kill(process.pid, 'SIGSTOP');
  }

  #continue(): void {
    if (!this.#started) return;
    // stopped from outside by SIGSTOP, the program could not give the terminal back: take it anew
    this.#restore();
    this.#take();
    this.#hooks.resumed();
  }

  readonly #crash = (error: unknown): void => {
    this.end();
    this.#hooks.crashed(error);
  };

  readonly #input = (bytes: Uint8Array): void => this.#hooks.input(bytes);
  readonly #gone = (): void => this.hangUp();
}
