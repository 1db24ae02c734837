/** The diff view as rectangles of finished rows. */
import { type Comparison, How } from '../../replayer/diff/compare.ts';
import { hints } from '../keymap.ts';
import type { TraceModel } from '../model.ts';
import type { Block, Screenful } from '../picture.ts';
import { headerLine, hintsLine, type PaneContent, PROMPT_MARGIN, paneRows, promptText, smallRows, statusLine } from '../present/chrome.ts';
import { detailLines } from '../present/detail.ts';
import { changeLines } from '../present/effects.ts';
import { helpLines } from '../present/help.ts';
import { objectsView } from '../present/objects.ts';
import { whyLines } from '../present/why.ts';
import { type Extent, inside } from '../scroll.ts';
import { clean, fitLine, type Line, line, lineCells, span } from '../term/text.ts';
import { paintLine, type Theme, toAscii } from '../term/theme.ts';
import { lowerTitles } from './mouse.ts';
import { beside, type DiffRow, differenceLines, marked, pairLine, sideLine } from './rows.ts';
import { type DiffUi, diffLayout, type LowerPane, pageOf, placeOf } from './ui.ts';

export interface Sides {
  readonly a: TraceModel;
  readonly b: TraceModel;
}

export interface DiffUnder {
  /** undefined while the traces are compared */
  readonly comparison: Comparison | undefined;
  /** of the comparison, 0 to 1 */
  readonly progress: number;
  /** the states are at the cursor */
  readonly ready: boolean;
  /** the rules have said what they say of both events */
  readonly explained: boolean;
  readonly mark: string;
}

const FEW_COLUMNS = 100;

export class DiffPicture {
  readonly theme: Theme;
  readonly #sides: Sides;
  #kept: { readonly key: string; readonly lines: readonly Line[] } = { key: '', lines: [] };

  constructor(sides: Sides, theme: Theme) {
    this.#sides = sides;
    this.theme = theme;
  }

