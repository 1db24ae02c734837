/** Whether a recording that is not complete still has its recorder. */
import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { SPOOL_FIELD } from './spool-layout.ts';

/**
 * runs: its recorder has the spool open. gone: the process that made the spool has it open no more, or is no more: what is
 * missing is in the spool. absent: there is no spool here; it was thrown away, or is another machine's. unknown: nobody can tell.
 */
export type RecorderState = 'runs' | 'gone' | 'absent' | 'unknown';

/** The spool that a trace says it is recorded through. */
export const spoolOf = (meta: { readonly [key: string]: unknown }): string | undefined =>
  typeof meta.spool === 'string' && meta.spool !== '' ? meta.spool : undefined;

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/**
 * Looks at one process alone, so that it may be asked while a screen is drawn. A number that was used again is no recorder:
 * that process has another file open. Never throws. A recorder in a PID namespace that is not seen from here seems gone.
 */
export function recorderState(spool: string): RecorderState {
  let fd: number;
  try {
    // the name is the trace's word: what is no file is not even opened, and nothing is waited for
    if (!statSync(spool).isFile()) return 'unknown';
    fd = openSync(spool, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? 'absent' : 'unknown';
  }
  try {
    const head = Buffer.alloc(SPOOL_FIELD.creator + 4);
    const there = fstatSync(fd);
    const whole = there.isFile() && readSync(fd, head, 0, head.length, 0) === head.length;
    if (!whole || head.toString('latin1', 0, 8) !== 'IRRSPOOL') return 'unknown';
    return hasOpen(head.readUInt32LE(SPOOL_FIELD.creator), there, fd) ? 'runs' : 'gone';
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? 'gone' : 'unknown';
  } finally {
    closeSync(fd);
  }
}

/** `own`: a descriptor of this process that does not count. Throws where the process may not be looked into, or is none. */
function hasOpen(pid: number, file: { readonly dev: number; readonly ino: number }, own: number): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((name) => {
    if (pid === process.pid && Number(name) === own) return false;
    try {
      const { dev, ino } = statSync(`/proc/${pid}/fd/${name}`);
      return dev === file.dev && ino === file.ino;
    } catch {
      return false; // closed since
    }
  });
}
