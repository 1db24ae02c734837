/**
 * The CMDQV at the cursor: VINTFs, their stream ids and queues with PROD and CONS as a bar, what waits in them, and the
 * registers, each with where its value comes from. Pure.
 */
import { valueText as fieldText } from '../../hw/bits.ts';
import { advance, entryOf } from '../../hw/cmdqv/indexes.ts';
import { fieldOf, register } from '../../hw/cmdqv/registers.ts';
import { type Queue, type QueueView, readerOf, type Vintf, valueText, viewQueue } from '../../hw/cmdqv/state.ts';
import { commandAt, errorNames, troubles } from '../../hw/cmdqv/trouble.ts';
import type { Change } from '../../replayer/change.ts';
import { type Known, memoryOf, uidOf } from '../../replayer/cmdqv.ts';
import { seenHow, sortedNames, vintfNumbers } from '../../replayer/cmdqv-json.ts';
import { sizeTexts } from '../../replayer/cmdqv-words.ts';
import type { KernelObject, Uid } from '../../replayer/object-types.ts';
import type { SessionState } from '../../replayer/state.ts';
import { hex } from '../../replayer/u64.ts';
import { objectName } from '../../replayer/words.ts';
import { clean, type Line, line, type Span, span, wrap } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';

export interface StateView {
  readonly lines: readonly Line[];
  /** the first line that the event has to do with; -1 none */
  readonly marked: number;
  /** of lines that can be chosen: what they are of */
  readonly keys?: readonly (string | undefined)[];
}

/** Of what does not fit into a line. */
const INDENT = 8;
/** Cells of a bar, without its ends. */
const BAR = 8;
/** Commands that wait, of a queue: shown one by one. */
const MOST_PENDING = 8;
/** Registers of one owner that are shown. */
const MOST_REGISTERS = 128;
/** Cells of a column of registers' names, at least. */
const SHORTEST = 14;
const ERR = fieldOf(register('CONS_INDX', 'PAGE0'), 'ERR');

/** What a queue's own lines say already. */
const TOLD: ReadonlySet<string> = new Set(['CONFIG', 'STATUS', 'PROD_INDX', 'CONS_INDX', 'GERROR', 'GERRORN']);

/** Lines with marks for what the event changed. */
class Page {
  readonly lines: Line[] = [];
  marked = -1;
  readonly state: SessionState;
  readonly glyphs: Glyphs;
  readonly #width: number;
  readonly #changed: ReadonlySet<string>;
  /** by what has them: last parts of the names, in order */
  readonly #owned = new Map<string, string[]>();

  constructor(state: SessionState, changed: ReadonlySet<string>, glyphs: Glyphs, width: number) {
    this.#width = width;
    this.state = state;
    this.glyphs = glyphs;
    this.#changed = changed;
    for (const name of sortedNames(state.cmdqv.registers.keys())) {
      const dot = name.lastIndexOf('.');
      const owner = name.slice(0, dot);
      const list = this.#owned.get(owner);
      if (list === undefined) this.#owned.set(owner, [name.slice(dot + 1)]);
      else list.push(name.slice(dot + 1));
    }
  }

