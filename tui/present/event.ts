/** One event as the list shows it: the call, what it was about, what came of it. Pure; every string is clean. */
import { errnoName } from '../../hw/errno.ts';
import type { AccessPlace } from '../../hw/event-access.ts';
import { callBytes } from '../../hw/event-calls.ts';
import { type EventLike, eventText, type TextOptions } from '../../hw/event-text.ts';
import { callName, FILE_NAMES, FRAME_NUMBERS, kindName } from '../../hw/event-words.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import { printNode } from '../../hw/uapi/text.ts';
import { type CallView, type Item, type Node, viewCall } from '../../hw/uapi/view.ts';
import type { EventView } from '../../store/read.ts';
import { clean } from '../term/text.ts';
import type { HardwareMark } from '../term/theme.ts';

/** What printing an event needs: the trace's table and clock, and other events by number. */
export interface EventContext {
  readonly table: UapiTable;
  /** CLOCK_MONOTONIC at the start of the recording, nanoseconds */
  readonly start: bigint;
  readonly machine: string;
  readonly entered: (seq: number) => EventLike | undefined;
  /** the type of the vEVENTQ that an event is about */
  readonly queueType: (event: EventLike) => number | undefined;
  /** what an MMIO event is to, where that is known */
  readonly place?: ((event: EventLike) => AccessPlace | undefined) | undefined;
}

export type Outcome = 'ok' | 'error' | 'open';

export interface ListedEvent {
  readonly seq: number;
  /** when it was entered: nanoseconds of CLOCK_MONOTONIC; undefined where nobody can tell */
  readonly at: bigint | undefined;
  readonly pid: number;
  readonly tid: number;
  /** without the prefix that all iommufd calls share */
  readonly call: string;
  readonly args: string;
  readonly outcome: Outcome;
  /** `= 0`, `EBUSY`, `= 0x7f…`; '' where the event has none */
  readonly result: string;
  /** it tells of the hardware */
  readonly hardware?: HardwareMark;
}

export const textOptions = (c: EventContext): TextOptions => ({
  table: c.table,
  style: 'abbrev',
  start: c.start,
  machine: c.machine,
  entered: c.entered,
  queueType: c.queueType,
  place: c.place,
});

export function listedEvent(e: EventLike, context: EventContext): ListedEvent {
  const text = textOptions(context);
  const kind = kindName(e.kind);
  const hardware = hardwareOf(e, kind);
  const base = { seq: e.seq, at: e.tEnter, pid: e.pid, tid: e.tid, ...(hardware === undefined ? {} : { hardware }) };
  const outcome: Outcome = e.error !== 0 ? 'error' : e.state === FRAME_NUMBERS.state.ENTERED && kind !== 'gap' ? 'open' : 'ok';
  if (kind === 'ioctl') {
    const view = viewCall(context.table, callBytes(e));
    const result = outcome === 'error' ? errnoName(e.error) : outcome === 'open' ? '= ?' : `= ${e.ret}`;
    return { ...base, call: shortCall(callName(e, context.table)), args: clean(argsText(context.table, view)), outcome, result };
  }
  const t = eventText(e, text);
  const [call, args] = splitCall(t.call);
  const result = outcome === 'error' ? errnoName(e.error) : t.result.replace(/ <unfinished>$/, '');
  return { ...base, call: clean(call), args: clean(args), outcome, result: clean(result) };
}

const QUEUES_OF_EVENTS: ReadonlySet<string> = new Set(['veventq', 'fault']);

/** Loads, stores and samples; reads that brought events or faults. */
function hardwareOf(e: EventLike, kind: string): HardwareMark | undefined {
  if (kind === 'mmio') return 'access';
  if (kind === 'queue') return 'sample';
  return kind === 'read' && e.error === 0 && e.ret > 0n && QUEUES_OF_EVENTS.has(FILE_NAMES[e.fileKind] ?? '') ? 'event' : undefined;
}

/** An event whose frame cannot be read: what the index knows of it, where that can be read. */
export function damagedEvent(seq: number, row: EventView | undefined, start: bigint): ListedEvent {
  return {
    seq,
    at: row === undefined ? undefined : start + BigInt(Math.round(row.t)),
    pid: row?.pid ?? 0,
    tid: row?.tid ?? 0,
    call: clean(shortCall(row?.call ?? '')),
    args: '',
    outcome: 'error',
    result: 'damaged',
  };
}

/** The prefix says nothing in a list where nearly every call has it. */
const shortCall = (name: string): string => name.replace(/^IOMMU_/, '');

/** `mmap(NULL, …)` → mmap and what is in its parentheses; a return: the name of the call that it ends. */
function splitCall(text: string): readonly [string, string] {
  const resumed = /^<… (\S+) resumed, seq (\d+)>(.*)$/s.exec(text);
  if (resumed !== null) return [`…${shortCall(resumed[1]!)}`, `return of ${resumed[2]}${resumed[3]}`];
  const call = /^(\w+)\((.*)\)$/s.exec(text);
  return call === null ? [text, ''] : [call[1]!, call[2]!];
}

/** What a call is about, most telling first: what it refers to, kinds, numbers, flags; addresses of the program last. */
function argsText(table: UapiTable, view: CallView): string {
  const { arg } = view;
  if (arg === undefined) return '';
  if (arg.kind !== 'struct') return printNode(table, arg, 'abbrev');
  return arg.items
    .filter((i) => i.level === 0 && !isLength(i))
    .map((item) => ({ item, rank: rankOf(item) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => itemText(table, item))
    .join('  ');
}

const isLength = (i: Item): boolean => i.offset === 0 && (i.name === 'size' || i.name === 'argsz');

function rankOf({ field, node, name }: Item): number {
  if (name === 'op') return 0;
  if (name === 'iova') return 2;
  if (field?.ref !== undefined || field?.fd !== undefined) return 1;
  if (field?.nested?.dir === 'mapped') return 6;
  if (node.kind === 'pointer') return 5;
  if (field?.enum !== undefined) return 2;
  if (field?.flags !== undefined) return 4;
  return 3;
}

/** `viommu 6`, `index 1`; of constants the value alone says it. */
function itemText(table: UapiTable, { name, node, field }: Item): string {
  const value = printNode(table, node, 'abbrev');
  const named = field?.enum !== undefined || field?.flags !== undefined;
  if (named && isConstant(node, value)) return value;
  return `${name.replace(/_id$/, '')} ${value}`;
}

const isConstant = (node: Node, value: string): boolean => node.kind === 'number' && /^[A-Z]/.test(value);
