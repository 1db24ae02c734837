/** What the event under the cursor changed in the state, each thing with what it was before and what it is after. Pure. */
import { type Value, type Vintf, valueText } from '../../hw/cmdqv/state.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import type { Change } from '../../replayer/change.ts';
import type { Known } from '../../replayer/cmdqv.ts';
import { parentsOf } from '../../replayer/json.ts';
import type { KernelObject } from '../../replayer/object-types.ts';
import { hex } from '../../replayer/u64.ts';
import { changeText, type NameOf, objectName } from '../../replayer/words.ts';
import { enumText } from '../cli/object-enums.ts';
import { clean, type Line, line, type Span, span, wrap } from '../term/text.ts';
import type { Glyphs, Token } from '../term/theme.ts';
import { areaText } from './areas.ts';
import { howText } from './cmdqv.ts';
import { type Mark, verbMark } from './effects.ts';

/** Of what does not fit into a line. */
const INDENT = 6;
/** Changes that are shown one by one. */
const MOST = 400;
/** Entries of a list that are shown. */
const MOST_ITEMS = 4;
/** Fields that say nothing of the thing itself. */
const BOOKS: ReadonlySet<string> = new Set(['uid', 'id', 'type', 'birth', 'call', 'overlap', 'key', 'file', 'pid', 'context', 'seq']);
/** Values that are no news of a thing that comes or goes. */
const SILENT: ReadonlySet<string> = new Set(['none', 'false', 'observed']);
/** What cannot be told from the field's name. */
const NAMES: Readonly<Record<string, string>> = { virtId: 'virtual id' };

