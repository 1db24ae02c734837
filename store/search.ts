/**
 * Windows of rows that satisfy a condition. There is no index over the rows, it would be as big as they are; instead every chunk knows
 * which origins occur in it (table `places`) and how many calls failed, so chunks without a match are passed over.
 */
import type Database from 'better-sqlite3';
import { EVENT_COLUMNS } from './schema.ts';

/** An event as a row. Exact, except times beyond ± 2^53 ns (104 days), which no kernel reports. */
export interface EventView {
  readonly seq: number;
  /** nanoseconds since the start of the recording */
  readonly t: number;
  /** nanoseconds that the call took; null where it had not returned */
  readonly took: number | null;
  readonly pid: number;
  readonly tid: number;
  /** 'IOCTL', 'OPEN' …; 'KIND_99' for one that is not known */
  readonly kind: string;
  readonly call: string;
  /** -1 where there is none */
  readonly fd: number;
  /** number of the open file description, 0 unknown */
  readonly file: number;
  /** number of the iommufd context, 0 none */
  readonly context: number;
  /** id of the object that the call is about, 0 none */
  readonly object: number;
  /** 0n where the call had not returned */
  readonly ret: bigint;
  readonly errno: number;
  /** name of errno, null where it is 0 */
  readonly error: string | null;
}

/** A value for a `?` in a condition. */
export type SqlValue = number | bigint | string | null;

export interface Condition {
  /** SQL over the columns of view `events`, with `?` for each of `params` */
  readonly where: string;
  readonly params: readonly SqlValue[];
}

export interface Window {
  /** the first event that may be in the window, inclusive; default: the first of the trace, backward the last */
  readonly from?: number;
  /** the last event that may be in the window, inclusive, in the direction of reading */
  readonly to?: number;
  /** rows at most; default 1000 */
  readonly limit?: number;
  readonly direction?: 'forward' | 'backward';
  /**
   * Hint: a condition that every wanted row satisfies besides, and that uses only pid, tid, kind, call, fd, file, context and object.
   * Chunks where it holds for no row are passed over. Not needed where the condition itself uses only these.
   */
  readonly within?: Condition;
  /** Hint: every wanted row has errno != 0. */
  readonly failed?: boolean;
}

const DEFAULT_LIMIT = 1000;
/** Origins that a window is narrowed by at most. */
const MANY = 1024;
/** Statements that are kept; a screen where filters are typed makes many. */
const STATEMENTS = 64;

const ORIGIN_COLUMNS = ['pid', 'tid', 'kind', 'call', 'fd', 'file', 'context', 'object'] as const;
const ORIGINS = `(SELECT o.id AS origin_id, ${ORIGIN_COLUMNS.map((name) => `${EVENT_COLUMNS[name]} AS ${name}`).join(', ')} FROM origins o)`;

/** Events first … last of the trace that may hold a match. */
interface Span {
  readonly first: number;
  readonly last: number;
}

