/** Where spool and trace lie: in memory, beside the output, or elsewhere until the trace is whole. */
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  linkSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { IrrError } from '../store/errors.ts';

/** Room that must be free where the spool goes, bytes. */
const SPOOL_ROOM = 256 << 20;
const MEMORY_FS = 0x01021994; // tmpfs
/** File systems without shared writable mappings: 9p, NFS, SMB, FUSE. */
const NO_MMAP = new Set([0x01021997, 0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x65735546]);

function roomIn(folder: string): { bytes: number; type: number } {
  try {
    const s = statfsSync(folder);
    accessSync(folder, constants.W_OK);
    return { bytes: s.bavail * s.bsize, type: Number(BigInt.asUintN(32, BigInt(s.type))) };
  } catch {
    return { bytes: 0, type: 0 };
  }
}

/** A folder for the spool, which wants shared mappings and is best in memory. */
export function spoolFolder(output: string): string {
  const memory = roomIn('/dev/shm');
  if (memory.type === MEMORY_FS && memory.bytes >= SPOOL_ROOM) return '/dev/shm';
  for (const folder of [dirname(output), tmpdir(), '/var/tmp', '/run', '/dev/shm']) {
    const r = roomIn(folder);
    if (r.bytes >= 16 << 20 && !NO_MMAP.has(r.type)) return folder;
  }
  throw new IrrError('no-room', 'no folder for the spool: none has shared mappings and 16 MiB free', { hint: 'name one with --spool DIR' });
}

/** Where the trace is written while the recording runs, and how it gets to its place. */
export interface Destination {
  readonly working: string;
  place(): void;
}

/** The output itself, or a file of the spool's folder where the output's file system cannot be shared memory. */
export function destination(output: string, folder: string, force: boolean): Destination {
  const parent = dirname(output);
  if (!statSync(parent, { throwIfNoEntry: false })?.isDirectory())
    throw new IrrError('no-folder', `${output}: the folder ${parent} does not exist`, { hint: 'make it, or choose another --output' });
  const there = statSync(output, { throwIfNoEntry: false });
  if (there?.isDirectory()) throw new IrrError('directory', `${output}: is a directory`, { hint: 'give the name of a file with --output' });
  if (there && !force)
    throw new IrrError('exists', `${output}: exists already`, { hint: 'choose another name, or replace it with --force' });
  if (!NO_MMAP.has(roomIn(parent).type)) return { working: output, place: () => {} };
  accessWritable(output, parent);
  const working = join(mkdtempSync(join(folder, 'iommufd-rr-')), basename(output));
  return {
    working,
    place: () => {
      const partial = `${output}.partial`;
      try {
        copyFileSync(working, partial);
        const fd = openSync(partial, 'r+');
        fsyncSync(fd);
        closeSync(fd);
        if (force) renameSync(partial, output);
        else {
          try {
            linkSync(partial, output);
            rmSync(partial);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error;
            renameSync(partial, output);
          }
        }
      } catch (error) {
        rmSync(partial, { force: true });
        throw new IrrError('no-space', `${output}: cannot be written (${(error as NodeJS.ErrnoException).code ?? String(error)})`, {
          hint: `the whole trace is in ${working}`,
        });
      }
      rmSync(dirname(working), { recursive: true, force: true });
    },
  };
}

function accessWritable(output: string, parent: string): void {
  try {
    accessSync(parent, constants.W_OK);
  } catch {
    throw new IrrError('permission', `${output}: no right to write in ${parent}`, { hint: 'choose another --output' });
  }
}
