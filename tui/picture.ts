/**
 * The whole screen as rectangles of finished rows: asks the model for what is in view, the presenters for lines, and keeps
 * the lines of the event under the cursor until it moves.
 */

import type { Aside } from './find/aside.ts';
import { type EventList, pageOfList, wholeList } from './find/list.ts';
import { continuations, type Hint, hints } from './keymap.ts';
import type { Lane } from './lanes.ts';
import { innerHeight, type Layout, type PaneBox, type PaneId, type Rect } from './layout.ts';
import type { TraceModel } from './model.ts';
import { changedLines } from './present/changed.ts';
import {
  headerLine,
  hintsLine,
  type PaneContent,
  PROMPT_MARGIN,
  paneRows,
  paneTitle,
  promptText,
  smallRows,
  statusLine,
} from './present/chrome.ts';
import { cmdqvView, type StateView } from './present/cmdqv.ts';
import { damageLines, detailLines } from './present/detail.ts';
import { devicesView } from './present/devices.ts';
import { changeLines } from './present/effects.ts';
import type { ListedEvent } from './present/event.ts';
import { countText, filterTitle, rangesOf } from './present/finding.ts';
import { helpLines } from './present/help.ts';
import { hexLines } from './present/hex.ts';
import { objectsView } from './present/objects.ts';
import { placesLines } from './present/places.ts';
import { eventRows } from './present/rows.ts';
import { stripLines } from './present/strip.ts';
import { timeText } from './present/time-column.ts';
import { whyLines } from './present/why.ts';
import { type Extent, inside, type Scroll } from './scroll.ts';
import type { CursorPlace } from './term/screen.ts';
import { clean, dropCells, type Line, line, lineCells, span } from './term/text.ts';
import { type Glyphs, paintLine, type Theme, type Token } from './term/theme.ts';
import { speedText } from './travel.ts';
import { Traveller } from './traveller.ts';
import { layoutOf, pageOf, placeOf, type ScrollPane, type Ui } from './ui.ts';
import type { WhyState } from './why-run.ts';

/** A rectangle with its rows, each exactly as wide as it is. */
export interface Block extends Rect {
  readonly key: string;
  readonly rows: readonly string[];
}

export interface Screenful {
  readonly blocks: readonly Block[];
  readonly cursor: CursorPlace | undefined;
}

/** What is under way while the screen is drawn. */
export interface Under {
  readonly job: { readonly what: string; readonly progress: number } | undefined;
  /** the state is at the cursor */
  readonly ready: boolean;
  /** of a recording that is followed: that it is, and how fast it grows */
  readonly live?: string;
  /** matches and the overview, as far as they are known */
  readonly aside?: Aside;
  /** put at the end of the status line */
  readonly mark: string;
}

const NOTHING: StateView = { lines: [], marked: -1 };

/** Panes that show the state at the cursor. */
type StatePane = Exclude<PaneId, 'events' | 'detail'>;
export const STATE_PANES: readonly StatePane[] = ['objects', 'changed', 'devices', 'cmdqv'];

export class Picture {
  readonly theme: Theme;
  readonly #model: TraceModel;
  /** what there is to draw now, for who asks between two pictures */
  now: (() => { readonly ui: Ui; readonly ready: boolean }) | undefined;
  /** bookmarks, notes and times */
  readonly traveller: Traveller;
  /** of the panes that show the state: made for an event, and kept while the next one is being read */
  readonly #states = new Map<StatePane, { readonly seq: number; readonly width: number; readonly view: StateView }>();
  #detail: { readonly key: string; readonly lines: readonly Line[] } = { key: '', lines: [] };

