/**
 * Writing a trace.
 *
 * Frames are staged until a chunk is full. `append` may write already, but only `flush` commits, and it commits the rows, the
 * frames and the recorder's position together: whatever kills the recorder, the trace holds exactly the events up to the position
 * that it holds. Frames that do not fill a chunk yet are committed to table `tail` and packed for good later.
 *
 * A new trace is made under its own name, so a follower may open it at once, and a killed recording is found there. Only where it
 * is to replace an existing file, it is written beside that (`F.partial`) and renamed when it is complete.
 */
import { renameSync, rmSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { CHUNK_COLUMNS, type ChunkRow, chunkDigest, type DigestedChunk, labelsDigest, NO_DIGEST, unpackRow } from './chunk.ts';
import { StoreError, storeError } from './errors.ts';
import { FRAME_AT, FRAME_HEADER } from './frame.ts';
import type { Codings } from './groups.ts';
import { META_LIMIT, metaRows, POSITION_KEY, parseMeta, type TraceMeta } from './meta.ts';
import {
  connectNew,
  connectWriter,
  createExclusive,
  type Journal,
  type JournalOptions,
  liveName,
  PAGE,
  PARTIAL,
  SIDE_FILES,
} from './open.ts';
import { CHUNK_BYTES, CHUNK_EVENTS, type FrameBatch, MAX_FRAME, packFrames, storeFrames } from './pack.ts';
import { type ErrorName, type EventRow, platformErrorName, RowWriter } from './rows.ts';

export type { EventRow } from './rows.ts';

export interface WriterOptions extends JournalOptions {
  /** an existing file may be replaced, when the new trace is complete */
  readonly force?: boolean;
  /** names for the column `error`; default: the names that this platform has */
  readonly errorName?: ErrorName;
}

/** How long the end of a recording waits for its followers, milliseconds. */
const FOLLOWERS_MS = 1000;
/** Pages that may lie free in a finished trace; more, and more than one in twenty, and it is written anew. */
const FREE_PAGES = 16;
/** A finished trace below so many bytes gets smaller pages: every table and index takes one at least. */
const SMALL = 2 ** 20;
const SMALL_PAGE = 1024;

/** Events that a flush packs for good; fewer wait in the tail for more. */
const WORTH_A_CHUNK = (CHUNK_EVENTS / 4) * 3;

export class TraceWriter {
  /** where the trace will be when it is finished */
  readonly path: string;
  /** where it is now: what a follower opens */
  readonly livePath: string;
  readonly journal: Journal;
  readonly #db: Database.Database;
  readonly #rows: RowWriter;
  readonly #begin: Database.Statement;
  readonly #commit: Database.Statement;
  readonly #putMeta: Database.Statement;
  readonly #putChunk: Database.Statement;
  readonly #putTail: Database.Statement;
  readonly #clearTail: Database.Statement;
  readonly #putPlace: Database.Statement;

  #meta: TraceMeta;
  #metaPatch: Partial<TraceMeta> = {};
  #position: string;
  #positionDirty = false;

  #buffer = Buffer.from(new ArrayBuffer(1 << 20));
  #words = new Uint32Array(this.#buffer.buffer);
  /** count + 1 places, bytes */
  readonly #offsets = new Uint32Array(CHUNK_EVENTS + 1);
  readonly #labels = new Int32Array(3 * CHUNK_EVENTS);
  readonly #origins = new Int32Array(CHUNK_EVENTS);
  /** number of the first staged event */
  #first = 1;
  #count = 0;
  readonly #codings: Codings = new Map();
  /** staged events that have their rows */
  #inserted = 0;
  /** staged events that are in the tail */
  #tailed = 0;
  #failures = 0;
  #tailFailures = 0;
  #chunkDigest: Uint8Array = NO_DIGEST;
  #tailDigest: Uint8Array = NO_DIGEST;
  #broken: unknown;

  /** A new trace. Throws a StoreError: `exists`, `permission`, `no-space` … */
  static create(path: string, meta: TraceMeta, options: WriterOptions = {}): TraceWriter {
    const livePath = options.force ? liveName(path) : path;
    createExclusive(livePath);
    try {
      const { db, journal } = connectNew(livePath, options);
      const writer = new TraceWriter(db, journal, path, livePath, meta, '', options);
      writer.setMeta(meta);
      writer.flush();
      return writer;
    } catch (error) {
      for (const file of ['', ...SIDE_FILES]) rmSync(livePath + file, { force: true });
      throw storeError(error, livePath);
    }
  }

  /**
   * Goes on with a trace whose recording was interrupted; `position` says how far it came. Throws a StoreError: `finished` where
   * it was not interrupted, `damaged` …
   */
  static resume(path: string, options: Omit<WriterOptions, 'force'> = {}): TraceWriter {
    const { db, journal } = connectWriter(path, options);
    try {
      const rows = db.prepare('SELECT key, value FROM meta').raw().all() as [string, string][];
      const meta = parseMeta(rows);
      if (meta.complete) throw new StoreError('finished', path);
      const position = rows.find(([key]) => key === POSITION_KEY)?.[1] ?? '""';
      const final = path.endsWith(PARTIAL) ? path.slice(0, -PARTIAL.length) : path;
      const writer = new TraceWriter(db, journal, final, path, meta, JSON.parse(position) as string, options);
      writer.#restage();
      return writer;
    } catch (error) {
      db.close();
      throw storeError(error, path);
    }
  }

  private constructor(
    db: Database.Database,
    journal: Journal,
    path: string,
    livePath: string,
    meta: TraceMeta,
    position: string,
    options: WriterOptions,
  ) {
    this.#db = db;
    this.journal = journal;
    this.path = path;
    this.livePath = livePath;
    this.#meta = meta;
    this.#position = position;
    this.#rows = new RowWriter(db, meta.clock.monotonicNs, options.errorName ?? platformErrorName);
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    this.#putMeta = db.prepare('INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value');
    this.#putChunk = db.prepare('INSERT INTO chunks VALUES (@first, @events, @failures, @bytes, @labels, @digest, @data)');
    this.#putTail = db.prepare('INSERT INTO tail VALUES (@first, @events, @failures, @bytes, @labels, @digest, @data)');
    this.#clearTail = db.prepare('DELETE FROM tail');
    this.#putPlace = db.prepare('INSERT INTO places VALUES (?, ?)');
  }

  /** Number of the event appended last; 0 where there is none. */
  get last(): number {
    return this.#first + this.#count - 1;
  }

  get meta(): TraceMeta {
    return { ...this.#meta, ...this.#metaPatch };
  }

  /** Whatever the caller wants to find again together with the events: how far its source is consumed. */
  get position(): string {
    return this.#position;
  }
  set position(value: string) {
    this.#position = value;
    this.#positionDirty = true;
  }

  /** Keys that are given are changed with the next flush. */
  setMeta(patch: Partial<TraceMeta>): void {
    for (const [key, json] of metaRows(patch)) {
      if (json.length > META_LIMIT) throw new StoreError('meta', this.livePath, { detail: `${key} is longer than ${META_LIMIT} bytes` });
    }
    this.#metaPatch = { ...this.#metaPatch, ...patch };
  }

  /**
   * Appends the frame at `offset` in `buffer` (copied; its mark is replaced by its number) and gives its number. Throws a
   * StoreError `frame` where its size is impossible.
   */
  append(buffer: Buffer, offset: number, row: EventRow): number {
    const bytes = offset + FRAME_HEADER <= buffer.length ? buffer.readUInt32LE(offset + FRAME_AT.bytes) : 0;
    if (bytes < FRAME_HEADER || bytes % 8 !== 0 || offset + bytes > buffer.length || bytes > MAX_FRAME) {
      throw new StoreError('frame', this.livePath, { detail: `${bytes} bytes at ${offset} of ${buffer.length}` });
    }
    if (this.#broken !== undefined) throw this.#broken;
    const used = this.#offsets[this.#count]!;
    if (this.#count === CHUNK_EVENTS || (this.#count > 0 && used + bytes > CHUNK_BYTES)) {
      this.#seal();
    }
    return this.#stage(buffer, offset, bytes, row);
  }

  #stage(buffer: Buffer, offset: number, bytes: number, row: EventRow): number {
    const i = this.#count++;
    const at = this.#offsets[i]!;
    const end = at + bytes;
    if (end > this.#buffer.length) this.#grow(end);
    buffer.copy(this.#buffer, at, offset, offset + bytes);
    this.#offsets[i + 1] = end;
    const seq = this.#first + i;
    const word = at >> 2;
    this.#words[word] = seq;
    this.#words[word + 1] = seq / 2 ** 32;
    this.#labels[3 * i] = this.#rows.call(row.call);
    this.#labels[3 * i + 1] = row.context;
    this.#labels[3 * i + 2] = row.object;
    return seq;
  }

  #grow(bytes: number): void {
    const bigger = Buffer.from(new ArrayBuffer(Math.max(bytes, this.#buffer.length * 2)));
    this.#buffer.copy(bigger);
    this.#buffer = bigger;
    this.#words = new Uint32Array(bigger.buffer);
  }

  /** Ends the chunk: the next event begins another. Commits nothing. */
  endChunk(): void {
    if (this.#broken !== undefined) throw this.#broken;
    this.#seal();
  }

  /** Commits everything appended so far, the position and the meta, in one transaction. */
  flush(): void {
    if (this.#broken !== undefined) throw this.#broken;
    const patch = metaRows(this.#metaPatch);
    if (this.#count === this.#tailed && patch.length === 0 && !this.#positionDirty && !this.#db.inTransaction) return;
    if (this.#count >= WORTH_A_CHUNK) this.#seal();
    this.#write(() => {
      this.#insertRows();
      if (this.#count > this.#tailed) this.#addTail();
      if (this.#positionDirty) this.#putMeta.run(POSITION_KEY, JSON.stringify(this.#position));
      for (const row of patch) this.#putMeta.run(...row);
      this.#commit.run();
    });
    this.#meta = this.meta;
    this.#metaPatch = {};
    this.#positionDirty = false;
  }

  /**
   * Completes the trace: packs what is left, says so in the meta, leaves one file without side files under its final name, and
   * closes it. While somebody follows the recording SQLite may have to leave an empty -wal beside it, which matters to nobody.
   * `complete` false: it is a copy of one that had not come to its end, and says so.
   */
  finish(complete = true): void {
    this.setMeta({ complete });
    if (this.#broken !== undefined) throw this.#broken;
    this.#seal();
    this.flush();
    this.#guard(() => this.#settle());
    this.#db.close();
    if (this.livePath !== this.path) this.#replace();
  }

  /** Stops without completing: what was flushed stays, `resume` can go on. */
  close(): void {
    if (!this.#db.open) return;
    if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
    this.#db.close();
    this.#broken = new StoreError('io', this.livePath, { detail: 'the trace was closed' });
  }

  #settle(): void {
    if (this.journal === 'wal') this.#db.pragma('wal_checkpoint(TRUNCATE)');
    if (!this.#leaveJournal()) return;
    const free = this.#db.pragma('freelist_count', { simple: true }) as number;
    const pages = this.#db.pragma('page_count', { simple: true }) as number;
    const small = pages * PAGE < SMALL;
    if (small) this.#db.pragma(`page_size = ${SMALL_PAGE}`);
    if (small || (free > FREE_PAGES && free * 20 > pages)) this.#db.exec('VACUUM');
  }

  #leaveJournal(): boolean {
    const until = Date.now() + FOLLOWERS_MS;
    this.#db.pragma('busy_timeout = 50');
    for (;;) {
      try {
        return this.#db.pragma('journal_mode = DELETE', { simple: true }) === 'delete';
      } catch (error) {
        if (!String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')) throw error;
        if (Date.now() > until) return false;
      }
    }
  }

  #replace(): void {
    try {
      // of the old file; SQLite would take them for the new one's
      for (const side of SIDE_FILES) rmSync(this.path + side, { force: true });
      renameSync(this.livePath, this.path);
    } catch (error) {
      throw storeError(error, this.path);
    }
  }

  #write(act: () => void): void {
    this.#guard(() => {
      if (!this.#db.inTransaction) this.#begin.run();
      act();
    });
  }

  /** What fails in here may have lost the transaction: nothing more is written then. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#broken = storeError(error, this.livePath);
      throw this.#broken;
    }
  }

  #insertRows(): void {
    const offsets = this.#offsets;
    const staged = { words: this.#words, labels: this.#labels, start: (i: number) => offsets[i]! >> 2 };
    this.#failures += this.#rows.insert(staged, this.#inserted, this.#count, this.#first + this.#inserted, this.#origins);
    this.#inserted = this.#count;
  }

  /** Packs the staged frames as a chunk. */
  #seal(): void {
    if (this.#count === 0) return;
    this.#write(() => {
      this.#insertRows();
      const { chunk, digest } = this.#piece(0, this.#failures, this.#chunkDigest, (batch) => packFrames(batch, this.#codings));
      if (this.#tailed > 0) this.#clearTail.run();
      this.#putChunk.run({ ...chunk, digest });
      for (const origin of new Set(this.#origins.subarray(0, this.#count))) this.#putPlace.run(origin, this.#first);
      this.#chunkDigest = digest;
      this.#tailDigest = digest;
    });
    this.#first += this.#count;
    this.#count = this.#inserted = this.#tailed = this.#failures = this.#tailFailures = 0;
  }

  #addTail(): void {
    const { chunk, digest } = this.#piece(this.#tailed, this.#failures - this.#tailFailures, this.#tailDigest, storeFrames);
    this.#putTail.run({ ...chunk, digest });
    this.#tailDigest = digest;
    this.#tailFailures = this.#failures;
    this.#tailed = this.#count;
  }

  /** The staged events from `from` on as a row of `chunks` or `tail`. */
  #piece(
    from: number,
    failures: number,
    previous: Uint8Array,
    pack: (batch: FrameBatch) => Buffer,
  ): { chunk: DigestedChunk; digest: Buffer } {
    const offsets = this.#offsets.subarray(from, this.#count + 1);
    const events = this.#count - from;
    const chunk = {
      first: this.#first + from,
      events,
      failures,
      bytes: offsets[events]! - offsets[0]!,
      labels: labelsDigest(this.#origins.subarray(from, this.#count), (origin) => this.#rows.label(origin)),
      data: pack({ first: this.#first + from, count: events, buffer: this.#buffer, offsets }),
    };
    return { chunk, digest: chunkDigest(previous, chunk) };
  }

  /** Stages again what the interrupted recording had in its tail. */
  #restage(): void {
    const chunk = this.#db.prepare('SELECT first + events AS next, digest FROM chunks ORDER BY first DESC LIMIT 1').get();
    const { next, digest } = (chunk ?? { next: 1, digest: NO_DIGEST }) as { next: number; digest: Buffer };
    this.#first = next;
    this.#chunkDigest = this.#tailDigest = digest;
    const tails = this.#db.prepare(`SELECT ${CHUNK_COLUMNS.tail} FROM tail c ORDER BY first`).all() as ChunkRow[];
    for (const tail of tails) {
      if (tail.first !== this.last + 1) throw damagedError(this.livePath, `events ${this.last + 1} to ${tail.first - 1} are missing`);
      const batch = unpackTail(tail, this.livePath);
      for (let i = 0; i < batch.count; i++) {
        const at = batch.offsets[i]!;
        this.#stage(batch.buffer, at, batch.offsets[i + 1]! - at, NO_LABELS);
      }
      this.#failures += tail.failures;
      this.#tailDigest = tail.digest;
    }
    const origins = this.#db.prepare('SELECT origin FROM log WHERE rowid >= ? ORDER BY rowid').pluck().all(next) as number[];
    if (origins.length !== this.#count) throw damagedError(this.livePath, 'rows and frames differ in number');
    this.#origins.set(origins);
    this.#inserted = this.#tailed = this.#count;
    this.#tailFailures = this.#failures;
  }
}

/** Restaged events have their rows already. */
const NO_LABELS: EventRow = { call: '', context: 0, object: 0 };

const damagedError = (path: string, detail: string, cause?: unknown): StoreError => new StoreError('damaged', path, { detail, cause });

function unpackTail(row: ChunkRow, path: string): FrameBatch {
  try {
    return unpackRow(row);
  } catch (error) {
    throw damagedError(path, (error as Error).message, error);
  }
}
