/** Lines of JSON (line.ts) as a trace. Numbers of events follow from their order; digests, lengths and the index are made anew. */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoName } from '../../hw/errno.ts';
import { isObject } from '../../hw/uapi/call-read.ts';
import { JsonError, numberIn, shown } from '../../hw/uapi/json-value.ts';
import { TraceWriter } from '../../store/append.ts';
import { IrrError, storeError } from '../../store/errors.ts';
import { FrameCursor, State } from '../../store/frame.ts';
import { POSITION_KEY, parseMeta, type TraceMeta } from '../../store/meta.ts';
import { PARTIAL, SIDE_FILES } from '../../store/open.ts';
import { TraceSide } from '../../store/side.ts';
import { RowIndex } from '../index-row.ts';
import { checkOutput, place } from '../output-file.ts';
import { contextOf, JSONL_FORMAT, JSONL_VERSION } from './export.ts';
import { eventOf } from './line.ts';
import type { LineContext } from './line-parts.ts';
import { strictJson } from './strict-json.ts';
import { type TextLine, textLines } from './text-lines.ts';

export interface JsonlOptions {
  /** the file; `-` for standard input */
  readonly input: string;
  readonly output: string;
  readonly force: boolean;
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

export interface JsonlResult {
  readonly events: number;
  readonly marks: number;
  readonly notes: number;
}

/** Bytes of the longest line: a frame of the largest size in hex, and room. */
const LINE_LIMIT = 160 * 2 ** 20;
/** Marks and notes that are taken. */
const MOST_SIDE = 1_000_000;
const U53 = BigInt(Number.MAX_SAFE_INTEGER);

/** Writes the trace. Throws an IrrError that says what is wrong; then there is no output. */
export async function importJsonl(options: JsonlOptions): Promise<JsonlResult> {
  const output = resolve(options.output);
  checkOutput(output, options.force, [options.input]);
  const work = new JsonlImport(output + PARTIAL);
  try {
    for await (const line of textLines(options.input, LINE_LIMIT, options.progress)) {
      try {
        work.line(line);
      } catch (error) {
        throw at(options.input, line, error);
      }
    }
    const result = work.finish(options.input);
    place(output + PARTIAL, output, options.force);
    return result;
  } catch (error) {
    work.discard();
    throw storeError(error, output);
  }
}

/** What is wrong with a line, in one line. */
function at(path: string, { number, whole }: TextLine, error: unknown): unknown {
  if (!(error instanceof JsonError)) return error;
  const cut = whole ? '' : '; it is the last line and has no end, so the file may be cut short: copy it again';
  return new IrrError('format', `${path === '-' ? 'standard input' : path}:${number}: ${error.message}${cut}`);
}

class JsonlImport {
  readonly #path: string;
  readonly #cursor = new FrameCursor();
  #writer: TraceWriter | undefined;
  #meta: TraceMeta | undefined;
  #c: LineContext | undefined;
  #rows: RowIndex | undefined;
  /** number in the file of the last event */
  #label = 0;
  /** by number in the file, of calls that had not returned: their number now, where it is another one */
  readonly #calls = new Map<bigint, bigint>();
  #shifted = false;
  /** there is a file of ours */
  #made = false;
  readonly #marks: { readonly name: string; readonly seq: number }[] = [];
  readonly #notes: { readonly text: string; readonly seq: number }[] = [];
  /** numbers in the file of events that have marks or notes: their number now, undefined: not met yet */
  readonly #named = new Map<number, number | undefined>();

  constructor(path: string) {
    this.#path = path;
  }

  line({ bytes }: TextLine): void {
    if (bytes.length === 0 || isBlank(bytes)) return;
    const json = strictJson(bytes);
    if (!isObject(json)) throw new JsonError(`${shown(json)} is no event; a line is one {…}`);
    if (this.#writer === undefined) this.#begin(json);
    else if (Object.hasOwn(json, 'mark') || Object.hasOwn(json, 'note')) this.#side(json);
    else this.#event(json);
  }

  #begin(json: Readonly<Record<string, unknown>>): void {
    if (json.format !== JSONL_FORMAT)
      throw new JsonError(
        `no trace as lines of JSON: the first line is {"format": "${JSONL_FORMAT}", "v": ${JSONL_VERSION}, "meta": {…}}, as export --format jsonl writes it`,
      );
    if (json.v !== JSONL_VERSION)
      throw new JsonError(`version ${shown(json.v)} of the format is not known; this program knows ${JSONL_VERSION}`);
    const extra = Object.keys(json).find((key) => !['format', 'v', 'meta'].includes(key));
    if (extra !== undefined) throw new JsonError(`the first line has no ${shown(extra)}`);
    if (!isObject(json.meta)) throw new JsonError(`meta: ${shown(json.meta)} is no {…}`);
    this.#meta = metaOf(json.meta);
    this.#c = contextOf(this.#meta);
    this.#rows = new RowIndex(this.#c.table);
    this.#writer = TraceWriter.create(this.#path, { ...this.#meta, complete: false }, { errorName: errnoName });
    this.#made = true;
  }