  constructor(model: TraceModel, theme: Theme) {
    this.#model = model;
    this.theme = theme;
    const lines = (pane: 'objects' | 'detail'): readonly Line[] => {
      const now = this.now?.();
      return now === undefined ? [] : this.#lines(now.ui, pane, now.ready);
    };
    this.traveller = new Traveller(model, {
      objects: () => (lines('objects').length === 0 ? [] : this.#objectKeys()),
      detail: () => lines('detail'),
    });
  }

  draw(ui: Ui, under: Under): Screenful {
    const l = layoutOf(ui);
    if (l.plan === 'small') return this.#small(ui, l);
    const main = ui.mode === 'help' ? [this.#help(ui, l)] : l.boxes.map((box) => this.#pane(ui, box, under));
    const bars: Block[] = [
      { ...l.header, key: 'header', rows: [this.#header(ui, under.live ?? '')] },
      { ...l.status, key: 'status', rows: [this.#status(ui, under)] },
      ...(ui.mode === 'help' ? [] : this.#strip(ui, l, under)),
      { ...l.hints, key: 'hints', rows: [this.#hints(ui, under)] },
    ];
    const cursor = ui.prompt === undefined ? undefined : { x: promptText(ui.prompt, ui.columns - PROMPT_MARGIN).x, y: l.status.y };
    return { blocks: [...bars, ...main], cursor };
  }

  /** Which keys there are; while a prompt is open, what is wrong with it: what the last key said, else what a filter lacks yet. */
  #hints(ui: Ui, { aside }: Under): string {
    const said = ui.prompt !== undefined && ui.message?.error === true ? ui.message.text : undefined;
    const wrong = said ?? (ui.prompt?.kind === 'filter' ? aside?.wrong : undefined);
    if (wrong === undefined) return hintsLine(hintsOf(ui), ui.columns, this.theme);
    return paintLine(line(' ', span(clean(wrong), 'error')), ui.columns, this.theme);
  }

  #strip(ui: Ui, { strip }: Layout, { aside }: Under): Block[] {
    if (strip.height === 0) return [];
    const lines = stripLines({
      columns: aside?.strip?.columns ?? [],
      width: strip.width,
      rows: strip.height,
      cursor: ui.cursor,
      // they are read once the first picture is there
      bookmarks: aside?.strip === undefined ? [] : this.traveller.marks.all,
      hits: (first, last) => aside?.search?.hits.any(first, last) ?? false,
      theme: this.theme,
    });
    return [{ ...strip, key: 'strip', rows: lines.map((l) => paintLine(l, strip.width, this.theme)) }];
  }

  /** How large the text of a scrolling pane is now. */
  extent(ui: Ui, pane: ScrollPane, ready: boolean): Extent {
    return extentOf(this.#lines(ui, pane, ready));
  }

  /** The whole text of a pane, as wide as it is on the screen: for who reads it line by line. */
  text(ui: Ui, pane: ScrollPane, ready: boolean): readonly Line[] {
    return this.#lines(ui, pane, ready);
  }

  #lines(ui: Ui, pane: ScrollPane, ready: boolean): readonly Line[] {
    if (pane === 'help') return this.#helpLines(ui);
    return pane === 'detail'
      ? this.#detailLines(ui, pageOf(ui, 'detail').cells, ready)
      : this.#stateView(pane, pageOf(ui, pane).cells, ready).lines;
  }

  /** The first line of a pane that the event under the cursor has to do with; -1 none. */
  marked(ui: Ui, pane: StatePane): number {
    return this.#stateView(pane, pageOf(ui, pane).cells, this.#model.at === ui.cursor).marked;
  }

  #small(ui: Ui, l: Layout): Screenful {
    const rows = smallRows(ui.columns, ui.rows, this.theme);
    return { blocks: [{ ...l.header, key: 'header', rows }], cursor: undefined };
  }

  #header(ui: Ui, live: string): string {
    const { meta, name, last, dialect } = this.#model;
    const damaged = this.#model.source.lost;
    const percent = last <= 1 ? 100 : Math.round(((ui.cursor - 1) / (last - 1)) * 100);
    return headerLine(
      {
        file: clean(name),
        warnings: [
          ...(live !== '' ? [live] : meta.complete ? [] : ['INCOMPLETE']),
          ...(meta.dropped > 0 ? [`${meta.dropped} events LOST`] : []),
          ...(damaged > 0 ? [`${damaged} events DAMAGED`] : []),
        ],
        facts: [clean(`${meta.kernel} ${meta.machine}`.trim()), dialect, clean(meta.command.join(' '))].filter((f) => f !== ''),
        position: ui.cursor === 0 ? 'no events' : `event ${ui.cursor}/${last}  ${this.#model.timeOf(ui.cursor)}  ${percent} %`,
      },
      ui.columns,
      this.theme,
    );
  }

  #status(ui: Ui, under: Under): string {
    const pending = `${ui.keys.count}${ui.keys.prefix.replaceAll(' ', '')}`;
    const counted = ui.prompt?.kind === 'filter' ? '' : countText(under.aside?.search, ui.cursor, this.theme.glyphs);
    const completed = ui.find.completion;
    const word = completed === undefined ? '' : `${completed.index + 1}/${completed.words.length} words`;
    const right = [word, counted, pending, under.mark].filter((t) => t !== '').join(' ');
    return statusLine(this.#statusText(ui, under), right === '' ? '' : ` ${right}`, ui.columns, this.theme);
  }

  #statusText(ui: Ui, under: Under): Line {
    if (ui.prompt !== undefined) return line(promptText(ui.prompt, ui.columns - PROMPT_MARGIN).text);
    if (ui.travel.playing && ui.message?.text === '')
      return line(' ', span(`playing ${speedText(ui.travel)}`, 'job'), span('  < > speed, any other key stops', 'dim'));
    if (under.job !== undefined) {
      const percent = Math.floor(100 * Math.max(0, Math.min(1, under.job.progress)));
      const stops = ui.job === undefined ? [] : [span('  Esc stops', 'dim')];
      return line(' ', span(`${under.job.what}${this.theme.glyphs.ellipsis}`, 'job'), ` ${percent} %`, ...stops);
    }
    if (ui.message !== undefined) return line(' ', span(ui.message.text, ui.message.error ? 'error' : 'strong'));
    return line(' ', span(under.ready ? this.#model.summary : '', 'dim'));
  }

  #pane(ui: Ui, box: PaneBox, under: Under): Block {
    const content = box.pane === 'events' ? this.#events(ui, box, under) : this.#text(ui, under, box.pane);
    const focused = ui.focus === box.pane && ui.mode === 'main';
    const title = paneTitle(box);
    const filtered = box.pane === 'events' ? filterTitle(under.aside?.filter, box.width - 24, this.theme.glyphs) : [];
    const rows = paneRows(box.width, box.height, { ...content, title: line(...title.spans, ...filtered), focused }, this.theme);
    return { x: box.x, y: box.y, width: box.width, height: box.height, key: `pane ${box.pane}`, rows };
  }

  #events(ui: Ui, box: PaneBox, { aside }: Under): Pick<PaneContent, 'lines' | 'footer' | 'stale'> {
    const model = this.#model;
    const height = innerHeight(box);
    const list = aside?.list ?? wholeList(model.first, model.last);
    const search = aside?.search;
    const events = model.events(pageOfList(list, ui.cursor, ui.cursorRow, height));
    const lines = eventRows({
      events,
      hit: (seq) => search?.hits.has(seq) ?? false,
      ranges: rangesOf(search?.text ?? ''),
      effects: (seq) => model.effect(seq),
      cursor: ui.cursor,
      focused: ui.focus === 'events',
      bookmark: (seq) => this.#bookmark(seq),
      last: model.last,
      lane: this.#lane(ui, events),
      time: this.#time(ui, events, list),
      width: box.width - 2,
      theme: this.theme,
    });
    const footer = ui.cursor === 0 ? '' : ` ${ui.cursor} of ${model.last} `;
    return { lines: ui.cursor === 0 ? [line(span(' the trace has no events', 'dim'))] : lines, footer, stale: false };
  }

  /** Which lane an event is in; undefined where there is one alone. */
  #lane({ view }: Ui, events: readonly ListedEvent[]): ((e: ListedEvent) => Lane | undefined) | undefined {
    const { lanes } = this.#model;
    if (lanes.count(view.lanes) < 2) return undefined;
    if (view.lanes === 'thread') return (e) => lanes.lane('thread', e.tid);
    if (view.lanes === 'process') return (e) => lanes.lane('process', e.pid);
    const contexts = lanes.contexts(events.map((e) => e.seq));
    return (e) => lanes.lane('context', contexts.get(e.seq) ?? 0);
  }

  #time({ view }: Ui, events: readonly ListedEvent[], list: EventList): (e: ListedEvent) => string {
    const model = this.#model;
    const { clock } = model.meta;
    const first = events[0];
    const before = new Map(events.map((e, i) => [e.seq, events[i - 1]?.at]));
    const above = first === undefined ? 0 : list.move(first.seq, -1);
    if (first !== undefined && above !== first.seq && view.time === 'previous') before.set(first.seq, model.listed(above)?.at);
    return (e) => timeText(view.time, e.at, before.get(e.seq), clock);
  }

  /** The cell that says that an event has a bookmark or a note. */
  #bookmark(seq: number): string | undefined {
    const { marks } = this.traveller;
    return (
      marks.namesAt(seq).find((name) => /^[\x21-\x7e]$/.test(name)) ?? (marks.note(seq) === undefined ? undefined : this.theme.glyphs.note)
    );
  }

  /** Keys of the lines of Objects. */
  #objectKeys(): readonly (string | undefined)[] {
    return this.#states.get('objects')?.view.keys ?? [];
  }

