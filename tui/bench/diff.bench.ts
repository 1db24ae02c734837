/**
 * How fast two long traces with a few differences are compared as streams, in two threads: beside `diff` of the texts
 * that `show` prints of them. Peak memory is that of the process that compares.
 *
 *     npm run build && node dist/tui/bench/diff.bench.js [EVENTS]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compareStreams } from '../../replayer/diff/stream/differ.ts';
import { FarSide, NearSide } from '../../replayer/diff/stream/side.ts';
import { tableOf } from '../../replayer/fold.ts';
import { FRAME_AT, Kind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { writeLongTrace } from './long-trace.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const MAIN = join(ROOT, 'dist/bin/iommufd-rr.js');
const SCENARIOS = join(ROOT, 'fixtures/scenarios');
const EVENTS = 1_000_000;
const RUNS = 3;
const DIFFERENCES = 7;
const EIO = 5;
const MIB = 1 << 20;

interface Compared {
  readonly ms: number;
  /** bytes */
  readonly peak: number;
  /** events of the first trace that differ */
  readonly places: readonly number[];
}

/** Run in a process of its own. */
async function compare(a: string, b: string): Promise<Compared> {
  const began = performance.now();
  const reader = TraceReader.open(a);
  const [x, y] = [new NearSide(reader, tableOf(reader.meta)), new FarSide({ path: b, last: Number.MAX_SAFE_INTEGER })];
  const { differences } = await compareStreams(x, y);
  const ms = performance.now() - began;
  await y.close();
  return { ms, peak: process.resourceUsage().maxRSS * 1024, places: differences.map((d) => d.place) };
}

/** Writes both; → where they differ: errnos of calls all over the trace. */
function write(a: string, b: string, events: number): number[] {
  writeLongTrace(a, events, SCENARIOS);
  const places: number[] = [];
  const failed = (frame: Buffer, seq: number): void => {
    if (seq < ((places.length + 1) * events) / (DIFFERENCES + 1) || places.length === DIFFERENCES) return;
    if (frame[FRAME_AT.kind] !== Kind.IOCTL || frame.readUInt32LE(FRAME_AT.request) !== 0x3b86) return;
    frame.writeUInt32LE(EIO, FRAME_AT.error);
    places.push(seq);
  };
  writeLongTrace(b, events, SCENARIOS, failed);
  return places;
}

/** Milliseconds. */
function show(trace: string, text: string): number {
  const out = openSync(text, 'w');
  const began = performance.now();
  execFileSync(process.execPath, [MAIN, 'show', trace], { stdio: ['ignore', out, 'inherit'] });
  closeSync(out);
  return performance.now() - began;
}

function diff(a: string, b: string): { readonly ms: number; readonly lines: number } {
  const began = performance.now();
  const { status, stdout } = spawnSync('diff', [a, b], { encoding: 'utf8', maxBuffer: 1 << 30 });
  if (status !== 1) throw new Error(`diff: status ${status}`);
  return { ms: performance.now() - began, lines: stdout.split('\n').filter((line) => line.startsWith('<')).length };
}

/** Milliseconds of the whole command, from its start to its end: with causes, and the rules that are asked about them. */
function command(a: string, b: string): number {
  const began = performance.now();
  const { status } = spawnSync(process.execPath, [MAIN, 'diff', '--stat', a, b], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 1) throw new Error(`iommufd-rr diff: status ${status}`);
  return performance.now() - began;
}

function bench(events: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'irr-diff-bench-'));
  const at = (name: string): string => join(folder, name);
  try {
    const places = write(at('a.irr'), at('b.irr'), events);
    const runs = Array.from({ length: RUNS }, () => {
      const args = [fileURLToPath(import.meta.url), '--compare', at('a.irr'), at('b.irr')];
      return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Compared;
    });
    const shown = show(at('a.irr'), at('a.txt')) + show(at('b.irr'), at('b.txt'));
    const texts = Array.from({ length: RUNS }, () => diff(at('a.txt'), at('b.txt')));
    const [ours, theirs] = [Math.min(...runs.map((r) => r.ms)), Math.min(...texts.map((t) => t.ms))];
    const exact = runs.every((r) => r.places.join() === places.join());
    const size = (name: string): string => `${(statSync(at(name)).size / MIB).toFixed(1)} MiB`;
    console.log(
      `diff: 2 x ${events} events (${size('a.irr')} each), ${places.length} differences, ${exact ? 'all' : 'NOT all'} found exactly`,
    );
    console.log(
      `diff: of the texts of show (baseline; ${size('a.txt')} each, ${texts[0]!.lines} lines) ${theirs.toFixed(0)} ms, with show ${(shown + theirs).toFixed(0)} ms`,
    );
    console.log(
      `diff: of the streams ${ours.toFixed(0)} ms, peak ${(Math.max(...runs.map((r) => r.peak)) / MIB).toFixed(0)} MiB   ${(ours / theirs).toFixed(2)} of the baseline's time, ${(ours / (shown + theirs)).toFixed(3)} with show`,
    );
    const whole = Math.min(...Array.from({ length: RUNS }, () => command(at('a.irr'), at('b.irr'))));
    console.log(
      `diff: the command, causes and the rules of both kernels included ${whole.toFixed(0)} ms   ${(whole / theirs).toFixed(2)} of the baseline's time, ${(whole / (shown + theirs)).toFixed(3)} with show`,
    );
    if (!exact) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [first, a, b] = process.argv.slice(2);
if (first === '--compare') console.log(JSON.stringify(await compare(a!, b!)));
else bench(Number(first ?? EVENTS));
