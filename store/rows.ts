/** From frames to the rows that describe them: table `log` and the dictionaries it points into. */
import { constants } from 'node:os';
import type Database from 'better-sqlite3';
import { labelText } from './chunk.ts';
import { FRAME_AT, State } from './frame.ts';
import { TupleTable } from './origins.ts';
import { MAX_ERRNO, OUTCOME } from './schema.ts';

/** Index columns of an event that need knowledge of iommufd. */
export interface EventRow {
  /** name of the call: 'IOMMU_IOAS_MAP', 'open' …; '' where there is none */
  readonly call: string;
  /** number of the iommufd context, u32; 0 none or unknown */
  readonly context: number;
  /** id of the object that the call is about, u32; 0 none */
  readonly object: number;
}

/** Name of an errno for people who query the file with other tools. */
export type ErrorName = (errno: number) => string;

/** The names that this platform has; two names of one number: the one that iommufd's manual uses. */
const PLATFORM_ERRORS = new Map(Object.entries(constants.errno).map(([name, n]) => [n as number, name]));
for (const name of ['EAGAIN', 'EOPNOTSUPP'] as const) PLATFORM_ERRORS.set(constants.errno[name], name);

export const platformErrorName: ErrorName = (errno) => PLATFORM_ERRORS.get(errno) ?? `E${errno}`;

/** Rows of one INSERT. */
const BATCH = 64;
/** Columns of `log`. */
const COLUMNS = 4;
/** log.dt stays within 3 bytes of a SQLite record: ± 8.4 ms around the clock row. */
const CLOCK_REACH = 2 ** 23;
/** A clock row costs as much as the fourth byte of so many dt. */
const CLOCK_EVENTS = 32;
const WORD = 2 ** 32;
/** Times whose upper words differ by less are exact as a number. */
const EXACT_HIGH = 2 ** 20;

/** Words (u32) of a frame's header. */
const W = Object.fromEntries(Object.entries(FRAME_AT).map(([name, at]) => [name, at >> 2])) as Record<keyof typeof FRAME_AT, number>;

type SqlInt = number | bigint | null;

/** Frames that are waiting for their rows. */
export interface Staged {
  readonly words: Uint32Array;
  /** where frame i begins in `words`, in words */
  start(i: number): number;
  /** call, context and object of frame i at 3 i */
  readonly labels: Int32Array;
}

/** Writes rows; lives as long as the writer of a trace and knows every dictionary of it. */
export class RowWriter {
  readonly #db: Database.Database;
  readonly #many: Database.Statement;
  readonly #one: Database.Statement;
  readonly #putOrigin: Database.Statement;
  readonly #putClock: Database.Statement;
  readonly #putOutcome: Database.Statement;
  readonly #putError: Database.Statement;
  readonly #errorName: ErrorName;
  readonly #baseLow: number;
  readonly #baseHigh: number;
  readonly #base: bigint;

  readonly #calls = new Map<string, number>();
  readonly #callNames: string[] = [];
  readonly #origins = new TupleTable(8);
  readonly #key = new Int32Array(8);
  readonly #outcomes = new Map<string, number>();
  readonly #errors = new Set<number>();
  /** what dt counts from; NaN before the first clock row and after one that no number can hold */
  #clock = Number.NaN;
  #clockSeq = 0;
  readonly #params: SqlInt[] = new Array(BATCH * COLUMNS).fill(null);

  /** `base`: CLOCK_MONOTONIC at the start of the recording, nanoseconds. */
  constructor(db: Database.Database, base: bigint, errorName: ErrorName) {
    this.#db = db;
    this.#base = base;
    this.#baseLow = Number(base & 0xffff_ffffn);
    this.#baseHigh = Number(base >> 32n);
    this.#errorName = errorName;
    const insert = 'INSERT INTO log VALUES ';
    this.#many = db.prepare(insert + new Array(BATCH).fill('(?, ?, ?, ?)').join(', '));
    this.#one = db.prepare(`${insert}(?, ?, ?, ?)`);
    this.#putOrigin = db.prepare('INSERT INTO origins VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
    this.#putClock = db.prepare('INSERT INTO clock VALUES (?, ?)');
    this.#putOutcome = db.prepare('INSERT INTO outcomes VALUES (?, ?, ?)');
    this.#putError = db.prepare('INSERT INTO errors VALUES (?, ?)');
    this.#load();
  }

  /** The dictionaries of a trace that is being continued. */
  #load(): void {
    const origins = this.#db.prepare('SELECT pid, tid, fd, file, kind, call, context, object FROM origins ORDER BY id').raw();
    for (const row of origins.all() as (number | string)[][]) {
      row[5] = this.call(String(row[5]));
      this.#key.set(row as number[]);
      this.#origins.intern(this.#key);
    }
    for (const n of this.#db.prepare('SELECT errno FROM errors').pluck().all() as number[]) this.#errors.add(n);
    const outcomes = this.#db.prepare('SELECT ret, errno FROM outcomes ORDER BY id').raw().safeIntegers();
    for (const [ret, errno] of outcomes.all() as bigint[][]) this.#outcomes.set(`${ret} ${errno}`, this.#outcomes.size + 1);
  }

  /** The number of a name of a call in this writer. */
  call(name: string): number {
    let id = this.#calls.get(name);
    if (id === undefined) {
      id = this.#callNames.push(name) - 1;
      this.#calls.set(name, id);
    }
    return id;
  }

