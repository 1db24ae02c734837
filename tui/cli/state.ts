/** `state`: the objects of the kernel at a point of the recording. */

import { quoteText } from '../../hw/quote.ts';
import { secondsText } from '../../hw/time-text.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import { digest, stateJson } from '../../replayer/digest.ts';
import type { Json } from '../../replayer/json.ts';
import type { Run } from './commands.ts';
import { enumText } from './object-enums.ts';
import { type Out, type Piece, paint } from './output.ts';
import { seekTo } from './seek.ts';
import { cmdqvText } from './state-cmdqv.ts';
import { countOf, type Opened, openTrace } from './trace.ts';

type JsonObject = { readonly [key: string]: Json };
const list = (value: Json | undefined): readonly JsonObject[] => (Array.isArray(value) ? (value as readonly JsonObject[]) : []);
const record = (value: Json | undefined): JsonObject =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : {};
const quoted = (value: Json | undefined): string => quoteText(Buffer.from(String(value ?? '')));

/** Areas, and other long lists, in a state for people. */
const MOST = 8;

/** Keys of an object that have a place of their own in the text, or none. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'id',
  'type',
  'origin',
  'createdAt',
  'users',
  'parents',
  'references',
  'areas',
  'attachments',
  'pins',
  'cookies',
  'call',
]);

export const run: Run = async ([path = ''], options, io) => {
  const opened = openTrace(path);
  const timeline = seekTo(opened, String(options.at ?? 'end'));
  const context = countOf('--context', options.context as string | undefined, 1);
  const out = io.out();
  if (options.digest === true) {
    const text = digest(timeline.state);
    if (options.json === true) out.json({ v: 1, seq: timeline.seq, digest: text });
    else out.line(text);
  } else {
    const json = onlyContext(stateJson(timeline.state), context);
    if (options.json === true) out.json(json);
    else stateText(out, opened, json);
  }
  opened.reader.close();
  return 0;
};

/** The same with one context; the digest stays that of the whole state. */
function onlyContext(json: JsonObject, context: number | undefined): JsonObject {
  return context === undefined
    ? json
    : {
        ...json,
        contexts: list(json.contexts).filter((c) => c.context === context),
        cmdqv: list(json.cmdqv).filter((v) => v.context === context),
      };
}

function stateText(out: Out, opened: Opened, json: JsonObject): void {
  const seq = Number(json.seq);
  const frame = seq > 0 ? opened.reader.frame(seq) : undefined;
  const time = frame === undefined ? 'before the first event' : `${secondsText(frame.tEnter - opened.meta.clock.monotonicNs, 6)} s`;
  out.line(paint('heading', `after event ${seq}`), ` of ${opened.reader.last}, ${time}`);
  out.line(paint('dim', `digest ${String(json.digest)}`));
  if (Number(json.dropped) > 0) out.line(paint('error', `${json.dropped} events were lost before: what they did is not in here`));
  for (const context of list(json.contexts)) contextText(out, opened.table, context);
  if (list(json.contexts).length === 0) out.line('no iommufd is open');
  cmdqvText(out, json);
  processesText(out, json);
  for (const call of list(json.calls)) out.line(paint('changed', 'in flight'), `: seq ${call.seq}, thread ${call.tid}, fd ${call.fd}`);
}

function contextText(out: Out, table: UapiTable, c: JsonObject): void {
  out.line();
  const fds = list(c.fds).map((fd) => `${fd.pid}:${fd.fd}`);
  const held = fds.length === 0 ? 'no descriptor any more' : `fd ${some(fds)}`;
  out.line(
    paint('heading', `context ${c.context}`),
    `  ${String(c.kind)}, file ${c.file}, since event ${c.createdAt}, ${held}`,
    inferred(c),
  );
  for (const object of list(c.objects)) objectText(out, table, object, c);
  for (const m of list(c.mmaps)) {
    const what = m.viommu !== undefined ? `, VIOMMU ${m.viommu}` : m.region !== undefined ? `, region ${m.region}` : '';
    out.line(`  mmap ${m.address}+${m.length} of pid ${m.pid}, offset ${m.offset}${what}, event ${m.seq}`);
  }
  const ids = Array.isArray(c.tombstones) ? c.tombstones : [];
  if (ids.length > 0) out.line(paint('destroyed', `  tombstones: ${some(ids.map(String))}`));
}