  draw(ui: DiffUi, under: DiffUnder): Screenful {
    const l = diffLayout(ui);
    const { columns } = ui;
    if (l.plan === 'small') return this.#small(ui);
    const bar = (y: number, key: string, row: string): Block => ({ x: 0, y, width: columns, height: 1, key, rows: [row] });
    const blocks: Block[] = [bar(0, 'header', this.#header(ui, under)), bar(ui.rows - 2, 'status', this.#status(ui, under))];
    // while a prompt is open, what is wrong with it takes the row of hints
    const wrong = ui.prompt === undefined ? undefined : ui.message?.text;
    const foot =
      wrong === undefined
        ? hintsLine(hints(placeOf(ui)), columns, this.theme)
        : paintLine(line(' ', span(wrong, 'error')), columns, this.theme);
    blocks.push(bar(ui.rows - 1, 'hints', foot));
    if (ui.mode === 'help') blocks.push(this.#box(ui, 'help', 1, ui.rows - 3, this.#lower(ui, 'help', under, ' Help ')));
    else {
      l.lists.forEach((box, i) => {
        const side = l.plan === 'wide' ? undefined : i === 0 ? 'a' : 'b';
        blocks.push(this.#box(ui, `list ${i}`, box.y, box.height, this.#list(ui, side, under)));
      });
      const title = lowerTitles(ui.lower).join('');
      if (l.lower !== undefined) blocks.push(this.#box(ui, 'lower', l.lower.y, l.lower.height, this.#lower(ui, ui.lower, under, title)));
    }
    const cursor = ui.prompt === undefined ? undefined : { x: promptText(ui.prompt, columns - PROMPT_MARGIN).x, y: ui.rows - 2 };
    return { blocks, cursor };
  }

  extent(ui: DiffUi, pane: LowerPane | 'help', under: DiffUnder): Extent {
    const lines = this.lines(ui, pane, under);
    return { lines: lines.length, cells: lines.reduce((n, l) => Math.max(n, lineCells(l)), 0) };
  }

  #small(ui: DiffUi): Screenful {
    const rows = smallRows(ui.columns, ui.rows, this.theme);
    return { blocks: [{ x: 0, y: 0, width: ui.columns, height: ui.rows, key: 'small', rows }], cursor: undefined };
  }

  #box(ui: DiffUi, key: string, y: number, height: number, content: PaneContent): Block {
    return { x: 0, y, width: ui.columns, height, key, rows: paneRows(ui.columns, height, content, this.theme) };
  }

  #header(ui: DiffUi, { comparison }: DiffUnder): string {
    const { a, b } = this.#sides;
    const runs = comparison?.runs.length ?? 0;
    const at = comparison?.runOf(ui.cursor) ?? 0;
    const where = comparison === undefined ? '' : runs === 0 ? 'no difference' : `difference ${at} of ${runs}`;
    const kernels = a.meta.kernel === b.meta.kernel ? [] : [clean(`${a.meta.kernel} | ${b.meta.kernel}`)];
    const lost = a.meta.dropped + b.meta.dropped;
    const warnings = [...(a.meta.complete && b.meta.complete ? [] : ['INCOMPLETE']), ...(lost > 0 ? [`${lost} events LOST`] : [])];
    return headerLine({ file: clean(`${a.name} | ${b.name}`), warnings, facts: kernels, position: where }, ui.columns, this.theme);
  }

  #status(ui: DiffUi, under: DiffUnder): string {
    const right = [`${ui.keys.count}${ui.keys.prefix.replaceAll(' ', '')}`, under.mark].filter((t) => t !== '').join(' ');
    return statusLine(this.#statusText(ui, under), right === '' ? '' : ` ${right}`, ui.columns, this.theme);
  }

  #statusText(ui: DiffUi, { comparison, progress }: DiffUnder): Line {
    if (ui.prompt !== undefined) return line(promptText(ui.prompt, ui.columns - PROMPT_MARGIN).text);
    if (comparison === undefined) {
      return line(' ', span(`comparing${this.theme.glyphs.ellipsis}`, 'job'), ` ${Math.floor(100 * Math.min(1, progress))} %`);
    }
    if (ui.message !== undefined) return line(' ', span(ui.message.text, ui.message.error ? 'error' : 'strong'));
    return line(' ', span(summaryOf(comparison), 'dim'));
  }

  /** Both events of a row. */
  row(ui: DiffUi, comparison: Comparison, row: number): DiffRow {
    const { a, b } = this.#sides;
    const [i, j] = [comparison.a[row]!, comparison.b[row]!];
    return {
      how: comparison.how[row] as How,
      a: i === 0 ? undefined : a.listed(i),
      b: j === 0 ? undefined : b.listed(j),
      here: row === ui.cursor,
    };
  }

  #list(ui: DiffUi, side: 'a' | 'b' | undefined, { comparison }: DiffUnder): PaneContent {
    const { a, b } = this.#sides;
    const width = ui.columns - 2;
    const title = side === undefined ? `${clean(a.name)} | ${clean(b.name)}` : clean(this.#sides[side].name);
    const base = { title: line(span(` ${title} `, 'title')), focused: true, stale: false };
    if (comparison === undefined) return { ...base, lines: [], footer: '' };
    if (comparison.rows === 0) return { ...base, lines: [line(span(' both traces have no events', 'dim'))], footer: '' };
    const first = ui.cursor - ui.cursorRow;
    const seqs = [a.last, b.last].map((n) => Math.max(4, String(n).length)) as [number, number];
    const lines: Line[] = [];
    for (let row = first; row < Math.min(comparison.rows, first + pageOf(ui, 'rows').lines); row++) {
      const shown = this.row(ui, comparison, row);
      lines.push(
        side === undefined
          ? pairLine(shown, width, seqs, this.theme)
          : sideLine(shown, side, width, seqs[side === 'a' ? 0 : 1], this.theme),
      );
    }
    return { ...base, lines, footer: side === 'a' ? '' : ` row ${ui.cursor + 1} of ${comparison.rows} ` };
  }

  #lower(ui: DiffUi, pane: LowerPane | 'help', under: DiffUnder, title: string): PaneContent {
    const all = this.lines(ui, pane, under);
    const page = pageOf(ui, pane);
    const { top } = inside(ui.scroll[pane], { lines: all.length, cells: 0 }, page);
    const lines = all.slice(top, top + page.lines);
    const footer = all.length <= page.lines ? '' : ` ${top + 1}-${top + lines.length} of ${all.length} `;
    return { lines, footer, title: line(span(title, 'title')), focused: pane === 'help', stale: pane !== 'help' && !under.ready };
  }

