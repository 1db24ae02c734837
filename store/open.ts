/**
 * Opening a trace file.
 *
 * While it is recorded, a trace is in WAL mode where the file system has shared memory maps (a follower then reads without
 * ever being in the way), else it has a rollback journal; finished, it is one file with neither. A file from a stranger is
 * hostile input: it is opened read-only, its schema must be ours word for word, and no length in it is believed.
 */
import { accessSync, closeSync, constants, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { guarded, StoreError, storeError } from './errors.ts';
import { APPLICATION_ID, DDL, expectedSchema, FORMAT, schemaText } from './schema.ts';

/** How long a reader and a writer wait for each other where there is no WAL, in milliseconds. */
const BUSY_MS = 5000;
/** A file that was left in WAL mode without a -wal is read through memory up to this size, in bytes. */
const MEMORY_LIMIT = 512 * 2 ** 20;
/** Bytes per page while recording: what SQLite itself prefers. */
export const PAGE = 4096;

/** Files that SQLite may leave beside a database. */
export const SIDE_FILES = ['-wal', '-shm', '-journal'] as const;

/** Suffix of a recording that will replace an existing file. */
export const PARTIAL = '.partial';

export type Journal = 'wal' | 'truncate';

export interface JournalOptions {
  /** every flush survives a loss of power, not only the death of the recorder */
  readonly durable?: boolean | undefined;
  /** false: a rollback journal even where WAL seems to work; for network file systems that only claim to share memory maps */
  readonly wal?: boolean | undefined;
}

/** Makes the file, empty; throws where there is one already. */
export function createExclusive(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o644));
  } catch (error) {
    const known = storeError(error, path);
    if (!(known instanceof StoreError) || known.code !== 'exists' || !path.endsWith(PARTIAL)) throw known;
    throw new StoreError('exists', path, {
      hint: 'another recording is making it or was interrupted: wait, recover it, or delete it',
      cause: error,
    });
  }
  // left over from a file of this name that was deleted: SQLite would take it for ours
  for (const side of SIDE_FILES) rmSync(path + side, { force: true });
}

/** Where to record what is to have the name `path`, although there may be a file of that name: beside it, if there is. */
export function liveName(path: string): string {
  const stat = guarded(path, () => statSync(path, { throwIfNoEntry: false }));
  if (stat === undefined) return path;
  if (stat.isDirectory()) throw new StoreError('directory', path);
  if (!stat.isFile()) throw new StoreError('exists', path, { detail: 'and is no regular file', hint: 'choose another name' });
  return path + PARTIAL;
}

/** Fills an empty file with the tables of a trace and opens it for writing. */
export function connectNew(path: string, options: JournalOptions): { db: Database.Database; journal: Journal } {
  return guarded(path, () => {
    const db = new Database(path, { timeout: BUSY_MS });
    try {
      db.pragma(`page_size = ${PAGE}`);
      db.exec(`BEGIN; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT}; ${DDL} COMMIT`);
    } catch (error) {
      db.close();
      throw error;
    }
    return withJournal(db, path, options);
  });
}

