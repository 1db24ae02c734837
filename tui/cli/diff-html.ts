/** The report of a comparison as one file for a browser: no script, nothing from elsewhere, every foreign string escaped. */
import { escapeText } from '../../hw/quote.ts';
import type { Cause, Consequence, SideView } from '../../replayer/diff/causes/report.ts';
import type { Timing } from '../../replayer/diff/timing/timing.ts';
import type { EventFacts, SideFacts } from './diff-facts.ts';
import type { Scene } from './diff-text.ts';
import { answeredCall, TIMING_COLUMNS, timingNotes, timingStyle, timingTitle } from './diff-timing.ts';
import {
  commandText,
  consequencesText,
  counted,
  hasRules,
  ignoredLines,
  newsText,
  type Ordered,
  opinionText,
  ordered,
  restText,
  SORTS,
  summaryText,
  titleOf,
  toldOf,
  traceText,
  valueText,
  whyLines,
} from './diff-words.ts';
import type { Piece } from './output.ts';

/** Consequences of a cause that are written out. */
const MOST = 200;

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text that can neither act on the page nor show something else than is there. */
export const html = (text: string): string => escapeText(text).replace(/[&<>"']/g, (c) => ENTITIES[c]!);

const piecesHtml = (pieces: readonly Piece[]): string =>
  pieces.map((p) => (typeof p === 'string' ? html(p) : `<span class="${p.style}">${html(p.text)}</span>`)).join('');

const STYLE = `
:root{color-scheme:light dark;--fg:#1c1e21;--bg:#fff;--dim:#5f6670;--edge:#d5d9de;--panel:#f6f7f9;--a:#b3261e;--b:#1a7f37;--mark:#8a5a00;--call:#0b6e75}
@media (prefers-color-scheme:dark){:root{--fg:#e3e5e8;--bg:#16181b;--dim:#9aa2ac;--edge:#343940;--panel:#1e2126;--a:#ff8a80;--b:#6fdd8b;--mark:#e9b44c;--call:#63d2da}}
body{margin:2rem auto;padding:0 1.5rem;max-width:110rem;font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:0 0 .5rem}
code,.line{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
section{border:1px solid var(--edge);border-radius:6px;padding:1rem;margin:1rem 0}
.two{display:grid;grid-template-columns:1fr 1fr;gap:.25rem 1.5rem}
.two>*{min-width:0}
@media (max-width:60rem){.two{grid-template-columns:1fr}}
.two>div{background:var(--panel);padding:.4rem .6rem;border-radius:4px}
.two>div.label{background:none;padding:0}
.label{grid-column:1/-1;color:var(--dim);font-size:.85rem;margin-top:.4rem}
table{border-collapse:collapse;margin:.5rem 0}
th,td{text-align:left;padding:.15rem .9rem .15rem 0;vertical-align:top;border-bottom:1px solid var(--edge)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.a,.error,.destroyed{color:var(--a)}.b,.ok,.created{color:var(--b)}.changed{color:var(--mark)}.call{color:var(--call)}.dim{color:var(--dim)}
.scroll{overflow-x:auto}summary{cursor:pointer}ol,ul{margin:.3rem 0;padding-left:1.4rem}
`;

export interface HtmlChoice {
  readonly limit: number;
  readonly all: boolean;
}

/** The document, in pieces. */
export function* diffHtml(scene: Scene, choice: HtmlChoice): Generator<string> {
  const { a, b, report, timing } = scene;
  const name = (side: SideFacts): string => html(side.opened.path.replace(/^.*\//, ''));
  yield `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${name(a)} | ${name(b)}</title><style>${STYLE}</style></head><body>
<h1><span class="a">${name(a)}</span> | <span class="b">${name(b)}</span></h1>
<div class="two">${sideHead('a', a, report.eventsA)}${sideHead('b', b, report.eventsB)}</div>
<p><strong>${html(summaryText(report))}</strong></p>
`;
  const notes = [...ignoredLines(report), ...report.limits.map((text) => `note: ${text}`)];
  if (notes.length > 0) yield `<ul class="dim">${notes.map((n) => `<li>${html(n)}</li>`).join('')}</ul>\n`;
  if (report.stat.length > 0) yield statHtml(scene);
  const order = ordered(report);
  for (const [i, cause] of order.causes.slice(0, choice.limit).entries()) yield* causeHtml(scene, cause, i + 1, order, choice.all);
  const left = order.causes.length - choice.limit;
  const rest = restText(order, choice.limit);
  if (left > 0)
    yield `<p>… and ${counted(left, 'more cause')}${rest === '' ? '' : html(` (${rest})`)}: iommufd-rr diff --limit N --html writes them</p>\n`;
  if (timing !== undefined) yield timingHtml(timing);
  yield '</body></html>\n';
}

const sideHead = (letter: 'a' | 'b', side: SideFacts, events: number): string =>
  `<div><strong class="${letter}">${letter}</strong> ${html(side.opened.path)}<br>${html(traceText(side.opened, events))}<br><code>${html(commandText(side.opened))}</code></div>`;

function statHtml({ report }: Scene): string {
  const rows = report.stat.map(
    (l) =>
      `<tr><td>${html(SORTS[l.sort])}</td><td><code>${html(l.call)}</code></td><td class="n">${l.causes}</td><td class="n">${l.consequences}</td><td class="n">${l.ignored}</td></tr>`,
  );
  return `<details><summary>${counted(rows.length, 'class', 'classes')} of differences</summary><div class="scroll"><table><tr><th>sort</th><th>call</th><th class="n">causes</th><th class="n">follow</th><th class="n">ignored</th></tr>${rows.join('')}</table></div></details>\n`;
}

function* causeHtml({ a, b }: Scene, cause: Cause, number: number, order: Ordered, all: boolean): Generator<string> {
  const { difference, consequences } = cause;
  const mine = difference.a === 0 ? undefined : a.at(difference.a);
  const theirs = difference.b === 0 ? undefined : b.at(difference.b);
  const known = `<span class="${cause.known === undefined ? 'error' : 'ok'}">${html(newsText(cause, order))}</span>`;
  yield `<section id="c${number}"><h2>${number}. ${html(difference.call)} <span class="changed">${html(titleOf(cause))}</span> ${known}</h2>\n`;
  const line = (facts: EventFacts | undefined): string =>
    facts === undefined ? '<span class="dim">no such event</span>' : piecesHtml(facts.line);
  yield `<div class="two">${two('', `<span class="line">${line(mine)}</span>`, `<span class="line">${line(theirs)}</span>`)}`;
  const told = toldOf(cause);
  if (told.length > 0) {
    const rows = told.map(
      (f) =>
        `<tr><td><code>${html(f.name)}</code>${f.answer ? '' : ' <span class="dim">asked</span>'}</td><td class="a"><code>${html(valueText(f, 'a'))}</code></td><td class="b"><code>${html(valueText(f, 'b'))}</code></td></tr>`,
    );
    yield `</div><div class="scroll"><table><tr><th>field</th><th>a</th><th>b</th></tr>${rows.join('')}</table></div><div class="two">`;
  }
  yield two('state: what they name', itemsHtml(mine?.objects ?? []), itemsHtml(theirs?.objects ?? []));
  const [ofA, ofB] = [cause.a, cause.b].map((view) => (view !== undefined && hasRules(view) ? view : undefined));
  yield two('why', whyHtml(ofA), whyHtml(ofB));
  yield two('the rules', rulesHtml(ofA, a), rulesHtml(ofB, b));
  yield '</div>\n';
  if (consequences.length > 0) yield* consequencesHtml({ a, b }, consequences, [...(mine?.made ?? []), ...(theirs?.made ?? [])], all);
  yield '</section>\n';
}

function two(label: string, left: string, right: string): string {
  if (left === '' && right === '') return '';
  const head = label === '' ? '' : `<div class="label">${label}</div>`;
  return `${head}<div>${left}</div><div>${right}</div>`;
}

const itemsHtml = (items: readonly string[]): string => items.map((t) => html(t)).join('<br>');
const whyHtml = (view: SideView | undefined): string => (view === undefined ? '' : itemsHtml(whyLines(view)));
const rulesHtml = (view: SideView | undefined, side: SideFacts): string =>
  view === undefined
    ? ''
    : `<span class="${view.opinion.kind === 'disagrees' ? 'error' : 'dim'}">${html(opinionText(view, side.opened.table.dialect))}</span>`;

function* consequencesHtml(
  { a, b }: Pick<Scene, 'a' | 'b'>,
  consequences: readonly Consequence[],
  made: readonly string[],
  all: boolean,
): Generator<string> {
  yield `<details><summary>${html(consequencesText(consequences, made))}</summary>\n`;
  const shown = all ? consequences : consequences.slice(0, MOST);
  for (const { difference: d, link } of shown) {
    const head = `${html(d.call)} <span class="changed">${html(SORTS[d.sort])}</span> <span class="dim">${link.may ? 'may follow' : link.by}</span>`;
    const left = d.a === 0 ? '<span class="dim">no such event</span>' : piecesHtml(a.line(d.a));
    const right = d.b === 0 ? '<span class="dim">no such event</span>' : piecesHtml(b.line(d.b));
    yield `<div class="two"><div class="label">${head}</div><div class="line">${left}</div><div class="line">${right}</div></div>\n`;
  }
  if (shown.length < consequences.length) yield `<p>… and ${consequences.length - shown.length} more: --all writes them</p>\n`;
  yield '</details>\n';
}

function timingHtml(timing: Timing): string {
  const rows = timing.rows.map((r) => {
    const cells = TIMING_COLUMNS.map((c) => `<td class="n${c.verdict === true ? ` ${timingStyle(r)}` : ''}">${html(c.text(r))}</td>`);
    return `<tr><td><code>${html(answeredCall(r))}</code></td>${cells.join('')}</tr>`;
  });
  const heads = TIMING_COLUMNS.map((c) => `<th class="n">${html(c.head)}</th>`).join('');
  const notes = timingNotes(timing).map((n) => `<p class="dim">${html(n)}</p>`);
  return `<section><h2>Latencies: ${html(timingTitle(timing))}</h2>${notes.join('')}<div class="scroll"><table><tr><th>call</th>${heads}</tr>${rows.join('')}</table></div></section>\n`;
}
