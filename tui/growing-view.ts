/**
 * What draws the frames: the blocks themselves at first, so that a picture is there at once; then Ink. React and Ink are loaded
 * here and nowhere before, one module after the other with time for keys between them. When blocks come, go or change their
 * places, Ink lays them out anew when the hands rest; what changes in them alone is put into the layout it made.
 */
import { EventEmitter } from 'node:events';
import { composed, filled, samePlaces } from './frame.ts';
import type { FrameProps, View } from './program.ts';
import type { Screen } from './term/screen.ts';
import type { InkLayout } from './view.tsx';

/** Modules that Ink stands on, those that others need first: each import alone holds up the keys for less long than all at once. */
const STEPS: readonly (() => Promise<unknown>)[] = [() => import('react'), () => import('ink')];

/** Milliseconds without a new picture after which Ink lays out: it would hold up the next key for some ten. */
export const REST = 100;

/** Where Ink expects the terminal: keeps the last frame. */
class Canvas extends EventEmitter {
  readonly isTTY = true;
  columns = 0;
  rows = 0;
  frame = '';

  /** An arrow, because Ink takes it off the object; an empty write is Ink's way to ask for the callback. */
  readonly write = (frame: string, done?: unknown): boolean => {
    if (frame !== '') this.frame = frame;
    if (typeof done === 'function') done();
    return true;
  };
}

export class GrowingView implements View {
  readonly #screen: Screen;
  readonly #stdin: NodeJS.ReadStream;
  readonly #grown: () => void;
  readonly #canvas = new Canvas();
  #props: FrameProps | undefined;
  /** what Ink has laid out last */
  #placed: FrameProps | undefined;
  #placing: NodeJS.Timeout | undefined;
  #ink: InkLayout | undefined;
  #ended = false;

  /** `grown` is called when Ink has been loaded. */
  constructor(screen: Screen, stdin: NodeJS.ReadStream, grown: () => void) {
    this.#screen = screen;
    this.#stdin = stdin;
    this.#grown = grown;
    this.#load();
  }

  get settled(): boolean {
    return this.#ink !== undefined;
  }

  update(props: FrameProps): void {
    this.#props = props;
    const { blocks, columns, rows } = props;
    if (this.#fits(props)) this.#screen.write(filled(this.#canvas.frame, blocks, columns));
    else {
      this.#screen.write(composed(blocks, columns, rows));
      this.#placeLater();
    }
  }

  #fits({ columns, rows, blocks }: FrameProps): boolean {
    const placed = this.#placed;
    return placed !== undefined && placed.columns === columns && placed.rows === rows && samePlaces(placed.blocks, blocks);
  }

  #placeLater(): void {
    if (this.#ink === undefined) return;
    clearTimeout(this.#placing);
    this.#placing = setTimeout(() => {
      this.#placing = undefined;
      const props = this.#props;
      if (props === undefined || this.#fits(props)) return;
      Object.assign(this.#canvas, { columns: props.columns, rows: props.rows });
      this.#ink?.layOut(props);
      this.#placed = props;
    }, REST);
  }

  unmount(): void {
    this.#ended = true;
    clearTimeout(this.#placing);
    this.#ink?.unmount();
  }

  async #load(): Promise<void> {
    for (const step of STEPS) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#ended) return;
      await step();
    }
    const { mountInk } = await import('./view.tsx');
    const props = this.#props;
    if (this.#ended || props === undefined) return;
    Object.assign(this.#canvas, { columns: props.columns, rows: props.rows });
    this.#ink = mountInk(this.#canvas as unknown as NodeJS.WriteStream, this.#stdin, props);
    this.#placed = props;
    this.#grown();
  }
}