  #side(json: Readonly<Record<string, unknown>>): void {
    const key = Object.hasOwn(json, 'mark') ? 'mark' : 'note';
    const extra = Object.keys(json).find((k) => k !== key && k !== 'seq');
    if (extra !== undefined) throw new JsonError(`a ${key} has no ${shown(extra)}`);
    const text = json[key];
    if (typeof text !== 'string' || (key === 'mark' && text === '')) throw new JsonError(`${key}: ${shown(text)} is no text`);
    const seq = numberIn(json.seq, 'seq', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    if (this.#label > 0) throw new JsonError(`a ${key} stands before the first event`);
    if (this.#marks.length + this.#notes.length >= MOST_SIDE) throw new JsonError(`more than ${MOST_SIDE} marks and notes`);
    if (key === 'mark' && this.#marks.some((m) => m.name === text))
      throw new JsonError(`mark: there is a second one that is called ${shown(text)}`);
    if (key === 'mark') this.#marks.push({ name: text, seq });
    else this.#notes.push({ text, seq });
    this.#named.set(seq, undefined);
  }

  #event(json: Readonly<Record<string, unknown>>): void {
    const writer = this.#writer!;
    const event = eventOf(json, this.#c!, this.#label, (seq) => this.#callOf(seq));
    if (event.chunk) writer.endChunk();
    const cursor = this.#cursor.at(event.frame, 0);
    const derived = this.#rows!.row(cursor);
    const seq = writer.append(event.frame, 0, event.row ?? derived);
    this.#label = event.seq;
    if (seq !== event.seq) this.#shifted = true;
    if (this.#shifted && cursor.state === State.ENTERED) this.#calls.set(BigInt(event.seq), BigInt(seq));
    if (this.#named.has(event.seq)) this.#named.set(event.seq, seq);
  }

  /** Events that were taken out of the file let those behind them move up. */
  #callOf(seq: bigint): bigint {
    if (!this.#shifted || seq > U53) return seq;
    const now = this.#calls.get(seq);
    this.#calls.delete(seq);
    return now ?? seq;
  }

  finish(input: string): JsonlResult {
    const writer = this.#writer;
    if (writer === undefined) throw new IrrError('format', `${input}: is empty`, { hint: 'export --format jsonl writes such a file' });
    const events = writer.last;
    writer.finish(this.#meta!.complete);
    this.#writer = undefined;
    if (this.#marks.length + this.#notes.length > 0) this.#keepSide(events);
    return { events, marks: this.#marks.length, notes: this.#notes.length };
  }

  #keepSide(events: number): void {
    const now = (seq: number): number => this.#named.get(seq) ?? (this.#shifted ? events : seq);
    const side = TraceSide.open(this.#path);
    try {
      side.putAll(
        this.#marks.map((m) => ({ ...m, seq: now(m.seq) })),
        this.#notes.map((n) => ({ ...n, seq: now(n.seq) })),
      );
    } finally {
      side.close();
    }
  }

  discard(): void {
    if (!this.#made) return;
    this.#writer?.close();
    for (const side of ['', ...SIDE_FILES]) rmSync(this.#path + side, { force: true });
  }
}

const isBlank = (bytes: Buffer): boolean => bytes.length < 4096 && bytes.every((b) => b === 0x20 || b === 0x09);

function metaOf(json: Readonly<Record<string, unknown>>): TraceMeta {
  if (Object.hasOwn(json, POSITION_KEY)) throw new JsonError(`meta has no ${POSITION_KEY}`);
  try {
    return parseMeta(Object.entries(json).map(([key, value]) => [key, JSON.stringify(value)] as const));
  } catch (error) {
    throw new JsonError(`meta.${(error as Error).message}`);
  }
}
