/**
 * What people and programs keep beside a log, in the same file: marks, notes, snapshots of a state. It is never part of the log: it may
 * change, it may be thrown away, no digest covers it, and a snapshot in a file from a stranger says what the stranger wants.
 */
import type Database from 'better-sqlite3';
import { guarded, StoreError } from './errors.ts';
import { connectReader, connectSide } from './open.ts';

export interface Mark {
  /** one letter or a word, unique in a trace */
  readonly name: string;
  readonly seq: number;
}

export interface Note {
  readonly id: number;
  readonly seq: number;
  readonly text: string;
}

export interface Snapshot {
  /** the state is that after this event */
  readonly seq: number;
  readonly data: Buffer;
}

/** Bytes of the longest snapshot that is read. */
const SNAPSHOT_LIMIT = 64 * 2 ** 20;
/** Characters of the longest text that is read. */
const TEXT_LIMIT = 65_536;
/** Marks or notes that are read. */
const ROW_LIMIT = 10_000;

export class TraceSide {
  readonly #path: string;
  readonly #db: Database.Database;

  /** Opens the side tables of a trace. Throws a StoreError: `read-only`, `permission` … unless `readonly` was asked for. */
  static open(path: string, options: { readonly readonly?: boolean } = {}): TraceSide {
    return new TraceSide(path, options.readonly ? connectReader(path) : connectSide(path));
  }

  private constructor(path: string, db: Database.Database) {
    this.#path = path;
    this.#db = db;
  }

  #run(sql: string, ...params: unknown[]): Database.RunResult {
    return guarded(this.#path, () => this.#db.prepare(sql).run(...params));
  }

  #all<T>(sql: string, ...params: unknown[]): T[] {
    return guarded(this.#path, () => this.#db.prepare(sql).all(...params)) as T[];
  }

  /** By number of the event. */
  marks(): Mark[] {
    return this.#all(`SELECT substr(name, 1, ${TEXT_LIMIT}) AS name, seq FROM marks ORDER BY seq, name LIMIT ${ROW_LIMIT}`);
  }
  /** Sets or moves a mark. */
  setMark(name: string, seq: number): void {
    this.#run('INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq', name, seq);
  }
  removeMark(name: string): void {
    this.#run('DELETE FROM marks WHERE name = ?', name);
  }

  /** By number of the event. */
  notes(): Note[] {
    return this.#all(`SELECT id, seq, substr(text, 1, ${TEXT_LIMIT}) AS text FROM notes ORDER BY seq, id LIMIT ${ROW_LIMIT}`);
  }
  /** Gives the id of the note. */
  addNote(seq: number, text: string): number {
    return Number(this.#run('INSERT INTO notes (seq, text) VALUES (?, ?)', seq, text).lastInsertRowid);
  }
  /** Marks and notes by the thousand, in one transaction. */
  putAll(marks: readonly Mark[], notes: readonly Omit<Note, 'id'>[]): void {
    guarded(this.#path, () =>
      this.#db.transaction(() => {
        for (const { name, seq } of marks) this.setMark(name, seq);
        for (const { seq, text } of notes) this.addNote(seq, text);
      })(),
    );
  }
  removeNote(id: number): void {
    this.#run('DELETE FROM notes WHERE id = ?', id);
  }

  /** The snapshot nearest to `seq` that is not after it and that `version` of the fold made. */
  snapshotBefore(seq: number, version: string): Snapshot | undefined {
    return this.#all<Snapshot>(
      `SELECT seq, data FROM snapshots WHERE seq <= ? AND version = ? AND length(data) <= ${SNAPSHOT_LIMIT} ORDER BY seq DESC LIMIT 1`,
      seq,
      version,
    )[0];
  }
  putSnapshot(seq: number, version: string, data: Uint8Array): void {
    if (data.length > SNAPSHOT_LIMIT) throw new StoreError('io', this.#path, { detail: `a snapshot of ${data.length} bytes` });
    this.#run('INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)', seq, version, data);
  }
  clearSnapshots(): void {
    this.#run('DELETE FROM snapshots');
  }

  close(): void {
    this.#db.close();
  }
}
