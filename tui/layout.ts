/**
 * Where the panes are: a pure function of the terminal's size and of what has the focus. Rectangles are in cells, from the
 * upper left corner; together they cover the screen without gaps or overlaps (a test draws them).
 */

export type PaneId = 'events' | 'detail' | 'objects';

/** A pane's number is its place here, from 1; Tab goes through them in this order. */
export const PANES: readonly PaneId[] = ['events', 'detail', 'objects'];

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A framed box on the screen: one pane, or several that share the box as tabs. */
export interface PaneBox extends Rect {
  readonly pane: PaneId;
  /** all panes that live in this box, `pane` among them, in tab order */
  readonly tabs: readonly PaneId[];
}

export interface Layout {
  /** wide: three boxes; stacked: events above, the others as tabs below; single: one box; small: no room, say so */
  readonly plan: 'wide' | 'stacked' | 'single' | 'small';
  readonly header: Rect;
  readonly boxes: readonly PaneBox[];
  /** the whole session at a glance; no rows where there is no room */
  readonly strip: Rect;
  readonly status: Rect;
  readonly hints: Rect;
}

export interface LayoutInput {
  readonly columns: number;
  readonly rows: number;
  readonly focus: PaneId;
  /** the pane of the lower box that was last looked at, for when the events have the focus */
  readonly lower: Exclude<PaneId, 'events'>;
  readonly zoom: boolean;
}

/** Rows of the overview, by the rows of the screen. */
const STRIP = [
  { from: 36, rows: 2 },
  { from: 20, rows: 1 },
] as const;

const WIDE = { columns: 120, rows: 30 } as const;
const STACKED = { columns: 60, rows: 20 } as const;
export const SMALLEST = { columns: 40, rows: 10 } as const;

const atLeast = (l: LayoutInput, size: { readonly columns: number; readonly rows: number }): boolean =>
  l.columns >= size.columns && l.rows >= size.rows;

export function layout(input: LayoutInput): Layout {
  const { columns, rows } = input;
  const bar = (y: number, height = 1): Rect => ({ x: 0, y, width: columns, height });
  if (!atLeast(input, SMALLEST)) {
    return { plan: 'small', header: bar(0, rows), boxes: [], strip: bar(rows, 0), status: bar(rows, 0), hints: bar(rows, 0) };
  }
  const plan = input.zoom ? 'single' : atLeast(input, WIDE) ? 'wide' : atLeast(input, STACKED) ? 'stacked' : 'single';
  const overview = STRIP.find((s) => rows >= s.from)?.rows ?? 0;
  const body: Rect = { x: 0, y: 1, width: columns, height: rows - 3 - overview };
  return {
    plan,
    header: bar(0),
    boxes: boxes(plan, body, input),
    strip: bar(rows - 2 - overview, overview),
    status: bar(rows - 2),
    hints: bar(rows - 1),
  };
}

function boxes(plan: 'wide' | 'stacked' | 'single', body: Rect, { focus, lower }: LayoutInput): readonly PaneBox[] {
  const shown = focus === 'events' ? lower : focus;
  if (plan === 'single') return [{ ...body, pane: focus, tabs: PANES }];
  if (plan === 'stacked') {
    const below = Math.max(8, Math.floor(body.height * 0.5));
    const above = body.height - below;
    return [
      { ...body, height: above, pane: 'events', tabs: ['events'] },
      { ...body, y: body.y + above, height: below, pane: shown, tabs: ['detail', 'objects'] },
    ];
  }
  const right = Math.min(64, Math.max(44, Math.floor(body.width * 0.34)));
  const below = Math.max(12, Math.floor(body.height * 0.36));
  const left = body.width - right;
  return [
    { ...body, width: left, height: body.height - below, pane: 'events', tabs: ['events'] },
    { ...body, width: left, y: body.y + body.height - below, height: below, pane: 'detail', tabs: ['detail'] },
    { ...body, x: left, width: right, pane: 'objects', tabs: ['objects'] },
  ];
}

/** Rows of text in a box: without its frame. */
export function innerHeight(box: Rect | undefined): number {
  return box === undefined ? 0 : Math.max(0, box.height - 2);
}

/** The box that shows a pane now, if any. */
export function boxOf(l: Layout, pane: PaneId): PaneBox | undefined {
  return l.boxes.find((b) => b.pane === pane);
}
