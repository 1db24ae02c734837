/**
 * How fast the store takes events and gives them back, and how big they are: against the plain way, one row per event with its frame as a
 * BLOB in batched transactions, in the same run. Figures of a busy machine vary; the ratios vary less.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { TraceWriter } from './append.ts';
import { encodeFrame, FRAME_AT } from './frame.ts';
import type { TraceMeta } from './meta.ts';
import { TraceReader } from './read.ts';
import type { EventRow } from './rows.ts';
import { synthetic } from './synthetic.ts';

export interface BenchOptions {
  /** events of the made-up session; default 300 000 */
  readonly events?: number;
  /** a trace to take the events from, in place of the made-up session */
  readonly trace?: string;
  readonly print?: (line: string) => void;
}

interface Session {
  readonly name: string;
  readonly buffer: Buffer;
  readonly offsets: readonly number[];
  readonly rows: readonly EventRow[];
  readonly meta: TraceMeta;
}

/** Events per transaction, of both ways: what a recorder flushes at once when it is busy. */
const FLUSH = 1000;
const RUNS = 3;

interface Figures {
  readonly append: number;
  readonly scan: number;
  readonly bytes: number;
}

/** Runs both ways and prints a line for each figure. */
export function benchStore(options: BenchOptions = {}): void {
  const print = options.print ?? console.log;
  const session = options.trace === undefined ? madeUp(options.events ?? 300_000) : recorded(options.trace);
  const n = session.rows.length;
  print(`store: ${n} events (${session.name}), ${(session.buffer.length / n).toFixed(0)} bytes per frame`);
  const dir = mkdtempSync(join(tmpdir(), 'irr-bench-'));
  try {
    let [ours, plain]: [Figures | undefined, Figures | undefined] = [undefined, undefined];
    for (let run = 0; run < RUNS; run++) {
      ours = better(ours, runStore(session, join(dir, 'trace.irr')));
      plain = better(plain, runPlain(session, join(dir, 'plain.db')));
    }
    report(print, ours!, plain!);
    printRandom(print, join(dir, 'trace.irr'));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function better(a: Figures | undefined, b: Figures): Figures {
  if (a === undefined) return b;
  return { append: Math.max(a.append, b.append), scan: Math.max(a.scan, b.scan), bytes: b.bytes };
}

function report(print: (line: string) => void, ours: Figures, plain: Figures): void {
  const rate = (perSecond: number) => `${(perSecond / 1000).toFixed(0)} k events/s`;
  const line = (what: string, a: string, b: string, ratio: number) =>
    print(`  ${what.padEnd(8)} ${a.padStart(18)}   plain rows ${b.padStart(18)}   ratio ${ratio.toFixed(2)}`);
  line('append', rate(ours.append), rate(plain.append), ours.append / plain.append);
  line('scan', rate(ours.scan), rate(plain.scan), ours.scan / plain.scan);
  line('size', `${ours.bytes.toFixed(1)} bytes/event`, `${plain.bytes.toFixed(1)} bytes/event`, ours.bytes / plain.bytes);
}

/** What a screen asks for: windows of rows and single frames, anywhere. */
function printRandom(print: (line: string) => void, path: string): void {
  const reader = TraceReader.open(path);
  const times = (count: number, act: (seq: number) => void) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) act(1 + ((i * 7919 * 4099) % reader.last));
    return ((performance.now() - start) / count).toFixed(3);
  };
  const window = times(200, (seq) => reader.rows({ from: seq, limit: 40 }));
  const frame = times(200, (seq) => reader.frame(seq));
  print(`  window of 40 rows ${window} ms, frame anywhere ${frame} ms`);
  reader.close();
}

function runStore(session: Session, path: string): Figures {
  rmSync(path, { force: true });
  const start = performance.now();
  const writer = TraceWriter.create(path, session.meta);
  session.offsets.forEach((offset, i) => {
    writer.append(session.buffer, offset, session.rows[i]!);
    if (i % FLUSH === FLUSH - 1) writer.flush();
  });
  writer.finish();
  const appended = performance.now();
  const reader = TraceReader.open(path);
  let seen = 0;
  for (const batch of reader.scan()) seen += batch.count;
  const scanned = performance.now();
  reader.close();
  return figures(session, seen, path, appended - start, scanned - appended);
}

