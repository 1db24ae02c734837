/**
 * What a call on the model's /dev/iommu takes: entry to exit as the program sees it, median of a VMM's calls, beside the
 * floor of the way it is asked: 32 bytes to a thread of Node that waits in read(2), and back, over two FIFOs.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { FrameCursor, Kind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';

const root = ['../..', '../../..'].map((up) => join(import.meta.dirname, up)).find((folder) => existsSync(join(folder, 'package.json')))!;
const client = join(root, 'dist/clients/vmm');
const guest = join(root, 'dist/clients/cmdqv');
const cli = join(root, 'dist/bin/iommufd-rr.js');
/** the client, again and again in one recording: the first of them finds a cold model */
const RUNS = 30;
const TURNS = 20_000;
/** commands of a guest: rounds of two recordings, and how often the client makes so many */
const ROUNDS = [100, 600] as const;
const TIMES = 4;

const median = (all: number[]): number => all.sort((a, b) => a - b)[all.length >> 1] ?? Number.NaN;

/** Nanoseconds of each ioctl of a trace. */
function calls(trace: string): number[] {
  const reader = TraceReader.open(trace);
  const cursor = new FrameCursor();
  const found: number[] = [];
  for (const batch of reader.scan())
    for (let i = 0; i < batch.count; i++) {
      const f = cursor.at(batch.buffer, batch.offsets[i]!);
      if (f.kind === Kind.IOCTL) found.push(Number(f.tExit - f.tEnter));
    }
  reader.close();
  return found;
}

/** Echoes what comes by one FIFO into another, until it is closed. */
const ECHO = `
const { openSync, readSync, writeSync } = require('node:fs');
const { workerData } = require('node:worker_threads');
const [from, to] = [openSync(workerData.ask, 'r'), openSync(workerData.answer, 'w')];
const b = Buffer.alloc(32);
for (let n; (n = readSync(from, b, 0, 32, null)) > 0; ) writeSync(to, b, 0, n);
`;

function floor(folder: string): number {
  const [ask, answer] = [join(folder, 'ask'), join(folder, 'answer')];
  if (spawnSync('mkfifo', [ask, answer]).status !== 0) return Number.NaN;
  const worker = new Worker(ECHO, { eval: true, workerData: { ask, answer } });
  const [to, from] = [openSync(ask, 'w'), openSync(answer, 'r')];
  const b = Buffer.alloc(32);
  const times: number[] = [];
  for (let i = 0; i < TURNS; i++) {
    const begin = process.hrtime.bigint();
    writeSync(to, b, 0, 32);
    readSync(from, b, 0, 32, null);
    times.push(Number(process.hrtime.bigint() - begin));
  }
  closeSync(to);
  closeSync(from);
  worker.unref();
  return median(times);
}

export function benchModel(print: (line: string) => void = console.log): void {
  const folder = mkdtempSync(join(tmpdir(), 'irr-bench-'));
  try {
    const trace = join(folder, 'x.irr');
    const again = `for i in $(seq ${RUNS}); do "$0" > /dev/null || exit 1; done`;
    const args = ['record', '--on', 'model', '-o', trace, '--', 'sh', '-c', again, client];
    const ran = spawnSync(process.execPath, [cli, ...args], { stdio: 'ignore' });
    if (ran.status !== 0) throw new Error(`vmm on the model: exit status ${ran.status}`);
    const all = calls(trace);
    const first = median(all.slice(0, Math.floor(all.length / RUNS)));
    const [took, least] = [median(all), floor(folder)];
    const us = (ns: number): string => `${(ns / 1000).toFixed(1)} us`;
    print(`a call on the model's /dev/iommu, median of ${all.length} of a VMM`);
    print(
      `  ${us(took)}, the first ${Math.floor(all.length / RUNS)} ${us(first)}; a message to a thread and back ${us(least)} (${(took / least).toFixed(2)} times)`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Milliseconds that the client takes for so many rounds of commands. */
function guestTime(trace: string, rounds: number): number {
  const args = ['record', '--on', 'model', '--machine', 'grace', '--force', '-o', trace, '--', guest, '--rounds', `${rounds}`];
  const begin = performance.now();
  const ran = spawnSync(process.execPath, [cli, ...args], { stdio: 'ignore' });
  if (ran.status !== 0) throw new Error(`cmdqv on the model: exit status ${ran.status}`);
  return performance.now() - begin;
}

/** What a guest waits for its commands: four and a CMD_SYNC, written, shown to the hardware, read by it, and seen to be. */
export function benchQueues(print: (line: string) => void = console.log): void {
  const folder = mkdtempSync(join(tmpdir(), 'irr-bench-'));
  try {
    const [few, many] = ROUNDS.map((rounds) => guestTime(join(folder, 'x.irr'), rounds)) as [number, number];
    const each = ((many - few) * 1000) / (TIMES * (ROUNDS[1] - ROUNDS[0]));
    print(
      `five commands through a queue of the model's CMDQV, until CONS has passed them\n  ${each.toFixed(0)} us (page 0 is looked at every 500)`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  benchModel();
  benchQueues();
}
