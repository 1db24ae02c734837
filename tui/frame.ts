/**
 * Blocks as one frame: by themselves, which is how the first frames are made, and by a layout of stand-ins, which is what Ink
 * makes of them. Both give the same frame.
 */
import type { Rect } from './layout.ts';
import type { Block } from './picture.ts';

/** A rectangle of the screen, told apart from others by its key. */
export interface Placed extends Rect {
  readonly key: string;
}

/** Private characters (U+E000 to U+F8FF) stand for the rows of blocks: the number of the block is added to this one. */
const PRIVATE = 0xe000;

/** What stands for a row of a block; `block` from 0, below 6400. */
export const standIn = (block: number): string => String.fromCharCode(PRIVATE + block);

/** Whether the same rectangles are shown, in the same order. */
export function samePlaces(a: readonly Placed[], b: readonly Placed[]): boolean {
  return (
    a.length === b.length &&
    a.every((p, i) => {
      const q = b[i]!;
      return p.key === q.key && p.x === q.x && p.y === q.y && p.width === q.width && p.height === q.height;
    })
  );
}

/** A row of the screen. Given blocks from left to right, none over another; what none covers is blank. */
class Row {
  #text = '';
  #x = 0;

  /** Row y of a block that begins at column x. */
  put(block: Block, x: number, y: number): void {
    this.#text += ' '.repeat(Math.max(0, x - this.#x)) + (block.rows[y] ?? ' '.repeat(block.width));
    this.#x = x + block.width;
  }

  text(columns: number): string {
    return this.#x < columns && this.#x > 0 ? this.#text + ' '.repeat(columns - this.#x) : this.#text;
  }
}

/** Rows of the screen, separated by line feeds. */
export function composed(blocks: readonly Block[], columns: number, rows: number): string {
  const ordered = [...blocks].sort((a, b) => a.x - b.x);
  const screen = Array.from({ length: rows }, (_, y) => {
    const row = new Row();
    for (const b of ordered) if (y >= b.y && y < b.y + b.height) row.put(b, b.x, y - b.y);
    return row.text(columns);
  });
  return screen.join('\n');
}

/** A frame of stand-ins with the rows that they stand for. */
export function filled(layout: string, blocks: readonly Block[], columns: number): string {
  // by block: how many of its rows have been met
  const met = blocks.map(() => 0);
  const screen = layout.split('\n').map((marks) => {
    const row = new Row();
    for (let x = 0; x < marks.length; x++) {
      const i = marks.charCodeAt(x) - PRIVATE;
      const block = blocks[i];
      if (block !== undefined) row.put(block, x, met[i]!++);
    }
    return row.text(columns);
  });
  return screen.join('\n');
}