function runPlain(session: Session, path: string): Figures {
  rmSync(path, { force: true });
  const start = performance.now();
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = NORMAL');
  db.exec(
    'CREATE TABLE events (seq INTEGER PRIMARY KEY, t INTEGER, pid INTEGER, tid INTEGER, call TEXT, object INTEGER, errno INTEGER, frame BLOB)',
  );
  const insert = db.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const { buffer, offsets, rows } = session;
  const begin = db.prepare('BEGIN');
  const commit = db.prepare('COMMIT');
  begin.run();
  offsets.forEach((at, i) => {
    const t = Number(buffer.readBigUInt64LE(at + FRAME_AT.tEnter) - session.meta.clock.monotonicNs);
    const frame = buffer.subarray(at, at + buffer.readUInt32LE(at + FRAME_AT.bytes));
    const pid = buffer.readUInt32LE(at + FRAME_AT.pid);
    const tid = buffer.readUInt32LE(at + FRAME_AT.tid);
    insert.run(i + 1, t, pid, tid, rows[i]!.call, rows[i]!.object, buffer.readInt32LE(at + FRAME_AT.error), frame);
    if (i % FLUSH === FLUSH - 1) {
      commit.run();
      begin.run();
    }
  });
  commit.run();
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.pragma('journal_mode = DELETE');
  const appended = performance.now();
  let seen = 0;
  const page = db.prepare('SELECT seq, frame FROM events WHERE seq > ? ORDER BY seq LIMIT 1024');
  for (let last = 0; ; ) {
    const list = page.all(last) as { seq: number; frame: Buffer }[];
    if (list.length === 0) break;
    seen += list.length;
    last = list[list.length - 1]!.seq;
  }
  const scanned = performance.now();
  db.close();
  return figures(session, seen, path, appended - start, scanned - appended);
}

function figures(session: Session, seen: number, path: string, appendMs: number, scanMs: number): Figures {
  const n = session.rows.length;
  if (seen !== n) throw new Error(`${path}: ${seen} events came back of ${n}`);
  return { append: (n / appendMs) * 1000, scan: (n / scanMs) * 1000, bytes: statSync(path).size / n };
}

function madeUp(events: number): Session {
  const frames: Buffer[] = [];
  const offsets: number[] = [];
  const rows: EventRow[] = [];
  let at = 0;
  for (const { frame, row } of synthetic(events)) {
    const bytes = encodeFrame(frame);
    frames.push(bytes);
    offsets.push(at);
    rows.push(row);
    at += bytes.length;
  }
  const meta: TraceMeta = {
    v: 1,
    tool: 'bench',
    kernel: '',
    machine: '',
    cpu: '',
    command: [],
    cwd: '',
    dialect: '',
    clock: { realtimeNs: 0n, monotonicNs: 5_000_000_000n },
    complete: false,
    dropped: 0,
  };
  return { name: 'made-up', buffer: Buffer.concat(frames), offsets, rows, meta };
}

function recorded(path: string): Session {
  const reader = TraceReader.open(path);
  const frames: Buffer[] = [];
  const offsets: number[] = [];
  const rows: EventRow[] = [];
  let at = 0;
  for (const batch of reader.scan()) {
    const start = batch.offsets[0]!;
    const end = batch.offsets[batch.count]!;
    frames.push(Buffer.from(batch.buffer.subarray(start, end)));
    for (let i = 0; i < batch.count; i++) offsets.push(at + batch.offsets[i]! - start);
    rows.push(...reader.rows({ from: batch.first, to: batch.first + batch.count - 1, limit: batch.count }));
    at += end - start;
  }
  const { meta } = reader;
  reader.close();
  return { name: path, buffer: Buffer.concat(frames), offsets, rows, meta: { ...meta, complete: false } };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) benchStore(process.argv[2] === undefined ? {} : { trace: process.argv[2] });
