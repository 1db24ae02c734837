/**
 * What the travel keys ask for, carried out: an aim becomes a way through the log (journey.ts), and its arrival says in words
 * where it has come to and why.
 */
import { callName } from '../hw/event-words.ts';
import type { KernelObject, Uid } from '../replayer/object-types.ts';
import type { Query } from '../replayer/query.ts';
import { parseQuery } from '../replayer/query.ts';
import { vocabularyOf } from '../replayer/query-fields.ts';
import { registerSubject } from '../replayer/query-registers.ts';
import { contextOfFile, objectById } from '../replayer/state.ts';
import { objectName } from '../replayer/words.ts';
import { type CopyWhat, copied } from './copy.ts';
import { goTo, holds, idAt, type ObjectSubject, registerOf, rowAt, type Walk, type Wanted, walk, wantedBy, wantedOf } from './journey.ts';
import type { TraceModel } from './model.ts';
import { clean } from './term/text.ts';

/** Along what a travel key goes. */
export type Along = 'object' | 'thread' | 'process' | 'register' | 'call';

/** A condition that a run stops at. */
export interface Watch {
  readonly id: number;
  readonly text: string;
}

/** What is being followed from event to event, once it is known. Plain data. */
export type Subject =
  | { readonly along: 'object'; readonly label: string; readonly object: ObjectSubject }
  | { readonly along: 'thread' | 'process' | 'call'; readonly label: string; readonly where: string; readonly value: number | string }
  | { readonly along: 'register'; readonly label: string; readonly name: string };

export type Aim =
  /** `key`: of the object that is chosen in its pane; `follow`: what was followed up to here */
  | { readonly to: 'along'; readonly along: Along; readonly key: string | undefined; readonly follow: Subject | undefined }
  | { readonly to: 'birth' | 'death'; readonly key: string | undefined }
  | { readonly to: 'watch'; readonly watches: readonly Watch[] }
  | { readonly to: 'copy'; readonly what: CopyWhat };

/** A way through the log that the program goes beside the keys. */
export interface Trip {
  readonly kind: 'travel';
  readonly id: number;
  readonly direction: 1 | -1;
  readonly times: number;
  /** seq under the cursor when it began */
  readonly from: number;
  readonly aim: Aim;
}

/** Where a trip has come to. */
export interface Arrival {
  /** undefined: it stays where it is */
  readonly seq?: number | undefined;
  /** what there is to say, clean; '' nothing */
  readonly say: string;
  readonly error: boolean;
  readonly follow?: Subject;
  /** what goes to the clipboard */
  readonly copy?: string;
}

export type Journey = Generator<number, Arrival, void>;

const nowhere = (say: string): Arrival => ({ say, error: true });

/** Begins a trip. `times` is asked again and again: the key may be pressed while it lasts. */
export function trip(model: TraceModel, t: Trip, times: () => number): Journey {
  switch (t.aim.to) {
    case 'along':
      return goAlong(model, t, t.aim, times);
    case 'birth':
    case 'death':
      return goToEnd(model, t, t.aim);
    case 'watch':
      return runTo(model, t, t.aim.watches, times);
    case 'copy':
      return copied(model, t.from, t.aim.what);
    default:
      return t.aim satisfies never;
  }
}

/** What is under way, for the status line. */
export function tripText({ aim }: Trip): string {
  switch (aim.to) {
    case 'along':
      return aim.follow === undefined ? 'searching' : `searching ${clean(aim.follow.label)}`;
    case 'birth':
    case 'death':
      return 'searching';
    case 'watch':
      return `running to ${clean(aim.watches.map((w) => w.text).join(' or '))}`;
    case 'copy':
      return 'copying';
    default:
      return aim satisfies never;
  }
}

