/** A trace fit to be shared: the same session, without what says on whose machine it was. */
import { createHmac, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { callName } from '../../hw/event-words.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import { type EventRow, TraceWriter } from '../../store/append.ts';
import { encodeFrame, FrameCursor } from '../../store/frame.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { SIDE_FILES } from '../../store/open.ts';
import type { TraceReader } from '../../store/read.ts';
import { readingTable } from '../diff/meaning/forms.ts';
import { AddressMap } from './addresses.ts';
import { CLASS_NAMES, type ClassName } from './classes.ts';
import { argument, type Redaction, redactFrame } from './frame.ts';
import { Words } from './words.ts';

export interface RedactOptions {
  readonly table: UapiTable;
  readonly keeps: ReadonlySet<ClassName>;
  /** for tests; else made anew, and never kept */
  readonly key?: Buffer;
  readonly errorName?: (errno: number) => string;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RedactReport {
  readonly events: number;
  /** places that were changed, by class; of `notes`: bookmarks and notes that were left out, too */
  readonly changed: Readonly<Record<ClassName, number>>;
  /** regions of memory that have another place */
  readonly regions: number;
}

/** Writes the redacted trace to `output`, a new file. Throws a StoreError. */
export function redactTrace(reader: TraceReader, output: string, options: RedactOptions): RedactReport {
  const changed = Object.fromEntries(CLASS_NAMES.map((name) => [name, 0])) as Record<ClassName, number>;
  const key = options.key ?? randomBytes(32);
  const map = new AddressMap();
  let counting = false;
  const count = (sort: ClassName): void => {
    if (counting) changed[sort]++;
  };
  const redaction = {
    table: readingTable(options.table),
    words: new Words(key, count),
    keeps: options.keeps,
    count,
    moved: (address: bigint, length: bigint): bigint => {
      if (counting) return map.moved(address);
      map.add(address, length);
      return address;
    },
  };
  const total = 2 * reader.last;
  const cursor = new FrameCursor();
  for (const batch of reader.scan()) {
    for (let i = 0; i < batch.count; i++) redactFrame(cursor.at(batch.buffer, batch.offsets[i]!).frame(), redaction);
    options.onProgress?.(batch.first, total);
  }
  const regions = map.place(numbersOf(key));
  counting = true;
  const writer = TraceWriter.create(
    output,
    { ...redactMeta(reader.meta, redaction), complete: false },
    options.errorName === undefined ? {} : { errorName: options.errorName },
  );
  try {
    const rows = rowsOf(reader);
    for (const batch of reader.scan()) {
      for (let i = 0; i < batch.count; i++) {
        const frame = redactFrame(cursor.at(batch.buffer, batch.offsets[i]!).frame(), redaction);
        const { context, object } = rows.next().value!;
        writer.append(encodeFrame(frame), 0, { call: callName(frame, options.table), context, object });
      }
      options.onProgress?.(reader.last + batch.first, total);
    }
    writer.finish(reader.meta.complete);
  } catch (error) {
    writer.close();
    for (const side of ['', ...SIDE_FILES]) rmSync(output + side, { force: true });
    throw error;
  }
  return { events: reader.last, changed, regions };
}

/** Numbers from 0 to 1 that follow from the key alone. */
function numbersOf(key: Buffer): () => number {
  let n = 0;
  return () => createHmac('sha256', key).update(`place ${n++}`).digest().readUInt32LE(0) / 2 ** 32;
}

const PAGE = 1000;

function* rowsOf(reader: TraceReader): Generator<EventRow> {
  const sql =
    'SELECT o.call, o.context, o.object FROM log l JOIN origins o ON o.id = l.origin WHERE l.rowid > ? AND l.rowid <= ? ORDER BY l.rowid';
  for (let after = 0; after < reader.last; after += PAGE) {
    for (const row of reader.query(sql, [after, after + PAGE]))
      yield { call: '', context: Number(row.context), object: Number(row.object) };
  }
}

/** What a release says of the kernel, and what of who built it. */
const RELEASE = /^(\d+\.\d+(?:\.\d+)?(?:-rc\d+)?)(.*)$/s;
/** Values that say nothing of a machine. */
const PLAIN = /^([ymn]|-?\d+|0x[0-9a-f]+|)$/;

/** What a trace says about itself. Keys that this program does not know keep their numbers alone. */
function redactMeta(meta: TraceMeta, r: Redaction): TraceMeta {
  const { v, tool, source, modelMachine, kernel, machine, cpu, config, command, cwd, dialect, clock, complete, dropped, exit, ...rest } =
    meta;
  const host = r.keeps.has('host');
  const word = (sort: string, text: string): string => {
    if (host || text === '') return text;
    r.count('host');
    return r.words.token(sort, text);
  };
  const release = RELEASE.exec(kernel);
  const values = Object.entries(config ?? {}).map(([key, value]) => [
    /^CONFIG_\w+$/.test(key) ? key : word('option', key),
    PLAIN.test(value) ? value : word('value', value),
  ]);
  const unknown = Object.entries(rest).map(([key, value]) => [key, plainOf(value, (text) => word('text', text))]);
  return {
    ...Object.fromEntries(unknown),
    v,
    tool,
    source,
    ...(modelMachine === undefined ? {} : { modelMachine }),
    kernel: release === null ? word('kernel', kernel) : `${release[1]}${release[2] === '' ? '' : `-${word('build', release[2]!)}`}`,
    machine,
    cpu: word('cpu', cpu),
    ...(config === undefined ? {} : { config: Object.fromEntries(values) }),
    command: r.keeps.has('arguments') ? command : command.map((text) => argument(text, r)),
    cwd: r.keeps.has('paths') ? cwd : r.words.path(cwd),
    dialect,
    clock,
    complete,
    dropped,
    exit,
    redacted: CLASS_NAMES.filter((name) => !r.keeps.has(name)),
  };
}

function plainOf(value: unknown, word: (text: string) => string): unknown {
  if (typeof value === 'string') return word(value);
  if (Array.isArray(value)) return value.map((one) => plainOf(one, word));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plainOf(one, word)]));
}
