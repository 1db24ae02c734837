/** Keys in, pictures out, for two traces: compares them in slices beside the keys and brings both states to the cursor. */
import { type Comparison, compareTraces, How } from '../../replayer/diff/compare.ts';
import { withheldFrom } from '../../replayer/diff/meaning/withheld.ts';
import type { ControllerHooks } from '../controller.ts';
import type { Screenful } from '../picture.ts';
import type { Key } from '../term/input.ts';
import type { Line } from '../term/text.ts';
import type { Theme } from '../term/theme.ts';
import { DiffPicture, type DiffUnder, type Sides } from './picture.ts';
import type { DiffRow } from './rows.ts';
import { type DiffEvent, type DiffFacts, type DiffUi, initialDiffUi, type LowerPane, reduceDiff } from './ui.ts';

/** Milliseconds of work in one go. */
const SLICE = 8;

export class DiffController {
  readonly #sides: Sides;
  readonly #hooks: ControllerHooks;
  readonly #picture: DiffPicture;
  readonly #facts: DiffFacts;
  #ui: DiffUi;
  #running: Generator<number, Comparison> | undefined;
  #comparison: Comparison | undefined;
  #progress = 0;
  /** the row of which the rules have said what they say */
  #explained = -1;
  #work: NodeJS.Immediate | undefined;
  #keys = 0;

  constructor(sides: Sides, theme: Theme, columns: number, rows: number, hooks: ControllerHooks) {
    this.#sides = sides;
    this.#hooks = hooks;
    this.#picture = new DiffPicture(sides, theme);
    const side = ({ reader, table }: Sides['a']) => ({ source: reader, table });
    this.#running = compareTraces(side(sides.a), side(sides.b), withheldFrom(sides.a.meta, sides.b.meta));
    const compared = (): Comparison | undefined => this.#comparison;
    this.#facts = {
      get rows() {
        return compared()?.rows ?? 0;
      },
      nextRun: (row, direction) => compared()?.nextRun(row, direction) ?? -1,
      rowOf: (side, seq) => compared()?.rowOf(side, seq) ?? -1,
      extent: (pane) => this.#picture.extent(this.#ui, pane, this.#under('')),
    };
    this.#ui = initialDiffUi(columns, rows);
    this.#later();
  }

  get ui(): DiffUi {
    return this.#ui;
  }
  get comparison(): Comparison | undefined {
    return this.#comparison;
  }
  get idle(): boolean {
    return this.#work === undefined;
  }

  get typing(): boolean {
    return this.#ui.prompt !== undefined;
  }

  key(key: Key, keys = 1): void {
    this.#keys += keys;
    this.#dispatch({ type: 'key', key });
  }
  resize(columns: number, rows: number): void {
    this.#dispatch({ type: 'resize', columns, rows });
  }
  /** An event of the left trace. */
  goto(seq: number): void {
    this.#happened({ type: 'goto', seq });
    this.#hooks.changed(true);
  }

  /** Options of the command line. */
  options(mouse: boolean): void {
    this.#happened({ type: 'options', mouse });
  }

  screenful(test: boolean): Screenful {
    const { a, b } = this.#sides;
    a.turnPage();
    b.turnPage();
    const draw = (): Screenful =>
      this.#picture.draw(this.#ui, this.#under(test ? `${this.#keys}${this.idle ? this.#picture.theme.glyphs.idle : ''}` : ''));
    const drawn = draw();
    if (!this.idle || !(a.waits || b.waits)) return drawn;
    this.#later();
    return test ? draw() : drawn;
  }

  /** The row under the cursor; undefined where there is none. */
  get row(): DiffRow | undefined {
    const c = this.#comparison;
    return c === undefined || c.rows === 0 ? undefined : this.#picture.row(this.#ui, c, this.#ui.cursor);
  }

  /** The whole text of a pane. */
  text(pane: LowerPane | 'help'): readonly Line[] {
    return this.#picture.lines(this.#ui, pane, this.#under(''));
  }

  close(): void {
    clearImmediate(this.#work);
    this.#work = undefined;
    this.#running = undefined;
  }

  #under(mark: string): DiffUnder {
    return {
      comparison: this.#comparison,
      progress: this.#progress,
      ready: this.#ready,
      explained: this.#explained === this.#ui.cursor,
      mark,
    };
  }

  /** Both states are where the cursor is. */
  get #ready(): boolean {
    const c = this.#comparison;
    if (c === undefined) return false;
    const { a, b } = this.#sides;
    return a.at === (c.placeA[this.#ui.cursor] ?? 0) && b.at === (c.placeB[this.#ui.cursor] ?? 0);
  }

  #dispatch(event: DiffEvent): void {
    this.#happened(event);
    if (this.#ui.quit) return;
    if (!this.#advance(performance.now() + SLICE)) this.#later();
    this.#hooks.changed(true);
  }

  #happened(event: DiffEvent): void {
    const before = this.#ui;
    this.#ui = reduceDiff(before, event, this.#facts);
    if (this.#ui.mouse !== before.mouse) this.#hooks.mouse?.(this.#ui.mouse);
    if (this.#ui.redraws !== before.redraws) this.#hooks.redraw();
    if (this.#ui.suspends !== before.suspends) this.#hooks.suspend();
    if (this.#ui.quit) {
      this.close();
      this.#hooks.quit();
    } else this.#later();
  }

  /** Works until the deadline; true when there is nothing more to do. */
  #advance(deadline: number): boolean {
    while (this.#running !== undefined) {
      const next = this.#running.next();
      if (next.done === true) {
        this.#running = undefined;
        this.#comparison = next.value;
        this.#ui = reduceDiff(this.#ui, { type: 'compared' }, this.#facts);
      } else this.#progress = next.value;
      if (performance.now() >= deadline) break;
    }
    const c = this.#comparison;
    if (c === undefined) return false;
    const { a, b } = this.#sides;
    const { cursor } = this.#ui;
    if (!a.approach(c.placeA[cursor] ?? 0, deadline) || !b.approach(c.placeB[cursor] ?? 0, deadline)) return false;
    if (!a.tell(deadline) || !b.tell(deadline)) return false;
    if (this.#explained === cursor || (c.how[cursor] ?? How.SAME) === How.SAME) return true;
    if (!a.why.work(c.a[cursor]!, false, deadline) || !b.why.work(c.b[cursor]!, false, deadline)) return false;
    this.#explained = cursor;
    return true;
  }

  #later(): void {
    if (this.#work !== undefined) return;
    this.#work = setImmediate(() => {
      this.#work = undefined;
      try {
        if (!this.#advance(performance.now() + SLICE)) this.#later();
        this.#hooks.changed(false);
      } catch (error) {
        this.#hooks.failed(error);
      }
    });
  }
}