export class RowSearch {
  readonly #db: Database.Database;
  readonly #selects = new Map<string, Database.Statement>();
  /** undefined where the condition is about more than origins */
  readonly #originSelects = new Map<string, Database.Statement | undefined>();
  /** by condition: what it holds for among the origins up to a number */
  readonly #originsOf = new Map<string, { readonly upTo: number; readonly ids: readonly number[] | undefined }>();
  readonly #lastOrigin: Database.Statement;
  readonly #chunkAt: Database.Statement;
  readonly #chunkEnd: Database.Statement;
  readonly #tailStart: Database.Statement;
  readonly #placed: Readonly<Record<'forward' | 'backward', Database.Statement>>;
  readonly #failed: Readonly<Record<'forward' | 'backward', Database.Statement>>;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#lastOrigin = db.prepare('SELECT max(id) FROM origins').pluck();
    this.#chunkAt = db.prepare('SELECT coalesce(max(first), 0) FROM chunks WHERE first <= ?').pluck();
    this.#chunkEnd = db.prepare('SELECT first + events - 1 FROM chunks WHERE first = ?').pluck();
    this.#tailStart = db.prepare('SELECT first + events FROM chunks ORDER BY first DESC LIMIT 1').pluck();
    const placed = (pick: string, compare: string, order: string) =>
      db
        .prepare(
          `SELECT ${pick}((SELECT p.chunk FROM places p WHERE p.origin = j.value AND p.chunk ${compare} ? ORDER BY p.chunk ${order} LIMIT 1)) FROM json_each(?) j`,
        )
        .pluck();
    this.#placed = { forward: placed('min', '>=', 'ASC'), backward: placed('max', '<=', 'DESC') };
    const failed = (compare: string, order: string) =>
      db.prepare(`SELECT first FROM chunks WHERE first ${compare} ? AND failures > 0 ORDER BY first ${order} LIMIT 1`).pluck();
    this.#failed = { forward: failed('>=', 'ASC'), backward: failed('<=', 'DESC') };
  }

  /** In the direction of reading, nearest first. Throws what SQLite throws. */
  select(where: string, params: readonly SqlValue[], window: Window = {}): EventView[] {
    return this.#windows(where, params, window, (span, backward, limit) => this.#plain(where, params, span, backward, limit));
  }

  /** The numbers alone of the rows that {@link select} gives: several times as fast. */
  seqs(where: string, params: readonly SqlValue[], window: Window = {}): number[] {
    return this.#windows(where, params, window, (span, backward, limit) => {
      const sql = `SELECT seq ${matching(where, backward)}`;
      return this.#statement(sql, (s) => s.pluck()).all(...params, span.first, span.last, limit) as number[];
    });
  }

  /** Reads the spans that may hold a match, one after the other. */
  #windows<R>(
    where: string,
    params: readonly SqlValue[],
    window: Window,
    read: (span: Span, backward: boolean, limit: number) => R[],
  ): R[] {
    const backward = window.direction === 'backward';
    const low = bound((backward ? window.to : window.from) ?? 1);
    const high = bound((backward ? window.from : window.to) ?? Number.MAX_SAFE_INTEGER);
    const limit = window.limit ?? DEFAULT_LIMIT;
    const failed = window.failed ?? false;
    const origins = window.within ? this.#origins(window.within.where, window.within.params) : this.#origins(where, params);
    if (origins === undefined && !failed) return read({ first: low, last: high }, backward, limit);
    if (origins?.length === 0) return [];
    const ids = origins && JSON.stringify(origins);
    const rows: R[] = [];
    for (let at = backward ? Math.min(high, this.#last()) : low; rows.length < limit && at >= low && at <= high; ) {
      const span = backward ? this.#before(at, ids, failed) : this.#after(at, ids, failed);
      if (span === undefined) break;
      const inside = { first: Math.max(low, span.first), last: Math.min(high, span.last) };
      rows.push(...read(inside, backward, limit - rows.length));
      at = backward ? Math.min(span.first, at) - 1 : Math.max(span.last, at) + 1;
    }
    return rows;
  }

  /**
   * Ids of the origins that a condition holds for; undefined where it is about more than origins, or holds for so many that they
   * would not narrow anything. Known ones are kept: only origins that are new since then are asked.
   */
  #origins(where: string, params: readonly SqlValue[]): readonly number[] | undefined {
    if (where === '') return undefined;
    const key = JSON.stringify([where, ...params.map(String)]);
    const known = this.#originsOf.get(key) ?? { upTo: 0, ids: [] };
    if (known.ids === undefined) return undefined;
    const last = (this.#lastOrigin.get() as number | null) ?? 0;
    if (last === known.upTo) return known.ids;
    const statement = this.#originSelect(where);
    const found = statement?.all(...params, known.upTo, MANY + 1 - known.ids.length) as number[] | undefined;
    const ids = found === undefined || known.ids.length + found.length > MANY ? undefined : [...known.ids, ...found];
    if (this.#originsOf.size >= STATEMENTS) this.#originsOf.clear();
    this.#originsOf.set(key, { upTo: last, ids });
    return ids;
  }

  #originSelect(where: string): Database.Statement | undefined {
    if (!this.#originSelects.has(where)) {
      if (this.#originSelects.size >= STATEMENTS) this.#originSelects.clear();
      this.#originSelects.set(where, this.#prepareOrigins(where));
    }
    return this.#originSelects.get(where);
  }

  #prepareOrigins(where: string): Database.Statement | undefined {
    try {
      return this.#db.prepare(`SELECT origin_id FROM ${ORIGINS} WHERE (${where}) AND origin_id > ? LIMIT ?`).pluck();
    } catch (error) {
      if (/no such column/.test((error as Error).message)) return undefined;
      throw error;
    }
  }

  #plain(where: string, params: readonly SqlValue[], span: Span, backward: boolean, limit: number): EventView[] {
    const statement = this.#statement(`SELECT * ${matching(where, backward)}`, (s) => s.safeIntegers());
    return (statement.all(...params, span.first, span.last, limit) as SqlEvent[]).map(eventView);
  }

  #statement(sql: string, set: (statement: Database.Statement) => Database.Statement): Database.Statement {
    let statement = this.#selects.get(sql);
    if (statement === undefined) {
      if (this.#selects.size >= STATEMENTS) this.#selects.clear();
      statement = set(this.#db.prepare(sql));
      this.#selects.set(sql, statement);
    }
    return statement;
  }

  #last(): number {
    return (this.#db.prepare('SELECT max(rowid) FROM log').pluck().get() as number | null) ?? 0;
  }

  /** Where the events begin that are in no chunk yet. */
  #tail(): number {
    return (this.#tailStart.get() as number | undefined) ?? 1;
  }

  #after(at: number, ids: string | undefined, failed: boolean): Span {
    const tail = { first: this.#tail(), last: Number.MAX_SAFE_INTEGER };
    if (at >= tail.first) return tail;
    const chunk = this.#candidate('forward', this.#chunkAt.get(at) as number, ids, failed);
    return chunk === undefined ? tail : { first: chunk, last: this.#chunkEnd.get(chunk) as number };
  }

  #before(at: number, ids: string | undefined, failed: boolean): Span | undefined {
    const tail = this.#tail();
    if (at >= tail) return { first: tail, last: at };
    const chunk = this.#candidate('backward', at, ids, failed);
    return chunk === undefined ? undefined : { first: chunk, last: this.#chunkEnd.get(chunk) as number };
  }

  /** The nearest chunk from `at` on that may hold a match. */
  #candidate(direction: 'forward' | 'backward', at: number, ids: string | undefined, failed: boolean): number | undefined {
    let chunk: number | null | undefined = at;
    for (;;) {
      const start: number = chunk;
      if (ids !== undefined) chunk = this.#placed[direction].get(chunk, ids) as number | null;
      if (chunk !== null && failed) chunk = this.#failed[direction].get(chunk) as number | undefined;
      if (chunk === null || chunk === undefined) return undefined;
      if (chunk === start || ids === undefined || !failed) return chunk;
    }
  }
}

const matching = (where: string, backward: boolean): string =>
  `FROM events WHERE ${where === '' ? '' : `(${where}) AND`} seq BETWEEN ? AND ? ORDER BY seq ${backward ? 'DESC' : 'ASC'} LIMIT ?`;

const bound = (n: number): number => Math.min(Math.max(n, 0), Number.MAX_SAFE_INTEGER);

type SqlEvent = { readonly [K in keyof EventView]: EventView[K] extends number | null ? bigint | null : EventView[K] };

function eventView(row: SqlEvent): EventView {
  return {
    seq: Number(row.seq),
    t: Number(row.t),
    took: row.took === null ? null : Number(row.took),
    pid: Number(row.pid),
    tid: Number(row.tid),
    kind: row.kind,
    call: String(row.call),
    fd: Number(row.fd),
    file: Number(row.file),
    context: Number(row.context),
    object: Number(row.object),
    // text where a number belongs: not written by us, but not worth a crash
    ret: typeof row.ret === 'bigint' ? row.ret : 0n,
    errno: Number(row.errno),
    error: row.error === null ? null : String(row.error),
  };
}
