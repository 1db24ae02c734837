/** One event in full: the call and its answer, its fields with types and names, what changed, when and by whom. Pure. */
import { errnoName, errnoText } from '../../hw/errno.ts';
import { callBytes, wordsOf } from '../../hw/event-calls.ts';
import { type EventLike, eventText } from '../../hw/event-text.ts';
import { FILE_NAMES, FRAME_NUMBERS, kindName } from '../../hw/event-words.ts';
import { secondsText, tookText } from '../../hw/time-text.ts';
import { callTitle, printNode } from '../../hw/uapi/text.ts';
import { type CallView, type Item, type Meaning, type Node, viewCall } from '../../hw/uapi/view.ts';
import { cells, clean, type Line, line, pad, type Span, span, wrap } from '../term/text.ts';
import type { Glyphs, Token } from '../term/theme.ts';
import { type EventContext, textOptions } from './event.ts';

export interface DetailInput {
  readonly event: EventLike;
  readonly context: EventContext;
  /** what an id stands for by the state after the event; undefined where there is nothing to say */
  readonly resolve: (field: Meaning, id: number) => string | undefined;
  /** what the event changed, a line each; undefined while that is not known yet */
  readonly changes: readonly Line[] | undefined;
  /** why it ended so; empty where there is nothing to say */
  readonly why: readonly Line[];
  /** what somebody wrote about the event */
  readonly note?: string | undefined;
  readonly width: number;
  readonly glyphs: Glyphs;
}

/** One field, flattened out of the tree. */
interface Row {
  readonly depth: number;
  readonly name: string;
  readonly type: string;
  readonly value: string;
  readonly note: string;
  readonly out: boolean;
  readonly created: boolean;
}

const NAME_MOST = 30;
const TYPE_WIDTH = 5;
/** Elements of an array that are shown one by one. */
const ELEMENTS = 64;

export function detailLines(input: DetailInput): Line[] {
  const { event, width } = input;
  const call = callOf(event, input.context);
  const head = call === undefined ? plainHead(input) : [titleLine(event, call.view, input)];
  const fields = call === undefined ? [] : fieldLines(rowsOf(call.view, input), input);
  const changes = input.changes ?? [line('  ', span(input.glyphs.ellipsis, 'job'))];
  const none = changes.length > 0 ? [] : [line('  ', span('changes nothing in the state', 'dim'))];
  const note = input.note === undefined ? [] : [line('  ', span(`${input.glyphs.note} `, 'changed'), span(clean(input.note), 'strong'))];
  // what it did comes before what it was told: a low pane shows the beginning
  return [...head, ...note, ...input.why, ...changes, ...fields, ...none, ...whenLines(input)].flatMap((l) => wrap(l, width, 4));
}

/** The ioctl of an event, or the one that it ends, decoded; undefined where it is another kind of event. */
function callOf(e: EventLike, context: EventContext): { readonly view: CallView } | undefined {
  const kind = kindName(e.kind);
  if (kind === 'ioctl') return { view: viewCall(context.table, callBytes(e)) };
  if (kind !== 'return') return undefined;
  const words = e.parts.find((p) => p.kind === FRAME_NUMBERS.part.ARGS);
  const seq = words === undefined ? undefined : wordsOf(words.bytes)[0];
  const began = seq === undefined || seq >= BigInt(e.seq) ? undefined : context.entered(Number(seq));
  return began === undefined || kindName(began.kind) !== 'ioctl' ? undefined : { view: viewCall(context.table, callBytes(e, began)) };
}

function answer(e: EventLike): Span[] {
  if (e.error !== 0) return [span(`  = ${e.ret} ${errnoName(e.error)}`, 'error'), span(`  ${errnoText(e.error)}`)];
  if (e.state === FRAME_NUMBERS.state.ENTERED) return [span('  = ?  not returned when it was recorded', 'changed')];
  return [span(`  = ${e.ret}`)];
}

function titleLine(e: EventLike, view: CallView, { context }: DetailInput): Line {
  const returns = kindName(e.kind) === 'return' ? ['return of '] : [];
  const began = returns.length === 0 ? undefined : e.parts.find((p) => p.kind === FRAME_NUMBERS.part.ARGS);
  const title = line(' ', ...returns, span(clean(callTitle(context.table, view)), 'call'), ...answer(e));
  return linked(title, began === undefined ? undefined : String(wordsOf(began.bytes)[0]));
}

/** Events that are no ioctls: their line, as `show` prints it. */
function plainHead({ event, context }: DetailInput): Line[] {
  const t = eventText(event, textOptions(context));
  const name = /^\w+/.exec(t.call)?.[0] ?? '';
  const result = t.result === '' ? [] : event.error === 0 ? [span(clean(` ${t.result}`))] : answer(event);
  const notes = t.notes === '' ? [] : [line('  ', span(clean(t.notes), 'changed'))];
  return [line(' ', span(clean(name), 'call'), span(clean(t.call.slice(name.length))), ...result), ...notes];
}

function rowsOf(view: CallView, input: DetailInput): Row[] {
  const rows: Row[] = [];
  if (view.arg !== undefined) addNode(rows, view.arg, 0, false, input);
  if (view.out !== undefined) addNode(rows, view.out, 0, true, input);
  return rows;
}

function addNode(rows: Row[], node: Node, depth: number, out: boolean, input: DetailInput): void {
  if (node.kind === 'struct') {
    for (const item of node.items) if (item.level < 2) addItem(rows, item, depth, out, input);
    return;
  }
  const value = node.kind === 'unknown' ? 'not recorded' : valueText(node, input);
  rows.push({ depth, name: out ? 'after' : 'argument', type: '', value, note: '', out, created: false });
}

