/**
 * What tmux says of a terminal's screen (`capture-pane -e`), as cells: one character each with its attributes. Only what the
 * screens are drawn with is understood: characters of one cell, bold, dim, underline, reverse and the 16 colours.
 */

export interface Look {
  /** 0 to 15; undefined is the terminal's own colour */
  readonly fore: number | undefined;
  readonly back: number | undefined;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly underline: boolean;
  readonly reverse: boolean;
}

export interface Cell {
  readonly text: string;
  readonly look: Look;
}

export const PLAIN: Look = { fore: undefined, back: undefined, bold: false, dim: false, underline: false, reverse: false };

/** SGR parameters that change one thing. */
const SIMPLE: Readonly<Record<number, Partial<Look>>> = {
  0: PLAIN,
  1: { bold: true },
  2: { dim: true },
  4: { underline: true },
  7: { reverse: true },
  22: { bold: false, dim: false },
  24: { underline: false },
  27: { reverse: false },
  39: { fore: undefined },
  49: { back: undefined },
};

function attribute(look: Look, n: number): Look {
  const simple = SIMPLE[n];
  if (simple !== undefined) return { ...look, ...simple };
  if (n >= 30 && n <= 37) return { ...look, fore: n - 30 };
  if (n >= 40 && n <= 47) return { ...look, back: n - 40 };
  if (n >= 90 && n <= 97) return { ...look, fore: n - 82 };
  if (n >= 100 && n <= 107) return { ...look, back: n - 92 };
  throw new Error(`SGR ${n} is not of the theme`);
}

/** Attributes, or one character. */
const PIECE = /\x1b\[([0-9;]*)m|([^\x00-\x1f\x7f-\x9f])/gu;

/** Rows of `columns` cells each; what a row does not have is blank. Throws at anything else than attributes and characters. */
export function cellsOf(rows: readonly string[], columns: number): Cell[][] {
  // attributes last beyond the end of a row
  let look = PLAIN;
  return rows.map((row) => {
    const cells: Cell[] = [];
    let at = 0;
    for (const m of row.matchAll(PIECE)) {
      if (m.index !== at) break;
      at += m[0].length;
      if (m[2] !== undefined) cells.push({ text: m[2], look });
      else for (const n of (m[1] || '0').split(';')) look = attribute(look, Number(n));
    }
    if (at !== row.length) throw new Error(`not a row of a screen: ${JSON.stringify(row.slice(at, at + 20))}`);
    if (cells.length > columns) throw new Error(`a row of ${cells.length} cells, of ${columns}`);
    while (cells.length < columns) cells.push({ text: ' ', look: PLAIN });
    return cells;
  });
}