function* goAlong(model: TraceModel, t: Trip, aim: Aim & { readonly to: 'along' }, times: () => number): Journey {
  // the others are read off the event
  const needsState = aim.along === 'object' || aim.along === 'register';
  if (aim.follow === undefined && needsState) yield* goTo(model, t.from, () => 0);
  const subject = aim.follow ?? subjectOf(model, t.from, aim);
  if (typeof subject === 'string') return nowhere(subject);
  const seq = yield* walk(model, wantedAlong(model, subject, t.from), t.from, t.direction, times);
  const label = clean(subject.label);
  if (seq !== undefined) return { seq, say: `${label}: event ${seq}`, error: false, follow: subject };
  const ended = subject.along === 'object' && t.direction === 1 && subject.object.end !== undefined;
  const why = ended ? `: it ended at ${(subject.along === 'object' && subject.object.end) || t.from}` : '';
  return { say: `no ${t.direction === 1 ? 'later' : 'earlier'} event of ${label}${why}`, error: true, follow: subject };
}

function wantedAlong(model: TraceModel, s: Subject, here: number): Wanted {
  if (s.along === 'object') return wantedOf(model, s.object, here);
  if (s.along !== 'register') return { where: `${s.where} = ?`, params: [s.value], folds: false };
  const subject = registerSubject(s.name);
  if (subject === undefined) return { where: '0', params: [], folds: false };
  const query: Query = { op: 'register', subject, comparison: undefined, value: 0n };
  return { ...wantedBy(model, query), where: "kind IN ('MMIO', 'QUEUE')", params: [], folds: true };
}

/** What the event (or the pane) names to go along; a text says why there is nothing. The state is at the event. */
function subjectOf(model: TraceModel, seq: number, aim: Aim & { readonly to: 'along' }): Subject | string {
  const event = model.event(seq);
  if (event === undefined) return 'the trace has no events';
  switch (aim.along) {
    case 'thread':
      return { along: 'thread', label: `thread ${event.tid}`, where: 'tid', value: event.tid };
    case 'process':
      return { along: 'process', label: `process ${event.pid}`, where: 'pid', value: event.pid };
    case 'call': {
      const call = callName(event, model.table);
      return { along: 'call', label: call, where: 'call', value: call };
    }
    case 'register': {
      const name = registerOf(model, seq);
      return name === undefined ? `event ${seq} is no access of a register that is known` : { along: 'register', label: name, name };
    }
    case 'object': {
      const object = objectAt(model, seq, aim.key);
      return typeof object === 'string' ? object : { along: 'object', label: object.name, object };
    }
    default:
      return aim.along satisfies never;
  }
}

/** The object of a line of the pane (`o12`), else the one that the event is about. */
function objectAt(model: TraceModel, seq: number, key: string | undefined): ObjectSubject | string {
  if (key !== undefined) {
    const uid = /^o(\d+)$/.exec(key)?.[1];
    if (uid === undefined) return 'this line is no object: choose one in Objects';
    return byUid(model, Number(uid)) ?? 'this object is not there any more';
  }
  const id = idAt(model, seq);
  const context = contextOfFile(model.state, model.event(seq)?.file ?? 0);
  const changed = model.changes.find((c) => c.op === 'object.end' || c.op === 'object.create');
  if (id === 0 || context === undefined) {
    if (changed?.op === 'object.end' || changed?.op === 'object.create')
      return subject(model, changed.object, changed.op === 'object.end' ? seq : undefined);
    return `event ${seq} is about no object: choose one in Objects`;
  }
  const object = objectById(context, id);
  if (object !== undefined) return subject(model, object, undefined);
  const ended = context.ended.get(id);
  if (ended === undefined) return `event ${seq} names object ${id}, and there is no such object`;
  return subject(model, { ...ended, origin: 'observed' }, ended.seq);
}

function byUid(model: TraceModel, uid: Uid): ObjectSubject | undefined {
  for (const c of model.state.contexts.values()) {
    const object = c.objects.get(uid);
    if (object !== undefined) return subject(model, object, undefined);
  }
  return undefined;
}

const subject = (model: TraceModel, o: Pick<KernelObject, 'id' | 'type' | 'birth' | 'origin'>, end: number | undefined): ObjectSubject => ({
  name: objectName(o),
  type: o.type,
  id: o.id,
  context: rowAt(model, o.birth)?.context ?? 0,
  birth: o.birth,
  inferred: o.origin === 'inferred',
  end,
});