function addItem(rows: Row[], item: Item, depth: number, out: boolean, input: DetailInput): void {
  const { node, field } = item;
  const inner = node.kind === 'pointer' ? node.to : node;
  const below = inner !== undefined && hasRows(inner);
  rows.push({
    depth,
    name: item.name,
    type: field === undefined ? '' : `${field.type}${(field.count ?? 1) > 1 ? `[${field.count}]` : ''}`,
    value: below ? (node.kind === 'pointer' ? `0x${node.address.toString(16)} ${input.glyphs.arrow}` : '') : valueText(node, input),
    note: noteOf(item, input),
    out,
    created: out && field?.creates !== undefined,
  });
  if (below) addBelow(rows, inner, depth + 1, out, input);
}

const hasRows = (node: Node): boolean =>
  (node.kind === 'struct' && node.items.length > 0) || (node.kind === 'array' && node.items.some((n) => n.kind === 'struct'));

function addBelow(rows: Row[], node: Node, depth: number, out: boolean, input: DetailInput): void {
  if (node.kind !== 'array') {
    addNode(rows, node, depth, out, input);
    return;
  }
  const bare = { depth, type: '', note: '', out, created: false };
  node.items.slice(0, ELEMENTS).forEach((element, i) => {
    rows.push({ ...bare, name: `[${i}]`, value: printNode(input.context.table, element, 'abbrev') });
  });
  if (node.items.length > ELEMENTS) rows.push({ ...bare, name: input.glyphs.ellipsis, value: `${node.items.length - ELEMENTS} more` });
}

function valueText(node: Node, { context }: DetailInput): string {
  if (node.kind === 'pointer' && node.to !== undefined) {
    return `0x${node.address.toString(16)} ${printNode(context.table, node.to, 'abbrev')}`;
  }
  return printNode(context.table, node, 'abbrev');
}

/** What a number means beside its own form: the object of an id, the number of a constant, a length in KiB. */
function noteOf({ node, field, name }: Item, input: DetailInput): string {
  if (node.kind !== 'number' || field === undefined) return '';
  const value = BigInt(node.value);
  if (field.creates !== undefined || field.ref !== undefined) return input.resolve(field, Number(value)) ?? '';
  if (field.enum !== undefined || field.flags !== undefined) return value === 0n ? '' : `0x${value.toString(16)}`;
  return /length|size/.test(name) ? sizeText(value) : '';
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** A length in the greatest unit that divides it; '' for odd ones. */
export function sizeText(bytes: bigint): string {
  if (bytes <= 0n || bytes % 1024n !== 0n) return '';
  let n = bytes / 1024n;
  let unit = 0;
  for (; unit < UNITS.length - 1 && n % 1024n === 0n; unit++) n /= 1024n;
  return `${n} ${UNITS[unit]}`;
}

/** What `resolve` says of an object ends with the event that made or ended it. */
const LINK = /(?:since|ended at) (\d+)$/;
const linked = (l: Line, seq: string | undefined): Line => (seq === undefined ? l : { ...l, link: Number(seq) });

function fieldLines(rows: readonly Row[], { width, glyphs }: DetailInput): Line[] {
  const indent = (r: Row): number => 2 * r.depth;
  const name = Math.min(
    NAME_MOST,
    rows.reduce((n, r) => Math.max(n, indent(r) + cells(clean(r.name))), 0),
  );
  const value = Math.min(
    Math.max(12, Math.floor(width * 0.4)),
    rows.reduce((n, r) => (r.note === '' ? n : Math.max(n, cells(clean(r.value)))), 0),
  );
  return rows.map((r) => {
    const token: Token | undefined = r.created ? 'created' : undefined;
    const text = clean(r.value);
    const whole = line(
      span(r.out ? `${glyphs.arrow} `.slice(0, 2).padEnd(2) : '  ', 'created'),
      pad(`${' '.repeat(indent(r))}${clean(r.name)}`, name, glyphs.ellipsis),
      span(` ${pad(r.type, TYPE_WIDTH, glyphs.ellipsis)} `, 'dim'),
      ...(r.note === ''
        ? [span(text, token)]
        : [span(pad(text, Math.max(value, cells(text)), glyphs.ellipsis), token), '  ', span(clean(r.note), 'object')]),
    );
    return linked(whole, LINK.exec(r.note)?.[1]);
  });
}

function whenLines({ event: e, context }: DetailInput): Line[] {
  const facts = [
    `${secondsText(e.tEnter - context.start, 9)} s`,
    ...(e.tExit === 0n ? [] : [`took ${tookText(e.tExit - e.tEnter)}s`.replace(/ss$/, 's')]),
    e.pid === e.tid ? `process ${e.pid}` : `process ${e.pid} thread ${e.tid}`,
    ...(e.fd === -1 ? [] : [`fd ${e.fd} ${FILE_NAMES[e.fileKind] ?? ''}${e.file === 0 ? '' : `#${e.file}`}`.trimEnd()]),
    ...(kindName(e.kind) === 'ioctl' ? [`request 0x${(e.request >>> 0).toString(16)}`] : []),
  ];
  return [line('  ', span(facts.join('  '), 'dim'))];
}

/** Of an event that cannot be read: what is wrong with it, and what that means. */
export function damageLines(seq: number, message: string, width: number): readonly Line[] {
  return [
    line(span(`event ${seq} is damaged`, 'error')),
    ...wrap(line('  ', clean(message)), width, 2),
    ...wrap(line('  ', span('the state goes on without it, as without an event that was lost', 'dim')), width, 2),
  ];
}
