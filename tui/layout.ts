/**
 * Where the panes are: a pure function of the terminal's size and of what has the focus. Rectangles are in cells, from the
 * upper left corner; together they cover the screen without gaps or overlaps (a test draws them).
 */

export type PaneId = 'events' | 'detail' | 'objects' | 'changed' | 'devices' | 'cmdqv';
export type LowerPane = Exclude<PaneId, 'events'>;

/** All panes. A pane's number is its place here, from 1, also where others are not there; Tab goes through them in this order. */
export const PANES: readonly PaneId[] = ['events', 'detail', 'objects', 'changed', 'devices', 'cmdqv'];
export const PANE_TITLES: Readonly<Record<PaneId, string>> = {
  events: 'Events',
  detail: 'Detail',
  objects: 'Objects',
  changed: 'Changed',
  devices: 'Devices',
  cmdqv: 'CMDQV',
};
/** Those that every trace has. */
export const ALWAYS: readonly PaneId[] = ['events', 'detail', 'objects', 'changed'];

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

type Plan = 'broad' | 'wide' | 'stacked' | 'single';

export interface Layout {
  /**
   * broad: three columns, nearly every pane has its own box; wide: two columns; stacked: events above, the others as tabs
   * below; single: one box; small: no room, say so
   */
  readonly plan: Plan | 'small';
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
  /** panes that were looked at, the last one first: of those that share a box, which is on top */
  readonly recent: readonly PaneId[];
  readonly zoom: boolean;
  /** those that there are, in the order of PANES */
  readonly panes: readonly PaneId[];
}

/** Rows of the overview, by the rows of the screen. */
const STRIP = [
  { from: 36, rows: 2 },
  { from: 20, rows: 1 },
] as const;

const BROAD = { columns: 200, rows: 40 } as const;
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
  const plan = input.zoom ? 'single' : planOf(input);
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

function planOf(input: LayoutInput): Plan {
  if (atLeast(input, BROAD)) return 'broad';
  if (atLeast(input, WIDE)) return 'wide';
  return atLeast(input, STACKED) ? 'stacked' : 'single';
}

/** Boxes one above the other, each with the panes that share it; a box without any pane has no place. */
interface Column {
  readonly width: number;
  readonly parts: readonly { readonly tabs: readonly PaneId[]; readonly share: number }[];
}

/** Rows that a box has at least, where there are several in a column. */
const LOWEST = { stacked: 8, wide: 12, broad: 12, single: 0 } as const;

function columnsOf(plan: Plan, width: number, panes: readonly PaneId[]): readonly Column[] {
  const part = (share: number, ...tabs: PaneId[]) => ({ share, tabs: tabs.filter((p) => panes.includes(p)) });
  if (plan === 'single') return [{ width, parts: [part(1, ...PANES)] }];
  if (plan === 'stacked') return [{ width, parts: [part(0.5, 'events'), part(0.5, ...PANES.slice(1))] }];
  if (plan === 'wide') {
    // queues with their registers need more room than the tree
    const right = Math.min(64, Math.max(44, Math.floor(width * (panes.includes('cmdqv') ? 0.4 : 0.34))));
    return [
      { width: width - right, parts: [part(0.64, 'events'), part(0.36, 'detail', 'changed')] },
      { width: right, parts: [part(0.5, 'objects', 'devices'), part(0.5, 'cmdqv')] },
    ];
  }
  const side = Math.min(72, Math.max(52, Math.floor(width * 0.27)));
  return [
    { width: width - 2 * side, parts: [part(0.6, 'events'), part(0.4, 'detail')] },
    { width: side, parts: [part(0.64, 'objects'), part(0.36, 'changed')] },
    { width: side, parts: [part(0.64, 'cmdqv'), part(0.36, 'devices')] },
  ];
}

function boxes(plan: Plan, body: Rect, { focus, recent, panes }: LayoutInput): readonly PaneBox[] {
  const found: PaneBox[] = [];
  const columns = columnsOf(plan, body.width, panes)
    .map((c) => ({ ...c, parts: c.parts.filter((p) => p.tabs.length > 0) }))
    .filter((c) => c.parts.length > 0);
  // a column that nobody needs goes to the first one
  let x = body.x;
  const spare = body.width - columns.reduce((n, c) => n + c.width, 0);
  columns.forEach((column, i) => {
    const width = column.width + (i === 0 ? spare : 0);
    const total = column.parts.reduce((n, p) => n + p.share, 0);
    let y = body.y;
    column.parts.forEach((part, k) => {
      const left = body.y + body.height - y;
      const below = column.parts.slice(k + 1).reduce((n, p) => n + Math.max(LOWEST[plan], Math.floor((body.height * p.share) / total)), 0);
      const height = left - below;
      found.push({ x, y, width, height, tabs: part.tabs, pane: onTop(part.tabs, focus, recent) });
      y += height;
    });
    x += width;
  });
  return found;
}

function onTop(tabs: readonly PaneId[], focus: PaneId, recent: readonly PaneId[]): PaneId {
  return tabs.includes(focus) ? focus : (recent.find((p) => tabs.includes(p)) ?? tabs[0]!);
}

/** Rows of text in a box: without its frame. */
export function innerHeight(box: Rect | undefined): number {
  return box === undefined ? 0 : Math.max(0, box.height - 2);
}

/** The box that shows a pane now, if any. */
export function boxOf(l: Layout, pane: PaneId): PaneBox | undefined {
  return l.boxes.find((b) => b.pane === pane);
}
