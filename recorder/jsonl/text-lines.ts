/** Lines of a text file that may be packed (gzip, zstd), a piece of it in memory at a time. */
import { createReadStream, statSync } from 'node:fs';
import type { Readable, Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { IrrError, storeError } from '../../store/errors.ts';

/** One line, without its end. `whole`: its end was there. */
export interface TextLine {
  readonly number: number;
  readonly bytes: Buffer;
  readonly whole: boolean;
}

const PIECE = 1 << 18;
const NEWLINE = 10;
const RETURN = 13;
const BOM = Buffer.of(0xef, 0xbb, 0xbf);

interface Packing {
  readonly name: string;
  readonly magic: Buffer;
  readonly tool: string;
  readonly unpack: (() => Transform) | undefined;
}

/** Not every Node that the program runs on has zstd. */
const zstd = (zlib as { readonly createZstdDecompress?: () => Transform }).createZstdDecompress;

const PACKINGS: readonly Packing[] = [
  { name: 'gzip', magic: Buffer.of(0x1f, 0x8b), tool: 'zcat', unpack: () => zlib.createGunzip() },
  { name: 'zstd', magic: Buffer.of(0x28, 0xb5, 0x2f, 0xfd), tool: 'zstdcat', unpack: zstd },
];

/** Bytes at the beginning that tell how a file is packed. */
const MAGIC_BYTES = 4;

/**
 * The lines of a file (`-`: standard input). `progress` is told how many bytes of how many are read. Throws an IrrError where it cannot
 * be read, or a line is longer than `limit` bytes.
 */
export async function* textLines(path: string, limit: number, progress?: (done: number, total: number) => void): AsyncGenerator<TextLine> {
  const stat = path === '-' ? undefined : statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) throw new IrrError('directory', `${path}: is a directory, not a file of lines`);
  const input: Readable = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: PIECE });
  try {
    const splitting = new Splitting(path, limit);
    for await (const piece of unpacked(path, counted(input, stat?.size ?? 0, progress))) yield* splitting.take(piece);
    yield* splitting.end();
  } catch (error) {
    throw storeError(error, path);
  } finally {
    input.destroy();
  }
}

async function* counted(input: Readable, total: number, progress?: (done: number, total: number) => void): AsyncGenerator<Buffer> {
  let done = 0;
  for await (const piece of input as AsyncIterable<Buffer>) {
    done += piece.length;
    if (total > 0) progress?.(done, total);
    yield piece;
  }
}

async function* unpacked(path: string, pieces: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const { value, done } = await pieces.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const packing = PACKINGS.find((p) => head.subarray(0, p.magic.length).equals(p.magic));
  if (packing === undefined) {
    if (head.length > 0) yield head;
    yield* pieces;
    return;
  }
  if (packing.unpack === undefined)
    throw new IrrError('format', `${path}: packed with ${packing.name}, which this Node.js (${process.version}) cannot unpack`, {
      hint: `unpack it on the way: ${packing.tool} ${path} | iommufd-rr import jsonl - -o …`,
    });
  yield* through(packing, path, head, pieces);
}

/** Pieces through an unpacking stream, no more of them at a time than it takes. */
async function* through(packing: Packing, path: string, head: Buffer, pieces: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const stream = packing.unpack!();
  let failed: unknown;
  const feeding = (async () => {
    try {
      await write(stream, head);
      for await (const piece of pieces) await write(stream, piece);
      stream.end();
    } catch (error) {
      failed = error;
      stream.destroy();
    }
  })();
  try {
    for await (const piece of stream as AsyncIterable<Buffer>) yield piece;
    await feeding;
  } catch (error) {
    if (failed !== undefined) throw failed;
    throw new IrrError('format', `${path}: its ${packing.name} is damaged or cut short (${(error as Error).message})`, {
      hint: 'copy it again from where it came',
    });
  } finally {
    stream.destroy();
  }
}

function write(stream: Transform, piece: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(piece, (error) => (error ? reject(error) : resolve()));
    stream.once('close', resolve);
  });
}

class Splitting {
  readonly #path: string;
  readonly #limit: number;
  /** of the line whose end has not come */
  #rest: Buffer[] = [];
  #length = 0;
  #number = 0;

  constructor(path: string, limit: number) {
    this.#path = path;
    this.#limit = limit;
  }

  *take(piece: Buffer): Generator<TextLine> {
    let from = 0;
    for (let at = piece.indexOf(NEWLINE); at >= 0; at = piece.indexOf(NEWLINE, from)) {
      this.#add(piece.subarray(from, at));
      yield this.#line(true);
      from = at + 1;
    }
    if (from < piece.length) this.#add(piece.subarray(from));
  }

  *end(): Generator<TextLine> {
    if (this.#length > 0) yield this.#line(false);
  }

  #add(bytes: Buffer): void {
    this.#length += bytes.length;
    if (this.#length > this.#limit)
      throw new IrrError('format', `${this.#path}:${this.#number + 1}: longer than any line of such a file (${this.#limit} bytes)`, {
        hint: 'a line of JSON ends with a newline: is this the right file?',
      });
    this.#rest.push(bytes);
  }

  #line(whole: boolean): TextLine {
    let bytes = this.#rest.length === 1 ? this.#rest[0]! : Buffer.concat(this.#rest);
    this.#rest = [];
    this.#length = 0;
    if (++this.#number === 1 && bytes.subarray(0, 3).equals(BOM)) bytes = bytes.subarray(3);
    if (bytes.at(-1) === RETURN) bytes = bytes.subarray(0, -1);
    return { number: this.#number, bytes, whole };
  }
}