/** Opens a trace whose recording was interrupted, to go on with it. */
export function connectWriter(path: string, options: JournalOptions): { db: Database.Database; journal: Journal } {
  checkHeader(path);
  return guarded(path, () => {
    const { db, journal } = withJournal(new Database(path, { timeout: BUSY_MS, fileMustExist: true }), path, options);
    try {
      checkContents(db, path);
      return { db, journal };
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** Opens a trace to write beside its log. */
export function connectSide(path: string): Database.Database {
  checkHeader(path);
  return guarded(path, () => {
    accessSync(path, constants.W_OK);
    const db = new Database(path, { timeout: BUSY_MS, fileMustExist: true });
    try {
      db.pragma('trusted_schema = OFF');
      db.pragma('cell_size_check = ON');
      checkContents(db, path);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** WAL if the file system can (shared memory maps: not 9p, not NFS, not every FUSE), else a rollback journal. */
function withJournal(first: Database.Database, path: string, options: JournalOptions): { db: Database.Database; journal: Journal } {
  let db = first;
  let journal: Journal = 'wal';
  try {
    if (options.wal === false || db.pragma('journal_mode = WAL', { simple: true }) !== 'wal') journal = 'truncate';
    else {
      db.exec('BEGIN IMMEDIATE; COMMIT');
      db.prepare('SELECT count(*) FROM meta').get();
    }
  } catch (error) {
    db.close();
    if (storeError(error, path) instanceof StoreError && String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')) throw error;
    journal = 'truncate';
    // exclusive: then SQLite keeps the index of the WAL in its own memory and can leave WAL mode
    db = new Database(path, { timeout: BUSY_MS });
    db.pragma('locking_mode = EXCLUSIVE');
  }
  if (journal === 'truncate') {
    db.pragma('journal_mode = TRUNCATE');
    db.pragma('locking_mode = NORMAL');
    db.prepare('SELECT count(*) FROM meta').get(); // the lock is given up with the next access
    if (statSync(`${path}-shm`, { throwIfNoEntry: false })?.isFile()) rmSync(`${path}-shm`);
  }
  db.pragma(`synchronous = ${options.durable ? 'FULL' : 'NORMAL'}`);
  db.pragma('trusted_schema = OFF');
  return { db, journal };
}

/** Opens a trace for reading. Nothing is written beside it unless its recording is in progress. */
export function connectReader(path: string): Database.Database {
  const header = checkHeader(path);
  return guarded(path, () => {
    const db = openReadonly(path, header);
    try {
      db.pragma('trusted_schema = OFF');
      db.pragma('cell_size_check = ON');
      db.pragma('query_only = ON');
      checkContents(db, path);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

function openReadonly(path: string, header: Header): Database.Database {
  if (header.wal && !hasBytes(`${path}-wal`) && header.size <= MEMORY_LIMIT) {
    // whole, but SQLite would make a -wal and a -shm beside it before it reads the first row
    const bytes = readFileSync(path);
    bytes[18] = 1;
    bytes[19] = 1;
    return new Database(bytes, { readonly: true });
  }
  try {
    return new Database(path, { readonly: true, fileMustExist: true, timeout: BUSY_MS });
  } catch (error) {
    throw header.wal ? new StoreError('in-progress', path, { cause: error }) : error;
  }
}

interface Header {
  readonly size: number;
  /** the file says that there may be a -wal */
  readonly wal: boolean;
}

function hasBytes(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** Looks at the first bytes of the file itself: what SQLite says of a bad one helps nobody. */
function checkHeader(path: string): Header {
  return guarded(path, () => {
    const stat = statSync(path);
    if (stat.isDirectory()) throw new StoreError('directory', path);
    if (!stat.isFile()) throw new StoreError('not-sqlite', path, { detail: 'not a regular file' });
    const head = Buffer.alloc(100);
    const fd = openSync(path, 'r');
    const got = readSync(fd, head, 0, head.length, 0);
    closeSync(fd);
    const magic = Buffer.from('SQLite format 3\0');
    if (stat.size === 0) throw new StoreError('truncated', path, { detail: 'the file is empty' });
    if (!head.subarray(0, Math.min(got, 16)).equals(magic.subarray(0, got))) throw new StoreError('not-sqlite', path);
    if (got < head.length) throw new StoreError('truncated', path, { detail: `${stat.size} bytes` });
    checkVersion(path, head.readInt32BE(68), head.readInt32BE(60));
    const wal = head[18] === 2;
    const settled = head.readUInt32BE(24) === head.readUInt32BE(92) && !(wal && hasBytes(`${path}-wal`)) && !hasBytes(`${path}-journal`);
    const wanted = head.readUInt32BE(28) * (head.readUInt16BE(16) === 1 ? 65536 : head.readUInt16BE(16));
    if (settled && wanted > stat.size) throw new StoreError('truncated', path, { detail: `${stat.size} of ${wanted} bytes` });
    return { size: stat.size, wal };
  });
}

function checkVersion(path: string, application: number, format: number): void {
  if (application !== APPLICATION_ID) throw new StoreError('not-trace', path);
  if (format > FORMAT) throw new StoreError('newer-format', path, { detail: `format ${format}, this program reads up to ${FORMAT}` });
  if (format < 1) throw new StoreError('foreign-schema', path, { detail: `format ${format}` });
}

function checkContents(db: Database.Database, path: string): void {
  checkVersion(path, db.pragma('application_id', { simple: true }) as number, db.pragma('user_version', { simple: true }) as number);
  if (schemaText(db) !== expectedSchema()) throw new StoreError('foreign-schema', path);
}
