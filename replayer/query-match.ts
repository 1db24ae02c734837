/** What a query means: true or false for one event. */
import type { EventLike } from '../hw/event-text.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import type { Field } from '../hw/uapi/types.ts';
import { Kind, PartKind, State } from '../store/frame.ts';
import type { EventView } from '../store/read.ts';
import { argsOf, mappingIn } from './access-place.ts';
import type { Change } from './change.ts';
import { queuesIn } from './cmdqv-why.ts';
import type { ChangeWord, Column, Comparison, Literal, Query, Subject } from './query.ts';
import { constantOf, type FieldHit, FieldReader, MentionReader, textOf } from './query-fields.ts';
import { recordHits } from './query-records.ts';
import { hitValue, isRegister, type RegisterHit, registerHits } from './query-registers.ts';
import { contextOfFile, objectById, type SessionState } from './state.ts';

/** An event, with what a query may ask of it. Getters are looked at only when the query needs them. */
export interface QueryEvent {
  readonly row: EventView;
  readonly frame: EventLike;
  /** what the event changed; empty where nobody folds */
  readonly changes: readonly Change[];
  /** the state before the event; undefined where nobody folds */
  readonly before: SessionState | undefined;
}

export type Matcher = (event: QueryEvent) => boolean;

export interface MatchOptions {
  /** the event with a number: a RETURN has the outputs of a call that was stored as entered */
  readonly entered?: (seq: number) => EventLike | undefined;
}

/** Makes the test for a query. */
export function compileQuery(query: Query, table: UapiTable, options: MatchOptions = {}): Matcher {
  const make = (q: Query): Matcher => compileQuery(q, table, options);
  switch (query.op) {
    case 'all':
      return () => true;
    case 'and': {
      const [left, right] = [make(query.left), make(query.right)];
      return (e) => left(e) && right(e);
    }
    case 'or': {
      const [left, right] = [make(query.left), make(query.right)];
      return (e) => left(e) || right(e);
    }
    case 'not': {
      const inner = make(query.inner);
      return (e) => !inner(e);
    }
    default:
      return compileLeaf(query, table, options);
  }
}

type Leaf = Exclude<Query, { readonly op: 'all' | 'and' | 'or' | 'not' }>;

function compileLeaf(query: Leaf, table: UapiTable, options: MatchOptions): Matcher {
  const began = (event: QueryEvent): EventLike => beginning(event.frame, options);
  switch (query.op) {
    case 'column':
      return (e) => compared(columnOf(e, query.column), query.comparison, query.value);
    case 'match': {
      const pattern = new RegExp(query.pattern, 'iu');
      return (e) => pattern.test(String(columnOf(e, query.column)));
    }
    case 'text': {
      const pattern = new RegExp(query.pattern, 'iu');
      return (e) => {
        const text = textOf(e.frame, query.field);
        return text !== undefined && pattern.test(text);
      };
    }
    case 'field':
      return fieldMatcher(query.field, query.comparison, query.value, table, began);
    case 'object': {
      const mentions = new MentionReader(table);
      return (e) => mentioned(e, query.subject, mentions, began(e));
    }
    case 'change':
      return (e) => e.changes.some((change) => changeIs(change, query.word, query.subject, e));
    case 'register':
      return registerMatcher(query);
    case 'flag':
      return query.flag === 'error' ? (e) => e.row.errno !== 0 : (e) => e.frame.state === State.ENTERED;
  }
}

/** The event that a RETURN ends, where it can be had; any other event is its own beginning. */
function beginning(frame: EventLike, options: MatchOptions): EventLike {
  if (frame.kind !== Kind.RETURN || options.entered === undefined) return frame;
  const args = frame.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
  if (args === undefined || args.length < 8) return frame;
  const seq = new DataView(args.buffer, args.byteOffset, 8).getBigUint64(0, true);
  return (seq < BigInt(frame.seq) ? options.entered(Number(seq)) : undefined) ?? frame;
}

/** The value in a column; undefined where the view has NULL. */
function columnOf(e: QueryEvent, column: Column): number | bigint | string | undefined {
  const { row } = e;
  switch (column) {
    case 'took':
      return row.took ?? undefined;
    case 'ret':
      return row.took === null && row.ret === 0n && row.errno === 0 && e.frame.state === State.ENTERED ? undefined : row.ret;
    case 'kind':
      return row.kind.toLowerCase();
    default:
      return row[column];
  }
}

/** false where there is no value; numbers and bigints compare by value. */
function compared(value: number | bigint | string | undefined, comparison: Comparison, literal: number | bigint | string): boolean {
  if (value === undefined) return false;
  if (typeof value === 'string' || typeof literal === 'string')
    return comparison === '==' ? value === literal : comparison === '!=' && value !== literal;
  switch (comparison) {
    case '==':
      return value >= literal && value <= literal;
    case '!=':
      return value < literal || value > literal;
    case '<':
      return value < literal;
    case '<=':
      return value <= literal;
    case '>':
      return value > literal;
    case '>=':
      return value >= literal;
  }
}