  /** `names`: registers and VINTFs that the line is about. */
  put(names: readonly string[], ...parts: readonly (Span | string)[]): void {
    const changed = names.some((n) => this.#changed.has(n));
    if (changed && this.marked < 0) this.marked = this.lines.length;
    this.lines.push(...wrap(line(span(changed ? `${this.glyphs.changed} ` : '  ', 'changed'), ...parts), this.#width, INDENT));
  }

  changed(name: string): boolean {
    return this.#changed.has(name);
  }

  owners(): Iterable<string> {
    return this.#owned.keys();
  }
  namesOf(owner: string): readonly string[] {
    return this.#owned.get(owner) ?? [];
  }

  /** Registers of an owner, one a line, but for those that say nothing: zero, and not touched here. */
  registers(owner: string, lead: string, skip: ReadonlySet<string> = new Set()): void {
    const shown = this.namesOf(owner).filter((name) => {
      const v = this.state.cmdqv.registers.get(`${owner}.${name}`)!;
      return !skip.has(name) && (this.changed(`${owner}.${name}`) || v.value !== 0n);
    });
    const longest = shown.reduce((n, name) => Math.max(n, name.length), SHORTEST);
    for (const name of shown.slice(0, MOST_REGISTERS))
      this.register(`${owner}.${name}`, this.state.cmdqv.registers.get(`${owner}.${name}`)!, lead, longest);
    if (shown.length > MOST_REGISTERS)
      this.put([], span(`${lead}${this.glyphs.ellipsis} ${shown.length - MOST_REGISTERS} more registers`, 'dim'));
  }

  /** `cells`: of the column of names */
  register(name: string, v: Known, lead: string, cells: number): void {
    const short = name.slice(name.lastIndexOf('.') + 1);
    const token = this.changed(name) ? 'changed' : undefined;
    this.put([name], `${lead}${short.padEnd(cells)} `, span(valueText(name, v), token), span(` ${howText(v)}`, 'dim'));
  }
}

/** Where a value comes from: `store 83`, `load 52`, `sampled 80`, `model 16`; `?` where nobody told it. */
export const howText = (v: Known | undefined): string => (v === undefined ? '?' : `${v.by ?? v.from} ${v.since}`);

export function cmdqvView(state: SessionState, changes: readonly Change[], glyphs: Glyphs, width: number): StateView {
  const page = new Page(state, changedNames(changes), glyphs, width);
  const numbers = vintfNumbers(state.cmdqv);
  for (const number of numbers) vintfLines(page, number, state.cmdqv.vintfs.get(number));
  globalLines(page, numbers);
  for (const vm of [...state.cmdqv.windows.keys()].sort((a, b) => a - b)) guestLines(page, vm);
  if (page.lines.length === 0) page.put([], span('no CMDQV is in use here', 'dim'));
  return { lines: page.lines, marked: page.marked };
}

/** Registers and VINTFs that the event changed, in the words that lines are put with. */
function changedNames(changes: readonly Change[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const c of changes) {
    if (c.op === 'cmdqv.register') names.add(c.name);
    else if (c.op === 'cmdqv.vintf') vintfNames(c, names);
    else if (c.op === 'cmdqv.seen') names.add(`guest ${c.vm} ${c.name}`);
    else if (c.op === 'cmdqv.window') names.add(`guest ${c.vm}`);
  }
  return names;
}

function vintfNames(c: Change & { readonly op: 'cmdqv.vintf' }, names: Set<string>): void {
  const name = `VINTF${c.vintf}`;
  if (c.from === undefined || c.to === undefined || c.from.sids !== c.to.sids) names.add(name);
  for (const q of c.to?.queues ?? []) if (c.from?.queues.find((o) => o.lvcmdq === q.lvcmdq) !== q) names.add(`${name}.LVCMDQ${q.lvcmdq}`);
}

function objectOf(state: SessionState, uid: Uid): { readonly object: KernelObject; readonly context: number } | undefined {
  for (const c of state.contexts.values()) {
    const object = c.objects.get(uid);
    if (object !== undefined) return { object, context: c.context };
  }
  return undefined;
}
const nameOf = (state: SessionState, uid: Uid): string => {
  const found = objectOf(state, uid);
  return found === undefined ? '?' : objectName(found.object);
};

function vintfLines(page: Page, number: number, v: Vintf | undefined): void {
  const { state } = page;
  const name = `VINTF${number}`;
  const of = v === undefined ? undefined : objectOf(state, uidOf(v.key));
  const owner =
    v === undefined
      ? number === 0
        ? 'the kernel’s own'
        : 'no VIOMMU'
      : `${nameOf(state, uidOf(v.key))}${of === undefined ? '' : ` of context ${of.context}`}, page 0 ${seenHow(state, uidOf(v.key))}`;
  page.put([name], span(name, 'strong'), `  ${owner}`, span(v === undefined ? '' : '  number inferred', 'dim'));
  for (const q of v?.queues ?? []) queueLines(page, v!, q);
  const prefix = `${name}.LVCMDQ`;
  for (const other of page.owners()) {
    const n = other.startsWith(prefix) ? Number(other.slice(prefix.length)) : -1;
    if (n >= 0 && v?.queues.some((q) => q.lvcmdq === n) !== true) otherQueueLines(page, number, n);
  }
  if (v !== undefined && v.sids.length > 0) sidLines(page, name, v);
  page.registers(name, '  ', new Set(v === undefined ? [] : page.namesOf(name).filter((n) => n.startsWith('SID_'))));
}

function sidLines(page: Page, name: string, v: Vintf): void {
  page.put([], '  ', span('stream ids', 'strong'), span('  slot  virtual', 'dim'));
  for (const sid of v.sids) {
    const match = `${name}.SID_MATCH_${sid.slot}`;
    const replace = `${name}.SID_REPLACE_${sid.slot}`;
    const found = objectOf(page.state, uidOf(sid.key))?.object;
    const virtual = found?.type === 'VDEVICE' ? hex(found.virtId) : '?';
    const known = page.state.cmdqv.registers.get(replace);
    page.put(
      [match, replace],
      `    ${String(sid.slot).padStart(12)}  ${virtual.padEnd(8)} `,
      span(nameOf(page.state, uidOf(sid.key)), 'object'),
      span(` ${howText(page.state.cmdqv.registers.get(match))}`, 'dim'),
      ...(known === undefined ? [] : [`  replaced by ${valueText(replace, known)}`]),
    );
  }
}

function queueLines(page: Page, v: Vintf, q: Queue): void {
  const { state } = page;
  const { cmdqv } = state;
  const name = `VINTF${v.index}.LVCMDQ${q.lvcmdq}`;
  const memory = memoryOf(cmdqv, v);
  const view = viewQueue(readerOf(cmdqv), v.index, q.lvcmdq);
  const each = cmdqv.size.log2Queues;
  const physical = each === undefined ? '' : `, VCMDQ${v.index * 2 ** each + q.lvcmdq}`;
  page.put(
    [name],
    '  ',
    span(`LVCMDQ${q.lvcmdq}`, 'strong'),
    '  ',
    span(nameOf(state, uidOf(q.key)), 'object'),
    span(`  IOVA 0x${q.base.toString(16)}, ${2 ** q.log2} entries${physical}, ${q.done} done`, 'dim'),
  );
  pointerLines(page, name, view, 2 ** q.log2);
  for (const t of troubles(cmdqv, v, q, memory)) {
    const grave = t.kind !== 'pending' && t.kind !== 'no-sync';
    page.put(
      [],
      '    ',
      span(`${grave ? page.glyphs.error : page.glyphs.arrow} ${clean(t.text.slice(name.length + 2))}`, grave ? 'error' : 'changed'),
    );
  }
  const waiting = view.used === undefined || view.cons === undefined || view.used > 2 ** q.log2 ? 0 : view.used;
  for (let i = 0; i < Math.min(waiting, MOST_PENDING); i++) {
    const at = advance(view.cons!, i, q.log2);
    const text = commandAt(q, at, memory);
    page.put(
      [],
      span(`    waits ${String(entryOf(at, q.log2)).padStart(3)}  `, 'dim'),
      text === undefined ? span('?  not sampled', 'dim') : clean(text),
    );
  }
  if (waiting > MOST_PENDING) page.put([], span(`    waits ${page.glyphs.ellipsis} ${waiting - MOST_PENDING} more`, 'dim'));
  page.registers(name, '    ', TOLD);
}

function otherQueueLines(page: Page, vintf: number, lvcmdq: number): void {
  const name = `VINTF${vintf}.LVCMDQ${lvcmdq}`;
  const view = viewQueue(readerOf(page.state.cmdqv), vintf, lvcmdq);
  page.put([name], '  ', span(`LVCMDQ${lvcmdq}`, 'strong'), span('  no HW_QUEUE', 'dim'));
  pointerLines(page, name, view, view.log2 === undefined ? undefined : 2 ** view.log2);
  page.registers(name, '    ', TOLD);
}

/** `▕████░░░░▏ 18/64  PROD 18 store 83  CONS 0 sampled 80`, and a line of the bits that switch it on and tell of errors. */
function pointerLines(page: Page, name: string, view: QueueView, entries: number | undefined): void {
  const at = (short: string): string => `${name}.${short}`;
  const value = (short: string, label: string, text: string): Span[] => [
    span(`  ${label} `),
    span(text, page.changed(at(short)) ? 'changed' : undefined),
    span(` ${howText(page.state.cmdqv.registers.get(at(short)))}`, 'dim'),
  ];
  const known = (n: number | undefined): string => (n === undefined ? '?' : String(n));
  page.put(
    [at('PROD_INDX'), at('CONS_INDX')],
    '    ',
    ...barSpans(view.used, entries, page.glyphs),
    ` ${known(view.used)}/${known(entries)}`,
    ...value('PROD_INDX', 'PROD', known(view.prod)),
    ...value('CONS_INDX', 'CONS', known(view.cons)),
  );
  const bit = (b: boolean | undefined): string => (b === undefined ? '?' : b ? '1' : '0');
  const errors = view.errors === undefined ? '?' : view.errors === 0 ? 'none' : errorNames(view.errors).join(' ');
  page.put(
    [at('CONFIG'), at('STATUS'), at('GERROR'), at('GERRORN')],
    '  ',
    ...value('CONFIG', 'EN', bit(view.enabled)),
    ...value('STATUS', 'ack', bit(view.acknowledged)),
    ...(view.err === undefined || view.err === 0 ? [] : [span('  ERR '), span(fieldText(ERR, BigInt(view.err)), 'error')]),
    span('  GERROR '),
    span(errors, view.errors === undefined || view.errors === 0 ? undefined : 'error'),
    span(
      ` ${howText(page.state.cmdqv.registers.get(at('GERROR')))}, GERRORN ${howText(page.state.cmdqv.registers.get(at('GERRORN')))}`,
      'dim',
    ),
  );
}

/** How full a queue is, in half cells; what is not known is blank. */
export function barSpans(used: number | undefined, entries: number | undefined, { bar }: Glyphs): Span[] {
  const [empty, half, full] = [bar.cells[0]!, bar.cells[1]!, bar.cells[2]!];
  if (used === undefined || entries === undefined || entries <= 0) return [span(bar.left + ' '.repeat(BAR) + bar.right, 'dim')];
  const halves = Math.min(2 * BAR, used <= 0 ? 0 : Math.max(1, Math.round((2 * BAR * used) / entries)));
  const cells = full.repeat(halves >> 1) + half.repeat(halves & 1);
  return [
    span(bar.left, 'dim'),
    span(cells, used > entries ? 'error' : 'changed'),
    span(empty.repeat(BAR - (halves >> 1) - (halves & 1)) + bar.right, 'dim'),
  ];
}

function globalLines(page: Page, shown: readonly number[]): void {
  const { size, aperture } = page.state.cmdqv;
  const sizes = sizeTexts(size);
  const rest = [...page.owners()].filter((o) => !shown.includes(Number(/^VINTF(\d+)\b/.exec(o)?.[1] ?? -1)));
  if (sizes.length + rest.length === 0 && aperture === undefined) return;
  page.put([], span('CMDQV', 'strong'), span(`  ${sizes.join(', ')}`, 'dim'));
  if (aperture !== undefined) page.put([], `  aperture ${hex(aperture.physical)}+${hex(aperture.length)}`);
  for (const owner of rest) {
    if (owner !== 'CMDQV') page.put([], '  ', span(owner, 'strong'));
    page.registers(owner, owner === 'CMDQV' ? '  ' : '    ');
  }
}

function guestLines(page: Page, vm: number): void {
  const w = page.state.cmdqv.windows.get(vm)!;
  const viommu = page.state.contexts.get(w.context)?.objects.get(w.viommu);
  page.put(
    [`guest ${vm}`],
    span('guest', 'strong'),
    `  of VM file ${vm} sees it at ${hex(w.address)}`,
    span(viommu === undefined ? '' : `  ${objectName(viommu)}`, 'object'),
  );
  const seen = page.state.cmdqv.guests.get(vm) ?? new Map<string, Known>();
  const names = sortedNames(seen.keys());
  const longest = names.reduce((n, name) => Math.max(n, name.length), SHORTEST);
  for (const name of names) {
    const v = seen.get(name)!;
    page.put([`guest ${vm} ${name}`], `  ${name.padEnd(longest)} `, span(valueText(name, v)), span(` ${howText(v)}`, 'dim'));
  }
}
