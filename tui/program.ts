/** The running program: terminal, keyboard, controller and view tied together. Draws at most one frame in so many milliseconds. */
import type { ControllerHooks } from './controller.ts';
import type { Block, Screenful } from './picture.ts';
import { type KeyboardInput, TerminalGuard } from './term/guard.ts';
import { InputParser, type Key } from './term/input.ts';
import type { Screen } from './term/screen.ts';

export interface FrameProps {
  readonly columns: number;
  readonly rows: number;
  readonly blocks: readonly Block[];
}

/** What draws frames into the screen. */
export interface View {
  /** false while something that it stands on is being loaded */
  readonly settled: boolean;
  update(props: FrameProps): void;
  unmount(): void;
}

/** What answers keys with pictures: a Controller, or the DiffController of two traces. */
export interface Answering {
  readonly ui: { readonly columns: number; readonly rows: number };
  /** `keys`: how many were pressed to make it; default 1 */
  key(key: Key, keys?: number): void;
  /** what is typed goes into a text */
  readonly typing: boolean;
  resize(columns: number, rows: number): void;
  goto(seq: number): void;
  /** options of the command line; without it there is no mouse and nothing is followed */
  options?(mouse: boolean, following: boolean): void;
  screenful(test: boolean): Screenful;
  close(): void;
}

export interface ProgramOptions {
  readonly answering: (columns: number, rows: number, hooks: ControllerHooks) => Answering;
  readonly screen: Screen;
  readonly stdin: KeyboardInput;
  readonly stdout: { on(event: 'error', listener: () => void): unknown };
  /** show in the status line how many keys were taken and whether all is done: for tests that press keys */
  readonly test: boolean;
  /** the terminal tells of the mouse; a recording is followed; default: neither */
  readonly mouse?: boolean;
  readonly follow?: boolean;
  /** `settled` is called when the view has become so */
  readonly mount: (settled: () => void) => View;
}

/** Milliseconds from one frame to the next while something goes on by itself; a key is answered at once. */
const FRAME = 33;

/** So many characters in one piece are not typed by hand: they go into a text as a whole, which is looked for once. */
const PASTED = 64;

/** How many keys from one on type a character each. */
function typedAt(keys: readonly Key[], from: number): number {
  let end = from;
  while (end < keys.length && keys[end]!.text !== undefined && keys[end]!.name !== 'paste') end++;
  return end - from;
}

const textIn = (keys: readonly Key[]): string => keys.map((key) => key.text).join('');

export class Program {
  readonly #options: ProgramOptions;
  readonly #guard: TerminalGuard;
  readonly #parser = new InputParser();
  readonly #controller: Answering;
  #view: View | undefined;
  #frame: NodeJS.Timeout | undefined;
  #answer: NodeJS.Immediate | undefined;
  #drawn = 0;
  #escape: NodeJS.Timeout | undefined;
  #ended = false;
  #resolve: (status: number) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(options: ProgramOptions) {
    this.#options = options;
    const { screen, stdin } = options;
    this.#guard = new TerminalGuard(screen, stdin, {
      input: (bytes) => this.#guarded(() => this.#read(this.#parser.push(bytes))),
      resumed: () => this.#guarded(() => this.#resized()),
      ending: () => this.#end(() => {}),
      crashed: (error) => this.#end(() => this.#reject(error)),
    });
    this.#controller = options.answering(screen.columns, screen.rows, {
      changed: (asked) => this.#changed(asked),
      redraw: () => screen.invalidate(),
      copy: (text) => screen.copy(text),
      mouse: (on) => {
        screen.mouse = on;
      },
      suspend: () => this.#guard.suspend(),
      quit: () => this.#end(() => this.#resolve(0)),
      failed: (error) => this.#end(() => this.#reject(error)),
    });
  }

  /** Runs until the user quits. → exit status. Rejects with what went wrong, the terminal given back. */
  run(at: number | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#guarded(() => {
        const { screen, stdout } = this.#options;
        stdout.on('error', () => this.#guard.hangUp());
        screen.on('size', () => this.#guarded(() => this.#resized()));
        this.#guard.start();
        if (at !== undefined) this.#controller.goto(at);
        this.#controller.options?.(this.#options.mouse ?? false, this.#options.follow ?? false);
        this.#draw();
      });
    });
  }

  /** A mistake, or a chunk that cannot be read, must not leave the terminal behind. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#end(() => this.#reject(error));
    }
  }

  #end(say: () => void): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#frame);
    clearImmediate(this.#answer);
    clearTimeout(this.#escape);
    this.#controller.close();
    this.#guard.end();
    this.#view?.unmount();
    say();
  }

  #read(keys: readonly Key[]): void {
    clearTimeout(this.#escape);
    this.#escape = undefined;
    for (let i = 0; i < keys.length; ) {
      if (this.#ended) return;
      const run = this.#controller.typing ? typedAt(keys, i) : 1;
      if (run < PASTED) this.#controller.key(keys[i++]!);
      else {
        this.#controller.key({ name: 'typed', text: textIn(keys.slice(i, i + run)) }, run);
        i += run;
      }
    }
    const wait = this.#parser.pending;
    if (wait !== undefined && !this.#ended) {
      this.#escape = setTimeout(() => {
        this.#escape = undefined;
        this.#guarded(() => this.#read(this.#parser.flush()));
      }, wait);
    }
  }

  #resized(): void {
    const { screen } = this.#options;
    this.#controller.resize(screen.columns, screen.rows);
  }

  /** A key is answered as soon as those that came with it have been taken; what goes on by itself waits for its turn. */
  #changed(asked: boolean): void {
    if (this.#ended || this.#answer !== undefined) return;
    if (asked) {
      clearTimeout(this.#frame);
      this.#frame = undefined;
      this.#answer = setImmediate(() => {
        this.#answer = undefined;
        this.#guarded(() => this.#draw());
      });
      return;
    }
    if (this.#frame !== undefined) return;
    const wait = Math.max(0, FRAME - (performance.now() - this.#drawn));
    this.#frame = setTimeout(() => {
      this.#frame = undefined;
      this.#guarded(() => this.#draw());
    }, wait);
  }

  #draw(): void {
    const { screen, test, mount } = this.#options;
    this.#drawn = performance.now();
    const { ui } = this.#controller;
    const { blocks, cursor } = this.#controller.screenful(test && this.#view?.settled === true);
    const props: FrameProps = { columns: ui.columns, rows: ui.rows, blocks };
    screen.cursor = cursor;
    this.#view ??= mount(() => this.#changed(false));
    this.#view.update(props);
  }
}
