/** What a reduced session is still to show. */

import { errnoName } from '../../hw/errno.ts';
import type { EventLike } from '../../hw/event-text.ts';
import { callName, kindName } from '../../hw/event-words.ts';
import { DIALECTS, type DialectName, uapiTable } from '../../hw/uapi/table.ts';
import type { Field } from '../../hw/uapi/types.ts';
import { FRAME_AT, FrameCursor } from '../../store/frame.ts';
import type { EventView } from '../../store/read.ts';
import type { Change } from '../change.ts';
import { Folder } from '../decide.ts';
import { LINTS } from '../lints.ts';
import { planOf } from '../plan.ts';
import type { ModelRun } from '../program/run.ts';
import type { Query } from '../query.ts';
import { compileQuery, type QueryEvent } from '../query-match.ts';
import { asksState } from '../query-state.ts';
import { emptyState, type SessionState } from '../state.ts';

/** What is kept beside, or instead of, what an expression says of an event. */
export type Kept =
  /** a lint of `check` at the event */
  | { readonly what: 'lint'; readonly rule: string }
  /** the recording's answer to a call, which the rules answer otherwise */
  | { readonly what: 'disagrees' }
  /** a call that the rules of another kernel answer otherwise */
  | { readonly what: 'differs'; readonly dialect: DialectName };

export interface KeepText {
  readonly kept: Kept | undefined;
  /** an expression of the filter language; '' any event */
  readonly filter: string;
}

const SPECIAL = /^\s*(?:(lint|differs)\(\s*([\w.-]*)\s*\)|(disagrees))(?=\s|&|$)\s*(?:(?:&&|and\b)\s*(.*))?$/s;

/** Reads what `--keep` says; a string says what is wrong with it. What is not special is left to the filter language. */
export function readKeep(text: string): KeepText | string {
  const match = SPECIAL.exec(text);
  if (match === null) return { kept: undefined, filter: text };
  const [, word, name = '', , filter = ''] = match;
  if (word === undefined) return { kept: { what: 'disagrees' }, filter };
  if (word === 'lint')
    return Object.hasOwn(LINTS, name)
      ? { kept: { what: 'lint', rule: name }, filter }
      : `no lint is called "${name}"; there are ${Object.keys(LINTS).join(', ')}`;
  const dialect = DIALECTS.find((d) => d === name);
  return dialect === undefined
    ? `no kernel is called "${name}"; there are ${DIALECTS.join(', ')}`
    : { kept: { what: 'differs', dialect }, filter };
}

// ---- expressions

/** Columns whose values are those of one recording: they say which event is meant, not what it is. */
const OF_ONE: ReadonlySet<string> = new Set(['seq', 't', 'took', 'pid', 'tid', 'fd', 'file', 'context', 'ret']);

const NEVER: Query = { op: 'not', inner: { op: 'all' } };

/**
 * The expression as another recording of the same can meet it: conditions on numbers that are given anew each time (of events, processes,
 * descriptors, objects, times) have been met or not by the chosen event, and that is what is left of them.
 */
export function lasting(query: Query, event: QueryEvent, table: ReturnType<typeof uapiTable>): Query {
  const held = (q: Query): Query => (compileQuery(q, table)(event) ? { op: 'all' } : NEVER);
  switch (query.op) {
    case 'and':
    case 'or':
      return { op: query.op, left: lasting(query.left, event, table), right: lasting(query.right, event, table) };
    case 'not':
      return { op: 'not', inner: lasting(query.inner, event, table) };
    case 'column':
      return OF_ONE.has(query.column) && !isAmount(query.column, event) ? held(query) : query;
    case 'field':
      return isNumberOf(query.field, table) ? held(query) : query;
    case 'object':
      return held(query);
    case 'change':
      return query.subject.id === undefined || !compileQuery(query, table)(event)
        ? query
        : { ...query, subject: { ...query.subject, id: undefined } };
    default:
      return query;
  }
}

/** What read and write return is how much there was. */
const isAmount = (column: string, { row }: QueryEvent): boolean => column === 'ret' && (row.kind === 'READ' || row.kind === 'WRITE');

const bare = (name: string): string => name.slice(name.lastIndexOf('.') + 1);
const isGiven = (f: Field): boolean =>
  f.ref !== undefined || f.creates !== undefined || f.destroys === true || f.fd !== undefined || f.nested !== undefined;

/** Is some field of this name an id, a descriptor or an address? */
const isNumberOf = (name: string, table: ReturnType<typeof uapiTable>): boolean =>
  table.commands.some((c) => c.struct?.fields.some((f) => (f.name === name || bare(f.name) === name) && isGiven(f)) === true);

/** Does an event of a run meet a (lasting) expression? `at`: index of its frame. */
export function meets(query: Query, run: Pick<ModelRun, 'frames'>, at: number, dialect: DialectName): boolean {
  if (query.op === 'all') return true;
  const table = uapiTable(dialect);
  const event = eventAt(run.frames, at, table, asksState(query, table));
  return compileQuery(query, table, { entered: (seq) => like(run.frames, seq - 1) })(event);
}

const like = (frames: readonly Buffer[], index: number): EventLike | undefined => {
  const frame = frames[index];
  return frame === undefined ? undefined : new FrameCursor().at(frame, 0).frame();
};

function eventAt(frames: readonly Buffer[], at: number, table: ReturnType<typeof uapiTable>, folds: boolean): QueryEvent {
  const frame = like(frames, at)!;
  const none: { readonly before: SessionState | undefined; readonly changes: readonly Change[] } = { before: undefined, changes: [] };
  const { before, changes } = folds ? folded(frames, at, table) : none;
  const row: EventView = {
    seq: at + 1,
    t: 0,
    took: 0,
    pid: frame.pid,
    tid: frame.tid,
    kind: kindName(frame.kind).toUpperCase(),
    call: callName(frame, table),
    fd: frame.fd,
    file: frame.file,
    context: 0,
    object: 0,
    ret: frame.ret,
    errno: frame.error,
    error: frame.error === 0 ? null : errnoName(frame.error),
  };
  return { row, frame, changes, before };
}

/** The state before an event, and what the event changes. Two folds: one is to stay where it was. */
function folded(
  frames: readonly Buffer[],
  at: number,
  table: ReturnType<typeof uapiTable>,
): { before: SessionState; changes: readonly Change[] } {
  const [before, after] = [new Folder(planOf(table), emptyState()), new Folder(planOf(table), emptyState())];
  for (let i = 0; i < at; i++) {
    for (const f of [before, after]) {
      f.fold(frames[i]!, 0);
      f.state.seq = i + 1;
    }
  }
  return { before: before.state, changes: [...after.fold(frames[at]!, 0)] };
}

/** errno of a frame. */
export const errorOf = (frame: Buffer): number => frame.readInt32LE(FRAME_AT.error);
