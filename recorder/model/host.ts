/** Sets the model up beside a spool, and takes it down. */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { MachineName } from '../../hw/iommufd/machine.ts';
import type { DialectName } from '../../hw/uapi/table.ts';
import { FUNCTIONS } from '../../hw/vfio/functions.ts';
import { IrrError } from '../../store/errors.ts';
import { Clock } from './clock.ts';
import { LAYOUT, message, SIZE, Word } from './protocol.ts';

/** How often the model looks who has gone without a word, milliseconds. */
const TICK_MS = 100;

export interface ModelHost {
  /** Resolves when the model has let go of everything. */
  stop(): Promise<void>;
}

function makeFolder(folder: string): void {
  mkdirSync(folder, { mode: 0o700 });
  const pipes = ['ask', ...Array.from({ length: LAYOUT.places }, (_, i) => `answer-${i}`)].map((name) => join(folder, name));
  const made = spawnSync('mkfifo', ['-m', '600', ...pipes], { encoding: 'utf8' });
  if (made.status !== 0)
    throw new IrrError('no-model', `${folder}: cannot make FIFOs (${made.stderr?.trim() || made.error?.message || 'mkfifo failed'})`, {
      hint: 'name another folder with --spool DIR',
    });
  const fd = openSync(join(folder, 'places'), 'wx', 0o600);
  try {
    ftruncateSync(fd, SIZE);
    const b = Buffer.alloc(20);
    b.writeUInt32LE(LAYOUT.version, 8);
    b.writeUInt32LE(process.pid, 12);
    b.writeUInt32LE(FUNCTIONS.length, 16);
    b.write(LAYOUT.magic, 'latin1');
    writeSync(fd, b, 0, b.length, 0);
  } finally {
    closeSync(fd);
  }
}

export interface ModelChoice {
  /** whose rules answer */
  readonly dialect: DialectName;
  /** what devices it has */
  readonly machine: MachineName;
}

/** A file of this folder as a thread. */
const thread = (name: string, workerData: unknown): Worker =>
  new Worker(new URL(`./${name}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url), { workerData });

/** Starts the model for programs of this spool. `note` gets a line for the user. */
export async function startModel(spool: string, { dialect, machine }: ModelChoice, note: (text: string) => void): Promise<ModelHost> {
  const folder = `${spool}.model`;
  makeFolder(folder);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  // a plain machine has nothing that lives
  const clock = machine === 'plain' ? undefined : new Clock();
  const worker = thread('worker', { folder, dialect, machine, clock: clock?.memory });
  const ended = new Promise<void>((done) => worker.once('exit', () => done()));
  let told = false;
  await new Promise<void>((ready, failed) => {
    worker.on('error', failed);
    worker.on('message', (m: { ready?: true; fault?: string }) => {
      if (m.ready) ready();
      if (m.fault !== undefined && !told) note(`the model could not answer a call, which got EIO: ${m.fault}`);
      told ||= m.fault !== undefined;
    });
  });
  const ticking = clock === undefined ? undefined : thread('clock-thread', { folder, memory: clock.memory });
  const silent = ticking === undefined ? undefined : new Promise<void>((done) => ticking.once('exit', () => done()));
  ticking?.on('error', (error) => note(`the model's hardware stands still: ${error.message}`));
  const ask = openSync(join(folder, 'ask'), constants.O_WRONLY | constants.O_NONBLOCK);
  const tell = (word: number): void => {
    try {
      writeSync(ask, message(word), 0, LAYOUT.message);
    } catch {
      // full: there is enough to do
    }
  };
  const timer = setInterval(() => tell(Word.TICK), TICK_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      clock?.end();
      await silent;
      tell(Word.STOP);
      await ended;
      closeSync(ask);
      process.off('exit', remove);
      remove();
    },
  };
}