const some = (items: readonly string[]): string =>
  items.slice(0, MOST).join(' ') + (items.length > MOST ? ` … ${items.length - MOST} more` : '');
const inferred = (o: JsonObject): Piece => (o.origin === 'inferred' ? paint('changed', '  inferred from use') : '');

function objectText(out: Out, table: UapiTable, o: JsonObject, c: JsonObject): void {
  const types = new Map(list(c.objects).map((x) => [x.id, String(x.type)]));
  const nameOf = (id: Json | undefined): string => `${types.get(id ?? null) ?? 'object'} ${id ?? '?'}`;
  const parents = Object.entries(record(o.parents)).map(([role, id]) => `${role}=${nameOf(id)}`);
  const own = Object.entries(o).flatMap(([key, value]) => {
    const text = ELSEWHERE.has(key) ? undefined : (enumText(table, String(o.type), key, value) ?? isPlain(value));
    return text === undefined || text === '' || text === 'NONE' ? [] : [`${key}=${text}`];
  });
  const label = `${String(o.type).padEnd(12)} ${String(o.id ?? '?').padStart(4)}`;
  out.line(
    '  ',
    paint('name', label),
    `  users ${o.users}  event ${o.createdAt}`,
    paint('dim', [...parents, ...own].map((word) => `  ${word}`).join('')),
    inferred(o),
  );
  for (const a of list(o.attachments))
    out.line(`      attached to ${nameOf(a.hwpt)}${a.pasid === 0 ? '' : `, PASID ${a.pasid}`}, event ${a.seq}`);
  const areas = list(o.areas);
  for (const a of areas.slice(0, MOST)) out.line(`      ${areaText(a)}`);
  if (areas.length > MOST) out.line(`      … ${areas.length - MOST} more areas`);
  for (const p of list(o.pins).slice(0, MOST)) out.line(`      pins ${p.iova}+${p.length}, item ${p.item}, event ${p.seq}`);
  for (const k of list(o.cookies).slice(0, MOST)) out.line(`      fault group not answered: cookie ${k.cookie}, event ${k.seq}`);
}

/** A value in a few letters; undefined for what says nothing (null, false, empty). */
function isPlain(value: Json): string | undefined {
  if (value === null || value === false) return undefined;
  if (Array.isArray(value)) return value.length === 0 ? undefined : `[${some(value.map((v) => isPlain(v) ?? '0'))}]`;
  if (typeof value !== 'object') return String(value);
  const inner = Object.entries(value as JsonObject).flatMap(([k, v]) => (isPlain(v) === undefined ? [] : [`${k}=${isPlain(v)}`]));
  return inner.length === 0 ? undefined : `{${inner.join(' ')}}`;
}

const AREA_FLAGS: readonly (readonly [number, string])[] = [
  [4, 'R'],
  [2, 'W'],
  [1, 'F'],
];

function areaText(a: JsonObject): string {
  const flags = AREA_FLAGS.map(([bit, letter]) => ((Number(a.flags) & bit) !== 0 ? letter : '-')).join('');
  const source =
    a.user_va !== undefined ? `user_va ${a.user_va}` : a.offset !== undefined ? `fd ${a.fd} offset ${a.offset}` : 'source not known';
  return `${a.iova}+${a.length} ${flags} ${source}, event ${a.seq}`;
}

function processesText(out: Out, json: JsonObject): void {
  const live = list(json.processes).filter((p) => p.live === true);
  if (live.length === 0) return;
  out.line();
  for (const p of live.slice(0, MOST)) {
    const fds = list(p.fds).map((fd) => `${fd.fd}→file ${fd.file}`);
    out.line(paint('heading', `process ${p.pid}`), `  ${p.exe === '' ? '?' : quoted(p.exe)}  ${some(fds)}`, inferred(p));
  }
  if (live.length > MOST) out.line(`… ${live.length - MOST} more processes`);
}
