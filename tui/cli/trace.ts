/** What every command needs that reads a trace: opening it, its uAPI dialect, points in it, queries over it. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DIALECTS, type DialectName, dialectForKernel, type UapiTable, uapiTable } from '../../hw/uapi/table.ts';
import { parseQuery, type Query, underline } from '../../replayer/query.ts';
import { vocabularyOf } from '../../replayer/query-fields.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { TraceReader } from '../../store/read.ts';
import { UsageError } from './errors.ts';

export interface Opened {
  readonly path: string;
  readonly reader: TraceReader;
  readonly meta: TraceMeta;
  readonly table: UapiTable;
}

/** Opens a trace with the dialect that it names; a dialect that this program does not know is read as the kernel's. */
export function openTrace(path: string): Opened {
  const reader = TraceReader.open(path);
  return { path, reader, meta: reader.meta, table: uapiTable(dialectOf(reader.meta)) };
}

export function dialectOf(meta: TraceMeta): DialectName {
  const named = DIALECTS.find((name) => name === meta.dialect);
  return named ?? dialectForKernel(meta.kernel);
}

/** The newest .irr file in $IRR_TRACE_DIR or here: what a command takes that is given no trace. */
export function newestTrace(): string {
  const folder = process.env.IRR_TRACE_DIR || '.';
  let best: string | undefined;
  let newest = Number.NEGATIVE_INFINITY;
  let names: string[] = [];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.irr'));
  } catch {
    // said below: there is none
  }
  for (const name of names) {
    const path = folder === '.' ? name : join(folder, name);
    const time = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
    if (time > newest) [best, newest] = [path, time];
  }
  if (best === undefined)
    throw new UsageError('which trace?', `give the name of an .irr file; there is none in ${folder === '.' ? 'this directory' : folder}`);
  return best;
}

/** `--at`: a number, `end`, `start`, `50%`, `@12.5` (seconds since the start). → event number, 0 = before the first event */
export function pointOf(text: string, reader: TraceReader): number {
  const { last } = reader;
  if (text === 'end') return last;
  if (text === 'start') return 0;
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent !== null) return Math.min(last, Math.round((last * Number(percent[1])) / 100));
  const time = /^@(\d+(?:\.\d+)?)(s|ms|us|ns)?$/.exec(text);
  if (time !== null) {
    const scale = { s: 1e9, ms: 1e6, us: 1e3, ns: 1 }[time[2] ?? 's'] ?? 1e9;
    return reader.seqAt(Math.floor(Number(time[1]) * scale) + 1) - 1;
  }
  if (!/^\d+$/.test(text))
    throw new UsageError(`"${text}" is no point of a recording`, 'points: 1204, end, start, 50%, @12.5 (seconds since the start)');
  const seq = Number(text);
  if (seq > last) throw new UsageError(`there is no event ${text}`, last === 0 ? 'the trace is empty' : `events are numbered 1 to ${last}`);
  return seq;
}

/** A query from the command line; a mistake in it is shown underlined. */
export function queryOf(text: string, table: UapiTable, option = '--where'): Query {
  const result = parseQuery(text, vocabularyOf(table));
  if (result.ok) return result.query;
  throw new UsageError(`${option}: ${result.error.message}\n    ${underline(text, result.error).replace('\n', '\n    ')}`);
}

/** A whole number that an option was given. */
export function countOf(option: string, text: string | undefined, least = 0): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text) || Number(text) < least) throw new UsageError(`${option}: "${text}" is no number from ${least} up`);
  return Number(text);
}
