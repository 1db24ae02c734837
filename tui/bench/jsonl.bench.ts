/**
 * How fast a trace becomes lines of JSON and a trace again: beside `JSON.stringify(JSON.parse(line))` of the same lines, which
 * is what any program would have to do that reads such a file and writes it again.
 *
 *     npm run build && node dist/tui/bench/jsonl.bench.js [TRACE]
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jsonLines } from '../../recorder/jsonl/export.ts';
import { importJsonl } from '../../recorder/jsonl/import.ts';
import { TraceReader } from '../../store/read.ts';
import { writeLongTrace } from './long-trace.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const EVENTS = 100_000;
const RUNS = 3;
const MB = 1e6;
/** Characters that are written together. */
const PIECE = 1 << 18;

function exported(trace: string, to: string): void {
  const reader = TraceReader.open(trace);
  const fd = openSync(to, 'w');
  let waiting = '';
  for (const line of jsonLines(reader)) {
    waiting += line;
    if (waiting.length < PIECE) continue;
    writeSync(fd, waiting);
    waiting = '';
  }
  writeSync(fd, waiting);
  closeSync(fd);
  reader.close();
}

/** The lines parsed and put together again. → characters, so that nothing is left out */
function baseline(path: string): number {
  let characters = 0;
  for (const line of readFileSync(path, 'utf8').split('\n')) if (line !== '') characters += JSON.stringify(JSON.parse(line)).length;
  return characters;
}

/** The best of some runs, in milliseconds. */
async function best(run: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const began = performance.now();
    await run();
    least = Math.min(least, performance.now() - began);
  }
  return least;
}

/** Prints the rates. */
export async function jsonlBench(given?: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'irr-jsonl-'));
  const [text, again] = [join(folder, 'a.jsonl'), join(folder, 'b.irr')];
  try {
    const trace = given ?? join(folder, 'a.irr');
    if (given === undefined) writeLongTrace(trace, EVENTS, join(ROOT, 'fixtures/scenarios'));
    const out = await best(() => exported(trace, text));
    const bytes = statSync(text).size;
    const plain = await best(() => baseline(text));
    const back = await best(() => importJsonl({ input: text, output: again, force: true }));
    const rate = (ms: number): string => `${(bytes / MB / (ms / 1000)).toFixed(1).padStart(6)} MB/s`;
    const row = (name: string, ms: number): void =>
      console.log(`  ${name.padEnd(34)} ${rate(ms)}  ${(ms / plain).toFixed(2).padStart(6)} ×`);
    console.log(`${(bytes / MB).toFixed(1)} MB of lines of JSON (time beside JSON.parse and JSON.stringify of each line):`);
    row('JSON.parse, JSON.stringify', plain);
    row('export --format jsonl', out);
    row('import jsonl', back);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await jsonlBench(process.argv[2]);
