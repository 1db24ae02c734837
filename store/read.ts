/**
 * Reading a trace: windows of rows by sequence number, and the frames.
 *
 * Everything is synchronous and bounded: a window is one query that starts at a key (never OFFSET), a chunk is unpacked when one of its
 * frames is asked for. A recording in progress is read like any other trace; `refresh` looks for what has come since.
 */
import { existsSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { CHUNK_COLUMNS, type ChunkRow, unpackRow } from './chunk.ts';
import { guarded, StoreError } from './errors.ts';
import { type Frame, FrameCursor } from './frame.ts';
import { META_LIMIT, META_ROWS, parseMeta, type TraceMeta } from './meta.ts';
import { connectReader, PARTIAL } from './open.ts';
import type { FrameBatch } from './pack.ts';
import { type EventView, RowSearch, type SqlValue, type Window } from './search.ts';

export type { FrameBatch } from './pack.ts';
export type { Condition, EventView, SqlValue, Window } from './search.ts';

export interface ReaderOptions {
  /** unpacked chunks that `frame` keeps, at least 1; one holds some megabytes at most, unless frames are huge */
  readonly cachedChunks?: number;
}

const DEFAULT_CACHED_CHUNKS = 2;

const chunkOf = (table: 'chunks' | 'tail') =>
  `SELECT * FROM (SELECT ${CHUNK_COLUMNS[table]} FROM ${table} c WHERE first <= @seq ORDER BY first DESC LIMIT 1) WHERE first + events > @seq`;

/** The chunk (or the piece of the tail) that event @seq is in: one statement, so a writer cannot come between. */
const CHUNK_OF = `${chunkOf('chunks')} UNION ALL ${chunkOf('tail')} LIMIT 1`;

/** Names of calls that are looked at. */
const MOST_CALLS = 5000;

export class TraceReader {
  readonly path: string;
  #db: Database.Database;
  #chunkOf: Database.Statement;
  #search: RowSearch;
  readonly #cache: FrameBatch[] = [];
  readonly #cacheSize: number;
  readonly #cursor = new FrameCursor();
  #meta: TraceMeta;
  #last = 0;
  #version: unknown;

  /** Opens a trace. Throws a StoreError that says what is wrong with it. */
  static open(path: string, options: ReaderOptions = {}): TraceReader {
    const db = connectReader(path);
    try {
      return guarded(path, () => new TraceReader(db, path, options));
    } catch (error) {
      db.close();
      throw error;
    }
  }

  private constructor(db: Database.Database, path: string, options: ReaderOptions) {
    this.path = path;
    this.#db = db;
    this.#cacheSize = Math.max(1, options.cachedChunks ?? DEFAULT_CACHED_CHUNKS);
    this.#chunkOf = db.prepare(CHUNK_OF);
    this.#search = new RowSearch(db);
    this.#meta = readMeta(db, path);
    this.#look();
  }

  get meta(): TraceMeta {
    return this.#meta;
  }
  /** Number of the last event; 0 where there is none. Events are numbered from 1 without a gap. */
  get last(): number {
    return this.#last;
  }
  get count(): number {
    return this.#last;
  }

  #look(): void {
    this.#version = this.#db.pragma('data_version', { simple: true });
    const last = this.#db.prepare('SELECT max(rowid) FROM log').pluck().get() as number | null;
    this.#last = last !== null && last > 0 && Number.isSafeInteger(last) ? last : 0;
  }

  /** Looks for what a recording in progress has added; true where there may be something new. */
  refresh(): boolean {
    if (this.#db.pragma('data_version', { simple: true }) === this.#version) return false;
    return guarded(this.path, () => {
      const before = this.#meta.complete;
      this.#meta = readMeta(this.#db, this.path);
      // the writer cannot turn the trace into one plain file while an old connection is open
      if (!before && this.#meta.complete) this.#reopen();
      this.#look();
      return true;
    });
  }

  #reopen(): void {
    this.#db.close();
    const final = this.path.endsWith(PARTIAL) && !existsSync(this.path) ? this.path.slice(0, -PARTIAL.length) : this.path;
    this.#db = connectReader(final);
    this.#chunkOf = this.#db.prepare(CHUNK_OF);
    this.#search = new RowSearch(this.#db);
    this.#cache.length = 0;
  }

  /**
   * The frames of events from … to (both inclusive), a chunk at a time and in order. The batch begins at `from` even in the middle of a
   * chunk. A chunk where a scan begins or ends is kept, so many short scans of one place cost little. Throws a StoreError `damaged` at
   * a chunk that cannot be unpacked.
   */
  *scan(from = 1, to = Number.POSITIVE_INFINITY): Generator<FrameBatch> {
    const end = Math.min(Math.floor(to), this.#last);
    const begin = Math.max(1, Math.ceil(from));
    for (let seq = begin; seq <= end; ) {
      const batch = this.#cached(seq) ?? this.#unpack(seq);
      if (seq === begin || end < batch.first + batch.count - 1) this.#keep(batch);
      const start = seq - batch.first;
      const count = Math.min(batch.count - start, end - seq + 1);
      yield { first: seq, count, buffer: batch.buffer, offsets: batch.offsets.subarray(start, start + count + 1) };
      seq += count;
    }
  }

  /** The chunk that holds event `seq`, as far as it is in the trace; undefined beyond its ends. */
  batch(seq: number): FrameBatch | undefined {
    if (!(Number.isInteger(seq) && seq >= 1 && seq <= this.#last)) return undefined;
    const batch = this.#cached(seq) ?? this.#unpack(seq);
    this.#keep(batch);
    return batch;
  }

  #cached(seq: number): FrameBatch | undefined {
    return this.#cache.find((b) => seq >= b.first && seq < b.first + b.count);
  }

  /** The one used last stands first. */
  #keep(batch: FrameBatch): void {
    const at = this.#cache.indexOf(batch);
    if (at > 0 || (at < 0 && this.#cache.length >= this.#cacheSize)) this.#cache.splice(at, 1);
    if (at !== 0) this.#cache.unshift(batch);
  }

  /** Event `seq`, decoded; undefined where there is none. Its parts are views into memory that stays as it is. */
  frame(seq: number): Frame | undefined {
    const batch = this.batch(seq);
    return batch && this.#cursor.at(batch.buffer, batch.offsets[seq - batch.first]!).frame();
  }

  #unpack(seq: number): FrameBatch {
    const row = guarded(this.path, () => this.#chunkOf.get({ seq })) as ChunkRow | undefined;
    if (row === undefined) throw new StoreError('damaged', this.path, { detail: `event ${seq} has no frame` });
    try {
      return unpackRow(row);
    } catch (error) {
      throw new StoreError('damaged', this.path, { detail: (error as Error).message, cause: error });
    }
  }

  /** A window of rows. */
  rows(window: Window = {}): EventView[] {
    return this.select('', [], window);
  }

  /**
   * A window of the rows that satisfy `where`: SQL over the columns of view `events` with `?` for each of `params`. In the
   * direction of reading, nearest first.
   */
  select(where: string, params: readonly SqlValue[], window: Window = {}): EventView[] {
    return guarded(this.path, () => this.#search.select(where, params, window));
  }

  /** The numbers alone of the events that {@link select} gives. */
  seqs(where: string, params: readonly SqlValue[], window: Window = {}): number[] {
    return guarded(this.path, () => this.#search.seqs(where, params, window));
  }

  /**
   * The first event that was entered at `t` or later (nanoseconds since the start of the recording); one more than `last` where there is
   * none. Calls of several threads may be some microseconds out of order, so it is exact only to that.
   */
  seqAt(t: number): number {
    const time = this.#db.prepare('SELECT t FROM events WHERE seq = ?').pluck();
    let [low, high] = [1, this.#last + 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((time.get(middle) as number) < t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Names of the calls that are in the trace, as far as there are not too many of them: a hostile one may have a name for each event. */
  calls(): string[] {
    return this.query(`SELECT DISTINCT call FROM origins LIMIT ${MOST_CALLS}`).map((row) => String(row.call));
  }

  /** Any SELECT, for counts and the like; whole numbers come as bigint where `bigints` says so, else rounded above 2^53. */
  query(sql: string, params: readonly SqlValue[] = [], bigints = false): Record<string, SqlValue>[] {
    return guarded(this.path, () => {
      const statement = this.#db.prepare(sql).safeIntegers(bigints);
      return statement.all(...params) as Record<string, SqlValue>[];
    });
  }

  /** SHA-256 over all frames, in hex: two traces with the same digest hold the same events. '' where there are none. */
  get digest(): string {
    const sql =
      'SELECT digest FROM (SELECT first, digest FROM chunks UNION ALL SELECT first, digest FROM tail) ORDER BY first DESC LIMIT 1';
    const digest = guarded(this.path, () => this.#db.prepare(sql).pluck().get()) as Buffer | undefined;
    return digest?.toString('hex') ?? '';
  }

  close(): void {
    this.#db.close();
  }
}

/** The meta of an open trace. Throws a StoreError `meta`. */
export function readMeta(db: Database.Database, path: string): TraceMeta {
  const rows = db
    .prepare(`SELECT key, substr(value, 1, ${META_LIMIT + 1}) FROM meta LIMIT ${META_ROWS}`)
    .raw()
    .all() as [string, string][];
  try {
    return parseMeta(rows);
  } catch (error) {
    throw new StoreError('meta', path, { detail: (error as Error).message, cause: error });
  }
}
