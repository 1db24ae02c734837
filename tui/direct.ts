/**
 * Blocks as one frame, without Ink: what is shown until Ink has been loaded, which takes several times as long as all the rest
 * of the start. The same blocks give the same frame.
 */
import type { Block } from './picture.ts';

/** Rows of the screen; blocks do not overlap, and what none of them covers is blank. */
export function composed(blocks: readonly Block[], columns: number, rows: number): string {
  const ordered = [...blocks].sort((a, b) => a.x - b.x);
  const screen = Array.from({ length: rows }, (_, y) => {
    let [row, x] = ['', 0];
    for (const b of ordered) {
      if (y < b.y || y >= b.y + b.height) continue;
      row += ' '.repeat(b.x - x) + (b.rows[y - b.y] ?? ' '.repeat(b.width));
      x = b.x + b.width;
    }
    return x < columns && x > 0 ? row + ' '.repeat(columns - x) : row;
  });
  return screen.join('\n');
}
