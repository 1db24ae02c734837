/** Issues a plan on this machine's kernel: the program of recorder/rerun does it and records itself; here its spool becomes a trace. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IrrError } from '../store/errors.ts';
import type { TraceMeta } from '../store/meta.ts';
import { type RecoverResult, recover } from './recover.ts';

const PROGRAM = 'irr-rerun';
/** Of the folders dist/recorder, dist/bin and (sources) recorder, the one with the program. */
const FOLDERS = ['rerun', '../recorder/rerun', '../dist/recorder/rerun'];

/** The program that issues plans. Throws where it was not built. */
export function rerunProgram(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const path = FOLDERS.map((folder) => join(here, folder, PROGRAM)).find((found) => existsSync(found));
  if (path !== undefined) return path;
  throw new IrrError('no-rerun', `the program ${PROGRAM} was not built`, { hint: 'run npm run build (it needs a C compiler)' });
}

export interface RerunOptions {
  readonly plan: Uint8Array;
  /** where the trace goes; what is there is not replaced */
  readonly output: string;
  /** where the spool goes, and stays; default: a file in memory that is deleted */
  readonly spool?: string | undefined;
  /** more words for the program: --vfio, --durable … */
  readonly words: readonly string[];
  readonly tool: string;
  /** what the trace says of itself beside what the spool has */
  readonly meta: Partial<TraceMeta>;
}

/**
 * How the program ended: 'done', every call with the errno of the recording; 'differs', some not; 'hung', a call did not
 * return, and the trace ends with it.
 */
export interface RerunResult extends RecoverResult {
  readonly ended: 'done' | 'differs' | 'hung';
}

/** By exit status; none: nothing was issued. */
export const ENDED: Readonly<Record<number, RerunResult['ended']>> = { 0: 'done', 1: 'differs', 3: 'hung' };

/** A new folder for a plan and a spool: in memory, if there is a place. */
export const folderInMemory = (): string => mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'iommufd-rr-'));

/** Runs it. Throws an IrrError where nothing was issued (the program has said why), or where the spool cannot be used. */
export async function rerun(options: RerunOptions): Promise<RerunResult> {
  const folder = folderInMemory();
  try {
    const plan = join(folder, 'plan');
    const spool = options.spool === undefined ? join(folder, 'spool') : resolve(options.spool);
    writeFileSync(plan, options.plan);
    const status = await run(rerunProgram(), [...options.words, plan, '-o', spool]);
    const ended = ENDED[status];
    if (ended === undefined) throw new IrrError('not-rerun', `nothing was issued; ${PROGRAM} has said why`);
    return { ended, ...recover(spool, options.output, { tool: options.tool, meta: options.meta }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Its exit status, 128 and the signal's number where one ended it. */
function run(program: string, words: readonly string[]): Promise<number> {
  return new Promise((done, failed) => {
    const child = spawn(program, words, { stdio: 'inherit' });
    child.on('error', (error) => failed(new IrrError('not-rerun', `${program}: cannot be started (${error.message})`)));
    child.on('close', (status, signal) => done(status ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
}