  /** Rows for the frames from … to − 1, of which `from` is event `seq`. `origins` (from 0) receives the origin of each. Gives the number of failures. */
  insert(staged: Staged, from: number, to: number, seq: number, origins: Int32Array): number {
    const params = this.#params;
    const { words } = staged;
    let failures = 0;
    let filled = 0;
    for (let i = from; i < to; i++, seq++) {
      const at = staged.start(i);
      const result = this.#result(words, at);
      if (words[at + W.error] !== 0) failures++;
      const origin = this.#origin(words, at, staged.labels, 3 * i);
      origins[i] = origin;
      const p = filled * COLUMNS;
      params[p] = origin;
      params[p + 1] = this.#dt(words[at + W.tEnter]!, words[at + W.tEnter + 1]!, seq);
      params[p + 2] = took(words, at);
      params[p + 3] = result;
      if (++filled === BATCH) {
        this.#many.run(params);
        filled = 0;
      }
    }
    for (let k = 0; k < filled; k++) this.#one.run(params.slice(k * COLUMNS, (k + 1) * COLUMNS));
    return failures;
  }

  /** What origin `id` says that frames do not. */
  label(id: number): string {
    const tuple = this.#origins.tuple(id);
    return labelText(this.#callNames[tuple[5]!]!, tuple[6]! >>> 0, tuple[7]! >>> 0);
  }

  #origin(words: Uint32Array, at: number, labels: Int32Array, label: number): number {
    const key = this.#key;
    key[0] = words[at + W.pid]!;
    key[1] = words[at + W.tid]!;
    key[2] = words[at + W.fd]!;
    key[3] = words[at + W.file]!;
    key[4] = words[at + W.kind]! & 0xff;
    key[5] = labels[label]!;
    key[6] = labels[label + 1]!;
    key[7] = labels[label + 2]!;
    const known = this.#origins.count;
    const id = this.#origins.intern(key);
    if (id > known) {
      const call = this.#callNames[key[5]]!;
      this.#putOrigin.run(id, key[0] >>> 0, key[1] >>> 0, key[2], key[3] >>> 0, key[4], call, key[6] >>> 0, key[7] >>> 0);
    }
    return id;
  }

  #dt(low: number, high: number, seq: number): number {
    const over = high - this.#baseHigh;
    if (over >= EXACT_HIGH || over <= -EXACT_HIGH) {
      // no clock of a kernel says so; kept as it is
      this.#putClock.run(seq, BigInt.asIntN(64, ((BigInt(high) << 32n) | BigInt(low)) - this.#base));
      this.#clock = Number.NaN;
      return 0;
    }
    const t = over * WORD + (low - this.#baseLow);
    const dt = t - this.#clock;
    if (dt >= -CLOCK_REACH && dt < CLOCK_REACH) return dt;
    if (!Number.isNaN(dt) && seq - this.#clockSeq < CLOCK_EVENTS) return dt;
    this.#clock = t + CLOCK_REACH;
    this.#clockSeq = seq;
    this.#putClock.run(seq, BigInt(this.#clock));
    return -CLOCK_REACH;
  }

  #result(words: Uint32Array, at: number): SqlInt {
    const error = words[at + W.error]! | 0;
    const low = words[at + W.ret]!;
    const high = words[at + W.ret + 1]! | 0;
    if (error === 0) {
      if (high === 0) {
        if (low === 0 && ((words[at + W.kind]! >>> 8) & 0xff) === State.ENTERED) return null;
        return low;
      }
      if (high > 0) return high < EXACT_HIGH ? high * WORD + low : (BigInt(high) << 32n) | BigInt(low);
    } else {
      if (error > 0 && !this.#errors.has(error)) {
        this.#errors.add(error);
        this.#putError.run(error, this.#errorName(error));
      }
      if (error > 0 && error <= MAX_ERRNO && high === -1 && low === 0xffff_ffff) return -error;
    }
    const ret = (BigInt(high) << 32n) | BigInt(low);
    return error === 0 && ret < -BigInt(MAX_ERRNO) && ret > OUTCOME ? ret : this.#outcome(ret, error);
  }

  /** An answer that is none of the kernel's: a negative ret that is no failure, a failure whose ret is not −1. */
  #outcome(ret: bigint, errno: number): bigint {
    const key = `${ret} ${errno}`;
    let id = this.#outcomes.get(key);
    if (id === undefined) {
      id = this.#outcomes.size + 1;
      this.#outcomes.set(key, id);
      this.#putOutcome.run(id, ret, errno);
    }
    return OUTCOME - BigInt(id);
  }
}

/** t_exit − t_enter in nanoseconds, null where there is no t_exit. */
function took(words: Uint32Array, at: number): SqlInt {
  const exitLow = words[at + W.tExit]!;
  const exitHigh = words[at + W.tExit + 1]!;
  if (exitLow === 0 && exitHigh === 0) return null;
  const low = words[at + W.tEnter]!;
  const high = words[at + W.tEnter + 1]!;
  const over = exitHigh - high;
  if (over < EXACT_HIGH && over > -EXACT_HIGH) return over * WORD + (exitLow - low);
  return BigInt.asIntN(64, ((BigInt(exitHigh) << 32n) | BigInt(exitLow)) - ((BigInt(high) << 32n) | BigInt(low)));
}