  /** The whole text of a pane. */
  lines(ui: DiffUi, pane: LowerPane | 'help', under: DiffUnder): readonly Line[] {
    const { comparison, ready } = under;
    const width = ui.columns - 2;
    if (pane === 'help') return helpLines('diff', width, this.theme.glyphs);
    if (comparison === undefined || comparison.rows === 0) return [];
    const key = `${pane} ${ui.cursor} ${width} ${ready} ${under.explained}`;
    if (this.#kept.key !== key) {
      this.#kept = {
        key,
        lines: pane === 'detail' ? this.#detail(ui, comparison, width, ready) : this.#states(ui, comparison, width, ready),
      };
    }
    return this.#kept.lines;
  }

  #both(a: (width: number) => readonly Line[], b: (width: number) => readonly Line[], width: number): Line[] {
    const { ascii, glyphs } = this.theme;
    if (width + 2 < FEW_COLUMNS) {
      const { a: left, b: right } = this.#sides;
      const head = (side: TraceModel): Line => line(span(` ${clean(side.name)}`, 'title'));
      return [head(left), ...a(width), head(right), ...b(width)];
    }
    const half = (width - 3) >> 1;
    const plain = (l: Line): Line => (ascii ? { ...l, spans: l.spans.map((s) => ({ ...s, text: toAscii(s.text) })) } : l);
    return beside(a(half), b(width - 3 - half), width, this.theme, (l, n) => ({ spans: fitLine(plain(l), n, glyphs.ellipsis) }));
  }

  #detail(ui: DiffUi, comparison: Comparison, width: number, ready: boolean): Line[] {
    const { glyphs } = this.theme;
    const fields = comparison.fields(ui.cursor);
    const names = new Set(fields.filter((f) => f.differs).map((f) => f.name.replace(/\[\d+\]$/, '')));
    const differs = comparison.how[ui.cursor] !== How.SAME;
    const why = (model: TraceModel, seq: number): readonly Line[] => {
      const state = differs ? model.why.state(seq, false) : ({ kind: 'none' } as const);
      return state.kind === 'far' ? [] : whyLines(state, [], glyphs);
    };
    const one =
      (model: TraceModel, seq: number) =>
      (room: number): readonly Line[] => {
        const event = seq === 0 ? undefined : model.event(seq);
        if (event === undefined) return [line('  ', span('no such event here', 'dim'))];
        const at = ready && model.at === seq;
        const lines = detailLines({
          event,
          context: at ? model.contextHere : model.context,
          resolve: (field, id) => (at ? model.resolve(event, field, id) : undefined),
          why: why(model, seq),
          changes: at ? changeLines(model.changes, model.names, glyphs) : undefined,
          width: room,
          glyphs,
        });
        return [line('  ', span(`event ${seq}`, 'strong')), ...marked(lines, names, glyphs)];
      };
    const { a, b } = this.#sides;
    const both = this.#both(one(a, comparison.a[ui.cursor]!), one(b, comparison.b[ui.cursor]!), width);
    return [...differenceLines(comparison.how[ui.cursor] as How, fields, width, glyphs), ...both];
  }

  #states(ui: DiffUi, comparison: Comparison, width: number, ready: boolean): Line[] {
    const one = (model: TraceModel, seq: number) => (): readonly Line[] => [
      line('  ', span(seq === 0 ? 'before the first event' : `after event ${seq}`, 'strong')),
      ...(ready ? objectsView(model.graph, model.changes, this.theme.glyphs).lines : [line('  ', span(this.theme.glyphs.ellipsis, 'job'))]),
    ];
    const { a, b } = this.#sides;
    return this.#both(one(a, comparison.placeA[ui.cursor]!), one(b, comparison.placeB[ui.cursor]!), width);
  }
}

/** What came of it, in numbers. */
export function summaryOf(c: Comparison): string {
  if (c.equal) return `no difference: ${c.rows} events on both sides, other numbers aside`;
  const counts = [0, 0, 0, 0];
  for (const how of c.how) counts[how]!++;
  const [same, changed, left, right] = counts as [number, number, number, number];
  return `${same} the same, ${changed} changed, ${left} only left, ${right} only right`;
}
