/**
 * What draws the frames: the blocks themselves at first, so that a picture is there at once; then Ink. React and Ink are loaded
 * here and nowhere before, one module after the other with time for keys between them. Ink draws into the painter, which
 * stands where it expects the terminal.
 */
import { composed } from './direct.ts';
import type { FrameProps, View } from './program.ts';
import type { Screen } from './term/screen.ts';

/** Modules that Ink stands on, those that others need first: each import alone holds up the keys for less long than all at once. */
const STEPS: readonly (() => Promise<unknown>)[] = [() => import('react'), () => import('ink')];

export class GrowingView implements View {
  readonly #screen: Screen;
  readonly #stdin: NodeJS.ReadStream;
  #props: FrameProps | undefined;
  #ink: View | undefined;
  #ended = false;

  constructor(screen: Screen, stdin: NodeJS.ReadStream) {
    this.#screen = screen;
    this.#stdin = stdin;
    this.#load();
  }

  update(props: FrameProps): void {
    this.#props = props;
    if (this.#ink === undefined) this.#screen.write(composed(props.blocks, props.columns, props.rows));
    else this.#ink.update(props);
  }

  unmount(): void {
    this.#ended = true;
    this.#ink?.unmount();
  }

  async #load(): Promise<void> {
    // both look at it while they are loaded
    process.env.NODE_ENV ??= 'production';
    for (const step of STEPS) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#ended) return;
      await step();
    }
    const [{ render }, { createElement }, { App }] = await Promise.all([import('ink'), import('react'), import('./view.tsx')]);
    const props = this.#props;
    if (this.#ended || props === undefined) return;
    // debug: every frame whole and at once, before Ink's own terminal logic, which also keeps silent under CI
    const facade = this.#screen as unknown as NodeJS.WriteStream;
    const ink = render(createElement(App, props), {
      stdout: facade,
      stdin: this.#stdin,
      debug: true,
      exitOnCtrlC: false,
      patchConsole: false,
    });
    this.#ink = { update: (next) => ink.rerender(createElement(App, next)), unmount: () => ink.unmount() };
  }
}
