/** `--oracle`: a command that says whether a session still shows it, as `git bisect run` has them. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeWhole } from '../../recorder/whole-trace.ts';
import type { Oracle } from '../../replayer/reduce/judge.ts';
import { IrrError } from '../../store/errors.ts';
import type { TraceMeta } from '../../store/meta.ts';

const SHOWS = 0;
const CANNOT_TELL = 125;
/** From here on the command has failed itself (126, 127: it cannot be run; 128 and more: a signal), and says nothing of the session. */
const FAILED = 126;

export interface CommandOracle {
  readonly ask: Oracle;
  /** how often it could not tell */
  readonly unknown: () => number;
  readonly done: () => void;
}

/** The command gets the path of a trace behind its words; its output goes to standard error. */
export function commandOracle(command: string, meta: TraceMeta): CommandOracle {
  const folder = mkdtempSync(join(tmpdir(), 'iommufd-rr-'));
  const path = join(folder, 'candidate.irr');
  let unknown = 0;
  const known = new Map<string, boolean | undefined>();
  const ask: Oracle = (frames) => {
    const hash = createHash('sha256');
    for (const frame of frames) hash.update(frame);
    const key = hash.digest('base64');
    // the same session is not asked twice
    if (!known.has(key)) known.set(key, answerOf(frames));
    return known.get(key);
  };
  const answerOf: Oracle = (frames) => {
    writeWhole(path, frames, meta);
    try {
      const { status, signal, error } = spawnSync('/bin/sh', ['-c', `${command} "$1"`, 'sh', path], { stdio: ['ignore', 2, 2] });
      if (error !== undefined) throw new IrrError('oracle', `the oracle cannot be run: ${error.message}`);
      if (signal === 'SIGINT') return undefined;
      if (status === null || status >= FAILED)
        throw new IrrError('oracle', `the oracle has failed (${signal ?? `exit status ${status}`})`, {
          hint: 'it is to exit with 0 (still shows it), 1 (does not) or 125 (cannot tell)',
        });
      if (status === CANNOT_TELL) {
        unknown++;
        return undefined;
      }
      return status === SHOWS;
    } finally {
      rmSync(path, { force: true });
    }
  };
  return { ask, unknown: () => unknown, done: () => rmSync(folder, { recursive: true, force: true }) };
}