/** Some value of the field must compare so: a field that a call changes has two, an array many. */
function fieldMatcher(
  name: string,
  comparison: Comparison | '&',
  literal: Literal,
  table: UapiTable,
  began: (e: QueryEvent) => EventLike,
): Matcher {
  const reader = new FieldReader(table, name);
  const constants = new Map<Field | undefined, bigint | undefined>();
  const literalFor = (field: Field | undefined): bigint | undefined => {
    if ('number' in literal) return literal.number;
    if (!constants.has(field)) {
      const n = field === undefined ? undefined : constantOf(table, field, literal.word);
      constants.set(field, n === undefined ? undefined : BigInt(n));
    }
    return constants.get(field);
  };
  const fits = ({ value, field }: FieldHit): boolean => {
    const n = literalFor(field);
    if (n === undefined) return false;
    return comparison === '&' ? n !== 0n && (BigInt(value) & n) === n : compared(value, comparison, n);
  };
  return (e) => reader.hits(e.frame, began(e)).some(fits) || recordHits(table, name, e.frame, began(e), () => e.before).some(fits);
}

/** Some value that the event brings must compare so. */
function registerMatcher({ subject, comparison, value }: Query & { readonly op: 'register' }): Matcher {
  const fits = (hit: RegisterHit): boolean => {
    if (!isRegister(subject, hit.name)) return false;
    if (comparison === undefined) return true;
    const found = hitValue(subject, hit);
    if (found === undefined) return false;
    return comparison === '&' ? value !== 0n && (found & value) === value : compared(found, comparison, value);
  };
  return (e) =>
    registerHits(
      e.frame,
      () => e.before,
      () => e.changes,
    ).some(fits);
}

/** Does the event speak of the object: name its id, or change it? */
function mentioned(e: QueryEvent, subject: Subject, reader: MentionReader, began: EventLike): boolean {
  const { types, id } = subject;
  if (types.length === 0 && id !== undefined && e.row.object === id) return true;
  const state = types.length === 0 ? undefined : e.before;
  const context = state === undefined ? undefined : contextOfFile(state, began.file);
  const named = reader.mentions(e.frame, began).some((mention) => {
    if (id !== undefined && mention.id !== id) return false;
    if (types.length === 0) return true;
    const actual = context === undefined ? undefined : objectById(context, mention.id)?.type;
    return actual !== undefined && !mention.created ? types.includes(actual) : mention.types.some((type) => types.includes(type));
  });
  return named || touchesRegisters(e, subject) || (types.length > 0 && e.changes.some((change) => touches(change, subject, e)));
}

/** A hardware queue that is read beside the program, an access of its registers or through a vIOMMU's mapping. */
function touchesRegisters(e: QueryEvent, subject: Subject): boolean {
  const { frame } = e;
  if (frame.kind !== Kind.QUEUE && frame.kind !== Kind.MMIO) return false;
  const named = frame.kind === Kind.QUEUE ? Number(argsOf(frame)[0] ?? 0n) : 0;
  if (named !== 0 && isSubject({ id: named, type: 'HW_QUEUE' }, subject)) return true;
  // what else it is about only the fold knows
  const state = subject.types.length === 0 ? undefined : e.before;
  if (state === undefined) return false;
  const uids = [...queuesIn(state, frame), mappingIn(state, frame, argsOf(frame)[0])?.viommu ?? 0];
  return [...state.contexts.values()].some((c) =>
    uids.some((uid) => {
      const object = c.objects.get(uid);
      return object !== undefined && isSubject(object, subject);
    }),
  );
}

function changeIs(change: Change, word: ChangeWord, subject: Subject, e: QueryEvent): boolean {
  switch (word) {
    case 'created':
      return change.op === 'object.create' && isSubject(change.object, subject);
    case 'destroyed':
      return change.op === 'object.end' && isSubject(change.object, subject);
    case 'changed':
      return touches(change, subject, e);
  }
}

const isSubject = (object: { readonly id: number; readonly type: string }, subject: Subject): boolean =>
  (subject.id === undefined || object.id === subject.id) && (subject.types.length === 0 || subject.types.includes(object.type));

/** Is it this object that the change is about? Every change is about "any object". */
function touches(change: Change, subject: Subject, e: QueryEvent): boolean {
  if (subject.id === undefined && subject.types.length === 0) return true;
  switch (change.op) {
    case 'object.create':
    case 'object.end':
      return isSubject(change.object, subject);
    case 'object.set':
      return isSubject(change.from, subject) || isSubject(change.to, subject);
    case 'area.add':
    case 'area.remove':
      return hasUid(e, change.context, change.ioas, subject);
    case 'pin.add':
    case 'pin.remove':
      return hasUid(e, change.context, change.pin.access, subject);
    case 'mapping.add':
    case 'mapping.remove':
      return hasUid(e, change.mapping.context, change.mapping.viommu, subject);
    default:
      return false;
  }
}

/** The object with this number, as it was before the event or as the event made it. */
function hasUid(e: QueryEvent, context: number, uid: number, subject: Subject): boolean {
  for (const change of e.changes) if (change.op === 'object.create' && change.object.uid === uid) return isSubject(change.object, subject);
  const object = e.before?.contexts.get(context)?.objects.get(uid);
  return object !== undefined && isSubject(object, subject);
}
