/**
 * A file that is there whole or not at all: written beside its place under another name, and renamed when all of it is
 * written. What is no regular file (a pipe, /dev/stdout) is written to as it is.
 */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { IrrError } from '../../store/errors.ts';
import { FdSink, OutputClosed, writeError } from './output.ts';

/** Bytes by which a file is known. */
const HEAD = 64;

/**
 * Says before long work whether a file can be written there at all. What is there already is written over only where it begins as
 * what is to be written: a name typed wrong must not cost a recording. Throws an IrrError that a user can read.
 */
export function checkWritable(path: string, beginning: RegExp): void {
  const there = statOf(path);
  if (there?.isDirectory() === true) throw new IrrError('output', `cannot write to ${path}: it is a directory`);
  try {
    accessSync(there === undefined || there.isFile() ? dirname(there === undefined ? path : realpathSync(path)) : path, constants.W_OK);
  } catch (error) {
    throw writeError(error, path);
  }
  if (there?.isFile() !== true || there.size === 0 || beginning.test(headOf(path))) return;
  throw new IrrError('output', `cannot write to ${path}: it is there already, and is something else`, { hint: 'choose another name' });
}

function headOf(path: string): string {
  let fd = -1;
  try {
    fd = openSync(path, 'r');
    const bytes = Buffer.alloc(HEAD);
    return bytes.toString('latin1', 0, readSync(fd, bytes, 0, HEAD, 0));
  } catch (error) {
    throw writeError(error, path);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw writeError(error, path);
  }
}

/** Writes all pieces. Throws an IrrError where that does not succeed: then nothing has changed at `path`. */
export function writeWhole(path: string, pieces: Iterable<string>): void {
  const there = statOf(path);
  const inPlace = there !== undefined && !there.isFile();
  const place = there === undefined || inPlace ? path : realpathSync(path);
  const partial = inPlace ? place : `${place}.${process.pid}.partial`;
  const opened = (): number => {
    try {
      return openSync(partial, inPlace ? 'w' : 'wx', 0o666);
    } catch (error) {
      throw writeError(error, path);
    }
  };
  const fd = opened();
  try {
    const sink = new FdSink(fd, path);
    for (const piece of pieces) sink.write(piece);
    sink.flush();
    if (there !== undefined && !inPlace) chmodSync(partial, there.mode & 0o7777);
    if (!inPlace) renameSync(partial, place);
  } catch (error) {
    if (!inPlace) rmSync(partial, { force: true });
    const system = (error as NodeJS.ErrnoException).syscall !== undefined;
    if (!system || error instanceof OutputClosed) throw error;
    throw writeError(error, path);
  } finally {
    closeSync(fd);
  }
}