  /** The line of a pane that is chosen; -1 none. */
  #chosen(ui: Ui, pane: Exclude<PaneId, 'events'>): number {
    if (pane === 'objects') return ui.travel.object === undefined ? -1 : this.#objectKeys().indexOf(ui.travel.object);
    return pane !== 'detail' || ui.travel.link < 0 ? -1 : (this.traveller.facts.links()[ui.travel.link]?.line ?? -1);
  }

  #text(ui: Ui, under: Under, pane: Exclude<PaneId, 'events'>): Pick<PaneContent, 'lines' | 'footer' | 'stale'> {
    const all = this.#lines(ui, pane, under.ready);
    const at = this.#chosen(ui, pane);
    const fill: Token = ui.focus === pane ? 'cursor' : 'cursorPassive';
    const shown =
      at < 0 ? all : all.map((l, i) => (i === at ? { spans: l.spans.map((s) => ({ text: s.text })), fill, ...pinnedOf(l) } : l));
    const { lines, footer } = scrolledText(shown, ui.scroll[pane], pageOf(ui, pane));
    const stale = pane !== 'detail' && this.#states.get(pane)?.seq !== ui.cursor;
    return { lines, footer: stale ? ` ${this.theme.glyphs.ellipsis} ` : footer, stale };
  }

  #stateView(pane: StatePane, width: number, ready: boolean): StateView {
    const model = this.#model;
    const now = this.#states.get(pane);
    if (!ready || (now?.seq === model.at && now.width === width)) return now?.view ?? NOTHING;
    const view = stateView(pane, model, this.theme.glyphs, width);
    this.#states.set(pane, { seq: model.at, width, view });
    return view;
  }

  #detailLines(ui: Ui, width: number, ready: boolean): readonly Line[] {
    const why = this.#model.why.state(ui.cursor, ui.view.why === ui.cursor);
    const key = `${ui.cursor} ${width} ${ready} ${ui.hex} ${why.kind}${why.kind === 'running' ? Math.floor(100 * why.done) : ''} ${this.traveller.marks.version}`;
    if (this.#detail.key !== key) this.#detail = { key, lines: this.#makeDetail(ui, width, ready, why) };
    return this.#detail.lines;
  }

  #makeDetail(ui: Ui, width: number, ready: boolean, why: WhyState): readonly Line[] {
    const model = this.#model;
    const event = model.event(ui.cursor);
    if (event === undefined) return ui.cursor === 0 ? [] : damageLines(ui.cursor, model.damage(ui.cursor) ?? '', width);
    if (ui.hex) return hexLines(event);
    const { glyphs } = this.theme;
    return detailLines({
      event,
      context: ready ? model.contextHere : model.context,
      note: this.traveller.marks.note(ui.cursor),
      resolve: (field, id) => (ready ? model.resolve(event, field, id) : undefined),
      changes: ready ? changeLines(model.changes, model.names, glyphs) : undefined,
      why: whyLines(why, ready ? model.queueWhys(event) : [], glyphs),
      width,
      glyphs,
    });
  }

  #helpLines(ui: Ui): readonly Line[] {
    if (ui.page === 'places') return placesLines(this.traveller.marks, ui.travel, pageOf(ui, 'help').cells);
    return helpLines(ui.focus === 'events' ? 'events' : 'text', pageOf(ui, 'help').cells, this.theme.glyphs);
  }

  #help(ui: Ui, l: Layout): Block {
    const { y } = l.boxes[0]!;
    const height = ui.rows - 3;
    const text = scrolledText(this.#helpLines(ui), ui.scroll.help, pageOf(ui, 'help'));
    const content: PaneContent = {
      ...text,
      title: line(span(ui.page === 'places' ? ' Bookmarks, notes, watches ' : ' Help ', 'title')),
      focused: true,
      stale: false,
    };
    return { x: 0, y, width: ui.columns, height, key: 'help', rows: paneRows(ui.columns, height, content, this.theme) };
  }
}

