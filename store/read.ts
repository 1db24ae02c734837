/**
 * Reading a trace: windows of rows by sequence number, and the frames.
 *
 * Everything is synchronous and bounded: a window is one query that starts at a key (never OFFSET), a chunk is unpacked when one of its
 * frames is asked for. A recording in progress is read like any other trace; `refresh` looks for what has come since.
 */
import { existsSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { PARTIAL } from './append.ts';
import { guarded, StoreError } from './errors.ts';
import { type Frame, FrameCursor } from './frame.ts';
import { META_LIMIT, META_ROWS, parseMeta, type TraceMeta } from './meta.ts';
import { connectReader } from './open.ts';
import { chunkDigest, type FrameBatch, MAX_CHUNK_BYTES, unpackFrames } from './pack.ts';

export type { FrameBatch } from './pack.ts';

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

export interface Window {
  /** the first event that may be in the window, inclusive; default: the first of the trace, backward the last */
  readonly from?: number;
  /** the last event that may be in the window, inclusive, in the direction of reading */
  readonly to?: number;
  /** rows at most; default 1000 */
  readonly limit?: number;
  readonly direction?: 'forward' | 'backward';
}

/** A value for a `?` in a condition. */
export type SqlValue = number | bigint | string | null;

export interface ReaderOptions {
  /** unpacked chunks that `frame` keeps, at least 1; one holds some megabytes at most, unless frames are huge */
  readonly cachedChunks?: number;
}

const DEFAULT_LIMIT = 1000;
const DEFAULT_CACHED_CHUNKS = 2;

interface ChunkRow {
  readonly first: number;
  readonly events: number;
  readonly bytes: number;
  readonly digest: Buffer;
  readonly previous: Buffer;
  /** null where it is longer than anything that we write */
  readonly data: Buffer | null;
}

/** The chunk (or the piece of the tail) that event ? is in: one statement, so a writer cannot come between. */
const CHUNK_OF = `
SELECT * FROM (
  SELECT first, events, bytes, digest, CASE WHEN length(data) <= ${MAX_CHUNK_BYTES} THEN data END AS data,
    coalesce((SELECT p.digest FROM chunks p WHERE p.first < c.first ORDER BY p.first DESC LIMIT 1), zeroblob(32)) AS previous
  FROM chunks c WHERE first <= @seq ORDER BY first DESC LIMIT 1)
WHERE first + events > @seq
UNION ALL
SELECT * FROM (
  SELECT first, events, bytes, digest, CASE WHEN length(data) <= ${MAX_CHUNK_BYTES} THEN data END AS data,
    coalesce((SELECT p.digest FROM tail p WHERE p.first < c.first ORDER BY p.first DESC LIMIT 1),
             (SELECT p.digest FROM chunks p ORDER BY p.first DESC LIMIT 1), zeroblob(32)) AS previous
  FROM tail c WHERE first <= @seq ORDER BY first DESC LIMIT 1)
WHERE first + events > @seq
LIMIT 1`;

export class TraceReader {
  readonly path: string;
  #db: Database.Database;
  #chunkOf: Database.Statement;
  readonly #selects = new Map<string, Database.Statement>();
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
    this.#selects.clear();
    this.#cache.length = 0;
  }

  /**
   * The frames of events from … to (both inclusive), a chunk at a time and in order. The batch begins at `from` even in the middle of a
   * chunk. Throws a StoreError `damaged` at a chunk that cannot be unpacked.
   */
  *scan(from = 1, to = Number.POSITIVE_INFINITY): Generator<FrameBatch> {
    const end = Math.min(to, this.#last);
    for (let seq = Math.max(1, from); seq <= end; ) {
      const batch = this.#unpack(seq);
      const start = seq - batch.first;
      const count = Math.min(batch.count - start, end - seq + 1);
      yield { first: seq, count, buffer: batch.buffer, offsets: batch.offsets.subarray(start, start + count + 1) };
      seq += count;
    }
  }

  /** The chunk that holds event `seq`, as far as it is in the trace; undefined beyond its ends. */
  batch(seq: number): FrameBatch | undefined {
    if (!(seq >= 1 && seq <= this.#last)) return undefined;
    const found = this.#cache.findIndex((b) => seq >= b.first && seq < b.first + b.count);
    const batch = found >= 0 ? this.#cache.splice(found, 1)[0]! : this.#unpack(seq);
    this.#cache.unshift(batch);
    if (this.#cache.length > this.#cacheSize) this.#cache.pop();
    return batch;
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
    const backward = window.direction === 'backward';
    const bounds = backward
      ? [window.to ?? 0, window.from ?? Number.MAX_SAFE_INTEGER]
      : [window.from ?? 0, window.to ?? Number.MAX_SAFE_INTEGER];
    const condition = where === '' ? '' : `(${where}) AND`;
    const sql = `SELECT * FROM events WHERE ${condition} seq BETWEEN ? AND ? ORDER BY seq ${backward ? 'DESC' : 'ASC'} LIMIT ?`;
    return guarded(this.path, () => {
      let statement = this.#selects.get(sql);
      if (statement === undefined) {
        statement = this.#db.prepare(sql).safeIntegers();
        this.#selects.set(sql, statement);
      }
      const [low, high] = bounds.map((n) => Math.min(Math.max(n!, 0), Number.MAX_SAFE_INTEGER));
      return (statement.all(...params, low, high, window.limit ?? DEFAULT_LIMIT) as SqlEvent[]).map(eventView);
    });
  }

  close(): void {
    this.#db.close();
  }
}

type SqlEvent = { readonly [K in keyof EventView]: EventView[K] extends number | null ? bigint | null : EventView[K] };

function eventView(row: SqlEvent): EventView {
  return {
    seq: Number(row.seq),
    t: Number(row.t),
    took: row.took === null ? null : Number(row.took),
    pid: Number(row.pid),
    tid: Number(row.tid),
    kind: row.kind,
    call: row.call,
    fd: Number(row.fd),
    file: Number(row.file),
    context: Number(row.context),
    object: Number(row.object),
    ret: row.ret ?? 0n,
    errno: Number(row.errno),
    error: row.error,
  };
}

/** The frames of a row of `chunks` or `tail`. Throws a plain Error where it is not as it was written. */
export function unpackRow(row: ChunkRow): FrameBatch {
  const { first, events, bytes, data } = row;
  const where = `the chunk of events ${first} to ${first + events - 1}`;
  const sizes = Number.isSafeInteger(first + events) && events > 0 && bytes >= 64 * events && bytes <= MAX_CHUNK_BYTES;
  if (data === null || !sizes) throw new Error(`${where} has an impossible size`);
  if (!chunkDigest(row.previous, first, events, bytes, data).equals(row.digest)) throw new Error(`${where} does not have its digest`);
  try {
    return unpackFrames(data, first, events, bytes);
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  }
}

function readMeta(db: Database.Database, path: string): TraceMeta {
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
