/**
 * The tables of a trace. `events` is what people query: one row per event, as a view over the narrow table `log` and the
 * dictionaries that it points into. `chunks` holds the frames themselves, packed (pack.ts).
 *
 * A row of `log` has no column for its number: it is the rowid, which costs nothing, where a declared column would cost a byte in every
 * row. As the numbers are 1, 2, 3 … without a gap, nothing that copies a table row by row can change them.
 */
import Database from 'better-sqlite3';
import { Kind } from './frame.ts';

/** "irr1", in the file's header: what this SQLite database is. */
export const APPLICATION_ID = 0x69727231;
/** Format of the tables and of the chunks; grows with every change that an older program cannot read. */
export const FORMAT = 1;

/**
 * `log.result` is the answer in the kernel's own convention: −4095…−1 is a failure with that errno (and ret −1), anything else
 * is `ret` of a success. What does not fit (an odd importer, a hostile file) is a row of `outcomes`: result = OUTCOME − id.
 * NULL: the call had not returned.
 */
export const MAX_ERRNO = 4095;
export const OUTCOME = -(1n << 62n);

const failed = `l.result BETWEEN -${MAX_ERRNO} AND -1`;
const odd = `l.result <= ${OUTCOME}`;
const outcome = (column: string) => `(SELECT x.${column} FROM outcomes x WHERE x.id = ${OUTCOME} - l.result)`;
const errno = `CASE WHEN ${failed} THEN -l.result WHEN ${odd} THEN ${outcome('errno')} ELSE 0 END`;
const kind = "coalesce((SELECT k.name FROM kinds k WHERE k.kind = o.kind), 'KIND_' || o.kind)";

/** SQL of the columns of view `events`, over `log l` and `origins o`; select() uses them piecewise. */
export const EVENT_COLUMNS = {
  seq: 'l.rowid',
  t: '(SELECT c.t FROM clock c WHERE c.seq <= l.rowid ORDER BY c.seq DESC LIMIT 1) + l.dt',
  took: 'l.took',
  pid: 'o.pid',
  tid: 'o.tid',
  kind,
  call: 'o.call',
  fd: 'o.fd',
  file: 'o.file',
  context: 'o.context',
  object: 'o.object',
  ret: `CASE WHEN ${failed} THEN -1 WHEN ${odd} THEN ${outcome('ret')} ELSE l.result END`,
  errno,
  error: `(SELECT e.name FROM errors e WHERE e.errno = ${errno})`,
} as const;

// the comments within the statements are kept in the file, for whoever asks sqlite3 for its .schema
const CHUNK = `
  first INTEGER PRIMARY KEY, -- number of the first event
  events INTEGER NOT NULL,
  failures INTEGER NOT NULL, -- how many of them have errno <> 0
  bytes INTEGER NOT NULL, -- of their frames, unpacked
  labels BLOB NOT NULL, -- digest of what log says of them and frames do not: call, context, object
  digest BLOB NOT NULL, -- SHA-256 over the digest of the row before and all of this row
  data BLOB NOT NULL
`;

const TABLES = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE origins ( -- who did what to what: everything about an event that repeats
  id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, tid INTEGER NOT NULL, fd INTEGER NOT NULL, file INTEGER NOT NULL,
  kind INTEGER NOT NULL, call TEXT NOT NULL, context INTEGER NOT NULL, object INTEGER NOT NULL
) STRICT;
CREATE TABLE clock ( -- from event seq on, log.dt counts from t, nanoseconds since the start of the recording
  seq INTEGER PRIMARY KEY, t INTEGER NOT NULL
) STRICT;
CREATE TABLE outcomes (id INTEGER PRIMARY KEY, ret INTEGER NOT NULL, errno INTEGER NOT NULL) STRICT;
CREATE TABLE kinds (kind INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE errors (errno INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE log ( -- one row per event; its rowid is the number of the event
  origin INTEGER NOT NULL, dt INTEGER NOT NULL, took INTEGER,
  result INTEGER -- ret, or -errno; below -2^62 see outcomes; NULL: had not returned
) STRICT;
CREATE TABLE chunks (${CHUNK}) STRICT;
CREATE TABLE tail ( -- the events after the last chunk, while they are too few for one; empty in a finished trace${CHUNK}) STRICT;
CREATE TABLE places ( -- which chunks an origin occurs in: the index of the log
  origin INTEGER NOT NULL, chunk INTEGER NOT NULL, PRIMARY KEY (origin, chunk)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots ( -- this and the two below are beside the log: they may change and may be thrown away
  seq INTEGER PRIMARY KEY, version TEXT NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE marks (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE notes (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
`;

const VIEW = `CREATE VIEW events AS SELECT
${Object.entries(EVENT_COLUMNS)
  .map(([name, sql]) => `  ${sql} AS ${name}`)
  .join(',\n')}
FROM log l CROSS JOIN origins o ON o.id = l.origin;
`;

const GUARDED = ['log', 'chunks', 'origins', 'clock', 'outcomes', 'kinds', 'errors', 'places'];
const TRIGGERS = GUARDED.flatMap((table) =>
  ['UPDATE', 'DELETE'].map(
    (act) =>
      `CREATE TRIGGER ${table}_no_${act.toLowerCase()} BEFORE ${act} ON ${table} BEGIN SELECT RAISE(ABORT, 'a trace is append-only'); END;\n`,
  ),
).join('');

/**
 * The schema of a trace, word for word: a file whose schema differs is refused. So a change here, even of a comment, needs a new FORMAT,
 * and the text of the old one has to be kept to read old traces.
 */
export const SCHEMA = TABLES + VIEW + TRIGGERS;

/** Everything that a new trace is made of. */
export const DDL = `${SCHEMA}
INSERT INTO kinds VALUES ${Object.entries(Kind)
  .map(([name, kind]) => `(${kind}, '${name}')`)
  .join(', ')};
`;

let expected: string | undefined;

/** The schema of a database as one text, to compare. At most one row more than ours is read, and no longer text than ours. */
export function schemaText(db: Database.Database): string {
  const rows = db
    .prepare(
      "SELECT type, name, tbl_name, substr(coalesce(sql, ''), 1, 8192) FROM sqlite_schema WHERE NOT (type = 'index' AND sql IS NULL) ORDER BY name LIMIT 64",
    )
    .raw()
    .all() as string[][];
  return JSON.stringify(rows);
}

/** What {@link schemaText} says of a trace of this format. */
export function expectedSchema(): string {
  if (expected === undefined) {
    const db = new Database(':memory:');
    db.exec(DDL);
    expected = schemaText(db);
    db.close();
  }
  return expected;
}
