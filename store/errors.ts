/**
 * What can go wrong in the world outside: files, disks, other people's traces. Bugs of ours are not here, they assert; what
 * a trace says that is odd is data, not an error.
 */

/** An error that a user can act on. `message` is one clear line: what, where; `hint` is what to do. */
export class IrrError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { readonly hint?: string | undefined; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'IrrError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** What went wrong with a trace file; the first column of {@link FAULTS}. */
export type StoreCode =
  | 'exists'
  | 'not-found'
  | 'permission'
  | 'directory'
  | 'no-space'
  | 'read-only'
  | 'busy'
  | 'interrupted'
  | 'in-progress'
  | 'not-sqlite'
  | 'not-trace'
  | 'newer-format'
  | 'foreign-schema'
  | 'truncated'
  | 'damaged'
  | 'meta'
  | 'frame'
  | 'finished'
  | 'io';

interface Fault {
  readonly text: string;
  readonly hint?: string;
}

const FAULTS: { readonly [C in StoreCode]: Fault } = {
  exists: { text: 'exists already', hint: 'choose another name, or say that it may be replaced' },
  'not-found': { text: 'no such file or directory' },
  permission: { text: 'permission denied' },
  directory: { text: 'is a directory, not a trace' },
  'no-space': { text: 'no space left', hint: 'what was stored before is whole; free some space and recover the rest' },
  'read-only': { text: 'cannot be written here', hint: 'copy the trace to a directory that you may write' },
  busy: { text: 'is being written by another process', hint: 'wait until it has finished' },
  interrupted: { text: 'its recording was interrupted in the middle of a write', hint: 'run recover on it' },
  'in-progress': {
    text: 'its recording has not come to its end, and it cannot be followed in this directory',
    hint: 'copy the trace and its -wal file to a local directory that you may write',
  },
  'not-sqlite': { text: 'not a trace (no SQLite database)' },
  'not-trace': { text: 'a SQLite database, but not a trace of iommufd-rr' },
  'newer-format': { text: 'written in a newer format', hint: 'use the version that recorded it, or a later one' },
  'foreign-schema': { text: 'its tables are not those of a trace', hint: 'somebody changed this file; do not trust it' },
  truncated: { text: 'cut short', hint: 'copy it again from where it came' },
  damaged: { text: 'damaged', hint: 'verify says how far it can be read' },
  meta: { text: 'its meta table cannot be understood' },
  frame: { text: 'an event that is no frame' },
  finished: { text: 'is finished, nothing can be added' },
  io: { text: 'cannot be read or written' },
};

/** A trace file that cannot be opened, read or written. */
export class StoreError extends IrrError {
  declare readonly code: StoreCode;
  readonly path: string;

  constructor(code: StoreCode, path: string, options: { readonly detail?: string; readonly hint?: string; readonly cause?: unknown } = {}) {
    const fault = FAULTS[code];
    super(code, `${path}: ${fault.text}${options.detail ? `: ${options.detail}` : ''}`, {
      hint: options.hint ?? fault.hint,
      cause: options.cause,
    });
    this.name = 'StoreError';
    this.path = path;
  }
}

/** Codes of system calls and of SQLite, and what they mean for a trace. The longest prefix wins. */
const CODES: readonly (readonly [string, StoreCode])[] = [
  ['EEXIST', 'exists'],
  ['ENOENT', 'not-found'],
  ['ENOTDIR', 'not-found'],
  ['EACCES', 'permission'],
  ['EPERM', 'permission'],
  ['EISDIR', 'directory'],
  ['ENOSPC', 'no-space'],
  ['EDQUOT', 'no-space'],
  ['EFBIG', 'no-space'],
  ['EROFS', 'read-only'],
  ['SQLITE_FULL', 'no-space'],
  ['SQLITE_BUSY', 'busy'],
  ['SQLITE_LOCKED', 'busy'],
  ['SQLITE_NOTADB', 'not-sqlite'],
  ['SQLITE_CORRUPT', 'damaged'],
  ['SQLITE_FORMAT', 'damaged'],
  ['SQLITE_READONLY', 'read-only'],
  ['SQLITE_READONLY_ROLLBACK', 'interrupted'],
  ['SQLITE_READONLY_RECOVERY', 'in-progress'],
  ['SQLITE_READONLY_CANTINIT', 'in-progress'],
  ['SQLITE_IOERR_SHM', 'in-progress'],
  ['SQLITE_IOERR_SHORT_READ', 'truncated'],
  ['SQLITE_PERM', 'permission'],
  ['SQLITE_AUTH', 'permission'],
];

/** The {@link StoreError} for what a system call or SQLite threw while it worked on `path`; anything else comes back as it is. */
export function storeError(error: unknown, path: string): unknown {
  if (error instanceof IrrError || !(error instanceof Error) || !('code' in error)) return error;
  const code = String(error.code);
  let found: StoreCode | undefined;
  let length = 0;
  for (const [prefix, mapped] of CODES) {
    if (code.startsWith(prefix) && prefix.length > length) [found, length] = [mapped, prefix.length];
  }
  if (found === undefined && !code.startsWith('SQLITE_') && !('syscall' in error)) return error;
  return new StoreError(found ?? 'io', path, { detail: found === undefined || found === 'damaged' ? error.message : '', cause: error });
}

/** Runs `act`; what it throws about `path` becomes a {@link StoreError}. */
export function guarded<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw storeError(error, path);
  }
}
