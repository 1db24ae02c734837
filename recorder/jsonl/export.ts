/** A trace as lines of JSON (line.ts): first what it says about itself, then its marks and notes, then an event a line. */
import { jsonText } from '../../hw/json-text.ts';
import { DIALECTS, dialectForKernel, type UapiTable, uapiTable } from '../../hw/uapi/table.ts';
import type { EventRow } from '../../store/append.ts';
import { FrameCursor } from '../../store/frame.ts';
import { Marks } from '../../store/marks.ts';
import { metaRows, type TraceMeta } from '../../store/meta.ts';
import { CHUNK_BYTES, CHUNK_EVENTS } from '../../store/pack.ts';
import type { TraceReader } from '../../store/read.ts';
import { RowIndex } from '../index-row.ts';
import { LineWriter } from './line.ts';
import type { LineContext } from './line-parts.ts';

/** First key of the first line, by which such a file is known. */
export const JSONL_FORMAT = 'iommufd-rr events';
export const JSONL_VERSION = 1;

/** How the lines of a trace are read and written. */
export function contextOf(meta: TraceMeta): LineContext {
  return { table: tableOf(meta), machine: meta.machine, base: meta.clock.monotonicNs };
}

const tableOf = (meta: TraceMeta): UapiTable => uapiTable(DIALECTS.find((d) => d === meta.dialect) ?? dialectForKernel(meta.kernel));

/** Rows of marks, notes and origins that are read at a time. */
const PAGE = 1000;

/** The lines of a trace, each with its end. Throws a StoreError where the trace is damaged. */
export function* jsonLines(reader: TraceReader): Generator<string> {
  const { meta } = reader;
  const stored = Object.fromEntries(metaRows(meta).map(([key, json]) => [key, JSON.parse(json) as unknown]));
  yield `${jsonText({ format: JSONL_FORMAT, v: JSONL_VERSION, meta: stored })}\n`;
  yield* sideLines(reader);
  const lines = new EventLines(reader);
  for (const batch of reader.scan()) {
    for (let i = 0; i < batch.count; i++) {
      yield lines.line(batch.buffer, batch.offsets[i]!, batch.offsets[i + 1]!, batch.first + i);
    }
  }
}

/** Marks and notes of the trace, and those that are in a file beside it. */
function* sideLines(reader: TraceReader): Generator<string> {
  const all = new Marks(reader);
  const marks = new Set<string>();
  for (let after = ''; ; ) {
    const rows = reader.query(`SELECT name, seq FROM marks WHERE name > ? ORDER BY name LIMIT ${PAGE}`, [after]);
    for (const { name, seq } of rows) {
      marks.add(String(name));
      yield `${jsonText({ mark: name, seq })}\n`;
    }
    if (rows.length < PAGE) break;
    after = String(rows.at(-1)!.name);
  }
  const notes = new Map<number, string>();
  for (let after = Number.MIN_SAFE_INTEGER; ; ) {
    const rows = reader.query(`SELECT id, seq, text FROM notes WHERE id > ? ORDER BY id LIMIT ${PAGE}`, [after]);
    for (const { seq, text } of rows) {
      const before = notes.get(Number(seq));
      notes.set(Number(seq), before === undefined ? String(text) : `${before} / ${text}`);
      yield `${jsonText({ note: text, seq })}\n`;
    }
    if (rows.length < PAGE) break;
    after = Number(rows.at(-1)!.id);
  }
  for (const { name, seq } of all.all) if (!marks.has(name)) yield `${jsonText({ mark: name, seq })}\n`;
  for (const { seq, text } of all.notes) if (!notes.has(seq)) yield `${jsonText({ note: text, seq })}\n`;
}

class EventLines {
  readonly #reader: TraceReader;
  readonly #lines: LineWriter;
  readonly #cursor = new FrameCursor();
  readonly #index: RowIndex;
  readonly #rows: Iterator<EventRow>;
  readonly #chunks: Iterator<number>;
  #nextChunk = 0;
  /** events and bytes that the writer of a trace would have in the chunk so far */
  #events = 0;
  #bytes = 0;

  constructor(reader: TraceReader) {
    this.#reader = reader;
    const c = contextOf(reader.meta);
    this.#lines = new LineWriter(c);
    this.#index = new RowIndex(c.table);
    this.#rows = this.#rowsOf();
    this.#chunks = this.#chunksOf();
    this.#nextChunk = this.#chunks.next().value ?? 0;
  }

  line(buffer: Buffer, from: number, to: number, seq: number): string {
    const cursor = this.#cursor.at(buffer, from);
    const derived = this.#index.row(cursor);
    const row = this.#rows.next().value ?? derived;
    return this.#lines.line(cursor.frame(), buffer.subarray(from, to), row, derived, this.#begins(seq, to - from));
  }

  /** Whether a chunk begins here where the writer would not begin one by itself. */
  #begins(seq: number, bytes: number): boolean {
    const own = this.#events === CHUNK_EVENTS || (this.#events > 0 && this.#bytes + bytes > CHUNK_BYTES);
    const there = this.#nextChunk === seq;
    if (there) this.#nextChunk = this.#chunks.next().value ?? 0;
    if (own || there) this.#events = this.#bytes = 0;
    this.#events++;
    this.#bytes += bytes;
    return there && !own && seq > 1;
  }

  *#chunksOf(): Generator<number> {
    for (let after = 0; ; ) {
      const rows = this.#reader.query(`SELECT first FROM chunks WHERE first > ? ORDER BY first LIMIT ${PAGE}`, [after]);
      for (const { first } of rows) yield Number(first);
      if (rows.length < PAGE) return;
      after = Number(rows.at(-1)!.first);
    }
  }

  /** Name, context and object of each event, in order. */
  *#rowsOf(): Generator<EventRow> {
    const known = new Map<number, EventRow>();
    for (let after = 0; after < this.#reader.last; after += PAGE) {
      const rows = this.#reader.query('SELECT origin FROM log WHERE rowid > ? AND rowid <= ? ORDER BY rowid', [after, after + PAGE]);
      for (const { origin } of rows) yield this.#origin(known, Number(origin));
    }
  }

  #origin(known: Map<number, EventRow>, id: number): EventRow {
    let row = known.get(id);
    if (row === undefined) {
      const [found] = this.#reader.query('SELECT call, context, object FROM origins WHERE id = ?', [id]);
      row = { call: String(found?.call ?? ''), context: Number(found?.context ?? 0), object: Number(found?.object ?? 0) };
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(id, row);
    }
    return row;
  }
}

/** Origins that are remembered. */
const MOST_KNOWN = 100_000;
