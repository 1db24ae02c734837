/**
 * Whether a trace is whole: SQLite's own check, the chain of chunks, and every row against the frame that it describes, both ways.
 * What is proven: the frames are those that were written, in number and order, and the rows say what the frames say; call, context and
 * object, which frames do not carry, are those that were written with them.
 */

import type Database from 'better-sqlite3';
import { CHUNK_COLUMNS, type ChunkRow, labelsDigest, labelText, unpackRow } from './chunk.ts';
import { guarded, StoreError, storeError } from './errors.ts';
import { FrameCursor, Kind, State } from './frame.ts';
import { connectReader } from './open.ts';
import type { FrameBatch } from './pack.ts';
import { readMeta } from './read.ts';
import { EVENT_COLUMNS } from './schema.ts';

export interface Problem {
  /** the event that it is about */
  readonly seq?: number;
  /** the first event of the chunk that it is about */
  readonly chunk?: number;
  readonly text: string;
}

export interface Verdict {
  readonly ok: boolean;
  /** events whose frames were read */
  readonly events: number;
  /** digest of the last chunk, hex: it covers all events; '' where there are none or the chain is broken */
  readonly digest: string;
  /** false where the recording did not come to its end; no problem in itself */
  readonly complete: boolean;
  readonly problems: readonly Problem[];
}

/** Problems after which nobody wants to see more. */
const ENOUGH = 100;

/** Called now and then with the events that are done, of all. */
export type OnProgress = (done: number, total: number) => void;

/** Verifies the trace at `path`. Throws a StoreError where it cannot even be opened. */
export function verifyTrace(path: string, onProgress?: OnProgress): Verdict {
  const db = connectReader(path);
  try {
    return guarded(path, () => new Verifier(db, path, onProgress ?? (() => {})).run());
  } finally {
    db.close();
  }
}

interface ExpectedRow {
  readonly seq: bigint;
  readonly origin: bigint;
  readonly t: bigint;
  readonly took: bigint | null;
  readonly pid: bigint;
  readonly tid: bigint;
  readonly kind: bigint;
  readonly fd: bigint;
  readonly file: bigint;
  readonly ret: bigint | null;
  readonly errno: bigint;
}

const ROWS = `SELECT l.rowid AS seq, l.origin, ${EVENT_COLUMNS.t} AS t, l.took, o.pid, o.tid, o.kind, o.fd, o.file,
  ${EVENT_COLUMNS.ret} AS ret, ${EVENT_COLUMNS.errno} AS errno
FROM log l JOIN origins o ON o.id = l.origin WHERE l.rowid BETWEEN ? AND ? ORDER BY l.rowid`;

class Verifier {
  readonly #db: Database.Database;
  readonly #path: string;
  readonly #onProgress: OnProgress;
  readonly #problems: Problem[] = [];
  readonly #cursor = new FrameCursor();
  readonly #rows: Database.Statement;
  readonly #label: Database.Statement;
  readonly #places: Database.Statement;
  #base = 0n;
  #total = 0;
  #next = 1;
  #events = 0;
  #digest = '';

  constructor(db: Database.Database, path: string, onProgress: OnProgress) {
    this.#db = db;
    this.#path = path;
    this.#onProgress = onProgress;
    this.#rows = db.prepare(ROWS).safeIntegers();
    this.#label = db.prepare('SELECT call, context, object FROM origins WHERE id = ?');
    this.#places = db.prepare('SELECT origin FROM places WHERE chunk = ? ORDER BY origin').pluck();
  }

  run(): Verdict {
    const meta = readMeta(this.#db, this.#path);
    this.#base = meta.clock.monotonicNs;
    this.#attempt(() => this.#sqlite());
    this.#attempt(() => this.#count());
    this.#attempt(() => this.#table('chunks'));
    this.#attempt(() => this.#table('tail'));
    this.#attempt(() => this.#ends(meta.complete));
    this.#attempt(() => this.#kinds());
    this.#onProgress(this.#total, this.#total);
    const ok = this.#problems.length === 0;
    return { ok, events: this.#events, digest: ok ? this.#digest : '', complete: meta.complete, problems: this.#problems };
  }

  #problem(problem: Problem): void {
    if (this.#problems.length < ENOUGH) this.#problems.push(problem);
    else if (this.#problems.length === ENOUGH) this.#problems.push({ text: 'and more, not listed' });
  }

  /** A damaged page ends one check, not the others. */
  #attempt(check: () => void): void {
    try {
      check();
    } catch (error) {
      const known = storeError(error, this.#path);
      if (!(known instanceof StoreError)) throw error;
      this.#problem({ text: known.message.slice(this.#path.length + 2) });
    }
  }

  #sqlite(): void {
    for (const text of this.#db.prepare(`PRAGMA integrity_check(${ENOUGH})`).pluck().all() as string[]) {
      if (text !== 'ok') this.#problem({ text: `SQLite: ${text}` });
    }
  }

  #count(): void {
    const { total, last } = this.#db.prepare('SELECT count(*) AS total, max(rowid) AS last FROM log').get() as {
      total: number;
      last: number | null;
    };
    this.#total = total;
    if (total !== (last ?? 0)) this.#problem({ text: `${total} rows, but the last has the number ${last}` });
  }

