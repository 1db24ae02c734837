/**
 * The painter. It receives whole frames. Only rows that differ from the rows on the terminal are written, each addressed
 * absolutely, inside one synchronized update (DEC mode 2026). Nothing here waits: while the terminal is slow, newer
 * frames replace the one that waits.
 */
import { EventEmitter } from 'node:events';
import { cells } from './text.ts';

/** What the painter needs of a terminal: the writable half of a tty, or a stand-in in tests. */
export interface Terminal {
  readonly columns?: number;
  readonly rows?: number;
  /** false: the terminal is slow, wait for 'drain' */
  write(data: string): boolean;
  on(event: 'resize' | 'drain', listener: () => void): unknown;
  off(event: 'resize' | 'drain', listener: () => void): unknown;
}

/** Where the terminal's cursor stands, from 0; undefined hides it. */
export interface CursorPlace {
  readonly x: number;
  readonly y: number;
}

const CSI = '\x1b[';
/** alternate screen, cursor hidden, no auto-wrap, bracketed paste */
const ENTER = `${CSI}?1049h${CSI}?25l${CSI}?7l${CSI}?2004h${CSI}0m${CSI}2J`;
const LEAVE = `${CSI}0m${CSI}?2004l${CSI}?7h${CSI}?25h${CSI}?1049l`;
/** presses and the wheel, reported in cells of any number; with Shift held the terminal selects text as ever */
const MOUSE = { on: `${CSI}?1000h${CSI}?1006h`, off: `${CSI}?1006l${CSI}?1000l` } as const;
const BEGIN = `${CSI}?2026h`;
const END = `${CSI}?2026l`;
const SGR = /\x1b\[[0-9;:]*m/g;

/** Event 'size': the terminal has a new size; the next frame is painted whole. */
export class Screen extends EventEmitter {
  readonly #terminal: Terminal;
  #shown: readonly string[] = [];
  #pending: string | undefined;
  #cursor: CursorPlace | undefined;
  #cursorShown: CursorPlace | undefined;
  #active = false;
  #mouse = false;
  #wipe = true;
  #slow = false;

  constructor(terminal: Terminal) {
    super();
    this.#terminal = terminal;
  }

  /** Size in cells. A terminal that says nothing, or 0, counts as 80x24. */
  get columns(): number {
    return this.#terminal.columns || 80;
  }
  get rows(): number {
    return this.#terminal.rows || 24;
  }
  /** true while a frame waits for a slow terminal */
  get busy(): boolean {
    return this.#active && this.#pending !== undefined;
  }

  /** Takes the terminal over: alternate screen, no cursor. The frame that was last written is painted whole. */
  enter(): void {
    if (this.#active) return;
    this.#active = true;
    this.#slow = false;
    this.#terminal.on('resize', this.#resized);
    this.#terminal.on('drain', this.#drained);
    this.#put(this.#mouse ? ENTER + MOUSE.on : ENTER);
    this.#wipe = true;
    this.#cursorShown = undefined;
    if (this.#shown.length > 0) this.#pending ??= this.#shown.join('\n');
    this.#flush();
  }

  /** Gives the terminal back as it was. May be called at any time and twice, also from an exit handler. */
  leave(): void {
    if (!this.#active) return;
    this.#active = false;
    this.#terminal.off('resize', this.#resized);
    this.#terminal.off('drain', this.#drained);
    this.#put(this.#mouse ? MOUSE.off + LEAVE : LEAVE);
  }

  /** Paints everything again with the next frame: after something else has written to the terminal. */
  invalidate(): void {
    this.#wipe = true;
    this.#pending ??= this.#shown.join('\n');
    this.#flush();
  }

  /** Sends a text to the terminal's clipboard (OSC 52), where it takes that. */
  copy(text: string): void {
    if (this.#active) this.#put(`\x1b]52;c;${Buffer.from(text).toString('base64')}\x07`);
  }

  /** Whether the terminal tells of the mouse while the screen is taken over. */
  set mouse(on: boolean) {
    if (on === this.#mouse) return;
    this.#mouse = on;
    if (this.#active) this.#put(on ? MOUSE.on : MOUSE.off);
  }

  /** Where the cursor stands after the next frame. */
  set cursor(place: CursorPlace | undefined) {
    this.#cursor = place;
  }

  /** A frame: rows separated by line feeds. */
  write(frame: string): void {
    this.#pending = frame;
    this.#flush();
  }

  #put(data: string): void {
    if (!this.#terminal.write(data)) this.#slow = true;
  }

  readonly #resized = (): void => {
    this.#wipe = true;
    this.emit('size');
  };

  readonly #drained = (): void => {
    this.#slow = false;
    this.#flush();
  };

  #flush(): void {
    if (!this.#active || this.#slow || this.#pending === undefined) return;
    const rows = this.#pending.split('\n').slice(0, this.rows);
    this.#pending = undefined;
    const changes = this.#changes(rows);
    const cursor = this.#cursorMove(changes !== '');
    this.#shown = rows;
    if (changes !== '' || cursor !== '') this.#put(BEGIN + changes + cursor + END);
  }

  #changes(rows: readonly string[]): string {
    let out = '';
    if (this.#wipe) {
      this.#wipe = false;
      this.#shown = [];
      out += `${CSI}0m${CSI}2J`;
    }
    const columns = this.columns;
    const height = Math.max(rows.length, this.#shown.length);
    for (let n = 0; n < height; n++) {
      // the row above the last is the status: it comes when all that it speaks of is there
      const y = height === 1 || n < height - 2 ? n : 2 * height - 3 - n;
      const row = rows[y] ?? '';
      if (row === (this.#shown[y] ?? '')) continue;
      out += `${CSI}${y + 1};1H${row}${CSI}0m`;
      // erasing at the right edge would take the last character, for the cursor stays on it
      if (cells(row.replace(SGR, '')) < columns) out += `${CSI}K`;
    }
    return out;
  }

  #cursorMove(moved: boolean): string {
    const want = this.#cursor;
    const same = want?.x === this.#cursorShown?.x && want?.y === this.#cursorShown?.y;
    if (same && (want === undefined || !moved)) return '';
    this.#cursorShown = want;
    return want === undefined ? `${CSI}?25l` : `${CSI}${want.y + 1};${want.x + 1}H${CSI}?25h`;
  }
}