function stateView(pane: StatePane, model: TraceModel, glyphs: Glyphs, width: number): StateView {
  switch (pane) {
    case 'objects':
      return objectsView(model.graph, model.changes, glyphs, (node) => model.areas(node));
    case 'changed':
      return { lines: changedLines(model.changes, model.names, glyphs, width, model.table), marked: 0 };
    case 'devices':
      return devicesView(model.state, model.changes, glyphs, width);
    case 'cmdqv':
      return cmdqvView(model.state, model.changes, glyphs, width);
    default:
      return pane satisfies never;
  }
}

const pinnedOf = (l: Line): Pick<Line, 'pinned'> => (l.pinned === undefined ? {} : { pinned: l.pinned });

/** What can be pressed now; behind an unfinished key what may follow it. */
function hintsOf(ui: Ui): readonly Hint[] {
  const place = placeOf(ui);
  return ui.keys.prefix === '' ? hints(place) : continuations(place, ui.keys.prefix);
}

const extents = new WeakMap<readonly Line[], Extent>();

/** Measured once for each text. */
function extentOf(lines: readonly Line[]): Extent {
  const known = extents.get(lines);
  if (known !== undefined) return known;
  const made = { lines: lines.length, cells: lines.reduce((n, l) => Math.max(n, lineCells(l)), 0) };
  extents.set(lines, made);
  return made;
}

/** The part of a text that is in view; the footer says which part, where that is not all. */
function scrolledText(all: readonly Line[], at: Scroll, page: Extent): Pick<PaneContent, 'lines' | 'footer'> {
  const { top, left } = inside(at, extentOf(all), page);
  const lines = all.slice(top, top + page.lines).map((l) => (left === 0 ? l : dropCells(l, left)));
  const shown = all.length <= page.lines ? '' : ` ${top + 1}-${top + lines.length} of ${all.length} `;
  return { lines, footer: left === 0 ? shown : ` +${left}${shown === '' ? ' ' : shown}` };
}