  #table(name: 'chunks' | 'tail'): void {
    const list = this.#db.prepare(`SELECT ${CHUNK_COLUMNS[name]} FROM ${name} c WHERE first >= ? ORDER BY first LIMIT 1`);
    let digest: Buffer | undefined;
    for (let at = -Number.MAX_SAFE_INTEGER; ; ) {
      const row = list.get(at) as ChunkRow | undefined;
      if (row === undefined) break;
      if (!Number.isSafeInteger(row.first)) throw new StoreError('damaged', this.#path, { detail: `a chunk begins at event ${row.first}` });
      this.#chunk(row, name);
      digest = row.digest;
      at = row.first + 1;
      this.#onProgress(this.#events, this.#total);
    }
    if (digest !== undefined) this.#digest = Buffer.from(digest).toString('hex');
  }

  #chunk(row: ChunkRow, table: 'chunks' | 'tail'): void {
    const chunk = row.first;
    if (chunk !== this.#next) this.#problem({ chunk, text: `frames from ${this.#next} to ${chunk - 1} are missing or there twice` });
    let batch: FrameBatch;
    try {
      batch = unpackRow(row);
    } catch (error) {
      this.#problem({ chunk, text: (error as Error).message });
      this.#next = Number.isSafeInteger(row.events) && row.events > 0 ? chunk + row.events : chunk + 1;
      return;
    }
    this.#next = chunk + batch.count;
    this.#events += batch.count;
    const origins = this.#compare(batch, row.failures);
    const labels = labelsDigest(origins, (id) => this.#labelOf(id));
    if (!labels.equals(row.labels))
      this.#problem({ chunk, text: 'calls, contexts or objects of its rows are not those that were written' });
    if (table === 'chunks') this.#placesOf(chunk, origins);
  }

  #labelOf(id: number): string {
    const row = this.#label.get(id) as { call: string; context: number; object: number } | undefined;
    return row === undefined ? '' : labelText(row.call, row.context, row.object);
  }

  #placesOf(chunk: number, origins: Int32Array): void {
    const wanted = [...new Set(origins)].sort((a, b) => a - b);
    const got = this.#places.all(chunk) as number[];
    if (wanted.length !== got.length || wanted.some((id, k) => id !== got[k])) {
      this.#problem({ chunk, text: 'the index of its origins is wrong: searches may miss events' });
    }
  }

  /** Rows of a chunk against its frames; gives the origin of each event, 0 where it has no row. */
  #compare(batch: FrameBatch, failures: number): Int32Array {
    const origins = new Int32Array(batch.count);
    const rows = this.#rows.all(batch.first, batch.first + batch.count - 1) as ExpectedRow[];
    let k = 0;
    let failed = 0;
    for (let i = 0; i < batch.count; i++) {
      const seq = batch.first + i;
      const frame = this.#cursor.at(batch.buffer, batch.offsets[i]!);
      if (frame.error !== 0) failed++;
      const row = rows[k];
      if (row === undefined || Number(row.seq) !== seq) {
        this.#problem({ seq, text: 'has a frame and no row, or its origin is missing' });
        continue;
      }
      k++;
      origins[i] = Number(row.origin);
      this.#row(row, frame, seq);
    }
    if (failed !== failures) this.#problem({ chunk: batch.first, text: `${failed} of its calls failed, it says ${failures}` });
    return origins;
  }

  #row(row: ExpectedRow, frame: FrameCursor, seq: number): void {
    const { tEnter, tExit, ret, error } = frame;
    const differ = (name: string, inRow: bigint | null, inFrame: bigint | null): void => {
      if (inRow !== inFrame) this.#problem({ seq, text: `${name} is ${inRow} in its row and ${inFrame} in its frame` });
    };
    differ('t', row.t, BigInt.asIntN(64, tEnter - this.#base));
    differ('took', row.took, tExit === 0n ? null : BigInt.asIntN(64, tExit - tEnter));
    differ('pid', row.pid, BigInt(frame.pid));
    differ('tid', row.tid, BigInt(frame.tid));
    differ('kind', row.kind, BigInt(frame.kind));
    differ('fd', row.fd, BigInt(frame.fd));
    differ('file', row.file, BigInt(frame.file));
    differ('ret', row.ret, frame.state === State.ENTERED && ret === 0n && error === 0 ? null : ret);
    differ('errno', row.errno, BigInt(error));
  }

  #ends(complete: boolean): void {
    if (this.#total !== this.#next - 1) this.#problem({ text: `${this.#total} rows, frames for ${this.#next - 1} events` });
    const tails = this.#db.prepare('SELECT count(*) FROM tail').pluck().get() as number;
    if (complete && tails > 0) this.#problem({ text: 'complete, and yet with a tail of unpacked frames' });
  }

  /** The names are no part of the frames; a kind that a later version knows may have any. */
  #kinds(): void {
    const rows = this.#db.prepare('SELECT kind, name FROM kinds').raw().all() as [number, string][];
    const names = new Map(rows);
    for (const [name, kind] of Object.entries(Kind)) {
      if ((names.get(kind) ?? name) !== name) this.#problem({ text: `kind ${kind} is called ${names.get(kind)}, not ${name}` });
    }
  }
}
