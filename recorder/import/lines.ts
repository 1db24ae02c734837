/** The lines of a log, a piece of it in memory at a time: it may be larger than memory, and it may be a pipe. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { IrrError, storeError } from '../../store/errors.ts';

const PIECE = 1 << 20;
const NEWLINE = 10;
const RETURN = 13;

export interface LineSink {
  line(text: string, whole: boolean): void;
  /** a line longer than the limit was passed over */
  tooLong(): void;
  /** so many bytes of `total` are read; `total` is 0 for a pipe */
  progress?(done: number, total: number): void;
}

/** Gives every line of a file (`-`: standard input) to `sink`. Throws an IrrError where it cannot be read. */
export function readLines(path: string, limit: number, sink: LineSink): void {
  const fd = opened(path);
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw new IrrError('directory', `${path}: is a directory, not a log`);
    const lines = new Lines(limit, sink);
    const buffer = Buffer.alloc(PIECE);
    for (let done = 0; ; ) {
      const got = readPiece(fd, buffer, path);
      if (got === 0) break;
      lines.take(buffer.subarray(0, got));
      done += got;
      sink.progress?.(done, stat.isFile() ? stat.size : 0);
    }
    lines.end();
  } finally {
    if (fd !== 0) closeSync(fd);
  }
}

function opened(path: string): number {
  if (path === '-') return 0;
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw storeError(error, path);
  }
}

function readPiece(fd: number, buffer: Buffer, path: string): number {
  for (;;) {
    try {
      return readSync(fd, buffer, 0, buffer.length, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return 0;
      // standard input may be a terminal or a pipe that somebody made non-blocking
      if (code !== 'EAGAIN') throw storeError(error, path);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

/** Pieces to lines; the end of a line is LF or CR LF. */
export class Lines {
  readonly #limit: number;
  readonly #sink: Pick<LineSink, 'line' | 'tooLong'>;
  /** the beginning of a line whose end was not in the piece */
  #rest = '';
  /** in the middle of a line that is too long */
  #skipping = false;

  constructor(limit: number, sink: Pick<LineSink, 'line' | 'tooLong'>) {
    this.#limit = limit;
    this.#sink = sink;
  }

  take(piece: Buffer): void {
    let from = 0;
    for (let at = piece.indexOf(NEWLINE, from); at >= 0; at = piece.indexOf(NEWLINE, from)) {
      this.#part(piece, from, at);
      this.#finish(true);
      from = at + 1;
    }
    if (from < piece.length) this.#part(piece, from, piece.length);
  }

  end(): void {
    if (this.#rest !== '' || this.#skipping) this.#finish(false);
  }

  #part(piece: Buffer, from: number, to: number): void {
    if (this.#skipping) return;
    if (this.#rest.length + to - from > this.#limit) {
      this.#skipping = true;
      this.#rest = '';
    } else if (to > from) this.#rest += piece.toString('latin1', from, to);
  }

  #finish(whole: boolean): void {
    const line = this.#rest;
    this.#rest = '';
    if (this.#skipping) {
      this.#skipping = false;
      this.#sink.tooLong();
    } else this.#sink.line(whole && line.charCodeAt(line.length - 1) === RETURN ? line.slice(0, -1) : line, whole);
  }
}