/** To the event that made an object, or to the one that ends it. */
function* goToEnd(model: TraceModel, t: Trip, aim: Aim & { readonly to: 'birth' | 'death' }): Journey {
  yield* goTo(model, t.from, () => 0);
  const o = objectAt(model, t.from, aim.key);
  if (typeof o === 'string') return nowhere(o);
  if (aim.to === 'birth') {
    if (o.birth === 0) return nowhere(`${o.name} was there before the log`);
    return { seq: o.birth, say: `${o.name} ${o.inferred ? 'is first spoken of' : 'begins'} at ${o.birth}`, error: false };
  }
  const seq = o.end ?? (yield* deathOf(model, o, t.from));
  return seq === undefined
    ? nowhere(`${o.name} is still there at the end of the log`)
    : { seq, say: `${o.name} ends at ${seq}`, error: false };
}

/** An id that is taken cannot be destroyed twice: the next success is the one. What ends otherwise only the fold sees. */
function* deathOf(model: TraceModel, o: ObjectSubject, from: number): Walk {
  if (o.id !== 0 && rowAt(model, o.birth)?.object === o.id) {
    const destroyed = { where: "call = 'IOMMU_DESTROY' AND object = ? AND errno = 0 AND took IS NOT NULL", params: [o.id] };
    const within = {
      where: `call = 'IOMMU_DESTROY' AND object = ?${o.context === 0 ? '' : ' AND context = ?'}`,
      params: [o.id, ...(o.context === 0 ? [] : [o.context])],
    };
    const here = o.context === 0 ? destroyed : { where: `${destroyed.where} AND context = ?`, params: [o.id, o.context] };
    const seq = yield* walk(model, { ...here, within, folds: false }, from, 1, () => 1);
    if (seq !== undefined) return seq;
  }
  const query: Query = { op: 'change', word: 'destroyed', subject: { types: [o.type], id: o.id } };
  return yield* walk(model, wantedBy(model, query), from, 1, () => 1);
}

/** A condition as a query; a text says in one line what is wrong with it, and where. */
export function conditionOf(model: TraceModel, text: string): Query | string {
  const parsed = parseQuery(text, vocabularyOf(model.table));
  if (parsed.ok) return parsed.query.op === 'all' ? 'an empty condition is true everywhere' : parsed.query;
  const { message, at, length } = parsed.error;
  const place = text.slice(at, at + Math.max(1, length)).trim();
  return clean(`${place === '' ? 'at its end' : `at "${place}" (column ${at + 1})`}: ${message}`);
}

function* runTo(model: TraceModel, t: Trip, watches: readonly Watch[], times: () => number): Journey {
  const conditions = watches.map((w) => ({ watch: w, query: conditionOf(model, w.text) }));
  const good = conditions.filter((c): c is { watch: Watch; query: Query } => typeof c.query !== 'string');
  const bad = conditions.find((c) => typeof c.query === 'string');
  if (bad !== undefined) return nowhere(`${clean(bad.watch.text)} ${bad.query}`);
  const any = good.map((c) => c.query).reduce((left, right): Query => ({ op: 'or', left, right }));
  const seq = yield* walk(model, wantedBy(model, any), t.from, t.direction, times);
  const named = (w: Watch): string => `${w.id === 0 ? '' : `watch ${w.id}: `}${clean(w.text)}`;
  if (seq === undefined) {
    const side = t.direction === 1 ? 'never again after' : 'never before';
    return nowhere(`${good.map((c) => named(c.watch)).join(', ')}: ${side} event ${t.from}`);
  }
  if (good.length > 1) yield* goTo(model, seq, () => 1);
  const hit = good.length === 1 ? good[0]! : (good.find((c) => holds(model, c.query, seq)) ?? good[0]!);
  return { seq, say: `stopped at ${seq} by ${named(hit.watch)}`, error: false };
}
