/** A file that appears when it is whole, and never over another one unless that was asked for. */
import { existsSync, linkSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { IrrError } from '../store/errors.ts';
import { SIDE_FILES } from '../store/open.ts';

/** Whether a file may be made. `read`: files that it is made of; undefined and `-` are none. Throws an IrrError that says why not. */
export function checkOutput(output: string, force: boolean, read: readonly (string | undefined)[]): void {
  const parent = dirname(output);
  if (!statSync(parent, { throwIfNoEntry: false })?.isDirectory())
    throw new IrrError('no-folder', `${output}: the folder ${parent} does not exist`, { hint: 'make it, or choose another --output' });
  const there = statSync(output, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (there.isDirectory()) throw new IrrError('directory', `${output}: is a directory`, { hint: 'give the name of a file with --output' });
  if (!force) throw new IrrError('exists', `${output}: exists already`, { hint: 'choose another name, or replace it with --force' });
  for (const path of read) {
    const from = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    if (from !== undefined && from.dev === there.dev && from.ino === there.ino)
      throw new IrrError('exists', `${output}: is what is read`, { hint: 'the output is a new file: choose another name' });
  }
}

/** Puts the finished file where it belongs; never over another one unless that was asked for. */
export function place(partial: string, output: string, force: boolean): void {
  if (force) {
    for (const side of SIDE_FILES) rmSync(output + side, { force: true });
    renameSync(partial, output);
    return;
  }
  try {
    linkSync(partial, output);
    rmSync(partial);
  } catch (error) {
    if (existsSync(output)) throw error;
    renameSync(partial, output); // a file system without links
  }
}