/** A field's name in words: `hugePages` → `huge pages`. */
const wordsOf = (name: string): string => NAMES[name] ?? name.replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`);
/** Numbers that are addresses, lengths or sets of bits. */
const HEX: ReadonlySet<string> = new Set([
  'iova',
  'length',
  'offset',
  'address',
  'virtId',
  'flags',
  'capabilities',
  'base',
  'start',
  'last',
  'size',
  'total',
  'alignment',
]);

interface Writer {
  readonly glyphs: Glyphs;
  readonly nameOf: NameOf;
  /** names of types and flags */
  readonly table: UapiTable;
  readonly lines: Line[];
}

/** A thing that changed: `~ DEVICE 1`. */
function head(w: Writer, mark: Mark, ...parts: readonly (Span | string)[]): void {
  w.lines.push({ ...line(span(`${w.glyphs[mark]} `, mark), ...parts), pinned: 1 });
}

/** Cells of the column of names, at least. */
const NAME = 14;

/** `    attachments  none → HWPT_PAGING 3` */
function row(w: Writer, name: string, from: string | undefined, to: string | undefined, cells = NAME): void {
  const value = (text: string | undefined, token: Token): Span => (text === undefined ? span('none', 'dim') : span(clean(text), token));
  w.lines.push({
    ...line('    ', `${name.padEnd(cells)} `, value(from, 'dim'), span(` ${w.glyphs.arrow} `, 'dim'), value(to, 'changed')),
    pinned: 1,
  });
}

export function changedLines(changes: readonly Change[], nameOf: NameOf, glyphs: Glyphs, width: number, table: UapiTable): Line[] {
  const w: Writer = { glyphs, nameOf, table, lines: [] };
  for (const c of changes.slice(0, MOST)) changeLines(w, c);
  if (changes.length > MOST) w.lines.push(line('  ', span(`${glyphs.ellipsis} ${changes.length - MOST} more changes`, 'dim')));
  if (w.lines.length === 0) w.lines.push(line('  ', span('the event changes nothing in the state', 'dim')));
  return w.lines.flatMap((l) => wrap(l, width, INDENT));
}

function changeLines(w: Writer, c: Change): void {
  switch (c.op) {
    case 'object.create':
      head(w, 'created', span(objectName(c.object), 'created'), span(c.object.origin === 'inferred' ? '  inferred from use' : '', 'dim'));
      for (const [name, to] of fieldsOf(w, c.context, c.object)) if (!SILENT.has(to)) row(w, name, undefined, to);
      return;
    case 'object.end':
      head(w, 'destroyed', clean(changeText(c, w.nameOf)));
      for (const [name, from] of fieldsOf(w, c.context, c.object)) if (!SILENT.has(from)) row(w, name, from, undefined);
      return;
    case 'object.set':
      head(w, 'changed', span(objectName(c.to), 'object'));
      rows(w, fieldsOf(w, c.context, c.from), fieldsOf(w, c.context, c.to));
      return;
    case 'area.add':
    case 'area.remove': {
      const added = c.op === 'area.add';
      head(w, added ? 'created' : 'destroyed', span(w.nameOf(c.context, c.ioas), 'object'), `  ${areaText(c.area)}`);
      return;
    }
    case 'cmdqv.register':
    case 'cmdqv.seen':
      head(w, c.from === undefined ? 'created' : 'changed', span(c.op === 'cmdqv.seen' ? `guest ${c.name}` : c.name, 'object'));
      row(w, 'value', known(c.name, c.from), known(c.name, c.to));
      return;
    default:
      recordLines(w, c);
  }
}

const known = (name: string, v: (Value & Partial<Known>) | undefined): string | undefined =>
  v === undefined ? undefined : `${valueText(name, v)}  ${howText(v as Known)}`;

/** Changes that replace a record, or a number. */
function recordLines(w: Writer, c: Exclude<Change, { readonly op: 'object.create' | 'object.end' | 'object.set' }>): void {
  const said = clean(changeText(c, w.nameOf));
  head(w, verbMark(said), said);
  switch (c.op) {
    case 'cmdqv.vintf':
      if (c.from !== undefined && c.to !== undefined) vintfRows(w, c.from, c.to);
      return;
    case 'process':
    case 'file':
    case 'cmdqv.size':
    case 'cmdqv.window':
      if (c.from !== undefined && c.to !== undefined) rows(w, recordFields(c.from), recordFields(c.to));
      return;
    case 'fd':
      row(w, `fd ${c.fd}`, fileText(c.from), fileText(c.to));
      return;
    case 'context.set':
    case 'dropped':
    case 'sent':
      row(w, c.op === 'context.set' ? c.field : c.op, String(c.from), String(c.to));
      return;
    default:
    // the sentence says it
  }
}

/** What a queue is, in words. */
const QUEUE_WORDS: Readonly<Record<string, string>> = {
  base: 'IOVA',
  log2: 'LOG2SIZE',
  done: 'done',
  unsynced: 'not synced',
};

/** Streams that came and went, and each queue by itself. */
function vintfRows(w: Writer, from: Vintf, to: Vintf): void {
  const slots = (v: Vintf): string => v.sids.map((s) => s.slot).join(' ') || 'none';
  if (slots(from) !== slots(to)) row(w, 'slots', slots(from), slots(to));
  const queues = (v: Vintf): ReadonlyMap<string, string> =>
    new Map(
      v.queues.flatMap((q) =>
        Object.entries(q).flatMap(([name, value]) =>
          name in QUEUE_WORDS ? [[`LVCMDQ${q.lvcmdq} ${QUEUE_WORDS[name]}`, value === undefined ? '?' : plain(name, value)] as const] : [],
        ),
      ),
    );
  rows(w, queues(from), queues(to));
}

const fileText = (file: number): string | undefined => (file === 0 ? undefined : `file ${file < 0 ? '?' : file}`);

function rows(w: Writer, from: ReadonlyMap<string, string>, to: ReadonlyMap<string, string>): void {
  const names = [...new Set([...from.keys(), ...to.keys()])].filter((name) => from.get(name) !== to.get(name));
  const longest = names.reduce((n, name) => Math.max(n, name.length), NAME);
  for (const name of names) row(w, name, from.get(name), to.get(name), longest);
}

/** What is known of an object, by name: objects it stands on by theirs. */
function fieldsOf(w: Writer, context: number, o: KernelObject): ReadonlyMap<string, string> {
  const roles = parentsOf(o);
  const fields = new Map<string, string>();
  if (o.id !== 0) fields.set('id', String(o.id));
  for (const [name, value] of Object.entries(o)) {
    if (name in roles) fields.set(wordsOf(name), roles[name] === 0 ? 'none' : w.nameOf(context, roles[name]!));
    else if (name === 'attachments' && o.type === 'DEVICE') fields.set(name, attachedTo(w, context, o));
    else if (!BOOKS.has(name) && value !== undefined)
      fields.set(wordsOf(name), enumText(w.table, o.type, name, value) || plain(name, value));
  }
  return fields;
}

const attachedTo = (w: Writer, context: number, o: KernelObject & { readonly type: 'DEVICE' }): string =>
  o.attachments.map((a) => `${a.pasid === 0 ? '' : `PASID ${a.pasid} to `}${w.nameOf(context, a.hwpt)}`).join(', ') || 'none';

const recordFields = (record: object): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(record).flatMap(([name, v]) => (BOOKS.has(name) || v === undefined ? [] : [[wordsOf(name), plain(name, v)] as const])),
  );

/** A value in a few words. */
function plain(name: string, value: unknown): string {
  if (value instanceof Map || value instanceof Set) return `${value.size} entries`;
  if (Array.isArray(value)) {
    const more = value.length > MOST_ITEMS ? [`${value.length - MOST_ITEMS} more`] : [];
    return [...value.slice(0, MOST_ITEMS).map((v) => plain(name, v)), ...more].join(', ') || 'none';
  }
  if (typeof value === 'bigint' || (typeof value === 'number' && HEX.has(name))) return hex(value);
  if (typeof value !== 'object' || value === null) return value === '' ? 'none' : String(value);
  return Object.entries(value)
    .flatMap(([key, v]) => (v === undefined || BOOKS.has(key) ? [] : [`${wordsOf(key)} ${plain(key, v)}`]))
    .join(' ');
}
