/**
 * How fast the screens answer on a long trace, in a real pseudo-terminal: the first picture, each key, and the memory.
 * The baseline of the start is Node itself, started and ended; that of a key is the time that one picture of 60 Hz has.
 *
 *     npm run build && make -C fixtures/clients && node dist/tui/bench/tui.bench.js [EVENTS | TRACE]
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { writeLongTrace } from './long-trace.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const MAIN = join(ROOT, 'dist/bin/iommufd-rr.js');
const TYPIST = join(ROOT, 'dist/clients/typist');
const SIZES = [
  [80, 24],
  [140, 40],
] as const;
const MS = 1e6;
const PICTURE = 1000 / 60;
const STARTS = 5;

/** Keys of a person who looks around, each group some times over: what, keys, how often. */
const KEYS: readonly (readonly [what: string, keys: readonly string[], times: number])[] = [
  ['step', ['j'], 100],
  ['step back', ['k'], 60],
  ['page', [' ', ' ', 'b'], 20],
  ['next error, previous error', [']', 'e', '[', 'e'], 10],
  ['next change', ['J', 'J', 'K'], 10],
  ['panes', ['\t', '3', '2', '1', 'z', 'z'], 8],
  ['anywhere', ['5', '0', '%', 'j', 'j', 'G', 'k', 'g', 'g', 'j'], 4],
  ['help', ['?', 'q'], 4],
];

interface Figures {
  readonly first: number[];
  readonly idle: number[];
  readonly bytes: number[];
  readonly memory: readonly [number, number];
}

function type(trace: string, columns: number, rows: number, keys: readonly string[]): Figures {
  const out = execFileSync(TYPIST, [String(columns), String(rows), process.execPath, MAIN, trace], {
    input: keys.map((k) => `${Buffer.from(k).toString('hex')}\n`).join(''),
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' },
    maxBuffer: 1 << 26,
  });
  const lines = out.trim().split('\n');
  const memory = lines.pop()!.split(' ').slice(1).map(Number) as [number, number];
  const column = (i: number): number[] => lines.map((l) => Number(l.split(' ')[i]));
  return { first: column(0).map((t) => t / MS), idle: column(1).map((t) => t / MS), bytes: column(2), memory };
}

const at = (values: readonly number[], part: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
};

function nodeStart(): number {
  const times = Array.from({ length: STARTS }, () => {
    const began = performance.now();
    execFileSync(process.execPath, ['-e', '0']);
    return performance.now() - began;
  });
  return at(times, 0.5);
}

const ms = (n: number): string => `${n.toFixed(1)} ms`;

function measure(trace: string, columns: number, rows: number, node: number): void {
  console.log(`${columns}x${rows}`);
  const starts = Array.from({ length: STARTS }, () => type(trace, columns, rows, []).first[0]!);
  const start = at(starts, 0.5);
  console.log(`  first picture    ${ms(start)}, Node alone ${ms(node)}: ${ms(start - node)} on top, ratio ${(start / node).toFixed(2)}`);
  const keys = KEYS.flatMap(([what, sequence, times]) =>
    Array.from({ length: times }, () => sequence.map((key) => ({ what, key }))).flat(),
  );
  const { first, idle, bytes, memory } = type(
    trace,
    columns,
    rows,
    keys.map((k) => k.key),
  );
  const row = (what: string, a: readonly number[], b: readonly number[], n: readonly number[]): void =>
    console.log(
      `  ${what.padEnd(28)} ${ms(at(a, 0.5)).padStart(9)} ${ms(at(a, 0.99)).padStart(9)} ${ms(Math.max(...a)).padStart(9)}   idle ${ms(at(b, 0.99)).padStart(10)}   ${at(n, 0.5)} bytes`,
    );
  console.log(`  ${'key to picture'.padEnd(28)} ${'median'.padStart(9)} ${'99 %'.padStart(9)} ${'most'.padStart(9)}`);
  // the first line is the start's
  const of = (values: readonly number[], what: string): number[] => keys.flatMap((k, i) => (k.what === what ? [values[i + 1]!] : []));
  for (const [what] of KEYS) row(what, of(first, what), of(idle, what), of(bytes, what));
  row('all', first.slice(1), idle.slice(1), bytes.slice(1));
  console.log(`  99 % of a picture at 60 Hz: ${(at(first.slice(1), 0.99) / PICTURE).toFixed(2)}`);
  console.log(`  memory           ${(memory[0] / 1024).toFixed(0)} MiB resident at the end, ${(memory[1] / 1024).toFixed(0)} MiB at most`);
}

function main(argument: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'irr-tui-bench-'));
  try {
    let trace = argument;
    if (!existsSync(argument)) {
      trace = join(folder, 'long.irr');
      const began = performance.now();
      writeLongTrace(trace, Number(argument), join(ROOT, 'fixtures/scenarios'));
      console.log(
        `${argument} events made in ${((performance.now() - began) / 1000).toFixed(1)} s, ${(statSync(trace).size / 2 ** 20).toFixed(0)} MiB`,
      );
    }
    const node = nodeStart();
    for (const [columns, rows] of SIZES) measure(trace, columns, rows, node);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main(process.argv[2] ?? '10000000');
